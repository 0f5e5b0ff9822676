"""Metrics beyond their rows in `catalogue`: how exactly they add up, merging, masks, names, and bad arguments."""

from __future__ import annotations

import functools
import inspect
import json

import numpy as np
import pytest
from backends import COMPILING, EAGER
from catalogue_oracle import IDS, ROWS, made

import kfunc as kf
from kfunc import losses, metrics, nn, registry
from kfunc.errors import ArgumentError, ShapeError

pytestmark = pytest.mark.usefixtures("quickly_compiled")

EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(0)

METRICS = [pytest.param(row, id=name) for row, name in zip(ROWS, IDS, strict=True) if row.kind == "metric"]
"""All rows of metrics: an object, and batches for it."""


def accumulated(metric, batches, acc=None, **options):
    acc = metric.init("numpy") if acc is None else acc
    return functools.reduce(lambda acc, batch: metric.update(acc, *batch, **options), batches, acc)


def same(got, wanted):
    # A few sums of up to 200 numbers.
    np.testing.assert_allclose(got, wanted, rtol=0, atol=256 * EPS * max(1, np.abs(wanted).max()))


def takes_two(metric):
    return not isinstance(metric, metrics.Mean | metrics.Sum)


def outputs(batch):
    """How many numbers a prediction has."""
    return batch[1].shape[-1] if len(batch) > 1 else None


# -- every metric ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", METRICS)
def test_merged_accumulators_are_those_of_one_pass(row):
    metric = made(row)
    parts = [accumulated(metric, [batch]) for batch in row.args]
    merged = functools.reduce(metric.merge, parts, metric.init("numpy"))
    same(metric.result(merged), metric.result(accumulated(metric, row.args)))


@pytest.mark.parametrize("row", METRICS)
def test_without_samples_and_weights_the_result_is_0(row):
    metric = made(row)
    assert np.all(metric.result(metric.init("numpy")) == 0)
    if row.new.kwargs.get("axis") == 0 or getattr(metric, "num_regressors", 0):
        return  # the batch is another axis; samples count, whatever their weights
    nothing = [batch[:2] if takes_two(metric) else batch[:1] for batch in row.args]
    zero = [(*batch, np.zeros(batch[0].shape[:1], np.float32)) for batch in nothing]
    assert np.all(metric.result(accumulated(metric, zero)) == 0)


@pytest.mark.parametrize("row", METRICS)
def test_a_mask_leaves_samples_out(row):
    metric, batch = made(row), row.args[0]
    if row.new.kwargs.get("axis") == 0:
        return  # the batch is another axis
    mask = np.arange(batch[0].shape[0]) % 3 != 1
    got = metric.result(accumulated(metric, [batch], mask=mask))
    same(got, metric.result(accumulated(metric, [tuple(x[mask] for x in batch)])))


@pytest.mark.parametrize("row", METRICS)
def test_accumulators_keep_their_shape_once_they_know_the_outputs(row):
    metric = made(row).sized(outputs(row.args[0]))
    acc = metric.init("numpy")
    for batch in row.args:
        new = metric.update(acc, *batch)
        assert {k: (x.shape, x.dtype) for k, x in new.items()} == {k: (x.shape, x.dtype) for k, x in acc.items()}
        acc = new
    same(metric.result(acc), made(row).result(accumulated(made(row), row.args)))


@pytest.mark.parametrize("row", METRICS)
def test_configs_describe_metrics_completely(row):
    metric = made(row)
    if isinstance(metric, metrics.MeanMetricWrapper):
        metric = metrics.MeanMetricWrapper(losses.Huber(0.5))  # other functions are not in the registry
    config = json.loads(json.dumps(registry.to_config("metric", metric)))
    assert registry.from_config("metric", config) == metric


OF_EACH_KIND = ["metrics.AUC", "metrics.R2Score", "metrics.Mean", "metrics.MeanIoU", "metrics.FBetaScore"]


