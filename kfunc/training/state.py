"""The two trees that a training step takes and returns: the train state, and what an epoch has added up so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import random
from ..arrays import asarray
from ..backends import Backend
from ..typing import Array, Tree

__all__ = ["Progress", "TrainState", "begun", "start"]


class TrainState(NamedTuple):
    """All that changes in training.

    Attributes:
        params, state: As `net.init` returned them.
        opt_state: The optimizer's.
        key: The root random key, uint32 (2,); a step draws from `fold_in(key, step)`.
        step: Number of steps done, int32 ().
    """

    params: Tree
    state: Tree
    opt_state: Tree
    key: Array
    step: Array


def begun(params: Tree, state: Tree, seed: int, backend: str | Backend = "numpy") -> TrainState:
    """The train state before the first step, without an optimizer's state. `params` and `state` lie on `backend`."""
    key = random.key(seed, backend=backend)
    return TrainState(params, state, None, key, asarray(0, "int32", backend=backend))


class Progress(NamedTuple):
    """The sums that the steps of an epoch keep on the device. The host reads it now and then, since reading waits.

    Attributes:
        loss: The sum of the losses of all samples, and the number of samples, float32 () each.
        metrics: The accumulator of each metric.
        fault: int32 (3,): the first step that had to be refused, the number of the culprit, and a wrong index if there
            was one; -1 in each place as long as there is no fault. Culprit 0 is the loss, numbers from 1 on are the
            gradients of the parameters in their order, and the numbers behind these are the layers that look up rows of
            tables. After a fault, steps change nothing.
    """

    loss: tuple[Array, Array]
    metrics: dict[str, Any]
    fault: Array


def start(metrics: Mapping[str, Any], backend: Backend, on: Any = None) -> Progress:
    """The progress before the first step, on `backend`, on the device `on`.

    Args:
        metrics: Name to metric.
    """
    # Two arrays: a compiled step would take one object in two places for a rule that the two are always equal.
    zero, count = (asarray(0.0, "float32", backend=backend, device=on) for _ in range(2))
    first = {name: metric.init(zero) for name, metric in metrics.items()}
    return Progress((zero, count), first, asarray([-1, -1, -1], "int32", backend=backend, device=on))
