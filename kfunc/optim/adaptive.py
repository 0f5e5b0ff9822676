"""Optimizers that scale the step of each number by the size of its earlier gradients."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .. import checks, tree
from ..arrays import namespace
from ..ops.optimize import adam_factors, unbias
from ..typing import LearningRateLike
from .base import cast, copies, in_range, scalar, wide_dtype, zeros_like
from .optimizer import Core, Optimizer, full, leafwise, optimizer, zeros
from .transformations import adam_step

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Nadam",
    "RMSprop",
    "ScheduleFreeAdamW",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "ftrl",
    "lamb",
    "nadam",
    "rmsprop",
    "schedule_free_adamw",
]


def _betas(beta_1: float, beta_2: float, epsilon: float) -> None:
    in_range("beta_1", beta_1, 0, 1)
    in_range("beta_2", beta_2, 0, 1)
    in_range("epsilon", epsilon)


def _mean(old: Any, new: Any, beta: float) -> Any:
    return beta * old + (1 - beta) * new


class Means(NamedTuple):
    """The running means of gradients and of squared gradients; the greatest mean square so far (amsgrad), or None."""

    mu: Any
    nu: Any
    greatest: Any = None


def _adam(beta_1: float, beta_2: float, epsilon: float, amsgrad: bool) -> Core:
    _betas(beta_1, beta_2, epsilon)
    checks.boolean("amsgrad", amsgrad)

    def update(grads, state, params, lr, t, overwrite=False):
        means, options = (grads, state.mu, state.nu), {"corrected": False, "overwrite": overwrite}
        updates, mu, nu = adam_step(t, -lr, beta_1, beta_2, epsilon, *means, **options)
        return updates, Means(mu, nu)

    def step(g, p, lr, factor, m, v, greatest):
        m, v = _mean(m, g, beta_1), _mean(v, g * g, beta_2)
        xp = namespace(g)
        greatest = xp.maximum(greatest, v)
        return -lr * factor * m / (xp.sqrt(greatest) + epsilon), m, v, greatest

    if not amsgrad:
        return Core(lambda params: Means(zeros_like(params), zeros_like(params)), update, elementwise=True)
    factor = lambda t: adam_factors(namespace(t), t, 1.0, beta_1, beta_2, epsilon, t.dtype)[:1]  # noqa: E731
    return leafwise(step, Means, zeros, zeros, zeros, shared=factor)


@optimizer("adam", "Adam")
class Adam(Optimizer):
    """Adam (Kingma and Ba, arXiv:1412.6980): the running mean of gradients over the root of the running mean square.

    As in Keras, the numbers are computed in the order of section 2 of the paper; `scale_by_adam` is its algorithm 1.

    Args:
        learning_rate: A number, or a schedule.
        beta_1, beta_2: The share of the running means of gradients and of squared gradients that stays at each step,
            in [0, 1).
        epsilon: A number that is added to the root of the mean square.
        amsgrad: Whether to use the greatest mean square so far (Reddi et al., arXiv:1904.09237).
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    def core(self) -> Core:
        beta_1, beta_2, epsilon, amsgrad = self.beta_1, self.beta_2, self.epsilon, self.amsgrad
        return _adam(beta_1, beta_2, epsilon, amsgrad)


