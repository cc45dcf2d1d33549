"""facegen_parallel over ranks: the same bytes for any number of them, and the whole job ends when one fails. Units that speak
MPI themselves are in test_custom.py."""
import os
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from conftest import NETWORK, ROOT, needs_mpi, ran, run, started, write_noise

pytestmark = needs_mpi


def command(ranks, *arguments):
    return ["mpirun", "-n", ranks, "./facegen_parallel", "--devices", "none", "-t", "1", *arguments]


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A function n -> (noise, faces, picture) files of one process without mpirun."""
    folder = tmp_path_factory.mktemp("single")

    def make(n):
        files = noise, faces, picture = [folder / f"{n}{ending}" for ending in (".noise.npy", ".npy", ".bmp")]
        if not faces.exists():
            np.save(noise, np.random.default_rng(n).uniform(-1, 1, (n, 100)).astype(np.float32))
            ran("./facegen_parallel", "--devices", "none", NETWORK, *files)
        return files

    return make


@pytest.mark.parametrize("n, ranks, options", [
    *[(n, ranks, ()) for n in (0, 1, 7, 129) for ranks in (1, 2, 3, 5)],
    *[(n, ranks, ("--batch", batch)) for n, ranks, batch in ((7, 1, 1), (129, 1, 50), (129, 1, 128), (129, 2, 40), (129, 3, 1000))],
    *[(129, 0, ("-t", threads)) for threads in (1, 2, 3, 5)]], ids=str)
def test_same_bytes_for_any_number_of_ranks_batch_and_threads(n, ranks, options, single, tmp_path):
    noise, faces, picture = single(n)
    words = command(ranks, *options, NETWORK, noise, tmp_path / "o.npy", tmp_path / "o.bmp")
    done = ran(*words if ranks else words[3:])  # 0: without mpirun
    assert done.stdout.count(b"Finalizing... done!") == 1
    assert (tmp_path / "o.npy").read_bytes() == faces.read_bytes()
    assert (tmp_path / "o.bmp").read_bytes() == picture.read_bytes()


def test_only_rank_0_sees_the_files(single, tmp_path):
    """The other rank runs where none of the files exist."""
    noise, faces, _ = single(7)
    script = tmp_path / "rank.sh"
    script.write_text('#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 0 ] || cd /\nexec "$@"\n')
    script.chmod(0o755)
    (tmp_path / "network.bin").symlink_to(NETWORK)
    (tmp_path / "n.npy").symlink_to(noise)
    ran("mpirun", "-n", 2, script, ROOT / "facegen_parallel", "-d", "none", "network.bin", "n.npy", "o.npy", "none", cwd=tmp_path)
    assert (tmp_path / "o.npy").read_bytes() == faces.read_bytes()


@pytest.mark.parametrize("arguments, status, words", [
    ((NETWORK, "no.txt", "o.txt", "none"), 1, b"'no.txt' does not exist"), (("only", "three", "arguments"), 2, b"expected 4 arguments")],
    ids=["input", "usage"])
def test_what_is_wrong_is_one_sentence_from_one_rank(arguments, status, words, tmp_path):
    done = run("mpirun", "-n", 3, ROOT / "facegen_parallel", "-d", "none", *arguments, cwd=tmp_path)
    assert done.returncode == status
    assert done.stderr.count(b"facegen_parallel: ") == done.stderr.count(words) == 1
    assert not (tmp_path / "o.txt").exists()


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_whole_job(victim, tmp_path):
    np.save(tmp_path / "n.npy", np.zeros((4000, 100), np.float32))
    job = started(command(2, NETWORK, tmp_path / "n.npy", tmp_path / "o.txt", tmp_path / "o.bmp"))
    time.sleep(0.3)
    by_rank = {}
    for pid in map(int, run("pgrep", "-f", f"^./facegen_parallel .*{tmp_path}").stdout.split()):
        with open(f"/proc/{pid}/environ", "rb") as file:
            by_rank[int(re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", file.read())[1])] = pid
    assert sorted(by_rank) == [0, 1]
    killed = time.monotonic()
    os.kill(by_rank[victim], signal.SIGKILL)
    job.communicate(timeout=60)
    assert time.monotonic() - killed < 5
    assert job.returncode != 0
    assert not (tmp_path / "o.txt").exists() and not (tmp_path / "o.bmp").exists()


def test_transfers_larger_than_one_mpi_call():
    """Counts beyond what one call moves go in pieces, in order."""
    program = os.environ.get("FACEGEN_MPI_TRANSFERS")
    if not program:
        pytest.skip("`make test` builds this program")
    ran("mpirun", "-n", 2, program)


def test_note_leaves_the_lines_whole(single):
    """mpirun forwards the two streams apart; here both end in one file, as on a terminal."""
    for _ in range(5):
        done = run("mpirun", "-n", "2", "./facegen_parallel", "-t", "1", "--profile", NETWORK, single(7)[0], "none", "none",
                   capture_output=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
        assert done.returncode == 0, done.stdout
        lines = done.stdout.decode().splitlines()
        assert [line for line in lines if "computing on the CPU" in line] == [lines[3]], lines
        assert {"Initializing... done!", "Calculating... done!", "Finalizing... done!"} <= set(lines), lines


def test_full_disk_ends_the_whole_job(tmp_path):
    noise = write_noise(tmp_path / "n.txt", np.zeros((3, 100), np.float32))
    done = run(*command(2, NETWORK, noise, "/dev/full", "none"))
    assert done.returncode == 3
    assert b"rank 0 on " in done.stderr and b"/dev/full" in done.stderr
