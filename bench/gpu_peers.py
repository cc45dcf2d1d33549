#!/usr/bin/env python3
"""facegen_parallel against PyTorch on one GPU, in one run, on the same noise and weights.

Ours: the printed elapsed time (host to host), median of several runs for each N, with every kind of kernels that the GPU
runs. PyTorch: fp32, tf32 and fp16, eager and compiled, batch normalisation folded into the weights; on the device alone,
and host to host with page-locked memory and the copy out overlapping the next batch. For each: the worst error against
PyTorch in float64, and whether compare_result's tolerance would accept it.

Run by `make bench-gpu`. Needs torch with CUDA and numpy.
"""
import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
TCONVS = [(512, 256), (256, 128), (128, 64), (64, 3)]  # C, K
BUDGET = 9e-4  # of compare_result's 1e-3, after what the four printed decimals take on either side


def folded_weights(path):
    """network.bin -> [(weight, bias)] in float64 on the GPU, batch normalisation folded in: proj (8192,100), tconv (C,K,5,5)."""
    flat = torch.from_numpy(np.fromfile(path, dtype="<f4")).double()
    at = 0

    def take(*shape):
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return flat[at - size:at].view(*shape)

    layers = [[take(100, 8192).t().contiguous(), take(8192)]]
    for c, k in TCONVS:
        beta, gamma, mean, var = (take(c) for _ in range(4))
        scale = gamma / torch.sqrt(var + 1e-5)
        weight, bias = layers[-1]
        if len(layers) == 1:  # 8192 outputs, channel innermost
            repeat = scale.repeat(16)
            layers[-1] = [weight * repeat[:, None], bias * repeat + (beta - scale * mean).repeat(16)]
        else:
            layers[-1] = [weight * scale[None, :, None, None], bias * scale + beta - scale * mean]
        layers.append([take(5, 5, k, c).permute(3, 2, 0, 1).contiguous(), take(k)])
    assert at == flat.numel()
    return [(weight.cuda(), bias.cuda()) for weight, bias in layers]


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


def peers(layers, noise, expected, compiled):
    """One entry a mode. noise (n,100) pinned; expected (m,64,64,3) float64 of the first m."""
    faces = torch.empty((len(noise), 64, 64, 3), pin_memory=True)
    resident = noise.cuda()
    entries = []
    for name, dtype, tf32 in (("fp32", torch.float32, False), ("tf32", torch.float32, True), ("fp16", torch.float16, False)):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        for mode in ("eager", "compiled") if compiled else ("eager",):
            torch._dynamo.reset()
            model = make_model(layers, dtype)
            if mode == "compiled":
                model = torch.compile(model)
            with torch.no_grad():
                error = (model(resident[:4096])[:len(expected)].double() - expected).abs().max().item()
                device = on_device(model, resident, 4096)
                whole = host_to_host(model, noise, faces, 4096)
            entries.append({"program": f"PyTorch {name} {mode}", "faces": len(noise), "seconds": whole,
                            "faces_per_s": len(noise) / whole, "on_device_faces_per_s": 1 / device, "worst_error": error,
                            "passes": error < BUDGET})
            show(entries[-1])
    return entries


def ours(kernels, n, runs, folder, expected, options):
    """One entry: our program with one kind of kernels. The first run's faces are checked, the others only timed."""
    environment = {**os.environ, **({"FACEGEN_KERNELS": kernels} if kernels else {})}
    seconds = []
    for i in range(runs + 1):
        command = ["./facegen_parallel", *options, "--json", folder / "ours.json", "network.bin", folder / f"noise{n}.npy",
                   folder / "ours.npy" if i == 0 else "none", "none"]
        done = subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"gpu_peers.py: {done.stderr.decode()}")
        if i > 0:
            seconds.append(json.loads((folder / "ours.json").read_text())["seconds"])
    checked = min(n, len(expected))
    faces = np.load(folder / "ours.npy", mmap_mode="r")[:checked]
    error = float(np.max(np.abs(faces - expected[:checked].cpu().numpy())))
    os.unlink(folder / "ours.npy")
    median = statistics.median(seconds)
    entry = {"program": "facegen_parallel", "kernels": kernels or "best", "faces": n, "seconds": median,
             "fastest_s": min(seconds), "faces_per_s": n / median, "worst_error": error, "passes": error < BUDGET}
    show(entry)
    return entry


def show(entry):
    name = entry["program"] + (" " + entry["kernels"] if "kernels" in entry else "")
    device = f" (on device {entry['on_device_faces_per_s']:>9.0f})" if "on_device_faces_per_s" in entry else ""
    print(f"{name:<28} N = {entry['faces']:>6}: {entry['seconds'] * 1e3:>9.3f} ms, {entry['faces_per_s']:>9.0f} faces/s{device}, "
          f"worst error {entry['worst_error']:.1e} {'passes' if entry['passes'] else 'FAILS'}", flush=True)


def gpu_facts():
    fields = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit"
    out = subprocess.run(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", "-i", "0"], capture_output=True)
    return dict(zip(fields.split(","), (word.strip() for word in out.stdout.decode().split(","))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="+", default=[1000, 8192, 65536], metavar="N")
    parser.add_argument("--kernels", nargs="+", help="kinds of kernels, '' for the best; default: all that the GPU runs")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of ours for each N")
    parser.add_argument("--peer-faces", type=int, default=32768, help="faces for PyTorch; 0 leaves it out")
    parser.add_argument("--no-compile", action="store_true", help="leave out the compiled modes")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--scratch", default="/dev/shm", help="folder in memory for our faces")
    parser.add_argument("--commit", default="", help="what was measured, where git is not at hand")
    parser.add_argument("--options", type=shlex.split, default=[], help="further options for facegen_parallel, in one word")
    arguments = parser.parse_args()

    hopper = torch.cuda.get_device_capability() == (9, 0)
    all_kernels = arguments.kernels or (["", "fast", "accurate", "precise", "exact"] if hopper else ["", "precise", "exact"])

    layers = folded_weights(ROOT / "network.bin")
    most = max(arguments.faces + [arguments.peer_faces])
    noise = torch.rand((most, 100), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = make_model(layers, torch.float64)(noise[:512].cuda().double())

    entries = []
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = pathlib.Path(scratch)
        for n in arguments.faces:
            np.save(folder / f"noise{n}.npy", noise[:n].numpy())
            for kernels in all_kernels:
                entries.append(ours(kernels, n, arguments.runs, folder, expected, arguments.options))
    if arguments.peer_faces:
        entries += peers(layers, noise[:arguments.peer_faces].pin_memory(), expected, not arguments.no_compile)
    if arguments.json:
        arguments.json.write_text(json.dumps(
            {"date": time.strftime("%Y-%m-%d"), "gpu": gpu_facts(), "torch": torch.__version__, "commit": arguments.commit,
             "what": "ours: printed elapsed time, host to host, median; peers: host to host with page-locked memory, and on "
                     "the device alone; worst error against float64 on 512 faces",
             "entries": entries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
