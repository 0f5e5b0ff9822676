"""Order and sets; choosing elements; indicator vectors."""

from __future__ import annotations

import numpy as np

from . import booleans, distinct, integers, normal, row

X, INTS, IDS = distinct(3, 5), integers(-4, 4, 3, 5), integers(0, 5, 3, 4)
SIZES = "the size of the result follows from values"
INTEGERS = "integers"


def _partitioned(ops, x, kth, axis):
    """The element of rank `kth`, and the largest one before it: all that is laid down."""
    x = ops.moveaxis(ops.take_along_axis(x, ops.argpartition(x, kth, axis=axis), axis=axis), axis, -1)
    return x[..., kth], ops.max(x[..., : kth + 1], axis=-1), ops.min(x[..., kth:], axis=-1)


def _starting_at(ops, name, x, start, *args):
    """The start as an array, which compilers do not know."""
    return getattr(ops, name)(x, ops.cast(ops.stack([ops.sum(start), ops.max(start)]), "int32"), *args)


ROWS = [
    *(row(name, X, **k, grad=name == "sort") for name in ("sort", "argsort") for k in ({}, {"axis": 0})),
    *(row(name, INTS[0], grad=INTEGERS) for name in ("sort", "argsort")),
    row("sort", X[0], axis=None),
    row("argsort", X[0], axis=None, grad=INTEGERS),
    *(row("argpartition", X, k, a, call=_partitioned, grad=False) for k in (0, 2) for a in (0, -1)),
    *(row("top_k", X, k) for k in (1, 3, 5)),
    row("top_k", INTS, 1, only=lambda out: out[0], grad=INTEGERS),
    row("top_k", distinct(2, 3, 7), 4, sorted=True),
    *(row("in_top_k", np.int32([0, 3, 4]), X, k, grad=False) for k in (1, 2, 4)),
    row("in_top_k", np.int32([2]), np.float32([[1, np.nan, np.nan]]), 1, grad=False),
    *(
        row("searchsorted", np.float32([1, 2, 2, 3]), v, side=s, grad=INTEGERS)
        for s in ("left", "right")
        for v in (np.float32([[0, 1], [2, 9]]), 2.0)
    ),
    row("searchsorted", np.int32([1, 2, 2, 3]), np.int32([0, 2, 5]), grad=INTEGERS),
    row("digitize", X, np.float32([-1, 0, 1]), grad=INTEGERS),
    row("digitize", INTS, np.int32([-1, 0, 2]), grad=INTEGERS),
    *(row("isin", INTS, np.int32([[-2, 1], [1, 9]]), grad=INTEGERS, invert=i) for i in (False, True)),
    row("isin", X, X[0, :3].copy(), grad=INTEGERS, assume_unique=True),
    row("isin", np.float32([1, np.nan, np.inf]), np.float32([np.nan, np.inf]), grad=INTEGERS),
    row("isin", INTS, [1, 2], grad=INTEGERS),
    row("nonzero", INTS, jit=SIZES, grad=INTEGERS),
    row("nonzero", booleans(2, 3, 4), jit=SIZES, grad=INTEGERS),
    row("unique", INTS, jit=SIZES, grad=INTEGERS),
    row(
        "unique",
        integers(0, 9, 2, 12),
        jit=SIZES,
        grad=INTEGERS,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    ),
    row("unique", np.float32([3, 1, np.nan, 1, np.nan]), jit=SIZES, grad=False, return_counts=True),
    *(
        row("unique", integers(0, 2, 6, 2), jit=SIZES, grad=INTEGERS, axis=a, return_inverse=True, return_counts=True)
        for a in (0, 1)
    ),
    row("unique", integers(0, 2, 3, 4, 2), jit=SIZES, grad=INTEGERS, axis=1),
    *(row("unique", INTS, grad=INTEGERS, size=n, fill_value=-7, return_counts=True) for n in (3, 12)),
    row("unique", integers(0, 2, 6, 2), grad=INTEGERS, size=5, fill_value=9, axis=0, return_inverse=True),
    *(row("where", booleans(3, 5), X, y) for y in (X[:, ::-1].copy(), normal(5), 2, INTS)),
    row("where", INTS, INTS, 1.5),
    row("where", booleans(3, 5), 1, 0),
    row("where", INTS, jit=SIZES, grad=INTEGERS),
    row("select", [X > 1, X > 0], [X, X * 2], 7.0),
    row("select", [booleans(3, 5), booleans(3, 5, salt=1)], [1, INTS]),
    *(row("take", X, i, axis=a) for a in (None, 0, -1) for i in (0, -1, np.int32([2, 0, -2]), np.int32([[0], [1]]))),
    row("take", INTS, [0, 2], axis=1),
    row("take", distinct(2, 3, 4), np.int32([[0, 1], [2, 2]]), axis=1),
    row("take_along_axis", X, np.int32([[0, 1], [2, -1], [4, 4]]), axis=1),
    row("take_along_axis", X, np.int32([[1, 2, 0, 1, 1]]), axis=0),
    row("take_along_axis", X, np.int32([1, 7, 0])),
    row("unravel_index", np.int32([0, 5, 23, -1]), (2, 3, 4), grad=INTEGERS),
    row("unravel_index", np.int32([[0, 5], [6, 7]]), (4, 3), grad=INTEGERS),
    row("get_item", X, 1),
    row("get_item", X, (slice(1, None), slice(None, None, 2))),
    row("get_item", X, (Ellipsis, None, -1)),
    *(row("slice", X, (1, 2), shape) for shape in ((2, 3), (1, -1), (2, 0))),
    row("slice", X, np.int32([2, 1]), (1, 4)),
    row("slice", X, np.int32([1, 0]), (2, 3), call=lambda ops, x, s, n: _starting_at(ops, "slice", x, s, n)),
    row("slice_update", X, (1, 2), normal(2, 3)),
    row("slice_update", X, (0, 0), normal(3, 5)),
    row("slice_update", INTS, np.int32([2, 1]), integers(0, 9, 1, 4)),
    row(
        "slice_update",
        X,
        np.int32([1, 0]),
        normal(2, 3),
        call=lambda ops, x, s, u: _starting_at(ops, "slice_update", x, s, u),
    ),
    *(
        row("one_hot", integers(-1, 6, 3, 4), 5, **k, grad=INTEGERS)
        for k in ({}, {"axis": 0}, {"axis": 1}, {"dtype": "int32"})
    ),
    row("one_hot", 3, 5, grad=INTEGERS),
    row("multi_hot", IDS, 6, grad=INTEGERS),
    row("multi_hot", IDS[0], num_classes=6, dtype="int32", grad=INTEGERS),
    row("multi_hot", integers(0, 5, 2, 3, 4), 5, grad=INTEGERS),
]
