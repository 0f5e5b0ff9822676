"""The standard's functions that make, move, index, search and sort arrays, one row a function and variant."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from standard_table import EPS, Case, booleans, calls, exact, integers, reals

__all__ = ["CREATION", "INDEXING", "MANIPULATION", "SEARCHING", "anything", "rows", "ties"]


def anything(*shape: int):
    """Booleans, integers, or floating numbers with NaN, infinities and signed zeros."""
    return st.one_of(
        hnp.arrays(np.float32, shape, elements=st.floats(width=32, allow_subnormal=False)),
        integers("int32", shape=shape) if math.prod(shape) else st.just(np.zeros(shape, np.int32)),
        booleans(shape),
    )


def ties(*shape: int):
    """Small whole float32 numbers, of which many are equal."""
    return hnp.arrays(np.int8, shape, elements=st.integers(-3, 3)).map(lambda x: x.astype(np.float32))


def rows(name: str, *variants: tuple, oracle=None, call=None, error=exact, dtypes=(), **kwargs) -> list[Case]:
    """A case for each variant: a tuple of arrays, or of shapes of anything, and options."""
    cases = []
    for i, (arrays, options) in enumerate(variants):
        strategies = [anything(*a) if isinstance(a, tuple) else a for a in arrays]
        label = f"{i}" if len(variants) > 1 else kwargs.get("label", "")
        more = {"label": label, "signs": error is exact} | {k: v for k, v in kwargs.items() if k != "label"}
        cases.append(Case(name, calls(*strategies, **options), oracle, error, call=call, dtypes=dtypes, **more))
    return cases


# -- manipulation ------------------------------------------------------------------------------------------------------


def _loop_roll(x, shift, axis):
    if axis is None:
        return _loop_roll(x.reshape(-1), shift, 0).reshape(x.shape)
    pairs = zip((shift,), (axis,), strict=True) if isinstance(axis, int) else zip(shift, axis, strict=True)
    for s, a in pairs:
        n = x.shape[a]
        x = np.stack([np.moveaxis(x, a, 0)[(i - s) % n] for i in range(n)], a) if n else x
    return x


def _loop_repeat(x, repeats, axis):
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    n = x.shape[axis]
    counts = [repeats] * n if np.ndim(repeats) == 0 else np.asarray(repeats).tolist()
    return np.take(x, [i for i, c in enumerate(counts) for _ in range(c)], axis)


def _two(fun):
    """`fun` of the arrays in a list."""
    return lambda xp, *arrays, **options: getattr(xp, fun)(list(arrays), **options)


MANIPULATION = [
    *rows(
        "broadcast_to",
        (((3, 1),), {"shape": (2, 3, 4)}),
        (((),), {"shape": (2, 2)}),
        (((1, 3),), {"shape": (0, 3)}),
        oracle=lambda x, shape: x + np.zeros(shape, x.dtype) if x.dtype != bool else x | np.zeros(shape, bool),
        call=lambda xp, x, shape: xp.broadcast_to(x, shape),
        error=lambda e, *a, **k: np.zeros(e.shape),
    ),
    *rows(
        "broadcast_arrays",
        (((3, 1), (1, 4)), {}),
        (((), (2, 3)), {}),
        (((0, 1), (1, 4)), {}),
        oracle=lambda x, y: np.broadcast_arrays(x, y),
    ),
    *rows(
        "concat",
        ((reals(shape=(2, 3)), reals(shape=(4, 3))), {"axis": 0}),
        ((reals(shape=(2, 3)), reals(shape=(2, 0))), {"axis": -1}),
        ((reals(shape=(2, 3)), reals(shape=(4,))), {"axis": None}),
        oracle=lambda *xs, axis: (
            np.array([v for x in xs for v in x.ravel()]) if axis is None else np.concatenate(xs, axis)
        ),
        call=_two("concat"),
    ),
    *rows(
        "stack",
        ((reals(shape=(2, 3)), reals(shape=(2, 3))), {"axis": 0}),
        ((reals(shape=(2, 3)), reals(shape=(2, 3))), {"axis": -1}),
        ((reals(shape=()), reals(shape=())), {"axis": 0}),
        oracle=lambda *xs, axis: np.concatenate([np.expand_dims(x, axis) for x in xs], axis),
        call=_two("stack"),
    ),
    *rows(
        "expand_dims",
        *((((2, 3),), {"axis": axis}) for axis in (0, 1, -1, -3)),
        (((),), {"axis": 0}),
        oracle=lambda x, axis: x.reshape((*x.shape[: axis % (x.ndim + 1)], 1, *x.shape[axis % (x.ndim + 1) :])),
    ),
    *rows(
        "flip",
        (((2, 3, 2),), {"axis": None}),
        (((2, 3, 2),), {"axis": 1}),
        (((2, 3, 2),), {"axis": (0, -1)}),
        (((0, 3),), {"axis": 0}),
        oracle=lambda x, axis: x[
            tuple(
                slice(None, None, -1 if axis is None or i in np.atleast_1d(axis) % x.ndim else 1) for i in range(x.ndim)
            )
        ],
    ),
    *rows(
        "moveaxis",
        (((2, 3, 4),), {"source": 0, "destination": -1}),
        (((2, 3, 4),), {"source": (0, 1), "destination": (-1, 0)}),
        oracle=np.moveaxis,
        call=lambda xp, x, source, destination: xp.moveaxis(x, source, destination),
    ),
    *rows(
        "permute_dims",
        (((2, 3, 4),), {"axes": (2, 0, 1)}),
        (((0, 3),), {"axes": (1, 0)}),
        (((),), {"axes": ()}),
        oracle=lambda x, axes: np.einsum(x.view(np.uint8) if x.dtype == bool else x, range(x.ndim), axes).astype(
            x.dtype
        ),
    ),
    *rows(
        "repeat",
        (((2, 3),), {"repeats": 2, "axis": None}),
        (((2, 3),), {"repeats": 3, "axis": 1}),
        (((2, 3),), {"repeats": 0, "axis": 0}),
        oracle=_loop_repeat,
        call=lambda xp, x, repeats, axis: xp.repeat(x, repeats, axis=axis),
    ),
    *rows(
        "repeat",
        ((reals(shape=(2, 3)), np.array([2, 0, 1], np.int32)), {"axis": 1}),
        oracle=_loop_repeat,
        call=lambda xp, x, repeats, axis: xp.repeat(x, repeats, axis=axis),
        label="array",
        eager=True,
    ),
    *rows(
        "reshape",
        (((2, 6),), {"shape": (3, 4)}),
        (((2, 6),), {"shape": (4, -1)}),
        (((1, 1),), {"shape": ()}),
        (((0, 3),), {"shape": (3, 0)}),
        oracle=lambda x, shape: np.array(x.ravel().tolist(), x.dtype).reshape(shape),
        call=lambda xp, x, shape: xp.reshape(x, shape),
    ),
    *rows(
        "roll",
        (((7,),), {"shift": 3, "axis": 0}),
        (((3, 4),), {"shift": -5, "axis": None}),
        (((3, 4),), {"shift": (1, -1), "axis": (0, 1)}),
        (((0, 4),), {"shift": 1, "axis": 0}),
        oracle=_loop_roll,
        call=lambda xp, x, shift, axis: xp.roll(x, shift, axis=axis),
    ),
    *rows(
        "squeeze",
        (((1, 3, 1),), {"axis": 0}),
        (((1, 3, 1),), {"axis": (0, -1)}),
        (((1, 0),), {"axis": 0}),
        oracle=lambda x, axis: x.reshape([n for i, n in enumerate(x.shape) if i not in np.atleast_1d(axis) % x.ndim]),
        call=lambda xp, x, axis: xp.squeeze(x, axis),
    ),
    *rows(
        "tile",
        (((2, 3),), {"reps": (2, 1)}),
        (((3,),), {"reps": (2, 2)}),
        (((2, 3),), {"reps": (2,)}),
        (((2, 3),), {"reps": (0, 1)}),
        oracle=np.tile,
        call=lambda xp, x, reps: xp.tile(x, reps),
    ),
    *rows(
        "unstack",
        (((3, 2),), {"axis": 0}),
        (((3, 2),), {"axis": -1}),
        oracle=lambda x, axis: tuple(x.T[i] if axis else x[i] for i in range(x.shape[axis])),
    ),
    *rows(
        "matrix_transpose",
        (((2, 3),), {}),
        (((2, 0, 3),), {}),
        oracle=lambda x: np.moveaxis(x, -1, -2),
    ),
    *rows(
        "tril",
        *((((3, 4),), {"k": k}) for k in (0, 1, -2)),
        (((2, 3, 3),), {"k": 0}),
        oracle=lambda x, k: np.where(np.arange(x.shape[-1]) - np.arange(x.shape[-2])[:, None] <= k, x, x.dtype.type(0)),
    ),
    *rows(
        "triu",
        *((((3, 4),), {"k": k}) for k in (0, 1, -2)),
        (((2, 3, 3),), {"k": 0}),
        oracle=lambda x, k: np.where(np.arange(x.shape[-1]) - np.arange(x.shape[-2])[:, None] >= k, x, x.dtype.type(0)),
    ),
    *rows(
        "meshgrid",
        ((reals(shape=(2,)), reals(shape=(3,))), {"indexing": "xy"}),
        ((reals(shape=(2,)), reals(shape=(3,)), reals(shape=(2,))), {"indexing": "ij"}),
        oracle=lambda *xs, indexing: tuple(np.meshgrid(*xs, indexing=indexing)),
    ),
    *(
        Case(
            "astype",
            calls(strategy),
            oracle,
            exact,
            call=lambda xp, x, to=to: xp.astype(x, getattr(xp, to)),
            label=label,
        )
        for label, strategy, to, oracle in (
            ("float-int", reals(-2e9, 2e9), "int32", lambda x: np.array([int(v) for v in x])),
            # float32 holds 24 bits, to which the nearest is rounded, ties to even.
            ("int-float", integers("int32"), "float32", lambda x: x.astype(np.float32).astype(float)),
            ("float-bool", reals(), "bool", lambda x: (x > 0) | (x < 0)),
            ("bool-float", booleans(), "float32", lambda x: np.where(x, 1.0, 0.0)),
            ("bool-int", booleans(), "int32", lambda x: np.where(x, 1, 0)),
            ("int-bool", integers("int32"), "bool", lambda x: (x > 0) | (x < 0)),
        )
    ),
]


# -- creation ----------------------------------------------------------------------------------------------------------


def make(name: str, *variants: tuple, oracle, error=exact, positional: int = 1, like: bool = False) -> list[Case]:
    """A case for each variant (positional values, options); `dtype` among the options is a name, or absent."""
    cases = []
    for i, (values, options) in enumerate(variants):

        def call(xp, *arrays, values=values, **options):
            if "dtype" in options:
                options["dtype"] = getattr(xp, options["dtype"])
            return getattr(xp, name)(*arrays, *values, **options)

        def expected(*arrays, values=values, dtype=None, **options):
            out = np.asarray(oracle(*arrays, *values, **options))
            kind = np.dtype(dtype).kind if dtype else None
            return out.astype({"b": bool, "f": float, "i": np.int64}[kind]) if kind else out

        arrays = [reals(shape=(2, 3))] if like else []
        cases.append(Case(name, calls(*arrays, **options), expected, error, call=call, label=str(i)))
    return cases


_DTYPED = ({}, {"dtype": "int32"}, {"dtype": "float32"}, {"dtype": "bool"})
_SHAPES = (3, (2, 3), (), (0, 2))


def _each(*values):
    return [((*v,), o) for v in values for o in _DTYPED]


def _arange(start, stop=None, step=1):
    start, stop = (0, start) if stop is None else (start, stop)
    n = max(0, math.ceil((stop - start) / step))
    return np.array([start + i * step for i in range(n)], float if isinstance(start + step, float) else int)


def _linspace(start, stop, num, endpoint=True):
    steps = max(num - 1 if endpoint else num, 1)
    return np.array([(start * (steps - i) + stop * i) / steps for i in range(num)], np.result_type(start, stop, 1.0))


CREATION = [
    *make(
        "arange",
        *(((v), {}) for v in ((5,), (2, 7), (7, 2, -2), (3, 3), (0, 10, 3))),
        *(((v), {"dtype": "float32"}) for v in ((5,), (1, 6, 2))),
        oracle=_arange,
    ),
    *make("arange", ((0.0, 1.0, 0.1), {}), ((-2.5, 3.0, 0.75), {}), oracle=_arange, error=lambda e, **k: 8 * EPS * 4.0),
    *make(
        "linspace",
        ((0.0, 1.0, 7), {}),
        ((-3.0, 5.0, 9), {"endpoint": False}),
        ((2, 11, 4), {}),
        ((1.0, 1.0, 1), {}),
        ((0.0, 1.0, 0), {}),
        ((-1e30, 1e30, 5), {"dtype": "float32"}),
        oracle=_linspace,
        error=lambda e, **k: 8 * EPS * np.max(np.abs(e), initial=0),
    ),
    *make("zeros", *_each(*((s,) for s in _SHAPES)), oracle=lambda shape: np.ones(shape) - 1),
    *make("ones", *_each(*((s,) for s in _SHAPES)), oracle=lambda shape: np.zeros(shape) + 1),
    *make(
        "full",
        *(((s, v), {}) for s in _SHAPES for v in (True, 7, -2.5, math.inf)),
        *((((2, 3), 3), o) for o in _DTYPED),
        oracle=lambda shape, value: np.broadcast_to(np.asarray(value), shape).copy(),
    ),
    *make(
        "eye",
        *(((3,), o) for o in _DTYPED),
        ((3, 4), {"k": 1}),
        ((4, 2), {"k": -2}),
        ((0,), {}),
        oracle=lambda n, m=None, k=0: np.array(
            [[float(j - i == k) for j in range(n if m is None else m)] for i in range(n)]
        ).reshape(n, n if m is None else m),
    ),
    *make("zeros_like", *(((), o) for o in _DTYPED), oracle=lambda x: np.zeros(x.shape), like=True),
    *make("ones_like", *(((), o) for o in _DTYPED), oracle=lambda x: np.zeros(x.shape) + 1, like=True),
    *make("full_like", *(((3,), o) for o in _DTYPED), oracle=lambda x, value: np.zeros(x.shape) + value, like=True),
    # Of an empty array nothing but shape and dtype is known.
    *(
        Case(
            name,
            calls(*arrays),
            lambda *_: np.zeros((2, 3)),
            lambda e, *_: np.full(e.shape, math.inf),
            call=call,
        )
        for name, arrays, call in (
            ("empty", (), lambda xp: xp.zeros_like(xp.empty((2, 3)))),
            ("empty_like", (reals(shape=(2, 3)),), lambda xp, x: xp.zeros_like(xp.empty_like(x))),
        )
    ),
    *(
        Case(
            "asarray",
            calls(),
            lambda value=value: np.asarray(value),
            exact,
            call=lambda xp, v=value: xp.asarray(v),
            label=str(i),
        )
        for i, value in enumerate((True, 3, -2.5, math.inf, [1, 2, 3], [[1.5, 2.5]], (True, False), [], [[], []]))
    ),
    Case(
        "asarray",
        calls(reals(shape=(3,))),
        lambda x: x,
        exact,
        call=lambda xp, x: xp.asarray(x, copy=True),
        label="copy",
    ),
    Case("from_dlpack", calls(reals(shape=(2, 3))), lambda x: x, exact, eager=True),
]


# -- indexing ----------------------------------------------------------------------------------------------------------

_KEYS = {
    "integer": (1, Ellipsis),
    "negative": (-1, Ellipsis),
    "slice": (slice(1, None), slice(None, -1), Ellipsis),
    "step": (Ellipsis, slice(0, 4, 2), slice(None)),
    "backward": (slice(None, None, -1), slice(3, None, -2), slice(None)),
    "empty": (slice(2, 2), Ellipsis),
    "newaxis": (None, Ellipsis, None),
    "mixed": (0, slice(None), None, -1),
    "all": (Ellipsis,),
}


def _element(x, key):
    """`x[key]` element by element, by Python's own lists."""
    if not key:
        return x
    first, rest = key[0], key[1:]
    if first is Ellipsis:
        used = sum(k is not None for k in rest)
        return _element(x, (slice(None),) * (x.ndim - used) + rest)
    if first is None:
        return np.asarray(_element(x, rest))[None]
    if isinstance(first, int):
        return _element(x[range(x.shape[0])[first]], rest)
    parts = [_element(x[i], rest) for i in range(x.shape[0])[first]]
    return np.stack(parts) if parts else np.empty((0, *_element(x[0], rest).shape), x.dtype)


