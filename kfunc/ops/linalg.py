"""Linear algebra: the standard's extension under Keras's names, and the factorisations that it lacks.

All functions take stacks of matrices, (..., n, m). Integers are taken as float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..arrays import device, dtype_name, namespace, to_numpy
from ..backends import kind_of
from ..errors import ArgumentError, ShapeError, shown
from ..tracing.spec import Spec
from ..transforms import jvp
from ..typing import Array
from ._axes import normal_axes, sizes_of
from ._extensions import extension
from ._op import op
from ._promotion import floating, kind, together

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eig",
    "eigh",
    "inv",
    "jvp",
    "logdet",
    "lstsq",
    "lu_factor",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
]


def _linalg(name, *arrays):
    return extension("linalg", name, *arrays)


def _adjoint(x):
    xp = namespace(x)
    x = xp.matrix_transpose(x)
    return xp.conj(x) if kind(x) == "c" else x


def _matrices(x, square=False):
    """`x` in floats.

    Raises:
        ShapeError: `x` is not a matrix or a stack of matrices, or they are not square.
    """
    x = floating(x)
    n, m = x.shape[-2:] if x.ndim > 1 else (0, 1)
    if x.ndim < 2 or (square and None not in (n, m) and n != m):
        raise ShapeError(
            f"`x` must be {'square matrices' if square else 'matrices'}, got shape {tuple(x.shape)}.",
            argument="x",
            expected="(..., n, n)" if square else "(..., n, m)",
            got=tuple(x.shape),
        )
    return x


# -- inverses and equations ------------------------------------------------------------------------------------------


@op(single=True)
def det(x: Array) -> Array:
    """The determinants (...) of square matrices (..., n, n)."""
    x = _matrices(x, square=True)
    return _linalg("det", x)(x)


@op(single=True)
def slogdet(x: Array) -> tuple[Array, Array]:
    """The sign, and the logarithm of the absolute value, of the determinants of (..., n, n).

    Of singular matrices they are 0 and minus infinity, without a derivative: it is NaN.
    """
    x = _matrices(x, square=True)
    return tuple(_linalg("slogdet", x)(x))


@op(single=True)
def logdet(x: Array) -> Array:
    """The logarithm of the determinants of positive definite matrices (..., n, n)."""
    return slogdet(x)[1]


@op(single=True)
def inv(x: Array) -> Array:
    """The inverses of square matrices (..., n, n). Of singular ones, JAX returns numbers that are not finite.

    Raises:
        ArgumentError: On the other backends, a matrix is singular.
    """
    x = _matrices(x, square=True)
    return _linalg("inv", x)(x)


@op(single=True)
def pinv(x: Array, rcond: float | None = None) -> Array:
    """The Moore-Penrose inverses (..., m, n) of matrices (..., n, m).

    Args:
        rcond: Singular values below this part of the largest one are taken as 0; `max(n, m)` eps by default.
    """
    x = _matrices(x)
    return _linalg("pinv", x)(x, rtol=rcond)


def _system(a, b):
    """Coefficients and right sides in one dtype, and whether the right sides were vectors, which become columns.

    Raises:
        ShapeError: They do not fit.
    """
    a, b = together(a, b, least="f")
    a = _matrices(a)
    vectors = b.ndim == a.ndim - 1
    if not vectors and b.ndim < 2:
        raise ShapeError(
            f"`b` has shape {tuple(b.shape)}, which does not fit the matrices of shape {tuple(a.shape)}.",
            argument="b",
            expected="(..., n) or (..., n, k), with as many leading axes as a",
            got=tuple(b.shape),
        )
    return a, namespace(b).expand_dims(b, axis=-1) if vectors else b, vectors


def _solution(x, vectors):
    return namespace(x).squeeze(x, axis=-1) if vectors else x


@op(single=True)
def solve(a: Array, b: Array) -> Array:
    """The solutions of `a @ x = b`.

    Args:
        a: (..., n, n).
        b: (..., n) or (..., n, k).

    Raises:
        ArgumentError: A matrix is singular; JAX returns numbers that are not finite.
    """
    a, b, vectors = _system(a, b)
    return _solution(_linalg("solve", a, b)(_matrices(a, square=True), b), vectors)


@op(single=True)
def solve_triangular(a: Array, b: Array, lower: bool = False) -> Array:
    """The solutions of `a @ x = b` for triangular matrices. The other half of `a` is not read.

    Args:
        a: (..., n, n).
        b: (..., n) or (..., n, k).
        lower: Whether `a` is lower triangular.
    """
    a, b, vectors = _system(a, b)
    xp = namespace(a, b)
    a = xp.tril(a) if lower else xp.triu(a)
    return _solution(_linalg("solve", a, b)(_matrices(a, square=True), b), vectors)


@op(single=True)
def lstsq(a: Array, b: Array, rcond: float | None = None) -> Array:
    """The x of least norm that minimises the norm of `a @ x - b`.

    Args:
        a: (..., n, m).
        b: (..., n) or (..., n, k).
        rcond: Singular values below this part of the largest one are taken as 0; `max(n, m)` eps by default.
    """
    a, b, vectors = _system(a, b)
    return _solution(namespace(a, b).matmul(_linalg("pinv", a)(a, rtol=rcond), b), vectors)


# -- factorisations --------------------------------------------------------------------------------------------------


@op(single=True)
def cholesky(x: Array, upper: bool = False) -> Array:
    """The Cholesky factors of positive definite matrices (..., n, n): `x = l @ l.T`, or `u.T @ u` with `upper`.

    For other matrices, JAX and TensorFlow return NaN.

    Raises:
        ArgumentError: On the other backends, a matrix is not positive definite.
    """
    x = _matrices(x, square=True)
    return _linalg("cholesky", x)(x, upper=upper)


@op(single=True)
def cholesky_inverse(x: Array, upper: bool = False) -> Array:
    """The inverses of the positive definite matrices that have the Cholesky factors `x`, (..., n, n)."""
    x = _matrices(x, square=True)
    xp = namespace(x)
    half = solve_triangular(
        x, xp.broadcast_to(xp.eye(x.shape[-1], dtype=x.dtype, device=device(x)), x.shape), not upper
    )
    return xp.matmul(half, _adjoint(half)) if upper else xp.matmul(_adjoint(half), half)


@op(single=True)
def qr(x: Array, mode: str = "reduced") -> tuple[Array, Array]:
    """The factors of (..., n, m): orthonormal columns, and an upper triangle.

    Args:
        mode: "reduced": (..., n, k) and (..., k, m), where k = min(n, m); "complete": (..., n, n) and (..., n, m).
    """
    if mode not in ("reduced", "complete"):
        raise ArgumentError.must_be("mode", "'reduced' or 'complete'", mode)
    x = _matrices(x)
    return tuple(_linalg("qr", x)(x, mode=mode))


@op(single=True)
def svd(x: Array, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition of (..., n, m): `u`, `s` in descending order, and the adjoint of `v`.

    Args:
        full_matrices: Whether `u` is (..., n, n) and `v` (..., m, m), or both have k = min(n, m) columns.
        compute_uv: Whether to return `(u, s, vh)`, or `s`, (..., k), alone.

    The vectors of equal singular values are any basis of a plane. A turn of `u` and `v` within it, both alike, has the
    derivative 0. This is right for what depends on the whole plane only, such as a projection onto it, and for the
    polar factor `u @ vh`. It is not right for `u @ diag(f(s)) @ vh` with another f.
    """
    x = _matrices(x)
    if not compute_uv:
        return _linalg("svdvals", x)(x)
    return tuple(_linalg("svd", x)(x, full_matrices=full_matrices))


