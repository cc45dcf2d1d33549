"""One hand-in: unpacked, built, run, compared, timed."""
import dataclasses
import math
import os
import shutil
import signal
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import times
from .handins import Refused, find_project, printable
from .references import ROOT, SWITCHES, Cases, Failure, compare, make_driver_tree, remove
from .sandbox import Limits, Sandbox

PLENTY = 2  # an output may take so many times the bytes that it should
BUILD_DISK = 2 << 30
FACE_BYTES = 12288 * 8 + 12288  # of text, at most so for values in -1..1, and of the picture


class Failed(Exception):
    """What the hand-in did wrong: a verdict and a sentence."""

    def __init__(self, verdict, sentence):
        super().__init__(sentence)
        self.verdict = verdict


@dataclass
class Result:
    """What came out for a hand-in. verdict: 'right', 'doubtful' (right, but its time cannot be true), or its fault."""

    name: str
    verdict: str
    reason: str = ""
    few: list = field(default_factory=list)  # of times.Timing
    many: list = field(default_factory=list)
    counts: bool = False  # whether its time gets a score; set with the score once all are graded
    score: float = 0.0

    def __post_init__(self):
        self.reason = printable(self.reason)
        self.few, self.many = ([times.Timing(*run) for run in runs] for runs in (self.few, self.many))

    def median(self, part="printed"):
        return statistics.median(getattr(run, part) for run in self.many) if self.many else math.nan


@dataclass
class Launcher:
    """How a program is started: by mpirun in the sandbox, or by mpirun in a job of SLURM, each rank in a sandbox."""

    mpirun: list
    salloc: list = None  # the options of salloc for a job of each run
    job: str = None  # or the job that we are in

    def on_cluster(self):
        return self.salloc is not None or self.job is not None

    def start(self, sandbox, command, place, cwd, limits, tasks, log):
        if not self.on_cluster():
            mpirun = [*self.mpirun, "-n", tasks] if self.mpirun else []
            return sandbox.run(sandbox.wrap([*mpirun, *command], place, limits, cwd), place, limits, log, cwd)
        # Only its time in the job counts, not what a queue takes before; the shell, which runs here, writes both down.
        began, ended = log.with_suffix(".began"), log.with_suffix(".ended")
        for file in (began, ended):
            file.unlink(missing_ok=True)
        timed = ["sh", "-c", 'began=$0 ended=$1; shift; : > "$began"; "$@"; status=$?; : > "$ended"; exit $status']
        environment, salloc, mpirun = {"OMPI_MCA_orte_tmpdir_base": str(place / "mpi")}, [], self.mpirun
        if self.job:
            environment |= {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}
            mpirun = [*mpirun, "--map-by", f"ppr:{tasks}:node"]
        else:
            salloc = ["salloc", "--quiet", f"--time={math.ceil(limits.seconds / 60) + 1}",
                      f"--ntasks-per-node={tasks}", *self.salloc]
        (place / "mpi").mkdir()
        return sandbox.run([*salloc, *timed, began, ended, *mpirun, *sandbox.wrap(command, place, limits, cwd)], place,
                           limits, log, cwd, environment, (began, ended), grace=20)


