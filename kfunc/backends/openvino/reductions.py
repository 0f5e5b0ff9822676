"""Reductions along axes, and running sums."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ShapeError
from .. import composed
from ..composed import diff, std
from ..standard import named
from .array import Array, build, ints, opset
from .casting import astype, floats, where
from .creation import full_like, ones_like, zeros, zeros_like
from .dtypes import BOOL, int32, is_float, uint32
from .elementwise import isnan, maximum
from .gaps import cannot
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
    # The plugin adds up integers in float32; its running sum of integers is exact.
    return _one_axis_at_a_time(lambda x, a: _last(cumulative_sum(x, axis=a), a), x, axis, keepdims)


def _last(x: Array, axis: int) -> Array:
    return x[(slice(None),) * axis + (slice(-1, None),)]


def prod(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Array:
    return _reduce(opset.reduce_prod, astype(x, dtype or _sum_dtype(x.dtype)), axis, keepdims)


def mean(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
    (x,) = floats(x)
    if 0 in x.shape:
        return sum(x, axis=axis, keepdims=keepdims) * math.nan  # the plugin gives 0
    return _reduce(opset.reduce_mean, x, axis, keepdims)


def var(x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    (x,) = floats(x)
    centred = x - mean(x, axis=axis, keepdims=True)
    total = sum(centred * centred, axis=axis, keepdims=keepdims)
    sizes = [x.shape[a] for a in normal_axes(x, axis)]
    if None not in sizes:
        return total / builtins.max(math.prod(sizes) - correction, 0.0)
    return total / maximum(sum(ones_like(x), axis=axis, keepdims=keepdims) - correction, 0.0)


def _extreme(name: str, op: Callable, mode: str, end: float) -> Callable:
    def fun(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
        if not is_float(x):
            return _one_axis_at_a_time(lambda x, a: top_k(x, 1, a, mode)[0], x, axis, keepdims)
        # The plugin's maximum ignores NaN, and starts from the lowest finite number, not from infinity.
        rank = where(isnan(x), 2.0, where(x == end, 0.0, ones_like(x)))
        rank = _reduce(opset.reduce_max, rank, axis, keepdims)
        out = _reduce(op, x, axis, keepdims)
        return where(rank == 2, full_like(out, math.nan), where(rank == 0, full_like(out, end), out))

    return named(name, fun)


max: Callable[..., Any]
min: Callable[..., Any]
max, min = _extreme("max", opset.reduce_max, "max", -math.inf), _extreme("min", opset.reduce_min, "min", math.inf)


def _bool_reduction(name: str, op: Callable) -> Callable:
    def fun(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
        return _reduce(op, astype(x, BOOL), axis, keepdims)

    return named(name, fun)


all: Callable[..., Any] = _bool_reduction("all", opset.reduce_logical_and)
any: Callable[..., Any] = _bool_reduction("any", opset.reduce_logical_or)


def count_nonzero(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
    return sum(astype(x != 0, int32), axis=axis, keepdims=keepdims)


def cumulative_sum(x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
    (axis,) = _running_axis("cumulative_sum", x, axis)
    x = astype(x, dtype or _sum_dtype(x.dtype))
    out = build(lambda node: opset.cum_sum(node, opset.constant(np.int64(axis))), x.dtype, x)
    return _with_initial(out, axis, zeros_like) if include_initial else out


def cumulative_prod(x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
    (axis,) = _running_axis("cumulative_prod", x, axis)
    x = astype(x, dtype or _sum_dtype(x.dtype))
    if x.shape[axis] is None:
        raise cannot("cumulative_prod along an unknown size")
    out = composed.cumulative_prod(x, axis=axis)
    return _with_initial(out, axis, ones_like) if include_initial else out


def _running_axis(name: str, x: Array, axis: int | None) -> tuple[int, ...]:
    if axis is None and x.ndim != 1:
        raise ShapeError(
            f"{name}: the shape does not fit.",
            argument="x",
            expected="one axis, or axis=",
            got=x.shape,
            fix="say which axis: axis=-1",
        )
    return normal_axes(x, axis)


def _with_initial(x: Array, axis: int, like: Callable) -> Array:
    """`x` with one more element before it along `axis`, of zeros or ones."""
    sizes = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    first = x[(slice(None),) * axis + (slice(0, 1),)] if None in sizes else zeros(sizes, dtype=x.dtype)
    return concat([like(first), x], axis=axis)
