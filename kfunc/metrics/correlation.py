"""Correlations of the numbers of each sample."""

from __future__ import annotations

import dataclasses

from .. import ops
from ..arrays import namespace, native
from ..losses.base import pair
from ..ops.crossentropy import EPSILON
from ..typing import Array
from .base import MeanMetric, metric

__all__ = ["ConcordanceCorrelation", "PearsonCorrelation", "concordance_correlation", "pearson_correlation"]


def _moments(y_true, y_pred, axis):
    """The means, variances and covariance along `axis`."""
    y_true, y_pred = pair(y_true, y_pred)
    xp = namespace(y_pred)
    means = [xp.mean(x, axis=axis, keepdims=True) for x in (y_true, y_pred)]
    a, b = y_true - means[0], y_pred - means[1]
    return (*(xp.squeeze(m, axis=axis) for m in means), *(xp.mean(x, axis=axis) for x in (a * a, b * b, a * b)))


@native
def pearson_correlation(y_true: Array, y_pred: Array, axis: int = -1) -> Array:
    """The covariance divided by both standard deviations (Pearson, Proc. R. Soc. London 58, 1895).

    It is 0 if labels or predictions are constant.

    Args:
        y_true, y_pred: Labels and predictions, (batch, ..., numbers).
        axis: The axis of the numbers that are correlated.

    Returns:
        An array without `axis`.
    """
    *_, a, b, ab = _moments(y_true, y_pred, axis)
    xp = namespace(ab)
    return ops.divide_no_nan(ab, xp.sqrt(a) * xp.sqrt(b))


@native
def concordance_correlation(y_true: Array, y_pred: Array, axis: int = -1) -> Array:
    """How near the pairs (label, prediction) are to the line where both are equal (Lin, Biometrics 45, 1989).

    Args:
        y_true, y_pred: Labels and predictions, (batch, ..., numbers).
        axis: The axis of the numbers that are compared.

    Returns:
        An array without `axis`.
    """
    mean_true, mean_pred, a, b, ab = _moments(y_true, y_pred, axis)
    return 2 * ab / (a + b + (mean_true - mean_pred) ** 2 + EPSILON)


@metric(function=pearson_correlation)
class PearsonCorrelation(MeanMetric):
    """The mean of `pearson_correlation`."""

    _: dataclasses.KW_ONLY
    axis: int = -1


@metric(function=concordance_correlation)
class ConcordanceCorrelation(MeanMetric):
    """The mean of `concordance_correlation`."""

    _: dataclasses.KW_ONLY
    axis: int = -1
