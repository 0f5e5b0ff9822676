"""The closed registry: the objects that names in a config may stand for. Nothing in a file is imported or evaluated."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import difflib
import functools
import importlib
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn, TypeVar

from .errors import ArgumentError, KfuncError, shown

__all__ = [
    "Limits",
    "Tables",
    "collected",
    "configs",
    "current",
    "described",
    "from_config",
    "held",
    "is_ours",
    "made",
    "names",
    "register",
    "registered",
    "resolve",
    "snake_case",
    "to_config",
]


T = TypeVar("T")


class Entry(NamedTuple):
    name: str
    value: Any
    factory: bool


_CATEGORIES = (
    *("layer", "loss", "metric", "optimizer", "schedule", "initializer", "activation", "regularizer", "constraint"),
    *("dtype_policy", "table"),
)
_tables: dict[str, dict[str, Entry]] = {category: {} for category in _CATEGORIES}
_entries: dict[int, tuple[str, Entry]] = {}
"""The category and the entry of each registered value, by the value's id."""
_CUSTOM = "custom:"
_BESIDE = ("names", "trains")
"""What the config of a layer has beside its arguments; see `Layer.__setstate__`."""

# What a config may ask for. Files come from anywhere, and a short text can describe a network without end, if it uses
# again and again what it has described. The objects that it writes out are bounded by its own length.
_AGAIN = 32_768  # objects that are used again, with all that they are made of,
_AGAIN_EACH = 16  # and so many more for each object that is written out
_TEXT = 10_000  # characters of a text
_INTEGER = 2**63
_REPEATS = {"num_thresholds": 65536, "power_iterations": 65536}  # the sums of these arguments, which cost time


def register(category: str, *names: str, factory: bool | None = None) -> Callable[[T], T]:
    """Decorator that registers a class or function under `names`. The first of them is the one that configs hold.

    Args:
        category: "layer", "loss", "metric", "optimizer", "schedule", "initializer", "activation", "regularizer",
            "constraint" or "dtype_policy".
        names: By default the object's own name. Names of objects from outside kfunc start with "custom:", which is
            added if it is missing.
        factory: Whether the object is called with a config, and its result is what the name stands for; if not, the
            name stands for the object itself. True for classes by default.

    Raises:
        ArgumentError: The category is unknown, or the name belongs to another object.
    """
    table = _table(category)

    def decorate(value: Any) -> Any:
        own = is_ours(value)
        full = [n if own or n.startswith(_CUSTOM) else _CUSTOM + n for n in names or (value.__name__,)]
        entry = Entry(full[0], value, isinstance(value, type) if factory is None else factory)
        for name in full:
            # The same definition run again (a notebook's cell, a reloaded module) replaces the older one.
            if name in table and _origin(table[name].value) != _origin(value):
                raise ArgumentError(
                    f"Another {category} is already registered as {name!r}.",
                    argument="names",
                    expected="a name that no other object has",
                    got=repr(value),
                    fix=f"it is {shown(table[name].value)}: rename one of them, or register this one by another name",
                )
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
    """The name in Keras's style for layers and losses: `conv2d_transpose` for `Conv2DTranspose`."""
    return re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name).lower()


def names(category: str) -> tuple[str, ...]:
    """All names that `resolve` accepts for `category`."""
    return tuple(_table(category))


def registered(category: str, name: str) -> Any:
    """The class, function or object that was registered as `name`, itself and not called."""
    return _lookup(category, name).value


def _lookup(category: str, name: Any, argument: str | None = None) -> Entry:
    table = _table(category)
    if category == "layer" and isinstance(name, str) and name not in table:
        # A family of networks is imported when it is needed; the names are those of a closed table, too.
        importlib.import_module(".models", __package__).find(name)
    return table[name] if isinstance(name, str) and name in table else _unknown(category, name, table, argument)


