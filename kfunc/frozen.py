"""`dataclass`: frozen dataclasses whose classes are made ten times faster, since there are hundreds of them.

`dataclasses.dataclass(frozen=True)` writes and compiles six methods a class, which takes half a millisecond. Here all
classes share theirs.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar, overload

__all__ = ["dataclass"]

C = TypeVar("C", bound=type)


def _arguments(cls: Any) -> tuple[tuple[str, ...], dict[str, tuple[Any, Any]]]:
    """The names of the arguments by position, and of all, those first, their defaults and default factories.

    Plain values, found when the class is made: Dynamo, for objects that are made in a `forward`, reads no fields.
    """
    fields = [f for f in dataclasses.fields(cls) if f.init]
    first, then = ({f.name: (f.default, f.default_factory) for f in fields if f.kw_only is kw} for kw in (False, True))
    return tuple(first), first | then


class _Signature:
    """What `inspect.signature` finds for a class: its fields. An instance may be callable, and has another one."""

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        if instance is not None or owner.__init__ is not _init:  # type: ignore[misc]
            raise AttributeError("__signature__")
        return _signature(owner)


@functools.cache
def _signature(cls: type) -> inspect.Signature:
    positional, defaults = cls.__arguments__  # type: ignore[attr-defined]
    types = {f.name: f.type for f in dataclasses.fields(cls)}  # type: ignore[arg-type]

    def parameter(name: str, default: Any, factory: Any) -> inspect.Parameter:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if name in positional else inspect.Parameter.KEYWORD_ONLY
        default = inspect.Parameter.empty if default is dataclasses.MISSING else default
        if factory is not dataclasses.MISSING:
            default = factory()
        return inspect.Parameter(name, kind, default=default, annotation=types[name])

    return inspect.Signature([parameter(name, *each) for name, each in defaults.items()])


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    cls = type(self)
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
    return tuple(getattr(self, name) for name in type(self).__arguments__[1])


def _eq(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash((type(self), *_values(self)))


def _repr(self: Any) -> str:
    given = [(name, default, getattr(self, name)) for name, (default, _) in type(self).__arguments__[1].items()]
    changed = [f"{name}={v!r}" for name, default, v in given if default is dataclasses.MISSING or default != v]
    return f"{type(self).__name__}({', '.join(changed)})"


_SHARED: dict[str, Any] = {"__init__": _init, "__setattr__": _setattr, "__delattr__": _delattr, "__repr__": _repr}
_BY_VALUE: dict[str, Any] = {"__eq__": _eq, "__hash__": _hash}


@overload
def dataclass(cls: C, *, eq: bool = True) -> C: ...
@overload
def dataclass(cls: None = None, *, eq: bool = True) -> Callable[[C], C]: ...
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
    made.__arguments__, made.__signature__ = _arguments(made), _Signature()
    return made
