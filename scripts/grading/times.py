"""Printed times: reading them, doubting them, and the score.

What a hand-in prints it measures itself; the wall clock outside it cannot change. docs/grading.md says when a time is
doubted. How much a run's unprinted share grows from few to many faces is measured between the fastest runs of each, so
that start and set-up fall out; the course's own driver, whose slowest run counts (so that a busy machine doubts nobody),
says how much reading and writing explain. A hand-in may need FACTOR times that, and a share of the run more: in the whole
run, and until the first byte of output, where no writing hides anything (not under SLURM, where files of another node
are seen late).
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