def resolve(category: str, value: Any, argument: str | None = None) -> Any:
    """The object that `value` stands for.

    Args:
        category: One of the registry's categories.
        value: A name, `{"class": name, "config": {...}}`, a registered class, or the object itself.
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


def from_config(category: str, config: str | dict[str, Any]) -> Any:
    """The object that `to_config` described; see `resolve`.

    A config may hold texts of up to 10,000 characters and integers of 64 bits. It may use an object again that it has
    described, but not so often that the network becomes far larger than the config.

    Raises:
        ArgumentError: A name is unknown, the config does not fit or is malformed, or it holds more than that.
    """
    return _built(category, config)


def _built(category: str, config: Any, argument: str | None = None) -> Any:
    try:
        return _Decoder().build(category, config, argument)
    except KfuncError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"The config of a {category} is malformed: {type(error).__name__} {str(error)[:999]}.", argument="config"
        ) from error


def made(category: str, name: str, arguments: dict[str, Any]) -> Any:
    """The object of the class that is registered as `name`, with the arguments of its config.

    Raises:
        ArgumentError: The name is unknown, or the arguments do not fit.
    """
    return _made(category, _lookup(category, name), arguments)


def _made(category: str, entry: Entry, arguments: dict[str, Any]) -> Any:
    make = getattr(entry.value, "from_config", None)
    try:
        return make(arguments) if make is not None else entry.value(**arguments)
    except TypeError as error:
        raise ArgumentError(
            f"The config does not fit the {category} {entry.name!r}: {error}.",
            argument="config",
            got=", ".join(arguments) or "no arguments",
            fix="check the names of the arguments; a file may come from another version",
        ) from error


class Limits:
    """Counts what one config asks for, so that no short config takes forever."""

    def __init__(self) -> None:
        self.objects = 0  # those written out, and those used again
        self.written = 0
        self.left = dict(_REPEATS)

    def again(self, objects: int) -> None:
        """Count the objects of something that is used again."""
        self.objects += objects
        most = _AGAIN + (1 + _AGAIN_EACH) * self.written
        self.check(self.objects <= most, f"at most {most} objects for {self.written} that are written out", "more")

    def repeats(self, arguments: dict[str, Any]) -> None:
        """Count the arguments that say how often something is repeated."""
        for name in self.left.keys() & arguments.keys():
            if isinstance(arguments[name], int):
                self.left[name] -= arguments[name]
                self.check(self.left[name] >= 0, f"{name} up to {_REPEATS[name]}", arguments[name])

    def plain(self, value: Any) -> Any:
        """`value`, if it is not a longer text or a larger integer than anything needs."""
        if isinstance(value, str):
            self.check(len(value) <= _TEXT, f"at most {_TEXT} characters", f"{len(value)} in a text")
        elif isinstance(value, int):
            self.check(-_INTEGER <= value < _INTEGER, "integers of 64 bits", f"one of {value.bit_length()}")
        return value

    def check(self, good: bool, expected: str, got: Any) -> None:
        if not good:
            raise ArgumentError(
                "The config describes something too large to be safe.", argument="config", expected=expected, got=got
            )


class _Decoder(Limits):
    """Builds what one config describes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, int]] = []  # each object, and how many it is made of

    def build(self, category: Any, config: Any, argument: str | None = None) -> Any:
        before = self.objects
        self.objects, self.written = before + 1, self.written + 1
        if isinstance(config, str):
            return _bare(category, _lookup(category, config, argument), argument)
        entry = _lookup(category, config.get("class"), argument)
        arguments = {self.plain(name): self.decode(v) for name, v in config.get("config", {}).items()}
        self.repeats(arguments)
        value = _made(category, entry, arguments)
        if beside := {name: self.decode(config[name]) for name in _BESIDE if name in config}:
            value.__setstate__(beside)
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
            self.again(objects)
            return found
        return self.build(category, value if "class" in value else value.get("name"))


def is_ours(value: Any) -> bool:
    """Whether a class or a function is kfunc's, and not one that a user has written."""
    return value.__module__.partition(".")[0] == __package__


