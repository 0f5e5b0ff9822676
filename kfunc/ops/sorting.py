"""Order: sorting, the largest elements, places in sorted sequences, and sets."""

from __future__ import annotations

import math
import numbers
from typing import Any

from .. import checks
from ..arrays import device, namespace
from ..errors import ArgumentError, ShapeError
from ..tracing.spec import Spec
from ..typing import Array
from ._axes import normal_axis
from ._op import op
from ._promotion import cast, dtype_of, kind, lift, numeric, together
from .nans import without_nan
from .segment import known

__all__ = [
    "argpartition",
    "argsort",
    "digitize",
    "in_top_k",
    "isin",
    "nonzero",
    "searchsorted",
    "sort",
    "top_k",
    "unique",
]


def _sortable(x, axis):
    """`x` as an array that has the axis to sort along, and that axis; None takes all elements in order."""
    x = numeric(x)
    return (namespace(x).reshape(x, (-1,)), 0) if axis is None or x.ndim == 0 else (x, axis)


@op
def sort(x: Array, axis: int | None = -1) -> Array:
    """The standard's `sort` along `axis`, ascending; of all elements where it is None."""
    x = lift(x)
    numbers, axis = _sortable(x, axis)
    return cast(namespace(numbers).sort(numbers, axis=axis), dtype_of(x))


@op
def argsort(x: Array, axis: int | None = -1) -> Array:
    """The standard's `argsort` along `axis`, ascending and stable; of all elements where it is None."""
    x, axis = _sortable(x, axis)
    return namespace(x).argsort(x, axis=axis)


@op
def argpartition(x: Array, kth: int, axis: int | None = -1) -> Array:
    """Indices that put the element of rank `kth` in its place, smaller ones before it and larger ones behind it."""
    if isinstance(kth, bool) or not isinstance(kth, numbers.Integral):
        raise ArgumentError.must_be("kth", "an integer", kth)
    x, axis = _sortable(x, axis)
    return namespace(x).argsort(x, axis=axis)


@op
def top_k(x: Array, k: int, sorted: bool = True) -> tuple[Array, Array]:
    """The `k` largest elements along the last axis, the largest first, and where they are.

    Args:
        x: (..., n), n at least k.
        k: How many.
        sorted: False leaves their order to the backend.

    Returns:
        (values, indices): both (..., k). Which one of equal elements comes first is the backend's choice. NaN
        counts as the largest, but on TensorFlow its place may be wrong.
    """
    x = numeric(x)
    xp = namespace(x)
    if x.ndim == 0 or not isinstance(k, int) or k < 0 or (x.shape[-1] is not None and k > x.shape[-1]):
        raise ArgumentError.must_be(
            "k", f"an integer from 0 to {x.shape[-1] if x.ndim else 0}, the size of the last axis", k
        )
    indices = xp.argsort(x, axis=-1, descending=True)[..., :k]
    return xp.take_along_axis(x, indices, axis=-1), indices


@op
def in_top_k(targets: Array, predictions: Array, k: int) -> Array:
    """Whether fewer than `k` predictions are larger than that of the target: (...) and (..., classes) to (...).

    It is False where a target is out of range.
    """
    predictions, targets = lift(predictions, targets)
    checks.rank("predictions", predictions, 1, least=True)
    xp = namespace(predictions, targets)
    there = (targets >= 0) & (targets < predictions.shape[-1])
    place = xp.expand_dims(xp.where(there, targets, xp.zeros_like(targets)), axis=-1)
    of_target = xp.take_along_axis(predictions, place, axis=-1)
    if kind(of_target) == "f":
        of_target = xp.where(xp.isnan(of_target), xp.full_like(of_target, -math.inf), of_target)
    return there & (xp.count_nonzero(predictions > of_target, axis=-1) < k)


@op
def searchsorted(sorted_sequence: Array, values: Array, side: str = "left") -> Array:
    """The standard's `searchsorted`: where `values` would go in an ascending vector, before or behind equal ones.

    Args:
        sorted_sequence: (n,).
        values: (...).
        side: "left" (before equal elements) or "right".

    Returns:
        (...) integers in [0, n].
    """
    sorted_sequence, values = together(sorted_sequence, values, least="i")
    xp = namespace(sorted_sequence, values)
    if sorted_sequence.ndim != 1:
        raise ShapeError(
            f"`sorted_sequence` must be a vector, got shape {tuple(sorted_sequence.shape)}.",
            argument="sorted_sequence",
            expected="(n,)",
            got=tuple(sorted_sequence.shape),
        )
    return xp.searchsorted(sorted_sequence, values, side=side)


@op
def digitize(x: Array, bins: Array) -> Array:
    """In which interval between the ascending `bins` (n,) each number lies: i where `bins[i - 1] <= x < bins[i]`."""
    return searchsorted(bins, x, side="right")


# -- sets ------------------------------------------------------------------------------------------------------------


