"""`Setup`: the tools of a loop, chosen before it begins and the same until it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..backends import Backend
from ..nn.layer import Layer
from .functions import Functions
from .objective import Objective
from .traced import Traced

__all__ = ["Setup"]


class Setup(NamedTuple):
    """The tools of one call of `fit`, `evaluate` or `predict`.

    Attributes:
        net, optimizer, step, eval_step: As the model has them.
        traced: What is known about the network; None for a model with a step of the user's own that was never built.
        functions: What `compile` has made so far.
        backend, where: Where the arrays are, and on which device there.
        host: Whether that is the memory where NumPy's arrays are.
        objective: Loss and metrics; without any for predictions and for steps of the user's own.
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
