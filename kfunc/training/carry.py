"""`Carry`: the arrays that go from step to step, and whether anybody else can see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import tree
from ..typing import Tree
from .state import Progress, TrainState

__all__ = ["Carry", "TrainCarry"]


class Carry:
    """A tree of arrays that each step replaces. It keeps the newest one alone, so that memory is free again at once.

    The tree is kept flat, as compiled and recorded programs take it. Leaves, structure and count are replaced together
    by one assignment: at any time, in any thread and for any signal, they are those of one and the same step.
    """

    def __init__(self, value: Tree):
        self._now: tuple[list[Any], Any, int] = [], None, 0
        self._tree: tuple[Any, Any] = _NO_TREE
        self.replace(value, 0)

    @property
    def leaves(self) -> list[Any]:
        return self._now[0]

    @property
    def structure(self) -> Any:
        return self._now[1]

    @property
    def done(self) -> int:
        """The number of steps since the carry was made."""
        return self._now[2]

    @property
    def value(self) -> Any:
        """The tree: the same object until the next step."""
        leaves, structure, _ = self._now
        if (known := self._tree)[0] is not leaves:
            known = self._tree = leaves, tree.unflatten(structure, leaves)
        return known[1]

    def put(self, leaves: list[Any], structure: Any, steps: int = 1) -> None:
        """Replace the tree by that after so many more steps."""
        self._now = leaves, structure, self._now[2] + steps
        self._tree = _NO_TREE  # or the arrays of the step before would stay

    def replace(self, value: Tree, steps: int = 1) -> None:
        """`put` of a tree that is not flat."""
        leaves, structure = tree.flatten(value)
        self.put(leaves, structure, steps)
        self._tree = leaves, value


_NO_TREE = (None, None)


class TrainCarry(Carry):
    """The carry of a model: its train state, and the progress of the epoch under way, if there is one.

    Attributes:
        seen: Whether somebody may hold arrays of the train state. A step that takes the memory of its carry then has to
            be given copies: see `own`.
    """

    def __init__(self) -> None:
        super().__init__((None, None))
        self.seen: bool = True

    @property
    def train_state(self) -> TrainState | None:
        """The train state, for the package's own use: who hands it out sets `seen`."""
        return self.value[0]

    @train_state.setter
    def train_state(self, ts: TrainState | None) -> None:
        self.seen = True
        self.replace((ts, self.progress), 0)

    @property
    def progress(self) -> Progress | None:
        return self.value[1]

    @progress.setter
    def progress(self, progress: Progress | None) -> None:
        self.replace((self.train_state, progress), 0)

    def own(self, copy: Callable[[Any], Any]) -> None:
        """Have no array that anybody else has, by `copy(x)` of each if somebody may.

        One leaf is copied after the other, so that an array that nobody keeps is gone before the next copy is made.
        """
        if self.seen:
            leaves, self._tree = self.leaves, _NO_TREE
            for i in range(len(leaves)):
                leaves[i] = copy(leaves[i])
            self.seen = False

    @contextmanager
    def unless_it_fails(self) -> Iterator[None]:
        """A block; if it raises, the train state is again what it was, even if callbacks have put another in place."""
        before = self._now, self._tree
        try:
            yield
        except BaseException:
            self._now, self._tree = before
            raise
