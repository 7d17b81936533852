"""GRPO with rollouts on a vLLM server: does it learn as with its own, and what if the server ends or keeps old weights?

    vllm_cpu.sh install VENV                                                          (once)
    rollouts.py --venv VENV --foveate target/release/foveate --out DIR [--steps 20] [--port 8311] [--only NAME,...]

Makes a slightly warmed-up model with `foveate train`, serves it with vllm_cpu.sh, and runs the same recipe

    local            with rollouts by the model itself
    server           with rollouts on the server
    killed           the same, and the server is killed (SIGKILL) and started again: in the middle of rollouts, of a probe
    stale            the same, through a proxy that swallows every push after the third
    adapter-local    with LoRA, by the model itself
    adapter          the same on the server, which loads each step's adapter under a name of its own
    adapter-killed   the same, killed as above
    adapter-partial  LoRA on the vision tower too, of which this server was not told: it leaves those adapters out

Prints what metrics.jsonl says of each: rewards, the probe after every push, the gap between sampler and trainer, times.
Fails unless every run ends with all of its steps and answers, every probe passed, and a reward that rose; `stale` and
`adapter-partial` must be refused, and no server may be left with adapters of old steps.
"""
import argparse
import itertools
import json
import pathlib
import subprocess
import sys
import threading
import time
import tomllib

from servers import Proxy, vllm

HERE = pathlib.Path(__file__).parent
RECIPE = HERE / "rollouts.toml"
RUNS = ["local", "server", "killed", "stale", "adapter-local", "adapter", "adapter-killed", "adapter-partial"]
ROLLOUT = tomllib.loads(RECIPE.read_text())["rollout"]
PROMPTS, PROBES = ROLLOUT["prompts"], 4
ADAPTER = ["model.lora.rank=8", "model.lora.alpha=16", "optim.lr=5e-3"]
# Runs that must end by themselves: further words, their steps at the most, and what they say.
REFUSED = {"stale": ([], 3, "did not take the new weights"),
           "adapter-partial": (['model.lora.target_modules="all-linear"'], 2, "the server leaves them out")}


def lines(run):
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.open()] if path.exists() else []
    return [row for row in rows if row["stage"] == "train"]


def mean(rows, key):
    return sum(row[key] for row in rows) / len(rows)


def total(rows, key):
    return sum(row.get(key, 0.0) for row in rows)


