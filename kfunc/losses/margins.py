"""Losses with a margin: a prediction should be on the right side, and not near the border."""

from __future__ import annotations

from ..arrays import namespace, native
from ..typing import Array
from .base import Loss, elements, loss, pair

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge", "categorical_hinge", "hinge", "squared_hinge"]


def _short_of_margin(y_true, y_pred):
    """`max(1 - y_true * y_pred, 0)`. If all labels are 0 or 1, they are turned into -1 and 1."""
    y_true, y_pred = elements(y_true, y_pred)
    xp = namespace(y_pred)
    binary = xp.all((y_true == 0) | (y_true == 1))
    short = 1 - xp.where(binary, 2 * y_true - 1, y_true) * y_pred
    return xp, xp.where(short > 0, short, xp.zeros_like(short))


@native
def hinge(y_true: Array, y_pred: Array) -> Array:
    """Mean of `max(1 - y_true * y_pred, 0)` over the last axis, for labels -1 and 1: (batch, ...).

    If all labels of the batch are 0 or 1, they count as -1 and 1.
    """
    xp, short = _short_of_margin(y_true, y_pred)
    return xp.mean(short, axis=-1)


@native
def squared_hinge(y_true: Array, y_pred: Array) -> Array:
    """Mean of `max(1 - y_true * y_pred, 0)**2` over the last axis: (batch, ...). Labels are as for `hinge`."""
    xp, short = _short_of_margin(y_true, y_pred)
    return xp.mean(short * short, axis=-1)


@native
def categorical_hinge(y_true: Array, y_pred: Array) -> Array:
    """`max(1 + wrong - right, 0)` for the scores of the right class and of the best wrong class: (batch, ...).

    Args:
        y_true: One-hot codes, (batch, ..., classes).
        y_pred: Scores of the classes, (batch, ..., classes).
    """
    y_true, y_pred = pair(y_true, y_pred)
    xp = namespace(y_pred)
    short = xp.max((1 - y_true) * y_pred, axis=-1) - xp.sum(y_true * y_pred, axis=-1) + 1
    return xp.where(short > 0, short, xp.zeros_like(short))


@loss(hinge)
class Hinge(Loss):
    """`hinge` as a loss."""


@loss(squared_hinge)
class SquaredHinge(Loss):
    """`squared_hinge` as a loss."""


@loss(categorical_hinge)
class CategoricalHinge(Loss):
    """`categorical_hinge` as a loss."""
