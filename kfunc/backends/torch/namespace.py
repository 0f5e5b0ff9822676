"""PyTorch's Array API namespace: array_api_compat's, where functions that are slow or wrong are replaced.

Some of these break `fullgraph`, others differ from the standard. The namespace is a module, and not an object, because
Dynamo reads modules without a guard for each attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as _compat
import torch as _torch

from .. import _complex, results
from .. import composed as _composed

# From here on `int`, `any`, `sum` and the like are PyTorch's.
globals().update({name: getattr(_compat, name) for name in dir(_compat) if not name.startswith("__")})

from . import linalg  # noqa: E402  (the standard's extension, in place of compat's)
from .dtypes import finfo, iinfo, result_type  # noqa: E402, F401
from .dtypes import promote as _promote  # noqa: E402
from .dtypes import scalar_type as _scalar_type  # noqa: E402
from .levels import differentiated_twice as _differentiated_twice  # noqa: E402
from .levels import in_functorch as _in_functorch  # noqa: E402
from .reductions import count_nonzero, cumulative_prod, cumulative_sum, mean, prod, std, sum  # noqa: E402, F401

__array_api_version__ = "2024.12"


# -- dtypes ------------------------------------------------------------------------------------------------------------


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return x.to(dtype=dtype, device=device, copy=copy and x.dtype == dtype)


class __array_namespace_info__(_compat.__array_namespace_info__):
    """What this namespace can do, in the standard's terms."""

    def devices(self) -> Any:
        return list(super().devices())


# -- elementwise -------------------------------------------------------------------------------------------------------


def _with_scalars(fun):
    """`fun` of two arrays, one of which may be a Python number. Dynamo cannot trace compat's own promotion."""

    def binary(x1, x2, /):
        if not isinstance(x1, _torch.Tensor):
            x1 = _torch.tensor(x1, dtype=_scalar_type(x1, x2.dtype), device=x2.device)
        elif not isinstance(x2, _torch.Tensor):
            x2 = _torch.tensor(x2, dtype=_scalar_type(x2, x1.dtype), device=x1.device)
        if x1.dtype != x2.dtype:
            # In torch, an array without axes does not count in promotion; in the standard it does.
            dtype = _promote(x1.dtype, x2.dtype)
            x1, x2 = x1.to(dtype), x2.to(dtype)
        return fun(x1, x2)

    return binary


maximum: Callable[..., Any] = _with_scalars(_torch.maximum)
minimum: Callable[..., Any] = _with_scalars(_torch.minimum)
atan2: Callable[..., Any] = _with_scalars(_torch.atan2)


@_with_scalars
def hypot(x1: Any, x2: Any) -> Any:
    # Torch's gradient is NaN at 0, and where an argument is infinite.
    if x1.requires_grad or x2.requires_grad:
        return _composed.hypot(x1, x2, _torch.hypot)
    return _torch.hypot(x1, x2)


@_with_scalars
def logaddexp(x1: Any, x2: Any) -> Any:
    if not (x1.requires_grad or x2.requires_grad):
        return _torch.logaddexp(x1, x2)
    # Torch's gradient is NaN for equal infinities.
    same = (x1 == x2) & _torch.isinf(x1)
    a, b = _torch.where(same, 0, x1), _torch.where(same, 0, x2)
    if _differentiated_twice():  # torch's second derivative is NaN where the arguments are far apart
        first = a >= b
        high, low = _torch.where(first, a, b), _torch.where(first, b, a)
        out = high + _torch.nn.functional.softplus(low - high)
    else:
        out = _torch.logaddexp(a, b)
    return _torch.where(same, (x1 + x2) / 2, out)


@_with_scalars
def pow(x1: Any, x2: Any) -> Any:
    if not x2.is_floating_point() or not (x2.requires_grad or _differentiated_twice()):
        return _torch.pow(x1, x2)
    # Torch's second derivative lacks the mixed term at exponents of 0, and is NaN at bases of 0. There, the exponent
    # has no slope, but that of `x ** 1` is 1, times the exponent.
    zero, flat = x1 == 0, x2 == 0
    base = _torch.where(zero, 1, x1)
    positive = flat & (base > 0)
    one = _torch.exp(_torch.where(flat, x2, 0) * _torch.log(_torch.where(positive, base, 1)))
    of_zero = _torch.pow(_torch.where(zero & ~flat, x1, 1), x2.detach())
    first = x2 == 1
    product = _torch.where(zero, x1, 0) * _torch.where(first, x2, 1)
    of_zero = _torch.where(first, product, of_zero)
    return _torch.where(zero, of_zero, _torch.where(positive, one, _torch.pow(base, x2)))


