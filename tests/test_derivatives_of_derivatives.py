"""A transform of a transform of each construct, on each backend: the numbers of NumPy's tape, or an error."""

from __future__ import annotations

import functools
import importlib

import numpy as np
import pytest
from backends import TRAINING
from sampling import chosen

import kfunc as kf
from kfunc import nn

EPS = float(np.finfo(np.float32).eps)
W = np.linspace(0.5, 1.2, 6, dtype=np.float32)


def xp_of(x):
    return kf.namespace(x)


def total(x):
    return xp_of(x).sum(x)


def of_layer(layer, *shape):
    """The sum of the squares of what the layer makes of a sequence; attention is of the sequence to itself."""
    x = (np.random.default_rng(len(shape)).normal(size=shape) * 0.5).astype(np.float32)
    twice = (x, x) if "Attention" in type(layer).__name__ else (x,)
    params, state = layer.init(0, *twice)

    def fun(x):
        p, s = kf.to_backend((params, state), kf.backend_of(x).name)
        out = layer.apply(p, *((x,) * len(twice)), state=s)[0]
        return kf.arrays.native(lambda y: xp_of(y).sum(y * y))(out)

    return fun, x


CONSTRUCTS = {
    "scan": (lambda w: total(kf.scan(lambda c, x: (c * x, c * c), w, xp_of(w).stack([w, w * w]))[1]), W),
    "fori_loop": (lambda w: total(kf.fori_loop(0, 3, lambda i, c: c * w, w)), W),
    "while_loop": (lambda w: total(kf.while_loop(lambda c: total(c) < 50, lambda c: c * c * 2, w)), W),
    "cond": (lambda w: total(kf.cond(total(w) > 0, lambda w: w * w * w, lambda w: w, w)), W),
    "switch": (lambda w: total(kf.switch(xp_of(w).argmax(w) - 4, [lambda w: w, lambda w: w * w * w], w)), W),
    "associative_scan": (lambda w: total(kf.associative_scan(lambda a, b: a * b, w)), W),
    "map": (lambda w: total(kf.map(lambda x: x * x * x, w)), W),
    "checkpoint": (lambda w: total(kf.checkpoint(lambda x: xp_of(x).sin(x) * x)(w)), W),
    "vmap": (lambda w: total(kf.vmap(lambda x: x * x * x)(w)), W),
    "attention": of_layer(nn.MultiHeadAttention(2, 3), 2, 3, 4),
    "LSTM": of_layer(nn.LSTM(3), 2, 3, 4),
    "GRU": of_layer(nn.GRU(3), 2, 3, 4),
    "SimpleRNN": of_layer(nn.SimpleRNN(3), 2, 3, 4),
    "convolution": of_layer(nn.Conv1D(3, 2), 2, 5, 4),
    "pooling": of_layer(nn.AveragePooling1D(2), 2, 4, 3),
    "layer normalization": of_layer(nn.LayerNormalization(), 2, 5),
    "batch normalization": of_layer(nn.BatchNormalization(), 4, 5),
    "group normalization": of_layer(nn.GroupNormalization(2), 2, 3, 4),
    "RMS normalization": of_layer(nn.RMSNormalization(), 2, 5),
}


def grad(f):
    return lambda x: kf.grad(f)(x)


def jvp(f):
    """In the direction of the argument itself, so that the direction is differentiated, too."""
    return lambda x: kf.jvp(f, (x,), (x,))[1]


def vjp(f):
    def pulled(x):
        out, pull = kf.vjp(f, x)
        return pull(out)[0]

    return pulled


def vmap(f):
    return lambda x: kf.vmap(f)(kf.arrays.native(lambda x: xp_of(x).stack([x, x * 0.9]))(x))


def scalar(f):
    return lambda x: kf.arrays.native(total)(f(x))


TRANSFORMS = {
    "grad of grad": lambda f: grad(scalar(grad(f))),
    "jvp of grad": lambda f: jvp(grad(f)),
    "grad of jvp": lambda f: grad(jvp(f)),
    "jvp of jvp": lambda f: jvp(jvp(f)),
    "vjp of vjp": lambda f: vjp(vjp(f)),
    "vmap": vmap,
    "vmap of grad": lambda f: vmap(grad(f)),
    "grad of vmap": lambda f: grad(scalar(vmap(f))),
    "vmap of jvp": lambda f: vmap(jvp(f)),
    "jvp": jvp,
}
CASES = [(t, c) for t in TRANSFORMS for c in CONSTRUCTS]


def made(case, inside=lambda f: f):
    transform, construct = case
    fun, x = CONSTRUCTS[construct]
    fun = fun if construct[0].isupper() or " " in construct else kf.arrays.native(fun)
    return TRANSFORMS[transform](inside(fun)), x


@functools.cache
def expected(case):
    fun, x = made(case)
    return fun(x)


def check(case, name, wrap=lambda f: f, inside=lambda f: f):
    fun, x = made(case, inside)
    got, want = kf.to_numpy(wrap(fun)(kf.to_backend(x, name))), expected(case)
    # Four sums of numbers near 1, one after the other, each divided by a deviation of a third or more, as in the
    # derivatives of a normalization: 4 * 3**4 roundings, and rather more than that.
    np.testing.assert_allclose(got, want, rtol=0, atol=512 * EPS * max(1, np.abs(want).max()))


