"""The standard's functions on tensors of one floating-point dtype, where nothing is to be promoted: PyTorch's own.

The references ask for dtypes and the namespace, which takes longer than PyTorch takes to start a kernel.
"""

from __future__ import annotations

import torch

from ... import ops
from ...ops._op import lowering
from . import backend


def _unary(kernel):
    def on_floats(x):
        # A Python number, or list, has no such method; the type of a tensor is what brought us here.
        return kernel(x) if x.is_floating_point() else NotImplemented

    return on_floats


def _binary(kernel):
    def on_floats(x1, x2):
        if isinstance(x1, torch.Tensor) and x1.is_floating_point():
            if isinstance(x2, torch.Tensor):
                return kernel(x1, x2) if x1.dtype is x2.dtype else NotImplemented
            if type(x2) is float or type(x2) is int:
                return kernel(x1, x2)
        return NotImplemented

    return on_floats


def _binary_of_tensors(kernel):
    def on_floats(x1, x2):
        if isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor):
            return kernel(x1, x2) if x1.dtype is x2.dtype and x1.is_floating_point() else NotImplemented
        return NotImplemented

    return on_floats


for _guard, _names in (
    (_unary, "abs absolute arccos arccosh arcsin arcsinh arctan arctanh ceil cos cosh exp expm1 floor isfinite isinf"),
    (_unary, "isnan log log10 log1p log2 negative reciprocal sign signbit sin sinh sqrt square tan tanh trunc"),
    (_binary, "add divide floor_divide greater greater_equal less less_equal multiply not_equal subtract"),
    (_binary, "true_divide"),
    (_binary_of_tensors, "arctan2 hypot logaddexp matmul maximum minimum nextafter"),
):
    for _name in _names.split():
        lowering(backend, getattr(ops, _name))(_guard(getattr(torch, _name)))

lowering(backend, ops.equal)(_binary(torch.eq))  # torch.equal is of whole tensors
lowering(backend, ops.power)(_binary(torch.pow))
lowering(backend, ops.mod)(_binary(torch.remainder))


def _reduction(kernel):
    def on_floats(x, axis=None, keepdims=False):
        return kernel(x, dim=axis, keepdim=keepdims) if x.is_floating_point() and axis != () else NotImplemented

    return on_floats


for _op, _kernel in ((ops.sum, torch.sum), (ops.mean, torch.mean), (ops.amax, torch.amax), (ops.amin, torch.amin)):
    lowering(backend, _op)(_reduction(_kernel))
