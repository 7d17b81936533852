"""What vLLM answered to a run of three steps: replies.jsonl.

    make.py --venv VENV --foveate target/release/foveate [--port 8312]

Makes the model of recipe.toml (small, from its seed), serves it with vLLM on the CPU (benches/peers/vllm_cpu.sh says
how VENV is installed), runs the recipe through a proxy that writes down every call, and keeps method, path, for chat
completions the seed that was asked with (it names the question), status and reply. Replies are whole, but for the
page of the server's routes, of which only the routes are kept, and the folder of the runs, which is called RUNS.
versions.json says what answered.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "benches" / "peers"))
from servers import Proxy, vllm  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=pathlib.Path, required=True)
    parser.add_argument("--foveate", required=True)
    parser.add_argument("--port", type=int, default=8312)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        tmp, recipe, calls = pathlib.Path(tmp), str(HERE / "recipe.toml"), []
        subprocess.run([args.foveate, "train", recipe, "rollout.engine=local", "train.steps=0", f"out={tmp}/start"],
                       check=True)
        with vllm(args.venv, tmp / "start" / "start", args.port, tmp / "vllm.log") as server:
            server.wait()
            proxy = Proxy(server.url, after=lambda *call: calls.append(call))
            subprocess.run([args.foveate, "train", recipe, f"rollout.server.url={proxy.url}", f"out={tmp}/run"],
                           check=True)
            version = server.call("/version")
    with open(HERE / "replies.jsonl", "w") as out:
        for method, path, asked, status, text in calls:
            reply = json.loads(text.decode().replace(str(tmp), "RUNS")) if text.strip() else None
            if path == "/openapi.json":
                reply = {"paths": {route: {} for route in reply["paths"]}}
            seed = asked["seed"] if path.endswith("/chat/completions") else None
            row = {"method": method, "path": path, "seed": seed, "status": status, "reply": reply}
            out.write(json.dumps(row, separators=(",", ":")) + "\n")
    (HERE / "versions.json").write_text(json.dumps({"vllm": version["version"]}, indent=1) + "\n")
    print(len(calls), "calls")


if __name__ == "__main__":
    main()
