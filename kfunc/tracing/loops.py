"""`vmap` and scans as Python loops, for libraries that have none; and checks that several backends share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import tree
from ..arrays import backend_of, namespace
from ..backends.registry import kind_of
from ..errors import ArgumentError, ShapeError

__all__ = ["associative_scan", "gradient_leaves", "mapped_axes", "scan", "scan_length", "vmap"]


def scan_length(xs: Any, length: int | None) -> int:
    """The common size of the first axis of the leaves of `xs`.

    Raises:
        ShapeError: The sizes differ, or there is neither a leaf nor a `length`.
    """
    sizes = {leaf.shape[0] for leaf in tree.leaves(xs)} | ({length} if length is not None else set())
    if len(sizes) != 1 or None in sizes:
        raise ShapeError(
            f"`scan` needs one known length, got {', '.join(sorted(map(str, sizes))) or 'no array and no length'}.",
            argument="xs",
            expected="leaves whose first axes have one size, equal to length if that is given",
            got=sorted(map(str, sizes)) or "no leaves and no length",
            fix="give xs with equal first axes, or length=",
        )
    return sizes.pop()


def scan(
    fun: Callable[..., Any], init: Any, xs: Any, length: int | None = None, reverse: bool = False
) -> tuple[Any, Any]:
    n = scan_length(xs, length)
    if n == 0:
        return init, tree.map(_none_of, fun(init, tree.map(lambda leaf: _example(leaf, 0), xs))[1])
    carry, ys = init, []
    for i in reversed(range(n)) if reverse else range(n):
        carry, y = fun(carry, tree.map(lambda leaf, i=i: leaf[i, ...], xs))
        ys.append(y)
    if reverse:
        ys.reverse()
    return carry, tree.map(_stack, *ys)


def _example(x: Any, axis: int) -> Any:
    """An entry as `x`, which has none along `axis`, would have: `fun` of it tells the form of what it returns."""
    shape = list(x.shape)
    del shape[axis]
    one = namespace(x).ones(tuple(shape), dtype=x.dtype, device=backend_of(x).device(x))
    return backend_of(x).lower(one) if kind_of(type(x)).native else one


def _none_of(y: Any, axis: int = 0) -> Any:
    """No entries like `y`, in an array with one more axis; through the example that `y` is, no gradient flows."""
    y = backend_of(y).stop_gradient(y)
    return namespace(y).stack([y], axis=axis)[(slice(None),) * (axis % (y.ndim + 1)) + (slice(0, 0), ...)]


def gradient_leaves(grad_fn: Callable[..., Any], upstream: Any, args: tuple[Any, ...]) -> list[Any]:
    """The leaves of what the `grad_fn` of a `custom_gradient` returns: one, or None, for each leaf of `args`.

    Raises:
        ArgumentError: There are more or fewer.
    """
    got = grad_fn(*upstream)
    got = (got,) if len(args) == 1 and not isinstance(got, tuple) else got
    leaves = [tree.leaves(a) for a in args]
    parts = [[None] * len(a) if g is None else tree.leaves(g) for a, g in zip(leaves, got, strict=False)]
    if len(got) != len(args) or any(len(p) != len(a) for p, a in zip(parts, leaves, strict=True)):
        raise ArgumentError(
            f"`grad_fn` returned {len(got)} gradients, which do not fit the {len(args)} arguments.",
            argument="grad_fn",
            expected=f"{len(args)} gradients, each like its argument or None",
            got=tree.structure(got),
        )
    return [x for part in parts for x in part]


def associative_scan(backend: Any, fun: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """The scan of the sums of neighbours gives every second partial result; one more sum each gives the others."""
    flat, structure = tree.flatten(tree.map(backend.lift, elems))
    sizes = {x.shape[axis] for x in flat}
    if len(sizes) != 1 or None in sizes:
        raise ShapeError(
            f"`associative_scan` needs one known length, got {', '.join(sorted(map(str, sizes))) or 'no array'}.",
            argument="elems",
            expected="leaves of one size along axis",
            got=sorted(map(str, sizes)) or "no leaves",
        )

    def combine(a, b):
        a, b = (tree.map(backend.lower, tree.unflatten(structure, z)) for z in (a, b))
        return [backend.lift(x) for x in tree.leaves(fun(a, b))]

    def scan(xs):
        n = xs[0].shape[axis]
        if n < 2:
            return xs
        odd = scan(combine(_part(xs, axis, 0, n - 1, 2), _part(xs, axis, 1, n, 2)))
        later = combine(_part(odd, axis, 0, (n - 1) // 2, 1), _part(xs, axis, 2, n, 2)) if n > 2 else None
        return [_interleave(x, axis, e, o) for x, e, o in zip(xs, later or [None] * len(xs), odd, strict=True)]

    def turn(xs):
        return [namespace(x).flip(x, axis=axis) for x in xs] if reverse else xs

    return tree.map(backend.lower, tree.unflatten(structure, turn(scan(turn(flat)))))


def _part(xs: list, axis: int, start: int, stop: int, step: int) -> list:
    return [x[(slice(None),) * (axis % x.ndim) + (slice(start, stop, step), ...)] for x in xs]


def _interleave(x: Any, axis: int, later: Any, odd: Any) -> Any:
    """The first entry of `x`, then the entries of `odd` and `later` in turn."""
    xp, axis, n = namespace(x, odd), axis % x.ndim, x.shape[axis]
    (even,) = _part([x], axis, 0, 1, 1)
    even = even if later is None else xp.concat([xp.astype(even, later.dtype), later], axis=axis)
    pairs = n // 2
    (first,) = _part([even], axis, 0, pairs, 1)
    mixed = xp.stack([first, odd], axis=axis + 1)
    mixed = xp.reshape(mixed, (*x.shape[:axis], 2 * pairs, *x.shape[axis + 1 :]))
    return xp.concat([mixed, *_part([even], axis, pairs, pairs + 1, 1)], axis=axis) if n % 2 else mixed


def _stack(*leaves: Any) -> Any:
    return namespace(*leaves).stack(leaves, axis=0)


def mapped_axes(args: tuple[Any, ...], in_axes: Any) -> tuple[Any, ...]:
    """One axis, or None, for each of the positional arguments `args` of a function mapped over `in_axes`.

    Raises:
        ArgumentError: `in_axes` is a tuple of another length.
    """
    axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    if len(axes) != len(args):
        raise ArgumentError(
            f"`in_axes` of vmap has {len(axes)} entries, but the call has {len(args)} arguments.",
            argument="in_axes",
            expected=f"{len(axes)} arguments",
            got=f"{len(args)} arguments",
            fix="give one axis, or None, for each positional argument",
        )
    return axes


def vmap(fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    def mapped(*args):
        axes = mapped_axes(args, in_axes)
        sizes = {leaf.shape[ax] for a, ax in zip(args, axes, strict=True) if ax is not None for leaf in tree.leaves(a)}
        if len(sizes) != 1:
            raise ShapeError(
                f"The axes that vmap maps over have different sizes: {sorted(sizes)}."
                if sizes
                else "vmap was given no array to map over.",
                argument="in_axes",
                expected="one size",
                got=sorted(sizes),
                fix="map over axes of equal size, or pass None for arguments that are not mapped",
            )

        def row(entry):
            """`fun` of the entries `entry(leaf, axis)` of what it is mapped over."""
            return fun(
                *[
                    a if ax is None else tree.map(lambda leaf, ax=ax: entry(leaf, ax), a)
                    for a, ax in zip(args, axes, strict=True)
                ]
            )

        n = sizes.pop()
        if n == 0:
            return tree.map(lambda y: _none_of(y, out_axes), row(_example))
        outs = [row(lambda leaf, ax, i=i: _index(leaf, i, ax)) for i in range(n)]
        return tree.map(lambda *leaves: namespace(*leaves).stack(leaves, axis=out_axes), *outs)

    return mapped


def _index(x: Any, i: int, axis: int) -> Any:
    return x[(slice(None),) * (axis % x.ndim) + (i, ...)]
