"""Data that `fit` cannot read, inputs that the model was not built for, and outputs in containers in containers."""

from __future__ import annotations

import itertools
import re
import warnings

import numpy as np
import pytest
from backends import TRAINING

import kfunc as kf
from kfunc import nn
from kfunc.errors import ArgumentError, DataError, ShapeError

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
Y = X[:, :1]


def model(net=None, loss="mse", **options):
    out = kf.Model(nn.Dense(1) if net is None else net)
    out.compile("sgd", loss, **options)
    return out


def lazy():
    return pytest.importorskip("polars").LazyFrame(X)


def scipy_sparse():
    return pytest.importorskip("scipy.sparse").csr_array(X)


def torch_sparse(layout):
    x = kf.asarray(X, backend="torch")
    if layout == "coo":
        return x.to_sparse()
    with warnings.catch_warnings(action="ignore"):  # PyTorch's, that these are new
        return x.to_sparse_csr()


def tensorflow_sparse(ragged):
    tf = pytest.importorskip("tensorflow")
    return tf.RaggedTensor.from_tensor(X) if ragged else tf.sparse.from_dense(X)


class Dask:
    """As far as it is asked."""

    shape, __dask_graph__ = (8, 3), None


UNREADABLE = {
    "lazy": (lazy, r"x\.collect\(\)", []),
    "dask": (Dask, r"x\.compute\(\)", []),
    "scipy": (scipy_sparse, r"x\.toarray\(\)", []),
    "torch coo": (lambda: torch_sparse("coo"), r"x\.to_dense\(\)", ["torch"]),
    "torch csr": (lambda: torch_sparse("csr"), r"x\.to_dense\(\)", ["torch"]),
    "tf sparse": (lambda: tensorflow_sparse(False), r"tf\.sparse\.to_dense\(x\)", ["tensorflow"]),
    "tf ragged": (lambda: tensorflow_sparse(True), r"x\.to_tensor\(\)", ["tensorflow"]),
}


@pytest.mark.parametrize(
    "row", [pytest.param(r, marks=[getattr(pytest.mark, m) for m in UNREADABLE[r][2]]) for r in UNREADABLE]
)
def test_data_that_cannot_be_read(row):
    make, fix, _ = UNREADABLE[row]
    data, m = make(), model()
    for argument, call in {
        "x": lambda: m.fit(data, Y, verbose=0),
        "y": lambda: m.fit(X, data, verbose=0),
        "x/a": lambda: m.fit({"a": data}, Y, verbose=0),
        "x/0": lambda: m.predict([data]),
    }.items():
        with pytest.raises(ArgumentError) as error:
            call()
        assert error.value.argument == argument
        assert re.search(fix, error.value.fix), error.value.fix


