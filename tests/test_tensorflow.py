"""TensorFlow: the Array class and its namespace against NumPy, transforms against JAX and loops, every lowering against
its reference."""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace

import numpy as np
import pytest

import kfunc as kf
from kfunc import ops, tree
from kfunc.backends import get
from kfunc.errors import ArgumentError, ShapeError, UnsupportedError
from kfunc.ops._op import OPS
from kfunc.tracing import loops

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow

backend = get("tensorflow")
xp = backend.xp
Array = type(xp.zeros(()))

rng = np.random.default_rng(0)


def draw(*shape, dtype="float32", low=-2.0, high=2.0):
    return rng.uniform(low, high, shape).astype(dtype)


def lifted(x):
    return xp.asarray(x) if isinstance(x, np.ndarray) else x


def values(x):
    return tree.map(kf.to_numpy, x)


def close(got, want, ulps=4.0):
    """Equal dtypes and shapes, and values within `ulps` rounding errors of the largest one."""
    got, want = np.asarray(got), np.asarray(want)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if want.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, want)
        return
    finite = np.abs(want[np.isfinite(want)])
    np.testing.assert_allclose(got, want, rtol=0, atol=ulps * np.finfo(want.dtype).eps * max(finite.max(initial=0), 1))


# -- the namespace -----------------------------------------------------------------------------------------------------

M = draw(3, 4)
V = draw(5)
P = draw(3, 4, low=0.1, high=0.9)
C = draw(2, 3, 4)
I = rng.integers(-9, 9, (3, 4)).astype("int32")  # noqa: E741
U = rng.integers(0, 2**32, (3, 4), dtype="uint32")
B = M > 0
Z = np.asarray([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.5], "float32")
T = np.asarray([3, 1, 3, 2, 1, 3], "int32")

# NumPy's own unique_values is in no order.
NUMPY_NAMES = {"linalg.svdvals": lambda x: np.linalg.svd(x, compute_uv=False), "unique_values": np.unique}

