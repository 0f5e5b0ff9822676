"""Windows of a time series, as a data set: `keras.utils.timeseries_dataset_from_array`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..arrays import to_numpy
from ..errors import ArgumentError
from .dataset import Dataset

__all__ = ["timeseries_dataset_from_array"]


class _Windows(Dataset):
    """The windows that begin at `starts`, and the targets with the numbers `starts`."""

    def __init__(self, data: Any, targets: Any, starts: np.ndarray, within: np.ndarray, batch_size: int | None):
        super().__init__()
        self._data, self._targets, self._within = data, targets, within
        self._starts = starts
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._starts) // (self._batch_size or 1))

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):  # by which Python ends a loop over the batches
            raise IndexError(f"batch {index} of {len(self)}")
        size = self._batch_size
        starts = self._starts[index] if size is None else self._starts[index * size : (index + 1) * size]
        x = self._data[starts[..., None] + self._within]
        return x if self._targets is None else (x, self._targets[starts])


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Dataset:
    """Batches of windows of a time series, each window with its target.

    A window has the moments `i`, `i + sampling_rate` and so on; its target is `targets[i]`. Windows are cut when they
    are read, so that the series lies in memory once. `fit(shuffle=True)` reads the batches in another order in each
    epoch; Keras makes a `tf.data.Dataset`, whose order is always the same.

    Args:
        data: The series (moments, ...): an array of any backend, or what NumPy makes an array of.
        targets: (windows, ...), the target of the window that begins at each moment; None for windows alone.
        sequence_length: How many moments a window has.
        sequence_stride: How many moments after the one before a window begins.
        sampling_rate: How many moments lie between the neighbours in a window.
        batch_size: How many windows a batch has; None for one window an item, without an axis for the batch.
        shuffle: Whether windows come in a random order, so that neighbours are not in one batch.
        seed: For that order; None is the seed 0, since there is no global seed.
        start_index: The first moment to be read; by default 0.
        end_index: The moment before which reading ends; by default the end.

    Returns:
        A `kf.data.Dataset` of batches `x` (batch, sequence_length, ...), or `(x, y)` where there are targets.

    Raises:
        ArgumentError: The series is shorter than a window, or an argument has a value that is not allowed.
        ShapeError: The series or the targets are one number.
    """
    for name, value in [("sequence_length", sequence_length), ("sequence_stride", sequence_stride)]:
        checks.positive(name, value)
    checks.positive("sampling_rate", sampling_rate)
    checks.positive("batch_size", batch_size, none=True)
    checks.boolean("shuffle", shuffle)
    checks.natural("seed", seed, none=True)
    checks.integer("start_index", start_index, none=True)
    checks.integer("end_index", end_index, none=True)
    series = to_numpy(data)
    checks.rank("data", series, 1, least=True)
    # As a slice does, indices count from the end if they are negative.
    start, end, _ = slice(start_index, end_index).indices(len(series))
    series = series[start:end]
    if targets is not None:
        targets = to_numpy(targets)
        checks.rank("targets", targets, 1, least=True)
        targets = targets[start:end]
    count = len(series) - (sequence_length - 1) * sampling_rate
    if count < 1:
        raise ArgumentError(
            f"`data` has {len(series)} moments from `start_index` to `end_index`, and a window has "
            f"{(sequence_length - 1) * sampling_rate + 1}.",
            argument="sequence_length",
            expected="windows that are not longer than the series",
            got=f"sequence_length={sequence_length}, sampling_rate={sampling_rate}",
        )
    starts = np.arange(0, count if targets is None else min(count, len(targets)), sequence_stride)
    if shuffle:
        np.random.default_rng(seed or 0).shuffle(starts)
    return _Windows(series, targets, starts, np.arange(sequence_length) * sampling_rate, batch_size)
