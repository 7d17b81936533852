"""What transformers computes for one checkpoint: every activation, log-probs, gradients, greedy tokens, windows."""
from __future__ import annotations

import json
import pathlib

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoProcessor

from checkpoints import published
from synth import synth_rgb

IMAGES = {"a": (24, 40), "b": (24, 16), "c": (16, 24)}  # name: (height, width); the seed is the index; none is resized
PROMPTS = {  # name: (images, messages)
    "two": (["a", "b"], [{"role": "system", "content": "Compare."}, {"role": "user", "content": [
        {"type": "image"}, {"type": "text", "text": " or "}, {"type": "image"}, {"type": "text", "text": "?"}]}]),
    "turns": ([], [{"role": "user", "content": "17*23"}, {"role": "assistant", "content": "391. 你好"},
                   {"role": "user", "content": "sûr?"}]),
    "one": (["c"], [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]),
}
LENGTHS = {"two": 9, "turns": 12, "one": 6}
GREEDY = 32
SMALL = 600  # values; larger gradients are left out of a checkpoint's reference that is not full
GRIDS = [[[1, 4, 4]], [[1, 8, 8]], [[1, 16, 16]], [[1, 2, 56]], [[1, 10, 18]], [[1, 24, 14], [1, 6, 10]], [[2, 12, 10]],
         [[1, 10, 14], [1, 6, 8]]]


def flat(t):
    return t.detach().clone().contiguous()


class Reference:
    def __init__(self, model, checkpoint: pathlib.Path):
        self.model, self.processor = model, AutoProcessor.from_pretrained(checkpoint)
        self.images = {n: synth_rgb(h, w, i) for i, (n, (h, w)) in enumerate(IMAGES.items())}
        gen = torch.Generator().manual_seed(7)
        end = self.processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.completions = {n: torch.cat([torch.randint(0, 280, (k - 1,), generator=gen), torch.tensor([end])])
                            for n, k in LENGTHS.items()}

    def encode(self, names):
        template = self.processor.chat_template or self.processor.tokenizer.chat_template
        texts = [self.processor.apply_chat_template(PROMPTS[n][1], template, add_generation_prompt=True, tokenize=False)
                 for n in names]
        pictures = [Image.fromarray(self.images[i]) for n in names for i in PROMPTS[n][0]]
        return texts, self.processor(text=texts, images=pictures or None, padding=True, padding_side="left", return_tensors="pt")

    def followed(self, enc, completion, mask):
        """The prompt batch with completions behind it, and its positions as the model itself makes them."""
        full = dict(enc) | {"input_ids": torch.cat([enc["input_ids"], completion], 1),
                            "attention_mask": torch.cat([enc["attention_mask"], mask], 1),
                            "mm_token_type_ids": torch.cat([enc["mm_token_type_ids"], 0 * completion], 1)}
        if full.get("image_grid_thw") is None:
            line = (full["attention_mask"].cumsum(-1) - 1).clamp(min=0)
            return full, line[None].repeat(3, 1, 1), torch.zeros(len(line), 1, dtype=torch.long)
        return full, *self.model.model.get_rope_index(
            full["input_ids"], mm_token_type_ids=full["mm_token_type_ids"], image_grid_thw=full["image_grid_thw"],
            attention_mask=full["attention_mask"])

    def logits(self, full, positions):
        keys = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
        return self.model(**{k: full[k] for k in keys if full.get(k) is not None}, position_ids=positions, use_cache=False).logits

    @torch.no_grad()
    def single(self, name):
        """One prompt with its completion, and every intermediate."""
        texts, enc = self.encode([name])
        completion = self.completions[name][None]
        full, positions, deltas = self.followed(enc, completion, torch.ones_like(completion))
        grabbed, hooks = {}, []

        def grab(key):
            return lambda _m, _i, o: grabbed.update({key: flat(o[0] if isinstance(o, tuple) else o)})

        tower, decoder = self.model.model.visual, self.model.model.language_model
        modules = {f"text.layer.{i}": b for i, b in enumerate(decoder.layers)}
        if PROMPTS[name][0]:
            modules |= {"vision.patch_embed": tower.patch_embed, **{f"vision.block.{i}": b for i, b in enumerate(tower.blocks)}}
        hooks = [module.register_forward_hook(grab(key)) for key, module in modules.items()]
        logits = self.logits(full, positions)
        for h in hooks:
            h.remove()
        p = enc["input_ids"].shape[1]
        logp, entropy = stats(logits[:, p - 1:-1], completion)
        out = {"input_ids_i64": full["input_ids"], "position_ids_i64": positions, "rope_deltas_i64": deltas,
               "logits": logits[:, p - 1:], "completion_logprobs": logp, "completion_entropy": entropy, **grabbed}
        if PROMPTS[name][0]:
            features = self.model.model.get_image_features(enc["pixel_values"], enc["image_grid_thw"], return_dict=True)
            out |= {"pixel_values": enc["pixel_values"], "image_grid_thw_i64": enc["image_grid_thw"],
                    "vision.output": torch.cat(list(features.pooler_output))}
            for i, d in enumerate(getattr(features, "deepstack_features", None) or []):
                out[f"vision.deepstack.{i}"] = torch.cat(list(d))
        keys = ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw")
        self.model.model.rope_deltas = None
        auto = self.model(**{k: full[k] for k in keys if full.get(k) is not None}, use_cache=False).logits
        assert torch.allclose(auto, logits, atol=1e-5), name
        about = {"messages": PROMPTS[name][1], "images": PROMPTS[name][0], "rendered": texts[0],
                 "input_ids": enc["input_ids"][0].tolist(), "completion_ids": completion[0].tolist()}
        return about, out

    def gradients(self, family):
        """d(mean NLL over all completion tokens of all prompts) / d(every parameter), by published names."""
        names, width = list(PROMPTS), max(LENGTHS.values())
        _, enc = self.encode(names)
        completion = torch.full((len(names), width), self.processor.tokenizer.pad_token_id)
        mask = torch.zeros_like(completion)
        for i, n in enumerate(names):
            completion[i, :LENGTHS[n]], mask[i, :LENGTHS[n]] = self.completions[n], 1
        full, positions, deltas = self.followed(enc, completion, mask)
        self.model.zero_grad()
        logp, entropy = stats(self.logits(full, positions)[:, enc["input_ids"].shape[1] - 1:-1], completion)
        loss = -(logp * mask).sum() / mask.sum()
        loss.backward()
        grads = {published(n, family): flat(p.grad) for n, p in self.model.named_parameters()}
        dead = [n for n, g in grads.items() if not g.isfinite().all() or g.abs().max() == 0]
        assert not dead, dead
        batch = {"input_ids_i64": full["input_ids"], "attention_mask_i64": full["attention_mask"], "position_ids_i64": positions,
                 "rope_deltas_i64": deltas, "completion_ids_i64": completion, "completion_mask_i64": mask,
                 "pixel_values": enc["pixel_values"], "image_grid_thw_i64": enc["image_grid_thw"], "logprobs": logp,
                 "entropy": entropy, "loss": loss[None]}
        return grads, {k: flat(v) for k, v in batch.items()}

    @torch.no_grad()
    def greedy(self, names):
        """GREEDY tokens with the KV cache, end tokens not stopping it, with the smallest gap between the best two."""
        self.model.generation_config.eos_token_id = None
        self.model.model.rope_deltas = None
        _, enc = self.encode(names)
        r = self.model.generate(**enc, max_new_tokens=GREEDY, do_sample=False, use_cache=True, output_logits=True, top_k=None,
                                return_dict_in_generate=True, temperature=None, top_p=None,
                                pad_token_id=self.processor.tokenizer.pad_token_id)
        tokens, steps = r.sequences[:, enc["input_ids"].shape[1]:], torch.stack(r.logits, 1)
        top = steps.topk(2, -1).values
        logp = steps.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
        return [{"single": t.tolist(), "logprobs": [round(x, 6) for x in lp.tolist()], "min_top2_gap_single": g.item()}
                for t, lp, g in zip(tokens, logp, (top[..., 0] - top[..., 1]).min(1).values)]


