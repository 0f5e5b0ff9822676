"""Arrays in memory as a source of batches; and `source`, which finds the source for what `fit` was given."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from .. import checks, tree
from ..errors import ArgumentError, shown
from .batches import Batch, prepared, room, rows, sizes
from .frames import is_lazy
from .items import IterableSource
from .numbered import DatasetSource
from .prefetch import Ahead
from .protocol import Reader, Source, order_of, pieces
from .trail import Trail

__all__ = ["ArraySource", "EachSource", "Source", "is_arrays", "one_batch", "source", "split"]


_LOOKED_AT = 64  # samples that a resumed training holds against those of before


class ArraySource(Source):
    """Arrays in memory.

    Args:
        batch: Inputs, targets and weights of all samples, NumPy arrays.
        batch_size: Samples a step; by default 32, or as many as divide the samples into `steps` batches.
        steps: Number of batches an epoch, by default all batches. Each epoch goes on where the last one stopped.

    Raises:
        ShapeError: The arrays have different numbers of samples.
        ArgumentError: A number is not positive.
    """

    def __init__(self, batch: Batch, batch_size: int | None = None, steps: int | None = None):
        self.batch: Batch = batch
        self.size: int = sizes(batch)
        self._asked = steps = checks.count("steps_per_epoch", steps, none=True)
        by_default = 32 if steps is None else math.ceil(self.size / steps)
        self.batch_size: int = by_default if batch_size is None else checks.count("batch_size", batch_size)
        self.rounds: int = math.ceil(self.size / self.batch_size)
        self.steps: int | None = self.rounds if steps is None else steps
        self.full: bool = self.size % self.batch_size == 0
        self.first: Batch = batch
        self._marks: list[int] = []

    def follow(self, name: str, wanted: Sequence[int] = (), kept: Any = None, shared: bool = False) -> None:
        some = rows(self.batch, slice(None, None, max(1, self.size // _LOOKED_AT)))
        Trail(name, some, wanted, others="some of its numbers are others")
        self._marks = Trail(name, some).mark()

    def mark(self, batch: int | None = None) -> list[int]:
        return self._marks

    def epoch(
        self,
        key: Any = None,
        start: int = 0,
        before: int = 0,
        step: int = 0,
        move: Callable[[Batch], Batch] | None = None,
    ) -> Reader:
        reader = _Arrays(self, key, pieces(self.rounds, self._asked, start, before, step))
        if move is None:  # a thread would cost more than reading does
            return reader
        return Ahead(_each(reader), lambda b: move(b) if b.size == self.batch_size else b, self.batch_size)

    def check(self, check: Callable[[Batch], None]) -> None:
        check(self.batch)

    def map(self, change: Callable[[Batch], Batch]) -> Source:
        other = ArraySource(change(self.batch), self.batch_size, self._asked)
        other.class_weight = self.class_weight
        return other

    def view(self, steps: int | None) -> Source:
        return self if steps is None else ArraySource(self.batch, self.batch_size, steps)


class EachSource(Source):
    """Arrays in memory, of which each batch is changed when it is read, in the background.

    `ArraySource.map` changes all samples at once, which would take too much memory for arrays of what words are in a
    text.

    Args:
        source: The arrays.
        change: What is done to a batch.
    """

    def __init__(self, source: ArraySource, change: Callable[[Batch], Batch]):
        self._source = source
        self._changes: tuple[Callable[[Batch], Batch], ...] = (change,)
        self._checks: tuple[Callable[[Batch], None], ...] = ()
        self.steps: int | None = source.steps
        self.batch_size: int = source.batch_size
        self.full: bool = source.full
        self.class_weight = source.class_weight
        self.first: Batch = change(rows(source.batch, slice(0, source.batch_size)))

    def follow(self, name: str, wanted: Sequence[int] = (), kept: Any = None, shared: bool = False) -> None:
        self._source.follow(name, wanted, kept, shared)

    def mark(self, batch: int | None = None) -> list[int]:
        return self._source.mark(batch)

    def epoch(
        self,
        key: Any = None,
        start: int = 0,
        before: int = 0,
        step: int = 0,
        move: Callable[[Batch], Batch] | None = None,
    ) -> Reader:
        reader = self._source.epoch(key, start, before, step)

        def prepare(batch: Batch) -> Batch:
            for change in self._changes:
                batch = change(batch)
            for check in self._checks:
                check(batch)
            return batch if move is None or batch.size != self.batch_size else move(batch)

        return Ahead(_each(reader), prepare, self.batch_size)

    def check(self, check: Callable[[Batch], None]) -> None:
        self._checks += (check,)

    def map(self, change: Callable[[Batch], Batch]) -> Source:
        other = copy.copy(self)
        other._changes, other.first = (*self._changes, change), change(self.first)
        return other

    def view(self, steps: int | None) -> Source:
        return self._source.view(steps)


class _Arrays(Reader):
    """The batches of `pieces` of rounds; each round has its own order of the samples."""

    def __init__(self, source: ArraySource, key: Any, pieces: Iterator[tuple[int, int, int]]):
        self._source, self._key, self._pieces = source, key, pieces
        self._next = self._stop = 0
        self._order: Any = None
        self._leaves, self._structure = tree.flatten(source.batch)

    def read(self, n: int) -> Batch | None:
        source = self._source
        if self._next >= self._stop:
            piece = next(self._pieces, None)
            if piece is None:
                return None
            begun, first, stop = piece
            self._order = order_of(self._key, begun, source.size)
            self._next, self._stop = first * source.batch_size, min(stop * source.batch_size, source.size)
        chosen = slice(self._next, min(self._next + n * source.batch_size, self._stop))
        self._next = chosen.stop
        self.steps = math.ceil((chosen.stop - chosen.start) / source.batch_size)
        chosen = chosen if self._order is None else self._order[chosen]
        return tree.unflatten(self._structure, [a[chosen] for a in self._leaves])


def _each(reader: Reader) -> Generator[Batch]:
    while (batch := reader.read(1)) is not None:
        yield batch


def one_batch(batch: Batch) -> ArraySource:
    """All samples as one batch, which may be filled up."""
    return ArraySource(batch, room(sizes(batch)))


def split(batch: Batch, fraction: float) -> tuple[Batch, Batch]:
    """Two batches: all samples but the last `fraction`, and the last `fraction`, divided as Keras divides them.

    Raises:
        ArgumentError: One of the two would be empty.
    """
    size = sizes(batch)
    n = int(size * (1 - fraction)) if isinstance(fraction, numbers.Real) and 0 < fraction < 1 else 0
    if not 0 < n < size:
        raise ArgumentError(
            f"`validation_split` must leave samples on both sides, got {shown(fraction)} of {size} samples.",
            argument="validation_split",
            expected="a fraction that leaves samples on both sides",
            got=f"{fraction} of {size} samples",
        )
    return rows(batch, slice(None, n)), rows(batch, slice(n, None))


def source(
    x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: int | None = None, steps: int | None = None
) -> Source:
    """The source of batches that fits `x`.

    Args:
        x: One of these:

            - all samples: arrays of any backend and data frames, or nested dicts, lists and tuples of these;
            - batches by their numbers: a `kf.data.Dataset`, or an object with `__len__` and `__getitem__`, and with
              `on_epoch_end` or without `__iter__`;
            - batches in their order: any other iterable, such as a generator, a list of tuples `(x, y)`, a
              `tf.data.Dataset`, a `torch.utils.data.DataLoader`, or one of grain's;
            - a source: it begins again, unless it reads an iterator, which goes on.
        y, sample_weight: Targets and weights, if `x` holds all samples.
        batch_size: Samples a batch, if `x` holds all samples; by default 32, or as many as divide the samples into
            `steps` batches.
        steps: Number of batches an epoch; by default all batches.

    Raises:
        ArgumentError: `x` is none of these, or does not hold numbers.
        ShapeError: The arrays have different numbers of samples.
        DataError: There is no data.
    """
    if not isinstance(x, Source) and (is_arrays(x) or is_lazy(x) or (isinstance(x, list) and y is not None)):
        return ArraySource(prepared(x, y, sample_weight, strings=True), batch_size, steps)
    for argument, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ArgumentError(
                f"`{argument}` must be None, since the batches that x yields have their own.",
                argument=argument,
                expected="None; x yields (x, y) or (x, y, sample_weight)",
                got=type(value).__name__,
            )
    if isinstance(x, Source):
        return x.view(steps)
    by_number = hasattr(x, "__len__") and hasattr(x, "__getitem__") and not hasattr(x, "__iter__")
    if hasattr(x, "__getitem__") and (by_number or hasattr(x, "on_epoch_end")):
        return DatasetSource(x, steps)
    if hasattr(x, "__iter__") and not isinstance(x, str | bytes):
        return IterableSource(x, steps)
    raise ArgumentError(
        f"`x` must be arrays, data frames, or something that yields batches, got {shown(x)}.",
        argument="x",
        expected="arrays, data frames, or something that yields batches",
        got=type(x).__name__,
    )


def is_arrays(x: Any) -> bool:
    """Whether `x` is an array or a container of arrays, and not something that yields batches."""
    if type(x) is list and x and all(isinstance(item, tuple) for item in x):
        return False
    return isinstance(x, Mapping | list | tuple) or hasattr(x, "shape")
