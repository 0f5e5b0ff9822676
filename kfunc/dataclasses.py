"""`dataclass`: frozen dataclasses whose classes are made ten times faster, since there are hundreds of them.

`dataclasses.dataclass(frozen=True)` writes and compiles six methods for each class, which takes half a millisecond.
Here all classes share theirs.

An object is its arguments: `build` makes an object like it from what `arguments` returns. Files, `repr`, `replace`,
`copy` and `pickle` use these two. So whatever a class derives from its arguments is derived anew for a copy.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar, overload

from .docstrings import Documentation
from .elsewhere import ARGUMENTS, SETS
from .errors import FrozenError

__all__ = ["Undecorated", "arguments", "build", "dataclass", "fields", "is_open", "replace"]

C = TypeVar("C", bound=type)
T = TypeVar("T")

_PLAIN = (int, float, str, bool, type(None))


def arguments(of: Any) -> dict[str, Any]:
    """The arguments, by name, from which `build` makes an object like `of`.

    They are the fields. If the class has its own `__init__`, they are the arguments that it was called with.
    """
    cls = type(of)
    if cls.__own__ is not None:
        return vars(of)["_given"]
    # The name that a layer shows may be another than it was given. For all else `getattr`: PyTorch's Dynamo does not
    # know the `vars` of objects that are made while it traces.
    return {n: vars(of)[n] if n == "name" else getattr(of, n) for n in cls.__arguments__[1]}


def build(cls: type[T], given: dict[str, Any]) -> T:
    """An object of the frozen class `cls` from its `arguments`."""
    own: inspect.Signature | None = cls.__own__  # type: ignore[attr-defined]
    kinds = {} if own is None else {p.name: p.kind for p in own.parameters.values()}
    if (
        inspect.Parameter.VAR_POSITIONAL not in kinds.values()
        and inspect.Parameter.POSITIONAL_ONLY not in kinds.values()
    ):
        return cls(**given)
    args, rest = [], dict(given)
    for name, kind in kinds.items():
        if kind is inspect.Parameter.VAR_POSITIONAL:
            args.extend(rest.pop(name, ()))
            break
        if name not in rest or kind is inspect.Parameter.KEYWORD_ONLY:
            break
        args.append(rest.pop(name))
    return cls(*args, **rest)


def replace(of: T, /, **changes: Any) -> T:
    """A copy of a layer, loss, metric or other frozen object, with some of its arguments changed.

    As `dataclasses.replace`, which refuses objects of a class with its own `__init__`.

    Args:
        of: The object, which stays as it is.
        changes: The new values of arguments.
    """
    other = build(type(of), {**arguments(of), **changes})
    trains = getattr(of, "_trains", None)  # a layer with parts that are frozen
    if trains is not None:
        object.__setattr__(other, "_trains", {p: v for p, v in trains.items() if p or "trainable" not in changes})
    return other


def fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The arguments of a class as fields: their names, types and defaults."""
    return tuple(cls.__fields__.values())


def is_open(of: Any) -> bool:
    """Whether the class's own `__init__` is running, so that attributes may be assigned."""
    return "_open" in vars(of)


# -- making objects ----------------------------------------------------------------------------------------------------


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    """The `__init__` of all classes that do not define one: it sets the fields."""
    cls = type(self)
    if cls.__decorated__ is not cls:
        raise _undecorated(cls)
    # If the class has its own `__init__`, which calls this one, these are the arguments of the base class.
    positional, defaults = cls.__arguments__
    if len(args) > len(positional):
        taken = f"at most {len(positional)} by position ({', '.join(positional)})" if positional else "none by position"
        raise TypeError(f"{cls.__name__} takes {taken}, and got {len(args)} arguments")
    given = dict(zip(positional, args, strict=False))
    for name in kwargs:
        if name in given:
            raise TypeError(f"{cls.__name__} got two values for the argument {name!r}")
        if name not in defaults:
            import difflib

            close = difflib.get_close_matches(name, defaults, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(defaults)}"
            hint = ARGUMENTS.get(name, hint)
            raise TypeError(f"{cls.__name__} got an unexpected keyword argument {name!r}: {hint}")
    given.update(kwargs)
    for name, (default, factory) in defaults.items():
        if name in given:
            value = given[name]
        elif default is not dataclasses.MISSING:
            value = default
        elif factory is not dataclasses.MISSING:
            value = factory()
        else:
            raise TypeError(f"{cls.__name__} is missing the required argument {name!r}")
        object.__setattr__(self, name, value if type(value) in _PLAIN else _number(value))
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _number(value: Any) -> Any:
    """`value` with NumPy's numbers, also those in lists and tuples, as Python's: files hold no others."""
    cls = type(value)
    if cls in (list, tuple):
        parts = [v if type(v) in _PLAIN else _number(v) for v in value]
        return value if all([a is b for a, b in zip(parts, value, strict=True)]) else cls(parts)
    return value.item() if isinstance(value, numbers.Number) and hasattr(value, "item") else value


