#!/usr/bin/env python3
"""Everything that several GPUs of one machine show, what matters most first, within four minutes on two GPUs.

  machine     GPUs, how they hang together, NUMA nodes, driver, clocks
  scaling     printed elapsed time (noise from .npy, no outputs), median of several runs: one rank that drives all GPUs,
              and one rank a GPU; strong (the same faces) and weak (as many faces a GPU), speed-up, efficiency
  switches    the same with all GPUs without shared arrays (FACEGEN_SHARE=0), and without NUMA placement (FACEGEN_NUMA=0)
  copies      to host memory: each GPU alone, all together
  same bytes  faces of several GPUs and ranks against those of one GPU, byte for byte
  lost GPU    one that fails in the middle: one sentence, status 3, the whole job ends

Builds what it needs (make, nvcc). With one GPU it runs what one GPU can show, in less than a minute; without mpirun it
leaves the ranks out; without a GPU it says SKIPPED. Prints a table; --json keeps the raw figures. Exit status 1 where
bytes differ or a lost GPU does not end the job as it should; a missed goal is only reported.

Run by `make bench-gpus`. Needs numpy.
"""
import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time

import measurement
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETWORK = ROOT / "network.bin"
FACE_BYTES, NOISE_BYTES = 64 * 64 * 3 * 4, 100 * 4
GOALS = {2: 1.95, 4: 3.8}  # GPUs -> speed-up over one
COLUMNS = "faces", "gpus", "ranks", "seconds", "faces_per_s", "speed_up", "efficiency", "weak_efficiency", "meets_goal"
# OpenMPI refuses root unless told otherwise; without -gl its hwloc may look for an X server for seconds.
os.environ.update(HWLOC_COMPONENTS="-gl", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def available_bytes():
    found = re.search(r"MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    return int(found.group(1)) << 10


def layout():
    """How the machine is put together."""
    keep = ("Model name", "Socket", "Core", "Thread", "CPU(s)", "NUMA")
    return {"topology": measurement.output_of("nvidia-smi", "topo", "-m").splitlines(),
            "lscpu": [line for line in measurement.output_of("lscpu").splitlines() if line.startswith(keep)],
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "mpi": (measurement.output_of("mpirun", "--version").splitlines() or [""])[0]}


class Bench:
    def __init__(self, arguments, gpus, folder):
        self.program, self.runs, self.most_ranks = arguments.program, arguments.runs, arguments.ranks
        self.gpus, self.folder = gpus, folder
        self.end = time.monotonic() + 60 * arguments.minutes
        self.left_out, self.failures = [], []

    def leave_out(self, what, why):
        self.left_out.append(f"{what}: {why}")
        print(f"left out: {what}: {why}", flush=True)

    def time_left(self, what):
        """Whether something new may begin; says so where not."""
        if time.monotonic() > self.end:
            self.leave_out(what, "the time is over (--minutes)")
        return time.monotonic() <= self.end

    def fail(self, what):
        self.failures.append(what)
        print(f"FAILED: {what}", flush=True)

    def noise(self, n):
        path = self.folder / f"noise{n}.npy"
        if not path.exists():
            np.save(path, np.random.default_rng(n).uniform(-1, 1, (n, 100)).astype(np.float32))
        return path

    def run(self, n, gpus, ranks, faces="none", **switches):
        """n faces on the first GPUs, all in one batch; one rank without mpirun."""
        launch = ["mpirun", "--oversubscribe", "-n", ranks] if ranks > 1 else []
        command = [*launch, self.program, "-q", "--batch", max(n, 1), "--devices", ",".join(map(str, range(gpus))), NETWORK,
                   self.noise(n), faces, "none"]
        return subprocess.run([str(word) for word in command], env={**os.environ, **switches}, cwd=ROOT,
                              capture_output=True, text=True, timeout=300)

    # ---- Same bytes

    def same_bytes(self, n):
        """Faces of every way to share out n of them, against one GPU's."""
        expected = self.folder / "one.npy"
        done = self.run(n, 1, 1, expected)
        if done.returncode != 0:
            self.fail(f"{n} faces on one GPU: {done.stderr.strip()}")
            return []
        ways = [(gpus, 1, {}) for gpus in counts(self.gpus)[1:]]
        if self.most_ranks > 1:
            ways += [(self.gpus, ranks, {"FACEGEN_SHARE": share})
                     for ranks in sorted({2, min(self.gpus + 1, self.most_ranks)}) for share in "10"]
        entries = []
        for gpus, ranks, switches in ways:
            got = self.folder / "several.npy"
            got.unlink(missing_ok=True)
            done = self.run(n, gpus, ranks, got, **switches)
            same = done.returncode == 0 and \
                subprocess.run(["cmp", expected, got], stdout=subprocess.DEVNULL).returncode == 0
            way = f"{n} faces, {gpus} GPUs, {ranks} ranks{', messages' if switches.get('FACEGEN_SHARE') == '0' else ''}"
            entries.append({"faces": n, "gpus": gpus, "ranks": ranks, **switches, "same": same})
            print(f"{'same bytes' if same else 'DIFFERENT'}: {way}", flush=True)
            if not same:
                self.fail(f"other bytes than one GPU's: {way}: {done.stderr.strip()}")
        return entries

    # ---- A lost GPU

    def lost_gpu(self, n, ranks):
        lost, chunk = self.gpus - 1, 5 if n >= 8192 else 1  # of a short run others may compute the rest
        start = time.monotonic()
        done = self.run(n, self.gpus, ranks, FACEGEN_FAIL_GPU=f"{lost}:{chunk}")
        seconds = time.monotonic() - start
        said = [line for line in done.stderr.splitlines() if f"GPU {lost}" in line]
        good = done.returncode == 3 and len(said) == 1
        print(f"{'a lost GPU ends the job' if good else 'WRONG END'}: {ranks} ranks, status {done.returncode}, "
              f"{seconds:.1f} s: {' '.join(said) or done.stderr.strip()}", flush=True)
        if not good:
            self.fail(f"a lost GPU, {ranks} ranks: expected status 3 and one sentence that names GPU {lost}")
        return {"faces": n, "gpus": self.gpus, "ranks": ranks, "status": done.returncode, "seconds": seconds,
                "sentences": said}

    # ---- Scaling

    def elapsed(self, n, gpus, ranks, **switches):
        """One row: the printed elapsed times, or None where there is no room or no time for them."""
        what = f"{n} faces, {gpus} GPUs, {ranks} ranks {' '.join(f'{k}={v}' for k, v in switches.items())}".strip()
        needed = int(1.1 * n * (FACE_BYTES + 2 * NOISE_BYTES)) + (2 << 30)
        if needed > available_bytes():
            return self.leave_out(what, f"{needed >> 30} GiB of host memory needed, {available_bytes() >> 30} free")
        if not self.time_left(what):
            return None
        times = []
        for _ in range(min(self.runs, 3) if switches else self.runs):
            done = self.run(n, gpus, ranks, **switches)
            found = re.search(r"Elapsed time : ([\d.]+) sec", done.stdout)
            if done.returncode != 0 or not found:
                return self.fail(f"{what}: status {done.returncode}: {done.stderr.strip()}")
            times.append(float(found.group(1)))
        seconds = statistics.median(times)
        return {"faces": n, "gpus": gpus, "ranks": ranks, "switches": switches, "runs_s": times, "seconds": seconds,
                "faces_per_s": n / seconds if seconds > 0 else 0}


def counts(gpus):
    """1, 2, 4, 8 as far as there are GPUs, and all of them."""
    return sorted({k for k in (1, 2, 4, 8) if k <= gpus} | {gpus})


def ways_to_scale(gpus, faces, most_ranks):
    """(n, GPUs, ranks, switches), what matters most first."""
    first, all_ranks = faces[0], gpus if gpus <= most_ranks else 1
    ways = [(n, k, ranks, {}) for n in faces for k in counts(gpus) for ranks in (1, min(k, most_ranks))]  # strong
    ways += [(k * first, k, ranks, {}) for k in counts(gpus)[1:] for ranks in (1, min(k, most_ranks))]  # weak
    if gpus > 1:
        ways += [(first, gpus, 1, {"FACEGEN_NUMA": "0"}), (first, gpus, all_ranks, {"FACEGEN_NUMA": "0"})]
        ways += [(first, gpus, all_ranks, {"FACEGEN_SHARE": "0"})] if all_ranks > 1 else []
    elif most_ranks > 1:
        ways += [(first, 1, 2, {}), (first, 1, 2, {"FACEGEN_SHARE": "0"})]  # the second rank has no GPU
    return [way for i, way in enumerate(ways) if way not in ways[:i]]


def add_speed_ups(entries, faces):
    """Strong: against one GPU on the same faces. Weak, rows of faces[0] a GPU: against one GPU on faces[0]."""
    one = {entry["faces"]: entry["seconds"] for entry in entries if entry["gpus"] == entry["ranks"] == 1}
    for entry in entries:
        k = entry["gpus"]
        if entry["faces"] in one:
            entry["speed_up"] = one[entry["faces"]] / entry["seconds"]
            entry["efficiency"] = entry["speed_up"] / k
            if entry["faces"] in faces and k in GOALS and not entry["switches"]:
                entry["goal"], entry["meets_goal"] = GOALS[k], entry["speed_up"] >= GOALS[k]
        if k > 1 and entry["faces"] == k * faces[0] and faces[0] in one:
            entry["weak_efficiency"] = one[faces[0]] / entry["seconds"]


def build():
    """Builds the programs -> the one that measures copies."""
    subprocess.run(["make", "-s", f"-j{os.cpu_count()}", "all", "build/copy_rates"], cwd=ROOT, check=True)
    return ROOT / "build/copy_rates"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="+", default=[65536, 262144], metavar="N")
    parser.add_argument("--same", type=int, nargs="+", default=[8192], metavar="N",
                        help="faces compared byte for byte")
    parser.add_argument("--runs", type=int, default=5, help="of each way to share out (default 5; 3 with a switch)")
    parser.add_argument("--minutes", type=float, default=3.5, help="begin nothing new after so many (default 3.5)")
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go (default: report/measurements)")
    parser.add_argument("--scratch", default="/dev/shm", help="folder in memory for noise and faces")
    parser.add_argument("--simulated", type=pathlib.Path, metavar="PROGRAM",
                        help="a dry run: this program (tests/simulated_gpus.cpp) in place of facegen_parallel")
    arguments = parser.parse_args()

    gpus = int(os.environ.get("FACEGEN_SIMULATED_GPUS", 2)) if arguments.simulated else \
        measurement.output_of("nvidia-smi", "-L").count("GPU ")
    if gpus == 0:
        print("SKIPPED: no GPU here (nvidia-smi lists none)")
        return 0
    copy_rates = None
    if arguments.simulated:
        arguments.program = arguments.simulated.resolve()
        os.environ["FACEGEN_SIMULATED_GPUS"] = str(gpus)
    else:
        arguments.program = ROOT / "facegen_parallel"
        copy_rates = build()
    with_ranks = shutil.which("mpirun") and "MPI" in measurement.output_of(arguments.program, "--version").replace("no MPI", "")
    arguments.ranks = 64 if with_ranks else 1

    facts = layout()
    print("\n".join(facts["topology"] + facts["lscpu"]))
    faces = arguments.faces
    copies = None
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        start = time.monotonic()
        bench = Bench(arguments, gpus, pathlib.Path(scratch))
        if not with_ranks:
            bench.leave_out("several ranks", "no mpirun here, or facegen_parallel was built without MPI")
        if gpus == 1:
            bench.leave_out("scaling", "one GPU here; what follows is what one GPU can show")
            faces = faces[:1]
        entries = []
        for n, k, ranks, switches in ways_to_scale(gpus, faces, arguments.ranks):
            entry = bench.elapsed(n, k, ranks, **switches)
            entries += [entry] if entry else []
        add_speed_ups(entries, faces)
        table = measurement.Table()
        for entry in entries:
            table.show({name: entry.get(name, "-") for name in COLUMNS} | {"switched off": " ".join(entry["switches"])})
        for path in bench.folder.glob("*.npy"):  # memory for what follows
            path.unlink()
        if copy_rates and bench.time_left("copies"):
            copies = measurement.figures_of(copy_rates)
        same = [entry for n in arguments.same if bench.time_left(f"same bytes of {n} faces")
                for entry in bench.same_bytes(n)]
        lost = [bench.lost_gpu(faces[0], ranks) for ranks in ([1, max(2, gpus)] if with_ranks else [1])
                if bench.time_left(f"a lost GPU, {ranks} ranks")]
    minutes = (time.monotonic() - start) / 60
    print(f"{len(bench.failures)} failures, {len(bench.left_out)} left out, {minutes:.1f} minutes")
    if arguments.json or not arguments.simulated:
        measurement.keep("gpu-scaling", {
            "simulated": bool(arguments.simulated), **facts,
            "what": "seconds: printed elapsed time, host to host, median of runs_s; speed_up: over one GPU on as many faces; "
                    "weak_efficiency: one GPU's time for its share over this time",
            "minutes": round(minutes, 2), "entries": entries, "copies": copies, "same_bytes": same, "lost_gpu": lost,
            "left_out": bench.left_out, "failures": bench.failures}, measurement.this_command(), arguments.json)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
