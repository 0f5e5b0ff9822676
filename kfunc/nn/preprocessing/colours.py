"""Layers that change the colours of images, and leave every pixel where it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ... import checks, ops
from ...arrays import device, namespace
from ...errors import ArgumentError, ShapeError
from ...ops._promotion import cast, dtype_of
from ...ops.image._layout import known_sizes
from ...tracing.spec import Spec
from ..layer import base_layer, layer
from ..scope import Scope
from .pictures import PAIR, Picture, beside, interval

__all__ = [
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Equalization",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPosterization",
    "RandomSaturation",
    "RandomSharpness",
    "Solarization",
]


def between(x: Any, low: float, high: float) -> Any:
    xp = namespace(x)
    return xp.minimum(xp.maximum(x, xp.full_like(x, low)), xp.full_like(x, high))


def rescaled(x: Any, source: tuple[float, float], target: tuple[float, float]) -> Any:
    """Values of one range in another one."""
    if source == target:
        return x
    return (x - source[0]) / (source[1] - source[0]) * (target[1] - target[0]) + target[0]


BYTES, UNIT = (0, 255), (0, 1)


@base_layer
class _Colour(Picture):
    """The base of layers with a range of values, in which results stay."""

    def _clipped(self, images: Any) -> Any:
        return between(images, *self.value_range)  # type: ignore[attr-defined]

    def _scaled(self, images: Any, target: tuple[float, float]) -> Any:
        return rescaled(images, self.value_range, target)  # type: ignore[attr-defined]

    def _back(self, images: Any, source: tuple[float, float]) -> Any:
        return rescaled(images, source, self.value_range)  # type: ignore[attr-defined]


# -- brightness, contrast and colour ---------------------------------------------------------------------------------


@layer
class RandomBrightness(_Colour):
    """In training, images made brighter or darker at random: (batch, height, width, channels) to the same.

    Also an image without the batch, or a dict with boxes and masks, which stay. Integers become float32.

    Args:
        factor: The range of what is added, in parts of the range of values: a pair, or a number `v` for (-v, v), in
            [-1, 1].
        value_range: The least and the largest value of a pixel.
    """

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None
    data_format: str | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        low, high = self.value_range
        return {"rgb_delta": self.uniform(s, images, *self._range("factor")) * (high - low)}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        return self._clipped(images + beside(images, drawn["rgb_delta"]))


@layer
class RandomContrast(_Colour):
    """In training, images with more or less contrast: (batch, height, width, channels) to the same.

    Each channel becomes `(x - mean) * c + mean`, with a random `c` for each image. Also an image without the batch, or
    a dict with boxes and masks, which stay. Integers become float32.

    Args:
        factor: A pair (a, b) in [0, 1], for `c` in [1 - a, 1 + b]. A number `v` stands for (0, v), as in Keras.
        value_range: The least and the largest value of a pixel.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None
    data_format: str | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        low, high = self._range("factor")
        return {"contrast_factor": self.uniform(s, images, 1.0 - low, 1.0 + high)}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        mean = namespace(images).mean(images, axis=(1, 2), keepdims=True)
        return self._clipped((images - mean) * beside(images, drawn["contrast_factor"]) + mean)


@base_layer
class _Hsv(_Colour):
    """The base of layers that compute with hue, saturation and value."""

    def changed(self, hue: Any, saturation: Any, drawn: dict[str, Any]) -> tuple[Any, Any]:
        raise NotImplementedError

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        xp = namespace(images)
        hsv = ops.image.rgb_to_hsv(between(self._scaled(images, UNIT), 0.0, 1.0), data_format="channels_last")
        hue, saturation = self.changed(hsv[..., :1], hsv[..., 1:2], drawn)
        hsv = xp.concat([hue, saturation, hsv[..., 2:]], axis=-1)
        return self._back(between(ops.image.hsv_to_rgb(hsv, data_format="channels_last"), 0.0, 1.0), UNIT)


