"""Metrics: pure accumulators that run inside compiled steps; Keras's names.

`acc = metric.init(like=y_pred)`, then `acc = metric.update(acc, y_true, y_pred)` for each batch; `metric.result(acc)`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from . import losses, registry
from .arrays import backend_of, device, namespace, native
from .backends import Backend
from .backends import get as get_backend
from .errors import ArgumentError
from .registry import register
from .tree import leaves

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Mean",
    "MeanAbsoluteError",
    "MeanOf",
    "MeanSquaredError",
    "Metric",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "resolve",
]


@dataclasses.dataclass(frozen=True)
class Metric:
    """The weighted mean, over all samples seen, of what `call` returns. Subclasses are frozen dataclasses.

    The accumulator has the running sums of values and of weights, and what float32 lost of them (Kahan, 1965), so that
    neither counts beyond 2**24 nor long epochs lose precision.

    Args:
        name: The class's name in snake case by default.
    """

    name: str | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self):
        if self.name is None:
            object.__setattr__(self, "name", losses.snake_case(type(self).__name__))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values, (batch, ...), from arrays of the namespace."""
        raise NotImplementedError

    def measure(self, y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any]:
        """The values, and their weights, which broadcast against them, or None."""
        return losses.weighted(losses.real(self.call(y_true, y_pred)), None, sample_weight)

    def finish(self, mean: Any) -> Any:
        """The result, from the mean."""
        return mean

    def init(self, like: Any = None) -> dict[str, Any]:
        """The accumulator of no samples.

        Args:
            like: An array, or a tree of arrays, whose backend and device to use; or a backend or its name.

        Returns:
            `{"sums": float32 (2,), "lost": float32 (2,)}`.
        """
        if isinstance(like, str | Backend):
            backend, where = get_backend(like), None
        else:
            backend, first = backend_of(like), leaves(like)[:1]
            where = device(first[0]) if first else None
        zeros = backend.xp.zeros(2, dtype=backend.xp.float32, device=where)
        return {"sums": backend.lower(zeros), "lost": backend.lower(backend.xp.zeros_like(zeros))}

    @native
    def update(self, acc: dict[str, Any], y_true: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The accumulator with a batch more.

        Args:
            acc: An accumulator.
            y_true, y_pred: Labels and predictions, (batch, ...).
            sample_weight: (batch,), or (batch, ...) with up to as many axes as the values have.
        """
        values, weights = self.measure(y_true, y_pred, sample_weight)
        xp = namespace(values)
        values = xp.astype(values, xp.float32)
        if weights is not None:
            weights = xp.zeros_like(values) + xp.astype(weights, xp.float32)
            values = values * weights
        total = xp.sum(_each_sample(xp, values))
        if weights is not None:
            count = xp.sum(_each_sample(xp, weights))
        elif values.ndim == 0 or values.shape[0] is not None:
            count = xp.full_like(total, float(values.shape[0] if values.ndim else 1))
        else:
            count = xp.sum(_each_sample(xp, xp.ones_like(values)))
        y = xp.stack([total, count]) - acc["lost"]
        sums = acc["sums"] + y
        return {"sums": sums, "lost": (sums - acc["sums"]) - y}

    @native
    def result(self, acc: dict[str, Any]) -> Any:
        """The metric's value, a float32 scalar array; 0 if there were no samples."""
        sums = acc["sums"] - acc["lost"]
        xp = namespace(sums)
        total, count = sums[0], sums[1]
        return self.finish(total / xp.where(count == 0, xp.ones_like(count), count))


def _each_sample(xp, values):
    return xp.mean(values, axis=tuple(range(1, values.ndim))) if values.ndim > 1 else values


@register("metric", "Mean", "mean")
@dataclasses.dataclass(frozen=True)
class Mean(Metric):
    """The mean of the predictions; `y_true` is not looked at, and may be None."""

    def call(self, y_true, y_pred):
        return y_pred


@register("metric", "MeanOf")
@dataclasses.dataclass(frozen=True)
class MeanOf(Metric):
    """The mean of a loss, given as `losses.get` takes it, over all samples."""

    loss: Any

    def __post_init__(self):
        object.__setattr__(self, "loss", losses.get(self.loss))
        if self.name is None:
            object.__setattr__(self, "name", self.loss.name)

    def measure(self, y_true, y_pred, sample_weight):
        values, mask = self.loss.call(y_true, y_pred), self.loss.mask(y_true, y_pred)
        return losses.weighted(values, mask, sample_weight)


@register("metric", "MeanSquaredError", "mean_squared_error", "mse", "MSE")
@dataclasses.dataclass(frozen=True)
class MeanSquaredError(Metric):
    """The mean of squared errors."""

    def call(self, y_true, y_pred):
        return losses.mean_squared_error(y_true, y_pred)


@register("metric", "RootMeanSquaredError", "root_mean_squared_error", "rmse")
@dataclasses.dataclass(frozen=True)
class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of squared errors."""

    def finish(self, mean):
        return namespace(mean).sqrt(mean)


@register("metric", "MeanAbsoluteError", "mean_absolute_error", "mae", "MAE")
@dataclasses.dataclass(frozen=True)
class MeanAbsoluteError(Metric):
    """The mean of absolute errors."""

    def call(self, y_true, y_pred):
        return losses.mean_absolute_error(y_true, y_pred)


@register("metric", "Accuracy")
@dataclasses.dataclass(frozen=True)
class Accuracy(Metric):
    """How often `y_pred` equals `y_true`, element by element."""

    def call(self, y_true, y_pred):
        y_true, y_pred = losses.same_rank(y_true, y_pred)
        return namespace(y_true).astype(y_true, y_pred.dtype) == y_pred


@register("metric", "BinaryAccuracy", "binary_accuracy")
@dataclasses.dataclass(frozen=True)
class BinaryAccuracy(Metric):
    """How often `y_pred > threshold` says what `y_true`, of zeros and ones, says."""

    threshold: float = 0.5

    def call(self, y_true, y_pred):
        y_true, y_pred = losses.same_rank(y_true, y_pred)
        return namespace(y_pred).astype(y_pred > self.threshold, y_true.dtype) == y_true


@register("metric", "CategoricalAccuracy", "categorical_accuracy")
@dataclasses.dataclass(frozen=True)
class CategoricalAccuracy(Metric):
    """How often the largest of `y_pred` is where the largest of `y_true` is, both (batch, ..., classes)."""

    def call(self, y_true, y_pred):
        xp = namespace(y_true, y_pred)
        return xp.argmax(y_true, axis=-1) == xp.argmax(y_pred, axis=-1)


@register("metric", "SparseCategoricalAccuracy", "sparse_categorical_accuracy")
@dataclasses.dataclass(frozen=True)
class SparseCategoricalAccuracy(Metric):
    """How often the largest of `y_pred`, (batch, ..., classes), is at `y_true`, (batch, ...) or (batch, ..., 1)."""

    def call(self, y_true, y_pred):
        xp = namespace(y_true, y_pred)
        found = xp.argmax(y_pred, axis=-1)
        return found == xp.astype(losses.class_labels(xp, y_true, y_pred), found.dtype)


@register("metric", "SparseTopKCategoricalAccuracy", "sparse_top_k_categorical_accuracy")
@dataclasses.dataclass(frozen=True)
class SparseTopKCategoricalAccuracy(Metric):
    """How often fewer than `k` of `y_pred` are larger than that at `y_true`; shapes as in SparseCategoricalAccuracy."""

    k: int = 5

    def call(self, y_true, y_pred):
        xp = namespace(y_true, y_pred)
        return _in_top_k(xp, losses.class_labels(xp, y_true, y_pred), y_pred, self.k)


@register("metric", "TopKCategoricalAccuracy", "top_k_categorical_accuracy")
@dataclasses.dataclass(frozen=True)
class TopKCategoricalAccuracy(Metric):
    """How often fewer than `k` of `y_pred` are larger than the one where `y_true` is largest, (batch, ..., classes)."""

    k: int = 5

    def call(self, y_true, y_pred):
        xp = namespace(y_true, y_pred)
        return _in_top_k(xp, xp.argmax(y_true, axis=-1), y_pred, self.k)


def _in_top_k(xp, labels, y_pred, k):
    valid = (labels >= 0) & (labels < y_pred.shape[-1])
    index = xp.expand_dims(xp.where(valid, labels, xp.zeros_like(labels)), axis=-1)
    own = xp.take_along_axis(y_pred, index, axis=-1)
    above = xp.sum(xp.astype(y_pred > own, xp.int32), axis=-1)
    return (above < k) & valid & xp.isfinite(xp.squeeze(own, axis=-1))


def resolve(
    metric: Any, loss: Any = None, output_shape: tuple | None = None, label_shape: tuple | None = None
) -> Metric:
    """The metric that `metric` stands for; a name becomes the metric's name, as in Keras.

    Args:
        metric: A metric, its class, a config, a loss, a function `(y_true, y_pred) -> values`, or a name: that of a
            metric or of a loss; or "accuracy", "acc", "crossentropy" or "ce", which are what fits the shapes.
        loss: The loss, which says whether predictions are logits.
        output_shape, label_shape: Shapes of `y_pred` and `y_true`, the batch included.

    Raises:
        ArgumentError: There is no such metric, or the shapes are needed and not given.
    """
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str):
        found = registry.resolve("metric", metric)
        return found if isinstance(found, Metric) else MeanOf(found)
    if metric in ("accuracy", "acc"):
        if output_shape is None or label_shape is None:
            raise ArgumentError(
                f"Which accuracy {metric!r} is depends on the shapes.",
                argument="metric",
                fix='give the shapes, or name it: "sparse_categorical_accuracy"',
            )
        kind = losses.label_kind(output_shape, label_shape)
        if kind == "binary":
            # Keras compares logits with 0.5, too; a logit's own threshold is 0.
            return BinaryAccuracy(0.0 if getattr(loss, "from_logits", False) else 0.5, name=metric)
        return (SparseCategoricalAccuracy if kind == "sparse_categorical" else CategoricalAccuracy)(name=metric)
    if metric in registry.names("metric"):
        return dataclasses.replace(registry.resolve("metric", metric), name=metric)
    known = {*registry.names("loss"), "crossentropy", "ce"}
    if metric in known:
        return MeanOf(losses.get(metric, output_shape, label_shape), name=metric)
    return registry.resolve("metric", metric)
