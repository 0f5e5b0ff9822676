"""OpenVINO: its namespace against NumPy in float64, its lowerings against the references on NumPy, and its compiler."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import kfunc as kf
from kfunc import ops
from kfunc.errors import ArgumentError, MixedBackendsError, ShapeError, UnsupportedError

pytestmark = pytest.mark.openvino

EPS = 2.0**-23
rng = np.random.default_rng(0)


def floats(*shape):
    return rng.normal(size=shape).astype(np.float32)


def integers(*shape, low=-(2**31), high=2**31 - 1, dtype=np.int32):
    return rng.integers(low, high, size=shape, dtype=np.int64).astype(dtype)


def words(*shape):
    return rng.integers(0, 2**32, size=shape, dtype=np.uint32)


def on_openvino(tree):
    return kf.to_backend(tree, "openvino")


def compiled(fun, **options):
    return kf.backends.get("openvino").jit(fun, **options)


def names(text):
    return text.split()


def wide(x):
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype == np.float32 else x


def assert_close(got, want, ulps=8.0):
    """Equal, or for floats within `ulps` float32 roundings of `want`, at the scale of its largest finite element."""
    got, want = np.asarray(kf.to_numpy(got)), np.asarray(want)
    assert got.shape == want.shape
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    scale = np.max(np.abs(want), initial=0.0, where=np.isfinite(want))
    np.testing.assert_allclose(got, want, rtol=ulps * EPS, atol=ulps * EPS * scale)


x23, y23, x34 = floats(4, 3), floats(4, 3), floats(4, 3, 5)
unit, positive = np.tanh(floats(4, 3)), np.abs(floats(4, 3)) + 0.1
small = floats(4, 3) * 1e-4
special = np.array([np.nan, np.inf, -np.inf, 1.0, -1.0, 0.0, -0.0, 2.5], np.float32)
other = np.array([1.0, np.nan, np.inf, -np.inf, np.nan, -0.0, 0.0, -2.5], np.float32)
i43, j43 = integers(4, 3), integers(4, 3)
u43, v43 = words(4, 3), words(4, 3)
few, divisors = integers(4, 3, low=-9, high=9), np.where(integers(4, 3, low=0, high=2) == 1, 7, -3).astype(np.int32)
close = i43 + np.int32(1)
mask, mask2 = floats(4, 3) > 0, floats(4, 3) > 0
ids = integers(4, 3, low=0, high=3)
signed_ids = integers(4, 3, low=-3, high=3)

ELEMENTWISE = {
    **{n: (lambda xp, x, n=n: getattr(xp, n)(x), x23) for n in names("abs atan ceil cos cosh exp expm1 floor")},
    **{n: (lambda xp, x, n=n: getattr(xp, n)(x), x23) for n in names("negative positive round sign sin sinh square")},
    **{n: (lambda xp, x, n=n: getattr(xp, n)(x), x23) for n in names("tan tanh trunc asinh reciprocal signbit")},
    **{n: (lambda xp, x, n=n: getattr(xp, n)(x), unit) for n in names("acos asin atanh log1p")},
    **{n: (lambda xp, x, n=n: getattr(xp, n)(x), positive) for n in names("log log2 log10 sqrt")},
    "acosh": (lambda xp, x: xp.acosh(x + 1), positive),
    **{n: (lambda xp, x, y, n=n: getattr(xp, n)(x, y), x23, y23) for n in names("add subtract multiply divide")},
    **{n: (lambda xp, x, y, n=n: getattr(xp, n)(x, y), x23, y23) for n in names("atan2 copysign hypot logaddexp")},
    **{n: (lambda xp, x, y, n=n: getattr(xp, n)(x, y), x23, y23) for n in names("floor_divide remainder maximum")},
    "division of multiples": (lambda xp, x: (x / 7, x // 7, x % 7, 1 / x), 7 * np.arange(1, 400, dtype=np.float32)),
    "pow": (lambda xp, x, y: xp.pow(x, y), positive, y23),
    "pow 2": (lambda xp, x: x**2, x23),
    "pow of integers": (lambda xp, x: x**5, integers(4, 3, low=-99, high=73)),
    "scalars": (lambda xp, x: 1 - 2 * x / 3 + x // 1 - 7 % x, positive),
    "clip": (lambda xp, x: xp.clip(x, -0.5, 0.5), x23),
    "clip one side": (lambda xp, x: xp.clip(x, max=0.5), x23),
    "clip by arrays": (lambda xp, x, y: xp.clip(x, y, y + 1), x23, y23),
    "where": (lambda xp, c, x: xp.where(c, x, 0.0), mask, x23),
    "logical": (lambda xp, a, b: xp.logical_or(xp.logical_and(a, b), xp.logical_xor(a, ~b)), mask, mask2),
    "logical not": (lambda xp, a: xp.logical_not(a), mask),
    "bool operators": (lambda xp, a, b: (a & b) | (a ^ b), mask, mask2),
    "bool comparison": (lambda xp, a, b: (a == b) | (a != b) & (a < b), mask, mask2),
    **{
        f"special {n}": (lambda xp, x, n=n: getattr(xp, n)(x), special)
        for n in names("isnan isinf isfinite signbit sign floor abs tanh exp")
    },
    **{
        f"special {n}": (lambda xp, x, y, n=n: getattr(xp, n)(x, y), special, other)
        for n in names("maximum minimum equal not_equal less less_equal greater greater_equal hypot atan2 logaddexp")
    },
    "special against a number": (
        lambda xp, x: (x > 0.5, xp.greater(0.5, x), x >= 0.5, x < 0.5, xp.less(0.5, x)),
        special,
    ),
    "special clip": (lambda xp, x: xp.clip(x, -2.0, 2.0), special),
    "special relu reference": (lambda xp, x: xp.where(x <= 0, xp.zeros_like(x), x), special),
}

INTEGERS = {
    "wraparound": (lambda xp, x, y: x * y + x - y, i43, j43),
    "wraparound unsigned": (lambda xp, x, y: x * y + x - y, u43, v43),
    "bits": (lambda xp, x, y: ((x & y) | (x ^ 255)) ^ ~y, i43, j43),
    "bits unsigned": (lambda xp, x, y: ((x & y) | (x ^ 255)) ^ ~y, u43, v43),
    "shifts": (lambda xp, x: (x << 5) ^ (x >> 7), i43),
    "shifts unsigned": (lambda xp, x: (x << 13) | (x >> 19), u43),
    "shift by 0 unsigned": (lambda xp, x: x >> 0, u43),
    "shift by arrays unsigned": (lambda xp, x, y: xp.bitwise_right_shift(x, y % 32), u43, v43),
    **{
        f"{n} {kind}": (lambda xp, x, y, n=n: getattr(xp, n)(x, y), *pair)
        for n in names("equal not_equal less less_equal greater greater_equal maximum minimum")
        for kind, pair in {
            "far": (i43, j43),
            "near": (i43, close),
            "same": (i43, i43),
            "unsigned": (u43, v43),
            "unsigned near": (u43, u43 + np.uint32(1)),
        }.items()
    },
    "division": (lambda xp, x, y: (x // y, x % y), i43, divisors),
    "where": (lambda xp, x, i, j: (xp.where(x < 0, i, j) + i, xp.where(i < j, i + 1, j * 3)), x23, i43, j43),
    "where int64": (lambda xp, x, i: xp.where(x < 0, i, 2**24 + 1), x23, i43.astype(np.int64)),
    "where unsigned": (lambda xp, x, i, j: xp.where(x < 0, i, j), x23, u43, v43),
    "sum compared": (lambda xp, i, j: (i + j == 5, i - j < 0, xp.astype(i * j, xp.float32)), i43, 5 - i43),
    "division of multiples": (lambda xp, x, y: (x // y, x % y), few.astype(np.int8) * 7, divisors.astype(np.int8)),
    "division of the largest": (lambda xp, x, y: (x // y, x % y), np.int32([-(2**31), 2**31 - 1] * 2), divisors[:, 0]),
    "division of large": (lambda xp, x, y: (x // y, x % y), i43, integers(4, 3, low=2**20, high=2**30)),
    "division of small": (lambda xp, x, y: (x // y, x % y), few, divisors),
    "division unsigned": (lambda xp, x, y: (x // y, x % y), u43, v43 | np.uint32(1)),
    "division unsigned by small": (lambda xp, x, y: (x // y, x % y), u43, v43 % np.uint32(1000) + np.uint32(1)),
    "sum": (lambda xp, x: (xp.sum(x, axis=0, dtype=xp.int32), xp.sum(x, dtype=xp.int32)), i43),
    "sum unsigned": (lambda xp, x: xp.sum(x, axis=(0, 1), keepdims=True, dtype=xp.uint32), u43),
    "prod": (lambda xp, x: xp.prod(x, axis=-1, dtype=xp.int32), i43),
    "max": (lambda xp, x: (xp.max(x, axis=1), xp.min(x), xp.max(x, axis=(0, 1), keepdims=True)), i43),
    "max unsigned": (lambda xp, x: (xp.max(x, axis=1), xp.min(x)), u43),
    "sort": (lambda xp, x: (xp.sort(x, axis=1), xp.sort(x, axis=0)), i43),
    "sort unsigned": (lambda xp, x: xp.sort(x), u43),
    "argsort with equals": (lambda xp, x: xp.argsort(x, axis=-1, stable=True), few % 2),
    "argmax with equals": (lambda xp, x: (xp.argmax(x, axis=1), xp.argmin(x, axis=0), xp.argmax(x)), few % 2),
    "sign": (lambda xp, x: (xp.sign(x), abs(x), -x), i43),
    "to float": (lambda xp, x, y: (xp.astype(x, xp.float32), xp.astype(y, xp.float32)), i43, u43),
    "from float": (lambda xp, x: xp.astype(x, xp.int32), x23 * 1e5),
    "uint32 from float": (lambda xp, x: xp.astype(x, xp.uint32), positive * 1e9),
    "to bool": (lambda xp, x: xp.astype(x, xp.bool), few),
    "from bytes": (lambda xp, x: xp.astype(x, xp.float32) / 255, integers(4, 3, low=0, high=255, dtype=np.uint8)),
    "int64 indices": (lambda xp, x: x + 1, few.astype(np.int64)),
}

SHAPES = {
    "reshape": (lambda xp, x: xp.reshape(x, (-1, 15)), x34),
    "reshape flat": (lambda xp, x: xp.reshape(x, (-1,)), x34),
    "reshape split": (lambda xp, x: xp.reshape(x, (-1, 3, 1, 5)), x34),
    "permute_dims": (lambda xp, x: xp.permute_dims(x, (2, 0, 1)), x34),
    "matrix_transpose": (lambda xp, x: (xp.matrix_transpose(x), x.mT), x34),
    "moveaxis": (lambda xp, x: (xp.moveaxis(x, 0, -1), xp.moveaxis(x, (0, 2), (1, 0))), x34),
    "expand_dims": (lambda xp, x: (xp.expand_dims(x, axis=1), xp.expand_dims(x, axis=-1)), x34),
    "squeeze": (lambda xp, x: xp.squeeze(xp.expand_dims(x, axis=(0)), axis=0), x34),
    "concat": (lambda xp, x, y: (xp.concat([x, y], axis=0), xp.concat([x, y], axis=-1)), x23, y23),
    "concat flat": (lambda xp, x, y: xp.concat([x, y], axis=None), x23, y23),
    "stack": (lambda xp, x, y: (xp.stack([x, y]), xp.stack([x, y], axis=-1)), x23, y23),
    "unstack": (lambda xp, x: xp.unstack(x, axis=1), x34),
    "broadcast_to": (lambda xp, x: xp.broadcast_to(x[:, :1], (*x.shape[:1], 6)), x23),
    "broadcast_arrays": (lambda xp, x, y: tuple(xp.broadcast_arrays(x, y[:, :1])), x23, y23),
    "meshgrid": (lambda xp, x: tuple(xp.meshgrid(x, xp.arange(3))), floats(4)),
    "flip": (lambda xp, x: (xp.flip(x), xp.flip(x, axis=1), xp.flip(x, axis=(0, -1))), x34),
    "roll": (lambda xp, x: (xp.roll(x, 2, axis=1), xp.roll(x, (1, -1), axis=(0, 2)), xp.roll(x, 3)), x34),
    "repeat": (lambda xp, x: xp.repeat(x, 2, axis=1), x34),
    "tile": (lambda xp, x: (xp.tile(x, (2, 1)), xp.tile(x, (1, 2, 1))), x23),
    "tril": (lambda xp, x: (xp.tril(x), xp.triu(x, k=1)), x34),
    "diff": (lambda xp, x: xp.diff(x, axis=-1), x34),
    "like": (lambda xp, x: (xp.zeros_like(x), xp.ones_like(x), xp.full_like(x, 2.5)), x34),
    "index int": (lambda xp, x: (x[0, ...], x[-1, ...], x[:, 2, ...], x[..., -1]), x34),
    "index slice": (lambda xp, x: (x[1:, ...], x[:, 1:3, ::2], x[..., -2:], x[:-1, ...], x[0:1, 0, None, :]), x34),
    "index back": (lambda xp, x: (x[::-1, ...], x[:, :0:-1, ::-2]), x34),
    "index empty": (lambda xp, x: x[:, 3:, :], x34),
    "index new": (lambda xp, x: (x[None, ...], x[:, None, :, 0], x[..., None]), x34),
    "index array": (lambda xp, x, i: (x[i, ...], x[:, i % 3, :], x[..., i]), x34, np.array([0, 1, 1, 0])),
    "index arrays": (lambda xp, x, i: (x[i, i], x[i, i, i], x[:, i, i]), x34, np.array([0, 1, 1, 0])),
    "index negative": (lambda xp, x, i: x[i, i, 0], x34, np.array([0, -1, 1, -2])),
    "take": (lambda xp, x, i: (xp.take(x, i, axis=0), xp.take(x, i, axis=-1)), x34, np.array([1, 0, -1, 1])),
    "take_along_axis": (lambda xp, x, i: xp.take_along_axis(x, i, axis=1), x23, signed_ids),
    "take_along_axis broadcast": (lambda xp, x, i: xp.take_along_axis(x, i[:, :1, None], axis=1), x34, ids),
}

REDUCTIONS = {
    **{
        name: (
            lambda xp, x, f=name: (
                *(getattr(xp, f)(x), getattr(xp, f)(x, axis=0), getattr(xp, f)(x, axis=(0, -1), keepdims=True)),
                getattr(xp, f)(x, axis=1, keepdims=True),
            ),
            x34,
        )
        for name in names("sum prod mean max min var std")
    },
    "correction": (lambda xp, x: (xp.var(x, axis=0, correction=1), xp.std(x, correction=1)), x34),
    "max with NaN": (lambda xp, x: (xp.max(x), xp.min(x[1:])), special),
    "all": (lambda xp, x: (xp.all(x), xp.any(x, axis=0), xp.all(x, axis=1, keepdims=True)), mask),
    "count_nonzero": (lambda xp, x: xp.count_nonzero(x, axis=1), few % 3),
    "cumulative_sum": (lambda xp, x: xp.cumulative_sum(x, axis=1), x34),
    "cumulative_sum initial": (lambda xp, x: xp.cumulative_sum(x, axis=0, include_initial=True), x34),
    "argmax": (lambda xp, x: (xp.argmax(x, axis=-1), xp.argmax(x, axis=0, keepdims=True), xp.argmin(x)), x34),
    "sort": (lambda xp, x: (xp.sort(x), xp.argsort(x, axis=0)), x34),
    "searchsorted": (lambda xp, x: xp.searchsorted(xp.linspace(-1, 1, 9, dtype=xp.float32), x), x23),
    "matmul": (lambda xp, x, y: (x @ y.T, x[0, ...] @ y.T, x @ y[0, ...], x[0, ...] @ y[0, ...]), x23, y23),
    "matmul of stacks": (lambda xp, x: xp.matmul(x, xp.matrix_transpose(x)), x34),
    "tensordot": (lambda xp, x, y: (xp.tensordot(x, y, axes=((1,), (1,))), xp.tensordot(x, y, axes=2)), x23, y23),
    "vecdot": (lambda xp, x, y: xp.vecdot(x, y), x23, y23),
}
TABLE = {
    f"{kind}: {name}": row
    for kind, rows in {"elementwise": ELEMENTWISE, "integer": INTEGERS, "shape": SHAPES, "reduce": REDUCTIONS}.items()
    for name, row in rows.items()
}
BATCH_SIZE_IN_CODE = {"shape: broadcast_to"}
"""Rows that compute with the batch size, for which a program is built for each shape."""


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value|divide by zero).*:RuntimeWarning")
@pytest.mark.parametrize("name", TABLE)
def test_namespace(name):
    """Arguments come in as parameters, so that the plugin computes; one program serves two batch sizes."""
    fun, *args = TABLE[name]
    program = compiled(lambda *xs: fun(kf.namespace(*xs), *xs))
    for batch in (slice(None), slice(0, 2)):
        if name.startswith("elementwise: special"):
            batch = slice(None)
        part = [a[batch] for a in args]
        want = kf.tree.leaves(fun(np, *map(wide, part)))
        got = kf.tree.leaves(program(*on_openvino(part)))
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            assert_close(g, w)
    if name not in BATCH_SIZE_IN_CODE:
        assert program.compilations == 1


@pytest.mark.parametrize("name", ["log1p", "expm1", "tanh", "asinh", "atanh", "sinh"])
def test_small_arguments_keep_their_digits(name):
    got = compiled(lambda x: getattr(kf.namespace(x), name)(x))(on_openvino(small))
    np.testing.assert_allclose(kf.to_numpy(got), getattr(np, name)(small.astype(np.float64)), rtol=8 * EPS)


@pytest.mark.parametrize(
    ("expression", "dtype"),
    [
        (lambda xp, x, i: x + 1, "float32"),
        (lambda xp, x, i: x + i, "float32"),
        (lambda xp, x, i: i + 0.5, "float32"),
        (lambda xp, x, i: i / i, "float32"),
        (lambda xp, x, i: i + True, "int32"),
        (lambda xp, x, i: i + xp.astype(i, xp.int64), "int64"),
        (lambda xp, x, i: xp.sum(i), "int32"),
        (lambda xp, x, i: xp.sum(xp.astype(i, xp.uint8)), "uint32"),
        (lambda xp, x, i: xp.sum(i > 0), "int32"),
        (lambda xp, x, i: xp.argmax(x), "int32"),
        (lambda xp, x, i: x > 0, "bool"),
        (lambda xp, x, i: xp.arange(3), "int32"),
        (lambda xp, x, i: xp.arange(3.0), "float32"),
        (lambda xp, x, i: xp.zeros(3), "float32"),
        (lambda xp, x, i: xp.linspace(0, 1, 3), "float32"),
        (lambda xp, x, i: xp.asarray([1, 2]), "int32"),
        (lambda xp, x, i: xp.asarray([True]), "bool"),
        (lambda xp, x, i: xp.where(i > 0, x, i), "float32"),
    ],
)
def test_dtypes(expression, dtype):
    x, i = on_openvino((x23, ids))
    out = expression(kf.namespace(x), x, i)
    assert kf.arrays.dtype_name(out.dtype) == dtype
    assert kf.to_numpy(out).dtype == dtype


def test_what_the_namespace_says_of_itself():
    x = on_openvino(x23)
    xp = kf.namespace(x)
    info = xp.__array_namespace_info__()
    assert xp is x.__array_namespace__() and set(info.dtypes(kind="real floating")) == {"float32"}
    assert info.default_dtypes()["integral"] == xp.int32 and info.default_device() == x.device
    assert xp.finfo(x).eps == xp.finfo(xp.float32).eps == EPS and xp.iinfo(xp.int32).max == 2**31 - 1
    assert xp.isdtype(xp.uint32, ("bool", "integral")) and not xp.isdtype(xp.float32, "integral")
    assert xp.can_cast(xp.int32, xp.int64) and not xp.can_cast(x, xp.int32)
    with pytest.raises(TypeError, match="astype"):
        xp.result_type(xp.uint64, xp.int64)
    assert not hasattr(xp, "no_such_function")


def test_arrays_outside_compiled_functions():
    x = on_openvino(x23)
    y = x @ x.T + 1
    assert (y.shape, y.ndim, y.size, y.device, x.T.shape, len(x)) == ((4, 4), 2, 16, "cpu", (3, 4), 4)
    np.testing.assert_allclose(np.asarray(y), x23.astype(np.float64) @ x23.T + 1, rtol=1e-5, atol=1e-6)
    assert np.shares_memory(kf.to_numpy(x), x23)
    assert [float(row[0]) for row in x] == [float(v) for v in x23[:, 0]]
    assert bool(x[0, 0] == float(x23[0, 0])) and int(on_openvino(np.int32(3) + np.zeros((), np.int32))) == 3
    np.testing.assert_array_equal(np.from_dlpack(x), x23)
    with pytest.raises(IndexError):
        x[4, 0]
    with pytest.raises(UnsupportedError, match="in place"):
        x[0, 0] = 1.0
    with pytest.raises(TypeError):
        x + x23


@pytest.mark.parametrize("value", [x23, x23.T, x23[:0], i43, u43, mask, np.float32(1.5), x23.astype(">f4")])
def test_round_trip(value):
    got = kf.to_numpy(on_openvino(np.asarray(value)))
    assert got.dtype == np.asarray(value).dtype.newbyteorder("=")
    np.testing.assert_array_equal(got, value)
    again = kf.to_numpy(kf.jit(lambda x: x)(on_openvino(np.asarray(value))))
    np.testing.assert_array_equal(again, value)


def test_tensors_are_native_arrays():
    import openvino as ov

    x = kf.asarray(ov.Tensor(x23), backend="openvino")
    np.testing.assert_array_equal(kf.to_numpy(x), x23)
    np.testing.assert_allclose(kf.to_numpy(kf.jit(lambda x: x * 2)(ov.Tensor(x23))), x23 * 2)


# -- lowerings ---------------------------------------------------------------------------------------------------------


def conv_rows():
    for rank in (1, 2, 3):
        space = (9, 10, 8)[:rank]
        for data_format in ("channels_last", "channels_first"):
            x = floats(3, *space, 6) if data_format == "channels_last" else floats(3, 6, *space)
            for padding, strides, dilation, inputs in (("valid", 1, 1, 6), ("same", 2, 1, 2), ("same", 1, 2, 3)):
                window = (3, 2, 3)[:rank]

                def conv(kernel, x, options=(strides, padding, data_format, dilation)):
                    return ops.conv(x, kernel, *options)

                name = f"conv {rank} {data_format} {padding} {strides} {dilation} {6 // inputs}"
                yield name, conv, (floats(*window, inputs, 6), x), (0,)
            for padding, strides in (("valid", None), ("same", 2), ("valid", 1)):
                for pool in (ops.max_pool, ops.average_pool):

                    def pooled(x, pool=pool, options=(3, strides, padding, data_format)):
                        return pool(x, *options)

                    yield f"{pool.name} {rank} {data_format} {padding} {strides}", pooled, (x,), ()


def lowering_rows():
    x = floats(5, 7) * 3
    for f in (ops.relu, ops.leaky_relu, ops.elu, ops.sigmoid, ops.tanh, ops.silu, ops.gelu, ops.softplus):
        yield f.name, f, (x,), ()
    for f in (ops.softmax, ops.log_softmax, ops.logsumexp):
        yield f.name, f, (x,), ()
        yield f"{f.name} axis", lambda x, f=f: f(x, axis=1), (floats(4, 3, 2),), ()
    yield "erf", ops.erf, (x,), ()
    yield "erf_inv", ops.erf_inv, (np.tanh(x / 3),), ()
    yield "gelu by erf", lambda x: ops.gelu(x, approximate=False), (x,), ()
    yield "elu alpha", lambda x: ops.elu(x, 0.5), (x,), ()
    yield "linear", lambda p, x: ops.linear(x, *p), ([floats(7, 4), floats(4)], x), (0,)
    yield "embedding", lambda t, i: ops.embedding(i, t), (floats(9, 4), integers(5, 3, low=0, high=9)), (0,)
    yield "one_hot", lambda i: ops.one_hot(i, 4), (np.array([[0, 3], [-1, 4], [1, -5]], np.int32),), ()
    yield "one_hot int8", lambda i: ops.one_hot(i, 4, "int32"), (np.array([0, 3, 2], np.int8),), ()
    yield "pad", lambda x: ops.pad(x, ((1, 0), (0, 2)), -1.5), (x,), ()
    yield "split and join", lambda x: ops.join_last(ops.split_last(x, (3, 2)) * 2), (floats(4, 5, 6),), ()
    yield "layer_normalization", lambda p, x: ops.layer_normalization(x, *p), ([floats(7), floats(7)], x), (0,)
    yield "layer_normalization axes", lambda x: ops.layer_normalization(x, axis=(1, 2)), (floats(3, 4, 5),), ()
    yield "layer_normalization first", lambda x: ops.layer_normalization(x, axis=1), (floats(3, 4, 5),), ()
    yield (
        "batch_normalization",
        lambda p, x: ops.batch_normalization(x, *p),
        ([floats(7), np.abs(floats(7)), floats(7), floats(7)], x),
        (0,),
    )
    q, k, v = floats(3, 6, 2, 4), floats(3, 5, 2, 4), floats(3, 5, 2, 4)
    seen = floats(3, 1, 6, 5) > 0
    seen[0, 0, 0] = False
    attention = ops.dot_product_attention
    yield "attention", attention, (q, k, v), ()
    yield "attention causal", lambda q, k, v: attention(q, k, v, is_causal=True), (q, k, v), ()
    yield "attention causal, long source", lambda q, k, v: attention(q, k, v, is_causal=True), (k, q, q), ()
    yield "attention masked", attention, (q, k, v, seen), ()
    yield "attention masked causal", lambda *a: attention(*a, is_causal=True), (q, k, v, seen), ()
    yield "attention constant mask", lambda m, *a: attention(*a, m), (seen[1, 0], q, k, v), (0,)
    yield "attention scale", lambda q, k, v: attention(q, k, v, scale=0.3), (q, k, v), ()
    yield "attention other width", attention, (q, k, floats(3, 5, 2, 3)), ()
    x, h, c = floats(5, 6, 4), floats(5, 3), floats(5, 3)
    lstm, gru = [floats(4, 12), floats(3, 12), floats(12)], [floats(4, 9), floats(3, 9)]
    for reverse in (False, True):
        yield f"lstm {reverse}", lambda p, x, r=reverse: ops.lstm(x, *p, reverse=r), (lstm, x), (0,)
        yield (
            f"lstm from state {reverse}",
            lambda p, x, h, c, r=reverse: ops.lstm(x, *p, None, h, c, reverse=r),
            (lstm[:2], x, h, c),
            (0,),
        )
        for after, bias in ((True, floats(2, 9)), (False, floats(9))):
            yield (
                f"gru {reverse} {after}",
                lambda p, x, h, r=reverse, a=after: ops.gru(x, *p, h, reverse=r, reset_after=a),
                ([*gru, bias], x, h),
                (0,),
            )
            yield (
                f"gru without bias {reverse} {after}",
                lambda p, x, r=reverse, a=after: ops.gru(x, *p, reverse=r, reset_after=a),
                (gru, x),
                (0,),
            )
    relu = {"activation": ops.relu}
    yield "lstm relu", lambda p, x: ops.lstm(x, *p, **relu), (lstm, x), (0,)
    yield "gru relu", lambda p, x: ops.gru(x, *p, **relu), (gru, x), (0,)


LOWERINGS = {name: row for rows in (lowering_rows(), conv_rows()) for name, *row in rows}


@pytest.mark.parametrize("name", LOWERINGS)
def test_lowering_matches_reference_and_serves_any_batch(name):
    fun, args, constants = LOWERINGS[name]
    program = compiled(fun, constant_argnums=constants)
    fixed = on_openvino([args[i] for i in constants])
    for batch in (slice(None), slice(0, 2)):
        part = [a if i in constants else a[batch] for i, a in enumerate(args)]
        want = kf.tree.leaves(fun(*kf.tree.map(wide, part)))
        given = [fixed[constants.index(i)] if i in constants else on_openvino(a) for i, a in enumerate(part)]
        got = kf.tree.leaves(program(*given))
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            # The longest sum has 162 terms, and errors grow with the root of it.
            assert_close(g, w, ulps=8 * np.sqrt(162))
    assert program.compilations == 1


def test_fused_recurrence_is_used():
    """A lowering that always declined would pass every comparison."""
    _, args, _ = LOWERINGS["lstm False"]
    program = compiled(lambda p, x: ops.lstm(x, *p), constant_argnums=(0,))
    program(*on_openvino(args))
    ((_, programs),) = program._sets.values()
    (built,) = programs.values()
    nodes = built.compiled.get_runtime_model().get_ops()
    assert "RNNSeq" in {str(node.get_rt_info()["layerType"].get()) for node in nodes}


@pytest.mark.parametrize("traced", [False, True])
def test_random_bits_are_those_of_numpy(traced):
    def draw(key):
        return kf.random.split(key, 3), kf.random.uniform(key, (5, 3)), kf.random.bernoulli(key, 0.3, (7,))

    key = kf.random.key(3, backend="numpy")
    got = (kf.jit(draw) if traced else draw)(on_openvino(key))
    for g, w in zip(got, draw(key), strict=True):
        np.testing.assert_array_equal(kf.to_numpy(g), w)


def test_conv_with_traced_kernel():
    kernel, x = floats(3, 3, 2, 4), floats(3, 6, 6, 2)
    got = kf.jit(lambda k, x: ops.conv(x, k))(*on_openvino((kernel, x)))
    assert_close(got, ops.conv(x.astype(np.float64), kernel.astype(np.float64)), ulps=8 * np.sqrt(18))


# -- the compiler ------------------------------------------------------------------------------------------------------


def network(params, x):
    h = ops.relu(ops.linear(x, params["w"], params["b"]))
    return {"scores": ops.softmax(h), "params": params["b"], "batch": x.shape[0], "nothing": None}


def weights():
    return {"w": floats(3, 5), "b": floats(5)}


def test_constants_are_built_in_and_replaced():
    program = compiled(network, constant_argnums=(0,))
    first, second, x = weights(), weights(), floats(4, 3)
    ov_first, ov_second = on_openvino((first, second))
    for params, ov_params in ((first, ov_first), (second, ov_second), (first, ov_first)):
        out = program(ov_params, on_openvino(x))
        assert_close(out["scores"], network(kf.tree.map(wide, params), wide(x))["scores"], ulps=16)
        assert_close(out["params"], params["b"])
        assert out["batch"] is None and out["nothing"] is None
    assert program.compilations == 2


def test_constant_sets_are_forgotten():
    program = compiled(network, constant_argnums=(0,))
    for _ in range(7):
        params = weights()
        out = program(on_openvino(params), on_openvino(x23))
        gc.collect()
        assert_close(out["scores"], network(kf.tree.map(wide, params), wide(x23))["scores"], ulps=16)
    assert len(program._sets) == 4


def test_jit_counts_programs(monkeypatch):
    from kfunc.backends import openvino

    calls = []
    compile_graph = openvino.compile_graph
    monkeypatch.setattr(openvino, "compile_graph", lambda *args: calls.append(1) or compile_graph(*args))

    def run(x, factor=1, *, mode="up"):
        return x * factor if mode == "up" else x / factor

    jitted = kf.jit(run, static_argnames=("mode",))
    for n in (4, 2, 1, 4):
        assert_close(jitted(on_openvino(x23[:n])), x23[:n])
    assert len(calls) == 1
    assert_close(jitted(on_openvino(x23), 2), x23 * 2)
    assert_close(jitted(on_openvino(x23), on_openvino(np.float32(3))), x23 * 3)
    assert_close(jitted(on_openvino(x23), 2, mode="down"), x23 / 2)
    assert_close(jitted(on_openvino(x34)), x34)
    assert_close(jitted(on_openvino(ids)), ids)
    assert len(calls) == 6


def test_batch_size_in_code_falls_back_to_one_program_a_shape():
    program = compiled(lambda x: kf.namespace(x).sum(x, axis=0) / x.shape[0])
    for n in (4, 2, 4):
        assert_close(program(on_openvino(x23[:n])), x23[:n].astype(np.float64).mean(axis=0), ulps=16)
    assert program.compilations == 2


def test_results_own_their_data():
    program = compiled(lambda x: x + 1)
    first = program(on_openvino(x23))
    program(on_openvino(x23 * 5))
    assert_close(first, x23 + np.float32(1))


def test_jit_inside_jit_and_lazy_arguments():
    inner = kf.jit(lambda x: x * 2)
    x = on_openvino(x23) + 1
    assert_close(kf.jit(lambda x: inner(x) + 1)(x), (x23.astype(np.float64) + 1) * 2 + 1)


def test_threads():
    program = compiled(lambda w, x: ops.tanh(x @ w), constant_argnums=(0,))
    w = floats(64, 64)
    ov_w = on_openvino(w)
    inputs = [floats(n, 64) for n in (1, 2, 3, 4)]
    program(ov_w, on_openvino(inputs[0]))
    bad = []

    def work(x):
        want = np.tanh(x.astype(np.float64) @ w)
        for _ in range(20):
            got = kf.to_numpy(program(ov_w, on_openvino(x)))
            if not np.allclose(got, want, atol=1e-4):
                bad.append(x.shape)

    threads = [threading.Thread(target=work, args=(x,)) for x in inputs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad and program.compilations == 1


def test_precision_is_an_option():
    backend = kf.backends.get("openvino")
    program = compiled(lambda w, x: x @ w, constant_argnums=(0,))
    w, x = on_openvino((floats(64, 64), floats(8, 64)))
    exact = kf.to_numpy(program(w, x))
    try:
        backend.precision = "bf16"
        rough = kf.to_numpy(program(w, x))
    finally:
        del backend.precision
    assert backend.precision == "f32" and program.compilations == 2
    # bfloat16 keeps 8 bits, where the processor has it.
    np.testing.assert_allclose(rough, exact, atol=2.0**-8 * 64)


def test_scan_and_cond():
    def run(x, flag):
        carry, ys = kf.scan(lambda c, row: (c + row, c * row), kf.namespace(x).zeros_like(x[:, 0]), x.mT)
        return kf.cond(flag, lambda c: c, lambda c: -c, carry), ys

    x = floats(3, 4)
    for flag in (True, False):
        program = kf.jit(lambda x, flag: run(x, flag))
        got, ys = program(on_openvino(x), on_openvino(np.asarray(flag)))
        assert_close(got, x.astype(np.float64).sum(axis=1) * (1 if flag else -1))
        before = np.cumsum(x.astype(np.float64), axis=1) - x
        assert_close(ys, (before * x).T)
    with pytest.raises(ShapeError, match="length"):
        kf.backends.get("openvino").scan(lambda c, _: (c, c), on_openvino(x), None)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: kf.grad(lambda x: kf.namespace(x).sum(x))(x), UnsupportedError, r'model\.to\("openvino"\)'),
        (lambda x: kf.value_and_grad(lambda x: kf.namespace(x).sum(x))(x), UnsupportedError, "differentiation"),
        (lambda x: kf.vmap(lambda x: x)(x), UnsupportedError, "vmap"),
        (lambda x: kf.jit(lambda x: x if x[0, 0] > 0 else -x)(x), UnsupportedError, "branch"),
        (lambda x: kf.jit(lambda x: kf.to_numpy(x))(x), UnsupportedError, "not known yet"),
        (lambda x: kf.namespace(x).nonzero(x), UnsupportedError, "nonzero: the shape"),
        (lambda x: kf.namespace(x).unique_values(x), UnsupportedError, "unique_values"),
        (lambda x: kf.namespace(x).cumulative_prod(x), UnsupportedError, "cumulative_prod"),
        (lambda x: x[x > 0], UnsupportedError, "booleans"),
        (lambda x: kf.namespace(x).zeros((None, 3)), ShapeError, "zeros_like"),
        (lambda x: kf.namespace(x).reshape(x, (5, 5)), ShapeError, "reshape"),
        (lambda x: x @ x, ShapeError, "matmul"),
        (lambda x: x + x[:, :2], ShapeError, "add"),
        (lambda x: kf.namespace(x).sum(x, axis=2), ShapeError, "axis"),
        (lambda x: kf.asarray(x23, backend="openvino", device="GPU"), ArgumentError, "target"),
        (lambda x: kf.asarray(np.zeros(2, np.complex64), backend="openvino"), UnsupportedError, "complex64"),
        (lambda x: ops.linear(x, x23.T), MixedBackendsError, "openvino and numpy|numpy and openvino"),
        (lambda x: ops.conv(x[None, ...], on_openvino(floats(9, 3, 3))), ShapeError, "window is larger"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(on_openvino(x23))


def test_stop_gradient_is_the_identity():
    x = on_openvino(x23)
    assert kf.stop_gradient(x) is x
