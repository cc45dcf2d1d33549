#!/usr/bin/env python3
"""Speed of facegen_parallel on the CPU against OpenVINO, PyTorch and onnxruntime: same network, noise, cores, all in fp32.

    scripts/install_deps.sh peers && .venv/bin/python bench/cpu_peers.py [--faces 1024] [--threads 2] [--rounds 5]

A peer that is not installed is left out, and said so. Every peer runs in its own process and gets batch normalisation
folded into the weights and the best of several batch sizes and variants. Then ours and the best variant of each peer take
turns, round by round, so that a disturbed machine disturbs all alike. Ours is the whole program: the time is its own
"Elapsed time", which includes packing the weights; the peers are timed without any set-up.
"""
import argparse
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import measurement
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]
import network_file  # noqa: E402
import reference  # noqa: E402  (the float64 network)
from convert_network import onnx_model, to_pytorch  # noqa: E402

CHECKED = 256  # faces whose error is taken


# ---- One peer, one variant: a function noise (N, 100) -> faces (N, 64, 64, 3)


def make_torch(layers, variant, threads):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    layout = torch.contiguous_format if variant == "contiguous" else torch.channels_last
    (proj_weight, proj_bias), *tconvs = [(torch.tensor(to_pytorch(weight), dtype=torch.float32),
                                          torch.tensor(bias, dtype=torch.float32)) for weight, bias in layers]
    tconvs = [(weight.contiguous(memory_format=layout), bias) for weight, bias in tconvs]

    def forward(noise):
        x = F.linear(noise, proj_weight, proj_bias).view(-1, 4, 4, 512).permute(0, 3, 1, 2).contiguous(memory_format=layout)
        for weight, bias in tconvs:
            side = 2 * x.shape[2]
            x = F.conv_transpose2d(F.relu(x), weight, bias, stride=2, padding=1)[..., :side, :side]
        return torch.tanh(x).permute(0, 2, 3, 1).contiguous()

    forward = torch.compile(forward) if "compiled" in variant else forward
    return lambda noise, batch: [forward(torch.from_numpy(part)).numpy() for part in batches(noise, batch)]


def make_onnxruntime(layers, variant, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_model(layers), options, providers=["CPUExecutionProvider"])
    return lambda noise, batch: [session.run(None, {"noise": part})[0] for part in batches(noise, batch)]


