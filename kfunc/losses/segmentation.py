"""Losses of regions: by how much a predicted region and the true one overlap."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from ..arrays import namespace, native
from ..ops.crossentropy import EPSILON
from ..typing import Array
from .base import Loss, loss, pair

__all__ = ["Dice", "Tversky", "dice", "tversky"]

Axes = int | tuple[int, ...] | None


@native
def dice(y_true: Array, y_pred: Array, axis: Axes = None) -> Array:
    """`1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred))` (Sudre et al., arXiv:1707.03237).

    Args:
        y_true, y_pred: Memberships in [0, 1], of one shape.
        axis: The axis or axes that the sums go over; by default all axes.

    Returns:
        An array without these axes: () by default.
    """
    y_true, y_pred = pair(y_true, y_pred)
    sum = namespace(y_pred).sum
    both = sum(y_true * y_pred, axis=axis)
    return 1 - 2 * both / (sum(y_true, axis=axis) + sum(y_pred, axis=axis) + EPSILON)


@native
def tversky(y_true: Array, y_pred: Array, alpha: float = 0.5, beta: float = 0.5, axis: Axes = None) -> Array:
    """`1 - both / (both + alpha * missed + beta * wrong)` (Salehi et al., arXiv:1706.05721).

    `both` is the size of the region that labels and predictions share; `missed` is only in the labels, and `wrong` only
    in the predictions. With `alpha` and `beta` 1/2 it is `dice`.

    Args:
        y_true, y_pred, axis: As for `dice`.
        alpha: The weight of `missed`, which is `sum(y_true * (1 - y_pred))`.
        beta: The weight of `wrong`, which is `sum(y_pred * (1 - y_true))`.
    """
    y_true, y_pred = pair(y_true, y_pred)
    sum = namespace(y_pred).sum
    both = sum(y_true * y_pred, axis=axis)
    missed, wrong = sum(y_true * (1 - y_pred), axis=axis), sum(y_pred * (1 - y_true), axis=axis)
    return 1 - both / (both + missed * alpha + wrong * beta + EPSILON)


@loss(dice, axis="axes")
class Dice(Loss):
    """`dice` as a loss."""

    _: dataclasses.KW_ONLY
    axis: Axes = None
    _positions: ClassVar[tuple[Any, ...]] = ("reduction", "name", "axis", "dtype")


@loss(tversky, axis="axes")
class Tversky(Loss):
    """`tversky` as a loss."""

    alpha: float = 0.5
    beta: float = 0.5
    _: dataclasses.KW_ONLY
    axis: Axes = None
    _positions: ClassVar[tuple[Any, ...]] = ("reduction", "name", "axis", "dtype")
