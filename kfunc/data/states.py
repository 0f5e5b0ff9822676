"""The states of data that have one, such as grain's iterators and stateful loaders, as a checkpoint keeps them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from .. import files
from ..arrays import asarray, to_numpy
from ..backends import kind_of, loaded
from ..errors import ArgumentError, FileError, shown

__all__ = ["States", "packed", "unpacked_state"]

_METHODS = ("state_dict", "load_state_dict"), ("get_state", "set_state")
_DEPTH = 50  # containers in each other


class States:
    """Reads the state of an iterable before each of its batches, and keeps those that a checkpoint may need.

    The state is that of the iterable itself, if it has `state_dict` and `load_state_dict`, as torchdata's
    StatefulDataLoader; then it also tells what the next iterations draw. Only the first iteration after
    `load_state_dict` may begin at the state. Hugging Face's streamed data sets begin there each time, until somebody
    calls their `set_epoch`. Or the state is that of the iterator, which has these methods, or `get_state` and
    `set_state`, as grain's have.

    Args:
        batches: The iterable.
        iterator: Its iterator.

    Attributes:
        inner: Whether the state is that of the iterator.
        problem: Why there are no states any more, "" if nobody needs to know; None if there are some.
        told: Whether the user knows of the problem.
        found: The states as `packed` made them, by the numbers of the batches that came next.
    """

    def __init__(self, batches: Any, iterator: Iterator[Any]):
        self._batches = batches
        names = _methods(batches) or _methods(iterator)
        self._reads, self._sets = names or ("", "")
        self.inner: bool = _methods(batches) is None
        self.problem: str | None = None
        self.told: bool = False
        self.found: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._reads) and self.problem is None

    def note(self, number: int, iterator: Iterator[Any]) -> None:
        """Batch `number` is about to be read: keep the state."""
        if not self:
            return
        try:
            self.found[number] = packed(*self.now(iterator))
        except Exception as error:  # the user's code may raise anything; training goes on without the states
            what = error.problem if isinstance(error, ArgumentError) else f"{type(error).__name__}: {error}."
            self.give_up(f"{self._reads}() of {type(iterator if self.inner else self._batches).__name__}: {what}")

    def now(self, iterator: Iterator[Any]) -> tuple[Any, list[Any]]:
        """The state of now, which `restore` takes."""
        state = getattr(iterator if self.inner else self._batches, self._reads)()
        return state, [g.get_state() for g in self._generators()]

    def give_up(self, problem: str) -> None:
        """Keep no states any more."""
        self.problem = problem
        self.found.clear()

    def forget(self, number: int) -> None:
        """No state before batch `number` is needed any more."""
        for old in list(self.found):  # another thread may add to it
            if old < number:
                del self.found[old]

    def restore(self, state: Any) -> Iterator[Any]:
        """An iterator that goes on from a state, as `unpacked_state` gives it.

        Any error that the user's code raises goes through.
        """
        state, generators = state
        batches, own = self._batches, self._generators()
        if len(generators) != len(own):
            raise ValueError(f"it has the states of {len(generators)} generators of random numbers, not of {len(own)}")
        iterator = None if not self.inner else batches if isinstance(batches, Iterator) else iter(batches)
        getattr(batches if iterator is None else iterator, self._sets)(state)
        iterator = iter(batches) if iterator is None else iterator
        for generator, then in zip(own, generators, strict=True):  # the line above may have drawn from them
            generator.set_state(then)
        return iterator

    def back(self, iterator: Iterator[Any], state: Any) -> Iterator[Any]:
        """`iterator` as it was when `now` returned `state`, though `restore` was called since."""
        if iterator is self._batches:
            return self.restore(state)
        for generator, then in zip(self._generators(), state[1], strict=True):
            generator.set_state(then)
        return iterator  # `restore` has made another one

    def _generators(self) -> list[Any]:
        """Those from which the next iterations of a framework's loader draw; its state does not have them."""
        return [] if self.inner else [g for backend in loaded() for g in backend.generators(self._batches)]


def _methods(x: Any) -> tuple[str, str] | None:
    """The methods of `x` that read and set its state; None if it has none."""
    names = _METHODS if isinstance(x, Iterator) else _METHODS[:1]  # the others are names of many other things
    return next((pair for pair in names if all(callable(getattr(x, name, None)) for name in pair)), None)


