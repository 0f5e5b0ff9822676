"""`nn.activations` has what `keras.activations` has, with its arguments, and takes any framework's arrays."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from backends import BACKENDS, EAGER, TRAINING
from catalogue import activations as rows

import kfunc as kf
from kfunc.nn import activations

keras = pytest.importorskip("keras")

NAMES = [n for n in dir(keras.activations) if n not in ("serialize", "deserialize", "get") and not n.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
def test_names_and_arguments(name):
    theirs = inspect.signature(getattr(keras.activations, name)).parameters.values()
    ours = inspect.signature(getattr(activations, name)).parameters.values()
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]
    assert activations.get(name) is getattr(activations, name)
    assert f"activations.{name}" in {row.new.name for row in rows.ROWS}


@pytest.mark.parametrize("name", EAGER)
def test_native_arrays_go_in_and_come_out(name):
    x = kf.asarray(np.linspace(-2, 2, 8, dtype=np.float32), backend=name)
    for fun in (activations.relu, activations.gelu, activations.mish, activations.linear, activations.exponential):
        assert type(fun(x)) is type(x)


@pytest.mark.parametrize("name", EAGER)
def test_numbers_above_a_half_are_a_mask(name):
    x, mask = (kf.asarray(np.float32(x), backend=name) for x in ([[1, 2, 3, 4]], [[0.49, 0.5, 0.51, 1]]))
    out = kf.to_numpy(kf.nn.Softmax().apply({}, x, mask=mask)[0])
    second = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(out, [[0, 0, 1 - second, second]], rtol=8 * np.finfo(np.float32).eps)


INF = math.inf
EPS = float(np.finfo(np.float32).eps)
LIMITS = {
    **{name: (-1, INF) for name in ("celu", "elu")},
    **{
        name: (0, INF)
        for name in ("exponential", "gelu", "gelu_new", "hard_silu", "mish", "quick_gelu", "relu", "silu", "softplus")
    },
    **{name: (-INF, INF) for name in ("hard_shrink", "leaky_relu", "linear", "soft_shrink", "tanh_shrink")},
    **{name: (0, 1) for name in ("hard_sigmoid", "sigmoid", "sparse_sigmoid")},
    **{name: (-1, 1) for name in ("hard_tanh", "softsign", "tanh")},
    "log_sigmoid": (-INF, 0),
    "relu6": (0, 6),
    "selu": (-1.0507009873554805 * 1.6732632423543772, INF),
    "sparse_plus": (0, INF),
    "squareplus": (0, INF),
}
QUOTIENTS = ("gelu", "gelu_new", "hard_silu", "mish", "quick_gelu", "silu", "softsign")
"""Those that the kernels of all libraries make NaN at infinities, such as 0 times infinity."""


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, for infinities
@pytest.mark.parametrize("fun", LIMITS)
@pytest.mark.parametrize("name", TRAINING)
def test_limits(name, fun):
    activation, ends = getattr(activations, fun), np.float32([-INF, INF])
    out = kf.to_numpy(activation(kf.asarray(ends, backend=name)))
    right = np.isclose(out, LIMITS[fun], rtol=4 * np.finfo(np.float32).eps)
    assert np.all(right | np.isnan(out) if fun in QUOTIENTS else right)
    far = kf.asarray(np.float32([-1e18, 1e18]), backend=name)
    slopes = kf.grad(lambda x: kf.ops.sum(activation(x)))(far)
    for x in (activation(far), slopes):
        assert not np.isnan(kf.to_numpy(x)).any()


@pytest.mark.parametrize("fun", ["gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "silu"])
@pytest.mark.parametrize("name", BACKENDS)
def test_names_mean_what_transformers_means(name, fun):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.activations").ACT2FN[fun]
    x = np.linspace(-9, 9, 101)
    got = kf.to_numpy(kf.nn.Activation(fun).apply({}, kf.to_backend(x.astype(np.float32), name))[0])
    # The functions have slopes up to 1.2, and a few roundings; below -5 they are the tails of sums that cancel.
    np.testing.assert_allclose(got, theirs(torch.tensor(x)).numpy(), rtol=16 * EPS, atol=8 * EPS)


def test_the_two_kinds_of_gelu():
    """The default of the op is the approximation, as in keras.ops, and that of the activation is not."""
    x = np.linspace(-5, 5, 1001, dtype=np.float32)
    exact, near = activations.gelu(x), kf.ops.gelu(x)
    np.testing.assert_array_equal(near, activations.gelu_new(x))
    np.testing.assert_array_equal(exact, kf.ops.gelu(x, approximate=False))
    assert 4e-4 < np.abs(exact - near).max() < 5e-4
    for fun in (kf.ops.gelu, activations.gelu):
        assert "5e-4" in fun.__doc__


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get(kf.ops.tanh) is activations.tanh
    for wrong in ("tan", 3):
        with pytest.raises(kf.errors.ArgumentError):
            activations.get(wrong)


@pytest.mark.parametrize("fun", [kf.ops.relu, kf.ops.gelu, activations.relu, activations.gelu, activations.exponential])
def test_files_keep_the_op_and_the_function_apart(fun):
    assert kf.registry.from_config("activation", kf.registry.to_config("activation", fun)) is fun
