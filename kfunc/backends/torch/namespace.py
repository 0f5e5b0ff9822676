"""PyTorch's Array API namespace: array_api_compat's, less what is slow, breaks `fullgraph` or strays from the standard.

A module, and not an object, because Dynamo reads modules without a guard for each attribute.
"""

from __future__ import annotations

import builtins as _builtins

import array_api_compat.torch as _compat
import torch as _torch

from .. import _complex, results
from ..standard import promote as _standard_promote

# From here on `int`, `any`, `sum` and the like are PyTorch's.
globals().update({name: getattr(_compat, name) for name in dir(_compat) if not name.startswith("__")})

from . import linalg  # noqa: E402  (the standard's extension, in place of compat's)

__array_api_version__ = "2024.12"


# -- dtypes ------------------------------------------------------------------------------------------------------------

_WIDE_UNSIGNED = (_torch.uint16, _torch.uint32, _torch.uint64)
"""Dtypes that PyTorch stores, and has hardly any arithmetic for."""


def _promote(a, b):
    if a == b:
        return a
    if a in _WIDE_UNSIGNED or b in _WIDE_UNSIGNED:
        name = _standard_promote(str(a)[6:], str(b)[6:])
        if name is not None:
            return getattr(_torch, name)
    return _torch.promote_types(a, b)


def _scalar_type(scalar, dtype):
    """The dtype of what a Python number and a tensor of `dtype` make together."""
    if isinstance(scalar, _builtins.complex):
        return dtype if dtype.is_complex else _torch.promote_types(dtype, _torch.complex64)
    if isinstance(scalar, _builtins.float):
        return dtype if dtype.is_floating_point or dtype.is_complex else _torch.get_default_dtype()
    return _torch.int64 if dtype == _torch.bool and scalar is not True and scalar is not False else dtype


def result_type(*arrays_and_dtypes):
    """The standard's common dtype; Python scalars adapt to the arrays."""
    dtype, scalars = None, []
    for x in arrays_and_dtypes:
        if isinstance(x, _torch.Tensor):
            x = x.dtype
        elif not isinstance(x, _torch.dtype):
            scalars.append(x)
            continue
        dtype = x if dtype is None else _promote(dtype, x)
    if dtype is None:
        raise ValueError("result_type needs an array or a dtype.")
    for scalar in scalars:
        dtype = _scalar_type(scalar, dtype)
    return dtype


_FLOATING = (_torch.float16, _torch.bfloat16, _torch.float32, _torch.float64, _torch.complex64, _torch.complex128)


def _finfo(dtype):
    real = dtype.to_real() if dtype.is_complex else dtype
    info = _torch.finfo(real)
    return results.Finfo(info.bits, info.eps, info.max, info.min, info.smallest_normal, real)


_FINFO = {d: _finfo(d) for d in _FLOATING}


def finfo(type, /):
    """Limits of a floating dtype (of an array, or itself); of its parts for a complex one."""
    dtype = type.dtype if isinstance(type, _torch.Tensor) else type
    return _FINFO[dtype] if dtype in _FINFO else _finfo(dtype)


def iinfo(type, /):
    """Limits of an integer dtype (of an array, or itself)."""
    dtype = type.dtype if isinstance(type, _torch.Tensor) else type
    info = _torch.iinfo(dtype)
    return results.Iinfo(info.bits, info.max, info.min, dtype)


def astype(x, dtype, /, *, copy=True, device=None):
    return x.to(dtype=dtype, device=device, copy=copy and x.dtype == dtype)


class __array_namespace_info__(_compat.__array_namespace_info__):
    """What this namespace can do, in the standard's terms."""

    def devices(self):
        return list(super().devices())


# -- elementwise -------------------------------------------------------------------------------------------------------


