"""`kf.jit` on PyTorch records programs, and runs the function itself wherever a program would give other numbers."""

from __future__ import annotations

import importlib
import random
import time

import numpy as np
import pytest

import kfunc as kf
from kfunc import nn, ops, optim
from kfunc.backends import get

torch = importlib.import_module("torch") if "torch" in kf.backends.available() else None
pytestmark = pytest.mark.torch

NET = nn.Sequential([nn.Dense(4, activation="relu"), nn.BatchNormalization(), nn.Dropout(0.3), nn.Dense(2)])
MLP = nn.Sequential([nn.Dense(4, activation="relu"), nn.Dense(2)])
ADAM = optim.Adam(0.01)
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def tensors(tree):
    return kf.to_backend(tree, "torch")


def jitted(fun, **options):
    """`kf.jit(fun)`, and a function that tells how many programs it has."""
    made = get("torch").jit_at_once(fun)
    run = kf.jit(fun, **options)

    def programs():
        return sum(len(known.paths) for known in made._known.values())

    def call(*args, **kwargs):
        made(*args, **kwargs)
        return run(*args, **kwargs)

    return call, programs


def agree(got, want):
    for a, b in zip(kf.tree.leaves(got), kf.tree.leaves(want), strict=True):
        if hasattr(a, "dtype"):
            np.testing.assert_array_equal(kf.to_numpy(a), kf.to_numpy(b))
        else:
            assert (type(a), repr(a)) == (type(b), repr(b))


def train_step(params, opt_state, x, y):
    def loss(params):
        return kf.losses.MeanSquaredError()(y, MLP.apply(params, x)[0])

    value, gradient = kf.value_and_grad(loss)(params)
    updates, opt_state = ADAM.update(gradient, opt_state, params)
    return optim.apply_updates(params, updates), opt_state, value


def writes(x):
    y = x * 2
    y[0] = 7
    y += 1
    return y


def writes_to_a_view(x):
    y = x * 2
    part = y[0]
    part[1] = 7
    return y


def writes_below_a_view(x):
    y = x * 2
    part = y[0]
    y[0, 1] = 7
    return part


def adds_below_a_name(x):
    y = z = x * 2
    y += 1
    return z


def tries(x):
    try:
        return x.relu() * 7
    except AttributeError:
        return x


def nested(x):
    return kf.jit(lambda x: x * 2)(x) + 1


def cubes(x):
    return ops.sum(x**3)


def seeded(x, seed):
    return x + kf.random.normal(kf.random.key(seed, backend="torch"), x.shape)


def branches(x):
    return kf.cond(ops.sum(x) > 0, lambda a: a * 2, lambda a: a - 1, x)


def cases():
    x = tensors(X)
    params, state = NET.init(0, x)
    dense, _ = MLP.init(0, x)
    keys = [kf.random.key(seed, backend="torch") for seed in (0, 1)]
    # The function, its arguments, and how many programs it has in the end.
    return {
        "apply": (lambda p, s, x: NET.apply(p, x, state=s)[0], [(params, state, x), (params, state, -x)], 1),
        "training": (lambda p, s, k, x: NET.apply(p, x, state=s, key=k, train=True), [(params, state, keys[0], x)], 1),
        "parameters around": (lambda x: MLP.apply(dense, x)[0], [(x,), (-x,)], 1),
        "step": (train_step, [(dense, ADAM.init(dense), x, x[:, :2])], 1),
        "keys": (lambda k: kf.random.normal(k, (3,)), [(k,) for k in keys], 1),
        "seeds": (seeded, [(x, 0), (x, 1)], 2),
        "numbers": (lambda x, n: (x / 2 + n, n), [(x, n) for n in (0, 0.0, -0.0, False, 1, True)], 6),
        "words": (lambda x, *, mode: x * len(mode), [(x, {"mode": m}) for m in ("a", "bc")], 2),
        "sizes": (lambda x: x * x.shape[0], [(x,), (x[:2],), (x.double(),)], 3),
        "branches": (branches, [(x.abs(),), (-x.abs(),)], 2),
        "scan": (lambda x: kf.scan(lambda c, a: (c + a, c * a), x[0], x), [(x,)], 1),
        "while": (lambda x: kf.while_loop(lambda c: ops.sum(c) < 10.0, lambda c: c + 1, x), [(x,), (x - 3,)], 2),
        "values": (lambda x: x * float(ops.sum(x)), [(x,), (2 * x,)], 2),
        "nested": (nested, [(x,)], 1),
        "jit of grad": (kf.grad(cubes), [(x,)], 1),
        "grad of jit": (kf.grad(kf.jit(cubes)), [(x,)], 1),
        "grad of grad of jit": (kf.grad(lambda x: ops.sum(kf.grad(kf.jit(cubes))(x))), [(x,)], 0),
        "jit of vmap": (kf.vmap(lambda x: x * ops.sum(x)), [(x,)], 0),
        "vmap of jit": (lambda x: kf.vmap(kf.jit(lambda x: x * ops.sum(x)))(x), [(x,)], 0),
        "PyTorch's functions": (lambda x: torch.relu(x) + 1, [(x,), (-x,)], 0),
        "PyTorch's methods": (lambda x: x.relu() + 1, [(x,), (-x,)], 0),
        "tries": (tries, [(x,)], 0),
        "asks": (lambda x: 3 * x if hasattr(x, "relu") else x, [(x,)], 0),
        "item": (lambda x: x * ops.sum(x).item(), [(x,), (2 * x,)], 0),
        "writes": (writes, [(x,)], 1),
        "writes to a view": (writes_to_a_view, [(x,)], 0),
        "writes below a view": (writes_below_a_view, [(x,)], 0),
        "adds below a name": (adds_below_a_name, [(x,)], 1),
    }


