"""Training steps that put the new state where the old one lies, for states so large that two would be too many."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from .. import tree
from .state import TrainState
from .step import make_update

if TYPE_CHECKING:
    from ..backends import Backend
    from ..data.batches import Batch
    from .carry import Carry

__all__ = ["InPlace", "Slots"]

_LINE = 64  # elements; the same in each piece, so that kernels have the same remainders as in the whole


class InPlace:
    """A training step that changes large arrays of parameters and of the optimizer's state, piece by piece.

    It computes everything that can fail first. Nobody else may have these arrays, and each is in one place. Small ones
    it replaces, a few at a time.

    Args:
        backend: That of the arrays.
        ready: From a function to the form in which the backend runs it fastest.
        gradients: See `step.make_gradients`.
        optimizer: One that is elementwise.
    """

    def __init__(self, backend: Backend, ready: Callable[..., Callable], gradients: Callable, optimizer: Any):
        self._backend, self._gradients, self._optimizer = backend, ready(gradients), optimizer
        self._slots: dict[Any, Slots] = {}
        self._update: Callable = self._overwrite
        self._known: dict[tuple, list[str]] = {}
        if backend.compiles:
            self._update = ready(make_update(optimizer), any_size=True)

    def __call__(self, carry: Carry, batch: Batch, closed: AbstractContextManager) -> None:
        """A step: the next value of the carry, a train state and the progress.

        The update, in which half of the state is new, is done within `closed`, where signals wait.
        """
        ts, progress = carry.value
        sound, *out = self._gradients(ts, progress, batch)
        form = tree.structure((ts.params, ts.opt_state))
        slots = self._slots.get(form) or self._slots.setdefault(form, Slots(ts, self._optimizer.elementwise))
        nodes, rest = slots.parts(ts.opt_state)
        columns = [tree.leaves(x) for x in (ts.params, *nodes)]
        grads, (state, number), progress = self._apart(out, columns)
        del out
        with closed:
            params, opt_state = ts.params, ts.opt_state
            if sound:
                params, opt_state = self._updated(slots, columns, rest, tree.leaves(grads))
            carry.replace((TrainState(params, state, opt_state, ts.key, number), progress))

    def _apart(self, out: Any, columns: list[list]) -> Any:
        """`out` with copies of what lies in the memory that is about to be written to."""
        extent = self._backend.extent
        places = sorted(extent(x) for column in columns for x in column)

        def apart(x: Any) -> Any:
            begin, end = extent(x)
            i = bisect.bisect(places, (end,)) - 1  # the last one that begins before the end
            return self._backend.released(x) if i >= 0 and begin < places[i][1] else x

        return tree.map(apart, out)

    def _updated(self, slots: Slots, columns: list[list], before: list, grads: list) -> tuple[Any, Any]:
        """The parameters and the optimizer's state after the update of the columns, and the rest, with these gradients.

        The columns are the leaves of the parameters, and those of each part of the optimizer's state that is like them.
        """
        rest = before
        for group in _groups(tuple([math.prod(x.shape) for x in columns[0]]), self._backend.piece):
            # One program for all groups of leaves that the optimizer treats alike: by the names of the first one.
            treated = tuple([slots.treated[i] for i, _ in group])
            names = self._known.setdefault(treated, [slots.names[i] for i, _ in group])

            def pieces(column: list, names: list = names, group: tuple = group) -> dict[str, Any]:
                return {
                    name: column[i] if part is None else self._backend.part(column[i], part)
                    for name, (i, part) in zip(names, group, strict=True)
                }

            params, *old = map(pieces, columns)
            params, after = self._update(pieces(grads), slots.opt_state(old, before), params)
            new, rest = slots.parts(after)
            for column, values in zip(columns, (params, *new), strict=True):
                for name, (i, part) in zip(names, group, strict=True):
                    if part is None:
                        column[i] = values[name]
                    else:
                        self._backend.write(column[i], part, values[name])
        params, *nodes = (tree.unflatten(slots.structure, column) for column in columns)
        return params, slots.opt_state(nodes, rest)

    def _overwrite(self, grads: dict, opt_state: Any, params: dict) -> tuple[dict, Any]:
        """See `step.make_update`; of arrays that may be written to."""
        updates, opt_state = self._optimizer.update(grads, opt_state, params, overwrite=True)
        for name, update in updates.items():
            params[name] += update
        return params, opt_state


class Slots:
    """Where in a train state there is something like its parameters.

    Attributes:
        structure, names: That of the parameters, and their paths.
        treated: What `elementwise` of the optimizer says of each.
    """

    def __init__(self, ts: TrainState, elementwise: Callable[[str], Any]):
        self.structure, self.names = tree.structure(ts.params), tree.paths(ts.params)
        self.treated = list(map(elementwise, self.names))
        parts, self._outer = tree.flatten(ts.opt_state, until=lambda x: tree.structure(x) == self.structure)
        self._alike = [tree.structure(x) == self.structure for x in parts]

    def parts(self, opt_state: Any) -> tuple[list, list]:
        """What is like the parameters in an optimizer's state, and the rest, arrays ()."""
        pairs = list(zip(tree.up_to(self._outer, opt_state), self._alike, strict=True))
        return [x for x, alike in pairs if alike], [x for x, alike in pairs if not alike]

    def opt_state(self, nodes: list, rest: list) -> Any:
        """An optimizer's state of these parts."""
        both = iter(rest), iter(nodes)
        return tree.unflatten(self._outer, [next(both[alike]) for alike in self._alike])


@functools.lru_cache
def _groups(sizes: tuple[int, ...], most: int) -> list[tuple[tuple[int, slice | None], ...]]:
    """Arrays of these sizes in groups of `most` numbers to work on at a time: which, and what part of it if not all."""
    groups: list[tuple[tuple[int, slice | None], ...]] = []
    group: list[tuple[int, slice | None]] = []
    filled = 0
    for i, size in enumerate(sizes):
        if size > most:
            step = -(-size // -(-size // most))
            step += -step % _LINE
            groups += [((i, slice(begin, min(begin + step, size))),) for begin in range(0, size, step)]
            continue
        if filled + size > most:
            groups.append(tuple(group))
            group, filled = [], 0
        group.append((i, None))
        filled += size
    return [*groups, tuple(group)] if group else groups