FUNCTIONS = [
    *[(name, (x,), {}) for name in ("abs", "negative", "sign", "square", "positive") for x in (M, I, U)],
    *[(name, (P,), {}) for name in ("acos", "asin", "atan", "atanh", "cos", "sin", "tan", "sinh", "cosh", "tanh")],
    *[(name, (P,), {}) for name in ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "reciprocal", "asinh")],
    ("acosh", (1 + P,), {}),
    *[(name, (x,), {}) for name in ("floor", "ceil", "trunc", "round", "signbit") for x in (M * 5, Z)],
    *[(name, (x,), {}) for name in ("isnan", "isinf", "isfinite") for x in (Z, I)],
    *[(name, (I,), {}) for name in ("floor", "ceil", "trunc", "round", "bitwise_invert")],
    *[(name, (M, M[0] + 0.5), {}) for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")],
    *[(name, (M, M[::-1].copy()), {}) for name in ("floor_divide", "remainder", "atan2", "hypot", "logaddexp")],
    *[(name, (I, I.T[:, :3].T[:3, :1] + 20), {}) for name in ("floor_divide", "remainder", "add", "multiply")],
    *[(name, (U, U[::-1].copy()), {}) for name in ("add", "subtract", "multiply", "maximum", "less", "bitwise_xor")],
    *[(name, (U, np.uint32(7) + U % 9), {}) for name in ("floor_divide", "remainder")],
    *[(name, (U, U % 32), {}) for name in ("bitwise_left_shift", "bitwise_right_shift", "bitwise_and", "bitwise_or")],
    *[(name, (B, ~B[::-1]), {}) for name in ("logical_and", "logical_or", "logical_xor", "bitwise_xor", "equal")],
    *[(name, (Z, Z[::-1].copy()), {}) for name in ("hypot", "copysign", "maximum", "minimum", "nextafter", "less")],
    ("pow", (P, M), {}),
    ("pow", (U, U % 5), {}),
    ("logical_not", (B,), {}),
    ("logaddexp", (np.asarray([-np.inf, np.inf, 0], "float32"), np.asarray([-np.inf, np.inf, -np.inf], "float32")), {}),
    ("clip", (M, -0.5, 0.5), {}),
    ("clip", (M, None, M[0]), {}),
    ("where", (B, M, -M), {}),
    *[(name, (M,), {"axis": axis}) for name in ("sum", "prod", "max", "min", "mean", "std") for axis in (None, 0, -1)],
    *[(name, (M,), {"axis": (0, 1), "keepdims": True}) for name in ("sum", "mean", "var", "max")],
    ("var", (M,), {"axis": 1, "correction": 1}),
    *[(name, (B,), {"axis": axis}) for name in ("all", "any", "count_nonzero") for axis in (None, 0)],
    ("max", (Z,), {}),
    ("cumulative_sum", (M,), {"axis": 1, "include_initial": True}),
    ("cumulative_prod", (V,), {}),
    ("diff", (M,), {"axis": 0, "n": 2}),
    ("argmax", (M,), {"axis": 1}),
    ("argmin", (M,), {}),
    ("argmax", (M,), {"axis": 0, "keepdims": True}),
    ("sort", (Z,), {}),
    ("sort", (-Z,), {}),
    ("sort", (M,), {"axis": 0}),
    ("sort", (U,), {}),
    ("argsort", (T,), {"stable": True}),
    ("argsort", (np.asarray([2**31 - 1, -(2**31), 0], "int32"),), {}),
    ("searchsorted", (np.sort(V), M), {}),
    ("searchsorted", (np.sort(V), V), {"side": "right"}),
    ("nonzero", (B,), {}),
    ("take", (M, np.asarray([2, -1, 0])), {"axis": 0}),
    ("take", (V, np.asarray([2, -1, 0])), {}),
    ("take_along_axis", (M, np.argsort(M, axis=0)), {"axis": 0}),
    ("take_along_axis", (M, np.argsort(M, axis=1)[:, :2]), {"axis": 1}),
    ("unique_values", (T,), {}),
    ("unique_counts", (T,), {}),
    ("unique_inverse", (T,), {}),
    ("unique_all", (T,), {}),
    ("reshape", (C, (4, -1)), {}),
    ("permute_dims", (C, (2, 0, 1)), {}),
    ("moveaxis", (C, 0, -1), {}),
    ("moveaxis", (C, (0, 1), (-1, 0)), {}),
    ("expand_dims", (M,), {"axis": 1}),
    ("squeeze", (M[:, None],), {"axis": 1}),
    ("flip", (C,), {"axis": (0, 2)}),
    ("flip", (C,), {}),
    ("roll", (C, 2), {"axis": -1}),
    ("roll", (C, 5), {}),
    ("roll", (C, (1, -1)), {"axis": (0, 1)}),
    ("repeat", (M, 2), {"axis": 1}),
    ("repeat", (V, np.asarray([1, 0, 2, 3, 1])), {}),
    ("tile", (M, (2, 1, 3)), {}),
    ("tile", (C, (2,)), {}),
    ("tile", (U.astype("uint16"), (2,)), {}),
    ("broadcast_to", (V, (3, 5)), {}),
    ("tril", (C,), {"k": 1}),
    ("triu", (C,), {"k": -1}),
    ("matmul", (M, M.T.copy()), {}),
    ("matmul", (C, M.T.copy()), {}),
    ("matmul", (C, np.swapaxes(C, 1, 2).copy()), {}),
    ("matmul", (C, V[:4]), {}),
    ("matmul", (V[:3], C), {}),
    ("matmul", (V, V), {}),
    ("matmul", (U, U.T.copy()), {}),
    ("tensordot", (C, C), {"axes": ((0, 2), (0, 2))}),
    ("tensordot", (M, C), {"axes": ((1,), (2,))}),
    ("vecdot", (C, C[0]), {"axis": -1}),
    ("matrix_transpose", (C,), {}),
    ("zeros_like", (I,), {}),
    ("ones_like", (U,), {}),
    ("full_like", (I, 7), {}),
    ("linspace", (0.0, 1.0, 7), {"endpoint": False, "dtype": "float32"}),
    ("arange", (5,), {"dtype": "uint32"}),
    ("arange", (0.5, 2.0, 0.25), {"dtype": "float32"}),
    ("arange", (7, 1, -2), {"dtype": "int64"}),
    ("eye", (3, 4), {"k": 1, "dtype": "int32"}),
    ("full", ((2, 3), 2**32 - 1), {"dtype": "uint32"}),
    ("ones", (3,), {"dtype": "float64"}),
    ("linalg.det", (M[:, :3],), {}),
    ("linalg.inv", (np.eye(3, dtype="float32") + M[:, :3] / 9,), {}),
    ("linalg.solve", (np.eye(3, dtype="float32") + M[:, :3] / 9, M), {}),
    ("linalg.cholesky", (M @ M.T + np.eye(3, dtype="float32"),), {}),
    ("linalg.eigvalsh", (M @ M.T,), {}),
    ("linalg.svdvals", (M,), {}),
    ("linalg.trace", (M,), {"offset": 1}),
    ("linalg.outer", (V, V), {}),
    ("linalg.matrix_power", (M[:, :3], 5), {}),
    *[("linalg.matrix_norm", (M,), {"ord": o}) for o in ("fro", "nuc", 1, -1, 2, -2, math.inf)],
    *[("linalg.vector_norm", (V,), {"ord": o}) for o in (0, 1, 2, 3, math.inf, -math.inf)],
    ("linalg.pinv", (M,), {}),
    ("linalg.cross", (M[:, :3], M[:, 1:]), {}),
]


for _norm in ("backward", "ortho", "forward"):
    FUNCTIONS += [(f"fft.{n}", (C,), {"axis": 1, "norm": _norm}) for n in ("fft", "ifft", "rfft", "irfft", "ihfft")]
    FUNCTIONS += [(f"fft.{n}", (C,), {"axes": (0, 2), "norm": _norm}) for n in ("fftn", "ifftn", "rfftn")]
    FUNCTIONS += [(f"fft.{n}", (C[0] + 1j * M,), {"n": 7, "norm": _norm}) for n in ("fft", "hfft", "irfft")]
FUNCTIONS += [
    ("fft.irfftn", (C[0] + 1j * M,), {"s": (4, 5), "axes": (1, 0)}),
    ("fft.fftshift", (C,), {}),
    ("fft.ifftshift", (C,), {"axes": (1,)}),
]


def attribute(root, name):
    return functools.reduce(getattr, name.split("."), root)


def named(x):
    return getattr(np, x) if isinstance(x, str) and x in ("int32", "int64", "uint32", "float32", "float64") else x


@pytest.mark.parametrize(("name", "args", "kwargs"), FUNCTIONS, ids=lambda x: x if isinstance(x, str) else "")
def test_functions_agree_with_numpy(name, args, kwargs):
    reference = NUMPY_NAMES.get(name) or attribute(np, name)
    theirs = dict(kwargs)
    if name == "var":
        theirs["ddof"] = theirs.pop("correction", 0)
    if "dtype" in kwargs:
        kwargs, theirs = kwargs | {"dtype": getattr(xp, kwargs["dtype"])}, theirs | {"dtype": named(kwargs["dtype"])}
    with np.errstate(all="ignore"):
        want = reference(*args, **theirs)
    got = attribute(xp, name)(*map(lifted, args), **kwargs)
    got, want = (tuple(x) if isinstance(x, (tuple, list)) else (x,) for x in (got, want))
    # Sums of NumPy have its own accuracy, so the bound grows with the number of terms.
    ulps = 4 * math.sqrt(max(np.size(a) for a in args))
    for g, w in zip(got, want, strict=True):
        assert type(g) is Array
        w = np.asarray(w)
        wide = {"int64": "int32"} if name in ("sum", "prod") else {}
        close(kf.to_numpy(g), w.astype(wide.get(w.dtype.name, w.dtype)), ulps)


DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)


def kind(name):
    return np.dtype(name).kind in "iu"


@pytest.mark.parametrize(("a", "b"), [(a, b) for a in DTYPES[1:] for b in DTYPES[1:] if kind(a) == kind(b)])
def test_operators_promote_as_numpy_does_within_a_kind(a, b):
    x, y = np.ones(2, a), np.ones(2, b)
    if {a, b} & {"uint64"} and {a, b} & {"int8", "int16", "int32", "int64"}:
        with pytest.raises(TypeError, match="no common dtype"):
            lifted(x) + lifted(y)
        return
    for f in (lambda p, q: p + q, lambda p, q: p * q, lambda p, q: p == q):
        close(kf.to_numpy(f(lifted(x), lifted(y))), f(x, y))
    assert xp.result_type(lifted(x), getattr(xp, b)).name == np.result_type(a, b).name
    assert xp.can_cast(getattr(xp, a), getattr(xp, b)) == (np.result_type(a, b) == np.dtype(b))


@pytest.mark.parametrize(
    ("dtype", "scalar", "want"),
    [
        ("int32", 2, "int32"),
        ("uint32", 2, "uint32"),
        ("uint8", 2, "uint8"),
        ("float32", 2, "float32"),
        ("float32", 2.5, "float32"),
        ("float16", 2.5, "float16"),
        ("float64", 2.5, "float64"),
        ("complex64", 2.5, "complex64"),
        ("float32", 2j, "complex64"),
        ("float64", 2j, "complex128"),
        ("int32", 2.5, "float32"),
        ("int32", True, "int32"),
    ],
)
def test_python_scalars_take_the_dtype_of_the_array(dtype, scalar, want):
    x = np.asarray([1, 2, 3], dtype)
    for got in (lifted(x) * scalar, scalar * lifted(x), xp.multiply(lifted(x), scalar), xp.multiply(scalar, lifted(x))):
        assert type(got) is Array
        close(kf.to_numpy(got), (x * np.asarray(scalar)).astype(want))


def test_mixed_kinds_take_the_higher_kind_as_it_is():
    assert (xp.ones(2, dtype=xp.int64) * xp.ones(2)).dtype is tf.float32
    assert (xp.ones(2, dtype=xp.bool) * xp.ones(2, dtype=xp.int8)).dtype is tf.int8
    assert (xp.ones(2, dtype=xp.float64) * xp.ones(2, dtype=xp.complex64)).dtype is tf.complex128
    assert (xp.ones(2, dtype=xp.float16) * xp.ones(2, dtype=xp.bfloat16)).dtype is tf.float32


@pytest.mark.parametrize("other", [tf.constant([1.0, 2.0]), tf.Variable([1.0, 2.0]), np.float32(3), np.float64(3)])
def test_operands_of_tensorflow_and_numpy_numbers(other):
    x = xp.asarray([5.0, 7.0])
    want = kf.to_numpy(x) - np.asarray(other, "float32")
    assert type(x - other) is Array
    close(kf.to_numpy(x - other), want)
    close(kf.to_numpy(xp.subtract(x, other)), want)
    if isinstance(other, np.generic):
        assert type(other - x) is Array
        close(kf.to_numpy(other - x), -want)


def test_what_is_no_array_is_no_operand():
    x = xp.ones(2)
    for other in ("a", None, object(), [1.0, 2.0]):
        with pytest.raises(TypeError):
            x + other
    assert (x == None) is False  # noqa: E711
    with pytest.raises(TypeError):
        x[0] = 1.0


