"""GRPO with rollouts on a vLLM server: does it learn as with its own, and what if the server ends or keeps old weights?

    vllm_cpu.sh install VENV                                                          (once)
    rollouts.py --venv VENV --foveate target/release/foveate --out DIR [--steps 20] [--port 8311] [--only NAME,...]

Makes a warmed-up model with `foveate train`, serves it with vllm_cpu.sh, and runs the same recipe

    local    with rollouts by the model itself
    server   with rollouts on the server
    killed   the same, and the server is killed (SIGKILL) and started again in the middle of the rollouts
    stale    the same, through a proxy that swallows every push after the third
    adapter  with LoRA, whose adapters the server loads under names of their own

Prints what metrics.jsonl says of each: rewards, the probe after every push, the gap between sampler and trainer, times.
Fails unless `server` and `killed` end with all their steps and answers and every probe passed, and `stale` is refused.
"""
import argparse
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
RECIPE = HERE / "rollouts.toml"


class Vllm:
    def __init__(self, venv, model, port, log, *options):
        self.command = [str(HERE / "vllm_cpu.sh"), "serve", str(venv), str(model), str(port), *options]
        self.url, self.log = f"http://127.0.0.1:{port}", log
        self.start()

    def start(self):
        env = os.environ | {"OMP_WAIT_POLICY": "passive"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=env, start_new_session=True)

    def wait(self, seconds=400):
        end = time.time() + seconds
        while time.time() < end:
            if self.process.poll() is not None:
                sys.exit(f"the server ended; see {self.log}")
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=2).read()
                return
            except OSError:
                time.sleep(0.5)
        sys.exit(f"no server after {seconds} s; see {self.log}")

    def kill(self):
        """The server and its workers, as they are."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Proxy:
    """Between trainer and server: writes down what is said, and swallows pushes after the first `pushes`."""

    def __init__(self, url, pushes=None, record=None):
        self.lock, self.left, self.record, outer = threading.Lock(), pushes, record, self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0))) or None
                if self.path.startswith("/collective_rpc") and outer.swallows():
                    return self.reply(200, b'{"results":[null]}')
                request = urllib.request.Request(url + self.path, body, method=self.command,
                                                 headers={"content-type": "application/json"})
                try:
                    with urllib.request.urlopen(request, timeout=300) as answer:
                        status, text = answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    status, text = error.code, error.read()
                outer.write(self.command, self.path, body, status, text)
                self.reply(status, text)

            def reply(self, status, text):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = pass_on

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def swallows(self):
        with self.lock:
            if self.left is None:
                return False
            self.left -= 1
            return self.left < 0

    def write(self, method, path, body, status, text):
        if self.record is not None:
            asked = json.loads(body) if body else None
            with self.lock:
                self.record.append((method, path, asked, status, text))


def lines(run):
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.open()] if path.exists() else []
    return [row for row in rows if row["stage"] == "train"]


def describe(name, run, wall):
    rows = lines(run)
    mean = lambda key, part: sum(row[key] for row in part) / len(part)  # noqa: E731
    top = lambda key: max(row.get(key, float("nan")) for row in rows)  # noqa: E731
    total = lambda key: sum(row.get(key, 0.0) for row in rows)  # noqa: E731
    fifth = max(1, len(rows) // 4)
    print(f"{name:8} {len(rows)} steps, reward {mean('reward/mean', rows[:fifth]):.3f} -> "
          f"{mean('reward/mean', rows[-fifth:]):.3f} (means of {fifth} steps), {wall:.0f} s")
    if "probe/gap" in rows[0]:
        print(f"         probe gap at most {top('probe/gap'):.1e} (one token {top('probe/gap/max'):.1e}), "
              f"moved at least {min(row['probe/moved'] for row in rows[1:]):.1e}; "
              f"sampler gap {mean('logp/sampler_gap', rows):.1e}, one token {top('logp/sampler_gap/max'):.1e}")
        print(f"         pushes {total('sync/pushes'):.0f}, asked again {total('engine/asked_again'):.0f}; a step: sync "
              f"{mean('time/sync_s', rows):.2f} s, rollouts {mean('time/rollout_s', rows):.2f} s, update "
              f"{mean('time/update_s', rows):.2f} s", flush=True)
    return rows


class Bench:
    def __init__(self, args):
        self.args, self.out = args, args.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)

    def train(self, name, *words, wait=True):
        run = self.out / name
        command = [self.args.foveate, "train", str(RECIPE), f"out={run}", f"train.steps={self.args.steps}", *words]
        log = open(self.out / f"{name}.log", "w")
        process = subprocess.Popen(command, stdout=log, stderr=log)
        if wait:
            process.wait()
        return process, run

    def warm(self):
        start = self.out / "warm"
        if not (start / "latest").exists():
            words = ["model.path=tiny", f"warmup.steps={self.args.warmup}", f"out={start}", "train.steps=0"]
            subprocess.run([self.args.foveate, "train", str(RECIPE), *words], check=True, stdout=subprocess.DEVNULL)
        return start / (start / "latest").read_text().strip()

    def kill_in_the_middle(self, server, process, run, step):
        while len(lines(run)) < step and process.poll() is None:
            time.sleep(0.05)
        time.sleep(self.args.delay)
        server.kill()
        time.sleep(2)
        server.start()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=pathlib.Path, required=True)
    parser.add_argument("--foveate", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=60)
    parser.add_argument("--port", type=int, default=8311)
    parser.add_argument("--delay", type=float, default=1.0, help="seconds into a step before the server is killed")
    parser.add_argument("--only", default="local,server,killed,stale")
    args = parser.parse_args()
    bench, wanted, good = Bench(args), args.only.split(","), True
    model = bench.warm()
    if "local" in wanted:
        begun = time.time()
        process, run = bench.train("local", f"model.path={model}")
        good &= process.returncode == 0 and len(describe("local", run, time.time() - begun)) == args.steps
    served = [name for name in wanted if name != "local"]
    if not served:
        sys.exit(not good)
    options = ["--enable-lora", "--max-lora-rank", "8"] if "adapter" in wanted else []
    server = Vllm(args.venv, model, args.port, bench.out / "vllm.log", *options)
    try:
        begun = time.time()
        server.wait()
        print(f"vLLM is there after {time.time() - begun:.0f} s", flush=True)
        for name in served:
            good &= one(bench, server, name, model)
    finally:
        server.kill()
    sys.exit(not good)


def one(bench, server, name, model):
    steps = bench.args.steps
    words = [f"model.path={model}", "rollout.engine=server", f"rollout.server.url={server.url}"]
    if name == "stale":
        words[-1] = f"rollout.server.url={Proxy(server.url, pushes=3).url}"
    if name == "adapter":
        words += ["model.lora.rank=8", "model.lora.alpha=16", "optim.lr=5e-3"]
    begun = time.time()
    process, run = bench.train(name, *words, wait=name != "killed")
    if name == "killed":
        bench.kill_in_the_middle(server, process, run, steps // 2)
        process.wait()
    rows = describe(name, run, time.time() - begun)
    if name == "stale":
        said = (bench.out / "stale.log").read_text()
        print("        ", " ".join(said[said.find("server http"):].split())[:600], flush=True)
        return process.returncode == 1 and len(rows) == 3 and "did not take the new weights" in said
    if process.returncode:
        print((bench.out / f"{name}.log").read_text()[-1500:])
    answers = sum(1 for _ in (run / "completions.jsonl").open())
    whole = answers == len(rows) * rows[0]["groups/asked"] * rows[0].get("groups/size", 8)
    print(f"         {answers} answers written down" + ("" if whole else ": SOME ARE MISSING"), flush=True)
    return process.returncode == 0 and len(rows) == steps and whole


if __name__ == "__main__":
    main()
