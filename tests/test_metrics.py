"""Metrics against Keras over several batches, on every backend, eager and compiled; and how exactly they add up."""

from __future__ import annotations

import functools
import json
import os

import numpy as np
import pytest
from backends import COMPILING, EAGER

import kfunc as kf
from kfunc import losses, metrics, registry
from kfunc.errors import ArgumentError

EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(0)
C = 6


def batches(labels, outputs, n=3):
    """Batches of sizes 5, 4, 3 of labels, outputs and weights."""
    return [(labels(b), outputs(b), RNG.uniform(0, 2, size=b).astype(np.float32)) for b in range(5, 5 - n, -1)]


def normal(*shape):
    return lambda b: RNG.normal(size=(b, *shape)).astype(np.float32)


def integers(high, *shape):
    return lambda b: RNG.integers(0, high, size=(b, *shape)).astype(np.int32)


def one_hot(b):
    return np.eye(C, dtype=np.float32)[RNG.integers(0, C, size=b)]


# name of the metric, ours and Keras's: arguments and batches
TABLE = [
    ("Accuracy", {}, batches(integers(2, 3), lambda b: integers(2, 3)(b).astype(np.float32))),
    ("BinaryAccuracy", {}, batches(integers(2), normal(1))),
    ("BinaryAccuracy", {"threshold": 0.0}, batches(integers(2, 3), normal(3))),
    ("CategoricalAccuracy", {}, batches(one_hot, normal(C))),
    ("SparseCategoricalAccuracy", {}, batches(integers(C), normal(C))),
    ("SparseCategoricalAccuracy", {}, batches(integers(C, 1), normal(C))),
    ("SparseCategoricalAccuracy", {}, batches(integers(C, 2), normal(2, C))),
    ("TopKCategoricalAccuracy", {"k": 3}, batches(one_hot, normal(C))),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, batches(integers(C), normal(C))),
    ("MeanSquaredError", {}, batches(normal(3), normal(3))),
    ("MeanSquaredError", {}, batches(normal(3, 2), normal(3, 2))),
    ("RootMeanSquaredError", {}, batches(normal(), normal())),
    ("MeanAbsoluteError", {}, batches(normal(), normal(1))),
]
IDS = [f"{n}{i}" for i, (n, *_) in enumerate(TABLE)]


