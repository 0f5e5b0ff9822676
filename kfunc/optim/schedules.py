"""Learning-rate schedules: pure functions of the step, with Keras's names and arguments.

A schedule takes the number of steps so far, a Python int or an integer array of any shape (in training `()`), and
returns a float32 array of that shape. If the step is a floating array, the result has its dtype.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .. import checks
from ..arrays import asarray, kind_of_tree, namespace, native
from ..dataclasses import Undecorated, dataclass
from ..errors import ArgumentError, shown
from ..registry import configs, register
from ..typing import Array
from .base import in_range

__all__ = [
    "Constant",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "constant",
    "cosine_decay",
    "cosine_decay_restarts",
    "exponential_decay",
    "inverse_time_decay",
    "piecewise_constant_decay",
    "polynomial_decay",
]


@dataclass
class Schedule(Undecorated):
    """Base of the schedules. Subclasses are frozen dataclasses that define `at(xp, t)` for a floating array `t`."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("decay_steps", "first_decay_steps"):
                in_range(field.name, value, ends="()")
            elif field.type == "bool":
                checks.boolean(field.name, value)
            elif field.name == "name" or field.type.startswith("tuple"):
                continue
            elif field.name == "power":  # Keras allows negative ones
                in_range(field.name, value, -math.inf, ends="()")
            else:
                in_range(field.name, value, none="None" in field.type)

    def __call__(self, step: Any) -> Any:
        """The value after `step` steps."""
        return _evaluate(self, asarray(step) if kind_of_tree(step) is None else step)

    def at(self, xp: Any, t: Any) -> Any:
        """The value after `t` steps; subclasses define it. `t` is a floating array of the namespace `xp`."""
        raise NotImplementedError


@native
def _evaluate(schedule: Schedule, step: Any) -> Any:
    xp = namespace(step)
    return schedule.at(xp, step if xp.isdtype(step.dtype, "real floating") else xp.astype(step, xp.float32))


def _at_most(xp: Any, t: Any, limit: float) -> Any:
    return xp.where(t < limit, t, xp.full_like(t, limit))


@register("schedule", "Constant", "constant")
@dataclass
class Constant(Schedule):
    """The same `value` at every step.

    Args:
        value: The learning rate.
    """

    value: float

    def at(self, xp: Any, t: Array) -> Array:
        return xp.full_like(t, self.value)


@register("schedule", "CosineDecay", "cosine_decay")
@dataclass
class CosineDecay(Schedule):
    """Half a cosine from the initial learning rate down to `alpha` times it (Loshchilov and Hutter, arXiv:1608.03983).

    Args:
        initial_learning_rate: The value at step 0.
        decay_steps: The number of steps of the decay.
        alpha: The last value, as a fraction of the value that the decay starts from.
        name: Has no effect.
        warmup_target: If it is given, the value first rises to it linearly over `warmup_steps`, and then decays.
        warmup_steps: The number of steps of the rise.
    """

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    name: str = "CosineDecay"
    warmup_target: float | None = None
    warmup_steps: float = 0

    def at(self, xp: Any, t: Array) -> Array:
        if self.warmup_target is None:
            return self._decayed(xp, t, self.initial_learning_rate)
        decayed = self._decayed(xp, t - self.warmup_steps, self.warmup_target)
        if not self.warmup_steps:
            return decayed
        slope = (self.warmup_target - self.initial_learning_rate) / self.warmup_steps
        return xp.where(t < self.warmup_steps, self.initial_learning_rate + slope * t, decayed)

    def _decayed(self, xp, t, start):
        cosine = xp.cos(_at_most(xp, t, self.decay_steps) * (math.pi / self.decay_steps))
        return start * (1 - self.alpha) / 2 * (1 + cosine) + start * self.alpha


@register("schedule", "CosineDecayRestarts", "cosine_decay_restarts")
@dataclass
class CosineDecayRestarts(Schedule):
    """Half cosines one after the other, each `t_mul` times as long as the one before (SGDR, arXiv:1608.03983).

    Args:
        initial_learning_rate: The value at step 0.
        first_decay_steps: The number of steps of the first half cosine.
        t_mul: How many times longer each is than the one before: 1 or more.
        m_mul: The first value of each is `m_mul` times the first value of the one before.
        alpha: The value at the end of each, as a fraction of the initial learning rate.
        name: Has no effect.
    """

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    name: str = "SGDRDecay"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("t_mul", self.t_mul, 1)

    def at(self, xp: Any, t: Array) -> Array:
        done = t / self.first_decay_steps
        if self.t_mul == 1:
            restarts = xp.floor(done)
            done = done - restarts
        else:

            def length(n):
                """The number of steps of the first n half cosines, divided by that of the first one."""
                return (self.t_mul**n - 1) / (self.t_mul - 1)

            restarts = xp.floor(xp.log1p(done * (self.t_mul - 1)) / math.log(self.t_mul))
            # At a restart the rounded logarithm may be wrong by one.
            restarts = restarts + xp.astype(done >= length(restarts + 1), t.dtype)
            restarts = restarts - xp.astype(done < length(restarts), t.dtype)
            done = (done - length(restarts)) / self.t_mul**restarts
        cosine = self.m_mul**restarts * (1 + xp.cos(math.pi * done))
        return self.initial_learning_rate * ((1 - self.alpha) / 2 * cosine + self.alpha)


