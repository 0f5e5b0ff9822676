"""`fit(resume=...)`: whatever ends a training, the next one goes on to the bit as if nothing had."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import resume_run
from backends import params

import kfunc as kf
from kfunc import nn

# -- killed processes --------------------------------------------------------------------------------------------------

KILLS = {
    "numpy": [
        *([["step", n]] for n in (1, 2, 3, 4, 17, 18)),
        *([["step", n]] * 2 for n in (5, 6, 7, 8)),  # the second time from the last checkpoint
        *([[event, n] for n in (1, 2, 3)] for event in ("opened", "written", "rename", "renamed")),
        *([["removal", n]] for n in (1, 4)),
        [["validation", 1], ["validation", 2]],
        [["step", 8], ["rename", 2], ["step", 1], ["renamed", 3], ["written", 1]],
        [["step", 7, "SIGTERM"], ["step", 3]],
        [["validation", 2, "SIGTERM"]],
        [["removal", 1, "SIGTERM"], ["step", 2]],  # as it writes
    ],
    "jax": [[["step", 9]]],
    "torch": [[["step", 9], ["rename", 2]]],
    "tensorflow": [[["step", 9]]],
}
"""For each backend the rows, each of which is a training that was killed, once or several times: at what, and when."""

STATE_KILLS = [
    *([["step", n]] for n in (3, 5, 6, 9, 14)),
    [["step", 8], ["step", 1], ["rename", 2]],
    [["validation", 2]],
    [["validation", 1], ["step", 7, "SIGTERM"], ["step", 3]],
]
"""The same for data with a state of their own, on NumPy."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("backend", params(KILLS))
def test_killed_at_any_moment_training_goes_on_to_the_bit(backend, tmp_path):
    kill(backend, KILLS[backend], "arrays", tmp_path)


@pytest.mark.numpy
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_data_with_a_state_go_on_to_the_bit(tmp_path):
    kill("numpy", STATE_KILLS, "state", tmp_path)


def kill(backend, kills_of_rows, kind, tmp_path):
    """Run each row in processes that are killed, and hold its end against that of a run that is not."""
    rows = {str(tmp_path / str(i)): kills for i, kills in enumerate(kills_of_rows)}
    whole = str(tmp_path / "whole")
    plan = [(whole, None), *((directory, kill) for directory, kills in rows.items() for kill in (*kills, None))]
    path = [str(pathlib.Path(resume_run.__file__).parent), *sys.path]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run(
        [sys.executable, resume_run.__file__, backend, json.dumps(plan), kind],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "TF_CPP_MIN_LOG_LEVEL": "3", **cache},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    ends = dict.fromkeys(rows, ())
    for (directory, _), end in zip(plan, json.loads(done.stdout.splitlines()[-1]), strict=True):
        ends[directory] = (*ends.get(directory, ()), end)
    expected = np.load(os.path.join(whole, "result.npz"))
    for directory, kills in rows.items():
        assert ends[directory] == (*(-15 if len(kill) > 2 else -9 for kill in kills), 0), (kills, done.stderr)
        assert same(np.load(os.path.join(directory, "result.npz")), expected), kills
        # Nothing half written is left, and the files are those of the unbroken run.
        more = set(os.listdir(directory)) - set(os.listdir(whole))
        assert not more or (kills[-1][0] == "removal" and all(name.startswith("step-") for name in more)), kills
        for name in os.listdir(whole):
            if name.endswith(".safetensors"):
                (arrays, texts), (others, theirs) = (kf.files.read(os.path.join(d, name)) for d in (directory, whole))
                assert same(arrays, others) and texts == theirs, (kills, name)


def same(a, b) -> bool:
    return set(a) == set(b) and all(a[n].dtype == b[n].dtype and a[n].tobytes() == b[n].tobytes() for n in a)


# -- all that can be trained on, in this process -----------------------------------------------------------------------


class Dies(BaseException):
    """Stands for the end of a process."""


@contextlib.contextmanager
def dying(monkeypatch, event: str, n: int):
    """Let the process "die" as something happens for the n-th time."""
    with monkeypatch.context() as patch:
        for owner, name in ((kf.training.fit.Run, "count"), (kf.training.fit, "evaluate")):
            patch.setattr(owner, name, getattr(owner, name))  # to be undone
        resume_run.at(event, n, functools.partial(_raise, Dies()))
        with pytest.raises(Dies):
            yield


def _raise(error):
    raise error


X = np.random.default_rng(1).standard_normal((22, 3)).astype("float32")
Y = (X.sum(-1, keepdims=True) > 0).astype("float32")


def batches(n=6):
    return [(X[4 * i : 4 * i + 4], Y[4 * i : 4 * i + 4]) for i in range(n)]


class Rounds:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(batches(self.n))


