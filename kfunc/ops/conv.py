"""Convolution (cross-correlation, as everywhere in this field) over any number of spatial axes."""

from __future__ import annotations

from ..arrays import namespace
from ..errors import ArgumentError, ShapeError
from ._op import op
from ._windows import padding_amounts, per_axis, shifted_views, spatial_rank, window_shape
from .manipulation import pad

__all__ = ["conv", "conv_geometry"]


def conv_geometry(x, kernel, strides, padding, data_format, dilation_rate):
    """What every lowering needs to know of a convolution, checked.

    Returns:
        (strides, dilation, groups): a tuple of integers a spatial axis, twice, and the number of channel groups.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    rank = spatial_rank(x, data_format, padding, kernel.ndim - 2)
    strides = per_axis(strides, rank, "strides")
    dilation = per_axis(dilation_rate, rank, "dilation_rate")
    if max(strides) > 1 and max(dilation) > 1:
        raise ArgumentError(
            "Strides and dilation cannot both exceed 1.",
            argument="dilation_rate",
            expected="strides=1 or dilation_rate=1",
            got=f"strides={strides}, dilation_rate={dilation}",
        )
    channels = x.shape[-1 if data_format == "channels_last" else 1]
    inputs, filters = kernel.shape[-2:]
    if channels is None or channels % inputs or filters % (channels // inputs):
        raise ShapeError(
            "The input's channels do not fit the kernel.",
            argument="x",
            expected=f"{inputs} channels, or a multiple whose quotient divides {filters} filters",
            got=f"{channels} channels",
            fix="check data_format, or the layer before",
        )
    return strides, dilation, channels // inputs


@op
def conv(x, kernel, strides=1, padding="valid", data_format="channels_last", dilation_rate=1, bias=None):
    """Convolution of `x` with `kernel`.

    Args:
        x: (batch, *spatial, channels), or (batch, channels, *spatial) with `data_format="channels_first"`.
        kernel: (*window, channels / groups, filters); the number of groups follows from the two channel counts.
        strides, dilation_rate: One integer, or one a spatial axis.
        padding: "valid", or "same" (output size is input size / strides, rounded up; zeros outside).
        bias: (filters,) or None.

    Returns:
        (batch, *output, filters), or (batch, filters, *output).

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    if bias is not None:
        out = conv(x, kernel, strides, padding, data_format, dilation_rate)
        if data_format == "channels_first":
            bias = namespace(bias).reshape(bias, (-1,) + (1,) * (x.ndim - 2))
        return out + bias
    strides, dilation, groups = conv_geometry(x, kernel, strides, padding, data_format, dilation_rate)
    xp = namespace(x, kernel)
    if data_format == "channels_first":
        x = xp.moveaxis(x, 1, -1)
    window, sizes = kernel.shape[:-2], x.shape[1:-1]
    out_sizes = window_shape(sizes, window, strides, dilation, padding)
    amounts = padding_amounts(sizes, window, strides, dilation, padding)
    x = pad(x, ((0, 0), *amounts, (0, 0)))
    width, filters = kernel.shape[-2], kernel.shape[-1] // groups
    outs = []
    for g in range(groups):
        part = x[..., g * width : (g + 1) * width] if groups > 1 else x
        out = None
        for position, view in shifted_views(part, out_sizes, window, strides, dilation):
            tap = xp.matmul(view, kernel[(*position, slice(None), slice(g * filters, (g + 1) * filters))])
            out = tap if out is None else out + tap
        outs.append(out)
    out = outs[0] if groups == 1 else xp.concat(outs, axis=-1)
    return xp.moveaxis(out, -1, 1) if data_format == "channels_first" else out
