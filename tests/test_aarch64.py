"""The programs on a processor that is no x86: built with a cross compiler, run by qemu's user mode."""
import os
import shutil

import numpy as np
import pytest
import reference
from conftest import NETWORK, ran, write_noise
from test_build import builds, clone  # noqa: F401  (the fixture)

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"


def test_aarch64(clone, noise, tmp_path):  # noqa: F811
    if not shutil.which(COMPILER) or not shutil.which(EMULATOR):
        pytest.skip(f"no {COMPILER} or {EMULATOR} here")
    builds(clone, f"CXX={COMPILER}", "CUDA=0", "MPI=0", "all")
    inputs = noise(2)
    write_noise(tmp_path / "n.txt", inputs)
    for program in ("facegen_seq", "facegen_parallel"):
        ran(EMULATOR, "-L", "/usr/aarch64-linux-gnu", clone / program, NETWORK, tmp_path / "n.txt",
            tmp_path / f"{program}.npy", tmp_path / f"{program}.bmp", env={**os.environ, "OMP_NUM_THREADS": "2"})
    expected = reference.faces(reference.shipped(), inputs)
    for program in ("facegen_seq", "facegen_parallel"):
        assert np.max(np.abs(np.load(tmp_path / f"{program}.npy") - expected)) <= 1e-5