@pytest.mark.parametrize("name", [p for p in COMPILING if p.values[0] != "openvino"])
def test_compiled_updates_and_merges(name):
    for wanted in OF_EACH_KIND[: 1 if name == "torch" else None]:  # Inductor takes ten seconds for each
        row = ROWS[IDS.index(f"metrics-{wanted}")]
        metric, batch = made(row).sized(outputs(row.args[0])), row.args[0]
        update = kf.jit(lambda acc, *batch, metric=metric: metric.merge(metric.update(acc, *batch), acc))
        acc, given = metric.init(name), kf.to_backend(batch, name)
        for _ in range(2):
            acc = update(acc, *given)
        assert {kf.backend_of(x).name for x in kf.tree.leaves(acc)} == {name}
        same(kf.to_numpy(metric.result(acc)), metric.result(accumulated(metric, [batch] * 3)))


# -- exactness ---------------------------------------------------------------------------------------------------------


def value(acc):
    sums, lost = (kf.to_numpy(acc[k]).astype(np.float64) for k in ("sums", "lost"))
    return sums - lost


def big(metric, name):
    """As after 2**24 samples of the value 1, to which float32 alone could add no further one."""
    zero = metric.init(name)
    return {"sums": kf.asarray(kf.to_numpy(zero["sums"]) + np.float32(2**24), backend=name), "lost": zero["lost"]}


@pytest.mark.parametrize("name", EAGER)
def test_sums_stay_exact_beyond_what_float32_counts(name):
    metric = metrics.Mean()
    acc = big(metric, name)
    for _ in range(6):
        acc = metric.update(acc, kf.asarray(np.asarray([0.5], np.float32), backend=name))
    np.testing.assert_array_equal(value(acc), [2.0**24 + 3, 2.0**24 + 6])
    # And merging loses nothing that its arguments knew.
    one = metric.update(big(metric, name), kf.asarray(np.asarray([1.0], np.float32), backend=name))
    merged = metric.merge(metric.merge(one, acc), one)
    np.testing.assert_array_equal(value(merged), [3 * 2.0**24 + 5, 3 * 2.0**24 + 8])


@pytest.mark.parametrize("name", [p for p in COMPILING if p.values[0] != "openvino"])
def test_compilers_do_not_simplify_the_compensation_away(name):
    metric = metrics.Mean()
    update = kf.jit(lambda acc, x: metric.merge(metric.update(metric.update(acc, x), x), acc))
    acc = update(big(metric, name), kf.asarray(np.asarray([0.5], np.float32), backend=name))
    np.testing.assert_array_equal(value(acc), [2.0**25 + 1, 2.0**25 + 2])


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (metrics.TruePositives(), [[0, 0], [0, 1]]),
        (metrics.MeanIoU(2), [[0, 0], [0, 1]]),
        (metrics.FBetaScore("micro"), [1, 0, 0]),
        (metrics.Sum(), 1),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_counts_stay_exact_beyond_what_float32_counts(metric, wanted):
    acc = big(metric, "numpy")
    for _ in range(5):
        one = np.ones((1, 1), np.float32)
        acc = metric.update(acc, one, *([one] if takes_two(metric) else []))
    np.testing.assert_array_equal(value(acc), 2.0**24 + 5 * np.asarray(wanted, np.float64))


def test_rare_errors_are_not_lost_beside_many_successes():
    metric = metrics.FalseNegatives([0.1, 0.9])
    acc = metric.init("numpy")
    acc = {**acc, "sums": acc["sums"] + np.asarray([[0, 0], [0, 0], [0, 2.0**26]], np.float32)}
    acc = metric.update(acc, np.ones(3, np.int32), np.asarray([0.0, 0.5, 0.5], np.float32))
    np.testing.assert_array_equal(metric.result(acc), [1, 3])


def test_sums_in_float64():
    metric = metrics.Mean(dtype="float64")
    acc = metric.update(metric.init("numpy"), np.asarray([0.1, 0.2]))
    assert {x.dtype for x in acc.values()} == {np.dtype("float64")}
    assert metric.result(acc) == pytest.approx(0.15, rel=1e-15)


@pytest.mark.parametrize("cls", [metrics.MeanSquaredError, metrics.R2Score, metrics.AUC, metrics.FBetaScore])
def test_half_precision_is_summed_up_in_float32(cls):
    y_true, y_pred = np.tile(np.eye(2, dtype=np.float16), (2000, 1)), RNG.random((4000, 2)).astype(np.float16)
    metric = cls()
    got = accumulated(metric, [(y_true, y_pred)])
    assert got["sums"].dtype == np.float32
    same(metric.result(got), metric.result(accumulated(metric, [(y_true, y_pred.astype(np.float32))])))


