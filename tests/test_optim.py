"""Optimizers against optax and torch.optim, schedules against Keras, both in float64; on every training backend."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from backends import COMPILING, TRAINING

import kfunc as kf
from kfunc import optim, registry
from kfunc.errors import ArgumentError

STEPS = 6
RNG = np.random.default_rng(0)
PARAMS = {"dense": {"bias": RNG.normal(size=3), "kernel": RNG.normal(size=(2, 3))}, "scale": RNG.normal(size=())}
GRADS = [kf.tree.map(lambda p, i=i: np.asarray(RNG.normal(size=p.shape) * 3.0**-i), PARAMS) for i in range(STEPS)]
MASK = {"dense": {"bias": False, "kernel": True}, "scale": False}

# name: ours, optax's, and torch's, where there is such a thing
OPTIMIZERS = {
    "sgd": (lambda: optim.sgd(0.1), lambda o: o.sgd(0.1), lambda t, p: t.SGD(p, 0.1)),
    "momentum": (
        lambda: optim.sgd(0.1, 0.9),
        lambda o: o.sgd(0.1, 0.9),
        lambda t, p: t.SGD(p, 0.1, momentum=0.9),
    ),
    "nesterov": (
        lambda: optim.sgd(0.1, momentum=0.9, nesterov=True),
        lambda o: o.sgd(0.1, 0.9, nesterov=True),
        lambda t, p: t.SGD(p, 0.1, momentum=0.9, nesterov=True),
    ),
    "adam": (lambda: optim.adam(0.1), lambda o: o.adam(0.1, eps=1e-7), lambda t, p: t.Adam(p, 0.1, eps=1e-7)),
    "adam without memory": (
        lambda: optim.adam(0.1, beta_1=0, beta_2=0.5, epsilon=1e-3),
        lambda o: o.adam(0.1, b1=0, b2=0.5, eps=1e-3),
        lambda t, p: t.Adam(p, 0.1, (0.0, 0.5), 1e-3),
    ),
    "adamw": (
        lambda: optim.adamw(0.1, 0.02),
        lambda o: o.adamw(0.1, eps=1e-7, weight_decay=0.02),
        lambda t, p: t.AdamW(p, 0.1, eps=1e-7, weight_decay=0.02),
    ),
    "adamw with a mask": (
        lambda: optim.adamw(0.1, 0.02, mask=MASK),
        lambda o: o.adamw(0.1, eps=1e-7, weight_decay=0.02, mask=MASK),
        None,
    ),
    "schedule": (
        lambda: optim.adam(optim.cosine_decay(0.1, 4, alpha=0.1)),
        lambda o: o.adam(o.cosine_decay_schedule(0.1, 4, 0.1), eps=1e-7),
        None,
    ),
    "clip_by_global_norm": (
        lambda: optim.chain(optim.clip_by_global_norm(0.5), optim.sgd(0.1)),
        lambda o: o.chain(o.clip_by_global_norm(0.5), o.sgd(0.1)),
        None,
    ),
    "clip_by_value": (
        lambda: optim.chain(optim.clip_by_value(0.3), optim.sgd(0.1, 0.5)),
        lambda o: o.chain(o.clip(0.3), o.sgd(0.1, 0.5)),
        None,
    ),
    "parts": (
        lambda: optim.chain(
            optim.trace(0.5),
            optim.add_decayed_weights(0.1),
            optim.scale_by_schedule(optim.polynomial_decay(0.1, 8, 0.02)),
            optim.scale(-1),
        ),
        lambda o: o.chain(
            o.trace(0.5),
            o.add_decayed_weights(0.1),
            o.scale_by_schedule(o.polynomial_schedule(0.1, 0.02, 1, 8)),
            o.scale(-1),
        ),
        None,
    ),
}


def run(tx, name="numpy", dtype="float32", transform=lambda f: f):
    """Parameters after each step, as NumPy arrays, and the last state."""
    cast = lambda t: kf.to_backend(kf.tree.map(lambda x: np.asarray(x, dtype), t), name)  # noqa: E731
    params = cast(PARAMS)
    state, update = tx.init(params), transform(tx.update)
    trajectory = []
    for grads in GRADS:
        updates, state = update(cast(grads), state, params)
        params = optim.apply_updates(params, updates)
        trajectory.append(kf.tree.map(kf.to_numpy, params))
    return trajectory, state


def close(got, wanted, eps):
    # Each step rounds the parameters once, and its update, of size up to 1, in about 16 operations.
    for i, (g, w) in enumerate(zip(got, wanted, strict=True)):
        kf.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a, b, rtol=eps * (i + 1), atol=16 * eps * (i + 1)), g, w
        )


@pytest.fixture(scope="module")
def oracle():
    """Name of an optimizer to optax's trajectory, in float64."""
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    made = {}

    def trajectory(name):
        if name not in made:
            with jax.enable_x64(True):
                tx = OPTIMIZERS[name][1](optax)
                params = jax.tree.map(jax.numpy.asarray, PARAMS)
                state, made[name] = tx.init(params), []
                for grads in GRADS:
                    updates, state = tx.update(jax.tree.map(jax.numpy.asarray, grads), state, params)
                    params = optax.apply_updates(params, updates)
                    made[name].append(jax.tree.map(np.asarray, params))
        return made[name]

    return trajectory


