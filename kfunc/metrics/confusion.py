"""How often yes-or-no predictions are right and wrong, at one threshold or many, with one accumulator for all.

A score means yes if it is larger than the threshold. For each sample, only one thing matters: how many of the ascending
thresholds its score passes. The accumulator holds two histograms of this number, one of the positive and one of the
negative samples. From them the result finds how many samples lie on each side of each threshold.
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
"""A number below every score. With `top_k`, the scores of all other classes are replaced by it."""


class Counts(NamedTuple):
    """The weights of true and false positives and negatives, (thresholds, ...) each, and the histograms."""

    tp: Any
    fp: Any
    tn: Any
    fn: Any
    histogram: Any


class _AtThresholds(Metric):  # not a dataclass, since subclasses choose which of these attributes are fields
    top_k: int | None = None
    class_id: int | None = None
    _cuts: tuple[float, ...]
    _order: tuple[int, ...] | None
    _even: bool

    def labels(self) -> int | None:
        """The number of labels, if each label is counted separately; None if all are counted together."""
        return None

    def set_thresholds(self, thresholds: Sequence[float]) -> None:
        """Prepare for thresholds in any order. The results have the same order."""
        order = sorted(range(len(thresholds)), key=lambda i: thresholds[i])
        cuts = tuple(float(thresholds[i]) for i in order)
        last = len(cuts) - 1
        object.__setattr__(self, "_cuts", cuts)
        places = tuple(sorted(range(len(order)), key=order.__getitem__))
        object.__setattr__(self, "_order", None if order == sorted(order) else places)
        # If the thresholds have equal distances, no search is needed (as in Keras).
        even = last >= 2 and all(abs(t - i / last) <= EPSILON + 1e-5 * i / last for i, t in enumerate(cuts))
        object.__setattr__(self, "_even", even)

    def shape(self) -> tuple[int, ...]:
        labels = self.labels()
        return (len(self._cuts) + 1, *(() if labels is None else (labels,)), 2)

    def scored(self, y_true: Array, y_pred: Array) -> tuple[Any, Any]:
        """Labels and scores in one shape: of the class `class_id` only, with the scores outside the top k replaced."""
        y_true, y_pred = pair(y_true, y_pred)
        xp = namespace(y_pred)
        if y_pred.ndim < (1 if self.class_id is None else 2) and (self.top_k, self.class_id) != (None, None):
            raise ShapeError(
                f"`y_pred` must be (batch, ..., classes) for top_k and class_id, got shape {tuple(y_pred.shape)}.",
                argument="y_pred",
                expected="(batch, ..., classes); for top_k alone also (classes,), which is one sample",
                got=tuple(y_pred.shape),
            )
        if self.top_k is not None:
            _, best = ops.top_k(y_pred, self.top_k)
            chosen = xp.sum(ops.one_hot(best, y_pred.shape[-1]), axis=-2) > 0
            y_pred = xp.where(chosen, y_pred, xp.full_like(y_pred, NEVER))
        if self.class_id is not None:
            if self.class_id >= y_pred.shape[-1]:
                raise ShapeError(
                    f"`y_pred` has {y_pred.shape[-1]} classes, and `class_id` is {self.class_id}.",
                    argument="y_pred",
                    expected=f"(batch, ..., classes) with more than {self.class_id} classes, which class_id asks for",
                    got=tuple(y_pred.shape),
                )
            y_true, y_pred = (x[..., self.class_id : self.class_id + 1] for x in (y_true, y_pred))
        return y_true, y_pred

    def passed(self, scores: Any) -> Array:
        """The number of thresholds that are smaller than each score: (n,) to int32 (n,). NaN counts as 0."""
        xp, cuts = namespace(scores), self._cuts
        if not self._even:
            scores = xp.where(xp.isnan(scores), xp.zeros_like(scores), scores)
            found = xp.searchsorted(xp.asarray(cuts, dtype=scores.dtype, device=device(scores)), scores)
            return xp.astype(found, xp.int32)
        below = xp.where(scores < 1, scores, xp.ones_like(scores))
        found = xp.where(scores > 0, xp.ceil(below * (len(cuts) - 1)), xp.zeros_like(scores))
        # The first threshold may be a little below 0, where every score passes it; the last one a little above 1.
        return xp.astype(xp.clip(found, 1, None) if cuts[0] < 0 else found, xp.int32)

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None, mask: Array | None) -> Array:
        y_true, y_pred = self.scored(y_true, y_pred)
        xp = namespace(y_pred)
        ones = xp.ones_like(y_pred)
        given = self.weigh(ones, weights(ones, sample_weight, mask))
        apart = () if self.labels() is None else y_pred.shape[-1:]
        n = math.prod(apart)
        place = xp.reshape(self.passed(xp.reshape(y_pred, (-1,))), (-1, n))
        # The number of the bin in the histograms: by threshold, then by label, then by truth.
        place = place * n + xp.arange(n, dtype=xp.int32, device=device(place))
        place = xp.reshape(place, (-1,)) * 2 + xp.reshape(xp.astype(y_true != 0, xp.int32), (-1,))
        sums = ops.segment_sum(xp.reshape(given, (-1,)), place, (len(self._cuts) + 1) * n * 2)
        return xp.reshape(sums, (len(self._cuts) + 1, *apart, 2))

    def weigh(self, ones: Array, weights: Array) -> Array:
        return ones if weights is None else ones * weights

    def finish(self, sums: Array) -> Array:
        xp = namespace(sums)
        # Summed from both ends, since a small count would be inexact as the difference of two large ones.
        no = xp.cumulative_sum(sums, axis=0)[:-1, ...]
        yes = xp.flip(xp.cumulative_sum(xp.flip(sums, axis=0), axis=0), axis=0)[1:, ...]
        if self._order is not None:
            index = xp.asarray(self._order, dtype=xp.int32, device=device(sums))
            no, yes = xp.take(no, index, axis=0), xp.take(yes, index, axis=0)
        return self.summarise(Counts(yes[..., 1], yes[..., 0], no[..., 0], no[..., 1], sums))

    def summarise(self, counts: Counts) -> Array:
        """The result, computed from the counts."""
        raise NotImplementedError


# -- at given thresholds -----------------------------------------------------------------------------------------------


class _AtSome(_AtThresholds):
    thresholds: float | Sequence[float] | None = None

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
        """The metric at each threshold, computed from the counts; subclasses define it."""
        raise NotImplementedError


def _probabilities(argument, values):
    """Check that `values` is a number in [0, 1], or several."""
    if not isinstance(values, list | tuple):
        return checks.probability(argument, values, one=True)
    if not values:
        raise ArgumentError.must_be(argument, "a number in [0, 1] or several numbers, at least one", values)
    return tuple(checks.probability(argument, value, one=True) for value in values)


@metric(name=None)
class TruePositives(_AtSome):
    """The number of positive samples with a score above the threshold.

    Args:
        thresholds: A number in [0, 1], or several for a result (thresholds,); None is 0.5.
    """

    thresholds: float | Sequence[float] | None = None

    def value(self, counts: Counts) -> Array:
        return counts.tp


@metric(name=None)
class FalsePositives(_AtSome):
    """The number of negative samples with a score above the threshold.

    Args:
        thresholds: A number in [0, 1], or several for a result (thresholds,); None is 0.5.
    """

    thresholds: float | Sequence[float] | None = None

    def value(self, counts: Counts) -> Array:
        return counts.fp


@metric(name=None)
class TrueNegatives(_AtSome):
    """The number of negative samples without a score above the threshold.

    Args:
        thresholds: A number in [0, 1], or several for a result (thresholds,); None is 0.5.
    """

    thresholds: float | Sequence[float] | None = None

    def value(self, counts: Counts) -> Array:
        return counts.tn


@metric(name=None)
class FalseNegatives(_AtSome):
    """The number of positive samples without a score above the threshold.

    Args:
        thresholds: A number in [0, 1], or several for a result (thresholds,); None is 0.5.
    """

    thresholds: float | Sequence[float] | None = None

    def value(self, counts: Counts) -> Array:
        return counts.fn


def precision(counts: Counts) -> Array:
    """The share of positive samples among those above the threshold."""
    return ops.divide_no_nan(counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> Array:
    """The share of the positive samples that are above the threshold."""
    return ops.divide_no_nan(counts.tp, counts.tp + counts.fn)


def specificity(counts: Counts) -> Array:
    """The share of the negative samples that are not above the threshold."""
    return ops.divide_no_nan(counts.tn, counts.tn + counts.fp)


@metric(name=None)
class Precision(_AtSome):
    """The share of positive samples among those with a score above the threshold; 0 if there are none.

    Args:
        thresholds: A number in [0, 1], or several for a result (thresholds,). None is 0.5; no threshold with `top_k`.
        top_k: Only the classes with the `top_k` largest scores count as above the threshold. Scores with one axis are
            then those of one sample: (classes,).
        class_id: The class to count; all classes if None.
    """

    thresholds: float | Sequence[float] | None = None
    top_k: int | None = None
    class_id: int | None = None

    def value(self, counts: Counts) -> Array:
        return precision(counts)


@metric(name=None)
class Recall(_AtSome):
    """The share of the positive samples that have a score above the threshold; 0 if there are none.

    Args:
        thresholds, top_k, class_id: As for `Precision`.
    """

    thresholds: float | Sequence[float] | None = None
    top_k: int | None = None
    class_id: int | None = None

    def value(self, counts: Counts) -> Array:
        return recall(counts)


# -- the best under a condition ----------------------------------------------------------------------------------------


class _Best(_AtThresholds):
    num_thresholds: int = 200
    bound: ClassVar[str] = ""
    """The name of the field that holds the lower bound of the first number of `pair`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.probability(self.bound, getattr(self, self.bound), one=True)
        last = self.num_thresholds - 1
        self.set_thresholds([i / last for i in range(last + 1)] if last else [0.5])

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        """At each threshold, the number that has a lower bound and the number to maximise; subclasses define it."""
        raise NotImplementedError

    def summarise(self, counts: Counts) -> Array:
        held, wanted = self.pair(counts)
        xp = namespace(held)
        return xp.max(xp.where(held >= getattr(self, self.bound), wanted, xp.zeros_like(wanted)))


