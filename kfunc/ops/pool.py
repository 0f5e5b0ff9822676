"""Pooling: the maximum or the mean over windows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..arrays import device, namespace
from ..errors import ShapeError
from ..typing import Array
from ._op import op
from ._promotion import floating
from ._windows import (
    images,
    images_of_windows,
    padding_amounts,
    per_axis,
    shifted_views,
    spatial_rank,
    spatial_sizes,
    window_shape,
)
from .manipulation import pad

__all__ = ["adaptive_average_pool", "adaptive_max_pool", "average_pool", "max_pool"]


def pool_geometry(
    inputs: Array,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: str,
    data_format: str | None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The window and the strides of a pooling, each a tuple with an integer for each spatial axis, checked.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    rank = spatial_rank(inputs, data_format, padding)
    window = per_axis(pool_size, rank, "pool_size")
    strides = window if strides is None else per_axis(strides, rank, "strides")
    window_shape(spatial_sizes(inputs, data_format), window, strides, (1,) * rank, padding)
    return window, strides


def _pool(x, pool_size, strides, padding, data_format, fill, combine):
    """Fold `combine` over the shifted views of `x`, padded with `fill`."""
    x = floating(x)
    window, strides = pool_geometry(x, pool_size, strides, padding, data_format)
    xp = namespace(x)
    if data_format == "channels_first":
        x = xp.moveaxis(x, 1, -1)
    sizes, dilation = x.shape[1:-1], (1,) * len(window)
    out_sizes = window_shape(sizes, window, strides, dilation, padding)
    amounts = padding_amounts(sizes, window, strides, dilation, padding)

    def fold(x, fill):
        x = pad(x, ((0, 0), *amounts, (0, 0)), constant_values=fill)
        out = None
        for _, view in shifted_views(x, out_sizes, window, strides, dilation):
            out = view if out is None else combine(xp, out, view)
        return out

    out = fold(x, fill)
    if combine is _add:
        # Padding does not count: each mean is over the elements that are there.
        ones = xp.ones((1, *sizes, 1), dtype=x.dtype, device=device(x)) if any(map(any, amounts)) else None
        out = out / (math.prod(window) if ones is None else fold(ones, 0.0))
    return xp.moveaxis(out, -1, 1) if data_format == "channels_first" else out


def _add(xp, a, b):
    return a + b


def _first_max(xp, a, b):
    # The first one of equal elements takes the gradient, as in PyTorch and TensorFlow; NaN wins over numbers.
    return xp.where((b <= a) | (a != a), a, b)


@op
def max_pool(
    inputs: Array,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """The maximum over each window.

    Args:
        inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with `data_format="channels_first"`.
        pool_size, strides: One integer, or one for each spatial axis; `strides` is `pool_size` by default.
        padding: "valid", or "same" (what is outside does not count).

    Returns:
        (batch, *output, channels), or (batch, channels, *output). A NaN in a window is its maximum,
        but not on TensorFlow and OpenVINO, whose kernels take any number for larger.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    return _pool(inputs, pool_size, strides, padding, data_format, float("-inf"), _first_max)


@op(single=True)
def average_pool(
    inputs: Array,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """The mean over each window; arguments and shapes as for `max_pool`."""
    return _pool(inputs, pool_size, strides, padding, data_format, 0.0, _add)


@max_pool.shape_rule
@average_pool.shape_rule
def _pool_shape(inputs, pool_size, strides=None, padding="valid", data_format=None):
    x = floating(inputs)
    window, strides = pool_geometry(x, pool_size, strides, padding, data_format)
    channels = x.shape[1 if data_format == "channels_first" else -1]
    return images_of_windows(x, channels, window, strides, (1,) * len(window), padding, data_format)


# -- a given number of windows ---------------------------------------------------------------------------------------


def adaptive_sizes(inputs: Array, output_size: int | Sequence[int], data_format: str | None) -> tuple[int, ...]:
    """The output's spatial sizes, a tuple of integers, checked.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    return per_axis(output_size, spatial_rank(inputs, data_format, "valid"), "output_size")


def _adaptive(x, output_size, data_format, reduce):
    """`reduce` over windows along one spatial axis after the other."""
    x = floating(x)
    first = 2 if data_format == "channels_first" else 1
    for axis, n in enumerate(adaptive_sizes(x, output_size, data_format), first):
        size, xp = x.shape[axis], namespace(x)
        if size is None:
            raise ShapeError(
                f"The spatial sizes of the input must be known for adaptive pooling, got shape {tuple(x.shape)}.",
                argument="inputs",
                expected="known spatial sizes",
                got=tuple(x.shape),
                fix="give the sizes in the input's Spec",
            )
        before = (slice(None),) * axis
        windows = [x[(*before, slice(i * size // n, -(-(i + 1) * size // n)), ...)] for i in range(n)]
        x = xp.concat([reduce(xp, window, axis) for window in windows], axis=axis)
    return x


@op(single=True)
def adaptive_average_pool(inputs: Array, output_size: int | Sequence[int], data_format: str | None = None) -> Array:
    """The means over a given number of windows of nearly equal size.

    Along an axis, window i of n goes from `floor(i * size / n)` to `ceil((i + 1) * size / n)`.

    Args:
        inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with `data_format="channels_first"`.
        output_size: How many windows: one integer, or one for each spatial axis.

    Returns:
        (batch, *output_size, channels), or (batch, channels, *output_size).

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    return _adaptive(inputs, output_size, data_format, lambda xp, x, axis: xp.mean(x, axis=axis, keepdims=True))


@op
def adaptive_max_pool(inputs: Array, output_size: int | Sequence[int], data_format: str | None = None) -> Array:
    """The maxima over a given number of windows; arguments and shapes as for `adaptive_average_pool`."""
    return _adaptive(inputs, output_size, data_format, lambda xp, x, axis: xp.max(x, axis=axis, keepdims=True))


@adaptive_average_pool.shape_rule
@adaptive_max_pool.shape_rule
def _adaptive_pool_shape(inputs, output_size, data_format=None):
    x = floating(inputs)
    sizes = adaptive_sizes(x, output_size, data_format)
    return images(x, sizes, x.shape[1 if data_format == "channels_first" else -1], data_format)
