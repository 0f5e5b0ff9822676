"""Bounding boxes: the forms in which four numbers say where a thing is in an image, and what moves them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...arrays import device, dtype_name, namespace, native
from ...errors import ArgumentError, ShapeError
from ...ops._promotion import cast, floating, lift
from ...typing import Array

__all__ = [
    "FORMATS",
    "affine_transform",
    "clip_to_image_size",
    "compute_ciou",
    "compute_iou",
    "convert_format",
    "crop",
    "decode_deltas_to_boxes",
    "encode_box_to_deltas",
    "pad",
]

FORMATS = (
    *("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw"),
    *("rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh"),
)
"""Two corners, a corner and the size, or the centre and the size; in pixels, or as parts of the image ("rel")."""

EPSILON = 1e-7


def check_format(argument: str, name: Any, allowed: Sequence[str] = FORMATS) -> str:
    """The name of a format, in lower case.

    Raises:
        ArgumentError: There is no such format.
    """
    lower = name.lower() if isinstance(name, str) else name
    if lower not in allowed:
        raise ArgumentError.must_be(argument, "one of " + ", ".join(map(repr, allowed)), name)
    return lower


def _planes(boxes: Any) -> tuple[Any, Any, Any, Any]:
    return boxes[..., 0:1], boxes[..., 1:2], boxes[..., 2:3], boxes[..., 3:4]


def _swapped(boxes: Any) -> Any:
    """The boxes with x and y exchanged."""
    a, b, c, d = _planes(boxes)
    return namespace(boxes).concat([b, a, d, c], axis=-1)


def _halves(boxes: Any) -> tuple[Any, Any]:
    return boxes[..., :2], boxes[..., 2:]


def _corners(boxes: Any, form: str) -> Any:
    """The two corners (x, y, x, y) of boxes in a form without "rel"."""
    if form.endswith(("yxyx", "yxhw")):
        boxes = _swapped(boxes)
    if form in ("xyxy", "yxyx"):
        return boxes
    place, size = _halves(boxes)
    start = place - size / 2 if form.startswith("center") else place
    end = place + size / 2 if form.startswith("center") else place + size
    return namespace(boxes).concat([start, end], axis=-1)


def _from_corners(boxes: Any, form: str) -> Any:
    if form not in ("xyxy", "yxyx"):
        start, end = _halves(boxes)
        place = start + (end - start) / 2 if form.startswith("center") else start
        boxes = namespace(boxes).concat([place, end - start], axis=-1)
    return _swapped(boxes) if form.endswith(("yxyx", "yxhw")) else boxes


def _scale(boxes: Any, height: Any, width: Any) -> Any:
    """(width, height, width, height), which broadcasts to the boxes."""
    xp = namespace(boxes)
    sides = [
        xp.reshape(cast(v, dtype_name(boxes.dtype)), (*v.shape, 1) if v.ndim == 0 else v.shape)
        if hasattr(v, "shape")
        else xp.asarray([float(v)], dtype=boxes.dtype, device=device(boxes))
        for v in (width, height)
    ]
    return xp.concat([*sides, *sides], axis=-1)


def _sized(argument: str, height: Any, width: Any) -> None:
    if height is None or width is None:
        raise ArgumentError(
            f"`height` and `width` must be given: {argument} needs the size of the image, got {height} and {width}.",
            argument="height",
            expected="the height and the width of the image, in pixels",
            got=f"height {height}, width {width}",
        )


def four(boxes: Any, argument: str = "boxes") -> Any:
    """The array `boxes`, as floats.

    Raises:
        ShapeError: Its last axis does not have four numbers.
    """
    boxes = floating(lift(boxes))
    if boxes.ndim < 1 or boxes.shape[-1] != 4:
        raise ShapeError(
            f"`{argument}` must have four numbers for each box, got shape {tuple(boxes.shape)}.",
            argument=argument,
            expected="(..., 4)",
            got=tuple(boxes.shape),
        )
    return boxes


def converted(boxes: Any, source: str, target: str, height: Any = None, width: Any = None) -> Any:
    """`convert_format` for an array of floats and names that are known."""
    if source == target:
        return boxes
    if source.startswith("rel_") and target.startswith("rel_"):
        source, target = source.removeprefix("rel_"), target.removeprefix("rel_")
    relative = [name for name in (source, target) if name.startswith("rel_")]
    if relative:
        _sized(f"the format {relative[0]!r}", height, width)
    corners = _corners(boxes, source.removeprefix("rel_"))
    if source.startswith("rel_"):
        corners = corners * _scale(boxes, height, width)
    elif target.startswith("rel_"):
        corners = corners / _scale(boxes, height, width)
    return _from_corners(corners, target.removeprefix("rel_"))


@native
def convert_format(
    boxes: Any, source: str, target: str, height: Any = None, width: Any = None, dtype: str = "float32"
) -> Any:
    """Bounding boxes in another format.

    Formats are "xyxy" and "yxyx", two corners; "xywh", a corner and width and height; "center_xywh" and "center_yxhw",
    the centre and the size; and, as parts of the image in place of pixels, "rel_xyxy", "rel_yxyx", "rel_xywh" and
    "rel_center_xywh".

    Args:
        boxes: (..., 4), or a dict that has them as "boxes".
        source, target: Names of formats.
        height, width: The size of the image, in pixels: numbers, or arrays (..., 1). Needed if one format is relative.
        dtype: The dtype of the result.

    Returns:
        (..., 4), or such a dict.

    Raises:
        ArgumentError, ShapeError: A format is unknown, the size is missing, or boxes do not have four numbers.
    """
    source, target = check_format("source", source), check_format("target", target)
    if isinstance(boxes, Mapping):
        return {**boxes, "boxes": converted(cast(four(boxes["boxes"]), dtype), source, target, height, width)}
    return converted(cast(four(boxes), dtype), source, target, height, width)


def clipped(boxes: Any, height: Any = 1.0, width: Any = 1.0) -> Any:
    """Corners (x, y, x, y) moved into an image of this size."""
    xp = namespace(boxes)
    return xp.minimum(xp.maximum(boxes, xp.zeros_like(boxes)), _scale(boxes, height, width))


def area(boxes: Any) -> Any:
    """(..., 4), corners, to (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def labelled(boxes: Any, labels: Any) -> Any:
    """Labels, of which those of boxes without an area are -1: (..., boxes) or (..., boxes, classes)."""
    xp = namespace(boxes, labels)
    seen = area(boxes) > 0
    while seen.ndim < labels.ndim:
        seen = xp.expand_dims(seen, axis=-1)
    return xp.where(seen, labels, xp.full_like(labels, -1))


@native
def clip_to_image_size(
    bounding_boxes: Any, height: Any = None, width: Any = None, bounding_box_format: str = "xyxy"
) -> Any:
    """Bounding boxes cut off where the image ends. Labels of boxes without an area become -1.

    Args:
        bounding_boxes: A dict with "boxes" (..., boxes, 4) and perhaps "labels" (..., boxes).
        height, width: The size of the image, in pixels. Needed with "xyxy".
        bounding_box_format: "xyxy" or "rel_xyxy".

    Raises:
        ArgumentError, ShapeError: The format is another, the size is missing, or boxes do not have four numbers.
    """
    form = check_format("bounding_box_format", bounding_box_format, ("xyxy", "rel_xyxy"))
    boxes = four(bounding_boxes["boxes"])
    if form == "xyxy":
        _sized("the format 'xyxy'", height, width)
        boxes = clipped(boxes, height, width)
    else:
        boxes = clipped(boxes)
    out = {**bounding_boxes, "boxes": boxes}
    if out.get("labels") is not None:
        out["labels"] = labelled(boxes, lift(out["labels"]))
    return out


def hull(boxes: Any, project: Any) -> Any:
    """The boxes, corners (batch, boxes, 4), around the four corners of `boxes` where `project(x, y)` has moved them."""
    xp = namespace(boxes)
    x0, y0, x1, y1 = _planes(boxes)
    xs, ys = project(xp.concat([x0, x1, x1, x0], axis=-1), xp.concat([y0, y0, y1, y1], axis=-1))
    sides = [f(v, axis=-1) for f in (xp.min, xp.max) for v in (xs, ys)]
    return xp.stack(sides, axis=-1)


@native
def affine_transform(
    boxes: Array,
    angle: Array,
    translate_x: Array,
    translate_y: Array,
    scale: Array,
    shear_x: Array,
    shear_y: Array,
    height: Any,
    width: Any,
    center_x: float | None = None,
    center_y: float | None = None,
    bounding_box_format: str = "xyxy",
) -> Array:
    """The boxes around boxes that are turned, moved, scaled and sheared about the centre of the image.

    Args:
        boxes: (batch, boxes, 4).
        angle: (batch,), in degrees.
        translate_x, translate_y: (batch,), in parts of the image.
        scale: (batch,).
        shear_x, shear_y: (batch,), in degrees.
        height, width: The size of the image, in pixels.
        center_x, center_y: The centre, in parts of the image; 1/2 by default.
        bounding_box_format: "xyxy".

    Raises:
        ArgumentError, ShapeError: The format is another, or boxes do not have four numbers.
    """
    check_format("bounding_box_format", bounding_box_format, ("xyxy",))
    boxes = four(boxes)
    xp = namespace(boxes)
    name = dtype_name(boxes.dtype)
    numbers = (cast(floating(lift(v)), name) for v in (angle, translate_x, translate_y, scale, shear_x, shear_y))
    turn, tx, ty, scale, sx, sy = (xp.reshape(v, (-1, 1, 1)) for v in numbers)
    turn, sx, sy = (-v * (math.pi / 180) for v in (turn, sx, sy))
    cx = (0.5 if center_x is None else center_x) * (width - 1)
    cy = (0.5 if center_y is None else center_y) * (height - 1)
    a = xp.cos(turn - sy) / xp.cos(sy)
    b = a * xp.tan(sx) + xp.sin(turn)
    c = -xp.sin(turn - sy) / xp.cos(sy)
    d = xp.cos(turn) - c * xp.tan(sx)

    def project(x, y):
        x, y = x - cx + tx * (width - 1), y - cy + ty * (height - 1)
        return cx + scale * (d * x - b * y), cy + scale * (a * y - c * x)

    return hull(boxes, project)


@native
def crop(boxes: Array, top: Any, left: Any, height: Any, width: Any, bounding_box_format: str = "xyxy") -> Array:
    """Boxes (..., 4) in the part of the image that begins at `top` and `left` and has this height and width.

    Raises:
        ArgumentError, ShapeError: The format is not "xyxy", or boxes do not have four numbers.
    """
    check_format("bounding_box_format", bounding_box_format, ("xyxy",))
    boxes = four(boxes)
    return clipped(boxes - _scale(boxes, top, left), height, width)


@native
def pad(boxes: Array, top: Any, left: Any, bounding_box_format: str = "xyxy") -> Array:
    """Boxes (..., 4) in an image that has `top` more rows above and `left` more columns before.

    Raises:
        ArgumentError, ShapeError: The format is not "xyxy", or boxes do not have four numbers.
    """
    check_format("bounding_box_format", bounding_box_format, ("xyxy",))
    boxes = four(boxes)
    return boxes + _scale(boxes, top, left)


def _pair(boxes1: Any, boxes2: Any, form: str, image_shape: Any) -> tuple[Any, Any]:
    """Both as corners, checked."""
    form = check_format("bounding_box_format", form)
    height, width = (None, None) if image_shape is None else image_shape[:2]
    found = []
    for argument, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        found.append(converted(four(boxes, argument), form, "xyxy", height, width))
        if found[-1].ndim not in (2, 3):
            raise ShapeError(
                f"`{argument}` must be (boxes, 4) or (batch, boxes, 4), got shape {tuple(found[-1].shape)}.",
                argument=argument,
                expected="2 or 3 axes",
                got=tuple(found[-1].shape),
            )
    return found[0], found[1]


@native
def compute_iou(
    boxes1: Array,
    boxes2: Array,
    bounding_box_format: str,
    use_masking: bool = False,
    mask_val: float = -1,
    image_shape: Sequence[int] | None = None,
) -> Array:
    """For each pair of boxes, the area of their intersection over that of their union.

    Args:
        boxes1: (n, 4) or (batch, n, 4).
        boxes2: (m, 4) or (batch, m, 4).
        bounding_box_format: A format, see `convert_format`.
        use_masking: Whether pairs with a box of negative numbers alone get `mask_val`.
        image_shape: (height, width, channels), for relative formats.

    Returns:
        (n, m) or (batch, n, m).
    """
    one, two = _pair(boxes1, boxes2, bounding_box_format, image_shape)
    xp = namespace(one, two)
    one, two = xp.expand_dims(one, axis=-2), xp.expand_dims(two, axis=-3)
    low, high = xp.maximum(one[..., :2], two[..., :2]), xp.minimum(one[..., 2:], two[..., 2:])
    sides = xp.maximum(high - low, xp.zeros_like(high))
    common = sides[..., 0] * sides[..., 1]
    out = common / (area(one) + area(two) - common + EPSILON)
    if not use_masking:
        return out
    empty = (xp.max(one, axis=-1) < 0) | (xp.max(two, axis=-1) < 0)
    return xp.where(empty, xp.full_like(out, mask_val), out)


@native
def compute_ciou(
    boxes1: Array, boxes2: Array, bounding_box_format: str, image_shape: Sequence[int] | None = None
) -> Array:
    """For boxes one by one: their intersection over union, less what separates them (Zheng et al., 2020).

    Args:
        boxes1, boxes2: (..., 4).
        bounding_box_format: A format, see `convert_format`.
        image_shape: (height, width, channels), for relative formats.

    Returns:
        (...).
    """
    one, two = _pair(boxes1, boxes2, bounding_box_format, image_shape)
    xp = namespace(one, two)
    sizes = []
    for boxes in one, two:
        sizes.append((boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1] + EPSILON))
    low, high = xp.maximum(one[..., :2], two[..., :2]), xp.minimum(one[..., 2:], two[..., 2:])
    sides = xp.maximum(high - low, xp.zeros_like(high))
    common = sides[..., 0] * sides[..., 1]
    union = sizes[0][0] * sizes[0][1] + sizes[1][0] * sizes[1][1] - common + 2 * EPSILON
    iou = common / union
    around = xp.maximum(one[..., 2:], two[..., 2:]) - xp.minimum(one[..., :2], two[..., :2])
    apart = (one[..., :2] + one[..., 2:]) / 2 - (two[..., :2] + two[..., 2:]) / 2
    diagonal = xp.sum(around * around, axis=-1) + EPSILON
    turned = xp.atan(sizes[1][0] / sizes[1][1]) - xp.atan(sizes[0][0] / sizes[0][1])
    v = (4 / math.pi**2) * turned * turned
    return iou - (xp.sum(apart * apart, axis=-1) / diagonal + v * v / (v - iou + (1 + EPSILON)))


