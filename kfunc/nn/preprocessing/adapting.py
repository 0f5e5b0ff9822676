"""`adapt`: reads data once, batch by batch, so that a layer can learn from data of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import checks
from ...arrays import kind_of, to_numpy
from ...data import frames
from ...data.batches import has_strings
from ...data.sources import source
from ...errors import ArgumentError, DataError
from .host import is_strings

__all__ = ["Moments", "Summary", "batches"]


def batches(data: Any, steps: int | None, argument: str = "data") -> Iterator[tuple[np.ndarray, bool]]:
    """The inputs in `data`, batch by batch, and whether a batch is all of the data.

    Args:
        data: An array of any backend, a list of strings or numbers, a column of a data frame; or batches: what
            `kf.data.source` takes. Of batches `(x, y)`, `x` is read.
        steps: How many batches are read; by default all.

    Raises:
        DataError: There are no data.
        ArgumentError: The data are nothing of this kind.
    """
    checks.positive("steps", steps, none=True)
    if frames.is_series(data) or frames.is_frame(data):
        data = data.to_numpy()
    if isinstance(data, list | tuple) and not any(hasattr(part, "shape") for part in data):
        data = np.asarray(data, object if has_strings(data) else None)
    if isinstance(data, np.ndarray) or kind_of(type(data)) is not None:
        array = to_numpy(data)
        if not array.size:
            raise DataError(f"`{argument}` is empty: its shape is {array.shape}.", argument=argument, got="no data")
        yield array, True
        return
    if isinstance(data, list | tuple):  # of arrays: each is a batch
        data = iter(data)
    found = source(data, steps=steps)
    with found.epoch() as reader:
        while (batch := reader.read(1)) is not None:
            x = batch.x
            if isinstance(x, list | tuple | dict):
                raise ArgumentError(
                    f"`{argument}` must have one array in a batch, got {len(x)}.",
                    argument=argument,
                    expected="batches x, (x, y) or (x, y, sample_weight), in which x is one array",
                    got=f"{len(x)} arrays",
                    fix='give the one that the layer reads: data.map(lambda x, y: x["title"])',
                )
            yield x, False


class Moments:
    """Mean and variance of numbers that come in batches, in float64.

    The moments of the parts are joined as Chan, Golub and LeVeque do (1979), so that nothing is lost where the mean is
    far from 0.

    Args:
        axes: The axes that have moments for each of their indices.
    """

    def __init__(self, axes: tuple[int, ...]):
        self._axes = axes
        self.count = 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0

    def add(self, x: np.ndarray) -> None:
        """Count the numbers of a batch in."""
        if is_strings(x):
            raise ArgumentError.must_be("data", "numbers", x)
        kept = sorted(axis % x.ndim for axis in self._axes)
        over = tuple(axis for axis in range(x.ndim) if axis not in kept)
        x = x.astype(np.float64)
        count = int(np.prod([x.shape[axis] for axis in over], dtype=np.int64))
        if not count:
            return
        mean = x.mean(axis=over)
        along = np.expand_dims(mean, over)
        squares = ((x - along) ** 2).sum(axis=over)
        total, delta = self.count + count, mean - self.mean
        self.mean = self.mean + delta * (count / total)
        self.squares = self.squares + squares + delta**2 * (self.count * count / total)
        self.count = total


class Summary:
    """Quantiles of numbers that come in batches, in the memory of `1 / epsilon` numbers.

    It holds some of the values and, for each, how many numbers it stands for. The batches are summed up and joined as
    Keras does it, so that the bins are Keras's. A rank is wrong by at most `epsilon` of all numbers for each batch
    joined.

    Args:
        epsilon: The part of all numbers by which a rank may be wrong.
    """

    def __init__(self, epsilon: float):
        self.epsilon = epsilon
        self.found = np.zeros((2, 0), np.float32)

    def add(self, x: np.ndarray) -> None:
        """Count the numbers of a batch in."""
        if is_strings(x):
            raise ArgumentError.must_be("data", "numbers", x)
        values = np.sort(np.asarray(x, np.float32), axis=None)
        step = max(values.size / (1.0 / self.epsilon), 1)
        chosen = values[int(step - 1) :: int(step)]
        new = np.stack([chosen, np.ones_like(chosen) * step])
        both = np.concatenate([new, self.found], axis=1)
        self.found = self._fewer(both[:, np.argsort(both[0])], self.epsilon)

    def bins(self, number: int) -> list[float]:
        """The bounds between `number` bins that hold as many numbers each."""
        return self._fewer(self.found, 1.0 / number)[0, :-1].tolist()

    @staticmethod
    def _fewer(found: np.ndarray, epsilon: float) -> np.ndarray:
        """As many values as are `epsilon` apart in rank, between which the others are interpolated."""
        if found.shape[1] * epsilon < 1:
            return found
        ranks = epsilon + np.arange(0.0, 1.0, epsilon)
        sums = found[1].cumsum()
        parts = sums / sums[-1]
        values, reached = np.interp(ranks, parts, found[0]), np.interp(ranks, parts, sums)
        return np.stack([values, np.diff(reached, prepend=0)]).astype(np.float32)
