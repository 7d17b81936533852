#!/usr/bin/env bash
# Compiles every kernel to PTX and to sm_80 and sm_90 cubins and writes a table of each one's registers and spills; needs
# nvcc (NVCC, or from the path), no GPU. With --toolkit DIR it first assembles a toolkit from PyPI wheels there (700 MB).
#   augment/cuda/compile.sh [--toolkit DIR] [OUT_DIR]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ "${1:-}" = --toolkit ]; then
  "$here/../../.ci/cuda-toolkit" "$2" > /dev/null
  source "$2/env.sh"
  shift 2
fi

out=${1:-$(mktemp -d)}
nvcc=${NVCC:-nvcc}
mkdir -p "$out"
table=$out/registers.tsv
printf 'kernel\tarch\tregisters\tspill bytes\n' > "$table"
for source in "$here"/*.cu; do
  name=$(basename "$source" .cu)
  "$nvcc" -fmad=false -ptx -arch=compute_80 -o "$out/$name.ptx" "$source"
  for arch in sm_80 sm_90; do
    "$nvcc" -fmad=false -cubin -arch=$arch -Xptxas -v -o "$out/$name.$arch.cubin" "$source" 2> "$out/$name.$arch.log" ||
      { cat "$out/$name.$arch.log" >&2; exit 1; }
    awk -v arch=$arch '
      /Compiling entry function/ { split($0, part, "\x27"); kernel = part[2] }
      /spill stores/ { spills = $5 + $9 }
      /Used [0-9]+ registers/ { for (i = 1; i < NF; i++) if ($i == "Used") print kernel "\t" arch "\t" $(i + 1) "\t" spills }
    ' "$out/$name.$arch.log" >> "$table"
  done
done
kernels=$(cat "$here"/*.cu | grep -c '__global__ void')
compiled=$(($(wc -l < "$table") - 1))
echo "$kernels kernels, $compiled cubins of them in $out; $(awk -F'\t' 'NR > 1 && $4 > 0' "$table" | wc -l) spill"
sort -t $'\t' -k3,3nr "$table" | head -8
# The table as it is kept beside the kernels (registers.tsv).
{ head -1 "$table"; tail -n +2 "$table" | LC_ALL=C sort; } > "$out/sorted.tsv"
[ "$compiled" -eq $((2 * kernels)) ]
