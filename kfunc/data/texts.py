"""Texts in folders as data sets: `keras.utils.text_dataset_from_directory`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import checks
from ..errors import DataError
from .folders import directories

__all__ = ["text_dataset_from_directory"]


def text_dataset_from_directory(
    directory: Any,
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """The texts in the `.txt` files below a directory as a `kf.data.Dataset`.

    Args:
        directory, labels, label_mode, class_names, shuffle, seed, validation_split, subset, follow_links, verbose: As
            for `image_dataset_from_directory`.
        batch_size: How many texts a batch has; None for one text an item.
        max_length: Only so many characters of each text are kept. Keras counts bytes.
        format: Has no effect: the data set is always a `kf.data.Dataset`.

    Returns:
        A data set of `x` or `(x, y)`: `x` is a NumPy array (batch,) of Python's strings. Its attributes `class_names`
        and `file_paths` have the names of the classes, and the files.

    Raises:
        FileError: The directory does not exist.
        DataError: It has no texts, or a class has none. When items are read: a file is not UTF-8.
        ArgumentError: An argument has a value that is not allowed, or there are not as many labels as files.
    """
    checks.positive("max_length", max_length, none=True)

    def read(path: str) -> str:
        try:
            with open(path, encoding="utf-8", newline="") as file:
                return file.read() if max_length is None else file.read(max_length)
        except UnicodeDecodeError as error:
            raise DataError(
                f"The text {path!r} is not UTF-8: {error.reason} at byte {error.start}.",
                argument="path",
                expected="a text in UTF-8",
                got=path,
                fix="write the file in UTF-8, or remove it",
            ) from error

    return directories(
        read,
        batch_size,
        directory,
        labels,
        label_mode,
        class_names,
        (".txt",),
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
    )
