"""Golden conversations with a closer look, from transformers' processors and models, Python's json and Pillow.

    make.py            (writes beside itself; reads ../model/checkpoints/)

Made with transformers 5.23.0, torch 2.15.0, pillow 12.3.0.

  boxes.json    replies and what becomes of them under the rules of MGPO's code (arXiv:2507.05920; xinyu1205/verl at
                994efbe), written again here with Python's re, json and int; sizes, frames and the box in the original
  talks.json    per checkpoint: whole conversations as transformers renders, tokenises and places them: ids, the runs that
                the assistant said, M-RoPE positions, the crop (bytes hashed with FNV-1a), and, where no picture is
                resized, the log-probability of every token that the assistant said
"""
from __future__ import annotations

import json
import pathlib
import re
import sys

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "images"))
from synth import synth_rgb  # noqa: E402

CHECKPOINTS = {"qwen2_vl-tied": "thousandths", "qwen2_5_vl": "pixels", "qwen3_vl-tied": "thousandths"}
SYSTEM, FIRST, SHOWN, AGAIN, LAST = "Look first.", "{question} Where?", "Here: ", "Not there. ", " Now: {task}"
QUESTION, TASK = "What is it", "What is it? (A) cup (B) hat"


def fnv1a(data: bytes) -> str:
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


# --- the rules ------------------------------------------------------------------------------------------------------
def parse(text: str):
    """(bbox, end of the block) or the name of the rule that is broken."""
    found = re.search(r"```json\n(.*?)\n```", text, re.DOTALL)
    if not found:
        return "no-block"
    try:
        items = json.loads(found.group(1))
    except ValueError:
        return "not-json"
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return "not-list"
    for item in items:
        box = item.get("bbox_2d")
        if isinstance(box, list) and len(box) == 4 and all(isinstance(v, int) for v in box) and isinstance(item.get("label"), str):
            return [int(v) for v in box], found.end()
    return "no-box"


def locate(box, frame, read, original, side):
    """The box in the original, or the name of the rule that is broken. Sizes are (width, height)."""
    full = read if frame == "pixels" else (1000, 1000)
    x1, y1, x2, y2 = (v / full[i % 2] * read[i % 2] for i, v in enumerate(box))
    if not (x1 < x2 and y1 < y2):
        return "reversed"
    if x1 < 0 or y1 < 0:
        return "negative"
    if x2 > read[0] or y2 > read[1]:
        return "outside"
    if not (x2 - x1 > side and y2 - y1 > side):
        return "small"
    if max((x2 - x1) / (y2 - y1), (y2 - y1) / (x2 - x1)) >= 100:
        return "narrow"
    out = [int(v / full[i % 2] * original[i % 2]) for i, v in enumerate(box)]
    return out if out[0] < out[2] and out[1] < out[3] else "vanished"


def crop(image: Image.Image, box) -> Image.Image:
    width, height = box[2] - box[0], box[3] - box[1]
    return image if max(width, height) / min(width, height) >= 150 else image.crop(box)


def block(box, label='"cup"', before="", after=""):
    return f'{before}```json\n[{{"bbox_2d": {box}, "label": {label}}}]\n```{after}'


