"""`Carry`: the arrays that go from step to step, and whether anybody else can see them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from .. import tree
from ..errors import ArgumentError
from ..typing import Tree
from .state import Progress, TrainState

__all__ = ["Carry", "TrainCarry"]

T = TypeVar("T")


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

    Other threads may read the train state at any time, while one thread trains. A step that makes new arrays needs
    nothing for that: it replaces the state by one assignment. A step that takes the memory of the old arrays does so
    within `taking`, and there `own` copies the arrays that anybody reads. So a thread that reads waits for the end of
    the step that takes memory just now, and training never waits for the reader.

    Attributes:
        seen: Whether somebody may hold arrays of the train state for ever. See `own`.
        lock: Held while the parts of the model that belong together are read or replaced, for moments only.
        taking: A context for the moments in which a step takes the memory of its carry.
        arranged: How often layers were frozen or unfrozen, which moves arrays between parameters and state.
        fits: How many calls of `fit` and `train_on_batch` are under way. All of them are of one thread.
    """

    def __init__(self) -> None:
        super().__init__((None, None))
        self.seen: bool = True
        self.lock: AbstractContextManager[Any] = threading.RLock()
        self.taking: _Taking = _Taking()
        self.arranged: int = 0
        self.fits: int = 0
        self._gate = threading.Lock()
        self._owner: int | None = None  # the thread that may replace the train state, if no other may
        self._depth = 0
        self._readers: set[_Lent] = set()
        self._undo: dict[int, _Undo] = {}  # by thread

    # -- the state, for the thread that trains -----------------------------------------------------------------------

    @property
    def train_state(self) -> TrainState | None:
        """The train state, for the package's own use: who hands it out sets `seen`."""
        return self.value[0]

    # The leaves of the progress are the last ones. Steps that run alone read and replace it each time: to make the
    # whole tree for that, and to take it apart, would take as long as a twentieth of a small step.

    @property
    def progress(self) -> Progress | None:
        leaves, structure, _ = self._now
        part = structure.child(1)
        return tree.unflatten(part, leaves[len(leaves) - part.num_leaves :])

    @progress.setter
    def progress(self, progress: Progress | None) -> None:
        leaves, structure, _ = self._now
        (found, part), old = tree.flatten(progress), structure.child(1)
        if part != old:
            self.replace((self.train_state, progress), 0)
            return
        known, new = self._tree, [*leaves[: len(leaves) - len(found)], *found]
        self.put(new, structure, 0)
        if known[0] is leaves:  # the train state stays the same object, by which callbacks know it
            self._tree = new, (known[1][0], progress)

    def own(self, copy: Callable[[Any], Any]) -> None:
        """Have no array that anybody else has, by `copy(x)` of each if somebody may. Call it within `taking`.

        One leaf is copied after the other, so that an array that nobody keeps is gone before the next copy is made.
        """
        if self.seen or self._readers:
            leaves, self._tree = self.leaves, _NO_TREE
            for i in range(len(leaves)):
                leaves[i] = copy(leaves[i])
            # A new list: while the old one changed, another thread may have made a tree of it, which nobody may use.
            self._now = list(leaves), *self._now[1:]
            self.seen = False
            self._readers.clear()  # what they read is theirs alone now

    # -- for all threads ---------------------------------------------------------------------------------------------

    def show(self) -> TrainState | None:
        """The train state, for somebody who may keep its arrays for ever."""

        def read() -> TrainState | None:
            self.seen = True
            return self.train_state

        return self.taking.wait_and(read)

    def lent(self) -> AbstractContextManager[TrainState]:
        """A block with the train state as it is now: no step takes its memory before the end of the block."""
        return _Lent(self)

    def assign(self, ts: TrainState | None, seen: bool | None = True) -> None:
        """Replace the train state.

        Args:
            ts: The new one.
            seen: Whether somebody may hold arrays of it for ever; None if that is as it was for the old one.

        Raises:
            ArgumentError: Another thread trains the model.
        """
        with self.lock:
            self.check_mine()
            if (undo := self._undo.get(threading.get_ident())) is not None:
                undo.note()
            self.begin_with(ts, seen)

    def begin_with(self, ts: TrainState | None, seen: bool | None = True) -> None:
        """The same where nobody can have begun to train, as the caller has `lock`, and there was no fit before."""

        def replace() -> None:
            self.seen = self.seen if seen is None else seen
            self.replace((ts, self.progress), 0)

        self.taking.wait_and(replace)

    # -- who may replace the state -----------------------------------------------------------------------------------

    @property
    def owned(self) -> bool:
        """Whether a thread, maybe this one, trains the model or evaluates it with a state that it will take back."""
        return self._owner is not None

    def check_mine(self) -> None:
        """Raise ArgumentError if another thread trains the model."""
        if self._owner not in (None, threading.get_ident()):
            raise ArgumentError(
                "The model is being trained by another thread."
                if self.fits
                else "Another thread evaluates the model with a train state that a callback has put in place.",
                expected="one thread at a time that trains a model, or changes its train state",
                fix="wait for the end of that call, or train a copy: copy.copy(model); predict, evaluate and save may "
                "run at any time",
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block in which no other thread may replace the train state. Blocks of one thread may be nested.

        Raises:
            ArgumentError: Another thread is in such a block.
        """
        entered = False
        try:
            with self._gate:
                self.check_mine()
                me = threading.get_ident()
                # No call stands between these, so that no Ctrl-C comes between them.
                self._owner, self._depth, entered = me, self._depth + 1, True
            yield
        finally:
            if entered:
                with self._gate:
                    self._depth -= 1
                    if not self._depth:
                        self._owner = None

    @contextmanager
    def training(self) -> Iterator[None]:
        """A block that trains. Inside a `fit` whose callback it is, the epoch of that `fit` goes on after it.

        Raises:
            ArgumentError: Another thread trains the model.
        """
        with self.alone():
            progress, self.fits = self.progress, self.fits + 1
            try:
                yield
            finally:
                self.fits -= 1
                if self.fits:
                    self.progress = progress

    def unless_it_fails(self) -> AbstractContextManager[None]:
        """A block; if it raises, a train state that this thread has assigned in the block is taken back.

        From the first such assignment to the end of the block, no other thread may train: it would go on from a state
        that is about to be taken back, and its work would be lost.
        """
        return _Undo(self)


class _Lent(AbstractContextManager[TrainState]):
    """See `TrainCarry.lent`."""

    def __init__(self, carry: TrainCarry):
        self._carry = carry

    def __enter__(self) -> TrainState:
        return self._carry.taking.wait_and(self._read)

    def _read(self) -> Any:
        self._carry._readers.add(self)
        return self._carry.train_state

    def __exit__(self, *_: Any) -> None:
        self._carry._readers.discard(self)


class _Undo(AbstractContextManager[None]):
    """See `TrainCarry.unless_it_fails`."""

    def __init__(self, carry: TrainCarry):
        self._carry = carry
        self._outer: _Undo | None = None
        self._held: contextlib.ExitStack | None = None  # from the first assignment on
        self._before: TrainState | None = None

    def __enter__(self) -> None:
        undo, me = self._carry._undo, threading.get_ident()
        self._outer = undo.get(me)
        undo[me] = self

    def note(self) -> None:
        """The train state is about to be replaced."""
        if self._outer is not None:
            self._outer.note()
        if self._held is None and self._carry.train_state is not None:
            self._held = contextlib.ExitStack()
            self._held.enter_context(self._carry.alone())
            self._before = self._held.enter_context(self._carry.lent())

    def __exit__(self, error: type[BaseException] | None, *_: Any) -> None:
        undo, me = self._carry._undo, threading.get_ident()
        with self._held or contextlib.nullcontext():
            if error is not None and self._before is not None:
                self._carry.assign(self._before)
            if self._outer is None:
                del undo[me]
            else:
                undo[me] = self._outer


class _Taking(AbstractContextManager[None]):
    """`with` it, a step takes the memory of its carry: it waits for those who read, and they wait for its end.

    A thread that is about to read holds `_turn`. Without that, a thread that takes one step right after the other
    would get the lock again each time, before those who wait for it have woken up.
    """

    def __init__(self) -> None:
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._thread: int | None = None

    def __enter__(self) -> None:
        with self._turn:
            self._lock.acquire()
        self._thread = threading.get_ident()

    def __exit__(self, *_: Any) -> None:
        self._thread = None
        self._lock.release()

    def wait_and(self, read: Callable[[], T]) -> T:
        """`read()`, which takes a moment, while no step of another thread takes memory."""
        if self._thread == threading.get_ident():  # Python that runs within the step, as it is compiled
            return read()
        with self._turn, self._lock:
            return read()
