"""The benchmark's networks as a user of each framework writes them, without kfunc.

Each module has `build(network, params, state, rate, x, y)`, which returns two functions of nothing, `train() -> loss`
and `predict() -> outputs`; both wait until the device is done. Parameters come as nested dicts of NumPy arrays.

Those of frameworks that train have `trainer(network, params, state, rate)`, a `Trainer`, which `fit` and `predict` run
over arrays in memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LEARNING_RATE, BETA_1, BETA_2 = 1e-3, 0.9, 0.999
# So small that it does not show where Adam adds it, in which kfunc, like Keras, and PyTorch differ.
EPSILON = 1e-12
NORM_EPSILON, MOMENTUM = 1e-3, 0.99
HEADS = 4


class Trainer(NamedTuple):
    """A network in training.

    Attributes:
        prepare: `(x, y) -> (x, y)`: the NumPy arrays as this framework's users keep them in memory.
        put: From a NumPy array to what the functions take.
        step: `(x, y) -> loss`: one training step with Adam; the loss stays on the device.
        apply: `x -> outputs`, on the device.
        fetch: A list of what these return as NumPy arrays.
    """

    prepare: Callable[[Any, Any], tuple[Any, Any]]
    put: Callable[[Any], Any]
    step: Callable[[Any, Any], Any]
    apply: Callable[[Any], Any]
    fetch: Callable[[list], list]


def fit(t: Trainer, x: Any, y: Any, batch: int, epochs: int, rng: Any = None) -> list[float]:
    """The mean loss of each epoch; the samples in a new order each, if there is a generator `rng`."""
    starts = np.arange(0, len(x), batch)
    sizes, curve = np.minimum(batch, len(x) - starts), []
    for _ in range(epochs):
        order = np.arange(len(x)) if rng is None else rng.permutation(len(x))
        losses = []
        for i in range(0, len(x), batch):
            chosen = order[i : i + batch]
            losses.append(t.step(t.put(x[chosen]), t.put(y[chosen])))
        curve.append(float(np.average(t.fetch(losses), weights=sizes)))
    return curve


def predict(t: Trainer, x: Any, batch: int) -> Any:
    """All outputs, a NumPy array."""
    return np.concatenate(t.fetch([t.apply(t.put(x[i : i + batch])) for i in range(0, len(x), batch)]))
