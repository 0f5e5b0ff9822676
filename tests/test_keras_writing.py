"""Models written for Keras, and how they were compiled, in both directions. Keras opens the files and trains on."""

from __future__ import annotations

import importlib
import inspect
import json
import warnings

import catalogue_oracle as oracle
import numpy as np
import pytest
from sampling import chosen

import kfunc as kf
from kfunc import keras as ours
from kfunc import nn, ops, optim
from kfunc.errors import ArgumentError, FileError
from kfunc.interop import keras as files
from kfunc.interop.keras import compiled, writing
from kfunc.ops._op import OPS


class Later:
    """A module of Keras, which is imported when a test asks it for something."""

    def __init__(self, name):
        self.name = name

    def __getattr__(self, name):
        return getattr(importlib.import_module(self.name), name)


keras, O, S, L, M = map(  # noqa: E741
    Later, ("keras", "keras.optimizers", "keras.optimizers.schedules", "keras.losses", "keras.metrics")
)
RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(16, 3)).astype("float32"), RNG.normal(size=(16, 2)).astype("float32")

# -- how a model is compiled -------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": lambda: O.SGD(0.05),
    "SGD nesterov": lambda: O.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda: O.Adam(0.01),
    "Adam amsgrad": lambda: O.Adam(0.01, amsgrad=True, clipnorm=0.1),
    "AdamW": lambda: O.AdamW(0.01, clipvalue=0.05),
    "RMSprop": lambda: O.RMSprop(0.01),
    "RMSprop centered": lambda: O.RMSprop(0.01, momentum=0.5, centered=True, global_clipnorm=0.5),
    "Adagrad": lambda: O.Adagrad(0.05),
    "Adadelta": lambda: O.Adadelta(1.0),
    "Adamax": lambda: O.Adamax(0.01),
    "Nadam": lambda: O.Nadam(0.01),
    "Ftrl": lambda: O.Ftrl(0.05, l1_regularization_strength=0.01),
    "Lion": lambda: O.Lion(0.005),
    "Lamb": lambda: O.Lamb(0.01),
    "Adafactor": lambda: O.Adafactor(0.05),
    "Adafactor schedule": lambda: O.Adafactor(S.ExponentialDecay(0.05, 3, 0.5)),
    "Muon": lambda: O.Muon(0.01),
    "ScheduleFreeAdamW": lambda: O.ScheduleFreeAdamW(0.01, warmup_steps=4),
    "averaged": lambda: O.Adam(0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=3),
    "accumulated": lambda: O.Adam(S.ExponentialDecay(0.05, 3, 0.5), gradient_accumulation_steps=3),
    "both": lambda: O.SGD(0.05, momentum=0.9, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.8),
    "LossScaleOptimizer": lambda: O.LossScaleOptimizer(O.Adam(0.01), dynamic_growth_steps=3),
    "MultiOptimizer": lambda: O.MultiOptimizer(
        O.OptimizerMap(O.SGD(0.05, momentum=0.9), {".*bias": O.Adam(0.01), "nothing": O.SGD(S.CosineDecay(0.1, 5))})
    ),
    "CosineDecay": lambda: O.SGD(S.CosineDecay(0.01, 5, warmup_target=0.1, warmup_steps=3)),
    "CosineDecayRestarts": lambda: O.SGD(S.CosineDecayRestarts(0.1, 3)),
    "InverseTimeDecay": lambda: O.SGD(S.InverseTimeDecay(0.1, 3, 0.5)),
    "PiecewiseConstantDecay": lambda: O.SGD(S.PiecewiseConstantDecay([3, 6], [0.1, 0.05, 0.01])),
    "PolynomialDecay": lambda: O.SGD(S.PolynomialDecay(0.1, 6)),
}
ALWAYS = ("Adam", "RMSprop centered", "both")
"""Rows that always run: variables that alternate, one with another sign, and counters that differ."""


