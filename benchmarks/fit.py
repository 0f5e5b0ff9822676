"""`Model.fit` and `predict` beside a loop written by hand, and beside Keras on the same framework.

    python benchmarks/fit.py [--backend torch ...] [--network small ...] [--rounds 7] [--batch 32] [--steps 50]
    python benchmarks/fit.py --memory       # peak memory of training, each side in a fresh process in each round
    python benchmarks/fit.py --import       # seconds of `import kfunc` in fresh processes

For each network and backend, `fit` and the loop first run from the same parameters, and must agree. Then all sides take
turns over the same NumPy arrays: a turn is some epochs, with the last, smaller batch and a new order each. Ratios are
medians over the rounds. Keras chooses its backend at import, so it has a process of its own, which waits for its turn.
"""

from __future__ import annotations

import os

# One setting for all sides and processes, unless the environment has one: waiting threads would be what is measured.
for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse  # noqa: E402
import gc  # noqa: E402
import importlib  # noqa: E402
import multiprocessing  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, NamedTuple  # noqa: E402

import by_hand  # noqa: E402
import numpy as np  # noqa: E402
from by_hand import EPSILON, LEARNING_RATE  # noqa: E402
from step import CLASSES, DROPOUT, LOSS, NETWORKS  # noqa: E402

import kfunc as kf  # noqa: E402
from kfunc import backends, nn  # noqa: E402

BACKENDS = ("numpy", "jax", "torch", "tensorflow")
KERAS_BACKENDS = ("jax", "torch", "tensorflow")  # on NumPy, Keras predicts only
# Multi-layer perceptrons of these hidden widths. "small" is where all is overhead; "wide" is for --memory.
WIDTHS = {"small": ((20,), (32, 32)), "mlp": ((784,), (512, 256)), "wide": ((784,), (4096, 2048))}
TIMED = ("small", "mlp", "cnn", "lstm", "transformer")


class Task(NamedTuple):
    """What all sides are given: a network by name, dropout's rate, and the data's size."""

    network: str
    rate: float
    samples: int
    batch: int

    @property
    def form(self) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
        """The network without its widths, the shape of a sample, and the widths."""
        if self.network in WIDTHS:
            return "mlp", *WIDTHS[self.network]
        return self.network, NETWORKS[self.network][1], ()

    @property
    def data(self) -> tuple[Any, Any]:
        """NumPy arrays: inputs (samples, ...), and labels (samples,)."""
        rng, shape = np.random.default_rng(0), (self.samples, *self.form[1])
        tokens = self.network == "transformer"
        x = rng.integers(0, 1000, shape, np.int32) if tokens else rng.random(shape, np.float32)
        return x, rng.integers(0, CLASSES, self.samples, np.int32)

    @property
    def net(self) -> nn.Layer:
        name, _, widths = self.form
        if widths:
            return nn.Sequential([*(nn.Dense(w, activation="relu") for w in widths), nn.Dense(CLASSES)])
        return NETWORKS[name][0](self.rate)


# -- the sides: each has fit(epochs, shuffle) -> losses, predict() -> outputs, and size() of its parameters -----------


class InKfunc:
    def __init__(self, task: Task, backend: str):
        self.task, self.backend, (self.x, self.y) = task, backend, task.data
        self.model = kf.Model(task.net)
        self.model.compile(kf.optim.adam(LEARNING_RATE, epsilon=EPSILON), LOSS)

    def fit(self, epochs, shuffle=True):
        history = self.model.fit(
            self.x, self.y, self.task.batch, epochs, verbose=0, shuffle=shuffle, backend=self.backend
        )
        return history.history["loss"]

    def predict(self):
        return self.model.predict(self.x, self.task.batch, verbose=0, backend=self.backend)

    def size(self):
        return sum(leaf.size for leaf in kf.tree.leaves(self.task.net.init(0, self.x[:1])[0]))


class ByHand:
    def __init__(self, task: Task, backend: str):
        x, y = task.data
        self.task, self.rng = task, np.random.default_rng(0)
        module = importlib.import_module(f"by_hand.with_{backend}")
        self.trainer = module.trainer(task.form[0], *task.net.init(0, x[:1]), task.rate)
        self.x, self.y = self.trainer.prepare(x, y)

    def fit(self, epochs, shuffle=True):
        return by_hand.fit(self.trainer, self.x, self.y, self.task.batch, epochs, self.rng if shuffle else None)

    def predict(self):
        return by_hand.predict(self.trainer, self.x, self.task.batch)