def _with_scalars(fun):
    """`fun` of two arrays, where one may be a Python number; compat's own promotion is opaque to Dynamo."""

    def binary(x1, x2, /):
        if not isinstance(x1, _torch.Tensor):
            x1 = _torch.tensor(x1, dtype=_scalar_type(x1, x2.dtype), device=x2.device)
        elif not isinstance(x2, _torch.Tensor):
            x2 = _torch.tensor(x2, dtype=_scalar_type(x2, x1.dtype), device=x1.device)
        if x1.dtype != x2.dtype:
            # Torch lets 0-d arrays lose against others; the standard does not.
            dtype = _promote(x1.dtype, x2.dtype)
            x1, x2 = x1.to(dtype), x2.to(dtype)
        return fun(x1, x2)

    return binary


maximum = _with_scalars(_torch.maximum)
minimum = _with_scalars(_torch.minimum)
atan2 = _with_scalars(_torch.atan2)
hypot = _with_scalars(_torch.hypot)
logaddexp = _with_scalars(_torch.logaddexp)
nextafter = _with_scalars(_torch.nextafter)
matmul = _with_scalars(_torch.matmul)


@_with_scalars
def floor_divide(x1, x2):
    out = _torch.floor_divide(x1, x2)
    if not out.is_floating_point():
        return out
    # Torch subtracts the remainder first, which an infinity has none of.
    return _torch.where(_torch.isinf(x1) | _torch.isinf(x2), _torch.floor(x1 / x2), out)


@_with_scalars
def remainder(x1, x2):
    out = _torch.remainder(x1, x2)
    if not out.is_floating_point():
        return out
    # A zero takes the sign of the divisor, and keeps its gradient: what is subtracted is +0.
    value = out.detach()
    return _torch.where(value == 0, _torch.copysign(value, x2.detach()) - (value - out), out)


def _with_complex(of_reals, of_parts):
    def unary(x, /):
        if not x.dtype.is_complex:
            return of_reals(x)
        return _torch.complex(*of_parts(_torch, x.real, x.imag))

    return unary


expm1 = _with_complex(_torch.expm1, _complex.expm1)
log1p = _with_complex(_torch.log1p, _complex.log1p)


def where(condition, x1, x2, /):
    if isinstance(x1, _torch.Tensor) and isinstance(x2, _torch.Tensor) and x1.dtype == x2.dtype:
        return _torch.where(condition, x1, x2)
    return _compat.where(condition, x1, x2)


# -- manipulation ------------------------------------------------------------------------------------------------------


def permute_dims(x, /, axes):
    return x.permute(axes)


def reshape(x, /, shape, *, copy=None):
    return x.reshape(shape) if copy is None else _compat.reshape(x, shape, copy=copy)


def stack(arrays, /, *, axis=0):
    return _torch.stack(tuple(arrays), axis)


def meshgrid(*arrays, indexing="xy"):
    return list(_compat.meshgrid(*arrays, indexing=indexing))


def broadcast_arrays(*arrays):
    return list(_compat.broadcast_arrays(*arrays))


# -- indexing and sets -------------------------------------------------------------------------------------------------


def _from_the_start(indices, size):
    """`indices` with negative ones counted from the end."""
    return _torch.where(indices < 0, indices + size, indices)


def _checked(indices):
    """Whether torch checks such indices as it gathers, so that negative ones are an error, and no access beyond."""
    return (
        indices.is_cpu and not _torch.compiler.is_compiling() and _torch._C._functorch.peek_interpreter_stack() is None
    )


def take(x, indices, /, *, axis=None):
    """Elements of `x` at `indices` along `axis`; negative ones count from the end."""
    if axis is None:
        if x.ndim != 1:
            raise ValueError("take needs axis= unless the array has one axis.")
        axis = 0
    if indices.dtype not in (_torch.int64, _torch.int32):
        indices = indices.to(_torch.int64)
    if indices.ndim != 1:
        return x[(slice(None),) * (axis % x.ndim) + (indices,)]
    if _checked(indices):
        try:
            return _torch.index_select(x, axis, indices)
        except (IndexError, RuntimeError):
            pass  # some are negative, or too large; which of the errors it is depends on the axis
    return _torch.index_select(x, axis, _from_the_start(indices, x.shape[axis]))


