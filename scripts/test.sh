#!/bin/bash
# From a fresh clone to tested: installs what is missing, builds, runs every test that needs no GPU (`make test`).
#
#   scripts/test.sh [PYTEST-OPTIONS...]          for instance: scripts/test.sh -k slurm
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac

scripts/install_deps.sh build test || echo "Going on with what is here."
for tool in make g++; do
  command -v "$tool" > /dev/null || { echo "test.sh: no $tool here, and nothing can be built without it" >&2; exit 1; }
done
switches=()
if ! echo '#include <gtest/gtest.h>' | g++ -std=c++17 -E -x c++ - -o /dev/null 2> /dev/null; then
  echo "test.sh: no GoogleTest here (libgtest-dev): the tests of single layers and formats are left out" >&2
  switches+=(TEST_PROGRAMS=)
fi
echo "Building..."
make -s -j "$(nproc)" all
export PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-} $*"
exec make -s -j "$(nproc)" test "${switches[@]}"
