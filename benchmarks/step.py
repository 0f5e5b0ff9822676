"""One training step and one prediction of four networks in kfunc, beside the same networks written by hand.

    python benchmarks/step.py [--backend torch ...] [--network mlp ...] [--rounds 20] [--batch 64]

For each network and backend, both sides first run from the same parameters, and must agree. Then they are timed by
turns: a round runs one side for a while and then the other, and the next round begins with the other. The ratio is the
median over the rounds of kfunc's time by the other's in that round, so that what else the machine does hits both alike.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import statistics
import sys
import time
from typing import Any

import numpy as np
from by_hand import EPSILON, HEADS, LEARNING_RATE

import kfunc as kf
from kfunc import backends, nn
from kfunc.data import Batch
from kfunc.training.state import TrainState, start
from kfunc.training.step import make_predict, make_train_step

BACKENDS = ("numpy", "jax", "torch", "tensorflow", "openvino")
CLASSES = 10
LOSS = kf.losses.SparseCategoricalCrossentropy(from_logits=True)


# -- the networks ------------------------------------------------------------------------------------------------------


@nn.layer
class Block(nn.Layer):
    """A transformer block with the normalisation first: (batch, time, width) to the same."""

    norm_1: nn.Layer
    attention: nn.Layer
    norm_2: nn.Layer
    up: nn.Layer
    down: nn.Layer

    def forward(self, s, x):
        y = self.norm_1(s, x)
        x = x + self.attention(s, y, y)
        return x + self.down(s, self.up(s, self.norm_2(s, x)))


@nn.layer
class MeanOverTime(nn.Layer):
    """(batch, time, features) to (batch, features)."""

    def forward(self, s, x):
        return kf.namespace(x).mean(x, axis=1)


def block(name, width):
    return Block(
        nn.LayerNormalization(),
        nn.MultiHeadAttention(HEADS, width // HEADS),
        nn.LayerNormalization(),
        nn.Dense(4 * width, activation=kf.ops.gelu),  # the tanh form, as by hand
        nn.Dense(width),
        name=name,
    )


def mlp(rate):
    return nn.Sequential([nn.Dense(512, activation="relu"), nn.Dense(256, activation="relu"), nn.Dense(CLASSES)])


def cnn(rate):
    return nn.Sequential(
        [
            nn.Conv2D(16, 3, padding="same", activation="relu"),
            nn.BatchNormalization(),
            nn.MaxPooling2D(),
            nn.Conv2D(32, 3, padding="same", activation="relu"),
            nn.MaxPooling2D(),
            nn.Flatten(),
            nn.Dropout(rate),
            nn.Dense(CLASSES),
        ]
    )


def lstm(rate):
    return nn.Sequential([nn.LSTM(64), nn.Dense(CLASSES)])


def transformer(rate):
    width = 64
    return nn.Sequential(
        [
            nn.Embedding(1000, width),
            block("block_0", width),
            block("block_1", width),
            nn.LayerNormalization(name="norm"),
            MeanOverTime(),
            nn.Dense(CLASSES),
        ]
    )


NETWORKS = {
    "mlp": (mlp, (784,)),
    "cnn": (cnn, (8, 8, 1)),
    "lstm": (lstm, (50, 32)),
    "transformer": (transformer, (32,)),
}
DROPOUT = 0.25


# -- the two sides -----------------------------------------------------------------------------------------------------


def wait(x: Any) -> Any:
    """`x`, when the device is done with it: JAX's arrays are promises."""
    for leaf in kf.tree.leaves(x):
        if hasattr(leaf, "block_until_ready"):
            leaf.block_until_ready()
    return x


def in_kfunc(net, backend, params, state, x, y):
    """kfunc's two functions of nothing, `train() -> loss` and `predict() -> outputs`, compiled as `Model` does."""
    params, state, x, y, key = kf.to_backend((params, state, x, y, kf.random.key(0)), backend)
    optimizer = kf.optim.adam(LEARNING_RATE, epsilon=EPSILON)
    predict = make_predict(net)
    if backend.compiles:
        predict = kf.jit(predict, constant_argnums=(0, 1))
    if not backend.trains:
        return None, lambda: predict(params, state, x)
    step = make_train_step(net, optimizer, LOSS, {})
    step = kf.jit(step) if backend.compiles else step
    ts = TrainState(params, state, optimizer.init(params), key, kf.asarray(0, "int32", backend=backend))
    begun = start({}, backend)

    def train():
        nonlocal ts
        ts, progress = wait(step(ts, begun, Batch(x, y)))
        return progress.loss[0] / progress.loss[1]

    return train, lambda: wait(predict(ts.params, ts.state, x))


def both(network, backend, rate, batch):
    """The functions of both sides, of the same parameters and data."""
    make, shape = NETWORKS[network]
    rng = np.random.default_rng(0)
    tokens = network == "transformer"
    x = rng.integers(0, 1000, (batch, *shape), np.int32) if tokens else rng.random((batch, *shape), np.float32)
    y = rng.integers(0, CLASSES, batch, np.int32)
    net = make(rate)
    params, state = net.init(0, x)
    theirs = importlib.import_module(f"by_hand.with_{backend.name}")
    return in_kfunc(net, backend, params, state, x, y), theirs.build(network, params, state, rate, x, y)


def check(network, backend, batch, steps=3):
    """Exit unless both sides, without dropout, give the same losses, and the same outputs after these steps."""
    (train, predict), (train_by_hand, predict_by_hand) = both(network, backend, 0.0, batch)
    pairs = [(train(), train_by_hand()) for _ in range(steps)] if train else []
    pairs.append((predict(), predict_by_hand()))
    for ours, theirs in pairs:
        ours, theirs = kf.to_numpy(ours), kf.to_numpy(theirs)
        if not np.allclose(ours, theirs, rtol=1e-4, atol=1e-4):
            sys.exit(f"{network} on {backend.name}: kfunc gives {ours}, the network written by hand {theirs}")


# -- the clock ---------------------------------------------------------------------------------------------------------


def seconds(run, repeats):
    begun = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - begun) / repeats


def measure(ours, theirs, rounds):
    """Median milliseconds of both, and the median of the rounds' ratios."""
    for run in (ours, theirs):
        seconds(run, 3)
    # Each turn lasts some 30 ms.
    repeats = max(1, round(0.03 / min(seconds(ours, 3), seconds(theirs, 3))))
    a, b = [], []
    gc.collect()
    gc.disable()
    for i in range(rounds):
        for times, run in ((a, ours), (b, theirs)) if i % 2 else ((b, theirs), (a, ours)):
            times.append(seconds(run, repeats))
    gc.enable()
    ratio = statistics.median(x / y for x, y in zip(a, b, strict=True))
    return 1e3 * statistics.median(a), 1e3 * statistics.median(b), ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=tuple(NETWORKS))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()

    print(f"{'network':<13}{'backend':<12}{'kind':<9}{'kfunc ms':>10}{'by hand ms':>12}{'ratio':>8}")
    for network in arguments.network:
        for name in arguments.backend:
            if name not in backends.available():
                print(f"{network:<13}{name:<12}not installed: {backends.install_command(name)}")
                continue
            backend = backends.get(name)
            check(network, backend, arguments.batch)
            ours, theirs = both(network, backend, DROPOUT, arguments.batch)
            for kind, run, by_hand in zip(("train", "predict"), ours, theirs, strict=True):
                if run is not None:
                    a, b, ratio = measure(run, by_hand, arguments.rounds)
                    print(f"{network:<13}{name:<12}{kind:<9}{a:>10.2f}{b:>12.2f}{ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
