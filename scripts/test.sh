#!/bin/bash
# From a fresh clone to tested: installs what is missing, builds, runs every test that needs no GPU (`make test`).
#
#   scripts/test.sh [PYTEST-OPTIONS...]          for instance: scripts/test.sh -k slurm
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac

scripts/install_deps.sh build test report || echo "Going on with what is here."
for tool in make g++; do
  command -v "$tool" > /dev/null || { echo "test.sh: no $tool here, and nothing can be built without it" >&2; exit 1; }
done
echo "Building..."
if ! { python3 -c 'import numpy, pytest' || /usr/bin/python3 -c 'import numpy, pytest'; } 2> /dev/null; then
  make -s -j "$(nproc)"
  echo "test.sh: everything is built, but nothing was tested: no Python here has numpy and pytest" >&2
  exit 1
fi
switches=()
if ! echo '#include <gtest/gtest.h>' | g++ -std=c++17 -E -x c++ - -o /dev/null 2> /dev/null; then
  echo "test.sh: no GoogleTest here (libgtest-dev): the tests of single layers and formats are left out" >&2
  switches+=(TEST_PROGRAMS=)
fi
# -rs: what is skipped is said, with its reason.
options="-rs ${PYTEST_ADDOPTS:-}$([ $# -eq 0 ] || printf ' %q' "$@")"
export PYTEST_ADDOPTS=$options
exec make -s -j "$(nproc)" test "${switches[@]}"
