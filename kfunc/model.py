"""`Model`: a network and its `TrainState`, with Keras's `fit`, `evaluate` and `predict`. The only stateful thing."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from . import checks, faults, files, loop, losses, optim, programs, random, saved, tree
from .arrays import asarray, backend_of, device, dtype_name, to_backend, to_numpy
from .backends import Backend, get
from .callbacks.base import CallbackList, Logs, listed
from .callbacks.logs import ProgbarLogger
from .checkpoints import Checkpoints, saving
from .data.batches import Batch, class_weights, prepared, rows, sizes
from .data.prefetch import on_host
from .data.sources import ArraySource, Source, is_arrays, source, split
from .errors import ArgumentError, NonFiniteError
from .history import History
from .loop import Program, Run
from .metrics import Mean
from .nn.layer import Layer
from .outputs import JointLoss, all_per_sample, by_output, joint_loss, monitors, per_sample
from .programs import Programs
from .progress import Bar
from .registry import from_config, resolve, to_config
from .step import Progress, TrainState, start
from .summary import lines_of
from .tracing.spec import Spec

__all__ = ["Model"]


def _undone_if_it_fails(method: Callable) -> Callable:
    """A method after which, if it raises, the train state is what it was: callbacks may have put another in place."""

    @functools.wraps(method)
    def run(self, *args, **kwargs):
        before = self._carry
        try:
            return method(self, *args, **kwargs)
        except BaseException:
            self._carry = before
            raise

    return run


def _of_programs(name: str) -> property:
    return property(
        lambda self: getattr(self._programs, name), lambda self, value: setattr(self._programs, name, value)
    )


class Model:
    """A network with parameters, and the loops that everybody needs.

    The backend is that of the arrays in `train_state`; `backend=` on a call moves them first. Data may be arrays of
    any backend, and NumPy's above all. It calls nothing that you could not call yourself: see `kfunc.step`.

    Args:
        net: A layer.
        seed: For the first parameters, the order of samples and the random draws of training.
        step: A training step of your own: a pure `(train_state, batch) -> (train_state, logs)`, where `batch` has `x`,
            `y` and `sample_weight`, and `logs` is a dict of scalars, whose means over the samples `fit` shows. It is
            compiled as kfunc's own is, and refused where a log or a parameter is not finite. `params`, `state` and
            `opt_state` keep their structure, shapes and dtypes; `train_state.step` is counted for it, and
            `random.fold_in(ts.key, ts.step)` is a key for it. Indices outside a table are found by the backend alone.
        eval_step: `(train_state, batch) -> logs`, the same for `evaluate`.
            Without it, the loss and the metrics given to `compile` evaluate.

    Attributes:
        train_state: `TrainState`, or None before the first data.
        stop_training: Set to True, by a callback above all, it ends `fit` after the epoch.
        metrics_names: The names of the numbers that `evaluate` returns, in their order; of steps of your own, those of
            their logs after the first evaluation. Empty before the first data.
    """

    def __init__(self, net: Layer, seed: int = 0, *, step: Callable | None = None, eval_step: Callable | None = None):
        if not isinstance(net, Layer):
            raise ArgumentError("A model needs a network.", argument="net", expected="a layer", got=repr(net))
        self.net, self.seed, self.step, self.eval_step = net, seed, step, eval_step
        self.stop_training = False
        self._carry = loop.Carry((None, None))
        self._seen = True
        self.optimizer: Any = None
        self.loss: Any = None
        self.loss_weights: Any = None
        self.metrics: Any = ()
        self.weighted_metrics: Any = ()
        self.metrics_names: list[str] = []
        self._inputs: Any = None
        self._fitting = False
        self._stored_opt_state: dict[str, Any] | None = None
        self._programs = Programs()
        self._logs: dict[str, list[str]] = {}

    # As `compile` was given them, or as somebody has set them since.
    run_eagerly, jit_compile = _of_programs("run_eagerly"), _of_programs("jit_compile")
    steps_per_execution = _of_programs("steps_per_execution")

    # -- putting it together -----------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int | str = "auto",
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Choose how to train.

        Args:
            optimizer: A name, one of `kf.optim`'s, or any `(init, update)` in optax's protocol; or a dict of them by
                the parts of the parameters, `{"generator": ..., "discriminator": ...}`: `opt_state` is a dict, then.
            loss: A name, one of `kf.losses`, or a function `(y_true, y_pred) -> values`, one or more a sample; for a
                network with several outputs a list of these, a dict by output, or one for all of them. None if the
                network's own losses (`Scope.add_loss`, regularizers) are all that there is.
            loss_weights: For several outputs, by how much each loss counts: a list or a dict of numbers.
            metrics: Names and objects of `kf.metrics`: a list; for several outputs a list of lists, or a dict of lists.
                Of two of one name the second is numbered, "auc" and "auc_1".
            weighted_metrics: The same as `metrics`, for those that heed sample weights; `metrics` pass over them.
            run_eagerly: Whether each step runs the Python of the layers, which else is compiled, or on a backend that
                does not compile, recorded: for a debugger, and for functions that are not pure.
            steps_per_execution: How many steps one call of the compiled program takes at most; "auto" takes as many as
                pay. It changes no number, and callbacks' hooks of batches are called for each.
            jit_compile: Whether to compile the step; "auto" does so where the backend gains from it.
            auto_scale_loss: Whether to scale the loss (`optim.LossScaleOptimizer`) if a part of the network computes in
                float16, whose gradients would vanish otherwise.

        Raises:
            ArgumentError: A name is unknown, something is no optimizer, or no number of steps; or `fit` is under way.
        """
        if self._fitting:
            raise ArgumentError(
                "The model is being trained: a fit goes on with the optimizer that it began with.",
                fix="set model.stop_training = True, and compile after fit",
            )
        if steps_per_execution != "auto":
            checks.positive("steps_per_execution", steps_per_execution)
        optimizer = resolve("optimizer", optimizer)
        if isinstance(optimizer, dict):
            optimizer = optim.by_part(optimizer)
        if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
            raise ArgumentError(
                "That is no optimizer.",
                argument="optimizer",
                expected='a name such as "adam", or an object with init and update',
                got=repr(optimizer),
            )
        if auto_scale_loss and self.step is None and _in_float16(self.net) and not hasattr(optimizer, "loss_scale"):
            optimizer = optim.LossScaleOptimizer(optimizer)
        self.optimizer = optimizer
        # These names wait for the shapes of the data; a tree of losses for the network's outputs.
        wait = isinstance(loss, list | tuple | dict) and "class" not in loss
        self.loss = loss if loss is None or wait or loss in ("crossentropy", "ce") else losses.get(loss)
        self.loss_weights = loss_weights
        self.metrics, self.weighted_metrics = (
            () if m is None else (m,) if isinstance(m, str) or not isinstance(m, Sequence | dict) else m
            for m in (metrics, weighted_metrics)
        )
        self._programs = Programs(checks.boolean("run_eagerly", run_eagerly), steps_per_execution, jit_compile)
        if self.train_state is not None:
            self.train_state = self._with_opt_state(self.train_state)

    @property
    def train_state(self) -> TrainState | None:
        """The `TrainState`; None before the first data."""
        # A step of `fit` may take the memory of what nobody has seen.
        self._seen = True
        return self._carry.value[0]

    @train_state.setter
    def train_state(self, ts: TrainState | None) -> None:
        self._carry, self._seen = loop.Carry((ts, None)), True

    def build(self, *inputs: Any, backend: str | Backend | None = None) -> Model:
        """Make the first parameters for inputs like these, samples or `Spec`s with a batch axis; return the model.

        A size of the batch that a `Spec` names is kept: stateful layers need one.
        """
        self._inputs = tree.map(lambda x: x if isinstance(x, Spec) else Spec((None, *x.shape[1:]), x.dtype), inputs)
        for found in ("_trace", "_constraints", "_adds_losses"):  # for other inputs
            self.__dict__.pop(found, None)
        target = get("numpy" if backend is None else backend)
        params, state = self.net.init(self.seed, *self._inputs, backend=target)
        key = random.key(self.seed, backend=target)
        ts = TrainState(params, state, None, key, asarray(0, "int32", backend=target))
        own = target.donates and getattr(self.optimizer, "elementwise", None) is not None
        if own:  # initializers may return arrays of the user's, but these optimizers make new ones
            ts = tree.map(target.released, ts)
        self.train_state, self._seen = self._with_opt_state(ts), not own
        return self

    def _with_opt_state(self, ts: TrainState) -> TrainState:
        if self.optimizer is None:
            return ts
        opt_state = self.optimizer.init(ts.params)
        if self._stored_opt_state is not None:
            # Another optimizer than the stored one starts afresh.
            stored, names = self._stored_opt_state, list(saved.named({"opt_state": opt_state}))
            if set(names) == set(stored):
                leaves = to_backend([stored[n] for n in names], backend_of(ts.params))
                opt_state = tree.unflatten(tree.structure(opt_state), leaves)
            self._stored_opt_state = None
        return ts._replace(opt_state=opt_state)

    @property
    def backend(self) -> str | None:
        """Name of the backend that the parameters are on; None before there are any."""
        ts = self._carry.value[0]
        return None if ts is None else backend_of(ts.key).name

    def to(self, backend: str | Backend, device: Any = None) -> Model:
        """Move the whole `train_state` to `backend`, and to `device` in its words; return the model."""
        ts = self._built
        if device is not None or backend_of(ts.key) is not get(backend):
            self.train_state = to_backend(ts, backend, device)
        return self

    @property
    def _built(self) -> TrainState:
        """The train state, for our own use.

        Raises:
            ArgumentError: There is none yet.
        """
        ts = self._carry.value[0]
        if ts is None:
            raise ArgumentError(
                "The model has no parameters yet.",
                fix="call fit first, or model.build(kf.Spec((None, ...))) with the shape of the input",
            )
        return ts

    def _build_for(self, x: Any, backend: Any) -> None:
        """Make the first parameters, if there are none, for inputs like `x`."""
        if self._carry.value[0] is None:
            self.build(*(x if isinstance(x, list | tuple) else (x,)), backend=backend)

    def _on(self, backend: Any) -> tuple[TrainState, Backend, Any]:
        """The train state on the backend asked for, that backend, and the device to put data on."""
        if backend is not None:
            self.to(backend)
        ts = self._built
        target = backend_of(ts.key)
        return ts, target, device(target.lift(ts.key))

    def _program(self, make: Callable, *parts: Any, **options: Any) -> Program:
        """`Programs.program` of these, for arrays where the train state is."""
        return self._programs.program(make, *parts, host=on_host(self._built.key), **options)

    # -- training ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        *,
        backend: str | Backend | None = None,
        resume: str | os.PathLike | Checkpoints | None = None,
    ) -> History:
        """Train for `epochs` rounds over the data.

        Args:
            x: Inputs: an array (samples, ...), or a list, tuple or dict of them. Or batches, `(x, y)` or
                `(x, y, sample_weight)` each: what `kf.data.source` takes.
            y: Targets (samples, ...).
            batch_size: Samples a step, 32 by default; the last step of an epoch may have fewer.
            verbose: 0 for silence, 1 for a progress bar, 2 for a line an epoch; "auto" for a bar in a terminal or a
                notebook, and a line an epoch elsewhere.
            callbacks: Objects of `kf.callbacks`.
            validation_split: The last fraction of the samples, to evaluate on after each epoch and not to train on.
            validation_data: `(x, y)` or `(x, y, sample_weight)`, or batches, for the same.
            shuffle: Whether each epoch has an order of its own, the same on every backend.
            class_weight: Weight of each class.
            sample_weight: Weight of each sample, (samples,).
            initial_epoch: The number of the first epoch.
            steps_per_epoch: Number of batches an epoch, the next of which goes on where it stopped; by default all that
                there are. Without `batch_size`, arrays are divided into as many.
            validation_steps, validation_batch_size: The same for the validation.
            validation_freq: After how many epochs one validates, or the numbers of these epochs, from 1.
            backend: Where to train; by default where the parameters are, at first NumPy.
            resume: A directory, or `Checkpoints` of it: training goes on from the newest state in it that verifies, if
                there is one, to the bit as if it had never ended, and saves its states there: at the end of each epoch,
                after every `Checkpoints.every` steps, and before SIGTERM does what it does. Give everything else as
                before, iterators from their beginning; `epochs` may be more.

        Returns:
            What it saw. Beside the loss and the metrics there is "skipped_steps" where the optimizer scales the loss:
            how many steps of the epoch changed nothing, as their gradients overflowed.

        Raises:
            NonFiniteError: A loss or gradient was not finite; `train_state` is that before the step.
            IndexingError: An index lies outside the table of an `Embedding`; the same holds.
            LabelError: Labels lie outside the classes.
            DataError: The data ran out.
            FileError: No checkpoint in `resume` verifies, or it is of another network; or one could not be written.
            ShapeError, ArgumentError, BackendError: With what does not fit.
        """
        epochs, initial_epoch = checks.count("epochs", epochs, 0), checks.count("initial_epoch", initial_epoch, 0)
        validation_batch_size = checks.count("validation_batch_size", validation_batch_size, none=True)
        validation_steps = checks.count("validation_steps", validation_steps, none=True)
        if isinstance(validation_freq, str) or not isinstance(validation_freq, Container):
            validation_freq = checks.count("validation_freq", validation_freq)
        data = source(x, y, sample_weight, batch_size=batch_size, steps=steps_per_epoch)
        held_out: Source | None = None
        if validation_data is None and validation_split:
            if not isinstance(data, ArraySource):
                raise ArgumentError("Only arrays can be split.", argument="validation_split", got=type(x).__name__)
            kept, rest = split(data.batch, validation_split)
            size = batch_size if steps_per_epoch is not None else data.batch_size
            data = ArraySource(kept, size, steps_per_epoch)
            held_out = ArraySource(rest, validation_batch_size or size, validation_steps)
        elif validation_data is not None:
            parts = isinstance(validation_data, tuple | list) and is_arrays(validation_data)
            given = validation_data if parts else (validation_data,)
            held_out = source(*given, batch_size=validation_batch_size or batch_size, steps=validation_steps)
        if class_weight is not None:
            data = data.map(functools.partial(class_weights, weights=class_weight))
        data, loss, found = self._trainable(data, backend)
        against = None if held_out is None else self._evaluable(held_out)
        fitting = self._fitting
        try:
            self._fitting = True
            return self._fit(data, against, loss, found, locals())
        finally:
            self._fitting = fitting

    def _fit(self, data: Source, against: tuple | None, loss: Any, found: dict, given: dict[str, Any]) -> History:
        # Not to be kept: these arrays are garbage after the first step.
        target, where = self._on(given["backend"])[1:]
        epochs, freq = given["epochs"], given["validation_freq"]
        program = self._train_program(data, loss, found, target, where)
        verbose, first, steps = given["verbose"], given["initial_epoch"], data.steps
        hooks = self._hooks(given["callbacks"], epochs=epochs, steps=data.steps, verbose=verbose, metrics=found)
        done, shuffle = int(to_numpy(self._built.step)), checks.boolean("shuffle", given["shuffle"])
        run = Run(data, epochs, History(), hooks, first, initial=first, done=done, shuffle=shuffle)
        self.stop_training = False
        found = found or self._logged(programs.custom_steps, self.step, data, program)
        fresh = start(found, target, where)
        with saving(self, run, hooks.backup(given["resume"]), fresh) as saver:
            hooks("on_train_begin", {})
            saver.begun()
            program.plan((), (self._built, fresh), data.first, data.steps)
            for epoch in range(run.epoch, epochs):
                if self.stop_training and not run.batch:
                    break
                run.epoch = epoch
                with Bar(steps, f"Epoch {run.epoch + 1}/{epochs}", verbose) as bar:
                    try:
                        logs = self._epoch(run, program, found, bar, saver, target, where)
                    except NonFiniteError as error:
                        if not hooks.absorbs(error):
                            raise
                        break
                    due = (run.epoch + 1) % freq == 0 if isinstance(freq, int) else run.epoch + 1 in freq
                    if against is not None and due:
                        judged = self._evaluate(*against, target, where, hooks=hooks, saver=saver)
                        logs |= {f"val_{name}": value for name, value in judged.items()}
                    bar.clear()
                    hooks("on_epoch_end", run.epoch, logs)
                    bar.show(logs)
                run.history.add(run.epoch, logs)
                steps, run.batch = run.batch, 0
                saver.epoch_done(logs)
            ts = self._built
            if hasattr(self.optimizer, "finalize"):
                self.train_state = ts._replace(params=self.optimizer.finalize(ts.params, ts.opt_state))
            # After that, as in Keras: a callback may restore the best parameters.
            hooks("on_train_end", {name: values[-1] for name, values in run.history.history.items()})
        hooks.finished()
        return run.history

    def _hooks(self, callbacks: Any, **params: Any) -> CallbackList:
        """The callbacks without those that show what the loop shows by itself."""
        callbacks = [c for c in listed(callbacks) if not isinstance(c, ProgbarLogger)]
        return CallbackList(callbacks, model=self, **params)

    def _epoch(self, run: Run, program: Program, found, bar, saver, target, where) -> dict[str, float]:
        """The steps of one epoch, from where `run` stands; the numbers at its end."""
        data, hooks = run.source, run.callbacks
        if run.batch == 0:
            run.skipped = self._skipped()
            run.first, run.progress = int(to_numpy(self._built.step)), start(found, target, where)
            hooks("on_epoch_begin", run.epoch, {})
        # A stream of its own, on the host: steps draw from fold_in(key, step).
        key = random.fold_in(to_numpy(self._built.key), 0xFFFFFFFF) if run.shuffle else None
        move = program.moved if program.at_once == 1 and not on_host(self._built.key) else None
        each = hooks.has("on_train_batch_begin", "on_train_batch_end")
        bar.advance(run.batch)
        read = functools.partial(self._read, run, found)
        heed = functools.partial(saver.steps_done, read)
        with data.epoch(key, run.batch, run.epoch - run.initial, run.first, move) as reader:
            while not (each and run.batch and self.stop_training):
                most = 1 if each else min(program.pace, saver.steps_left())
                batch = loop.read(reader, most, run.batch, f"epoch {run.epoch + 1}", saver, heed)
                if batch is None:
                    break
                if each:
                    hooks("on_train_batch_begin", run.batch, {})
                steps, carry = reader.steps, self._release(program, run)
                batches, done = run.batch - carry.done, run.done - carry.done
                try:
                    program.advance((), carry, batch, steps)
                finally:
                    run.batch, run.done = batches + carry.done, done + carry.done
                if each:
                    hooks("on_train_batch_end", run.batch - 1, Logs(read))
                if bar.advance(steps):
                    bar.show(read())
                saver.steps_done(read)
        logs = read()
        if run.skipped is not None:
            logs = {"loss": math.nan} | logs  # if all were
            logs["skipped_steps"] = (self._skipped() or 0) - run.skipped
        bar.show(logs)
        return logs

    def _release(self, program: Program, run: Run) -> loop.Carry:
        """Leave the train state to a step, which may take its memory: a copy of what somebody has seen."""
        if self._carry is not run.carry:  # another epoch, or somebody has put another state in place
            self._carry = run.carry = loop.Carry((self._carry.value[0], run.progress))
        if self._seen and program.takes:
            run.carry.own(program.backend.released)
        self._seen = False
        return run.carry

    def _train_program(self, data: Source, loss: Any, found: dict, target: Backend, where: Any) -> Program:
        options: Any = {"source": data, "backend": target, "where": where}
        if self.step is not None:
            return self._program(programs.custom_steps, self.step, fills=False, carries=True, **options)
        tables = self._trace.tables
        options["fills"] = self._fills(data, loss, found)
        if self._in_place(target):
            return self._program(programs.halves, self.net, self.optimizer, loss, found, tables, **options)
        parts = self.net, self.optimizer, loss, found, self._constraints, tables
        return self._program(programs.train_steps, *parts, carries=True, **options)

    def _in_place(self, backend: Backend) -> bool:
        """Whether a training step changes the arrays of the train state."""
        ts = self._built
        return (
            backend.large is not None
            and self._programs.compiles(backend) == backend.compiles
            and on_host(ts.key)
            and getattr(self.optimizer, "elementwise", None) is not None
            and not self._constraints
            and len({p.dtype for p in tree.leaves(ts.params)}) == 1  # from which optimizers take that of scalars
            and sum(math.prod(x.shape) for x in tree.leaves((ts.params, ts.opt_state))) >= backend.large
        )

    def _fills(self, data: Source, loss: Any, found: dict) -> bool:
        """Whether samples that do not count can stand in a batch and change nothing."""
        labels = data.first.y
        return (
            self._separates and per_sample(loss, labels, self._output) and all_per_sample(found, labels, self._output)
        )

    def _logged(self, make: Callable, step: Callable | None, data: Source, program: Program) -> dict[str, Any]:
        """The means of what the user's own `step` logs; none where only running it tells their names."""
        if step is None:
            return {}
        key = f"{make.__name__} {step!r}"
        if key not in self._logs:
            ts, batch = self._built, program.moved(rows(data.first, slice(None, data.batch_size)))
            backend, first = backend_of(ts.key), start({}, backend_of(ts.key))
            carry = backend.shapes(make(step), ts, (ts, first) if step is self.step else first, batch)
            if carry is None:
                return {}
            self._logs[key] = list(carry[1].metrics if step is self.step else carry.metrics)
        return {name: Mean() for name in loop.ordered(self._logs[key])}

    def _skipped(self) -> int | None:
        """How many steps the optimizer has passed over, as gradients overflowed; None if it never does."""
        if not hasattr(self.optimizer, "skipped"):
            return None
        return int(to_numpy(self.optimizer.skipped(self._built.opt_state)))

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
        *,
        backend: str | Backend | None = None,
    ) -> Any:
        """One step on one batch. Returns the loss and the metrics on it, as `evaluate` does; arguments as for `fit`."""
        batch = prepared(x, y, sample_weight)
        if class_weight is not None:
            batch = class_weights(batch, class_weight)
        data, loss, found = self._trainable(ArraySource(batch, sizes(batch)), backend)
        target, where = self._on(backend)[1:]
        run = Run(data, 1, History(), CallbackList(model=self))
        program = self._train_program(data, loss, found, target, where)
        found = found or self._logged(programs.custom_steps, self.step, data, program)
        run.progress = start(found, target, where)
        program.advance((), self._release(program, run), data.first)
        return _as_keras(self._read(run, found), return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
        *,
        backend: str | Backend | None = None,
    ) -> Any:
        """`evaluate` on all samples as one batch."""
        batch = prepared(x, y, sample_weight)
        data = ArraySource(batch, sizes(batch))
        return self.evaluate(data, verbose=0, return_dict=return_dict, backend=backend)

    def predict_on_batch(self, x: Any, *, backend: str | Backend | None = None) -> Any:
        """`predict` on all samples as one batch."""
        batch = prepared(x)
        return self.predict(ArraySource(batch, sizes(batch)), backend=backend)

    def _trainable(self, data: Source, backend: Any) -> tuple[Source, Any, dict[str, Any]]:
        """Check that the model can train on `data`, before anything changes; what `_checked` returns."""
        if self.step is None and self.optimizer is None:
            raise ArgumentError(
                "The model is not compiled.",
                fix='call model.compile(optimizer="adam", loss="sparse_categorical_crossentropy") first',
            )
        target = get(backend or self.backend or "numpy")
        if not target.trains:
            raise target.unsupported(
                "training", 'train elsewhere, such as backend="numpy", and move the model to serve'
            )
        self._build_for(data.first.x, backend)
        return (data, None, {}) if self.step is not None else self._checked(data)

    def _evaluable(self, data: Source) -> tuple[Source, Any, dict[str, Any]]:
        """What `_checked` returns, without the loss and metrics if the user has a step for that."""
        if self.eval_step is not None:
            return data, None, {}
        return self._checked(data)

    def _checked(self, data: Source) -> tuple[Source, Any, dict[str, Any]]:
        """Check labels against the network's output; the data in its order, and the loss and the metrics that fit both.

        Raises:
            LabelError: Labels lie outside the classes.
            ArgumentError: There is no such loss or metric, or not one for each output; the same of targets.
        """
        if self.loss is None and not self._adds_losses:
            raise ArgumentError(
                "There is no loss.",
                argument="loss",
                fix="call model.compile(loss=...) first"
                + (", or give Model an eval_step" if self.step is not None else ""),
            )
        output = self._output
        names = None if isinstance(output, dict) else self.net.output_names()
        data = data.map(functools.partial(by_output, output=output, names=names, loss=self.loss))
        y = data.first.y
        loss = joint_loss(self.loss, self.loss_weights, output, y, names)
        among = output if isinstance(loss, JointLoss) else output.shape[-1]
        data.check(lambda batch: loss.check_labels(batch.y, among))
        found = monitors(self.metrics, self.weighted_metrics, loss, output, y, names)
        self.metrics_names = ["loss", *found]
        return data, loss, found

    @functools.cached_property
    def _net_config(self) -> Any:
        """The network's description, which `load` will take."""
        config = to_config("layer", self.net)
        from_config("layer", json.loads(json.dumps(config)))
        return config

    @functools.cached_property
    def _trace(self) -> Any:
        """The network's call on shapes alone."""
        return self.net.trace(*self._inputs)

    @functools.cached_property
    def _separates(self) -> bool:
        """Whether the network's outputs for a sample depend on that sample alone."""
        return self.net.separates_samples()

    @functools.cached_property
    def _adds_losses(self) -> bool:
        """Whether the network has losses of its own."""
        ts = self._built
        params, state, key = tree.map(lambda a: Spec(a.shape, dtype_name(a.dtype)), (ts.params, ts.state, ts.key))
        return bool(self.net.apply(params, *self._inputs, state=state, key=key, train=True, aux=True)[2].losses)

    @property
    def _output(self) -> Any:
        """Shape and dtype of the network's output, or the tree of them."""
        return self._trace.outputs[-1][2]

    @functools.cached_property
    def _constraints(self) -> dict[str, Callable]:
        """The parameters' constraints, by path."""
        return self.net.constraints(*self._inputs)

    def _read(self, run: Run, metrics: Mapping[str, Any]) -> dict[str, float]:
        """The numbers of a training epoch so far; waits for the device.

        Raises:
            NonFiniteError, IndexingError: A step was refused.
        """
        progress: Progress = tree.map(to_numpy, run.progress)
        if progress.fault[0] >= 0:
            tables = self._trace.tables if self.step is None else None
            raise faults.stopped(progress, tree.paths(self._built.params), tables, self.net)
        return loop.numbers(progress, metrics)

    # -- using it ----------------------------------------------------------------------------------------------------

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        *,
        backend: str | Backend | None = None,
    ) -> Any:
        """The loss and the metrics on data; arguments as for `fit`.

        Returns:
            The loss if there are no metrics, else a list of the loss and each metric, in the order of `metrics_names`;
            a dict with `return_dict`.
        """
        steps = checks.count("steps", steps, none=True)
        data = source(x, y, sample_weight, batch_size=batch_size, steps=steps)
        self._build_for(data.first.x, backend)
        data, loss, found = self._evaluable(data)
        _, target, where = self._on(backend)
        hooks = self._hooks(callbacks, steps=data.steps, verbose=verbose, metrics=found)
        return _as_keras(self._evaluate(data, loss, found, target, where, verbose, hooks), return_dict)

    @_undone_if_it_fails
    def _evaluate(
        self, data, loss, found, target, where, verbose: int | str = 0, hooks: Any = None, saver: Any = None
    ) -> dict[str, float]:
        heed = None if saver is None else saver.waits()
        hooks("on_test_begin", {})
        ts = self._built
        fixed: Any = ts
        each = hooks.has("on_test_batch_begin", "on_test_batch_end")
        options: Any = {"source": data, "backend": target, "where": where, "still": not each}
        if self.eval_step is not None:
            program = self._program(programs.custom_evaluations, self.eval_step, fills=False, **options)
            found = self._logged(programs.custom_evaluations, self.eval_step, data, program)
        else:
            fills, tables, fixed = self._fills(data, loss, found), self._trace.tables, (ts.params, ts.state)
            program = self._program(programs.evaluations, self.net, loss, found, tables, fills=fills, **options)
        progress = start(found, target, where)
        if not each:
            program.plan(fixed, progress, data.first, data.steps)
        number = 0

        def read() -> dict[str, float]:
            now: Progress = tree.map(to_numpy, progress)
            if now.fault[0] >= 0:
                raise faults.outside(self._trace.tables, int(now.fault[1]) - 1, int(now.fault[2]), self.net)
            return loop.numbers(now, found)

        move = program.moved if program.at_once == 1 and not on_host(ts.key) else None
        with Bar(data.steps, "Evaluate", verbose) as bar, data.epoch(move=move) as reader:
            while True:
                if (batch := loop.read(reader, program.pace, number, "the evaluation", saver, heed)) is None:
                    break
                if each:
                    hooks("on_test_batch_begin", number, {})
                with target.inferring():
                    progress = program(fixed, progress, batch, reader.steps)
                number += reader.steps
                if each:
                    hooks("on_test_batch_end", number - 1, Logs(read))
                if bar.advance(reader.steps):
                    bar.show(read())
                if heed is not None:
                    heed()
            logs = read()
            bar.show(logs)
        self.metrics_names = list(logs)
        hooks("on_test_end", logs)
        return logs

    @_undone_if_it_fails
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        callbacks: Any = None,
        *,
        backend: str | Backend | None = None,
    ) -> Any:
        """The network's outputs for `x`, as NumPy arrays (samples, ...). Of batches, the inputs are read only."""
        data = source(x, batch_size=batch_size, steps=checks.count("steps", steps, none=True))
        self._build_for(data.first.x, backend)
        ts, target, where = self._on(backend)
        tables = self._trace.tables
        hooks = self._hooks(callbacks, steps=data.steps, verbose=verbose)
        each = hooks.has("on_predict_batch_begin", "on_predict_batch_end")
        # Constants here only: training changes the parameters at each step.
        program = self._program(
            programs.predictions, self.net, tables, source=data, backend=target, where=where,
            fills=self._separates, still=not each, constant_argnums=(0,),
        )  # fmt: skip
        hooks("on_predict_begin", {})
        ts, number = self._built, 0
        fixed = (ts.params, ts.state)
        if not each and (program.fills or program.loops or data.full):
            program.plan(fixed, None, Batch(data.first.x), data.steps)
        outputs = loop.Outputs(functools.partial(self._looked_up, tables) if tables else None)
        with Bar(data.steps, "Predict", verbose) as bar, data.epoch() as reader:
            while (batch := loop.read(reader, program.pace, number, "the prediction")) is not None:
                if each:
                    hooks("on_predict_batch_begin", number, {})
                with target.inferring():
                    out = program(fixed, None, Batch(batch.x), reader.steps)
                number += reader.steps
                if each:
                    hooks("on_predict_batch_end", number - 1, {"outputs": out})
                outputs.add(out, batch, program, reader.steps)
                if bar.advance(reader.steps):
                    bar.show({})
            made = outputs.all()
            bar.show({})
        hooks("on_predict_end", {})
        return made

    def _looked_up(self, tables: Mapping[str, int], indices: Mapping[str, Any]) -> None:
        """Raise IndexingError if an index of a prediction lies outside its table."""
        for i, (path, size) in enumerate(tables.items()):
            values = to_numpy(indices.get(path, 0))
            if (wrong := values[(values < 0) | (values >= size)]).size:
                raise faults.outside(tables, i, int(wrong[0]), self.net)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print a table of the layers: path and class, output shape, number of parameters."""
        self._built  # noqa: B018
        for line in lines_of(self.net.trace(*self._inputs)):
            print_fn(line)

    # -- files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write everything to one `.safetensors` file: config, parameters, state, optimizer state, key and step.

        An optimizer, loss or metric that is no object of kfunc is not stored; give it to `compile` after loading, and
        steps of your own to `load`.

        Raises:
            ArgumentError: A layer is not registered, or the network is larger than `load` takes.
            FileError: It could not be written; what was at `path` is as it was.
        """
        ts = self._built
        arrays = saved.named(ts._asdict())
        texts = {saved.MODEL: json.dumps(saved.config_of(self))}
        files.write(path, {name: to_numpy(x) for name, x in arrays.items()}, texts)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        backend: str | Backend = "numpy",
        *,
        step: Callable | None = None,
        eval_step: Callable | None = None,
    ) -> Model:
        """The model in a file that `save` wrote, on `backend`, with its optimizer's state, ready to go on training.

        Steps of one's own are code, which no file holds: give them again.

        The file may come from anywhere: it can name kfunc's classes and those that you have registered, and nothing
        else. What it describes is run on shapes, within the bounds of `registry.from_config`, and held against the
        file's header before an array is read.

        Raises:
            FileError: The file is truncated or corrupt, holds no model, or one of more objects than a config may.
            BackendNotInstalledError, UnknownBackendError: There is no such backend here.
        """
        target, found = get(backend), []
        arrays, _ = files.read(path, lambda forms, texts: found.append(saved.model_of(cls, forms, texts)))
        model, call = found[0]
        model.step, model.eval_step = step or model.step, eval_step
        _, model._stored_opt_state = saved.split(arrays)
        ts = TrainState(*saved.trees(call, arrays), None, arrays["key"], arrays["step"])
        model.train_state = to_backend(model._with_opt_state(ts), target)
        return model

    def save_weights(self, path: str | os.PathLike) -> None:
        """Write the parameters and the state alone to a `.safetensors` file, for `load_weights` of such a network.

        Raises:
            FileError: It could not be written; what was at `path` is as it was.
        """
        ts = self._built
        arrays = saved.named({"params": ts.params, "state": ts.state})
        files.write(path, {name: to_numpy(x) for name, x in arrays.items()})

    def load_weights(self, path: str | os.PathLike) -> None:
        """Replace parameters and state by those in a file that `save_weights` or `save` wrote; all else stays.

        Raises:
            FileError: The file is truncated or corrupt, or its arrays are not those of this network. The model is then
                as it was.
        """
        ts, found = self._built, []

        def check(forms: Mapping[str, files.Form], texts: Mapping[str, str]) -> None:
            found.append(self.net.trace(*self._inputs))
            own, expected = saved.split(forms)[0], saved.expected(found[0])
            if not own.keys() & {"key", "step"}:  # from save_weights
                expected = {name: form for name, form in expected.items() if name not in ("key", "step")}
            saved.check(expected, own)

        arrays, _ = files.read(path, check)
        params, state = to_backend(saved.trees(found[0], arrays), backend_of(ts.key))
        self.train_state = ts._replace(params=params, state=state)


def _in_float16(layer: Layer) -> bool:
    """Whether a policy somewhere in the network computes in float16 with parameters of more."""
    policies = getattr(layer.dtype, "policy_map", {"": layer.dtype}).values()
    return any(p is not None and p.name == "mixed_float16" for p in policies) or any(
        _in_float16(child) for _, child in layer.children()
    )


def _as_keras(logs: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
