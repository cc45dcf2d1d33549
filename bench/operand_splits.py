#!/usr/bin/env python3
"""How exact each way of splitting fp32 operands for tensor cores would be over the whole network.

An emulation in numpy on the shipped network, held against float64: operands are rounded to the terms of a split, the
products of the terms are exact (they fit fp32), sums are fp32, maps between layers are fp32. What it leaves out: that an
H100 cuts its sums off (kernels/split/format.cuh makes up for that) and sums fp8 products with some 14 bits; for both
see report/measurements/*-h100-lost-bits.json and *-h100-hopper-accuracy.json, which are measured.

    bench/operand_splits.py [--faces 64]

Operands are scaled by powers of two as the Hopper kernels do: weights of an output channel to [2^13, 2^14), maps so that
their root mean square lies near 2^4, in one piece. Needs numpy.
"""
import argparse
import pathlib
import sys

import measurement
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import reference  # noqa: E402  (the float64 network)


# ---- Rounding float32 to a shorter format, to nearest even; the result is float32 again

def to_fp16(x):
    return x.astype(np.float16).astype(np.float32)


def to_bits(bits):
    """To so many significant bits, fp32's exponent: tf32 has 11, bf16 8."""
    drop = 24 - bits

    def rounded(x):
        i = np.ascontiguousarray(x, np.float32).view(np.uint32)
        half = np.uint32((1 << (drop - 1)) - 1) + ((i >> np.uint32(drop)) & np.uint32(1))
        return ((i + half) & np.uint32(~((1 << drop) - 1) & 0xFFFFFFFF)).view(np.float32)
    return rounded


to_tf32, to_bf16 = to_bits(11), to_bits(8)


def to_fp16_7_bits(x):
    """fp16 of which 7 bits are kept: the residuals of the Hopper kernels."""
    return to_bits(7)(to_fp16(x))


def to_e4m3(x):
    """4 significant bits, up to 448, down to 2^-9."""
    magnitude = np.minimum(np.abs(x), 448)
    step = np.exp2(np.maximum(np.floor(np.log2(np.maximum(magnitude, 1e-30))), -6) - 3)
    return (np.sign(x) * np.minimum(np.rint(magnitude / step) * step, 448)).astype(np.float32)


def power_of_two(target, size):
    """What brings size (> 0) to [2^target, 2^(target + 1))."""
    return np.exp2(target - np.floor(np.log2(size))).astype(np.float32)


# ---- Splits: x (..., C), w (K, C), float32 and scaled -> x w^T (..., K)

def whole(x, w):
    return x @ w.T


def one(rounded):
    return lambda x, w: rounded(x) @ rounded(w).T


def two_terms(rounded, rest):
    def multiply(x, w):
        x_hi, w_hi = rounded(x), rounded(w)
        x_lo, w_lo = rest(x - x_hi), rest(w - w_hi)
        return x_lo @ w_hi.T + x_hi @ w_lo.T + x_hi @ w_hi.T
    return multiply


def fp16_weights_whole_maps(x, w):
    """Two products: the maps keep both terms, the weights one."""
    x_hi, w_hi = to_fp16(x), to_fp16(w)
    return to_fp16(x - x_hi) @ w_hi.T + x_hi @ w_hi.T


def fp16_and_two_e4m3(x, w):
    """The corrections in fp8, every term near the top of its range, in sums of their own."""
    x_hi, w_hi = to_fp16(x), to_fp16(w)
    terms = []
    for term in (x_hi, x - x_hi, w_hi, w - w_hi):
        scale = power_of_two(7, np.abs(term).max())
        terms.append((to_e4m3(term * scale), scale))
    (x_hi8, a), (x_lo8, b), (w_hi8, c), (w_lo8, d) = terms
    return x_hi @ w_hi.T + (x_lo8 @ w_hi8.T) / (b * c) + (x_hi8 @ w_lo8.T) / (a * d)