def take_along_axis(x, indices, /, *, axis=-1):
    indices = indices.long()
    if _checked(indices):
        try:
            return _torch.take_along_dim(x, indices, axis)
        except (IndexError, RuntimeError):
            pass
    return _torch.take_along_dim(x, _from_the_start(indices, x.shape[axis]), axis)


def unique_all(x, /):
    """The distinct elements in order, where each is first, which of them each element is, and how many of each."""
    flat = x.reshape(-1)
    order = _torch.argsort(flat, stable=True)
    ordered = flat[order]
    # Each NaN is an element of its own, as no two are equal.
    new = _torch.cat([_torch.ones_like(ordered[:1], dtype=_torch.bool), ordered[1:] != ordered[:-1]])
    starts = _torch.nonzero(new)[:, 0]
    inverse = _torch.empty_like(order).scatter_(0, order, _torch.cumsum(new, 0) - 1)
    counts = _torch.diff(starts, append=starts.new_tensor([flat.shape[0]]))
    return results.UniqueAll(ordered[starts], order[starts], inverse.reshape(x.shape), counts)


# -- reductions --------------------------------------------------------------------------------------------------------


_UNSIGNED = (_torch.uint8, *_WIDE_UNSIGNED)


def _sum_type(dtype):
    return _torch.uint64 if dtype in _UNSIGNED else None


def _fold(fun):
    def fold(x, /, *, axis=None, dtype=None, keepdims=False):
        dtype = _sum_type(x.dtype) if dtype is None else dtype
        if dtype not in _WIDE_UNSIGNED:
            return fun(x, axis=axis, dtype=dtype, keepdims=keepdims)
        # Torch sums them as int64, which has the same bits.
        return fun(x.to(_torch.int64), axis=axis, dtype=_torch.int64, keepdims=keepdims).to(dtype)

    return fold


def _sum(x, axis, dtype, keepdims):
    if axis == ():  # which means every axis to torch
        return _compat.sum(x, axis=(), dtype=dtype)
    return _torch.sum(x, axis, keepdims, dtype=dtype)


sum, prod = _fold(_sum), _fold(_compat.prod)


def _cumulative(fun, start):
    def cumulative(x, /, *, axis=None, dtype=None, include_initial=False):
        if axis is None:
            if x.ndim > 1:
                raise ValueError("axis must be given for an array of more than one axis")
            axis = 0
        dtype = _sum_type(x.dtype) if dtype is None else dtype
        small = dtype in _WIDE_UNSIGNED
        x = x.to(_torch.int64) if small else x
        if include_initial:
            shape = [1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)]
            x = _torch.cat((_torch.full(shape, start, dtype=x.dtype, device=x.device), x), axis)
        out = fun(x, dim=axis, dtype=_torch.int64 if small else dtype)
        return out.to(dtype) if small else out

    return cumulative


# Compat's own ask for the namespace through a cache that Dynamo warns of.
cumulative_sum = _cumulative(_torch.cumsum, 0)
cumulative_prod = _cumulative(_torch.cumprod, 1)


def mean(x, /, *, axis=None, keepdims=False):
    """The mean; of integers, in the default floating dtype."""
    if not (x.is_floating_point() or x.is_complex()):
        x = x.to(_torch.get_default_dtype())
    return x.clone() if axis == () else _torch.mean(x, dim=axis, keepdim=keepdims)


def std(x, /, *, axis=None, correction=0.0, keepdims=False):
    return _torch.sqrt(_compat.var(x, axis=axis, correction=correction, keepdims=keepdims))


# -- linear algebra ----------------------------------------------------------------------------------------------------

tensordot, vecdot = linalg.tensordot, linalg.vecdot
