"""Models written for Keras, and how they were compiled, in both directions. Keras opens the files and trains on."""

from __future__ import annotations

import importlib.util
import inspect
import json
import warnings

import catalogue_oracle as oracle
import numpy as np
import pytest
import sampling
from sampling import chosen

import kfunc as kf
from kfunc import keras as ours
from kfunc import nn, ops, optim
from kfunc.errors import ArgumentError, FileError
from kfunc.interop import keras as files
from kfunc.interop.keras import compiled, weights, writing
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
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
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
ALWAYS = ("Adam", "RMSprop centered", "both", "MultiOptimizer")
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
@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n in ALWAYS or chosen(20, n)])
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
        warnings.filterwarnings("ignore", "__array__ implementation")
        theirs = keras.models.load_model(tmp_path / "ours.keras")
    agree(theirs, model)


def test_an_optimizer_s_state_in_a_legacy_file(tmp_path):
    theirs = small(O.Adam(0.01))
    theirs.save(tmp_path / "untrained.keras")  # without the means
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert int(kf.Model.load(tmp_path / "untrained.keras").train_state.opt_state.count) == 0
    trained(theirs, 5)
    theirs.save(tmp_path / "theirs.h5")
    agree(theirs, kf.Model.load(tmp_path / "theirs.h5"))


def keras_2(name):
    """An optimizer of Keras 2; those before version 2.11 are `legacy`."""
    if importlib.util.find_spec("tf_keras") is None:  # not `importorskip`, which hides that a part of it is missing
        pytest.skip("tf_keras is not installed")
    tf_keras = importlib.import_module("tf_keras")
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


def test_forms_of_losses_and_metrics(tmp_path):
    """Lists and dicts by output, functions, weights of losses, weighted metrics: the same numbers in both."""
    x = keras.Input((3,))
    outputs = [keras.layers.Dense(2, name="a")(x), keras.layers.Dense(1, activation="sigmoid", name="b")(x)]
    labels = [Y, (Y[:, :1] > 0).astype("float32")]
    weights = [np.linspace(0.1, 1, len(Y)).astype("float32")] * 2
    forms = [
        {
            "loss": {"a": "mse", "b": keras.losses.BinaryCrossentropy()},
            "loss_weights": {"a": 0.5, "b": 2.0},
            "metrics": {"a": ["mae", keras.metrics.MeanMetricWrapper(keras.losses.huber, name="wrapped", delta=0.5)]},
            "weighted_metrics": {"b": ["accuracy"]},
        },
        {
            "loss": [keras.losses.huber, keras.losses.binary_crossentropy],
            "loss_weights": [1.0, 3.0],
            "metrics": [[keras.metrics.mean_squared_error], [keras.metrics.AUC(name="area")]],
        },
    ]
    for form in forms if sampling.everything else forms[:1]:
        theirs = keras.Model(x, outputs)
        theirs.compile("sgd", **form)
        want = theirs.evaluate(X, labels, sample_weight=weights, verbose=0, return_dict=True)
        theirs.save(tmp_path / "theirs.keras")
        model = kf.Model.load(tmp_path / "theirs.keras")
        got = model.evaluate(X, labels, sample_weight=weights, verbose=0, return_dict=True)
        assert got.keys() == want.keys()
        np.testing.assert_allclose([got[name] for name in want], list(want.values()), rtol=1e-5)
        model.save(tmp_path / "ours.keras")
        theirs = keras.models.load_model(tmp_path / "ours.keras")
        again = theirs.evaluate(X, labels, sample_weight=weights, verbose=0, return_dict=True)
        np.testing.assert_allclose([again[name] for name in want], list(want.values()), rtol=1e-5)


def same_state(a, b):
    for x, y in zip(*map(kf.tree.leaves, (a, b)), strict=True):
        np.testing.assert_array_equal(x, y)


def built(layer=None):
    return kf.Model(nn.Sequential([nn.Input((3,)), layer or nn.Dense(2)])).build()


def unlike(y_true, y_pred):
    return abs(y_true - y_pred)


