"""The programs as jobs of a real SLURM: two nodes with four GPUs each, all on this host (scripts/slurm/two_nodes.sh).

The GPUs are pretended, so the ranks compute on the CPU; everything else is as on a cluster: salloc, mpirun's launch on
other nodes through SLURM, CUDA_VISIBLE_DEVICES from --gres, the end of a job when a rank dies.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from conftest import NETWORK, ROOT, needs_answers

# The course's lines, word for word.
TWO_NODES = ("salloc --nodes=2 --ntasks-per-node=1 --cpus-per-task=64 --gres=gpu:4 --partition=shpc mpirun "
             "./facegen_parallel network.bin input1.txt output1.txt output1.bmp")
ONE_NODE = TWO_NODES.replace("--nodes=2", "--nodes=1")
TWO_TASKS = TWO_NODES.replace("--ntasks-per-node=1 --cpus-per-task=64", "--ntasks-per-node=2 --cpus-per-task=32")
SEQUENTIAL = ("salloc --nodes=1 --ntasks-per-node=1 --cpus-per-task=2 --partition=shpc mpirun "
              "./facegen_seq network.bin input1.txt output1.txt output1.bmp")


def lines(number):
    """A pattern for the course's lines on standard output."""
    return (r"Reading 'network\.bin'\.\.\. done!\n"
            rf"Reading 'input{number}\.txt'\.\.\. done!\n"
            r"Initializing\.\.\. done!\n"
            r"Calculating\.\.\. done!\n"
            r"Elapsed time : \d+\.\d{6} sec\n"
            rf"Writing 'output{number}\.txt'\.\.\. done!\n"
            rf"Writing 'output{number}\.bmp'\.\.\. done!\n"
            r"Finalizing\.\.\. done!\n")


def environment(**more):
    """Ours, without traces of a SLURM job that the tests themselves may run in."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")} | more


def runs(pid):
    """A process that has ended may stay listed until its parent asks for it."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def cannot(reason):
    """SLURM is not to be had here, for a reason that ends with its one sentence. In CI that is a failure."""
    if not os.environ.get("CI"):
        reason = reason.strip().splitlines()[-1]
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no SLURM jobs tested: {reason}")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Two nodes that are up -> the environment for salloc."""
    if os.geteuid() != 0:
        pytest.skip("no SLURM jobs tested: starting its daemons needs root")
    needed = ("munged", "slurmctld", "slurmd", "salloc", "sbatch", "mpirun")
    missing = [name for name in needed if not shutil.which(name)]
    if missing:
        cannot(f"no {', '.join(missing)} here (scripts/install_deps.sh test)")
    folder = tmp_path_factory.mktemp("slurm")
    script = ROOT / "scripts/slurm/two_nodes.sh"
    # Output to a file: daemons that keep a pipe open would keep us waiting.
    with open(folder / "start.log", "w") as log:
        started = subprocess.run([script, "start", folder / "cluster"], env=environment(), stdout=log, stderr=log)
    if started.returncode != 0:
        cannot((folder / "start.log").read_text())
    yield environment(SLURM_CONF=str(folder / "cluster/slurm.conf"))
    pids = [int(file.read_text()) for file in (folder / "cluster").glob("*.pid")]
    assert len(pids) == 4
    subprocess.run([script, "stop", folder / "cluster"], check=True)
    assert not [pid for pid in pids if runs(pid)], "two_nodes.sh stop left daemons behind"


@pytest.fixture(scope="module")
def with_mpi():
    version = subprocess.run([ROOT / "facegen_parallel", "--version"], capture_output=True, text=True).stdout
    if "MPI" not in version:
        pytest.skip("facegen_parallel was built without MPI")


@pytest.fixture
def folder(tmp_path):
    """A working folder with the names that the course's lines use."""
    for name in ("facegen_parallel", "facegen_seq"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "network.bin").symlink_to(NETWORK)
    (tmp_path / "input1.txt").symlink_to(ROOT / "inputs/input1.txt")
    (tmp_path / "input2.txt").symlink_to(ROOT / "inputs/input2.txt")
    return tmp_path


def outputs(folder, program, number):
    """What `program` writes for input `number` without SLURM and mpirun -> (numbers, picture), bytes."""
    files = [folder / f"alone{number}.txt", folder / f"alone{number}.bmp"]
    subprocess.run([f"./{program}", "-q", "network.bin", f"input{number}.txt", *files], cwd=folder, check=True,
                   env=environment(), stdout=subprocess.DEVNULL, timeout=300)
    return tuple(file.read_bytes() for file in files)


