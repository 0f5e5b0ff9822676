"""Models of Keras as models here: small ones of every kind, from files and live; what is refused; hostile configs."""

from __future__ import annotations

import copy
import functools
import io
import json
import math
import warnings
import zipfile

import keras_families
import keras_models
import numpy as np
import pytest
from backends import NAMES
from keras_models import FILE, ROWS
from sampling import chosen, one_of

import kfunc as kf
from kfunc import nn
from kfunc.interop.keras import built, config_of, convert, load, weights
from kfunc.nn.scope import Declaration

IDS = {row.name: i for i, row in enumerate(ROWS)}
ELSEWHERE = [name for name in NAMES if name in ("torch", "jax", "tensorflow")]
NOT_ON_NUMPY = {"mixed_precision"}  # NumPy has no bfloat16
REFUSED = {"divided_by_singular_values"}


def file(name, folder):
    path = folder / "model.keras"
    path.write_bytes(FILE.answer(IDS[name])["file"][0].tobytes())
    return path


def config(name):
    with zipfile.ZipFile(io.BytesIO(FILE.answer(IDS[name])["file"][0].tobytes())) as archive:
        return json.loads(archive.read("config.json"))


def cases():
    for row in ROWS:
        if row.name in REFUSED:
            continue
        for backend in dict.fromkeys(["numpy", *one_of(ELSEWHERE, row.name)]):
            if backend != "numpy" or row.name not in NOT_ON_NUMPY:
                marks = [] if backend == "numpy" else [getattr(pytest.mark, backend)]
                yield pytest.param(row, backend, id=f"{row.name}-{backend}", marks=marks)


@pytest.mark.parametrize(("row", "backend"), [*cases()])
def test_from_a_file(row, backend, tmp_path, monkeypatch):
    """Outputs are those of Keras: two results of at most 12 layers, each with sums of at most 100 products."""
    if row.name != "stateful":  # files of Keras do not have the states
        monkeypatch.setattr(Declaration, "draw", None)  # nothing is drawn
    model = load(file(row.name, tmp_path), backend=backend)
    outs = kf.tree.leaves(model(row.inputs))
    expected = FILE.answer(IDS[row.name])["out"]
    assert len(outs) == len(expected)
    for out, theirs in zip(outs, expected, strict=True):
        ours = np.asarray(kf.to_numpy(out), np.float64)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=8 * row.eps * 10 * max(1, np.abs(theirs).max(initial=0)))


@pytest.mark.jax
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras, about NumPy
@pytest.mark.parametrize(
    "row", [pytest.param(r, id=r.name) for r in ROWS if chosen(20, r.name) and r.name not in REFUSED]
)
def test_live(row, tmp_path):
    """A live model and its file become the same: all paths, and all bits."""
    theirs = keras_models.made(row)
    theirs.save(tmp_path / "model.keras")
    one, other = convert(theirs), load(tmp_path / "model.keras")
    for tree in ("params", "state"):
        a, b = getattr(one.train_state, tree), getattr(other.train_state, tree)
        assert kf.tree.paths(a) == kf.tree.paths(b)
        for x, y in zip(kf.tree.leaves(a), kf.tree.leaves(b), strict=True):
            assert x.dtype == y.dtype
            assert x.tobytes() == y.tobytes()


# -- hazards -----------------------------------------------------------------------------------------------------------


def test_layers_and_operations_of_one_name():
    net = built(config("one_name_of_two")).net
    found = sorted(type(child).__name__ for _, child in net.children())
    assert found.count("Operation") == 6  # add, subtract, multiply, softmax, concatenate, maximum
    assert {"Add", "Subtract", "Multiply", "Average", "Softmax", "Concatenate"} <= set(found)


def test_names():
    """Names that paths cannot have are kept beside, and two that become equal stay two."""
    made = built(config("names"))
    ours = {made.names[id(child)]: name for name, child in made.net.children()}
    assert ours == {"block.1 conv": "block_1_conv", "a.b": "a_b", "a-b": "a-b", "a b": "a_b_"}
    assert made.net.input_names() == ["the input.0"]


