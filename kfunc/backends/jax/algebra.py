"""JAX's lowerings of linear algebra, and of the check for finite numbers, which is fastest as a product."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ...arrays import dtype_name
from ...ops import all_finite, eig, lu_factor, solve_triangular, view
from ...ops._op import lowering
from . import linalg
from .backend import backend

__all__: list[str] = []

_LARGE = 1 << 14  # elements


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
    return linalg.eig(x)


@lowering(backend, view)
def _view(x, dtype=None):
    return x if dtype is None else x.view(dtype_name(dtype))


@lowering(backend, all_finite)
def _all_finite(*arrays):
    large = [x.size >= _LARGE and x.dtype in (jnp.float32, jnp.float64) for x in arrays]
    if jax.default_backend() != "cpu" or not any(large):
        return NotImplemented

    # On a CPU, a sum by a product takes a third of the time that a test of each number takes.
    return jnp.stack(
        [jnp.isfinite(_sum(x) if is_large else x).all() for x, is_large in zip(arrays, large, strict=True)]
    )


def _sum(x):
    """The sum of the numbers, which are scaled down so far that a sum of finite numbers cannot overflow."""
    x = x.reshape(-1, x.shape[-1])
    halves = x.reshape(1 + (len(x) % 2 == 0), -1, x.shape[-1])  # so that two cores work on them at the same time
    small = 2.0 ** (-jnp.finfo(x.dtype).maxexp // 2)
    return jnp.sum(jnp.einsum("bk,bkn->bn", jnp.full(halves.shape[:2], small, x.dtype), halves))
