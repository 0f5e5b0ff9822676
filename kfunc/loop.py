"""The loops behind `Model`: batches from the host, a compiled step, as few dispatches as it takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from . import tree
from .arrays import asarray
from .backends import Backend
from .callbacks.base import CallbackList
from .data.batches import Batch, filled, rows
from .data.sources import Source
from .history import History
from .step import Progress

__all__ = ["Program", "Run"]

_AT_ONCE = 32
_STAGED = 2**22  # bytes of the batches of one dispatch


class Program:
    """A step for batches from the host: it fills up the last one, and runs several in one dispatch where that pays.

    Args:
        step: `(fixed, carry, batch) -> carry`, compiled or not.
        many: The same of several batches, as `step.repeated` makes it; None where that is not wanted.
        backend, where: Where the batches go.
        size: Samples a step.
        fills: Whether a smaller batch is filled up to `size`, so that the same compiled program takes it.
    """

    def __init__(self, step: Callable, many: Callable | None, backend: Backend, where: Any, size: int, fills: bool):
        self._step, self._many, self._backend, self._where = step, many, backend, where
        self._size, self._fills = size, fills
        self.at_once = 1

    def plan(self, fixed: Any, carry: Any, first: Batch, most: int | None = None) -> None:
        """Choose how many steps one dispatch takes, `most` at the most, for batches like `first`."""
        if self._many is None or first.size < self._size:
            return
        batch = rows(first, slice(None, self._size))
        fits = _STAGED // max(1, sum(a.nbytes for a in tree.leaves(batch)))
        at_once = min(_AT_ONCE, fits, _AT_ONCE if most is None else most)
        if at_once > 1 and self._backend.repeats(self._step, fixed, carry, self._one(batch)):
            self.at_once = at_once

    def __call__(self, fixed: Any, carry: Any, batch: Batch) -> Any:
        """The carry after the step, or the steps, on the samples in `batch`."""
        steps, rest = divmod(batch.size, self._size)
        if rest and steps and not self._fills:
            carry = self(fixed, carry, rows(batch, slice(None, steps * self._size)))
            return self(fixed, carry, rows(batch, slice(steps * self._size, None)))
        if self.at_once == 1 or not steps + (rest > 0 and self._fills):
            return self._step(fixed, carry, self._one(batch))
        steps += rest > 0
        return self._many(fixed, carry, *self._several(batch, steps))  # type: ignore[misc]

    def _one(self, batch: Batch) -> Batch:
        if self._fills:
            import numpy as np

            batch = filled(batch, self._size)._replace(count=np.asarray(batch.size, np.int32))
        return self.moved(batch)

    def _several(self, batch: Batch, steps: int) -> tuple[Batch, Any]:
        import numpy as np

        total = batch.size
        batch = filled(batch, self.at_once * self._size)
        batch = tree.map(lambda a: a.reshape(self.at_once, self._size, *a.shape[1:]), batch)
        if self._fills:
            counts = np.clip(total - np.arange(self.at_once) * self._size, 0, self._size)
            batch = batch._replace(count=counts.astype(np.int32))
        return self.moved(batch), asarray(steps, "int32", backend=self._backend, device=self._where)

    def moved(self, batch: Batch) -> Batch:
        """`batch` on the device."""
        return tree.map(lambda x: self._backend.asarray(x, device=self._where), batch)


@dataclasses.dataclass(eq=False)
class Run:
    """One `fit` under way: all that a checkpoint has to hold beside the train state.

    Attributes:
        source: The data.
        epoch, batch: The number of the epoch, and of its batches done.
        first: `train_state.step` when the epoch began, from which its order follows.
        progress: What the steps of the epoch have accumulated.
    """

    source: Source
    epochs: int
    history: History
    callbacks: CallbackList
    epoch: int = 0
    batch: int = 0
    first: int = 0
    progress: Progress | None = None

    def steps_of(self, batch: Batch) -> int:
        """How many steps the samples in `batch` are."""
        return math.ceil(batch.size / self.source.batch_size)