@optimizer("adamw", "AdamW")
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101).

    Args:
        learning_rate: A number, or a schedule. It scales the weight decay, too.
        weight_decay: The share of the parameters that is taken off at each step, in units of the learning rate.
        beta_1, beta_2, epsilon, amsgrad: As for `adam`.
    """

    weight_decay: float = 0.004
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    def core(self) -> Core:
        in_range("weight_decay", self.weight_decay)
        return _adam(self.beta_1, self.beta_2, self.epsilon, self.amsgrad)


class Largest(NamedTuple):
    """The running mean of the gradients, and their largest size, in which older gradients count less."""

    mu: Any
    norm: Any


@optimizer("adamax", "Adamax")
class Adamax(Optimizer):
    """Adam with the largest size of a gradient in place of the root mean square (arXiv:1412.6980, section 7.1).

    Args:
        learning_rate, beta_1, beta_2: As for `adam`.
        epsilon: A number that is added to the largest size.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def core(self) -> Core:
        beta_1, beta_2, epsilon = self.beta_1, self.beta_2, self.epsilon
        _betas(beta_1, beta_2, epsilon)

        def step(g, p, lr, bias, m, u):
            xp = namespace(g)
            m, u = _mean(m, g, beta_1), xp.maximum(beta_2 * u, xp.abs(g))
            return -lr * m / (bias * (u + epsilon)), m, u

        return leafwise(step, Largest, zeros, zeros, shared=lambda t: (unbias(namespace(t), t, beta_1),))


class Lookahead(NamedTuple):
    """The product of the momenta so far, floating (), and the running means of gradients and of their squares."""

    product: Any
    means: Any


@optimizer("nadam", "Nadam")
class Nadam(Optimizer):
    """Adam with Nesterov's momentum (Dozat, Incorporating Nesterov momentum into Adam, 2016).

    Args:
        learning_rate, beta_1, beta_2: As for `adam`. The momentum rises from half of `beta_1` to `beta_1`.
        epsilon: A number that is added to the root of the mean square.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def core(self) -> Core:
        beta_1, beta_2, epsilon = self.beta_1, self.beta_2, self.epsilon
        _betas(beta_1, beta_2, epsilon)

        def momentum(t):
            return beta_1 * (1 - 0.5 * 0.96**t)

        def means(numbers=None):
            def step(g, p, lr, ahead, here, bias, m, v):
                m, v = _mean(m, g, beta_1), _mean(v, g * g, beta_2)
                return -lr * (ahead * m + here * g) / (namespace(g).sqrt(v / bias) + epsilon), m, v

            return leafwise(step, Means, zeros, zeros, None, shared=numbers)

        def init(params):
            one, leaves = scalar(1.0, "float32", params), tree.leaves(params)
            return Lookahead(cast(one, wide_dtype(namespace(one), leaves)), means().init(params))

        def update(grads, state, params, lr, t, **_):
            xp = namespace(state.product)
            now = xp.astype(t, state.product.dtype)
            product = xp.asarray(state.product * momentum(now))

            def numbers(t):
                after = product * momentum(now + 1)
                return momentum(now + 1) / (1 - after), (1 - momentum(now)) / (1 - product), unbias(xp, now, beta_2)

            updates, inner = means(numbers).update(grads, state.means, params, lr, t)
            return updates, Lookahead(product, inner)

        return Core(init, update, elementwise=True)


class Sum(NamedTuple):
    """The sum of the squared gradients: a tree like the parameters."""

    accumulator: Any


@optimizer("adagrad", "Adagrad")
class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all squared gradients so far (Duchi et al., JMLR 12, 2011).

    Args:
        learning_rate: A number, or a schedule.
        initial_accumulator_value: The first value of the sum.
        epsilon: A number that is added to the sum under the root.
    """

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def core(self) -> Core:
        initial_accumulator_value, epsilon = self.initial_accumulator_value, self.epsilon
        in_range("initial_accumulator_value", initial_accumulator_value)
        in_range("epsilon", epsilon)

        def step(g, p, lr, total):
            total = total + g * g
            return -lr * g / namespace(g).sqrt(total + epsilon), total

        return leafwise(step, Sum, full(initial_accumulator_value))


class Squares(NamedTuple):
    """The running means of squared gradients and of squared steps: trees like the parameters."""

    grads: Any
    steps: Any


