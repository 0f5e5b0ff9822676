"""TensorFlow's kernels for reductions by segment, and for the largest elements."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ... import ops
from ...ops._op import lowering
from .backend import backend

__all__: list[str] = []


def _lower(op, kernel):
    @lowering(backend, op)
    def segments(data, segment_ids, num_segments=None, sorted=False):
        if not (tf.is_tensor(data) and tf.is_tensor(segment_ids)) or num_segments is None or segment_ids.ndim != 1:
            return NotImplemented
        if data.dtype not in (tf.float32, tf.float64, tf.int32, tf.int64) or not segment_ids.dtype.is_integer:
            return NotImplemented
        if None not in (data.shape[0], segment_ids.shape[0]) and data.shape[0] != segment_ids.shape[0]:
            return NotImplemented
        # TensorFlow raises for numbers that are too large, and leaves out negative ones.
        ids = tf.where(segment_ids < num_segments, segment_ids, -1)
        return kernel(data, ids, num_segments)


def _infinite_where_empty(kernel, infinity):
    """A maximum or minimum by `kernel`, which is finite for an empty segment; ours is infinite there."""

    def fill(data, ids, size):
        out = kernel(data, ids, size)
        if not data.dtype.is_floating:
            return out
        rows = tf.math.unsorted_segment_sum(tf.ones_like(ids), ids, size)
        empty = tf.reshape(rows == 0, [-1] + [1] * (len(data.shape) - 1))
        return tf.where(empty, tf.constant(infinity, data.dtype), out)

    return fill


_lower(ops.segment_sum, tf.math.unsorted_segment_sum)
_lower(ops.segment_prod, tf.math.unsorted_segment_prod)
_lower(ops.segment_max, _infinite_where_empty(tf.math.unsorted_segment_max, -float("inf")))
_lower(ops.segment_min, _infinite_where_empty(tf.math.unsorted_segment_min, float("inf")))


@lowering(backend, ops.top_k)
def top_k(x: Any, k: Any, sorted: bool = True) -> Any:
    if not tf.is_tensor(x) or x.dtype not in (tf.float32, tf.float64, tf.int32, tf.int64):
        return NotImplemented
    if len(x.shape) == 0 or x.shape[-1] is None or not 0 <= k <= x.shape[-1]:
        return NotImplemented
    return tuple(tf.math.top_k(x, k, sorted))