@metric(name=None)
class SensitivityAtSpecificity(_Best):
    """The best sensitivity (recall) among the thresholds where the specificity is at least `specificity`.

    Args:
        specificity: A number in [0, 1].
        num_thresholds: The number of thresholds, evenly spaced from 0 to 1.
        class_id: The class to count; all classes if None.
    """

    specificity: float
    num_thresholds: int = 200
    class_id: int | None = None
    bound: ClassVar[str] = "specificity"

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        return specificity(counts), recall(counts)


@metric(name=None)
class SpecificityAtSensitivity(_Best):
    """The best specificity among the thresholds where the sensitivity is at least `sensitivity`.

    Args:
        sensitivity: A number in [0, 1].
        num_thresholds, class_id: As for `SensitivityAtSpecificity`.
    """

    sensitivity: float
    num_thresholds: int = 200
    class_id: int | None = None
    bound: ClassVar[str] = "sensitivity"

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        return recall(counts), specificity(counts)


@metric(name=None)
class PrecisionAtRecall(_Best):
    """The best precision among the thresholds where the recall is at least `recall`.

    Args:
        recall: A number in [0, 1].
        num_thresholds, class_id: As for `SensitivityAtSpecificity`.
    """

    recall: float
    num_thresholds: int = 200
    class_id: int | None = None
    bound: ClassVar[str] = "recall"

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        return recall(counts), precision(counts)


