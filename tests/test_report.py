"""The report says what was measured: every number of its text, and of README's "How fast", comes from a file under
report/measurements, or is a constant of the network, the machine or the design that report/constants.txt names."""
import json
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, run

REPORT = ROOT / "report"
sys.path.insert(0, str(REPORT))
import build  # noqa: E402
import sources  # noqa: E402
import tables  # noqa: E402

TEXTS = ["report.md", "how_fast.md"]


@pytest.fixture
def measurements(tmp_path):
    """A copy of report/measurements, to be changed."""
    return shutil.copytree(REPORT / "measurements", tmp_path / "measurements")


# ---- The table of sources

def test_every_source_leads_to_a_value():
    numbers = sources.Numbers()
    for name in [*numbers.table, *sources.DERIVED]:
        value = numbers(name)
        assert value is not None and value == value, name


def test_every_source_is_used():
    """A number that no text, table or figure shows any more leaves the table of sources too."""
    asked = set()

    class Watched(sources.Numbers):
        def __call__(self, name):
            asked.add(name)
            return super().__call__(name)

    build.text(Watched())
    build.how_fast(Watched())
    figures = "".join(path.read_text() for path in (REPORT / "figures").glob("*.py"))
    for name, row in sources.SOURCES.items():
        assert asked & set(sources.expand({name: row})) or name.split("{")[0] in figures, name
    assert set(sources.DERIVED) - asked <= {name for name in sources.DERIVED if name in figures or name.startswith("model.")}


@pytest.mark.parametrize("path, value", [
    ("a", 1), ("b/c", [3, 1, 2]), ("b/c/median", 2), ("list[k=x]/v", 2), ("list[k=x][n=1]/v", 1), ("list[-1]/v", 3),
    ("list[k=y/z, w]/v", 3)])
def test_paths(path, value):
    data = {"a": 1, "b": {"c": [3, 1, 2]}, "list": [{"k": "x", "n": 1, "v": 1}, {"k": "x", "n": 2, "v": 2},
                                                    {"k": "y/z, w", "v": 3}]}
    assert sources.follow(data, path) == value


@pytest.mark.parametrize("path", ["z", "list[k=q]/v", "a/b"])
def test_paths_that_lead_nowhere(path, tmp_path):
    (tmp_path / "2026-01-01-kind.json").write_text('{"a": {}, "list": [{"k": "x"}]}')
    numbers = sources.Numbers(tmp_path)
    numbers.table["here"] = ("kind", path)
    with pytest.raises(sources.NoNumber, match="2026-01-01-kind.json has no "):
        numbers("here")


@pytest.mark.parametrize("value, form, text", [
    (829275.7, "thousands", "829,276"), (0.079028, "3", "0.0790"), (13.053, "3", "13.1"), (0.9996, "3", "1.00"),
    (99.96, "3", "100"), (12345, "2", "12,000"), (5.0077e-5, "error", "5.0e-5"), (0.7367, "percent", "74 %"),
    (0.002475, "ms", "2.48 ms")])
def test_formats(value, form, text):
    assert sources.FORMATS[form](value) == text


# ---- Newer files

def test_a_newer_file_replaces_an_older_one(measurements):
    older = json.loads((measurements / "2026-12-01-h200-peers.json").read_text())
    before = build.text(sources.Numbers(measurements))
    for entry in older["entries"]:
        if entry.get("kernels") == "best" and entry["faces"] == 65536:
            entry["faces_per_s"] = 912345.9
    newer = measurements / "2999-01-01-h200-peers.json"
    newer.write_text(json.dumps(older))
    assert "912,346" not in before and "912,346" in build.text(sources.Numbers(measurements))
    # What the newest file lacks is missing: no older one is asked.
    older["entries"] = [entry for entry in older["entries"] if entry.get("kernels") != "best"]
    newer.write_text(json.dumps(older))
    with pytest.raises(sources.NoNumber, match="2999-01-01-h200-peers.json has no entries"):
        build.text(sources.Numbers(measurements))


def test_a_changed_file_changes_text_and_readme(measurements):
    path = sources.Numbers(measurements).file(f"{sources.CPU}-peers")
    data = json.loads(path.read_text())
    data["results"]["onnxruntime"]["faces_per_s_best"] = 433.4
    path.write_text(json.dumps(data))
    numbers = sources.Numbers(measurements)
    for now, then in ((build.text(numbers), build.text(sources.Numbers())), (build.readme(numbers), build.README.read_text())):
        assert "433" in now and now != then


def test_a_missing_number_is_an_error(measurements):
    sources.Numbers(measurements).file(f"{sources.CPU}-peers").unlink()
    with pytest.raises(sources.NoNumber, match=f"no DATE-{sources.CPU}-peers.json"):
        build.text(sources.Numbers(measurements))


