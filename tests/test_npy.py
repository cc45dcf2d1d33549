"""What NumPy reads, we read: headers by the hundred, ours against numpy.load."""
import warnings

import numpy as np
import pytest
from conftest import NETWORK, run

ROW = 64 * 64 * 3
FACES = np.random.default_rng(7).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)


def npy(header, values, version=(1, 0)):
    header = header.encode("utf8" if version[0] == 3 else "latin1")
    return b"\x93NUMPY" + bytes(version) + len(header).to_bytes(2 if version[0] == 1 else 4, "little") + header + values


def numpy_load(path):
    """-> the array, None where numpy.load refuses the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            return np.load(path)
    except Exception:  # whatever a broken header makes Python and NumPy raise
        return None


def readable(array, row):
    """Whether it is float32 (N, *row), in C order or where the order makes no difference."""
    return (array is not None and array.dtype == np.float32 and array.dtype.isnative and array.shape[1:] == row
            and array.ndim == len(row) + 1 and array.flags.c_contiguous)


class Headers:
    """Random spellings of a header, right and wrong. Left out is what NumPy takes by accident: sizes below 0, types with
    a repeat count or spaces ("1f4", "f 4", "f4,")."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def pick(self, *choices):
        return choices[self.random.integers(len(choices))]

    def space(self):
        return self.pick("", "", " ", " ", "  ", "\t", "\n", "\r\n", "\f", " \\\n ", "# it's {a} 'comment\n")

    def string(self, text):
        prefix, quote = self.pick("", "", "", "u", "r", "U", "R"), self.pick("'", "'", '"', '"""', "'''")
        if text and self.random.random() < 0.2:
            at = self.random.integers(len(text))
            if self.random.random() < 0.5:
                return f"{prefix}{quote}{text[:at]}{quote}{self.space()}{self.string(text[at:])}"
            if prefix.lower() != "r":
                escape = self.pick("\\x%02x", "\\%03o", "\\%o", "\\u%04x", "\\U%08x")
                text = text[:at] + escape % ord(text[at]) + text[at + 1:]
        return prefix + quote + text + quote

    def integer(self, n):
        forms = ["%#x", "%#o", "(%d)", "+%d", "%dL", "%#xL", "0b{:b}", "{:_d}"]
        form = self.pick(*forms) if self.random.random() < 0.2 else "%d"
        return form.format(n) if "{" in form else form % n

    def shape(self, n):
        sides = [n, 64, 64, 3]
        if self.random.random() < 0.1:
            sides = self.pick([n, 64, 64], [n, 64, 64, 4], [n, ROW], [64, 64, 3], [n, 3, 64, 64], [n, 64, 64, 3, 1], [])
        sides = [self.integer(side) for side in sides]
        if sides and self.random.random() < 0.05:
            sides[self.random.integers(len(sides))] = self.pick(
                "True", "None", "64.0", "064", "0x", "6__4", "64_", "_64", "64l", "64LL", "'64'", "b'64'", "1e2", "--64", "",
                str(2**63 - 1), str(2**64), "6 4")
        inside = ",".join(self.space() + side + self.space() for side in sides)
        if len(sides) == 1 or self.random.random() < 0.3:
            inside += ","
        opened, closed = self.pick(*["()"] * 20, "[]", "{}")
        return opened + inside + closed

    def header(self, n):
        descr = self.string(self.pick("<f4", "<f4", "<f4", "<f4", "f4", "=f4", "|f4", "f", "<f", "float32", "single"))
        if self.random.random() < 0.1:
            descr = self.pick("'<f8'", "'>f4'", "'<i4'", "'f2'", "'|O'", "b'<f4'", "[('x', '<f4')]", "'<f4 '", "'Float32'", "None",
                              "4", "''", "'F'", "'<f4\\x00'", "'\\N{DIGIT FOUR}'", "f'<f4'")
        order = self.pick(*["False"] * 20, "(False)", "(False)", "True", "0", "None", "false")
        items = [("descr", descr), ("fortran_order", order), ("shape", self.shape(n))]
        self.random.shuffle(items)
        if self.random.random() < 0.1:
            items.insert(self.random.integers(4), self.pick(("extra", "1"), items[0], ("descr", "'<f4'"), ("shape", "(1,)")))
        if self.random.random() < 0.05:
            items.pop()
        text = "{" + ",".join(f"{self.space()}{self.string(key)}{self.space()}:{self.space()}{value}{self.space()}"
                              for key, value in items)
        text += self.pick("", ",", ", ") + "}"
        if self.random.random() < 0.1:
            text = f"({text})"
        if self.random.random() < 0.15:  # one character more, less or another, but none of those left out above
            at = self.random.integers(1, len(text))
            kept = self.random.integers(2)
            text = text[:at] + self.pick("", "'", '"', "(", ")", "{", "}", ":", ",", "#", "\\", "x", "\0") + text[at + kept:]
        return self.pick("", "", " ", "\n", "# c\n") + text + self.pick("", "\n", " " * 20 + "\n", " \t\f\r\n \n", " # end")