ALWAYS = {  # what once failed, or was wrong
    "torch": [
        ("grad of grad", "attention"),
        ("jvp of jvp", "attention"),
        ("vmap of jvp", "attention"),
        ("grad of jvp", "layer normalization"),
        ("jvp of jvp", "layer normalization"),
        ("vmap of grad", "cond"),
        ("grad of vmap", "switch"),
        ("vmap of grad", "while_loop"),
        ("grad of vmap", "LSTM"),
        ("vmap", "GRU"),
        ("vmap", "SimpleRNN"),
    ],
    "tensorflow": [
        ("jvp of jvp", "cond"),
        ("jvp of jvp", "fori_loop"),
        ("jvp", "checkpoint"),
        ("grad of jvp", "checkpoint"),
        ("grad of vmap", "checkpoint"),
        ("vmap of grad", "while_loop"),
        ("jvp of grad", "vmap"),
    ],
}
FORWARD_ONLY = ("vmap", "jvp", "jvp of jvp", "vmap of jvp")
"""The transforms in which JAX differentiates a `while_loop`."""


def sample(name, share):
    found = [c for c in CASES if chosen(share, name, c)]
    return found + [c for c in ALWAYS.get(name, []) if c not in found]


ROWS = [
    pytest.param(p.values[0], case, marks=p.marks, id=f"{p.values[0]}-{' of '.join(case)}")
    for p in TRAINING
    if p.values[0] != "numpy"
    for case in sample(p.values[0], 20 if p.values[0] != "jax" else 80)
]


@pytest.mark.parametrize(("name", "case"), ROWS)
def test_twice(name, case):
    if (name, case[1]) == ("jax", "while_loop") and case[0] not in FORWARD_ONLY:
        with pytest.raises(kf.errors.UnsupportedError, match=r"gradient of kf\.while_loop"):
            check(case, name)
        return
    check(case, name)


COMPILED = {  # as `ALWAYS`, under `kf.jit` or around it
    "torch": [
        ("grad of grad", "attention", "around"),
        ("vmap", "SimpleRNN", "around"),
        ("grad of vmap", "while_loop", "around"),
        ("jvp", "while_loop", "around"),
        ("grad of grad", "LSTM", "inside"),  # it gave zeros
        ("jvp of jvp", "cond", "inside"),
        ("vmap", "scan", "inside"),
    ],
    "jax": [("vjp of vjp", "while_loop", "around"), ("grad of jvp", "GRU", "inside")],
    "tensorflow": [("jvp", "scan", "around"), ("jvp", "fori_loop", "around"), ("jvp", "GRU", "around")],
}


@pytest.fixture
def traced_only(monkeypatch, request):
    """PyTorch's compiler without the C++ that it writes: what fails here fails in Dynamo or in the derivatives."""
    if request.node.callspec.params["name"] == "torch":
        torch = importlib.import_module("torch")
        real = torch.compile
        monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, backend="aot_eager", **options))
        torch._dynamo.reset()


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, marks=getattr(pytest.mark, name), id=f"{name}-{case[2]}-{case[0]} of {case[1]}")
        for name, always in COMPILED.items()
        for case in sorted(
            {
                *always,
                *((*case, where) for case in CASES for where in ("around", "inside") if chosen(400, name, case, where)),
            }
        )
    ],
)
def test_compiled(name, case, traced_only):
    """`kf.jit` around all, or inside; a loop for which a library has no derivative is a typed error."""
    case, where = case[:2], {("wrap" if case[2] == "around" else "inside"): functools.partial(kf.jit, compile=True)}
    # The torch.while_loop of a compiled program has no second derivative; JAX's has no reverse one.
    refused = case[1] == "while_loop" and {
        "torch": "wrap" in where,
        "jax": case[0] not in FORWARD_ONLY,
        "tensorflow": False,
    }
    if refused and refused[name]:
        with pytest.raises(kf.errors.UnsupportedError, match="while_loop"):
            check(case, name, **where)
        return
    check(case, name, **where)


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_the_tape_itself(construct):
    """Its second derivative along the argument, against a difference of its first one."""
    first, x = jvp(made(("jvp", construct))[0]), CONSTRUCTS[construct][1]
    once = made(("jvp", construct))[0]
    step = 2.0**-7
    want = (once(x * np.float32(1 + step)).astype(float) - once(x * np.float32(1 - step))) / (2 * step)
    # The difference is off by step**2 / 6 of the third derivative, some ten times the second, and by rounding / step.
    np.testing.assert_allclose(first(x), want, rtol=0, atol=1e-3 * max(1, abs(want), abs(once(x))))


@pytest.mark.jax
@pytest.mark.parametrize("layer", [nn.LSTM(3), nn.GRU(3), nn.SimpleRNN(3)], ids=lambda layer: type(layer).__name__)
def test_shard_map(layer):
    """The first state must be marked to vary between devices as the inputs do, though there is one device here."""
    jax = importlib.import_module("jax")
    sharding = importlib.import_module("jax.sharding")
    mesh = jax.make_mesh((1,), ("batch",), axis_types=(sharding.AxisType.Auto,))
    x = kf.to_backend(np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32), "jax")
    params, state = layer.init(0, x)

    def gradient(params, x):
        return kf.grad(lambda x: (layer.apply(params, x, state=state)[0] ** 2).sum())(x)

    spec, rest = sharding.PartitionSpec("batch"), sharding.PartitionSpec()
    got = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=(rest, spec), out_specs=spec))(params, x)
    np.testing.assert_allclose(got, gradient(params, x), rtol=0, atol=64 * EPS)
