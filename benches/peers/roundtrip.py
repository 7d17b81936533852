"""A model directory that foveate wrote, loaded in transformers: same tensors, same ids, same log-probs.

    roundtrip.py DIR --foveate target/release/foveate [--source DIR] [--tolerance 1e-3]
    roundtrip.py DIR --logits DUMP.safetensors [--source DIR]

Loads DIR in transformers and fails on any missing, unexpected or mismatched key. `--source`: the directory that DIR was
written from; every tensor must have kept its name and value. `--foveate`: runs `foveate score` on prompts made here (one
picture, two pictures, text with several turns) and compares prompt ids, log-probs and entropies with transformers'; the
pictures have sizes that no processor changes. `--logits`: instead compares logits that foveate dumped:
    input_ids_i64 [1,T]  logits [1,K,V] (the last K positions)  and, with images, pixel_values [N,D]  image_grid_thw_i64 [n,3]
"""
from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/golden/model"))
from synth import synth_rgb  # noqa: E402


def stored(path: pathlib.Path) -> dict[str, torch.Tensor]:
    files = sorted(path.glob("*.safetensors"))
    index = path / "model.safetensors.index.json"
    if index.exists():
        files = sorted({path / f for f in json.loads(index.read_text())["weight_map"].values()})
    return {k: t for f in files for k, t in load_file(f).items()}


def compare_files(written: pathlib.Path, source: pathlib.Path) -> None:
    ours, theirs = stored(written), stored(source)
    if ours.keys() != theirs.keys():
        raise SystemExit(f"tensor names differ: {sorted(ours.keys() ^ theirs.keys())[:5]}")
    changed = [k for k, t in theirs.items() if ours[k].shape != t.shape or not torch.equal(ours[k].float(), t.float())]
    types = sorted({(str(t.dtype), str(ours[k].dtype)) for k, t in theirs.items()})
    print(f"{len(theirs)} tensors of {source.name}: {len(changed)} changed; dtypes source -> written: {types}")
    if changed:
        raise SystemExit(f"changed: {changed[:5]}")


