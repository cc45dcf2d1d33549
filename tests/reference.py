"""The network of SPEC 1 once more, in float64 numpy: what every program is held against.

It shares nothing with the programs but the file format. Arrays: noise (N,100), maps (N,H,W,C), faces (N,64,64,3).
"""
import numpy as np

# name, input side, input channels C, output channels K
TCONVS = [("tconv1", 4, 512, 256), ("tconv2", 8, 256, 128), ("tconv3", 16, 128, 64), ("tconv4", 32, 64, 3)]
EPS = 1e-5


def fields():
    """Yields (name, shape) of every array of network.bin, in file order."""
    yield "proj.weight", (100, 8192)
    yield "proj.bias", (8192,)
    channels = 512
    for name, _, c, k in TCONVS:
        for part in ("beta", "gamma", "mean", "var"):
            yield f"{name}.in.{part}", (channels,)
        yield f"{name}.weight", (5, 5, k, c)
        yield f"{name}.bias", (k,)
        channels = k


def split(flat):
    """flat: every parameter in file order -> {name: array}."""
    parts, at = {}, 0
    for name, shape in fields():
        size = int(np.prod(shape))
        parts[name] = flat[at:at + size].reshape(shape)
        at += size
    assert at == flat.size
    return parts


def join(parts):
    """The inverse of split: {name: array} -> float32 in file order."""
    return np.concatenate([np.asarray(parts[name], dtype="<f4").reshape(-1) for name, _ in fields()])


def random_network(seed, hard=False):
    """A fresh network whose maps stay of order 1. hard: awkward statistics that cancel out in the maths only:
    weights scaled by 10 and 0.1 in turn with the variances following, large means, tiny variances, channels that are
    always 0 after ReLU."""
    rng = np.random.default_rng(seed)
    parts, channels = {}, 512
    parts["proj.weight"] = rng.normal(0, 1 / np.sqrt(33), (100, 8192))  # uniform noise has variance 1/3
    parts["proj.bias"] = rng.normal(0, 0.1, 8192)
    scale = 1.0
    for layer, (name, _, c, k) in enumerate(TCONVS):
        if hard:
            scale = (10.0, 0.1, 10.0, 0.1)[layer]
            previous = "proj" if layer == 0 else TCONVS[layer - 1][0]
            parts[previous + ".weight"] = parts[previous + ".weight"] * scale
            parts[previous + ".bias"] = parts[previous + ".bias"] * scale
        mean = rng.normal(0, 0.3, channels) * scale + (3 * scale if hard else 0)
        parts[f"{name}.in.mean"] = mean
        parts[f"{name}.in.var"] = rng.uniform(0.5, 1.5, channels) * scale * scale
        parts[f"{name}.in.gamma"] = rng.uniform(0.5, 1.5, channels)
        parts[f"{name}.in.beta"] = rng.normal(0, 0.3, channels) + (3 if hard else 0)
        if hard:
            parts[f"{name}.in.var"][0] = 1e-12
            parts[f"{name}.in.gamma"][0] = 1e-3
            parts[f"{name}.in.beta"][1::16] = -1e3
        parts[f"{name}.weight"] = rng.normal(0, 1 / np.sqrt(6 * c), (5, 5, k, c))  # 4 to 9 taps reach an output
        parts[f"{name}.bias"] = rng.normal(0, 0.1, k)
        channels = k
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
    for name, _, _, _ in TCONVS:
        scale = parts[f"{name}.in.gamma"] / np.sqrt(parts[f"{name}.in.var"] + EPS)
        x = scale * x + (parts[f"{name}.in.beta"] - scale * parts[f"{name}.in.mean"])
        x = np.maximum(x, 0)
        maps.append(x)
        x = tconv(x, parts[f"{name}.weight"], parts[f"{name}.bias"])
    maps.append(np.tanh(x))
    return maps


def faces(network, noise):
    """network (5137283), noise (N,100) -> faces (N,64,64,3), float64."""
    return layers(network, noise)[-1]