ENCODINGS = ("center_xywh", "center_yxhw")


def _variance(boxes: Any, variance: Any) -> Any:
    xp = namespace(boxes)
    out = cast(lift(variance), dtype_name(boxes.dtype)) if hasattr(variance, "shape") else variance
    if not hasattr(out, "shape"):
        out = xp.asarray([float(v) for v in out], dtype=boxes.dtype, device=device(boxes))
    if out.shape[-1] != 4:
        raise ShapeError.must_be("variance", "four numbers", variance)
    return out


@native
def encode_box_to_deltas(
    anchors: Array,
    boxes: Array,
    anchor_format: str,
    box_format: str,
    encoding_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Sequence[int] | None = None,
) -> Array:
    """How boxes differ from anchors: their centres in sizes of the anchor, and the logarithms of their relative sizes.

    Args:
        anchors: (boxes, 4).
        boxes: (boxes, 4) or (batch, boxes, 4).
        anchor_format, box_format: Formats, see `convert_format`.
        encoding_format: "center_yxhw" or "center_xywh": the order of the result.
        variance: Four numbers that the result is divided by.
        image_shape: (height, width, channels), for relative formats.

    Returns:
        The shape of `boxes`; `decode_deltas_to_boxes` is the inverse.
    """
    form = check_format("encoding_format", encoding_format, ENCODINGS)
    size = (None, None) if image_shape is None else image_shape[:2]
    anchors = converted(four(anchors, "anchors"), check_format("anchor_format", anchor_format), form, *size)
    boxes = converted(four(boxes), check_format("box_format", box_format), form, *size)
    xp = namespace(anchors, boxes)
    own, sizes = (xp.maximum(v[..., 2:], xp.full_like(v[..., 2:], EPSILON)) for v in (anchors, boxes))
    out = xp.concat([(boxes[..., :2] - anchors[..., :2]) / own, xp.log(sizes / own)], axis=-1)
    return out if variance is None else out / _variance(out, variance)


