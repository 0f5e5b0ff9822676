"""The tape: every rule against finite differences, JAX and array-api-strict; NumPy's pullbacks against references."""

from __future__ import annotations

import functools
import math
import operator

import numpy as np
import pytest
from tape_table import CASES, CONSTANT, NO_DIFFERENCES, NO_JAX, between, normal, tried

import kfunc as kf
from kfunc import backends, ops, tree
from kfunc.arrays import namespace
from kfunc.errors import ArgumentError, KfuncError, ShapeError, UnsupportedError
from kfunc.ops.dropout import dropout
from kfunc.ops.segment import segment_sum
from kfunc.tracing import tape
from kfunc.tracing.tape import rules
from kfunc.transforms import cond, grad, scan, stop_gradient, value_and_grad, vmap

EPS = np.finfo(np.float64).eps


def inputs(name):
    rng = np.random.default_rng(sum(map(ord, name)))
    return [np.asarray(make(rng)) for make in CASES[name][1]]


def scalar(fun):
    """The sum of the results of `fun`, each with a weight of its own: a cotangent with no symmetries."""

    def total(*arrays):
        xp = namespace(*arrays)
        out = fun(xp, *arrays)
        if is_complex(xp, out):
            out = xp.stack([xp.real(out), xp.imag(out)])
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
            if array.dtype.kind == "c":
                direction = direction + 1j * rng.uniform(-1, 1, array.shape)
            ends = [fun(*arrays[:i], array + s * direction, *arrays[i + 1 :]) for s in (step, -step)]
            difference = (float(ends[0]) - float(ends[1])) / (2 * step)
            # Truncation is step² times a third derivative, cancellation EPS / step times the value; both EPS^(2/3).
            scale = 1 + abs(float(ends[0])) + float(np.abs(g).sum())
            assert abs(float((g * direction).sum().real) - difference) < 64 * EPS ** (2 / 3) * scale


@pytest.mark.parametrize("name", [n for n in CASES if n not in NO_DIFFERENCES])
def test_rule_against_differences(name):
    check_differences(scalar(CASES[name][0]), inputs(name))


def is_complex(xp, x):
    return xp.isdtype(x.dtype, "complex floating")


def twice(fun):
    """A scalar function of the gradient of `fun`."""

    def total(*arrays):
        xp = namespace(*arrays)
        grads = gradients(fun, arrays)
        parts = [part for g in grads for part in ((xp.real(g), xp.imag(g)) if is_complex(xp, g) else (g,))]
        return functools.reduce(operator.add, [xp.sum(xp.sin(part)) for part in parts])

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


@pytest.mark.parametrize("name", [n for n in CASES if n not in NO_DIFFERENCES and n != "det singular"])
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


@pytest.mark.array_api_strict
def test_every_function_of_the_standard_has_a_row():
    """Read off array-api-strict, which has the standard's functions and no others."""
    import array_api_strict as strict

    with_rows = tried(tape.tape_of(backends.get("array_api_strict")).xp)
    for prefix, xp in (("", strict), ("linalg.", strict.linalg), ("fft.", strict.fft)):
        functions = {n for n in xp.__all__ if callable(getattr(xp, n)) and not isinstance(getattr(xp, n), type)}
        functions -= {"get_array_api_strict_flags", "set_array_api_strict_flags", "reset_array_api_strict_flags"}
        rows = {n.removeprefix(prefix) for n in with_rows if n.startswith(prefix) and ("." in n) == bool(prefix)}
        assert functions - rows - CONSTANT[prefix] == set(), prefix
        assert CONSTANT[prefix] <= functions
        # Whatever is declared constant has no rule, and what has one is in no list of constants.
        tables = {**rules.RULES, **rules.SEVERAL, **rules.COMPOSITES}
        assert not {prefix + n for n in CONSTANT[prefix]} & set(tables)
        assert {prefix + n for n in functions - CONSTANT[prefix]} <= set(tables) | {
            f"linalg.{n}" for n in ("matmul", "matrix_transpose", "tensordot", "vecdot")
        }


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


@pytest.fixture(scope="module")
def right_gradients():
    return {case: gradients(*whole(case)) for case in (*CASES, "index overlap again")}


