"""The network once more, in float64 numpy: what every program is held against.

It shares nothing with the programs but the file format. Arrays: noise (N,100), maps (N,H,W,C), faces (N,64,64,3).
"""
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import network_file  # noqa: E402
from network_file import EPS, LAYERS, TCONVS, join, split  # noqa: E402


def shipped():
    """The shipped network: every parameter in file order."""
    return join(network_file.read(ROOT / "network.bin"))


def random_network(seed, hard=False):
    """A fresh network whose maps stay of order 1. hard: awkward statistics that cancel out in the maths only:
    weights scaled by 10 and 0.1 in turn with the variances following, large means, tiny variances, channels that are
    always 0 after ReLU."""
    rng = np.random.default_rng(seed)
    parts = {"proj.weight": rng.normal(0, 1 / np.sqrt(33), (100, 8192)),  # uniform noise has variance 1/3
             "proj.bias": rng.normal(0, 0.1, 8192)}
    scale = 1.0
    for i, (before, layer) in enumerate(zip(LAYERS, TCONVS)):
        if hard:
            scale = (10.0, 0.1, 10.0, 0.1)[i]
            parts[f"{before.name}.weight"] = parts[f"{before.name}.weight"] * scale
            parts[f"{before.name}.bias"] = parts[f"{before.name}.bias"] * scale
        norm = {"mean": rng.normal(0, 0.3, before.k) * scale + (3 * scale if hard else 0),
                "var": rng.uniform(0.5, 1.5, before.k) * scale * scale,
                "gamma": rng.uniform(0.5, 1.5, before.k),
                "beta": rng.normal(0, 0.3, before.k) + (3 if hard else 0)}
        if hard:
            norm["var"][0], norm["gamma"][0], norm["beta"][1::16] = 1e-12, 1e-3, -1e3
        parts |= {f"{before.name}.{part}": values for part, values in norm.items()}
        parts[f"{layer.name}.weight"] = rng.normal(0, 1 / np.sqrt(6 * layer.c), (5, 5, layer.k, layer.c))  # 4 to 9 taps
        parts[f"{layer.name}.bias"] = rng.normal(0, 0.1, layer.k)
    return join(parts)


def tconv(x, weight, bias):
    """x (N,H,W,C), weight (5,5,K,C), bias (K) -> (N,2H,2W,K)."""
    n, h, w, _ = x.shape
    k = weight.shape[2]
    full = np.zeros((n, 2 * h + 3, 2 * w + 3, k))  # before the cut: one row and column above, two below
    for r in range(5):
        for s in range(5):
            full[:, r:r + 2 * h:2, s:s + 2 * w:2] += x @ weight[r, s].T
    return full[:, 1:1 + 2 * h, 1:1 + 2 * w] + bias


def layers(network, noise):
    """network (5137283), noise (N,100) -> the map after each layer: 4 (N,H,W,C) after ReLU, then the faces."""
    parts = {name: part.astype(np.float64) for name, part in split(network).items()}
    x = (noise.astype(np.float64) @ parts["proj.weight"] + parts["proj.bias"]).reshape(-1, 4, 4, 512)
    maps = []
    for before, layer in zip(LAYERS, TCONVS):
        scale = parts[f"{before.name}.gamma"] / np.sqrt(parts[f"{before.name}.var"] + EPS)
        x = scale * x + (parts[f"{before.name}.beta"] - scale * parts[f"{before.name}.mean"])
        x = np.maximum(x, 0)
        maps.append(x)
        x = tconv(x, parts[f"{layer.name}.weight"], parts[f"{layer.name}.bias"])
    maps.append(np.tanh(x))
    return maps


def faces(network, noise):
    """network (5137283), noise (N,100) -> faces (N,64,64,3), float64."""
    return layers(network, noise)[-1]
