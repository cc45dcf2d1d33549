"""`make submission`: the zip holds what the course asks for, and what is in it is complete in itself."""
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import NETWORK, ROOT, ran, run
from test_build import ENVIRONMENT, HAVE_GIT, builds

ID, NAME = "shpc123", "Hong Gil-dong"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The zip, made in a copy of what git has of this tree."""
    if not HAVE_GIT:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("tree") / "facegen"
    assert run("git", "clone", "--quiet", "--no-hardlinks", ROOT, folder).returncode == 0
    for name in run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith("answers/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    assert run("git", "add", "--all", cwd=folder).returncode == 0
    ran("make", "CUDA=0", "submission", f"ID={ID}", f"NAME={NAME}", cwd=folder)
    return folder / f"{ID}_project.zip"


@pytest.fixture(scope="module")
def unpacked(archive, tmp_path_factory):
    """The hand-in on somebody else's machine."""
    folder = tmp_path_factory.mktemp("hand-in")
    with zipfile.ZipFile(archive) as pack:
        pack.extractall(folder)
        for entry in pack.infolist():
            os.chmod(folder / entry.filename, entry.external_attr >> 16)
    return folder


def test_what_is_in_it(archive):
    with zipfile.ZipFile(archive) as pack:
        sizes = {entry.filename: entry.file_size for entry in pack.infolist()}
        assert pack.read("report.pdf")[:5] == b"%PDF-"
    assert {"report.pdf", "facegen/Makefile", "facegen/facegen_parallel.cu", "facegen/kernels/hopper/product.cuh",
            "facegen/cpu/kernels_simd.h", "facegen/report/report.md", "facegen/inputs/input1.txt"} <= set(sizes)
    assert not [name for name in sizes if name.endswith((".bin", ".bmp", ".png", ".npy", ".o"))]
    assert all(size <= 1 << 20 for name, size in sizes.items() if name != "report.pdf")
    assert archive.stat().st_size < 5 << 20


def test_the_report_names_its_author(archive):
    if not shutil.which("pdftotext") or not shutil.which("pandoc"):
        pytest.skip("no pdftotext or pandoc here")
    with zipfile.ZipFile(archive) as pack:
        page = run("pdftotext", "-l", "1", "-", "-", input=pack.read("report.pdf")).stdout.decode()
    assert f"{NAME}, {ID}\n" in page


def test_no_link_leads_nowhere(unpacked):
    pages = [*unpacked.rglob("*.md")]
    assert unpacked / "facegen/README.md" in pages
    for page in pages:
        text = page.read_text()
        assert "![" not in text, page
        base = unpacked / "facegen" if page.name == "how_fast.md" else page.parent
        for place in re.findall(r"\]\(([^()\s]*)\)", text):
            assert "://" in place or (base / place.partition("#")[0]).exists(), (page, place)
    assert "(../report.pdf)" in (unpacked / "facegen/README.md").read_text()


def test_run_sh_says_what_is_missing(unpacked):
    done = run("scripts/run.sh", cwd=unpacked / "facegen", env=ENVIRONMENT)
    assert done.returncode == 1 and f"{unpacked}/facegen/network.bin" in done.stderr.decode()


@pytest.mark.full
def test_it_runs_and_passes_beside_a_network(unpacked):
    source = unpacked / "facegen"
    os.link(NETWORK, source / "network.bin") if os.stat(NETWORK).st_dev == os.stat(source).st_dev else \
        shutil.copy(NETWORK, source)
    environment = {**ENVIRONMENT, "MAKEFLAGS": "CUDA=0"}
    done = ran("scripts/run.sh", cwd=source, env=environment)
    assert b"Not compared: answers/answer2.txt is not here" in done.stdout, done.stderr
    # What only this tree has, or what its pages say, is not asked for there.
    tests = ["test_inputs.py", "test_report.py", "test_scripts.py", "test_programs.py::test_shipped_answers",
             "test_slurm.py::test_sequential"]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *(f"tests/{test}" for test in tests)], cwd=source,
                          env=environment, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()[-4000:]

    shutil.copy(source / "inputs/input1.txt", source / "inputs/input3.txt")  # a thousand faces would take minutes
    builds(source, "CUDA=0", "answers")
    done = ran("scripts/run.sh", cwd=source, env=environment)
    assert b"answer2.txt are same." in done.stdout, done.stderr


@pytest.mark.parametrize("wrong", ["", "shpc", "shpc12", "shpc1234", "SHPC123", "abc123", "shpc12x", "../shpc123"])
def test_an_id_that_is_none(wrong):
    done = run("scripts/submission.sh", wrong)
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.decode() == (f"submission.sh: ID='{wrong}' is no course account: expected shpc and three "
                                    "digits, as in 'make submission ID=shpc123'\n")


def test_make_without_an_id():
    done = run("make", "CUDA=0", "submission", env={**os.environ, "ID": "shpc123"})
    assert done.returncode == 2 and b"ID='' is no course account" in done.stderr
