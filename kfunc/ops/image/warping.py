"""Images seen through a map of coordinates: affine, perspective and elastic ones, and any other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from ... import random
from ...arrays import device, namespace
from ...errors import ArgumentError, MissingKeyError, ShapeError
from ...tracing.spec import Spec
from ...typing import Array
from .._axes import sizes_of
from .._op import op
from .._promotion import cast, dtype_of, floating, lift
from ._layout import check_among, known_sizes, last, rounded
from .filtering import gaussian_blur

__all__ = ["affine_transform", "elastic_transform", "map_coordinates", "perspective_transform"]

ORDERS = {"nearest": 0, "bilinear": 1}


# -- sampling --------------------------------------------------------------------------------------------------------


def _mirrored(xp, i, n):
    period = max(2 * n - 2, 1)
    return xp.abs(xp.remainder(i + (n - 1), period) - (n - 1)) if n > 1 else xp.zeros_like(i)


def _reflected(xp, i, n):
    i = xp.remainder(i, 2 * n)
    return xp.where(i < n, i, 2 * n - 1 - i)


# For each mode, the place of the element that stands for position `i`, where the array has `n` and goes on outside.
CONTINUED: dict[str, Callable[[Any, Array, int], Array]] = {
    "constant": lambda xp, i, n: xp.clip(i, 0, n - 1),
    "nearest": lambda xp, i, n: xp.clip(i, 0, n - 1),
    "wrap": lambda xp, i, n: xp.remainder(i, n),
    "mirror": _mirrored,
    "reflect": _reflected,
}


def _corners(xp, coordinate, order):
    """The integer positions that a coordinate is made of, and the weight of each."""
    if order == 0:
        away = xp.where(coordinate < 0, xp.ceil(coordinate - 0.5), xp.floor(coordinate + 0.5))
        return [(xp.astype(away, xp.int32), None)]
    below = xp.floor(coordinate)
    part = coordinate - below
    position = xp.astype(below, xp.int32)
    return [(position, 1 - part), (position + 1, part)]


def _sample(x, sizes, coordinates, order, mode, fill):
    """`x` between its elements.

    Args:
        x: (batch, elements, channels), the elements those of an array of `sizes`, row by row.
        coordinates: For each of `sizes` positions (batch or 1, points), floats.

    Returns:
        (batch, points, channels).
    """
    xp = namespace(x, *coordinates)
    whole = xp.zeros_like(x[:, :1, :])
    column = xp.astype(whole, xp.int32)
    out = None
    for corner in itertools.product(*(_corners(xp, c, order) for c in coordinates)):
        index, weight, valid = None, None, None
        for (position, share), n in zip(corner, sizes, strict=True):
            inside = CONTINUED[mode](xp, position, n)
            index = inside if index is None else index * n + inside
            weight = share if weight is None else weight * share
            here = position == inside
            valid = here if valid is None else valid & here
        # Indices for each channel: the standard's take_along_axis does not broadcast.
        value = xp.take_along_axis(x, xp.expand_dims(index, axis=-1) + column, axis=1)
        if mode == "constant":
            value = xp.where(xp.expand_dims(valid, axis=-1), value, xp.full_like(value, fill))
        value = value if weight is None else value * xp.expand_dims(weight, axis=-1)
        out = value if out is None else out + value
    return out


def _continued(inputs, coordinates, order, fill_mode):
    """The arrays of `map_coordinates`, checked."""
    check_among(order, (0, 1), "order")
    check_among(fill_mode, CONTINUED, "fill_mode")
    inputs = lift(inputs)
    coordinates = floating(lift(coordinates))
    if coordinates.ndim < 2 or coordinates.shape[0] != inputs.ndim:
        raise ShapeError(
            f"`coordinates` must be one for each of {inputs.ndim} axes, got shape {tuple(coordinates.shape)}.",
            argument="coordinates",
            expected=f"({inputs.ndim}, ...)",
            got=tuple(coordinates.shape),
        )
    return inputs, coordinates


@op
def map_coordinates(
    inputs: Array, coordinates: Array | Sequence[Array], order: int, fill_mode: str = "constant", fill_value: float = 0
) -> Array:
    """The array between its elements: `out[...] = inputs[coordinates[0, ...], coordinates[1, ...], …]`.

    Args:
        inputs: An array of any shape.
        coordinates: (axes of `inputs`, *points), floats; or a list of arrays (*points).
        order: 0 for the nearest element, 1 for linear interpolation.
        fill_mode: How `inputs` continues outside: "constant" (`fill_value`), "nearest", "wrap", "mirror" or "reflect".

    Returns:
        (*points), in the dtype of `inputs`; integers are rounded.

    Raises:
        ArgumentError, ShapeError: The order or the mode is unknown, or the coordinates are not one for each axis.
    """
    inputs, coordinates = _continued(inputs, coordinates, order, fill_mode)
    xp = namespace(inputs, coordinates)
    flat = xp.reshape(floating(inputs), (1, -1, 1))
    points = [xp.reshape(coordinates[i, ...], (1, -1)) for i in range(inputs.ndim)]
    out = _sample(flat, sizes_of(inputs, *range(inputs.ndim)), points, order, fill_mode, fill_value)
    return rounded(xp.reshape(out, tuple(coordinates.shape[1:])), inputs)


@map_coordinates.shape_rule
def _map_coordinates_shape(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    inputs, coordinates = _continued(inputs, coordinates, order, fill_mode)
    return Spec(coordinates.shape[1:], inputs.dtype)


# -- maps ------------------------------------------------------------------------------------------------------------


def _pixels(like, sizes):
    """The rows and the columns of all pixels, (1, height * width) each, row by row."""
    xp = namespace(like)
    where = {"dtype": like.dtype, "device": device(like)}
    rows, columns = xp.meshgrid(xp.arange(sizes[0], **where), xp.arange(sizes[1], **where), indexing="ij")
    return xp.reshape(rows, (1, -1)), xp.reshape(columns, (1, -1))


def _warp(x, rows, columns, interpolation, fill_mode, fill_value):
    """Images `x`, (batch, height, width, channels), at `rows` and `columns`, (batch or 1, height * width)."""
    sizes, channels = known_sizes(x), x.shape[-1]
    xp = namespace(x)
    flat = xp.reshape(floating(x), (-1, math.prod(sizes), channels))
    out = _sample(flat, sizes, (rows, columns), ORDERS[interpolation], fill_mode, fill_value)
    return rounded(xp.reshape(out, (-1, *sizes, channels)), x)


def _projected(x, transform, interpolation, fill_mode, fill_value):
    """Images `x` seen through the projective maps `transform`, (batch or 1, 8), from output to input."""
    check_among(interpolation, ORDERS, "interpolation")
    check_among(fill_mode, CONTINUED, "fill_mode")
    rows, columns = _pixels(transform, known_sizes(x))
    a0, a1, a2, b0, b1, b2, c0, c1 = (transform[:, i : i + 1] for i in range(8))
    k = c0 * columns + c1 * rows + 1
    return _warp(
        x,
        (b0 * columns + b1 * rows + b2) / k,
        (a0 * columns + a1 * rows + a2) / k,
        *(interpolation, fill_mode, fill_value),
    )


@op
def affine_transform(
    images: Array,
    transform: Array,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Array:
    """Images seen through a map from the points of the output to those of the input.

    Args:
        images: (batch, height, width, channels), or as `data_format` says; or one image without the batch.
        transform: (8,) or (batch, 8), numbers `a0, a1, a2, b0, b1, b2, c0, c1`: the output's (x, y) shows the input's
            `((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)` with `k = c0 x + c1 y + 1`.
        interpolation: "nearest" or "bilinear".
        fill_mode: What lies outside: "constant" (`fill_value`), "nearest", "wrap", "mirror" or "reflect".

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    x, restore = last(images, data_format)
    transform = _beside(x, transform)
    if transform.ndim not in (1, 2) or transform.shape[-1] != 8:
        raise ShapeError(
            f"`transform` must be eight numbers, or a batch of them, got shape {tuple(transform.shape)}.",
            argument="transform",
            expected="(8,) or (batch, 8)",
            got=tuple(transform.shape),
        )
    transform = namespace(transform).reshape(transform, (-1, 8))
    return restore(_projected(x, transform, interpolation, fill_mode, fill_value))


