"""Functions of JAX and modules of flax as layers, and networks as modules of flax and equinox: each against the library
itself, with values, gradients, state, and the training loops that its users write."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest

import kfunc as kf
from kfunc import nn, optim
from kfunc.interop import jax as interop
from kfunc.nn.scope import mix

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")
eqx = pytest.importorskip("equinox")
optax = pytest.importorskip("optax")
pytestmark = [pytest.mark.jax, pytest.mark.usefixtures("quickly_compiled")]

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(8, 3)).astype("float32"), RNG.normal(size=(8, 2)).astype("float32")


# -- the modules, and what their libraries do with them ----------------------------------------------------------------


@kf.register("layer", "test_jax_modules.affine")
def affine(params, inputs):
    return inputs @ params["linear/~/w"] + params["rest"][0]


@kf.register("layer", "test_jax_modules.affine_init")
def affine_init(rng, inputs):
    w = jax.random.normal(rng, (inputs.shape[-1], 2))
    return {"linear/~/w": w, "rest": [jnp.zeros(2), (jnp.ones(()),)]}


def noisy(params, state, rng, inputs, training):
    y = jnp.tanh(inputs["a"] @ params["w"]) * params["half"] * 2
    if training:
        y = y * jax.random.bernoulli(rng, 0.5, y.shape)
    return y, {"mean": 0.5 * state["mean"] + 0.5 * y.mean(0), "count": state["count"] + 1, "key": state["key"]}


def noisy_init(rng, inputs):
    w = jax.random.normal(rng, (inputs["a"].shape[-1], 2))
    # An integer, and a key of JAX's own type, have no gradient.
    return {"w": w, "half": 0.5}, {"mean": jnp.zeros(2), "count": jnp.int32(0), "key": jax.random.key(3)}


class Linen(linen.Module):
    features: int = 2

    @linen.compact
    def __call__(self, x, training: bool):
        x = linen.BatchNorm(use_running_average=not training)(linen.Dense(4)(x))
        return linen.Dense(self.features)(linen.Dropout(0.5, deterministic=not training)(x))

    @linen.compact
    def other(self, x, deterministic=True):
        return linen.Dropout(0.5)(linen.Dense(2)(x["a"]), deterministic=deterministic)


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.linear, self.norm = nnx.Linear(3, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)
        self.rest = nnx.List([nnx.Linear(4, 2, rngs=rngs)])

    def __call__(self, x):
        return self.rest[0](self.norm(self.linear(x)))


@kf.register("layer", "test_jax_modules.made")
def made():
    return Nnx(nnx.Rngs(0))


MLP = eqx.nn.MLP(3, 2, 4, 1, activation=jnp.tanh, key=jax.random.key(0))
NNX = made()


def mlp(params, inputs):
    return jax.vmap(params)(inputs)


def native_mlp(p, s, key, x, train):
    w, b = p["params"]["layers"]["0"]["weight"], p["params"]["layers"]["0"]["bias"]
    v, c = p["params"]["layers"]["1"]["weight"], p["params"]["layers"]["1"]["bias"]
    where = lambda m: [m.layers[0].weight, m.layers[0].bias, m.layers[1].weight, m.layers[1].bias]  # noqa: E731
    return jax.vmap(eqx.tree_at(where, MLP, [w, b, v, c]))(x), s


def native_affine(p, s, key, x, train):
    p = p["params"]
    return affine({"linear/~/w": p["linear"]["~"]["w"], "rest": [p["rest"]["0"]]}, x), s


def native_noisy(p, s, key, x, train):
    state = s["state"] | {"key": jax.random.wrap_key_data(s["state"]["key"])}
    y, new = noisy(p["params"], state, key, x, train)
    return y, {"state": new | {"key": jax.random.key_data(new["key"])}}


def native_linen(method=None):
    def run(p, s, key, x, train):
        told = {"training": train} if method is None else {"deterministic": not train}
        rngs = {} if key is None else {"dropout": key}
        y, new = Linen().apply({**p, **s}, x, rngs=rngs, method=method, mutable=list(s), **told)
        return y, new

    return run


def native_nnx(p, s, key, x, train):
    module = nnx.clone(NNX)
    (module.train if train else module.eval)()
    leaves = {**p, **{n: {**p[n], **s[n]} for n in s}}
    for name, part in (("linear", module.linear), ("norm", module.norm), ("rest/0", module.rest[0])):
        for key_, value in (leaves["rest"]["0"] if "/" in name else leaves[name]).items():
            getattr(part, key_)[...] = value
    y = module(x)
    return y, {"norm": {"mean": module.norm.mean[...], "var": module.norm.var[...]}}


DICT = {"a": X}
ROWS = {
    "function": (lambda **k: nn.JaxLayer(affine, affine_init, **k), native_affine, X),
    "state": (lambda **k: nn.JaxLayer(noisy, noisy_init, **k), native_noisy, DICT),
    "equinox": (lambda **k: nn.JaxLayer(mlp, params=MLP, **k), native_mlp, X),
    "linen": (lambda **k: nn.FlaxLayer(Linen(), **k), native_linen(), X),
    "method": (lambda **k: nn.FlaxLayer(Linen(), "other", **k), native_linen("other"), DICT),
    "nnx": (lambda **k: nn.FlaxLayer(NNX, **k), native_nnx, X),
}
rows = pytest.mark.parametrize("row", ROWS)


def equal(a, b):
    kf.tree.map(np.testing.assert_array_equal, a, b)


def close(a, b):
    kf.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), a, b)


@functools.cache
def started(row):
    make, native, x = ROWS[row]
    layer, x = make(), kf.to_backend(x, "jax")
    params, state = layer.init(0, x)
    return layer, native, x, params, state


@pytest.mark.parametrize(("row", "train"), [*[(row, True) for row in ROWS], ("state", False), ("linen", False)])
def test_values_state_and_gradients(row, train):
    """They are the library's own to the bit, since it computes them."""
    layer, native, x, params, state = started(row)
    key = kf.random.key(5, backend="jax") if train else None
    drawn = kf.random.fold_in(key, mix(0, 0)) if train else None  # as `Scope.key`, at the root

    def ours(params):
        y, new = layer.apply(params, x, state=state, key=key, train=train)
        return (y * y).sum(), (y, new)

    def theirs(params):
        y, new = native(params, state, drawn, x, train)
        return (y * y).sum(), (y, new)

    ((_, got), grads), ((_, want), wanted) = (jax.value_and_grad(f, has_aux=True)(params) for f in (ours, theirs))
    equal(got[0], want[0])
    if state:
        equal(got[1], want[1])
    equal(grads, wanted)


