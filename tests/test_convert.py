"""scripts/convert_network.py: every kind of file and back, bit for bit; other programs' names; what it refuses.

PyTorch, safetensors, onnx and onnxruntime are needed for their own kinds of files alone.
"""
import json
import subprocess
import sys

import numpy as np
import pytest
import reference
from conftest import NETWORK, ROOT
from network_file import LAYERS, SHAPES, TCONVS

SCRIPT = ROOT / "scripts/convert_network.py"
LIBRARY = {".pt": "torch", ".pth": "torch", ".safetensors": "safetensors"}


def convert(*words):
    return subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)


def converted(*words):
    done = convert(*words)
    assert done.returncode == 0, done.stderr
    return done


def refused(*words, status=1):
    """What it says; nothing is written, and nothing but that sentence."""
    done = convert(*words)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr and not words[1].exists() and not list(words[1].parent.glob("*.partial"))
    return done.stderr


@pytest.fixture
def random_bin(tmp_path):
    """A file of a random network whose arrays are all different, with a -0.0 and a subnormal in it."""
    network = reference.random_network(7)
    network[:2] = -0.0, 1e-40
    network.tofile(tmp_path / "random.bin")
    return tmp_path / "random.bin"


def parts_of(path):
    return reference.split(np.fromfile(path, "<f4"))


# ---- Round trips

@pytest.mark.parametrize("ending", [".npz", ".pt", ".pth", ".safetensors", ".bin"])
def test_there_and_back_bit_for_bit(ending, random_bin, tmp_path):
    if ending in LIBRARY:
        pytest.importorskip(LIBRARY[ending])
    there, back = tmp_path / f"there{ending}", tmp_path / "back.bin"
    for network in (NETWORK, random_bin):
        converted(network, there)
        converted(there, back)
        assert back.read_bytes() == network.read_bytes()


