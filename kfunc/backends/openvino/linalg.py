"""Products of matrices, their inverses and norms: the standard's extension `linalg`, as far as OpenVINO goes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...tracing.spec import linalg as spec
from ...tracing.spec.dtypes import check_kind
from ...tracing.spec.shapes import natural, one_of
from . import elementwise, reductions
from .array import Array, build, opset
from .casting import astype, make, promote
from .creation import eye, zeros_like
from .gaps import cannot, missing
from .manipulation import concat, expand_dims, matrix_transpose, moveaxis, normal_axes

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

cholesky, det, eigh, eigvalsh, matrix_rank = map(
    missing, (spec.cholesky, spec.det, spec.eigh, spec.eigvalsh, spec.matrix_rank)
)
pinv, qr, slogdet, svd, svdvals = map(missing, (spec.pinv, spec.qr, spec.slogdet, spec.svd, spec.svdvals))


def matmul(x1: Array, x2: Array, /) -> Array:
    a, b = promote(x1, x2)
    if not a.ndim or not b.ndim:
        raise ShapeError("matmul takes no scalars.", expected="one axis or more", got=(a.shape, b.shape))
    return build(opset.matmul, a.dtype, a, b, transpose_a=False, transpose_b=False)


def _einsum(*nodes: Any, subscripts: str) -> Any:
    return opset.einsum(list(nodes), subscripts)


def tensordot(x1: Array, x2: Array, /, *, axes: Any = 2) -> Array:
    if isinstance(axes, int):
        axes = natural("tensordot", "axes", axes)
        axes = (range(x1.ndim - axes, x1.ndim), range(axes))
    first, second = normal_axes(x1, tuple(axes[0])), normal_axes(x2, tuple(axes[1]))
    left = [chr(ord("a") + i) for i in range(x1.ndim)]
    right = [chr(ord("A") + i) for i in range(x2.ndim)]
    for i, j in zip(first, second, strict=True):
        right[j] = left[i]
    kept = [c for i, c in enumerate(left) if i not in first] + [c for j, c in enumerate(right) if j not in second]
    a, b = promote(x1, x2)
    subscripts = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
    return build(_einsum, a.dtype, a, b, subscripts=subscripts)


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    a, b = promote(x1, x2)
    if not a.ndim or not b.ndim or len({a.shape[axis], b.shape[axis]} - {None}) > 1:
        raise ShapeError("vecdot takes vectors of one size.", expected="equal sizes", got=(a.shape, b.shape))
    return reductions.sum(a * b, axis=axis, dtype=a.dtype)


def outer(x1: Array, x2: Array, /) -> Array:
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError("outer takes two vectors.", expected="one axis each", got=(x1.shape, x2.shape))
    return expand_dims(x1, axis=1) * x2


def cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    a, b = (moveaxis(x, axis, -1) for x in promote(x1, x2))
    if {a.shape[-1], b.shape[-1]} - {3, None}:
        raise ShapeError("cross takes vectors of 3.", argument="axis", expected="sizes of 3", got=(x1.shape, x2.shape))
    one, two = ([x[..., i : i + 1] for i in range(3)] for x in (a, b))
    parts = [one[i - 2] * two[i - 1] - one[i - 1] * two[i - 2] for i in range(3)]
    return moveaxis(concat(parts, axis=-1), -1, axis)


def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    rows, columns = np.nonzero(np.eye(*_sizes("diagonal", x), k=offset))
    return x[(..., make(rows), make(columns))]


def _sizes(name: str, x: Array) -> tuple[int, int]:
    if x.ndim < 2 or None in x.shape[-2:]:
        raise ShapeError(f"{name} needs known sizes.", argument="x", expected="(..., rows, columns)", got=x.shape)
    return x.shape[-2:]  # type: ignore[return-value]


def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    return reductions.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def inv(x: Array, /) -> Array:
    check_kind("inv", str(x.dtype), "f")
    m, n = _sizes("inv", x)
    if m != n:
        raise ShapeError("inv takes square matrices.", argument="x", expected="(..., n, n)", got=x.shape)
    return build(opset.inverse, x.dtype, x, adjoint=False)


def solve(x1: Array, x2: Array, /) -> Array:
    """By the inverse, which is all that there is: less exact than a factorisation where `x1` is nearly singular."""
    if x2.ndim == 1:
        return matmul(inv(x1), expand_dims(x2, axis=1))[..., 0]
    return matmul(inv(x1), x2)


def matrix_power(x: Array, n: int, /) -> Array:
    m, _ = _sizes("matrix_power", x)
    if n < 0:
        x, n = inv(x), -n
    out = zeros_like(x) + eye(m, dtype=x.dtype)
    while n:
        out = matmul(out, x) if n & 1 else out
        x, n = (matmul(x, x), n >> 1) if n > 1 else (x, 0)
    return out


def vector_norm(x: Array, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Array:
    options = {"axis": axis, "keepdims": keepdims}
    check_kind("vector_norm", str(x.dtype), "f")
    if ord == 0:
        return astype(reductions.count_nonzero(x, **options), x.dtype)
    x = abs(x)
    if math.isinf(ord):
        return (reductions.max if ord > 0 else reductions.min)(x, **options)
    if ord == 1:
        return reductions.sum(x, **options)
    if ord == 2:
        return elementwise.sqrt(reductions.sum(x * x, **options))
    return reductions.sum(x**ord, **options) ** (1 / ord)


def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    one_of("matrix_norm", "ord", ord, ("fro", "nuc", 1, 2, math.inf, -1, -2, -math.inf))
    if ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise cannot("matrix_norm by singular values")
    check_kind("matrix_norm", str(x.dtype), "f")
    sums = reductions.sum(abs(x), axis=-2 if ord in (1, -1) else -1, keepdims=True)
    return (reductions.max if ord > 0 else reductions.min)(sums, axis=(-2, -1), keepdims=keepdims)
