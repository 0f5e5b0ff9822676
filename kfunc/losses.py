"""Losses: functions that return a value for each sample, and frozen dataclasses that reduce them; Keras's names.

In all of them `y_true` and `y_pred` are arrays (batch, ..., features) of one shape unless it says otherwise; where one
of them lacks a last axis of size 1, it is added or taken away. `y_true` is cast to the dtype of `y_pred`, and half
precision is computed in float32.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, ClassVar

from . import ops
from .arrays import namespace, native
from .errors import ArgumentError, LabelError, ShapeError
from .ops.crossentropy import EPSILON
from .registry import register, resolve

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "FunctionLoss",
    "Huber",
    "KLDivergence",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "get",
    "huber",
    "kl_divergence",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
]

# -- shapes and dtypes ------------------------------------------------------------------------------------------------


def same_rank(a: Any, b: Any) -> tuple[Any, Any]:
    """`a` and `b` without a last axis of size 1 that only one has; or with one, where the other is of rank 1."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        b, a = same_rank(b, a)
    elif b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        a, b = (namespace(a).expand_dims(a, axis=-1), b) if a.ndim == 1 else (a, namespace(b).squeeze(b, axis=-1))
    return a, b


def real(x: Any) -> Any:
    """`x` in float32 if it is of half precision, an integer or a boolean; as it is otherwise."""
    xp = namespace(x)
    wide = (xp.float32, getattr(xp, "float64", None))
    return x if x.dtype in wide else xp.astype(x, xp.float32)


def _pair(y_true, y_pred):
    """Both in one dtype and one shape."""
    y_pred = real(y_pred)
    y_true = y_true if y_true.dtype == y_pred.dtype else namespace(y_true).astype(y_true, y_pred.dtype)
    y_true, y_pred = same_rank(y_true, y_pred)
    _same_shape(y_true.shape, y_pred.shape, "the shape of y_pred")
    return y_true, y_pred


def _elements(y_true, y_pred):
    """Both in one dtype and one shape; (batch,) is a batch of single elements."""
    y_true, y_pred = _pair(y_true, y_pred)
    if y_pred.ndim == 1:
        xp = namespace(y_pred)
        y_true, y_pred = xp.expand_dims(y_true, axis=-1), xp.expand_dims(y_pred, axis=-1)
    return y_true, y_pred


def _same_shape(got, wanted, what):
    # A size may be unknown while a function is being compiled.
    if len(got) != len(wanted) or any(
        m != n for m, n in zip(got, wanted, strict=True) if m is not None and n is not None
    ):
        raise ShapeError(
            "The labels do not fit the predictions.", argument="y_true", expected=f"{tuple(wanted)}, {what}", got=got
        )


def snake_case(name: str) -> str:
    """`KLDivergence` as `kl_divergence`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


# -- values for each sample --------------------------------------------------------------------------------------------


@native
def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """Mean of `(y_true - y_pred)**2` over the last axis: (batch, ...)."""
    y_true, y_pred = _elements(y_true, y_pred)
    difference = y_pred - y_true
    return namespace(y_pred).mean(difference * difference, axis=-1)


@native
def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """Mean of `|y_true - y_pred|` over the last axis: (batch, ...)."""
    y_true, y_pred = _elements(y_true, y_pred)
    xp = namespace(y_pred)
    return xp.mean(xp.abs(y_pred - y_true), axis=-1)


@native
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Mean over the last axis of half the square of the error up to `delta`, linear beyond (Huber, 1964)."""
    y_true, y_pred = _elements(y_true, y_pred)
    xp = namespace(y_pred)
    error = xp.abs(y_pred - y_true)
    return xp.mean(xp.where(error <= delta, 0.5 * error * error, delta * error - 0.5 * delta**2), axis=-1)


@native
def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """Sum of `y_true * log(y_true / y_pred)` over the last axis, both probabilities: (batch, ...)."""
    y_true, y_pred = _pair(y_true, y_pred)
    xp = namespace(y_pred)
    y_true, y_pred = xp.clip(y_true, EPSILON, 1.0), xp.clip(y_pred, EPSILON, 1.0)
    return xp.sum(y_true * xp.log(y_true / y_pred), axis=-1)


@native
def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """Mean cross-entropy of yes-or-no labels over `axis`.

    Args:
        y_true: Labels in [0, 1].
        y_pred: Probabilities of 1, or logits.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: How far the labels move towards 1/2.
        axis: The axis of the mean.
    """
    y_true, y_pred = _elements(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1 - label_smoothing) + 0.5 * label_smoothing
    return namespace(y_pred).mean(ops.binary_crossentropy(y_true, y_pred, from_logits), axis=axis)