# -- what Keras does not do, or does otherwise -------------------------------------------------------------------------


def test_init_is_where_its_argument_is():
    assert kf.backend_of(metrics.Mean().init({"a": np.ones(2)})).name == "numpy"
    assert kf.backend_of(metrics.Mean().init("array_api_strict")).name == "array_api_strict"


def test_labels_out_of_range_are_never_right():
    y_pred = np.asarray([[9.0, 0, 0]] * 3, np.float32)
    for metric in (metrics.SparseCategoricalAccuracy(), metrics.SparseTopKCategoricalAccuracy(k=3)):
        acc = accumulated(metric, [(np.asarray([-1, 3, 0]), y_pred)])
        assert metric.result(acc) == pytest.approx(1 / 3, rel=EPS)


@pytest.mark.parametrize("of", [metrics.SparseCategoricalCrossentropy, losses.SparseCategoricalCrossentropy])
def test_what_a_loss_ignores_does_not_count(of):
    options = {"from_logits": True, "ignore_class": 0}
    metric = of(**options) if of is metrics.SparseCategoricalCrossentropy else metrics.MeanMetricWrapper(of(**options))
    labels, logits = RNG.integers(0, 3, 20), RNG.normal(size=(20, 3)).astype(np.float32)
    keep = labels != 0
    wanted = losses.sparse_categorical_crossentropy(labels[keep], logits[keep], from_logits=True).mean()
    same(metric.result(accumulated(metric, [(labels, logits)])), wanted)


def test_masks_of_steps_and_weights_of_samples():
    labels, scores = np.asarray([[0, 1], [1, 1]]), np.asarray([[0.1, 0.2], [0.7, 0.6]], np.float32)
    mask, weights = np.asarray([[True, False], [True, True]]), np.asarray([2.0, 1.0], np.float32)
    for metric, wanted in (
        (metrics.TruePositives(), 2),
        (metrics.TrueNegatives(), 2),
        (metrics.FalseNegatives(), 0),
        (metrics.Sum(), 2 * 0.1 + 1.3),
    ):
        given = (labels, scores) if takes_two(metric) else (scores,)
        same(metric.result(metric.update(metric.init("numpy"), *given, weights, mask)), wanted)


def test_scores_that_are_no_numbers_pass_no_threshold():
    y_pred = np.asarray([np.nan, 0.5, np.nan, 0.9], np.float32)
    for thresholds in ([0.3, 0.1], [0.0, 0.5, 1.0]):
        counts = [kind(thresholds) for kind in (metrics.TruePositives, metrics.FalsePositives)]
        tp, fp = (m.result(accumulated(m, [(np.asarray([1, 1, 0, 0]), y_pred)])) for m in counts)
        np.testing.assert_array_equal(tp, fp if len(thresholds) == 2 else [1, 0, 0])


def test_axes_of_classes():
    y_true, y_pred = RNG.integers(0, 3, (4, 5)), RNG.random((4, 3, 5)).astype(np.float32)
    first, last = (metrics.MeanIoU(3, sparse_y_pred=False, axis=axis) for axis in (1, -1))
    wanted = last.result(accumulated(last, [(y_true, np.moveaxis(y_pred, 1, -1))]))
    assert first.result(accumulated(first, [(y_true, y_pred)])) == wanted


def test_r2_of_too_few_samples_and_of_a_constant():
    y_true, y_pred = RNG.normal(size=(3, 1)).astype(np.float32), RNG.normal(size=(3, 1)).astype(np.float32)
    plain, adjusted = metrics.R2Score(), metrics.R2Score(num_regressors=2)
    assert plain.result(accumulated(plain, [(y_true, y_pred)])) == adjusted.result(
        accumulated(adjusted, [(y_true, y_pred)])
    )
    constant = np.stack([np.ones(3, np.float32), y_true[:, 0]], axis=-1)
    vector = metrics.R2Score(None)
    got = vector.result(accumulated(vector, [(constant, constant)]))
    np.testing.assert_array_equal(got, [0, 1])


