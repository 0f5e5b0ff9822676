"""Segments, and writing at indices."""

from __future__ import annotations

import numpy as np

from . import distinct, integers, normal, positive, row

IDS = integers(0, 5, 12)
IDS[:5] = np.arange(5)
NAMES = ("segment_sum", "segment_prod", "segment_max", "segment_min")
NO_RULE = "jax has no rule for products of scattered rows"
SIZES = "the size of the result follows from values"

ROWS = [
    *(
        row(name, x, IDS, 5, n=12, grad=NO_RULE if name == "segment_prod" else True)
        for name in NAMES
        for x in (distinct(12), distinct(12, 3), distinct(12, 2, 2))
    ),
    *(row(name, integers(-9, 9, 12, 2), IDS, 5) for name in NAMES),
    *(row(name, distinct(12, 2), 2 * IDS, 12, n=12, grad=False) for name in NAMES),  # and segments without rows
    *(row(name, distinct(12), np.sort(IDS), 5, n=12, sorted=True, grad=False) for name in NAMES),
    *(row(name, distinct(4), np.int32([0, 7, 1, 7]), 3, n=4, grad=False) for name in NAMES),
    *(row(name, distinct(1, 2), np.int32([1]), 2, grad=False) for name in NAMES),
    row("scatter", np.int32([[1], [3], [1]]), normal(3), (5,), n=3),
    row("scatter", np.int32([[1, 0], [2, 2], [0, 1]]), normal(3), (3, 3), n=3),
    row("scatter", np.int32([[1], [-1]]), normal(2, 3), (4, 3), n=2),
    row("scatter", np.int32([[[1, 0], [2, 1]]]), normal(1, 2, 4), (3, 2, 4), n=2),
    row("scatter", np.int32([[1], [1]]), np.int32([3, 4]), (3,)),
    *(
        row(
            "scatter_update",
            distinct(4, 3),
            np.int32([[1, 0], [2, 2], [3, -1]]),
            normal(3),
            reduction=r,
            grad=r != "mul",
        )
        for r in (None, "add", "max", "min", "mul")
    ),
    *(
        row("scatter_update", positive(4, 3), np.int32([[1], [2], [1]]), normal(3, 3), reduction=r, n=3, grad=False)
        for r in (None, "add", "max", "min", "mul")
    ),
    row("scatter_update", integers(0, 9, 4, 3), np.int32([[0], [2]]), integers(0, 9, 2, 3), reduction="max"),
    row("scatter_update", normal(4), [[1], [3]], [1.0, 2.0], grad=False),
    row("bincount", IDS, jit=SIZES),
    row("bincount", IDS, minlength=9, jit=SIZES),
    row("bincount", IDS, weights=normal(12), n=12, jit=SIZES),
    row("bincount", np.int32([[0, 1, 3], [3, 3, 0]]), weights=normal(2, 3), n=3, minlength=5, jit=SIZES),
]
