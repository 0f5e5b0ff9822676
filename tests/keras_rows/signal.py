"""Fourier transforms."""

from __future__ import annotations

import numpy as np

from . import normal, row, unit

PAIR = normal(3, 8), normal(3, 8, salt=1)
ODD = normal(2, 5, 6), normal(2, 5, 6, salt=1)
HALF = normal(2, 5), normal(2, 5, salt=1)
SIGNAL = normal(2, 50)
SPECTRA = normal(2, 6, 9), normal(2, 6, 9, salt=1)  # pieces of 16

ROWS = [
    *(row("fft", x, n=8) for x in (PAIR, ODD)),
    *(row(name, x, n=40) for name in ("fft2", "ifft2") for x in (PAIR, ODD)),
    *(row("rfft", normal(3, 8), n=8, **k) for k in ({}, {"fft_length": 5}, {"fft_length": 11})),
    row("rfft", normal(7), n=7),
    *(row("irfft", HALF, n=8, **k) for k in ({}, {"fft_length": 7}, {"fft_length": 12})),
    *(
        row("extract_sequences", x, 4, s, n=4)
        for x, s in ((SIGNAL, 3), (normal(9), 1), (normal(2, 3, 8), 4), (normal(9), 5))
    ),
    *(
        row("stft", SIGNAL, 12, 4, 16, n=16, **k)
        for k in ({}, {"center": False}, {"window": "hamming"}, {"window": None}, {"window": unit(12)})
    ),
    row("stft", normal(40), 8, 3, 8, n=8),
    # The sum of the windows' squares, by which is divided, is as small as 1/50 at the ends.
    *(
        row("istft", SPECTRA, 12, 4, 16, n=64, condition=50, **k)
        for k in ({}, {"center": False, "window": "hamming"}, {"length": 15}, {"window": None})
    ),
    row("istft", (np.float32(SPECTRA[0][0]), SPECTRA[1][0]), 16, 5, 16, n=64, condition=50),
]
