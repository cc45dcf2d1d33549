"""What comes out: a table for the terminal, grades.csv, and grades.html, which needs no other file."""
import csv
import io
import math
import warnings
from pathlib import Path
from unicodedata import east_asian_width

import jinja2
import matplotlib
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from . import times
from .references import write_text

COLUMNS = ("rank", "name", "score", "verdict", "seconds", "wall_seconds", "faces_per_second", "behind_best", "runs",
           "reason")
BLUE, AMBER, RED = "#0072b2", "#c77700", "#b3261e"


def set_scores(results, trusted, best):
    """Scores and sorts results; returns the best time, or None. Doubtful times count only for names in `trusted`, and
    are nobody's best otherwise."""
    for result in results:
        result.counts = result.verdict == "right" or (result.verdict == "doubtful" and result.name in trusted)
    best = best or min((result.median() for result in results if result.counts), default=None)
    for result in results:
        result.score = times.score(result.median(), best) if result.counts else 0.0
    results.sort(key=lambda result: (not result.counts, result.median() if result.many else math.inf, result.name))
    return best


def rows(results, faces, best):
    """Results, sorted -> a dictionary of strings by COLUMNS for each."""
    for rank, result in enumerate(results, 1):
        timed, median = bool(result.many), result.median()
        yield {
            "rank": str(rank) if result.counts else "", "name": result.name, "score": f"{result.score:.1f}",
            "verdict": result.verdict, "seconds": f"{median:.6f}" if timed else "",
            "wall_seconds": f"{result.median('wall'):.3f}" if timed else "",
            "faces_per_second": f"{faces / median:.0f}" if result.counts else "",
            "behind_best": f"{median / best:.2f}" if result.counts else "",
            "runs": " ".join(f"{run.printed:.6f}" for run in result.many), "reason": result.reason}


def colour(result):
    return BLUE if result.verdict == "right" else AMBER if result.verdict == "doubtful" else RED


def terminal_table(results, faces, best):
    table = Table(box=SIMPLE)
    for heading, width in {"": 2, "hand-in": 1, "score": 5, "seconds": 10, "wall clock": 10, "faces/s": 7}.items():
        table.add_column(heading, justify="left" if heading == "hand-in" else "right", no_wrap=True, min_width=width)
    table.add_column("verdict", no_wrap=True, min_width=14)
    for result, row in zip(results, rows(results, faces, best)):
        cells = ("rank", "name", "score", "seconds", "wall_seconds", "faces_per_second", "verdict")
        style = {BLUE: "", AMBER: "yellow", RED: "red"}[colour(result)]
        table.add_row(*(escape(row[cell]) for cell in cells), style=style)
    return table


def csv_text(results, faces, best):
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(results, faces, best):
        # A spreadsheet takes a cell that begins with one of these for a formula.
        writer.writerow({key: "'" + text if text[:1] in tuple("=+-@\t\r") else text for key, text in row.items()})
    return out.getvalue()


def plot(results, best):
    """SVG: for each hand-in that was timed its runs on a logarithmic axis, on which the score is a straight line. The
    axis fits the times that count; a doubtful one beyond it becomes an arrow at its end."""
    timed = [result for result in results if result.many]
    counted = [run.printed for result in timed if result.counts for run in result.many]
    if not counted:
        return ""
    matplotlib.use("svg")
    warnings.filterwarnings("ignore", "Glyph")  # of a name: the browser draws it, in a font that has it
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "axes.spines.right": False,
                            "axes.spines.left": False, "svg.fonttype": "none", "svg.hashsalt": "facegen"})
    figure, axes = pyplot.subplots(figsize=(9, 1.1 + 0.28 * len(timed)), layout="constrained")
    least, most = min(best, *counted) / 1.2, max(2 * best, *counted) * 1.2
    for y, result in enumerate(timed):
        axes.axhline(y, color="#0000000d", lw=0.8, zorder=0)
        for time, style in [(run.printed, {"marker": "o", "ms": 4, "mew": 0, "alpha": 0.45}) for run in result.many] + \
                [(result.median(), {"marker": "|", "ms": 13, "mew": 2.2})]:
            if not least < time < most:  # nor is not-a-number
                time, style = (most, {"marker": ">", "ms": 6}) if time >= most else (least, {"marker": "<", "ms": 6})
            axes.plot(time, y, color=colour(result), clip_on=False, **style)
    names = [result.name if len(result.name) <= 28 else result.name[:27] + "…" for result in timed]
    # Room is measured with letters that this font has, and as wide as a browser draws those of others at most.
    axes.set_yticks(range(len(timed)), ["".join("W" if east_asian_width(c) in "WF" else c for c in name).replace("$", r"\$")
                                        for name in names])
    axes.set_ylim(len(timed) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.set_xlim(least, most)
    axes.tick_params(left=False)
    axes.set_xlabel("elapsed time as printed, seconds (dots: runs; bar: their median)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most / least < 100 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    points = [point for point in range(100, -1, -10) if times.time_of(point, best) <= most]
    scores = axes.secondary_xaxis("top")
    scores.set_xticks([times.time_of(point, best) for point in points], map(str, points))
    scores.minorticks_off()
    scores.set_xlabel("score")
    for point in points:
        axes.axvline(times.time_of(point, best), color="#00000022", lw=0.8, zorder=0)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    axes.set_yticklabels([name.replace("$", r"\$") for name in names])
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")), transparent=True)
    pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg"):]  # without the XML declaration


def write_all(folder, results, faces, best, facts, logs):
    """grades.csv and grades.html in `folder`. facts: what else there is to know, by heading; logs: what was printed, by
    name."""
    write_text(folder / "grades.csv", "\ufeff" + csv_text(results, faces, best))  # by that mark Excel knows UTF-8
    template = jinja2.Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"), autoescape=True,
                               trim_blocks=True, lstrip_blocks=True)
    write_text(folder / "grades.html", template.render(rows=list(rows(results, faces, best)), plot=plot(results, best),
                                                       facts=facts, logs=logs, faces=faces))
