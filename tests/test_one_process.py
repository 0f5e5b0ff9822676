"""All backends in one process, in any order, on the same network."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from backends import NAMES, missing
from digits_data import digits

import kfunc as kf
from kfunc import nn

LOSS = kf.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_backends_interleave():
    names = [name for name in NAMES if not missing(name)]
    x, y = digits(16)
    net = nn.Sequential([nn.Conv2D(4, 3, activation="relu"), nn.MaxPooling2D(), nn.Flatten(), nn.Dense(10)])
    params, _ = net.init(0, x)
    reference, _ = net.apply(params, x)
    gradients = {}
    # Each backend twice, in an order that the seed alone decides.
    order = names * 2
    random.Random(0).shuffle(order)
    for name in order:
        there, x_there, y_there = kf.to_backend((params, x, y), name)
        out, _ = net.apply(there, x_there)
        assert kf.backend_of(out).name == name
        np.testing.assert_allclose(kf.to_numpy(out), reference, atol=1e-5)
        if kf.backends.get(name).trains:
            g = kf.grad(lambda p, x=x_there, y=y_there: LOSS(y, net.apply(p, x)[0]))(there)
            assert kf.backend_of(g).name == name
            gradients[name] = kf.to_backend(g, "numpy")
    for a, b in itertools.pairwise(gradients.values()):
        for u, v in zip(kf.tree.leaves(a), kf.tree.leaves(b), strict=True):
            np.testing.assert_allclose(u, v, atol=1e-6)


@pytest.mark.numpy
@pytest.mark.parametrize("pair", [("numpy", "torch"), ("jax", "numpy"), ("torch", "jax"), ("tensorflow", "numpy")])
def test_mixed_backends_are_an_error(pair):
    for name in pair:
        if reason := missing(name):
            pytest.skip(reason)
    net = nn.Dense(3)
    x = np.ones((2, 4), np.float32)
    params, _ = net.init(0, x)
    a, b = kf.to_backend(params, pair[0]), kf.asarray(x, backend=pair[1])
    with pytest.raises(kf.errors.MixedBackendsError) as error:
        net.apply(a, b)
    assert all(name in str(error.value) for name in pair)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("numpy", "array_api_strict")])
def test_models_travel(name):
    if reason := missing(name):
        pytest.skip(reason)
    x, _ = digits(16)
    model = kf.Model(nn.Sequential([nn.Flatten(), nn.Dense(10)])).build(kf.Spec((None, 8, 8, 1)))
    before = model.predict(x)
    for there in (name, "numpy"):
        np.testing.assert_allclose(model.predict(x, backend=there), before, atol=1e-6)
        assert model.backend == there