INDEXING = [
    *(
        Case(
            "__getitem__",
            calls(anything(3, 5, 2)),
            lambda x, key=key: _element(x, key),
            exact,
            call=lambda xp, x, key=key: x[key],
            label=label,
            signs=True,
        )
        for label, key in _KEYS.items()
    ),
    Case(
        "__getitem__",
        calls(reals(shape=(4, 3)), np.array([2, 0, -1], np.int32), np.array([0, 2, 1], np.int32)),
        lambda x, i, j: np.array([x.tolist()[a][b] for a, b in zip(i.tolist(), j.tolist(), strict=True)]),
        exact,
        call=lambda xp, x, i, j: x[i, j],
        label="integer arrays",
    ),
    Case(
        "__getitem__",
        calls(reals(shape=(4, 3)), booleans((4, 3))),
        lambda x, m: np.array([v for v, keep in zip(x.ravel(), m.ravel(), strict=True) if keep], float),
        exact,
        call=lambda xp, x, m: x[m],
        label="mask",
        dynamic=True,
    ),
    *rows(
        "take",
        *(
            ((reals(shape=(4, 3)), np.array(i, np.int32)), {"axis": a})
            for i, a in (([0, 3, 1, 1], 0), ([2, 0], 1), ([], 0), ([-1], -1))
        ),
        oracle=lambda x, i, axis: np.moveaxis(
            np.array([np.moveaxis(x, axis, 0)[k] for k in i.tolist()]).reshape(
                len(i), *np.moveaxis(x, axis, 0).shape[1:]
            ),
            0,
            axis,
        ),
        call=lambda xp, x, i, axis: xp.take(x, i, axis=axis),
    ),
    *rows(
        "take_along_axis",
        *(
            ((reals(shape=(3, 4)), hnp.arrays(np.int32, shape, elements=st.integers(0, 2))), {"axis": axis})
            for shape, axis in (((3, 2), -1), ((5, 4), 0))
        ),
        oracle=lambda x, i, axis: np.array(
            [[x[r, i[r, c]] if axis else x[i[r, c], c] for c in range(i.shape[1])] for r in range(i.shape[0])]
        ),
        call=lambda xp, x, i, axis: xp.take_along_axis(x, i, axis=axis),
    ),
]


