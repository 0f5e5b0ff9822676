"""How often values come in images."""

from __future__ import annotations

from ...arrays import device, namespace
from ...tracing.spec import Spec
from ...typing import Array
from .._op import op

__all__ = ["counts_below"]

_AT_ONCE = 16  # levels


@op
def counts_below(levels: Array, bins: int) -> Array:
    """For each image and channel, how many pixels have a level of at most 0, 1, … `bins - 1`.

    The differences of these counts are the histogram. No gradient flows to the levels, which are integers.

    Args:
        levels: (batch, pixels, channels), int32 in [0, bins).
        bins: The number of levels.

    Returns:
        (batch, bins, channels), int32.
    """
    xp, out = namespace(levels), []
    for first in range(0, bins, _AT_ONCE):  # all at once would take as many times the memory of the images
        numbers = xp.arange(first, min(first + _AT_ONCE, bins), dtype=levels.dtype, device=device(levels))
        below = xp.expand_dims(levels, axis=1) <= xp.reshape(numbers, (1, -1, 1, 1))
        out.append(xp.sum(xp.astype(below, xp.int32), axis=2, dtype=xp.int32))
    return xp.concat(out, axis=1)


@counts_below.shape_rule
def _counts_below_shape(levels, bins):
    return Spec((levels.shape[0], bins, levels.shape[2]), "int32")
