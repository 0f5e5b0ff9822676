"""What our namespaces of PyTorch and TensorFlow add to the framework's own functions, against NumPy."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from backends import params

import kfunc as kf
from kfunc import backends, tree
from kfunc.arrays import dtype_name
from kfunc.backends import standard

pytestmark = pytest.mark.parametrize("name", params(("torch", "tensorflow")))

INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
rng = np.random.default_rng(3)


def call(name, function, *args, **kwargs):
    """The values, in NumPy, of the namespace's `function` of arguments whose NumPy arrays are moved to the backend."""
    b = backends.get(name)
    fun = functools.reduce(getattr, function.split("."), b.xp)
    args = [b.lift(kf.asarray(x, backend=name)) if isinstance(x, np.ndarray) else x for x in args]
    kwargs = {k: getattr(b.xp, v) if k == "dtype" else v for k, v in kwargs.items()}
    return tree.map(lambda x: kf.to_numpy(b.lower(x)), fun(*args, **kwargs))


def same(got, want):
    """Equal shapes, dtypes and values, signs of zeros included."""
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_array_equal(got, want)
    if want.dtype.kind == "f":
        number = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


def near(got, want, ulps=8):
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=ulps * np.finfo(want.dtype).eps)


@pytest.mark.parametrize("dtype", [d for d in INTEGERS if d.startswith("u")])
@pytest.mark.parametrize(
    ("function", "oracle"),
    [("sum", np.sum), ("prod", np.prod), ("cumulative_sum", np.cumsum), ("cumulative_prod", np.cumprod)],
)
@pytest.mark.parametrize("result", ["uint64", "uint16", "float64"])
def test_sums_of_unsigned_integers(name, function, oracle, dtype, result):
    x = rng.integers(0, 9, (3, 5)).astype(dtype)
    same(call(name, function, x, axis=1, dtype=result), oracle(x, axis=1, dtype=result))
    if function in ("sum", "prod"):
        same(call(name, function, x, axis=(), dtype=result), x.astype(result))
        same(call(name, function, x, axis=(0, 1), dtype=result, keepdims=True), oracle(x, keepdims=True, dtype=result))
    whole = call(name, function, x.reshape(-1))
    assert whole.dtype.kind == "u" and np.array_equal(whole, oracle(x.astype("uint64").reshape(-1)).astype(whole.dtype))


@pytest.mark.parametrize("a", standard.STANDARD)
def test_result_type_is_the_standards(name, a):
    xp = backends.get(name).xp
    wanted = {b: standard.promote(a, b) for b in standard.STANDARD}
    wanted = {b: want for b, want in wanted.items() if want}
    assert {b: dtype_name(xp.result_type(getattr(xp, a), getattr(xp, b))) for b in wanted} == wanted


@pytest.mark.parametrize(
    ("dtype", "scalar", "want"),
    [
        ("float64", 1, "float64"),
        ("float32", 1.5, "float32"),
        ("int8", 1, "int8"),
        ("uint32", 1, "uint32"),
        ("bool", True, "bool"),
        ("float32", 1j, "complex64"),
        ("float64", 1j, "complex128"),
        ("int32", 0.5, "float32"),
        ("complex64", 1.0, "complex64"),
    ],
)
def test_result_type_of_scalars(name, dtype, scalar, want):
    xp = backends.get(name).xp
    assert dtype_name(xp.result_type(getattr(xp, dtype), scalar)) == want
    assert dtype_name(xp.result_type(scalar, xp.zeros((2,), dtype=getattr(xp, dtype)))) == want


def test_a_scalar_does_not_lose_its_fraction(name):
    got = call(name, "maximum", np.asarray([0, 1], "int32"), 0.5)
    same(got, np.asarray([0.5, 1], "float32"))


def test_limits_name_their_dtype(name):
    xp = backends.get(name).xp
    for dtype in INTEGERS:
        info = xp.iinfo(getattr(xp, dtype))
        assert (dtype_name(info.dtype), info.min, info.max) == (dtype, np.iinfo(dtype).min, np.iinfo(dtype).max)
    for dtype, real in (("float32", "float32"), ("complex128", "float64")):
        info = xp.finfo(xp.zeros((), dtype=getattr(xp, dtype)))
        assert (dtype_name(info.dtype), info.eps, type(info.max)) == (real, np.finfo(real).eps, float)