def _beside(x, values):
    """`values` as an array of floats where `x` lives."""
    if hasattr(values, "shape"):
        return cast(lift(values), dtype_of(floating(x)))
    xp = namespace(x)
    return xp.asarray(values, dtype=floating(x).dtype, device=device(x))


@op
def perspective_transform(
    images: Array,
    start_points: Array,
    end_points: Array,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Array:
    """Images seen so that four points come to lie on four others.

    Args:
        images: (batch, height, width, channels), or as `data_format` says; or one image without the batch.
        start_points, end_points: (4, 2) or (batch, 4, 2), pairs (x, y): where the points are, and where they go.
        interpolation: "nearest" or "bilinear".
        fill_value: What lies outside.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    x, restore = last(images, data_format)
    start, end = _beside(x, start_points), _beside(x, end_points)
    for points, argument in (start, "start_points"), (end, "end_points"):
        if tuple(points.shape[-2:]) != (4, 2) or points.ndim not in (2, 3):
            raise ShapeError(
                f"`{argument}` must be four points, or a batch of them, got shape {tuple(points.shape)}.",
                argument=argument,
                expected="(4, 2) or (batch, 4, 2)",
                got=tuple(points.shape),
            )
    dtype = dtype_of(start)
    if dtype in ("float16", "bfloat16"):  # linear algebra has no half precision
        start, end = cast(start, "float32"), cast(end, "float32")
    maps = cast(homography(start, end), dtype)
    return restore(_projected(x, maps, interpolation, "constant", fill_value))


def homography(start, end):
    """The eight numbers, (batch, 8), of the map that takes `end` to `start`, by the linear system of the four pairs."""
    xp = namespace(start, end)
    start, end = xp.reshape(start, (-1, 4, 2)), xp.reshape(end, (-1, 4, 2))
    x, y = end[..., 0], end[..., 1]
    zero, one = xp.zeros_like(x), xp.ones_like(x)
    halves = []
    for i, known in enumerate(((x, y, one, zero, zero, zero), (zero, zero, zero, x, y, one))):
        halves.append(xp.stack([*known, -start[..., i] * x, -start[..., i] * y], axis=-1))
    system = xp.concat(halves, axis=1)
    target = xp.expand_dims(xp.concat([start[..., 0], start[..., 1]], axis=1), axis=-1)
    return xp.squeeze(xp.linalg.solve(system, target), axis=-1)


@op(grows=True)
def elastic_transform(
    images: Array,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: int | Array | None = None,
    data_format: str | None = None,
) -> Array:
    """Images whose pixels are moved by smooth random amounts (Simard et al., ICDAR 2003).

    Args:
        images: (batch, height, width, channels), or as `data_format` says; or one image without the batch.
        alpha: The strength, a number.
        sigma: How smooth: the standard deviation, in pixels, of the Gaussian that blurs the noise; a number.
        interpolation: "nearest" or "bilinear".
        fill_mode: What lies outside: "constant" (`fill_value`), "nearest", "wrap", "mirror" or "reflect".
        seed: A random key, or an integer; each image is moved in its own way.

    Raises:
        MissingKeyError: No seed is given.
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    check_among(interpolation, ORDERS, "interpolation")
    check_among(fill_mode, CONTINUED, "fill_mode")
    if not sigma > 0:
        raise ArgumentError.must_be("sigma", "a positive number", sigma)
    if seed is None:
        raise MissingKeyError(
            "`seed` is missing, and the displacement is random.", argument="seed", fix="pass seed=kf.random.key(0)"
        )
    x, restore = last(images, data_format)
    xp = namespace(x)
    key = seed if hasattr(seed, "shape") else xp.asarray(random.key(seed), device=device(x))
    height, width = known_sizes(x)
    # Both displacements are channels of one image of noise.
    noise = random.normal(key, (x.shape[0], height, width, 2), dtype_of(floating(x))) * sigma
    window = int(6 * sigma) | 1
    moved = gaussian_blur(noise, (window, window), (sigma, sigma), "channels_last") * alpha
    moved = xp.reshape(moved, (-1, height * width, 2))
    rows, columns = _pixels(moved, (height, width))
    return restore(_warp(x, rows + moved[..., 0], columns + moved[..., 1], interpolation, fill_mode, fill_value))
