"""What docs/contract.md says about the programs, line by line, and everything that can be wrong with their input."""
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile

import numpy as np
import pytest
import reference
from conftest import NETWORK, ROOT, needs_answers, read_faces, run, write_noise

PROGRAMS = ["facegen_seq", "facegen_parallel"]
NETWORK_BYTES = 20549132

LINES = """Reading '{network}'... done!
Reading '{noise}'... done!
Initializing... done!
Calculating... done!
Elapsed time : T sec
Writing '{data}'... done!
Writing '{image}'... done!
Finalizing... done!
"""


@pytest.fixture(params=PROGRAMS)
def program(request):
    return f"./{request.param}"


@pytest.fixture
def small(noise, tmp_path):
    """A noise file of two faces."""
    return write_noise(tmp_path / "two.txt", noise(2))


def generate(program, *arguments, **options):
    """Runs a program on the CPU, whatever GPUs there are."""
    devices = ["--devices", "none"] if program.endswith("parallel") else []
    return run(program, *devices, *arguments, **options)


def sentence(done, program):
    """The one sentence on stderr."""
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(program[2:] + ": ")
    return lines[0]


def refused(done, program, status, *words):
    """It failed with this status and one sentence that holds these words."""
    assert done.returncode == status, (done.returncode, done.stderr)
    text = sentence(done, program)
    for word in words:
        assert str(word) in text, (word, text)


def nothing_left(folder, *expected):
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)


# ---- stdout, files


def test_stdout_lines(program, small, tmp_path):
    names = dict(network="network.bin", noise=small, data=tmp_path / "o.txt", image=tmp_path / "o.bmp")
    done = generate(program, *names.values())
    assert done.returncode == 0 and done.stderr == b""
    out = done.stdout.decode()
    assert re.search(r"^Elapsed time : \d+\.\d{6} sec$", out, re.M)
    assert re.sub(r" : \d+\.\d{6} ", " : T ", out) == LINES.format(**names)


def test_text_output_is_what_printf_gives(program, small, tmp_path):
    generate(program, NETWORK, small, tmp_path / "o.txt", tmp_path / "o.bmp")
    text = (tmp_path / "o.txt").read_bytes()
    values = read_faces(tmp_path / "o.txt")
    expected = b"2\n" + b"".join(
        b"".join(b"%.4f " % value for value in face.reshape(-1)) + b"\n" for face in values)
    assert text.replace(b"-0.0000", b"0.0000") == expected.replace(b"-0.0000", b"0.0000")
    assert all(len(line.split()) == 12288 for line in text.splitlines()[1:])


