"""Metrics, each over two batches of different sizes, the first of them with weights."""

import numpy as np
from keras_rows import away, integers, normal, positive, unit

from catalogue import New, call, metric


def batches(labels, scores, weights=positive):
    """Batches of 5 and of 3 samples, the first weighted."""
    return (labels(5), scores(5), weights(5)), (labels(3), scores(3))


def of(fun, *shape):
    """`fun(batch, *shape)`, other numbers than those of a `fun` of the same shape without it."""
    return lambda n: fun(n, *shape, salt=len(fun.__name__))


def classes(high, *shape):
    return lambda n: integers(0, high, n, *shape, salt=1)


def one_hot(n):
    return np.eye(4, dtype=np.float32)[integers(0, 4, n, salt=2)]


NUMBERS = batches(of(normal, 3), of(away, 3))
YES = batches(classes(2), of(unit))
LABELS = batches(classes(2, 3), of(unit, 3))
ONE = batches(one_hot, of(unit, 4))
SPARSE = batches(classes(4), of(unit, 4))
SIGNS = batches(lambda n: 2 * classes(2, 3)(n) - 1, of(normal, 3))
"""Labels and scores of one kind each."""

TIES = ((integers(0, 2, 9), np.asarray([0, 0.25, 0.5, 0.75, 1, 0, 0.25, 0.75, 1], np.float32)),)
"""Scores that are thresholds."""

COUNTS = [
    metric(New(f"metrics.{name}", *args), *data, n=16, note=note)
    for name in ("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives")
    for note, args, data in (
        ("", (), YES),
        ("several", ([0.7, 0.2],), LABELS),
        ("even", ([0.0, 0.5, 1.0],), TIES),
    )
    if note != "even" or name in ("TruePositives", "FalseNegatives")
]

RATES = [
    metric(New(f"metrics.{name}", *args, **kwargs), *data, n=16, note=note)
    for name in ("Precision", "Recall")
    for note, args, kwargs, data in (
        ("", (), {}, YES),
        ("several", ([0.75, 0.25],), {}, TIES),
        ("top", (), {"top_k": 2}, ONE),
        ("class", (0.4,), {"top_k": 3, "class_id": 1}, ONE),
    )
]

BEST = [
    metric(New(f"metrics.{name}", *args, **kwargs), *data, n=16, note=note)
    for name in ("SensitivityAtSpecificity", "SpecificityAtSensitivity", "PrecisionAtRecall", "RecallAtPrecision")
    for note, args, kwargs, data in (
        ("", (0.6,), {}, YES),
        ("ties", (0.3,), {"num_thresholds": 5}, TIES),
        ("one", (0.3,), {"num_thresholds": 1, "class_id": 2}, ONE),
    )
    if note != "ties" or name.startswith("S")
]

# The area is a sum over all thresholds, of which each has rounded sums.
AREAS = [
    metric(New("metrics.AUC", *args, **kwargs), *data, n=200, note=note)
    for note, args, kwargs, data in (
        ("", (), {}, YES),
        ("ties", (5,), {}, TIES),
        ("minoring", (20, "ROC", "minoring"), {}, LABELS),
        ("majoring", (20, "PR", "majoring"), {}, LABELS),
        ("pr", (20, "PR"), {"label_weights": [1.0, 0.5, 2.0]}, LABELS),
        ("gain", (20, "PRGAIN"), {}, LABELS),
        ("negative", (20, "PR"), {}, batches(classes(2), of(unit), lambda n: -positive(n))[:1]),
        ("none", (None,), {"thresholds": [0.5]}, LABELS),
        ("logits", (20,), {"from_logits": True}, batches(classes(2, 3), of(normal, 3))),
        ("thresholds", (), {"thresholds": [0.7, 0.2, 0.3]}, LABELS),
        ("labels", (20,), {"multi_label": True, "num_labels": 3}, LABELS),
        ("label_weights", (20,), {"multi_label": True, "label_weights": [1.0, 0.5, 2.0]}, LABELS),
        ("labels-pr", (20, "PR"), {"multi_label": True, "thresholds": [0.6, 0.5]}, LABELS),
    )
]

WHOLE = batches(classes(3, 2), lambda n: integers(0, 3, n, 2, salt=4), lambda n: integers(0, 3, n, 2, salt=5))
"""Classes, and weights that are whole numbers: Keras rounds others down unless there is a dtype."""

