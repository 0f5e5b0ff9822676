"""The base of all layers of images: what they are given, and what is the same in all of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from ... import checks, random, tree
from ...arrays import backend_of, device, namespace
from ...errors import ArgumentError, ShapeError
from ...ops._promotion import cast, dtype_of, floating, kind, lift
from ...ops.image._layout import known_sizes
from ...typing import Tree
from ..layer import Layer, base_layer
from ..scope import Scope
from . import boxes as _boxes

__all__ = ["Picture", "beside", "interval", "value_range"]

KEYS = ("images", "labels", "bounding_boxes", "segmentation_masks")

FILL_MODES = ("reflect", "wrap", "constant", "nearest")

PAIR = (tuple, list)


def interval(
    argument: str, value: Any, least: float, most: float, symmetric: bool = False, above: bool = False
) -> tuple[float, float]:
    """The range that is drawn from: a pair of numbers, or one number `v` for (-v, v).

    Args:
        argument: The name of the argument.
        value: A number, or a pair of numbers in either order.
        least, most: The bounds of all these numbers.
        symmetric: Whether one number stands for (-v, v) where -v is below `least`; else for (least, v).
        above: Whether `least` itself is not allowed.

    Raises:
        ArgumentError: It is something else, or out of bounds.
    """
    pair = isinstance(value, PAIR)
    numbers = tuple(map(checks.as_python, value)) if pair else (checks.as_python(value),)
    real = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in numbers)
    good = real and len(numbers) == (2 if pair else 1) and all(least <= v <= most for v in numbers)
    if not good or (above and least in numbers):
        bounds = f"in {'(' if above else '['}{least}, {most}]"
        raise ArgumentError.must_be(argument, f"a number {bounds}, or a pair of such numbers", value)
    if pair:
        return min(numbers), max(numbers)
    most = abs(numbers[0])
    return (-most if symmetric or -most > least else least), most


def value_range(value: Any) -> tuple[float, float]:
    """The least and the largest value that a pixel can have.

    Raises:
        ArgumentError: It is no pair of two different numbers.
    """
    numbers = tuple(map(checks.as_python, value)) if isinstance(value, PAIR) else ()
    real = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in numbers)
    if len(numbers) != 2 or not real or numbers[0] == numbers[1]:
        raise ArgumentError.must_be("value_range", "a pair of two different numbers, such as (0, 255)", value)
    return min(numbers), max(numbers)


def beside(x: Any, numbers: Any) -> Any:
    """Drawn numbers (batch,) as (batch, 1, 1, 1) in the dtype of the images `x`."""
    xp = namespace(x, numbers)
    numbers = numbers if kind(numbers) == "b" else cast(numbers, dtype_of(x))
    return xp.reshape(numbers, (-1, 1, 1, 1))


@base_layer
class Picture(Layer):
    """The base of layers of images.

    A layer gets images (batch, height, width, channels), or (batch, channels, height, width) with
    `data_format="channels_first"`; or one image without the batch. Integers become float32 (of a policy, its compute
    dtype), and other floats stay. Or it gets a dict with some of these, and returns such a dict:

    - "images".
    - "labels": one for each image; most layers keep them.
    - "bounding_boxes": a dict of "boxes" (batch, boxes, 4) in `bounding_box_format`, and "labels" (batch, boxes). Boxes
      move as the pixels do, and are cut off at the border. A box of which nothing is left gets the label -1.
    - "segmentation_masks": (batch, height, width, channels), classes of pixels, which move as the pixels do. Their
      dtype stays, and nothing is interpolated.

    A layer that draws is active in training only. What it draws for an image depends on the key and on the number of
    the image in its batch: so a batch of 8 becomes what the first 8 of a batch of 16 become, on every backend.

    A subclass says what is drawn (`draw`), and what that does to pixels, masks, boxes and labels. These get images
    (batch, height, width, channels) of at least 32 bits, whatever the layer was given.

    Args:
        bounding_box_format: The format of boxes, such as "xyxy"; see `kf.utils.bounding_boxes.convert_format`.
    """

    always: ClassVar[bool] = False
    """Whether the layer does the same outside training."""

    keeps_dtype: ClassVar[bool] = False
    """Whether images of integers stay integers."""

    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    """The bounds of `factor`."""

    bounding_box_format: str | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bounding_box_format is not None:
            form = _boxes.check_format("bounding_box_format", self.bounding_box_format)
            object.__setattr__(self, "bounding_box_format", form)
        if hasattr(self, "value_range"):
            object.__setattr__(self, "value_range", value_range(self.value_range))
        if hasattr(self, "factor"):
            self._range("factor")
        if hasattr(self, "interpolation"):
            self._check_interpolation(self.interpolation)
        if hasattr(self, "fill_mode"):
            checks.one_of("fill_mode", self.fill_mode, self._fill_modes())

    def _check_interpolation(self, interpolation: Any) -> None:
        checks.one_of("interpolation", interpolation, ("nearest", "bilinear"))

    def _fill_modes(self) -> tuple[str, ...]:
        return FILL_MODES

    def _range(self, argument: str) -> tuple[float, float]:
        """The range of an argument such as `factor`."""
        return interval(argument, getattr(self, argument), *self.bounds)

    # -- what subclasses say -----------------------------------------------------------------------------------------

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        """The numbers that are drawn for `images`, (batch, ...) each."""
        return {}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        """The images, (batch, height, width, channels), after the layer."""
        return images

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        """The masks, (batch, height, width, channels), after the layer."""
        return masks

    def boxes(self, boxes: Any, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        """The boxes, (batch, boxes, 4), float32 corners (x, y, x, y), of images of `size`, after the layer; or None."""
        return None

    def labels(self, labels: Any, drawn: dict[str, Any]) -> Any:
        """The labels of the images after the layer."""
        return labels

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The height and width of the images after the layer."""
        return size

    # -- what is the same in all -------------------------------------------------------------------------------------

    def forward(self, s: Scope, x: Tree) -> Tree:
        given = self._given(x)
        images = given["images"]
        single = images.ndim == 3
        parts = {k: tree.map(_batched, v) if single and k in KEYS else v for k, v in given.items()}
        original, images = parts["images"], self._last(parts["images"])
        masks = parts.get("segmentation_masks")
        if masks is not None:
            masks = self._last(masks)
            self._same_size(images, masks)
        images = images if self.keeps_dtype else self._floats(s, images)
        if s.train or self.always:
            parts |= self.transform(images, masks, parts, self.draw(s, images))
        elif images is not original:
            parts["images"] = self._restored(images)
        if not isinstance(x, Mapping):
            return _alone(parts["images"]) if single else parts["images"]
        return {k: tree.map(_alone, v) if single and k in KEYS else v for k, v in parts.items()}

    def transform(self, images: Any, masks: Any, parts: dict[str, Any], drawn: dict[str, Any]) -> dict[str, Any]:
        """What becomes of `parts`, given what has been drawn; `images` and `masks` are those of it, channels last."""
        out = {"images": self._restored(self._transformed(images, drawn))}
        if masks is not None:
            out["segmentation_masks"] = self._restored(self.masks(masks, drawn))
        if "bounding_boxes" in parts:
            out["bounding_boxes"] = self._moved(parts["bounding_boxes"], drawn, images)
        if "labels" in parts:
            out["labels"] = self.labels(parts["labels"], drawn)
        return out

    def _transformed(self, images: Any, drawn: dict[str, Any]) -> Any:
        """`pixels`, which computes with 32 bits: places of pixels are not exact in fewer."""
        name = dtype_of(images)
        half = name in ("float16", "bfloat16")
        out = self.pixels(cast(images, "float32") if half else images, drawn)
        return cast(out, name) if half else out

    def _floats(self, s: Scope, images: Any) -> Any:
        if kind(images) == "f":
            return images
        images = floating(images)
        return images if s.policy is None else s.policy.cast(images)

    def _given(self, x: Any) -> dict[str, Any]:
        """The dict of arrays that the layer is given, checked."""
        given = dict(x) if isinstance(x, Mapping) else {"images": x}
        if "images" not in given:
            raise ArgumentError(
                f"The dict that the layer is given has no 'images', only {', '.join(map(repr, given)) or 'nothing'}.",
                argument="x",
                expected="a dict with 'images', and perhaps " + ", ".join(map(repr, KEYS[1:])),
                got=sorted(map(str, given)),
            )
        given |= {k: lift(v) for k, v in given.items() if k in KEYS and k != "bounding_boxes"}
        images = given["images"]
        if images.ndim not in (3, 4):
            raise ShapeError(
                f"`x` must be an image or a batch of images, got shape {tuple(images.shape)}.",
                argument="x",
                expected="(height, width, channels) or (batch, height, width, channels)",
                got=tuple(images.shape),
                fix="add a channel axis, for example x[..., None]",
            )
        masks = given.get("segmentation_masks")
        if masks is not None and masks.ndim != images.ndim:
            raise ShapeError(
                f"The segmentation masks must have {images.ndim} axes as the images have, got {masks.ndim}: shape "
                f"{tuple(masks.shape)}.",
                argument="segmentation_masks",
                expected=f"{images.ndim} axes, one of them for channels",
                got=tuple(masks.shape),
                fix="add a channel axis, for example masks[..., None]",
            )
        if "bounding_boxes" in given:
            given["bounding_boxes"] = self._checked(given["bounding_boxes"], images.ndim - 1)
        return given

    def _checked(self, boxes: Any, rank: int) -> dict[str, Any]:
        """The dict of boxes with arrays in it."""
        if not isinstance(boxes, Mapping) or not {"boxes", "labels"} <= boxes.keys():
            raise ArgumentError.must_be("bounding_boxes", "a dict with 'boxes' and 'labels'", boxes)
        if self.bounding_box_format is None:
            raise ArgumentError(
                f"`bounding_box_format` of {type(self).__name__} must be given, since there are bounding boxes.",
                argument="bounding_box_format",
                expected="one of " + ", ".join(map(repr, _boxes.FORMATS)),
                got=None,
                fix=f"nn.{type(self).__name__}(..., bounding_box_format='xyxy')",
            )
        found, labels = cast(_boxes.four(boxes["boxes"]), "float32"), lift(boxes["labels"])
        if found.ndim != rank or labels.ndim < rank - 1 or not _agree(found.shape[:-1], labels.shape[: rank - 1]):
            batch = "batch, " if rank == 3 else ""
            raise ShapeError(
                f"The bounding boxes have shape {tuple(found.shape)} and their labels {tuple(labels.shape)}, which do "
                "not fit to each other or to the images.",
                argument="bounding_boxes",
                expected=f"boxes ({batch}boxes, 4) and labels ({batch}boxes)",
                got=f"boxes {tuple(found.shape)}, labels {tuple(labels.shape)}",
                fix="fill lists of boxes up to one length, with boxes of zeros and labels -1",
            )
        return {**boxes, "boxes": found, "labels": labels}

    def _same_size(self, images: Any, masks: Any) -> None:
        if not _agree(images.shape[1:3], masks.shape[1:3]):
            sizes = [f"{x.shape[1]} x {x.shape[2]}" for x in (masks, images)]
            raise ShapeError(
                f"The segmentation masks have the size {sizes[0]}, and the images have {sizes[1]}.",
                argument="segmentation_masks",
                expected=f"masks of {sizes[1]}, as the images",
                got=sizes[0],
            )

    def _last(self, images: Any) -> Any:
        first = getattr(self, "data_format", None) == "channels_first"
        return namespace(images).moveaxis(images, 1, -1) if first else images

    def _restored(self, images: Any) -> Any:
        first = getattr(self, "data_format", None) == "channels_first"
        return namespace(images).moveaxis(images, -1, 1) if first else images

    def _moved(self, boxes: dict[str, Any], drawn: dict[str, Any], images: Any) -> dict[str, Any]:
        """The dict of boxes after the layer."""
        form: Any = self.bounding_box_format
        size: Any = images.shape[1:3]
        out = self.boxes(_boxes.converted(boxes["boxes"], form, "xyxy", *size), drawn, size)
        if out is None:
            return boxes
        size = self.size(size)
        out = _boxes.clipped(out, *size)
        labels = _boxes.labelled(out, boxes["labels"])
        return {**boxes, "boxes": _boxes.converted(out, "xyxy", form, *size), "labels": labels}

    def uniform(self, s: Scope, images: Any, low: float, high: float, *shape: int) -> Any:
        """Numbers in [low, high) for each image, (batch, *shape), float32. Each call draws others."""
        batch = backend_of(images).sizes(images)[0]
        # Drawn in [0, 1) first: one product and one sum round alike on all backends.
        return random.uniform(s.key(), (batch, *shape)) * (high - low) + low

    def chosen(self, s: Scope, images: Any) -> Any:
        """Whether the layer acts on each image, (batch,): with a probability that is drawn from `factor`."""
        probability = self.uniform(s, images, *self._range("factor"))
        return self.uniform(s, images, 0.0, 1.0) < probability


def grid(images: Any, name: str = "float32") -> tuple[Any, Any]:
    """The row (1, height, 1, 1) and the column (1, 1, width, 1) of each pixel."""
    height, width = known_sizes(images)
    xp = namespace(images)
    where = {"dtype": getattr(xp, name), "device": device(images)}
    return xp.reshape(xp.arange(height, **where), (1, -1, 1, 1)), xp.reshape(xp.arange(width, **where), (1, 1, -1, 1))


def _batched(x: Any) -> Any:
    return namespace(x).expand_dims(x, axis=0)


def _alone(x: Any) -> Any:
    return namespace(x).squeeze(x, axis=0)


def _agree(one: Any, two: Any) -> bool:
    return len(one) == len(two) and all(n is None or m is None or n == m for n, m in zip(one, two, strict=True))
