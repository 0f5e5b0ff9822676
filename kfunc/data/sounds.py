"""Sounds in folders as data sets: `keras.utils.audio_dataset_from_directory`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import checks
from ..errors import DataError, UnsupportedError
from .folders import directories

__all__ = ["audio_dataset_from_directory"]

_OTHERS = (".aif", ".aiff", ".flac", ".mp3", ".ogg", ".opus")
"""Endings of the files that the package soundfile reads."""


def _soundfile() -> Any:
    """The package soundfile; None if it is not installed."""
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: its library for C is not there
        return None
    return soundfile


def _read(path: str) -> tuple[np.ndarray, int]:
    """The samples of a file, float32 (time, channels) from -1 to 1, and how many there are in a second.

    Raises:
        DataError: The file is damaged, or of a kind that nothing here reads.
    """
    import wave  # not above: `import kfunc` is quicker so

    try:
        if path.lower().endswith(".wav"):
            try:
                return _wav(path)
            except wave.Error:  # other numbers than integers, or channels in another order than usual
                if (soundfile := _soundfile()) is None:
                    raise
        else:
            soundfile = _soundfile()
        return soundfile.read(path, dtype="float32", always_2d=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise DataError(
            f"The sound {path!r} cannot be read: {type(error).__name__}: {error}.",
            argument="path",
            expected="a WAV file of integers of 8 to 32 bits, or what the package soundfile reads",
            got=path,
            fix="remove the file or replace it; or pip install soundfile, which reads more kinds of files",
        ) from error


def _wav(path: str) -> tuple[np.ndarray, int]:
    import wave

    with wave.open(path, "rb") as file:
        channels, width, rate, count = file.getparams()[:4]
        raw = file.readframes(count)
    if len(raw) != count * channels * width:
        raise EOFError(f"it has {len(raw) // (channels * width)} of {count} frames")
    if width == 3:  # as the upper three bytes of 32 bits
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        numbers = wide.view("<i4")[:, 0]
    elif width == 1:
        numbers = np.frombuffer(raw, np.uint8).astype(np.int16) - 128
    else:
        numbers = np.frombuffer(raw, {2: "<i2", 4: "<i4"}[width])
    largest = 2.0 ** (8 * numbers.dtype.itemsize - 1) if width > 1 else 128.0
    return (numbers.reshape(-1, channels) / largest).astype(np.float32), rate


def _resampled(x: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Sound (time, channels) at another rate, by a polyphase filter.

    Raises:
        UnsupportedError: SciPy is not installed.
    """
    if rate == wanted:
        return x
    try:
        from scipy import signal
    except ImportError as error:
        raise UnsupportedError(
            f"A sound of {rate} samples a second cannot be brought to {wanted} without SciPy.",
            argument="sampling_rate",
            expected=f"{rate}, or the package scipy",
            got=wanted,
            fix="pip install scipy",
        ) from error
    divisor = int(np.gcd(rate, wanted))
    return signal.resample_poly(x, wanted // divisor, rate // divisor, axis=0).astype(np.float32)


def audio_dataset_from_directory(
    directory: Any,
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """The sounds below a directory as a `kf.data.Dataset`, which threads decode while a network trains.

    WAV files of integers of 8, 16, 24 or 32 bits are read by Python's own library. Where the package soundfile is
    installed, FLAC, OGG, MP3 and AIFF files are read, too.

    Args:
        directory, labels, label_mode, class_names, shuffle, seed, validation_split, subset, follow_links, verbose: As
            for `image_dataset_from_directory`.
        batch_size: How many sounds a batch has; None for one sound an item, without an axis for the batch.
        sampling_rate: How many samples a second has in the result; None leaves each sound as it is.
        output_sequence_length: The length of all sounds in samples: longer ones are cut, and shorter ones filled up
            with zeros. None: the shorter sounds of a batch are filled up to the longest.
        ragged: Must be False: there are no ragged arrays.

    Returns:
        A data set of `x` or `(x, y)`: `x` float32 (batch, time, channels) from -1 to 1. Its attributes `class_names`
        and `file_paths` have the names of the classes, and the files.

    Raises:
        FileError: The directory does not exist.
        DataError: It has no sounds, or a class has none. When items are read: a file is damaged, or ends early.
        ArgumentError: An argument has a value that is not allowed, or there are not as many labels as files.
        UnsupportedError: Sounds are to have another rate, and SciPy is not installed; or `ragged` is True.
    """
    checks.positive("sampling_rate", sampling_rate, none=True)
    checks.positive("output_sequence_length", output_sequence_length, none=True)
    if checks.boolean("ragged", ragged):
        raise UnsupportedError(
            "`ragged` is True, and there are no ragged arrays.",
            argument="ragged",
            expected="False",
            got=True,
            fix="short sounds of a batch are filled up with zeros; or pass output_sequence_length",
        )

    def read(path: str) -> np.ndarray:
        x, rate = _read(path)
        x = x if sampling_rate is None else _resampled(x, rate, sampling_rate)
        if output_sequence_length is None:
            return x
        x = x[:output_sequence_length]
        return np.pad(x, ((0, output_sequence_length - len(x)), (0, 0)))

    return directories(
        read,
        batch_size,
        directory,
        labels,
        label_mode,
        class_names,
        (".wav", *_OTHERS) if _soundfile() is not None else (".wav",),
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
        padded=output_sequence_length is None,
    )
