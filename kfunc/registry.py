"""The closed registry: what a name in a config may stand for. Nothing that a file names is imported or evaluated."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeVar

from .errors import ArgumentError, shown

__all__ = ["from_config", "names", "register", "resolve", "snake_case", "to_config"]


T = TypeVar("T")


class Entry(NamedTuple):
    name: str
    value: Any
    factory: bool


_CATEGORIES = (
    *("layer", "loss", "metric", "optimizer", "schedule", "initializer", "activation", "regularizer", "constraint"),
    "dtype_policy",
)
_tables: dict[str, dict[str, Entry]] = {category: {} for category in _CATEGORIES}
_entries: dict[int, tuple[str, Entry]] = {}
"""The other way round: id of a registered value to its category and entry."""
_CUSTOM = "custom:"

# What a config may ask for. Files come from anywhere, and a short text can describe a network without end, if it uses
# again and again what it has described. The objects that it writes out are bounded by its own length.
_AGAIN = 32_768  # objects that are used again, with all that they are made of,
_AGAIN_EACH = 16  # and so many more for each object that is written out
_TEXT = 10_000  # characters of a text
_INTEGER = 2**63
_REPEATS = {"num_thresholds": 65536, "power_iterations": 65536}  # what is done one by one, in all objects together


def register(category: str, *names: str, factory: bool | None = None) -> Callable[[T], T]:
    """Decorator that makes a class or function known under `names`, the first being the one that configs hold.

    Args:
        category: "layer", "loss", "metric", "optimizer", "schedule", "initializer", "activation", "regularizer",
            "constraint" or "dtype_policy".
        names: The object's own name by default. Names of objects from outside kfunc start with "custom:", which is
            added where it is missing.
        factory: Whether the name stands for what the object returns when it is called with the config, as that of a
            class does, or for the object itself. True for classes by default.

    Raises:
        ArgumentError: The category is unknown, or the name belongs to another object.
    """
    table = _table(category)

    def decorate(value: Any) -> Any:
        own = value.__module__.partition(".")[0] == __package__
        full = [n if own or n.startswith(_CUSTOM) else _CUSTOM + n for n in names or (value.__name__,)]
        entry = Entry(full[0], value, isinstance(value, type) if factory is None else factory)
        for name in full:
            # The same definition run again (a notebook's cell, a reloaded module) replaces the older one.
            if name in table and _origin(table[name].value) != _origin(value):
                raise ArgumentError(f"The {category} name {name!r} is taken.", argument="names", got=repr(value))
            table[name] = entry
        _entries.setdefault(id(value), (category, entry))
        return value

    return decorate


def _origin(value: Any) -> tuple[str, str]:
    return value.__module__, value.__qualname__


def _table(category: str) -> dict[str, Entry]:
    known = isinstance(category, str) and category in _tables
    return _tables[category] if known else _unknown("category", category, _CATEGORIES, "category")


def _unknown(what: str, name: Any, known: Any, argument: str | None) -> NoReturn:
    close = difflib.get_close_matches(str(name)[:99], known, n=1, cutoff=0.5)
    is_unknown = f"There is no {what} {shown(name)}." if argument is None else None
    raise ArgumentError(
        is_unknown or f"`{argument}` must be a known {what.replace('_', ' ')}, got {shown(name)}.",
        argument=argument or what,
        expected=f"one of {', '.join(sorted(known))}",
        got=repr(name)[:99],
        fix=f"did you mean {close[0]!r}?" if close else "use a known name; register your own with kfunc.register",
    )


def snake_case(name: str) -> str:
    """`Conv2DTranspose` as `conv2d_transpose`, as Keras names layers and losses."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def names(category: str) -> tuple[str, ...]:
    """All names that `resolve` accepts for `category`."""
    return tuple(_table(category))


def _lookup(category: str, name: Any, argument: str | None = None) -> Entry:
    table = _table(category)
    return table[name] if isinstance(name, str) and name in table else _unknown(category, name, table, argument)


def resolve(category: str, value: Any, argument: str | None = None) -> Any:
    """The object that `value` stands for.

    Args:
        category: One of the registry's categories.
        value: A name, `{"class": name, "config": {...}}`, a registered class, or the object itself, which comes back.
        argument: The argument that holds `value`, such as "kernel_initializer", for the error.

    Raises:
        ArgumentError: The name is unknown, or the config does not fit.
    """
    if isinstance(value, str) or (isinstance(value, dict) and "class" in value):
        return _built(category, value, argument)
    if isinstance(value, type) and id(value) in _entries:
        return _bare(*_entries[id(value)], argument)
    return value


def _bare(category: str, entry: Entry, argument: str | None) -> Any:
    """The object that a name alone, or a class, stands for."""
    if not entry.factory:
        return entry.value
    try:
        return entry.value()
    except TypeError as error:
        raise ArgumentError(
            f"The {category} {entry.name!r} cannot be made from its name alone: it needs arguments.",
            argument=argument or category,
            got=str(error)[:999],
            fix=f"give an object: {entry.name}(...)",
        ) from error


