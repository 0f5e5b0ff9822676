"""Training as Keras trains: losses, metrics and weights after some steps, for what reaches beyond one layer."""

from __future__ import annotations

import gc
import inspect
import weakref

import numpy as np
import pytest
from backends import TRAINING
from catalogue import New
from catalogue_oracle import OURS, THEIRS, matched
from keras_rows import integers, normal, unit

import kfunc as kf
from kfunc import nn, optim
from kfunc.errors import ArgumentError

keras = pytest.importorskip("keras")

EPS = float(np.finfo(np.float32).eps)
STEPS = 3

IDS = integers(0, 6, 8, 5)
LABELS = integers(0, 3, 8)
X = normal(8, 4)


def sequential(*layers):
    return lambda modules: New("models.Sequential", list(layers)).build(modules)


def two_outputs(modules):
    layers = modules["layers"]
    x = layers.Input((4,))
    h = layers.Dense(6, activation="tanh")(x)
    outputs = {"kind": layers.Dense(3, activation="softmax", name="kind")(h), "size": layers.Dense(1, name="size")(h)}
    return modules["models"].Model(x, outputs) if hasattr(modules["models"], "Model") else nn.Graph(x, outputs)


CASES = {
    "masked sequences": (
        sequential(New("Embedding", 6, 3, mask_zero=True), New("LSTM", 4), New("Dense", 3, activation="softmax")),
        {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        (IDS, LABELS),
    ),
    "a mask that reaches the loss": (
        sequential(New("Embedding", 6, 3, mask_zero=True), New("GRU", 4, return_sequences=True), New("Dense", 2)),
        {"loss": "mse", "metrics": ["mae"]},
        (IDS, normal(8, 5, 2)),
    ),
    "regularizers": (
        sequential(
            New("Dense", 5, kernel_regularizer=New("regularizers.L2", 0.1), activity_regularizer="l1"),
            New("ActivityRegularization", l2=0.05),
            New("Dense", 1, bias_regularizer="l2"),
        ),
        {"loss": "mse", "optimizer": "sgd"},
        (X, normal(8, 1)),
    ),
    "constraints": (
        sequential(
            New("Dense", 5, kernel_constraint=New("constraints.MaxNorm", 0.5)),
            New("Dense", 1, kernel_constraint="non_neg"),
        ),
        {"loss": "mae", "optimizer": "rmsprop"},
        (X, normal(8, 1)),
    ),
    "weights and metrics": (
        sequential(New("Dense", 3, use_bias=False), New("BatchNormalization"), New("Activation", "softmax")),
        {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "weighted_metrics": ["accuracy"]},
        (X, LABELS, unit(8)),
    ),
    "two outputs": (
        two_outputs,
        {
            "loss": {"kind": "sparse_categorical_crossentropy", "size": "mse"},
            "loss_weights": {"kind": 0.3, "size": 2.0},
            "metrics": {"kind": ["accuracy"], "size": ["mae"]},
        },
        (X, {"kind": LABELS, "size": normal(8, 1)}),
    ),
    "weights of two outputs": (
        two_outputs,
        {
            "loss": {"kind": "sparse_categorical_crossentropy", "size": "mse"},
            "metrics": {"kind": ["accuracy"], "size": ["mae"]},
            "weighted_metrics": {"kind": ["accuracy"], "size": ["mae"]},
        },
        (X, {"kind": LABELS, "size": normal(8, 1)}, {"kind": unit(8), "size": 1 + unit(8)}),
    ),
    "one loss for all outputs": (
        two_outputs,
        {"loss": "mse", "metrics": {"kind": ["mae", "mae"], "size": ["mae"]}, "weighted_metrics": {"kind": ["mae"]}},
        (X, {"kind": normal(8, 3), "size": normal(8, 1)}),
    ),
    "losses of the network alone": (
        sequential(New("Dense", 5, kernel_regularizer="l2", activity_regularizer="l1"), New("Dense", 2)),
        {"optimizer": "sgd"},
        (X, None),
    ),
    "cells": (
        sequential(New("RNN", New("GRUCell", 3), return_sequences=True), New("GlobalAveragePooling1D")),
        {"loss": "mse"},
        (normal(8, 5, 3), normal(8, 3)),
    ),
}


_answers: dict[tuple, tuple] = {}


def kerases(case, params):
    """What `compute` says: computed once for all backends whose first weights agree to the bit, as they do."""
    key = (case, *zip(kf.tree.paths(params), (x.tobytes() for x in kf.tree.leaves(params)), strict=True))
    if key not in _answers:
        _answers[key] = compute(case, params)
    return _answers[key]


def compute(case, params):
    """Logs of each step, and the weights after them, of Keras's model that starts from ours."""
    make, options, data = CASES[case]
    order = ["/".join(path) for path in make(OURS).trace(data[0]).declared]
    model = make(THEIRS)
    model(data[0])
    leaves = dict(zip(kf.tree.paths(params), kf.tree.leaves(params), strict=True))
    leaves = {path: leaves[path] for path in order}
    variables = [v for v in model.variables if "seed_generator" not in v.path]
    names = matched(variables, leaves)
    for v, path in zip(variables, names, strict=True):
        v.assign(leaves[path])
    model.compile(**{"optimizer": "adam", **options})
    logs = [model.train_on_batch(*data, return_dict=True) for _ in range(STEPS)]
    # Keras's numbers are of all batches so far; evaluating resets them.
    tested = model.evaluate(
        *data[:2], sample_weight=data[2] if len(data) > 2 else None, verbose=0, return_dict=True, batch_size=8
    )
    return logs, tested, {path: np.asarray(v.value) for path, v in zip(names, variables, strict=True)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", TRAINING)
def test_training_is_as_in_keras(name, case):
    make, options, data = CASES[case]
    options = {"optimizer": "adam", **options}
    model = kf.Model(make(OURS))
    model.compile(**options)
    x, y, *weights = data
    model.build(kf.Spec((None, *x.shape[1:]), x.dtype), backend=name)
    ts = model.train_state
    start = kf.tree.map(kf.to_numpy, {**ts.params})
    start_state = kf.tree.map(kf.to_numpy, {**ts.state})
    both = _merged(start, start_state)
    logs, tested, wanted = kerases(case, both)
    for want in logs[:1]:
        got = model.train_on_batch(*data, return_dict=True)
        assert got["loss"] == pytest.approx(want["loss"], rel=64 * EPS)
    for _ in logs[1:]:
        model.train_on_batch(*data)
    found = kf.tree.map(kf.to_numpy, _merged(model.train_state.params, model.train_state.state))
    for path, value in zip(kf.tree.paths(found), kf.tree.leaves(found), strict=True):
        # Adam's first steps are signs of the gradient: what rounds differently there moves by a step's share.
        np.testing.assert_allclose(value, wanted[path], rtol=0, atol=1e-5, err_msg=path)
    got = model.evaluate(x, y, sample_weight=weights[0] if weights else None, verbose=0, return_dict=True)
    assert set(got) == set(tested)
    for key, value in tested.items():
        assert got[key] == pytest.approx(value, rel=1e-5, abs=1e-5), key


def _merged(a, b):
    out = dict(a)
    for k, v in b.items():
        out[k] = _merged(out[k], v) if k in out else v
    return out


METHODS = ("compile", "fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch")

OTHERWISE = {
    "compile.steps_per_execution": "as many as pay: the numbers are the same, and hooks of batches see each step",
    "predict.verbose": "it is called in loops, where a bar for each call hides what the loop prints",
}
"""Defaults that are not Keras's."""


@pytest.mark.parametrize("name", METHODS)
def test_arguments(name):
    """Keras's, in its order and with its defaults; more may follow."""
    theirs, ours = (inspect.signature(getattr(cls, name)).parameters for cls in (keras.Model, kf.Model))
    wanted = [p for p in theirs.values() if p.kind is not p.VAR_KEYWORD]
    assert [p.name for p in ours.values() if p.kind is not p.KEYWORD_ONLY] == [p.name for p in wanted]
    for p in wanted:
        assert (ours[p.name].default == p.default) != (f"{name}.{p.name}" in OTHERWISE), p.name


def test_batches_by_hand():
    """What is asked of one batch is what all methods say of it, and `metrics_names` are its names."""
    model = kf.Model(nn.Sequential([nn.Dense(2)]))
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae"])
    x, y, weights = X, normal(8, 2), unit(8)
    tested = model.test_on_batch(x, y, weights)
    assert tested == model.evaluate(x, y, sample_weight=weights, verbose=0)
    logs = dict(zip(model.metrics_names, tested, strict=True))
    assert list(logs) == ["loss", "mae", "weighted_mae"]
    assert logs == model.test_on_batch(x, y, weights, return_dict=True)
    np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x))
    assert logs == model.train_on_batch(x, y, weights, return_dict=True)


