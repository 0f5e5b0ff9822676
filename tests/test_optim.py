"""Optimizers against optax and torch.optim in float64, on every training backend; what wraps them; their configs.

That they are Keras's is in the catalogue's table (`test_catalogue.py`).
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
import re

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
LABELS = {"dense": {"bias": "b", "kernel": "a"}, "scale": "a"}
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
    "scale_by_adam": (
        lambda: optim.chain(optim.scale_by_adam(), optim.scale_by_learning_rate(0.1)),
        lambda o: o.adam(0.1, eps=1e-7),
        lambda t, p: t.Adam(p, 0.1, eps=1e-7),
    ),
    "adam": (lambda: optim.adam(0.1, epsilon=0), lambda o: o.adam(0.1, eps=0), lambda t, p: t.Adam(p, 0.1, eps=0)),
    "adam without memory": (
        lambda: optim.chain(optim.scale_by_adam(0, 0.5, 1e-3), optim.scale(-0.1)),
        lambda o: o.adam(0.1, b1=0, b2=0.5, eps=1e-3),
        lambda t, p: t.Adam(p, 0.1, (0.0, 0.5), 1e-3),
    ),
    "adamw": (
        lambda: optim.adamw(0.1, 0.02, epsilon=0),
        lambda o: o.adamw(0.1, eps=0, weight_decay=0.02),
        lambda t, p: t.AdamW(p, 0.1, eps=0, weight_decay=0.02),
    ),
    "adamw by path": (
        lambda: optim.adamw(0.1, 0.02, epsilon=0, exclude_from_weight_decay=["bias", "^sc"]),
        lambda o: o.adamw(0.1, eps=0, weight_decay=0.02, mask=MASK),
        None,
    ),
    "add_decayed_weights with a mask": (
        lambda: optim.chain(optim.add_decayed_weights(0.3, MASK), optim.scale(-0.1)),
        lambda o: o.chain(o.add_decayed_weights(0.3, MASK), o.scale(-0.1)),
        None,
    ),
    "lion": (lambda: optim.lion(0.1, weight_decay=0.2), lambda o: o.lion(0.1, weight_decay=0.2), None),
    "lamb": (lambda: optim.lamb(0.1, epsilon=0), lambda o: o.lamb(0.1, eps=0), None),
    "rmsprop": (
        lambda: optim.rmsprop(0.1, 0.8, epsilon=1e-3),
        lambda o: o.rmsprop(0.1, 0.8, 1e-3),
        None,
    ),
    "accumulate": (
        lambda: optim.accumulate(optim.sgd(0.1, 0.9), 3),
        lambda o: o.MultiSteps(o.sgd(0.1, 0.9), 3),
        None,
    ),
    "multi_transform": (
        lambda: optim.multi_transform({"a": optim.adam(0.1, epsilon=0), "b": optim.set_to_zero()}, LABELS),
        lambda o: o.multi_transform({"a": o.adam(0.1, eps=0), "b": o.set_to_zero()}, LABELS),
        None,
    ),
    "multi_transform by path": (
        lambda: optim.multi_transform(
            {"a": optim.adam(0.1, epsilon=0), "b": "set_to_zero"}, {"kernel|scale": "a", "": "b"}
        ),
        lambda o: o.multi_transform({"a": o.adam(0.1, eps=0), "b": o.set_to_zero()}, LABELS),
        None,
    ),
    "multi_optimizer": (
        lambda: optim.multi_optimizer(
            optim.OptimizerMap(optim.adam(0.1, epsilon=0), {"dense/b.*": optim.set_to_zero()})
        ),
        lambda o: o.multi_transform({"a": o.adam(0.1, eps=0), "b": o.set_to_zero()}, LABELS),
        None,
    ),
    "schedule": (
        lambda: optim.adam(optim.cosine_decay(0.1, 4, alpha=0.1), epsilon=0),
        lambda o: o.adam(o.cosine_decay_schedule(0.1, 4, 0.1), eps=0),
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
    "optimizer", [n for n in OPTIMIZERS if n not in ("schedule", "parts", "accumulate")]
)  # schedules, and optax's accumulation, compute in float32
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
    assert int(kf.to_numpy(state.count)) == STEPS


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
    # Never in half precision: not the learning rate, which is a number that all share, and not the running means.
    rate, kept = optim.learning_rate(state), np.dtype("float32" if dtype == "float16" else dtype)
    assert {x.dtype for x in kf.tree.leaves(state) if x is not rate} <= {kept, np.dtype("int32")}
    assert rate is None or rate.dtype == kept


@pytest.mark.parametrize("optimizer", ["adam", "scale_by_adam", "rmsprop", "adamax", "nadam", "lamb", "ema"])
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] != "array_api_strict"])
def test_half_precision_as_in_float32(name, optimizer):
    """The updates are those of float32, rounded: of gradients whose squares are 0 in float16, or overflow."""
    made = {
        "scale_by_adam": lambda: optim.chain(optim.scale_by_adam(), optim.scale(-0.01)),
        "ema": lambda: optim.adam(0.01, use_ema=True, ema_overwrite_frequency=2),
    }
    tx = made.get(optimizer, lambda: getattr(optim, optimizer)(0.01))()
    values = np.float16([1.0, 2.0, -3.0, 0.5])
    grads = [np.float16(g) for g in ([1e-3, 3e-5, 300, 2e-7], [2e-3, 1e-5, -500, 0], [1e-4, 0, 100, 1e-6])]

    def updates(params, dtype):
        state, out = tx.init({"w": kf.ops.cast(params, dtype)}), []
        for g in grads:  # always at the same parameters, which rounding would move elsewhere
            u, state = tx.update({"w": kf.ops.cast(kf.asarray(g, backend=name), dtype)}, state, {"w": params})
            out.append(u["w"])
        assert {kf.arrays.dtype_name(u.dtype) for u in out} == {dtype}
        return [kf.to_numpy(u) for u in out]

    params = kf.asarray(values, backend=name)
    for a, b in zip(updates(params, "float16"), updates(kf.ops.cast(params, "float32"), "float32"), strict=True):
        np.testing.assert_allclose(a, b, rtol=2.0**-10, atol=2.0**-24)


@pytest.mark.parametrize("learning_rate", [np.float64(0.1), np.float32(0.1), np.asarray(0.1)], ids=repr)
def test_numpy_learning_rates_do_not_widen(learning_rate):
    tx, params = optim.sgd(learning_rate), {"w": np.ones(2, np.float32)}
    updates, _ = tx.update(params, tx.init(params))
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


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda tx: pickle.loads(pickle.dumps(tx))])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_copies(optimizer, copied):
    tx = OPTIMIZERS[optimizer][0]()
    again = copied(tx)
    assert again is not tx
    assert registry.to_config("optimizer", again) == registry.to_config("optimizer", tx)
    kf.tree.map(np.testing.assert_array_equal, run(tx)[0], run(again)[0])


SHARED = """weight_decay clipnorm clipvalue global_clipnorm use_ema ema_momentum ema_overwrite_frequency
loss_scale_factor gradient_accumulation_steps name exclude_from_weight_decay""".split()


@pytest.mark.parametrize("cls", optim.Optimizer.__subclasses__(), ids=lambda cls: cls.__name__)
def test_every_argument_is_a_field_and_documented(cls):
    arguments = inspect.signature(cls).parameters
    fields = [f.name for f in dataclasses.fields(cls) if f.init]
    assert sorted(arguments) == sorted(fields)
    assert {*SHARED} <= {*arguments}
    assert [name for name in arguments if name in SHARED and name != "weight_decay"] == SHARED[1:]
    # The arguments' section has a line that begins with each name, alone or among others.
    documented = re.findall(r"^    ((?:\w+(?:, )?)+):", cls.__doc__, re.MULTILINE)
    assert {*arguments} == {name for names in documented for name in names.split(", ")}


def test_what_has_no_config_says_so():
    with pytest.raises(ArgumentError, match="cannot describe"):
        registry.to_config("optimizer", optim.sgd(lambda n: 0.1))


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: optim.adam(beta_1=1.0), "beta_1"),
        (lambda: optim.adam(beta_2=True), "beta_2"),
        (lambda: optim.adam(amsgrad=1), "amsgrad"),
        (lambda: optim.sgd(-0.1), "learning_rate"),
        (lambda: optim.sgd(float("nan")), "learning_rate"),
        (lambda: optim.sgd(True), "learning_rate"),
        (lambda: optim.sgd(momentum=1.5), "momentum"),
        (lambda: optim.trace(1.0), "decay"),
        (lambda: optim.sgd(weight_decay=-1), "weight_decay"),
        (lambda: optim.adamw(weight_decay=None), "weight_decay"),
        (lambda: optim.sgd(clipnorm=1.0, clipvalue=1.0), "clipvalue"),
        (lambda: optim.sgd(clipnorm=0), "clipnorm"),
        (lambda: optim.sgd(global_clipnorm="1"), "global_clipnorm"),
        (lambda: optim.sgd(use_ema=1), "use_ema"),
        (lambda: optim.sgd(ema_momentum=1.1), "ema_momentum"),
        (lambda: optim.sgd(ema_overwrite_frequency=0), "ema_overwrite_frequency"),
        (lambda: optim.sgd(loss_scale_factor=0), "loss_scale_factor"),
        (lambda: optim.sgd(gradient_accumulation_steps=1), "gradient_accumulation_steps"),
        (lambda: optim.sgd(name=3), "name"),
        (lambda: optim.sgd(exclude_from_weight_decay="("), "exclude_from_weight_decay"),
        (lambda: optim.sgd(exclude_from_weight_decay=3), "exclude_from_weight_decay"),
        (lambda: optim.rmsprop(rho=1), "rho"),
        (lambda: optim.adadelta(epsilon=-1), "epsilon"),
        (lambda: optim.adagrad(initial_accumulator_value=-1), "initial_accumulator_value"),
        (lambda: optim.ftrl(learning_rate_power=0.1), "learning_rate_power"),
        (lambda: optim.ftrl(0), "learning_rate"),
        (lambda: optim.ftrl(l1_regularization_strength=-1), "l1_regularization_strength"),
        (lambda: optim.lion(beta_1=0), "beta_1"),
        (lambda: optim.schedule_free_adamw(beta_1=0), "beta_1"),
        (lambda: optim.schedule_free_adamw(warmup_steps=1.5), "warmup_steps"),
        (lambda: optim.adafactor(beta_2_decay=0.8), "beta_2_decay"),
        (lambda: optim.adafactor(clip_threshold=0), "clip_threshold"),
        (lambda: optim.muon(ns_steps=-1), "ns_steps"),
        (lambda: optim.muon(exclude_layers=["["]), "exclude_layers"),
        (lambda: optim.accumulate(optim.sgd(), 0), "steps"),
        (lambda: optim.accumulate(3, 2), "inner"),
        (lambda: optim.ema(optim.sgd(), -1), "momentum"),
        (lambda: optim.loss_scale(optim.sgd(), 0), "initial_scale"),
        (lambda: optim.loss_scale(optim.sgd(), dynamic_growth_steps=0), "dynamic_growth_steps"),
        (lambda: optim.loss_scale(optim.sgd(loss_scale_factor=2)), "inner_optimizer"),
        (lambda: optim.multi_optimizer({"w": optim.sgd()}), "optimizer_map"),
        (lambda: optim.OptimizerMap(optim.sgd(), {"(": optim.sgd()}), "optimizer_map"),
        (lambda: optim.OptimizerMap("sdg"), "did you mean 'sgd'"),
        (
            lambda: optim.multi_optimizer(optim.OptimizerMap("sgd", {"s.*": "adam", ".*e": "adam"})).init(PARAMS),
            "several",
        ),
        (lambda: optim.multi_optimizer(lambda path: optim.loss_scale("sgd")).init(PARAMS), "inner_optimizer"),
        (lambda: optim.multi_transform({"a": optim.sgd()}, {"kernel": "a"}).init(PARAMS), "param_labels"),
        (lambda: optim.ema("sgd").update(PARAMS, optim.ema("sgd").init(PARAMS)), "params"),
        (lambda: optim.lamb().update(PARAMS, optim.lamb().init(PARAMS)), "params"),
        (lambda: optim.exponential_decay(-1, 2, 0.5), "initial_learning_rate"),
        (lambda: optim.exponential_decay(1, 2, 0.5, staircase=1), "staircase"),
        (lambda: optim.cosine_decay_restarts(1, 0), "first_decay_steps"),
        (lambda: optim.cosine_decay_restarts(1, 2, 0.5), "t_mul"),
        (lambda: optim.adamw().update(PARAMS, optim.adamw().init(PARAMS)), "params"),
        (lambda: optim.adamw().update(PARAMS, optim.ema("adamw").init(PARAMS), PARAMS), "opt_state"),
        (lambda: optim.chain("sgd").update(PARAMS, (), PARAMS), "opt_state"),
        (lambda: optim.cosine_decay(0.1, 0), "decay_steps"),
        (lambda: optim.piecewise_constant_decay([1, 2], [1.0, 2.0]), "boundaries"),
        (lambda: optim.sgd("fast"), "learning_rate"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


# -- what optimizers have beside init and update -----------------------------------------------------------------------


def test_only_what_is_there():
    assert not any(hasattr(optim.adam(), name) for name in ("loss_scale", "skipped", "finalize"))


@pytest.mark.parametrize("name", TRAINING)
def test_averages(name):
    tx = optim.chain(optim.clip_by_value(10.0), optim.ema(optim.sgd(0.1), 0.5))
    trajectory, state = run(tx, name)
    wanted = trajectory[0]
    for after in trajectory[1:]:
        wanted = kf.tree.map(lambda a, b: (a + b) / 2, wanted, after)
    got = kf.tree.map(kf.to_numpy, tx.finalize(kf.to_backend(trajectory[-1], name), state))
    kf.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=16 * EPS32, atol=16 * EPS32), got, wanted)


@pytest.mark.parametrize("every", [1, 3, 4])
def test_when_averages_take_the_place_of_parameters(every):
    tx = optim.SGD(0.5, use_ema=True, ema_momentum=0.75, ema_overwrite_frequency=every)
    p = average = 8.0
    params, state = np.float64([8]), tx.init(np.float64([8]))
    for step in range(1, 10):
        updates, state = tx.update(np.float64([step]), state, params)
        params = optim.apply_updates(params, updates)
        p -= 0.5 * step
        average = p if step == 1 else 0.75 * average + 0.25 * p  # Keras begins with the parameters after a step
        p = average if step % every == 0 else p
        assert params == [p]


def test_lamb_where_parameters_are_0():
    """There is no norm to keep to: steps are Adam's."""
    g = np.asarray([1e-3, -2e-3])
    tx = optim.lamb(0.1, epsilon=1e-3)
    state = tx.init(g * 0)
    for _ in range(2):
        updates, state = tx.update(g, state, g * 0)
        np.testing.assert_allclose(updates, -0.1 * g / (abs(g) + 1e-3), rtol=1e-12)


