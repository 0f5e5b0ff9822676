"""Shapes of the ops whose reference computes with sizes, which may be unknown."""

from __future__ import annotations

from ... import ops
from ...arrays import dtype_name
from ...ops import bits, normal
from ...ops._op import lowering
from ...ops._promotion import floating, promote
from ...ops._windows import window_shape
from ...ops.attention import check_attention
from ...ops.conv import conv_geometry, transposed_geometry
from ...ops.manipulation import pad_pairs, viewed_shape
from ...ops.pool import adaptive_sizes, pool_geometry
from . import Spec, backend, segments  # noqa: F401
from . import namespace as xp

__all__: list[str] = []


def _around(x, sizes, channels, data_format):
    """The shape of images of spatial `sizes` in the format of `x`."""
    return (x.shape[0], channels, *sizes) if data_format == "channels_first" else (x.shape[0], *sizes, channels)


def _windows(x, channels, window, strides, dilation, padding, data_format):
    """The shape after windows have gone over `x`."""
    sizes = x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]
    return _around(x, window_shape(sizes, window, strides, dilation, padding), channels, data_format)


@lowering(backend, ops.conv)
def _conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1, bias=None):
    if bias is not None:
        return NotImplemented
    x, kernel = promote(inputs, kernel, least="f")
    strides, dilation, _ = conv_geometry(x, kernel, strides, padding, data_format, dilation_rate)
    window, filters = kernel.shape[:-2], kernel.shape[-1]
    return Spec(_windows(x, filters, window, strides, dilation, padding, data_format), x.dtype)


@lowering(backend, ops.conv_transpose)
def _conv_transpose(
    inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1, bias=None
):
    if bias is not None:
        return NotImplemented
    x, kernel = promote(inputs, kernel, least="f")
    strides, dilation, crops = transposed_geometry(
        x, kernel, strides, padding, output_padding, data_format, dilation_rate
    )
    sizes = x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]
    steps = zip(sizes, kernel.shape, strides, dilation, crops, strict=False)
    out = (None if n is None else (n - 1) * s + (k - 1) * d + 1 - a - b for n, k, s, d, (a, b) in steps)
    return Spec(_around(x, out, kernel.shape[-2], data_format), x.dtype)


def _pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    x = floating(inputs)
    window, strides = pool_geometry(x, pool_size, strides, padding, data_format)
    channels = x.shape[1 if data_format == "channels_first" else -1]
    return Spec(_windows(x, channels, window, strides, (1,) * len(window), padding, data_format), x.dtype)


lowering(backend, ops.max_pool)(_pool)
lowering(backend, ops.average_pool)(_pool)


def _adaptive_pool(inputs, output_size, data_format=None):
    x = floating(inputs)
    sizes = adaptive_sizes(x, output_size, data_format)
    return Spec(_around(x, sizes, x.shape[1 if data_format == "channels_first" else -1], data_format), x.dtype)


lowering(backend, ops.adaptive_max_pool)(_adaptive_pool)
lowering(backend, ops.adaptive_average_pool)(_adaptive_pool)


@lowering(backend, ops.pad)
def _pad(x, pad_width, mode="constant", constant_values=None):
    if mode != "constant" and None not in x.shape:
        return NotImplemented
    sizes = zip(x.shape, pad_pairs(pad_width, x.ndim), strict=True)
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


@lowering(backend, ops.split_first)
def _split_first(x, like):
    return Spec((*like.shape[:2], *x.shape[1:]), x.dtype)


@lowering(backend, ops.attention_scores)
def _attention_scores(query, key, bias=None, mask=None, scale=None, is_causal=False, attn_logits_soft_cap=None):
    query, key = promote(query, key, least="f")
    check_attention(query, key)
    xp.matmul(query[..., 0, :], xp.matrix_transpose(key[..., 0, :]))  # checks the features and the batch
    scores = Spec((query.shape[0], query.shape[2], query.shape[1], key.shape[1]), query.dtype)
    scores = scores if bias is None else scores + xp.astype(bias, scores.dtype)
    return scores if mask is None else xp.where(mask, scores, scores)


@lowering(backend, ops.dot_product_attention)
def _dot_product_attention(
    query, key, value, bias=None, mask=None, scale=None, is_causal=False, attn_logits_soft_cap=None
):
    query, key, value = promote(query, key, value, least="f")
    check_attention(query, key, value)
    scores = _attention_scores(query, key, bias, mask)
    heads = Spec((value.shape[0], scores.shape[1], value.shape[1], value.shape[3]), value.dtype)
    return xp.permute_dims(xp.matmul(scores, heads), (0, 2, 1, 3))


@lowering(backend, bits.random_bits)
def _random_bits(key, shape, dtype="uint32"):
    return Spec(shape, dtype)


@lowering(backend, bits.fold_bits)
def _fold_bits(key, data, dtype="uint32"):
    return Spec((*data.shape, 2), dtype)


@lowering(backend, bits.random_mask)
def _random_mask(key, shape, probability):
    return Spec(shape, "bool")


@lowering(backend, bits.random_integers)
def _random_integers(key, other, shape, minval, span):
    return Spec(shape, "int32")


@lowering(backend, normal.normal_quantile)
def _normal_quantile(u):
    return u


@lowering(backend, ops.eig)
def _eig(x):
    dtype = "complex128" if x.dtype == xp.float64 else "complex64"
    return Spec(x.shape[:-1], dtype), Spec(x.shape, dtype)


@lowering(backend, ops.view)
def _view(x, dtype=None):
    name = dtype_name(x.dtype if dtype is None else dtype)
    return Spec(viewed_shape(x, name), name)


@lowering(backend, ops.split)
def _split(x, indices_or_sections, axis=0):
    if not isinstance(indices_or_sections, int) or not -x.ndim <= axis < x.ndim or x.shape[axis] is not None:
        return NotImplemented
    return [x] * indices_or_sections
