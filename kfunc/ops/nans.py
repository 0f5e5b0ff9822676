"""Reductions that pass over NaN: those of the standard, with what changes nothing in place of each NaN."""

from __future__ import annotations

import math

from ..arrays import namespace
from . import standard
from ._op import Op, op
from ._promotion import cast, dtype_of, in_single, kind, lift

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


def without_nan(x, value):
    """`x` with `value` in place of NaN, and where there was a number; `x` and None where its dtype has no NaN."""
    if kind(x) != "f":
        return x, None
    xp = namespace(x)
    number = ~xp.isnan(x)
    return xp.where(number, x, xp.full_like(x, value)), number


def nan_where_none(out, number, axis, keepdims):
    """`out`, and NaN where a slice had no number."""
    xp = namespace(out)
    return xp.where(xp.any(number, axis=axis, keepdims=keepdims), out, xp.full_like(out, math.nan))


def _named(name: str, base: Op, what: str, fun) -> Op:
    fun.__name__ = fun.__qualname__ = name
    fun.__doc__ = f"`{base.name}` of the numbers that are not NaN, along `axis`{what}."
    return op(fun)


def _reduction(name: str, base: Op, identity: float, all_nan: bool) -> Op:
    def fun(x, axis=None, keepdims=False):
        axis = tuple(axis) if isinstance(axis, list) else axis
        x, number = without_nan(lift(x), identity)
        out = base(x, axis=axis, keepdims=keepdims)
        return nan_where_none(out, number, axis, keepdims) if all_nan and number is not None else out

    return _named(name, base, f"; {'NaN' if all_nan else int(identity)} where all are", fun)


nansum = _reduction("nansum", standard.sum, 0.0, False)
nanprod = _reduction("nanprod", standard.prod, 1.0, False)
nanmax = _reduction("nanmax", standard.max, -math.inf, True)
nanmin = _reduction("nanmin", standard.min, math.inf, True)


def _position(name: str, base: Op, worst: float) -> Op:
    def fun(x, axis=None, keepdims=False):
        x, number = without_nan(lift(x), worst)
        out = base(x, axis=axis, keepdims=keepdims)
        if number is None:
            return out
        xp = namespace(out)
        return xp.where(xp.any(number, axis=axis, keepdims=keepdims), out, xp.full_like(out, -1))

    return _named(name, base, "; -1 where all are", fun)


nanargmax = _position("nanargmax", standard.argmax, -math.inf)
nanargmin = _position("nanargmin", standard.argmin, math.inf)


def _cumulative(name: str, base: Op, identity: float) -> Op:
    def fun(x, axis=None, dtype=None):
        return base(without_nan(lift(x), identity)[0], axis=axis, dtype=dtype)

    return _named(name, base, "; of all elements in order by default", fun)


nancumsum = _cumulative("nancumsum", standard.cumsum, 0.0)
nancumprod = _cumulative("nancumprod", standard.cumprod, 1.0)


def _mean(filled, number, axis, keepdims):
    """The mean of what is not NaN, with 0 in place of what is; 0 where all is NaN."""
    xp = namespace(filled)
    count = xp.sum(cast(number, dtype_of(filled)), axis=axis, keepdims=keepdims)
    return xp.sum(filled, axis=axis, keepdims=keepdims) / xp.maximum(count, xp.ones_like(count))


@op
@in_single
def nanmean(x, axis=None, keepdims=False):
    """`mean` of the numbers that are not NaN, along `axis`; NaN where all are."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    filled, number = without_nan(x, 0.0)
    return nan_where_none(_mean(filled, number, axis, keepdims), number, axis, keepdims)


@op
@in_single
def nanvar(x, axis=None, keepdims=False):
    """`var` of the numbers that are not NaN, along `axis`; NaN where all are."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    filled, number = without_nan(x, 0.0)
    xp = namespace(filled)
    deviation = filled - _mean(filled, number, axis, True)
    square = xp.square(xp.where(number, deviation, xp.zeros_like(deviation)))
    return nan_where_none(_mean(square, number, axis, keepdims), number, axis, keepdims)


@op
@in_single
def nanstd(x, axis=None, keepdims=False):
    """`std` of the numbers that are not NaN, along `axis`; NaN where all are."""
    variance = nanvar(x, axis, keepdims)
    return namespace(variance).sqrt(variance)
