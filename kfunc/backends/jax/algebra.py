"""JAX's lowerings of linear algebra: the factorisations that it has."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ...arrays import dtype_name
from ...ops import eig, lu_factor, solve_triangular, view
from ...ops._op import lowering
from . import backend

__all__: list[str] = []


@lowering(backend, solve_triangular)
def _solve_triangular(a, b, lower=False):
    floats = isinstance(a, jax.Array) and isinstance(b, jax.Array) and jnp.issubdtype(a.dtype, jnp.inexact)
    if not floats or a.dtype != b.dtype or a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2]:
        return NotImplemented
    return jax.lax.linalg.triangular_solve(a, b, left_side=True, lower=lower)


@lowering(backend, lu_factor)
def _lu_factor(x):
    return tuple(jax.scipy.linalg.lu_factor(x)) if jnp.issubdtype(x.dtype, jnp.inexact) else NotImplemented


@lowering(backend, eig)
def _eig(x):
    return tuple(jnp.linalg.eig(x))


@lowering(backend, view)
def _view(x, dtype=None):
    return x if dtype is None else x.view(dtype_name(dtype))
