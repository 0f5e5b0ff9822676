"""The ops that PyTorch has kernels for."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
import torch.nn.functional as F

from ... import ops
from ...ops._axes import normal_axes
from ...ops._masks import without_nans
from ...ops._op import lowering
from ...ops.attention import seen_part, unseen
from ...ops.manipulation import pad_pairs
from ...ops.normalization import EPSILON, along
from ...ops.optimize import adam_factors, unbias
from . import namespace
from .backend import backend
from .levels import differentiated_twice, in_functorch, in_vmap
from .windows import FROM, TO

_WIDE = (torch.float32, torch.float64)
_HALF = (torch.float16, torch.bfloat16)
PLAIN = (torch.Tensor, torch.nn.Parameter)


def on_host(*tensors: Any) -> Any:
    """Whether these are plain CPU tensors in eager code: their values can be read without waiting.

    Subclasses have no values of that kind: those of a DTensor lie on several machines, a FakeTensor has none.
    """
    return (
        not torch.compiler.is_compiling()
        and not in_functorch()
        and all([x.is_cpu and type(x) in PLAIN for x in tensors])
    )


def _of_one_dtype(x, *others):
    return all([y is None or y.dtype is x.dtype for y in others])


lowering(backend, ops.erf)(torch.erf)


@lowering(backend, ops.embedding)
def _embedding(indices, table):
    return F.embedding(indices if indices.dtype in (torch.int32, torch.int64) else indices.long(), table)


@lowering(backend, ops.logsumexp)
def _logsumexp(x, axis=None, keepdims=False):
    # The kernel takes () for all axes, and on a CPU it adds up half precision as it is.
    if axis in ((), []) or (x.dtype in _HALF and x.is_cpu):
        return NotImplemented
    return torch.logsumexp(x, tuple(range(x.ndim)) if axis is None else axis, keepdims)


_NO_LABEL = -(2**63)


@lowering(backend, ops.label_crossentropy)
def _label_crossentropy(logits, labels, axis=-1):
    if logits.ndim == 1 or (logits.dtype in _HALF and logits.is_cpu):  # see `_logsumexp`
        return NotImplemented
    classes = logits.shape[axis]
    logits = logits if logits.ndim == 2 and axis in (1, -1) else logits.movedim(axis, 1)
    numbers = labels.long()
    if on_host(labels):
        # The kernel raises for labels out of range, except for `ignore_index`.
        with contextlib.suppress(IndexError):
            return F.cross_entropy(logits, numbers, ignore_index=_NO_LABEL, reduction="none")
    # The kernel must get no label out of range: on a GPU such an error ends the process.
    valid = (numbers >= 0) & (numbers < classes)
    return torch.where(valid, F.cross_entropy(logits, torch.where(valid, numbers, 0), reduction="none"), float("nan"))


@lowering(backend, ops.pad)
def _pad(x, pad_width, mode="constant", constant_values=None):
    if mode != "constant" or (isinstance(constant_values, int) and abs(constant_values) > 2**53):
        return NotImplemented  # F.pad makes a float of the value
    # F.pad begins with the last axis.
    amounts = [n for pair in reversed(pad_pairs(pad_width, x.ndim)) for n in pair]
    return F.pad(x, amounts, value=0 if constant_values is None else constant_values)


@lowering(backend, ops.image.counts_below)
def _counts_below(levels, bins):
    batch, _, channels = levels.shape
    counts = torch.zeros((batch, channels, bins), dtype=torch.int32, device=levels.device)
    rows = levels.permute(0, 2, 1).to(torch.int64)
    counts = counts.scatter_add(2, rows, torch.ones((), dtype=torch.int32, device=levels.device).expand(rows.shape))
    return torch.cumsum(counts, 2, dtype=torch.int32).permute(0, 2, 1)


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
    if torch.compiler.is_compiling() or in_functorch():
        return NotImplemented
    if (mean.requires_grad or variance.requires_grad) and torch.is_grad_enabled():
        return NotImplemented  # the kernel has no gradient for the moments
    if (not last and axis != 1) or not mean.shape[0]:
        return NotImplemented
    if x.dtype not in _HALF and not _of_one_dtype(x, mean, variance, offset, scale):
        return NotImplemented
    x, fused = x.permute(*TO[rank]) if last else x, torch.backends.cudnn.enabled
    out = torch.batch_norm(x, scale, offset, mean, variance, False, 0.0, epsilon, fused)
    return out.permute(*FROM[rank]) if last else out


@lowering(backend, ops.normalize_batch)
def _normalize_batch(x, offset=None, scale=None, axis=-1, epsilon=1e-3):
    if torch.compiler.is_compiling() or in_functorch() or not x.numel() or x.dtype not in _WIDE:
        return NotImplemented
    if not _of_one_dtype(x, offset, scale):
        return NotImplemented
    # Torch's kernel wants four axes: the features are the second one, and lie last in memory.
    features = x.movedim(axis, -1)
    shape = features.shape
    flat = features.reshape(1, -1, 1, shape[-1]).permute(0, 3, 1, 2)
    out, mean, deviation = torch.native_batch_norm(flat, scale, offset, None, None, True, 0.0, epsilon)
    mean, deviation = mean.detach(), deviation.detach()
    return out.permute(0, 2, 3, 1).reshape(shape).movedim(-1, axis), mean, deviation**-2 - epsilon


def _in_single(kernel):
    """`kernel`, which gets half precision as float32, as in the references."""

    def wide(x):
        return x.float() if isinstance(x, torch.Tensor) and x.dtype in _HALF else x

    def lowered(x, *args, **kwargs):
        if x.dtype not in _HALF:
            return kernel(x, *args, **kwargs)
        out = kernel(x.float(), *map(wide, args), **{k: wide(v) for k, v in kwargs.items()})
        return out if out is NotImplemented else out.to(x.dtype)

    return lowered


@lowering(backend, ops.group_normalization)
@_in_single
def _group_normalization(x, groups, gamma=None, beta=None, axis=-1, epsilon=None):
    axis = axis % x.ndim
    if axis == 0 or x.shape[axis] % groups or not x.numel() or not _alike(x, gamma, beta):
        return NotImplemented
    if axis == x.ndim - 1 and x.ndim > 3:
        x = x - _group_means(x, groups)
    fused = gamma is not None  # with `beta` and no `gamma`, the kernel has no gradient
    epsilon = EPSILON if epsilon is None else epsilon
    x = x.movedim(axis, 1)
    if not x.requires_grad:  # else the gradient of `gamma` crashes (PyTorch 2.13, on CPUs, for channels-last arrays)
        x = x.reshape(-1).view(x.shape)  # makes the strides of axes of one element the usual ones
    out = torch.group_norm(x, groups, gamma, beta if fused else None, epsilon).movedim(1, axis)
    return out if fused or beta is None else out + along(x, (axis,), beta)


@torch.no_grad()
def _group_means(x, groups):
    """The mean of each group, (samples, 1 …, features), which is subtracted before the kernel runs.

    For features that are last in memory, the kernel computes the variance as a difference of squares, and would lose
    digits.
    """
    features = x.shape[-1]
    means = x.reshape(x.shape[0], -1, features).mean(1).reshape(-1, groups, features // groups).mean(-1, keepdim=True)
    return means.expand(-1, -1, features // groups).reshape(-1, *(1,) * (x.ndim - 2), features)


@lowering(backend, ops.layer_normalization)
@_in_single
def _layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None):
    shape = _last_sizes(x, axis)
    # The kernel's second derivatives are wrong where one of them is taken in forward mode (torch 2.13).
    if shape is None or not _alike(x, gamma, beta) or differentiated_twice():
        return NotImplemented
    return F.layer_norm(x, shape, gamma, beta, EPSILON if epsilon is None else epsilon)


@lowering(backend, ops.rms_normalization)
@_in_single
def _rms_normalization(x, scale=None, axis=-1, epsilon=None):
    shape = _last_sizes(x, axis)
    if shape is None or not _alike(x, scale):
        return NotImplemented
    return F.rms_norm(x, shape, scale, EPSILON if epsilon is None else epsilon)


@lowering(backend, ops.normalize)
@_in_single
def _normalize(x, axis=-1, order=2, epsilon=None):
    if x.dtype not in _WIDE or x.ndim == 0 or not isinstance(order, int) or order < 1:
        return NotImplemented
    norm = torch.linalg.vector_norm(x, order, tuple(axis) if isinstance(axis, list) else axis, keepdim=True)
    return x / norm.clamp_min(EPSILON if epsilon is None else epsilon)


def _last_sizes(x, axis):
    """The sizes of `x` along `axis`, an integer or several, if these are its last axes; else None."""
    if axis == -1:
        return x.shape[-1:]
    axes = sorted(normal_axes(axis, x.ndim))
    return x.shape[axes[0] :] if axes == list(range(x.ndim - len(axes), x.ndim)) else None


def _alike(x, a, b=None):
    dtype = x.dtype
    return dtype in _WIDE and (a is None or a.dtype is dtype) and (b is None or b.dtype is dtype)


@lowering(backend, ops.all_finite)
def _all_finite(*arrays):
    if not all(x.is_floating_point() for x in arrays):
        return NotImplemented
    arrays = [x.detach() if x.requires_grad else x for x in arrays]
    # The Euclidean norm is the fastest. It may overflow; then the numbers themselves are looked at.
    if on_host(*arrays) and math.isfinite(sum([norm.item() for norm in torch._foreach_norm(arrays, 2)])):
        return torch.ones(len(arrays), dtype=torch.bool)
    # One call for all arrays: the largest magnitude is finite if and only if all elements are.
    return torch.isfinite(torch.stack(torch._foreach_norm(arrays, float("inf"))))


@lowering(backend, without_nans)
def _without_nans(x, seen, fill):
    # One sum instead of seven kernels, forwards and backwards: masked attention of (16, 32, 64) took 1.4 times as long.
    # A sum that overflows leads to the reference, too.
    if on_host(x, seen) and x.is_floating_point() and math.isfinite(x.detach().sum().item()):
        return x
    return NotImplemented


@lowering(backend, ops.adam)
def _adam(count, step_size, beta_1, beta_2, epsilon, *leaves, corrected=True, overwrite=False):
    n = len(leaves) // 3
    gradients, means, squares = leaves[:n], leaves[n : 2 * n], leaves[2 * n :]
    dtypes = {x.dtype for x in leaves}
    if (not torch.compiler.is_compiling() and in_functorch()) or len(dtypes) > 1 or _differentiated(leaves):
        return NotImplemented
    if on_host(count, *leaves):
        # One pass over all arrays. The kernel works in place: it gets copies, and zeros in place of the parameters.
        if not overwrite:
            means, squares = ([x.clone(memory_format=torch.contiguous_format) for x in xs] for xs in (means, squares))
        updates = [torch.zeros_like(m) for m in means]
        gradients = [g.contiguous() for g in gradients]
        if not corrected:  # the kernel adds its epsilon as algorithm 1 of the paper does
            epsilon = epsilon / math.sqrt(unbias(math, float(count), beta_2))
        numbers = {"lr": -float(step_size), "beta1": beta_1, "beta2": beta_2, "eps": epsilon, "weight_decay": 0.0}
        steps = [count.to(torch.float32)] * n
        torch._fused_adam_(updates, gradients, means, squares, [], steps, amsgrad=False, maximize=False, **numbers)
        return (*updates, *means, *squares)
    wide = torch.float64 if torch.float64 in dtypes else torch.float32
    factor, small = adam_factors(namespace, count, step_size, beta_1, beta_2, epsilon, wide, corrected)
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
    query,
    key,
    value,
    bias=None,
    mask=None,
    scale=None,
    is_causal=False,
    flash_attention=None,
    attn_logits_soft_cap=None,
):
    dtype, is_causal = query.dtype, bool(is_causal)
    if key.dtype is not dtype or value.dtype is not dtype or not dtype.is_floating_point:
        return NotImplemented
    # On a CPU, the kernel has no second derivative, and runs once for each row of a `vmap`.
    if differentiated_twice() or (query.is_cpu and in_vmap()):
        return NotImplemented
    if mask is not None:
        key, value = unseen(mask, key, value)
    q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    # With another number of axes this fails, and the reference says why.
    (_, heads, _, _), (_, groups, _, _) = q.shape, k.shape
    if k.shape[:3] != v.shape[:3] or heads % groups or attn_logits_soft_cap is not None:
        return NotImplemented  # the kernel would repeat a single key
    if mask is not None and not key.shape[1]:
        return NotImplemented  # the mean of no values is NaN
    if groups == heads and bias is None and mask is None and scale is None:
        return F.scaled_dot_product_attention(q, k, v, None, 0.0, is_causal).transpose(1, 2)
    share = heads // groups
    options = {"scale": scale, "enable_gqa": True} if share > 1 else {} if scale is None else {"scale": scale}
    if is_causal and (mask is not None or bias is not None):
        causal = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
        mask, is_causal = causal if mask is None else mask & causal, False
    bias = None if bias is None else bias.to(q.dtype)
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, bias, 0.0, is_causal, **options).transpose(1, 2)
    # Where the mask hides all keys from a query, torch's result is undefined. The reference gives the mean of the
    # values, and no gradient to query and key.
    seen = mask.any(-1, keepdim=True)
    added = mask | ~seen if bias is None else torch.where(mask, bias, torch.finfo(q.dtype).min)
    out = F.scaled_dot_product_attention(q, k, v, added, **options)
    return torch.where(seen, out, v.mean(-2, keepdim=True).repeat_interleave(share, 1)).transpose(1, 2)


@lowering(backend, ops.cached_attention)
def _cached_attention(
    query, key, value, start, bias=None, mask=None, scale=None, sliding_window=None, attn_logits_soft_cap=None
):
    plain = query.is_cpu and query.ndim == key.ndim == value.ndim == 4 and query.dtype is key.dtype is value.dtype
    if not plain or torch.compiler.is_compiling() or in_functorch() or differentiated_twice():
        return NotImplemented
    part = seen_part(query, key, value, start, bias, mask, sliding_window)
    if part is None:
        return NotImplemented
    key, value, bias, mask = part
    heads, groups = query.shape[2], key.shape[2]
    if query.shape[1] == 1 and bias is None and attn_logits_soft_cap is None and groups and not heads % groups:
        q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        mask = mask if mask is None or mask.dtype is torch.bool else mask != 0
        out = F.scaled_dot_product_attention(q, k, v, mask, scale=scale, enable_gqa=groups < heads).transpose(1, 2)
        # A row without any source, and NaN at a source that is hidden, are for the other function.
        if mask is None or out.isfinite().all():
            return out
    causal = query.shape[1] > 1
    return ops.dot_product_attention(
        query, key, value, bias, mask, scale, causal, attn_logits_soft_cap=attn_logits_soft_cap
    )


_CERTAIN = 1e4
"""The sigmoid of this number is exactly 1, and that of its negative exactly 0, in all dtypes; float16 has it."""


def _recurrent(x, h, mask, zero_output_for_mask, reverse, run):
    """(outputs, h, ...) of `run(x, h)` over a sequence; with a mask, of `run(x, h, junk)`.

    The kernels know no masks. So the steps that the mask keeps are moved to the front, and `junk` marks the steps
    behind them. The output at a step is then the output after as many kept steps as there were until then, or `h`
    where there was none.
    """
    if reverse:
        x, mask = x.flip(1), None if mask is None else mask.flip(1)
    if mask is None:
        out, h, *more = run(x, h)
    else:
        order = torch.sort(mask.to(torch.uint8), dim=1, descending=True, stable=True).indices
        done = mask.cumsum(1)
        junk = torch.arange(x.shape[1], device=x.device) >= done[:, -1:]
        x = torch.where(junk[..., None], 0, x.gather(1, order[..., None].expand(x.shape)))
        out, _, *more = run(x, h, junk)
        out = torch.cat([h[:, None], out], 1).gather(1, done[..., None].expand(*mask.shape, out.shape[-1]))
        h = out[:, -1]
        out = torch.where(mask[..., None], out, 0) if zero_output_for_mask else out
    return (out.flip(1) if reverse else out, h, *more)


def _first(x, recurrent, h):
    return x.new_zeros(x.shape[0], recurrent.shape[1]) if h is None else h


def _turned(kernel):
    # Contiguous, since the gradient of torch.lstm would make copies otherwise.
    return kernel.T.contiguous()


@lowering(backend, ops.lstm, kernel=_turned, recurrent_kernel=_turned)
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
    mask=None,
    keep=None,
    zero_output_for_mask=False,
    unroll=False,
):
    compiling = torch.compiler.is_compiling()
    if (
        activation is not ops.tanh
        or recurrent_activation is not ops.sigmoid
        or keep is not None
        or compiling
        or in_vmap()
        or not _of_one_dtype(x, kernel, recurrent_kernel, bias, h, c)
    ):
        # In torch.compile, the gradient of torch.lstm fails (torch 2.13).
        return NotImplemented
    state = _first(x, recurrent_kernel, h)
    c = state if h is c is None else _first(x, recurrent_kernel, c)

    def run(x, h, junk=None):
        # Torch has the gates in our order. It has two biases, which it adds.
        weights = [kernel, recurrent_kernel]
        if junk is not None:  # one more input closes the input gate and opens the forget gate: the cell keeps its state
            closing = kernel.new_zeros(4, recurrent_kernel.shape[1])
            closing[0], closing[1] = -_CERTAIN, _CERTAIN
            x = torch.cat([x, junk[..., None].to(x.dtype)], -1)
            weights[0] = torch.cat([weights[0], closing.reshape(-1, 1)], 1)
        if bias is not None:
            weights += [bias, torch.zeros_like(bias)]
        first = (h.unsqueeze(0), c.unsqueeze(0))
        y, h, last = torch.lstm(x, first, weights, bias is not None, 1, 0.0, False, False, True)
        return y, h.squeeze(0), last.squeeze(0)

    return _recurrent(x, state, mask, zero_output_for_mask, reverse, run)


def _reset_first(weights):
    """Weights (..., gates * units) with the gates in torch's order."""
    update, reset, candidate = weights.chunk(3, -1)
    return torch.cat([reset, update, candidate], -1)


