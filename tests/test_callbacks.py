"""Callbacks: each driven through the same numbers as Keras's own, and then in `fit` on every training backend."""

from __future__ import annotations

import copy
import functools
import http.server
import importlib
import inspect
import json
import os
import threading
import urllib.parse

import numpy as np
import pytest
from backends import EAGER, params

import kfunc as kf
from kfunc import callbacks, nn, optim, tree
from kfunc.errors import ArgumentError, NonFiniteError, UnsupportedError
from kfunc.metrics.directions import direction

keras = pytest.importorskip("keras")

TRAINING = params(("numpy", "jax", "torch", "tensorflow"))
EPS = float(np.finfo(np.float32).eps)

# -- names -------------------------------------------------------------------------------------------------------------

ARGUMENTS = {
    "ReduceLROnPlateau.kwargs": "Keras takes what is misspelt, and ignores it",
    "TensorBoard.write_graph": "Keras's default is True and its documentation says that nothing is written; False here",
}
"""Where ours differ, and why."""

NAMES = [n for n in dir(keras.callbacks) if inspect.isclass(getattr(keras.callbacks, n))]


@pytest.mark.parametrize("name", NAMES)
def test_names_and_arguments(name):
    """Keras's, in its order and with its defaults."""
    theirs = inspect.signature(getattr(keras.callbacks, name)).parameters
    ours = inspect.signature(getattr(callbacks, name)).parameters
    names = [n for n in theirs if f"{name}.{n}" not in ARGUMENTS or n in ours]
    assert list(ours) == names
    for n in names:
        if f"{name}.{n}" not in ARGUMENTS:
            assert ours[n].default == theirs[n].default, n
            assert ours[n].kind == theirs[n].kind, n


def test_every_callback_is_keras_s():
    assert set(callbacks.__all__) - {"MonitorCallback"} == set(NAMES)


def test_hooks_are_keras_s():
    theirs = {n for n in dir(keras.callbacks.Callback) if n.startswith("on_")}
    assert {n for n in dir(callbacks.Callback) if n.startswith("on_")} == theirs - {"on_batch_begin", "on_batch_end"}


def made(cls):
    for args in ((), (2,), (0.5,), (2, [0])):
        try:
            return cls(*args)
        except (TypeError, ValueError):
            pass
    raise AssertionError(cls)


METRICS = [n for n in dir(keras.metrics) if n[0].isupper() and n == getattr(keras.metrics, n).__name__]


@pytest.mark.parametrize("name", [n for n in METRICS if n not in ("Metric", "MeanMetricWrapper")])
def test_directions(name):
    theirs = getattr(made(getattr(keras.metrics, name)), "_direction", None)
    assert direction(made(getattr(kf.metrics, name))) == {"up": "max", "down": "min", None: None}[theirs]


# -- driven by hand ----------------------------------------------------------------------------------------------------


class Theirs:
    """What Keras's callbacks want of a model. Its weights are the number of the epoch."""

    def __init__(self, saved):
        self.stop_training, self.metrics, self.weights, self.saved = False, [], None, saved
        self.optimizer = keras.optimizers.SGD(0.1)

    def rate(self):
        return float(self.optimizer.learning_rate)

    def train(self, epoch):
        self.weights = epoch

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights

    def save(self, path, overwrite=None):
        name = os.path.basename(path).removesuffix(".keras").removesuffix(".h5").removesuffix(".weights")
        self.saved[name] = self.weights

    save_weights = save


class Ours:
    """The same of kfunc's."""

    def __init__(self, saved):
        self.stop_training, self.saved, self.optimizer = False, saved, optim.sgd(0.1)
        w = {"w": np.zeros(1, np.float32)}
        self.train_state = kf.TrainState(w, {}, self.optimizer.init(w), np.zeros(2, np.uint32), np.int32(0))

    @property
    def weights(self):
        return int(self.train_state.params["w"][0])

    def rate(self):
        return float(optim.learning_rate(self.train_state.opt_state))

    def train(self, epoch):
        self.train_state = self.train_state._replace(params={"w": np.full(1, epoch, np.float32)})

    def save(self, path):
        self.saved[os.path.basename(path).removesuffix(".safetensors")] = self.weights

    save_weights = save


def of_keras(callback, logs, batches):
    model = Theirs(saved := {})
    callback.set_model(model)
    callback.set_params({"epochs": len(logs), "steps": batches})
    return driven(model, logs, batches, lambda hook, *args: getattr(callback, hook)(*args), callback), saved


def of_kfunc(make, logs, batches, killed=None):
    """The same; `killed` after an epoch: another one begins where the checkpoint was, after an epoch too many."""
    model, callback = Ours(saved := {}), make()

    def restart(epoch):
        nonlocal callback, hooks
        if epoch != killed:
            return callback
        kept = copy.deepcopy((callback.get_state(), model.train_state, model.stop_training))
        if epoch + 1 < len(logs):
            one_epoch(model, epoch + 1, logs, batches, lambda *args: hooks(*args))
        callback = make()
        hooks = kf.callbacks.CallbackList(callback, model=model, epochs=len(logs), steps=batches)
        if kept[0] is not None:
            hooks.set_state({f"0_{type(callback).__name__}": kept[0]})
        hooks("on_train_begin", {})
        _, model.train_state, model.stop_training = kept
        return callback

    hooks = kf.callbacks.CallbackList(callback, model=model, epochs=len(logs), steps=batches)
    return driven(model, logs, batches, lambda *args: hooks(*args), callback, restart), saved


def one_epoch(model, epoch, logs, batches, call):
    call("on_epoch_begin", epoch, {})
    model.train(epoch)
    for batch in range(batches):
        call("on_train_batch_begin", batch, {})
        call("on_train_batch_end", batch, dict(logs[epoch]))
    call("on_epoch_end", epoch, seen := dict(logs[epoch]))
    return seen


SEEN = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")


def driven(model, logs, batches, call, callback, after=lambda epoch: None):
    """What is to be seen of a callback, epoch by epoch, and what is left in the end."""
    trace = []
    call("on_train_begin", {})
    for epoch in range(len(logs)):
        seen = one_epoch(model, epoch, logs, batches, call)
        callback = after(epoch) or callback
        state = {name: getattr(callback, name) for name in SEEN if hasattr(callback, name)}
        trace.append({"rate": model.rate(), "stop": model.stop_training, "logs": seen, **state})
        if model.stop_training:
            break
    call("on_train_end", {})
    return [*trace, model.weights]


