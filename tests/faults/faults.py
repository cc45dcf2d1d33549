#!/usr/bin/env python3
"""faults.py: makes every call that a run depends on fail once, and ends runs by signals at random moments.

For each scenario and each function of inject.c the first call fails in one run, the second in the next, and so on until
a run makes no k-th call. Of three ranks the calls of rank 0 fail, then those of rank 1 (rank 2 does what that does);
there a place in the program that asks for memory in a loop counts three times. After each run: the status is 0 or 3; a
run that failed has said in one sentence why; outputs are as they were before or complete; nothing lies beside them or in
TMPDIR; nobody waits for ever. The counts are printed as rows that bench/measurement.py keeps, where nothing was wrong.

  --most K      no more than K runs a function (default: as many as there are calls)
  --kills N     so many runs ended by a signal, 0 to 1 times as long as the whole run takes (default 200)
  --jobs N      so many runs at a time (default: two a core)
  --only NAME   only scenarios whose name holds this (may be given several times)
  --call NAME   only this function fails
"""
import argparse
import array
import collections
import concurrent.futures
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CALLS = ["read", "write", "pread", "pwrite", "open", "close", "fcntl", "lseek", "stat", "readlink", "linkat", "rename",
         "unlink", "ftruncate", "fallocate", "fchmod", "fchown", "mmap", "memfd_create", "malloc", "pthread_create"]
# The CUDA runtime is part of the program where there is one, and crashes where a malloc of its own fails before main().
if "no CUDA" not in subprocess.run([ROOT / "facegen_parallel", "--version"], capture_output=True, text=True).stdout:
    CALLS.remove("malloc")
KILLS = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "XCPU", "ALRM", "ABRT", "KILL"]
LIMIT_S = 120

# name: ranks, program and options, noise, data, image, whether --json
SCENARIOS = {
    "sequential, text and BMP": (1, ["facegen_seq"], "one.txt", "o.txt", "o.bmp", False),
    "batches, text and PNG": (1, ["facegen_parallel", "-d", "none", "-t", "2", "-b", "3"], "n.txt", "o.txt", "o.png", True),
    "one batch, .npy and BMP": (1, ["facegen_parallel", "-d", "none", "-t", "2"], "n.npy", "o.npy", "o.bmp", False),
    "temporary names, text and BMP": (1, ["facegen_parallel", "-d", "none", "-t", "2", "-b", "3"], "n.txt", "o.txt", "o.bmp", True),
    "three ranks, batches": (3, ["facegen_parallel", "-d", "none", "-t", "1", "-b", "3"], "n.npy", "o.txt", "o.bmp", True),
}
FACES = 7
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "HWLOC_COMPONENTS": "-gl",
               "OMPI_MCA_rmaps_base_oversubscribe": "1"}


class Scenario:
    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        folder.mkdir()
        self.named = name.startswith("temporary names")
        self.ranks, self.program, noise, *outputs, json_too = SCENARIOS[name]
        self.outputs = outputs + ["p.json"] * json_too
        launcher = ["mpirun", "-n", str(self.ranks)] if self.ranks > 1 else []
        self.command = [*launcher, str(ROOT / self.program[0]), *self.program[1:], *["--json", "p.json"] * json_too,
                        str(ROOT / "network.bin"), str(folder.parent / noise), *outputs]
        self.place = folder / "place"
        self.tmp = folder / "tmp"
        self.expected = None

    def start(self, preload):
        """Outputs that are there already: every second run has them."""
        for path in (self.place, self.tmp):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        self.before = bool(random.getrandbits(1))
        for name in self.outputs * self.before:
            (self.place / name).write_text("before")
        # Open MPI's daemon gets a place of its own: what it leaves is not ours.
        environment = {**ENVIRONMENT, "TMPDIR": str(self.tmp), **({"FAULT_NAMED": "1"} if self.named else {}), **preload}
        self.errors = open(self.folder / "errors", "w+b")
        return subprocess.Popen(self.command, cwd=self.place, env=environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=self.errors, start_new_session=True)

    def check(self, status, told):
        """What is wrong after a run; told: it had the time to say why it failed."""
        self.errors.seek(0)
        text = self.errors.read().decode(errors="replace")
        self.errors.close()
        found = {path.name: path.read_bytes() for path in self.place.iterdir()}
        sentences = [line for line in text.splitlines() if line.startswith(self.program[0] + ": ")]
        wrong = []
        if told and status not in (0, 3):  # nothing is wrong with the input, nor with the command
            wrong.append(f"status {status}")
        if told and status != 0 and len(sentences) != 1:
            wrong.append(f"{len(sentences)} sentences")
        if any("please report this" in line for line in sentences):  # what std::terminate says where nothing better is known
            wrong.append("it ended itself")
        for name in self.outputs:
            whole = found.get(name) == self.expected.get(name) or (name == "p.json" and found.get(name, b"").endswith(b"]}\n"))
            old = found.get(name) == (b"before" if self.before else None)
            if not (whole or (old and status != 0)):
                wrong.append(f"{name} is " + ("missing" if name not in found else f"{len(found[name])} bytes of something"))
        wrong += [f"{name} is left" for name in found if name not in self.outputs]
        if self.ranks == 1:
            wrong += [f"TMPDIR/{path.name} is left" for path in self.tmp.iterdir()]
        return [f"{what}; said: {text.strip()[-600:]!r}" for what in wrong]

    def reference(self):
        process = self.start({})
        assert process.wait() == 0
        self.errors.close()
        self.expected = {path.name: path.read_bytes() for path in self.place.iterdir()}