@pytest.mark.parametrize("row", ["state", "linen", "nnx"])
def test_in_a_model(row):
    """It is trained, frozen, mapped over a new axis, and known on shapes alone."""
    make, _, x = ROWS[row]
    model = kf.Model(nn.Sequential([make(name="foreign")]), seed=1)
    model.compile("sgd", "mse")
    losses = model.fit(x, Y, 8, 2, verbose=0, backend="jax").history["loss"]
    assert losses[1] < losses[0] or row in ("state", "linen", "method")  # which draw other masks
    trace = model.net.trace(kf.tree.map(lambda a: kf.Spec((None, *a.shape[1:])), x))
    assert trace.outputs[-1][2].shape == (None, 2) and not trace.draws
    params, state = model.train_state.params, model.train_state.state
    before = model.predict(x)
    assert before.shape == (8, 2)
    stacked = kf.tree.map(lambda a: jnp.stack([a, 2 * a]), kf.to_backend(x, "jax"))
    mapped = kf.vmap(lambda x: model.net.apply(params, x, state=state)[0])(stacked)
    close(mapped[0], before)
    model.freeze("foreign")
    assert not kf.tree.leaves(model.train_state.params)
    close(model.predict(x), before)


@rows
def test_frozen(row):
    """The parameters are a part of the state, and stay; statistics of a batch are not taken."""
    make, _, x = ROWS[row]
    layer, x = make(trainable=False), kf.to_backend(x, "jax")
    params, state = layer.init(0, x)
    assert not params
    y, new = layer.apply({}, x, state=state, key=0, train=True)
    equal(layer.apply({}, x, state=state)[0], y)
    if row != "state":  # which counts its calls
        equal(new, state)


