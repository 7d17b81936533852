"""GRPO steps in plain PyTorch on transformers' Qwen2.5-VL: what the model costs without a trainer.

    grpo_plain.py CHECKPOINT ROWS [--mode shared|hf] [options] [--check]

hf:     generate() on a row a completion, each with its own copy of the image (as TRL feeds it), one forward + backward.
shared: an image goes through the tower once per rollout and once per update, a prompt is prefilled once and its KV cache
        repeated, sampling is a bare loop: good PyTorch, and the honest bar. The gradient is the same (`--check` shows it).
Both process an image once, and are on policy: no forward for old log-probs.
"""
from __future__ import annotations

import argparse
import collections
import contextlib
import json
import time

import grpo_common as common
from machine import Clock

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
common.add_arguments(ap)
ap.add_argument("--mode", default="shared", choices=["hf", "shared"])
ap.add_argument("--check", action="store_true", help="compare the two modes' log-probs, gradients and greedy tokens, and stop")
a = ap.parse_args()

import torch  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import AutoModelForImageTextToText, AutoProcessor, DynamicCache  # noqa: E402

torch.set_num_threads(a.threads)
torch.manual_seed(a.seed)
transformers.logging.set_verbosity_error()
G, T = a.group, a.tokens
load = lambda: AutoModelForImageTextToText.from_pretrained(a.checkpoint, dtype=torch.float32)  # noqa: E731
processor, model = AutoProcessor.from_pretrained(a.checkpoint), load()
reference = load().eval().requires_grad_(False) if a.beta else None
forbidden = common.forbidden_ids(processor.tokenizer, model.config)
optimizer = torch.optim.AdamW(model.parameters(), lr=a.lr, weight_decay=0.0, fused=True)
current, per_step, clock = collections.Counter(), [], Clock()


@contextlib.contextmanager
def part(name):
    start = time.perf_counter()
    yield
    current[name] += time.perf_counter() - start


def prepare(rows):
    """The processor's output for the prompts, a row each, left-padded."""
    texts = [processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": r["question"]}]}],
        add_generation_prompt=True, tokenize=False) for r in rows]
    images = [Image.open(r["image"]).convert("RGB") for r in rows]
    return processor(text=texts, images=images, padding=True, padding_side="left", return_tensors="pt")


def repeated(enc):
    """Every prompt G times, with its image; images are of one size here."""
    out = {k: enc[k].repeat_interleave(G, 0) for k in ("input_ids", "attention_mask", "mm_token_type_ids", "image_grid_thw")}
    patches = enc["pixel_values"].view(len(enc["input_ids"]), -1, enc["pixel_values"].shape[1])
    return out | {"pixel_values": patches.repeat_interleave(G, 0).flatten(0, 1)}


def rope_index(m, enc):
    return m.model.get_rope_index(enc["input_ids"], enc["mm_token_type_ids"], enc["image_grid_thw"],
                                  attention_mask=enc["attention_mask"])


def image_features(m, enc):
    return torch.cat(m.model.get_image_features(enc["pixel_values"], enc["image_grid_thw"], return_dict=True).pooler_output)


def embedded(m, ids, features):
    x = m.model.language_model.embed_tokens(ids)
    return x.masked_scatter((ids == m.config.image_token_id)[..., None], features)


