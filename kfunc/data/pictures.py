"""Pictures in folders as data sets, by Pillow: `keras.utils.image_dataset_from_directory`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import checks, ops
from ..errors import ArgumentError, DataError, MissingPackageError
from .folders import directories

__all__ = ["MODES", "decoded", "image_dataset_from_directory", "opened", "pillow"]

MODES: dict[str, tuple[str, int]] = {"rgb": ("RGB", 3), "rgba": ("RGBA", 4), "grayscale": ("L", 1)}
"""Pillow's name for each `color_mode`, and the number of channels."""

_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


def pillow() -> Any:
    """Pillow's module `Image`.

    Raises:
        MissingPackageError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError(
            "Pillow is not installed; it reads and writes pictures.",
            expected="the package pillow",
            got="none",
            fix='pip install "kfunc[image]"',
        ) from error
    return Image


def opened(path: Any, color_mode: str) -> Any:
    """The picture in a file, as Pillow's image of this `color_mode`, read whole.

    Raises:
        DataError: The file is not a picture, or damaged.
    """
    image = pillow()
    try:
        with image.open(path) as found:
            found.load()
            if found.mode.startswith("I") and color_mode != "I":  # 16 bits: Pillow would cut them off at 255
                found = image.fromarray((np.asarray(found) >> 8).astype(np.uint8))
            mode = MODES[color_mode][0]
            return found if found.mode == mode else found.convert(mode)
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged files raise anything: OSError, SyntaxError, ValueError, struct.error, ...
        raise DataError(
            f"The picture {str(path)!r} cannot be read: {type(error).__name__}: {error}.",
            argument="path",
            expected="a picture that Pillow reads",
            got=str(path),
            fix="remove the file, or replace it",
        ) from error


def decoded(path: Any, color_mode: str) -> np.ndarray:
    """The pixels of a picture, uint8 (height, width, channels)."""
    pixels = np.asarray(opened(path, color_mode))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def image_dataset_from_directory(
    directory: Any,
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: int | Sequence[int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """The pictures below a directory as a `kf.data.Dataset`, which threads decode while a network trains.

    The arguments, the classes, and the files of each `subset` are Keras's; pictures are decoded by Pillow, so that
    TensorFlow is not needed.

    Args:
        directory: Has a folder for each class. Without `labels="inferred"`, all pictures below it are read.
        labels: "inferred": the names of the folders, sorted, are the classes. Or a class for each file, integers in the
            order of the files' paths. None: there are no labels.
        label_mode: How labels look: "int", int32 (batch,); "binary", float32 (batch, 1), for two classes;
            "categorical", float32 (batch, classes); None for none.
        class_names: The folders that are read, in the order of their numbers.
        color_mode: "rgb", "rgba" or "grayscale": 3, 4 or 1 channels.
        batch_size: How many pictures a batch has; None for one picture an item, without an axis for the batch.
        image_size: (height, width) of the result, or one number for both.
        shuffle: Whether files come in random order, another one in each epoch.
        seed: For that order, and for the division into training and validation; None is 0.
        validation_split: The part of the files that is for validation, between 0 and 1.
        subset: Which files: "training", "validation", or "both" for a list of two data sets.
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        follow_links: Whether links to folders are followed.
        crop_to_aspect_ratio: Whether to cut the pictures to the proportions of `image_size` first.
        pad_to_aspect_ratio: Whether to frame them with zeros to those proportions first.
        data_format: "channels_last", the default, or "channels_first".
        format: Has no effect: the data set is always a `kf.data.Dataset`.
        verbose: Whether to print how many files there are.

    Returns:
        A data set of `x` or `(x, y)`: `x` float32 (batch, height, width, channels) from 0 to 255. Its attributes
        `class_names` and `file_paths` have the names of the classes, and the files.

    Raises:
        FileError: The directory does not exist.
        DataError: It has no pictures, or a class has none. When items are read: a picture is damaged.
        ArgumentError: An argument has a value that is not allowed, or there are not as many labels as files.
        MissingPackageError: Pillow is not installed.
    """
    checks.one_of("color_mode", color_mode, MODES)
    height, width = checks.per_axis("image_size", image_size, 2)
    checks.one_of("interpolation", interpolation, _INTERPOLATIONS)
    checks.boolean("crop_to_aspect_ratio", crop_to_aspect_ratio)
    checks.boolean("pad_to_aspect_ratio", pad_to_aspect_ratio)
    checks.one_of("data_format", data_format, ("channels_last", "channels_first", None))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError(
            "`crop_to_aspect_ratio` and `pad_to_aspect_ratio` are both set, and only one of them can be.",
            argument="pad_to_aspect_ratio",
            expected="one of crop_to_aspect_ratio and pad_to_aspect_ratio at most",
            got="both",
        )
    pillow()

    def read(path: str) -> np.ndarray:
        pixels = decoded(path, color_mode)
        out: Any = ops.image.resize(
            pixels.astype(np.float32),
            (height, width),
            interpolation,
            crop_to_aspect_ratio=crop_to_aspect_ratio,
            pad_to_aspect_ratio=pad_to_aspect_ratio,
            data_format="channels_last",
        )
        return np.moveaxis(out, -1, 0) if data_format == "channels_first" else out

    return directories(
        read,
        batch_size,
        directory,
        labels,
        label_mode,
        class_names,
        _ENDINGS,
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
    )
