"""Sources that read batches one by one: from iterables, and by their numbers."""

from __future__ import annotations

import collections
import copy
import itertools
import operator
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from .. import checks
from ..backends import loaded
from ..errors import DataError, ResumeWarning
from .batches import Batch, check_like, unpacked
from .prefetch import Ahead
from .protocol import Reader, Source
from .states import States, packed, unpacked_state
from .trail import Trail, digest

__all__ = ["ItemSource", "IterableSource", "first_of", "length"]

S = TypeVar("S", bound="ItemSource")


class ItemSource(Source):
    """Batches that are read one by one, in the background.

    Args:
        item: The first batch, as the user's data yields it.
        steps: Number of batches an epoch; None for all.
    """

    _rereads: bool = True
    """Whether a resumed training reads all batches again."""

    def __init__(self, item: Any, steps: int | None):
        self._asked = checks.count("steps_per_epoch", steps, none=True)
        self.first: Batch = first_of(lambda: unpacked(item))
        self._own = self.first
        self.batch_size: int = self.first.size
        self._changes: tuple[Callable[[Batch], Batch], ...] = ()
        self._checks: tuple[Callable[[Batch], None], ...] = ()
        self._epochs = 0  # that were begun or skipped
        self._trail: Trail | None = None

    def follow(self, name: str, wanted: Sequence[int] = (), kept: Any = None, shared: bool = False) -> None:
        self._trail = Trail(name, self._own, wanted, self._rereads, late=kept is not None)

    def mark(self, batch: int | None = None) -> list[int]:
        return [] if self._trail is None else self._trail.mark(batch)

    def _begin(self, start: int = 0, before: int = 0) -> None:
        self._epochs += 1
        if self._trail is not None:
            self._trail.begin(start, before)

    def check(self, check: Callable[[Batch], None]) -> None:
        self._checks += (check,)

    def map(self: S, change: Callable[[Batch], Batch]) -> S:
        other = copy.copy(self)
        other._changes += (change,)
        other.first = first_of(lambda: change(self.first))
        return other

    def view(self: S, steps: int | None) -> S:
        other = copy.copy(self)
        other.first, other._changes, other._checks = self._own, (), ()
        other._epochs, other._trail = 0, None
        other._asked = self._asked if steps is None else checks.count("steps_per_epoch", steps)
        return other

    def batch(self, item: Any) -> Batch:
        """An item as a batch, changed and checked; it must have the structure of the first one."""
        batch = unpacked(item)
        if self._trail is not None:
            self._trail.note(batch)
        check_like(self._own, batch)
        for change in self._changes:
            batch = change(batch)
        for check in self._checks:
            check(batch)
        return batch

    def _preparing(self, move: Callable[[Batch], Batch] | None) -> Callable[[Any], Batch]:
        """The function that makes a batch of an item, and moves it to the device if it has the usual size."""
        if move is None:
            return self.batch

        def prepare(item: Any) -> Batch:
            batch = self.batch(item)
            return move(batch) if batch.size == self.batch_size else batch

        return prepare


def first_of(fun: Callable[[], Any]) -> Any:
    """`fun()`; its errors get a note that they come from the first batch."""
    try:
        return fun()
    except Exception as error:
        error.add_note("in the first batch, which is read before training")
        raise


def length(x: Any) -> int | None:
    """How many batches `x` has; None if it has no length, or no end."""
    try:
        found = len(x)
    except (TypeError, NotImplementedError):
        return None
    return None if found == sys.maxsize else found


def _is_endless(x: Any) -> bool:
    """Whether it is known that `x` has no end: data sets that repeat, and itertools. A generator does not say."""
    if isinstance(x, itertools.cycle | itertools.count):
        return True
    if isinstance(x, itertools.repeat):
        return operator.length_hint(x, -1) < 0
    return any(backend.is_endless(x) for backend in loaded())


