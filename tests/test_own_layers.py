"""Layers that users write, with fields or an `__init__` of their own; defaults that are layers; copies; wrong uses."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from backends import BACKENDS
from layers_table import ROWS

import kfunc as kf
from kfunc import losses, metrics, nn, optim
from kfunc.registry import from_config, to_config

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


@nn.layer
class OwnScale(nn.Layer):
    first: str = "ones"

    def forward(self, s, x):
        return x * s.param("scale", (x.shape[-1],), self.first)


@nn.layer
class DefaultLayers(nn.Layer):
    """A layer is the default of a field, and lists and dicts of layers are, too."""

    units: int
    scale: OwnScale = OwnScale("zeros")
    more: tuple = (OwnScale(), {"a": 1})
    named: nn.Layer | None = None

    def forward(self, s, x):
        return x + self.scale(s, self.more[0](s, x))


@nn.layer
class KerasStyle(nn.Layer):
    """As a Keras user writes it.

    Args:
        units: The features of the output.
    """

    def __init__(self, units, activation="relu", sizes=(), **kwargs):
        super().__init__(**kwargs)
        self.dense = nn.Dense(2 * units, activation=activation)
        self.activation = nn.Activation(activation)
        self.blocks = []
        for size in sizes:
            self.blocks.append(nn.Dense(size))
        self.units = 2 * units

    def forward(self, s, x):
        x = self.dense(s, x)
        for block in self.blocks:
            x = block(s, x)
        return self.activation(s, x)


@nn.layer
class TorchStyle(nn.Layer):
    """As a torch user writes it."""

    def __init__(self, *sizes: int, last: nn.Layer = nn.Dense(1)):  # noqa: B008
        self.layers = [nn.Dense(n) for n in sizes]
        self.last = last

    def forward(self, s, x):
        for layer in self.layers:
            x = layer(s, x)
        return self.last(s, x)


@nn.layer
class DeeperStyle(KerasStyle):
    def __init__(self, units, **kwargs):
        super().__init__(units, sizes=[5], **kwargs)
        self.last = nn.Dense(1)

    def forward(self, s, x):
        return self.last(s, super().forward(s, x))


@nn.layer
class RenamedStyle(KerasStyle):
    """It inherits the `__init__`."""


@nn.layer
class WiderDense(nn.Dense):
    """It has a base with fields."""

    def __init__(self, units, **kwargs):
        super().__init__(units, use_bias=False, **kwargs)
        self.first = OwnScale()

    def forward(self, s, x):
        return super().forward(s, self.first(s, x))


@nn.layer
class DenseTower(nn.Sequential):
    def __init__(self, depth):
        super().__init__([nn.Dense(3) for _ in range(depth)])


OWN = [
    DefaultLayers(3),
    KerasStyle(3, sizes=[4, 2], name="own"),
    KerasStyle(2, activation="tanh", dtype="float32"),
    TorchStyle(4, 2),
    TorchStyle(),
    DeeperStyle(2, name="deeper"),
    RenamedStyle(2),
    WiderDense(2),
    DenseTower(3),
    nn.Sequential([KerasStyle(3), KerasStyle(3), DefaultLayers(2), DefaultLayers(2), TorchStyle(3), TorchStyle(3)]),
]
own = pytest.mark.parametrize("layer", OWN, ids=lambda layer: type(layer).__name__)


def same(one, other, *inputs):
    """Two layers that initialise and compute alike."""
    first, second = one.init(0, *inputs), other.init(0, *inputs)
    assert kf.tree.paths(first) == kf.tree.paths(second)
    outs = [layer.apply(p, *inputs, state=s, key=1) for layer, (p, s) in ((one, first), (other, second))]
    for a, b in zip(*map(kf.tree.leaves, ((first, outs[0]), (second, outs[1]))), strict=True):
        np.testing.assert_array_equal(a, b)


def through_json(layer):
    return from_config("layer", json.loads(json.dumps(to_config("layer", layer))))


COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "config": through_json,
    "replace": kf.replace,
}
copies = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@own
@pytest.mark.parametrize("name", BACKENDS)
def test_values(name, layer):
    params, state = layer.init(0, X)
    want, _ = layer.apply(params, X, state=state)
    out, _ = layer.apply(kf.to_backend(params, name), kf.asarray(X, backend=name), state=kf.to_backend(state, name))
    np.testing.assert_allclose(kf.to_numpy(out), want, rtol=1e-5, atol=1e-5)


@own
@copies
def test_copies(copied, layer):
    again = copied(layer)
    assert type(again) is type(layer)
    assert repr(again) == repr(layer)
    same(layer, again, X)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@copies
def test_copies_of_the_catalogue(copied, row):
    again = copied(row.layer)
    assert again is not row.layer and again != row.layer
    same(row.layer, again, *row.inputs)


def test_deep_copies_have_layers_of_their_own_and_share_what_was_shared():
    shared = nn.Dense(3)
    x = nn.Input((3,))
    for net in (nn.Sequential([shared, nn.ReLU(), shared]), nn.Graph(x, shared(shared(x))), TorchStyle(3)):
        for copied in (copy.deepcopy, COPIES["pickle"]):
            again = copied(net)
            assert len(list(again.children())) == len(list(net.children()))
            assert not {id(c) for _, c in again.children()} & {id(c) for _, c in net.children()}
            same(net, again, X)
            # Both in one network: no object stands at two places.
            nn.Sequential([net, again]).init(
                0, np.ones((1, net.trace(X).outputs[-1][2].shape[-1]), np.float32)
            ) if net.trace(X).outputs[-1][2].shape[-1] == 3 else None


def test_a_deep_graph_is_copied():
    x = y = nn.Input((3,))
    for _ in range(1500):
        y = nn.Add()([y, x])
    net = nn.Graph(x, y)
    for copied in (copy.deepcopy, COPIES["pickle"]):
        out, _ = copied(net).apply({}, X)
        np.testing.assert_allclose(out, 1501 * X, rtol=1e-4)


OTHERS = [
    *(losses.Huber(0.3), losses.MeanSquaredError(reduction="sum"), losses.FunctionLoss(losses.mean_squared_error)),
    *(metrics.AUC(), metrics.MeanMetricWrapper(losses.Huber(0.3), name="h"), metrics.BinaryAccuracy(0.4)),
    *(nn.initializers.HeNormal(), nn.regularizers.L2(0.1), nn.constraints.MaxNorm(2.0)),
    *(nn.dtype_policies.DTypePolicy("mixed_bfloat16"), nn.dtype_policies.DTypePolicyMap({"a": "float16"}, "float32")),
    optim.schedules.CosineDecay(0.1, 10),
]


@pytest.mark.parametrize("thing", OTHERS, ids=lambda thing: type(thing).__name__)
@copies
def test_copies_of_other_things(copied, thing):
    if copied is through_json:
        return
    assert copied(thing) == thing
    assert repr(copied(thing)) == repr(thing)


OPTIMIZERS = [
    optim.adam(1e-2, clipnorm=1.0),
    optim.sgd(optim.schedules.ExponentialDecay(0.1, 5, 0.5), momentum=0.9),
    optim.chain(optim.clip_by_global_norm(1.0), optim.adamw(0.1)),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["deepcopy", "copy", "pickle"])
def test_copies_of_optimizers(name, optimizer):
    again = COPIES[name](optimizer)
    params = {"w": np.ones(3, np.float32)}
    states = []
    for each in (optimizer, again):
        state = each.init(params)
        for _ in range(2):
            updates, state = each.update({"w": X[0]}, state, params)
        states.append((updates, state))
    for a, b in zip(*map(kf.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(a, b)
    assert to_config("optimizer", again) == to_config("optimizer", optimizer)
