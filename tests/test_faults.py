"""Calls that fail, signals at random moments: a small part of what `make faults` tries."""
import shutil
import sys

import pytest
from conftest import ROOT, run


pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc here")


@pytest.mark.parametrize("scenario", ["sequential", "text and PNG"])
def test_failing_calls_and_signals(scenario):
    done = run(sys.executable, ROOT / "tests/faults/faults.py", "--only", scenario, "--most", 2, "--kills", 5)
    assert done.returncode == 0, done.stdout.decode()[-4000:] + done.stderr.decode()[-2000:]
    assert b'"signals": 5, "wrong": 0' in done.stdout


def test_no_failing_stat_leaves_a_temporary_name():
    done = run(sys.executable, ROOT / "tests/faults/faults.py", "--only", "temporary", "--call", "stat", "--kills", 0)
    assert done.returncode == 0, done.stdout.decode()[-4000:] + done.stderr.decode()[-2000:]
