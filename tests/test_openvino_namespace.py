"""OpenVINO's namespace against NumPy in float64, and what it says where there is a gap."""

from __future__ import annotations

import inspect
import math
import operator

import numpy as np
import pytest
from openvino_helpers import EPS, assert_close, compiled, floats, integers, names, on_openvino, wide, words
from test_spec_errors import BAD

import kfunc as kf
from kfunc.errors import ArgumentError, IndexingError, ShapeError, UnsupportedError

pytestmark = pytest.mark.openvino

x23, y23, x34 = floats(4, 3), floats(4, 3), floats(4, 3, 5)
unit, positive = np.tanh(floats(4, 3)), np.abs(floats(4, 3)) + 0.1
small = floats(4, 3) * 1e-4
finite = np.array([1, -1, 2, -2, 0, -0.0, 5, -5], np.float32)
infinite = np.array([np.inf, np.inf, -np.inf, -np.inf, -np.inf, np.inf, 2.5, -2.5], np.float32)
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
    "special remainder": (lambda xp, x, y: (x % y, (x * 0) % y, xp.signbit((x * 0) % y)), finite, infinite),
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
    "pow by an array": (lambda xp, x, i: (xp.pow(x, i), xp.pow(x, i * 9)), few, ids + 1),
    "searchsorted": (lambda xp, x, y: xp.searchsorted(xp.sort(x[:, 0]), y), i43, i43[:, ::-1] - np.int32(1)),
    "searchsorted right": (lambda xp, x, y: xp.searchsorted(xp.sort(x[:, 0]), y, side="right"), u43, u43[:, ::-1]),
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
    "cumulative_prod": (lambda xp, x: (xp.cumulative_prod(x, axis=1), xp.cumulative_prod(x, axis=-1)), x34),
    "cumulative_prod initial": (lambda xp, x: xp.cumulative_prod(x, axis=1, include_initial=True), x34),
    "cumulative_prod of integers": (lambda xp, x: xp.cumulative_prod(x, axis=1, dtype=xp.int32), i43),
    "cumulative_sum initial": (lambda xp, x: xp.cumulative_sum(x, axis=0, include_initial=True), x34),
    "argmax": (lambda xp, x: (xp.argmax(x, axis=-1), xp.argmax(x, axis=0, keepdims=True), xp.argmin(x)), x34),
    "sort": (lambda xp, x: (xp.sort(x), xp.argsort(x, axis=0)), x34),
    "searchsorted": (lambda xp, x: xp.searchsorted(xp.linspace(-1, 1, 9, dtype=xp.float32), x), x23),
    "matmul": (lambda xp, x, y: (x @ y.T, x[0, ...] @ y.T, x @ y[0, ...], x[0, ...] @ y[0, ...]), x23, y23),
    "matmul of stacks": (lambda xp, x: xp.matmul(x, xp.matrix_transpose(x)), x34),
    "tensordot": (lambda xp, x, y: (xp.tensordot(x, y, axes=((1,), (1,))), xp.tensordot(x, y, axes=2)), x23, y23),
    "vecdot": (lambda xp, x, y: xp.vecdot(x, y), x23, y23),
}
LINALG = {
    "outer": (lambda xp, x, y: xp.linalg.outer(x[:, 0], y[:, 1]), x23, y23),
    "cross": (lambda xp, x, y: (xp.linalg.cross(x, y), xp.linalg.cross(x[:1, :], y)), x23, y23),
    "cross along": (lambda xp, x: xp.linalg.cross(x, x[..., ::-1], axis=1), x34),
    "diagonal": (lambda xp, x: tuple(xp.linalg.diagonal(x, offset=k) for k in (0, 1, -2, 4)), x34),
    "trace": (lambda xp, x: (xp.linalg.trace(x), xp.linalg.trace(x, offset=-1)), x34),
    "trace of integers": (lambda xp, x: xp.linalg.trace(x, dtype=xp.int32), i43[:, :, None] ^ i43[:, None, :]),
    "inv": (lambda xp, x: xp.linalg.inv(x + 3 * xp.eye(3, dtype=xp.float32)), np.tanh(floats(4, 3, 3))),
    "solve": (lambda xp, x, y: xp.linalg.solve(x + 3 * xp.eye(3), y), np.tanh(floats(4, 3, 3)), floats(4, 3, 2)),
    "matrix_power": (lambda xp, x: tuple(xp.linalg.matrix_power(x, n) for n in (0, 1, 2, 5)), np.tanh(floats(4, 3, 3))),
    **{
        f"vector_norm {ord}": (lambda xp, x, ord=ord: xp.linalg.vector_norm(x, ord=ord, axis=(0, -1)), x34)
        for ord in (0, 1, 2, 3, 0.5, math.inf, -math.inf)
    },
    **{
        f"matrix_norm {ord}": (lambda xp, x, ord=ord: xp.linalg.matrix_norm(x, ord=ord, keepdims=True), x34)
        for ord in ("fro", 1, -1, math.inf, -math.inf)
    },
    "fftshift": (lambda xp, x: (xp.fft.fftshift(x, axes=(1, 2)), xp.fft.ifftshift(x, axes=1)), x34),
    "frequencies": (lambda xp, x: x[0, 0] + xp.fft.fftfreq(5, d=0.5) * 2 + xp.fft.rfftfreq(8), x23),
}
repeated = np.array([[2, np.nan, -0.0], [0, np.inf, 2], [np.nan, -np.inf, 0], [7, 7, np.inf]], np.float32)
DYNAMIC = {
    "nonzero": (lambda xp, x: xp.nonzero(x), few % 3),
    "nonzero of floats": (lambda xp, x: xp.nonzero(x), repeated),
    "nonzero of none": (lambda xp, x: xp.nonzero(x > 100), few),
    "unique_all": (lambda xp, x: tuple(xp.unique_all(x)), few),
    "unique_all of floats": (lambda xp, x: tuple(xp.unique_all(x)), repeated),
    "unique_all of bools": (lambda xp, x: tuple(xp.unique_all(x)), mask),
    "unique_counts": (lambda xp, x: tuple(xp.unique_counts(x ^ (x >> 1))), i43),
    "unique_counts unsigned": (lambda xp, x: tuple(xp.unique_counts(x)), u43),
    "unique_inverse": (lambda xp, x: tuple(xp.unique_inverse(x)), few),
    "unique_values": (lambda xp, x: xp.sort(xp.unique_values(x)) * 2, few),
    "mask": (lambda xp, x: (x[x > 0], x[x[..., 0] > 0], x[:, x[0, :, 0] > 0], x[..., x[0, 0, :] < 0]), x34),
    "mask beside": (lambda xp, x: (x[0, x[0, :, 0] > 0], x[x[:, 0, 0] > 0, 1:, 2]), x34),
    "mask of nothing": (lambda xp, x: x[x > 100], x34),
    "mask of no axes": (lambda xp, x: (x[x[0, 0] > 100], x[x[0, 0] < 100]), x23),
    "repeat by an array": (lambda xp, x, i: xp.repeat(x, i[0, :], axis=1), x34, ids),
    "repeat by a number": (lambda xp, x, i: xp.repeat(x, i[0, 0], axis=-1), x34, ids + 1),
}
TABLE = {
    f"{kind}: {name}": row
    for kind, rows in {
        **{"elementwise": ELEMENTWISE, "integer": INTEGERS, "shape": SHAPES, "reduce": REDUCTIONS},
        **{"linalg": LINALG, "dynamic": DYNAMIC},
    }.items()
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
    assert type(xp.finfo(x).max) is float and type(xp.iinfo(xp.int32).min) is int
    with pytest.raises(ArgumentError, match="astype"):
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
    with pytest.raises(UnsupportedError, match="assignment"):
        x[0, 0] = 1.0
    rows = kf.namespace(x).asarray([[x[0, 0], 1.0], [2.0, x[1, 1]]])
    np.testing.assert_array_equal(np.asarray(rows), [[x23[0, 0], 1], [2, x23[1, 1]]])
    with pytest.raises(TypeError):
        x + "x23"
    np.testing.assert_allclose((x + x23).numpy(), 2 * x23)  # a constant, see test_constants.py


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


def test_nextafter_is_exact():
    x = words(2000).view(np.float32)
    x = np.concatenate([x[np.abs(x) > 2.0**-125], special[special != 0], 2.0 ** np.arange(-120, 127)]).astype(
        np.float32
    )
    for y in (np.float32(np.inf), np.float32(-np.inf), np.float32(0), np.float32(np.nan)):
        got = compiled(lambda x, y: kf.namespace(x).nextafter(x, y))(*on_openvino((x, np.full_like(x, y))))
        np.testing.assert_array_equal(kf.to_numpy(got), np.nextafter(x, y))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_arrays_of_no_elements(shape):
    """The plugin divides by 0 on its way to them, so they are made without it."""
    x = np.zeros(shape, np.float32)
    for fun in (
        lambda xp, x: x + 1,
        lambda xp, x: xp.broadcast_to(x, (4, *shape)),
        lambda xp, x: (xp.sum(x), xp.prod(x, axis=0), xp.any(x > 0)),
        lambda xp, x: (xp.sort(x), xp.cumulative_sum(x, axis=-1), xp.argsort(x)),
        lambda xp, x: xp.nonzero(x),
        lambda xp, x: tuple(xp.unique_all(x)),
        lambda xp, x: x[x > 0],
        lambda xp, x: xp.concat([x, x]),
    ):
        got = kf.jit(lambda x, fun=fun: fun(kf.namespace(x), x))(on_openvino(x))
        for g, w in zip(kf.tree.leaves(got), kf.tree.leaves(fun(np, x)), strict=True):
            assert_close(g, w)
    assert np.isnan(float(kf.namespace(on_openvino(x)).mean(on_openvino(x))))


def test_scalars_keep_their_shape():
    """A broadcast from no axes to none crashes the plugin."""
    got = kf.jit(lambda x: (kf.namespace(x).zeros_like(x) + x, kf.namespace(x).broadcast_to(x, ())))
    assert [float(kf.to_numpy(g)) for g in got(on_openvino(np.float32(3)))] == [3, 3]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda xp, x: xp.linalg.det(x[:3, :]), UnsupportedError, "det: it has no operations"),
        (lambda xp, x: xp.linalg.svd(x, full_matrices=False), UnsupportedError, "svd"),
        (lambda xp, x: xp.linalg.matrix_norm(x, ord=2), UnsupportedError, "singular values"),
        (lambda xp, x: xp.fft.rfft(x), UnsupportedError, "rfft: it has no complex dtype"),
        (lambda xp, x: xp.cumulative_prod(x), ShapeError, "one axis"),
        (lambda xp, x: x[[0, 1], None], UnsupportedError, "None at once"),
        (lambda xp, x: xp.zeros((None, 3)), ShapeError, "zeros_like"),
        (lambda xp, x: xp.reshape(x, (5, 5)), ShapeError, "reshape"),
        (lambda xp, x: x @ x, ShapeError, "matmul"),
        (lambda xp, x: x + x[:, :2], ShapeError, "add"),
        (lambda xp, x: xp.sum(x, axis=2), ShapeError, "axis"),
        (lambda xp, x: xp.linalg.inv(x), ShapeError, "square"),
        (lambda xp, x: xp.linalg.cross(x[:, :2], x[:, :2]), ShapeError, "sizes of 3"),
        (lambda xp, x: x[4, 0], IndexingError, "out of range"),
        (lambda xp, x: x[0, 0, 0], IndexingError, "more indices"),
        (lambda xp, x: x[x[:, :2] > 0], IndexingError, "mask"),
        (lambda xp, x: x[x], ArgumentError, "integer"),
        (lambda xp, x: x[::0], ArgumentError, "step of 0"),
        (lambda xp, x: xp.bitwise_and(x, x), ArgumentError, "bitwise_and"),
        (lambda xp, x: xp.nonzero(x[0, 0]), ShapeError, "nonzero"),
    ],
)
def test_errors(call, error, message):
    x = on_openvino(x23)
    with pytest.raises(error, match=message):
        call(kf.namespace(x), x)