def test_correlations_of_constants_are_0():
    for metric in (metrics.PearsonCorrelation(), metrics.ConcordanceCorrelation()):
        assert metric.result(accumulated(metric, [(np.ones((2, 3)), RNG.random((2, 3)))])) == 0


@pytest.mark.parametrize("name", ["numpy", pytest.param("jax", marks=pytest.mark.jax)])
def test_models_are_measured(name):
    x = RNG.normal(size=(20, 4)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[RNG.integers(0, 3, 20)]
    given = ["accuracy", "auc", "f1_score", "r2_score"]
    given += [metrics.AUC(multi_label=True, name="by_label"), metrics.Recall([0.2, 0.4]), metrics.OneHotMeanIoU(3)]
    model = kf.Model(nn.Sequential([nn.Dense(3, activation="softmax")]))
    model.compile("sgd", "categorical_crossentropy", metrics=given)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0, backend=name)
    logs = model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    y_pred = kf.to_numpy(model.predict(x, verbose=0))
    for metric in given[1:]:
        metric = metrics.resolve(metric)
        got = logs[metric.name]
        same(np.asarray(got, np.float32), metric.result(accumulated(metric, [(y, y_pred)])))


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, shapes, wanted",
    [
        ("accuracy", ((5, 1), (5,)), metrics.BinaryAccuracy(name="accuracy")),
        ("accuracy", ((5, 3), (5,)), metrics.SparseCategoricalAccuracy(name="accuracy")),
        ("accuracy", ((5, 3), (5, 1)), metrics.SparseCategoricalAccuracy(name="accuracy")),
        ("acc", ((5, 3), (5, 3)), metrics.CategoricalAccuracy(name="acc")),
        ("acc", ((5, 2, 3), (5, 2)), metrics.SparseCategoricalAccuracy(name="acc")),
        ("mse", (), metrics.MeanSquaredError(name="mse")),
        ("huber", (), metrics.MeanMetricWrapper(losses.Huber(), name="huber")),
        ("ce", ((5, 3), (5,)), metrics.MeanMetricWrapper(losses.SparseCategoricalCrossentropy(), name="ce")),
        (losses.Huber(0.5), (), metrics.MeanMetricWrapper(losses.Huber(0.5))),
        (losses.huber, (), metrics.MeanMetricWrapper(losses.Huber())),
        (metrics.BinaryAccuracy, (), metrics.BinaryAccuracy()),
        (metrics.BinaryAccuracy(threshold=0.3), (), metrics.BinaryAccuracy(threshold=0.3)),
        ({"class": "BinaryAccuracy", "config": {"threshold": 0.3}}, (), metrics.BinaryAccuracy(threshold=0.3)),
        ("R2Score", ((5, 3), (5, 3)), metrics.R2Score(num_outputs=3, name="R2Score")),
        ("f1_score", ((5, 3), (5, 3)), metrics.F1Score(num_outputs=3)),
        (metrics.AUC(multi_label=True), ((5, 3), (5, 3)), metrics.AUC(multi_label=True, num_labels=3)),
        (metrics.AUC(), ((5, 3), (5, 3)), metrics.AUC()),
    ],
)
def test_resolve(value, shapes, wanted):
    metric = metrics.resolve(value, None, *shapes)
    assert metric == wanted
    config = json.loads(json.dumps(registry.to_config("metric", metric)))
    assert metrics.resolve(config) == metric


def test_accuracy_of_logits_has_the_threshold_zero():
    metric = metrics.resolve("accuracy", losses.BinaryCrossentropy(from_logits=True), (5, 1), (5, 1))
    assert metric == metrics.BinaryAccuracy(threshold=0.0, name="accuracy")