def series(name="val_loss", values="", **others):
    """Logs of epochs."""
    return [{name: float(v), **{n: vs[i] for n, vs in others.items()}} for i, v in enumerate(values.split())]


V = "5 4 4.5 4.2 3 3.1 3.2 3.3 3.4"
FLAT = "1 1 1 1 1 1 1 1 1 1"
UP = "0.1 0.5 0.4 0.6 0.6 0.59 0.58 0.57"

ROWS = {
    "stop at once": ("EarlyStopping", {}, series(values="3 2 2 1")),
    "stop after some": ("EarlyStopping", {"patience": 2}, series(values=V)),
    "stop: best weights": ("EarlyStopping", {"patience": 2, "restore_best_weights": True}, series(values=V)),
    "stop: not reached": ("EarlyStopping", {"patience": 5, "restore_best_weights": True}, series(values=V)),
    "stop: min_delta": ("EarlyStopping", {"patience": 2, "min_delta": 1.5}, series(values=V)),
    "stop: negative min_delta": ("EarlyStopping", {"patience": 2, "min_delta": -1.5}, series(values=V)),
    "stop: more is better": ("EarlyStopping", {"monitor": "a", "mode": "max", "patience": 1}, series("a", UP)),
    "stop: more by min_delta": (
        "EarlyStopping",
        {"monitor": "a", "mode": "max", "patience": 2, "min_delta": 0.3, "restore_best_weights": True},
        series("a", UP),
    ),
    "stop: less of anything": ("EarlyStopping", {"monitor": "a", "mode": "min", "patience": 2}, series("a", UP)),
    "stop: the training loss": ("EarlyStopping", {"monitor": "loss"}, series("loss", V)),
    "stop: baseline not reached": (
        "EarlyStopping",
        {"baseline": 1.0, "patience": 3, "restore_best_weights": True},
        series(values=V),
    ),
    "stop: baseline reached": ("EarlyStopping", {"baseline": 3.5, "patience": 4}, series(values=V)),
    "stop: warm-up": ("EarlyStopping", {"start_from_epoch": 3, "restore_best_weights": True}, series(values=V)),
    "stop: warm-up is all": ("EarlyStopping", {"start_from_epoch": 99}, series(values=FLAT)),
    "stop: nothing changes": ("EarlyStopping", {"patience": 3, "restore_best_weights": True}, series(values=FLAT)),
    "plateau": ("ReduceLROnPlateau", {"patience": 2}, series(values=V)),
    "plateau: at once": ("ReduceLROnPlateau", {"patience": 0, "factor": 0.5}, series(values=V)),
    "plateau: cooldown": ("ReduceLROnPlateau", {"patience": 1, "cooldown": 2, "factor": 0.5}, series(values=FLAT)),
    "plateau: min_lr": ("ReduceLROnPlateau", {"patience": 1, "min_lr": 0.02, "factor": 0.3}, series(values=FLAT)),
    "plateau: min_delta": ("ReduceLROnPlateau", {"patience": 2, "min_delta": 2.0}, series(values=V)),
    "plateau: more is better": (
        "ReduceLROnPlateau",
        {"monitor": "a", "mode": "max", "patience": 1, "factor": 0.9},
        series("a", UP),
    ),
    "schedule": ("LearningRateScheduler", {"schedule": lambda epoch, lr: lr * 0.9 if epoch else lr}, series(values=V)),
    "schedule of epochs": ("LearningRateScheduler", {"schedule": lambda epoch: 0.1 / (epoch + 1)}, series(values=V)),
    "schedule in NumPy": ("LearningRateScheduler", {"schedule": lambda e, lr: np.float32(lr / 2)}, series(values=V)),
    "save": ("ModelCheckpoint", {"filepath": "m"}, series(values=V)),
    "save with names": (
        "ModelCheckpoint",
        {"filepath": "m-{epoch:02d}-{val_loss:.2f}-{a:.1f}"},
        series(values=V, a=range(9)),
    ),
    "save the best": ("ModelCheckpoint", {"filepath": "m-{epoch}", "save_best_only": True}, series(values=V)),
    "save the best by now": ("ModelCheckpoint", {"filepath": "m", "save_best_only": True}, series(values=V)),
    "save the largest": (
        "ModelCheckpoint",
        {"filepath": "m-{epoch}", "monitor": "a", "mode": "max", "save_best_only": True, "save_weights_only": True},
        series("a", UP),
    ),
    "save from a threshold": (
        "ModelCheckpoint",
        {"filepath": "m-{epoch}", "save_best_only": True, "initial_value_threshold": 4.1},
        series(values=V),
    ),
    "save by steps": ("ModelCheckpoint", {"filepath": "m-{epoch}-{batch:03d}", "save_freq": 5}, series(values=V)),
    "save the best by steps": (
        "ModelCheckpoint",
        {"filepath": "m-{epoch}-{batch}-{val_loss}", "save_freq": 2, "save_best_only": True},
        series(values=V),
    ),
    "table": ("CSVLogger", {}, series(values=V, loss=[0.1 * i for i in range(9)], a=range(9))),
    "table without validation": ("CSVLogger", {"separator": ";"}, series("loss", V, a=range(9))),
    "table with gaps": ("CSVLogger", {}, [{"loss": 1.0, "val_loss": 2.0}, {"loss": 0.5}, {"loss": 0.25, "new": 1.0}]),
    "table of lists": ("CSVLogger", {}, [{"f": [0.5, 0.25], "s": "a,b"}, {"f": [1.0, 2.0], "s": 'q"'}]),
    "table behind another": ("CSVLogger", {"append": True}, series("loss", V)),
    "history": ("History", {}, series(values=V, a=range(9))),
}
BATCHES = 3


def maker(cls, kwargs, folder, keras_s):
    kwargs = dict(kwargs)
    if "filepath" in kwargs:
        suffix = ".weights.h5" if kwargs.get("save_weights_only") else ".keras"
        kwargs["filepath"] = os.path.join(folder, kwargs["filepath"] + (suffix if keras_s else ".safetensors"))
    if cls == "CSVLogger":
        kwargs["filename"] = os.path.join(folder, "table.csv")
    return lambda: getattr((keras if keras_s else kf).callbacks, cls)(**kwargs)


def extra(callback, folder):
    """What a callback leaves beside the trace."""
    if os.path.exists(path := os.path.join(folder, "table.csv")):
        with open(path, newline="") as file:
            return file.read()
    return getattr(callback, "history", None)


