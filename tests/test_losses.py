"""Losses: what the rows of `catalogue/losses.py`, which compare them with Keras, do not hold."""

from __future__ import annotations

import inspect
import json
import math
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


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


# -- values that rows of the catalogue do not hold ---------------------------------------------------------------------


def test_functions_have_keras_s_arguments(keras):
    functions = {n: f for n, f in vars(keras.losses).items() if inspect.isfunction(f)}
    for name in ("deserialize", "serialize"):  # `registry.from_config`, `registry.to_config`
        del functions[name]
    assert set(functions) <= set(dir(losses))
    del functions["get"]  # takes shapes, too
    for name, theirs in functions.items():
        wanted = [(p.name, p.default) for p in inspect.signature(theirs).parameters.values()]
        got = [(p.name, p.default) for p in inspect.signature(getattr(losses, name)).parameters.values()]
        assert got == wanted, name


ALONG_THE_LAST_AXIS = [
    *("binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy"),
    *("categorical_hinge", "cosine_similarity", "hinge", "huber", "kl_divergence", "log_cosh", "mean_absolute_error"),
    *("mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "poisson"),
    "squared_hinge",
]


@pytest.mark.parametrize("name", ALONG_THE_LAST_AXIS)
def test_a_sequence_of_steps_is_a_batch_of_steps(name):
    loss, (labels, scores) = getattr(losses, name), f32(RNG.dirichlet(np.ones(C), size=(2, B, T)))
    steps = loss(labels.reshape(B * T, C), scores.reshape(B * T, C))
    np.testing.assert_allclose(loss(labels, scores), steps.reshape(B, T), rtol=4 * EPS, atol=4 * EPS)


@pytest.mark.parametrize(
    "loss",
    [
        losses.binary_crossentropy,
        losses.categorical_crossentropy,
        lambda t, p: losses.binary_focal_crossentropy(t, p, gamma=0),
        lambda t, p: losses.categorical_focal_crossentropy(t, p, alpha=1, gamma=0),
        lambda t, p: losses.sparse_categorical_crossentropy(t.argmax(-1), p),
    ],
    ids=["binary", "categorical", "binary focal", "categorical focal", "sparse categorical"],
)
def test_probabilities_of_0_and_1_are_kept_a_little_away_from_there(loss):
    labels = np.eye(2)
    np.testing.assert_allclose(loss(labels, labels), -math.log(1 - 1e-7), rtol=1e-8)
    np.testing.assert_allclose(loss(labels, 1 - labels), -math.log(1e-7), rtol=1e-8)


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


def test_a_mean_of_weights_is_one_of_all_values():
    """Of one weight for several values, Keras counts each value in the sum, and the weight once in the divisor."""
    mean = losses.MeanSquaredError(reduction="mean_with_sample_weight")
    column = np.full((B, 1), 0.7, np.float32)
    wanted = losses.MeanSquaredError()(SEQUENCE, SEQUENCE + 1)
    for weights in (column[:, 0], column, np.repeat(column, T, axis=1), np.asarray(0.7, np.float32)):
        np.testing.assert_allclose(mean(SEQUENCE, SEQUENCE + 1, weights), wanted, rtol=32 * EPS)
    # Weights of the sum 0 have no mean; the loss is then 0.
    assert mean(SEQUENCE[:2, :1], SEQUENCE[2:, :1], f32([1, -1])) == 0


def test_masks_of_samples():
    mask = np.asarray([True, False, True, True])
    wanted = losses.MeanSquaredError()(SEQUENCE[mask], SEQUENCE[mask] + 1)
    for m in (mask, mask[:, None], np.repeat(mask[:, None], T, axis=1), np.repeat(mask[:, None, None], T, axis=1)):
        np.testing.assert_allclose(losses.MeanSquaredError()(SEQUENCE, SEQUENCE + 1, mask=m), wanted, rtol=32 * EPS)
    # Weights do not change by how many a mask divides.
    weighted = losses.MeanSquaredError()(SEQUENCE, SEQUENCE + 1, WEIGHTS, mask)
    np.testing.assert_allclose(weighted, wanted * WEIGHTS[mask].sum() / 3, rtol=32 * EPS)


def test_classes_along_any_axis():
    """Where Keras lays class weights along the last axis, and knows classes there alone."""
    probabilities = f32(RNG.dirichlet(np.ones(C), size=(B, T)))
    soft = f32(RNG.dirichlet(np.ones(C), size=(B, T)))
    alpha = [0.1, 0.5, 2.0, 1.0, 0.3]
    for name, true, options in (
        ("categorical_focal_crossentropy", soft, {"alpha": alpha, "label_smoothing": 0.1}),
        ("categorical_crossentropy", soft, {"label_smoothing": 0.1}),
        ("sparse_categorical_crossentropy", TOKENS, {"ignore_class": 2}),
    ):
        wanted = getattr(losses, name)(true, probabilities, **options)
        true = true if true is TOKENS else np.moveaxis(true, -1, 1)
        got = getattr(losses, name)(true, np.moveaxis(probabilities, -1, 1), axis=1, **options)
        np.testing.assert_allclose(got, wanted, rtol=32 * EPS)
    array = f32(alpha)
    wanted = losses.categorical_focal_crossentropy(soft, probabilities, alpha)
    np.testing.assert_array_equal(losses.categorical_focal_crossentropy(soft, probabilities, array), wanted)


@pytest.mark.parametrize("name", TRAINING)
def test_gradients_of_circle_are_finite_where_a_class_is_alone(name):
    """And the logarithm of an empty sum is infinite."""
    x = f32(RNG.normal(size=(4, 3)))
    x, labels = kf.to_backend((x / np.linalg.norm(x, axis=1, keepdims=True), np.int32([0, 0, 1, 2])), name)
    value, gradient = kf.value_and_grad(lambda x: losses.Circle(gamma=2.0)(labels, x))(x)
    assert np.isfinite(kf.to_numpy(value)) and np.isfinite(kf.to_numpy(gradient)).all()
    values = kf.to_numpy(losses.circle(labels, x, gamma=2.0))
    assert values[2] == values[3] == 0 and (values[:2] > 0).all()
    alike = losses.circle(kf.asarray(np.int32([0, 0, 0]), backend=name), x[:3, :])
    np.testing.assert_array_equal(kf.to_numpy(alike), 0)


def test_circle_by_references():
    x = f32(RNG.normal(size=(5, 3)))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels, others = np.int32([0, 1]), np.int32([0, 1, 1])
    got = losses.circle(labels, x[:2], others, x[2:], remove_diagonal=False, gamma=3.0, margin=0.3)
    wanted = []
    for i, label in enumerate(labels):
        d = 1 - x[2:].astype(np.float64) @ x[i]
        near = 3 * np.maximum(0.3 + d, 0) * (d - 0.3)
        far = 3 * np.maximum(1.3 - d, 0) * (0.7 - d)
        drawn, pushed = np.exp(near[others == label]).sum(), np.exp(far[others != label]).sum()
        wanted.append(np.log1p(drawn * pushed))
    np.testing.assert_allclose(got, wanted, rtol=64 * EPS)


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


def test_dtype():
    """The loss is rounded to it; before, nothing is rounded or computed in half precision."""
    for dtype in ("float16", "mixed_float16", kf.nn.dtype_policies.DTypePolicy("float16")):
        got = losses.MeanSquaredError(dtype=dtype)(SOFT, LOGITS, WEIGHTS)
        wanted = losses.MeanSquaredError()(SOFT, LOGITS, WEIGHTS)
        assert got.dtype == np.float16 and got == wanted.astype(np.float16)
    assert losses.SparseCategoricalCrossentropy(dtype="float64")(CLASSES, PROBABILITIES).dtype == np.float64
    big = np.full((1, 3000), 100, np.float16)  # 1e4 * 3000 overflows
    assert losses.MeanSquaredError(dtype="float16")(big, 2 * big) == 1e4


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EAGER)
@pytest.mark.parametrize("from_logits", [False, True])
def test_labels_out_of_range_give_nan(name, from_logits):
    y_true, y_pred = kf.to_backend((np.asarray([0, C, -1, 1], np.int32), PROBABILITIES), name)
    got = kf.to_numpy(losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits))
    assert np.isnan(got).tolist() == [False, True, True, False]
    if not from_logits:
        got = kf.to_numpy(losses.categorical_generalized_cross_entropy(y_true, y_pred, 0.5))
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
    for loss in (losses.SparseCategoricalCrossentropy(), losses.CategoricalGeneralizedCrossEntropy()):
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
        lambda: losses.MeanSquaredError()(SOFT, LOGITS, mask=SOFT > 0.5),
        lambda: losses.CategoricalHinge()(CLASSES, LOGITS),
        lambda: losses.Dice()(TOKENS, SEQUENCE),
        lambda: losses.CategoricalGeneralizedCrossEntropy()(SOFT, PROBABILITIES),
        lambda: losses.CategoricalFocalCrossentropy(alpha=[0.5, 0.5])(SOFT, PROBABILITIES),
        lambda: losses.CTC()(CLASSES, SEQUENCE),
        lambda: losses.CTC()(TOKENS, TOKENS),
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
        ("mape", losses.MeanAbsolutePercentageError()),
        ("MSLE", losses.MeanSquaredLogarithmicError()),
        ("logcosh", losses.LogCosh()),
        ("kullback_leibler_divergence", losses.KLDivergence()),
        ("ctc", losses.CTC()),
        ({"class": "Dice", "config": {"axis": [1, 2]}}, losses.Dice(axis=(1, 2))),
        (losses.CategoricalFocalCrossentropy([0.5, 1]), losses.CategoricalFocalCrossentropy((0.5, 1))),
        (losses.Poisson(dtype="mixed_float16"), losses.Poisson(dtype="mixed_float16")),
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


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: losses.MeanSquaredError(reduction="average"), "reduction"),
        (lambda: losses.MeanSquaredError(dtype="int32"), "dtype"),
        (lambda: losses.Huber(0.0), "delta"),
        (lambda: losses.Huber("1"), "delta"),
        (lambda: losses.CosineSimilarity(axis=None), "axis"),
        (lambda: losses.CosineSimilarity(axis=True), "axis"),
        (lambda: losses.BinaryCrossentropy(1), "from_logits"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=-0.1), "label_smoothing"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=1.5), "label_smoothing"),
        (lambda: losses.BinaryFocalCrossentropy(gamma=-1.0), "gamma"),
        (lambda: losses.BinaryFocalCrossentropy(alpha=[0.1]), "alpha"),
        (lambda: losses.BinaryFocalCrossentropy(None), "apply_class_balancing"),
        (lambda: losses.CategoricalFocalCrossentropy(alpha=["a"]), "alpha"),
        (lambda: losses.CategoricalFocalCrossentropy(axis=1.0), "axis"),
        (lambda: losses.SparseCategoricalCrossentropy(ignore_class=0.5), "ignore_class"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(0), "q"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(1.0), "q"),
        (lambda: losses.Dice(axis=(1, None)), "axis"),
        (lambda: losses.Tversky(beta=-0.5), "beta"),
        (lambda: losses.Tversky(alpha=math.nan), "alpha"),
        (lambda: losses.Circle(margin="0.4"), "margin"),
        (lambda: losses.Circle(remove_diagonal=0), "remove_diagonal"),
    ],
)
def test_bad_arguments(make, argument):
    with pytest.raises(ArgumentError) as error:
        make()
    assert error.value.argument == argument and error.value.expected


def test_names_and_errors():
    assert losses.BinaryCrossentropy().name == "binary_crossentropy"
    assert losses.KLDivergence().name == "kl_divergence"
    assert losses.BinaryCrossentropy(name="mine").name == "mine"
    assert losses.get(absolute).name == "absolute"
    with pytest.raises(ArgumentError, match="did you mean 'mse'"):
        losses.get("mss")
    with pytest.raises(ArgumentError):
        losses.get(3)
