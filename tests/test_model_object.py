"""`Model` as a Python object: what can be set on it, and its copies."""

from __future__ import annotations

import contextlib
import copy
import pickle

import numpy as np
import pytest
from backends import TRAINING

import kfunc as kf
from kfunc import nn, optim

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = X[:, :2]


def trained(backend="numpy"):
    model = kf.Model(
        nn.Sequential([nn.Dense(4, "relu"), nn.BatchNormalization(), nn.Dropout(0.2), nn.Dense(2)]), seed=3
    )
    model.compile(optim.adam(0.01), "mse", metrics=["mae"])
    model.fit(X, Y, 4, 2, verbose=0, backend=backend)
    return model


REFUSED = {
    "stop_trainin": (True, "stop_training"),
    "net": (nn.Dense(1), "another model"),
    "seed": (1, "another model"),
    "optimizer": ("sgd", "compile"),
    "loss": ("mse", "compile"),
    "metrics": (["mae"], "compile"),
    "params": ({}, "train_state"),
    "anything": (None, None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_attributes_that_would_change_nothing_are_refused(name):
    model, (value, fix) = trained(), REFUSED[name]
    before = dict(vars(model))
    with pytest.raises(kf.errors.UnknownAttributeError, match=f"`{name}`") as error:
        setattr(model, name, value)
    assert isinstance(error.value, AttributeError) and isinstance(error.value, kf.KfuncError)
    assert error.value.fix is None if fix is None else fix in error.value.fix
    assert vars(model) == before
    model.fit(X, Y, 4, verbose=0)


def test_attributes_that_say_something():
    model = trained()
    model.run_eagerly, model.steps_per_execution, model.jit_compile = True, 2, "auto"
    assert (model.run_eagerly, model.steps_per_execution) == (True, 2)
    for name, value in (("run_eagerly", "yes"), ("steps_per_execution", 0)):
        with pytest.raises(kf.errors.ArgumentError, match=name):
            setattr(model, name, value)
    model.stop_training = True
    assert model.stop_training
    model.fit(X, Y, 4, verbose=0)

    class Own(kf.Model):
        """Has attributes of its own."""

        def __init__(self, net):
            super().__init__(net)
            self.more = 1

    assert Own(nn.Dense(1)).more == 1


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("backend", TRAINING)
def test_copies(kind, backend):
    """A copy is the same model, and what is trained afterwards on the one does not change the other."""
    model = trained(backend)
    before = kf.to_backend(model.train_state, "numpy")
    before = kf.tree.map(np.copy, before)
    other = COPIES[kind](model)
    assert other.backend == backend
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    wanted = model.fit(X, Y, 4, 2, verbose=0).history
    for got, want in zip(kf.tree.leaves(other.train_state), kf.tree.leaves(before), strict=True):
        np.testing.assert_array_equal(kf.to_numpy(got), want)
    assert other.fit(X, Y, 4, 2, verbose=0).history == wanted
    assert other.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert COPIES[kind](kf.Model(nn.Dense(1))).train_state is None


@pytest.mark.parametrize("backend", TRAINING)
def test_reset(backend):
    """The model is as one that was just made and built: it trains to the same bits."""
    want, model = kf.Model(trained().net, seed=5), trained(backend)
    model.freeze("batch_normalization")
    want.freeze("batch_normalization")
    want.compile(optim.adam(0.01), "mse", metrics=["mae"])
    want.build(X, backend=backend)
    assert model.reset(5) is model and model.history is None
    assert (model.backend, model.seed, repr(model.optimizer)) == (backend, 5, "Adam(learning_rate=0.01)")
    assert model.fit(X, Y, 4, 2, verbose=0).history == want.fit(X, Y, 4, 2, verbose=0).history
    for a, b in zip(kf.tree.leaves(model.train_state), kf.tree.leaves(want.train_state), strict=True):
        np.testing.assert_array_equal(kf.to_numpy(a), kf.to_numpy(b))
    begun = [w.copy() for w in model.reset().get_weights()]
    model.fit(X, Y, 4, 2, verbose=0)
    for a, b in zip(model.reset().get_weights(), begun, strict=True):
        np.testing.assert_array_equal(a, b)
    assert kf.Model(nn.Dense(2)).reset(4).seed == 4  # before the first data, the seed is all there is


@pytest.mark.parametrize("backend", TRAINING)
def test_clone(backend):
    """New weights, in a network of its own, which stays as it is when the one it was made of is trained."""
    model = trained(backend)
    model.freeze("dense")
    model.steps_per_execution = 2
    same, other = model.clone(), model.clone(seed=8)
    for clone, seed in ((same, 3), (other, 8)):
        assert (clone.backend, clone.seed, clone.optimizer, clone.history) == (backend, seed, None, None)
        assert clone.steps_per_execution == "auto" and clone.metrics == () and clone.net is not model.net
        assert list(clone.train_state.params) == ["batch_normalization", "dense_1"]
        want = kf.Model(trained().net, seed=seed).build(X)
        for a, b in zip(clone.get_weights(), want.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    before = other.predict(X)
    model.fit(X, Y, 4, 2, verbose=0)
    np.testing.assert_array_equal(other.predict(X), before)
    assert len(other.get_weights()) == len(model.get_weights())
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert kf.Model(nn.Dense(2)).clone().train_state is None


def test_a_clone_of_nodes_brings_no_weights_along():
    x = nn.Input((3,))
    model = kf.Model(x, nn.Dense(2)(nn.Dense(2, "tanh")(x))).build()
    model.set_weights([w + 1 for w in model.get_weights()])
    clone = model.clone()
    assert (clone.get_weights()[0] + 1 == model.get_weights()[0]).all()
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    assert not {*map(id, clone.layers)} & {*map(id, model.layers)}


class _Fails(kf.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("as it happens")


def test_history():
    model = trained()
    history = model.fit(X, Y, verbose=0)
    assert model.history is history
    with pytest.raises(RuntimeError):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[_Fails()])
    assert model.history is not history and len(model.history.history["loss"]) == 1
    given = kf.callbacks.History()
    assert model.fit(X, Y, verbose=0, callbacks=[given]) is not given and model.history is given
    assert copy.copy(model).history is not None
    pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("method", ["save", "save_weights"])
def test_overwrite(method, tmp_path):
    path, model = tmp_path / "model.safetensors", trained()
    getattr(model, method)(path, False)
    before = path.read_bytes()
    model.set_weights([w + 1 for w in model.get_weights()])
    with pytest.raises(kf.errors.FileError, match="exists already, and `overwrite` is False"):
        getattr(model, method)(path, overwrite=False)
    with pytest.raises(kf.errors.ArgumentError, match="`overwrite` must be a bool"):
        getattr(model, method)(path, "no")
    assert path.read_bytes() == before
    getattr(model, method)(path)
    assert path.read_bytes() != before


def test_names():
    """As Keras gives them, where a layer has none of its own; a copy and a file have names as they were given."""
    layers = [nn.Dense(4), nn.Dense(3, name="own"), nn.Sequential([nn.Dense(2)]), nn.Dense(1)]
    assert [layer.name for layer in layers] == [None, "own", None, None]
    model = kf.Model(nn.Sequential(layers))
    assert [layer.name for layer in model.layers] == ["dense", "own", "sequential", "dense_1"]
    assert layers[2].layers[0].name == "dense" and model.name == "sequential"
    assert all(model.get_layer(layer.name) is layer for layer in model.layers)
    assert "name" not in repr(layers[0]) and layers[0].get_config()["name"] is None
    assert [layer.name for layer in copy.deepcopy(model.net).layers] == ["dense", "own", "sequential", "dense_1"]
    part = nn.Sequential(layers[3:])  # keeps the names of the whole
    assert part.layers[0].name == "dense_1" and copy.deepcopy(part).layers[0].name == "dense_1"
    assert kf.replace(layers[3], units=2).name is None and kf.replace(layers[1], units=2).name == "own"
    assert nn.Residual(nn.Dense(3)).body.name == "body"


BUILT = {  # what `build` takes as Keras's does, and the shapes that it means
    "a shape": (lambda: nn.Dense(2), (None, 16), ((None, 16),)),
    "a list": (lambda: nn.Dense(2), [None, 16], ((None, 16),)),
    "a batch": (lambda: nn.Dense(2), (3, 16), ((3, 16),)),
    "shapes of a graph": (lambda: two_inputs(list).net, [(None, 3), (None, 4)], ((None, 3), (None, 4))),
    "shapes by name": (lambda: two_inputs(dict).net, {"a": (None, 3), "b": (None, 4)}, ((None, 3), (None, 4))),
}


def two_inputs(kind):
    a, b = nn.Input((3,)), nn.Input((4,))
    return kf.Model({"a": a, "b": b} if kind is dict else [a, b], nn.Dense(1)(kf.ops.concatenate([a, b], -1)))


@pytest.mark.parametrize("row", BUILT)
def test_build_takes_shapes(row):
    make, shape, shapes = BUILT[row]
    model = kf.Model(make()).build(shape)
    assert tuple(tuple(x.shape) for x in kf.tree.leaves(model._traced.inputs)) == shapes
    samples = [np.ones((3, *s[1:]), np.float32) for s in shapes]
    x = dict(zip("ab", samples, strict=True)) if isinstance(shape, dict) else samples if len(shapes) > 1 else samples[0]
    assert len(model.predict(x)) == 3


# -- random draws outside training -------------------------------------------------------------------------------------


@nn.layer
class Noise(nn.Layer):
    """`x` plus standard normal numbers, always."""

    def forward(self, s, x):
        return x + kf.random.normal(s.key(), x.shape, x.dtype)


@pytest.mark.parametrize("backend", TRAINING)
def test_draws_outside_training(backend):
    """The model's key serves; the draws of a batch follow from the key and from the samples before it."""
    model = kf.Model(nn.Sequential([Noise()]))
    model.compile("sgd", "mse", metrics=["mae"])  # there are no parameters, which is no reason to fail
    model.build(kf.Spec((None, 3)), backend=backend)
    zeros = np.zeros((10, 3), np.float32)
    first = model.predict(zeros, 4)
    assert first.std() > 0.5 and not np.array_equal(first[:4], first[4:8])
    np.testing.assert_array_equal(model.predict(zeros, 4), first)
    given = model.predict(zeros, 4, key=1)
    assert not np.array_equal(given, first)
    np.testing.assert_array_equal(model.predict(zeros, 4, key=kf.random.key(1, backend=backend)), given)
    again = kf.Model(nn.Sequential([Noise()])).build(kf.Spec((None, 3)))
    np.testing.assert_allclose(again.predict(zeros, 4, key=1), given, rtol=1e-5, atol=1e-6)
    loss, mae = model.evaluate(zeros, zeros, 4, verbose=0)
    np.testing.assert_allclose([loss, mae], [np.mean(first**2), np.mean(np.abs(first))], rtol=1e-5)
    model.fit(zeros, zeros, 4, verbose=0, validation_data=(zeros, zeros))


# -- compile, once more ------------------------------------------------------------------------------------------------

DECAY = optim.schedules.ExponentialDecay
OWN = optim.GradientTransformation(
    lambda params: kf.tree.map(lambda p: p * 0, params),
    lambda grads, state, params: (
        kf.tree.map(lambda g: -0.1 * g, grads),
        kf.tree.map(lambda s, g: s + g, state, grads),
    ),
)
COMPILED_AGAIN = {  # the optimizer before, the one after, and whether that is the same
    "the same name": ("adam", "adam", True),
    "a name and an object": ("adam", optim.adam(), True),
    "equal arguments": (optim.adam(0.1, beta_1=0.8), optim.adam(0.1, beta_1=0.8), True),
    "equal schedules": (optim.sgd(DECAY(0.1, 5, 0.9), momentum=0.9), optim.sgd(DECAY(0.1, 5, 0.9), momentum=0.9), True),
    "equal wrappers": (optim.ema(optim.adam()), optim.ema(optim.adam()), True),
    "equal parts": ({"dense": optim.adam()}, {"dense": optim.adam()}, True),
    "one of the user's own": (OWN, OWN, True),
    "another argument": (optim.adam(0.1), optim.adam(0.2), False),
    "another schedule": (optim.sgd(DECAY(0.1, 5, 0.9)), optim.sgd(DECAY(0.1, 6, 0.9)), False),
    "another class of the same state": (optim.adam(), optim.adamw(), False),
    "another class": ("adam", "sgd", False),
    "the user's own, and another": (OWN, "adam", False),
}


@pytest.mark.parametrize("saved", [False, True], ids=["in a session", "from a file"])
@pytest.mark.parametrize("row", COMPILED_AGAIN)
def test_compiled_again(row, saved, tmp_path):
    """The same optimizer goes on with its state under another loss, and another one starts afresh and says so."""
    before, after, same = COMPILED_AGAIN[row]
    x = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    models = [kf.Model(nn.Sequential([nn.Dense(3)])) for _ in range(2)]
    for model in models:
        model.compile(before, "mse")
        model.fit(x, x[:, :3], 4, 2, verbose=0)
    model, want = models
    if saved:
        model.save(tmp_path / "model.safetensors")
        model = kf.Model.load(tmp_path / "model.safetensors")
    own = lambda y, z: kf.ops.mean(kf.ops.abs(y - z), axis=-1)  # noqa: E731
    warned = contextlib.nullcontext() if same else pytest.warns(UserWarning, match="is another optimizer")
    with warned:
        model.compile(after, own, metrics=["mae"])
    # The oracle: the state is put back by hand, or it is the first one of the new optimizer.
    kept, ts = want.train_state.opt_state, want.train_state
    want.train_state = ts._replace(step=ts.step * 0, opt_state=None)  # so that nothing is warned of
    want.compile(after, own, metrics=["mae"])
    want.train_state = ts._replace(opt_state=kept if same else want.train_state.opt_state)
    for each in (model, want):
        each.fit(x, x[:, :3], 4, 2, verbose=0)
    for a, b in zip(kf.tree.leaves(model.train_state), kf.tree.leaves(want.train_state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_scaled_loss_compiled_again():
    x = np.ones((8, 4), np.float32)
    model = kf.Model(nn.Sequential([nn.Dense(3)], dtype="mixed_float16"))
    model.compile("adam", "mse")
    model.fit(x, x[:, :3], 4, verbose=0)
    before = model.train_state
    model.compile("adam", "mae")
    assert all(a is b for a, b in zip(kf.tree.leaves(model.train_state), kf.tree.leaves(before), strict=True))
    assert model.metrics_names == []  # those of the loss before are no longer its own


N, F = np.int64(2), np.float32(0.5)
NUMBERS = {
    "seed": lambda path: kf.Model(nn.Dense(1), seed=N).build(X).save(path),
    "steps_per_execution": lambda path: kf.Model(nn.Dense(1)).compile("sgd", "mse", steps_per_execution=N),
    "EarlyStopping": lambda path: kf.callbacks.EarlyStopping("loss", min_delta=F, patience=N, start_from_epoch=N),
    "ReduceLROnPlateau": lambda path: kf.callbacks.ReduceLROnPlateau(
        "loss", factor=F, patience=N, cooldown=N, min_lr=F
    ),
    "ModelCheckpoint": lambda path: kf.callbacks.ModelCheckpoint(path, save_freq=N),
    "Checkpoints": lambda path: kf.Checkpoints(path, every=N, keep_last=N, keep_best=N).save(N, {"a": 1}),
    "restore": lambda path: [(c := kf.Checkpoints(path)).save(2, {"a": 1}), c.restore(N)["a"]],
    "Dataset": lambda path: kf.data.Dataset(workers=N, max_queue_size=N),
    "init": lambda path: nn.Dense(1).init(N, X),
    "apply": lambda path: nn.Dropout(F).apply({}, X, key=N, train=True),
    "predict": lambda path: kf.Model(nn.Dense(1)).predict(X, N, key=N),
    "Adam": lambda path: kf.optim.adam(F, clipnorm=F, gradient_accumulation_steps=N),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_numpy_are_numbers(name, tmp_path):
    NUMBERS[name](tmp_path / "file.safetensors")
