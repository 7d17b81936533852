"""Asks one model twice, in this process and through `transformers serve`, and compares the greedy answers.

    serve.py DIR --foveate target/release/foveate [--task shapes] [--limit 60] [--port 8123]

DIR is a model directory of foveate's (the quickstart's checkpoint, say). Starts `transformers serve` with it on the
CPU, runs `foveate eval` on clean and corrupted pictures once with `--model DIR` and once with `--endpoint`, and
compares response by response; then the same in conversations of two turns (`--turns brief`). Pictures go as PNG in the
size that the model sees (`--processor DIR`), without `return_token_ids`, which this server refuses. Both sides are f32;
where two tokens are nearly equally likely the last bit of a sum may decide, so a difference is shown with the question
it was about. Fails unless all answers of the server came and all are equal. Tried with transformers 5.23.0
(pip install "transformers[serving]"), torch 2.15.0.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from servers import Server


def records(folder):
    rows = [json.loads(line) for line in open(folder / "records.jsonl")]
    return {(r["sample"], r["corruption"], r["severity"]): r for r in rows}


def said(record):
    """All that the model said, turn by turn."""
    return [turn["reply"] for turn in record["turns"]] + [record["response"]]


def compare(ours, theirs, what):
    assert ours.keys() == theirs.keys(), (len(ours), len(theirs))
    differ = [key for key in ours if said(ours[key]) != said(theirs[key])]
    for key in differ[:10]:
        print(key, said(ours[key]), said(theirs[key]))
    sizes = [key for key in ours if ours[key]["size"] != theirs[key]["size"]]
    distinct = len({tuple(said(r)) for r in ours.values()})
    print(f"{what}: {len(ours)} greedy answers ({distinct} different ones), {len(differ)} differ; {len(sizes)} pictures of "
          f"another size")
    return bool(differ or sizes)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--foveate", required=True)
    parser.add_argument("--task", default="shapes")
    parser.add_argument("--size", default="56")
    parser.add_argument("--limit", default="60")
    parser.add_argument("--port", default="8123")
    args = parser.parse_args()
    model = str(args.dir.resolve())
    command = [pathlib.Path(sys.executable).parent / "transformers", "serve", model, "--device", "cpu",
               "--dtype", "float32", "--host", "127.0.0.1", "--port", args.port]
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        with Server(command, args.port, tmp / "serve.log") as server:
            server.wait(300)
            asked = [args.foveate, "eval", "--task", args.task, "--size", args.size, "--limit", args.limit, "--seed", "7",
                     "--corruptions", "gaussian_noise,contrast,pixelate", "--severities", "3", "--max-tokens", "8"]
            server_words = ["--endpoint", f"{server.url}/v1", "--served-model", model, "--processor", model, "--no-token-ids",
                            "--concurrency", "4"]
            failed = False
            for what, words in [("one turn", []), ("two turns", ["--turns", "brief"])]:
                here, there = tmp / f"{what} here", tmp / f"{what} there"
                subprocess.run([*asked, *words, "--model", model, "--out", here], check=True)
                done = subprocess.run([*asked, *words, *server_words, "--out", there])
                if done.returncode:
                    server.give_up(f"foveate eval ended with {done.returncode}")
                failed |= compare(records(here), records(there), what)
    sys.exit(failed)


if __name__ == "__main__":
    main()
