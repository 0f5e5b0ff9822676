"""What rows of the catalogue cannot hold of normalizations: where Keras is not the oracle, and precision."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from backends import BACKENDS, TRAINING, params

import kfunc as kf
from kfunc import nn

RNG = np.random.default_rng(11)
EPS = float(np.finfo(np.float32).eps)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def largest(kernel):
    return np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]).astype(np.float64), compute_uv=False)[0]


@pytest.mark.parametrize("name", BACKENDS)
def test_rms_scaling_takes_no_mean_off(name):
    """Keras warns of it, and does this."""
    net, x, gamma = nn.LayerNormalization(rms_scaling=True), normal(3, 6) + 1, normal(6)
    params, _ = net.init(0, x)
    assert set(params) == {"gamma"}
    out, _ = net.apply(*kf.to_backend(({"gamma": gamma}, x), name))
    want = x / np.sqrt(x.astype(np.float64).var(axis=-1, keepdims=True) + 1e-3) * gamma
    np.testing.assert_allclose(kf.to_numpy(out), want, rtol=0, atol=16 * EPS * np.abs(want).max())


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize(
    ("layer", "shape", "kernel"),
    [
        pytest.param(nn.Dense(5), (3, 4), "kernel", id="Dense"),
        pytest.param(nn.Conv1D(4, 2), (2, 6, 3), "kernel", id="Conv1D"),
        pytest.param(nn.Embedding(7, 3), (2, 4), "embeddings", id="Embedding"),
    ],
)
def test_spectral_norm_becomes_one(name, layer, shape, kernel):
    """After some steps the output is that of weights divided by their singular value; in inference, too.

    Keras overwrites the weights in training, and takes them as they are in inference; given them as they were, it does
    not normalise there. Its embeddings come back as integers.
    """
    net = nn.SpectralNormalization(layer, 30)
    x = RNG.integers(0, 7, shape) if kernel == "embeddings" else normal(*shape)
    params, state = net.init(3, x)
    w = params["layer"][kernel] = normal(*params["layer"][kernel].shape) * 3
    params, state, x = kf.to_backend((params, state, x), name)
    _, state = net.apply(params, x, state=state, train=True)
    out, after = net.apply(params, x, state=state)
    np.testing.assert_array_equal(kf.to_numpy(after["vector_u"]), kf.to_numpy(state["vector_u"]))
    want, _ = layer.apply({**params["layer"], kernel: kf.to_backend(w / np.float32(largest(w)), name)}, x)
    np.testing.assert_allclose(kf.to_numpy(out), kf.to_numpy(want), rtol=0, atol=1e-4)


@pytest.mark.torch
def test_spectral_norm_agrees_with_pytorch():
    """The gradient takes the singular vectors for constants, as in the paper."""
    torch = importlib.import_module("torch")
    net, x = nn.SpectralNormalization(nn.Dense(5)), normal(3, 4)
    params, state, x = kf.to_backend((*net.init(0, x), x), "torch")
    kernel = params["layer"]["kernel"].requires_grad_()
    dense = torch.nn.Linear(4, 5)
    with torch.no_grad():
        dense.weight.copy_(kernel.T)
        dense.bias.copy_(params["layer"]["bias"])
    dense = torch.nn.utils.parametrizations.spectral_norm(dense)
    # The two start elsewhere; they agree where they have arrived.
    for _ in range(200):
        out, state = net.apply(params, x, state=state, train=True)
        theirs = dense(x)
    (ours,) = torch.autograd.grad((out**2).sum(), kernel)
    (gradient,) = torch.autograd.grad((theirs**2).sum(), dense.parametrizations.weight.original)
    np.testing.assert_allclose(out.detach(), theirs.detach(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours, gradient.T, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", TRAINING)
def test_weights_of_zero_stay(name):
    net, x = nn.SpectralNormalization(nn.Dense(2, use_bias=False)), normal(3, 4)
    _, state = net.init(0, x)
    params, state, x = kf.to_backend(({"layer": {"kernel": np.zeros((4, 2), np.float32)}}, state, x), name)
    out, after = net.apply(params, x, state=state, train=True)
    assert not kf.to_numpy(out).any()
    np.testing.assert_array_equal(kf.to_numpy(after["vector_u"]), kf.to_numpy(state["vector_u"]))


def test_masks_pass_through_spectral_norm():
    net, x = nn.SpectralNormalization(nn.Embedding(5, 3, mask_zero=True)), np.asarray([[0, 2], [1, 0]])
    params, state = net.init(0, x)
    _, _, aux = net.apply(params, x, state=state, aux=True)
    np.testing.assert_array_equal(aux.mask, x != 0)


HALF = [
    nn.BatchNormalization(),
    nn.BatchNormalization(renorm=True),
    nn.LayerNormalization(),
    nn.LayerNormalization(rms_scaling=True),
    nn.GroupNormalization(2),
    nn.RMSNormalization(),
    nn.UnitNormalization(),
]


@pytest.mark.parametrize("name", params(("numpy", "jax", "torch", "tensorflow")))
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("layer", HALF, ids=lambda layer: type(layer).__name__)
def test_half_precision_computes_in_single(name, train, layer):
    """Squares of 400 are infinite in float16; moments and parameters stay in float32."""
    x = (400 + 10 * normal(8, 16)).astype(np.float16)
    layer = type(layer)(**{**vars_of(layer), "dtype": "mixed_float16"})
    variables, state = layer.init(0, x)
    assert {v.dtype for v in kf.tree.leaves((variables, state))} <= {np.dtype(np.float32)}
    variables, state, x = kf.to_backend((variables, state, x), name)
    out, new = layer.apply(variables, x, state=state, train=train)
    out = kf.to_numpy(out)
    assert out.dtype == np.float16 and np.isfinite(out).all()
    again = type(layer)(**{**vars_of(layer), "dtype": "float32"})
    want, exact = again.apply(
        variables, kf.to_backend(kf.to_numpy(x).astype(np.float32), name), state=state, train=train
    )
    np.testing.assert_allclose(out, kf.to_numpy(want), rtol=2**-10, atol=8 * EPS * 400 / 10)
    for a, b in zip(kf.tree.leaves(new), kf.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(kf.to_numpy(a), kf.to_numpy(b), rtol=1e-5)


def vars_of(layer):
    return dict(layer._arguments())


@pytest.mark.parametrize("name", BACKENDS)
def test_group_normalization_far_from_zero(name):
    """Its variance is not a difference of squares, of which nothing would be left here."""
    x = 300 + normal(2, 5, 3, 8)
    out, _ = nn.GroupNormalization(2, **{"center": False, "scale": False}).apply({}, kf.to_backend(x, name))
    parts = x.astype(np.float64).reshape(2, 15, 2, 4)
    spread = np.sqrt(parts.var(axis=(1, 3), keepdims=True) + 1e-3)
    want = ((parts - parts.mean(axis=(1, 3), keepdims=True)) / spread).reshape(x.shape)
    np.testing.assert_allclose(kf.to_numpy(out), want, rtol=0, atol=8 * EPS * 300)


@nn.layer
class Halved(nn.Layer):
    """A layer that sees half of its child's kernel."""

    body: nn.Layer

    def forward(self, s, x):
        s.reparametrize(self.body, {"kernel": lambda w: w * 0.5})
        return self.body(s, x)


