#!/usr/bin/env python3
"""Writes inputs/: noise for 10, 100 and 1,000 faces, uniform(-1, 1), the same bytes every time.

  input1.txt  10 faces
  input2.txt  100 faces: ten rows, each a walk in ten equal steps from one noise vector to the next
  input3.txt  1,000 faces

The format is the course's: the number of faces, then one line of 100 numbers (`%f`) for each.
"""

import argparse
from pathlib import Path

import numpy as np

NOISE = 100  # noise values a face, as in network.h
ROWS = STEPS = 10  # of input2's walks


def uniform(seed, faces):
    """Noise (faces, 100), uniform in -1..1."""
    return np.random.Generator(np.random.PCG64(seed)).uniform(-1, 1, (faces, NOISE))


def walks(seed):
    """Noise (100, 100): row i goes from vector i to vector i + 1, so that each row begins where the last one ends."""
    vectors = uniform(seed, ROWS + 1)
    share = np.linspace(0, 1, STEPS)[:, np.newaxis]  # (10, 1): 0 is the first vector, 1 the second
    return np.concatenate([(1 - share) * here + share * there for here, there in zip(vectors, vectors[1:])])


def text(noise):
    """noise (N, 100) -> the file's text."""
    lines = [" ".join(f"{value:f}" for value in row) for row in noise]
    return "\n".join([str(len(lines)), *lines]) + "\n"


def inputs():
    """Name -> text of every input file. The seeds are part of the files: another seed, other faces."""
    return {
        "input1.txt": text(uniform(1, 10)),
        "input2.txt": text(walks(2)),
        "input3.txt": text(uniform(3, 1000)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent / "inputs",
                        help="where they go (default: the repository's inputs/)")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in inputs().items():
        (folder / name).write_text(content, encoding="ascii", newline="\n")
        print(f"Wrote '{folder / name}'.")


if __name__ == "__main__":
    main()
