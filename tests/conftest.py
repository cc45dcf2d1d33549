"""What every test of the programs uses: where they are, how to run them, how to write and read their files."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETWORK = ROOT / "network.bin"
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
