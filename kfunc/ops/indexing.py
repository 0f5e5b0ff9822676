"""Choosing elements: by conditions, by indices, by slices; and classes as indicator vectors."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

from .. import checks
from ..arrays import backend_of, device, kind_of_tree, namespace
from ..backends import kind_of
from ..errors import ArgumentError, IndexingError, ShapeError
from ..tracing.spec import Spec
from ..typing import Array, DType
from ._axes import normal_axis
from ._op import op
from ._promotion import FLOAT, cast, dtype_of, kind, lift, numeric, together
from .creation import _name
from .segment import places
from .sorting import nonzero

__all__ = [
    "get_item",
    "multi_hot",
    "one_hot",
    "positions",
    "select",
    "slice",
    "slice_update",
    "take",
    "take_along_axis",
    "unravel_index",
    "where",
]

# -- by conditions ---------------------------------------------------------------------------------------------------


@op(elementwise=True)
def where(condition: Array, x1: Array | None = None, x2: Array | None = None) -> Any:
    """`x1` where `condition` holds, else `x2`: arrays that broadcast, or numbers; `nonzero(condition)` without both."""
    if x1 is None and x2 is None:
        return nonzero(condition)
    if kind_of_tree([condition, x1, x2]) is not None and kind_of_tree([x1, x2]) is None:
        # Two numbers have no backend, so they take that of the condition.
        x1, x2 = lift(condition, x1, x2)[1:]
    x1, x2 = together(x1, x2)
    condition, x1, x2 = lift(condition, x1, x2)
    xp = namespace(condition, x1, x2)
    return xp.where(condition if kind(condition) == "b" else condition != 0, x1, x2)


@op(nested=True)
def select(condlist: Sequence[Array], choicelist: Sequence[Array], default: Array = 0) -> Array:
    """For each element the choice of the first condition that holds, or `default`.

    Args:
        condlist: Boolean arrays.
        choicelist: As many arrays or numbers.
        default: An array or a number.
    """
    if len(condlist) != len(choicelist):
        raise ArgumentError(
            f"There are {len(condlist)} conditions, but `choicelist` has {len(choicelist)} arrays.",
            argument="choicelist",
            expected=f"{len(condlist)} arrays",
            got=len(choicelist),
        )
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = where(condition, choice, out)
    return out


# -- by indices ------------------------------------------------------------------------------------------------------


def _sizes(shape):
    return tuple(-1 if n is None else n for n in shape)


@op
def take(x: Array, indices: Array, axis: int | None = None) -> Array:
    """The standard's `take` along `axis`, or of all elements in order by default, with `indices` of any shape.

    Args:
        indices: Integers (...) in [-n, n) where `axis` has n elements.

    Returns:
        The shape of `x` with (...) in place of `axis`.
    """
    x = lift(x, indices)[0] if kind_of(type(x)) is None else x
    indices = places(x, indices)
    xp = namespace(x, indices)
    if axis is None:
        x, axis = xp.reshape(x, (-1,)), 0
    axis = normal_axis(axis, x.ndim)
    _check_some(x, indices, axis)
    if kind(indices) == "i":
        n = x.shape[axis]
        indices = xp.where(indices < 0, indices + n, indices) if n is not None else indices
    if indices.ndim == 1:
        return xp.take(x, indices, axis=axis)
    out = xp.take(x, xp.reshape(indices, (-1,)), axis=axis)
    return xp.reshape(out, _sizes((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])))


@take.shape_rule
def _take_shape(x, indices, axis=None):
    # Any number of sizes may be unknown here, where the reference reshapes and so allows one.
    if axis is None or not isinstance(x, Spec) or not -x.ndim <= axis < x.ndim:
        return NotImplemented
    axis = axis % x.ndim
    return Spec((*x.shape[:axis], *places(x, indices).shape, *x.shape[axis + 1 :]), x.dtype)


@op
def take_along_axis(x: Array, indices: Array, axis: int | None = None) -> Array:
    """The standard's `take_along_axis`: `x[..., indices[..., i, ...], ...]`, other axes broadcast.

    Args:
        indices: Integers; their shape is that of `x`, except along `axis`.
        axis: By default `x` is flattened, and `indices` is a vector.
    """
    x, indices = lift(x, indices)
    xp = namespace(x, indices)
    if axis is None:
        x, axis = xp.reshape(x, (-1,)), 0
    if x.ndim != indices.ndim:
        raise ShapeError(
            f"`indices` must have as many axes as x, {x.ndim}, got shape {tuple(indices.shape)}.",
            argument="indices",
            expected=f"{x.ndim} axes",
            got=tuple(indices.shape),
        )
    axis = normal_axis(axis, x.ndim)
    _check_some(x, indices, axis)
    if kind(indices) == "i" and x.shape[axis] is not None:
        indices = xp.where(indices < 0, indices + x.shape[axis], indices)
    for n in range(x.ndim):
        if n != axis and x.shape[n] != indices.shape[n] and 1 in (x.shape[n], indices.shape[n]):
            small, other = (x, indices) if x.shape[n] == 1 else (indices, x)
            wide = tuple(other.shape[n] if m == n else small.shape[m] for m in range(x.ndim))
            small = xp.broadcast_to(small, wide)
            x, indices = (small, indices) if other is indices else (x, small)
    return xp.take_along_axis(x, indices, axis=axis)


def _check_some(x, indices, axis):
    if x.shape[axis] == 0 and all(indices.shape):  # None stands for a size that may be 0
        raise IndexingError(
            f"`x` has no elements to take along its axis {axis}, got shape {tuple(x.shape)}.",
            argument="x",
            expected="a size of 1 or more there",
            got=tuple(x.shape),
        )


@op
def unravel_index(indices: Array, shape: Sequence[int]) -> tuple[Array, ...]:
    """Places (...) in C order in an array of `shape`, as a tuple with an array (...) for each axis.

    Negative places count from the end.
    """
    indices = lift(indices)
    xp = namespace(indices)
    if kind(indices) == "i":
        indices = xp.where(indices < 0, indices + math.prod(shape), indices)
    out = []
    for size in reversed(shape):
        size = xp.full_like(indices, size)
        out.append(xp.remainder(indices, size))
        indices = xp.floor_divide(indices, size)
    return tuple(reversed(out))


@op(nested=True)
def get_item(x: Array, key: Any) -> Array:
    """`x[key]`, by the standard's rules of indexing; `key` may lack trailing axes, or be an array or list alone."""
    x = lift(x)
    if isinstance(key, list) or (kind_of(type(key)) is not None and kind(key) != "b"):
        return take(x, key, axis=0)
    if isinstance(key, int | builtins.slice):
        key = (key,)
    if isinstance(key, tuple) and not any(k is Ellipsis for k in key):
        key = (*key, ...)
    return x[key]


