"""Metrics: pure accumulators, which run inside compiled steps. They have Keras's names.

`acc = metric.init(like=y_pred)` starts, `acc = metric.update(acc, y_true, y_pred)` adds a batch, and
`metric.result(acc)` is the value. `metric.merge(acc, other)` adds up the accumulators of several devices or workers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from .. import losses, registry
from ..errors import ArgumentError
from ..losses import binary_crossentropy as binary_crossentropy
from ..losses import binary_focal_crossentropy as binary_focal_crossentropy
from ..losses import categorical_crossentropy as categorical_crossentropy
from ..losses import categorical_focal_crossentropy as categorical_focal_crossentropy
from ..losses import categorical_hinge as categorical_hinge
from ..losses import hinge as hinge
from ..losses import huber as huber
from ..losses import kl_divergence as kl_divergence
from ..losses import log_cosh as log_cosh
from ..losses import mean_absolute_error as mean_absolute_error
from ..losses import mean_absolute_percentage_error as mean_absolute_percentage_error
from ..losses import mean_squared_error as mean_squared_error
from ..losses import mean_squared_logarithmic_error as mean_squared_logarithmic_error
from ..losses import poisson as poisson
from ..losses import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from ..losses import squared_hinge as squared_hinge
from ..registry import configs as _configs
from ..typing import Shape
from .accuracy import *
from .accuracy import BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy
from .base import MeanMetric as MeanMetric
from .base import Metric as Metric
from .confusion import *
from .correlation import *
from .fscore import *
from .iou import *
from .probabilistic import *
from .reduction import *
from .reduction import MeanMetricWrapper, OfValues
from .regression import *


def resolve(
    metric: Any,
    loss: Any = None,
    output_shape: Shape | None = None,
    label_shape: Shape | None = None,
    argument: str = "metric",
) -> Metric:
    """The metric that `metric` stands for. If it is a name, the metric gets this name, as in Keras.

    Args:
        metric: A metric, its class, a config, a loss, a function `(y_true, y_pred) -> values`, or the name of a metric
            or of a loss. "accuracy", "acc", "crossentropy" and "ce" stand for the metric that fits the shapes.
        loss: The loss of the model, which says whether predictions are logits.
        output_shape, label_shape: Shapes of `y_pred` and `y_true`, with the batch.
        argument: The argument that holds `metric`, for the error.

    Raises:
        ArgumentError: No metric has this name, or the shapes are needed and not given.
    """
    found = _resolve(metric, loss, output_shape, label_shape, argument)
    if label_shape is not None and isinstance(found, OfValues):
        raise ArgumentError(
            f"{type(found).__name__} takes values, but here a metric gets labels and predictions.",
            argument=argument,
            fix="MeanMetricWrapper(fn) is the mean of fn(y_true, y_pred)",
        )
    return found.sized(output_shape[-1]) if output_shape else found


def _resolve(metric, loss, output_shape, label_shape, argument):
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str):
        found = registry.resolve("metric", metric, argument)
        return found if isinstance(found, Metric) else MeanMetricWrapper(losses.get(found))
    if metric in ("accuracy", "acc"):
        if output_shape is None or label_shape is None:
            raise ArgumentError(
                f"The metric {metric!r} stands for an accuracy that depends on the shapes, which are not known.",
                argument=argument,
                fix='give the shapes, or name it: "sparse_categorical_accuracy"',
            )
        kind = losses.label_kind(output_shape, label_shape)
        if kind == "binary":
            # A probability of 0.5 is a logit of 0. (Keras compares logits with 0.5.)
            return BinaryAccuracy(threshold=0.0 if getattr(loss, "from_logits", False) else 0.5, name=metric)
        return (SparseCategoricalAccuracy if kind == "sparse_categorical" else CategoricalAccuracy)(name=metric)
    if metric in registry.names("metric"):
        return dataclasses.replace(registry.resolve("metric", metric, argument), name=metric)
    if metric in {*registry.names("loss"), "crossentropy", "ce"}:
        return MeanMetricWrapper(losses.get(metric, output_shape, label_shape, argument), name=metric)
    return registry.resolve("metric", metric, argument)


get = resolve


serialize, deserialize = _configs("metric")
