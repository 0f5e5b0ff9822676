"""Means of what losses measure: of probabilities, and of margins."""

from __future__ import annotations

from .. import losses
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


@metric("kld", "KLD")
class KLDivergence(MeanMetric):
    """The mean of `losses.kl_divergence`."""

    function = staticmethod(losses.kl_divergence)


@metric()
class Poisson(MeanMetric):
    """The mean of `losses.poisson`."""

    function = staticmethod(losses.poisson)


@metric("bce", "BCE")
class BinaryCrossentropy(MeanMetric):
    """The mean of `losses.binary_crossentropy`."""

    from_logits: bool = False
    label_smoothing: float = 0
    function = staticmethod(losses.binary_crossentropy)


@metric()
class CategoricalCrossentropy(BinaryCrossentropy):
    """The mean of `losses.categorical_crossentropy`."""

    axis: int = -1
    function = staticmethod(losses.categorical_crossentropy)


@metric()
class SparseCategoricalCrossentropy(MeanMetric):
    """The mean of `losses.sparse_categorical_crossentropy`, over the samples whose class is not ignored."""

    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "_loss", losses.SparseCategoricalCrossentropy(**self._options))

    def measure(self, y_true, y_pred, sample_weight, mask):
        return loss_sums(self._loss, y_true, y_pred, sample_weight, mask)


@metric()
class Hinge(MeanMetric):
    """The mean of `losses.hinge`."""

    function = staticmethod(losses.hinge)


@metric()
class SquaredHinge(MeanMetric):
    """The mean of `losses.squared_hinge`."""

    function = staticmethod(losses.squared_hinge)


@metric()
class CategoricalHinge(MeanMetric):
    """The mean of `losses.categorical_hinge`."""

    function = staticmethod(losses.categorical_hinge)
