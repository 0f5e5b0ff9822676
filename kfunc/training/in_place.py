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
    from .carry import TrainCarry

__all__ = ["InPlace", "Slots"]

_LINE = 64  # elements: pieces begin at multiples of it, so that vector instructions round as they do on the whole array


class InPlace:
    """A training step that overwrites large arrays of parameters and of the optimizer's state, piece by piece.

    First it computes everything that can fail. Large arrays that somebody else has are copied before; none may stand at
    two places of the state. Small arrays are replaced, a few at a time.

    Args:
        backend: The backend of the arrays.
        ready: Brings a function into the form in which the backend runs it fastest.
        gradients: See `step.make_gradients`.
        optimizer: An optimizer that is elementwise: its update of a number depends on no other number.
    """

    def __init__(self, backend: Backend, ready: Callable[..., Callable], gradients: Callable[..., Any], optimizer: Any):
        self._backend, self._gradients, self._optimizer = backend, ready(gradients), optimizer
        self._slots: dict[Any, Slots] = {}
        self._update: Callable[..., Any] = self._overwrite
        self._known: dict[tuple, list[str]] = {}
        if backend.compiles:
            self._update = ready(make_update(optimizer), any_size=True)

    def __call__(self, carry: TrainCarry, batch: Batch, closed: AbstractContextManager[Any]) -> None:
        """A step: the next value of the carry, a train state and the progress.

        The update, in which half of the state is new, is done within `closed`, where signals wait, and where threads
        that read the state wait, too.
        """
        sound, *out = self._gradients(*carry.value, batch)
        with closed, carry.taking:
            carry.own(self._backend.released)
            ts = carry.value[0]
            form = tree.structure((ts.params, ts.opt_state))
            slots = self._slots.get(form) or self._slots.setdefault(form, Slots(ts, self._optimizer.elementwise))
            nodes, rest = slots.parts(ts.opt_state)
            columns = [tree.leaves(x) for x in (ts.params, *nodes)]
            grads, (state, number), progress = self._apart(out, columns)
            del out
            params, opt_state = ts.params, ts.opt_state
            if sound:
                params, opt_state = self._updated(slots, columns, rest, tree.leaves(grads))
            carry.replace((TrainState(params, state, opt_state, ts.key, number), progress))

    def _apart(self, out: Any, columns: list[list]) -> Any:
        """`out` with copies of arrays that are about to be overwritten: a gradient may be a parameter itself."""
        extent = self._backend.extent
        places = sorted(extent(x) for column in columns for x in column)

        def apart(x: Any) -> Any:
            begin, end = extent(x)
            i = bisect.bisect(places, (end,)) - 1  # the last place that begins before the end
            return self._backend.released(x) if i >= 0 and begin < places[i][1] else x

        return tree.map(apart, out)

    def _updated(self, slots: Slots, columns: list[list], before: list, grads: list) -> tuple[Any, Any]:
        """The parameters and the optimizer's state after the update with these gradients.

        Args:
            slots: Where in the optimizer's state there are trees like that of the parameters.
            columns: The leaves of the parameters, and those of each such tree.
            before: The other leaves of the optimizer's state.
            grads: The leaves of the gradients.
        """
        rest = before
        for group in _groups(tuple([math.prod(x.shape) for x in columns[0]]), self._backend.piece):
            # All groups of leaves that the optimizer treats alike have the names of the first such group, so that one
            # compiled program will do for them.
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
        """See `step.make_update`; it writes into the arrays that it is given."""
        updates, opt_state = self._optimizer.update(grads, opt_state, params, overwrite=True)
        for name, update in updates.items():
            params[name] += update
        return params, opt_state


class Slots:
    """Where in an optimizer's state there are trees like that of the parameters, such as Adam's means.

    Attributes:
        structure, names: The structure of the parameters, and their paths.
        treated: For each parameter, the answer of the optimizer's `elementwise`: equal ones are treated alike.
    """

    def __init__(self, ts: TrainState, elementwise: Callable[[str], Any]):
        self.structure: Any = tree.structure(ts.params)
        self.names: list[str] = tree.paths(ts.params)
        self.treated: list[Any] = list(map(elementwise, self.names))
        parts, self._outer = tree.flatten(ts.opt_state, until=lambda x: tree.structure(x) == self.structure)
        self._alike = [tree.structure(x) == self.structure for x in parts]

    def parts(self, opt_state: Any) -> tuple[list[Any], list[Any]]:
        """The trees like that of the parameters in an optimizer's state, and the rest, arrays ()."""
        pairs = list(zip(tree.up_to(self._outer, opt_state), self._alike, strict=True))
        return [x for x, alike in pairs if alike], [x for x, alike in pairs if not alike]

    def opt_state(self, nodes: list[Any], rest: list[Any]) -> Any:
        """An optimizer's state of these parts."""
        both = iter(rest), iter(nodes)
        return tree.unflatten(self._outer, [next(both[alike]) for alike in self._alike])


@functools.lru_cache
def _groups(sizes: tuple[int, ...], most: int) -> list[tuple[tuple[int, slice | None], ...]]:
    """Arrays of these sizes in groups of at most `most` numbers: the number of each array, and which part of it."""
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