OVERLAPS = [
    metric(New("metrics.IoU", 3, [0, 2], dtype="float32"), *batches(classes(3, 2), classes(3, 2), of(unit, 2)), n=16),
    metric(New("metrics.IoU", 3, (1,), ignore_class=0), *WHOLE, n=16, note="ignore"),
    metric(New("metrics.IoU", 2, (0, 1)), *WHOLE, n=16, note="out"),
    # Keras sums the result over `axis`, too, which only works for the axes 0 and -1.
    metric(
        New("metrics.IoU", 4, [0, 1, 3], sparse_y_true=False, sparse_y_pred=False, axis=0),
        (normal(4, 6), away(4, 6)),
        n=6,
        note="scores",
    ),
    metric(New("metrics.BinaryIoU"), *batches(classes(2, 3), of(unit, 3), classes(3, 3)), n=24),
    metric(New("metrics.BinaryIoU", [1], 0.25), *TIES, n=9, note="threshold"),
    metric(New("metrics.MeanIoU", 3), *WHOLE, n=16),
    metric(
        New("metrics.MeanIoU", 4, ignore_class=-1, sparse_y_pred=False), *batches(classes(4), of(unit, 4), classes(3))
    ),
    metric(New("metrics.MeanIoU", 4, sparse_y_true=False, axis=-1), *batches(one_hot, classes(4), classes(3))),
    metric(New("metrics.OneHotIoU", 4, [0, 2], ignore_class=1), *batches(one_hot, of(unit, 4), classes(3)), n=8),
    metric(New("metrics.OneHotIoU", 4, [0, 2], axis=0), (normal(4, 6), away(4, 6)), n=6, note="axis"),
    metric(New("metrics.OneHotIoU", 4, [3], sparse_y_pred=True), *batches(one_hot, classes(4), classes(3)), n=8),
    metric(New("metrics.OneHotMeanIoU", 4, ignore_class=1, axis=-1), *batches(one_hot, of(unit, 4), classes(3)), n=8),
    metric(New("metrics.OneHotMeanIoU", 4, sparse_y_pred=True), *batches(one_hot, classes(4), classes(3)), n=8),
]

SCORES = [
    metric(New("metrics.FBetaScore", *args), *data, n=24, note=note)
    for note, args, data in (
        ("", (), ONE),
        ("micro", ("micro", 2.0, 0.5), LABELS),
        ("macro", ("macro", 0.5, 0.3), LABELS),
        ("weighted", ("weighted", 3.0), ONE),
    )
] + [
    metric(New("metrics.F1Score"), *ONE, n=8),
    metric(New("metrics.F1Score", "weighted", 0.4), *LABELS, n=8, note="weighted"),
]

# The sums of squares about the mean are a few times smaller than those about 0, from which they are found.
R2 = [
    metric(New("metrics.R2Score", *args), *NUMBERS, n=8, condition=4, note=note)
    for note, args in (
        ("", ()),
        ("vector", (None,)),
        ("variance", ("variance_weighted_average",)),
        ("adjusted", ("uniform_average", 2)),
    )
]

