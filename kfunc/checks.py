"""Checks of hyperparameters: each returns the value in its one form, or raises an ArgumentError.

Call them in `__post_init__`: `positive("units", self.units)`. With `none=True`, None is allowed, too. `rank` and
`known` check the shapes of inputs, in `forward`.
"""

from __future__ import annotations

import contextlib
import functools
import math
import numbers
import operator
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from .dataclasses import arguments, fields
from .errors import ArgumentError, ShapeError
from .registry import resolve

__all__ = [
    "as_python",
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


def _refuse(argument: str, expected: str, value: Any, none: bool = False) -> NoReturn:
    raise ArgumentError.must_be(argument, f"{expected} or None" if none else expected, value)


def _within(what: str, least: float | None = None, most: float | None = None, above: float | None = None) -> str:
    """`what` and its bounds, as a sentence has them: "an integer of at least 2 and at most 5"."""
    named = (("above", above), ("at least", least), ("at most", most))
    bounds = " and ".join(f"{name} {bound}" for name, bound in named if bound is not None)
    return what if not bounds else f"{what} {bounds}" if above is not None else f"{what} of {bounds}"


def as_python(value: Any) -> Any:
    """A scalar of NumPy's as a number of Python's; anything else as it is."""
    return value.item() if isinstance(value, numbers.Number) and hasattr(value, "item") else value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def integer(argument: str, value: Any, least: int | None = None, most: int | None = None, none: bool = False) -> Any:
    """An integer in `[least, most]`."""
    if none and value is None:
        return value
    value = value if type(value) is int else as_python(value)
    if not _whole(value) or (least is not None and value < least) or (most is not None and value > most):
        _refuse(argument, _within("an integer", least, most), value, none)
    return value


def positive(argument: str, value: Any, none: bool = False) -> Any:
    """An integer above 0."""
    if none and value is None:
        return value
    value = value if type(value) is int else as_python(value)
    if not _whole(value) or value < 1:
        _refuse(argument, "a positive integer", value, none)
    return value


def natural(argument: str, value: Any, none: bool = False) -> Any:
    """An integer that may be 0."""
    return integer(argument, value, least=0, none=none)


def count(argument: str, value: Any, least: int = 1, none: bool = False) -> Any:
    """A number of things in a call, at least `least`, 0 or 1: an integer of any library, which becomes Python's."""
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
        several = f", or {axes} of them (one for each axis)" if axes > 1 else ""
        _refuse(argument, _within("an integer", least) + several, value)
    return values


def sizes(argument: str, value: Any) -> tuple[int | None, ...]:
    """A shape, in which sizes may be None."""
    if not isinstance(value, tuple | list) or not all(n is None or (_whole(n) and n > 0) for n in value):
        _refuse(argument, "a tuple of positive integers and None", value)
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
    value = value if type(value) is float else as_python(value)
    good = _real(value) and math.isfinite(value)
    if not good or not least <= value <= most or (above is not None and not value > above):
        bounds = (least if least > -math.inf else None, most if most < math.inf else None)
        _refuse(argument, _within("a finite number", *bounds, above), value, none)
    return value


def probability(argument: str, value: Any, one: bool = False) -> float:
    """A number in [0, 1), or in [0, 1] with `one`."""
    value = value if type(value) is float else as_python(value)
    if not _real(value) or not (0 <= value < 1 or (one and value == 1)):
        what = "a probability between 0 and 1" if one else "a probability of at least 0 and below 1"
        said = f"0 <= {argument} {'<=' if one else '<'} 1"
        raise ArgumentError.must_be(argument, what, value, said=said)
    return value


def one_of(argument: str, value: Any, allowed: Iterable[Any]) -> Any:
    """One of the values in `allowed`."""
    allowed = tuple(allowed)
    if not any(type(value) is type(a) and value == a for a in allowed):
        *first, last = names = [repr(a) for a in allowed]
        what = f"{', '.join(first)} or {last}" if first else last
        raise ArgumentError.must_be(argument, what, value, said=f"one of {', '.join(names)}" if first else None)
    return value


def boolean(argument: str, value: Any, none: bool = False) -> Any:
    """True or False."""
    if not isinstance(value, bool) and not (none and value is None):
        _refuse(argument, "a bool", value, none)
    return value


def text(argument: str, value: Any) -> str:
    """Check that `value` is a string."""
    if not isinstance(value, str):
        _refuse(argument, "a string", value)
    return value


def rank(argument: str, x: Any, axes: int, least: bool = False, fix: str | None = None) -> None:
    """Check that the array `x` has `axes` axes, or at least that many with `least`.

    Raises:
        ShapeError: It has another number of axes.
    """
    if x.ndim != axes and not (least and x.ndim > axes):
        what = f"{axes} {'axis' if axes == 1 else 'axes'}{' or more' if least else ''}"
        shape = tuple(x.shape)
        problem = f"`{argument}` must have {what}, got an array of shape {shape}."
        raise ShapeError(problem, argument=argument, expected=what, got=shape, fix=fix)


def known(argument: str, x: Any, *axes: int) -> tuple[int, ...]:
    """The sizes of the axes `axes` of `x`.

    Raises:
        ShapeError: One of them is not known.
    """
    sizes = tuple(x.shape[axis] for axis in axes)
    if None in sizes:
        which = f"{'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"
        raise ShapeError(
            f"`{argument}` must have a known size on {which}, got an array of shape {tuple(x.shape)}.",
            argument=argument,
            expected=f"known sizes of the {which}",
            got=tuple(x.shape),
            fix="give them in the sample or Spec passed to init",
        )
    return sizes


def data_format(argument: str, value: Any) -> str | None:
    """Which axis of images holds the channels; None stands for "channels_last"."""
    return one_of(argument, value, (None, "channels_last", "channels_first"))


def function(argument: str, value: Any) -> Any:
    """What an argument `…_initializer`, `…regularizer`, `…constraint` or `…activation` takes."""
    if value is not None and not callable(resolve(argument.rpartition("_")[2], value, argument)):
        _refuse(argument, "a name, a function or None", value)
    return value


_STANDARD: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("activation", "initializer", "regularizer", "constraint"), function),
    "data_format": data_format,
    "seed": functools.partial(integer, none=True),
}


_BOOLEAN: dict[Any, Callable[[str, Any], Any]] = {"bool": boolean, "bool | None": functools.partial(boolean, none=True)}


@functools.cache
def _standard(cls: Any) -> tuple[tuple[str, Callable[[str, Any], Any]], ...]:
    """The fields of `cls` that `standard` checks, each with its check."""
    found = {f.name: _STANDARD.get(f.name, _STANDARD.get(f.name.rpartition("_")[2])) for f in fields(cls)}
    found |= {f.name: _BOOLEAN[f.type] for f in fields(cls) if f.type in _BOOLEAN}
    return tuple((name, check) for name, check in found.items() if check is not None)


def standard(of: Any) -> None:
    """Check the fields that mean the same in all dataclasses, which are found by their names and types.

    They are the fields of type bool; `…activation`, `…initializer`, `…regularizer` and `…constraint`; `data_format` and
    `seed`.
    """
    given = arguments(of)
    for name, check in _standard(of.__class__):
        if name in given:
            check(name, given[name])
