"""Recurrent layers and cells.

Keras on JAX is wrong at some places, which no row touches; `test_recurrent.py` says what we do. The mask of reversed
outputs is not reversed. Convolutions take a mask only where they are unrolled; there, `zero_output_for_mask` means
nothing, and the first state is not the first output. Without `return_sequences`, `zero_output_for_mask` does something,
against the documentation. SimpleRNN drops its `activity_regularizer`. What `stateful` layers keep is not among the
`variables`.
"""

import numpy as np
from keras_rows import normal

from catalogue import New, layer

X = normal(3, 4, 3)
H, C = normal(3, 2), normal(3, 2)
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
MASKED = {"mask": MASK}
SHORT, SHORT_MASK = X[:, :2], {"mask": MASK[:, :2]}
ALL = {"return_sequences": True, "return_state": True}

KERNELS = {
    "kernel_regularizer": New("regularizers.L2", 0.1),
    "recurrent_regularizer": New("regularizers.L1", 0.2),
    "bias_regularizer": New("regularizers.L2", 0.3),
    "kernel_constraint": New("constraints.NonNeg"),
    "recurrent_constraint": New("constraints.NonNeg"),
    "bias_constraint": New("constraints.NonNeg"),
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_normal",
    "bias_initializer": "ones",
}
FUNCTIONS = {"activation": "softsign", "recurrent_activation": "softplus"}

ROWS = [
    layer(New("LSTM", 2), X, n=20),
    layer(
        New("LSTM", 2, **FUNCTIONS, **KERNELS, **ALL, go_backwards=True, unit_forget_bias=False),
        X,
        options={"initial_state": [H, C]},
        n=20,
        note="backwards",
    ),
    layer(New("LSTM", 2, use_bias=False, **ALL, use_cudnn=False), X, options=MASKED, n=20, note="mask"),
    layer(
        New("LSTM", 2, **ALL, zero_output_for_mask=True, activity_regularizer=New("regularizers.L2", 0.1)),
        X,
        options={**MASKED, "initial_state": [H, C]},
        n=40,
        note="zeros",
    ),
    layer(New("LSTM", 2, unroll=True, go_backwards=True), SHORT, options=SHORT_MASK, n=10, note="unrolled"),
    layer(New("GRU", 2), X, n=20),
    layer(
        New("GRU", 2, **FUNCTIONS, **KERNELS, **ALL, go_backwards=True),
        X,
        options={"initial_state": H},
        n=20,
        note="backwards",
    ),
    layer(New("GRU", 2, **ALL, use_cudnn=False), X, options={**MASKED, "initial_state": [H]}, n=20, note="mask"),
    layer(
        New("GRU", 2, use_bias=False, unroll=True, reset_after=False),
        SHORT,
        options=SHORT_MASK,
        n=10,
        note="unrolled",
    ),
    layer(New("SimpleRNN", 2), X, n=20),
    layer(
        New("SimpleRNN", 2, activation="softsign", **KERNELS, **ALL, go_backwards=True),
        X,
        options={"initial_state": H},
        n=20,
        note="backwards",
    ),
    layer(
        New("SimpleRNN", 2, use_bias=False, unroll=True, activation="relu", **ALL),
        SHORT,
        options=SHORT_MASK,
        n=10,
        note="unrolled",
    ),
    # One step.
    layer(New("LSTMCell", 2), X[:, 0], [H, C], n=5),
    layer(New("LSTMCell", 2, **FUNCTIONS, **KERNELS, unit_forget_bias=False), X[:, 0], [H, C], n=5, note="functions"),
    layer(New("GRUCell", 2), X[:, 0], [H], n=5),
    layer(New("GRUCell", 2, **FUNCTIONS, **KERNELS, reset_after=False), X[:, 0], [H], n=5, note="functions"),
    layer(New("GRUCell", 2, use_bias=False), X[:, 0], [H], n=5, note="no bias"),
    layer(New("SimpleRNNCell", 2), X[:, 0], [H], n=5),
    layer(New("SimpleRNNCell", 2, activation=None, use_bias=False, **KERNELS), X[:, 0], [H], n=5, note="linear"),
    layer(New("StackedRNNCells", [New("LSTMCell", 2), New("GRUCell", 3)]), X[:, 0], [[H, C], [normal(3, 3)]], n=10),
    # Any cell.
    layer(New("RNN", New("LSTMCell", 2, kernel_regularizer="l2")), X, n=20),
    layer(
        New("RNN", [New("GRUCell", 2), New("LSTMCell", 3)], **ALL, zero_output_for_mask=True),
        X,
        options=MASKED,
        n=40,
        note="stacked",
    ),
    layer(
        New("RNN", [New("LSTMCell", 2), New("SimpleRNNCell", 2)], return_sequences=True, go_backwards=True),
        X,
        options={"initial_state": [[H, C], [C]]},
        n=40,
        note="states",
    ),
    layer(
        New("RNN", New("GRUCell", 2), go_backwards=True, unroll=True),
        SHORT,
        options=SHORT_MASK,
        n=10,
        note="unrolled",
    ),
    # With gates that are convolutions.
    layer(New("ConvLSTM1D", 2, 2), normal(2, 3, 4, 2), n=30),
    layer(
        New("ConvLSTM1D", 2, 3, strides=2, padding="same", data_format="channels_first", **KERNELS, **ALL),
        normal(2, 3, 2, 5),
        options={"initial_state": [normal(2, 2, 3), normal(2, 2, 3)]},
        n=50,
        note="channels first",
    ),
    layer(
        New("ConvLSTM2D", 1, (2, 1), dilation_rate=(2, 1), **FUNCTIONS, **ALL, go_backwards=True, use_bias=False),
        normal(2, 3, 4, 3, 2),
        n=30,
    ),
    layer(
        New("ConvLSTM2D", 1, 2, unroll=True, **ALL, activity_regularizer="l2"),
        normal(3, 2, 3, 3, 1),
        options=SHORT_MASK,
        n=20,
        note="mask",
    ),
    layer(New("ConvLSTM3D", 1, (1, 2, 2), padding="same"), normal(2, 2, 2, 3, 2, 2), n=40),
]
