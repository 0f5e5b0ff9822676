"""PyTorch's Array API namespace: array_api_compat's, less what breaks `fullgraph` or costs too much.

A module, and not an object, because Dynamo reads modules without a guard for each attribute.
"""

from __future__ import annotations

import array_api_compat.torch as _compat
import torch as _torch

globals().update({name: getattr(_compat, name) for name in dir(_compat) if not name.startswith("__")})

__array_api_version__ = _compat.__array_api_version__


def _with_scalars(fun):
    """`fun` of two arrays, where one may be a Python number; compat's own promotion is opaque to Dynamo."""

    def binary(x1, x2, /):
        if not isinstance(x1, _torch.Tensor):
            x1 = _torch.tensor(x1, dtype=x2.dtype, device=x2.device)
        elif not isinstance(x2, _torch.Tensor):
            x2 = _torch.tensor(x2, dtype=x1.dtype, device=x1.device)
        elif x1.dtype != x2.dtype:
            # Torch lets 0-d arrays lose against others; the standard does not.
            dtype = result_type(x1, x2)
            x1, x2 = x1.to(dtype), x2.to(dtype)
        return fun(x1, x2)

    return binary


def result_type(*arrays_and_dtypes):
    """The standard's common dtype; Python scalars adapt to the arrays."""
    if any(isinstance(x, bool | int | float | complex) for x in arrays_and_dtypes):
        rest = [x for x in arrays_and_dtypes if not isinstance(x, bool | int | float | complex)]
        dtype = result_type(*rest)
        if any(isinstance(x, complex) for x in arrays_and_dtypes) and not dtype.is_complex:
            return _torch.promote_types(dtype, _torch.complex64)
        return dtype
    dtypes = [x.dtype if isinstance(x, _torch.Tensor) else x for x in arrays_and_dtypes]
    dtype = dtypes[0]
    for other in dtypes[1:]:
        dtype = _torch.promote_types(dtype, other)
    return dtype


maximum = _with_scalars(_torch.maximum)
minimum = _with_scalars(_torch.minimum)
atan2 = _with_scalars(_torch.atan2)
hypot = _with_scalars(_torch.hypot)
logaddexp = _with_scalars(_torch.logaddexp)
nextafter = _with_scalars(_torch.nextafter)
matmul = _with_scalars(_torch.matmul)


def where(condition, x1, x2, /):
    if isinstance(x1, _torch.Tensor) and isinstance(x2, _torch.Tensor) and x1.dtype == x2.dtype:
        return _torch.where(condition, x1, x2)
    return _compat.where(condition, x1, x2)


def permute_dims(x, /, axes):
    return x.permute(axes)


def reshape(x, /, shape, *, copy=None):
    return x.reshape(shape) if copy is None else _compat.reshape(x, shape, copy=copy)


def mean(x, /, *, axis=None, keepdims=False):
    return _torch.mean(x, dim=axis, keepdim=keepdims) if x.dtype.is_floating_point else _compat.mean(x, axis=axis)


def take(x, indices, /, *, axis):
    return _torch.index_select(x, axis, indices) if indices.ndim == 1 else _compat.take(x, indices, axis=axis)


def take_along_axis(x, indices, /, *, axis=-1):
    return _torch.take_along_dim(x, indices.long(), axis)  # no other integers will do


def stack(arrays, /, *, axis=0):
    return _torch.stack(tuple(arrays), axis)


def astype(x, dtype, /, *, copy=True, device=None):
    return x.to(dtype=dtype, device=device, copy=copy and x.dtype == dtype)
