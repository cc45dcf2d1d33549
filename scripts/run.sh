#!/bin/bash
# From a fresh clone to faces: installs what is missing, builds, runs the main job, compares with the answer.
#
#   scripts/run.sh          -> output2.txt (numbers), output2.bmp (picture)
#
# The job: 100 faces on two MPI ranks. It uses every GPU that it can see, and the CPU where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac

scripts/install_deps.sh build || echo "Going on with what is here."
for tool in make g++; do
  command -v "$tool" > /dev/null || { echo "run.sh: no $tool here, and nothing can be built without it" >&2; exit 1; }
done
echo "Building..."
make -s -j "$(nproc)"

launch=()
if command -v mpirun > /dev/null && command -v mpicxx > /dev/null; then
  # OpenMPI refuses root and more ranks than cores unless told otherwise; in a container one process may not read
  # another's memory; and its hwloc looks for an X server at every start (-gl: not). What is set already stays.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export OMPI_MCA_rmaps_base_oversubscribe=${OMPI_MCA_rmaps_base_oversubscribe-1}
  export HWLOC_COMPONENTS=${HWLOC_COMPONENTS--gl}
  export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism-none}
  launch=(mpirun -n 2)
fi
job=("${launch[@]}" ./facegen_parallel network.bin inputs/input2.txt output2.txt output2.bmp)
echo
echo "\$ ${job[*]}"
"${job[@]}"
echo
echo "\$ ./compare_result output2.txt answers/answer2.txt"
./compare_result output2.txt answers/answer2.txt
echo
echo "The faces: numbers in $PWD/output2.txt, picture in $PWD/output2.bmp"
