"""Shared by convolution and pooling: sizes, padding amounts, and the shifted views that make up a window."""

from __future__ import annotations

import contextlib
import itertools
import numbers
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..arrays import namespace
from ..errors import ArgumentError, ShapeError
from ..tracing.spec import Spec

__all__ = [
    "images",
    "images_of_windows",
    "output_size",
    "padding_amounts",
    "per_axis",
    "shifted_views",
    "windows_of",
    "spatial_rank",
    "spatial_sizes",
    "spread",
    "window_shape",
]

PADDINGS = ("valid", "same", "causal")
DATA_FORMATS = ("channels_last", "channels_first")


def per_axis(value: int | Sequence[int], rank: int, argument: str) -> tuple[int, ...]:
    """`value` once for each of `rank` spatial axes.

    Raises:
        ArgumentError: It is neither a positive integer nor `rank` of them.
    """
    values = (value,) * rank if isinstance(value, int | numbers.Integral) else tuple(value)
    with contextlib.suppress(TypeError):  # integers of any library
        values = tuple([v if type(v) is int else operator.index(v) for v in values])
    if len(values) != rank or any(not isinstance(v, int) or v < 1 for v in values):
        raise ArgumentError.must_be(argument, f"a positive integer or {rank} of them, for {rank} spatial axes", value)
    return values


def spatial_rank(
    x: Any, data_format: str | None, padding: str, rank: int | None = None, paddings: Sequence[str] = PADDINGS[:2]
) -> int:
    """The number of spatial axes of `x`, (batch, *spatial, channels), or (batch, channels, *spatial) where channels
    come first; None stands for channels_last.

    Raises:
        ArgumentError: `data_format` or `padding` is unknown.
        ShapeError: `x` has no spatial axis, or not `rank` of them.
    """
    for name, value, allowed in (("padding", padding, paddings), ("data_format", data_format, DATA_FORMATS)):
        if value not in allowed and not (name == "data_format" and value is None):
            raise ArgumentError.must_be(name, " or ".join(map(repr, allowed)), value)
    n = x.ndim - 2
    if n < 1 or (rank is not None and n != rank):
        axes = "one or more spatial axes" if rank is None else f"{rank} spatial axes"
        raise ShapeError(
            f"The input must have a batch axis, {axes} and a channel axis, got shape {tuple(x.shape)}.",
            argument="inputs",
            expected="(batch, channels, *spatial)"
            if data_format == "channels_first"
            else "(batch, *spatial, channels)",
            got=tuple(x.shape),
            fix="add the missing axis, for example x[..., None] for a single channel",
        )
    return n


def output_size(size: int | None, window: int, stride: int, dilation: int, padding: str) -> int | None:
    """The number of windows along an axis of `size`; None if that is unknown.

    Raises:
        ShapeError: The window is larger than the input.
    """
    if size is None:
        return None
    extent = (window - 1) * dilation + 1
    n = (size - extent) // stride + 1 if padding == "valid" else -(-size // stride)
    if n < 1:
        raise ShapeError(
            f"The window covers {extent} elements along a spatial axis, but the input has {size}.",
            argument="inputs",
            expected=f"at least {extent} along each spatial axis",
            got=size,
            fix='use padding="same", a smaller window, or a larger input',
        )
    return n


