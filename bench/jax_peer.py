#!/usr/bin/env python3
"""The network in JAX without a kernel of one's own: matrix products by phase, fp32 operands split by XLA's dot algorithms.

    bench/jax_peer.py NOISE.npy CHECK.npz

Run by bench/gpu_peers.py in a process of its own. NOISE: (n, 100), timed; CHECK: noise and expected (float64) faces by
kind of noise. Prints a JSON row for each algorithm: seconds host to host (results in page-locked memory), faces/s on the
device alone, worst error for each kind of noise. Where XLA has none of the algorithms for a device (a CPU), the default
precision shows that the arithmetic is right.

An output row 2i takes filter rows 1 and 3 from input rows i and i - 1, row 2i + 1 takes 0, 2 and 4 from i + 1, i and
i - 1; columns alike. A phase (row and column even or odd) is one product of patches, or a sum of one product a tap;
whichever is faster here is used.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import network_file  # noqa: E402

ALGORITHMS = ("BF16_BF16_F32_X3", "BF16_BF16_F32_X6", "TF32_TF32_F32_X3")
TAPS = ((1, 0), (3, -1)), ((0, 1), (2, 0), (4, -1))  # (filter row, input row beside i) of even and odd output rows


def product(x, weight, precision):
    """x (..., C), weight (C, K) -> (..., K), in fp32."""
    return jax.lax.dot_general(x, weight, (((x.ndim - 1,), (0,)), ((), ())), precision=precision,
                               preferred_element_type=jnp.float32)


def tconv(x, weight, bias, precision, patches):
    """x (N, H, W, C), weight (5, 5, K, C), bias (K) -> (N, 2H, 2W, K)."""
    n, h, w, _ = x.shape
    k = weight.shape[2]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = []
    for row_taps in TAPS:
        columns = []
        for column_taps in TAPS:
            taps = [(padded[:, 1 + dh:1 + dh + h, 1 + dw:1 + dw + w], weight[r, s].T)
                    for r, dh in row_taps for s, dw in column_taps]  # (N, H, W, C), (C, K)
            if patches:
                taps = [(jnp.concatenate([part for part, _ in taps], -1), jnp.concatenate([each for _, each in taps]))]
            columns.append(sum(product(part, each, precision) for part, each in taps))
        rows.append(jnp.stack(columns, 3))  # (N, H, W, 2, K)
    return jnp.stack(rows, 2).reshape(n, 2 * h, 2 * w, k) + bias  # of (N, H, 2, W, 2, K)


def make_model(layers, precision, patches):
    """A compiled function noise (n, 100) -> faces (n, 64, 64, 3)."""
    def model(noise, layers):
        (weight, bias), *tconvs = layers
        x = (product(noise, weight, precision) + bias).reshape(-1, 4, 4, 512)
        for weight, bias in tconvs:
            x = tconv(jax.nn.relu(x), weight, bias, precision, patches)
        return jnp.tanh(x)

    compiled = jax.jit(model)
    return lambda noise: compiled(noise, layers)


def median_seconds(work, runs):
    """After one run to warm up."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def on_device(model, noise, batch):
    """Seconds a face in steady state, everything in device memory."""
    parts = [jax.device_put(noise[i:i + batch]) for i in range(0, len(noise) - batch + 1, batch)]
    return median_seconds(lambda: [model(part) for part in parts][-1].block_until_ready(), 5) / (len(parts) * batch)


def host_to_host(model, noise, batch):
    """Seconds for all faces; the copies out go on beside the next batch's work."""
    page_locked = jax.sharding.SingleDeviceSharding(jax.devices()[0], memory_kind="pinned_host")

    def work():
        out = [jax.device_put(model(jax.device_put(noise[i:i + batch])), page_locked) for i in range(0, len(noise), batch)]
        jax.block_until_ready(out)
    return median_seconds(work, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("noise")
    parser.add_argument("check")
    arguments = parser.parse_args()

    noise, check = np.load(arguments.noise), dict(np.load(arguments.check))
    batch = min(2048, len(noise))
    noise = noise[:len(noise) // batch * batch]
    parts = network_file.read(ROOT / "network.bin")
    layers = [tuple(jnp.asarray(array, jnp.float32) for array in layer) for layer in network_file.folded(parts)]
    patches = None
    for name in (*ALGORITHMS, "default"):
        precision = None if name == "default" else getattr(jax.lax.DotAlgorithmPreset, name, None)
        try:
            if name != "default" and precision is None:
                raise ValueError(f"unknown to JAX {jax.__version__}")
            if patches is None:
                patches = min((True, False), key=lambda form: on_device(make_model(layers, precision, form), noise, batch))
            model = make_model(layers, precision, patches)
            row = {"program": f"JAX {name}", "jax": jax.__version__, "form": "patches" if patches else "taps",
                   "batch": batch, "faces": len(noise), "on_device_faces_per_s": 1 / on_device(model, noise, batch),
                   "seconds": host_to_host(model, noise, batch), "device": jax.devices()[0].device_kind}
            for kind in ("uniform", "normal"):
                faces = np.asarray(model(check[f"{kind}_noise"].astype(np.float32)), np.float64)
                row[f"{kind}_error"] = float(np.abs(faces - check[f"{kind}_faces"]).max())
            print(json.dumps(row), flush=True)
        except Exception as error:  # whatever XLA says of an algorithm that it cannot do here
            print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
            continue
        if name == ALGORITHMS[-1]:
            break  # the default is only for devices that have none of them
    return 0


if __name__ == "__main__":
    sys.exit(main())
