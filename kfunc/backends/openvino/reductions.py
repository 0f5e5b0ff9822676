"""Functions that make one number of the elements along some axes, and running sums."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..standard import named
from .array import Array, build, ints, missing, opset
from .casting import astype, floats, where
from .creation import full_like, ones_like, zeros_like
from .dtypes import BOOL, int32, is_float, uint32
from .elementwise import isnan, maximum, sqrt
from .manipulation import concat, normal_axes, squeeze
from .sorting import top_k

__all__ = [
    "all",
    "any",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]


def _reduce(op: Callable, x: Array, axis: Any, keepdims: bool, dtype: np.dtype | None = None) -> Array:
    axes = normal_axes(x, axis)
    return build(op, dtype or x.dtype, x, ints(*axes), keep_dims=keepdims) if axes else x


def _one_axis_at_a_time(fun: Callable, x: Array, axis: Any, keepdims: bool) -> Array:
    axes = normal_axes(x, axis)
    for a in axes:
        x = fun(x, a)
    return x if keepdims else squeeze(x, axes)


def _sum_dtype(dtype: np.dtype) -> np.dtype:
    """Sums of small integers are in the default integer dtype of the same sign."""
    return dtype if dtype.kind == "f" or dtype.itemsize >= 4 else uint32 if dtype.kind == "u" else int32


def sum(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Array:
    x = astype(x, dtype or _sum_dtype(x.dtype))
    if is_float(x) or 0 in x.shape:
        return _reduce(opset.reduce_sum, x, axis, keepdims)
    # The plugin adds integers up as float32; its running sum is exact.
    return _one_axis_at_a_time(lambda x, a: _last(cumulative_sum(x, axis=a), a), x, axis, keepdims)


def _last(x: Array, axis: int) -> Array:
    return x[(slice(None),) * axis + (slice(-1, None),)]


def prod(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Array:
    return _reduce(opset.reduce_prod, astype(x, dtype or _sum_dtype(x.dtype)), axis, keepdims)


def mean(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
    (x,) = floats(x)
    return _reduce(opset.reduce_mean, x, axis, keepdims)


def var(x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    (x,) = floats(x)
    centred = x - mean(x, axis=axis, keepdims=True)
    total = sum(centred * centred, axis=axis, keepdims=keepdims)
    sizes = [x.shape[a] for a in normal_axes(x, axis)]
    if None not in sizes:
        return total / builtins.max(math.prod(sizes) - correction, 0.0)
    return total / maximum(sum(ones_like(x), axis=axis, keepdims=keepdims) - correction, 0.0)


def std(x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    return sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def _extreme(name: str, op: Callable, mode: str, end: float) -> Callable:
    def fun(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
        if not is_float(x):
            return _one_axis_at_a_time(lambda x, a: top_k(x, 1, a, mode)[0], x, axis, keepdims)
        # The plugin's own overlooks NaN, and starts from the last finite number, not from infinity.
        rank = where(isnan(x), 2.0, where(x == end, 0.0, ones_like(x)))
        rank = _reduce(opset.reduce_max, rank, axis, keepdims)
        out = _reduce(op, x, axis, keepdims)
        return where(rank == 2, full_like(out, math.nan), where(rank == 0, full_like(out, end), out))

    return named(name, fun)


max, min = _extreme("max", opset.reduce_max, "max", -math.inf), _extreme("min", opset.reduce_min, "min", math.inf)


def _bool_reduction(name: str, op: Callable) -> Callable:
    def fun(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
        return _reduce(op, astype(x, BOOL), axis, keepdims)

    return named(name, fun)


all = _bool_reduction("all", opset.reduce_logical_and)
any = _bool_reduction("any", opset.reduce_logical_or)


def count_nonzero(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
    return sum(astype(x != 0, int32), axis=axis, keepdims=keepdims)


def cumulative_sum(x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
    (axis,) = normal_axes(x, axis)
    x = astype(x, dtype or _sum_dtype(x.dtype))
    out = build(lambda node: opset.cum_sum(node, opset.constant(np.int64(axis))), x.dtype, x)
    if not include_initial:
        return out
    return concat([zeros_like(x[(slice(None),) * axis + (slice(0, 1),)]), out], axis=axis)


cumulative_prod = missing("cumulative_prod", "no operation of its opset expresses it")


def diff(
    x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None
) -> Array:
    (axis,) = normal_axes(x, axis)
    x = concat([p for p in (prepend, x, append) if p is not None], axis=axis)
    before = (slice(None),) * axis
    for _ in range(n):
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x