@register("schedule", "ExponentialDecay", "exponential_decay")
@dataclass
class ExponentialDecay(Schedule):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`.

    Args:
        initial_learning_rate: The value at step 0.
        decay_steps: After so many steps the value is multiplied by `decay_rate`.
        decay_rate: The factor of the decay.
        staircase: Whether the exponent is rounded down, so that the value falls in steps.
        name: Has no effect.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str = "ExponentialDecay"

    def at(self, xp: Any, t: Array) -> Array:
        p = t / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (xp.floor(p) if self.staircase else p)


@register("schedule", "InverseTimeDecay", "inverse_time_decay")
@dataclass
class InverseTimeDecay(Schedule):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`.

    Args:
        initial_learning_rate: The value at step 0.
        decay_steps: After so many steps the denominator has grown by `decay_rate`.
        decay_rate: How fast the value falls.
        staircase: Whether `step / decay_steps` is rounded down, so that the value falls in steps.
        name: Has no effect.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str = "InverseTimeDecay"

    def at(self, xp: Any, t: Array) -> Array:
        p = t / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (xp.floor(p) if self.staircase else p))


@register("schedule", "PiecewiseConstantDecay", "piecewise_constant_decay")
@dataclass
class PiecewiseConstantDecay(Schedule):
    """`values[0]` up to and including step `boundaries[0]`, then `values[1]` up to `boundaries[1]`, and so on.

    Args:
        boundaries: The steps at which the value changes, in increasing order.
        values: The values: one more than there are boundaries.
        name: Has no effect.
    """

    boundaries: tuple[float, ...]
    values: tuple[float, ...]
    name: str = "PiecewiseConstant"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "boundaries", tuple(self.boundaries))
        object.__setattr__(self, "values", tuple(self.values))
        if len(self.values) != len(self.boundaries) + 1 or list(self.boundaries) != sorted(self.boundaries):
            raise ArgumentError(
                f"`boundaries` must be {len(self.values) - 1} increasing steps for {len(self.values)} values, "
                f"got {shown(self.boundaries)}.",
                argument="boundaries",
                expected=f"{len(self.values) - 1} increasing steps",
                got=self.boundaries,
            )

    def at(self, xp: Any, t: Array) -> Array:
        out = xp.full_like(t, self.values[0])
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            out = xp.where(t > boundary, xp.full_like(t, value), out)
        return out


@register("schedule", "PolynomialDecay", "polynomial_decay")
@dataclass
class PolynomialDecay(Schedule):
    """`(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps) ** power + end_learning_rate`.

    Args:
        initial_learning_rate, end_learning_rate: The first value and the last one.
        decay_steps: The number of steps of the decay.
        power: The power in the formula; 1 makes the decay linear.
        cycle: Whether to go on after `decay_steps`: `decay_steps` is replaced by its next multiple when it is passed.
            Otherwise the value stays at `end_learning_rate`.
        name: Has no effect.
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str = "PolynomialDecay"

    def at(self, xp: Any, t: Array) -> Array:
        if self.cycle:
            cycles = xp.ceil(t / self.decay_steps)
            p = t / (self.decay_steps * xp.where(cycles < 1, xp.ones_like(t), cycles))
        else:
            p = _at_most(xp, t, self.decay_steps) / self.decay_steps
        return (self.initial_learning_rate - self.end_learning_rate) * (1 - p) ** self.power + self.end_learning_rate


LearningRateSchedule = Schedule
constant = Constant
cosine_decay = CosineDecay
cosine_decay_restarts = CosineDecayRestarts
exponential_decay = ExponentialDecay
inverse_time_decay = InverseTimeDecay
piecewise_constant_decay = PiecewiseConstantDecay
polynomial_decay = PolynomialDecay


serialize, deserialize = configs("schedule")