def boxes() -> list:
    ok = [28, 56, 112, 140]
    texts = [  # what is parsed, in a square image of 448 that is read as it is
        block(ok), block(ok, before="It is here:\n", after="\nand more"), block(ok, after="x"), "```json\n" + json.dumps([{"bbox_2d": ok}]) + "\n```",
        "no box", "", f"{ok}", block(ok).replace("```json\n", "```\n"), block(ok).replace("```json\n", "``` json\n"),
        block(ok).replace("```json\n", "```json "), block(ok).replace("\n```", "```"), block(ok).replace("```json", "```JSON"), "```json\n```", "```json\n\n```",
        '```json\n[{"bbox_2d": [1, 2, 3\n```', '```json\n{"bbox_2d": [28, 56, 112, 140], "label": "cup"}\n```', "```json\n[]\n```", "```json\n[1]\n```",
        '```json\n[{}, 3]\n```', '```json\nnull\n```', block("[28, 56, 112]"), block("[28, 56, 112, 140, 1]"), block("[28.0, 56, 112, 140]"),
        block('["28", "56", "112", "140"]'), block("[false, true, 112, 140]"), block("[28, 56, 112, null]"), block(ok, label="3"), block(ok, label="null"),
        block("[2e2, 56, 300, 140]"), block("[28, 56, 9223372036854775808, 140]"),
        '```json\n[{"label": "a"}, {"bbox_2d": [1.5, 2, 3, 4], "label": "b"}, {"bbox_2d": [0, 0, 448, 448], "label": "c"}]\n```',
        block([0, 0, 10, 10]) + "\n" + block(ok), '```json\n  [{"label": "ü", "bbox_2d": [0, 0, 29, 29]}]\n\n```', block(ok).replace("\n", "\r\n"),
        "```json\n```json\n[]\n```" + block(ok),
    ]
    cases = [(text, "pixels", (448, 448), (448, 448), 28) for text in texts]
    places = [  # what is valid: (box, frame, original, read, side)
        ([112, 56, 28, 140], "pixels", (448, 448), (448, 448), 28), ([28, 140, 112, 56], "pixels", (448, 448), (448, 448), 28),
        ([28, 56, 28, 140], "pixels", (448, 448), (448, 448), 28), ([-1, 56, 112, 140], "pixels", (448, 448), (448, 448), 28),
        ([28, -1, 112, 140], "pixels", (448, 448), (448, 448), 28), ([28, 56, 449, 140], "pixels", (448, 448), (448, 448), 28),
        ([28, 56, 112, 449], "pixels", (448, 448), (448, 448), 28), ([0, 0, 448, 448], "pixels", (448, 448), (448, 448), 28),
        ([0, 0, 28, 448], "pixels", (448, 448), (448, 448), 28), ([0, 0, 448, 28], "pixels", (448, 448), (448, 448), 28),
        ([0, 0, 29, 29], "pixels", (448, 448), (448, 448), 28), ([0, 0, 28, 28], "pixels", (448, 448), (448, 448), 28),
        ([0, 0, 2900, 29], "pixels", (5600, 56), (5600, 56), 28), ([0, 0, 2899, 29], "pixels", (5600, 56), (5600, 56), 28),
        ([0, 0, 29, 2900], "pixels", (56, 5600), (56, 5600), 28), ([3, 5, 101, 77], "pixels", (1999, 1501), (1148, 868), 28),
        ([1, 1, 1147, 867], "pixels", (1999, 1501), (1148, 868), 28), ([0, 0, 1148, 868], "pixels", (1999, 1501), (1148, 868), 28),
        ([7, 9, 50, 52], "pixels", (20, 20), (56, 56), 28), ([10, 10, 39, 39], "pixels", (1, 1), (56, 56), 28),
        ([0, 0, 1000, 1000], "thousandths", (1999, 1501), (1148, 868), 28), ([0, 0, 1001, 1000], "thousandths", (1999, 1501), (1148, 868), 28),
        ([333, 667, 400, 750], "thousandths", (1999, 1501), (1148, 868), 28), ([333, 667, 357, 750], "thousandths", (1999, 1501), (1148, 868), 28),
        ([0, 0, 62, 62], "thousandths", (448, 448), (448, 448), 28), ([0, 0, 63, 63], "thousandths", (448, 448), (448, 448), 28),
        ([125, 250, 625, 875], "thousandths", (640, 480), (640, 480), 32), ([0, 0, 50, 500], "thousandths", (640, 480), (640, 480), 32),
        ([0, 0, 20, 20], "pixels", (64, 64), (64, 64), 8),
    ]
    cases += [(block(box), frame, original, read, side) for box, frame, original, read, side in places]
    out = []
    for text, frame, original, read, side in cases:
        row = {"text": text, "frame": frame, "original": original, "read": read, "min_side": side}
        found = parse(text)
        placed = found if isinstance(found, str) else locate(found[0], frame, read, original, side)
        if isinstance(placed, str):
            row["refused"] = placed
        else:
            row |= {"said": found[0], "keep": len(text[:found[1]].encode()), "crop": placed}
        out.append(row)
    return out


# --- whole conversations --------------------------------------------------------------------------------------------

