"""JAX: convolution and pooling by XLA's primitives; and ops of networks, compiled for calls outside of `jit`."""

from __future__ import annotations

import functools
import inspect
import math

import jax
import jax.numpy as jnp

from ... import ops
from ...ops._op import lowering
from ...ops._windows import padding_amounts, spatial_sizes
from ...ops.conv import conv_geometry, transposed_geometry
from ...ops.pool import pool_geometry
from .backend import backend

__all__: list[str] = []


# -- convolution -------------------------------------------------------------------------------------------------------

_SPATIAL = "DHW"


def _convolve(x, kernel, data_format, kernel_axes, **options):
    spatial = _SPATIAL[3 - (x.ndim - 2) :]
    layout = f"NC{spatial}" if data_format == "channels_first" else f"N{spatial}C"
    return jax.lax.conv_general_dilated(x, kernel, dimension_numbers=(layout, spatial + kernel_axes, layout), **options)


def _fits(x, kernel):
    return x.ndim <= 5 and x.dtype == kernel.dtype and jnp.issubdtype(x.dtype, jnp.floating)


_conv_by_views = jax.jit(ops.conv.reference, static_argnums=(2, 3, 4, 5))


@lowering(backend, ops.conv)
def _conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1, bias=None):
    if bias is not None or not _fits(inputs, kernel):
        return NotImplemented
    strides, dilation, groups = conv_geometry(inputs, kernel, strides, padding, data_format, dilation_rate)
    if groups > 1 and kernel.shape[-2] == 1 and jax.default_backend() == "cpu":
        # There, XLA's own convolution is thirty times slower than the reference, whose products and sums fuse.
        return _conv_by_views(inputs, kernel, strides, padding, data_format, dilation)
    sizes = spatial_sizes(inputs, data_format)
    return _convolve(
        inputs,
        kernel,
        data_format,
        "IO",
        window_strides=strides,
        padding=padding_amounts(sizes, kernel.shape[:-2], strides, dilation, padding),
        rhs_dilation=dilation,
        feature_group_count=groups,
    )


@lowering(backend, ops.conv_transpose)
def _conv_transpose(
    inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1, bias=None
):
    if bias is not None or not _fits(inputs, kernel):
        return NotImplemented
    strides, dilation, crops = transposed_geometry(
        inputs, kernel, strides, padding, output_padding, data_format, dilation_rate
    )
    window = kernel.shape[:-2]
    return _convolve(
        inputs,
        jnp.flip(kernel, tuple(range(len(window)))),
        data_format,
        "OI",
        window_strides=(1,) * len(window),
        padding=[((k - 1) * d - a, (k - 1) * d - b) for k, d, (a, b) in zip(window, dilation, crops, strict=True)],
        lhs_dilation=strides,
        rhs_dilation=dilation,
    )


# -- pooling -----------------------------------------------------------------------------------------------------------


def _reduce_windows(x, init, combine, window, strides, padding, data_format):
    around = ((1, 1, *n) if data_format == "channels_first" else (1, *n, 1) for n in (window, strides))
    return jax.lax.reduce_window(x, init, combine, *around, padding.upper())


_max_by_views = jax.jit(ops.max_pool.reference, static_argnums=(1, 2, 3, 4))
_average_by_views = jax.jit(ops.average_pool.reference, static_argnums=(1, 2, 3, 4))


@lowering(backend, ops.max_pool)
def _max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    if not _fits(inputs, inputs):
        return NotImplemented
    window, strides = pool_geometry(inputs, pool_size, strides, padding, data_format)
    if window == strides and math.prod(window) <= 16:
        # Comparing shifted views fuses; the gradient of reduce_window is select_and_scatter, many times slower on CPU.
        return _max_by_views(inputs, window, strides, padding, data_format)
    return _reduce_windows(inputs, -jnp.inf, jax.lax.max, window, strides, padding, data_format)