class Collected(kf.data.Dataset):
    """Has a method that lazy frames have, too."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X, Y

    def collect(self):
        raise AssertionError


class Loader:
    """The same of an iterable."""

    collect = None

    def __iter__(self):
        return iter([(X, Y)] * 2)


@pytest.mark.parametrize("cls", [Collected, Loader])
def test_data_that_are_not_lazy(cls):
    assert model().fit(cls(), verbose=0).history["loss"]


def batches():
    while True:
        yield X, Y


ENDLESS = {"cycle": lambda: itertools.cycle([(X, Y)]), "repeat": lambda: itertools.repeat((X, Y))}


@pytest.mark.parametrize("row", [*ENDLESS, pytest.param("tf.data", marks=pytest.mark.tensorflow)])
def test_data_without_an_end(row):
    if row == "tf.data":
        tf = pytest.importorskip("tensorflow")
        data = tf.data.Dataset.from_tensors((X, Y)).repeat()
    else:
        data = ENDLESS[row]()
    m = model()
    for call in (m.fit, m.evaluate, m.predict, lambda d, **_: m.fit(X, Y, validation_data=d, verbose=0)):
        with pytest.raises(DataError, match="without end") as error:
            call(data, verbose=0)
        assert "steps_per_epoch" in error.value.fix and "validation_steps" in error.value.fix
    assert m.fit(data, steps_per_epoch=2, epochs=2, verbose=0).history["loss"]
    assert m.fit(itertools.repeat((X, Y), 2), verbose=0).history["loss"]


def conv():
    return nn.Sequential([nn.Conv2D(2, 3), nn.Flatten(), nn.Dense(1)])


HELD = {  # a network, what it is built for, inputs that it does not take, and what the error says
    "width": (nn.Dense(1), (None, 3), np.ones((4, 5), np.float32), "(None, 5)"),
    "image": (conv(), (None, 8, 8, 1), np.ones((4, 9, 9, 1), np.float32), "(None, 9, 9, 1)"),
    "axes": (conv(), (None, 8, 8, 1), np.ones((4, 8, 8), np.float32), "(None, 8, 8)"),
    "two": (nn.Dense(1), (None, 3), [X[:4], X[:4]], "0: (None, 3), 1: (None, 3)"),
    "a dict": (nn.Dense(1), (None, 3), {"a": np.ones((4, 5), np.float32)}, "(None, 5)"),
}


@pytest.mark.parametrize("row", HELD)
def test_inputs_are_held_against_those_of_build(row):
    net, shape, x, found = HELD[row]
    m = model(net)
    m.build(kf.Spec(shape))
    before = m.get_weights()
    for call in (m.predict, m, lambda x: m.evaluate(x, Y[:4], verbose=0), lambda x: m.fit(x, Y[:4], verbose=0)):
        with pytest.raises(ShapeError) as error:
            call(x)
        assert f"have shape {found}, and the model was built for {shape}: " in error.value.problem
    for a, b in zip(m.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_sizes_that_fit():
    m = model(nn.Sequential([nn.Conv2D(2, 3), nn.GlobalAveragePooling2D(), nn.Dense(1)]))
    m.build(kf.Spec((None, 8, 8, 1)))
    assert m.predict(np.ones((2, 9, 9, 1), np.float32)).shape == (2, 1)
    assert kf.Model(nn.Dense(1)).build(kf.Spec((None, 3))).predict(np.ones((2, 4, 3), np.float32)).shape == (2, 4, 1)


@nn.layer
class InContainers(nn.Layer):
    a: nn.Layer = nn.Dense(1)
    b: nn.Layer = nn.Dense(2)
    c: nn.Layer = nn.Dense(1)

    def forward(self, s, x):
        return {"p": {"a": self.a(s, x), "b": self.b(s, x)}, "q": [self.c(s, x)]}


TARGETS = {"p": {"a": Y, "b": X[:, :2]}, "q": [Y]}
NESTED = {  # the loss, more arguments of compile, and targets; each with flat names
    "one loss": (("mse", {}, TARGETS), ("mse", {})),
    "each its own": (
        (
            {"p": {"a": "mse", "b": "mae"}, "q": ["mse"]},
            {"loss_weights": {"p": {"a": 1.0, "b": 2.0}, "q": [3.0]}},
            TARGETS,
        ),
        ({"p_a": "mse", "p_b": "mae", "q_0": "mse"}, {"loss_weights": {"p_a": 1.0, "p_b": 2.0, "q_0": 3.0}}),
    ),
    "metrics": (
        ("mse", {"metrics": {"p": {"b": ["mae"]}, "q": [["mae"]]}}, TARGETS),
        ("mse", {"metrics": {"p_b": ["mae"], "q_0": ["mae"]}}),
    ),
    "a part": (
        ({"p": {"a": "mse"}, "q": ["mse"]}, {}, {"p": {"a": Y}, "q": [Y]}),
        ({"p_a": "mse", "q_0": "mse"}, {}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", NESTED)
@pytest.mark.parametrize("name", TRAINING)
def test_containers_in_containers(name, row):
    """Trained on nested targets, and on targets by the names of outputs: the same numbers."""
    (loss, options, targets), (flat_loss, flat_options) = NESTED[row]
    flat = {"p_a": Y, "p_b": X[:, :2], "q_0": Y}
    wanted = model(InContainers(), flat_loss, **flat_options).fit(X, flat, 4, 2, verbose=0, backend=name).history
    m = model(InContainers(), loss, **options)
    got = m.fit(X, targets, 4, 2, verbose=0, backend=name).history
    assert got == wanted and got["loss"][1] < got["loss"][0] and "p_a_loss" in got
    assert m.predict(X)["p"]["b"].shape == (8, 2)