@pytest.mark.parametrize("dtype", ["complex64", "float64", "int32"])
@pytest.mark.parametrize("options", [{}, {"axis": 1}, {"axis": (0, 2)}, {"axis": ()}])
@pytest.mark.parametrize("keepdims", [False, True])
def test_mean(name, dtype, options, keepdims):
    x = rng.integers(-9, 9, (2, 3, 4)).astype(dtype)
    want = x.astype("complex128").mean(**options, keepdims=keepdims)
    got = call(name, "mean", x, **options, keepdims=keepdims)
    real = np.dtype("float32" if dtype == "int32" else dtype)
    assert (got.shape, got.dtype) == (want.shape, real)
    np.testing.assert_allclose(got, want, atol=9 * 8 * np.finfo(real).eps)


@pytest.mark.parametrize("correction", [0, 1, 0.5])
def test_spread_with_any_correction(name, correction):
    x = rng.normal(size=(3, 4))
    squares = ((x - x.mean(1, keepdims=True)) ** 2).sum(1) / (4 - correction)
    near(call(name, "var", x, axis=1, correction=correction), squares)
    near(call(name, "std", x, axis=1, correction=correction), np.sqrt(squares))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_take_by_any_integers(name, dtype):
    x = rng.normal(size=(4, 5)).astype("float32")
    i = np.asarray([3, 0, 1] if dtype[0] == "u" else [3, -4, -1], dtype)
    same(call(name, "take", x, i, axis=0), x[i])
    same(call(name, "take", x, i, axis=-1), x[:, i])
    same(call(name, "take", x[0], i), x[0][i])
    along = np.broadcast_to(i[:, None], (3, 5)).astype(dtype)
    same(call(name, "take_along_axis", x, along, axis=0), np.take_along_axis(x, along.astype("int64"), 0))


def test_take_needs_an_axis_of_several(name):
    with pytest.raises(ValueError, match="axis"):
        call(name, "take", np.zeros((2, 2)), np.asarray([0]))


@pytest.mark.parametrize(
    "x", [np.asarray([[3, 1, 3], [2, 1, 3]], "int32"), np.asarray([2.0, np.nan, -1.0, 2.0, np.nan]), np.zeros((0,))]
)
def test_unique_all(name, x):
    got = call(name, "unique_all", x)
    want = np.unique(x, return_index=True, return_inverse=True, return_counts=True, equal_nan=False)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape and np.array_equal(g, w, equal_nan=w.dtype.kind == "f")


SIGNS = np.asarray([-6.0, -0.0, 0.0, 1.5, 6.0, np.inf, -np.inf, np.nan])


def test_division_of_special_numbers(name):
    x, y = (a.reshape(-1) for a in np.meshgrid(SIGNS, np.asarray([2.0, -2.0, np.inf, -np.inf])))
    with np.errstate(invalid="ignore"):
        same(call(name, "remainder", x, y), np.remainder(x, y))
        finite = np.isfinite(y)
        same(call(name, "floor_divide", x[finite], y[finite]), np.floor(x[finite] / y[finite]))
        infinite = np.floor(x / y)[~finite]
    same(call(name, "floor_divide", x[~finite], y[~finite]), infinite)


def test_a_remainder_of_zero_has_a_gradient(name):
    xp = backends.get(name).xp
    x = kf.asarray(np.asarray([-4.0, -0.0, 0.0, 1.5, 4.0]), backend=name)
    got = kf.grad(kf.arrays.native(lambda x: xp.sum(xp.remainder(x, 2.0))))(x)
    same(kf.to_numpy(got), np.ones(5))


COMPLEX = np.asarray(
    [1e-9 + 1e-9j, 0.3 - 2j, -0.9 + 1j, 5 + 7j, -1 + 2j, 1e-300 + 0j, -0.25 + 0.1j, 3 - 0.5j], "complex128"
)


def log1p(z):  # NumPy's own loses the digits of small numbers
    return np.where(abs(z) < 1e-6, z - z * z / 2, np.log(1 + z))


