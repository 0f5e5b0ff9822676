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

from .. import tree
from .batches import Batch, alike, joined
from .protocol import Reader

__all__ = ["STAGED", "Ahead", "on_host"]

STAGED = 2**22
"""Bytes of the batches that one dispatch takes, if they are more than one."""

_PATIENCE = 5.0  # seconds that a reader waits, when it is left, for the item being read
_NAP = 0.5  # seconds; a signal just before a wait does not end it


class _Shelf:
    """The state that the thread and the reader share.

    Queues wake the one or the other. Conditions of `threading` would stay locked if Ctrl-C came at the wrong moment.

    Attributes:
        found: An item, its batch, and the shapes of the arrays in it, for each. The last item is None, its batch is an
            exception or None, and its shapes are empty.
        depth: How many of them may be in `found`.
        left: Whether the reader wants no more batches.
    """

    def __init__(self) -> None:
        self.found: collections.deque[tuple[Any, Any, list[Any]]] = collections.deque()
        self.depth, self.left = 2, False
        self.filled: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.taken: queue.SimpleQueue[None] = queue.SimpleQueue()

    def fill(self, items: Generator[Any], prepare: Callable[[Any], Batch]) -> None:
        """The work of the thread: read items, make batches of them, and put both into `found`."""
        shapes, most = list[Any](), 2
        try:
            for item in items:
                batch = prepare(item)
                if (now := [a.shape for a in tree.leaves(batch)]) != shapes:
                    # The program asked for so many batches of the size of the first one; this one may be larger.
                    shapes, most = now, max(2, 2 * _most(batch))
                while len(self.found) >= min(self.depth, most) and not self.left:
                    self.taken.get()
                self._put(item, batch, shapes)
                if self.left:
                    break
            items.close()
        except BaseException as error:
            self._put(None, error, [])
        else:
            self._put(None, None, [])

    def _put(self, item: Any, batch: Any, shapes: list[Any]) -> None:
        self.found.append((item, batch, shapes))
        _ring(self.filled)

    def nap(self, seconds: float) -> None:
        """Wait until something is found, but no longer than this."""
        with contextlib.suppress(queue.Empty):
            self.filled.get(timeout=seconds)

    def leave(self) -> None:
        self.left = True
        _ring(self.taken)

    def ended(self) -> bool:
        """Whether the thread has read everything, or failed."""
        return bool(self.found) and not isinstance(self.found[-1][1], Batch)


def _ring(bell: queue.SimpleQueue) -> None:
    """Wake whoever waits there; if nobody does, the next one to wait goes on at once."""
    if bell.empty():
        bell.put(None)


def _most(batch: Batch) -> int:
    """How many batches like this one a dispatch may take."""
    held = sum(getattr(a, "nbytes", 0) for a in tree.leaves(batch))  # an array that was moved may not have it
    return max(1, STAGED // max(1, held))


class Ahead(Reader):
    """A reader with a thread that reads items, checks them and makes batches of them, up to two groups ahead.

    Args:
        items: The items. The thread reads them, and closes the generator at the end.
        prepare: Makes a batch of an item, in the thread. An error of it is raised when that batch would be read.
        size: Samples in a batch; the last one may have fewer.
        done: Called when the end was reached, by the thread that calls `read`.
        back: Called with the items that were read but not used, if the reader is left before the end.
        used: Called at the beginning of each `read` with the number of batches that it has returned so far.
    """

    def __init__(
        self,
        items: Generator[Any],
        prepare: Callable[[Any], Batch],
        size: int,
        done: Callable[[], None] | None = None,
        back: Callable[[list[Any]], None] | None = None,
        used: Callable[[int], None] | None = None,
    ):
        self._items, self._prepare, self._size, self._done, self._back = items, prepare, size, done, back
        self._used, self._given = used, 0
        self._shelf = _Shelf()
        self._thread: threading.Thread | None = None

    def read(self, n: int) -> Batch | None:
        shelf, found, shapes = self._shelf, list[Batch](), list[Any]()
        if self._used is not None:
            self._used(self._given)
        if 2 * n > shelf.depth:
            shelf.depth = 2 * n
            _ring(shelf.taken)
        if self._thread is None:
            # The target is not a method of this object: the thread would keep the object alive, and `__del__`, which
            # ends the thread, would never be called.
            run = contextvars.copy_context().run
            args = (shelf.fill, self._items, self._prepare)
            self._thread = threading.Thread(target=run, args=args, name="kfunc data", daemon=True)
            self._thread.start()
        while not shelf.found:
            shelf.nap(_NAP)
        while shelf.found and len(found) < n and isinstance(shelf.found[0][1], Batch):
            _, batch, now = shelf.found[0]
            if not found:
                shapes, n = now, min(n, _most(batch)) if n > 1 else 1
            elif now != shapes and (batch.size > self._size or not alike(found[0], batch)):
                break
            found.append(shelf.found.popleft()[1])
            if found[-1].size != self._size:
                break
        error = None if found else shelf.found[0][1]
        _ring(shelf.taken)
        self.steps: int = len(found)
        self._given += self.steps
        if isinstance(error, BaseException):
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame: without this, only the garbage collector frees both
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
                self._back([item for item, batch, _ in shelf.found if isinstance(batch, Batch)])
            shelf.found.clear()

    def __del__(self) -> None:
        self._shelf.leave()  # `__exit__` does so, too, unless a second Ctrl-C interrupts it


def on_host(x: Any) -> bool:
    """Whether an array of any library is in the host's memory, by the name of its device."""
    return "cpu" in str(getattr(x, "device", "cpu")).lower()
