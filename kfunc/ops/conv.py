"""Convolution (cross-correlation, as everywhere in this field) over any number of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import checks
from ..arrays import namespace
from ..errors import ShapeError
from ..typing import Array
from ._op import op
from ._promotion import promote
from ._windows import (
    PADDINGS,
    images,
    images_of_windows,
    padding_amounts,
    per_axis,
    shifted_views,
    spatial_rank,
    spatial_sizes,
    spread,
    window_shape,
)
from .manipulation import pad

__all__ = ["conv", "conv_transpose", "depthwise_conv", "separable_conv"]


def conv_geometry(
    inputs: Array,
    kernel: Array,
    strides: int | Sequence[int],
    padding: str,
    data_format: str | None,
    dilation_rate: int | Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """The geometry of a convolution, which every lowering needs, from checked arguments.

    Returns:
        (strides, dilation, groups): two tuples with an integer for each spatial axis; and the number of channel groups.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    steps, dilation = _steps(inputs, kernel, strides, padding, data_format, dilation_rate, PADDINGS)
    channels = _channels(inputs, data_format)
    width, filters = kernel.shape[-2:]
    if channels is None:
        channels = width  # as many as the kernel takes, in one group
    if not channels or not width or channels % width or filters % (channels // width):
        raise ShapeError(
            f"The input has {channels} channels, which do not fit the kernel of shape {tuple(kernel.shape)}.",
            argument="inputs",
            expected=f"{width} channels, or a multiple whose quotient divides {filters} filters",
            got=f"{channels} channels",
            fix="check data_format, or the layer before",
        )
    window_shape(spatial_sizes(inputs, data_format), kernel.shape[:-2], steps, dilation, padding)
    return steps, dilation, channels // width


def _channels(inputs, data_format):
    checks.rank("inputs", inputs, 3, least=True)
    return inputs.shape[1 if data_format == "channels_first" else -1]


def _steps(inputs, kernel, strides, padding, data_format, dilation_rate, paddings=PADDINGS[:2]):
    """Strides and dilation, each a tuple with an integer for each spatial axis, checked."""
    rank = spatial_rank(inputs, data_format, padding, kernel.ndim - 2, paddings)
    if 0 in kernel.shape:
        raise ShapeError(
            f"`kernel` is empty: it has shape {tuple(kernel.shape)}.",
            argument="kernel",
            expected="a window, channels and filters of size 1 or more",
            got=tuple(kernel.shape),
        )
    return per_axis(strides, rank, "strides"), per_axis(dilation_rate, rank, "dilation_rate")


def _biased(out, bias, data_format):
    if data_format == "channels_first":
        bias = namespace(bias).reshape(bias, (-1,) + (1,) * (out.ndim - 2))
    return out + bias


@op(single=True, grows=True)
def conv(
    inputs: Array,
    kernel: Array,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    bias: Array | None = None,
) -> Array:
    """Convolution of `inputs` with `kernel`.

    Args:
        inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with `data_format="channels_first"`.
        kernel: (*window, channels / groups, filters); the number of groups follows from the two channel counts.
        strides, dilation_rate: One integer, or one for each spatial axis.
        padding: "valid"; "same" (output size is input size / strides, rounded up; zeros outside); or "causal" (the same
            size, and no output depends on inputs after it).
        bias: (filters,) or None.

    Returns:
        (batch, *output, filters), or (batch, filters, *output).

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    if bias is not None:
        return _biased(conv(inputs, kernel, strides, padding, data_format, dilation_rate), bias, data_format)
    x, kernel = promote(inputs, kernel, least="f")
    steps, dilation, groups = conv_geometry(x, kernel, strides, padding, data_format, dilation_rate)
    xp = namespace(x, kernel)
    if data_format == "channels_first":
        x = xp.moveaxis(x, 1, -1)
    window, sizes = kernel.shape[:-2], x.shape[1:-1]
    out_sizes = window_shape(sizes, window, steps, dilation, padding)
    amounts = padding_amounts(sizes, window, steps, dilation, padding)
    x = pad(x, ((0, 0), *amounts, (0, 0)))
    width, filters = kernel.shape[-2], kernel.shape[-1] // groups
    alone = width == 1 and groups > 1
    if alone:  # each channel by itself: this takes products of elements, not of matrices
        x = xp.repeat(x, filters, axis=-1) if filters > 1 else x
    outs = []
    for g in range(1 if alone else groups):
        part = x if alone or groups == 1 else x[..., g * width : (g + 1) * width]
        out = None
        for position, view in shifted_views(part, out_sizes, window, steps, dilation):
            if alone:
                tap = view * kernel[(*position, 0, slice(None))]
            else:
                tap = xp.matmul(view, kernel[(*position, slice(None), slice(g * filters, (g + 1) * filters))])
            out = tap if out is None else out + tap
        outs.append(out)
    out = outs[0] if len(outs) == 1 else xp.concat(outs, axis=-1)
    return xp.moveaxis(out, -1, 1) if data_format == "channels_first" else out


@conv.shape_rule
def _conv_shape(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1, bias=None):
    if bias is not None:
        return NotImplemented
    x, kernel = promote(inputs, kernel, least="f")
    strides, dilation, _ = conv_geometry(x, kernel, strides, padding, data_format, dilation_rate)
    return images_of_windows(x, kernel.shape[-1], kernel.shape[:-2], strides, dilation, padding, data_format)


def transposed_geometry(
    inputs: Array,
    kernel: Array,
    strides: int | Sequence[int],
    padding: str,
    output_padding: int | Sequence[int] | None,
    data_format: str | None,
    dilation_rate: int | Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]]]:
    """The geometry of a transposed convolution, which every lowering needs, from checked arguments.

    Returns:
        (strides, dilation, crops): two tuples with an integer for each spatial axis; and for each spatial axis a pair:
        how many elements are cut off at the front and at the end of what the windows cover (negative: added).

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    steps, dilation = _steps(inputs, kernel, strides, padding, data_format, dilation_rate)
    channels = _channels(inputs, data_format)
    if channels == 0 or channels not in (kernel.shape[-1], None):
        raise ShapeError(
            f"The input has {channels} channels, which do not fit the kernel of shape {tuple(kernel.shape)}.",
            argument="inputs",
            expected=f"{kernel.shape[-1]} channels, the last axis of the kernel",
            got=f"{channels} channels",
            fix="a transposed kernel is (*window, filters, channels)",
        )
    if 0 in spatial_sizes(inputs, data_format):
        raise ShapeError(
            f"The input has no elements along a spatial axis, got shape {tuple(inputs.shape)}.",
            argument="inputs",
            expected="spatial sizes of 1 and more",
            got=tuple(inputs.shape),
        )
    more: Any = (None,) * len(steps) if output_padding is None else output_padding
    more = (more,) * len(steps) if isinstance(more, int) else tuple(more)
    crops: list[tuple[int, int]] = []
    for k, s, d, extra in zip(kernel.shape[:-2], steps, dilation, more, strict=True):
        extent = (k - 1) * d + 1
        if padding == "valid":
            crops.append((0, min(extent - s, 0) if extra is None else -extra))
            continue
        total = extent - s if extra is None else extent - extent % 2 - extra
        # An odd element is cut off at the end; where the result is to be larger, it grows at the end.
        before = max(total // 2, 0)
        crops.append((before, total - before))
    return steps, dilation, crops


@op(single=True)
def conv_transpose(
    inputs: Array,
    kernel: Array,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    bias: Array | None = None,
) -> Array:
    """The transpose of a convolution, as a linear map: a window of output for each element of the input.

    Args:
        inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with `data_format="channels_first"`.
        kernel: (*window, filters, channels).
        strides, dilation_rate: One integer, or one for each spatial axis.
        padding: "valid" (output size is (input size - 1) * strides + the window's extent, or strides if larger), or
            "same" (input size * strides).
        output_padding: How much larger the output is than the smallest array that such a convolution would map to the
            size of `inputs`: one integer, or one for each spatial axis; None gives the sizes above.
        bias: (filters,) or None.

    Returns:
        (batch, *output, filters), or (batch, filters, *output).

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    if bias is not None:
        out = conv_transpose(inputs, kernel, strides, padding, output_padding, data_format, dilation_rate)
        return _biased(out, bias, data_format)
    x, kernel = promote(inputs, kernel, least="f")
    steps, dilation, crops = transposed_geometry(
        x, kernel, strides, padding, output_padding, data_format, dilation_rate
    )
    xp = namespace(x, kernel)
    if data_format == "channels_first":
        x = xp.moveaxis(x, 1, -1)
    window = kernel.shape[:-2]
    # It is a plain convolution with the kernel turned around, over inputs with zeros between them.
    turned = xp.matrix_transpose(xp.flip(kernel, axis=tuple(range(len(window)))))
    around = [((k - 1) * d - a, (k - 1) * d - b) for k, d, (a, b) in zip(window, dilation, crops, strict=True)]
    for i, (s, (before, after)) in enumerate(zip(steps, around, strict=True)):
        x = _resized(spread(x, i + 1, s), i + 1, before, after)
    out = conv(x, turned, dilation_rate=dilation)
    return xp.moveaxis(out, -1, 1) if data_format == "channels_first" else out


@conv_transpose.shape_rule
def _conv_transpose_shape(
    inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1, bias=None
):
    if bias is not None:
        return NotImplemented
    x, kernel = promote(inputs, kernel, least="f")
    strides, dilation, crops = transposed_geometry(
        x, kernel, strides, padding, output_padding, data_format, dilation_rate
    )
    sizes = x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]
    steps = zip(sizes, kernel.shape, strides, dilation, crops, strict=False)
    out = (None if n is None else (n - 1) * s + (k - 1) * d + 1 - a - b for n, k, s, d, (a, b) in steps)
    return images(x, out, kernel.shape[-2], data_format)


def _resized(x, axis, before, after):
    """`x` with zeros added along `axis`, or with elements taken away where the numbers are negative."""
    x = x[(slice(None),) * axis + (slice(max(-before, 0), min(after, 0) or None), ...)]
    return pad(x, tuple((max(before, 0), max(after, 0)) if i == axis else (0, 0) for i in range(x.ndim)))


@op
def depthwise_conv(
    inputs: Array,
    kernel: Array,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    bias: Array | None = None,
) -> Array:
    """Convolution of each channel by itself.

    Args:
        inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with `data_format="channels_first"`.
        kernel: (*window, channels, multiplier).
        strides, padding, dilation_rate: As for `conv`.
        bias: (channels * multiplier,) or None.

    Returns:
        (batch, *output, channels * multiplier), or (batch, channels * multiplier, *output).

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    inputs, kernel = promote(inputs, kernel, least="f")
    channels = _channels(inputs, data_format)
    checks.rank("kernel", kernel, inputs.ndim)
    if channels not in (kernel.shape[-2], None):
        raise ShapeError(
            f"The input has {channels} channels, which do not fit the kernel of shape {tuple(kernel.shape)}.",
            argument="inputs",
            expected=f"{kernel.shape[-2]} channels, the kernel's last axis but one",
            got=f"{channels} channels",
            fix="check data_format, or the layer before",
        )
    kernel = namespace(kernel).reshape(kernel, (*kernel.shape[:-2], 1, -1))
    return conv(inputs, kernel, strides, padding, data_format, dilation_rate, bias)


@op
def separable_conv(
    inputs: Array,
    depthwise_kernel: Array,
    pointwise_kernel: Array,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    bias: Array | None = None,
) -> Array:
    """`depthwise_conv`, and then the mixing of channels by `conv` with windows of 1 (Chollet, arXiv:1610.02357).

    Args:
        inputs, strides, padding, dilation_rate: As for `conv`.
        depthwise_kernel: (*window, channels, multiplier).
        pointwise_kernel: (*ones, channels * multiplier, filters).
        bias: (filters,) or None.

    Returns:
        (batch, *output, filters), or (batch, filters, *output).

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    x = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(x, pointwise_kernel, data_format=data_format, bias=bias)