def job(line, folder, slurm, timeout=300):
    done = subprocess.run(line.split(), cwd=folder, env=slurm, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_nodes_of_four_gpus(slurm, folder):
    """The cluster is what it says: else the tests below would say little."""
    (folder / "where").write_text("#!/bin/sh\necho $OMPI_COMM_WORLD_RANK $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES\n")
    (folder / "where").chmod(0o755)
    line = TWO_NODES[: TWO_NODES.index("./")] + "./where"
    assert sorted(job(line, folder, slurm).splitlines()) == ["0 n1 0,1,2,3", "1 n2 0,1,2,3"]
    line = TWO_TASKS[: TWO_TASKS.index("./")] + "./where"
    assert sorted(job(line, folder, slurm).split()[1::3]) == ["n1", "n1", "n2", "n2"]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("line", [TWO_NODES, ONE_NODE, TWO_TASKS], ids=["two_nodes", "one_node", "two_tasks_a_node"])
def test_parallel(slurm, with_mpi, folder, line, number):
    line = line.replace("put1.", f"put{number}.")
    stdout = job(line, folder, slurm)
    assert re.fullmatch(lines(number), stdout), stdout
    got = (folder / f"output{number}.txt").read_bytes(), (folder / f"output{number}.bmp").read_bytes()
    assert got == outputs(folder, "facegen_parallel", number)


@needs_answers
def test_sequential(slurm, folder):
    stdout = job(SEQUENTIAL, folder, slurm)
    assert re.fullmatch(lines(1), stdout), stdout
    assert (folder / "output1.txt").read_bytes() == (ROOT / "answers/answer1.txt").read_bytes()
    assert (folder / "output1.bmp").read_bytes() == (ROOT / "answers/answer1.bmp").read_bytes()


@pytest.mark.skipif("FACEGEN_SIMULATED" not in os.environ, reason="`make test` builds the simulated GPUs")
@pytest.mark.parametrize("speed", [1000, 1000000])  # of a GPU: its node makes 0.2 GB/s; more than any link here carries
def test_another_node_computes_what_its_link_carries(slurm, with_mpi, folder, speed):
    (folder / "program").symlink_to(ROOT / os.environ["FACEGEN_SIMULATED"])
    n, face_bytes, gpus = 4000, 49152, 4
    noise = np.random.default_rng(speed).uniform(-1, 1, (n, 100)).astype(np.float32)
    np.save(folder / "noise.npy", noise)
    line = TWO_NODES[: TWO_NODES.index("./")] + "./program -q --json profile.json network.bin noise.npy faces.npy none"
    job(line, folder, slurm | {"FACEGEN_SIMULATED_GPUS": str(gpus), "FACEGEN_SIMULATED_SPEED": str(speed)})
    stages = json.loads((folder / "profile.json").read_text())["stages"]
    [link] = [row for row in stages if row["stage"] == "link"]
    assert link["rank"] == 1
    carried = min(link["bytes"] / link["seconds"] / face_bytes, gpus * speed)
    faces = [sum(row["faces"] for row in stages if row["stage"] == "compute" and row["rank"] == rank) for rank in (0, 1)]
    assert sum(faces) == n
    assert faces[1] == pytest.approx(n * carried / (carried + gpus * speed), rel=0.01, abs=2)
    assert faces[1] == n // 2 if speed == 1000 else 0 < faces[1] < n // 4
    bias = np.fromfile(NETWORK, "<f4", 1000)
    i = np.arange(face_bytes // 4)
    assert np.load(folder / "faces.npy").tobytes() == (noise[:, i % 100] + bias[i % 1000]).tobytes()


def test_batch_job(slurm, with_mpi, folder):
    line = f"sbatch --wait {ROOT}/scripts/slurm/job.sh network.bin input1.txt output1.txt output1.bmp"
    number = job(line, folder, slurm).split()[-1]
    log = (folder / f"facegen-{number}.log").read_text()
    assert "Calculating... done!" in log
    got = (folder / "output1.txt").read_bytes(), (folder / "output1.bmp").read_bytes()
    assert got == outputs(folder, "facegen_parallel", 1)


def srun(options, folder, slurm, program="./facegen_parallel", shell=False):
    """A step of a job of one node and four tasks -> what it did. shell: in its shell on a terminal, of task 0."""
    step = f"srun {options} {program} -q -d none network.bin input1.txt output1.txt none"
    if shell:
        step = f"script -qec \"srun {options} --pty sh -c '! tty -s || {program} -q network.bin input1.txt output1.txt none'\" /dev/null"
    return subprocess.run(["salloc", "-N1", "-n4", "sh", "-c", step], cwd=folder, env=slurm, capture_output=True, text=True,
                          timeout=120, stdin=subprocess.DEVNULL)


def is_right(folder):
    done = subprocess.run([ROOT / "compare_result", "output1.txt", ROOT / "answers/answer1.txt"], cwd=folder)
    return done.returncode == 0


@pytest.mark.parametrize("program", ["./facegen_parallel", "./facegen_seq"])
@pytest.mark.parametrize("mpi", ["none", "pmi2", "pmix"])
def test_srun_of_one_task_is_one_process(slurm, folder, mpi, program):
    done = srun(f"--mpi={mpi} -n1", folder, slurm, program)
    if "plugin" in done.stderr:
        pytest.skip(f"this SLURM has no {mpi}")
    assert done.returncode == 0, done.stderr
    assert is_right(folder)


def test_srun_without_pmi_refuses_several_tasks(slurm, folder):
    done = srun("--mpi=none -n2", folder, slurm)
    assert done.returncode == 2 and "started as 2 processes that do not know of each other" in done.stderr
    assert not (folder / "output1.txt").exists()


def test_mpi_that_cannot_start(slurm, with_mpi, folder):
    """SLURM's PMI 2, which Debian's Open MPI does not speak."""
    done = srun("--mpi=pmi2 -n2", folder, slurm)
    if done.returncode == 0 or "plugin" in done.stderr:
        pytest.skip("this MPI starts here")
    assert done.returncode == 3 and "MPI could not be started" in done.stderr


@pytest.mark.skipif(not shutil.which("script"), reason="no script here, which makes a terminal")
@pytest.mark.parametrize("program", ["./facegen_parallel", "./facegen_seq"])
def test_in_the_shell_of_several_tasks_a_start_is_one_process(slurm, folder, program):
    """srun -n4 --pty bash."""
    done = srun("--mpi=none -n4", folder, slurm, program, shell=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert is_right(folder)


def ranks(slurm):
    """The job's processes of facegen_parallel -> {rank: pid}."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm, open(f"/proc/{pid}/environ", "rb") as environ:
                variables = dict(item.split(b"=", 1) for item in environ.read().split(b"\0") if b"=" in item)
                if comm.read().strip() == "facegen_paralle" and \
                        variables.get(b"SLURM_CONF", b"").decode() == slurm["SLURM_CONF"]:  # 15 letters: comm's limit
                    found[int(variables[b"OMPI_COMM_WORLD_RANK"])] = int(pid)
        except (OSError, KeyError):
            continue  # ended meanwhile, or not one of ours
    return found


def start_long_job(folder, slurm, times):
    """Computes input3 so many times over, on two nodes -> the process of salloc, which is well into the work."""
    noise = (ROOT / "inputs/input3.txt").read_text().splitlines()[1:] * times
    (folder / "many.txt").write_text("\n".join([str(len(noise)), *noise]) + "\n")
    with open(folder / "stdout", "w") as stdout, open(folder / "stderr", "w") as stderr:
        process = subprocess.Popen(TWO_NODES.replace("input1.txt", "many.txt").split(), cwd=folder, env=slurm, stdout=stdout,
                                   stderr=stderr)
    for _ in range(600):
        if "Calculating..." in (folder / "stdout").read_text() or process.poll() is not None:
            break
        time.sleep(0.1)
    time.sleep(1)
    assert process.poll() is None and sorted(ranks(slurm)) == [0, 1], (folder / "stderr").read_text()
    return process


def parent(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[1])


@pytest.mark.parametrize("victim", [0, 1, "the daemon of rank 1"])
def test_a_killed_part_ends_the_job(slurm, with_mpi, folder, victim):
    process = start_long_job(folder, slurm, 60)  # minutes of work for a few cores
    try:
        running = ranks(slurm)
        start = time.monotonic()
        os.kill(running[victim] if victim in running else parent(running[1]), signal.SIGKILL)
        status = process.wait(timeout=30)
        seconds = time.monotonic() - start
    finally:
        process.kill()
        process.wait()
    assert status != 0
    assert seconds < 5
    assert not (folder / "output1.txt").exists()
    assert not (folder / "output1.bmp").exists()
    for _ in range(30):  # nobody computes on
        if not ranks(slurm):
            break
        time.sleep(0.1)
    assert not ranks(slurm)


def test_a_job_outlives_the_slurmd_of_a_node(slurm, with_mpi, folder):
    process = start_long_job(folder, slurm, 3)
    file = pathlib.Path(slurm["SLURM_CONF"]).parent / "slurmd.n2.pid"
    try:
        os.kill(int(file.read_text()), signal.SIGKILL)
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.wait()
        subprocess.run(["unshare", "--uts", "sh", "-c", "hostname n2; exec slurmd -N n2"], env=slurm, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    faces = np.fromfile(folder / "output1.txt", np.uint8)
    assert np.count_nonzero(faces == ord("\n")) == 3001


def test_two_nodes_says_what_is_wrong(slurm, tmp_path):
    script = ROOT / "scripts/slurm/two_nodes.sh"
    taken = os.path.dirname(slurm["SLURM_CONF"])
    done = subprocess.run([script, "start", taken], capture_output=True, text=True)
    assert done.returncode == 1 and "holds a cluster already" in done.stderr
    done = subprocess.run([script, "stop", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "holds no cluster" in done.stderr
    assert subprocess.run([script, "begin", tmp_path], capture_output=True).returncode == 2
