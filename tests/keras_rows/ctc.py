"""Connectionist temporal classification."""

from __future__ import annotations

import numpy as np

from . import normal, row

LOGITS, LENGTHS = 2 * normal(3, 8, 5), np.int32([8, 6, 8])
# A repeated label needs a blank between.
LABELS, COUNTS = np.int32([[1, 2, 2, 4], [3, 1, 2, 2], [4, 4, 4, 1]]), np.int32([4, 2, 3])

ROWS = [
    # A chain of 8 sums of the 5 classes and 3 ways.
    row("ctc_loss", LABELS, LOGITS, COUNTS, LENGTHS, n=120),
    row("ctc_loss", LABELS - 1, LOGITS, COUNTS, LENGTHS, mask_index=4, n=120),
    row("ctc_decode", LOGITS, LENGTHS, n=8, grad="which labels is no number"),
    row("ctc_decode", LOGITS, LENGTHS, merge_repeated=False, mask_index=4, n=8, grad="which labels is no number"),
    *(
        row("ctc_decode", LOGITS, LENGTHS, "beam_search", n=120, grad="which labels is no number", **k)
        for k in ({"beam_width": 4}, {"beam_width": 12, "top_paths": 3}, {"mask_index": 4, "top_paths": 2})
    ),
]
