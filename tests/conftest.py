"""What every test of the programs uses: where they are, how to run them, how to write and read their files."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETWORK = ROOT / "network.bin"
PROGRAMS = ["facegen_seq", "facegen_parallel"]
HAVE_MPI = "MPI=0" not in os.environ.get("MAKEFLAGS", "") and all(map(shutil.which, ("mpirun", "mpicc", "mpicxx")))
needs_mpi = pytest.mark.skipif(not HAVE_MPI, reason="no MPI here")
needs_answers = pytest.mark.skipif(not (ROOT / "answers/answer2.txt").exists(), reason="no answers here: make answers")

# OpenMPI refuses root, and more ranks than cores, unless told otherwise. hwloc looks for an X server at every start
# (-gl: not), which takes 10 s where "localhost" has to be asked of a name server, and complains where there is no /sys.
os.environ.update(HWLOC_COMPONENTS="-gl", HWLOC_HIDE_ERRORS="2", OMPI_ALLOW_RUN_AS_ROOT="1",
                  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
                  OMPI_MCA_btl_vader_single_copy_mechanism="none")
os.environ["PATH"] += ":/usr/sbin:/sbin"  # daemons, for users whose PATH does not name them


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also what takes long: every compiler and switch, sanitizers, "
                     "other processors, every kernel for every architecture")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: takes long; only with --full")
    config.addinivalue_line("markers", "xdist_group: tests that share a fixture, and so a process")
    if not hasattr(config, "workerinput") and not config.option.basetemp:
        config.option.basetemp = config.own_basetemp = tempfile.mkdtemp(prefix="facegen-tests-")


def pytest_unconfigure(config):
    """Leaves the temporary folder as it was."""
    shutil.rmtree(getattr(config, "own_basetemp", ""), ignore_errors=True)


def pytest_collection_modifyitems(config, items):
    """What needs --full is skipped without it. Tests that share a fixture of their file stay in one process."""
    for item in items:
        if item.get_closest_marker("full") and not config.option.full:
            item.add_marker(pytest.mark.skip(reason="only with --full (scripts/test.sh --all)"))
        if any(definition[-1].scope == "module" for definition in item._fixtureinfo.name2fixturedefs.values()):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


def run(*command, **options):
    """Runs a command at the root of the project and returns what it did; bytes in and out."""
    options = {"timeout": 600, "cwd": ROOT, "capture_output": True, **options}
    return subprocess.run([str(word) for word in command], **options)


def ran(*command, **options):
    """Runs a command that must end well."""
    done = run(*command, **options)
    assert done.returncode == 0, done.stdout.decode()[-4000:] + done.stderr.decode()[-4000:]
    return done


def launcher(ranks):
    """What stands in front of a program that is to run in so many ranks."""
    return ["mpirun", "-n", ranks] if ranks > 1 else []


def started(command, **options):
    """A run in the background that is computing by now."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT, **options}
    process = subprocess.Popen([str(word) for word in command], **options)
    shown = b""
    while b"Calculating" not in shown:
        piece = process.stdout.read1()
        assert piece, process.communicate()
        shown += piece
    return process


def on_cpu(program, *arguments):
    """A command that computes on the CPU, whatever GPUs there are."""
    return [program, *(["--devices", "none"] if str(program).endswith("parallel") else []), *arguments]


def generate(program, *arguments, **options):
    """Runs a program on the CPU."""
    return run(*on_cpu(program, *arguments), **options)


def sentence(done, program):
    """The one sentence on standard error."""
    [line] = done.stderr.decode().splitlines()
    assert line.startswith(pathlib.Path(program).name + ": ")
    return line


def refused(done, program, status, *words):
    """It failed with this status and one sentence that holds these words."""
    assert done.returncode == status, (done.returncode, done.stderr)
    text = sentence(done, program)
    for word in words:
        assert str(word) in text, (word, text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def rows(profile, stage):
    """The rows of a --json file for a stage."""
    return [row for row in json.loads(profile.read_text())["stages"] if row["stage"] == stage]


def preloaded(folder, code):
    """A library of this C code, for LD_PRELOAD."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    (folder / "preload.c").write_text("#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <errno.h>\n#include <stdlib.h>\n" + code)
    ran("gcc", "-shared", "-fPIC", "-o", folder / "preload.so", folder / "preload.c")
    return folder / "preload.so"


def on_a_terminal(command, stdout=subprocess.DEVNULL):
    """Runs a command whose standard error is a terminal; returns what that terminal was sent."""
    try:
        ours, theirs = os.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminals here: {error}")
    process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=theirs if stdout == "terminal" else stdout,
                               stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side was closed
            piece = b""
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


def write_noise(path, noise):
    """noise (N,100) -> the course's text, with every digit that float32 has."""
    lines = [str(len(noise))] + [" ".join("%.9g" % value for value in face) for face in noise]
    path.write_text("\n".join(lines) + "\n")
    return path


def read_faces(path):
    """The course's output data -> (N,64,64,3) float64."""
    with open(path) as file:
        n = int(file.readline())
        values = np.array(file.read().split(), dtype=np.float64)
    return values.reshape(n, 64, 64, 3)


@pytest.fixture
def noise():
    """A function n, seed -> noise (n,100) float32, uniform(-1,1)."""
    return lambda n, seed=0: np.random.default_rng(1000 + seed).uniform(-1, 1, (n, 100)).astype(np.float32)


@pytest.fixture(params=PROGRAMS)
def program(request):
    return ROOT / request.param


@pytest.fixture
def small(noise, tmp_path):
    """A noise file of two faces."""
    return write_noise(tmp_path / "two.txt", noise(2))


@pytest.fixture
def nobody(program, noise):
    """For a user who may not do everything: a folder with a program, network.bin and noise.txt, and how to run there as one.
    Root may read and write everywhere, so root becomes nobody for this."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        for path in (program, NETWORK):
            shutil.copy(path, folder)
        write_noise(folder / "noise.txt", noise(1))
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        yield folder, {"cwd": folder, "env": {**os.environ, "HOME": name}, **user}
        folder.chmod(0o755)
