"""Reductions of rows that share a number, and ops that write at indices: the standard lacks both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import checks
from ..arrays import backend_of, device, namespace
from ..backends import kind_of
from ..errors import ArgumentError, ShapeError
from ..tracing.spec import Spec
from ..typing import Array
from ._op import op
from ._promotion import cast, dtype_of, kind, lift, numeric

__all__ = [
    "bincount",
    "scatter",
    "scatter_update",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
]


def known(value: Any, argument: str) -> int:
    """The integer array () `value` as an int, for the size of a result.

    Raises:
        UnsupportedError: The value is not known while a function is compiled. The user can pass `argument` instead.
    """
    backend = backend_of(value)
    if backend.is_traced(value):
        raise backend.unsupported(
            "find the size of a result from values that are not known yet",
            f"give {argument} as an integer, or call this outside of kf.jit",
        )
    return int(value)


def places(x: Array, indices: Array) -> Array:
    """`indices`, an integer or nested lists of them, as an array beside `x`."""
    if kind_of(type(indices)) is None:
        indices = namespace(x).asarray(indices, device=device(x))
    if kind(indices) not in "iu":
        raise ArgumentError(
            f"`indices` must hold integers, got {dtype_of(indices)}.",
            argument="indices",
            expected="integers",
            got=dtype_of(indices),
        )
    return indices


# -- segments --------------------------------------------------------------------------------------------------------


def lowest(x: Array) -> float | int:
    """The number that changes no maximum in the dtype of `x`."""
    return -math.inf if kind(x) == "f" else int(namespace(x).iinfo(x.dtype).min)


def highest(x: Array) -> float | int:
    """The number that changes no minimum in the dtype of `x`."""
    return math.inf if kind(x) == "f" else int(namespace(x).iinfo(x.dtype).max)


def flat_rows(data: Array, ids: Array, num_segments: int | None) -> tuple[Array, Array, int]:
    """The arguments of a segment op as rows (n, ...), their segments (n,), and the number of segments.

    Raises:
        ShapeError: `ids` are not for the leading axes of `data`.
        ArgumentError: `ids` holds other numbers than integers.
        UnsupportedError: The number of segments is not known while a function is compiled.
    """
    data, ids = lift(data, ids)
    data, depth = numeric(data), ids.ndim
    if kind(ids) not in "iu":
        raise ArgumentError(
            f"`segment_ids` must hold integers, got {dtype_of(ids)}.",
            argument="segment_ids",
            expected="integers",
            got=dtype_of(ids),
        )
    sizes = zip(data.shape[:depth], ids.shape, strict=False)
    if depth == 0 or depth > data.ndim or any(None not in (m, n) and m != n for m, n in sizes):
        raise ShapeError(
            f"`segment_ids` has shape {tuple(ids.shape)}, which does not begin that of data, {tuple(data.shape)}.",
            argument="segment_ids",
            expected=f"the leading axes of {tuple(data.shape)}, one at least",
            got=tuple(ids.shape),
        )
    xp = namespace(data, ids)
    if depth > 1:
        data, ids = xp.reshape(data, (-1, *data.shape[depth:])), xp.reshape(ids, (-1,))
    if num_segments is None:
        num_segments = known(xp.max(ids) + 1, "num_segments") if ids.shape[0] != 0 else 0
    return data, ids, num_segments


def _by_segment(data, segment_ids, num_segments, sorted, combine, neutral):
    """The rows of each segment joined by the standard's function `combine`, to which `neutral` numbers add nothing."""
    data, ids, size = flat_rows(data, segment_ids, num_segments)
    xp = namespace(data, ids)
    fill, rows, rest = neutral(data), data.shape[0], tuple(data.shape[1:])
    if rows == 0 or size == 0:
        return xp.full((size, *rest), fill, dtype=data.dtype, device=device(data))
    if not sorted:
        order = xp.argsort(ids)
        data, ids = xp.take(data, order, axis=0), xp.take(ids, order)
    column = (-1,) + (1,) * len(rest)
    # Rows of one segment are neighbours now: a scan over doubled distances leaves their result in the last one.
    distance = 1
    while distance < rows:
        same = xp.reshape(ids[distance:] == ids[:-distance], column)
        later = data[distance:, ...]
        earlier = xp.where(same, data[:-distance, ...], xp.full_like(later, fill))
        data = xp.concat([data[:distance, ...], getattr(xp, combine)(later, earlier)], axis=0)
        distance *= 2
    wanted = xp.arange(size, dtype=ids.dtype, device=device(ids))
    after = xp.searchsorted(ids, wanted, side="right")
    last = xp.where(after > 0, after - 1, xp.zeros_like(after))
    found = xp.reshape((after > 0) & (xp.take(ids, last) == wanted), column)
    out = xp.take(data, last, axis=0)
    return xp.where(found, out, xp.full_like(out, fill))


