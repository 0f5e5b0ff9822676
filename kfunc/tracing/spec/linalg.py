"""Products and decompositions of matrices: the standard's extension `linalg`."""

from __future__ import annotations

import math
from typing import Any

from ...backends import results
from .array import as_spec, make
from .dtypes import REAL, check_kind, common_dtype, widened
from .manipulation import matrix_transpose
from .shapes import broadcast, mismatch, natural, need, normal_axes, normal_axis, one_of, reduced, replace

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


def matmul(x1: Any, x2: Any, /) -> Any:
    a, b = as_spec("matmul", x1), as_spec("matmul", x2)
    dtype = a.dtype if a.dtype == b.dtype else common_dtype("matmul", (a, b))
    check_kind("matmul", dtype, "iufc")
    left = a.shape if a.ndim != 1 else (1, *a.shape)
    right = b.shape if b.ndim != 1 else (*b.shape, 1)
    # A known size fits to an unknown one.
    if a.ndim < 1 or b.ndim < 1 or (left[-1] != right[-2] and None not in (left[-1], right[-2])):
        raise mismatch(
            "matmul",
            (a.shape, b.shape),
            "a last axis on the left as long as the last but one on the right",
            "check the width that the weights were made for",
        )
    batch = broadcast("matmul", left[:-2], right[:-2])
    rows = () if a.ndim == 1 else (left[-2],)
    columns = () if b.ndim == 1 else (right[-1],)
    return make((*batch, *rows, *columns), dtype)


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    a, b = as_spec("tensordot", x1), as_spec("tensordot", x2)
    dtype = common_dtype("tensordot", (a, b))
    check_kind("tensordot", dtype, "iufc")
    if isinstance(axes, int):
        natural("tensordot", "axes", axes)
        need(axes <= min(a.ndim, b.ndim), "tensordot", a, b, expected=f"{axes} axes or more each")
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    left, right = (normal_axes("tensordot", tuple(s), x.ndim) for s, x in zip(axes, (a, b), strict=True))
    if len(left) != len(right) or any(
        m != n and None not in (m, n) for m, n in ((a.shape[i], b.shape[j]) for i, j in zip(left, right, strict=True))
    ):
        raise mismatch("tensordot", (a.shape, b.shape), f"equal sizes along axes {left} and {right}")
    rest = [n for i, n in enumerate(a.shape) if i not in left] + [n for i, n in enumerate(b.shape) if i not in right]
    return make(tuple(rest), dtype)


def vecdot(x1: Any, x2: Any, /, *, axis: Any = -1) -> Any:
    a, b = as_spec("vecdot", x1), as_spec("vecdot", x2)
    dtype = common_dtype("vecdot", (a, b))
    check_kind("vecdot", dtype, "iufc")
    need(min(a.ndim, b.ndim) >= 1, "vecdot", a, b, expected="one axis or more each")
    normal_axis("vecdot", axis, min(a.ndim, b.ndim))
    if a.shape[axis] != b.shape[axis] and None not in (a.shape[axis], b.shape[axis]):
        raise mismatch("vecdot", (a.shape, b.shape), f"equal sizes along axis {axis}")
    shape = broadcast("vecdot", a.shape, b.shape)
    return make(replace(shape, normal_axis("vecdot", axis, len(shape))), dtype)


def _least(m: int | None, n: int | None) -> int | None:
    return None if m is None or n is None else min(m, n)


def _matrices(name: str, x, kinds: str = "fc", square: bool = False):
    """`x` as a Spec of matrices, which is checked; the shape of the stack; and the two sizes of the matrices."""
    x = as_spec(name, x)
    check_kind(name, x.dtype, kinds)
    need(x.ndim >= 2, name, x, expected="matrices: two axes or more")
    *batch, m, n = x.shape
    need(not square or m == n or None in (m, n), name, x, expected="square matrices: the last two sizes equal")
    return x, tuple(batch), m, n


def _real(x, shape):
    return make(shape, REAL.get(x.dtype, x.dtype))


def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    return _matrices("cholesky", x, square=True)[0]


def det(x: Any, /) -> Any:
    x, batch, _, _ = _matrices("det", x, square=True)
    return make(batch, x.dtype)


def diagonal(x: Any, /, *, offset: Any = 0) -> Any:
    x, batch, m, n = _matrices("diagonal", x, "biufc")
    return make((*batch, _diagonal(m, n, offset)), x.dtype)