@metric(name=None)
class RecallAtPrecision(_Best):
    """The best recall among the thresholds where the precision is at least `precision`.

    Args:
        precision: A number in [0, 1].
        num_thresholds, class_id: As for `SensitivityAtSpecificity`.
    """

    precision: float
    num_thresholds: int = 200
    class_id: int | None = None
    bound: ClassVar[str] = "precision"

    def pair(self, counts: Counts) -> tuple[Array, Array]:
        return precision(counts), recall(counts)


# -- under a curve -----------------------------------------------------------------------------------------------------


@metric(name=None)
class AUC(_AtThresholds):
    """The area under a curve with one point for each threshold. Scores are probabilities.

    Args:
        num_thresholds: The number of thresholds, evenly spaced over [0, 1].
        curve: "ROC" (recall over the rate of false positives), "PR" (precision over recall; Davis & Goadrich, ICML
            2006), or "PRGAIN" (their gains; Flach & Kull, NeurIPS 2015).
        summation_method: The height between two points: "interpolation" (for PR, of the counts), "minoring" (the lower
            of both) or "majoring" (the higher).
        thresholds: Thresholds in [0, 1], in place of `num_thresholds`. 0 and 1 are added.
        multi_label: Whether each label of (batch, labels) has its own curve. The areas are then averaged.
        num_labels: The number of labels. If it is None, the first update finds it and changes the shape of the
            accumulator; `Model` sets it.
        label_weights: One weight for each label, (labels,).
        from_logits: Whether scores are logits.
    """

    num_thresholds: int | None = 200
    curve: str = "ROC"
    summation_method: str = "interpolation"
    _: dataclasses.KW_ONLY
    thresholds: Sequence[float] | None = None
    multi_label: bool = False
    num_labels: int | None = None
    label_weights: Sequence[float] | None = None
    from_logits: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.thresholds, list | tuple):
            object.__setattr__(self, "num_thresholds", len(self.thresholds) + 2)
        super().__post_init__()
        checks.one_of("curve", self.curve, ("ROC", "PR", "PRGAIN", "roc", "pr", "prgain"))
        methods = ("interpolation", "minoring", "majoring")
        checks.one_of("summation_method", self.summation_method, (*methods, *(m.capitalize() for m in methods)))
        checks.integer("num_thresholds", self.num_thresholds, least=2)
        if self.num_labels is not None and not self.multi_label:
            raise ArgumentError(
                "`num_labels` is given without multi_label=True, and has no effect then.",
                argument="num_labels",
                fix="give multi_label=True, too",
            )
        if self.label_weights is not None:
            known = tuple(checks.number("label_weights", w, least=0) for w in self.label_weights)
            object.__setattr__(self, "label_weights", known)
        if self.thresholds is not None:
            inner = sorted(_probabilities("thresholds", tuple(self.thresholds)))
            object.__setattr__(self, "thresholds", tuple(inner))
        else:
            last = checks.positive("num_thresholds", self.num_thresholds) - 1
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
                f"`y_pred` must be (batch, labels), got shape {tuple(y_pred.shape)}.",
                argument="y_pred",
                expected="(batch, labels)",
                got=tuple(y_pred.shape),
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
    """The areas below the curve of precision over recall, between its points.

    Between two points, the true positives are taken to grow linearly with the number of samples above the threshold.
    """
    between = counts.histogram[1:-1, ...]
    true, found = between[..., 1], xp.sum(between, axis=-1)
    all_found = counts.tp + counts.fp
    before, after = all_found[:-1, ...], all_found[1:, ...]
    # As in Keras, negative weights, which make no areas, give 0.
    slope = ops.divide_no_nan(true, xp.clip(found, 0, None))
    start = counts.tp[1:, ...] - slope * after
    both = (before > 0) & (after > 0)
    ratio = xp.where(both, ops.divide_no_nan(before, after), xp.ones_like(after))
    positives = xp.clip(counts.tp + counts.fn, 0, None)[1:, ...]
    return ops.divide_no_nan(slope * (true + start * xp.log(ratio)), positives)