@layer
class RandomHue(_Hsv):
    """In training, images whose colours are turned on the circle of hues: (batch, height, width, 3) to the same.

    Also an image without the batch, or a dict with boxes and masks, which stay. Integers become float32.

    Args:
        factor: The range of turns, in half circles, to either side: a pair, or a number `v` for (0, v), in [0, 1].
        value_range: The least and the largest value of a pixel.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    data_format: str | None = None
    seed: int | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        turned = self.uniform(s, images, 0.0, 1.0) > 0.5
        turn = self.uniform(s, images, *self._range("factor")) * 0.5
        return {"factor": namespace(turn).where(turned, -turn, turn)}

    def changed(self, hue: Any, saturation: Any, drawn: dict[str, Any]) -> tuple[Any, Any]:
        xp = namespace(hue)
        hue = hue + beside(hue, drawn["factor"])
        hue = xp.where(hue > 1, hue - 1, hue)
        return xp.where(hue < 0, hue + 1, hue), saturation


@layer
class RandomSaturation(_Hsv):
    """In training, images with stronger or weaker colours: (batch, height, width, 3) to the same.

    The saturation is multiplied by `f / (1 - f)`, for a random `f`: 0 makes grey, 1/2 changes nothing. Also an image
    without the batch, or a dict with boxes and masks, which stay. Integers become float32.

    Args:
        factor: The range of `f`, in [-1, 1]: a pair, or a number `v` for (-v, v). Below 0 all is grey.
        value_range: The least and the largest value of a pixel.
    """

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    data_format: str | None = None
    seed: int | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        f = self.uniform(s, images, *self._range("factor"))
        return {"factor": f / (1 - f + 1e-7)}

    def changed(self, hue: Any, saturation: Any, drawn: dict[str, Any]) -> tuple[Any, Any]:
        return hue, between(saturation * beside(hue, drawn["factor"]), 0.0, 1.0)


@layer
class RandomColorDegeneration(_Colour):
    """In training, images mixed with grey: `x + f * (grey - x)`, (batch, height, width, 3) to the same.

    Also an image without the batch, or a dict with boxes and masks, which stay. Integers become float32.

    Args:
        factor: The range of `f`, in [-1, 1]: a pair, or a number `v` for (-v, v). Below 0 colours get stronger.
        value_range: The least and the largest value of a pixel.
    """

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    data_format: str | None = None
    seed: int | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        return {"factor": self.uniform(s, images, *self._range("factor"))}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        grey = ops.image.rgb_to_grayscale(images, data_format="channels_last")
        return self._clipped(images + beside(images, drawn["factor"]) * (grey - images))


@layer
class RandomGrayscale(Picture):
    """In training, some images without their colours: (batch, height, width, 3) to the same.

    Also an image without the batch, or a dict with boxes and masks, which stay. Integers become float32.

    Args:
        factor: The probability, in [0, 1].
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    factor: float = 0.5
    data_format: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        checks.probability("factor", self.factor, one=True)
        super().__post_init__()

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        return {"apply_grayscale": self.uniform(s, images, 0.0, 1.0) < self.factor}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        grey = ops.image.rgb_to_grayscale(images, data_format="channels_last")
        return namespace(images).where(beside(images, drawn["apply_grayscale"]), grey, images)