@native
def decode_deltas_to_boxes(
    anchors: Any,
    boxes_delta: Any,
    anchor_format: str,
    box_format: str,
    encoded_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Sequence[int] | None = None,
) -> Any:
    """The boxes that `encode_box_to_deltas` has encoded.

    Args:
        anchors: (boxes, 4), or a dict of such arrays.
        boxes_delta: (boxes, 4) or (batch, boxes, 4), or a dict with the same keys.
        anchor_format, box_format: Formats, see `convert_format`.
        encoded_format: "center_yxhw" or "center_xywh": the order of `boxes_delta`.
        variance: Four numbers that `boxes_delta` is multiplied by.
        image_shape: (height, width, channels), for relative formats.
    """
    form = check_format("encoded_format", encoded_format, ENCODINGS)
    size = (None, None) if image_shape is None else image_shape[:2]
    of, to = check_format("anchor_format", anchor_format), check_format("box_format", box_format)

    def decoded(anchors, deltas):
        anchors, deltas = converted(four(anchors, "anchors"), of, form, *size), four(deltas, "boxes_delta")
        xp = namespace(anchors, deltas)
        deltas = deltas if variance is None else deltas * _variance(deltas, variance)
        own = anchors[..., 2:]
        boxes = xp.concat([deltas[..., :2] * own + anchors[..., :2], xp.exp(deltas[..., 2:]) * own], axis=-1)
        return converted(boxes, form, to, *size)

    if isinstance(anchors, Mapping):
        return {level: decoded(anchors[level], boxes_delta[level]) for level in anchors}
    return decoded(anchors, boxes_delta)
