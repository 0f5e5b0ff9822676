"""On PyTorch, products that oneDNN makes: as those of `torch.nn.functional.linear`, and wherever these can be used."""

from __future__ import annotations

import numpy as np
import pytest

import kfunc as kf
from kfunc import nn, ops

torch = pytest.importorskip("torch")
linear = pytest.importorskip("kfunc.backends.torch.linear")

pytestmark = pytest.mark.torch
EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """oneDNN for all sizes on any processor; how often it was called."""
    made, product = [], linear._product
    monkeypatch.setattr(linear, "_LARGE", 1)
    monkeypatch.setattr(linear, "_prefers", lambda: True)
    monkeypatch.setattr(linear, "_product", lambda *args: made.append(1) or product(*args))
    return made


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


SHAPES = {
    "a matrix": ((5, 7), 3, True),
    "no bias": ((5, 7), 3, False),
    "a vector": ((7,), 3, True),
    "more axes": ((2, 3, 4, 7), 6, True),
    "one of each": ((1, 1), 1, True),
    "large": ((96, 200), 130, True),
}


@pytest.mark.parametrize("row", SHAPES)
@pytest.mark.parametrize("order", ["rows", "columns"])
def test_values_and_gradients(row, order, calls):
    shape, units, has_bias = SHAPES[row]
    x, kernel, up = normal(*shape), normal(shape[-1], units), normal(*shape[:-1], units)
    bias = normal(units) if has_bias else None
    given = [torch.from_numpy(a).requires_grad_() for a in (x, kernel, *([bias] if has_bias else []))]
    laid = given if order == "rows" else [a.mT.contiguous().mT if a.ndim > 1 else a for a in given]
    out = ops.linear(*laid)
    wide = x.astype(np.float64), kernel.astype(np.float64), up.astype(np.float64)
    rows, ups = wide[0].reshape(-1, shape[-1]), wide[2].reshape(-1, units)
    wants = [wide[0] @ wide[1] + (0 if bias is None else bias)]
    wants += [(ups @ wide[1].T).reshape(shape), rows.T @ ups, *([ups.sum(0)] if has_bias else [])]
    gots = out, *torch.autograd.grad(out, given, torch.from_numpy(up))
    assert len(calls) == 3
    for got, want, terms in zip(gots, wants, (shape[-1], units, len(rows), len(rows))[: len(gots)], strict=True):
        assert tuple(got.shape) == want.shape
        # Each sum is of so many products of numbers below 5.
        np.testing.assert_allclose(got.detach().numpy(), want, rtol=0, atol=EPS * 25 * (terms + 1))


def test_second_derivatives():
    arrays = [torch.from_numpy(normal(*s)).requires_grad_() for s in ((4, 3), (3, 2), (2,))]

    def second(fun):
        out = torch.tanh(fun(*arrays)).sum()
        first = torch.autograd.grad(out, arrays, create_graph=True)
        return torch.autograd.grad(sum((g * g).sum() for g in first), arrays)

    for got, want in zip(second(ops.linear), second(lambda x, k, b: x @ k + b), strict=True):
        torch.testing.assert_close(got, want, rtol=64 * EPS, atol=64 * EPS)


@pytest.mark.parametrize("wanted", range(3))
def test_gradients_of_some_and_of_expanded_cotangents(wanted, calls):
    arrays = [torch.from_numpy(normal(*s)) for s in ((4, 3), (3, 2), (2,))]
    arrays[wanted].requires_grad_()
    (got,) = torch.autograd.grad(ops.linear(*arrays).sum(), arrays[wanted])
    x, kernel, _ = (a.detach().double() for a in arrays)
    want = [kernel.sum(1).expand(4, 3), x.sum(0)[:, None].expand(3, 2), torch.full((2,), 4.0)][wanted]
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=0, atol=16 * EPS * 5)
    assert len(calls) == 1 + (wanted < 2)


ELSEWHERE = {
    "float64": lambda f, x, k: f(x.double(), k.double()).float(),
    "vmap": lambda f, x, k: torch.vmap(f, (0, None))(x, k),
    "grad": lambda f, x, k: torch.func.grad(lambda k: f(x, k).sum())(k),
    "jvp": lambda f, x, k: torch.func.jvp(lambda k: f(x, k), (k,), (k,))[1],
    "autocast": lambda f, x, k: _autocast(f, x, k),
    "dual numbers": lambda f, x, k: _dual(f, x, k),
    "oneDNN switched off": lambda f, x, k: _switched_off(f, x, k),
}


def _autocast(f, x, k):
    with torch.autocast("cpu", torch.bfloat16):
        return f(x, k)


def _dual(f, x, k):
    with torch.autograd.forward_ad.dual_level():
        return torch.autograd.forward_ad.unpack_dual(f(x, torch.autograd.forward_ad.make_dual(k, k))).tangent


def _switched_off(f, x, k):
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)  # as `torch.backends.mkldnn.flags`, which warns of GPUs
    try:
        return f(x, k)
    finally:
        torch._C._set_mkldnn_enabled(before)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's own, as it loads forward mode
@pytest.mark.parametrize("row", ELSEWHERE)
def test_where_something_stands_between_it_is_torchs_own(row, calls):
    x, k = torch.from_numpy(normal(4, 3)), torch.from_numpy(normal(3, 2))
    got, want = (ELSEWHERE[row](f, x, k) for f in (ops.linear, lambda x, k: torch.nn.functional.linear(x, k.T)))
    assert got.dtype == want.dtype and not calls
    torch.testing.assert_close(got, want)


def test_a_width_that_does_not_fit_is_a_typed_error():
    with pytest.raises(kf.errors.ShapeError):
        ops.linear(torch.ones(4, 3), torch.ones(2, 2))


def test_training_is_the_same_in_each_run(calls):
    x, y = normal(70, 6), normal(70, 2)

    def run():
        model = kf.Model(nn.Sequential([nn.Dense(16, "relu"), nn.Dense(2)]))
        model.compile("adam", "mse")
        history = model.fit(x, y, 32, 2, verbose=0, backend="torch").history["loss"]
        return history, model.predict(x, verbose=0)

    (losses, outputs), (again, others) = run(), run()
    assert calls and losses == again
    np.testing.assert_array_equal(outputs, others)
