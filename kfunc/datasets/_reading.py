"""What the data sets have in common: their address, their files, and how they are divided."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from typing import Any

import numpy as np

from .. import checks
from ..errors import ArgumentError, FileError
from ..utils.downloads import get_file
from ._pickled import unpickled

__all__ = ["ADDRESS", "Parts", "cifar", "divided", "npz", "texts", "word_index"]

ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

Parts = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Inputs and labels for training, and for tests."""


def npz(path: str) -> dict[str, Any]:
    """The arrays of an npz file. Arrays of lists of integers are read, too; nothing in the file is run.

    Raises:
        FileError: The file is damaged, or has other objects.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    data = io.BytesIO(file.read())
                version = np.lib.format.read_magic(data)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(data)
                key = name.removesuffix(".npy")
                if not dtype.hasobject:
                    data.seek(0)
                    found[key] = np.lib.format.read_array(data, allow_pickle=False)
                    continue
                array = unpickled(data.read())
                if not (isinstance(array, np.ndarray) and array.shape == shape and array.dtype == object):
                    raise ValueError(f"the array {key!r} is something else than its header says")
                found[key] = array
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(
            f"The file {path} cannot be read: {error}.", got=path, fix="remove it, and it is downloaded again"
        ) from error
    return found


def divided(x: np.ndarray, y: np.ndarray, test_split: float, seed: int | None) -> Parts:
    """Samples in an order that follows from `seed`, as Keras draws it, or as they are; the last part is for tests."""
    if not 0 <= checks.number("test_split", test_split) < 1:
        raise ArgumentError.must_be("test_split", "a number of at least 0 and below 1", test_split)
    order = np.arange(len(x))
    if seed is not None:
        np.random.RandomState(checks.natural("seed", seed)).shuffle(order)
    x, y, cut = x[order], y[order], int(len(x) * (1 - test_split))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def cifar(folder: str, names: list[str], labels: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 (samples, 32, 32, 3) and labels (samples, 1) of this dtype, of files of CIFAR's form for Python.

    Raises:
        FileError: A file is damaged.
    """
    x, y = [], []
    for name in names:
        path = f"{folder}/{name}"
        try:
            with open(path, "rb") as file:
                found = unpickled(file.read())
            x.append(found[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            y.append(np.asarray(found[labels.encode()], dtype).reshape(-1, 1))
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise FileError(f"The file {path} cannot be read: {error}.", got=path, fix="remove its folder") from error
    return np.concatenate(x), np.concatenate(y)


def texts(
    x: np.ndarray,
    y: np.ndarray,
    num_words: int | None,
    skip_top: int,
    maxlen: int | None,
    start_char: int | None,
    oov_char: int | None,
    index_from: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Texts as lists of the numbers of their words, an array of objects, as `imdb.load_data` describes them."""
    for name, value in (("num_words", num_words), ("maxlen", maxlen)):
        checks.positive(name, value, none=True)
    for name, value in (("skip_top", skip_top), ("index_from", index_from)):
        checks.natural(name, value)
    begun = [] if start_char is None else [start_char]
    lists = [[*begun, *(word + index_from for word in words)] for words in x]
    if maxlen is not None:
        kept = [i for i, words in enumerate(lists) if len(words) < maxlen]
        if not kept:
            raise ArgumentError.must_be("maxlen", "longer than the shortest text", maxlen)
        lists, y = [lists[i] for i in kept], y[kept]
    most = 1 << 62 if num_words is None else num_words
    if oov_char is not None:
        lists = [[w if skip_top <= w < most else oov_char for w in words] for words in lists]
    else:
        lists = [[w for w in words if skip_top <= w < most] for words in lists]
    out = np.empty(len(lists), object)  # `np.array(lists)` would have two axes if all had one length
    out[:] = lists
    return out, y


def word_index(path: str, name: str, digest: str) -> dict[str, int]:
    """The number of each word."""
    with open(get_file(path, ADDRESS + name, file_hash=digest), encoding="utf-8") as file:
        return json.load(file)