def test_muon_divides_by_a_little_more_than_the_norm():
    g = np.diag([3e-7, 4e-7])  # of the norm 5e-7
    tx = optim.muon(0.1, weight_decay=None, momentum=0, nesterov=False, ns_steps=1, rms_rate=None)
    x = g / (5e-7 + 1e-7)
    by = np.diag(np.diag(tx.muon_a * x + tx.muon_b * x**3 + tx.muon_c * x**5))
    np.testing.assert_allclose(tx.update(g, tx.init(g), g)[0], -0.1 * by, rtol=1e-12)


def test_adafactor_where_nothing_is_clipped():
    """With the usual threshold nearly every step is clipped, which hides the size of the step."""
    rng = np.random.default_rng(0)
    tx = optim.Adafactor(0.5, beta_2_decay=-0.8, epsilon_1=1e-30, clip_threshold=1e6, relative_step=False)
    p = rng.normal(size=(2, 3))
    params, state, mean = p, tx.init(p), np.zeros((2, 3))
    for t in range(1, 4):
        g = rng.normal(size=(2, 3)) * 10**t
        updates, state = tx.update(g, state, params)
        params = optim.apply_updates(params, updates)
        keep = 1 - t**-0.8
        mean = keep * mean + (1 - keep) * g**2
        factored = np.outer(mean.sum(1), mean.sum(0)) / mean.sum()
        p = p - 0.5 * np.sqrt(np.mean(p**2)) * g / np.sqrt(factored)
        np.testing.assert_allclose(params, p, rtol=1e-12)


