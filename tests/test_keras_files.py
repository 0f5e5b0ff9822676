"""Weights in Keras's files: each array arrives where Keras means it, or an error lists what does not fit."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import kfunc as kf
from kfunc.interop.keras import load, load_weights, save_weights

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning", "ignore:You are saving")
HERE = Path(__file__).parent / "keras_files"


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
