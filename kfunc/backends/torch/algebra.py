"""PyTorch's lowerings of linear algebra."""

from __future__ import annotations

import torch

from ... import ops
from ...arrays import dtype_name
from ...ops._op import lowering
from .backend import backend

__all__: list[str] = []


def _alike(*xs) -> bool:
    """Whether these are tensors of one floating-point dtype; torch's own functions take no others."""
    if not all(isinstance(x, torch.Tensor) for x in xs):
        return False
    return all(x.dtype == xs[0].dtype for x in xs) and (xs[0].dtype.is_floating_point or xs[0].dtype.is_complex)


@lowering(backend, ops.einsum)
def _einsum(subscripts, *operands):
    # For more than two arrays the reference takes less time than torch.
    return torch.einsum(subscripts, *operands) if len(operands) < 3 and _alike(*operands) else NotImplemented


@lowering(backend, ops.solve_triangular)
def _solve_triangular(a, b, lower=False):
    if not _alike(a, b) or a.ndim != b.ndim:
        return NotImplemented
    return torch.linalg.solve_triangular(a, b, upper=not lower)


@lowering(backend, ops.lu_factor)
def _lu_factor(x):
    if not _alike(x):
        return NotImplemented
    factors, pivots, _ = torch.linalg.lu_factor_ex(x)  # which does not refuse singular matrices
    return factors, pivots - 1  # LAPACK counts from 1


@lowering(backend, ops.eig)
def _eig(x):
    return tuple(torch.linalg.eig(x)) if _alike(x) else NotImplemented


@lowering(backend, ops.view)
def _view(x, dtype=None):
    return x if dtype is None else x.contiguous().view(getattr(torch, dtype_name(dtype)))
