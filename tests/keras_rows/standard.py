"""Ops that the standard has, under Keras's names."""

from __future__ import annotations

import numpy as np

from . import away, booleans, distinct, integers, normal, positive, row, unit

X, Y, ROWS_, INTS = normal(3, 4), away(3, 4, salt=1), normal(4, salt=2), integers(-3, 4, 3, 4)
SPECIAL = np.float32([-np.inf, -1.5, -0.0, 0.0, 1.5, np.inf, np.nan])

ROWS = [
    *(row(name, away(3, 4)) for name in "abs absolute fabs negative sign square cos sin tan tanh sinh cosh".split()),
    *(row(name, X, condition=4) for name in ("exp", "expm1")),
    *(row(name, INTS) for name in "abs negative sign square sin exp ceil floor".split()),
    *(row(name, positive(3, 4)) for name in ("log", "log10", "log1p", "log2", "sqrt", "reciprocal")),
    # Their derivatives grow like 1 / (1 - x**2), and magnify the rounding of x.
    *(row(name, unit(3, 4), condition=20) for name in ("arccos", "arcsin", "arctanh")),
    row("arccosh", 1 + positive(3, 4), condition=4),
    *(row(name, X) for name in ("arcsinh", "arctan")),
    *(row(name, SPECIAL, grad="no number") for name in ("isfinite", "isinf", "isnan", "signbit")),
    *(row(name, away(3, 4), grad=False) for name in ("ceil", "floor", "trunc")),
    *(row(name, X) for name in ("conj", "conjugate", "real")),
    row("imag", X, grad=False),
    *(row(name, INTS, grad=False) for name in ("bitwise_invert", "bitwise_not")),
    *(row("logical_not", x, grad=False) for x in (booleans(5), INTS)),
    *(row(name, X, Y) for name in "add subtract multiply divide true_divide maximum minimum".split()),
    *(row(name, X, ROWS_) for name in "add subtract multiply maximum minimum".split()),
    *(row(name, X, 2) for name in "add subtract multiply divide maximum minimum power".split()),
    *(row(name, 2.5, X) for name in "add subtract multiply maximum minimum power".split()),
    *(row(name, INTS, X) for name in "add subtract multiply maximum minimum".split()),
    *(row(name, INTS, 2.5) for name in "add subtract multiply divide maximum minimum".split()),
    *(row(name, INTS, INTS + 5) for name in "add subtract multiply divide maximum mod floor_divide".split()),
    *(row(name, [1, 2, 3], [4, 5, 6], grad=False) for name in ("add", "divide", "matmul")),
    row("power", positive(3, 4), Y, condition=4),
    *(row(name, X, Y, grad=False) for name in ("floor_divide", "nextafter")),
    row("mod", X, Y, condition=8),  # the quotient's rounding, in units of the divisor
    *(row(name, away(3, 4), Y) for name in ("arctan2", "hypot", "logaddexp")),
    *(
        row(name, X, y, grad="no number")
        for name in "equal not_equal greater greater_equal less less_equal".split()
        for y in (X.round(), 0, INTS)
    ),
    *(row(name, booleans(3, 4), INTS[0], grad=False) for name in ("logical_and", "logical_or", "logical_xor")),
    *(row(name, INTS, INTS[::-1].copy(), grad=False) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")),
    *(
        row(name, INTS + 4, np.int32([0, 1, 2, 3]), grad=False)
        for name in ("bitwise_left_shift", "bitwise_right_shift", "left_shift", "right_shift")
    ),
    *(
        row(name, distinct(3, 4, 2), n=24, **kwargs)
        for name in "sum mean max min amax amin prod std var".split()
        for kwargs in ({}, {"axis": 1}, {"axis": (0, -1), "keepdims": True})
    ),
    *(row(name, INTS, grad=False, axis=0) for name in "sum mean max min prod std cumsum cumprod".split()),
    *(row(name, INTS > 0, grad=False) for name in ("sum", "mean", "all", "any", "count_nonzero", "cumsum")),
    *(row(name, INTS, grad=False, axis=1, keepdims=True) for name in ("all", "any")),
    *(row(name, distinct(3, 4), initial=0.3) for name in ("max", "min")),
    row("prod", INTS, dtype="float32", grad=False),
    *(row(name, distinct(3, 4), grad=False, **k) for name in ("argmax", "argmin") for k in ({}, {"axis": 0})),
    row("argmax", distinct(3, 4), grad=False, axis=1, keepdims=True),
    *(row(name, X, n=12, **k) for name in ("cumsum", "cumprod") for k in ({}, {"axis": 1})),
    row("count_nonzero", INTS, axis=(0, 1), grad=False),
    *(row("logsumexp", x, n=12, **k) for x in (X, INTS) for k in ({}, {"axis": 1}, {"axis": (0, 1), "keepdims": True})),
    row("matmul", X, normal(4, 5), n=4),
    row("matmul", normal(2, 3, 4), normal(2, 4, 5), n=8),
    row("matmul", X, ROWS_, n=4),
]
