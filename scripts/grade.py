#!/usr/bin/env python3
"""Grades a folder of hand-ins: builds, runs, checks and times each one, and gives scores.

A hand-in is an archive (.zip, .tar, .tar.gz ...), a folder, or a single unit (.c, .cpp, .cu), and is named by it. It is
built with its own Makefile (`make parallel`), or else by this repository's `make custom`. It runs on the course's
inputs and on noise that is new for each grading; compare_result checks every output. The score is that of the course:
100 - 10 log2(t / best), with t the median of the elapsed times that its runs print. A printed time that cannot be true
beside the wall clock is doubtful, scores 0 and is nobody's best, until --trust says otherwise.

Hand-ins run in a sandbox (bubblewrap) with limits, without network. What came out is kept for each of them: the same
command goes on after an interruption, and repeats only what has changed, be it a hand-in or a setting.
"""
import argparse
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

try:
    import psutil
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from grading import handins, references, results
    from grading.references import ROOT, Failure, write_text
    from grading.sandbox import Limits, Sandbox, size
    from grading.trial import Launcher, Result, Trials, tail

    sys.path.append(str(ROOT / "bench"))
    import measurement
except ImportError as error:
    DEBIAN = "/usr/bin/python3"  # for which install_deps.sh installs
    if os.path.realpath(sys.executable) != os.path.realpath(DEBIAN) and os.path.exists(DEBIAN):
        os.execv(DEBIAN, [DEBIAN, *sys.argv])
    print(f"grade.py: {error}: scripts/install_deps.sh grade installs what it needs", file=sys.stderr)
    sys.exit(3)

GIB = 1 << 30
EXAMPLES = """
examples:
  scripts/grade.py hand-ins
  scripts/grade.py hand-ins --faces 8192 --gpus 4 --cpus 64 --partition shpc      (each run a job on a node of SLURM's)
  CUDA=0 TMPDIR=/scratch scripts/grade.py hand-ins      (a switch of make custom; where builds and outputs lie)

exit status: 0 all are graded, whatever their scores; 1 bad input; 2 wrong usage; 3 the machine failed, and not all
could be graded; 130 interrupted.
"""


def above_zero(kind):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < 1e9:
            raise argparse.ArgumentTypeError(f"'{text}': expected a number above 0")
        return value
    return parse


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    whole, number, memory = above_zero(int), above_zero(float), psutil.virtual_memory().total / GIB
    add = parser.add_argument
    add("folder", metavar="DIR", type=Path, help="the folder of hand-ins")
    add("--results", metavar="DIR", type=Path, help="for grades.csv, grades.html, logs and state (default: DIR-grades)")
    add("--faces", type=whole, default=1024, help="faces of secret noise that are timed (default: 1024)")
    add("--runs", type=whole, default=5, help="runs whose median counts (default: 5)")
    add("--network", type=Path, default=ROOT / "network.bin", help="(default: this repository's network.bin)")
    add("--inputs", metavar="FILE", type=Path, nargs="*", default=sorted(ROOT.glob("inputs/*.txt")),
        help="noise to be right on before anything is timed (default: this repository's inputs)")
    add("--tasks", metavar="[NAME=]N", action="append", default=[],
        help="ranks a node (default: 1); with NAME= for one hand-in whose report asks for it")
    add("--best", metavar="SECONDS", type=number, help="the time that scores 100 (default: the best hand-in's)")
    add("--trust", metavar="NAME", action="append", default=[], help="let the doubtful time of this hand-in count")
    add("--fresh", action="store_true", help="new noise, and everything again")
    add = parser.add_argument_group("limits of each run").add_argument
    add("--time", metavar="SECONDS", type=number, default=120, help="wall clock (default: 120)")
    add("--build-time", metavar="SECONDS", type=number, default=900, help="wall clock of a build (default: 900)")
    add("--memory", metavar="GIB", type=number, default=memory / 2, help="(default: half of the machine's)")
    add("--disk", metavar="GIB", type=number, default=2, help="(default: 2; at least twice what the output takes)")
    add("--processes", type=whole, default=1024, help="processes and threads (default: 1024)")
    add("--readable", metavar="DIR", action="append", default=[], type=Path,
        help="a folder that hand-ins may read, beside the system's and the compilers'")
    add = parser.add_argument_group("where they run").add_argument
    add("--launcher", choices=("auto", "mpirun", "slurm"), default="auto",
        help="mpirun here, or under SLURM in a job of its own for each run, or in the job (of salloc or "
                                "sbatch) that this is in (default: SLURM where a cluster answers)")
    add("--nodes", type=whole, default=1)
    add("--cpus", type=whole, help="--cpus-per-task")
    add("--gpus", type=whole, help="--gres=gpu: of each node")
    add("--partition")
    add("--salloc", metavar="OPTION", action="append", default=[], help="one more for salloc: --salloc=--account=x")
    add("--mpirun", metavar="COMMAND", help="(default: 'mpirun --bind-to none' here, 'mpirun' under SLURM)")
    options = parser.parse_args()
    if options.faces < 2 * references.FEW:
        parser.error(f"--faces {options.faces}: expected at least {2 * references.FEW}")
    options.ranks = {}
    for text in options.tasks:
        name, _, tasks = text.rpartition("=")
        if not tasks.isdigit() or int(tasks) < 1:
            parser.error(f"--tasks '{text}': expected N or NAME=N")
        options.ranks[name] = int(tasks)
    folder = options.folder.resolve()
    options.results = (options.results or folder.with_name(f"{folder.name}-grades")).resolve()
    if folder in (options.results, *options.results.parents):
        parser.error(f"the results would lie among the hand-ins ('{options.results}'): name another place")
    return options


