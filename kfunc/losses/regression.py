"""Losses of numbers: how far predictions are from the truth.

In all of them `y_true` and `y_pred` are (batch, ..., features), and the values (batch, ...).
"""

from __future__ import annotations

import dataclasses
import math

from .. import ops
from ..arrays import namespace, native
from ..ops.crossentropy import EPSILON
from ..typing import Array
from .base import Loss, elements, loss, pair

__all__ = [
    "CosineSimilarity",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "cosine_similarity",
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
]


@native
def mean_squared_error(y_true: Array, y_pred: Array) -> Array:
    """Mean of `(y_true - y_pred)**2` over the last axis."""
    y_true, y_pred = elements(y_true, y_pred)
    difference = y_pred - y_true
    return namespace(y_pred).mean(difference * difference, axis=-1)


@native
def mean_absolute_error(y_true: Array, y_pred: Array) -> Array:
    """Mean of `|y_true - y_pred|` over the last axis."""
    y_true, y_pred = elements(y_true, y_pred)
    xp = namespace(y_pred)
    return xp.mean(xp.abs(y_pred - y_true), axis=-1)


@native
def mean_absolute_percentage_error(y_true: Array, y_pred: Array) -> Array:
    """Mean of `100 * |y_true - y_pred| / |y_true|` over the last axis. `|y_true|` counts as at least 1e-7."""
    y_true, y_pred = elements(y_true, y_pred)
    xp = namespace(y_pred)
    size = xp.clip(xp.abs(y_true), EPSILON, None)
    return 100 * xp.mean(xp.abs((y_true - y_pred) / size), axis=-1)


@native
def mean_squared_logarithmic_error(y_true: Array, y_pred: Array) -> Array:
    """Mean of `(log(1 + y_true) - log(1 + y_pred))**2` over the last axis. All numbers count as at least 1e-7."""
    y_true, y_pred = elements(y_true, y_pred)
    xp = namespace(y_pred)
    difference = xp.log1p(xp.clip(y_pred, EPSILON, None)) - xp.log1p(xp.clip(y_true, EPSILON, None))
    return xp.mean(difference * difference, axis=-1)


@native
def huber(y_true: Array, y_pred: Array, delta: float = 1.0) -> Array:
    """Mean over the last axis of half the squared error, which grows only linearly above `delta` (Huber, 1964).

    Args:
        y_true, y_pred: Labels and predictions, (batch, ..., features).
        delta: The size of the error from which on the loss is linear.
    """
    y_true, y_pred = elements(y_true, y_pred)
    xp = namespace(y_pred)
    error = xp.abs(y_pred - y_true)
    return xp.mean(xp.where(error <= delta, 0.5 * error * error, delta * error - 0.5 * delta**2), axis=-1)


@native
def log_cosh(y_true: Array, y_pred: Array) -> Array:
    """Mean of `log(cosh(y_pred - y_true))` over the last axis: near 0 like half the square, else like the size."""
    y_true, y_pred = elements(y_true, y_pred)
    error = y_pred - y_true
    return namespace(y_pred).mean(error + ops.softplus(-2 * error) - math.log(2), axis=-1)


@native
def cosine_similarity(y_true: Array, y_pred: Array, axis: int = -1) -> Array:
    """Minus the cosine of the angle between two vectors: -1 if they are equal, 1 if opposite, 0 if one is zero.

    Args:
        y_true, y_pred: Arrays of vectors along `axis`.
        axis: The axis of the vectors.

    Returns:
        An array without `axis`.
    """
    y_true, y_pred = pair(y_true, y_pred)
    return -namespace(y_pred).sum(ops.normalize(y_true, axis) * ops.normalize(y_pred, axis), axis=axis)


@loss(mean_squared_error, "mse", "MSE")
class MeanSquaredError(Loss):
    """`mean_squared_error` as a loss."""


@loss(mean_absolute_error, "mae", "MAE")
class MeanAbsoluteError(Loss):
    """`mean_absolute_error` as a loss."""


@loss(mean_absolute_percentage_error, "mape", "MAPE")
class MeanAbsolutePercentageError(Loss):
    """`mean_absolute_percentage_error` as a loss."""


@loss(mean_squared_logarithmic_error, "msle", "MSLE")
class MeanSquaredLogarithmicError(Loss):
    """`mean_squared_logarithmic_error` as a loss."""


@loss(huber)
class Huber(Loss):
    """`huber` as a loss."""

    delta: float = 1.0
    name: str | None = dataclasses.field(default="huber_loss", kw_only=True)


@loss(log_cosh, "logcosh")
class LogCosh(Loss):
    """`log_cosh` as a loss."""


@loss(cosine_similarity)
class CosineSimilarity(Loss):
    """`cosine_similarity` as a loss."""

    axis: int = -1