def test_one_object_stays_one():
    made = built(config("shared_inside")).net
    assert sorted(type(child).__name__ for _, child in made.children()) == ["BatchNormalization", "Dense"]


def test_frozen_layers_stay_frozen(tmp_path):
    model = load(file("frozen_base", tmp_path))
    assert [path for path in kf.tree.paths(model.train_state.params) if path.startswith("base")] == []


@pytest.mark.parametrize(
    ("layer", "acts"),
    [
        (nn.Dropout(0.5), True),
        (nn.GaussianNoise(1.0), True),
        (nn.LSTM(2, dropout=0.5), True),
        (nn.SpatialDropout1D(0.5), True),
        (nn.BatchNormalization(), False),
    ],
    ids=lambda x: getattr(type(x), "__name__", ""),
)
def test_training_where_keras_writes_a_default(layer, acts):
    """Keras 3 writes `training: False` for each Dropout, the default of its `call`, and drops in `fit` all the same.

    For a BatchNormalization, whose default is None, a user wrote it.
    """
    x = nn.Input((3, 4))
    net = nn.Graph(x, layer(x))
    given = config_of(net)
    given["config"]["layers"][1]["inbound_nodes"][0]["kwargs"]["training"] = False
    made = built(json.loads(json.dumps(given))).net
    data = np.arange(24, dtype="float32").reshape(2, 3, 4)
    params, state = made.init(0, data)
    out, _ = made.apply(params, data, state=state, key=1, train=True)
    assert acts == (not np.allclose(out, made.apply(params, data, state=state)[0]))


def test_hard_sigmoid_of_keras_2():
    assert (
        built(config("recurrent_of_keras_2"), "2.15.0").net.layers[3].recurrent_activation == "hard_sigmoid_of_keras_2"
    )
    json_of_2 = {**config("recurrent_of_keras_2"), "keras_version": "2.13.1", "backend": "tensorflow"}
    assert built(json_of_2).net.layers[3].recurrent_activation == "hard_sigmoid_of_keras_2"
    for version in ("3.0", "10.0.0", None):
        assert built(config("recurrent"), version).net.layers[3].recurrent_activation == "hard_sigmoid"
    x = np.linspace(-4, 4, 33, dtype=np.float32)
    expected = np.clip(0.2 * x.astype(np.float64) + 0.5, 0, 1)
    activation = nn.activations.get("hard_sigmoid_of_keras_2")
    np.testing.assert_allclose(activation(x), expected, rtol=0, atol=4 * np.finfo(np.float32).eps)


def test_a_class_of_ones_own(monkeypatch):
    given = {
        "module": "my.package",
        "class_name": "Twofolded",
        "config": {"name": "mine", "trainable": True, "units": 3, "inner": [layer("Dense", units=2)]},
        "registered_name": "package>Twofolded",
    }
    with pytest.raises(
        kf.errors.ArgumentError, match="is of the class 'Twofolded', which kfunc does not know"
    ) as error:
        built(sequential(given))
    assert '@kf.register("layer", "Twofolded")' in error.value.fix

    @kf.register("layer", "Twofolded")
    @kf.dataclass
    class Twofolded(nn.Layer):
        units: int
        inner: tuple = ()

        def forward(self, s, x):
            return 2 * self.inner[0](s, x)

    found = built(sequential(given)).net.layers[0]
    assert (type(found), found.units, found.name, type(found.inner[0])) == (Twofolded, 3, "mine", nn.Dense)


def of_tensorflow(function, **given):
    """A functional model of Keras 2 with one function of TensorFlow."""
    inputs = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "name": "x"}, "inbound_nodes": []}
    called = {"class_name": "TFOpLambda", "name": "f", "config": {"name": "f", "trainable": True, "function": function}}
    layers = [{**inputs, "name": "x"}, {**called, "inbound_nodes": [["x", 0, 0, given]]}]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["f", 0, 0]]}
    return {"class_name": "Functional", "keras_version": "2.15.0", "config": {"name": "m", "layers": layers, **ends}}


