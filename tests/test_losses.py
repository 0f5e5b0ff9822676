"""Losses against Keras in float64, values and gradients, on every training backend."""

from __future__ import annotations

import functools
import json
import os

import numpy as np
import pytest
from backends import COMPILING, EAGER, TRAINING

import kfunc as kf
from kfunc import losses, registry
from kfunc.errors import ArgumentError, LabelError, ShapeError

EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(0)
B, T, C = 4, 3, 5


def f32(x):
    return np.asarray(x, np.float32)


LOGITS = f32(RNG.normal(size=(B, C)) * 3)
LOGITS[0, :2] = 0
PROBABILITIES = f32(RNG.uniform(0.05, 0.95, size=(B, C)))
BINARY = RNG.integers(0, 2, size=(B, C)).astype(np.int32)
SOFT = f32(RNG.dirichlet(np.ones(C), size=B))
CLASSES = np.asarray([0, 4, 2, 4], np.int32)
SEQUENCE = f32(RNG.normal(size=(B, T, C)))
TOKENS = RNG.integers(0, C, size=(B, T)).astype(np.int32)
WEIGHTS = f32([0.5, 0.0, 2.0, 1.0])

# function of losses and of keras.losses: arguments, y_true, y_pred
FUNCTIONS = [
    ("mean_squared_error", {}, SOFT, LOGITS),
    ("mean_squared_error", {}, SOFT[:, 0], LOGITS[:, :1]),
    ("mean_squared_error", {}, SOFT[:, :1], LOGITS[:, 0]),
    ("mean_squared_error", {}, TOKENS, SEQUENCE[..., 0]),
    ("mean_absolute_error", {}, SOFT, LOGITS),
    ("huber", {"delta": 0.7}, SOFT, LOGITS),
    ("kl_divergence", {}, SOFT, PROBABILITIES),
    ("binary_crossentropy", {}, BINARY, PROBABILITIES),
    ("binary_crossentropy", {"label_smoothing": 0.2}, BINARY, PROBABILITIES),
    ("binary_crossentropy", {"from_logits": True}, BINARY, LOGITS),
    ("binary_crossentropy", {"from_logits": True, "axis": 0, "label_smoothing": 0.1}, SOFT, LOGITS),
    ("categorical_crossentropy", {}, SOFT, PROBABILITIES),
    ("categorical_crossentropy", {"from_logits": True}, SOFT, LOGITS),
    ("categorical_crossentropy", {"from_logits": True, "label_smoothing": 0.1}, SOFT, LOGITS),
    ("categorical_crossentropy", {"axis": 0}, SOFT, PROBABILITIES),
    ("sparse_categorical_crossentropy", {}, CLASSES, PROBABILITIES),
    ("sparse_categorical_crossentropy", {"from_logits": True}, CLASSES, LOGITS),
    ("sparse_categorical_crossentropy", {"from_logits": True}, CLASSES[:, None].astype(np.uint8), LOGITS),
    ("sparse_categorical_crossentropy", {"from_logits": True}, CLASSES.astype(np.float32), LOGITS),
    ("sparse_categorical_crossentropy", {"from_logits": True}, TOKENS, SEQUENCE),
    ("sparse_categorical_crossentropy", {"from_logits": True, "ignore_class": 4}, CLASSES, LOGITS),
    ("sparse_categorical_crossentropy", {"ignore_class": 4}, CLASSES, PROBABILITIES),
]
IDS = [f"{n}{i}" for i, (n, *_) in enumerate(FUNCTIONS)]


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def oracle(keras):
    """Number of the table's row to Keras's values, and the gradient of their sum for the predictions, in float64."""
    jax = pytest.importorskip("jax")

    @functools.cache
    def compute(index):
        name, arguments, y_true, y_pred = FUNCTIONS[index]
        fun = getattr(keras.losses, name)
        with jax.enable_x64(True):
            y_true = jax.numpy.asarray(y_true if "sparse" in name else y_true.astype(np.float64))
            y_pred = jax.numpy.asarray(y_pred.astype(np.float64))
            values = fun(y_true, y_pred, **arguments)
            gradient = jax.grad(lambda p: jax.numpy.sum(fun(y_true, p, **arguments)))(y_pred)
            return np.asarray(values), np.asarray(gradient)

    return compute


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("index", range(len(FUNCTIONS)), ids=IDS)
def test_values_and_gradients_are_keras_s(index, name, oracle):
    function, arguments, y_true, y_pred = FUNCTIONS[index]
    wanted, gradient = oracle(index)
    y_true, y_pred = kf.to_backend((y_true, y_pred), name)
    fun = getattr(losses, function)
    values = fun(y_true, y_pred, **arguments)
    assert kf.backend_of(values).name == name and kf.arrays.dtype_name(values.dtype) == "float32"
    # A handful of operations on numbers up to 10, and a sum over 5.
    np.testing.assert_allclose(kf.to_numpy(values), wanted, rtol=16 * EPS, atol=16 * EPS * 10)

    def total(p):
        out = fun(y_true, p, **arguments)
        return kf.namespace(out).sum(out)

    got = kf.grad(kf.arrays.native(total))(y_pred)
    np.testing.assert_allclose(
        kf.to_numpy(got), gradient, rtol=32 * EPS, atol=32 * EPS * max(1, np.abs(gradient).max())
    )