def prepared(folder, kwargs):
    folder.mkdir()
    if kwargs.get("append"):
        (folder / "table.csv").write_bytes(b"epoch,loss,val_loss\r\n0,9.0,NA\r\n")
    return str(folder)


# Keras's own, as it reads a variable on JAX.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
@pytest.mark.parametrize("row", ROWS)
def test_as_keras(row, tmp_path):
    """At every epoch, and in a run that is killed after any epoch and resumed."""
    cls, kwargs, logs = ROWS[row]
    theirs = maker(cls, kwargs, folder := prepared(tmp_path / "theirs", kwargs), True)()
    expected, expected_saved = of_keras(theirs, logs, BATCHES)
    left = extra(theirs, folder)
    for killed in (None, *range(len(expected) - 1)):
        kept = []
        make = maker(cls, kwargs, folder := prepared(tmp_path / f"ours {killed}", kwargs), False)
        got, saved = of_kfunc(lambda make=make, kept=kept: kept.append(make()) or kept[-1], logs, BATCHES, killed)
        for ours, keras_s in zip(got[:-1], expected[:-1], strict=True):
            assert {n: v for n, v in ours.items() if n in keras_s} == {n: v for n, v in keras_s.items() if n in ours}
        assert got[-1] == expected[-1]
        # What a run wrote before it was killed may be written again, or stay.
        assert saved == expected_saved or (killed is not None and expected_saved.items() <= saved.items())
        assert extra(kept[-1], folder) == left


# -- in fit ------------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(5)
X = RNG.normal(size=(48, 4)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(np.int32)
HELD_OUT = RNG.normal(size=(16, 4)).astype(np.float32), np.arange(16, dtype=np.int32) % 2  # nothing to be learnt
LOSS = "sparse_categorical_crossentropy"


def model(optimizer="adam", **options):
    made = kf.Model(nn.Sequential([nn.Dense(4, activation="tanh"), nn.BatchNormalization(), nn.Dense(2, "softmax")]))
    made.compile(optimizer, LOSS, metrics=["accuracy"], **options)
    return made


def fit(made, *each, **options):
    options = {"epochs": 3, "batch_size": 16, "validation_data": HELD_OUT, "verbose": 0} | options
    return made.fit(X, Y, callbacks=list(each), **options)


def leaves(tree):
    return [kf.to_numpy(x) for x in kf.tree.leaves(tree)]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


@pytest.mark.parametrize("name", TRAINING)
def test_all_in_fit(name, tmp_path, capsys):
    """What each does is what the history, which is as without them, says that it should."""
    path = str(tmp_path)
    states = []
    each = [
        callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / (epoch + 1)),
        callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=10.0, verbose=1),
        callbacks.EarlyStopping("accuracy", patience=1, mode="min", restore_best_weights=True, verbose=1),
        callbacks.ModelCheckpoint(f"{path}/m-{{epoch:02d}}-{{val_loss:.4f}}.safetensors"),
        callbacks.ModelCheckpoint(f"{path}/w.safetensors", "accuracy", 0, True, True, "min"),
        callbacks.CSVLogger(f"{path}/table.csv"),
        history := callbacks.History(),
        callbacks.OrbaxCheckpoint(f"{path}/steps", max_to_keep=2),
        callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs, train_state: states.append(train_state)),
        callbacks.TerminateOnNaN(),
        callbacks.ProgbarLogger(),
    ]
    # It gets better in the first epochs, which is worse by this measure.
    seen = fit(made := model(), *each, epochs=5, backend=name)
    assert len(seen.epoch) == 2 and seen.history == history.history and made.history is history
    rates = [0.01, 0.005 * 0.5]
    np.testing.assert_allclose(seen.history["learning_rate"], [rates[0], 0.005], rtol=EPS)
    np.testing.assert_allclose(kf.to_numpy(optim.learning_rate(made.train_state.opt_state)), rates[1], rtol=EPS)
    assert same((made.train_state.params, made.train_state.state), (states[0].params, states[0].state))
    assert "Epoch 2: early stopping" in (out := capsys.readouterr().out) and "Epoch 2: the learning rate becomes" in out
    files = [f"m-{i + 1:02d}-{seen.history['val_loss'][i]:.4f}.safetensors" for i in range(2)]
    assert sorted(os.listdir(path)) == [*files, "steps", "table.csv", "w.safetensors"]
    assert len(os.listdir(f"{path}/steps")) == 2
    kept = kf.Checkpoints(f"{path}/steps").restore()
    assert same(kept["params"], states[1].params) and int(kept["step"]) == 6
    loaded = kf.Model.load(f"{path}/{files[1]}")
    assert same(loaded.train_state, states[1])
    loaded.load_weights(f"{path}/w.safetensors")
    assert same(loaded.train_state.params, states[0].params)
    assert loaded.evaluate(*HELD_OUT, verbose=0)[0] == pytest.approx(seen.history["val_loss"][0], rel=20 * EPS)
    with open(f"{path}/table.csv", newline="") as file:
        assert len(file.read().splitlines()) == 3


RATES = [0.1, 0.02, 0.3]


@functools.cache
def by_a_schedule():
    """What NumPy comes to, where the optimizer knows the learning rates beforehand."""
    fit(made := model(optim.sgd(optim.PiecewiseConstantDecay([2, 5], RATES))))
    return leaves(made.train_state.params)


@pytest.mark.parametrize("name", TRAINING)
def test_learning_rates_in_fit(name):
    fit(made := model(optim.sgd(1.0)), callbacks.LearningRateScheduler(lambda epoch: RATES[epoch]), backend=name)
    for a, b in zip(leaves(made.train_state.params), by_a_schedule(), strict=True):
        np.testing.assert_allclose(a, b, rtol=9 * 20 * EPS, atol=9 * 20 * EPS)


def averaging():
    return model(optim.sgd(0.3, use_ema=True, ema_momentum=0.5))


@functools.cache
def without_swapping():
    found = []
    fit(averaging(), callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs, ts: found.append(ts)), epochs=2)
    return found


SWAPS = [pytest.param("numpy", False), *(pytest.param(*p.values, True, marks=p.marks) for p in TRAINING)]


