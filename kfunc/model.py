"""`Model`: a network and its `TrainState`, with Keras's `fit`, `evaluate` and `predict`. The only stateful thing."""

from __future__ import annotations

import contextlib
import copy
import difflib
import math
import os
import types
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from . import checks, losses, optim, random, tree
from .arrays import asarray, backend_of, device, kind_of, to_backend, to_numpy
from .backends import Backend, get
from .data.batches import Batch, class_weights, prepared
from .data.prefetch import on_host
from .data.sources import Source, one_batch, source
from .errors import ArgumentError, UnknownAttributeError
from .nn.freezing import freeze, unfreeze
from .nn.layer import Layer
from .registry import resolve, to_config
from .training import drawing, model_file
from .training.carry import TrainCarry
from .training.checkpoints import Checkpoints
from .training.custom_objective import OwnObjective, with_objective
from .training.evaluate import evaluate, hooks_of
from .training.faults import check_arrays
from .training.fit import Schedule, fit, one_step, sources
from .training.forms import Forms
from .training.freezing import rearranged
from .training.functions import Functions
from .training.graph_face import GraphFace, inherited, network, of_shapes, taken
from .training.history import History
from .training.host_part import check_strings, from_host, hosted, split
from .training.objective import Objective, fitted
from .training.predict import predict, predict_batch
from .training.setup import Setup, placed
from .training.state import TrainState, begun
from .training.step import forward
from .training.summary import lines_of
from .training.traced import Traced
from .typing import Tree

__all__ = ["Model"]