def from_config(category: str, config: str | dict) -> Any:
    """The object that `to_config` described; see `resolve`.

    A config may hold texts of up to 10,000 characters and integers of 64 bits. Objects that are used again count again,
    with all that they are made of: so many may be used again as are in proportion to the length of the config.

    Raises:
        ArgumentError: A name is unknown, the config does not fit or is malformed, or it holds more than that.
    """
    return _built(category, config)


def _built(category: str, config: Any, argument: str | None = None) -> Any:
    try:
        return _Decoder().build(category, config, argument)
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError) as error:
        raise ArgumentError(
            f"The config of a {category} is malformed: {type(error).__name__} {str(error)[:999]}.", argument="config"
        ) from error


class _Decoder:
    """Builds what one config describes, and keeps count of what that takes."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, int]] = []  # each object, and how many it is made of
        self.objects = 0  # those written out, and those used again
        self.written = 0
        self.left = dict(_REPEATS)

    def build(self, category: Any, config: Any, argument: str | None = None) -> Any:
        before = self.objects
        self.objects, self.written = before + 1, self.written + 1
        if isinstance(config, str):
            return _bare(category, _lookup(category, config, argument), argument)
        entry = _lookup(category, config.get("class"), argument)
        arguments = {self.plain(name): self.decode(v) for name, v in config.get("config", {}).items()}
        for name in self.left.keys() & arguments.keys():
            if isinstance(arguments[name], int):
                self.left[name] -= arguments[name]
                self.check(self.left[name] >= 0, f"{name} up to {_REPEATS[name]}", arguments[name])
        make = getattr(entry.value, "from_config", None)
        try:
            value = make(arguments) if make is not None else entry.value(**arguments)
        except TypeError as error:
            raise ArgumentError(
                f"The config does not fit the {category} {entry.name!r}: {error}.",
                argument="config",
                got=", ".join(arguments) or "no arguments",
                fix="check the names of the arguments; a file may come from another version",
            ) from error
        self.seen.append((value, self.objects - before))
        return value

    def decode(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return tuple([self.decode(v) for v in value])
        if not isinstance(value, dict):
            return self.plain(value)
        category = value.get("category")
        if category == "dict":
            return {self.plain(k): self.decode(v) for k, v in value["config"].items()}
        if category == "same":
            found, objects = self.seen[value["index"]]
            self.objects += objects
            most = _AGAIN + (1 + _AGAIN_EACH) * self.written
            self.check(self.objects <= most, f"at most {most} objects for {self.written} that are written out", "more")
            return found
        return self.build(category, value if "class" in value else value.get("name"))

    def plain(self, value: Any) -> Any:
        if isinstance(value, str):
            self.check(len(value) <= _TEXT, f"at most {_TEXT} characters", f"{len(value)} in a text")
        elif isinstance(value, int):
            self.check(-_INTEGER <= value < _INTEGER, "integers of 64 bits", f"one of {value.bit_length()}")
        return value

    def check(self, good: bool, expected: str, got: Any) -> None:
        if not good:
            raise ArgumentError("The config asks for too much.", argument="config", expected=expected, got=got)


def to_config(category: str, obj: Any) -> str | dict[str, Any]:
    """A description of `obj` in JSON's types: a name, or `{"class": name, "config": {...}}`.

    Instances of registered dataclasses are described by their fields, others by their `get_config()`, and what has an
    attribute `config` by that. An object that turns up twice is one object again when it is built from the config.

    Raises:
        ArgumentError: The object, or something in it, is not registered or cannot be described.
    """
    _table(category)
    # JSON does not tell lists from tuples; frozen dataclasses want tuples, so that is what comes back.
    config = _encode(obj, {}, category)
    if not isinstance(config, dict) or config.get("category") != category:
        _undescribable(obj, category)
    del config["category"]
    return config.get("name", config)


def _encode(value: Any, seen: dict[int, tuple[int, Any]], category: str | None = None) -> Any:
    if isinstance(value, str) and category is not None:
        return {"category": category, "name": _lookup(category, value).name}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if id(value) in _entries:
        kind, entry = _entries[id(value)]
        return {"category": kind, "name": entry.name}
    if id(value) in seen:
        return {"category": "same", "index": seen[id(value)][0]}
    known = _entries.get(id(type(value)))
    config = getattr(value, "config", None)
    if known is not None and hasattr(value, "get_config"):
        kind, name, arguments = known[0], known[1].name, value.get_config()
    elif known is not None and dataclasses.is_dataclass(value):
        kind, name = known[0], known[1].name
        arguments = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
    elif isinstance(config, dict) and {"category", "class", "config"} == config.keys():
        kind, name, arguments = config["category"], config["class"], config["config"]
    elif isinstance(value, list | tuple):
        return [_encode(v, seen) for v in value]
    elif isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"category": "dict", "config": {k: _encode(v, seen) for k, v in value.items()}}
    else:
        return _undescribable(value, category)
    encoded = {k: _encode(v, seen) for k, v in arguments.items()}
    seen[id(value)] = (len(seen), value)  # the value too: an id is only unique among the living
    return {"category": kind, "class": name, "config": encoded}


def _undescribable(value: Any, category: str | None) -> Any:
    raise ArgumentError(
        f"A config cannot describe {value!r}.",
        argument=category,
        expected="numbers, strings, None, lists, dicts, and objects of registered classes",
        got=type(value).__name__,
        fix='register its class or function: @kfunc.register("layer")',
    )
