"""Training as Keras trains: losses, metrics and weights after some steps, for what reaches beyond one layer."""

from __future__ import annotations

import numpy as np
import pytest
from backends import TRAINING
from catalogue import New
from catalogue_oracle import OURS, THEIRS, matched
from keras_rows import integers, normal, unit

import kfunc as kf
from kfunc import nn

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
    "cells": (
        sequential(New("RNN", New("GRUCell", 3), return_sequences=True), New("GlobalAveragePooling1D")),
        {"loss": "mse"},
        (normal(8, 5, 3), normal(8, 3)),
    ),
}


def kerases(make, options, data, params, order):
    """Logs of each step, and the weights after them, of Keras's model that starts from ours."""
    model = make(THEIRS)
    model(data[0])
    leaves = dict(zip(kf.tree.paths(params), kf.tree.leaves(params), strict=True))
    leaves = {path: leaves[path] for path in order}
    variables = [v for v in model.variables if "seed_generator" not in v.path]
    names = matched(variables, leaves)
    for v, path in zip(variables, names, strict=True):
        v.assign(leaves[path])
    model.compile(**options)
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
    order = ["/".join(path) for path in model.net.trace(x).declared]
    ts = model.train_state
    start = kf.tree.map(kf.to_numpy, {**ts.params})
    start_state = kf.tree.map(kf.to_numpy, {**ts.state})
    both = _merged(start, start_state)
    logs, tested, wanted = kerases(make, options, data, both, order)
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