def _opening(init: Callable) -> Callable:
    """The `init` that a class defines. While it runs, attributes may be assigned; after it the object is frozen."""

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        cls, attributes = type(self), vars(self)
        if cls.__decorated__ is not cls:
            raise _undecorated(cls)
        if is_open(self):  # it was called by the `__init__` of a subclass
            init(self, *args, **kwargs)
            return
        bound = cls.__own__.bind(*args, **kwargs)
        for name, parameter in cls.__own__.parameters.items():
            if name not in bound.arguments and parameter.default is not parameter.empty:
                bound.arguments[name] = _own_default(parameter.default)
        bound.apply_defaults()
        given = dict(bound.arguments)
        for name, parameter in cls.__own__.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                given.update(given.pop(name))
        attributes["_given"] = {name: _snapshot(value) for name, value in given.items()}
        attributes["_open"] = True
        try:
            init(self, *bound.args, **bound.kwargs)
            set_here = {name: attributes[name] for name in cls.__arguments__[1] if name in attributes}
            if len(set_here) < len(cls.__arguments__[1]):  # it has not called super().__init__()
                _init(self, **set_here)
        finally:
            del attributes["_open"]
        if hasattr(self, "_settle"):
            self._settle()

    return __init__


def _snapshot(value: Any) -> Any:
    """`value` with lists as tuples and copies of dicts, so that it stays the same when the caller changes them."""
    if type(value) in (list, tuple):
        return tuple([_snapshot(v) for v in value])
    return {k: _snapshot(v) for k, v in value.items()} if type(value) is dict else _number(value)


def _is_kept_by_identity(value: Any) -> bool:
    """Whether `value` is, or holds, an object that is equal to itself only, as layers are."""
    if value is dataclasses.MISSING or isinstance(value, _PLAIN):
        return False
    if isinstance(value, list | tuple):
        return any(map(_is_kept_by_identity, value))
    if isinstance(value, dict):
        return any(map(_is_kept_by_identity, value.values()))
    return hasattr(type(value), "__arguments__") and type(value).__eq__ is object.__eq__


def _own_default(value: Any) -> Any:
    """The default `value` for one object. Layers in it are copied, since a network may hold each only once."""
    return copy.deepcopy(value) if _is_kept_by_identity(value) else value


def _undecorated(cls: type) -> TypeError:
    decorator = cls.__decorator__  # type: ignore[attr-defined]
    base = cls.__decorated__.__name__  # type: ignore[attr-defined]
    return TypeError(
        f"{cls.__name__} is a subclass of {base} without the decorator {decorator}: write {decorator} above "
        f"`class {cls.__name__}`, in place of any other dataclass decorator"
    )


