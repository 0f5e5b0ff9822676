"""Losses of probabilities: cross-entropies and similar losses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from .. import ops
from ..arrays import device, namespace, native
from ..errors import ShapeError
from ..ops.crossentropy import EPSILON, pick_class
from ..typing import Array
from .base import Loss, check_classes, class_labels, elements, loss, pair, real

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "KLDivergence",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "kl_divergence",
    "poisson",
    "sparse_categorical_crossentropy",
]


@native
def kl_divergence(y_true: Array, y_pred: Array) -> Array:
    """Sum of `y_true * log(y_true / y_pred)` over the last axis: (batch, ...). Both hold probabilities."""
    y_true, y_pred = pair(y_true, y_pred)
    xp = namespace(y_pred)
    y_true, y_pred = xp.clip(y_true, EPSILON, 1.0), xp.clip(y_pred, EPSILON, 1.0)
    return xp.sum(y_true * xp.log(y_true / y_pred), axis=-1)


@native
def poisson(y_true: Array, y_pred: Array) -> Array:
    """Mean of `y_pred - y_true * log(y_pred)` over the last axis: (batch, ...).

    Args:
        y_true: Counts, (batch, ..., features).
        y_pred: Expected counts, (batch, ..., features).
    """
    y_true, y_pred = elements(y_true, y_pred)
    xp = namespace(y_pred)
    return xp.mean(y_pred - y_true * xp.log(y_pred + EPSILON), axis=-1)


# -- yes or no --------------------------------------------------------------------------------------------------------


def _smoothed(y_true, label_smoothing, classes):
    return y_true * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else y_true


@native
def binary_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """Mean cross-entropy of yes-or-no labels over `axis`: (batch, ..., features) to (batch, ...).

    Args:
        y_true: Labels in [0, 1].
        y_pred: Probabilities of the label 1, or logits.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: How far the labels are moved towards 1/2, in [0, 1].
        axis: The axis over which the mean is taken.
    """
    y_true, y_pred = elements(y_true, y_pred)
    values = ops.binary_crossentropy(_smoothed(y_true, label_smoothing, 2), y_pred, from_logits)
    return namespace(y_pred).mean(values, axis=axis)


@native
def binary_focal_crossentropy(
    y_true: Array,
    y_pred: Array,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """`binary_crossentropy` times `(1 - p)**gamma`, where p is the probability of the right answer.

    So samples that are predicted well count little (Lin et al., arXiv:1708.02002).

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: As for `binary_crossentropy`.
        apply_class_balancing: Whether labels 1 have the weight `alpha`, and labels 0 the weight `1 - alpha`.
        alpha: A weight in [0, 1].
        gamma: The power in the factor, not negative.
    """
    y_true, y_pred = elements(y_true, y_pred)
    xp = namespace(y_pred)
    y_true = _smoothed(y_true, label_smoothing, 2)
    y_pred = ops.sigmoid(y_pred) if from_logits else y_pred
    right = y_true * y_pred + (1 - y_true) * (1 - y_pred)
    values = (1 - right) ** gamma * ops.binary_crossentropy(y_true, y_pred)
    if apply_class_balancing:
        values = (y_true * alpha + (1 - y_true) * (1 - alpha)) * values
    return xp.mean(values, axis=axis)


# -- one of several classes -------------------------------------------------------------------------------------------


@native
def categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """Cross-entropy of a distribution over classes: (batch, ..., classes) to (batch, ...).

    Args:
        y_true: Probabilities of the classes, such as one-hot codes.
        y_pred: Probabilities, which are scaled to the sum 1, or logits.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: How far the labels are moved towards the uniform distribution, in [0, 1].
        axis: The axis of the classes.

    Returns:
        An array without `axis`.
    """
    y_true, y_pred = pair(y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, y_true.shape[axis])
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


@native
def categorical_focal_crossentropy(
    y_true: Array,
    y_pred: Array,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """`categorical_crossentropy` in which each class has the factor `alpha * (1 - p)**gamma` (arXiv:1708.02002).

    Here p is the predicted probability of the class.

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: As for `categorical_crossentropy`.
        alpha: A weight, or one weight for each class.
        gamma: The power in the factor, not negative.

    Raises:
        ShapeError: The number of weights is not the number of classes.
    """
    y_true, y_pred = pair(y_true, y_pred)
    xp = namespace(y_pred)
    y_true = _smoothed(y_true, label_smoothing, y_true.shape[axis])
    y_pred = ops.softmax(y_pred, axis) if from_logits else y_pred
    y_pred = xp.clip(y_pred / xp.sum(y_pred, axis=axis, keepdims=True), EPSILON, 1 - EPSILON)
    values = (1 - y_pred) ** gamma * y_true * xp.log(y_pred)
    return -xp.sum(_for_classes(alpha, y_pred, axis) * values, axis=axis)


def _for_classes(weights, y_pred, axis):
    """`weights` if it is a number; else an array of them, along `axis`, that broadcasts to `y_pred`."""
    if isinstance(weights, int | float):
        return weights
    xp = namespace(y_pred)
    if not hasattr(weights, "shape"):
        weights = xp.asarray(weights, dtype=y_pred.dtype, device=device(y_pred))
    classes = y_pred.shape[axis]
    if tuple(weights.shape) not in ((), (1,), (classes,)):
        raise ShapeError(
            f"`alpha` must be a number or {classes} weights, one for each class, got shape {tuple(weights.shape)}.",
            argument="alpha",
            expected=(classes,),
            got=tuple(weights.shape),
        )
    after = y_pred.ndim - 1 - axis % y_pred.ndim
    return xp.reshape(xp.astype(weights, y_pred.dtype), (-1, *(1,) * after))


@native
def sparse_categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Array:
    """Cross-entropy of class numbers: (batch, ...) and (batch, ..., classes) to (batch, ...).

    Args:
        y_true: Classes in [0, classes), of the shape of `y_pred` without `axis`, or with size 1 at `axis`.
        y_pred: Probabilities, which are scaled to the sum 1, or logits.
        from_logits: Whether `y_pred` holds logits.
        ignore_class: A label, in the range or not. Samples with this label have the value 0 and do not count.
        axis: The axis of the classes.

    Returns:
        An array without `axis`. It is NaN where a label is out of range.
    """
    y_pred = real(y_pred)
    xp = namespace(y_pred)
    labels = class_labels(xp, y_true, y_pred, axis)
    ignored = None
    if ignore_class is not None:
        ignored = labels == ignore_class
        # By `where`, before and after: an ignored sample may hold infinities, and infinity times 0 would be NaN.
        y_pred = xp.where(xp.expand_dims(ignored, axis=axis), xp.ones_like(y_pred), y_pred)
    values = ops.sparse_categorical_crossentropy(labels, y_pred, from_logits, axis)
    return values if ignored is None else xp.where(ignored, xp.zeros_like(values), values)


@native
def categorical_generalized_cross_entropy(y_true: Array, y_pred: Array, q: float) -> Array:
    """`(1 - p**q) / q`, where p is the probability of the right class (Zhang and Sabuncu, arXiv:1805.07836).

    Args:
        y_true: Classes in [0, classes), (batch, ...).
        y_pred: Probabilities, (batch, ..., classes).
        q: A number in (0, 1). Near 0 the loss is like the cross-entropy; near 1 it is like the absolute error, which
            suffers less from wrong labels.

    Returns:
        (batch, ...). It is NaN where a label is out of range.
    """
    y_pred = real(y_pred)
    xp = namespace(y_pred)
    picked, valid = pick_class(y_pred, class_labels(xp, y_true, y_pred))
    values = (1 - picked**q) / q
    return xp.where(valid, values, math.nan)


@loss(kl_divergence, "kld", "KLD", "kullback_leibler_divergence")
class KLDivergence(Loss):
    """`kl_divergence` as a loss."""


@loss(poisson)
class Poisson(Loss):
    """`poisson` as a loss."""


@loss(binary_crossentropy, "bce", "BCE")
class BinaryCrossentropy(Loss):
    """`binary_crossentropy` as a loss."""

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1


@loss(binary_focal_crossentropy)
class BinaryFocalCrossentropy(Loss):
    """`binary_focal_crossentropy` as a loss."""

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1


@loss(categorical_crossentropy)
class CategoricalCrossentropy(Loss):
    """`categorical_crossentropy` as a loss."""

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1


@loss(categorical_focal_crossentropy, alpha="class_weights")
class CategoricalFocalCrossentropy(Loss):
    """`categorical_focal_crossentropy` as a loss."""

    alpha: float | tuple[float, ...] = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1


@loss(sparse_categorical_crossentropy)
class SparseCategoricalCrossentropy(Loss):
    """`sparse_categorical_crossentropy` as a loss."""

    from_logits: bool = False
    ignore_class: int | None = None
    _: dataclasses.KW_ONLY
    axis: int = -1
    _positions: ClassVar[tuple[Any, ...]] = ("reduction", "axis", "name", "dtype")

    def mask(self, y_true: Array, y_pred: Array, values: Array | None = None) -> Array:
        if self.ignore_class is None:
            return None
        return class_labels(namespace(y_pred), y_true, y_pred, self.axis) != self.ignore_class

    def check_labels(self, y_true: Array, classes: int) -> None:
        check_classes(y_true, classes, self.ignore_class)


@loss(categorical_generalized_cross_entropy)
class CategoricalGeneralizedCrossEntropy(Loss):
    """`categorical_generalized_cross_entropy` as a loss."""

    q: float = 0.5

    def check_labels(self, y_true: Array, classes: int) -> None:
        check_classes(y_true, classes)