def whole(case):
    """The scalar function of a case, and its arrays; `again` of its gradient, where NumPy indexes by other rules."""
    case, again, _ = case.partition(" again")
    fun = scalar(CASES[case][0])
    return (twice(fun) if again else fun), inputs(case)


@pytest.mark.parametrize("name", sorted({**rules.RULES, **rules.SEVERAL}.keys() - {"_to_device"}))
def test_every_rule_is_used_by_a_row(name, right_gradients, monkeypatch):
    """A rule that were wrong by a thousandth would change a gradient; those of 0 stay 0."""
    table = rules.RULES if name in rules.RULES else rules.SEVERAL

    def off(rule):
        return rule and (lambda *args, **kwargs: rule(*args, **kwargs) * 1.001)

    prefix, _, short = name.rpartition(".")
    space = tape.tape_of(backends.get("numpy")).xp
    space = getattr(space, prefix) if prefix else space
    getattr(space, short)
    monkeypatch.delitem(vars(space), short)
    monkeypatch.setitem(
        table, name, tuple(map(off, table[name])) if isinstance(table[name], tuple) else off(table[name])
    )
    for case in sorted(right_gradients, key=lambda case: short.strip("_") not in case):
        pairs = zip(gradients(*whole(case)), right_gradients[case], strict=True)
        if any(not np.allclose(got, want, rtol=1e-5, atol=0) for got, want in pairs):
            break
    else:
        assert name in {"ceil", "floor", "floor_divide", "round", "trunc"}


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
        (lambda x: namespace(x).median(x), 0, (np.ones(3),), UnsupportedError),
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


def key(rng):
    return np.asarray([3, 14], np.uint32)


def batch_normalization(x, mean, variance, offset, scale, axis):
    return ops.batch_normalization(x, mean, variance, axis, offset, scale)


batch_normalization.name = "batch_normalization"
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
    "erf": (ops.erf, [normal(3, 4)], {}),
    "erfinv": (ops.erfinv, [between(-1, 1, 50)], {}),
    "dropout": (dropout, [normal(4, 5), key], {"rate": 0.3}),
    "dropout rows": (dropout, [normal(4, 5), key], {"rate": 0.3, "noise_shape": (4, 1)}),
    "pad": (ops.pad, [normal(2, 3)], {"pad_width": ((1, 2), (0, 1)), "constant_values": 2.0}),
    "one_hot": (ops.one_hot, [fixed([[1, -1, 0], [5, 4, 9]])], {"num_classes": 5}),
    "all_finite": (ops.all_finite, [normal(3), fixed([1.0, np.nan]), fixed(np.full(3, 1e38)), fixed([np.inf])], {}),
    "moments": (ops.moments, [normal(2, 3, 4)], {"axes": (0, 1)}),
    "moments kept": (ops.moments, [normal(2, 3, 4)], {"axes": (-1,), "keepdims": True}),
    "segment_sum": (segment_sum, [normal(5, 2, 2), fixed([4, 0, 4, 4, 1])], {"num_segments": 6}),
    "segment_sum flat": (segment_sum, [normal(5), fixed([4, 0, 4, 4, 1])], {"num_segments": 6}),
    **{
        f"batch_normalization {axis} {scale is NO}": (
            batch_normalization,
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
    back = np.array([math.erf(v) for v in ops.erfinv(y)])
    np.testing.assert_allclose(back, y, rtol=0, atol=4 * EPS)
    for fun in (ops.erfinv, ops.erfinv.reference):
        with np.errstate(divide="ignore", invalid="ignore"):
            edge = fun(np.array([1.0, -1.0, 0.0, 1.5, np.nan]))
        assert edge[0] == np.inf and edge[1] == -np.inf and edge[2] == 0 and np.isnan(edge[3:]).all()


@pytest.mark.jax
def test_erf_inv_is_xlas():
    import jax

    x = np.random.default_rng(0).uniform(-1, 1, 4096).astype(np.float32)
    expected = np.asarray(jax.scipy.special.erfinv(x))
    # log1p and sqrt may differ in their last bit.
    np.testing.assert_array_max_ulp(ops.erfinv(x), expected, 2)
    np.testing.assert_array_equal(ops.erfinv(x), ops.erfinv.reference(x))
