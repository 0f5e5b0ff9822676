"""The loops behind `Model`: batches from the host, a compiled step, as few dispatches as it takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from . import tree
from .backends import Backend
from .callbacks.base import CallbackList
from .data.batches import Batch, filled, rows
from .data.sources import Source
from .history import History
from .step import Progress

__all__ = ["Program", "Run"]

_AT_ONCE = 32
_STAGED = 2**22  # bytes of the batches of one dispatch
_PATIENCE = 0.1  # seconds that one dispatch may keep callers, Ctrl-C and the progress bar waiting


class Program:
    """A step for batches from the host: it fills up the last one, and runs several in one dispatch where that pays.

    Args:
        step: `(fixed, carry, batch) -> carry`.
        many: The same of several batches, as `step.repeated` makes it; None where that is not wanted.
        backend, where: Where the batches go.
        size: Samples a step.
        fills: Whether a smaller batch is filled up to `size`, so that the same compiled program takes it.
        compiled: Whether `step` is compiled.

    Attributes:
        at_once: How many steps one dispatch can take.
        pace: How many the next one should: fewer where they take long. That changes no bit.
    """

    def __init__(
        self,
        step: Callable,
        many: Callable | None,
        backend: Backend,
        where: Any,
        size: int,
        fills: bool,
        compiled: bool,
    ):
        self._step, self._many, self._backend, self._where = step, many, backend, where
        self._size, self.fills = size, fills
        self._put = backend.staged if compiled else backend.asarray
        self.at_once = self.pace = 1
        self._calls = 0

    def plan(self, fixed: Any, carry: Any, first: Batch, most: int | None = None) -> None:
        """Choose how many steps one dispatch takes for batches like `first`, of which there are `most`.

        Beyond one, that number depends on nothing but the batches' size: less data needs no other program.
        """
        if self._many is None or first.size < self._size or most == 1:
            return
        batch = rows(first, slice(None, self._size))
        fits = _STAGED // max(1, sum(a.nbytes for a in tree.leaves(batch)))
        if fits > 1 and self._backend.repeats(self._step, fixed, carry, self._one(batch)):
            self.at_once = min(_AT_ONCE, 2 ** (fits.bit_length() - 1))

    def __call__(self, fixed: Any, carry: Any, batch: Batch, steps: int | None = None) -> Any:
        """The carry after the step, or the steps, on the samples in `batch`, however large it is if it is one step."""
        if steps == 1 and batch.size > self._size:
            return self._step(fixed, carry, self._one(batch))
        steps, rest = divmod(batch.size, self._size)
        if rest and steps and not self.fills:
            carry = self(fixed, carry, rows(batch, slice(None, steps * self._size)))
            return self(fixed, carry, rows(batch, slice(steps * self._size, None)))
        if self.at_once == 1 or not steps + (rest > 0 and self.fills):
            return self._step(fixed, carry, self._one(batch))
        steps += rest > 0
        begun = time.perf_counter()
        carry = self._many(fixed, carry, *self._several(batch, steps))  # type: ignore[misc]
        self._calls += 1
        if self._calls > 1:  # the first may have compiled it
            took = (time.perf_counter() - begun) / steps
            self.pace = max(1, min(self.at_once, int(_PATIENCE / took)))
        return carry

    def several(self, size: int, steps: int) -> bool:
        """Whether a call for `size` samples in so many steps has results with a first axis for the steps."""
        return self.at_once > 1 and not (steps == 1 and size > self._size)

    def _one(self, batch: Batch) -> Batch:
        if self.fills:
            import numpy as np

            batch = filled(batch, self._size)._replace(count=np.asarray(batch.size, np.int32))
        return self._given(batch)

    def _several(self, batch: Batch, steps: int) -> tuple[Batch, Any]:
        import numpy as np

        total = batch.size
        batch = filled(batch, self.at_once * self._size)
        batch = tree.map(lambda a: a.reshape(self.at_once, self._size, *a.shape[1:]), batch)
        if self.fills:
            counts = np.clip(total - np.arange(self.at_once) * self._size, 0, self._size)
            batch = batch._replace(count=counts.astype(np.int32))
        return self._given(batch), self._put(np.asarray(steps, np.int32), device=self._where)

    def _given(self, batch: Batch) -> Batch:
        """`batch` as the step takes it; what is on the device already stays as it is."""
        import numpy as np

        return tree.map(lambda x: self._put(x, device=self._where) if isinstance(x, np.ndarray) else x, batch)

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
        initial: The number of the first epoch.
        done: The number of steps done in all, of which `train_state.step` may have been set back.
        skipped: How many steps the optimizer had passed over when the epoch began; None if it never does.
        shuffle: Whether the order of samples is drawn.
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
    initial: int = 0
    done: int = 0
    skipped: int | None = None
    shuffle: bool = True