def to_config(category: str, obj: Any) -> str | dict[str, Any]:
    """A description of `obj` in JSON's types: a name, or `{"class": name, "config": {...}}`.

    An object is described by its `get_config()`, by its fields if it is a dataclass, or by its attribute `config`. An
    object that occurs twice in `obj` becomes one object again when the config is built.

    Raises:
        ArgumentError: `obj`, or an object in it, is not registered or cannot be described.
    """
    _table(category)
    # JSON has no tuples, and frozen classes have no lists: so lists in a config become tuples.
    config = _encode(obj, {}, category)
    if not isinstance(config, dict) or config.get("category") != category:
        _undescribable(obj, category)
    del config["category"]
    return config.get("name", config)


def configs(category: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """`serialize` and `deserialize` of one category, as Keras has them in each of its namespaces."""

    def serialize(value: Any) -> str | dict[str, Any]:
        return to_config(category, value)

    def deserialize(config: str | dict[str, Any]) -> Any:
        return from_config(category, config)

    what = category.replace("_", " ")
    serialize.__doc__ = f"""A description of a {what} in JSON's types, which `deserialize` takes."""
    deserialize.__doc__ = f"""The {what} that `serialize` described; see `kfunc.registry.from_config`."""
    return serialize, deserialize


def described(value: Any) -> Any:
    """A description of anything in JSON's types, to tell whether two objects were made alike.

    It is that of `to_config`, but whatever has no config, such as a function of the user's, is described by its name.
    """
    return _encode(value, {}, None, _named)


def _named(value: Any, _category: str | None) -> Any:
    """All that can be said of an object without a config: its name, or that of its class."""
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        return f"array {value.dtype} {tuple(value.shape)} {zlib.crc32(value.tobytes()):08x}"
    if isinstance(value, functools.partial):
        return {"partial": _encode([value.func, value.args, value.keywords], {}, None, _named)}
    owner = value if hasattr(value, "__qualname__") else type(value)
    return f"{owner.__module__}.{owner.__qualname__}"


def _encode(
    value: Any,
    seen: dict[int, tuple[int, Any]],
    category: str | None = None,
    other: Callable[[Any, str | None], Any] | None = None,
) -> Any:
    """See `to_config`; `other` describes what no config can describe."""
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
    arguments = None if known is None else _arguments(value, strict=other is None)
    if known is not None and arguments is not None:
        kind, name = known[0], known[1].name
    elif isinstance(config, dict) and {"category", "class", "config"} == config.keys():
        kind, name, arguments = config["category"], config["class"], config["config"]
    elif isinstance(value, list | tuple):
        return [_encode(v, seen, None, other) for v in value]
    elif isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"category": "dict", "config": {k: _encode(v, seen, None, other) for k, v in value.items()}}
    else:
        return (other or _undescribable)(value, category)
    encoded: dict[str, Any] = {"config": {k: _encode(v, seen, None, other) for k, v in arguments.items()}}
    for beside, found in (getattr(value, "_beside", None) or {}).items():
        encoded[beside] = _encode(found, seen, None, other)
    seen[id(value)] = (len(seen), value)  # with the value, since its id may be given anew once it is gone
    return {"category": kind, "class": name, **encoded}


def _arguments(value: Any, strict: bool) -> dict[str, Any] | None:
    """What an object of a registered class was made with; None if it does not say that.

    If not `strict`, an error of its `get_config` counts as saying nothing, as that of a `Lambda` of any function does.
    """
    if hasattr(value, "get_config"):
        try:
            return value.get_config()
        except Exception:  # it may be the user's
            if strict:
                raise
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
    return None


def _undescribable(value: Any, category: str | None) -> Any:
    raise ArgumentError(
        f"A config cannot describe {shown(value)}.",
        argument=category,
        expected="numbers, strings, None, lists, dicts, and objects of registered classes",
        got=type(value).__name__,
        fix='register its class or function: @kfunc.register("layer")',
    )


# -- large tables, which the file of a model holds beside its config ---------------------------------------------------


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
            f"`number` refers to table {number!r} of words, which is not the next one in the file of a model.",
            argument="number",
            expected="a config that kf.Model.load reads",
            got=number,
        )
    tables.found.append(table)
