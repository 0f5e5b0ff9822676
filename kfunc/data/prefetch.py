"""Reading ahead in the background."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from .batches import Batch, joined
from .protocol import Reader

__all__ = ["Ahead", "on_host"]

_PATIENCE = 5.0  # seconds that a reader waits, when it is left, for the item being read
_NAP = 0.5  # seconds; a signal just before a wait does not end it


class _Shelf:
    """What the thread and the reader share.

    Queues wake the one or the other: conditions of `threading` can be left locked by Ctrl-C.

    Attributes:
        found: Pairs of an item and its batch; at the end one of None, and an exception or None.
        depth: How many may be there.
        left: Whether no more are wanted.
    """

    def __init__(self) -> None:
        self.found: collections.deque[tuple[Any, Any]] = collections.deque()
        self.depth, self.left = 2, False
        self.filled: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.taken: queue.SimpleQueue[None] = queue.SimpleQueue()

    def fill(self, items: Generator, prepare: Callable[[Any], Batch]) -> None:
        """What the thread does."""
        try:
            for item in items:
                batch = prepare(item)
                while len(self.found) >= self.depth and not self.left:
                    self.taken.get()
                self._put(item, batch)
                if self.left:
                    break
            items.close()
        except BaseException as error:
            self._put(None, error)
        else:
            self._put(None, None)

    def _put(self, item: Any, batch: Any) -> None:
        self.found.append((item, batch))
        _ring(self.filled)

    def nap(self, seconds: float) -> None:
        """Wait until something is found, for so long at most."""
        with contextlib.suppress(queue.Empty):
            self.filled.get(timeout=seconds)

    def leave(self) -> None:
        self.left = True
        _ring(self.taken)

    def ended(self) -> bool:
        """Whether the thread has come to its end."""
        return bool(self.found) and not isinstance(self.found[-1][1], Batch)


def _ring(bell: queue.SimpleQueue) -> None:
    """Wake the one who waits there, or will."""
    if bell.empty():
        bell.put(None)


class Ahead(Reader):
    """A reader whose thread reads items, checks and prepares them, up to two groups ahead of their use.

    Args:
        items: What is read, in the thread, which closes it at the end.
        prepare: Makes a batch of an item, in the thread; what it raises comes with that item's turn.
        size: Samples in a batch as a rule.
        done: Called, by the reading thread, when the end was reached.
        back: Called with the items that were read and not used, when the reader is left before.
    """

    def __init__(
        self,
        items: Generator,
        prepare: Callable[[Any], Batch],
        size: int,
        done: Callable[[], None] | None = None,
        back: Callable[[list], None] | None = None,
    ):
        self._items, self._prepare, self._size, self._done, self._back = items, prepare, size, done, back
        self._shelf = _Shelf()
        self._thread: threading.Thread | None = None

    def read(self, n: int) -> Batch | None:
        shelf, found = self._shelf, list[Batch]()
        if 2 * n > shelf.depth:
            shelf.depth = 2 * n
            _ring(shelf.taken)
        if self._thread is None:
            # Not of this object, which lets the thread go when it goes itself.
            run = contextvars.copy_context().run
            args = (shelf.fill, self._items, self._prepare)
            self._thread = threading.Thread(target=run, args=args, name="kfunc data", daemon=True)
            self._thread.start()
        while not shelf.found:
            shelf.nap(_NAP)
        while shelf.found and len(found) < n and isinstance(shelf.found[0][1], Batch):
            if found and shelf.found[0][1].size > self._size:
                break
            found.append(shelf.found.popleft()[1])
            if found[-1].size != self._size:
                break
        error = None if found else shelf.found[0][1]
        _ring(shelf.taken)
        self.steps = len(found)
        if isinstance(error, BaseException):
            try:
                raise error
            finally:
                del error  # its traceback leads here: memory would wait for the cycles' collector
        if not found and self._done is not None:
            self._done()
            self._done = None
        return joined(found) if found else None

    def __exit__(self, *_: Any) -> None:
        shelf = self._shelf
        shelf.leave()
        if self._thread is None:
            return
        end = time.monotonic() + _PATIENCE
        while not shelf.ended() and (rest := end - time.monotonic()) > 0:
            shelf.nap(min(rest, _NAP))
        if shelf.ended():
            self._thread.join(_PATIENCE)
            if self._back is not None:
                self._back([item for item, batch in shelf.found if isinstance(batch, Batch)])
            shelf.found.clear()

    def __del__(self) -> None:
        self._shelf.leave()  # where a second Ctrl-C kept `__exit__` from it


def on_host(x: Any) -> bool:
    """Whether an array of any library lies where NumPy's do, by the name of its device."""
    return "cpu" in str(getattr(x, "device", "cpu")).lower()
