"""Loops of length 0: the carry as it was, and empty arrays of the form that results would have."""

from __future__ import annotations

import numpy as np
import pytest
from backends import BACKENDS, TRAINING

import kfunc as kf

W = np.linspace(0.5, 2, 6, dtype=np.float32)
NONE = np.zeros((0, 6), np.float32)


def xp_of(*arrays):
    return kf.namespace(*arrays)


def total(x):
    return xp_of(x).sum(x)


def results(c, x):
    return c + x, {"twice": c * 2, "parts": (total(x), x > 0)}


EMPTY = {"twice": NONE, "parts": (NONE[:, 0], NONE > 0)}
LOOPS = {
    "scan": (lambda w, e: kf.scan(results, w, e), (W, EMPTY)),
    "scan backwards": (lambda w, e: kf.scan(results, w, e, reverse=True), (W, EMPTY)),
    "scan of a length": (lambda w, e: kf.scan(lambda c, x: (c * 2, c), w, length=0), (W, NONE)),
    "scan without results": (lambda w, e: kf.scan(lambda c, x: (c + x, None), w, e), (W, None)),
    "map": (lambda w, e: kf.map(lambda x: {"double": x * 2, "sum": total(x)}, e), {"double": NONE, "sum": NONE[:, 0]}),
    "fori_loop": (lambda w, e: kf.fori_loop(3, 3, lambda i, c: c * 2, w), W),
    "fori_loop to below": (lambda w, e: kf.fori_loop(3, 1, lambda i, c: c * 2, w), W),
    "while_loop": (lambda w, e: kf.while_loop(lambda c: total(c) < -1, lambda c: c * 2, w), W),
    "associative_scan": (lambda w, e: kf.associative_scan(lambda a, b: a + b, e), NONE),
    "associative_scan backwards": (
        lambda w, e: kf.associative_scan(lambda a, b: a + b, xp_of(e).permute_dims(e, (1, 0)), reverse=True, axis=-1),
        NONE.T,
    ),
    "vmap": (lambda w, e: kf.vmap(lambda x: (x * 2, total(x)))(e), (NONE, NONE[:, 0])),
    "vmap to another axis": (lambda w, e: kf.vmap(lambda x: x * 2, out_axes=-1)(e), NONE.T),
}
CANNOT = {("openvino", "vmap"), ("openvino", "vmap to another axis")}


def check(got, want):
    assert kf.tree.structure(got) == kf.tree.structure(want)
    for g, w in zip(kf.tree.leaves(got), kf.tree.leaves(want), strict=True):
        assert kf.arrays.dtype_name(g.dtype) == w.dtype.name
        np.testing.assert_array_equal(kf.to_numpy(g), w, strict=True)


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "jit"])
@pytest.mark.parametrize("name", BACKENDS)
def test_loops_of_nothing(name, compiled):
    w, e = kf.to_backend((W, NONE), name)
    for loop, (fun, want) in LOOPS.items():
        if (name, loop) in CANNOT or (compiled and (name, loop) == ("openvino", "while_loop")):
            continue  # `test_transforms` knows what openvino says there
        fun = kf.arrays.native(fun)
        check((kf.jit(fun) if compiled else fun)(w, e), want)


@pytest.mark.parametrize("name", TRAINING)
def test_native_arrays(name):
    """Outside of layer code, the functions get the framework's own arrays, as they do where there are entries."""
    e = kf.to_backend(NONE, name)
    seen = []
    check(kf.map(lambda x: (seen.append(type(x)), x * 2)[1], e), NONE)
    check(kf.vmap(lambda x: x * 2)(e), NONE)
    assert all(kf.backends.kind_of(cls)[:2] == kf.backends.kind_of(type(e))[:2] for cls in seen) and seen


@pytest.mark.parametrize("name", TRAINING)
def test_gradients(name):
    w, e = kf.to_backend((W, NONE), name)
    rows = [
        (lambda w, e: total(kf.scan(lambda c, x: (c * x, c / (x - 1)), w, e)[0]), np.ones_like(W)),
        # Its example divides by zero, which must not come out.
        (lambda w, e: total(w) + total(kf.scan(lambda c, x: (c * x, c / (x - 1)), w, e)[1]), np.ones_like(W)),
        (lambda w, e: total(w) + total(kf.vmap(lambda x, w: w / (x - 1), in_axes=(0, None))(e, w)), np.ones_like(W)),
    ]
    for fun, want in rows:
        check(kf.grad(kf.arrays.native(fun))(w, e), want)
    check(kf.grad(kf.arrays.native(lambda e: total(kf.map(lambda x: x * x, e))))(e), NONE)
    check(kf.jvp(kf.arrays.native(lambda w: kf.scan(lambda c, x: (c * 2, c), w, length=0)), (w,), (w,))[1], (W, NONE))


def test_on_specs():
    for fun, want in LOOPS.values():
        got = fun(kf.Spec(W.shape), kf.Spec(NONE.shape))
        assert kf.tree.map(lambda x: (tuple(x.shape), kf.arrays.dtype_name(x.dtype)), got) == kf.tree.map(
            lambda x: (x.shape, x.dtype.name), want
        )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", BACKENDS)
def test_negative_axes(name, reverse):
    """Each array counts them from its own end."""
    rows = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    trees = [{"a": rows, "b": rows + 1}, {"a": rows, "b": rows[None] + 1}]
    for values, axis in ((trees[0], -1), (trees[0], -2), (trees[1], -1)):
        got = kf.arrays.native(
            lambda t, axis=axis: kf.associative_scan(
                lambda a, b: kf.tree.map(lambda x, y: x + y, a, b), t, reverse, axis
            )
        )(kf.to_backend(values, name))
        turn = (lambda x, axis=axis: np.flip(x, axis)) if reverse else (lambda x: x)
        check(got, kf.tree.map(lambda x, axis=axis, turn=turn: turn(np.cumsum(turn(x), axis)), values))
