"""Shared by the image family: one layout inside, (batch, height, width, channels)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...arrays import namespace
from ...errors import ArgumentError, ShapeError
from .._promotion import cast, dtype_of, kind, lift

__all__ = ["check_among", "known_sizes", "last", "rounded"]


def check_among(value: Any, allowed: Any, argument: str) -> None:
    """Raises an ArgumentError if `value` is not one of `allowed`."""
    if value not in allowed:
        raise ArgumentError.must_be(argument, "one of " + ", ".join(map(repr, allowed)), value)


def last(images: Any, data_format: str | None, argument: str = "images", rank: int = 2) -> tuple[Any, Callable]:
    """`images` as (batch, *spatial, channels), and the function that brings a result back to the layout it came in.

    Args:
        images: (batch, *spatial, channels), or (batch, channels, *spatial); or either without the batch.
        rank: The number of spatial axes.

    Raises:
        ArgumentError, ShapeError: The data format is unknown, or the rank is another.
    """
    images = lift(images)
    check_among(data_format or "channels_last", ("channels_last", "channels_first"), "data_format")
    if images.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"`{argument}` must be an image or a batch of images, got shape {tuple(images.shape)}.",
            argument=argument,
            expected=f"{rank + 1} or {rank + 2} axes",
            got=tuple(images.shape),
            fix="add a channel axis, for example x[..., None], or loop over further axes",
        )
    xp = namespace(images)
    single, first = images.ndim == rank + 1, data_format == "channels_first"
    x = xp.expand_dims(images, axis=0) if single else images
    x = xp.moveaxis(x, 1, -1) if first else x

    def restore(out: Any) -> Any:
        out = namespace(out).moveaxis(out, -1, 1) if first else out
        return namespace(out).squeeze(out, axis=0) if single else out

    return x, restore


def known_sizes(x: Any, argument: str = "images") -> tuple[int, ...]:
    """The spatial sizes of `x`, (batch, *spatial, channels).

    Raises:
        ShapeError: One is unknown.
    """
    sizes = tuple(x.shape[1:-1])
    if None in sizes:
        raise ShapeError(
            f"The height and the width of `{argument}` must be known, got shape {tuple(x.shape)}.",
            argument=argument,
            expected="known spatial sizes",
            got=tuple(x.shape),
            fix="give the sizes in the input's Spec",
        )
    return sizes


def rounded(out: Any, like: Any) -> Any:
    """`out`, floats, in the dtype of `like`; to the nearest where those are integers."""
    out = namespace(out).round(out) if kind(like) in "iu" else out
    return cast(out, dtype_of(like))
