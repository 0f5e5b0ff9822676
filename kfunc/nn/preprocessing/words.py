"""`Table`: the words of a vocabulary, or numbers beside them, as a field of a layer that files hold as an array."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...errors import ArgumentError, DataError, FileError
from ...registry import current, held, register

__all__ = ["Table"]

_KINDS = {"string": "uint8", "int64": "int64", "float32": "float32"}
_FEW = 64  # values that a config writes out, though it could refer to an array


@register("table")
class Table:
    """Many values of one kind: strings, integers or floats. Nothing in it changes once it is filled.

    In the file of a model they are an array: strings as their UTF-8, one after the other, with the places where they
    end. In a config alone they are written out.

    Args:
        values: The values.
        kind: "string", "int64" or "float32".
        number, count, size: In place of `values`, for a file: the number of the table in it, how many values there
            are, and how many numbers its array has.
    """

    def __init__(
        self,
        values: Iterable[Any] | None = None,
        kind: str = "string",
        number: int | None = None,
        count: int | None = None,
        size: int | None = None,
    ):
        if kind not in _KINDS:
            raise ArgumentError.must_be("kind", f"one of {', '.join(_KINDS)}", kind)
        self.kind = kind
        self._values: list[Any] | None = None
        if values is not None:
            good = {"string": (str,), "int64": (int,), "float32": (int, float)}[kind]
            self._values = list(values)
            if not all(type(value) in good for value in self._values):
                raise ArgumentError.must_be("values", f"a list of {kind}", self._values)
            self._count = len(self._values)
            return
        if not all(type(n) is int and 0 <= n < 2**40 for n in (number, count, size)):
            raise ArgumentError.must_be("count", "natural numbers for number, count and size", count)
        self._count, self._size = count or 0, size or 0
        held(number or 0, self)

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> list[Any]:
        """All values, in their order."""
        if self._values is None:
            raise FileError(
                "The words of a layer are not known: its config refers to the file of a model.",
                expected="a layer from kf.Model.load",
                fix="load the whole model; to_config of a layer alone writes its words out",
            )
        return self._values

    @functools.cached_property
    def index(self) -> dict[Any, int]:
        """The place of each value."""
        return dict(zip(self.values, range(self._count), strict=True))

    @functools.cached_property
    def by_bytes(self) -> dict[bytes, int]:
        """The place of each string, by its UTF-8."""
        return dict(zip(map(str.encode, self.values), range(self._count), strict=True))

    # -- files -------------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What makes a table like this one; within the file of a model, a reference to its arrays."""
        tables = current()
        if tables is None or (self._values is not None and self._count <= _FEW):
            return {"kind": self.kind, "values": self.values}
        size = self._arrays["values"].shape[0] if self._values is not None else self._size
        return {"kind": self.kind, "number": tables.number_of(self), "count": self._count, "size": size}

    @functools.cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        if self.kind != "string":
            return {"values": np.asarray(self.values, self.kind)}
        words = [w.encode() for w in self.values]
        ends = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))
        return {"values": np.frombuffer(b"".join(words), np.uint8), "ends": ends}

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that a file holds."""
        return self._arrays

    def forms(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """The dtypes and shapes of these arrays."""
        found: dict[str, tuple[str, tuple[int, ...]]] = {"values": (_KINDS[self.kind], (self._size,))}
        return found | ({"ends": ("int64", (self._count,))} if self.kind == "string" else {})

    def fill(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the values from the arrays of a file, once.

        Raises:
            FileError: They are not those of a table.
        """
        values = arrays["values"]
        if self.kind != "string":
            self._values = values.tolist()
            good = len(self._values) == self._count
        else:
            ends = arrays["ends"]
            starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) if ends.size else ends
            good = bool((ends >= starts).all()) and int(ends[-1] if ends.size else 0) == values.size
            if good:
                self._values = _words(values.tobytes(), starts, ends)
        if not good or (self.kind != "float32" and len(set(self._values or ())) != self._count):
            raise FileError(
                "The words of a layer in the file are damaged.",
                expected=f"{self._count} different values",
                got="values that are twice there, or places out of order",
            )


def _words(blob: bytes, starts: np.ndarray, ends: np.ndarray) -> list[str]:
    try:
        if blob.isascii():
            text = blob.decode("ascii")
            return [text[i:j] for i, j in zip(starts.tolist(), ends.tolist(), strict=True)]
        return [blob[i:j].decode() for i, j in zip(starts.tolist(), ends.tolist(), strict=True)]
    except UnicodeDecodeError as error:
        raise FileError("The words of a layer in the file are not UTF-8.", got=str(error)[:200]) from error


def given(values: Sequence[Any], kind: str) -> Table:
    """A table of values that the user gave.

    Raises:
        DataError: A value is of another kind.
    """
    wrong = next((i for i, v in enumerate(values) if not isinstance(v, str if kind == "string" else int)), None)
    if wrong is not None:
        raise DataError(
            f"`vocabulary` has {values[wrong]!r} at place {wrong}.",
            argument="vocabulary",
            expected="strings" if kind == "string" else "integers",
            got=type(values[wrong]).__name__,
        )
    return Table([str(v) if kind == "string" else int(v) for v in values], kind)
