"""Calls that fail, signals at random moments: a small part of what `make faults` tries."""
import shutil
import sys

import pytest
from conftest import ROOT, ran


pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc here")


@pytest.mark.parametrize("scenario", ["sequential", "text and PNG"])
def test_failing_calls_and_signals(scenario):
    done = ran(sys.executable, ROOT / "tests/faults/faults.py", "--only", scenario, "--most", 2, "--kills", 5)
    assert b'"signals": 5, "wrong": 0' in done.stdout


def test_no_failing_stat_leaves_a_temporary_name():
    ran(sys.executable, ROOT / "tests/faults/faults.py", "--only", "temporary", "--call", "stat", "--kills", 0)
