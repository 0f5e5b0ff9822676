"""Ops that TensorFlow does faster than the references. Each function takes and returns bare tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from ... import ops
from ...ops._op import lowering
from ...ops.manipulation import pad_pairs
from .array import dense, dims, matmul, reshape
from .backend import backend


def _lower(op):
    return lowering(backend, op)


def _floating(x) -> bool:
    return x.dtype.is_floating


# -- linear ------------------------------------------------------------------------------------------------------------


@_lower(ops.linear)
def linear(x: Any, kernel: Any, bias: Any = None) -> Any:
    if not x.dtype == kernel.dtype == (kernel if bias is None else bias).dtype:
        return NotImplemented
    out = matmul(x, kernel)
    return out if bias is None else out + bias


@_lower(ops.split_first)
def split_first(x: Any, like: Any) -> Any:
    out = tf.reshape(x, tf.concat([tf.shape(like)[:2], tf.shape(x)[1:]], 0))
    return tf.ensure_shape(out, [*like.shape[:2], *x.shape[1:]])


@_lower(ops.split_last)
def split_last(x: Any, sizes: Any) -> Any:
    *lead, last = dims(x)
    # Only one size may be -1, and a leading one may be unknown, too.
    return reshape(x, (*lead, *(last // -math.prod(sizes) if n == -1 else n for n in sizes)))


@_lower(ops.join_last)
def join_last(x: Any) -> Any:
    *lead, a, b = dims(x)
    return reshape(x, (*lead, a * b))


@_lower(ops.embedding)
def embedding(indices: Any, table: Any) -> Any:
    return tf.gather(dense(table), indices) if indices.dtype in (tf.int32, tf.int64) else NotImplemented


# -- activations -------------------------------------------------------------------------------------------------------


def _activation(op, kernel):
    @_lower(op)
    def activation(x, *args, **kwargs):
        return kernel(x, *args, **kwargs) if _floating(x) else NotImplemented


_activation(ops.relu, tf.nn.relu)
_activation(ops.relu6, tf.nn.relu6)
_activation(ops.sigmoid, tf.sigmoid)
_activation(ops.softplus, tf.math.softplus)
_activation(ops.log_sigmoid, tf.math.log_sigmoid)
_activation(ops.erf, tf.math.erf)


def _sums(x) -> bool:
    """Whether `x` has a dtype in which sums lose no digits: TensorFlow's kernels add up half precision as it is."""
    return _floating(x) and x.dtype.size > 2


@_lower(ops.logsumexp)
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_logsumexp(x, axis, keepdims) if _sums(x) else NotImplemented


def _along_axis(op, kernel):
    @_lower(op)
    def activation(x, axis=-1):
        return kernel(x, axis) if isinstance(axis, int) and _sums(x) else NotImplemented


_along_axis(ops.softmax, tf.nn.softmax)
_along_axis(ops.log_softmax, tf.nn.log_softmax)


@_lower(ops.leaky_relu)
def leaky_relu(x: Any, negative_slope: Any = 0.2) -> Any:
    # TensorFlow takes the slope as float32.
    return tf.nn.leaky_relu(x, negative_slope) if _floating(x) and x.dtype.size <= 4 else NotImplemented


@_lower(ops.elu)
def elu(x: Any, alpha: Any = 1.0) -> Any:
    if not _floating(x):
        return NotImplemented
    out = tf.nn.elu(x)
    return out if alpha == 1 else tf.where(x > 0, out, alpha * out)


@_lower(ops.gelu)
def gelu(x: Any, approximate: bool = True) -> Any:
    if not _sums(x) or not approximate:
        return NotImplemented
    # (1 + tanh(u)) / 2 is sigmoid(2 u), which takes two thirds of the passes, and of those of its gradient.
    factor = math.sqrt(8 / math.pi)
    return x * tf.sigmoid(x * (factor + 0.044715 * factor * tf.square(x)))


@_lower(ops.label_crossentropy)
def label_crossentropy(logits: Any, labels: Any, axis: Any = -1) -> Any:
    # The gradient of the reference takes twice the time of the kernel's eagerly, and half of it in a tf.function.
    if (
        not tf.executing_eagerly()
        or not _sums(logits)
        or labels.dtype not in (tf.int32, tf.int64)
        or axis % logits.shape.rank != logits.shape.rank - 1
    ):
        return NotImplemented
    # The kernel raises where a label is out of range.
    valid = (labels >= 0) & (labels < tf.cast(tf.shape(logits)[-1], labels.dtype))
    labels = tf.where(valid, labels, tf.zeros([], labels.dtype))
    values = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.where(valid, values, tf.constant(float("nan"), logits.dtype))


# -- the rest ----------------------------------------------------------------------------------------------------------


@_lower(ops.pad)
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    if mode != "constant":
        return NotImplemented
    # By NumPy, since TensorFlow makes float32 of Python's floats.
    value = tf.cast(np.asarray(0 if constant_values is None else constant_values), x.dtype)
    return tf.pad(x, pad_pairs(pad_width, x.shape.rank), constant_values=value)


@_lower(ops.image.counts_below)
def counts_below(levels: Any, bins: Any) -> Any:
    channels = levels.shape[2]
    if channels is None:
        return NotImplemented
    rows = tf.reshape(tf.transpose(levels, (0, 2, 1)), (-1, tf.shape(levels)[1]))
    counts = tf.math.bincount(rows, minlength=bins, maxlength=bins, axis=-1, dtype=tf.int32)
    return tf.transpose(tf.reshape(tf.cumsum(counts, axis=1), (-1, channels, bins)), (0, 2, 1))


@_lower(ops.split)
def split(x: Any, indices_or_sections: Any, axis: Any = 0) -> Any:
    return tf.split(x, indices_or_sections, axis) if isinstance(indices_or_sections, int) else NotImplemented


@_lower(ops.one_hot)
def one_hot(x: Any, num_classes: Any, axis: Any = -1, dtype: Any = None) -> Any:
    wanted = tf.as_dtype(dtype or "float32")
    if not tf.is_tensor(x) or x.dtype not in (tf.uint8, tf.int8, tf.int32, tf.int64) or wanted == tf.bool:
        return NotImplemented
    return tf.one_hot(x, num_classes, axis=axis, dtype=wanted)


@_lower(ops.normalize_batch)
def normalize_batch(x: Any, offset: Any = None, scale: Any = None, axis: Any = -1, epsilon: Any = 1e-3) -> Any:
    if x.dtype != tf.float32 or axis % x.shape.rank != x.shape.rank - 1 or 0 in x.shape:
        return NotImplemented
    features = x.shape[-1]
    rows = tf.reshape(x, (-1, 1, 1, features))
    out, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=rows,
        scale=tf.ones(features) if scale is None else scale,
        offset=tf.zeros(features) if offset is None else offset,
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        epsilon=epsilon,
        is_training=True,
    )
    # The kernel gives the unbiased variance.
    count = tf.cast(tf.shape(rows)[0], tf.float32)
    variance = tf.stop_gradient(variance) * ((count - 1) / count)
    return tf.reshape(out, tf.shape(x)), tf.stop_gradient(mean), variance


@_lower(ops.moments)
def moments(x: Any, axes: Any, keepdims: bool = False) -> Any:
    if x.dtype not in (tf.float32, tf.float64):
        return NotImplemented
    # Not tf.nn.moments: it stops the gradient at the mean, so that second derivatives are wrong.
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, keepdims)
    return (mean if keepdims else tf.squeeze(mean, axes)), variance