@pytest.mark.parametrize("seed", range(4))
def test_headers_as_numpy_load(seed, tmp_path):
    """Faces: what numpy.load gives in our shape, compare_result finds the same; what it refuses, so do we."""
    headers = Headers(seed)
    ours, theirs = tmp_path / "ours.npy", tmp_path / "theirs.npy"
    counts = {0: 0, 1: 0}
    for _ in range(200):
        n = int(headers.random.integers(3))
        header, version = headers.header(n), headers.pick(*[(1, 0)] * 10, *[(2, 0)] * 4, *[(3, 0)] * 4, (1, 1), (4, 0))
        ours.write_bytes(npy(header, FACES[:n].tobytes(), version))
        array = numpy_load(ours)
        good = readable(array, FACES.shape[1:])
        np.save(theirs, array if good else FACES[:n])
        done = run("./compare_result", ours, theirs)
        assert done.returncode == (0 if good else 1), (header, version, done)
        if not good:
            assert (done.stdout + done.stderr).decode()[:-1].replace("\n", "").isprintable()
        counts[done.returncode] += 1
    assert min(counts.values()) >= 50, counts


@pytest.mark.parametrize("good, header", [
    (True, '{"descr": "<f4", "fortran_order": False, "shape": (3, 100)}'),
    (True, "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 100L), }"),
    (True, "{'descr':\t'<f4',\t'fortran_order':\tFalse, 'shape':\t(3,\t100)}"),
    (True, "{'descr': 'f4', 'fortran_order': False, 'shape': (3, 100)}"),
    (True, "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 100)}"),
    (True, "{'descr': '<f4', 'fortran_order': True, 'shape': (0, 100)}"),
    (False, "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 100)}"),
    (False, "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 100)}"),
    (False, "{'descr': '>f4', 'fortran_order': False, 'shape': (3, 100)}"),
    (False, "{'descr': '<f4', 'fortran_order': False, 'shape': (100, 3)}"),
    (False, "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 100)}"),
    (False, "{'descr': [('noise', '<f4', (100,))], 'fortran_order': False, 'shape': (3,)}"),
])
def test_noise_as_numpy_load(good, header, tmp_path):
    """The same faces as of the array that numpy.load gives, written by numpy.save."""
    values = FACES.reshape(-1)[:300]
    ours, theirs = tmp_path / "ours.npy", tmp_path / "theirs.npy"
    ours.write_bytes(npy(header, values.tobytes()))
    array = numpy_load(ours)
    assert readable(array, (100,)) == good
    done = run("./facegen_seq", NETWORK, ours, tmp_path / "ours.txt", "none")
    assert done.returncode == (0 if good else 1), done.stderr
    if good:
        np.save(theirs, array)
        assert run("./facegen_seq", NETWORK, theirs, tmp_path / "theirs.txt", "none").returncode == 0
        assert (tmp_path / "ours.txt").read_bytes() == (tmp_path / "theirs.txt").read_bytes()
    else:
        assert f"'{ours}'" in done.stderr.decode()
