"""`Setup`: the tools of a loop, chosen before it begins and the same until it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..arrays import backend_of, device, to_backend
from ..backends import Backend
from ..nn.layer import Layer
from .carry import TrainCarry
from .freezing import rearranged
from .functions import Functions
from .objective import Objective
from .state import Progress, TrainState
from .traced import Traced

__all__ = ["Setup", "placed"]


class Setup(NamedTuple):
    """The tools of one call of `fit`, `evaluate` or `predict`.

    Attributes:
        net, optimizer, step, eval_step: As the model has them.
        traced: What is known about the network; None for a model with a step of the user's own that was never built.
        functions: What `compile` has made so far.
        backend, where: Where the arrays are, and on which device there.
        host: Whether that is the memory where NumPy's arrays are.
        objective: Loss and metrics; without any for predictions and for steps of the user's own.
        arranged: That of the carry when `net` was read.
    """

    net: Layer
    optimizer: Any
    step: Callable[..., Any] | None
    eval_step: Callable[..., Any] | None
    traced: Traced | None
    functions: Functions
    backend: Backend
    where: Any
    host: bool
    objective: Objective
    arranged: int

    def fresh(self) -> Progress:
        """The progress before the first step."""
        return self.functions.fresh(self.backend, self.where, self.objective.metrics)


def placed(setup: Setup, ts: TrainState, carry: TrainCarry) -> TrainState:
    """The train state, which was read from `carry` just now, as the loop needs it.

    A `fit` may keep the model elsewhere, or another thread has moved it. If one has frozen layers since `setup` was
    made, the arrays go back to where its network has them, without the state of the optimizer.
    """
    if carry.arranged != setup.arranged and setup.traced is not None:
        ts = rearranged(ts._replace(opt_state=None), setup.traced.call, None)
    if backend_of(ts.key) is setup.backend and device(setup.backend.lift(ts.key)) == setup.where:
        return ts
    return to_backend(ts, setup.backend, setup.where)
