"""How many products of bf16 terms the AMX kernels need: the network in float64, but for the operands of tconv1-3.

Every value becomes the sum of its bf16 terms (x0 + x1 + x2, each the nearest to what is left); `pairs` says which
products of two values' terms count. Sums are exact, so that only the choice of products is measured; beside it float32
operands and sums, as numpy computes them.

  bf16_products.py [--network FILE] [--faces N] [--json FILE]
"""
import argparse
import json
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import reference  # noqa: E402

CHOICES = {
    "bf16 x1": [(0, 0)],
    "bf16 x3": [(0, 0), (0, 1), (1, 0)],
    "bf16 x4": [(0, 0), (0, 1), (1, 0), (1, 1)],
    "bf16 x5, without x0 w2": [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)],
    "bf16 x5, without x1 w1": [(0, 0), (0, 1), (1, 0), (2, 0), (0, 2)],
    "bf16 x6": [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 2)],
    "bf16 x9": [(i, j) for i in range(3) for j in range(3)],
}


def terms(x):
    """float32 -> its three bf16 terms, as float64."""
    left, found = x.astype(np.float32), []
    for _ in range(3):
        bits = left.view(np.uint32)
        term = ((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000).astype(np.uint32).view(np.float32)
        found.append(term.astype(np.float64))
        left = left - term
    return found


def faces(parts, noise, tconv):
    """reference.faces with another tconv for tconv1-3."""
    x = (noise @ parts["proj.weight"] + parts["proj.bias"]).reshape(-1, 4, 4, 512)
    for name, _, _, _ in reference.TCONVS:
        scale = parts[f"{name}.in.gamma"] / np.sqrt(parts[f"{name}.in.var"] + reference.EPS)
        x = np.maximum(scale * x + (parts[f"{name}.in.beta"] - scale * parts[f"{name}.in.mean"]), 0)
        layer = reference.tconv if name == "tconv4" else tconv
        x = layer(x, parts[f"{name}.weight"], parts[f"{name}.bias"])
    return np.tanh(x)


def tconv_of(pairs):
    def tconv(x, weight, bias):
        x_terms, w_terms = terms(x), terms(weight)
        return sum(reference.tconv(x_terms[i], w_terms[j], 0) for i, j in pairs) + bias
    return tconv


def tconv_float32(x, weight, bias):
    n, h, w, _ = x.shape
    x, weight = x.astype(np.float32), weight.astype(np.float32)
    full = np.zeros((n, 2 * h + 3, 2 * w + 3, weight.shape[2]), np.float32)
    for r in range(5):
        for s in range(5):
            full[:, r:r + 2 * h:2, s:s + 2 * w:2] += x @ weight[r, s].T
    return (full[:, 1:1 + 2 * h, 1:1 + 2 * w] + bias.astype(np.float32)).astype(np.float64)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", default=ROOT / "network.bin")
    parser.add_argument("--faces", type=int, default=8)
    parser.add_argument("--json")
    options = parser.parse_args()

    noise = np.random.default_rng(1).standard_normal((options.faces, 100)).astype(np.float32).astype(np.float64)
    networks = {"network.bin": np.fromfile(options.network, dtype="<f4"), "random": reference.random_network(2)}
    rows = []
    for name, network in networks.items():
        parts = {key: part.astype(np.float64) for key, part in reference.split(network).items()}
        exact = reference.faces(network, noise)
        for choice, tconv in [*((c, tconv_of(p)) for c, p in CHOICES.items()), ("float32", tconv_float32)]:
            error = np.abs(faces(parts, noise, tconv) - exact)
            row = {"network": name, "operands": choice, "faces": options.faces, "worst": float(error.max()),
                   "rms": float(np.sqrt((error ** 2).mean()))}
            rows.append(row)
            print(f"{name:12s} {choice:24s} worst {row['worst']:.2e}  rms {row['rms']:.2e}", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
