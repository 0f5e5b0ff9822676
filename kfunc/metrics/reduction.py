"""Sums and means of values, and means of the values that a function returns."""

from __future__ import annotations

import functools
from typing import Any

from .. import losses
from ..arrays import namespace, native
from ..dataclasses import dataclass
from ..errors import ArgumentError
from ..losses.base import real, weights
from ..nn.masks import hidden
from ..registry import register
from ..typing import Array
from .base import MeanMetric, Metric, added, loss_sums, mean_of, mean_sums, metric

__all__ = ["Mean", "MeanMetricWrapper", "Sum"]


class OfValues(Metric):
    """A metric that takes values in place of labels and predictions."""

    @native
    def update(  # type: ignore[override]
        self, acc: dict[str, Any], values: Array, sample_weight: Array = None, mask: Array = None
    ) -> dict[str, Any]:
        """The accumulator after more values, (batch, ...). Weights and mask are as in `Metric.update`."""
        values = hidden(real(values, "values"), mask)
        return added(acc, self.sums(values, weights(values, sample_weight, mask)))

    def sums(self, values: Array, weights: Array) -> Array:
        """The sums of one batch; subclasses define it."""
        raise NotImplementedError


@metric()
class Sum(OfValues):
    """The weighted sum of values: `update(acc, values, sample_weight)`."""

    def sums(self, values: Array, weights: Array) -> Array:
        return namespace(values).sum(values if weights is None else values * weights)


@metric()
class Mean(OfValues):
    """The weighted mean of values: `update(acc, values, sample_weight)`."""

    def shape(self) -> tuple[int, ...]:
        return (2,)

    def sums(self, values: Array, weights: Array) -> Array:
        return mean_sums(values, weights)

    def finish(self, sums: Array) -> Array:
        return mean_of(sums)


@register("metric", "MeanMetricWrapper", "mean_metric_wrapper")
@dataclass
class MeanMetricWrapper(MeanMetric):
    """The weighted mean of a loss, or of the values that a function returns.

    Args:
        fn: A loss, its class or name; or a function `(y_true, y_pred) -> values`, (batch, ...).
        name: The name in logs; by default that of the loss or of the function.
        dtype: The dtype of the sums, "float32" or "float64"; None is "float32".
        kwargs: More arguments of the function.
    """

    fn: Any

    def __init__(self, fn: Any, name: str | None = None, dtype: str | None = None, **kwargs: Any):
        if not isinstance(fn, str | dict | type | losses.Loss) and not callable(fn):
            raise ArgumentError.must_be("fn", "a loss or a function", fn)
        if kwargs and not isinstance(fn, str | dict | type | losses.Loss):
            name = name or getattr(fn, "__name__", None)
            fn = functools.partial(fn, **kwargs)
        elif kwargs:
            raise ArgumentError(
                f"MeanMetricWrapper got arguments for a loss that is already made: {', '.join(kwargs)}.",
                argument=", ".join(kwargs),
                fix="give them to the loss",
            )
        loss = losses.get(fn, argument="fn")
        object.__setattr__(self, "fn", loss)
        object.__setattr__(self, "name", name or loss.name)
        object.__setattr__(self, "dtype", dtype)
        super().__post_init__()

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None, mask: Array | None) -> Array:
        return loss_sums(self.fn, y_true, y_pred, sample_weight, mask)
