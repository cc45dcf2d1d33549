"""network.bin for everything in Python: its layout (network.h is the same for C++), reading, checking and writing it.

Arrays go by name: LAYER.weight and LAYER.bias, then beta, gamma, mean and var of the batch normalisation that follows
the layer (tconv4 has none). Shapes: proj.weight (C, 16 K), its outputs being (4, 4, K); a tconv's weight (5, 5, K, C).
"""
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILTER, STRIDE, CUT, EPS = 5, 2, 1, 1e-5  # a tconv's filter, stride and shift; batch normalisation's epsilon


class Layer(NamedTuple):
    """A layer: input map (h, h, c), output map (out_h, out_h, k)."""

    name: str
    h: int
    c: int
    out_h: int
    k: int
    batch_norm: bool

    def shapes(self):
        """{array: shape} in the order of the file."""
        proj = self.h == 1
        outputs = self.out_h * self.out_h * self.k if proj else self.k
        shapes = {"weight": (self.c, outputs) if proj else (FILTER, FILTER, self.k, self.c), "bias": (outputs,)}
        if self.batch_norm:
            shapes |= {part: (self.k,) for part in ("beta", "gamma", "mean", "var")}
        return {f"{self.name}.{part}": shape for part, shape in shapes.items()}


LAYERS = (
    Layer("proj", 1, 100, 4, 512, True),
    Layer("tconv1", 4, 512, 8, 256, True),
    Layer("tconv2", 8, 256, 16, 128, True),
    Layer("tconv3", 16, 128, 32, 64, True),
    Layer("tconv4", 32, 64, 64, 3, False),
)
PROJ, TCONVS = LAYERS[0], LAYERS[1:]
SHAPES = {name: shape for layer in LAYERS for name, shape in layer.shapes().items()}
FLOATS = sum(math.prod(shape) for shape in SHAPES.values())  # 5,137,283
BYTES = 4 * FLOATS


class Failure(Exception):
    """Something that the user can put right: one sentence."""


def read(path):
    """network.bin -> {name: float32 array}. Raises Failure where it is no network, OSError where it cannot be read."""
    size = os.path.getsize(path)
    if size != BYTES:
        raise Failure(f"'{path}' has {size:,} bytes, and a network has {BYTES:,}")
    return split(np.fromfile(path, "<f4"))


def split(flat):
    """All floats in the order of the file -> {name: array}."""
    ends = np.cumsum([math.prod(shape) for shape in SHAPES.values()])
    return {name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), np.split(flat, ends[:-1]))}


def join(parts):
    """The inverse of split, as float32: {name: array} -> (5137283)."""
    return np.concatenate([np.asarray(parts[name], "<f4").reshape(-1) for name in SHAPES])


def check(parts, where):
    """Raises Failure for values that no network has. Returns what is odd about the others, a sentence each."""
    doubts = []
    for name, array in parts.items():
        if not np.isfinite(array).all():
            raise Failure(f"{where}: {name} holds values that are infinite or not numbers")
    for layer in LAYERS:
        if not layer.batch_norm:
            continue
        mean, var = parts[f"{layer.name}.mean"], parts[f"{layer.name}.var"]
        swapped = f"are {layer.name}.mean and {layer.name}.var swapped?"
        if (var < 0).any():
            hint = f" (and no mean is: {swapped})" if (mean >= 0).all() else ""
            raise Failure(f"{where}: {(var < 0).sum()} of the {var.size} variances {layer.name}.var are negative{hint}")
        if (mean > 0).all():
            doubts.append(f"{where}: not one of the {mean.size} means {layer.name}.mean is negative or 0: {swapped}")
    return doubts


def folded(parts):
    """[(weight, bias)] of each layer in float64 and the shapes of the file, batch normalisation folded in."""
    layers = []
    for layer in LAYERS:
        get = {key.split(".")[1]: parts[key].astype(np.float64) for key in layer.shapes()}
        weight, bias = get["weight"], get["bias"]
        if layer.batch_norm:
            scale = get["gamma"] / np.sqrt(get["var"] + EPS)
            shift = get["beta"] - scale * get["mean"]
            if layer is PROJ:  # 16 positions, channel innermost
                scale, shift = np.tile(scale, 16), np.tile(shift, 16)
            weight, bias = weight * (scale if layer is PROJ else scale[:, None]), bias * scale + shift
        layers.append((weight, bias))
    return layers


def write_atomically(path, write):
    """Calls write(file) on a temporary file beside path, which gets its name once it is complete and on the disk."""
    path = Path(path)
    temporary = path.with_name(path.name + ".partial")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
