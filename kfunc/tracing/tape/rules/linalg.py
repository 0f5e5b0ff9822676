"""Rules of matrix products and of the `linalg` extension, for stacks of matrices.

The rules of decompositions, some of them in `backends.adjoints`, are in the usual form, for conjugated cotangents;
`hermitian` brings them to JAX's convention.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from ....arrays import device
from ....backends import adjoints, composed
from ....backends.adjoints import adjoint as _h
from ....backends.adjoints import column as _column
from ....backends.adjoints import conj as _conj
from ....backends.adjoints import eye as _eye
from ....backends.adjoints import nonzero
from ....backends.adjoints import row as _row
from ....errors import UnsupportedError
from .elementwise import shared
from .reductions import kept

__all__ = ["COMPOSITES", "OF_OPS", "RULES", "SEVERAL"]


def _t(xp, x):
    return xp.matrix_transpose(x)


def hermitian(rule: Any) -> Any:
    """A rule of conjugated cotangents as a rule of cotangents. For real arrays they are the same."""

    @functools.wraps(rule)
    def plain(xp, g, *args, **kwargs):
        g = tuple(_conj(xp, part) for part in g) if isinstance(g, tuple) else _conj(xp, g)
        return _conj(xp, rule(xp, g, *args, **kwargs))

    return plain


def _scalar(xp, x):
    """Numbers, to be multiplied with matrices."""
    return _column(xp, _column(xp, x))


# -- products --------------------------------------------------------------------------------------------------------


def _over_all_but_last(xp, x):
    return xp.sum(x, axis=tuple(range(x.ndim - 1))) if x.ndim > 1 else x


def _matmul_left(xp, g, out, x, y):
    if x.ndim == 1 and y.ndim == 1:
        return g * y
    if x.ndim == 1:
        share = xp.squeeze(xp.matmul(xp.expand_dims(g, axis=-2), _t(xp, y)), axis=-2)
        # A vector on the left was broadcast over the batch of the matrix on the right.
        return _over_all_but_last(xp, share)
    if y.ndim == 1:
        return _column(xp, g) * y
    return xp.matmul(g, _t(xp, y))


def _matmul_right(xp, g, out, x, y):
    if x.ndim == 1 and y.ndim == 1:
        return g * x
    if x.ndim == 1:
        return _column(xp, x) * xp.expand_dims(g, axis=-2)
    if y.ndim == 1:
        return _over_all_but_last(xp, _column(xp, g) * x)
    if y.ndim == 2 and x.ndim > 2:
        # One product for the whole batch is faster than one for each sample and their sum.
        rows = math.prod(x.shape[:-1])  # -1 cannot be found where the last size is 0
        x, g = xp.reshape(x, (rows, x.shape[-1])), xp.reshape(g, (rows, g.shape[-1]))
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


def _svd(xp, g, outs, x, *, full_matrices=True):
    if full_matrices and x.shape[-2] != x.shape[-1]:
        raise _no_gradient("svd of a matrix that is not square, with full_matrices=True", "use full_matrices=False")
    return hermitian(adjoints.svd)(xp, g, outs, x)


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
    "linalg.pinv": (lambda xp, g, out, x, **_: hermitian(adjoints.pinv)(xp, g, out, x),),
    "linalg.solve": (_solve_left, _solve_right),
}
SEVERAL: dict[str, Any] = {
    "linalg.eigh": hermitian(adjoints.eigh),
    "linalg.qr": _qr,
    "linalg.slogdet": hermitian(adjoints.slogdet),
    "linalg.svd": _svd,
}
OF_OPS: dict[str, Any] = {"eig": hermitian(adjoints.eig)}
_SHARED = ("cross", "diagonal", "matrix_norm", "matrix_power", "outer", "trace")
COMPOSITES = {
    "tensordot": tensordot,
    "vecdot": shared(composed.vecdot),
    **{f"linalg.{f.__name__}": f for f in (eigvalsh, svdvals, vector_norm)},
    **{f"linalg.{name}": shared(getattr(composed, name)) for name in _SHARED},
}
