"""JAX's linear algebra, with determinants of empty matrices, and other derivatives where values are special.

They are those of the other backends: 0 for norms at 0, NaN for `slogdet` of singular matrices only, and for vectors of
equal values those of `adjoints`. JAX takes them forward, so they are written once more here.
"""

from __future__ import annotations

from typing import Any

import jax as _jax
import jax.numpy as _jnp

from .. import adjoints as _adjoints
from .. import composed as _composed
from .. import results as _results

globals().update({name: getattr(_jnp.linalg, name) for name in dir(_jnp.linalg) if not name.startswith("__")})

vector_norm = _composed.vector_norm
matrix_norm = _composed.matrix_norm


def det(x: Any, /) -> Any:
    return _jnp.linalg.det(x) if x.shape[-1] else _jnp.ones(x.shape[:-2], x.dtype)


def slogdet(x: Any, /) -> Any:
    sign, logarithm = _jnp.linalg.slogdet(x)
    singular = logarithm == -_jnp.inf
    return _results.Slogdet(sign, _jnp.where(singular, _jnp.log(_composed.zero_of(x, singular)), logarithm))


@_jax.custom_jvp
def _eigh(x):
    return tuple(_jnp.linalg.eigh(x))


@_eigh.defjvp
def _(primals, tangents):
    values, vectors = outs = _eigh(*primals)
    inner = _adjoints.adjoint(_jnp, vectors) @ _hermitian(*tangents) @ vectors
    turn = _adjoints.inverse_differences(_jnp, values) * inner
    return outs, (_jnp.real(_composed.diagonal(inner)), vectors @ turn)


def _hermitian(x):
    return (x + _adjoints.adjoint(_jnp, x)) / 2


def eigh(x: Any, /) -> Any:
    return _results.Eigh(*_eigh(x))


@_jax.custom_jvp
def eig(x: Any, /) -> Any:
    return tuple(_jnp.linalg.eig(x))


@eig.defjvp
def _(primals, tangents):
    values, vectors = outs = eig(*primals)
    inner = _jnp.linalg.solve(vectors, tangents[0] @ vectors)
    turn = vectors @ (_adjoints.inverse_differences(_jnp, values) * inner)
    # The vectors keep length 1.
    longer = _jnp.real(_jnp.sum(_jnp.conj(vectors) * turn, axis=-2, keepdims=True))
    return outs, (_composed.diagonal(inner), turn - vectors * longer)


@_jax.custom_jvp
def _svd(x):
    return tuple(_jnp.linalg.svd(x, full_matrices=False))


@_svd.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    u, s, vh = outs = _svd(x)
    v = _adjoints.adjoint(_jnp, vh)
    inner = _adjoints.adjoint(_jnp, u) @ dx @ v
    alike = _adjoints.inverse_differences(_jnp, s) * _hermitian(inner)
    against = _adjoints.inverse_sums(_jnp, s) * (inner - _hermitian(inner))
    below = _jnp.where(s == 0, 1, s)[..., None, :]
    du = u @ (alike + against) + (dx @ v - u @ inner) / below
    dv = v @ (alike - against) + _adjoints.adjoint(_jnp, dx - u @ (inner @ vh)) @ u / below
    return outs, (du, _jnp.real(_composed.diagonal(inner)), _adjoints.adjoint(_jnp, dv))


def svd(x: Any, /, *, full_matrices: bool = True) -> Any:
    apart = full_matrices and x.shape[-2] != x.shape[-1]
    return _jnp.linalg.svd(x) if apart else _results.SVD(*_svd(x))
