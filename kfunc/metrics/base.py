"""The base of the metrics: sums over batches, and a result from the sums. Most metrics are means of values."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from .. import checks
from ..arrays import backend_of, device, namespace, native
from ..backends import Backend
from ..backends import get as get_backend
from ..dataclasses import dataclass
from ..elsewhere import tell
from ..errors import ArgumentError
from ..losses.base import real, warn_of_ranks, weights
from ..nn.masks import hidden
from ..registry import register, snake_case
from ..tree import leaves
from ..typing import Array

__all__ = ["MeanMetric", "Metric", "added", "loss_sums", "mean_of", "mean_sums", "metric"]

M = TypeVar("M", bound=type)

_optional = functools.partial(checks.positive, none=True)
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "axis": checks.integer,
    "class_id": functools.partial(checks.natural, none=True),
    "ignore_class": functools.partial(checks.integer, none=True),
    "k": checks.positive,
    "label_smoothing": functools.partial(checks.probability, one=True),
    "num_classes": checks.positive,
    "num_thresholds": checks.positive,
    **dict.fromkeys(("num_labels", "num_outputs", "top_k"), _optional),
}
"""The functions that check the fields of kfunc's own metrics, by the names of the fields."""


@dataclass
class Metric:
    """A number about predictions that is computed from sums over all samples. Its functions are pure.

    `acc = metric.init(like=y_pred)` starts, `acc = metric.update(acc, y_true, y_pred)` adds a batch, and
    `metric.result(acc)` is the value. Subclasses are frozen dataclasses that define `shape`, `measure` and `finish`.

    The accumulator holds the running sums and their rounding errors (Kahan, 1965). Without the errors, a count would
    stop at 2**24 in float32, and long epochs would lose precision.

    Args:
        name: The name in logs; by default the name of the class in snake case.
        dtype: The dtype of the sums, "float32" or "float64"; None is "float32".
    """

    name: str | None = dataclasses.field(default=None, kw_only=True)
    dtype: str | None = dataclasses.field(default=None, kw_only=True)

    _positions: ClassVar[tuple[Any, ...]] = ("dtype", "name")

    _checks: ClassVar[dict[str, Callable[[str, Any], Any]]] = {}
    """The functions that check the fields of a subclass, by the names of the fields."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "update_state" in vars(cls):
            raise ArgumentError(
                f"{cls.__name__} defines `update_state`, which nothing calls: metrics of kfunc have no state, unlike "
                "Keras's.",
                argument="update_state",
                fix="as a function (y_true, y_pred) -> values, give it to compile: the values are averaged over the "
                "samples; or define measure(self, y_true, y_pred, sample_weight, mask), the sums of a batch, and "
                "finish(self, sums), with @kf.dataclass above the class",
            )

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", snake_case(type(self).__name__))
        checks.text("name", self.name)
        checks.one_of("dtype", self.dtype, (None, "float32", "float64"))
        checks.standard(self)
        for field, check in self._checks.items():
            check(field, getattr(self, field))

    def shape(self) -> tuple[int, ...]:
        """The shape of the sums. The axis of the outputs has size 1 as long as their number is not known."""
        return ()

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array, mask: Array) -> Array:
        """The sums of one batch, computed from conforming arrays."""
        raise NotImplementedError

    def finish(self, sums: Array) -> Array:
        """The result, computed from the sums over all batches."""
        return sums

    def sized(self, outputs: int | None) -> Metric:
        """This metric for predictions of `outputs` numbers, if the shape of its accumulator depends on their number."""
        return self

    def init(self, like: Any = None) -> dict[str, Any]:
        """The accumulator before the first batch.

        Args:
            like: An array or a tree of arrays, whose backend and device are used; or a backend or its name.

        Returns:
            A dict of two arrays of zeros: "sums", and "lost" for their rounding errors.
        """
        if isinstance(like, str | Backend):
            backend, where = get_backend(like), None
        else:
            backend, first = backend_of(like), leaves(like)[:1]
            where = device(first[0]) if first else None
        zeros = backend.xp.zeros(self.shape(), dtype=getattr(backend.xp, self.dtype or "float32"), device=where)
        return {"sums": backend.lower(zeros), "lost": backend.lower(backend.xp.zeros_like(zeros))}

    @native
    def update(
        self, acc: dict[str, Any], y_true: Array, y_pred: Array, sample_weight: Array = None, mask: Array = None
    ) -> dict[str, Any]:
        """The accumulator after one more batch.

        Args:
            acc: An accumulator.
            y_true, y_pred: Labels and predictions, (batch, ...).
            sample_weight: Weights, (batch,) or (batch, ...) with at most as many axes as the values of the metric.
            mask: Booleans of such a shape that say which predictions count.
        """
        warn_of_ranks(self, "measure", y_true, y_pred)
        y_true, y_pred = hidden(y_true, mask, 1.0), hidden(y_pred, mask, 1.0)
        return added(acc, self.measure(y_true, y_pred, sample_weight, mask))

    @native
    def merge(self, acc: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        """The accumulator of the samples of both accumulators, which may come from different devices or workers."""
        a, b = acc["sums"], other["sums"]
        sums = a + b
        # The rounding error of `a + b`, whichever of both is larger (Knuth, 1969).
        part = sums - a
        return {"sums": sums, "lost": acc["lost"] + other["lost"] - ((a - (sums - part)) + (b - part))}

    @native
    def result(self, acc: dict[str, Any]) -> Array:
        """The value of the metric: an array (), or of the shape that the metric says; 0 if there were no samples."""
        return self.finish(acc["sums"] - acc["lost"])


tell(Metric, "Metric")


def added(acc: dict[str, Any], batch: Any) -> dict[str, Any]:
    """The accumulator after the sums of one more batch are added."""
    batch = namespace(batch).astype(batch, acc["sums"].dtype) - acc["lost"]
    sums = acc["sums"] + batch
    return {"sums": sums, "lost": (sums - acc["sums"]) - batch}


@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def metric(*names: str, name: str | None = "", function: Callable[..., Array] | None = None) -> Callable[[M], M]:
    """Class decorator: a frozen dataclass that the registry knows by the class's name, also in snake case.

    Args:
        names: More names in the registry.
        name: The default of the field `name`: "" for the class's name in snake case.
        function: For a subclass of `MeanMetric`: the function that returns the values, of which this is the mean.
    """

    def decorate(cls: Any) -> Any:
        if function is not None:
            cls.function = staticmethod(function)
            cls.__doc__ = f"{cls.__doc__}\n\n    {function.__doc__ or ''}"
        snake = snake_case(cls.__name__)
        default = snake if name == "" else name
        cls.name = dataclasses.field(default=default, kw_only=True)
        cls.__annotations__ = {**inspect.get_annotations(cls), "name": "str | None"}
        cls._positions = ("name", "dtype", ...)
        # Each name once, in this order.
        known = dict.fromkeys([cls.__name__, snake, *([default] if default else []), *names])
        made: Any = register("metric", *known)(dataclass(cls))
        made._checks = {f.name: _CHECKS[f.name] for f in dataclasses.fields(made) if f.name in _CHECKS}
        return made

    return decorate


# -- means -------------------------------------------------------------------------------------------------------------


def mean_sums(values: Array, weights: Any) -> Array:
    """The sum of values (batch, ...), which are first averaged for each sample, and the sum of their weights: (2,)."""
    values = real(values, "values")
    xp = namespace(values)
    if weights is not None:
        weights = xp.zeros_like(values) + weights
        values = values * weights
    total = xp.sum(_each_sample(xp, values))
    if weights is not None:
        count = xp.sum(_each_sample(xp, weights))
    elif values.ndim == 0 or values.shape[0] is not None:
        count = xp.full_like(total, float(values.shape[0] if values.ndim else 1))
    else:
        count = xp.sum(_each_sample(xp, xp.ones_like(values)))
    return xp.stack([total, count])


def _each_sample(xp, values):
    return xp.mean(values, axis=tuple(range(1, values.ndim))) if values.ndim > 1 else values


def mean_of(sums: Array) -> Array:
    """The mean, computed from the sums of `mean_sums`. It is 0 if all weights are 0."""
    xp = namespace(sums)
    total, count = sums[0], sums[1]
    return total / xp.where(count == 0, xp.ones_like(count), count)


def loss_sums(loss: Any, y_true: Array, y_pred: Array, sample_weight: Array, mask: Array) -> Array:
    """`mean_sums` of the values of a `Loss`, without the values that it ignores."""
    warn_of_ranks(loss, "call", y_true, y_pred)
    values = real(loss.call(y_true, y_pred), "values")
    counted, given = loss.mask(y_true, y_pred, values), weights(values, sample_weight, mask)
    return mean_sums(values, given if counted is None else weights(values, given, counted))


@dataclass
class MeanMetric(Metric):
    """The weighted mean over all samples of the values that `call` returns. Subclasses define `call` or `function`."""

    function: ClassVar[Callable[..., Array] | None] = None
    """The function that `call` runs, with the fields of the subclass as keyword arguments."""

    def __post_init__(self) -> None:
        super().__post_init__()
        base = {f.name for f in dataclasses.fields(Metric)}
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init and f.name not in base}
        object.__setattr__(self, "_options", options)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """The values, (batch, ...), computed from conforming arrays."""
        return type(self).function(y_true, y_pred, **self._options)  # type: ignore[misc, attr-defined]

    def shape(self) -> tuple[int, ...]:
        return (2,)

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None, mask: Array | None) -> Array:
        warn_of_ranks(self, "call", y_true, y_pred)
        values = real(self.call(y_true, y_pred), "values")
        return mean_sums(values, weights(values, sample_weight, mask))

    def finish(self, sums: Array) -> Array:
        return mean_of(sums)
