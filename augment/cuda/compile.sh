#!/usr/bin/env bash
# Compiles every kernel to PTX and to sm_80 and sm_90 cubins and prints registers and spills of each; needs nvcc, no GPU.
#   augment/cuda/compile.sh [OUT_DIR]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$(mktemp -d)}
mkdir -p "$out"
for source in "$here"/*.cu; do
  name=$(basename "$source" .cu)
  "${NVCC:-nvcc}" -fmad=false -ptx -arch=compute_80 -o "$out/$name.ptx" "$source"
  for arch in sm_80 sm_90; do
    echo "== $name $arch"
    "${NVCC:-nvcc}" -fmad=false -cubin -arch=$arch -Xptxas -v -o "$out/$name.$arch.cubin" "$source" 2>&1 |
      grep -E "Compiling entry|registers|spill" || true
  done
done
echo "compiled into $out"
