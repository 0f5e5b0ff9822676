"""Images convolved with fixed kernels, and what is measured by them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...arrays import device, namespace
from ...errors import ArgumentError, ShapeError
from ...typing import Array
from .._op import op
from .._promotion import cast, dtype_of, floating, lift
from .._windows import per_axis
from ..conv import depthwise_conv
from ._layout import last

__all__ = ["gaussian_blur", "sobel_edges", "ssim"]


def _filtered(x, columns, padding):
    """`x`, (batch, height, width, channels), under a separable kernel: weights down its rows and along its columns."""
    xp = namespace(x)
    for axis, weights in enumerate(columns):
        shape = (len(weights), 1, 1, 1) if axis == 0 else (1, len(weights), 1, 1)
        kernel = xp.reshape(xp.asarray(weights, dtype=x.dtype, device=device(x)), shape)
        kernel = xp.concat([kernel] * x.shape[-1], axis=2)
        x = depthwise_conv(x, kernel, padding=padding, data_format="channels_last")
    return x


def _gaussian(size, sigma):
    """Weights of a normal distribution at `size` points around its centre; their sum is 1."""
    if not (isinstance(size, int) and size > 0 and sigma > 0):
        raise ArgumentError(
            f"The size and the `sigma` of a Gaussian window must be positive, got {size} and {sigma}.",
            argument="sigma",
            expected="a positive size and a positive standard deviation",
            got=f"size {size}, sigma {sigma}",
        )
    weights = [math.exp(-0.5 * ((i - (size - 1) / 2) / sigma) ** 2) for i in range(size)]
    total = sum(weights)
    return [w / total for w in weights]


@op(grows=True)
def gaussian_blur(
    images: Array,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> Array:
    """Images convolved with a normal distribution; zeros lie outside.

    Args:
        images: (batch, height, width, channels), or as `data_format` says; or one image without the batch.
        kernel_size: The window along x and y, (width, height), integers: the order that Keras computes with.
        sigma: The standard deviations, in pixels, along x and y, numbers.

    Raises:
        ArgumentError: A size or a deviation is not positive.
    """
    x, restore = last(images, data_format)
    sizes = per_axis(kernel_size, 2, "kernel_size")
    across, down = (_gaussian(n, float(s)) for n, s in zip(sizes, sigma, strict=True))
    return restore(cast(_filtered(floating(x), [down, across], "same"), dtype_of(x)))


@op(grows=True)
def sobel_edges(images: Array, data_format: str | None = None) -> Array:
    """How fast images change along height and width, by Sobel's kernels; zeros lie outside.

    Args:
        images: (batch, height, width, channels), or as `data_format` says.

    Returns:
        The shape of `images`, with a last axis of 2: along the height, and along the width.
    """
    x, restore = last(images, data_format)
    x = floating(x)
    slope, smooth = [-1.0, 0.0, 1.0], [1.0, 2.0, 1.0]
    edges = [restore(_filtered(x, pair, "same")) for pair in ((slope, smooth), (smooth, slope))]
    return namespace(x).stack(edges, axis=-1)


@op(grows=True)
def ssim(
    image1: Array,
    image2: Array,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Array:
    """Structural similarity of images, in [-1, 1] (Wang et al., IEEE Transactions on Image Processing 13, 2004).

    Args:
        image1, image2: (batch, height, width, channels), or as `data_format` says; or one image each.
        max_val: The largest value a pixel can have.
        filter_size, filter_sigma: The Gaussian window, in pixels.
        k1, k2: Small numbers that keep the quotients stable where denominators are near 0.

    Returns:
        (batch,), or () for one image each.

    Raises:
        ShapeError: The images are smaller than the window, or differ in shape.
    """
    single = lift(image1).ndim == 3
    (x, _), (y, _) = last(image1, data_format, "image1"), last(image2, data_format, "image2")
    if tuple(x.shape) != tuple(y.shape):
        raise ShapeError(
            f"The images differ in shape: {tuple(x.shape)} and {tuple(y.shape)}.",
            argument="image2",
            expected=tuple(x.shape),
            got=tuple(y.shape),
        )
    dtype, x, y = dtype_of(x), floating(x), floating(y)
    window = [_gaussian(filter_size, filter_sigma)] * 2
    xp = namespace(x)
    # One convolution for the five means: they are channels of one image.
    means = _filtered(xp.concat([x, y, x * x, y * y, x * y], axis=-1), window, "valid")
    n = x.shape[-1]
    mx, my, xx, yy, xy = (means[..., i * n : (i + 1) * n] for i in range(5))
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    contrast = (2 * (xy - mx * my) + c2) / ((xx - mx * mx) + (yy - my * my) + c2)
    out = xp.mean(luminance * contrast, axis=(1, 2, 3))
    return cast(xp.squeeze(out, axis=0) if single else out, dtype)