CLASS_TABLE = [
    ("MeanSquaredError", {}, SOFT, LOGITS),
    ("MeanAbsoluteError", {}, SOFT, LOGITS),
    ("Huber", {"delta": 0.5}, SOFT, LOGITS),
    ("KLDivergence", {}, SOFT, PROBABILITIES),
    ("BinaryCrossentropy", {"from_logits": True}, BINARY, LOGITS),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, SOFT, PROBABILITIES),
    ("SparseCategoricalCrossentropy", {}, CLASSES, PROBABILITIES),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 4}, CLASSES, LOGITS),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, CLASSES[:, None], LOGITS),
]


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"])
@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS[:, None]], ids=["unweighted", "weights", "column"])
@pytest.mark.parametrize("cls, arguments, y_true, y_pred", CLASS_TABLE)
def test_reductions_are_keras_s(cls, arguments, y_true, y_pred, weights, reduction, keras):
    wanted = getattr(keras.losses, cls)(**arguments, reduction=reduction)(y_true, y_pred, weights)
    got = getattr(losses, cls)(**arguments, reduction=reduction)(y_true, y_pred, weights)
    # Both float32.
    # With a column of weights, Keras's values keep the column's axis.
    np.testing.assert_allclose(got, np.reshape(wanted, got.shape), rtol=32 * EPS, atol=32 * EPS)


@pytest.mark.parametrize("name", EAGER)
def test_scalar_on_each_backend(name):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=4)
    y_true, y_pred, weights = kf.to_backend((CLASSES, LOGITS, WEIGHTS), name)
    got = loss(y_true, y_pred, weights)
    assert tuple(got.shape) == () and kf.backend_of(got).name == name
    p = np.exp(LOGITS.astype(np.float64))
    values = np.where(CLASSES == 4, 0, -np.log(p[np.arange(B), CLASSES] / p.sum(-1)))
    np.testing.assert_allclose(kf.to_numpy(got), (values * WEIGHTS).sum() / 2, rtol=16 * EPS, atol=16 * EPS)
    np.testing.assert_allclose(kf.to_numpy(loss.values(y_true, y_pred)), values, rtol=16 * EPS, atol=16 * EPS * 10)


@pytest.mark.parametrize("name", COMPILING)
def test_compiled(name):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    y_true, y_pred, weights = kf.to_backend((CLASSES, LOGITS, WEIGHTS), name)
    got = kf.jit(lambda t, p, w: loss(t, p, w))(y_true, y_pred, weights)
    np.testing.assert_allclose(kf.to_numpy(got), loss(CLASSES, LOGITS, WEIGHTS), rtol=16 * EPS, atol=16 * EPS)


def test_weights_of_samples_count_for_all_their_values():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    values = np.asarray(loss.values(TOKENS, SEQUENCE), np.float64)
    wanted = (values * WEIGHTS[:, None]).sum() / values.size
    np.testing.assert_allclose(loss(TOKENS, SEQUENCE, WEIGHTS), wanted, rtol=32 * EPS)
    mean = losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    np.testing.assert_allclose(mean(TOKENS, SEQUENCE, WEIGHTS), wanted * B / WEIGHTS.sum(), rtol=32 * EPS)


def test_single_numbers_are_samples():
    got = losses.mean_squared_error(f32([1, 2, 3]), f32([1, 0, 0]))
    np.testing.assert_array_equal(got, [0, 4, 9])
    np.testing.assert_allclose(losses.MeanSquaredError()(f32([1, 2]), f32([0, 0]), f32([1, 0.5])), 1.5, rtol=4 * EPS)


def test_extreme_numbers():
    big = f32([[1e4, -1e4, 0.0]])
    for got in (
        losses.binary_crossentropy(f32([[1, 0, 0.5]]), big, from_logits=True),
        losses.sparse_categorical_crossentropy(np.asarray([0]), big, from_logits=True),
        losses.sparse_categorical_crossentropy(np.asarray([2]), f32([[1, 0, 0]])),
        losses.binary_crossentropy(f32([[1, 0]]), f32([[0, 1]])),
        losses.categorical_crossentropy(f32([[0, 1]]), f32([[1, 0]])),
    ):
        assert np.isfinite(got).all()
    # log1p(exp(-20)) keeps its digits beside 20.
    got = losses.binary_crossentropy(f32([[1]]), f32([[20]]), from_logits=True)
    np.testing.assert_allclose(got, np.log1p(np.exp(-20.0)), rtol=8 * EPS)
    ignored = losses.sparse_categorical_crossentropy(
        np.asarray([0, -1]), f32([[1, 2], [np.inf, np.nan]]), from_logits=True, ignore_class=-1
    )
    np.testing.assert_allclose(ignored, [np.log1p(np.exp(1.0)), 0], rtol=8 * EPS)