KEYS = [
    1,
    -1,
    (1, 2),
    (slice(1, None), 2),
    (Ellipsis, 0),
    (None, 1, None),
    (slice(None, None, -1), slice(3, 0, -2)),
    (slice(-100, 100),),
    (Ellipsis,),
    (),
    (0, Ellipsis, None, slice(1, 3)),
    C > 0,
    (slice(None), M > 0),
    C[0] > 0,
    np.asarray([1, 0, 1]),
    (slice(None), np.asarray([2, -1])),
    (np.asarray([0, 1]), np.asarray([2, 0])),
    (np.asarray([[0], [1]]), np.asarray([2, 0]), 1),
    (slice(None), np.asarray([[0], [1]]), np.asarray([2, 0])),
    (np.asarray([0, 1]), slice(None), np.asarray([3, -1])),
    (Ellipsis, np.asarray([0, 3, 3]), None),
    True,
    False,
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_agrees_with_numpy(key):
    x = C
    if isinstance(key, np.ndarray) and key.dtype == bool and key.shape != x.shape[: key.ndim]:
        x = C[0]
    mine = tuple(map(lifted, key)) if isinstance(key, tuple) else lifted(key)
    close(kf.to_numpy(lifted(x)[mine]), x[key])


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_numbers_of_every_integer_dtype_are_indices(dtype):
    i = xp.asarray(1, dtype=getattr(xp, dtype))
    close(kf.to_numpy(lifted(M)[i]), M[1])
    close(kf.to_numpy(lifted(M)[i:, i]), M[1:, 1])


def test_indexing_by_a_list_means_what_it_means_in_numpy():
    # tf.Tensor reads m[[0, 2]] as m[0, 2].
    close(kf.to_numpy(lifted(M)[[0, 2]]), M[[0, 2]])


@pytest.mark.parametrize("key", [3, -4, (0, 4), (0, 0, 0), (Ellipsis, Ellipsis), 1.5, "a"])
def test_keys_that_mean_nothing(key):
    with pytest.raises((IndexError, TypeError)):
        lifted(M)[key]


def test_attributes():
    x = lifted(C)
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3, 4), 3, 24, tf.float32)
    close(kf.to_numpy(x.mT), np.swapaxes(C, 1, 2))
    close(kf.to_numpy(lifted(M).T), M.T)
    assert x.__array_namespace__(api_version="2024.12") is xp and kf.namespace(x) is xp
    assert kf.namespace(x.tensor) is xp and kf.namespace(tf.Variable(1.0)) is xp
    assert "CPU" in x.device or "GPU" in x.device
    close(kf.to_numpy(xp.zeros((2,), device=x.device)), np.zeros(2, "float32"))
    assert (bool(xp.asarray(1.0)), int(xp.asarray(3)), float(xp.asarray(2.5))) == (True, 3, 2.5)
    assert [10, 20, 30][xp.asarray(1)] == 20
    assert [float(row[0]) for row in lifted(M)] == [float(row[0]) for row in M]
    assert not hasattr(x, "__array__")
    close(np.from_dlpack(lifted(M)), M)
    close(kf.to_numpy(xp.from_dlpack(M)), M)


def test_dtype_functions():
    assert xp.finfo(xp.float32).eps == np.finfo("float32").eps and xp.finfo(xp.bfloat16).eps == 2.0**-7
    assert xp.iinfo(lifted(U)).max == 2**32 - 1
    assert xp.isdtype(xp.uint8, "unsigned integer") and not xp.isdtype(xp.bool, "numeric")
    assert xp.isdtype(xp.float32, ("bool", "real floating")) and xp.isdtype(xp.int8, xp.int8)
    with pytest.raises(ValueError, match="Unknown kind"):
        xp.isdtype(xp.int8, "integer")
    close(kf.to_numpy(xp.astype(lifted(Z[5:]), xp.int32)), np.asarray([1, -2], "int32"))
    assert xp.asarray(2**40).dtype is tf.int64 and xp.asarray([1, 2]).dtype is tf.int32
    assert xp.asarray([1.0]).dtype is tf.float32 and xp.asarray(1j).dtype is tf.complex64
    nested = xp.asarray([[xp.asarray(1.0), 2.0], [3.0, 4.0]])
    close(kf.to_numpy(nested), np.asarray([[1, 2], [3, 4]], "float32"))


def test_a_zero_keeps_its_sign():
    # TensorFlow keeps eager constants by value, and 0.0 equals -0.0: the first one would be given out for both.
    one = xp.asarray(1.0)
    for zero, sign in ((0.0, 1.0), (-0.0, -1.0), (0.0, 1.0)):
        assert float(xp.copysign(one, zero)) == float(xp.copysign(one, xp.asarray(zero))) == sign
        assert float(xp.copysign(one, xp.full((), zero))) == sign


def test_asarray_copies():
    source = np.zeros(1000, "float32")
    x = kf.asarray(source, backend="tensorflow")
    source[0] = 1
    assert isinstance(x, tf.Tensor) and kf.to_numpy(x)[0] == 0
    kf.to_numpy(x)[0] = 2
    assert kf.to_numpy(x)[0] == 0
    assert kf.asarray(x, "float64").dtype is tf.float64
    assert kf.to_numpy(kf.asarray(np.ones(2), "bfloat16", backend="tensorflow")).dtype.name == "bfloat16"


# -- graphs ------------------------------------------------------------------------------------------------------------


def test_an_array_passes_through_tf_function_with_one_trace():
    traces = []

    @tf.function(autograph=False)
    def f(x, d):
        traces.append(type(x))
        return {"y": x * 2 + d["a"]}

    for value in (1.0, 2.0, 3.0):
        x = xp.asarray([value])
        out = f(x, {"a": x})["y"]
        assert type(out) is Array and float(out[0]) == 3 * value
    assert traces == [Array]


def test_an_array_passes_through_a_tape_and_a_while_loop():
    x = xp.asarray([2.0])
    with tf.GradientTape() as tape:
        tape.watch(x.tensor)
        y = tf.square(x)  # by way of __tf_tensor__
        (_, z) = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a * x), (tf.constant(0), xp.asarray(y)))
    assert float(tape.gradient(z.tensor, x.tensor)[0]) == 5 * 2.0**4


@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_a_number_has_no_bits_of_another_width(dtype):
    with pytest.raises(kf.errors.ShapeError, match="cannot be read as"):
        ops.view(tf.constant(1, tf.int16), dtype)


