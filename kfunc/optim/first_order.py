"""Optimizers that know the gradient and its running sum."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import checks
from ..arrays import namespace
from ..typing import LearningRateLike
from .base import in_range
from .optimizer import Core, Optimizer, leafwise, optimizer, zeros

__all__ = ["SGD", "Lion", "lion", "sgd"]


class Momentum(NamedTuple):
    """A tree like the parameters."""

    momentum: Any


@optimizer("sgd", "SGD")
class SGD(Optimizer):
    """Gradient descent, with momentum where that is not 0 (Polyak, 1964; Nesterov, 1983).

    Args:
        learning_rate: A number, or a schedule.
        momentum: How much of the sum of the steps before is kept, in [0, 1].
        nesterov: Whether to look ahead along the momentum.
    """

    learning_rate: LearningRateLike = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def core(self) -> Core:
        momentum, nesterov = self.momentum, self.nesterov
        in_range("momentum", momentum, 0, 1, "[]")
        checks.boolean("nesterov", nesterov)
        if not momentum:
            return leafwise(lambda g, p, lr: (g * -lr,))

        def step(g, p, lr, m):
            m = momentum * m - lr * g
            return (momentum * m - lr * g if nesterov else m), m

        return leafwise(step, Momentum, zeros)


@optimizer("lion", "Lion")
class Lion(Optimizer):
    """The sign of a running mean, as the step (Chen et al., arXiv:2302.06675).

    Args:
        learning_rate: A number, or a schedule; a third to a tenth of Adam's.
        beta_1: How much of the running mean goes into the step beside the gradient, in (0, 1].
        beta_2: How much the running mean keeps at each step, in [0, 1).
    """

    beta_1: float = 0.9
    beta_2: float = 0.99

    def core(self) -> Core:
        beta_1, beta_2 = self.beta_1, self.beta_2
        in_range("beta_1", beta_1, 0, 1, "(]")
        in_range("beta_2", beta_2, 0, 1)

        def step(g, p, lr, m):
            return -lr * namespace(g).sign(beta_1 * m + (1 - beta_1) * g), beta_2 * m + (1 - beta_2) * g

        return leafwise(step, Momentum, zeros)


sgd = SGD
lion = Lion
