"""Labels, predictions, weights and masks with other numbers of axes: a last axis of size 1 changes no number."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from backends import TRAINING

import kfunc as kf
from kfunc import losses, metrics, nn

EPS = float(np.finfo(np.float32).eps)
CLOSE = {"rtol": 32 * EPS, "atol": 32 * EPS}  # sums of at most 20 numbers near 1

N, ROWS, CUBE = (5, 1), (5, 3), (5, 2, 2)
SHAPES = [
    # labels, predictions, the shape of the errors, and the shapes of weights and masks that fit them
    ((5,), (5, 1), N, [None, (), (1,), (5,), (5, 1), (1, 1), (5, 1, 1)]),
    ((5, 1), (5,), N, [None, (5,), (5, 1)]),
    ((5, 1), (5, 1), N, [None, (5,), (5, 1)]),
    ((5, 1, 1), (5, 1), N, [None, (5,), (5, 1)]),
    ((5, 3), (5, 3, 1), ROWS, [None, (), (1,), (5,), (5, 1), (5, 3), (1, 3), (5, 3, 1)]),
    ((5, 3, 1), (5, 3), ROWS, [None, (5,), (5, 3)]),
    ((5, 2, 2), (5, 2, 2, 1), CUBE, [None, (5,), (5, 2), (5, 1, 2), (5, 2, 2, 1)]),
]
TABLE = [(true, pred, shape, weight) for true, pred, shape, fitting in SHAPES for weight in fitting]


def absolute(y_true, y_pred):
    return kf.ops.absolute(kf.ops.subtract(y_true, y_pred))


def squared(y_true, y_pred):
    return kf.ops.square(kf.ops.subtract(y_true, y_pred))


def numbers(shape, salt):
    n = int(np.prod(shape))
    return np.random.default_rng([salt, n]).uniform(0.1, 0.9, size=n).astype(np.float32).reshape(shape)


def given(true, pred, weight):
    """Labels, predictions and weights: for shapes of one size the same numbers."""
    return numbers(true, 0), numbers(pred, 1), None if weight is None else numbers(weight, 2)


def by_hand(fun, t, p, w, shape):
    """The errors and the weights in float64, each of the shape of the errors."""
    w = np.ones(shape) if w is None else w.astype(np.float64)
    w = w.reshape(w.shape[: len(shape)])  # an axis of size 1 behind them
    w = np.broadcast_to(w.reshape(*w.shape, *[1] * (len(shape) - w.ndim)), shape)
    return fun(t.astype(np.float64).reshape(shape), p.astype(np.float64).reshape(shape)), w


@pytest.mark.parametrize("name", TRAINING)
def test_a_function_gets_labels_and_predictions_of_equal_ranks(name):
    for true, pred, shape, weight in TABLE if name == "numpy" else TABLE[::3]:
        for fun in (absolute, squared):
            t, p, w = given(true, pred, weight)
            values, by = by_hand(fun, t, p, w, shape)
            loss, note = losses.get(fun), f"{fun.__name__} {true} {pred} {weight}"
            t, p, *w = kf.to_backend([x for x in (t, p, w) if x is not None], name)
            value, slope = kf.value_and_grad(lambda p: loss(t, p, *w))(p)  # noqa: B023
            np.testing.assert_allclose(kf.to_numpy(value), (values * by).mean(), **CLOSE, err_msg=note)
            t, p, _ = given(true, pred, None)
            error = (p.reshape(shape) - t.reshape(shape)).astype(np.float64)
            wanted = (np.sign(error) if fun is absolute else 2 * error) * by / error.size
            np.testing.assert_allclose(kf.to_numpy(slope), wanted.reshape(pred), **CLOSE, err_msg=note)


def test_functions_against_keras():
    """Where it does not broadcast weights against the wrong axes."""
    pytest.importorskip("keras")
    from catalogue_oracle import double

    with double():
        from keras.src.losses.losses import LossFunctionWrapper

        for true, pred, _, weight in TABLE:
            t, p, w = given(true, pred, weight)
            if len(pred) > 1 and weight in ((5,), (5, 2), (5, 1, 1)) and max(len(true), len(pred)) > len(weight):
                continue
            theirs = np.asarray(LossFunctionWrapper(lambda t, p: (t - p) ** 2)(t, p, w))
            np.testing.assert_allclose(losses.get(squared)(t, p, w), theirs, **CLOSE, err_msg=f"{true} {pred} {weight}")


ERRORS = ["MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh", "Poisson", "BinaryCrossentropy", "Hinge"]
MEASURES = [
    *("MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError", "BinaryAccuracy", "Accuracy"),
    *("BinaryCrossentropy", "Precision", "AUC", "TruePositives", "BinaryIoU", "Hinge"),
]


def measured(metric, t, p, w):
    return np.asarray(metric.result(metric.update(metric.init(), t, p, w)))


@pytest.mark.parametrize(
    "of", [*ERRORS, *(f"metrics.{name}" for name in MEASURES), absolute], ids=lambda of: getattr(of, "__name__", of)
)
def test_losses_and_metrics(of):
    """Their numbers are those for labels and predictions of one shape."""
    name = of if isinstance(of, str) else ""
    if name in ERRORS:
        call = getattr(losses, name)()
    else:
        made = getattr(metrics, name.removeprefix("metrics."))() if name else metrics.MeanMetricWrapper(of)
        call = lambda *args: measured(made, *args)  # noqa: E731
    for true, pred, shape, weight in TABLE:
        if weight in (None, (5,)):
            t, p, w = given(true, pred, weight)
            t = np.rint(t)
            wanted = call(t.reshape(shape), p.reshape(shape), w)
            np.testing.assert_allclose(call(t, p, w), wanted, **CLOSE, err_msg=f"{true} {pred} {weight}")


@kf.dataclass
class OwnLoss(losses.Loss):
    def call(self, y_true, y_pred):
        return (y_true - y_pred) ** 2


@kf.dataclass
class OwnMetric(metrics.MeanMetric):
    def call(self, y_true, y_pred):
        return (y_true - y_pred) ** 2


@kf.dataclass
class OwnMeasure(metrics.Metric):
    def measure(self, y_true, y_pred, sample_weight, mask):
        return kf.ops.sum((y_true - y_pred) ** 2)


def test_methods_of_users_get_what_was_given_and_a_warning():
    """As in Keras, since they may take a part of the predictions; what it does with others is said."""
    t, p, _ = given((5,), (5, 1), None)
    every = (t.astype(np.float64) - p) ** 2
    for call, wanted in (
        (lambda t, p: OwnLoss()(t, p), every.mean()),
        (lambda t, p: measured(OwnMetric(), t, p, None), every.mean()),
        (lambda t, p: measured(OwnMeasure(), t, p, None), every.sum()),
        (lambda t, p: measured(metrics.MeanMetricWrapper(OwnLoss()), t, p, None), every.mean()),
    ):
        with pytest.warns(UserWarning, match=r"labels of shape \(5,\) and predictions of shape \(5, 1\)"):
            np.testing.assert_allclose(call(t, p), wanted, **CLOSE)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call(t[:, None], p)
            call(t, p[:, 0])


def test_values_that_compare_every_label_with_every_prediction_are_refused():
    t, p, _ = given((5,), (5, 1), None)
    with pytest.raises(kf.errors.ShapeError, match=r"picks returns values of shape \(5, 5\)"):

        def picks(y_true, y_pred):
            return (y_true - y_pred[:, 0]) ** 2

        losses.get(picks)(t, p)


@pytest.mark.parametrize("argument", ["sample_weight", "mask"])
@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ((5, 3), (3,)),
        ((5, 3), (4,)),
        ((1, 3), (3,)),
        ((5, 3), (5, 2)),
        ((5, 3), (5, 3, 2)),
        ((1,), (4,)),
        ((5,), (5, 5)),
    ],
)
def test_weights_that_do_not_fit(values, shape, argument):
    given = {argument: np.ones(shape, np.float32)}
    t = np.ones((*values, 2), np.float32)
    metric = metrics.MeanSquaredError()
    for call in (lambda: losses.MeanSquaredError()(t, t, **given), lambda: metric.update(metric.init(), t, t, **given)):
        with pytest.raises(kf.errors.ShapeError, match=f"`{argument}` has "):
            call()


@pytest.mark.parametrize("name", TRAINING)
def test_models(name):
    """`fit`, `evaluate` and `train_on_batch`, with weights of samples and classes, one output and two."""
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    y, w = (x.sum(1) > 0).astype(np.float32), numbers((8,), 3)
    logs = []
    for form in ((8,), (8, 1)):
        a = nn.Input((3,))
        shared = nn.Dense(1, "sigmoid", name="a")(a)
        found = []
        for net, target, weight in (
            (nn.Dense(1, "sigmoid"), y.reshape(form), w.reshape(form)),
            (nn.Graph(a, [shared, nn.Dense(1, name="b")(a)]), [y.reshape(form)] * 2, [w.reshape(form)] * 2),
        ):
            several = isinstance(target, list)
            model = kf.Model(net)
            model.compile("sgd", squared, metrics=[["mae", absolute]] * 2 if several else ["mae", absolute])
            kwargs = {} if several else {"class_weight": {0: 0.5, 1: 2.0}}
            found += [model.fit(x, target, sample_weight=weight, verbose=0, backend=name, **kwargs).history["loss"]]
            found += [
                model.train_on_batch(x, target, weight),
                model.evaluate(x, target, sample_weight=weight, verbose=0),
            ]
        logs.append([float(v) for part in found for v in np.ravel(part)])
    np.testing.assert_allclose(*logs, **CLOSE)


def test_classes_are_rounded_for_their_weights():
    from kfunc.data.batches import Batch, class_weights

    by = {0: 0.5, 1: 2.0, 2: 3.0}
    for y in (
        np.asarray([0, 2, 1]),
        np.asarray([[0], [2], [1]]),
        np.eye(3)[[0, 2, 1]],
        np.asarray([1e-7, 1.9999999, 1.0000001], np.float32),
        np.asarray([[-0.0], [1.9999999], [0.9999999]]),
    ):
        got = class_weights(Batch(None, y), by).sample_weight
        np.testing.assert_array_equal(got, np.float32([0.5, 3.0, 2.0]))
