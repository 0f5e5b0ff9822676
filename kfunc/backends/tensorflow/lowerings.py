"""What TensorFlow does better than the references. Each function takes and returns bare tensors."""

from __future__ import annotations

import concurrent.futures
import functools

import tensorflow as tf

from ... import ops
from ...ops._op import lowering
from ...ops.conv import conv_geometry
from ...ops.pool import pool_geometry
from .array import Array, matmul
from .backend import backend

FORMATS = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


def _lower(op):
    return lowering(backend, op)


def _floating(x) -> bool:
    return x.dtype.is_floating


# -- linear ------------------------------------------------------------------------------------------------------------


@_lower(ops.linear)
def linear(x, kernel, bias=None):
    if not x.dtype == kernel.dtype == (kernel if bias is None else bias).dtype:
        return NotImplemented
    out = matmul(x, kernel)
    return out if bias is None else out + bias


@_lower(ops.embedding)
def embedding(indices, table):
    return tf.gather(table, indices) if indices.dtype in (tf.int32, tf.int64) else NotImplemented


# -- activations -------------------------------------------------------------------------------------------------------


def _activation(op, kernel):
    @_lower(op)
    def activation(x, *args, **kwargs):
        return kernel(x, *args, **kwargs) if _floating(x) else NotImplemented


_activation(ops.relu, tf.nn.relu)
_activation(ops.sigmoid, tf.sigmoid)
_activation(ops.tanh, tf.tanh)
_activation(ops.silu, tf.nn.silu)
_activation(ops.softplus, tf.math.softplus)
_activation(ops.erf, tf.math.erf)
_activation(ops.softmax, lambda x, axis=-1: tf.nn.softmax(x, axis))
_activation(ops.log_softmax, lambda x, axis=-1: tf.nn.log_softmax(x, axis))
_activation(ops.logsumexp, lambda x, axis=-1, keepdims=False: tf.reduce_logsumexp(x, axis, keepdims))


@_lower(ops.gelu)
def gelu(x, approximate=True):
    # TensorFlow's constants are float32.
    return tf.nn.gelu(x, approximate) if _floating(x) and x.dtype.size <= 4 else NotImplemented


@_lower(ops.leaky_relu)
def leaky_relu(x, negative_slope=0.2):
    # TensorFlow's slope is float32.
    return tf.nn.leaky_relu(x, negative_slope) if _floating(x) and x.dtype.size <= 4 else NotImplemented


@_lower(ops.label_crossentropy)
def label_crossentropy(logits, labels, axis=-1):
    if (
        not _floating(logits)
        or labels.dtype not in (tf.int32, tf.int64)
        or axis % logits.shape.rank != logits.shape.rank - 1
    ):
        return NotImplemented
    # The kernel raises where a label is out of range.
    valid = (labels >= 0) & (labels < tf.cast(tf.shape(logits)[-1], labels.dtype))
    labels = tf.where(valid, labels, tf.zeros([], labels.dtype))
    values = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.where(valid, values, tf.constant(float("nan"), logits.dtype))


@_lower(ops.elu)
def elu(x, alpha=1.0):
    if not _floating(x):
        return NotImplemented
    out = tf.nn.elu(x)
    return out if alpha == 1 else tf.where(x > 0, out, alpha * out)


# -- windows -----------------------------------------------------------------------------------------------------------


def _channels_last(kernel):
    """`kernel(x, ...)` of channels-last data for either format: on the CPU, TensorFlow knows no other."""

    def run(x, *args, data_format, **kwargs):
        if data_format == "channels_last":
            return kernel(x, *args, **kwargs)
        n = x.shape.rank
        out = kernel(tf.transpose(x, [0, *range(2, n), 1]), *args, **kwargs)
        return tf.transpose(out, [0, n - 1, *range(1, n - 1)])

    return run


@_lower(ops.conv)
def conv(x, kernel, strides=1, padding="valid", data_format="channels_last", dilation_rate=1, bias=None):
    if bias is not None:
        return NotImplemented
    strides, dilation, groups = conv_geometry(Array(x), Array(kernel), strides, padding, data_format, dilation_rate)
    if len(strides) > 3 or x.dtype != kernel.dtype or not _floating(x):
        return NotImplemented
    return _convolve(x, kernel, groups, strides, padding.upper(), dilation, data_format=data_format)


