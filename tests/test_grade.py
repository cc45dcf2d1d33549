"""scripts/grade.py on made hand-ins: good ones, and every kind that must cost the others nothing."""
import csv
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zipfile

import numpy as np
import pytest

from conftest import ROOT
from test_slurm import slurm  # noqa: F401 (a fixture)

sys.path.insert(0, str(ROOT / "scripts"))
from grading import handins, times  # noqa: E402

GRADE = ROOT / "scripts/grade.py"

# A network whose faces are their last layer's bias: hand-ins are right without effort, and take as long as they are
# told. answer(n, network, faces, MS) does that, with MS milliseconds a face.
ANSWER = r"""
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static double now() { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void answer(int n, const float *network, float *faces, int ms) {
  for (double end = now() + n * ms * 1e-3; now() < end;) usleep(500);
  for (int i = 0; i < n * 12288; ++i) faces[i] = tanhf(network[5137280 + i % 3]);
}
"""

# A unit: BODY does the work of facegen.
UNIT = ANSWER + r"""
#include "facegen.h"
void facegen_init() {}
void facegen_fin() {}
void facegen(int n, float *network, float *noise, float *faces) { BODY }
"""
RIGHT = "answer(n, network, faces, 2);"

# A driver like the course's; it does FIRST, its facegen takes MS milliseconds a face, and TIME is what it prints.
DRIVER = ANSWER + r"""
int main(int argc, char **argv) {
  FIRST
  int n;
  float *network = malloc(20549132);
  FILE *file = fopen(argv[1], "rb");
  if (fread(network, 1, 20549132, file) != 20549132) return 1;
  file = fopen(argv[2], "r");
  if (fscanf(file, "%d", &n) != 1) return 1;
  float *faces = malloc(n * 49152);
  const double start = now();
  answer(n, network, faces, MS);
  printf("Elapsed time : %.6f sec\n", TIME);
  file = fopen(argv[3], "w");
  fprintf(file, "%d\n", n);
  for (int i = 0; i < n * 12288; ++i) fprintf(file, "%.4f ", faces[i]);
  return fclose(file);
}
"""
LINGER = "if (!fork()) { setsid(); for (int i = 0; i < 3; ++i) close(i); sleep(60); _exit(0); }"
MAKEFILE = "parallel: facegen_parallel\nfacegen_parallel: main.c\n\tgcc -O3 -o $@ $< -lm\n"


def unit(folder, name, body):
    (folder / f"{name}.c").write_text(UNIT.replace("BODY", body))


def project(time="now() - start", ms="2", first=""):
    """name -> content of a hand-in with its own Makefile."""
    main = DRIVER.replace("FIRST", first).replace("TIME", time).replace("MS", ms)
    return {"project/main.c": main, "project/Makefile": MAKEFILE, "report.pdf": "%PDF"}


