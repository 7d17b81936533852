"""Writes cache.json: the cache that Python's huggingface_hub makes of the sample repository of hub/tests.

    cargo build --release -p foveate-hub --example serve
    python tests/golden/hub/make.py target/release/examples/serve

The server is the one that the tests use, so this also shows that the real client takes it for a hub: it fetches
every file at `main` and at the tag `v1`, reads them back with the hub switched off, and finds nothing wrong with
the cache. Made with: see `versions` in the file. What the client keeps for itself (a tag for backup programs, locks,
its own listing of trees) is left out.
"""
import hashlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
server = subprocess.Popen([sys.argv[1]], stdout=subprocess.PIPE, text=True)
os.environ["HF_ENDPOINT"] = server.stdout.readline().strip()
os.environ["HF_HUB_DISABLE_XET"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.pop("HF_TOKEN", None)
cache = pathlib.Path(tempfile.mkdtemp())
os.environ["HF_HOME"] = str(cache / "home")

import huggingface_hub  # noqa: E402  (reads the environment when it is imported)

own = (".locks", ".no_exist", "CACHEDIR.TAG", "trees")
hub = cache / "hub"
for revision in ("main", "v1"):
    online = huggingface_hub.snapshot_download("org/sample", revision=revision, cache_dir=hub)
    offline = huggingface_hub.snapshot_download("org/sample", revision=revision, cache_dir=hub, local_files_only=True)
    assert online == offline
info = huggingface_hub.scan_cache_dir(hub)
assert not info.warnings, info.warnings
server.terminate()

tree, left_out = [], []
for path in sorted(hub.rglob("*"), key=lambda path: str(path.relative_to(hub))):
    name = str(path.relative_to(hub))
    if any(part in own for part in path.relative_to(hub).parts):
        left_out.append(name)
    elif path.is_symlink():
        tree.append({"path": name, "link": os.readlink(path)})
    elif path.is_file():
        tree.append({"path": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
versions = {"huggingface_hub": huggingface_hub.__version__, "python": platform.python_version()}
(HERE / "cache.json").write_text(json.dumps({"versions": versions, "tree": tree}, indent=1) + "\n")
print(f"{len(tree)} entries; left out: {left_out}")
