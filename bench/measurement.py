#!/usr/bin/env python3
"""Where a measurement goes, and what is kept with its figures: report/measurements/DATE-MACHINE-WHAT.json, with date,
commit, machine, the load before it began, and the command that repeats it.

    bench/measurement.py WHAT PROGRAM [ARGUMENT...]

runs a program that prints its figures as bench/bench.h does, shows them as a table and keeps them; a program that says
SKIPPED has none. WHAT begins with gpu- where the GPU is measured. From the environment (or from make):
MACHINE=name in place of what is found here, COMMIT=name where git is not at hand, NOTE=text for what else should be known.
"""
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEASUREMENTS = ROOT / "report/measurements"
LOAD = round(os.getloadavg()[0], 2)  # before anything of ours ran


def output_of(*command):
    """What a command says, or '' where there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def commit():
    """The commit that is checked out, and whether files differ from it."""
    git = ["git", "-C", str(ROOT)]
    changed = output_of(*git, "status", "--porcelain", "--untracked-files=no").strip()
    found = output_of(*git, "rev-parse", "--short", "HEAD").strip() + (" with changes" if changed else "")
    return os.environ.get("COMMIT") or found or "unknown"


def processor():
    """(model, widest vectors) of the CPU."""
    facts = dict(re.findall(r"^(model name|flags|Features)\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M))
    flags = facts.get("flags", "").split()
    vectors = next((name for name, flag in (("avx512", "avx512f"), ("avx2", "avx2")) if flag in flags), "plain")
    return facts.get("model name", platform.machine()), vectors


def gpus():
    """A dictionary a GPU, as nvidia-smi names its facts."""
    fields = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit"
    rows = output_of("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader").splitlines()
    return [dict(zip(fields.split(","), (word.strip() for word in row.split(",")))) for row in rows]


def machine_name(on_gpu):
    """A word for file names: h100, h100x2; epyc-avx2-2 (two cores)."""
    found = gpus() if on_gpu else []
    if found:
        name, count = found[0]["name"].removeprefix("NVIDIA ").split()[0], len(found)
        return name.lower() + (f"x{count}" if count > 1 else "")
    model, vectors = processor()
    words = re.sub(r"\(R\)|\(TM\)|@.*|\b(AMD|Intel|CPU|Processor|Core|\d+-Core)\b", " ", model).lower().split()
    return "-".join([*words, vectors, str(len(os.sched_getaffinity(0)))])


class Table:
    """Rows on standard output as they come, under a head where it changes."""

    def __init__(self):
        self.widths = {}

    def show(self, row):
        cells = {name: f"{value:.4g}" if isinstance(value, float) else str(value)
                 for name, value in row.items() if not isinstance(value, (list, dict, type(None)))}
        if list(cells) != list(self.widths):
            self.widths = {name: max(len(name), len(cell), 9) for name, cell in cells.items()}
            print("\n" + "  ".join(name.rjust(width) for name, width in self.widths.items()))
        print("  ".join(cell.rjust(self.widths[name]) for name, cell in cells.items()), flush=True)


def figures_of(*command):
    """Runs a program that prints rows -> its figures, {} where it fails; None where it says SKIPPED."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    table, figures, skipped = Table(), {}, False
    for line in process.stdout:
        if not line.startswith("{"):
            print(line, end="", flush=True)
            skipped |= line.startswith("SKIPPED")
            continue
        row = json.loads(line)
        name = row.pop("list", None)
        if name:
            figures.setdefault(name, []).append(row)
        else:
            figures.update(row)
        table.show(row)
    failed = process.wait() != 0
    return None if skipped else {} if failed else figures


def keep(what, figures, command, path=None):
    """Writes figures (a dictionary) with what must be known of them, to path or to its place."""
    date, on_gpu = time.strftime("%Y-%m-%d"), what.startswith("gpu-")
    machine = os.environ.get("MACHINE") or machine_name(on_gpu)
    known = {"date": date, "commit": commit(), "machine": machine, "command": command, "cpu": processor()[0],
             "cores": len(os.sched_getaffinity(0)), "load": LOAD}
    if on_gpu:
        known["gpus"] = gpus()
    if "NOTE" in os.environ:
        known["note"] = os.environ["NOTE"]
    path = pathlib.Path(path or MEASUREMENTS / f"{date}-{machine}-{what.removeprefix('gpu-')}.json")
    path.write_text(json.dumps({**figures, **known}, indent=1) + "\n")
    print(f"Wrote '{path}'.")


def this_command():
    """The script that runs, with its arguments, as typed at the top of the repository."""
    script = os.path.relpath(sys.argv[0], ROOT)
    return " ".join([script, *sys.argv[1:]])


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    what, *command = sys.argv[1:]
    figures = figures_of(*command)
    if figures:
        keep(what, figures, this_command())
    elif figures is not None:
        print(f"measurement.py: {command[0]} failed or measured nothing: nothing was kept", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
