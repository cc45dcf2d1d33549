#!/bin/bash
# test_gpu.sh FOLDER: what only a GPU can show, with the built programs in FOLDER. Run by `make test-gpu`.
#
#   the kernels, layer by layer and as a whole, against float64         test_gpu, test_hopper
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

hopper=no
nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 2> /dev/null | grep -q '^9\.0' && hopper=yes

FACEGEN_KERNELS=simt check simt_kernels "$programs/test_gpu" &
[ $hopper = no ] || check hopper_kernels "$programs/test_hopper" network.bin &
wait
check programs "$python" -m pytest -q tests/test_gpu_programs.py

if command -v compute-sanitizer > /dev/null; then
  # racecheck watches every access: one layer at a time, side by side.
  for tool in memcheck synccheck initcheck; do
    FACEGEN_KERNELS=simt check "simt_$tool" timeout 300 compute-sanitizer --tool "$tool" --error-exitcode 9 "$programs/test_gpu" --small &
  done
  for layer in 0 1 2 3 4; do
    FACEGEN_KERNELS=simt check "simt_racecheck_$layer" timeout 300 compute-sanitizer --tool racecheck --error-exitcode 9 \
      "$programs/test_gpu" --small --layer "$layer" &
  done
  # Every kernel of the Hopper path once, on a chunk that fills no tile.
  for tool in memcheck synccheck initcheck racecheck; do
    [ $hopper = no ] || check "hopper_$tool" timeout 300 compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$programs/test_hopper" network.bin launches &
  done
  wait
else
  echo "left out: no compute-sanitizer here"
fi

passed=$(find "$logs" -name '*.ok' | wc -l)
failed=$(find "$logs" -name '*.failed' | wc -l)
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
