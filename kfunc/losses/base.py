"""The base of the losses, and what they share: shapes of labels, weights and masks, and reductions."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from .. import checks
from ..arrays import dtype_name, namespace, native
from ..backends.standard import is_kind
from ..dataclasses import Undecorated, dataclass
from ..errors import ArgumentError, LabelError, ShapeError
from ..nn import dtype_policies
from ..nn.masks import hidden
from ..registry import is_ours, register, snake_case
from ..typing import Array

__all__ = ["FunctionLoss", "Loss"]

# -- shapes and dtypes ------------------------------------------------------------------------------------------------


def same_rank(a: Any, b: Any) -> tuple[Any, Any]:
    """`a` and `b` with equal numbers of axes, if only one of them has a last axis of size 1.

    The axis is taken away, or added to the other array if that has only one axis.
    """
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        b, a = same_rank(b, a)
    elif b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        a, b = (namespace(a).expand_dims(a, axis=-1), b) if a.ndim == 1 else (a, namespace(b).squeeze(b, axis=-1))
    return a, b


def warn_of_ranks(of: Any, method: str, y_true: Any, y_pred: Any) -> None:
    """Warn if the user's own `method` gets labels and predictions whose difference has more numbers than both.

    As in Keras, methods get what was given, since they may expect labels (batch,) for predictions (batch, 1). Those
    that do not would silently compare each label with each prediction.
    """
    if getattr(y_true, "ndim", None) != getattr(y_pred, "ndim", None) and not is_ours(getattr(type(of), method)):
        shapes = [tuple(getattr(x, "shape", ())) for x in (y_true, y_pred)]
        labels, predictions = same_rank(y_true, y_pred)
        if labels is not y_true or predictions is not y_pred:
            warnings.warn(
                f"{type(of).__name__}.{method} gets labels of shape {shapes[0]} and predictions of shape {shapes[1]}, "
                "whose difference has more numbers than both. Give labels of the shape of the predictions.",
                stacklevel=2,
            )


def real(x: Any, argument: str = "y_pred") -> Array:
    """`x`, which the user gave as `argument`, in float32 if it is half precision, integer or bool; else `x` itself.

    Raises:
        ArgumentError: It is complex.
    """
    xp = namespace(x)
    return x if x.dtype == getattr(xp, "float64", None) else _cast(argument, x, xp.float32, xp)


def _cast(argument: str, x: Any, dtype: Any, xp: Any) -> Any:
    """`x` in `dtype`.

    Raises:
        ArgumentError: It is complex, and `dtype` is not: its imaginary part would be lost.
    """
    if is_kind(x.dtype, "complex floating") and not is_kind(dtype, "complex floating"):
        raise ArgumentError(
            f"`{argument}` is complex, and must be real.",
            argument=argument,
            expected=f"real numbers, {dtype_name(dtype)}",
            got=dtype_name(x.dtype),
            fix="take its real part, its absolute value, or both parts as an axis",
        )
    return xp.astype(x, dtype, copy=False)  # on the tape, if `xp` is the tape's


def fitting(y_true: Array, y_pred: Array) -> tuple[Any, Any]:
    """Both in the dtype of `y_pred` and in one shape; a last axis of size 1 that only one of them has is dropped.

    Raises:
        ShapeError: Their shapes differ in another way.
    """
    # The namespace of both arrays: if `y_pred` is on the gradient tape, labels become constants of the tape.
    y_true = _cast("y_true", y_true, y_pred.dtype, namespace(y_true, y_pred))
    y_true, y_pred = same_rank(y_true, y_pred)
    check_shape(y_true.shape, y_pred.shape)
    return y_true, y_pred


def pair(y_true: Array, y_pred: Array) -> tuple[Any, Any]:
    """Both in one floating dtype and one shape."""
    return fitting(y_true, real(y_pred))


def elements(y_true: Array, y_pred: Array) -> tuple[Any, Any]:
    """Both in one floating dtype and one shape. Arrays (batch,) become (batch, 1)."""
    y_true, y_pred = pair(y_true, y_pred)
    if y_pred.ndim == 1:
        xp = namespace(y_pred)
        y_true, y_pred = xp.expand_dims(y_true, axis=-1), xp.expand_dims(y_pred, axis=-1)
    return y_true, y_pred


def check_shape(got: Any, wanted: Any, what: str = "the shape of y_pred") -> None:
    """Raise a ShapeError if the shape `got` of labels differs from `wanted`. Sizes that are None are not compared."""
    if len(got) != len(wanted) or any(None not in (m, n) and m != n for m, n in zip(got, wanted, strict=True)):
        raise ShapeError(
            f"The labels have shape {tuple(got)}, and {tuple(wanted)} is needed, {what}.",
            argument="y_true",
            expected=f"{tuple(wanted)}, {what}",
            got=got,
        )


def class_labels(xp: Any, y_true: Array, y_pred: Array, axis: int = -1) -> Array:
    """Labels in a signed integer dtype, of the shape of `y_pred` without `axis`.

    Raises:
        ShapeError: The labels have another shape.
    """
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = xp.squeeze(y_true, axis=axis)
    wanted = list(y_pred.shape)
    del wanted[axis]
    check_shape(y_true.shape, wanted, "the shape of y_pred without its axis of classes")
    return y_true if is_kind(y_true.dtype, "signed integer") else xp.astype(y_true, xp.int32)


def check_classes(y_true: Array, classes: int, ignored: int | None = None) -> None:
    """Check that all labels are classes.

    Args:
        y_true: NumPy array of labels.
        classes: The number of classes.
        ignored: A label that is allowed, too.

    Raises:
        LabelError: A label is not an integer in [0, classes), and is not `ignored`.
    """
    import numpy as np

    labels = np.asarray(y_true)
    wrong = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))
    if ignored is not None:
        wrong &= labels != ignored
    if wrong.any():
        position = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise LabelError(
            f"`y` has labels that are not integers in [0, {classes}): {int(wrong.sum())} of {labels.size}.",
            argument="y",
            expected=f"integers in [0, {classes})",
            got=f"{labels[position]} at position {position[0] if len(position) == 1 else position}",
            fix=f"number the classes from 0, or give the last layer more than {classes} units",
        )


# -- weights and masks ------------------------------------------------------------------------------------------------


def _aligned(values, x, argument):
    """`x` with as many axes as `values`: axes of size 1 are added at the end, or one is taken away there."""
    xp, given = namespace(values, x), tuple(x.shape)
    if values.ndim == 0:  # One value for the whole batch: each weight multiplies it, as in Keras.
        return x
    if x.ndim == values.ndim + 1 and x.shape[-1] == 1:
        x = xp.squeeze(x, axis=-1)
    if x.ndim > values.ndim:
        raise ShapeError(
            f"`{argument}` has {x.ndim} axes, more than the {values.ndim} of the values of the loss.",
            argument=argument,
            expected=f"at most {values.ndim} axes, as the values {tuple(values.shape)} have",
            got=tuple(x.shape),
        )
    for _ in range(values.ndim - x.ndim):
        x = xp.expand_dims(x, axis=-1)
    if any(n not in (1, None) and m is not None and m != n for m, n in zip(values.shape, x.shape, strict=True)):
        raise ShapeError(
            f"`{argument}` has shape {given}, which does not fit values of shape {tuple(values.shape)}.",
            argument=argument,
            expected=f"the shape {tuple(values.shape)}, or its first axes",
            got=given,
        )
    return x


def weights(values: Array, sample_weight: Array, mask: Array = None) -> Array:
    """The product of `sample_weight` and `mask`, with as many axes as `values`; None if both are None."""
    given = [
        _aligned(values, _cast(argument, x, values.dtype, namespace(x)), argument)
        for x, argument in ((mask, "mask"), (sample_weight, "sample_weight"))
        if x is not None
    ]
    return functools.reduce(lambda a, b: a * b, given) if given else None


# -- losses -----------------------------------------------------------------------------------------------------------

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


@dataclass
class Loss(Undecorated):
    """A number that says how wrong predictions are. Subclasses are frozen dataclasses that define `call`.

    Args:
        reduction: How the values of the samples become one number: "sum_over_batch_size" or "mean" is the sum of the
            weighted values, divided by the number of values that the mask counts. "mean_with_sample_weight" is this sum
            divided by the sum of the weights. "sum" is the sum, and "none" keeps all values.
        name: The name of the loss in logs; by default the name of the class in snake case.
        dtype: A policy or its name ("float64", "mixed_float16"). Labels and predictions are cast to it before the
            computation, unless that would round them, and the loss after it. By default nothing is cast.
    """

    reduction: str | None = dataclasses.field(default="sum_over_batch_size", kw_only=True)
    name: str | None = dataclasses.field(default=None, kw_only=True)
    dtype: dtype_policies.PolicyLike = dataclasses.field(default=None, kw_only=True)

    _positions: ClassVar[tuple[Any, ...]] = ("name", "reduction", "dtype")

    function: ClassVar[Callable[..., Array] | None] = None
    """The function that `call` runs, with the fields of the subclass as keyword arguments."""

    per_sample: ClassVar[bool | None] = None
    """Whether the value of a sample is independent of the other samples.

    None means yes for the losses of kfunc, and unknown for others.
    """

    _checks: ClassVar[dict[str, Callable[[str, Any], Any]]] = {}
    """The functions that check the fields of a subclass, by the names of the fields."""

    def __post_init__(self) -> None:
        if self.reduction not in _REDUCTIONS:
            raise ArgumentError.must_be("reduction", f"one of {', '.join(map(repr, _REDUCTIONS))}", self.reduction)
        if self.name is None:
            object.__setattr__(self, "name", snake_case(type(self).__name__))
        checks.text("name", self.name)
        object.__setattr__(self, "dtype", dtype_policies.get(self.dtype))
        for field, check in self._checks.items():
            object.__setattr__(self, field, check(field, getattr(self, field)))
        base = {f.name for f in dataclasses.fields(Loss)}
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init and f.name not in base}
        object.__setattr__(self, "_options", options)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """The values of the samples, (batch, ...), computed from conforming arrays."""
        return type(self).function(y_true, y_pred, **self._options)  # type: ignore[misc, attr-defined]

    def mask(self, y_true: Array, y_pred: Array, values: Array = None) -> Array:
        """Booleans, of the shape of `values`, that say which values count; None if all values count."""
        return None

    def check_labels(self, y_true: Array, classes: int) -> None:
        """Raise a LabelError if the NumPy array `y_true` holds a label that the loss cannot use."""

    @native
    def values(self, y_true: Array, y_pred: Array) -> Array:
        """The values of the samples, (batch, ...), before weights and reduction."""
        return self.call(y_true, y_pred)

    @native
    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array = None, mask: Array = None) -> Array:
        """The loss: an array (), or (batch, ...) if the reduction is "none".

        Args:
            y_true, y_pred: Labels and predictions, as the function of the loss takes them.
            sample_weight: A number, or an array (batch,) or (batch, ...) with at most as many axes as the values. As in
                Keras, a value that is NaN makes the loss NaN, also with weight 0; `mask` hides it.
            mask: Booleans of such a shape that say which values count. Layers hand them on.
        """
        dtype: Any = self.dtype
        policy = None if dtype is None else dtype.at(self.name)
        if policy is not None:
            y_true, y_pred = policy.widen(y_true), policy.widen(y_pred)
        warn_of_ranks(self, "call", y_true, y_pred)
        # A number that does not count, such as NaN, must not reach the others through their gradients.
        y_true, y_pred = hidden(y_true, mask, 1.0), hidden(y_pred, mask, 1.0)
        values = self.call(y_true, y_pred)
        xp = namespace(values)
        masks = [m for m in (mask, self.mask(y_true, y_pred, values)) if m is not None]
        masks = [_aligned(values, xp.astype(m, xp.bool), "mask") for m in masks]
        counted = functools.reduce(lambda a, b: a & b, masks) if masks else None
        if counted is not None and values.ndim:
            values = xp.where(counted, values, xp.zeros_like(values))
        by = weights(values, sample_weight, counted)
        loss = self._reduced(values if by is None else values * by, by, counted)
        return loss if policy is None else policy.cast(loss)

    def _reduced(self, values, weights, mask):
        if self.reduction in ("none", None):
            return values
        xp = namespace(values)
        total = xp.sum(values)
        if self.reduction == "sum":
            return total
        # One weight may hold for several values; it counts for each of them.
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            count = xp.sum(xp.zeros_like(values) + weights)
        elif mask is not None:
            count = xp.sum(xp.zeros_like(values) + xp.astype(mask, values.dtype))
        else:
            return xp.mean(values)
        none = count == 0
        return xp.where(none, xp.zeros_like(total), total / xp.where(none, xp.ones_like(count), count))


OF_FUNCTION: dict[Callable[..., Array], type[Loss]] = {}
"""The functions that have a loss of their own, and these losses."""

C = TypeVar("C", bound=type)


def _axes(argument, value):
    """Check that `value` is None, an axis, or several axes."""
    if isinstance(value, list | tuple):
        return tuple(checks.integer(argument, axis) for axis in value)
    return None if value is None else checks.integer(argument, value)


def _numbers(argument, value):
    """Check that `value` is a number or several numbers."""
    if isinstance(value, list | tuple):
        return tuple(checks.number(argument, v) for v in value)
    return checks.number(argument, value)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("from_logits", "apply_class_balancing", "remove_diagonal"), checks.boolean),
    **dict.fromkeys(("alpha", "beta", "gamma"), functools.partial(checks.number, least=0)),
    "axis": checks.integer,
    "delta": functools.partial(checks.number, above=0),
    "ignore_class": functools.partial(checks.integer, none=True),
    "label_smoothing": functools.partial(checks.probability, one=True),
    "margin": checks.number,
    "q": lambda argument, value: checks.number(argument, checks.probability(argument, value), above=0),
    # These are not named as the fields are; see `loss(kinds=...)`:
    "axes": _axes,
    "class_weights": _numbers,
}


@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def loss(function: Callable[..., Array], *names: str, **kinds: str) -> Callable[[C], C]:
    """Decorator that makes a class the loss of a function: its fields are arguments of the function.

    Args:
        function: The function that returns the values of the samples. The registry knows the loss by the name of the
            class, by that of the function, and by `names`.
        names: More names.
        kinds: For fields whose names mean something else in other losses, the name in `_CHECKS` that they are checked
            as. All other fields are checked as their own names.
    """

    def decorate(cls: Any) -> Any:
        own = inspect.get_annotations(cls)
        cls.function = staticmethod(function)
        cls.__doc__ = f"{cls.__doc__}\n\n    {function.__doc__}"
        if "name" not in own:
            cls.__annotations__ = {**own, "name": "str | None"}
            cls.name = dataclasses.field(default=snake_case(cls.__name__), kw_only=True)
        if "_positions" not in vars(cls):
            cls._positions = ("reduction", "name", "dtype")
        OF_FUNCTION[function] = dataclass(cls)
        fields = [f.name for f in dataclasses.fields(cls) if f.name in own and f.name != "name"]
        cls._checks = {f: _CHECKS[kinds.get(f, f)] for f in fields}
        return register("loss", cls.__name__, function.__name__, *names)(cls)

    return decorate


@register("loss", "FunctionLoss")
@dataclass
class FunctionLoss(Loss):
    """A loss made of a function.

    As in Keras, the function gets labels and predictions with equal numbers of axes, if one of them lacks only a last
    axis of size 1: labels (batch,) become (batch, 1) for predictions (batch, 1).

    Args:
        fn: `(y_true, y_pred) -> values`, (batch, ...).
        name: The name of the function by default.
    """

    fn: Callable[[Array, Array], Array]
    per_sample: ClassVar[bool] = False  # nobody knows whether they are

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", getattr(self.fn, "__name__", type(self.fn).__name__))
        super().__post_init__()

    def call(self, y_true: Array, y_pred: Array) -> Array:
        if isinstance(y_true, list | tuple | dict) or isinstance(y_pred, list | tuple | dict):
            return self.fn(y_true, y_pred)
        labels, predictions = same_rank(y_true, y_pred)
        values = self.fn(labels, predictions)
        if labels is not y_true or predictions is not y_pred:
            shape, wanted = tuple(values.shape), tuple(predictions.shape)
            if any(n not in (1, None, *wanted[i : i + 1]) for i, n in enumerate(shape)):
                raise ShapeError(
                    f"{self.name} returns values of shape {shape} for labels and predictions of shape {wanted}.",
                    argument="y_true",
                    expected="values (batch, ...), each of one label and one prediction",
                    got=f"labels {tuple(y_true.shape)} and predictions {tuple(y_pred.shape)}, which a function gets "
                    f"as {tuple(labels.shape)} and {wanted}",
                    fix="give labels of the shape of the predictions",
                )
        return values
