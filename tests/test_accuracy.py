"""Both programs against the float64 model, on the shipped network and on fresh random ones."""
import numpy as np
import pytest
import reference
from conftest import PROGRAMS, on_cpu, ran, read_faces, write_noise

PRINT_ROUNDING = 5e-5  # half of the last of four decimals


def networks():
    """name -> network (5137283) float32."""
    yield "shipped", reference.shipped()
    for seed in (1, 2, 3):
        yield f"random{seed}", reference.random_network(seed)
    yield "hard", reference.random_network(4, hard=True)


@pytest.fixture(scope="module", params=list(networks()), ids=lambda pair: pair[0])
def case(request, tmp_path_factory):
    """(network file, noise (7,100), expected faces (7,64,64,3) float64)."""
    name, network = request.param
    folder = tmp_path_factory.mktemp(name)
    network.tofile(folder / "network.bin")
    noise = np.random.default_rng(len(name)).uniform(-1, 1, (7, 100)).astype(np.float32)
    return folder, noise, reference.faces(network, noise)


def test_the_random_networks_are_no_easy_ones(case):
    """Faces that are all +-1, or all alike, would hide errors."""
    _, _, expected = case
    assert np.mean(np.abs(expected) < 0.99) > 0.3
    assert np.std(expected) > 0.05


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", ["txt", "npy"])  # as printed, and before
def test_every_program(program, kind, case):
    folder, noise, expected = case
    write_noise(folder / "noise.txt", noise)
    np.save(folder / "noise.npy", noise)
    ran(*on_cpu(f"./{program}", folder / "network.bin", folder / f"noise.{kind}", folder / f"o.{kind}", folder / "o.bmp"))
    faces = read_faces(folder / "o.txt") if kind == "txt" else np.load(folder / "o.npy")
    assert faces.dtype == (np.float64 if kind == "txt" else np.float32) and faces.shape == expected.shape
    assert np.max(np.abs(faces - expected)) <= 1e-5 + (PRINT_ROUNDING if kind == "txt" else 0)


@pytest.mark.parametrize("n", [0, 1, 7, 129])
def test_parallel_passes_compare_result_against_sequential(n, noise, tmp_path):
    reference.random_network(10 + n).tofile(tmp_path / "network.bin")
    write_noise(tmp_path / "noise.txt", noise(n, n))
    for program in ("seq", "parallel"):
        ran(f"./facegen_{program}", tmp_path / "network.bin", tmp_path / "noise.txt",
            tmp_path / f"{program}.txt", tmp_path / f"{program}.bmp")
    ran("./compare_result", tmp_path / "parallel.txt", tmp_path / "seq.txt")


def test_thousand_faces_against_the_model(noise, tmp_path):
    """N = 1000: every value in range and finite, and a sample of faces against float64."""
    network = reference.random_network(20)
    network.tofile(tmp_path / "network.bin")
    inputs = noise(1000, 20)
    np.save(tmp_path / "noise.npy", inputs)
    ran("./facegen_parallel", "--devices", "none", tmp_path / "network.bin", tmp_path / "noise.npy",
        tmp_path / "faces.npy", "none")
    faces = np.load(tmp_path / "faces.npy")
    assert faces.shape == (1000, 64, 64, 3) and np.all(np.abs(faces) <= 1)
    sample = [0, 1, 127, 128, 500, 511, 512, 998, 999]
    assert np.max(np.abs(faces[sample] - reference.faces(network, inputs[sample]))) <= 1e-5
