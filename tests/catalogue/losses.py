"""Losses. Rows of one loss, the mean squared error, hold what all share: reductions, weights and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras_rows import booleans, integers, normal, positive, unit

from catalogue import New, Row, call

TRUE, PRED = normal(4, 5), normal(4, 5, salt=1)
SEQUENCES = normal(3, 4, 5), normal(3, 4, 5, salt=1)
SHARES = positive(4, 5)  # probabilities, once they are scaled to the sum 1
TARGET = positive(4, 5, salt=1) / positive(4, 5, salt=1).sum(axis=1, keepdims=True)
CLASSES, YES_NO = integers(0, 5, 4), integers(0, 2, 4, 5)
ONE_HOT = np.eye(5, dtype=np.int32)[CLASSES]
NEARLY = np.float32(0.9) * ONE_HOT.astype(np.float32)
WEIGHTS, COLUMN, EACH = positive(4), positive(3, 1), positive(3, 4)
MASK = booleans(3, 4)
TOKENS = integers(0, 5, 3, 4)
EMBEDDINGS = normal(6, 4) / np.linalg.norm(normal(6, 4), axis=1, keepdims=True)
REGIONS = booleans(2, 3, 4).astype(np.int32), unit(2, 3, 4)


def loss(
    cls: str, y_true: Any, y_pred: Any, *weights: Any, mask: Any = None, n: int = 20, note: str = "", **arguments: Any
) -> Row:
    """`cls(**arguments)(y_true, y_pred, *weights, mask=mask)`."""
    options = {} if mask is None else {"mask": mask}
    return call(New(f"losses.{cls}", **arguments), y_true, y_pred, *weights, options=options, n=n, note=note)


def shared(*weights: Any, mask: Any = None, note: str = "", **arguments: Any) -> Row:
    return loss("MeanSquaredError", *SEQUENCES, *weights, mask=mask, n=60, note=note, **arguments)


ROWS = [
    loss("MeanSquaredError", TRUE, PRED),
    loss("MeanSquaredError", TRUE[:, 0], PRED[:, :1], WEIGHTS, dtype="float32", note="column"),
    shared(EACH, reduction="mean", note="weights"),
    shared(COLUMN, reduction="none", note="none"),
    shared(COLUMN, reduction=None, mask=MASK, note="none-masked"),
    shared(EACH[..., None], reduction="sum", mask=MASK, note="sum"),
    shared(mask=MASK, note="masked"),
    shared(EACH, mask=MASK, note="masked-weights"),
    shared(COLUMN, mask=np.zeros_like(MASK), note="nothing-left"),
    shared(np.asarray(0.3, np.float32), note="scalar"),
    shared(EACH, reduction="mean_with_sample_weight", note="mean-of-weights"),
    shared(reduction="mean_with_sample_weight", mask=MASK, note="mean-of-mask"),
    # Of fewer weights than values, as of COLUMN, Keras sums each once if there is no mask, and once for each value if
    # there is one, as here. Here it is always the latter: the loss is then a mean, which equal weights do not change.
    shared(COLUMN, reduction="mean_with_sample_weight", mask=MASK, note="mean-of-both"),
    loss("MeanAbsoluteError", TRUE, PRED),
    loss("MeanAbsoluteError", YES_NO, PRED, WEIGHTS, reduction="sum", note="integers"),
    loss("MeanAbsolutePercentageError", SHARES, PRED),
    loss("MeanAbsolutePercentageError", 0 * TRUE, PRED, note="zeros"),
    loss("MeanSquaredLogarithmicError", SHARES, np.abs(PRED)),
    loss("MeanSquaredLogarithmicError", SHARES, PRED, reduction="none", n=5, note="negative"),
    loss("Huber", TRUE, PRED),
    loss("Huber", TRUE, PRED, delta=0.5, reduction="none", n=5, note="delta"),
    loss("LogCosh", TRUE, 3 * PRED),
    loss("CosineSimilarity", TRUE, PRED),
    loss("CosineSimilarity", TRUE, PRED, axis=0, reduction="none", note="axis"),
    loss("Hinge", YES_NO, PRED),
    loss("Hinge", TRUE, PRED, WEIGHTS, note="any"),
    loss("SquaredHinge", 2 * YES_NO - 1, PRED),
    loss("SquaredHinge", YES_NO.astype(np.float32), PRED, reduction="none", n=5, note="floats"),
    loss("CategoricalHinge", ONE_HOT, PRED),
    loss("CategoricalHinge", ONE_HOT.astype(np.float32), PRED, reduction="none", n=5, note="floats"),
    loss("KLDivergence", TARGET, SHARES),
    loss("KLDivergence", NEARLY, np.float32(0.9) - NEARLY, reduction="none", note="zeros"),  # at 1, slopes are a choice
    loss("Poisson", integers(0, 4, 4, 5), SHARES),
    loss("Poisson", integers(0, 4, 4, 5), 0 * SHARES, reduction="none", n=5, note="zeros"),
    loss("BinaryCrossentropy", YES_NO, unit(4, 5)),
    loss("BinaryCrossentropy", YES_NO, PRED, from_logits=True, label_smoothing=0.2, axis=0, note="logits"),
    loss("BinaryCrossentropy", YES_NO[:, 0], unit(4, 1), n=4, note="column"),
    loss("BinaryFocalCrossentropy", YES_NO, unit(4, 5)),
    loss(
        "BinaryFocalCrossentropy",
        YES_NO,
        unit(4, 5),
        apply_class_balancing=True,
        alpha=0.3,
        axis=0,
        note="balanced",
    ),
    loss(
        "BinaryFocalCrossentropy",
        TARGET,
        PRED,
        from_logits=True,
        gamma=1.5,
        label_smoothing=0.1,
        reduction="none",
        n=5,
        note="logits",
    ),
    loss("CategoricalCrossentropy", ONE_HOT, SHARES),
    loss("CategoricalCrossentropy", TARGET, PRED, from_logits=True, label_smoothing=0.1, note="logits"),
    loss("CategoricalCrossentropy", TARGET.T.copy(), PRED.T.copy(), from_logits=True, axis=0, note="axis"),
    loss("CategoricalFocalCrossentropy", ONE_HOT, SHARES),
    loss("CategoricalFocalCrossentropy", TARGET, PRED, from_logits=True, alpha=[0.1, 0.5, 2, 1, 0.3], note="alpha"),
    loss("CategoricalFocalCrossentropy", TARGET, SHARES, gamma=1.5, label_smoothing=0.1, note="smoothed"),
    # By axes other than the last: with one weight, as Keras lays several along the last axis all the same.
    loss("CategoricalFocalCrossentropy", TARGET.T.copy(), SHARES.T.copy(), alpha=0.5, axis=0, note="axis"),
    loss("SparseCategoricalCrossentropy", CLASSES, SHARES),
    loss("SparseCategoricalCrossentropy", CLASSES[:, None], PRED, WEIGHTS, from_logits=True, note="logits"),
    loss("SparseCategoricalCrossentropy", TOKENS, SEQUENCES[1], from_logits=True, ignore_class=2, n=60, note="ignore"),
    loss(
        "SparseCategoricalCrossentropy",
        TOKENS,
        SEQUENCES[1],
        EACH,
        mask=MASK,
        from_logits=True,
        ignore_class=2,
        n=60,
        note="ignore-masked",
    ),
    # Keras on JAX knows no other axis than the last.
    loss("SparseCategoricalCrossentropy", CLASSES, PRED, from_logits=True, axis=1, note="axis"),
    loss("CategoricalGeneralizedCrossEntropy", CLASSES, TARGET),
    loss("CategoricalGeneralizedCrossEntropy", CLASSES, TARGET, WEIGHTS, q=0.8, reduction="sum", note="q"),
    # A chain of 8 sums of the 5 classes and 3 ways.
    loss("CTC", np.int32([[1, 2, 2], [3, 1, 0], [4, 0, 0]]), 2 * normal(3, 8, 5), n=120),
    loss("CTC", np.int32([[1, 2], [3, 0]]), 2 * normal(2, 4, 4), positive(2), reduction="none", n=60, note="weights"),
    loss("Dice", *REGIONS, n=24),
    loss("Dice", REGIONS[1], unit(2, 3, 4, salt=1), axis=(1, 2), reduction="none", n=12, note="axes"),
    loss("Dice", *REGIONS, positive(2), axis=[1, 2], n=24, note="weights"),
    loss("Dice", *REGIONS, mask=booleans(2, 3), n=24, note="masked"),
    loss("Dice", *(0 * x for x in REGIONS), n=24, note="nothing"),
    loss("Tversky", *REGIONS, n=24),
    loss("Tversky", *(0 * x for x in REGIONS), n=24, note="nothing"),
    loss("Tversky", *REGIONS, alpha=0.2, beta=0.9, axis=(1, 2), reduction="none", n=12, note="weighted"),
    loss("Circle", np.int32([0, 1, 0, 2, 1, 2]), EMBEDDINGS, n=6),
    loss(
        "Circle",
        np.int32([[0], [1], [0], [2], [1], [2]]),
        EMBEDDINGS,
        gamma=4.0,
        margin=0.2,
        remove_diagonal=False,
        reduction="none",
        n=6,
        note="column",
    ),
    # Class 3 has one example only, which has nothing to be drawn to, and does not count.
    loss("Circle", np.int32([0, 1, 0, 3, 1, 1]), EMBEDDINGS, positive(6), gamma=4.0, n=6, note="alone"),
]