class IterableSource(ItemSource):
    """Batches from an iterable.

    An iterator, such as a generator, can be read once: each epoch of `steps` batches goes on where the last one
    stopped, and without `steps` there is one epoch. Any other iterable is iterated over again in each epoch; with
    `steps`, it is iterated over as often as needed, and each epoch goes on where the last one stopped.

    The first batch is read when the source is made, and some batches are read ahead. They cannot be put back into an
    iterator: when `fit` is given an iterator and fails, the batches that were read ahead are lost. A source that you
    make yourself, `data = kf.data.source(generator)`, keeps them; give it to `fit` again.

    Args:
        batches: The iterable.
        steps: Number of batches an epoch.

    Raises:
        DataError: There are no batches, or (when they are read) fewer than `steps`.
    """

    def __init__(self, batches: Iterable[Any], steps: int | None = None):
        self._stream = _Stream(batches)
        self._kept: Any = None  # the state that a checkpoint holds, until the data have it
        self._passed_over: list[int] = []  # the `before` of each epoch that was not read, since there is a state
        self._name = "x"
        super().__init__(first_of(self._stream.peek), steps)

    @property
    def batches(self) -> Iterable[Any]:
        """The iterable."""
        return self._stream.batches

    def follow(self, name: str, wanted: Sequence[int] = (), kept: Any = None, shared: bool = False) -> None:
        super().follow(name, wanted, kept, shared)
        self._name, self._kept, self._passed_over = name, kept, []
        self._stream.keep_states(digest(self._own), shared)

    def kept(self, batch: int | None = None) -> Any:
        states = self._stream.states
        if self._kept is not None or states is None or self._trail is None:
            return self._kept
        if states.problem and not states.told:
            states.told = True
            warnings.warn(
                ResumeWarning(
                    f"The state of `{self._name}` cannot be saved: {states.problem} A resumed training will read the "
                    "data again from their beginning.",
                    argument=self._name,
                    expected="numbers, texts, bytes and arrays, in dicts, lists and tuples",
                    fix="return only these",
                ),
                stacklevel=2,
            )
        number = self._stream.last(batch)
        state = states.found.get(number)
        return None if state is None else {"number": number, "digest": self._trail.before(batch), **state}

    def view(self, steps: int | None) -> IterableSource:
        other = super().view(steps)
        other._kept, other._passed_over = None, []
        return other

    def _begin_read(self, wanted: int | None = None) -> bool:
        """Begin an epoch, and say whether the data are where a checkpoint says, since they got their state of then.

        `wanted` is the number, in the stream, of the last batch that was read, where it is known. It is read again, and
        if it is another one than it was, the data are read from their beginning, as those without a state.
        """
        trail, kept = self._trail, self._kept
        if kept is None or trail is None:
            self._begin()
            return False
        self._kept = None
        try:
            if trail.place[0] != self._epochs + 1 or trail.place[1] < 1 or wanted not in (None, kept["number"]):
                raise ValueError("it belongs to another place in the data")
            last = unpacked(self._stream.restore(kept))
            if not trail.ends_with(last, kept["digest"]):
                raise ValueError("it does not bring back all that the batches depend on")
        except Exception as error:  # of the user's code
            self._stream.undo()
            warnings.warn(
                ResumeWarning(
                    f"The state of `{self._name}` that was saved cannot be restored, so the data are read again from "
                    "their beginning.",
                    argument=self._name,
                    expected="data that take the state that they returned before training was interrupted",
                    got=f"{type(error).__name__}: {error}",
                    fix="let the state hold all that is random in the data",
                ),
                stacklevel=2,
            )
            self._epochs = trail.epochs = 0
            trail.check_first()
            for before in self._passed_over:
                self.skip(before)
            self._begin()
            return False
        self._begin(trail.place[1] - 1, kept["digest"])
        trail.note(last)
        return True

    @property
    def steps(self) -> int | None:
        return length(self._stream.batches) if self._asked is None else self._asked

    def epoch(
        self,
        key: Any = None,
        start: int = 0,
        before: int = 0,
        step: int = 0,
        move: Callable[[Batch], Batch] | None = None,
    ) -> Reader:
        if self._asked is None and _is_endless(self._stream.batches):
            raise DataError(
                "`x` yields batches without end, and no number of steps is given.",
                argument="steps_per_epoch",
                expected="a number: after how many batches an epoch ends",
                got=None,
                fix="give steps_per_epoch to fit, steps to evaluate and predict, validation_steps for validation_data",
            )
        while self._epochs < before:
            self.skip(self._epochs)
        restored = self._begin_read(start + before * (self._asked or 0) - 1)
        stream = self._stream
        items = stream.items(self._asked, start, before, self._passed, restored)
        return Ahead(items, self._preparing(move), self.batch_size, back=stream.give_back, used=stream.used)

    def skip(self, before: int = 0) -> None:
        trail, stream = self._trail, self._stream
        if self._kept is not None and trail is not None and trail.place[0] > self._epochs + 1:
            self._passed_over.append(before)
            self._begin()
        elif self._kept is None and (stream.forgets or (trail is not None and trail.lost and not stream.once)):
            self._begin()  # the state would not be that of the other process anyway
        else:
            restored = self._begin_read()
            left = stream.rest(self._asked) if restored else stream.items(self._asked, 0, before, self._passed)
            for item in left:
                self._passed(item)

    def _passed(self, item: Any) -> None:
        """An item that another process has used was read again."""
        if self._trail is not None:
            self._trail.note(unpacked(item))


