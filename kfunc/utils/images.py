"""Pictures as NumPy arrays and in files, by Pillow: the functions of `keras.utils`."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from .. import checks
from ..arrays import to_numpy
from ..data.pictures import MODES, opened, pillow
from ..errors import ArgumentError, ShapeError

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img"]

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
_FORMATS = ("channels_last", "channels_first", None)


def load_img(
    path: str | bytes | os.PathLike[str] | io.BytesIO,
    color_mode: str = "rgb",
    target_size: Sequence[int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """The picture in a file, as an image of Pillow.

    Args:
        path: The file, or its bytes in a BytesIO.
        color_mode: "rgb", "rgba" or "grayscale".
        target_size: (height, width) of the result; None leaves its size.
        interpolation: "nearest", "bilinear", "bicubic", "hamming", "box" or "lanczos", as Pillow has them.
        keep_aspect_ratio: Whether to cut the picture to the proportions of `target_size` first.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file is not a picture, or damaged.
        ArgumentError: An argument has a value that is not allowed.
        MissingPackageError: Pillow is not installed.
    """
    checks.one_of("color_mode", color_mode, MODES)
    checks.one_of("interpolation", interpolation, _INTERPOLATIONS)
    checks.boolean("keep_aspect_ratio", keep_aspect_ratio)
    if not isinstance(path, str | bytes | os.PathLike | io.BytesIO):
        raise ArgumentError.must_be("path", "a path or an io.BytesIO", path)
    found = opened(path, color_mode)
    if target_size is None:
        return found
    height, width = checks.per_axis("target_size", target_size, 2)
    resample, box = getattr(pillow().Resampling, interpolation.upper()), None
    if keep_aspect_ratio:
        w, h = found.size
        rows, columns = min(h, w * height // width), min(w, h * width // height)
        top, left = (h - rows) // 2, (w - columns) // 2
        box = left, top, left + columns, top + rows
    return found if found.size == (width, height) else found.resize((width, height), resample, box=box)


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray:
    """An image of Pillow as an array (height, width, channels), or (channels, height, width) for "channels_first".

    Args:
        img: The image.
        data_format: "channels_last", the default, or "channels_first".
        dtype: That of the array; by default float32, from 0 to 255.

    Raises:
        ShapeError: `img` has neither 2 nor 3 axes.
    """
    checks.one_of("data_format", data_format, _FORMATS)
    x = np.asarray(img, "float32" if dtype is None else dtype)
    if x.ndim not in (2, 3):
        raise ShapeError.must_be("img", "an image with 2 or 3 axes", x.shape)
    x = x[..., None] if x.ndim == 2 else x
    return np.moveaxis(x, -1, 0) if data_format == "channels_first" else x


def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Any:
    """An array of one picture, as an image of Pillow: grey, RGB or RGBA, as it has 1, 3 or 4 channels.

    Args:
        x: (height, width, channels) of any backend; or (channels, height, width).
        data_format: "channels_last", the default, or "channels_first".
        scale: Whether the smallest number becomes 0 and the largest 255. Else the numbers are from 0 to 255 already.
        dtype: In which the scaling is computed; by default float32.

    Raises:
        ShapeError: `x` has not 3 axes, or not 1, 3 or 4 channels.
        MissingPackageError: Pillow is not installed.
    """
    checks.one_of("data_format", data_format, _FORMATS)
    image, x = pillow(), to_numpy(x).astype("float32" if dtype is None else dtype)
    x = np.moveaxis(x, 0, -1) if data_format == "channels_first" and x.ndim == 3 else x
    if x.ndim != 3 or x.shape[-1] not in (1, 3, 4):
        raise ShapeError.must_be("x", "one picture with 1, 3 or 4 channels", x.shape)
    if scale and x.size:
        x = x - x.min()
        x = x / (x.max() or 1) * 255
    if x.shape[-1] == 1:
        return image.fromarray(x[..., 0].astype("int32" if x.size and x.max() > 255 else "uint8"))
    return image.fromarray(x.astype("uint8"))


def save_img(
    path: str | os.PathLike[str] | IO[bytes],
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array of one picture to a file. A JPEG has no alpha channel: that is left out there.

    Args:
        path: The file, or an open one.
        x, data_format, scale: As for `array_to_img`.
        file_format: "png", "jpeg" and so on; by default as the name of the file ends.
        kwargs: Options of Pillow's `Image.save`, such as `quality=95`.

    Raises:
        ShapeError, MissingPackageError: As `array_to_img`.
    """
    found = array_to_img(x, data_format, scale)
    if file_format is None and isinstance(path, str | os.PathLike):
        file_format = os.path.splitext(os.fspath(path))[1][1:]
    file_format = "jpeg" if file_format and file_format.lower() == "jpg" else file_format
    if file_format and file_format.lower() == "jpeg" and found.mode == "RGBA":
        found = found.convert("RGB")
    found.save(path, format=file_format, **kwargs)
