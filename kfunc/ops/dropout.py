"""Dropout."""

from __future__ import annotations

from .. import random
from ..arrays import namespace
from ._op import op

__all__ = ["dropout"]


@op
def dropout(x, key, rate, noise_shape):
    """Zero each element of `x` with probability `rate`, and scale the others by `1 / (1 - rate)`.

    Srivastava et al., JMLR 15, 2014. The mask is `random.bernoulli`'s, the same bits on every backend.

    Args:
        x: An array of any shape.
        key: A random key.
        rate: In [0, 1).
        noise_shape: Shape of the mask; broadcasts to that of `x`.
    """
    keep = random.bernoulli(key, 1 - rate, noise_shape)
    return namespace(x).where(keep, x / (1 - rate), namespace(x).zeros_like(x))
