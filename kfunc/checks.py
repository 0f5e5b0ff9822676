"""Checks of hyperparameters: each returns the value in its one form, or raises an ArgumentError that names it.

Use them in `__post_init__`: `positive("units", self.units)`; with `none`, None is allowed, too. Shapes of inputs
are for `rank` and `known`, in `forward`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from .errors import ArgumentError, ShapeError
from .registry import resolve

__all__ = [
    "boolean",
    "count",
    "data_format",
    "function",
    "integer",
    "known",
    "natural",
    "number",
    "one_of",
    "per_axis",
    "positive",
    "probability",
    "rank",
    "sizes",
    "standard",
]


def _refuse(problem: str, argument: str, expected: str, value: Any) -> NoReturn:
    raise ArgumentError(problem, argument=argument, expected=expected, got=repr(value))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def integer(argument: str, value: Any, least: int | None = None, most: int | None = None, none: bool = False) -> Any:
    """An integer in `[least, most]`."""
    if none and value is None:
        return value
    if not _whole(value) or (least is not None and value < least) or (most is not None and value > most):
        bounds = [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
        _refuse(f"{argument} is no such integer.", argument, ", ".join(["an integer", *bounds]), value)
    return value


def positive(argument: str, value: Any, none: bool = False) -> Any:
    """A number of things: an integer above 0."""
    if none and value is None:
        return value
    if not _whole(value) or value < 1:
        _refuse(f"{argument} counts something.", argument, "a positive integer", value)
    return value


def natural(argument: str, value: Any, none: bool = False) -> Any:
    """An integer that may be 0."""
    if none and value is None:
        return value
    if not _whole(value) or value < 0:
        _refuse(f"{argument} counts something.", argument, "an integer, not negative", value)
    return value


def count(argument: str, value: Any, least: int = 1, none: bool = False) -> Any:
    """A number of things in a call, at least `least`, 0 or 1: an integer of any library's, as Python's."""
    if not isinstance(value, bool):
        with contextlib.suppress(TypeError):
            value = operator.index(value)
    return (positive if least else natural)(argument, value, none)


def per_axis(argument: str, value: Any, axes: int, least: int = 1, none: bool = False) -> Any:
    """Integers, one for each of `axes` axes; a single one holds for all."""
    if none and value is None:
        return value
    values = (value,) * axes if _whole(value) else tuple(value) if isinstance(value, tuple | list) else ()
    if len(values) != axes or not all(_whole(n) and n >= least for n in values):
        what = "integer" if axes == 1 else f"integer, or {axes} of them"
        _refuse(f"{argument} has a number for each axis.", argument, f"an {what}, at least {least}", value)
    return values


def sizes(argument: str, value: Any) -> tuple[int | None, ...]:
    """A shape of which some sizes may be None."""
    if not isinstance(value, tuple | list) or not all(n is None or (_whole(n) and n > 0) for n in value):
        _refuse(f"{argument} is no shape.", argument, "a tuple of positive integers and None", value)
    return tuple(value)


def number(
    argument: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    above: float | None = None,
    none: bool = False,
) -> Any:
    """A finite number in `[least, most]`, and larger than `above` if that is given."""
    if none and value is None:
        return value
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not least <= value <= most or (above is not None and not value > above):
        bounds = [f"above {above}"] * (above is not None)
        bounds += [f"at least {least}"] * (least > -math.inf) + [f"at most {most}"] * (most < math.inf)
        _refuse(f"{argument} is no such number.", argument, ", ".join(["a finite number", *bounds]), value)
    return value


def probability(argument: str, value: Any, one: bool = False) -> float:
    """A number in [0, 1), or in [0, 1] with `one`."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not (0 <= value < 1 or (one and value == 1)):
        _refuse(f"{argument} is a probability.", argument, f"0 <= {argument} {'<=' if one else '<'} 1", value)
    return value


def one_of(argument: str, value: Any, allowed: Iterable[Any]) -> Any:
    """One of the values in `allowed`."""
    allowed = tuple(allowed)
    if not any(type(value) is type(a) and value == a for a in allowed):
        _refuse(f"There is no such {argument}.", argument, f"one of {', '.join(map(repr, allowed))}", value)
    return value


def boolean(argument: str, value: Any, none: bool = False) -> Any:
    """True or False."""
    if not isinstance(value, bool) and not (none and value is None):
        _refuse(f"{argument} is yes or no.", argument, "a bool", value)
    return value


def rank(argument: str, x: Any, axes: int, least: bool = False, fix: str | None = None) -> None:
    """Check that the array `x` has `axes` axes, or no fewer with `least`.

    Raises:
        ShapeError: It has not.
    """
    if x.ndim != axes and not (least and x.ndim > axes):
        raise ShapeError(
            f"{argument} has another number of axes than the layer takes.",
            argument=argument,
            expected=f"{axes} axes{' or more' if least else ''}",
            got=tuple(x.shape),
            fix=fix,
        )


def known(argument: str, x: Any, *axes: int) -> tuple[int, ...]:
    """The sizes of the axes `axes` of `x`.

    Raises:
        ShapeError: One of them is not known.
    """
    sizes = tuple(x.shape[axis] for axis in axes)
    if None in sizes:
        raise ShapeError(
            f"A size of {argument} is needed, and is not known.",
            argument=argument,
            expected=f"known sizes of the axes {', '.join(map(str, axes))}",
            got=tuple(x.shape),
            fix="give them in the sample or Spec passed to init",
        )
    return sizes


def data_format(argument: str, value: Any) -> str | None:
    """Where images have their channels; None stands for "channels_last"."""
    return one_of(argument, value, (None, "channels_last", "channels_first"))


def function(argument: str, value: Any) -> Any:
    """What an argument `…_initializer`, `…regularizer`, `…constraint` or `…activation` takes."""
    kind = argument.rpartition("_")[2]
    if value is not None and not callable(resolve(kind, value)):
        _refuse(f"This is no {kind}.", argument, "a name, a function or None", value)
    return value


_STANDARD: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("activation", "initializer", "regularizer", "constraint"), function),
    "data_format": data_format,
    "seed": functools.partial(integer, none=True),
}


_BOOLEAN: dict[Any, Callable[[str, Any], Any]] = {"bool": boolean, "bool | None": functools.partial(boolean, none=True)}


@functools.cache
def _standard(cls: Any) -> tuple[tuple[str, Callable[[str, Any], Any]], ...]:
    """The fields of `cls` that `standard` checks, and by what."""
    fields = [f for f in dataclasses.fields(cls) if f.init]
    found = {f.name: _STANDARD.get(f.name, _STANDARD.get(f.name.rpartition("_")[2])) for f in fields}
    found |= {f.name: _BOOLEAN[f.type] for f in fields if f.type in _BOOLEAN}
    return tuple((name, check) for name, check in found.items() if check is not None)


def standard(of: Any) -> None:
    """Check the fields that mean the same in all dataclasses, by their names and types.

    Those of type bool; `…activation`, `…initializer`, `…regularizer` and `…constraint`; `data_format` and `seed`.
    """
    for name, check in _standard(of.__class__):
        check(name, getattr(of, name))
