"""`make submission`: the zip holds what the course asks for, and what is in it builds and passes on its own."""
import os
import shutil
import zipfile

import pytest
from conftest import NETWORK, ROOT, run
from test_build import HAVE_GIT, builds, make

ID = "shpc123"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The zip, made in a copy of what git has of this tree, or of the tree itself."""
    if not HAVE_GIT:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("tree")
    assert run("git", "clone", "--quiet", "--no-hardlinks", ROOT, folder / "facegen").returncode == 0
    for name in run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith("answers/"):
            (folder / "facegen" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "facegen" / name)
    assert run("git", "add", "--all", cwd=folder / "facegen").returncode == 0
    builds(folder / "facegen", "CUDA=0", "submission", f"ID={ID}")
    return folder / "facegen" / f"{ID}_project.zip"


def test_what_is_in_it(archive):
    with zipfile.ZipFile(archive) as pack:
        sizes = {entry.filename: entry.file_size for entry in pack.infolist()}
        assert pack.read("report.pdf")[:5] == b"%PDF-"
    assert {"report.pdf", "facegen/Makefile", "facegen/facegen_parallel.cu", "facegen/kernels/hopper/product.cuh",
            "facegen/cpu/kernels_simd.h", "facegen/report/report.md", "facegen/inputs/input1.txt"} <= set(sizes)
    assert not [name for name in sizes if name.endswith((".bin", ".bmp", ".png", ".npy", ".o"))]
    assert all(size <= 1 << 20 for name, size in sizes.items() if name != "report.pdf")
    assert archive.stat().st_size < 5 << 20


def test_it_builds_and_passes_beside_a_network(archive, tmp_path):
    with zipfile.ZipFile(archive) as pack:
        pack.extractall(tmp_path)
        for entry in pack.infolist():
            os.chmod(tmp_path / entry.filename, entry.external_attr >> 16)
    source = tmp_path / "facegen"
    assert os.access(source / "scripts/run.sh", os.X_OK)
    os.link(NETWORK, source / "network.bin") if os.stat(NETWORK).st_dev == os.stat(source).st_dev else \
        shutil.copy(NETWORK, source)
    builds(source, "CUDA=0", "all")
    done = run(source / "facegen_parallel", "network.bin", "inputs/input1.txt", "o.txt", "o.bmp", cwd=source)
    assert done.returncode == 0, done.stderr
    done = run(source / "compare_result", "o.txt", ROOT / "answers/answer1.txt", cwd=source)
    assert done.returncode == 0 and b"are same." in done.stdout, done.stdout


@pytest.mark.parametrize("wrong", ["", "shpc", "shpc12", "shpc1234", "SHPC123", "abc123", "shpc12x", "../shpc123"])
def test_an_id_that_is_none(wrong):
    done = run("scripts/submission.sh", wrong)
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.decode() == (f"submission.sh: ID='{wrong}' is no course account: expected shpc and three digits, "
                                    "as in 'make submission ID=shpc123'\n")


def test_make_without_an_id():
    done = make(ROOT, "CUDA=0", "submission")
    assert done.returncode == 2 and b"ID='' is no course account" in done.stderr
