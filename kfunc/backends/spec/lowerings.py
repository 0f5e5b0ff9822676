"""Shapes of the ops whose reference computes with sizes, which may be unknown."""

from __future__ import annotations

from ... import ops
from ...errors import ShapeError
from ...ops import bits, quantile
from ...ops._op import lowering
from ...ops._windows import window_shape
from ...ops.conv import conv_geometry
from ...ops.pool import pool_geometry
from . import Spec, backend
from . import namespace as xp

__all__: list[str] = []


def _windows(x, channels, window, strides, dilation, padding, data_format):
    """The shape after windows have gone over `x`."""
    if data_format == "channels_first":
        return (x.shape[0], channels, *window_shape(x.shape[2:], window, strides, dilation, padding))
    return (x.shape[0], *window_shape(x.shape[1:-1], window, strides, dilation, padding), channels)


@lowering(backend, ops.conv)
def _conv(x, kernel, strides=1, padding="valid", data_format="channels_last", dilation_rate=1, bias=None):
    if bias is not None:
        return NotImplemented
    strides, dilation, _ = conv_geometry(x, kernel, strides, padding, data_format, dilation_rate)
    window, filters = kernel.shape[:-2], kernel.shape[-1]
    shape = _windows(x, filters, window, strides, dilation, padding, data_format)
    return Spec(shape, xp.result_type(x, kernel))


def _pool(x, pool_size, strides=None, padding="valid", data_format="channels_last"):
    window, strides = pool_geometry(x, pool_size, strides, padding, data_format)
    channels = x.shape[-1 if data_format == "channels_last" else 1]
    return Spec(_windows(x, channels, window, strides, (1,) * len(window), padding, data_format), x.dtype)


lowering(backend, ops.max_pool)(_pool)
lowering(backend, ops.average_pool)(_pool)


@lowering(backend, ops.pad)
def _pad(x, pad_width, constant_values=0.0):
    if len(pad_width) != x.ndim:
        raise ShapeError(
            "pad needs a pair of counts for each axis.",
            argument="pad_width",
            expected=f"{x.ndim} pairs",
            got=pad_width,
        )
    sizes = zip(x.shape, pad_width, strict=True)
    return Spec([None if n is None else n + before + after for n, (before, after) in sizes], x.dtype)


@lowering(backend, ops.embedding)
def _embedding(indices, table):
    # Any number of sizes may be unknown here, where the reference reshapes and so allows one.
    return Spec((*indices.shape, table.shape[-1]), xp.take(table, xp.reshape(indices, (-1,)), axis=0).dtype)


@lowering(backend, ops.split_last)
def _split_last(x, sizes):
    return Spec((*x.shape[:-1], *xp.reshape(Spec(x.shape[-1:]), sizes).shape), x.dtype)


@lowering(backend, ops.join_last)
def _join_last(x):
    return Spec((*x.shape[:-2], Spec(x.shape[-2:]).size), x.dtype)


def _scores(query, key, mask):
    xp.matmul(query[..., 0, :], xp.matrix_transpose(key[..., 0, :]))  # checks the features and the batch
    scores = Spec((query.shape[0], query.shape[2], query.shape[1], key.shape[1]), query.dtype)
    return scores if mask is None else xp.where(mask, scores, scores)


@lowering(backend, ops.attention_scores)
def _attention_scores(query, key, mask=None, scale=None, is_causal=False):
    return _scores(query, key, mask)


@lowering(backend, ops.dot_product_attention)
def _dot_product_attention(query, key, value, mask=None, scale=None, is_causal=False):
    out = xp.matmul(_scores(query, key, mask), xp.permute_dims(value, (0, 2, 1, 3)))
    return xp.permute_dims(out, (0, 2, 1, 3))


@lowering(backend, bits.random_bits)
def _random_bits(key, shape, dtype="uint32"):
    return Spec(shape, dtype)


@lowering(backend, bits.fold_bits)
def _fold_bits(key, data):
    return Spec((*data.shape, 2), "uint32")


@lowering(backend, bits.random_integers)
def _random_integers(key, other, shape, minval, span):
    return Spec(shape, "int32")


@lowering(backend, quantile.normal_quantile)
def _normal_quantile(u):
    return u
