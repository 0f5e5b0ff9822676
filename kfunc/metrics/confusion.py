"""How often yes-or-no predictions are right and wrong, at one threshold or many: one accumulator for all.

A threshold turns a score into yes if the score is larger. So a sample counts by how many of the ascending thresholds
its score passes: these histograms of the positive and of the negative samples are what is summed up, whatever the
number of thresholds; what is at either side of each threshold is found at the end.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from .. import checks, ops
from ..arrays import device, namespace
from ..errors import ArgumentError, ShapeError
from ..losses.base import pair, real, weights
from ..ops.crossentropy import EPSILON
from ..typing import Array
from .base import Metric, metric

__all__ = [
    "AUC",
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
]

NEVER = -1e10
"""Below every score: what all but the top k become."""


class Counts(NamedTuple):
    """Weights of true and false positives and negatives, (thresholds, ...) each, and the histograms behind them."""

    tp: Any
    fp: Any
    tn: Any
    fn: Any
    histogram: Any


class _AtThresholds(Metric):  # not a dataclass: subclasses choose which of these are fields
    top_k: int | None = None
    class_id: int | None = None
    _cuts: tuple[float, ...]
    _order: tuple[int, ...] | None
    _even: bool

    def labels(self) -> int | None:
        """How many labels are counted apart; None if all scores go together."""
        return None

    def set_thresholds(self, thresholds: Sequence[float]) -> None:
        """Prepare for thresholds in any order, to whose order the results return."""
        order = sorted(range(len(thresholds)), key=lambda i: thresholds[i])
        cuts = tuple(float(thresholds[i]) for i in order)
        last = len(cuts) - 1
        object.__setattr__(self, "_cuts", cuts)
        object.__setattr__(self, "_order", None if order == sorted(order) else tuple(map(order.index, range(last + 1))))
        # As in Keras: equal steps need no search.
        even = last >= 2 and all(abs(t - i / last) <= EPSILON + 1e-5 * i / last for i, t in enumerate(cuts))
        object.__setattr__(self, "_even", even)

    def shape(self) -> tuple[int, ...]:
        labels = self.labels()
        return (len(self._cuts) + 1, *(() if labels is None else (labels,)), 2)

    def scored(self, y_true: Array, y_pred: Array) -> tuple[Any, Any]:
        """Labels and scores of one shape: of the top k, of the class."""
        y_true, y_pred = pair(y_true, y_pred)
        xp = namespace(y_pred)
        if y_pred.ndim < 2 and (self.top_k, self.class_id) != (None, None):
            raise ShapeError(
                "There are no classes.", argument="y_pred", expected="(batch, ..., classes)", got=tuple(y_pred.shape)
            )
        if self.top_k is not None:
            _, best = ops.top_k(y_pred, self.top_k)
            chosen = xp.sum(ops.one_hot(best, y_pred.shape[-1]), axis=-2) > 0
            y_pred = xp.where(chosen, y_pred, xp.full_like(y_pred, NEVER))
        if self.class_id is not None:
            if self.class_id >= y_pred.shape[-1]:
                raise ShapeError(
                    "The class is not there.",
                    argument="y_pred",
                    expected=f"(batch, ..., classes) with more than {self.class_id} classes, which class_id asks for",
                    got=tuple(y_pred.shape),
                )
            y_true, y_pred = (x[..., self.class_id : self.class_id + 1] for x in (y_true, y_pred))
        return y_true, y_pred

    def passed(self, scores: Any) -> Array:
        """How many thresholds are smaller than each of `scores`: (n,) to int32 (n,). NaN is like 0."""
        xp, cuts = namespace(scores), self._cuts
        if not self._even:
            scores = xp.where(xp.isnan(scores), xp.zeros_like(scores), scores)
            found = xp.searchsorted(xp.asarray(cuts, dtype=scores.dtype, device=device(scores)), scores)
            return xp.astype(found, xp.int32)
        below = xp.where(scores < 1, scores, xp.ones_like(scores))
        found = xp.where(scores > 0, xp.ceil(below * (len(cuts) - 1)), xp.zeros_like(scores))
        # Thresholds a little outside [0, 1] are passed by all, and by none.
        return xp.astype(xp.clip(found, 1, None) if cuts[0] < 0 else found, xp.int32)

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None, mask: Array | None) -> Array:
        y_true, y_pred = self.scored(y_true, y_pred)
        xp = namespace(y_pred)
        ones = xp.ones_like(y_pred)
        given = self.weigh(ones, weights(ones, sample_weight, mask))
        apart = () if self.labels() is None else y_pred.shape[-1:]
        n = math.prod(apart)
        place = xp.reshape(self.passed(xp.reshape(y_pred, (-1,))), (-1, n))
        # The number of a histogram's bin, which is that of the threshold, of the label, of the truth.
        place = place * n + xp.arange(n, dtype=xp.int32, device=device(place))
        place = xp.reshape(place, (-1,)) * 2 + xp.reshape(xp.astype(y_true != 0, xp.int32), (-1,))
        sums = ops.segment_sum(xp.reshape(given, (-1,)), place, (len(self._cuts) + 1) * n * 2)
        return xp.reshape(sums, (len(self._cuts) + 1, *apart, 2))

    def weigh(self, ones: Array, weights: Array) -> Array:
        return ones if weights is None else ones * weights

    def finish(self, sums: Array) -> Array:
        xp = namespace(sums)
        # From both ends, so that no small number is the difference of large ones.
        no = xp.cumulative_sum(sums, axis=0)[:-1, ...]
        yes = xp.flip(xp.cumulative_sum(xp.flip(sums, axis=0), axis=0), axis=0)[1:, ...]
        if self._order is not None:
            index = xp.asarray(self._order, dtype=xp.int32, device=device(sums))
            no, yes = xp.take(no, index, axis=0), xp.take(yes, index, axis=0)
        return self.summarise(Counts(yes[..., 1], yes[..., 0], no[..., 0], no[..., 1], sums))

    def summarise(self, counts: Counts) -> Array:
        """The result."""
        raise NotImplementedError


# -- at given thresholds -----------------------------------------------------------------------------------------------


class _AtSome(_AtThresholds):
    thresholds: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.thresholds
        if given is None:
            given = 0.5 if self.top_k is None else NEVER
        else:
            object.__setattr__(self, "thresholds", _probabilities("thresholds", given))
            given = self.thresholds
        self.set_thresholds(given if isinstance(given, tuple) else (given,))

    def summarise(self, counts: Counts) -> Array:
        value = self.value(counts)
        return value[0] if len(self._cuts) == 1 else value

    def value(self, counts: Counts) -> Array:
        """The metric at each threshold, from the counts there; for subclasses to define."""
        raise NotImplementedError


def _probabilities(argument, values):
    """A number in [0, 1], or a tuple of some."""
    if not isinstance(values, list | tuple):
        return checks.probability(argument, values, one=True)
    if not values:
        raise ArgumentError("There are no thresholds.", argument=argument, expected="one at least", got=repr(values))
    return tuple(checks.probability(argument, value, one=True) for value in values)


@metric(name=None)
class TruePositives(_AtSome):
    """How many positive samples have a score above the threshold, or each of several: (thresholds,).

    Args:
        thresholds: One number in [0, 1], or several; 0.5 by default.
    """

    thresholds: float | Sequence[float] | None = None

    def value(self, counts: Counts) -> Array:
        return counts.tp


@metric(name=None)
class FalsePositives(_AtSome):
    """How many negative samples have a score above the threshold; see `TruePositives`."""

    thresholds: float | Sequence[float] | None = None

    def value(self, counts: Counts) -> Array:
        return counts.fp


@metric(name=None)
class TrueNegatives(_AtSome):
    """How many negative samples have no score above the threshold; see `TruePositives`."""

    thresholds: float | Sequence[float] | None = None

    def value(self, counts: Counts) -> Array:
        return counts.tn


@metric(name=None)
class FalseNegatives(_AtSome):
    """How many positive samples have no score above the threshold; see `TruePositives`."""

    thresholds: float | Sequence[float] | None = None

    def value(self, counts: Counts) -> Array:
        return counts.fn


def precision(counts: Counts) -> Array:
    """Which part of those found is positive."""
    return ops.divide_no_nan(counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> Array:
    """Which part of the positive is found."""
    return ops.divide_no_nan(counts.tp, counts.tp + counts.fn)


def specificity(counts: Counts) -> Array:
    """Which part of the negative is not found."""
    return ops.divide_no_nan(counts.tn, counts.tn + counts.fp)


@metric(name=None)
class Precision(_AtSome):
    """Which part of the samples with a score above the threshold is positive; 0 if there are none.

    Args:
        thresholds: One number in [0, 1], or several, for a result (thresholds,); 0.5 by default, none with `top_k`.
        top_k: Count only the classes with the `k` largest scores.
        class_id: Count only this class.
    """

    thresholds: float | Sequence[float] | None = None
    top_k: int | None = None
    class_id: int | None = None

    def value(self, counts: Counts) -> Array:
        return precision(counts)


@metric(name=None)
class Recall(_AtSome):
    """Which part of the positive samples has a score above the threshold; arguments as those of `Precision`."""

    thresholds: float | Sequence[float] | None = None
    top_k: int | None = None
    class_id: int | None = None

    def value(self, counts: Counts) -> Array:
        return recall(counts)


# -- the best under a condition ----------------------------------------------------------------------------------------


class _Best(_AtThresholds):
    num_thresholds: int = 200
    bound: ClassVar[str] = ""
    """The field that says how large the first of `pair` must be."""

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.probability(self.bound, getattr(self, self.bound), one=True)
        last = self.num_thresholds - 1
        self.set_thresholds([i / last for i in range(last + 1)] if last else [0.5])

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        """(what is bounded, what is maximised) at each threshold; for subclasses to define."""
        raise NotImplementedError

    def summarise(self, counts: Counts) -> Array:
        held, wanted = self.pair(counts)
        xp = namespace(held)
        return xp.max(xp.where(held >= getattr(self, self.bound), wanted, xp.zeros_like(wanted)))


@metric(name=None)
class SensitivityAtSpecificity(_Best):
    """The best sensitivity (recall) of the thresholds at which the specificity is at least `specificity`.

    Args:
        specificity: In [0, 1].
        num_thresholds: How many thresholds there are, evenly spaced from 0 to 1.
        class_id: Count only this class.
    """

    specificity: float
    num_thresholds: int = 200
    class_id: int | None = None
    bound: ClassVar[str] = "specificity"

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        return specificity(counts), recall(counts)


@metric(name=None)
class SpecificityAtSensitivity(_Best):
    """The best specificity where the sensitivity is at least `sensitivity`; see `SensitivityAtSpecificity`."""

    sensitivity: float
    num_thresholds: int = 200
    class_id: int | None = None
    bound: ClassVar[str] = "sensitivity"

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        return recall(counts), specificity(counts)


@metric(name=None)
class PrecisionAtRecall(_Best):
    """The best precision where the recall is at least `recall`; see `SensitivityAtSpecificity`."""

    recall: float
    num_thresholds: int = 200
    class_id: int | None = None
    bound: ClassVar[str] = "recall"

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        return recall(counts), precision(counts)


@metric(name=None)
class RecallAtPrecision(_Best):
    """The best recall where the precision is at least `precision`; see `SensitivityAtSpecificity`."""

    precision: float
    num_thresholds: int = 200
    class_id: int | None = None
    bound: ClassVar[str] = "precision"

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        return precision(counts), recall(counts)


# -- under a curve -----------------------------------------------------------------------------------------------------


@metric(name=None)
class AUC(_AtThresholds):
    """The area under a curve of points, one a threshold; scores are probabilities.

    Args:
        num_thresholds: How many thresholds there are, evenly spaced over [0, 1].
        curve: "ROC" (recall over the rate of false positives), "PR" (precision over recall; Davis & Goadrich, ICML
            2006), or "PRGAIN" (their gains; Flach & Kull, NeurIPS 2015).
        summation_method: The height between two points: "interpolation" (of the counts, for PR), "minoring" (the lower)
            or "majoring" (the higher).
        thresholds: In [0, 1], in place of `num_thresholds`; both ends are added.
        multi_label: Whether (batch, labels) have a curve for each label, whose areas are averaged.
        num_labels: How many labels there are. Without it, the first update finds out, and changes the shape of the
            accumulator; `Model` says it.
        label_weights: A weight for each label, (labels,).
        from_logits: Whether scores are logits.
    """

    num_thresholds: int = 200
    curve: str = "ROC"
    summation_method: str = "interpolation"
    thresholds: Sequence[float] | None = None
    multi_label: bool = False
    num_labels: int | None = None
    label_weights: Sequence[float] | None = None
    from_logits: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("curve", self.curve, ("ROC", "PR", "PRGAIN", "roc", "pr", "prgain"))
        methods = ("interpolation", "minoring", "majoring")
        checks.one_of("summation_method", self.summation_method, (*methods, *(m.capitalize() for m in methods)))
        checks.integer("num_thresholds", self.num_thresholds, least=2)
        if self.num_labels is not None and not self.multi_label:
            raise ArgumentError(
                "Only several curves count labels.", argument="num_labels", fix="give multi_label=True, too"
            )
        if self.label_weights is not None:
            known = tuple(checks.number("label_weights", w, least=0) for w in self.label_weights)
            object.__setattr__(self, "label_weights", known)
        if self.thresholds is not None:
            inner = sorted(_probabilities("thresholds", tuple(self.thresholds)))
            object.__setattr__(self, "thresholds", tuple(inner))
        else:
            last = self.num_thresholds - 1
            inner = [i / last for i in range(1, last)]
        self.set_thresholds([-EPSILON, *inner, 1 + EPSILON])

    def labels(self) -> int | None:
        return (self.num_labels or 1) if self.multi_label else None

    def sized(self, outputs: int | None) -> Metric:
        unknown = self.multi_label and self.num_labels is None
        return dataclasses.replace(self, num_labels=outputs) if unknown else self

    def scored(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        y_true, y_pred = super().scored(y_true, ops.sigmoid(real(y_pred)) if self.from_logits else y_pred)
        if self.multi_label and y_pred.ndim != 2:
            raise ShapeError(
                "Each label has a curve.", argument="y_pred", expected="(batch, labels)", got=tuple(y_pred.shape)
            )
        return y_true, y_pred

    def weigh(self, ones: Array, weights: Array) -> Array:
        out = super().weigh(ones, weights)
        if self.label_weights is not None and not self.multi_label:
            out = out * self._label_weights(ones)
        return out

    def _label_weights(self, like):
        return namespace(like).asarray(self.label_weights, dtype=like.dtype, device=device(like))

    def summarise(self, counts: Counts) -> Array:
        xp = namespace(counts.tp)
        curve, method = self.curve.upper(), self.summation_method.lower()
        if (curve, method) == ("PR", "interpolation"):
            areas = _interpolated(xp, counts)
        else:
            x, y = _CURVES[curve](xp, counts)
            low, high = y[:-1, ...], y[1:, ...]
            heights = (low + high) / 2 if method == "interpolation" else _EDGES[method](xp, low, high)
            areas = (x[:-1, ...] - x[1:, ...]) * heights
        area = xp.sum(areas, axis=0)
        if not self.multi_label:
            return area
        if self.label_weights is None:
            return xp.mean(area)
        by = self._label_weights(area)
        return ops.divide_no_nan(xp.sum(area * by), xp.sum(by))


_EDGES = {"minoring": lambda xp, a, b: xp.minimum(a, b), "majoring": lambda xp, a, b: xp.maximum(a, b)}


def _gain(xp, counts):
    odds = ops.divide_no_nan(counts.tp + counts.fn, counts.tn + counts.fp)
    none = counts.tp == 0
    x = 1 - odds * ops.divide_no_nan(counts.fn, counts.tp)
    y = 1 - odds * ops.divide_no_nan(counts.fp, counts.tp)
    return xp.clip(xp.where(none, xp.zeros_like(x), x), 0, None), xp.where(none, xp.ones_like(y), y)


_CURVES = {
    "ROC": lambda xp, counts: (ops.divide_no_nan(counts.fp, counts.fp + counts.tn), recall(counts)),
    "PR": lambda xp, counts: (recall(counts), precision(counts)),
    "PRGAIN": _gain,
}


def _interpolated(xp, counts):
    """Areas below precision over recall, between points from which true positives grow as those found do."""
    between = counts.histogram[1:-1, ...]
    true, found = between[..., 1], xp.sum(between, axis=-1)
    all_found = counts.tp + counts.fp
    before, after = all_found[:-1, ...], all_found[1:, ...]
    slope = ops.divide_no_nan(true, found)
    start = counts.tp[1:, ...] - slope * after
    both = (before > 0) & (after > 0)
    ratio = xp.where(both, ops.divide_no_nan(before, after), xp.ones_like(after))
    return ops.divide_no_nan(slope * (true + start * xp.log(ratio)), (counts.tp + counts.fn)[1:, ...])
