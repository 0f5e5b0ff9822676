"""PyTorch's lowerings of linear algebra."""

from __future__ import annotations

import torch

from ... import ops
from ...arrays import dtype_name
from ...ops._op import lowering
from ...ops.contraction import parse
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
    if len(operands) > 2 or not _alike(*operands):
        return NotImplemented
    if any(1 in x.shape for x in operands) and _repeats(subscripts, operands):
        return NotImplemented  # the reference refuses it
    return torch.einsum(subscripts, *operands)


def _repeats(subscripts, operands) -> bool:
    """Whether one letter stands for several sizes; torch repeats what has the size 1."""
    terms, _ = parse(subscripts, [x.ndim for x in operands])
    pairs = {
        (axis, n)
        for x, term in zip(operands, terms, strict=True)
        for axis, n in zip(term, x.shape, strict=True)
        if isinstance(axis, str)
    }
    return len(dict(pairs)) < len(pairs)


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
