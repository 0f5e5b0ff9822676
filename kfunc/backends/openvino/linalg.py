"""The standard's extension `linalg`, as far as OpenVINO has it: products of matrices, inverses and norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import ShapeError
from ...tracing.spec import linalg as spec
from ...tracing.spec.dtypes import check_kind
from ...tracing.spec.shapes import natural
from .. import composed
from ..composed import cross, diagonal, matrix_power, outer, trace, vecdot
from .array import Array, build, opset
from .casting import promote
from .gaps import cannot, missing
from .manipulation import expand_dims, matrix_transpose, normal_axes

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

cholesky: Callable[..., Any]
det: Callable[..., Any]
eigh: Callable[..., Any]
eigvalsh: Callable[..., Any]
matrix_rank: Callable[..., Any]
cholesky, det, eigh, eigvalsh, matrix_rank = map(
    missing, (spec.cholesky, spec.det, spec.eigh, spec.eigvalsh, spec.matrix_rank)
)
pinv: Callable[..., Any]
qr: Callable[..., Any]
slogdet: Callable[..., Any]
svd: Callable[..., Any]
svdvals: Callable[..., Any]
pinv, qr, slogdet, svd, svdvals = map(missing, (spec.pinv, spec.qr, spec.slogdet, spec.svd, spec.svdvals))


def matmul(x1: Array, x2: Array, /) -> Array:
    a, b = promote(x1, x2)
    if not a.ndim or not b.ndim:
        raise ShapeError(
            "matmul: a scalar has no axis to multiply along.", expected="one axis or more", got=(a.shape, b.shape)
        )
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


def _sizes(name: str, x: Array) -> tuple[int, int]:
    if x.ndim < 2 or None in x.shape[-2:]:
        raise ShapeError(f"{name} needs known sizes.", argument="x", expected="(..., rows, columns)", got=x.shape)
    return x.shape[-2:]  # type: ignore[return-value]


def inv(x: Array, /) -> Array:
    check_kind("inv", str(x.dtype), "f")
    m, n = _sizes("inv", x)
    if m != n:
        raise ShapeError("inv: the matrices are not square.", argument="x", expected="(..., n, n)", got=x.shape)
    return build(opset.inverse, x.dtype, x, adjoint=False)


def solve(x1: Array, x2: Array, /) -> Array:
    """By the inverse, since there is no factorisation: less exact where `x1` is nearly singular."""
    if x2.ndim == 1:
        return matmul(inv(x1), expand_dims(x2, axis=1))[..., 0]
    return matmul(inv(x1), x2)


def vector_norm(x: Array, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Array:
    check_kind("vector_norm", str(x.dtype), "f")
    return composed.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    check_kind("matrix_norm", str(x.dtype), "f")
    if ord in (2, -2, "nuc"):
        raise cannot("matrix_norm by singular values")
    return composed.matrix_norm(x, keepdims=keepdims, ord=ord)
