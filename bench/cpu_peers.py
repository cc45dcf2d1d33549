#!/usr/bin/env python3
"""Speed of facegen_parallel on the CPU against PyTorch and onnxruntime: same network, noise, cores, all in float32.

    python3 -m venv peers && peers/bin/pip install numpy torch onnx onnxruntime
    peers/bin/python bench/cpu_peers.py [--faces 1024] [--threads 2] [--rounds 5] [--json FILE]

Every peer runs in its own process and gets batch normalisation folded into the weights and the best of several batch
sizes and memory layouts. Then ours and the best variant of each peer take turns, round by round, so that a disturbed
machine disturbs all alike. Ours is the whole program: the time is its own "Elapsed time", which includes packing the
weights; the peers are timed without any set-up.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

LAYERS = [("tconv1", 4, 512, 256), ("tconv2", 8, 256, 128), ("tconv3", 16, 128, 64), ("tconv4", 32, 64, 3)]  # H, C, K
EPSILON = 1e-5


def read_network(path):
    """proj (w (100, 8192), b (8192)) and tconvs [(w (5, 5, K, C), b (K))], batch normalisation folded in."""
    values = np.fromfile(path, dtype="<f4").astype(np.float64)
    at = 0

    def take(*shape):
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return values[at - size:at].reshape(shape)

    def batch_norm(channels):
        beta, gamma, mean, var = (take(channels) for _ in range(4))
        scale = gamma / np.sqrt(var + EPSILON)
        return scale, beta - scale * mean

    w, b = take(100, 8192), take(8192)
    scale, shift = (np.tile(x, 16) for x in batch_norm(512))
    proj = (w * scale, b * scale + shift)
    tconvs = []
    for name, _, C, K in LAYERS:
        w, b = take(5, 5, K, C), take(K)
        if name != "tconv4":
            scale, shift = batch_norm(K)
            w, b = w * scale[:, None], b * scale + shift
        tconvs.append((w, b))
    assert at == values.size, "not a network.bin"
    return proj, tconvs


def torch_weights(tconvs):
    return [(np.ascontiguousarray(w.transpose(3, 2, 0, 1)), b) for w, b in tconvs]  # (C, K, 5, 5)


# ---- One peer, one variant: a function noise (N, 100) -> faces (N, 64, 64, 3)


def make_torch(args, dtype=None):
    import torch
    import torch.nn.functional as F

    dtype = dtype or torch.float32
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format
    (pw, pb), tconvs = read_network(args.network)
    pw, pb = torch.tensor(pw.T.copy(), dtype=dtype), torch.tensor(pb, dtype=dtype)
    weights = [(torch.tensor(w, dtype=dtype).contiguous(memory_format=layout), torch.tensor(b, dtype=dtype))
               for w, b in torch_weights(tconvs)]

    def forward(z):
        x = F.relu(F.linear(z, pw, pb)).view(-1, 4, 4, 512).permute(0, 3, 1, 2).contiguous(memory_format=layout)
        for (w, b), (name, H, _, _) in zip(weights, LAYERS):
            x = F.conv_transpose2d(x, w, b, stride=2, padding=1)[..., :2 * H, :2 * H]
            x = torch.tanh(x) if name == "tconv4" else F.relu(x)
        return x.permute(0, 2, 3, 1).contiguous()

    if args.compile:
        forward = torch.compile(forward)

    def run(noise, batch):
        out = np.empty((len(noise), 64, 64, 3), np.float64 if dtype == torch.float64 else np.float32)
        for first in range(0, len(noise), batch):
            out[first:first + batch] = forward(torch.from_numpy(noise[first:first + batch]).to(dtype)).numpy()
        return out

    return run


def make_onnx(args):
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    (pw, pb), tconvs = read_network(args.network)
    constants, nodes = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(value, name))
        return name

    def f32(value):
        return np.ascontiguousarray(value, dtype=np.float32)

    # The file's (h, w, c) order becomes NCHW in the weights of proj, so that nothing has to be moved at run time.
    order = np.arange(8192).reshape(4, 4, 512).transpose(2, 0, 1).ravel()
    nodes.append(helper.make_node("Gemm", ["z", constant("pw", f32(pw[:, order])), constant("pb", f32(pb[order]))], ["p"]))
    nodes.append(helper.make_node("Relu", ["p"], ["pr"]))
    nodes.append(helper.make_node("Reshape", ["pr", constant("shape", np.array([-1, 512, 4, 4], np.int64))], ["x0"]))
    for i, ((w, b), (name, _, _, _)) in enumerate(zip(torch_weights(tconvs), LAYERS)):
        nodes.append(helper.make_node("ConvTranspose", [f"x{i}", constant(f"w{i}", f32(w)), constant(f"b{i}", f32(b))],
                                      [f"y{i}"], strides=[2, 2], kernel_shape=[5, 5], pads=[1, 1, 2, 2]))
        nodes.append(helper.make_node("Tanh" if name == "tconv4" else "Relu", [f"y{i}"], [f"x{i + 1}"]))
    nodes.append(helper.make_node("Transpose", ["x4"], ["faces"], perm=[0, 2, 3, 1]))
    graph = helper.make_graph(nodes, "generator", [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 100])],
                              [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["N", 64, 64, 3])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(noise, batch):
        out = np.empty((len(noise), 64, 64, 3), np.float32)
        for first in range(0, len(noise), batch):
            out[first:first + batch] = session.run(None, {"z": noise[first:first + batch]})[0]
        return out

    return run


def make_float64(args):
    import torch
    return make_torch(args, torch.float64)


def serve(args):
    """A peer's process: for every line `batch path` computes all faces, prints the seconds, saves the faces if asked."""
    noise = np.load(args.noise)
    run = {"torch": make_torch, "onnxruntime": make_onnx, "float64": make_float64}[args.serve](args)
    run(noise[:min(len(noise), 8)], 8)
    for line in sys.stdin:
        batch, path = line.split()
        start = time.perf_counter()
        faces = run(noise, int(batch))
        seconds = time.perf_counter() - start
        if path != "-":
            np.save(path, faces)
        print(seconds, flush=True)


