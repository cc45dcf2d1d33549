"""Runs the C++ tests (GoogleTest programs that `make test` builds) as one test each."""
import os
import pathlib

import pytest
from conftest import ran

PROGRAMS = os.environ.get("FACEGEN_TEST_PROGRAMS", "").split()


@pytest.mark.parametrize("program", PROGRAMS, ids=[pathlib.Path(program).name for program in PROGRAMS])
def test_program(program):
    ran(program, "--gtest_brief=1", timeout=1200)
