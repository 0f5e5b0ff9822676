"""`dataclass`: frozen dataclasses whose classes are made ten times faster, since there are hundreds of them.

`dataclasses.dataclass(frozen=True)` writes and compiles six methods a class, which takes half a millisecond. Here all
classes share theirs.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["dataclass"]

C = TypeVar("C", bound=type)


@functools.cache
def _fields(cls: type) -> dict[str, dataclasses.Field]:
    """The arguments of a class by name, those that may be given by position first."""
    return {f.name: f for f in sorted(dataclasses.fields(cls), key=lambda f: f.kw_only) if f.init}  # type: ignore[arg-type]


class _Signature:
    """What `inspect.signature` finds for a class: its fields. An instance may be callable, and has another one."""

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        if instance is not None or owner.__init__ is not _init:  # type: ignore[misc]
            raise AttributeError("__signature__")
        return _signature(owner)


@functools.cache
def _signature(cls: type) -> inspect.Signature:
    def parameter(f: dataclasses.Field) -> inspect.Parameter:
        kind = inspect.Parameter.KEYWORD_ONLY if f.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
        default = inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default
        if f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        return inspect.Parameter(f.name, kind, default=default, annotation=f.type)

    return inspect.Signature([parameter(f) for f in _fields(cls).values()])


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    cls, fields = type(self), _fields(type(self))
    positional = [name for name, f in fields.items() if not f.kw_only]
    if len(args) > len(positional):
        taken = f"at most {len(positional)} by position ({', '.join(positional)})" if positional else "none by position"
        raise TypeError(f"{cls.__name__} takes {taken}, and got {len(args)} arguments")
    given = dict(zip(positional, args, strict=False))
    for name in kwargs:
        if name in given:
            raise TypeError(f"{cls.__name__} got two values for the argument {name!r}")
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(fields)}"
            raise TypeError(f"{cls.__name__} got an unexpected keyword argument {name!r}: {hint}")
    given.update(kwargs)
    for name, f in fields.items():
        if name in given:
            value = given[name]
        elif f.default is not dataclasses.MISSING:
            value = f.default
        elif f.default_factory is not dataclasses.MISSING:
            value = f.default_factory()
        else:
            raise TypeError(f"{cls.__name__} is missing the required argument {name!r}")
        object.__setattr__(self, name, value)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _setattr(self: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(
        f"cannot assign to {name!r}: {type(self).__name__} is frozen; dataclasses.replace makes a changed copy"
    )


def _delattr(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete {name!r}: {type(self).__name__} is frozen")


def _values(self: Any) -> tuple:
    return tuple(getattr(self, name) for name in _fields(type(self)))


def _eq(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash((type(self), *_values(self)))


def _repr(self: Any) -> str:
    given = [(f, getattr(self, name)) for name, f in _fields(type(self)).items()]
    changed = [f"{f.name}={v!r}" for f, v in given if f.default is dataclasses.MISSING or f.default != v]
    return f"{type(self).__name__}({', '.join(changed)})"


_SHARED: dict[str, Any] = {"__init__": _init, "__setattr__": _setattr, "__delattr__": _delattr, "__repr__": _repr}
_BY_VALUE: dict[str, Any] = {"__eq__": _eq, "__hash__": _hash}


@typing.overload
def dataclass(cls: C) -> C: ...
@typing.overload
def dataclass(*, eq: bool = True) -> Callable[[C], C]: ...
@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def dataclass(cls: Any = None, *, eq: bool = True) -> Any:
    """Class decorator: `dataclasses.dataclass(frozen=True)`, for losses, metrics and the like of your own.

    Args:
        eq: Whether objects of equal fields are equal; if not, each is equal to itself only.

    The `repr` shows what differs from the defaults. Methods that the class or its bases define stay.
    """
    if cls is None:
        return functools.partial(dataclass, eq=eq)
    made = dataclasses.dataclass(init=False, repr=False, eq=False, match_args=False)(cls)
    for name, method in (_SHARED | _BY_VALUE if eq else _SHARED).items():
        if getattr(made, name) is getattr(object, name):
            setattr(made, name, method)
    made.__signature__ = _Signature()
    return made
