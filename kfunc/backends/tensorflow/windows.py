"""The convolutions and poolings that TensorFlow has kernels for. Each function takes and returns bare tensors."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
from typing import Any

import tensorflow as tf

from ... import ops
from ...ops._op import lowering
from ...ops.conv import conv_geometry, transposed_geometry
from ...ops.pool import adaptive_sizes, pool_geometry
from ...tracing.spec import Spec
from .array import Array
from .backend import backend

FORMATS = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


def _remembered(geometry):
    """`geometry` as a function of shapes, computed once: it takes as long as the kernel of a small layer."""

    @functools.lru_cache(maxsize=4096, typed=True)
    def of_shapes(*args):
        return geometry(*(Spec(a) if isinstance(a, tf.TensorShape) else a for a in args))

    def of_tensors(*args):
        return of_shapes(*(tuple(a) if isinstance(a, list) else a for a in args))

    return of_tensors


_conv_geometry = _remembered(conv_geometry)
_pool_geometry = _remembered(pool_geometry)


# -- convolution -------------------------------------------------------------------------------------------------------


def _channels_last(kernel):
    """`kernel(x, ...)`, which takes channels-last data, for both formats: the CPU has no other kernels."""

    def run(x, *args, data_format, **kwargs):
        if data_format != "channels_first":
            return kernel(x, *args, **kwargs)
        n = x.shape.rank
        out = kernel(tf.transpose(x, [0, *range(2, n), 1]), *args, **kwargs)
        return tf.transpose(out, [0, n - 1, *range(1, n - 1)])

    return run


@lowering(backend, ops.conv)
def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
    bias: Any = None,
) -> Any:
    if bias is not None or inputs.dtype != kernel.dtype or not inputs.dtype.is_floating:
        return NotImplemented
    strides, dilation, groups = _conv_geometry(inputs.shape, kernel.shape, strides, padding, data_format, dilation_rate)
    if len(strides) > 3 or 0 in inputs.shape:  # without images, kernels fail or give a wrong shape
        return NotImplemented
    if max(strides) > 1 and max(dilation) > 1:  # TensorFlow refuses both, and its depthwise kernel has wrong sizes
        return NotImplemented
    return _convolve(inputs, kernel, groups, strides, padding, dilation, data_format=data_format)


@_channels_last
def _convolve(x, kernel, groups, strides, padding, dilation):
    rank = len(strides)
    if padding == "causal":
        before = [((k - 1) * d, 0) for k, d in zip(kernel.shape[:-2], dilation, strict=True)]
        x, padding = tf.pad(x, [(0, 0), *before, (0, 0)]), "valid"
    padding = padding.upper()

    def convolve(x, kernel):
        # The layout is given, because the gradient of the three-dimensional convolution needs it.
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
    """Convolution of each channel by itself, along one or two axes."""
    if len(strides) == 1:
        out = _depthwise(x[:, None], kernel[None], groups, strides * 2, padding, dilation * 2)
        return tf.squeeze(out, 1)
    kernel = tf.reshape(kernel, (*kernel.shape[:2], groups, kernel.shape[-1] // groups))
    return tf.nn.depthwise_conv2d(x, kernel, (1, *strides, 1), padding, dilations=dilation)


@functools.cache
def _groups_train(rank: int, dtype: tf.DType) -> bool:
    """Whether this TensorFlow has kernels for grouped convolution and its gradient: builds for the CPU differ."""

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

    # In another thread, since a graph or a tape may be recording in this one.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(attempt).result()


@lowering(backend, ops.conv_transpose)
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: Any = None,
    dilation_rate: Any = 1,
    bias: Any = None,
) -> Any:
    if not (output_padding is bias is None) or inputs.dtype != kernel.dtype or not inputs.dtype.is_floating:
        return NotImplemented
    strides, dilation, crops = transposed_geometry(
        Array(inputs), Array(kernel), strides, padding, None, data_format, dilation_rate
    )
    if len(strides) > 3 or max(dilation) > 1 or None in kernel.shape or 0 in inputs.shape:
        return NotImplemented
    return _transposed(inputs, kernel, strides, padding.upper(), crops, data_format=data_format)


@_channels_last
def _transposed(x, kernel, strides, padding, crops):
    batch, *sizes, _ = x.shape if x.shape.is_fully_defined() else tf.unstack(tf.shape(x))
    steps = zip(sizes, kernel.shape, strides, crops, strict=False)
    shape = [batch, *((n - 1) * s + k - a - b for n, k, s, (a, b) in steps), kernel.shape[-2]]
    return tf.nn.conv_transpose(x, kernel, tf.stack(shape), strides, padding, FORMATS[len(strides)])


# -- pooling -----------------------------------------------------------------------------------------------------------


def _pooling(op, kernel, plane):
    """`kernel`; for two axes `plane`, the bare operation: the Python of `kernel` takes as long as a small layer."""

    @lowering(backend, op)
    def pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
        window, strides = _pool_geometry(inputs.shape, pool_size, strides, padding, data_format)
        if len(window) > 3 or not inputs.dtype.is_floating or 0 in inputs.shape.as_list()[1:]:
            return NotImplemented  # the gradient of the kernel refuses images of no channels
        if inputs.dtype.size == 2 and (op is ops.average_pool or inputs.dtype == tf.float16):
            return NotImplemented  # sums lose digits, and the CPU has no kernel for three axes of float16
        if len(window) == 3 and inputs.dtype == tf.float64:
            return NotImplemented  # the CPU has no kernel
        return run(inputs, window, strides, padding.upper(), data_format=data_format)

    @_channels_last
    def run(x, window, strides, padding):
        if len(window) == 2:
            return plane(x, ksize=(1, *window, 1), strides=(1, *strides, 1), padding=padding)
        return kernel(x, window, strides, padding, FORMATS[len(window)])


_pooling(ops.max_pool, tf.nn.max_pool, lambda x, **options: tf.raw_ops.MaxPool(input=x, **options))
_pooling(ops.average_pool, tf.nn.avg_pool, lambda x, **options: tf.raw_ops.AvgPool(value=x, **options))


@lowering(backend, ops.adaptive_average_pool)
def adaptive_average_pool(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
    if inputs.dtype not in (tf.float32, tf.float64) or not all(inputs.shape[1:]):
        return NotImplemented
    x, first = inputs, 2 if data_format == "channels_first" else 1
    for axis, n in enumerate(adaptive_sizes(Spec(tuple(x.shape), x.dtype.name), output_size, data_format), first):
        size = x.shape[axis]
        windows = [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        # A split, whose gradient is one concatenation. Windows overlap, so the gradient of a slice for each of them
        # would be as large as the input each time.
        edges = sorted({edge for window in windows for edge in window})
        parts = tf.split(x, [b - a for a, b in itertools.pairwise(edges)], axis)
        sums = {edge: tf.reduce_sum(part, axis, keepdims=True) for edge, part in zip(edges, parts, strict=False)}
        x = tf.concat([tf.add_n([s for e, s in sums.items() if a <= e < b]) / (b - a) for a, b in windows], axis)
    return x
