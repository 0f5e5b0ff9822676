"""The two interfaces through which `fit` reads data: a `Source` of batches, and a `Reader` for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import random
from .batches import Batch

__all__ = ["Reader", "Source", "order_of", "pieces"]


class Reader:
    """The batches of one epoch, in the host's memory. A context manager; its end stops what runs in the background.

    `read(n)` returns the samples of up to `n` of the next batches, joined into one `Batch` of NumPy arrays; None at the
    end. It joins batches only if they have the same inner sizes, and if all but the last of them have the source's
    `batch_size`, and the last one no more. An exception in the user's code is raised as it is, after the batches before
    it have been read.

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
        batch_size: Samples in a batch; the last one may have fewer.
        full: Whether it is certain that every batch has `batch_size` samples.
        first: Arrays like those of each batch, with a sample or more. Dtypes and numbers of axes are taken from it. The
            inner sizes of a batch may differ from it, if batches are read one by one.
        class_weight: That of `fit`, which the batches have in their weights already.
    """

    steps: Any
    batch_size: int
    full: bool = False
    first: Batch
    class_weight: Any = None

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
            key: A random key of NumPy, from which the orders of samples or batches follow; None to read them in order.
            start: The number of the first batch to read; another process has read those before.
            before: How many epochs of this training came before. If an epoch has another number of batches than the
                data, it goes on where those epochs stopped. 0 for data that are read from the beginning each time.
            step: The number of the training step at which the epoch begins.
            move: Moves batches of `batch_size` samples to the device, before they are needed.
        """
        raise NotImplementedError

    def skip(self, before: int = 0) -> None:
        """Bring the data to where an `epoch(before=before)` would leave them, which another process has read.

        Data in memory stay as they are. A data set has its hooks called. An iterable is read, since its state cannot be
        saved, unless it is a list, or the orders of its batches follow from a `set_epoch`, or `follow` was given what
        `kept` returned.
        """

    def follow(self, name: str, wanted: Sequence[int] = (), kept: Any = None, shared: bool = False) -> None:
        """Note from now on what is read, for `mark` and `kept`.

        Args:
            name: The argument of `fit` that holds the data.
            wanted: What `mark` returned in another process: what is read is held against it, and a `ResumeWarning` says
                where it differs.
            kept: What `kept` returned there, as a file gave it back.
            shared: Whether `fit` reads the same data elsewhere, too, so that their state is not that of this source.
        """

    def mark(self, batch: int | None = None) -> list[int]:
        """Numbers that tell what was read before number `batch` of the epoch (None for all of it), for a checkpoint."""
        return []

    def kept(self, batch: int | None = None) -> Any:
        """The data's own state before the last batch that `mark` tells of, as a tree for a file; None if it has none.

        So the one batch that is read again tells whether the state brings the data to where they were.
        """
        return None

    def check(self, check: Callable[[Batch], None]) -> None:
        """Run `check`, which raises what it finds, on all data: now if they are in memory, else on each batch read."""
        raise NotImplementedError

    def map(self, change: Callable[[Batch], Batch]) -> Source:
        """The same source, with each batch changed by a function of NumPy arrays, which changes samples one by one."""
        raise NotImplementedError

    def view(self, steps: int | None) -> Source:
        """The source as it was made, without changes and checks, with `steps` batches an epoch."""
        return self


def pieces(count: int, steps: int | None, start: int, before: int, step: int) -> Iterator[tuple[int, int, int]]:
    """The parts of an epoch: each is a part of one round over `count` batches that are looked up by their numbers.

    Yields for each part the step at which its round began, its first batch, and the batch after its last.

    Args:
        count: Number of batches in a round.
        steps: Number of batches in an epoch; `count` by default.
        start, before, step: As for `Source.epoch`.
    """
    steps = count if steps is None else steps
    at, end = before * steps + start, (before + 1) * steps
    while at < end:
        done, first = divmod(at, count)
        stop = min(count, first + end - at)
        yield step + (done * count - before * steps), first, stop
        at += stop - first


def order_of(key: Any, step: int, size: int) -> Any:
    """The order of the samples or batches in the round that began at `step`, int32 (size,); None without a key."""
    return None if key is None else random.permutation(random.fold_in(key, step & 0xFFFFFFFF), size)
