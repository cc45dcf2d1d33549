"""What docs/contract.md says about the programs, line by line, and what they say of wrong usage and bad input. What can be
wrong with each kind of file is in test_io_readers.cpp."""
import os
import re
import struct
import subprocess

import numpy as np
import pytest
import reference
from conftest import (NETWORK, ROOT, generate, names, needs_answers, ran, read_faces, refused, run, sentence, on_cpu,
                      write_noise)

LINES = """Reading '{network}'... done!
Reading '{noise}'... done!
Initializing... done!
Calculating... done!
Elapsed time : T sec
Writing '{data}'... done!
Writing '{image}'... done!
Finalizing... done!
"""


# ---- Lines and files


def test_lines_and_text_as_the_courses(program, small, tmp_path):
    files = dict(network="network.bin", noise=small, data=tmp_path / "o.txt", image=tmp_path / "o.bmp")
    done = ran(*on_cpu(program, *files.values()))
    out = done.stdout.decode()
    assert done.stderr == b"" and re.search(r"^Elapsed time : \d+\.\d{6} sec$", out, re.M)
    assert re.sub(r" : \d+\.\d{6} ", " : T ", out) == LINES.format(**files)
    text = (tmp_path / "o.txt").read_bytes()
    expected = b"2\n" + b"".join(b"".join(b"%.4f " % value for value in face.reshape(-1)) + b"\n"
                                 for face in read_faces(tmp_path / "o.txt"))
    assert text.replace(b"-0.0000", b"0.0000") == expected.replace(b"-0.0000", b"0.0000")
    assert all(len(line.split()) == 12288 for line in text.splitlines()[1:])


