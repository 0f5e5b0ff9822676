"""The special cases that the standard (2024.12) defines of its elementwise functions: NaN, infinities, signed zeros."""

from __future__ import annotations

import itertools
import math

import numpy as np
from standard_table import Case, calls, exact, relative

__all__ = ["SPECIAL"]

inf, nan, pi = math.inf, math.nan, math.pi
_WHOLE = [(nan, nan), (inf, inf), (-inf, -inf), (0.0, 0.0), (-0.0, -0.0), (3.0, 3.0), (-2.0, -2.0), (2.0**30, 2.0**30)]
_LOG = [(nan, nan), (-1.0, nan), (-inf, nan), (0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf)]
_ZEROS = [(nan, nan), (0.0, 0.0), (-0.0, -0.0)]

# name: (argument, result) …
_OF_ONE = {
    "abs": [(nan, nan), (0.0, 0.0), (-0.0, 0.0), (inf, inf), (-inf, inf)],
    "acos": [(nan, nan), (1.5, nan), (-1.5, nan), (inf, nan), (1.0, 0.0)],
    "acosh": [(nan, nan), (0.5, nan), (-2.0, nan), (1.0, 0.0), (inf, inf)],
    "asin": [*_ZEROS, (1.5, nan), (-1.5, nan), (-inf, nan)],
    "asinh": [*_ZEROS, (inf, inf), (-inf, -inf)],
    "atan": [*_ZEROS, (inf, pi / 2), (-inf, -pi / 2)],
    "atanh": [*_ZEROS, (1.5, nan), (-1.5, nan), (1.0, inf), (-1.0, -inf)],
    "ceil": _WHOLE,
    "conj": _WHOLE,
    "cos": [(nan, nan), (0.0, 1.0), (-0.0, 1.0), (inf, nan), (-inf, nan)],
    "cosh": [(nan, nan), (0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, inf)],
    "exp": [(nan, nan), (0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0)],
    "expm1": [*_ZEROS, (inf, inf), (-inf, -1.0)],
    "floor": _WHOLE,
    "isfinite": [(nan, False), (inf, False), (-inf, False), (0.0, True), (-3e38, True)],
    "isinf": [(nan, False), (inf, True), (-inf, True), (0.0, False), (-3e38, False)],
    "isnan": [(nan, True), (inf, False), (-inf, False), (0.0, False), (-3e38, False)],
    "log": _LOG,
    "log10": [*_LOG, (1000.0, 3.0)],
    "log1p": [*_ZEROS, (-1.5, nan), (-inf, nan), (-1.0, -inf), (inf, inf)],
    "log2": [*_LOG, (8.0, 3.0)],
    "negative": [(nan, nan), (0.0, -0.0), (-0.0, 0.0), (inf, -inf), (-inf, inf)],
    "positive": _WHOLE,
    "real": _WHOLE,
    "reciprocal": [(nan, nan), (0.0, inf), (-0.0, -inf), (inf, 0.0), (-inf, -0.0)],
    "round": [*_WHOLE, (0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-1.5, -2.0), (-2.5, -2.0), (2.0**23 + 1, 2.0**23 + 1)],
    "sign": [(nan, nan), (0.0, 0.0), (inf, 1.0), (-inf, -1.0), (1e-30, 1.0)],
    "signbit": [(nan, False), (-nan, True), (0.0, False), (-0.0, True), (inf, False), (-inf, True)],
    "sin": [*_ZEROS, (inf, nan), (-inf, nan)],
    "sinh": [*_ZEROS, (inf, inf), (-inf, -inf)],
    "sqrt": [*_ZEROS, (-1.0, nan), (-inf, nan), (inf, inf)],
    "square": [(nan, nan), (0.0, 0.0), (-0.0, 0.0), (inf, inf), (-inf, inf)],
    "tan": [*_ZEROS, (inf, nan), (-inf, nan)],
    "tanh": [*_ZEROS, (inf, 1.0), (-inf, -1.0)],
    "trunc": _WHOLE,
}

_GRID = [nan, inf, -inf, 0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0]


def _divide(a, b):
    if b:
        return a / b
    return nan if not a or a != a else math.copysign(inf, a) * math.copysign(1, b)


def _floor_divide(a, b):
    quotient = _divide(a, b)
    if math.isinf(b) and math.isfinite(a) and a and (a < 0) != (b < 0):
        return None  # 0 below, or -1 as in Python
    if math.isinf(a) and math.isfinite(b) and b:
        return None  # infinite, or NaN as in Python
    return math.copysign(math.floor(quotient), quotient) if math.isfinite(quotient) else quotient


def _remainder(a, b):
    if a != a or b != b or not b or math.isinf(a):
        return nan
    return a % b


