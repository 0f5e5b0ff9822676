"""Layers made of layers, against the same network written out: values, gradients, state, losses and masks."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from backends import BACKENDS, COMPILING, TRAINING
from keras_rows import normal

import kfunc as kf
from kfunc import nn

EPS = float(np.finfo(np.float32).eps)


def block(regularizer=None, **options):
    return nn.Sequential(
        [
            nn.Dense(4, "tanh", kernel_regularizer=regularizer, name="a"),
            nn.BatchNormalization(name="b"),
            nn.Dropout(0.0, name="c"),
        ],
        **options,
    )


def sliced(tree, i):
    return kf.tree.map(lambda x: x[i], tree)


def stacked(trees):
    return kf.tree.map(lambda *xs: np.stack(xs), *trees)


X = normal(5, 4)


def objective(net, state, train=True):
    @kf.arrays.native
    def mean(y, losses):
        xp = kf.namespace(y)
        return functools.reduce(lambda a, b: a + b, losses, xp.mean(y * y))

    def fun(params, x):
        y, new, aux = net.apply(params, x, state=state, train=train, aux=True, key=None)
        return mean(y, list(aux.losses.values())), (y, new, aux.losses)

    return kf.value_and_grad(fun, has_aux=True)


def close(a, b):
    assert kf.tree.structure(a) == kf.tree.structure(b)
    for x, y in zip(kf.tree.leaves(a), kf.tree.leaves(b), strict=True):
        np.testing.assert_allclose(kf.to_numpy(x), kf.to_numpy(y), rtol=0, atol=64 * EPS)


@pytest.mark.parametrize("name", TRAINING)
def test_stack_is_its_layers_one_after_another(name):
    net = nn.Stack(block("l2"), 3)
    params, state = net.init(0, X)
    assert params["layer"]["a"]["kernel"].shape == (3, 4, 4)
    assert not np.array_equal(params["layer"]["a"]["kernel"][0], params["layer"]["a"]["kernel"][1])
    p, s, x = kf.to_backend((params, state, X), name)
    (value, (y, new, losses)), grads = objective(net, s)(p, x)
    written = nn.Sequential([block("l2", name=f"b{i}") for i in range(3)])
    own = {f"b{i}": sliced(params["layer"], i) for i in range(3)}
    own_state = {f"b{i}": sliced(state["layer"], i) for i in range(3)}
    (value_, (y_, new_, losses_)), grads_ = objective(written, own_state)(own, X)
    close((value, y), (value_, y_))
    close(grads["layer"], stacked([grads_[f"b{i}"] for i in range(3)]))
    close(new["layer"], stacked([new_[f"b{i}"] for i in range(3)]))
    assert list(losses) == ["layer/a/kernel"]
    close(losses["layer/a/kernel"], np.float32(sum(float(v) for v in losses_.values())))


@pytest.mark.parametrize("name", TRAINING)
def test_remat_changes_no_number(name):
    net, plain = nn.Remat(block("l2")), nn.Wrapper(block("l2"))
    params, state = net.init(0, X)
    p, s, x = kf.to_backend((params, state, X), name)
    close(objective(net, s)(p, x), objective(plain, s)(p, x))


@pytest.mark.parametrize("name", COMPILING)
@pytest.mark.parametrize("wrap", [nn.Remat, lambda f: nn.Stack(f, 2)], ids=["Remat", "Stack"])
def test_compiled(name, wrap):
    net = wrap(block())
    params, state = net.init(0, X)
    want, _ = net.apply(params, X, state=state)
    p, s, x = kf.to_backend((params, state, X), name)
    got = kf.jit(lambda p, s, x: net.apply(p, x, state=s)[0], constant_argnums=(0, 1), compile=True)(p, s, x)
    close(got, want)


@pytest.mark.parametrize("wrap", [nn.Remat, lambda f: nn.Stack(f, 4)], ids=["Remat", "Stack"])
@pytest.mark.parametrize("name", TRAINING)
def test_draws_are_the_same_everywhere_and_differ_from_block_to_block(name, wrap):
    net = wrap(nn.Dropout(0.5))
    x = np.ones((64, 64), np.float32)
    out = {n: kf.to_numpy(net.apply({}, kf.asarray(x, backend=n), key=3, train=True)[0]) for n in ("numpy", name)}
    np.testing.assert_array_equal(out["numpy"], out[name])
    share = 0.5 ** (4 if isinstance(net, nn.Stack) else 1)  # of independent masks; five standard deviations
    assert abs((out[name] != 0).mean() - share) < 5 * np.sqrt(share * (1 - share) / x.size)
    twice = nn.Sequential([net, net]).apply({}, x, key=3, train=True)[0]
    assert abs((twice != 0).mean() - share**2) < 5 * np.sqrt(share**2 / x.size)


@pytest.mark.parametrize("make", [nn.Frozen, lambda f: nn.Wrapper(f, trainable=False)], ids=["Frozen", "trainable"])
@pytest.mark.parametrize("name", BACKENDS)
def test_frozen_parameters_are_state_and_stay(name, make):
    inner = block("l2")
    net = nn.Sequential([make(inner), nn.Dense(2)])
    params, state = net.init(0, X)
    frozen = next(k for k in state)
    assert list(params) == ["dense"]
    assert set(state[frozen]["layer"]["a"]) == {"kernel", "bias"}
    p, s, x = kf.to_backend((params, state, X), name)
    y, new, aux = net.apply(p, x, state=s, train=True, aux=True)
    close(new, state)
    assert not aux.losses
    values, moving = state[frozen]["layer"], state[frozen]["layer"]["b"]
    plain = {"a": values["a"], "b": {k: moving[k] for k in ("gamma", "beta")}}
    h, _ = inner.apply(plain, X, state={"b": {k: moving[k] for k in ("moving_mean", "moving_variance")}})
    close(y, nn.Dense(2).apply(params["dense"], h)[0])


@pytest.mark.parametrize("name", BACKENDS)
def test_side_by_side(name):
    x = kf.asarray(X, backend=name)
    branch = nn.Branch({"one": nn.Dense(2), "two": nn.Activation("relu")})
    params, _ = branch.init(0, X)
    out, _ = branch.apply(kf.to_backend(params, name), x)
    close(out, {"one": nn.Dense(2).apply(params["one"], X)[0], "two": np.maximum(X, 0)})
    parallel = nn.Parallel([nn.Activation("relu"), nn.Activation("tanh")])
    close(parallel.apply({}, [x, x])[0], [np.maximum(X, 0), np.tanh(X)])
    with pytest.raises(kf.errors.ShapeError, match="2 inputs"):
        parallel.apply({}, [x])


def test_what_cannot_be_stacked():
    with pytest.raises(kf.errors.ShapeError, match="must keep shape"):
        nn.Stack(nn.Dense(3), 2).init(0, X)
    with pytest.raises(kf.errors.ArgumentError, match="length"):
        nn.Stack(nn.Dense(3), 0)


@pytest.mark.torch
@pytest.mark.parametrize("wrap", [nn.Remat, lambda f: nn.Stack(f, 2), lambda f: nn.Branch([f, nn.Identity()])])
def test_masks_through_one_graph_on_torch(wrap):
    torch = pytest.importorskip("torch")
    torch.compiler.reset()
    merged = nn.Add() if isinstance(wrap(nn.Identity()), nn.Branch) else nn.Identity()
    body = nn.LSTM(4, return_sequences=True)
    net = nn.Sequential([nn.Embedding(5, 4, mask_zero=True), wrap(body), merged, nn.GlobalAveragePooling1D()])
    ids = np.asarray([[1, 2, 0], [3, 0, 0]], np.int32)
    params, _ = net.init(0, ids)
    p, x = kf.to_backend((params, ids), "torch")
    compiled = torch.compile(lambda p, x: net.apply(p, x)[0], fullgraph=True, backend="eager")
    close(compiled(p, x), net.apply(params, ids)[0])


def test_a_layer_that_is_used_twice_counts_its_weights_once_and_its_outputs_twice():
    shared = nn.Dense(4, kernel_regularizer="l2", activity_regularizer="l1")
    params, _ = nn.Sequential([shared, shared]).init(0, X)
    y, _, aux = nn.Sequential([shared, shared]).apply(params, X, aux=True)
    once, _ = shared.apply(params["dense"], X)
    outputs = 0.01 * (np.abs(once).sum() + np.abs(y).sum()) / len(X)
    weights = 0.01 * (params["dense"]["kernel"] ** 2).sum()
    assert {k: pytest.approx(float(v), rel=1e-6) for k, v in aux.losses.items()} == {
        "dense/activity_0": outputs,
        "dense/kernel": weights,
    }


@nn.layer
class Cached(nn.Layer):
    """A block of a decoder that passes its cache on, and takes a bias of its own."""

    attention: nn.Layer
    dense: nn.Layer

    def init_cache(self, *args, **options):
        return self.attention.init_cache(*args, **options)

    def forward(self, s, x, shift=None, cache=None, bias=None, mask=None):
        y = self.attention(s, x, x, cache=cache, value_mask=mask, attention_bias=bias, use_causal_mask=True)
        y, cache = (y, None) if cache is None else y
        y = x + self.dense(s, y) + (0 if shift is None else shift)
        return y if cache is None else (y, cache)


@pytest.mark.parametrize("window", [None, 3], ids=["whole", "rolling"])
@pytest.mark.parametrize("name", BACKENDS)
def test_a_stack_carries_a_cache_for_each_layer(name, window):
    """Step by step, with biases that differ from layer to layer, as the same layers one after another do it."""
    block = Cached(nn.GroupQueryAttention(4, 2, 1, sliding_window=window, rotary=nn.RotaryEmbedding()), nn.Dense(6))
    net, n, time = nn.Stack(block, 3), 3, 6
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, time, 6)).astype(np.float32)
    shift, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((1, 1, 6), (n, 1, 2, time, time)))
    params, _ = net.init(0, x, shift, each={"bias": bias})
    want = x
    for i in range(n):
        layer = kf.tree.map(lambda a, i=i: a[i], params["layer"])
        want, _ = block.apply(layer, want, shift, bias=bias[i])
    here, there = kf.to_backend((params, {"x": x, "shift": shift, "bias": bias}), name)

    def step(params, x, shift, bias, caches=None):
        each = {"bias": bias} if caches is None else {"bias": bias, "cache": caches}
        return net.apply(params, x, shift, each=each)[0]

    run = kf.jit(step) if name in ("jax", "tensorflow", "openvino") else step
    got = [run(here, there["x"], there["shift"], there["bias"])]
    caches, parts = net.init_cache(2, time, backend=name), []
    assert caches.key.shape == (n, 2, 2 if window else time, 1, 4)
    for start, end in ((0, 4), (4, 5), (5, 6)):
        y, b = kf.to_backend((x[:, start:end], bias[:, :, :, start:end]), name)
        out, caches = run(here, y, there["shift"], b, caches)
        parts.append(kf.to_numpy(out))
    assert kf.to_numpy(caches.index).tolist() == [time] * n
    for out in (got[0], np.concatenate(parts, axis=1)):
        # Three blocks of three products; each sum is one of at most 8 numbers.
        np.testing.assert_allclose(kf.to_numpy(out), want, rtol=0, atol=64 * 1.2e-7 * np.abs(want).max())


def test_what_each_layer_gets_has_an_entry_for_each():
    net = nn.Stack(Cached(nn.MultiHeadAttention(2, 4), nn.Dense(6)), 3)
    x = np.ones((2, 4, 6), np.float32)
    for bias in (np.zeros((2, 1, 2, 4, 4), np.float32), np.float32(0)):
        with pytest.raises(kf.errors.ShapeError, match="first axis of 3") as caught:
            net.init(0, x, each={"bias": bias})
        assert caught.value.argument == "each"