EPS32, EPS64 = (float(np.finfo(d).eps) for d in ("float32", "float64"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", TRAINING)
def test_optax_agrees(optimizer, name, oracle):
    trajectory, state = run(OPTIMIZERS[optimizer][0](), name)
    close(trajectory, oracle(optimizer), EPS32)
    leaves = kf.tree.leaves(state)
    assert {kf.arrays.dtype_name(x.dtype) for x in leaves} <= {"float32", "int32"}
    assert {kf.backend_of(x).name for x in leaves} <= {name}
    assert {p.dtype for p in kf.tree.leaves(trajectory)} == {np.dtype("float32")}


@pytest.mark.parametrize(
    "optimizer", [n for n in OPTIMIZERS if n not in ("schedule", "parts")]
)  # schedules compute in float32
def test_optax_agrees_in_float64(optimizer, oracle):
    close(run(OPTIMIZERS[optimizer][0](), "numpy", "float64")[0], oracle(optimizer), EPS64)


@pytest.mark.torch
@pytest.mark.parametrize("optimizer", [n for n, row in OPTIMIZERS.items() if row[2]])
def test_torch_agrees_in_float64(optimizer):
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(p, requires_grad=True) for p in kf.tree.leaves(PARAMS)]
    theirs = OPTIMIZERS[optimizer][2](torch.optim, leaves)
    ours = run(OPTIMIZERS[optimizer][0](), "torch", "float64")[0]
    wanted = []
    for grads in GRADS:
        for leaf, g in zip(leaves, kf.tree.leaves(grads), strict=True):
            leaf.grad = torch.tensor(g)
        theirs.step()
        wanted.append([leaf.detach().numpy().copy() for leaf in leaves])
    close([kf.tree.leaves(t) for t in ours], wanted, EPS64)


@pytest.mark.parametrize("name", [p for p in COMPILING if p.values[0] != "openvino"])
def test_compiled(name, oracle):
    trajectory, state = run(OPTIMIZERS["schedule"][0](), name, transform=kf.jit)
    close(trajectory, oracle("schedule"), EPS32)
    assert int(kf.to_numpy(state[0].count)) == STEPS


@pytest.mark.jax
def test_chains_of_both_libraries_mix(oracle):
    optax = pytest.importorskip("optax")
    ours, theirs = optim.chain(optim.clip_by_global_norm(0.5), optim.sgd(0.1)), optax.sgd(0.1)
    for tx in (
        optim.chain(optax.clip_by_global_norm(0.5), theirs),
        optim.chain(optim.clip_by_global_norm(0.5), theirs),
        optax.chain(optax.clip_by_global_norm(0.5), optim.sgd(0.1)),
        optax.chain(ours),
    ):
        close(run(tx, "jax", transform=kf.jit)[0], oracle("clip_by_global_norm"), EPS32)


def test_protocol():
    tx = optim.sgd(0.5)
    init, update = tx
    params = {"w": np.ones(2, np.float32)}
    before = {"w": params["w"].copy()}
    updates, state = update(params, init(params))
    np.testing.assert_array_equal(updates["w"], [-0.5, -0.5])
    np.testing.assert_array_equal(params["w"], before["w"])
    assert kf.tree.structure(state) == kf.tree.structure(init(params))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("optimizer", ["nesterov", "adamw", "schedule", "clip_by_global_norm"])
def test_dtypes_stay(optimizer, dtype):
    trajectory, state = run(OPTIMIZERS[optimizer][0](), "numpy", dtype)
    assert {x.dtype for x in kf.tree.leaves(trajectory)} == {np.dtype(dtype)}
    assert {x.dtype for x in kf.tree.leaves(state)} <= {np.dtype(dtype), np.dtype("int32")}


@pytest.mark.parametrize("learning_rate", [np.float64(0.1), np.float32(0.1), np.asarray(0.1)], ids=repr)
def test_numpy_learning_rates_do_not_widen(learning_rate):
    updates, _ = optim.sgd(learning_rate).update({"w": np.ones(2, np.float32)}, ((),))
    assert updates["w"].dtype == np.float32
    np.testing.assert_allclose(updates["w"], -0.1, rtol=EPS32)


def test_empty_tree():
    tx = optim.adamw()
    assert tx.update({}, tx.init({}), {})[0] == {}


def test_global_norm():
    norm = optim.global_norm({"a": np.asarray([3.0], np.float16), "b": np.asarray([[300.0], [400.0]], np.float16)})
    np.testing.assert_allclose(norm, np.sqrt(9 + 300.0**2 + 400.0**2), rtol=4 * EPS32)  # the squares overflow float16
    zero = optim.clip_by_global_norm(1.0).update({"a": np.zeros(2, np.float32)}, ())[0]
    np.testing.assert_array_equal(zero["a"], 0)


# -- configs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_config_round_trip(optimizer):
    tx = OPTIMIZERS[optimizer][0]()
    config = json.loads(json.dumps(registry.to_config("optimizer", tx)))
    again = registry.resolve("optimizer", config)
    kf.tree.map(np.testing.assert_array_equal, run(tx)[0], run(again)[0])
    assert registry.to_config("optimizer", again) == config


def test_names():
    for name, tx in {"sgd": optim.sgd(), "Adam": optim.adam(), "adamw": optim.adamw()}.items():
        assert registry.resolve("optimizer", name).config == tx.config
    assert registry.resolve("optimizer", {"class": "adam", "config": {"epsilon": 1.0}}).config["config"]["epsilon"] == 1


def test_what_has_no_config_says_so():
    with pytest.raises(ArgumentError, match="cannot describe"):
        registry.to_config("optimizer", optim.sgd(lambda n: 0.1))


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: optim.adam(beta_1=1.0), "beta_1"),
        (lambda: optim.sgd(momentum=1.5), "decay"),
        (lambda: optim.adamw().update(PARAMS, optim.adamw().init(PARAMS)), "params"),
        (lambda: optim.adamw().update(PARAMS, optim.adam().init(PARAMS), PARAMS), "opt_state"),
        (lambda: optim.cosine_decay(0.1, 0), "decay_steps"),
        (lambda: optim.piecewise_constant_decay([1, 2], [1.0, 2.0]), "boundaries"),
        (lambda: optim.sgd("fast"), "learning_rate"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


# -- schedules ---------------------------------------------------------------------------------------------------------

SCHEDULES = [
    ("CosineDecay", dict(initial_learning_rate=0.3, decay_steps=10)),
    ("CosineDecay", dict(initial_learning_rate=0.3, decay_steps=10, alpha=0.2)),
    (
        "CosineDecay",
        dict(initial_learning_rate=0.01, decay_steps=8, alpha=0.1, warmup_target=0.3, warmup_steps=5),
    ),
    ("ExponentialDecay", dict(initial_learning_rate=0.3, decay_steps=4, decay_rate=0.7)),
    ("ExponentialDecay", dict(initial_learning_rate=0.3, decay_steps=4, decay_rate=0.7, staircase=True)),
    ("InverseTimeDecay", dict(initial_learning_rate=0.3, decay_steps=4, decay_rate=0.7)),
    ("InverseTimeDecay", dict(initial_learning_rate=0.3, decay_steps=4, decay_rate=0.7, staircase=True)),
    ("PiecewiseConstantDecay", dict(boundaries=(3, 7), values=(0.3, 0.2, 0.1))),
    ("PolynomialDecay", dict(initial_learning_rate=0.3, decay_steps=10, end_learning_rate=0.1, power=2.0)),
    ("PolynomialDecay", dict(initial_learning_rate=0.3, decay_steps=4, power=0.5, cycle=True)),
]


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("cls, arguments", SCHEDULES)
def test_schedules_are_keras_s(cls, arguments, name):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    schedule, steps = getattr(optim, cls)(**arguments), np.arange(15, dtype=np.int32)
    theirs = getattr(keras.optimizers.schedules, cls)(**arguments)
    wanted = np.asarray([float(theirs(int(n))) for n in steps])
    got = schedule(kf.asarray(steps, backend=name))
    assert kf.arrays.dtype_name(got.dtype) == "float32" and kf.backend_of(got).name == name
    # Both are float32; the square root at the end of a polynomial decay turns eps into its root.
    atol = 8 * EPS32 * 0.3 if arguments.get("power") != 0.5 else 0.3 * np.sqrt(2 * EPS32)
    np.testing.assert_allclose(kf.to_numpy(got), wanted, rtol=8 * EPS32, atol=atol)
    one = schedule(kf.asarray(np.int32(5), backend=name))
    assert tuple(one.shape) == ()
    np.testing.assert_allclose(kf.to_numpy(one), wanted[5], rtol=8 * EPS32, atol=atol)


def test_schedules_take_python_numbers_and_come_back_from_configs():
    for cls, arguments in SCHEDULES:
        schedule = getattr(optim, cls)(**arguments)
        again = registry.resolve("schedule", json.loads(json.dumps(registry.to_config("schedule", schedule))))
        assert again == schedule
        assert float(again(3)) == float(schedule(np.int32(3)))
    assert float(optim.constant(0.5)(7)) == 0.5
