"""A gradient that is zero: because the value does not depend on the argument, or because something cut it off."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from backends import TRAINING

import kfunc as kf
from kfunc import nn

W = np.linspace(0.5, 2, 6, dtype=np.float32)
X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
TRANSFORMS = {
    "grad": lambda f, w: kf.grad(f)(w),
    "vjp": lambda f, w: (lambda out, pull: pull(out)[0])(*kf.vjp(f, w)),
    "jvp": lambda f, w: kf.jvp(f, (w,), (w,))[1],
}


@kf.arrays.native
def total(x):
    return kf.namespace(x).sum(x)


@kf.arrays.native
def cast(x, dtype):
    xp = kf.namespace(x)
    return xp.astype(x, getattr(xp, dtype))


@kf.arrays.native
def place(x):
    xp = kf.namespace(x)
    return xp.astype(xp.argmax(x), xp.float32)


def again(x, like):
    """The number `x` as an array of the backend of `like`."""
    return kf.asarray(float(x), backend=kf.backend_of(like).name)


# The derivative of a step is zero; a constant has no other.
ZERO = {
    "a constant": lambda w, c: total(c),
    "stop_gradient": lambda w, c: total(kf.stop_gradient(w * w)),
    "argmax": lambda w, c: place(w),
}
# For each row, part of the message, and the errors that a framework itself raises.
_OWN = (kf.errors.UnsupportedError, TypeError, RuntimeError, ValueError, NotImplementedError)
CUT = {
    "np.asarray": (lambda w, c: again(np.asarray(w).sum(), c), _OWN),
    "kf.to_numpy": (lambda w, c: again(kf.to_numpy(w).sum(), c), _OWN),
    "float": (lambda w, c: again(total(w), c), _OWN),
    "another backend": (lambda w, c: kf.asarray(total(w), backend=other(c)), (*_OWN, kf.KfuncError)),
    "a Python float": (lambda w, c: float(total(w)), (*_OWN, kf.KfuncError)),
    "integers": (lambda w, c: cast(total(w), "int32"), kf.KfuncError),
    "nothing": (lambda w, c: None, kf.KfuncError),
}


def other(x):
    return "array_api_strict" if kf.backend_of(x).name == "numpy" else "numpy"


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", TRAINING)
def test_zero(name, transform):
    w, c = (kf.to_backend(x, name) for x in (W, 2 * W))
    for fun in ZERO.values():
        got = TRANSFORMS[transform](lambda w, fun=fun: fun(w, c), w)
        assert not kf.to_numpy(got).any()


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize("row", CUT)
@pytest.mark.parametrize("name", TRAINING)
def test_cut(name, row, transform):
    fun, errors = CUT[row]
    w, c = (kf.to_backend(x, name) for x in (W, 2 * W))
    with pytest.raises(errors):
        TRANSFORMS[transform](lambda w: fun(w, c), w)
    # What is read beside the way to the result does no harm, where a framework lets it be read at all.
    if name not in ("jax", "torch") and row in ("kf.to_numpy", "float"):
        got = TRANSFORMS["grad"](lambda w: (fun(w, c), total(w * c))[1], w)
        np.testing.assert_array_equal(kf.to_numpy(got), 2 * W)


@pytest.mark.parametrize("name", TRAINING)
def test_no_real_scalar(name):
    """`grad` differentiates one real number, and says so alike everywhere."""
    w = kf.to_backend(W, name)
    for fun in (lambda w: w * w, lambda w: cast(total(w), "complex64"), lambda w: cast(total(w), "int32")):
        with pytest.raises(kf.errors.ShapeError, match="not a floating-point scalar") as caught:
            kf.grad(fun)(w)
        assert caught.value.argument == "fun"
    with pytest.raises(kf.errors.ArgumentError, match="pair"):
        kf.grad(total, has_aux=True)(w)
    for given in (cast(w, "int32"), {"a": w, "b": cast(w, "bool")}):
        with pytest.raises(kf.errors.ArgumentError, match="floating-point"):
            kf.grad(lambda given: cast(total(kf.tree.leaves(given)[0]), "float32"))(given)


def within(manager, fun):
    def run(w):
        with manager():
            return fun(w)

    return run


@pytest.mark.torch
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_modes_of_torch(transform):
    import torch

    take, w = TRANSFORMS[transform], torch.from_numpy(W)
    square = {"grad": 2 * W, "vjp": 2 * W * (W * W).sum(), "jvp": 2 * (W * W).sum()}[transform]

    def fun(w):
        return (w * w).sum()

    with torch.no_grad():
        np.testing.assert_allclose(take(fun, w), square, rtol=1e-6)
    with torch.inference_mode():
        made = w * 1
        with pytest.raises(kf.errors.UnsupportedError, match="inference_mode"):
            take(fun, w)
    np.testing.assert_allclose(take(fun, made), square, rtol=1e-6)
    with pytest.raises(kf.errors.UnsupportedError, match="detached"):
        take(lambda w: fun(w).detach(), w)
    with pytest.raises((kf.errors.UnsupportedError, RuntimeError), match="inference"):
        take(within(torch.inference_mode, fun), w)
    if transform != "jvp":  # there, no_grad changes nothing
        with pytest.raises(kf.errors.UnsupportedError, match="no_grad"):
            take(within(torch.no_grad, fun), w)


@nn.layer
class Cut(nn.Layer):
    """The same numbers, without their gradient."""

    own: bool = False

    def forward(self, s, x):
        return x.detach() if self.own and hasattr(x, "detach") else kf.stop_gradient(x)


def model(*layers, loss="mse", **options):
    out = kf.Model(nn.Sequential(list(layers)))
    out.compile("sgd", loss, **options)
    return out


def train(which, net, name):
    x = kf.to_backend(X, name)
    return net.fit(x, x, batch_size=4, verbose=0, backend=name) if which == "fit" else net.train_on_batch(x, x)


@pytest.mark.parametrize("which", ["fit", "train_on_batch"])
@pytest.mark.parametrize("name", TRAINING)
def test_training_that_changes_nothing(name, which):
    rows = [
        model(nn.Dense(3), Cut()),
        model(nn.Dense(3), Cut(own=True)),
        model(nn.Dense(3), loss=lambda y, out: total(y * y)),
        model(nn.Dense(3), Cut(), run_eagerly=True),
    ]
    for net in rows:
        with pytest.raises(kf.errors.ArgumentError, match="does not depend on the parameters") as caught:
            train(which, net, name)
        assert caught.value.argument == "loss"
    # Some parameters may have no gradient, and a network may have none to train.
    train(which, model(nn.Dense(3), Cut(), nn.Dense(3)), name)
    train(which, model(nn.Flatten()), name)


@pytest.mark.torch
@pytest.mark.parametrize("compiled", [False, True])
def test_training_in_modes_of_torch(compiled):
    import torch

    for manager, error in ((torch.no_grad, None), (torch.inference_mode, kf.errors.UnsupportedError)):
        if compiled and manager is torch.inference_mode:
            continue  # a compiled step takes gradients there, too
        net = model(nn.Dense(3), jit_compile=compiled)
        net.predict(torch.from_numpy(X))
        before = kf.to_numpy(kf.tree.leaves(net.train_state.params)[0]).copy()
        with manager(), pytest.raises(error) if error else contextlib.nullcontext():
            net.fit(X, X + 1, epochs=1, batch_size=8, verbose=0, backend="torch")
        assert (kf.to_numpy(kf.tree.leaves(net.train_state.params)[0]) == before).all() == (error is not None)
    with torch.inference_mode():
        net = model(nn.Dense(3))
        net.predict(torch.from_numpy(X))
    assert train("fit", net, "torch").history["loss"]
