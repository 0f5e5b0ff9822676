"""Normalisation."""

from __future__ import annotations

from . import normal, positive, row

X = normal(3, 4, 5)
MEAN, VARIANCE, OFFSET, SCALE = normal(5), positive(5), normal(5, salt=1), normal(5, salt=2)

ROWS = [
    row("batch_normalization", X, MEAN, VARIANCE, -1, n=12),
    row("batch_normalization", X, MEAN, VARIANCE, 2, OFFSET, SCALE, n=12),
    row("batch_normalization", X, MEAN[:4], VARIANCE[:4], 1, OFFSET[:4], SCALE[:4], 1e-5, n=15),
    row("batch_normalization", X, MEAN, VARIANCE, -1, scale=SCALE, n=12),
    # Differences from the mean cancel, and are divided by their own size.
    *(
        row("layer_normalization", X, *args, n=20, condition=2, **k)
        for args, k in (
            ((), {}),
            ((OFFSET, SCALE), {}),
            ((OFFSET[:4], SCALE[:4]), {"axis": 1, "epsilon": 1e-3}),
            ((normal(4, 5), normal(4, 5, salt=1)), {"axis": (1, 2)}),
            ((), {"axis": (-1, -2)}),
        )
    ),
    *(
        row("rms_normalization", X, *args, n=12, **k)
        for args, k in (((), {}), ((SCALE,), {}), ((), {"axis": 1, "epsilon": 1e-3}), ((), {"axis": (1, 2)}))
    ),
    *(row("moments", X, axes, n=60, **k) for axes, k in (((0,), {}), ((0, 1), {"keepdims": True}), ((-1,), {}))),
    *(row("normalize", X, n=12, **k) for k in ({}, {"axis": 1}, {"order": 1}, {"order": 3}, {"epsilon": 3.0})),
]
