"""Parts of images, and frames around images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...arrays import namespace
from ...errors import ArgumentError
from ...tracing.spec import Spec
from ...typing import Array
from .._op import op
from .._promotion import lift
from .._windows import padding_amounts, per_axis, window_shape, windows_of
from ..manipulation import pad
from ._layout import check_among, known_sizes, last

__all__ = ["crop_images", "extract_patches", "extract_patches_3d", "pad_images"]


def _two_of_three(names, before, after, target, total):
    """The two amounts along an axis: both are given, or one and the target size, for which they sum to `total`.

    `total` is None if the size of the axis is not known; then an amount that was not given stays None.
    """
    values = (before, after, target)
    if sum(v is None for v in values) != 1:
        raise ArgumentError(
            f"Two of {', '.join(names)} must be given, got {3 - sum(v is None for v in values)}.",
            argument=names[0],
            expected=f"two of {', '.join(names)}",
            got=dict(zip(names, values, strict=True)),
        )
    for name, value in zip(names, values, strict=True):
        if value is not None and value < 0:
            raise ArgumentError.must_be(name, "an integer from 0", value)
    if total is None:
        return before, after
    before = total - after if before is None else before
    after = total - before if after is None else after
    if before < 0 or after < 0:
        raise ArgumentError(
            f"`{names[0]}` and `{names[1]}` come out as {before} and {after}, and must not be negative.",
            argument=names[0],
            expected="natural numbers",
            got=f"{before} before and {after} after",
        )
    return before, after


def _margins(sizes, word, sign, top, left, bottom, right, target_height, target_width):
    """Margins (top, bottom) and (left, right) between `sizes` and the target's; `sign` 1 cuts them, -1 adds them."""
    pairs = []
    for sides, before, after, target, axis, size in (
        (("top", "bottom"), top, bottom, target_height, "target_height", sizes[0]),
        (("left", "right"), left, right, target_width, "target_width", sizes[1]),
    ):
        names = (*(f"{side}_{word}" for side in sides), axis)
        total = None if None in (target, size) else sign * (size - target)
        pairs.append(_two_of_three(names, before, after, target, total))
    return pairs


def _framed(images, word, sign, *margins, data_format):
    """The shape of `crop_images` (`sign` -1) or `pad_images` (`sign` 1), whose sizes may be unknown."""
    x, restore = last(images, data_format)
    pairs = _margins(x.shape[1:3], word, -sign, *margins)
    sizes = zip(x.shape[1:3], pairs, margins[4:], strict=True)
    out = [n + sign * sum(pair) if None not in (n, *pair) else target for n, pair, target in sizes]
    return restore(Spec((x.shape[0], *out, x.shape[-1]), x.dtype))


@op
def crop_images(
    images: Array,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Array:
    """A rectangle of each image; along each axis two of the two margins and the target size are given.

    Args:
        images: (batch, height, width, channels), or as `data_format` says; or one image without the batch.

    Raises:
        ArgumentError: Not just two of the three are given, or they do not fit.
    """
    x, restore = last(images, data_format)
    height, width = known_sizes(x)
    margins = top_cropping, left_cropping, bottom_cropping, right_cropping, target_height, target_width
    (top, bottom), (left, right) = _margins((height, width), "cropping", 1, *margins)
    return restore(x[:, top : height - bottom, left : width - right, :])


@crop_images.shape_rule
def _crop_images_shape(
    images,
    top_cropping=None,
    left_cropping=None,
    bottom_cropping=None,
    right_cropping=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    margins = top_cropping, left_cropping, bottom_cropping, right_cropping, target_height, target_width
    return _framed(images, "cropping", -1, *margins, data_format=data_format)


@op
def pad_images(
    images: Array,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Array:
    """Each image in a frame of zeros; along each axis two of the two margins and the target size are given.

    Args:
        images: (batch, height, width, channels), or as `data_format` says; or one image without the batch.

    Raises:
        ArgumentError: Not just two of the three are given, or they do not fit.
    """
    x, restore = last(images, data_format)
    margins = top_padding, left_padding, bottom_padding, right_padding, target_height, target_width
    rows, columns = _margins(known_sizes(x), "padding", -1, *margins)
    return restore(pad(x, ((0, 0), rows, columns, (0, 0))))


@pad_images.shape_rule
def _pad_images_shape(
    images,
    top_padding=None,
    left_padding=None,
    bottom_padding=None,
    right_padding=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    margins = top_padding, left_padding, bottom_padding, right_padding, target_height, target_width
    return _framed(images, "padding", 1, *margins, data_format=data_format)


def _patches(images, size, strides, dilation_rate, padding, data_format, rank, argument):
    x, restore = last(images, data_format, argument, rank)
    check_among(padding, ("valid", "same"), "padding")
    window = per_axis(size, rank, "size")
    strides = window if strides is None else per_axis(strides, rank, "strides")
    dilation = per_axis(dilation_rate, rank, "dilation_rate")
    sizes = x.shape[1:-1]
    out = window_shape(sizes, window, strides, dilation, padding)
    x = pad(x, ((0, 0), *padding_amounts(sizes, window, strides, dilation, padding), (0, 0)))
    windows = windows_of(x, out, window, strides, dilation)
    return restore(namespace(x).reshape(windows, (-1, *out, math.prod(window) * x.shape[-1])))


@op(grows=True)
def extract_patches(
    images: Array,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """Windows of images, each as one row of channels.

    Args:
        images: (batch, height, width, channels), or as `data_format` says; or one image without the batch; or volumes,
            with three spatial axes, if `size` has three numbers.
        size, strides, dilation_rate: One integer, or one for each spatial axis; `strides` is `size` by default.
        padding: "valid", or "same" (zeros outside).

    Returns:
        (batch, rows, columns, window * channels): the window's elements row by row, channels last.
    """
    rank = len(size) if isinstance(size, Sequence) else 2
    return _patches(lift(images), size, strides, dilation_rate, padding, data_format, rank, "images")


@op(grows=True)
def extract_patches_3d(
    volumes: Array,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """`extract_patches` of volumes: (batch, depth, height, width, channels), or as `data_format` says."""
    return _patches(lift(volumes), size, strides, dilation_rate, padding, data_format, 3, "volumes")
