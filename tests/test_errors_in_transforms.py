"""Errors of functions that are compiled, differentiated or mapped: they are ours where values are read, or those of the
function, whatever a framework makes of them."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from backends import TRAINING

import kfunc as kf
from kfunc import nn

W = np.linspace(0.5, 2, 6, dtype=np.float32)
X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
READS = {
    "np.asarray": lambda x: np.asarray(x).sum() > 9,
    "kf.to_numpy": lambda x: kf.to_numpy(x).sum() > 9,
    "float": lambda x: float(kf.ops.sum(x)) > 9,
    "int": lambda x: int(kf.ops.sum(x)) > 9,
    "bool": lambda x: bool(kf.ops.sum(x) > 9),
    "range": lambda x: len(range(kf.ops.argmax(x))) > 9,
    "np.exp": lambda x: np.exp(x).sum() > 9,
    "iteration": lambda x: sum(float(v) for v in x) > 9,
}
AROUND = {
    "grad": lambda f, x: kf.grad(f)(x),
    "vjp": lambda f, x: kf.vjp(f, x),
    "vmap": lambda f, x: kf.vmap(f)(kf.ops.stack([x, x])),
    "jit": lambda f, x: kf.jit(f, compile=True)(x),
    "recorded": lambda f, x: kf.jit(f)(x),
    "scan": lambda f, x: kf.jit(lambda x: kf.scan(lambda c, x: (c, f(x)), 0, kf.ops.stack([x, x])))(x),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor", "ignore:__array_wrap__")
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("row", READS)
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] in ("jax", "torch", "tensorflow")])
def test_reads(name, row, around):
    """Values that are not known where they are read give one error; where they are known, a result."""
    if around == {"torch": "scan"}.get(name, "recorded"):
        return  # the same as jit
    x = kf.to_backend(W, name)
    try:
        AROUND[around](lambda x: kf.ops.sum(x * x) * (2.0 if READS[row](x) else 1.0), x)
        known = {"jax": ("bool", "int", "range"), "torch": READS, "tensorflow": READS}[name]
        where = ("grad", "vjp", "vmap" if name == "tensorflow" else "recorded")
        assert around in where and row in known
    except kf.errors.UnsupportedError as error:
        assert "compiled" in str(error) or "does not support kf.jit" in str(error)
        assert "kf.cond" in error.fix or "outside" in error.fix


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] in ("jax", "torch", "tensorflow")])
def test_other_errors_stay(name, around):
    x = kf.to_backend(W, name)
    for fun, error, message in (
        (lambda x: x.no_such_method(), AttributeError, "no_such_method"),
        (lambda x: x(1), TypeError, "not callable"),
        (lambda x: {}[0], KeyError, "0"),
    ):
        with pytest.raises(error, match=message) as caught:
            AROUND[around](fun, x)
        assert type(caught.value) is error


@pytest.mark.torch
def test_errors_in_compiled_functions():
    """The compiler of PyTorch cannot raise our errors, and says something else."""
    x = kf.to_backend(X, "torch")
    params, _ = nn.Dense(3).init(0, x)
    rows = [
        (lambda x: nn.Dense(3).apply(params, x[:, :2])[0], kf.errors.ParamError, "needs"),
        (lambda x: kf.ops.reshape(x, (7,)), kf.errors.ShapeError, "as many elements"),
        (lambda x: kf.grad(lambda x: x * x)(x), kf.errors.ShapeError, "not a floating-point scalar"),
        (lambda x: [].pop(), IndexError, "pop"),
    ]
    for fun, error, message in rows:
        with pytest.raises(error, match=message):
            kf.jit(fun, compile=True)(x)


@pytest.mark.torch
def test_a_compiler_that_fails_is_not_blamed_on_the_function(monkeypatch):
    torch = importlib.import_module("torch")
    real = torch.compile

    def broken(graph, inputs):
        raise OSError("there is no C++ compiler")

    monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, backend=broken, **options))
    with pytest.raises(kf.errors.UnsupportedError, match="there is no C") as caught:
        kf.jit(lambda x: x * 2, compile=True)(kf.to_backend(X, "torch"))
    assert caught.value.fix == "call it without kf.jit"
