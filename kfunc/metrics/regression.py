"""How far predictions are from the truth."""

from __future__ import annotations

import dataclasses

from .. import checks, losses, ops
from ..arrays import namespace, native
from ..errors import ShapeError
from ..losses.base import pair, weights
from ..typing import Array
from .base import MeanMetric, Metric, metric

__all__ = [
    "CosineSimilarity",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "R2Score",
    "RootMeanSquaredError",
]


@metric("mse", "MSE", function=losses.mean_squared_error)
class MeanSquaredError(MeanMetric):
    """The mean of squared errors."""


@metric("mae", "MAE", function=losses.mean_absolute_error)
class MeanAbsoluteError(MeanMetric):
    """The mean of absolute errors."""


@metric("mape", "MAPE", function=losses.mean_absolute_percentage_error)
class MeanAbsolutePercentageError(MeanMetric):
    """The mean of absolute errors, in percent of the labels."""


@metric("msle", "MSLE", function=losses.mean_squared_logarithmic_error)
class MeanSquaredLogarithmicError(MeanMetric):
    """The mean of squared differences of `log(1 + y)`."""


@metric(name="logcosh", function=losses.log_cosh)
class LogCoshError(MeanMetric):
    """The mean of `log(cosh(error))`."""


@metric("rmse")
class RootMeanSquaredError(MeanMetric):
    """The root of the mean of squared errors. Each error may have its own weight."""

    def call(self, y_true: Array, y_pred: Array) -> Array:
        y_true, y_pred = pair(y_true, y_pred)
        return (y_pred - y_true) ** 2

    def finish(self, sums: Array) -> Array:
        mean = super().finish(sums)
        return namespace(mean).sqrt(mean)


@native
def _cosine(y_true: Array, y_pred: Array, axis: int = -1) -> Array:
    y_true, y_pred = pair(y_true, y_pred)
    return namespace(y_pred).sum(ops.normalize(y_true, axis) * ops.normalize(y_pred, axis), axis=axis)


@metric(function=_cosine)
class CosineSimilarity(MeanMetric):
    """The mean cosine of the angle between labels and predictions. The loss of this name has the other sign.

    Args:
        axis: The axis of the vectors.
    """

    _: dataclasses.KW_ONLY
    axis: int = -1


@metric()
class R2Score(Metric):
    """The coefficient of determination: the share of the variance of the labels that is predicted, (batch, outputs).

    An output with constant labels has the score 0.

    Args:
        class_aggregation: "uniform_average" for the mean over the outputs; "variance_weighted_average" for their mean
            weighted by the variances; None for one score for each output, (outputs,).
        num_regressors: For the adjusted score, the number of inputs of the model; 0 for the plain score. As long as
            there are not more samples than inputs, the result is the plain score.
        num_outputs: The number of outputs. If it is None, the first update finds it and changes the shape of the
            accumulator; `Model` sets it.
    """

    class_aggregation: str | None = "uniform_average"
    num_regressors: int = 0
    num_outputs: int | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = (None, "uniform_average", "variance_weighted_average")
        checks.one_of("class_aggregation", self.class_aggregation, allowed)
        checks.natural("num_regressors", self.num_regressors)

    def sized(self, outputs: int | None) -> Metric:
        return self if self.num_outputs is not None else dataclasses.replace(self, num_outputs=outputs)

    def shape(self) -> tuple[int, ...]:
        return (5, self.num_outputs or 1)

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None, mask: Array | None) -> Array:
        y_true, y_pred = pair(y_true, y_pred)
        if y_pred.ndim != 2:
            raise ShapeError(
                f"`y_pred` must be (batch, outputs), got shape {tuple(y_pred.shape)}.",
                argument="y_pred",
                expected="(batch, outputs)",
                got=tuple(y_pred.shape),
            )
        xp = namespace(y_pred)
        ones = xp.ones_like(y_pred)
        seen = ones if mask is None else ones * weights(ones, None, mask)
        w = seen if sample_weight is None else seen * weights(ones, sample_weight)
        parts = [w, w * y_true, w * y_true * y_true, w * (y_true - y_pred) ** 2, seen]
        return xp.stack([xp.sum(part, axis=0) for part in parts])

    def finish(self, sums: Array) -> Array:
        xp = namespace(sums)
        weight, total, squares, residual = (sums[i, :] for i in range(4))
        spread = squares - total * ops.divide_no_nan(total, weight)
        score = xp.where(spread == 0, xp.zeros_like(spread), 1 - ops.divide_no_nan(residual, spread))
        if self.class_aggregation == "uniform_average":
            score = xp.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = ops.divide_no_nan(xp.sum(spread * score), xp.sum(spread))
        if self.num_regressors:
            # As in Keras, each output of a sample counts as one.
            n = xp.sum(sums[4, :])
            rest = n - self.num_regressors - 1
            enough = rest > 0
            adjusted = 1 - (1 - score) * (n - 1) / xp.where(enough, rest, xp.ones_like(rest))
            score = xp.where(enough, adjusted, score)
        return score