class InKeras:
    def __init__(self, task: Task, backend: str):
        from by_hand import with_keras

        self.task, (self.x, self.y) = task, task.data
        name, shape, widths = task.form
        self.model = with_keras.build(name, task.rate, widths, shape, self.x.dtype.name, CLASSES)

    def fit(self, epochs, shuffle=True):
        history = self.model.fit(self.x, self.y, self.task.batch, epochs, verbose=0, shuffle=shuffle)
        return history.history["loss"]

    def predict(self):
        return self.model.predict(self.x, self.task.batch, verbose=0)

    def size(self):
        return sum(int(np.prod(w.shape)) for w in self.model.trainable_weights)


class Elsewhere:
    """A side in a fresh process, which works only while it is asked to."""

    def __init__(self, side: type, task: Task, backend: str):
        os.environ["KERAS_BACKEND"] = backend if backend in KERAS_BACKENDS else "numpy"
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_serve, args=(end, side, task, backend), daemon=True)
        self.process.start()
        end.close()

    def __call__(self, name: str, *args: Any) -> Any:
        self.pipe.send((name, args))
        return self.pipe.recv()

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


def _serve(pipe: Any, side: type, task: Task, backend: str) -> None:
    made = None
    while (asked := pipe.recv()) is not None:
        name, args = asked
        if name == "peak":
            pipe.send(peak(side, task, backend))
            continue
        made = made or side(task, backend)
        pipe.send(turn(made, name, *args))


def turn(side: Any, name: str, *args: Any) -> tuple[float, Any]:
    """Seconds that the side's method takes, and what it returns."""
    gc.collect()
    begun = time.perf_counter()
    out = getattr(side, name)(*args)
    return time.perf_counter() - begun, out


# -- time --------------------------------------------------------------------------------------------------------------