def test_no_loss():
    model = kf.Model(nn.Dense(2))
    model.compile("sgd")
    for fails in (model.fit, model.train_on_batch, model.evaluate):
        with pytest.raises(ArgumentError, match="`loss` is missing"):
            fails(X, normal(8, 2))
    regular = kf.Model(nn.Dense(2, kernel_regularizer="l2"))
    regular.compile("sgd", metrics=["mae"])
    with pytest.raises(ArgumentError, match="no targets"):
        regular.fit(X)


@pytest.mark.parametrize("name", TRAINING)
def test_eager(name):
    """Each step runs the layers' own code, and the numbers are those of the compiled one."""
    calls = []

    @nn.layer
    class Seen(nn.Layer):
        per_sample = True

        def forward(self, s, x):
            calls.append(x.shape)
            return x

    histories = []
    for run_eagerly in (False, True):
        model = kf.Model(nn.Sequential([nn.Dense(2), Seen()]))
        model.compile("sgd", "mse", run_eagerly=run_eagerly)
        histories += [model.fit(X, X[:, :2], batch_size=3, epochs=2, verbose=0, backend=name).history["loss"]]
        calls.clear()
        model.fit(X, X[:, :2], batch_size=3, verbose=0)
    assert [shape[0] for shape in calls if isinstance(shape[0], int)] == [3, 3, 2]
    # Sums of 3 x 2 squares, in another order.
    np.testing.assert_allclose(*histories, rtol=8 * EPS)


