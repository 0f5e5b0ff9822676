"""`vmap` and `scan` as Python loops, for namespaces that bring none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import tree
from ..arrays import namespace
from ..errors import ArgumentError, ShapeError

__all__ = ["mapped_axes", "scan", "scan_length", "vmap"]


def scan_length(xs: Any, length: int | None) -> int:
    """The common size of the first axis of the leaves of `xs`.

    Raises:
        ShapeError: The sizes differ, or there is neither a leaf nor a `length`.
    """
    sizes = {leaf.shape[0] for leaf in tree.leaves(xs)} | ({length} if length is not None else set())
    if len(sizes) != 1 or None in sizes:
        raise ShapeError(
            "scan needs one known length.",
            argument="xs",
            expected="leaves whose first axes have one size, equal to length if that is given",
            got=sorted(map(str, sizes)) or "no leaves and no length",
            fix="give xs with equal first axes, or length=",
        )
    return sizes.pop()


def scan(fun: Callable, init: Any, xs: Any, length: int | None = None, reverse: bool = False) -> tuple[Any, Any]:
    n = scan_length(xs, length)
    carry, ys = init, []
    for i in reversed(range(n)) if reverse else range(n):
        carry, y = fun(carry, tree.map(lambda leaf, i=i: leaf[i, ...], xs))
        ys.append(y)
    if reverse:
        ys.reverse()
    return carry, tree.map(_stack, *ys) if ys else None


def _stack(*leaves: Any) -> Any:
    return namespace(*leaves).stack(leaves, axis=0)


def mapped_axes(args: tuple, in_axes: Any) -> tuple:
    """One axis, or None, for each of the positional arguments `args` of a function mapped over `in_axes`.

    Raises:
        ArgumentError: `in_axes` is a tuple of another length.
    """
    axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    if len(axes) != len(args):
        raise ArgumentError(
            "vmap's in_axes does not fit the call.",
            argument="in_axes",
            expected=f"{len(axes)} arguments",
            got=f"{len(args)} arguments",
            fix="give one axis, or None, for each positional argument",
        )
    return axes


def vmap(fun: Callable, in_axes: Any = 0, out_axes: Any = 0) -> Callable:
    def mapped(*args):
        axes = mapped_axes(args, in_axes)
        sizes = {leaf.shape[ax] for a, ax in zip(args, axes, strict=True) if ax is not None for leaf in tree.leaves(a)}
        if len(sizes) != 1:
            raise ShapeError(
                "vmap needs mapped axes of one size.",
                argument="in_axes",
                expected="one size",
                got=sorted(sizes),
                fix="map over axes of equal size, or pass None for arguments that are not mapped",
            )
        outs = []
        for i in range(sizes.pop()):
            row = [
                a if ax is None else tree.map(lambda leaf, i=i, ax=ax: _index(leaf, i, ax), a)
                for a, ax in zip(args, axes, strict=True)
            ]
            outs.append(fun(*row))
        return tree.map(lambda *leaves: namespace(*leaves).stack(leaves, axis=out_axes), *outs)

    return mapped


def _index(x: Any, i: int, axis: int) -> Any:
    return x[(slice(None),) * (axis % x.ndim) + (i, ...)]
