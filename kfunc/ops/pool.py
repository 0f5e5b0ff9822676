"""Pooling: the maximum or the mean over windows."""

from __future__ import annotations

from ..arrays import device, namespace
from ._op import op
from ._windows import padding_amounts, per_axis, shifted_views, spatial_rank, window_shape
from .manipulation import pad

__all__ = ["average_pool", "max_pool", "pool_geometry"]


def pool_geometry(x, pool_size, strides, padding, data_format):
    """The window and the strides of a pooling, a tuple of integers a spatial axis each, checked.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    rank = spatial_rank(x, data_format, padding)
    window = per_axis(pool_size, rank, "pool_size")
    return window, window if strides is None else per_axis(strides, rank, "strides")


def _pool(x, pool_size, strides, padding, data_format, fill, combine):
    """Fold `combine` over the shifted views of `x`, padded with `fill`; channels last. Returns the sum and geometry."""
    window, strides = pool_geometry(x, pool_size, strides, padding, data_format)
    xp = namespace(x)
    if data_format == "channels_first":
        x = xp.moveaxis(x, 1, -1)
    sizes, dilation = x.shape[1:-1], (1,) * len(window)
    out_sizes = window_shape(sizes, window, strides, dilation, padding)
    amounts = padding_amounts(sizes, window, strides, dilation, padding)

    def fold(x, fill):
        x = pad(x, ((0, 0), *amounts, (0, 0)), fill)
        out = None
        for _, view in shifted_views(x, out_sizes, window, strides, dilation):
            out = view if out is None else combine(xp, out, view)
        return out

    out = fold(x, fill)
    if combine is _add:
        # Padding does not count: each mean is over the elements that are there.
        ones = xp.ones((1, *sizes, 1), dtype=x.dtype, device=device(x)) if any(map(any, amounts)) else None
        n = 1
        for k in window:
            n *= k
        out = out / (n if ones is None else fold(ones, 0.0))
    return xp.moveaxis(out, -1, 1) if data_format == "channels_first" else out


def _add(xp, a, b):
    return a + b


def _first_max(xp, a, b):
    # Of equal elements the first one takes the gradient, as in PyTorch and TensorFlow; NaN wins over numbers.
    return xp.where((b <= a) | (a != a), a, b)


@op
def max_pool(x, pool_size, strides=None, padding="valid", data_format="channels_last"):
    """The maximum over each window.

    Args:
        x: (batch, *spatial, channels), or (batch, channels, *spatial) with `data_format="channels_first"`.
        pool_size, strides: One integer, or one a spatial axis; `strides` is `pool_size` by default.
        padding: "valid", or "same" (what is outside does not count).

    Returns:
        (batch, *output, channels), or (batch, channels, *output).

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    return _pool(x, pool_size, strides, padding, data_format, float("-inf"), _first_max)


@op
def average_pool(x, pool_size, strides=None, padding="valid", data_format="channels_last"):
    """The mean over each window; arguments and shapes as for `max_pool`."""
    return _pool(x, pool_size, strides, padding, data_format, 0.0, _add)
