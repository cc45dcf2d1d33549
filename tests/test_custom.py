"""`make custom`: anybody's own facegen_init, facegen and facegen_fin with our driver, unchanged. The units are as
students write them; each face is its first noise value plus the network's first parameter, so a test sees whether they
ran."""
import os
import shutil

import numpy as np
import pytest
from conftest import HAVE_MPI, NETWORK, needs_mpi, ran, run

HAVE_NVCC = "CUDA=0" not in os.environ.get("MAKEFLAGS", "") and shutil.which(os.environ.get("NVCC", "nvcc"))
needs_nvcc = pytest.mark.skipif(not HAVE_NVCC, reason="no nvcc here")

FACEGEN = """
void facegen(int num_to_gen, float *network, float *inputs, float *outputs) {
  for (int i = 0; i < num_to_gen * 12288; ++i) outputs[i] = inputs[i / 12288 * 100] + network[0];
}
"""
PLAIN = """
#include "facegen.h"
static int ready;
void facegen_init() { ready = 1; }
""" + FACEGEN + "void facegen_fin() { ready = 0; }\n"

# Buffers are sized in facegen_init, from the driver's globals.
GLOBALS = """
#include <stdlib.h>
#include "facegen.h"
extern int num_to_gen, mpi_rank, mpi_size;
extern const int NETWORK_SIZE_IN_BYTES;
static float *noise, *parameters;
void facegen_init() {
  if (num_to_gen != 5 || NETWORK_SIZE_IN_BYTES != 5137283 * 4 || mpi_rank < 0 || mpi_rank >= mpi_size) abort();
  noise = (float *)malloc(num_to_gen * 400);
  parameters = (float *)malloc(NETWORK_SIZE_IN_BYTES);
}
void facegen(int n, float *network, float *inputs, float *outputs) {
  for (int i = 0; i < n * 100; ++i) noise[i] = inputs[i];
  for (int i = 0; i < NETWORK_SIZE_IN_BYTES / 4; ++i) parameters[i] = network[i];
  for (int i = 0; i < num_to_gen * 12288; ++i) outputs[i] = noise[i / 12288 * 100] + parameters[0];
}
void facegen_fin() { free(noise); free(parameters); }
"""

# A unit may have globals of these names itself.
OWN_GLOBALS = """
#include <stdlib.h>
#include "facegen.h"
int num_to_gen;
static int mpi_rank = 77;
int mpi_size = 55;
const int NETWORK_SIZE_IN_BYTES = 33;
void facegen_init() { if (num_to_gen != 5 || mpi_rank != 77 || mpi_size > 3 || NETWORK_SIZE_IN_BYTES != 33) abort(); }
""" + FACEGEN + "void facegen_fin() {}\n"

# The skeleton's timers: several at a time, in seconds.
TIMED = """
#include <stdlib.h>
#include <unistd.h>
#include "facegen.h"
void timer_start(int i);
double timer_stop(int i);
void facegen_init() {
  timer_start(0);
  usleep(30000);
  timer_start(7);
  usleep(30000);
  double late = timer_stop(7), early = timer_stop(0);
  if (late < 0.03 || early < 0.06 || early < late + 0.03 || early > 10) abort();
}
""" + FACEGEN + "void facegen_fin() {}\n"

# MPI by the driver's rank and size: rank 0 has the data, the others get their part in memory of their own.
MPI_PARTS = """
#include <mpi.h>
#include <stdlib.h>
#include "facegen.h"
extern int num_to_gen, mpi_rank, mpi_size;
static float *mine;
void facegen_init() {
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank != mpi_rank) abort();
  mine = (float *)malloc(num_to_gen * 12288 * sizeof(float));
}
void facegen(int n, float *network, float *inputs, float *outputs) {
  MPI_Bcast(network, 5137283, MPI_FLOAT, 0, MPI_COMM_WORLD);
  MPI_Bcast(inputs, n * 100, MPI_FLOAT, 0, MPI_COMM_WORLD);
  for (int f = mpi_rank; f < n; f += mpi_size) {
    for (int i = 0; i < 12288; ++i) mine[i] = inputs[f * 100] + network[0];
    if (mpi_rank != 0) MPI_Send(mine, 12288, MPI_FLOAT, 0, f, MPI_COMM_WORLD);
    else for (int i = 0; i < 12288; ++i) outputs[f * 12288 + i] = mine[i];
  }
  for (int f = 0; mpi_rank == 0 && f < n; ++f) {
    const int from = f % mpi_size;
    if (from != 0) MPI_Recv(outputs + f * 12288, 12288, MPI_FLOAT, from, f, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
}
void facegen_fin() { free(mine); }
"""