# name, products, their cost in 16-bit products (tf32 runs at half the rate, fp8 at twice), multiply
SPLITS = [
    ("fp32", 1, None, whole),
    ("fp16", 1, 1, one(to_fp16)),
    ("bf16", 1, 1, one(to_bf16)),
    ("tf32", 1, 2, one(to_tf32)),
    ("fp16 x2", 2, 2, fp16_weights_whole_maps),
    ("fp16 + 2 e4m3", 3, 2, fp16_and_two_e4m3),
    ("bf16 x3", 3, 3, two_terms(to_bf16, to_bf16)),
    ("fp16 x3, 7 bits", 3, 3, two_terms(to_fp16, to_fp16_7_bits)),
    ("fp16 x3", 3, 3, two_terms(to_fp16, to_fp16)),
    ("tf32 x3", 3, 6, two_terms(to_tf32, to_tf32)),
]


# ---- The network

def scaled(multiply, x, w):
    """x w^T with operands brought to the range that the kernels keep them in."""
    x_scale = power_of_two(4, np.sqrt(np.mean(np.square(x))))
    w_scale = power_of_two(13, np.abs(w).max(axis=1))  # (K)
    return multiply(x * x_scale, w * w_scale[:, None]) / (x_scale * w_scale)


def faces(network, noise, multiply):
    """noise (N,100) -> faces (N,64,64,3), every product by `multiply`."""
    parts = reference.split(network)
    sums = scaled(multiply, noise, np.ascontiguousarray(parts["proj.weight"].T)) + parts["proj.bias"]
    x = sums.reshape(-1, 4, 4, 512)
    for before, layer in zip(reference.LAYERS, reference.TCONVS):
        beta, gamma, mean, var = (parts[f"{before.name}.{part}"].astype(np.float64)
                                  for part in ("beta", "gamma", "mean", "var"))
        scale = gamma / np.sqrt(var + reference.EPS)
        shift = beta - scale * mean
        x = np.maximum(scale.astype(np.float32) * x + shift.astype(np.float32), 0)
        side = layer.h
        full = np.zeros((len(x), 2 * side + 3, 2 * side + 3, layer.k), np.float32)
        for r in range(5):
            for s in range(5):
                full[:, r:r + 2 * side:2, s:s + 2 * side:2] += scaled(multiply, x, parts[f"{layer.name}.weight"][r, s])
        x = full[:, 1:1 + 2 * side, 1:1 + 2 * side] + parts[f"{layer.name}.bias"]
    return np.tanh(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=pathlib.Path, default=ROOT / "network.bin")
    parser.add_argument("--faces", type=int, default=64)
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go (default: report/measurements)")
    arguments = parser.parse_args()

    network = reference.join(reference.network_file.read(arguments.network))
    noise = np.random.default_rng(64).uniform(-1, 1, (arguments.faces, 100)).astype(np.float32)
    exact = reference.faces(network, noise)
    rows = []
    print(f"{'split':>16} {'products':>8} {'worst error':>12} {'rms error':>10} {'off by 1e-3':>12}")
    for name, products, cost, multiply in SPLITS:
        error = np.abs(faces(network, noise, multiply) - exact)
        assert np.isfinite(error).all(), name
        rows.append({"split": name, "products": products, "cost": cost, "worst_error": float(error.max()),
                     "rms_error": float(np.sqrt(np.mean(np.square(error)))),
                     "share_off_by_1e-3": float(np.mean(error >= 1e-3))})
        print(f"{name:>16} {products:>8} {rows[-1]['worst_error']:>12.2e} {rows[-1]['rms_error']:>10.2e} "
              f"{rows[-1]['share_off_by_1e-3']:>11.3%}", flush=True)
    measurement.keep("operand-splits", {
        "what": "numpy emulation of operand splits, whole network, error of the faces against float64; cost: in 16-bit "
                "products", "network": arguments.network.name, "faces": arguments.faces, "splits": rows},
        measurement.this_command(), arguments.json)


if __name__ == "__main__":
    main()
