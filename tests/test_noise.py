"""Layers that draw random numbers: what they draw, that it is the same everywhere, and that inference draws nothing."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from backends import TRAINING

import kfunc as kf
from kfunc import nn

SIZE = (200, 200)
IMAGES, VOLUMES = (60, 2, 3, 50), (60, 2, 1, 3, 50)

LAYERS = {
    "Dropout": (nn.Dropout(0.3), SIZE),
    "Dropout/shape": (nn.Dropout(0.3, (None, 1)), (2000, 3)),
    "SpatialDropout1D": (nn.SpatialDropout1D(0.3), (60, 3, 50)),
    "SpatialDropout2D": (nn.SpatialDropout2D(0.3), IMAGES),
    "SpatialDropout2D/first": (nn.SpatialDropout2D(0.3, "channels_first"), (60, 50, 2, 3)),
    "SpatialDropout3D": (nn.SpatialDropout3D(0.3), VOLUMES),
    "SpatialDropout3D/first": (nn.SpatialDropout3D(0.3, "channels_first"), (60, 50, 2, 1, 3)),
    "AlphaDropout": (nn.AlphaDropout(0.3), SIZE),
    "AlphaDropout/shape": (nn.AlphaDropout(0.3, (1, None)), (3, 2000)),
    "GaussianDropout": (nn.GaussianDropout(0.3), SIZE),
    "GaussianNoise": (nn.GaussianNoise(0.5), SIZE),
}
SHARED = {
    "Dropout/shape": (1,),
    "SpatialDropout1D": (1,),
    "SpatialDropout2D": (1, 2),
    "SpatialDropout2D/first": (2, 3),
    "SpatialDropout3D": (1, 2, 3),
    "SpatialDropout3D/first": (2, 3, 4),
    "AlphaDropout/shape": (0,),
}
"""The axes along which all is dropped or nothing."""


def trained(layer, x, key=7, **options):
    return kf.to_numpy(layer.apply({}, x, key=key, train=True, **options)[0])


@pytest.mark.parametrize("what", LAYERS)
def test_inference_is_the_identity(what):
    layer, shape = LAYERS[what]
    x = np.ones(shape, np.float32)
    assert layer.apply({}, x, key=0)[0] is x
    assert nn.Sequential([layer], trainable=False).apply({}, x, key=0, train=True)[0] is x


@pytest.mark.parametrize("what", [w for w in LAYERS if "Gaussian" not in w])
def test_the_share_that_is_dropped(what):
    """0.3, of independent draws; all others are scaled, and whole features go together."""
    layer, shape = LAYERS[what]
    y = trained(layer, np.ones(shape, np.float32))
    values, counts = np.unique(y, return_counts=True)
    least = -1.0507009873554805 * 1.6732632423543772
    scale = (0.7 * (1 + 0.3 * least**2)) ** -0.5
    want = [(least - 0.3 * least) * scale, (1 - 0.3 * least) * scale] if "Alpha" in what else [0, 1 / 0.7]
    np.testing.assert_allclose(values, want, rtol=4e-7)
    draws = y.size / math.prod(shape[i] for i in SHARED.get(what, ()))
    assert abs(counts[0] / y.size - 0.3) < 5 * math.sqrt(0.3 * 0.7 / draws)
    if what in SHARED:
        np.testing.assert_array_equal(y, np.broadcast_to(y.max(SHARED[what], keepdims=True), shape))


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).normal(size=SIZE).astype(np.float32)
    y = trained(nn.AlphaDropout(0.3), x)
    error = 5 / math.sqrt(y.size)
    assert abs(np.mean(y)) < 2 * error and abs(np.var(y) - 1) < 4 * error


def test_gaussian_noise_is_normal():
    """Moments of the noise, up to the fourth, within five of their standard deviations."""
    ones = np.ones(SIZE, np.float32)
    factors = (trained(nn.GaussianDropout(0.3), 2 * ones) / 2 - 1) / math.sqrt(0.3 / 0.7)
    for z in (factors, (trained(nn.GaussianNoise(0.5), ones) - 1) / 0.5):
        for power, (mean, variance) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
            assert abs(np.mean(z.astype(np.float64) ** power) - mean) < 5 * math.sqrt(variance / z.size)


@pytest.mark.parametrize("name", TRAINING)
def test_noise_is_the_same_on_all_backends(name):
    """All in one program, compiled where it is cheap; the same choices, and normal numbers to a few roundings."""
    xs = {what: np.ones(tuple(min(n, 6) for n in shape), np.float32) for what, (_, shape) in LAYERS.items()}
    layers = {what: layer for what, (layer, _) in LAYERS.items()}

    def fun(xs, key):
        return {what: layers[what].apply({}, xs[what], key=key, train=True)[0] for what in xs}

    if name == "torch":
        torch = importlib.import_module("torch")
        run = torch.compile(fun, fullgraph=True, backend="eager")
    else:
        run = kf.jit(fun)
    got = run(kf.to_backend(xs, name), kf.random.key(7, backend=name))
    for what, y in kf.tree.map(kf.to_numpy, got).items():
        want = trained(layers[what], xs[what])
        assert np.any(want != 1) and y.dtype == np.float32
        # The inverse of the normal distribution function has the libraries' logarithms.
        np.testing.assert_allclose(y, want, rtol=4e-7, atol=4e-6 if "Gaussian" in what else 0, err_msg=what)


@pytest.mark.parametrize("name", [name for name in TRAINING if name.values != ("array_api_strict",)])
def test_noise_in_half_precision(name):
    """It draws in the precision that it is given; the standard itself has none below float32."""
    x = kf.asarray(np.ones((4, 5), np.float32), "float16", backend=name)
    net = nn.Sequential([nn.AlphaDropout(0.3), nn.GaussianNoise(0.5)])
    y = net.apply({}, x, key=7, train=True)[0]
    assert "float16" in str(y.dtype)
    np.testing.assert_allclose(kf.to_numpy(y), trained(net, np.ones((4, 5), np.float16)), rtol=2**-9, atol=2**-9)


def test_seeds_and_keys_and_places_draw_differently():
    x = np.ones(SIZE, np.float32)
    drawn = [trained(nn.Dropout(0.5, seed=seed), x, key) for seed in (None, 0, 1, -1) for key in (1, 2)]
    drawn += [trained(nn.Sequential([nn.Identity(), nn.Dropout(0.5, name=n)]), x, 1) for n in ("a", "b")]
    for i, a in enumerate(drawn):
        for b in drawn[:i]:
            assert abs(np.mean((a == 0) == (b == 0)) - 0.5) < 5 * 0.5 / math.sqrt(x.size)
    np.testing.assert_array_equal(trained(nn.Dropout(0.5, seed=1), x), trained(nn.Dropout(0.5, seed=1), x))


def test_without_a_key_there_is_no_noise():
    for layer, shape in LAYERS.values():
        with pytest.raises(kf.errors.MissingKeyError):
            layer.apply({}, np.ones(shape, np.float32), train=True)


@pytest.mark.parametrize("what", LAYERS)
def test_integers_become_floats(what):
    layer, shape = LAYERS[what]
    x = np.ones(shape, np.int32)
    np.testing.assert_array_equal(trained(layer, x), trained(layer, x.astype(np.float32)), strict=True)


@pytest.mark.parametrize("name", TRAINING)
def test_the_activity_of_integers_is_a_float(name):
    """In Keras 3.15 the factors become integers, and the loss 0."""
    x = kf.asarray(np.asarray([[100, -100]], np.int8), backend=name)
    losses = nn.ActivityRegularization(0.5, 0.25).apply({}, x, aux=True)[2].losses
    (loss,) = (kf.to_numpy(v) for v in losses.values())
    assert loss == 5100 and loss.dtype == np.float32
