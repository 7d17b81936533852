"""Golden files of the image pipeline, from transformers' own processor and Pillow.

    make.py [OUT_DIR]            (default: the folder of this script)

Made with transformers 5.23.0, torch 2.15.0, torchvision 0.29.2, pillow 12.3.0 (before 13: that version resizes the
other axis first), numpy 2.4.6.

  smart_resize.json   [height, width, factor, min_pixels, max_pixels, height', width'], null where it raises
  resized.json        per family and synthetic picture (synth.py): the size, an FNV-1a hash and every 997th byte of the
                      uint8 picture that the torchvision processor resizes to; the largest difference from Pillow's;
                      hash, every 1,999th value and grid of the patches, one frame of the two
  files/              one small picture per pixel format and EXIF orientation
  files.json          what `load_image` and `convert_to_rgb` make of each: height, width and RGB bytes in hex
"""
from __future__ import annotations

import io
import json
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor, smart_resize

from synth import synth_rgb

FAMILIES = {  # those of the tiny checkpoints: small areas, so that large pictures shrink
    "qwen2_5_vl": dict(size={"shortest_edge": 3136, "longest_edge": 50176}, patch_size=14),
    "qwen3_vl": dict(size={"shortest_edge": 4096, "longest_edge": 50176}, patch_size=16,
                     image_mean=[0.5] * 3, image_std=[0.5] * 3),
}
IMAGES = {  # name: (height, width); the index is synth_rgb's seed
    "tiny20": (20, 20), "odd": (37, 211), "grid": (112, 140), "wide": (30, 900), "extreme": (8, 1500),
    "large": (480, 640), "tall": (333, 97), "same_height": (56, 70), "same_width": (70, 56), "pixel": (1, 1),
}
SIZES = [(1, 1), (1, 200), (1, 201), (20, 20), (28, 28), (42, 42), (70, 70), (98, 154), (126, 210), (56, 56), (55, 57),
         (37, 211), (8, 107), (224, 224), (448, 448), (1080, 1920), (1920, 1080), (4000, 3000), (30, 5970), (8, 1500),
         (333, 97), (100, 10000), (7680, 4320)]
BOUNDS = [(28, 3136, 12845056), (28, 3136, 50176), (28, 4 * 28 * 28, 16384 * 28 * 28), (28, 262144, 4194304),
          (32, 65536, 16777216), (32, 4096, 50176), (28, 3136, 1003520)]


def fnv1a(data: bytes) -> str:
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def sizes() -> list:
    rows = []
    for bounds in BOUNDS:
        for h, w in SIZES:
            try:
                out = list(smart_resize(h, w, *bounds))
            except ValueError:
                out = None
            rows.append([h, w, *bounds, out])
    return rows


