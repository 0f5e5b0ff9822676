"""Attention."""

from __future__ import annotations

import numpy as np

from . import booleans, normal, row

Q, K, V = normal(2, 5, 4, 3), normal(2, 6, 4, 3, salt=1), normal(2, 6, 4, 3, salt=2)
FEW = normal(2, 6, 2, 3, salt=1), normal(2, 6, 2, 3, salt=2)
MASK = booleans(2, 1, 5, 6) | (np.arange(6) == 0)
BIAS = normal(2, 4, 5, 6)

ROWS = [
    # The rounding of the logits, some units large, goes through the exponential.
    row("dot_product_attention", Q, *args, n=30, condition=2, **k)
    for args, k in (
        ((K, V), {}),
        ((K, V), {"mask": MASK}),
        ((K, V), {"mask": MASK, "bias": BIAS}),
        ((K, V), {"bias": BIAS[:1, :1]}),
        ((K, V), {"is_causal": True}),
        ((K, V), {"is_causal": True, "mask": MASK}),
        ((K, V), {"is_causal": True, "bias": BIAS}),
        ((K, V), {"scale": 0.3}),
        (FEW, {}),
        (FEW, {"mask": MASK}),
        ((FEW[0][:, :, :1], FEW[1][:, :, :1]), {"is_causal": True}),
    )
]