# -- by slices -------------------------------------------------------------------------------------------------------


def _starts(x, start_indices):
    """Where a slice starts along each axis: ints where they are known, else arrays ()."""
    if kind_of(type(start_indices)) is not None:
        checks.rank("start_indices", start_indices, 1)
        start_indices = [start_indices[n] for n in range(start_indices.shape[0])]
    starts = [s if kind_of(type(s)) is None or backend_of(s).is_traced(s) else int(s) for s in start_indices]
    if len(starts) != x.ndim:
        raise ArgumentError(
            f"`start_indices` must be {x.ndim} integers, one for each axis, got {len(starts)}.",
            argument="start_indices",
            expected=f"{x.ndim} integers",
            got=len(starts),
        )
    return starts


def _clamped(start, most):
    """`start` in [0, most]; `most` may be unknown."""
    if isinstance(start, int):
        return max(start, 0) if most is None else max(min(start, most), 0)
    return namespace(start).clip(start, 0, most)


def _room(size, within):
    """How much of `within` is left beside `size`; None where one is unknown."""
    return None if size is None or within is None else within - size


def _check_sizes(argument, sizes, shape):
    if len(sizes) != len(shape) or any(None not in (m, n) and not 0 <= m <= n for m, n in zip(sizes, shape)):  # noqa: B905
        raise ShapeError(
            f"A block of shape {tuple(sizes)} does not lie within an array of shape {tuple(shape)}.",
            argument=argument,
            expected=f"{len(shape)} sizes up to {tuple(shape)}",
            got=tuple(sizes),
        )


@op(nested=True)
def slice(inputs: Array, start_indices: Sequence[int] | Array, shape: Sequence[int]) -> Array:
    """A block of `shape`, which starts at `start_indices`.

    Args:
        start_indices: One integer for each axis, or an integer array (ndim,), whose values may be unknown. A block that
            would reach beyond an end is moved back into the array.
        shape: The sizes; -1 for all up to the end, where the start is known.
    """
    inputs = lift(inputs)
    starts = _starts(inputs, start_indices)
    sizes = [
        _room(starts[n], inputs.shape[n]) if size == -1 and isinstance(starts[n], int) else size
        for n, size in enumerate(shape)
    ]
    _check_sizes("shape", sizes, inputs.shape)
    starts = [_clamped(s, _room(m, n)) for s, m, n in zip(starts, sizes, inputs.shape, strict=True)]
    known = [isinstance(s, int) for s in starts]
    block = inputs[
        tuple(
            builtins.slice(s, None if m is None else s + m) if k else builtins.slice(None)
            for s, m, k in zip(starts, sizes, known, strict=True)
        )
    ]
    xp = namespace(block)
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        if not known[axis]:
            places = xp.arange(size, dtype=start.dtype, device=device(start)) + start
            block = xp.take(block, places, axis=axis)
    return block


