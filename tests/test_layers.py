"""Every layer of the sequential reference, alone, against the float64 model, on the network's sizes and on odd ones."""
import ctypes

import numpy as np
import pytest
import reference
from conftest import ran


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    library = tmp_path_factory.mktemp("layers") / "seq_layers.so"
    ran("g++", "-std=c++17", "-O2", "-ffp-contract=off", "-I.", "-shared", "-fPIC", "tests/seq_layers.cpp", "-o", library)
    return ctypes.CDLL(str(library))


def call(function, *arguments):
    """Passes float32 arrays as pointers, numbers as ints."""
    function(*[a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else ctypes.c_int(a) for a in arguments])


def random(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def poisoned(*shape):
    """What a layer must overwrite to the last value."""
    return np.full(shape, np.nan, np.float32)


@pytest.mark.parametrize("c, k", [(100, 8192), (1, 1), (7, 13)])
def test_proj(c, k, layers):
    x, weight, bias, out = random(1, c), random(2, c, k), random(3, k), poisoned(k)
    call(layers.seq_proj, x, weight, bias, out, c, k)
    expected = x.astype(np.float64) @ weight.astype(np.float64) + bias
    assert np.max(np.abs(out - expected)) <= 2e-5


@pytest.mark.parametrize("hw, c", [(16, 512), (1, 1), (9, 5)])
def test_batch_norm(hw, c, layers):
    x, beta, gamma, mean = random(1, hw, c), random(2, c), random(3, c), random(4, c)
    var = np.random.default_rng(5).uniform(0.1, 2, c).astype(np.float32)
    scale = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + 1e-5)
    expected = scale * x + (beta - scale * mean)
    call(layers.seq_batch_norm, x, beta, gamma, mean, var, hw, c)
    assert np.max(np.abs(x - expected)) <= 1e-5


def test_batch_norm_of_no_variance(layers):
    """Epsilon keeps the scale finite."""
    x, ones, zeros = np.full((1, 1), 2, np.float32), np.ones(1, np.float32), np.zeros(1, np.float32)
    call(layers.seq_batch_norm, x, zeros, ones, ones, zeros, 1, 1)
    assert abs(x[0, 0] - 1 / np.sqrt(1e-5)) <= 1e-3


def test_relu_and_tanh(layers):
    x = np.array([-np.inf, -3, -1e-40, -0.0, 0, 1e-40, 0.5, 9, np.inf], np.float32)
    for function, expected in ((layers.seq_relu, np.maximum(x, 0)), (layers.seq_tanh, np.tanh(x.astype(np.float64)))):
        out = x.copy()
        call(function, out, out.size)
        assert np.max(np.abs(out[1:-1] - expected[1:-1])) <= 1e-7
        assert out[0] == expected[0] and out[-1] == expected[-1]


@pytest.mark.parametrize("h, w, c, k", [(4, 4, 512, 256), (8, 8, 256, 128), (16, 16, 128, 64), (32, 32, 64, 3), (1, 1, 1, 1),
                                        (3, 5, 7, 2)])
def test_tconv(h, w, c, k, layers):
    x, weight, bias = random(1, h, w, c), random(2, 5, 5, k, c) / np.float32(np.sqrt(6 * c)), random(3, k)
    out = poisoned(2 * h, 2 * w, k)
    call(layers.seq_tconv, x, weight, bias, out, h, w, c, k)
    expected = reference.tconv(x[None].astype(np.float64), weight.astype(np.float64), bias.astype(np.float64))[0]
    assert np.max(np.abs(out - expected)) <= 2e-5


def test_tconv_tap_by_tap(layers):
    """One pixel, one weight of 1 at a time: filter (r,s) lands at (2h+r-1, 2w+s-1), or nowhere. No model in between."""
    for r in range(5):
        for s in range(5):
            for h in range(2):
                for w in range(2):
                    x, weight, out = np.zeros((2, 2, 1), np.float32), np.zeros((5, 5, 1, 1), np.float32), poisoned(4, 4, 1)
                    x[h, w], weight[r, s] = 1, 1
                    call(layers.seq_tconv, x, weight, np.zeros(1, np.float32), out, 2, 2, 1, 1)
                    expected = np.zeros((4, 4, 1), np.float32)
                    if 0 <= 2 * h + r - 1 < 4 and 0 <= 2 * w + s - 1 < 4:
                        expected[2 * h + r - 1, 2 * w + s - 1] = 1
                    assert np.array_equal(out, expected)