@op(single=True)
def eigh(x: Array) -> tuple[Array, Array]:
    """The eigenvalues (..., n), in ascending order, and eigenvectors (..., n, n) of Hermitian matrices.

    The vectors `v` of equal eigenvalues are any basis of a plane. A turn of them within it has the derivative 0. This
    is right for what depends on the whole plane only, such as a projection onto it. It is not right for
    `v @ diag(f(w)) @ v.T`, which depends on how the values `w` of the plane would part.
    """
    x = _matrices(x, square=True)
    return tuple(_linalg("eigh", x)(x))


@op(single=True)
def eig(x: Array) -> tuple[Array, Array]:
    """The eigenvalues (..., n), in any order, and eigenvectors (..., n, n), both complex, of square matrices."""
    # The standard of 2024 does not have this function. Where a library has no lowering, NumPy computes it.
    import numpy as np

    x = _matrices(x, square=True)
    xp, dtype = namespace(x), "complex128" if "128" in str(x.dtype) or "float64" in str(x.dtype) else "complex64"
    parts = np.linalg.eig(to_numpy(x))
    return tuple(xp.asarray(part.astype(dtype), dtype=getattr(xp, dtype), device=device(x)) for part in parts)


@eig.shape_rule
def _eig_shape(x):
    x = _matrices(x, square=True)
    dtype = "complex128" if dtype_name(x.dtype) == "float64" else "complex64"
    return Spec(x.shape[:-1], dtype), Spec(x.shape, dtype)