class Model(GraphFace):
    """A network with parameters, and the loops that everybody needs.

    The backend is that of the arrays in `train_state`; `backend=` on a call moves them first. Data may be arrays of
    any backend, and NumPy's above all. It calls nothing that you could not call yourself: see `kfunc.training`.

    Args:
        net: A layer.
        inputs, outputs, name: Nodes in place of `net`, as for `nn.Graph`, which is made of them. Layers that another
            model has already bring their weights along: at the moment when this model makes its first parameters
            (`build`, or the first data), those of the model that changed them last are copied. From then on each model
            has its own; `build` takes the newest ones again. The same holds for a `Model` that is a part of another:
            `base(x)`, or `nn.Sequential([base, ...])`.
        seed: For the first parameters, the order of samples and the random draws of training.
        objective: A loss of your own, if it needs more than `(y_true, y_pred)`, as that of a variational autoencoder
            or a distillation: a pure `(params, state, batch, key, train) -> (loss, (state, logs))`. It runs the
            network itself, `net.apply(params, batch.x, state=state, key=key, train=train)`, and returns the scalar that
            training minimises, the network's next state, and a dict of scalars, whose means over the samples are shown.
            Everything else is as always: optimizer, loss scale, constraints, evaluation (with `train=False`),
            callbacks, checkpoints. If the dict also has an entry "y_pred", the outputs, the metrics of `compile` are
            measured on it. `batch` has `x`, `y` and `sample_weight`. Sample and class weights, and losses that the
            network adds, such as those of regularizers, count if the function uses them: `net.apply(..., aux=True)`
            returns the losses as `aux.losses`. Indices outside a table are found by the backend alone.
        step: A training step of your own, if more than the loss differs: a pure
            `(train_state, batch) -> (train_state, logs)`, where `batch` has `x`, `y` and `sample_weight`, and `logs` is
            a dict of scalars, whose means over the samples `fit` shows. It is compiled as kfunc's own is, and refused
            where a log or a parameter is not finite. `params`, `state` and `opt_state` keep their structure, shapes and
            dtypes; `train_state.step` is counted for it, and `random.fold_in(ts.key, ts.step)` is a key for it. Indices
            outside a table are found by the backend alone.
        eval_step: `(train_state, batch) -> logs`, the same for `evaluate`.
            Without it, the loss and the metrics given to `compile` evaluate.
        params, state: Parameters and state with which to begin, as `net.init` or `kf.models.load` returned them, of any
            backend. Nothing is drawn. They are held against the network at once if it says its inputs, by `nn.Input`,
            or else when the first data come: a `ParamError` names all that lack, that are too many or of other shapes.

    Attributes:
        net, seed, step, eval_step, objective: As given.
        optimizer, loss, loss_weights, metrics, weighted_metrics: As `compile` was given them, and made objects of.
        train_state: `TrainState`, or None before the first data.
        stop_training: Set to True, by a callback above all, it ends `fit` after the epoch.
        history: What the last `fit` has seen, also if it failed: what it returns, or the `kf.callbacks.History` that it
            was given. None before.
        metrics_names: The names of the numbers that `evaluate` returns, in their order; of steps of your own, those of
            their logs after the first evaluation. Empty before the first data.

    Setting any other attribute raises an `AttributeError`: it would change nothing.
    """

    stop_training: bool = False
    history: Any = None

    @overload
    def __init__(
        self,
        net: Layer,
        seed: int = 0,
        *,
        step: Callable[..., Any] | None = None,
        eval_step: Callable[..., Any] | None = None,
        objective: Callable[..., Any] | None = None,
        params: Tree = None,
        state: Tree = None,
    ): ...

    @overload
    def __init__(
        self,
        inputs: Tree,
        outputs: Tree,
        name: str | None = None,
        *,
        seed: int = 0,
        step: Callable[..., Any] | None = None,
        eval_step: Callable[..., Any] | None = None,
        objective: Callable[..., Any] | None = None,
        params: Tree = None,
        state: Tree = None,
    ): ...

    def __init__(  # type: ignore[misc]
        self,
        net: Any = None,
        outputs: Any = None,
        name: str | None = None,
        *,
        inputs: Any = None,
        seed: int = 0,
        step: Callable[..., Any] | None = None,
        eval_step: Callable[..., Any] | None = None,
        objective: Callable[..., Any] | None = None,
        params: Tree = None,
        state: Tree = None,
    ):
        self._net, self._seed, of_nodes = network(net, outputs, name, inputs, seed)
        self.step: Callable[..., Any] | None = step
        self.eval_step: Callable[..., Any] | None = eval_step
        self.objective: Callable[..., Any] | None = objective
        if step is not None and objective is not None:
            raise ArgumentError(
                "`step` and `objective` are both given, and a step has an objective of its own.",
                argument="objective",
                expected="one of the two",
                got=repr(objective),
            )
        self.metrics_names: list[str] = []
        self._compiled: dict[str, Any] = _NOT_COMPILED
        self._functions = Functions()
        self._traced: Traced | None = None
        self._carry = TrainCarry()
        self._stored_opt_state: dict[str, Any] | None = None
        self._share(of_nodes)
        if params is not None or state is not None:
            self._begin_with({} if params is None else params, {} if state is None else state)

    def _begin_with(self, params: Tree, state: Tree) -> None:
        """Take parameters and state in place of drawing some."""
        for argument, given in (("params", params), ("state", state)):
            if not isinstance(given, dict) or any(kind_of(type(x)) is None for x in tree.leaves(given)):
                raise ArgumentError.must_be(argument, "a dict of arrays, or of such dicts", given)
        target = backend_of(params, state)
        on = next((device(target.lift(x)) for x in tree.leaves((params, state))), None)
        ts = to_backend(begun(params, state, self.seed), target, on)
        if (specs := self.net.input_specs()) is not None:
            self._traced = Traced(self.net, specs)
            model_file.check_given(self._traced, ts.params, ts.state)
        self.train_state = ts

    @property
    def seed(self) -> int:
        """As given."""
        return self._seed

    @property
    def optimizer(self) -> Any:
        """That of `compile`; None before."""
        return self._compiled["optimizer"]

    @property
    def loss(self) -> Any:
        """That of `compile`; None before."""
        return self._compiled["loss"]

    @property
    def loss_weights(self) -> Any:
        """Those of `compile`."""
        return self._compiled["loss_weights"]

    @property
    def metrics(self) -> Any:
        """Those of `compile`."""
        return self._compiled["metrics"]

    @property
    def weighted_metrics(self) -> Any:
        """Those of `compile`."""
        return self._compiled["weighted_metrics"]

    if not TYPE_CHECKING:  # type checkers would allow every attribute where there is a `__setattr__`

        def __setattr__(self, name: str, value: Any) -> None:
            if name in _ATTRIBUTES or type(self) is not Model:
                super().__setattr__(name, value)
                return
            known = sorted(n for n in _ATTRIBUTES if not n.startswith("_"))
            close = difflib.get_close_matches(name, known, n=1)
            raise UnknownAttributeError(
                f"`{name}` of a Model cannot be set.",
                argument=name,
                expected=", ".join(known),
                got=_brief(value),
                fix=_INSTEAD.get(name) or (f"did you mean {close[0]!r}?" if close else None),
            )

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

        Called again, also after `load`, it keeps the optimizer's state if the optimizer is the same: the same object,
        or one of the same class with the same arguments. Another optimizer starts afresh, with a warning if there
        were steps before. To start afresh with the same one, set `train_state` to
        `ts._replace(opt_state=model.optimizer.init(ts.params))`, where `ts` is `model.train_state`.

        Args:
            optimizer: A name, one of `kf.optim`'s, or any `(init, update)` in optax's protocol; or a dict of them by
                the parts of the parameters, `{"generator": ..., "discriminator": ...}`: `opt_state` is a dict, then.
            loss: A name, one of `kf.losses`, or a function `(y_true, y_pred) -> values`, one or more a sample; for a
                network with several outputs a list of these, a dict by output, or one for all of them. None if the
                network's own losses (`Scope.add_loss`, regularizers) are all that there is.
            loss_weights: For several outputs, by how much each loss counts: a list or a dict of numbers.
            metrics: Names and objects of `kf.metrics`: a list; for several outputs a list of lists, or a dict of lists.
                The second of two with one name is numbered, "auc" and "auc_1".
            weighted_metrics: The same, for metrics that take sample weights into account; `metrics` ignore weights.
            run_eagerly: Whether each step runs the Python of the layers. By default that is compiled, or recorded on a
                backend that does not compile: it runs once, and then only its array operations run. Use it with a
                debugger, for a `print` in each step, and for functions that are not pure.
            steps_per_execution: How many steps one call of the compiled program takes at most; "auto" takes as many as
                pay. It changes at most the last bit of a number (on JAX and TensorFlow, whose compilers see another
                program), and callbacks' hooks of batches are called for each.
            jit_compile: Whether to compile the step; "auto" does so where the backend gains from it.
            auto_scale_loss: Whether to scale the loss (`optim.LossScaleOptimizer`) if a part of the network computes in
                float16, whose gradients would vanish otherwise.

        Raises:
            ArgumentError: A name is unknown, something is no optimizer, or no number of steps; or `fit` is under way.
        """
        if steps_per_execution != "auto":
            checks.positive("steps_per_execution", steps_per_execution)
        optimizer = resolve("optimizer", optimizer)
        if isinstance(optimizer, dict):
            optimizer = optim.by_part(optimizer)
        if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
            raise ArgumentError(
                f"`optimizer` must have the methods init and update, got {_brief(optimizer)}.",
                argument="optimizer",
                expected='a name such as "adam", or an object with init and update',
                got=repr(optimizer),
            )
        if auto_scale_loss and self.step is None and _in_float16(self.net) and not hasattr(optimizer, "loss_scale"):
            optimizer = optim.LossScaleOptimizer(optimizer)
        if self.objective is not None and (loss is not None or loss_weights is not None):
            raise ArgumentError(
                "`loss` would never be used: the model has an objective of its own.",
                argument="loss",
                expected="None",
                got=_brief(loss if loss is not None else loss_weights),
                fix="compute it in the objective",
            )
        # These names need the shapes of the data, and a tree of losses needs those of the outputs: not known yet.
        wait = isinstance(loss, list | tuple | dict) and "class" not in loss
        loss = loss if loss is None or wait or loss in ("crossentropy", "ce") else losses.get(loss)
        metrics, weighted_metrics = (
            () if m is None else (m,) if isinstance(m, str) or not isinstance(m, Sequence | dict) else m
            for m in (metrics, weighted_metrics)
        )
        functions = Functions(checks.boolean("run_eagerly", run_eagerly), steps_per_execution, jit_compile)
        with self._carry.lock:
            self._check_no_fit("a fit goes on with the optimizer that it began with", "compile")
            before, self._functions, self.metrics_names = self.optimizer, functions, []
            self._compiled = {
                "optimizer": optimizer,
                "loss": loss,
                "loss_weights": tree.map(checks.as_python, loss_weights),
                "metrics": metrics,
                "weighted_metrics": weighted_metrics,
            }
            ts = self._carry.train_state
            if ts is not None and (ts.opt_state is None or not _same(optimizer, before)):
                self._carry.assign(self._with_opt_state(ts))

    @property
    def run_eagerly(self) -> bool:
        """As `compile` was given it, or as it was set since."""
        return self._functions.run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, value: bool) -> None:
        self._functions = self._functions.replace("run_eagerly", checks.boolean("run_eagerly", value))

    @property
    def jit_compile(self) -> bool | str:
        """As `compile` was given it, or as it was set since."""
        return self._functions.jit_compile

    @jit_compile.setter
    def jit_compile(self, value: bool | str) -> None:
        self._functions = self._functions.replace("jit_compile", value)

    @property
    def steps_per_execution(self) -> int | str:
        """As `compile` was given it, or as it was set since."""
        return self._functions.steps_per_execution

    @steps_per_execution.setter
    def steps_per_execution(self, value: int | str) -> None:
        value = value if value == "auto" else checks.positive("steps_per_execution", value)
        self._functions = self._functions.replace("steps_per_execution", value)

    @property
    def train_state(self) -> TrainState | None:
        """The `TrainState`; None before the first data. It stays as it is, whatever is trained afterwards.

        Setting it while another thread trains the model raises an `ArgumentError`.
        """
        return self._carry.show()

    @train_state.setter
    def train_state(self, ts: TrainState | None) -> None:
        self._carry.assign(ts)
        if ts is not None:
            self._trains()

    def build(self, *inputs: Any, backend: str | Backend | None = None) -> Model:
        """Make the first parameters for inputs like these, samples or `Spec`s with a batch axis; return the model.

        A model that has parameters already keeps them if they are those of its network for such inputs; `reset` draws
        others. Layers that another model has may bring their weights along; see `Model`.

        Shapes, as Keras's `build(input_shape)` takes them, are those of float32 arrays: `build((None, 16))`, or a list
        or dict of shapes. Without inputs, those of `nn.Input` count.

        A size of the batch that a `Spec` names is kept: stateful layers need one.
        """
        with self._carry.lock:
            self._carry.check_mine()
            self._build(of_shapes(inputs), backend)
        return self

    def _build(self, inputs: tuple[Any, ...], backend: str | Backend | None) -> None:
        traced, old = Traced(self.net, inputs or self.net.input_specs() or ()), self._carry.train_state
        known = inherited(self, traced.call)
        keeps = old is not None and model_file.fit(traced, old.params, old.state)  # `reset` draws anew
        if keeps:
            target = backend_of(old.key)
            ts = old if backend is None else to_backend(old, target := get(backend))
        else:
            target = get(backend if backend is not None else backend_of(*known.values()) if known else "numpy")
            ts = self._first(traced, target, self.seed)
        if known:
            params, state = taken(known, ts.params, ts.state, target)
            ts = ts._replace(params=params, state=state)
        own = target.donates and getattr(self.optimizer, "elementwise", None) is not None
        if own:  # an initializer may have returned an array of the user's; the optimizer's state is always new
            ts = tree.map(target.released, ts)
        self._carry.begin_with(ts if keeps else self._with_opt_state(ts), seen=not own)
        self._traced = traced
        self._begins()

    def _first(self, traced: Traced, target: Backend, seed: int) -> TrainState:
        """The train state before the first step, without an optimizer's state."""
        params, state = traced.net.init(seed, *traced.inputs, backend=target)
        return begun(params, state, seed, target)

    def reset(self, seed: int | None = None) -> Model:
        """Start again: draw all weights anew, and forget the steps and the optimizer's state. Returns the model.

        Weights that came from a file or from another model are drawn, too. What is frozen stays frozen, and the model
        stays compiled, on its backend.

        Args:
            seed: Replaces the model's seed. Without it, the weights are those of the beginning.

        Raises:
            ArgumentError: `fit` is under way.
        """
        with self._carry.lock:
            self._check_no_fit("a fit goes on with the weights that it has", "reset the model")
            seed = self._seed if seed is None else checks.integer("seed", seed)
            built = self._carry.train_state is not None
            if built:  # first, since it may fail
                traced, key = self._known(), self._built().key
                target = backend_of(key)
                ts = self._first(traced, target, seed)
            self._seed, self._stored_opt_state, self.history = seed, None, None
            if built:
                ts = self._with_opt_state(ts)
                self.train_state = to_backend(ts, target, device(target.lift(key)))
        return self

    def clone(self, seed: int | None = None) -> Model:
        """A model with a copy of the network and with new weights, not compiled: `keras.models.clone_model`.

        It is built if this one is. `copy.copy(model)` has the same weights, and stays compiled.

        Args:
            seed: That of the new model. By default it is the same, so that the weights are those with which this model
                began: give each of several clones a seed of its own.
        """
        with self._carry.lock:
            parts, inputs, backend = self._parts(), None if self._traced is None else self._traced.given, self.backend
        new = dict.fromkeys(("_carry", "_traced", "_stored_opt_state", "history"))
        seed = self.seed if seed is None else checks.integer("seed", seed)
        new |= {"_net": copy.deepcopy(parts["_net"]), "_seed": seed, "metrics_names": []}
        new |= {"_compiled": _NOT_COMPILED, "_functions": ()}
        other = type(self).__new__(type(self))
        other.__setstate__({**parts, **new})
        return other if inputs is None else other.build(*inputs, backend=backend)

    def _with_opt_state(self, ts: TrainState) -> TrainState:
        """The train state with the optimizer's first state, or with that of the file if it is of this optimizer."""
        if self.optimizer is None:
            return ts
        opt_state = self.optimizer.init(ts.params)
        stored, self._stored_opt_state = self._stored_opt_state, None
        names = model_file.named({"opt_state": opt_state})
        if stored and {n: x.shape for n, x in stored.items()} == {n: tuple(x.shape) for n, x in names.items()}:
            leaves = to_backend([stored[n] for n in names], backend_of(ts.params))
            opt_state = tree.unflatten(tree.structure(opt_state), leaves)
        elif (stored or tree.leaves(ts.opt_state)) and int(to_numpy(ts.step)):
            warnings.warn(
                f"The state of the optimizer after {int(to_numpy(ts.step))} steps is gone, since "
                f"{_brief(self.optimizer)} is another optimizer: it starts afresh. To keep it, give `compile` an "
                "optimizer of the same class with the same arguments.",
                stacklevel=3,
            )
        return ts._replace(opt_state=opt_state)

    @property
    def backend(self) -> str | None:
        """Name of the backend that the parameters are on; None before there are any."""
        ts = self._carry.train_state
        return None if ts is None else backend_of(ts.key).name

    def to(self, backend: str | Backend, device: Any = None) -> Model:
        """Move the whole `train_state` to `backend`, and to `device` in its words; return the model.

        Raises:
            ArgumentError: The model has no parameters yet, or `fit` is under way.
        """
        with self._carry.lock:
            ts = self._built()
            if device is not None or backend_of(ts.key) is not get(backend):
                self._check_no_fit("a fit goes on with the backend that it began with", "move it")
                self._carry.assign(to_backend(ts, backend, device))
        return self

    def _check_no_fit(self, goes_on: str, what: str) -> None:
        if self._carry.fits:
            raise ArgumentError(
                f"The model is being trained: {goes_on}.",
                fix=f"set model.stop_training = True, and {what} after fit; or {what} in a copy: copy.copy(model)",
            )

    def _built(self) -> TrainState:
        """The train state, for the model's own use.

        Raises:
            ArgumentError: There is none yet.
        """
        ts = self._carry.train_state
        if ts is None:
            raise ArgumentError(
                "The model has no parameters yet.",
                fix="call fit first, or model.build(kf.Spec((None, ...))) with the shape of the input",
            )
        return ts

    def _known(self) -> Traced:
        """All that is known of the network.

        Raises:
            ArgumentError: The model has never been built.
        """
        self._built()
        if self._traced is None:
            raise ArgumentError(
                "The shapes of the inputs are not known: the model was given its train state, and never built.",
                fix="call model.build(kf.Spec((None, ...))) first, and set train_state after it",
            )
        return self._traced

    def _make_ready(self, x: Any, backend: str | Backend | None, trace: bool = True) -> None:
        """Make the first parameters for inputs like `x`, if there are none; and trace the network, if it was not."""
        inputs = x if isinstance(x, list | tuple) else (x,)
        check_strings(self.net, x)
        with self._carry.lock:  # the first thread builds, and others wait
            if self._carry.train_state is None:
                self._build(tuple(inputs), backend)
            elif self._traced is None and trace:
                traced, ts = Traced(self.net, inputs), self._built()
                model_file.check_given(traced, ts.params, ts.state)
                self._traced = traced

    def _setup(self, backend: str | Backend | None, objective: Objective, trains: bool = False) -> Setup:
        """The `Setup` of a loop; it moves the train state to `backend`.

        While the model is trained, its state stays where it is, and other loops work with a copy: see `setup.placed`.
        """
        self._check_newest()
        with self._carry.lock:
            ts = self._built()
            if backend is not None and backend_of(ts.key) is not get(backend):
                only = self._carry.fits == 1 if trains else not self._carry.owned  # no other call needs it where it is
                if only:
                    self._carry.begin_with(to_backend(ts, backend))
                elif trains:
                    self._check_no_fit("a fit goes on with the backend that it began with", "move it")
            with self._carry.lent() as ts:
                key = ts.key if backend is None else to_backend(ts.key, backend)
                target = backend_of(key)
                return Setup(
                    self.net if self._traced is None else self._traced.net,
                    self.optimizer, self.step, self.eval_step, self._traced, self._functions,
                    target, device(target.lift(key)), on_host(key), objective, self._carry.arranged,
                )  # fmt: skip

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
        resume: str | os.PathLike[str] | Checkpoints | None = None,
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
            steps_per_epoch: Number of batches in an epoch; by default all that there are. The next epoch goes on with
                the batch after the last. Without `batch_size`, arrays are divided into so many batches.
            validation_steps, validation_batch_size: The same for the validation.
            validation_freq: After how many epochs to validate, or the numbers of these epochs, from 1.
            backend: Where to train; by default where the parameters are, at first NumPy.
            resume: A directory, or `Checkpoints` of it. Training goes on from the newest good state in it, if there is
                one, with the same bits as if it had never ended. It saves its states there: at the end of each epoch,
                after every `Checkpoints.every` steps, and before SIGTERM ends the process. Give all other arguments,
                and `compile` its own, as before, and iterators from their beginning; `epochs` may be more. Functions
                are told apart by their names. Data whose iterator has `get_state` and `set_state`, or which have
                `state_dict` and `load_state_dict`, get their state back. Any other iterable is read again from the
                beginning, without training, but for lists, and loaders that are told the epoch by a `set_epoch`.

        Returns:
            What it saw. Beside the loss and the metrics there is "skipped_steps" where the optimizer scales the loss:
            how many steps of the epoch changed nothing, as their gradients overflowed.

        Raises:
            NonFiniteError: A loss or gradient was not finite; `train_state` is that before the step.
            IndexingError: An index lies outside the table of an `Embedding`; the same holds.
            LabelError: Labels lie outside the classes.
            DataError: The data ran out.
            FileError: No checkpoint in `resume` verifies, or it is of another network, optimizer, loss or metric; or
                one could not be written. A `ResumeWarning` tells where data are not the same, and what callbacks have
                lost.
            ShapeError, ArgumentError, BackendError: With what does not fit.
        """
        if isinstance(validation_freq, str) or not isinstance(validation_freq, Container):
            validation_freq = checks.count("validation_freq", validation_freq)
        schedule = Schedule(
            checks.count("epochs", epochs, 0),
            checks.count("initial_epoch", initial_epoch, 0),
            checks.boolean("shuffle", shuffle),
            validation_freq,
        )
        with self._carry.training():  # before any data are read: a fit that is refused takes no batch of a generator
            data, held_out = sources(
                x, y, sample_weight, batch_size, steps_per_epoch, class_weight,
                validation_split, validation_data, validation_batch_size, validation_steps,
            )  # fmt: skip
            data, setup = self._trainable(data, backend)
            validation = None
            if held_out is not None:
                held_out, judging = self._evaluable(from_host(self._traced, self._ranked(held_out)))
                judging = self._with_objective(setup._replace(objective=judging), held_out, train=False).objective
                validation = held_out, judging
            stops = self.stop_training
            try:
                return fit(self, setup, self._carry, data, validation, schedule, callbacks, verbose, resume)
            finally:
                if self._carry.fits > 1:  # a callback has called it, and not this call is what it may stop
                    self.stop_training = stops

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
        batch = prepared(x, y, sample_weight, strings=True)
        if class_weight is not None:
            batch = class_weights(batch, class_weight)
        with self._carry.training():
            data, setup = self._trainable(one_batch(batch), backend)
            return _as_keras(one_step(setup, self._carry, data), return_dict)

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
        batch = prepared(x, y, sample_weight, strings=True)
        return self.evaluate(one_batch(batch), verbose=0, return_dict=return_dict, backend=backend)

    def predict_on_batch(self, x: Any, *, backend: str | Backend | None = None) -> Any:
        """`predict` on all samples as one batch."""
        batch = prepared(x, strings=True)
        change = self._ranks(batch.x)
        batch = batch if change is None else batch._replace(x=change(batch.x))
        self._make_ready(batch.x, backend)
        batch = hosted(self._known(), batch)
        return predict_batch(self._setup(backend, Objective()), self._carry, batch)

    def _trainable(self, data: Source, backend: Any) -> tuple[Source, Setup]:
        """Check that the model can train on `data`, before anything changes.

        Returns:
            The data with targets in the order of the outputs, and what the loop works with.
        """
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
        data = self._ranked(data) if self.step is None else data
        self._make_ready(data.first.x, backend, trace=self.step is None)
        data = from_host(self._traced, data)
        self._check_newest()
        self._trains()
        own = self.step is not None or self.objective is not None
        data, objective = (data, Objective()) if own else self._fitted(data)
        setup = self._setup(backend, objective, trains=True)
        return data, self._with_objective(setup, data, train=True)

    def _evaluable(self, data: Source) -> tuple[Source, Objective]:
        """The data with targets in the order of the outputs, and the loss and the metrics to evaluate by.

        Without these for a function of the user's own: see `_with_objective`.
        """
        own = self.eval_step is not None or self.objective is not None
        return (data, Objective()) if own else self._fitted(data)

    def _with_objective(self, setup: Setup, data: Source, train: bool) -> Setup:
        """`setup` with the objective of the user's own, if there is one; it may be run on the first batch."""
        if self.objective is None or (self.step if train else self.eval_step) is not None:
            return setup
        own, given = OwnObjective(self.objective), (self.metrics, self.weighted_metrics)
        with self._carry.lent() as ts:
            setup = with_objective(setup, own, data, placed(setup, ts, self._carry), *given, train)
        self.metrics_names = ["loss", *setup.objective.metrics]
        return setup

    def _fitted(self, data: Source) -> tuple[Source, Objective]:
        """The data, and the loss and the metrics, as they fit the network's outputs; see `objective.fitted`."""
        traced = self._known()
        if self.loss is None and not traced.adds_losses:
            raise ArgumentError(
                "`loss` is missing: the model was compiled without one, and the network adds none.",
                argument="loss",
                fix="call model.compile(loss=...) first"
                + (", or give Model an eval_step" if self.step is not None else ""),
            )
        data, objective = fitted(
            data, self.loss, self.loss_weights, self.metrics, self.weighted_metrics, traced.output, traced.output_names
        )
        data.check(Forms(traced, data.first, objective))
        self.metrics_names = ["loss", *objective.metrics]
        return data, objective

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

        Raises:
            NonFiniteError: A number is NaN, and so is a parameter or a part of the network's state.
        """
        data = source(x, y, sample_weight, batch_size=batch_size, steps=checks.count("steps", steps, none=True))
        data = self._ranked(data) if self.eval_step is None else data
        self._make_ready(data.first.x, backend, trace=self.eval_step is None)
        data, objective = self._evaluable(from_host(self._traced, data))
        setup = self._with_objective(self._setup(backend, objective), data, train=False)
        hooks = hooks_of(callbacks, self, steps=data.steps, verbose=verbose, metrics=setup.objective.metrics)
        return _as_keras(evaluate(self, setup, self._carry, data, hooks, verbose), return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        callbacks: Any = None,
        *,
        backend: str | Backend | None = None,
        key: Any = None,
    ) -> Any:
        """The network's outputs for `x`.

        Args:
            x: Inputs, as for `fit`. Of batches, the inputs are read only.
            batch_size, steps, callbacks, backend: As for `fit`.
            verbose: As for `fit`; silent by default.
            key: A key or a seed, for networks that draw random numbers outside training, as a variational autoencoder
                does; by default they draw from a key of the model's own, the same in each call. The draws for a batch
                follow from the key and from how many samples came before the batch.

        Returns:
            NumPy arrays (samples, ...), in the tree that the network returns.

        Raises:
            NonFiniteError: An output is NaN, and so is a parameter or a part of the network's state.
        """
        data = self._ranked(source(x, batch_size=batch_size, steps=checks.count("steps", steps, none=True)))
        self._make_ready(data.first.x, backend)
        data = from_host(self._known(), data).map(lambda batch: Batch(batch.x))
        data.check(Forms(self._known(), data.first))
        setup = self._setup(backend, Objective())
        hooks = hooks_of(callbacks, self, steps=data.steps, verbose=verbose)
        return predict(setup, self._carry, data, hooks, verbose, key)

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Print a table of the layers: path and class, output shape, number of parameters, and what each takes.

        A network whose inputs are known (`nn.Input`) needs no parameters for it.

        Args:
            line_length: The length of the lines; as long as they must be by default.
            positions: Where the columns end, as parts of `line_length` or numbers of characters.
            print_fn: Gets each line in place of `print`. It may also be the first argument.
            expand_nested: Whether to show the layers in layers, too.
            show_trainable: Whether to show which layers train.
            layer_range: The names of the first and of the last layer to show, or regular expressions for them.
        """
        if callable(line_length):
            line_length, print_fn = None, line_length
        checks.positive("line_length", line_length, none=True)
        call = self._shapes().whole_call
        for line in lines_of(call, line_length, positions, expand_nested, show_trainable, layer_range):
            (print_fn or print)(line)

    def dot(self, show_shapes: bool = False, rankdir: str = "TB", **options: bool) -> str:
        """The layers and what they are connected to in Graphviz's language; `kf.utils.plot_model` draws it.

        Args:
            show_shapes: Whether to show the shapes of the outputs.
            rankdir: "TB" from top to bottom, "LR" from left to right, "BT" or "RL".
            options: `show_dtype`, `show_layer_names`, `expand_nested`, `show_layer_activations` and `show_trainable` of
                `kf.utils.plot_model`.
        """
        checks.one_of("rankdir", rankdir, ("TB", "BT", "LR", "RL"))
        return drawing.dot_of(drawing.boxes_of(self._shapes().whole_call, show_shapes, **options), rankdir)

    def _shapes(self) -> Traced:
        """The shapes in the network. It needs no parameters for them if it begins with `nn.Input`."""
        specs = None if self._traced is not None else self.net.input_specs()
        return self._known() if specs is None else Traced(self.net, specs)

    # -- files and copies --------------------------------------------------------------------------------------------

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write everything to one `.safetensors` file: config, parameters, state, optimizer state, key and step.

        A path that ends in `.keras` gets a file for Keras: see `kf.interop.keras.save`.

        An optimizer, loss or metric that is no object of kfunc is not stored; give it to `compile` after loading, and
        steps of your own to `load`.

        Args:
            filepath: The file.
            overwrite: Whether a file that is there already is replaced. Keras asks in a dialog if not, and here it is
                an error.

        Raises:
            ArgumentError: A layer is not registered, or the network is larger than `load` takes.
            FileError: It could not be written, or there is a file that must stay; what was at `filepath` is as it was.
        """
        if (other := model_file.format_of(filepath)) is not None:
            return other.save(self, filepath, overwrite)
        model_file.check_free(filepath, overwrite)
        with contextlib.ExitStack() as stack:
            with self._carry.lock:  # or the optimizer may be another than that of the state
                traced, ts = self._known(), stack.enter_context(self._carry.lent())
                own = {"seed": self.seed, "step": self.step, "objective": self.objective}
                described: Any = types.SimpleNamespace(**own, **self._compiled)
            model_file.write(filepath, described, traced, ts)

    @classmethod
    def load(
        cls,
        filepath: str | os.PathLike[str],
        backend: str | Backend = "numpy",
        *,
        step: Callable[..., Any] | None = None,
        eval_step: Callable[..., Any] | None = None,
        objective: Callable[..., Any] | None = None,
    ) -> Model:
        """The model in a file that `save` wrote, on `backend`, with its optimizer's state, ready to go on training.

        A file of Keras's, `.keras` or `.h5`, is loaded by `kf.interop.keras.load`.

        Steps and objectives of one's own are code, which no file holds: give them again. Nor does it hold the arguments
        of a subclass: its `__init__` does not run, and attributes of its own are missing.

        The file may come from anywhere: it can name kfunc's classes and those that you have registered, and nothing
        else. What it describes is run on shapes, within the bounds of `registry.from_config`, and held against the
        file's header before an array is read.

        Raises:
            FileError: The file is truncated or corrupt, holds no model, or one of more objects than a config may.
            NonFiniteError: A parameter in it is NaN, or a number of the optimizer's state.
            BackendNotInstalledError, UnknownBackendError: There is no such backend here.
        """
        target = get(backend)
        if (other := model_file.format_of(filepath)) is not None:
            model = other.load(filepath, target)
            if cls is not Model:
                parts, model = model._parts(), cls.__new__(cls)
                model.__setstate__(parts)
            model.step, model.eval_step, model.objective = step, eval_step, objective
            return model
        model, traced, ts, stored = model_file.read(cls, filepath)
        _check_read(filepath, ts.params, stored)
        model._traced, model._stored_opt_state = traced, stored
        model.step, model.eval_step = step or model.step, eval_step
        model.objective = objective or model.objective
        model.train_state = to_backend(model._with_opt_state(ts), target)
        return model

    @classmethod
    def _of(cls, net: Layer, seed: int) -> Model:
        """A model of `net`, without the `__init__` of a subclass, whose arguments are not known."""
        model = cls.__new__(cls)
        Model.__init__(model, net, seed)
        return model

    # -- parts that do not train -------------------------------------------------------------------------------------

    def freeze(self, *which: str | Layer) -> Model:
        """Stop training some layers: Keras's `layer.trainable = False`. Returns the model.

        `net` becomes a copy in which they are frozen (`nn.freeze`). All numbers stay: the parameters move to the state,
        and the optimizer keeps its state for the others. A frozen layer behaves as in inference, as in Keras:
        BatchNormalization uses its moving averages. An objective or a step of your own must run the copy: `model.net`.

        Args:
            which: Layers, or patterns of their paths, which `summary` shows: `"encoder"`, `"block_*"`. All layers if
                there is none.

        Raises:
            ArgumentError: A layer is not in the network, no path fits a pattern, or `fit` is under way.
        """
        return self._with_net(freeze(self.net, *which))

    def unfreeze(self, *which: str | Layer) -> Model:
        """Train layers again; see `freeze`. For their parameters, the optimizer's state begins anew."""
        return self._with_net(unfreeze(self.net, *which))

    def _with_net(self, net: Layer) -> Model:
        """The same model with a network that has the same parameters and state at the same paths."""
        with self._carry.lock:
            self._check_no_fit("a fit goes on with the network that it began with", "freeze layers")
            ts, traced = self._carry.train_state, self._traced
            if ts is not None:
                traced = Traced(net, self._known().given)
                self._carry.arranged += 1  # before the state changes: who reads that first, sees this, too
                self._carry.assign(rearranged(ts, traced.call, self.optimizer))
            self._net, self._traced = net, traced
            self._functions = self._functions.renewed()
            self._adopt()
        return self

    @property
    def trainable(self) -> bool:
        """Whether a parameter trains.

        Setting it is `freeze()` or `unfreeze()` of all layers, here and, as in Keras, in other models that have them.
        """
        ts = self._carry.train_state
        return self.net.trainable if ts is None else bool(tree.leaves(ts.params))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        checks.boolean("trainable", value)
        for model, paths in [(self, []), *self._elsewhere()]:
            (model.unfreeze if value else model.freeze)(*paths)

    # -- weights -----------------------------------------------------------------------------------------------------

    def get_weights(self) -> list[Any]:
        """All parameters and state as a list of NumPy arrays, in Keras's order.

        That is layer by layer, as they lie in the network, a layer before those in it; of each the parameters, as they
        were made (kernel, bias), and then the state (moving averages). It does not depend on what is frozen.
        """
        with contextlib.ExitStack() as stack:
            with self._carry.lock:  # or another thread may freeze layers in between
                order, ts = self._known().order, stack.enter_context(self._carry.lent())
            arrays = model_file.named({"params": ts.params, "state": ts.state})
            return [to_numpy(arrays[name]).copy() for name in order]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace parameters and state by arrays in the order of `get_weights`; all else stays.

        Raises:
            ShapeError: Their number or a shape is another. The model is then as it was.
            ArgumentError: An array is complex, and should be real. The same holds.
        """
        with self._carry.lock:
            traced, ts = self._known(), self._built()
            target = backend_of(ts.key)
            params, state = traced.filled(weights, target, device(target.lift(ts.key)))
            self.train_state = ts._replace(params=params, state=state)

    def count_params(self) -> int:
        """How many numbers the parameters and the state have."""
        return sum(math.prod(x.shape) for x in tree.leaves(self._known().variables))

    def __call__(self, *inputs: Any, training: bool | None = None, **options: Any) -> Any:
        """The network's output for one batch of arrays, as an array of the model's backend, without a loop or a bar.

        With nodes it is a part of a graph, as a layer is, and with a scope a part of another layer.

        Args:
            inputs: The arguments of the network's `forward`.
            training: Whether layers behave as in training; `train` of `net.apply`. The new state, such as moving
                averages, is not kept: `net.apply` returns it. In a graph and in a layer, None leaves that to the whole
                network, and True or False is kept: `base(x, training=False)`.
            options: Further arguments of `forward`, such as `mask`.
        """
        if training is None:
            training = options.pop("train", None)
        training = checks.boolean("training", training, none=True)
        found = self._in_graph(inputs, options if training is None else {**options, "training": training})
        return self._call_arrays(*inputs, training=bool(training), **options) if found is None else found

    def _call_arrays(self, *inputs: Any, training: bool = False, **options: Any) -> Any:
        """The network's output for arrays, on the model's backend; see `__call__`."""
        inputs = tuple([_of_numbers(x) for x in inputs])
        if split(self.net) is not None:
            inputs = tuple([prepared(x, strings=True).x for x in inputs])
        if change := self._ranks(inputs[0] if len(inputs) == 1 else inputs):
            inputs = change(inputs) if len(inputs) > 1 else (change(inputs[0]),)
        self._make_ready(inputs[0] if len(inputs) == 1 else list(inputs), None)
        with contextlib.ExitStack() as stack:
            with self._carry.lock:  # or another thread may freeze layers in between
                traced, ts = self._known(), stack.enter_context(self._carry.lent())
            target = backend_of(ts.key)
            inputs = inputs if traced.host is None else traced.hosted(inputs)
            arrays = tuple(_beside(x, target) for x in inputs)
            traced.check_inputs(arrays[0] if len(arrays) == 1 else arrays)
            options = {name: _beside(x, target) for name, x in options.items()}
            key = random.fold_in(ts.key, ts.step)
            x = arrays[0] if len(arrays) == 1 else arrays
            return forward(traced.net, ts.params, x, state=ts.state, key=key, train=training, **options)[0]

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the parameters and the state alone to a `.safetensors` file, for `load_weights` of such a network.

        A path that ends in `.weights.h5` gets a file for Keras: see `kf.interop.keras.save_weights`.

        Args:
            filepath, overwrite: As for `save`.

        Raises:
            FileError: It could not be written, or there is a file that must stay; what was at `filepath` is as it was.
        """
        if (other := model_file.format_of(filepath)) is not None:
            return other.save_weights(self, filepath, overwrite)
        model_file.check_free(filepath, overwrite)
        self._built()
        with self._carry.lent() as ts:
            model_file.write_weights(filepath, ts)

    def load_weights(self, filepath: str | os.PathLike[str], skip_mismatch: bool = False) -> dict[str, str]:
        """Replace parameters and state by those in a file that `save_weights` or `save` wrote; all else stays.

        In the network of the file, other layers may have been frozen than in this one. A file of Keras's is read by
        `kf.interop.keras.load_weights`.

        Args:
            filepath: The file.
            skip_mismatch: Whether to leave arrays as they are that the file does not have in their shape, such as those
                of another last layer, and to pass over arrays of the file that this network does not have.

        Returns:
            What was skipped: the name of each array, and why. Empty without `skip_mismatch`.

        Raises:
            ArgumentError: `skip_mismatch` is True, and the file is one of Keras's.
            FileError: The file is truncated or corrupt, or its arrays are not those of this network; with
                `skip_mismatch`, none of them is. The model is then as it was.
            NonFiniteError: A parameter in it is NaN; the same holds.
        """
        checks.boolean("skip_mismatch", skip_mismatch)
        if (other := model_file.format_of(filepath)) is not None:
            if skip_mismatch:
                raise ArgumentError(
                    "`skip_mismatch` must be False for a file of Keras's: all of its arrays are loaded, or none.",
                    argument="skip_mismatch",
                    expected="False",
                    got="True",
                    fix="load the model that the file was saved from, by kf.Model.load or into a network of the same "
                    'layers; then model.save("x.safetensors"), and load_weights("x.safetensors", skip_mismatch=True)',
                )
            other.load_weights(self, filepath)
            return {}
        traced = self._known()
        found, skipped = model_file.read_weights(filepath, traced, skip_mismatch)
        with self._carry.lock:
            traced, ts = self._known(), self._built()
            found = model_file.placed(traced, found)  # another thread may have frozen layers meanwhile
            own = model_file.named({"params": ts.params, "state": ts.state}) if skipped else {}
            read = model_file.trees(traced, own | found)
            _check_read(filepath, read[0])
            params, state = to_backend(read, backend_of(ts.key))
            self.train_state = ts._replace(params=params, state=state)
        return skipped

    def __copy__(self) -> Model:
        """A model with the same arrays; training the one does not change the other."""
        return self._copied(lambda x: x)

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        return self._copied(lambda x: copy.deepcopy(x, memo))

    def _copied(self, copied: Callable[[Any], Any]) -> Model:
        other = type(self).__new__(type(self))
        other.__setstate__({name: copied(value) for name, value in self._parts().items()})
        return other

    def _parts(self) -> dict[str, Any]:
        """All parts, without what is compiled and what tracing has found: these are made anew."""
        with self._carry.lock:
            functions = self._functions
            return vars(self) | {
                "_functions": (functions.run_eagerly, functions.steps_per_execution, functions.jit_compile),
                "_traced": None if self._traced is None else self._traced.given,
                "_carry": self.train_state,
                "_shared": self._shared.brings,
            }

    def __getstate__(self) -> dict[str, Any]:
        """For `pickle`: arrays are NumPy's, since PyTorch cannot read its own uint32 back; with the backend's name."""
        parts = self._parts()
        ts: TrainState | None = parts["_carry"]
        name = None if ts is None else backend_of(ts.key).name
        return parts | {"_carry": (name, tree.map(to_numpy, ts))}

    def __setstate__(self, found: dict[str, Any]) -> None:
        inputs, carry, ts = found["_traced"], TrainCarry(), found["_carry"]
        if type(ts) is tuple:
            ts = None if ts[0] is None else to_backend(ts[1], ts[0])
        carry.assign(ts)
        traced = None if inputs is None else Traced(found["_net"], inputs)
        made = {"_functions": Functions(*found["_functions"]), "_traced": traced, "_carry": carry}
        brings = found.pop("_shared")
        vars(self).update(found | made)
        self._share(brings)


