"""Colours: grey, and hue, saturation and value."""

from __future__ import annotations

from ...arrays import device, namespace
from ...errors import ArgumentError, ShapeError
from ...tracing.spec.inspection import finfo
from ...typing import Array
from .._op import op
from .._promotion import cast, dtype_of, floating, kind, lift
from ._layout import last

__all__ = ["hsv_to_rgb", "rgb_to_grayscale", "rgb_to_hsv"]

LUMA = (0.2989, 0.5870, 0.1140)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


def _colours(images, data_format):
    """`last(images, data_format)`. Integers up to 255 are refused: as colours in [0, 1] they would be nonsense.

    Raises:
        ArgumentError: `images` are no floats.
    """
    images = lift(images)
    if kind(images) != "f":
        raise ArgumentError(
            f"`images` must hold floats in [0, 1], got an array of {dtype_of(images)}.",
            argument="images",
            expected="floats in [0, 1]",
            got=dtype_of(images),
            fix="divide them first: ops.cast(images, 'float32') / 255",
        )
    return last(images, data_format)


def _planes(x):
    if x.shape[-1] != 3:
        raise ShapeError(
            f"`images` must have 3 channels, got {x.shape[-1]}.",
            argument="images",
            expected="3 channels",
            got=x.shape[-1],
            fix="check data_format",
        )
    return x[..., 0], x[..., 1], x[..., 2]


@op
def rgb_to_grayscale(images: Array, data_format: str | None = None) -> Array:
    """The brightness of colours: three channels to one; images of one channel stay as they are.

    Args:
        images: (batch, height, width, 3), or as `data_format` says; or one image without the batch.
    """
    x, restore = last(images, data_format)
    if x.shape[-1] == 1:
        return restore(x)
    red, green, blue = _planes(floating(x))
    grey = red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
    return restore(namespace(x).expand_dims(cast(grey, dtype_of(x)), axis=-1))


@op
def rgb_to_hsv(images: Array, data_format: str | None = None) -> Array:
    """Hue, saturation and value, each in [0, 1], of red, green and blue in [0, 1] (Smith, SIGGRAPH 1978).

    Args:
        images: (batch, height, width, 3), or as `data_format` says, floats; or one image without the batch.

    Raises:
        ArgumentError, ShapeError: The images do not hold floats, or do not have three channels.
    """
    x, restore = _colours(images, data_format)
    xp = namespace(x)
    zero, one = (xp.asarray(v, dtype=x.dtype, device=device(x)) for v in (0.0, 1.0))
    x = xp.where(xp.abs(x) < finfo(dtype_of(x)).eps, zero, x)
    red, green, blue = _planes(x)
    value = xp.maximum(xp.maximum(red, green), blue)
    chroma = value - xp.minimum(xp.minimum(red, green), blue)
    coloured, lit = chroma > 0, value > 0
    saturation = xp.where(lit, chroma / xp.where(lit, value, one), zero)
    # The position on the circle of six colours: counted from the strongest one.
    sector = 1 / xp.where(coloured, 6 * chroma, one)
    hue = xp.where(value == green, (blue - red) * sector + 1 / 3, (red - green) * sector + 2 / 3)
    hue = xp.where(value == red, (green - blue) * sector, hue)
    hue = xp.where(coloured, hue, zero)
    hue = xp.where(hue < 0, hue + 1, hue)
    return restore(xp.stack([hue, saturation, value], axis=-1))


@op(single=True)  # NumPy's function takes no numbers as bounds of bfloat16
def hsv_to_rgb(images: Array, data_format: str | None = None) -> Array:
    """Red, green and blue in [0, 1] of hue, saturation and value in [0, 1]; the inverse of `rgb_to_hsv`.

    Args:
        images: (batch, height, width, 3), or as `data_format` says, floats; or one image without the batch.

    Raises:
        ArgumentError, ShapeError: The images do not hold floats, or do not have three channels.
    """
    x, restore = _colours(images, data_format)
    xp = namespace(x)
    hue, saturation, value = _planes(x)
    turn = 6 * (hue - xp.floor(hue))
    distances = xp.abs(turn - 3) - 1, 2 - xp.abs(turn - 2), 2 - xp.abs(turn - 4)
    return restore(xp.stack([value * (1 - saturation + saturation * xp.clip(d, 0, 1)) for d in distances], axis=-1))