@pytest.mark.parametrize(("name", "on_epoch"), SWAPS)
def test_swapped_averages(name, on_epoch):
    """The numbers are those of the averages, and training goes on as without the callback."""
    swap, found = callbacks.SwapEMAWeights(swap_on_epoch=on_epoch), []
    keep = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs, ts: found.append((ts, dict(logs))))
    fit(made := averaging(), swap, keep, epochs=2, backend=name)
    assert same(made.train_state.params, found[-1][0].opt_state.average)  # as without the callback
    for (ts, logs), own in zip(found, without_swapping(), strict=True):
        for a, b in zip(leaves(ts.opt_state), leaves(own.opt_state), strict=True):
            np.testing.assert_allclose(a, b, rtol=6 * 20 * EPS, atol=6 * 20 * EPS)
        assert same(ts.params, ts.opt_state.average if on_epoch else own.params)
        made.train_state = ts._replace(params=ts.opt_state.average)
        assert made.evaluate(*HELD_OUT, batch_size=16, verbose=0) == [logs["val_loss"], logs["val_accuracy"]]


def test_swapped_averages_are_swapped_back():
    made, own = averaging(), without_swapping()[-1]
    made.build(kf.Spec((None, 4)))
    swap = callbacks.SwapEMAWeights()
    made.train_state = own._replace(params=own.opt_state.average)
    expected, numbers = made.predict(X), made.evaluate(X, Y, verbose=0)
    made.train_state = own
    np.testing.assert_array_equal(made.predict(X, callbacks=swap), expected)
    assert made.train_state.params is own.params and not np.array_equal(made.predict(X), expected)
    with pytest.raises(RuntimeError):
        made.evaluate(X, Y, verbose=0, callbacks=[swap, callbacks.LambdaCallback(on_test_batch_end=broken)])
    assert made.train_state.params is own.params
    assert made.evaluate(X, Y, verbose=0, callbacks=swap) == numbers
    assert made.train_state.params is own.params


def broken(*_):
    raise RuntimeError("broken")


def test_schedule_free_is_swapped_for_its_mean():
    made, plain = model(optim.schedule_free_adamw(0.1)), model(optim.schedule_free_adamw(0.1))
    fit(made, callbacks.SwapEMAWeights(swap_on_epoch=True), epochs=2)
    fit(plain, epochs=2)
    assert same(made.train_state.params, plain.train_state.params)


def test_restored_parameters_are_not_swapped():
    """Those of a callback before: here the first epoch's own, which no later average replaces."""
    best = callbacks.EarlyStopping("epoch", mode="min", patience=5, restore_best_weights=True)
    number = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(epoch=epoch))
    fit(made := averaging(), number, best, callbacks.SwapEMAWeights(swap_on_epoch=True), epochs=2)
    assert same(made.train_state.params, without_swapping()[0].params)


@pytest.mark.parametrize("name", TRAINING)
def test_nan_ends_training_quietly(name, capsys, tmp_path):
    bad = X.copy()
    bad[40, 1] = np.nan
    made, ends = model(), []
    options = {"batch_size": 16, "shuffle": False, "verbose": 0, "backend": name}
    ended = callbacks.LambdaCallback(on_train_end=lambda logs: ends.append(logs))
    table = callbacks.CSVLogger(tmp_path / "log.csv")
    seen = made.fit(bad, Y, epochs=3, callbacks=[callbacks.TerminateOnNaN(), ended, table], **options)
    assert seen.epoch == [0] and made.stop_training and int(kf.to_numpy(made.train_state.step)) == 2
    assert repr((seen.history, ends)) == "({'loss': [nan]}, [{'loss': nan}])"
    assert (tmp_path / "log.csv").read_text().split() == ["epoch,loss,val_loss", "0,nan,NA"]
    assert all(np.isfinite(x).all() for x in leaves(made.train_state))
    assert "Training stopped at step 2" in capsys.readouterr().out
    with pytest.raises(NonFiniteError):
        made.fit(bad, Y, callbacks=[callbacks.TerminateOnNaN(raise_error=True), ended], **options)
    assert len(ends) == 1
    assert made.fit(X, Y, **options).epoch == [0]


