"""F-scores: precision and recall in one number."""

from __future__ import annotations

import dataclasses

from .. import checks
from ..arrays import namespace
from ..errors import ShapeError
from ..losses.base import pair, weights
from ..ops.crossentropy import EPSILON
from ..typing import Array
from .base import Metric, metric

__all__ = ["F1Score", "FBetaScore"]


class _FScore(Metric):  # not a dataclass, since subclasses choose which of these attributes are fields
    average: str | None = None
    beta: float = 1.0
    threshold: float | None = None
    num_outputs: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("average", self.average, (None, "micro", "macro", "weighted"))
        checks.number("beta", self.beta, above=0)
        checks.number("threshold", self.threshold, above=0, most=1, none=True)

    def sized(self, outputs: int | None) -> Metric:
        return self if self.num_outputs is not None else dataclasses.replace(self, num_outputs=outputs)  # type: ignore[call-arg]

    def shape(self) -> tuple[int, ...]:
        return (3,) if self.average == "micro" else (3, self.num_outputs or 1)

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None, mask: Array | None) -> Array:
        y_true, y_pred = pair(y_true, y_pred)
        if y_pred.ndim != 2:
            raise ShapeError(
                f"`y_pred` must be (batch, classes), got shape {tuple(y_pred.shape)}.",
                argument="y_pred",
                expected="(batch, classes)",
                got=tuple(y_pred.shape),
            )
        xp = namespace(y_pred)
        if self.threshold is not None:
            chosen = y_pred > self.threshold
        else:
            chosen = (y_pred >= xp.max(y_pred, axis=-1, keepdims=True)) & (xp.abs(y_pred) > 1e-9)
        chosen = xp.astype(chosen, y_pred.dtype)
        w = weights(y_pred, sample_weight, mask)
        axis = None if self.average == "micro" else 0
        parts = [chosen * y_true, chosen * (1 - y_true), (1 - chosen) * y_true]
        return xp.stack([xp.sum(part if w is None else part * w, axis=axis) for part in parts])

    def finish(self, sums: Array) -> Array:
        xp = namespace(sums)
        tp, fp, fn = (sums[i, ...] for i in range(3))
        precision, recall = tp / (tp + fp + EPSILON), tp / (tp + fn + EPSILON)
        square = self.beta**2
        score = precision * recall / (square * precision + recall + EPSILON) * (1 + square)
        if self.average == "weighted":
            return xp.sum(score * ((tp + fn) / (xp.sum(tp + fn) + EPSILON)))
        return score if self.average is None else xp.mean(score)


@metric(name="fbeta_score")
class FBetaScore(_FScore):
    """The harmonic mean of precision and recall, in which recall counts `beta` times as much: of (batch, classes).

    Args:
        average: None for one score for each class, (classes,); "macro" for the mean of these scores; "weighted" for
            their mean weighted by the number of positive samples; "micro" for one score of all classes together.
        beta: A positive number.
        threshold: A number in (0, 1]. Scores above it mean yes. If it is None, only the largest score of each sample
            means yes.
        num_outputs: The number of classes. If it is None, the first update finds it and changes the shape of the
            accumulator; `Model` sets it.
    """

    average: str | None = None
    beta: float = 1.0
    threshold: float | None = None
    num_outputs: int | None = dataclasses.field(default=None, kw_only=True)


@metric()
class F1Score(_FScore):
    """`FBetaScore` with `beta` 1: the harmonic mean of precision and recall, of (batch, classes).

    Args:
        average, threshold, num_outputs: As for `FBetaScore`.
    """

    average: str | None = None
    threshold: float | None = None
    num_outputs: int | None = dataclasses.field(default=None, kw_only=True)
