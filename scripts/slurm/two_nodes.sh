#!/bin/bash
# A private SLURM of two nodes on this host, to try jobs out and for tests/test_slurm.py.
#
#   scripts/slurm/two_nodes.sh start DIR      then: export SLURM_CONF=DIR/slurm.conf; sinfo; salloc ...; sbatch ...
#   scripts/slurm/two_nodes.sh stop DIR
#
# Nodes n1 and n2, 64 CPUs and 4 GPUs each, partition shpc, as on the course's cluster. CPUs and GPUs are pretended: the
# jobs share this host's cores, and each GPU is a link to /dev/null. Everything lies in DIR (configuration, logs,
# sockets, state); nothing of a SLURM that this host may have is touched. Needs root, and Debian's slurmctld, slurmd,
# slurm-client and munge.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
die() { echo "two_nodes.sh: $*" >&2; exit 1; }

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  start | stop) [ $# -eq 2 ] || { usage >&2; exit 2; } ;;
  *) usage >&2; exit 2 ;;
esac
nodes=(n1 n2)
gpus=4

# ---- stop: by the ids that the daemons wrote down, last started first
alive() { [ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2> /dev/null; }
# id FILE PROGRAM: the process in FILE, if it is still that program (ids are used again)
id() {
  local pid
  [ -s "$1" ] && read -r pid < "$1" && [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = "$2" ] && echo "$pid"
}
stop() {
  local dir=$1 pids=() pid node
  for node in "${nodes[@]}"; do pids+=("$(id "$dir/slurmd.$node.pid" slurmd || true)"); done
  pids+=("$(id "$dir/slurmctld.pid" slurmctld || true)" "$(id "$dir/munged.pid" munged || true)")
  for pid in "${pids[@]}"; do
    [ -n "$pid" ] || continue
    kill "$pid" 2> /dev/null || continue
    for _ in {1..50}; do alive "$pid" || break; sleep 0.1; done
    if alive "$pid"; then kill -KILL "$pid" 2> /dev/null || true; fi
  done
  rm -f "$dir"/*.pid
}
if [ "$1" = stop ]; then
  [ -f "$2/slurm.conf" ] || die "'$2' holds no cluster of this script (no slurm.conf)"
  stop "$(realpath "$2")"
  exit 0
fi

# ---- start
[ "$EUID" -eq 0 ] || die "SLURM's daemons need root"
for program in munged slurmctld slurmd sinfo unshare; do
  command -v $program > /dev/null || die "no $program here: scripts/install_deps.sh test installs it"
done
mkdir -p "$2"
dir=$(realpath "$2")
[ ! -e "$dir/slurm.conf" ] || die "'$dir' holds a cluster already: stop it and remove the folder first"

# Ports that nobody listens on, away from those that the kernel hands out by itself (32768 and up).
listening() { (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
ports=()
while [ ${#ports[@]} -lt 3 ]; do
  port=$((20000 + RANDOM % 12000))
  if [[ " ${ports[*]} " != *" $port "* ]] && ! listening $port; then ports+=("$port"); fi
done

host=$(hostname -s 2> /dev/null || cat /proc/sys/kernel/hostname)
mkdir -p "$dir/state"
head -c 1024 /dev/urandom > "$dir/munge.key"
chmod 400 "$dir/munge.key"
: > "$dir/gres.conf"
for ((gpu = 0; gpu < gpus; ++gpu)); do
  ln -s /dev/null "$dir/gpu$gpu"
  echo "NodeName=n1,n2 Name=gpu File=$dir/gpu$gpu" >> "$dir/gres.conf"
done
cat > "$dir/slurm.conf" <<END
ClusterName=two_nodes
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
StateSaveLocation=$dir/state
SlurmctldPidFile=$dir/slurmctld.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmdLogFile=$dir/slurmd.%n.log
SlurmdSpoolDir=$dir/spool.%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName=DEFAULT CPUs=64 RealMemory=8000 Gres=gpu:$gpus State=UNKNOWN
NodeName=n1 NodeAddr=127.0.0.1 Port=${ports[1]}
NodeName=n2 NodeAddr=127.0.0.1 Port=${ports[2]}
PartitionName=shpc Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
END
# No cgroup is made. v1 says so without looking for any: there may be none in a container.
echo "CgroupPlugin=cgroup/v1" > "$dir/cgroup.conf"
export SLURM_CONF=$dir/slurm.conf

give_up() {
  trap - EXIT
  grep -h -i -E 'error|fatal' "$dir"/*.log | tail -n 5 >&2 || true
  stop "$dir"
  die "$*; what its logs in $dir say of it stands above"
}
trap 'give_up "ended early"' EXIT
launch() { # NAME COMMAND...: starts a daemon, which goes to the background by itself
  local name=$1
  shift
  "$@" > "$dir/$name.start.log" 2>&1 < /dev/null || give_up "$name does not start"
}
launch munged munged --force --num-threads=2 --key-file="$dir/munge.key" --seed-file="$dir/munge.seed" \
  --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" --log-file="$dir/munged.log"
launch slurmctld slurmctld -c
for node in "${nodes[@]}"; do
  # Each node has a host name of its own: MPI names a node's shared memory after it.
  # shellcheck disable=SC2016  # $0 is the inner shell's
  launch "slurmd.$node" unshare --uts sh -c 'echo "$0" > /proc/sys/kernel/hostname && exec slurmd -N "$0"' "$node"
done
for _ in {1..100}; do
  if [ "$(sinfo --noheader --states=idle --format=%D 2> /dev/null)" = ${#nodes[@]} ]; then
    trap - EXIT
    echo "Two nodes are up: export SLURM_CONF=$SLURM_CONF"
    exit 0
  fi
  sleep 0.1
done
give_up "the nodes did not come up within 10 s"
