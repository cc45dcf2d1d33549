"""How many threads a rank computes with, and where they may run: what launchers, masks, quotas and OpenMP's variables grant.

THREADS is the table: each row a launcher's command line or a setting, and the threads of each rank. On a machine of one
CPU there is nothing to tell apart.
"""
import json
import os
import re
import shutil
import subprocess
import time

import numpy as np
import pytest
from conftest import NETWORK, ROOT

CPUS = sorted(os.sched_getaffinity(0))
ALL, HALF, FIRST, LAST = len(CPUS), max(1, len(CPUS) // 2), CPUS[0], CPUS[-1]
# conftest lets mpirun start more ranks than there are cores, which takes its default binding away.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.startswith(("SLURM_", "OMP_", "OMPI_MCA_rmaps"))}

pytestmark = pytest.mark.skipif(ALL < 2, reason="one CPU here")
needs_mpirun = pytest.mark.skipif(not shutil.which("mpirun"), reason="no mpirun here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("threads")
    np.save(folder / "few.npy", np.zeros((2, 100), np.float32))
    np.save(folder / "many.npy", np.zeros((400 * ALL, 100), np.float32))
    (folder / "rankfile").write_text(f"rank 0={os.uname().nodename} slot={FIRST}\n")
    parameters = folder / "home/.openmpi/mca-params.conf"
    parameters.parent.mkdir(parents=True)
    parameters.write_text("# ours\nhwloc_base_binding_policy = core\n")
    return folder


def threads(folder, *command, options=(), **variables):
    """The threads of each rank, by rank, in a run that ends well."""
    profile = folder / "profile.json"
    profile.unlink(missing_ok=True)
    done = subprocess.run([*map(str, command), ROOT / "facegen_parallel", "-q", "-d", "none", *map(str, options), "--json", profile,
                           NETWORK, folder / "few.npy", "none", "none"], cwd=folder, capture_output=True, timeout=120,
                          env=ENVIRONMENT | {name: str(value) for name, value in variables.items()})
    assert done.returncode == 0, done.stderr.decode()
    used = {row["rank"]: int(re.match(r"CPU \((\d+) thread", row["device"])[1])
            for row in json.loads(profile.read_text())["stages"] if row["stage"] == "compute"}
    return [used[rank] for rank in sorted(used)]


# What grants threads -> by each rank. Variables hold with every launcher below that grants all CPUs.
VARIABLES = [
    ({}, ALL),
    ({"OMP_NUM_THREADS": 1}, 1), ({"OMP_NUM_THREADS": "1,2"}, 1), ({"OMP_NUM_THREADS": 1000}, ALL),
    ({"OMP_NUM_THREADS": "nonsense"}, ALL),
    ({"OMP_THREAD_LIMIT": 1}, 1), ({"OMP_THREAD_LIMIT": 1000}, ALL),
    ({"SLURM_CPUS_PER_TASK": 1}, 1), ({"SLURM_CPUS_PER_TASK": 1000}, ALL),
    ({"OMP_PROC_BIND": "true"}, ALL), ({"OMP_PROC_BIND": "close"}, ALL), ({"OMP_PROC_BIND": "spread"}, ALL),
    ({"OMP_PROC_BIND": "master"}, ALL), ({"OMP_PLACES": "cores"}, ALL), ({"OMP_PLACES": f"{{{FIRST}}}"}, ALL),
    ({"OMP_PLACES": f"{{{FIRST}}}", "OMP_PROC_BIND": "true"}, ALL), ({"GOMP_CPU_AFFINITY": FIRST}, ALL),
    ({"OMP_DYNAMIC": "true"}, ALL), ({"OMP_STACKSIZE": "900G"}, ALL), ({"OMP_MAX_ACTIVE_LEVELS": 0}, ALL),
]
LAUNCHERS = [
    # Nobody asked for a binding: mpirun's own is undone, as far as mpirun itself may run.
    ("mpirun -n 1", [ALL]), ("mpirun -np 2", [HALF] * 2), ("mpirun --oversubscribe -np 3", [max(1, ALL // 3)] * 3),
    ("mpirun -n 1 --bind-to none", [ALL]), ("mpirun -np 2 -H localhost:2", [HALF] * 2),
    ("mpirun -np 1 --map-by ppr:1:node", [ALL]), ("mpirun -n 1 --map-by core", [ALL]), ("mpirun -npernode 1", [ALL]),
    ("mpirun -np 1 --report-bindings", [ALL]), ("mpirun -np 1 --tag-output", [ALL]), ("mpirun -np 2 --mca btl self,vader", [HALF] * 2),
    ("mpirun -n 1 -x OMP_NUM_THREADS=1", [1]), ("mpirun -n 1 -x OMP_PROC_BIND=true", [ALL]),
    ("mpirun -n 1 -x GOMP_CPU_AFFINITY=0", [ALL]), ("mpirun -n 1 sh -c \"$@\" sh", [ALL]),
    (f"taskset -c {LAST} mpirun -n 1", [1]),
    # Somebody did: it stays.
    ("taskset -c {first}", [1]), ("mpirun -n 1 --bind-to core", [1]), ("mpirun -n 1 --cpu-set {first}", [1]),
    ("mpirun -n 1 --cpu-list {first}", [1]), ("mpirun -n 1 --rankfile {folder}/rankfile", [1]),
    ("mpirun -n 1 --map-by slot:PE=1", [1]), ("mpirun -n 1 --map-by ppr:1:node:pe=1", [1]),
    (f"mpirun -n 1 --map-by ppr:1:node:pe={ALL}", [ALL]), ("mpirun -n 1 --cpus-per-proc 1", [1]),
    ("mpirun -n 1 --mca hwloc_base_binding_policy core", [1]), ("mpirun -n 1 taskset -c {first}", [1]),
    ("env OMPI_MCA_hwloc_base_binding_policy=core mpirun -n 1", [1]), ("env HOME={folder}/home mpirun -n 1", [1]),
]


@pytest.mark.parametrize("variables, expected", VARIABLES, ids=lambda value: str(value))
def test_variables(folder, variables, expected):
    assert threads(folder, **variables) == [expected]


@pytest.mark.parametrize("line, expected", LAUNCHERS, ids=lambda value: str(value))
def test_launchers(folder, line, expected):
    words = line.format(first=FIRST, folder=folder).replace('"', "").split()
    if not shutil.which("mpirun") and "mpirun" in line:
        pytest.skip("no mpirun here")
    assert threads(folder, *words) == expected


@pytest.mark.parametrize("quota, expected", [(1, 1), (ALL - 0.5, ALL), (ALL + 5, ALL)])
def test_quota(folder, quota, expected):
    """As a container's: docker --cpus, a limit of Kubernetes."""
    name = f"facegen-{os.getpid()}"
    try:
        if os.path.isdir("/sys/fs/cgroup/cpu"):
            group = f"/sys/fs/cgroup/cpu/{name}"
            os.mkdir(group)
            limits = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": f"{quota * 100000:.0f}"}
        else:
            group = f"/sys/fs/cgroup/{name}"
            os.mkdir(group)
            limits = {"cpu.max": f"{quota * 100000:.0f} 100000"}
        for file, limit in limits.items():
            with open(f"{group}/{file}", "w") as out:
                out.write(limit)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        assert threads(folder, "sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh") == [expected]
    finally:
        os.rmdir(group)


def test_threads_wins(folder):
    assert threads(folder, options=("-t", ALL + 1), OMP_NUM_THREADS=1, SLURM_CPUS_PER_TASK=1) == [ALL + 1]
    assert threads(folder, options=("-t", 2), OMP_THREAD_LIMIT=1) == [1]  # more would be OpenMP's failure


@pytest.mark.parametrize("launcher", [[], pytest.param(["mpirun", "-n", "1"], marks=needs_mpirun)], ids=["alone", "mpirun"])
@pytest.mark.parametrize("variables", [{}, {"OMP_PROC_BIND": "true"}, {"OMP_PLACES": f"{{{FIRST}}}", "OMP_PROC_BIND": "close"},
                                       {"GOMP_CPU_AFFINITY": str(FIRST)}], ids=str)
def test_no_thread_is_kept_from_a_cpu(folder, launcher, variables):
    """While it computes, every thread of the program may run on every CPU."""
    job = subprocess.Popen([*launcher, ROOT / "facegen_parallel", "-d", "none", NETWORK, folder / "many.npy", "none", "none"],
                           cwd=folder, env=ENVIRONMENT | variables, stdout=subprocess.PIPE)
    try:
        while b"Calculating" not in job.stdout.read1():
            assert job.poll() is None
        time.sleep(0.2)
        pattern = f"^{ROOT}/facegen_parallel .*{folder}/many.npy"
        mine = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()
        assert len(mine) == 1
        masks = [os.sched_getaffinity(int(thread)) for thread in os.listdir(f"/proc/{mine[0]}/task")]
    finally:
        job.terminate()  # mpirun ends its ranks
        job.wait()
    assert len(masks) > ALL and all(mask == set(CPUS) for mask in masks)


# ---- Machines that are not here, by a sched_getaffinity of ours

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
// For facegen's own calls; libraries see what is here. CPUS: first+count. BYTES: of the kernel's sets, it refuses smaller ones.
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t* set) {
  Dl_info caller;
  memset(set, 0, size);
  if (!dladdr(__builtin_return_address(0), &caller) || !strstr(caller.dli_fname, "facegen_parallel")) {
    return syscall(SYS_sched_getaffinity, pid, size, set) < 0 ? -1 : 0;
  }
  if (size < (size_t)atoi(getenv("BYTES"))) { errno = EINVAL; return -1; }
  const char* cpus = getenv("CPUS");
  const int first = atoi(cpus), count = atoi(strchr(cpus, '+') + 1);
  for (int cpu = first; cpu < first + count; ++cpu) CPU_SET_S(cpu, size, set);
  return 0;
}
"""


@pytest.fixture(scope="module")
def shim(folder):
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c"], check=True)
    return folder / "shim.so"


def test_more_than_1024_cpus(folder, shim):
    assert threads(folder, LD_PRELOAD=shim, BYTES=1024, CPUS="4000+3") == [3]


@needs_mpirun
@pytest.mark.parametrize("cpus, expected", [
    (["0+4", "4+4"], [4, 4]),   # as srun --cpu-bind=cores or mpirun --bind-to socket leave them: nothing to share
    (["0+4", "0+4"], [2, 2]), (["0+4", "2+6"], [3, 5]), (["0+1", "0+1"], [1, 1]), (["60+8", "60+8"], [4, 4])])
def test_ranks_share_the_cpus_that_they_have_in_common(folder, shim, cpus, expected):
    words = ["mpirun", "--bind-to", "none", "--oversubscribe"]
    common = ["env", f"LD_PRELOAD={shim}", "BYTES=128"]
    program = [ROOT / "facegen_parallel", "-q", "-d", "none", "--json", folder / "p.json", NETWORK, folder / "few.npy", "none", "none"]
    for place in cpus:
        words += [":"] * (words[-1] != "--oversubscribe") + ["-n", "1", *common, f"CPUS={place}", *program]
    done = subprocess.run([str(word) for word in words], cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    stages = json.loads((folder / "p.json").read_text())["stages"]
    used = {row["rank"]: int(re.search(r"\d+", row["device"])[0]) for row in stages if row["stage"] == "compute"}
    assert [used[0], used[1]] == expected


@pytest.mark.parametrize("launcher", [[], pytest.param(["mpirun", "-n", "2"], marks=needs_mpirun)], ids=["alone", "mpirun"])
def test_without_sys(folder, launcher):
    """As in some containers: no cgroup and no topology to be seen."""
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys && exec "$@"', "sh"]
    if subprocess.run([*hide, "true"], capture_output=True).returncode != 0:
        pytest.skip("/sys cannot be hidden here")
    assert threads(folder, *hide, *launcher) == ([HALF] * 2 if launcher else [ALL])


# ---- Starts that are no job of several

@pytest.mark.parametrize("program", ["facegen_seq", "facegen_parallel"])
@pytest.mark.parametrize("variables", [
    {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"},  # in the shell of srun -n4 --pty bash, and what such a shell leaves
    {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_TASK_PID": "1"},
    {"PMIX_RANK": "1"}, {"PMI_RANK": "0", "PMI_SIZE": "1"}, {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
    {"TMPDIR": "/proc"}], ids=str)
def test_one_process_is_a_job_of_one(folder, program, variables):
    done = subprocess.run([ROOT / program, "-q", NETWORK, folder / "few.npy", "none", "none"], capture_output=True, timeout=60,
                          env=ENVIRONMENT | variables | {"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr
    done = subprocess.run([ROOT / program, "wrong"], capture_output=True, env=ENVIRONMENT | variables)
    assert done.returncode == 2 and done.stderr.count(b"expected 4 arguments") == 1


@pytest.mark.parametrize("program", ["facegen_seq", "facegen_parallel"])
def test_tasks_that_do_not_know_of_each_other(folder, program):
    """srun -n4 without PMI: four times the same run."""
    done = subprocess.run([ROOT / program, "-q", NETWORK, folder / "few.npy", "none", "none"], capture_output=True,
                          env=ENVIRONMENT | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_TASK_PID": "1"})
    assert done.returncode == 2 and b"started as 4 processes" in done.stderr


# ---- No threads to be had

INJECT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
static atomic_int calls;
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  if (++calls == atoi(getenv("FAILS"))) return EAGAIN;
  return ((__typeof__(&pthread_create))dlsym(RTLD_NEXT, "pthread_create"))(thread, attributes, start, argument);
}
"""


def test_every_thread_that_cannot_be_had(folder):
    """The k-th thread fails, for every k: the run does without it, or ends with status 3 and says why."""
    (folder / "inject.c").write_text(INJECT)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "inject.so", folder / "inject.c"], check=True)
    said = 0
    for k in range(1, 30):
        done = subprocess.run([ROOT / "facegen_parallel", "-q", "-d", "none", "-t", "3", NETWORK, folder / "few.npy",
                               folder / "o.txt", "none"], cwd=folder, capture_output=True, timeout=60,
                              env=ENVIRONMENT | {"LD_PRELOAD": str(folder / "inject.so"), "FAILS": str(k)})
        assert done.returncode in (0, 3), (k, done.stderr)
        assert (folder / "o.txt").exists() == (done.returncode == 0), k
        assert done.returncode == 0 or b"facegen_parallel: " in done.stderr, (k, done.stderr)
        said += b"of 3 threads: use fewer --threads" in done.stderr
        (folder / "o.txt").unlink(missing_ok=True)
    assert said == 2
    assert not [name for name in os.listdir(folder) if "partial" in name]


def test_more_threads_than_memory(folder):
    done = subprocess.run([ROOT / "facegen_parallel", "-q", "-d", "none", "-t", "65536", NETWORK, folder / "few.npy", "none",
                           "none"], cwd=folder, capture_output=True, timeout=60, env=ENVIRONMENT)
    assert done.returncode == 3 and b"use fewer --threads" in done.stderr
