"""Reading ahead in the background."""

from __future__ import annotations

import collections
import contextvars
import threading
from collections.abc import Callable, Generator
from typing import Any

from .batches import Batch, joined
from .protocol import Reader

__all__ = ["Ahead", "on_host"]

_PATIENCE = 5.0  # seconds that a reader waits, when it is left, for the item being read


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
        # Of pairs of an item and its batch; at the end of an exception or None instead.
        self._queue: collections.deque[tuple[Any, Any]] = collections.deque()
        self._changed, self._depth, self._left = threading.Condition(), 2, False
        self._thread: threading.Thread | None = None

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item, self._prepare(item)):
                    break
            self._items.close()
        except BaseException as error:
            self._put(None, error)
        else:
            self._put(None, None)

    def _put(self, item: Any, batch: Any) -> bool:
        """Queue a batch as soon as there is room; whether more are wanted."""
        with self._changed:
            while len(self._queue) >= self._depth and not self._left:
                self._changed.wait()
            self._queue.append((item, batch))
            self._changed.notify_all()
            return not self._left

    def read(self, n: int) -> Batch | None:
        found: list[Batch] = []
        with self._changed:
            self._depth = max(self._depth, 2 * n)
            if self._thread is None:
                context = contextvars.copy_context()
                self._thread = threading.Thread(target=context.run, args=(self._run,), name="kfunc data", daemon=True)
                self._thread.start()
            while not self._queue:
                self._changed.wait()
            while self._queue and len(found) < n and isinstance(self._queue[0][1], Batch):
                if found and self._queue[0][1].size > self._size:
                    break
                found.append(self._queue.popleft()[1])
                if found[-1].size != self._size:
                    break
            error = None if found else self._queue[0][1]
            self._changed.notify_all()
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
        with self._changed:
            self._left = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_PATIENCE)
            if self._back is not None and not self._thread.is_alive():
                self._back([item for item, batch in self._queue if isinstance(batch, Batch)])
        self._queue.clear()


def on_host(x: Any) -> bool:
    """Whether an array of any library lies where NumPy's do, by the name of its device."""
    return "cpu" in str(getattr(x, "device", "cpu")).lower()
