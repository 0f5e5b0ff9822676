"""Reductions and running sums, for PyTorch's wide unsigned integers too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as _compat
import torch

from .dtypes import WIDE_UNSIGNED

__all__ = ["count_nonzero", "cumulative_prod", "cumulative_sum", "mean", "prod", "std", "sum"]

_UNSIGNED = (torch.uint8, *WIDE_UNSIGNED)


def _sum_type(dtype):
    return torch.uint64 if dtype in _UNSIGNED else None


def _fold(fun):
    def fold(x, /, *, axis=None, dtype=None, keepdims=False):
        dtype = _sum_type(x.dtype) if dtype is None else dtype
        if dtype not in WIDE_UNSIGNED:
            return fun(x, axis=axis, dtype=dtype, keepdims=keepdims)
        # Torch sums them as int64, which has the same bits.
        return fun(x.to(torch.int64), axis=axis, dtype=torch.int64, keepdims=keepdims).to(dtype)

    return fold


def _sum(x, axis, dtype, keepdims):
    if axis == ():  # torch would take () for all axes
        return _compat.sum(x, axis=(), dtype=dtype)
    return torch.sum(x, axis, keepdims, dtype=dtype)


sum: Callable[..., Any]
prod: Callable[..., Any]
sum, prod = _fold(_sum), _fold(_compat.prod)


def _cumulative(fun, start):
    def cumulative(x, /, *, axis=None, dtype=None, include_initial=False):
        if axis is None:
            if x.ndim > 1:
                raise ValueError("A cumulative function needs axis= unless the array has one axis.")
            axis = 0
        dtype = _sum_type(x.dtype) if dtype is None else dtype
        small = dtype in WIDE_UNSIGNED
        x = x.to(torch.int64) if small else x
        if include_initial:
            shape = [1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)]
            x = torch.cat((torch.full(shape, start, dtype=x.dtype, device=x.device), x), axis)
        out = fun(x, dim=axis, dtype=torch.int64 if small else dtype)
        return out.to(dtype) if small else out

    return cumulative


# Compat's functions use a cache that Dynamo warns about.
cumulative_sum: Callable[..., Any] = _cumulative(torch.cumsum, 0)
cumulative_prod: Callable[..., Any] = _cumulative(torch.cumprod, 1)


def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean; of integers, in the default floating dtype."""
    if not (x.is_floating_point() or x.is_complex()):
        x = x.to(torch.get_default_dtype())
    return x.clone() if axis == () else torch.mean(x, dim=axis, keepdim=keepdims)


def count_nonzero(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    return (x != 0).long() if axis == () else _compat.count_nonzero(x, axis=axis, keepdims=keepdims)


def std(x: Any, /, *, axis: Any = None, correction: Any = 0.0, keepdims: bool = False) -> Any:
    return torch.sqrt(_compat.var(x, axis=axis, correction=correction, keepdims=keepdims))
