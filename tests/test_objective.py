"""`Model(net, objective=...)`: a loss of one's own, and everything else as always."""

from __future__ import annotations

import numpy as np
import pytest
from backends import TRAINING, params

import kfunc as kf
from kfunc import nn, ops, optim

EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype(np.float32)
Y = 2 * X[:, :1]
WEIGHTS = RNG.uniform(size=20).astype(np.float32)


def network(**options):
    return nn.Sequential(
        [nn.Dense(4, "relu", **options), nn.BatchNormalization(), nn.Dropout(0.2), nn.Dense(1)], dtype=None
    )


def squares(net):
    """What `compile(loss="mse", metrics=["mae"])` does, with two logs more."""

    def objective(params, state, batch, key, train):
        y_pred, state, aux = net.apply(params, batch.x, state=state, key=key, train=train, aux=True)
        weight = 1.0 if batch.sample_weight is None else batch.sample_weight
        loss = ops.mean(ops.multiply(weight, ops.square(ops.squeeze(ops.subtract(y_pred, batch.y), -1))))
        loss = sum(aux.losses.values(), loss)
        return loss, (state, {"y_pred": y_pred, "twice": 2 * loss, "one": 1})

    return objective


def models(backend, optimizer="adam", **options):
    """A model with the objective, and one that is compiled to do the same."""
    net = network(**options)
    own, usual = kf.Model(net, objective=squares(net)), kf.Model(net)
    own.compile(optimizer, metrics=["mae"])
    usual.compile(optimizer, "mse", metrics=["mae"])
    return [model.build(kf.Spec((None, 3)), backend=backend) for model in (own, usual)]


def near(got, want, steps=1):
    # Both do the same operations; compilers may fuse them in another order, and each step adds a few roundings.
    for a, b in zip(kf.tree.leaves(got), kf.tree.leaves(want), strict=True):
        np.testing.assert_allclose(kf.to_numpy(a), kf.to_numpy(b), rtol=64 * steps * EPS, atol=64 * steps * EPS)


@pytest.mark.parametrize("name", TRAINING)
def test_an_objective_is_as_good_as_a_loss(name, tmp_path):
    """Numbers, state, weights of samples, regularizers, constraints, validation, files."""
    own, usual = models(name, kernel_regularizer="l2", kernel_constraint="non_neg")
    options = {"batch_size": 8, "epochs": 2, "verbose": 0, "sample_weight": WEIGHTS, "validation_data": (X, Y)}
    got, want = own.fit(X, Y, **options).history, usual.fit(X, Y, **options).history
    assert list(got) == ["loss", "one", "twice", "mae", *("val_loss", "val_one", "val_twice", "val_mae")]
    near({k: np.asarray(got[k]) for k in want}, {k: np.asarray(v) for k, v in want.items()}, steps=6)
    near([own.train_state.params, own.train_state.state], [usual.train_state.params, usual.train_state.state], steps=6)
    np.testing.assert_allclose(got["twice"], 2 * np.asarray(got["loss"]), rtol=4 * EPS)
    assert got["one"] == [1.0, 1.0]
    values = own.evaluate(X, Y, 8, verbose=0)
    assert own.metrics_names == ["loss", "one", "twice", "mae"] and values[0] == got["val_loss"][-1]
    np.testing.assert_allclose(own.predict(X), usual.predict(X), rtol=256 * EPS, atol=256 * EPS)

    # Files hold no code: with the objective, training goes on; without, it says what is missing.
    own.save(tmp_path / "model.safetensors")
    again = kf.Model.load(tmp_path / "model.safetensors", name, objective=squares(own.net))
    assert again.train_on_batch(X, Y) == own.train_on_batch(X, Y)
    lost = kf.Model.load(tmp_path / "model.safetensors", name)
    np.testing.assert_array_equal(kf.to_numpy(lost.train_state.step), 6)
    for call in (lost.fit, lost.evaluate):
        with pytest.raises(kf.errors.ArgumentError, match=r"Model\.load\(path, objective"):
            call(X, Y, verbose=0)


@pytest.mark.parametrize("name", TRAINING)
def test_a_variational_autoencoder(name):
    """Two networks in one, random draws in training and in evaluation, and a loss that is not one of outputs."""

    @nn.layer
    class TestedVAE(nn.Layer):
        encoder: nn.Layer = nn.Dense(4)
        decoder: nn.Layer = nn.Dense(3)

        def forward(self, s, x):
            mean, log_var = ops.split(self.encoder(s, x), 2, -1)
            return self.decoder(s, mean), mean, log_var

    net = TestedVAE()

    def objective(params, state, batch, key, train):
        mean, log_var = ops.split(net.encoder.apply(params["encoder"], batch.x)[0], 2, -1)
        z = mean + ops.exp(0.5 * log_var) * kf.random.normal(key, mean.shape)
        error = ops.mean(ops.sum(ops.square(net.decoder.apply(params["decoder"], z)[0] - batch.x), -1))
        kl = -0.5 * ops.mean(ops.sum(1 + log_var - ops.square(mean) - ops.exp(log_var), -1))
        return error + kl, (state, {"error": error, "kl": kl})

    model = kf.Model(net, objective=objective)
    model.compile(optim.adam(0.01))
    history = model.fit(X, batch_size=10, epochs=3, validation_data=(X,), verbose=0, backend=name).history
    assert history["loss"][-1] < history["loss"][0]
    np.testing.assert_allclose(np.add(history["error"], history["kl"]), history["loss"], rtol=8 * EPS)
    assert model.evaluate(X, verbose=0) == model.evaluate(X, verbose=0)
    assert model.evaluate(X, batch_size=5, verbose=0)[0] == pytest.approx(history["val_loss"][-1], rel=0.5)
    assert [part.shape for part in model.predict(X)] == [(20, 3), (20, 2), (20, 2)]


