"""Weights in Keras's files: each array arrives where Keras means it, or an error lists what does not fit."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import tracemalloc
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from interruptions import interrupting
from keras import layers

import kfunc as kf
from kfunc import nn
from kfunc.errors import ArgumentError, FileError
from kfunc.interop.keras import convert, load, load_weights, save, save_weights

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning", "ignore:You are saving", "ignore:SpectralNormalization"
)
HERE = Path(__file__).parent / "keras_files"


@pytest.fixture(autouse=True)
def no_draws(monkeypatch):
    """JAX would compile a program for each shape that Keras draws. All weights get other values here anyway."""
    for name in ("Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling"):
        cls = getattr(keras.initializers, name)
        monkeypatch.setattr(cls, "__call__", lambda self, shape, dtype=None: np.zeros(shape, dtype or "float32"))


def functional(*made, shape=(6, 4), twice=False):
    x = inputs = keras.Input(shape)
    for layer in made:
        x = layer(x, x) if twice else layer(x)
    return keras.Model(inputs, x)


def branches():
    """Layers of one shape, made in another order than they are called in, one of them twice."""
    inputs = keras.Input((4,))
    c, b, a = (layers.Dense(4, name=name) for name in ("c", "b", "a"))
    x = a(inputs)
    return keras.Model(inputs, layers.Add()([c(b(x)), b(inputs), layers.Dense(4, use_bias=False)(x)]))


def nested(frozen=False):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(4)])
    inner.layers[0].trainable = not frozen
    head = functional(layers.Dense(4), layers.LayerNormalization(), shape=(4,))
    return functional(inner, layers.Dense(4), head, shape=(4,))


def sequence(layer, **options):
    return lambda: functional(layer(3, return_sequences=True, **options), layer(3, **options))


NETS = {
    "dense": lambda: keras.Sequential([keras.Input((4,)), layers.Dense(4, name="x"), layers.Dense(4, name="y")]),
    "names with dots and spaces": lambda: functional(layers.Dense(4, name="a.b c"), layers.Dense(4, name="a_b_c.d")),
    "branches": branches,
    "nested": nested,
    "nested, with a frozen layer": lambda: nested(True),
    "convolutions": lambda: functional(
        layers.Conv2D(4, 3),
        layers.DepthwiseConv2D(2),
        layers.SeparableConv2D(4, 2),
        layers.Conv2DTranspose(2, 3),
        shape=(9, 9, 2),
    ),
    "norms": lambda: functional(
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.GroupNormalization(2),
        layers.RMSNormalization(),
        layers.PReLU(),
    ),
    "LSTM": sequence(layers.LSTM),
    "GRU": sequence(layers.GRU),
    "SimpleRNN": sequence(layers.SimpleRNN, use_bias=False),
    "cells": lambda: functional(layers.RNN([layers.LSTMCell(3), layers.GRUCell(3), layers.GRUCell(3)])),
    "Bidirectional": lambda: functional(layers.Bidirectional(layers.LSTM(3))),
    "TimeDistributed": lambda: functional(layers.TimeDistributed(nested()), shape=(3, 4)),
    "ConvLSTM": lambda: functional(layers.ConvLSTM1D(2, 2), shape=(3, 5, 2)),
    "attention": lambda: functional(layers.MultiHeadAttention(2, 4), twice=True),
    "grouped attention": lambda: functional(layers.GroupQueryAttention(2, 4, 2), twice=True),
    "Attention": lambda: keras.Model(x := [keras.Input((6, 4))] * 1, layers.Attention(True, "concat")([x[0], x[0]])),
    "Embedding": lambda: functional(layers.Embedding(7, 4), layers.EinsumDense("abc,cd->abd", (None, 5)), shape=(6,)),
    "bfloat16": lambda: functional(layers.Dense(4, dtype=keras.DTypePolicy("bfloat16")), layers.Dense(2)),
    "spectral": lambda: functional(layers.SpectralNormalization(layers.Dense(4))),
    "stateful": lambda: keras.Sequential([keras.Input(batch_shape=(2, 3, 4)), layers.LSTM(3, stateful=True)]),
    "frozen": lambda: functional(layers.Dense(4, trainable=False), layers.BatchNormalization(trainable=False)),
    "dropout": lambda: functional(layers.Dropout(0.1, seed=1), layers.GaussianNoise(0.1), layers.Dense(2)),
}
AUTOMATIC = {"lstm_cell", "gru_cell", "simple_rnn_cell", "stacked_rnn_cells", "conv_lstm_cell"}


def numbered(model):
    """The weights by their names in Keras; each array is another one."""
    values = []
    for i, v in enumerate(model.weights):
        like = np.asarray(keras.ops.convert_to_numpy(v))
        values.append((np.arange(like.size).reshape(like.shape) / 16 + 100 * (i + 1)).astype(like.dtype))
    model.set_weights(values)
    return {(i, v.path): x for i, (v, x) in enumerate(zip(model.weights, values, strict=True))}


def same(model, expected):
    """Whether each array is where its name in Keras says: the last name is that of the variable."""
    ts = model.train_state
    found = {}
    for tree in (ts.params, ts.state):
        found |= dict(zip(kf.tree.paths(tree), map(kf.to_numpy, kf.tree.leaves(tree)), strict=True))
    found = {path: x for path, x in found.items() if "rnn_state" not in path}
    assert len(found) == len(expected)
    for (_, name), x in expected.items():
        where = [p for p, y in found.items() if y.dtype == x.dtype and np.array_equal(x, y)]
        assert len(where) == 1, name
        ours, theirs = where[0].split("/"), name.split("/")
        assert ours[-1] == theirs[-1]
        if {"query", "key", "value", "attention_output"} & {*theirs}:
            assert ours[-2] == theirs[-2]
    return True


@pytest.mark.parametrize("name", NETS)
def test_each_array_arrives_at_its_place(name, tmp_path):
    """From a `.keras` file, a `.h5` file and weights alone, and back to Keras, bit for bit."""
    model = NETS[name]()
    expected = numbered(model)
    model.save(tmp_path / "x.keras")
    ours = load(tmp_path / "x.keras")
    assert same(ours, expected)
    if name != "bfloat16":  # HDF5 files of the old format do not say what the two bytes are
        model.save(tmp_path / "x.h5")
        assert same(load(tmp_path / "x.h5"), expected)
    weightless = kf.Model(ours.net)
    model.save_weights(tmp_path / "x.weights.h5")
    load_weights(weightless, tmp_path / "x.weights.h5")
    assert same(weightless, expected)
    save_weights(ours, tmp_path / "y.weights.h5")
    other = NETS[name]()
    other.load_weights(tmp_path / "y.weights.h5")
    for x, y in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


# -- networks of one's own ---------------------------------------------------------------------------------------------


class KerasBlock(layers.Layer):
    def __init__(self):
        super().__init__()
        self.wide, self._narrow = layers.Dense(4), layers.Dense(4)

    def build(self, shape):
        self.seen = self.add_weight(shape=(4,), trainable=False, name="seen")
        self.scale = self.add_weight(shape=(4,), name="scale")
        self.wide.build(shape)
        self._narrow.build(shape)

    def call(self, x):
        return self._narrow(self.wide(x)) * self.scale + self.seen


KerasBlock.__name__ = "Block"  # files call layers in lists by their classes


class KerasEncoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.before, self.zoom, self.after = (layers.Dense(4) for _ in range(3))

    def call(self, x):
        return self.after(self.zoom(self.before(x)))


class KerasNet(keras.Model):
    def __init__(self, encoder, spare):
        super().__init__()
        self.blocks = [KerasBlock(), layers.Dense(4), KerasBlock()]
        self.first = self.blocks[1]
        self.by_name = {"x": layers.Dense(4), "a": [layers.Dense(4)]}
        self.encoder = encoder()
        self.out = keras.Sequential([layers.Dense(4), layers.Dropout(0.1), layers.Dense(4)])
        self.head, self._tail = layers.Dense(4), layers.Dense(4)
        if spare:
            self.a_spare = layers.Dense(4)
            self.a_spare.build((None, 4))

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        x = self.encoder(self.by_name["a"][0](self.by_name["x"](x)))
        return self._tail(self.head(self.out(x)))


class Block(nn.Layer):
    def __init__(self):
        super().__init__()
        self.wide, self._narrow = nn.Dense(4), nn.Dense(4)

    def build(self, shape):
        self.seen = self.add_weight(shape=(4,), trainable=False, name="seen")
        self.scale = self.add_weight(shape=(4,), name="scale")

    def call(self, x):
        return self._narrow(self.wide(x)) * self.scale + self.seen


@nn.layer
class Encoder(nn.Layer):
    before: nn.Layer = nn.Dense(4)
    zoom: nn.Layer = nn.Dense(4)
    after: nn.Layer = nn.Dense(4)

    def forward(self, s, x):
        return self.after(s, self.zoom(s, self.before(s, x)))


class KerasEncoderLayer(layers.Layer):
    def __init__(self):
        super().__init__()
        self.before, self.zoom, self.after = (layers.Dense(4) for _ in range(3))

    def call(self, x):
        return self.after(self.zoom(self.before(x)))


class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.blocks = [Block(), nn.Dense(4), Block()]
        self.first = self.blocks[1]
        self.by_name = {"x": nn.Dense(4), "a": [nn.Dense(4)]}
        self.encoder = Encoder()
        self.out = nn.Sequential([nn.Dense(4), nn.Dropout(0.1), nn.Dense(4)])
        self.head, self._tail = nn.Dense(4), nn.Dense(4)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        x = self.encoder(self.by_name["a"][0](self.by_name["x"](x)))
        return self._tail(self.head(self.out(x)))


def of_ones_own(encoder, spare=False):
    model = KerasNet(encoder, spare)
    x = np.linspace(-1, 1, 8).reshape(2, 4).astype("f4")
    model(x)
    numbered(model)
    model.set_weights([w / (1 + np.abs(w).max() * 4) for w in model.get_weights()])  # or else the numbers are too large
    return model, x, np.asarray(model(x))


def own_model():
    return kf.Model(Net()).build((None, 4))


@pytest.mark.parametrize("encoder", [KerasEncoder, KerasEncoderLayer])
def test_networks_of_ones_own(encoder, tmp_path):
    """A list, a dict, private attributes, one layer in two, a model in a model, and `layers`, which models have."""
    model, x, y = of_ones_own(encoder, spare=True)
    model.save_weights(tmp_path / "x.weights.h5")
    ours = own_model()
    with pytest.raises(FileError, match="no variable for a_spare/vars/0"):
        load_weights(ours, tmp_path / "x.weights.h5")
    load_weights(ours, tmp_path / "x.weights.h5", ignore="a_spare/.*")
    np.testing.assert_allclose(ours.predict(x, verbose=0), y, rtol=1e-6)
    if encoder is KerasEncoderLayer:
        save_weights(ours, tmp_path / "y.weights.h5")
        other, _, _ = of_ones_own(encoder)
        other.set_weights([0 * w for w in other.get_weights()])  # a layer that is not found would keep its numbers
        other.load_weights(tmp_path / "y.weights.h5")
        np.testing.assert_array_equal(np.asarray(other(x)), y)


# -- files of Keras 2 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["keras2.keras", "keras2.h5"])
def test_files_of_keras_2(name):
    """`keras_files/make.py` wrote them with tf_keras: weights by their names, and what the model returned."""
    with np.load(HERE / "keras2.npz") as known:
        x, y = known["x"], known["y"]
        expected = {(i, n.removeprefix("weight/").partition(":")[0]): known[n] for i, n in enumerate(known.files[2:])}
    ours = load(HERE / name)
    assert same(ours, expected)
    np.testing.assert_allclose(ours.predict(x, verbose=0), y, rtol=1e-5)
    for weights_file in ("keras2_weights.h5", "keras2.weights.h5"):
        other = kf.Model(ours.net)
        load_weights(other, HERE / weights_file)
        assert same(other, expected)


class Own(nn.Layer):
    def __init__(self):
        super().__init__()
        self.first, self.parts = nn.Dense(4), [nn.Dense(4), nn.Dense(4)]
        self.other, self._last = nn.Dense(4), nn.Dense(4)

    def call(self, x):
        for layer in (self.first, *self.parts, self.other, self._last):
            x = layer(x)
        return x


def test_a_subclassed_model_of_keras_2():
    """`layers` has what Keras 2, which goes backwards, has not found in `parts` and `other`."""
    ours = kf.Model(Own()).build((None, 4))
    load_weights(ours, HERE / "keras2_own.weights.h5")
    found = {name: params["kernel"][0, 0] for name, params in ours.train_state.params.items()}
    assert found == {"first": 1, "parts_0": 2, "parts_1": 3, "other": 4, "_last": 5}


def test_a_file_of_keras_2_12(tmp_path):
    """It has another name for `layers`."""
    model = NETS["dense"]()
    expected = numbered(model)
    model.save_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "r+") as file:
        file.move("layers", "_layer_checkpoint_dependencies")
    ours = kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(4), nn.Dense(4)]))
    load_weights(ours, tmp_path / "x.weights.h5")
    assert same(ours, expected)


# -- shards and folders ------------------------------------------------------------------------------------------------


def test_shards(tmp_path):
    """A layer's own arrays may lie in several."""
    model = nested()
    expected = numbered(model)
    model.save_weights(tmp_path / "x.weights.json", max_shard_size=1e-7)
    assert len(list(tmp_path.iterdir())) > 3
    model.save(tmp_path / "x.keras")
    ours = load(tmp_path / "x.keras")
    other = kf.Model(ours.net)
    load_weights(other, tmp_path / "x.weights.json")
    assert same(other, expected)
    save_weights(ours, tmp_path / "y.weights.json", max_shard_size=1e-7)
    assert len(list(tmp_path.glob("y_*"))) > 3
    back = nested()
    back.load_weights(tmp_path / "y.weights.json")
    for x, y in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("before, after", [(1, 1), (3, 3), (1, 3), (3, 2)])
