"""How many threads a rank computes with, and where they may run: what launchers, masks, quotas and OpenMP's variables grant.

THREADS is the table: each row a launcher's command line or a setting, and the threads of each rank. On a machine of one
CPU there is nothing to tell apart.
"""
import os
import pathlib
import re
import time

import numpy as np
import pytest
from conftest import NETWORK, PROGRAMS, ROOT, needs_mpi, names, preloaded, ran, rows, run, started

CPUS = sorted(os.sched_getaffinity(0))
ALL, HALF, FIRST, LAST = len(CPUS), max(1, len(CPUS) // 2), CPUS[0], CPUS[-1]
# conftest lets mpirun start more ranks than there are cores, which takes its default binding away.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.startswith(("SLURM_", "OMP_", "OMPI_MCA_rmaps"))}

pytestmark = pytest.mark.skipif(ALL < 2, reason="one CPU here")
FEW = [NETWORK, "few.npy", "none", "none"]


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


def environment(variables):
    return ENVIRONMENT | {name: str(value) for name, value in variables.items()}


def threads_used(profile):
    """The threads of each rank, by rank, of a --json file."""
    used = {row["rank"]: int(re.match(r"CPU \((\d+) thread", row["device"])[1]) for row in rows(profile, "compute")}
    return [used[rank] for rank in sorted(used)]


def threads(folder, *command, options=(), **variables):
    """The threads of each rank in a run that ends well."""
    (folder / "profile.json").unlink(missing_ok=True)
    ran(*command, ROOT / "facegen_parallel", "-q", "-d", "none", *options, "--json", "profile.json", *FEW, cwd=folder,
        env=environment(variables), timeout=120)
    return threads_used(folder / "profile.json")


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


@pytest.mark.parametrize("variables, expected", VARIABLES, ids=str)
def test_variables(folder, variables, expected):
    assert threads(folder, **variables) == [expected]


@needs_mpi
@pytest.mark.parametrize("line, expected", LAUNCHERS, ids=str)
def test_launchers(folder, line, expected):
    assert threads(folder, *line.format(first=FIRST, folder=folder).replace('"', "").split()) == expected


@pytest.mark.parametrize("quota, expected", [(1, 1), (ALL - 0.5, ALL), (ALL + 5, ALL)])
def test_quota(folder, quota, expected):
    """As a container's: docker --cpus, a limit of Kubernetes."""
    version_1 = os.path.isdir("/sys/fs/cgroup/cpu")
    group = pathlib.Path("/sys/fs/cgroup", *["cpu"] * version_1, f"facegen-{os.getpid()}")
    us = f"{quota * 100000:.0f}"
    try:
        group.mkdir()
        for file, limit in {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": us}.items() if version_1 else [("cpu.max", f"{us} 100000")]:
            (group / file).write_text(limit)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        assert threads(folder, "sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh") == [expected]
    finally:
        group.rmdir()


def test_threads_wins(folder):
    assert threads(folder, options=("-t", ALL + 1), OMP_NUM_THREADS=1, SLURM_CPUS_PER_TASK=1) == [ALL + 1]
    assert threads(folder, options=("-t", 2), OMP_THREAD_LIMIT=1) == [1]  # more would be OpenMP's failure


@pytest.mark.parametrize("launcher", [[], pytest.param(["mpirun", "-n", "1"], marks=needs_mpi)], ids=["alone", "mpirun"])
@pytest.mark.parametrize("variables", [{}, {"OMP_PROC_BIND": "true"}, {"OMP_PLACES": f"{{{FIRST}}}", "OMP_PROC_BIND": "close"},
                                       {"GOMP_CPU_AFFINITY": str(FIRST)}], ids=str)
def test_no_thread_is_kept_from_a_cpu(folder, launcher, variables):
    """While it computes, every thread of the program may run on every CPU."""
    job = started([*launcher, ROOT / "facegen_parallel", "-d", "none", NETWORK, folder / "many.npy", "none", "none"],
                  env=environment(variables))
    try:
        time.sleep(0.2)
        [process] = run("pgrep", "-f", f"^{ROOT}/facegen_parallel .*{folder}/many.npy").stdout.decode().split()
        masks = [os.sched_getaffinity(int(thread)) for thread in os.listdir(f"/proc/{process}/task")]
    finally:
        job.terminate()  # mpirun ends its ranks
        job.communicate()
    assert len(masks) > ALL and all(mask == set(CPUS) for mask in masks)


# ---- Machines that are not here, by a sched_getaffinity of ours

SHIM = r"""
#include <sched.h>
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
def shim(tmp_path_factory):
    return preloaded(tmp_path_factory.mktemp("shim"), SHIM)


def test_more_than_1024_cpus(folder, shim):
    assert threads(folder, LD_PRELOAD=shim, BYTES=1024, CPUS="4000+3") == [3]


@needs_mpi
@pytest.mark.parametrize("cpus, expected", [
    (["0+4", "4+4"], [4, 4]),   # as srun --cpu-bind=cores or mpirun --bind-to socket leave them: nothing to share
    (["0+4", "0+4"], [2, 2]), (["0+4", "2+6"], [3, 5]), (["0+1", "0+1"], [1, 1]), (["60+8", "60+8"], [4, 4])])
def test_ranks_share_the_cpus_that_they_have_in_common(folder, shim, cpus, expected):
    words = []
    for place in cpus:
        words += [":", "-n", "1", "env", f"LD_PRELOAD={shim}", "BYTES=128", f"CPUS={place}", ROOT / "facegen_parallel", "-q", "-d", "none",
                  "--json", "profile.json", *FEW]
    ran("mpirun", "--bind-to", "none", "--oversubscribe", *words[1:], cwd=folder, env=ENVIRONMENT, timeout=120)
    assert threads_used(folder / "profile.json") == expected


@pytest.mark.parametrize("launcher", [[], pytest.param(["mpirun", "-n", "2"], marks=needs_mpi)], ids=["alone", "mpirun"])
def test_without_sys(folder, launcher):
    """As in some containers: no cgroup and no topology to be seen."""
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys && exec "$@"', "sh"]
    if run(*hide, "true").returncode != 0:
        pytest.skip("/sys cannot be hidden here")
    assert threads(folder, *hide, *launcher) == ([HALF] * 2 if launcher else [ALL])


# ---- Starts that are no job of several

@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("variables", [
    {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"},  # in the shell of srun -n4 --pty bash, and what such a shell leaves
    {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_TASK_PID": "1"},
    {"PMIX_RANK": "1"}, {"OMPI_COMM_WORLD_RANK": "2"}, {"PMI_RANK": "1"}, {"PMI_RANK": "0", "PMI_SIZE": "1"},
    {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, {"TMPDIR": "/proc"}], ids=str)
def test_one_process_is_a_job_of_one(folder, program, variables):
    ran(ROOT / program, "-q", NETWORK, "few.npy", "o.txt", "none", cwd=folder, env=ENVIRONMENT | variables | {"CUDA_VISIBLE_DEVICES": ""})
    assert (folder / "o.txt").stat().st_size > 2 * 12288
    (folder / "o.txt").unlink()
    done = run(ROOT / program, "wrong", env=ENVIRONMENT | variables)
    assert done.returncode == 2 and done.stderr.count(b"expected 4 arguments") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_tasks_that_do_not_know_of_each_other(folder, program):
    """srun -n4 without PMI: four times the same run."""
    done = run(ROOT / program, "-q", *FEW, cwd=folder,
               env=ENVIRONMENT | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_TASK_PID": "1"})
    assert done.returncode == 2 and b"started as 4 processes" in done.stderr


# ---- No threads to be had

INJECT = r"""
#include <pthread.h>
#include <stdatomic.h>
static atomic_int calls;
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  if (++calls == atoi(getenv("FAILS"))) return EAGAIN;
  return ((__typeof__(&pthread_create))dlsym(RTLD_NEXT, "pthread_create"))(thread, attributes, start, argument);
}
"""


def test_every_thread_that_cannot_be_had(folder, tmp_path):
    """The k-th thread fails, for every k: the run does without it, or ends with status 3 and says why."""
    library, said = preloaded(folder, INJECT), 0
    for k in range(1, 30):
        done = run(ROOT / "facegen_parallel", "-q", "-d", "none", "-t", "3", NETWORK, folder / "few.npy", "o.txt", "none",
                   cwd=tmp_path, timeout=60, env=ENVIRONMENT | {"LD_PRELOAD": str(library), "FAILS": str(k)})
        assert (done.returncode, names(tmp_path)) in [(0, ["o.txt"]), (3, [])], (k, done.stderr)
        assert done.returncode == 0 or b"facegen_parallel: " in done.stderr, (k, done.stderr)
        said += b"of 3 threads: use fewer --threads" in done.stderr
        (tmp_path / "o.txt").unlink(missing_ok=True)
    assert said == 2


def test_more_threads_than_memory(folder):
    done = run(ROOT / "facegen_parallel", "-q", "-d", "none", "-t", "65536", *FEW, cwd=folder, timeout=60, env=ENVIRONMENT)
    assert done.returncode == 3 and b"use fewer --threads" in done.stderr