LEFT_OUT = {
    "optimizer": ({"optimizer": optim.chain(optim.scale(-0.1))}, "Keras has no optimizer like chain"),
    "rate": ({"optimizer": optim.Adam(lambda step: 0.1)}, "is a function of your own"),
    "loss": ({"loss": unlike}, "its loss, unlike, is a function or a class of your own"),
    "metric": ({"metrics": [unlike, "mae"]}, "The metric unlike is not in the file"),
    "decay": ({"optimizer": optim.AdamW(exclude_from_weight_decay="bias")}, "`exclude_from_weight_decay` is not in"),
    "patterns": ({"optimizer": optim.MultiOptimizer(optim.OptimizerMap("sgd", {"x": "adam"}))}, "by patterns of paths"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_keras_lacks_is_told(name, tmp_path):
    """A warning names it; the rest is written."""
    options, said = LEFT_OUT[name]
    model = built()
    model.compile(**{"optimizer": "adam", "loss": "mse"} | options)
    with pytest.warns(UserWarning, match=said) as told:
        model.save(tmp_path / "ours.keras")
    assert {w.filename for w in told} == {__file__}  # the line that a user can change
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    assert theirs.compiled == (name in ("metric", "decay", "patterns"))
    same_state(theirs.get_weights(), model.get_weights())


TOLD = {
    "optimizer": ({"optimizer": {"class_name": "Mine", "config": {}}}, "there is no optimizer 'Mine'"),
    "lambda": ({"loss": {"class_name": "__lambda__", "config": {"value": "x"}}}, "code of a file is never run"),
    "loss": ({"loss": {"class_name": "Huber", "config": {"gamma": 3.0}}}, "gamma=3.0, which means nothing here"),
    "metric": ({"metrics": ["mine"]}, "A metric of the file is left out: there is no metric 'mine'"),
    "legacy": ({"optimizer": {"class_name": "RMSprop", "config": {"learning_rate": 0.1}}}, "adds epsilon to the root"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_not_here_is_told(name):
    options, said = TOLD[name]
    model = built()
    with pytest.warns(UserWarning, match=said):
        compiled.compile_from(model, {"optimizer": "adam", "loss": "mse"} | options)
    assert (model.optimizer is None) == (name not in ("metric", "legacy"))


def test_a_malformed_config():
    for config in ({"optimizer": 3}, {"optimizer": {"class_name": "Adam", "config": {"beta_1": "x", "use_ema": 1}}}):
        with pytest.raises(FileError, match="The file says how the model was compiled, and that cannot be read"):
            compiled.compile_from(built(), config)


def test_variables_that_do_not_fit():
    """Keras starts such an optimizer afresh, too."""
    model = built()
    model.compile("adam", "mse")
    before, places = model.train_state.opt_state, weights.places(model.net, model._known().call.declared)
    fitting = compiled.groups(model, places)[0][2]
    for arrays in (
        [np.ones(())] * 3,
        [np.ones(())] * 6,
        [np.asarray(2**40), *fitting[1:]],
        [-fitting[0] - 1, *fitting[1:]],
        [np.asarray(np.nan), *fitting[1:]],
    ):
        with pytest.warns(UserWarning, match="The optimizer starts afresh"):
            compiled.restore(model, arrays, None, places)
        same_state(model.train_state.opt_state, before)


def test_an_optimizer_that_keras_did_not_scale():
    """Keras scales the loss by the policy of the whole model, and `compile` here for one layer in float16."""
    model = built(nn.Dense(2, dtype="mixed_float16"))
    compiled.compile_from(model, {"optimizer": "adam", "loss": "mse"})
    places = weights.places(model.net, model._known().call.declared)
    (_, _, scaled), (_, _, arrays) = compiled.groups(model, places)
    assert len(scaled) == len(arrays) + 4
    arrays = [np.asarray(7), *(x + 0.5 for x in arrays[1:])]
    compiled.restore(model, arrays, None, places)
    for x, y in zip(compiled.groups(model, places)[1][2], arrays, strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_state_in_bfloat16(tmp_path):
    """Keras writes its numbers as pairs of bytes without a meaning."""
    dense = keras.layers.Dense(2, dtype="bfloat16", name="dense")
    theirs = keras.Sequential([keras.Input((3,), dtype="bfloat16"), dense])
    theirs.compile("adam", "mse")
    trained(theirs, 2)
    theirs.save(tmp_path / "theirs.keras")
    model = kf.Model.load(tmp_path / "theirs.keras")
    means = model.train_state.opt_state.inner.mu["dense"]["kernel"]
    same_state(means, np.asarray(theirs.optimizer.variables[2]).reshape(3, 2))
    model.save(tmp_path / "ours.keras")
    again = keras.models.load_model(tmp_path / "ours.keras")
    same_state([np.asarray(v) for v in again.optimizer.variables], [np.asarray(v) for v in theirs.optimizer.variables])


@pytest.mark.jax
def test_a_model_that_trains_while_it_is_saved(tmp_path, monkeypatch):
    """The file has the state of one step. Steps on JAX take the memory of the arrays before."""
    model = built()
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0, backend="jax")
    before = kf.tree.map(np.array, (model.train_state.params, model.train_state.opt_state))
    groups = weights.groups

    def meanwhile(*args):
        model.train_on_batch(X, Y)
        return groups(*args)

    monkeypatch.setattr(weights, "groups", meanwhile)
    model.save(tmp_path / "model.keras")
    again = kf.Model.load(tmp_path / "model.keras")
    same_state((again.train_state.params, again.train_state.opt_state), before)
    now = model.get_weights()
    model.save_weights(tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")
    same_state(again.get_weights(), now)


# -- networks ----------------------------------------------------------------------------------------------------------

LAYERS = {
    name: row
    for name, row in zip(oracle.IDS, oracle.ROWS, strict=True)
    if row.kind == "layer" and "Lambda" not in name and "SpectralNormalization" not in name
}
"""Lambdas are refused, and SpectralNormalization divides in inference here, and not in Keras."""


def drawn(model):
    """Other weights than the first ones, with positive variances."""
    rng, names = np.random.default_rng(5), model._known().order
    found = []
    for name, x in zip(names, model.get_weights(), strict=True):
        if x.dtype.kind == "f":
            x = (rng.normal(size=x.shape) * 0.3).astype(x.dtype)
        found.append(abs(x) + 0.5 if "variance" in name else x)
    model.set_weights(found)
    return model


def there_and_back(model, folder, *xs):
    """Keras opens the file, and its outputs are equal; and the file comes back bit for bit."""
    path = folder / "model.keras"
    files.save(model, path)
    theirs = keras.models.load_model(path)
    want = [np.asarray(y) for y in kf.tree.leaves(model(*xs))]
    got = kf.tree.leaves(theirs(xs[0] if len(xs) == 1 else list(xs), training=False))
    for ours_, theirs_ in zip(want, map(np.asarray, got), strict=True):
        # Both compute in float32, in another order: some 1e-7 for each of at most some hundred numbers of a sum.
        np.testing.assert_allclose(ours_.astype("float64"), theirs_.astype("float64"), rtol=1e-4, atol=1e-5)
    again = files.load(path)
    for part in ("params", "state"):
        before, after = (getattr(m.train_state, part) for m in (model, again))
        assert kf.tree.paths(before) == kf.tree.paths(after)
        same_state(before, after)
    same_state(again(*xs), model(*xs))
    return theirs


@pytest.mark.parametrize("name", [n for n in LAYERS if chosen(60, n)])
def test_layers(name, tmp_path):
    row, inputs = LAYERS[name], []

    def node(x):
        if not hasattr(x, "shape"):
            return x
        inputs.append(nn.Input(batch_shape=x.shape, dtype=str(x.dtype)))
        return inputs[-1]

    args, options = kf.tree.map(node, (list(row.args), dict(row.options)))
    out = oracle.made(row)(*args, **options)
    model = drawn(kf.Model(nn.Graph(inputs if len(inputs) > 1 else inputs[0], out)).build())
    arrays = [x for x in kf.tree.leaves((list(row.args), dict(row.options))) if hasattr(x, "shape")]
    there_and_back(model, tmp_path, *arrays)


def shared():
    """A network in a network that is called twice, an input in a dict, two outputs, and operations between them."""
    a, b = nn.Input((4,), name="a"), nn.Input((4,), name="b")
    tower = nn.Graph(
        x := nn.Input((4,)), nn.Dense(3)(nn.Sequential([nn.Dense(5, activation="relu"), nn.Dropout(0.5)])(x))
    )
    dense = nn.Dense(3, name="dense")
    out = nn.Concatenate()([tower(a), tower(b), dense(a) * 2.0 - dense(b)[:, ::-1]])
    return nn.Graph({"a": a, "b": b}, {"x": nn.Dense(1)(out), "y": ops.softmax(out, axis=-1)})


def frozen():
    net = nn.Sequential([nn.Input((4,)), nn.Dense(3, name="base"), nn.BatchNormalization(), nn.Dense(2, name="head")])
    return nn.freeze(net, "base", "batch_normalization")


NETWORKS = {
    "a layer": lambda: (nn.Dense(2), [(3, 4)]),
    "a layer named as an input": lambda: (nn.Sequential([nn.Input((4,)), nn.Dense(2, name="input_layer")]), [(3, 4)]),
    "a cell": lambda: (nn.LSTM(3), [(2, 5, 4)]),
    "frozen": lambda: (frozen(), [(3, 4)]),
    "one input in a list": lambda: (nn.Graph([x := nn.Input((4,))], [nn.Dense(2)(x)]), [(3, 4)]),
    "a constant": lambda: (nn.Graph(x := nn.Input((4,)), nn.Dense(2)(x + np.arange(4.0, dtype="float32"))), [(3, 4)]),
    "half precision": lambda: (nn.Sequential([nn.Input((4,)), nn.Dense(2)], dtype="mixed_float16"), [(3, 4)]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, tmp_path):
    net, shapes = NETWORKS[name]()
    inputs = () if net.input_specs() is not None else tuple(kf.Spec((None, *shape[1:])) for shape in shapes)
    model = drawn(kf.Model(net).build(*inputs))
    xs = [RNG.normal(size=shape).astype("float32") for shape in shapes]
    files.save(model, tmp_path / "model.keras")
    theirs = keras.models.load_model(tmp_path / "model.keras")
    want = np.asarray(kf.tree.leaves(model(*xs))[0], "float64")
    # In float16, of 11 bits, each of the four sums of both sides is rounded by 2**-12 of the largest number, at most.
    tolerance = 2**-9 * float(abs(want).max()) if name == "half precision" else 1e-5
    given = xs if name == "one input in a list" else xs[0]
    got = np.asarray(kf.tree.leaves(theirs(given, training=False))[0]).astype("float64")
    np.testing.assert_allclose(got, want, atol=tolerance)
    assert len(theirs.trainable_variables) == len(kf.tree.leaves(model.train_state.params))
    again = files.load(tmp_path / "model.keras")
    for x, y in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(*(np.asarray(kf.tree.leaves(m(*xs))[0]) for m in (again, model)))


@pytest.mark.parametrize("category", ["activation", "initializer", "regularizer", "constraint"])
def test_names_of_keras(category):
    """Keras knows each name that stands in a file; all others are refused."""
    get, argument = (
        getattr(keras, f"{category}s").get,
        "activation" if category == "activation" else f"kernel_{category}",
    )
    names = [name for name in kf.registry.names(category) if not name.startswith("custom:")]
    refused = set()
    for name, given in [(name, kf.registry.registered(category, name)) for name in names]:
        if category == "activation":
            each = [name, given]
        else:  # those of which an object needs no arguments
            each = (
                [given()] if all(p.default is not p.empty for p in inspect.signature(given).parameters.values()) else []
            )
        for x in each:
            net = nn.Sequential([nn.Input((3,)), nn.Dense(2, **{argument: x})])
            try:
                config = files.config_of(net)["config"]["layers"][1]["config"]
            except ArgumentError:
                refused.add(name)
            else:
                assert get(config[argument]) is not None
    assert refused <= writing._UNKNOWN


ACTING = {
    "dropout": (lambda: nn.Dropout(0.5), "base/dropout"),
    "no rate": (lambda: nn.Dropout(0.0), None),
    "noise": (lambda: nn.GaussianNoise(0.1), "base/gaussian_noise"),
    "recurrent": (lambda: nn.Sequential([nn.Reshape((3, 1)), nn.GRU(2, dropout=0.1)]), "base/sequential/gru"),
    "plain": (lambda: nn.BatchNormalization(), None),
}


@pytest.mark.parametrize("name", ACTING)
def test_frozen_layers_that_act_in_keras_are_told(name):
    make, path = ACTING[name]
    for trainable in (True, False):
        net = nn.Sequential([nn.Input((3,)), nn.Sequential([make()], name="base", trainable=trainable)])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            files.config_of(net)
        wanted = (
            [] if path is None or trainable else [f"Layers that are frozen go on acting in Keras's training: {path}."]
        )
        assert [str(w.message).partition(" Keras freezes")[0] for w in told] == wanted


def test_shared_and_nested(tmp_path):
    model = drawn(kf.Model(shared()).build())
    xs = {name: RNG.normal(size=(3, 4)).astype("float32") for name in "ab"}
    theirs = there_and_back(model, tmp_path, xs)
    assert set(theirs.output_names) == {"x", "y"} or len(theirs.outputs) == 2


X1 = nn.Input((4, 3))
GRAPHS = {
    "get_item": lambda x: x[:, 1:, ..., None],
    "operators": lambda x: -(abs(x) ** 2) / 3 + (x > 0) * 1.0,
    "reductions": lambda x: ops.mean(x, axis=(1, 2), keepdims=True) + ops.max(x, axis=1, keepdims=True),
    "shapes": lambda x: ops.transpose(ops.reshape(ops.expand_dims(x, 1), (-1, 3, 4)), (0, 2, 1)),
    "joined": lambda x: ops.concatenate([x, ops.flip(x, 1), ops.stack([x, x], axis=1)[:, 0]], axis=-1),
    "parts": lambda x: ops.split(x, 3, axis=-1)[1],
    "products": lambda x: ops.einsum("bij,bkj->bik", x, ops.matmul(ops.swapaxes(x, 1, 2), x)[:, :1]),
    "choices": lambda x: ops.where(ops.isfinite(x), ops.clip(x, -0.5, 0.5), 0.0),
    "activations": lambda x: ops.gelu(x, approximate=False) + ops.leaky_relu(x, negative_slope=0.1),
    "casts": lambda x: ops.cast(ops.one_hot(ops.argmax(x, axis=-1), 3), "float32"),
    "normal": lambda x: ops.normalize(x, axis=1) + ops.logsumexp(x, axis=-1, keepdims=True),
    "padded": lambda x: ops.pad(x, ((0, 0), (1, 0), (0, 2)), constant_values=2.0),
    "images": lambda x: ops.image.resize(ops.expand_dims(x, -1), (5, 6)),
    "stopped": lambda x: kf.stop_gradient(x) * x,
}


@pytest.mark.parametrize("name", GRAPHS)
def test_operations(name, tmp_path):
    x = nn.Input((4, 3))
    model = kf.Model(nn.Graph(x, GRAPHS[name](x))).build()
    there_and_back(model, tmp_path, RNG.normal(size=(2, 4, 3)).astype("float32"))


def test_the_table_of_operations():
    """Keras has each of them at that place, and takes the arguments as the table says; and the table has all."""
    found = set()
    for module in writing._OPERATIONS:
        there = importlib.import_module(f"keras.src.ops.{module}")
        for cls in [c for c in vars(there).values() if inspect.isclass(c) and c.__module__ == there.__name__]:
            function = next((f for f in writing._OPERATIONS[module] if writing.class_of(f) == cls.__name__), None)
            if function is None:
                assert "".join(c for c in cls.__name__.lower()) not in {f.replace("_", "") for f in OPS}
                continue
            found.add(function)
            called, config = writing.signature_of(function)
            takes = [n for n in inspect.signature(cls.call).parameters if n not in ("self", "kwargs", "axes_lengths")]
            assert called == takes, function
            assert set(config) <= set(inspect.signature(cls.__init__).parameters), function
    assert found == set().union(*writing._OPERATIONS.values()) and found <= set(OPS)


def attending(layer):
    x = nn.Input((4,))
    steps = nn.RepeatVector(3)(x)
    return nn.Graph(x, layer(steps, steps))


REFUSED = {
    "layer": (lambda: nn.Residual(nn.Dense(4)), "Keras has no layer like Residual"),
    "inside": (lambda: nn.Sequential([nn.Dense(4), nn.Stack(nn.Dense(4), 2)]), "Keras has no layer like Stack"),
    "function": (lambda: nn.Lambda(lambda x: x), "Keras has no layer like Lambda"),
    "argument": (lambda: nn.LayerNormalization(rms_scaling=True), "`rms_scaling` of LayerNormalization is True"),
    **{
        f"{argument} of attention": (
            lambda argument=argument, value=value: attending(nn.MultiHeadAttention(2, 4, **{argument: value})),
            f"`{argument}` of MultiHeadAttention is ",
        )
        for argument, value in {
            "scale": 1.0,
            "attn_logits_soft_cap": 3.0,
            "query_norm": nn.RMSNormalization(),
            "key_norm": nn.RMSNormalization(),
            "rotary": nn.RotaryEmbedding(),
            "use_bias": ("query",),
        }.items()
    },
    "activation": (lambda: nn.Dense(4, activation=lambda x: x), "`activation` is .*, which Keras does not know"),
    "twice": (lambda: nn.Sequential([d := nn.Dense(4), d]), "A layer stands twice in a Sequential"),
    "operation": (lambda: nn.Graph(x := nn.Input((4,)), ops.layer_normalization(x)), "Keras has no operation like it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_keras_lacks_is_refused_by_name(name, tmp_path):
    make, said = REFUSED[name]
    model = kf.Model(make()).build(kf.Spec((None, 4)))
    with pytest.raises(ArgumentError, match=said):
        model.save(tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


# -- a Keras user's fingers --------------------------------------------------------------------------------------------


@ours.saving.register_keras_serializable()
class Doubled(ours.layers.Layer):
    def call(self, x):
        return 2 * x


class Own(kf.Model):
    pass


def test_fingers(tmp_path):
    """Programs for Keras save and load as they always did."""
    model = built()
    model.compile("adam", "mse", loss_weights=np.float32(2))
    model.fit(X, Y, verbose=0)
    path = tmp_path / "model.keras"
    for save in (model.save, lambda p: ours.saving.save_model(model, p), lambda p: ours.models.save_model(model, p)):
        save(path)
        for load in (ours.models.load_model, ours.saving.load_model, ours.load_model, kf.Model.load, files.load):
            again = load(path)
            same_state(again.train_state.opt_state, model.train_state.opt_state)
            assert again.loss_weights == 2
    assert type(Own.load(path)) is Own
    assert ours.models.load_model(path, compile=False).optimizer is None
    with pytest.raises(FileError, match="exists already"):
        model.save(path, overwrite=False)
    model.save_weights(tmp_path / "model.weights.h5")
    other = built().reset(3)
    other.load_weights(tmp_path / "model.weights.h5")
    same_state(other.train_state.params, model.train_state.params)
    model.save(tmp_path / "model.safetensors")
    same_state(ours.models.load_model(tmp_path / "model.safetensors").train_state.params, model.train_state.params)
    again = ours.models.load_model(tmp_path / "model.safetensors", compile=False)
    assert again.optimizer is None and again.train_state.opt_state is None
    same_state(again(X), model(X))
    with pytest.raises(ArgumentError, match="`skip_mismatch` must be False"):
        other.load_weights(tmp_path / "model.weights.h5", skip_mismatch=True)


def test_classes_of_one_s_own(tmp_path):
    """`custom_objects` are registered, and a file that Keras wrote with such a layer is loaded."""

    class Tripled(ours.layers.Layer):
        def call(self, x):
            return 3 * x

    class Theirs(importlib.import_module("keras").layers.Layer):
        def call(self, x):
            return 3 * x

    Theirs.__name__ = "Tripled"
    theirs = keras.Sequential([keras.Input((3,)), Theirs()])
    theirs.save(tmp_path / "theirs.keras")
    with pytest.raises(kf.KfuncError, match="of the class 'Tripled', which kfunc does not know"):
        ours.models.load_model(tmp_path / "theirs.keras")
    model = ours.models.load_model(tmp_path / "theirs.keras", custom_objects={"Tripled": Tripled})
    np.testing.assert_array_equal(model(X), 3 * X)
    with pytest.raises(ArgumentError, match="`safe_mode` must be True"):
        ours.models.load_model(tmp_path / "theirs.keras", safe_mode=False)
    with pytest.raises(ArgumentError, match="The kind of 3 is not known"):
        ours.models.load_model(tmp_path / "theirs.keras", custom_objects={"x": 3})


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.HDF5"])
def test_files_that_are_something_else(name, tmp_path):
    (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(200))
    for do in (kf.Model.load, built().load_weights, ours.models.load_model):
        with pytest.raises(FileError):
            do(tmp_path / name)


def test_other_suffixes_of_keras_are_not_written(tmp_path):
    for name, do in (("m.h5", built().save), ("m.weights.h5", built().save), ("m.keras", built().save_weights)):
        with pytest.raises(ArgumentError, match="`filepath` must be a path that ends in"):
            do(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shared", [False, True])
def test_branches_of_other_lengths(shared, tmp_path):
    """Files number layers in the order of Keras's `model.layers`, which is not that of the nodes."""
    x = nn.Input((8,))
    again = nn.Dense(8)
    a = nn.Dense(8)(again(x) if shared else nn.Dense(5)(x))
    b = nn.Dense(8)(x)
    out = nn.Concatenate()([nn.Dense(8)(b), again(nn.Dense(8)(a)), b * 2.0])
    model = kf.Model(nn.Graph(x, out)).build()
    model.save(tmp_path / "x.keras")
    other = kf.Model.load(tmp_path / "x.keras")
    data = np.ones((1, 8), "float32")
    np.testing.assert_array_equal(other.predict(data, verbose=0), want := model.predict(data, verbose=0))
    theirs = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_allclose(np.asarray(theirs(data)), want, rtol=1e-5, atol=1e-6)
    config = theirs.get_config()["layers"]
    listed = [layer["config"]["name"] for layer in files.config_of(model.net)["config"]["layers"]]
    assert listed == [layer["config"]["name"] for layer in config]


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_layer_as_an_activation(ending, tmp_path):
    """Read as Keras wrote it, and written as Keras reads it."""
    k = keras.layers
    theirs = keras.Sequential(
        [
            k.Input((6, 4)),
            k.Conv1D(5, 2, activation=k.LeakyReLU(0.1)),
            k.EinsumDense("abc,cd->abd", (None, 4), activation=k.ReLU(negative_slope=0.2)),
            k.Dense(3, activation=k.Softmax()),
            k.Activation(k.ELU(0.5)),
        ]
    )
    x = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")
    want = np.asarray(theirs(x))
    theirs.save(tmp_path / f"x{ending}")
    for model in (files.load(tmp_path / f"x{ending}"), files.convert(theirs)):
        np.testing.assert_allclose(model.predict(x, verbose=0), want, rtol=1e-5, atol=1e-6)
    files.save(model, tmp_path / "y.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "y.keras")(x), want, rtol=1e-5, atol=1e-6)
