#!/usr/bin/env python3
"""Converts a network between network.bin and the files of other programs. The kinds go by the files' endings.

  .bin           network.bin, as the programs read it
  .pt .pth       a PyTorch state_dict (read with weights_only), or
  .safetensors   the same: PyTorch's names and layouts
  .npz           NumPy arrays: network.bin's own names, or with --to tensorflow those of the original DCGAN code
  .onnx          only written, batch normalisation folded into the weights: noise (N, 100) -> faces (N, 64, 64, 3).
                 Ten faces by onnxruntime are first compared with facegen_seq's: they may differ by 1e-4

Values keep all their bits, save in .onnx. When a file is read, names are recognised, whatever stands before them
("generator/", "module."), and an array may have either layout, as its shape tells which:

  network.bin, .npz              PyTorch                          TensorFlow's name, layout of network.bin
  proj.weight    (100, 8192)     proj.weight (8192, 100)          generator/g_h0_lin/Matrix
  proj.bias      (8192)          proj.bias                        generator/g_h0_lin/bias
  proj.beta      (512)           norms.0.bias                     generator/g_bn0/beta
  proj.gamma     (512)           norms.0.weight                   generator/g_bn0/gamma
  proj.mean      (512)           norms.0.running_mean             generator/g_bn0/moving_mean
  proj.var       (512)           norms.0.running_var              generator/g_bn0/moving_variance
  tconv1.weight  (5, 5, K, C)    tconvs.0.weight (C, K, 5, 5)     generator/g_h1/w
  tconv1.bias    (K)             tconvs.0.bias                    generator/g_h1/biases
  tconv1.beta ...                norms.1.bias ...                 generator/g_bn1/beta ...

and so on up to tconv4, which has no normalisation. In PyTorch it is the net of scripts/train_network.py: the 8192
outputs of proj are (4, 4, 512), channel innermost, and a tconv of an (H, W) map is
ConvTranspose2d(C, K, 5, stride=2, padding=1)(x)[:, :, :2 * H, :2 * W], which is TensorFlow's padding 'SAME'.

Other names: --from FILE.json for the source and --to FILE.json for the target, {"proj.weight": "their name", ...}; what
it leaves out keeps its own name. The layout that is written is that of the kind of file.
"""
import argparse
import importlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import network_file
from network_file import LAYERS, PROJ, SHAPES, TCONVS, Failure

ROOT = Path(__file__).resolve().parent.parent
WORST = 1e-4  # most that onnxruntime's faces may differ from facegen_seq's


class Missing(Exception):
    """A library or program that is not here: one sentence."""


def library(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Missing(f"there is no {name} in this Python ({error}): `scripts/install_deps.sh convert` puts it into "
                      ".venv; then use .venv/bin/python") from error


# ---- Names and layouts


def naming(batch_norm, proj, tconv):
    """{our name: theirs}. proj: their names of weight and bias; tconv, batch_norm: of the i-th one."""
    names = dict(zip(("proj.weight", "proj.bias"), proj))
    for i, layer in enumerate(LAYERS):
        if layer.batch_norm:
            names |= {f"{layer.name}.{ours}": theirs.format(i) for ours, theirs in batch_norm.items()}
        if layer is not PROJ:
            names |= {f"{layer.name}.{ours}": theirs.format(i - 1, i) for ours, theirs in tconv.items()}
    return names


PYTORCH = naming({"beta": "norms.{}.bias", "gamma": "norms.{}.weight", "mean": "norms.{}.running_mean",
                  "var": "norms.{}.running_var"}, ("proj.weight", "proj.bias"),
                 {"weight": "tconvs.{}.weight", "bias": "tconvs.{}.bias"})
TENSORFLOW = naming({"beta": "generator/g_bn{}/beta", "gamma": "generator/g_bn{}/gamma",
                     "mean": "generator/g_bn{}/moving_mean", "var": "generator/g_bn{}/moving_variance"},
                    ("generator/g_h0_lin/Matrix", "generator/g_h0_lin/bias"),
                    {"weight": "generator/g_h{1}/w", "bias": "generator/g_h{1}/biases"})
STYLES = {"facegen": {name: name for name in SHAPES}, "pytorch": PYTORCH, "tensorflow": TENSORFLOW}


def to_pytorch(array):
    """An array of network.bin in PyTorch's layout: (100, 8192) -> (8192, 100), (5, 5, K, C) -> (C, K, 5, 5)."""
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T)


def from_either(name, array, where):
    """An array in network.bin's layout or PyTorch's -> network.bin's. where: the array's name for a message."""
    shape = SHAPES[name]
    pytorch = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]
    if array.dtype.newbyteorder("=") != np.float32:
        raise Failure(f"{where} is of {array.dtype}, expected float32")
    if array.shape not in (shape, pytorch):
        raise Failure(f"{where} has shape {array.shape}, expected {shape}" +
                      (f" or PyTorch's {pytorch}" if pytorch != shape else ""))
    if array.shape != shape:
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
    return array.astype("<f4")