@pytest.mark.parametrize("name", params(("numpy", "jax", "torch", "tensorflow")))
def test_the_loss_is_scaled_in_half_precision(name):
    net = nn.Dense(1, dtype="mixed_float16")
    model = kf.Model(net, objective=squares(net))
    model.compile("sgd")
    assert hasattr(model.optimizer, "loss_scale")
    history = model.fit(X, Y, 8, 2, verbose=0, backend=name).history
    assert history["loss"][1] < history["loss"][0] and len(history["skipped_steps"]) == 2


def test_resumed_to_the_bit(tmp_path):
    def run(epochs, directory):
        model = models("numpy")[0]
        model.fit(X, Y, 8, epochs, verbose=0, resume=directory)
        return [kf.to_numpy(x) for x in kf.tree.leaves(model.train_state)]

    run(1, tmp_path / "a")
    for a, b in zip(run(2, tmp_path / "a"), run(2, tmp_path / "b"), strict=True):
        np.testing.assert_array_equal(a, b)


NET = nn.Dense(1)


def returning(change):
    """An objective that returns `change(loss, state, logs)`."""

    def objective(params, state, batch, key, train):
        loss = ops.mean(ops.square(NET.apply(params, batch.x)[0] - batch.y))
        return change(loss, state)

    return objective


WRONG = {
    "a loss alone": (lambda loss, state: loss, "`objective` must return (loss, (state, logs))"),
    "three things": (lambda loss, state: (loss, state, {}), "return loss, (state, {})"),
    "no scalar": (lambda loss, state: (loss[None], (state, {})), "an array of shape (1,)"),
    "a number": (lambda loss, state: (1.0, (state, {})), "must be a scalar array, got float"),
    "another state": (lambda loss, state: (loss, ({"a": loss}, {})), "`objective` returned state of another structure"),
    "no logs": (lambda loss, state: (loss, (state, None)), "`objective` must return (loss, (state, logs))"),
    "logs of arrays": (lambda loss, state: (loss, (state, {"a": loss[None]})), "`objective` must log scalars"),
    "the loss twice": (lambda loss, state: (loss, (state, {"loss": loss})), "is the name of the loss itself"),
    "a loss that is NaN": (lambda loss, state: (loss * float("nan"), (state, {})), "step 0: the loss is not finite"),
    "metrics of nothing": (lambda loss, state: (loss, (state, {"a": loss})), "an entry 'y_pred'"),
    "a metric's name": (lambda loss, state: (loss, (state, {"y_pred": loss[None, None], "mae": loss})), "logs 'mae'"),
}


@pytest.mark.parametrize("name", TRAINING)
def test_what_an_objective_must_not_return(name):
    model = kf.Model(NET).build(kf.Spec((None, 3)), backend=name)
    before = [np.array(kf.to_numpy(x)) for x in kf.tree.leaves(model.train_state)]
    for what, (change, words) in WRONG.items():
        model.objective = returning(change)
        model.compile("sgd", metrics=["mae"] if "metric" in what else None)
        with pytest.raises(kf.KfuncError) as error:
            model.fit(X, Y, 8, verbose=0)
        assert words in str(error.value), what
        for a, b in zip(kf.tree.leaves(model.train_state._replace(opt_state=None)), before, strict=True):
            np.testing.assert_array_equal(kf.to_numpy(a), b)


def test_two_ways_to_say_what_is_minimised():
    objective = returning(lambda loss, state: (loss, (state, {})))
    with pytest.raises(kf.errors.ArgumentError, match="`step` and `objective` are both given"):
        kf.Model(NET, step=lambda ts, batch: (ts, {}), objective=objective)
    with pytest.raises(kf.errors.ArgumentError, match="`loss` would never be used"):
        kf.Model(NET, objective=objective).compile("sgd", "mse")


def test_a_step_comes_before_an_objective(tmp_path):
    """Also before one that the file of the model has lost; and the objective evaluates."""

    def step(ts, batch):
        return ts, {"mine": ops.mean(batch.x)}

    own, _ = models("numpy")
    own.fit(X, Y, verbose=0)
    own.save(tmp_path / "m.safetensors")
    loaded = kf.Model.load(tmp_path / "m.safetensors", step=step)
    assert list(loaded.fit(X, Y, verbose=0).history) == ["mine"]
    loaded.objective = own.objective
    assert list(loaded.fit(X, Y, verbose=0).history) == ["mine"]
    near(loaded.evaluate(X, Y, verbose=0), own.evaluate(X, Y, verbose=0))


def test_an_objective_runs_the_network_of_the_model():
    """Which is another one as soon as layers are frozen."""

    def objective(params, state, batch, key, train):
        y_pred, state = own.net.apply(params, batch.x, state=state, key=key, train=train)
        return ops.mean(ops.square(ops.subtract(y_pred, batch.y))), (state, {})

    own = kf.Model(network(), objective=objective)
    own.compile("sgd")
    own.fit(X, Y, verbose=0)
    own.freeze("dense").fit(X, Y, verbose=0)
    assert "dense" not in own.train_state.params
