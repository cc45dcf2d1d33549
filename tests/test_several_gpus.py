"""Several GPUs and several ranks a node, with GPUs that are simulated (tests/simulated_gpus.cpp): who drives what, the
same bytes however the work is shared out, nothing left behind, and the end of a run when a GPU is lost."""
import json
import os
import sys
import time

import numpy as np
import pytest
from conftest import NETWORK, ROOT, launcher, needs_mpi, ran, rows, run

SIMULATED = os.environ.get("FACEGEN_SIMULATED")
pytestmark = pytest.mark.skipif(not SIMULATED, reason="`make test` builds the simulated GPUs")
by_ranks = pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=needs_mpi)])
by_way = pytest.mark.parametrize("share", [1, 0], ids=["in_place", "messages"])


@pytest.fixture
def gpus(monkeypatch):
    """A function that sets the number of simulated GPUs and what else is given."""
    def simulate(count, **more):
        for name, value in {"SIMULATED_GPUS": count, **more}.items():
            monkeypatch.setenv(f"FACEGEN_{name}", str(value))
    return simulate


@pytest.fixture
def files(tmp_path):
    """A function n -> (noise file, faces file, the faces that a simulated GPU makes)."""
    def make(n):
        noise = np.random.default_rng(n).uniform(-1, 1, (n, 100)).astype(np.float32)
        np.save(tmp_path / "noise.npy", noise)
        bias = np.fromfile(NETWORK, "<f4", 1000)
        i = np.arange(64 * 64 * 3)
        return tmp_path / "noise.npy", tmp_path / "faces.npy", (noise[:, i % 100] + bias[i % 1000]).reshape(n, 64, 64, 3)
    return make


def command(ranks, *arguments):
    return [*launcher(ranks), SIMULATED, "-q", *arguments]


def computed_by(profile):
    """The devices that computed, with their ranks."""
    return sorted((row["rank"], row["device"]) for row in rows(profile, "compute"))


@needs_mpi
@by_way
@pytest.mark.parametrize("count, ranks", [(4, 1), (4, 2), (4, 4), (2, 3), (1, 2)])
def test_same_bytes_however_shared_out(count, ranks, share, gpus, files):
    gpus(count, SHARE=share)
    for n, batch in [(0, ()), (1, ()), (2500, ()), (1000, ("--batch", 333))]:
        noise, faces, expected = files(n)
        done = ran(*command(ranks, *batch, NETWORK, noise, faces, "none"))
        assert np.load(faces).tobytes() == expected.tobytes()


@needs_mpi
@by_way
def test_neighbours_compute_in_place(share, gpus, files, tmp_path):
    """Every rank drives its own GPUs, and no face moves between ranks of one node unless it was forbidden to share."""
    gpus(4, SHARE=share, SIMULATED_SPEED=100)  # so slow that any link carries it
    noise, faces, _ = files(5000)
    done = ran(*command(2, "--json", tmp_path / "profile.json", NETWORK, noise, faces, "none"))
    profile = tmp_path / "profile.json"
    assert computed_by(profile) == [(rank, f"GPU {gpu} (simulated)") for rank, gpu in ((0, 0), (0, 2), (1, 1), (1, 3))]
    assert sum(row["faces"] for row in rows(profile, "compute")) == 5000
    gather = rows(profile, "gather")[0]
    assert (gather["faces"], gather["bytes"]) == (2500, 0 if share else 2500 * 49152)


@needs_mpi
def test_neighbours_that_send_get_what_messages_carry(gpus, files, tmp_path):
    """Ranks of one node that cannot share memory: the second computes no more than reaches the first."""
    gpus(2, SHARE=0, SIMULATED_SPEED=10_000_000)  # 0.5 TB/s each
    n = 4000
    noise, faces, expected = files(n)
    done = ran(*command(2, "--json", tmp_path / "profile.json", NETWORK, noise, faces, "none"))
    [link] = rows(tmp_path / "profile.json", "link")
    assert link["rank"] == 1
    computed = sum(row["faces"] for row in rows(tmp_path / "profile.json", "compute") if row["rank"] == 1)
    carried = link["bytes"] / link["seconds"] / 49152
    assert computed == pytest.approx(n * carried / (carried + 10_000_000), rel=0.01, abs=2)
    assert 0 < computed < n // 10
    assert np.load(faces).tobytes() == expected.tobytes()


@by_ranks
def test_a_lost_gpu_ends_the_job(ranks, gpus, files):
    """One sentence, status 3, long before the other GPUs could have done all the work; no file, no process, no memory."""
    gpus(4, SIMULATED_US=4000, SIMULATED_CHUNK=64, FAIL_GPU="1:3")
    noise, faces, _ = files(10000)  # 10 s of work for four
    memory = set(os.listdir("/dev/shm"))
    start = time.monotonic()
    done = run(*command(ranks, NETWORK, noise, faces, "none"))
    assert time.monotonic() - start < 9
    assert done.returncode == 3
    assert done.stderr.count(b"GPU 1 (simulated) was lost in chunk 3") == 1
    assert (b"rank 1 on " in done.stderr) == (ranks == 2)
    assert not faces.exists() and not list(faces.parent.glob("faces*"))
    left = set(os.listdir("/dev/shm")) - memory  # also of jobs of other tests, which end by themselves
    for _ in range(100):
        if not left & set(os.listdir("/dev/shm")):
            break
        time.sleep(0.1)
    assert not left & set(os.listdir("/dev/shm"))
    assert run("pgrep", "-f", f"^{SIMULATED} .*{noise}").returncode == 1


