"""Functions whose results have shapes that depend on values: distinct elements, and `repeat`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ShapeError
from .. import results
from ..composed import unique_counts, unique_inverse, unique_values
from .array import Array, build, opset
from .casting import astype, make, where
from .creation import full_like, zeros_like
from .dtypes import int32, is_float
from .elementwise import isnan
from .indexing import nonzero, take
from .manipulation import broadcast_to, concat, normal_axes, reshape, reshape_like
from .reductions import cumulative_sum
from .sorting import argsort, searchsorted

__all__ = ["repeat", "unique_all", "unique_counts", "unique_inverse", "unique_values"]


def repeat(x: Array, repeats: Any, /, *, axis: int | None = None) -> Array:
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    (axis,) = normal_axes(x, axis)
    size = x.shape[axis]
    if size is None:
        raise ShapeError(
            "`repeat` needs a known size.",
            argument="axis",
            expected="an axis whose size is known",
            got=x.shape,
            fix="use tile, or expand_dims and broadcast_to",
        )
    if not isinstance(repeats, Array) or repeats.is_concrete:
        counts = repeats.numpy() if isinstance(repeats, Array) else repeats
        return take(x, make(np.repeat(np.arange(size), counts)), axis=axis)
    if not size:
        return x
    ends = cumulative_sum(broadcast_to(astype(repeats, int32), (size,)))
    places = build(lambda end: opset.range(opset.constant(0), end, opset.constant(1), "i32"), int32, ends[-1])
    return take(x, searchsorted(ends, places, side="right"), axis=axis)


def unique_all(x: Array, /) -> results.UniqueAll:
    """Sorted, each element is a new value where it differs from the one before."""
    if 0 in x.shape:
        none = Array.concrete(np.zeros(0, int32))
        return results.UniqueAll(astype(none, x.dtype), none, zeros_like(x, dtype=int32), none)
    flat = reshape(x, (-1,))
    if is_float(flat):
        # NaN has no place in the order. Each is a value of its own, and they come last.
        order = argsort(where(isnan(flat), full_like(flat, math.inf), flat))
        order = take(order, argsort(isnan(take(flat, order))))
    else:
        order = argsort(flat)
    values = take(flat, order)
    first = cumulative_sum(full_like(values, 1, dtype=int32)) == 1  # this is right for no elements, too
    new = first | (values != concat([values[:1], values[:-1]]))
    (starts,) = nonzero(new)
    size = build(opset.shape_of, int32, flat, output_type="i32")
    groups = cumulative_sum(astype(new, int32)) - 1
    return results.UniqueAll(
        take(values, starts),
        take(order, starts),
        reshape_like(take(groups, argsort(order)), x),
        concat([starts[1:], size]) - starts,
    )