def test_schedule_free_evaluates_at_the_mean_of_where_it_was():
    tx = optim.schedule_free_adamw(0.1, beta_1=0.6)
    params, zs = PARAMS, []
    state = tx.init(params)
    for grads in GRADS:
        updates, state = tx.update(grads, state, params)
        params = optim.apply_updates(params, updates)
        zs.append(state.inner.z)
    mean = kf.tree.map(lambda *z: sum(z) / len(z), *zs)
    kf.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), tx.finalize(params, state), mean)


@pytest.mark.parametrize("name", TRAINING)
def test_loss_scale(name):
    """In half precision, where there is one: of six steps two overflow."""
    half = "float32" if name == "array_api_strict" else "float16"
    tx = optim.loss_scale(optim.adam(0.1, use_ema=True), 2.0**15, dynamic_growth_steps=3)
    assert not hasattr(optim.adam(loss_scale_factor=2.0), "skipped")
    params = kf.to_backend({"w": np.ones(3, half)}, name)
    state, update = tx.init(params), kf.jit(tx.update)
    scales, moved = [], []
    for size in (1.0, np.inf, 1.0, 1.0, 1.0, np.nan):
        scales.append(float(kf.to_numpy(tx.loss_scale(state))))
        grads = kf.to_backend({"w": np.full(3, size, half)}, name)
        updates, after = update(grads, state, params)
        moved.append(bool(kf.to_numpy(updates["w"])[0]))
        assert np.isfinite(kf.to_numpy(after.inner.inner.inner.mu["w"])).all()
        assert kf.arrays.dtype_name(updates["w"].dtype) == half
        state = after
    assert scales == [2.0**15, 2.0**15, 2.0**14, 2.0**14, 2.0**14, 2.0**15]
    assert moved == [True, False, True, True, True, False]
    assert int(kf.to_numpy(tx.skipped(state))) == 2
    assert int(kf.to_numpy(state.inner.count)) == 4


