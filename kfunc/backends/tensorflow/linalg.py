"""The Array API standard's linear algebra extension for TensorFlow."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from .. import results
from . import elementwise
from .array import Array, cast, dims, operands, raw
from .axes import from_last, normal_axes, normal_axis, to_last
from .dtypes import finfo, int32, int64
from .manipulation import broadcast_arrays, matrix_transpose
from .reductions import sum as total

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


matmul = elementwise.matmul


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Array:
    x, y = operands(x1, x2)
    wide = cast(x, int64), cast(y, int64)
    small = x.dtype.is_integer and x.dtype not in (int32, int64)
    return Array(cast(tf.tensordot(*(wide if small else (x, y)), axes), x.dtype))


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """`sum(conj(x1) * x2)` along `axis`, the others broadcasting."""
    x, y = operands(x1, x2)
    if axis >= 0:
        x, y = to_last(x, normal_axis(axis, x.shape.rank)), to_last(y, normal_axis(axis, y.shape.rank))
        axis = -1
    if x.shape[axis] != y.shape[axis] and None not in (x.shape[axis], y.shape[axis]):
        raise ValueError(f"vecdot: shapes {tuple(x.shape)} and {tuple(y.shape)} differ along axis {axis}.")
    return Array(tf.reduce_sum((tf.math.conj(x) if x.dtype.is_complex else x) * y, axis))


def _adjoint(x):
    return tf.linalg.matrix_transpose(x, conjugate=True)


def qr(x, /, *, mode="reduced"):
    return results.QR(*map(Array, tf.linalg.qr(raw(x), full_matrices=mode == "complete")))


def svd(x, /, *, full_matrices=True):
    s, u, v = tf.linalg.svd(raw(x), full_matrices=full_matrices)
    return results.SVD(Array(u), Array(s), Array(_adjoint(v)))


def svdvals(x, /):
    return Array(tf.linalg.svd(raw(x), compute_uv=False))


def eigh(x, /):
    values, vectors = tf.linalg.eigh(raw(x))
    return results.Eigh(Array(tf.math.real(values)), Array(vectors))


def eigvalsh(x, /):
    return Array(tf.math.real(tf.linalg.eigvalsh(raw(x))))


def cholesky(x, /, *, upper=False):
    lower = tf.linalg.cholesky(raw(x))
    return Array(_adjoint(lower) if upper else lower)


def solve(x1, x2, /):
    a, b = operands(x1, x2)
    if b.shape.rank == 1:
        return Array(tf.linalg.solve(a, tf.broadcast_to(b[:, None], (*dims(a)[:-1], 1)))[..., 0])
    lead = tf.broadcast_dynamic_shape(tf.shape(a)[:-2], tf.shape(b)[:-2])
    a, b = (tf.broadcast_to(t, tf.concat([lead, tf.shape(t)[-2:]], 0)) for t in (a, b))
    return Array(tf.linalg.solve(a, b))


def slogdet(x, /):
    sign, logarithm = tf.linalg.slogdet(raw(x))
    return results.Slogdet(Array(sign), Array(tf.math.real(logarithm)))


def matrix_norm(x, /, *, keepdims=False, ord="fro"):
    x = raw(x)
    if ord == "fro":
        out = tf.sqrt(tf.reduce_sum(tf.square(tf.abs(x)), (-2, -1), keepdims=True))
    elif ord in (1, -1, math.inf, -math.inf):
        totals = tf.reduce_sum(tf.abs(x), -2 if ord in (1, -1) else -1, keepdims=True)
        out = (tf.reduce_max if ord > 0 else tf.reduce_min)(totals, (-2, -1), keepdims=True)
    elif ord in (2, -2, "nuc"):
        values = tf.linalg.svd(x, compute_uv=False)[..., None]
        fold = {2: tf.reduce_max, -2: tf.reduce_min, "nuc": tf.reduce_sum}[ord]
        out = fold(values, (-2, -1), keepdims=True)
    else:
        raise ValueError(f"matrix_norm: unknown ord {ord!r}")
    return Array(out if keepdims else tf.squeeze(out, (-2, -1)))


def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    x = raw(x)
    axes = normal_axes(axis, x.shape.rank)
    a = tf.abs(x)
    if ord == math.inf:
        out = tf.reduce_max(a, axes, keepdims)
    elif ord == -math.inf:
        out = tf.reduce_min(a, axes, keepdims)
    elif ord == 0:
        out = tf.reduce_sum(cast(a != 0, a.dtype), axes, keepdims)
    elif ord == 2:
        out = tf.sqrt(tf.reduce_sum(a * a, axes, keepdims))
    else:
        out = tf.reduce_sum(a**ord, axes, keepdims) ** (1 / ord)
    return Array(out)


def matrix_rank(x, /, *, rtol=None):
    x = raw(x)
    s = tf.linalg.svd(x, compute_uv=False)
    rtol = finfo(x.dtype).eps * max(x.shape[-2:]) if rtol is None else raw(rtol)
    limit = tf.reduce_max(s, -1, keepdims=True) * tf.expand_dims(tf.cast(rtol, s.dtype), -1)
    return Array(tf.reduce_sum(cast(s > limit, tf.int64), -1))


def pinv(x, /, *, rtol=None):
    x = raw(x)
    s, u, v = tf.linalg.svd(x)
    rtol = finfo(x.dtype).eps * max(x.shape[-2:]) if rtol is None else raw(rtol)
    limit = tf.reduce_max(s, -1, keepdims=True) * tf.expand_dims(tf.cast(rtol, s.dtype), -1)
    scale = tf.where(s > limit, 1 / tf.where(s > limit, s, tf.ones_like(s)), tf.zeros_like(s))
    return Array(tf.matmul(v * tf.expand_dims(cast(scale, x.dtype), -2), u, adjoint_b=True))


def matrix_power(x, n, /):
    x = raw(x)
    if n < 0:
        x, n = tf.linalg.inv(x), -n
    out = tf.eye(dims(x)[-1], batch_shape=dims(x)[:-2], dtype=x.dtype)
    for bit in bin(n)[2:]:
        out = out @ out
        out = out @ x if bit == "1" else out
    return Array(out)


def cross(x1, x2, /, *, axis=-1):
    x, y = (a.tensor for a in broadcast_arrays(*map(Array, operands(x1, x2))))
    axis = normal_axis(axis, x.shape.rank)
    return Array(from_last(tf.linalg.cross(to_last(x, axis), to_last(y, axis)), axis))


def diagonal(x, /, *, offset=0):
    return Array(tf.linalg.diag_part(raw(x), k=offset))


def trace(x, /, *, offset=0, dtype=None):
    return total(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def outer(x1, x2, /):
    x, y = operands(x1, x2)
    return Array(x[:, None] * y[None, :])


def det(x, /):
    return Array(tf.linalg.det(raw(x)))


def inv(x, /):
    return Array(tf.linalg.inv(raw(x)))