@pytest.mark.tensorflow
def test_tensorboard(tmp_path):
    """What is written is read back with TensorFlow's own reader, which checks the checksums."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    board = callbacks.TensorBoard(str(tmp_path), histogram_freq=2, write_steps_per_second=True, update_freq=2)
    made, states = model(), []
    seen = fit(made, callbacks.LambdaCallback(on_epoch_end=lambda e, logs, ts: states.append(ts)), board)
    made.evaluate(X, Y, verbose=0, callbacks=board)

    found, histograms, versions = {}, {}, []
    for folder in ("train", "validation"):
        for file in sorted((tmp_path / folder).iterdir()):
            for record in tf.data.TFRecordDataset(str(file)):
                event = event_pb2.Event.FromString(record.numpy())
                versions += [event.file_version] * bool(event.file_version)
                for value in event.summary.value:
                    if value.HasField("histo"):
                        histograms[value.tag, event.step] = value.histo
                    else:
                        found.setdefault(f"{folder}/{value.tag}", []).append((event.step, value.simple_value))
    # Another fit or evaluation, another file.
    assert versions == ["brain.Event:2"] * 3
    for name, values in seen.history.items():
        tag = f"validation/epoch_{name[4:]}" if name.startswith("val_") else f"train/epoch_{name}"
        assert found.pop(tag) == list(enumerate(np.asarray(values, np.float32).tolist())), tag
    assert [step for step, _ in found.pop("train/epoch_learning_rate")] == [0, 1, 2]
    losses = found.pop("validation/evaluation_loss_vs_iterations")
    assert losses[:3] == [(3 * (i + 1), np.float32(v)) for i, v in enumerate(seen.history["val_loss"])]
    assert len(losses) == len(found.pop("validation/evaluation_accuracy_vs_iterations")) == 4 and losses[3][0] == 9
    assert [step for step, _ in found.pop("train/batch_loss")] == [2, 4, 6, 8]
    assert [step for step, _ in found.pop("train/batch_accuracy")] == [2, 4, 6, 8]
    speeds = [*found.pop("train/epoch_steps_per_second"), *found.pop("train/batch_steps_per_second")]
    assert not found and len(speeds) == 3 + 4 and all(value > 0 for _, value in speeds)

    weights = {f"{p}/histogram": states[2].params for p in kf.tree.paths(states[2].params)}
    assert {tag for tag, _ in histograms} >= set(weights) and {step for _, step in histograms} == {0, 2}
    for tag, x in zip(weights, leaves(states[2].params), strict=True):
        h = histograms[tag, 2]
        assert (h.num, h.min, h.max) == (x.size, x.min(), x.max()) and sum(h.bucket) == x.size
        assert len(h.bucket) == len(h.bucket_limit) and list(h.bucket_limit) == sorted(h.bucket_limit)
        wide = x.astype(np.float64)
        assert [h.sum, h.sum_squares] == pytest.approx([wide.sum(), (wide * wide).sum()], rel=1e-12, abs=1e-12)
        inner = np.histogram(wide, bins=np.asarray(h.bucket_limit))[0]
        np.testing.assert_array_equal(h.bucket[1:], inner)


# -- hooks -------------------------------------------------------------------------------------------------------------


class Recorder(callbacks.Callback):
    """All hooks, in the order of their calls."""

    def __init__(self):
        self.calls = []


for hook in [n for n in vars(callbacks.Callback) if n.startswith("on_")]:
    setattr(Recorder, hook, lambda self, *args, hook=hook: self.calls.append((hook, args)))


def test_hooks():
    recorder = Recorder()
    made = model()
    fit(made, recorder, epochs=1, validation_data=(HELD_OUT[0], HELD_OUT[1]))
    made.predict(X, batch_size=24, callbacks=recorder)
    step = [("on_train_batch_begin", 2), ("on_train_batch_end", 2)]
    names = [(hook, args[0] if isinstance(args[0], int) else None) for hook, args in recorder.calls]
    assert names == [
        ("on_train_begin", None),
        ("on_epoch_begin", 0),
        *[(hook, i) for i in range(3) for hook, _ in step],
        *[("on_test_begin", None), ("on_test_batch_begin", 0), ("on_test_batch_end", 0), ("on_test_end", None)],
        ("on_epoch_end", 0),
        ("on_train_end", None),
        ("on_predict_begin", None),
        *[(f"on_predict_batch_{end}", i) for i in range(2) for end in ("begin", "end")],
        ("on_predict_end", None),
    ]
    steps = [int(kf.to_numpy(args[-1].step)) for hook, args in recorder.calls if "train_batch" in hook]
    assert steps == [0, 1, 1, 2, 2, 3]
    logs = [args[1] for hook, args in recorder.calls if hook == "on_train_batch_end"]
    assert all(set(one) == {"loss", "accuracy"} for one in logs)
    assert recorder.params == {"steps": 2, "verbose": 0}


def test_hooks_of_keras_s_form_and_others():
    made, seen = model(), []

    class Old(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append(batch)
            return "whatever"

        def on_epoch_end(self, epoch, logs):
            logs["double"] = 2 * logs["loss"]
            return 3

    class Theirs(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(f"begin {batch}")

    history = fit(made, [Old(), [Theirs()]], epochs=1)
    assert history.history["double"] == [2 * history.history["loss"][0]]
    assert seen == ["begin 0", 0, "begin 1", 1, "begin 2", 2]
    assert not callbacks.CallbackList([Old(), Theirs(), keras.callbacks.Callback()]).has(
        "on_train_end", "on_test_begin"
    )


def test_a_hook_may_change_the_train_state():
    """Here it takes every second step back."""

    class Undo(callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None, train_state=None):
            self.before = train_state

        def on_train_batch_end(self, batch, logs=None, train_state=None):
            return self.before if batch % 2 else None

    fit(made := model(), Undo(), epochs=1)
    assert int(kf.to_numpy(made.train_state.step)) == 2


class Keeping(callbacks.ReduceLROnPlateau):
    """It keeps the train states, which kfunc's class does not."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = []

    def on_epoch_end(self, epoch, logs=None, train_state=None):
        self.kept.append(train_state)
        return super().on_epoch_end(epoch, logs, train_state)


LOOKING = {
    "EarlyStopping": (lambda path: callbacks.EarlyStopping("loss", patience=9), 0),
    "EarlyStopping, restoring": (
        lambda path: callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
        2,
    ),
    "ReduceLROnPlateau": (lambda path: callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9.0), 0),
    "ReduceLROnPlateau, a user's": (lambda path: Keeping("loss", patience=1, min_delta=9.0), 2),
    "LearningRateScheduler": (lambda path: callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)), 0),
    "TensorBoard": (lambda path: callbacks.TensorBoard(path, histogram_freq=1), 0),
}
"""Callbacks, and after how many of two epochs the whole state is copied, as somebody may have kept its arrays."""


@pytest.mark.jax
def test_the_state_is_not_copied_for_callbacks_that_only_look(tmp_path, monkeypatch):
    cls, copied = type(kf.backends.get("jax")), []
    released = cls.released
    monkeypatch.setattr(cls, "released", lambda self, x: (copied.append(x), released(self, x))[1])
    made = model(optim.sgd(0.01))
    for name, (make, expected) in LOOKING.items():
        made.fit(X[:32], Y[:32], batch_size=16, epochs=1, verbose=0, backend="jax")  # its state is the model's alone
        copied.clear()
        history = made.fit(X[:32], Y[:32], batch_size=16, epochs=3, verbose=0, callbacks=[each := make(str(tmp_path))])
        assert len(copied) == expected * len(tree.leaves(made._carry.value)), name
        rates = history.history.get("learning_rate", [1, 2])
        assert len(set(rates)) > 1, name  # it did change them
        if kept := getattr(each, "kept", ()):
            assert not same(kept[0].params, kept[1].params) and not same(kept[1].params, made.train_state.params)


def test_training_stops_after_a_batch():
    made = model()
    stop = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(made, "stop_training", batch == 1))
    history = fit(made, stop)
    assert history.epoch == [0] and "val_loss" in history.history and int(made.train_state.step) == 2


def test_lists_for_loops_of_ones_own(capsys):
    made = model()
    made.build(kf.Spec((None, 4)))
    each = callbacks.CallbackList(
        callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs, ts: ts._replace(step=ts.step + 1)),
        add_history=True,
        add_progbar=True,
        model=made,
        epochs=1,
        steps=2,
        verbose=2,
    )
    each.on_train_begin({})
    each.on_epoch_begin(0, {})
    for i in range(2):
        each.on_train_batch_begin(i, {})
        each.on_train_batch_end(i, {"loss": 1.0})
    each.on_test_begin({})
    each.on_test_end({})
    each.on_epoch_end(0, {"loss": 0.5})
    each.on_train_end({})
    assert made.history.history == {"loss": [0.5]} and int(made.train_state.step) == 1
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "Epoch 1/1" in out and "2/2" in out and "loss: 0.5" in out


