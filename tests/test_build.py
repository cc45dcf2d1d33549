"""The build: what make finds on whatever machine and does about it; with --full from a clean clone, under both
compilers, with every combination of switches, without a warning, and the programs under the sanitizers."""
import itertools
import os
import re
import shutil

import pytest
from conftest import ROOT, ran, run

HAVE_GIT = (ROOT / ".git").exists() and shutil.which("git")
# What the tests' own make was given is not for these builds. Where ccache is, a switch costs only what it changes.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
ENVIRONMENT["PATH"] = "/usr/lib/ccache:" + ENVIRONMENT["PATH"]
HAVE_CCACHE = shutil.which("ccache")
needs_nvcc = pytest.mark.skipif(not shutil.which("nvcc"), reason="no nvcc here")


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


def make(folder, *arguments, program="make", **environment):
    return run(program, "-j2", *arguments, cwd=folder, env={**ENVIRONMENT, **environment}, timeout=None)


def builds(folder, *arguments, **options):
    """Builds without a warning."""
    done = make(folder, "WERROR=1", *arguments, **options)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()[-4000:]
    return done


def would_run(*arguments, **environment):
    """The commands that make would run for these targets and switches."""
    return make(ROOT, "-n", "-B", *arguments, **environment).stdout.decode()


def works(folder):
    (folder / "n.txt").write_text("1\n" + "0.5 " * 100)
    for program in ("seq", "parallel"):
        ran(folder / f"facegen_{program}", "network.bin", "n.txt", f"{program}.txt", "none", cwd=folder)
    ran(folder / "compare_result", "parallel.txt", "seq.txt", cwd=folder)


# ---- What make finds -------------------------------------------------------------------------------------------------


def found(*arguments, **options):
    """What make says it found: a dictionary CUDA, MPI, OpenMP, libpng -> text."""
    done = make(ROOT, "found", *arguments, **options)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.decode().splitlines()}


@pytest.mark.parametrize("program", ["make", "kmk_gmake"])  # kmk_gmake: GNU make 4.2.1, of Debian's package kbuild
def test_every_gnu_make(program):
    """Before 4.3 a # within a call begins a comment."""
    if not shutil.which(program):
        pytest.skip(f"no {program} here")
    assert found("CUDA=0", program=program) == found("CUDA=0")
    assert found("CUDA=0", program=program)["OpenMP"] == "found"


def test_the_environment_switches_nothing_off():
    """Clusters' modules mean other things by these names."""
    modules = {"CUDA": "/opt/cuda", "MPI": "/opt/openmpi", "OPENMP": "no", "DEBUG": "x", "SANITIZE": "y", "CUARCH": "z",
               "WERROR": "w", "SRC": "/src", "PREFIX": "/prefix"}
    assert found(**modules) == found()
    assert "-O3" in would_run("CUDA=0", "facegen_seq", **modules)


@pytest.mark.parametrize("switch", ["CUDA=yes", "MPI=off", "OPENMP=2", "DEBUG=-1", "WERROR=true"])
def test_a_switch_that_is_neither_on_nor_off(switch):
    done = make(ROOT, switch, "found")
    assert done.returncode == 2 and f"{switch}: expected 0 or 1".encode() in done.stderr


def test_switched_off():
    off = found("CUDA=0", "MPI=0", "OPENMP=0")
    assert [off[part].split(":")[0] for part in ("CUDA", "MPI", "OpenMP")] == ["off"] * 3


def test_a_compiler_of_two_words():
    switches = "CUDA=0", "CXX=env g++"
    assert found("CUDA=0") == found(*switches)
    assert re.search(r"^env g\+\+ .* -c main.cpp -o build/env-g\+\+[^ ]*/main.o$", would_run(*switches, "facegen_seq"), re.M)


