"""Optimizers that use the gradient and a running sum or mean of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import checks
from ..arrays import namespace
from ..typing import LearningRateLike
from .base import in_range
from .optimizer import Core, Optimizer, leafwise, optimizer, zeros

__all__ = ["SGD", "Lion", "lion", "sgd"]


class Momentum(NamedTuple):
    """The running sum or mean of the gradients: a tree like the parameters."""

    momentum: Any


@optimizer("sgd", "SGD")
class SGD(Optimizer):
    """Gradient descent, with or without momentum (Polyak, 1964; Nesterov, 1983).

    Args:
        learning_rate: A number, or a schedule.
        momentum: The share of the sum of earlier steps that stays at each step, in [0, 1].
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
    """Steps of one size, in the direction of the sign of a running mean (Chen et al., arXiv:2302.06675).

    Args:
        learning_rate: A number, or a schedule. It should be three to ten times smaller than for Adam.
        beta_1: The share of the running mean in the step, in (0, 1]; the rest is the gradient.
        beta_2: The share of the running mean that stays at each step, in [0, 1).
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