class Peer:
    """One variant of a peer in a process of its own, which sleeps between runs."""

    def __init__(self, args, kind, layout="contiguous", compiled=False):
        self.name = " ".join([kind] + ([layout] if kind == "torch" else []) + (["compiled"] if compiled else []))
        command = [sys.executable, __file__, "--serve", kind, "--network", args.network, "--noise", args.noise,
                   "--threads", str(args.threads), "--layout", layout] + (["--compile"] if compiled else [])
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
    command = [args.program, "--devices", "none", "--threads", str(args.threads), args.network, args.noise, faces_path, "none"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"Elapsed time : ([0-9.]+) sec", out).group(1))


def compare(args):
    folder = tempfile.mkdtemp()
    args.noise = os.path.join(folder, "noise.npy")
    np.save(args.noise, np.random.default_rng(1).standard_normal((args.faces, 100)).astype(np.float32))

    reference = Peer(args, "float64")
    reference.seconds(16, os.path.join(folder, "reference.npy"))
    reference.close()
    reference = np.load(os.path.join(folder, "reference.npy"))

    def worst_error(path):
        return float(np.abs(np.load(path) - reference).max())

    results = {}
    ours_path = os.path.join(folder, "ours.npy")
    run_ours(args, ours_path)
    results["facegen_parallel"] = {"batch": None, "worst_error": worst_error(ours_path), "seconds": []}

    # Which variant and batch size is each peer's best?
    best = {}
    for kind, layout, compiled in [("torch", "contiguous", False), ("torch", "channels_last", False),
                                   ("torch", "channels_last", True), ("onnxruntime", "contiguous", False)]:
        peer = Peer(args, kind, layout, compiled)
        tried = {}
        try:
            for batch in args.batches:
                tried[batch] = [peer.seconds(batch) for _ in range(2)]
        except RuntimeError as error:
            print(f"  {error}: left out")
        if tried:
            batch = min(tried, key=lambda b: min(tried[b]))
            print(f"  {peer.name:32} " + "  ".join(f"batch {b}: {args.faces / min(s):.0f}/s" for b, s in tried.items()), flush=True)
            if kind not in best or min(tried[batch]) < min(best[kind][0]):
                if kind in best:
                    best[kind][1].close()
                best[kind] = (tried[batch], peer, batch)
                continue
        peer.close()

    for seconds, peer, batch in best.values():
        path = os.path.join(folder, "peer.npy")
        peer.seconds(batch, path)
        results[peer.name] = {"batch": batch, "worst_error": worst_error(path), "seconds": seconds}
    for _ in range(args.rounds):
        results["facegen_parallel"]["seconds"].append(run_ours(args, ours_path))
        for _, peer, batch in best.values():
            results[peer.name]["seconds"].append(peer.seconds(batch))

    print(f"\n{'N = ' + str(args.faces) + ', ' + str(args.threads) + ' threads':40} {'faces/s':>8} {'median':>8}   worst error")
    for name, result in results.items():
        result["faces_per_s_best"] = args.faces / min(result["seconds"])
        result["faces_per_s_median"] = args.faces / statistics.median(result["seconds"])
        title = name + (f", batch {result['batch']}" if result["batch"] else "")
        print(f"{title:40} {result['faces_per_s_best']:8.1f} {result['faces_per_s_median']:8.1f}   {result['worst_error']:.1e}")
    ratios = {}
    for key in ("faces_per_s_best", "faces_per_s_median"):
        ratios[key] = results["facegen_parallel"][key] / max(r[key] for n, r in results.items() if n != "facegen_parallel")
    print(f"ours / best peer: {ratios['faces_per_s_best']:.2f} (best), {ratios['faces_per_s_median']:.2f} (median)")
    if args.json:
        versions = {}
        for module in ("torch", "onnxruntime", "numpy"):
            versions[module] = __import__(module).__version__
        with open(args.json, "w") as file:
            json.dump({"faces": args.faces, "threads": args.threads, "versions": versions, "results": results,
                       "ours_over_best_peer": ratios}, file, indent=1)
            file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="network.bin")
    parser.add_argument("--program", default="./facegen_parallel")
    parser.add_argument("--faces", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--json")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--noise", help=argparse.SUPPRESS)
    parser.add_argument("--layout", default="contiguous", help=argparse.SUPPRESS)
    parser.add_argument("--compile", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    serve(args) if args.serve else compare(args)


if __name__ == "__main__":
    main()
