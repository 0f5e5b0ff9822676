"""TensorFlow's lowerings of linear algebra. Each function takes and returns bare tensors."""

from __future__ import annotations

import tensorflow as tf

from ... import ops
from ...arrays import dtype_name
from ...ops._op import lowering
from .backend import backend

__all__: list[str] = []


def _alike(*xs) -> bool:
    """Whether these are tensors of one floating-point dtype; TensorFlow's own functions take no others."""
    return all(tf.is_tensor(x) for x in xs) and {x.dtype for x in xs} in ({tf.float32}, {tf.float64})


@lowering(backend, ops.einsum)
def _einsum(subscripts, *operands):
    if not _alike(*operands) or ("..." in subscripts and "->" not in subscripts):
        return NotImplemented  # TensorFlow leaves axes that broadcast out of a result that is not written down
    if any(0 in x.shape for x in operands):
        return NotImplemented  # for arrays without elements, TensorFlow takes shapes that do not fit
    return tf.einsum(subscripts, *operands)


@lowering(backend, ops.solve_triangular)
def _solve_triangular(a, b, lower=False):
    if not _alike(a, b) or a.shape.rank != b.shape.rank:
        return NotImplemented
    return tf.linalg.triangular_solve(a, b, lower=lower)


@lowering(backend, ops.eig)
def _eig(x):
    return tuple(tf.linalg.eig(x)) if _alike(x) else NotImplemented


@lowering(backend, ops.view)
def _view(x, dtype=None):
    target = x.dtype if dtype is None else tf.as_dtype(dtype_name(dtype))
    if x.dtype == target:
        return x
    if x.dtype.size == target.size:
        return tf.bitcast(x, target)
    if x.shape.rank == 0:
        return NotImplemented  # which says that this cannot be
    if x.dtype.size > target.size:
        parts = tf.bitcast(x, target)  # the matrices of each element on an axis of their own
        return tf.reshape(parts, [*_sizes(x)[:-1], -1])
    count = target.size // x.dtype.size
    if x.shape[-1] is None or x.shape[-1] % count:
        return NotImplemented
    return tf.bitcast(tf.reshape(x, [*_sizes(x)[:-1], x.shape[-1] // count, count]), target)


def _sizes(x):
    known, now = x.shape.as_list(), tf.shape(x)
    return [now[i] if n is None else n for i, n in enumerate(known)]
