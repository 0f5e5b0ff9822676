"""Random trainings, each in ways that come to the same bits: `python tests/fuzz/fuzz_training.py`. See CONTRIBUTING.

A case is a network, an optimizer, data and arguments, drawn from its number. It is trained with the Python of each step
run (`run_eagerly`), and then recorded; with its state updated in place; saved and loaded between two epochs; and with
Ctrl-C at a random time. The first case in which numbers, the train state or an error differ ends the run.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from backends import in_place  # noqa: E402
from test_in_place import ROWS, WHOLE  # noqa: E402

import kfunc as kf  # noqa: E402
from kfunc import nn  # noqa: E402

NEVER = 1 << 60
OPTIMIZERS = ROWS | {name: row for name, row in WHOLE.items() if name != "by part"}  # which needs a part named "a"
ACTIVATIONS = ["linear", "relu", "tanh", "gelu", "silu", "softmax"]

VECTORS = [
    lambda r: nn.Dense(int(r.integers(1, 40)), str(r.choice(ACTIVATIONS)), use_bias=bool(r.integers(2))),
    lambda r: nn.Dense(5, kernel_regularizer="l2", kernel_constraint=r.choice(["max_norm", None])),
    lambda r: nn.Residual(nn.Sequential([nn.LayerNormalization(), nn.Dense(7), nn.Dense(12)])),
    lambda r: nn.Dropout(float(r.uniform(0, 0.6))),
    lambda r: nn.GaussianNoise(0.1),
    lambda r: nn.BatchNormalization(momentum=0.9),
    lambda r: nn.LayerNormalization(),
    lambda r: nn.RMSNormalization(),
    lambda r: nn.UnitNormalization(),
    lambda r: nn.PReLU(),
    lambda r: nn.Dense(4, trainable=False),
]
SEQUENCES = [
    lambda r: nn.LSTM(int(r.integers(1, 9)), return_sequences=True, recurrent_dropout=float(r.choice([0, 0.2]))),
    lambda r: nn.GRU(4, return_sequences=True, reset_after=bool(r.integers(2))),
    lambda r: nn.Bidirectional(nn.SimpleRNN(3, return_sequences=True)),
    lambda r: nn.Conv1D(int(r.integers(1, 6)), 3, padding="same", activation=str(r.choice(ACTIVATIONS))),
    lambda r: nn.MaxPooling1D(2),
    lambda r: nn.BatchNormalization(),
    lambda r: nn.Dense(6),
    lambda r: nn.SpatialDropout1D(0.3),
    lambda r: nn.TimeDistributed(nn.Dense(3)),
]
IMAGES = [
    lambda r: nn.Conv2D(
        int(r.integers(1, 9)), 3, padding=str(r.choice(["same", "valid"])), strides=int(r.integers(1, 3))
    ),
    lambda r: nn.DepthwiseConv2D(3, padding="same"),
    lambda r: nn.SeparableConv2D(4, 3, padding="same"),
    lambda r: nn.MaxPooling2D(2, padding="same"),
    lambda r: nn.AveragePooling2D(2, padding="same"),
    lambda r: nn.GroupNormalization(1),
    lambda r: nn.BatchNormalization(),
    lambda r: nn.UpSampling2D(2),
    lambda r: nn.Activation("relu"),
]
WORDS = [lambda r: nn.Embedding(11, 6, mask_zero=bool(r.integers(2)))]
KINDS = {"vectors": (VECTORS, (12,)), "sequences": (SEQUENCES, (6, 4)), "images": (IMAGES, (7, 7, 2))}
LOSSES = ["mse", "huber", "log_cosh", kf.losses.SparseCategoricalCrossentropy(from_logits=True)]


class Case:
    """What is drawn from the numbers of a run and of a case."""

    def __init__(self, seed: int, number: int):
        r = np.random.default_rng([seed, number])
        self.kind = str(r.choice([*KINDS, "words"]))
        layers, shape = KINDS["sequences"][0], (6,)
        first = []
        if self.kind == "words":
            first = [WORDS[0](r)]
        else:
            layers, shape = KINDS[self.kind]
        chosen = [layers[r.integers(len(layers))](r) for _ in range(r.integers(1, 5))]
        self.dtype = str(r.choice(["float32", "float32", "float64", "mixed_float16"]))
        flat = [] if self.kind == "vectors" else [nn.Flatten()]
        self.net = nn.Sequential([*first, *chosen, *flat, nn.Dense(3)], dtype=self.dtype)
        n = int(r.integers(5, 60))
        self.x = r.normal(size=(n, *shape)).astype(np.float32) * 2
        if self.kind == "words":
            self.x = r.integers(0, 11, (n, *shape)).astype(np.int32)
        self.loss = LOSSES[r.integers(len(LOSSES))]
        self.y = r.integers(0, 3, n).astype(np.int32) if not isinstance(self.loss, str) else r.normal(size=(n, 3))
        if self.y.dtype == np.float64:
            self.y = self.y.astype(np.float32)
        self.optimizer = str(r.choice(list(OPTIMIZERS)))
        self.metrics = ["mae"] if isinstance(self.loss, str) else ["accuracy"]
        self.weights = r.uniform(0, 2, n).astype(np.float32) if r.integers(3) == 0 else None
        self.batch, self.shuffle = int(r.integers(2, 20)), bool(r.integers(2))
        self.piece, self.wait = int(r.integers(16, 300)), float(10 ** r.uniform(-4, -1.5))

    def __str__(self) -> str:
        rest = {k: v for k, v in vars(self).items() if k not in ("x", "y", "weights", "net")}
        return f"{self.net}\n{rest}\nsamples {len(self.x)}, weights {self.weights is not None}"

    def model(self, **options):
        model = kf.Model(self.net, seed=3)
        model.compile(OPTIMIZERS[self.optimizer](), self.loss, metrics=self.metrics, **options)
        return model

    def fit(self, model, epochs=2, **options):
        options = {"verbose": 0, "shuffle": self.shuffle, "sample_weight": self.weights} | options
        return model.fit(self.x, self.y, self.batch, epochs, **options).history

    def ends(self, model):
        """What it comes to: numbers, and arrays."""
        judged = model.evaluate(self.x, self.y, self.batch, 0, self.weights)
        return judged, [model.predict(self.x, self.batch), *leaves(model.train_state)]


def leaves(ts):
    return [np.array(kf.to_numpy(x)) for x in kf.tree.leaves(ts)]


class Keep(kf.callbacks.Callback):
    """The train state after each step."""

    def __init__(self):
        super().__init__()
        self.after = {}

    def on_train_batch_end(self, batch, logs=None, train_state=None):
        self.after[int(kf.to_numpy(train_state.step))] = leaves(train_state)


def outcome(run):
    """What `run` returns, or the error that it ends with."""
    try:
        return run()
    except Exception as error:
        return f"{type(error).__name__}: {error}", []


def same(case, way, got, want):
    """Exit unless both have the same numbers and arrays; `got` is None where it would not make sense."""
    if got is None:
        return
    if got[0] == want[0] or (str(got[0]) == str(want[0]) and "nan" in str(got[0])):
        differing = [i for i, (a, b) in enumerate(zip(got[1], want[1], strict=True)) if not np.array_equal(a, b, True)]
        if not differing:
            return
        sys.exit(f"{way} differs in arrays {differing}:\n{case}")
    sys.exit(f"{way} differs:\n{case}\n  eager: {str(want[0])[:2000]}\n  {way}: {str(got[0])[:2000]}")


def trained(case, name, **options):
    model = case.model(**options)
    history = case.fit(model, backend=name)
    judged, arrays = case.ends(model)
    return (history, judged), arrays


def saved_between(case, name):
    model = case.model()
    if hasattr(model.optimizer, "finalize"):  # each fit ends with other parameters than it goes on with
        return None
    first = case.fit(model, 1, backend=name)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.safetensors"
        model.save(path)
        model = kf.Model.load(path, backend=name)
    second = case.fit(model, 2, initial_epoch=1)
    judged, arrays = case.ends(model)
    return ({k: first[k] + second[k] for k in first}, judged), arrays


def interrupted(case, name, after):
    """Ctrl-C as the alarm clock sends it; the train state is then that after some step."""
    model = case.model()
    case.fit(model, 1, backend=name)
    model.train_state = case.model().build(case.x, backend=name).train_state
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, case.wait)
        case.fit(model)
    except KeyboardInterrupt:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    done = int(kf.to_numpy(model.train_state.step))
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        pass
    else:
        sys.exit(f"Ctrl-C is lost:\n{case}")
    if done in after and not (done == max(after) and hasattr(model.optimizer, "finalize")):
        same(case, "interrupted", (done, leaves(model.train_state)), (done, after[done]))


def run(case, name):
    with in_place(NEVER):
        keep = Keep()
        wanted = outcome(lambda: trained(case, name, run_eagerly=True))
        same(case, "recorded", outcome(lambda: trained(case, name)), wanted)
        if not wanted[1]:
            return "an error"
        case.fit(case.model(run_eagerly=True), backend=name, callbacks=[keep])
        same(case, "saved", outcome(lambda: saved_between(case, name)), wanted)
        interrupted(case, name, keep.after)
    with in_place(1, case.piece):
        same(case, "in place", outcome(lambda: trained(case, name)), wanted)
        same(case, "saved, in place", outcome(lambda: saved_between(case, name)), wanted)
        interrupted(case, name, keep.after)
    return "agreed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="this one alone")
    parser.add_argument("--backend", nargs="+", choices=("numpy", "torch"), default=("numpy", "torch"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    begun, counts = time.monotonic(), dict.fromkeys(("agreed", "an error"), 0)
    for number in [arguments.case] if arguments.case is not None else itertools.count():
        if time.monotonic() - begun > arguments.seconds:
            break
        for name in arguments.backend:
            try:
                counts[run(Case(arguments.seed, number), name)] += 1
            except BaseException:
                print(f"--seed {arguments.seed} --case {number} --backend {name}", flush=True)
                raise
    print(f"{counts['agreed']} trainings agreed in all ways, and {counts['an error']} in an error.")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
