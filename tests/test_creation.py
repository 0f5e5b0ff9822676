"""What `tests/keras_rows` cannot ask Keras: where new arrays lie, what ops add to Keras, and their errors."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from backends import BACKENDS, COMPILING, EAGER

import kfunc as kf
from kfunc import ops
from kfunc.backends.numpy.constant import Constant
from kfunc.errors import ArgumentError, ShapeError

CREATE = {
    "zeros": lambda **k: ops.zeros((2, 3), **k),
    "ones": lambda **k: ops.ones(3, dtype="int32", **k),
    "empty": lambda **k: ops.empty((2, 3), **k),
    "full": lambda **k: ops.full((2, 3), 1.5, **k),
    "eye": lambda **k: ops.eye(3, 4, k=1, **k),
    "identity": lambda **k: ops.identity(3, **k),
    "tri": lambda **k: ops.tri(3, 4, **k),
    "arange": lambda **k: ops.arange(1, 7, 2, **k),
    "linspace": lambda **k: ops.linspace(0, 1, 5, **k),
    "logspace": lambda **k: ops.logspace(0, 2, 3, **k),
    "geomspace": lambda **k: ops.geomspace(1, 4, 3, **k),
    "array": lambda **k: ops.array([[1, 2.5], [3, 4]], **k),
    "convert_to_tensor": lambda **k: ops.convert_to_tensor([1, 2], **k),
}
made = pytest.mark.parametrize("op", CREATE)


def backend_name(x):
    return kf.backends.kind_of(type(x)).backend.name


def same(op, got, want):
    got = kf.to_numpy(got)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if op != "empty":
        np.testing.assert_allclose(got, want, rtol=8 * np.finfo(np.float32).eps)


@made
@pytest.mark.parametrize("name", BACKENDS)
def test_backend_by_name(name, op):
    out = CREATE[op](backend=name)
    assert backend_name(out) == name
    same(op, out, CREATE[op]())


@made
@pytest.mark.parametrize("name", EAGER)
def test_backend_by_an_array(name, op):
    out = CREATE[op](like=kf.asarray(np.zeros(2, np.float32), backend=name))
    assert backend_name(out) == name
    assert type(out) is type(kf.asarray(np.zeros(2, np.float32), backend=name))
    same(op, out, CREATE[op]())


@pytest.mark.parametrize("name", COMPILING)
def test_compiled_functions_create(name):
    def fun(x):
        # One function, since compiling takes its time; "empty" has no value to compare.
        outs = [CREATE[op](like=x) for op in CREATE if op != "empty"]
        return [ops.sum(ops.cast(out, "float32")) + ops.sum(x) for out in outs]

    if name == "torch":
        # As one graph, which PyTorch runs itself: Inductor warns about its own lowering of `eye`.
        compiled = importlib.import_module("torch").compile(fun, fullgraph=True, backend="eager")
    else:
        compiled = kf.jit(fun, compile=True)
    out = compiled(kf.asarray(np.zeros(2, np.float32), backend=name))
    want = [np.sum(CREATE[op](), dtype=np.float64) for op in CREATE if op != "empty"]
    np.testing.assert_allclose([float(kf.to_numpy(x)) for x in out], want, rtol=16 * np.finfo(np.float32).eps)


def test_numpy_is_the_default():
    # A subclass, which PyTorch's operators take; see test_constants.
    assert all(type(make()) is Constant and isinstance(make(), np.ndarray) for make in CREATE.values())
    assert all(type(make(backend="numpy")) is np.ndarray for make in CREATE.values())


@pytest.mark.parametrize("name", EAGER)
def test_arrays_stay_or_move(name):
    x = kf.asarray(np.float32([1, 2]), backend=name)
    assert backend_name(ops.array(x)) == backend_name(ops.convert_to_tensor(x, "int32")) == name
    assert type(ops.array(x, backend="numpy")) is np.ndarray
    assert backend_name(ops.array(np.float32([1]), backend=name)) == name
    assert backend_name(ops.array([x, [3, 4]])) == name
    assert type(ops.convert_to_numpy(x)) is np.ndarray
    assert ops.is_tensor(x)


@pytest.mark.parametrize("name", EAGER)
def test_ranges_of_arrays(name):
    two, nine = (kf.asarray(np.asarray(n, np.int32), backend=name) for n in (2, 9))
    out = ops.arange(two, nine, 3)
    assert backend_name(out) == name
    np.testing.assert_array_equal(kf.to_numpy(out), [2, 5, 8])


# -- more than Keras -------------------------------------------------------------------------------------------------

X = np.arange(12, dtype=np.float32).reshape(3, 4)
IMAGES = np.arange(48, dtype=np.float32).reshape(2, 2, 4, 3)
BEYOND = [
    (lambda x: ops.repeat(x, [1, 0, 2], axis=0), X, np.repeat(X, [1, 0, 2], axis=0)),
    (lambda x: ops.repeat(x, [2], axis=1), X, np.repeat(X, 2, axis=1)),
    (lambda x: ops.split(x, [1, 7], axis=1)[1], X, X[:, 1:]),
    (lambda x: ops.array_split(x, [1, 2])[1], X, X[1:2]),
    (lambda x: ops.meshgrid(x, 2.5)[0], X[0], X[:1]),
    (lambda x: ops.reshape(x, (None, 6)), X, X.reshape(2, 6)),
    (lambda x: ops.concatenate(x), X, X.ravel()),
    (lambda x: ops.rearrange(x, "... c -> c ..."), IMAGES, np.moveaxis(IMAGES, -1, 0)),
    (lambda x: ops.rearrange(x, "b ... c -> b (...) c"), IMAGES, IMAGES.reshape(2, 8, 3)),
    (lambda x: ops.rearrange(x, "a b -> a 1 b"), X, X[:, None]),
    (lambda x: ops.rearrange(x, "a 1 b -> (a b)"), X[:, None], X.ravel()),
    (lambda x: ops.rearrange(x, "(a b) -> b a", a=3), X.ravel(), X.T),
    (lambda x: ops.rearrange(x, "-> ()"), np.float32(3), np.float32([3])),
    (lambda x: ops.einsum("...ij->...", x), IMAGES, IMAGES.sum((2, 3))),
    (lambda x: ops.einsum("aab,b->ab", x[:, :2, :3], x[0, 0, :3]), IMAGES.reshape(2, 4, 6)[:, :2], None),
    (lambda x: ops.saturate_cast(x, "int32"), np.float32([3e9, -3e9, np.nan]), np.int32([2**31 - 1, -(2**31), 0])),
    (lambda x: ops.cast(x, "float32"), np.complex64([1 + 2j]), np.float32([1])),
]


@pytest.mark.parametrize("i", range(len(BEYOND)))
@pytest.mark.parametrize("name", EAGER)
def test_beyond_keras(name, i):
    call, x, want = BEYOND[i]
    if want is None:
        want = np.einsum("aab,b->ab", x[:, :2, :3], x[0, 0, :3])
    got = kf.to_numpy(call(kf.asarray(x, backend=name)))
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("window", ["hann", "hamming", None])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("name", EAGER)
def test_istft_undoes_stft(name, window, center):
    """Where windows overlap; a Hann window is 0 at the first element, which nothing else covers without `center`.

    Without a window the result is a sum of the overlapping sequences, here four, as in Keras.
    """
    x = np.random.default_rng(1).normal(size=(2, 64)).astype(np.float32)
    spectra = ops.stft(kf.asarray(x, backend=name), 16, 4, 16, window=window, center=center)
    out = kf.to_numpy(ops.istft(spectra, 16, 4, 16, window=window, center=center))
    inside = slice(8, 56)
    # The sum of the windows' squares is 1/2 at least there.
    atol = 8 * np.finfo(np.float32).eps * np.sqrt(64) * 2 * np.abs(x).max()
    wanted, atol = (x, atol) if window else (4 * x, 4 * atol)
    np.testing.assert_allclose(out[:, inside], wanted[:, inside], rtol=0, atol=atol)


# -- errors ----------------------------------------------------------------------------------------------------------

BAD = [
    (lambda x: ops.reshape(x, (5, -1)), ShapeError, "reshape"),
    (lambda x: ops.squeeze(x, 0), (ShapeError, ArgumentError), "squeeze"),
    (lambda x: ops.expand_dims(x, 5), ShapeError, "axis"),
    (lambda x: ops.transpose(x, (0, 0)), ShapeError, "twice"),
    (lambda x: ops.transpose(x, (0,)), ArgumentError, "axes"),
    (lambda x: ops.swapaxes(x, 0, 2), ShapeError, "axis2"),
    (lambda x: ops.concatenate([x, x[:, :2]]), ShapeError, "concatenate"),
    (lambda x: ops.concatenate([]), ArgumentError, "nothing"),
    (lambda x: ops.stack([x, x[:2, :]]), ShapeError, "stack"),
    (lambda x: ops.split(x, 2), ShapeError, "equal parts"),
    (lambda x: ops.unstack(x, 7), ShapeError, "num"),
    (lambda x: ops.pad(x, ((1, 1),) * 3), ArgumentError, "pair"),
    (lambda x: ops.pad(x, -1), ArgumentError, "negative"),
    (lambda x: ops.pad(x, 1, mode="mirror"), ArgumentError, "'mirror'"),
    (lambda x: ops.pad(x, 1, mode="edge", constant_values=1), ArgumentError, "constant_values"),
    (lambda x: ops.pad(x, 3, mode="reflect"), ShapeError, "pad_width.*axis 0"),
    (lambda x: ops.repeat(x, [1, 2]), ArgumentError, "repeats"),
    (lambda x: ops.diag(x[None, ...]), ShapeError, "vector"),
    (lambda x: ops.view(x[:, :3], "float64"), ShapeError, "multiple"),
    (lambda x: ops.meshgrid(x[0, :], indexing="xx"), ArgumentError, "'xx'"),
    (lambda x: ops.cast(x, "float33"), ArgumentError, "float33"),
    (lambda x: ops.zeros(3, like=x, backend="numpy"), ArgumentError, "both"),
    (lambda x: ops.einsum("ij,jk->ik", x, x), ShapeError, "'j'"),
    (lambda x: ops.einsum("ij,jk->ik", x), ArgumentError, "2 terms|1 terms|number of arrays"),
    (lambda x: ops.einsum("ijk->ik", x), ArgumentError, "'ijk'"),
    (lambda x: ops.einsum("ij->k", x), ArgumentError, "no array has"),
    (lambda x: ops.rearrange(x, "a b"), ArgumentError, "pattern"),
    (lambda x: ops.rearrange(x, "a b -> a c"), ArgumentError, "same names"),
    (lambda x: ops.rearrange(x, "(a b) c -> a b c"), ArgumentError, "sizes of a and b"),
    (lambda x: ops.rearrange(x, "(a b) c -> a b c", a=2), ShapeError, "multiple of 2"),
    (lambda x: ops.inv(x), ShapeError, "n, n"),
    (lambda x: ops.det(x[0, :]), ShapeError, "n, n"),
    (lambda x: ops.solve(x[:, :3], x[:2, 0]), ShapeError, "solve"),
    (lambda x: ops.qr(x, mode="full"), ArgumentError, "'full'"),
    (lambda x: ops.norm(x, ord="one"), ArgumentError, "'one'"),
    (lambda x: ops.norm(x[None, ...], ord=2), ArgumentError, "axes"),
    (lambda x: ops.fft(x), ArgumentError, "real, imaginary"),
    (lambda x: ops.fft((x, x[0, :])), ShapeError, "imaginary"),
    (lambda x: ops.stft(x, 8, 2, 4), ArgumentError, "fft_length"),
    (lambda x: ops.stft(x, 2, 2, 4, window="kaiser"), ArgumentError, "'kaiser'"),
    (lambda x: ops.extract_sequences(x, 5, 1), ShapeError, "length 4.*piece.*5"),
]


@pytest.mark.parametrize("i", range(len(BAD)))
@pytest.mark.parametrize("name", EAGER)
def test_errors(name, i):
    call, error, match = BAD[i]
    with pytest.raises(error, match=match) as caught:
        call(kf.asarray(X, backend=name))
    assert caught.value.op


SIZES = {
    "zeros": lambda: ops.zeros((None, 3)),
    "ones": lambda: ops.ones([None, 3]),
    "empty": lambda: ops.empty((None, 3)),
    "full": lambda: ops.full((None, 3), 2.0),
    "reshape": lambda: ops.reshape(kf.Spec((None, 6)), (None, -1, 3))[:, 0],
}


@pytest.mark.parametrize("row", SIZES)
def test_a_size_that_is_not_known(row):
    """Layers make such arrays of `ops.shape(x)[0]` while shapes are found."""
    out = SIZES[row]()
    assert isinstance(out, kf.Spec) and out.shape == (None, 3) and out.dtype == "float32"
