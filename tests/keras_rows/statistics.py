"""Statistics, reductions past NaN, and products."""

from __future__ import annotations

import numpy as np

from . import away, distinct, integers, normal, positive, row

X, Y, INTS = normal(3, 4), normal(3, 4, salt=1), integers(-9, 9, 3, 4)
MANY = distinct(3, 5, 4)
HOLES = distinct(3, 5, 4, salt=1)
HOLES[np.random.default_rng(0).random(HOLES.shape) < 0.3] = np.nan
HOLES[0, 0, :] = np.nan
AXES = ({}, {"axis": 1}, {"axis": (0, -1), "keepdims": True})
METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _counted(ops, *args, **kwargs):
    """Counts are integers, as Keras says; on JAX it makes floats."""
    counts, borders = ops.histogram(*args, **kwargs)
    return ops.cast(counts, "int32"), borders


ROWS = [
    *(row(name, HOLES, n=60, **k) for name in "nansum nanmax nanmin nanmean nanvar".split() for k in AXES),
    *(row("nanprod", HOLES, n=60, **k) for k in AXES[:2]),
    *(row("nanstd", HOLES, n=60, **k) for k in AXES),
    *(row(name, HOLES, n=4, axis=-1, grad="0 / 0 in a row of NaN") for name in ("nanmean", "nanvar", "nanmax")),
    *(row(name, INTS) for name in "nansum nanprod nanmax nanmin nanmean nanvar nanstd".split()),
    *(row(name, HOLES, grad=False, **k) for name in ("nanargmax", "nanargmin") for k in ({}, {"axis": 1})),
    *(row(name, HOLES, grad=False, axis=-1, keepdims=True) for name in ("nanargmax", "nanargmin")),
    *(row(name, INTS, grad=False) for name in ("nanargmax", "nanargmin")),
    *(row(name, HOLES, n=60, **k) for name in ("nancumsum", "nancumprod") for k in ({}, {"axis": 1})),
    *(row(name, INTS[0], dtype="float32", grad=False) for name in ("nancumsum", "nancumprod")),
    *(row("median", MANY, **k) for k in (*AXES, {"axis": -1})),
    row("median", np.float32([[3, np.nan, 1], [2, 9, 4]]), axis=1, grad=False),
    row("median", INTS),
    *(row("nanmedian", HOLES, **k) for k in AXES),
    # The place in the sorted row is rounded, in units of a distance between neighbours.
    *(row("quantile", MANY, q, axis=1, method=m, condition=5) for m in METHODS for q in (0.3, np.float32([0.1, 0.9]))),
    *(row("quantile", MANY, np.float32([0, 0.4, 1]), condition=60, **k) for k in AXES),
    row("quantile", INTS, 0.3, condition=12),
    *(row("nanquantile", HOLES, 0.3, axis=1, method=m, condition=5) for m in METHODS),
    row("nanquantile", HOLES, np.float32([0.2, 0.6]), condition=60, keepdims=True),
    row("percentile", MANY, 30, axis=0, condition=3),
    row("percentile", MANY, np.float32([10, 75]), condition=60, keepdims=True),
    row("nanpercentile", HOLES, 30, axis=1, condition=5),
    row("nanpercentile", HOLES, [20, 60], method="lower"),
    *(row("average", MANY, axis=a, n=60) for a in (None, 1)),
    row("average", MANY, axis=1, weights=positive(5), n=5),
    row("average", MANY, axis=-1, weights=positive(3, 5, 4), n=4),
    row("average", MANY, weights=positive(3, 5, 4), n=60),
    row("average", INTS, axis=1, weights=np.int32([1, 2, 3, 4]), n=4),
    *(row("ptp", MANY, **k) for k in AXES),
    row("ptp", INTS, axis=0),
    *(row("diff", MANY, k, axis=a) for k, a in ((1, -1), (1, 1), (2, 0), (0, 1))),
    row("diff", INTS),
    *(row("trapezoid", X, **k, n=4) for k in ({}, {"dx": 0.5, "axis": 0}, {"x": np.float32([0, 1, 3, 4])})),
    row("trapezoid", INTS, x=Y, n=4),
    row("corrcoef", X, n=4, condition=4),
    row("corrcoef", INTS, n=4),
    row("corrcoef", X[0], n=4, grad=False),
    *(
        row("correlate", normal(a), normal(b, salt=1), mode=m, n=4)
        for a, b in ((9, 4), (4, 9), (5, 5), (6, 1))
        for m in ("valid", "same", "full")
    ),
    row("correlate", np.int32([1, 2, 3]), np.int32([0, 1, 5]), mode="full"),
    row("correlate", np.complex64([1, 2j, 3]), np.complex64([1j, 1]), n=2, mode="full"),
    *(
        row("histogram", distinct(40), **k, call=_counted, grad=False)
        for k in ({}, {"bins": 3}, {"bins": 5, "range": (-1.03, 1.11)}, {"bins": 1})
    ),
    row("histogram", np.float32([0, 1, 2, 2, 3]), bins=3, range=(0, 3), call=_counted, grad=False),
    row("histogram", np.int32([0, 1, 2, 5]), bins=4, call=_counted, grad=False),
    row("histogram", np.float32([2, 2]), bins=2, call=_counted, grad=False),
    *(row(name, X, Y, n=12) for name in ("inner", "vdot")),
    *(row(name, X, 2.5) for name in ("inner", "dot", "outer")),
    *(row(name, X[0], Y[0], n=4) for name in ("inner", "outer", "vdot", "dot", "kron")),
    *(row(name, INTS, INTS[:, ::-1].copy()) for name in ("inner", "outer", "vdot", "kron")),
    row("vdot", np.complex64([1, 2j]), np.complex64([3j, 4]), n=2),
    row("outer", X, Y[0]),
    row("dot", X, normal(4, 5), n=4),
    row("dot", normal(2, 3, 4), normal(5, 4, 2), n=4),
    row("dot", normal(2, 3, 4), normal(4), n=4),
    row("dot", X, INTS[0], n=4),
    row("kron", X, normal(2, 3)),
    row("kron", normal(2, 3, 2), normal(3)),
    *(row("tensordot", normal(3, 4, 5), b, axes=a, n=20) for a, b in ((2, normal(4, 5, 2)), (1, normal(5, 2)))),
    row("tensordot", normal(3, 4, 5), normal(5, 3, 2), axes=([0, 2], [1, 0]), n=15),
    row("tensordot", X, Y, axes=0),
    row("tensordot", INTS, INTS, axes=[[0], [0]]),
    row("cross", normal(5, 3), normal(5, 3, salt=1), n=2),
    row("cross", normal(5, 3), normal(3), n=2),
    row("cross", normal(5, 2), normal(5, 2, salt=1), n=2),
    row("cross", normal(3, 5), normal(5, 2), axisa=0, axisc=0, n=2),
    row("cross", normal(5, 3), normal(5, 3, salt=1), axis=1, n=2),
    row("cross", INTS[0, :3], INTS[1, :3]),
    row("cdist", X, away(5, 4), n=4),
    row("cdist", normal(2, 3, 4), normal(2, 5, 4), n=4),
    row("cdist", INTS, np.int32([[1, 2, 3, 4]])),
    *(row(name, n) for name in ("bartlett", "blackman", "hamming", "hanning") for n in (1, 2, 7, 10)),
    row("kaiser", 9, 0.0),
    row("kaiser", 10, 14.0, condition=14),  # the exponential in I₀ magnifies the rounding of its argument
]