class Undecorated:
    """A base whose subclasses need no decorator if they have methods and no fields, as those written for Keras."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        outside = cls.__module__.partition(".")[0] != __name__.partition(".")[0]
        methods = any(isinstance(value, types.FunctionType) for value in vars(cls).values())
        if outside and methods and not inspect.get_annotations(cls):
            dataclass(cls, eq=False)


# -- the methods that all classes share --------------------------------------------------------------------------------


def _setattr(self: Any, name: str, value: Any) -> None:
    if is_open(self):
        object.__setattr__(self, name, value)
        return
    cls = type(self)
    if cls.__decorated__ is not cls:
        raise _undecorated(cls)
    instead = "nn.freeze(net, 'path') or model.freeze('path')" if name == "trainable" else "kfunc.replace"
    raise FrozenError(
        f"`{name}` cannot be set: {cls.__name__} is frozen; {instead} makes a changed copy.",
        argument=name,
        fix=SETS.get(name) or f"kfunc.replace(x, {name}=...) in place of x.{name} = ...",
    )


def _delattr(self: Any, name: str) -> None:
    if is_open(self):
        object.__delattr__(self, name)
        return
    raise FrozenError(f"`{name}` cannot be deleted: {type(self).__name__} is frozen.", argument=name)


def _values(self: Any) -> tuple:
    return tuple(arguments(self).values())


def _eq(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash((type(self), *_values(self)))


def _repr(self: Any) -> str:
    cls = type(self)
    defaults = {name: default for name, (default, _) in cls.__arguments__[1].items()}
    if cls.__own__ is not None:
        defaults |= {p.name: p.default for p in cls.__own__.parameters.values()}
    given = [(name, defaults.get(name, dataclasses.MISSING), v) for name, v in arguments(self).items()]
    changed = [f"{name}={v!r}" for name, default, v in given if default is dataclasses.MISSING or default != v]
    return f"{cls.__name__}({', '.join(changed)})"


def _reduce(self: Any) -> tuple:
    made = build, (type(self), arguments(self))
    found = getattr(self, "_beside", None)  # of a layer: what does not follow from its arguments
    return (*made, found) if found else made


_SHARED: dict[str, Any] = {
    "__init__": _init,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__repr__": _repr,
    "__reduce__": _reduce,
}
_BY_VALUE: dict[str, Any] = {"__eq__": _eq, "__hash__": _hash}


class _Signature:
    """What `inspect.signature` finds for a class: its fields. Instances that can be called have another signature."""

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        if instance is not None or owner.__init__ is not _init:  # type: ignore[misc]
            raise AttributeError("__signature__")
        return _signature(owner)


@functools.cache
def _signature(cls: type) -> inspect.Signature:
    positional, defaults = cls.__arguments__  # type: ignore[attr-defined]
    types = {f.name: f.type for f in cls.__fields__.values()}  # type: ignore[attr-defined]

    def parameter(name: str, default: Any, factory: Any) -> inspect.Parameter:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if name in positional else inspect.Parameter.KEYWORD_ONLY
        default = inspect.Parameter.empty if default is dataclasses.MISSING else default
        if factory is not dataclasses.MISSING:
            default = factory()
        return inspect.Parameter(name, kind, default=default, annotation=types[name])

    return inspect.Signature([parameter(name, *defaults[name]) for name in dict.fromkeys((*positional, *defaults))])


# -- making classes ----------------------------------------------------------------------------------------------------


class _Params:
    """Stands for an attribute that the standard library's `dataclass` reads from base classes.

    That decorator would make a subclass that is not frozen, and whose `__init__` does not know ours. The error is an
    AttributeError, so that for all others who look, the attribute is just missing.
    """

    def __get__(self, instance: Any, owner: type) -> Any:
        decorator = owner.__decorator__  # type: ignore[attr-defined]
        raise AttributeError(
            f"A subclass of {owner.__name__} is decorated with the standard library's dataclass: "
            f"decorate it with {decorator}"
        )


def _alone(cls: type, annotations: dict[str, Any], values: Any) -> Any:
    """A dataclass with the fields that the standard library finds in `cls`, without those of its bases."""
    own = {name: t for name, t in annotations.items() if not (isinstance(t, str) and "ClassVar[" in t)}
    if not own:
        return _Nothing
    given = {name: values[name] for name in own if name in values}
    alone = type(cls.__name__, (), {**given, "__annotations__": own, "__module__": cls.__module__})
    alone.__doc__ = cls.__name__  # else `dataclasses` writes one, which is slow
    return _as_dataclass(alone)


_as_dataclass: Any = dataclasses.dataclass(init=False, repr=False, eq=False, match_args=False)


@_as_dataclass
class _Nothing:
    """A dataclass without fields."""


def _fields_of_init(cls: type, signature: inspect.Signature, base: dict) -> dict[str, dataclasses.Field]:
    """The arguments of a class's own `__init__` as fields. With `**kwargs`, it takes those of its base, too."""
    fields: dict[str, dataclasses.Field] = {}
    for p in signature.parameters.values():
        if p.kind is p.VAR_KEYWORD:
            fields |= {name: f for name, f in base.items() if name not in signature.parameters}
            continue
        options: dict[str, Any] = {"kw_only": p.kind is p.KEYWORD_ONLY}
        if p.default is not p.empty:
            options["default_factory"] = functools.partial(_own_default, p.default)
        alone = _alone(cls, {p.name: p.annotation}, {p.name: dataclasses.field(**options)})
        fields |= alone.__dataclass_fields__
    return fields


