"""inputs/ holds exactly what scripts/make_inputs.py writes, and that is what the course's reader expects."""
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT

FACES = {"input1.txt": 10, "input2.txt": 100, "input3.txt": 1000}


def read_noise(path):
    """The course's text -> noise (N,100)."""
    first, *lines = path.read_text(encoding="ascii").splitlines()
    noise = np.array([[float(word) for word in line.split(" ")] for line in lines])
    assert noise.shape == (int(first), 100)
    return noise


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    subprocess.run([sys.executable, ROOT / "scripts/make_inputs.py", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.mark.parametrize("name", FACES)
def test_made_again_byte_for_byte(fresh, name):
    assert (fresh / name).read_bytes() == (ROOT / "inputs" / name).read_bytes()


@pytest.mark.parametrize("name, faces", FACES.items())
def test_faces_and_range(name, faces):
    noise = read_noise(ROOT / "inputs" / name)
    assert len(noise) == faces
    assert np.abs(noise).max() <= 1
    assert len(np.unique(noise, axis=0)) >= 0.9 * faces  # input2's walks share their ends


def test_input1_and_3_are_uniform():
    noise = np.concatenate([read_noise(ROOT / "inputs" / name) for name in ("input1.txt", "input3.txt")])
    # 101,000 draws: mean 0 +- 0.0018, variance 1/3 +- 0.001 (one standard deviation each).
    assert abs(noise.mean()) < 0.01
    assert abs(noise.var() - 1 / 3) < 0.005


def test_input2_walks_in_equal_steps():
    rows = read_noise(ROOT / "inputs" / "input2.txt").reshape(10, 10, 100)
    steps = np.diff(rows, axis=1)
    assert np.abs(steps - steps.mean(axis=1, keepdims=True)).max() < 2e-6  # the rounding to six decimals
    assert np.abs(steps).mean() > 0.01
    assert np.array_equal(rows[1:, 0], rows[:-1, -1])  # a row begins where the one before ends
