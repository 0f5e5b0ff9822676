"""Initializers that draw, by their moments and bounds; and bad arguments of initializers, regularizers, constraints."""

from __future__ import annotations

import copy
import json
import math
import sys

import numpy as np
import pytest
from backends import BACKENDS, params

import kfunc as kf
from kfunc import nn, registry
from kfunc.errors import ArgumentError, MissingPackageError, ShapeError
from kfunc.nn import constraints, initializers, regularizers

SHAPE = (5, 40, 60)  # a window of 5, 40 inputs and 60 outputs
N = math.prod(SHAPE)
CUT = 0.87962566103423978  # standard deviation of the normal distribution, cut off at two

# Initializer, standard deviation, largest size of a number less the mean, kurtosis; mean.
NORMAL, CUT_NORMAL, UNIFORM = 3.0, 2.3655, 9 / 5
SCALED = [
    ("VarianceScaling", {}, 200, "cut"),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "normal"}, 100, "cut"),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "untruncated_normal"}, 250, "normal"),
    ("VarianceScaling", {"distribution": "uniform"}, 200, "uniform"),
    ("VarianceScaling", {"input_axes": (0,), "output_axes": (2,)}, 5, "cut"),
    ("VarianceScaling", {"mode": "fan_out", "input_axes": [0], "output_axes": [1, -1]}, 2400, "cut"),
    ("GlorotUniform", {}, 250, "uniform"),
    ("GlorotNormal", {"input_axes": (0,), "output_axes": (1,)}, 22.5, "cut"),
    ("LecunUniform", {}, 200, "uniform"),
    ("LecunNormal", {"seed": 3}, 200, "cut"),
    ("HeUniform", {}, 100, "uniform"),
    ("HeNormal", {}, 100, "cut"),
]
LARGEST = {"cut": 2 / CUT, "normal": math.inf, "uniform": math.sqrt(3)}
"""In standard deviations."""

KURTOSIS = {"cut": CUT_NORMAL, "normal": NORMAL, "uniform": UNIFORM}
DRAWN = [
    *((name, options, 0.0, 1 / math.sqrt(fan), kind) for name, options, fan, kind in SCALED),
    ("RandomNormal", {}, 0.0, 0.05, "normal"),
    ("RandomNormal", {"mean": -2.0, "stddev": 0.5, "seed": 1}, -2.0, 0.5, "normal"),
    ("TruncatedNormal", {}, 0.0, 0.05 * CUT, "cut"),
    ("TruncatedNormal", {"mean": 3.0, "stddev": 0.5}, 3.0, 0.5 * CUT, "cut"),
    ("RandomUniform", {}, 0.0, 0.1 / math.sqrt(12), "uniform"),
    ("RandomUniform", {"minval": 1.0, "maxval": 4.0}, 2.5, 3 / math.sqrt(12), "uniform"),
]
RANDOM = ["Orthogonal", *sorted({name for name, *_ in DRAWN})]
"""All that draw; the others have rows in the catalogue."""


def make(name, options):
    return getattr(initializers, name)(**options)


@pytest.mark.parametrize(("name", "options", "mean", "stddev", "kind"), DRAWN)
def test_moments_and_bounds(name, options, mean, stddev, kind):
    x = np.asarray(make(name, options)(kf.random.key(7), SHAPE), np.float64) - mean
    assert x.shape == SHAPE
    # Five standard errors of the mean and of the variance.
    assert abs(x.mean()) < 5 * stddev / math.sqrt(N)
    assert abs((x * x).mean() / stddev**2 - 1) < 5 * math.sqrt((KURTOSIS[kind] - 1) / N)
    # Bounds hold, and are come near to: of the numbers, 1 in 1000 lie within a hundredth of them.
    largest = LARGEST[kind] * stddev
    assert abs(x).max() <= largest * (1 + 1e-6)
    if kind != "normal":
        assert abs(x).max() > 0.99 * largest
    # Kurtosis tells the distributions from each other; its standard error is below 4 / sqrt(N).
    assert abs((x**4).mean() / (x * x).mean() ** 2 - KURTOSIS[kind]) < 20 / math.sqrt(N)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "kind"), sorted({name: kind for name, *_, kind in DRAWN}.items()))
def test_the_bits_are_the_same_everywhere(name, kind, backend):
    draw = make(name, {"seed": 2})
    wanted = draw(kf.random.key(5), (3, 4))
    got = kf.to_numpy(draw(kf.random.key(5, backend=backend), (3, 4)))
    # Uniform numbers have the same bits. Normal ones are the same to a unit in the last place, as a logarithm and a
    # root round; of those cut off, the quantile's argument rounds too, which a slope of up to 10 makes larger.
    ulp = 2**-23
    rtol, atol = {"uniform": (0, 0), "normal": (4 * ulp, 0), "cut": (4 * ulp, 10 * ulp)}[kind]
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol * np.abs(wanted).max())