def test_interrupted_shards_mix_nothing(before, after, tmp_path, monkeypatch):
    """Whenever the writing is interrupted, there are the old weights, the new ones, or no index."""
    interrupt = interrupting(monkeypatch)
    model = kf.Model(nn.Sequential([nn.Input((4,)), *[nn.Dense(4, use_bias=False) for _ in range(6)]])).build()
    size = 6 * 4 * 4 * 4 / 2**30

    def written(path, value, shards):
        model.set_weights([np.full((4, 4), value, "float32")] * 6)
        save_weights(model, path, max_shard_size=1.01 * size / shards)

    seen = []
    for at in itertools.count(1):
        folder = tmp_path / str(at)
        interrupt(None)
        folder.mkdir()
        written(path := folder / "x.weights.json", 0, before)
        interrupt(at)
        try:
            written(path, 1, after)
        except KeyboardInterrupt:
            pass
        else:
            break
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        found = set()
        if path.exists():
            load_weights(model, path)
            found = {float(x[0, 0]) for x in model.get_weights()}
            assert len(found) == 1
        seen.append(found)
    assert seen[0] == {0.0} and set() in seen and {1.0} in seen
    assert len({*itertools.chain(*json.loads(path.read_text())["weight_map"].values())}) == after


def test_folders(tmp_path):
    """`zipped=False` of Keras, and a folder whose weights are in shards."""
    model = nested()
    expected = numbered(model)
    keras.saving.save_model(model, tmp_path / "x", zipped=False)
    assert same(load(tmp_path / "x"), expected)
    (tmp_path / "x" / "model.weights.h5").unlink()
    model.save_weights(tmp_path / "x" / "model.weights.json", max_shard_size=1e-7)
    assert same(load(tmp_path / "x"), expected)
    (tmp_path / "x" / "model_00001.weights.h5").unlink()
    with pytest.raises(FileError, match=r"model_00001.weights.h5 could not be read: No such file"):
        load(tmp_path / "x")


