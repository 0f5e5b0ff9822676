"""Losses of margins: a prediction should be on the right side, and not near the border."""

from __future__ import annotations

from ..arrays import namespace, native
from ..typing import Array
from .base import Loss, elements, loss, pair

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge", "categorical_hinge", "hinge", "squared_hinge"]


def _short_of_margin(y_true, y_pred):
    """`max(1 - y_true * y_pred, 0)`, with labels -1 and 1 in place of 0 and 1, if there are no others."""
    y_true, y_pred = elements(y_true, y_pred)
    xp = namespace(y_pred)
    binary = xp.all((y_true == 0) | (y_true == 1))
    short = 1 - xp.where(binary, 2 * y_true - 1, y_true) * y_pred
    return xp, xp.where(short > 0, short, xp.zeros_like(short))


@native
def hinge(y_true: Array, y_pred: Array) -> Array:
    """Mean of `max(1 - y_true * y_pred, 0)` over the last axis, for labels -1 and 1: (batch, ...).

    Labels 0 and 1 count as -1 and 1, if the batch has no others.
    """
    xp, short = _short_of_margin(y_true, y_pred)
    return xp.mean(short, axis=-1)


@native
def squared_hinge(y_true: Array, y_pred: Array) -> Array:
    """Mean of `max(1 - y_true * y_pred, 0)**2` over the last axis; labels as for `hinge`."""
    xp, short = _short_of_margin(y_true, y_pred)
    return xp.mean(short * short, axis=-1)


@native
def categorical_hinge(y_true: Array, y_pred: Array) -> Array:
    """`max(1 + wrong - right, 0)` of the scores of the right class and the best wrong one: (batch, ...).

    Args:
        y_true: One-hot codes, (batch, ..., classes).
        y_pred: Scores of the classes.
    """
    y_true, y_pred = pair(y_true, y_pred)
    xp = namespace(y_pred)
    short = xp.max((1 - y_true) * y_pred, axis=-1) - xp.sum(y_true * y_pred, axis=-1) + 1
    return xp.where(short > 0, short, xp.zeros_like(short))


@loss(hinge)
class Hinge(Loss):
    """See `hinge`."""


@loss(squared_hinge)
class SquaredHinge(Loss):
    """See `squared_hinge`."""


@loss(categorical_hinge)
class CategoricalHinge(Loss):
    """See `categorical_hinge`."""
