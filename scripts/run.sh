#!/bin/bash
# From a fresh clone to faces: installs what is missing, builds, runs the main job, compares with the answer.
#
#   scripts/run.sh          -> output2.txt (numbers), output2.bmp (picture)
#
# The job: 100 faces on two MPI ranks. It uses every GPU that it can see, and the CPU where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in
  "") ;;
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  *) echo "run.sh: '$1' is no option of run.sh, which takes none: the job's command is printed, to be changed and run by hand" >&2; exit 2 ;;
esac
say() { printf '\n$ %s\n' "$*"; }

for file in network.bin inputs/input2.txt; do
  [ -e $file ] && continue
  echo "run.sh: $file is not here: put the course's, or the repository's, into $PWD/$file (hand-ins go without large files)" >&2
  exit 1
done
scripts/install_deps.sh build || echo "Going on with what is here."
for tool in make g++; do
  command -v "$tool" > /dev/null || { echo "run.sh: no $tool here, and nothing can be built without it" >&2; exit 1; }
done
echo "Building..."
make -s -j "$(nproc)"

launch=()
if command -v mpirun > /dev/null && ! ./facegen_parallel --version | grep -q 'no MPI'; then
  launch=(mpirun -n 2)
  if mpirun --version | grep -q 'Open MPI'; then
    # It refuses root, and more ranks than cores, unless told otherwise.
    [ "$(id -u)" -ne 0 ] || launch+=(--allow-run-as-root)
    launch+=(--oversubscribe)
    # In a container one process may not read another's memory; hwloc looks for an X server at every start (-gl: not),
    # and complains where there is no /sys. These only keep it quiet; what is set already stays.
    export HWLOC_COMPONENTS=${HWLOC_COMPONENTS--gl} HWLOC_HIDE_ERRORS=${HWLOC_HIDE_ERRORS-2}
    export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism-none}
  fi
fi
job=("${launch[@]}" ./facegen_parallel network.bin inputs/input2.txt output2.txt output2.bmp)
say cd "$PWD"
say "${job[@]}"
"${job[@]}"
if [ -e answers/answer2.txt ]; then
  say ./compare_result output2.txt answers/answer2.txt
  ./compare_result output2.txt answers/answer2.txt
else
  echo "Not compared: answers/answer2.txt is not here ('make answers' makes all three; this one is there within a minute)."
fi
cat << END

output2.txt holds the numbers, output2.bmp the picture: a sheet of 10 x 10 faces, each row a walk in ten equal steps from
one noise vector to the next. To look at it: eog $PWD/output2.bmp, or any image viewer after copying it to your own machine.
END
