"""Masks of layers: see `kfunc.ops._masks`."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..ops._masks import hidden

__all__ = ["check_steps", "hidden"]


def check_steps(mask: Any, x: Any) -> None:
    """Raise a ShapeError if `mask` is not (batch, time, ...) with the batch and the steps of `x`."""
    sizes = zip(mask.shape[:2], x.shape[:2], strict=False)
    if mask.ndim < 2 or any(m != n for m, n in sizes if None not in (m, n)):
        raise ShapeError(
            f"`mask` must have the batch and the steps of x, {tuple(x.shape[:2])}, got {tuple(mask.shape)}.",
            argument="mask",
            expected=f"(batch, time, ...) of {tuple(x.shape[:2])}",
            got=tuple(mask.shape),
        )
