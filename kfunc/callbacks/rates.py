"""Callbacks that set the learning rate, which is an array in the optimizer's state."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

from .. import optim, tree
from ..arrays import kind_of_tree, to_numpy
from ..errors import ArgumentError
from ..optim.optimizer import State
from ..optim.transformations import learning_rates
from .base import Callback, takes

__all__ = ["LearningRateScheduler"]


def rates(train_state: Any, who: str | None = None) -> dict[str, float]:
    """The learning rates by their names in logs: "learning_rate", or "learning_rate_0", "learning_rate_1" ....

    Raises:
        ArgumentError: There is none, and the callback `who` needs one.
    """
    opt_state = None if train_state is None else train_state.opt_state
    found = [float(to_numpy(rate)) for rate in learning_rates(opt_state)]
    if not found and who is not None:
        raise ArgumentError(
            f"{who} cannot set the learning rate of this optimizer.",
            argument="callbacks",
            expected="an optimizer that was made with a number, such as optim.adam(1e-3)",
            got="one whose learning rate is a schedule or an array, or that has none",
            fix="give the optimizer a number, or leave the callback out and let the schedule do it",
        )
    if len(found) == 1:
        return {"learning_rate": found[0]}
    return {f"learning_rate_{i}": value for i, value in enumerate(found)}


def current_rates(optimizer: Any, train_state: Any) -> dict[str, float]:
    """The learning rates of the next step, by their names in logs; also that of a schedule, if there is only one."""
    optimizer = _innermost(optimizer)
    schedule = getattr(optimizer, "learning_rate", None)
    if train_state is None or not callable(schedule):
        return rates(train_state)
    parts = tree.flatten(train_state.opt_state, until=lambda x: isinstance(x, State))[0]
    counts = [part.count for part in parts if isinstance(part, State)]
    # The count is that of updates; a schedule counts all calls.
    every = getattr(optimizer, "gradient_accumulation_steps", None) or 1
    return {"learning_rate": float(to_numpy(schedule(counts[0] * every)))} if counts else {}


def _innermost(optimizer: Any) -> Any:
    """The optimizer that a wrapper, such as a loss scale, was given."""
    given = getattr(optimizer, "config", {}).get("config", {})
    inner = given.get("inner_optimizer", given.get("inner"))
    return optimizer if inner is None else _innermost(inner)


def with_rates(train_state: Any, change: Callable[[float], float]) -> Any:
    """The train state with `change` of each learning rate."""
    changed = optim.with_learning_rate(train_state.opt_state, lambda old: change(float(to_numpy(old))))
    return train_state._replace(opt_state=changed)


class LearningRateScheduler(Callback):
    """Set the learning rate when an epoch begins. Adds "learning_rate" to the logs.

    Args:
        schedule: A function of the epoch's number, from 0, and the learning rate so far; or of the number alone. It
            returns the learning rate.
        verbose: 1 to print what it does.

    Raises:
        ArgumentError: The optimizer has a schedule already; or `schedule` returns something that is no learning rate.
    """

    _keeps_state = False

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0):
        if not callable(schedule):
            raise ArgumentError(
                f"`schedule` must be a function, got {schedule!r}.",
                argument="schedule",
                expected="a function",
                got=repr(schedule),
            )
        self.schedule: Callable[..., Any] = schedule
        self.verbose: int = verbose
        self._of_two = takes(schedule, 2)

    def on_train_begin(self, logs: Any = None, train_state: Any = None) -> Any:
        rates(train_state, type(self).__name__)

    def on_epoch_begin(self, epoch: int, logs: Any = None, train_state: Any = None) -> Any:
        after = with_rates(train_state, lambda old: self._at(epoch, old))
        if self.verbose:
            now = ", ".join(f"{value:g}" for value in rates(after).values())
            print(f"Epoch {epoch + 1}: the learning rate is {now}.")
        return after

    def _at(self, epoch: int, old: float) -> float:
        new = self.schedule(epoch, old) if self._of_two else self.schedule(epoch)
        array = kind_of_tree(new) is not None and getattr(new, "shape", None) == ()
        value = float(to_numpy(new)) if array else new
        if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= float(value) < math.inf:
            raise ArgumentError(
                f"`schedule` must return a finite number that is not negative, got {new!r}.",
                argument="schedule",
                expected="a function that returns a finite number, 0 or larger",
                got=repr(new),
            )
        return float(value)

    def on_epoch_end(self, epoch: int, logs: Any = None, train_state: Any = None) -> Any:
        if logs is not None:
            logs |= rates(train_state, type(self).__name__)
