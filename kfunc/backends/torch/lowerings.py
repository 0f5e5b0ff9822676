"""The ops that PyTorch has kernels for."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ... import ops
from ...ops._op import lowering
from ...ops.manipulation import pad_pairs
from ...ops.normalization import EPSILON
from ...ops.optimize import adam_factors
from . import backend, namespace
from .windows import FROM, TO

_WIDE = (torch.float32, torch.float64)


def _in_functorch():
    return not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None


def on_host(*tensors):
    """Whether these are plain CPU tensors in eager code, whose values can be read at once and for free."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is None
        and all(x.is_cpu for x in tensors)
    )


for _op, _kernel in ((ops.erf, torch.erf), (ops.embedding, F.embedding)):
    lowering(backend, _op)(_kernel)


@lowering(backend, ops.logsumexp)
def _logsumexp(x, axis=None, keepdims=False):
    return torch.logsumexp(x, tuple(range(x.ndim)) if axis is None else axis, keepdims)


@lowering(backend, ops.label_crossentropy)
def _label_crossentropy(logits, labels, axis=-1):
    if logits.ndim == 1:
        return NotImplemented
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
def _pad(x, pad_width, mode="constant", constant_values=None):
    if mode != "constant":
        return NotImplemented
    # torch counts from the last axis.
    amounts = [n for pair in reversed(pad_pairs(pad_width, x.ndim)) for n in pair]
    return F.pad(x, amounts, value=0 if constant_values is None else constant_values)


@lowering(backend, ops.split)
def _split(x, indices_or_sections, axis=0):
    if not isinstance(indices_or_sections, int) or x.shape[axis] % indices_or_sections:
        return NotImplemented
    return list(torch.chunk(x, indices_or_sections, axis))


@lowering(backend, ops.batch_normalization)
def _batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    rank = x.ndim
    axis = axis % rank
    last = axis == rank - 1 and rank in TO
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        return NotImplemented
    if (mean.requires_grad or variance.requires_grad) and torch.is_grad_enabled():
        return NotImplemented  # through the moments, the kernel gives no gradient
    if not last and axis != 1:
        return NotImplemented
    x, fused = x.permute(*TO[rank]) if last else x, torch.backends.cudnn.enabled
    out = torch.batch_norm(x, scale, offset, mean, variance, False, 0.0, epsilon, fused)
    return out.permute(*FROM[rank]) if last else out


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
def _layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None):
    shape = _last_sizes(x, axis)
    if shape is None or not _alike(x, gamma, beta):
        return NotImplemented
    return F.layer_norm(x, shape, gamma, beta, EPSILON if epsilon is None else epsilon)


@lowering(backend, ops.rms_normalization)
def _rms_normalization(x, scale=None, axis=-1, epsilon=None):
    shape = _last_sizes(x, axis)
    if shape is None or not _alike(x, scale):
        return NotImplemented
    return F.rms_norm(x, shape, scale, EPSILON if epsilon is None else epsilon)


def _last_sizes(x, axis):
    """The sizes of `x` along `axis`, an integer or several, if these are the last ones; else None."""
    if axis == -1:
        return x.shape[-1:]
    axes = sorted(a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis))
    return x.shape[axes[0] :] if axes == list(range(x.ndim - len(axes), x.ndim)) else None


def _alike(x, a, b=None):
    dtype = x.dtype
    return dtype in _WIDE and (a is None or a.dtype is dtype) and (b is None or b.dtype is dtype)


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


# -- attention and recurrence ----------------------------------------------------------------------------------------


@lowering(backend, ops.dot_product_attention)
def _dot_product_attention(
    query, key, value, bias=None, mask=None, scale=None, is_causal=False, attn_logits_soft_cap=None
):
    groups = _groups(query, key, value)
    if groups is None or attn_logits_soft_cap is not None:
        return NotImplemented
    q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    if groups == 1 and bias is None and mask is None and scale is None:
        return F.scaled_dot_product_attention(q, k, v, None, 0.0, is_causal).transpose(1, 2)
    options = {"scale": scale, "enable_gqa": True} if groups > 1 else {} if scale is None else {"scale": scale}
    if is_causal and (mask is not None or bias is not None):
        causal = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
        mask, is_causal = causal if mask is None else mask & causal, False
    bias = None if bias is None else bias.to(q.dtype)
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, bias, 0.0, is_causal, **options).transpose(1, 2)
    # Torch leaves a row that sees nothing undefined; the reference gives the mean, and query and key no gradient.
    seen = mask.any(-1, keepdim=True)
    added = mask | ~seen if bias is None else torch.where(mask, bias, torch.finfo(q.dtype).min)
    out = F.scaled_dot_product_attention(q, k, v, added, **options)
    return torch.where(seen, out, v.mean(-2, keepdim=True).repeat_interleave(groups, 1)).transpose(1, 2)


def _groups(query, key, value):
    """How many heads of the query share one of the key; None if the kernel does not take these shapes and dtypes."""
    dtype = query.dtype
    if key.dtype is not dtype or value.dtype is not dtype or not dtype.is_floating_point:
        return None
    if not query.ndim == key.ndim == value.ndim == 4:
        return None
    heads, groups = query.size(2), key.size(2)
    return None if groups != value.size(2) or heads % groups else heads // groups


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
