"""What vLLM answered to a run of three steps: replies.jsonl.

    make.py --venv VENV --foveate target/release/foveate [--port 8312]

Makes the model of recipe.toml (small, from its seed), serves it with vLLM on the CPU (benches/peers/vllm_cpu.sh says
how VENV is installed), runs the recipe through a proxy that writes down every call, and keeps method, path, for chat
completions the seed that was asked with (it names the question), status and reply. Replies are whole, but for the
page of the server's routes, of which only the routes are kept. versions.json says what answered.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "benches" / "peers"))
from rollouts import Proxy, Vllm  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=pathlib.Path, required=True)
    parser.add_argument("--foveate", required=True)
    parser.add_argument("--port", type=int, default=8312)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        tmp, recipe = pathlib.Path(tmp), str(HERE / "recipe.toml")
        subprocess.run([args.foveate, "train", recipe, "rollout.engine=local", "train.steps=0", f"out={tmp}/start"],
                       check=True)
        server = Vllm(args.venv, tmp / "start" / "start", args.port, tmp / "vllm.log")
        try:
            server.wait()
            proxy = Proxy(server.url, record=[])
            subprocess.run([args.foveate, "train", recipe, f"rollout.server.url={proxy.url}", f"out={tmp}/run"],
                           check=True)
            version = json.load(urllib.request.urlopen(server.url + "/version", timeout=10))
        finally:
            server.kill()
    with open(HERE / "replies.jsonl", "w") as out:
        for method, path, asked, status, text in proxy.record:
            reply = json.loads(text) if text.strip() else None
            if path == "/openapi.json":
                reply = {"paths": {route: {} for route in reply["paths"]}}
            seed = asked["seed"] if path.endswith("/chat/completions") else None
            row = {"method": method, "path": path, "seed": seed, "status": status, "reply": reply}
            out.write(json.dumps(row, separators=(",", ":")) + "\n")
    (HERE / "versions.json").write_text(json.dumps({"vllm": version["version"]}, indent=1) + "\n")
    print(len(proxy.record), "calls")


if __name__ == "__main__":
    main()
