"""The convolutions and poolings that PyTorch has kernels for.

A permuted channels-last array is torch's own channels_last layout, so nothing is copied.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.compiler import is_compiling

from ... import ops
from ...ops._op import lowering
from ...ops._windows import padding_amounts
from ...ops.conv import conv_geometry, transposed_geometry
from ...ops.pool import adaptive_sizes, pool_geometry
from .backend import backend

TO = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
FROM = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
_KERNEL = {3: (2, 1, 0), 4: (3, 2, 0, 1), 5: (4, 3, 0, 1, 2)}
_CONV = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
_CONV_TRANSPOSE = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}


class Shaped(NamedTuple):
    """An array, as far as the geometry of an operation needs it."""

    ndim: int
    shape: tuple[Any, ...]


def planned(plan: Any) -> Any:
    """`plan(shape, ..., dtype, ..., *options)`, computed once: it takes as long as the kernel of a small layer."""
    known: dict = {}

    def remembered(*args):
        if is_compiling():
            return plan(*args)
        try:
            return known[args]
        except KeyError:
            if len(known) == 4096:
                known.clear()
            found = known[args] = plan(*args)
            return found
        except TypeError:  # lists have no hash
            hashable = [tuple(a) if isinstance(a, list) else a for a in args]
            return plan(*args) if hashable == list(args) else remembered(*hashable)

    return remembered


def _kernel(kernels, rank, data_format, around, *options, fill=0.0):
    """`kernels[rank]` with its options, for arrays in `data_format`, which are padded by `around` first."""
    kernel = kernels[rank]
    options = tuple(map(_short, options))

    def run(x, *weights):
        return kernel(F.pad(x, around, value=fill) if around else x, *weights, *options)

    if data_format == "channels_first":
        return run
    to, back = TO[rank], FROM[rank]
    if around:
        return lambda x, *weights: run(x.permute(*to), *weights).permute(*back)
    return lambda x, *weights: kernel(x.permute(*to), *weights, *options).permute(*back)


def _short(option):
    """One integer in place of several equal ones: torch reads it a microsecond faster."""
    alike = isinstance(option, tuple | list) and all(n == option[0] for n in option)
    return option[0] if alike else option


def _padding(shape, data_format, window, strides, dilation, padding):
    """The padding for torch's kernel, if it is symmetric, else 0; and the padding for F.pad, if it is not, else ()."""
    sizes = shape[2:] if data_format == "channels_first" else shape[1:-1]
    amounts = padding_amounts(sizes, window, strides, dilation, padding)
    if all(before == after for before, after in amounts):
        return tuple(before for before, _ in amounts), ()
    return 0, tuple(n for pair in reversed(amounts) for n in pair)


# -- convolution -------------------------------------------------------------------------------------------------------


@planned
def _conv_plan(shape, kernel, dtype, other, strides, padding, data_format, dilation_rate):
    x, w = Shaped(len(shape), shape), Shaped(len(kernel), kernel)
    if x.ndim not in _CONV or dtype != other or not dtype.is_floating_point:
        return None
    strides, dilation, groups = conv_geometry(x, w, strides, padding, data_format, dilation_rate)
    left, around = _padding(shape, data_format, kernel[:-2], strides, dilation, padding)
    return _kernel(_CONV, x.ndim, data_format, around, strides, left, dilation, groups)


@lowering(backend, ops.conv)
def _conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1, bias=None):
    run = _conv_plan(
        inputs.shape, kernel.shape, inputs.dtype, kernel.dtype, strides, padding, data_format, dilation_rate
    )
    if run is None or (bias is not None and bias.dtype is not inputs.dtype):
        return NotImplemented
    return run(inputs, _weight(kernel), bias)


def _weight(kernel):
    weight = kernel.permute(*_KERNEL[kernel.ndim])
    # With axes of one element, PyTorch 2.13 takes the weight for a channels-last one, and its gradient fails.
    return weight.contiguous() if kernel.shape[-1] == 1 else weight