# -- what is in a file besides -----------------------------------------------------------------------------------------


def test_compiled_models(tmp_path):
    """The arrays of optimizers, of the model and of a part of it, are none of the network."""
    model = nested()
    model.set_weights([np.random.default_rng(i).uniform(0.1, 1, w.shape) for i, w in enumerate(model.get_weights())])
    model.layers[1].compile("adam", "mse")
    model.compile("adam", "mse", metrics=["mae"])
    for part in (model.layers[1], model):
        part.fit(np.ones((4, 4)), np.ones((4, 4)), verbose=0)
    model.save(tmp_path / "x.keras")
    expected = {(i, v.path): np.asarray(v) for i, v in enumerate(model.weights)}
    ours = load(tmp_path / "x.keras")
    assert same(ours, expected)
    assert int(ours.train_state.step) == 1
    plain = load(tmp_path / "x.keras", compile=False)
    assert plain.optimizer is None and plain.train_state.opt_state is None


def changed(path, group, **arrays):
    """The weights in a file, with other arrays in a group."""
    with h5py.File(path, "r+") as file:
        for number, array in arrays.items():
            at = file.require_group(f"{group}/vars")
            if number[1:] in at:
                del at[number[1:]]
            at[number[1:]] = array


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (2, 3)},
        {"compression": "gzip", "chunks": (3, 4)},
        {"compression": "gzip", "shuffle": True, "fletcher32": True, "chunks": True},
        {"fletcher32": True, "chunks": (64, 1)},
    ],
    ids=str,
)
def test_files_that_were_compressed(options, tmp_path):
    ours = kf.Model(nn.Sequential([nn.Input((64,)), nn.Dense(5)])).build()
    save_weights(ours, path := tmp_path / "x.weights.h5")
    values = np.random.default_rng(0).standard_normal((64, 5)).astype(">f4")
    with h5py.File(path, "r+") as file:
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", data=values, **options)
    load_weights(ours, path)
    np.testing.assert_array_equal(ours.train_state.params["dense"]["kernel"], values)


