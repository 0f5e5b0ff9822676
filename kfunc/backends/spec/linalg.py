"""Products and decompositions of matrices: the standard's extension `linalg`."""

from __future__ import annotations

from collections.abc import Callable

from .. import results
from ..standard import named
from .array import as_spec, make
from .dtypes import REAL, check_kind, common_dtype, widened
from .manipulation import matrix_transpose
from .shapes import broadcast, mismatch, need, normal_axes, normal_axis, reduced, replace

__all__ = ["cross", "matmul", "matrix_transpose", "outer", "solve", "tensordot", "vecdot", "vector_norm"]


def matmul(x1, x2, /):
    a, b = as_spec("matmul", x1), as_spec("matmul", x2)
    dtype = a.dtype if a.dtype == b.dtype else common_dtype("matmul", (a, b))
    check_kind("matmul", dtype, "iufc")
    left = a.shape if a.ndim != 1 else (1, *a.shape)
    right = b.shape if b.ndim != 1 else (*b.shape, 1)
    # A known size against an unknown one is no disagreement.
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


def tensordot(x1, x2, /, *, axes=2):
    a, b = as_spec("tensordot", x1), as_spec("tensordot", x2)
    dtype = common_dtype("tensordot", (a, b))
    check_kind("tensordot", dtype, "iufc")
    if isinstance(axes, int):
        need(axes <= min(a.ndim, b.ndim), "tensordot", a, b, expected=f"{axes} axes or more each")
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    left, right = (normal_axes("tensordot", tuple(s), x.ndim) for s, x in zip(axes, (a, b), strict=True))
    if len(left) != len(right) or any(
        m != n and None not in (m, n) for m, n in ((a.shape[i], b.shape[j]) for i, j in zip(left, right, strict=True))
    ):
        raise mismatch("tensordot", (a.shape, b.shape), f"equal sizes along axes {left} and {right}")
    rest = [n for i, n in enumerate(a.shape) if i not in left] + [n for i, n in enumerate(b.shape) if i not in right]
    return make(tuple(rest), dtype)


def vecdot(x1, x2, /, *, axis=-1):
    a, b = as_spec("vecdot", x1), as_spec("vecdot", x2)
    dtype = common_dtype("vecdot", (a, b))
    check_kind("vecdot", dtype, "iufc")
    normal_axis("vecdot", axis, min(a.ndim, b.ndim))
    if a.shape[axis] != b.shape[axis] and None not in (a.shape[axis], b.shape[axis]):
        raise mismatch("vecdot", (a.shape, b.shape), f"equal sizes along axis {axis}")
    shape = broadcast("vecdot", a.shape, b.shape)
    return make(replace(shape, normal_axis("vecdot", axis, len(shape))), dtype)


def _least(m: int | None, n: int | None) -> int | None:
    return None if m is None or n is None else min(m, n)


# Decompositions: name, whether the matrices must be square, and the result for (..., m, n).
_DECOMPOSITIONS: list[tuple[str, bool, Callable]] = [
    ("qr", False, lambda x, b, m, n, k, mode="reduced": _qr(x, b, m, n, k if mode == "reduced" else m)),
    ("svd", False, lambda x, b, m, n, k, full_matrices=True: _svd(x, b, m, n, k, full_matrices)),
    ("svdvals", False, lambda x, b, m, n, k: make((*b, k), REAL.get(x.dtype, x.dtype))),
    ("pinv", False, lambda x, b, m, n, k, rtol=None: make((*b, n, m), x.dtype)),
    ("matrix_rank", False, lambda x, b, m, n, k, rtol=None: make(b, "int64")),
    ("matrix_norm", False, lambda x, b, m, n, k, keepdims=False, ord="fro": _norm(x, b, (1, 1) if keepdims else ())),
    ("diagonal", False, lambda x, b, m, n, k, offset=0: make((*b, k if offset == 0 else None), x.dtype)),
    ("trace", False, lambda x, b, m, n, k, offset=0, dtype=None: make(b, widened(x.dtype, dtype))),
    ("cholesky", True, lambda x, b, m, n, k, upper=False: x),
    ("inv", True, lambda x, b, m, n, k: x),
    ("matrix_power", True, lambda x, b, m, n, k, power: x),
    ("det", True, lambda x, b, m, n, k: make(b, x.dtype)),
    ("slogdet", True, lambda x, b, m, n, k: results.Slogdet(make(b, x.dtype), _norm(x, b, ()))),
    ("eigh", True, lambda x, b, m, n, k: results.Eigh(_norm(x, b, (n,)), x)),
    ("eigvalsh", True, lambda x, b, m, n, k: _norm(x, b, (n,))),
]


def _qr(x, batch, m, n, k):
    return results.QR(make((*batch, m, k), x.dtype), make((*batch, k, n), x.dtype))


def _svd(x, batch, m, n, k, full):
    u, vh = (m, n) if full else (k, k)
    return results.SVD(make((*batch, m, u), x.dtype), _norm(x, batch, (k,)), make((*batch, vh, n), x.dtype))


def _norm(x, batch, sizes):
    return make((*batch, *sizes), REAL.get(x.dtype, x.dtype))


def _matrix_function(name: str, square: bool, rule: Callable) -> Callable:
    def fun(x, /, *args, **kwargs):
        x = as_spec(name, x)
        need(x.ndim >= 2, name, x, expected="matrices: two axes or more")
        *batch, m, n = x.shape
        need(not square or m == n or None in (m, n), name, x, expected="square matrices")
        return rule(x, tuple(batch), m, n, _least(m, n), *args, **kwargs)

    return named(name, fun)


for _name, _square, _rule in _DECOMPOSITIONS:
    globals()[_name] = _matrix_function(_name, _square, _rule)
    __all__.append(_name)


def solve(x1, x2, /):
    a, b = as_spec("solve", x1), as_spec("solve", x2)
    need(a.ndim >= 2 and b.ndim >= 1, "solve", a, b, expected="square matrices, and a vector or matrices")
    return matmul(a, b)


def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    x = as_spec("vector_norm", x)
    return make(reduced("vector_norm", x.shape, axis, keepdims), REAL.get(x.dtype, x.dtype))


def outer(x1, x2, /):
    a, b = as_spec("outer", x1), as_spec("outer", x2)
    need(a.ndim == b.ndim == 1, "outer", a, b, expected="one axis each")
    return make((*a.shape, *b.shape), common_dtype("outer", (a, b)))


def cross(x1, x2, /, *, axis=-1):
    a, b = as_spec("cross", x1), as_spec("cross", x2)
    need(a.shape[axis] in (3, None) and b.shape[axis] in (3, None), "cross", a, b, expected=f"3 along axis {axis}")
    return make(broadcast("cross", a.shape, b.shape), common_dtype("cross", (a, b)))
