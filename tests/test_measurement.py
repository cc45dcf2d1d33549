"""bench/measurement.py: a measurement goes to DATE-MACHINE-WHAT.json with all that must be known to repeat it."""
import json
import re
import shutil
import sys

import pytest
from conftest import ROOT, run


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """A function: runs a copy of measurement.py in a place of its own -> (what it did, the files written)."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "report/measurements").mkdir(parents=True)
    shutil.copy(ROOT / "bench/measurement.py", tmp_path / "bench")
    monkeypatch.setenv("COMMIT", "abc1234")

    def call(body, *arguments, what="layers"):
        (tmp_path / "program").write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "program").chmod(0o755)
        done = run(sys.executable, "bench/measurement.py", what, "./program", *arguments, cwd=tmp_path)
        return done, sorted((tmp_path / "report/measurements").iterdir())
    return call


def test_figures_are_kept_with_what_must_be_known(measure, monkeypatch):
    monkeypatch.setenv("NOTE", "a quiet machine")
    done, [file] = measure("""echo a word
        echo '{"gpu": "none"}'; echo '{"list": "rows", "faces": 1, "s": 0.12345678}'; echo '{"list": "rows", "faces": 2, "s": 3}'""",
        "--faces", "2")
    assert done.returncode == 0
    said = done.stdout.decode().split("\n")
    assert [line.split() for line in said[:7]] == [["a", "word"], [], ["gpu"], ["none"], [], ["faces", "s"], ["1", "0.1235"]]
    assert said[-2].startswith("Wrote '")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9-]+-(avx512|avx2|plain)-\d+-layers\.json", file.name)
    kept = json.loads(file.read_text())
    assert kept["rows"] == [{"faces": 1, "s": 0.12345678}, {"faces": 2, "s": 3}] and kept["gpu"] == "none"
    assert kept["commit"] == "abc1234" and kept["note"] == "a quiet machine"
    assert file.name == f"{kept['date']}-{kept['machine']}-layers.json"
    assert kept["command"] == "bench/measurement.py layers ./program --faces 2"


def test_a_machine_may_be_named(measure, monkeypatch):
    monkeypatch.setenv("MACHINE", "node7")
    _, [file] = measure("""echo '{"rows": 1}'""", what="gpu-scaling")
    assert file.name[10:] == "-node7-scaling.json" and json.loads(file.read_text())["rows"] == 1


def test_what_is_skipped_leaves_nothing(measure):
    done, files = measure("echo SKIPPED: no GPU here; exit 1")
    assert (done.returncode, files) == (0, [])


@pytest.mark.parametrize("body", ["exit 3", """echo '{"rows": 1}'; exit 1""", "true"])
def test_what_fails_leaves_nothing(body, measure):
    done, files = measure(body)
    assert (done.returncode, files) == (1, []) and b"nothing was kept" in done.stderr


def test_wrong_usage():
    assert run(sys.executable, "bench/measurement.py", "layers").returncode == 2
