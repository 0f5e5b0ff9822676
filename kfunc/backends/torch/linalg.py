"""The Array API standard's linear algebra extension for PyTorch: array_api_compat's, for all integers too."""

from __future__ import annotations

from typing import Any

import array_api_compat.torch.linalg as _compat
import torch as _torch

from .. import composed as _composed
from .dtypes import WIDE_UNSIGNED as _WIDE_UNSIGNED
from .dtypes import result_type as _result_type
from .reductions import sum as _sum

globals().update({name: getattr(_compat, name) for name in dir(_compat) if not name.startswith("_")})


def _product(fun, x1, x2, **kwargs):
    """`fun` of two arrays in the standard's common dtype; in int64, which has the same bits, for unsigned integers."""
    dtype = _result_type(x1, x2)
    small = dtype in _WIDE_UNSIGNED
    x1, x2 = (x.to(_torch.int64 if small else dtype) for x in (x1, x2))
    out = fun(x1, x2, **kwargs)
    return out.to(dtype) if small else out


def matmul(x1: Any, x2: Any, /) -> Any:
    return _product(_torch.matmul, x1, x2)


def outer(x1: Any, x2: Any, /) -> Any:
    return _product(_torch.outer, x1, x2)


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    return _product(_compat.tensordot, x1, x2, axes=axes)


def vecdot(x1: Any, x2: Any, /, *, axis: Any = -1) -> Any:
    return _product(_compat.vecdot, x1, x2, axis=axis)


def cross(x1: Any, x2: Any, /, *, axis: Any = -1) -> Any:
    return _product(_compat.cross, x1, x2, axis=axis)


def det(x: Any, /) -> Any:
    out = _compat.det(x)
    plain = x.is_complex() or not (x.requires_grad and _torch.is_grad_enabled()) or _torch.compiler.is_compiling()
    if plain or _torch._C._functorch.peek_interpreter_stack() is not None:
        return out
    # Torch moves a singular matrix a little before it inverts it, and then finds no gradient.
    singular = out.detach() == 0
    if not singular.any():
        return out
    regular = _compat.det(
        _torch.where(singular[..., None, None], _torch.eye(x.shape[-1], dtype=x.dtype, device=x.device), x)
    )
    return _torch.where(singular, _composed.det(x, x.detach(), singular), regular)


def trace(x: Any, /, *, offset: Any = 0, dtype: Any = None) -> Any:
    return _sum(_compat.diagonal(x, offset=offset), axis=-1, dtype=dtype)
