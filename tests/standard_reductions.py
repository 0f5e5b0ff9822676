"""The standard's functions that make one number of many, and running ones, one row a function and variant."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from standard_arrays import rows, ties
from standard_table import EPS, Case, booleans, calls, exact, integers, of, reals, relative

__all__ = ["REDUCTIONS"]


def _length(x, axis):
    return math.prod(x.shape[a] for a in (range(x.ndim) if axis is None else np.atleast_1d(axis)))


def _sum_error(e, x, axis=None, keepdims=False, **_):
    """8 eps sqrt(n) of the sum of absolute values: rounding errors of n additions, none larger than that sum's, add up
    like a random walk (a bad order alone would give n)."""
    return 8 * EPS * math.sqrt(max(_length(x, axis), 1)) * np.sum(np.abs(x), axis=axis, keepdims=keepdims)


def _mean_error(e, x, axis=None, keepdims=False, **_):
    return _sum_error(e, x, axis, keepdims) / max(_length(x, axis), 1)


def _prod_error(e, x, axis=None, **_):
    return 8 * EPS * math.sqrt(max(_length(x, axis), 1)) * np.abs(e)


def _var(x, axis=None, correction=0.0, keepdims=False):
    n = _length(x, axis)
    first = np.sum(x, axis=axis, keepdims=True) / n
    return np.sum((x - first) ** 2, axis=axis, keepdims=keepdims) / (n - correction)


def _var_error(e, x, axis=None, correction=0.0, keepdims=False):
    """Squares of distances `d` from the mean, whose own error counts twice as much as a distance's: 2 d (d + mean)."""
    n = _length(x, axis)
    size = np.sum(np.abs(x), axis=axis, keepdims=True) / n
    d = np.abs(x - np.sum(x, axis=axis, keepdims=True) / n)
    return 8 * EPS * math.sqrt(n) * np.sum(d * (d + size), axis=axis, keepdims=keepdims) / (n - correction)


def _std_error(e, x, **options):
    return _var_error(e, x, **options) / (2 * e) + 8 * EPS * e


def _running(fun, start):
    def oracle(x, axis=None, include_initial=False):
        axis = 0 if axis is None else axis
        out, total = [], np.full(np.moveaxis(x, axis, 0).shape[1:], start, x.dtype)
        for part in np.moveaxis(x, axis, 0):
            out.append(total)
            total = fun(total, part)
        out.append(total)
        return np.moveaxis(
            np.stack(out[0 if include_initial else 1 :]) if len(out) > 1 or include_initial else x, 0, axis
        )

    return oracle


def _cumulative_sum_error(e, x, axis=None, **options):
    sizes = _running(np.add, 0)(np.abs(x), axis, **options)
    return 8 * EPS * math.sqrt(x.shape[axis or 0]) * sizes


def _diff(x, axis=-1, n=1):
    moved = np.moveaxis(x, axis, 0)
    for _ in range(n):
        moved = np.stack([moved[i + 1] - moved[i] for i in range(len(moved) - 1)])
    return np.moveaxis(moved, 0, axis)


_GROUPS = [
    {"axis": a, "keepdims": k} for a, k in ((None, False), (0, True), (1, False), ((0, 2), False), ((0, 1, 2), True))
]
_VALUES = reals(-1e3, 1e3, (3, 20, 4))
_NEAR_ONE = reals(0.5, 2, (3, 20, 4))
_WHOLE = integers("int32", -(2**23), 2**23, (3, 20, 4))
_CUMULATIVE = [{"axis": 1}, {"axis": -1, "include_initial": True}, {"axis": 0}]