NO_PROTOTYPES = PLAIN.replace('#include "facegen.h"', "")
OPENMP_ASKED = "#ifndef _OPENMP\n#error -fopenmp was asked for\n#endif\n#include <omp.h>\n" + PLAIN.replace(
    "ready = 1", "ready = omp_get_max_threads()").replace("  for", "#pragma omp parallel for\n  for")
NOWAIT = '#ifdef _OPENMP\n#error -fopenmp was not asked for\n#endif\n' + PLAIN.replace(
    "  for", "  #pragma omp parallel for num_threads(4) nowait\n  for")  # no OpenMP, were it not ignored
AVX2 = "#ifndef __AVX2__\n#error -mavx2 was asked for\n#endif\n" + PLAIN
X86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="no x86-64 processor")


def make_custom(folder, source, *variables):
    """Builds folder/facegen_custom; returns what make did."""
    return run("make", "custom", f"SRC={source}", f"CUSTOM={folder / 'facegen_custom'}", *variables)


def build(folder, files, source=None, *variables):
    """Writes files (name: text) into the folder and builds them, or `source`."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = make_custom(folder, source or " ".join(str(folder / name) for name in files), *variables)
    assert done.returncode == 0, done.stderr.decode()


def start(folder, *launcher):
    """Runs facegen_custom on five faces -> what it did, expected faces."""
    noise = np.random.default_rng(3).uniform(-0.4, 0.4, (5, 100)).astype(np.float32)
    np.save(folder / "n.npy", noise)
    (folder / "o.npy").unlink(missing_ok=True)
    done = run(*launcher, folder / "facegen_custom", NETWORK, folder / "n.npy", folder / "o.npy", "none", timeout=60)
    first = np.fromfile(NETWORK, dtype="<f4", count=1)
    return done, np.broadcast_to(noise[:, :1, None, None] + first, (5, 64, 64, 3))


def check(folder, *launcher):
    done, expected = start(folder, *launcher)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(folder / "o.npy"), expected)


def check_ranks(folder):
    check(folder)
    for ranks in (1, 3) if HAVE_MPI else ():
        check(folder, "mpirun", "-n", ranks)


# ---- What a unit may be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["c", "cc", "cpp", "cxx", "C", pytest.param("cu", marks=needs_nvcc)])
def test_every_ending(ending, tmp_path):
    build(tmp_path, {f"facegen_mine.{ending}": PLAIN})
    check(tmp_path)


@pytest.mark.parametrize("ending", ["c", "cpp", pytest.param("cu", marks=needs_nvcc)])
@pytest.mark.parametrize("text", [GLOBALS, TIMED, pytest.param(MPI_PARTS, marks=needs_mpi)],
                         ids=["globals", "timed", "mpi"])
def test_what_the_driver_gives(text, ending, tmp_path):
    build(tmp_path, {f"unit.{ending}": text})
    check_ranks(tmp_path)


@pytest.mark.parametrize("flags", [[], ["CFLAGS=-fcommon"]], ids=["no-common", "common"])
def test_globals_of_its_own(flags, tmp_path):
    build(tmp_path, {"unit.c": OWN_GLOBALS}, None, *flags)
    check_ranks(tmp_path)


@pytest.mark.parametrize("ending, text, flags", [
    ("c", NOWAIT, []), ("cpp", NOWAIT, []), pytest.param("cu", NOWAIT, [], marks=needs_nvcc),
    ("c", OPENMP_ASKED, ["CFLAGS=-fopenmp"]), ("cpp", OPENMP_ASKED, ["CXXFLAGS=-fopenmp"]),
    pytest.param("cu", OPENMP_ASKED, ["NVCCFLAGS=-Xcompiler -fopenmp"], marks=needs_nvcc),
    pytest.param("c", AVX2, ["CFLAGS=-mavx2 -mfma"], marks=X86),
    pytest.param("cpp", AVX2, ["CXXFLAGS=-mavx2 -mfma"], marks=X86),
    ("c", "#if WIDTH != 3\n#error\n#endif\n" + PLAIN, ["CPPFLAGS=-DWIDTH=3"]),
    ("c", "static const char *says = SAYS;\n" + PLAIN, ["CFLAGS=-DSAYS='\"two words\"'"]),
], ids=["nowait-c", "nowait-cpp", "nowait-cu", "openmp-c", "openmp-cpp", "openmp-cu", "avx2-c", "avx2-cpp", "define",
        "quoted"])
def test_options(ending, text, flags, tmp_path):
    build(tmp_path, {f"unit.{ending}": text}, None, *flags)
    check(tmp_path)


def test_libraries(tmp_path):
    (tmp_path / "third.c").write_text("float third(float x) { return x; }")
    ran("gcc", "-shared", "-fPIC", tmp_path / "third.c", "-o", tmp_path / "libthird.so")
    text = "float third(float);\n" + PLAIN.replace("inputs[i / 12288 * 100]", "third(inputs[i / 12288 * 100])")
    build(tmp_path, {"unit.c": text}, None, f"LDFLAGS=-L{tmp_path} -Wl,-rpath,{tmp_path}", "LDLIBS=-lthird")
    check(tmp_path)


@pytest.mark.parametrize("gone", ["void facegen_init() { ready = 1; }", "void facegen_fin() { ready = 0; }"])
def test_nothing_to_set_up_or_to_give_back(gone, tmp_path):
    assert gone in PLAIN
    build(tmp_path, {"unit.c": PLAIN.replace(gone, "")})
    check(tmp_path)


PART_USED = PLAIN.replace("inputs[i / 12288 * 100]", "part(inputs[i / 12288 * 100])")
TWO = {"unit.c": '#include "part.h"\n' + PART_USED, "part.c": '#include "part.h"\nfloat part(float x) { return x; }\n',
       "part.h": "float part(float x);\n"}
SPREAD = {"src/unit.c": TWO["unit.c"], "src/part.h": TWO["part.h"], "lib/part.c": "float part(float x) { return x; }\n"}
SKELETON = {**TWO, "main.c": "int main() { return 0; }", "facegen_seq.c": PLAIN, "Makefile": "all:\n"}


@pytest.mark.parametrize("files, source", [
    (TWO, "{0}/unit.c {0}/part.c"), (TWO, " {0}/part.c\n{0}/unit.c "), (TWO, "{0}"), (SPREAD, "{0}/src {0}/lib"),
    (SKELETON, "{0}"), (SKELETON, "{0}/"), ({"facegen_seq.c": PLAIN, "main.c": "int main() { return 0; }"}, "{0}"),
])
@pytest.mark.parametrize("folder", ["plain", "a folder  with spaces"])
def test_several_sources(files, source, folder, tmp_path):
    if folder != "plain" and "}/" in source and " {0}" in source:
        folder = "a folder with spaces"  # in a list, runs of spaces are one
    (tmp_path / folder).mkdir()
    build(tmp_path / folder, files, source.format(tmp_path / folder))
    check(tmp_path / folder)


@needs_nvcc
def test_device_code_of_several_sources(tmp_path):
    kernel = "__device__ float part(float);\n__global__ void kernel(float *x) { *x = part(*x); }\n"
    files = {"unit.cu": kernel + PLAIN.replace("ready = 0;", "float *x = nullptr; kernel<<<1, 1>>>(x);"),
             "part.cu": "__device__ float part(float x) { return x; }\n"}
    build(tmp_path, files, None, "NVCCFLAGS=-rdc=true")
    check(tmp_path)


# ---- MPI of its own --------------------------------------------------------------------------------------------------

# Each sends its rank round to the next: it has started MPI, and with the threads that it needs.
OWN_MPI = """
#include <mpi.h>
#include <stdlib.h>
#include "facegen.h"
static MPI_Request stray;
static char taken[8];
static void send_round() {
  int rank, size, got = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Sendrecv(&rank, 1, MPI_INT, (rank + 1) % size, 0, &got, 1, MPI_INT, (rank + size - 1) % size, 0, MPI_COMM_WORLD,
               MPI_STATUS_IGNORE);
  if (got != (rank + size - 1) % size) exit(9);
}
void facegen_init() { INIT }
""" + FACEGEN.replace("  for", "  DO\n  for") + "void facegen_fin() { FIN }\n"


@needs_mpi
@pytest.mark.parametrize("ending", ["c", "cpp"])
@pytest.mark.parametrize("init, do, fin", [
    ("int on; MPI_Initialized(&on); if (!on) MPI_Init(NULL, NULL); MPI_Barrier(MPI_COMM_WORLD);", "send_round();",
     "int over; MPI_Finalized(&over); if (!over) MPI_Finalize();"),
    ("MPI_Init(NULL, NULL);", "send_round();", "MPI_Finalize();"),
    ("int level; MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level); if (level < MPI_THREAD_MULTIPLE) exit(9);",
     "send_round();", "MPI_Finalize();"),
    ("", "send_round();", "MPI_Finalize();"),
    # A receive that takes whatever comes waits from the start: nothing of ours may.
    ("MPI_Irecv(taken, 8, MPI_CHAR, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &stray);",
     "int found = 0; MPI_Test(&stray, &found, MPI_STATUS_IGNORE); if (found) exit(9);", ""),
], ids=["looks", "starts and ends", "threads", "ends", "stray receive"])
def test_mpi_of_its_own(init, do, fin, ending, tmp_path):
    build(tmp_path, {f"unit.{ending}": OWN_MPI.replace("INIT", init).replace("DO", do).replace("FIN", fin)})
    check_ranks(tmp_path)


@needs_mpi
def test_its_mpi_errors_end_the_job(tmp_path):
    """As under plain MPI: a message that is longer than what receives it."""
    text = MPI_PARTS.replace("MPI_Recv(outputs + f * 12288, 12288", "MPI_Recv(outputs + f * 12288, 100")
    assert text != MPI_PARTS
    build(tmp_path, {"unit.c": text})
    done, _ = start(tmp_path, "mpirun", "-n", 2)
    assert done.returncode not in (0, 1, 2, 3)  # ours; Open MPI ends with the number of the error
    assert not (tmp_path / "o.npy").exists()


# ---- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files, source, sentence", [
    ({"a.cu": PLAIN}, "{0}/a.cu", "{0}/a.cu needs nvcc, which was not found or is switched off"),
    ({}, "", "SRC is empty: expected sources"),
    ({}, "{0}/no such.cpp", "there is no '{0}/no'"),
    ({"a.f90": ""}, "{0}/a.f90", "/a.f90' is no source: expected sources (.c, .cc, .cpp, .cxx, .C, .cu) or a folder"),
    ({"a.c": PLAIN, "b.o": ""}, "{0}/a.c {0}/b.o", "'{0}/b.o' is no source"),
    ({"facegen.h": ""}, "{0}", "'{0}' is no source"),
    ({"a.c": "int x"}, "{0}/a.c", "{0}/a.c does not compile"),
    ({"a.c": "int x;"}, "{0}/a.c", "there is no facegen() in {0}/a.c"),
    ({"a.cpp": NO_PROTOTYPES}, "{0}/a.cpp", 'facegen_init() in {0}/a.cpp has C++ linkage: #include "facegen.h" above'),
    ({"a.cpp": 'extern "C" void facegen_init() {}' + FACEGEN}, "{0}/a.cpp", "facegen() in {0}/a.cpp has C++ linkage"),
    ({"a.cpp": 'extern "C"' + FACEGEN + "void facegen_fin() {}"}, "{0}", "facegen_fin() in {0}/a.cpp has C++ linkage"),
    ({"a.c": PLAIN + "int main() { return 0; }"}, "{0}/a.c", "{0}/a.c has a main() of its own, as the driver has"),
    ({"a.c": PLAIN, "b.c": PLAIN}, "{0}", "facegen_init() is in {0}/a.c and in {0}/b.c: name only one of them"),
    ({"a.c": PLAIN + "int none(void); int use(void) { return none(); }"}, "{0}/a.c", "facegen_custom does not link"),
])
def test_what_is_refused(files, source, sentence, tmp_path):
    (tmp_path / "facegen_custom").write_text("an older one")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = make_custom(tmp_path, source.format(tmp_path), "CUDA=0")
    assert done.returncode == 2 and "make custom: " in done.stderr.decode()
    assert sentence.format(tmp_path) in done.stderr.decode()
    assert not (tmp_path / "facegen_custom").exists(), "an older unit would pass for this one"


@pytest.mark.parametrize("language, compiler", [("c", "gcc"), ("c++", "g++"), ("c++", "clang++")])
def test_facegen_h_in_every_language(language, compiler, tmp_path):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    (tmp_path / "x").write_text(PLAIN)
    ran(compiler, "-Wall", "-Wextra", "-Werror", "-x", language, "-I.", "-c", tmp_path / "x", "-o", tmp_path / "x.o")


def test_its_words_cannot_act_on_a_terminal(tmp_path):
    build(tmp_path, {"unit.cpp": """
#include <stdexcept>
extern "C" {
const char* facegen_note() { return "\\x1b[31mred"; }
void facegen_init() {}
void facegen(int, float*, float*, float*) { throw std::runtime_error("\\x1b]0;title\\x07"); }
void facegen_fin() {}
}
"""})
    done, _ = start(tmp_path)
    assert done.returncode == 3
    assert done.stderr == b"facegen_custom: \\x1b[31mred\nfacegen_custom: \\x1b]0;title\\x07\n"
    done = run(tmp_path / "facegen_custom", "-t", 2, NETWORK, tmp_path / "n.npy", "none", "none")
    assert done.stderr.startswith(b"facegen_custom: --devices and --threads do nothing here: one unit of ")
