"""Trains a small network in processes of their own, which are killed where they are told to be; see test_resume.py.

`python resume_run.py BACKEND PLAN DATA`, where DATA is "arrays" or "state", and PLAN is JSON: a list of runs, one after
the other, each `[directory, when]`: `when` is null, or `[event, n]` for what happens as `event` happens for the n-th
time. A process imports the framework once, and forks for each run. It prints how each ended, in JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback

import numpy as np

import kfunc as kf
from kfunc import nn

EPOCHS, STEPS = 5, 6
"""Of the epochs three are trained, as EarlyStopping ends them."""


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((22, 3)).astype("float32")
    return x, x @ np.ones((3, 1), "float32")


class Stateful:
    """The batches of arrays in an order of its own, with noise, and with a state."""

    def __init__(self, x, y, seed):
        self.arrays, self.random, self.state = (x, y), np.random.default_rng(seed), None

    def __iter__(self):
        if self.state is None:
            self.order, self.at = self.random.permutation(-(-len(self.arrays[0]) // 4)), 0
        self.state = None
        return self.batches()

    def batches(self):
        while self.at < len(self.order):
            rows = slice(4 * self.order[self.at], 4 * self.order[self.at] + 4)
            self.at += 1
            x, y = (a[rows] for a in self.arrays)
            yield x + self.random.standard_normal(x.shape).astype("float32"), y

    def state_dict(self):
        return {"random": self.random.bit_generator.state, "order": list(map(int, self.order)), "at": self.at}

    def load_state_dict(self, state):
        self.state, self.order, self.at = state, state["order"], state["at"]
        self.random.bit_generator.state = state["random"]


def callbacks():
    return [
        # Applied twice, it shows.
        kf.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.8),
        kf.callbacks.EarlyStopping(min_delta=100, patience=2, restore_best_weights=True),
    ]


def model():
    layers = [nn.Dense(5, activation="tanh"), nn.BatchNormalization(), nn.Dropout(0.3), nn.Dense(1)]
    model = kf.Model(nn.Sequential(layers), seed=3)
    model.compile(kf.optim.Adam(0.02), "mse", metrics=["mae"])
    return model


def train(backend: str, directory: str, kind: str = "arrays", **options):
    x, y = data()
    checkpoints = kf.Checkpoints(directory, every=4, keep_last=2)
    given = {"x": x, "y": y, "validation_data": (x[:5], y[:5]), "batch_size": 4}
    if kind == "state":
        given = {"x": Stateful(x, y, 0), "validation_data": Stateful(x[:5], y[:5], 1)}
    options = {"epochs": EPOCHS, "verbose": 0, "callbacks": callbacks(), **given, **options}
    m = model()
    return m, m.fit(resume=checkpoints, backend=backend, **options)


def result(m, history) -> dict:
    """All that two runs must have in common, as arrays by name."""
    found = kf.files.flatten(kf.to_backend(m.train_state, "numpy"))
    for name, values in history.history.items():
        like = len({np.shape(v) for v in values}) == 1
        found[f"history.{name}"] = np.asarray(values, dtype=None if like else object)
    return found


# -- what happens to a process -----------------------------------------------------------------------------------------


def at(event: str, n: int, action) -> None:
    """Have `action()` called when `event` happens for the n-th time."""
    count = 0

    def happens(times: int) -> None:
        nonlocal count
        count += times
        if count - times < n <= count:
            action()

    def patch(owner, name: str, before: bool, times=lambda *args: 1) -> None:
        original = getattr(owner, name)

        def changed(*args, **kwargs):
            if before:
                happens(times(*args))
            out = original(*args, **kwargs)
            if not before:
                happens(times(*args))
            return out

        setattr(owner, name, changed)

    def ours(source, target):
        return int(os.path.basename(source).startswith(".step-"))

    match event:
        case "step":  # the dispatch that it is in
            patch(kf.training.fit.Run, "count", before=False, times=lambda run, steps: steps)
        case "validation":
            patch(kf.training.fit, "evaluate", before=True)
        case "opened":  # a temporary file, with nothing in it
            patch(kf.files, "_lock", before=False)
        case "written":
            patch(os, "fsync", before=True)
        case "rename":
            patch(os, "replace", before=True, times=ours)
        case "renamed":
            patch(os, "replace", before=False, times=ours)
        case "removal":
            patch(os, "unlink", before=True)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def one(backend: str, directory: str, when, kind: str) -> None:
    """A run, in a process of its own."""
    if when is not None:
        event, n, *how = when
        at(event, n, terminate if how else die)
    m, history = train(backend, directory, kind)
    assert threading.active_count() == 1 or backend != "numpy"
    np.savez(os.path.join(directory, "result.npz"), **result(m, history))


def main(backend: str, plan: list, kind: str) -> None:
    kf.asarray(np.zeros(1), backend=backend) if backend in FORKABLE else kf.backends.get(backend)
    ends = []
    for directory, when in plan:
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            status = 1
            try:
                one(backend, directory, when, kind)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(ends))


FORKABLE = ("numpy",)

if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