@_channels_last
def _convolve(x, kernel, groups, strides, padding, dilation):
    rank = len(strides)

    def convolve(x, kernel):
        # Named, because the gradient of the three-dimensional one asks for it.
        layout = {"data_format": FORMATS[rank]}
        return tf.nn.convolution(x, kernel, strides=strides, padding=padding, dilations=dilation, **layout)

    if groups == 1:
        return convolve(x, kernel)
    if kernel.shape[-2] == 1 and rank < 3 and len(set(strides)) == 1:
        return _depthwise(x, kernel, groups, strides, padding, dilation)
    if _groups_train(rank, x.dtype):
        return convolve(x, kernel)
    parts = zip(tf.split(x, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
    return tf.concat([convolve(a, b) for a, b in parts], axis=-1)


def _depthwise(x, kernel, groups, strides, padding, dilation):
    """Convolution of each channel by itself, along one axis or two."""
    if len(strides) == 1:
        out = _depthwise(x[:, None], kernel[None], groups, strides * 2, padding, dilation * 2)
        return tf.squeeze(out, 1)
    kernel = tf.reshape(kernel, (*kernel.shape[:2], groups, kernel.shape[-1] // groups))
    return tf.nn.depthwise_conv2d(x, kernel, (1, *strides, 1), padding, dilations=dilation)


@functools.cache
def _groups_train(rank: int, dtype: tf.DType) -> bool:
    """Whether TensorFlow has kernels for grouped convolution and its gradient here: builds for the CPU differ."""

    def attempt():
        x, kernel = tf.ones((1, *(3,) * rank, 4), dtype), tf.ones((*(2,) * rank, 2, 4), dtype)
        try:
            with tf.GradientTape() as tape:
                tape.watch((x, kernel))
                out = tf.nn.convolution(x, kernel, data_format=FORMATS[rank])
            tape.gradient(out, (x, kernel))
        except tf.errors.OpError:
            return False
        return True

    # In a thread of its own, outside whatever graph or tape is being recorded.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(attempt).result()


def _pooling(op, kernel):
    @_lower(op)
    def pool(x, pool_size, strides=None, padding="valid", data_format="channels_last"):
        window, strides = pool_geometry(Array(x), pool_size, strides, padding, data_format)
        if len(window) > 3 or not _floating(x):
            return NotImplemented
        if len(window) == 3 and x.dtype not in (tf.float32, tf.bfloat16):
            return NotImplemented  # the CPU has no kernels for the others
        return run(x, window, strides, padding.upper(), data_format=data_format)

    run = _channels_last(lambda x, window, strides, padding: kernel(x, window, strides, padding, FORMATS[len(window)]))


_pooling(ops.max_pool, tf.nn.max_pool)
_pooling(ops.average_pool, tf.nn.avg_pool)


# -- the rest ----------------------------------------------------------------------------------------------------------


@_lower(ops.pad)
def pad(x, pad_width, constant_values=0.0):
    return tf.pad(x, pad_width, constant_values=tf.cast(constant_values, x.dtype))


@_lower(ops.split)
def split(x, sections, axis=-1):
    return tuple(tf.split(x, sections, axis))


@_lower(ops.one_hot)
def one_hot(x, num_classes, dtype="float32"):
    if x.dtype not in (tf.uint8, tf.int8, tf.int32, tf.int64):
        return NotImplemented
    return tf.one_hot(x, num_classes, dtype=tf.as_dtype(dtype))


@_lower(ops.normalize_batch)
def normalize_batch(x, offset=None, scale=None, axis=-1, epsilon=1e-3):
    if x.dtype != tf.float32 or axis % x.shape.rank != x.shape.rank - 1:
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
def moments(x, axes, keepdims=False):
    # Not tf.nn.moments, which stops the gradient at the mean: right once, wrong for second derivatives.
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, keepdims)
    return (mean if keepdims else tf.squeeze(mean, axes)), variance
