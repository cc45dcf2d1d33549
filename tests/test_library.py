"""libfacegen.a: our three functions behind somebody else's driver, in C, which knows facegen.h and nothing else of this
project. MPI is started by it, or not at all."""
import shlex
import shutil

import numpy as np
import pytest
from conftest import NETWORK, ROOT, needs_mpi, ran, run

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here")

# What each driver starts with: argv[1] network.bin, argv[2] noise as bare float32. `floats` floats from a file.
READ = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "facegen.h"
enum { NETWORK = 5137283, NOISE = 100, FACE = 12288 };
static float *read_floats(const char *name, size_t floats) {
  float *data = malloc(floats * sizeof(float) + 1);
  FILE *file = fopen(name, "rb");
  if (!file || fread(data, sizeof(float), floats, file) != floats) exit(70);
  fclose(file);
  return data;
}
static void write_floats(const char *name, const float *data, size_t floats) {
  FILE *file = fopen(name, "wb");
  if (!file || fwrite(data, sizeof(float), floats, file) != floats || fclose(file)) exit(71);
}
"""

# Three calls of other sizes in each of three cycles; init twice, fin once more than needed. Writes the 7 faces.
CYCLES = READ + """
int main(int argc, char **argv) {
  float *network = read_floats(argv[1], NETWORK), *noise = read_floats(argv[2], 40 * NOISE);
  float *many = malloc(40 * FACE * 4), *few = malloc(7 * FACE * 4);
  facegen_fin();
  for (int cycle = 0; cycle < 3; ++cycle) {
    facegen_init();
    if (cycle == 1) facegen_init();
    memset(many, 1, 40 * FACE * 4);
    facegen(1, network, noise, many);
    facegen(40, network, noise, many);
    facegen(7, network, noise, few);
    facegen(0, network, NULL, NULL);
    if (memcmp(many, few, 7 * FACE * 4)) return 1;
    facegen_fin();
  }
  facegen_fin();
  char name[4096];
  const char *rank = getenv("OMPI_COMM_WORLD_RANK");
  snprintf(name, sizeof name, "%s%s", argv[3], rank ? rank : "");
  write_floats(name, few, 7 * FACE);
  return argc != 4;
}
"""

# Two calls with one array, whose weights have changed in between: the last bias.
OTHER_WEIGHTS = READ + """
int main(int argc, char **argv) {
  float *network = read_floats(argv[1], NETWORK), *noise = read_floats(argv[2], NOISE), first[FACE], second[FACE];
  facegen_init();
  facegen(1, network, noise, first);
  network[NETWORK - 1] += 0.5f;
  facegen(1, network, noise, second);
  facegen_fin();
  for (int i = 0; i < FACE; ++i)
    if (i % 3 == 2 ? !(second[i] > first[i]) : second[i] != first[i]) return 1;
  return argc != 3;
}
"""

# One that starts MPI. Rank 0 alone has data; the others pass what WHAT says: nothing, or numbers and places that are not
# theirs. A receive of its own waits for any message all the while.
WITH_MPI = READ + """
#include <mpi.h>
int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, n = atoi(argv[3]), found = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Request any;
  char stray[8];
  MPI_Irecv(stray, sizeof stray, MPI_CHAR, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &any);
  float *network = NULL, *noise = NULL, *faces = NULL;
  if (rank == 0) {
    network = read_floats(argv[1], NETWORK);
    noise = read_floats(argv[2], (size_t)n * NOISE);
    faces = malloc((size_t)n * FACE * sizeof(float) + 1);
  } else if (strcmp(argv[5], "garbage") == 0) {
    n = -12345;
    network = noise = faces = (float *)16;
  }
  for (int cycle = 0; cycle < 2; ++cycle) {
    facegen_init();
    facegen(n, network, noise, faces);
    if (strcmp(argv[5], "end first") != 0) facegen_fin();
  }
  MPI_Test(&any, &found, MPI_STATUS_IGNORE);
  if (found) return 1;
  MPI_Cancel(&any);
  MPI_Wait(&any, MPI_STATUS_IGNORE);
  if (rank == 0) write_floats(argv[4], faces, (size_t)n * FACE);
  MPI_Finalize();
  if (strcmp(argv[5], "end first") == 0) facegen_fin();
  return 0;
}
"""

# What a driver must not do, by its number.
WRONG = READ + """
#ifdef WITH_MPI
#include <mpi.h>
#endif
int main(int argc, char **argv) {
  float network[1], noise[NOISE], face[FACE];
  printf("before");
#ifdef WITH_MPI
  MPI_Init(&argc, &argv);
#endif
  switch (atoi(argv[1])) {
    case 1: facegen_init(); facegen(-3, network, noise, face); break;
    case 2: facegen_init(); facegen(1, NULL, noise, face); break;
    case 3: facegen(1, network, noise, face); break;
#ifdef WITH_MPI
    case 4: facegen_init(); MPI_Send(face, 1, MPI_FLOAT, 99, 0, MPI_COMM_WORLD); break;
#endif
  }
  return argc > 99;
}
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A function that makes a program of a driver and libfacegen.a, as somebody outside of this project would."""
    folder = tmp_path_factory.mktemp("library")
    ran("make", "lib")
    shutil.copy(ROOT / "libfacegen.a", folder)
    shutil.copy(ROOT / "facegen.h", folder)
    flags = shlex.split(run("make", "-s", "lib-flags").stdout.decode())

    def make(name, code, compiler="cc", *options):
        program = folder / name
        if not program.exists():
            (folder / f"{name}.c").write_text(code)
            ran(compiler, *options, f"{name}.c", "libfacegen.a", *flags, "-o", name, cwd=folder)
        return program
    return make


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A noise file of 40 faces, and the faces that facegen_parallel makes of it."""
    folder = tmp_path_factory.mktemp("data")
    noise = np.random.default_rng(14).uniform(-1, 1, (40, 100)).astype(np.float32)
    np.save(folder / "noise.npy", noise)
    noise.tofile(folder / "noise")
    ran("./facegen_parallel", "-q", "-d", "none", NETWORK, folder / "noise.npy", folder / "faces.npy", "none")
    return folder / "noise", np.load(folder / "faces.npy")


