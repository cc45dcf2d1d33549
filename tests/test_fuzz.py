"""make fuzz: a minute of random files for the readers, the command line and compare_result, against simple references."""
import re

import pytest
from conftest import ROOT, ran

TARGETS = sorted(path.stem for path in (ROOT / "tests/fuzz").glob("fuzz_*.cpp"))


@pytest.mark.full
def test_fuzz():
    done = ran("make", "-s", "fuzz", "SECONDS=10", timeout=1800)
    inputs = dict(re.findall(r"^(\w+): (\d+) inputs$", done.stdout.decode(), re.M))
    assert sorted(inputs) == TARGETS and all(int(count) > 0 for count in inputs.values())