@pytest.mark.parametrize("n", [0, 1, 2, 4, 5])
def test_picture(program, n, noise, tmp_path):
    """Header, place of every face, channel order, black cells: rebuilt here from the numbers."""
    np.save(tmp_path / "n.npy", noise(n))
    done = generate(program, NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", tmp_path / "o.bmp")
    assert done.returncode == 0, done.stderr
    faces = np.load(tmp_path / "o.npy")
    side = int(np.ceil(np.sqrt(n)))
    sheet = np.zeros((64 * side, 64 * side, 3), np.uint8)
    for i, face in enumerate(faces):
        r, c = divmod(i, side)
        one = np.float32(1)
        sheet[64 * r:64 * r + 64, 64 * c:64 * c + 64] = ((face + one) / np.float32(2) * np.float32(255)).astype(np.int32)
    pixels = sheet[::-1, :, ::-1].tobytes()  # bottom-up, blue first
    header = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, 64 * side, 64 * side, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    assert (tmp_path / "o.bmp").read_bytes() == header + pixels


def test_noise_in_any_legal_form(program, noise, tmp_path):
    """Exponents, plus signs, tabs, newlines anywhere, CRLF: the same faces."""
    values = noise(1)[0]
    plain = write_noise(tmp_path / "plain.txt", values[None])
    words = [("%+.9e" if i % 2 else "%.9g") % value for i, value in enumerate(values)]
    odd = tmp_path / "odd.txt"
    odd.write_bytes(("\r\n\t 1 " + "\r\n".join(" \t".join(words[i:i + 7]) for i in range(0, 100, 7))).encode())
    for name in ("plain", "odd"):
        done = generate(program, NETWORK, tmp_path / f"{name}.txt", tmp_path / f"{name}.out", "none")
        assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert plain != odd and (tmp_path / "plain.out").read_bytes() == (tmp_path / "odd.out").read_bytes()


def test_kinds_by_ending_and_dashes(program, noise, tmp_path):
    inputs = noise(3)
    np.save(tmp_path / "n.npy", inputs)
    text = write_noise(tmp_path / "n.txt", inputs)
    done = generate(program, NETWORK, text, tmp_path / "o.txt", "none")
    assert b"Writing 'none'" not in done.stdout
    piped = generate(program, NETWORK, "-", "-", "none", input=text.read_bytes())
    assert piped.returncode == 0
    assert piped.stdout == (tmp_path / "o.txt").read_bytes()  # the lines went to stderr
    assert b"Finalizing... done!" in piped.stderr
    done = generate(program, NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", "none")
    assert done.returncode == 0
    assert np.max(np.abs(np.load(tmp_path / "o.npy") - read_faces(tmp_path / "o.txt"))) <= 5.1e-5


def test_options_anywhere(program, small, tmp_path):
    for arguments in (["-q", NETWORK, small, tmp_path / "a", tmp_path / "b"],
                      [NETWORK, "--threads", "1", small, tmp_path / "a", "--quiet", tmp_path / "b"],
                      [NETWORK, small, tmp_path / "a", tmp_path / "b", "-t2", "--batch=1"]):
        assert generate(program, *arguments).returncode == 0


def test_help_and_version(program):
    for option in ("-h", "--help"):
        done = run(program, option)
        assert done.returncode == 0 and done.stderr == b""
        for word in (b"--devices", b"--batch", b"Example", b"Exit status", b"network.bin inputs/input1.txt"):
            assert word in done.stdout
    for option in ("-V", "--version"):
        done = run(program, option)
        assert done.returncode == 0 and re.match(rb"facegen_\w+ \d+\.\d+\.\d+ \(.+\)\n$", done.stdout)


def test_help_names_every_variable(program):
    sources = run("git", "grep", "-hoE", r'getenv\("(FACEGEN_[A-Z]+|TMPDIR)"', "--", "*.cpp", "*.h", "*.cu", "*.cuh", ":!tests").stdout
    variables = set(re.findall(rb'"([A-Z_]+)"', sources)) or {b"TMPDIR"}  # without git: the one that is sure
    text = run(program, "--help").stdout
    assert [name for name in sorted(variables) if name not in text] == []


def test_the_example_of_help_works(program, tmp_path):
    text = run(program, "--help").stdout.decode()
    words = re.search(r"^  (facegen_\w+ network\.bin.*)$", text, re.M).group(1).split()
    done = run("./" + words[0], ROOT / words[1], ROOT / words[2], *words[3:], cwd=tmp_path, executable=ROOT / words[0])
    assert done.returncode == 0 and (tmp_path / words[3]).exists() and (tmp_path / words[4]).exists()


# ---- Wrong usage


@pytest.mark.parametrize("arguments, word", [
    ([], "expected 4 arguments"), (["a", "b", "c"], "found 3"), (["a", "b", "c", "d", "e"], "found 5"),
    (["--what", "a", "b", "c", "d"], "--what"), (["-t", "0", "a", "b", "c", "d"], "--threads"),
    (["-t", "two", "a", "b", "c", "d"], "'two'"), (["-b", "-1", "a", "b", "c", "d"], "--batch"),
    (["-b", "9999999999999999999999", "a", "b", "c", "d"], "--batch"), (["-d", "0,,1", "a", "b", "c", "d"], "--devices"),
    (["-d", "", "a", "b", "c", "d"], "--devices"), (["a", "b", "c", "d", "-t"], "needs a value"),
])
def test_wrong_usage(program, arguments, word):
    refused(run(program, *arguments), program, 2, word, "--help")


# ---- Bad input. Each is refused with one sentence that names the file, before anything is written.


def test_network_missing(program, small, tmp_path):
    done = generate(program, tmp_path / "no.bin", small, tmp_path / "o.txt", tmp_path / "o.bmp")
    refused(done, program, 1, tmp_path / "no.bin", "exist")
    nothing_left(tmp_path, "two.txt")


def test_network_is_a_directory(program, small, tmp_path):
    refused(generate(program, tmp_path, small, "none", "none"), program, 1, tmp_path, "directory")


@pytest.mark.parametrize("which", ["network", "noise"])
def test_unreadable(program, which, noise):
    """As a user who may not read the file; root reads everything, so root becomes nobody for this."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        shutil.copy(ROOT / program, folder)
        shutil.copy(NETWORK, folder / "network.bin")
        write_noise(folder / "noise.txt", noise(1))
        unreadable = folder / {"network": "network.bin", "noise": "noise.txt"}[which]
        unreadable.chmod(0)
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        done = run(program, "network.bin", "noise.txt", "none", "none", cwd=folder, env={**os.environ, "HOME": name}, **user)
        refused(done, program, 1, unreadable.name, "ermission")


@pytest.mark.parametrize("size", [0, 1, NETWORK_BYTES - 4, NETWORK_BYTES + 1])
def test_network_of_a_wrong_size(program, size, small, tmp_path):
    path = tmp_path / "n.bin"
    path.write_bytes(bytes(size))
    done = generate(program, path, small, tmp_path / "o.txt", tmp_path / "o.bmp")
    text = sentence(done, program).replace(",", "")
    assert done.returncode == 1 and str(path) in text
    assert str(NETWORK_BYTES) in text or size == 0
    assert str(size) in text or (size == 0 and "empty" in text)
    nothing_left(tmp_path, "n.bin", "two.txt")


@pytest.mark.parametrize("value, at, parameter", [
    (np.nan, 0, "proj"), (np.inf, 827392, "beta"), (-np.inf, 829440 + 3276800, "tconv1"), (np.nan, 5137282, "tconv4")])
def test_network_not_finite(program, value, at, parameter, small, tmp_path):
    network = reference.shipped()
    network[at] = value
    network.tofile(tmp_path / "n.bin")
    refused(generate(program, tmp_path / "n.bin", small, "none", "none"), program, 1, "n.bin", parameter, f"{at:,}")


def noise_refused(program, tmp_path, text, *words, status=1):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    done = generate(program, NETWORK, path, tmp_path / "o.txt", tmp_path / "o.bmp")
    refused(done, program, status, path, *words)
    nothing_left(tmp_path, "bad.txt")


@pytest.mark.parametrize("text, word", [("", "empty"), (" \n", ""), ("-3\n", "-3"), ("ten\n", "ten"), ("1.5\n", "1.5"),
                                        ("nan\n", "nan"), ("99999999999999999999\n", "99999999999999999999"),
                                        ("2000000000\n0 0\n", "")])
def test_number_of_faces(program, text, word, tmp_path):
    noise_refused(program, tmp_path, text, word)


@pytest.mark.parametrize("word", ["x", "0.5x", "nan", "inf", "-inf", "1e99", "0,5", "--1", "+-1", "0x1p3"])
def test_noise_value_that_is_no_finite_number(program, word, tmp_path):
    values = ["0.25"] * 200
    values[150] = word
    text = "2\n" + " ".join(values[:100]) + "\n" + " ".join(values[100:]) + "\n"
    noise_refused(program, tmp_path, text, "line 3", f"column {50 * 5 + 1}", word)


def test_noise_too_short(program, tmp_path):
    noise_refused(program, tmp_path, "2\n" + "0.5 " * 199, "200", "199")


def test_noise_too_long_is_a_warning(program, noise, tmp_path):
    path = write_noise(tmp_path / "n.txt", noise(1))
    generate(program, NETWORK, path, tmp_path / "exact.txt", "none")
    path.write_text(path.read_text() + "0.5\n")
    done = generate(program, NETWORK, path, tmp_path / "more.txt", "none")
    assert done.returncode == 0
    assert "warning" in sentence(done, program) and str(path) in sentence(done, program)
    assert (tmp_path / "exact.txt").read_bytes() == (tmp_path / "more.txt").read_bytes()


def test_noise_missing_or_directory(program, tmp_path):
    refused(generate(program, NETWORK, tmp_path / "no.txt", "none", "none"), program, 1, "no.txt", "exist")
    refused(generate(program, NETWORK, tmp_path, "none", "none"), program, 1, tmp_path, "directory")


def test_npy_of_another_shape_or_type(program, tmp_path):
    for array in (np.zeros((2, 99), np.float32), np.zeros((2, 100), np.float64), np.zeros(100, np.float32),
                  np.zeros((100, 2), np.float32).T):
        np.save(tmp_path / "n.npy", array)
        refused(generate(program, NETWORK, tmp_path / "n.npy", "none", "none"), program, 1, "n.npy")


# ---- What a terminal is sent


def test_names_cannot_act_on_a_terminal(program, noise, tmp_path):
    """Control bytes and what is no UTF-8 are escaped; Korean names stay readable."""
    small = write_noise(tmp_path / os.fsdecode(b"\x1b[31m\xff.txt"), noise(2))
    with open(small, "a") as file:
        file.write("1 ")  # surplus: a warning
    korean = tmp_path / "얼굴.txt"
    done = generate(program, NETWORK, small, korean, "none")
    assert done.returncode == 0
    out, err = done.stdout.decode(), done.stderr.decode()
    assert f"Writing '{korean}'... done!" in out
    assert rf"Reading '{tmp_path}/\x1b[31m\xff.txt'... done!" in out
    assert rf"warning: '{tmp_path}/\x1b[31m\xff.txt' holds more numbers" in err
    done = generate(program, small, korean, "none", "none")
    refused(done, program, 1, rf"'{tmp_path}/\x1b[31m\xff.txt' has ")


def test_variables_cannot_act_on_a_terminal(small):
    environment = {**os.environ, "FACEGEN_CPU": "\x1b[31m"}
    done = generate("./facegen_parallel", NETWORK, small, "none", "none", env=environment)
    refused(done, "./facegen_parallel", 2, r"FACEGEN_CPU='\x1b[31m'")


def test_the_programs_own_name_cannot_act_on_a_terminal(program, tmp_path):
    (tmp_path / "\x1b[31m").symlink_to(ROOT / program)
    for words in (["--help"], ["absent", "absent", "none", "none"], ["--none"]):
        done = run(tmp_path / "\x1b[31m", *words)
        assert b"\x1b" not in done.stdout + done.stderr and rb"\x1b[31m" in done.stdout + done.stderr


def test_the_number_of_a_gpu_does_not_wrap(small):
    for gpu in ("99", "2147483648", "4294967296", "18446744073709551616"):  # the last three: 0 in 32 bits, or below
        refused(generate("./facegen_parallel", NETWORK, small, "none", "none", "--devices", gpu), "./facegen_parallel", 2,
                f"--devices names GPU {gpu}, but")


# ---- Places that cannot be written


@pytest.mark.parametrize("which", ["data", "image"])
def test_output_that_cannot_be_created(program, which, small, tmp_path):
    path = tmp_path / "no" / "o"
    outputs = [path, "none"] if which == "data" else ["none", path]
    refused(generate(program, NETWORK, small, *outputs), program, 2, path)


@pytest.mark.parametrize("which", ["data", "image"])
def test_full_disk(program, which, small, tmp_path):
    outputs = ["/dev/full", tmp_path / "o.bmp"] if which == "data" else [tmp_path / "o.txt", "/dev/full"]
    done = generate(program, NETWORK, small, *outputs)
    refused(done, program, 3, "/dev/full", "No space left")
    nothing_left(tmp_path, "two.txt")


def test_full_disk_of_a_real_file_system(program, noise, tmp_path):
    """A file system of 1 MiB: the numbers do not fit, and nothing is left on it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        path = write_noise(tmp_path / "n.txt", noise(20))
        done = generate(program, NETWORK, path, disk / "o.txt", "none")
        refused(done, program, 3, disk / "o.txt", "No space left")
        nothing_left(disk)
    finally:
        run("umount", disk)


def test_broken_pipe(program, noise, tmp_path):
    path = write_noise(tmp_path / "n.txt", noise(20))
    done = run("bash", "-c", f"{program} network.bin {path} - none | head -c 1000 > /dev/null; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 3
    assert b"Broken pipe" in done.stderr


def test_existing_outputs_survive_a_failure(program, tmp_path):
    (tmp_path / "o.txt").write_text("precious")
    (tmp_path / "bad.txt").write_text("1\n0.5")
    generate(program, NETWORK, tmp_path / "bad.txt", tmp_path / "o.txt", "none")
    assert (tmp_path / "o.txt").read_text() == "precious"


@needs_answers
def test_shipped_answers(tmp_path):
    """answers/ are what the programs here give for inputs/: the sequential one to the last byte."""
    done = generate("./facegen_seq", NETWORK, "inputs/input1.txt", tmp_path / "1.txt", tmp_path / "1.bmp")
    assert done.returncode == 0
    assert (tmp_path / "1.txt").read_bytes() == (ROOT / "answers/answer1.txt").read_bytes()
    assert (tmp_path / "1.bmp").read_bytes() == (ROOT / "answers/answer1.bmp").read_bytes()
    done = generate("./facegen_parallel", NETWORK, "inputs/input2.txt", tmp_path / "2.txt", "none")
    assert done.returncode == 0
    done = run("./compare_result", tmp_path / "2.txt", "answers/answer2.txt")
    assert done.returncode == 0, done.stdout


# ---- A bad --json


def test_json_that_cannot_be_written(program, small):
    refused(generate(program, "--json", "/no/such/folder/p.json", NETWORK, small, "none", "none"), program, 2,
            "/no/such/folder/p.json")


# ---- Batches


def test_memory_does_not_grow_with_n(noise, tmp_path):
    """Ten times the faces, the same memory: 200,000 faces would need 10 GB at once. The unit only copies, so that the
    driver is what is measured."""
    (tmp_path / "unit.cpp").write_text("""
        #include "facegen.h"
        extern "C" int facegen_batch_faces(void) { return 1 << 30; }
        extern "C" void facegen_init() {}
        extern "C" void facegen_fin() {}
        extern "C" void facegen(int n, float*, float* in, float* out) {
          for (long i = 0; i < n * 12288L; ++i) out[i] = in[i / 12288 * 100 + i % 100];
        }""")
    assert run("make", "custom", f"SRC={tmp_path / 'unit.cpp'}").returncode == 0
    peaks = []
    for n in (2000, 20000):
        np.save(tmp_path / "n.npy", np.tile(noise(1000), (n // 1000, 1)))
        process = subprocess.Popen([ROOT / "facegen_custom", "-b", "1000", NETWORK, tmp_path / "n.npy", "/dev/null", "none"],
                                   cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        assert status == 0
        peaks.append(usage.ru_maxrss / 1024)
    assert peaks[1] < peaks[0] + 64, peaks  # MiB


def test_memory_of_the_cpu_does_not_grow_with_n(noise, tmp_path):
    """The same with faces that are computed: 50 MiB of them more, in batches of 64."""
    peaks = []
    for n in (128, 1152):
        np.save(tmp_path / "n.npy", noise(n))
        process = subprocess.Popen([ROOT / "facegen_parallel", "--devices", "none", "-t", "2", "-b", "64", NETWORK,
                                    tmp_path / "n.npy", "none", "none"], cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        assert status == 0
        peaks.append(usage.ru_maxrss / 1024)
    assert peaks[1] < peaks[0] + 8, peaks  # MiB
