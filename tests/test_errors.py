"""Every error a user meets: its type, the layer's path, what was expected, what came, and what to do."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest
from backends import BACKENDS

import kfunc as kf
from kfunc import backends, errors, nn

X = np.ones((2, 4), np.float32)
NET = nn.Sequential([nn.Dense(3), nn.Residual(nn.Sequential([nn.Dense(3), nn.Dropout(0.5)]))])


def explains(error, *parts):
    text = str(error.value)
    for part in parts:
        assert part in text, f"{part!r} is missing from:\n{text}"


@pytest.mark.parametrize("name", BACKENDS)
def test_wrong_input_width(name):
    params, _ = NET.init(0, X)
    with pytest.raises(errors.ParamError) as error:
        NET.apply(*kf.to_backend((params, np.ones((2, 5), np.float32)), name))
    explains(error, "layer: dense", "argument: kernel", "expected: shape (5, 3)", "got: shape (4, 3)", "fix:")


def test_the_path_leads_to_the_layer():
    params, _ = NET.init(0, X)
    with pytest.raises(errors.MissingKeyError) as error:
        NET.apply(params, X, train=True)
    explains(error, "layer: residual/body/dropout", "argument: key", "fix:")
    del params["residual"]["body"]["dense"]["bias"]
    with pytest.raises(errors.ParamError) as error:
        NET.apply(params, X)
    explains(error, "layer: residual/body/dense", "'bias'", "'kernel'")


def test_wrong_shapes_are_found_by_init():
    with pytest.raises(errors.ShapeError) as error:
        nn.Sequential([nn.Flatten(), nn.Residual(nn.Dense(3))]).init(0, X)
    explains(error, "layer: residual", "(2, 4)", "(2, 3)", "fix:")
    with pytest.raises(errors.ShapeError) as error:
        nn.Sequential([nn.Conv2D(3, 3)]).init(0, X)
    explains(error, "layer: conv2d", "(2, 4)", "fix:")
    with pytest.raises(errors.ShapeError) as error:
        nn.Sequential([nn.Reshape((3,))]).init(0, X)
    explains(error, "layer: reshape", "4 elements")
    with pytest.raises(errors.ParamError) as error:
        nn.Dense(3).init(0, kf.Spec((None, None)))
    explains(error, "kernel", "(None, 3)", "fix:")


def test_a_frameworks_own_error_says_where():
    @nn.layer
    class Broken(nn.Layer):
        def forward(self, s, x):
            return x + np.ones((7, 7))

    with pytest.raises(ValueError) as error:
        nn.Sequential([nn.Flatten(), nn.Residual(Broken())]).apply({}, X)
    assert error.value.__notes__ == ["in layer: residual/body"]


def test_state_is_asked_for():
    params, _ = nn.BatchNormalization().init(0, X)
    with pytest.raises(errors.ParamError) as error:
        nn.BatchNormalization().apply(params, X)
    explains(error, "moving_mean", "state=state")


def test_unknown_backend():
    with pytest.raises(errors.UnknownBackendError) as error:
        kf.asarray(X, backend="numpi")
    explains(error, "'numpi'", "numpy, jax, torch")
    with pytest.raises(errors.UnknownBackendError) as error:
        kf.namespace("no array")
    explains(error, "str")


def test_a_framework_that_is_not_installed(monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "jax":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.delitem(backends.registry._loaded, "jax", raising=False)
    assert "jax" not in backends.available()
    with pytest.raises(errors.BackendNotInstalledError) as error:
        kf.asarray(X, backend="jax")
    explains(error, "'jax'", "pip install")
    assert isinstance(error.value, ImportError)


def test_one_layer_under_two_parents():
    shared = nn.Dense(4)
    with pytest.raises(errors.LayerError) as error:
        nn.Sequential([nn.Residual(shared), nn.Residual(shared)]).init(0, X)
    explains(error, "residual/body", "residual_1/body", "fix:")


def test_a_layer_that_nobody_owns():
    @nn.layer
    class Loose(nn.Layer):
        def forward(self, s, x):
            return nn.Dense(3)(s, x)

    with pytest.raises(errors.LayerError) as error:
        Loose().init(0, X)
    explains(error, "Dense", "Loose", "field")


def test_a_layer_called_on_arrays():
    with pytest.raises(errors.ArgumentError) as error:
        nn.Dense(3)(X)
    explains(error, "layer.init", "layer.apply")


def test_two_layers_of_one_name():
    with pytest.raises(errors.LayerError, match="have the name"):
        nn.Sequential([nn.Dense(3, name="a"), nn.Dense(3, name="a")])


def test_shared_layers_need_inputs_of_one_width():
    shared = nn.Dense(3)
    with pytest.raises(errors.ParamError, match="two shapes"):
        nn.Sequential([shared, shared]).init(0, X)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: nn.Dense(0), "units"),
        (lambda: nn.Dense(2.5), "units"),
        (lambda: nn.Dense(3, activation="rleu"), "relu"),
        (lambda: nn.Dense(3, name="a/b"), "name"),
        (lambda: nn.Conv2D(4, 0), "kernel_size"),
        (lambda: nn.Conv2D(4, (3, 3, 3)), "kernel_size"),
        (lambda: nn.Conv2D(4, 3, groups=3), "groups"),
        (lambda: nn.MaxPooling2D(-1), "pool_size"),
        (lambda: nn.Dropout(1.5), "rate"),
        (lambda: nn.Embedding(0, 3), "input_dim"),
        (lambda: nn.MultiHeadAttention(0, 3), "num_heads"),
        (lambda: nn.MultiHeadAttention(2, 3, dropout=2), "dropout"),
        (lambda: nn.LSTM(-1), "units"),
        (lambda: nn.GRU(3, activation="tan"), "tanh"),
        (lambda: nn.Reshape((-1, -1)), "target_shape"),
        (lambda: nn.Sequential([nn.Dense]), "layers"),
        (lambda: nn.initializers.VarianceScaling(mode="fan"), "mode"),
        (lambda: kf.Model("net"), "net"),
    ],
)
def test_bad_hyperparameters(make, argument):
    with pytest.raises(errors.ArgumentError, match=argument):
        make()


def test_graphs_that_make_no_sense():
    a, b = nn.Input((3,)), nn.Input((3,))
    with pytest.raises(errors.LayerError, match="inputs"):
        nn.Graph(a, nn.Dense(2)(b))
    with pytest.raises(errors.LayerError, match="not among the inputs"):
        nn.Graph(nn.Dense(2)(a), nn.Dense(2)(a))  # the input is another node of `a`
    net = nn.Graph({"a": a, "b": b}, [nn.Dense(2)(a), nn.Dense(2)(b)])
    params, _ = net.init(0, {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 3), np.float32)})
    with pytest.raises(errors.ArgumentError, match="inputs"):
        net.apply(params, {"a": np.ones((2, 3), np.float32)})


@pytest.mark.parametrize("cls", [getattr(errors, name) for name in errors.__all__])
def test_all_errors_are_one_family(cls):
    error = cls("Problem.", path="a/b", argument="x", expected="this", got="that", fix="do")
    assert isinstance(error, errors.KfuncError)
    for line in ("Problem.", "layer: a/b", "argument: x", "expected: this", "got: that", "fix: do"):
        assert line in str(error)


def test_errors_in_a_subprocess_read_well():
    code = "import kfunc as kf, numpy as np; kf.nn.Dense(3).apply({}, np.ones((2, 4)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.stderr.rstrip().splitlines()[-1].startswith("  fix: ")