def test_training_is_that_of_the_library():
    """Three steps of optax on a module of linen, by hand and by `fit`."""
    variables = _Still().init(jax.random.key(0), X, training=False)
    model = kf.Model(nn.FlaxLayer(_Still(), variables=variables))
    model.compile(optax.sgd(0.1), "mse")
    model.fit(X, Y, 8, 3, verbose=0, backend="jax")

    params, stats, optimizer = variables["params"], variables["batch_stats"], optax.sgd(0.1)
    opt_state = optimizer.init(params)
    for _ in range(3):

        def loss(params, stats=stats):
            y, new = _Still().apply({"params": params, "batch_stats": stats}, X, training=True, mutable=["batch_stats"])
            return ((y - Y) ** 2).mean(), new["batch_stats"]

        grads, stats = jax.grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        params = optax.apply_updates(params, updates)
    close({**model.train_state.params, **model.train_state.state}, {"params": params, "batch_stats": stats})


class _Still(linen.Module):
    @linen.compact
    def __call__(self, x, training: bool):
        return linen.Dense(2)(linen.BatchNorm(use_running_average=not training)(linen.Dense(4)(x)))


@pytest.mark.parametrize("row", ["state", "linen", "nnx"])
def test_first_values(row):
    """They depend on the seed, unless they are given. The library draws all of a module's from one key."""
    make, _, x = ROWS[row]
    (a, _), (b, _), (c, _) = (make().init(seed, kf.to_backend(x, "jax")) for seed in (0, 0, 1))
    equal(a, b)
    same = all(np.array_equal(p, q) for p, q in zip(*map(kf.tree.leaves, (a, c)), strict=True))
    assert same == (row == "nnx")
    on_numpy, _ = make().init(0, kf.tree.map(lambda a: kf.Spec(a.shape), x))
    equal(on_numpy, a)
    for leaf in kf.tree.leaves(on_numpy):  # `fit` may write to it
        assert isinstance(leaf, np.ndarray) and leaf.flags.writeable and leaf.base is None


def test_integers_do_not_train():
    """They have no gradient, and stand in the state below "params"; the function gets them with the parameters."""
    layer = nn.JaxLayer(lambda params, inputs: inputs * params["n"] * params["x"], params={"n": 3, "x": 2.0})
    params, state = layer.init(0, jnp.asarray(X))
    assert kf.tree.paths(params) == ["params/x"] and kf.tree.paths(state) == ["params/n"]
    grads = kf.grad(lambda params: layer.apply(params, jnp.asarray(X), state=state)[0].sum())(params)
    close(grads["params"]["x"], 3 * X.sum())
    equal(layer.apply(params, jnp.asarray(X), state=state, train=True)[1], state)


@pytest.mark.parametrize("row", ["function", "linen", "linen in half precision", "nnx"])
def test_under_a_policy(row):
    """The parameters stay as they are, the inputs come in half precision, and the library says what follows."""
    half = jnp.bfloat16
    module = {
        "linen": lambda: linen.Dense(2),
        "linen in half precision": lambda: linen.Dense(2, dtype=half),
        "nnx": lambda: nnx.Linear(3, 2, rngs=nnx.Rngs(0)),
    }
    layer = nn.JaxLayer(affine, affine_init) if row == "function" else nn.FlaxLayer(module[row]())
    net = nn.Sequential([layer], dtype="mixed_bfloat16")
    x = jnp.asarray(X)
    params, state = net.init(0, x)
    assert {v.dtype for v in kf.tree.leaves(params)} == {np.dtype("float32")}
    out, _ = net.apply(params, x, state=state)
    assert out.dtype == (half if row == "linen in half precision" else jnp.float32)
    plain, _ = layer.apply(params[next(iter(params))], x.astype(half), state=state.get("flax_layer", {}))
    equal(out, plain)