# -- states as data --------------------------------------------------------------------------------------------------
# In the JSON text, `["dict", [key, value], ...]`, `["list", ...]` and `["tuple", ...]` are containers, `["int", "0x5"]`
# is a long integer. `["bytes", i]`, `["bytearray", i]`, `["scalar", i]` and `["array", i, backend]` are array `i`. All
# else is itself.


def packed(*states: Any) -> dict[str, Any]:
    """States as a text and NumPy arrays, which are copies.

    Raises:
        ArgumentError: One has something else than numbers, texts, bytes and arrays in dicts, lists and tuples.
    """
    arrays: list[Any] = []
    described = ["tuple", *(_described(state, "", arrays, 1) for state in states)]
    return {"text": json.dumps(described, separators=(",", ":")), "arrays": arrays}


def _described(x: Any, path: str, arrays: list[Any], depth: int) -> Any:
    import numpy as np

    if depth > _DEPTH:
        raise ArgumentError(f"The state is nested more than {_DEPTH} deep, or contains itself.")
    cls, at = type(x), path and f", at {path},"
    if cls is int:
        return x if abs(x) < 2**63 else ["int", hex(x)]
    if x is None or cls in (bool, float, str):
        return x
    if cls in (dict, OrderedDict):
        if any(type(key) not in (str, int, bool, float, type(None)) for key in x):
            raise ArgumentError(f"A key{at} is neither text nor number.")
        return ["dict", *([_described(k, path, arrays, depth), _inside(x, k, path, arrays, depth)] for k in x)]
    if cls in (list, tuple):
        return [cls.__name__, *(_inside(x, i, path, arrays, depth) for i in range(len(x)))]
    if cls in (bytes, bytearray):
        arrays.append(np.frombuffer(bytes(x), np.uint8))
        return [cls.__name__, len(arrays) - 1]
    if (kind := kind_of(cls)) is not None and kind.backend in loaded():
        array = np.array(to_numpy(x), order="C")
        if files.is_storable(array):
            arrays.append(array)
            rest = ["scalar"] if isinstance(x, np.generic) else ["array", kind.backend.name]
            return [rest[0], len(arrays) - 1, *rest[1:]]
    raise ArgumentError(f"An object of type {cls.__name__}{at} cannot be stored.")


def _inside(x: Any, key: Any, path: str, arrays: list[Any], depth: int) -> Any:
    return _described(x[key], f"{path}/{key}".lstrip("/"), arrays, depth + 1)


def unpacked_state(found: Any) -> Any:
    """The tuple of what `packed` was given, from a file.

    Raises:
        TypeError, ValueError: It is something else.
    """
    match found:
        case {"text": str(text), "arrays": [*arrays]} if all(hasattr(a, "dtype") for a in arrays):
            try:
                return _made(files.decoded(text), list(arrays), 0)
            except FileError as error:
                raise ValueError(error.problem) from error
    raise TypeError("the state of data is something else")


def _made(x: Any, arrays: list[Any], depth: int) -> Any:
    def array(i: Any) -> Any:
        if type(i) is not int or not 0 <= i < len(arrays) or arrays[i] is None:
            raise ValueError(f"array {shown(i)} of {len(arrays)}")
        found, arrays[i] = arrays[i], None  # it is used once: many copies of one would take memory without bound
        return found

    if depth > _DEPTH + 1:
        raise ValueError("a state of data is nested too deeply")
    match x:
        case ["dict", *pairs] if all(type(pair) is list and len(pair) == 2 for pair in pairs):
            keys = [_made(key, arrays, depth + 1) for key, _ in pairs]
            if all(type(key) in (str, int, bool, float, type(None)) for key in keys):
                values = [_made(value, arrays, depth + 1) for _, value in pairs]
                return dict(zip(keys, values, strict=True))
        case ["list", *items]:
            return [_made(item, arrays, depth + 1) for item in items]
        case ["tuple", *items]:
            return tuple(_made(item, arrays, depth + 1) for item in items)
        case ["int", str(digits)]:
            return int(digits, 16)
        case ["bytes", i]:
            return array(i).tobytes()
        case ["bytearray", i]:
            return bytearray(array(i).tobytes())
        case ["scalar", i]:
            return array(i).reshape(())[()]
        case ["array", i, str(name)]:
            backend = next((backend for backend in loaded() if backend.name == name), None)
            if backend is None:  # a file does not say which framework is imported
                raise ValueError(f"an array of the backend {shown(name)}, which is not in use")
            return asarray(array(i), backend=backend)
        case None | bool() | int() | float() | str():
            return x
    raise ValueError(f"{shown(x)} is no part of a state of data")