def _pow(a, b):
    if a == 1 and b != b:
        return None  # left open
    try:
        return math.pow(a, b)
    except ValueError:
        return nan if a else math.copysign(inf, a) if b % 2 == 1 else inf


def _logaddexp(a, b):
    if a != a or b != b:
        return nan
    if inf in (a, b):
        return inf
    return max(a, b) + 0.0 if -inf in (a, b) else float(np.logaddexp(a, b))


def _largest(a, b, pick):
    return nan if a != a or b != b else pick(a, b) if a != b or math.copysign(1, a) == math.copysign(1, b) else None


def _neighbour(a, b):
    return math.nan if a != a or b != b else b if a == b else float(np.nextafter(np.float32(a), np.float32(b)))


# name: the result of two Python numbers; None where the standard leaves it open.
_OF_TWO = {
    "add": lambda a, b: a + b,
    "atan2": math.atan2,
    "copysign": math.copysign,
    "divide": _divide,
    "equal": lambda a, b: a == b,
    "floor_divide": _floor_divide,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "hypot": math.hypot,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "logaddexp": _logaddexp,
    "maximum": lambda a, b: _largest(a, b, max),
    "minimum": lambda a, b: _largest(a, b, min),
    "multiply": lambda a, b: a * b,
    "nextafter": _neighbour,
    "not_equal": lambda a, b: a != b,
    "pow": _pow,
    "remainder": _remainder,
    "subtract": lambda a, b: a - b,
}


def _case(name: str, rows: list[tuple]) -> Case:
    """One call for all rows (arguments, result)."""
    *arrays, results = (np.array(column) for column in zip(*rows, strict=True))
    floating = results.dtype.kind == "f"
    return Case(
        name,
        calls(*(x.astype(np.float32) for x in arrays)),
        lambda *_: results,
        (lambda e, *_: relative(np.where(np.isfinite(e), e, 0))) if floating else exact,
        label="special",
        signs=True,
    )


def _rows(fun):
    return [(a, b, r) for a, b in itertools.product(_GRID, repeat=2) if (r := fun(a, b)) is not None]


def _nan_clip(x, low, high):
    return np.where(np.isnan(x) | np.isnan(low) | np.isnan(high), nan, np.minimum(np.maximum(x, low), high))


SPECIAL = [
    *(_case(name, rows) for name, rows in _OF_ONE.items()),
    *(_case(name, _rows(fun)) for name, fun in _OF_TWO.items()),
    Case(
        "clip",
        calls(
            *(np.array(x, np.float32) for x in zip((nan, 0, 1), (0, nan, 1), (0, 0, nan), (inf, -1, 1), strict=True))
        ),
        _nan_clip,
        exact,
        call=lambda xp, x, low, high: xp.clip(x, low, high),
        label="special",
        signs=True,
    ),
    *(
        Case(
            name,
            calls(np.array([[1, nan, 2], [inf, 1, -inf], [inf, 1, 2], [-inf, -1, 0]], np.float32), axis=1),
            lambda x, axis, values=values: np.array(values),
            exact,
            label="special",
            signs=True,
        )
        for name, values in {
            "max": (nan, inf, inf, 0),
            "min": (nan, -inf, 1, -inf),
            "sum": (nan, nan, inf, -inf),
            "prod": (nan, -inf, inf, nan),
            "mean": (nan, nan, inf, -inf),
            "any": (True, True, True, True),
            "all": (True, True, True, False),
        }.items()
    ),
    *(
        Case(
            name,
            calls(np.array([1.0, nan, 2.0], np.float32)),
            lambda x, values=values: np.array(values),
            exact,
            label="special",
            signs=True,
        )
        for name, values in {
            "var": nan,
            "std": nan,
            "cumulative_sum": (1, nan, nan),
            "cumulative_prod": (1, nan, nan),
            "diff": (nan, nan),
        }.items()
    ),
    *(
        Case(
            name,
            calls(np.array([nan, 1.0, nan, -0.0, 0.0, 1.0], np.float32)),
            lambda x, results=results: results,
            exact,
            call=call,
            label="special",
            dynamic=True,
            signs=True,
        )
        # Each NaN is a value of its own; zeros are one. Where NaN is sorted to is left open.
        for name, call, results in (
            (
                "unique_values",
                lambda xp, x: (lambda v: (xp.count_nonzero(xp.isnan(v)), xp.abs(v[~xp.isnan(v)])))(xp.unique_values(x)),
                (np.array(2), np.array([0.0, 1.0])),
            ),
            (
                "unique_counts",
                lambda xp, x: (lambda u: (u.counts[xp.isnan(u.values)], u.counts[~xp.isnan(u.values)]))(
                    xp.unique_counts(x)
                ),
                (np.array([1, 1]), np.array([2, 2])),
            ),
        )
    ),
]
