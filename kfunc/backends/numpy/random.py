"""Random numbers on NumPy: Threefry in place, and dropout and the quantile function block by block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops import dropout
from ...ops._op import lowering, pullback
from ...ops.bits import fold_bits, random_bits, random_mask, sizes
from ...ops.normal import normal_quantile
from .. import _threefry
from .backend import backend
from .lowerings import masked, uniform

__all__: list[str] = []

lowering(backend, random_bits)(_threefry.random_bits)
lowering(backend, fold_bits)(_threefry.fold_bits)
lowering(backend, random_mask)(_threefry.random_mask)
lowering(backend, normal_quantile)(_threefry.normal_quantile)


def _kept(x, keep, scale, parts):
    """`x * scale` where `keep`, which has as many elements, holds, else 0; in blocks, which stay in the cache."""
    given, out = x.reshape(-1), np.empty(x.size, x.dtype)
    for part in parts:
        block = np.multiply(given[part], scale, out=out[part])
        # The same as `masked`, in place.
        bits, mask = block.view(f"i{x.dtype.itemsize}"), keep[part].astype(f"i{x.dtype.itemsize}")
        np.bitwise_and(bits, np.negative(mask, out=mask), out=bits)
    return out.reshape(x.shape)


@pullback(backend, dropout)
def dropout_pullback(x: Any, key: Any, rate: Any, noise_shape: Any = None) -> Any:
    if not uniform(x) or x.dtype.itemsize > 8 or rate in (0, 1):
        return NotImplemented
    shape, scale = sizes(x.shape if noise_shape is None else noise_shape), x.dtype.type(1 / (1 - rate))
    if shape != x.shape:
        few = _threefry.random_mask(key, shape, 1 - rate)
        return masked(x * scale, few), lambda g: (masked(g * scale, few), None, None, None)
    keep = np.empty(math.prod(shape), np.bool_)
    out = _kept(x, keep, scale, _threefry.mask_parts(key, 1 - rate, keep))
    step = _threefry.MASK_BLOCK
    parts = [slice(start, start + step) for start in range(0, len(keep), step)]
    return out, lambda g: (_kept(g, keep, scale, parts), None, None, None)


@lowering(backend, dropout)
def _dropout(x, key, rate, noise_shape=None):
    made = dropout_pullback(x, key, rate, noise_shape)
    return made if made is NotImplemented else made[0]