class _Stream:
    """The items of an iterable, over as many iterations as are needed.

    Attributes:
        batches: The iterable.
        once: Whether it can be iterated over only once.
        forgets: Whether one iteration does not depend on those before it.
        states: The states of the iterable while it is read, if it has some and a checkpoint may need them.
    """

    def __init__(self, batches: Iterable[Any]):
        self.batches = batches
        self.once = isinstance(batches, Iterator)
        # PyTorch's samplers with `set_epoch` draw the order from the number of the epoch, which a callback tells them.
        sampler, batch_sampler = (getattr(batches, name, None) for name in ("sampler", "batch_sampler"))
        owners = (batches, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
        self.forgets = type(batches) in (list, tuple) or any(hasattr(owner, "set_epoch") for owner in owners)
        self._iterator, self._begun, self._taken = iter(batches), 1, 0
        self._ahead: collections.deque = collections.deque()
        self.states: States | None = None
        self._start, self._origin, self._head = 0, 0, 0
        self._before: Any = None
        self._resumed: tuple[int, str] | None = None  # the digest of the item that came after `restore`, and the state
        self._fresh = False  # whether the next item is the first of an iteration after the first one

    def peek(self) -> Any:
        """The first item; it is yielded again later."""
        self._ahead.extend(itertools.islice(self._iterator, 1))
        if not self._ahead:
            raise DataError("`x` yields no batches.", argument="x", expected="batches", got="an empty iterable")
        return self._ahead[0]

    def give_back(self, items: list[Any]) -> None:
        """Take back the items that were handed out last, if they cannot be read again."""
        if self.once:
            self._ahead.extendleft(reversed(items))
            self._taken -= len(items)

    def keep_states(self, head: int, shared: bool) -> None:
        """Keep the states from now on, if the iterable has some.

        Args:
            head: The digest of the first batch.
            shared: Whether others read it, too.
        """
        states = States(self.batches, self._iterator)
        own = not shared or (states.inner and not self.once)
        self.states, self._head = (states if states and own else None), head

    def restore(self, kept: Any) -> Any:
        """Go on from a state, and return the next item. Raises what the user's code raises; then comes `undo`."""
        if self.states is None:
            raise ValueError("the data have no methods that set a state, or x and validation_data share them")
        state = {name: kept[name] for name in ("text", "arrays")}
        self._before = self._iterator, self._ahead, self._taken, self.states.now(self._iterator)
        self._iterator = self.states.restore(unpacked_state(state))
        self._taken, self._fresh, self._ahead = kept["number"], False, collections.deque()
        self.states.found[self._taken] = state
        if (item := self._next(False)) is _END:
            raise ValueError("no batch comes after it")
        if not self.states.inner:
            self._resumed = digest(unpacked(item)), packed(*self.states.now(self._iterator))["text"]
        return item

    def undo(self) -> None:
        """Be as before `restore`."""
        if self.states is not None and self._before is not None:
            iterator, self._ahead, self._taken, state = self._before
            self._iterator = self.states.back(iterator, state)
            self.states.found.clear()

    def rest(self, steps: int | None) -> Generator[Any]:
        """After the last batch of an epoch: the items up to the end of the iteration, if the epoch has no `steps`."""
        while steps is None and (item := self._next(False)) is not _END:
            yield item

    def last(self, batch: int | None) -> int:
        """The number, in the stream, of the last item before number `batch` of the epoch; None for all of it."""
        return (self._taken if batch is None else self._origin + batch) - 1

    def used(self, count: int) -> None:
        """So many items of this epoch were used, and no checkpoint is of a time before that."""
        if self.states is not None and count:
            self.states.forget(self._origin + self._start + count - 1)

    def items(
        self,
        steps: int | None,
        start: int,
        before: int,
        passed: Callable[[Any], None] = lambda item: None,
        restored: bool = False,
    ) -> Generator[Any]:
        """The items of an epoch from number `start` on, after `before` epochs of `steps`; see `Source.epoch`.

        Args:
            steps, start, before: As said.
            passed: Called with each item before these that is read now.
            restored: Whether the iterator is in this epoch already.

        Raises:
            DataError: There are no items, or fewer than `steps`.
        """
        again, at = steps is not None and not self.once, start + before * (steps or 0)
        if restored:
            self._begun = max(self._begun, before + 1)
        elif steps is None and not self.once:
            if self._taken or self._begun <= before:  # a part was read; or the epochs before were skipped unread
                self._begin()
                self._begun = max(self._begun, before + 1)
        elif again and self._taken > at:
            self._begin()
        while self._taken < at:
            if (item := self._next(again)) is _END:
                raise _dry(steps, f"{self._taken} in all")
            passed(item)
        self._start, self._origin = start, self._taken - start
        for done in itertools.count(start) if steps is None else range(start, steps):
            item = self._next(again)
            if item is not _END:
                yield item
            elif steps is None and done:
                return
            else:
                raise _dry(steps, done)

    def _begin(self, taken: int = 0) -> None:
        self._iterator, self._taken = iter(self.batches), taken
        self._begun += 1
        self._ahead.clear()
        self._fresh = True
        if self.states is not None and not taken:
            self.states.found.clear()

    def _next(self, again: bool) -> Any:
        """The next item, or `_END`; at the end and with `again`, the first item of a new iteration."""
        item = self._ahead.popleft() if self._ahead else self._read()
        if item is _END and again:
            self._begin(self._taken)
            item = self._read()
        self._taken += item is not _END
        return item

    def _read(self) -> Any:
        """The next item of the iterator, or `_END`; its state before that is kept."""
        states, fresh, self._fresh = self.states, self._fresh, False
        if states:
            states.note(self._taken, self._iterator)
        item = next(self._iterator, _END)
        if states and fresh and states.inner and item is not _END and digest(unpacked(item)) != self._head:
            states.give_up("")  # iterations differ, so something that is not in the state tells them what to read
        if states and fresh and self._resumed is not None and item is not _END:
            resumed, self._resumed = self._resumed, None
            found = digest(unpacked(item)), packed(*states.now(self._iterator))["text"]
            if found[0] != self._head and found == resumed:
                raise _begins_there(self.batches)
        return item


def _begins_there(batches: Any) -> DataError:
    return DataError(
        "The data begin each epoch where the resumed training began, and not at their first batch.",
        argument="x",
        expected="whole epochs, as before the interruption",
        got=f"{type(batches).__name__}, whose load_state_dict holds for all iterations until set_epoch is called",
        fix="call set_epoch(epoch) of the data in a callback's on_epoch_begin",
    )


_END = object()


def _dry(steps: int | None, got: Any) -> DataError:
    return DataError(
        f"The data ran out after {got} batches.",
        argument="steps_per_epoch",
        expected="batches for each epoch" if steps is None else f"{steps} batches an epoch",
        got=got,
        fix="give an iterable that can be iterated over again, such as a list, or ask for fewer steps or epochs",
    )
