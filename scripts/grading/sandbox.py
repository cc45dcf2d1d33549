"""A place where a hand-in's commands can do no harm: bubblewrap where it is found, limits and a watcher everywhere.

What holds what:
  writes     the system is read-only, and nothing else of the machine is to be seen but the hand-in's own place; /tmp
             and /dev/shm are its own, of limited size
  network    none but the loopback device (under SLURM the ranks of a job need the real one)
  processes  a watcher; one that forks faster than it looks meets RLIMIT_NPROC at twice the limit (Linux counts it for
             each user namespace; root, for whom it does not hold, first becomes a user that nobody else is)
  disk       RLIMIT_FSIZE for each file, and the watcher for the whole place and for what the disk has left
  memory     the watcher, and the kernel is told to take the hand-in first where memory runs out
  time       the watcher; with the sandbox all its processes end, however they were started
Without bubblewrap only the limits, the watcher and, for root, the other user stay.
"""
import ctypes
import os
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/sys")
TOOLS = ("mpirun", "mpicc", "nvcc", "cc", "c++", "make")
TOOL_FOLDERS = ("bin", "etc", "include", "lib", "lib64", "libexec", "nvvm", "share", "targets")
DEVICES = ("nvidia*", "dri", "kfd", "infiniband")
KEPT = ("PATH", "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES",
        "SLURM_CONF")
