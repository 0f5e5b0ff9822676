"""Function transformations: the same results on every backend that differentiates, one clear error on OpenVINO."""

from __future__ import annotations

import numpy as np
import pytest
from backends import BACKENDS, TRAINING, params

import kfunc as kf

EPS = float(np.finfo(np.float32).eps)
X = np.linspace(-1, 1.5, 6, dtype=np.float32)
W = np.linspace(0.5, 2, 6, dtype=np.float32)


def on(name, *values):
    return tuple(kf.to_backend(v, name) for v in values)


@kf.arrays.native
def polynomial(w, x):
    """A scalar with gradients 2wx² for w and 2w²x for x."""
    xp = kf.namespace(w, x)
    return xp.sum(w * w * x * x)


def close(got, want):
    np.testing.assert_allclose(kf.to_numpy(got), want, rtol=8 * EPS, atol=8 * EPS)


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "jit"])
@pytest.mark.parametrize("name", TRAINING)
def test_value_and_grad(name, compiled):
    wrap = kf.jit if compiled else lambda f: f
    w, x = on(name, W, X)
    value, gradient = wrap(kf.value_and_grad(polynomial))(w, x)
    close(value, (W**2 * X**2).sum())
    close(gradient, 2 * W * X**2)
    both = wrap(kf.grad(polynomial, argnums=(0, 1)))(w, x)
    assert isinstance(both, tuple)
    close(both[0], 2 * W * X**2)
    close(both[1], 2 * W**2 * X)
    close(wrap(kf.grad(polynomial, argnums=1))(w, x), 2 * W**2 * X)


@pytest.mark.parametrize("name", TRAINING)
def test_trees_aux_and_unused_leaves(name):
    tree = kf.to_backend({"b": {"w": W}, "a": [X, np.float32([3.0])]}, name)

    def fun(tree, scale):
        return polynomial(tree["b"]["w"], tree["a"][0]), {"twice": tree["a"][0] * scale, "text": "kept"}

    (value, aux), gradient = kf.value_and_grad(fun, has_aux=True)(tree, scale=2)
    close(value, (W**2 * X**2).sum())
    close(aux["twice"], 2 * X)
    assert aux["text"] == "kept"
    assert kf.tree.structure(gradient) == kf.tree.structure(tree)
    close(gradient["b"]["w"], 2 * W * X**2)
    close(gradient["a"][1], np.zeros(1))
    gradient, aux = kf.grad(fun, has_aux=True)(tree, 2)
    close(gradient["a"][0], 2 * W**2 * X)
    assert {kf.backend_of(leaf).name for leaf in kf.tree.leaves((gradient, aux["twice"]))} == {name}


@pytest.mark.parametrize("name", TRAINING)
def test_gradients_nest(name):
    w, x = on(name, W, X)
    total = kf.arrays.native(lambda a, b: kf.namespace(a).sum(a * b))
    # The derivative of sum(x * d/dx) for w: d/dw of 2 w² x² is 4 w x².
    inner = kf.grad(polynomial, argnums=1)
    close(kf.grad(lambda w: total(inner(w, x), x))(w), 4 * W * X**2)
    closed = kf.grad(lambda w: total(kf.grad(lambda x: polynomial(w, x))(x), x))
    close(closed(w), 4 * W * X**2)


@pytest.mark.parametrize("name", TRAINING)
def test_stop_gradient(name):
    w, x = on(name, W, X)
    close(kf.grad(lambda w: polynomial(w, kf.stop_gradient(w) * x))(w), 2 * W * (W * X) ** 2)
    stopped = kf.stop_gradient({"w": w, "n": 3})
    close(stopped["w"], W)
    assert stopped["n"] == 3


@pytest.mark.parametrize("name", TRAINING)
def test_only_scalars_have_gradients(name):
    with pytest.raises((kf.KfuncError, TypeError, RuntimeError, ValueError)):
        kf.grad(lambda w: w * w)(*on(name, W))


