"""The ops that PyTorch has kernels for."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F

from ... import ops
from ...ops._op import lowering
from ...ops._windows import padding_amounts, window_shape
from ...ops.conv import conv_geometry
from ...ops.optimize import adam_factors
from ...ops.pool import pool_geometry
from . import backend, namespace


def _in_functorch():
    return not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None


def on_host(*tensors):
    """Whether these are plain CPU tensors in eager code, whose values can be read at once and for free."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is None
        and all(x.device.type == "cpu" for x in tensors)
    )


for _op, _kernel in (
    (ops.erf, torch.erf),
    (ops.relu, torch.relu),
    (ops.sigmoid, torch.sigmoid),
    (ops.silu, F.silu),
    (ops.tanh, torch.tanh),
    (ops.elu, F.elu),
    (ops.embedding, F.embedding),
):
    lowering(backend, _op)(_kernel)


@lowering(backend, ops.leaky_relu)
def _leaky_relu(x, negative_slope=0.2):
    return F.leaky_relu(x, negative_slope)


@lowering(backend, ops.gelu)
def _gelu(x, approximate=True):
    return F.gelu(x, approximate="tanh" if approximate else "none")


@lowering(backend, ops.softmax)
def _softmax(x, axis=-1):
    return torch.softmax(x, axis) if isinstance(axis, int) else NotImplemented


@lowering(backend, ops.log_softmax)
def _log_softmax(x, axis=-1):
    return torch.log_softmax(x, axis) if isinstance(axis, int) else NotImplemented


@lowering(backend, ops.logsumexp)
def _logsumexp(x, axis=-1, keepdims=False):
    return torch.logsumexp(x, axis, keepdims)


@lowering(backend, ops.label_crossentropy)
def _label_crossentropy(logits, labels, axis=-1):
    classes = logits.shape[axis]
    logits = logits if logits.ndim == 2 and axis in (1, -1) else logits.movedim(axis, 1)
    numbers = labels.long()
    if on_host(labels) and labels.numel():
        low, high = torch.aminmax(labels)
        if low.item() >= 0 and high.item() < classes:
            return F.cross_entropy(logits, numbers, reduction="none")
    # A label out of range is an error to the kernel, and one that a GPU does not survive.
    valid = (numbers >= 0) & (numbers < classes)
    return torch.where(valid, F.cross_entropy(logits, torch.where(valid, numbers, 0), reduction="none"), float("nan"))


@lowering(backend, ops.linear)
def _linear(x, kernel, bias=None):
    return F.linear(x, kernel.T, bias)


@lowering(backend, ops.pad)
def _pad(x, pad_width, constant_values=0.0):
    # torch counts from the last axis.
    return F.pad(x, [n for pair in reversed(pad_width) for n in pair], value=constant_values)


@lowering(backend, ops.split)
def _split(x, sections, axis=-1):
    return torch.chunk(x, sections, axis)


@lowering(backend, ops.moments)
def _moments(x, axes, keepdims=False):
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=keepdims)
    return mean, variance


@lowering(backend, ops.batch_normalization)
def _batch_normalization(x, mean, variance, offset=None, scale=None, axis=-1, epsilon=1e-3):
    axis = axis % x.ndim
    last = axis == x.ndim - 1 and x.ndim in _TO
    if torch.compiler.is_compiling() or _in_functorch() or _differentiated((mean, variance)):
        return NotImplemented  # through the moments, the kernel gives no gradient
    if not last and axis != 1:
        return NotImplemented
    out = F.batch_norm(x.permute(_TO[x.ndim]) if last else x, mean, variance, scale, offset, eps=epsilon)
    return out.permute(_FROM[x.ndim]) if last else out


@lowering(backend, ops.normalize_batch)
def _normalize_batch(x, offset=None, scale=None, axis=-1, epsilon=1e-3):
    if _in_functorch() or torch.compiler.is_compiling():
        return NotImplemented
    # Torch has a kernel for four axes of which the features are the second, and last in memory.
    features = x.movedim(axis, -1)
    shape = features.shape
    flat = features.reshape(1, -1, 1, shape[-1]).permute(0, 3, 1, 2)
    out, mean, deviation = torch.native_batch_norm(flat, scale, offset, None, None, True, 0.0, epsilon)
    mean, deviation = mean.detach(), deviation.detach()
    return out.permute(0, 2, 3, 1).reshape(shape).movedim(-1, axis), mean, deviation**-2 - epsilon


