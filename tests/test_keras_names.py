"""Keras's names: each is here, or is told where it is, or why it is not."""

from __future__ import annotations

import functools
import inspect
import re
import subprocess
import sys
import types

import numpy as np
import pytest
from backends import TRAINING

import kfunc as kf
from kfunc import elsewhere, nn

SPACES = {  # Keras's namespaces and ours
    "": "kfunc",
    "layers": "kfunc.nn",
    "ops": "kfunc.ops",
    "optimizers": "kfunc.optim",
    "optimizers.schedules": "kfunc.optim.schedules",
    "losses": "kfunc.losses",
    "metrics": "kfunc.metrics",
    "callbacks": "kfunc.callbacks",
    "initializers": "kfunc.nn.initializers",
    "regularizers": "kfunc.nn.regularizers",
    "constraints": "kfunc.nn.constraints",
    "activations": "kfunc.nn.activations",
    "dtype_policies": "kfunc.nn.dtype_policies",
    "random": "kfunc.random",
    "tree": "kfunc.tree",
    "utils": "kfunc.utils",
    "applications": "kfunc.keras.applications",
    "datasets": "kfunc.datasets",
    "datasets.imdb": "kfunc.datasets.imdb",
    "datasets.reuters": "kfunc.datasets.reuters",
    "preprocessing": "kfunc.keras.preprocessing",
    "preprocessing.image": "kfunc.keras.preprocessing.image",
    "preprocessing.sequence": "kfunc.keras.preprocessing.sequence",
}


X = np.ones((4, 3), np.float32)


def at(path, start=kf):
    return functools.reduce(getattr, path.split(".")[1:], start)


@pytest.mark.parametrize("theirs", SPACES)
def test_every_public_name_of_keras(theirs):
    keras = pytest.importorskip("keras")
    ours, untold = at(SPACES[theirs]), []
    for name in dir(at(f"keras.{theirs}" if theirs else "keras", keras)):
        if name.startswith("_") or hasattr(ours, name):
            continue
        try:
            getattr(ours, name)
        except kf.errors.UnknownAttributeError as error:
            assert error.problem.startswith(f"`{name}` of Keras is not in {SPACES[theirs]}: ")
        except AttributeError:
            untold.append(name)
    assert not untold
    # All namespaces of Keras are looked at, here or as names of the one around them.
    modules = [n for n, m in inspect.getmembers(keras, inspect.ismodule) if not n.startswith("_")]
    assert all(
        n in SPACES or hasattr(kf, n) or n in elsewhere.REASONS["kfunc"] or n in elsewhere.PLACES["kfunc"]
        for n in modules
    )


@pytest.mark.parametrize("namespace", sorted({*elsewhere.PLACES, *elsewhere.REASONS}))
def test_the_table(namespace):
    """Places exist, nothing is told of names that exist, and none has two entries."""
    places, reasons = elsewhere.PLACES.get(namespace, {}), elsewhere.REASONS.get(namespace, {})
    assert not places.keys() & reasons.keys()
    for name, place in places.items():
        assert at(place) is not None
        assert not hasattr(at(namespace), name)
    assert not [name for name in reasons if hasattr(at(namespace), name)]


OWNERS = {
    "Layer": nn.Dense(2),
    "Model": kf.Model(nn.Dense(2)),
    "Optimizer": kf.optim.adam(1e-3),
    "Metric": kf.metrics.Mean(),
    "Node": nn.Input((3,)),
}