@lowering(backend, ops.average_pool)
def _average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    if not _fits(inputs, inputs) or inputs.dtype.itemsize == 2:
        return NotImplemented
    window, strides = pool_geometry(inputs, pool_size, strides, padding, data_format)
    if min(strides) > 1 and math.prod(window) <= 64 and jax.default_backend() == "cpu":
        # Sums of shifted views fuse, and take half the time; but with strides of 1 their gradients take longer.
        return _average_by_views(inputs, window, strides, padding, data_format)
    total = _reduce_windows(inputs, 0.0, jax.lax.add, window, strides, padding, data_format)
    sizes = spatial_sizes(inputs, data_format)
    if not any(map(any, padding_amounts(sizes, window, strides, (1,) * len(window), padding))):
        return total / math.prod(window)
    inside = jnp.ones((1, *inputs.shape[1:]), inputs.dtype)
    return total / _reduce_windows(inside, 0.0, jax.lax.add, window, strides, padding, data_format)


# -- the rest ----------------------------------------------------------------------------------------------------------


@lowering(backend, ops.relu)
def _relu(x):
    return jax.nn.relu(x)


@lowering(backend, ops.sigmoid)
def _sigmoid(x):
    return jax.nn.sigmoid(x) if jnp.issubdtype(x.dtype, jnp.floating) else NotImplemented


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _mean_and_variance(x, axes, keepdims):
    return ops.moments.reference(x, axes, keepdims)


@_mean_and_variance.defjvp
def _(axes, keepdims, primals, tangents):
    # The deviations from the mean add up to 0. JAX does not know that; using it saves one pass over `x`.
    (x,), (dx,) = primals, tangents
    mean, variance = _mean_and_variance(x, axes, True)
    moved = jnp.mean(dx, axes, keepdims=keepdims), 2 * jnp.mean((x - mean) * dx, axes, keepdims=keepdims)
    return ((mean, variance) if keepdims else (jnp.squeeze(mean, axes), jnp.squeeze(variance, axes))), moved


_moments_at_once = jax.jit(_mean_and_variance, static_argnums=(1, 2))


@lowering(backend, ops.moments)
def _moments(x, axes, keepdims=False):
    if x.dtype not in (jnp.float32, jnp.float64):
        return NotImplemented
    return _moments_at_once(x, axes if isinstance(axes, int) else tuple(axes), keepdims)


_ARRAYS = {
    *("x", "x1", "x2", "inputs", "mean", "variance", "offset", "scale", "gamma", "beta"),
    *("query", "key", "value", "bias", "mask", "target", "output", "target_length", "output_length"),
    *("logits", "labels", "sequence_lengths"),
}


def _compiled(op):
    """Lower `op` to its compiled reference: outside of `jit`, each of its operations would be dispatched by itself.

    It is compiled once for each shape. Inside `jit` it is traced like any function.
    """
    parameters = inspect.signature(op.reference).parameters
    run = jax.jit(op.reference, static_argnames=[name for name in parameters if name not in _ARRAYS])

    @lowering(backend, op)
    @functools.wraps(op.reference)
    def lowered(*args, **kwargs):
        values = (*args, *kwargs.values())
        if any(isinstance(v, jax.core.Tracer | list) for v in values):
            return NotImplemented
        return run(*args, **kwargs)


for _op in (
    *(ops.celu, ops.elu, ops.gelu, ops.glu, ops.hard_shrink, ops.hard_sigmoid, ops.hard_silu, ops.hard_tanh),
    *(ops.leaky_relu, ops.log_sigmoid, ops.log_softmax, ops.relu6, ops.selu, ops.silu, ops.soft_shrink),
    *(ops.softmax, ops.softplus, ops.softsign, ops.sparse_plus, ops.sparse_sigmoid, ops.sparsemax, ops.squareplus),
    *(ops.tanh_shrink, ops.threshold, ops.adaptive_average_pool, ops.adaptive_max_pool, ops.unfold, ops.fold),
    *(ops.attention_scores, ops.dot_product_attention, ops.batch_normalization, ops.layer_normalization),
    *(ops.rms_normalization, ops.group_normalization, ops.normalize, ops.normalize_batch),
    *(ops.binary_crossentropy, ops.categorical_crossentropy, ops.sparse_categorical_crossentropy),
    *(ops.label_crossentropy, ops.psnr, ops.ctc_loss, ops.ctc_decode, ops.depth_to_space, ops.space_to_depth),
):
    _compiled(_op)