@lowering(backend, ops.layer_normalization)
def _layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=1e-3):
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(sorted(a % x.ndim for a in axes))
    if axes != tuple(range(x.ndim - len(axes), x.ndim)):
        return NotImplemented
    return F.layer_norm(x, x.shape[axes[0] :], gamma, beta, epsilon)


@lowering(backend, ops.all_finite)
def _all_finite(*arrays):
    if not all(x.is_floating_point() for x in arrays):
        return NotImplemented
    arrays = [x.detach() for x in arrays]
    if on_host(*arrays):
        # The Euclidean norm has the fast kernel; one that overflows is looked at again.
        finite = torch.isfinite(torch.stack(torch._foreach_norm(arrays, 2)))
        if finite.all():
            return finite
    # One call for all arrays; the largest magnitude is finite if and only if every element is.
    return torch.isfinite(torch.stack(torch._foreach_norm(arrays, float("inf"))))


@lowering(backend, ops.adam)
def _adam(count, step_size, beta_1, beta_2, epsilon, *leaves):
    n = len(leaves) // 3
    gradients, means, squares = leaves[:n], leaves[n : 2 * n], leaves[2 * n :]
    dtypes = {x.dtype for x in leaves}
    if _in_functorch() or len(dtypes) > 1 or _differentiated(leaves):
        return NotImplemented
    if on_host(count, *leaves):
        # One pass over all; the kernel works in place, on copies and on zeros for parameters.
        means, squares = ([x.clone(memory_format=torch.contiguous_format) for x in xs] for xs in (means, squares))
        updates = [torch.zeros_like(m) for m in means]
        gradients = [g.contiguous() for g in gradients]
        numbers = {"lr": -step_size, "beta1": beta_1, "beta2": beta_2, "eps": epsilon, "weight_decay": 0.0}
        steps = [count.to(torch.float32)] * n
        torch._fused_adam_(updates, gradients, means, squares, [], steps, amsgrad=False, maximize=False, **numbers)
        return (*updates, *means, *squares)
    wide = torch.float64 if torch.float64 in dtypes else torch.float32
    factor, small = adam_factors(namespace, count, step_size, beta_1, beta_2, epsilon, wide)
    means = torch._foreach_lerp(means, gradients, 1 - beta_1)
    squares = torch._foreach_mul(squares, beta_2)
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta_2)
    below = torch._foreach_sqrt(squares)
    torch._foreach_add_(below, small.to(below[0].dtype))
    updates = torch._foreach_div(means, below)
    torch._foreach_mul_(updates, factor.to(below[0].dtype))
    return (*updates, *means, *squares)


def _differentiated(tensors):
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


# -- windows: a permuted channels-last array is torch's own channels_last layout, so nothing is copied ---------------


_TO = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
_FROM = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
_KERNEL = {3: (2, 1, 0), 4: (3, 2, 0, 1), 5: (4, 3, 0, 1, 2)}
_CONV = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
_MAX_POOL = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
_AVERAGE_POOL = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}


class Shaped(NamedTuple):
    """What the geometry of an operation needs to know of an array."""

    ndim: int
    shape: tuple


def _planned(plan):
    """`plan(*shapes, *options)`, remembered: it takes as long as the kernel of a small layer."""
    known = functools.lru_cache(4096)(plan)

    def planned(*args):
        args = [tuple(a) if isinstance(a, list | tuple) else a for a in args]
        return (plan if torch.compiler.is_compiling() else known)(*args)

    return planned


def _padding(sizes, window, strides, dilation, padding):
    """Torch's own symmetric padding, or None; and the padding for F.pad."""
    window_shape(sizes, window, strides, dilation, padding)
    amounts = padding_amounts(sizes, window, strides, dilation, padding)
    if all(before == after for before, after in amounts):
        return tuple(before for before, _ in amounts), ()
    return None, tuple(n for pair in reversed(amounts) for n in pair)


def _spatial(shape, data_format):
    return shape[1:-1] if data_format == "channels_last" else shape[2:]


@_planned
def _conv_plan(shape, kernel, strides, padding, data_format, dilation_rate):
    x, w = Shaped(len(shape), shape), Shaped(len(kernel), kernel)
    strides, dilation, groups = conv_geometry(x, w, strides, padding, data_format, dilation_rate)
    left, around = _padding(_spatial(shape, data_format), kernel[:-2], strides, dilation, padding)
    return strides, dilation, groups, left, around


@_planned
def _pool_plan(shape, pool_size, strides, padding, data_format):
    window, strides = pool_geometry(Shaped(len(shape), shape), pool_size, strides, padding, data_format)
    return window, strides, *_padding(_spatial(shape, data_format), window, strides, (1,) * len(window), padding)