@pytest.mark.parametrize("name", TRAINING)
def test_vmap(name):
    w, rows = on(name, W, np.stack([X, 2 * X, 3 * X]))
    values = kf.vmap(polynomial, in_axes=(None, 0))(w, rows)
    close(values, [(W**2 * (i * X) ** 2).sum() for i in (1, 2, 3)])
    columns = on(name, np.stack([X, 2 * X, 3 * X], axis=1))[0]
    out = kf.vmap(lambda x: {"double": x * 2}, in_axes=1, out_axes=1)(columns)
    close(out["double"], 2 * np.stack([X, 2 * X, 3 * X], axis=1))
    each = kf.vmap(kf.grad(polynomial), in_axes=(None, 0))(w, rows)
    close(each, np.stack([2 * W * (i * X) ** 2 for i in (1, 2, 3)]))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "jit"])
@pytest.mark.parametrize("name", BACKENDS)
def test_scan(name, compiled, reverse):
    def running(start, xs):
        return kf.scan(lambda c, x: (c + x["x"], {"sum": c + x["x"]}), start, {"x": xs}, reverse=reverse)

    start, xs = on(name, W, np.stack([X, 2 * X, 3 * X]))
    last, ys = (kf.jit(running) if compiled else running)(start, xs)
    order = [3, 2, 1] if reverse else [1, 2, 3]
    sums = [W + sum(order[: i + 1]) * X for i in range(3)]
    close(last, sums[-1])
    close(ys["sum"], np.stack(sums[::-1] if reverse else sums))


@pytest.mark.parametrize("name", TRAINING)
def test_gradient_through_scan(name):
    @kf.arrays.native
    def objective(w, xs):
        last, ys = kf.scan(lambda c, x: (c * x, c), w, xs)
        return kf.namespace(w).sum(last) + kf.namespace(w).sum(ys)

    xs = np.float32([[2, 3], [0.5, 4]])
    w = np.float32([1.5, -2])
    close(kf.grad(objective)(*on(name, w, xs)), 1 + xs[0] + xs[0] * xs[1])


def test_scan_needs_a_length():
    with pytest.raises(kf.errors.ShapeError, match="length"):
        kf.scan(lambda c, x: (c, c), np.ones(2), None)
    with pytest.raises(kf.errors.ShapeError, match="length"):
        kf.scan(lambda c, x: (c, c), np.ones(2), np.ones((3, 2)), length=4)
    carry, ys = kf.scan(lambda c, x: (c + 1, c), np.zeros(()), length=3)
    assert carry == 3
    assert ys.tolist() == [0, 1, 2]


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "jit"])
@pytest.mark.parametrize("name", BACKENDS)
def test_cond(name, compiled):
    @kf.arrays.native
    def positive(x):
        return kf.namespace(x).sum(x) > 0

    def choose(x):
        return kf.cond(positive(x), lambda x: {"y": x * 2}, lambda x: {"y": -x}, x)

    choose = kf.jit(choose) if compiled else choose
    for x in (X, -X):
        close(choose(*on(name, x))["y"], 2 * x if x.sum() > 0 else -x)


@pytest.mark.parametrize("name", params(("numpy", "jax", "tensorflow")))
def test_jit_compiles_once_a_shape(name):
    traces = []

    @kf.jit
    def fun(x, *, power=2):
        traces.append(power)
        return x**power

    x, longer = on(name, X, np.concatenate([X, X]))
    for _ in range(3):
        close(fun(x), X**2)
    close(fun(longer), np.concatenate([X, X]) ** 2)
    assert len(traces) == (2 if kf.backends.get(name).compiles else 4)


@pytest.mark.openvino
@pytest.mark.parametrize("transform", [kf.grad, kf.value_and_grad, kf.vmap])
def test_openvino_says_what_to_do(transform):
    with pytest.raises(kf.errors.UnsupportedError, match=r"numpy|another backend"):
        transform(polynomial)(*on("openvino", W, X))
