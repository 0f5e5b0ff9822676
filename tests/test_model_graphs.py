"""`kf.Model(inputs, outputs)`: layers, nodes, inputs by name, and weights that layers bring along."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import warnings
import weakref
import xml.etree.ElementTree

import numpy as np
import pytest
from backends import EAGER, TRAINING

import kfunc as kf
from kfunc import nn, ops
from kfunc.registry import from_config, to_config

EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(4)
X = RNG.normal(size=(12, 4)).astype(np.float32)
Y = RNG.normal(size=(12, 1)).astype(np.float32)


def base(**options):
    """Nodes of input, features and output."""
    x = nn.Input((4,), name="x")
    h = nn.Dense(3, "tanh", name="features")(x)
    return x, h, nn.Dense(1)(h * 2)


def trained(net, backend="numpy", steps=2):
    net.compile("sgd", "mse")
    net.fit(X, Y, epochs=steps, batch_size=12, verbose=0, backend=backend)
    return net


def features(model):
    p = kf.tree.map(kf.to_numpy, model.train_state.params["features"])
    return np.tanh(X @ p["kernel"] + p["bias"])


# -- ways to make it ---------------------------------------------------------------------------------------------------


def test_signatures():
    x, _, out = base()
    for model in (
        kf.Model(x, out, "net"),
        kf.Model(inputs=x, outputs=out, name="net"),
        kf.Model([x], [out], name="net"),
    ):
        assert isinstance(model.net, nn.Graph)
        assert (model.name, model.seed) == ("net", 0)
    assert kf.Model(x, out, seed=3).seed == kf.Model(model.net, 3).seed == kf.Model(model.net, seed=3).seed == 3
    assert kf.Model(model.net, np.int64(3)).seed == 3
    assert kf.Model({"a": x}, {"b": out}).output["b"] is out


NO_MODELS = {
    "no outputs": lambda x, out: kf.Model(x),
    "a layer and outputs": lambda x, out: kf.Model(nn.Dense(2), out),
    "arrays": lambda x, out: kf.Model(X, Y),
    "nothing": lambda x, out: kf.Model(),
    "layers": lambda x, out: kf.Model(x, nn.Dense(2)),
}


@pytest.mark.parametrize("make", NO_MODELS.values(), ids=NO_MODELS)
def test_what_is_no_model(make):
    x, _, out = base()
    with pytest.raises(
        kf.errors.ArgumentError, match=r"must be a layer, or `inputs` and `outputs`|must be made of nodes"
    ):
        make(x, out)


# -- layers and nodes --------------------------------------------------------------------------------------------------


def test_layers_are_found_by_name_and_by_place():
    x, h, out = base()
    model = kf.Model(x, out)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Dense", "Operation", "Dense"]
    assert model.get_layer("features") is model.get_layer(index=1) is model.layers[1] is h.layer
    assert model.get_layer("dense") is model.layers[-1]
    assert model.input is x and model.output is out
    assert model.inputs[0] is x
    assert model.get_layer("features").output is h
    assert model.get_layer("features").input is x and model.layers[0].output is x
    outer = kf.Model(x, nn.Sequential([model, nn.Dense(2)])(x))
    assert outer.get_layer("sequential/graph/features") is h.layer
    with pytest.raises(kf.errors.ArgumentError, match="no layer 'feature'") as caught:
        model.get_layer("feature")
    assert caught.value.fix == "did you mean 'features'?"


def test_layers_stand_in_the_order_of_keras():
    """By depth: the second input comes after the first, though the outputs need it before."""
    encoder, decoder = nn.Input((None, 2)), nn.Input((None, 2))
    _, h, c = nn.LSTM(4, return_state=True, name="encoder")(encoder)
    out = nn.Dense(2)(nn.LSTM(4, return_sequences=True, name="decoder")(decoder, initial_state=[h, c]))
    model = kf.Model([encoder, decoder], out)
    assert [layer.name for layer in model.layers] == ["input_layer", "input_layer_1", "encoder", "decoder", "dense"]
    state = kf.Model(model.input[0], model.layers[2].output[1:])
    assert [x.shape for x in state.predict(np.zeros((3, 5, 2), "f4"))] == [(3, 4), (3, 4)]


def test_a_layer_without_one_node_has_none():
    shared = nn.Dense(4)
    with pytest.raises(AttributeError, match="was never called"):
        _ = shared.output
    shared(shared(nn.Input((4,))))
    with pytest.raises(AttributeError, match="was called 2 times"):
        _ = shared.input


@nn.layer
class NamedEnds(nn.Layer):
    input: nn.Layer
    output: nn.Layer = nn.Dense(1)

    def forward(self, s, x):
        return self.output(s, self.input(s, x))


def test_fields_may_be_called_input_and_output():
    params, _ = NamedEnds(nn.Dense(2)).init(0, X)
    assert list(params) == ["input", "output"]


def test_a_graph_may_begin_in_the_middle():
    x, h, out = base()
    model = kf.Model(x, out).build()
    head = kf.Model(h, out)
    for graph in (
        head.net,
        copy.deepcopy(head.net),
        from_config("layer", json.loads(json.dumps(to_config("layer", head.net)))),
    ):
        got, _ = graph.apply({"dense": model.train_state.params["dense"]}, features(model))
        np.testing.assert_allclose(got, model.predict(X), rtol=0, atol=8 * EPS)


# -- inputs by name ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINING)
def test_inputs_by_name(name, tmp_path):
    title, body = nn.Input((4,), name="title"), nn.Input((2,), name="body")
    model = kf.Model([title, body], nn.Dense(1)(ops.concatenate([title, body], axis=-1)))
    model.compile("sgd", "mse")
    x = {"body": X[:, :2], "title": X}
    model.fit(x, Y, verbose=0, backend=name)
    want = model.predict([X, X[:, :2]])
    np.testing.assert_array_equal(model.predict(x), want)
    assert model.evaluate(x, Y, verbose=0) == model.evaluate([X, X[:, :2]], Y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    for again in (kf.Model.load(tmp_path / "m.safetensors", name), pickle.loads(pickle.dumps(model)).to(name)):
        np.testing.assert_array_equal(again.predict(x), want)
    with pytest.raises(kf.errors.ArgumentError, match="the keys body, and the inputs are title, body"):
        model.predict({"body": X[:, :2]})


def test_names_that_nobody_gave():
    a, b, c = nn.Input((4,)), nn.Input((4,), name="input_layer"), nn.Input((4,))
    net = nn.Graph([a, b, c], a - b * c)
    assert net.input_names() == ["input_layer_1", "input_layer", "input_layer_2"]
    x = dict(zip(net.input_names(), (X, X + 1, X + 2), strict=True))
    np.testing.assert_allclose(net.apply({}, x)[0], X - (X + 1) * (X + 2), rtol=0, atol=32 * EPS)


# -- Sequential --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EAGER)
def test_sequential_with_an_input(name, tmp_path):
    model = kf.Model(nn.Sequential([nn.Input((4,), name="x"), nn.Dense(3, name="a"), nn.Dense(2)])).build(backend=name)
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Dense"]
    assert model.input.shape == (None, 4) and model.output.shape == (None, 2)
    first = kf.Model(model.input, model.get_layer("a").output)
    p = kf.tree.map(kf.to_numpy, model.train_state.params["a"])
    np.testing.assert_allclose(first.predict(X), X @ p["kernel"] + p["bias"], rtol=0, atol=16 * EPS)
    model.save(tmp_path / "m.safetensors")
    assert kf.Model.load(tmp_path / "m.safetensors").net.inputs == ((None, 4), "float32", "x")
    with pytest.raises(kf.errors.ShapeError, match=r"takes inputs of shape \(None, 4\)"):
        model.net.init(0, X[:, :3])


def test_a_longer_sequential():
    net = nn.Sequential([nn.Input((4,)), nn.Dense(3)])
    assert (net + [nn.Dense(2), nn.ReLU()]).output.shape == (None, 2)
    assert (net + nn.Dense(2)).inputs == net.inputs and len(net.layers) == 1
    for name in ("add", "pop"):
        with pytest.raises(AttributeError, match="a layer never changes"):
            getattr(net, name)
    with pytest.raises(AttributeError, match="the shape of its input is not"):
        _ = nn.Sequential([nn.Dense(2)]).output


# -- weights come along ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINING)
def test_features_of_a_trained_model(name):
    x, h, out = base()
    encoder, whole = kf.Model(x, h), trained(kf.Model(x, out), name)
    later = kf.Model(whole.input, whole.get_layer("features").output)
    for model in (encoder, later):
        assert model.backend is None
        np.testing.assert_allclose(model.predict(X), features(whole), rtol=0, atol=8 * EPS)
        assert model.backend == name
    fresh = kf.Model(nn.Graph(x, h)).build(kf.Spec((None, 4)))  # a network, and not nodes: it follows from the seed
    assert not np.allclose(features(fresh), features(whole))


def in_a_graph(body):
    x = nn.Input((4,))
    return kf.Model(x, nn.Dense(2)(body(x) + 1))


@nn.layer
class AroundModel(nn.Layer):
    def __init__(self, body, **kwargs):
        super().__init__(**kwargs)
        self.body, self.head = body, nn.Dense(2)

    def forward(self, s, x):
        return self.head(s, self.body(s, x))


AROUND = {
    "graph": (in_a_graph, "net"),
    "Sequential": (lambda body: kf.Model(nn.Sequential([body, nn.Dense(2)])), "net"),
    "Frozen": (lambda body: kf.Model(nn.Sequential([nn.Frozen(body)])), "frozen/layer"),
    "Branch": (lambda body: kf.Model(nn.Branch({"a": body, "b": nn.Dense(2)})), "a"),
    "a layer of one's own": (lambda body: kf.Model(AroundModel(body)), "body"),
}


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("around", "path"), AROUND.values(), ids=AROUND)
def test_a_model_in_another(around, path, backend):
    x, _, out = base()
    body = trained(kf.Model(x, out, name="net"), backend)
    model = around(body).build(kf.Spec((None, 4)))
    found = {**model.train_state.state, **model.train_state.params}
    for part in path.split("/"):
        found = found[part]
    np.testing.assert_array_equal(*(kf.to_numpy(p["features"]["kernel"]) for p in (found, body.train_state.params)))
    before = kf.to_numpy(body.train_state.params["features"]["kernel"])
    trained_again = features(body)
    model.compile("sgd", "mse")
    target = (
        {"a": Y, "b": np.repeat(Y, 2, 1)}
        if "a" in model.train_state.params
        else np.repeat(Y, model.predict(X).shape[-1], 1)
    )
    model.fit(X, target, verbose=0)
    np.testing.assert_array_equal(kf.to_numpy(body.train_state.params["features"]["kernel"]), before)
    np.testing.assert_array_equal(features(body), trained_again)


def test_the_model_that_changed_last_gives_its_weights():
    x, h, out = base()
    first = trained(kf.Model(x, out))
    second = trained(kf.Model(x, nn.Dense(1)(h)))
    np.testing.assert_allclose(kf.Model(x, h).predict(X), features(second), rtol=0, atol=8 * EPS)
    with pytest.warns(UserWarning, match="have been trained in another model"):
        trained(first)
    np.testing.assert_allclose(kf.Model(x, h).predict(X), features(first), rtol=0, atol=8 * EPS)


def test_weights_from_before_are_told_once():
    x, h, out = base()
    encoder = kf.Model(x, h)
    old = encoder.predict(X)
    whole = trained(kf.Model(x, out))
    with pytest.warns(UserWarning, match=r"trained in another model, Graph, .*model.build\(\)"):
        np.testing.assert_array_equal(encoder.predict(X), old)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.predict(X)
        np.testing.assert_allclose(encoder.build().predict(X), features(whole), rtol=0, atol=8 * EPS)
        kf.Model(nn.Graph(x, h)).build(kf.Spec((None, 4))).predict(X)


def test_models_of_one_network_have_nothing_to_do_with_each_other():
    """Two seeds of one net, as in a search for hyperparameters."""
    net = nn.Sequential([nn.Dense(3, name="features"), nn.Dense(1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a, b = trained(kf.Model(net, 0)), trained(kf.Model(net, 0))
        trained(a)
        again = kf.Model(net, 0).build(X)
        b.predict(X)
    want, _ = net.init(0, X)
    np.testing.assert_array_equal(again.train_state.params["features"]["kernel"], want["features"]["kernel"])


def test_weights_live_as_long_as_the_layers():
    """As in Keras, also of a model that nobody holds any more; and no longer than a cycle of references would."""
    x, h, out = base()
    whole = trained(kf.Model(x, out))
    old, carry = features(whole), weakref.ref(whole._carry)
    gc.collect()  # what else the test has left
    gc.disable()
    try:
        del whole
        encoder = kf.Model(x, h)
        np.testing.assert_allclose(encoder.predict(X), old, rtol=0, atol=8 * EPS)
        del encoder
        assert carry() is not None  # it has the last weights of the head
        del x, h, out
        assert carry() is None
    finally:
        gc.enable()


def test_copies_that_are_gone_leave_no_arrays():
    """Layers know the weights of models that are gone, but not of each copy, and a model not those of the others."""
    x, _, out = base()
    whole = trained(kf.Model(x, out))
    carries = []
    for _ in range(6):
        other = copy.copy(whole).freeze("features")
        carries.append(weakref.ref(other._carry))
        del other
    encoder = kf.Model(x, x)
    gc.collect()
    assert sum(carry() is not None for carry in carries) <= 2
    assert not whole.freeze("features")._shared.sources
    del encoder


CHANGES = {
    "set_weights": lambda model, other, path: model.set_weights(other.get_weights()),
    "load_weights": lambda model, other, path: (other.save_weights(path), model.load_weights(path)),
    "train_state": lambda model, other, path: setattr(model, "train_state", other.train_state),
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_were_set_are_the_newest(change, tmp_path):
    x, h, out = base()
    first, second = kf.Model(x, out).build(), kf.Model(x, out).build()
    trained(first)
    CHANGES[change](second, kf.Model(copy.deepcopy(first.net), 7).build(X), tmp_path / "w.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first.compile("adam", "mse")
        first.to("numpy").freeze().unfreeze()  # none of these changes a weight
    np.testing.assert_allclose(kf.Model(x, h).predict(X), features(second), rtol=0, atol=8 * EPS)


def test_parts_of_a_model_that_was_loaded_and_let_go(tmp_path):
    x, _, out = base()
    whole = trained(kf.Model(x, out))
    whole.save(tmp_path / "m.safetensors")

    def part(path):
        loaded = kf.Model.load(path)
        return kf.Model(loaded.input, loaded.get_layer("features").output)

    def around(path):
        return kf.Model(nn.Sequential([kf.Model.load(path), nn.Dense(2)])).build(kf.Spec((None, 4)))

    np.testing.assert_allclose(part(tmp_path / "m.safetensors").predict(X), features(whole), rtol=0, atol=8 * EPS)
    found = around(tmp_path / "m.safetensors").train_state.params["graph"]["features"]["kernel"]
    np.testing.assert_array_equal(found, whole.train_state.params["features"]["kernel"])


# -- summary -----------------------------------------------------------------------------------------------------------


def two_inputs():
    a, b = nn.Input((4,), name="a"), nn.Input((2,))
    inner = nn.Graph(a, nn.Dense(2, name="top")(a + 1), name="inner")
    left, right = ops.split(ops.concatenate([a, b], axis=-1), 2, axis=-1)
    return kf.Model([a, b], nn.BatchNormalization(trainable=False)(nn.Dense(2)(left * right)) + inner(a))


TABLE = """\
Layer                                     Output shape          Parameters  Connected to
------------------------------------------------------------------------------------------------------
a (Input)                                 (None, 4)                      0
input_layer (Input)                       (None, 2)                      0
concatenate (Operation)                   (None, 6)                      0  a, input_layer
split (Operation)                         (None, 3), (None, 3)           0  concatenate
multiply (Operation)                      (None, 3)                      0  split[0], split[1]
dense (Dense)                             (None, 2)                      8  multiply
batch_normalization (BatchNormalization)  (None, 2)                      8  dense
inner (Graph)                             (None, 2)                     10  a
add (Operation)                           (None, 2)                      0  batch_normalization, inner
Total params: 26 (104.00 B), trainable: 18, state: 8""".splitlines()


def lines(model, **options):
    found = []
    model.summary(print_fn=found.append, **options)
    return found


def test_the_summary_of_a_graph_needs_no_build():
    assert lines(two_inputs()) == TABLE


def test_nested_layers_and_what_trains():
    found = lines(two_inputs(), expand_nested=True, show_trainable=True)
    assert [line.split()[0] for line in found[10:13]] == ["inner/a", "inner/add", "inner/top"]
    trains = {line.split()[0]: line.split(")")[-1].split()[1] for line in found[2:-1]}
    assert trains["dense"] == trains["inner"] == trains["inner/top"] == "yes"
    assert (trains["batch_normalization"], trains["add"]) == ("no", "-")
    assert found[12].endswith(" add") and found[-1] == TABLE[-1]


def test_the_size_of_the_table():
    assert max(map(len, lines(two_inputs(), line_length=70)[:-1])) == 70
    narrow = lines(two_inputs(), line_length=70, positions=[0.4, 0.7, 1.0])
    assert len(narrow[1]) == 68 and narrow[0].split() == ["Layer", "Output", "shape", "Parameters"]
    part = lines(two_inputs(), layer_range=["split", "den.*"])
    assert [line.split()[0] for line in part[2:-1]] == ["split", "multiply", "dense"]
    with pytest.raises(kf.errors.ArgumentError, match="`layer_range` must be two names of layers, got 'head'"):
        lines(two_inputs(), layer_range=["split", "head"])
    for wrong in (["(", "dense"], [1, 2], ["split"], 3):
        with pytest.raises(kf.errors.ArgumentError, match="`layer_range` must be two names of layers"):
            lines(two_inputs(), layer_range=wrong)
    with pytest.raises(kf.errors.ArgumentError, match="`line_length` must be a positive integer or None, got '70'"):
        lines(two_inputs(), line_length="70")


def test_a_chain_has_no_column_of_connections():
    x, _, out = base()
    model = kf.Model(x, out)
    assert lines(model)[0].split() == ["Layer", "Output", "shape", "Parameters"]
    assert lines(model) == lines(model.build(backend="numpy"))
    with pytest.raises(kf.errors.ArgumentError, match="no parameters yet"):
        kf.Model(nn.Sequential([nn.Dense(2)])).summary()


def test_a_picture():
    found = two_inputs().dot(show_shapes=True, rankdir="LR").splitlines()
    assert found[1].startswith("  rankdir=LR")
    assert '  "split" [label="split: Operation\\n(None, 3)\\n(None, 3)"];' in found
    arrows = [line.strip(" ;") for line in found if "->" in line]
    assert '"split" -> "multiply"' in arrows and '"batch_normalization" -> "add"' in arrows and len(arrows) == 9
    chain = kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(2), nn.ReLU()])).dot().splitlines()
    assert chain[2:] == [
        '  "dense" [label="dense: Dense"];',
        '  "re_lu" [label="re_lu: ReLU"];',
        '  "dense" -> "re_lu";',
        "}",
    ]
    with pytest.raises(kf.errors.ArgumentError, match="`rankdir`"):
        two_inputs().dot(rankdir="UP")


def nested():
    x = nn.Input((8, 8, 3))
    a, b = nn.Conv2D(4, 3, padding="same", activation="relu")(x), nn.Conv2D(4, 1)(x)
    inner = nn.Input((5,))
    graph = nn.Graph(inner, nn.Dense(2)(nn.Dropout(0.1)(inner)), name="graph")
    head = nn.Sequential([nn.Flatten(), nn.Dense(5)], name="head", trainable=False)
    return kf.Model(x, [graph(head(nn.Add()([a, b]))), b])


def test_a_picture_of_networks_in_it(tmp_path):
    found = kf.utils.model_to_dot(nested(), show_dtype=True, expand_nested=True, show_layer_activations=True)
    arrows = {line.strip(" ;") for line in found.splitlines() if "->" in line}
    assert arrows == {
        *('"input_layer" -> "conv2d"', '"input_layer" -> "conv2d_1"', '"conv2d" -> "add"', '"conv2d_1" -> "add"'),
        *('"add" -> "head/flatten"', '"head/flatten" -> "head/dense"', '"head/dense" -> "graph/input_layer"'),
        *('"graph/input_layer" -> "graph/dropout"', '"graph/dropout" -> "graph/dense"'),
    }
    assert '"conv2d" [label="conv2d: Conv2D (relu)\\nfloat32"];' in found and found.count("subgraph") == 2


def test_a_picture_has_the_layers_that_read_strings():
    words = nn.StringLookup(vocabulary=["a", "b"])
    model = kf.Model(nn.Sequential([nn.Input((1,), dtype="string"), words, nn.Embedding(3, 2)]))
    for found in (kf.utils.model_to_dot(model), model.dot()):
        assert "StringLookup" in found and "Embedding" in found


def boxes(path):
    """The rectangles of an SVG, (left, top, right, bottom), and its texts."""
    root = xml.etree.ElementTree.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    found = [[float(r.get(k)) for k in ("x", "y", "width", "height")] for r in root.iter(f"{space}rect")]
    return [(x, y, x + w, y + h) for x, y, w, h in found], [t.text for t in root.iter(f"{space}text")]


@pytest.mark.parametrize("rankdir", ["TB", "BT", "LR", "RL"])
@pytest.mark.parametrize("make", [two_inputs, nested], ids=["two inputs", "nested"])
def test_svg_has_a_box_for_each_layer_and_none_over_another(tmp_path, monkeypatch, make, rankdir):
    monkeypatch.setenv("PATH", "")  # without Graphviz
    model = make()
    assert kf.utils.plot_model(model, tmp_path / "m.svg", True, rankdir=rankdir, expand_nested=True) is None
    places, texts = boxes(tmp_path / "m.svg")
    assert len(places) == kf.utils.model_to_dot(model, expand_nested=True).count("[label=")
    assert ("Input" in texts and "(None, 4)" in texts) or make is nested
    for i, a in enumerate(places):
        for b in places[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    kf.utils.plot_model(model, tmp_path / "m.dot")
    assert (tmp_path / "m.dot").read_text().startswith("digraph {")
    with pytest.raises(kf.errors.MissingPackageError, match="Graphviz is not installed"):
        kf.utils.plot_model(model, tmp_path / "m.png")
    with pytest.raises(kf.errors.FileError, match="cannot be written"):
        kf.utils.plot_model(model, tmp_path / "none" / "m.svg")


COPIED = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "config": lambda net: from_config("layer", json.loads(json.dumps(to_config("layer", net)))),
}


@pytest.mark.parametrize("copied", COPIED.values(), ids=COPIED)
def test_layers_of_a_copy_know_its_nodes(copied):
    x = nn.Input((6, 4), name="x")
    _, h, c = nn.LSTM(3, return_state=True, name="lstm")(x)
    net = copied(nn.Graph(x, nn.Dense(2, name="top")(h + c)))
    x = net.inputs
    assert net.get_layer("x").output is x and net.get_layer("lstm").input is x
    assert net.get_layer("x") is net.layers[0]
    y, h, c = net.get_layer("lstm").output  # the first one is in no graph
    assert (y.shape, h.shape) == ((None, 3), (None, 3))
    data = np.ones((2, 6, 4), np.float32)
    model = kf.Model(x, [y, h, net.get_layer("top").output])
    a, b, _ = model.predict(data)
    np.testing.assert_array_equal(a, b)


def test_a_layer_of_a_graph_that_is_gone():
    layer = nn.Dense(2)
    layer(nn.Input((4,)))
    with pytest.raises(AttributeError, match="in a graph that is gone"):
        _ = layer.output
    for _ in range(200):
        layer(nn.Input((4,)))
    assert len(layer._calls) < 100  # no loop makes a layer large


# -- a last axis of size 1 -------------------------------------------------------------------------------------------

COLUMN = np.arange(12, dtype=np.float32)


def of_columns():
    a, b = nn.Input((1,), name="a"), nn.Input((1,), name="b")
    return kf.Model([a, b], nn.Dense(2)(ops.concatenate([a, b], -1)))


def of_a_column_and_rows():
    z, a = nn.Input((1,), name="z"), nn.Input((4,), name="a")
    return kf.Model([z, a], nn.Dense(2)(ops.concatenate([z, a], -1)))


def of_images():
    x = nn.Input((4, 4, 1))
    return kf.Model(x, nn.Dense(2)(nn.Flatten()(x)))


def of_rows():
    return kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(2)]))


IMAGES = RNG.normal(size=(12, 4, 4, 1)).astype(np.float32)
LAST_AXIS = {  # the model, inputs as it takes them, and the same as Keras takes them, too
    "columns in a list": (of_columns, [COLUMN[:, None]] * 2, [COLUMN, COLUMN[:, None]]),
    "columns by name": (of_columns, [COLUMN[:, None]] * 2, {"b": COLUMN, "a": COLUMN}),
    "a column and rows by name": (of_a_column_and_rows, [COLUMN[:, None], X], {"a": X, "z": COLUMN}),
    "images without channels": (of_images, IMAGES, IMAGES[..., 0]),
    "rows with channels": (of_rows, X, X[..., None]),
}


@pytest.mark.parametrize("backend", EAGER)
@pytest.mark.parametrize("row", LAST_AXIS)
def test_a_last_axis_of_one(row, backend):
    make, whole, other = LAST_AXIS[row]
    model, same = make().build(backend=backend), make().build(backend=backend)
    want = same.predict(whole, batch_size=12)
    np.testing.assert_array_equal(model.predict(other, batch_size=12), want)
    np.testing.assert_array_equal(model.predict_on_batch(other), want)
    if not isinstance(other, dict):
        given = other if isinstance(other, list) else [other]
        out = kf.to_numpy(model(*(kf.asarray(x, backend=backend) for x in given)))
        np.testing.assert_allclose(out, want, rtol=16 * EPS, atol=4 * EPS)  # a program of its own
    y, logs = want + 1, []
    for each, x in ((model, other), (same, whole)):
        each.compile("sgd", "mse")
        before = each.evaluate(x, y, verbose=0)
        history = each.fit(x, y, 4, 2, verbose=0, validation_data=(x, y)).history
        logs.append((before, history, each.train_on_batch(x, y)))
    assert logs[0] == logs[1]


def test_other_axes_are_as_they_are():
    with pytest.raises(kf.errors.ShapeError, match="built for"):
        of_rows().build().predict(X[..., None].repeat(2, -1))
    with pytest.raises(kf.KfuncError):
        of_columns().build().predict([COLUMN[:, None, None].repeat(2, -1)] * 2)