@planned
def _transposed_plan(shape, kernel, dtype, other, strides, padding, output_padding, data_format, dilation_rate):
    x, w = Shaped(len(shape), shape), Shaped(len(kernel), kernel)
    if x.ndim not in _CONV or dtype != other or not dtype.is_floating_point:
        return None
    strides, dilation, crops = transposed_geometry(x, w, strides, padding, output_padding, data_format, dilation_rate)
    # Torch pads both sides alike; the difference at the end is padded or cut off after the kernel.
    more = [a - b for a, b in crops]
    added = [min(max(n, 0), max(s, d) - 1) for n, s, d in zip(more, strides, dilation, strict=True)]
    rest = [m - a for m, a in zip(more, added, strict=True)]
    kept = [slice(None, min(n, 0) or None) for n in rest]
    around = [n for m in reversed(rest) for n in (0, max(m, 0))]
    first = data_format == "channels_first"
    kept, around = ((..., *kept), around) if first else ((..., *kept, slice(None)), [0, 0, *around])
    options = strides, [a for a, _ in crops], added, 1, dilation
    kept = kept if min(rest) < 0 else None
    return _kernel(_CONV_TRANSPOSE, x.ndim, data_format, (), *options), kept, around if any(around) else None


@lowering(backend, ops.conv_transpose)
def _conv_transpose(
    inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1, bias=None
):
    options = strides, padding, output_padding, data_format, dilation_rate
    plan = _transposed_plan(inputs.shape, kernel.shape, inputs.dtype, kernel.dtype, *options)
    if plan is None or (bias is not None and (plan[2] is not None or bias.dtype is not inputs.dtype)):
        return NotImplemented
    run, kept, around = plan
    if data_format != "channels_first" and inputs.shape[0] == inputs.shape[-1] == 1:
        inputs = inputs[..., 0].unsqueeze(1).movedim(1, -1)  # see `_weight`
    out = run(inputs, kernel.permute(*_KERNEL[kernel.ndim]), bias)
    out = out if kept is None else out[kept]
    return out if around is None else F.pad(out, around)


# -- pooling -----------------------------------------------------------------------------------------------------------


def _pool_plan(kernels, *options, fill=0.0):
    @planned
    def plan(shape, dtype, pool_size, strides, padding, data_format):
        rank = len(shape)
        if rank not in kernels or not dtype.is_floating_point or 0 in shape[1:]:
            return None  # torch's kernels refuse images of no channels
        window, strides = pool_geometry(Shaped(rank, shape), pool_size, strides, padding, data_format)
        left, around = _padding(shape, data_format, window, strides, (1,) * len(window), padding)
        return _kernel(kernels, rank, data_format, around, window, strides, left, *options, fill=fill), around

    return plan


_max_plan = _pool_plan({3: torch.max_pool1d, 4: torch.max_pool2d, 5: torch.max_pool3d}, fill=-math.inf)
# The last options: whether sizes are rounded up, and whether the padding counts in the mean.
_average_plan = _pool_plan({3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}, False, False)


@lowering(backend, ops.max_pool)
def _max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    plan = _max_plan(inputs.shape, inputs.dtype, pool_size, strides, padding, data_format)
    return NotImplemented if plan is None else plan[0](inputs)


@lowering(backend, ops.average_pool)
def _average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    plan = _average_plan(inputs.shape, inputs.dtype, pool_size, strides, padding, data_format)
    # For three spatial axes, CPUs have no kernel for half precision.
    if plan is None or (inputs.ndim == 5 and inputs.dtype.itemsize == 2 and inputs.device.type == "cpu"):
        return NotImplemented
    run, around = plan
    if not around:
        return run(inputs)
    # Torch pads both sides alike. The share of each window that lies inside is the mean of ones.
    channel = (slice(1), slice(1)) if data_format == "channels_first" else (slice(1), ..., slice(1))
    return run(inputs) / run(torch.ones_like(inputs[channel]))


def _adaptive(op, kernels):
    @planned
    def plan(shape, dtype, output_size, data_format):
        rank = len(shape)
        if rank not in kernels or not dtype.is_floating_point or 0 in shape[1:]:
            return None  # torch's kernels refuse images of no channels
        sizes = adaptive_sizes(Shaped(rank, shape), output_size, data_format)
        return _kernel(kernels, rank, data_format, (), sizes)

    @lowering(backend, op)
    def pool(inputs, output_size, data_format=None):
        run = plan(inputs.shape, inputs.dtype, output_size, data_format)
        # For three spatial axes, CPUs add up half precision as it is.
        if run is None or (inputs.ndim == 5 and inputs.dtype.itemsize == 2 and inputs.device.type == "cpu"):
            return NotImplemented
        return run(inputs)


_adaptive(ops.adaptive_max_pool, {3: F.adaptive_max_pool1d, 4: F.adaptive_max_pool2d, 5: F.adaptive_max_pool3d})
_adaptive(ops.adaptive_average_pool, {3: F.adaptive_avg_pool1d, 4: F.adaptive_avg_pool2d, 5: F.adaptive_avg_pool3d})
