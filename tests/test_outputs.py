"""What becomes of the outputs: nothing half-written is left by any end of a run, what cannot be written is known before
anything is computed, and what a terminal, a profile and JSON show meanwhile."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from conftest import (NETWORK, ROOT, generate, launcher, names, needs_mpi, on_a_terminal, on_cpu, preloaded, ran, refused, rows,
                      run, started, write_noise)

RANKS = [1, pytest.param(3, marks=needs_mpi)]


@pytest.fixture
def long_run(program, noise, tmp_path):
    """A command that computes for some seconds, and writes meanwhile; its outputs exist."""
    np.save(tmp_path / "n.npy", noise(2000))
    (tmp_path / "o.txt").write_text("before")
    (tmp_path / "o.bmp").write_text("before")
    batch = ["-b", "20"] if program.name.endswith("parallel") else []
    return on_cpu(program, *batch, NETWORK, tmp_path / "n.npy", tmp_path / "o.txt", tmp_path / "o.bmp")


def ends(process, status, folder):
    """It ends soon, with this status, and the outputs are as they were -> what it said."""
    _, errors = process.communicate(timeout=20)
    assert process.returncode == status
    assert names(folder) == ["n.npy", "o.bmp", "o.txt"]
    assert (folder / "o.txt").read_text() == (folder / "o.bmp").read_text() == "before"
    return errors


# ---- Ends before their time

ENDING = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "XCPU", "ALRM", "VTALRM", "PROF", "ABRT", "SEGV", "BUS", "RTMIN"]


@pytest.mark.parametrize("name", [*ENDING, "KILL"])
def test_a_signal_leaves_everything_as_it_was(name, program, long_run, tmp_path):
    if program.name == "facegen_seq" and name not in ("TERM", "USR1", "KILL"):
        pytest.skip("the driver is the same")
    process, number = started(long_run), signal.Signals["SIG" + name]
    time.sleep(0.1)
    process.send_signal(number)
    assert (b"stopped by a signal" in ends(process, -number, tmp_path)) == (name != "KILL")


def test_two_signals_at_once(long_run, tmp_path):
    process = started(long_run)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
    ends(process, -signal.SIGTERM, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_was_ignored_stays_ignored(program, number, noise, tmp_path):
    """As under nohup."""
    np.save(tmp_path / "n.npy", noise(10))
    process = started(on_cpu(program, NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", "none"),
                      preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 0 and np.load(tmp_path / "o.npy").shape == (10, 64, 64, 3)


@pytest.mark.skipif(run("unshare", "--pid", "--fork", "true").returncode != 0, reason="a PID namespace needs root")
def test_the_first_process_of_a_container_ends_too(long_run, tmp_path):
    process = started(["unshare", "--pid", "--fork", "--kill-child", *long_run])
    children = run("pgrep", "-P", process.pid).stdout.split()
    os.kill(int(children[0]), signal.SIGTERM)
    ends(process, 128 + signal.SIGTERM, tmp_path)


def build_unit(folder, body):
    """facegen_custom with this facegen()."""
    source = folder / "unit.cpp"
    source.write_text('#include <clocale>\n#include <cstdlib>\n#include <stdexcept>\n#include <string>\n#include <thread>\n#include "facegen.h"\n'
                      'extern "C" { void facegen_fin() {}\n' + body + "}")
    program = folder / "facegen_custom"
    ran("make", "custom", f"SRC={source}", f"CUSTOM={program}")
    return program


ENDS = {"exit": ("std::exit(1);", "given up"), "terminate": ("std::terminate();", "ended itself"), "throw": ("throw 5;", "no name"),
        "error": ('throw std::runtime_error("of the unit");', "of the unit"), "memory": ("throw std::bad_alloc();", "out of memory"),
        "thread": ('std::thread([] { throw std::runtime_error("of a thread"); }).join();', "of a thread")}


@pytest.fixture(scope="module")
def ending_unit(tmp_path_factory):
    """A unit that ends the program in the way that the variable END names."""
    body = "".join(f'if (end == "{name}") {{ {code} }} ' for name, (code, _) in ENDS.items())
    return build_unit(tmp_path_factory.mktemp("unit"), "void facegen_init() {} void facegen(int, float*, float*, float*) { "
                      'const std::string end = std::getenv("END"); ' + body + "}")


@pytest.mark.parametrize("end", ENDS)
def test_what_a_unit_can_do(end, ending_unit, small, tmp_path):
    """Whatever it is that gives up: status 3, a sentence, nothing left."""
    (tmp_path / "o.txt").write_text("before")
    before = names(tmp_path)
    done = run(ending_unit, NETWORK, small, tmp_path / "o.txt", tmp_path / "o.bmp", env={**os.environ, "END": end})
    refused(done, ending_unit, 3, ENDS[end][1])
    assert names(tmp_path) == before and (tmp_path / "o.txt").read_text() == "before"


def test_no_temporary_directory_of_open_mpi_stays(noise, tmp_path):
    np.save(tmp_path / "n.npy", noise(500))
    (tmp_path / "tmp").mkdir()
    process = started([ROOT / "facegen_parallel", "-d", "none", "-b", "8", NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", "none"],
                      env={**os.environ, "TMPDIR": str(tmp_path / "tmp")})
    process.kill()
    process.communicate()
    assert names(tmp_path / "tmp") == []


def test_a_run_that_fails_replaces_nothing(program, noise, tmp_path):
    """The picture's reader ends after the numbers are complete."""
    noise_file = write_noise(tmp_path / "n.txt", noise(20))
    (tmp_path / "o.txt").write_text("before")
    (tmp_path / "p.json").write_text("before")
    done = run("bash", "-c", '"$@" | head -c 100 > /dev/null; exit ${PIPESTATUS[0]}', "-",
               *on_cpu(program, "--json", tmp_path / "p.json", NETWORK, noise_file, tmp_path / "o.txt", "-"))
    assert done.returncode == 3 and b"Broken pipe" in done.stderr
    assert names(tmp_path) == ["n.txt", "o.txt", "p.json"]
    assert (tmp_path / "o.txt").read_text() == (tmp_path / "p.json").read_text() == "before"


