"""Runs the C++ tests (GoogleTest programs that `make test` builds) as one test each."""
import os
import pathlib
import sys

import pytest
from conftest import ran

PROGRAMS = os.environ.get("FACEGEN_TEST_PROGRAMS", "").split()


@pytest.mark.parametrize("program", PROGRAMS, ids=[pathlib.Path(program).name for program in PROGRAMS])
def test_program(program):
    ran(program, "--gtest_brief=1", timeout=1200)


def test_without_googletest_the_others_are_found():
    ran(sys.executable, "-m", "pytest", "--collect-only", "-q", __file__, env=os.environ | {"FACEGEN_TEST_PROGRAMS": ""})
