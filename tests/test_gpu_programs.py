"""facegen_parallel on a real GPU: against float64, against facegen_seq, and the same bytes however the run is cut up.

Left out where there is no GPU; `make test-gpu` runs it on a machine that has one.
"""
import os
import resource
import subprocess
import time

import numpy as np
import pytest
import reference
from conftest import NETWORK, ROOT, needs_mpi, ran, run, write_noise

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
    """The faces that the GPUs make of this noise, which lies in noise.npy then."""
    np.save(folder / "noise.npy", noise)
    ran("./facegen_parallel", "--devices", "all", *options, network, folder / "noise.npy", folder / "faces.npy", "none")
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
        ran(f"./{program}", tmp_path / "network.bin", text, tmp_path / f"{program}.txt", tmp_path / f"{program}.bmp")
    ran("./compare_result", tmp_path / "facegen_parallel.txt", tmp_path / "facegen_seq.txt")


@pytest.mark.parametrize("i", [1, 2])
def test_shipped_answers(kernels, i, tmp_path):
    ran("./facegen_parallel", NETWORK, f"inputs/input{i}.txt", tmp_path / "o.txt", tmp_path / "o.bmp")
    ran("./compare_result", tmp_path / "o.txt", f"answers/answer{i}.txt")


@needs_mpi
@pytest.mark.parametrize("share", ["1", "0"], ids=["in_place", "messages"])
def test_same_bytes_for_two_ranks(share, noise, tmp_path):
    """Rank 0's arrays are page-locked where they are shared; on one GPU the other rank has nothing to do."""
    inputs = noise(3000)
    alone = generate(NETWORK, inputs, tmp_path)
    ran("mpirun", "-n", 2, "./facegen_parallel", NETWORK, tmp_path / "noise.npy", tmp_path / "two.npy", "none",
        env={**os.environ, "FACEGEN_SHARE": share})
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


@pytest.mark.parametrize("visible, computes", [("", "CPU"), ("-1", "CPU"), ("99", "CPU"), ("nonsense", "CPU"), ("0", "GPU"),
                                               ("uuid", "GPU"), ("short uuid", "GPU")])
def test_what_makes_gpus_visible(visible, computes, tmp_path, noise):
    """CUDA hides all that follows a name which it does not know; without a GPU the CPU computes, and says so."""
    uuid = run("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader", "-i", "0").stdout.decode().strip()
    visible = {"uuid": uuid, "short uuid": uuid[:12]}.get(visible, visible)
    np.save(tmp_path / "n.npy", noise(3))
    done = ran("./facegen_parallel", "--json", tmp_path / "j.json", NETWORK, tmp_path / "n.npy", "none", "none",
               env={**os.environ, "CUDA_VISIBLE_DEVICES": visible})
    assert (b"computing on the CPU" in done.stderr) == (computes == "CPU")
    assert f'"device": "{computes}' in (tmp_path / "j.json").read_text()


@pytest.fixture
def taken():
    """A function left (MiB): takes all but so much of GPU 0's memory until the test ends."""
    torch = pytest.importorskip("torch")
    kept = []

    def take(left):
        free, _ = torch.cuda.mem_get_info(0)
        kept.append(torch.empty(free - (left << 20), dtype=torch.uint8, device="cuda:0"))

    yield take
    kept.clear()
    torch.cuda.empty_cache()


@pytest.mark.parametrize("left, computes", [(80, "CPU"), (3000, "GPU")])
def test_a_gpu_whose_memory_is_taken(left, computes, taken, noise, tmp_path):
    """Chunks are smaller where memory is short; where it does not suffice at all the CPU computes, unless the GPU was asked for."""
    inputs = noise(300)
    whole = generate(NETWORK, inputs, tmp_path)
    taken(left)
    done = ran("./facegen_parallel", "--json", tmp_path / "j.json", NETWORK, tmp_path / "noise.npy", tmp_path / "o.npy", "none")
    assert f'"device": "{computes}' in (tmp_path / "j.json").read_text()
    assert np.max(np.abs(np.load(tmp_path / "o.npy") - whole)) <= 4e-4
    if computes == "CPU":
        assert b"computing on the CPU" in done.stderr
        done = run("./facegen_parallel", "-d", "0", NETWORK, tmp_path / "noise.npy", "none", "none")
        assert done.returncode == 3 and b"GPU 0" in done.stderr


def test_a_limit_on_locked_memory(noise, tmp_path):
    inputs = noise(500)
    whole = generate(NETWORK, inputs, tmp_path)
    ran("./facegen_parallel", NETWORK, tmp_path / "noise.npy", tmp_path / "o.npy", "none",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536)))
    assert np.load(tmp_path / "o.npy").tobytes() == whole.tobytes()


@needs_mpi
def test_same_bytes_for_four_ranks_on_one_gpu(noise, tmp_path):
    whole = generate(NETWORK, noise(1000), tmp_path)
    ran("mpirun", "-n", 4, "./facegen_parallel", NETWORK, tmp_path / "noise.npy", tmp_path / "o.npy", "none")
    assert np.load(tmp_path / "o.npy").tobytes() == whole.tobytes()


def test_a_run_killed_in_mid_copy_leaves_the_gpu_as_it_was(noise, tmp_path):
    inputs = noise(20000)
    whole = generate(NETWORK, inputs, tmp_path)
    used = "nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"
    before = int(run(*used).stdout)
    for seconds in (0.6, 0.8, 1.0):
        process = subprocess.Popen(["./facegen_parallel", NETWORK, tmp_path / "noise.npy", tmp_path / "o.npy", "none"], cwd=ROOT,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.kill()
        process.wait()
    time.sleep(1)
    assert int(run(*used).stdout) <= before + 16
    assert generate(NETWORK, inputs, tmp_path).tobytes() == whole.tobytes()


def test_profile_names_the_gpu(tmp_path, noise):
    np.save(tmp_path / "n.npy", noise(300))
    done = ran("./facegen_parallel", "--profile", NETWORK, tmp_path / "n.npy", "none", "none")
    assert b"GPU 0" in done.stderr and b"%" in done.stderr