@pytest.mark.parametrize("ranks", RANKS)
def test_a_run_that_has_failed_does_not_wait_for_its_input(ranks):
    """The output's disk is full, and whoever feeds the noise is silent."""
    command = [*launcher(ranks), ROOT / "facegen_parallel", "-d", "none", "-t", 1, "-b", 8, NETWORK, "-", "/dev/full", "none"]
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    process.stdin.write(b"400\n" + b"0.25 " * 3000)
    process.stdin.flush()  # and stays open
    assert process.wait(timeout=20) == 3 and b"No space left" in process.stderr.read()
    process.stdin.close()


def test_a_run_that_has_failed_does_not_wait_for_its_output(program, noise, tmp_path):
    """The pipe that takes the picture is full and nobody reads it; the numbers meet a full disk."""
    noise_file = write_noise(tmp_path / "n.txt", noise(40))
    os.mkfifo(tmp_path / "o.png")
    reader = os.open(tmp_path / "o.png", os.O_RDONLY | os.O_NONBLOCK)
    done = generate(program, NETWORK, noise_file, "/dev/full", tmp_path / "o.png", timeout=60)
    os.close(reader)
    refused(done, program, 3, "/dev/full", "No space left")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_full_disk_for_what_is_printed(program, option):
    with open("/dev/full", "w") as full:
        refused(run(program, option, capture_output=False, stdout=full, stderr=subprocess.PIPE), program, 3, "standard output")


@pytest.mark.parametrize("which", ["data", "image"])
def test_full_disk(program, which, noise, tmp_path):
    """Also a file system of 256 KiB, which they do not fit."""
    small = write_noise(tmp_path / "n.txt", noise(20))
    outputs = {"data": tmp_path / "o.txt", "image": tmp_path / "o.bmp"}
    done = generate(program, NETWORK, small, *{**outputs, which: "/dev/full"}.values())
    refused(done, program, 3, "/dev/full", "No space left")
    assert names(tmp_path) == ["n.txt"]
    disk = tmp_path / "disk"
    disk.mkdir()
    if run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        done = generate(program, NETWORK, small, *{"data": "none", "image": "none", which: disk / "o"}.values())
        refused(done, program, 3, disk / "o", "No space left")
        assert names(disk) == []
    finally:
        run("umount", disk)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_nothing_lands_in_an_output_where_a_stream_is_closed(program, closed, noise, tmp_path):
    noise_file = write_noise(tmp_path / "n.txt", noise(1))
    generate(program, NETWORK, noise_file, tmp_path / "expected.txt", "none")
    with open(noise_file, "a") as file:
        file.write("0.5\n")  # a number too many: a warning for standard error
    done = run("bash", "-c", f'"$@" {closed}', "-", *on_cpu(program, NETWORK, noise_file, tmp_path / "o.txt", "none"))
    assert done.returncode == (3 if "1>" in closed else 0)
    if done.returncode == 0:
        assert (tmp_path / "o.txt").read_bytes() == (tmp_path / "expected.txt").read_bytes()
    assert ("o.txt" in names(tmp_path)) == (done.returncode == 0)


