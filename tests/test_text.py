"""Layers of categories and texts: what Keras says, files, strings in `Model`, and bad input."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import text_oracle

import kfunc as kf
from kfunc import nn
from kfunc.errors import ArgumentError, DataError, FileError, ShapeError
from kfunc.nn.preprocessing.hashes import buckets
from kfunc.registry import from_config, to_config

ROWS = text_oracle.rows()
KERAS = json.loads(text_oracle.FILE.read_text())
TEXTS = ["good film", "bad film", "great film indeed", "awful bad thing"] * 8
Y = np.asarray([1, 0, 1, 0] * 8)


def test_the_oracle_has_all_rows():
    assert len(ROWS) == len(KERAS["rows"])


@pytest.mark.parametrize("name", sorted({row[0] for row in ROWS}))
def test_layers_equal_keras(name):
    for (which, options, data, x), theirs in zip(ROWS, KERAS["rows"], strict=True):
        if which != name:
            continue
        layer = getattr(nn, name)(**options)
        if data is not None:
            layer = layer.adapt(text_oracle.array(data))
        if theirs["words"] is not None:
            assert layer.get_vocabulary() == theirs["words"], options
            assert layer.vocabulary_size() == len(theirs["words"])
        layer = from_config("layer", json.loads(json.dumps(to_config("layer", layer))))
        given = text_oracle.inputs(name, x)
        floats = name in ("Discretization", "Normalization")
        params, state = layer.init(0, kf.Spec((None, 3))) if floats else ({}, {})
        out = layer.apply(params, given.astype("float32") if floats else given, state=state)[0]
        wanted = np.zeros(int(np.prod(theirs["shape"])), object if out.dtype == object else np.float64)
        if theirs["sparse"]:
            for i, value in theirs["values"]:
                wanted[i] = value
        else:
            wanted[:] = theirs["values"]
        wanted = wanted.reshape(theirs["shape"])
        assert out.shape == wanted.shape, options
        # Weights of words, means and variances are sums of up to 600 numbers: 8 eps √600.
        same = out.dtype.kind in "iO" and (out == wanted).all()
        assert same or np.allclose(out.astype(float), wanted.astype(float), 0, 2.4e-5 * np.abs(wanted).max()), options


def test_hashes_are_those_of_tensorflow():
    words = [w.encode() for w in text_oracle.HASHED]
    assert buckets(words, 2**40).tolist() == KERAS["fast"]
    assert buckets(words, 2**40, (7, -9)).tolist() == KERAS["strong"]


def test_adapt_reads_batches_once_and_in_float64():
    x = (np.arange(3000.0).reshape(1000, 3) % 7 + 4e6).astype("float32")
    layer = nn.Normalization().adapt(x[i : i + 10] for i in range(0, 1000, 10))
    assert np.allclose(layer.mean, x.mean(0, dtype="float64"), 1e-12)
    assert np.allclose(layer.variance, x.var(0, dtype="float64"), 1e-9)
    layer = nn.TextVectorization().adapt((np.asarray(TEXTS[i : i + 4], object), Y[i : i + 4]) for i in range(0, 32, 4))
    assert layer.get_vocabulary() == nn.TextVectorization().adapt(TEXTS).get_vocabulary()


@pytest.mark.parametrize("kind", ["list", "U", "object", "bytes", "pandas", "polars", "StringDType"])
def test_kinds_of_strings(kind):
    x = ["b", "é", "a"]
    if kind in ("pandas", "polars"):
        x = pytest.importorskip(kind).Series(x)
        out = kf.Model(nn.Sequential([nn.StringLookup(vocabulary=["a", "b", "é"])])).predict(x)
        assert out.tolist() == [[2], [3], [1]]
        return
    if kind == "StringDType":
        if not hasattr(np.dtypes, "StringDType"):
            pytest.skip("NumPy 1 has no StringDType")
        x = np.asarray(x, np.dtypes.StringDType())
    elif kind != "list":
        x = (
            np.asarray([w.encode() for w in x])
            if kind == "bytes"
            else np.asarray(x, object if kind == "object" else None)
        )
    layer = nn.StringLookup(vocabulary=["a", "b", "é"])
    assert layer.apply({}, x)[0].tolist() == [2, 3, 1]
    assert kf.Model(nn.Sequential([layer])).predict(x).tolist() == [2, 3, 1]


def network(kind: str):
    vec = nn.TextVectorization(output_sequence_length=4).adapt(TEXTS)
    layers = [nn.Embedding(vec.vocabulary_size(), 8), nn.GlobalAveragePooling1D(), nn.Dense(1, activation="sigmoid")]
    if kind == "sequential":
        return nn.Sequential([vec, *layers])
    x = title = nn.Input((1,), dtype="string", name="title")
    x, number = vec(x), nn.Input((2,), name="number")
    for child in layers[:2]:
        x = child(x)
    return nn.Graph([title, number], layers[2](nn.Concatenate()([x, number])))


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        *[pytest.param(name, "graph", marks=getattr(pytest.mark, name)) for name in ("numpy", "jax", "tensorflow")],
        *[pytest.param(name, "sequential", marks=getattr(pytest.mark, name)) for name in ("numpy", "torch")],
    ],
)
def test_strings_in_a_model(backend, kind, tmp_path):
    numbers = np.zeros((32, 2), "float32")

    def inputs(n=32):
        return TEXTS[:n] if kind == "sequential" else {"title": TEXTS[:n], "number": numbers[:n]}

    def batches():
        for i in range(0, 32, 8):
            x = np.asarray(TEXTS[i : i + 8], object)
            yield (x if kind == "sequential" else {"title": x, "number": numbers[:8]}), Y[i : i + 8]

    model = kf.Model(network(kind))
    model.compile(kf.optim.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    model.fit(inputs(), Y, epochs=5, verbose=0, batch_size=8, backend=backend)
    assert model.evaluate(inputs(), Y, verbose=0)[1] == 1
    out = model.predict(inputs(2))
    assert out[0, 0] > 0.5 > out[1, 0] and np.allclose(model.predict_on_batch(inputs(2)), out, atol=1e-6)
    model.save(tmp_path / "model.safetensors")
    loaded = kf.Model.load(tmp_path / "model.safetensors", backend)
    assert (loaded.predict(inputs(2)) == out).all()
    loaded.fit(batches(), verbose=0)
    loaded.freeze("embedding*").fit(inputs(), Y, verbose=0)
    lines = []
    loaded.summary(print_fn=lines.append)
    assert any("text_vectorization" in line for line in lines)


@pytest.mark.torch
def test_the_same_curve_everywhere():
    curves = []
    for backend in ("numpy", "torch"):
        model = kf.Model(network("sequential"))
        model.compile("adam", "binary_crossentropy")
        curves.append(model.fit(TEXTS, Y, epochs=3, verbose=0, backend=backend).history["loss"])
    assert all(np.allclose(curve, curves[0], 1e-5) for curve in curves)


def test_many_words_are_an_array_in_a_file(tmp_path):
    words = [f"wörd{i}" for i in range(200_000)]
    model = kf.Model(nn.Sequential([nn.StringLookup(vocabulary=words), nn.Identity()]))
    assert model.predict(["wörd199999", "x"]).tolist() == [200_000, 0]
    model.save(tmp_path / "model.safetensors")
    loaded = kf.Model.load(tmp_path / "model.safetensors")
    assert loaded.net.layers[0].get_vocabulary()[1:] == words
    arrays, texts = kf.files.read(tmp_path / "model.safetensors")
    assert arrays["tables.0.ends"].shape == (200_000,) and len(texts["kfunc.model"]) < 2000


def test_damaged_words_are_refused(tmp_path):
    table = nn.StringLookup(vocabulary=[f"w{i}" for i in range(100)])
    model = kf.Model(nn.Sequential([table])).build(kf.Spec((None,), "string"))
    model.save(tmp_path / "model.safetensors")
    arrays, texts = kf.files.read(tmp_path / "model.safetensors")
    arrays["tables.0.ends"] = arrays["tables.0.ends"][::-1].copy()
    kf.files.write(tmp_path / "other.safetensors", arrays, {k: v for k, v in texts.items() if k == "kfunc.model"})
    with pytest.raises(FileError, match="damaged"):
        kf.Model.load(tmp_path / "other.safetensors")


VOCABULARY = nn.StringLookup(vocabulary=["a", "b"])
BAD = {
    "None": (lambda: VOCABULARY.apply({}, ["a", None]), DataError, "row 1"),
    "NaN": (lambda: VOCABULARY.apply({}, np.asarray(["a", "b", float("nan")], object)), DataError, "row 2"),
    "unknown": (
        lambda: nn.StringLookup(num_oov_indices=0, vocabulary=["a"]).apply({}, [["a"], ["z"]]),
        DataError,
        "'z' in row 1",
    ),
    "unknown number": (
        lambda: nn.IntegerLookup(num_oov_indices=0, vocabulary=[1]).apply({}, np.asarray([1, 5])),
        DataError,
        "5 in row 1",
    ),
    "twice": (lambda: nn.StringLookup(vocabulary=["a", "b", "a"]), DataError, "'a' twice"),
    "empty": (lambda: nn.StringLookup(vocabulary=[]), DataError, "no words"),
    "special alone": (lambda: nn.StringLookup(vocabulary=["[UNK]"]), DataError, "no words"),
    "mask inside": (lambda: nn.StringLookup(mask_token="m", vocabulary=["a", "m"]), DataError, "special token 'm'"),
    "no file": (lambda: nn.StringLookup(vocabulary="/nowhere/words.txt"), FileError, "/nowhere/words.txt"),
    "too many": (lambda: nn.StringLookup(3, vocabulary=["a", "b", "c"]), ArgumentError, "max_tokens"),
    "sparse": (lambda: nn.StringLookup(output_mode="count", sparse=True), ArgumentError, "sparse"),
    "ragged": (lambda: nn.TextVectorization(ragged=True), ArgumentError, "ragged"),
    "rows": (lambda: kf.Model(nn.Sequential([VOCABULARY])).predict([["a"], ["b", "c"]]), ShapeError, "Row 1"),
    "not adapted": (lambda: nn.StringLookup().apply({}, ["a"]), ArgumentError, "was not adapted"),
    "text not adapted": (
        lambda: kf.Model(nn.Sequential([nn.TextVectorization()])).predict(["a"]),
        ArgumentError,
        "not adapted",
    ),
    "bins not adapted": (
        lambda: nn.Discretization(num_bins=2).apply({}, np.ones(2, "f")),
        ArgumentError,
        "not adapted",
    ),
    "adapted": (lambda: VOCABULARY.adapt(["a"]), ArgumentError, "already"),
    "nothing": (lambda: nn.StringLookup().adapt([]), DataError, "empty"),
    "no words": (lambda: nn.TextVectorization().adapt(["", " "]), DataError, "no words"),
    "numbers": (lambda: VOCABULARY.apply({}, np.ones(2)), DataError, "float64"),
    "strings": (lambda: nn.IntegerLookup(vocabulary=[1]).apply({}, ["a"]), DataError, "object"),
    "several texts": (
        lambda: nn.TextVectorization(vocabulary=["a"]).apply({}, np.asarray([["a", "b"]])),
        ShapeError,
        "several texts",
    ),
    "other network": (lambda: kf.Model(nn.Dense(2)).predict(["a"]), ArgumentError, "not numbers"),
    "salt": (lambda: nn.Hashing(3, salt="x"), ArgumentError, "salt"),
    "one crossed": (lambda: nn.HashedCrossing(3).apply({}, [np.asarray(["a"])]), ArgumentError, "two features"),
    "surrogate": (lambda: nn.Hashing(3).apply({}, ["\ud800"]), DataError, "UTF-8"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    fun, error, said = BAD[case]
    with pytest.raises(error, match=said):
        fun()


@pytest.mark.jax
def test_a_layer_of_the_host_says_that_it_cannot_be_compiled():
    import jax
    import jax.numpy as jnp

    lookup = nn.IntegerLookup(vocabulary=[1, 2])
    with pytest.raises(ArgumentError, match="runs on the host"):
        jax.jit(lambda x: lookup.apply({}, x)[0])(jnp.asarray([1]))
    assert np.asarray(lookup.apply({}, jnp.asarray([2, 5]))[0]).tolist() == [2, 0]


def test_no_tensorflow():
    code = """
import sys, numpy as np
import kfunc as kf
from kfunc import nn
texts = ["a b", "b c"] * 8
net = nn.Sequential([nn.TextVectorization(output_mode="multi_hot").adapt(texts), nn.Dense(1)])
model = kf.Model(net)
model.compile("adam", "mse")
model.fit(texts, np.ones((16, 1)), verbose=0)
nn.Hashing(3).apply({}, texts)
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
