"""What `fit` asks of data: a `Source` of batches, and a `Reader` for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import random
from .batches import Batch

__all__ = ["Reader", "Source", "order_of", "pieces"]


class Reader:
    """One epoch's batches, from the host. A context manager, which ends what runs in the background.

    `read(n)` returns the samples of up to `n` of the next batches behind each other, as one `Batch` of NumPy arrays;
    None at the end. It returns several only if all but the last of them have the source's `batch_size`, and the last no
    more. What goes wrong in the user's code is the user's own exception, raised when the batches before it have been
    read.

    Attributes:
        steps: How many batches the last `read` returned.
    """

    steps: int = 0

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
        batch_size: Samples in a batch as a rule.
        full: Whether it is certain that each batch has as many.
        first: Arrays like those of each batch, a sample or more: for shapes and dtypes.
    """

    steps: Any
    batch_size: int
    full: bool = False
    first: Batch

    def epoch(
        self,
        key: Any = None,
        start: int = 0,
        before: int = 0,
        step: int = 0,
        move: Callable[[Batch], Batch] | None = None,
    ) -> Reader:
        """The batches of an epoch.

        Args:
            key: A random key, NumPy's, from which all orders of samples or batches follow; None for their own order.
            start: The number of the batch to begin with: those before were read in another process.
            before: How many epochs of this training came before. Where an epoch is another number of batches than
                there are, it goes on where these stopped. 0 for data that are read from the beginning each time.
            step: The number of the training step at which the epoch begins.
            move: Takes batches of `batch_size` to the device, ahead of their use.
        """
        raise NotImplementedError

    def check(self, check: Callable[[Batch], None]) -> None:
        """Run `check`, which raises what it finds, on all data: now if they are in memory, else on each batch read."""
        raise NotImplementedError

    def map(self, change: Callable[[Batch], Batch]) -> Source:
        """The same source, with each batch changed by a function of NumPy arrays, sample by sample."""
        raise NotImplementedError

    def view(self, steps: int | None) -> Source:
        """The source as it was made, without changes and checks, with `steps` batches an epoch."""
        return self


def pieces(count: int, steps: int | None, start: int, before: int, step: int) -> Iterator[tuple[int, int, int]]:
    """What an epoch is of: parts of rounds over `count` batches that are looked up by their number.

    Yields for each the step at which its round began, and its first batch and the one behind its last. Arguments are
    those of `Source.epoch`, and the number of batches an epoch, by default `count`.
    """
    steps = count if steps is None else steps
    at, end = before * steps + start, (before + 1) * steps
    while at < end:
        done, first = divmod(at, count)
        stop = min(count, first + end - at)
        yield step + (done * count - before * steps), first, stop
        at += stop - first


def order_of(key: Any, step: int, size: int) -> Any:
    """The order of a round that began at `step`, int32 (size,); None without a key."""
    return None if key is None else random.permutation(random.fold_in(key, step & 0xFFFFFFFF), size)
