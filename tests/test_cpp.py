"""Runs the C++ tests (GoogleTest programs that `make test` builds) as one test each."""
import os
import pathlib
import sys

import pytest
from conftest import run

PROGRAMS = os.environ.get("FACEGEN_TEST_PROGRAMS", "").split()


@pytest.mark.parametrize("program", PROGRAMS, ids=[pathlib.Path(path).name for path in PROGRAMS])
def test_program(program):
    done = run(program, "--gtest_brief=1", timeout=1200)
    assert done.returncode == 0, done.stdout.decode()[-8000:] + done.stderr.decode()[-2000:]


def test_without_googletest_the_others_are_found():
    done = run(sys.executable, "-m", "pytest", "--collect-only", "-q", __file__, env=os.environ | {"FACEGEN_TEST_PROGRAMS": ""})
    assert done.returncode == 0, done.stdout.decode()