def rows(processor, folder: pathlib.Path) -> list[dict]:
    """Prompts in the form `foveate score` reads; sides are multiples of patch * merge, areas within the limits."""
    p = processor.image_processor
    unit, low, high = p.patch_size * p.merge_size, p.size["shortest_edge"], p.size["longest_edge"]
    fits = [(h * unit, w * unit) for h in range(1, 40) for w in range(1, 40) if h != w and low <= h * w * unit * unit <= high]
    pictures = []
    for i, (h, w) in enumerate([fits[0], fits[len(fits) // 4]]):
        pictures.append(folder / f"{i}.png")
        Image.fromarray(synth_rgb(h, w, i)).save(pictures[-1])
    image = lambda i: {"type": "image", "image": str(pictures[i])}  # noqa: E731
    text = lambda t: {"type": "text", "text": t}  # noqa: E731
    user = lambda *content: {"role": "user", "content": list(content)}  # noqa: E731
    answer = {"role": "assistant", "content": [text("391.")]}
    return [{"id": "one", "messages": [user(image(0), text("What is shown?"))], "completion": "A red square."},
            {"id": "two", "messages": [user(image(0), text(" or "), image(1), text("?"))], "completion": "the second"},
            {"id": "turns", "messages": [user(text("17 * 23?")), answer, user(text("你好, sûr?"))], "completion": "yes, 391"}]


@torch.no_grad()
def theirs(model, processor, row: dict) -> dict:
    pictures = [Image.open(c["image"]) for m in row["messages"] for c in m["content"] if c["type"] == "image"]
    template = processor.chat_template or processor.tokenizer.chat_template
    prompt = processor.apply_chat_template(row["messages"], template, add_generation_prompt=True, tokenize=False)
    enc = processor(text=[prompt], images=pictures or None, return_tensors="pt")
    end = [processor.tokenizer.convert_tokens_to_ids("<|im_end|>")]
    completion = torch.tensor([processor.tokenizer(row["completion"])["input_ids"] + end])
    count = enc["input_ids"].shape[1]
    full = dict(enc) | {"input_ids": torch.cat([enc["input_ids"], completion], 1)}
    full["attention_mask"] = torch.ones_like(full["input_ids"])
    full["mm_token_type_ids"] = torch.cat([enc["mm_token_type_ids"], 0 * completion], 1)
    model.model.rope_deltas = None
    logp = model(**full, use_cache=False).logits[0, count - 1:-1].log_softmax(-1)
    return {"prompt_ids": enc["input_ids"][0].tolist(), "completion_ids": completion[0].tolist(),
            "logprobs": logp.gather(-1, completion[0][:, None])[:, 0], "entropy": -(logp.exp() * logp).sum(-1)}


def compare_scores(a, model) -> None:
    processor = AutoProcessor.from_pretrained(a.dir)
    with tempfile.TemporaryDirectory() as folder:
        asked, scored = pathlib.Path(folder) / "in.jsonl", pathlib.Path(folder) / "out.jsonl"
        wanted = rows(processor, pathlib.Path(folder))
        asked.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in wanted))
        subprocess.run([a.foveate, "score", "--model", a.dir, asked, "--out", scored], check=True)
        ours = {r["id"]: r for r in map(json.loads, scored.read_text().splitlines())}
        want = {r["id"]: theirs(model, processor, r) for r in wanted}
    for name, w in want.items():
        got = ours.pop(name)
        for key in ("prompt_ids", "completion_ids"):
            if got[key] != w[key]:
                raise SystemExit(f"{name}: {key} differ:\n  ours   {got[key]}\n  theirs {w[key]}")
        apart = {k: (torch.tensor(got[k]) - w[k]).abs().max().item() for k in ("logprobs", "entropy")}
        print(f"{name}: {len(w['prompt_ids'])} + {len(w['completion_ids'])} ids equal; log-probs apart by {apart['logprobs']:.1e}, "
              f"entropies by {apart['entropy']:.1e}")
        if not max(apart.values()) <= a.tolerance:
            raise SystemExit(f"{name}: more than {a.tolerance:.0e} apart")
    if ours:
        raise SystemExit(f"rows that were not asked for: {list(ours)}")


@torch.no_grad()
def compare_logits(a, model) -> None:
    dump = load_file(a.logits)
    ids = dump["input_ids_i64"]
    enc = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": (ids == model.config.image_token_id).long()}
    if "pixel_values" in dump:
        enc |= {"pixel_values": dump["pixel_values"], "image_grid_thw": dump["image_grid_thw_i64"]}
    want = model(**enc, use_cache=False).logits[:, -dump["logits"].shape[1]:]
    apart = (dump["logits"] - want).abs().max().item()
    print(f"logits of {want.shape[1]} positions apart by {apart:.1e} (std {want.std():.2f})")
    if not apart <= a.tolerance:
        raise SystemExit(f"more than {a.tolerance:.0e} apart")


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = lambda p: pathlib.Path(p).resolve()  # noqa: E731
    ap.add_argument("dir", type=path)
    for name in ("--foveate", "--source", "--logits"):
        ap.add_argument(name, type=path)
    ap.add_argument("--tolerance", type=float, default=1e-3)
    a = ap.parse_args()
    model, info = AutoModelForImageTextToText.from_pretrained(a.dir, dtype=torch.float32, output_loading_info=True)
    problems = {k: v for k, v in info.items() if v}
    print(f"{a.dir.name}: {sum(p.numel() for p in model.parameters()):,} parameters; loading problems: {problems or 'none'}")
    if problems:
        raise SystemExit(1)
    model.eval()
    if a.source:
        compare_files(a.dir, a.source)
    if a.foveate:
        compare_scores(a, model)
    if a.logits:
        compare_logits(a, model)


if __name__ == "__main__":
    main()
