"""The loop of `Model.fit`: read a batch, take a step, call the hooks, show the numbers, save."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from .. import checks, random, tree
from ..arrays import to_numpy
from ..callbacks.base import CallbackList, Logs
from ..data.batches import class_weights
from ..data.protocol import Source
from ..data.sources import ArraySource, is_arrays, source, split
from ..errors import ArgumentError, NonFiniteError
from . import faults
from .carry import TrainCarry
from .custom_steps import with_logs
from .evaluate import evaluate, hooks_of
from .feed import read
from .history import History
from .memory import keep_pages
from .objective import Objective
from .program import Program, for_training
from .progress_bar import Bar
from .resume import Saver, saving
from .setup import Setup
from .signals import Deferral
from .state import TrainState

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["Run", "Schedule", "fit", "one_step", "sources"]

_EACH = ("on_train_batch_begin", "on_train_batch_end")
"""The hooks for which each step is dispatched by itself."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When `fit` does what.

    Attributes:
        epochs: The number of the epoch to end before.
        initial: The number of the first one.
        shuffle: Whether each epoch has an order of its own.
        validation_freq: After how many epochs to validate, or the numbers of these epochs, from 1.
    """

    epochs: int
    initial: int = 0
    shuffle: bool = True
    validation_freq: int | Container[int] = 1

    def validates(self, epoch: int) -> bool:
        """Whether there is a validation after the epoch of this number, from 0."""
        freq = self.validation_freq
        return (epoch + 1) % freq == 0 if isinstance(freq, int) else epoch + 1 in freq


@dataclasses.dataclass(eq=False)
class Run:
    """One `fit` under way: all that a checkpoint has to hold beside the train state.

    Attributes:
        source, validation, schedule: The data to train on, those to validate on, if any, and when to do what.
        history, callbacks: What was seen, and who is told.
        carry: That of the model.
        epoch, batch: The number of the epoch, and how many of its batches are done.
        first: `train_state.step` when the epoch began, from which its order follows.
        initial: The number of the epoch with which the training began, before any resume.
        done: The number of steps done in all, of which `train_state.step` may have been set back.
        skipped: How many steps the optimizer had skipped when the epoch began; None if it never skips any.
    """

    source: Source
    validation: Source | None
    schedule: Schedule
    history: History
    callbacks: CallbackList
    carry: TrainCarry
    epoch: int = 0
    batch: int = 0
    first: int = 0
    initial: int = 0
    done: int = 0
    skipped: int | None = None

    def count(self, steps: int) -> None:
        """Steps were taken."""
        self.batch += steps
        self.done += steps


def sources(
    x: Any,
    y: Any,
    sample_weight: Any,
    batch_size: int | None,
    steps: int | None,
    class_weight: Any,
    validation_split: float,
    validation_data: Any,
    validation_batch_size: int | None,
    validation_steps: int | None,
) -> tuple[Source, Source | None]:
    """The data to train on, and those to validate on, if any; arguments as for `Model.fit`."""
    validation_batch_size = checks.count("validation_batch_size", validation_batch_size, none=True)
    validation_steps = checks.count("validation_steps", validation_steps, none=True)
    data = source(x, y, sample_weight, batch_size=batch_size, steps=steps)
    held_out: Source | None = None
    if validation_data is not None:
        parts = isinstance(validation_data, tuple | list) and is_arrays(validation_data)
        given = validation_data if parts else (validation_data,)
        held_out = source(*given, batch_size=validation_batch_size or batch_size, steps=validation_steps)
    elif validation_split:
        if not isinstance(data, ArraySource):
            raise ArgumentError(
                f"`validation_split` needs arrays, got {type(x).__name__}.",
                argument="validation_split",
                expected="arrays, which can be split",
                got=type(x).__name__,
                fix="give validation_data",
            )
        kept, rest = split(data.batch, validation_split)
        size = batch_size if steps is not None else data.batch_size
        data = ArraySource(kept, size, steps)
        held_out = ArraySource(rest, validation_batch_size or size, validation_steps)
    if class_weight is not None:
        data = data.map(functools.partial(class_weights, weights=class_weight))
        data.class_weight = class_weight
    return data, held_out


def fit(
    model: Model,
    setup: Setup,
    carry: TrainCarry,
    data: Source,
    validation: tuple[Source, Objective] | None,
    schedule: Schedule,
    callbacks: Any,
    verbose: int | str,
    resume: Any,
) -> History:
    """Train; see `Model.fit`.

    Args:
        model: For the callbacks, which may set `stop_training` and `train_state`.
        setup: See `Setup`.
        carry: The train state, which each step replaces.
        data: What to train on.
        validation: What to evaluate on after epochs, and its loss and metrics.
        schedule: When to do what.
        callbacks, verbose, resume: As for `Model.fit`.
    """
    keep_pages()
    ts, epochs = _state(carry), schedule.epochs
    validates = validation is not None and any(map(schedule.validates, range(schedule.initial, epochs)))
    hooks = hooks_of(
        callbacks, model, epochs=epochs, steps=data.steps, verbose=verbose, metrics=setup.objective.metrics,
        validates=validates,
    )  # fmt: skip
    setup = with_logs(setup, data, ts)
    fresh = setup.fresh()
    held_out = None if validation is None else validation[0]
    run = Run(data, held_out, schedule, History(), hooks, carry, schedule.initial, initial=schedule.initial)
    run.done = int(to_numpy(ts.step))
    model.stop_training, model.history, steps = False, run.history, data.steps
    with Deferral() as signals:
        program = for_training(setup, data, carry, fresh, signals, hooks.has(*_EACH))
        del ts  # its arrays are garbage after the first step
        with saving(model, run, hooks.backup(resume), fresh, lambda: numbers(setup, carry), signals) as saver:
            hooks("on_train_begin", {})
            saver.begun()
            for epoch in range(run.epoch, epochs):
                if model.stop_training and not run.batch:
                    break
                run.epoch = epoch
                with Bar(steps, f"Epoch {run.epoch + 1}/{epochs}", verbose) as bar:
                    try:
                        logs = _epoch(model, setup, run, program, bar, saver, signals)
                    except NonFiniteError as error:
                        if not hooks.absorbs(error):
                            raise
                        logs = {"loss": math.nan}  # so ends the last epoch, as in Keras
                        hooks("on_epoch_end", run.epoch, logs)
                        run.history.add(run.epoch, logs)
                        break
                    if validation is not None and schedule.validates(run.epoch):
                        logs |= _validate(model, setup, run, validation, saver, signals)
                    bar.clear()
                    hooks("on_epoch_end", run.epoch, logs)
                    bar.show(logs)
                run.history.add(run.epoch, logs)
                steps, run.batch = run.batch, 0
                saver.epoch_done(logs)
            ts = _state(carry)
            if hasattr(setup.optimizer, "finalize"):
                carry.assign(ts._replace(params=setup.optimizer.finalize(ts.params, ts.opt_state)))
            # After that, as in Keras: a callback may restore the best parameters.
            hooks("on_train_end", {name: values[-1] for name, values in run.history.history.items()})
    hooks.finished()
    return run.history


def _epoch(
    model: Model, setup: Setup, run: Run, program: Program, bar: Bar, saver: Saver, signals: Deferral
) -> dict[str, Any]:
    """The steps of one epoch, from where `run` stands; the numbers at its end."""
    data, hooks, carry = run.source, run.callbacks, run.carry
    if run.batch == 0:
        run.skipped, run.first = _skipped(setup, carry), int(to_numpy(_state(carry).step))
        carry.progress = setup.fresh()
        hooks("on_epoch_begin", run.epoch, {})
    # The order is drawn on the host, from a stream of its own: steps draw from fold_in(key, step).
    key = random.fold_in(to_numpy(_state(carry).key), 0xFFFFFFFF) if run.schedule.shuffle else None
    ahead = program.feed.ahead if program.at_once == 1 and not setup.host else None
    each = hooks.has(*_EACH)
    bar.advance(run.batch)
    with data.epoch(key, run.batch, run.epoch - run.initial, run.first, ahead) as reader:
        while not (each and run.batch and model.stop_training):
            most = 1 if each else min(program.pace, saver.steps_left())
            with signals.resting:
                batch = read(reader, most, run.batch, f"epoch {run.epoch + 1}")
            if batch is None:
                break
            if each:
                hooks("on_train_batch_begin", run.batch, {})
            done = carry.done
            try:
                program.advance(carry, batch, reader.steps, run.batch)
            except Exception as error:
                error.add_note(f"in batch {run.batch + carry.done - done} of epoch {run.epoch + 1}")
                raise
            finally:
                run.count(carry.done - done)
            if each:
                hooks("on_train_batch_end", run.batch - 1, Logs(lambda: numbers(setup, carry)))
            if bar.advance(reader.steps):
                bar.show(numbers(setup, carry))
            saver.steps_done()
    logs = numbers(setup, carry)
    if run.skipped is not None:
        logs = {"loss": math.nan} | logs  # if all steps were skipped, there is no loss
        logs["skipped_steps"] = (_skipped(setup, carry) or 0) - run.skipped
    bar.show(logs)
    return logs


def _validate(
    model: Model, setup: Setup, run: Run, validation: tuple[Source, Objective], saver: Saver, signals: Deferral
) -> dict[str, Any]:
    """The numbers of the validation after an epoch, by names for the history."""
    data, objective = validation
    saver.validates()
    setup = setup._replace(objective=objective)
    logs = evaluate(model, setup, run.carry, data, run.callbacks, resting=signals.resting)
    return {f"val_{name}": value for name, value in logs.items()}


def one_step(setup: Setup, carry: TrainCarry, data: Source) -> dict[str, Any]:
    """One step on all of `data`, as one batch; the numbers of it."""
    ts = _state(carry)
    setup = with_logs(setup, data, ts)
    fresh = setup.fresh()
    with Deferral() as signals:
        program = for_training(setup, data, carry, fresh, signals)
        del ts
        carry.progress = fresh
        program.advance(carry, data.first)
    return numbers(setup, carry)


def numbers(setup: Setup, carry: TrainCarry) -> dict[str, Any]:
    """The numbers of the epoch so far; waits for the device.

    Raises:
        NonFiniteError, IndexingError: A step was refused.
    """
    progress = tree.map(to_numpy, carry.progress)
    if progress.fault[0] >= 0:
        tables = setup.traced.tables if setup.step is None and setup.traced is not None else None
        raise faults.stopped(progress, _state(carry), tables, setup.net, setup.optimizer)
    return setup.objective.numbers(progress)


def _state(carry: TrainCarry) -> TrainState:
    ts = carry.train_state
    assert ts is not None
    return ts


def _skipped(setup: Setup, carry: TrainCarry) -> int | None:
    """The number of steps that the optimizer has skipped because gradients overflowed; None if it never does."""
    if not hasattr(setup.optimizer, "skipped"):
        return None
    return int(to_numpy(setup.optimizer.skipped(_state(carry).opt_state)))
