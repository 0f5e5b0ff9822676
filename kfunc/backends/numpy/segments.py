"""NumPy's reductions of rows with equal segment numbers: one sort, and one pass over the runs of equal ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...ops._op import lowering
from ...ops.segment import flat_rows, highest, lowest
from .backend import backend

__all__ = ["segment_sum"]


def _lower(op, ufunc, neutral):
    @lowering(backend, op)
    def segments(data, segment_ids, num_segments=None, sorted=False):
        data, ids, size = flat_rows(data, segment_ids, num_segments)
        if data.dtype == np.float16:
            return NotImplemented
        if ids.size and (ids.min() < 0 or ids.max() >= size):
            inside = (ids >= 0) & (ids < size)
            data, ids = data[inside], ids[inside]
        if ufunc is np.add and data.ndim == 1 and data.dtype.kind == "f" and ids.size:
            return np.bincount(ids, data, size).astype(data.dtype)
        out = np.full((size, *data.shape[1:]), neutral(data), data.dtype)
        if ids.size:
            if not sorted:
                order = np.argsort(ids, kind="stable")
                data, ids = data[order], ids[order]
            starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
            out[ids[starts]] = ufunc.reduceat(data, starts, axis=0, dtype=data.dtype)
        return out

    return segments


segment_sum: Callable[..., Any] = _lower(ops.segment_sum, np.add, lambda x: 0)
_lower(ops.segment_prod, np.multiply, lambda x: 1)
_lower(ops.segment_max, np.maximum, lowest)
_lower(ops.segment_min, np.minimum, highest)


@lowering(backend, ops.argpartition)
def argpartition(x: Any, kth: Any, axis: Any = -1) -> Any:
    plain = isinstance(x, np.ndarray) and x.dtype.kind in "iuf" and isinstance(kth, int)
    return np.argpartition(x, kth, axis=axis) if plain else NotImplemented


@lowering(backend, ops.top_k)
def top_k(x: Any, k: Any, sorted: bool = True) -> Any:
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iuf" or x.ndim == 0 or not 0 < k <= x.shape[-1]:
        return NotImplemented
    n = x.shape[-1]
    some = np.sort(np.argpartition(x, n - k, axis=-1)[..., n - k :], axis=-1)
    values = np.take_along_axis(x, some, axis=-1)
    # Sorted ascending in reversed order, so that of equal elements the first one stays first.
    order = k - 1 - np.flip(np.argsort(np.flip(values, axis=-1), axis=-1, kind="stable"), axis=-1)
    return np.take_along_axis(values, order, axis=-1), np.take_along_axis(some, order, axis=-1)


def _write_block(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """`slice_update` in the memory of `inputs`."""
    starts = [min(max(int(s), 0), n - m) for s, m, n in zip(start_indices, updates.shape, inputs.shape, strict=True)]
    inputs[tuple([slice(s, s + m) for s, m in zip(starts, updates.shape, strict=True)])] = updates
    return inputs


@lowering(backend, ops.slice_update)
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    # With many starts, or another rank, the reference says what is wrong.
    plain = isinstance(inputs, np.ndarray) and isinstance(updates, np.ndarray) and isinstance(start_indices, list)
    if not plain or not len(start_indices) == inputs.ndim == updates.ndim or inputs.dtype != updates.dtype:
        return NotImplemented
    if any([m > n for m, n in zip(updates.shape, inputs.shape, strict=True)]):
        return NotImplemented
    return _write_block(inputs.copy(), start_indices, updates)


slice_update.in_place = _write_block