@layer
class RandomInvert(_Colour):
    """In training, some images with each value mirrored in the range of values: (batch, height, width, channels) to the
    same.

    Also an image without the batch, or a dict with boxes and masks, which stay. Integers become float32.

    Args:
        factor: The probability, in [0, 1]; or a pair that it is drawn from.
        value_range: The least and the largest value of a pixel.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    factor: float | tuple[float, float] = 1.0
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None
    data_format: str | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        return {"apply_inversion": self.chosen(s, images)}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        low, high = self.value_range
        return namespace(images).where(beside(images, drawn["apply_inversion"]), (high + low) - images, images)


@layer
class RandomColorJitter(_Colour):
    """In training, `RandomBrightness`, `RandomContrast`, `RandomSaturation` and `RandomHue`, one after another.

    (batch, height, width, 3) to the same; also an image without the batch, or a dict with boxes and masks, which stay.
    Integers become float32.

    Args:
        value_range: The least and the largest value of a pixel.
        brightness_factor, contrast_factor, saturation_factor, hue_factor: `factor` of these layers; None leaves it out.
    """

    value_range: tuple[float, float] = (0, 255)
    brightness_factor: float | tuple[float, float] | None = None
    contrast_factor: float | tuple[float, float] | None = None
    saturation_factor: float | tuple[float, float] | None = None
    hue_factor: float | tuple[float, float] | None = None
    seed: int | None = None
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, cls in self._classes():
            interval(name, getattr(self, name), *cls.bounds)

    def _classes(self) -> list[tuple[str, Any]]:
        classes: dict[str, Any] = {"brightness": RandomBrightness, "contrast": RandomContrast}
        classes |= {"saturation": RandomSaturation, "hue": RandomHue}
        named = [(f"{name}_factor", cls) for name, cls in classes.items()]
        return [(name, cls) for name, cls in named if getattr(self, name) is not None]

    def _steps(self) -> list[tuple[str, Any]]:
        return [(name, cls(getattr(self, name), self.value_range)) for name, cls in self._classes()]

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        return {name: step.draw(s, images) for name, step in self._steps()}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        for name, step in self._steps():
            images = step.pixels(images, drawn[name])
        return images


# -- levels ----------------------------------------------------------------------------------------------------------


@layer
class RandomPosterization(_Colour):
    """In training, images of few levels: the lower bits of each value become 0; (batch, height, width, channels) to the
    same.

    Also an image without the batch, or a dict with boxes and masks, which stay. Integers become float32.

    Args:
        factor: How many bits of eight stay: a pair of integers (a, b) in [1, 8] for a, … b - 1, or for `a` if both are
            equal; an integer `v` stands for (1, v).
        value_range: The least and the largest value of a pixel.
    """

    bounds: ClassVar[tuple[float, float]] = (1, 8)

    factor: int | tuple[int, int]
    value_range: tuple[float, float] = (0, 255)
    data_format: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        for v in self.factor if isinstance(self.factor, PAIR) else (self.factor,):
            if not isinstance(v, int) or isinstance(v, bool):
                raise ArgumentError.must_be("factor", "an integer in [1, 8], or a pair of such integers", self.factor)
        super().__post_init__()

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        low, high = self._range("factor")
        bits = self.uniform(s, images, float(low), float(high))
        return {"shift_factor": 8.0 - namespace(bits).floor(bits)}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        xp = namespace(images)
        shift = beside(images, drawn["shift_factor"])
        # Powers of two from a table: `2 ** x` is not exact on all backends.
        step = xp.zeros_like(shift)
        for i in range(9):
            step = xp.where(shift == i, xp.full_like(shift, 2.0**i), step)
        levels = xp.floor(between(self._scaled(images, BYTES), 0.0, 255.0))
        return self._back(xp.floor(levels / step) * step, BYTES)


@layer
class Solarization(_Colour):
    """In training, images whose bright values are mirrored, as on film that sees too much light.

    (batch, height, width, channels) to the same: a random number is added, and what is above a random threshold then
    becomes `255 - x`, in a range from 0 to 255. Also an image without the batch, or a dict with boxes and masks, which
    stay. Integers become float32.

    Args:
        addition_factor: The range of what is added, in [0, 1] of the range of values: a pair, or a number `v` for
            (0, v).
        threshold_factor: The range of the threshold, in the same way.
        value_range: The least and the largest value of a pixel.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    addition_factor: float | tuple[float, float] = 0.0
    threshold_factor: float | tuple[float, float] = 0.0
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._range("addition_factor"), self._range("threshold_factor")

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        found = {}
        for name, argument in ("additions", "addition_factor"), ("thresholds", "threshold_factor"):
            low, high = self._range(argument)
            found[name] = self.uniform(s, images, 255.0 * low, 255.0 * high)
        return found

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        x = between(self._scaled(images, BYTES) + beside(images, drawn["additions"]), 0.0, 255.0)
        x = namespace(x).where(x < beside(x, drawn["thresholds"]), x, 255.0 - x)
        return self._back(x, BYTES)


