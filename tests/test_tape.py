"""The tape: every rule against finite differences, JAX and array-api-strict; NumPy's pullbacks against references."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

import kfunc as kf
from kfunc import backends, ops, tree
from kfunc.arrays import namespace
from kfunc.backends import tape
from kfunc.errors import ArgumentError, KfuncError, ShapeError, UnsupportedError
from kfunc.ops.scatter import scatter_add
from kfunc.transforms import cond, grad, scan, stop_gradient, value_and_grad, vmap

EPS = np.finfo(np.float64).eps


# -- what each rule is tried on --------------------------------------------------------------------------------------


def normal(*shape):
    return lambda rng: rng.normal(size=shape)


def between(low, high, *shape):
    return lambda rng: rng.uniform(low, high, shape)


def distinct(*shape):
    """Numbers at least 0.5 apart, in random order: no ties, and none arises from a small step."""
    return lambda rng: rng.permutation(math.prod(shape)).reshape(shape) * 0.5 - 1.1


def call(name, *args, **kwargs):
    """The namespace's function `name` of the arrays, with further arguments."""
    return lambda xp, *arrays: getattr(xp, name)(*arrays, *args, **kwargs)


def listed(name, **kwargs):
    return lambda xp, *arrays: getattr(xp, name)(list(arrays), **kwargs)


A = (3, 4)
UNARY = {
    **dict.fromkeys(
        ["abs", "atan", "asinh", "cos", "cosh", "exp", "expm1", "negative", "positive", "sin", "sinh", "square"],
        normal(*A),
    ),
    **dict.fromkeys(["tan", "tanh"], between(-1, 1, *A)),
    **dict.fromkeys(["acos", "asin", "atanh"], between(-0.9, 0.9, *A)),
    **dict.fromkeys(["log", "log1p", "log2", "log10", "sqrt", "reciprocal"], between(0.5, 3, *A)),
    "acosh": between(1.5, 3, *A),
    **dict.fromkeys(["ceil", "floor", "round", "sign", "trunc"], between(0.1, 0.4, *A)),
}
BINARY = {
    **dict.fromkeys(["add", "subtract", "multiply", "maximum", "minimum", "logaddexp", "copysign"], normal),
    **dict.fromkeys(["atan2", "divide", "hypot", "pow"], functools.partial(between, 0.5, 2)),
}


def key(*indices):
    """Indexing; lists stand for arrays of integers or booleans."""

    def fun(xp, x):
        made = tuple(xp.asarray(i) if isinstance(i, list) else i for i in indices)
        return x[made if len(made) > 1 else made[0]]

    return fun


def integers(name, indices, **kwargs):
    return lambda xp, x: getattr(xp, name)(x, xp.asarray(indices), **kwargs)