@op(single=True)
def segment_sum(data: Array, segment_ids: Array, num_segments: int | None = None, sorted: bool = False) -> Array:
    """The sum of the rows of each segment.

    Args:
        data: (*rows, ...).
        segment_ids: Integers (*rows): the segment of each row. A row whose segment is out of range counts nowhere.
        num_segments: How many segments there are; by default one more than the largest number in `segment_ids`, which
            is not known while a function is compiled.
        sorted: Whether the numbers ascend.

    Returns:
        (num_segments, ...), of the dtype of `data`; 0 for a segment without rows.

    Raises:
        ShapeError: `segment_ids` does not have the shape of the leading axes of `data`.
    """
    return _by_segment(data, segment_ids, num_segments, sorted, "add", lambda x: 0)


@segment_sum.tape_rule
def _segment_sum_share(xp, g, out, data, segment_ids, num_segments, sorted):
    return gather_segments(g, segment_ids)


@op(single=True)
def segment_prod(data: Array, segment_ids: Array, num_segments: int | None = None, sorted: bool = False) -> Array:
    """The product of the rows of each segment, 1 if it has none; see `segment_sum`."""
    return _by_segment(data, segment_ids, num_segments, sorted, "multiply", lambda x: 1)


@op
def segment_max(data: Array, segment_ids: Array, num_segments: int | None = None, sorted: bool = False) -> Array:
    """The maximum of the rows of each segment, -inf or the least integer if it has none; see `segment_sum`.

    It is NaN if one of the rows is; TensorFlow's kernel may take the other rows' maximum instead.
    """
    return _by_segment(data, segment_ids, num_segments, sorted, "maximum", lowest)


@op
def segment_min(data: Array, segment_ids: Array, num_segments: int | None = None, sorted: bool = False) -> Array:
    """The minimum of the rows of each segment, inf or the largest integer if it has none; see `segment_sum`.

    It is NaN if one of the rows is; TensorFlow's kernel may take the other rows' minimum instead.
    """
    return _by_segment(data, segment_ids, num_segments, sorted, "minimum", highest)


@segment_sum.shape_rule
@segment_prod.shape_rule
@segment_max.shape_rule
@segment_min.shape_rule
def _segments_shape(data, segment_ids, num_segments=None, sorted=False):
    rows, _, size = flat_rows(data, segment_ids, 0 if num_segments is None else num_segments)
    return Spec((None if num_segments is None else size, *rows.shape[1:]), rows.dtype)


def gather_segments(x: Array, segment_ids: Array) -> Array:
    """The row of `x` for each of `segment_ids`, zeros where that is out of range: the gradient of `segment_sum`."""
    xp = namespace(x, segment_ids)
    inside = (segment_ids >= 0) & (segment_ids < x.shape[0])
    flat = xp.reshape(xp.where(inside, segment_ids, xp.zeros_like(segment_ids)), (-1,))
    rows = xp.reshape(xp.take(x, flat, axis=0), (*segment_ids.shape, *x.shape[1:]))
    inside = xp.reshape(inside, (*segment_ids.shape, *(1 for _ in x.shape[1:])))
    return xp.where(inside, rows, xp.zeros_like(rows))


# -- writing at indices ----------------------------------------------------------------------------------------------


def flat_index(xp: Any, indices: Array, shape: Sequence[int]) -> Array:
    """Places (..., k) along axes of sizes `shape` as one number each, in C order; -1 out of range.

    Negative places count from the end.
    """
    index, inside = None, None
    for n, size in enumerate(shape):
        place = indices[..., n]
        place = xp.where(place < 0, place + size, place) if kind(place) == "i" else place
        fits = (place >= 0) & (place < size)
        inside = fits if inside is None else inside & fits
        place = cast(place, "int64") if kind(place) == "u" else place  # int64 holds -1, which stands for "out of range"
        index = place if index is None else index * size + place
    return xp.where(inside, index, xp.full_like(index, -1))


@op
def scatter(indices: Array, values: Array, shape: Sequence[int]) -> Array:
    """Zeros of `shape`, with `values` added at `indices`.

    Args:
        indices: Integers (..., k): places along the first k axes of the result, negative ones from the end. Values
            whose place is out of range are left out.
        values: (..., *shape[k:]).
        shape: The sizes of the result.

    Raises:
        ShapeError: The shapes do not fit together.
    """
    values, indices = lift(values, indices)
    indices = places(values, indices)
    checks.rank("indices", indices, 1, least=True)
    xp = namespace(indices, values)
    k, shape = indices.shape[-1], tuple(shape)
    _check_written("values", values, indices, shape)
    flat = flat_index(xp, indices, shape[:k])
    return xp.reshape(segment_sum(values, flat, math.prod(shape[:k])), shape)


