"""Signals wait while a step must not be broken off, and none of them is lost."""

from __future__ import annotations

# The module that `signal` wraps: wrapped in enums, a look at all signals takes as long as a step of a small network.
import _signal  # type: ignore[import-not-found]
import functools
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["Deferral"]

CLOSED, OPEN, RESTING = range(3)
"""No handler runs; all run but those that wait for a rest; all run."""


@functools.cache
def _signals() -> list[int]:
    return sorted(map(int, signal.valid_signals()))


class Deferral:
    """Stands in for the handlers of signals while `fit` runs: `with Deferral() as signals:`.

    A handler may raise, as Ctrl-C's does, and Python runs it between any two instructions. In the middle of an update
    that would leave half a state. So one object takes the place of all handlers once for a whole `fit`, and runs them
    when that is safe:

    - inside `with signals.closed:` none runs, until the block is left;
    - elsewhere all run at once, but for a signal with a `precede`, such as SIGTERM where a checkpoint comes first;
    - inside `with signals.resting:`, where `fit` waits for data, these run too.

    A handler that raises costs no other signal its handler. In threads other than the main one nothing happens, since
    Python runs handlers in the main thread alone.
    """

    def __init__(self) -> None:
        self.level: int = OPEN
        self.closed: AbstractContextManager[None] = _At(self, CLOSED)
        self.resting: AbstractContextManager[None] = _At(self, RESTING)
        self._found: dict[int, Any] = {}
        self._handlers: dict[int, Any] = {}
        self._before: dict[int, Callable[[], None]] = {}
        self._came: list[tuple[int, Any]] = []
        self._running = False

    def __enter__(self) -> Deferral:
        try:
            for number in _signals():
                if callable(_signal.getsignal(number)):  # few are: `_take` of all would cost as much as a small step
                    self._take(number, of_python=True)
        except BaseException:  # a handler raised in between
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self._before.clear()
        self.level = RESTING
        try:
            self._give_back()
        except BaseException:  # a handler raised in between
            self._give_back()
            raise
        finally:
            self.deliver()

    def precede(self, number: int, action: Callable[[], None] | None) -> None:
        """Run `action()` before the handler of a signal, and keep both for `resting`; with None, as before.

        A signal that the system handles, as it does SIGTERM by default, ends the process only after that, too.
        """
        if action is None:
            self._before.pop(number, None)
        else:
            self._before[number] = action
            self._take(number)

    def __call__(self, number: int, frame: Any) -> None:
        """The handler of all signals."""
        self._came.append((number, frame))
        self.deliver()

    def deliver(self) -> None:
        """Run the handlers of the signals that came and need not wait any longer, whatever the first ones raise."""
        if self._running:  # signals that come while a handler runs have their turn after it
            return
        self._running = True
        try:
            if (found := self._ready()) is not None:
                if (action := self._before.get(found[0])) is not None:
                    rests, self.level = self.level, OPEN  # if the action raises, the signal goes on waiting
                    action()
                    self.level = rests
                self._came.remove(found)
                self._handle(*found)
        finally:
            self._running = False
            if self._ready() is not None:
                self.deliver()

    def _ready(self) -> tuple[int, Any] | None:
        """The first signal that came and need not wait any longer."""
        for found in self._came:
            if self.level >= (RESTING if found[0] in self._before else OPEN):
                return found
        return None

    def _handle(self, number: int, frame: Any) -> None:
        handler = self._handlers[number]
        if callable(handler):
            handler(number, frame)
            return
        in_place = _signal.getsignal(number) is self
        signal.signal(number, handler)  # the system's own: it ignores the signal, or ends the process
        signal.raise_signal(number)
        if in_place:
            signal.signal(number, self)

    def _take(self, number: int, of_python: bool = False) -> None:
        """Take the place of a handler, unless it is none of Python's."""
        if number in self._handlers or threading.current_thread() is not threading.main_thread():
            return
        handler = found = _signal.getsignal(number)
        # Another `fit` around this one lets signals pass while it calls back. So does one that a handler, by raising as
        # Python entered or left it, has kept from giving back: such layers would grow.
        while isinstance(handler, Deferral) and number not in handler._before:
            handler = handler._handlers[number]
        if handler is not None and (callable(handler) or not of_python):
            self._found[number], self._handlers[number] = found, handler
            _signal.signal(number, self)

    def _give_back(self) -> None:
        for number, found in self._found.items():
            if _signal.getsignal(number) is self:  # and not another one, which somebody has put there since
                _signal.signal(number, found)


class _At(AbstractContextManager[None]):
    """`with` it, the signals are at `level`."""

    def __init__(self, signals: Deferral, level: int):
        self._signals, self._level, self._outer = signals, level, OPEN

    def __enter__(self) -> None:
        self._outer, self._signals.level = self._signals.level, self._level
        try:
            self._signals.deliver()
        except BaseException:
            self._signals.level = self._outer
            raise

    def __exit__(self, *_: Any) -> None:
        self._signals.level = self._outer
        self._signals.deliver()
