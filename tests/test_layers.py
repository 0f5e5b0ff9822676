"""Every layer on every backend: values, gradients, compiled, shapes, purity. The rows are in `layers_table.py`."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
from backends import BACKENDS, COMPILING, TRAINING
from layers_table import ROWS, _graph, graph, normal

import kfunc as kf
from kfunc import nn

EPS = float(np.finfo(np.float32).eps)
SEED = 3

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@functools.cache
def values(row):
    """Parameters and state that are no zeros or ones, so that nothing hides behind them."""
    params, state = row.layer.init(SEED, *row.inputs)
    rng = np.random.default_rng(SEED)

    def shaken(x):
        return (x + 0.3 * rng.normal(size=x.shape)).astype(np.float32)

    return kf.tree.map(shaken, params), kf.tree.map(lambda x: np.abs(shaken(x)) + 0.5, state)


def wide(tree):
    return kf.tree.map(lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, tree)


def expected(row, params, state, inputs):
    """The oracle's (output, new state)."""
    out = row.oracle(params, state, *inputs)
    return out if row.train else (out, state)


def close(got, want, n, factor=8.0):
    """Within `factor` eps, times the root of the longest reduction, of each array's largest magnitude."""
    got, want = kf.tree.leaves(got), kf.tree.leaves(want)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        a = kf.to_numpy(a)
        assert a.shape == np.shape(b)
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=factor * EPS * np.sqrt(n) * scale)


def apply(row, params, state, inputs):
    return row.layer.apply(params, *inputs, state=state, train=row.train)


@rows
@pytest.mark.parametrize("name", BACKENDS)
def test_values(name, row):
    params, state = values(row)
    out, new_state = apply(row, *kf.to_backend((params, state, row.inputs), name))
    want, want_state = expected(row, *wide((params, state, row.inputs)))
    close(out, want, row.n)
    close(new_state, want_state, row.n)
    assert kf.tree.structure(new_state) == kf.tree.structure(state)
    assert {kf.backend_of(leaf).name for leaf in kf.tree.leaves(out)} == {name}


def numeric_gradient(fun, tree):
    """The gradient of `fun`, a float64 function of a tree of float64 arrays, by central differences."""
    leaves, structure = kf.tree.flatten(tree)
    step = 1e-5  # the error is of the order step**2, far below float32's eps
    gradients = []
    for i, leaf in enumerate(leaves):
        gradient = np.zeros_like(leaf)
        for index in np.ndindex(leaf.shape):
            ends = []
            for sign in (1, -1):
                moved = leaf.copy()
                moved[index] += sign * step
                ends.append(fun(kf.tree.unflatten(structure, [*leaves[:i], moved, *leaves[i + 1 :]])))
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        gradients.append(gradient)
    return kf.tree.unflatten(structure, gradients)


def cotangents(out):
    """Fixed weights for every output element, so that each gradient has a size of its own."""
    rng = np.random.default_rng(1)
    return [rng.normal(size=np.shape(x)) for x in kf.tree.leaves(out)]


@functools.cache
def gradient_oracle(row):
    params, state = wide(values(row))
    inputs = wide(row.inputs)
    weights = cotangents(expected(row, params, state, inputs)[0])

    def objective(tree):
        params, moving = tree
        given = [moving[str(i)] if i in row.differentiable else x for i, x in enumerate(inputs)]
        out = kf.tree.leaves(expected(row, params, state, given)[0])
        return sum((w * y).sum() for w, y in zip(weights, out, strict=True))

    return numeric_gradient(objective, (params, {str(i): inputs[i] for i in row.differentiable}))


@rows
@pytest.mark.parametrize("name", TRAINING)
def test_gradients(name, row):
    weights = cotangents(expected(row, *wide((*values(row), row.inputs)))[0])
    weights = kf.to_backend([np.asarray(w, np.float32) for w in weights], name)
    params, state, inputs = kf.to_backend((*values(row), row.inputs), name)
    moving = {str(i): inputs[i] for i in row.differentiable}

    def objective(tree):
        params, moving = tree
        given = [moving.get(str(i), x) for i, x in enumerate(inputs)]
        return weighted(kf.tree.leaves(apply(row, params, state, given)[0]), weights)

    gradient = kf.grad(objective)((params, moving))
    close(gradient, gradient_oracle(row), row.n)


@kf.arrays.native
def weighted(outputs, weights):
    xp = kf.namespace(*outputs)
    total = 0.0
    for y, w in zip(outputs, weights, strict=True):
        total = xp.sum(y * w) + total
    return total


