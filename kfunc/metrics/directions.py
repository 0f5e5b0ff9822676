"""Which metrics are good when they are large, and which when they are small."""

from __future__ import annotations

from typing import Any

from .. import losses
from .base import Metric
from .reduction import MeanMetricWrapper

__all__ = ["direction"]

_UP = frozenset(
    """Accuracy AUC BinaryAccuracy BinaryIoU CategoricalAccuracy ConcordanceCorrelation CosineSimilarity F1Score
    FBetaScore IoU MeanIoU OneHotIoU OneHotMeanIoU PearsonCorrelation Precision PrecisionAtRecall R2Score Recall
    RecallAtPrecision SensitivityAtSpecificity SparseCategoricalAccuracy SparseTopKCategoricalAccuracy
    SpecificityAtSensitivity TopKCategoricalAccuracy""".split()
)
_DOWN = frozenset(
    """BinaryCrossentropy CategoricalCrossentropy CategoricalHinge Hinge KLDivergence LogCoshError MeanAbsoluteError
    MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson RootMeanSquaredError
    SparseCategoricalCrossentropy SquaredHinge""".split()
)


def direction(metric: Any) -> str | None:
    """Whether a metric is good when it is large ("max") or small ("min"); None if that is not known."""
    metric = getattr(metric, "metric", metric)  # the metric of one output
    if isinstance(metric, MeanMetricWrapper) or not isinstance(metric, Metric):
        of = getattr(metric, "fn", getattr(metric, "loss", None))
        named = isinstance(of, losses.Loss) and getattr(losses, type(of).__name__, None) is type(of)
        return "min" if named else None
    names = {cls.__name__ for cls in type(metric).__mro__}
    return "max" if names & _UP else "min" if names & _DOWN else None