@pytest.fixture(scope="module")
def oracle():
    """Number of the table's row, and whether there are weights, to Keras's result."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")

    @functools.cache
    def compute(index, weighted):
        cls, arguments, data = TABLE[index]
        metric = getattr(keras.metrics, cls)(**arguments)
        for y_true, y_pred, weights in data:
            metric.update_state(y_true, y_pred, weights if weighted else None)
        return float(metric.result())

    return compute


def run(metric, data, name="numpy", weighted=False, transform=lambda f: f):
    acc = metric.init(name)
    update = transform(lambda acc, t, p, w: metric.update(acc, t, p, w if weighted else None))
    for y_true, y_pred, weights in data:
        acc = update(acc, *kf.to_backend((y_true, y_pred, weights), name))
    assert {kf.backend_of(x).name for x in kf.tree.leaves(acc)} == {name}
    assert {kf.arrays.dtype_name(x.dtype) for x in kf.tree.leaves(acc)} == {"float32"}
    result = metric.result(acc)
    assert tuple(result.shape) == ()
    return float(kf.to_numpy(result))


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", EAGER)
@pytest.mark.parametrize("index", range(len(TABLE)), ids=IDS)
def test_results_are_keras_s(index, name, weighted, oracle):
    cls, arguments, data = TABLE[index]
    # Sums of up to 12 values in float32, on both sides.
    wanted = pytest.approx(oracle(index, weighted), rel=32 * EPS)
    assert run(getattr(metrics, cls)(**arguments), data, name, weighted) == wanted


@pytest.mark.parametrize("name", [p for p in COMPILING if p.values[0] != "openvino"])
def test_compiled(name):
    for cls, arguments, data in [TABLE[4], TABLE[9]]:
        metric = getattr(metrics, cls)(**arguments)
        data = [data[0]] * 3
        eager = run(metric, data, weighted=True)
        assert run(metric, data, name, True, kf.jit) == pytest.approx(eager, rel=32 * EPS)


@pytest.mark.parametrize("name", EAGER)
def test_sums_stay_exact_beyond_what_float32_counts(name):
    metric = metrics.Mean()
    acc = metric.init(name)
    # As after 2**24 samples of the value 1, to which float32 alone could add no further one.
    big = kf.asarray(np.asarray([2.0**24, 2.0**24], np.float32), backend=name)
    acc = {"sums": big, "lost": acc["lost"]}
    for _ in range(6):
        acc = metric.update(acc, None, kf.asarray(np.asarray([0.5], np.float32), backend=name))
    sums, lost = (kf.to_numpy(acc[k]).astype(np.float64) for k in ("sums", "lost"))
    np.testing.assert_array_equal(sums - lost, [2.0**24 + 3, 2.0**24 + 6])


@pytest.mark.parametrize("name", [p for p in COMPILING if p.values[0] != "openvino"])
def test_compilers_do_not_simplify_the_compensation_away(name):
    metric = metrics.Mean()
    start = {
        "sums": kf.asarray(np.asarray([2.0**24, 2.0**24], np.float32), backend=name),
        "lost": metric.init(name)["lost"],
    }
    update = kf.jit(lambda acc, x: metric.update(metric.update(acc, None, x), None, x))
    acc = update(start, kf.asarray(np.asarray([0.5], np.float32), backend=name))
    sums, lost = (kf.to_numpy(acc[k]).astype(np.float64) for k in ("sums", "lost"))
    np.testing.assert_array_equal(sums - lost, [2.0**24 + 1, 2.0**24 + 2])


def test_no_samples_and_zero_weights_give_zero():
    metric = metrics.SparseCategoricalAccuracy()
    acc = metric.init()
    assert metric.result(acc) == 0
    acc = metric.update(acc, np.asarray([1]), np.ones((1, 3), np.float32), np.zeros(1, np.float32))
    assert metric.result(acc) == 0


def test_init_is_where_its_argument_is():
    assert kf.backend_of(metrics.Mean().init({"a": np.ones(2)})).name == "numpy"
    assert kf.backend_of(metrics.Mean().init("array_api_strict")).name == "array_api_strict"


def test_padding_with_weight_zero_changes_nothing():
    y_true, y_pred, weights = TABLE[6][2][0]
    metric = metrics.SparseCategoricalAccuracy()
    short = run(metric, [(y_true[:3], y_pred[:3], weights[:3])], weighted=True)
    assert run(metric, [(y_true, y_pred, np.r_[weights[:3], 0, 0].astype(np.float32))], weighted=True) == short


def test_labels_out_of_range_are_never_right():
    y_pred = np.asarray([[9.0, 0, 0]] * 3, np.float32)
    for metric in (metrics.SparseCategoricalAccuracy(), metrics.SparseTopKCategoricalAccuracy(k=3)):
        assert run(metric, [(np.asarray([-1, 3, 0]), y_pred, None)][:1]) == pytest.approx(1 / 3, rel=EPS)


def test_mean_of_a_loss_leaves_out_what_the_loss_ignores():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    data = TABLE[4][2]
    values = np.concatenate([loss.values(t, p) for t, p, _ in data]).astype(np.float64)
    keep = np.concatenate([t for t, *_ in data]) != 0
    assert run(metrics.MeanOf(loss), data) == pytest.approx(values[keep].mean(), rel=32 * EPS)


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
        ("huber", (), metrics.MeanOf(losses.Huber(), name="huber")),
        ("ce", ((5, 3), (5,)), metrics.MeanOf(losses.SparseCategoricalCrossentropy(), name="ce")),
        (losses.Huber(0.5), (), metrics.MeanOf(losses.Huber(0.5))),
        (losses.huber, (), metrics.MeanOf(losses.Huber())),
        (metrics.BinaryAccuracy, (), metrics.BinaryAccuracy()),
        (metrics.BinaryAccuracy(0.3), (), metrics.BinaryAccuracy(0.3)),
        ({"class": "BinaryAccuracy", "config": {"threshold": 0.3}}, (), metrics.BinaryAccuracy(0.3)),
    ],
)
def test_resolve(value, shapes, wanted):
    metric = metrics.resolve(value, None, *shapes)
    assert metric == wanted
    config = json.loads(json.dumps(registry.to_config("metric", metric)))
    assert metrics.resolve(config) == metric


def test_accuracy_of_logits_has_the_threshold_zero():
    metric = metrics.resolve("accuracy", losses.BinaryCrossentropy(from_logits=True), (5, 1), (5, 1))
    assert metric == metrics.BinaryAccuracy(0.0, name="accuracy")


def test_names():
    assert metrics.SparseTopKCategoricalAccuracy().name == "sparse_top_k_categorical_accuracy"
    assert metrics.MeanOf("mse").name == "mean_squared_error"
    for call in (lambda: metrics.resolve("acuracy"), lambda: metrics.resolve("accuracy"), lambda: metrics.resolve(3)):
        with pytest.raises(ArgumentError):
            call()
