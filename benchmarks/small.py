"""Calls of `Model` with few data, beside Keras on the same framework; each side runs in a process of its own.

    python benchmarks/small.py [--backend jax ...] [--case "one sample" ...] [--seconds 5] [--markdown]

Both sides have the same networks and get the same calls, in turns. A turn repeats a call for some 0.1 s. Shown are the
least milliseconds of a call on each side, which what else the machine does can only make longer; the median of the
ratios of turns that followed each other; and the milliseconds of the first call, compilation included. The cases
"first ..." run in fresh processes, where the framework is imported and the model compiled before the clock starts, and
the milliseconds are those of the processor. A case that fails has a line that says so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from fit import KERAS_BACKENDS, Elsewhere  # sets the number of threads, so it comes first

# isort: split
import numpy as np

SIZE, CLASSES, WIDTH = 32, 10, 20
LENGTHS = range(5, 55)
LIMIT = 300  # seconds that a call may take


class Small:
    """The calls, in the API that both sides share. `kit` has the classes of one side."""

    def __init__(self, kit: Any):
        rng = np.random.default_rng(0)
        self.kit = kit
        self.x = rng.random((SIZE * 10, WIDTH), np.float32)
        self.y = rng.integers(0, CLASSES, len(self.x), np.int32)
        self.table = {f"f{i}": rng.random((len(self.x), 1), np.float32) for i in range(100)}
        self.tokens = rng.integers(0, 100, (8, max(LENGTHS)), np.int32)
        self.images = rng.random((SIZE, 28, 28, 1), np.float32)
        self.models: dict[str, Any] = {}

    def ready(self, network: str) -> None:
        """Make the model that the next calls are of, unless there is one."""
        if network not in self.models:
            self.models[network] = getattr(self.kit, network)()
            self.kit.compile(self.models[network])
        self.network, self.model = network, self.models[network]

    def run(self, case: str, times: int) -> float | str:
        """Seconds of the processor that so many calls take; or what went wrong."""
        fun, begun = getattr(self, CASES[case][1]), time.process_time()
        try:
            self.ready(CASES[case][0])
            for _ in range(times):
                fun()
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return time.process_time() - begun

    def predict_one(self):
        self.model.predict((self.x if self.network == "mlp" else self.images)[:1], verbose=0)

    def first_fit(self):
        self.model.fit(self.images, self.y[:SIZE], verbose=0, batch_size=16)

    def predict_batch_of_one(self):
        self.model.predict_on_batch(self.x[:1])

    def evaluate_one(self):
        self.model.evaluate(self.x[:1], self.y[:1], verbose=0)

    def many_small(self):
        for n in range(1, 101):
            self.model.predict(self.x[:n], verbose=0)

    def train_on_batches(self):
        for n in range(1, 101):
            self.model.train_on_batch(self.x[:n], self.y[:n])

    def fit_few(self):
        self.model.fit(self.x[:4], self.y[:4], verbose=0)

    def fit_last_of_one(self):
        n = SIZE * 9 + 1
        self.model.fit(self.x[:n], self.y[:n], verbose=0)

    def predict_lengths(self):
        for n in LENGTHS:
            self.model.predict(self.tokens[:, :n], verbose=0)

    def train_lengths(self):
        for n in LENGTHS:
            self.model.train_on_batch(self.tokens[:, :n], self.y[:8])

    def fit_table(self):
        self.model.fit(self.table, self.y, verbose=0)

    def predict_table(self):
        self.model.predict({name: a[:1] for name, a in self.table.items()}, verbose=0)

    def fit(self, **options):
        self.model.fit(self.x, self.y, verbose=options.pop("verbose", 0), **options)

    def five_epochs(self):
        self.fit(epochs=5)

    def validated(self):
        self.fit(epochs=5, validation_data=(self.x[:100], self.y[:100]))

    def three_callbacks(self):
        callbacks = self.kit.callbacks
        self.fit(
            epochs=5,
            callbacks=[
                callbacks.EarlyStopping("loss", patience=9),
                callbacks.ReduceLROnPlateau("loss", patience=9),
                callbacks.TerminateOnNaN(),
            ],
        )

    def batch_hook(self):
        losses = []

        class Reads(self.kit.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                losses.append(float(logs["loss"]))

        self.fit(epochs=5, callbacks=[Reads()])
        assert len(losses) == 50

    def shown_in_terminal(self):
        with terminal():
            self.fit(epochs=5, verbose=1)

    def shown_in_file(self):
        with tempfile.TemporaryFile("w") as file, written_to(file):
            self.fit(epochs=5, verbose=1)


CASES = {
    "one sample": ("mlp", "predict_one"),
    "one image": ("cnn", "predict_one"),
    "predict_on_batch, one": ("mlp", "predict_batch_of_one"),
    "evaluate, one": ("mlp", "evaluate_one"),
    "predict 1 to 100": ("mlp", "many_small"),
    "train_on_batch 1 to 100": ("mlp", "train_on_batches"),
    "fit on 4": ("mlp", "fit_few"),
    "last batch of one": ("mlp", "fit_last_of_one"),
    "predict 50 lengths": ("sequences", "predict_lengths"),
    "train 50 lengths": ("sequences", "train_lengths"),
    "fit 100 features": ("table", "fit_table"),
    "predict 100 features": ("table", "predict_table"),
    "5 epochs of 10 steps": ("mlp", "five_epochs"),
    "validation each epoch": ("mlp", "validated"),
    "three callbacks": ("mlp", "three_callbacks"),
    "hook reads the loss": ("mlp", "batch_hook"),
    "verbose=1, terminal": ("mlp", "shown_in_terminal"),
    "verbose=1, file": ("mlp", "shown_in_file"),
    "first fit": ("cnn", "first_fit"),
    "first predict": ("cnn", "predict_one"),
}
"""Name: the network, and the method."""


@contextlib.contextmanager
def written_to(file: Any):
    with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


@contextlib.contextmanager
def terminal():
    """A pseudo-terminal in place of stdout and stderr, whose text is read and dropped."""
    import pty

    ours, theirs = pty.openpty()
    with contextlib.suppress(OSError):
        os.set_blocking(ours, True)

    def drain():
        with contextlib.suppress(OSError):
            while os.read(ours, 1 << 16):
                pass

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    with open(theirs, "w", buffering=1) as file, written_to(file):
        yield
    thread.join(1)
    os.close(ours)


# -- the two sides -----------------------------------------------------------------------------------------------------


class Kfunc:
    def __init__(self, backend):
        import kfunc as kf
        from kfunc import nn

        self.kf, self.nn, self.backend, self.callbacks = kf, nn, backend, kf.callbacks

    def compile(self, model):
        model.compile("adam", self.kf.losses.SparseCategoricalCrossentropy(from_logits=True))

    def built(self, net, x):
        return self.kf.Model(net).build(x, backend=self.backend)

    def mlp(self):
        hidden = [self.nn.Dense(32, activation="relu") for _ in range(2)]
        return self.built(self.nn.Sequential([*hidden, self.nn.Dense(CLASSES)]), self.kf.Spec((None, WIDTH)))

    def cnn(self):
        nn = self.nn
        layers = [
            nn.Conv2D(16, 3, activation="relu"), nn.MaxPooling2D(), nn.Conv2D(32, 3, activation="relu"),
            nn.MaxPooling2D(), nn.Flatten(), nn.Dense(CLASSES),
        ]  # fmt: skip
        return self.built(nn.Sequential(layers), self.kf.Spec((None, 28, 28, 1)))

    def sequences(self):
        nn = self.nn
        net = nn.Sequential([nn.Embedding(100, 16), nn.LSTM(16), nn.Dense(CLASSES)])
        return self.built(net, self.kf.Spec((None, None), "int32"))

    def table(self):
        nn = self.nn
        inputs = {f"f{i}": nn.Input((1,), name=f"f{i}") for i in range(100)}
        x = nn.Dense(32, activation="relu")(nn.Concatenate()(list(inputs.values())))
        specs = {name: self.kf.Spec((None, 1)) for name in inputs}
        return self.built(nn.Graph(inputs, nn.Dense(CLASSES)(x)), specs)


class Keras:
    def __init__(self, backend):
        import keras

        self.keras, self.layers, self.callbacks = keras, keras.layers, keras.callbacks

    def compile(self, model):
        model.compile("adam", self.keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def mlp(self):
        hidden = [self.layers.Dense(32, activation="relu") for _ in range(2)]
        return self.keras.Sequential([self.keras.Input((WIDTH,)), *hidden, self.layers.Dense(CLASSES)])

    def cnn(self):
        nn = self.layers
        layers = [
            nn.Conv2D(16, 3, activation="relu"), nn.MaxPooling2D(), nn.Conv2D(32, 3, activation="relu"),
            nn.MaxPooling2D(), nn.Flatten(), nn.Dense(CLASSES),
        ]  # fmt: skip
        return self.keras.Sequential([self.keras.Input((28, 28, 1)), *layers])

    def sequences(self):
        nn = self.layers
        layers = [nn.Embedding(100, 16), nn.LSTM(16), nn.Dense(CLASSES)]
        return self.keras.Sequential([self.keras.Input((None,), dtype="int32"), *layers])

    def table(self):
        nn = self.layers
        inputs = {f"f{i}": self.keras.Input((1,), name=f"f{i}") for i in range(100)}
        x = nn.Dense(32, activation="relu")(nn.Concatenate()(list(inputs.values())))
        return self.keras.Model(inputs, nn.Dense(CLASSES)(x))


class InKfunc(Small):
    def __init__(self, _, backend):
        super().__init__(Kfunc(backend))


class InKeras(Small):
    def __init__(self, _, backend):
        super().__init__(Keras(backend))


# -- time --------------------------------------------------------------------------------------------------------------


class Failed(Exception):
    """A call of a side raised an error, or its process is gone, or did not answer."""


class Times(NamedTuple):
    """Of kfunc and of Keras: the milliseconds of a call, the ratio, and the milliseconds of the first calls."""

    each: list[float]
    ratio: float
    first: list[float]


class Sides:
    """kfunc and Keras on one backend, whose processes serve one case after the other."""

    def __init__(self, backend: str):
        self.backend = backend
        self.pair: list[Elsewhere] = []

    def __enter__(self) -> Sides:
        return self

    def __exit__(self, *_: Any) -> None:
        while self.pair:
            side = self.pair.pop()
            with contextlib.suppress(OSError):  # it has ended
                side.pipe.send(None)
            side.process.join(5)
            side.process.kill()

    def ask(self, i: int, case: str, times: int, what: str = "run") -> tuple[float, float]:
        """Seconds that side `i` takes for so many calls, and those of the processor."""
        if not self.pair:
            self.pair = [Elsewhere(side, None, self.backend) for side in (InKfunc, InKeras)]
        name, side = ("kfunc", "Keras")[i], self.pair[i]
        try:
            side.pipe.send((what, (case, times) if what == "run" else (case,)))
            if not side.pipe.poll(LIMIT):
                raise Failed(f"{name} took longer than {LIMIT} s")
            seconds, used = side.pipe.recv()
        except (EOFError, OSError):
            raise Failed(f"the process of {name} has ended") from None
        if isinstance(used, str):
            raise Failed(f"{name}: {used}")
        return seconds, used

    def measure(self, case: str, seconds: float) -> Times:
        begun = []
        for i in range(2):
            self.ask(i, CASES[case][0], 0, "ready")
            begun.append(self.ask(i, case, 1)[0])
        counts, times = [], list[list[float]]([[], []])
        for i in range(2):
            once = min(self.ask(i, case, 1)[0] for _ in range(3))
            counts.append(max(1, round(0.1 / once)))
        end = time.perf_counter() + seconds
        while len(times[0]) < 3 or (time.perf_counter() < end and len(times[0]) < 50):
            for i in (0, 1) if len(times[0]) % 2 else (1, 0):
                times[i].append(self.ask(i, case, counts[i])[0] / counts[i])
        return _times(times, min, begun)

    def first(self, case: str, rounds: int = 3) -> Times:
        times: list[list[float]] = [[], []]
        for _ in range(rounds):
            with Sides(self.backend) as fresh:
                for i in range(2):
                    fresh.ask(i, CASES[case][0], 0, "ready")
                    times[i].append(fresh.ask(i, case, 1)[1])
        return _times(times, statistics.median)


def _times(times: list[list[float]], of: Callable[..., float], first: list[float] | None = None) -> Times:
    each = [1e3 * of(t) for t in times]
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    return Times(each, ratio, each if first is None else [1e3 * t for t in first])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", choices=KERAS_BACKENDS, default=KERAS_BACKENDS)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seconds", type=float, default=5, help="for the turns of each case")
    parser.add_argument("--markdown", action="store_true", help="print a table for benchmarks/README.md")
    arguments = parser.parse_args()
    line, head = _line, f"{'':<38}{'ms a call':^20}{'':8}{'ms, the first':^20}\n{'case':<26}{'backend':<12}"
    head += f"{'kfunc':>10}{'Keras':>10}{'ratio':>8}{'kfunc':>10}{'Keras':>10}"
    if arguments.markdown:
        line = _row
        head = "| Call | Framework | kfunc, ms | Keras, ms | ratio | first, kfunc | first, Keras |\n"
        head += "|------|-----------|----------:|----------:|------:|-------------:|-------------:|"
    print(head, flush=True)
    for backend in arguments.backend:
        with Sides(backend) as sides:
            for case in arguments.case:
                try:
                    found = sides.first(case) if case.startswith("first") else sides.measure(case, arguments.seconds)
                except Failed as error:
                    print(line(case, backend, str(error)), flush=True)
                    sides.__exit__()  # the next case has new processes
                else:
                    print(line(case, backend, found), flush=True)


def _line(case: str, backend: str, found: Times | str) -> str:
    if isinstance(found, str):
        return f"{case:<26}{backend:<12}{found}"
    (a, b), (c, d) = found.each, found.first
    return f"{case:<26}{backend:<12}{a:>10.3f}{b:>10.3f}{found.ratio:>8.2f}{c:>10.0f}{d:>10.0f}"


def _row(case: str, backend: str, found: Times | str) -> str:
    if isinstance(found, str):
        return f"| {case} | {backend} | {found} | | | | |"
    (a, b), (c, d) = found.each, found.first
    return f"| {case} | {backend} | {a:.3g} | {b:.3g} | {found.ratio:.2f} | {c:.0f} | {d:.0f} |"


if __name__ == "__main__":
    sys.exit(main())