@layer
class AutoContrast(_Colour):
    """Images whose channels are stretched over the whole range of values: (batch, height, width, channels) to the same.

    Also outside training. A channel of one value stays as it is. Also an image without the batch, or a dict with boxes
    and masks, which stay. Integers become float32.

    Args:
        value_range: The least and the largest value of a pixel.
    """

    always: ClassVar[bool] = True

    value_range: tuple[float, float] = (0, 255)
    data_format: str | None = None

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        xp = namespace(images)
        x = self._scaled(images, BYTES)
        low, high = (f(x, axis=(1, 2), keepdims=True) for f in (xp.min, xp.max))
        flat = high == low
        scale = 255.0 / xp.where(flat, xp.ones_like(high), high - low)
        return xp.where(flat, images, self._back(between(x * scale - low * scale, 0.0, 255.0), BYTES))


def _levels(x: Any, bins: int) -> Any:
    """Values in [0, 255] as the numbers of bins, int32."""
    xp = namespace(x)
    return xp.astype(between(x, 0, bins - 1), xp.int32)


@layer
class Equalization(_Colour):
    """In training, images whose values are spread evenly: (batch, height, width, channels) to the same.

    Each channel of each image by its own histogram. Also an image without the batch, or a dict with boxes and masks,
    which stay. Integers become float32.

    Args:
        value_range: The least and the largest value of a pixel.
        bins: The number of levels of the histogram.
    """

    value_range: tuple[float, float] = (0, 255)
    bins: int = 256
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("bins", self.bins, least=2, most=2**16)

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        height, width = known_sizes(images)
        xp = namespace(images)
        x = xp.reshape(self._scaled(images, BYTES), (-1, height * width, images.shape[-1]))
        counts = ops.image.counts_below(_levels(x * (self.bins - 1) / 255.0, self.bins), self.bins)
        last = counts[:, -1:, :]
        # The count of the lowest level that comes at all.
        least = xp.min(xp.where(counts > 0, counts, last), axis=1, keepdims=True)
        room = last - least
        table = cast((counts - least) * 255, dtype_of(x)) / cast(xp.maximum(room, xp.ones_like(room)), dtype_of(x))
        table = between(xp.round(table), 0.0, 255.0)
        out = xp.take_along_axis(table, _levels(x / 255.0 * (self.bins - 1), self.bins), axis=1)
        out = self._back(xp.where(room == 0, x, out), BYTES)
        return xp.reshape(out, (-1, height, width, images.shape[-1]))