MEANS = [
    metric(New("metrics.Mean"), (normal(5), positive(5)), (normal(3),), n=8),
    metric(New("metrics.Mean", dtype="float32"), (normal(5, 3), positive(5, 3)), (normal(3, 3),), n=24),
    metric(New("metrics.Sum"), (normal(5), positive(5)), (normal(3),), n=8),
    metric(New("metrics.Sum", dtype="float32"), (normal(5, 3), positive(5)), n=15),
    metric(New("metrics.MeanMetricWrapper", New("losses.huber", delta=0.5)), *NUMBERS, n=24),
    metric(New("metrics.MeanMetricWrapper", New("metrics.binary_accuracy"), threshold=0.3), *LABELS, n=24),
    metric(New("metrics.MeanSquaredError"), *NUMBERS, n=24),
    metric(New("metrics.MeanSquaredError"), *batches(of(normal, 2, 3), of(away, 2, 3), of(unit, 2)), n=48),
    metric(New("metrics.MeanAbsoluteError"), *NUMBERS, n=24),
    metric(New("metrics.MeanAbsolutePercentageError"), *batches(of(away, 3), of(normal, 3)), n=24),
    metric(New("metrics.MeanSquaredLogarithmicError"), *batches(of(unit, 3), of(positive, 3)), n=24),
    metric(New("metrics.RootMeanSquaredError"), *NUMBERS, n=24),
    metric(New("metrics.RootMeanSquaredError"), *batches(of(normal, 3), of(away, 3), of(unit, 3)), n=24),
    metric(New("metrics.CosineSimilarity"), *NUMBERS, n=24),
    metric(New("metrics.CosineSimilarity", axis=1), *batches(of(normal, 2, 3), of(away, 2, 3)), n=48, note="axis"),
    metric(New("metrics.LogCoshError"), *NUMBERS, n=24),
    metric(New("metrics.PearsonCorrelation"), *NUMBERS, n=24),
    metric(New("metrics.PearsonCorrelation", axis=1), *batches(of(normal, 4, 2), of(away, 4, 2)), n=64, note="axis"),
    metric(New("metrics.ConcordanceCorrelation"), *NUMBERS, n=24),
    metric(
        New("metrics.ConcordanceCorrelation", axis=1), *batches(of(normal, 4, 2), of(away, 4, 2)), n=64, note="axis"
    ),
    metric(New("metrics.KLDivergence"), *batches(of(unit, 4), of(positive, 4)), n=32),
    metric(New("metrics.Poisson"), *batches(of(unit, 4), of(positive, 4)), n=32),
    metric(New("metrics.BinaryCrossentropy"), *LABELS, n=24),
    metric(New("metrics.BinaryCrossentropy", from_logits=True, label_smoothing=0.1), *NUMBERS, n=24, note="logits"),
    metric(New("metrics.CategoricalCrossentropy"), *ONE, n=32),
    metric(New("metrics.CategoricalCrossentropy", label_smoothing=0.1), *ONE, n=32, note="smooth"),
    # Keras smooths by the size of the last axis, whichever is that of the classes.
    metric(
        New("metrics.CategoricalCrossentropy", from_logits=True, axis=1),
        *batches(lambda n: np.stack([one_hot(n), one_hot(n)], axis=-1), of(normal, 4, 2)),
        n=64,
        note="axis",
    ),
    metric(New("metrics.SparseCategoricalCrossentropy"), *SPARSE, n=32),
    # Without weights, Keras counts what is ignored as a loss of 0.
    metric(
        New("metrics.SparseCategoricalCrossentropy", from_logits=True, ignore_class=1), SPARSE[0], n=20, note="ignore"
    ),
    metric(
        New("metrics.SparseCategoricalCrossentropy", axis=2), *batches(classes(4, 2), of(unit, 2, 4)), n=64, note="axis"
    ),
    metric(New("metrics.Hinge"), *SIGNS, n=24),
    metric(New("metrics.SquaredHinge"), *SIGNS, n=24),
    metric(New("metrics.CategoricalHinge"), *ONE, n=32),
    metric(New("metrics.Accuracy"), *batches(classes(3, 2), lambda n: integers(0, 3, n, 2, salt=4)), n=16),
    metric(New("metrics.BinaryAccuracy"), *LABELS, n=24),
    metric(New("metrics.BinaryAccuracy", threshold=0.25), *TIES, n=9, note="threshold"),
    metric(New("metrics.CategoricalAccuracy"), *ONE, n=8),
    metric(New("metrics.SparseCategoricalAccuracy"), *SPARSE, n=8),
    metric(New("metrics.SparseCategoricalAccuracy"), *batches(classes(4, 1), of(unit, 4)), n=8, note="column"),
    metric(New("metrics.TopKCategoricalAccuracy", 2), *ONE, n=8),
    metric(New("metrics.SparseTopKCategoricalAccuracy", 2), *batches(classes(4, 2), of(unit, 2, 4)), n=16),
    metric(
        New("metrics.SparseTopKCategoricalAccuracy", 2, from_sorted_ids=True),
        (integers(0, 4, 5), np.argsort(normal(5, 4), axis=-1).astype(np.float32)),
        n=5,
        note="sorted",
    ),
]

FUNCTIONS = [
    call(New(f"metrics.{name}", **kwargs), *args, grad=grad, n=8)
    for name, kwargs, args, grad in (
        ("binary_accuracy", {"threshold": 0.3}, LABELS[0][:2], "it is flat"),
        ("categorical_accuracy", {}, ONE[0][:2], "it is flat"),
        ("sparse_categorical_accuracy", {}, SPARSE[0][:2], "it is flat"),
        ("top_k_categorical_accuracy", {"k": 2}, ONE[0][:2], "it is flat"),
        ("sparse_top_k_categorical_accuracy", {"k": 2}, SPARSE[0][:2], "it is flat"),
        ("pearson_correlation", {}, (normal(2, 8), away(2, 8)), True),
        ("concordance_correlation", {"axis": 0}, (normal(8, 2), away(8, 2)), True),
    )
]

ROWS = COUNTS + RATES + BEST + AREAS + OVERLAPS + SCORES + R2 + MEANS + FUNCTIONS
