"""Layers around a layer for sequences."""

import numpy as np
from keras_rows import normal

from catalogue import New, layer

X = normal(2, 4, 3)
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0]], bool)
MASKED = {"mask": MASK}
STATES = [normal(2, 2) for _ in range(4)]

ROWS = [
    layer(New("Bidirectional", New("LSTM", 2)), X, n=20),
    layer(
        New("Bidirectional", New("LSTM", 2, return_sequences=True, return_state=True), merge_mode=None),
        X,
        options={"initial_state": STATES, **MASKED},
        n=20,
        note="mask",
    ),
    layer(
        New("Bidirectional", New("GRU", 2, return_state=True), merge_mode="sum"),
        X,
        options={"initial_state": STATES[:2]},
        n=20,
        note="sum",
    ),
    layer(
        New(
            "Bidirectional",
            New("LSTM", 2, return_sequences=True),
            merge_mode="mul",
            backward_layer=New("SimpleRNN", 2, return_sequences=True, go_backwards=True),
        ),
        X,
        n=20,
        note="another layer",
    ),
    layer(
        New("Bidirectional", New("RNN", New("GRUCell", 2), return_sequences=True), merge_mode="ave"),
        X,
        options=MASKED,
        n=20,
        note="cells",
    ),
    layer(
        New("models.Sequential", [New("Masking"), New("Bidirectional", New("GRU", 2, return_sequences=True))]),
        np.where(MASK[..., None], X, 0),
        n=20,
        note="masks",
    ),
    layer(New("TimeDistributed", New("Dense", 2, kernel_regularizer="l2")), X, options=MASKED, n=3),
    layer(New("TimeDistributed", New("Conv1D", 2, 2)), normal(2, 3, 4, 2), n=4, note="convolution"),
    layer(
        New("TimeDistributed", New("LSTM", 2)),
        normal(2, 3, 4, 3),
        options={"mask": np.stack([MASK, ~MASK, MASK], axis=1)},
        n=20,
        note="mask",
    ),
]