def test_closed_standard_input_is_no_other_file(program):
    done = run("bash", "-c", '"$@" <&-', "-", *on_cpu(program, NETWORK, "-", "none", "none"))
    assert done.returncode in (1, 3) and b"standard input" in done.stderr


# ---- Known before anything is computed


def test_one_file_under_two_names(program, small, tmp_path):
    (tmp_path / "there").write_text("before")
    (tmp_path / "soft").symlink_to("there")
    os.link(tmp_path / "there", tmp_path / "hard")
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to("new")
    before = names(tmp_path)
    for first, second in [("there", "there"), ("there", "./there"), ("there", "soft"), ("there", "hard"), ("new", "new"),
                          ("new", "./new"), ("new", "folder/new"), ("new", "dangling"), ("dangling", tmp_path / "new")]:
        refused(generate(program, NETWORK, small, first, second, cwd=tmp_path), program, 2, "both go to", "--help")
        refused(generate(program, "--json", first, NETWORK, small, second, "none", cwd=tmp_path), program, 2, "both go to")
        refused(generate(program, "--json", first, NETWORK, small, "none", second, cwd=tmp_path), program, 2, "both go to")
    assert names(tmp_path) == before and (tmp_path / "there").read_text() == "before"


def test_an_output_in_place_of_an_input(program, small, tmp_path):
    shutil.copy(NETWORK, tmp_path / "n.bin")
    before = small.read_bytes()
    (tmp_path / "soft").symlink_to("two.txt")
    for data, image, json_file in [(small, "none", "j"), ("none", small, "j"), ("none", "none", small),
                                   (tmp_path / "soft", "none", "j"), (tmp_path / "n.bin", "none", "j")]:
        done = generate(program, "--json", json_file, tmp_path / "n.bin", small, data, image, cwd=tmp_path)
        refused(done, program, 2, "would replace")
    with open(small) as file:
        refused(generate(program, NETWORK, "-", small, "none", stdin=file), program, 2, "would replace the noise")
    assert small.read_bytes() == before


def test_an_output_that_standard_output_goes_to(program, small, tmp_path):
    with open(tmp_path / "o.txt", "w") as file:
        done = generate(program, NETWORK, small, tmp_path / "o.txt", "none", capture_output=False, stdout=file, stderr=subprocess.PIPE)
    refused(done, program, 2, "standard output", "both go to")
    for arguments in (["-", "-"], ["/dev/stdout", "-"]):
        refused(generate(program, NETWORK, small, *arguments), program, 2, "standard output")
    refused(generate(program, "--json", "-", NETWORK, small, "-", "none"), program, 2, "standard output")
    done = ran(*on_cpu(program, "--json", "-", NETWORK, small, "none", "none"))
    assert json.loads(done.stdout)["faces"] == 2  # the lines went to standard error
    ran(*on_cpu(program, NETWORK, small, "/dev/null", "/dev/null"))


@pytest.mark.parametrize("data, image, words", [
    *[("o" + ending, "none", [".npy", "text"]) for ending in (".npz", ".csv", ".tsv", ".json", ".pt", ".bmp", ".PNG", ".txt.gz")],
    *[("none", "o" + ending, [".bmp", ".png"]) for ending in (".jpg", ".jpeg", ".gif", ".tif", ".TIFF", ".webp", ".npy", ".csv")],
    ("", "none", ["empty name"]), ("none", "", ["empty name"]),
    ("x" * 256 + ".txt", "none", ["name too long"]), ("none", "x" * 256 + ".bmp", ["name too long"]),
    ("no/such.txt", "none", ["no/such.txt", "Create its folder"]), (".", "none", ["directory"]), ("none", "x/", ["'x/'"])])
def test_names_that_are_refused(program, data, image, words, small, tmp_path):
    done = generate(program, NETWORK, small, data, image, cwd=tmp_path)
    refused(done, program, 2, *words)
    assert b"Calculating" not in done.stdout and names(tmp_path) == ["two.txt"]


@pytest.mark.parametrize("name", ["", ".", "no/p.json", "x" * 256], ids=["empty", "folder", "absent", "long"])
def test_json_names_that_are_refused(program, name, small, tmp_path):
    done = generate(program, "--json", name, NETWORK, small, "o.txt", "none", cwd=tmp_path)
    refused(done, program, 2, "name" if name == "" else f"'{name}'")
    assert b"Reading" not in done.stdout and names(tmp_path) == ["two.txt"]