# -- searching, sorting, sets ------------------------------------------------------------------------------------------


def _along(fun):
    """`fun` of a list, along the last axis (or `axis`)."""

    def oracle(x, axis=-1, **options):
        moved = np.moveaxis(x, axis, -1)
        flat = [fun(row.tolist(), **options) for row in moved.reshape(-1, x.shape[axis])]
        dtype = int if fun is _stable_order else x.dtype
        return np.moveaxis(np.array(flat, dtype).reshape(moved.shape), -1, axis)

    return oracle


def _stable_order(values, descending=False, **_):
    return sorted(range(len(values)), key=lambda i: -values[i] if descending else values[i])


def _sorted(values, descending=False, **_):
    return [values[i] for i in _stable_order(values, descending)]


def _place(pick):
    def oracle(x, axis=None, keepdims=False):
        if axis is None:
            out = np.array(x.ravel().tolist().index(pick(x.ravel().tolist())))
            return out.reshape((1,) * x.ndim) if keepdims else out
        out = np.apply_along_axis(lambda v: v.tolist().index(pick(v.tolist())), axis, x)
        return np.expand_dims(out, axis) if keepdims else out

    return oracle


_UNIQUE = {
    "values": lambda x: np.array(sorted(set(x.ravel().tolist())), x.dtype),
    "indices": lambda x: np.array([x.ravel().tolist().index(v) for v in sorted(set(x.ravel().tolist()))], int),
    "inverse_indices": lambda x: np.array(
        [sorted(set(x.ravel().tolist())).index(v) for v in x.ravel().tolist()], int
    ).reshape(x.shape),
    "counts": lambda x: np.array([x.ravel().tolist().count(v) for v in sorted(set(x.ravel().tolist()))], int),
}


