"""NumPy arrays beside those of another backend: constants that join them, and never make the result wider.

Each row is a function of `x`, float32 (2, 3), and of constants; the oracle is the same function on NumPy, where all are
NumPy's. Plain operators take any NumPy array where array classes of ours reach layer code: Spec, TensorFlow's,
OpenVINO's, the tape's and the recorder's. Where the framework's own arrays do, its own operators take what ops make.
"""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
from backends import BACKENDS, EAGER, NAMES, TRAINING, missing

import kfunc as kf
from kfunc import losses, metrics, nn, ops, optim
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

BINARY = {
    **{"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow},
    **{"//": operator.floordiv, "%": operator.mod, "@": operator.matmul},
    **{"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne},
}
FLAT = ("//", "<", "<=", ">", ">=", "==", "!=")
"""Those without a gradient."""


def beside(x, sign, make, left):
    """`x sign c`, or with `left` `c sign x`, where `c` is what `make` makes."""
    c = make()
    if sign == "@":
        return ops.ones((2, 2)) * c[0] @ x if left else x @ (ops.ones((3, 3)) * c)
    return BINARY[sign](c, x) if left else BINARY[sign](x, c)


def into(x, c):
    x = x * 2
    x += c
    return x


MAKERS = {"arange": lambda: ops.arange(1, 4), "linspace": lambda: ops.linspace(0.5, 1, 3)}
MADE = {
    f"{sign} {left:d} {make}": functools.partial(beside, sign=sign, make=MAKERS[make], left=left)
    for sign in BINARY
    for left in (False, True)
    for make in (("linspace",) if sign == "@" else ("arange", "linspace"))
} | {
    "list": lambda x: x * ops.array([0.5, 1.5, 2.0]),
    "bools": lambda x: x * ops.array([True, False, True]),
    "float64": lambda x: ops.array(F64) - x,
    "results": lambda x: x + (-ops.arange(3) * 0.5)[::-1] / 3,
    "indices": lambda x: x[:, ops.arange(2)],
    "in place": lambda x: into(x, ops.arange(3)),
    "into it": lambda x: operator.iadd(ops.ones((2, 3)), x),
    "outside": lambda x: x + OUTSIDE,
}
"""Functions of `x` and of arrays that ops make, which all operators take."""
WIDE = ("float64", "results")
"""Those whose arrays are float64. Dynamo makes tensors of them, which are not weak: the results are float64, too."""
OUTSIDE = ops.linspace(0, 1, 3)

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


def check(fun, out, wanted=None):
    wanted = fun(X) if wanted is None else wanted
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


EXACT = np.array([[0.25, 0.5, 0.75], [1.25, 0.875, 1.5]], np.float32)
"""No quotient of these numbers and of what MAKERS make is rounded to an integer, or from one."""


def made(rows=MADE):
    """Rows of MADE as one function, since compiling each by itself takes long."""
    return native(lambda x: {row: MADE[row](x) for row in rows})


SAMPLE = [row for i, row in enumerate(MADE) if i % 3 == 0 or " " not in row]
"""Every third operator. All of them take long to compile."""


def agree(got, wanted):
    for row, out in got.items():
        check(MADE[row], out, wanted[row])


# array-api-strict's operators refuse NumPy's arrays, and integers beside floats.
WITH_OPERATORS = [p for p in TRAINING if p.values[0] != "array_api_strict"]


@pytest.mark.parametrize("name", [*WITH_OPERATORS, *(p for p in BACKENDS if p.values[0] == "openvino")])
def test_operators_take_what_ops_make(name):
    x, wanted = kf.asarray(EXACT, backend=name), made()(EXACT)
    agree(made()(x), wanted)
    agree(kf.jit(made(SAMPLE if name != "torch" else [row for row in SAMPLE if row not in WIDE]))(x), wanted)
    if name != "openvino":
        several = kf.vmap(made(SAMPLE))(kf.asarray(np.stack([X, EXACT]), backend=name))
        agree(kf.tree.map(lambda y: y[1, ...], several), wanted)


@pytest.mark.parametrize("name", WITH_OPERATORS)
def test_gradients_beside_what_ops_make(name):
    def gradient(rows):
        rows = made([row for row in rows if row.split()[0] not in FLAT])
        return kf.grad(native(lambda x: sum(kf.namespace(y).sum(y) for y in rows(x).values())))

    x = kf.asarray(EXACT, backend=name)
    for rows, run in ((MADE, gradient(MADE)), (SAMPLE, kf.jit(gradient(SAMPLE)))):
        wanted, out = gradient(rows)(EXACT.astype(np.float64)), run(x)
        assert dtype_name(out.dtype) == "float32"
        # Sums of some 30 derivatives, of which none is negative or cancels more than half.
        np.testing.assert_allclose(kf.to_numpy(out), wanted, rtol=30 * np.finfo(np.float32).eps)


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
    how: str = "ops"

    def forward(self, s, x):
        at, by = ops.arange(x.shape[-1]), np.linspace(0.0, 1.0, x.shape[-1])
        w = s.param("scale", (x.shape[-1],), nn.initializers.ones)
        if self.how == "ops":
            return ops.where(MASK, ops.multiply(ops.add(x, at), by), x) * w
        if self.how == "operators":
            return (x + at) * by * w
        return ops.full(1, 0.5) * (x + at) * ops.array(by) * w  # `by` is float64


def weighted(y_true, y_pred):
    return ops.mean(abs(y_true - y_pred) * ops.ones(1) + ops.arange(1), axis=-1)


# With their own arrays in layer code, PyTorch's and array-api-strict's operators refuse NumPy's; PyTorch's take those
# that ops make.
@pytest.mark.parametrize("how", ["ops", "operators", "made"])
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] not in ("torch", "array_api_strict")])
def test_in_fit(name, how, **options):
    """Recorded, compiled or on a tape, the constants are the same ones, and so is what is learnt."""
    learnt = {}
    for backend in ("numpy", name):
        model = kf.Model(nn.Sequential([Positions(how), nn.Dense(1)]))
        model.compile("sgd", weighted if how == "made" else "mse", **options)
        model.fit(X, X[:, :1], epochs=3, batch_size=2, shuffle=False, verbose=0, backend=backend)
        learnt[backend] = kf.to_backend(model.train_state.params, "numpy")
        assert {kf.arrays.dtype_name(p.dtype) for p in kf.tree.leaves(model.train_state.params)} == {"float32"}
    for a, b in zip(*map(kf.tree.leaves, (learnt["numpy"], learnt[name])), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] in ("torch", "array_api_strict")])