CASES = {
    **{name: (call(name), [make]) for name, make in UNARY.items()},
    **{name: (call(name), [make(*A), make(*A)]) for name, make in BINARY.items()},
    **{f"{name} broadcast": (call(name), [make(4), make(2, 1, 4)]) for name, make in BINARY.items()},
    **{f"{name} scalar": (call(name), [make(1), make()]) for name, make in BINARY.items()},
    "operators": (
        lambda xp, x, y: (2 - x) * y / 3 + (-x) ** 2 + 1 / y - abs(x) @ y.T,
        [normal(3, 3), between(1, 2, 3, 3)],
    ),
    "pow number": (lambda xp, x: x**3 + x**2 + x**0.5 + 2.0**x + x**0, [between(0.5, 2, *A)]),
    "remainder": (lambda xp, x, y: xp.remainder(x, y), [between(1.1, 1.9, *A), between(0.6, 0.9, *A)]),
    "where": (lambda xp, x, y: xp.where(x > y, x * y, y), [normal(*A), normal(4)]),
    "clip": (lambda xp, x: xp.clip(x, -0.5, 0.5) + xp.clip(x, max=0.25), [normal(*A)]),
    "clip arrays": (lambda xp, x, a, b: xp.clip(x, a, b), [normal(*A), between(-1, -0.5, 4), between(0.5, 1, 3, 1)]),
    "astype": (lambda xp, x: xp.astype(xp.astype(x, xp.float64) * x, xp.float64), [normal(*A)]),
    **{
        f"{name} {axis} {keepdims}": (call(name, axis=axis, keepdims=keepdims), [make(2, 3, 4)])
        for name, make in {"sum": normal, "mean": normal, "prod": normal, "max": distinct, "min": distinct}.items()
        for axis, keepdims in ((None, False), (1, False), ((0, -1), True))
    },
    **{
        f"{name} {axis}": (call(name, axis=axis, correction=correction, keepdims=keepdims), [normal(2, 3, 4)])
        for name in ("var", "std")
        for axis, correction, keepdims in ((None, 0, False), (1, 1, False), ((0, 2), 0, True))
    },
    "prod zeros": (call("prod", axis=0), [lambda rng: np.array([[0.0, 2, 3], [4, 0, 5], [6, 0, 7]])]),
    "cumulative_sum": (call("cumulative_sum", axis=1), [normal(2, 5)]),
    "cumulative_sum initial": (call("cumulative_sum", include_initial=True), [normal(5)]),
    "cumulative_prod": (call("cumulative_prod", axis=0), [lambda rng: np.array([[2.0, 1], [0, 3], [4, 0], [5, 0]])]),
    **{
        f"matmul {a} {b}": (call("matmul"), [normal(*a), normal(*b)])
        for a, b in (
            *(((3, 4), (4, 2)), ((4,), (4,)), ((4,), (4, 2)), ((3, 4), (4,)), ((2, 3, 4), (4, 2)), ((4,), (2, 4, 3))),
            *(((2, 3, 4), (4,)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 4), (2, 4, 2))),
        )
    },
    "tensordot 1": (call("tensordot", axes=1), [normal(2, 3), normal(3, 4)]),
    "tensordot 2": (call("tensordot"), [normal(2, 3, 4), normal(3, 4, 2)]),
    "tensordot axes": (call("tensordot", axes=((0, 2), (1, 0))), [normal(2, 3, 4), normal(4, 2, 5)]),
    "vecdot": (call("vecdot", axis=-1), [normal(2, 3, 4), normal(3, 4)]),
    "matrix_transpose": (call("matrix_transpose"), [normal(2, 3, 4)]),
    "properties": (lambda xp, x: x.mT[0, ...] @ x[0, ...] + x[0, ...].T @ x[1, ...], [normal(2, 3, 4)]),
    "concat": (listed("concat", axis=1), [normal(2, 3), normal(2, 1), normal(2, 2)]),
    "concat none": (listed("concat", axis=None), [normal(2, 3), normal(4)]),
    "stack": (listed("stack", axis=-1), [normal(2, 3), normal(2, 3)]),
    "unstack": (lambda xp, x: xp.unstack(x, axis=1)[1] * xp.unstack(x, axis=1)[0], [normal(2, 3)]),
    "reshape": (call("reshape", (4, -1)), [normal(2, 6)]),
    "permute_dims": (call("permute_dims", (2, 0, 1)), [normal(2, 3, 4)]),
    "moveaxis": (call("moveaxis", (0, 1), (2, 0)), [normal(2, 3, 4)]),
    "expand_dims": (call("expand_dims", axis=1), [normal(2, 3)]),
    "squeeze": (call("squeeze", axis=(0, 2)), [normal(1, 3, 1)]),
    "broadcast_to": (call("broadcast_to", (2, 3, 4)), [normal(3, 1)]),
    "broadcast_arrays": (
        lambda xp, *a: functools.reduce(lambda p, q: p * q, xp.broadcast_arrays(*a)),
        [normal(3, 1), normal(4)],
    ),
    "meshgrid": (lambda xp, *a: functools.reduce(lambda p, q: p * q, xp.meshgrid(*a)), [normal(3), normal(4)]),
    "flip": (call("flip", axis=1), [normal(2, 3)]),
    "flip all": (call("flip"), [normal(2, 3)]),
    "roll": (call("roll", (1, -2), axis=(0, 1)), [normal(2, 5)]),
    "roll flat": (call("roll", 2), [normal(2, 3)]),
    "repeat": (call("repeat", 3, axis=1), [normal(2, 3)]),
    "repeat flat": (call("repeat", 2), [normal(2, 3)]),
    "repeat counts": (integers("repeat", [2, 0, 1], axis=1), [normal(2, 3)]),
    "tile": (call("tile", (2, 1, 3)), [normal(2, 3)]),
    "tril": (call("tril", k=1), [normal(3, 4)]),
    "triu": (call("triu"), [normal(3, 4)]),
    "diff": (call("diff", axis=0, n=2), [normal(5, 2)]),
    "sort": (call("sort", axis=0, descending=True), [distinct(5, 2)]),
    "take": (integers("take", [2, 0, 2, 2], axis=1), [normal(2, 3, 2)]),
    "take flat": (integers("take", [1, 1, 0]), [normal(4)]),
    "take_along_axis": (integers("take_along_axis", [[0, 0], [2, 1], [2, 0]], axis=0), [normal(3, 2)]),
    "index slices": (key(slice(None, None, 2), 1, slice(1, None)), [normal(4, 3, 4)]),
    "index new": (key(Ellipsis, None, -1), [normal(2, 3)]),
    "index integers": (key([2, 0, 2, 2]), [normal(3)]),
    "index pairs": (key([0, 1, 0], [1, 2, 1]), [normal(2, 3)]),
    "index mask": (key([[True, False, True], [False, True, True]]), [normal(2, 3)]),
    "index overlap": (lambda xp, x: x[1:] * x[:-1] + x[0] + x[2], [normal(5)]),
    "full_like": (lambda xp, x: xp.full_like(x, xp.sum(x)) * x, [normal(2)]),
    "cut": (lambda xp, x: x * stop_gradient(xp.exp(x)), [normal(3)]),
    "scatter_add": (lambda xp, x: scatter_add(x, xp.asarray([3, 0, 3, 3, 1]), 5), [normal(5, 2)]),
    "erf": (lambda xp, x: ops.erf(x), [between(-5, 5, 9)]),
    "erf_inv": (lambda xp, x: ops.erf_inv(x), [between(-0.95, 0.95, 9)]),
    "relu": (lambda xp, x: ops.relu(x), [normal(*A)]),
    "sigmoid": (lambda xp, x: ops.sigmoid(x), [normal(*A)]),
    "tanh op": (lambda xp, x: ops.tanh(x), [normal(*A)]),
    "softmax": (lambda xp, x: ops.softmax(x, axis=0), [normal(*A)]),
    "log_softmax": (lambda xp, x: ops.log_softmax(x), [normal(*A)]),
    "logsumexp": (lambda xp, x: ops.logsumexp(x, axis=0), [normal(*A)]),
    "logsumexp kept": (lambda xp, x: x - ops.logsumexp(x, keepdims=True), [normal(*A)]),
}
# The derivative of an integral of these is not what finite differences see.
NO_DIFFERENCES = {"cut"}
# Shapes, or the number of rounds, depend on values there, and JAX compiles.
NO_JAX = {"index mask", "repeat counts", "scatter_add"}


