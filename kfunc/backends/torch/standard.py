"""PyTorch's own functions for ops of the standard, on tensors of one dtype, which need no promotion.

The references look up dtypes and the namespace, which takes longer than PyTorch takes to start a kernel.
"""

from __future__ import annotations

import torch

from ... import ops
from ...ops._op import lowering
from . import namespace
from .backend import backend

_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_NUMBERS = (*_FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_NO_AXES = ((), [])  # torch would take () for all axes


# -- elementwise -----------------------------------------------------------------------------------------------------


def _unary(kernel):
    def on_floats(x):
        # A Python number or a list has no such method; at least one argument is a tensor, else this does not run.
        return kernel(x) if x.is_floating_point() else NotImplemented

    return on_floats


def _binary(kernel, swapped=None, dtypes=_NUMBERS):
    """`kernel` of two tensors, or of one and a number; `swapped(x2, x1)` where the number comes first."""

    def alike(x1, x2):
        if not isinstance(x1, torch.Tensor):
            number = swapped is not None and (type(x1) is float or type(x1) is int)
            return swapped(x2, x1) if number and x2.dtype in _FLOATS else NotImplemented
        if x1.dtype not in dtypes:
            return NotImplemented
        if isinstance(x2, torch.Tensor):
            return kernel(x1, x2) if x1.dtype is x2.dtype else NotImplemented
        return kernel(x1, x2) if type(x2) is int or (type(x2) is float and x1.dtype in _FLOATS) else NotImplemented

    return alike


def _binary_of_floats(kernel):
    return _binary(kernel, dtypes=_FLOATS)


def _binary_of_tensors(kernel, dtypes=_FLOATS):
    def alike(x1, x2):
        if isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor):
            return kernel(x1, x2) if x1.dtype is x2.dtype and x1.dtype in dtypes else NotImplemented
        return NotImplemented

    return alike


for _guard, _names in (
    (_unary, "abs absolute arccos arccosh arcsin arcsinh arctan arctanh ceil cos cosh exp expm1 floor isfinite isinf"),
    (_unary, "isnan log log10 log1p log2 negative reciprocal rsqrt signbit sin sinh sqrt square tan tanh trunc"),
    (_binary_of_floats, "divide true_divide"),
    (_binary_of_tensors, "arctan2 matmul nextafter"),
):
    for _name in _names.split():
        lowering(backend, getattr(ops, _name))(_guard(getattr(torch, _name)))
lowering(backend, ops.hypot)(_binary_of_tensors(namespace.hypot))
lowering(backend, ops.logaddexp)(_binary_of_tensors(namespace.logaddexp))

for _op, _kernel, _swapped in (
    (ops.add, torch.add, torch.add),
    (ops.equal, torch.eq, torch.eq),  # torch.equal compares whole tensors
    (ops.greater, torch.gt, torch.lt),
    (ops.greater_equal, torch.ge, torch.le),
    (ops.less, torch.lt, torch.gt),
    (ops.less_equal, torch.le, torch.ge),
    (ops.multiply, torch.mul, torch.mul),
    (ops.not_equal, torch.ne, torch.ne),
    (ops.subtract, torch.sub, torch.rsub),
):
    lowering(backend, _op)(_binary(_kernel, _swapped))


def _power(x1, x2):
    return namespace.pow(x1, x2) if isinstance(x2, torch.Tensor) else torch.pow(x1, x2)


for _op, _kernel in ((ops.logical_and, torch.logical_and), (ops.logical_or, torch.logical_or)):
    lowering(backend, _op)(_binary_of_tensors(_kernel, (torch.bool,)))
lowering(backend, ops.power)(_binary_of_floats(_power))
# The namespace's functions, since torch's differ from the standard.
lowering(backend, ops.floor_divide)(_binary_of_tensors(namespace.floor_divide))
lowering(backend, ops.mod)(_binary_of_tensors(namespace.remainder))


def _extremum(kernel):
    of_tensors = _binary_of_tensors(kernel, _NUMBERS)

    def of_floats(x1, x2):
        if isinstance(x1, torch.Tensor) and (type(x2) is float or type(x2) is int) and x1.dtype in _FLOATS:
            return kernel(x1, torch.full((), x2, dtype=x1.dtype, device=x1.device))
        return of_tensors(x1, x2)

    return of_floats


lowering(backend, ops.maximum)(_extremum(torch.maximum))
lowering(backend, ops.minimum)(_extremum(torch.minimum))


@lowering(backend, ops.clip)
def _clip(x, x_min, x_max):
    for bound in (x_min, x_max):
        if bound is not None and ((type(bound) is not float and type(bound) is not int) or bound != bound):
            return NotImplemented
    if (x_min is None and x_max is None) or not x.is_floating_point():
        return NotImplemented
    return torch.clamp(x, x_min, x_max)