def launcher_of(options):
    """-> Launcher, and a warning or None."""
    cluster = options.launcher != "mpirun" and shutil.which("salloc") and \
        subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=60).returncode == 0
    if options.launcher == "slurm" and not cluster:
        raise Failure(3, "no cluster answers here: expected salloc, and a 'sinfo' that succeeds")
    root = "under SLURM root stays root, for whom no limit of processes holds: grade as another user"
    warning = root if os.geteuid() == 0 else None
    if cluster and "SLURM_JOB_ID" in os.environ:  # jobs of ours might wait for ever for the nodes that this one has
        return Launcher((options.mpirun or "mpirun").split(), job=os.environ["SLURM_JOB_ID"]), warning
    if cluster:
        salloc = [f"--nodes={options.nodes}", *options.salloc]
        salloc += [f"--cpus-per-task={options.cpus}"] if options.cpus else []
        salloc += [f"--gres=gpu:{options.gpus}"] if options.gpus else []
        salloc += [f"--partition={options.partition}"] if options.partition else []
        return Launcher((options.mpirun or "mpirun").split(), salloc), warning
    if not shutil.which("mpirun"):
        return Launcher([]), "there is no mpirun here: each hand-in runs as one process"
    return Launcher((options.mpirun or "mpirun --bind-to none").split()), None


def machine_name():
    return "; ".join([f"{platform.node()}, {os.cpu_count()} x {measurement.processor()[0]}",
                      *(gpu["name"] for gpu in measurement.gpus())])