def test_states_of_seeds(tmp_path):
    """Earlier versions of Keras 3 kept them. Other numbers under such a name are not passed over."""
    model = NETS["dropout"]()
    model.save_weights(path := tmp_path / "x.weights.h5")
    ours = kf.Model(nn.Sequential([nn.Input((6, 4)), nn.Dropout(0.1), nn.GaussianNoise(0.1), nn.Dense(2)]))
    changed(path, "layers/dropout/seed_generator", _0=np.array([1, 2], "uint32"))
    load_weights(ours, path)
    changed(path, "layers/dropout/generator", _0=np.array([1, 2], "float32"))
    with pytest.raises(FileError, match="no variable for layers/dropout/generator/vars/0"):
        load_weights(ours, path)


@pytest.mark.parametrize(
    "value, dtype, match", [(1e6, "float16", "too large"), (3, "float32", None), (3, "float16", None)]
)
def test_numbers_take_the_precision_of_the_network(value, dtype, match, tmp_path):
    ours = kf.Model(nn.Sequential([nn.Input((2,)), nn.Dense(2, dtype=None if dtype == "float32" else dtype)])).build()
    save_weights(ours, path := tmp_path / "x.weights.h5")
    changed(path, "layers/dense", _1=np.array([value, np.inf], "float64"))
    with contextlib.nullcontext() if match is None else pytest.raises(FileError, match=match):
        load_weights(ours, path)
        np.testing.assert_array_equal(ours.train_state.params["dense"]["bias"], np.array([value, np.inf], dtype))