nextafter: Callable[..., Any] = _with_scalars(_torch.nextafter)
matmul: Callable[..., Any] = _with_scalars(_torch.matmul)


@_with_scalars
def floor_divide(x1: Any, x2: Any) -> Any:
    out = _torch.floor_divide(x1, x2)
    if not out.is_floating_point():
        return out
    # Torch subtracts the remainder first, and the remainder of an infinity is NaN.
    return _torch.where(_torch.isinf(x1) | _torch.isinf(x2), _torch.floor(x1 / x2), out)


@_with_scalars
def remainder(x1: Any, x2: Any) -> Any:
    out = _torch.remainder(x1, x2)
    if not out.is_floating_point():
        return out
    # A zero gets the sign of the divisor. To keep its gradient, `value - out`, which is +0, is subtracted.
    value = out.detach()
    return _torch.where(value == 0, _torch.copysign(value, x2.detach()) - (value - out), out)


def _with_complex(of_reals, of_parts):
    def unary(x, /):
        if not x.dtype.is_complex:
            return of_reals(x)
        return _torch.complex(*of_parts(_torch, x.real, x.imag))

    return unary


expm1: Callable[..., Any] = _with_complex(_torch.expm1, _complex.expm1)
log1p: Callable[..., Any] = _with_complex(_torch.log1p, _complex.log1p)


def where(condition: Any, x1: Any, x2: Any, /) -> Any:
    if isinstance(x1, _torch.Tensor) and isinstance(x2, _torch.Tensor) and x1.dtype == x2.dtype:
        return _torch.where(condition, x1, x2)
    return _compat.where(condition, x1, x2)


# -- manipulation ------------------------------------------------------------------------------------------------------


def permute_dims(x: Any, /, axes: Any) -> Any:
    return x.permute(axes)


def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    return _torch.movedim(x, source, destination)  # torch.moveaxis has no rule in torch.vmap


def reshape(x: Any, /, shape: Any, *, copy: Any = None) -> Any:
    return x.reshape(shape) if copy is None else _compat.reshape(x, shape, copy=copy)


def stack(arrays: Any, /, *, axis: Any = 0) -> Any:
    return _torch.stack(tuple(arrays), axis)


def meshgrid(*arrays: Any, indexing: str = "xy") -> Any:
    return list(_compat.meshgrid(*arrays, indexing=indexing))


def broadcast_arrays(*arrays: Any) -> Any:
    return list(_compat.broadcast_arrays(*arrays))


# -- indexing and sets -------------------------------------------------------------------------------------------------


def _from_the_start(indices, size):
    """`indices` with negative ones counted from the end."""
    return _torch.where(indices < 0, indices + size, indices)


def _checked(indices):
    """Whether torch checks such indices itself: then negative ones are an error, and not a read of other memory."""
    return indices.is_cpu and not _torch.compiler.is_compiling() and not _in_functorch()


def take(x: Any, indices: Any, /, *, axis: Any = None) -> Any:
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
            pass  # an index is negative or too large; which error that is depends on the axis
    return _torch.index_select(x, axis, _from_the_start(indices, x.shape[axis]))


def take_along_axis(x: Any, indices: Any, /, *, axis: Any = -1) -> Any:
    indices = indices.long()
    if _checked(indices):
        try:
            return _torch.take_along_dim(x, indices, axis)
        except (IndexError, RuntimeError):
            pass
    return _torch.take_along_dim(x, _from_the_start(indices, x.shape[axis]), axis)


def unique_all(x: Any, /) -> Any:
    """The distinct elements in order, the first index of each, the place of each element among them, and the counts."""
    flat = x.reshape(-1)
    order = _torch.argsort(flat, stable=True)
    ordered = flat[order]
    # Each NaN is an element of its own, since no NaN equals another.
    new = _torch.cat([_torch.ones_like(ordered[:1], dtype=_torch.bool), ordered[1:] != ordered[:-1]])
    starts = _torch.nonzero(new)[:, 0]
    inverse = _torch.empty_like(order).scatter_(0, order, _torch.cumsum(new, 0) - 1)
    counts = _torch.diff(starts, append=starts.new_tensor([flat.shape[0]]))
    return results.UniqueAll(ordered[starts], order[starts], inverse.reshape(x.shape), counts)


# -- linear algebra ----------------------------------------------------------------------------------------------------

tensordot: Callable[..., Any]
vecdot: Callable[..., Any]
tensordot, vecdot = linalg.tensordot, linalg.vecdot
