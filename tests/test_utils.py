"""`kf.utils` beside `keras.utils`: the same arrays, of the same dtypes, and errors where Keras raises one."""

from __future__ import annotations

import numpy as np
import pytest
from backends import params

import kfunc as kf
from kfunc.errors import ArgumentError, ShapeError

RAGGED = [[1], [2, 3], [], [4, 5, 6]]
VECTORS = [np.ones((1, 2)), [], np.arange(6).reshape(3, 2) / 4]
WORDS = [["a"], ["bc", "def"]]

CALLS = {  # name of the function, arguments by position, arguments by name
    "pad": ("pad_sequences", (RAGGED,), {}),
    "pad positions": ("pad_sequences", (RAGGED, 2, "int64", "post", "post", 7), {}),
    "pad tuples": ("pad_sequences", (tuple(map(tuple, RAGGED)),), {"maxlen": np.int64(5)}),
    "pad an array": ("pad_sequences", (np.arange(6).reshape(2, 3),), {"maxlen": 2}),
    "pad float64": ("pad_sequences", ([[0.1, 1 / 3], [1e-300]],), {"dtype": "float64", "value": np.nan}),
    "pad casts": ("pad_sequences", ([[1.7, -1.7], [2.5]],), {"value": 0.5}),
    "pad vectors": ("pad_sequences", (VECTORS,), {"dtype": np.float32, "padding": "post"}),
    "pad and cut vectors": ("pad_sequences", (VECTORS,), {"dtype": np.float32, "maxlen": 2, "truncating": "post"}),
    "pad objects": ("pad_sequences", (WORDS,), {"dtype": object, "value": "pad"}),
    "pad strings": ("pad_sequences", (WORDS,), {"dtype": "<U3", "value": "pad", "padding": "post"}),
    "pad empty ones": ("pad_sequences", ([[], []],), {"maxlen": 3}),
    "pad nothing": ("pad_sequences", ([],), {"maxlen": 3}),
}


@pytest.mark.parametrize("call", CALLS)
def test_beside_keras(call):
    keras = pytest.importorskip("keras")
    name, args, kwargs = CALLS[call]
    want, got = getattr(keras.utils, name)(*args, **kwargs), getattr(kf.utils, name)(*args, **kwargs)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("backend", params(("numpy", "jax", "torch", "tensorflow")))
def test_arrays_of_every_backend(backend):
    arrays = [kf.asarray([[1.0, 2.0]], backend=backend), kf.asarray(np.zeros((0, 2), "float32"), backend=backend)]
    got = kf.utils.pad_sequences(arrays, maxlen=2, dtype="float32")
    np.testing.assert_array_equal(got, [[[0, 0], [1, 2]], [[0, 0], [0, 0]]])


@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_a_length_of_0(truncating):
    """Keras keeps all of a sequence of which it should keep its last 0 values, and has no place for them."""
    assert kf.utils.pad_sequences(RAGGED, 0, truncating=truncating).shape == (4, 0)