def small(optimizer, seed=1):
    """A model of Keras, compiled."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((3,))
    h = keras.layers.BatchNormalization()(keras.layers.Dense(4, activation="tanh", name="hidden")(x))
    model = keras.Model(x, keras.layers.Dense(2)(h))
    model.compile(optimizer, "mse")
    return model


def trained(model, steps):
    return [float(np.ravel(model.train_on_batch(X, Y))[0]) for _ in range(steps)]


def agree(a, b):
    """The same losses and weights: each step rounds in another order, by some 1e-7, and ten steps multiply that."""
    np.testing.assert_allclose(trained(a, 4), trained(b, 4), rtol=1e-5)
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The optimizer chooses by patterns")
@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n in ALWAYS or chosen(5, n)])
def test_training_goes_on(name, tmp_path):
    """As if nothing had happened: from Keras's file here, and from our file in Keras."""
    theirs = small(OPTIMIZERS[name]())
    trained(theirs, 5)
    theirs.save(tmp_path / "theirs.keras")
    model = kf.Model.load(tmp_path / "theirs.keras")
    assert int(model.train_state.step) == 5
    agree(theirs, model)
    model.save(tmp_path / "ours.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Keras warns of an optimizer's variables that do not fit
        warnings.filterwarnings("ignore", "The structure of|.*deprecated")
        theirs = keras.models.load_model(tmp_path / "ours.keras")
    agree(theirs, model)


def test_an_optimizer_s_state_in_a_legacy_file(tmp_path):
    theirs = small(O.Adam(0.01))
    trained(theirs, 5)
    theirs.save(tmp_path / "theirs.h5")
    agree(theirs, kf.Model.load(tmp_path / "theirs.h5"))


def keras_2(name):
    """An optimizer of Keras 2; those before version 2.11 are `legacy`."""
    tf_keras = pytest.importorskip("tf_keras")
    of = tf_keras.optimizers
    return tf_keras, {
        "SGD": lambda: of.SGD(0.05),
        "Adam": lambda: of.Adam(0.01, amsgrad=True, weight_decay=0.01),
        "Nadam": lambda: of.Nadam(of.schedules.ExponentialDecay(0.01, 3, 0.5)),
        "Adafactor": lambda: of.Adafactor(0.01),
        "legacy SGD": lambda: of.legacy.SGD(0.05, momentum=0.9, decay=0.1),
        "legacy Adam": lambda: of.legacy.Adam(0.01, amsgrad=True),
        "legacy Ftrl": lambda: of.legacy.Ftrl(0.05),
    }[name]()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam", "Adafactor", "legacy SGD", "legacy Adam", "legacy Ftrl"])
def test_training_goes_on_from_keras_2(name, tmp_path):
    tf_keras, optimizer = keras_2(name)
    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    theirs = tf_keras.Sequential([layers.Input((3,)), layers.Dense(4, activation="tanh"), layers.Dense(2)])
    theirs.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True)
    trained(theirs, 4)
    suffixes = [".h5"] if name.startswith("legacy") else [".h5", ".keras"]
    for suffix in suffixes:
        theirs.save(tmp_path / f"model{suffix}")
    models = [kf.Model.load(tmp_path / f"model{suffix}") for suffix in suffixes]
    want = [theirs.train_on_batch(X, Y) for _ in range(3)]
    for model in models:
        np.testing.assert_allclose([model.train_on_batch(X, Y) for _ in range(3)], want, rtol=1e-5)


def distinct(theme):
    """The classes of `keras.losses` and its like in the catalogue, each with each of its arguments once."""
    found = {repr(row.new): row.new for row in oracle.ROWS if row.new.name.rpartition(".")[0] == theme}
    named = {name: new for name, new in found.items() if new.name.rpartition(".")[2][0].isupper()}
    return {name: new for name, new in named.items() if "MeanMetricWrapper" not in name}  # has rows below


OF_VALUES = ("metrics.Mean", "metrics.Sum")
"""Metrics of values, which `compile` does not take."""
COMPILED = {
    **{name: ("loss", new) for name, new in distinct("losses").items()},
    **{name: ("metric", new) for name, new in distinct("metrics").items() if new.name not in OF_VALUES},
    **{name: ("optimizer", new) for name, new in distinct("optimizers").items()},
}
BOTH_WAYS = {
    "loss": (compiled._loss, compiled._loss_config),
    "metric": (compiled._metric, compiled._metric_config),
    "optimizer": (compiled._optimizer, compiled._optimizer_config),
}


def config_of(x):
    """The config of an object of Keras in JSON's types."""
    return json.loads(json.dumps(keras.saving.serialize_keras_object(x)))


@pytest.mark.filterwarnings("ignore:The optimizer chooses by patterns")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras, of its own variables
@pytest.mark.parametrize("name", [name for name in COMPILED if "metrics" not in name or chosen(4, name)])
def test_what_compile_takes(name):
    """Each loss, metric and optimizer of Keras becomes ours, and Keras builds the same one of ours."""
    category, new = COMPILED[name]
    theirs, (read, write) = new.build(oracle.THEIRS), BOTH_WAYS[category]
    config = config_of(theirs)
    made = read(config)
    name = type(made).__name__ if category != "optimizer" else made.config["class"]
    assert kf.registry.registered(category, name) is kf.registry.registered(category, type(theirs).__name__)
    again = keras.saving.deserialize_keras_object(write(made))
    assert type(again) is type(theirs) and config_of(again) == config


def classes(module):
    return {n for n in dir(importlib.import_module(module.name)) if inspect.isclass(getattr(module, n))}


def test_the_tables_are_whole():
    """A loss, metric or optimizer that Keras gets needs a row."""
    names = {new.name.rpartition(".")[2] for _, new in COMPILED.values()}
    assert classes(L) | classes(M) <= names | {"Loss", "Metric", "Mean", "MeanMetricWrapper", "Sum"}
    assert classes(O) - {"Optimizer", "OptimizerMap"} <= {name.split()[0] for name in OPTIMIZERS}
    assert classes(S) - {"LearningRateSchedule"} <= {*OPTIMIZERS, "ExponentialDecay"}