def silent(done, status=0):
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")


def mpirun(ranks, *command):
    return run("mpirun", "-n", ranks, *command)


def test_calls_and_cycles_of_a_driver_that_knows_no_mpi(build, data, tmp_path):
    noise, faces = data
    silent(run(build("cycles", CYCLES), NETWORK, noise, tmp_path / "o"))
    assert (tmp_path / "o").read_bytes() == faces[:7].tobytes()


@needs_mpi
def test_a_driver_that_knows_no_mpi_gets_all_faces_in_every_process(build, data, tmp_path):
    noise, faces = data
    silent(mpirun(2, build("cycles", CYCLES), NETWORK, noise, tmp_path / "o"))
    for rank in "01":
        assert (tmp_path / f"o{rank}").read_bytes() == faces[:7].tobytes()


def test_other_weights_at_the_same_address(build, data):
    silent(run(build("other", OTHER_WEIGHTS), NETWORK, data[0]))


@needs_mpi
@pytest.mark.parametrize("what", ["nothing", "garbage", "end first"])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_same_bytes_behind_a_driver_that_started_mpi(ranks, what, build, data, tmp_path):
    noise, faces = data
    for n in (0, 2, 40):
        silent(mpirun(ranks, build("mpi", WITH_MPI, "mpicc"), NETWORK, noise, n, tmp_path / "o", what))
        assert (tmp_path / "o").read_bytes() == faces[:n].tobytes(), n


@pytest.mark.parametrize("number, sentence", [(1, b"facegen was asked for -3 faces"), (2, b"facegen was given no network"),
                                              (3, b"facegen was called before facegen_init")])
def test_a_failed_run_says_so_and_ends_the_process(number, sentence, build):
    done = run(build("wrong", WRONG), number)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"before", b"facegen: " + sentence + b"\n")


@needs_mpi
def test_a_failed_run_ends_the_whole_job(build):
    done = mpirun(2, build("wrong_mpi", WRONG, "mpicc", "-DWITH_MPI"), 1)
    assert done.returncode == 2
    assert done.stderr.count(b"facegen: rank 0 on ") == 1 and done.stderr.count(b"asked for -3 faces") == 1


@needs_mpi
def test_mpi_errors_of_the_driver_keep_mpis_way(build):
    done = mpirun(2, build("wrong_mpi", WRONG, "mpicc", "-DWITH_MPI"), 4)
    assert done.returncode not in (0, 1, 2, 3)  # ours; Open MPI ends with the number of the error