REFUSED = {  # arguments, what the message has, and whether Keras raises a ValueError, too
    "no list": ((iter(RAGGED),), {}, "`sequences` must be a list of sequences", True),
    "numbers": (([1, 2],), {}, r"`sequences\[0\]` must be a sequence of values of dtype int32, got 1", True),
    "words": ((WORDS,), {}, r"`sequences\[0\]` must be a sequence of values of dtype int32, got \['a'\]", True),
    "a string": ((["abc"],), {"dtype": object, "value": ""}, r"`sequences\[0\]` must be a sequence", False),
    "lists of other lengths": (([[[1], [2, 3]]],), {}, r"`sequences\[0\]` must be a sequence of values", True),
    "value": ((RAGGED,), {"value": "x"}, "`value` is the string 'x', but `dtype` is int32", True),
    "padding": ((RAGGED,), {"padding": "before"}, "`padding` must be 'pre' or 'post', got 'before'", True),
    "truncating": ((RAGGED,), {"truncating": "x"}, "`truncating` must be 'pre' or 'post', got 'x'", True),
    "maxlen": ((RAGGED, -1), {}, "`maxlen` must be an integer of at least 0 or None, got -1", True),
    "axes": (
        ([[[1, 2]], [[1, 2, 3]]],),
        {},
        r"must have the same axes after the first, got \(2,\) in sequence 0 and \(3,\) in sequence 1",
        True,
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_padding_refuses(row):
    args, kwargs, message, also = REFUSED[row]
    with pytest.raises((ArgumentError, ShapeError), match=message):
        kf.utils.pad_sequences(*args, **kwargs)
    if also:
        keras = pytest.importorskip("keras")
        with pytest.raises(ValueError):
            keras.utils.pad_sequences(*args, **kwargs)


SERIES = np.arange(40.0).reshape(20, 2)
WINDOWS = {  # arguments of `timeseries_dataset_from_array`
    "plain": {"sequence_length": 3, "batch_size": 4},
    "no targets": {"targets": None, "sequence_length": 20},
    "sampled": {"sequence_length": 4, "sampling_rate": 3, "sequence_stride": 2, "batch_size": 2},
    "a part": {"sequence_length": 3, "start_index": 2, "end_index": 11, "batch_size": 5},
    "few targets": {"targets": SERIES[:5, :1], "sequence_length": 3},
    "single ones": {"sequence_length": 5, "batch_size": None},
    "float64, in lists": {"data": (SERIES / 3).tolist(), "targets": None, "sequence_length": 3},
}


@pytest.mark.parametrize("row", WINDOWS)
def test_windows_beside_keras(row):
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    arguments = {"data": SERIES, "targets": SERIES[:, 0], **WINDOWS[row]}
    want = list(keras.utils.timeseries_dataset_from_array(**arguments))
    found = kf.utils.timeseries_dataset_from_array(**arguments)
    assert len(found) == len(want) == len(list(found))
    for theirs, ours in zip(want, found, strict=True):
        for a, b in zip(theirs, ours, strict=True) if isinstance(theirs, tuple) else [(theirs, ours)]:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("backend", params(("numpy", "jax", "torch", "tensorflow")))
def test_windows_in_another_order(backend):
    """Shuffled windows are the same windows, with their own targets, and a model trains on them."""
    series = kf.asarray(SERIES.astype("float32"), backend=backend)
    arguments = {"sequence_length": 3, "batch_size": 18, "shuffle": True}
    (x, y), (again, _), (other, _) = (
        kf.utils.timeseries_dataset_from_array(series, series[:, 0], **arguments, seed=seed)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(x, again)
    assert not np.array_equal(x, other)
    assert sorted(y.tolist()) == SERIES[:18, 0].tolist() != y.tolist()
    np.testing.assert_array_equal(x[:, 0, 0], y)
    model = kf.Model(kf.nn.Sequential([kf.nn.Flatten(), kf.nn.Dense(1)]))
    model.compile("sgd", "mse")
    data = kf.utils.timeseries_dataset_from_array(SERIES / 40, SERIES[:, :1], sequence_length=3, batch_size=7)
    assert len(model.fit(data, verbose=0, backend=backend).history["loss"]) == 1


WRONG_WINDOWS = {
    "too long": ({"sequence_length": 8, "sampling_rate": 3}, "has 20 moments .* and a window has 22"),
    "no batch": ({"sequence_length": 2, "batch_size": 0}, "`batch_size` must be a positive integer or None, got 0"),
    "stride": ({"sequence_length": 2, "sequence_stride": -1}, "`sequence_stride` must be a positive integer, got -1"),
    "empty part": ({"sequence_length": 2, "start_index": 30}, "has 0 moments"),
    "seed": ({"sequence_length": 2, "seed": -1}, "`seed` must be an integer of at least 0 or None, got -1"),
    "start": ({"sequence_length": 2, "start_index": 0.5}, "`start_index` must be an integer or None, got 0.5"),
    "end": ({"sequence_length": 2, "end_index": "4"}, "`end_index` must be an integer or None, got '4'"),
}


@pytest.mark.parametrize("row", WRONG_WINDOWS)
def test_windows_that_are_refused(row):
    arguments, message = WRONG_WINDOWS[row]
    with pytest.raises(ArgumentError, match=message):
        kf.utils.timeseries_dataset_from_array(SERIES, None, **arguments)


def test_windows_of_one_number_are_refused():
    for arrays in ((3.0, None), (SERIES, 3.0)):
        with pytest.raises(kf.errors.ShapeError, match="must have 1 axis or more"):
            kf.utils.timeseries_dataset_from_array(*arrays, sequence_length=2)
