"""Activation functions, and the layers of them."""

import numpy as np
from keras_rows import away, distinct, integers, normal

from catalogue import New, call, layer

X = away(3, 4)
WIDE = X * np.float32(4)
# Keras's sparsemax is right only where one element has all of the sum; others are tested in test_network_ops.
APART = 4 * distinct(3, 4)
SOME = np.asarray([[True, False, True, True], [True, True, False, True], [False] * 4])


def function(name, x=X, *, n=1, note="", **arguments):
    return call(New(f"activations.{name}", **arguments), x, n=n, note=note)


ROWS = [
    *(
        function(name)
        for name in (
            *("celu", "elu", "exponential", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_swish", "leaky_relu"),
            *("linear", "log_sigmoid", "mish", "relu", "selu", "sigmoid", "silu", "softplus", "softsign"),
            *("sparse_plus", "sparse_sigmoid", "squareplus", "swish", "tanh", "tanh_shrink", "hard_shrink"),
            *("hard_tanh", "soft_shrink"),
        )
    ),
    *(function(name, n=4) for name in ("softmax", "log_softmax")),
    function("sparsemax", APART, n=4),
    function("relu6", WIDE),
    function("threshold", threshold=0.5, default_value=-2.0),
    function("relu", WIDE, negative_slope=0.1, note="slope"),
    function("relu", WIDE, negative_slope=0.1, max_value=3.0, threshold=1.0, note="all"),
    function("relu", WIDE, max_value=6, note="max"),
    function("relu", WIDE, threshold=1.0, note="threshold"),
    function("leaky_relu", negative_slope=0.5, note="slope"),
    function("elu", alpha=0.5, note="alpha"),
    function("celu", alpha=0.5, note="alpha"),
    function("gelu", approximate=True, note="approximate"),
    function("squareplus", b=2, note="b"),
    function("hard_shrink", threshold=1.0, note="threshold"),
    function("soft_shrink", threshold=1.0, note="threshold"),
    function("glu", away(2, 4, 3), axis=1, note="axis"),
    *(function(name, APART, axis=0, n=3, note="axis") for name in ("softmax", "log_softmax", "sparsemax")),
    layer(New("Activation", "gelu"), X),
    layer(New("Activation", None), X, note="None"),
    layer(New("ReLU"), X),
    layer(New("ReLU", 3.0, 0.1, 1.0), WIDE, note="all"),
    layer(New("LeakyReLU"), X),
    layer(New("LeakyReLU", negative_slope=0.1), X, note="slope"),
    layer(New("ELU"), X),
    layer(New("ELU", alpha=0.5), X, note="alpha"),
    layer(New("PReLU"), away(2, 3, 4), n=2),
    layer(New("PReLU", "ones", "l1", "non_neg", shared_axes=(1, 2)), away(2, 3, 4, 2), n=24, note="shared"),
    layer(New("PReLU"), integers(-3, 3, 2, 4), note="integers"),
    layer(New("PReLU", shared_axes=1), away(2, 3, 4), n=6, note="one axis"),
    layer(New("Softmax"), X, n=4),
    layer(New("Softmax", axis=(1, 2)), normal(2, 3, 4), n=12, note="axes"),
    layer(New("Softmax"), X, options={"mask": SOME}, n=4, note="mask"),
    layer(New("Softmax", axis=[1]), normal(2, 4, 3), options={"mask": SOME[:1, :3]}, n=4, note="one axis"),
]
