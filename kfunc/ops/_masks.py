"""What masks hide: positions that do not count change neither values nor gradients."""

from __future__ import annotations

from typing import Any

from ..arrays import device, namespace
from ..typing import Array
from ._op import op
from ._promotion import kind

__all__ = ["hidden"]


def hidden(x: Any, mask: Any, fill: float = 0.0) -> Any:
    """`x` with `fill` in place of NaN and infinities where `mask`, whose axes are the first ones of `x`, is False.

    A layer that leaves masked positions out of its result still computes with them, and 0 times NaN is NaN: in sums
    over positions, and in the gradients of its weights. Finite numbers stay, so that no other result changes.
    """
    if mask is None or not hasattr(mask, "shape") or not hasattr(x, "shape") or kind(x) != "f":
        return x
    sizes = list(zip(mask.shape, x.shape, strict=False))
    if mask.ndim > x.ndim or any(m not in (1, None, n) and n is not None for m, n in sizes):
        return x  # the mask means something else, or does not fit, which is told where it is used
    xp = namespace(x, mask)
    seen = xp.astype(mask, xp.bool, copy=False)
    for _ in range(x.ndim - mask.ndim):
        seen = xp.expand_dims(seen, axis=-1)
    return without_nans(x, seen, fill)


@op
def without_nans(x: Array, seen: Array, fill: float) -> Array:
    """`x` with `fill` in place of NaN and infinities where `seen`, which broadcasts to the shape of `x`, is False.

    It is an op, since a backend may look first whether there is any: this costs little, and then nothing is to be done.
    """
    xp = namespace(x, seen)
    hides = xp.full((), fill, dtype=x.dtype, device=device(x))
    return xp.where(xp.logical_or(seen, xp.isfinite(x)), x, hides)