@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        ("nn.gelu", {}, lambda x: [[v * math.erfc(-v / 2**0.5) / 2 for v in row] for row in x]),
        ("nn.gelu", {"approximate": True}, lambda x: x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2),
        ("math.argmax", {}, lambda x: x.argmax(0)),
        ("math.argmin", {"axis": None}, lambda x: x.argmin(0)),
        ("math.argmin", {"axis": 1}, lambda x: x.argmin(1)),
        ("math.cumsum", {}, lambda x: x.cumsum(0)),
        ("math.cumprod", {"axis": 1}, lambda x: x.cumprod(1)),
    ],
)
def test_functions_of_tensorflow(function, given, expected):
    """In graphs of Keras 2, functions compute what TensorFlow computes, also where no argument is given."""
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    net = built(of_tensorflow(function, **given)).net
    out = net.apply(*net.init(kf.random.key(0), x), x)[0]
    np.testing.assert_allclose(out, expected(x.astype(np.float64)), rtol=1e-6, atol=1e-6)


# -- what is refused ---------------------------------------------------------------------------------------------------


def layer(cls, module="keras.layers", **arguments):
    return {"module": module, "class_name": cls, "config": {"name": "it", "trainable": True, **arguments}}


def sequential(*layers):
    first = {"class_name": "InputLayer", "config": {"batch_shape": [None, 4], "dtype": "float32", "name": "x"}}
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": [first, *layers]}}


def thing(cls, **arguments):
    return {"class_name": cls, "config": arguments}


LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wAAAA", None, None]}}

