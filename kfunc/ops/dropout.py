"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import backend_of, namespace
from ..typing import Array
from ._op import op
from .bits import random_mask, sizes

__all__ = ["dropout"]


@op
def dropout(x: Array, key: Array, rate: float, noise_shape: Sequence[int | None] | None = None) -> Array:
    """Zero each element of `x` with probability `rate`, and scale the others by `1 / (1 - rate)`.

    The same elements on every backend (Srivastava et al., JMLR 15, 2014).

    Args:
        x: An array of any shape, float.
        key: A random key, uint32 (2,).
        rate: In [0, 1]; rounded to a multiple of 2**-32.
        noise_shape: Shape of the mask, which broadcasts to that of `x`; that of `x` by default. None in it stands for
            the size of `x`.
    """
    if rate == 0:
        return x
    if rate == 1:
        return namespace(x).zeros_like(x)
    own = backend_of(x).sizes(x)
    shape = own if noise_shape is None else [n if m is None else m for m, n in zip(noise_shape, own, strict=True)]
    keep = random_mask(key, sizes(shape, key), 1 - rate)
    return namespace(x).where(keep, x * (1 / (1 - rate)), namespace(x).zeros_like(x))
