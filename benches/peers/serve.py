"""Asks one model twice, in this process and through `transformers serve`, and compares the greedy answers.

    serve.py DIR --foveate target/release/foveate [--task shapes] [--limit 60] [--port 8123]

DIR is a model directory of foveate's (the quickstart's checkpoint, say). Starts `transformers serve` with it on the
CPU, runs `foveate eval` on clean and corrupted pictures once with `--model DIR` and once with `--endpoint`, and
compares response by response. Pictures go as they are, as this server refuses requests with `return_token_ids`, which
`--processor` sends; choose a size that the model does not resize. Both sides are f32; where two tokens are nearly equally likely the last bit of a sum
may decide, so a difference is shown with the question it was about. Fails unless all answers of the server came and
all are equal. Tried with transformers 5.23.0 (pip install "transformers[serving]"), torch 2.15.0.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request


def wait_until_up(url, server, seconds):
    end = time.time() + seconds
    while time.time() < end:
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}")
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2).read()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"no server after {seconds} s")


def records(folder):
    rows = [json.loads(line) for line in open(folder / "records.jsonl")]
    return {(r["sample"], r["corruption"], r["severity"]): r for r in rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--foveate", required=True)
    parser.add_argument("--task", default="shapes")
    parser.add_argument("--size", default="56")
    parser.add_argument("--limit", default="60")
    parser.add_argument("--port", default="8123")
    args = parser.parse_args()
    model, url = str(args.dir.resolve()), f"http://127.0.0.1:{args.port}"
    env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"}
    command = [str(pathlib.Path(sys.executable).parent / "transformers"), "serve", model, "--device", "cpu",
               "--dtype", "float32", "--host", "127.0.0.1", "--port", args.port]
    with tempfile.TemporaryDirectory() as tmp, open(os.path.join(tmp, "serve.log"), "w") as log:
        tmp = pathlib.Path(tmp)
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until_up(url, server, 300)
            asked = ["eval", "--task", args.task, "--size", args.size, "--limit", args.limit, "--seed", "7",
                     "--corruptions", "gaussian_noise,contrast,pixelate", "--severities", "3", "--max-tokens", "8"]
            local = [args.foveate, *asked, "--model", model, "--out", tmp / "local"]
            remote = [args.foveate, *asked, "--endpoint", f"{url}/v1", "--served-model", model,
                      "--concurrency", "4", "--out", tmp / "remote"]
            subprocess.run(local, check=True)
            done = subprocess.run(remote)
            if done.returncode:
                print((tmp / "serve.log").read_text()[-3000:])
                sys.exit(done.returncode)
        finally:
            server.terminate()
            server.wait()
        ours, theirs = records(tmp / "local"), records(tmp / "remote")
    assert ours.keys() == theirs.keys(), (len(ours), len(theirs))
    differ = [key for key in ours if ours[key]["response"] != theirs[key]["response"]]
    for key in differ[:10]:
        print(key, repr(ours[key]["response"]), repr(theirs[key]["response"]))
    sizes = [key for key in ours if ours[key]["size"] != theirs[key]["size"]]
    distinct = len({r["response"] for r in ours.values()})
    print(f"{len(ours)} greedy answers ({distinct} different ones), {len(differ)} differ; {len(sizes)} pictures of "
          f"another size")
    sys.exit(bool(differ or sizes))


if __name__ == "__main__":
    main()
