"""Which rows of a long table run: a sample, the same one in every run, or all of them with `pytest --all`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["chosen", "one_of"]

everything = False
"""Set by `pytest --all`, before tests are collected."""


def chosen(share: int, *row: Any) -> bool:
    """Whether a row, told by texts and numbers, is in the sample that has one of `share` rows."""
    return everything or _hash(row) % share == 0


def one_of(names: Sequence[str], *row: Any) -> Iterable[str]:
    """One of these names for a row, such as the backend on which it runs."""
    return names if everything else [names[_hash(row) % len(names)]]


def _hash(row: tuple[Any, ...]) -> int:
    return zlib.crc32(" ".join(map(str, row)).encode())
