"""Shapes of the ops that write at indices, or choose by them, where sizes may be unknown."""

from __future__ import annotations

from ... import ops
from ...ops._op import lowering
from ...ops.segment import flat_rows, places
from . import Spec, backend

__all__: list[str] = []


def _segments(data, segment_ids, num_segments=None, sorted=False):
    data, _, size = flat_rows(data, segment_ids, num_segments)
    return Spec((size, *data.shape[1:]), data.dtype)


for _op in (ops.segment_sum, ops.segment_prod, ops.segment_max, ops.segment_min):
    lowering(backend, _op)(_segments)


@lowering(backend, ops.take)
def _take(x, indices, axis=None):
    # Any number of sizes may be unknown here, where the reference reshapes and so allows one.
    if axis is None or not isinstance(x, Spec) or not -x.ndim <= axis < x.ndim:
        return NotImplemented
    axis = axis % x.ndim
    return Spec((*x.shape[:axis], *places(x, indices).shape, *x.shape[axis + 1 :]), x.dtype)
