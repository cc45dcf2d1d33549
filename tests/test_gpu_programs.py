"""facegen_parallel on a real GPU: against float64, against facegen_seq, and the same bytes however the run is cut up.

Left out where there is no GPU; `make test-gpu` runs it on a machine that has one.
"""
import os

import numpy as np
import pytest
import reference
from conftest import NETWORK, run, write_noise

GPU = run("sh", "-c", "nvidia-smi -L | grep -q GPU").returncode == 0
pytestmark = pytest.mark.skipif(not GPU, reason="no GPU here")

# kind of kernels ("": each face's own) -> worst error against float64 that it may have before printing, for normal noise
KERNELS = {"": 2e-4, "exact": 1e-5, "precise": 1e-4, "accurate": 2e-4, "fast": 4e-4}


@pytest.fixture(params=KERNELS)
def kernels(request, monkeypatch):
    capability = run("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader", "-i", "0").stdout.decode().strip()
    if request.param in ("fast", "accurate") and capability != "9.0" or request.param == "precise" and float(capability) < 8:
        pytest.skip(f"a GPU of compute capability {capability} does not run these kernels")
    monkeypatch.setenv("FACEGEN_KERNELS", request.param)
    return request.param


def generate(network, noise, folder, *options):
    np.save(folder / "noise.npy", noise)
    done = run("./facegen_parallel", "--devices", "all", *options, network, folder / "noise.npy", folder / "faces.npy", "none")
    assert done.returncode == 0, done.stderr
    return np.load(folder / "faces.npy")


@pytest.mark.parametrize("name", ["shipped", "random", "hard"])
@pytest.mark.parametrize("n", [0, 1, 7, 129, 1000])
def test_against_float64(kernels, name, n, noise, tmp_path):
    network = {"shipped": reference.shipped, "random": lambda: reference.random_network(n),
               "hard": lambda: reference.random_network(n, hard=True)}[name]()
    network.tofile(tmp_path / "network.bin")
    inputs = noise(n, n)
    faces = generate(tmp_path / "network.bin", inputs, tmp_path)
    assert faces.shape == (n, 64, 64, 3) and np.all(np.abs(faces) <= 1)
    sample = sorted({i for i in (0, 1, 6, 63, 64, 127, 128, 500, 998, 999) if i < n})
    if sample:
        assert np.max(np.abs(faces[sample] - reference.faces(network, inputs[sample]))) <= KERNELS[kernels]


def test_same_bytes_for_every_batch(kernels, noise, tmp_path):
    inputs = noise(700)
    whole = generate(NETWORK, inputs, tmp_path)
    for batch in (1, 7, 128, 333):
        cut = inputs[:60] if batch == 1 else inputs
        assert generate(NETWORK, cut, tmp_path, "--batch", batch).tobytes() == whole[:len(cut)].tobytes()


@pytest.mark.parametrize("n", [1, 7, 129])
def test_compare_result_accepts_it(kernels, n, noise, tmp_path):
    reference.random_network(50 + n).tofile(tmp_path / "network.bin")
    text = write_noise(tmp_path / "noise.txt", noise(n))
    for program in ("facegen_seq", "facegen_parallel"):
        done = run(f"./{program}", tmp_path / "network.bin", text, tmp_path / f"{program}.txt", tmp_path / f"{program}.bmp")
        assert done.returncode == 0, done.stderr
    same = run("./compare_result", tmp_path / "facegen_parallel.txt", tmp_path / "facegen_seq.txt")
    assert same.returncode == 0, same.stdout


@pytest.mark.parametrize("i", [1, 2])
def test_shipped_answers(kernels, i, tmp_path):
    done = run("./facegen_parallel", NETWORK, f"inputs/input{i}.txt", tmp_path / "o.txt", tmp_path / "o.bmp")
    assert done.returncode == 0, done.stderr
    same = run("./compare_result", tmp_path / "o.txt", f"answers/answer{i}.txt")
    assert same.returncode == 0, same.stdout


@pytest.mark.skipif(run("sh", "-c", "command -v mpirun").returncode != 0, reason="no mpirun here")
@pytest.mark.parametrize("share", ["1", "0"], ids=["in_place", "messages"])
def test_same_bytes_for_two_ranks(share, noise, tmp_path):
    """Rank 0's arrays are page-locked where they are shared; on one GPU the other rank has nothing to do."""
    inputs = noise(3000)
    alone = generate(NETWORK, inputs, tmp_path)
    done = run("mpirun", "-n", 2, "./facegen_parallel", NETWORK, tmp_path / "noise.npy", tmp_path / "two.npy", "none",
               env={**os.environ, "FACEGEN_SHARE": share})
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "two.npy").tobytes() == alone.tobytes()


def test_a_lost_gpu_ends_the_run(kernels, noise, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGEN_FAIL_GPU", "0:2")
    np.save(tmp_path / "n.npy", noise(3000))
    done = run("./facegen_parallel", "-q", NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", "none")
    assert done.returncode == 3
    assert done.stderr.count(b"\n") <= 2 and b"GPU 0" in done.stderr and b"cudaError" in done.stderr
    assert not (tmp_path / "o.npy").exists()


def test_devices_that_are_not_there(tmp_path, noise):
    np.save(tmp_path / "n.npy", noise(1))
    done = run("./facegen_parallel", "--devices", "99", NETWORK, tmp_path / "n.npy", "none", "none")
    assert done.returncode == 2 and b"GPU 99" in done.stderr


def test_no_visible_gpu_means_the_cpu(tmp_path, noise):
    np.save(tmp_path / "n.npy", noise(1))
    done = run("./facegen_parallel", NETWORK, tmp_path / "n.npy", "none", "none",
               env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0 and b"computing on the CPU" in done.stderr


def test_profile_names_the_gpu(tmp_path, noise):
    np.save(tmp_path / "n.npy", noise(300))
    done = run("./facegen_parallel", "--profile", NETWORK, tmp_path / "n.npy", "none", "none")
    assert done.returncode == 0 and b"GPU 0" in done.stderr and b"%" in done.stderr
