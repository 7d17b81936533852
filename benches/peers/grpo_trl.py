"""TRL's GRPOTrainer, timed per optimizer step: grpo_trl.py CHECKPOINT ROWS [options]; one JSON line at the end.

`generate` is transformers' generate() alone, `rollout_other` the rest of _prepare_inputs (image processing, which it does
twice; tokenising; reward; advantages), `scoring` the forwards of the reference model (TRL skips the old policy's when on
policy), `forward` compute_loss, `backward_optimizer_rest` all else of the step.
"""
from __future__ import annotations

import argparse
import collections
import json
import tempfile

import grpo_common as common
from machine import Clock

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
common.add_arguments(ap)
ap.add_argument("--micro-batch", type=int, help="completions of one forward + backward (default: all)")
ap.add_argument("--gradient-checkpointing", action="store_true", help="TRL's default is on; off here")
a = ap.parse_args()

import torch  # noqa: E402
import transformers  # noqa: E402
import trl  # noqa: E402
from datasets import Dataset, Image  # noqa: E402
from transformers import AutoConfig, AutoProcessor, TrainerCallback  # noqa: E402
from trl.extras.profiling import ProfilingContext  # noqa: E402

torch.set_num_threads(a.threads)
transformers.logging.set_verbosity_error()
clock, current, per_step, stack = Clock(), collections.Counter(), [], []


class Timed(ProfilingContext):
    """TRL's own profiling spans, summed per step."""

    def __enter__(self):
        stack.append(self.name)
        return super().__enter__()

    def __exit__(self, *exc):
        super().__exit__(*exc)
        stack.pop()

    def _log_metrics(self, duration):
        name = self.name.split(".", 1)[1]
        if name == "_get_per_token_logps_and_entropies":
            if any(s.endswith("compute_loss") for s in stack):
                return  # counted there
            name = "scoring"
        current[name] += duration


class StepTimer(TrainerCallback):
    def on_train_begin(self, *_, **__):
        clock.tick()

    def on_step_end(self, *_, **__):
        clock.tick()
        per_step.append(dict(current))
        current.clear()


def rewards(completions, answer, **_):
    return [common.reward(c[0]["content"], x) for c, x in zip(completions, answer)]


def trainer_for(folder: str):
    processor, total = AutoProcessor.from_pretrained(a.checkpoint), a.prompts * a.group
    forbidden = common.forbidden_ids(processor.tokenizer, AutoConfig.from_pretrained(a.checkpoint))
    rows = [{"prompt": [{"role": "user", "content": r["question"]}], "image": r["image"], "answer": r["answer"]}
            for r in common.rows_of(a)]
    micro = a.micro_batch or total
    return trl.GRPOTrainer(
        model=str(a.checkpoint), reward_funcs=rewards, processing_class=processor, callbacks=[StepTimer()],
        train_dataset=Dataset.from_list(rows).cast_column("image", Image()),
        args=trl.GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=False, model_init_kwargs={"dtype": "float32"}, report_to="none",
            per_device_train_batch_size=micro, gradient_accumulation_steps=total // micro, num_generations=a.group,
            max_completion_length=a.tokens, beta=a.beta, learning_rate=a.lr, gradient_checkpointing=a.gradient_checkpointing,
            max_steps=a.warmup + a.steps, save_strategy="no", logging_steps=1, disable_tqdm=True, seed=a.seed, temperature=1.0,
            generation_kwargs={"min_new_tokens": a.tokens, "suppress_tokens": forbidden}))


trl.extras.profiling.ProfilingContext = Timed
with tempfile.TemporaryDirectory() as folder:
    trainer = trainer_for(folder)
    trainer.train()
logs = [x for x in trainer.state.log_history if "reward" in x]
lengths = {(x["completions/min_length"], x["completions/max_length"]) for x in logs}
assert lengths == {(a.tokens, a.tokens)}, lengths
get = lambda k: [p.get(k, 0.0) for p in per_step]  # noqa: E731
parts = {"generate": get("transformers.generate"), "scoring": get("scoring"), "forward": get("compute_loss")}
parts["rollout_other"] = [p - g - s for p, g, s in zip(get("_prepare_inputs"), parts["generate"], parts["scoring"])]
parts["backward_optimizer_rest"] = [w - p - f for w, p, f in zip(clock.wall, get("_prepare_inputs"), parts["forward"])]
mean = lambda k: round(sum(x[k] for x in logs) / len(logs), 4)  # noqa: E731
print(json.dumps(common.record(
    a, "trl", clock, parts, version=trl.__version__, torch=torch.__version__, transformers=transformers.__version__,
    gradient_checkpointing=a.gradient_checkpointing, loss_type=trainer.args.loss_type, optimizer=str(trainer.args.optim),
    attention=trainer.model.config._attn_implementation, mean_reward=mean("reward"), mean_grad_norm=mean("grad_norm"))))
