"""Intersection over union of labels and predictions, computed from a confusion matrix of the classes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from .. import checks, ops
from ..arrays import device, namespace
from ..errors import ArgumentError
from ..losses.base import check_shape, weights
from ..ops.crossentropy import EPSILON
from ..typing import Array
from .base import Metric, metric

__all__ = ["BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]


class _ConfusionMatrix(Metric):  # not a dataclass, since subclasses choose which of these attributes are fields
    num_classes: int
    target_class_ids: Sequence[int] | None = None
    ignore_class: int | None = None
    sparse_y_true: bool = True
    sparse_y_pred: bool = True
    axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_class_ids is not None:
            ids = self.target_class_ids
            if not isinstance(ids, list | tuple) or not ids:
                raise ArgumentError.must_be("target_class_ids", "a list of integers, at least one", ids)
            found = tuple(checks.integer("target_class_ids", i, least=0, most=self.num_classes - 1) for i in ids)
            object.__setattr__(self, "target_class_ids", found)

    def shape(self) -> tuple[int, ...]:
        return (self.num_classes, self.num_classes)

    def classes(self, x: Any, sparse: bool) -> Array:
        """The numbers of the classes, int32, from these numbers (`sparse`) or from scores."""
        xp = namespace(x)
        return xp.astype(
            x if sparse else xp.argmax(xp.astype(x, xp.uint8) if x.dtype == xp.bool else x, axis=self.axis), xp.int32
        )

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None, mask: Array | None) -> Array:
        n = self.num_classes
        y_true, y_pred = self.classes(y_true, self.sparse_y_true), self.classes(y_pred, self.sparse_y_pred)
        labels, predictions = ((math.prod(x.shape) if None not in x.shape else None,) for x in (y_true, y_pred))
        check_shape(labels, predictions)
        xp = namespace(y_true, y_pred)
        given = xp.ones_like(xp.astype(y_true, xp.float32))
        w = weights(given, sample_weight, mask)
        given = xp.reshape(given if w is None else given * w, (-1,))
        y_true, y_pred = xp.reshape(y_true, (-1,)), xp.reshape(y_pred, (-1,))
        counts = (y_true >= 0) & (y_true < n) & (y_pred >= 0) & (y_pred < n)
        if self.ignore_class is not None:
            counts = counts & (y_true != self.ignore_class)
        place = xp.where(counts, y_true * n + y_pred, xp.full_like(y_true, -1))
        return xp.reshape(ops.segment_sum(given, place, n * n), (n, n))

    def finish(self, sums: Array) -> Array:
        xp = namespace(sums)
        both = ops.diag(sums)
        either = xp.sum(sums, axis=0) + xp.sum(sums, axis=1) - both
        if self.target_class_ids is not None:
            ids = xp.asarray(self.target_class_ids, dtype=xp.int32, device=device(sums))
            both, either = xp.take(both, ids), xp.take(either, ids)
        seen = either > 1e-9
        ratios = xp.where(seen, both / (either + EPSILON), xp.zeros_like(both))
        return xp.sum(ratios) / (xp.sum(xp.astype(seen, sums.dtype)) + EPSILON)


@metric(name=None)
class IoU(_ConfusionMatrix):
    """Intersection over union of labels and predictions, averaged over some classes.

    For one class it is the number of samples where label and prediction are this class, divided by the number of those
    where at least one of them is. Labels and predictions are classes, (batch, ...), or scores, (batch, ..., classes).
    Samples with a number out of range do not count, nor do classes without samples.

    Args:
        num_classes: The number of classes.
        target_class_ids: The classes to average over.
        ignore_class: A label, in the range or not. Samples with this label do not count.
        sparse_y_true, sparse_y_pred: Whether labels, and predictions, are classes and not scores.
        axis: The axis of the classes in scores.
    """

    num_classes: int
    target_class_ids: Sequence[int]
    _: dataclasses.KW_ONLY
    ignore_class: int | None = None
    sparse_y_true: bool = True
    sparse_y_pred: bool = True
    axis: int = -1


@metric(name=None)
class BinaryIoU(_ConfusionMatrix):
    """`IoU` of labels of zeros and ones, and of predictions `y_pred >= threshold`.

    Args:
        target_class_ids: The classes to average over: 0, 1 or both.
        threshold: The smallest score that counts as class 1.
    """

    target_class_ids: Sequence[int] = (0, 1)
    threshold: float = 0.5
    num_classes = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("threshold", self.threshold)

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None, mask: Array | None) -> Array:
        return super().measure(y_true, y_pred >= self.threshold, sample_weight, mask)


@metric(name=None)
class MeanIoU(_ConfusionMatrix):
    """`IoU`, averaged over all classes.

    Args:
        num_classes, ignore_class, sparse_y_true, sparse_y_pred, axis: As for `IoU`.
    """

    num_classes: int
    _: dataclasses.KW_ONLY
    ignore_class: int | None = None
    sparse_y_true: bool = True
    sparse_y_pred: bool = True
    axis: int = -1


@metric(name=None)
class OneHotIoU(_ConfusionMatrix):
    """`IoU` of labels that are one-hot codes.

    Args:
        num_classes, target_class_ids, ignore_class, sparse_y_pred, axis: As for `IoU`.
    """

    num_classes: int
    target_class_ids: Sequence[int]
    _: dataclasses.KW_ONLY
    ignore_class: int | None = None
    sparse_y_pred: bool = False
    axis: int = -1
    sparse_y_true = False


@metric(name=None)
class OneHotMeanIoU(_ConfusionMatrix):
    """`IoU` of labels that are one-hot codes, averaged over all classes.

    Args:
        num_classes, ignore_class, sparse_y_pred, axis: As for `IoU`.
    """

    num_classes: int
    _: dataclasses.KW_ONLY
    ignore_class: int | None = None
    sparse_y_pred: bool = False
    axis: int = -1
    sparse_y_true = False