@op(single=True)
def lu_factor(x: Array) -> tuple[Array, Array]:
    """The LU factors of matrices, with the largest element of each column as its pivot.

    Args:
        x: (..., n, m).

    Returns:
        (..., n, m), U on and above the diagonal, and below it L, whose diagonal is 1; and for each of the first
        min(n, m) rows, the row it was exchanged with, in this order: int32 (..., min(n, m)).
    """
    x = _matrices(x)
    xp = namespace(x)
    n, m = sizes_of(x, -2, -1)
    count = min(n, m)
    rows = xp.arange(n, dtype=xp.int32, device=device(x))
    pivots = []
    for j in range(count):
        pivot = xp.astype(xp.argmax(xp.abs(x[..., j:, j]), axis=-1, keepdims=True), xp.int32) + j
        pivots.append(pivot)
        here = xp.full_like(rows, j)
        order = xp.where(rows == here, pivot, xp.where(rows == pivot, here, rows))
        x = xp.take_along_axis(x, xp.broadcast_to(xp.expand_dims(order, axis=-1), x.shape), axis=-2)
        head, tail = x[..., : j + 1, :], x[..., j + 1 :, :]
        by = x[..., j : j + 1, j : j + 1]
        factors = tail[..., j : j + 1] / xp.where(by == 0, xp.ones_like(by), by)
        rest = tail[..., j + 1 :] - factors * head[..., j:, j + 1 :]
        x = xp.concat([head, xp.concat([tail[..., :j], factors, rest], axis=-1)], axis=-2)
    return x, xp.concat(pivots, axis=-1) if count else xp.zeros((*x.shape[:-2], 0), dtype=xp.int32, device=device(x))


# -- numbers that describe a matrix ----------------------------------------------------------------------------------


@op(single=True)
def matrix_rank(x: Array, tol: Array | None = None) -> Array:
    """The number of singular values of (..., n, m) above `tol`: int32 (...).

    Args:
        tol: A number, or an array (...); the largest singular value times `max(n, m)` eps by default.
    """
    x = _matrices(x)
    xp = namespace(x)
    values = _linalg("svdvals", x)(x)
    if kind_of(type(tol)) is not None:
        tol = xp.expand_dims(tol, axis=-1)
    if tol is None and 0 in x.shape[-2:]:
        tol = 0.0  # there are no values, and so the rank is 0
    elif tol is None:
        tol = xp.max(values, axis=-1, keepdims=True) * (max(sizes_of(x, -2, -1)) * xp.finfo(values.dtype).eps)
    return xp.astype(xp.count_nonzero(values > tol, axis=-1), xp.int32)


@op(single=True)
def norm(
    x: Array, ord: float | str | None = None, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Array:
    """Norms of vectors or matrices.

    Args:
        x: An array of any shape.
        ord: Of vectors, a number, 2 by default. Of matrices "fro" (the default), "nuc", or 1, -1, 2, -2, inf or -inf.
        axis: The axis of vectors, or the two axes of matrices. By default `x` is one vector or one matrix; without
            `ord` too, all its elements are one vector.
        keepdims: Whether these axes stay, with size 1.
    """
    x = floating(x)
    if axis is None and ord is None:
        return _linalg("vector_norm", x)(x, keepdims=keepdims)
    axes = normal_axes(axis, x.ndim)
    if len(axes) not in (1, 2):
        raise ArgumentError(
            f"`axis` must name 1 axis or 2, for norms of vectors or of matrices, got {len(axes)} axes.",
            argument="axis",
            expected="1 or 2 axes",
            got=f"{len(axes)} axes",
        )
    if ord not in ((None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf) if len(axes) == 2 else (None, ord)):
        raise ArgumentError(
            f"`ord` must be a norm of matrices, got {shown(ord)}.", argument="ord", got=repr(ord), fix='use "fro" or 2'
        )
    if len(axes) == 1 and isinstance(ord, str):
        raise ArgumentError(
            f"`ord` must be a number for vectors, got {shown(ord)}.", argument="ord", expected="a number", got=repr(ord)
        )
    nothing = 0 in [x.shape[a] for a in axes]
    if nothing and (isinstance(ord, str) or (ord is not None and ord > 0)):
        return namespace(x).sum(namespace(x).abs(x), axis=axes, keepdims=keepdims)
    if nothing and ord is not None and (len(axes) == 2 or ord == -math.inf):
        raise ShapeError(
            f"`x` has no elements along the axes of the norm {ord}, so that none of them is the smallest.",
            argument="x",
            expected="one element or more",
            got=tuple(x.shape),
        )
    if len(axes) == 1 or ord in (None, "fro"):
        return _linalg("vector_norm", x)(
            x, axis=axes if len(axes) == 2 else axes[0], ord=2 if ord in (None, "fro") else ord, keepdims=keepdims
        )
    xp = namespace(x)
    out = _linalg("matrix_norm", x)(xp.moveaxis(x, axes, (-2, -1)), ord=ord)
    for place in sorted(axes) if keepdims else ():
        out = xp.expand_dims(out, axis=place)
    return out
