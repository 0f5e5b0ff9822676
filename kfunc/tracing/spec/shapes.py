"""Rules for shapes. A size of None is unknown, and fits to any other; two known sizes that differ are an error."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from ...errors import ArgumentError, ShapeError, shown

__all__ = [
    "Shape",
    "as_shape",
    "broadcast",
    "mismatch",
    "natural",
    "need",
    "normal_axes",
    "normal_axis",
    "one_of",
    "one_size",
    "reduced",
    "replace",
    "reshaped",
    "unify",
]

Shape = tuple[int | None, ...]


def as_shape(name: str, shape: Any) -> Shape:
    """`shape`, an integer or a sequence of sizes, checked."""
    try:
        sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
        sizes = tuple(n if n is None else operator.index(n) for n in sizes)
    except TypeError:
        sizes = (-1,)
    if any(n is not None and n < 0 for n in sizes):
        raise ArgumentError(
            f"{name}: `shape` must have natural numbers for sizes, got {shown(shape)}.",
            argument="shape",
            expected="natural numbers, or None where unknown",
            got=shape,
            fix="give sizes of 0 or more, as integers",
        )
    return sizes


def mismatch(name: str, shapes: Iterable[Shape], expected: str, fix: str | None = None) -> ShapeError:
    """The error of the function `name`, whose array arguments have `shapes`."""
    shapes = list(shapes)
    one = len(shapes) == 1
    return ShapeError(
        f"{name}: the shape {shapes[0]} does not fit."
        if one
        else f"{name}: the shapes {' and '.join(map(str, shapes))} do not fit together.",
        argument="x" if one else "x1 and x2" if len(shapes) == 2 else "arrays",
        expected=expected,
        got=" and ".join(map(str, shapes)),
        fix=fix or ("reshape it" if one else "reshape or transpose one of them"),
    )


def need(condition: bool, name: str, *arrays: Any, expected: str, fix: str | None = None) -> None:
    if not condition:
        raise mismatch(name, [a.shape for a in arrays], expected, fix)


def natural(name: str, argument: str, value: Any, least: int = 0) -> int:
    """`value` as an integer that is not below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ArgumentError(
            f"{name}: `{argument}` must be an integer, {least} or more, got {shown(value)}.",
            argument=argument,
            expected=f"an integer, {least} or more",
            got=value,
            fix=f"give an integer of {least} or more",
        )
    return number


def one_of(name: str, argument: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise ArgumentError(
            f"{name}: `{argument}` must be one of {', '.join(map(repr, allowed))}, got {shown(value)}.",
            argument=argument,
            expected="one of " + ", ".join(map(repr, allowed)),
            got=repr(value),
            fix="use one of these",
        )


def broadcast(name: str, *shapes: Shape) -> Shape:
    first = shapes[0]
    if all(s == first for s in shapes):
        return first
    n = max(map(len, shapes))
    return tuple(
        one_size(name, sizes, shapes, ones=True)
        for sizes in zip(*((1,) * (n - len(s)) + s for s in shapes), strict=True)
    )


def unify(name: str, *shapes: Shape) -> Shape:
    """The common shape of arrays that must have one."""
    if len({*map(len, shapes)}) > 1:
        raise mismatch(name, shapes, "arrays with equal numbers of axes")
    return tuple(one_size(name, sizes, shapes) for sizes in zip(*shapes, strict=True))


def one_size(name: str, sizes: Iterable[int | None], shapes: Iterable[Shape], ones: bool = False) -> int | None:
    """The one size that all known `sizes` have; with `ones`, sizes of 1 fit to any other."""
    sizes = set(sizes)
    known = sizes - {None, 1} if ones else sizes - {None}
    if len(known) > 1:
        raise mismatch(name, shapes, "equal sizes, or sizes of 1" if ones else "equal sizes")
    return known.pop() if known else None if None in sizes else 1


def normal_axis(name: str, axis: Any, ndim: int) -> int:
    try:
        index = operator.index(axis)
    except TypeError:
        raise ArgumentError(
            f"{name}: `axis` must be an integer, got {shown(axis)}.",
            argument="axis",
            expected="an integer",
            got=repr(axis),
            fix="count axes from 0, or from the last one by -1",
        ) from None
    if not -ndim <= index < ndim:
        raise ShapeError(
            f"{name}: there is no axis {index} in an array with {ndim} {'axis' if ndim == 1 else 'axes'}.",
            argument="axis",
            expected=f"an integer in [{-ndim}, {ndim})" if ndim else "no axis: the array has none",
            got=index,
            fix="count axes from 0, or from the last one by -1",
        )
    return index % ndim


def normal_axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """`axis`, None for all, an integer or a tuple of them, as a tuple of natural numbers."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(normal_axis(name, a, ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len({*axes}) < len(axes):
        raise ShapeError(
            f"{name}: `axis` names an axis twice: {shown(axis)}.",
            argument="axis",
            expected="distinct axes",
            got=axis,
            fix="name each axis once",
        )
    return axes


def replace(shape: Shape, axis: int, *sizes: int | None) -> Shape:
    return (*shape[:axis], *sizes, *shape[axis + 1 :])


def _known(shape: Shape) -> int:
    return math.prod(n for n in shape if n is not None)


def reshaped(old: Shape, new: Any) -> Shape:
    """The shape that `reshape` gives. -1 is computed; as many None as `old` has are the same sizes."""
    try:
        sizes = tuple(n if n is None else operator.index(n) for n in (new if isinstance(new, Iterable) else (new,)))
    except TypeError:
        sizes = as_shape("reshape", new)
    hole = [i for i, n in enumerate(sizes) if n == -1]
    unknown_old, unknown_new = old.count(None), sizes.count(None)
    if not hole and unknown_new == 1 and unknown_old == 0:
        hole, unknown_new = [sizes.index(None)], 0
    rest = tuple(n for i, n in enumerate(sizes) if i not in hole)
    a, b = _known(old), _known(rest)
    if len(hole) > 1 or any(n is not None and n < 0 for n in rest):
        fits = False
    elif hole:
        exact = unknown_old == unknown_new
        fits = not exact or (b != 0 and a % b == 0)
        size = a // b if exact and b else None if not exact else 0
        sizes = replace(sizes, hole[0], size)
    elif unknown_new:
        fits = True
    else:
        fits = a == b if unknown_old == 0 else b % a == 0 if a else b == 0
    if not fits:
        raise ShapeError(
            f"reshape: the shape {shown(new)} does not hold as many elements as {old}.",
            argument="shape",
            expected=f"as many elements as in {old}" + (", and one -1 at most" if hole else ""),
            got=new,
            fix="write -1 for one size, and let it be found",
        )
    return sizes


def reduced(name: str, shape: Shape, axis: Any, keepdims: bool) -> Shape:
    """The shape after a reduction of an array of `shape` along `axis`, which is as in `normal_axes`."""
    axes = normal_axes(name, axis, len(shape))
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)
