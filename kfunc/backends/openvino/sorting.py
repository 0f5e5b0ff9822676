"""Order: sorting, where the extremes are, searching; and sets, of which there are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..standard import named
from .array import UINT32, Array, build, cannot, ints, missing, opset
from .casting import astype, promote
from .dtypes import int32, int64, is_float
from .elementwise import ordered, unordered
from .indexing import take
from .manipulation import normal_axes, reshape, squeeze

__all__ = [
    "argmax",
    "argmin",
    "argsort",
    "nonzero",
    "searchsorted",
    "sort",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


def top_k(x: Array, k: int | None, axis: int, mode: str) -> tuple[Array, Array]:
    """The `k` largest or smallest along `axis` (all with None), in order, and their places; equals keep theirs."""
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


argmax, argmin = _arg("argmax", "max"), _arg("argmin", "min")


def searchsorted(x1: Array, x2: Array, /, *, side: str = "left", sorter: Array | None = None) -> Array:
    x1, x2 = promote(take(x1, sorter) if sorter is not None else x1, x2)
    if not is_float(x1):
        raise cannot("searchsorted", "integers are compared as float32")
    return build(opset.search_sorted, int32, x1, x2, right_mode=side == "right")


_DATA_DEPENDENT = "the shape of its result depends on values"


nonzero, unique_all, unique_counts, unique_inverse, unique_values = (
    missing(name, _DATA_DEPENDENT)
    for name in ("nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values")
)