def test_what_keras_keeps_twice(tmp_path):
    """SpectralNormalization has the kernel of its layer among its own variables."""
    ours = kf.Model(nn.Sequential([nn.Input((2,)), nn.SpectralNormalization(nn.Dense(2))])).build()
    save_weights(ours, path := tmp_path / "x.weights.h5")
    load_weights(ours, path)
    changed(path, "layers/spectral_normalization", _0=np.zeros((2, 2), "f4"))
    with pytest.raises(FileError, match="two values for spectral_normalization/layer/kernel"):
        load_weights(ours, path)


def test_layers_that_compute_something_else_are_named(tmp_path):
    """SpectralNormalization divides in inference here, and in Keras only in training: each way in and out says so."""
    model = functional(layers.SpectralNormalization(layers.Dense(4), name="norm.a"))
    model.save(tmp_path / "x.keras")
    ours = load(tmp_path / "x.keras")
    calls = [
        lambda: load(tmp_path / "x.keras"),
        lambda: convert(model),
        lambda: save_weights(ours, tmp_path / "y.weights.h5"),
        lambda: load_weights(ours, tmp_path / "y.weights.h5"),
        lambda: save(ours, tmp_path / "y.keras"),
    ]
    for call in calls:
        with pytest.warns(UserWarning, match="something else than in Keras, here in 'norm_a'") as found:
            call()
        assert [each.filename for each in found] == [__file__]


# -- models ------------------------------------------------------------------------------------------------------------