def test_ops_in_fit(name):
    test_in_fit(name, "ops")


@pytest.mark.torch
@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=str)
def test_what_ops_make_in_fit(options):
    test_in_fit("torch", "made", **options)


@pytest.mark.torch
def test_pytorch_takes_what_ops_make():
    import torch

    given, c, b = torch.asarray(X), ops.linspace(0, 1, 3), ops.arange(3)
    for x in (given, given.bfloat16(), given.double(), given.clone().requires_grad_()):
        t = torch.asarray(np.asarray(c)).to(x.dtype)
        for out, wanted in (
            (torch.where(x > c, x, c), torch.where(x > t, x, t)),
            (torch.stack([x[0], c]), torch.stack([x[0], t])),
            (torch.maximum(c, other=x), torch.maximum(t, x)),
            (x.mul(c).clamp(max=c), x.mul(t).clamp(max=t)),
            (x.index_select(1, b), x),
        ):
            assert out.dtype == x.dtype and out.requires_grad == x.requires_grad
            torch.testing.assert_close(out, wanted, rtol=0, atol=0)
    assert type(torch.as_tensor(c)) is type(torch.tensor(c)) is torch.Tensor
    with pytest.raises(TypeError, match="must be Tensor, not numpy"):
        torch.sin(c)

    class Network(torch.nn.Module):
        def forward(self, x):
            return x * ops.linspace(0, 1, 3) + ops.arange(3)

    for strict in (False, True):
        program = torch.export.export(Network(), (torch.asarray(X),), strict=strict)
        torch.testing.assert_close(
            program.module()(torch.asarray(X)), torch.asarray(X * c + np.arange(3, dtype="float32"))
        )


