"""NumPy arrays beside those of another backend: constants that join them, and never make the result wider.

Each row is a function of `x`, float32 (2, 3), and of constants; the oracle is the same function on NumPy, where all are
NumPy's. What plain operators do with a constant is each framework's own business, where its own arrays reach layer
code; it is ours, and tested, where array classes of ours do: Spec, TensorFlow's, OpenVINO's, the tape's and the
recorder's.
"""

from __future__ import annotations

import numpy as np
import pytest
from backends import BACKENDS, EAGER, NAMES, TRAINING, missing

import kfunc as kf
from kfunc import nn, ops
from kfunc.arrays import dtype_name, native
from kfunc.backends.constants import weak_dtype
from kfunc.tracing.record import record_of

X = np.linspace(0.25, 1, 6, dtype=np.float32).reshape(2, 3)
F32, F64, I32, I64 = (np.arange(1, 4).astype(t) for t in ("float32", "float64", "int32", "int64"))
MASK = np.array([True, False, True])

OPS = {
    "float32": lambda x: ops.add(x, F32),
    "float64": lambda x: ops.multiply(x, F64),
    "float64 first": lambda x: ops.subtract(F64, x),
    "by name": lambda x: ops.divide(x1=F64, x2=x),
    "int64": lambda x: ops.multiply(x, I64),
    "arange": lambda x: ops.add(x, ops.arange(3)),
    "ones": lambda x: ops.multiply(ops.ones(3), x),
    "mask": lambda x: ops.where(MASK, x, F64),
    "indices": lambda x: ops.take(x, np.array([2, 0]), axis=1),
    "concatenate": lambda x: ops.concatenate([x, np.ones((2, 3))]),
    "deep list": lambda x: ops.stack([ops.sum(x), np.float64(2), F64[0]]),
    "einsum": lambda x: ops.einsum("ij,kj->ik", x, np.ones((2, 3))),
    "linear": lambda x: ops.linear(x, np.ones((3, 2)), np.ones(2)),
    "two constants": lambda x: ops.where(x, F64, F32),
    "scalar": lambda x: ops.multiply(x, np.float64(2)),
}
OPERATORS = {
    "x + float32": lambda x: x + F32,
    "float32 - x": lambda x: F32 - x,
    "x * float64": lambda x: x * F64,
    "float64 / x": lambda x: F64 / x,
    "x * scalar": lambda x: x * np.float64(2),
    "x @ float64": lambda x: x @ np.ones((3, 2)),
    "float64 @ x": lambda x: np.ones((2, 2)) @ x,
    "x < float64": lambda x: x < F64,
}
MIXED = {"x * int64": lambda x: x * I64, "int32 + x": lambda x: I32 + x, "x + arange": lambda x: x + ops.arange(3)}
"""Integers beside floats, which array-api-strict refuses whatever they are."""

OURS = ("tensorflow", "openvino")
"""Backends whose arrays are ours in layer code."""


def forward(fun):
    """`fun` as layer code sees it."""
    return native(lambda x: fun(x))


def total(fun):
    def loss(x):
        y = fun(x)
        return kf.namespace(y).sum(y)

    return forward(loss)


def check(fun, out):
    wanted = fun(X)
    # NumPy itself makes float64 of float32 and float64: there no array is a constant.
    dtype = "float32" if wanted.dtype == np.float64 and kf.backend_of(out).name != "numpy" else wanted.dtype.name
    assert dtype_name(out.dtype) == dtype
    np.testing.assert_allclose(kf.to_numpy(out), wanted, rtol=2e-6)


@pytest.mark.parametrize("row", OPS)
@pytest.mark.parametrize("name", BACKENDS)
def test_ops(name, row):
    x = kf.asarray(X, backend=name)
    check(OPS[row], OPS[row](x))  # native arrays
    check(OPS[row], forward(OPS[row])(x))  # conforming ones
    check(OPS[row], kf.jit(forward(OPS[row]))(x))