def from_arrays(arrays, path, styles=STYLES.values()):
    """{their name: array} of a file -> {our name: array}. Names count in the first style that has them all."""
    arrays = {name.removesuffix(":0"): array for name, array in arrays.items()}  # TensorFlow's outputs end in :0
    tries = []
    for style in styles:
        anchor = style["proj.weight"].removeprefix("generator/")
        for prefix in {name.removesuffix(anchor) for name in arrays if name.endswith(anchor)} or {""}:
            names = {ours: prefix + theirs.removeprefix("generator/") for ours, theirs in style.items()}
            tries.append((sum(name in arrays for name in names.values()), names))
    found, names = max(tries, key=lambda each: each[0])
    if found < len(names):
        lost = [name for name in names.values() if name not in arrays]
        raise Failure(f"'{path}' lacks {len(lost)} of {len(names)} arrays, the first '{lost[0]}'; it has "
                      f"{', '.join(sorted(arrays)[:4]) or 'none'} ... (--from FILE.json says which is which)")
    if sum(each[0] == found for each in tries) > 1:
        raise Failure(f"'{path}' holds more than one network: save one alone, or name its arrays by --from FILE.json")
    return {ours: from_either(ours, arrays[theirs], f"'{path}': '{theirs}'") for ours, theirs in names.items()}


def read_names(path):
    """A mapping file -> {our name: theirs}; what it leaves out keeps its name."""
    try:
        names = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise Failure(f"'{path}' is no JSON: {error}") from error
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise Failure(f"'{path}' is no mapping {{\"proj.weight\": \"their name\", ...}}")
    unknown = sorted(set(names) - set(SHAPES))
    if unknown:
        raise Failure(f"'{path}': '{unknown[0]}' is no array of a network; these are: {', '.join(SHAPES)}")
    names = STYLES["facegen"] | names
    if len(set(names.values())) < len(names):
        raise Failure(f"'{path}' gives two arrays one name")
    return names


# ---- Kinds of files


def read_pytorch(path):
    torch = library("torch")
    state = torch.load(path, map_location="cpu", weights_only=True)
    strange = [key for key, value in state.items() if not torch.is_tensor(value)] if isinstance(state, dict) else [""]
    if strange:
        raise ValueError(f"'{strange[0]}' is no tensor")
    return {name: tensor.detach().numpy() for name, tensor in state.items()}


def read_safetensors(path):
    return library("safetensors.numpy").load_file(path)


def read_npz(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def read(path, names=None):
    """A file of any kind -> {our name: array}. names: {our name: theirs}; recognised where none are given."""
    if path.suffix == ".bin":
        return network_file.read(path)
    try:
        arrays = READERS[path.suffix](path)
    except (Missing, OSError):
        raise
    except Exception as error:  # the libraries raise whatever their parts raise
        why = (str(error) or type(error).__name__).splitlines()[0]
        hint = ": save model.state_dict() with torch.save" if READERS[path.suffix] is read_pytorch else ""
        raise Failure(f"'{path}' is no {path.suffix} file of arrays alone ({why}){hint}") from error
    return from_arrays(arrays, path, [names] if names else STYLES.values())


def write_pytorch(file, arrays):
    torch = library("torch")
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, file)


def write_safetensors(file, arrays):
    file.write(library("safetensors.numpy").save(arrays))