def test_a_scale_out_of_the_range_of_half_precision():
    tx = optim.sgd(1.0, loss_scale_factor=2.0**17)
    grads = {"w": np.full(2, 2.0**15, np.float16)}
    state = tx.init(grads)
    assert tx.update(grads, state)[0]["w"].tolist() == [-0.25, -0.25]
    assert tx.loss_scale(state) == 2.0**17


def test_paths_reach_nested_optimizers():
    seen = []
    tx = optim.multi_optimizer(lambda path: seen.append(path) or FROZEN)
    assert tx.update(GRADS[0], tx.init(PARAMS))[0]["scale"] == 0
    assert set(seen) == {"dense/bias", "dense/kernel", "scale"}
    nested = optim.multi_optimizer(
        optim.OptimizerMap(optim.sgd(1.0, weight_decay=1.0, exclude_from_weight_decay="e/b"))
    )
    zero = kf.tree.map(np.zeros_like, PARAMS)
    updates, _ = nested.update(zero, nested.init(PARAMS), PARAMS)
    kf.tree.map(
        np.testing.assert_array_equal, updates["dense"], {"bias": np.zeros(3), "kernel": -PARAMS["dense"]["kernel"]}
    )


FROZEN = optim.set_to_zero()


def test_adafactor_keeps_no_matrices():
    state = optim.adafactor().init({"w": np.ones((30, 20), np.float32), "b": np.ones(20, np.float32)})
    assert sum(x.size for x in kf.tree.leaves(state.inner)) == 30 + 20 + 1 + 2 + 20


