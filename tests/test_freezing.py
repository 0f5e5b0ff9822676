"""Freezing and unfreezing layers of a model, its weights as a list, and files of networks that differ in parts."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from backends import TRAINING
from sampling import one_of

import kfunc as kf
from kfunc import nn, ops, optim
from kfunc.training import model_file

EPS = float(np.finfo(np.float32).eps)
X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
Y = 2 * X[:, :1]
OPTIONS = {"batch_size": 8, "verbose": 0, "shuffle": False}


@nn.layer
class MadeAnew(nn.Layer):
    """A layer whose children are made anew for each copy."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = nn.Dense(units, "relu"), nn.Dense(units)

    def forward(self, s, x):
        return self.second(s, self.first(s, x))


def net(outputs=1, **options):
    base = [nn.Dense(4, "relu"), nn.BatchNormalization(), nn.Dropout(0.5), MadeAnew(4, name="own")]
    return nn.Sequential([nn.Sequential(base, name="base", **options), nn.Dense(outputs, name="head")])


def model(optimizer="adam", outputs=1, epochs=1, backend="numpy", **options):
    out = kf.Model(net(outputs, **options))
    out.compile(optimizer, "mse")
    out.build(kf.Spec((None, 3)), backend=backend)
    if epochs:
        out.fit(X, np.repeat(Y, outputs, 1), epochs=epochs, **OPTIONS)
    return out


def arrays(tree):
    return {path: np.array(kf.to_numpy(x)) for path, x in zip(kf.tree.paths(tree), kf.tree.leaves(tree), strict=True)}


def same(a, b):
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


ALL = ["base/batch_normalization", "base/dense", "base/own/first", "base/own/second", "head"]
WAYS = {  # what is frozen and unfrozen, one after the other; and what trains then
    "nothing": ([], ALL),
    "a part": ([("freeze", "base")], ["head"]),
    "all": ([("freeze",)], []),
    "all and back": ([("freeze",), ("unfreeze",)], ALL),
    "a part of a part": ([("freeze", "base"), ("unfreeze", "base/own/second")], ["base/own/second", "head"]),
    "the end of all": ([("freeze",), ("unfreeze", "head")], ["head"]),
    "two patterns": ([("freeze", "base/d*", "*/first")], ["base/batch_normalization", "base/own/second", "head"]),
    "again": ([("freeze", "base/own"), ("unfreeze", "base/own"), ("freeze", "base/dense")], [ALL[0], *ALL[2:]]),
}


