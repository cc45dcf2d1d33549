"""Runs the C++ tests (GoogleTest programs that `make test` builds) as one test each."""
import os
import pathlib

import pytest
from conftest import run

PROGRAMS = os.environ.get("FACEGEN_TEST_PROGRAMS", "").split()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: pathlib.Path(path).name)
def test_program(program):
    done = run(program, "--gtest_brief=1", timeout=1200)
    assert done.returncode == 0, done.stdout.decode()[-8000:] + done.stderr.decode()[-2000:]
