"""The loop of `Model.evaluate`, and of the validation in `fit`."""

from __future__ import annotations

import contextlib
import numbers
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from .. import random, tree
from ..arrays import to_numpy
from ..callbacks.base import CallbackList, Logs, listed
from ..callbacks.logs import ProgbarLogger
from ..data.protocol import Source
from . import faults
from .carry import Carry, TrainCarry
from .custom_objective import OwnObjective
from .custom_steps import with_logs
from .feed import read
from .program import for_evaluation
from .progress_bar import Bar
from .setup import Setup, placed
from .state import TrainState

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["drawing_key", "evaluate", "hooks_of"]


def hooks_of(callbacks: Any, model: Model, **params: Any) -> CallbackList:
    """The callbacks without those that show a bar, which the loops do by themselves."""
    return CallbackList([c for c in listed(callbacks) if not isinstance(c, ProgbarLogger)], model=model, **params)


def evaluate(
    model: Model,
    setup: Setup,
    state: TrainCarry,
    data: Source,
    hooks: CallbackList,
    verbose: int | str = 0,
    resting: AbstractContextManager[Any] = contextlib.nullcontext(),  # noqa: B008  (it has no state)
) -> dict[str, Any]:
    """The loss and the metrics on `data`, by name; see `Model.evaluate`.

    Args:
        model: Its `metrics_names` become those of the result.
        setup: See `Setup`.
        state: What to evaluate: its train state after `on_test_begin`.
        data: What to evaluate on.
        hooks: The callbacks.
        verbose: As for `Model.evaluate`.
        resting: Entered while data is read.

    Raises:
        IndexingError: An index lies outside the table of an `Embedding`. The train state is what it was.
        NonFiniteError: A number is NaN, and so is a parameter or a part of the network's state.
    """
    with state.unless_it_fails():
        hooks("on_test_begin", {})
        with state.lent() as ts:
            logs = _evaluated(setup, placed(setup, ts, state), data, hooks, verbose, resting)
        model.metrics_names = list(logs)
        hooks("on_test_end", logs)
    return logs


def _evaluated(
    setup: Setup, ts: TrainState, data: Source, hooks: CallbackList, verbose: int | str, resting: Any
) -> dict[str, Any]:
    """The numbers of one train state."""
    setup = with_logs(setup, data, ts, evaluates=True)
    each = hooks.has("on_test_batch_begin", "on_test_batch_end")
    carry = Carry(setup.fresh())
    program = for_evaluation(setup, data, ts, drawing_key(setup, ts), carry, alone=each)
    ahead = program.feed.ahead if program.at_once == 1 and not setup.host else None
    number = 0
    with Bar(data.steps, "Evaluate", verbose) as bar, data.epoch(move=ahead) as reader:
        while True:
            with resting:
                batch = read(reader, program.pace, number, "the evaluation")
            if batch is None:
                break
            if each:
                hooks("on_test_batch_begin", number, {})
            with setup.backend.inferring():
                program.advance(carry, batch, reader.steps, number)
            number += reader.steps
            if each:
                hooks("on_test_batch_end", number - 1, Logs(lambda: _numbers(setup, carry)))
            if bar.advance(reader.steps):
                bar.show(_numbers(setup, carry))
        logs = _numbers(setup, carry)
        bar.show(logs)
    if any(value != value for value in logs.values()):
        faults.check_state(ts)
    return logs


def drawing_key(setup: Setup, ts: TrainState, key: Any = None) -> Any:
    """The key for a network that draws random numbers outside training: `key`, or one of the model; else None.

    An objective of the user's own is always given one.
    """
    own = isinstance(setup.objective.loss, OwnObjective)
    if not own and (setup.traced is None or not setup.traced.draws):
        return None
    if key is None:  # steps of training draw from fold_in(key, step), and the order of samples from the last number
        return random.fold_in(ts.key, 0xFFFFFFFE)
    return random.key(int(key), backend=setup.backend) if isinstance(key, numbers.Integral) else key


def _numbers(setup: Setup, carry: Carry) -> dict[str, Any]:
    """The numbers so far; waits for the device."""
    progress = tree.map(to_numpy, carry.value)
    if progress.fault[0] >= 0:
        assert setup.traced is not None
        raise faults.outside(setup.traced.tables, int(progress.fault[1]) - 1, int(progress.fault[2]), setup.net)
    return setup.objective.numbers(progress)
