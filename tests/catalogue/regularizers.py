"""Regularizers and constraints."""

from __future__ import annotations

from keras_rows import normal

from catalogue import New, call

KERNEL, WINDOW = normal(4, 3), normal(2, 2, 3, 2)

ROWS = [
    call(New("regularizers.L1", 0.3), KERNEL, n=12),
    call(New("regularizers.L1", None), KERNEL, n=12, note="default"),
    call(New("regularizers.L2", l2=0.3), WINDOW, n=24),
    call(New("regularizers.L1L2", 0.3, 0.2), KERNEL, n=12),
    call(New("regularizers.L1L2", l2=0.2), KERNEL, n=12, note="square"),
    call(New("regularizers.L1L2"), KERNEL, n=12, note="nothing"),
    # The sums of 3 or 4 products, of which 6 or 3 pairs are summed.
    call(New("regularizers.OrthogonalRegularizer"), KERNEL, n=18),
    call(New("regularizers.OrthogonalRegularizer", 0.3, mode="columns"), KERNEL, n=12, note="columns"),
    call(New("constraints.MaxNorm"), KERNEL, n=4),
    call(New("constraints.MaxNorm", max_value=1.5, axis=[0, 1, 2]), WINDOW, n=12, note="window"),
    call(New("constraints.MinMaxNorm", min_value=1.5, max_value=1.8, rate=0.7, axis=1), KERNEL, n=4),
    call(New("constraints.MinMaxNorm"), KERNEL, n=4, note="default"),
    call(New("constraints.UnitNorm"), KERNEL, n=4),
    call(New("constraints.UnitNorm", axis=(0, 1)), WINDOW, n=4, note="window"),
    call(New("constraints.NonNeg"), KERNEL),
]