def test_half_precision_is_computed_in_float32():
    got = losses.sparse_categorical_crossentropy(CLASSES, LOGITS.astype(np.float16), from_logits=True)
    wanted = losses.sparse_categorical_crossentropy(CLASSES, f32(LOGITS.astype(np.float16)), from_logits=True)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, wanted)


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EAGER)
@pytest.mark.parametrize("from_logits", [False, True])
def test_labels_out_of_range_give_nan(name, from_logits):
    y_true, y_pred = kf.to_backend((np.asarray([0, C, -1, 1], np.int32), PROBABILITIES), name)
    got = kf.to_numpy(losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits))
    assert np.isnan(got).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    "labels, text",
    [
        ([0, 1, 5], "5 at position 2"),
        ([-1, 1], "-1 at position 0"),
        ([[0, 1], [2, 9]], r"9 at position \(1, 1\)"),
        ([0.0, 1.5], "1.5 at position 1"),
        ([0.0, float("nan")], "nan at position 1"),
    ],
)
def test_check_labels(labels, text):
    loss = losses.SparseCategoricalCrossentropy()
    with pytest.raises(LabelError, match=text):
        loss.check_labels(np.asarray(labels), 5)


def test_check_labels_passes_what_is_right():
    losses.SparseCategoricalCrossentropy().check_labels(np.asarray([0.0, 4.0]), 5)
    losses.SparseCategoricalCrossentropy().check_labels(np.asarray([[0], [4]], np.uint8), 5)
    losses.SparseCategoricalCrossentropy(ignore_class=255).check_labels(np.asarray([255, 0]), 5)
    losses.MeanSquaredError().check_labels(np.asarray([-1.5]), 5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: losses.mean_squared_error(SOFT[:, :3], LOGITS),
        lambda: losses.mean_squared_error(SOFT[:, :1], LOGITS),
        lambda: losses.mean_squared_error(SOFT[:, 0], LOGITS),
        lambda: losses.categorical_crossentropy(CLASSES, LOGITS),
        lambda: losses.sparse_categorical_crossentropy(SOFT, LOGITS),
        lambda: losses.sparse_categorical_crossentropy(CLASSES[:2], LOGITS),
        lambda: losses.MeanSquaredError()(SOFT, LOGITS, SOFT),
    ],
)
def test_shapes_that_do_not_fit(call):
    with pytest.raises(ShapeError):
        call()


# -- names -------------------------------------------------------------------------------------------------------------


@registry.register("loss")
def absolute(y_true, y_pred):
    return abs(y_true - y_pred)


@pytest.mark.parametrize(
    "value, wanted",
    [
        ("mse", losses.MeanSquaredError()),
        ("mean_squared_error", losses.MeanSquaredError()),
        ("MeanSquaredError", losses.MeanSquaredError()),
        ("bce", losses.BinaryCrossentropy()),
        ("sparse_categorical_crossentropy", losses.SparseCategoricalCrossentropy()),
        (losses.Huber, losses.Huber()),
        (losses.Huber(0.5), losses.Huber(0.5)),
        (losses.kl_divergence, losses.KLDivergence()),
        (absolute, losses.FunctionLoss(absolute)),
        ("custom:absolute", losses.FunctionLoss(absolute)),
        ({"class": "Huber", "config": {"delta": 2.0}}, losses.Huber(2.0)),
    ],
)
def test_get(value, wanted):
    loss = losses.get(value)
    assert loss == wanted
    config = json.loads(json.dumps(registry.to_config("loss", loss)))
    assert losses.get(config) == loss


@pytest.mark.parametrize(
    "output, label, wanted",
    [
        ((B, 1), (B,), losses.BinaryCrossentropy()),
        ((B,), (B,), losses.BinaryCrossentropy()),
        ((B, C), (B,), losses.SparseCategoricalCrossentropy()),
        ((B, C), (B, 1), losses.SparseCategoricalCrossentropy()),
        ((B, T, C), (B, T), losses.SparseCategoricalCrossentropy()),
        ((B, C), (B, C), losses.CategoricalCrossentropy()),
    ],
)
def test_crossentropy_by_shape(output, label, wanted):
    assert losses.get("crossentropy", output, label) == wanted


def test_names_and_errors():
    assert losses.BinaryCrossentropy().name == "binary_crossentropy"
    assert losses.KLDivergence().name == "kl_divergence"
    assert losses.BinaryCrossentropy(name="mine").name == "mine"
    assert losses.get(absolute).name == "absolute"
    with pytest.raises(ArgumentError, match="did you mean 'mse'"):
        losses.get("mss")
    with pytest.raises(ArgumentError, match="reduction"):
        losses.MeanSquaredError(reduction="average")
    with pytest.raises(ArgumentError):
        losses.get(3)