def make_openvino(layers, variant, threads):
    """One stream on all threads, or as many streams as threads with several batches under way."""
    import openvino

    core, model, compiled = openvino.Core(), onnx_model(layers), {}
    streams = 1 if variant == "one stream" else threads

    def run(noise, batch):
        if batch not in compiled:
            fixed = core.read_model(model)
            fixed.reshape([batch, 100])
            compiled[batch] = core.compile_model(fixed, "CPU", {
                "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams})
        faces = [None] * (-(-len(noise) // batch))
        queue = openvino.AsyncInferQueue(compiled[batch], streams)
        queue.set_callback(lambda request, i: faces.__setitem__(i, request.get_output_tensor().data.copy()))
        for i, part in enumerate(batches(noise, batch)):
            queue.start_async([np.resize(part, (batch, 100))], i)  # the last batch is filled up
        queue.wait_all()
        return faces

    return run


def batches(noise, batch):
    return [noise[first:first + batch] for first in range(0, len(noise), batch)]


# library: how to make a function noise (N, 100), batch -> [faces (batch, 64, 64, 3)]; its variants
PEERS = {"torch": (make_torch, ["contiguous", "channels_last", "channels_last compiled"]),
         "onnxruntime": (make_onnxruntime, [""]), "openvino": (make_openvino, ["one stream", "a stream a thread"])}


def serve(args):
    """A peer's process: for every line `batch path` computes all faces, prints the seconds, saves the faces if asked."""
    noise = np.load(args.noise)
    layers = network_file.folded(network_file.read(args.network))
    run = PEERS[args.serve][0](layers, args.variant, args.threads)
    for line in sys.stdin:
        batch, path = line.split()
        run(noise[:int(batch)], int(batch))  # whatever a batch of this size needs to be set up
        start = time.perf_counter()
        faces = run(noise, int(batch))
        seconds = time.perf_counter() - start
        if path != "-":
            np.save(path, np.concatenate(faces)[:min(CHECKED, len(noise))])
        print(seconds, flush=True)


class Peer:
    """One variant of a peer in a process of its own, which sleeps between runs."""

    def __init__(self, args, kind, variant):
        self.name = f"{kind} {variant}".strip()
        command = [sys.executable, __file__, "--serve", kind, "--variant", variant, "--network", args.network, "--noise",
                   args.noise, "--threads", str(args.threads)]
        environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def seconds(self, batch, save="-"):
        self.process.stdin.write(f"{batch} {save}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended without an answer")
        return float(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run_ours(args, faces_path):
    command = [str(ROOT / "facegen_parallel"), "--devices", "none", "--threads", str(args.threads), args.network, args.noise, faces_path,
               "none"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"Elapsed time : ([0-9.]+) sec", out).group(1))


def compare(args, folder, absent):
    args.noise = os.path.join(folder, "noise.npy")
    np.save(args.noise, np.random.default_rng(1).standard_normal((args.faces, 100)).astype(np.float32))

    expected = reference.faces(network_file.join(network_file.read(args.network)), np.load(args.noise)[:CHECKED])

    def worst_error(path):
        return float(np.abs(np.load(path)[:CHECKED] - expected).max())

    results = {}
    ours_path = os.path.join(folder, "ours.npy")
    run_ours(args, ours_path)
    results["facegen_parallel"] = {"batch": None, "worst_error": worst_error(ours_path), "seconds": []}

    # Which variant and batch size is each peer's best?
    best = {}
    present = {kind: variants for kind, (_, variants) in PEERS.items() if kind not in absent}
    for kind, variant in [(kind, variant) for kind, variants in present.items() for variant in variants]:
        peer = Peer(args, kind, variant)
        tried = {}
        try:
            for batch in (32, 64, 128, 256):
                tried[batch] = [peer.seconds(batch) for _ in range(2)]
        except RuntimeError as error:
            print(f"  {error}: left out")
        if tried:
            batch = min(tried, key=lambda b: min(tried[b]))
            print(f"  {peer.name:32} " + "  ".join(f"batch {b}: {args.faces / min(s):.0f}/s" for b, s in tried.items()),
                  flush=True)
            if kind not in best or min(tried[batch]) < min(best[kind][0]):
                if kind in best:
                    best[kind][1].close()
                best[kind] = (tried[batch], peer, batch)
                continue
        peer.close()

    if not best:
        raise SystemExit("cpu_peers.py: every peer failed")
    for _, peer, batch in best.values():
        path = os.path.join(folder, "peer.npy")
        peer.seconds(batch, path)
        results[peer.name] = {"batch": batch, "worst_error": worst_error(path), "seconds": []}
    for _ in range(args.rounds):  # these alone count: as many tries for each
        results["facegen_parallel"]["seconds"].append(run_ours(args, ours_path))
        for _, peer, batch in best.values():
            results[peer.name]["seconds"].append(peer.seconds(batch))

    table = measurement.Table()
    for name, result in results.items():
        result["faces_per_s_best"] = args.faces / min(result["seconds"])
        result["faces_per_s_median"] = args.faces / statistics.median(result["seconds"])
        table.show({"program": f"{name:30}", **result, "batch": result["batch"] or "-"})
    ratios = {}
    for key in ("faces_per_s_best", "faces_per_s_median"):
        ratios[key] = results["facegen_parallel"][key] / max(results[peer.name][key] for _, peer, _ in best.values())
    print(f"ours / best peer: {ratios['faces_per_s_best']:.2f} (best), {ratios['faces_per_s_median']:.2f} (median)")
    for _, peer, _ in best.values():
        peer.close()
    versions = {kind: importlib.metadata.version(kind) for kind in ("numpy", *PEERS) if kind not in absent}
    measurement.keep("peers", {"faces": args.faces, "threads": args.threads, "versions": versions, "left_out": absent,
                               "results": results, "ours_over_best_peer": ratios}, measurement.this_command(), args.json)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default=str(ROOT / "network.bin"))
    parser.add_argument("--faces", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="where the figures go (default: report/measurements)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--noise", help=argparse.SUPPRESS)
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args)
    absent = [kind for kind in PEERS if not importlib.util.find_spec(kind)]
    for kind in absent:
        print(f"left out: {kind}: it is not in this Python (scripts/install_deps.sh peers)")
    if len(absent) == len(PEERS):
        return print("SKIPPED: no peer to measure against")
    with tempfile.TemporaryDirectory() as folder:
        compare(args, folder, absent)


if __name__ == "__main__":
    main()
