"""Patches of images as columns and back, and blocks of pixels as channels and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..arrays import namespace
from ..errors import ArgumentError, ShapeError
from ..typing import Array
from ._op import op
from ._promotion import lift
from ._windows import per_axis, spread, window_shape
from .manipulation import pad

__all__ = ["depth_to_space", "fold", "space_to_depth", "unfold"]


# -- columns -----------------------------------------------------------------------------------------------------------


def patch_geometry(
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int],
    padding: int | Sequence[int],
    stride: int | Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Window, dilation, padding and strides, a pair of integers each, checked."""
    around = (padding, padding) if isinstance(padding, int) else tuple(padding)
    if len(around) != 2 or any(not isinstance(n, int) or n < 0 for n in around):
        raise ArgumentError.must_be("padding", "a natural number or 2 of them", padding)
    return (
        per_axis(kernel_size, 2, "kernel_size"),
        per_axis(dilation, 2, "dilation"),
        around,
        per_axis(stride, 2, "stride"),
    )


def _rank(x, rank, expected):
    if x.ndim != rank:
        raise ShapeError(
            f"`x` must have {rank} axes, got shape {tuple(x.shape)}.",
            argument="x",
            expected=expected,
            got=tuple(x.shape),
        )


@op
def unfold(
    x: Array,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Array:
    """Windows of images as columns.

    Args:
        x: (batch, channels, height, width).
        kernel_size, dilation, stride: One integer, or one for each spatial axis.
        padding: How many zeros are put on both sides, one integer, or one for each spatial axis.

    Returns:
        (batch, channels * window, windows), windows and their elements row by row.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    x = lift(x)
    _rank(x, 4, "(batch, channels, height, width)")
    window, gaps, around, strides = patch_geometry(kernel_size, dilation, padding, stride)
    xp = namespace(x)
    x = pad(x, ((0, 0), (0, 0), *((n, n) for n in around)))
    channels, *sizes = x.shape[1:]
    out = window_shape(sizes, window, strides, gaps, "valid")
    for axis in (1, 0):  # as in `windows_of`, but the axes of the window lie before those of its places
        starts, length = range(0, window[axis] * gaps[axis], gaps[axis]), (out[axis] - 1) * strides[axis] + 1
        behind = (slice(None),) * (1 - axis)
        x = xp.stack([x[(..., slice(i, i + length, strides[axis]), *behind)] for i in starts], axis=2)
    return xp.reshape(x, (-1, channels * math.prod(window), math.prod(out)))


@op
def fold(
    x: Array,
    output_size: int | Sequence[int],
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Array:
    """The transpose of `unfold`, as a linear map: the sum of windows, each in its place.

    Args:
        x: (batch, channels * window, windows).
        output_size: Height and width, one integer or two.
        kernel_size, dilation, padding, stride: As for `unfold`.

    Returns:
        (batch, channels, height, width).

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    x = lift(x)
    _rank(x, 3, "(batch, channels * window, windows)")
    sizes = per_axis(output_size, 2, "output_size")
    window, gaps, around, strides = patch_geometry(kernel_size, dilation, padding, stride)
    padded = tuple(n + 2 * p for n, p in zip(sizes, around, strict=True))
    out = window_shape(padded, window, strides, gaps, "valid")
    taps, windows = math.prod(window), math.prod(out)
    if x.shape[1] % taps or x.shape[2] not in (windows, None):
        raise ShapeError(
            f"`x` has shape {tuple(x.shape)}, whose columns do not fit the windows.",
            argument="x",
            expected=f"(batch, a multiple of {taps}, {windows})",
            got=tuple(x.shape),
            fix="give output_size, kernel_size, dilation, padding and stride as they were for unfold",
        )
    xp = namespace(x)
    x = xp.reshape(x, (-1, x.shape[1] // taps, taps, *out))
    total: Array = None
    for n in range(taps):
        place = divmod(n, window[1])
        part = spread(spread(x[:, :, n, ...], 2, strides[0]), 3, strides[1])
        starts = [p * d for p, d in zip(place, gaps, strict=True)]
        ends = [n - a - b for n, a, b in zip(padded, starts, part.shape[2:], strict=True)]
        part = pad(part, ((0, 0), (0, 0), *zip(starts, ends, strict=True)))
        total = part if total is None else total + part
    return total[(slice(None), slice(None), *(slice(p, p + n) for p, n in zip(around, sizes, strict=True)))]


# -- blocks ------------------------------------------------------------------------------------------------------------


def _blocks(x, block_size, data_format):
    """Whether channels come first; the arguments are checked."""
    _rank(x, 4, "images: (batch, height, width, channels), or (batch, channels, height, width)")
    if data_format not in ("channels_last", "channels_first"):
        raise ArgumentError.must_be("data_format", "'channels_last' or 'channels_first'", data_format)
    if not isinstance(block_size, int) or block_size < 2:
        raise ArgumentError.must_be("block_size", "an integer above 1", block_size)
    return data_format == "channels_first"


def _divisible(x, what, by, *sizes):
    if any(n % by for n in sizes):
        raise ShapeError(
            f"The {what} of `x`, of shape {tuple(x.shape)}, cannot be divided by {by}.",
            argument="x",
            expected=f"{what} that {by} divides",
            got=tuple(x.shape),
        )


@op
def depth_to_space(x: Array, block_size: int, data_format: str = "channels_last") -> Array:
    """Channels laid out as square blocks of pixels.

    Args:
        x: (batch, height, width, channels * block_size**2), or channels first.
        block_size: Side of a block.

    Returns:
        (batch, height * block_size, width * block_size, channels), or channels first.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    x = lift(x)
    first, xp, n = _blocks(x, block_size, data_format), namespace(x), block_size
    height, width, channels = (x.shape[i] for i in ((2, 3, 1) if first else (1, 2, 3)))
    _divisible(x, "channels", n * n, channels)
    channels //= n * n
    if first:
        x = xp.permute_dims(xp.reshape(x, (-1, channels, n, n, height, width)), (0, 1, 4, 2, 5, 3))
        return xp.reshape(x, (-1, channels, height * n, width * n))
    x = xp.permute_dims(xp.reshape(x, (-1, height, width, n, n, channels)), (0, 1, 3, 2, 4, 5))
    return xp.reshape(x, (-1, height * n, width * n, channels))


@op
def space_to_depth(x: Array, block_size: int, data_format: str = "channels_last") -> Array:
    """Square blocks of pixels as channels: the inverse of `depth_to_space`.

    Args:
        x: (batch, height, width, channels), or channels first; `block_size` divides height and width.
        block_size: Side of a block.

    Returns:
        (batch, height / block_size, width / block_size, channels * block_size**2), or channels first.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    x = lift(x)
    first, xp, n = _blocks(x, block_size, data_format), namespace(x), block_size
    height, width, channels = (x.shape[i] for i in ((2, 3, 1) if first else (1, 2, 3)))
    _divisible(x, "height and width", n, height, width)
    height, width = height // n, width // n
    if first:
        x = xp.permute_dims(xp.reshape(x, (-1, channels, height, n, width, n)), (0, 1, 3, 5, 2, 4))
        return xp.reshape(x, (-1, channels * n * n, height, width))
    x = xp.permute_dims(xp.reshape(x, (-1, height, n, width, n, channels)), (0, 1, 3, 2, 4, 5))
    return xp.reshape(x, (-1, height, width, channels * n * n))