@layer
class ContrastLimitedAdaptiveHistogramEqualization(_Colour):
    """Images whose values are spread evenly in each part of them, with a limit to the contrast (Zuiderveld, 1994).

    (batch, height, width, channels) to the same, also outside training. The image is cut into tiles; each pixel is
    mapped by the histograms of the four nearest tiles. Also an image without the batch, or a dict with boxes and masks,
    which stay. Integers stay integers.

    Args:
        value_range: The least and the largest value of a pixel.
        clip_limit: How many times the mean of a histogram a level may have; what is above is shared by all levels. 0 is
            no limit.
        tile_grid_size: The number of tiles along the height and the width.
    """

    always: ClassVar[bool] = True
    keeps_dtype: ClassVar[bool] = True

    value_range: tuple[float, float] = (0, 255)
    clip_limit: float = 4.0
    tile_grid_size: tuple[int, int] = (8, 8)
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("clip_limit", self.clip_limit, 0)
        checks.per_axis("tile_grid_size", self.tile_grid_size, 2)
        for n in _both(self.tile_grid_size):
            checks.integer("tile_grid_size", n, most=2**8)

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        if isinstance(images, Spec):  # the weights of places would be computed one by one
            return images
        xp = namespace(images)
        name = dtype_of(images)
        x = self._scaled(cast(images, name if name == "float64" else "float32"), BYTES)
        sizes, channels = known_sizes(x), x.shape[-1]
        grid = _both(self.tile_grid_size)
        tile = tuple(-(-n // parts) for n, parts in zip(sizes, grid, strict=True))
        for axis in (0, 1):
            # Beyond the end the image goes on as its mirror image.
            n = sizes[axis]
            places = [min(i % (2 * n), 2 * n - 1 - i % (2 * n)) for i in range(tile[axis] * grid[axis])]
            index = xp.asarray(places, dtype=xp.int32, device=device(x))
            x = xp.take(x, index, axis=axis + 1)
        levels = _levels(x, 256)
        tables = self._tables(levels, grid, tile, channels)
        out = _between_tiles(tables, levels, grid, tile, dtype_of(x))
        out = self._back(out[:, : sizes[0], : sizes[1], :], BYTES)
        return cast(out, name)

    def _tables(self, levels: Any, grid: Any, tile: Any, channels: int) -> Any:
        """For each tile, what each level becomes: (batch, tiles, 256, channels)."""
        xp = namespace(levels)
        area = math.prod(tile)
        tiles = xp.reshape(levels, (-1, grid[0], tile[0], grid[1], tile[1], channels))
        tiles = xp.reshape(xp.permute_dims(tiles, (0, 1, 3, 2, 4, 5)), (-1, area, channels))
        counts = cast(ops.image.counts_below(tiles, 256), "float32")
        if self.clip_limit > 0:
            single = counts - xp.concat([xp.zeros_like(counts[:, :1, :]), counts[:, :-1, :]], axis=1)
            kept = between(single, 0.0, self.clip_limit * area / 256.0)
            kept = kept + xp.sum(single - kept, axis=1, keepdims=True) / 256.0
            counts = ops.cumsum(kept, axis=1)
        least = counts[:, :1, :]
        room = area - least
        out = (counts - least) * 255.0 / xp.where(room == 0, xp.ones_like(room), room)
        return xp.reshape(between(out, 0.0, 255.0), (-1, math.prod(grid), 256, channels))


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _between_tiles(tables: Any, levels: Any, grid: Any, tile: Any, name: str) -> Any:
    """Each pixel by the tables of the four tiles whose centres are around it; at the border by those there are."""
    xp = namespace(tables, levels)
    places = []
    for parts, n in zip(grid, tile, strict=True):
        at = [(i - n / 2) / n for i in range(parts * n)]
        low = [math.floor(v) for v in at]
        ends = [[min(max(v + more, 0), parts - 1) for v in low] for more in (0, 1)]
        places.append((ends, [v - whole for v, whole in zip(at, low, strict=True)]))
    shape, channels = (1, len(places[0][1]), len(places[1][1]), 1), levels.shape[-1]
    pixels = shape[1] * shape[2]
    flat = xp.reshape(levels, (-1, pixels, channels))
    table = xp.reshape(tables, (-1, math.prod(grid) * 256, channels))
    out = None
    for down in (0, 1):
        for across in (0, 1):
            rows, columns = places[0][0][down], places[1][0][across]
            first = [[[(r * grid[1] + c) * 256] for r in rows for c in columns]]
            index = flat + xp.asarray(first, dtype=xp.int32, device=device(levels))
            shares = []
            for weights, far in ((places[0][1], down), (places[1][1], across)):
                shares.append([w if far else 1 - w for w in weights])
            share = [[[r * c] for r in shares[0] for c in shares[1]]]
            part = xp.take_along_axis(table, index, axis=1) * xp.asarray(share, dtype=table.dtype, device=device(table))
            out = part if out is None else out + part
    return cast(xp.reshape(out, (-1, shape[1], shape[2], channels)), name)


# -- sharpness -------------------------------------------------------------------------------------------------------


@layer
class RandomSharpness(_Colour):
    """In training, images made sharper or smoother: (batch, height, width, channels) to the same.

    An image becomes `smooth + 2 f (x - smooth)`, where zeros lie outside. Also an image without the batch, or a dict
    with boxes and masks, which stay. Integers become float32.

    Args:
        factor: The range of `f`, in [0, 1]: a pair, or a number `v` for (0, v). 1/2 changes nothing.
        value_range: The least and the largest value of a pixel.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    data_format: str | None = None
    seed: int | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        return {"factor": self.uniform(s, images, *self._range("factor"))}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        xp = namespace(images)
        kernel = [[[[v / 13.0]] * images.shape[-1] for v in row] for row in ((1, 1, 1), (1, 5, 1), (1, 1, 1))]
        kernel = xp.asarray(kernel, dtype=images.dtype, device=device(images))
        smooth = ops.depthwise_conv(images, kernel, padding="same", data_format="channels_last")
        return self._clipped(images + (1.0 - 2.0 * beside(images, drawn["factor"])) * (smooth - images))


@layer
class RandomGaussianBlur(_Colour):
    """In training, images blurred at random: (batch, height, width, channels) to the same. Zeros lie outside.

    Also an image without the batch, or a dict with boxes and masks, which stay. Integers become float32. Each image has
    its own strength.

    Args:
        factor: The probability that an image changes, in [0, 1]; or a pair that it is drawn from.
        kernel_size: The window, odd: an integer, or (width, height).
        sigma: The range of the standard deviation, in pixels, in [0, 1]: a pair, or a number `v` for (0, v).
        value_range: The least and the largest value of a pixel.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    factor: float | tuple[float, float] = 1.0
    kernel_size: int | Sequence[int] = 3
    sigma: float | tuple[float, float] = 1.0
    value_range: tuple[float, float] = (0, 255)
    data_format: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._range("sigma")
        checks.per_axis("kernel_size", self.kernel_size, 2)
        if any(n % 2 == 0 or n > 2**8 for n in _both(self.kernel_size)):
            raise ArgumentError.must_be("kernel_size", "odd, and below 256", self.kernel_size)

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        chosen = self.chosen(s, images)
        return {"should_apply_blur": chosen, "blur_factor": self.uniform(s, images, *self._range("sigma"), 2) + 1e-6}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        xp = namespace(images)
        x = images
        for axis, n, i in ((1, _both(self.kernel_size)[1], 1), (2, _both(self.kernel_size)[0], 0)):
            x = _blurred(x, axis, n, beside(images, drawn["blur_factor"][:, i]))
        return self._clipped(xp.where(beside(images, drawn["should_apply_blur"]), x, images))


def _blurred(x: Any, axis: int, n: int, sigma: Any) -> Any:
    """`x` under a Gaussian window of `n` pixels along an axis, with its own `sigma` (batch, 1, 1, 1) for each image."""
    xp = namespace(x)
    half = n // 2
    weights = [xp.exp(-0.5 * (i / sigma) ** 2) for i in range(half + 1)]
    total = weights[0] + 2.0 * sum(weights[1:], xp.zeros_like(sigma))
    widths = [(0, 0)] * 4
    widths[axis] = (half, half)
    padded = ops.pad(x, widths)
    size = x.shape[axis]
    if size is None:
        raise ShapeError.must_be("x", "images of known height and width", tuple(x.shape))
    out = None
    for i in range(n):
        at: list[Any] = [slice(None)] * 4
        at[axis] = slice(i, i + size)
        part = padded[tuple(at)] * (weights[abs(i - half)] / total)
        out = part if out is None else out + part
    return out