@native
def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """Cross-entropy of a distribution over classes.

    Args:
        y_true: Probabilities of the classes, such as one-hot codes.
        y_pred: Probabilities (scaled to the sum 1), or logits.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: How far the labels move towards the uniform distribution.
        axis: The axis of the classes.

    Returns:
        An array without `axis`.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1 - label_smoothing) + label_smoothing / y_true.shape[axis]
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


@native
def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """Cross-entropy of class numbers.

    Args:
        y_true: Classes in [0, classes), of the shape of `y_pred` without `axis`, or with size 1 there.
        y_pred: (batch, ..., classes): probabilities (scaled to the sum 1), or logits.
        from_logits: Whether `y_pred` holds logits.
        ignore_class: A label, in the range or not, whose samples have the value 0 and do not count.
        axis: The axis of the classes.

    Returns:
        An array without `axis`; NaN where a label is out of range.
    """
    y_pred = real(y_pred)
    xp = namespace(y_pred)
    labels = class_labels(xp, y_true, y_pred, axis)
    ignored = None
    if ignore_class is not None:
        ignored = labels == ignore_class
        # Selected, not multiplied, before as well as after: an ignored sample may hold anything, infinities included.
        y_pred = xp.where(xp.expand_dims(ignored, axis=axis), xp.ones_like(y_pred), y_pred)
    values = ops.sparse_categorical_crossentropy(labels, y_pred, from_logits, axis)
    return values if ignored is None else xp.where(ignored, xp.zeros_like(values), values)


def class_labels(xp: Any, y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Labels in a signed integer type, of the shape of `y_pred` without `axis`.

    Raises:
        ShapeError: They have another shape.
    """
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = xp.squeeze(y_true, axis=axis)
    wanted = list(y_pred.shape)
    del wanted[axis]
    _same_shape(y_true.shape, wanted, "the shape of y_pred without its axis of classes")
    return y_true if xp.isdtype(y_true.dtype, "signed integer") else xp.astype(y_true, xp.int32)


# -- losses ------------------------------------------------------------------------------------------------------------

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


@dataclasses.dataclass(frozen=True)
class Loss:
    """A number that says how wrong predictions are. Subclasses are frozen dataclasses that define `call`.

    Args:
        reduction: What becomes of the values of the samples: "sum_over_batch_size" or "mean" (the sum of the weighted
            values, divided by their number), "sum", "mean_with_sample_weight" (the sum, divided by that of the
            weights), or "none".
        name: The class's name in snake case by default.
    """

    reduction: str | None = dataclasses.field(default="sum_over_batch_size", kw_only=True)
    name: str | None = dataclasses.field(default=None, kw_only=True)

    function: ClassVar[Callable | None] = None
    """What `call` runs, with the fields of the subclass as keyword arguments."""

    def __post_init__(self):
        if self.reduction not in _REDUCTIONS:
            raise ArgumentError(
                "There is no such reduction.", argument="reduction", expected=_REDUCTIONS, got=repr(self.reduction)
            )
        if self.name is None:
            object.__setattr__(self, "name", snake_case(type(self).__name__))
        base = {f.name for f in dataclasses.fields(Loss)}
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in base}
        object.__setattr__(self, "_options", options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The values of the samples, (batch, ...), from arrays of the namespace."""
        return type(self).function(y_true, y_pred, **self._options)  # type: ignore[misc, attr-defined]

    def mask(self, y_true: Any, y_pred: Any) -> Any:
        """Which values count, a boolean array like them; None if all do."""
        return None

    def check_labels(self, y_true: Any, classes: int) -> None:
        """Raise LabelError if a NumPy array of labels holds what the loss cannot take."""

    @native
    def values(self, y_true: Any, y_pred: Any) -> Any:
        """The values of the samples, before weights and reduction: (batch, ...)."""
        return self.call(y_true, y_pred)

    @native
    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss, a scalar array (unless the reduction is "none").

        Args:
            y_true, y_pred: Labels and predictions, as the loss's function takes them.
            sample_weight: (batch,), or (batch, ...) with up to as many axes as the values have.
        """
        mask = self.mask(y_true, y_pred)
        values, weights = weighted(self.call(y_true, y_pred), mask, sample_weight)
        xp = namespace(values)
        if weights is not None:
            values = values * weights
        if self.reduction in ("none", None):
            return values
        total = xp.sum(values)
        if self.reduction == "sum":
            return total
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            count = xp.sum(xp.zeros_like(values) + weights)
        elif mask is None:
            return xp.mean(values)
        else:
            count = xp.sum(xp.astype(mask, values.dtype))
        return total / xp.where(count == 0, xp.ones_like(count), count)


def weighted(values: Any, mask: Any, sample_weight: Any) -> tuple[Any, Any]:
    """The values, and the mask times the weights, with an axis for each of the values'; or None."""
    weights = None if mask is None else namespace(mask).astype(mask, values.dtype)
    if sample_weight is not None:
        xp = namespace(values, sample_weight)
        sample_weight = xp.astype(sample_weight, values.dtype)
        if sample_weight.ndim == values.ndim + 1 and sample_weight.shape[-1] == 1:
            sample_weight = xp.squeeze(sample_weight, axis=-1)
        if sample_weight.ndim > values.ndim:
            raise ShapeError(
                "There are more weights than values.",
                argument="sample_weight",
                expected=f"at most {values.ndim} axes, as the values {tuple(values.shape)} have",
                got=tuple(sample_weight.shape),
            )
        for _ in range(values.ndim - sample_weight.ndim):
            sample_weight = xp.expand_dims(sample_weight, axis=-1)
        weights = sample_weight if weights is None else weights * sample_weight
    return values, weights


@register("loss", "MeanSquaredError", "mean_squared_error", "mse", "MSE")
@dataclasses.dataclass(frozen=True)
class MeanSquaredError(Loss):
    """See `mean_squared_error`."""

    function = staticmethod(mean_squared_error)


@register("loss", "MeanAbsoluteError", "mean_absolute_error", "mae", "MAE")
@dataclasses.dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """See `mean_absolute_error`."""

    function = staticmethod(mean_absolute_error)


@register("loss", "Huber", "huber")
@dataclasses.dataclass(frozen=True)
class Huber(Loss):
    """See `huber`."""

    delta: float = 1.0
    function = staticmethod(huber)


@register("loss", "KLDivergence", "kl_divergence", "kld", "KLD")
@dataclasses.dataclass(frozen=True)
class KLDivergence(Loss):
    """See `kl_divergence`."""

    function = staticmethod(kl_divergence)


@register("loss", "BinaryCrossentropy", "binary_crossentropy", "bce", "BCE")
@dataclasses.dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """See `binary_crossentropy`."""

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    function = staticmethod(binary_crossentropy)


@register("loss", "CategoricalCrossentropy", "categorical_crossentropy")
@dataclasses.dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """See `categorical_crossentropy`."""

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    function = staticmethod(categorical_crossentropy)


@register("loss", "SparseCategoricalCrossentropy", "sparse_categorical_crossentropy")
@dataclasses.dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """See `sparse_categorical_crossentropy`."""

    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1
    function = staticmethod(sparse_categorical_crossentropy)

    def mask(self, y_true, y_pred):
        if self.ignore_class is None:
            return None
        return class_labels(namespace(y_pred), y_true, y_pred, self.axis) != self.ignore_class

    def check_labels(self, y_true, classes):
        """Check that all labels are classes.

        Args:
            y_true: NumPy array of labels.
            classes: How many classes there are.

        Raises:
            LabelError: One is not an integer in [0, classes), nor the class to ignore.
        """
        import numpy as np

        labels = np.asarray(y_true)
        wrong = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))
        if self.ignore_class is not None:
            wrong &= labels != self.ignore_class
        if wrong.any():
            position = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise LabelError(
                f"{int(wrong.sum())} of {labels.size} labels are no classes.",
                argument="y",
                expected=f"integers in [0, {classes})",
                got=f"{labels[position]} at position {position[0] if len(position) == 1 else position}",
                fix=f"number the classes from 0, or give the last layer more than {classes} units",
            )