def test_pytorch_runs_what_was_written(random_bin, tmp_path):
    """The documented module, loaded strictly, draws the faces of the float64 reference."""
    torch = pytest.importorskip("torch")
    converted(random_bin, tmp_path / "n.pt")

    class Generator(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = torch.nn.Linear(100, 8192)
            self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(layer.k) for layer in LAYERS if layer.batch_norm)
            self.tconvs = torch.nn.ModuleList(torch.nn.ConvTranspose2d(layer.c, layer.k, 5, stride=2, padding=1)
                                              for layer in TCONVS)

        def forward(self, noise):
            x = self.proj(noise).view(-1, 4, 4, 512).permute(0, 3, 1, 2)
            for norm, tconv in zip(self.norms, self.tconvs):
                side = 2 * x.shape[2]
                x = tconv(torch.relu(norm(x)))[:, :, :side, :side]
            return torch.tanh(x).permute(0, 2, 3, 1)

    model = Generator()
    model.load_state_dict(torch.load(tmp_path / "n.pt", weights_only=True), strict=True)
    noise = np.random.default_rng(1).uniform(-1, 1, (3, 100))
    with torch.no_grad():
        faces = model.double().eval()(torch.from_numpy(noise)).numpy()
    assert np.abs(faces - reference.faces(np.fromfile(random_bin, "<f4"), noise)).max() < 1e-9
    # The module's own state_dict, with its counters and a wrapper's prefix, comes back.
    state = {f"module.{name}": tensor.float() if tensor.is_floating_point() else tensor
             for name, tensor in model.state_dict().items()}
    torch.save(state, tmp_path / "wrapped.pt")
    converted(tmp_path / "wrapped.pt", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == random_bin.read_bytes()


# ---- Names

def tensorflow_arrays(path, prefix="generator/", suffix=""):
    """The arrays under the names that the original code's checkpoint has, each spelled out."""
    parts, named = parts_of(path), {}
    for i, layer in enumerate(["proj", "tconv1", "tconv2", "tconv3", "tconv4"]):
        weight, bias = (f"g_h{i}/w", f"g_h{i}/biases") if i else ("g_h0_lin/Matrix", "g_h0_lin/bias")
        named[weight], named[bias] = parts[f"{layer}.weight"], parts[f"{layer}.bias"]
        if i < 4:
            for theirs, ours in (("beta", "beta"), ("gamma", "gamma"), ("moving_mean", "mean"), ("moving_variance", "var")):
                named[f"g_bn{i}/{theirs}"] = parts[f"{layer}.{ours}"]
    return {prefix + name + suffix: array for name, array in named.items()}


@pytest.mark.parametrize("prefix, suffix", [("generator/", ""), ("", ""), ("generator/", ":0")])
def test_names_of_the_original_tensorflow_code(prefix, suffix, random_bin, tmp_path):
    others = {"discriminator/d_h0_conv/w": np.zeros((5, 5, 3, 64), np.float32), "beta1_power": np.float32(0.5),
              "generator/g_bn0/beta/Adam": np.zeros(512, np.float32)}  # as a whole checkpoint has them
    np.savez(tmp_path / "tf.npz", **tensorflow_arrays(random_bin, prefix, suffix), **others)
    converted(tmp_path / "tf.npz", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == random_bin.read_bytes()


def test_tensorflow_names_written(random_bin, tmp_path):
    converted(random_bin, tmp_path / "tf.npz", "--to", "tensorflow")
    expected = tensorflow_arrays(random_bin)
    with np.load(tmp_path / "tf.npz") as file:
        assert set(file.files) == set(expected)
        assert all(file[name].tobytes() == array.tobytes() for name, array in expected.items())


def test_mapping_file(random_bin, tmp_path):
    names = {name: f"net.{i}" for i, name in enumerate(SHAPES)}
    del names["tconv4.bias"]  # keeps its name
    (tmp_path / "names.json").write_text(json.dumps(names))
    converted(random_bin, tmp_path / "theirs.npz", "--to", tmp_path / "names.json")
    with np.load(tmp_path / "theirs.npz") as file:
        assert set(file.files) == {*names.values(), "tconv4.bias"}
    converted(tmp_path / "theirs.npz", tmp_path / "back.bin", "--from", tmp_path / "names.json")
    assert (tmp_path / "back.bin").read_bytes() == random_bin.read_bytes()
    assert "lacks" in refused(tmp_path / "theirs.npz", tmp_path / "no.bin")


@pytest.mark.parametrize("text, words", [
    ("{", "is no JSON"), ("[1]", "is no mapping"), ('{"proj.weight": 3}', "is no mapping"),
    ('{"proj.wieght": "a"}', "'proj.wieght' is no array"), ('{"proj.weight": "a", "proj.bias": "a"}', "two arrays one name")])
def test_bad_mapping_files(text, words, tmp_path):
    (tmp_path / "names.json").write_text(text)
    assert words in refused(NETWORK, tmp_path / "no.npz", "--to", tmp_path / "names.json")


# ---- What is refused

@pytest.fixture
def changed(random_bin, tmp_path):
    """A function: an .npz of a random network with some arrays changed (None: left out), in the file's own names."""
    def write(**changes):
        parts = {name: array.copy() for name, array in parts_of(random_bin).items()}
        for name, change in changes.items():
            name = name.replace("__", ".")
            parts[name] = change(parts[name]) if change else None
        np.savez(tmp_path / "changed.npz", **{name: array for name, array in parts.items() if array is not None})
        return tmp_path / "changed.npz"
    return write


def with_value(value):
    def change(array):
        array.reshape(-1)[3] = value
        return array
    return change


@pytest.mark.parametrize("change, words", [
    ({"tconv2__bias": None}, "lacks 1 of 26 arrays, the first 'tconv2.bias'"),
    ({"tconv1__weight": lambda a: a[:4]}, "'tconv1.weight' has shape (4, 5, 256, 512), expected (5, 5, 256, 512) or PyTorch's "
                                          "(512, 256, 5, 5)"),
    ({"tconv1__bias": lambda a: a[:, None]}, "'tconv1.bias' has shape (256, 1), expected (256,)"),
    ({"proj__bias": lambda a: a.astype(np.float64)}, "'proj.bias' is of float64, expected float32"),
    ({"proj__weight": lambda a: a.astype(np.float16)}, "'proj.weight' is of float16, expected float32"),
    ({"tconv3__bias": with_value(np.nan)}, "tconv3.bias holds values that are infinite or not numbers"),
    ({"tconv3__gamma": with_value(np.inf)}, "tconv3.gamma holds values that are infinite"),
    ({"tconv1__var": with_value(-1e-6)}, "1 of the 256 variances tconv1.var are negative"),
    ({"proj__mean": lambda a: a * 0 + 2, "proj__var": with_value(-1)},
     "variances proj.var are negative (and no mean is: are proj.mean and proj.var swapped?)")])
def test_bad_arrays(change, words, changed, tmp_path):
    assert words in refused(changed(**change), tmp_path / "no.bin")


def test_a_swap_of_means_and_variances_is_suspected(random_bin, tmp_path):
    parts = parts_of(random_bin)
    parts["tconv2.mean"], parts["tconv2.var"] = parts["tconv2.var"], np.abs(parts["tconv2.mean"])
    reference.join(parts).tofile(random_bin)
    assert "are tconv2.mean and tconv2.var swapped?" in converted(random_bin, tmp_path / "n.npz").stderr
    assert converted(NETWORK, tmp_path / "n.npz").stderr == ""


def test_big_endian_arrays_are_the_same_values(changed, random_bin, tmp_path):
    converted(changed(proj__bias=lambda a: a.astype(">f4")), tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == random_bin.read_bytes()


@pytest.mark.parametrize("size", [0, 20549128, 20549136])
def test_a_network_of_another_size(size, tmp_path):
    (tmp_path / "short.bin").write_bytes(bytes(size))
    assert f"has {size:,} bytes, and a network has 20,549,132" in refused(tmp_path / "short.bin", tmp_path / "no.npz")


@pytest.mark.parametrize("ending", [".npz", ".pt", ".safetensors"])
def test_what_is_no_file_of_its_kind(ending, tmp_path):
    if ending in LIBRARY:
        pytest.importorskip(LIBRARY[ending])
    (tmp_path / f"bad{ending}").write_bytes(b"this is not it\n" * 10)
    assert f"bad{ending}' is no" in refused(tmp_path / f"bad{ending}", tmp_path / "no.bin")
    assert "No such file" in refused(tmp_path / f"missing{ending}", tmp_path / "no.bin")


def test_what_pytorch_files_must_not_hold(random_bin, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"step": 3}, tmp_path / "training.pt")
    assert "is no .pt file of arrays alone ('step' is no tensor): save model.state_dict()" in refused(tmp_path / "training.pt", tmp_path / "no.bin")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    assert "file of arrays alone" in refused(tmp_path / "model.pt", tmp_path / "no.bin")
    converted(random_bin, tmp_path / "n.pt")
    state = torch.load(tmp_path / "n.pt", weights_only=True)
    torch.save({**state, "proj.bias": state["proj.bias"].bfloat16()}, tmp_path / "short.pt")
    assert "BFloat16" in refused(tmp_path / "short.pt", tmp_path / "no.bin")
    twice = {f"{name}.{key}": tensor for name in ("now", "averaged") for key, tensor in state.items()}
    torch.save(twice, tmp_path / "twice.pt")
    assert "holds more than one network" in refused(tmp_path / "twice.pt", tmp_path / "no.bin")


def test_wrong_usage(tmp_path):
    for target in ("network", "network.txt"):
        assert "should end in one of .bin .pt" in refused(NETWORK, tmp_path / target, status=2)
    assert "should end in one of .bin" in refused(tmp_path / "n.onnx", tmp_path / "no.bin", status=2)
    assert "--to torch: it is one of facegen, pytorch," in refused(NETWORK, tmp_path / "no.npz", "--to", "torch", status=2)
    assert "names are fixed" in refused(NETWORK, tmp_path / "no.npz", "--from", "names.json", status=2)
    assert "names are fixed" in refused(NETWORK, tmp_path / "no.onnx", "--to", "pytorch", status=2)


# ---- ONNX

def test_onnx_draws_the_faces_of_facegen_seq(random_bin, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    assert "Checked: ten faces" in converted(random_bin, tmp_path / "n.onnx").stdout
    noise = np.random.default_rng(3).uniform(-1, 1, (7, 100)).astype(np.float32)
    faces = runtime.InferenceSession(tmp_path / "n.onnx").run(None, {"noise": noise})[0]
    assert faces.shape == (7, 64, 64, 3)
    assert np.abs(faces - reference.faces(np.fromfile(random_bin, "<f4"), noise)).max() < 2e-5


def test_onnx_that_differs_is_not_written(random_bin, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    other = tmp_path / "other_seq"  # facegen_seq with a network of its own
    other.write_text(f'#!/bin/sh\nshift\nexec {ROOT}/facegen_seq {NETWORK} "$@"\n')
    other.chmod(0o755)
    assert "nothing was written" in refused(random_bin, tmp_path / "no.onnx", "--reference", other)
    assert "`make seq` builds it" in refused(random_bin, tmp_path / "no.onnx", "--reference", tmp_path / "none", status=3)