@pytest.mark.parametrize("backend", params(("jax", "tensorflow", "openvino")))
def test_first_weights_are_drawn_without_a_compiler(backend):
    """A key of a backend that would compile a program for each shape gives what the seed gives: NumPy draws both."""
    asked = []

    def noted(key, shape, dtype):
        asked.append(isinstance(key, np.ndarray))
        return initializers.GlorotNormal()(key, shape, dtype)

    net = nn.Sequential([nn.Dense(4, kernel_initializer=noted), nn.Dense(3, kernel_initializer="he_normal")])
    x = kf.Spec((None, 5))
    found, _ = net.init(kf.random.key(3, backend=backend), x)
    assert asked == [True]
    wanted, _ = net.init(3, x)
    for a, b in zip(kf.tree.leaves(found), kf.tree.leaves(wanted), strict=True):
        assert kf.backends.get(backend).kind(type(a))
        np.testing.assert_array_equal(kf.to_numpy(a), b)
    if backend != "openvino":  # a program that draws still does so itself, with the rounding of that backend
        made = kf.jit(lambda key: net.init(key, x)[0])(kf.random.key(3, backend=backend))
        assert asked == [True, True, False]
        for a, b in zip(kf.tree.leaves(made), kf.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(kf.to_numpy(a), b, rtol=4 * 2**-23, atol=10 * 2**-23 * np.abs(b).max(initial=0))


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name):
    key, other = kf.random.key(5), kf.random.key(6)
    plain, seeded, again, two = (make(name, o)(key, (2, 3)) for o in ({}, {"seed": 1}, {"seed": 1}, {"seed": 2}))
    np.testing.assert_array_equal(seeded, again)
    for x in (plain, two, make(name, {"seed": 1})(other, (2, 3))):
        assert not np.array_equal(seeded, x)
    np.testing.assert_array_equal(make(name, {"seed": 1 + 2**32})(key, (2, 3)), seeded)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 3, 4)])
def test_orthogonal(shape):
    x = np.asarray(initializers.Orthogonal(gain=2.0)(kf.random.key(1), shape), np.float64)
    assert x.shape == shape
    x = x.reshape(-1, shape[-1]) / 2
    product = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    np.testing.assert_allclose(product, np.eye(min(x.shape)), atol=16 * np.finfo(np.float32).eps)


def test_dtypes():
    drawn = ("RandomNormal", "RandomUniform", "TruncatedNormal", "GlorotNormal", "Orthogonal")
    for name in ("Constant", "Identity", *drawn):
        for dtype in ("float16", "float64"):
            assert make(name, {})(kf.random.key(0), (4, 4), dtype).dtype == dtype