@torch.no_grad()
def generate_hf(enc, **sampling):
    model.model.rope_deltas = None
    rows = repeated(enc)
    sampling = sampling or {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
    out = model.generate(**rows, max_new_tokens=T, min_new_tokens=T, suppress_tokens=forbidden, **sampling)
    return out[:, rows["input_ids"].shape[1]:]


@torch.no_grad()
def generate_shared(enc, choose=lambda p: torch.multinomial(p, 1)):
    lm, ids, mask = model.model.language_model, enc["input_ids"], enc["attention_mask"]
    positions, deltas = rope_index(model, enc)
    cache = DynamicCache(config=model.config.get_text_config())
    hidden = lm(inputs_embeds=embedded(model, ids, image_features(model, enc)), position_ids=positions, attention_mask=mask,
                past_key_values=cache, use_cache=True).last_hidden_state[:, -1]
    cache.batch_repeat_interleave(G)
    hidden = hidden.repeat_interleave(G, 0)
    after = (mask.sum(1, keepdim=True) + deltas).repeat_interleave(G, 0)
    mask = torch.cat([mask.repeat_interleave(G, 0), mask.new_ones(len(hidden), T)], 1)
    new = []
    for t in range(T):
        logits = model.lm_head(hidden)
        logits[:, forbidden] = -torch.inf
        new.append(choose(torch.softmax(logits, -1)))
        if t + 1 < T:
            hidden = lm(inputs_embeds=lm.embed_tokens(new[-1]), position_ids=(after + t).expand(3, -1, -1),
                        attention_mask=mask[:, :ids.shape[1] + t + 1], past_key_values=cache, use_cache=True).last_hidden_state[:, -1]
    return torch.cat(new, 1)


def log_probs_hf(m, enc, completion):
    m.model.rope_deltas = None
    rows, ones = repeated(enc), torch.ones_like(completion)
    logits = m(input_ids=torch.cat([rows["input_ids"], completion], 1),
               attention_mask=torch.cat([rows["attention_mask"], ones], 1),
               mm_token_type_ids=torch.cat([rows["mm_token_type_ids"], 0 * ones], 1), pixel_values=rows["pixel_values"],
               image_grid_thw=rows["image_grid_thw"], use_cache=False, logits_to_keep=T + 1).logits
    return logits[:, :-1].log_softmax(-1).gather(-1, completion[..., None])[..., 0]


def log_probs_shared(m, enc, completion):
    ids, mask = enc["input_ids"], enc["attention_mask"]
    positions, deltas = rope_index(m, enc)
    after = (mask.sum(1, keepdim=True) + deltas).repeat_interleave(G, 0) + torch.arange(T)
    positions = torch.cat([positions.repeat_interleave(G, 1), after.expand(3, -1, -1)], 2)
    features = image_features(m, enc)
    features = features.view(len(ids), -1, features.shape[1]).repeat_interleave(G, 0).flatten(0, 1)
    full = torch.cat([ids.repeat_interleave(G, 0), completion], 1)
    mask = torch.cat([mask.repeat_interleave(G, 0), torch.ones_like(completion)], 1)
    hidden = m.model.language_model(inputs_embeds=embedded(m, full, features), position_ids=positions, attention_mask=mask,
                                    use_cache=False).last_hidden_state[:, -T - 1:-1]
    return m.lm_head(hidden).log_softmax(-1).gather(-1, completion[..., None])[..., 0]


generate, log_probs = {"hf": (generate_hf, log_probs_hf), "shared": (generate_shared, log_probs_shared)}[a.mode]


def step(rows) -> float:
    with part("process_images_tokens"):
        enc = prepare(rows)
    with part("generate"):
        completion = generate(enc)
    assert completion.shape == (a.prompts * G, T)
    with part("reward_advantage"):
        texts = processor.tokenizer.batch_decode(completion, skip_special_tokens=True)
        r = torch.tensor([common.reward(t, rows[i // G]["answer"]) for i, t in enumerate(texts)]).view(-1, G)
        advantage = ((r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-4)).view(-1, 1)
    kl = 0.0
    if reference:
        with part("scoring"), torch.no_grad():
            ref = log_probs(reference, enc, completion)
    with part("forward"):
        lp = log_probs(model, enc, completion)
        if reference:
            kl = torch.exp(ref - lp) - (ref - lp) - 1
        loss = (-torch.exp(lp - lp.detach()) * advantage + a.beta * kl).sum() / completion.numel()
    with part("backward"):
        loss.backward()
    with part("optimizer"):
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    per_step.append(dict(current))
    current.clear()
    return float(r.mean())


def check(rows) -> None:
    enc, out = prepare(rows), []
    completion = generate_shared(enc)
    for f in (log_probs_hf, log_probs_shared):
        model.zero_grad()
        lp = f(model, enc, completion)
        lp.mean().backward()
        out.append((lp.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])))
    (lp0, g0), (lp1, g1) = out
    greedy = generate_shared(enc, lambda p: p.argmax(-1, keepdim=True))
    want = generate_hf(enc, do_sample=False, temperature=None, top_p=None, top_k=None)
    print(f"log-probs differ by {(lp0 - lp1).abs().max():.1e}, gradients by {(g0 - g1).norm() / g0.norm():.1e} relative, "
          f"{int((greedy != want).sum())} of {want.numel()} greedy tokens")


model.eval()  # no dropout in it; eval() keeps generate() quiet
data = common.rows_of(a)
batches = [data[i:i + a.prompts] for i in range(0, len(data), a.prompts)]
if a.check:
    check(batches[0])
    raise SystemExit
clock.tick()
means = []
for batch in batches:
    means.append(step(batch))
    clock.tick()
parts = {k: [p[k] for p in per_step] for k in per_step[0]}
print(json.dumps(common.record(a, f"plain-{a.mode}", clock, parts, torch=torch.__version__, transformers=transformers.__version__,
                               attention=model.config._attn_implementation, mean_reward=round(sum(means) / len(means), 4))))