def test_reparametrized_children_see_what_the_function_returns():
    net, x = Halved(nn.Dense(3, kernel_regularizer="l2", use_bias=False)), normal(2, 4)
    params, state = net.init(0, x)
    out, _, aux = net.apply(params, x, state=state, aux=True)
    kernel = params["body"]["kernel"]
    np.testing.assert_allclose(out, x @ kernel / 2, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(aux.losses["body/kernel"], 0.01 * ((kernel / 2) ** 2).sum(), rtol=1e-6)


def test_masked_moments_are_divided_by_a_little_more_than_the_number_of_positions():
    """As in Keras, where a mask may leave no position; float64 shows it."""
    x, mask = RNG.normal(size=(3, 4, 2)), np.arange(12).reshape(3, 4) % 3 > 0
    net = nn.BatchNormalization(epsilon=0.5, dtype="float64")
    params, state = net.init(0, x)
    out, _ = net.apply(params, x, mask=mask, state=state, train=True)
    mean = x[mask].sum(0) / (8 + 1e-7)
    variance = ((x[mask] - mean) ** 2).sum(0) / (8 + 1e-7)
    np.testing.assert_allclose(out, (x - mean) / np.sqrt(variance + 0.5), rtol=1e-12)


def test_renormalization_by_small_deviations():
    """A moving deviation counts as the root of epsilon at least."""
    x = RNG.normal(size=(6, 2))
    net = nn.BatchNormalization(epsilon=0.25, renorm=True, dtype="float64")
    params, state = net.init(0, x)
    past = {"renorm_mean": np.asarray([0.5, 0.25]), "renorm_stddev": np.asarray([0.1, 2.0])}
    out, _ = net.apply(params, x, state={**state, **past}, train=True)
    np.testing.assert_allclose(out, (x - past["renorm_mean"]) / [0.5, 2.0], rtol=1e-12)
