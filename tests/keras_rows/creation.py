"""New arrays, ranges and conversions."""

from __future__ import annotations

import numpy as np

from . import booleans, integers, normal, row

X, INTS = normal(3, 4), integers(-300, 300, 3, 4)
WIDE = np.float32([-np.inf, -3e9, -300, -1.5, -0.0, 0.5, 127.5, 300, 2147483520, 3e9, 1e20, np.inf, np.nan])
ENDS = np.float32([0.5, -1]), np.float32([2, 3])

CONSTANTS = [
    *(row(name, shape) for name in ("zeros", "ones") for shape in (4, [0, 2])),
    *(row(name, (2, 3), dtype=d) for name in ("zeros", "ones") for d in ("int32", "bool")),
    row("full", (2, 3), 7),
    row("full", 2, 7.5, dtype="int32"),
    row("full", (3, 4), normal(4), n=3),
    *(row(name, x, **k) for name in ("zeros_like", "ones_like") for x in (X, INTS) for k in ({}, {"dtype": "bool"})),
    row("full_like", X, 2),
    row("full_like", INTS, 2, dtype="float32"),
    row("full_like", X, normal(4), n=3),
    *(row("empty", (2, 3), dtype=d, only=lambda out: list(out.shape)) for d in (None, "int32")),
    row("empty_like", X, only=lambda out: list(out.shape), jit="its values are any"),
    *(row("eye", 3, **k) for k in ({}, {"M": 4}, {"M": 2, "k": 1}, {"k": -1, "dtype": "int32"})),
    *(row("identity", n) for n in (0, 1, 3)),
    *(row("tri", 3, **k) for k in ({}, {"M": 5, "k": 1}, {"k": -1, "dtype": "bool"})),
]
RANGES = [
    *(row("arange", *a) for a in ((5,), (2, 9), (9, 2, -2), (3, 3), (0.0, 1.0, 0.25), (5.0,), (1, 4, 0.5))),
    row("arange", 4, dtype="float32"),
    row("arange", 4.0, dtype="int32"),
    *(row("linspace", *a) for a in ((0, 10, 11), (2.5, -1, 7), (1, 2), (3, 4, 0))),
    *(row("linspace", *a, endpoint=False) for a in ((2.5, -1, 7), (1, 2, 1))),
    row("linspace", 0, 1, 5, retstep=True),
    row("linspace", 0, 9.5, 8, dtype="int32"),
    row("linspace", *ENDS, 5, n=5),
    row("linspace", *ENDS, 5, endpoint=False, axis=-1, n=5),
    row("linspace", integers(0, 5, 3), 2.5, 4),
    # 10 ** x magnifies the rounding of x by x * log(10).
    row("logspace", 0, 3, 10, condition=7),
    row("logspace", -1, 2, 6, base=2, endpoint=False),
    row("logspace", *ENDS, 5, axis=1, condition=7, n=5),
    *(row("geomspace", *a, condition=7) for a in ((1, 1000, 7), (-1, -1000, 4), (0.01, 5))),
    row("geomspace", 1, 256, 9, endpoint=False, dtype="int32", only=lambda out: out[1:]),
    row("geomspace", np.float32([1, 2]), np.float32([100, 3]), 5, axis=-1, condition=7, n=5),
]
CONVERSIONS = [
    *(row("array", x) for x in (INTS, 2, 2.5, [1, 2])),
    *(row(name, x) for name in ("array", "convert_to_tensor") for x in (X, [[1, 2.5], [0, 1]])),
    row("array", X, dtype="int32", grad="rounded"),
    row("convert_to_tensor", INTS, "float32"),
    row("convert_to_numpy", [1.0, 2.0]),
    *(row("is_tensor", x) for x in (2.5, [1.0, 2.0], "x", None)),
    row("is_tensor", call=lambda ops: ops.is_tensor(ops.zeros(3))),
    *(row("dtype", x, jit="it returns a text") for x in (INTS, booleans(3))),
    *(row("cast", x, d, grad=x is X and d == "float32") for x in (X, INTS) for d in ("float32", "int32", "bool")),
    row("cast", INTS, "uint8"),
    *(row("saturate_cast", INTS, d) for d in ("int8", "uint8", "uint16", "int32", "bool")),
    *(row("saturate_cast", WIDE[:-1], d, grad=False) for d in ("int8", "uint8", "uint16")),
]

ROWS = [*CONSTANTS, *RANGES, *CONVERSIONS]