@dataclass
class Trials:
    """What all hand-ins have in common."""

    sandbox: Sandbox
    launcher: Launcher
    limits: Limits  # of a run
    build_seconds: float
    network: Path
    runs: int
    scratch: Path
    cases: Cases = None
    reference: tuple = None  # (few, many) timings of the course's own driver
    driver_tree: Path = None  # made when the first unit needs it

    def build(self, unpacked, place, log):
        """Builds what was unpacked -> the folder and the name of its program."""
        project, custom = find_project(unpacked)
        folder, program = place / "build", "facegen_custom" if custom else "facegen_parallel"
        if custom:
            self.driver_tree = self.driver_tree or make_driver_tree(self.scratch / "driver")
            shutil.copytree(self.driver_tree, folder, symlinks=True)
            shutil.move(project, folder / "handin")
            attempts = [["-s", *SWITCHES, "SRC=handin", "custom"]]
        else:
            shutil.move(project, folder)
            if (folder / program).is_file():
                (folder / program).unlink()  # of another machine, perhaps
            # Everything anew; a Makefile that is not made for several jobs at once gets a second chance with one.
            attempts = [["-B", f"-j{os.cpu_count()}", "parallel"], ["-B", "parallel"]]
        self.sandbox.give(folder)
        limits = dataclasses.replace(self.limits, seconds=self.build_seconds, disk=max(self.limits.disk, BUILD_DISK))
        for words in attempts:
            outcome = self.sandbox.run(self.sandbox.wrap(["make", *words], folder, limits), folder, limits, log)
            if outcome.failure or outcome.status == 0:
                break
        what = f"'make {words[-1]}'"
        if outcome.failure:
            raise Failed("does not build", f"{what} {outcome.failure}")
        if outcome.status != 0:
            said = tail(log).splitlines()
            errors = [line for line in said if "error" in line.lower() or line.startswith("make custom: ")]
            raise Failed("does not build", f"{what} failed: {(errors or said[-1:] or ['it printed nothing'])[0][:200]}")
        if (folder / program).is_symlink() or not os.access(folder / program, os.X_OK):
            raise Failed("does not build", f"{what} made no {program}")
        if custom:  # nobody's files but the program
            (place / "custom").mkdir()
            folder = Path(shutil.move(folder / program, place / "custom")).parent
        return folder, program

    def run(self, folder, program, case, tasks, log):
        """Runs a program in a new copy of its folder, compares its output with the answer -> Timing."""
        place = folder.parent / "run"
        place.mkdir()
        try:
            # cp keeps links links, and waits for no pipe that the build may have left.
            copied = subprocess.run(["cp", "-a", folder, place / "program"], capture_output=True, text=True)
            if copied.returncode != 0:
                raise Failed("does not build", f"what it built cannot be copied: {copied.stderr.strip()[-200:]}")
            shutil.copy(self.network, place / "network.bin")
            shutil.copy(case.noise, place / "input.txt")
            for file in (place, place / "network.bin", place / "input.txt"):
                if self.sandbox.user is not None:
                    os.chown(file, self.sandbox.user, self.sandbox.user)
            limits = dataclasses.replace(self.limits, disk=max(self.limits.disk, PLENTY * case.faces * FACE_BYTES))
            command = [f"./{program}", "../network.bin", "../input.txt", "../output.txt", "../output.bmp"]
            outcome = self.launcher.start(self.sandbox, command, place, place / "program", limits, tasks, log)
            if outcome.failure:
                raise Failed("stopped", f"it {outcome.failure} on {case.name}")
            said = log.read_bytes()
            if outcome.status != 0:
                raise Failed("crashed", f"{ending(outcome.status)} on {case.name}")
            output = place / "output.txt"
            if output.is_symlink() or not output.is_file():
                raise Failed("wrong", f"it wrote no output file on {case.name}")
            same, compared = compare(output, case.answer)
            if not same:
                raise Failed("wrong", f"on {case.name}: {compared}")
            printed = times.printed_time(said)
            if printed is None:
                raise Failed("no time", f"it printed no 'Elapsed time : x sec' on {case.name}")
            first_output = None if self.launcher.on_cluster() else outcome.first_output
            return times.Timing(printed, outcome.wall, first_output)
        finally:
            remove(place)

    def time(self, folder, program, tasks, log, say):
        """-> timings of few and of many faces, in turn."""
        few, many = [], []
        for number in range(1, self.runs + 1):
            for runs, case in ((few, self.cases.few), (many, self.cases.many)):
                say(f"{case.name}, run {number} of {self.runs}")
                runs.append(self.run(folder, program, case, tasks, log))
        return few, many

    def measure_reference(self, say):
        """Times the course's own driver, with this repository's facegen_parallel in it -> (few, many)."""
        everywhere = self.launcher
        if everywhere.on_cluster():  # it knows no ranks
            self.launcher = dataclasses.replace(everywhere, mpirun=[*everywhere.mpirun, "-n", "1"])
        place = self.scratch / "reference"
        (place / "build").mkdir(parents=True)
        shutil.copy(ROOT / "build/course_like_driver", place / "build")
        self.sandbox.give(place / "build")
        log = place / "log"
        try:
            return self.time(place / "build", "course_like_driver", 1, log, say)
        except Failed as failed:
            raise Failure(3, f"this repository's own program fails there: {failed}\n{tail(log, 10)}") from failed
        finally:
            self.launcher = everywhere
            shutil.rmtree(place)

    def grade(self, name, unpacked, tasks, log, say):
        """unpacked: a folder in scratch, which is used up. log: a file for all that was printed."""
        place, part = unpacked.parent, unpacked.parent / "printed"
        try:
            say("building")
            try:
                folder, program = self.build(unpacked, place, part)
            finally:
                keep(part, log, "build")
            for case in self.cases.inputs:
                say(case.name)
                self.run(folder, program, case, tasks, part)
            few, many = self.time(folder, program, tasks, part, say)
        except Refused as refused:
            return Result(name, "refused", str(refused))
        except Failed as failed:
            return Result(name, failed.verdict, str(failed))
        finally:
            keep(part, log, "last run")
        doubt = times.doubt(few, many, self.reference)
        return Result(name, "doubtful" if doubt else "right", doubt or "", few, many)


def ending(status):
    """'ended by signal 11 (Segmentation fault)': mpirun and shells add 128 to a signal's number."""
    number = -status if status < 0 else status - 128
    if 0 < number < 65 and number in [each.value for each in signal.Signals]:
        return f"it was ended by signal {number} ({signal.strsignal(number)})"
    return f"it ended with status {status}"


def tail(path, lines=40):
    """The last lines of what a command printed, without what a terminal would obey."""
    if not path.exists():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 16384))
        text = file.read().decode(errors="replace")
    return "\n".join(map(printable, text.expandtabs().splitlines()[-lines:]))


def keep(part, log, title):
    """Adds the end of what was printed to the hand-in's log."""
    if part.exists():
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"---- {title}\n{tail(part)}\n")
        part.unlink()
