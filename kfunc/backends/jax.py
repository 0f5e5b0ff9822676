"""JAX: its own namespace and transforms; lowerings for the windows that XLA has primitives for."""

from __future__ import annotations

import math

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np

from ..ops import average_pool, conv, embedding, max_pool, relu, sigmoid, split
from ..ops._op import lowering
from ..ops._windows import padding_amounts
from ..ops.bits import fold_bits, random_bits
from ..ops.conv import conv_geometry
from ..ops.pool import pool_geometry
from ..ops.quantile import normal_quantile
from . import Backend, Kind

__all__ = ["JaxBackend", "backend"]


class JaxBackend(Backend):
    name = "jax"
    compiles = True
    xp = jnp

    def kind(self, cls):
        return Kind(self) if issubclass(cls, jax.Array | jax.core.Tracer) else None

    def asarray(self, x, dtype=None, device=None):
        # A copy: on CPU, JAX may otherwise alias memory that the caller goes on to write to.
        return jnp.array(x, dtype=dtype, device=device)

    def to_numpy(self, x):
        return np.asarray(x)

    def device(self, x):
        # Only where somebody chose it: naming a device commits an array to it, and jit compiles anew for such arrays.
        return x.device if not isinstance(x, jax.core.Tracer) and x.committed else None

    def is_traced(self, x):
        return isinstance(x, jax.core.Tracer)

    def jit(self, fun, *, static_argnames=(), constant_argnums=()):
        return jax.jit(fun, static_argnames=static_argnames)

    def value_and_grad(self, fun, argnums=0, has_aux=False):
        return jax.value_and_grad(fun, argnums, has_aux)

    def stop_gradient(self, x):
        return jax.lax.stop_gradient(x)

    def vmap(self, fun, in_axes=0, out_axes=0):
        return jax.vmap(fun, in_axes, out_axes)

    def scan(self, fun, init, xs, length=None, reverse=False):
        return jax.lax.scan(fun, init, xs, length, reverse)

    def cond(self, pred, true_fun, false_fun, *operands):
        return jax.lax.cond(pred, true_fun, false_fun, *operands)

    def choose(self, pred, true_fun, false_fun):
        # A branch costs a fifth of a small step: XLA fuses nothing across it.
        return jax.tree.map(lambda a, b: jnp.where(pred, a, b), true_fun(), false_fun())


backend = JaxBackend()


@lowering(backend, relu)
def _relu(x):
    return jax.nn.relu(x)


@lowering(backend, sigmoid)
def _sigmoid(x):
    return jax.nn.sigmoid(x)


@lowering(backend, embedding)
def _embedding(indices, table):
    return jnp.take(table, indices, axis=0)


@lowering(backend, split)
def _split(x, sections, axis=-1):
    # The gradient of parts is one concatenation, that of slices a sum of padded arrays.
    return tuple(jnp.split(x, sections, axis))


_SPATIAL = "DHW"


def _layout(data_format, rank):
    spatial = _SPATIAL[-rank:]
    return f"N{spatial}C" if data_format == "channels_last" else f"NC{spatial}"


@lowering(backend, conv)
def _conv(x, kernel, strides=1, padding="valid", data_format="channels_last", dilation_rate=1, bias=None):
    if bias is not None:
        return NotImplemented
    strides, dilation, groups = conv_geometry(x, kernel, strides, padding, data_format, dilation_rate)
    layout = _layout(data_format, len(strides))
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding.upper(),
        rhs_dilation=dilation,
        dimension_numbers=(layout, _SPATIAL[-len(strides) :] + "IO", layout),
        feature_group_count=groups,
    )


def _reduce_windows(x, init, combine, window, strides, padding, data_format):
    around = ((1, *n, 1) if data_format == "channels_last" else (1, 1, *n) for n in (window, strides))
    return jax.lax.reduce_window(x, init, combine, *around, padding.upper())


@lowering(backend, max_pool)
def _max_pool(x, pool_size, strides=None, padding="valid", data_format="channels_last"):
    window, strides = pool_geometry(x, pool_size, strides, padding, data_format)
    if window == strides and math.prod(window) <= 16:
        # Comparing shifted views fuses; the gradient of reduce_window is select_and_scatter, many times slower on CPU.
        return NotImplemented
    return _reduce_windows(x, -jnp.inf, jax.lax.max, window, strides, padding, data_format)


@lowering(backend, average_pool)
def _average_pool(x, pool_size, strides=None, padding="valid", data_format="channels_last"):
    window, strides = pool_geometry(x, pool_size, strides, padding, data_format)
    total = _reduce_windows(x, 0.0, jax.lax.add, window, strides, padding, data_format)
    if padding == "valid":
        return total / math.prod(window)
    sizes = x.shape[1:-1] if data_format == "channels_last" else x.shape[2:]
    if not any(map(any, padding_amounts(sizes, window, strides, (1,) * len(window), padding))):
        return total / math.prod(window)
    counts = _reduce_windows(
        jnp.ones((1, *x.shape[1:]), x.dtype), 0.0, jax.lax.add, window, strides, padding, data_format
    )
    return total / counts


@lowering(backend, random_bits)
def _random_bits(key, shape, dtype="uint32"):
    with jax.threefry_partitionable(True):
        out = jax.random.bits(jax.random.wrap_key_data(key, impl="threefry2x32"), shape, jnp.uint32)
    return out if dtype == "uint32" else jax.lax.bitcast_convert_type(out, jnp.int32)


@lowering(backend, fold_bits)
def _fold_bits(key, data):
    lo = data.astype(jnp.uint32).reshape(-1)
    words = jax.extend.random.threefry_2x32(key, jnp.concatenate([jnp.zeros_like(lo), lo]))
    return words.reshape(2, *data.shape).transpose((*range(1, data.ndim + 1), 0))


@lowering(backend, normal_quantile)
def _normal_quantile(u):
    return jax.lax.erf_inv(u) * jnp.sqrt(jnp.asarray(2, u.dtype))