@pytest.mark.parametrize(
    ("function", "oracle", "derivative"), [("expm1", np.expm1, np.exp), ("log1p", log1p, lambda z: 1 / (1 + z))]
)
def test_complex_functions_near_zero(name, function, oracle, derivative):
    near(call(name, function, COMPLEX), oracle(COMPLEX))
    # The gradient of the real part by the real part is the derivative's real part.
    xp = backends.get(name).xp
    x, y = (kf.asarray(part.copy(), backend=name) for part in (COMPLEX.real, COMPLEX.imag))
    one = kf.asarray(np.asarray(1j), backend=name)
    total = kf.arrays.native(lambda x, y, one: xp.sum(xp.real(getattr(xp, function)(x + one * y))))
    got = kf.to_numpy(kf.grad(total)(x, y, one))
    np.testing.assert_allclose(got, derivative(COMPLEX).real, rtol=1e3 * np.finfo("float64").eps, atol=1e-15)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(
    ("function", "oracle", "shapes"),
    [
        ("linalg.outer", np.outer, [(3,), (2,)]),
        ("linalg.vecdot", lambda a, b: (a * b).sum(-1), [(2, 3), (3,)]),
        ("tensordot", lambda a, b: np.tensordot(a, b, 1), [(2, 3), (3, 2)]),
        ("linalg.matmul", np.matmul, [(2, 3), (3, 2)]),
    ],
)
def test_products_of_any_integers(name, function, oracle, shapes, dtype):
    a, b = (rng.integers(0, 5, shape) for shape in shapes)
    kwargs = {"axes": 1} if function == "tensordot" else {}
    same(call(name, function, a.astype(dtype), b.astype("uint8"), **kwargs), oracle(a, b).astype(_with_uint8(dtype)))


def _with_uint8(dtype):
    return standard.promote(dtype, "uint8")


def test_lists_where_the_standard_says_lists(name):
    xp = backends.get(name).xp
    assert type(xp.meshgrid(xp.zeros(2), xp.zeros(3))) is list
    assert type(xp.broadcast_arrays(xp.zeros(2), xp.zeros(()))) is list
    assert type(xp.__array_namespace_info__().devices()) is list


def test_inspection(name):
    xp = backends.get(name).xp
    info = xp.__array_namespace_info__()
    assert {"boolean indexing", "data-dependent shapes"} <= set(info.capabilities())
    assert info.default_device() in info.devices()
    # Of the wide unsigned ones, PyTorch says itself that it has next to nothing.
    assert set(standard.STANDARD) - set(info.dtypes()) <= {"uint16", "uint32", "uint64"}
    assert all(getattr(xp, key) == value for key, value in info.dtypes().items())
    assert set(info.dtypes(kind=("signed integer", "bool"))) == {"bool", "int8", "int16", "int32", "int64"}
    assert info.default_dtypes()["real floating"] == xp.zeros(()).dtype == xp.float32
    assert info.default_dtypes()["complex floating"] == xp.asarray(1j).dtype


CREATION = [
    lambda xp, **kw: xp.asarray([1, 2], **kw),
    lambda xp, **kw: xp.asarray(xp.ones((2,)), **kw),
    lambda xp, dtype, device: xp.astype(xp.ones((2,)), dtype, device=device),
    lambda xp, **kw: xp.zeros(2, **kw),
    lambda xp, **kw: xp.ones((2,), **kw),
    lambda xp, **kw: xp.empty((2,), **kw),
    lambda xp, **kw: xp.full((2,), 1, **kw),
    lambda xp, **kw: xp.zeros_like(xp.ones(2), **kw),
    lambda xp, **kw: xp.ones_like(xp.ones(2), **kw),
    lambda xp, **kw: xp.empty_like(xp.ones(2), **kw),
    lambda xp, **kw: xp.full_like(xp.ones(2), 2, **kw),
    lambda xp, **kw: xp.arange(2, **kw),
    lambda xp, **kw: xp.linspace(0, 1, 2, **kw),
    lambda xp, **kw: xp.eye(2, **kw)[0],
    lambda xp, **kw: xp.fft.fftfreq(2, **kw),
]


@pytest.mark.parametrize("make", CREATION)
def test_creation_takes_a_dtype_and_a_device(name, make):
    xp = backends.get(name).xp
    for device in xp.__array_namespace_info__().devices():
        if str(device) != "meta":  # torch's device without memory
            out = make(xp, dtype=xp.float64, device=device)
            assert (out.dtype, out.device, out.shape) == (xp.float64, device, (2,))