# Keras's names, and what they stand for.
@pytest.mark.parametrize(
    ("theme", "name", "wanted"),
    [
        ("initializer", "he_normal", initializers.HeNormal()),
        ("initializer", "HeNormal", initializers.HeNormal()),
        ("initializer", "zero", initializers.Zeros()),
        ("initializer", "one", initializers.Ones()),
        ("initializer", "normal", initializers.RandomNormal()),
        ("initializer", "uniform", initializers.RandomUniform()),
        ("initializer", "identity", initializers.Identity()),
        ("initializer", "STFTInitializer", initializers.STFT()),
        ("initializer", initializers.glorot_uniform, initializers.GlorotUniform()),
        ("initializer", initializers.zeros, initializers.Zeros()),
        ("initializer", initializers.variance_scaling(2.0, seed=1), initializers.VarianceScaling(2.0, seed=1)),
        ("initializer", initializers.Constant([[1, 2], [3, 4.5]]), initializers.Constant(((1, 2), (3, 4.5)))),
        ("initializer", initializers.Constant(np.float32([1, 2])), initializers.Constant((1.0, 2.0))),
        ("initializer", initializers.STFT(window=[1, 2.0]), initializers.STFT(window=(1.0, 2.0))),
        ("initializer", initializers.HeNormal(input_axes=[0], output_axes=1), initializers.HeNormal(None, (0,), (1,))),
        ("regularizer", "l2", regularizers.L2()),
        ("regularizer", "L1L2", regularizers.L1L2()),
        ("regularizer", "orthogonal_regularizer", regularizers.OrthogonalRegularizer()),
        ("regularizer", regularizers.l1_l2(0.1), regularizers.L1L2(0.1)),
        ("constraint", "max_norm", constraints.MaxNorm()),
        ("constraint", "NonNeg", constraints.NonNeg()),
        ("constraint", constraints.unit_norm(axis=[0, 1]), constraints.UnitNorm((0, 1))),
    ],
)
def test_get(theme, name, wanted):
    get = getattr(nn, f"{theme}s").get
    found = get(name)
    assert found == wanted
    assert get(json.loads(json.dumps(registry.to_config(theme, found)))) == wanted
    assert get(None) is None


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: initializers.Constant("1"), "value"),
        (lambda: initializers.Constant([[1, 2], [3]]), "value"),
        (lambda: initializers.Constant(np.array(["a"])), "value"),
        (lambda: initializers.Constant(None)(kf.random.key(0), (2,)), "value"),
        (lambda: initializers.STFT(window="kaiser"), "window"),  # it has a parameter
        (lambda: initializers.Identity(math.nan), "gain"),
        (lambda: initializers.Orthogonal(gain=None), "gain"),
        (lambda: initializers.Orthogonal(seed=1.5), "seed"),
        (lambda: initializers.STFT("left"), "side"),
        (lambda: initializers.STFT(window="hanging"), "window"),
        (lambda: initializers.STFT(scaling="power"), "scaling"),
        (lambda: initializers.STFT(periodic=1), "periodic"),
        (lambda: initializers.RandomUniform(1.0, -1.0), "maxval"),
        (lambda: initializers.RandomUniform(minval=None), "minval"),
        (lambda: initializers.RandomNormal(mean="0"), "mean"),
        (lambda: initializers.RandomNormal(stddev=-1.0), "stddev"),
        (lambda: initializers.TruncatedNormal(stddev=True), "stddev"),
        (lambda: initializers.TruncatedNormal(seed="1"), "seed"),
        (lambda: initializers.VarianceScaling(0.0), "scale"),
        (lambda: initializers.VarianceScaling(mode="fan"), "mode"),
        (lambda: initializers.VarianceScaling(distribution="gaussian"), "distribution"),
        (lambda: initializers.VarianceScaling(input_axes=(0,)), "output_axes"),
        (lambda: initializers.GlorotNormal(output_axes=(0.5,)), "output_axes"),
        (lambda: initializers.HeNormal(seed=True), "seed"),
        (lambda: initializers.get("he"), "initializer"),
        (lambda: regularizers.L1(-0.1), "l1"),
        (lambda: regularizers.L2(math.inf), "l2"),
        (lambda: regularizers.L1L2(l2="0.1"), "l2"),
        (lambda: regularizers.OrthogonalRegularizer(True), "factor"),
        (lambda: regularizers.OrthogonalRegularizer(mode="row"), "mode"),
        (lambda: constraints.MaxNorm(-1.0), "max_value"),
        (lambda: constraints.MaxNorm(axis=0.5), "axis"),
        (lambda: constraints.MinMaxNorm(-1.0), "min_value"),
        (lambda: constraints.MinMaxNorm(2.0, 1.0), "max_value"),
        (lambda: constraints.MinMaxNorm(rate=1.5), "rate"),
        (lambda: constraints.UnitNorm([0, None]), "axis"),
    ],
)
def test_bad_arguments(make, argument):
    with pytest.raises(ArgumentError) as error:
        make()
    assert error.value.argument == argument and error.value.expected


@pytest.mark.parametrize(
    "make",
    [
        lambda key: initializers.Identity()(key, (3,)),
        lambda key: initializers.STFT()(key, (4, 3)),
        lambda key: initializers.STFT()(key, (4, 2, 3)),
        lambda key: initializers.STFT()(key, (4, 1, 1)),
        lambda key: initializers.STFT(window=(1, 2))(key, (3, 1, 3)),
        lambda key: initializers.GlorotNormal(None, (0,), (2,))(key, (3, 4)),
        lambda key: regularizers.OrthogonalRegularizer()(np.ones((2, 2, 2), np.float32)),
    ],
)
def test_bad_shapes(make):
    with pytest.raises(ShapeError):
        make(kf.random.key(0))


def test_constrain_changes_what_has_a_constraint():
    net = nn.Dense(2, kernel_constraint="non_neg", kernel_initializer=initializers.Constant(-1.0))
    x = np.ones((1, 3), np.float32)
    params, _ = net.init(0, x)
    new = constraints.constrain(params, net.constraints(x))
    np.testing.assert_array_equal(new["kernel"], np.zeros((3, 2)))
    assert new["bias"] is params["bias"]
    assert constraints.constrain(params, {}) is params


