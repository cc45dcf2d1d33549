"""compare_result: what it says, where, and with which status."""
import os
import re

import numpy as np
import pytest
from conftest import on_a_terminal, ran, run

FACE = 12288  # values


def put(path, values, n=None):
    """values (N*12288) -> the course's text."""
    path.write_text(f"{len(values) // FACE if n is None else n}\n" + " ".join("%.4f" % v for v in values) + " \n")
    return path


@pytest.fixture
def answer(tmp_path):
    values = np.round(np.random.default_rng(5).uniform(-1, 1, 2 * FACE), 4)
    return values, put(tmp_path / "answer.txt", values)


def compare(a, b, **options):
    """-> status, lines of standard output. Nothing went wrong: standard error is empty."""
    done = run("./compare_result", a, b, **options)
    assert done.stderr == b""
    return done.returncode, done.stdout.decode().splitlines()


def refused(a, b, status=1, **options):
    """-> the one sentence on standard error; nothing was compared."""
    done = run("./compare_result", a, b, **options)
    assert (done.returncode, done.stdout) == (status, b"")
    text = done.stderr.decode()
    assert text.endswith("\n") and text[:-1].isprintable(), text
    return text[:-1]


def test_same(answer, tmp_path):
    values, path = answer
    near = values.copy()
    near[17] += 9e-4
    other = put(tmp_path / "near.txt", near)
    status, lines = compare(other, path)
    assert status == 0 and lines[0] == f"{other} and {path} are same."
    assert lines[-1].startswith("24576 values compared, worst difference 0.0009")
    assert lines[-1].endswith("at pixel (0, 5, 2) of 0th image.")


def test_relative(tmp_path):
    """Beyond 1, the relative tolerance is the wider one."""
    a = put(tmp_path / "a.txt", np.full(FACE, 100.0))
    assert compare(put(tmp_path / "b.txt", np.full(FACE, 100.09)), a)[0] == 0
    assert compare(put(tmp_path / "c.txt", np.full(FACE, 100.11)), a)[0] == 1


@pytest.mark.parametrize("word", [1.1e-3, "nan", "inf", "-Infinity", "1e400"])
def test_first_difference(word, answer, tmp_path):
    values, path = answer
    at = FACE + (3 * 64 + 4) * 3 + 1
    words = ["%.4f" % v for v in values]
    words[at] = word if isinstance(word, str) else "%.4f" % (values[at] + 2 * word)
    words[-1] = "9.0"  # a later, worse one
    other = tmp_path / "o.txt"
    other.write_text("2\n" + " ".join(words))
    status, lines = compare(other, path)
    assert status == 1
    assert lines[0] == "pixel (3, 4, 1) of 1th image differs."
    assert re.fullmatch(re.escape(str(other)) + r" : (-?\d+\.\d{6}|-?nan|-?inf)", lines[1])
    assert lines[2] == f"{path} : {values[at]:.6f}"
    assert lines[-1].startswith("24576 values compared, worst difference ")


def test_nan_never_agrees(tmp_path):
    path = tmp_path / "n.txt"
    path.write_text("1\n" + "nan " * FACE)
    status, lines = compare(path, path)
    assert status == 1 and "differs" in lines[0] and "nan" in lines[-1]


@pytest.mark.parametrize("words, same", [
    (["1e-50", "-1e-400", "0" * 5000, "0." + "0" * 5000 + "1", "+0", ".0", "0.", "1e-46"], "0.0000"),
    (["0.5", "+.5", "5e-1", "00.5", "0.5" + "0" * 9000, "500000E-6"], "0.5000"),
])
def test_any_form_of_a_number(words, same, tmp_path):
    (tmp_path / "b.txt").write_text(f"+000{len(words)}\n" + f"{same} " * FACE * len(words))
    (tmp_path / "a.txt").write_text(f"{len(words)}\n" + (" ".join(words) + "\t\f\v\r\n") * FACE)
    assert compare(tmp_path / "a.txt", tmp_path / "b.txt")[0] == 0


