"""`DatasetSource`: batches that are looked up by their numbers, with Keras's protocol."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from ..errors import ArgumentError, DataError
from .batches import Batch, unpacked
from .dataset import in_order, workers_of
from .items import ItemSource, first_of, length
from .prefetch import Ahead
from .protocol import Reader, order_of, pieces
from .trail import digest

__all__ = ["DatasetSource"]


class DatasetSource(ItemSource):
    """Batches that are looked up by their numbers.

    Args:
        dataset: An object with `__getitem__`, and with `__len__` if it has an end. The other methods and attributes of
            `Dataset` are used if it has them.
        steps: Number of batches an epoch.

    Raises:
        DataError: The data set has no batches.
        ArgumentError: The data set has no end, and `steps` is None.
    """

    def __init__(self, dataset: Any, steps: int | None = None):
        self._dataset, self._workers = dataset, workers_of(dataset)
        if self._count() is None and steps is None:
            raise ArgumentError(
                "`steps_per_epoch` must be given: the data set has no length.",
                argument="steps_per_epoch",
                expected="a number of batches, as the data set has no length",
                got=None,
            )
        super().__init__(first_of(lambda: dataset[0]), steps)

    def _count(self) -> int | None:
        """How many batches there are now; None if there is no end.

        Raises:
            DataError: The number is 0.
        """
        if (found := length(self._dataset)) == 0:
            raise DataError("`x` is a data set of length 0.", argument="x", expected="batches", got="length 0")
        return found

    @property
    def steps(self) -> Any:
        return self._count() if self._asked is None else self._asked

    _rereads = False

    def skip(self, before: int = 0) -> None:
        self._hook("on_epoch_begin")
        self._begin()
        self._compare()
        self._hook("on_epoch_end")

    def _hook(self, name: str) -> None:
        hook = getattr(self._dataset, name, None)
        if hook is not None:
            hook()

    def _compare(self) -> None:
        """Read the batch again that another process has read last, if that was in this epoch."""
        if self._trail is not None and (number := self._trail.wanted) is not None:
            self._trail.compare(digest(unpacked(self._item(number))))

    def epoch(
        self,
        key: Any = None,
        start: int = 0,
        before: int = 0,
        step: int = 0,
        move: Callable[[Batch], Batch] | None = None,
    ) -> Reader:
        while self._epochs < before:
            self.skip()
        self._hook("on_epoch_begin")
        self._begin(start)
        if start:
            self._compare()
        items = self._items(self._noted(self._numbers(key, start, before, step)))
        return Ahead(items, self._preparing(move), self.batch_size, lambda: self._hook("on_epoch_end"))

    def _noted(self, numbers: Iterable[int]) -> Iterator[int]:
        for number in numbers:
            if self._trail is not None:
                self._trail.numbers.append(number)
            yield number

    def _numbers(self, key: Any, start: int, before: int, step: int) -> Iterator[int]:
        """The numbers of an epoch's batches."""
        count, steps = self._count(), self.steps
        if count is None:
            yield from range(before * steps + start, (before + 1) * steps)
            return
        for begun, first, stop in pieces(count, steps, start, before, step):
            order = order_of(key, begun, count)
            yield from range(first, stop) if order is None else map(int, order[first:stop])

    def _item(self, i: int) -> Any:
        try:
            return self._dataset[i]
        except StopIteration as error:  # it would end the loop that reads, as if the epoch were complete
            raise DataError(
                f"The data set ended at batch {i}, before its length.",
                expected=f"batch {i} from __getitem__",
                got="StopIteration",
                fix="return as many batches as __len__ says",
            ) from error

    def _items(self, numbers: Iterable[int]) -> Generator:
        return in_order(self._item, numbers, self._workers, getattr(self._dataset, "max_queue_size", 10))