def test_every_measurement_has_a_reader_and_an_origin():
    """What no text, table or figure reads is no measurement to keep; each says how it is repeated, or that it is not."""
    class Watched(sources.Numbers):
        def latest(self, kind):
            read.add(self.file(kind))
            return super().latest(kind)

    read, numbers = set(), Watched()
    ladder = numbers.latest("hopper-ladder")["steps"]
    for name in [*numbers.table, *sources.DERIVED]:
        numbers(name)
    build.text(numbers)
    read |= {numbers.folder / step["file"] for step in ladder}
    assert read == set(numbers.folder.iterdir())
    for path in read:
        kept = numbers.load(path)
        assert ("command" in kept) != ("by_hand" in kept), path.name
        assert path.name.startswith(kept["date"] + "-"), path.name


def test_the_ladder_is_what_its_files_say():
    for step in sources.Numbers().latest("hopper-ladder")["steps"]:
        data = json.loads((REPORT / "measurements" / step["file"]).read_text())
        if "step_in_file" in step:
            chunks = {c["faces"]: c for c in data["steps"][step["step_in_file"]]["chunks"]}
            assert step["measured_faces_per_s"] == chunks[2048]["faces_per_s"], step["step"]
        else:
            assert f": {step['measured_faces_per_s']}" in json.dumps(data), step["step"]
    for step in sources.Numbers().latest("hopper-ladder")["since"]:
        kept = re.findall(r"[\d.]+", (REPORT / "measurements" / step["file"]).read_text())
        assert {str(value) for value in step["before"] + step["after"]} <= set(kept), step["step"]


# ---- Numbers in texts

def constants():
    """Phrases that may hold digits, the longest first."""
    lines = (REPORT / "constants.txt").read_text().splitlines()
    return sorted((line for line in lines if line and not line.startswith("#")), key=len, reverse=True)


def seen(text):
    """What a reader sees of a text beside its placeholders: no code, no tags, no link targets; in one line."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    for markup in (r"\{\{.*?\}\}", r"`[^`]*`", r"<code>.*?</code>", r"<[^>]*>", r"\]\([^)]*\)"):
        text = re.sub(markup, " # ", text, flags=re.M | re.S)
    return " ".join(text.split())


def numbers_left(text, phrases):
    """Words with digits that are in none of the phrases; and the phrases that were found."""
    found = set()
    for phrase in phrases:
        text, times = re.subn(r"(?<![\w.,])" + re.escape(phrase) + r"(?!\w|[.,]\d)", " ", text)
        if times:
            found.add(phrase)
    return re.findall(r"\S*\d\S*", text), found


def test_every_number_is_measured_or_a_named_constant():
    used = set()
    for name in TEXTS:
        left, found = numbers_left(seen((REPORT / name).read_text()), constants())
        assert not left, f"{name}: {left}: neither a {{{{placeholder}}}} nor in a phrase of report/constants.txt"
        used |= found
    assert not set(constants()) - used, "phrases of report/constants.txt that no text has"


@pytest.mark.parametrize("text, left", [
    ("It reaches 831,000 faces/s in {{a.1|3}} s with `x 5`.", ["831,000"]), ("48 KB, not 49 KB", ["49"]),
    ("148 KB", ["148"]), ("48 KB", []), ("| 0.0791 |", ["0.0791"])])
def test_an_invented_number_is_found(text, left):
    assert numbers_left(seen(text), ["48 KB"])[0] == left


def test_readme_says_what_was_measured():
    assert build.SECTION.search(build.README.read_text()), "README.md has no section 'How fast'"
    assert build.readme(sources.Numbers()) == build.README.read_text(), "README.md is not up to date: run `make report`"


def test_the_pdf_was_made_of_this_text():
    mark = build.fingerprint(build.text(sources.Numbers())).encode()
    pdf = next(path for path in (REPORT / "report.pdf", ROOT.parent / "report.pdf") if path.exists())  # the hand-in's
    assert mark in pdf.read_bytes(), "report/report.pdf is not up to date: run `make report`"


def test_every_table_is_shown():
    assert set(re.findall(r"\{\{table:(\w+)\}\}", (REPORT / "report.md").read_text())) == set(tables.TABLES)


# ---- The PDF

PYTHON = next((p for p in ("python3", "/usr/bin/python3") if shutil.which(p) and subprocess.run(
    [p, "-c", "import matplotlib, weasyprint"], capture_output=True).returncode == 0), None)


@pytest.mark.skipif(not PYTHON or not shutil.which("pandoc"), reason="no pandoc, weasyprint and matplotlib here")
def test_it_is_made_twice_the_same(tmp_path):
    for name in ("report", "scripts", "README.md"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name)
    pdfs = []
    for _ in range(2):
        (tmp_path / "report/report.pdf").unlink(missing_ok=True)
        done = run(PYTHON, "report/build.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        assert b"WARNING" not in done.stderr and b"ERROR" not in done.stderr, done.stderr.decode()
        pdfs.append((tmp_path / "report/report.pdf").read_bytes())
    assert pdfs[0] == pdfs[1]
    pages = len(re.findall(rb"/Type\s*/Page\b", pdfs[0]))
    assert 8 <= pages <= 14
