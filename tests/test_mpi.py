"""facegen_parallel over ranks: the same bytes for any number of them, and the whole job ends when one fails."""
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from conftest import NETWORK, ROOT, run, write_noise

MPI = "MPI=0" not in os.environ.get("MAKEFLAGS", "") and run("sh", "-c", "command -v mpirun").returncode == 0
pytestmark = pytest.mark.skipif(not MPI, reason="no mpirun here")


def mpirun(ranks, *arguments, **options):
    return run("mpirun", "-n", ranks, "./facegen_parallel", "--devices", "none", "-t", "1", *arguments, **options)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A function n -> (noise file, faces file of one process without mpirun)."""
    folder = tmp_path_factory.mktemp("single")

    def make(n):
        noise, faces = folder / f"noise{n}.npy", folder / f"faces{n}.npy"
        if not faces.exists():
            np.save(noise, np.random.default_rng(n).uniform(-1, 1, (n, 100)).astype(np.float32))
            done = run("./facegen_parallel", "--devices", "none", NETWORK, noise, faces, "none")
            assert done.returncode == 0, done.stderr
        return noise, faces

    return make


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 7, 129])
def test_same_bytes_for_any_number_of_ranks(ranks, n, single, tmp_path):
    noise, faces = single(n)
    done = mpirun(ranks, NETWORK, noise, tmp_path / "o.npy", "none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"Finalizing... done!") == 1
    assert (tmp_path / "o.npy").read_bytes() == faces.read_bytes()


@pytest.mark.parametrize("ranks, batch", [(1, 1), (1, 50), (1, 128), (2, 40), (3, 1000)])
def test_same_bytes_for_any_batch(ranks, batch, single, tmp_path):
    noise, faces = single(129)
    if batch == 1:
        noise, faces = single(7)
    done = mpirun(ranks, "--batch", batch, NETWORK, noise, tmp_path / "o.npy", tmp_path / "o.bmp")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.npy").read_bytes() == faces.read_bytes()
    whole = run("./facegen_parallel", "--devices", "none", NETWORK, noise, "none", tmp_path / "whole.bmp")
    assert whole.returncode == 0
    assert (tmp_path / "o.bmp").read_bytes() == (tmp_path / "whole.bmp").read_bytes()


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_same_bytes_for_any_number_of_threads(threads, single, tmp_path):
    noise, faces = single(129)
    done = run("./facegen_parallel", "--devices", "none", "-t", threads, NETWORK, noise, tmp_path / "o.npy", "none")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.npy").read_bytes() == faces.read_bytes()


def test_only_rank_0_sees_the_files(single, tmp_path):
    """The other rank runs where none of the files exist."""
    noise, faces = single(7)
    script = tmp_path / "rank.sh"
    script.write_text('#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 0 ] || cd /\nexec "$@"\n')
    script.chmod(0o755)
    (tmp_path / "network.bin").symlink_to(NETWORK)
    (tmp_path / "n.npy").symlink_to(noise)
    done = run("mpirun", "-n", 2, script, ROOT / "facegen_parallel", "-d", "none", "network.bin", "n.npy", "o.npy", "none",
               cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.npy").read_bytes() == faces.read_bytes()


def test_bad_input_is_one_sentence_from_one_rank(tmp_path):
    done = mpirun(3, NETWORK, tmp_path / "no.txt", tmp_path / "o.txt", "none")
    assert done.returncode == 1
    assert done.stderr.count(b"facegen_parallel: ") == 1 and b"no.txt" in done.stderr
    assert not (tmp_path / "o.txt").exists()


def test_wrong_usage_is_one_sentence_from_one_rank():
    done = mpirun(3, "only", "three", "arguments")
    assert done.returncode == 2
    assert done.stderr.count(b"expected 4 arguments") == 1


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_whole_job(victim, tmp_path):
    np.save(tmp_path / "n.npy", np.zeros((4000, 100), np.float32))
    job = subprocess.Popen(["mpirun", "-n", "2", "./facegen_parallel", "-d", "none", NETWORK, tmp_path / "n.npy",
                            tmp_path / "o.txt", tmp_path / "o.bmp"], cwd=ROOT, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    while b"Calculating" not in job.stdout.read1():
        pass
    time.sleep(0.3)
    ranks = run("pgrep", "-f", f"^./facegen_parallel .*{tmp_path}").stdout.split()
    assert len(ranks) == 2
    by_rank = {}
    for pid in ranks:
        with open(f"/proc/{int(pid)}/environ", "rb") as file:
            environment = dict(item.split(b"=", 1) for item in file.read().split(b"\0") if b"=" in item)
        by_rank[int(environment[b"OMPI_COMM_WORLD_RANK"])] = int(pid)
    killed = time.monotonic()
    os.kill(by_rank[victim], signal.SIGKILL)
    job.communicate(timeout=60)
    assert time.monotonic() - killed < 5
    assert job.returncode != 0
    assert not (tmp_path / "o.txt").exists() and not (tmp_path / "o.bmp").exists()


def test_transfers_larger_than_one_mpi_call():
    """Counts beyond what one call moves go in pieces, in order."""
    programs = os.environ.get("FACEGEN_MPI_TRANSFERS")
    if not programs:
        pytest.skip("`make test` builds this program")
    done = run("mpirun", "-n", 2, programs)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_note_leaves_the_lines_whole(single):
    """mpirun forwards the two streams apart; here both end in one file, as on a terminal."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    for _ in range(5):
        done = subprocess.run(["mpirun", "-n", "2", "./facegen_parallel", "-t", "1", "--profile", NETWORK, single(7)[0], "none",
                               "none"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, timeout=600)
        assert done.returncode == 0, done.stdout
        lines = done.stdout.decode().splitlines()
        assert [line for line in lines if "computing on the CPU" in line] == [lines[3]], lines
        for line in ("Initializing... done!", "Calculating... done!", "Finalizing... done!"):
            assert line in lines, lines


def test_full_disk_ends_the_whole_job(tmp_path):
    noise = write_noise(tmp_path / "n.txt", np.zeros((3, 100), np.float32))
    done = mpirun(2, NETWORK, noise, "/dev/full", "none")
    assert done.returncode == 3
    assert b"rank 0 on " in done.stderr and b"/dev/full" in done.stderr


# ---- Units of somebody's own (make custom) that speak MPI themselves: each value of a face is half its first noise value

UNIT = """
#include <mpi.h>
#include <stdlib.h>
#include "facegen.h"
static int rank, size;
static void half(int n, float *inputs, float *outputs) {
  for (int i = 0; i < n * 12288; ++i) outputs[i] = inputs[i / 12288 * 100] * 0.5f;
}
"""

# Each sends its noise round to the next rank and back: it has started MPI, and with the threads that it needs.
ROUND = """
void facegen(int n, float *network, float *inputs, float *outputs) {
  float sent = rank, got = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Sendrecv(&sent, 1, MPI_FLOAT, (rank + 1) % size, 0, &got, 1, MPI_FLOAT, (rank + size - 1) % size, 0, MPI_COMM_WORLD,
               MPI_STATUS_IGNORE);
  if (got >= 0) half(n, inputs, outputs);
}
"""

UNITS = {
    "init": "void facegen_init() { MPI_Init(NULL, NULL); }" + ROUND + "void facegen_fin() { MPI_Finalize(); }",
    "careful": """
void facegen_init() { int on = 0; MPI_Initialized(&on); if (!on) MPI_Init(NULL, NULL); }""" + ROUND + """
void facegen_fin() { int off = 0; MPI_Finalized(&off); if (!off) MPI_Finalize(); }""",
    "threads": """
void facegen_init() {
  int provided = -1;
  MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided);
  if (provided < MPI_THREAD_MULTIPLE) exit(9);
}""" + ROUND + "void facegen_fin() { MPI_Finalize(); }",
    # A receive that takes whatever comes waits from the start: nothing of ours may.
    "stray": """
static MPI_Request any;
static char taken[8];
void facegen_init() { MPI_Irecv(taken, 8, MPI_CHAR, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &any); }
void facegen(int n, float *network, float *inputs, float *outputs) {
  int found = 0;
  MPI_Test(&any, &found, MPI_STATUS_IGNORE);
  if (!found) half(n, inputs, outputs);
}
void facegen_fin() { MPI_Cancel(&any); MPI_Request_free(&any); }""",
}


@pytest.fixture
def custom(tmp_path):
    """A function that makes facegen_custom of a unit, runs it on some ranks, and returns that run, noise and faces file."""
    def make(unit):
        (tmp_path / "unit.c").write_text(UNIT + unit)
        done = run("make", "custom", f"SRC={tmp_path}/unit.c", f"CUSTOM={tmp_path}/custom")
        assert done.returncode == 0, done.stderr.decode()
        noise = np.random.default_rng(3).uniform(-1, 1, (5, 100)).astype(np.float32)
        np.save(tmp_path / "n.npy", noise)

        def start(ranks):
            launcher = ["mpirun", "-n", ranks] if ranks else []
            return run(*launcher, tmp_path / "custom", "-q", NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", "none")
        return start, noise, tmp_path / "o.npy"
    return make


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_that_speaks_mpi_itself(name, custom):
    start, noise, faces = custom(UNITS[name])
    for ranks in (0, 1, 3):  # 0: without mpirun
        done = start(ranks)
        assert done.returncode == 0, done.stderr
        assert (np.load(faces) == noise[:, :1, None, None] / 2).all()
        faces.unlink()


def test_mpi_errors_of_a_unit_end_the_job(custom):
    """A receive that is too small for its message, as under MPI without us."""
    start, _, faces = custom("""
void facegen_init() { MPI_Comm_rank(MPI_COMM_WORLD, &rank); }
void facegen(int n, float *network, float *inputs, float *outputs) {
  if (rank == 1) MPI_Send(inputs, 100, MPI_FLOAT, 0, 0, MPI_COMM_WORLD);
  if (rank == 0) MPI_Recv(outputs, 10, MPI_FLOAT, 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}
void facegen_fin() {}""")
    done = start(2)
    assert done.returncode not in (0, 1, 2, 3)  # ours; Open MPI ends with the number of the error
    assert not faces.exists()


# ---- A process that nobody launched


@pytest.mark.parametrize("program", ["facegen_seq", "facegen_parallel"])
@pytest.mark.parametrize("left", [{"PMIX_RANK": "1"}, {"OMPI_COMM_WORLD_RANK": "2"}, {"PMI_RANK": "1"}, {"TMPDIR": "/proc"}])
def test_what_a_launcher_left_in_the_environment(program, left, tmp_path):
    noise = write_noise(tmp_path / "n.txt", np.zeros((1, 100), np.float32))
    done = run(f"./{program}", NETWORK, noise, tmp_path / "o.txt", "none", env={**os.environ, **left}, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.txt").stat().st_size > 12288