def describe(name, run, wall):
    rows = lines(run)
    top = lambda key: max(row.get(key, float("nan")) for row in rows)  # noqa: E731
    part = max(1, len(rows) // 4)
    first, last = mean(rows[:part], "reward/mean"), mean(rows[-part:], "reward/mean")
    print(f"{name}: {len(rows)} steps, reward {first:.3f} -> {last:.3f} (means of {part} steps), {wall:.0f} s")
    if "probe/gap" in rows[0]:
        # What is pushed again moves nothing.
        moved = min((row["probe/moved"] for row in rows[1:] if row["sync/pushes"] == 1), default=float("nan"))
        print(f"    probe gap at most {top('probe/gap'):.1e} (one token {top('probe/gap/max'):.1e}), "
              f"moved at least {moved:.1e}; "
              f"sampler gap {mean(rows, 'logp/sampler_gap'):.1e}, one token {top('logp/sampler_gap/max'):.1e}")
        print(f"    pushes {total(rows, 'sync/pushes'):.0f}, asked again {total(rows, 'engine/asked_again'):.0f}; a step: sync "
              f"{mean(rows, 'time/sync_s'):.2f} s, rollouts {mean(rows, 'time/rollout_s'):.2f} s, update "
              f"{mean(rows, 'time/update_s'):.2f} s", flush=True)
    return rows, last > 1.2 * first


class Bench:
    def __init__(self, args):
        self.args, self.out = args, args.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.known = set()

    def train(self, name, *words):
        """The run NAME: its exit code, its steps, and whether its reward rose."""
        run, begun = self.out / name, time.time()
        command = [self.args.foveate, "train", str(RECIPE), f"out={run}", f"train.steps={self.args.steps}", *words]
        with open(self.out / f"{name}.log", "w") as log:
            code = subprocess.run(command, stdout=log, stderr=log).returncode
        return code, *describe(name, run, time.time() - begun)

    def warm(self):
        start = self.out / "warm"
        if not (start / "latest").exists():
            words = ["model.path=tiny", f"warmup.steps={self.args.warmup}", f"out={start}", "train.steps=0"]
            subprocess.run([self.args.foveate, "train", str(RECIPE), *words], check=True, stdout=subprocess.DEVNULL)
        return start / (start / "latest").read_text().strip()

    def whole(self, name, rows):
        """Whether every answer was written down."""
        answers = sum(1 for _ in (self.out / name / "completions.jsonl").open())
        whole = answers == len(rows) * PROMPTS * ROLLOUT["group"]
        print(f"    {answers} answers written down" + ("" if whole else ": SOME ARE MISSING"), flush=True)
        return whole

    def tidy(self, server):
        """Whether the server has no more than the last adapter of a run."""
        names = {model["id"] for model in server.call("/v1/models")["data"]} - {"policy"}
        new, self.known = names - self.known, self.known | names
        print(f"    adapters left at the server: {', '.join(sorted(new))}", flush=True)
        return len(new) == 1

    def compare(self, name, other):
        """Said, not asked: vLLM does not promise the same answers twice."""
        if (self.out / other).exists():
            files = [next((self.out / run / "checkpoints").glob("step-*/*model.safetensors")) for run in (name, other)]
            same = files[0].read_bytes() == files[1].read_bytes()
            print(f"    weights in the end are {'' if same else 'not '}those of {other}, to the byte", flush=True)


def nothing(path, body):
    """Before a call."""


def swallowing(pushes):
    """Before a call: pushes after the first `pushes` do not reach the server."""
    told = itertools.count()
    return lambda path, _: {"results": [None]} if path == "/collective_rpc" and next(told) >= pushes else None


def killing(server, rollouts, probes):
    """Before a call: the server is killed at the call number `rollouts` for answers that are trained on, and again at the
    one number `probes` for the probe; each time it is started again two seconds later."""
    calls = {"rollouts": itertools.count(1), "probes": itertools.count(1)}
    at = {"rollouts": rollouts, "probes": probes}

    def before(path, body):
        if not path.endswith("/chat/completions"):
            return
        kind = "rollouts" if body["n"] > 1 else "probes"
        if next(calls[kind]) == at[kind]:
            server.kill()
            threading.Timer(2, server.start).start()

    return before


def refused(said, rows, steps, why):
    """Whether a run ended by itself after `steps` steps at the most, for that reason."""
    print("   ", " ".join(said[said.find("server http"):].split())[:600], flush=True)
    return len(rows) <= steps and why in said


def one(bench, server, name, model):
    """Whether the run NAME went as it must."""
    steps, adapts = bench.args.steps, name.startswith("adapter")
    words = [f"model.path={model}", *(ADAPTER if adapts else [])]
    if server:
        calls = steps // 2 * PROMPTS + PROMPTS // 2, steps * 3 // 4 * PROBES + PROBES // 2
        before = swallowing(3) if name == "stale" else killing(server, *calls) if "killed" in name else nothing
        words += ["rollout.engine=server", f"rollout.server.url={Proxy(server.url, before).url}"]
    if name in REFUSED:
        words += REFUSED[name][0]
    code, rows, rose = bench.train(name, *words)
    said = (bench.out / f"{name}.log").read_text()
    if name in REFUSED:
        return code == 1 and refused(said, rows, *REFUSED[name][1:])
    if code:
        print(said[-1500:])
        return False
    good = bench.whole(name, rows) and len(rows) == steps and rose
    if "killed" in name:
        bench.compare(name, "adapter" if adapts else "server")
        good &= total(rows, "engine/asked_again") > 0 and total(rows, "sync/pushes") > steps
    return bench.tidy(server) and good if adapts and server else good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=pathlib.Path, required=True)
    parser.add_argument("--foveate", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=25)
    parser.add_argument("--port", type=int, default=8311)
    parser.add_argument("--only", default=",".join(RUNS))
    args = parser.parse_args()
    bench, wanted, failed = Bench(args), args.only.split(","), []
    model = bench.warm()
    failed += [name for name in wanted if "local" in name and not one(bench, None, name, model)]
    # A server that was given weights is none to put an adapter on.
    for options in [[], ["--enable-lora", "--max-lora-rank", "8"]]:
        names = [name for name in wanted if "local" not in name and name.startswith("adapter") == bool(options)]
        if names:
            with vllm(args.venv, model, args.port, bench.out / "vllm.log", *options) as server:
                print(f"vLLM is there after {server.wait():.0f} s", flush=True)
                failed += [name for name in names if not one(bench, server, name, model)]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
