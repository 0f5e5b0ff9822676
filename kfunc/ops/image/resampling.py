"""Images at other sizes: along each axis a matrix of weights, as the axes are independent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ...arrays import device, namespace
from ...errors import ArgumentError, ShapeError
from ...tracing.spec import Spec
from ...typing import Array
from .._axes import normal_axis
from .._op import op
from .._promotion import cast, dtype_of, floating, lift
from ..creation import saturate_cast
from ..manipulation import pad
from ._layout import check_among, known_sizes, last

__all__ = ["resize", "scale_and_translate"]


# -- kernels: the weight of a sample at a distance, in samples ---------------------------------------------------------


def _triangle(xp, x):
    return xp.maximum(1 - x, xp.zeros_like(x))


def _cubic(xp, x):
    """Keys, IEEE ASSP 29, 1981, with a = -1/2; by its factors, as sums of its powers would lose digits near 2."""
    near = (1 - x) * (1 + x - 1.5 * (x * x))
    far = -0.5 * (x - 1) * ((x - 2) * (x - 2))
    return xp.where(x < 1, near, xp.where(x < 2, far, xp.zeros_like(x)))


def _lanczos(radius):
    def kernel(xp, x):
        """Duchon, Journal of Applied Meteorology 18, 1979."""
        inside = (x > 0) & (x < radius)
        angle = math.pi * xp.where(inside, x, xp.full_like(x, 0.5))
        value = radius * xp.sin(angle) * xp.sin(angle / radius) / (angle * angle)
        return xp.where(inside, value, xp.where(x == 0, xp.ones_like(x), xp.zeros_like(x)))

    return kernel


KERNELS: dict[str, Callable[[Any, Array], Array]] = {
    **dict.fromkeys(("linear", "bilinear", "trilinear", "triangle"), _triangle),
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), _cubic),
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}


def _distances(like, n, size, scale, translation):
    """How far output `i` of `size` lies from each of `n` inputs, (size, n).

    Also whether it lies over one of them, (size, 1), or None if all do.
    """
    xp, where = namespace(like), {"dtype": like.dtype, "device": device(like)}
    if isinstance(scale, float) and isinstance(translation, float):
        # Python's numbers have 64 bits. Those of `like` may have half of them, and would round a place of 200 to 2e-5.
        places = [(i + 0.5 - translation) / scale - 0.5 for i in range(size)]
        below = [math.floor(at) for at in places]
        above = xp.asarray([[at - whole] for at, whole in zip(places, below, strict=True)], **where)
        steps = xp.asarray([[float(whole)] for whole in below], **where) - xp.arange(n, **where)
        over = [[-0.5 <= at <= n - 0.5] for at in places]
        inside = None if all(o for (o,) in over) else xp.asarray(over, dtype=xp.bool, device=device(like))
        return xp.abs(above + steps), inside
    at = xp.expand_dims((xp.arange(size, **where) + 0.5 - translation) / scale - 0.5, axis=1)
    return xp.abs(at - xp.arange(n, **where)), (at >= -0.5) & (at <= n - 0.5)


def _weights(like, n, size, scale, translation, method, antialias):
    """The matrix (size, n) that resamples `n` numbers: output `i` lies over input `(i + 1/2 - translation) / scale`.

    Where samples are dropped, `antialias` widens the kernel to cover them all. An output outside has no weights.
    """
    xp = namespace(like)
    distance, inside = _distances(like, n, size, scale, translation)
    if antialias:
        wide = 1 / scale
        distance = distance / (max(wide, 1.0) if isinstance(scale, float) else xp.maximum(wide, xp.ones_like(wide)))
    weights = KERNELS[method](xp, distance)
    total = xp.sum(weights, axis=1, keepdims=True)
    # Where the total is almost 0, the output lies outside.
    shared = xp.abs(total) > 1000 * xp.finfo(like.dtype).eps
    weights = xp.where(shared, weights / xp.where(shared, total, xp.ones_like(total)), xp.zeros_like(weights))
    return weights if inside is None else xp.where(inside, weights, xp.zeros_like(weights))


def _along(x, axis, matrix):
    """`x` with its `axis` mapped by `matrix`, (size, n)."""
    xp = namespace(x, matrix)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    rows = -1 if None in before else math.prod(before)  # -1 cannot be found where another size is 0
    flat = xp.reshape(x, (rows, x.shape[axis], math.prod(after)))
    out = xp.matmul(matrix, flat)
    return xp.reshape(out, (*(-1 if n is None else n for n in before), matrix.shape[0], *after))


@op(single=True)
def scale_and_translate(
    images: Array,
    output_shape: Sequence[int],
    scale: Array,
    translation: Array,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Array:
    """Images scaled, then moved: a point at `p` goes to `p * scale + translation`; pixel centres lie at halves.

    Args:
        images: An array of any shape; integers become float32.
        output_shape: The shape of the result.
        scale, translation: (dims,), numbers for each of `spatial_dims`.
        spatial_dims: The axes that are resampled.
        method: "linear", "cubic", "lanczos3" or "lanczos5", or Keras's other names of them.
        antialias: Whether to average where samples are dropped.

    Raises:
        ArgumentError: The method is unknown.
    """
    check_among(method, KERNELS, "method")
    images = floating(images)
    scale, translation = (
        cast(lift(v), dtype_of(images)) if hasattr(v, "shape") else [float(number) for number in v]
        for v in (scale, translation)
    )
    for i, axis in enumerate(spatial_dims):
        axis = normal_axis(axis, images.ndim, "spatial_dims")
        n, size = images.shape[axis], output_shape[axis]
        images = _along(images, axis, _weights(images, n, size, scale[i], translation[i], method, antialias))
    return images


def _nearest(x, axis, size):
    xp = namespace(x)
    n = x.shape[axis]
    rows = [((2 * i + 1) * n) // (2 * size) for i in range(size)]
    return xp.take(x, xp.asarray(rows, dtype=xp.int32, device=device(x)), axis=axis)


def _new_size(size, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio, fill_mode):
    """The size that `resize` makes, after a check of its arguments."""
    check_among(interpolation, ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"), "interpolation")
    check_among(fill_mode, ("constant",), "fill_mode")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError(
            "`crop_to_aspect_ratio` and `pad_to_aspect_ratio` are both set, and only one of them can be.",
            argument="pad_to_aspect_ratio",
            expected="one of crop_to_aspect_ratio and pad_to_aspect_ratio at most",
            got="both",
        )
    size = tuple(size)
    if len(size) != 2 or min(size) < 1:
        raise ShapeError.must_be("size", "two positive integers, (height, width)", size)
    return size


def resized(
    resample,
    images,
    size,
    interpolation="bilinear",
    antialias=False,
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    fill_mode="constant",
    fill_value=0.0,
    data_format=None,
):
    """`resize`, where `resample(x, axis, size, interpolation, antialias)` brings an axis to its size."""
    size = _new_size(size, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio, fill_mode)
    images = lift(images)
    x, restore = last(images, data_format)
    height, width = known_sizes(x)
    if not height or not width:
        raise ShapeError(
            f"`images` have no pixels: they have shape {tuple(images.shape)}.",
            argument="images",
            expected="a height and a width of 1 or more",
            got=tuple(images.shape),
        )
    # The height that belongs to this width, and the width to this height.
    fitting = int(width * size[0] / size[1]), int(height * size[1] / size[0])
    if crop_to_aspect_ratio:
        rows, columns = max(min(height, fitting[0]), 1), max(min(width, fitting[1]), 1)
        top, left = (height - rows) // 2, (width - columns) // 2
        x = x[:, top : top + rows, left : left + columns, :]
    elif pad_to_aspect_ratio:
        top, left = (max(n, m) - n >> 1 for n, m in zip((height, width), fitting, strict=True))
        x = pad(x, ((0, 0), (top, top), (left, left), (0, 0)), constant_values=fill_value)
    x = x if interpolation == "nearest" else floating(x)
    for axis, n in (1, size[0]), (2, size[1]):
        if interpolation == "nearest":
            x = _nearest(x, axis, n)
        elif x.shape[axis] != n:
            x = resample(x, axis, n, interpolation, antialias)
    own = dtype_of(images)
    return restore(x if dtype_of(x) == own else saturate_cast(namespace(x).round(x), own))


def resampling_matrix(like, n, size, method, antialias):
    """The weights (size, n) by which `resize` makes `size` numbers of `n`."""
    return _weights(like, n, size, size / n, 0.0, method, antialias)


def _resample(x, axis, size, method, antialias):
    return _along(x, axis, resampling_matrix(x, x.shape[axis], size, method, antialias))


@op(single=True)
def resize(
    images: Array,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Array:
    """Images of another size.

    Args:
        images: (batch, height, width, channels), or as `data_format` says; or one image without the batch.
        size: The new (height, width).
        interpolation: "nearest", "bilinear", "bicubic", "lanczos3" or "lanczos5".
        antialias: Whether to average where pixels are dropped.
        crop_to_aspect_ratio: Whether to cut the image to the new proportions first.
        pad_to_aspect_ratio: Whether to frame it to the new proportions first, with `fill_value`.

    Returns:
        (batch, *size, channels), in the dtype of the images; where that is integers, the result is rounded.

    Raises:
        ArgumentError, ShapeError: The arguments do not fit together.
    """
    return resized(
        _resample,
        images,
        size,
        interpolation,
        antialias,
        crop_to_aspect_ratio,
        pad_to_aspect_ratio,
        fill_mode,
        fill_value,
        data_format,
    )


@resize.shape_rule
def _resize_shape(
    images,
    size,
    interpolation="bilinear",
    antialias=False,
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    fill_mode="constant",
    fill_value=0.0,
    data_format=None,
):
    size = _new_size(size, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio, fill_mode)
    x, restore = last(images, data_format)
    return restore(Spec((x.shape[0], *size, x.shape[-1]), x.dtype))
