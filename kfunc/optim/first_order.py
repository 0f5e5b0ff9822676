"""Optimizers that know the gradient and its running sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import checks
from ..arrays import namespace
from .base import in_range
from .core import leafwise, optimizer, zeros

__all__ = ["SGD", "Lion", "lion", "sgd"]


class Momentum(NamedTuple):
    """A tree like the parameters."""

    momentum: Any


@optimizer("sgd", "SGD")
def sgd(learning_rate: float | Callable = 0.01, momentum: float = 0.0, nesterov: bool = False):
    """Gradient descent, with momentum where that is not 0 (Polyak, 1964; Nesterov, 1983).

    Args:
        learning_rate: A number, or a schedule.
        momentum: How much of the sum of the steps before is kept, in [0, 1].
        nesterov: Whether to look ahead along the momentum.
    """
    in_range("momentum", momentum, 0, 1, "[]")
    checks.boolean("nesterov", nesterov)
    if not momentum:
        return leafwise(lambda g, p, lr: (g * -lr,))

    def step(g, p, lr, m):
        m = momentum * m - lr * g
        return (momentum * m - lr * g if nesterov else m), m

    return leafwise(step, Momentum, zeros)


@optimizer("lion", "Lion")
def lion(learning_rate: float | Callable = 0.001, beta_1: float = 0.9, beta_2: float = 0.99):
    """The sign of a running mean, as the step (Chen et al., arXiv:2302.06675).

    Args:
        learning_rate: A number, or a schedule; a third to a tenth of Adam's.
        beta_1: How much of the running mean goes into the step beside the gradient, in (0, 1].
        beta_2: How much the running mean keeps at each step, in [0, 1).
    """
    in_range("beta_1", beta_1, 0, 1, "(]")
    in_range("beta_2", beta_2, 0, 1)

    def step(g, p, lr, m):
        return -lr * namespace(g).sign(beta_1 * m + (1 - beta_1) * g), beta_2 * m + (1 - beta_2) * g

    return leafwise(step, Momentum, zeros)


SGD, Lion = sgd, lion