def stats(logits, targets):
    logp = logits.float().log_softmax(-1)
    return logp.gather(-1, targets[..., None])[..., 0], -(logp.exp() * logp).sum(-1)


def windows(path: pathlib.Path) -> None:
    """Qwen2.5-VL's window index for window 112, patch 14, merge 2 (four merged units a side)."""
    from transformers.vision_utils import get_vision_position_ids, get_vision_window_index
    rows = []
    for grid in GRIDS:
        g = torch.tensor(grid)
        index, bounds = get_vision_window_index(g, 2, 112, 14)
        row = {"grid_thw": grid, "window_index": index.tolist(), "cu_window_seqlens": bounds.tolist()}
        if len(rows) in (4, 5):
            row["hw_position_ids"] = get_vision_position_ids(g, 2).tolist()
        rows.append(row)
    path.write_text(json.dumps(rows, separators=(",", ":")) + "\n")


def dump(model, checkpoint: pathlib.Path, out: pathlib.Path, family: str, full: bool) -> dict:
    """`full`: with the activations of prompt `two` and the gradients of large parameters (they are most of the bytes)."""
    out.mkdir(parents=True, exist_ok=True)
    ref, prompts, tensors = Reference(model, checkpoint), {}, {}
    for name in PROMPTS:
        prompts[name], tensors[name] = ref.single(name)
        keep = {k: flat(v) for k, v in tensors[name].items()
                if name == "two" and full or not k.startswith(("vision.block", "vision.patch", "text.layer"))}
        save_file(keep, out / f"single_{name}.safetensors")
    grads, batch = ref.gradients(family)
    for i, name in enumerate(PROMPTS):  # padded in a batch and alone must tell the same
        alone = tensors[name]["completion_logprobs"][0]
        assert torch.allclose(alone, batch["logprobs"][i, :len(alone)], atol=1e-4), name
    save_file(batch, out / "train.safetensors")
    save_file({n: g for n, g in grads.items() if full or g.numel() <= SMALL}, out / "grads.safetensors")
    both, alone = ref.greedy(["two", "turns"]), [ref.greedy([n])[0] for n in ("two", "turns")]
    assert [b["single"] for b in both] == [b["single"] for b in alone]
    write = lambda file, value: (out / file).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")  # noqa: E731
    write("prompts.json", prompts)
    write("generate.json", dict(zip(("two", "turns"), alone)))
    norm = torch.sqrt(sum(g.double().square().sum() for g in grads.values())).item()
    return {"grad_norm": norm, "loss": batch["loss"].item(), "gap": min(a["min_top2_gap_single"] for a in alone),
            "distinct": [len(set(a["single"])) for a in alone], "logit_std": tensors["two"]["logits"].std().item()}
