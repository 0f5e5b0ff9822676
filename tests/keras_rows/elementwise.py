"""Elementwise ops that the standard lacks."""

from __future__ import annotations

import numpy as np

from . import away, integers, normal, positive, row, unit

X, Y, LAST, INTS = normal(3, 4), away(3, 4, salt=1), normal(4, salt=2), integers(-9, 9, 3, 4)
SPECIAL = np.float32([-np.inf, -1.5, -0.0, 0.0, 1.5, np.inf, np.nan])
COMPLEX = (X + 1j * Y).astype(np.complex64)
INTEGERS = "integers"

ROWS = [
    *(row(name, 20 * X) for name in ("deg2rad", "rad2deg", "sinc")),
    *(row(name, INTS) for name in ("angle", "cbrt", "deg2rad", "exp2", "i0", "rad2deg", "sinc")),
    *(row(name, away(3, 4)) for name in ("angle", "cbrt", "exp2", "erf", "erfc", "i0", "sinc")),
    row("angle", SPECIAL, grad="no slope"),
    row("angle", COMPLEX),
    row("cbrt", np.float32([-np.inf, -8, 0, 1e-30, 1e30, np.inf, np.nan]), grad="infinite"),
    *(row(name, np.float32([-np.inf, -7, -5, -0.46875, 0, 4, 11, np.inf, np.nan])) for name in ("erf", "erfc")),
    # Its derivative grows like exp(y**2), which magnifies the rounding of y by 2 * y**2.
    row("erfinv", 2 * unit(3, 4) - 1, condition=8),
    row("erfinv", np.float32([-1, 0, 1, np.nan]), grad="infinite"),
    # The exponential magnifies the rounding of x by x.
    row("i0", np.float32([-20, -8, 0, 7.9, 8.1, 30]), condition=30),
    row("exp2", SPECIAL),
    row("rsqrt", positive(3, 4)),
    *(row(name, SPECIAL, grad="no number") for name in ("isneginf", "isposinf", "isreal")),
    *(row(name, INTS, grad="no number") for name in ("isneginf", "isposinf", "isreal")),
    row("isreal", np.complex64([1, 1j, 0]), grad="no number"),
    row("nan_to_num", np.float32([-1, 0, np.nan])),
    row("nan_to_num", SPECIAL, nan=7.0, posinf=8.0, neginf=-9.0),
    row("nan_to_num", INTS),
    *(row("round", 100 * X, decimals=d, grad=False) for d in (-1, 0, 2)),
    *(row("round", 7 * INTS, decimals=d, grad=False) for d in (-1, 0, 2)),
    row("round", np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]), grad=False),
    row("view_as_complex", normal(3, 2), grad="complex"),
    row("view_as_real", X),
    row("view_as_real", COMPLEX, grad="complex"),
    row("polar", positive(3, 4), X, grad="complex"),
    *(row("clip", X, *bounds) for bounds in ((-0.5, 0.5), (LAST - 1, LAST + 1), (0, 9))),
    *(row("clip", INTS, *bounds) for bounds in ((-2, 3), (-1.5, 2.5), (INTS - 1, 9))),
    row("divide_no_nan", X, np.float32([0, 1, 0, -2])),
    row("divide_no_nan", INTS, np.int32([0, 1, 0, -2])),
    *(row(name, X, Y) for name in ("fmax", "fmin", "logaddexp2", "fmod")),
    *(row(name, INTS, 2.5) for name in ("fmax", "fmin")),
    *(row(name, SPECIAL, np.float32([np.nan, 1, 2, -3, np.nan, 4, 5])) for name in ("fmax", "fmin")),
    row("logaddexp2", np.float32([-np.inf, -200, 200, 0]), np.float32([-np.inf, 3, 200, np.inf]), grad="inf - inf"),
    row("fmod", np.float32([-7, 7, -7, 7, 1e6]), np.float32([3, -3, -3, 3, 0.7]), grad=False),
    row("fmod", INTS, np.int32([3, -3, 2, -5]), grad=INTEGERS),
    row("heaviside", SPECIAL, 0.5, grad=False),
    row("heaviside", INTS, LAST, grad=False),
    *(
        row(
            "isclose",
            np.float32([1, 1, np.inf, np.inf, np.nan, 0]),
            np.float32([1, 1.1, np.inf, -np.inf, np.nan, 1e-9]),
            **options,
            grad="no number",
        )
        for options in ({}, {"rtol": 0.2}, {"equal_nan": True})
    ),
    row("isclose", INTS, 3, grad="no number"),
    row("allclose", X, X + 1e-7, grad="no number"),
    row("allclose", X, Y, grad="no number"),
    row("ldexp", X, INTS),
    row("ldexp", np.float32([1, 2e-38, 3]), np.int32([127, 250, -126]), grad="infinite"),
    *(
        row(name, a, b, grad=INTEGERS)
        for name in ("gcd", "lcm")
        for a, b in (
            (INTS, 12),
            (INTS, INTS[::-1].copy()),
            (np.int32([0, 0, 317811, 832040]), np.int32([0, 5, 514229, 8])),
        )
    ),
]