REDUCTIONS = [
    *rows(
        "sum",
        *(((_VALUES,), o) for o in _GROUPS),
        ((reals(shape=(0, 3)),), {"axis": 0}),
        oracle=lambda x, axis, keepdims=False: np.add.reduce(x, axis=axis, keepdims=keepdims),
        error=_sum_error,
    ),
    *rows(
        "sum",
        *(((_WHOLE,), o) for o in _GROUPS[:3]),
        oracle=lambda x, axis, keepdims: np.add.reduce(x.astype(np.int64), axis=axis, keepdims=keepdims),
        label="int",
    ),
    *rows(
        "prod",
        *(((_NEAR_ONE,), o) for o in _GROUPS),
        ((reals(shape=(0, 3)),), {"axis": 0}),
        oracle=lambda x, axis, keepdims=False: np.multiply.reduce(
            x, axis=tuple(np.atleast_1d(axis)) if axis is not None else None, keepdims=keepdims
        ),
        error=_prod_error,
    ),
    Case(
        "prod",
        calls(hnp.arrays(np.int32, (2, 9), elements=st.sampled_from((1, -1, 3, 7, 11)))),
        lambda x: np.array([math.prod(r) for r in x.tolist()]),
        exact,
        call=lambda xp, x: xp.prod(x, axis=1),
        label="int",
    ),
    *rows(
        "mean",
        *(((_VALUES,), o) for o in _GROUPS),
        oracle=lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims) / _length(x, axis),
        error=_mean_error,
    ),
    *rows(
        "var",
        *(((_VALUES,), o | {"correction": c}) for o, c in zip(_GROUPS, (0.0, 1.0, 0, 1, 2.5), strict=True)),
        oracle=_var,
        error=_var_error,
    ),
    *rows(
        "std",
        *(((_VALUES,), o | {"correction": c}) for o, c in zip(_GROUPS, (0.0, 1.0, 0, 1, 2.5), strict=True)),
        oracle=lambda x, **o: np.sqrt(_var(x, **o)),
        error=_std_error,
    ),
    *(
        case
        for name, fun in (("max", np.maximum), ("min", np.minimum))
        for dtype, strategy in (("", reals(shape=(3, 20, 4))), ("int", integers("int32", shape=(3, 20, 4))))
        for i, o in enumerate(_GROUPS)
        for case in rows(
            name,
            ((strategy,), o),
            oracle=lambda x, axis, keepdims, fun=fun: fun.reduce(x, axis=axis, keepdims=keepdims),
            label=f"{dtype}{i}",
        )
    ),
    *(
        case
        for name, fun in (("any", np.logical_or), ("all", np.logical_and))
        for dtype, strategy in (("", booleans((3, 4, 2))), ("real", ties(3, 4, 2)), ("empty", booleans((0, 4, 2))))
        for i, o in enumerate(_GROUPS)
        for case in rows(
            name,
            ((strategy,), o),
            oracle=lambda x, axis, keepdims, fun=fun: fun.reduce(x != 0, axis=axis, keepdims=keepdims),
            label=f"{dtype}{i}",
        )
    ),
    *rows(
        "cumulative_sum",
        *(((_VALUES,), o) for o in _CUMULATIVE),
        ((reals(-1e3, 1e3, (9,)),), {}),
        oracle=_running(np.add, 0),
        error=_cumulative_sum_error,
    ),
    *rows("cumulative_sum", ((_WHOLE,), {"axis": 1}), oracle=_running(np.add, 0), label="int"),
    *rows(
        "cumulative_prod",
        *(((_NEAR_ONE,), o) for o in _CUMULATIVE),
        ((reals(0.5, 2, (9,)),), {}),
        oracle=_running(np.multiply, 1),
        error=lambda e, x, axis=0, **_: 8 * EPS * math.sqrt(x.shape[axis]) * np.abs(e),
    ),
    *rows(
        "diff",
        *(((_VALUES,), o) for o in ({"axis": 1}, {"axis": -1, "n": 2}, {"axis": 0})),
        oracle=_diff,
        error=of(lambda x, n=1, **_: 2**n * np.max(np.abs(x))),
    ),
    Case(
        "diff",
        calls(reals(shape=(2, 3)), reals(shape=(2, 1)), reals(shape=(2, 2))),
        lambda x, a, b: _diff(np.concatenate([a, x, b], 1)),
        relative,
        call=lambda xp, x, a, b: xp.diff(x, prepend=a, append=b),
        label="ends",
    ),
]