def padding_amounts(
    sizes: Sequence[int | None],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: str,
) -> list[tuple[int, int]]:
    """How much to pad before and after each spatial axis.

    "same" puts an odd element at the end, as TensorFlow does. "causal" pads at the front, so that no window sees what
    comes after it.

    Raises:
        ShapeError: "same" padding depends on a size that is unknown.
    """
    amounts = []
    for size, k, s, d in zip(sizes, window, strides, dilation, strict=True):
        if padding == "valid":
            amounts.append((0, 0))
        elif padding == "causal":
            amounts.append(((k - 1) * d, 0))
        elif s == 1:
            total = (k - 1) * d
            amounts.append((total // 2, total - total // 2))
        elif size is None:
            raise ShapeError(
                '`padding="same"` with strides above 1 needs to know the spatial sizes of the input.',
                argument="inputs",
                expected="known spatial sizes",
                got=tuple(sizes),
                fix="give the sizes in the input's Spec, or pad by hand and use padding='valid'",
            )
        else:
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            amounts.append((total // 2, total - total // 2))
    return amounts


def spatial_sizes(x: Any, data_format: str | None) -> tuple[int | None, ...]:
    """The sizes of the spatial axes of `x`, (batch, *spatial, channels) or (batch, channels, *spatial)."""
    return tuple(x.shape[2:] if data_format == "channels_first" else x.shape[1:-1])


def window_shape(shape, window, strides, dilation, padding) -> tuple[Any, ...]:
    """The spatial sizes of the output for an input of spatial `shape`."""
    return tuple(output_size(n, k, s, d, padding) for n, k, s, d in zip(shape, window, strides, dilation, strict=True))


def shifted_views(
    x: Any, out: Sequence[int], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], Any]]:
    """For each position in the window, that position and the strided view of `x`, (batch, *out, channels).

    Where a size of `out` is unknown, the view ends as far from the end of `x` as the window still reaches.
    """
    for position in itertools.product(*map(range, window)):
        slices = [
            slice(p * d, (p + 1 - k) * d or None if n is None else p * d + (n - 1) * s + 1, s)
            for p, n, k, s, d in zip(position, out, window, strides, dilation, strict=True)
        ]
        yield position, x[(slice(None), *slices, slice(None))]


def windows_of(
    x: Any, out: Sequence[int], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Any:
    """All windows of `x`, (batch, *sizes, channels): (batch, *out, *window, channels).

    They take one slice for each position along each axis, and not one for each position in the window: a compiler of
    single steps, such as JAX's, needed seconds for a window of 5 x 5 x 5.
    """
    xp, rank = namespace(x), len(window)
    for axis in range(rank, 0, -1):  # each puts its axis of the window before those of the axes behind it
        n, size, step, gap = (each[axis - 1] for each in (out, window, strides, dilation))
        before = (slice(None),) * axis
        if step == size and gap == 1:
            x = x[(*before, slice(0, n * size), ...)]
            batch, *others = x.shape
            others[axis - 1 : axis] = n, size
            x = xp.moveaxis(xp.reshape(x, (-1 if batch is None else batch, *others)), axis + 1, rank + 1)
        else:
            starts = range(0, size * gap, gap)
            x = xp.stack([x[(*before, slice(i, i + (n - 1) * step + 1, step), ...)] for i in starts], axis=rank + 1)
    return x


def spread(x: Any, axis: int, stride: int) -> Any:
    """`x` with `stride - 1` zeros between neighbours along `axis`, which is not the first."""
    if stride == 1:
        return x
    xp = namespace(x)
    size = x.shape[axis]
    apart = xp.expand_dims(x, axis=axis + 1)
    wide = xp.concat([apart, *[xp.zeros_like(apart)] * (stride - 1)], axis=axis + 1)
    first = -1 if size is not None else x.shape[0]  # an unknown size takes the place of the first as the one to find
    wide = xp.reshape(wide, (first, *x.shape[1:axis], -1 if size is None else size * stride, *x.shape[axis + 1 :]))
    return wide[(slice(None),) * axis + (slice(0, 1 - stride), ...)]


def images(x: Any, sizes: Iterable[int | None], channels: int | None, data_format: str | None) -> Spec:
    """Images of spatial `sizes`, in the format, the number and the dtype of `x`."""
    shape = (x.shape[0], channels, *sizes) if data_format == "channels_first" else (x.shape[0], *sizes, channels)
    return Spec(shape, x.dtype)


def images_of_windows(
    x: Any,
    channels: int | None,
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: str,
    data_format: str | None,
) -> Spec:
    """What is left of the images `x` after windows have gone over them."""
    sizes = x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]
    return images(x, window_shape(sizes, window, strides, dilation, padding), channels, data_format)