def test_the_seed_of_a_layer():
    """Layers with other seeds draw other numbers from one key."""

    def call(rng, inputs, training):
        return jax.random.normal(rng, inputs.shape) if training else inputs

    a, b, c = (nn.JaxLayer(call, seed=n).apply({}, jnp.asarray(X), key=0, train=True)[0] for n in (1, 1, 2))
    equal(a, b)
    assert not np.array_equal(a, c)


def test_one_key():
    layer = nn.JaxLayer(lambda params, inputs: inputs, lambda rng, inputs: {"a": rng * 1.0, "b": rng * 1.0})
    params, _ = nn.Sequential([layer]).init(0, kf.Spec((1,)))
    equal(params["jax_layer"]["params"]["a"], params["jax_layer"]["params"]["b"])


def test_draws_of_nnx():
    """Dropout is a function of the call's key, and the module itself stays as it is."""

    class Dropped(nnx.Module):
        def __init__(self):
            self.drop, self.again = nnx.Dropout(0.5, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.drop(x), self.again(x)

    layer, x = nn.FlaxLayer(Dropped()), jnp.ones((4, 16))
    (a, b), _ = layer.apply({}, x, key=0, train=True)
    equal(layer.apply({}, x, key=0, train=True)[0], (a, b))
    assert not np.array_equal(a, b) and not np.array_equal(a, layer.apply({}, x, key=1, train=True)[0][0])
    equal(layer.apply({}, x)[0], (x, x))
    assert int(layer.module.drop.rngs.count[...]) == 0
    with pytest.raises(kf.errors.MissingKeyError):
        layer.apply({}, x, train=True)


def test_a_module_that_always_draws():
    """`predict` gives it a key, as the trace says."""

    class Sampled(linen.Module):
        @linen.compact
        def __call__(self, x):
            return x + jax.random.normal(self.make_rng("sample"), x.shape)

    model = kf.Model(nn.FlaxLayer(Sampled()))
    assert model.net.trace(kf.Spec((None, 3))).draws
    model.build(kf.Spec((None, 3)), backend="jax")
    assert not np.array_equal(model.predict(X), X)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.JaxLayer(affine, affine_init),
        lambda: nn.JaxLayer("custom:test_jax_modules.affine", affine_init),
        lambda: nn.FlaxLayer(made),
        lambda: nn.FlaxLayer("custom:test_jax_modules.made"),
        lambda: nn.FlaxLayer(Registered(features=2)),
    ],
    ids=["functions", "a name", "nnx", "a name of nnx", "linen"],
)
def test_in_a_file(make, tmp_path):
    """A file names functions and classes that are registered."""
    model = kf.Model(nn.Sequential([make()]))
    model.build(kf.Spec((None, 3)), backend="jax")
    model.save(tmp_path / "model")
    again = kf.Model.load(tmp_path / "model", backend="jax")
    equal(again.predict(X), model.predict(X))
    equal(kf.Model(copy.deepcopy(model.net)).predict(X, backend="jax").shape, (8, 2))


@kf.register("layer", "test_jax_modules.Registered")
class Registered(linen.Module):
    features: int

    @linen.compact
    def __call__(self, inputs):
        return linen.Dense(self.features)(inputs)