def inputs(name):
    rng = np.random.default_rng(sum(map(ord, name)))
    return [np.asarray(make(rng)) for make in CASES[name][1]]


def scalar(fun):
    """The sum of the results of `fun`, each with a weight of its own: a cotangent with no symmetries."""

    def total(*arrays):
        xp = namespace(*arrays)
        out = fun(xp, *arrays)
        weights = xp.reshape(xp.sin(xp.astype(xp.arange(1, math.prod(out.shape) + 1), out.dtype)), out.shape)
        return xp.sum(out * weights)

    return total


def gradients(fun, arrays):
    return grad(fun, tuple(range(len(arrays))))(*arrays)


def close(got, expected, factor=64.0, eps=EPS):
    """Equal to a few rounding errors of the largest element: each is a short sum of terms of about that size."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    size = 1 + np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=factor * eps * size)


def check_differences(fun, arrays):
    """The gradient along random directions, against central differences."""
    rng = np.random.default_rng(0)
    step = EPS ** (1 / 3)
    grads = gradients(fun, arrays)
    for i, (array, g) in enumerate(zip(arrays, grads, strict=True)):
        assert g.shape == array.shape and g.dtype == array.dtype and isinstance(g, np.ndarray)
        for _ in range(3):
            direction = rng.uniform(-1, 1, array.shape)
            ends = [fun(*arrays[:i], array + s * direction, *arrays[i + 1 :]) for s in (step, -step)]
            difference = (float(ends[0]) - float(ends[1])) / (2 * step)
            # Truncation is step² times a third derivative, cancellation EPS / step times the value; both EPS^(2/3).
            scale = 1 + abs(float(ends[0])) + float(np.abs(g).sum())
            assert abs(float((g * direction).sum()) - difference) < 64 * EPS ** (2 / 3) * scale


@pytest.mark.parametrize("name", [n for n in CASES if n not in NO_DIFFERENCES])
def test_rule_against_differences(name):
    check_differences(scalar(CASES[name][0]), inputs(name))


def twice(fun):
    """A scalar function of the gradient of `fun`."""

    def total(*arrays):
        xp = namespace(*arrays)
        grads = gradients(fun, arrays)
        return sum((xp.sum(xp.sin(g)) for g in grads[1:]), xp.sum(xp.sin(grads[0])))

    return total


@pytest.mark.jax
@pytest.mark.parametrize("name", [n for n in CASES if n not in NO_JAX])
def test_rule_against_jax(name):
    import jax

    arrays, fun = inputs(name), scalar(CASES[name][0])
    with jax.enable_x64(True):
        # Compiled once as a whole, which is quicker than each operation by itself.
        expected = jax.jit(jax.grad(fun, tuple(range(len(arrays)))))(*arrays)
        for got, want in zip(gradients(fun, arrays), expected, strict=True):
            close(got, want)


@pytest.mark.parametrize("name", [n for n in CASES if n not in NO_DIFFERENCES])
def test_second_gradient_against_differences(name):
    arrays = inputs(name)
    check_differences(twice(scalar(CASES[name][0])), arrays)


@pytest.mark.array_api_strict
@pytest.mark.parametrize("name", CASES)
def test_rule_on_array_api_strict(name):
    import array_api_strict as strict

    arrays, fun = inputs(name), scalar(CASES[name][0])
    value, grads = value_and_grad(fun, tuple(range(len(arrays))))(*map(strict.asarray, arrays))
    want, expected = value_and_grad(fun, tuple(range(len(arrays))))(*arrays)
    assert isinstance(value, type(strict.asarray(0.0)))
    close(value, want)
    for got, g in zip(grads, expected, strict=True):
        assert isinstance(got, type(strict.asarray(0.0)))
        close(got, g)


def test_a_wrong_rule_is_found():
    backend = tape.tape_of(backends.get("numpy"))
    wrong = backend.differentiable(np.sin, (lambda xp, g, out, x: g * xp.cos(x) * (1 + 1e-6),))
    right = backend.differentiable(np.sin, (lambda xp, g, out, x: g * xp.cos(x),))

    def checked(fun):
        # Plain arrays are for finite differences, which need no rule.
        sine = scalar(lambda xp, x: np.sin(x) if isinstance(x, np.ndarray) else fun(x))
        check_differences(sine, [np.arange(1.0, 4.0)])

    checked(right)
    with pytest.raises(AssertionError):
        checked(wrong)


# -- the transformation ----------------------------------------------------------------------------------------------


def test_trees_auxiliary_results_and_unused_leaves():
    params = {"w": np.ones((2, 2)), "b": [np.zeros(2, np.float32), np.ones(3)]}
    x = np.arange(2.0)

    def fun(params, x):
        y = x @ params["w"] + params["b"][0]
        return namespace(y).sum(y * y), {"y": y, "n": 3, "x": x}

    (value, aux), g = value_and_grad(fun, has_aux=True)(params, x)
    assert type(value) is np.ndarray and value.shape == ()
    assert tree.structure(g) == tree.structure(params)
    assert g["b"][0].dtype == np.float32 and type(aux["y"]) is np.ndarray and aux["n"] == 3
    np.testing.assert_array_equal(aux["x"], x)
    np.testing.assert_array_equal(g["b"][1], np.zeros(3))
    np.testing.assert_allclose(g["w"], np.outer(x, 2 * aux["y"]))


@pytest.mark.parametrize(
    ("fun", "argnums", "args", "error"),
    [
        (lambda x: x, 0, (np.ones(2),), ShapeError),
        (lambda x: 1.0, 0, (np.ones(2),), ShapeError),
        (lambda x: namespace(x).sum(x) > 0, 0, (np.ones(2),), ShapeError),
        (lambda x: x, 0, (np.ones(2, np.int32),), ArgumentError),
        (lambda x: x, 0, (1.0,), ArgumentError),
        (lambda x: x, 1, (np.ones(2),), ArgumentError),
        (lambda x: namespace(x).linalg.inv(x)[0, 0], 0, (np.eye(2),), UnsupportedError),
        (lambda x: np.asarray(x).sum(), 0, (np.ones(2),), UnsupportedError),
    ],
)
def test_errors(fun, argnums, args, error):
    with pytest.raises(error) as caught:
        value_and_grad(fun, argnums)(*args)
    assert isinstance(caught.value, KfuncError) and caught.value.fix


def test_nested_levels_are_not_confused():
    one = np.asarray(1.0)
    assert grad(lambda x: x * grad(lambda y: x + y)(one))(one) == 1
    assert grad(lambda x: x * grad(lambda y: x * y)(one))(np.asarray(3.0)) == 6
    assert grad(grad(grad(lambda x: x**4)))(np.asarray(2.0)) == 48
    # A plain op at the inner level whose cotangent is of the outer one.
    x, w, k = np.random.default_rng(0).normal(size=(3, 4, 4))

    def fun(w):
        inner = grad(lambda x: namespace(x, w).sum(ops.softmax(ops.linear(x, k)) * w))(x)
        return namespace(inner).sum(inner * inner)

    check_differences(fun, [w])


def test_stop_gradient_cuts_all_levels():
    x = np.asarray(2.0)
    assert grad(lambda x: grad(lambda y: stop_gradient(x) * y)(x))(x) == 0
    assert grad(lambda x: grad(lambda y: stop_gradient(x * y) * y)(x))(x) == 0
    assert grad(lambda x: stop_gradient(x) * x)(x) == 2


def test_control_flow():
    x = np.arange(1.0, 4.0)

    def loop(x):
        xp = namespace(x)
        carry, ys = scan(lambda c, v: (c * v, c + v), xp.sum(x), x)
        rows = vmap(lambda v: v * v)(x)
        return cond(carry > 0, lambda c: c, lambda c: -c, carry) + xp.sum(ys) + xp.sum(rows)

    check_differences(loop, [x])
    check_differences(lambda x: namespace(x).sum(scan(lambda c, v: (c * v, c), x[0], x, reverse=True)[1]), [x])


def test_arguments_are_not_changed_and_calls_repeat():
    rng = np.random.default_rng(1)
    args = [rng.normal(size=(2, 5, 5, 2)), rng.normal(size=(3, 3, 2, 2)), rng.normal(size=2)]
    before = [a.copy() for a in args]

    def fun(x, k, b):
        xp = namespace(x, k)
        y = ops.relu(ops.conv(x, k, padding="same") + b)
        return xp.sum(ops.max_pool(y, 2) ** 2) + xp.sum(y[:, 0, ...]) + xp.sum(y[:, 0, ...])

    first, second = (value_and_grad(fun, (0, 1, 2))(*args) for _ in range(2))
    for a, b in zip(tree.leaves(first), tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_tape_array_protocol():
    seen = {}

    def fun(x):
        xp = namespace(x)
        seen.update(shape=x.shape, dtype=x.dtype, size=x.size, ndim=x.ndim, device=x.device, n=len(x), xp=xp)
        assert x.__array_namespace__() is xp and bool(x[0] > 0) and float(x[0]) == 1.0 and int(x[1]) == 2
        assert kf.to_numpy(x).tolist() == [1.0, 2.0] and xp.finfo(x.dtype).eps == EPS
        assert namespace(xp.argmax(x), xp.zeros(2), x > 1, xp.arange(3)) is xp
        y = np.ones(2) * x + x * np.ones(2) - np.float64(1)
        return xp.sum(y[xp.asarray([True, False])])

    np.testing.assert_array_equal(grad(fun)(np.array([1.0, 2.0])), [2.0, 0.0])
    assert {k: seen[k] for k in ("shape", "size", "ndim", "n")} == {"shape": (2,), "size": 2, "ndim": 1, "n": 2}


def test_gradients_are_the_callers_own_memory():
    a, b, c = np.ones((3, 2, 2))
    grads = grad(lambda t: namespace(t[0]).sum(t[0] + t[1]) + namespace(t[2]).sum(t[2]))([a, b, c])
    for g in grads:
        g *= 2  # a broadcast view could not be written to, and a shared one would be doubled twice
    for g in grads:
        np.testing.assert_array_equal(g, np.full((2, 2), 2.0))


def test_functions_of_the_linalg_extension():
    x, y = np.random.default_rng(2).normal(size=(2, 3, 3))
    check_differences(lambda x, y: namespace(x, y).sum(namespace(x, y).linalg.tensordot(x, y, axes=1)), [x, y])
    check_differences(lambda x, y: namespace(x, y).sum(namespace(x, y).linalg.matmul(x, y)), [x, y])


def test_ops_take_arguments_by_name():
    x, k, b = (np.random.default_rng(3).normal(size=s) for s in ((2, 3), (3, 4), (4,)))
    check_differences(lambda k, b: namespace(k).sum(ops.linear(x, bias=b, kernel=k) ** 2), [k, b])
    with pytest.raises(TypeError, match="biass"):
        grad(lambda k: ops.linear(x, k, biass=b))(k)
    with pytest.raises(TypeError, match="kernel"):
        grad(lambda b: ops.linear(x, bias=b))(b)


def test_numpy_numbers_and_arrays_mix_with_tape_arrays():
    two, a = np.float64(2), np.arange(3.0)

    check_differences(lambda x: namespace(x).sum(two * x + a - x / two + (a @ x) * two**x), [a + 1])
    check_differences(lambda x: x[...] * two + x[()] * x + x * x, [np.asarray(3.0)])


def test_an_infinite_derivative_is_no_warning():
    assert np.isinf(grad(lambda x: namespace(x).sqrt(x))(np.asarray(0.0)))


# -- NumPy's lowerings -----------------------------------------------------------------------------------------------


def lstm_weights(n, units, gates, bias, *states):
    return [normal(2, 4, n), normal(n, gates * units), normal(units, gates * units), bias, *states]


def fixed(values):
    return lambda rng: np.asarray(values)


NO = lambda rng: None  # noqa: E731
OPS = {
    "linear": (ops.linear, [normal(2, 3, 4), normal(4, 5), normal(5)], {}),
    "linear no bias": (ops.linear, [normal(3, 4), normal(4, 5)], {}),
    "linear vector": (ops.linear, [normal(4), normal(4, 5), normal(5)], {}),
    "embedding": (ops.embedding, [fixed([[1, 0, 1], [3, 1, 1]]), normal(5, 3)], {}),
    "relu": (ops.relu, [normal(3, 4)], {}),
    "sigmoid": (ops.sigmoid, [normal(3, 4)], {}),
    "sigmoid scalar": (ops.sigmoid, [normal()], {}),
    "tanh": (ops.tanh, [normal(3, 4)], {}),
    "gelu": (ops.gelu, [normal(3, 4)], {}),
    "gelu erf": (ops.gelu, [normal(3, 4)], {"approximate": False}),
    "softmax": (ops.softmax, [normal(3, 4)], {"axis": 0}),
    "log_softmax": (ops.log_softmax, [normal(3, 4)], {"axis": 0}),
    "erf_inv": (ops.erf_inv, [between(-1, 1, 50)], {}),
    "pad": (ops.pad, [normal(2, 3)], {"pad_width": ((1, 2), (0, 1)), "constant_values": 2.0}),
    "one_hot": (ops.one_hot, [fixed([[1, -1, 0], [5, 4, 9]])], {"num_classes": 5}),
    "all_finite": (ops.all_finite, [normal(3), fixed([1.0, np.nan]), fixed(np.full(3, 1e38)), fixed([np.inf])], {}),
    "moments": (ops.moments, [normal(2, 3, 4)], {"axes": (0, 1)}),
    "moments kept": (ops.moments, [normal(2, 3, 4)], {"axes": (-1,), "keepdims": True}),
    "scatter_add": (scatter_add, [normal(5, 2, 2), fixed([4, 0, 4, 4, 1])], {"size": 6}),
    "scatter_add flat": (scatter_add, [normal(5), fixed([4, 0, 4, 4, 1])], {"size": 6}),
    **{
        f"batch_normalization {axis} {scale is NO}": (
            ops.batch_normalization,
            [normal(2, 3, 3), normal(3), between(0.5, 2, 3), scale, scale],
            {"axis": axis},
        )
        for axis in (-1, 1)
        for scale in (normal(3), NO)
    },
    **{
        f"normalize_batch {axis} {scale is NO}": (ops.normalize_batch, [normal(2, 3, 3), scale, scale], {"axis": axis})
        for axis in (-1, 1)
        for scale in (normal(3), NO)
    },
    "label_crossentropy": (ops.label_crossentropy, [normal(4, 3), fixed([0, 2, 2, 1])], {}),
    "label_crossentropy axis": (ops.label_crossentropy, [normal(2, 3, 2), fixed([[0, 2], [1, 1]])], {"axis": 1}),
    "layer_normalization": (ops.layer_normalization, [normal(2, 3, 4), normal(4), normal(4)], {}),
    "layer_normalization axes": (ops.layer_normalization, [normal(2, 3, 4), NO, normal(3, 4)], {"axis": (1, 2)}),
    "layer_normalization bare": (ops.layer_normalization, [normal(2, 3, 4)], {"axis": -1, "epsilon": 1e-6}),
    **{
        f"conv {name}": (ops.conv, [normal(*x), normal(*k)], options)
        for name, x, k, options in (
            ("1d", (2, 7, 3), (3, 3, 4), {}),
            ("2d", (2, 6, 7, 3), (3, 2, 3, 4), {"padding": "same"}),
            ("3d", (1, 4, 4, 4, 2), (2, 2, 2, 2, 3), {"strides": 2}),
            ("strides", (2, 7, 6, 2), (3, 3, 2, 4), {"strides": (2, 3), "padding": "same"}),
            ("dilation", (2, 8, 8, 2), (3, 3, 2, 4), {"dilation_rate": (2, 1)}),
            ("first", (2, 3, 6, 5), (3, 3, 3, 4), {"data_format": "channels_first", "padding": "same"}),
            ("groups", (2, 5, 5, 4), (3, 3, 2, 6), {}),
            ("depthwise", (2, 5, 5, 4), (3, 3, 1, 8), {"padding": "same"}),
            ("pointwise", (2, 3, 3, 4), (1, 1, 4, 3), {}),
            ("pointwise strides", (2, 5, 5, 4), (1, 1, 4, 3), {"strides": 2}),
        )
    },
    **{
        f"{op.name} {name}": (op, [normal(*x)], options)
        for op in (ops.max_pool, ops.average_pool)
        for name, x, options in (
            ("1d", (2, 7, 3), {"pool_size": 2}),
            ("apart", (2, 4, 6, 3), {"pool_size": 2}),
            ("overlap", (2, 7, 6, 3), {"pool_size": 3, "strides": 2, "padding": "same"}),
            ("dense", (2, 5, 5, 1), {"pool_size": (2, 3), "strides": 1}),
            ("same", (2, 5, 5, 2), {"pool_size": 2, "padding": "same"}),
            ("first", (2, 3, 4, 4), {"pool_size": 2, "data_format": "channels_first"}),
        )
    },
    "max_pool ties": (
        ops.max_pool,
        [lambda rng: rng.integers(0, 2, (2, 6, 6, 1)) * 1.0],
        {"pool_size": 3, "strides": 1},
    ),
    "lstm": (ops.lstm, lstm_weights(3, 2, 4, normal(8)), {}),
    "lstm states": (ops.lstm, lstm_weights(3, 2, 4, NO, normal(2, 2), normal(2, 2)), {"reverse": True}),
    "lstm relu": (ops.lstm, lstm_weights(3, 2, 4, normal(8)), {"activation": ops.relu}),
    "gru": (ops.gru, lstm_weights(3, 2, 3, normal(2, 6)), {}),
    "gru before": (ops.gru, lstm_weights(3, 2, 3, normal(6), normal(2, 2)), {"reset_after": False, "reverse": True}),
    "gru states": (ops.gru, lstm_weights(3, 2, 3, NO, normal(2, 2)), {"reverse": True}),
    "attention": (ops.dot_product_attention, [normal(2, 3, 2, 4), normal(2, 5, 2, 4), normal(2, 5, 2, 3)], {}),
    "attention causal": (ops.dot_product_attention, [normal(1, 4, 2, 4)] * 3, {"is_causal": True}),
}


def op_inputs(name, dtype=np.float64):
    rng = np.random.default_rng(sum(map(ord, name)))
    made = [make(rng) for make in OPS[name][1]]
    arrays = [None if a is None else np.asarray(a) for a in made]
    return [a.astype(dtype) if a is not None and a.dtype.kind == "f" else a for a in arrays]


def through(name, arrays):
    """Values and gradients of an op, all its floating-point results weighted."""
    op, _, options = OPS[name]
    wanted = tuple(i for i, a in enumerate(arrays) if a is not None and "float" in kf.arrays.dtype_name(a.dtype))

    def fun(*arrays):
        out = op(*arrays, **options)
        first = next(a for a in arrays if a is not None)
        results = out if isinstance(out, tuple) else (out,)
        xp = namespace(first)
        if not xp.isdtype(results[0].dtype, "real floating"):
            return xp.sum(xp.zeros_like(first)), results
        weighted = [
            xp.sum(r * xp.reshape(xp.cos(xp.astype(xp.arange(math.prod(r.shape)), r.dtype)), r.shape)) for r in results
        ]
        return functools.reduce(lambda a, b: a + b, weighted), results

    if not wanted:
        return op(*arrays, **options), ()
    (_, out), grads = value_and_grad(fun, wanted, has_aux=True)(*arrays)
    return out, grads


@pytest.mark.array_api_strict
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPS)
def test_numpy_lowering_and_pullback_against_the_reference(name, dtype):
    import array_api_strict as strict

    op, _, options = OPS[name]
    arrays = op_inputs(name, dtype)
    before = [None if a is None else a.copy() for a in arrays]
    exact = [None if a is None else a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    want, expected = through(name, [None if a is None else strict.asarray(a) for a in exact])
    got, grads = through(name, arrays)
    plain = op(*arrays, **options)
    eps = np.finfo(dtype).eps
    # Each element is a sum of at most a hundred products.
    for results in (got, plain):
        for a, b in zip(tree.leaves(results), tree.leaves(want), strict=True):
            assert isinstance(a, np.ndarray | np.generic)
            assert a.dtype == (dtype if "float64" in str(b.dtype) else np.asarray(b).dtype)
            close(a, b, factor=100, eps=eps)
    for a, b in zip(grads, expected, strict=True):
        assert a.dtype == dtype
        close(a, b, factor=100, eps=eps)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "name",
    [
        "conv 2d",
        "max_pool overlap",
        "batch_normalization 1 False",
        "normalize_batch 1 False",
        "lstm",
        "gru",
        "attention",
    ],
)
def test_second_gradient_through_pullbacks(name):
    op, _, options = OPS[name]
    arrays = [a for a in op_inputs(name) if a is not None]

    def fun(xp, *arrays):
        return xp.concat([xp.reshape(r, (-1,)) for r in tree.leaves(op(*arrays, **options))])

    check_differences(twice(scalar(fun)), arrays)


def test_every_pullback_is_tried():
    numpy = backends.get("numpy")
    assert set(numpy.pullbacks) <= {op.name for op, _, _ in OPS.values()}


def test_special_functions():
    x = np.concatenate([np.linspace(-7, 7, 2001), [0.0, 1e-300, 0.46875, 4.0, np.inf, -np.inf]])
    expected = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(ops.erf(x), expected, rtol=4 * EPS)
    eps32 = np.finfo(np.float32).eps
    single = x.astype(np.float32)
    got = ops.erf(single)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [math.erf(float(v)) for v in single], rtol=4 * eps32)
    assert np.isnan(ops.erf(np.array([np.nan]))).all()
    y = np.concatenate([np.linspace(-0.999, 0.999, 999), 1 - np.logspace(-15, -4, 50)])
    back = np.array([math.erf(v) for v in ops.erf_inv(y)])
    np.testing.assert_allclose(back, y, rtol=0, atol=4 * EPS)
    for fun in (ops.erf_inv, ops.erf_inv.reference):
        with np.errstate(divide="ignore", invalid="ignore"):
            edge = fun(np.array([1.0, -1.0, 0.0, 1.5, np.nan]))
        assert edge[0] == np.inf and edge[1] == -np.inf and edge[2] == 0 and np.isnan(edge[3:]).all()


@pytest.mark.jax
def test_erf_inv_is_xlas():
    import jax

    x = np.random.default_rng(0).uniform(-1, 1, 4096).astype(np.float32)
    expected = np.asarray(jax.scipy.special.erfinv(x))
    # log1p and sqrt may differ in their last bit.
    np.testing.assert_array_max_ulp(ops.erf_inv(x), expected, 2)
    np.testing.assert_array_equal(ops.erf_inv(x), ops.erf_inv.reference(x))