def _turned_reset_first(kernel):
    return _reset_first(kernel).T


@lowering(backend, ops.gru, kernel=_turned_reset_first, recurrent_kernel=_turned_reset_first)
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
    mask=None,
    keep=None,
    zero_output_for_mask=False,
    unroll=False,
):
    usual = activation is ops.tanh and recurrent_activation is ops.sigmoid
    alike = _of_one_dtype(x, kernel, recurrent_kernel, bias, h)
    if not reset_after or not usual or keep is not None or in_vmap() or not alike:
        return NotImplemented

    weights = [kernel, recurrent_kernel]
    if bias is not None:
        weights += list(_reset_first(bias))

    def run(x, h, junk=None):
        y, h = torch.gru(x, h.unsqueeze(0), weights, bias is not None, 1, 0.0, False, False, True)
        return y, h.squeeze(0)

    return _recurrent(x, _first(x, recurrent_kernel, h), mask, zero_output_for_mask, reverse, run)


@lowering(backend, ops.simple_rnn)
def _simple_rnn(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    h=None,
    reverse=False,
    activation=ops.tanh,
    mask=None,
    keep=None,
    zero_output_for_mask=False,
    unroll=False,
):
    alike = _of_one_dtype(x, kernel, recurrent_kernel, bias, h)
    if activation not in (ops.tanh, ops.relu) or keep is not None or in_vmap() or not alike:
        return NotImplemented
    kernel_of = torch.rnn_tanh if activation is ops.tanh else torch.rnn_relu
    weights = [kernel.T, recurrent_kernel.T]
    if bias is not None:
        weights += [bias, torch.zeros_like(bias)]

    def run(x, h, junk=None):
        y, h = kernel_of(x, h.unsqueeze(0), weights, bias is not None, 1, 0.0, False, False, True)
        return y, h.squeeze(0)

    return _recurrent(x, _first(x, recurrent_kernel, h), mask, zero_output_for_mask, reverse, run)
