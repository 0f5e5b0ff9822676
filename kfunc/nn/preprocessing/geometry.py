"""Layers that change where pixels are: another size, a part, a mirror image, and all that a matrix says."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ... import checks, ops
from ...arrays import device, namespace
from ...errors import ArgumentError
from ...ops._promotion import cast, dtype_of, floating, kind
from ...ops.image._layout import known_sizes
from ...ops.image.warping import homography
from ..layer import base_layer, layer
from ..scope import Scope
from .boxes import hull
from .pictures import Picture, beside, interval

__all__ = [
    "CenterCrop",
    "RandomCrop",
    "RandomFlip",
    "RandomPerspective",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Resizing",
]

# -- other sizes -----------------------------------------------------------------------------------------------------


@base_layer
class _Sized(Picture):
    """The base of layers that make images of the size `height` and `width`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in ("height", "width"):
            checks.positive(argument, getattr(self, argument))

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.height, self.width  # type: ignore[attr-defined]

    def _fitted(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """The largest part of an image that has the proportions of the result: top, left, rows and columns."""
        (height, width), (rows, columns) = size, self.size(size)
        fitting = int(width * rows / columns), int(height * columns / rows)
        rows, columns = max(min(height, fitting[0]), 1), max(min(width, fitting[1]), 1)
        return (height - rows) // 2, (width - columns) // 2, rows, columns

    def _seen(self, boxes: Any, part: tuple[int, int, int, int]) -> Any:
        """Boxes in a part of the image, which is brought to the size of the result."""
        top, left, rows, columns = part
        height, width = self.size((rows, columns))
        return ops.multiply(boxes - _four(boxes, left, top), _four(boxes, width / columns, height / rows))


def _four(like: Any, x: float, y: float) -> Any:
    """Numbers for the corners (x, y, x, y)."""
    return namespace(like).asarray([x, y, x, y], dtype=like.dtype, device=device(like))


@layer
class Resizing(_Sized):
    """Images of another size. Their dtype stays: integers are rounded.

    (batch, any height, any width, channels) to (batch, height, width, channels), or as `data_format` says; also an
    image without the batch, or a dict with boxes and masks, see `RandomFlip`. Masks are resized by "nearest".

    Args:
        height, width: The new size.
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        crop_to_aspect_ratio: Whether to cut the image to the new proportions first.
        pad_to_aspect_ratio: Whether to frame the image to the new proportions first, with `fill_value`.
        fill_mode: "constant".
        fill_value: The value of the frame.
        antialias: Whether to average where pixels are dropped.
    """

    always: ClassVar[bool] = True
    keeps_dtype: ClassVar[bool] = True

    height: int
    width: int
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    fill_mode: str = "constant"
    fill_value: float = 0.0
    antialias: bool = False
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("fill_value", self.fill_value)
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise ArgumentError(
                "`crop_to_aspect_ratio` and `pad_to_aspect_ratio` are both set, and only one of them can be.",
                argument="pad_to_aspect_ratio",
                expected="one of crop_to_aspect_ratio and pad_to_aspect_ratio at most",
                got="both",
            )

    def _check_interpolation(self, interpolation: Any) -> None:
        checks.one_of("interpolation", interpolation, ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"))

    def _fill_modes(self) -> tuple[str, ...]:
        return ("constant",)

    def _resized(self, images: Any, interpolation: str, antialias: bool) -> Any:
        return ops.image.resize(
            images,
            (self.height, self.width),
            interpolation,
            antialias,
            self.crop_to_aspect_ratio,
            self.pad_to_aspect_ratio,
            self.fill_mode,
            self.fill_value,
            "channels_last",
        )

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        return self._resized(images, self.interpolation, self.antialias)

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        return self._resized(masks, "nearest", False)

    def boxes(self, boxes: Any, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        xp = namespace(boxes)
        height, width = size
        if self.pad_to_aspect_ratio:
            scale = min(self.height / height, self.width / width)
            left, top = (self.width - width * scale) // 2, (self.height - height * scale) // 2
            out = boxes * scale + _four(boxes, left, top)
        elif self.crop_to_aspect_ratio:
            scale = max(self.height / height, self.width / width)
            left, top = (width * scale - self.width) // 2, (height * scale - self.height) // 2
            out = boxes * scale - _four(boxes, left, top)
        else:
            out = self._seen(boxes, (0, 0, height, width))
        # Boxes of zeros or of -1 fill up the list of an image that has fewer than others.
        filling = xp.all(boxes == 0, axis=-1, keepdims=True) | xp.all(boxes == -1, axis=-1, keepdims=True)
        return xp.where(filling, xp.zeros_like(out), out)


@base_layer
class _Cropped(_Sized):
    """The base of layers that cut out a part of the size `height` and `width`.

    An image that is smaller is cut to the proportions of the result in its middle, and resized.
    """

    always: ClassVar[bool] = True

    def _large_enough(self, size: tuple[int, int]) -> bool:
        return all(n >= m for n, m in zip(size, self.size(size), strict=True))

    def _middle(self, images: Any, interpolation: str) -> Any:
        sizes = known_sizes(images)
        rows, columns = self.size(sizes)  # type: ignore[arg-type]
        if not self._large_enough(sizes):  # type: ignore[arg-type]
            return ops.image.resize(
                images, (rows, columns), interpolation, crop_to_aspect_ratio=True, data_format="channels_last"
            )
        top, left = (sizes[0] - rows) // 2, (sizes[1] - columns) // 2
        return images[:, top : top + rows, left : left + columns, :]

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        return self._middle(images, "bilinear")

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        return self._middle(masks, "nearest")

    def boxes(self, boxes: Any, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        rows, columns = self.size(size)
        if not self._large_enough(size):
            return self._seen(boxes, self._fitted(size))
        return boxes - _four(boxes, (size[1] - columns) // 2, (size[0] - rows) // 2)


@layer
class CenterCrop(_Cropped):
    """The middle of images: (batch, any height, any width, channels) to (batch, height, width, channels).

    An image that is smaller is resized: then the largest part with the new proportions is seen. Also an image without
    the batch, or a dict with boxes and masks, see `RandomFlip`.

    Args:
        height, width: The new size.
    """

    height: int
    width: int
    data_format: str | None = None


@layer
class RandomCrop(_Cropped):
    """In training, a part of each image at a random place: (batch, any height, any width, channels) to `height` and
    `width`.

    Outside training, and where images are smaller, it is `CenterCrop`. Each image of a batch is cut at its own place.

    Args:
        height, width: The new size.
    """

    height: int
    width: int
    seed: int | None = None
    data_format: str | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        sizes: Any = known_sizes(images)
        if not s.train or not self._large_enough(sizes):
            return {}
        xp = namespace(images)
        places = []
        for n, m in zip(sizes, self.size(sizes), strict=True):
            places.append(xp.astype(xp.floor(self.uniform(s, images, 0.0, float(n - m + 1))), xp.int32))
        return {"top": places[0], "left": places[1]}

    def _cut(self, images: Any, drawn: dict[str, Any]) -> Any:
        sizes: Any = known_sizes(images)
        xp = namespace(images)
        rows, columns = self.size(sizes)
        where = {"dtype": xp.int32, "device": device(images)}
        down = xp.reshape(drawn["top"], (-1, 1, 1)) + xp.reshape(xp.arange(rows, **where), (1, -1, 1))
        across = xp.reshape(drawn["left"], (-1, 1, 1)) + xp.reshape(xp.arange(columns, **where), (1, 1, -1))
        flat = xp.reshape(images, (-1, sizes[0] * sizes[1], images.shape[-1]))
        index = xp.reshape(down * sizes[1] + across, (-1, rows * columns, 1))
        out = xp.take_along_axis(flat, index + xp.astype(xp.zeros_like(flat[:, :1, :]), xp.int32), axis=1)
        return xp.reshape(out, (-1, rows, columns, images.shape[-1]))

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        return self._cut(images, drawn) if drawn else super().pixels(images, drawn)

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        return self._cut(masks, drawn) if drawn else super().masks(masks, drawn)

    def boxes(self, boxes: Any, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        if not drawn:
            return super().boxes(boxes, drawn, size)
        xp = namespace(boxes)
        top, left = (xp.reshape(cast(drawn[k], "float32"), (-1, 1, 1)) for k in ("top", "left"))
        return boxes - xp.concat([left, top, left, top], axis=-1)


# -- mirror images ---------------------------------------------------------------------------------------------------


@layer
class RandomFlip(Picture):
    """In training, the mirror image of every second image, at random: (batch, height, width, channels) to the same.

    Also one image without the batch; and a dict of "images" with "labels", "bounding_boxes" (a dict of "boxes" and
    "labels") and "segmentation_masks", in which boxes and masks follow the pixels. Integers become float32.

    Args:
        mode: "horizontal", "vertical", or "horizontal_and_vertical": then an image is turned over in both directions,
            or not at all.
    """

    mode: str = "horizontal_and_vertical"
    seed: int | None = None
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("mode", self.mode, ("horizontal", "vertical", "horizontal_and_vertical"))

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        return {"flips": self.uniform(s, images, 0.0, 1.0) <= 0.5}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        xp = namespace(images)
        axes = tuple(axis for axis, name in ((1, "vertical"), (2, "horizontal")) if name in self.mode)
        return xp.where(beside(images, drawn["flips"]), xp.flip(images, axis=axes), images)

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        return self.pixels(masks, drawn)

    def boxes(self, boxes: Any, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        xp = namespace(boxes)
        x0, y0, x1, y1 = (boxes[..., i] for i in range(4))
        if "horizontal" in self.mode:
            x0, x1 = size[1] - x1, size[1] - x0
        if "vertical" in self.mode:
            y0, y1 = size[0] - y1, size[0] - y0
        return xp.where(xp.reshape(drawn["flips"], (-1, 1, 1)), xp.stack([x0, y0, x1, y1], axis=-1), boxes)


# -- matrices --------------------------------------------------------------------------------------------------------


def _matrix(*numbers: Any) -> Any:
    """The eight numbers (batch, 8) of `ops.image.affine_transform`; arrays (batch,) and plain numbers."""
    like = next(v for v in numbers if hasattr(v, "shape"))
    xp = namespace(like)
    rows = [v if hasattr(v, "shape") else xp.full_like(like, float(v)) for v in (*numbers, 0.0, 0.0)]
    return xp.stack(rows, axis=-1)


@base_layer
class _Affine(Picture):
    """The base of layers that see images through a matrix: `matrix` says where each pixel of the output comes from.

    Boxes go the other way: each becomes the box around its four corners after the inverse of the matrix.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("fill_value", self.fill_value)  # type: ignore[attr-defined]

    def matrix(self, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        """(batch, 8), float32; see `ops.image.affine_transform`."""
        raise NotImplementedError

    def _seen(self, images: Any, drawn: dict[str, Any], interpolation: str) -> Any:
        own: Any = self
        matrix = self.matrix(drawn, known_sizes(images))  # type: ignore[arg-type]
        # Images of integers are masks: their places are computed with floats.
        x = images if kind(images) == "f" else floating(images)
        out = ops.image.affine_transform(
            x, matrix, interpolation, own.fill_mode, own.fill_value, data_format="channels_last"
        )
        return cast(out, dtype_of(images))

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        return self._seen(images, drawn, self.interpolation)  # type: ignore[attr-defined]

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        return self._seen(masks, drawn, "nearest")

    def boxes(self, boxes: Any, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        matrix = namespace(boxes).expand_dims(self.matrix(drawn, size), axis=1)
        a0, a1, a2, b0, b1, b2 = (matrix[..., i : i + 1][..., 0] for i in range(6))
        determinant = a0 * b1 - a1 * b0

        def project(x, y):
            x, y = x - _wide(a2), y - _wide(b2)
            return (
                (_wide(b1) * x - _wide(a1) * y) / _wide(determinant),
                (_wide(a0) * y - _wide(b0) * x) / _wide(determinant),
            )

        return hull(boxes, project)


def _wide(x: Any) -> Any:
    return namespace(x).expand_dims(x, axis=-1)


@layer
class RandomRotation(_Affine):
    """In training, images turned about their centre by random angles: (batch, height, width, channels) to the same.

    Also an image without the batch, or a dict with boxes and masks, see `RandomFlip`. Integers become float32.

    Args:
        factor: The range of angles, in turns, counter-clockwise: a pair, or a number `v` for (-v, v), in [-1, 1].
        fill_mode: What lies outside: "reflect", "constant" (`fill_value`), "wrap" or "nearest".
        interpolation: "bilinear" or "nearest".
        fill_value: The value of pixels outside, with `fill_mode="constant"`.
    """

    factor: float | tuple[float, float]
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    data_format: str | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        low, high = self._range("factor")
        return {"angle": self.uniform(s, images, low * 360.0, high * 360.0)}

    def matrix(self, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        angle = drawn["angle"] * (math.pi / 180)
        xp = namespace(angle)
        cos, sin = xp.cos(angle), xp.sin(angle)
        cy, cx = (size[0] - 1) / 2, (size[1] - 1) / 2
        return _matrix(cos, -sin, cx - cx * cos + cy * sin, sin, cos, cy - cx * sin - cy * cos)


@layer
class RandomTranslation(_Affine):
    """In training, images moved by random amounts: (batch, height, width, channels) to the same.

    Also an image without the batch, or a dict with boxes and masks, see `RandomFlip`. Integers become float32.

    Args:
        height_factor: The range of moves down, in heights: a pair, or a number `v` for (-v, v), in [-1, 1].
        width_factor: The same for moves to the right, in widths.
        fill_mode: What lies outside: "reflect", "constant" (`fill_value`), "wrap" or "nearest".
        interpolation: "bilinear" or "nearest".
        fill_value: The value of pixels outside, with `fill_mode="constant"`.
    """

    height_factor: float | tuple[float, float]
    width_factor: float | tuple[float, float]
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._range("height_factor"), self._range("width_factor")

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        height, width = known_sizes(images)
        down = self.uniform(s, images, *self._range("height_factor")) * height
        right = self.uniform(s, images, *self._range("width_factor")) * width
        return {"translations": namespace(down).stack([right, down], axis=-1)}

    def matrix(self, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        moves = drawn["translations"]
        return _matrix(1.0, 0.0, -moves[:, 0], 0.0, 1.0, -moves[:, 1])


@layer
class RandomZoom(_Affine):
    """In training, images made larger or smaller at random: (batch, height, width, channels) to the same.

    Also an image without the batch, or a dict with boxes and masks, see `RandomFlip`. Integers become float32.

    Args:
        height_factor: The range of `z`, a pair, or a number `v` for (-v, v), above -1 and at most 1: `1 + z` rows of
            the image come where one was, so that images get smaller if `z` is positive.
        width_factor: The same for the width. None means the zoom of the height.
        fill_mode: What lies outside: "reflect", "constant" (`fill_value`), "wrap" or "nearest".
        interpolation: "bilinear" or "nearest".
        fill_value: The value of pixels outside, with `fill_mode="constant"`.
    """

    height_factor: float | tuple[float, float]
    width_factor: float | tuple[float, float] | None = None
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._range("height_factor")
        if self.width_factor is not None:
            self._range("width_factor")

    def _range(self, argument: str) -> tuple[float, float]:
        return interval(argument, getattr(self, argument), -1.0, 1.0, above=True)

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        low, high = self._range("height_factor")
        down = self.uniform(s, images, 1.0 + low, 1.0 + high)
        if self.width_factor is None:
            return {"height_zoom": down, "width_zoom": down}
        low, high = self._range("width_factor")
        return {"height_zoom": down, "width_zoom": self.uniform(s, images, 1.0 + low, 1.0 + high)}

    def matrix(self, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        down, across = drawn["height_zoom"], drawn["width_zoom"]
        x, y = (size[1] - 1) / 2 * (1.0 - across), (size[0] - 1) / 2 * (1.0 - down)
        return _matrix(across, 0.0, x, 0.0, down, y)


@layer
class RandomShear(_Affine):
    """In training, images whose rows and columns are pushed aside at random: (batch, height, width, channels) to the
    same.

    Also an image without the batch, or a dict with boxes and masks, see `RandomFlip`. Integers become float32.

    Args:
        x_factor: The range of pixels to the side for each row down: a pair, or a number `v` for (-v, v), at most 1.
            Half of the images are pushed to the other side.
        y_factor: The same for pixels down, for each column.
        interpolation: "bilinear" or "nearest".
        fill_mode: What lies outside: "reflect", "constant" (`fill_value`), "wrap" or "nearest".
        fill_value: The value of pixels outside, with `fill_mode="constant"`.
    """

    x_factor: float | tuple[float, float] = 0.0
    y_factor: float | tuple[float, float] = 0.0
    interpolation: str = "bilinear"
    fill_mode: str = "reflect"
    fill_value: float = 0.0
    data_format: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._range("x_factor"), self._range("y_factor")

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        turned = self.uniform(s, images, 0.0, 1.0) > 0.5
        down = self.uniform(s, images, *self._range("y_factor"))
        right = self.uniform(s, images, *self._range("x_factor"))
        xp = namespace(right)
        both = xp.stack([right, down], axis=-1)
        return {"shear_factor": xp.where(xp.expand_dims(turned, axis=-1), -both, both)}

    def matrix(self, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        shear = drawn["shear_factor"]
        return _matrix(1.0, shear[:, 0], 0.0, shear[:, 1], 1.0, 0.0)


@layer
class RandomPerspective(Picture):
    """In training, images seen from the side at random: (batch, height, width, channels) to the same.

    Also an image without the batch, or a dict with boxes and masks, see `RandomFlip`. Integers become float32.

    Args:
        factor: The probability that an image changes, in [0, 1]; or a pair that it is drawn from.
        scale: How far corners move, in [0, 1]: up to half of `scale` times their distance from the upper left one.
        interpolation: "bilinear" or "nearest".
        fill_value: What lies outside.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    factor: float | tuple[float, float] = 1.0
    scale: float = 1.0
    interpolation: str = "bilinear"
    fill_value: float = 0.0
    seed: int | None = None
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("scale", self.scale, 0, 1)
        checks.number("fill_value", self.fill_value)

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        chosen = self.chosen(s, images)
        moves = self.uniform(s, images, -0.5 * self.scale, 0.5 * self.scale, 4, 2)
        height, width = (float(n - 1) for n in known_sizes(images))
        corners = [[[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]]]
        start = namespace(moves).asarray(corners, dtype=moves.dtype, device=device(moves)) + moves * 0
        return {"apply_perspective": chosen, "start_points": start, "end_points": start + start * moves}

    def _seen(self, images: Any, drawn: dict[str, Any], interpolation: str) -> Any:
        x = images if kind(images) == "f" else floating(images)
        out = ops.image.perspective_transform(
            x, drawn["start_points"], drawn["end_points"], interpolation, self.fill_value, "channels_last"
        )
        out = namespace(images).where(beside(x, drawn["apply_perspective"]), out, x)
        return cast(out, dtype_of(images))

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        return self._seen(images, drawn, self.interpolation)

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        return self._seen(masks, drawn, "nearest")

    def boxes(self, boxes: Any, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        xp = namespace(boxes)
        numbers = homography(drawn["end_points"], drawn["start_points"])
        a0, a1, a2, b0, b1, b2, c0, c1 = (xp.reshape(numbers[:, i : i + 1], (-1, 1, 1)) for i in range(8))

        def project(x, y):
            k = c0 * x + c1 * y + 1
            return (a0 * x + a1 * y + a2) / k, (b0 * x + b1 * y + b2) / k

        return xp.where(xp.reshape(drawn["apply_perspective"], (-1, 1, 1)), hull(boxes, project), boxes)