@op(nested=True)
def slice_update(inputs: Array, start_indices: Sequence[int] | Array, updates: Array) -> Array:
    """`inputs` with the block `updates` in place of what starts at `start_indices`.

    Args:
        start_indices: One integer for each axis, or an integer array (ndim,), whose values may be unknown. A block that
            would reach beyond an end is moved back into the array.
        updates: An array of as many axes, no longer than `inputs` along any.
    """
    inputs, updates = lift(inputs, updates)
    updates = cast(updates, dtype_of(inputs))
    _check_sizes("updates", updates.shape, inputs.shape)
    starts = _starts(inputs, start_indices)
    starts = [_clamped(s, _room(m, n)) for s, m, n in zip(starts, updates.shape, inputs.shape, strict=True)]
    xp = namespace(inputs, updates)
    if None not in updates.shape and all(isinstance(s, int) for s in starts):
        return _replaced(xp, inputs, starts, updates, 0)
    inside, out = None, updates
    for axis, start in enumerate(starts):
        place = positions(inputs, axis) - (start if isinstance(start, int) else cast(start, "int32"))
        size = updates.shape[axis]
        size = positions(updates, axis)[-1] + 1 if size is None else size
        here = (place >= 0) & (place < size)
        out = xp.take(out, xp.where(here, place, xp.zeros_like(place)), axis=axis)
        here = xp.reshape(here, tuple(-1 if n == axis else 1 for n in range(inputs.ndim)))
        inside = here if inside is None else inside & here
    return xp.where(inside, out, inputs)


def positions(x: Array, axis: int) -> Array:
    """0, 1, … along `axis`, whose size may be unknown: int32 (size,)."""
    xp = namespace(x)
    if x.shape[axis] is not None:
        return xp.arange(x.shape[axis], dtype=xp.int32, device=device(x))
    others = tuple(n for n in range(x.ndim) if n != axis % x.ndim)
    line = xp.sum(xp.zeros_like(x, dtype=xp.int32), axis=others, dtype=xp.int32)  # also where another size is 0
    return xp.cumulative_sum(line + 1) - 1


def _replaced(xp, x, starts, updates, axis):
    """`x` with `updates` in a block, from `axis` on; the axes before are all the block's."""
    if axis == x.ndim:
        return updates
    if updates.shape[axis] == x.shape[axis]:
        return _replaced(xp, x, starts, updates, axis + 1)
    start, end, before = starts[axis], starts[axis] + updates.shape[axis], (builtins.slice(None),) * axis
    middle = _replaced(xp, x[(*before, builtins.slice(start, end), ...)], starts, updates, axis + 1)
    parts = [middle]
    if start > 0:
        parts.insert(0, x[(*before, builtins.slice(0, start), ...)])
    if x.shape[axis] is None or end < x.shape[axis]:
        parts.append(x[(*before, builtins.slice(end, None), ...)])
    return xp.concat(parts, axis=axis)


# -- classes ---------------------------------------------------------------------------------------------------------


@op
def one_hot(x: Array, num_classes: int, axis: int = -1, dtype: DType | None = None) -> Array:
    """Class numbers (...) as vectors that are 1 at the class and else 0; all 0 for numbers out of range.

    Args:
        x: Integers (...).
        num_classes: The length of a vector.
        axis: Where the vectors go in the result.
        dtype: float32 by default.

    Returns:
        (..., num_classes), or with `num_classes` at `axis`.
    """
    x = numeric(x)
    xp = namespace(x)
    if kind(x) in "iu" and num_classes - 1 > xp.iinfo(x.dtype).max:  # class 300 as uint8 would be class 44
        x = cast(x, "int32")
    classes = xp.arange(num_classes, dtype=x.dtype, device=device(x))
    axis = normal_axis(axis, x.ndim + 1)
    classes = xp.reshape(classes, (num_classes, *(1 for _ in range(x.ndim - axis))))
    return xp.astype(xp.expand_dims(x, axis=axis) == classes, getattr(xp, _name(dtype, FLOAT)))


@op
def multi_hot(inputs: Array, num_classes: int | None = None, axis: int = -1, dtype: DType | None = None) -> Array:
    """Sets of class numbers as vectors that are 1 at each of the classes and else 0.

    Args:
        inputs: Integers (n,) or (batch, n, ...): a set lies along the only axis, or the second.
        num_classes, axis, dtype: As for `one_hot`.

    Returns:
        (num_classes,) or (batch, ..., num_classes).
    """
    if num_classes is None:
        raise ArgumentError("`num_classes` is missing.", argument="num_classes", expected="an integer")
    codes = one_hot(inputs, num_classes, axis, "bool")
    return cast(namespace(codes).any(codes, axis=1 if codes.ndim > 2 else 0), _name(dtype, FLOAT))
