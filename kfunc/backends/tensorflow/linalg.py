"""The Array API standard's linear algebra extension for TensorFlow."""

from __future__ import annotations

import math

import tensorflow as tf

from .. import results
from . import namespace
from .array import Array, cast, dims, operands, raw
from .namespace import matmul, matrix_transpose, tensordot, vecdot

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
    return results.Eigh(*map(Array, tf.linalg.eigh(raw(x))))


def eigvalsh(x, /):
    return Array(tf.linalg.eigvalsh(raw(x)))


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
    return results.Slogdet(*map(Array, tf.linalg.slogdet(raw(x))))


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
    axes = namespace._axes(axis, x.shape.rank)
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
    rtol = namespace.finfo(x.dtype).eps * max(x.shape[-2:]) if rtol is None else raw(rtol)
    limit = tf.reduce_max(s, -1, keepdims=True) * tf.expand_dims(tf.cast(rtol, s.dtype), -1)
    return Array(tf.reduce_sum(cast(s > limit, tf.int64), -1))


def pinv(x, /, *, rtol=None):
    x = raw(x)
    s, u, v = tf.linalg.svd(x)
    rtol = namespace.finfo(x.dtype).eps * max(x.shape[-2:]) if rtol is None else raw(rtol)
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
    x, y = (a.tensor for a in namespace.broadcast_arrays(*map(Array, operands(x1, x2))))
    axis = namespace._normal(axis, x.shape.rank)
    return Array(namespace._last_back(tf.linalg.cross(namespace._last(x, axis), namespace._last(y, axis)), axis))


def diagonal(x, /, *, offset=0):
    return Array(tf.linalg.diag_part(raw(x), k=offset))


def trace(x, /, *, offset=0, dtype=None):
    return namespace.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def outer(x1, x2, /):
    x, y = operands(x1, x2)
    return Array(x[:, None] * y[None, :])


def det(x, /):
    return Array(tf.linalg.det(raw(x)))


def inv(x, /):
    return Array(tf.linalg.inv(raw(x)))