def test_counts_and_truncation(answer, tmp_path):
    values, path = answer
    fewer = put(tmp_path / "fewer.txt", values[:FACE])
    assert compare(fewer, path) == (1, [f"{fewer} holds 1 images, but {path} holds 2."])
    assert compare(path, fewer) == (1, [f"{path} holds 2 images, but {fewer} holds 1."])
    cut = put(tmp_path / "cut.txt", values[:-1], n=2)
    for pair in (cut, path), (path, cut):
        status, lines = compare(*pair)
        assert status == 1
        assert lines[0] == f"{cut} ends after 24575 values, but its 2 images have 24576."
        assert lines[1].startswith("24575 values compared, worst difference 0 ")
    none = put(tmp_path / "none.txt", [], n=2)
    assert compare(none, path)[1] == [f"{none} ends after 0 values, but its 2 images have 24576.", "0 values compared."]
    long = put(tmp_path / "long.txt", np.append(values, 0.0), n=2)
    status, lines = compare(long, path)
    assert status == 1 and lines[0].startswith(f"{long} holds more than 24576 values")


def test_a_difference_before_the_end(answer, tmp_path):
    """Both are told: the first value that differs, and that the file is not whole."""
    values, path = answer
    values[5] = 9
    cut = put(tmp_path / "cut.txt", values[:100], n=2)
    status, lines = compare(cut, path)
    assert status == 1 and lines[0] == "pixel (0, 1, 2) of 0th image differs." and "ends after 100 values" in lines[3]
    with open(cut, "a") as file:
        file.write("zebra")
    done = run("./compare_result", cut, path)
    assert done.returncode == 1 and done.stdout.startswith(b"pixel (0, 1, 2) of 0th image differs.\n")
    assert done.stderr.decode() == f"'{cut}', line 3, column 1: 'zebra' is no number.\n"


def test_empty_runs_agree(tmp_path):
    (tmp_path / "a.txt").write_text("0\n")
    np.save(tmp_path / "a.npy", np.empty((0, 64, 64, 3), np.float32))
    for other in "a.txt", "a.npy":
        assert compare(tmp_path / "a.txt", tmp_path / other)[0] == 0


@pytest.mark.parametrize("text, words", [
    ("", "is empty"), ("x\n", "'x' is no whole number"), ("-1\n", "'-1' is negative"), ("1.0\n", "'1.0' is no whole number"),
    ("2\n0.61 zebra", "line 2, column 6: 'zebra' is no number"), ("\ufeff1\n", r"'\xef\xbb\xbf1' is no whole number"),
    ("2\n0.5\x00 ", r"'0.5\x00' is no number"), ("2\n\x1b[31mred\x07 ", r"'\x1b[31mred\x07' is no number"),
    *[(f"2\n{word} ", f"'{word}' is no number") for word in ("+-0.5", "0x10", "1_000", "0,5", "1e")]])
def test_bad_files(text, words, answer, tmp_path):
    _, path = answer
    bad = tmp_path / "bad.txt"
    bad.write_text(text)
    for pair in (bad, path), (path, bad):
        assert f"'{bad}'" in refused(*pair) and words in refused(*pair)


