"""Large tables that configs refer to: who writes or reads the file of a model collects them here."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

from .errors import ArgumentError

__all__ = ["Tables", "collected", "current", "held"]


class Tables:
    """The tables of one file by their numbers, in the order in which configs name them."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def number_of(self, table: Any) -> int:
        """The number of a table, which is added if it is new."""
        for number, known in enumerate(self.found):
            if known is table:
                return number
        self.found.append(table)
        return len(self.found) - 1


_current: contextvars.ContextVar[Tables | None] = contextvars.ContextVar("tables", default=None)


def current() -> Tables | None:
    """The tables of the file that is written or read now; None outside."""
    return _current.get()


@contextlib.contextmanager
def collected() -> Iterator[Tables]:
    """A context in which configs refer to tables, which are collected."""
    tables = Tables()
    token = _current.set(tables)
    try:
        yield tables
    finally:
        _current.reset(token)


def held(number: int, table: Any) -> None:
    """Note a table that a config refers to by its number.

    Raises:
        ArgumentError: No file is being read, or the number is not the next one.
    """
    tables = current()
    if tables is None or number != len(tables.found):
        raise ArgumentError(
            "A config refers to words that are in the file of a model.",
            argument="number",
            expected="a config that kf.Model.load reads",
            got=number,
        )
    tables.found.append(table)