@pytest.mark.parametrize("of", elsewhere.MEMBERS)
def test_members(of):
    """Each raises an error that says what is in its place; and none is one that the class has."""
    for name, reason in elsewhere.MEMBERS[of].items():
        found = next(vars(cls)[name] for cls in type(OWNERS[of]).__mro__ if name in vars(cls))
        assert isinstance(found, elsewhere._Told), name
        with pytest.raises(kf.errors.UnknownAttributeError, match=f"has no `{name}`, unlike in Keras") as error:
            getattr(OWNERS[of], name)
        assert error.value.fix.startswith(reason) and not hasattr(OWNERS[of], name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'") as error:
        OWNERS[of].nothing  # noqa: B018
    assert type(error.value) is AttributeError and error.value.name == "nothing"


def texts():
    for part in (*elsewhere.MEMBERS.values(), *elsewhere.REASONS.values()):
        yield from part.values()
    yield from (*elsewhere.ARGUMENTS.values(), *elsewhere.OVERRIDDEN.values(), *elsewhere.SETS.values())


def test_what_the_texts_name_exists():
    named = {name for text in texts() for name in re.findall(r"\bkf(?:\.\w+)+", text)}
    named |= {f"kf.Model.{name}" for text in texts() for name in re.findall(r"\bmodel\.(\w+)(?=\()", text)}
    assert len(named) > 30
    for name in named:
        assert at(name) is not None


HABITS = {  # what a Keras user writes, and what the error about it names
    "layer(array)": (lambda: nn.Dense(2)(X), "kf.Model(layer)(x)"),
    "layer.trainable = False": (lambda: setattr(nn.Dense(2), "trainable", False), "model.freeze('path')"),
    "optimizer.learning_rate = 0.1": (lambda: setattr(kf.optim.adam(), "learning_rate", 0.1), "with_learning_rate"),
    "layer.units = 3": (lambda: setattr(nn.Dense(2), "units", 3), "kfunc.replace"),
    "net.add": (lambda: nn.Sequential([]).add(nn.Dense(2)), "net + [layer]"),
    "input_shape=": (lambda: nn.Dense(2, input_shape=(3,)), "nn.Input(shape)"),
    "lr=": (lambda: kf.optim.Adam(lr=0.1), "learning_rate"),
    "model.weights = []": (lambda: setattr(kf.Model(nn.Dense(2)), "weights", []), "train_state"),
    "from kfunc.nn import MelSpectrogram": (
        lambda: exec("from kfunc.nn import MelSpectrogram"),
        "preprocessing layers",
    ),
    "from kfunc import backend": (lambda: exec("from kfunc import backend"), "kf.backend_of(x)"),
    "from kfunc.utils import set_random_seed": (
        lambda: exec("from kfunc.utils import set_random_seed"),
        "kf.Model(net, seed=1)",
    ),
    "def call": (lambda: type("M", (kf.Model,), {"call": lambda self, x: x}), "kf.Model(layer)"),
    "def train_step": (lambda: type("M", (kf.Model,), {"train_step": lambda self, d: d}), "objective=fun"),
    "def test_step": (lambda: type("M", (kf.Model,), {"test_step": lambda self, d: d}), "eval_step=fun"),
    "def build beside forward": (
        lambda: type("L", (nn.Layer,), {"build": lambda self, input_shape: None, "forward": lambda self, s, x: x}),
        "s.param(name, shape, initializer)",
    ),
    "model(x, training='yes')": (lambda: kf.Model(nn.Dense(2))(X, training="yes"), "`training` must be a bool"),
}


@pytest.mark.parametrize("habit", HABITS)
def test_habits(habit):
    do, words = HABITS[habit]
    with pytest.raises((kf.KfuncError, TypeError)) as error:
        do()
    assert words in str(error.value)
    assert isinstance(error.value, ImportError) == habit.startswith("from ")


def test_from_import_of_what_never_was():
    with pytest.raises(ImportError, match="cannot import name 'Densee'") as error:
        from kfunc.nn import Densee  # noqa: F401
    assert type(error.value) is ImportError


def test_what_is_not_keras_s_is_as_always():
    with pytest.raises(AttributeError, match=r"module 'kfunc\.nn' has no attribute 'Densee'") as error:
        nn.Densee  # noqa: B018
    assert type(error.value) is AttributeError and error.value.obj is nn  # so that Python suggests Dense
    assert not hasattr(kf, "__path_of_nothing__") and isinstance(nn, types.ModuleType)
    with pytest.raises(AttributeError, match="no global seed"):
        kf.utils.set_random_seed(1)


def test_the_alias_has_keras_s_names():
    """`from kfunc import keras` has all names of Keras that are elsewhere in kfunc, as the same objects."""
    from kfunc import keras

    for name, place in elsewhere.PLACES["kfunc"].items():
        if name not in ("Sequential", "load_model"):  # a model in Keras; with Keras's arguments beside the path
            assert getattr(keras, name) is at(place) or getattr(keras, name) == at(place), name
    for name in keras.__all__:
        if name == "models":  # `Model` and `load_model` in Keras, and families of networks here
            continue
        assert not hasattr(kf, name) or getattr(kf, name) is getattr(keras, name), name
    with pytest.raises(AttributeError, match="nothing is global here"):
        keras.config  # noqa: B018


IMPORTS = [
    "from kfunc.keras.layers import Dense, Input",
    "from kfunc.keras.models import Sequential, Model, load_model",
    "from kfunc.keras.optimizers import Adam",
    "from kfunc.keras.optimizers.schedules import ExponentialDecay",
    "from kfunc.keras.utils import to_categorical",
    "from kfunc.keras.datasets import mnist",
    "from kfunc.keras.datasets.mnist import load_data",
    "from kfunc.keras.preprocessing.image import load_img",
    "from kfunc.keras.preprocessing.sequence import pad_sequences",
    "from kfunc.keras.preprocessing import image",
    "from kfunc.keras.applications.resnet50 import ResNet50, preprocess_input",
    "from kfunc.keras.saving import register_keras_serializable",
    "from kfunc.keras.ops import image, matmul",
    "import kfunc.keras.layers as layers; layers.Dense",
    "import kfunc.keras.backend as K; K.epsilon()",
    "import kfunc.keras.regularizers; kfunc.keras.regularizers.L2",
]


def test_the_alias_is_imported_as_keras_is():
    """In a process of its own for each form, so that nothing is imported before."""
    code = (
        f"import os\nfor line in {IMPORTS}:\n  if os.fork() == 0:\n    exec(line, {{}}); os._exit(0)\n"
        "  elif os.wait()[1]: print(line)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout, run.returncode) == ("", 0), run.stderr


def test_the_alias_s_constants():
    from kfunc import keras as ours

    theirs = pytest.importorskip("keras")
    for name in ("epsilon", "floatx", "image_data_format"):
        assert getattr(ours.backend, name)() == getattr(theirs.backend, name)(), name


def test_the_alias_s_clone():
    from kfunc import keras

    model = keras.Sequential([keras.Input((4,)), nn.Dense(3)]).build()
    clone = keras.models.clone_model(model)
    clone.set_weights([2 * w for w in clone.get_weights()])
    assert type(clone) is keras.Sequential and clone.count_params() == model.count_params()
    assert (clone.get_weights()[0] == 2 * model.get_weights()[0]).all()


def test_the_alias_s_sequential():
    from kfunc import keras

    model = keras.Sequential(name="net")
    for layer in (keras.Input((4,)), nn.Dense(3, name="a"), nn.Dense(2)):
        model.add(layer)
    assert repr(model.pop()) == "Dense(units=2)"
    model.add(nn.Dense(1))
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Dense"] and model.net.name == "net"
    x = np.ones((8, 4), "float32")
    model.compile("adam", "mse")
    model.fit(x, x[:, :1], verbose=0)
    before = model.get_weights()
    for change in (model.pop, lambda: model.add(nn.Dense(1))):
        with pytest.raises(kf.errors.ArgumentError, match="Sequential with weights cannot be changed"):
            change()
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    head = keras.Sequential([model, nn.Dense(2)])  # a model is a layer, and brings its weights along
    assert head(x).shape == (8, 2)
    np.testing.assert_array_equal(head.get_weights()[0], before[0])


def test_adding_keeps_what_was_said():
    """A model stays compiled and frozen, and is as it was if a layer cannot be added."""
    from kfunc import keras

    model = keras.Sequential([keras.Input((3,)), nn.Dense(3, name="base")]).freeze("base")
    model.compile("sgd", "mse")
    for layer in (nn.Dense(3, name="base"), keras.Input((3,)), "dense"):
        with pytest.raises(kf.KfuncError):
            model.add(layer)
    model.add(nn.Dense(2, name="head"))
    model.fit(X, X[:, :2], verbose=0)
    assert list(model.train_state.params) == ["head"]
    with pytest.raises(kf.errors.ArgumentError, match="Sequential without layers"):
        keras.Sequential().pop()


def test_files_of_models(tmp_path):
    """Methods call the file as Keras does, and a subclass is loaded without its `__init__`."""
    from kfunc import keras

    model = keras.Sequential([keras.Input((3,)), nn.Dense(2)]).build()
    model.save(filepath=tmp_path / "model.safetensors")
    model.save_weights(filepath=tmp_path / "weights.safetensors")
    model.load_weights(filepath=tmp_path / "weights.safetensors")
    assert keras.models.load_model(filepath=tmp_path / "model.safetensors").layers[0].units == 2
    assert type(keras.Sequential.load(tmp_path / "model.safetensors")) is keras.Sequential
    theirs = pytest.importorskip("keras")
    for name in ("save", "save_weights", "load_weights"):
        first = [list(inspect.signature(getattr(of, name)).parameters)[1] for of in (keras.Model, theirs.Model)]
        assert first == ["filepath", "filepath"]
    for do in (model.save, model.save_weights, model.load_weights, keras.load_model):
        with pytest.raises(kf.errors.ArgumentError, match="`filepath` must be a path"):
            do(3)


def test_one_output_in_a_list():
    """Its metrics have the names that they have without the list, as in Keras: callbacks look for "val_accuracy"."""
    from kfunc import keras

    x, y = np.ones((8, 3), "float32"), np.zeros((8, 1))
    inputs = keras.Input((3,))
    for made in (lambda node: node, lambda node: [node], lambda node: {"a": node}):
        model = keras.Model(inputs, made(nn.Dense(4)(inputs)))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        history = model.fit(x, y, validation_split=0.5, verbose=0).history
        assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    clone = keras.models.clone_model(model)
    assert clone.layers[1].units == 4 and clone.optimizer is None


CONFIGS = {  # an object of each namespace with `serialize` and `deserialize`
    "nn": nn.Dense(3, "relu"),
    "optim": kf.optim.adam(0.1),
    "optim.schedules": kf.optim.CosineDecay(0.1, 10),
    "losses": kf.losses.MeanSquaredError(),
    "metrics": kf.metrics.AUC(num_thresholds=10),
    "nn.initializers": nn.initializers.VarianceScaling(2.0),
    "nn.regularizers": nn.regularizers.L2(0.1),
    "nn.constraints": nn.constraints.MaxNorm(1.0),
    "nn.activations": nn.activations.relu,
    "nn.dtype_policies": nn.dtype_policies.DTypePolicy("mixed_bfloat16"),
}


@pytest.mark.parametrize("namespace", CONFIGS)
def test_configs(namespace):
    module, value = at(f"kfunc.{namespace}"), CONFIGS[namespace]
    again = module.deserialize(module.serialize(value))
    assert module.serialize(again) == module.serialize(value) and type(again) is type(value)
    if hasattr(module, "get"):
        assert type(module.get(module.serialize(value))) is type(value)


def test_bases_of_ones_own():
    """Classes as Keras has them, with the key of random numbers as one more argument of initializers."""

    @kf.register("initializer", "a row of test_keras_names")
    class Halves(nn.initializers.Initializer):
        def __call__(self, key, shape, dtype="float32"):
            return np.full(shape, 0.5, dtype)

    class Sum(nn.regularizers.Regularizer):
        def __call__(self, x):
            return kf.ops.sum(x)

    class Positive(nn.constraints.Constraint):
        def __call__(self, w):
            return kf.ops.abs(w)

    net = nn.Dense(2, kernel_initializer=Halves(), kernel_regularizer=Sum(), kernel_constraint=Positive())
    params, _ = net.init(0, np.ones((1, 3), np.float32))
    assert (params["kernel"] == 0.5).all()
    assert net.apply(params, np.ones((1, 3), np.float32), aux=True)[2].losses == {"kernel": 3.0}
    assert isinstance(nn.initializers.deserialize(nn.initializers.serialize(Halves())), Halves)
    for base in (nn.initializers.Initializer, nn.regularizers.Regularizer, nn.constraints.Constraint):
        with pytest.raises(NotImplementedError, match="__call__"):
            base()(np.ones(3), (3,), "float32") if base is nn.initializers.Initializer else base()(np.ones(3))


CLASSES = {  # arguments of to_categorical
    "classes found": ([0, 2, 1], None),
    "more than there are": (np.int32([0, 2]), 4),
    "a column": (np.uint8([[3], [1]]), None),
    "two axes": (np.int64([[3, 1], [0, 2]]), 5),
    "one of one": ([1], None),
    "a scalar": (np.int32(2), 3),
    "floats": (np.float32([1, 0]), None),
    "booleans": (np.array([True, False]), None),
    "nothing": (np.zeros(0, "int32"), 3),
    "more classes than bytes": (np.uint8([44, 0]), 300),
}


@pytest.mark.parametrize("row", CLASSES)
@pytest.mark.parametrize("name", TRAINING)
def test_to_categorical(row, name):
    keras = pytest.importorskip("keras")
    x, classes = CLASSES[row]
    given = x if isinstance(x, list) else kf.to_backend(x, name)
    got = kf.utils.to_categorical(given, classes)
    assert kf.backend_of(got).name == ("numpy" if isinstance(x, list) else name)
    want = keras.utils.to_categorical(x, classes)
    assert kf.to_numpy(got).dtype == np.float32
    np.testing.assert_array_equal(kf.to_numpy(got), want)


@pytest.mark.parametrize(
    "x, classes, error, words",
    [
        ([0, 3], 3, IndexError, r"class number 3, which is not in \[0, 3\)"),
        ([0, -1], None, IndexError, "class number -1"),  # Keras takes it for the last class
        ([0.5], 2, ValueError, "`x` must be class numbers"),
        (["cat"], 2, ValueError, "array cannot be made of this"),
        ([], None, ValueError, "`num_classes` is missing"),
        ([0], 0, ValueError, "`num_classes` must be a positive integer"),
    ],
)
def test_what_to_categorical_refuses(x, classes, error, words):
    with pytest.raises(error, match=words) as found:
        kf.utils.to_categorical(x, classes)
    assert isinstance(found.value, kf.errors.KfuncError)


@pytest.mark.parametrize("name", TRAINING)
def test_to_categorical_in_a_compiled_function(name):
    x = kf.to_backend(np.int32([2, 0]), name)
    got = kf.jit(lambda x: kf.utils.to_categorical(x, 3))(x)
    np.testing.assert_array_equal(kf.to_numpy(got), np.eye(3)[[2, 0]])