SCHEDULES = {
    "plain": lambda schedule: optim.adam(schedule),
    "a function": lambda schedule: optim.sgd(lambda step: 0.1 * 0.5 ** (step / 10.0)),
    "scaled and averaged": lambda schedule: optim.loss_scale(optim.sgd(schedule, use_ema=True)),
    "wrapped": lambda schedule: optim.ema(optim.adam(schedule, clipnorm=1.0)),
    "accumulated": lambda schedule: optim.adam(schedule, gradient_accumulation_steps=3),
}


@pytest.mark.parametrize("optimizer", SCHEDULES)
def test_tensorboard_sees_schedules(optimizer, tmp_path, monkeypatch):
    found = []
    board = callbacks.TensorBoard(tmp_path)
    monkeypatch.setattr(board, "_write", lambda where, step, values, *_: found.append(values))
    fit(model(SCHEDULES[optimizer](optim.ExponentialDecay(0.1, 10, 0.5))), board, validation_data=None)
    steps = 3 * np.arange(1, 4)
    got = [values["epoch_learning_rate"] for values in found]
    np.testing.assert_allclose(got, 0.1 * 0.5 ** (steps / 10), rtol=4 * EPS)


def test_files_for_keras(tmp_path):
    """Keras's most used callback, as programs for Keras have it."""
    made, weights = model(), tmp_path / "best.weights.h5"
    savers = (
        callbacks.ModelCheckpoint(tmp_path / "at" / "{epoch}.keras"),
        callbacks.ModelCheckpoint(weights, save_weights_only=True),
    )
    fit(made, *savers, epochs=2)
    again, other = kf.Model.load(tmp_path / "at" / "2.keras"), model().build(kf.Spec((None, 4)))
    assert int(again.train_state.step) == int(made.train_state.step) and (tmp_path / "at" / "1.keras").exists()
    other.load_weights(weights)
    for got in (again, other):
        assert same(got.train_state.params, made.train_state.params)
    unlike = kf.Model(nn.Residual(nn.Dense(4)))
    unlike.compile("adam", "mse")
    with pytest.raises(ArgumentError, match="Keras has no layer like Residual"):
        unlike.fit(X, X, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / "m.keras")])
    assert int(unlike.train_state.step) == 0  # before training starts
    assert same(again.train_state.opt_state, made.train_state.opt_state)


# -- what goes wrong ---------------------------------------------------------------------------------------------------

