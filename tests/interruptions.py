"""Ctrl-C at any step of writing files."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

__all__ = ["interrupting"]


def interrupting(monkeypatch) -> Callable[[int | None], None]:
    """A function of a number: this step from then on is interrupted; None lets all pass.

    A step is a call of `os.replace`, `os.remove` or `os.fsync`. It raises KeyboardInterrupt, and does nothing.
    """
    left: int | None = None

    def step(plain, *args):
        nonlocal left
        if left is not None:
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return plain(*args)

    def interrupt(at: int | None) -> None:
        nonlocal left
        left = at

    for name in ("replace", "remove", "fsync"):
        monkeypatch.setattr(os, name, functools.partial(step, getattr(os, name)))
    return interrupt