@optimizer("adadelta", "Adadelta")
class Adadelta(Optimizer):
    """Steps as large as the steps before, independent of the size of the gradients (Zeiler, arXiv:1212.5701).

    Args:
        learning_rate: A number, or a schedule; 1 in the paper.
        rho: The share of the running mean squares that stays at each step, in [0, 1).
        epsilon: A number that is added to both mean squares under the root.
    """

    rho: float = 0.95
    epsilon: float = 1e-7

    def core(self) -> Core:
        rho, epsilon = self.rho, self.epsilon
        in_range("rho", rho, 0, 1)
        in_range("epsilon", epsilon)

        def step(g, p, lr, grads, steps):
            sqrt = namespace(g).sqrt
            grads = _mean(grads, g * g, rho)
            delta = -sqrt(steps + epsilon) * g / sqrt(grads + epsilon)
            return lr * delta, grads, _mean(steps, delta * delta, rho)

        return leafwise(step, Squares, zeros, zeros)


class Spread(NamedTuple):
    """The running mean square; the running sum of steps (momentum); the running mean of gradients (centered)."""

    velocity: Any
    momentum: Any = None
    average: Any = None


@optimizer("rmsprop", "RMSprop")
class RMSprop(Optimizer):
    """Gradients over their running root mean square (Hinton, Neural Networks for Machine Learning, lecture 6e).

    Args:
        learning_rate: A number, or a schedule.
        rho: The share of the running means that stays at each step, in [0, 1).
        momentum: The share of the sum of earlier steps that stays at each step, in [0, 1].
        epsilon: A number that is added to the mean square under the root.
        centered: Whether to divide by the root of the variance, not of the mean square (Graves, arXiv:1308.0850).
    """

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def core(self) -> Core:
        rho, momentum, epsilon, centered = self.rho, self.momentum, self.epsilon, self.centered
        in_range("rho", rho, 0, 1)
        in_range("momentum", momentum, 0, 1, "[]")
        in_range("epsilon", epsilon)
        checks.boolean("centered", centered)

        def step(g, p, lr, v, *rest):
            v = _mean(v, g * g, rho)
            after, below = [], v
            if centered:
                after = [_mean(rest[-1], g, rho)]
                below = v - after[0] * after[0]
            by = -lr * g / namespace(g).sqrt(below + epsilon)
            if momentum:
                by = momentum * rest[0] + by
                after = [by, *after]
            return by, v, *after

        return leafwise(step, Spread, zeros, zeros if momentum else None, zeros if centered else None)


class Regularized(NamedTuple):
    """The sum of the squared gradients, and the linear term: trees like the parameters."""

    accumulator: Any
    linear: Any


@optimizer("ftrl", "Ftrl")
class Ftrl(Optimizer):
    """Follow the regularised leader, which keeps many parameters at 0 (McMahan et al., KDD 2013).

    Args:
        learning_rate: A positive number, or a schedule.
        learning_rate_power: The power of the sum of squares in the learning rate of each number: 0 or less. With 0 the
            learning rate is constant.
        initial_accumulator_value: The first value of the sum of squares.
        l1_regularization_strength, l2_regularization_strength: The strengths of the L1 and L2 penalties.
        l2_shrinkage_regularization_strength: The strength of an L2 penalty that is added to the gradients, but not to
            the sum of their squares.
        beta: The number beta of the paper, which is added to the root of the sum of squares.
    """

    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0

    def core(self) -> Core:
        if isinstance(self.learning_rate, int | float):
            in_range("learning_rate", self.learning_rate, ends="()")
        in_range("learning_rate_power", self.learning_rate_power, -math.inf, 0, "(]")
        in_range("initial_accumulator_value", self.initial_accumulator_value)
        in_range("l1_regularization_strength", self.l1_regularization_strength)
        in_range("l2_regularization_strength", self.l2_regularization_strength)
        in_range("l2_shrinkage_regularization_strength", self.l2_shrinkage_regularization_strength)
        in_range("beta", self.beta)
        l1 = self.l1_regularization_strength

        def step(g, p, lr, total, linear):
            new = total + g * g
            root, before = new**-self.learning_rate_power, total**-self.learning_rate_power
            linear = linear + (g + 2 * self.l2_shrinkage_regularization_strength * p - (root - before) / lr * p)
            quadratic = root / lr + 2 * (self.l2_regularization_strength + self.beta / (2 * lr))
            return (namespace(g).clip(linear, -l1, l1) - linear) / quadratic - p, new, linear

        return leafwise(step, Regularized, full(self.initial_accumulator_value), zeros, reads=True)