REFUSALS = {
    "a Lambda": (sequential(layer("Lambda", function=LAMBDA)), "is a Lambda"),
    "a lambda": (sequential(layer("Dense", units=2, activation=LAMBDA)), "`activation` of a layer .* is a lambda"),
    "a lambda of an initializer": (sequential(layer("Dense", units=2, kernel_initializer=LAMBDA)), "is a lambda"),
    "a class of nobody": (sequential(layer("Conv9D")), "'Conv9D', which kfunc does not know"),
    "a layer here that Keras lacks": (sequential(layer("Residual")), "'Residual', which kfunc does not know"),
    "a Dense of another package": (
        sequential(layer("Dense", "os.path", units=3)),
        "'Dense', which kfunc does not know",
    ),
    "an unknown operation": (
        sequential({"module": "keras.src.ops.numpy", "class_name": "Evil", "config": {"name": "x"}}),
        "'Evil', which kfunc does not know",
    ),
    "an unknown activation": (
        sequential(layer("Dense", units=2, activation="os.system")),
        "`activation` must be a known",
    ),
    "a layer as an activation of a recurrent layer": (
        sequential(
            layer("Reshape", target_shape=[2, 2]),
            layer("GRU", units=2, activation=layer("LeakyReLU", negative_slope=0.3)),
        ),
        "`activation` must be a name, a function or None in this layer",
    ),
    "an unknown initializer": (
        sequential(layer("Dense", units=2, kernel_initializer=thing("Popen", args="ls"))),
        "There is no initializer 'custom:Popen'",
    ),
    "an argument that means something": (
        sequential(layer("Dense", units=2, lora_rank=4)),
        "`lora_rank` of the layer 'it'",
    ),
    "a bad value": (sequential(layer("Dense", units=-1)), "`units` must be a positive integer, got -1"),
    "a text for a number": (sequential(layer("Dense", units="3")), "`units` must be a positive integer, got '3'"),
    "a quantized policy": (
        sequential(layer("Dense", units=2, dtype=thing("QuantizedDTypePolicy", mode="int8"))),
        "`dtype` must be a policy that kfunc has",
    ),
    "a sparse input": (
        {"class_name": "Sequential", "config": {"layers": [thing("InputLayer", batch_shape=[None, 4], sparse=True)]}},
        "`sparse` must be False",
    ),
    "shapes that do not fit": (sequential(layer("Conv2D", filters=2, kernel_size=3)), "must have 4 axes"),
    "a function of TensorFlow that is another one here": (
        of_tensorflow("linalg.trace"),
        "'f' .* is the function 'linalg.trace'",
    ),
    "nothing": ({}, "must be a dict with a class_name"),
    "a list": ([1, 2], "malformed"),
    "a model without layers": ({"class_name": "Functional", "config": {"layers": 3, "input_layers": []}}, "malformed"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refused(case):
    given, message = REFUSALS[case]
    with pytest.raises(kf.KfuncError, match=message):
        made = built(given)
        made.net.trace(*made.inputs)


def doubled(depth):
    """A network that calls the one in it twice, and so on: 2 ** depth layers in a short config."""
    made = sequential(layer("Dense", units=4))
    for i in range(depth):
        one = {"class_name": "InputLayer", "config": {"batch_shape": [None, 4], "name": "x"}, "inbound_nodes": []}

        def node(name):
            return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}

        calls = [{"args": [node("x")], "kwargs": {}}] * 8
        inner = {**made, "name": "inner", "inbound_nodes": calls}
        config = {"name": f"n{i}", "layers": [one, inner], "input_layers": ["x", 0, 0]}
        config["output_layers"] = [["inner", k + (made["class_name"] == "Functional"), 0] for k in range(8)][:1]
        made = {"module": "keras", "class_name": "Functional", "config": config}
    return made


HUGE = {
    "layers in layers": lambda: doubled(12),
    "power iterations": lambda: sequential(
        layer("SpectralNormalization", layer=layer("Dense", units=2), power_iterations=10**9)
    ),
    "a long name": lambda: sequential(layer("Dense", units=2, activation="x" * 100_000)),
    "a large number": lambda: sequential(layer("Dense", units=10**30)),
    "deep": lambda: functools.reduce(
        lambda x, _: thing("Sequential", layers=[x]), range(5000), layer("Dense", units=2)
    ),
}


@pytest.mark.parametrize("case", HUGE)
def test_too_large(case):
    with pytest.raises(kf.KfuncError):
        built(HUGE[case]())


def places_of(x, path=()):
    """The paths of all values in a config."""
    yield path
    for key, value in x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else ():
        yield from places_of(value, (*path, key))


JUNK = (None, True, -1, 10**19, 1e308, "", "x", [], [[]], {}, {"class_name": "Dense"}, {"class_name": 3, "config": 4})


@pytest.mark.parametrize(
    "name", ["nested", "functions", "masked_tokens_of_keras_2", "functions_of_keras_2", "transformer"]
)
def test_hostile(name):
    """Whatever stands in a config, it becomes a network or a KfuncError."""
    rng = np.random.default_rng(3)
    given = config(name)
    everywhere = [path for path in places_of(given) if path]
    for number in rng.choice(len(everywhere), 60, replace=False):
        broken = copy.deepcopy(given)
        *above, last = everywhere[number]
        at = broken
        for key in above:
            at = at[key]
        at[last] = JUNK[rng.integers(len(JUNK))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                made = built(broken)
                if made.inputs is not None:
                    made.net.trace(*made.inputs)
            except kf.KfuncError as error:
                assert len(str(error)) < 20_000


@pytest.mark.jax
def test_a_layer_twice_in_a_sequential():
    """Keras's config has it once, so that Keras loads another network than it saved."""
    import keras

    x = keras.Input((3,))
    inner = keras.Model(x, keras.layers.Dense(3)(x), name="inner")
    with pytest.raises(kf.errors.ArgumentError, match="has the layer 'inner' twice"):
        convert(keras.Sequential([keras.Input((3,)), inner, inner]))


@pytest.mark.jax
def test_live_models_that_cannot_be_converted():
    import keras

    class OwnModelOfKeras(keras.Model):
        def call(self, x):
            return x

    def around(layer, name):
        x = keras.Input((4,))
        return keras.Model(x, layer(x) * 2, name=name)

    later, x, shared = (
        keras.Sequential([keras.layers.Dense(3)]),
        keras.Input((4,)),
        keras.layers.Dense(4, name="shared"),
    )
    twice = keras.Model(x, around(shared, "one")(x) + around(shared, "other")(x))
    for given, message in (
        ((twice,), "shares a layer between two models in it, as one/shared and other/shared"),
        ((5,), "`model` must be a model of Keras"),
        ((OwnModelOfKeras(),), "of the Keras model is of the class 'OwnModelOfKeras', which kfunc does not know"),
        ((later,), "does not know the shape of its inputs"),
        ((later, kf.Spec((None, 4))), "has no weights yet"),
    ):
        with pytest.raises(kf.errors.ArgumentError, match=message):
            convert(*given)


@pytest.mark.jax
def test_a_live_model_of_other_variables():
    """A layer of the user's own that is not the same on both sides: all that does not fit is named."""
    import keras

    class Twofold(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(3,), name="scale")
            self.more = keras.layers.Dense(2, name="more")
            self.more.build(shape)

        def call(self, x):
            return x * self.scale

    @kf.register("layer", "Twofold")
    @kf.dataclass
    class OurTwofold(nn.Layer):
        inner: nn.Layer = nn.Dense(3, use_bias=False)

        def forward(self, s, x):
            return self.inner(s, x) * s.param("scale", (3,), "ones")

    with pytest.raises(kf.errors.FileError, match="The arrays in the Keras model are not those") as error:
        convert(keras.Sequential([keras.Input((3,)), Twofold(name="mine")]))
    for line in (
        "has no variable for mine/inner/kernel",
        "more/kernel of the Keras model",
        "more/bias of the Keras model",
    ):
        assert line in str(error.value)


@pytest.mark.jax
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_live_and_compiled():
    """The optimizer of a live model comes along with its state: the next step here is Keras's next step."""
    import keras

    x, y = keras_models.VECTOR, keras_models.normal(3, 2)
    theirs = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    theirs.compile(keras.optimizers.Adam(0.1), "mse")
    theirs.train_on_batch(x, y)
    ours = convert(theirs)
    theirs.train_on_batch(x, y)
    ours.train_on_batch(x, y)
    kernel = np.asarray(theirs.layers[0].kernel.value)
    # a quotient of moments, each of which has an error of a few eps, times the learning rate
    np.testing.assert_allclose(kf.tree.leaves(ours.train_state.params)[1], kernel, rtol=0, atol=32 * 2.0**-23)


# -- keras.applications ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", keras_families.NAMES)
def test_a_member_of_each_family(name):
    """What Keras says in float64, with weights in its order. The roundings of layers add as in a random walk."""
    answer = keras_families.FILE.answer(keras_families.NAMES.index(name))
    made = built(json.loads(answer["config"][0].tobytes()))
    call = made.net.trace(*made.inputs)
    paths = [path for place in weights.places(made.net, call.declared, made.order) for path in place.paths]
    arrays = {
        path: keras_families.weight(i, path[-1], tuple(call.declared[path].spec.shape))
        for i, path in enumerate(paths)
        if path[-1] != "count"
    }
    params, state = weights.filled(call, arrays | {p: np.zeros((), np.int32) for p in paths if p[-1] == "count"})
    out, _ = made.net.apply(params, keras_families.image(name), state=state)
    bound = 8 * np.finfo(np.float32).eps * np.sqrt(len(made.net.layers)) * np.abs(answer["exact"][0]).max()
    assert np.abs(out - answer["exact"][0]).max() <= bound
