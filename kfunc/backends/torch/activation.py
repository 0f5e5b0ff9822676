"""The activation functions that PyTorch has kernels for; arrays that are not floating go to the references."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ... import ops
from ...ops._op import lowering
from .backend import backend
from .levels import differentiated_twice


def _lowered(op, kernel):
    @lowering(backend, op)
    def lowered(x, *args, **kwargs):
        return kernel(x, *args, **kwargs) if x.is_floating_point() else NotImplemented


for _op, _kernel in (
    (ops.celu, F.celu),
    (ops.elu, F.elu),
    (ops.gelu, lambda x, approximate=True: F.gelu(x, approximate="tanh" if approximate else "none")),
    (ops.hard_shrink, lambda x, threshold=0.5: F.hardshrink(x, threshold)),
    (ops.hard_silu, F.hardswish),
    (ops.hard_tanh, F.hardtanh),
    (ops.leaky_relu, lambda x, negative_slope=0.2: F.leaky_relu(x, negative_slope)),
    (ops.log_sigmoid, F.logsigmoid),
    (ops.relu, torch.relu),
    (ops.relu6, F.relu6),
    (ops.selu, F.selu),
    (ops.sigmoid, torch.sigmoid),
    (ops.silu, F.silu),
    (ops.soft_shrink, lambda x, threshold=0.5: F.softshrink(x, threshold)),
    # Beyond this threshold the kernel returns x itself, which is exact in float64 too.
    (ops.softplus, lambda x: F.softplus(x, threshold=50)),
    (ops.threshold, lambda x, threshold, default_value: F.threshold(x, threshold, default_value)),
):
    _lowered(_op, _kernel)


@lowering(backend, ops.hard_sigmoid)
def _hard_sigmoid(x):
    # The kernel has no second derivative.
    return NotImplemented if not x.is_floating_point() or differentiated_twice() else F.hardsigmoid(x)


def _along_axis(op, kernel):
    @lowering(backend, op)
    def lowered(x, axis=-1):
        return kernel(x, axis) if isinstance(axis, int) and x.is_floating_point() else NotImplemented


def _log_softmax(x, axis):
    # On CPUs the kernel adds up half precision as it is.
    return NotImplemented if x.dtype.itemsize == 2 and x.is_cpu else torch.log_softmax(x, axis)


_along_axis(ops.glu, F.glu)
_along_axis(ops.log_softmax, _log_softmax)
_along_axis(ops.softmax, torch.softmax)