def remembered(state, key):
    """The result in a state file, if it is of the same hand-in with the same settings, or None."""
    try:
        kept = json.loads(state.read_text())
        return Result(**kept["result"]) if kept["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(state, key, result):
    write_text(state, json.dumps({"key": key, "result": asdict(result)}, indent=1))


class Grading:
    """What lasts from one hand-in to the next. scratch: a folder for what lasts no longer than the grading."""

    def __init__(self, options, launcher, sandbox, scratch):
        self.options, self.scratch = options, scratch
        self.state, self.logs = options.results / "state", options.results / "logs"
        for folder in (self.state, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        limits = Limits(options.time, int(options.memory * GIB), int(options.disk * GIB), options.processes)
        self.trials = Trials(sandbox, launcher, limits, options.build_time, options.network, options.runs, scratch)
        self.settings = [asdict(limits), asdict(launcher), options.runs, bool(sandbox.bwrap), machine_name()]

    def key(self, *more):
        settings = json.dumps([self.settings, self.trials.cases.digest, *more])
        return hashlib.sha256(settings.encode()).hexdigest()

    def prepare(self, say):
        """The programs of this repository, noise and answers, and the times of the course's own driver."""
        options, trials = self.options, self.trials
        say("this repository's programs")
        references.make_programs()
        say("noise and answers")
        trials.cases = references.Cases(options.results / "secret", options.network, options.inputs, options.faces,
                                        options.fresh)
        state, key = self.state / ".reference.json", self.key()
        known = remembered(state, key)
        if not known:
            known = Result("", "right", "", *trials.measure_reference(lambda what: say(f"the course's driver, {what}")))
            remember(state, key, known)
        trials.reference = (known.few, known.many)

    def grade(self, handin, say):
        """-> Result, remembered where nothing has changed."""
        place = Path(tempfile.mkdtemp(dir=self.scratch))
        place.chmod(0o711)
        state, log = self.state / f"{handin.name}.json", self.logs / f"{handin.name}.log"
        tasks = self.options.ranks.get(handin.name, self.options.ranks.get("", 1))
        try:
            say("unpacking")
            key = self.key(handins.unpack(handin, place / "unpacked"), tasks)
            result = remembered(state, key)
            if not result:
                log.unlink(missing_ok=True)
                result = self.trials.grade(handin.name, place / "unpacked", tasks, log, say)
                remember(state, key, result)
            return result
        except handins.Refused as refused:
            log.unlink(missing_ok=True)
            return Result(handin.name, "refused", str(refused))
        finally:
            references.remove(place)

    def write(self, graded):
        """Scores what is graded so far and writes the pages; returns the best time."""
        options, trials = self.options, self.trials
        best = results.set_scores(graded, options.trust, options.best)
        limits, launcher = trials.limits, trials.launcher
        facts = {
            "graded": time.strftime("%Y-%m-%d %H:%M %Z"),
            "machine": machine_name(),
            "launched": f"{' '.join(launcher.mpirun) or 'directly'}, " + (
                f"in job {launcher.job} of SLURM" if launcher.job else
                f"in jobs of SLURM ({' '.join(launcher.salloc)})" if launcher.on_cluster() else "here"),
            "runs": f"{options.runs} of {options.faces} faces and of {references.FEW}, in turn",
            "right before on": ", ".join(path.name for path in options.inputs) or "nothing else",
            "noise": f"uniform(-1, 1), seed {trials.cases.seed} (scripts/make_inputs.py)",
            "network.bin": f"SHA-256 {references.digest(options.network)}",
            "limits of a run": f"{limits.seconds:g} s, {size(limits.memory)} of memory, {size(limits.disk)} of disk, "
                               f"{limits.processes} processes and threads",
            "sandbox": "bubblewrap" if trials.sandbox.bwrap else f"none: {trials.sandbox.warning}"}
        logs = {result.name: text for result in graded if (text := tail(self.logs / f"{result.name}.log", 80))}
        results.write_all(options.results, graded, options.faces, best, facts, logs)
        return best


def check_input(options):
    """-> the hand-ins, and the names of other files."""
    for path in (options.network, *options.inputs):
        if not path.is_file():
            raise Failure(1, f"'{path}' does not exist")
    if not options.folder.is_dir():
        raise Failure(1, f"'{options.folder}' is no folder: expected a folder of hand-ins")
    found, others = handins.find_handins(options.folder)
    if not found:
        raise Failure(1, f"'{options.folder}' holds no hand-ins: expected archives, folders or units (.c, .cpp, .cu)")
    for name in (*options.trust, *filter(None, options.ranks)):
        if name not in (handin.name for handin in found):
            raise Failure(2, f"there is no hand-in '{name}' in '{options.folder}'")
    return found, others


def grade_all(options, console):
    """-> exit status."""
    def tell(text):
        console.print(text, highlight=False, soft_wrap=True)

    found, others = check_input(options)
    launcher, warning = launcher_of(options)
    sandbox = Sandbox(options.readable, (options.folder.resolve(), options.results), launcher.on_cluster())
    for sentence in filter(None, (warning, sandbox.warning)):
        tell(f"[yellow]Warning:[/] {escape(sentence)}")
    if others:
        tell(f"No hand-ins: {escape(', '.join(map(handins.printable, others)))}")
    options.results.mkdir(parents=True, exist_ok=True)
    lock = open(options.results / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Failure(1, f"another grading is at work in '{options.results}'") from error

    graded, left, best = [], [], None
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # SLURM's other nodes must see it; here a user without rights must, whom the results' folder may keep out.
    shared = options.results if launcher.on_cluster() else None
    with tempfile.TemporaryDirectory(prefix="facegen-grade-", dir=shared, ignore_cleanup_errors=True) as scratch, \
            Progress(*columns, console=console) as progress:
        os.chmod(scratch, 0o711)
        if shutil.disk_usage(scratch).free < 3 * options.disk * GIB:
            raise Failure(3, f"'{scratch}' has less than {3 * options.disk:g} GiB left, which builds and outputs may "
                          "take (3 x --disk): free some, or name another place by TMPDIR")
        bar = progress.add_task("", total=len(found))

        def say(who):
            return lambda what: progress.update(bar, description=escape(f"{who}: {what}"))

        grading = Grading(options, launcher, sandbox, Path(scratch))
        grading.prepare(say("preparing"))
        try:
            for handin in found:
                try:
                    result = grading.grade(handin, say(handin.name))
                    graded.append(result)
                    seconds = f", {result.median():.6f} s" if result.many else ""
                    tell(escape(": ".join(filter(None, (result.name, result.verdict + seconds, result.reason)))))
                except OSError as error:  # the machine's fault, not the hand-in's: it is tried again next time
                    left.append(handin.name)
                    tell(f"[red]{escape(handin.name)} could not be graded:[/] {escape(str(error))}")
                progress.advance(bar)
        finally:  # what is graded is written, even where the grading is interrupted
            if graded:
                best = grading.write(graded)
    if graded:
        console.print(results.terminal_table(graded, options.faces, best))
        tell(f"{escape(str(options.results))}/grades.html and grades.csv")
    if left:
        raise Failure(3, f"not graded: {', '.join(left)}; the same command tries them again")
    return 0


def main():
    options, console = arguments(), Console()
    for number in (signal.SIGTERM, signal.SIGHUP):  # everything is cleaned up, as after Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        return grade_all(options, console)
    except Failure as failure:
        sentence, status = str(failure), failure.status
    except KeyboardInterrupt:
        sentence, status = "interrupted: the same command goes on from here", 130
    except (OSError, subprocess.SubprocessError) as error:
        sentence, status = str(error), 3
    print(f"grade.py: {sentence}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
