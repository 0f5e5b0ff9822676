"""Cotangents of decompositions of matrices: for the tape, and for frameworks whose own are NaN at special values.

They are in the usual form, for conjugated cotangents, as in PyTorch. Arrays are stacks of matrices, and sizes are
known. Sources: Giles, An extended collection of matrix derivative results (2008); Seeger et al., Auto-differentiating
linear algebra (2017); Golub and Pereyra (1973) for the pseudoinverse.
"""

from __future__ import annotations

import math
from typing import Any

from ..arrays import device
from .standard import is_kind

__all__ = [
    "adjoint",
    "column",
    "conj",
    "diag",
    "eig",
    "eigh",
    "eye",
    "inverse_differences",
    "inverse_sums",
    "is_complex",
    "nonzero",
    "pinv",
    "row",
    "slogdet",
    "svd",
]


def is_complex(xp: Any, x: Any) -> bool:
    return is_kind(x.dtype, "complex floating")


def nonzero(xp: Any, x: Any) -> Any:
    """`x`, with 1 in place of 0: to divide by where the quotient is not used."""
    return xp.where(x == 0, xp.ones_like(x), x)


def conj(xp: Any, x: Any) -> Any:
    return xp.conj(x) if is_complex(xp, x) else x


def adjoint(xp: Any, x: Any) -> Any:
    """The conjugate transpose."""
    return conj(xp, xp.matrix_transpose(x))


def eye(xp: Any, x: Any, n: int) -> Any:
    return xp.eye(n, dtype=x.dtype, device=device(x))


def column(xp: Any, x: Any) -> Any:
    return xp.expand_dims(x, axis=-1)


def row(xp: Any, x: Any) -> Any:
    return xp.expand_dims(x, axis=-2)


def diag(xp: Any, x: Any) -> Any:
    """Diagonal matrices."""
    return column(xp, x) * eye(xp, x, x.shape[-1])


def inverse_differences(xp: Any, x: Any) -> Any:
    """1 / (x_j - x_i), and 0 where the two are equal.

    Vectors of equal values are any basis of their plane, so a turn within the plane has no derivative; it is taken to
    be 0. The other derivatives stay right: that of a projection onto the plane, and that of other vectors.
    """
    gaps = row(xp, x) - column(xp, x)
    same = gaps == 0
    return xp.where(same, xp.zeros_like(gaps), 1 / xp.where(same, xp.ones_like(gaps), gaps))


def slogdet(xp: Any, g: Any, outs: Any, x: Any) -> Any:
    """NaN for singular matrices: next to one, the logarithm falls without end from all sides."""
    (of_sign, of_log), (sign, logarithm) = g, outs
    if is_complex(xp, x):
        turn = xp.imag(conj(xp, sign) * of_sign)
        of_log = xp.astype(of_log, x.dtype) + xp.astype(turn, x.dtype) * 1j
    singular = logarithm == -math.inf
    regular = xp.where(singular[..., None, None], eye(xp, x, x.shape[-1]), x)
    factor = xp.where(singular, xp.full_like(logarithm, math.nan), xp.ones_like(logarithm))
    of_log = of_log * xp.astype(factor, x.dtype)
    return of_log[..., None, None] * adjoint(xp, xp.linalg.inv(regular))


def pinv(xp: Any, g: Any, out: Any, x: Any) -> Any:
    p, ph, gh = out, adjoint(xp, out), adjoint(xp, g)
    left = gh - x @ (p @ gh)
    right = gh - (gh @ p) @ x
    return -(ph @ g @ ph) + left @ p @ ph + ph @ p @ right


def eigh(xp: Any, g: Any, outs: Any, x: Any) -> Any:
    (of_values, of_vectors), (values, vectors) = g, outs
    inner = xp.astype(inverse_differences(xp, values), x.dtype) * (adjoint(xp, vectors) @ of_vectors)
    inner = inner + diag(xp, xp.astype(of_values, x.dtype))
    out = vectors @ inner @ adjoint(xp, vectors)
    return (out + adjoint(xp, out)) / 2


def eig(xp: Any, g: Any, outs: Any, x: Any) -> Any:
    """The vectors have length 1; the cotangent must not depend on their phases, which nothing determines."""
    (of_values, of_vectors), (values, vectors) = g, outs
    left = adjoint(xp, vectors)
    inner = left @ of_vectors
    lengths = xp.real(xp.sum(conj(xp, vectors) * of_vectors, axis=-2))
    inner = inner - (left @ vectors) * row(xp, xp.astype(lengths, inner.dtype))
    inner = conj(xp, inverse_differences(xp, values)) * inner + diag(xp, of_values)
    out = xp.linalg.solve(left, inner @ left)
    return out if is_complex(xp, x) else xp.astype(xp.real(out), x.dtype)


def inverse_sums(xp: Any, x: Any) -> Any:
    """1 / (x_j + x_i), and 0 where both are 0."""
    sums = row(xp, x) + column(xp, x)
    return xp.where(sums == 0, xp.zeros_like(sums), 1 / nonzero(xp, sums))


def svd(xp: Any, g: Any, outs: Any, x: Any) -> Any:
    """Of the decomposition with min(n, m) vectors.

    Where the vectors of both sides turn alike, the share is divided by differences of singular values; where they turn
    against each other, by sums. So the polar factor has its derivative where values are equal, too.
    """
    (of_u, of_s, of_vh), (u, s, vh) = g, outs
    of_v, v = adjoint(xp, of_vh), adjoint(xp, vh)
    left, right = adjoint(xp, u) @ of_u, adjoint(xp, v) @ of_v
    of_left, of_right = (left - adjoint(xp, left)) / 2, (right - adjoint(xp, right)) / 2
    inner = xp.astype(inverse_differences(xp, s), x.dtype) * (of_left + of_right)
    inner = inner + xp.astype(inverse_sums(xp, s), x.dtype) * (of_left - of_right)
    share = u @ (inner + diag(xp, xp.astype(of_s, x.dtype))) @ vh
    below = nonzero(xp, row(xp, xp.astype(s, x.dtype)))
    share = share + ((of_u - u @ left) / below) @ vh
    return share + u @ adjoint(xp, (of_v - v @ right) / below)