@register("loss", "FunctionLoss")
@dataclasses.dataclass(frozen=True)
class FunctionLoss(Loss):
    """A loss made of a function `fn(y_true, y_pred)` that returns the values of the samples."""

    fn: Callable

    def __post_init__(self):
        if self.name is None:
            object.__setattr__(self, "name", getattr(self.fn, "__name__", type(self.fn).__name__))
        super().__post_init__()

    def call(self, y_true, y_pred):
        return self.fn(y_true, y_pred)


_OF_FUNCTION = {cls.__dict__["function"].__func__: cls for cls in Loss.__subclasses__() if "function" in cls.__dict__}


def label_kind(output_shape: tuple, label_shape: tuple) -> str:
    """What labels of `label_shape` say about outputs of `output_shape`, as Keras guesses it.

    Returns:
        "binary", "sparse_categorical" or "categorical".
    """
    if output_shape[-1] == 1 or len(output_shape) == 1:
        return "binary"
    if len(label_shape) < len(output_shape) or label_shape[-1] == 1:
        return "sparse_categorical"
    return "categorical"


def get(loss: Any, output_shape: tuple | None = None, label_shape: tuple | None = None) -> Loss:
    """The loss that `loss` stands for.

    Args:
        loss: A loss, its class, a name, a config, or a function `(y_true, y_pred) -> values`. The names "crossentropy"
            and "ce" are the one that fits the shapes.
        output_shape, label_shape: Shapes of `y_pred` and `y_true`, the batch included.

    Raises:
        ArgumentError: There is no such loss.
    """
    if loss in ("crossentropy", "ce") and output_shape is not None and label_shape is not None:
        loss = f"{label_kind(output_shape, label_shape)}_crossentropy"
    found = resolve("loss", loss)
    if isinstance(found, Loss):
        return found
    if not callable(found):
        raise ArgumentError("This is no loss.", argument="loss", expected="a name, a loss or a function", got=found)
    return _OF_FUNCTION[found]() if found in _OF_FUNCTION else FunctionLoss(found)