def test_relative_step_says_what_happens():
    """Without it, and with a schedule, the rate stays as it is: Keras caps it at 1 / sqrt(t) all the same."""
    steps = []
    for options in ({"relative_step": False}, {"relative_step": True}):
        tx = optim.adafactor(1.0, **options)
        params = {"w": np.ones(4)}
        state = tx.init(params)
        for _ in range(4):
            updates, state = tx.update({"w": np.ones(4)}, state, params)
        steps.append(-updates["w"][0])
    np.testing.assert_allclose(steps, [1.0, 0.5])


# -- schedules ---------------------------------------------------------------------------------------------------------

SCHEDULES = [
    ("CosineDecay", dict(initial_learning_rate=0.01, decay_steps=8, alpha=0.1, warmup_target=0.3, warmup_steps=5)),
    ("CosineDecayRestarts", dict(initial_learning_rate=0.3, first_decay_steps=2)),
    ("ExponentialDecay", dict(initial_learning_rate=0.3, decay_steps=4, decay_rate=0.7, staircase=True)),
    ("InverseTimeDecay", dict(initial_learning_rate=0.3, decay_steps=4, decay_rate=0.7)),
    ("PiecewiseConstantDecay", dict(boundaries=(3, 7), values=(0.3, 0.2, 0.1))),
    ("PolynomialDecay", dict(initial_learning_rate=0.3, decay_steps=4, power=0.5, cycle=True)),
]


@pytest.mark.parametrize("name", TRAINING)
def test_a_restart_begins_at_the_top(name):
    """Where Keras, and float32, take a logarithm of 2**n for less than n."""
    steps = 2 * (2 ** np.arange(1, 24, dtype=np.int32) - 1)
    rates = optim.cosine_decay_restarts(1.0, 2)(kf.to_backend(steps, name))
    np.testing.assert_allclose(kf.to_numpy(rates), 1)
    rates = optim.cosine_decay_restarts(1.0, 2)(kf.to_backend(steps - 1, name))
    assert (kf.to_numpy(rates) <= 0.51).all()


def test_schedules_take_python_numbers_and_come_back_from_configs():
    for cls, arguments in SCHEDULES:
        schedule = getattr(optim, cls)(**arguments)
        again = registry.resolve("schedule", json.loads(json.dumps(registry.to_config("schedule", schedule))))
        assert again == schedule
        assert float(again(3)) == float(schedule(np.int32(3)))
    assert float(optim.constant(0.5)(7)) == 0.5
