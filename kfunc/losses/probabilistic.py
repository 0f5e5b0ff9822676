"""Losses of probabilities: cross-entropies and their kin."""

from __future__ import annotations

from collections.abc import Sequence

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
    """Sum of `y_true * log(y_true / y_pred)` over the last axis, both probabilities: (batch, ...)."""
    y_true, y_pred = pair(y_true, y_pred)
    xp = namespace(y_pred)
    y_true, y_pred = xp.clip(y_true, EPSILON, 1.0), xp.clip(y_pred, EPSILON, 1.0)
    return xp.sum(y_true * xp.log(y_true / y_pred), axis=-1)


@native
def poisson(y_true: Array, y_pred: Array) -> Array:
    """Mean of `y_pred - y_true * log(y_pred)` over the last axis, for counts and their expectations: (batch, ...)."""
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
    """Mean cross-entropy of yes-or-no labels over `axis`.

    Args:
        y_true: Labels in [0, 1].
        y_pred: Probabilities of 1, or logits.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: How far the labels move towards 1/2.
        axis: The axis of the mean.
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
    """`binary_crossentropy` times `(1 - p)**gamma`, p being the probability of the right answer.

    So that what is right already counts little (Lin et al., arXiv:1708.02002).

    Args:
        apply_class_balancing: Whether labels 1 count `alpha`, and labels 0 `1 - alpha`.
        alpha: A weight in [0, 1].
        gamma: Not negative.
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
    """Cross-entropy of a distribution over classes.

    Args:
        y_true: Probabilities of the classes, such as one-hot codes.
        y_pred: Probabilities (scaled to the sum 1), or logits.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: How far the labels move towards the uniform distribution.
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
    """`categorical_crossentropy` with each class times `alpha * (1 - its probability)**gamma` (arXiv:1708.02002).

    Args:
        alpha: A weight, or one for each class.
        gamma: Not negative.

    Raises:
        ShapeError: There are not as many weights as classes.
    """
    y_true, y_pred = pair(y_true, y_pred)
    xp = namespace(y_pred)
    y_true = _smoothed(y_true, label_smoothing, y_true.shape[axis])
    y_pred = ops.softmax(y_pred, axis) if from_logits else y_pred
    y_pred = xp.clip(y_pred / xp.sum(y_pred, axis=axis, keepdims=True), EPSILON, 1 - EPSILON)
    values = (1 - y_pred) ** gamma * y_true * xp.log(y_pred)
    return -xp.sum(_for_classes(alpha, y_pred, axis) * values, axis=axis)


def _for_classes(weights, y_pred, axis):
    """A number, or numbers for the classes along `axis` as an array that broadcasts to `y_pred`."""
    if isinstance(weights, int | float):
        return weights
    xp = namespace(y_pred)
    if not hasattr(weights, "shape"):
        weights = xp.asarray(weights, dtype=y_pred.dtype, device=device(y_pred))
    classes = y_pred.shape[axis]
    if tuple(weights.shape) not in ((), (1,), (classes,)):
        raise ShapeError("Each class has a weight.", argument="alpha", expected=(classes,), got=tuple(weights.shape))
    after = y_pred.ndim - 1 - axis % y_pred.ndim
    return xp.reshape(xp.astype(weights, y_pred.dtype), (-1, *(1,) * after))


@native
def sparse_categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Array:
    """Cross-entropy of class numbers.

    Args:
        y_true: Classes in [0, classes), of the shape of `y_pred` without `axis`, or with size 1 there.
        y_pred: (batch, ..., classes): probabilities (scaled to the sum 1), or logits.
        from_logits: Whether `y_pred` holds logits.
        ignore_class: A label, in the range or not, whose samples have the value 0 and do not count.
        axis: The axis of the classes.

    Returns:
        An array without `axis`; NaN where a label is out of range.
    """
    y_pred = real(y_pred)
    xp = namespace(y_pred)
    labels = class_labels(xp, y_true, y_pred, axis)
    ignored = None
    if ignore_class is not None:
        ignored = labels == ignore_class
        # Selected, not multiplied, before as well as after: an ignored sample may hold anything, infinities included.
        y_pred = xp.where(xp.expand_dims(ignored, axis=axis), xp.ones_like(y_pred), y_pred)
    values = ops.sparse_categorical_crossentropy(labels, y_pred, from_logits, axis)
    return values if ignored is None else xp.where(ignored, xp.zeros_like(values), values)


@native
def categorical_generalized_cross_entropy(y_true: Array, y_pred: Array, q: float) -> Array:
    """`(1 - p**q) / q`, p being the probability of the right class (Zhang and Sabuncu, arXiv:1805.07836).

    Args:
        y_true: Classes in [0, classes), (batch, ...).
        y_pred: Probabilities, (batch, ..., classes).
        q: In (0, 1): towards 0 it is the cross-entropy, towards 1 the absolute error, which minds wrong labels less.

    Returns:
        (batch, ...); NaN where a label is out of range.
    """
    y_pred = real(y_pred)
    xp = namespace(y_pred)
    picked, valid = pick_class(y_pred, class_labels(xp, y_true, y_pred))
    values = (1 - picked**q) / q
    return xp.where(valid, values, xp.full_like(values, float("nan")))


@loss(kl_divergence, "kld", "KLD", "kullback_leibler_divergence")
class KLDivergence(Loss):
    """See `kl_divergence`."""


@loss(poisson)
class Poisson(Loss):
    """See `poisson`."""


@loss(binary_crossentropy, "bce", "BCE")
class BinaryCrossentropy(Loss):
    """See `binary_crossentropy`."""

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1


@loss(binary_focal_crossentropy)
class BinaryFocalCrossentropy(Loss):
    """See `binary_focal_crossentropy`."""

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1


@loss(categorical_crossentropy)
class CategoricalCrossentropy(Loss):
    """See `categorical_crossentropy`."""

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1


@loss(categorical_focal_crossentropy, alpha="class_weights")
class CategoricalFocalCrossentropy(Loss):
    """See `categorical_focal_crossentropy`."""

    alpha: float | tuple[float, ...] = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1


@loss(sparse_categorical_crossentropy)
class SparseCategoricalCrossentropy(Loss):
    """See `sparse_categorical_crossentropy`."""

    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1

    def mask(self, y_true: Array, y_pred: Array, values: Array | None = None) -> Array:
        if self.ignore_class is None:
            return None
        return class_labels(namespace(y_pred), y_true, y_pred, self.axis) != self.ignore_class

    def check_labels(self, y_true: Array, classes: int) -> None:
        check_classes(y_true, classes, self.ignore_class)


@loss(categorical_generalized_cross_entropy)
class CategoricalGeneralizedCrossEntropy(Loss):
    """See `categorical_generalized_cross_entropy`."""

    q: float = 0.5

    def check_labels(self, y_true: Array, classes: int) -> None:
        check_classes(y_true, classes)