def check(task: Task, backend: str) -> None:
    """Exit unless `fit` and the loop, without dropout and in one order, give the same losses and outputs."""
    task = task._replace(rate=0.0, samples=5 * task.batch + task.batch // 4)
    ours, theirs = InKfunc(task, backend), ByHand(task, backend)
    for what, a, b in (
        ("losses", ours.fit(2, False), theirs.fit(2, False)),
        ("outputs", ours.predict(), theirs.predict()),
    ):
        if not np.allclose(a, b, rtol=1e-4, atol=1e-4):
            off = np.abs(np.asarray(a) - np.asarray(b)).max()
            sys.exit(f"{task.network} on {backend}: {what} of kfunc and of the loop by hand differ by {off:.2g}")


def epochs(side: Any, kind: str, n: int) -> float:
    """Seconds of `n` rounds over the data."""
    return side("fit", n)[0] if kind == "fit" else sum(side("predict")[0] for _ in range(n))


def measure(task: Task, backend: str, rounds: int, kinds: tuple[str, ...]):
    """For each kind: its name, each side's milliseconds a step, the ratios, and the seconds of the first calls."""
    ours, theirs = InKfunc(task, backend), ByHand(task, backend)
    # Each takes the name of a method and its arguments, and returns the seconds and the result.
    sides = [lambda *asked: turn(ours, *asked), lambda *asked: turn(theirs, *asked)]
    keras = Elsewhere(InKeras, task, backend) if backend in KERAS_BACKENDS else None
    if keras is not None:
        sides.append(keras)
        if (a := ours.size()) != (b := keras("size")[1]):
            sys.exit(f"{task.network} on {backend}: kfunc has {a} parameters, Keras {b}")
    for kind in kinds:
        first = [side(kind, *(1,) * (kind == "fit"))[0] for side in sides]
        gc.freeze()
        # A turn lasts some 0.2 s: fit is called with so many epochs, predict so many times. kfunc gets as many as the
        # loop by hand.
        counts = [max(1, round(0.2 / min(epochs(side, kind, 1) for _ in range(2)))) for side in sides[1:]]
        counts.insert(0, counts[0])
        times: list[list[float]] = [[] for _ in sides]
        for i in range(rounds):
            for j in range(len(sides)):
                at = (i + j) % len(sides)
                times[at].append(epochs(sides[at], kind, counts[at]) / (counts[at] * -(-task.samples // task.batch)))
        ratios = [statistics.median(a / b for a, b in zip(times[0], other, strict=True)) for other in times[1:]]
        yield kind, [1e3 * statistics.median(t) for t in times], ratios, first
    if keras is not None:
        keras.close()


def cells(values: list[float], width: int, digits: int, number: int) -> str:
    return "".join(f"{v:>{width}.{digits}f}" for v in values) + f"{'-':>{width}}" * (number - len(values))


def compare_times(arguments: Any) -> None:
    head = f"{'network':<13}{'backend':<12}{'kind':<9}"
    print(f"{'':<34}{'ms a step':^30}{'kfunc over':^20}{'s of the first call':^24}")
    print(f"{head}{'kfunc':>10}{'by hand':>10}{'Keras':>10}{'by hand':>10}{'Keras':>10}", end="")
    print(f"{'kfunc':>8}{'by hand':>8}{'Keras':>8}")
    samples = arguments.batch * (arguments.steps - 1) + arguments.batch // 4
    for network in arguments.network or TIMED:
        task = Task(network, DROPOUT, samples, arguments.batch)
        for backend in arguments.backend:
            if backend not in backends.available():
                print(f"{network:<13}{backend:<12}not installed: {backends.install_command(backend)}")
                continue
            check(task, backend)
            for kind, times, ratios, first in measure(task, backend, arguments.rounds, tuple(arguments.kind)):
                print(f"{network:<13}{backend:<12}{kind:<9}", end="")
                print(cells(times, 10, 3, 3) + cells(ratios, 10, 2, 2) + cells(first, 8, 2, 3), flush=True)


# -- memory ------------------------------------------------------------------------------------------------------------


def _high_water() -> float:
    """The most memory that this process has held so far, MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def peak(side: type, task: Task, backend: str) -> float:
    """By how much memory grows at most, in MB, while `task` is trained for two epochs: the model included."""
    # First something small, for all that the framework loads and keeps.
    side(task._replace(network="small", samples=2 * task.batch), backend).fit(1)
    task.data  # noqa: B018
    gc.collect()
    # Not ru_maxrss, which a process inherits from the one that started it: Linux counts afresh from now on.
    Path("/proc/self/clear_refs").write_text("5")
    before = _high_water()
    side(task, backend).fit(2)
    return _high_water() - before


def compare_memory(arguments: Any) -> None:
    print(f"{'':<25}{'peak MB':^30}{'kfunc over':^20}")
    print(f"{'network':<13}{'backend':<12}{'kfunc':>10}{'by hand':>10}{'Keras':>10}{'by hand':>10}{'Keras':>10}")
    for network in arguments.network or ("wide",):
        task = Task(network, DROPOUT, 4 * 256 + 64, 256)
        for backend in arguments.backend:
            sides = (InKfunc, ByHand, InKeras)[: 3 if backend in KERAS_BACKENDS else 2]
            peaks: list[list[float]] = [[] for _ in sides]
            for _ in range(arguments.rounds):
                for side, values in zip(sides, peaks, strict=True):
                    elsewhere = Elsewhere(side, task, backend)
                    values.append(elsewhere("peak"))
                    elsewhere.close()
            found = [statistics.median(values) for values in peaks]
            ratios = [found[0] / other for other in found[1:]]
            print(f"{network:<13}{backend:<12}" + cells(found, 10, 0, 3) + cells(ratios, 10, 2, 2), flush=True)


# -- import ------------------------------------------------------------------------------------------------------------

IMPORT = """
import time
a = time.perf_counter()
import numpy, optree
b = time.perf_counter()
import kfunc
print(b - a, time.perf_counter() - a)
"""


def time_import(processes: int = 9) -> None:
    # With bytecode, as installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", IMPORT]
    subprocess.check_call(command, env=environment, stdout=subprocess.DEVNULL)
    runs = [subprocess.check_output(command, text=True, env=environment).split() for _ in range(processes)]
    others, total = (statistics.median(map(float, column)) for column in zip(*runs, strict=True))
    print(f"import kfunc: {total:.3f} s, of which numpy and optree {others:.3f} s (medians of {processes} processes)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--import", dest="imports", action="store_true")
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--network", nargs="+", choices=(*TIMED, "wide"))
    parser.add_argument("--kind", nargs="+", choices=("fit", "predict"), default=("fit", "predict"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=50, help="an epoch")
    arguments = parser.parse_args()
    if arguments.imports:
        time_import()
    elif arguments.memory:
        compare_memory(arguments)
    else:
        compare_times(arguments)


if __name__ == "__main__":
    main()
