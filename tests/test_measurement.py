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
    done, [file] = measure("""echo a table; echo '{"rows": [1, 2]}' > $2""", "--json", "JSON")
    assert done.returncode == 0 and done.stdout.startswith(b"a table\nWrote '")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9-]+-(avx512|avx2|plain)-\d+-layers\.json", file.name)
    kept = json.loads(file.read_text())
    assert kept["rows"] == [1, 2] and kept["commit"] == "abc1234" and kept["note"] == "a quiet machine"
    assert file.name == f"{kept['date']}-{kept['machine']}-layers.json"
    assert kept["command"] == "bench/measurement.py layers ./program --json JSON"


def test_a_machine_may_be_named(measure, monkeypatch):
    monkeypatch.setenv("MACHINE", "node7")
    _, [file] = measure("echo '[1]' > $1", "JSON", what="gpu-scaling")
    assert file.name[10:] == "-node7-scaling.json" and json.loads(file.read_text())["rows"] == [1]


def test_what_is_skipped_leaves_nothing(measure):
    done, files = measure("echo SKIPPED: no GPU here; exit 1", "JSON")
    assert (done.returncode, files) == (0, [])


@pytest.mark.parametrize("body", ["exit 3", "echo '{}' > $1; exit 1", "true"])
def test_what_fails_leaves_nothing(body, measure):
    done, files = measure(body, "JSON")
    assert (done.returncode, files) == (1, []) and b"nothing was kept" in done.stderr


def test_wrong_usage(measure):
    done, files = measure("true")
    assert (done.returncode, files) == (2, [])
