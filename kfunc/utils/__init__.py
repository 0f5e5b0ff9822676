"""The names of `keras.utils` that are here; the error about another one says where it is, or why it is not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from .. import checks, ops
from ..arrays import asarray, backend_of, dtype_name, kind_of, to_numpy
from ..data import Dataset as PyDataset
from ..data.pictures import image_dataset_from_directory
from ..data.sounds import audio_dataset_from_directory
from ..data.splitting import split_dataset
from ..data.texts import text_dataset_from_directory
from ..data.windows import timeseries_dataset_from_array
from ..elsewhere import looked_up
from ..errors import ArgumentError, IndexingError, ShapeError
from . import bounding_boxes as bounding_boxes
from .downloads import get_file
from .drawing import model_to_dot, plot_model
from .images import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "PyDataset",
    "Sequence",
    "array_to_img",
    "audio_dataset_from_directory",
    "bounding_boxes",
    "get_file",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "model_to_dot",
    "normalize",
    "pad_sequences",
    "plot_model",
    "save_img",
    "split_dataset",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
]

__getattr__ = looked_up(__name__)

Sequence = PyDataset


def pad_sequences(
    sequences: Collection[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float | str = 0.0,
) -> np.ndarray:
    """Sequences of different lengths as one array: filled up with `value`, and cut to `maxlen`.

    `pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)` is `[[0, 1], [2, 3], [5, 6]]`. Numbers are cast to `dtype` as
    NumPy casts them: floats need a dtype of floats, or lose their fractions.

    Args:
        sequences: A list of sequences: lists, or arrays of any backend of shape (time, ...). All have the same axes
            after the first.
        maxlen: The length of all sequences in the result; None is that of the longest one.
        dtype: The dtype of the result; `object` for strings of different lengths.
        padding: Whether `value` stands before a short sequence, "pre", or after it, "post".
        truncating: Whether a long sequence loses its beginning, "pre", or its end, "post".
        value: What short sequences are filled up with.

    Returns:
        A NumPy array of shape (len(sequences), maxlen, ...).

    Raises:
        ArgumentError: `sequences` is no list of sequences, or another argument has a value that is not allowed.
        ShapeError: The axes after the first differ between sequences.
    """
    maxlen = checks.natural("maxlen", maxlen, none=True)
    checks.one_of("padding", padding, ("pre", "post"))
    checks.one_of("truncating", truncating, ("pre", "post"))
    if not hasattr(sequences, "__len__"):
        raise ArgumentError.must_be("sequences", "a list of sequences", sequences, fix="pass list(sequences)")
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ArgumentError(
            f"`value` is the string {value!r}, but `dtype` is {np.dtype(dtype)}.",
            argument="dtype",
            expected="a dtype of strings",
            got=repr(dtype),
            fix="pass dtype=object for strings of different lengths",
        )
    arrays = [_as_numpy(f"sequences[{index}]", sequence, dtype) for index, sequence in enumerate(sequences)]
    longest = max(map(len, arrays), default=0)
    rest, first = next(((array.shape[1:], i) for i, array in enumerate(arrays) if len(array)), ((), 0))
    padded = np.full((len(arrays), longest if maxlen is None else maxlen, *rest), value, dtype)
    for index, (row, array) in enumerate(zip(padded, arrays, strict=True)):
        if len(array) == 0:
            continue
        if array.shape[1:] != rest:
            raise ShapeError(
                f"`sequences` must have the same axes after the first, got {rest} in sequence {first} and "
                f"{array.shape[1:]} in sequence {index}.",
                argument="sequences",
                expected=f"elements of shape {rest}",
                got=f"elements of shape {array.shape[1:]}",
            )
        length = min(len(array), len(row))
        kept = array[len(array) - length :] if truncating == "pre" else array[:length]
        row[slice(len(row) - length, None) if padding == "pre" else slice(length)] = kept
    return padded


def _as_numpy(argument: str, sequence: Any, dtype: Any) -> np.ndarray:
    """A NumPy array of at least one axis; an empty one has just one."""
    try:
        if len(sequence) == 0:
            return np.empty((0,), dtype)
        array = np.asarray(sequence if kind_of(type(sequence)) is None else to_numpy(sequence), dtype)
        len(array)
    except (TypeError, ValueError) as error:
        raise ArgumentError.must_be(argument, f"a sequence of values of dtype {np.dtype(dtype)}", sequence) from error
    return array


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """Class numbers as vectors that are 1 at the class and else 0: targets of `categorical_crossentropy`.

    Unlike Keras's, it refuses negative numbers, which Keras counts from the last class, and fractions, which it rounds.

    Args:
        x: Class numbers (...), or (..., 1): an array of any backend, or nested lists of integers.
        num_classes: The length of a vector; by default the largest number in `x`, plus one. Needed while a function is
            compiled, when the numbers are not known. Then a number out of range gives a vector of zeros.

    Returns:
        (..., num_classes), float32, on the backend of `x`.

    Raises:
        IndexingError: A number is not in [0, num_classes).
        ArgumentError: `x` has no integers, or `num_classes` is not given and cannot be found.
    """
    checks.positive("num_classes", num_classes, none=True)
    x = asarray(x)
    if len(x.shape) > 1 and x.shape[-1] == 1:
        x = ops.squeeze(x, -1)
    if not backend_of(x).is_traced(x):
        classes = to_numpy(x)
        if classes.dtype.kind not in "iubf" or (classes != classes // 1).any():
            raise ArgumentError.must_be("x", "class numbers, which are integers", classes)
        if num_classes is None and classes.size:
            num_classes = max(int(classes.max()) + 1, 1)
        outside = classes[(classes < 0) | (classes >= num_classes)] if classes.size else classes
        if outside.size:
            raise IndexingError(
                f"`x` has the class number {outside[0]:g}, which is not in [0, {num_classes}).",
                argument="x",
                expected=f"integers from 0 to {num_classes} - 1",
                got=f"{outside[0]:g}",
                fix="number the classes from 0, or give a larger num_classes",
            )
    if num_classes is None:
        raise ArgumentError(
            "`num_classes` is missing, and `x` has no numbers to find it from.",
            argument="num_classes",
            expected="a positive integer",
            fix="say how many classes there are",
        )
    return ops.one_hot(ops.cast(x, "int32") if "float" in dtype_name(x.dtype) else x, num_classes)


def normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    """`x` divided by its norm along `axis`; vectors of length 0 stay.

    Args:
        x: An array of any backend, or nested lists of numbers.
        axis: The axis of the vectors.
        order: Of the norm, as `kf.ops.norm` takes it.

    Returns:
        An array of the shape of `x`.
    """
    return ops.normalize(asarray(x), axis=axis, order=order)