@lowering(backend, ops.conv)
def _conv(x, kernel, strides=1, padding="valid", data_format="channels_last", dilation_rate=1, bias=None):
    if x.ndim not in _CONV:
        return NotImplemented
    strides, dilation, groups, left, around = _conv_plan(
        x.shape, kernel.shape, strides, padding, data_format, dilation_rate
    )
    last = data_format == "channels_last"
    x = x.permute(_TO[x.ndim]) if last else x
    x = F.pad(x, around) if around else x
    out = _CONV[x.ndim](x, kernel.permute(_KERNEL[x.ndim]), bias, strides, left or 0, dilation, groups)
    return out.permute(_FROM[x.ndim]) if last else out


@lowering(backend, ops.max_pool)
def _max_pool(x, pool_size, strides=None, padding="valid", data_format="channels_last"):
    if x.ndim not in _MAX_POOL:
        return NotImplemented
    window, strides, left, around = _pool_plan(x.shape, pool_size, strides, padding, data_format)
    last = data_format == "channels_last"
    x = x.permute(_TO[x.ndim]) if last else x
    x = F.pad(x, around, value=float("-inf")) if around else x
    out = _MAX_POOL[x.ndim](x, window, strides, left or 0)
    return out.permute(_FROM[x.ndim]) if last else out


@lowering(backend, ops.average_pool)
def _average_pool(x, pool_size, strides=None, padding="valid", data_format="channels_last"):
    if x.ndim not in _AVERAGE_POOL:
        return NotImplemented
    window, strides, left, around = _pool_plan(x.shape, pool_size, strides, padding, data_format)
    if around:
        return NotImplemented
    last = data_format == "channels_last"
    out = _AVERAGE_POOL[x.ndim](x.permute(_TO[x.ndim]) if last else x, window, strides, left, count_include_pad=False)
    return out.permute(_FROM[x.ndim]) if last else out


# -- attention and recurrence ----------------------------------------------------------------------------------------


@lowering(backend, ops.dot_product_attention)
def _dot_product_attention(query, key, value, mask=None, scale=None, is_causal=False):
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, scale=scale).transpose(1, 2)
    if is_causal:
        return NotImplemented
    # Torch leaves a row that sees nothing undefined; the reference gives the mean, and query and key no gradient.
    seen = mask.any(-1, keepdim=True)
    out = F.scaled_dot_product_attention(q, k, v, mask | ~seen, scale=scale)
    return torch.where(seen, out, v.mean(-2, keepdim=True)).transpose(1, 2)


def _recurrent(x, reverse, run):
    out = run(x.flip(1) if reverse else x)
    return (out[0].flip(1), *out[1:]) if reverse else out


@lowering(backend, ops.lstm)
def _lstm(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    h=None,
    c=None,
    reverse=False,
    activation=ops.tanh,
    recurrent_activation=ops.sigmoid,
):
    if activation is not ops.tanh or recurrent_activation is not ops.sigmoid or torch.compiler.is_compiling():
        # Compiled, the gradient of torch.lstm fails on its own decomposition (torch 2.13).
        return NotImplemented
    # Torch's gates come in our order, and it adds the two biases.
    weights = [kernel.T, recurrent_kernel.T]
    if bias is not None:
        weights += [bias, torch.zeros_like(bias)]
    start = x.new_zeros(x.shape[0], recurrent_kernel.shape[0])
    first = tuple((start if s is None else s).unsqueeze(0) for s in (h, c))

    def run(x):
        y, h, c = torch.lstm(x, first, weights, bias is not None, 1, 0.0, False, False, True)
        return y, h[0], c[0]

    return _recurrent(x, reverse, run)


@lowering(backend, ops.gru)
def _gru(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    h=None,
    reverse=False,
    reset_after=True,
    activation=ops.tanh,
    recurrent_activation=ops.sigmoid,
):
    if not reset_after or activation is not ops.tanh or recurrent_activation is not ops.sigmoid:
        return NotImplemented

    def reset_first(w):
        update, reset, candidate = w.chunk(3, -1)
        return torch.cat([reset, update, candidate], -1)

    weights = [reset_first(kernel).T, reset_first(recurrent_kernel).T]
    if bias is not None:
        weights += list(reset_first(bias))
    first = x.new_zeros(x.shape[0], recurrent_kernel.shape[0]) if h is None else h

    def run(x):
        y, h = torch.gru(x, first.unsqueeze(0), weights, bias is not None, 1, 0.0, False, False, True)
        return y, h[0]

    return _recurrent(x, reverse, run)
