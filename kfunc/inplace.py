"""Training steps that put the new state where the old one lies, for states so large that two would be too many."""

from __future__ import annotations

import contextlib
import functools
import math
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import tree
from .step import TrainState

if TYPE_CHECKING:
    from .data.batches import Batch
    from .loop import Carry

__all__ = ["InPlace", "is_large", "undisturbed"]

_LARGE = 1 << 22
_PIECE = 1 << 18
_LINE = 64  # elements; the same in each piece, so that kernels have the same remainders as in the whole


def is_large(state: Any) -> bool:
    """Whether a second copy of this tree of arrays would show."""
    return sum(math.prod(x.shape) for x in tree.leaves(state)) >= _LARGE


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Where no handler of a signal runs, and none raises KeyboardInterrupt: what comes meanwhile is heeded at the end."""
    if threading.current_thread() is not threading.main_thread():  # which alone runs handlers
        yield
        return
    found = {number: signal.getsignal(number) for number in signal.valid_signals()}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    came: list[int] = []
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


class InPlace:
    """A training step that changes the arrays of parameters and of the optimizer's state, piece by piece.

    It computes everything that can fail first. Nobody else may have these arrays, and each is in one place.

    Args:
        gradients: See `step.make_gradients`.
        update: See `step.make_update`, of an optimizer that is elementwise.
        ready: From a function to the form in which the backend runs it fastest.
    """

    def __init__(self, gradients: Callable, update: Callable, ready: Callable[[Callable], Callable]):
        self._gradients = ready(gradients)
        # One for each group of leaves: the optimizer may look at their paths.
        self._updates = functools.cache(lambda group: ready(update))

    def __call__(self, carry: Carry, batch: Batch) -> None:
        """A step: the next value of the carry, a train state and the progress."""
        ts, progress = carry.value
        sound, grads, (state, number), progress = self._gradients(ts, progress, batch)
        grads = tree.leaves(grads)
        with undisturbed():
            opt_state = self._updated(ts, grads) if sound else ts.opt_state
            carry.put((TrainState(ts.params, state, opt_state, ts.key, number), progress))

    def _updated(self, ts: TrainState, grads: list) -> Any:
        """The optimizer's state after the update; takes the gradients, which it needs no more then, from their list."""
        params, structure = tree.flatten(ts.params)
        names = tree.paths(ts.params)
        nodes, outer = tree.flatten(ts.opt_state, until=lambda x: tree.structure(x) == structure)
        slots = {i: tree.leaves(node) for i, node in enumerate(nodes) if tree.structure(node) == structure}
        after = nodes
        for group in _groups(tuple([math.prod(x.shape) for x in params])):

            def piece(column: list, group: tuple = group) -> dict[str, Any]:
                return {names[i]: column[i].reshape(-1)[begin:end] for i, begin, end in group}

            old, given = {i: piece(column) for i, column in slots.items()}, piece(params)
            state = tree.unflatten(outer, [old.get(i, node) for i, node in enumerate(nodes)])
            update = self._updates(tuple([i for i, *_ in group]))
            new, state = update(piece(grads), state, given)
            after = tree.up_to(outer, state)
            for into, values in ((given, new), *((old[i], after[i]) for i in old)):
                for name, x in into.items():
                    x[...] = values[name]
            for i, _, end in group:
                if end == math.prod(params[i].shape):
                    grads[i] = None
        return tree.unflatten(outer, [node if i in slots else after[i] for i, node in enumerate(nodes)])


@functools.lru_cache
def _groups(sizes: tuple[int, ...]) -> list[tuple[tuple[int, int, int], ...]]:
    """Pieces of arrays of these sizes, `(which, begin, end)`, in groups to work on at a time."""
    groups, group, filled = [], [], 0
    for i, size in enumerate(sizes):
        if size > _PIECE:
            step = -(-size // -(-size // _PIECE))
            step += -step % _LINE
            groups += [((i, begin, min(begin + step, size)),) for begin in range(0, size, step)]
            continue
        if filled + size > _PIECE:
            groups.append(tuple(group))
            group, filled = [], 0
        group.append((i, 0, size))
        filled += size
    return [*groups, tuple(group)] if group else groups
