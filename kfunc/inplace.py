"""Training steps that put the new state where the old one lies, for states so large that two would be too many."""

from __future__ import annotations

import bisect
import contextlib
import functools
import math
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import tree
from .ops.optimize import overwriting
from .step import TrainState

if TYPE_CHECKING:
    from .backends import Backend
    from .data.batches import Batch
    from .loop import Carry

__all__ = ["InPlace", "Slots", "undisturbed"]

_LINE = 64  # elements; the same in each piece, so that kernels have the same remainders as in the whole


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Where no handler of a signal runs, and none raises KeyboardInterrupt: they run at the end."""
    came: list[int] = []
    with contextlib.ExitStack() as after:
        after.callback(_heed, came)
        if threading.current_thread() is threading.main_thread():  # which alone runs handlers
            for number in sorted(signal.valid_signals()):  # SIGINT is among the first, and the last to be back
                if callable(handler := signal.getsignal(number)):
                    after.callback(signal.signal, number, handler)
                    signal.signal(number, lambda number, _: came.append(number))
        yield


def _heed(signals: list[int]) -> None:
    """Raise them all, whatever the handlers of the first ones raise."""
    if signals:
        try:
            signal.raise_signal(signals[0])
        finally:
            _heed(signals[1:])


class InPlace:
    """A training step that changes the arrays of parameters and of the optimizer's state, piece by piece.

    It computes everything that can fail first. Nobody else may have these arrays, and each is in one place.

    Args:
        backend: That of the arrays.
        gradients: See `step.make_gradients`.
        optimizer: One that is elementwise.
        ready: From a function to the form in which the backend runs it fastest.

    Attributes:
        large: From how many numbers on a state is updated so, and a second copy of it shows.
        size: How many numbers are updated at a time.
    """

    large = 1 << 22
    size = 1 << 18

    def __init__(self, backend: Backend, gradients: Callable, optimizer: Any, ready: Callable[[Callable], Callable]):
        self._backend, self._gradients, self._optimizer = backend, ready(gradients), optimizer

    def __call__(self, carry: Carry, batch: Batch) -> None:
        """A step: the next value of the carry, a train state and the progress."""
        ts, progress = carry.value
        sound, *out = self._gradients(ts, progress, batch)
        slots = Slots(ts)
        grads, (state, number), progress = self._apart(out, slots)
        del out
        grads = tree.leaves(grads)
        with undisturbed():
            opt_state = slots.opt_state(slots.nodes, self._updated(slots, grads) if sound else slots.rest)
            carry.put((TrainState(ts.params, state, opt_state, ts.key, number), progress))

    def _apart(self, out: Any, slots: Slots) -> Any:
        """`out` with copies of what lies in the memory that is about to be written to."""
        extent = self._backend.extent
        places = sorted(extent(x) for column in slots.columns for x in column)

        def apart(x: Any) -> Any:
            begin, end = extent(x)
            i = bisect.bisect(places, (end,)) - 1  # the last one that begins before the end
            return self._backend.released(x) if i >= 0 and begin < places[i][1] else x

        return tree.map(apart, out)

    def _updated(self, slots: Slots, grads: list) -> list:
        """The `rest` after the update; takes the gradients, which it needs no more then, from their list."""
        rest = slots.rest
        for group in _groups(tuple(slots.sizes), self.size):
            names = self._names(slots, group)

            def pieces(column: list, names: list = names, group: tuple = group) -> dict[str, Any]:
                return {name: self._piece(column[i], *part) for name, (i, *part) in zip(names, group, strict=True)}

            params, *old = map(pieces, slots.columns)
            params, state = self._update(pieces(grads), slots.opt_state(old, slots.rest), params)
            new, rest = slots.parts(state)
            for column, values in zip(slots.columns, (params, *new), strict=True):
                for name, (i, *part) in zip(names, group, strict=True):
                    self._write(column[i], *part, values[name])
            for i, _, end in group:
                if end == slots.sizes[i]:
                    grads[i] = None
        return rest

    def _names(self, slots: Slots, group: tuple) -> list[str]:
        """What the optimizer is told that the leaves of a group are called."""
        return [slots.names[i] for i, *_ in group]

    def _update(self, grads: dict, opt_state: Any, params: dict) -> tuple[dict, Any]:
        """The parameters and the optimizer's state after an update of pieces, which it may write to."""
        with overwriting():
            updates, opt_state = self._optimizer.update(grads, opt_state, params)
        for name, update in updates.items():
            params[name] += update
        return params, opt_state

    def _piece(self, x: Any, begin: int, end: int) -> Any:
        """Numbers of an array as an array of one axis."""
        return x.reshape(-1)[begin:end]

    def _write(self, x: Any, begin: int, end: int, values: Any) -> None:
        piece = self._piece(x, begin, end)
        if self._backend.extent(piece) != self._backend.extent(values):
            piece[...] = values


class Slots:
    """What of a train state is like its parameters, and the rest of the optimizer's state.

    Attributes:
        names, sizes: The paths of the parameters, and how many numbers each has.
        columns: The leaves of the parameters; and those of each part of the optimizer's state that is like them.
        nodes: These parts.
        rest: What else the optimizer's state holds, arrays ().
    """

    def __init__(self, ts: TrainState):
        structure = tree.structure(ts.params)
        parts, self._outer = tree.flatten(ts.opt_state, until=lambda x: tree.structure(x) == structure)
        self._alike = [tree.structure(x) == structure for x in parts]
        self.nodes, self.rest = self._split(parts)
        self.names = tree.paths(ts.params)
        self.columns = [tree.leaves(x) for x in (ts.params, *self.nodes)]
        self.sizes = [math.prod(x.shape) for x in self.columns[0]]

    def opt_state(self, nodes: list, rest: list) -> Any:
        """An optimizer's state of these parts."""
        nodes, rest = iter(nodes), iter(rest)
        return tree.unflatten(self._outer, [next(nodes if alike else rest) for alike in self._alike])

    def parts(self, opt_state: Any) -> tuple[list, list]:
        """The `nodes` and the `rest` of another one."""
        return self._split(tree.up_to(self._outer, opt_state))

    def _split(self, parts: list) -> tuple[list, list]:
        pairs = list(zip(parts, self._alike, strict=True))
        return [x for x, alike in pairs if alike], [x for x, alike in pairs if not alike]


@functools.lru_cache
def _groups(sizes: tuple[int, ...], most: int) -> list[tuple[tuple[int, int, int], ...]]:
    """Pieces of arrays of these sizes, `(which, begin, end)`, in groups of `most` numbers to work on at a time."""
    groups, group, filled = [], [], 0
    for i, size in enumerate(sizes):
        if size > most:
            step = -(-size // -(-size // most))
            step += -step % _LINE
            groups += [((i, begin, min(begin + step, size)),) for begin in range(0, size, step)]
            continue
        if filled + size > most:
            groups.append(tuple(group))
            group, filled = [], 0
        group.append((i, 0, size))
        filled += size
    return [*groups, tuple(group)] if group else groups
