#!/bin/bash
# A batch job: every GPU of two nodes.
#
#   sbatch scripts/slurm/job.sh                                                       the shipped 1,000 faces
#   sbatch scripts/slurm/job.sh network.bin my_noise.txt my_faces.txt my_faces.bmp    (arguments of facegen_parallel)
#   sbatch --nodes=1 --gres=gpu:1 scripts/slurm/job.sh                                options here win over those below
#
# One rank a node drives all its GPUs. Only the first node reads and writes files, in the folder where sbatch was
# called; the program must be there on every node.
#SBATCH --job-name=facegen
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --gres=gpu:4
#SBATCH --partition=shpc
#SBATCH --output=facegen-%j.log
set -euo pipefail

[ $# -gt 0 ] || set -- network.bin inputs/input3.txt output3.txt output3.bmp
mpirun ./facegen_parallel "$@"
