"""Training and evaluation steps of the user's own: checked, counted, and refused where something is not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import ops, tree
from ..arrays import namespace, native
from ..data.batches import Batch, rows
from ..data.protocol import Source
from ..metrics import Mean
from ..transforms import choose, stop_gradient
from .logs import check_alike, counted_logs, must_return, scalars
from .objective import Objective, ordered
from .state import Progress, TrainState, start
from .step import fault_of, may_go_on

if TYPE_CHECKING:
    from .setup import Setup

__all__ = [
    "custom_evaluations",
    "custom_steps",
    "make_custom_evaluation",
    "make_custom_step",
    "with_logs",
]


_RETURNED = "(train_state, logs), logs a dict of scalars"


def custom_steps(step: Callable[..., Any]) -> Callable[..., Any]:
    """The function `(fixed, carry, batch) -> carry` of a training step of the user's own."""
    run = make_custom_step(step)
    return lambda _, carry, batch: run(*carry, batch)


def custom_evaluations(step: Callable[..., Any]) -> Callable[..., Any]:
    """The function `(fixed, carry, batch) -> carry` of an evaluation step of the user's own."""
    return make_custom_evaluation(step)


def with_logs(setup: Setup, data: Source, ts: TrainState, evaluates: bool = False) -> Setup:
    """`setup` with a mean for each number that the user's own step logs, if there is such a step.

    Running the step on shapes tells their names. On a backend that cannot do that there are no means, and the first
    step tells the names.
    """
    step: Any = setup.eval_step if evaluates else setup.step
    if step is None:
        return setup
    make = custom_evaluations if evaluates else custom_steps
    key, names = f"{make.__name__} {step!r}", setup.functions.logs
    if key not in names:
        first = start({}, setup.backend)
        batch = tree.map(
            lambda x: setup.backend.asarray(x, device=setup.where), rows(data.first, slice(None, data.batch_size))
        )
        carry = setup.backend.shapes(make(step), ts, first if evaluates else (ts, first), batch)
        if carry is None:
            return setup._replace(objective=Objective())
        names[key] = list((carry if evaluates else carry[1]).metrics)
    return setup._replace(objective=Objective(metrics={name: Mean() for name in ordered(names[key])}))


def make_custom_step(step: Callable[..., Any]) -> Callable[..., Any]:
    """The function `(train_state, progress, batch) -> (train_state, progress)` around a step of the user's own.

    Args:
        step: A pure `(train_state, batch) -> (train_state, logs)`, with `logs` a dict of scalars. If a log or
            a parameter is not finite, that is a fault, and the step is refused. Progress holds the means of the logs
            over the samples, by their sorted names. `train_state.step` is counted up outside of the step.

    Raises:
        ArgumentError: The step returns something else, or a train state that is not built like the one it was given.
    """

    def run(ts: TrainState, progress: Progress, batch: Batch) -> tuple[TrainState, Progress]:
        out = step(ts, batch)
        if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[0], TrainState)):
            raise must_return("step", "(train_state, logs)", out, "return train_state._replace(params=params), logs")
        new = stop_gradient(out[0]._replace(key=ts.key, step=ts.step + 1))
        for part in ("params", "state", "opt_state"):
            check_alike("step", part, getattr(ts, part), getattr(new, part))
        logs = scalars("step", _RETURNED, out[1], ts.step, progress.metrics)
        good = ops.all_finite(*logs.values(), *tree.leaves(new.params))

        def refuse():
            return ts, fault_of(good, None, progress.fault, ts.step)

        done, fault = choose(may_go_on(good, progress.fault), lambda: (new, progress.fault), refuse)
        counted = counted_logs(progress, {name: _or_zero(value) for name, value in logs.items()}, batch.size)
        return done, Progress(progress.loss, counted, fault)

    return run


def make_custom_evaluation(step: Callable[..., Any]) -> Callable[..., Any]:
    """The function `(train_state, progress, batch) -> progress` around an evaluation step of the user's own.

    Args:
        step: A pure `(train_state, batch) -> logs`.

    Raises:
        ArgumentError: The step returns something else.
    """

    def run(ts: TrainState, progress: Progress, batch: Batch) -> Progress:
        logs = scalars("eval_step", "a dict of scalars", step(ts, batch), ts.step, progress.metrics)
        return progress._replace(metrics=counted_logs(progress, logs, batch.size))

    return run


@native
def _or_zero(value: Any) -> Any:
    """`value`, or 0 where it is not finite: that is reported as a fault, and NumPy would warn of it as well."""
    xp = namespace(value)
    return xp.where(xp.isfinite(value), value, xp.zeros_like(value))
