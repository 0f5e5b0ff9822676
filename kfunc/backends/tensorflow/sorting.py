"""Sorting, and distinct elements."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from .. import results
from ..composed import unique_counts, unique_inverse, unique_values
from .array import Array, cast, raw
from .axes import normal_axis
from .dtypes import int16, int32, int64
from .indexing import take_along_axis

__all__ = [
    "argsort",
    "sort",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


def _sort_key(x: tf.Tensor) -> tf.Tensor:
    """Integers in the order of the floating numbers `x`: zeros are equal, and NaN comes last (not so in TensorFlow)."""
    if not x.dtype.is_floating:
        return cast(x, int32) if x.dtype.is_bool else x
    x = tf.where(tf.math.is_nan(x), tf.constant(math.nan, x.dtype), tf.where(x == 0, tf.zeros_like(x), x))
    bits = tf.bitcast(x, {2: int16, 4: int32, 8: int64}[x.dtype.size])
    return tf.where(bits < 0, tf.bitwise.bitwise_xor(bits, tf.constant(bits.dtype.max, bits.dtype)), bits)


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The indices that sort `x` along `axis`; equal elements keep their order, NaN counts as the largest number."""
    key = _sort_key(raw(x))
    direction = "DESCENDING" if descending else "ASCENDING"
    return Array(
        tf.cast(tf.argsort(key, axis=normal_axis(axis, key.shape.rank), direction=direction, stable=True), int64)
    )


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """`x` in order along `axis`, NaN counting as the largest number."""
    return take_along_axis(x, argsort(x, axis=axis, descending=descending), axis=axis)


def unique_all(x: Any, /) -> results.UniqueAll:
    """The distinct elements in order, the first index of each, the place of each element among them, and the counts."""
    x = raw(x)
    flat = tf.reshape(x, (-1,))
    order = argsort(Array(flat)).tensor
    ordered = tf.gather(flat, order)
    # Each NaN is an element of its own, since no NaN equals another.
    new = tf.concat([tf.ones_like(ordered[:1], tf.bool), ordered[1:] != ordered[:-1]], 0)
    starts = tf.where(new)[:, 0]
    group = tf.cumsum(tf.cast(new, int64)) - 1
    inverse = tf.tensor_scatter_nd_update(tf.zeros_like(order), order[:, None], group)
    ends = tf.concat([starts[1:], tf.shape(flat, out_type=int64)], 0)
    counts = (ends - starts)[: tf.shape(starts)[0]]
    values = tf.gather(ordered, starts), tf.gather(order, starts), tf.reshape(inverse, tf.shape(x)), counts
    return results.UniqueAll(*map(Array, values))
