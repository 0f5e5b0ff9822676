"""Pooling over windows, to a given size, and over everything."""

import numpy as np
from keras_rows import distinct

from catalogue import New, layer

LAST = {1: distinct(2, 7, 3), 2: distinct(2, 5, 6, 2), 3: distinct(2, 4, 5, 4, 2)}
FIRST = {rank: np.ascontiguousarray(np.moveaxis(x, -1, 1)) for rank, x in LAST.items()}
SIZES = {1: (2,), 2: (3, 2), 3: (1, 3, 2)}
MASK = np.asarray([[1, 1, 0, 1, 0, 0, 1], [0, 1, 0, 0, 0, 0, 0]], bool)


def of_each(kinds, *args, x=LAST, sizes=(2, 2, 2), n=8, **settings):
    """A row for each kind and number of axes, of sums of up to `n`."""
    kwargs = {k: settings.pop(k) for k in ("data_format", "keepdims") if k in settings}
    return [
        layer(New(f"{kind}{rank}D", *([sizes[rank - 1]] if sizes else []), *args, **kwargs), x[rank], n=n, **settings)
        for kind in kinds
        for rank in LAST
    ]


WINDOWS, ADAPTIVE = ("MaxPooling", "AveragePooling"), ("AdaptiveMaxPooling", "AdaptiveAveragePooling")
GLOBAL = ("GlobalMaxPooling", "GlobalAveragePooling")

ROWS = [
    *of_each(WINDOWS),
    *of_each(WINDOWS, 2, "same", sizes=list(SIZES.values()), note="same"),
    # Windows that overlap: a number is in up to 27 of them, which are means of 27.
    *of_each(WINDOWS, 1, x=FIRST, sizes=(3, 3, 3), n=27, data_format="channels_first", note="channels first"),
    *of_each(ADAPTIVE, sizes=list(SIZES.values()), n=40),
    *of_each(ADAPTIVE, x=FIRST, sizes=(3, 3, 3), n=8, data_format="channels_first", note="channels first"),
    *of_each(GLOBAL, sizes=None, n=80),
    *of_each(GLOBAL, x=FIRST, sizes=None, n=80, data_format="channels_first", keepdims=True, note="keepdims"),
    layer(New("GlobalAveragePooling1D"), LAST[1], options={"mask": MASK}, n=7, note="mask"),
    layer(New("GlobalAveragePooling1D", "channels_first", True), FIRST[1], options={"mask": MASK}, n=7, note="mask 2"),
    layer(New("MaxPool2D", (2, 3)), LAST[2], note="alias"),
]
