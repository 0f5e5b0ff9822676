"""Axes of tensors: counted from the front, and moved to the end and back."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

__all__ = [
    "from_last",
    "normal_axes",
    "normal_axis",
    "to_last",
]


def normal_axis(axis: int, ndim: int) -> int:
    """`axis` of `ndim` axes, counted from the front."""
    if not -ndim <= axis < max(ndim, 1):
        raise IndexError(f"Axis {axis} is out of bounds for {ndim} axes.")
    return axis % ndim if ndim else 0


def normal_axes(axis: int | Sequence[int] | None, ndim: int) -> list[int]:
    """The axes in `axis`, an integer, several or None for all `ndim` axes, counted from the front."""
    if axis is None:
        return list(range(ndim))
    return [normal_axis(a, ndim) for a in ((axis,) if isinstance(axis, int) else axis)]


def to_last(x: tf.Tensor, axis: int) -> tf.Tensor:
    """`x` with `axis` (counted from the front) as its last one."""
    n = x.shape.rank
    return x if axis == n - 1 else tf.transpose(x, [*(i for i in range(n) if i != axis), axis])


def from_last(x: tf.Tensor, axis: int) -> tf.Tensor:
    """`x` with its last axis moved to `axis`; undoes `to_last`."""
    n = x.shape.rank
    return x if axis == n - 1 else tf.transpose(x, [*range(axis), n - 1, *range(axis, n - 1)])
