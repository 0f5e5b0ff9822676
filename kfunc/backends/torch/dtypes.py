"""PyTorch's dtypes: how they promote, and their limits."""

from __future__ import annotations

from typing import Any

import torch

from .. import results, standard

__all__ = ["WIDE_UNSIGNED", "finfo", "iinfo", "promote", "result_type", "scalar_type"]

WIDE_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
"""Dtypes that PyTorch can store, but has hardly any arithmetic for."""


def promote(a: Any, b: Any) -> Any:
    if a == b:
        return a
    if a in WIDE_UNSIGNED or b in WIDE_UNSIGNED:
        name = standard.promote(str(a)[6:], str(b)[6:])
        if name is not None:
            return getattr(torch, name)
    return torch.promote_types(a, b)


def scalar_type(scalar: Any, dtype: Any) -> Any:
    """The dtype of a sum of a Python number and a tensor of `dtype`."""
    if isinstance(scalar, complex):
        return dtype if dtype.is_complex else torch.promote_types(dtype, torch.complex64)
    if isinstance(scalar, float):
        return dtype if dtype.is_floating_point or dtype.is_complex else torch.get_default_dtype()
    return torch.int64 if dtype == torch.bool and scalar is not True and scalar is not False else dtype


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The standard's common dtype; Python scalars adapt to the arrays."""
    dtype, scalars = None, []
    for x in arrays_and_dtypes:
        if isinstance(x, torch.Tensor):
            x = x.dtype
        elif not isinstance(x, torch.dtype):
            scalars.append(x)
            continue
        dtype = x if dtype is None else promote(dtype, x)
    if dtype is None:
        raise ValueError("result_type needs an array or a dtype.")
    for scalar in scalars:
        dtype = scalar_type(scalar, dtype)
    return dtype


_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128)


def _finfo(dtype):
    real = dtype.to_real() if dtype.is_complex else dtype
    info = torch.finfo(real)
    return results.Finfo(info.bits, info.eps, info.max, info.min, info.smallest_normal, real)


_FINFO = {d: _finfo(d) for d in _FLOATING}


def finfo(type: Any, /) -> Any:
    """Limits of a floating dtype (of an array, or itself); of its parts for a complex one."""
    dtype = type.dtype if isinstance(type, torch.Tensor) else type
    return _FINFO[dtype] if dtype in _FINFO else _finfo(dtype)


def iinfo(type: Any, /) -> Any:
    """Limits of an integer dtype (of an array, or itself)."""
    dtype = type.dtype if isinstance(type, torch.Tensor) else type
    info = torch.iinfo(dtype)
    return results.Iinfo(info.bits, info.max, info.min, dtype)
