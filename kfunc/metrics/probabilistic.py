"""Means of losses of probabilities and of margins."""

from __future__ import annotations

import dataclasses

from .. import losses
from ..typing import Array
from .base import MeanMetric, loss_sums, metric

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "Hinge",
    "KLDivergence",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
]


@metric("kld", "KLD", function=losses.kl_divergence)
class KLDivergence(MeanMetric):
    """The mean of `losses.kl_divergence`."""


@metric(function=losses.poisson)
class Poisson(MeanMetric):
    """The mean of `losses.poisson`."""


@metric("bce", "BCE", function=losses.binary_crossentropy)
class BinaryCrossentropy(MeanMetric):
    """The mean of `losses.binary_crossentropy`."""

    _: dataclasses.KW_ONLY
    from_logits: bool = False
    label_smoothing: float = 0


@metric(function=losses.categorical_crossentropy)
class CategoricalCrossentropy(BinaryCrossentropy):
    """The mean of `losses.categorical_crossentropy`."""

    _: dataclasses.KW_ONLY
    axis: int = -1


@metric()
class SparseCategoricalCrossentropy(MeanMetric):
    """The mean of `losses.sparse_categorical_crossentropy` over the samples whose class is not ignored.

    Args:
        from_logits, ignore_class, axis: As for `losses.sparse_categorical_crossentropy`.
    """

    _: dataclasses.KW_ONLY
    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1
    _loss: losses.Loss = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        loss = losses.SparseCategoricalCrossentropy(self.from_logits, self.ignore_class, axis=self.axis)
        object.__setattr__(self, "_loss", loss)

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None, mask: Array | None) -> Array:
        return loss_sums(self._loss, y_true, y_pred, sample_weight, mask)


@metric(function=losses.hinge)
class Hinge(MeanMetric):
    """The mean of `losses.hinge`."""


@metric(function=losses.squared_hinge)
class SquaredHinge(MeanMetric):
    """The mean of `losses.squared_hinge`."""


@metric(function=losses.categorical_hinge)
class CategoricalHinge(MeanMetric):
    """The mean of `losses.categorical_hinge`."""
