"""Sorting, the places of extremes, and searching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...tracing.spec.shapes import one_of
from ..standard import named
from .array import UINT32, Array, build, ints, opset
from .casting import astype, promote
from .dtypes import float32, int32, int64, is_float
from .elementwise import less, less_equal, ordered, unordered
from .indexing import take
from .manipulation import expand_dims, normal_axes, reshape, squeeze

__all__ = [
    "argmax",
    "argmin",
    "argsort",
    "searchsorted",
    "sort",
]


def top_k(x: Array, k: int | None, axis: int, mode: str) -> tuple[Array, Array]:
    """The `k` largest or smallest along `axis` (all for None), in order, and their places; the sort is stable."""
    (axis,) = normal_axes(x, axis)
    a = astype(x, int32) if x.dtype.itemsize < 4 else ordered(x)
    size = build(lambda n: opset.gather(opset.shape_of(n), opset.constant(np.int64(axis)), ints(0)), int64, x)
    count = size.node if k is None else opset.constant(np.int64(k))
    node = opset.topk(a.node, count, axis, mode, "value", stable=True)
    values = Array.of_node(node.output(0), a.dtype, x.traced)
    values = unordered(values, x.dtype) if x.dtype == UINT32 else astype(values, x.dtype)
    return values, Array.of_node(node.output(1), int32, x.traced)


def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    return top_k(x, None, axis, "max" if descending else "min")[0]


def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    return top_k(x, None, axis, "max" if descending else "min")[1]


def _arg(name: str, mode: str) -> Callable:
    def fun(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
        if axis is None:
            out = top_k(reshape(x, (-1,)), 1, 0, mode)[1]
            return reshape(out, (1,) * x.ndim if keepdims else ())
        out = top_k(x, 1, axis, mode)[1]
        return out if keepdims else squeeze(out, axis)

    return named(name, fun)


argmax: Callable[..., Any]
argmin: Callable[..., Any]
argmax, argmin = _arg("argmax", "max"), _arg("argmin", "min")


def searchsorted(x1: Array, x2: Array, /, *, side: str = "left", sorter: Array | None = None) -> Array:
    one_of("searchsorted", "side", side, ("left", "right"))
    x1, x2 = promote(take(x1, sorter) if sorter is not None else x1, x2)
    if is_float(x1) and 0 not in x1.shape:
        return build(opset.search_sorted, int32, x1, x2, right_mode=side == "right")
    # The plugin compares integers in float32. To count those that come before is exact.
    before = (less_equal if side == "right" else less)(x1, expand_dims(x2, axis=-1))
    return astype(build(opset.reduce_sum, float32, astype(before, float32), ints(-1), keep_dims=False), int32)