@pytest.mark.parametrize("row", OPS)
@pytest.mark.parametrize("name", TRAINING)
def test_gradients_of_ops(name, row):
    wanted = kf.grad(total(lambda x: OPS[row](x)))(X.astype(np.float64))
    x = kf.asarray(X, backend=name)
    for gradient in (kf.grad(total(OPS[row])), kf.jit(kf.grad(total(OPS[row])))):
        out = gradient(x)
        assert dtype_name(out.dtype) == "float32" and kf.backend_of(out).name == name
        np.testing.assert_allclose(kf.to_numpy(out), wanted, rtol=2e-6)


@pytest.mark.parametrize("row", OPS)
def test_shapes_of_ops(row):
    out = OPS[row](kf.Spec((2, 3)))
    assert (out.shape, out.dtype) == (OPS[row](X).shape, "float32")


@pytest.mark.parametrize("row", OPERATORS | MIXED)
def test_operators_of_specs(row):
    fun = (OPERATORS | MIXED)[row]
    out, wanted = fun(kf.Spec((2, 3))), fun(X)
    assert (out.shape, out.dtype) == (wanted.shape, "bool" if wanted.dtype == bool else "float32")


@pytest.mark.parametrize("row", OPERATORS | MIXED)
@pytest.mark.parametrize("name", [p for p in BACKENDS if p.values[0] in OURS])
def test_operators(name, row):
    fun = (OPERATORS | MIXED)[row]
    x = kf.asarray(X, backend=name)
    check(fun, forward(fun)(x))
    check(fun, kf.jit(forward(fun))(x))


@pytest.mark.parametrize("row", [row for row in OPERATORS if "<" not in row])
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] in ("numpy", "tensorflow", "array_api_strict")])
def test_gradients_of_operators(name, row):
    """Those of TensorFlow, and of the tape over arrays that take constants and over arrays that do not."""
    wanted = kf.grad(total(OPERATORS[row]))(X.astype(np.float64))
    x = kf.asarray(X, backend=name)
    for gradient in (kf.grad(total(OPERATORS[row])), kf.jit(kf.grad(total(OPERATORS[row])))):
        np.testing.assert_allclose(kf.to_numpy(gradient(x)), wanted, rtol=2e-6)


@nn.layer
class Positions(nn.Layer):
    operators: bool = False

    def forward(self, s, x):
        at, by = ops.arange(x.shape[-1]), np.linspace(0.0, 1.0, x.shape[-1])
        w = s.param("scale", (x.shape[-1],), nn.initializers.ones)
        if self.operators:
            return (x + at) * by * w
        return ops.where(MASK, ops.multiply(ops.add(x, at), by), x) * w


# With their own arrays in layer code, PyTorch's and array-api-strict's operators refuse NumPy's.
@pytest.mark.parametrize("operators", [False, True])
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] not in ("torch", "array_api_strict")])
def test_in_fit(name, operators):
    """Recorded, compiled or on a tape, the constants are the same ones, and so is what is learnt."""
    learnt = {}
    for backend in ("numpy", name):
        model = kf.Model(nn.Sequential([Positions(operators), nn.Dense(1)]))
        model.compile("sgd", "mse")
        model.fit(X, X[:, :1], epochs=3, batch_size=2, shuffle=False, verbose=0, backend=backend)
        learnt[backend] = kf.to_backend(model.train_state.params, "numpy")
        assert {kf.arrays.dtype_name(p.dtype) for p in kf.tree.leaves(model.train_state.params)} == {"float32"}
    for a, b in zip(*map(kf.tree.leaves, (learnt["numpy"], learnt[name])), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] in ("torch", "array_api_strict")])
def test_ops_in_fit(name):
    test_in_fit(name, False)


@pytest.mark.parametrize("row", OPERATORS | MIXED)
@pytest.mark.parametrize("name", [p for p in EAGER if p.values[0] in ("numpy", "torch")])
def test_operators_of_recorded_arrays(name, row):
    fun, recorder = (OPERATORS | MIXED)[row], record_of(kf.backends.get(name))
    out, wanted = fun(recorder.asarray(X)), fun(X)
    assert type(out) is recorder.cls
    assert dtype_name(out.dtype) == ("float32" if name == "torch" and wanted.dtype != bool else wanted.dtype.name)
    np.testing.assert_allclose(kf.to_numpy(out), wanted, rtol=2e-6)


