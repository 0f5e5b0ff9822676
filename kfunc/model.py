"""`Model`: a network and its `TrainState`, with Keras's `fit`, `evaluate` and `predict`. The only stateful thing."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import files, losses, optim, random, tree
from .arrays import Spec, asarray, backend_of, device, dtype_name, to_backend, to_numpy
from .backends import Backend, get
from .data import ArrayData, Batch, class_weights, split
from .errors import ArgumentError, FileError, KfuncError, NonFiniteError
from .nn.layer import Layer
from .outputs import JointLoss, joint_loss, monitors
from .registry import from_config, resolve, to_config
from .step import Progress, TrainState, make_eval_step, make_predict, make_train_step, start
from .transforms import jit

__all__ = ["History", "Model"]


class History:
    """What `fit` saw: `history`, a dict of one list a quantity with one number an epoch, and `epoch`, their numbers."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def __repr__(self) -> str:
        return f"<History of {len(self.epoch)} epochs: {', '.join(self.history)}>"

    def _add(self, epoch: int, logs: Mapping[str, float]) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


class Model:
    """A network with parameters, and the loops that everybody needs.

    The backend is that of the arrays in `train_state`; `backend=` on a call moves them first. Data may be arrays of
    any backend, and NumPy's above all. It calls nothing that you could not call yourself: see `kfunc.step`.

    Args:
        net: A layer.
        seed: For the first parameters, the order of samples and the random draws of training.

    Attributes:
        train_state: `TrainState`, or None before the first data.
    """

    def __init__(self, net: Layer, seed: int = 0):
        if not isinstance(net, Layer):
            raise ArgumentError("A model needs a network.", argument="net", expected="a layer", got=repr(net))
        self.net, self.seed = net, seed
        self.train_state: TrainState | None = None
        self.optimizer: Any = None
        self.loss: Any = None
        self.loss_weights: Any = None
        self.metrics: Any = ()
        self.weighted_metrics: Any = ()
        self._inputs: Any = None
        self._jit_compile: bool | str = "auto"
        self._stored_opt_state: dict[str, Any] | None = None
        self._functions: dict[str, Callable] = {}

    # -- putting it together -----------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        metrics: Any = (),
        loss_weights: Any = None,
        weighted_metrics: Any = (),
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Choose how to train.

        Args:
            optimizer: A name, one of `kf.optim`'s, or any `(init, update)` in optax's protocol.
            loss: A name, one of `kf.losses`, or a function `(y_true, y_pred) -> values`, one or more a sample; for a
                network with several outputs a list of these, or a dict by output.
            metrics: Names and objects of `kf.metrics`: a list; for several outputs a list of lists, or a dict of lists.
            loss_weights: For several outputs, by how much each loss counts: a list or a dict of numbers.
            weighted_metrics: The same as `metrics`, for those that heed sample weights; `metrics` pass over them.
            jit_compile: Whether to compile the step; "auto" does so where the backend gains from it.
            auto_scale_loss: Whether to scale the loss (`optim.LossScaleOptimizer`) if a part of the network computes in
                float16, whose gradients would vanish otherwise.

        Raises:
            ArgumentError: A name is unknown, or something is no optimizer.
        """
        optimizer = resolve("optimizer", optimizer)
        if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
            raise ArgumentError(
                "That is no optimizer.",
                argument="optimizer",
                expected='a name such as "adam", or an object with init and update',
                got=repr(optimizer),
            )
        if auto_scale_loss and _in_float16(self.net) and not hasattr(optimizer, "loss_scale"):
            optimizer = optim.LossScaleOptimizer(optimizer)
        self.optimizer = optimizer
        # These names wait for the shapes of the data; a tree of losses for the network's outputs.
        wait = isinstance(loss, list | tuple | dict) and "class" not in loss
        self.loss = loss if loss is None or wait or loss in ("crossentropy", "ce") else losses.get(loss)
        self.loss_weights = loss_weights
        self.metrics, self.weighted_metrics = (
            (m,) if isinstance(m, str) or not isinstance(m, Sequence | dict) else m for m in (metrics, weighted_metrics)
        )
        self._jit_compile = jit_compile
        self._functions.clear()
        if self.train_state is not None:
            self.train_state = self._with_opt_state(self.train_state)

    def build(self, *inputs: Any, backend: str | Backend | None = None) -> Model:
        """Make the first parameters for inputs like these, samples or `Spec`s with a batch axis; return the model."""
        self._inputs = tree.map(lambda x: Spec((None, *x.shape[1:]), x.dtype), inputs)
        for found in ("_output", "_constraints"):  # for other inputs
            self.__dict__.pop(found, None)
        target = get("numpy" if backend is None else backend)
        params, state = self.net.init(self.seed, *self._inputs, backend=target)
        key = random.key(self.seed, backend=target)
        ts = TrainState(params, state, None, key, asarray(0, "int32", backend=target))
        self.train_state = self._with_opt_state(ts)
        return self

    def _with_opt_state(self, ts: TrainState) -> TrainState:
        if self.optimizer is None:
            return ts
        opt_state = self.optimizer.init(ts.params)
        if self._stored_opt_state is not None:
            # Another optimizer than the stored one starts afresh.
            stored, names = self._stored_opt_state, list(_named({"opt_state": opt_state}))
            if set(names) == set(stored):
                leaves = to_backend([stored[n] for n in names], backend_of(ts.params))
                opt_state = tree.unflatten(tree.structure(opt_state), leaves)
            self._stored_opt_state = None
        return ts._replace(opt_state=opt_state)

    @property
    def backend(self) -> str | None:
        """Name of the backend that the parameters are on; None before there are any."""
        return None if self.train_state is None else backend_of(self.train_state.key).name

    def to(self, backend: str | Backend, device: Any = None) -> Model:
        """Move the whole `train_state` to `backend`, and to `device` in its words; return the model."""
        ts = self._built
        if device is not None or backend_of(ts.key) is not get(backend):
            self.train_state = to_backend(ts, backend, device)
        return self

    @property
    def _built(self) -> TrainState:
        """The train state.

        Raises:
            ArgumentError: There is none yet.
        """
        if self.train_state is None:
            raise ArgumentError(
                "The model has no parameters yet.",
                fix="call fit first, or model.build(kf.Spec((None, ...))) with the shape of the input",
            )
        return self.train_state

    def _build_for(self, x: Any, backend: Any) -> None:
        """Make the first parameters, if there are none, for inputs like `x`."""
        if self.train_state is None:
            self.build(*(x if isinstance(x, list | tuple) else (x,)), backend=backend)

    def _on(self, backend: Any) -> tuple[TrainState, Backend, Any]:
        """The train state on the backend asked for, that backend, and the device to put data on."""
        if backend is not None:
            self.to(backend)
        ts = self._built
        target = backend_of(ts.key)
        return ts, target, device(target.lift(ts.key))

    def _function(self, make: Callable, *parts: Any, backend: Backend, constant: tuple[int, ...] = ()) -> Callable:
        """`make(net, *parts)`, compiled if that is wanted on `backend`; the same one for the same parts."""
        compiled = backend.compiles if self._jit_compile == "auto" else bool(self._jit_compile)
        key = f"{make.__name__} {compiled} {parts!r}"
        if key not in self._functions:
            fun = make(self.net, *parts)
            self._functions[key] = jit(fun, constant_argnums=constant) if compiled else fun
        return self._functions[key]

    # -- training ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: int | str = "auto",
        validation_split: float = 0.0,
        validation_data: tuple | None = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        backend: str | Backend | None = None,
    ) -> History:
        """Train for `epochs` rounds over the data.

        Args:
            x: Inputs: an array (samples, ...), or a list, tuple or dict of them.
            y: Targets (samples, ...).
            batch_size: Samples a step; the last step of an epoch may have fewer.
            verbose: 0 for silence, 1 for a progress bar, 2 for a line an epoch; "auto" is 1.
            validation_split: The last fraction of the samples, to evaluate on after each epoch and not to train on.
            validation_data: `(x, y)` or `(x, y, sample_weight)`, for the same.
            shuffle: Whether each epoch has an order of its own, the same on every backend.
            class_weight: Weight of each class.
            sample_weight: Weight of each sample, (samples,).
            initial_epoch: The number of the first epoch.
            backend: Where to train; by default where the parameters are, at first NumPy.

        Returns:
            What it saw. Beside the loss and the metrics there is "skipped_steps" where the optimizer scales the loss:
            how many steps of the epoch changed nothing, as their gradients overflowed.

        Raises:
            NonFiniteError: A loss or gradient was not finite; `train_state` is that before the step.
            LabelError: Labels lie outside the classes.
            ShapeError, ArgumentError, BackendError: With what does not fit.
        """
        data = ArrayData(x, y, sample_weight)
        validation = None if validation_data is None else ArrayData(*validation_data)
        if validation is None and validation_split:
            data, validation = split(data, validation_split)
        if class_weight is not None:
            data = class_weights(data, class_weight)
        loss, found = self._trainable(data, backend)
        if validation is not None:
            self._checked(validation)
        ts, target, where = self._on(backend)
        step = self._function(make_train_step, self.optimizer, loss, found, self._constraints, backend=target)
        # The host's own copy, so that the order of samples needs nothing from the device.
        key, first = to_numpy(ts.key), int(to_numpy(ts.step))
        steps = math.ceil(data.size / batch_size)
        history = History()
        for epoch in range(initial_epoch, epochs):
            begun = time.perf_counter()
            order = None
            if shuffle:
                done = first + (epoch - initial_epoch) * steps
                # A stream of its own: steps draw from fold_in(key, step).
                order = random.permutation(random.fold_in(random.fold_in(key, 0xFFFFFFFF), done), data.size)
            progress = start(found, target, where)
            skipped = self._skipped()
            with _Bar(steps, f"Epoch {epoch + 1}/{epochs}", verbose) as bar:
                for batch in data.batches(batch_size, order):
                    ts, progress = step(ts, progress, _moved(batch, target, where))
                    self.train_state = ts
                    if bar.advance():
                        bar.show(self._read(progress, found))
                logs = self._read(progress, found)
                if skipped is not None:
                    logs["skipped_steps"] = (self._skipped() or 0) - skipped
                bar.show(logs)
                if validation is not None:
                    against = self._evaluate(validation, loss, found, batch_size, target, where)
                    logs |= {f"val_{name}": value for name, value in against.items()}
                    bar.show(logs)
            history._add(epoch, logs)
            if verbose == 2:
                values = " - ".join(f"{name}: {value:.4f}" for name, value in logs.items())
                print(f"Epoch {epoch + 1}/{epochs} - {time.perf_counter() - begun:.1f}s - {values}")
        if hasattr(self.optimizer, "finalize"):
            self.train_state = ts._replace(params=self.optimizer.finalize(ts.params, ts.opt_state))
        return history

    def _skipped(self) -> int | None:
        """How many steps the optimizer has passed over, as gradients overflowed; None if it never does."""
        if not hasattr(self.optimizer, "skipped"):
            return None
        return int(to_numpy(self.optimizer.skipped(self._built.opt_state)))

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
        backend: str | Backend | None = None,
    ) -> Any:
        """One step on one batch. Returns the loss and the metrics on it, as `evaluate` does; arguments as for `fit`."""
        data = ArrayData(x, y, sample_weight)
        if class_weight is not None:
            data = class_weights(data, class_weight)
        loss, found = self._trainable(data, backend)
        ts, target, where = self._on(backend)
        step = self._function(make_train_step, self.optimizer, loss, found, self._constraints, backend=target)
        batch = _moved(data.arrays, target, where)
        self.train_state, progress = step(ts, start(found, target, where), batch)
        return _as_keras(self._read(progress, found), return_dict)

    def _trainable(self, data: ArrayData, backend: Any) -> tuple[Any, dict[str, Any]]:
        """Check that the model can train on `data`, before anything changes; the loss and the metrics."""
        if self.optimizer is None or self.loss is None:
            raise ArgumentError(
                "The model is not compiled.",
                fix='call model.compile(optimizer="adam", loss="sparse_categorical_crossentropy") first',
            )
        target = get(backend or self.backend or "numpy")
        if not target.trains:
            raise target.unsupported(
                "training", 'train elsewhere, such as backend="numpy", and move the model to serve'
            )
        self._build_for(data.arrays.x, backend)
        return self._checked(data)

    def _checked(self, data: ArrayData) -> tuple[Any, dict[str, Any]]:
        """Check labels against the network's output; the loss and the metrics that fit both.

        Raises:
            LabelError: Labels lie outside the classes.
            ArgumentError: There is no such loss or metric, or not one for each output.
        """
        y, output = data.arrays.y, self._output
        loss = joint_loss(self.loss, self.loss_weights, output, y)
        if isinstance(loss, JointLoss):
            loss.check_labels(y, output)
        else:
            loss.check_labels(y, output.shape[-1])
        return loss, monitors(self.metrics, self.weighted_metrics, loss, output, y)

    @functools.cached_property
    def _output(self) -> Any:
        """Shape and dtype of the network's output, or the tree of them."""
        return self.net.trace(*self._inputs).outputs[-1][2]

    @functools.cached_property
    def _constraints(self) -> dict[str, Callable]:
        """The parameters' constraints, by path."""
        return self.net.constraints(*self._inputs)

    def _read(self, progress: Progress, metrics: Mapping[str, Any]) -> dict[str, float]:
        """The numbers so far; waits for the device.

        Raises:
            NonFiniteError: A step met a NaN or an infinity.
        """
        step, leaf = to_numpy(progress.fault).tolist()
        if step >= 0:
            path = tree.paths(self._built.params)[leaf - 1] if leaf else None
            what = f"the gradient of {path}" if leaf else "the loss"
            raise NonFiniteError(
                f"Training stopped at step {step}: {what} is not finite.",
                path=path,
                expected="finite numbers",
                got="NaN or infinity",
                fix="look for NaN in the data, lower the learning rate, or clip gradients by their global norm; "
                "the parameters are those from before that step",
            )
        total, count = (float(to_numpy(v)) for v in progress.loss)
        logs = {"loss": total / max(count, 1.0)}
        return logs | {name: _number(m.result(progress.metrics[name])) for name, m in metrics.items()}

    # -- using it ----------------------------------------------------------------------------------------------------

    def evaluate(
        self,
        x: Any,
        y: Any,
        batch_size: int = 32,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        return_dict: bool = False,
        backend: str | Backend | None = None,
    ) -> Any:
        """The loss and the metrics on data; arguments as for `fit`.

        Returns:
            The loss if there are no metrics, else a list of the loss and each metric; a dict with `return_dict`.
        """
        if self.loss is None:
            raise ArgumentError("The model is not compiled.", fix="call model.compile(loss=...) first")
        data = ArrayData(x, y, sample_weight)
        self._build_for(data.arrays.x, backend)
        loss, found = self._checked(data)
        _, target, where = self._on(backend)
        logs = self._evaluate(data, loss, found, batch_size, target, where, verbose)
        return _as_keras(logs, return_dict)

    def _evaluate(self, data, loss, found, batch_size, target, where, verbose: int | str = 0) -> dict[str, float]:
        ts = self._built
        step = self._function(make_eval_step, loss, found, backend=target)
        progress = start(found, target, where)
        with _Bar(math.ceil(data.size / batch_size), "Evaluate", verbose) as bar:
            for batch in data.batches(batch_size):
                progress = step(ts.params, ts.state, progress, _moved(batch, target, where))
                bar.advance()
            logs = self._read(progress, found)
            bar.show(logs)
        return logs

    def predict(
        self, x: Any, batch_size: int = 32, verbose: int | str = 0, backend: str | Backend | None = None
    ) -> Any:
        """The network's outputs for `x`, as NumPy arrays (samples, ...)."""
        import numpy as np

        data = ArrayData(x)
        self._build_for(data.arrays.x, backend)
        ts, target, where = self._on(backend)
        # Constants here only: training changes the parameters at each step.
        fun = self._function(make_predict, backend=target, constant=(0, 1))
        outputs = []
        with _Bar(math.ceil(data.size / batch_size), "Predict", verbose) as bar:
            for batch in data.batches(batch_size):
                outputs.append(fun(ts.params, ts.state, _moved(batch, target, where).x))
                bar.advance()
        return tree.map(lambda *parts: np.concatenate([to_numpy(p) for p in parts]), *outputs)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print a table of the layers: path and class, output shape, number of parameters."""
        self._built  # noqa: B018
        call = self.net.trace(*self._inputs)
        outputs = {path: (layer, out) for path, layer, out in call.outputs}
        counts = dict.fromkeys(outputs, 0)
        total = {"params": 0, "state": 0}
        for parts, declaration in (call.declared or {}).items():
            n = math.prod(d or 0 for d in declaration.spec.shape)
            total[declaration.kind] += n
            # What a layer groups in scopes of its own counts as its own.
            above = ("/".join(parts[:i]) for i in range(len(parts) - 1, -1, -1))
            counts[next(path for path in above if path in counts)] += n
        rows = [("Layer", "Output shape", "Parameters")]
        for path, (layer, out) in outputs.items():
            if path:
                shapes = ", ".join(str(x.shape) for x in tree.leaves(out))
                rows.append((f"{path} ({type(layer).__name__})", shapes, f"{counts[path]:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        lines.insert(1, "-" * len(lines[0]))
        for line in lines:
            print_fn(line)
        print_fn(f"Parameters: {total['params']:,}, state: {total['state']:,}")

    # -- files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write everything to one `.safetensors` file: config, parameters, state, optimizer state, key and step.

        An optimizer, loss or metric that is no object of kfunc is not stored; give it to `compile` after loading.

        Raises:
            FileError: It could not be written; what was at `path` is as it was.
        """
        ts = self._built
        config = {
            "net": to_config("layer", self.net),
            "inputs": _encoded(self._inputs),
            "seed": self.seed,
            "optimizer": _described("optimizer", self.optimizer),
            "loss": _described_losses(self.loss),
            "loss_weights": self.loss_weights,
            "metrics": _described_metrics(self.metrics),
            "weighted_metrics": _described_metrics(self.weighted_metrics),
        }
        arrays = _named(ts._asdict())
        files.write(path, {name: to_numpy(x) for name, x in arrays.items()}, {_MODEL: json.dumps(config)})

    @classmethod
    def load(cls, path: str | os.PathLike, backend: str | Backend = "numpy") -> Model:
        """The model in a file that `save` wrote, on `backend`, with its optimizer's state, ready to go on training.

        Raises:
            FileError: The file is truncated, corrupt, or no model.
        """
        arrays, texts = files.read(path)
        try:
            config = json.loads(texts[_MODEL])
            model = cls(from_config("layer", config["net"]), config["seed"])
            model._inputs = _decoded(config["inputs"])
            if config["optimizer"] is not None:
                model.compile(
                    from_config("optimizer", config["optimizer"]),
                    config["loss"],
                    _metrics_of(config["metrics"]),
                    config.get("loss_weights"),
                    _metrics_of(config.get("weighted_metrics", [])),
                )
            call = model.net.trace(*model._inputs)
        except (KfuncError, KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
            raise FileError(
                f"The file holds no model that can be built: {error}",
                path=os.fspath(path),
                expected="a file that Model.save wrote",
                got=type(error).__name__,
                fix="kf.load reads bare trees of arrays; define the classes of your own layers before loading",
            ) from error
        _check(path, call, arrays)
        model._stored_opt_state = {n: a for n, a in arrays.items() if n.startswith("opt_state.")}
        ts = TrainState(
            files.unflatten(_below(arrays, "params")),
            files.unflatten(_below(arrays, "state")),
            None,
            arrays["key"],
            arrays["step"],
        )
        model.train_state = to_backend(model._with_opt_state(ts), backend)
        return model

    def load_weights(self, path: str | os.PathLike) -> None:
        """Replace parameters and state by those in a file that `save` wrote; optimizer and step stay.

        Raises:
            FileError: The file is truncated or corrupt, or its arrays are not those of this network. The model is then
                as it was.
        """
        ts = self._built
        arrays, _ = files.read(path)
        _check(path, self.net.trace(*self._inputs), arrays)
        params, state = (files.unflatten(_below(arrays, part)) for part in ("params", "state"))
        params, state = to_backend((params, state), backend_of(ts.key))
        self.train_state = ts._replace(params=params, state=state)


_MODEL = "kfunc.model"


def _named(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of trees by name: `{"params": {"dense": {"kernel": x}}}` gives `{"params.dense.kernel": x}`."""
    return dict(zip((p.replace("/", ".") for p in tree.paths(parts)), tree.leaves(parts), strict=True))


def _below(arrays: Mapping[str, Any], part: str) -> dict[str, Any]:
    return {n.removeprefix(f"{part}."): a for n, a in arrays.items() if n.startswith(f"{part}.")}


def _check(path: Any, call: Any, arrays: Mapping[str, Any]) -> None:
    """Check that a file's arrays are those that the network declares.

    Raises:
        FileError: They are not.
    """
    expected = {".".join((d.kind, *p)): d.spec.shape for p, d in call.declared.items()} | {"key": (2,), "step": ()}
    got = {name: a.shape for name, a in arrays.items() if not name.startswith("opt_state.")}
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            raise FileError(
                f"The array {name!r} is not as the network has it.",
                path=os.fspath(path),
                argument=name,
                expected=f"shape {expected[name]}" if name in expected else "no such array",
                got=f"shape {got[name]}" if name in got else "none",
            )


def _encoded(x: Any) -> Any:
    """A tree of `Spec`s in JSON's types."""
    if isinstance(x, Spec):
        return {"shape": list(x.shape), "dtype": dtype_name(x.dtype)}
    return {"dict": {k: _encoded(v) for k, v in x.items()}} if isinstance(x, dict) else [_encoded(v) for v in x]


def _decoded(x: Any) -> Any:
    if isinstance(x, list):
        return tuple(_decoded(v) for v in x)
    return {k: _decoded(v) for k, v in x["dict"].items()} if "dict" in x else Spec(tuple(x["shape"]), x["dtype"])


def _described(category: str, value: Any) -> Any:
    if value is None:
        return None
    try:
        return to_config(category, value)
    except ArgumentError:
        return None


def _described_losses(loss: Any) -> Any:
    if isinstance(loss, dict):
        return {name: _described_losses(v) for name, v in loss.items()}
    if isinstance(loss, list | tuple):
        return [_described_losses(v) for v in loss]
    return _described("loss", loss)


def _described_metrics(metrics: Any) -> Any:
    """Names stay names: some find their metric by the shapes of the data. What cannot be described is left out."""
    if isinstance(metrics, dict):
        return {name: _described_metrics(v) for name, v in metrics.items()}
    if isinstance(metrics, list | tuple):
        found = [_described_metrics(v) for v in metrics]
        return [m for m in found if m is not None]
    return metrics if isinstance(metrics, str) else _described("metric", metrics)


def _metrics_of(config: Any) -> Any:
    if isinstance(config, list):
        return [_metrics_of(v) for v in config]
    if isinstance(config, dict) and "class" not in config:
        return {name: _metrics_of(v) for name, v in config.items()}
    return from_config("metric", config) if isinstance(config, dict) else config


def _number(x: Any) -> Any:
    """A metric's value: a number, or a list of them."""
    x = to_numpy(x)
    return float(x) if x.ndim == 0 else x.tolist()


def _in_float16(layer: Layer) -> bool:
    """Whether a policy somewhere in the network computes in float16 with parameters of more."""
    policies = getattr(layer.dtype, "policy_map", {"": layer.dtype}).values()
    return any(p is not None and p.name == "mixed_float16" for p in policies) or any(
        _in_float16(child) for _, child in layer.children()
    )


def _moved(batch: Batch, backend: Backend, where: Any) -> Batch:
    return tree.map(lambda x: backend.asarray(x, device=where), batch)


def _as_keras(logs: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


class _Bar:
    """A progress bar that says when its numbers may be refreshed: at most ten times a second."""

    def __init__(self, steps: int, description: str, verbose: int | str):
        self._bar = None
        self._last = time.perf_counter()
        if verbose in (1, "auto"):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=steps, desc=description, unit="step", file=sys.stderr, mininterval=0.1)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> bool:
        """Count a step; whether it is time to show new numbers."""
        if self._bar is not None:
            self._bar.update()
        now = time.perf_counter()
        if now - self._last < 0.1:
            return False
        self._last = now
        return True

    def show(self, logs: Mapping[str, float]) -> None:
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4f}" for name, value in logs.items()}, refresh=False)