@rows
@pytest.mark.parametrize("name", BACKENDS)
def test_purity(name, row):
    params, state = values(row)
    before = kf.tree.map(np.copy, (params, state, row.inputs))
    given = kf.to_backend((params, state, row.inputs), name)
    first, second = (kf.tree.map(kf.to_numpy, apply(row, *given)) for _ in range(2))
    for a, b in zip(kf.tree.leaves(first), kf.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(kf.tree.leaves(kf.tree.map(kf.to_numpy, given)), kf.tree.leaves(before), strict=True):
        np.testing.assert_array_equal(a, b)


@rows
def test_shapes_with_an_unknown_batch(row):
    specs = [kf.Spec((None, *x.shape[1:]), x.dtype) for x in row.inputs]
    found = row.layer.trace(*specs).outputs[-1][2]
    want = expected(row, *wide((*values(row), row.inputs)))[0]
    batch = row.inputs[0].shape[0]
    for spec, array in zip(kf.tree.leaves(found), kf.tree.leaves(want), strict=True):
        assert tuple(batch if n is None else n for n in spec.shape) == array.shape
        assert spec.shape[0] is None


@rows
def test_configs_describe_layers_completely(row):
    config = json.loads(json.dumps(kf.registry.to_config("layer", row.layer)))
    again = kf.registry.from_config("layer", config)
    assert type(again) is type(row.layer)
    first, second = (layer.init(SEED, *row.inputs) for layer in (row.layer, again))
    assert kf.tree.paths(first) == kf.tree.paths(second)
    for a, b in zip(kf.tree.leaves(first), kf.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)
    params, state = values(row)
    out = again.apply(params, *row.inputs, state=state, train=row.train)
    for a, b in zip(kf.tree.leaves(out), kf.tree.leaves(apply(row, params, state, row.inputs)), strict=True):
        np.testing.assert_array_equal(a, b)


# Dynamo takes seconds for a graph; these rows hold every mechanism (state, windows, attention, recurrence, sharing).
WITH_DYNAMO = {
    "Dense/relu",
    "BatchNormalization/train",
    "MultiHeadAttention/mask",
    "LSTM",
    "GRU",
    "Embedding",
    "Sequential/shared",
    "Graph",
    "CNN",
}
COMPILED = [
    pytest.param(*backend.values, row, marks=backend.marks, id=f"{backend.values[0]}-{row.name}")
    for backend in COMPILING
    for row in ROWS
    if backend.values[0] != "torch" or row.name in WITH_DYNAMO
]


@pytest.mark.parametrize(("name", "row"), COMPILED)
def test_compiled(name, row):
    check_compiled(name, row)


@rows
@pytest.mark.tensorflow
def test_compiled_by_xla_on_tensorflow(row, monkeypatch):
    monkeypatch.setattr(kf.backends.get("tensorflow"), "jit_compile", True)
    check_compiled("tensorflow", row)


def check_compiled(name, row):
    params, state = values(row)
    traces = []

    def fun(params, state, inputs):
        traces.append(1)
        return apply(row, params, state, inputs)

    compiled = kf.jit(fun, constant_argnums=(0, 1), compile=True)
    weights = kf.to_backend((params, state), name)
    # The whole batch twice, and one sample: for OpenVINO the same program.
    for n in (None, None, 1):
        inputs = tuple(x[:n] for x in row.inputs)
        out, new_state = compiled(*weights, kf.to_backend(inputs, name))
        want, want_state = expected(row, *wide((params, state, inputs)))
        close(out, want, row.n)
        close(new_state, want_state, row.n)
    if name != "torch":  # where Dynamo repeats the side effect at every call
        assert len(traces) == (1 if name == "openvino" else 2)


@pytest.mark.parametrize("name", BACKENDS)
def test_graph_of_dicts_and_several_outputs(name):
    net = _graph()
    inputs = {"a": normal(4, 3), "b": normal(4, 4)}
    params, state = net.init(0, inputs)
    out, _ = net.apply(*kf.to_backend((params, inputs), name))
    close(out, graph(wide(params), state, wide(inputs)), n=12)


@pytest.mark.parametrize("name", TRAINING)
def test_dropout(name):
    net = nn.Sequential([nn.Dropout(0.4), nn.Dropout(0.4)])
    x = np.ones((50, 40), np.float32)
    out = {}
    for backend in ("numpy", name):
        y, _ = net.apply({}, kf.asarray(x, backend=backend), key=11, train=True)
        out[backend] = kf.to_numpy(y)
    np.testing.assert_array_equal(out[name] != 0, out["numpy"] != 0)
    kept = out[name][out[name] != 0]
    np.testing.assert_allclose(kept, 1 / 0.6**2, rtol=4 * EPS)
    share = kept.size / x.size  # two independent masks; five standard deviations of a binomial share
    assert abs(share - 0.36) < 5 * np.sqrt(0.36 * 0.64 / x.size)
    with pytest.raises(kf.errors.MissingKeyError, match="dropout"):
        net.apply({}, kf.asarray(x, backend=name), train=True)


def test_a_layer_that_is_used_twice_draws_anew():
    shared = nn.Dropout(0.5)
    x = np.ones((100, 50), np.float32)
    out, _ = nn.Sequential([shared, shared]).apply({}, x, key=0, train=True)
    share = (out != 0).mean()  # a mask that came twice would leave half
    assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / x.size)
    again, _ = nn.Sequential([shared, shared]).apply({}, x, key=kf.random.key(0), train=True)
    np.testing.assert_array_equal(out, again)


def test_first_values_depend_on_the_seed_and_the_path_alone():
    x = np.ones((1, 4), np.float32)
    one, _ = nn.Sequential([nn.Dense(4, name="a"), nn.Dense(3, name="b")]).init(5, x)
    other, _ = nn.Sequential([nn.Dense(4, name="c"), nn.LayerNormalization(), nn.Dense(3, name="b")]).init(5, x)
    np.testing.assert_array_equal(one["b"]["kernel"], other["b"]["kernel"])
    assert not np.array_equal(one["a"]["kernel"], other["c"]["kernel"])
    assert not np.array_equal(one["b"]["kernel"], nn.Sequential([nn.Dense(3, name="b")]).init(6, x)[0]["b"]["kernel"])


def test_state_that_layers_do_not_set_comes_back_as_it_was():
    net = nn.Sequential([nn.Dense(3), nn.BatchNormalization(), nn.Residual(nn.BatchNormalization())])
    x = normal(5, 4)
    params, state = net.init(0, x)
    _, same = net.apply(params, x, state=state)
    assert same is state
    before = kf.tree.map(np.copy, state)
    _, moved = net.apply(params, x, state=state, train=True)
    assert kf.tree.structure(moved) == kf.tree.structure(state)
    for old, kept, new in zip(*map(kf.tree.leaves, (before, state, moved)), strict=True):
        np.testing.assert_array_equal(old, kept)
        assert not np.array_equal(old, new)
