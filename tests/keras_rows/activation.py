"""Activation functions."""

from __future__ import annotations

import numpy as np

from . import away, distinct, integers, normal, row

X, INTS = away(3, 4), integers(-3, 4, 3, 4)
WIDE = np.concatenate([normal(4, 5), 30 * away(2, 5)])
# Clear of the kinks at -1, 1 and 0; and no two neighbours of which the larger one leaves the other inside the simplex.
BETWEEN = np.float32([[-2.5, -0.7, 0.4], [0.9, 1.6, 7.3]])
APART = 4 * distinct(3, 4)

SMOOTH = "celu elu selu log_sigmoid softplus softsign squareplus".split()
PIECEWISE = "relu relu6 leaky_relu hard_sigmoid hard_silu hard_swish hard_tanh sparse_plus sparse_sigmoid".split()

ROWS = [
    *(row(name, x) for name in SMOOTH for x in (X, WIDE, INTS)),
    *(row(name, x) for name in ("sigmoid", "silu", "swish") for x in (X, WIDE)),  # Keras takes no integers
    *(row(name, x) for name in PIECEWISE for x in (X, BETWEEN)),
    *(row(name, INTS, grad="no number") for name in PIECEWISE),
    *(row(name, X, alpha=1.7) for name in ("celu", "elu")),
    row("leaky_relu", X, negative_slope=0.01),
    *(row("gelu", x, approximate=a, condition=4) for x in (X, WIDE, INTS) for a in (True, False)),
    *(row("glu", x, condition=2) for x in (X, WIDE[:, :4])),
    row("glu", WIDE, axis=0, condition=2),
    *(row("squareplus", X, b=b) for b in (1, 0.5)),
    *(row("tanh_shrink", x) for x in (X, WIDE)),
    *(row(name, x) for name in ("hard_shrink", "soft_shrink") for x in (WIDE, BETWEEN, INTS)),
    *(row(name, BETWEEN, threshold=0.8) for name in ("hard_shrink", "soft_shrink")),
    row("threshold", BETWEEN, 0.5, -3.0),
    *(row(name, WIDE, n=5, **k) for name in ("softmax", "log_softmax") for k in ({}, {"axis": 0})),
    row("softmax", WIDE, n=30, axis=(0, 1)),  # the other one fails in Keras
    row("softmax", INTS, n=4),  # Keras rounds log_softmax of integers to integers
    row("softmax", np.float32([[0.0, -np.inf, 1.0]]), n=3),
    *(row("sparsemax", APART, n=4, **k) for k in ({}, {"axis": 0})),
]
