"""The Array API standard's linear algebra extension for TensorFlow."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record

from .. import adjoints, composed, results
from ..composed import cross, matrix_norm, matrix_power, outer, trace, vecdot, vector_norm
from . import elementwise
from .array import Array, cast, dims, operands, raw
from .autodiff import refuse_to_vectorize
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
    x = raw(x)
    s, u, v = tf.linalg.svd(x, full_matrices=full_matrices)
    square = x.shape[-1] is not None and x.shape[-1] == x.shape[-2]
    own = x.dtype.is_floating and (square or not full_matrices) and _differentiated()
    if not (own and _may_hold(lambda: s[..., 1:] == s[..., :-1])):
        return results.SVD(Array(u), Array(s), Array(_adjoint(v)))
    refuse_to_vectorize()

    # TensorFlow's gradient leaves out all turns of vectors of equal values.
    @tf.custom_gradient
    def decomposition(x):
        s, u, v = tf.linalg.svd(x, full_matrices=False)
        outs = [u, s, _adjoint(v)]

        def gradient(*upstream):
            arrays = [[Array(t) for t in part] for part in (upstream, outs)]
            return adjoints.svd(arrays[1][0].__array_namespace__(), *arrays, Array(x)).tensor

        return outs, gradient

    return results.SVD(*map(Array, decomposition(x)))


def svdvals(x: Any, /) -> Any:
    return Array(tf.linalg.svd(raw(x), compute_uv=False))


def _hermitian(x):
    """`x`, so that its two halves share the cotangent; TensorFlow reads the lower one, and gives it all to that."""
    return (x + _adjoint(x)) / 2 if _differentiated() else x


def eigh(x: Any, /) -> Any:
    values, vectors = tf.linalg.eigh(_hermitian(raw(x)))
    return results.Eigh(Array(tf.math.real(values)), Array(vectors))


def eigvalsh(x: Any, /) -> Any:
    return Array(tf.math.real(tf.linalg.eigvalsh(_hermitian(raw(x)))))


def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    # Of matrices that are not positive definite, the kernel leaves the upper half as the memory was.
    lower = tf.linalg.band_part(tf.linalg.cholesky(raw(x)), -1, 0)
    return Array(_adjoint(lower) if upper else lower)


def solve(x1: Any, x2: Any, /) -> Any:
    a, b = operands(x1, x2)
    if b.shape.rank == 1:
        return Array(tf.linalg.solve(a, tf.broadcast_to(b[:, None], (*dims(a)[:-1], 1)))[..., 0])
    lead = tf.broadcast_dynamic_shape(tf.shape(a)[:-2], tf.shape(b)[:-2])
    a, b = (tf.broadcast_to(t, tf.concat([lead, tf.shape(t)[-2:]], 0)) for t in (a, b))
    return Array(tf.linalg.solve(a, b))


def slogdet(x: Any, /) -> Any:
    x = raw(x)
    sign, logarithm = tf.linalg.slogdet(x)
    if not (_differentiated() and _may_hold(lambda: tf.math.real(logarithm) == -math.inf)):
        return results.Slogdet(Array(sign), Array(tf.math.real(logarithm)))
    # The gradient of the kernel needs the inverse, and fails where there is none. Here it is NaN: 0 / 0.
    singular = tf.math.real(logarithm) == -math.inf
    _, logarithm = tf.linalg.slogdet(_regular(x, singular))
    logarithm = tf.where(
        singular, tf.math.log(composed.zero_of(Array(x), Array(singular)).tensor), tf.math.real(logarithm)
    )
    return results.Slogdet(Array(sign), Array(logarithm))


def _differentiated():
    """Whether a tape may record what happens here; a graph may be differentiated later."""
    return not tf.executing_eagerly() or record.could_possibly_record()


def _may_hold(mask):
    """Whether `mask()` may hold somewhere; in a graph one cannot look."""
    return not tf.executing_eagerly() or bool(tf.reduce_any(mask()))


def _regular(x, singular):
    return tf.where(singular[..., None, None], tf.eye(x.shape[-1], dtype=x.dtype), x)


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Any:
    x = raw(x)
    s = tf.linalg.svd(x, compute_uv=False)
    rtol = finfo(x.dtype).eps * max(x.shape[-2:]) if rtol is None else raw(rtol)
    limit = tf.reduce_max(s, -1, keepdims=True) * tf.expand_dims(tf.cast(rtol, s.dtype), -1)
    return Array(tf.reduce_sum(cast(s > limit, tf.int64), -1))


def pinv(x: Any, /, *, rtol: Any = None) -> Any:
    x = raw(x)
    if not _differentiated():
        return Array(_pinv(x, rtol))
    refuse_to_vectorize()

    # The gradient of the decomposition is wrong where singular values are equal, and that of the inverse is not.
    @tf.custom_gradient
    def inverse(x):
        def gradient(g):
            again = Array(x)
            return adjoints.pinv(again.__array_namespace__(), Array(g), pinv(again, rtol=rtol), again).tensor

        return _pinv(x, rtol), gradient

    return Array(inverse(x))


def _pinv(x, rtol):
    s, u, v = tf.linalg.svd(x)
    rtol = finfo(x.dtype).eps * max(x.shape[-2:]) if rtol is None else raw(rtol)
    limit = tf.reduce_max(s, -1, keepdims=True) * tf.expand_dims(tf.cast(rtol, s.dtype), -1)
    scale = tf.where(s > limit, 1 / tf.where(s > limit, s, tf.ones_like(s)), tf.zeros_like(s))
    return tf.matmul(v * tf.expand_dims(cast(scale, x.dtype), -2), u, adjoint_b=True)


def diagonal(x: Any, /, *, offset: Any = 0) -> Any:
    return Array(tf.linalg.diag_part(raw(x), k=offset))


def det(x: Any, /) -> Any:
    x = raw(x)
    out = tf.linalg.det(x)
    own = x.dtype.is_floating and x.shape[-1] != 0 and _differentiated()
    if not (own and _may_hold(lambda: out == 0)):
        return Array(out)
    refuse_to_vectorize()
    singular = out == 0
    # The gradient of the kernel needs the inverse, and fails where there is none.
    of_singular = tf.cond(
        tf.reduce_any(singular),
        lambda: composed.det(Array(x), Array(tf.stop_gradient(x)), Array(singular)).tensor,
        lambda: tf.zeros_like(out),
    )
    return Array(tf.where(singular, of_singular, tf.linalg.det(_regular(x, singular))))


def inv(x: Any, /) -> Any:
    return Array(tf.linalg.inv(raw(x)))
