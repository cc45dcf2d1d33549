"""Calls that fail, signals at random moments: a small part of what `make faults` tries."""
import shutil
import sys

import pytest
from conftest import ROOT, ran


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc here")
@pytest.mark.parametrize("scenario", ["sequential", "text and PNG"])
def test_failing_calls_and_signals(scenario):
    done = ran(sys.executable, ROOT / "tests/faults/faults.py", "--only", scenario, "--most", 2, "--kills", 5)
    assert b"5 runs ended by signals, 0 wrong" in done.stdout