@optimizer("lamb", "Lamb")
class Lamb(Optimizer):
    """Adam for large batches: the step of each parameter is scaled to the parameter's norm (arXiv:1904.00962).

    Args:
        learning_rate, beta_1, beta_2: As for `adam`.
        epsilon: A number that is added to the root of the mean square, after its bias is corrected.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def core(self) -> Core:
        beta_1, beta_2, epsilon = self.beta_1, self.beta_2, self.epsilon
        _betas(beta_1, beta_2, epsilon)

        def step(g, p, lr, bias_1, bias_2, m, v):
            xp = namespace(g)
            m, v = _mean(m, g, beta_1), _mean(v, g * g, beta_2)
            by = m / bias_1 / (xp.sqrt(v / bias_2) + epsilon)
            size, length = xp.sqrt(xp.sum(p * p)), xp.sqrt(xp.sum(by * by))
            both = (size > 0) & (length > 0)
            one = xp.ones_like(size)
            return xp.where(both, size / xp.where(both, length, one), one) * -lr * by, m, v

        def biases(t):
            return unbias(namespace(t), t, beta_1), unbias(namespace(t), t, beta_2)

        return leafwise(step, Means, zeros, zeros, None, reads=True, shared=biases, elementwise=False)


class Free(NamedTuple):
    """The point z that descends, and the running mean of the squared gradients: trees like the parameters."""

    z: Any
    nu: Any


@optimizer("schedule_free_adamw", "ScheduleFreeAdamW")
class ScheduleFreeAdamW(Optimizer):
    """AdamW that averages the parameters instead of decaying its learning rate (Defazio et al., arXiv:2405.15682).

    Three points take part: z descends; x is the mean of all z so far; y, between them, is where gradients are computed.
    During training the parameters are y. `finalize` returns x, the point to evaluate.

    Args:
        learning_rate: A number, or a schedule.
        beta_1: The share of x in y, in (0, 1).
        beta_2: The share of the running mean square that stays at each step, in [0, 1).
        epsilon: A number that is added to the root of the mean square.
        warmup_steps: The number of steps in which the learning rate rises from 0.
    """

    learning_rate: LearningRateLike = 0.0025
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    warmup_steps: int = 0

    def core(self) -> Core:
        beta_1, beta_2, epsilon, warmup_steps = self.beta_1, self.beta_2, self.epsilon, self.warmup_steps
        _betas(beta_1, beta_2, epsilon)
        in_range("beta_1", beta_1, 0, 1, "()")
        checks.natural("warmup_steps", warmup_steps)

        def mean(y, z):
            return (y - (1 - beta_1) * z) / beta_1

        def step(g, y, lr, bias, weight, warm, z, v):
            v = _mean(v, g * g, beta_2)
            after = z - lr * warm * g / (namespace(g).sqrt(v / bias) + epsilon)
            x = (1 - weight) * mean(y, z) + weight * after
            return (1 - beta_1) * after + beta_1 * x - y, after, v

        def numbers(t):
            xp = namespace(t)
            warm = xp.minimum(t / warmup_steps, xp.ones_like(t)) if warmup_steps else xp.ones_like(t)
            return unbias(xp, t, beta_2), 1 / t, warm

        core = leafwise(step, Free, copies, zeros, reads=True, shared=numbers)
        return core._replace(finalize=lambda params, state: tree.map(mean, params, state.z))


adam = Adam
adamw = AdamW
adamax = Adamax
nadam = Nadam
adagrad = Adagrad
adadelta = Adadelta
rmsprop = RMSprop
ftrl = Ftrl
lamb = Lamb
schedule_free_adamw = ScheduleFreeAdamW