@pytest.mark.parametrize("more, devices, status, words", [
    ({}, "0,2", 2, b"GPU 2"), ({"FAIL_GPU": "soon"}, "all", 2, b"FACEGEN_FAIL_GPU='soon'"),
    *[({"SIMULATED_BUSY": 1}, devices, 3, b"GPU 1 (simulated) is busy") for devices in ("all", "1", "0,1")]], ids=str)
def test_gpus_that_were_asked_for_and_cannot_be_had(more, devices, status, words, gpus, files):
    gpus(2, **more)
    noise, faces, _ = files(3)
    done = run(*command(1, "--devices", devices, NETWORK, noise, faces, "none"))
    assert done.returncode == status and done.stderr.count(words) == 1
    assert not faces.exists()


# ---- GPUs that cannot be opened


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=needs_mpi), pytest.param(4, marks=needs_mpi)])
def test_the_others_compute_where_one_gpu_cannot_be_opened(ranks, gpus, files, tmp_path):
    gpus(4, SIMULATED_BUSY=3)
    noise, faces, expected = files(1000)
    done = ran(*command(ranks, "--json", tmp_path / "profile.json", NETWORK, noise, faces, "none"))
    assert np.load(faces).tobytes() == expected.tobytes()
    assert done.stderr.count(b"warning: GPU 3 (simulated) is busy; computing on the other GPUs") == 1
    assert computed_by(tmp_path / "profile.json") == sorted((gpu % ranks, f"GPU {gpu} (simulated)") for gpu in range(3))


@by_ranks
def test_the_cpu_computes_where_no_gpu_can_be_opened(ranks, gpus, files, tmp_path):
    gpus(2, SIMULATED_BUSY="0 1")
    noise, faces, _ = files(3)
    done = ran(*command(ranks, "-t", 1, "--json", tmp_path / "profile.json", NETWORK, noise, faces, "none"))
    assert done.stderr.count(b"; computing on the CPU") == ranks
    for gpu in (0, 1):
        assert done.stderr.count(b"GPU %d (simulated) is busy" % gpu) == 1
    assert [device[:3] for _, device in computed_by(tmp_path / "profile.json")] == ranks * ["CPU"]


# ---- bench/several_gpus.py

BENCH = ROOT / "bench/several_gpus.py"


@needs_mpi
def test_dry_run_of_the_measurements(gpus, tmp_path):
    gpus(2)
    ran(sys.executable, BENCH, "--simulated", SIMULATED, "--faces", 512, 1024, "--same", 100, "--runs", 1, "--scratch",
        tmp_path, "--json", tmp_path / "figures.json", timeout=300)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["simulated"] and not figures["failures"] and not figures["left_out"]
    rows = {(e["faces"], e["gpus"], e["ranks"], *e["switches"]): e for e in figures["entries"]}
    assert set(rows) == {(n, gpus, ranks) for n in (512, 1024) for gpus, ranks in ((1, 1), (2, 1), (2, 2))} | \
        {(512, 2, 1, "FACEGEN_NUMA"), (512, 2, 2, "FACEGEN_NUMA"), (512, 2, 2, "FACEGEN_SHARE")}
    one, two = rows[512, 1, 1], rows[512, 2, 2]
    assert two["speed_up"] == pytest.approx(one["seconds"] / two["seconds"])
    assert two["meets_goal"] == (two["speed_up"] >= 1.95)
    assert rows[1024, 2, 2]["weak_efficiency"] == pytest.approx(one["seconds"] / rows[1024, 2, 2]["seconds"])
    assert [(row["ranks"], row["status"]) for row in figures["lost_gpu"]] == [(1, 3), (2, 3)]
    assert len(figures["same_bytes"]) == 5 and all(row["same"] for row in figures["same_bytes"])


def test_dry_run_finds_other_bytes_and_a_wrong_end(gpus, tmp_path):
    """A program whose faces depend on the number of GPUs, and which survives what it should not."""
    program = tmp_path / "facegen"
    program.write_text("#!/usr/bin/python3\nimport sys\nprint('no MPI' if '--version' in sys.argv else 'Elapsed time : 0.5 sec')\n"
                       "if sys.argv[-2].endswith('.npy'): open(sys.argv[-2], 'w').write(sys.argv[5])\n")
    program.chmod(0o755)
    gpus(2)
    done = run(sys.executable, BENCH, "--simulated", program, "--faces", 8, "--same", 8, "--runs", 1, "--scratch", tmp_path)
    assert done.returncode == 1
    assert b"DIFFERENT: 8 faces, 2 GPUs" in done.stdout and b"WRONG END: 1 ranks, status 0" in done.stdout
    assert b"left out: several ranks" in done.stdout


def test_measurements_are_skipped_without_a_gpu():
    done = ran(sys.executable, BENCH, env={**os.environ, "PATH": "/nowhere"})
    assert done.stdout.startswith(b"SKIPPED: no GPU here")
