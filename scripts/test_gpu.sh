#!/bin/bash
# test_gpu.sh FOLDER: what only a GPU can show, with the built programs in FOLDER. Run by `make test-gpu`.
#
#   the kernels, layer by layer and as a whole, against float64         test_gpu, test_tensor_cores
#   what they differ by from plain fp32, in short                       bench/accuracy_gpu.cu
#   the programs                                                        tests/test_gpu_programs.py
#   the same kernels, small, under compute-sanitizer: memcheck, synccheck, initcheck, racecheck
set -uo pipefail
cd "$(dirname "$0")/.." || exit
programs=$1
python=${PYTHON:-python3}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# check NAME COMMAND...: runs it, keeps its words for the case that it fails.
check() {
  local name=$1
  shift
  if "$@" > "$logs/$name" 2>&1; then
    echo "ok      $name: $(grep -E 'passed|ERROR SUMMARY|RACECHECK SUMMARY' "$logs/$name" | tail -n 1)"
    touch "$logs/$name.ok"
  else
    echo "FAILED  $name ($*)"
    tail -n 40 "$logs/$name" | sed 's/^/          /'
    touch "$logs/$name.failed"
  fi
}

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 2> /dev/null)
tensor=()  # the kinds of kernels for tensor cores that this GPU runs
[ "$capability" = 9.0 ] && tensor+=(fast accurate)
[ "${capability%.*}" -ge 8 ] 2> /dev/null && tensor+=(precise)

for kind in "${tensor[@]}"; do check "${kind}_kernels" "$programs/test_tensor_cores" "$kind" & done
wait
check device "$programs/test_gpu" --tolerance 2e-4
FACEGEN_KERNELS=exact check exact_device "$programs/test_gpu"
check accuracy "$programs/accuracy_gpu" --faces 32768
several=() # programs at a time, but for those that take the GPU's memory
"$python" -c 'import xdist' 2> /dev/null && several=(-n 4)
check programs "$python" -m pytest -q "${several[@]}" tests/test_gpu_programs.py -k "not taken and not killed"
check programs_alone "$python" -m pytest -q tests/test_gpu_programs.py -k "taken or killed"

if command -v compute-sanitizer > /dev/null; then
  # racecheck watches every access: one layer at a time, side by side.
  for tool in memcheck synccheck initcheck; do
    check "device_$tool" timeout 300 compute-sanitizer --tool "$tool" --error-exitcode 9 "$programs/test_gpu" --small --tolerance 2e-4 &
  done
  for layer in 0 1 2 3 4; do
    check "exact_racecheck_$layer" timeout 300 compute-sanitizer --tool racecheck --error-exitcode 9 \
      "$programs/test_gpu" --small --layer "$layer" &
  done
  # Every kernel for tensor cores once, on a chunk that fills no tile.
  for kind in "${tensor[@]}"; do
    for tool in memcheck synccheck initcheck racecheck; do
      check "${kind}_$tool" timeout 300 compute-sanitizer --tool "$tool" --error-exitcode 9 \
        "$programs/test_tensor_cores" "$kind" --small &
    done
  done
  wait
else
  echo "left out: no compute-sanitizer here"
fi

passed=$(find "$logs" -name '*.ok' | wc -l)
failed=$(find "$logs" -name '*.failed' | wc -l)
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