def test_recordings_keep_only_what_stays():
    """A constant made from a shape or from a value is another one where these are others."""
    run = kf.jit(lambda x, n: ops.add(x, ops.arange(int(n), int(n) + x.shape[-1])))
    for size in (3, 2, 3, 3):
        for n in (1, 1, 4, 1):
            x = np.ones((2, size), np.float32)
            np.testing.assert_array_equal(run(x, np.asarray(n)), x + np.arange(n, n + size))


@pytest.mark.parametrize(
    ("own", "others", "wanted"),
    [
        ("float64", ("float32",), "float32"),
        ("float64", ("float64",), "float64"),
        ("float64", ("float32", "float64"), "float64"),
        ("float64", ("bfloat16",), "bfloat16"),
        ("float32", ("float16",), "float16"),
        ("float64", ("float16", "bfloat16"), "float32"),
        ("float16", ("float32",), "float16"),  # and then they promote
        ("float64", ("int32",), "float32"),
        ("float64", ("complex64",), "float32"),
        ("float64", ("complex128",), "float64"),
        ("complex128", ("float32",), "complex64"),
        ("complex128", ("float64",), "complex128"),
        ("int64", ("int32",), "int64"),
        ("int64", ("float32",), "int64"),
        ("bool", ("float32",), "bool"),
    ],
)
def test_what_weak_means(own, others, wanted):
    assert weak_dtype(own, others) == wanted


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] not in ("numpy", "array_api_strict")])
def test_half_precision_stays(name, dtype):
    x = kf.asarray(X, dtype, backend=name)
    for constant in (F32, F64, I64, ops.ones(3)):
        for out in (ops.add(x, constant), kf.jit(lambda x, c=constant: ops.add(x, c))(x)):
            assert dtype_name(out.dtype) == dtype


@pytest.mark.parametrize("pair", [("torch", "array_api_strict"), ("jax", "torch"), ("tensorflow", "jax")])
def test_two_frameworks_are_an_error(pair):
    for name in pair:
        if reason := missing(name):
            pytest.skip(reason)
    a, b = (kf.asarray(X, backend=name) for name in pair)
    for call in (lambda: ops.add(a, b), lambda: ops.stack([a, X, b])):
        with pytest.raises(kf.errors.MixedBackendsError):
            call()


# -- like= -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ops.array, ops.convert_to_tensor])
@pytest.mark.parametrize("name", BACKENDS)
def test_like_is_where_an_array_goes(name, make):
    like = kf.asarray(X, backend=name)
    for x, dtype in (
        (F64, "float64"),
        (F32, "float32"),
        (MASK, "bool"),
        (1.5, "float32"),
        ([1, 2], "int32"),
        (3, "int32"),
    ):
        if name == "jax" and dtype == "float64":
            dtype = "float32"  # JAX has no other, as it comes
        for out in (make(x, like=like), forward(lambda y, x=x: make(x, like=y))(like)):
            assert kf.backend_of(out).name == name and type(out) is type(like)
            assert dtype_name(out.dtype) == dtype
            np.testing.assert_array_equal(kf.to_numpy(out), x)
        out = make(x, "float32", like=like)
        assert kf.backend_of(out).name == name and dtype_name(out.dtype) == "float32"


@pytest.mark.parametrize("name", [n for n in NAMES if n != "numpy"])
def test_like_takes_arrays_of_other_backends_along(name):
    if reason := missing(name):
        pytest.skip(reason)
    for a, b in ((name, "numpy"), ("array_api_strict", name)):
        out = ops.array(kf.asarray(X, backend=a), like=kf.asarray(F32, backend=b))
        assert kf.backend_of(out).name == b
        np.testing.assert_array_equal(kf.to_numpy(out), X)


def test_like_is_an_array():
    with pytest.raises(kf.errors.ArgumentError, match="`like` must be an array, got 'torch'"):
        ops.array(F32, like="torch")
    with pytest.raises(kf.errors.ArgumentError, match="both"):
        ops.array(F32, like=F32, backend="numpy")


@pytest.mark.torch
def test_like_chooses_the_device_too():
    import torch

    like = torch.ones(3, device="meta")
    for x in (F32, torch.ones(2), [1.0]):
        assert ops.array(x, like=like).device.type == "meta"