def test_archives_are_not_read_into_memory(tmp_path):
    """The arrays are read from the file itself, and held once."""
    save(
        kf.Model(nn.Sequential([nn.Input((1024,)), nn.Dense(4096, "relu", True, "zeros")])).build(),
        path := tmp_path / "x.keras",
    )
    load(path)  # imports, and names in caches
    tracemalloc.start()
    ours = load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ours.count_params() * 4 > 2**24 and peak < ours.count_params() * 4 + 4 * 2**20


def test_nothing_is_drawn(tmp_path, monkeypatch):
    """Import is fast, since no array is made that the file does not have."""
    nested().save(tmp_path / "x.keras")
    monkeypatch.setattr(nn.Layer, "init", None)
    monkeypatch.setattr(kf.nn.scope.Declaration, "draw", None)
    load(tmp_path / "x.keras")


def test_a_file_that_does_not_fit_changes_nothing(tmp_path):
    numbered(model := NETS["dense"]())
    model.save_weights(tmp_path / "x.weights.h5")
    ours = kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(4), nn.Dense(5), nn.Dense(4)])).build()
    before = ours.train_state
    with pytest.raises(FileError) as error:
        load_weights(ours, tmp_path / "x.weights.h5")
    assert ours.train_state is before
    lines = [
        "dense_1/kernel has shape (4, 5), and layers/dense_1/vars/0 in the file (4, 4)",
        "dense_1/bias has shape (5,), and layers/dense_1/vars/1 in the file (4,)",
        "the file has no array for dense_2/kernel",
        "the file has no array for dense_2/bias",
    ]
    assert all(line in str(error.value) for line in lines)


def test_parameters_that_are_nan(tmp_path):
    """As in files of our own: training could not go on from them."""
    model = NETS["dense"]()
    model.layers[1].bias.assign([1, 2, np.nan, 4])
    model.save(tmp_path / "x.keras")
    ours = kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(4), nn.Dense(4)])).build()
    before = ours.train_state
    for call in (load, lambda path: load_weights(ours, path)):
        with pytest.raises(kf.errors.NonFiniteError, match=r"x.keras cannot be used: the parameter .*/bias is not"):
            call(tmp_path / "x.keras")
    assert ours.train_state is before


def test_names_that_a_network_gives_its_layers(tmp_path):
    """Two layers of one shape that stand in another order: only their names tell."""
    numbered(model := NETS["dense"]())
    model.save_weights(tmp_path / "x.weights.h5")
    model.save(tmp_path / "x.h5")
    for path in ("x.weights.h5", "x.h5"):
        ours = kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(4, name="y"), nn.Dense(4, name="x")]))
        if path == "x.h5":  # here each layer has its name
            load_weights(ours, tmp_path / path)
            np.testing.assert_array_equal(ours.train_state.params["x"]["bias"], model.layers[0].bias)
        else:
            with pytest.raises(FileError, match="the name of another layer"):
                load_weights(ours, tmp_path / path)


@pytest.mark.parametrize("file", ["x.weights.h5", "x.h5"])
def test_names_that_keras_made_up(file, tmp_path):
    """Keras numbers layers through a session. All numbers may be greater by the same; else, it is another network."""
    for first, second in ((4, 5), (1, 2), (1, 0), (1, 3)):
        names = [f"dense_{n}" if n else "dense" for n in (first, second)]
        model = functional(*(layers.Dense(4, name=name) for name in names), shape=(4,))
        expected = numbered(model)
        model.save(tmp_path / file) if file == "x.h5" else model.save_weights(tmp_path / file)
        ours = kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(4, name="dense"), nn.Dense(4, name="dense_1")]))
        if second == first + 1 or (file == "x.h5" and second == 0):  # there, each layer has its name
            load_weights(ours, tmp_path / file)
            assert same(ours, expected)
        else:
            with pytest.raises(FileError, match=r"the name of another layer|which names 'dense_1'"):
                load_weights(ours, tmp_path / file)