def program(path, body):
    """A pretended program."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def tools(folder, version, known, gpus):
    """A pretended nvcc of this version, which knows these architectures, and nvidia-smi, which sees these GPUs."""
    program(folder / "nvcc", f"""case $1 in
      --version) echo 'Cuda compilation tools, release {version}, V{version}.1' ;;
      --list-gpu-code) printf 'sm_%s\\n' {known} ;;
      --dryrun) echo '#$ LIBRARIES=  "-L/its/own/lib"' >&2 ;;
    esac""")
    program(folder / "nvidia-smi", f"printf '%s\\n' {gpus or 'no GPU'}")
    return {"PATH": f"{folder}:{ENVIRONMENT['PATH']}"}


OLD, NEW = ("11.8", "50 75 80 86 89 90"), ("12.4", "50 75 80 86 89 90")
NEWEST = ("13.0", "75 80 86 88 89 90 100 110 103 120 121")


@pytest.mark.parametrize("cuda, gpus, cuarch, archs, ptx", [
    (NEWEST, "", "", "80 86 89 90a 100 120", "120"),
    (NEW, "", "", "80 86 89 90a", "89"),
    (OLD, "", "", "80 86 89 90", "90"),
    (NEWEST, "9.0 9.0", "", "90a", None),
    (OLD, "9.0", "", "90", "90"),
    (NEWEST, "12.0 9.0", "", "120 90a", "120"),
    (NEWEST, "12.0 8.0", "", "120 80", "120"),  # 120 is more than 80
    (NEW, "12.0", "", "90", "90"),  # not known: the driver compiles the nearest below
    (NEWEST, "10.7", "", "103", "103"),
    (NEWEST, "6.1", "", "80 86 89 90a 100 120", "120"),  # none that this nvcc knows runs there: the CPU computes
    (NEWEST, "9.0", "120,90a", "120 90a", "120"),
    (NEWEST, "9.0", "90,120", "90 120", "120"),
    (NEWEST, "", "100a", "100a", None),
])
def test_gpu_architectures(cuda, gpus, cuarch, archs, ptx, tmp_path):
    environment = tools(tmp_path, *cuda, gpus)
    assert found(f"CUARCH={cuarch}", **environment)["CUDA"] == f"{cuda[0]} ({tmp_path}/nvcc) for {archs}"
    command = re.search(r"^nvcc .*", would_run("parallel", f"CUARCH={cuarch}", **environment), re.M)[0]
    assert re.findall(r"code=sm_(\w+)", command) == archs.split()
    assert re.findall(r"code=compute_(\w+)", command) == ([ptx] if ptx else [])


def test_an_architecture_that_nvcc_does_not_know(tmp_path):
    done = make(ROOT, "found", "CUARCH=80,123", **tools(tmp_path, *NEW, ""))
    assert done.returncode == 2 and b"CUARCH: CUDA 12.4 does not know 123; it knows 50 75 80 86 89 90" in done.stderr


@pytest.mark.parametrize("version", ["11.7", "9.2", "nothing"])
def test_a_cuda_that_is_too_old(version, tmp_path):
    """The CPU computes, and make says why."""
    environment = tools(tmp_path, version, "70 80", "8.0")
    assert found(**environment)["CUDA"] == f"not used ({tmp_path}/nvcc is older than CUDA 11.8): the CPU computes"
    assert "nvcc" not in would_run("parallel", **environment).split("\n", 1)[1]


def test_libraries_lie_where_nvcc_says(tmp_path):
    assert '"-L/its/own/lib" -lcudart_static' in would_run("parallel", **tools(tmp_path, *NEW, ""))


def test_no_mpi(tmp_path):
    """A wrapper that cannot compile is none."""
    program(tmp_path / "mpicxx", "echo g++ -I/nowhere -L/nowhere -lnowhere")
    assert found("CUDA=0", MPICXX=f"{tmp_path}/mpicxx")["MPI"] == "not found: facegen_parallel is one process"


def test_help_names_every_target():
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.M)[1]
    targets = phony.replace("\\", " ").split()
    text = make(ROOT, "help").stdout.decode()
    inner = {"all", "found", "format", "help", "run-fuzzers"}
    assert not [target for target in targets if target not in inner and not re.search(rf"\b{target}\b", text)]
    for word in ("compare_result", "CUDA=0", "MPI=0", "OPENMP=0", "CUARCH", "DEBUG=1", "WERROR=1", "SANITIZE", "CXX"):
        assert word in text


# ---- From a clean clone ----------------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("mpi, openmp", itertools.product("01", repeat=2))
def test_every_combination_without_cuda(compiler, mpi, openmp, clone):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    done = builds(clone, f"CXX={compiler}", "CUDA=0", f"MPI={mpi}", f"OPENMP={openmp}", "all")
    assert b"CUDA    off" in done.stdout
    works(clone)


@pytest.mark.full
@needs_nvcc
@pytest.mark.parametrize("mpi, openmp", itertools.product("01", repeat=2))
def test_every_combination_with_cuda(mpi, openmp, clone):
    """One architecture: the kernels themselves are compiled for all of them by a plain `make`."""
    builds(clone, "CUARCH=90a", f"MPI={mpi}", f"OPENMP={openmp}", "all")
    works(clone)


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("mpicxx.mpich") or not shutil.which("mpirun.mpich"), reason="no MPICH here")
def test_mpich(clone):
    builds(clone, "CUDA=0", "MPICXX=mpicxx.mpich", "all")
    (clone / "n.txt").write_text("3\n" + "0.5 -0.25 " * 150)
    ran(clone / "facegen_seq", "network.bin", "n.txt", "seq.txt", "none", cwd=clone)
    for ranks in (1, 2):
        job = ["./facegen_parallel", "network.bin", "n.txt", "o.txt", "none"]
        done = ran("mpirun.mpich", "-n", ranks, *job, cwd=clone)
        assert done.stdout.count(b"Calculating") == 1, done.stderr
        ran(clone / "compare_result", "o.txt", "seq.txt", cwd=clone)


@pytest.mark.full
@needs_nvcc
@pytest.mark.parametrize("source, arch", [("hopper", "90a"), ("fp32", "90a"), ("mma", "80"),
                                          ("mma", "90a"), ("mma", "120")])
def test_ptxas_finds_nothing_to_regret(source, arch, tmp_path):
    """No spills worth the name, and none of ptxas's notes (C75xx) that it serialises wgmma or ignores setmaxnreg: both
    are silent without -v and cost a tenth of a layer's speed."""
    done = run("nvcc", "-std=c++17", "-O3", "-I.", "-gencode", f"arch=compute_{arch},code=sm_{arch}", "-Xptxas", "-v",
               "-c", f"kernels/{source}/generator.cu", "-o", tmp_path / "x.o")
    notes = done.stderr.decode() + done.stdout.decode()
    assert done.returncode == 0 and "bytes spill stores" in notes
    assert "C75" not in notes, [line for line in notes.splitlines() if "C75" in line]
    assert max(int(words) for words in re.findall(r"(\d+) bytes spill stores", notes)) <= 8