@pytest.mark.parametrize(
    "name, way",
    [
        pytest.param(name, way, marks=getattr(pytest.mark, name), id=f"{name}-{way}")
        for way in WAYS
        for name in ("numpy", *one_of(("jax", "torch", "tensorflow", "array_api_strict"), way))
    ],
)
def test_only_what_is_not_frozen_trains(name, way):
    """No number is lost, the optimizer keeps its state for what trains on, and frozen parameters stay."""
    m, (calls, trains) = model(backend=name), WAYS[way]
    weights, out, moments = m.get_weights(), m.predict(X), arrays(m.train_state.opt_state)
    for method, *which in calls:
        assert getattr(m, method)(*which) is m
    np.testing.assert_array_equal(m.predict(X), out)
    for a, b in zip(m.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert {path.rpartition("/")[0] for path in kf.tree.paths(m.train_state.params)} == {*trains}
    assert m.trainable is bool(trains) and m.backend == name
    assert m.count_params() == sum(w.size for w in weights)

    kept = arrays(m.train_state.opt_state)
    back = any(method == "unfreeze" for method, *_ in calls)
    assert kept.keys() <= moments.keys()
    if not back:
        same(kept, {path: moments[path] for path in kept})
    if trains:
        before, state = arrays(m.train_state.params), arrays(m.train_state.state)
        m.fit(X, Y, **OPTIONS)
        after = arrays(m.train_state.params)
        assert all((before[path] != after[path]).any() for path in after)
        frozen = [path for path in state if path.rpartition("/")[2] in ("kernel", "bias", "gamma", "beta")]
        same({p: arrays(m.train_state.state)[p] for p in frozen}, {p: state[p] for p in frozen})
        assert bool(frozen) == (len(trains) < 5)


@pytest.mark.parametrize("name", TRAINING)
def test_training_goes_on_as_if_it_had_been_made_so(name):
    """A frozen layer behaves as one with `trainable=False`: in inference, and with the same numbers."""
    m, made = model("sgd", backend=name), model("sgd", epochs=0, backend=name, trainable=False)
    m.freeze("base")
    made.set_weights(m.get_weights())
    made.train_state = made.train_state._replace(step=m.train_state.step)
    for one in (m, made):
        one.fit(X, Y, **OPTIONS)
    same(arrays(m.train_state[:2]), arrays(made.train_state[:2]))
    made.unfreeze("base")
    assert kf.tree.paths(made.train_state.params) == kf.tree.paths(model(epochs=0).train_state.params)


OPTIMIZERS = {
    "momentum": lambda: optim.sgd(0.1, momentum=0.9),
    "chain": lambda: optim.chain(optim.clip_by_global_norm(1.0), optim.adamw(1e-3)),
    "rates by path": lambda: optim.multi_transform(
        {"slow": optim.adam(1e-4), "fast": optim.adam(1e-2)}, {"^base": "slow", "": "fast"}
    ),
    "averaged": lambda: optim.Adam(1e-3, use_ema=True),
    "accumulated": lambda: optim.Adam(1e-3, gradient_accumulation_steps=2),
    "scaled": lambda: optim.LossScaleOptimizer(optim.adam(1e-3)),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_state_of_optimizers(optimizer):
    m = model(OPTIMIZERS[optimizer]())
    moments = arrays(m.train_state.opt_state)
    m.freeze("base/dense")
    kept = arrays(m.train_state.opt_state)
    same(kept, {path: moments[path] for path in kept})
    assert len(kept) < len(moments) and not any("base/dense/" in path for path in kept)
    m.fit(X, Y, **OPTIONS)
    after = arrays(m.train_state.opt_state)
    m.unfreeze("base/dense")
    again = arrays(m.train_state.opt_state)
    assert again.keys() == moments.keys()
    same({path: again[path] for path in after}, after)
    m.fit(X, Y, **OPTIONS)


def test_rates_by_path():
    """The example of docs: frozen, slow and fast, by the paths of parameters."""
    m = model(optim.multi_transform({"slow": optim.sgd(1e-3), "fast": optim.sgd(1e-1)}, {"^base": "slow", "": "fast"}))
    usual = model(optim.sgd(1e-1), epochs=0)
    usual.set_weights(m.get_weights())
    before = arrays(m.train_state.params)
    usual.train_state = usual.train_state._replace(step=m.train_state.step)  # which dropout depends on
    for one in (m, usual):
        one.train_on_batch(X, Y)
    slow, fast = arrays(m.train_state.params), arrays(usual.train_state.params)
    for path in before:
        share = 0.01 if path.startswith("base") else 1.0
        # The steps are differences of numbers below 2, which are rounded to eps.
        np.testing.assert_allclose(slow[path] - before[path], share * (fast[path] - before[path]), atol=4 * EPS)


COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


@pytest.mark.parametrize("kind", [*COPIES, "file", "replace"])
def test_copies_and_files_know_what_is_frozen(kind, tmp_path):
    m = model()
    m.freeze("base").unfreeze("base/own/second")
    if kind == "file":
        m.save(tmp_path / "m.safetensors")
        other = kf.Model.load(tmp_path / "m.safetensors")
    elif kind == "replace":
        other = kf.Model(kf.replace(m.net, name="other"))
        other.compile(m.optimizer, "mse")
        other.train_state = m.train_state
    else:
        other = COPIES[kind](m)
    for one in (m, other):
        one.fit(X, Y, **OPTIONS)
    same(arrays(m.train_state), arrays(other.train_state))
    # The network itself, as a part of another one, is frozen in the same parts.
    whole = nn.Sequential([COPIES.get(kind, copy.copy)(m.net), nn.Dense(1)])
    params, _ = whole.init(0, X)
    paths = {path.rpartition("/")[0] for path in kf.tree.paths(params)}
    assert paths == {"sequential/base/own/second", "sequential/head", "dense"}


def test_in_loops_of_ones_own():
    """`nn.freeze` returns a copy, and the network stays."""
    a = net()
    b = nn.freeze(a, "base")
    params, state = b.init(0, X)
    assert list(params) == ["head"] and list(a.init(0, X)[0]) == ["base", "head"]
    y, after = b.apply(params, X, state=state, train=True)  # which draws nothing: Dropout is frozen, too
    assert y.shape == (20, 1)
    same(arrays(after), arrays(state))
    assert list(nn.unfreeze(nn.freeze(a, a.layers[0]), "base").init(0, X)[0]) == ["base", "head"]


WRONG = {"bas": "did you mean 'base'", "own": "did you mean 'base/own'", "x*": "base/batch_normalization", "": None}


@pytest.mark.parametrize("which", WRONG)
def test_layers_that_do_not_exist(which):
    m = model(epochs=0)
    if WRONG[which] is None:
        assert not m.freeze(which).trainable
        return
    with pytest.raises(kf.errors.ArgumentError, match="There is no layer") as error:
        m.freeze(which)
    assert WRONG[which] in str(error.value)
    with pytest.raises(kf.errors.ArgumentError, match="There is no layer"):
        m.freeze(nn.Dense(1))
    for wrong in (["head"], 3, None):
        with pytest.raises(kf.errors.ArgumentError, match="`which` must be layers, or patterns"):
            m.freeze(wrong)
    with pytest.raises(kf.errors.ArgumentError, match=r"take it from model\.net"):
        kf.Model(net()).freeze("head").freeze(m.net)
    with pytest.raises(AttributeError, match=r"model\.freeze\('path'\)"):
        m.net.layers[0].trainable = False


def test_a_fit_goes_on_with_its_network():
    class Freezes(kf.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.freeze("base")

    m = model(epochs=0)
    with pytest.raises(kf.errors.ArgumentError, match="being trained"):
        m.fit(X, Y, callbacks=[Freezes()], **OPTIONS)
    m.trainable = False
    assert not m.trainable
    m.trainable = True
    m.fit(X, Y, **OPTIONS)
    unbuilt = kf.Model(net()).freeze("base")
    unbuilt.compile("adam", "mse")
    unbuilt.fit(X, Y, **OPTIONS)
    assert list(unbuilt.train_state.params) == ["head"]


def test_a_state_of_an_optimizer_that_nobody_knows():
    m = kf.Model(net(), step=lambda ts, batch: (ts, {})).build(X)
    m.train_state = m.train_state._replace(opt_state={"mine": np.ones(3, np.float32)})
    with pytest.raises(kf.errors.ArgumentError, match="`opt_state` is not that of an optimizer") as error:
        m.freeze("base")
    assert "mine" in error.value.got and "base" in m.train_state.params
    m.train_state = m.train_state._replace(opt_state=None)
    assert list(m.freeze("base").train_state.params) == ["head"]


MEANWHILE = {  # what a thread does, the function in the midst of which another freezes layers, and where that is
    "get_weights": (lambda m, path: m.get_weights(), kf.Model, "_known"),
    "set_weights": (lambda m, path: m.set_weights(m.get_weights()), kf.Model, "_known"),
    "a call": (lambda m, path: m(X), kf.Model, "_known"),
    "load_weights": (lambda m, path: m.load_weights(path), model_file, "read_weights"),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_another_thread_freezes_layers_meanwhile(what, tmp_path, monkeypatch):
    call, where, name = MEANWHILE[what]
    m, path, threads = model(), tmp_path / "w.safetensors", []
    m.save_weights(path)
    before, y, original = m.get_weights(), m.predict(X), getattr(where, name)

    def then_freezes(*args):
        out = original(*args)
        if not threads:
            threads.append(threading.Thread(target=m.freeze, args=("base",)))
            threads[0].start()
            threads[0].join(0.1)  # it waits for the lock, if the caller has it
        return out

    monkeypatch.setattr(where, name, then_freezes)
    call(m, path)
    threads[0].join()
    assert list(m.train_state.params) == ["head"]
    np.testing.assert_array_equal(m.predict(X), y)
    for a, b in zip(m.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", TRAINING)
def test_weights_of_the_same_network_with_other_parts_frozen(name, tmp_path):
    m, path = model(), tmp_path / "w.safetensors"
    m.save_weights(path)
    other = model(epochs=0, backend=name).freeze("base")
    assert other.load_weights(path) == {}
    np.testing.assert_allclose(other.predict(X), m.predict(X), rtol=64 * EPS, atol=64 * EPS)
    other.save_weights(path)
    third = model(epochs=0)
    assert third.load_weights(path) == {}
    for a, b in zip(m.get_weights(), third.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_another_last_layer(tmp_path):
    m, path = model(), tmp_path / "w.safetensors"
    m.save(path)
    other = model(outputs=2, epochs=0).freeze("base")
    head = other.get_weights()[-2:]
    with pytest.raises(kf.errors.FileError, match=r"params\.head\.bias"):
        other.load_weights(path)
    assert other.load_weights(path, skip_mismatch=True) == {
        "params.head.bias": "expected shape (2,), float32, got shape (1,), float32",
        "params.head.kernel": "expected shape (4, 2), float32, got shape (4, 1), float32",
    }
    for a, b in zip(other.get_weights(), [*m.get_weights()[:-2], *head], strict=True):
        np.testing.assert_array_equal(a, b)
    alone = kf.Model(nn.Dense(7)).build(kf.Spec((None, 5)))
    with pytest.raises(kf.errors.FileError, match="is not the one that the network needs"):
        alone.load_weights(path, skip_mismatch=True)


def test_weights_as_a_list():
    m = model()
    weights = m.get_weights()
    assert [w.shape for w in weights] == [(3, 4), *[(4,)] * 5, (4, 4), (4,), (4, 4), (4,), (4, 1), (1,)]
    other = model(epochs=0)
    other.set_weights(w.tolist() for w in weights)
    np.testing.assert_array_equal(other.predict(X), m.predict(X))
    for wrong, words in ((weights[:-1], "must have 12 arrays, got 11"), ([*weights[:-1], X], r"`weights\[11\]`")):
        with pytest.raises(kf.errors.ShapeError, match=words):
            other.set_weights(wrong)
    with pytest.raises(
        kf.errors.ArgumentError, match=r"`weights\[11\]`, which is .*, is complex, and the network's is"
    ):
        other.set_weights([*weights[:-1], weights[-1] + 1j])
    np.testing.assert_array_equal(other.predict(X), m.predict(X))


@pytest.mark.parametrize("name", TRAINING)
def test_a_model_is_called(name):
    m = model(backend=name)
    y = m(X)
    assert kf.backend_of(y).name == name
    np.testing.assert_allclose(kf.to_numpy(y), m.predict(X), rtol=64 * EPS, atol=64 * EPS)
    np.testing.assert_array_equal(kf.to_numpy(m(X.tolist())), kf.to_numpy(y))
    assert kf.Model(nn.Dense(2))(X.tolist()).shape == (20, 2)
    state = arrays(m.train_state)
    assert (kf.to_numpy(m(X, training=True)) != kf.to_numpy(y)).any()
    same(arrays(m.train_state), state)
    slope = kf.grad(lambda x: ops.sum(m(x)))(kf.asarray(X, backend=name))  # as for a map of what the network looks at
    assert kf.to_numpy(slope).any()


KERAS = {  # layers of `keras.layers` and of `kf.nn` alike
    "images": ((8, 8, 3), lambda m: [m.Conv2D(4, 3), m.BatchNormalization(), m.SeparableConv2D(4, 3), m.Flatten()]),
    "text": ((6, 4), lambda m: [m.Bidirectional(m.LSTM(3, return_sequences=True)), m.GRU(3), m.LayerNormalization()]),
    "nested": ((5,), lambda m: [m.Dense(4), m.Dense(3), m.Dense(2, use_bias=False), m.PReLU(), m.BatchNormalization()]),
    "normalized": ((6, 4), lambda m: [m.GroupNormalization(2), m.TimeDistributed(m.Dense(3)), m.SimpleRNN(2)]),
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras with PyTorch's arrays
@pytest.mark.parametrize("row", KERAS)
def test_the_order_of_weights_is_keras_s(row):
    """Weights of a Keras model go into ours, and come back, as lists; frozen or not."""
    keras = pytest.importorskip("keras")
    shape, layers = KERAS[row]
    theirs = keras.Sequential([keras.Input(shape), keras.Sequential(layers(keras.layers)), keras.layers.Dense(2)])
    rng = np.random.default_rng(1)
    theirs.set_weights([rng.uniform(0.1, 0.5, w.shape).astype(np.float32) for w in theirs.get_weights()])
    m = kf.Model(nn.Sequential([nn.Sequential(layers(nn)), nn.Dense(2)])).build(kf.Spec((None, *shape)))
    m.freeze("sequential")
    m.set_weights(theirs.get_weights())
    x = rng.normal(size=(3, *shape)).astype(np.float32)
    # Sums of up to 36 products a layer, of numbers around 1, in five layers.
    np.testing.assert_allclose(m.predict(x), keras.ops.convert_to_numpy(theirs(x)), rtol=512 * EPS, atol=512 * EPS)
    for a, b in zip(m.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert m.count_params() == theirs.count_params()


def test_a_model_of_nodes_of_a_frozen_model():
    x = nn.Input((3,))
    base = kf.Model(x, nn.Dense(2)(nn.BatchNormalization(name="bn")(nn.Dense(4, name="first")(x)))).build()
    base.freeze()

    def paths():
        top = kf.Model(base.input, nn.Dense(1, name="new")(base.get_layer("bn").output)).build()
        return sorted({path.partition("/")[0] for path in kf.tree.paths(top.train_state.params)})

    assert paths() == ["new"]
    base.trainable = True
    assert paths() == ["bn", "first", "new"]


@pytest.mark.parametrize("kind", ["called", "in a Sequential", "outputs"])
@pytest.mark.parametrize("when", ["before", "called", "made", "built"])
def test_trainable_of_a_base_counts_in_the_model_around_it(kind, when):
    """As in Keras, in whatever order a program freezes the base and builds upon it."""
    x = nn.Input((4,))
    base = kf.Model(x, nn.Dense(3)(nn.BatchNormalization()(nn.Dense(5)(x))), name="base")

    def trains():
        return len(kf.tree.leaves(model.train_state.params))

    def at(moment):
        if moment == when:
            base.trainable = False

    at("before")
    if kind == "in a Sequential":
        at("called")
        model = kf.Model(nn.Sequential([base, nn.Dense(1)]))
    else:
        x, y = (base.input, base.output) if kind == "outputs" else (x, base(x, training=False))
        at("called")
        model = kf.Model(x, nn.Dense(1)(y))
    at("made")
    model.build(np.zeros((2, 4), "float32"))
    at("built")
    counts = [trains()]
    for value in (True, False, True):
        base.trainable = value
        counts.append(trains())
    assert counts == [2, 8, 2, 8]