_NOT_COMPILED: dict[str, Any] = {
    **dict.fromkeys(("optimizer", "loss", "loss_weights")),
    **dict.fromkeys(("metrics", "weighted_metrics"), ()),
}

_ATTRIBUTES = frozenset(
    ("step", "eval_step", "objective", "stop_training", "history", "metrics_names", "train_state")
    + ("run_eagerly", "jit_compile", "steps_per_execution", "trainable")
    + ("_shared", "_net", "_seed", "_compiled", "_functions", "_traced", "_carry", "_stored_opt_state")
)
"""The attributes that can be set on a model."""

_INSTEAD = {
    "net": "make another model: kf.Model(net)",
    "seed": "make another model: kf.Model(net, seed)",
    **dict.fromkeys(("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics"), "call model.compile with it"),
    **dict.fromkeys(("params", "state", "weights"), "set model.train_state = model.train_state._replace(params=...)"),
}
"""The way to do what the setting of other attributes would mean."""


def _of_numbers(x: Any) -> Any:
    """`x`; nested lists of numbers as an array."""
    plain = isinstance(x, list | tuple) and all(isinstance(leaf, int | float) for leaf in tree.leaves(x))
    return asarray(x) if plain and x else x


def _beside(x: Any, target: Backend) -> Any:
    """An input, with arrays on the backend of the model; arrays that a transform traces stay. Lists of numbers, too."""
    if isinstance(x, list | tuple | dict) and any(hasattr(leaf, "shape") for leaf in tree.leaves(x)):
        return tree.map(lambda leaf: _beside(leaf, target), x)
    kind = kind_of(type(x))
    if x is None or (kind is not None and (kind.backend.name == target.name or kind.backend.is_traced(x))):
        return x
    return asarray(prepared(x if hasattr(x, "shape") else asarray(x)).x, backend=target)


def _brief(x: Any) -> str:
    return repr(x) if isinstance(x, str | int | float | bool | None) else type(x).__name__


def _in_float16(layer: Layer) -> bool:
    """Whether a policy somewhere in the network computes in float16 with parameters of more."""
    policies = getattr(layer.dtype, "policy_map", {"": layer.dtype}).values()
    return any(p is not None and p.name == "mixed_float16" for p in policies) or any(
        _in_float16(child) for _, child in layer.children()
    )


def _check_read(path: str | os.PathLike[str], params: Any, opt_state: Any = None) -> None:
    """Raise NonFiniteError if a parameter in the file at `path`, or a part of the optimizer's state, is NaN."""
    when, fix = f"{os.fspath(path)} cannot be used: ", "take another file; kf.load reads the arrays as they are"
    check_arrays(when, fix, parameter=params, array=opt_state)  # the first step would spread NaN to the parameters


def _same(optimizer: Any, other: Any) -> bool:
    """Whether a state of the one optimizer is one of the other: they are one object, or have the same description."""
    if optimizer is other:
        return True
    try:
        return to_config("optimizer", optimizer) == to_config("optimizer", other)
    except ArgumentError:  # one that is not kfunc's
        return False


def _as_keras(logs: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
