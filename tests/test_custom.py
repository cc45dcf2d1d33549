"""`make custom`: somebody's own facegen_init, facegen and facegen_fin with our driver, unchanged."""
import os
import shutil

import numpy as np
import pytest
from conftest import NETWORK, ROOT, run

# A unit as a student would write it: it knows facegen.h and nothing else of this project. Each face is its noise,
# repeated, plus the network's first parameter.
BODY = """
#include "facegen.h"
static int ready;
void facegen_init() { ready = 1; }
void facegen(int num_to_gen, float *network, float *inputs, float *outputs) {
  for (int n = 0; n < num_to_gen; ++n)
    for (int i = 0; i < 64 * 64 * 3; ++i) outputs[n * 64 * 64 * 3 + i] = ready * (inputs[n * 100 + i % 100] + network[0]);
}
void facegen_fin() { ready = 0; }
"""

# One that speaks MPI itself: rank 0 has the data, the others get it in the arrays that they were passed.
MPI_BODY = """
#include <mpi.h>
#include "facegen.h"
static int rank, size;
void facegen_init() { MPI_Comm_rank(MPI_COMM_WORLD, &rank); MPI_Comm_size(MPI_COMM_WORLD, &size); }
void facegen(int num_to_gen, float *network, float *inputs, float *outputs) {
  MPI_Bcast(network, 5137283, MPI_FLOAT, 0, MPI_COMM_WORLD);
  MPI_Bcast(inputs, num_to_gen * 100, MPI_FLOAT, 0, MPI_COMM_WORLD);
  for (int n = rank; n < num_to_gen; n += size) {
    for (int i = 0; i < 64 * 64 * 3; ++i) outputs[n * 64 * 64 * 3 + i] = inputs[n * 100 + i % 100] + network[0];
  }
  if (rank != 0)
    for (int n = rank; n < num_to_gen; n += size) MPI_Send(outputs + n * 12288, 12288, MPI_FLOAT, 0, n, MPI_COMM_WORLD);
  else
    for (int n = 0; n < num_to_gen; ++n)
      if (n % size != 0) MPI_Recv(outputs + n * 12288, 12288, MPI_FLOAT, n % size, n, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}
void facegen_fin() {}
"""

HAVE_MPI = run("sh", "-c", "command -v mpirun mpicxx").returncode == 0


def build(folder, ending, body):
    source = folder / f"facegen_mine.{ending}"
    source.write_text(body)
    done = run("make", "custom", f"SRC={source}")
    assert done.returncode == 0, done.stderr.decode()
    return shutil.copy(ROOT / "facegen_custom", folder / "facegen_custom")


def check(folder, *launcher):
    noise = np.random.default_rng(3).uniform(-0.4, 0.4, (5, 100)).astype(np.float32)
    np.save(folder / "n.npy", noise)
    done = run(*launcher, folder / "facegen_custom", NETWORK, folder / "n.npy", folder / "o.npy", "none")
    assert done.returncode == 0, done.stderr
    first = np.fromfile(NETWORK, dtype="<f4", count=1)
    expected = np.tile(noise, 123)[:, :12288] + first
    assert np.array_equal(np.load(folder / "o.npy").reshape(5, -1), expected)


@pytest.mark.parametrize("ending", ["c", "cpp", "cu"])
def test_alone(ending, tmp_path):
    if ending == "cu" and not shutil.which("nvcc"):
        pytest.skip("no nvcc here")
    build(tmp_path, ending, BODY)
    check(tmp_path)


@pytest.mark.skipif(not HAVE_MPI, reason="no MPI here")
@pytest.mark.parametrize("ending", ["c", "cpp"])
def test_with_mpi(ending, tmp_path):
    build(tmp_path, ending, MPI_BODY)
    check(tmp_path)
    for ranks in (1, 2, 3):
        check(tmp_path, "mpirun", "-n", ranks)


def test_no_such_file():
    done = run("make", "custom", "SRC=no/such/file.cpp")
    assert done.returncode != 0 and b"no/such/file.cpp" in done.stderr


@pytest.mark.parametrize("language, compiler", [("c", "gcc"), ("c++", "g++"), ("c++", "clang++")])
def test_facegen_h_in_every_language(language, compiler, tmp_path):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    source = tmp_path / "x"
    source.write_text(BODY)
    done = run(compiler, "-Wall", "-Wextra", "-Werror", "-x", language, "-I.", "-c", source, "-o", tmp_path / "x.o")
    assert done.returncode == 0, done.stderr
    assert os.path.exists(tmp_path / "x.o")