@pytest.mark.parametrize("n", [0, 1, 2, 4, 5])
def test_picture(program, n, noise, tmp_path):
    """Header, place of every face, channel order, black cells: rebuilt here from the numbers."""
    np.save(tmp_path / "n.npy", noise(n))
    ran(*on_cpu(program, NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", tmp_path / "o.bmp"))
    side, one = int(np.ceil(np.sqrt(n))), np.float32(1)
    sheet = np.zeros((64 * side, 64 * side, 3), np.uint8)
    for i, face in enumerate(np.load(tmp_path / "o.npy")):
        r, c = divmod(i, side)
        sheet[64 * r:64 * r + 64, 64 * c:64 * c + 64] = ((face + one) / np.float32(2) * np.float32(255)).astype(np.int32)
    pixels = sheet[::-1, :, ::-1].tobytes()  # bottom-up, blue first
    header = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, 64 * side, 64 * side, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    assert (tmp_path / "o.bmp").read_bytes() == header + pixels


def test_noise_in_any_legal_form(program, noise, tmp_path):
    """Exponents, plus signs, tabs, newlines anywhere, CRLF: the same faces."""
    values = noise(1)[0]
    write_noise(tmp_path / "plain.txt", values[None])
    words = [("%+.9e" if i % 2 else "%.9g") % value for i, value in enumerate(values)]
    (tmp_path / "odd.txt").write_bytes(
        ("\r\n\t 1 " + "\r\n".join(" \t".join(words[i:i + 7]) for i in range(0, 100, 7))).encode())
    for name in ("plain", "odd"):
        assert ran(*on_cpu(program, NETWORK, tmp_path / f"{name}.txt", tmp_path / f"{name}.out", "none")).stderr == b""
    assert (tmp_path / "plain.out").read_bytes() == (tmp_path / "odd.out").read_bytes()


def test_kinds_by_ending_and_dashes(program, noise, tmp_path):
    inputs = noise(3)
    np.save(tmp_path / "n.npy", inputs)
    text = write_noise(tmp_path / "n.txt", inputs)
    assert b"Writing 'none'" not in ran(*on_cpu(program, NETWORK, text, tmp_path / "o.txt", "none")).stdout
    piped = ran(*on_cpu(program, NETWORK, "-", "-", "none"), input=text.read_bytes())
    assert piped.stdout == (tmp_path / "o.txt").read_bytes()  # the lines went to stderr
    assert b"Finalizing... done!" in piped.stderr
    ran(*on_cpu(program, NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", "none"))
    assert np.max(np.abs(np.load(tmp_path / "o.npy") - read_faces(tmp_path / "o.txt"))) <= 5.1e-5


@needs_answers
def test_shipped_answers(tmp_path):
    """answers/ are what the programs here give for inputs/: the sequential one to the last byte."""
    ran("./facegen_seq", NETWORK, "inputs/input1.txt", tmp_path / "1.txt", tmp_path / "1.bmp")
    for ending in ("txt", "bmp"):
        assert (tmp_path / f"1.{ending}").read_bytes() == (ROOT / f"answers/answer1.{ending}").read_bytes()
    ran(*on_cpu("./facegen_parallel", NETWORK, "inputs/input2.txt", tmp_path / "2.txt", "none"))
    ran("./compare_result", tmp_path / "2.txt", "answers/answer2.txt")


# ---- Usage


def test_options_anywhere(program, small, tmp_path):
    for arguments in (["-q", NETWORK, small, tmp_path / "a", tmp_path / "b"],
                      [NETWORK, "--threads", "1", small, tmp_path / "a", "--quiet", tmp_path / "b"],
                      [NETWORK, small, tmp_path / "a", tmp_path / "b", "-t2", "--batch=1"]):
        ran(*on_cpu(program, *arguments))


def test_help_and_version(program, tmp_path):
    for option in ("-V", "--version"):
        assert re.match(rb"facegen_\w+ \d+\.\d+\.\d+ \(.+\)\n$", ran(program, option).stdout)
    text = ran(program, "-h").stdout.decode()
    assert ran(program, "--help").stdout.decode() == text
    for word in ("--devices", "--batch", "Example", "Exit status", "network.bin inputs/input1.txt"):
        assert word in text
    sources = run("git", "grep", "-hoE", r'getenv\("(FACEGEN_[A-Z]+|TMPDIR)"', "--", "*.cpp", "*.h", "*.cu", "*.cuh", ":!tests").stdout
    variables = set(re.findall('"([A-Z_]+)"', sources.decode())) or {"TMPDIR"}  # without git: the one that is sure
    assert [name for name in sorted(variables) if name not in text] == []
    words = re.search(r"^  (facegen_\w+ network\.bin.*)$", text, re.M).group(1).split()
    ran("./" + words[0], ROOT / words[1], ROOT / words[2], *words[3:], cwd=tmp_path, executable=ROOT / words[0])
    assert {words[3], words[4]} <= set(names(tmp_path))


@pytest.mark.parametrize("arguments, word", [
    ("", "expected 4 arguments"), ("a b c", "found 3"), ("a b c d e", "found 5"), ("--what a b c d", "--what"),
    ("-t 0 a b c d", "--threads"), ("-t two a b c d", "'two'"), ("-b -1 a b c d", "--batch"),
    ("-b 9999999999999999999999 a b c d", "--batch"), ("-d 0,,1 a b c d", "--devices"), ("-d= a b c d", "--devices"),
    ("--devices= a b c d", "--devices"), ("a b c d -t", "needs a value")])
def test_wrong_usage(program, arguments, word):
    refused(run(program, *arguments.split()), program, 2, word, "--help")


# ---- Bad input is refused with one sentence that names the file, before anything is written


def broken_network(at, value):
    network = reference.shipped()
    network[at] = value
    return network.tobytes()


def noise_with(word):
    """Text of two faces with this word for the 51st number of the second."""
    values = ["0.25"] * 200
    values[150] = word
    return "2\n" + " ".join(values[:100]) + "\n" + " ".join(values[100:]) + "\n"


NPY = [(np.zeros((2, 99), np.float32), "(2, 99)"), (np.zeros((2, 100), np.float64), "<f8")]


@pytest.mark.parametrize("name, content, words", [
    ("network.bin", None, ["does not exist"]), ("noise.txt", None, ["does not exist"]),
    ("network.bin", b"", ["empty"]), ("network.bin", bytes(20549128), ["20,549,128", "20,549,132"]),
    ("network.bin", (827392, np.inf), ["beta", "827,392"]), ("network.bin", (5137282, np.nan), ["tconv4", "5,137,282"]),
    ("noise.txt", "", ["empty"]), ("noise.txt", "-3\n", ["-3"]), ("noise.txt", "2000000000\n0 0\n", ["ends early"]),
    ("noise.txt", "2\n" + "0.5 " * 199, ["200", "199"]),
    *[("noise.txt", noise_with(word), ["line 3", f"column {50 * 5 + 1}", word]) for word in ("0.5x", "nan", "-inf", "1e99")],
    *[("noise.npy", array, [word]) for array, word in NPY]], ids=lambda value: repr(value)[:20])
def test_bad_input(program, name, content, words, noise, tmp_path):
    files = {"network.bin": NETWORK, name: tmp_path / name}
    if isinstance(content, tuple):
        content = broken_network(*content)
    if isinstance(content, np.ndarray):
        np.save(tmp_path / name, content)
    elif content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    if name == "network.bin":
        files["noise"] = write_noise(tmp_path / "noise", noise(1))
    (tmp_path / "o.txt").write_text("precious")
    before = names(tmp_path)
    done = generate(program, *files.values(), tmp_path / "o.txt", tmp_path / "o.bmp")
    refused(done, program, 1, tmp_path / name, *words)
    assert names(tmp_path) == before and (tmp_path / "o.txt").read_text() == "precious"


@pytest.mark.parametrize("name", ["network.bin", "noise.txt"])
def test_what_may_not_be_read(program, name, nobody):
    folder, options = nobody
    (folder / name).chmod(0)
    refused(run(program, "network.bin", "noise.txt", "none", "none", **options), program, 1, name, "ermission")


def test_noise_too_long_is_a_warning(program, noise, tmp_path):
    path = write_noise(tmp_path / "n.txt", noise(1))
    ran(*on_cpu(program, NETWORK, path, tmp_path / "exact.txt", "none"))
    path.write_text(path.read_text() + "0.5\n")
    done = ran(*on_cpu(program, NETWORK, path, tmp_path / "more.txt", "none"))
    assert "warning" in sentence(done, program) and str(path) in sentence(done, program)
    assert (tmp_path / "exact.txt").read_bytes() == (tmp_path / "more.txt").read_bytes()


def test_names_cannot_act_on_a_terminal(program, noise, tmp_path):
    """Control bytes and what is no UTF-8 are escaped; Korean names stay readable."""
    evil = write_noise(tmp_path / os.fsdecode(b"\x1b[31m\xff.txt"), noise(2))
    with open(evil, "a") as file:
        file.write("1 ")  # surplus: a warning
    korean, shown = tmp_path / "얼굴.txt", rf"'{tmp_path}/\x1b[31m\xff.txt'"
    done = ran(*on_cpu(program, NETWORK, evil, korean, "none"))
    out = done.stdout.decode()
    assert f"Writing '{korean}'... done!" in out and f"Reading {shown}... done!" in out
    assert f"warning: {shown} holds more numbers" in done.stderr.decode()
    refused(generate(program, evil, korean, "none", "none"), program, 1, f"{shown} has ")


def test_the_programs_own_name_cannot_act_on_a_terminal(program, tmp_path):
    (tmp_path / "\x1b[31m").symlink_to(program)
    for words in (["--help"], ["absent", "absent", "none", "none"], ["--none"]):
        done = run(tmp_path / "\x1b[31m", *words)
        assert b"\x1b" not in done.stdout + done.stderr and rb"\x1b[31m" in done.stdout + done.stderr


def test_the_number_of_a_gpu_does_not_wrap(small):
    for gpu in ("99", "2147483648", "4294967296", "18446744073709551616"):  # the last three: 0 in 32 bits, or below
        refused(generate("./facegen_parallel", NETWORK, small, "none", "none", "--devices", gpu), "./facegen_parallel", 2,
                f"--devices names GPU {gpu}, but")


# ---- Memory


COPY = """
#include "facegen.h"
extern "C" int facegen_batch_faces(void) { return 1 << 30; }
extern "C" void facegen_init() {}
extern "C" void facegen_fin() {}
extern "C" void facegen(int n, float*, float* in, float* out) {
  for (long i = 0; i < n * 12288L; ++i) out[i] = in[i / 12288 * 100 + i % 100];
}"""


@pytest.mark.parametrize("unit, counts, options, more", [
    (COPY, (2000, 20000), ["-b", "1000"], 64),  # 200,000 faces would need 10 GB at once; the driver is what is measured
    (None, (128, 1152), ["-d", "none", "-t", "2", "-b", "64"], 8)],  # faces that are computed
    ids=["driver", "CPU"])
def test_memory_does_not_grow_with_n(unit, counts, options, more, noise, tmp_path):
    """About ten times the faces, the same memory but for `more` MiB."""
    program = ROOT / "facegen_parallel"
    if unit:
        (tmp_path / "unit.cpp").write_text(unit)
        program = tmp_path / "custom"
        ran("make", "custom", f"SRC={tmp_path / 'unit.cpp'}", f"CUSTOM={program}")
    peaks = []
    for n in counts:
        np.save(tmp_path / "n.npy", np.tile(noise(min(n, 1000)), (-(-n // 1000), 1))[:n])
        process = subprocess.Popen([program, *options, NETWORK, tmp_path / "n.npy", "/dev/null", "none"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        assert status == 0
        peaks.append(usage.ru_maxrss / 1024)
    assert peaks[1] < peaks[0] + more, peaks  # MiB