# Counts for which N x 12,288 or N x 49,152 would wrap around, to 0 or to what is there.
@pytest.mark.parametrize("n", [2**31, 2**52, 2**60, 2**63 - 1, 2**63, 2**64, 10**40, (2**64 + FACE) // FACE])
def test_counts_that_cannot_be(n, tmp_path):
    path = tmp_path / "a.txt"
    for values in "", "0.5 " * FACE:
        path.write_text(f"{n}\n{values}")
        assert "too many" in refused(path, path)


def test_missing_file_and_usage(answer, tmp_path):
    _, path = answer
    missing = tmp_path / "no.txt"
    assert refused(missing, path) == refused(path, missing) == f"'{missing}' does not exist."
    assert refused(tmp_path, path) == f"'{tmp_path}' is a directory, not a file."
    assert "2 arguments" in run("./compare_result", path).stderr.decode()
    for arguments in [path], [path, path, path], ["--quick", path, path], ["-", "-"]:
        assert run("./compare_result", *arguments).returncode == 2
    done = ran("./compare_result", "--help")
    assert b"1e-3" in done.stdout and not done.stderr
    version = run("./compare_result", "--version").stdout.decode()
    assert version.split()[1] == run("./facegen_seq", "--version").stdout.decode().split()[1]


def test_names_cannot_act_on_a_terminal(answer, tmp_path):
    """Korean names stay readable; control bytes and what is no UTF-8 do not pass."""
    values, _ = answer
    korean = put(tmp_path / "\uc5bc\uad74.txt", values)
    assert compare(korean, korean)[1][0] == f"{korean} and {korean} are same."
    evil = put(tmp_path / os.fsdecode(b"\x1b[31m\xff.txt"), values)
    assert compare(evil, korean)[1][0] == rf"{tmp_path}/\x1b[31m\xff.txt and {korean} are same."
    assert refused(tmp_path / "\x1b]0;x\x07", korean) == rf"'{tmp_path}/\x1b]0;x\x07' does not exist."


@pytest.mark.parametrize("how", ["full", "closed"])
def test_output_that_cannot_be_written(how, answer):
    _, path = answer
    redirect = {"full": "> /dev/full", "closed": ">&-"}[how]
    for arguments in (path, path), ("--help",), ("--version",):
        done = run("sh", "-c", f'./compare_result "$@" {redirect}', "sh", *arguments)
        assert done.returncode == 3
        assert done.stderr.decode().startswith("compare_result: standard output cannot be written")


def test_npy_on_either_side(answer, tmp_path):
    values, path = answer
    faces = values.astype(np.float32).reshape(2, 64, 64, 3)
    same, other = tmp_path / "same.npy", tmp_path / "other.npy"
    np.save(same, faces)
    faces[1, 3, 4, 1] += 0.5
    np.save(other, faces)
    for pair in (same, path), (path, same), (same, same):
        assert compare(*pair)[0] == 0
    for pair in (other, path), (other, same):
        status, lines = compare(*pair)
        assert status == 1 and lines[0] == "pixel (3, 4, 1) of 1th image differs."
        assert lines[1:3] == [f"{pair[0]} : {faces[1, 3, 4, 1]:.6f}", f"{pair[1]} : {faces[1, 3, 4, 1] - 0.5:.6f}"]
    same.write_bytes(same.read_bytes()[:-2])
    assert compare(same, path)[1][0] == f"{same} ends after 24575 values, but its 2 images have 24576."
    same.write_bytes(other.read_bytes() + b"x")
    assert compare(same, other)[1][0].startswith(f"{same} holds more than 24576 values")
    np.save(other, faces[:1])
    assert compare(other, path) == (1, [f"{other} holds 1 images, but {path} holds 2."])
    for wrong in faces.astype(np.float64), faces[..., 0], faces.reshape(2, -1), np.asfortranarray(faces), faces[0]:
        np.save(other, wrong)
        assert f"'{other}' holds" in refused(other, path)


def test_pipes(answer):
    _, path = answer
    text = path.read_bytes()
    assert compare("-", path, input=text) == (0, [f"- and {path} are same.", *compare(path, path)[1][1:]])
    done = run("bash", "-c", f"./compare_result <(cat {path}) <(tail -c +2 {path})")
    assert done.returncode == 1


def test_many_blocks(tmp_path):
    """More than is parsed and compared at a time; the place of a difference and of a bad word near the end."""
    values = np.random.default_rng(6).uniform(-1, 1, 130 * FACE).astype(np.float32)
    np.save(tmp_path / "a.npy", values.reshape(-1, 64, 64, 3))
    text = "130\n" + " ".join(map("{:.4f}".format, values)) + "\n"
    (tmp_path / "b.txt").write_text(text)
    status, lines = compare(tmp_path / "b.txt", tmp_path / "a.npy")
    assert status == 0 and lines[1].startswith("1597440 values compared, worst difference 5.0")
    (tmp_path / "b.txt").write_text(text[:-3] + "x\n")
    assert "line 2, column" in refused(tmp_path / "b.txt", tmp_path / "a.npy")
    (tmp_path / "b.txt").write_text(text.rsplit(" ", 1)[0] + " 7\n")
    status, lines = compare(tmp_path / "b.txt", tmp_path / "a.npy")
    assert status == 1 and lines[0] == "pixel (63, 63, 2) of 129th image differs."


def test_progress_only_on_a_terminal(answer, tmp_path):
    """A line that is rewritten and taken away, where the answer comes slowly."""
    _, path = answer
    slow = ["bash", "-c", f"./compare_result {path} <(head -c 50000 {path}; sleep 0.3; tail -c +50001 {path})"]
    shown = on_a_terminal(slow)
    assert re.search(r"\r\x1b\[K\d+ of 2 faces", shown) and shown.endswith("\r\x1b[K"), shown
    assert run(*slow).stderr == b""
