"""Reductions that leave NaN out: those of the standard, with a number that changes nothing in place of each NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..arrays import namespace
from ..backends.composed import root
from ..typing import Array, DType
from . import standard
from ._op import op
from ._promotion import cast, dtype_of, floating, kind, lift

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]


def without_nan(x: Array, value: float) -> tuple[Array, Array | None]:
    """`x` with `value` in place of NaN, and a mask of its numbers; None for the mask where the dtype has no NaN."""
    if kind(x) != "f":
        return x, None
    xp = namespace(x)
    number = ~xp.isnan(x)
    return xp.where(number, x, xp.full_like(x, value)), number


def nan_where_none(out: Array, number: Array, axis: int | Sequence[int] | None, keepdims: bool) -> Array:
    """`out`, and NaN where a slice had no number."""
    xp = namespace(out)
    return xp.where(xp.any(number, axis=axis, keepdims=keepdims), out, math.nan)


def _reduced(x, axis, keepdims, base, identity, all_nan):
    """`base` of `x` with `identity` in place of NaN; where all elements are NaN, NaN if `all_nan`, else `identity`."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    x, number = without_nan(lift(x), identity)
    out = base(x, axis=axis, keepdims=keepdims)
    return nan_where_none(out, number, axis, keepdims) if all_nan and number is not None else out


@op
def nansum(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The `sum` of the elements that are not NaN, along `axis`; 0 where all are NaN."""
    return _reduced(x, axis, keepdims, standard.sum, 0.0, False)


@op
def nanprod(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The `prod` of the elements that are not NaN, along `axis`; 1 where all are NaN."""
    return _reduced(x, axis, keepdims, standard.prod, 1.0, False)


@op
def nanmax(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The `max` of the elements that are not NaN, along `axis`; NaN where all are NaN."""
    return _reduced(x, axis, keepdims, standard.max, -math.inf, True)


@op
def nanmin(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The `min` of the elements that are not NaN, along `axis`; NaN where all are NaN."""
    return _reduced(x, axis, keepdims, standard.min, math.inf, True)


def _place(x, axis, keepdims, base, worst):
    """`base` of `x` with `worst` in place of NaN; -1 where all elements are NaN."""
    x, number = without_nan(lift(x), worst)
    out = base(x, axis=axis, keepdims=keepdims)
    if number is None:
        return out
    xp = namespace(out)
    return xp.where(xp.any(number, axis=axis, keepdims=keepdims), out, xp.full_like(out, -1))


@op
def nanargmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The `argmax` of the elements that are not NaN, along `axis`; -1 where all are NaN."""
    return _place(x, axis, keepdims, standard.argmax, -math.inf)


@op
def nanargmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The `argmin` of the elements that are not NaN, along `axis`; -1 where all are NaN."""
    return _place(x, axis, keepdims, standard.argmin, math.inf)


@op
def nancumsum(x: Array, axis: int | None = None, dtype: DType | None = None) -> Array:
    """`cumsum` with 0 in place of NaN."""
    return standard.cumsum(without_nan(lift(x), 0.0)[0], axis=axis, dtype=dtype)


@op
def nancumprod(x: Array, axis: int | None = None, dtype: DType | None = None) -> Array:
    """`cumprod` with 1 in place of NaN."""
    return standard.cumprod(without_nan(lift(x), 1.0)[0], axis=axis, dtype=dtype)


def _mean(filled, number, axis, keepdims):
    """The mean of the elements that are a number; `filled` has 0 in place of NaN. It is 0 where all are NaN."""
    xp = namespace(filled)
    count = xp.sum(cast(number, dtype_of(filled)), axis=axis, keepdims=keepdims)
    return xp.sum(filled, axis=axis, keepdims=keepdims) / xp.maximum(count, xp.ones_like(count))


@op(single=True)
def nanmean(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """`mean` of the numbers that are not NaN, along `axis`; NaN where all are NaN."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    filled, number = without_nan(floating(x), 0.0)
    return nan_where_none(_mean(filled, number, axis, keepdims), number, axis, keepdims)


@op(single=True)
def nanvar(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """`var` of the numbers that are not NaN, along `axis`; NaN where all are NaN."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    filled, number = without_nan(floating(x), 0.0)
    xp = namespace(filled)
    deviation = filled - _mean(filled, number, axis, True)
    square = xp.square(xp.where(number, deviation, xp.zeros_like(deviation)))
    return nan_where_none(_mean(square, number, axis, keepdims), number, axis, keepdims)


@op(single=True)
def nanstd(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """`std` of the numbers that are not NaN, along `axis`; NaN where all are NaN."""
    variance = nanvar(x, axis, keepdims)
    return root(variance)
