#!/usr/bin/env python3
"""Where a measurement goes, and what is kept with its figures: report/measurements/DATE-MACHINE-WHAT.json, with date,
commit, machine, the load before it began, and the command that repeats it.

    bench/measurement.py WHAT PROGRAM [ARGUMENT...]

runs a program that writes its figures to a file, for which JSON stands among the arguments, and keeps them; a program
that says SKIPPED has none. WHAT begins with gpu- where the GPU is measured. From the environment (or from make):
MACHINE=name in place of what is found here, COMMIT=name where git is not at hand, NOTE=text for what else should be known.
"""
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
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


def keep(what, figures, command, path=None):
    """Writes figures (a dictionary, or a list of rows) with what must be known of them, to path or to its place."""
    date, on_gpu = time.strftime("%Y-%m-%d"), what.startswith("gpu-")
    machine = os.environ.get("MACHINE") or machine_name(on_gpu)
    known = {"date": date, "commit": commit(), "machine": machine, "command": command, "cpu": processor()[0],
             "cores": len(os.sched_getaffinity(0)), "load": LOAD}
    if on_gpu:
        known["gpus"] = gpus()
    if "NOTE" in os.environ:
        known["note"] = os.environ["NOTE"]
    path = pathlib.Path(path or MEASUREMENTS / f"{date}-{machine}-{what.removeprefix('gpu-')}.json")
    path.write_text(json.dumps({**(figures if isinstance(figures, dict) else {"rows": figures}), **known}, indent=1) + "\n")
    print(f"Wrote '{path}'.")


def this_command():
    """The script that runs, with its arguments, as typed at the top of the repository."""
    script = os.path.relpath(sys.argv[0], ROOT)
    return " ".join([script, *sys.argv[1:]])


def main():
    if len(sys.argv) < 3 or "JSON" not in sys.argv[3:]:
        print(__doc__, file=sys.stderr)
        return 2
    what, program, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        figures = pathlib.Path(folder, "figures.json")
        process = subprocess.Popen([program, *(str(figures) if word == "JSON" else word for word in arguments)],
                                   stdout=subprocess.PIPE, text=True)
        skipped = False
        for line in process.stdout:
            print(line, end="", flush=True)
            skipped |= line.startswith("SKIPPED")
        if process.wait() == 0 and figures.exists():
            keep(what, json.loads(figures.read_text()), this_command())
        elif not skipped:
            print(f"measurement.py: {program} failed (status {process.returncode}): nothing was kept", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
