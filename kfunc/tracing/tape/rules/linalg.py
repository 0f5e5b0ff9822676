"""Rules of matrix products and of the `linalg` extension, for stacks of matrices.

The rules of decompositions are in the usual form, for conjugated cotangents; `hermitian` brings them to JAX's
convention. Sources: Giles, An extended collection of matrix derivative results (2008); Seeger et al.,
Auto-differentiating linear algebra (2017); Golub and Pereyra (1973) for the pseudoinverse.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from ....arrays import device
from ....backends import composed
from ....errors import UnsupportedError
from .elementwise import is_complex, nonzero, shared
from .reductions import kept

__all__ = ["COMPOSITES", "RULES", "SEVERAL"]


def _t(xp, x):
    return xp.matrix_transpose(x)


def _conj(xp, x):
    return xp.conj(x) if is_complex(xp, x) else x


def _h(xp, x):
    """The conjugate transpose."""
    return _conj(xp, xp.matrix_transpose(x))


def hermitian(rule: Any) -> Any:
    """A rule of conjugated cotangents as a rule of cotangents. For real arrays they are the same."""

    @functools.wraps(rule)
    def plain(xp, g, *args, **kwargs):
        g = tuple(_conj(xp, part) for part in g) if isinstance(g, tuple) else _conj(xp, g)
        return _conj(xp, rule(xp, g, *args, **kwargs))

    return plain


def _eye(xp, x, n):
    return xp.eye(n, dtype=x.dtype, device=device(x))


def _column(xp, x):
    return xp.expand_dims(x, axis=-1)


def _row(xp, x):
    return xp.expand_dims(x, axis=-2)


def _scalar(xp, x):
    """Numbers, to be multiplied with matrices."""
    return _column(xp, _column(xp, x))


# -- products --------------------------------------------------------------------------------------------------------


def _matmul_left(xp, g, out, x, y):
    if x.ndim == 1 and y.ndim == 1:
        return g * y
    if x.ndim == 1:
        share = xp.squeeze(xp.matmul(xp.expand_dims(g, axis=-2), _t(xp, y)), axis=-2)
        # A vector on the left was broadcast over the batch of the matrix on the right.
        return xp.sum(xp.reshape(share, (-1, x.shape[0])), axis=0) if share.ndim > 1 else share
    if y.ndim == 1:
        return _column(xp, g) * y
    return xp.matmul(g, _t(xp, y))


def _matmul_right(xp, g, out, x, y):
    if x.ndim == 1 and y.ndim == 1:
        return g * x
    if x.ndim == 1:
        return _column(xp, x) * xp.expand_dims(g, axis=-2)
    if y.ndim == 1:
        return xp.sum(xp.reshape(_column(xp, g) * x, (-1, x.shape[-1])), axis=0)
    if y.ndim == 2 and x.ndim > 2:
        # One product for the whole batch is faster than one for each sample and their sum.
        x, g = xp.reshape(x, (-1, x.shape[-1])), xp.reshape(g, (-1, g.shape[-1]))
    return xp.matmul(_t(xp, x), g)


def tensordot(xp: Any, x: Any, y: Any, /, *, axes: Any = 2) -> Any:
    if isinstance(axes, int):
        axes = (tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes)))
    over_x, over_y = (tuple(a % z.ndim for a in ax) for z, ax in zip((x, y), axes, strict=True))
    free_x = tuple(i for i in range(x.ndim) if i not in over_x)
    free_y = tuple(i for i in range(y.ndim) if i not in over_y)
    size = math.prod(x.shape[i] for i in over_x)
    left = math.prod(x.shape[i] for i in free_x)
    right = math.prod(y.shape[i] for i in free_y)
    a = xp.reshape(xp.permute_dims(x, (*free_x, *over_x)), (left, size))
    b = xp.reshape(xp.permute_dims(y, (*over_y, *free_y)), (size, right))
    shape = (*(x.shape[i] for i in free_x), *(y.shape[i] for i in free_y))
    return xp.reshape(xp.matmul(a, b), shape)


# -- inverses --------------------------------------------------------------------------------------------------------


@hermitian
def _inv(xp, g, out, x):
    return -(_h(xp, out) @ g @ _h(xp, out))


@hermitian
def _solve_left(xp, g, out, x, y):
    if y.ndim == 1:
        return -(_solve_adjoint(xp, x, _column(xp, g)) @ _conj(xp, _row(xp, out)))
    return -(_solve_adjoint(xp, x, g) @ _h(xp, out))


@hermitian
def _solve_right(xp, g, out, x, y):
    if y.ndim == 1:
        return xp.squeeze(_solve_adjoint(xp, x, _column(xp, g)), axis=-1)
    return _solve_adjoint(xp, x, g)


def _solve_adjoint(xp, x, g):
    return xp.linalg.solve(_h(xp, x), g)


@hermitian
def _pinv(xp, g, out, x, **kwargs):
    p, ph = out, _h(xp, out)
    gh = _h(xp, g)
    left = gh - x @ (p @ gh)
    right = gh - (gh @ p) @ x
    return -(ph @ g @ ph) + left @ p @ ph + ph @ p @ right


@hermitian
def _det(xp, g, out, x):
    if not bool(xp.any(out == 0)):
        return _scalar(xp, g * _conj(xp, out)) * _h(xp, xp.linalg.inv(x))
    # By the cofactors, which singular matrices have too: in the basis of the singular vectors, each is the product
    # of the other singular values.
    u, s, vh = xp.linalg.svd(x)
    n = s.shape[-1]
    others = xp.prod(
        xp.where(xp.eye(n, device=device(x)) == 1, xp.ones_like(s[..., None, :]), s[..., None, :]), axis=-1
    )
    factor = g * _conj(xp, xp.linalg.det(u) * xp.linalg.det(vh))
    return _scalar(xp, factor) * ((u * xp.astype(_row(xp, others), x.dtype)) @ vh)


@hermitian
def _slogdet(xp, g, outs, x):
    of_sign, of_log = g
    if is_complex(xp, x):
        turn = xp.imag(_conj(xp, outs[0]) * of_sign)
        of_log = xp.astype(of_log, x.dtype) + xp.astype(turn, x.dtype) * 1j
    return _scalar(xp, of_log) * _h(xp, xp.linalg.inv(x))


# -- decompositions --------------------------------------------------------------------------------------------------


def _symmetric(xp, x):
    return (x + _h(xp, x)) / 2


def _lower_half(xp, x):
    """The lower triangle, with half of the diagonal."""
    return xp.tril(x) - x * (_eye(xp, x, x.shape[-1]) / 2)


@hermitian
def _cholesky(xp, g, out, x, *, upper=False):
    low, g = (_h(xp, out), _h(xp, g)) if upper else (out, g)
    inverse = xp.linalg.inv(low)
    return _symmetric(xp, _h(xp, inverse) @ _lower_half(xp, _h(xp, low) @ g) @ inverse)


def _inverse_differences(xp, x):
    """1 / (x_j - x_i), and 0 on the diagonal and where two are equal: what does not depend on the choice of the vectors
    in their plane has a derivative there, too."""
    gaps = _row(xp, x) - _column(xp, x)
    same = gaps == 0
    return xp.where(same, xp.zeros_like(gaps), 1 / xp.where(same, xp.ones_like(gaps), gaps))


def _diag(xp, x):
    """Diagonal matrices."""
    return _column(xp, x) * _eye(xp, x, x.shape[-1])


@hermitian
def _eigh(xp, g, outs, x):
    (of_values, of_vectors), (values, vectors) = g, outs
    inner = xp.astype(_inverse_differences(xp, values), x.dtype) * (_h(xp, vectors) @ of_vectors)
    inner = inner + _diag(xp, xp.astype(of_values, x.dtype))
    return _symmetric(xp, vectors @ inner @ _h(xp, vectors))


def eigvalsh(xp: Any, x: Any, /) -> Any:
    return xp.linalg.eigh(x)[0]


@hermitian
def _qr(xp, g, outs, x, *, mode="reduced"):
    (of_q, of_r), (q, r) = g, outs
    rows, columns = x.shape[-2:]
    if mode == "complete" and rows > columns:
        raise _no_gradient("qr with mode='complete' of a matrix of more rows than columns", "use mode='reduced'")
    rest = None
    if rows < columns:
        # The columns beyond the square part are Q times those of R.
        rest, of_rest = x[..., rows:], of_r[..., rows:]
        of_q = of_q + rest @ _h(xp, of_rest)
        r, of_r = r[..., :rows], of_r[..., :rows]
    inner = xp.triu(of_r @ _h(xp, r) - _h(xp, q) @ of_q)
    inner = inner + _h(xp, inner) - _symmetric(xp, inner) * _eye(xp, inner, inner.shape[-1])
    share = _h(xp, xp.linalg.solve(r, _h(xp, q @ inner + of_q)))
    return share if rest is None else xp.concat([share, q @ of_rest], axis=-1)


@hermitian
def _svd(xp, g, outs, x, *, full_matrices=True):
    if full_matrices and x.shape[-2] != x.shape[-1]:
        raise _no_gradient("svd of a matrix that is not square, with full_matrices=True", "use full_matrices=False")
    (of_u, of_s, of_vh), (u, s, vh) = g, outs
    of_v, v = _h(xp, of_vh), _h(xp, vh)
    wide = xp.astype(s, x.dtype)
    # 1 / (s_j^2 - s_i^2), as a product: squares would lose half of the digits.
    gaps = xp.astype(_inverse_differences(xp, s) / nonzero(xp, _row(xp, s) + _column(xp, s)), x.dtype)
    left, right = _h(xp, u) @ of_u, _h(xp, v) @ of_v
    inner = gaps * (left - _h(xp, left)) * _row(xp, wide) + _column(xp, wide) * (gaps * (right - _h(xp, right)))
    inner = inner + _diag(xp, xp.astype(of_s, x.dtype))
    if is_complex(xp, x):
        # The phases of the vectors are not determined; this is the part of the cotangents that turns both alike.
        inner = inner + _diag(xp, xp.astype(xp.imag(composed.diagonal(left)), x.dtype) * 1j / wide)
    share = u @ inner @ vh
    below = nonzero(xp, _row(xp, wide))
    share = share + ((of_u - u @ left) / below) @ vh
    return share + u @ _h(xp, (of_v - v @ right) / below)


def svdvals(xp: Any, x: Any, /) -> Any:
    return xp.linalg.svd(x, full_matrices=False)[1]


def _no_gradient(what, fix):
    return UnsupportedError(f"There is no gradient of {what}.", argument="x", fix=fix)


# -- norms -----------------------------------------------------------------------------------------------------------


def _norm(xp, g, out, x, *, axis=None, keepdims=False):
    # At 0, where the norm has a kink, the gradient is taken to be 0.
    return _conj(xp, x) * kept(xp, g / nonzero(xp, out), x, axis)


def vector_norm(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    if ord == 2:
        return xp.linalg._norm(x, axis=axis, keepdims=keepdims)
    return composed.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


RULES: dict[str, Any] = {
    "matmul": (_matmul_left, _matmul_right),
    "matrix_transpose": (lambda xp, g, out, x: xp.matrix_transpose(g),),
    "linalg._norm": (_norm,),
    "linalg.cholesky": (_cholesky,),
    "linalg.det": (_det,),
    "linalg.inv": (_inv,),
    "linalg.pinv": (_pinv,),
    "linalg.solve": (_solve_left, _solve_right),
}
SEVERAL: dict[str, Any] = {
    "linalg.eigh": _eigh,
    "linalg.qr": _qr,
    "linalg.slogdet": _slogdet,
    "linalg.svd": _svd,
}
_SHARED = ("cross", "diagonal", "matrix_norm", "matrix_power", "outer", "trace")
COMPOSITES = {
    "tensordot": tensordot,
    "vecdot": shared(composed.vecdot),
    **{f"linalg.{f.__name__}": f for f in (eigvalsh, svdvals, vector_norm)},
    **{f"linalg.{name}": shared(getattr(composed, name)) for name in _SHARED},
}