@pytest.mark.parametrize("name", list(cases()) if torch else [])
def test_numbers(name):
    fun, calls, programs = cases()[name]
    run, count = jitted(fun, static_argnames=("mode",) if name == "words" else ())
    for _ in range(3):
        for args in calls:
            options = args[-1] if name == "words" else {}
            args = args[: len(args) - bool(options)]
            agree(run(*args, **options), fun(*args, **options))
    assert count() == programs


def test_arguments_are_written_to_in_each_call():
    def adds(x):
        x += 1
        return x

    def sets(x):
        x[0] = x[0] + 1
        return x

    for fun in (adds, sets):
        run, x = kf.jit(fun), torch.zeros(2)
        for n in range(1, 5):
            run(x)
            assert x[0] == n


AROUND = {
    "a parameter": lambda x, w: x * w,
    "a view of it": lambda x, w: x * w.mT.reshape(-1)[:4],
    "a product": lambda x, w: x * (w[0] * 2),
    "a product by kfunc": lambda x, w: x * ops.multiply(w[0], 2),
    "a cast": lambda x, w: x * ops.cast(w[0], "float64"),
    "a value": lambda x, w: x * float(w.detach()[0, 0]),
    "a branch": lambda x, w: x * 2 if w[0, 0] > 2 else x,
    "a copy": lambda x, w: x * w[0].clone(),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("gradient", [False, True])
def test_tensors_that_a_function_closes_over(around, gradient):
    """What an optimizer writes to them is seen, whatever the function makes of them; and gradients reach them."""
    x, w = tensors(X), torch.ones((1, 4), requires_grad=gradient)
    run = kf.jit(lambda x: AROUND[around](x, w))
    for factor in (1, 1, 1, 2, 2, 2):
        with torch.no_grad():
            w *= factor
        want = AROUND[around](x, w)
        agree(run(x), want)
        if gradient and want.requires_grad:
            a, b = (torch.autograd.grad(y.sum(), w)[0] for y in (run(x), want))
            agree(a, b)


def test_small_tensors_of_equal_values_are_apart():
    x, a, b = tensors(X), torch.zeros(4), torch.zeros(4)
    run = kf.jit(lambda x: (x + a) * (x + b))
    for _ in range(4):
        agree(run(x), (x + a) * (x + b))
        b += 1


DRAWS = {
    "torch": lambda: torch.rand(4),
    "a generator": lambda g: torch.rand(4, generator=g),
    "numpy": lambda: tensors(np.random.rand(4).astype(np.float32)),
    "python": lambda: random.random(),
    "a count": lambda n: n.add_(1),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_other_numbers_in_each_call(draw):
    given = {"a generator": lambda: [torch.Generator()], "a count": lambda: [torch.zeros(())]}.get(draw, list)()
    run = kf.jit(lambda x: x + DRAWS[draw](*given))
    assert len({run(torch.zeros(4)).numpy().tobytes() for _ in range(5)}) == 5


def test_contexts_of_pytorch():
    def fun(x):
        return ops.matmul(x, x.mT)

    run, x = kf.jit(fun), tensors(X)
    for _ in range(3):
        agree(run(x), fun(x))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert run(x).dtype == fun(x).dtype == torch.bfloat16
        with torch.inference_mode():
            assert run(x).is_inference()
        leaf = x.clone().requires_grad_()
        ops.sum(run(leaf)).backward()
        assert leaf.grad is not None
        agree(torch.compile(run, backend="eager", fullgraph=True)(x), fun(x))
        agree(kf.jvp(run, (x,), (x,)), kf.jvp(fun, (x,), (x,)))


def test_threads():
    """A thread that records sees its own calls alone."""
    from concurrent.futures import ThreadPoolExecutor

    run, x = kf.jit(seeded), tensors(X)

    def work(seed):
        for _ in range(20):
            agree(run(x, seed), seeded(x, seed))
            time.sleep(0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [0, 1, 0, 1]))
