"""Printed times: reading them, doubting them, and the score.

The grade rests on a number that the hand-in prints itself, of a clock that it starts and stops itself. What it cannot
change is the wall clock outside. Three rules; a time that breaks one is doubted, and counts only where staff says so:

1. It is a number above 0 and no longer than the whole run.
2. What of a run is not in the printed time (start, set-up, reading, writing) may grow with the number of faces only as
   reading and writing do. Growth is measured between the runs of few and of many faces (the fastest of each, so that
   start and set-up fall out), and so it is for the course's own driver, which reads and writes a value at a time (its
   slowest run counts: so a machine that is busy doubts nobody): a hand-in may need FACTOR times what that one needs,
   and a share of the run more.
3. The same until the first byte of output is there. No writing is in that part, so it shows hidden computing that is
   shorter than writing. (Not under SLURM, where the files of another node are seen late.)

Computing in facegen_init, after the clock has stopped, or while writing breaks 2 or 3; a result kept from another run
fails the comparison, as the noise is new and each run starts in a folder of its own.
"""
import math
import re
from typing import NamedTuple, Optional

FACTOR = 2
SLACK = 0.25  # seconds that a growth may be more than that, or
SHARE = 0.1  # this share of the run, if that is more

ELAPSED = re.compile(rb"Elapsed time\s*:\s*(\S+)\s*sec")


class Timing(NamedTuple):
    """Seconds of one run: as printed, of the whole run, and to the first byte of output."""

    printed: float
    wall: float
    first_output: Optional[float]


def printed_time(output):
    """What a run printed (bytes) -> its elapsed time, or None. Where several ranks print one, the longest counts."""
    times = []
    for word in ELAPSED.findall(output):
        try:
            times.append(float(word))
        except ValueError:
            times.append(math.nan)
    return max(times, key=lambda time: math.inf if math.isnan(time) else time) if times else None


def untimed_growth(few, many, part, of_many=min):
    """How much longer the unprinted share of `part` (a field of Timing) is with many faces than with few, or None."""
    few, many = ([getattr(run, part) - run.printed for run in runs if getattr(run, part) is not None]
                 for runs in (few, many))
    return of_many(many) - min(few) if few and many else None


def doubt(few, many, reference):
    """Why the printed times of a hand-in cannot be true, or None. few, many: its runs with few and with many faces;
    reference: those of the course's own driver."""
    for run in (*few, *many):
        if not (math.isfinite(run.printed) and run.printed > 0):
            return f"it printed an elapsed time of {run.printed:f} s"
        if run.printed > run.wall:
            return f"it printed {run.printed:.6f} s, but the whole run took {run.wall:.3f} s"
    for part, what in (("first_output", "to the first byte of output"), ("wall", "from start to end")):
        growth, usual = untimed_growth(few, many, part), untimed_growth(*reference, part, max)
        if growth is None or usual is None:
            continue
        allowed = FACTOR * max(usual, 0) + max(SLACK, SHARE * min(run.wall for run in many))
        if growth > allowed:
            least = min(run.printed for run in many)
            return (f"it printed {least:.6f} s, but beside that its runs took {growth:.2f} s more {what} than "
                    f"with few faces, of which reading, writing and set-up explain {allowed:.2f} s")
    return None


def score(time, best):
    """The course's rule: each factor of two behind the best costs ten points."""
    return min(100.0, max(0.0, 100 - 10 * math.log2(time / best)))


def time_of(score_wanted, best):
    """The time that has this score."""
    return best * 2 ** ((100 - score_wanted) / 10)
