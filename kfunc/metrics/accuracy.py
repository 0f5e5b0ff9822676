"""How often predictions are right. The functions return 1 (right) or 0 for each prediction, in float32."""

from __future__ import annotations

import dataclasses

from .. import checks, ops
from ..arrays import namespace, native
from ..losses.base import check_shape, class_labels, fitting
from ..typing import Array
from .base import MeanMetric, metric

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


def _largest(x, xp):
    """The position of the largest number along the last axis; booleans count as 0 and 1."""
    return xp.argmax(xp.astype(x, xp.uint8) if x.dtype == xp.bool else x, axis=-1)


def _ones(right):
    xp = namespace(right)
    return xp.astype(right, xp.float32)


@native
def binary_accuracy(y_true: Array, y_pred: Array, threshold: float = 0.5) -> Array:
    """Whether `y_pred > threshold` agrees with `y_true`, which holds zeros and ones: (batch, ...) to the same.

    Args:
        y_true, y_pred: Labels and scores, (batch, ...).
        threshold: Scores above it count as 1.
    """
    above = y_pred > threshold
    y_true, above = fitting(
        namespace(y_true).astype(y_true, y_pred.dtype), namespace(y_pred).astype(above, y_pred.dtype)
    )
    return _ones(y_true == above)


@native
def categorical_accuracy(y_true: Array, y_pred: Array) -> Array:
    """Whether the largest score is at the class of the label: (batch, ..., classes) to (batch, ...).

    Args:
        y_true: One-hot codes, or probabilities: the class of the label is the largest one.
        y_pred: Scores.
    """
    check_shape(y_true.shape, y_pred.shape)
    xp = namespace(y_true, y_pred)
    return _ones(_largest(y_true, xp) == _largest(y_pred, xp))


@native
def sparse_categorical_accuracy(y_true: Array, y_pred: Array) -> Array:
    """Whether the largest score is at the class of the label.

    Args:
        y_true: Classes, (batch, ...) or (batch, ..., 1).
        y_pred: Scores, (batch, ..., classes).

    Returns:
        (batch, ...).
    """
    xp = namespace(y_true, y_pred)
    found = xp.argmax(y_pred, axis=-1)
    return _ones(found == xp.astype(class_labels(xp, y_true, y_pred), found.dtype))


@native
def top_k_categorical_accuracy(y_true: Array, y_pred: Array, k: int = 5) -> Array:
    """Whether fewer than `k` scores are larger than the score of the label: (batch, ..., classes) to (batch, ...).

    Args:
        y_true: One-hot codes, or probabilities: the class of the label is the largest one.
        y_pred: Scores.
        k: How many of the largest scores count.
    """
    check_shape(y_true.shape, y_pred.shape)
    xp = namespace(y_true, y_pred)
    return _ones(ops.in_top_k(_largest(y_true, xp), y_pred, k))


@native
def sparse_top_k_categorical_accuracy(y_true: Array, y_pred: Array, k: int = 5, from_sorted_ids: bool = False) -> Array:
    """Whether fewer than `k` scores are larger than the score of the label.

    Args:
        y_true: Classes, (batch, ...) or (batch, ..., 1).
        y_pred: Scores, (batch, ..., classes).
        k: How many of the largest scores count.
        from_sorted_ids: Whether `y_pred` holds classes, the most likely one first, and not scores.

    Returns:
        (batch, ...).
    """
    xp = namespace(y_true, y_pred)
    labels = class_labels(xp, y_true, y_pred)
    if from_sorted_ids:
        first = y_pred[..., :k]
        return _ones(xp.any(first == xp.expand_dims(xp.astype(labels, y_pred.dtype), axis=-1), axis=-1))
    return _ones(ops.in_top_k(labels, y_pred, k))


@native
def _accuracy(y_true, y_pred):
    y_true, y_pred = fitting(y_true, y_pred)
    return _ones(y_true == y_pred)


@metric(function=_accuracy)
class Accuracy(MeanMetric):
    """How often `y_pred` equals `y_true`, element by element."""


@metric(function=binary_accuracy)
class BinaryAccuracy(MeanMetric):
    """The mean of `binary_accuracy`."""

    _: dataclasses.KW_ONLY
    threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("threshold", self.threshold)


@metric(function=categorical_accuracy)
class CategoricalAccuracy(MeanMetric):
    """The mean of `categorical_accuracy`."""


@metric(function=sparse_categorical_accuracy)
class SparseCategoricalAccuracy(MeanMetric):
    """The mean of `sparse_categorical_accuracy`."""


@metric(function=top_k_categorical_accuracy)
class TopKCategoricalAccuracy(MeanMetric):
    """The mean of `top_k_categorical_accuracy`."""

    k: int = 5


@metric(function=sparse_top_k_categorical_accuracy)
class SparseTopKCategoricalAccuracy(MeanMetric):
    """The mean of `sparse_top_k_categorical_accuracy`."""

    k: int = 5
    _: dataclasses.KW_ONLY
    from_sorted_ids: bool = False