@pytest.mark.parametrize("backend", EAGER)
@pytest.mark.parametrize(("name", "wanted"), [("Precision", 1 / 3), ("Recall", 1 / 2)])
def test_top_k_of_one_sample_without_an_axis_of_samples(backend, name, wanted):
    """Counted by hand: the best three of the scores are the classes 0, 2 and 4, and only the label of 2 is set."""
    lift = functools.partial(kf.asarray, backend=backend)
    metric = getattr(metrics, name)(top_k=3)
    scores, labels = lift(np.float32([0.2, 0.1, 0.5, 0, 0.2])), lift(np.float32([0, 1, 1, 0, 0]))
    one = metric.update(metric.init(like=scores), labels, scores)
    assert float(metric.result(one)) == pytest.approx(wanted)
    rows = metric.update(metric.init(like=scores), labels[None, ...], scores[None, ...])
    np.testing.assert_array_equal(kf.to_numpy(one["sums"]), kf.to_numpy(rows["sums"]))


def test_every_name_that_keras_knows():
    known = pytest.importorskip("keras.src.metrics").ALL_OBJECTS_DICT
    assert len(known) > 80
    for name, cls in sorted(known.items(), key=lambda item: item[0]):  # Keras makes it from a set
        if name.lower() in ("metric", "meanmetricwrapper", "mean_metric_wrapper"):
            continue
        shapes = ((5, 3), (5, 3)) if name not in ("Mean", "mean", "Sum", "sum") else ()
        needs = [p.name for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
        if needs:
            with pytest.raises(ArgumentError, match=needs[0]):
                metrics.resolve(name, None, *shapes)
        else:
            metric = metrics.resolve(name, None, *shapes)
            assert metric.name == name
            if name != "accuracy":  # which one that is depends on the shapes
                assert type(metric).__name__ == cls.__name__
                assert inspect.signature(cls).parameters["name"].default in (None, type(metric)().name)


def test_names():
    assert metrics.SparseTopKCategoricalAccuracy().name == "sparse_top_k_categorical_accuracy"
    assert metrics.MeanMetricWrapper("mse").name == "mean_squared_error"
    assert metrics.MeanMetricWrapper(metrics.binary_accuracy, threshold=0.2).name == "binary_accuracy"
    for call in (
        lambda: metrics.resolve("acuracy"),
        lambda: metrics.resolve("accuracy"),
        lambda: metrics.resolve(3),
        lambda: metrics.resolve("mean", None, (5, 3), (5, 3)),
    ):
        with pytest.raises(ArgumentError):
            call()


# -- bad arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "argument", "values"),
    [
        ("Mean", "dtype", ["int32", "float16", 3]),
        ("BinaryAccuracy", "threshold", ["a", None, True]),
        ("TopKCategoricalAccuracy", "k", [0, 2.5, True]),
        ("SparseTopKCategoricalAccuracy", "k", [-1, "3"]),
        ("SparseTopKCategoricalAccuracy", "from_sorted_ids", [1]),
        ("CosineSimilarity", "axis", [1.0, None]),
        ("PearsonCorrelation", "axis", ["a"]),
        ("ConcordanceCorrelation", "axis", [True]),
        ("R2Score", "class_aggregation", ["mean", 3]),
        ("R2Score", "num_regressors", [-1, 1.5]),
        ("R2Score", "num_outputs", [0]),
        ("BinaryCrossentropy", "from_logits", [1]),
        ("CategoricalCrossentropy", "label_smoothing", [-0.1, 2, "a"]),
        ("CategoricalCrossentropy", "axis", [0.5]),
        ("SparseCategoricalCrossentropy", "axis", ["a"]),
        ("SparseCategoricalCrossentropy", "ignore_class", [0.5]),
        *((name, "thresholds", [-0.1, [0.5, 2], [], "a", [None]]) for name in ("TruePositives", "Precision", "Recall")),
        *((name, "top_k", [0, 1.5]) for name in ("Precision", "Recall")),
        *((name, "class_id", [-1, "a"]) for name in ("Precision", "Recall")),
        ("AUC", "thresholds", [[-0.1], [2.0], []]),
        ("AUC", "num_thresholds", [1, 2.5]),
        ("AUC", "curve", ["ROG", None]),
        ("AUC", "summation_method", ["mean"]),
        ("AUC", "multi_label", [1]),
        ("AUC", "num_labels", [3, 0]),
        ("AUC", "label_weights", [[-1.0], ["a"]]),
        ("AUC", "from_logits", ["yes"]),
        ("FBetaScore", "average", ["mean"]),
        ("FBetaScore", "beta", [0, -1.0, "a"]),
        ("FBetaScore", "threshold", [0.0, 1.5]),
        ("F1Score", "average", [3]),
        ("BinaryIoU", "target_class_ids", [[2], [], 1, [-1]]),
        ("BinaryIoU", "threshold", ["a"]),
        ("MeanIoU", "num_classes", [0, 2.5]),
        ("MeanMetricWrapper", "fn", [3, None]),
    ],
)
def test_bad_arguments(cls, argument, values):
    for value in values:
        with pytest.raises(ArgumentError) as info:
            getattr(metrics, cls)(**{argument: value})
        assert info.value.argument == argument


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: metrics.IoU(3, [3]), "target_class_ids"),
        (lambda: metrics.IoU(3, [0], ignore_class="a"), "ignore_class"),
        (lambda: metrics.OneHotIoU(3, [0], sparse_y_pred=1), "sparse_y_pred"),
        (lambda: metrics.OneHotMeanIoU(3, axis=None), "axis"),
        (lambda: metrics.SensitivityAtSpecificity(1.5), "specificity"),
        (lambda: metrics.SpecificityAtSensitivity(-0.5), "sensitivity"),
        (lambda: metrics.PrecisionAtRecall("a"), "recall"),
        (lambda: metrics.RecallAtPrecision(0.5, num_thresholds=0), "num_thresholds"),
        (lambda: metrics.RecallAtPrecision(0.5, class_id=-1), "class_id"),
        (lambda: metrics.MeanMetricWrapper("mse", axis=1), "axis"),
    ],
)
def test_bad_combinations(make, argument):
    with pytest.raises(ArgumentError) as info:
        make()
    assert info.value.argument == argument


