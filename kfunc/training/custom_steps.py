"""Training and evaluation steps of the user's own: checked, counted, and refused where something is not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import ops, tree
from ..arrays import device, dtype_name, namespace, native
from ..data.batches import Batch, rows
from ..data.protocol import Source
from ..errors import ArgumentError
from ..metrics import Mean
from ..transforms import choose, stop_gradient
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
            raise _no_step("step", "(train_state, logs)", out, "return train_state._replace(params=params), logs")
        new = stop_gradient(out[0]._replace(key=ts.key, step=ts.step + 1))
        for part in ("params", "state", "opt_state"):
            _check_alike(part, getattr(ts, part), getattr(new, part))
        logs = _scalars("step", out[1], ts.step, progress)
        good = ops.all_finite(*logs.values(), *tree.leaves(new.params))

        def refuse():
            return ts, fault_of(good, None, progress.fault, ts.step)

        done, fault = choose(may_go_on(good, progress.fault), lambda: (new, progress.fault), refuse)
        counted = _counted(progress, {name: _or_zero(value) for name, value in logs.items()}, batch.size)
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
        logs = _scalars("eval_step", step(ts, batch), ts.step, progress)
        return progress._replace(metrics=_counted(progress, logs, batch.size))

    return run


def _no_step(argument: str, expected: str, got: Any, fix: str) -> ArgumentError:
    got = f"({', '.join(type(x).__name__ for x in got)})" if type(got) is tuple else type(got).__name__
    return ArgumentError(
        f"`{argument}` must return {expected}, got {got}.",
        argument=argument,
        expected=expected,
        got=got,
        fix=fix,
    )


@native
def _check_alike(part: str, old: Any, new: Any) -> None:
    """Raise ArgumentError unless a part of the train state has the structure, the shapes and the dtypes that it had."""
    if tree.structure(old) != tree.structure(new):
        raise ArgumentError(
            f"`step` returned {part} of another structure.",
            argument="step",
            expected=", ".join(tree.paths(old)) or f"no {part}, as it was given none",
            got=", ".join(tree.paths(new)) or "no arrays",
            fix=f"return all of train_state.{part}, changed or not"
            if tree.leaves(old)
            else 'call model.compile(optimizer="adam") first, which makes the opt_state'
            if part == "opt_state"
            else f"leave {part} as it is",
        )
    for path, a, b in zip(tree.paths(old), tree.leaves(old), tree.leaves(new), strict=True):
        if getattr(b, "shape", None) != a.shape or b.dtype != a.dtype:
            raise ArgumentError(
                f"`step` returned {part} of another shape or dtype: {path}.",
                path=path,
                argument="step",
                expected=f"{dtype_name(a.dtype)} {tuple(a.shape)}",
                got=f"{dtype_name(b.dtype)} {tuple(b.shape)}" if hasattr(b, "shape") else type(b).__name__,
            )


def _scalars(argument: str, logs: Any, step: Any, progress: Progress) -> dict[str, Any]:
    """The logs of a step of the user's own, float32 () each, by sorted names."""
    if not isinstance(logs, Mapping) or not all(isinstance(name, str) for name in logs):
        expected = "a dict of scalars" if argument == "eval_step" else "(train_state, logs), logs a dict of scalars"
        raise _no_step(argument, expected, logs, 'return {"loss": loss}, for example')
    if progress.metrics and logs.keys() != progress.metrics.keys():
        raise ArgumentError(
            f"`{argument}` logs other quantities than before.",
            argument=argument,
            expected=", ".join(sorted(progress.metrics)),
            got=", ".join(sorted(logs)) or "none",
        )
    return {name: stop_gradient(_scalar(argument, name, logs[name], step)) for name in sorted(logs)}


@native
def _scalar(argument: str, name: str, value: Any, step: Any) -> Any:
    xp = namespace(step)
    if isinstance(value, bool | int | float):
        return xp.full((), float(value), dtype=xp.float32, device=device(step))
    if getattr(value, "shape", None) != ():
        raise ArgumentError(
            f"`{argument}` must log scalars, and {name!r} is not one.",
            argument=argument,
            expected=f"{name!r} a number, or an array of shape ()",
            got=f"shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__,
            fix="log its mean",
        )
    return xp.astype(value, xp.float32)


@native
def _or_zero(value: Any) -> Any:
    """`value`, or 0 where it is not finite: that is reported as a fault, and NumPy would warn of it as well."""
    xp = namespace(value)
    return xp.where(xp.isfinite(value), value, xp.zeros_like(value))


def _counted(progress: Progress, logs: dict[str, Any], n: int) -> dict[str, Any]:
    mean = Mean()
    return {
        name: _add_value(progress.metrics[name] if name in progress.metrics else mean.init(value), value, n)
        for name, value in logs.items()
    }


@native
def _add_value(acc: Any, value: Any, n: int) -> Any:
    return Mean().update(acc, namespace(value).reshape(value, (1,)), namespace(value).full((1,), n, dtype=value.dtype))