WRONG = {
    "backend": (
        lambda: nn.JaxLayer(affine, affine_init).apply(*_numpy()),
        "UnsupportedError",
        "JaxLayer computes with",
    ),
    "numpy model": (lambda: kf.Model(nn.FlaxLayer(Linen())).predict(X), "UnsupportedError", "arrays of jax only"),
    "no key": (lambda: _trained("linen"), "MissingKeyError", "FlaxLayer draws random numbers"),
    "no rng": (lambda: _trained("state"), "MissingKeyError", "JaxLayer draws random numbers"),
    "nothing": (lambda: nn.JaxLayer(affine), "ArgumentError", "are all None"),
    "argument": (lambda: nn.JaxLayer(lambda params, x: x), "ArgumentError", "`call_fn` has an argument 'x'"),
    "no inputs": (lambda: nn.JaxLayer(lambda params: 0), "ArgumentError", "no argument 'inputs'"),
    "init": (lambda: nn.JaxLayer(affine, lambda key, inputs: 0), "ArgumentError", "`init_fn` has an argument 'key'"),
    "no function": (lambda: nn.JaxLayer(3), "ArgumentError", "`call_fn` must be a function"),
    "module": (lambda: nn.FlaxLayer(nn.Dense(2)), "ArgumentError", "must be a module of flax"),
    "class": (lambda: nn.FlaxLayer(Linen), "ArgumentError", "must be a module of flax"),
    "variables": (lambda: nn.FlaxLayer(NNX, variables={}), "ArgumentError", "`variables` must be None"),
    "no variables": (
        lambda: nn.FlaxLayer(_Still(), variables={"params": 3}).init(0, X),
        "ArgumentError",
        "`variables`",
    ),
    "other variables": (
        lambda: nn.FlaxLayer(_Still(), variables={"params": {"x": X}}).init(0, X),
        "ParamError",
        "The variables are not those of the module",
    ),
    "two names": (
        lambda: nn.JaxLayer(affine, params={"a/b": X, "a": {"b": X}}),
        "ArgumentError",
        "Two variables of the module have the name 'params/a/b'",
    ),
    "another state": (
        lambda: nn.JaxLayer(lambda state, inputs: (inputs, {"b": 1.0}), state={"a": 1.0}).init(0, X),
        "ArgumentError",
        "a state of another structure",
    ),
    "no state": (
        lambda: nn.JaxLayer(lambda state, inputs: inputs, state={"a": 1.0}).init(0, X),
        "ArgumentError",
        "returns its output and its new state",
    ),
    "no array": (
        lambda: nn.JaxLayer(lambda inputs: (inputs, object())).init(0, X),
        "ArgumentError",
        "The module in JaxLayer returned a value of type object",
    ),
    **{
        name: (lambda make=make: make(linen.Dense(2)), "ArgumentError", "`net` must be a layer")
        for name, make in {
            "linen": interop.to_flax,
            "nnx": lambda net: interop.to_nnx(net, {}),
            "equinox": lambda net: interop.to_equinox(net, {}),
        }.items()
    },
    "function in a file": (
        lambda: kf.registry.to_config("layer", nn.JaxLayer(mlp, affine_init)),
        "ArgumentError",
        "A config cannot describe <function mlp",
    ),
    "module in a file": (
        lambda: kf.registry.to_config("layer", nn.FlaxLayer(Linen())),
        "ArgumentError",
        "A config cannot describe Linen",
    ),
}


def _numpy():
    return kf.to_backend(nn.JaxLayer(affine, affine_init).init(0, X)[0], "numpy"), X


def _trained(row):
    layer, _, x, params, state = started(row)
    layer.apply(params, x, state=state, train=True)


@pytest.mark.parametrize("row", WRONG)
def test_refusals(row):
    run, error, words = WRONG[row]
    with pytest.raises(getattr(kf.errors, error)) as caught:
        run()
    assert words in str(caught.value)


# -- networks as modules -----------------------------------------------------------------------------------------------


NET = nn.Sequential([nn.Dense(4, "tanh", kernel_regularizer="l2"), nn.BatchNormalization(), nn.Dense(2)])


def by_hand(steps=3):
    """Steps of kfunc's own functions: the parameters and the state."""
    params, state = NET.init(0, jnp.asarray(X))
    optimizer = optim.sgd(0.1)
    opt_state = optimizer.init(params)
    for _ in range(steps):

        def loss(params, state=state):
            y, new, aux = NET.apply(params, jnp.asarray(X), state=state, train=True, aux=True)
            return ((y - Y) ** 2).mean() + sum(aux.losses.values()), new

        (_, state), grads = kf.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = kf.tree.map(lambda p, u: p + u, params, updates)
    return params, state