class Six(kf.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return batches()[i]


def dense(**options):
    def make():
        net = nn.Sequential([nn.Dense(4, activation="tanh"), nn.BatchNormalization(), nn.Dropout(0.3), nn.Dense(1)])
        m = kf.Model(net, seed=5)
        m.compile(**{"optimizer": "adam", "loss": "mse", "metrics": ["mae"], **options})
        return m

    return make


def function():
    m = kf.Model(nn.Sequential([nn.Lambda(lambda x: x + 1), nn.Dense(1)]))
    m.compile("adam", "mse")
    return m


def scaled():
    m = kf.Model(nn.Sequential([nn.Dense(4, dtype="mixed_float16"), nn.Dense(1)]))
    m.compile(kf.optim.LossScaleOptimizer(kf.optim.Adam(0.01), initial_scale=2.0**40, dynamic_growth_steps=3), "mse")
    return m


def custom():
    optimizer = kf.optim.Adam(0.1)

    def step(ts, batch):
        def loss(p):
            return kf.ops.mean(kf.ops.square(kf.ops.sum(p["w"] * batch.x, -1, keepdims=True) - batch.y))

        value, grads = kf.value_and_grad(loss)(ts.params)
        updates, opt_state = optimizer.update(grads, ts.opt_state, ts.params)
        return ts._replace(params=kf.optim.apply_updates(ts.params, updates), opt_state=opt_state), {"a.loss": value}

    m = kf.Model(nn.Dense(1), step=step)
    m.build(kf.Spec((None, 3)))
    w = {"w": np.ones(3, "float32")}
    m.train_state = m.train_state._replace(params=w, opt_state=optimizer.init(w))
    return m


class Setback(kf.callbacks.Callback):
    """Goes back to where the first epoch began, once; the steps' numbers, too."""

    def __init__(self):
        self.first, self.done = None, False

    def on_epoch_begin(self, epoch, logs=None, train_state=None):
        if self.first is None:
            self.first = train_state.params, train_state.step

    def on_epoch_end(self, epoch, logs=None, train_state=None):
        if epoch == 1 and not self.done:
            self.done = True
            return train_state._replace(params=self.first[0], step=self.first[1])

    def get_state(self):
        return {"first": self.first, "done": self.done}

    def set_state(self, state):
        self.first, self.done = state["first"], state["done"]


class Stops(kf.callbacks.Callback):
    """Ends training in the middle of the third epoch."""

    def on_train_batch_end(self, batch, logs=None, train_state=None):
        if train_state.step == 14:
            self.model.stop_training = True


class Keeps(kf.callbacks.Callback):
    """Writes odd numbers into the logs."""

    def on_epoch_end(self, epoch, logs=None):
        logs.update({"inf": float("inf"), "nan": float("nan"), "some": [1.0] * epoch})


ARRAYS = {"x": X, "y": Y, "batch_size": 4}

CASES = {
    "arrays": (dense(), lambda: ARRAYS),
    "a function in a layer": (function, lambda: ARRAYS),
    "in their order": (dense(), lambda: {**ARRAYS, "shuffle": False}),
    "weights": (dense(), lambda: {**ARRAYS, "class_weight": {0: 1.0, 1: 3.0}, "sample_weight": np.arange(22.0)}),
    "a split": (dense(), lambda: {**ARRAYS, "validation_split": 0.2}),
    "steps_per_epoch": (dense(), lambda: {**ARRAYS, "steps_per_epoch": 4}),
    "an iterable": (dense(), lambda: {"x": Rounds(6)}),
    "a generator": (dense(), lambda: {"x": iter(batches() * 4), "steps_per_epoch": 6}),
    "a generator and another split": (dense(), lambda: {"x": iter(batches() * 4), "steps_per_epoch": 5}),
    "an iterable over and over": (dense(), lambda: {"x": Rounds(5), "steps_per_epoch": 4}),
    "a Dataset": (dense(), lambda: {"x": Six()}),
    "a Dataset in order": (dense(), lambda: {"x": Six(), "shuffle": False}),
    "a later epoch": (dense(), lambda: {**ARRAYS, "initial_epoch": 1, "epochs": 4}),
    "averages": (dense(optimizer=kf.optim.Adam(0.01, use_ema=True, ema_momentum=0.9)), lambda: ARRAYS),
    "averages that overwrite": (
        dense(optimizer=kf.optim.Adam(0.01, use_ema=True, ema_overwrite_frequency=5)),
        lambda: ARRAYS,
    ),
    "accumulated gradients": (dense(optimizer=kf.optim.Adam(0.01, gradient_accumulation_steps=4)), lambda: ARRAYS),
    "a schedule": (dense(optimizer=kf.optim.Adam(kf.optim.schedules.CosineDecay(0.1, 18))), lambda: ARRAYS),
    "metrics by threshold": (dense(metrics=["auc", "accuracy", kf.metrics.Precision(name="a.b")]), lambda: ARRAYS),
    "a scaled loss": (scaled, lambda: ARRAYS),
    "a step of one's own": (custom, lambda: ARRAYS),
    "a callback that sets back": (dense(), lambda: {**ARRAYS, "callbacks": [Setback()]}),
    "a callback that ends an epoch": (
        dense(),
        lambda: {**ARRAYS, "callbacks": [Stops()], "validation_data": (X, Y), "epochs": 4},
    ),
    "a plateau": (
        dense(),
        lambda: {**ARRAYS, "callbacks": [kf.callbacks.ReduceLROnPlateau("loss", min_delta=10, patience=1)]},
    ),
    "odd numbers": (dense(), lambda: {**ARRAYS, "callbacks": [Keeps()]}),
}
"""A model, and what `fit` is given."""


LATER = {"a callback that sets back": ("step", 15), "a callback that ends an epoch": ("validation", 3)}
"""Other moments at which to die, in place of the middle of the second epoch."""


@pytest.mark.parametrize("name", CASES)
def test_what_goes_on_is_what_would_have_been(name, tmp_path, monkeypatch):
    make, given = CASES[name]

    def run(directory):
        m = make()
        options = {"epochs": 3, "verbose": 0, **given()}
        return m, m.fit(**options, resume=kf.Checkpoints(directory, every=2))

    whole = run(tmp_path / "whole")
    expected = resume_run.result(*whole)
    begin = given().get("initial_epoch", 0)
    assert len(expected) > 5 and whole[1].epoch == list(range(begin, begin + 3))
    for died in (False, True):
        if died:
            with dying(monkeypatch, *LATER.get(name, ("step", 9))):
                run(tmp_path / "died")
        m, history = run(tmp_path / ("died" if died else "whole"))  # what is whole goes on, too, with nothing left
        assert same_values(resume_run.result(m, history), expected)
        assert history.epoch == whole[1].epoch and m.stop_training == whole[0].stop_training


def same_values(a, b) -> bool:
    assert a.keys() == b.keys()
    return all(str(a[n].tolist()) == str(b[n].tolist()) for n in a)


# -- SIGTERM -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def terminated():
    """SIGTERM raises `Dies`, and sets what this returns."""
    heard = threading.Event()

    def ends(*_):
        heard.set()
        raise Dies

    before = signal.signal(signal.SIGTERM, ends)
    yield heard
    assert signal.getsignal(signal.SIGTERM) is ends  # as it was before `fit`
    signal.signal(signal.SIGTERM, before)


class Hangs(Rounds):
    """Its batch number `at` comes when SIGTERM has been heard, which comes when `steps` have been done."""

    def __init__(self, at, steps, heard):
        super().__init__(6)
        self.left, self.steps, self.heard, self.done = at, steps, heard, threading.Semaphore(0)

    def __iter__(self):
        for item in batches():
            if self.left == 0:
                assert all(self.done.acquire(timeout=60) for _ in range(self.steps))
                signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
                assert self.heard.wait(60)
            self.left -= 1
            yield item


@pytest.mark.parametrize("where, at, steps", [("x", 0, 0), ("x", 3, 3), ("x", 10, 10), ("validation_data", 8, 12)])
def test_sigterm_does_not_wait_for_data(where, at, steps, tmp_path, terminated):
    def run(**options):
        m = dense()()
        return m, m.fit(**{"x": Rounds(6), "validation_data": Rounds(6), "epochs": 3, "verbose": 0, **options})

    whole = run()
    checkpoints, data = kf.Checkpoints(tmp_path), Hangs(at, steps, terminated)
    counts = kf.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: data.done.release())
    with pytest.raises(Dies):
        run(**{where: data}, resume=checkpoints, callbacks=counts)
    assert (checkpoints.latest or 0) == steps
    assert same_values(resume_run.result(*run(resume=checkpoints)), resume_run.result(*whole))


def test_sigterm_that_comes_when_all_is_done_is_not_lost(tmp_path, terminated):
    late = kf.callbacks.LambdaCallback(on_train_end=lambda logs: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Dies):
        dense()().fit(**ARRAYS, verbose=0, callbacks=late, resume=tmp_path)
    assert kf.Checkpoints(tmp_path).latest == 6


def test_ctrl_c_at_the_end_leaves_sigterm_as_it_was(tmp_path, terminated, monkeypatch):
    pools = []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ThreadPoolExecutor, "shutdown", lambda pool: _raise(pools.append(pool) or KeyboardInterrupt()))
        dense()().fit(**ARRAYS, verbose=0, resume=tmp_path)
    pools[0].shutdown()  # its thread is no other test's