N = None
UNKNOWN = {
    "reshape": (lambda x: xp.reshape(x, (-1, 12)), (N, 3, 4)),
    "two unknown": (lambda x: xp.matmul(x, xp.ones((4, 2))), (N, N, 4)),
    "matmul": (lambda x: xp.matmul(x, xp.matrix_transpose(x)), (N, 3, 4)),
    "concat": (lambda x: xp.concat([x, x], axis=0), (N, 3, 4)),
    "stack": (lambda x: xp.stack([x, x], axis=1), (N, 3, 4)),
    "take": (lambda x: xp.take(x, xp.asarray([0, -1]), axis=0), (N, 3, 4)),
    "take_along_axis": (lambda x: xp.take_along_axis(x, xp.argmax(x, axis=-1, keepdims=True), axis=-1), (N, N, 4)),
    "moveaxis": (lambda x: xp.moveaxis(x, 1, -1), (N, N, 4)),
    "where": (lambda x: xp.where(x > 0, x, 0.0), (N, N, N)),
    "full_like": (lambda x: xp.full_like(x, 2.0) + xp.zeros_like(x), (N, N, N)),
    "var": (lambda x: xp.var(x, axis=0, correction=1), (N, 3, 4)),
    "mean": (lambda x: xp.mean(x, axis=(0, 1)), (N, N, 4)),
    "index": (lambda x: x[:, -1, None, ::2], (N, 3, 4)),
    "gather": (lambda x: x[:, xp.asarray([0, 2]), xp.asarray([1, -1])], (N, 3, 4)),
    "mask": (lambda x: x[x > 0], (N, 3, 4)),
    "broadcast": (lambda x: xp.broadcast_arrays(x, xp.ones((4,)))[1], (N, 3, 4)),
    "tril": (lambda x: xp.tril(x), (N, N, N)),
    "sort": (lambda x: xp.sort(x, axis=0), (N, 3, 4)),
    "roll": (lambda x: xp.roll(x, 1), (N, 3, 4)),
    "flip": (lambda x: xp.flip(x, axis=0), (N, 3, 4)),
    "repeat": (lambda x: xp.repeat(x, 2, axis=0), (N, 3, 4)),
    "tile": (lambda x: xp.tile(x, (2, 1, 1)), (N, 3, 4)),
    "cumulative_sum": (lambda x: xp.cumulative_sum(x, axis=0, include_initial=True), (N, 3, 4)),
    "tensordot": (lambda x: xp.tensordot(x, xp.ones((4, 2)), axes=1), (N, N, 4)),
    "vecdot": (lambda x: xp.vecdot(x, x), (N, N, 4)),
    "linear": (lambda x: ops.linear(x, xp.ones((4, 2)), xp.ones((2,))), (N, N, 4)),
    "embedding": (lambda x: ops.embedding(xp.astype(x > 0, xp.int32), xp.ones((2, 5))), (N, N, N)),
    "one_hot": (lambda x: ops.one_hot(xp.astype(x > 0, xp.int32), 2), (N, N, N)),
    "softmax": (lambda x: ops.softmax(x), (N, N, 4)),
    "moments": (lambda x: ops.moments(x, (0, 1))[1], (N, N, 4)),
    "conv": (lambda x: ops.conv(x, xp.ones((2, 4, 3)), padding="same", strides=2), (N, N, 4)),
    "conv first": (lambda x: ops.conv(x, xp.ones((2, 3, 3)), data_format="channels_first"), (N, 3, 4)),
    "max_pool": (lambda x: ops.max_pool(x, 2, padding="same"), (N, N, 4)),
    "average_pool": (lambda x: ops.average_pool(x, 2), (N, 3, 4)),
    "split_last": (lambda x: ops.split_last(x, (-1, 2)), (N, N, N)),
    "join_last": (lambda x: ops.join_last(x), (N, N, N)),
    "istft": (
        lambda x: xp.concat([ops.istft(ops.stft(x, 2, 1, 2), 2, 1, 2, *n) for n in ((), (3,))], axis=-1),
        (N, N, N),
    ),
    "pad": (lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 0))), (N, N, 4)),
    "layer_normalization": (lambda x: ops.layer_normalization(x, xp.ones((4,)), xp.ones((4,))), (N, N, 4)),
    "batch_normalization": (lambda x: ops.batch_normalization(x, xp.ones((4,)), xp.ones((4,)), -1), (N, N, 4)),
    "lstm": (lambda x: ops.lstm(x, xp.ones((4, 8)), xp.ones((2, 8)))[0], (N, 3, 4)),
    "gru, unknown time": (lambda x: ops.gru(x, xp.ones((4, 6)), xp.ones((2, 6)))[0], (N, N, 4)),
    "attention": (
        lambda x: ops.dot_product_attention(*[xp.reshape(x, (-1, 3, 2, 2))] * 3, is_causal=True),
        (N, 3, 4),
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_sizes(name):
    fun, shape = UNKNOWN[name]
    compiled = tf.function(
        lambda x: fun(Array(x)).tensor, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False
    )
    for batch in (2, 3):
        x = draw(batch, 3, 4)
        close(kf.to_numpy(compiled(x)), kf.to_numpy(fun(lifted(x))), ulps=16)


# -- transforms --------------------------------------------------------------------------------------------------------


def on_xla(fun):
    return backend.jit(fun, jit_compile=True)


COMPILERS = pytest.mark.parametrize("compiler", [lambda f: f, kf.jit, on_xla], ids=["eager", "graph", "xla"])


@COMPILERS
def test_value_and_grad(compiler):
    def loss(p, x):
        y = ops.tanh(ops.linear(x, p["w"], p["b"]))
        return kf.namespace(y).sum(y * y), {"y": y}

    p, x = {"w": tf.constant(draw(4, 2)), "b": tf.zeros(2), "unused": tf.ones(3)}, tf.constant(draw(3, 4))
    (value, aux), grads = compiler(kf.value_and_grad(loss, has_aux=True))(p, x)
    assert isinstance(value, tf.Tensor) and isinstance(aux["y"], tf.Tensor) and isinstance(grads["w"], tf.Tensor)
    y = np.tanh(values(x) @ values(p["w"]))
    close(value, np.float32((y.astype("float64") ** 2).sum()), 16)
    close(grads["w"], (values(x).T @ (2 * y * (1 - y * y))).astype("float32"), 16)
    close(grads["unused"], np.zeros(3, "float32"))
    if compiler is on_xla:
        return  # the backend's own jit, which takes tensors only
    # The same through Arrays.
    (value, aux), more = compiler(kf.value_and_grad(loss, has_aux=True))(*tree.map(backend.lift, (p, x)))
    assert type(value) is type(aux["y"]) is type(more["w"]) is Array
    close(kf.to_numpy(more["w"]), grads["w"].numpy())


@COMPILERS
def test_gradients_nest(compiler):
    def inner(x):
        return tf.reduce_sum(x**3)

    def second(x):
        return tf.reduce_sum(kf.grad(inner)(x))

    x = tf.constant([1.0, 2.0])
    close(compiler(kf.grad(second))(x), np.asarray([6.0, 12.0], "float32"))


def test_gradients_of_several_arguments_and_variables():
    v = tf.Variable([1.0, 2.0])
    a, b = kf.grad(lambda x, y: tf.reduce_sum(x * x * y), argnums=(0, 1))(v, tf.constant(3.0))
    close(a, np.asarray([6.0, 12.0], "float32"))
    close(b, np.float32(5.0))
    # Of the argument, not of its other uses.
    w = tf.constant(2.0)
    close(kf.grad(lambda x: x * w)(w), np.float32(2.0))


def test_gradients_of_a_table_are_dense():
    table = tf.Variable(draw(5, 2))
    ids = tf.constant([1, 1, 3])
    for fun in (lambda t: tf.reduce_sum(ops.embedding(ids, t)), lambda t: tf.reduce_sum(tf.gather(t, ids))):
        g = kf.grad(fun)(table)
        assert isinstance(g, tf.Tensor)
        close(g, np.asarray([0, 2, 0, 1, 0], "float32")[:, None] * np.ones((1, 2), "float32"))


def test_what_has_no_gradient():
    with pytest.raises(ArgumentError, match="int32"):
        kf.grad(lambda x: x)(tf.constant(1))
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        kf.grad(lambda x: x)(tf.ones(2))


def test_stop_gradient():
    x = tf.constant(3.0)
    close(kf.grad(lambda a: a * kf.stop_gradient({"a": a})["a"])(x), np.float32(3.0))
    assert type(kf.stop_gradient(xp.ones(2))) is Array


@COMPILERS
@pytest.mark.parametrize("axes", [(0, None, 0), (1, None, 0), (0, None, 1)])
def test_vmap(compiler, axes):
    a_axis, b_axis, out_axis = axes
    a, b = draw(3, 4, 5), draw(4 if a_axis == 0 else 3, 5)

    def fun(p, b):
        xp = kf.namespace(b)
        return {"y": xp.sum(p["a"] * b, axis=0), "constant": xp.ones(2)}

    got = compiler(kf.vmap(fun, in_axes=(a_axis, b_axis), out_axes=out_axis))({"a": tf.constant(a)}, tf.constant(b))
    want = np.stack([(np.take(a, i, axis=a_axis) * b).sum(0) for i in range(a.shape[a_axis])], axis=out_axis)
    close(got["y"], want, 16)
    assert got["constant"].shape[out_axis] == a.shape[a_axis] and isinstance(got["y"], tf.Tensor)


def test_vmap_of_a_gradient_gives_gradients_per_example():
    w, x = draw(4), draw(3, 4)
    got = kf.vmap(kf.grad(lambda w, x: ops.sigmoid(kf.namespace(w).vecdot(w, x)).tensor), in_axes=(None, 0))(
        tf.constant(w), tf.constant(x)
    )
    s = 1 / (1 + np.exp(-(x @ w)))
    close(got, (s * (1 - s))[:, None] * x, 16)


@pytest.mark.parametrize("compiler", [lambda f: f, kf.jit], ids=["eager", "graph"])
def test_vmap_of_what_tensorflow_cannot_vectorize(compiler):
    product = kf.grad(kf.jit(lambda x: kf.scan(lambda c, a: (c * a, None), tf.constant(1.0), x)[0]))
    close(compiler(kf.vmap(product))(tf.constant([[2.0, 3.0], [4.0, 5.0]])), np.asarray([[3, 2], [5, 4]], "float32"))


def test_transforms_of_compiled_functions():
    fun = kf.jit(lambda x: tf.reduce_sum(ops.tanh(x) ** 2))
    x = draw(2, 3)
    t = np.tanh(x)
    close(kf.grad(fun)(tf.constant(x)), 2 * t * (1 - t * t), 16)
    close(kf.vmap(fun)(tf.constant(x)), (t**2).sum(1), 16)
    close(kf.jit(fun)(tf.constant(x)), (t**2).sum(), 16)


def test_vmap_says_what_does_not_fit():
    with pytest.raises(ArgumentError, match="in_axes"):
        kf.vmap(lambda x: x, in_axes=(0, 0))(tf.ones(2))
    with pytest.raises(ShapeError, match="one size"):
        kf.vmap(lambda x, y: x)(tf.ones(2), tf.ones(3))


def recurrence(carry, x):
    h = kf.namespace(x["a"]).tanh(carry["h"] * x["a"] + x["b"])
    return {"h": h, "n": carry["n"] + 1}, (h * 2, carry["n"])


@COMPILERS
@pytest.mark.parametrize("reverse", [False, True])
def test_scan(compiler, reverse):
    init = {"h": draw(2), "n": np.int32(0)}
    xs = {"a": draw(5, 2), "b": draw(5, 2)}

    def total(init, xs):
        carry, (ys, ns) = kf.scan(recurrence, init, xs, reverse=reverse)
        xp = kf.namespace(ys)
        return backend.lower(xp.sum(ys * ys) + xp.sum(carry["h"])), (carry, ys, ns)

    def native(h, xs):
        return total({"h": h, "n": tf.constant(0)}, xs)

    h, xs_tf = tf.constant(init["h"]), tree.map(tf.constant, xs)
    (_, got), grads = compiler(kf.value_and_grad(native, (0, 1), has_aux=True))(h, xs_tf)
    want = loops.scan(recurrence, {"h": init["h"], "n": np.zeros((), "int32")}, xs, None, reverse)
    for g, w in zip(tree.leaves(got), tree.leaves((want[0], *want[1])), strict=True):
        assert isinstance(g, tf.Tensor)
        close(g, np.asarray(w), 16)

    jax = pytest.importorskip("jax")

    def in_jax(h, xs):
        carry, (ys, _) = jax.lax.scan(recurrence, {"h": h, "n": 0}, xs, reverse=reverse)
        return (ys * ys).sum() + carry["h"].sum()

    for g, w in zip(tree.leaves(grads), tree.leaves(jax.grad(in_jax, (0, 1))(init["h"], xs)), strict=True):
        close(g, np.asarray(w), 64)


def test_scan_without_inputs_and_of_arrays():
    double = kf.jit(lambda x: kf.scan(lambda c, _: (c * 2, None), x, None, length=5))
    carry, ys = double(tf.constant(1.0))
    assert float(carry) == 32 and ys is None
    carry, ys = kf.scan(lambda c, x: (c + x, c), xp.asarray(0.0), xp.arange(4, dtype=xp.float32))
    assert type(carry) is type(ys) is Array and float(carry) == 6


def test_scan_says_what_changes():
    with pytest.raises(ShapeError, match="carry"):
        kf.jit(lambda x: kf.scan(lambda c, _: (tf.stack([c, c]), None), x, None, length=2))(tf.constant(1.0))
    with pytest.raises(ShapeError, match="structures"):
        kf.jit(lambda x: kf.scan(lambda c, _: ((c, c), None), x, None, length=2))(tf.constant(1.0))


@COMPILERS
def test_cond(compiler):
    def fun(p, x):
        return kf.cond(p, lambda a: {"y": ops.tanh(a), "n": a + 1}, lambda a: {"y": -a, "n": a}, x)["y"]

    for p, x in ((True, 0.5), (False, 0.5)):
        value, grad = compiler(kf.value_and_grad(lambda x, p: fun(p, x)))(tf.constant(x), tf.constant(p))
        close(value, np.tanh(np.float32(x)) if p else np.float32(-x))
        close(grad, np.float32(1 - math.tanh(x) ** 2) if p else np.float32(-1))


def test_cond_says_what_differs():
    with pytest.raises((ShapeError, TypeError)):
        kf.jit(lambda p, x: kf.cond(p, lambda a: {"y": a}, lambda a: [a], x))(tf.constant(True), tf.constant(1.0))


def test_jit_traces_once_for_what_is_alike():
    traces = []

    @functools.partial(kf.jit, static_argnames=("mode",))
    def fun(p, x, scale, flag, mode="a"):
        traces.append(mode)
        assert isinstance(flag, bool)
        return {"y": p["w"] * x * scale, "static": (mode, x.shape[0]), "none": None}

    p = {"w": tf.Variable(2.0)}
    for scale in (1.0, 2.0, 3.0):
        out = fun(p, tf.ones(2), scale, True)
        assert float(out["y"][0]) == 2 * scale and out["static"] == ("a", 2) and out["none"] is None
    assert len(traces) == 1
    p["w"].assign(5.0)
    assert float(fun(p, tf.ones(2), np.float32(1), True)["y"][1]) == 5 and len(traces) == 1
    assert fun(p, tf.ones(3), 1.0, True, mode="b")["static"] == ("b", 3) and len(traces) == 2
    fun(p, tf.ones(2), 1.0, False)
    assert len(traces) == 3
    with pytest.raises(ArgumentError, match="hashable"):
        fun(p, tf.ones(2), 1.0, True, mode=[])


def test_jit_of_arrays_and_within_tf_function():
    f = kf.jit(lambda x: kf.namespace(x).sum(x * 2))
    assert type(f(xp.ones(3))) is Array
    outer = tf.function(lambda x: f(x), input_signature=[tf.TensorSpec((None,))], autograph=False)
    assert float(outer(tf.ones(3))) == float(outer(tf.ones(4))) - 2 == 6


def test_values_cannot_be_read_in_a_compiled_function():
    with pytest.raises(UnsupportedError, match="compiled"):
        kf.jit(lambda x: kf.asarray(kf.to_numpy(x), backend="tensorflow"))(tf.ones(2))


# -- lowerings ---------------------------------------------------------------------------------------------------------

X3, X4, X5 = ((2, 7, 4), (2, 6, 7, 4), (1, 4, 5, 4, 4))
SIZES = {1: X3, 2: X4, 3: X5}


def conv_rows():
    for rank, shape in SIZES.items():
        for options in (
            {},
            {"padding": "same", "strides": 2},
            {"padding": "same", "dilation_rate": 2},
            {"strides": 2, "data_format": "channels_first"},
        ):
            for groups in (1, 2, 4):
                kernel = (3, 2, 2)[:rank] + (4 // groups, 8)
                x = (shape[0], 4, *shape[1:-1]) if "data_format" in options else shape
                yield "conv", (x, kernel), options | {"_groups": groups}


def pool_rows():
    for name in ("max_pool", "average_pool"):
        for shape in SIZES.values():
            for options in ({}, {"padding": "same", "strides": 1}, {"strides": 3, "padding": "same"}):
                yield name, (shape,), {"pool_size": 2, **options}
        yield name, (X4,), {"pool_size": (2, 3), "data_format": "channels_first"}


LOWERED = [
    ("linear", ((3, 4), (4, 5)), {}),
    ("linear", ((2, 3, 4), (4, 5), (5,)), {}),
    *[(name, ((3, 5),), {}) for name in ("relu", "sigmoid", "softplus", "erf", "leaky_relu", "elu")],
    ("leaky_relu", ((3, 5),), {"negative_slope": 0.1}),
    ("elu", ((3, 5),), {"alpha": 0.3}),
    *[(n, ((3, 5, 2),), {"axis": a}) for n in ("softmax", "log_softmax", "logsumexp") for a in (-1, 1)],
    ("logsumexp", ((3, 5),), {"keepdims": True}),
    *conv_rows(),
    *pool_rows(),
    ("normalize_batch", ((5, 2, 3), (3,), (3,)), {}),
    ("normalize_batch", ((5, 3, 2),), {"axis": 1}),
    ("split", ((3, 6),), {"indices_or_sections": 3, "axis": -1}),
    ("pad", ((3, 5),), {"pad_width": ((1, 0), (2, 3)), "constant_values": 1.5}),
    ("moments", ((3, 5, 2),), {"axes": (0, 1)}),
    ("moments", ((3, 5, 2),), {"axes": (1,), "keepdims": True}),
]
INTEGER_LOWERED = [
    ("one_hot", (np.asarray([[0, 2], [-1, 7]], "int32"), 3), {}),
    ("one_hot", (np.asarray([0, 2], "int64"), 3), {"dtype": "int32"}),
    ("one_hot", (np.asarray([0, 2], "uint32"), 3), {}),
    ("embedding", (np.asarray([[0, 2], [1, 1]], "int32"), draw(3, 4)), {}),
    ("label_crossentropy", (draw(4, 5), np.asarray([0, 4, 2, -1], "int32")), {}),
    ("label_crossentropy", (draw(2, 5, 3), np.asarray([[0, 4, 2], [7, 1, 1]], "int64")), {"axis": 1}),
]


@pytest.mark.parametrize(("name", "shapes", "options"), LOWERED, ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lowerings_agree_with_their_references(name, shapes, options, dtype):
    options = {k: v for k, v in options.items() if k != "_groups"}
    args = [tf.constant(draw(*shape, dtype=dtype)) for shape in shapes]
    fast, reference = OPS[name], backend.implement(SimpleNamespace(name="", reference=OPS[name].reference), native=True)
    assert name in backend.lowerings
    weights = None

    def loss(fun):
        def total(*args):
            nonlocal weights
            out = tree.leaves(fun(*args, **options))
            weights = weights or [tf.constant(draw(*x.shape, dtype=dtype)) for x in out]
            return tf.add_n([tf.reduce_sum(w * x) for w, x in zip(weights, out, strict=True)]), out

        return kf.value_and_grad(total, tuple(range(len(args))), has_aux=True)

    (_, want), want_grads = loss(reference)(*args)
    # As many products are summed, at most, as the arguments have elements; their errors add up like a random walk.
    ulps = 8 * math.sqrt(max(math.prod(s) for s in shapes))
    for compiler in (lambda f: f, kf.jit):
        (_, got), got_grads = compiler(loss(fast))(*args)
        for g, w in zip([*got, *got_grads], [*want, *want_grads], strict=True):
            close(g, w, ulps)


@pytest.mark.parametrize(("name", "args", "options"), INTEGER_LOWERED)
def test_integer_lowerings_agree_with_their_references(name, args, options):
    for wrap in (lambda x: backend.asarray(x) if isinstance(x, np.ndarray) else x, lifted):
        mine = [wrap(a) for a in args]
        reference = OPS[name].reference(*map(lifted, args), **options)
        got = OPS[name](*mine, **options)
        assert type(got) is (Array if wrap is lifted else type(mine[0]))
        close(kf.to_numpy(got), kf.to_numpy(reference))


@pytest.mark.parametrize("compiler", [kf.jit, on_xla], ids=["graph", "xla"])
def test_recurrent_layers_compile(compiler):
    args = [tf.constant(draw(*s)) for s in ((2, 5, 3), (3, 16), (4, 16), (16,))]
    loss = kf.value_and_grad(lambda *a: tf.reduce_sum(ops.lstm(*a)[0] ** 2), (0, 1, 2, 3))
    want, got = loss(*args), compiler(loss)(*args)
    for g, w in zip(tree.leaves(got), tree.leaves(want), strict=True):
        close(g, w, 64)


def test_a_function_that_failed_still_has_one_program_for_all_lengths():
    lengths, faults = [], [True]

    def fun(carry, fixed, x):
        lengths.append(x.shape[1])
        if faults[0]:
            raise ValueError("a fault of the data")
        return tf.reduce_sum(x)

    run = get("tensorflow").jit(fun, open_axes=((-1,),))
    with pytest.raises(ValueError, match="a fault of the data"):
        run((), (), tf.ones((2, 3)))
    faults[0] = False
    for size in (3, 4, 5):
        assert float(run((), (), tf.ones((2, size)))) == 2 * size
    assert lengths == [None, 3, None]


def test_second_derivatives_of_moments():
    def hessian(fun):
        return kf.grad(lambda x: tf.reduce_sum(kf.grad(lambda a: tf.reduce_sum(fun(a) ** 2))(x) ** 2))

    x = tf.constant(draw(4, 2, dtype="float64"))
    got = hessian(lambda a: ops.moments(a, (0,))[1])(x)
    want = hessian(lambda a: tf.reduce_mean(a * a, 0) - tf.reduce_mean(a, 0) ** 2)(x)
    close(got, want.numpy(), 64)