def _diagonal(m: int | None, n: int | None, offset: int) -> int | None:
    if m is None or n is None:
        return None
    return max(min(m + min(offset, 0), n - max(offset, 0)), 0)


def eigh(x: Any, /) -> Any:
    x, batch, _, n = _matrices("eigh", x, square=True)
    return results.Eigh(_real(x, (*batch, n)), x)


def eigvalsh(x: Any, /) -> Any:
    x, batch, _, n = _matrices("eigvalsh", x, square=True)
    return _real(x, (*batch, n))


def inv(x: Any, /) -> Any:
    return _matrices("inv", x, square=True)[0]


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: str = "fro") -> Any:
    one_of("matrix_norm", "ord", ord, ("fro", "nuc", 1, 2, math.inf, -1, -2, -math.inf))
    x, batch, _, _ = _matrices("matrix_norm", x)
    return _real(x, (*batch, 1, 1) if keepdims else batch)


def matrix_power(x: Any, n: Any, /) -> Any:
    return _matrices("matrix_power", x, square=True)[0]


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Any:
    return make(_matrices("matrix_rank", x)[1], "int64")


def pinv(x: Any, /, *, rtol: Any = None) -> Any:
    x, batch, m, n = _matrices("pinv", x)
    return make((*batch, n, m), x.dtype)


def qr(x: Any, /, *, mode: str = "reduced") -> Any:
    one_of("qr", "mode", mode, ("reduced", "complete"))
    x, batch, m, n = _matrices("qr", x)
    k = _least(m, n) if mode == "reduced" else m
    return results.QR(make((*batch, m, k), x.dtype), make((*batch, k, n), x.dtype))


def slogdet(x: Any, /) -> Any:
    x, batch, _, _ = _matrices("slogdet", x, square=True)
    return results.Slogdet(make(batch, x.dtype), _real(x, batch))


def svd(x: Any, /, *, full_matrices: bool = True) -> Any:
    x, batch, m, n = _matrices("svd", x)
    k = _least(m, n)
    u, vh = (m, n) if full_matrices else (k, k)
    return results.SVD(make((*batch, m, u), x.dtype), _real(x, (*batch, k)), make((*batch, vh, n), x.dtype))


def svdvals(x: Any, /) -> Any:
    x, batch, m, n = _matrices("svdvals", x)
    return _real(x, (*batch, _least(m, n)))


def trace(x: Any, /, *, offset: Any = 0, dtype: Any = None) -> Any:
    x, batch, _, _ = _matrices("trace", x, "iufc")
    return make(batch, widened(x.dtype, dtype))


def solve(x1: Any, x2: Any, /) -> Any:
    a, b = as_spec("solve", x1), as_spec("solve", x2)
    dtype = common_dtype("solve", (a, b))
    check_kind("solve", dtype, "fc")
    fits = a.ndim >= 2 and b.ndim >= 1
    rows = b.shape[0 if b.ndim == 1 else -2] if fits else None
    fits = fits and len({*a.shape[-2:], rows} - {None}) <= 1
    need(fits, "solve", a, b, expected="square matrices, and a vector or matrices with as many rows")
    if b.ndim == 1:
        return make(a.shape[:-1], dtype)
    return make((*broadcast("solve", a.shape[:-2], b.shape[:-2]), rows, b.shape[-1]), dtype)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = as_spec("vector_norm", x)
    check_kind("vector_norm", x.dtype, "fc")
    return _real(x, reduced("vector_norm", x.shape, axis, keepdims))


def outer(x1: Any, x2: Any, /) -> Any:
    a, b = as_spec("outer", x1), as_spec("outer", x2)
    dtype = common_dtype("outer", (a, b))
    check_kind("outer", dtype, "iufc")
    need(a.ndim == b.ndim == 1, "outer", a, b, expected="one axis each")
    return make((*a.shape, *b.shape), dtype)


def cross(x1: Any, x2: Any, /, *, axis: Any = -1) -> Any:
    a, b = as_spec("cross", x1), as_spec("cross", x2)
    dtype = common_dtype("cross", (a, b))
    check_kind("cross", dtype, "iufc")
    need(min(a.ndim, b.ndim) >= 1, "cross", a, b, expected="one axis or more each")
    normal_axis("cross", axis, min(a.ndim, b.ndim))
    threes = a.shape[axis] in (3, None) and b.shape[axis] in (3, None)
    need(threes, "cross", a, b, expected=f"sizes of 3 along axis {axis}")
    return make(broadcast("cross", a.shape, b.shape), dtype)
