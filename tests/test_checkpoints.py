"""`kf.Checkpoints`: what stays, what is taken, and what bad files, full disks and other writers do."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import signal
import threading
import warnings

import numpy as np
import pytest
from backends import TRAINING
from sampling import chosen

import kfunc as kf
from kfunc import files, nn
from kfunc.data.states import unpacked_state
from kfunc.errors import ArgumentError, FileError

TREE = {"w": np.arange(6.0, dtype="float32").reshape(2, 3), "n": np.asarray(3, "int32"), "s": "text", "none": None}


def saved(directory, steps, **options):
    """Checkpoints at these steps, in each the step; what has metrics is a pair."""
    found = kf.Checkpoints(directory, **options)
    for step in steps:
        step, metrics = step if isinstance(step, tuple) else (step, None)
        found.save(step, {"at": np.asarray(step)}, metrics)
    return found


def loss(*pairs):
    return [(step, {"val_loss": value}) for step, value in pairs]


# -- what stays --------------------------------------------------------------------------------------------------------

KEPT = {
    "the last three": ([1, 2, 3, 4, 5], {}, [3, 4, 5]),
    "the last": ([1, 2, 3], {"keep_last": 1}, [3]),
    "all": ([1, 2, 3, 4, 5], {"keep_last": None}, [1, 2, 3, 4, 5]),
    "the best besides": (loss((1, 0.5), (2, 0.1), (3, 0.4), (4, 0.3)), {"keep_last": 1, "keep_best": 1}, [2, 4]),
    "two best": (loss((1, 0.2), (2, 0.1), (3, 0.4), (4, 0.3)), {"keep_last": 1, "keep_best": 2}, [1, 2, 4]),
    "arrays are numbers": (loss((1, np.float32(0.1)), (2, np.asarray(0.2))), {"keep_last": 1, "keep_best": 1}, [1, 2]),
    "lists are none": (loss((1, [0.1]), (2, 0.2), (3, 0.3)), {"keep_last": 1, "keep_best": 1}, [2, 3]),
    "the first of equals": (loss((1, 0.1), (2, 0.1), (3, 0.4)), {"keep_last": 1, "keep_best": 1}, [1, 3]),
    "NaN is never best": (loss((1, float("nan")), (2, 9.0), (3, 10.0)), {"keep_last": 1, "keep_best": 1}, [2, 3]),
    "infinity is a number": (loss((1, float("-inf")), (2, 1.0)), {"keep_last": 1, "keep_best": 1}, [1, 2]),
    "without the metric": ([(1, {"loss": 0.1}), 2, 3], {"keep_last": 1, "keep_best": 1}, [3]),
    "more is better": (loss((1, 0.5), (2, 0.1), (3, 0.4)), {"keep_last": 1, "keep_best": 1, "mode": "max"}, [1, 3]),
    "as its name says": (
        [(1, {"val_accuracy": 0.9}), (2, {"val_accuracy": 0.1}), (3, {"val_accuracy": 0.2})],
        {"keep_last": 1, "keep_best": 1, "monitor": "val_accuracy"},
        [1, 3],
    ),
    "what was just saved, whatever its number": ([7, 8, 3], {"keep_last": 1}, [3, 8]),
    "the same again": (loss((1, 0.5), (2, 0.9), (2, 0.1)), {"keep_last": 1, "keep_best": 1}, [2]),
}


@pytest.mark.parametrize("steps, options, kept", KEPT.values(), ids=KEPT)
def test_the_newest_and_the_best_stay(steps, options, kept, tmp_path):
    found = saved(tmp_path / "a" / "b", steps, **options)
    assert found.steps() == kept
    # Another process knows what this one does.
    other = kf.Checkpoints(found.directory, **options)
    assert other.steps() == kept and other.latest == kept[-1] and other.restore() == {"at": kept[-1]}
    for step in kept:
        assert other.restore(step) == {"at": step}
    if "keep_best" in options:
        assert other.best == found.best
        assert other.best in kept or other.best is None


def test_an_empty_directory_has_nothing(tmp_path):
    found = kf.Checkpoints(tmp_path / "none")
    assert (found.steps(), found.latest, found.best, found.restore()) == ([], None, None, None)
    with pytest.raises(FileError, match="step-000000000004"):
        found.restore(4)
    saved(found.directory, [1, 2]).clear()
    assert not os.path.exists(found.directory)


@pytest.mark.parametrize("name", TRAINING)
def test_a_tree_comes_back_like_another(name, tmp_path):
    ts = kf.TrainState(
        {"a": np.ones((2, 3), "float32")}, {}, ({"b": None},), np.zeros(2, "uint32"), np.asarray(4, "int32")
    )
    ts = kf.to_backend(ts, name)
    found = kf.Checkpoints(tmp_path)
    found.save(4, ts)
    back = found.restore(like=ts)
    assert type(back) is kf.TrainState and kf.tree.structure(back) == kf.tree.structure(ts)
    assert kf.backend_of(back).name == name
    assert all(
        np.array_equal(kf.to_numpy(a), kf.to_numpy(b)) for a, b in zip(back[0].values(), ts[0].values(), strict=True)
    )
    with pytest.raises(FileError) as caught:
        found.restore(like=ts._replace(params={"a": ts.key}))
    assert (caught.value.path, caught.value.got, caught.value.expected) == ("0/a", "float32 (2, 3)", "uint32 (2,)")


REFUSED = {
    "directory": {"directory": 3},
    "every": {"every": 0},
    "keep_last": {"keep_last": 0},
    "keep_best": {"keep_best": -1},
    "mode": {"mode": "up"},
    "a name that says nothing": {"keep_best": 1, "monitor": "val_mine"},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED)
def test_arguments_are_checked(options, tmp_path):
    with pytest.raises(ArgumentError):
        kf.Checkpoints(**{"directory": tmp_path, **options})


# -- bad files ---------------------------------------------------------------------------------------------------------


def replaced(path, data):
    path.write_bytes(data)


def flipped(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def as_directory(path):
    path.unlink()
    path.mkdir()


def of_another_step(path):
    other = saved(path.parent / "other", [1])
    os.replace(other.path(1), path)


BAD = {
    "truncated": lambda path: replaced(path, path.read_bytes()[:-1]),
    "a bit flipped": flipped,
    "empty": lambda path: replaced(path, b""),
    "another step's": of_another_step,
    "a directory": as_directory,
    "from elsewhere": lambda path: files.save({"x": np.ones(3)}, path),
    "text": lambda path: replaced(path, b"not what it says" * 99),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
def test_the_newest_that_verifies_is_taken(spoil, tmp_path):
    found = saved(tmp_path, [1, 2, 3, 4])
    spoil(tmp_path / "step-000000000003.safetensors")
    flipped(tmp_path / "step-000000000004.safetensors")
    with pytest.warns(UserWarning) as caught:
        assert found.restore() == {"at": 2}
    assert len(caught) == 1
    text = str(caught[0].message)
    assert "step-000000000003" in text and "step-000000000004" in text and "step-000000000002" not in text
    assert found.latest == 2 and found.steps() == [2, 3, 4]
    # They do not count among those that stay, and go when there is something newer.
    found.save(5, {"at": np.asarray(5)})
    left = [3] if (tmp_path / "step-000000000003.safetensors").is_dir() else []
    assert found.steps() == [2, *left, 5] and found.restore() == {"at": 5}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
def test_a_bad_one_is_never_taken_for_none(spoil, tmp_path):
    saved(tmp_path, [1, 2], keep_last=1)
    spoil(tmp_path / "step-000000000002.safetensors")
    with contextlib.suppress(FileNotFoundError):
        flipped(tmp_path / "step-000000000001.safetensors")
    before = sorted(os.listdir(tmp_path))
    m = compiled()
    with pytest.raises(FileError, match="None of the checkpoints") as caught:
        m.fit(X, Y, verbose=0, resume=tmp_path)
    assert "step-000000000002" in str(caught.value) and sorted(os.listdir(tmp_path)) == before
    assert m.train_state.step == 0


def test_names_that_are_none_are_left_alone(tmp_path):
    names = ["step-12.safetensors", "step-00000000000x.safetensors", "step-000000000009.safetensors.bak", "notes"]
    for name in names:
        (tmp_path / name).write_text("mine")
    found = saved(tmp_path, [1, 2, 3, 4])
    assert found.steps() == [2, 3, 4] and found.restore() == {"at": 4} and set(names) < set(os.listdir(tmp_path))


# -- full disks, and other writers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def full(call, monkeypatch):
    """A disk on which `call` fails."""

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        yield


@contextlib.contextmanager
def limited(size, monkeypatch):
    """No file may be larger: what the system itself says."""
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


FULL = {"fsync": (full, "fsync"), "replace": (full, "replace"), "the system's limit": (limited, 500)}


@pytest.mark.parametrize("fails, how", FULL.values(), ids=FULL)
def test_a_full_disk_leaves_everything_as_it_was(fails, how, tmp_path, monkeypatch):
    found = saved(tmp_path, [1, 2], keep_last=1)
    m = compiled()
    (tmp_path / "fit").mkdir()
    for save in (
        lambda: found.save(2, {"at": np.zeros(9999)}),
        lambda: found.save(3, {"at": np.zeros(9999)}),
        lambda: m.fit(X, Y, batch_size=4, epochs=9, verbose=0, resume=kf.Checkpoints(tmp_path / "fit", every=2)),
    ):
        with fails(how, monkeypatch), pytest.raises(FileError, match=r"could not be written: (No space|File too)"):
            save()
        assert sorted(os.listdir(tmp_path)) == ["fit", "step-000000000002.safetensors"] and found.restore() == {"at": 2}
    assert not os.listdir(tmp_path / "fit")
    # The steps before count, and there is room again.
    assert 0 < m.train_state.step < 54 and np.isfinite(m.predict(X)).all()
    m.fit(X, Y, batch_size=4, verbose=0, resume=tmp_path / "fit")
    assert len(os.listdir(tmp_path / "fit")) == 1


def test_writers_that_live_are_left_alone_and_dead_ones_swept(tmp_path):
    with files._temporary(str(tmp_path), "step-000000000001.safetensors") as (path, handle):
        os.close(handle)  # the lock holds on
        saved(tmp_path, [2])
        assert os.path.exists(path)
    saved(tmp_path, [3])
    assert sorted(os.listdir(tmp_path)) == ["step-000000000002.safetensors", "step-000000000003.safetensors"]


FOREIGN = (
    "step-0000000000000009.safetensors",  # not as many digits as kfunc writes
    "step-00000000000\u0669.safetensors",  # a digit of Arabic script
    "step-\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff19.safetensors",
    "step-000000000009.safetensors.tmp",
    ".notes.0123456789abcdef.tmp",
    ".step-000000000009.safetensors.0123456789abcdef.tmp",
    ".m.safetensors.0123456789abcdef.kfunc-tmp",  # of another file in that directory
)


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_are_neither_read_nor_removed(name, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    found = saved(tmp_path, [2, 3, 4, 5])
    assert found.steps() == [3, 4, 5] and found.latest == 5 and found.restore() == {"at": 5}
    compiled().fit(**FIT, resume=kf.Checkpoints(tmp_path / "fit"))
    found.clear()
    assert (tmp_path / name).read_bytes() == b"x"


def test_the_last_step_that_can_be_found(tmp_path):
    found = saved(tmp_path, [10**18 - 1])
    assert found.latest == 10**18 - 1 and found.restore() == {"at": 10**18 - 1}
    with pytest.raises(ArgumentError, match="`step` must be"):
        found.save(10**18, {"at": np.asarray(1)})


def test_each_directory_on_the_way_is_synced_in_its_parent(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "sync_directory", lambda path: synced.append(os.fspath(path)))
    kf.Checkpoints(tmp_path / "a" / "b" / "c").prepare()
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]


def test_all_arrays_that_differ_are_named(trained):
    m = compiled(5)
    m.build(kf.Spec((None, 3)))
    with pytest.raises(FileError) as caught:
        m.fit(**FIT, resume=trained)
    leaves = [path for path in kf.tree.paths(m.train_state._asdict()) if "/dense/" in path or "/batch" in path]
    assert len(leaves) > 8 and all(f"{path}: " in caught.value.expected for path in leaves)


def test_a_file_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, swept = files._lock, []

    def late(handle, wait=True):
        if not swept:
            swept.append(1)
            files.sweep(str(tmp_path))
        lock(handle, wait)

    monkeypatch.setattr(files, "_lock", late)
    assert saved(tmp_path, [1]).restore() == {"at": 1} and len(os.listdir(tmp_path)) == 1


def test_several_writers_and_readers(tmp_path):
    errors = []

    def write(first):
        try:
            for step in range(first, 24, 3):
                saved(tmp_path, [step], keep_last=2)
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    assert kf.Checkpoints(tmp_path).restore()["at"] >= 0
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    found = kf.Checkpoints(tmp_path)
    assert found.latest == 23 and all(found.restore(step) == {"at": step} for step in found.steps())
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


# -- in fit ------------------------------------------------------------------------------------------------------------

X = np.linspace(-1, 1, 66, dtype="float32").reshape(22, 3)
Y = X.sum(-1, keepdims=True)


def compiled(units=4, seed=0, activation=None, kernel_regularizer=None, kernel_initializer=None, **options):
    more = {"kernel_regularizer": kernel_regularizer, "kernel_initializer": kernel_initializer or "glorot_uniform"}
    m = kf.Model(nn.Sequential([nn.Dense(units, activation, **more), nn.BatchNormalization(), nn.Dense(1)]), seed=seed)
    m.compile(**{"optimizer": "adam", "loss": "mse", "metrics": ["mae"], **options})
    return m


FIT = {"x": X, "y": Y, "batch_size": 4, "epochs": 2, "verbose": 0}

OTHERS = {
    "another layer": (lambda: compiled(5), {}, FileError, "params/"),
    "one layer more": (lambda: deeper(), {}, FileError, "params/"),
    "another optimizer": (lambda: compiled(optimizer=kf.optim.SGD(momentum=0.9)), {}, FileError, "opt_state/"),
    "another metric": (lambda: compiled(metrics=["mse"]), {}, FileError, "metrics/"),
    "a metric less": (lambda: compiled(metrics=[]), {}, FileError, "metrics/mae/"),
    "other samples": (compiled, {"x": X[:21], "y": Y[:21]}, ArgumentError, "x"),
    "another batch size": (compiled, {"batch_size": 5}, ArgumentError, "batch_size"),
    "other epochs": (compiled, {"steps_per_epoch": 3}, ArgumentError, "steps_per_epoch"),
    "no shuffle": (compiled, {"shuffle": False}, ArgumentError, "shuffle"),
    "weights": (compiled, {"sample_weight": np.ones(len(X))}, ArgumentError, "x"),
    "validation": (compiled, {"validation_split": 0.2, "x": [X], "y": Y}, ArgumentError, "x"),
    "more to validate on": (compiled, {"validation_data": (X, Y)}, ArgumentError, "validation_data"),
    "validation seldom": (compiled, {"validation_freq": 2}, ArgumentError, "validation_freq"),
    "another activation": (lambda: compiled(activation="tanh"), {}, FileError, "net"),
    "a function as activation": (lambda: compiled(activation=kf.ops.tanh), {}, FileError, "net"),
    "a regularizer": (lambda: compiled(kernel_regularizer=nn.regularizers.L2(0.1)), {}, FileError, "net"),
    "another initializer": (lambda: compiled(kernel_initializer="he_normal"), {}, FileError, "net"),
    "another rate": (lambda: compiled(optimizer=kf.optim.Adam(0.1)), {}, FileError, "optimizer"),
    "another beta": (lambda: compiled(optimizer=kf.optim.Adam(beta_2=0.9)), {}, FileError, "optimizer"),
    "another loss": (lambda: compiled(loss="mae"), {}, FileError, "loss"),
    "a loss's argument": (lambda: compiled(loss=kf.losses.Huber(2.0)), {}, FileError, "loss"),
    "a function as loss": (lambda: compiled(loss=scaled_loss), {}, FileError, "loss"),
    "a partial function": (lambda: compiled(loss=functools.partial(scaled_loss, by=2)), {}, FileError, "loss"),
    "a weight of the loss": (lambda: compiled(loss_weights=[2.0]), {}, FileError, "loss_weights"),
    "weights for a metric": (lambda: compiled(metrics=[], weighted_metrics=["mae"]), {}, FileError, "metrics"),
}


def scaled_loss(y, p, by=1.0):
    return by * kf.ops.mean(kf.ops.square(y - p), -1)


def deeper():
    m = kf.Model(nn.Sequential([nn.Dense(4), nn.BatchNormalization(), nn.Dense(1), nn.Dense(1)]))
    m.compile("adam", "mse", metrics=["mae"])
    return m


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    compiled().fit(**FIT, resume=kf.Checkpoints(directory, every=4))
    return directory


@pytest.mark.parametrize("make, options, error, where", OTHERS.values(), ids=OTHERS)
def test_a_checkpoint_of_something_else_is_refused(make, options, error, where, trained):
    m = make()
    m.build(kf.Spec((None, 3)))
    before = m.train_state
    with pytest.raises(error) as caught:
        m.fit(**{**FIT, **options}, resume=trained)
    found = caught.value.path or caught.value.argument
    assert found.startswith(where) and "step-000000000012" in str(caught.value)
    assert m.train_state is before and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("batches", [False, True])
def test_other_class_weights_are_refused(batches, tmp_path):
    labels = (X[:, 0] > 0).astype("int32")

    def fit(weights):
        data = {"x": [(X[:4], labels[:4]), (X[4:8], labels[4:8])], "y": None} if batches else {"y": labels}
        compiled().fit(**{**FIT, **data, "class_weight": weights}, resume=tmp_path)

    fit({0: 1.0, 1: 2.0})
    with pytest.raises(ArgumentError, match=r"class_weight/1 was 2.0, and now is 3.0") as caught:
        fit({0: 1.0, 1: 3.0})
    assert caught.value.argument == "class_weight"
    fit({1: 2, 0: 1.0})


def test_every_difference_is_listed(tmp_path):
    compiled().fit(**FIT, resume=tmp_path)
    other = compiled(activation="relu", loss="mae", optimizer=kf.optim.Adam(0.5, beta_1=0.8))
    with pytest.raises(FileError) as caught:
        other.fit(**{**FIT, "shuffle": False}, resume=tmp_path)
    for said in (
        "net/layers/0/activation was None, and now is 'relu'",
        "optimizer/learning_rate was 0.001, and now is 0.5",
        "optimizer/beta_1 was 0.9, and now is 0.8",
        "loss/class was 'MeanSquaredError', and now is 'MeanAbsoluteError'",
        "shuffle was True, and now is False",
    ):
        assert said in caught.value.problem, said
    # The way that the error tells to go on nevertheless.
    other.build(kf.Spec((None, 3)))
    params, state = kf.Checkpoints(tmp_path).restore()["train_state"][:2]
    other.train_state = other.train_state._replace(params=params, state=state)
    assert len(other.fit(**FIT).epoch) == 2


def test_functions_are_told_apart_by_their_names(tmp_path):
    losses = [lambda y, p: kf.ops.mean(kf.ops.square(y - p), -1) for _ in range(2)]
    compiled(loss=losses[0]).fit(**FIT, resume=tmp_path)
    assert compiled(loss=losses[1]).fit(**{**FIT, "epochs": 3}, resume=tmp_path).epoch == [0, 1, 2]


def test_a_checkpoint_that_is_not_of_fit_is_refused(tmp_path):
    saved(tmp_path, [3])
    with pytest.raises(FileError, match="not a checkpoint of `fit`"):
        compiled().fit(**FIT, resume=tmp_path)


def test_no_directory_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    m = compiled()
    with pytest.raises(FileError, match="could not be made"):
        m.fit(**FIT, resume=tmp_path / "file")
    assert m.train_state.step == 0


def test_the_end_is_the_end_and_more_epochs_go_on(trained, tmp_path):
    whole, more = compiled(), compiled(seed=9)
    theirs = whole.fit(**{**FIT, "epochs": 3})
    for name in os.listdir(trained):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    names = sorted(os.listdir(tmp_path))
    history = more.fit(**FIT, resume=tmp_path)
    assert more.train_state.step == 12 and history.epoch == [0, 1] and sorted(os.listdir(tmp_path)) == names
    history = more.fit(**{**FIT, "epochs": 3}, resume=tmp_path)
    assert history.history == theirs.history
    for a, b in zip(kf.tree.leaves(whole.train_state), kf.tree.leaves(more.train_state), strict=True):
        assert np.array_equal(a, b)


class Hooks(kf.callbacks.Callback):
    """Writes down what it is called for, and would begin with other parameters."""

    def __init__(self):
        self.seen, self.epochs = [], 0

    def get_state(self):
        return self.epochs

    def set_state(self, state):
        self.epochs = state

    def on_train_begin(self, logs=None, train_state=None):
        self.seen.append(("train", int(train_state.step)))
        return train_state._replace(params=kf.tree.map(np.zeros_like, train_state.params))

    def on_epoch_begin(self, epoch, logs=None, train_state=None):
        self.seen.append((epoch, int(train_state.step)))
        self.epochs += 1
        return train_state._replace(params=kf.tree.map(lambda a: a * 0.5, train_state.params))

    def on_epoch_end(self, epoch, logs=None, train_state=None):
        self.seen.append((epoch, int(train_state.step)))


def test_callbacks_begin_anew_and_change_nothing_twice(tmp_path):
    compiled().fit(**FIT, callbacks=[Hooks()], resume=kf.Checkpoints(tmp_path, every=2, keep_last=None))
    expected = kf.Checkpoints(tmp_path).restore()["train_state"]
    for step in (10, 12):
        os.remove(tmp_path / f"step-{step:012d}.safetensors")
    hooks = Hooks()
    m = compiled()
    m.fit(**FIT, callbacks=[hooks], resume=tmp_path)
    assert hooks.seen == [("train", 8), (1, 8), (1, 12)] and hooks.epochs == 2
    for a, b in zip(kf.tree.leaves(m.train_state), kf.tree.leaves(expected), strict=True):
        assert np.array_equal(a, b)


class Forgets(kf.callbacks.Callback):
    """Has a memory that no checkpoint holds, and some that is none."""

    count, same = 0, 1

    def __init__(self):
        self.seen, self.options, self.array = [], {"a": 1}, np.zeros(())

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        self.seen.append(epoch)
        self.same = self.options["a"]


SAID = {
    "attributes that changed": (
        [Forgets],
        [Forgets],
        "The callback Forgets .* attributes count, same, seen had changed",
    ),
    "not the callback of before": (
        [stopping := lambda: kf.callbacks.EarlyStopping("loss")],
        [],
        "EarlyStopping .* is lost",
    ),
    "another place": ([stopping], [Forgets, stopping], "EarlyStopping .* is lost"),
    "a new one": ([], [stopping], None),
    "kfunc's own": ([lambda: kf.callbacks.ProgbarLogger()], [lambda: kf.callbacks.ProgbarLogger()], None),
    "a memory that is saved": ([Hooks], [Hooks], None),
    "in Keras's way": ([lambda: kf.callbacks.LambdaCallback(lambda *_: None)] * 2, [], None),
}


@pytest.mark.parametrize("name", SAID)
def test_what_callbacks_do_not_remember_is_said(name, tmp_path):
    before, now, said = SAID[name]
    compiled().fit(**FIT, callbacks=[c() for c in before], resume=tmp_path)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        compiled().fit(**{**FIT, "epochs": 9}, callbacks=[c() for c in now], resume=tmp_path)
    found = [str(w.message) for w in found if w.category is kf.errors.ResumeWarning]
    assert len(found) == (said is not None) and all(re.search(said, text) for text in found)


@pytest.mark.parametrize("lost", [1, "a", [], np.zeros(3), np.zeros(()), {"0_Forgets": 3}, {"0_Forgets": ["a", 1]}])
def test_what_callbacks_do_not_remember_may_be_forged(lost, tmp_path):
    compiled().fit(**FIT, callbacks=[Forgets()], resume=tmp_path)
    path = kf.Checkpoints(tmp_path).path(12)
    whole = files.load(path)
    assert whole["tree"]["callbacks"] == {"lost": {"0_Forgets": ["count", "same", "seen"]}}
    whole["tree"]["callbacks"]["lost"] = lost
    files.save(whole, path)
    for step in kf.Checkpoints(tmp_path).steps()[:-1]:
        os.remove(kf.Checkpoints(tmp_path).path(step))
    with pytest.raises(FileError, match="does not hold what a callback remembers"):
        compiled().fit(**{**FIT, "epochs": 9}, callbacks=[Forgets()], resume=tmp_path)


@pytest.mark.parametrize("where", ["x", "validation_data"])
def test_arrays_of_other_numbers_are_said(where, tmp_path):
    compiled().fit(**FIT, validation_data=(X, Y), resume=tmp_path)
    other = {**FIT, "epochs": 9, "validation_data": (X, Y), where: X[::-1] if where == "x" else (X[::-1], Y)}
    with pytest.warns(kf.errors.ResumeWarning, match=f"`{where}` does not yield .* some of its numbers are others"):
        compiled().fit(**other, resume=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled().fit(**{**other, "epochs": 12}, resume=tmp_path)  # from then on, these are the data


def test_a_step_that_was_refused_is_not_saved(tmp_path):
    bad = X.copy()
    bad[9] = np.nan
    m, whole = compiled(), compiled()
    with pytest.raises(kf.errors.NonFiniteError, match="step 2"):
        m.fit(**{**FIT, "x": bad, "shuffle": False}, resume=kf.Checkpoints(tmp_path, every=1))
    assert kf.Checkpoints(tmp_path).steps() == [1, 2]
    with pytest.warns(kf.errors.ResumeWarning, match="some of its numbers are others"):  # they have been mended
        m.fit(**{**FIT, "shuffle": False}, resume=tmp_path)
    whole.fit(**{**FIT, "shuffle": False})
    for a, b in zip(kf.tree.leaves(whole.train_state), kf.tree.leaves(m.train_state), strict=True):
        assert np.array_equal(a, b)


def test_the_checkpoint_says_where_the_first_epoch_began(tmp_path):
    options = {**FIT, "epochs": 3, "steps_per_epoch": 4}
    m, whole = compiled(), compiled()
    theirs = whole.fit(**options)
    m.fit(**{**options, "epochs": 1}, resume=tmp_path)
    assert m.fit(**options, initial_epoch=2, resume=tmp_path).history == theirs.history


def test_keep_best_by_the_numbers_of_epochs(tmp_path):
    best = kf.Checkpoints(tmp_path, every=2, keep_last=1, keep_best=1, monitor="loss", mode="max")
    compiled().fit(**FIT, resume=best)
    assert best.steps() == [6, 12] and best.best == 6  # none in the middle of an epoch


# -- forged checkpoints: the digest is right, and something inside is not ----------------------------------------------

WRONG = (
    None,
    True,
    -1,
    10**18,
    1.5,
    "x",
    [],
    {},
    [1],
    ["x"],
    {"x": 1},
    np.zeros(3),
    np.asarray(2.5),
    np.zeros((2, 2), bool),
)


def nodes(x, path=()):
    """The paths of all that a tree holds, and of its containers."""
    yield path
    children = x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list | tuple) else ()
    for key, child in children:
        yield from nodes(child, (*path, key))


def put(x, path, value):
    if not path:
        return value
    if isinstance(x, dict):
        return {**x, path[0]: put(x[path[0]], path[1:], value)}
    return type(x)(put(child, path[1:], value) if i == path[0] else child for i, child in enumerate(x))


def test_a_forged_checkpoint_gives_a_file_error(tmp_path):
    forge(tmp_path, lambda: {"validation_data": (X, Y)}, nodes, 16)


def test_a_forged_state_of_data_gives_a_file_error(tmp_path):
    """Or it is another state, with which the data go on, or fail and are read from their beginning."""

    def states(tree):
        return [("run", "kept", *path) for path in nodes(tree["run"]["kept"])]

    forge(tmp_path, lambda: {"x": Steps(), "y": None, "batch_size": None, "validation_data": Steps()}, states, 3)


@pytest.mark.parametrize(
    "text",
    [
        "[", '["list"', '["what"]', '["dict",[1]]', '["dict",[["list"],1]]', '["bytes",9]', '["bytes",-1]',
        '["list",["bytes",0],["bytes",0]]', '["array",0,"no such backend"]', '["scalar",0]', '["int","0xz"]',
        '["int",5]', '["list",' * 99 + "1" + "]" * 99, '{"a":1}', '["bytes",true]',
    ],
)  # fmt: skip
def test_no_text_makes_a_state_of_another_kind(text):
    with pytest.raises((TypeError, ValueError)):
        unpacked_state({"text": text, "arrays": [np.zeros(2)]})


class Steps:
    """Batches with a state."""

    at = 0

    def __iter__(self):
        while self.at < 5:
            self.at += 1
            yield X[self.at : self.at + 4], Y[self.at : self.at + 4]
        self.at = 0

    def state_dict(self):
        return {"at": self.at, "more": [b"ab", 2**70, np.ones(2)]}

    def load_state_dict(self, state):
        assert 0 <= state["at"] < 5
        self.at = state["at"]


def forge(tmp_path, data, places_of, part):
    """Put other values into places of a checkpoint, one part of all of them, and go on from it."""
    callbacks = [
        kf.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
        kf.callbacks.ReduceLROnPlateau("loss", patience=1),
        kf.callbacks.ModelCheckpoint(tmp_path / "best.safetensors", "loss", save_best_only=True),
        kf.callbacks.CSVLogger(tmp_path / "log.csv"),
        kf.callbacks.History(),
    ]

    def fit(m, directory, **options):
        return m.fit(**{**FIT, "callbacks": callbacks, **data(), **options}, resume=directory)

    sound = kf.Checkpoints(tmp_path / "sound", every=4, keep_last=None)
    fit(compiled(), sound)
    whole = files.load(sound.path(8))
    assert (whole["tree"]["run"]["kept"] != [None, None]) == ("x" in data())
    forged = kf.Checkpoints(tmp_path / "forged")
    forged.prepare()
    places = [("metrics",), ("step",), *(("tree", *path) for path in places_of(whole["tree"]))]
    ends = {"refused": 0, "taken": 0}
    for path in places:
        for number, value in enumerate(WRONG):
            if not chosen(part, path, number):
                continue
            files.save(put(whole, path, value), forged.path(8))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", kf.errors.ResumeWarning)
                    fit(compiled(), tmp_path / "forged")
                ends["taken"] += 1
            except FileError:
                ends["refused"] += 1
            except Exception as error:
                raise AssertionError(f"{'/'.join(map(str, path))} as {value!r}") from error
            for step in forged.steps():
                os.remove(forged.path(step))
    assert ends["refused"] > 5 * ends["taken"] > 0, ends


# -- SIGTERM -----------------------------------------------------------------------------------------------------------


class Signals(kf.callbacks.Callback):
    """Has SIGTERM come in the third step."""

    def __init__(self):
        self.times = 0

    def on_train_batch_end(self, batch, logs=None, train_state=None):
        if train_state.step == 3:
            signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def handling(handler):
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_sigterm_saves_and_then_is_what_it_was(tmp_path):
    found, seen = kf.Checkpoints(tmp_path, keep_last=None), []

    def leave(number, frame):
        seen.append(found.steps())
        raise SystemExit(3)

    with handling(leave), pytest.raises(SystemExit):
        compiled().fit(**FIT, callbacks=[Signals()], resume=found)
    assert seen == [[3]]
    # A handler that returns lets it go on; so does one that ignores.
    for handler in (lambda *_: seen.append(found.steps()), signal.SIG_IGN):
        found.clear()
        with handling(handler):
            compiled().fit(**FIT, callbacks=[Signals()], resume=found)
        assert found.steps() == [3, 6, 12]
    assert seen == [[3], [3]]


def test_a_thread_leaves_signals_alone(tmp_path):
    def target():
        compiled().fit(**FIT, resume=tmp_path)

    with handling(signal.SIG_IGN):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert kf.Checkpoints(tmp_path).latest == 12