def _in_order(name, fields):
    """The results of a set function, sorted by value, as their order is left open."""

    def call(xp, x):
        out = getattr(xp, name)(x)
        out = {"values": out} if len(fields) == 1 else out._asdict()
        order = xp.argsort(out["values"])
        for f in fields:
            if f == "inverse_indices":
                out[f] = xp.reshape(xp.take(xp.argsort(order), xp.reshape(out[f], (-1,)), axis=0), x.shape)
            else:
                out[f] = xp.take(out[f], order, axis=0)
        return [out[f] for f in fields]

    return call


_AXES = [{"axis": a, "keepdims": k} for a, k in ((None, False), (None, True), (0, False), (-1, True))]
_SORTS = [{"axis": a, "descending": d, "stable": True} for a, d in ((-1, False), (0, True), (1, True))]

SEARCHING = [
    *(
        case
        for name, pick in (("argmax", max), ("argmin", min))
        for dtype, strategy in (("", ties(3, 7)), ("int", integers("int32", shape=(3, 7))))
        for i, o in enumerate(_AXES)
        for case in rows(name, ((strategy,), o), oracle=_place(pick), label=f"{dtype}{i}")
    ),
    *(
        case
        for name, fun in (("sort", _sorted), ("argsort", _stable_order))
        for dtype, strategy in (
            ("", ties(3, 9)),
            ("real", reals(shape=(3, 9))),
            ("int", integers("int32", shape=(3, 9))),
            ("empty", (0, 3)),
        )
        for i, o in enumerate(_SORTS)
        if dtype != "empty" or i == 0
        for case in rows(
            name,
            ((reals(shape=(0, 3)) if dtype == "empty" else strategy,), o),
            oracle=_along(fun),
            error=lambda e, *a, **k: np.zeros(e.shape),
            label=f"{dtype}{i}",
        )
    ),
    *rows(
        "count_nonzero",
        *(((ties(3, 5),), o) for o in _AXES),
        ((ties(0, 5),), {"axis": 0}),
        oracle=lambda x, axis, keepdims=False: np.sum((x != 0).astype(int), axis=axis, keepdims=keepdims),
    ),
    *rows(
        "nonzero",
        ((ties(3, 5),), {}),
        ((booleans((7,)),), {}),
        oracle=lambda x: tuple(
            np.array([i for i in itertools.product(*map(range, x.shape)) if x[i]], int).reshape(-1, x.ndim).T
        ),
        dynamic=True,
    ),
    *rows(
        "searchsorted",
        *(((ties(9).map(np.sort), ties(2, 4)), {"side": side}) for side in ("left", "right")),
        oracle=lambda a, v, side: np.array(
            [[sum(u < w or (u == w and side == "right") for u in a.tolist()) for w in row] for row in v.tolist()]
        ),
    ),
    Case(
        "searchsorted",
        calls(ties(9), ties(5)),
        lambda a, v: np.array([sum(u < w for u in a.tolist()) for w in v.tolist()]),
        exact,
        call=lambda xp, a, v: xp.searchsorted(a, v, sorter=xp.argsort(a)),
        label="sorter",
    ),
    *(
        Case(
            name,
            calls(strategy),
            lambda x, fields=fields: tuple(_UNIQUE[f](x) for f in fields),
            exact,
            call=_in_order(name, fields),
            label=label,
            dynamic=True,
        )
        for name, fields in {
            "unique_all": ("values", "indices", "inverse_indices", "counts"),
            "unique_counts": ("values", "counts"),
            "unique_inverse": ("values", "inverse_indices"),
            "unique_values": ("values",),
        }.items()
        for label, strategy in (("", ties(3, 4)), ("int", integers("int32", shape=(12,))), ("empty", ties(0)))
    ),
]
