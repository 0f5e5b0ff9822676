"""Pooling."""

from __future__ import annotations

from . import distinct, row

LINE, IMAGE, VOLUME = distinct(2, 9, 3), distinct(2, 7, 6, 3), distinct(1, 5, 4, 6, 2)
FIRST = {"data_format": "channels_first"}

ROWS = [
    *(
        row(name, x, *k, n=9)
        for name in ("max_pool", "average_pool")
        for x, *k in (
            # Without strides, Keras fails on JAX.
            (LINE, 2, 2),
            (IMAGE, 2, 2),
            (IMAGE, (3, 2), 2, "same"),
            (IMAGE, 3, 1, "same"),
            (IMAGE, 2, (1, 2)),
            (VOLUME, 2, 2),
            (VOLUME, 2, (2, 2, 2), "same"),
        )
    ),
    *(row(name, IMAGE, 3, 3, padding="same", n=9, **FIRST) for name in ("max_pool", "average_pool")),
    *(
        row(name, x, n, n=24, **k)
        for name in ("adaptive_max_pool", "adaptive_average_pool")
        for x, n, k in (
            (LINE, 4, {}),
            (IMAGE, 3, {}),
            (IMAGE, (1, 4), {}),
            (IMAGE, (7, 2), FIRST),
            (VOLUME, (2, 3, 4), {}),
        )
    ),
]