def test_a_folder_that_may_not_be_written(program, nobody):
    folder, options = nobody
    (folder / "mine").write_text("before")
    (folder / "mine").chmod(0o666)
    folder.chmod(0o555)
    command = on_cpu(folder / program.name, "network.bin", "noise.txt")
    refused(run(*command, "o.txt", "none", **options), program, 2, "'o.txt'", "ermission")
    # A file that is there may be written, though not replaced.
    done = ran(*command, "mine", "none", **options)
    assert b"warning" in done.stderr and b"written over" in done.stderr
    assert (folder / "mine").read_text().startswith("1\n") and len((folder / "mine").read_text().split()) == 12289


def test_a_link_that_the_kernel_does_not_follow(program, small, tmp_path):
    """fs.protected_symlinks: stat() fails though the file exists, and the link is not followed by hand."""
    library = preloaded(tmp_path, """
        #include <fcntl.h>
        #include <sys/stat.h>
        int stat(const char* path, struct stat* info) {
          int links = lstat(path, info) == 0 && S_ISLNK(info->st_mode);
          if (links) errno = EACCES;
          return links ? -1 : fstatat(AT_FDCWD, path, info, 0);
        }""")
    (tmp_path / "victim").write_text("before")
    (tmp_path / "o.txt").symlink_to("victim")
    done = generate(program, NETWORK, small, tmp_path / "o.txt", "none", env={**os.environ, "LD_PRELOAD": library})
    refused(done, program, 2, "o.txt", "ermission")
    assert (tmp_path / "victim").read_text() == "before"


# ---- Locales

LOCALE_UNIT = """void facegen_init() { if (!std::setlocale(LC_ALL, "")) std::exit(9); }
void facegen(int n, float*, float* in, float* out) { for (long i = 0; i < n * 12288L; ++i) out[i] = 3 * in[i / 12288 * 100]; }"""