@pytest.mark.parametrize("size", [(3, 4), (300, 4)], ids=["small", "large"])
@pytest.mark.parametrize("given", ["numpy", "same", "lists"])
def test_constant_of_an_array(backend, given, size):
    """A pretrained table, of any backend, on any other; and the file of the model that has it."""
    table = np.random.default_rng(0).normal(size=size).astype(np.float32)
    value = table.tolist() if given == "lists" else kf.asarray(table, backend=backend if given == "same" else given)
    constant = initializers.Constant(value)
    assert constant == constant and repr(constant).startswith("Constant(value=")
    net = nn.Embedding(*size, embeddings_initializer=constant)
    params, _ = net.init(0, kf.Spec((None, 2), "int32"), backend=backend)
    np.testing.assert_array_equal(kf.to_numpy(params["embeddings"]), table)
    config = json.dumps(registry.to_config("initializer", constant))
    assert len(config) < 30 * initializers.IN_CONFIG
    again = copy.deepcopy(constant)(kf.random.key(0), size)
    np.testing.assert_array_equal(kf.to_numpy(again), table)


def test_a_saved_model_with_a_large_constant(tmp_path):
    table = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    net = nn.Sequential([nn.Embedding(300, 4, embeddings_initializer=initializers.Constant(table)), nn.Flatten()])
    model = kf.Model(net)
    x = np.int32([[1, 299]])
    wanted = model.predict(x, verbose=0)
    model.save(tmp_path / "model.kf")
    loaded = kf.Model.load(tmp_path / "model.kf")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), wanted)
    with pytest.raises(ArgumentError, match="The values of Constant are not known"):
        loaded.net.init(0, x)


@pytest.mark.parametrize(("value", "shape"), [([1.0, 2, 3], (2, 3)), ([[1.0], [2]], (2, 3))])
def test_constant_broadcasts(value, shape):
    made = initializers.Constant(value)(kf.random.key(0), shape)
    np.testing.assert_array_equal(made, np.broadcast_to(np.float32(value), shape))


@pytest.mark.parametrize("value", [[0.1, 1 / 3], np.float64([0.1, 1 / 3])], ids=["list", "array"])
def test_constant_keeps_float64(value):
    """Also through a config, where the numbers are lists of Python's floats."""
    constant = initializers.Constant(value)
    again = registry.from_config("initializer", json.loads(json.dumps(registry.to_config("initializer", constant))))
    assert again == constant
    np.testing.assert_array_equal(again(kf.random.key(0), (2,), "float64"), np.float64(value))


@pytest.mark.parametrize("shape", [(2,), (3, 3), (4,), (3, 2)])
def test_constant_of_another_shape(shape):
    with pytest.raises(ShapeError) as caught:
        initializers.Constant([[1.0, 2, 3], [1, 2, 3]])(kf.random.key(0), shape)
    assert caught.value.argument == "value"


@pytest.mark.parametrize("name", ["tukey", "cosine", "parzen", "triang", "barthann", "bohman", "lanczos"])
@pytest.mark.parametrize("periodic", [False, True])
def test_windows_of_scipy(name, periodic):
    scipy = pytest.importorskip("scipy.signal")
    kernel = initializers.STFT(window=name, scaling=None, periodic=periodic)(kf.random.key(0), (8, 1, 5))
    np.testing.assert_allclose(kernel[:, 0, 0], scipy.get_window(name, 8, periodic), rtol=1e-6)


def test_a_window_that_needs_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    with pytest.raises(MissingPackageError, match=r"kfunc\[scipy\]"):
        initializers.STFT(window="tukey")
    initializers.STFT(window="hann")


@pytest.mark.parametrize(
    ("constraint", "norm"),
    [
        (constraints.MaxNorm(4e-7), 4e-7),
        (constraints.UnitNorm(), 1),
        (constraints.MinMaxNorm(0.5, 1.0, rate=0.5), (0.5 + 5e-7) / 2),
    ],
    ids=lambda x: type(x).__name__,
)
def test_tiny_weights_are_divided_by_a_little_more_than_their_norm(constraint, norm):
    x = np.asarray([[3e-7, 0], [4e-7, 0]])  # of norms 5e-7 and 0
    np.testing.assert_allclose(constraint(x), x * norm / (5e-7 + 1e-7), rtol=1e-12)


def test_a_seed_gives_the_same_numbers_in_all_versions():
    """Weights and draws kept from version 0.1: a seed would stand for another training if they changed."""
    params, _ = nn.Sequential([nn.Dense(2)]).init(0, np.zeros((1, 3), np.float32))
    kernel = [[-0.63698786, -1.0334452], [-1.0940361, -0.2079526], [-1.086824, 0.2981876]]
    np.testing.assert_array_equal(params["dense"]["kernel"], np.float32(kernel))
    net = nn.Sequential([nn.Dropout(0.5), nn.Dropout(0.25)])
    out, _ = net.apply({}, np.ones((2, 6), np.float32), key=3, train=True)
    np.testing.assert_array_equal(out > 0, [[0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0]])
