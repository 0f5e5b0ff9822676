"""Rules of the reductions and the running sums."""

from __future__ import annotations

import math
from typing import Any

from ....arrays import device
from ....backends import composed
from ....backends.adjoints import nonzero
from .elementwise import choose, shared

__all__ = ["COMPOSITES", "RULES", "all_axes", "kept"]


def all_axes(x: Any, axis: Any) -> Any:
    """The axes as a tuple of positions."""
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis))


def kept(xp: Any, y: Any, x: Any, axis: Any) -> Any:
    """`y`, reduced from `x` along `axis`, with these axes kept at size 1."""
    axes = all_axes(x, axis)
    return xp.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _count(x, axis):
    return math.prod(x.shape[a] for a in all_axes(x, axis))


def _sum(xp, g, out, x, *, axis=None, dtype=None, keepdims=False):
    return xp.broadcast_to(kept(xp, g, x, axis), x.shape)


def _mean(xp, g, out, x, *, axis=None, keepdims=False):
    return xp.broadcast_to(kept(xp, g / _count(x, axis), x, axis), x.shape)


def _max(xp, g, out, x, *, axis=None, keepdims=False):
    # Equal maxima share the cotangent.
    mask = x == kept(xp, out, x, axis)
    count = xp.sum(xp.astype(mask, x.dtype), axis=all_axes(x, axis), keepdims=True)
    return choose(xp, kept(xp, g, x, axis) / count + xp.zeros_like(x), mask)


def _var(xp, g, out, x, *, axis=None, correction=0.0, keepdims=False):
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return kept(xp, g * (2 / (_count(x, axis) - correction or math.nan)), x, axis) * centred


def _std(xp, g, out, x, *, axis=None, correction=0.0, keepdims=False):
    # At 0, where the root has no slope, the gradient is taken to be 0.
    return _var(xp, g / (nonzero(xp, out) * 2), out, x, axis=axis, correction=correction)


def _cumulative_sum(xp, g, out, x, *, axis=None, dtype=None, include_initial=False):
    axis = 0 if axis is None else axis % x.ndim
    if include_initial:
        g = g[(slice(None),) * axis + (slice(1, None), ...)]
    return xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis)


RULES: dict[str, Any] = {
    "cumulative_sum": (_cumulative_sum,),
    "max": (_max,),
    "mean": (_mean,),
    "min": (_max,),
    "std": (_std,),
    "sum": (_sum,),
    "var": (_var,),
}


def prod(xp: Any, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    # Products of halves, whose derivative is right for zeros too; that of `out / x` is not.
    if dtype is not None:
        x = xp.astype(x, dtype)
    axes, shape = all_axes(x, axis), x.shape
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    y = xp.reshape(xp.permute_dims(x, (*axes, *rest)), (_count(x, axis), *(shape[i] for i in rest)))
    while y.shape[0] > 1:
        half = y.shape[0] // 2
        product = y[:half, ...] * y[half : 2 * half, ...]
        y = xp.concat([product, y[2 * half :, ...]], axis=0) if y.shape[0] % 2 else product
    y = y[0, ...] if y.shape[0] else xp.ones(y.shape[1:], dtype=x.dtype, device=device(x))
    return kept(xp, y, x, axis) if keepdims else y


COMPOSITES = {"cumulative_prod": shared(composed.cumulative_prod), "diff": shared(composed.diff), "prod": prod}
