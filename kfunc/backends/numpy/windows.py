"""NumPy's lowerings and pullbacks of convolution and pooling: one matrix product a block, and loops over the window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ... import ops
from ...ops._op import lowering, pullback
from ...ops._windows import padding_amounts, shifted_views, window_shape
from ...ops.conv import conv_geometry
from ...ops.pool import pool_geometry
from .backend import backend
from .lowerings import masked, pad, uniform

__all__ = ["average_pool", "conv", "max_pool"]

_BLOCK = 1 << 22
"""So many bytes of the input are unfolded at a time, a few caches full: memory does not grow with the window."""


def _last(x, data_format):
    return np.moveaxis(x, 1, -1) if data_format == "channels_first" else x


def _first(x, data_format):
    return np.moveaxis(x, -1, 1) if data_format == "channels_first" else x


def _unpad(x, amounts):
    return x[(slice(None), *(slice(a, n - b) for (a, b), n in zip(amounts, x.shape[1:-1], strict=True)), slice(None))]


# -- convolution -----------------------------------------------------------------------------------------------------


class _Windows:
    """A convolution's geometry; arrays are channels-last and padded, (batch, *spatial, channels)."""

    def __init__(self, x: Any, kernel: Any, strides: Any, padding: Any, data_format: Any, dilation_rate: Any) -> None:
        self.strides, self.dilation, self.groups = conv_geometry(
            x, kernel, strides, padding, data_format, dilation_rate
        )
        sizes = x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]
        self.window = kernel.shape[:-2]
        self.out = window_shape(sizes, self.window, self.strides, self.dilation, padding)
        self.amounts = padding_amounts(sizes, self.window, self.strides, self.dilation, padding)
        self.unfolded: tuple = (None, None)

    def padded(self, x: Any) -> Any:
        return pad(x, ((0, 0), *self.amounts, (0, 0)))

    def views(self, x: Any) -> Any:
        """The view of `x` (batch, *out, channels) for each position in the window."""
        return [view for _, view in shifted_views(x, self.out, self.window, self.strides, self.dilation)]

    def pointwise(self, x: Any) -> bool:
        """Whether each element of `x` meets the kernel once, so that the convolution is one matrix product."""
        return math.prod(self.window) == 1 and self.out == x.shape[1:-1]

    def blocks(self, x: Any) -> Iterator[tuple[slice, np.ndarray]]:
        """For blocks of the batch: where they are, and their windows (block * out, window * channels)."""
        channels = x.shape[-1]
        if self.pointwise(x):
            yield slice(None), x.reshape(-1, channels)
            return
        kept, columns = self.unfolded
        if kept is x:
            yield slice(None), columns
            return
        width = math.prod(self.window) * channels
        block = max(1, _BLOCK // max(1, math.prod(self.out) * width * x.itemsize))
        inner = x.strides[1:-1]
        strides = (
            x.strides[0],
            *(s * b for s, b in zip(self.strides, inner, strict=True)),
            *(d * b for d, b in zip(self.dilation, inner, strict=True)),
            x.strides[-1],
        )
        for start in range(0, x.shape[0], block):
            part = x[start : start + block]
            shape = (part.shape[0], *self.out, *self.window, channels)
            columns = as_strided(part, shape, strides, writeable=False).reshape(-1, width)
            if block >= x.shape[0]:
                self.unfolded = x, columns  # small enough to be kept for the pullback
            yield slice(start, start + block), columns


def _forward(geometry, x, kernel):
    """One group: `x` padded (batch, *spatial, channels), `kernel` (*window, channels, filters)."""
    flat = kernel.reshape(-1, kernel.shape[-1])
    out = np.empty((x.shape[0], *geometry.out, kernel.shape[-1]), x.dtype)
    for where, columns in geometry.blocks(x):
        np.matmul(columns, flat, out=out[where].reshape(-1, kernel.shape[-1]))
    return out


def _kernel_cotangent(geometry, x, kernel, g):
    out = np.zeros((kernel[..., 0].size, kernel.shape[-1]), x.dtype)
    for where, columns in geometry.blocks(x):
        out += columns.T @ g[where].reshape(-1, g.shape[-1])
    return out.reshape(kernel.shape)


def _input_cotangent(geometry, x, kernel, g):
    """The cotangent of the padded input."""
    channels, filters = kernel.shape[-2:]
    if geometry.pointwise(x):
        return (g.reshape(-1, filters) @ kernel.reshape(channels, filters).T).reshape(x.shape)
    out = np.zeros(x.shape, x.dtype)
    taps = kernel.reshape(-1, channels, filters)
    for view, tap in zip(geometry.views(out), taps, strict=True):
        view += (g.reshape(-1, filters) @ tap.T).reshape(view.shape)
    return out


def _depthwise(geometry, x, kernel):
    """One channel a group: the products of each tap with its view, without a matrix product."""
    channels = x.shape[-1]
    taps = kernel.reshape(-1, channels, kernel.shape[-1] // channels)
    out = None
    for view, tap in zip(geometry.views(x), taps, strict=True):
        part = view[..., None] * tap
        out = part if out is None else np.add(out, part, out=out)
    return out.reshape(*out.shape[:-2], kernel.shape[-1])


def _depthwise_cotangents(geometry, x, kernel, g):
    channels = x.shape[-1]
    taps = kernel.reshape(-1, channels, kernel.shape[-1] // channels)
    g = g.reshape(*g.shape[:-1], channels, kernel.shape[-1] // channels)

    def of_x():
        out = np.zeros(x.shape, x.dtype)
        for view, tap in zip(geometry.views(out), taps, strict=True):
            view += (g * tap).sum(axis=-1)
        return out

    def of_kernel():
        axes = tuple(range(g.ndim - 2))
        parts = [(view[..., None] * g).sum(axis=axes) for view in geometry.views(x)]
        return np.stack(parts).reshape(kernel.shape)

    return of_x, of_kernel


def _split(array, groups):
    return np.split(array, groups, axis=-1)


def _conv(geometry, x, kernel, bias):
    if geometry.groups == 1:
        out = _forward(geometry, x, kernel)
    elif kernel.shape[-2] == 1:
        out = _depthwise(geometry, x, kernel)
    else:
        pairs = zip(_split(x, geometry.groups), _split(kernel, geometry.groups), strict=True)
        out = np.concatenate([_forward(geometry, part, k) for part, k in pairs], axis=-1)
    if bias is not None:
        out += bias
    return out


def _conv_cotangents(geometry, x, kernel, g):
    if geometry.groups == 1:
        return (
            lambda: _input_cotangent(geometry, x, kernel, g),
            lambda: _kernel_cotangent(geometry, x, kernel, g),
        )
    if kernel.shape[-2] == 1:
        return _depthwise_cotangents(geometry, x, kernel, g)
    parts = [_split(a, geometry.groups) for a in (x, kernel, g)]
    return tuple(
        lambda of=of: np.concatenate([of(geometry, *p) for p in zip(*parts, strict=True)], axis=-1)
        for of in (_input_cotangent, _kernel_cotangent)
    )


@lowering(backend, ops.conv)
def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
    bias: Any = None,
) -> Any:
    x = inputs
    geometry = _Windows(x, kernel, strides, padding, data_format, dilation_rate)
    if not uniform(x, kernel, bias):
        return NotImplemented
    return _first(_conv(geometry, geometry.padded(_last(x, data_format)), kernel, bias), data_format)


@pullback(backend, ops.conv)
def conv_pullback(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
    bias: Any = None,
) -> Any:
    x = inputs
    geometry = _Windows(x, kernel, strides, padding, data_format, dilation_rate)
    if not uniform(x, kernel, bias):
        return NotImplemented
    padded = geometry.padded(_last(x, data_format))

    def pull(g):
        g = np.ascontiguousarray(_last(g, data_format))
        of_x, of_kernel = _conv_cotangents(geometry, padded, kernel, g)
        return (
            lambda: _first(_unpad(of_x(), geometry.amounts), data_format),
            of_kernel,
            *(None,) * 4,
            lambda: g.reshape(-1, g.shape[-1]).sum(axis=0),
        )

    return _first(_conv(geometry, padded, kernel, bias), data_format), pull


# -- pooling ---------------------------------------------------------------------------------------------------------


class _Pool:
    """A pooling's geometry; the views are of channels-last arrays."""

    def __init__(self, x: Any, pool_size: Any, strides: Any, padding: Any, data_format: Any) -> None:
        self.window, self.strides = pool_geometry(x, pool_size, strides, padding, data_format)
        self.sizes = x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]
        self.dilation = (1,) * len(self.window)
        self.out = window_shape(self.sizes, self.window, self.strides, self.dilation, padding)
        self.amounts = padding_amounts(self.sizes, self.window, self.strides, self.dilation, padding)
        # Where windows do not overlap, the pullback needs no sums.
        self.apart = all(s >= k for s, k in zip(self.strides, self.window, strict=True))

    def padded(self, x: Any, fill: Any) -> Any:
        return pad(x, ((0, 0), *self.amounts, (0, 0)), constant_values=fill)

    def views(self, x: Any) -> Any:
        return [view for _, view in shifted_views(x, self.out, self.window, self.strides, self.dilation)]

    def counts(self, dtype: Any) -> Any:
        """How many elements each window has inside the input: a number, or (1, *out, 1)."""
        if not any(map(any, self.amounts)):
            return dtype.type(math.prod(self.window))
        return sum(self.views(self.padded(np.ones((1, *self.sizes, 1), dtype), 0.0)))


@lowering(backend, ops.max_pool)
def max_pool(inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None) -> Any:
    x = inputs
    geometry = _Pool(x, pool_size, strides, padding, data_format)
    if not uniform(x):
        return NotImplemented
    views = geometry.views(geometry.padded(_last(x, data_format), -np.inf))
    out = views[0].copy()
    for view in views[1:]:
        np.maximum(out, view, out=out)
    return _first(out, data_format)


@pullback(backend, ops.max_pool)
def max_pool_pullback(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Any:
    x = inputs
    geometry = _Pool(x, pool_size, strides, padding, data_format)
    if not uniform(x):
        return NotImplemented
    padded = geometry.padded(_last(x, data_format), -np.inf)
    views = geometry.views(padded)
    out = views[0].copy()
    for view in views[1:]:
        np.maximum(out, view, out=out)

    def pull(g):
        g = _last(g, data_format)
        share = np.zeros(padded.shape, x.dtype)
        free, any_nan = None, np.isnan(out).any()
        for view, place in zip(views, geometry.views(share), strict=True):
            # The first maximum gets the whole cotangent. A NaN, which equals nothing, counts as a maximum.
            here = view == out
            if any_nan:
                here |= view != view
            if free is None:
                free = ~here
            else:
                here, free = here & free, free & ~here
            if geometry.apart:
                place[...] = masked(g, here)
            else:
                place += masked(g, here)
        return (_first(_unpad(share, geometry.amounts), data_format),)

    return _first(out, data_format), pull


def _average(geometry, x, counts):
    views = geometry.views(geometry.padded(x, 0.0))
    out = views[0].copy()
    for view in views[1:]:
        out += view
    out /= counts
    return out


@lowering(backend, ops.average_pool)
def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Any:
    x = inputs
    geometry = _Pool(x, pool_size, strides, padding, data_format)
    if not uniform(x):
        return NotImplemented
    return _first(_average(geometry, _last(x, data_format), geometry.counts(x.dtype)), data_format)


@pullback(backend, ops.average_pool)
def average_pool_pullback(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Any:
    x = inputs
    geometry = _Pool(x, pool_size, strides, padding, data_format)
    if not uniform(x):
        return NotImplemented
    counts = geometry.counts(x.dtype)

    def pull(g):
        g = _last(g, data_format) / counts
        sizes = [n + a + b for n, (a, b) in zip(geometry.sizes, geometry.amounts, strict=True)]
        share = np.zeros((g.shape[0], *sizes, g.shape[-1]), x.dtype)
        for place in geometry.views(share):
            place += g
        return (_first(_unpad(share, geometry.amounts), data_format),)

    return _first(_average(geometry, _last(x, data_format), counts), data_format), pull
