"""The build: from a clean clone, under both compilers, with every combination of switches, without a warning; and the
programs under the sanitizers."""
import itertools
import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT, run

HAVE_GIT = (ROOT / ".git").exists() and shutil.which("git")
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What git holds of the working tree, and nothing else."""
    if not HAVE_GIT:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("clone")
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout.split(b"\0")
    for name in (name.decode() for name in files if name):
        if name.startswith(("answers/", "report/")) or not (ROOT / name).is_file():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(ROOT / name, folder / name) if name == "network.bin" else shutil.copy(ROOT / name, folder / name)
    return folder


def make(folder, *arguments):
    return subprocess.run(["make", "-j2", *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True)


def builds(folder, *arguments):
    done = make(folder, *arguments)
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    assert done.stderr == b"", done.stderr.decode()[-4000:]
    return done


def works(folder):
    (folder / "n.txt").write_text("1\n" + "0.5 " * 100)
    for program in ("seq", "parallel"):
        done = run(folder / f"facegen_{program}", "network.bin", "n.txt", f"{program}.txt", "none", cwd=folder)
        assert done.returncode == 0, done.stderr
    done = run(folder / "compare_result", "parallel.txt", "seq.txt", cwd=folder)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("mpi, openmp", itertools.product("01", repeat=2))
def test_every_combination_without_cuda(compiler, mpi, openmp, clone):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    done = builds(clone, f"CXX={compiler}", "CUDA=0", f"MPI={mpi}", f"OPENMP={openmp}", "all")
    assert b"CUDA    not found" in done.stdout
    works(clone)


@pytest.mark.skipif(not shutil.which("nvcc"), reason="no nvcc here")
@pytest.mark.parametrize("mpi, openmp", itertools.product("01", repeat=2))
def test_every_combination_with_cuda(mpi, openmp, clone):
    """One architecture: the kernels themselves are compiled for all of them by a plain `make`."""
    builds(clone, "CUARCH=90a", f"MPI={mpi}", f"OPENMP={openmp}", "all")
    works(clone)


@pytest.mark.skipif(not shutil.which("nvcc"), reason="no nvcc here")
@pytest.mark.parametrize("source, arch", [("hopper", "90a"), ("fp32", "90a"), ("mma", "80"),
                                          ("mma", "90a"), ("mma", "120")])
def test_ptxas_finds_nothing_to_regret(source, arch, tmp_path):
    """No spills worth the name, and none of ptxas's notes (C75xx) that it serialises wgmma or ignores setmaxnreg: both are silent
    without -v and cost a tenth of a layer's speed."""
    done = run("nvcc", "-std=c++17", "-O3", "-I.", "-gencode", f"arch=compute_{arch},code=sm_{arch}", "-Xptxas", "-v", "-c",
               f"kernels/{source}/generator.cu", "-o", tmp_path / "x.o")
    notes = done.stderr.decode() + done.stdout.decode()
    assert done.returncode == 0 and "bytes spill stores" in notes
    assert "C75" not in notes, [line for line in notes.splitlines() if "C75" in line]
    assert max(int(words) for words in re.findall(r"(\d+) bytes spill stores", notes)) <= 8


def test_nothing_is_built_twice(clone):
    builds(clone, "CUDA=0", "all")
    done = builds(clone, "CUDA=0", "all")
    assert b" -c " not in done.stdout


def test_help_names_every_target(clone):
    text = builds(clone, "help").stdout.decode()
    for word in ("seq", "parallel", "compare_result", "custom", "test", "answers", "install", "clean", "CUDA=0", "CUARCH"):
        assert word in text


def test_install_and_uninstall(clone, tmp_path):
    builds(clone, "CUDA=0", "install", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    assert run(tmp_path / "usr/bin/facegen_seq", "--version").returncode == 0
    builds(clone, "CUDA=0", "uninstall", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_clean_leaves_what_git_has(clone):
    builds(clone, "CUDA=0", "all")
    builds(clone, "clean")
    assert not (clone / "build").exists() and not (clone / "facegen_seq").exists()


@pytest.mark.parametrize("sanitizers", ["address,undefined"])
def test_under_the_sanitizers(sanitizers, clone):
    """Both programs and compare_result, good input and bad, in one rank."""
    builds(clone, "CUDA=0", "MPI=0", f"SANITIZE={sanitizers}", "all")
    works(clone)
    for noise in ("1\n0.5", "1\n" + "x " * 100, "-1\n"):
        (clone / "n.txt").write_text(noise)
        for program in ("seq", "parallel"):
            done = run(clone / f"facegen_{program}", "network.bin", "n.txt", "o.txt", "o.bmp", cwd=clone)
            assert done.returncode == 1 and b"Sanitizer" not in done.stderr and b"runtime error" not in done.stderr