@pytest.mark.parametrize(
    ("metric", "shapes", "argument"),
    [
        (metrics.Accuracy(), ((3, 1), (3, 2)), "y_true"),
        (metrics.BinaryAccuracy(), ((3,), (4,)), "y_true"),
        (metrics.CategoricalAccuracy(), ((3,), (3, 2)), "y_true"),
        (metrics.SparseCategoricalAccuracy(), ((2,), (3, 2)), "y_true"),
        (metrics.TruePositives(), ((3, 1), (3, 2)), "y_true"),
        (metrics.Precision(class_id=2), ((3, 2), (3, 2)), "y_pred"),
        (metrics.Precision(top_k=1), ((), ()), "y_pred"),
        (metrics.Recall(class_id=1, top_k=1), ((3,), (3,)), "y_pred"),
        (metrics.AUC(multi_label=True), ((3, 2, 2), (3, 2, 2)), "y_pred"),
        (metrics.FBetaScore(), ((3,), (3,)), "y_pred"),
        (metrics.R2Score(), ((3,), (3,)), "y_pred"),
        (metrics.IoU(2, [0]), ((3,), (4,)), "y_true"),
        (metrics.TruePositives(), ((3,), (3,), (3, 2)), "sample_weight"),
        (metrics.MeanSquaredError(), ((3, 2), (3, 2), (3, 2)), "sample_weight"),
    ],
)
def test_bad_shapes(metric, shapes, argument):
    with pytest.raises(ShapeError) as info:
        metric.update(metric.init("numpy"), *(np.ones(shape, np.float32) for shape in shapes))
    assert info.value.argument == argument


@pytest.mark.parametrize("average", [None, "macro", "weighted"])
def test_where_almost_nothing_counts_each_quotient_is_of_a_little_more(average):
    """Weights so small that 1e-7, which is added to each divisor as in Keras, is most of it."""
    m, n = metrics.FBetaScore(average, beta=2.0, threshold=0.5), float(np.float32(1e-13))
    labels, scores = np.float32([[1], [1]]), np.float32([[0.75], [0.25]])  # one is right, one is missed
    found = m.result(m.update(m.init("numpy"), labels, scores, np.full(2, n, np.float32)))
    precision, recall = n / (n + 1e-7), n / (2 * n + 1e-7)
    score = 5 * precision * recall / (4 * precision + recall + 1e-7)
    wanted = score * (2 * n / (2 * n + 1e-7)) if average == "weighted" else score
    np.testing.assert_allclose(np.ravel(found), [wanted], rtol=16 * EPS)