def resized() -> dict:
    families = {}
    for family, settings in FAMILIES.items():
        processor = Qwen2VLImageProcessor(**settings)
        p, m = processor.patch_size, processor.merge_size
        entries = families[family] = {}
        for seed, (name, (h, w)) in enumerate(IMAGES.items()):
            pil = Image.fromarray(synth_rgb(h, w, seed))
            out = processor(images=[pil], return_tensors="pt")
            _, gh, gw = out["image_grid_thw"][0].tolist()
            raw = processor(images=[pil], return_tensors="pt", do_rescale=False, do_normalize=False)["pixel_values"]
            pixels = raw.reshape(gh // m, gw // m, m, m, 3, 2, p, p)[:, :, :, :, :, 0]
            pixels = pixels.permute(0, 2, 5, 1, 3, 6, 4).reshape(gh * p, gw * p, 3).numpy().astype(np.uint8)
            pillow = np.asarray(pil.resize((gw * p, gh * p), Image.Resampling.BICUBIC))
            patches = out["pixel_values"].reshape(gh * gw, 3, 2, p, p)[:, :, 0].contiguous().numpy()
            entries[name] = {
                "seed": seed, "source": [h, w], "resized": [gh * p, gw * p], "grid": [1, gh, gw],
                "hash": fnv1a(pixels.tobytes()), "bytes": pixels.reshape(-1)[::997].tolist(),
                "levels_from_pillow": int(np.abs(pixels.astype(int) - pillow).max()),
                "patch_hash": fnv1a(patches.tobytes()),
                "values": [float(v) for v in patches.reshape(-1)[::1999]],
            }
    return families


def png16(pixels: np.ndarray) -> bytes:
    """A 16-bit PNG (Pillow writes none with colour): uint16 [H, W, C]."""
    h, w, c = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    head = struct.pack(">IIBBBBB", w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[c], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def files() -> dict[str, bytes]:
    h, w = 12, 20
    rgb = synth_rgb(h, w, 1)
    smooth = np.asarray(Image.fromarray(synth_rgb(3, 4, 2)).resize((w, h), Image.Resampling.BICUBIC))
    alpha = (np.arange(h * w).reshape(h, w) * 255 // (h * w - 1)).astype(np.uint8)
    wide = (np.arange(h * w * 4, dtype=np.uint32).reshape(h, w, 4) * 68 + 19).astype(np.uint16)

    def encode(image: Image.Image, kind: str, **options) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    picture = Image.fromarray(rgb)
    rgba = Image.fromarray(np.dstack([rgb, alpha]))
    out = {
        "rgb.png": encode(picture, "PNG"), "rgb.bmp": encode(picture, "BMP"),
        "rgb.webp": encode(picture, "WEBP", lossless=True), "rgba.webp": encode(rgba, "WEBP", lossless=True, exact=True),
        "rgba.png": encode(rgba, "PNG"), "la.png": encode(Image.fromarray(np.dstack([rgb[..., 0], alpha]), "LA"), "PNG"),
        "grey.png": encode(picture.convert("L"), "PNG"), "bit.png": encode(picture.convert("1"), "PNG"),
        "palette.png": encode(picture.quantize(16), "PNG"),
        "palette_transparent.png": encode(picture.quantize(16), "PNG", transparency=bytes(range(0, 256, 16))),
        "rgb_key.png": encode(picture, "PNG", transparency=tuple(int(v) for v in rgb[3, 5])),
        "rgb16.png": png16(wide[..., :3]), "rgba16.png": png16(wide), "la16.png": png16(wide[..., :2]),
        "rgb.jpg": encode(Image.fromarray(smooth), "JPEG", quality=95, subsampling=0),
        "subsampled.jpg": encode(Image.fromarray(smooth), "JPEG", quality=90),
        "progressive.jpg": encode(Image.fromarray(smooth), "JPEG", quality=95, subsampling=0, progressive=True),
        "grey.jpg": encode(Image.fromarray(smooth).convert("L"), "JPEG", quality=95),
        "cmyk.jpg": encode(Image.fromarray(smooth).convert("CMYK"), "JPEG", quality=95),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        out[f"orientation{orientation}.png"] = encode(picture.crop((0, 0, 5, 3)), "PNG", exif=exif.tobytes())
        out[f"orientation{orientation}.jpg"] = encode(
            Image.fromarray(smooth).crop((0, 0, 5, 3)), "JPEG", quality=95, subsampling=0, exif=exif.tobytes())
    return out


def main() -> None:
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent
    (out / "files").mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, data in files().items():
        (out / "files" / name).write_bytes(data)
        rgb = convert_to_rgb(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), return_numpy=True)
        expected[name] = {"height": rgb.shape[0], "width": rgb.shape[1], "rgb": rgb.tobytes().hex()}
    dump = lambda value: json.dumps(value).replace("}, ", "},\n").replace("], [", "],\n[") + "\n"  # noqa: E731
    (out / "files.json").write_text(dump(expected))
    (out / "smart_resize.json").write_text(dump(sizes()))
    (out / "resized.json").write_text(dump(resized()))


if __name__ == "__main__":
    main()