def test_a_slash_in_a_name(tmp_path):
    """Keras 2's DenseNet has "conv1/bn" and "bn"."""
    model = functional(layers.BatchNormalization(name="conv1_bn"), layers.BatchNormalization(name="bn"), shape=(4,))
    expected = numbered(model)
    model.save(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        weights = file["model_weights"]
        names = [name.decode() if isinstance(name, bytes) else name for name in weights.attrs["layer_names"]]
        weights.attrs["layer_names"] = [name.replace("conv1_bn", "conv1/bn").encode() for name in names]
        given = weights["conv1_bn"].attrs["weight_names"]
        given = [x.decode() if isinstance(x, bytes) else x for x in given]
        arrays = {x.replace("conv1_bn", "conv1/bn"): weights[f"conv1_bn/{x}"][...] for x in given}
        del weights["conv1_bn"]
        group = weights.create_group("conv1/bn")
        for name, array in arrays.items():
            group[name] = array
        group.attrs["weight_names"] = [name.encode() for name in arrays]
    ours = kf.Model(
        nn.Sequential([nn.Input((4,)), nn.BatchNormalization(name="conv1_bn"), nn.BatchNormalization(name="bn")])
    )
    load_weights(ours, tmp_path / "x.h5")
    assert same(ours, expected)


def test_old_files_whose_layers_have_other_names(tmp_path):
    """As in Keras, the first list of arrays is that of the first layer, and so on; `beta` is not taken for `gamma`."""
    model = functional(layers.Dense(4, name="u"), layers.BatchNormalization(name="v"), shape=(4,))
    expected = numbered(model)
    model.save(tmp_path / "x.h5")
    ours = kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(4), nn.BatchNormalization()]))
    load_weights(ours, tmp_path / "x.h5")
    assert same(ours, expected)
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        named = file["model_weights/v"].attrs
        named["weight_names"] = named["weight_names"][[1, 0, 2, 3]]
    with pytest.raises(FileError, match=r"gamma is at the place of .*v/beta in the file, which names 'beta'"):
        load_weights(ours, tmp_path / "x.h5")


def test_the_model_keeps_its_backend_and_its_optimizer(tmp_path):
    expected = numbered(model := NETS["dense"]())
    model.save_weights(tmp_path / "x.weights.h5")
    ours = kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(4), nn.Dense(4)]))
    ours.compile("adam", "mse")
    ours.fit(np.ones((4, 4)), np.ones((4, 4)), verbose=0, backend="torch")
    load_weights(ours, tmp_path / "x.weights.h5")
    assert ours.backend == "torch" and same(ours, expected) and int(ours.train_state.step) == 1


@pytest.mark.parametrize(
    "change, error, match",
    [
        (lambda m, p: load(5), ArgumentError, "must be a path"),
        (lambda m, p: load(p / "nothing.keras"), FileError, "No such file"),
        (lambda m, p: load(p / "x.weights.h5"), FileError, "without the network"),
        (lambda m, p: load(p / "x.keras", "os.system"), kf.errors.UnknownBackendError, "os.system"),
        (lambda m, p: save_weights(m, p / "x.h5"), ArgumentError, "ends in .weights.h5"),
        (lambda m, p: save_weights(m, p / "x.weights.h5", max_shard_size=1), ArgumentError, "ends in .weights.json"),
        (lambda m, p: save_weights(m, p / "x.weights.json", max_shard_size=0), ArgumentError, "max_shard_size"),
        (lambda m, p: save_weights(m, p / "x.weights.h5", overwrite=False), FileError, "exists already"),
        (lambda m, p: save_weights(m, p / "no" / "x.weights.h5"), FileError, "could not be written"),
        (lambda m, p: save_weights(kf.Model(nn.Dense(3)), p / "y.weights.h5"), ArgumentError, "no parameters"),
        (lambda m, p: load_weights(kf.Model(nn.Dense(3)), p / "x.weights.h5"), ArgumentError, "no parameters"),
        (lambda m, p: load_weights(m, p / "x.weights.h5", ignore="("), ArgumentError, "ignore"),
        (lambda m, p: load_weights(m, p / "x.weights.h5", ignore=["a", "("]), ArgumentError, "ignore"),
        (lambda m, p: load_weights(m, p / "x.weights.h5", ignore=5), ArgumentError, "`ignore` must be regular"),
        (lambda m, p: load_weights(m, p / "x.weights.h5", ignore=[5]), ArgumentError, "`ignore` must be regular"),
    ],
)
def test_errors(change, error, match, tmp_path):
    ours = kf.Model(nn.Sequential([nn.Input((4,)), nn.Dense(4)])).build()
    save_weights(ours, tmp_path / "x.weights.h5")
    with pytest.raises(error, match=match):
        change(ours, tmp_path)
