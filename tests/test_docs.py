"""README, README.ko.md and CONTRIBUTING.md: commands that are the same, links and files that are there."""
import re

import pytest
from conftest import ROOT, run

PAGES = ["README.md", "README.ko.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/contract.md", "scripts/slurm/README.md"]


def commands(page):
    """The lines that are to be typed, without their comments."""
    lines = re.findall(r"^    (\S.*)$", (ROOT / page).read_text(encoding="utf-8"), re.M)
    return [re.sub(r"\s+# .*", "", line) for line in lines]


def test_the_korean_page_has_the_commands_of_the_english_one():
    """Those of students, in the same order."""
    wanted = [line for line in commands("README.md") if re.match(r"git |\./|salloc |make (?!lib)", line)]
    assert len(wanted) >= 9 and commands("README.ko.md") == wanted


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8")):
        assert target.startswith("http") or ((ROOT / page).parent / target).exists(), target


def test_the_files_that_contributing_names_exist():
    for name in set(re.findall(r"\b((?:run|cpu|io|driver|kernels|tests|bench|report|common)/[\w/.]+\.\w+)",
                               (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))):
        assert (ROOT / name).exists(), name


def test_make_targets_that_the_pages_name_exist():
    targets = set(re.findall(r"make (?:-s )?([a-z][a-z_-]+)", "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)))
    known = run("make", "help").stdout.decode() + (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets - {"are", "sure"}:
        assert re.search(rf"(?<![\w-]){target}(?![\w-])", known), target