def _arguments(cls: Any) -> tuple[tuple[str, ...], dict[str, tuple[Any, Any]]]:
    """The names of the arguments by position; and the default and default factory of every argument, those first.

    They are found when the class is made, as plain values: Dynamo cannot read fields, and needs these where a `forward`
    makes objects.
    """

    def made(f: dataclasses.Field) -> tuple[Any, Any]:
        if _is_kept_by_identity(f.default):
            return dataclasses.MISSING, functools.partial(copy.deepcopy, f.default)
        return f.default, f.default_factory

    first, then = ({f.name: made(f) for f in cls.__fields__.values() if f.kw_only is kw} for kw in (False, True))
    order = getattr(cls, "_positions", ())
    rest = [name for name in then if name not in order]
    positional: list[str] = list(first)
    held: list[str] = []
    for each in order:
        if each in first:
            at = positional.index(each)
            positional[at:at], held = held, []
        else:
            held += [name for name in (rest if each is ... else (each,)) if name in then]
    return (*positional, *held), first | then


@overload
def dataclass(cls: C, *, eq: bool = True) -> C: ...


@overload
def dataclass(cls: None = None, *, eq: bool = True) -> Callable[[C], C]: ...


@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def dataclass(cls: Any = None, *, eq: bool = True) -> Any:
    """Class decorator: `dataclasses.dataclass(frozen=True)`, for losses, metrics and the like of your own.

    In place of fields, a class may have its own `__init__`, which assigns attributes as usual; the object is frozen
    when it returns. Then files hold the arguments of `__init__`, with lists as tuples.

    Args:
        cls: The class.
        eq: Whether objects with equal fields are equal; if not, each is equal to itself only.

    The `repr` shows the arguments that differ from their defaults. Methods that the class or its bases define stay.
    `help` also shows what the bases say about the arguments.

    A field that is keyword-only may be given by position, too, after all other arguments, if the attribute `_positions`
    names it: a tuple in the order of the positions, in which `...` stands for all keyword-only fields that it does not
    name. So a base can give fields to all its subclasses that come last by position, as in Keras. Fields that
    `_positions` names before a field that is not keyword-only stand directly before that one. Type checkers do not
    know this: they accept these arguments by keyword only.

    Raises:
        TypeError: The class has fields, but it inherits an `__init__` that does not know them.
    """
    if cls is None:
        return functools.partial(dataclass, eq=eq)
    alone = _alone(cls, inspect.get_annotations(cls), vars(cls))
    for name, field in alone.__dataclass_fields__.items():
        if isinstance(vars(cls).get(name), dataclasses.Field):
            if field.default is dataclasses.MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, field.default)
    init = vars(cls).get("__init__")
    if init is not None and init is not _init:
        _with_own_init(cls, init)
    elif getattr(cls, "__own__", None) is None:
        inherited: dict[str, dataclasses.Field] = {}
        for base in reversed(cls.__mro__[1:]):
            inherited |= vars(base).get("__dataclass_fields__", {})
        cls.__own__, cls.__dataclass_fields__ = None, inherited | alone.__dataclass_fields__
        cls.__fields__ = {f.name: f for f in dataclasses.fields(cls) if f.init}
        cls.__arguments__ = _arguments(cls)
    elif dataclasses.fields(alone):
        raise TypeError(
            f"{cls.__name__} has fields, and inherits an __init__ that does not know them: give {cls.__name__} an "
            "__init__ of its own"
        )
    for name, method in (_SHARED | _BY_VALUE if eq else _SHARED).items():
        if getattr(cls, name) is getattr(object, name):
            setattr(cls, name, method)
    cls.__decorated__, cls.__signature__, cls.__dataclass_params__ = cls, _Signature(), _Params()
    if not hasattr(cls, "__decorator__"):
        cls.__decorator__ = "@kfunc.dataclass"
    if not isinstance(vars(cls).get("__doc__"), Documentation):
        cls.__doc__ = Documentation(vars(cls).get("__doc__"))
    return cls


def _with_own_init(cls: Any, init: Callable) -> None:
    """Make `cls` a class whose objects are made by its own `init`."""
    signature = inspect.signature(init)
    cls.__own__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    cls.__init__ = _opening(init)
    if not hasattr(cls, "__arguments__"):
        cls.__arguments__ = ((), {})
    names = [p.name for p in cls.__own__.parameters.values() if p.kind is not p.VAR_KEYWORD]
    # To the standard library they are no fields, since attributes of their names may be something else: its `replace`
    # refuses to guess, and ours knows.
    cls.__dataclass_fields__ = _alone(cls, dict.fromkeys(names, dataclasses.InitVar[Any]), {}).__dataclass_fields__
    cls.__fields__ = _fields_of_init(cls, cls.__own__, getattr(cls, "__fields__", {}))
    # These methods of a base would take the arguments for those of the base.
    for name, method in (("get_config", arguments), ("from_config", classmethod(build)), ("__reduce__", _reduce)):
        if name not in vars(cls):
            setattr(cls, name, method)