def finish(process):
    """Waits for it, or ends all that it started -> its status; None: it waited for ever."""
    try:
        return process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def fail_calls(scenarios, library, calls, most, count, complain):
    """scenarios: the same one in several folders, for as many runs at a time."""
    for call in calls:
        for rank in range(min(2, scenarios[0].ranks)):
            fault = {"LD_PRELOAD": str(library), "FAULT_CALL": call}
            if scenarios[0].ranks > 1:
                fault["FAULT_RANK"] = str(rank)
                if call == "malloc":
                    fault["FAULT_TIMES"] = "3"
            left = iter(range(1, most + 1) if most else itertools.count(1))

            def work(scenario):
                for k in left:
                    mark = scenario.folder / "mark"
                    mark.unlink(missing_ok=True)
                    status = finish(scenario.start({**fault, "FAULT_AT": str(k), "FAULT_MARK": str(mark)}))
                    if not mark.exists():  # no such call any more
                        break
                    count[scenario.name, call] += 1
                    where = f"{scenario.name}: {call}, call {k} of rank {rank}"
                    if status is None:
                        complain(f"{where}: waits for ever")
                    for wrong in [] if status is None else scenario.check(status, True):
                        complain(f"{where}: {wrong}")

            with concurrent.futures.ThreadPoolExecutor(len(scenarios)) as pool:
                list(pool.map(work, scenarios))


def kill(scenario, library, kills, count, complain):
    began = time.monotonic()
    scenario.reference()
    whole = time.monotonic() - began
    for _ in range(kills):
        name = random.choice(KILLS)
        if name == "KILL" and scenario.named:  # nobody can take a name away then
            name = "TERM"
        process = scenario.start({"LD_PRELOAD": str(library)})
        pause = random.uniform(0, whole)
        time.sleep(pause)
        process.send_signal(signal.Signals["SIG" + name])
        status = finish(process)
        count[scenario.name, "signals"] += 1
        if scenario.ranks > 1:
            time.sleep(0.5)  # ranks end after mpirun
        where = f"{scenario.name}: SIG{name} after {pause:.3f} s"
        if status is None:
            complain(f"{where}: waits for ever")
        for wrong in [] if status is None else scenario.check(status, False):
            complain(f"{where}: status {status}: {wrong}")


def totals(count, names):
    """How many runs there were of these scenarios, of both kinds."""
    return {"failed_calls": sum(count[name, call] for name in names for call in CALLS),
            "signals": sum(count[name, "signals"] for name in names)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2 * len(os.sched_getaffinity(0)))
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--call", choices=CALLS)
    options = parser.parse_args()
    calls = [options.call] if options.call else CALLS
    names = [name for name in SCENARIOS if not options.only or any(word in name for word in options.only)]
    count, complaints = collections.Counter(), []

    def complain(text):
        complaints.append(text)
        print("WRONG", text, flush=True)

    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        library = folder / "inject.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, ROOT / "tests/faults/inject.c", "-ldl"], check=True)
        values = [((i * 37) % 201 - 100) / 100 for i in range(FACES * 100)]
        for noise, faces in (("n.txt", FACES), ("one.txt", 1)):  # facegen_seq has no batches, and is slow
            (folder / noise).write_text(f"{faces}\n" + " ".join(map(str, values[:faces * 100])) + "\n")
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({FACES}, 100), }}".ljust(117) + "\n"
        (folder / "n.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
                                       + array.array("f", values).tobytes())
        for name in names:
            scenarios = [Scenario(name, folder / f"{name} {i}") for i in range(options.jobs)]
            for scenario in scenarios:
                scenario.reference()
            fail_calls(scenarios, library, calls, options.most, count, complain)
            kill(scenarios[0], library, options.kills // len(names), count, complain)
            print(json.dumps({"list": "scenarios", "scenario": name, **totals(count, [name])}), flush=True)
    for call in calls:
        print(json.dumps({"list": "calls", "call": call, "failed": sum(count[name, call] for name in names)}), flush=True)
    print(json.dumps({**totals(count, names), "wrong": len(complaints)}))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
