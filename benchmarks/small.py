"""Calls of `Model` with few data, beside Keras on the same framework; each side runs in a process of its own.

    python benchmarks/small.py [--backend jax ...] [--case "one sample" ...] [--rounds 9]

Both sides have the same networks and get the same calls, in turns. A turn repeats a call for some 0.2 s, and the ratio
is the median over the rounds. "first" is what the first call took, compilation included. The cases "first ..." run in
fresh processes, and the clock starts when the framework is imported and the model compiled.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
from typing import Any

from fit import KERAS_BACKENDS, Elsewhere  # sets the number of threads, so it comes first

# isort: split
import numpy as np

SIZE, CLASSES, WIDTH = 32, 10, 20
LENGTHS = range(5, 55)


class Small:
    """The calls, in the API that both sides share. `kit` has the classes of one side."""

    def __init__(self, network: str, kit: Any):
        rng = np.random.default_rng(0)
        self.kit = kit
        self.x = rng.random((SIZE * 10, WIDTH), np.float32)
        self.y = rng.integers(0, CLASSES, len(self.x), np.int32)
        self.table = {f"f{i}": rng.random((len(self.x), 1), np.float32) for i in range(100)}
        self.tokens = rng.integers(0, 100, (8, max(LENGTHS)), np.int32)
        self.images = rng.random((SIZE, 28, 28, 1), np.float32)
        self.network = network
        self.model = getattr(kit, network)()
        kit.compile(self.model)

    def touch(self) -> None:
        """Nothing: but the process has imported everything once this returns."""

    def run(self, case: str, times: int) -> None:
        fun = getattr(self, CASES[case][1])
        for _ in range(times):
            fun()

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
    def __init__(self, network, backend):
        super().__init__(network, Kfunc(backend))


class InKeras(Small):
    def __init__(self, network, backend):
        super().__init__(network, Keras(backend))


# -- time --------------------------------------------------------------------------------------------------------------


def measure(case: str, backend: str, rounds: int):
    """The milliseconds of a call on each side, the ratio, and the milliseconds of the first calls."""
    network = CASES[case][0]
    if case.startswith("first"):
        return first(case, backend, max(3, rounds // 3))
    sides = [Elsewhere(side, network, backend) for side in (InKfunc, InKeras)]
    begun = [side("run", case, 1)[0] for side in sides]
    counts = [max(1, round(0.2 / min(side("run", case, 1)[0] for _ in range(3)))) for side in sides]
    times: list[list[float]] = [[], []]
    for i in range(rounds):
        for j in (i % 2, 1 - i % 2):
            times[j].append(sides[j]("run", case, counts[j])[0] / counts[j])
    for side in sides:
        side.close()
    return [1e3 * statistics.median(t) for t in times], _ratio(times), [1e3 * t for t in begun]


def first(case: str, backend: str, rounds: int):
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for side, found in zip((InKfunc, InKeras), times, strict=True):
            elsewhere = Elsewhere(side, CASES[case][0], backend)
            elsewhere("touch")
            found.append(elsewhere("run", case, 1)[0])
            elsewhere.close()
    medians = [1e3 * statistics.median(t) for t in times]
    return medians, _ratio(times), medians


def _ratio(times):
    return statistics.median(a / b for a, b in zip(*times, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", choices=KERAS_BACKENDS, default=KERAS_BACKENDS)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print(f"{'':<38}{'ms a call':^20}{'':8}{'ms, the first':^20}")
    print(f"{'case':<26}{'backend':<12}{'kfunc':>10}{'Keras':>10}{'ratio':>8}{'kfunc':>10}{'Keras':>10}")
    for case in arguments.case:
        for backend in arguments.backend:
            times, ratio, begun = measure(case, backend, arguments.rounds)
            print(f"{case:<26}{backend:<12}{times[0]:>10.2f}{times[1]:>10.2f}{ratio:>8.2f}", end="")
            print(f"{begun[0]:>10.0f}{begun[1]:>10.0f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
