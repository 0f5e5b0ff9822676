"""The loops behind `Model`: batches from the host, a compiled step, as few dispatches as it takes."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import tree
from .arrays import to_numpy
from .backends import Backend
from .callbacks.base import CallbackList
from .data.batches import Batch, filled, rows
from .data.protocol import Reader, Source
from .history import History
from .inplace import InPlace
from .metrics import Mean
from .step import Progress

if TYPE_CHECKING:
    from .checkpoints import Saver

__all__ = ["Carry", "Outputs", "Program", "Run", "numbers", "ordered", "read"]

_AT_ONCE = 32
_STAGED = 2**22  # bytes of the batches of one dispatch
_LAG = 32  # dispatches of a prediction under way
_UNDER_WAY = 2**24  # about how many numbers they may hold, in and out, once there are more than two
_PATIENCE = 0.1  # seconds that one dispatch may keep callers, Ctrl-C and the progress bar waiting


class Carry:
    """What goes from step to step. Of all that the steps make, it keeps the newest alone.

    Attributes:
        value: A tree of arrays.
        done: The number of steps that made it.
    """

    def __init__(self, value: Any):
        # A tree, and None; or its leaves, and its structure.
        self._held: list[tuple[Any, Any, int]] = [(value, None, 0)]
        self._loop: Any = None

    @property
    def value(self) -> Any:
        if self._loop is not None:
            return self._loop.carry
        value, structure, _ = self._held[-1]
        return value if structure is None else tree.unflatten(structure, value)

    @property
    def done(self) -> int:
        return self._held[-1][2] if self._loop is None else self._loop.done

    def own(self, copy: Callable) -> None:
        """Replace each array `x` by `copy(x)`, one after the other: those that nobody else has are gone at once."""
        leaves, structure = tree.flatten(self.value)
        self._held = [(leaves, structure, self.done)]
        for i in range(len(leaves)):
            leaves[i] = copy(leaves[i])

    def put(self, value: Any) -> None:
        """Replace the value by that after one more step."""
        self._held = [(value, None, self.done + 1)]

    def step(self, step: Callable, fixed: Any, *args: Any, steps: int = 1, flat: bool = False) -> None:
        """Replace the value by `step(fixed, value, *args)`; `flat`, where `step` takes leaves."""
        value, structure, done = self._held[-1]
        if flat and structure is None:
            value, structure = tree.flatten(value)
        elif structure is not None and not flat:
            value, structure = self.value, None
        if flat:
            step = functools.partial(step, structure=structure)
        made = itertools.starmap(step, ((fixed, value, *args),))
        # Without Python in between, where a signal may break in: the step may take the memory of what it is given.
        self._held.extend(zip(made, (structure,), (done + steps,), strict=True))
        del self._held[:-1]

    def loop(self, step: Any, fixed: Any, batch: Batch, size: int) -> list:
        """Such a step for each `size` samples of the batch; what they return, if the value is None."""
        self._loop = loop = step.loop(fixed, self.value, self.done)
        self._held.clear()
        loop.run(batch, size)
        self._held.append((loop.carry, None, loop.done))
        self._loop = None
        return loop.results


@functools.cache
def _keep_pages() -> None:
    """Let the C library keep the memory of arrays that a step frees for the next step.

    glibc gives blocks back to the system and fetches them anew, page by page, until the program has freed a larger one;
    that takes up to a third of a step. See https://man7.org/linux/man-pages/man3/mallopt.3.html (M_MMAP_THRESHOLD).
    """
    import numpy as np

    np.empty((32 << 20) - (64 << 10), np.uint8)  # less than the 32 MB that count; no page of it is touched


class Program:
    """A step for batches from the host: it fills up the last one, and runs several in one dispatch where that pays.

    Args:
        step: `(fixed, carry, batch) -> carry`; or an `InPlace`.
        many: The same of several batches, as `step.repeated` makes it; None where that is not wanted.
        backend, where: Where the batches go.
        size: Samples a step.
        fills: Whether a smaller batch is filled up to `size`, so that the same compiled program takes it.
        compiled: Whether `step` is compiled.
        most: How many steps one dispatch may take; "auto" for as many as pay.
        loops: Whether `step` is recorded, and runs several steps as a loop of its own.
        flat: Whether `step` and `many` take the leaves of the carry, and its `structure`.
        paces: What `pace` came to for batches of one form; other programs may begin with it.
        still: Whether nobody writes to the batches' memory until the results are there.

    Attributes:
        takes: Whether a step may take the memory of the carry that it is given.
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
        most: int | str = "auto",
        loops: bool = False,
        flat: bool = False,
        paces: dict[Any, int] | None = None,
        still: bool = False,
    ):
        self._step, self._many, self.backend, self._where = step, many, backend, where
        self._size, self.fills, self._most = size, fills, _AT_ONCE if most == "auto" else int(most)
        as_it_is = compiled and backend.takes_numpy and where is None
        put = backend.asarray if backend.compiles and not compiled else backend.staged
        self._put = None if as_it_is else functools.partial(put, device=where)
        self._copies = (as_it_is or backend.stages_in_place) and not still
        self.loops, self._flat, self.in_place = loops, flat, isinstance(step, InPlace)
        self.takes = flat or self.in_place
        self.at_once = self.pace = 1
        self._paces: dict[Any, int] = {} if paces is None else paces
        self._like: Any = None
        _keep_pages()

    def plan(self, fixed: Any, carry: Any, first: Batch, most: int | None = None) -> None:
        """Choose how many steps one dispatch takes for batches like `first`, of which there are `most`.

        Beyond one, that number depends on nothing but the batches' size: less data needs no other program.
        """
        if not (self._many or self.loops) or first.size < self._size or 1 in (most, self._most):
            return
        batch = rows(first, slice(None, self._size))
        fits = _STAGED // max(1, sum(a.nbytes for a in tree.leaves(batch)))
        if fits > 1 and (self.loops or self._repeats(fixed, carry, self._one(batch))):
            self.at_once = min(self._most, 2 ** (fits.bit_length() - 1))
            self._like = (self._step, *((a.shape, a.dtype) for a in tree.leaves(batch)))
            self.pace = min(self.at_once, self._paces.get(self._like, 1))

    def _repeats(self, fixed: Any, carry: Any, batch: Batch) -> bool:
        step = self._step
        if self._flat:
            carry, structure = tree.flatten(carry)
            step = functools.partial(step, structure=structure)
        return self.backend.repeats(step, fixed, carry, batch)

    def __call__(self, fixed: Any, carry: Any, batch: Batch, steps: int | None = None) -> Any:
        """The carry after the step, or the steps, on the samples in `batch`, however large it is if it is one step."""
        if self._singly(batch, steps):
            return self._step(fixed, carry, self._one(batch))
        held = Carry(carry)
        results = self.advance(fixed, held, batch, steps)
        return held.value if results is None else results

    def advance(self, fixed: Any, carry: Carry, batch: Batch, steps: int | None = None) -> Any:
        """The same, in place, and as far as it came if it fails. Without a carry, returns several steps' results."""
        if self._singly(batch, steps):
            return self._once(fixed, carry, batch)
        steps, rest = divmod(batch.size, self._size)
        if rest and steps and not (self.fills or self.loops):
            self.advance(fixed, carry, rows(batch, slice(None, steps * self._size)))
            return self.advance(fixed, carry, rows(batch, slice(steps * self._size, None)))
        if not steps + (rest > 0 and self.fills):
            return self._once(fixed, carry, batch)
        steps += rest > 0
        begun = time.perf_counter()
        results = None
        if self.loops:
            results = self._looped(fixed, carry, batch)
        else:
            made = self._several(batch, steps)
            carry.step(self._many, fixed, *made, steps=steps, flat=self._flat)  # type: ignore[arg-type]
        if self._like in self._paces:
            took = (time.perf_counter() - begun) / steps
            self.pace = max(1, min(self.at_once, int(_PATIENCE / took)))
        self._paces[self._like] = self.pace  # which still is 1 after the first call, that may have compiled it
        return results

    def _once(self, fixed: Any, carry: Carry, batch: Batch) -> None:
        batch = self._one(batch)
        if self.in_place:
            self._step(carry, batch)
        else:
            carry.step(self._step, fixed, batch, flat=self._flat)

    def _looped(self, fixed: Any, carry: Carry, batch: Batch) -> Any:
        results = carry.loop(self._step, fixed, self._given(self._own(batch)), self._size)
        if not results:
            return None
        xp = self.backend.xp
        return tree.map(lambda *each: xp.concat(each) if each[0].ndim else xp.stack(each), *results)

    def several(self, size: int, steps: int) -> bool:
        """Whether a call for `size` samples in so many steps has results with a first axis for the steps."""
        return self.at_once > 1 and not self.loops and not (steps == 1 and size > self._size)

    def _singly(self, batch: Batch, steps: int | None) -> bool:
        """Whether all of `batch` is for one call of the program of one step."""
        return self.at_once == 1 or (steps == 1 and batch.size > self._size)

    def _one(self, batch: Batch) -> Batch:
        size = batch.size
        return self._counted(self._own(filled(batch, self._size) if self.fills else batch), size)

    def _several(self, batch: Batch, steps: int) -> tuple[Batch, Any]:
        import numpy as np

        total = batch.size
        batch = self._own(filled(batch, self.at_once * self._size))
        batch = tree.map(lambda a: a.reshape(self.at_once, self._size, *a.shape[1:]), batch)
        batch = self._counted(batch, np.clip(total - np.arange(self.at_once) * self._size, 0, self._size))
        return batch, self._given(np.asarray(steps, np.int32))

    def _counted(self, batch: Batch, counts: Any) -> Batch:
        """`batch` as the step takes it: with the numbers of samples that count, if somebody counts them."""
        import numpy as np

        if self.fills and batch.y is not None:
            batch = Batch(batch.x, batch.y, batch.sample_weight, np.asarray(counts, np.int32))
        return self._given(batch)

    def _own(self, batch: Batch) -> Batch:
        """`batch` in memory that keeps its values until a call that takes it as it is has read it."""
        if not self._copies:
            return batch
        views = any([getattr(a, "base", None) is not None for a in tree.leaves(batch)])
        return tree.map(lambda a: a.copy(), batch) if views else batch

    def _given(self, batch: Any) -> Any:
        """`batch` as the step takes it; what is on the device already stays as it is."""
        import numpy as np

        if (put := self._put) is None:
            return batch
        return tree.map(lambda x: put(x) if isinstance(x, np.ndarray) else x, batch)

    def moved(self, batch: Batch) -> Batch:
        """`batch` on the device."""
        return tree.map(lambda x: self.backend.asarray(x, device=self._where), batch)


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
        carry: Where the newest step has put the train state, and what the steps of the epoch have accumulated.
    """

    source: Source
    epochs: int
    history: History
    callbacks: CallbackList
    epoch: int = 0
    batch: int = 0
    first: int = 0
    initial: int = 0
    done: int = 0
    skipped: int | None = None
    shuffle: bool = True
    carry: Carry = dataclasses.field(default_factory=lambda: Carry((None, None)))

    @property
    def progress(self) -> Progress:
        """What the steps of the epoch have accumulated."""
        return self.carry.value[1]

    @progress.setter
    def progress(self, progress: Progress) -> None:
        self.carry = Carry((None, progress))


class Outputs:
    """What a prediction comes to, NumPy arrays, fetched some dispatches later, so that the device never waits.

    Args:
        check: Called with the indices that the outputs come with, if they do.
    """

    def __init__(self, check: Callable[[Any], None] | None = None):
        self._check = check
        self._waiting: collections.deque[tuple[Any, int, bool]] = collections.deque()
        self._parts: list[list] = []
        self._structure: Any = None
        self._lag = 0

    def add(self, out: Any, batch: Batch, program: Program, steps: int) -> None:
        """The result of a dispatch of so many steps."""
        if not self._lag:  # nor holds everything
            held = sum(math.prod(x.shape) for x in tree.leaves((batch.x, out)))
            self._lag = max(2, min(_LAG, _UNDER_WAY // max(1, held // steps * program.at_once)))
        self._waiting.append((out, batch.size, program.several(batch.size, steps)))
        if len(self._waiting) > self._lag:
            while len(self._waiting) > self._lag // 2:  # after which those before are there
                self._fetch()

    def all(self) -> Any:
        import numpy as np

        while self._waiting:
            self._fetch()
        return tree.unflatten(self._structure, [np.concatenate(each) for each in zip(*self._parts, strict=True)])

    def _fetch(self) -> None:
        out, n, several = self._waiting.popleft()
        if self._check is not None:
            out, indices = out
            self._check(indices)
        leaves, self._structure = tree.flatten(out)
        leaves = [to_numpy(x) for x in leaves]
        self._parts.append([(x.reshape(-1, *x.shape[2:]) if several else x)[:n] for x in leaves])


# -- what goes in, and what comes out ----------------------------------------------------------------------------------


def read(
    reader: Reader, n: int, number: int, when: str, saver: Saver | None = None, heed: Callable[[], None] | None = None
) -> Batch | None:
    """`reader.read(n)`, whose errors say which batch of what it was; `saver` rests meanwhile, with `heed`."""
    if saver is not None:
        saver.rests(heed)
    try:
        return reader.read(n)
    except Exception as error:
        error.add_note(f"in batch {number} of {when}")
        raise
    finally:
        if saver is not None:
            saver.rests(None)


def numbers(progress: Progress, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The loss and the metrics that `progress`, of NumPy arrays, has come to; of custom steps, their logs."""
    logs = {}
    if float(progress.loss[1]):
        logs["loss"] = float(progress.loss[0]) / float(progress.loss[1])
    # Compiled functions sort names: the metrics' own order, or one that is the same everywhere.
    names = metrics or ordered(progress.metrics)
    return logs | {name: _number(metrics.get(name, _MEAN).result(progress.metrics[name])) for name in names}


_MEAN = Mean()


def ordered(names: Iterable[str]) -> list[str]:
    """Names of logs: "loss" first, and then by the alphabet."""
    return sorted(names, key=lambda name: (name != "loss", name))


def _number(x: Any) -> Any:
    """A metric's value: a number, or a list of them."""
    x = to_numpy(x)
    return float(x) if x.ndim == 0 else x.tolist()