MPI = {  # OpenMPI refuses root and more ranks than cores unless told otherwise; -gl: hwloc looks for no X server
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none", "HWLOC_COMPONENTS": "-gl"}
LOOK, COUNT = 0.02, 0.5  # seconds between looks at the output, and between counts of memory, processes and bytes
MOST_PRINTED = 16 << 20
RESERVE = 0.02  # of the machine's memory, which no hand-in may use up, in whatever way
FIRST_USER, USERS = 61184, 4096  # user ids that nobody has (systemd's range for users made on the spot)
SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER


@dataclass(frozen=True)
class Limits:
    """Of one command: wall clock seconds, bytes of memory and of disk, processes and threads."""

    seconds: float
    memory: int
    disk: int
    processes: int


@dataclass
class Outcome:
    """How a command ended. status: its exit status, negative for a signal. failure: why it was ended, or None.
    wall: seconds from start to end. first_output: seconds until its folder held a new file with something in it."""

    status: int
    failure: str
    wall: float
    first_output: float


def size(count):
    """1610612736 -> '1.5 GiB'."""
    return f"{count / (1 << 30):.3g} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.3g} MiB"


class Sandbox:
    def __init__(self, readable=(), hidden=(), for_jobs=False):
        """readable: folders of the machine, beside the system's and the tools', that hand-ins may read; hidden: folders
        that they may not, wherever these lie. for_jobs: what runs in it are ranks of a scheduler's job, which must be
        the scheduler's user and reach other nodes."""
        # What a hand-in leaves behind becomes our child when its parent ends, so that it is found and ended.
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        self.user = FIRST_USER + os.getpid() % USERS if os.geteuid() == 0 and not for_jobs else None
        self.for_jobs = for_jobs
        self.readable = [str(Path(folder).resolve()) for folder in readable]
        for tool in filter(None, map(shutil.which, TOOLS)):
            prefix = Path(tool).resolve().parent.parent
            if not f"{prefix}/".startswith(tuple(f"{folder}/" for folder in SYSTEM)):
                self.readable += [str(prefix / name) for name in TOOL_FOLDERS]
        visible = tuple(f"{folder}/" for folder in (*SYSTEM, *self.readable))
        self.hidden = [str(folder) for folder in hidden if str(folder).startswith(visible)]
        self.bwrap, missing = shutil.which("bwrap"), "bubblewrap is not installed (scripts/install_deps.sh grade)"
        if self.bwrap:
            try:
                subprocess.run([*self._bwrap("/tmp", "/tmp", 1 << 20), "true"], check=True, capture_output=True,
                               text=True, **self.identity())
            except (OSError, subprocess.CalledProcessError) as error:
                why = getattr(error, "stderr", None) or str(error)
                self.bwrap, missing = None, f"bubblewrap cannot work here ({why.strip()})"
        who = "you" if self.user is None else "anybody"
        self.warning = None if self.bwrap else \
            f"{missing}: hand-ins can read and write what {who} can, keep results between runs, and reach the network"

    def identity(self):
        """Options of subprocess that give root's rights away."""
        return {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}

    def give(self, place):
        """Makes everything in `place` the hand-in's own."""
        if self.user is not None:
            for parent, _, files in os.walk(place):
                for path in (parent, *(os.path.join(parent, name) for name in files)):
                    os.chown(path, self.user, self.user, follow_symlinks=False)

    def _bwrap(self, place, cwd, temporary):
        words = [self.bwrap, "--unshare-user", "--unshare-all", *(["--share-net"] if self.for_jobs else []),
                 "--disable-userns", "--die-with-parent", "--new-session"]
        for folder in (*SYSTEM, *self.readable):
            words += ["--ro-bind-try", folder, folder]
        words += ["--proc", "/proc", "--dev", "/dev"]
        for device in (path for pattern in DEVICES for path in Path("/dev").glob(pattern)):
            words += ["--dev-bind", str(device), str(device)]
        for folder in ("/tmp", "/dev/shm", *self.hidden):
            words += ["--size", str(temporary), "--tmpfs", folder]
        return words + ["--bind", str(place), str(place), "--remount-ro", "/dev", "--remount-ro", "/",
                        "--chdir", str(cwd), "--"]

    def wrap(self, command, place, limits, cwd=None):
        """The command, started in cwd (default: place), kept in `place` and within the limits that the kernel holds."""
        bwrap = self._bwrap(place, cwd or place, min(limits.memory, limits.disk)) if self.bwrap else []
        return [*bwrap, "prlimit", f"--nproc={2 * limits.processes}", f"--fsize={limits.disk}", "--core=0", "--",
                "choom", "-n", "1000", "--", *map(str, command)]

    def run(self, command, place, limits, log, cwd=None, more_environment=None, clock=None, grace=0.2):
        """Runs a command that `wrap` made, or one that has such a one in it; what it prints goes to the file `log`.
        clock: (began, ended), files that it makes when its turn comes and when it ends, where it may have to wait.
        grace: seconds between asking it to end and ending it."""
        before, free = set(os.listdir(place)), shutil.disk_usage(place).free
        environment = {name: os.environ[name] for name in KEPT if name in os.environ} | MPI | (more_environment or {})
        environment |= {"HOME": str(place), "LC_ALL": "C.UTF-8", "TMPDIR": "/tmp" if self.bwrap else str(place)}
        with open(log, "wb") as printed:
            process = subprocess.Popen(list(map(str, command)), cwd=cwd or place, env=environment, stdout=printed,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True,
                                       **self.identity())
        begin, began, failure, first_output, next_count = time.monotonic(), clock is None, None, None, 0
        pidfd = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            while not failure and not poll.poll(1000 * LOOK):
                now = time.monotonic()
                if not began and clock[0].exists():
                    begin, began = now, True
                if first_output is None and _has_written(place, before):
                    first_output = now - begin
                if began and now - begin > limits.seconds:
                    failure = f"ran longer than the {limits.seconds:g} s allowed"
                elif now >= next_count:
                    failure = self._overdrawn(place, limits, log, free)
                    next_count = time.monotonic() + COUNT
            wall = time.monotonic() - begin
        finally:
            os.close(pidfd)
            end_all(process, grace)
        if clock and clock[1].exists():
            wall = clock[1].stat().st_mtime - clock[0].stat().st_mtime
        return Outcome(process.returncode, failure, wall, first_output)

    @staticmethod
    def _overdrawn(place, limits, log, free_before):
        """What the hand-in has used too much of, or None."""
        if log.stat().st_size > MOST_PRINTED:
            return f"printed more than {size(MOST_PRINTED)}"
        lost = free_before - shutil.disk_usage(place).free  # files that were deleted and are still open take space, too
        if disk_usage(place, limits) > limits.disk or lost > 2 * limits.disk:
            return f"wrote more than the {size(limits.disk)} of disk allowed"
        children = psutil.Process().children(recursive=True)
        if _total(children, psutil.Process.num_threads) > limits.processes:
            return f"started more than the {limits.processes} processes and threads allowed"
        memory = _total(children, lambda child: child.memory_info().rss)
        # rss counts what processes share once for each of them; pss does not, and takes long where many fork.
        if memory > limits.memory and _total(children, lambda child: child.memory_full_info().pss, 1) > limits.memory:
            return f"used more than the {size(limits.memory)} of memory allowed"
        machine = psutil.virtual_memory()
        return "used up the machine's memory" if machine.available < RESERVE * machine.total else None


def _total(processes, figure, seconds=60):
    """The sum of a figure of each process, or of those that could be asked within so many seconds."""
    total, deadline = 0, time.monotonic() + seconds
    for process in processes:
        if time.monotonic() > deadline:
            break
        try:
            total += figure(process)
        except psutil.Error:
            pass  # it has ended
    return total


def _has_written(place, before):
    try:
        return any(entry.name not in before and entry.stat(follow_symlinks=False).st_size for entry in os.scandir(place)
                   if entry.is_file(follow_symlinks=False))
    except OSError:
        return False  # a file went away meanwhile


def disk_usage(place, limits):
    """Bytes that the files under `place` take; more than the limit where they are far too many to count."""
    total, files = 0, 0
    for parent, _, names in os.walk(place):
        for name in names:
            files += 1
            if files > 100_000:
                return limits.disk + 1
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                pass  # it went away
    return total


def end_all(process, grace):
    """Ends a command and all that it started, and waits until nothing of it is left."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
    deadline = time.monotonic() + 30
    while (children := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for stop in (signal.SIGSTOP, signal.SIGKILL):  # first nobody forks on, then nobody lives on
            for child in children:
                try:
                    child.send_signal(stop)
                except psutil.Error:
                    pass
        psutil.wait_procs(children, 1)
    process.wait()