@pytest.mark.skipif(not shutil.which("localedef"), reason="no localedef here")
def test_a_units_locale_changes_nothing(small, tmp_path):
    if run("localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8").returncode != 0:
        pytest.skip("no locale de_DE to make here")
    program = build_unit(tmp_path, LOCALE_UNIT)
    environment = {**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": "de_DE.UTF-8"}
    done = ran(program, "--profile", "--json", tmp_path / "p.json", NETWORK, small, tmp_path / "o.txt", "none", env=environment)
    assert re.search(rb"^Elapsed time : \d+\.\d{6} sec$", done.stdout, re.M)
    assert "," not in (tmp_path / "o.txt").read_text()
    assert json.loads((tmp_path / "p.json").read_text())["whole_run_s"] > 0
    assert not re.search(rb"\d,\d", done.stderr)


# ---- Progress and profile


def screen(shown):
    """The lines that a terminal shows in the end: of what it is sent, only \\r, \\n and "clear the line" move anything."""
    lines, column = [""], 0
    for piece in re.findall(r"\r|\n|\x1b\[K|[^\r\n\x1b]+", shown):
        if piece == "\n":
            lines.append("")
        elif piece == "\x1b[K":
            lines[-1] = lines[-1][:column]
        elif piece != "\r":
            lines[-1] = lines[-1][:column] + piece + lines[-1][column + len(piece):]
        column = 0 if piece == "\r" else column + len(piece) * (piece[0] not in "\n\x1b")
    return lines


@pytest.fixture
def some_seconds(program, noise, tmp_path):
    faces = 24 if program.name == "facegen_seq" else 1200
    np.save(tmp_path / "n.npy", noise(faces))
    return faces, on_cpu(program, NETWORK, tmp_path / "n.npy", "none", "none")


def test_progress_only_on_a_terminal(some_seconds):
    """On a terminal one line that is rewritten and taken away; with --quiet, or elsewhere, nothing."""
    faces, command = some_seconds
    shown = on_a_terminal(command)
    assert re.search(rf"\r\x1b\[K\d+ of {faces} faces, \d+ faces/s, \d+ s left", shown), shown
    assert screen(shown)[-1] == ""
    assert "faces/s" not in on_a_terminal([*command, "-q"])
    assert b"faces/s" not in run(*command).stderr
    shown = on_a_terminal(command, "terminal")
    assert "faces/s" in shown
    assert {"Initializing... done!", "Calculating... done!", "Finalizing... done!"} <= set(screen(shown)), shown


def test_profile_and_json(program, small, tmp_path):
    done = ran(*on_cpu(program, "--profile", "--json", tmp_path / "p.json", NETWORK, small, tmp_path / "o.txt", "none"))
    table = done.stderr.decode()
    for stage in ("read network", "read noise", "initialize", "write data", "compute", "other", "of run", "faces/s", "of peak"):
        assert stage in table
    assert "write picture" not in table  # none was asked for
    profile = json.loads((tmp_path / "p.json").read_text())
    elapsed = float(re.search(rb"Elapsed time : ([\d.]+)", done.stdout).group(1))
    assert profile["program"] == program.name and profile["faces"] == 2 and profile["ranks"] == 1
    assert profile["seconds"] == elapsed and profile["whole_run_s"] > elapsed
    [network], [data], [compute] = (rows(tmp_path / "p.json", stage) for stage in ("read network", "write data", "compute"))
    assert (network["bytes"], data["faces"], compute["faces"]) == (20549132, 2, 2)
    assert 0 < compute["seconds"] <= elapsed * 1.001
    assert ("CPU" in compute["device"]) == (program.name == "facegen_parallel")


@pytest.mark.parametrize("ranks", RANKS)
def test_the_steps_of_a_run_account_for_it(ranks, noise, tmp_path):
    np.save(tmp_path / "n.npy", noise(100))
    ran(*launcher(ranks), ROOT / "facegen_parallel", "-d", "none", "-t", 1, "-b", 30, "--json", tmp_path / "p.json", NETWORK,
        tmp_path / "n.npy", tmp_path / "o.txt", tmp_path / "o.bmp")
    profile = json.loads((tmp_path / "p.json").read_text())
    steps = {row["stage"]: row["seconds"] for row in profile["stages"] if row["of_run"]}
    assert abs(sum(steps.values()) - profile["whole_run_s"]) < 1e-4
    assert steps["other"] < 0.05 * profile["whole_run_s"]


def test_the_sequential_program_says_what_it_ignores(small):
    program = ROOT / "facegen_seq"
    assert run(program, NETWORK, small, "none", "none").stderr == b""
    for options in (["-d", "0"], ["-t", "4"], ["-d", "none", "-t", "2"]):
        assert b"do nothing here" in ran(program, *options, NETWORK, small, "none", "none").stderr
    assert b"do nothing there" in run(program, "--help").stdout


def test_facegen_seq_needs_nothing_but_its_headers(tmp_path):
    """It drops into another Makefile: network.h and facegen.h beside it, any driver."""
    for name in ("facegen_seq.cpp", "facegen.h", "network.h"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "main.c").write_text('#include "facegen.h"\n#include <stdio.h>\n#include <stdlib.h>\n'
                                     "int main() { float* n = calloc(5137283, 4); float* o = malloc(12288 * 4); facegen_init();"
                                     'facegen(1, n, n, o); facegen_fin(); printf("%f", o[7]); return 0; }')
    ran("gcc", "-c", "main.c", cwd=tmp_path)
    ran("g++", "-O2", "facegen_seq.cpp", "main.o", "-o", "a", cwd=tmp_path)
    assert run(tmp_path / "a").stdout == b"0.000000"


# ---- Memory


def limited_group(megabytes):
    """A control group with that much memory, or None where none can be made."""
    version_1 = pathlib.Path("/sys/fs/cgroup/memory")
    group = (version_1 if version_1.is_dir() else version_1.parent) / f"facegen{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if version_1.is_dir() else "memory.max")).write_text(str(megabytes << 20))
    except OSError:
        return None
    return group


def test_batches_fit_a_control_group(noise, tmp_path):
    group = limited_group(200)
    if not group:
        pytest.skip("limiting memory needs root")
    try:
        np.save(tmp_path / "n.npy", noise(3000))
        for options in ([], ["-b", "3000"]):
            done = ran("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "-", ROOT / "facegen_parallel", "-d", "none",
                       "-t", 2, *options, NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", "none")
            assert (b"faces at a time" in done.stderr) == bool(options)
            assert np.load(tmp_path / "o.npy", mmap_mode="r").shape == (3000, 64, 64, 3)
    finally:
        group.rmdir()


def test_memory_that_is_not_there_is_one_sentence(noise, tmp_path):
    """A unit that wants all faces in one call, which do not fit."""
    np.save(tmp_path / "n.npy", np.zeros((20000, 100), np.float32))
    program = build_unit(tmp_path, "void facegen_init() {} void facegen(int, float*, float*, float*) {}")
    done = run("bash", "-c", 'ulimit -v 900000; exec "$@"', "-", program, NETWORK, tmp_path / "n.npy", tmp_path / "o.npy", "none")
    refused(done, program, 3, "out of memory", "20,000 faces")
    assert not (tmp_path / "o.npy").exists()