def test_in_a_loop_of_flax():
    module = interop.to_flax(NET)
    first = module.init(jax.random.key(0), X)
    params, state = NET.init(0, jnp.asarray(X))
    assert kf.tree.structure(first) == kf.tree.structure({"params": params, "state": state})
    equal(module.apply({"params": params, "state": state}, X), NET.apply(params, jnp.asarray(X), state=state)[0])
    optimizer = optax.sgd(0.1)
    opt_state = optimizer.init(params)
    for _ in range(3):

        def loss(params, state=state):
            out = module.apply({"params": params, "state": state}, X, training=True, mutable=["state", "losses"])
            y, new = out
            return ((y - Y) ** 2).mean() + sum(jax.tree.leaves(new["losses"])), new["state"]

        grads, state = jax.grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        params = optax.apply_updates(params, updates)
    close((params, state), by_hand())
    with pytest.raises(Exception, match="is immutable"):  # as flax's own layers
        module.apply({"params": params, "state": state}, X, training=True)


def test_inside_of_a_module_of_linen():
    class Whole(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(1)(interop.to_flax(nn.Sequential([nn.Dense(4), nn.Dropout(0.5)]))(x))

    variables = Whole().init(jax.random.key(0), X)
    assert variables["params"]["KfuncModule_0"]["dense"]["kernel"].shape == (3, 4)
    assert Whole().apply(variables, X).shape == (8, 1)


def test_in_a_loop_of_nnx():
    module = interop.to_nnx(NET, *NET.init(0, jnp.asarray(X)))
    optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(module, optimizer):
        def loss(module):
            y, aux = module(X, aux=True)
            return ((y - Y) ** 2).mean() + sum(aux.losses.values())

        optimizer.update(module, nnx.grad(loss)(module))

    for _ in range(3):
        step(module, optimizer)
    params, state = by_hand()
    module.eval()
    close(module(X), NET.apply(params, jnp.asarray(X), state=state)[0])
    kept = jax.tree.leaves(module.state, is_leaf=lambda v: isinstance(v, nnx.Variable))
    close([v[...] for v in kept], jax.tree.leaves(state))


def test_in_a_loop_of_equinox():
    params, state = NET.init(0, jnp.asarray(X))
    module, optimizer = interop.to_equinox(NET, params), optax.sgd(0.1)
    opt_state = optimizer.init(eqx.filter(module, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(module, state, opt_state):
        def loss(module):
            y, new, aux = module(X, state=state, aux=True)
            return ((y - Y) ** 2).mean() + sum(aux.losses.values()), new

        grads, state = eqx.filter_grad(loss, has_aux=True)(module)
        updates, opt_state = optimizer.update(grads, opt_state)
        return eqx.apply_updates(module, updates), state, opt_state

    for _ in range(3):
        module, state, opt_state = step(module, state, opt_state)
    close((module.params, state), by_hand())
    tested = eqx.nn.inference_mode(module)
    equal(tested(X, state=state)[0], NET.apply(module.params, jnp.asarray(X), state=state)[0])


def test_arrays_of_another_backend():
    net = nn.Sequential([nn.Dense(4), nn.BatchNormalization()])
    params, state = net.init(0, kf.Spec((None, 3)), backend="numpy")
    want, _ = net.apply(params, X, state=state)
    module = interop.to_nnx(net, params, state)
    module.eval()
    close(module(X), want)
    close(eqx.nn.inference_mode(interop.to_equinox(net, params))(X, state=state)[0], want)
    close(interop.to_flax(net).apply({"params": params, "state": state}, X), want)


def test_dropout_of_the_modules():
    """It needs the library's key, and is a function of it."""
    net, x = nn.Dropout(0.5), jnp.ones((4, 16))
    flax, equinox = interop.to_flax(net), interop.to_equinox(net, {})
    draws = {
        "flax": lambda key: flax.apply({}, x, training=True, rngs={"dropout": key}),
        "equinox": lambda key: equinox(x, key=key),
        "nnx": lambda key: interop.to_nnx(net, {}, rngs=nnx.Rngs(dropout=key))(x),
    }
    for draw in draws.values():
        a, b, c = (draw(jax.random.key(n)) for n in (0, 0, 1))
        equal(a, b)
        assert not np.array_equal(a, c) and 0 < float((a == 0).mean()) < 1
    with pytest.raises(kf.errors.MissingKeyError):
        equinox(x)
    with pytest.raises(kf.errors.MissingKeyError):
        flax.apply({}, x, training=True)
