#!/usr/bin/env python3
"""report.md + report/measurements -> report.pdf, and README's "How fast" from how_fast.md.

    report/build.py              everything; needs pandoc, weasyprint, matplotlib (scripts/install_deps.sh report)
    report/build.py --author NAME --pdf FILE    the PDF alone, with its author under the title
    report/build.py --text       the report's text with its numbers in place, to standard output; needs NumPy
    report/build.py --readme     README.md's section alone; needs NumPy

In the text: {{name|format}} is a number (sources.py), {{table:name}} a table (tables.py).
"""
import argparse
import hashlib
import os
import pathlib
import re
import subprocess

import model
import sources
import tables

REPORT = pathlib.Path(__file__).resolve().parent
README = REPORT.parent / "README.md"
BUILD = REPORT.parent / "build/report"

# Numbers of the model, beside those of the measurements.
sources.DERIVED.update({
    "model.link": lambda n: model.LINK / 1e9,
    "model.memory": lambda n: model.ROOT_MEMORY / 1e9,
    "model.link.faces_per_s": lambda n: model.LINK / sources.FACE_BYTES,
    "model.wide_enough": lambda n: model.LINK / sources.FACE_BYTES / model.GPUS,
    "model.gpu": model.gpu_rate,
    "model.start_up": model.start_up,
    "model.two_gpus": model.two_gpus_at_best,
    **{f"model.{nodes}.{what}": lambda n, nodes=nodes, what=what: getattr(model.predict(n, nodes), what)
       for nodes in (1, 2, 16, 128) for what in ("computed", "by_speed", "as_built")},
})


def text(numbers):
    """report.md, resolved."""
    source = (REPORT / "report.md").read_text(encoding="utf-8")
    source = re.sub(r"\{\{table:(\w+)\}\}", lambda m: tables.TABLES[m[1]](numbers), source)
    # A unit stays on the line of its number, a version with its name, a size of two numbers together.
    source = re.sub(r"(?<=\d) x (?=\d)|(?<=PyTorch) (?=\d)", lambda m: m[0].replace(" ", "\u00a0"),
                    sources.resolve(source, numbers))
    return re.sub(r"(?<=\d) (?=(?:[TG]FLOP/s|[kM]?faces/s|[kKMG]i?B(?:/s)?|[mµ]s|s|MHz|W|million|times|%)\b|%)", "\u00a0",
                  source)


def how_fast(numbers):
    """README's section, heading included."""
    return sources.resolve((REPORT / "how_fast.md").read_text(encoding="utf-8"), numbers)


SECTION = re.compile(r"^## How fast\n.*?(?=^## )", re.M | re.S)


def readme(numbers):
    """README.md with that section in place."""
    return SECTION.sub(lambda m: how_fast(numbers) + "\n", README.read_text(encoding="utf-8"))


def fingerprint(markdown):
    """What report.pdf says in its keywords of the text that it was made of."""
    return "text " + hashlib.sha256(markdown.encode()).hexdigest()


def pdf(numbers, to, author=None):
    """Figures, HTML, PDF; an author's name goes under the title."""
    import weasyprint

    from figures import charts, diagrams

    BUILD.mkdir(parents=True, exist_ok=True)
    for draw in (*diagrams.FIGURES, *charts.FIGURES):
        draw(numbers, BUILD / f"{draw.__name__}.svg")
    markdown = text(numbers)
    (BUILD / "report.md").write_text(markdown, encoding="utf-8")
    subprocess.run(["pandoc", "--from=markdown+pipe_tables-implicit_figures-smart", "--to=html5", "--standalone",
                    "--section-divs", "--columns=1000", f"--metadata=keywords:{fingerprint(markdown)}", f"--css={REPORT / 'style.css'}",
                    *([f"--metadata=author:{author}", f"--metadata=by:{author}"] if author else []),
                    f"--template={REPORT / 'template.html'}", "--output=report.html", "report.md"],
                   cwd=BUILD, check=True)
    weasyprint.HTML(BUILD / "report.html").write_pdf(to)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--author")
    parser.add_argument("--pdf", default=REPORT / "report.pdf")
    arguments = parser.parse_args()
    numbers = sources.Numbers()
    if arguments.text:
        print(text(numbers), end="")
        return
    if not arguments.author and readme(numbers) != README.read_text(encoding="utf-8"):
        README.write_text(readme(numbers), encoding="utf-8")
    if not arguments.readme:
        os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
        pdf(numbers, arguments.pdf, arguments.author)


if __name__ == "__main__":
    main()