@pytest.mark.full
def test_nothing_is_built_twice_and_clean_leaves_what_git_has(clone):
    builds(clone, "CUDA=0", "all")
    assert b" -c " not in builds(clone, "CUDA=0", "all").stdout
    builds(clone, "clean")
    assert not (clone / "build").exists() and not (clone / "facegen_seq").exists()


@pytest.mark.full
def test_a_folder_with_spaces(clone, tmp_path):
    """The checkout, the place to install to, the unit; and a compiler of two words, by the oldest make here."""
    program = "kmk_gmake" if shutil.which("kmk_gmake") else "make"
    home, place = tmp_path / "my dir" / "facegen", tmp_path / "to here"
    shutil.copytree(clone, home, copy_function=os.link, ignore=shutil.ignore_patterns("build"))
    compiler = "CXX=ccache g++" if HAVE_CCACHE else "CXX=env g++"
    builds(home, compiler, "CUDA=0", "install", f"PREFIX={place}", program=program)
    ran(place / "bin/facegen_seq", "--version")
    unit = '#include "facegen.h"\nvoid facegen(int n, float* w, float* in, float* out) { out[0] = n; }\n'
    (home / "my unit.c").write_text(unit)
    builds(home, compiler, "CUDA=0", "custom", "SRC=my unit.c", program=program)
    assert (home / "facegen_custom").exists()
    builds(home, compiler, "CUDA=0", "uninstall", f"PREFIX={place}", program=program)
    assert not any(path.is_file() for path in place.rglob("*"))


@pytest.mark.full
@pytest.mark.parametrize("switches", [["SANITIZE=address,undefined"], ["SANITIZE=thread", "OPENMP=0"]],  # libgomp is no part of it
                         ids=["memory", "threads"])
def test_under_the_sanitizers(switches, clone):
    """The programs and their parts, one and several devices and batches, good input and bad, in one rank."""
    switches = ["CUDA=0", "MPI=0", *switches]
    builds(clone, *switches, "all")
    works(clone)
    for noise in ("1\n0.5", "1\n" + "x " * 100, "-1\n"):
        (clone / "n.txt").write_text(noise)
        for program in ("seq", "parallel"):
            done = run(clone / f"facegen_{program}", "network.bin", "n.txt", "o.txt", "o.bmp", cwd=clone)
            assert done.returncode == 1 and b"Sanitizer" not in done.stderr and b"runtime error" not in done.stderr
    [folder] = (clone / "build").glob("*-" + switches[2].split("=")[1].replace(",", "-"))
    tests = ["tests/simulated_gpus", "tests/test_run"][: 2 if os.environ.get("FACEGEN_TEST_PROGRAMS") else 1]
    builds(clone, *switches, *(folder.relative_to(clone) / test for test in tests))
    commands = [[folder / "tests/test_run"]] * (len(tests) - 1)
    (clone / "n.txt").write_text("7\n" + "0.5 " * 700)
    for program in (clone / "facegen_parallel", folder / "tests/simulated_gpus"):
        for outputs in (["o.txt", "o.bmp"], ["o.npy", "o.png"]):
            commands.append([program, "-t", "3", "-b", "3", "network.bin", "n.txt", *outputs])
    gpus = {"FACEGEN_SIMULATED_GPUS": "3", "FACEGEN_SIMULATED_CHUNK": "1"}
    for command in commands:
        done = run(*command, cwd=clone, env={**os.environ, **gpus})
        assert done.returncode == 0 and b"Sanitizer" not in done.stderr, done.stderr
    done = run(*commands[-1], cwd=clone, env={**os.environ, **gpus, "FACEGEN_FAIL_GPU": "1:2"})
    assert done.returncode == 3 and b"Sanitizer" not in done.stderr, done.stderr
