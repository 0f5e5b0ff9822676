"""Dense and its kin, tables, masks, and functions as layers."""

import numpy as np
from keras_rows import booleans, integers, normal

import kfunc as kf
from catalogue import New, layer


class Function(New):
    """A function, the same for both."""

    def __init__(self, function):
        self.function = function
        super().__init__(function.__name__)

    def build(self, modules):
        return self.function


@kf.register("activation")
def scaled(x, by=2.0, mask=None, training=False):
    return x * by


@kf.register("activation")
def told(x, mask=None, training=False):
    """What it is told, as a number."""
    return x * (2.0 if training else 1.0) + (0.0 if mask is None else 1.0)


@kf.register("activation")
def same(x, mask=None):
    return mask


@kf.register("activation")
def other(x, mask=None):
    return x[..., 0] > 0


WEIGHTED = {
    "kernel_regularizer": New("regularizers.L2", 0.1),
    "bias_regularizer": "l1",
    "kernel_constraint": "non_neg",
    "bias_constraint": "unit_norm",
    "kernel_initializer": "he_normal",
    "bias_initializer": "ones",
}
PADDED = np.asarray([[[1, 2], [0, 0], [0, 3]], [[0, 0], [0, 0], [-1, 1]]], np.float32)

ROWS = [
    layer(New("Dense", 5), normal(4, 3), n=4),
    layer(New("Dense", 5, activation="relu", use_bias=False), normal(2, 4, 3), n=8, note="relu"),
    layer(New("Dense", 5), integers(0, 7, 4, 3), n=4, note="integers"),
    layer(New("Dense", 2, activity_regularizer="l2", **WEIGHTED), normal(4, 3), n=12, note="regularized"),
    layer(New("Dense", 2, trainable=False, kernel_regularizer="l2"), normal(4, 3), n=4, note="frozen"),
    layer(New("EinsumDense", "abc,cd->abd", (None, 5), bias_axes="d"), normal(2, 4, 3), n=8),
    layer(
        New("EinsumDense", "...x,xy->...y", 5, activation="tanh", bias_axes="y", **WEIGHTED),
        normal(2, 4, 3),
        n=15,
        note="before",
    ),
    layer(New("EinsumDense", "ab...,bc->ac...", 5, bias_axes="c"), normal(2, 3, 4), n=8, note="after"),
    layer(New("EinsumDense", "abc,cde->abde", (4, 2, 3), bias_axes="de"), normal(2, 4, 5), n=8, note="heads"),
    layer(New("EinsumDense", "abcd,cde->abe", output_shape=(4, 3), bias_axes="be"), normal(2, 4, 2, 5), n=10),
    layer(New("EinsumDense", "ab,bcd->adc", (2, 3), bias_axes="d"), normal(4, 5), n=5, note="one bias"),
    layer(New("Embedding", 7, 5), integers(0, 7, 3, 4), n=12),
    layer(
        New("Embedding", 7, 5, "normal", "l2", "non_neg", mask_zero=True), integers(0, 3, 3, 4), n=35, note="mask_zero"
    ),
    layer(New("Embedding", 7, 5), integers(0, 7, 3, 4).astype(np.uint8), n=12, note="short"),
    layer(New("ReversibleEmbedding", 7, 5), integers(0, 7, 3, 4), n=12),
    layer(New("ReversibleEmbedding", 7, 5, mask_zero=True), integers(0, 3, 3, 4), n=12, note="mask_zero"),
    layer(New("ReversibleEmbedding", 7, 5), normal(3, 5), options={"reverse": True}, n=5, note="reverse"),
    layer(
        New("ReversibleEmbedding", 7, 5, False, "ones", "l2", "non_neg", reverse_dtype="float32", logit_soft_cap=2.0),
        normal(3, 5),
        options={"reverse": True},
        n=35,
        # Keras computes the way back in float32, as it is told to, and so has an error of its own.
        condition=2,
        note="untied",
    ),
    layer(New("Identity"), normal(3, 2)),
    layer(New("Masking"), PADDED),
    layer(New("Masking", mask_value=2.0), PADDED, note="2"),
    layer(New("Masking"), PADDED.astype(np.int32), note="integers"),
    layer(New("Lambda", Function(scaled), (2,), arguments={"by": 3.0}), normal(3, 2)),
    layer(New("Lambda", Function(scaled), mask=Function(other)), normal(3, 4, 2), note="mask"),
    layer(
        New("Lambda", Function(told), mask=Function(same)),
        normal(3, 2),
        options={"mask": booleans(3)},
        train=True,
        note="told",
    ),
    layer(
        New("models.Sequential", [New("Masking"), New("Dense", 3), New("Activation", "relu")]),
        PADDED,
        n=4,
        note="masked",
    ),
    layer(
        New("models.Sequential", [New("Embedding", 7, 5, mask_zero=True), New("Dropout", 0.5), New("LSTM", 3)]),
        integers(0, 2, 3, 4),
        n=60,
        note="embedded",
    ),
]
