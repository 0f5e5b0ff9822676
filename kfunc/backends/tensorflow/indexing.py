"""Elements by their position, and positions by the element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from .array import Array, dense, dims, operands, raw
from .array import reshape as reshape_tensor
from .axes import from_last, normal_axes, normal_axis, to_last
from .creation import asarray
from .dtypes import int32, int64, uint32

__all__ = [
    "argmax",
    "argmin",
    "count_nonzero",
    "nonzero",
    "searchsorted",
    "take",
    "take_along_axis",
]


def _inside(indices: tf.Tensor, size: Any) -> tf.Tensor:
    """`indices` of a dtype that TensorFlow gathers by, with negative ones counted from the end."""
    indices = tf.cast(indices, int64 if indices.dtype.size == 8 or indices.dtype is uint32 else int32)
    return tf.where(indices < 0, indices + tf.cast(size, indices.dtype), indices)


def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Array:
    """Elements of `x` at the one-dimensional `indices` along `axis`."""
    x = raw(x)
    if axis is None:
        if x.shape.rank != 1:
            raise ValueError("take needs axis= unless the array has one axis.")
        axis = 0
    axis = normal_axis(axis, x.shape.rank)
    return Array(tf.gather(dense(x), _inside(raw(asarray(indices)), dims(x)[axis]), axis=axis))


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Array:
    """For each position of `indices` (the shape of `x` but for `axis`), the element of `x` that it points at."""
    x, indices = raw(x), raw(indices)
    axis = normal_axis(axis, x.shape.rank)
    indices = _inside(indices, dims(x)[axis])
    ours, theirs = list(dims(x)), list(dims(indices))
    # The axes other than `axis` may broadcast.
    for i in range(x.shape.rank):
        if i != axis and x.shape[i] != indices.shape[i]:
            n = tf.broadcast_dynamic_shape(tf.expand_dims(ours[i], 0), tf.expand_dims(theirs[i], 0))[0]
            ours[i] = theirs[i] = n
    x = x if ours == list(x.shape) else tf.broadcast_to(x, ours)
    indices = indices if theirs == list(indices.shape) else tf.broadcast_to(indices, theirs)
    last = x.shape.rank - 1
    x, indices = to_last(x, axis), to_last(indices, axis)
    return Array(from_last(tf.gather(dense(x), indices, batch_dims=last, axis=last), axis))


def _arg(plain: Callable) -> Callable:
    def kernel(x, axis, output_type):
        out = plain(x, axis, output_type=output_type)
        if not x.dtype.is_floating:
            return out
        # The first NaN is the extreme, as on other backends; TensorFlow's kernel passes over NaN.
        nan = tf.math.is_nan(x)
        return tf.where(tf.reduce_any(nan, axis), tf.argmax(tf.cast(nan, tf.int8), axis, output_type=output_type), out)

    def function(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
        x = raw(x)
        n = x.shape.rank
        if axis is None:
            out = kernel(tf.reshape(x, (-1,)), axis=0, output_type=int64)
            return Array(tf.reshape(out, (1,) * n) if keepdims else out)
        out = kernel(x, axis=normal_axis(axis, n), output_type=int64)
        return Array(tf.expand_dims(out, normal_axis(axis, n)) if keepdims else out)

    return function


argmax: Callable[..., Any]
argmin: Callable[..., Any]
argmax, argmin = _arg(tf.argmax), _arg(tf.argmin)


def nonzero(x: Any, /) -> tuple[Array, ...]:
    """Positions of the elements that are not zero, an array for each axis."""
    x = raw(x)
    if not x.shape.rank:
        raise ValueError("nonzero needs an array of one axis at least.")
    return tuple(map(Array, tf.unstack(tf.where(x != tf.zeros([], x.dtype)), num=x.shape.rank, axis=1)))


def count_nonzero(x: Any, /, *, axis: int | tuple[Any, ...] | None = None, keepdims: bool = False) -> Array:
    x = raw(x)
    hits = tf.cast(x != tf.zeros([], x.dtype), int64)
    return Array(tf.reduce_sum(hits, normal_axes(axis, x.shape.rank), keepdims))


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Array:
    """Where in the sorted (n,) array `x1` the elements of `x2` would go."""
    x1, x2 = operands(x1, x2)
    if sorter is not None:
        x1 = tf.gather(x1, raw(sorter))
    found = tf.searchsorted(x1, tf.reshape(x2, (-1,)), side=side, out_type=int64)
    return Array(reshape_tensor(found, dims(x2)))