def test_only_constants_make_constants():
    c, x = ops.arange(1, 4), np.ones((2, 3))
    own = type(c)
    assert isinstance(c, np.ndarray) and own is not np.ndarray
    for out in (-c, c * 0.5, 2 - c, np.sqrt(c), c[:2], c < 2, c[None] + c[:, None], c.astype("float32"), ops.ones(2)):
        assert type(out) is own
    for out in (
        c + x,
        x + c,
        x @ c,
        np.where(c > 1, c, x),
        np.concatenate([x[0], c]),
        np.asarray(c),
        kf.asarray(x * c),
    ):
        assert type(out) is np.ndarray
    for out in (c.sum(), c.mean(), c.max(), c @ c, c[0], np.sum(c < 2), c.all()):
        assert isinstance(out, np.generic)
    x += c
    c += 1
    assert type(x) is np.ndarray and type(c) is own and list(range(*c[:2])) == [2]
    for made in (ops.ones(3, backend="numpy"), ops.array([1], like=x), ops.ones_like(x), ops.arange(3, like=x)):
        assert type(made) is np.ndarray


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


METRIC = metrics.SparseTopKCategoricalAccuracy(2)
DENSE, TABLE = nn.Dense(2, use_bias=False), nn.Embedding(3, 2)
DOORS = {
    "loss": lambda x, c: losses.SparseCategoricalCrossentropy(from_logits=True)(c(ops.arange(2)), x),
    "constant of a constant": lambda x, c: losses.CategoricalCrossentropy()(c(ops.one_hot(ops.arange(2), 3)), x),
    "loss function": lambda x, c: losses.sparse_categorical_crossentropy(c(ops.arange(2)), x, from_logits=True),
    "sample_weight": lambda x, c: losses.MeanSquaredError()(x, 2 * x, sample_weight=c(ops.linspace(0, 1, 2))),
    "metric": lambda x, c: METRIC.update(METRIC.init(x), c(ops.arange(2)), x),
    "layer": lambda x, c: DENSE.apply({"kernel": ops.reshape(x, (3, 2))}, c(ops.ones((4, 3))))[0],
    "table": lambda x, c: TABLE.apply({"embeddings": ops.reshape(x, (3, 2))}, c(ops.arange(3)))[0],
    "optimizer": lambda x, c: optim.sgd(0.5).update(
        {"w": c(ops.ones(3))}, optim.sgd(0.5).init({"w": x[0, :]}), {"w": x[0, :]}
    )[0],
    "grad": lambda x, c: kf.grad(lambda x, w: ops.sum(x * w))(x, c(ops.linspace(0, 1, 3))),
    "vmap": lambda x, c: kf.vmap(lambda a, b: a * b)(x, c(ops.linspace(0, 1, 2))),
    "jit": lambda x, c: kf.jit(lambda a, b: a * b)(x, c(ops.linspace(0, 1, 3))),
    "scan": lambda x, c: kf.scan(lambda a, b: (a + b, a), x[0, 0], c(ops.linspace(0, 1, 3)))[1],
    "carry": lambda x, c: kf.scan(lambda a, b: (a + b, a), c(ops.zeros(())), x[0, :])[1],
    "cond": lambda x, c: kf.cond(c(ops.ones((), dtype="bool")), lambda a: 2 * a, lambda a: a, x),
}
"""Functions that are no ops, of `x` and a constant that ops made. `c` makes data of it for the row of errors."""


@pytest.mark.parametrize("row", DOORS)
@pytest.mark.parametrize("name", [p for p in EAGER if p.values[0] not in ("numpy", "openvino")])
def test_constants_at_every_door(name, row):
    x = kf.asarray(X, backend=name)
    out, wanted = DOORS[row](x, lambda c: c), DOORS[row](X, lambda c: c)
    assert type(kf.tree.leaves(out)[0]) is type(x)
    for a, b in zip(kf.tree.leaves(out), kf.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(kf.to_numpy(a), kf.to_numpy(b), rtol=2e-6)


@pytest.mark.parametrize("row", DOORS)
def test_data_of_numpy_at_no_door(row):
    if reason := missing("torch"):
        pytest.skip(reason)
    with pytest.raises(kf.errors.MixedBackendsError):
        DOORS[row](kf.asarray(X, backend="torch"), np.asarray)


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
