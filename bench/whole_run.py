#!/usr/bin/env python3
"""Whole runs, from start to exit: facegen_parallel against the same computation behind a course-like driver.

For each N: the median wall time of a few runs, the parts of ours (from its --json), and the most memory that either
held. Prints a table.

Run by `make bench`. Needs NumPy.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import measurement
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent


def measure(command):
    """Runs a command; returns (wall seconds, peak resident MiB)."""
    start = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"whole_run.py: {command[0]} failed: {errors.decode()}")
    return seconds, usage.ru_maxrss / 1024


def write_noise(path, n):
    """n faces' noise in the course's form."""
    noise = np.random.default_rng(n).uniform(-1, 1, (n, 100))
    with open(path, "w") as file:
        file.write(f"{n}\n")
        np.savetxt(file, noise, fmt="%f")


def compare(n, driver, folder, runs):
    """One row of the table: n faces through both drivers, turn by turn."""
    noise = folder / "noise.txt"
    write_noise(noise, n)
    ours, theirs, parts = [], [], []
    for _ in range(runs):
        ours.append(measure(["./facegen_parallel", "--json", folder / "profile.json", "network.bin", noise,
                             folder / "ours.txt", folder / "ours.bmp"]))
        parts.append(json.loads((folder / "profile.json").read_text()))
        theirs.append(measure([driver, "network.bin", noise, folder / "theirs.txt", folder / "theirs.bmp"]))
    if subprocess.run(["./compare_result", folder / "ours.txt", folder / "theirs.txt"], cwd=ROOT,
                      stdout=subprocess.DEVNULL).returncode != 0:
        raise SystemExit(f"whole_run.py: the two drivers' results differ for {n} faces")
    middle = sorted(parts, key=lambda part: part["whole_run_s"])[len(parts) // 2]
    stages = {}
    for row in middle["stages"]:
        if row["rank"] == 0:
            stages[row["stage"]] = stages.get(row["stage"], 0) + row["seconds"]
    return {"program": "facegen_parallel", "faces": n, "seconds": statistics.median(s for s, _ in ours),
            "faces_per_s": n / statistics.median(s for s, _ in ours), "elapsed_s": middle["seconds"],
            "peak_mib": max(m for _, m in ours), "stages_s": stages,
            "peer": {"program": "course_like_driver", "seconds": statistics.median(s for s, _ in theirs),
                     "peak_mib": max(m for _, m in theirs)}}


def memory_over_n(folder, sizes):
    """Peak resident MiB of whole runs, numbers and picture written to files that are then thrown away."""
    rows = []
    for n in sizes:
        noise = np.random.default_rng(n).uniform(-1, 1, (n, 100)).astype(np.float32)
        np.save(folder / "noise.npy", noise)
        seconds, peak = measure(["./facegen_parallel", "network.bin", folder / "noise.npy", "/dev/null",
                                 folder / "sheet.bmp"])
        rows.append({"faces": n, "seconds": seconds, "peak_mib": peak})
        (folder / "sheet.bmp").unlink()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("driver", help="the built course_like_driver")
    parser.add_argument("--faces", type=int, nargs="+", default=[10, 100, 1000, 4096, 16384], metavar="N")
    parser.add_argument("--memory", type=int, nargs="*", default=[50000], metavar="N", help="also the memory over these N")
    parser.add_argument("--runs", type=int, default=3, help="of each program for each N (default 3)")
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go (default: report/measurements)")
    arguments = parser.parse_args()

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        table = measurement.Table()
        for n in arguments.faces:
            rows.append(compare(n, arguments.driver, folder, arguments.runs))
            table.show({**rows[-1], **{f"peer_{name}": value for name, value in rows[-1]["peer"].items()}})
        memory = memory_over_n(folder, arguments.memory)
    for row in memory:
        table.show(row)
    measurement.keep("whole-run", {"what": "whole runs, wall time from start to exit, medians", "entries": rows,
                                   "memory": memory}, measurement.this_command(), arguments.json)


if __name__ == "__main__":
    main()