@op
def isin(x1: Array, x2: Array, assume_unique: bool = False, invert: bool = False) -> Array:
    """Whether each element of `x1` is one of `x2`; with `invert`, whether it is not. NaN is never found.

    Args:
        assume_unique: Changes nothing: one sort finds them either way.
    """
    x1, x2 = together(x1, x2, least="i")
    xp = namespace(x1, x2)
    x2 = xp.reshape(x2, (-1,))
    if x2.shape[0] == 0:
        found = xp.zeros_like(x1, dtype=xp.bool)
    else:
        there = xp.any(x2 == math.inf) if kind(x2) == "f" else None
        # Libraries do not agree on the place of NaN in the order.
        x2 = xp.sort(without_nan(x2, math.inf)[0])
        place = xp.searchsorted(x2, x1)
        last = xp.zeros_like(place) + (x2.shape[0] - 1) if x2.shape[0] is not None else place
        nearest = xp.take(x2, xp.reshape(xp.minimum(place, last), (-1,)))
        found = xp.reshape(nearest, x1.shape) == x1
        found = found if there is None else xp.where(x1 == math.inf, there, found)
    return ~found if invert else found


@op
def nonzero(x: Array) -> tuple[Array, ...]:
    """The standard's `nonzero`: for each axis the places of the elements other than 0, as many as there are.

    Their number is not known while a function is compiled, so backends that need sizes raise an error there.
    """
    x = lift(x)
    return namespace(x).nonzero(x)


@op
def unique(
    x: Array,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: float | None = None,
) -> Any:
    """The distinct elements, ascending; or the distinct slices along `axis`, by their first element that differs.

    Args:
        sorted: Changes nothing: the elements are always sorted.
        return_index: Whether to say where each one comes first.
        return_inverse: Whether to say which one each element is.
        return_counts: Whether to say how often each one comes.
        axis: By default all elements are looked at.
        size: How many to return, so that the shape is known while a function is compiled: the first ones, filled up
            where there are fewer. By default all, whose number is not known then.
        fill_value: The number to fill up with; 0 by default. Indices and counts are filled up with 0.

    Returns:
        The elements (size,), or slices (..., size, ...); and what else is asked for, in the order of the arguments:
        (size,), the shape of `x` (or its length along `axis`), (size,). Each NaN is distinct.
    """
    x = lift(x)
    xp = namespace(x)
    rows = xp.reshape(x, (-1, 1)) if axis is None else xp.moveaxis(x, axis, 0)
    slices = rows.shape[1:]
    n = rows.shape[0]
    rows = xp.reshape(rows, (n, -1) if n else (0, math.prod(slices)))
    where = {"device": device(x)}
    keys = cast(rows, "int32") if kind(rows) == "b" else rows
    # Stable sorts from the last column to the first order the rows.
    order = xp.arange(n, **where)
    for column in range(keys.shape[1] - 1, -1, -1):
        order = xp.take(order, xp.argsort(xp.take(keys[:, column], order)))
    ordered = xp.take(keys, order, axis=0)
    fresh = xp.any(ordered[1:, :] != ordered[:-1, :], axis=1)
    first = xp.ones((min(n, 1),), dtype=xp.bool, device=device(x))
    group = xp.cumulative_sum(xp.astype(xp.concat([first, fresh]), order.dtype)) - 1
    if size is None:
        size = known(group[-1] + 1, "size") if n else 0
    wanted = xp.arange(size, **where)
    start = xp.searchsorted(group, wanted)
    end = xp.searchsorted(group, wanted, side="right")
    there = end > start
    index = xp.take(order, xp.where(there, start, xp.zeros_like(start))) if n else xp.zeros_like(wanted)
    out = xp.take(rows, index, axis=0) if n else xp.zeros((size, rows.shape[1]), dtype=x.dtype, device=device(x))
    fill = xp.full_like(out, 0 if fill_value is None else fill_value)
    out = xp.where(xp.expand_dims(there, axis=1), out, fill)
    out = xp.reshape(out, (size,)) if axis is None else xp.moveaxis(xp.reshape(out, (size, *slices)), 0, axis)
    inverse = xp.take(group, xp.argsort(order))
    results = [
        out,
        xp.where(there, index, xp.zeros_like(index)) if return_index else None,
        (xp.reshape(inverse, x.shape) if axis is None else inverse) if return_inverse else None,
        end - start if return_counts else None,
    ]
    results = [r for r in results if r is not None]
    return results[0] if len(results) == 1 else tuple(results)


@unique.shape_rule
def _unique_shape(
    x,
    sorted=True,
    return_index=False,
    return_inverse=False,
    return_counts=False,
    axis=None,
    size=None,
    fill_value=None,
):
    whole = namespace(x).arange(0).dtype
    at = None if axis is None else normal_axis(axis, x.ndim)
    out = (size,) if at is None else (*x.shape[:at], size, *x.shape[at + 1 :])
    inverse = x.shape if at is None else x.shape[at : at + 1]
    more = ((return_index, (size,)), (return_inverse, inverse), (return_counts, (size,)))
    results = [Spec(out, x.dtype), *(Spec(shape, whole) for wanted, shape in more if wanted)]
    return results[0] if len(results) == 1 else tuple(results)