def _check_written(argument, values, indices, shape):
    wanted = (*indices.shape[:-1], *shape[indices.shape[-1] :])
    if indices.ndim < 2 or indices.shape[-1] > len(shape) or tuple(values.shape) != wanted:
        raise ShapeError(
            f"`{argument}` must have shape {wanted} for these indices, got {tuple(values.shape)}.",
            argument=argument,
            expected=f"(*indices.shape[:-1], *shape[k:]), here {wanted}",
            got=tuple(values.shape),
        )


_JOIN = {
    "add": (segment_sum, "add"),
    "mul": (segment_prod, "multiply"),
    "max": (segment_max, "maximum"),
    "min": (segment_min, "minimum"),
}


@op
def scatter_update(inputs: Array, indices: Array, updates: Array, reduction: str | None = None) -> Array:
    """`inputs` with `updates` written at `indices`.

    Args:
        inputs: (*sizes).
        indices: Integers (n, k): places along the first k axes, negative ones from the end. Updates whose place is out
            of range are left out.
        updates: (n, *sizes[k:]).
        reduction: How the numbers at one place are joined: by "add", "max", "min" or "mul" of the old one and the new
            ones; by default the last one written stays.

    Raises:
        ShapeError: The shapes do not fit together.
        ArgumentError: The reduction is unknown.
    """
    inputs, indices, updates = lift(inputs, indices, updates)
    indices, updates = places(inputs, indices), cast(updates, dtype_of(inputs))
    checks.rank("indices", indices, 1, least=True)
    if reduction is not None and reduction not in _JOIN:
        raise ArgumentError.must_be("reduction", f"None or one of {', '.join(_JOIN)}", reduction)
    xp = namespace(inputs, indices, updates)
    k, shape = indices.shape[-1], tuple(inputs.shape)
    _check_written("updates", updates, indices, shape)
    if 0 in indices.shape[:-1]:
        return inputs
    size = math.prod(shape[:k])
    flat = xp.reshape(flat_index(xp, indices, shape[:k]), (-1,))
    old, new = xp.reshape(inputs, (size, *shape[k:])), xp.reshape(updates, (-1, *shape[k:]))
    if reduction is not None:
        of_each_place, join = _JOIN[reduction]
        out = getattr(xp, join)(old, of_each_place(new, flat, size))
    else:
        nth = xp.cumulative_sum(xp.ones_like(flat)) - 1  # no arange, since the number of updates may be unknown
        last = segment_max(nth, flat, size)
        written = last >= 0
        rows = xp.take(new, xp.where(written, last, xp.zeros_like(last)), axis=0)
        out = xp.where(xp.reshape(written, (size, *(1 for _ in shape[k:]))), rows, old)
    return xp.reshape(out, shape)


@op
def bincount(x: Array, weights: Array | None = None, minlength: int = 0) -> Array:
    """How often each number from 0 is in `x`, or the sum of the `weights` at its places.

    Args:
        x: Natural numbers (n,), or (rows, n), which are counted row by row.
        weights: The shape of `x`, or None.
        minlength: The least length of the result.

    Returns:
        (length,) or (rows, length). The length is one more than the largest number, which is not known while a function
        is compiled.
    """
    x = numeric(x)
    xp = namespace(x)
    if weights is None:
        weights = xp.ones_like(cast(x, "int32"))
    x, weights = lift(x, weights)
    if x.ndim not in (1, 2) or tuple(weights.shape) != tuple(x.shape):
        raise ShapeError(
            f"`x` must be a vector, or rows, and `weights` like it, got {tuple(x.shape)} and {tuple(weights.shape)}.",
            argument="x" if x.ndim not in (1, 2) else "weights",
            expected="(n,) or (rows, n)",
            got=tuple(x.shape if x.ndim not in (1, 2) else weights.shape),
        )
    length = minlength
    if 0 not in x.shape:
        length = max(minlength, known(xp.max(x) + 1, "x"))
    if x.ndim == 1:
        return segment_sum(weights, x, length)
    row = xp.expand_dims(xp.arange(x.shape[0], dtype=x.dtype, device=device(x)), axis=1)
    place = xp.where(x < 0, x, x + row * length)
    out = segment_sum(weights, place, x.shape[0] * length)
    return namespace(out).reshape(out, (x.shape[0], length))
