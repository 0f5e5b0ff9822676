"""`Trail`: by which a resumed training knows whether its data are the same as before."""

from __future__ import annotations

import warnings
import zlib
from array import array
from collections.abc import Sequence
from typing import Any

from .. import tree
from ..errors import ResumeWarning
from .batches import Batch

__all__ = ["Trail", "digest"]

_SAMPLED = 4096  # numbers of an array that a digest reads: it takes microseconds, however large a batch is


class Trail:
    """Numbers that tell what a source has read, for a checkpoint.

    The state of most data (a generator of random numbers, a file that was read half) cannot be saved. So a resumed
    training brings the data to where they were by reading them once more, and holds what it reads against the trail.
    Where they differ, it says so by a `ResumeWarning`.

    Args:
        name: The argument of `fit` that holds the data.
        first: The first batch.
        wanted: What `mark` returned in the process that was interrupted; empty for a training that begins.
        chained: Whether all batches are read again, and each digest covers those before it.
        others: What to say if `first` is another one.
        late: Whether `check_first` is called later, if at all: the data's own state brings them to where they were.
    """

    def __init__(
        self,
        name: str,
        first: Batch,
        wanted: Sequence[int] = (),
        chained: bool = True,
        others: str = "its first batch is another one",
        late: bool = False,
    ):
        self.lost = False
        self.epochs = 0
        self.numbers = array("q")
        self._name, self._first, self._wanted, self._chained = name, digest(first), tuple(wanted), chained
        self._digests, self._start, self._before = array("Q"), 0, 0
        self._others = others
        if not late:
            self.check_first()

    def check_first(self) -> None:
        """Hold the first batch against the one of the other process."""
        if self._wanted and self._wanted[0] != self._first:
            self._lose(self._others)

    def begin(self, start: int = 0, before: int = 0) -> None:
        """Begin an epoch. Its batches before number `start` are not read, as after a resume within the epoch.

        `before` is the digest of the last of these, if digests are chained.
        """
        self.epochs += 1
        self._digests, self.numbers, self._start, self._before = array("Q"), array("q"), start, before

    def note(self, batch: Batch) -> None:
        """A batch of the epoch was read."""
        before = self._digests[-1] if self._digests else self._before
        self._digests.append(digest(batch, before if self._chained else 0))
        if self._wanted[1:3] == (self.epochs, self._start + len(self._digests)):
            self.compare(self._digests[-1])

    def compare(self, found: int) -> None:
        """Hold a digest against the one of the other process."""
        if found != self._wanted[3] and not self.lost:
            self._lose(f"the batches before number {self._wanted[2]} of its epoch number {self.epochs} are others")

    @property
    def place(self) -> tuple[int, int]:
        """Where the other process stood: the number of the epoch, from 1, and how many batches of it were read."""
        return self._wanted[1:3] if self._wanted else (0, 0)  # type: ignore[return-value]

    def ends_with(self, batch: Batch, before: int) -> bool:
        """Whether `batch`, after batches of the digest `before`, is the last one that the other process has read."""
        return digest(batch, before) == self._wanted[3]

    @property
    def wanted(self) -> int | None:
        """The number of the batch that was read last by the other process, if that was in the epoch of now."""
        return self._wanted[4] if self._wanted[1:2] == (self.epochs,) and not self.lost else None

    def mark(self, batch: int | None = None) -> list[int]:
        """Numbers that tell what was read before number `batch` of the epoch; None for all of it."""
        count, i = self._found(batch)
        if not 0 <= i < len(self._digests):  # no batch was read since the training was resumed
            return list(self._wanted) or [self._first, 0, 0, 0, -1]
        return [self._first, self.epochs, count, self._digests[i], self.numbers[i] if self.numbers else -1]

    def before(self, batch: int | None = None) -> int:
        """The digest of the batches before the last one that `mark` tells of."""
        i = self._found(batch)[1]
        return self._digests[i - 1] if 0 < i <= len(self._digests) else self._before

    def _found(self, batch: int | None) -> tuple[int, int]:
        """How many batches of the epoch were read before number `batch`, and the place of the last one's digest."""
        count = self._start + len(self._digests) if batch is None else batch
        return count, count - self._start - 1

    def _lose(self, what: str) -> None:
        self.lost = True
        warnings.warn(
            ResumeWarning(
                f"`{self._name}` does not yield the same batches as before training was interrupted: {what}. Training "
                "goes on, but not as it would have without the interruption.",
                argument=self._name,
                fix="give all that is random in the data a fixed seed, and give fit the data from their beginning",
            ),
            stacklevel=2,
        )


def digest(batch: Batch, before: int = 0) -> int:
    """A number for the arrays of a batch: their forms, and some thousand of their numbers, evenly spread."""
    import numpy as np

    found = before
    for path, x in zip(tree.paths(batch), tree.leaves(batch), strict=True):
        some: Any = np.ascontiguousarray(x.reshape(-1)[:: max(1, x.size // _SAMPLED)])
        if some.dtype.kind in ("O", "U"):
            some = np.frombuffer("\0".join(map(str, some.tolist())).encode("utf-8", "replace") or b"\0", np.uint8)
        found = zlib.crc32(some.view("uint8"), zlib.crc32(f"{path}{x.dtype}{x.shape}".encode(), found))
    return found
