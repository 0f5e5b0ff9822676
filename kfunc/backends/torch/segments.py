"""PyTorch's kernels for reductions by segment, and for the largest elements."""

from __future__ import annotations

import torch

from ... import ops
from ...ops._op import lowering
from ...ops.segment import flat_rows, highest, lowest
from .backend import backend
from .levels import in_functorch

__all__: list[str] = []


def _lower(op, neutral, fill):
    @lowering(backend, op)
    def segments(data, segment_ids, num_segments=None, sorted=False):
        data, ids, size = flat_rows(data, segment_ids, num_segments)
        if fill is _sum and data.dtype in (torch.float16, torch.bfloat16):
            return NotImplemented
        # Rows whose number is out of range go to one more segment, which is dropped.
        ids = torch.where((ids >= 0) & (ids < size), ids, size).long()
        return fill(data.new_full((size + 1, *data.shape[1:]), neutral(data)), ids, data)[:size]


def _sum(out, ids, data):
    return out.index_add(0, ids, data)


def _extreme(how):
    def fill(out, ids, data):
        return out.scatter_reduce(0, ids.reshape(-1, *(1,) * (data.ndim - 1)).expand_as(data), data, how)

    return fill


_lower(ops.segment_sum, lambda x: 0, _sum)
_lower(ops.segment_max, lowest, _extreme("amax"))
_lower(ops.segment_min, highest, _extreme("amin"))


@lowering(backend, ops.top_k)
def _top_k(x, k, sorted=True):
    if not isinstance(x, torch.Tensor) or x.ndim == 0 or not 0 <= k <= x.shape[-1] or x.dtype == torch.bool:
        return NotImplemented
    return tuple(torch.topk(x, k, sorted=sorted))


def _write_block(inputs, start_indices, updates):
    """`slice_update` in the memory of `inputs`."""
    block = inputs
    for axis, (start, m, n) in enumerate(zip(start_indices, updates.shape, inputs.shape, strict=True)):
        if m != n:
            block = block.narrow(axis, min(max(int(start), 0), n - m), m)
    block.copy_(updates)
    return inputs


@lowering(backend, ops.slice_update)
def _slice_update(inputs, start_indices, updates):
    if not (isinstance(inputs, torch.Tensor) and isinstance(updates, torch.Tensor) and isinstance(start_indices, list)):
        return NotImplemented
    # Where the start cannot be read, or only by waiting, the reference runs; and where something is wrong, it says so.
    if torch.compiler.is_compiling() or in_functorch() or not (inputs.is_cpu and inputs.dtype == updates.dtype):
        return NotImplemented
    if not len(start_indices) == inputs.ndim == updates.ndim:
        return NotImplemented
    if any([m > n for m, n in zip(updates.shape, inputs.shape, strict=True)]):
        return NotImplemented
    return _write_block(inputs.clone(), start_indices, updates)


_slice_update.in_place = _write_block
