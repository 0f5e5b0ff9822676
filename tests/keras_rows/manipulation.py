"""Shapes, order, joining, splitting, padding, rearranging."""

from __future__ import annotations

import numpy as np

from . import away, booleans, integers, normal, row

V, X, Z, INTS = normal(5), normal(3, 4), normal(2, 3, 4), integers(-3, 9, 3, 4)
SQUARES = normal(2, 4, 4)
EMPTY = np.zeros((0, 3), np.float32)

SHAPES = [
    *(
        row(name, x, jit=name == "ndim" or "a size may be unknown while a function is compiled")
        for name in ("shape", "size", "ndim")
        for x in (Z, np.float32(2))
    ),
    *(row("reshape", Z, shape) for shape in ((4, 6), (2, -1), -1, [3, 8], (2, 3, 2, 2, 1))),
    row("reshape", EMPTY, (3, 0)),
    row("reshape", INTS, (2, 6)),
    *(row("ravel", x) for x in (Z, INTS, np.float32(2))),
    row("broadcast_to", V, (2, 5)),
    row("broadcast_to", normal(3, 1), (2, 3, 4), n=8),
    *(row("expand_dims", X, axis) for axis in (0, 1, -1, (0, -1), [1, 2])),
    *(row("squeeze", normal(1, 3, 1, 2), **k) for k in ({"axis": -2}, {}, {"axis": 0}, {"axis": (0, 2)})),
    row("copy", X),
    row("copy", booleans(3), grad=False),
    row("view", INTS, dtype="float32", grad=False),
    row("view", INTS, dtype="uint32", grad=False),
    row("view", INTS, dtype="uint8", grad=False),
    row("view", INTS.astype(np.uint8), dtype="int32", grad=False),
    row("view", X),
]
ORDER = [
    *(row("transpose", Z, **k) for k in ({}, {"axes": (1, 2, 0)}, {"axes": [0, -1, 1]})),
    row("swapaxes", Z, 0, -1),
    row("swapaxes", Z, 1, 2),
    row("moveaxis", Z, 0, -1),
    row("moveaxis", Z, [0, 1], [-1, 0]),
    *(row("flip", Z, **k) for k in ({}, {"axis": 1}, {"axis": (0, -1)})),
    *(row(name, x) for name in ("fliplr", "flipud") for x in (X, INTS)),
    *(row("roll", Z, *a) for a in ((2,), (-1, 1), ((1, 2), (0, 2)), (5, -1))),
    *(row("rot90", x, k) for k in (0, 1, 2, 3, -1) for x in (X,)),
    row("rot90", Z, 1, (2, 1)),
    *(row("tile", X, r, n=8) for r in (2, (2, 3), (2, 1, 3), [1])),
    *(row("repeat", X, *a, n=3) for a in ((2,), (3, 1), (2, -2))),
    row("repeat", INTS, np.int32([1, 0, 2]), axis=0, grad=False, jit="the sum of repeats is a size"),
]
DIAGONALS = [
    *(row(name, x, k=k) for name in ("tril", "triu") for x, k in ((X, 0), (SQUARES, -1), (INTS, 2))),
    *(row("diag", x, k=k) for x, k in ((V, 0), (V, -2), (X, 1), (np.int32([1, 2]), 1))),
    row("diag", np.float32([np.inf, 1]), grad=False),
    *(row("diagflat", x, k=k) for x in (X, V) for k in (0, -1)),
    *(row("diagonal", X, offset=k) for k in (0, 1, -1, 4)),
    row("diagonal", SQUARES, 1, 1, 2),
    row("diagonal", SQUARES, axis1=-1, axis2=0),
    *(row("trace", X, offset=k, n=3) for k in (0, 1, -2)),
    row("trace", SQUARES, axis1=1, axis2=2, n=4),
    row("trace", INTS.astype(np.int8)),
    *(row("vander", x, **k) for x in (V, np.int32([1, 0, 3])) for k in ({}, {"N": 3}, {"N": 2, "increasing": True})),
    # Two powers above the fourth, each a product of rounded factors.
    row("vander", V, 6, condition=5),
]
JOINING = [
    *(row("concatenate", [X, away(3, 4)], axis=a) for a in (0, 1, -1, None)),
    row("concatenate", [X, INTS, booleans(3, 4)]),
    row("concatenate", (EMPTY, normal(2, 3))),
    row("concatenate", [[1, 2], [3.5]]),
    *(row("stack", [X, away(3, 4)], axis=a) for a in (0, 1, -1)),
    row("stack", [1, 2.5]),
    row("stack", [INTS, X]),
    *(row(name, [x, x + 1]) for name in ("hstack", "vstack", "dstack") for x in (V, X)),
    row("append", X, V),
    row("append", X, INTS, axis=0),
    row("append", [1, 2], [3.5]),
    *(row("meshgrid", V, normal(3), normal(2), indexing=i, n=30) for i in ("xy", "ij")),
    row("meshgrid", V),
]
SPLITTING = [
    *(row("split", Z, at, axis=a) for at, a in ((2, 0), (2, -1), ([1], 1), ((1, 3), 2), ([2, 2], 2))),
    *(row("array_split", V, at) for at in (1, 2, 3, 7)),
    row("array_split", Z, 3, axis=2),
    *(row("vsplit", Z, at) for at in (2, [1])),
    *(row("hsplit", x, [1, 2]) for x in (V, X)),
    row("hsplit", X, 2),
    row("dsplit", Z, 2),
    *(row("unstack", Z, axis=a) for a in (0, 1, -1)),
    row("unstack", X, num=3),
]
PADDING = [
    *(row("pad", X, w) for w in (1, (1, 2), ((1, 2), (0, 3)), ((2, 1),), [[0, 0], [0, 1]])),
    row("pad", X, ((1, 2), (3, 0)), constant_values=1.5),
    row("pad", INTS, 1, constant_values=7),
    row("pad", EMPTY, ((1, 1), (0, 0))),
    row("pad", booleans(3), 1, grad=False),
    *(row("pad", Z, ((0, 0), (2, 1), (1, 2)), mode=mode, n=9) for mode in ("reflect", "symmetric", "edge", "wrap")),
]
REARRANGE = [
    row("rearrange", normal(2, 4, 6, 3), "b h w c -> b c h w"),
    row("rearrange", normal(2, 4, 6, 3), "b (h p) (w q) c -> b h w (p q c)", p=2, q=3),
    row("rearrange", normal(2, 4, 6), "b h w -> (b h) w"),
    row("rearrange", normal(2, 4, 6), "b h w -> b (w h)"),
    row("rearrange", INTS, "(a b) c -> b (a c)", a=3),
]

ROWS = [*SHAPES, *ORDER, *DIAGONALS, *JOINING, *SPLITTING, *PADDING, *REARRANGE]