SCHEDULED = {"optimizer": optim.adam(optim.ExponentialDecay(0.1, 10, 0.5))}
C = callbacks
ERRORS = {
    "mode": (lambda: C.EarlyStopping(mode="most"), ArgumentError, "mode"),
    "patience": (lambda: C.EarlyStopping(patience=-1), ArgumentError, "patience"),
    "factor": (lambda: C.ReduceLROnPlateau(factor=1.0), ArgumentError, "factor"),
    "a misspelt argument": (lambda: C.ReduceLROnPlateau(patence=1), TypeError, "patence"),
    "suffix": (lambda: C.ModelCheckpoint("m.h5"), ArgumentError, "m.safetensors or m.keras"),
    "suffix of weights": (lambda: C.ModelCheckpoint("a/m.weights.h5"), ArgumentError, "a/m.safetensors or a/m.keras"),
    "suffix of models": (
        lambda: C.ModelCheckpoint("m.keras", save_weights_only=True),
        ArgumentError,
        "m.safetensors or m.weights.h5",
    ),
    "frequency": (lambda: C.ModelCheckpoint("m.safetensors", save_freq="batch"), ArgumentError, "save_freq"),
    "a hook": (lambda: C.LambdaCallback(on_epoch=print), ArgumentError, "on_epoch"),
    "no hook": (lambda: C.LambdaCallback(on_epoch_end=3), ArgumentError, "on_epoch_end"),
    "separator": (lambda: C.CSVLogger("a.csv", "::"), ArgumentError, "separator"),
    "no schedule": (lambda: C.LearningRateScheduler(0.1), ArgumentError, "schedule"),
    "no directory": (lambda: C.BackupAndRestore(""), ArgumentError, "backup_dir"),
    "a graph": (lambda: C.TensorBoard(write_graph=True), UnsupportedError, "write_graph"),
    "images": (lambda: C.TensorBoard(write_images=True), UnsupportedError, "write_images"),
    "a profile": (lambda: C.TensorBoard(profile_batch=2), UnsupportedError, "profile_batch"),
    "embeddings": (lambda: C.TensorBoard(embeddings_freq=1), UnsupportedError, "embeddings_freq"),
    "a class": (lambda: fit(model(), C.EarlyStopping), ArgumentError, "callbacks"),
    "a direction": (lambda: fit(model(), C.EarlyStopping("val_x")), ArgumentError, 'mode="min"'),
    "a name in the path": (lambda: fit(model(), C.ModelCheckpoint("{x}.safetensors")), ArgumentError, "val_loss"),
    "a format": (lambda: fit(model(), C.ModelCheckpoint("{epoch:s}.safetensors")), ArgumentError, "filepath"),
    "two schedules": (
        lambda: fit(model(**SCHEDULED), C.LearningRateScheduler(lambda e, lr: lr)),
        ArgumentError,
        "give the optimizer a number",
    ),
    "a schedule on a plateau": (lambda: fit(model(**SCHEDULED), C.ReduceLROnPlateau()), ArgumentError, "schedule"),
    "no rate": (lambda: fit(model(), C.LearningRateScheduler(lambda e: -1.0)), ArgumentError, "schedule"),
    "a text for a rate": (lambda: fit(model(), C.LearningRateScheduler(lambda e: "x")), ArgumentError, "schedule"),
    "no averages": (lambda: fit(model(), C.SwapEMAWeights()), ArgumentError, "use_ema=True"),
    "no train state": (
        lambda: fit(model(), C.LambdaCallback(on_epoch_end=lambda e, logs, ts: 3)),
        ArgumentError,
        "None",
    ),
    "two backups": (
        lambda: fit(model(), C.BackupAndRestore("nowhere"), resume="elsewhere"),
        ArgumentError,
        "BackupAndRestore",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, error, text = ERRORS[case]
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


class Given(C.Callback):
    """Puts values into the logs, one an epoch; None for an epoch that is not validated."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["val_loss"] = self.values[epoch]
        if self.values[epoch] is None:
            del logs["val_loss"], logs["val_accuracy"]


NAN = float("nan")
BEST = {  # the values, the epochs that are saved (from 1), and more arguments
    "not validated": ([3.0, None, 4.0, None, 2.0, None], [1, 5], {}),
    "validated later": ([None, None, 3.0, 2.0, None, 4.0], [3, 4], {}),
    "not a number": ([NAN, 3.0, NAN, 4.0, 2.0, NAN], [2, 5], {}),
    "never a number": ([NAN] * 6, [], {}),
    "more is better": ([1.0, None, 0.5, NAN, 2.0, None], [1, 5], {"mode": "max"}),
    "a threshold": ([3.0, None, 2.0, NAN, 1.0, None], [5], {"initial_value_threshold": 2.0}),
    "infinite": ([float("inf"), None, 3.0, None, float("-inf"), 1.0], [1, 3, 5], {}),
}


@pytest.mark.parametrize("row", BEST)
@pytest.mark.parametrize("make", [C.ModelCheckpoint, C.OrbaxCheckpoint])
def test_the_best_stays(row, make, tmp_path, capsys):
    """Epochs without a better value save nothing, also when the fit is killed in between, and resumed."""
    values, wanted, options = BEST[row]

    def run(folder, epochs):
        saved = []

        class Saver(make):
            def write(self, epoch, batch, logs):
                saved.append(epoch + 1)
                return super().write(epoch, batch, logs)

        path = tmp_path / folder / "best.safetensors" if make is C.ModelCheckpoint else tmp_path / folder
        each = Given(values), Saver(path, save_best_only=True, verbose=1, **options)
        fit(model(), *each, epochs=epochs, resume=tmp_path / f"{folder} states")
        return saved

    assert run("whole", 6) == wanted
    for stopped in (2, 4):
        assert run(f"stopped {stopped}", stopped) + run(f"stopped {stopped}", 6) == wanted
    if make is C.ModelCheckpoint and wanted:
        best = kf.Model.load(tmp_path / "whole" / "best.safetensors")
        assert int(best.train_state.step) == 3 * wanted[-1]
    assert "Epoch 6: val_loss is not " in capsys.readouterr().out


@pytest.mark.parametrize("make", [C.EarlyStopping, C.ReduceLROnPlateau, C.ModelCheckpoint, C.OrbaxCheckpoint])
def test_validated_now_and_then(make, tmp_path):
    """What comes in some epochs is not warned of in the others; what never comes is."""
    more = {"save_best_only": True} if make in (C.ModelCheckpoint, C.OrbaxCheckpoint) else {}
    path = [tmp_path / "best.safetensors"] if more else []
    fit(model(), make(*path, **more), validation_freq=2)
    with pytest.warns(UserWarning, match="'val_loss', which is not among the logs: loss, accuracy"):
        fit(model(), make(*path, **more), validation_freq=9)
    with pytest.warns(UserWarning, match="'val_other', which is not among the logs: loss, accuracy, val_loss"):
        fit(model(), make(*path, "val_other", mode="min", **more), validation_freq=2)
    if more:
        with pytest.warns(UserWarning, match="'val_loss', which is not among the logs: loss, accuracy"):
            fit(model(), make(*path, save_freq=1, **more), validation_freq=2)


WATCHING = [C.EarlyStopping, C.ReduceLROnPlateau, lambda: C.ModelCheckpoint("m.safetensors", save_best_only=True)]


@pytest.mark.parametrize("make", WATCHING)
def test_what_is_not_there_is_warned_of_once(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="'val_loss', which is not among the logs: loss, accuracy") as caught:
        history = fit(model(), make(), validation_data=None)
    assert len(caught) == 1 and len(history.epoch) == 3


# -- learning rates ----------------------------------------------------------------------------------------------------

RATED = {
    "adam": optim.adam,
    "sgd": lambda rate: optim.sgd(rate, momentum=0.9),
    "adamw clipped": lambda rate: optim.adamw(rate, clipnorm=1.0),
    "accumulate": lambda rate: optim.accumulate(optim.sgd(rate), 1),
    "ema": lambda rate: optim.ema(optim.sgd(rate)),
    "loss scale": lambda rate: optim.loss_scale(optim.rmsprop(rate)),
    "chain": lambda rate: optim.chain(optim.scale_by_adam(), optim.scale_by_learning_rate(rate)),
    "multi_optimizer": lambda rate: optim.multi_optimizer(
        optim.OptimizerMap(optim.lion(rate), {"a": optim.adagrad(rate)})
    ),
    "multi_transform": lambda rate: optim.multi_transform({"x": optim.sgd(rate)}, {"": "x"}),
    "all of it": lambda rate: optim.adam(rate, use_ema=True, gradient_accumulation_steps=2, loss_scale_factor=8.0),
}


@pytest.mark.parametrize("name", EAGER)
@pytest.mark.parametrize("wrapped", RATED)
def test_learning_rate_in_the_state(wrapped, name):
    """What was changed goes on like what was made so."""
    params = kf.to_backend({"a": np.asarray([1.0, -2.0], np.float32), "b": np.ones((2, 2), np.float32)}, name)
    old, new = RATED[wrapped](0.25), RATED[wrapped](0.5)
    state = old.init(params)
    assert float(kf.to_numpy(optim.learning_rate(state))) == 0.25
    for value in (0.5, np.float64(0.5), np.asarray(0.5), kf.asarray(0.5, backend=name), lambda rate: 2 * rate):
        changed = optim.with_learning_rate(state, value)
        assert kf.tree.structure(changed) == kf.tree.structure(state)
        assert same(changed, new.init(params))
        assert optim.learning_rate(changed).dtype == optim.learning_rate(state).dtype
    assert same(old.update(params, changed, params), new.update(params, new.init(params), params))


@pytest.mark.parametrize("name", params(("jax", "torch", "tensorflow")))
def test_learning_rates_in_compiled_code(name):
    state = optim.sgd(0.5).init(kf.to_backend({"a": np.ones(2, np.float32)}, name))
    compiled = kf.jit
    if name == "torch":  # one graph, without the time that C++ takes
        compiled = functools.partial(importlib.import_module("torch").compile, fullgraph=True, backend="eager")

    @compiled
    def changed(state):
        state = optim.with_learning_rate(state, lambda rate: rate / 2)
        return state, optim.with_learning_rate(state, 0.125)

    assert [float(kf.to_numpy(optim.learning_rate(x))) for x in changed(state)] == [0.25, 0.125]


def test_learning_rates_that_cannot_be_set():
    params = {"a": np.ones(2, np.float32)}
    for rate in (optim.constant(0.1), lambda count: 0.1, np.asarray(0.1, np.float32)):
        state = optim.sgd(rate).init(params)
        assert optim.learning_rate(state) is None
        with pytest.raises(ArgumentError, match="give the optimizer a number"):
            optim.with_learning_rate(state, 0.1)
    for value in (-1.0, np.nan, np.inf):
        with pytest.raises(ArgumentError, match="learning_rate"):
            optim.with_learning_rate(optim.sgd().init(params), value)


@pytest.mark.jax
def test_optax_rates():
    import jax.numpy as jnp
    import optax

    params = {"a": jnp.ones(2)}
    tx = optax.inject_hyperparams(optax.sgd)(learning_rate=0.25)
    state = optim.with_learning_rate(tx.init(params), lambda rate: rate * 2)
    assert float(optim.learning_rate(state)) == 0.5
    np.testing.assert_array_equal(tx.update(params, state)[0]["a"], [-0.5, -0.5])
    scheduled = optax.inject_hyperparams(optax.sgd)(learning_rate=optax.constant_schedule(0.25))
    assert optim.learning_rate(scheduled.init(params)) is None


BACKUPS = [("numpy", 2, 5), ("numpy", "epoch", 4), ("numpy", "epoch", 8), ("torch", "epoch", 7)]


@pytest.mark.parametrize(
    ("name", "freq", "at"), [pytest.param(*row, marks=getattr(pytest.mark, row[0])) for row in BACKUPS]
)
def test_backup(name, freq, at, tmp_path):
    """Interrupted in step `at`, resumed, and the same as never interrupted; then nothing is left."""

    def run(folder, *more):
        folder.mkdir(exist_ok=True)
        each = [
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.EarlyStopping("val_loss", patience=2, min_delta=0.5, restore_best_weights=True),
            callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=0.5),
            callbacks.CSVLogger(folder / "table.csv"),
            callbacks.ModelCheckpoint(folder / "{epoch}-{batch}.safetensors", save_freq=2),
            history := callbacks.History(),
        ]
        made = model(optim.adam(0.01, use_ema=True, ema_momentum=0.5))
        seen = fit(made, *more, each, epochs=5, backend=name)
        assert seen.history == history.history and seen.epochs == history.epochs
        names = sorted(n for n in os.listdir(folder) if n.endswith(".safetensors"))
        arrays = [made.train_state, *(kf.load(folder / n) for n in names)]
        return [seen.epoch, seen.history, names, (folder / "table.csv").read_bytes()], leaves(arrays)

    def backup():
        return callbacks.BackupAndRestore(tmp_path / "backup", save_freq=freq)

    def interrupt(batch, logs, train_state):
        if int(kf.to_numpy(train_state.step)) == at:
            raise KeyboardInterrupt

    expected = run(tmp_path / "unbroken")
    assert expected[0][0] == [0, 1, 2] and len(expected[0][2]) == 4  # and it stops early
    resumed = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        run(resumed, backup(), callbacks.LambdaCallback(on_train_batch_end=interrupt))
    assert os.listdir(tmp_path / "backup")
    got = run(resumed, backup(), callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None))
    assert got[0] == expected[0] and len(got[1]) == len(expected[1])
    assert all(map(np.array_equal, got[1], expected[1]))
    assert not (tmp_path / "backup").exists()


def test_a_log_that_is_not_appended_takes_the_place_of_the_old_file(tmp_path):
    (tmp_path / "log.csv").write_text("what was there before")
    log = callbacks.CSVLogger(tmp_path / "log.csv")
    log.on_train_begin()
    for epoch in range(2):
        log.on_epoch_end(epoch, {"loss": 0.5, "val_loss": 1.5})
    assert (tmp_path / "log.csv").read_text().split() == ["epoch,loss,val_loss", "0,0.5,1.5", "1,0.5,1.5"]


def test_a_monitor_in_a_loop_of_ones_own_that_does_not_say_that_training_begins():
    stop = callbacks.EarlyStopping("loss", patience=1)
    stop.set_params({"metrics": {}})
    found = [stop.better(a, b) for a, b in ((1.0, None), (0.5, 1.0), (1.5, 0.5))]
    assert found == [True, True, False]


@pytest.mark.parametrize("name", EAGER)
def test_a_learning_rate_may_be_an_array(name):
    rate = callbacks.LearningRateScheduler(lambda epoch, old: kf.to_backend(np.full((), old / 2, np.float32), name))
    assert rate._at(0, 0.5) == 0.25


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_checkpoint_says_that_it_was_saved(verbose, tmp_path, capsys):
    fit(model(), callbacks.ModelCheckpoint(tmp_path / "m.safetensors", verbose=verbose), epochs=1)
    assert ("Epoch 1: saved" in capsys.readouterr().out) == bool(verbose)


# -- RemoteMonitor -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [True, False])
def test_the_numbers_go_to_a_server(as_json):
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            got.append((self.path, self.headers["X-Token"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monitor = callbacks.RemoteMonitor(
        f"http://127.0.0.1:{server.server_port}", "/here", "numbers", {"X-Token": "t"}, as_json
    )
    made = kf.Model(nn.Dense(1))
    made.compile("sgd", "mse")
    x = np.ones((4, 2), np.float32)
    history = made.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[monitor]).history
    monitor.on_epoch_end(2, {"loss": np.float32(0.5), "each": np.arange(2)})
    server.shutdown()
    server.server_close()
    assert [(path, token) for path, token, _ in got] == [("/here", "t")] * 3
    texts = [body if as_json else urllib.parse.parse_qs(body)["numbers"][0] for *_, body in got]
    assert [json.loads(text) for text in texts] == [
        *({"epoch": i, "loss": loss} for i, loss in enumerate(history["loss"])),
        {"epoch": 2, "loss": 0.5, "each": [0, 1]},
    ]
    with pytest.warns(
        UserWarning, match="Could not reach RemoteMonitor .*: epoch 0 was not sent"
    ):  # and training goes on
        made.fit(x, x[:, :1], verbose=0, callbacks=[monitor])


def test_attributes_of_a_lambda_callback():
    assert callbacks.LambdaCallback(threshold=0.5).threshold == 0.5
    with pytest.raises(ArgumentError, match="There is no hook 'on_epoch_ends'"):
        callbacks.LambdaCallback(on_epoch_ends=print)
