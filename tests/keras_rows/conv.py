"""Convolutions and patches."""

from __future__ import annotations

from . import integers, normal, row

LINE, IMAGE, VOLUME = normal(2, 9, 4), normal(2, 7, 6, 4), normal(1, 4, 5, 4, 2)
FIRST = {"data_format": "channels_first"}

ROWS = [
    *(row("conv", LINE, normal(3, 4, 5), n=108, **k) for k in ({}, {"padding": "same"}, {"strides": 2})),
    row("conv", LINE, normal(3, 4, 5), n=108, dilation_rate=2, padding="same"),
    row("conv", LINE, normal(3, 4, 5), n=108, strides=2, dilation_rate=2, padding="same"),
    *(
        row("conv", IMAGE, normal(3, 2, 4, 6), n=504, **k)
        for k in ({}, {"padding": "same"}, {"strides": (2, 1)}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2})
    ),
    row("conv", IMAGE, normal(3, 3, 2, 6), n=504, padding="same"),  # groups
    row("conv", normal(2, 4, 7, 6), normal(3, 3, 4, 5), n=504, padding="same", **FIRST),
    row("conv", VOLUME, normal(2, 3, 2, 2, 3), n=80, strides=2),
    row("conv", VOLUME, normal(2, 2, 2, 2, 3), n=80, padding="same"),
    row("conv", integers(-3, 4, 2, 5, 3), normal(2, 3, 2), n=24),
    *(row("conv_transpose", LINE, normal(3, 5, 4), n=108, **k) for k in ({}, {"padding": "same"}, {"strides": 2})),
    *(
        row("conv_transpose", IMAGE, normal(3, 2, 6, 4), n=504, **k)
        for k in (
            {},
            {"padding": "same"},
            {"strides": (2, 1)},
            {"strides": 2, "padding": "same"},
            {"strides": 3},  # above the window: zeros between, and after
            {"strides": 3, "padding": "same"},
            {"strides": 2, "output_padding": 1},
            {"strides": 2, "padding": "same", "output_padding": (1, 0)},
            {"dilation_rate": 2},
            {"dilation_rate": 2, "padding": "same"},
        )
    ),
    row("conv_transpose", normal(2, 4, 5, 6), normal(3, 3, 2, 4), n=504, strides=2, padding="same", **FIRST),
    row("conv_transpose", VOLUME, normal(2, 3, 2, 3, 2), n=240, strides=2),
    *(
        row("depthwise_conv", IMAGE, normal(3, 3, 4, 2), n=126, **k)
        for k in ({}, {"padding": "same"}, {"strides": 2}, {"dilation_rate": 2, "padding": "same"})
    ),
    row("depthwise_conv", LINE, normal(3, 4, 1), n=27, padding="same"),
    row("depthwise_conv", normal(2, 4, 7, 6), normal(3, 2, 4, 1), n=126, **FIRST),
    *(
        # Two sums after another.
        row("separable_conv", IMAGE, normal(3, 3, 4, 2), normal(1, 1, 8, 5), n=126, condition=4, **k)
        for k in ({}, {"padding": "same", "strides": 2})
    ),
    row("separable_conv", LINE, normal(3, 4, 1), normal(1, 4, 5), n=27, condition=4),
    *(row("unfold", normal(2, 3, 6, 5), *k, n=4) for k in ((2,), ((3, 2), 1, 1), (2, 2), ((2, 3), 1, (1, 0), (2, 1)))),
    *(
        row("fold", normal(2, 12, n), size, *k, n=4)  # where windows leave a rest, Keras's result is too small
        for n, size, k in (
            (20, (6, 5), (2,)),
            (42, (6, 5), (2, 1, 1)),
            (12, (6, 5), (2, 2)),
            (8, (6, 4), ((2, 3), 1, (1, 0), (2, 1))),
        )
    ),
    *(
        row(name, x, 2, **k)
        for name, x, k in (
            ("depth_to_space", normal(2, 3, 2, 8), {}),
            ("depth_to_space", normal(2, 8, 3, 2), FIRST),
            ("space_to_depth", normal(2, 4, 6, 3), {}),
            ("space_to_depth", normal(2, 3, 4, 6), FIRST),
        )
    ),
]
