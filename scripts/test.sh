#!/bin/bash
# From a fresh clone to tested: installs what is missing, builds, runs the tests that need no GPU (`make test`).
#
#   scripts/test.sh [--all] [PYTEST-OPTIONS...]          for instance: scripts/test.sh -k slurm
#
# --all adds what takes long, with warnings as errors: every compiler and switch, sanitizers, another processor, every
# kernel for every GPU architecture.
set -euo pipefail
cd "$(dirname "$0")/.."
options=(-rs) # what is skipped is said, with its reason
groups=(build test grade)
switches=()
for word in "$@"; do
  case $word in
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --all) options+=(--full) groups+=(full report) switches+=(WERROR=1) ;;
    *) options+=("$word") ;;
  esac
done

scripts/install_deps.sh "${groups[@]}" || echo "Going on with what is here."
for tool in make g++; do
  command -v "$tool" > /dev/null || { echo "test.sh: no $tool here, and nothing can be built without it" >&2; exit 1; }
done
for python in python3 /usr/bin/python3 none; do
  [ "$python" = none ] || ! "$python" -c 'import numpy, pytest' 2> /dev/null || break
done
echo "Building..."
if [ "$python" = none ]; then
  make -s -j "$(nproc)" "${switches[@]}"
  echo "test.sh: everything is built, but nothing was tested: no Python here has numpy and pytest" >&2
  exit 1
fi
# Several at a time where pytest can; those that share a fixture stay together.
if "$python" -c 'import xdist' 2> /dev/null; then options+=(-n "$(nproc)" --dist loadgroup); fi
PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-}$(printf ' %q' "${options[@]}")"
export PYTEST_ADDOPTS
exec make -s -j "$(nproc)" test PYTHON="$python" "${switches[@]}"
