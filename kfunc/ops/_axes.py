"""Axes by number, checked once for all ops that compute with them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..errors import ShapeError, shown

__all__ = ["normal_axes", "normal_axis", "sizes_of"]


def normal_axis(axis: int, ndim: int, argument: str = "axis") -> int:
    """`axis` counted from the front.

    Raises:
        ShapeError: `axis` is not an axis of an array with `ndim` axes.
    """
    try:
        number = operator.index(axis)
    except TypeError:
        number = ndim
    if not -ndim <= number < ndim:
        raise ShapeError(
            f"There is no axis {axis!r} in an array of {ndim} axes.",
            argument=argument,
            expected=f"an integer from {-ndim} to {ndim - 1}" if ndim else "an array with axes",
            got=repr(axis),
            fix="count the axes of the array from 0, or from its end with -1",
        )
    return number % ndim


def normal_axes(axes: int | Sequence[int] | None, ndim: int, argument: str = "axis") -> tuple[int, ...]:
    """`axes`, an integer, several or None for all, counted from the front.

    Raises:
        ShapeError: An axis does not exist, or is named twice.
    """
    if axes is None:
        return tuple(range(ndim))
    given = axes if isinstance(axes, list | tuple) else (axes,)
    numbers = tuple(normal_axis(axis, ndim, argument) for axis in given)
    if len(set(numbers)) < len(numbers):
        raise ShapeError(
            f"`{argument}` names an axis twice, got {shown(axes)}.",
            argument=argument,
            expected="distinct axes",
            got=axes,
            fix="name each axis once",
        )
    return numbers


def sizes_of(x: Any, *axes: int) -> tuple[int, ...]:
    """The sizes of `x` along `axes`.

    Raises:
        ShapeError: One of them is not known while a function is compiled.
    """
    sizes = tuple(x.shape[axis] for axis in axes)
    if None in sizes:
        raise ShapeError(
            f"A size is not known that is needed here, got shape {tuple(x.shape)}.",
            expected=f"known sizes along the axes {', '.join(map(str, axes))}",
            got=tuple(x.shape),
            fix="give the sizes in the input's Spec",
        )
    return sizes