def test_every_gap_is_said():
    """The functions in the table of gaps are there, with the standard's arguments, and say what is missing."""
    from kfunc.backends.openvino.gaps import GAPS

    xp, spec = kf.backends.get("openvino").xp, kf.Spec(()).__array_namespace__()
    functions = [name for name in GAPS if " " not in name]
    assert len(functions) > 10
    for name in functions:
        theme = next(t for t in ("linalg", "fft") if hasattr(getattr(xp, t), name))
        fun = getattr(getattr(xp, theme), name)
        assert inspect.signature(fun) == inspect.signature(operator.attrgetter(f"{theme}.{name}")(spec))
        with pytest.raises(UnsupportedError, match=f"cannot do {name}: .*(\n.*)*2026.4.1"):
            fun(on_openvino(x23))


def on_arrays(x):
    """The arguments with arrays of ones for Specs."""
    return kf.tree.map(
        lambda a: kf.asarray(np.ones(a.shape, a.dtype), backend="openvino") if isinstance(a, kf.Spec) else a, x
    )


# OpenVINO lets more dtypes mix; of what does not fit otherwise, its errors are those of every backend.
SAID_ALIKE = [
    row
    for row in BAD
    if (row.values[1] is ShapeError or row.values[2] not in ("x", "x1 and x2"))
    and row.values[0] not in ("unstack", "asarray")  # of unknown sizes, and of what is no array
]


@pytest.mark.parametrize(("name", "error", "argument", "args", "kwargs"), SAID_ALIKE)
def test_errors_are_those_of_every_backend(name, error, argument, args, kwargs):
    find = operator.attrgetter(name)
    with pytest.raises(error) as expected:
        find(kf.Spec(()).__array_namespace__())(*args, **kwargs)
    from kfunc.backends.openvino.gaps import GAPS

    gap = name.rpartition(".")[2] in GAPS
    with pytest.raises(UnsupportedError if gap else error) as caught:
        find(kf.backends.get("openvino").xp)(*on_arrays(args), **kwargs)
    assert gap or str(caught.value) == str(expected.value)
