"""The Array API standard's linear algebra extension for TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .. import composed, results
from ..composed import cross, matrix_norm, matrix_power, outer, trace, vecdot, vector_norm
from . import elementwise
from .array import Array, cast, dims, operands, raw
from .dtypes import finfo, int32, int64
from .manipulation import matrix_transpose

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


def _adjoint(x):
    return tf.linalg.matrix_transpose(x, conjugate=True)


def qr(x: Any, /, *, mode: str = "reduced") -> Any:
    return results.QR(*map(Array, tf.linalg.qr(raw(x), full_matrices=mode == "complete")))


def svd(x: Any, /, *, full_matrices: bool = True) -> Any:
    s, u, v = tf.linalg.svd(raw(x), full_matrices=full_matrices)
    return results.SVD(Array(u), Array(s), Array(_adjoint(v)))


def svdvals(x: Any, /) -> Any:
    return Array(tf.linalg.svd(raw(x), compute_uv=False))


def eigh(x: Any, /) -> Any:
    values, vectors = tf.linalg.eigh(raw(x))
    return results.Eigh(Array(tf.math.real(values)), Array(vectors))


def eigvalsh(x: Any, /) -> Any:
    return Array(tf.math.real(tf.linalg.eigvalsh(raw(x))))


def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    lower = tf.linalg.cholesky(raw(x))
    return Array(_adjoint(lower) if upper else lower)


def solve(x1: Any, x2: Any, /) -> Any:
    a, b = operands(x1, x2)
    if b.shape.rank == 1:
        return Array(tf.linalg.solve(a, tf.broadcast_to(b[:, None], (*dims(a)[:-1], 1)))[..., 0])
    lead = tf.broadcast_dynamic_shape(tf.shape(a)[:-2], tf.shape(b)[:-2])
    a, b = (tf.broadcast_to(t, tf.concat([lead, tf.shape(t)[-2:]], 0)) for t in (a, b))
    return Array(tf.linalg.solve(a, b))


def slogdet(x: Any, /) -> Any:
    sign, logarithm = tf.linalg.slogdet(raw(x))
    return results.Slogdet(Array(sign), Array(tf.math.real(logarithm)))


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Any:
    x = raw(x)
    s = tf.linalg.svd(x, compute_uv=False)
    rtol = finfo(x.dtype).eps * max(x.shape[-2:]) if rtol is None else raw(rtol)
    limit = tf.reduce_max(s, -1, keepdims=True) * tf.expand_dims(tf.cast(rtol, s.dtype), -1)
    return Array(tf.reduce_sum(cast(s > limit, tf.int64), -1))


def pinv(x: Any, /, *, rtol: Any = None) -> Any:
    x = raw(x)
    s, u, v = tf.linalg.svd(x)
    rtol = finfo(x.dtype).eps * max(x.shape[-2:]) if rtol is None else raw(rtol)
    limit = tf.reduce_max(s, -1, keepdims=True) * tf.expand_dims(tf.cast(rtol, s.dtype), -1)
    scale = tf.where(s > limit, 1 / tf.where(s > limit, s, tf.ones_like(s)), tf.zeros_like(s))
    return Array(tf.matmul(v * tf.expand_dims(cast(scale, x.dtype), -2), u, adjoint_b=True))


def diagonal(x: Any, /, *, offset: Any = 0) -> Any:
    return Array(tf.linalg.diag_part(raw(x), k=offset))


def det(x: Any, /) -> Any:
    x = raw(x)
    out = tf.linalg.det(x)
    if not x.dtype.is_floating or x.shape[-1] == 0:
        return Array(out)
    # The gradient of the kernel needs the inverse, and fails where there is none.
    singular = out == 0
    regular = tf.where(singular[..., None, None], tf.eye(x.shape[-1], dtype=x.dtype), x)

    def by_values():
        of_singular = composed.det(Array(x), Array(tf.stop_gradient(x)), Array(singular)).tensor
        return tf.where(singular, of_singular, tf.linalg.det(regular))

    return Array(tf.cond(tf.reduce_any(singular), by_values, lambda: out))


def inv(x: Any, /) -> Any:
    return Array(tf.linalg.inv(raw(x)))