@lowering(backend, ops.where)
def _where(condition, x1=None, x2=None):
    if not isinstance(condition, torch.Tensor) or condition.dtype is not torch.bool:
        return NotImplemented
    if isinstance(x1, torch.Tensor):
        alike = x1.dtype is x2.dtype if isinstance(x2, torch.Tensor) else type(x2) is float and x1.dtype in _FLOATS
    else:
        alike = type(x1) is float and isinstance(x2, torch.Tensor) and x2.dtype in _FLOATS
    return torch.where(condition, x1, x2) if alike else NotImplemented


# -- reductions ------------------------------------------------------------------------------------------------------


def _reduction(kernel, dtypes):
    def reduced(x, axis=None, keepdims=False):
        return kernel(x, axis, keepdims) if x.dtype in dtypes and axis not in _NO_AXES else NotImplemented

    return reduced


for _op, _kernel, _dtypes in (
    (ops.all, torch.all, (torch.bool,)),
    (ops.amax, torch.amax, _NUMBERS),
    (ops.amin, torch.amin, _NUMBERS),
    (ops.any, torch.any, (torch.bool,)),
    (ops.mean, torch.mean, _FLOATS),
    (ops.sum, torch.sum, _FLOATS),
):
    lowering(backend, _op)(_reduction(_kernel, _dtypes))


def _extreme(kernel):
    def extreme(x, axis=None, keepdims=False, initial=None):
        if initial is not None or x.dtype not in _NUMBERS or axis in _NO_AXES:
            return NotImplemented
        return kernel(x, axis, keepdims)

    return extreme


lowering(backend, ops.max)(_extreme(torch.amax))
lowering(backend, ops.min)(_extreme(torch.amin))


def _place(kernel):
    def place(x, axis=None, keepdims=False):
        if x.dtype not in _NUMBERS or not (axis is None or isinstance(axis, int)):
            return NotImplemented
        return kernel(x, axis, keepdims)

    return place


lowering(backend, ops.argmax)(_place(torch.argmax))
lowering(backend, ops.argmin)(_place(torch.argmin))


@lowering(backend, ops.var)
def _var(x, axis=None, keepdims=False):
    if axis in _NO_AXES or not x.is_floating_point():
        return NotImplemented
    return torch.var(x, axis, correction=0, keepdim=keepdims)


@lowering(backend, ops.std)
def _std(x, axis=None, keepdims=False):
    if axis in _NO_AXES or not x.is_floating_point():
        return NotImplemented
    return torch.std(x, axis, correction=0, keepdim=keepdims)


@lowering(backend, ops.cumsum)
def _cumsum(x, axis=None, dtype=None):
    return torch.cumsum(x, axis) if axis is not None and dtype is None and x.is_floating_point() else NotImplemented


@lowering(backend, ops.dot)
def _dot(x1, x2):
    if isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor) and x1.ndim and 0 < x2.ndim < 3:
        return torch.matmul(x1, x2) if x1.dtype is x2.dtype and x1.dtype in _FLOATS else NotImplemented
    return NotImplemented


# -- manipulation ----------------------------------------------------------------------------------------------------


@lowering(backend, ops.reshape)
def _reshape(x, newshape):
    if not isinstance(newshape, tuple) or None in newshape or not isinstance(x, torch.Tensor):
        return NotImplemented
    return x.reshape(newshape)


@lowering(backend, ops.transpose)
def _transpose(x, axes=None):
    return x.permute(tuple(range(x.ndim))[::-1] if axes is None else tuple(axes))


@lowering(backend, ops.swapaxes)
def _swapaxes(x, axis1, axis2):
    return x.transpose(axis1, axis2)


@lowering(backend, ops.expand_dims)
def _expand_dims(x, axis):
    return x.unsqueeze(axis) if isinstance(axis, int) else NotImplemented


@lowering(backend, ops.squeeze)
def _squeeze(x, axis=None):
    return x.squeeze(axis) if isinstance(axis, int) and x.shape[axis] == 1 else NotImplemented


def _alike(xs):
    if not isinstance(xs, list | tuple) or not xs or not isinstance(xs[0], torch.Tensor):
        return False
    dtype = xs[0].dtype
    return all(isinstance(x, torch.Tensor) and x.dtype is dtype for x in xs)


@lowering(backend, ops.concatenate)
def _concatenate(xs, axis=0):
    return torch.cat(xs, axis) if axis is not None and _alike(xs) else NotImplemented


@lowering(backend, ops.stack)
def _stack(x, axis=0):
    return torch.stack(x, axis) if _alike(x) else NotImplemented


# -- indexing --------------------------------------------------------------------------------------------------------


@lowering(backend, ops.take)
def _take(x, indices, axis=None):
    if axis is None or not isinstance(x, torch.Tensor) or not isinstance(indices, torch.Tensor):
        return NotImplemented
    if indices.dtype not in (torch.int64, torch.int32):
        return NotImplemented
    return namespace.take(x, indices, axis=axis)


@lowering(backend, ops.take_along_axis)
def _take_along_axis(x, indices, axis=None):
    if axis is None or not isinstance(x, torch.Tensor) or not isinstance(indices, torch.Tensor):
        return NotImplemented
    if x.ndim != indices.ndim or indices.dtype not in (torch.int64, torch.int32):
        return NotImplemented
    return namespace.take_along_axis(x, indices, axis=axis)