def test_quotients_of_iou_are_of_a_little_more():
    m = metrics.IoU(3, [0, 1, 2], dtype="float64")  # no class 2 is there
    found = m.result(m.update(m.init("numpy"), np.asarray([0, 0, 1, 1, 1]), np.asarray([0, 1, 1, 1, 1])))
    np.testing.assert_allclose(found, (1 / (2 + 1e-7) + 3 / (4 + 1e-7)) / (2 + 1e-7), rtol=1e-12)


@pytest.mark.parametrize(
    ("middle", "even"),
    [(0.5, True), (0.4, False), (0.5 + 4e-6, True), (0.5 + 7e-6, False)],
    ids=["even", "uneven", "nearly even", "not even enough"],
)
def test_scores_outside_0_and_1(middle, even):
    """Between even thresholds no search is needed: there a score above 1 counts as 1, and one below 0 as 0."""
    m = metrics.TruePositives(thresholds=[0.0, middle, 1.0])
    scores = np.float32([-0.5, 0.0, 0.25, 0.5, 0.5 + 2e-6, 0.75, 1.0, 1.5, np.nan])
    acc = m.update(m.init("numpy"), np.ones(9, np.float32), scores)
    above = 4 if even else sum(scores[:-1] > middle)  # the middle
    np.testing.assert_array_equal(m.result(acc), [6, above, 0 if even else 1])


@pytest.mark.parametrize("thresholds", [None, [0.25, 0.7]], ids=["even", "uneven"])
def test_scores_at_the_ends_of_curves(thresholds):
    """The first and the last threshold lie a little outside of [0, 1]. Even ones are as above."""
    labels, scores = np.float32([1, 0, 0, 1, 1, 0]), np.float32([1.5, -0.5, 1, 0, 0.75, 0.5])
    m = metrics.AUC(num_thresholds=5, thresholds=thresholds)
    found = m.result(m.update(m.init("numpy"), labels, scores))
    if thresholds is None:
        scores = np.clip(scores, 0, 1)
    cuts = np.asarray([-1e-7, *(thresholds or [0.25, 0.5, 0.75]), 1 + 1e-7])
    tpr, fpr = ((scores[labels == of] > cuts[:, None]).sum(1) / 3 for of in (1, 0))
    np.testing.assert_allclose(found, ((fpr[:-1] - fpr[1:]) * (tpr[:-1] + tpr[1:]) / 2).sum(), rtol=4 * EPS)


@pytest.mark.parametrize("name", ["Mean", "Sum"])
def test_a_value_without_axes(name):
    m = getattr(metrics, name)()
    acc = m.init("numpy")
    for value in (np.asarray(1.5, np.float32), np.asarray(2.5, np.float32)):
        acc = m.update(acc, value)
    assert m.result(acc) == (2 if name == "Mean" else 4)


@pytest.mark.parametrize(
    ("metric", "last", "wanted"),
    [
        (metrics.SensitivityAtSpecificity(0.6, num_thresholds=5), 0.8, 1 / 3),
        (metrics.SpecificityAtSensitivity(0.3, num_thresholds=5), 0.8, 2 / 3),
        (metrics.PrecisionAtRecall(0.3, num_thresholds=5), 0.6, 1),
        (metrics.RecallAtPrecision(0.9, num_thresholds=5), 0.6, 1 / 3),
    ],
    ids=lambda x: type(x).__name__,
)
def test_all_thresholds_count(metric, last, wanted):
    """Of 0, 1/4, 1/2, 3/4, 1: the best is at 3/4, above which lie one positive, and `last`, a negative, or not."""
    labels, scores = np.float32([1, 1, 1, 0, 0, 0]), np.float32([0.7, 0.7, 0.9, 0.7, 0.7, last])
    assert metric.result(metric.update(metric.init("numpy"), labels, scores)) == pytest.approx(wanted)


def test_what_sums_lose_is_added_in_the_end():
    m, total = metrics.Sum(), np.float32(1)
    acc = m.update(m.init("numpy"), total)
    for _ in range(3):
        acc = m.update(acc, np.float32(4e-8))  # each alone would be lost
    assert m.result(acc) == np.float32(1 + 12e-8)