class Talks:
    def __init__(self, name: str, frame: str):
        folder = HERE.parent / "model" / "checkpoints" / name
        self.frame, self.processor = frame, AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        self.template = self.processor.chat_template or self.processor.tokenizer.chat_template
        self.images = self.processor.image_processor
        self.end = self.processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.other = self.processor.tokenizer.convert_tokens_to_ids("<|endoftext|>")

    def ids(self, messages, pictures):
        text = self.processor.apply_chat_template(messages, self.template, add_generation_prompt=True, tokenize=False)
        return self.processor(text=[text], images=pictures, return_tensors="pt")

    def encode(self, text):
        return self.processor.tokenizer.encode(text, add_special_tokens=False)

    def read(self, height, width):
        im = self.images
        area = lambda key: im.size[key] if isinstance(im.size, dict) else getattr(im.size, key)  # noqa: E731
        rows, columns = smart_resize(height, width, im.patch_size * im.merge_size, area("shortest_edge"), area("longest_edge"))
        return (columns, rows)

    def talk(self, size, reply, ending, answer):
        """`ending`: `closed` by <|im_end|>, `other` by <|endoftext|>, `cut` off."""
        picture = Image.fromarray(synth_rgb(*size, 5))
        read, side = self.read(*size), self.images.patch_size * self.images.merge_size
        said = self.encode(reply) + {"closed": [self.end], "other": [self.other], "cut": []}[ending]
        found = parse(reply)
        box = found if isinstance(found, str) else locate(found[0], self.frame, read, size[::-1], side)
        row = {"size": size, "read": read, "said": said, "ending": ending}
        if isinstance(box, str):
            shown, seen, kept = picture, AGAIN, reply
            row["refused"] = box
            if ending == "cut":  # its last token gives way to <|im_end|>
                kept = self.processor.tokenizer.decode(said[:-1])
        else:
            shown, seen, kept = crop(picture, box), SHOWN, reply[:found[1]]
            row |= {"crop": box, "crop_rgb": fnv1a(shown.tobytes())}
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": [
            {"type": "image"}, {"type": "text", "text": FIRST.format(question=QUESTION + ".")}]}]
        first = self.ids(messages, [picture])["input_ids"][0].tolist()
        messages += [{"role": "assistant", "content": kept}, {"role": "user", "content": [
            {"type": "text", "text": seen}, {"type": "image"}, {"type": "text", "text": LAST.format(task=TASK)}]}]
        both = self.ids(messages, [picture, shown])
        second = both["input_ids"][0].tolist()
        begin = len(first)
        assert second[:begin] == first
        one = second.index(self.end, begin) + 1 - begin
        assert second[begin:begin + one - 1] == self.encode(kept)
        two = self.encode(answer) + [self.end]
        ids = second + two
        row |= {"answer": two, "prompt": first, "ids": second[begin:] + two,
                "scored": [[0, one], [len(second) - begin, len(ids) - begin]],
                "grids": both["image_grid_thw"].tolist()}
        full = torch.tensor([ids])
        types = torch.cat([both["mm_token_type_ids"], torch.zeros(1, len(two), dtype=torch.long)], 1)
        positions, _ = self.model.model.get_rope_index(full, mm_token_type_ids=types, image_grid_thw=both["image_grid_thw"],
                                                       attention_mask=torch.ones_like(full))
        row["positions"] = positions[:, 0].T.tolist()
        resized = read != size[::-1] or shown.size != self.read(*shown.size[::-1])
        if not resized:
            with torch.no_grad():
                logits = self.model(input_ids=full, pixel_values=both["pixel_values"], image_grid_thw=both["image_grid_thw"],
                                    attention_mask=torch.ones_like(full), position_ids=positions, use_cache=False).logits
            logp = torch.log_softmax(logits[0, :-1].double(), -1).gather(1, full[0, 1:, None])[:, 0]
            scored = [i for a, b in row["scored"] for i in range(begin + a, begin + b)]
            row["logp"] = [round(logp[i - 1].item(), 7) for i in scored]
        return row

    def all(self):
        plain = [8, 8, 40, 32] if self.frame == "pixels" else [125, 167, 625, 667]
        odd = [5, 3, 50, 45] if self.frame == "pixels" else [71, 63, 701, 938]
        answer = "\\boxed{A}"
        cases = {
            "box": ((48, 64), block(plain), "closed", answer),
            "box-and-words": ((48, 64), block(plain, before="A cup: ", after=" is it."), "closed", answer),
            "resized": ((241, 322), block(odd, after="\n"), "cut", answer),
            "no-box": ((48, 64), "I see it not.", "closed", answer),
            "other-stop": ((48, 64), "I see it not.", "other", answer),
            "cut-off": ((241, 322), "I see it not", "cut", answer),
        }
        return {name: self.talk(*case) for name, case in cases.items()}


def main() -> None:
    (HERE / "boxes.json").write_text(json.dumps(boxes(), ensure_ascii=False, indent=0) + "\n")
    talks = {name: {"frame": frame, "talks": Talks(name, frame).all()} for name, frame in CHECKPOINTS.items()}
    script = {"system": SYSTEM, "first": "<image>" + FIRST, "shown": SHOWN + "<image>", "again": AGAIN + "<image>", "last": LAST}
    out = {"script": script, "question": QUESTION, "task": TASK, "checkpoints": talks}
    (HERE / "talks.json").write_text(json.dumps(out, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
