"""Where batches come from: one protocol, `Source`, for arrays in memory and for what can be iterated over."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .. import random, tree
from ..errors import ArgumentError, DataError, ShapeError
from .batches import Batch, prepared, rows, sizes

__all__ = ["ArraySource", "IterableSource", "Reader", "Source", "is_arrays", "source", "split"]


class Reader:
    """One epoch's batches, from the host. A context manager, which ends what runs in the background.

    `read(n)` returns the samples of up to `n` of the next batches behind each other, as one `Batch` of NumPy arrays;
    None at the end. All batches but the last of an epoch have the source's `batch_size`; one `read` returns several
    only if they do, and the last may be smaller. What goes wrong in the user's code is the user's own exception, raised
    when the batches before it have been read.
    """

    def read(self, n: int) -> Batch | None:
        raise NotImplementedError

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: Any) -> None:
        pass


class Source:
    """Batches, epoch by epoch.

    Attributes:
        steps: Number of batches an epoch; None if that is not known.
        batch_size: Samples in each batch but the last.
        full: Whether it is certain that the last batch has as many.
        first: Arrays like those of each batch, a sample or more: for shapes and dtypes.
        checked: Whether `check` has seen all data already, when the source was made.
    """

    steps: int | None
    batch_size: int
    full: bool
    first: Batch

    def epoch(self, key: Any = None, start: int = 0) -> Reader:
        """The batches of an epoch from number `start` on.

        Args:
            key: A random key, NumPy's, from which the order of samples or batches follows; None for their own order.
        """
        raise NotImplementedError

    def check(self, check: Callable[[Batch], None]) -> None:
        """Run `check`, which raises what it finds, on all data: now if they are in memory, else on each batch read."""
        raise NotImplementedError

    def map(self, change: Callable[[Batch], Batch]) -> Source:
        """The source with each batch changed by a function of NumPy arrays, sample by sample."""
        raise NotImplementedError


# -- arrays ------------------------------------------------------------------------------------------------------------


class ArraySource(Source):
    """Arrays in memory.

    Args:
        batch: Inputs, targets and weights of all samples, NumPy arrays.
        batch_size: Samples a step.

    Raises:
        ShapeError: The arrays do not have one common number of samples.
    """

    def __init__(self, batch: Batch, batch_size: int):
        self.batch, self.size, self.batch_size = batch, sizes(batch), batch_size
        self.steps = math.ceil(self.size / batch_size)
        self.full = self.size % batch_size == 0
        self.first = batch

    def epoch(self, key: Any = None, start: int = 0) -> Reader:
        return _Arrays(self, None if key is None else random.permutation(key, self.size), start)

    def check(self, check: Callable[[Batch], None]) -> None:
        check(self.batch)

    def map(self, change: Callable[[Batch], Batch]) -> Source:
        return ArraySource(change(self.batch), self.batch_size)


class _Arrays(Reader):
    def __init__(self, source: ArraySource, order: Any, start: int):
        self._source, self._order, self._next = source, order, start * source.batch_size

    def read(self, n: int) -> Batch | None:
        source, first = self._source, self._next
        if first >= source.size:
            return None
        self._next = min(first + n * source.batch_size, source.size)
        chosen = slice(first, self._next)
        return rows(source.batch, chosen if self._order is None else self._order[chosen])


def split(batch: Batch, fraction: float) -> tuple[Batch, Batch]:
    """All but the last `fraction` of the samples, and the last `fraction`, as Keras splits them.

    Raises:
        ArgumentError: One part would be empty.
    """
    size = sizes(batch)
    n = int(size * (1 - fraction)) if 0 < fraction < 1 else 0
    if not 0 < n < size:
        raise ArgumentError(
            "The split leaves one part empty.",
            argument="validation_split",
            expected="a fraction that leaves samples on both sides",
            got=f"{fraction} of {size} samples",
        )
    return rows(batch, slice(None, n)), rows(batch, slice(n, None))


# -- what can be iterated over -----------------------------------------------------------------------------------------


class IterableSource(Source):
    """Batches from an iterable: `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)` each.

    An iterator (a generator) goes on from epoch to epoch, with `steps` batches in each; anything else is iterated over
    anew in each.
    """

    full = False

    def __init__(self, batches: Iterable, steps: int | None = None):
        self._batches, self._checks, self._changes = batches, [], []
        self._once = iter(batches) if isinstance(batches, Iterator) else None
        self.steps = steps
        self._ahead: list[Any] = []
        items = self._once if self._once is not None else iter(batches)
        try:
            self._ahead.append(next(items))
        except StopIteration:
            raise DataError(
                "There is no data.", argument="x", expected="batches", got="an iterable without any"
            ) from None
        self.first = unpacked(self._ahead[0])
        self.batch_size = sizes(self.first)
        if self._once is None:
            self._ahead.clear()

    def check(self, check: Callable[[Batch], None]) -> None:
        self._checks.append(check)

    def map(self, change: Callable[[Batch], Batch]) -> Source:
        self._changes.append(change)
        self.first = change(self.first)
        return self

    def epoch(self, key: Any = None, start: int = 0) -> Reader:
        return _Items(self, start)

    def items(self) -> Iterator[Any]:
        """What the iterable yields, from where an iterator stands, or from the start."""
        if self._once is None:
            yield from self._batches
            return
        while self._ahead:
            yield self._ahead.pop()
        yield from self._once

    def batch(self, item: Any) -> Batch:
        """An item as a batch like the first one."""
        batch = unpacked(item)
        for change in self._changes:
            batch = change(batch)
        _check_like(self.first, batch)
        for check in self._checks:
            check(batch)
        return batch


class _Items(Reader):
    def __init__(self, source: IterableSource, start: int):
        self._source, self._items, self._done = source, source.items(), 0
        for _ in range(start):
            self._item()

    def _item(self) -> Any:
        steps = self._source.steps
        if self._done == steps:
            return None
        item = next(self._items, None)
        if item is None and steps is not None:
            raise DataError(
                f"The data ran out at batch {self._done}.",
                argument="steps_per_epoch",
                expected=f"{steps} batches an epoch",
                got=self._done,
                fix="yield more batches, or ask for fewer steps or epochs",
            )
        self._done += 1
        return item

    def read(self, n: int) -> Batch | None:
        item = self._item()
        return None if item is None else self._source.batch(item)


def unpacked(item: Any) -> Batch:
    """An item of an iterable as a batch: `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`, of arrays of any backend."""
    if isinstance(item, Batch):
        return prepared(*item[:3])
    parts = tuple(item) if isinstance(item, list | tuple) else (item,)
    if not 1 <= len(parts) <= 3:
        raise ArgumentError(
            "A batch has up to three parts.",
            argument="x",
            expected="x, (x,), (x, y) or (x, y, sample_weight)",
            got=f"{len(parts)} parts",
        )
    return prepared(*parts)


def _check_like(first: Batch, batch: Batch) -> None:
    """Raise ShapeError unless `batch` has the structure of `first`, and but for the first axis its shapes."""
    size = sizes(batch)
    if tree.structure(first) != tree.structure(batch):
        raise ShapeError(
            "A batch is not built like the first one.",
            expected=", ".join(tree.paths(first)),
            got=", ".join(tree.paths(batch)),
        )
    for path, a, b in zip(tree.paths(first), tree.leaves(first), tree.leaves(batch), strict=True):
        if a.shape[1:] != b.shape[1:]:
            raise ShapeError(
                "A batch has another shape than the first one.",
                argument=path,
                expected=f"shape {(size, *a.shape[1:])}",
                got=f"shape {b.shape}",
            )


# -- the one that fits -------------------------------------------------------------------------------------------------


def source(
    x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: int | None = None, steps: int | None = None
) -> Source:
    """The source of what `fit` was given."""
    if isinstance(x, Source):
        return x
    if isinstance(x, Iterator) or not is_arrays(x):
        for argument, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ArgumentError(f"The batches bring their own {argument}.", argument=argument, got=type(value))
        return IterableSource(x, steps)
    return ArraySource(prepared(x, y, sample_weight), 32 if batch_size is None else batch_size)


def is_arrays(x: Any) -> bool:
    """Whether `x` is an array or a container of arrays, and not something that yields batches."""
    return isinstance(x, dict | list | tuple) or hasattr(x, "shape")