@pytest.mark.parametrize("most", [1, 3, "auto"])
@pytest.mark.jax
def test_steps_per_execution(most, monkeypatch):
    found, choose = [], kf.training.fit.for_training

    def chosen(*args):
        program = choose(*args)
        found.append(program.at_once)
        return program

    monkeypatch.setattr("kfunc.training.fit.for_training", chosen)
    model = kf.Model(nn.Sequential([nn.Dense(2)]))
    model.compile(optim.sgd(0.1), "mse", steps_per_execution=most)
    seen = model.fit(X, X[:, :2], batch_size=2, epochs=2, verbose=0, backend="jax").history["loss"]
    assert found == [32 if most == "auto" else most]
    assert seen == pytest.approx(_by_hand(2), rel=64 * EPS)
    with pytest.raises(ArgumentError, match="steps_per_execution"):
        model.compile("sgd", "mse", steps_per_execution=0)


def _by_hand(epochs):
    """The losses of the fit above, one step at a time."""
    model = kf.Model(nn.Sequential([nn.Dense(2)]))
    model.compile(optim.sgd(0.1), "mse")
    out = []
    callback = kf.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: out.append(logs["loss"]))
    model.fit(X, X[:, :2], batch_size=2, epochs=epochs, verbose=0, callbacks=callback)
    return out


@pytest.mark.parametrize("name", TRAINING)
def test_what_was_seen_stays_and_nothing_else(name):
    """A train state that somebody reads is his; what nobody has read is gone with the step that replaces it."""
    seen, unseen = [], []

    class Keeps(kf.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            leaf = self.model._carry.value[0].params["kernel"]
            unseen.append(weakref.ref(leaf))
            del leaf
            if epoch % 2:
                ts = self.model.train_state
                seen.append((ts, [np.array(kf.to_numpy(x)) for x in kf.tree.leaves(ts)]))

    model = kf.Model(nn.Dense(2))
    model.compile("adam", "mse")
    model.build(X, backend=name)
    first = model.train_state
    seen.append((first, [np.array(kf.to_numpy(x)) for x in kf.tree.leaves(first)]))
    model.fit(X, X[:, :2], batch_size=3, epochs=5, verbose=0, validation_data=(X, X[:, :2]), callbacks=[Keeps()])
    model.train_on_batch(X, X[:, :2])
    gc.collect()
    assert [ref() is not None for ref in unseen] == [False, True, False, True, False]
    for ts, values in seen:
        for x, value in zip(kf.tree.leaves(ts), values, strict=True):
            np.testing.assert_array_equal(kf.to_numpy(x), value)


def anchored(anchor):
    """A user's own: towards parameters that the user has."""

    def update(grads, state, params):
        towards = kf.tree.map(lambda g, p, a: -0.01 * (g + 0.1 * (p - a)), grads, params, state)
        return towards, state

    return optim.GradientTransformation(lambda params: {"kernel": anchor, "bias": params["bias"] * 1}, update)


OWNERS = {
    "adam": lambda array, rate: optim.adam(rate),
    "schedule-free": lambda array, rate: optim.schedule_free_adamw(rate),
    "averages": lambda array, rate: optim.adam(rate, use_ema=True),
    "clipped": lambda array, rate: optim.adam(rate, clipnorm=1.0),
    "a user's own": lambda array, rate: anchored(array),
}


@pytest.mark.parametrize("optimizer", OWNERS)
@pytest.mark.parametrize("name", TRAINING)
def test_the_first_arrays_may_be_somebody_elses(name, optimizer):
    """What an initializer or an optimizer was given stays the user's, however large or small."""
    x = np.random.default_rng(1).normal(size=(8, 200)).astype(np.float32)
    values = np.random.default_rng(0).normal(size=(200, 100)).astype(np.float32), np.float32(0.01)
    given = [kf.asarray(v, backend=name) for v in values]
    for _ in range(2):
        model = kf.Model(nn.Dense(100, kernel_initializer=lambda key, shape, dtype=None: given[0]))
        model.compile(OWNERS[optimizer](*given), "mse")
        model.fit(x, x[:, :100], 4, 2, verbose=0, backend=name)
        for array, value in zip(given, values, strict=True):
            np.testing.assert_array_equal(kf.to_numpy(array), value)
    assert not np.array_equal(kf.to_numpy(model.train_state.params["kernel"]), values[0])


@pytest.mark.jax
def test_a_step_on_jax_takes_the_memory_of_what_it_replaces():
    given = []
    model = kf.Model(nn.Dense(2))
    model.compile("adam", "mse")
    keep = kf.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: given.extend(kf.tree.leaves(model._carry.value[0])) if epoch == 0 else None
    )
    model.fit(X, X[:, :2], batch_size=3, epochs=2, verbose=0, backend="jax", callbacks=[keep])
    assert len(given) > 5 and all(x.is_deleted() for x in given)
