#!/usr/bin/env python3
"""facegen_parallel against PyTorch and JAX on one GPU, in one run, on the same noise and weights.

Ours: the printed elapsed time (host to host), median of several runs for each N, with every kind of kernels that the GPU
runs. PyTorch: fp32, tf32 and fp16, eager and compiled; JAX: matrix products by XLA's algorithms that split fp32 operands
(jax_peer.py; left out where JAX is not here). Peers have batch normalisation folded into the weights, and are timed on
the device alone, and host to host with page-locked memory and the copy out overlapping the next batch. For each: the
worst error against PyTorch in float64, for uniform(-1, 1) and for normal noise, and whether compare_result's tolerance
would accept the former.

Run by `make bench-gpu`. Needs torch with CUDA and numpy.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import measurement
import numpy as np
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import network_file  # noqa: E402

PEER_FACES = 32768
CHECKED = 512  # faces of each kind of noise
BUDGET = 9e-4  # of compare_result's 1e-3, after what the four printed decimals take on either side


def folded_weights(path):
    """network.bin -> [(weight, bias)] in float64 on the GPU, normalisation folded in: proj (8192,100), tconv (C,K,5,5)."""
    layers = network_file.folded(network_file.read(path))
    return [(torch.from_numpy(np.ascontiguousarray(weight.T if weight.ndim == 2 else weight.transpose(3, 2, 0, 1))).cuda(),
             torch.from_numpy(bias).cuda()) for weight, bias in layers]


def make_model(layers, dtype):
    """A function noise (n,100) -> faces (n,64,64,3), everything in dtype but the result, which is fp32 (or fp64)."""
    weights = [(w.to(dtype), b.to(dtype)) for w, b in layers]
    weights = [weights[0]] + [(w.to(memory_format=torch.channels_last), b) for w, b in weights[1:]]
    result = torch.float64 if dtype == torch.float64 else torch.float32

    def model(noise):
        x = F.linear(noise.to(dtype), *weights[0]).view(-1, 4, 4, 512).permute(0, 3, 1, 2)
        for w, b in weights[1:]:
            side = 2 * x.shape[2]
            x = F.conv_transpose2d(F.relu(x), w, b, stride=2, padding=1)[:, :, :side, :side]
        return torch.tanh(x.to(result)).permute(0, 2, 3, 1).contiguous()

    return model


def on_device(model, noise, batch):
    """Seconds a face in steady state, everything in device memory; median of five passes."""
    times = []
    for i in range(7):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for first in range(0, len(noise), batch):
            model(noise[first:first + batch])
        end.record()
        end.synchronize()
        if i >= 2:
            times.append(begin.elapsed_time(end) / 1e3 / len(noise))
    return statistics.median(times)


def host_to_host(model, noise, faces, batch):
    """Seconds for all faces: pinned noise in, pinned faces out, the copy out beside the next batch; median of three."""
    copies, times = torch.cuda.Stream(), []
    for i in range(4):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for first in range(0, len(noise), batch):
            out = model(noise[first:first + batch].cuda(non_blocking=True))
            copies.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(copies):
                faces[first:first + batch].copy_(out, non_blocking=True)
            out.record_stream(copies)
        torch.cuda.synchronize()
        if i >= 1:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def pytorch(layers, noise, checks):
    """One entry a mode. noise (n,100) pinned; checks: kind of noise -> (noise (m,100), float64 faces) on the GPU."""
    faces = torch.empty((len(noise), 64, 64, 3), pin_memory=True)
    resident = noise.cuda()
    for name, dtype, tf32 in (("fp32", torch.float32, False), ("tf32", torch.float32, True), ("fp16", torch.float16, False)):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        for mode in ("eager", "compiled"):
            torch._dynamo.reset()
            model = make_model(layers, dtype)
            if mode == "compiled":
                model = torch.compile(model)
            with torch.no_grad():
                errors = {kind: (model(given).double() - expected).abs().max().item()
                          for kind, (given, expected) in checks.items()}
                device = on_device(model, resident, 4096)
                whole = host_to_host(model, noise, faces, 4096)
            yield entry_of(f"PyTorch {name} {mode}", len(noise), whole, errors, on_device_faces_per_s=1 / device)


def jax(noise, checks, folder):
    """One entry an algorithm, from a process of its own that takes GPU memory as it needs it."""
    np.save(folder / "peer.npy", noise.numpy())
    np.savez(folder / "check.npz", **{f"{kind}_{what}": tensor.cpu().numpy() for kind, pair in checks.items()
                                      for what, tensor in zip(("noise", "faces"), pair)})
    done = subprocess.run([sys.executable, ROOT / "bench/jax_peer.py", folder / "peer.npy", folder / "check.npz"],
                          env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if not rows or any(row["device"] == "cpu" for row in rows):
        print(f"left out: JAX: {'it sees no GPU' if rows else (said or ['it said nothing'])[-1]}", flush=True)
        return
    print("".join(f"left out: JAX: {line}\n" for line in said if "_F32_X" in line), end="", flush=True)
    for row in rows:
        errors = {kind: row.pop(f"{kind}_error") for kind in checks}
        yield entry_of(row.pop("program"), row.pop("faces"), row.pop("seconds"), errors, **row)


TABLE = measurement.Table()


def entry_of(program, n, seconds, errors, **more):
    """A row of the figures, shown."""
    entry = {"program": program, "faces": n, "seconds": seconds, "faces_per_s": n / seconds, **more,
             "worst_error": errors["uniform"], "worst_error_normal": errors["normal"], "passes": errors["uniform"] < BUDGET}
    TABLE.show(entry)
    return entry


def run_ours(kernels, noise, faces, folder):
    """Printed elapsed seconds of our program with one kind of kernels."""
    command = ["./facegen_parallel", "--json", folder / "ours.json", "network.bin", noise, faces, "none"]
    environment = {**os.environ, **({"FACEGEN_KERNELS": kernels} if kernels else {})}
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"gpu_peers.py: {done.stderr.decode()}")
    return json.loads((folder / "ours.json").read_text())["seconds"]


def ours(kernels, counts, runs, folder, noise, checks):
    """One entry an N, timed without outputs. Errors are those of the checked faces, computed first, by themselves."""
    errors = {}
    for kind, (given, expected) in checks.items():
        np.save(folder / "noise.npy", given.float().cpu().numpy())
        run_ours(kernels, folder / "noise.npy", folder / "ours.npy", folder)
        errors[kind] = float(np.abs(np.load(folder / "ours.npy") - expected.cpu().numpy()).max())
    for n in counts:
        np.save(folder / "noise.npy", noise[:n].numpy())
        seconds = [run_ours(kernels, folder / "noise.npy", "none", folder) for _ in range(runs)]
        yield entry_of("facegen_parallel", n, statistics.median(seconds), errors, kernels=kernels or "best",
                       fastest_s=min(seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="+", default=[1000, 8192, 65536], metavar="N")
    parser.add_argument("--kernels", nargs="+", help="kinds of kernels, '' for the best; default: all that the GPU runs")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of ours for each N")
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go (default: report/measurements)")
    arguments = parser.parse_args()

    hopper = torch.cuda.get_device_capability() == (9, 0)
    all_kernels = arguments.kernels or (["", "fast", "accurate", "precise", "exact"] if hopper else ["", "precise", "exact"])

    layers = folded_weights(ROOT / "network.bin")
    random = torch.Generator().manual_seed(0)
    noise = torch.rand((max(arguments.faces + [PEER_FACES]), 100), generator=random) * 2 - 1
    double = make_model(layers, torch.float64)
    with torch.no_grad():
        checks = {kind: (given.cuda(), double(given.cuda().double())) for kind, given in (
            ("uniform", noise[:CHECKED]), ("normal", torch.randn((CHECKED, 100), generator=random)))}

    entries = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        folder = pathlib.Path(scratch)
        for kernels in all_kernels:
            entries += ours(kernels, arguments.faces, arguments.runs, folder, noise, checks)
        peer_noise = noise[:PEER_FACES].pin_memory()
        entries += pytorch(layers, peer_noise, checks)
        torch.cuda.empty_cache()
        entries += jax(peer_noise, checks, folder)
    measurement.keep("gpu-peers", {
        "gpu": measurement.gpus()[0], "torch": torch.__version__, "entries": entries,
        "what": "ours: printed elapsed time, host to host, median; peers: host to host with page-locked memory, and on the "
                f"device alone; worst errors against float64 on {CHECKED} faces of each kind of noise"},
        measurement.this_command(), arguments.json)


if __name__ == "__main__":
    main()
