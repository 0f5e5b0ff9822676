"""Cross-entropies and what else is a loss."""

from __future__ import annotations

import numpy as np

from . import integers, normal, positive, row, unit

LOGITS, SHARES, LABELS = normal(4, 5), positive(4, 5), integers(0, 5, 4)
TARGET = SHARES / SHARES.sum(axis=1, keepdims=True)

ROWS = [
    row("binary_crossentropy", unit(3, 4), unit(3, 4, salt=1), condition=20),  # slopes up to 1 / 0.05
    row("binary_crossentropy", np.round(unit(3, 4)), unit(3, 4, salt=1), condition=20),
    row("binary_crossentropy", unit(3, 4), 5 * normal(3, 4), from_logits=True),
    row("categorical_crossentropy", TARGET, SHARES, n=5, condition=4),
    row("categorical_crossentropy", TARGET, LOGITS, from_logits=True, n=5),
    row("categorical_crossentropy", TARGET.T.copy(), LOGITS.T.copy(), from_logits=True, axis=0, n=5),
    row("sparse_categorical_crossentropy", LABELS, SHARES, n=5, condition=4),
    row("sparse_categorical_crossentropy", LABELS, LOGITS, from_logits=True, n=5),
    row("sparse_categorical_crossentropy", LABELS[:, None], LOGITS, from_logits=True, n=5),
    row("psnr", unit(2, 4, 4, 3), unit(2, 4, 4, 3, salt=1), 1.0, n=96),
    row("psnr", normal(6), normal(6, salt=1), 255, n=6),
]