def pack(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def zip_link(name):
    link = zipfile.ZipInfo(name)
    link.external_attr = 0o120777 << 16
    return link


def hand_ins(place):
    """A folder for hand-ins, beside the network on which they are right."""
    network = np.zeros(5137283, "<f4")
    network[-3:] = -0.9, 0.1, 0.5
    network.tofile(place / "network.bin")
    (place / "hand-ins").mkdir()
    return place / "hand-ins"


def command(folder, *options):
    return [str(word) for word in (
        GRADE, folder, "--network", folder.parent / "network.bin", "--inputs", ROOT / "inputs/input1.txt", "--faces=64",
        "--runs=2", "--time=10", "--memory=0.5", "--disk=0.2", "--processes=200", "--launcher=mpirun", *options)]


class Graded:
    """A run of grade.py over a folder, and what came out of it."""

    def __init__(self, folder, *options, environment=None, status=0, within=list):
        self.done = subprocess.run(within(command(folder, *options)), capture_output=True, text=True, timeout=500,
                                   env=environment or os.environ)
        assert self.done.returncode == status, self.done.stdout + self.done.stderr
        self.folder = folder.with_name(folder.name + "-grades")
        with open(self.folder / "grades.csv", newline="", encoding="utf-8-sig") as file:
            self.rows = {row["name"]: row for row in csv.DictReader(file)}

    def verdicts(self):
        return {name: row["verdict"] for name, row in self.rows.items()}


@pytest.fixture(scope="module")
def needed():
    if subprocess.run([GRADE, "--help"], capture_output=True).returncode != 0 or not shutil.which("mpirun"):
        pytest.skip("no jinja2, matplotlib, psutil, rich or mpirun here (scripts/install_deps.sh build grade)")


@pytest.fixture(scope="module")
def bwrap(needed):
    sandbox = shutil.which("bwrap") and subprocess.run(
        ["bwrap", "--unshare-all", "--disable-userns", "--unshare-user", "--ro-bind", "/", "/", "true"]).returncode == 0
    if not sandbox:
        pytest.skip("bubblewrap is missing or cannot work here (scripts/install_deps.sh grade)")


@pytest.fixture(scope="module")
def outside():
    """What hand-ins must not reach: a folder that anybody may write to, and a port of this machine."""
    folder = pathlib.Path(f"/var/tmp/facegen-outside-{os.getpid()}")
    folder.mkdir()
    folder.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield folder, server
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def graded(bwrap, outside, tmp_path_factory):
    """Every made hand-in, graded together."""
    folder = hand_ins(tmp_path_factory.mktemp("grade"))
    elsewhere, port = outside[0], outside[1].getsockname()[1]
    pack(folder / "good.zip", project())
    pack(folder / "liar.zip", project("0.000123", ms="25"))
    pack(folder / "slow_clock.zip", project("now() - start + 100"))
    pack(folder / "does_not_build.zip", project("now() -"))
    pack(folder / "make_talks.zip", {"Makefile": "parallel:\n\tyes\n"})
    pack(folder / "climbs.zip", project() | {"../" * 20 + "climbed": "!"})
    pack(folder / "bomb.zip", project() | {"zeros": bytes(64 << 20)})
    pack(folder / "link.zip", {"project/main.c": "", zip_link("project/Makefile"): "/etc/passwd"})
    pack(folder / "<b>$[red]한글.zip", {"report.pdf": "%PDF"})
    pack(folder / "steals.zip", project(first=f"""puts("Elapsed time : 0.5 sec");
        return symlink("{folder}-grades/secret/input1.answer.txt", argv[3]);"""))
    # 128 MiB that nine processes share are no 1,152 MiB; in eight of them each its own they are 1,024.
    fill = "volatile char *m = malloc(1 << 27); for (int j = 0; j < 1 << 27; j += 4096) m[j] = 1;"
    pack(folder / "shares.zip", project(first=fill + "for (int i = 0; i < 8; ++i) if (!fork()) { sleep(1); _exit(0); }"
                                        "sleep(1);"))
    pack(folder / "hoards_apart.zip", project(first="for (int i = 0; i < 8; ++i) if (!fork()) {" + fill +
                                              "sleep(9); _exit(0); } sleep(9);"))
    with tarfile.open(folder / "slow.tar.gz", "w:gz") as archive:
        content = UNIT.replace("BODY", RIGHT * 8).encode()
        info = tarfile.TarInfo("./handin/facegen_parallel.c")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    unit(folder, "unit", RIGHT)
    unit(folder, "wrong", RIGHT + "faces[20 * 3] += 0.01;")
    unit(folder, "crashes", "if (n > 10) *(volatile int *)0 = 1;" + RIGHT)
    unit(folder, "hangs", "for (;;) pause();")
    unit(folder, "forks", "for (;;) fork();")
    unit(folder, "hoards", "for (;;) memset(malloc(1 << 26), 1, 1 << 26);")
    unit(folder, "fills", """for (int i = 0;; ++i) { char name[99]; sprintf(name, "../%d", i);
        FILE *f = fopen(name, "w"); for (int j = 0; j < 1500; ++j) fwrite(faces, 1, 49152, f); }""")
    unit(folder, "escapes", f"""
        FILE *f = fopen("{elsewhere}/written", "w"); if (f) fclose(f);
        if (fopen("{ROOT}/facegen_seq", "r")) exit(9);
        if (!system("bash -c 'echo > /dev/tcp/127.0.0.1/{port}'")) exit(8);
        {LINGER}""" + RIGHT)
    return Graded(folder)


def test_good_ones(graded):
    rows = [graded.rows[name] for name in ("good", "unit", "escapes", "shares")]
    assert [(row["verdict"], row["reason"]) for row in rows] == [("right", "")] * 4
    best = min(rows, key=lambda row: float(row["seconds"]))
    assert (best["score"], best["rank"], best["behind_best"]) == ("100.0", "1", "1.00")
    assert 40 < float(graded.rows["slow"]["score"]) < 95
    assert graded.rows["slow"]["rank"] == "5"


@pytest.mark.parametrize("name, verdict, reason", [
    ("wrong", "wrong", "on input1.txt: pixel (0, 20, 0) of 0th image differs. output : "),
    ("steals", "wrong", "it wrote no output file on input1.txt"),
    ("crashes", "crashed", "it was ended by signal 11 (Segmentation fault) on 64 secret faces"),
    ("hangs", "stopped", "it ran longer than the 10 s allowed on input1.txt"),
    ("forks", "stopped", "it started more than the 200 processes and threads allowed on input1.txt"),
    ("hoards", "stopped", "it used more than the 512 MiB of memory allowed on input1.txt"),
    ("hoards_apart", "stopped", "it used more than the 512 MiB of memory allowed on input1.txt"),
    ("fills", "stopped", "it wrote more than the 205 MiB of disk allowed on input1.txt"),
    ("does_not_build", "does not build", "'make parallel' failed: main.c:"),
    ("make_talks", "does not build", "'make parallel' printed more than 16 MiB"),
    ("liar", "doubtful", "it printed 0.000123 s, but beside that its runs took "),
    ("slow_clock", "doubtful", "it printed 100."),
    ("climbs", "refused", "leads out of its own folder"),
    ("link", "refused", "'project/Makefile' in it is a symbolic link"),
    ("bomb", "refused", "it unpacks to more than 16 MiB"),
    ("<b>$[red]한글", "refused", "nothing to build"),
])
def test_bad_ones(graded, name, verdict, reason):
    row = graded.rows[name]
    assert (row["verdict"], row["score"], row["rank"]) == (verdict, "0.0", "")
    assert reason in row["reason"]


def test_nothing_is_left_behind(graded, outside):
    elsewhere, server = outside
    assert not list(elsewhere.iterdir())
    with pytest.raises(BlockingIOError):
        server.accept()
    assert not processes_of("facegen-grade-")
    assert not pathlib.Path("/climbed").exists()


def processes_of(word):
    """Ids of the processes that have this word on their command line or as their folder."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (process / "cmdline").read_bytes() or word in os.readlink(process / "cwd"):
                found.append(process.name)
        except OSError:
            pass  # it has ended
    return found


def test_page(graded):
    page = (graded.folder / "grades.html").read_text()
    assert page.count("<svg") == 1
    assert (graded.folder / "grades.csv").read_bytes().startswith("\ufeff".encode())  # or Excel misreads names in Hangul
    assert not re.findall(r'(?:href|src)="(?!#)|url\((?!#)|@import', page)  # it needs no other file
    for name, row in graded.rows.items():
        assert f'class="name">{name.replace("<b>", "&lt;b&gt;")}<' in page and row["verdict"] in page
    assert "<b>" not in page
    noise = json.loads((graded.folder / "secret/noise.json").read_text())
    assert f"seed {noise['seed']} " in page
    assert (graded.folder / "secret").stat().st_mode & 0o77 == 0


def test_goes_on_after_an_interruption(bwrap, tmp_path):
    folder = hand_ins(tmp_path)
    pack(folder / "a.zip", project())
    pack(folder / "b.zip", project("0.000123", ms="25"))
    pack(folder / "c.zip", project(first="for (;;) pause();"))
    process = subprocess.Popen(command(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    state = tmp_path / "hand-ins-grades/state"
    deadline = time.monotonic() + 120
    while not (state / "b.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGHUP)  # the terminal is gone; Ctrl-C and a scheduler's SIGTERM do the same
    stderr = process.communicate(timeout=60)[1]
    assert (process.returncode, stderr) == (130, "grade.py: interrupted: the same command goes on from here\n")
    assert not processes_of("facegen-grade-") and not (state / "c.json").exists()
    before = [(state / f"{name}.json").stat().st_mtime_ns for name in "ab"]

    pack(folder / "c.zip", project())
    result = Graded(folder, "--trust", "b")
    assert before == [(state / f"{name}.json").stat().st_mtime_ns for name in "ab"]
    assert result.verdicts() == {"a": "right", "b": "doubtful", "c": "right"}
    assert result.rows["b"]["score"] == "100.0" and float(result.rows["a"]["score"]) < 20
    result = Graded(folder, "--best", "0.0001")
    assert {row["score"] for row in result.rows.values()} == {"0.0"}
    pack(folder / "a.zip", project(first="return 7;"))  # only what has changed is graded again
    result = Graded(folder)
    assert result.verdicts() == {"a": "crashed", "b": "doubtful", "c": "right"}
    assert result.rows["a"]["reason"] == "it ended with status 7 on input1.txt"
    assert (result.rows["c"]["rank"], result.rows["c"]["score"]) == ("1", "100.0")
    assert before[1] == (state / "b.json").stat().st_mtime_ns


def test_without_a_sandbox(needed, outside, tmp_path):
    """The limits stay, and everything that a hand-in starts ends with it."""
    folder = hand_ins(tmp_path)
    pack(folder / "good.zip", project())
    pack(folder / "forks.zip", project(first="for (;;) fork();"))
    pack(folder / "lingers.zip", project(first=LINGER))
    programs = outside[0] / "bin"
    programs.mkdir()
    (programs / "bwrap").write_text("#!/bin/sh\necho no namespaces >&2\nexit 1\n")
    (programs / "bwrap").chmod(0o755)
    result = Graded(folder, "--runs=1", environment=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"})
    shutil.rmtree(programs)
    assert "Warning: bubblewrap cannot work here (no namespaces): hand-ins can read and write" in result.done.stdout
    assert result.verdicts() == {"good": "right", "lingers": "right", "forks": "stopped"}
    assert not processes_of("facegen-grade-")


def test_under_slurm(bwrap, slurm, tmp_path):  # noqa: F811
    folder = hand_ins(tmp_path)
    first = """if (strcmp(getenv("OMPI_COMM_WORLD_SIZE"), "2")) return 9;
               if (strcmp(getenv("OMPI_COMM_WORLD_RANK"), "0")) return 0;"""
    pack(folder / "good.zip", project(first=first))
    pack(folder / "hangs.zip", project(first="for (;;) pause();"))
    result = Graded(folder, "--launcher=slurm", "--nodes=2", "--gpus=4", "--cpus=64", "--partition=shpc",
                    "--time=20", environment=slurm)
    assert result.verdicts() == {"good": "right", "hangs": "stopped"}
    assert "in jobs of SLURM (--nodes=2 " in (result.folder / "grades.html").read_text()
    for _ in range(300):  # a job that was cancelled takes a while to go
        if not (jobs := subprocess.run(["squeue", "--noheader"], env=slurm, capture_output=True).stdout):
            break
        time.sleep(0.1)
    assert not jobs


def test_in_a_job_of_slurm(bwrap, slurm, tmp_path):  # noqa: F811
    """The job's own nodes are used: jobs of ours would wait for them as long as it lasts."""
    folder = hand_ins(tmp_path)
    pack(folder / "good.zip", project(first='if (strcmp(getenv("OMPI_COMM_WORLD_RANK"), "1")) return 0;'))
    result = Graded(folder, "--launcher=auto", "--time=60", "--runs=1", environment=slurm, within=lambda words: [
        "sbatch", "--wait", "-N2", "--exclusive", f"--output={tmp_path}/said", f"--wrap={shlex.join(words)}"])
    assert result.verdicts() == {"good": "right"}, (tmp_path / "said").read_text()
    assert re.search(r"in job \d+ of SLURM", (result.folder / "grades.html").read_text())


@pytest.mark.parametrize("options, status, sentence", [
    (["missing"], 1, "'missing' is no folder"),
    (["empty"], 1, "'empty' holds no hand-ins: expected archives"),
    ([".", "--network", "missing.bin"], 1, "'missing.bin' does not exist"),
    ([".", "--results", "./x"], 2, "the results would lie among the hand-ins"),
    ([".", "--runs=0"], 2, "'0': expected a number above 0"),
    ([".", "--faces=15"], 2, "--faces 15: expected at least 16"),
    ([".", "--tasks=a=b"], 2, "expected N or NAME=N"),
    (["one", "--trust=two"], 2, "there is no hand-in 'two' in 'one'"),
    (["one", "--network", ROOT / "LICENSE"], 1, "LICENSE' has "),
])
def test_errors(needed, tmp_path, options, status, sentence):
    for name in ("empty", "one/one.c"):
        (tmp_path / name).mkdir(parents=True)
    done = subprocess.run([GRADE, *options, "--inputs", ROOT / "inputs/input1.txt"], capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.returncode == status and sentence in done.stderr, done.stderr


# ---------------------------------------------------------------------------------------------------------------------
# Parts


def refusal(path, tmp_path):
    with pytest.raises(handins.Refused) as refused:
        handins.unpack(handins.Handin("x", path), tmp_path / "out")
        handins.find_project(tmp_path / "out")
    assert not list(tmp_path.glob("climbed*"))
    return str(refused.value)


def tar_of(path, **attributes):
    info = tarfile.TarInfo("a")
    for name, value in attributes.items():
        setattr(info, name, value)
    with tarfile.open(path, "w") as archive:
        archive.addfile(info)
    return path


@pytest.mark.parametrize("name", ["../climbed", "/climbed", "a/../../climbed", "..\\climbed", "C:\\climbed", "a/../b"])
def test_names_that_lead_out(tmp_path, name):
    assert "leads out of its own folder" in refusal(pack(tmp_path / "x.zip", {name: "!"}), tmp_path)


@pytest.mark.parametrize("kind, sentence", [
    (tarfile.SYMTYPE, "is a link"), (tarfile.LNKTYPE, "is a link"), (tarfile.CHRTYPE, "is a device"),
    (tarfile.FIFOTYPE, "is a device")])
def test_tar_members(tmp_path, kind, sentence):
    assert sentence in refusal(tar_of(tmp_path / "x.tar", type=kind, linkname="/etc/passwd"), tmp_path)


def test_tar_names(tmp_path):
    assert "leads out" in refusal(tar_of(tmp_path / "x.tar", name="../climbed"), tmp_path)


def test_folders(tmp_path):
    folder = tmp_path / "x"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/secret").symlink_to("/etc/passwd")
    assert "'deep/secret' in it is a symbolic link" in refusal(folder, tmp_path)
    shutil.rmtree(tmp_path / "out")
    (folder / "deep/secret").unlink()
    os.mkfifo(folder / "deep/pipe")
    assert "'deep/pipe' in it is a pipe" in refusal(folder, tmp_path)


def test_damaged_archives(tmp_path):
    whole = pack(tmp_path / "whole.zip", {"a": os.urandom(5000)}).read_bytes()
    (tmp_path / "x.zip").write_bytes(whole[:2000] + b"?" + whole[2001:])
    assert "cannot be unpacked" in refusal(tmp_path / "x.zip", tmp_path)
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "x.tar.gz").write_bytes(whole)
    assert "cannot be unpacked" in refusal(tmp_path / "x.tar.gz", tmp_path)
    shutil.rmtree(tmp_path / "out")
    assert "archives of its kind are not known" in refusal(tmp_path / "x.7z", tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_more_that_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        for content in "12":
            archive.writestr("a", content)
    assert "'a' is in it twice" in refusal(tmp_path / "twice.zip", tmp_path)
    shutil.rmtree(tmp_path / "out")
    pack(tmp_path / "many.zip", {f"{i}": "" for i in range(handins.MOST_FILES + 1)})
    assert "more than 10000 files" in refusal(tmp_path / "many.zip", tmp_path)
    shutil.rmtree(tmp_path / "out")
    two = pack(tmp_path / "two.zip", {"a/Makefile": "parallel:", "b/Makefile": "parallel:"})
    assert "several folders in it could be built ('a', 'b')" in refusal(two, tmp_path)


@pytest.mark.parametrize("files, folder, custom", [
    ({"Makefile": "report:", "src/Makefile": "parallel:"}, "src", False),  # the one that knows the course's target
    ({"a/b/GNUmakefile": "all:", "x.c": ""}, "a/b", False),
    ({"__MACOSX/._x.c": "", "p/facegen.cu": "", "p/deep/y.c": ""}, "p", True),
])
def test_what_is_built(tmp_path, files, folder, custom):
    handins.unpack(handins.Handin("x", pack(tmp_path / "x.zip", files)), tmp_path / "out")
    assert handins.find_project(tmp_path / "out") == (tmp_path / "out" / folder, custom)


def test_names_of_hand_ins(tmp_path):
    for name in ("b.tar.gz", "a.zip", "c.cu", "notes.txt", ".hidden", "shpc001.v2.zip"):
        (tmp_path / name).write_text("")
    (tmp_path / "a").mkdir()
    found, others = handins.find_handins(tmp_path)
    assert {handin.name for handin in found} == {"a", "a.zip", "b", "c", "shpc001.v2"}
    assert others == [".hidden", "notes.txt"]


def test_printed_times():
    assert times.printed_time(b"Elapsed time : 0.927711 sec\n") == 0.927711
    assert times.printed_time(b"Elapsed time: 1e-3 sec\nElapsed time : 2.5 sec\n") == 2.5  # of two ranks
    assert times.printed_time(b"done\n") is None
    assert np.isnan(times.printed_time(b"Elapsed time : nan sec\nElapsed time : 1 sec\n"))


def test_score():
    assert [times.score(time, 0.5) for time in (0.5, 1, 4, 512, 1e6)] == [100, 90, 70, 0, 0]
    assert times.time_of(90, 0.5) == 1


# The course's own driver: half a second of reading and writing for many faces, all of it after the first byte but 0.05.
REFERENCE = ([times.Timing(0.01, 0.5, 0.4)], [times.Timing(0.3, 1.3, 0.75)])


@pytest.mark.parametrize("few, many, part", [
    ((0.01, 0.5, 0.4), (1.0, 2.2, 1.5), None),
    ((0.01, 0.5, 0.4), (1.0, 1.5, 1.45), None),  # it writes faster than the course's driver
    ((0.01, 0.5, 0.4), (0.00001, 2.2, 1.5), "first byte"),  # it hides its computing
    ((0.01, 0.5, 0.4), (0.00001, 3.5, 0.5), "start to end"),  # and does it after it has begun to write
    ((0.01, 0.5, None), (0.00001, 3.5, None), "start to end"),
    ((0.01, 0.5, 0.4), (3.0, 2.2, 1.5), "the whole run took 2.200 s"),
    ((0.0, 0.5, 0.4), (1.0, 2.2, 1.5), "an elapsed time of 0.000000 s"),
    ((0.01, 0.5, 0.4), (float("nan"), 2.2, 1.5), "an elapsed time of nan s"),
])
def test_doubt(few, many, part):
    doubt = times.doubt([times.Timing(*few)], [times.Timing(*many)], REFERENCE)
    assert (part is None) == (doubt is None) and (part or "") in (doubt or "")