def onnx_model(layers):
    """[(weight, bias)] of network_file.folded -> bytes: noise (N, 100) -> faces (N, 64, 64, 3), in float32."""
    onnx = library("onnx")
    node, constants, nodes = onnx.helper.make_node, [], []

    def constant(name, value):
        constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    # proj's outputs are dealt out as (512, 4, 4), so that nothing has to be moved at run time.
    (weight, bias), *tconvs = ((w.astype(np.float32), b.astype(np.float32)) for w, b in layers)
    order = np.arange(bias.size).reshape(PROJ.out_h, PROJ.out_h, PROJ.k).transpose(2, 0, 1).reshape(-1)
    nodes.append(node("Gemm", ["noise", constant("proj.weight", weight[:, order]), constant("proj.bias", bias[order])],
                      ["proj"]))
    nodes.append(node("Relu", ["proj"], ["proj.relu"]))
    shape = constant("shape", np.array([-1, PROJ.k, PROJ.out_h, PROJ.out_h], np.int64))
    nodes.append(node("Reshape", ["proj.relu", shape], ["map0"]))
    for i, (layer, (weight, bias)) in enumerate(zip(TCONVS, tconvs)):
        inputs = [f"map{i}", constant(f"{layer.name}.weight", to_pytorch(weight)),
                  constant(f"{layer.name}.bias", bias)]
        nodes.append(node("ConvTranspose", inputs, [layer.name], strides=[2, 2], kernel_shape=[5, 5],
                          pads=[1, 1, 2, 2]))  # top, left, bottom, right
        nodes.append(node("Relu" if layer.batch_norm else "Tanh", [layer.name], [f"map{i + 1}"]))
    nodes.append(node("Transpose", ["map4"], ["faces"], perm=[0, 2, 3, 1]))
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "facegen", [value("noise", onnx.TensorProto.FLOAT, ["N", 100])],
                                   [value("faces", onnx.TensorProto.FLOAT, ["N", 64, 64, 3])], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def program_faces(program, network, noise):
    """facegen_seq's faces (n, 64, 64, 3) for noise (n, 100), by the network in a file."""
    program = Path(program)
    if not program.is_file():
        raise Missing(f"there is no '{program}' to compare with: `make seq` builds it")
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/noise.npy", noise.astype(np.float32))
        done = subprocess.run([program.resolve(), network, f"{folder}/noise.npy", f"{folder}/faces.npy", "none"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"'{program}' failed on the network: {done.stderr.strip()}")
        return np.load(f"{folder}/faces.npy")


def checked_onnx(parts, program):
    """The model's bytes, once it has drawn the same ten faces as facegen_seq."""
    runtime = library("onnxruntime")
    model = onnx_model(network_file.folded(parts))
    noise = np.random.default_rng(2).uniform(-1, 1, (10, 100)).astype(np.float32)
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    faces = session.run(None, {"noise": noise})[0]
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        network_file.join(parts).tofile(file.name)
        worst = float(np.abs(faces - program_faces(program, file.name, noise)).max())
    if not worst < WORST:
        raise Failure(f"the ONNX model's faces differ from those of '{program}' by {worst:.2g} (< {WORST} wanted): "
                      "nothing was written")
    print(f"Checked: ten faces by onnxruntime differ from those of '{program}' by {worst:.2g} at most.")
    return model


READERS = {".bin": network_file.read, ".pt": read_pytorch, ".pth": read_pytorch, ".safetensors": read_safetensors,
           ".npz": read_npz}
WRITERS = {".bin": None, ".pt": write_pytorch, ".pth": write_pytorch, ".safetensors": write_safetensors,
           ".npz": lambda file, arrays: np.savez(file, **arrays), ".onnx": None}


def write(path, parts, program, names=None):
    """{our name: array} -> a file of any kind. names: {our name: theirs}, else those of the kind."""
    if path.suffix == ".bin":
        content = network_file.join(parts).tobytes()
    elif path.suffix == ".onnx":
        content = checked_onnx(parts, program)
    else:
        names = names or STYLES["facegen" if path.suffix == ".npz" else "pytorch"]
        layout = (lambda array: array) if path.suffix == ".npz" else to_pytorch
        buffer = io.BytesIO()
        WRITERS[path.suffix](buffer, {names[name]: layout(array) for name, array in parts.items()})
        content = buffer.getvalue()
    network_file.write_atomically(path, lambda file: file.write(content))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--from", dest="source_names", metavar="FILE.json", help="the names in the source")
    parser.add_argument("--to", dest="target_names", metavar="NAMES",
                        help=f"the names in the target: {', '.join(STYLES)}, or a FILE.json")
    parser.add_argument("--reference", type=Path, default=ROOT / "facegen_seq", metavar="PROGRAM",
                        help="what an .onnx is compared with (default: %(default)s)")
    options = parser.parse_args()
    for path, kinds in ((options.source, READERS), (options.target, WRITERS)):
        if path.suffix not in kinds:
            parser.error(f"'{path}' should end in one of {' '.join(kinds)}")
    for option, names, path in (("--from", options.source_names, options.source),
                                ("--to", options.target_names, options.target)):
        if names and path.suffix in (".bin", ".onnx"):
            parser.error(f"{option} {names}: '{path}' is of a kind whose names are fixed")
    if options.target_names and options.target_names not in STYLES and not options.target_names.endswith(".json"):
        parser.error(f"--to {options.target_names}: it is one of {', '.join(STYLES)}, or a FILE.json")
    try:
        source_names = options.source_names and read_names(options.source_names)
        target_names = STYLES.get(options.target_names) or (options.target_names and read_names(options.target_names))
        parts = read(options.source, source_names)
        for doubt in network_file.check(parts, f"'{options.source}'"):
            print(f"convert_network.py: warning: {doubt}", file=sys.stderr)
        write(options.target, parts, options.reference, target_names)
        print(f"Wrote '{options.target}'.")
    except (Failure, OSError) as error:
        print(f"convert_network.py: {error}", file=sys.stderr)
        return 1
    except Missing as error:
        print(f"convert_network.py: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
