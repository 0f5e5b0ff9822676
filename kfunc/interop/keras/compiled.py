"""What a Keras file says of training, both ways: the arguments of `compile`, and the variables of the optimizer.

`compile_from` and `restore` read them, `described` and `groups` write them. What the other side lacks is told in a
warning that names it: the model is then not compiled, or a metric or the optimizer's state is left out.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ... import files, losses, metrics, optim, registry, tree
from ...arrays import backend_of, to_backend, to_numpy
from ...dataclasses import arguments
from ...errors import ArgumentError, FileError, shown, warn
from ...losses.base import OF_FUNCTION, FunctionLoss
from ...model import Model
from . import weights
from .layers import object_config as _object

__all__ = ["compile_from", "described", "groups", "restore"]


class _Lost(Exception):
    """Something that the other side lacks, in words for a warning."""


# -- from Keras's configs ----------------------------------------------------------------------------------------------


def compile_from(model: Model, config: Mapping[str, Any] | None) -> None:
    """Compile `model` as a file says: its `compile_config`, or the `training_config` of a legacy `.h5`.

    `steps_per_execution` and `jit_compile` are not taken over: they say how Keras should run, and change no number.

    Raises:
        FileError: The config is malformed.
    """
    config = config or {}
    given = config.get("optimizer") or config.get("optimizer_config")
    if given is None:
        return
    try:
        optimizer, loss = _optimizer(given), _each(config.get("loss"), _loss)
        found = {name: _each(config.get(name), _metric_or_none) for name in ("metrics", "weighted_metrics")}
        weights, eagerly = config.get("loss_weights"), config.get("run_eagerly") is True
        model.compile(optimizer, loss, weights, **found, run_eagerly=eagerly)
    except _Lost as lost:
        warn(f"The model is not compiled: {lost}. Call its `compile`.")
    except Exception as error:  # arguments from a file may make losses, metrics and optimizers fail in any way
        raise FileError(
            f"The file says how the model was compiled, and that cannot be read: {str(error)[:2000]}",
            got=type(error).__name__,
            fix="load it with compile=False",
        ) from error


def _each(given: Any, fun: Callable[[Any], Any]) -> Any:
    """`fun` of the losses or metrics in a list or dict, nested or not; of `given` itself if it is one."""
    if isinstance(given, dict) and "class_name" not in given:
        return {name: _each(x, fun) for name, x in given.items()}
    return [_each(x, fun) for x in given] if isinstance(given, list) else None if given is None else fun(given)


def _named(given: Any) -> tuple[str, dict[str, Any] | None]:
    """The name and the config of an object; None in place of the config if it is a function or a name."""
    if isinstance(given, str):
        return given, None
    name, config = given["class_name"], given.get("config")
    if name == "__lambda__":
        raise _Lost("the file holds a lambda, and code of a file is never run")
    if name == "function":
        return (config if isinstance(config, str) else str(given.get("registered_name"))), None
    return name, dict(config or {})


def _entry(category: str, name: str) -> str:
    """The name here of what Keras calls `name`, maybe with the package in front that it was registered in."""
    last = name.rpartition(">")[2]
    known = registry.names(category)
    found = next((n for n in (f"custom:{last}", last) if n in known), None)
    if found is None:
        raise _Lost(f"there is no {category} {shown(name)}; if it is yours, register it: @kf.register({category!r})")
    return found


def _made(category: str, name: str, config: dict[str, Any]) -> Any:
    """The object of a registered class that a config of Keras describes."""
    found = _entry(category, name)
    value = registry.registered(category, found)
    takes = inspect.signature(value).parameters
    options = {key: _plain(category, x) for key, x in config.items()}
    rest = {key: x for key, x in options.items() if key not in takes and x not in _MEAN_NOTHING.get(key, (None, False))}
    if rest and not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        key, x = next(iter(rest.items()))
        raise _Lost(f"the {category} {name} has {key}={shown(x)}, which means nothing here")
    return registry.from_config(category, {"class": found, "config": {k: x for k, x in options.items() if k in takes}})


_MEAN_NOTHING: dict[str, tuple[Any, ...]] = {
    "is_legacy_optimizer": (True, False),
    "jit_compile": (True, False),
    "decay": (0.0, None),
    "dynamic": (True,),
}
"""Values of arguments of Keras that change no number, where the class here has no such argument."""


def _plain(category: str, x: Any) -> Any:
    """A value in a config."""
    if isinstance(x, list | tuple):
        return tuple(_plain(category, v) for v in x)
    if not isinstance(x, dict):
        return x
    if "class_name" not in x:
        return {"category": "dict", "config": {k: _plain(category, v) for k, v in x.items()}}
    name, config = _named(x)
    if name == "DTypePolicy":
        return (config or {})["name"]
    if name in ("__numpy__", "__tensor__"):
        return _plain(category, (config or {})["value"])
    if category == "optimizer":
        return _made("schedule", name, config) if name in registry.names("schedule") and config else _optimizer(x)
    raise _Lost(f"{name} in the config of a {category} is not known here")


def _optimizer(given: Any) -> Any:
    name, config = _named(given)
    name = name.rpartition(">")[2]  # Keras 2 writes "Custom>Adam"
    if config is None:
        return optim.get(_entry("optimizer", name if name in registry.names("optimizer") else name.lower()))
    rate = config.get("learning_rate", config.pop("lr", None))
    config = {key: _shortest(x) if isinstance(x, float) else x for key, x in config.items()}
    if isinstance(rate, int | float):
        config["learning_rate"] = _shortest(rate)
    elif isinstance(rate, dict) and rate.get("class_name") not in registry.names("schedule"):
        raise _Lost(f"there is no learning-rate schedule {shown(rate.get('class_name'))}")
    if "use_ema" not in config and name not in ("LossScaleOptimizer", "MultiOptimizer"):
        config = _of_keras_2(name, config)
    if name == "LossScaleOptimizer" and not config.get("dynamic", True):
        raise _Lost("its LossScaleOptimizer has a scale that stays")
    if name == "MultiOptimizer":
        parts = _named(config["optimizer_map"])[1] or {}
        each = {pattern: _optimizer(x) for pattern, x in (parts.get("optimizer_map") or {}).items()}
        config["optimizer_map"] = None
        made = optim.OptimizerMap(_optimizer(parts["default_optimizer"]), each)
        if each:
            warn(_PATTERNS.format(", ".join(map(repr, each))))
        return optim.MultiOptimizer(made, config.get("loss_scale_factor"), config.get("name"))
    return _made("optimizer", name, config)


_PATTERNS = (
    "The optimizer chooses by patterns of paths: {}. Here a path begins with the layer, such as 'dense/kernel', and in "
    "Keras it may begin with the name of the model: check that each pattern still matches."
)


def _of_keras_2(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The config of an optimizer of Keras 2 before 2.11, `keras.optimizers.legacy`."""
    decay = config.pop("decay", None)
    if decay:
        if not isinstance(config.get("learning_rate"), float):
            raise _Lost(f"the optimizer {name} has both a schedule and decay={decay}")
        config["learning_rate"] = optim.InverseTimeDecay(config["learning_rate"], 1, decay)
    if name in _OTHERWISE:
        warn(
            f"The optimizer {name} of Keras 2 {_OTHERWISE[name]}, unlike {name} of Keras 3 and the one here: training "
            "goes on a little differently."
        )
    return config


_OTHERWISE = {
    "RMSprop": "adds epsilon to the root",
    "Adagrad": "adds epsilon to the root",
    "Nadam": "has another schedule of its momentum",
}


def _shortest(rate: float) -> float:
    """The shortest number that is `rate` in float32, in which Keras keeps it: 0.001 for 0.0010000000474974513."""
    import numpy as np

    short = float(str(np.float32(rate)))
    return short if float(np.float32(short)) == rate else float(rate)


def _loss(given: Any) -> Any:
    name, config = _named(given)
    if config is None:
        if name not in ("crossentropy", "ce"):
            losses.get(_entry("loss", name))
        return name
    if "reduction" in config:
        config["reduction"] = {"auto": "sum_over_batch_size"}.get(config["reduction"], config["reduction"])
    if name == "LossFunctionWrapper":
        name = _named(config.pop("fn"))[0]
        function = registry.resolve("loss", _entry("loss", name))
        if function not in OF_FUNCTION and not isinstance(function, losses.Loss):
            return FunctionLoss(function, **config)
    config.pop("fn", None)  # Keras 2 writes it for each loss
    return _made("loss", name, config)


def _metric(given: Any) -> Any:
    name, config = _named(given)
    if config is None:
        if name in ("accuracy", "acc", "crossentropy", "ce"):
            return name
        known = next((n for n in (name, f"custom:{name}") for c in ("metric", "loss") if n in registry.names(c)), None)
        return name if known == name else metrics.get(_entry("metric", name))
    if name == "MeanMetricWrapper":
        fn, options = config.pop("fn"), {key: config.pop(key, None) for key in ("name", "dtype")}
        fn = _named(fn)[0]
        if fn in registry.names("metric") and not config:
            return _made("metric", fn, {k: x for k, x in options.items() if x is not None})
        made = _made("loss", fn, config)
        return metrics.MeanMetricWrapper(made, options["name"], options["dtype"])
    config.pop("fn", None)  # Keras 2 writes it for some
    if str(config.get("dtype")).startswith("int"):  # in which Keras counts; here counts are floats with their errors
        config["dtype"] = None
    return _made("metric", name, config)


def _metric_or_none(given: Any) -> Any:
    try:
        return _metric(given)
    except (_Lost, ArgumentError) as error:
        warn(f"A metric of the file is left out: {str(error).splitlines()[0].rstrip('.')}.")
        return None


# -- to Keras's configs ------------------------------------------------------------------------------------------------


def described(model: Any) -> dict[str, Any] | None:
    """How `model` is compiled, as the `compile_config` of a Keras file; None if it is not compiled.

    `model` has the attributes of a `Model`, maybe as they were at one moment. What Keras lacks is left out, and a
    warning names it.
    """
    for argument in ("step", "objective"):
        if getattr(model, argument) is not None:
            warn(f"The file does not say how the model is compiled: it has a `{argument}` of your own, which is code.")
            return None
    if model.optimizer is None:
        return None
    try:
        optimizer, loss = _optimizer_config(model.optimizer, model.train_state), _each_ours(model.loss, _loss_config)
    except _Lost as lost:
        warn(f"The file does not say how the model is compiled: {lost}.")
        return None
    found = {name: _each_ours(getattr(model, name), _metric_config) for name in ("metrics", "weighted_metrics")}
    options = {"loss_weights": _listed_plainly(model.loss_weights), "run_eagerly": model.run_eagerly}
    return {"optimizer": optimizer, "loss": loss, **{name: x or None for name, x in found.items()}, **options}


def _each_ours(given: Any, fun: Callable[[Any], Any]) -> Any:
    """`fun` of the losses or metrics in a list or dict, nested or not; of `given` itself if it is one."""
    if isinstance(given, dict) and "class" not in given:
        return {name: _each_ours(x, fun) for name, x in given.items()}
    if isinstance(given, list | tuple):
        return [_each_ours(x, fun) for x in given]
    return None if given is None else fun(given)


def _listed_plainly(x: Any) -> Any:
    """Tuples as lists, policies as their names."""
    if isinstance(x, dict):
        return {k: _listed_plainly(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_listed_plainly(v) for v in x]
    return x if isinstance(x, str | int | float | bool | None) else getattr(x, "name", x)


def _optimizer_config(optimizer: Any, ts: Any = None) -> dict[str, Any]:
    config = getattr(optimizer, "config", None)
    if config is None or not registry.is_ours(type(optimizer)):
        raise _Lost(f"its optimizer, {shown(optimizer)}, is none of kf.optim")
    kind, given = config["class"], dict(config["config"])
    if kind == "loss_scale":
        inner = _optimizer_config(optim.get(given["inner_optimizer"]), ts)
        return _object("keras.optimizers", "LossScaleOptimizer", {**given, "inner_optimizer": inner})
    if kind == "multi_optimizer" and isinstance(given["optimizer_map"], optim.OptimizerMap):
        chosen = given["optimizer_map"]
        each = {pattern: _optimizer_config(x) for pattern, x in (chosen.optimizer_map or {}).items()}
        if each:
            warn(_PATTERNS.format(", ".join(map(repr, each))))
        parts = {"default_optimizer": _optimizer_config(chosen.default_optimizer), "optimizer_map": each}
        found = {**given, "optimizer_map": _object("keras.optimizers", "OptimizerMap", parts)}
        return _object("keras.optimizers", "MultiOptimizer", found)
    if not isinstance(optimizer, optim.Optimizer):
        raise _Lost(f"Keras has no optimizer like {kind}")
    if given.pop("exclude_from_weight_decay") is not None:
        warn(
            "`exclude_from_weight_decay` is not in the file, since Keras's configs lack it: call "
            "optimizer.exclude_from_weight_decay(var_names=...) after loading it in Keras."
        )
    given["learning_rate"] = _rate_config(given["learning_rate"], ts)
    return _object("keras.optimizers", type(optimizer).__name__, _listed_plainly(given))


def _rate_config(rate: Any, ts: Any) -> Any:
    if isinstance(rate, optim.Constant):
        return rate.value
    if isinstance(rate, optim.LearningRateSchedule) and registry.is_ours(type(rate)):
        options = _listed_plainly(arguments(rate))
        return _object("keras.optimizers.schedules", type(rate).__name__, options)
    if callable(rate):
        raise _Lost(f"its learning rate, {shown(rate)}, is a function of your own")
    now = None if ts is None or ts.opt_state is None else optim.learning_rate(ts.opt_state)
    return _shortest(float(to_numpy(rate if now is None else now)))


def _loss_config(given: Any) -> Any:
    if given in ("crossentropy", "ce"):
        return given
    loss = losses.get(given)
    if not registry.is_ours(type(loss)) or isinstance(loss, FunctionLoss):
        raise _Lost(f"its loss, {loss.name}, is a function or a class of your own")
    config = {name: x for name, x in arguments(loss).items() if name != "dtype" or x is not None}
    return _object("keras.losses", type(loss).__name__, _listed_plainly(config))


def _metric_config(given: Any) -> Any:
    if isinstance(given, str) and given in ("accuracy", "acc", "crossentropy", "ce"):
        return given
    metric = metrics.get(given)
    name, config = type(metric).__name__, dict(arguments(metric))
    config.pop("num_outputs", None)  # Keras finds it by the data
    if config["dtype"] is None:
        del config["dtype"]
    own = not registry.is_ours(type(metric))
    if isinstance(metric, metrics.MeanMetricWrapper):
        loss = metric.fn
        own = not registry.is_ours(type(loss)) or isinstance(loss, FunctionLoss)
        if not own:
            function = {"module": "builtins", "class_name": "function", "config": type(loss).function.__name__}
            options = {k: x for k, x in arguments(loss).items() if k not in ("name", "dtype", "reduction")}
            config = {**options, **config, "fn": {**function, "registered_name": "function"}}
    if own or not hasattr(metrics, name):
        warn(f"The metric {metric.name} is not in the file: it is a function or a class of your own.")
        return None
    return _object("keras.metrics", name, {k: x if k == "fn" else _listed_plainly(x) for k, x in config.items()})


# -- the variables of the optimizer ------------------------------------------------------------------------------------


class _Variable(NamedTuple):
    """A variable of Keras's optimizer.

    Attributes:
        leaves: The arrays of our state that hold it, by name; each is the variable divided by a number. None of them if
            the state here has no such array.
        shape, value: Its shape and its value, if there are no leaves.
        sign: -1 if the array here has the other sign.
        only: "3" if Keras 2 has no such variable, "2" if Keras 3 has none; "" otherwise.
    """

    leaves: dict[str, int]
    shape: tuple[int, ...] = ()
    value: float = 0.0
    sign: int = 1
    only: str = ""


_Order = Mapping[str, tuple[int, ...]]
"""The paths of parameters, and their shapes."""

_SLOTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "adadelta": (("grads", "steps"),),
    "adagrad": (("accumulator",),),
    "adam": (("mu", "nu"), ("greatest",)),
    "adamax": (("mu", "norm"),),
    "adamw": (("mu", "nu"), ("greatest",)),
    "ftrl": (("accumulator", "linear"),),
    "lamb": (("mu", "nu"),),
    "lion": (("momentum",),),
    "muon": (("momentum", "velocity"),),
    "nadam": (("means.mu", "means.nu"),),
    "rmsprop": (("velocity",), ("momentum",), ("average",)),
    "schedule_free_adamw": (("z", "nu"),),
    "sgd": (("momentum",),),
}
"""For each optimizer, the fields of its state in the order of Keras's variables: those of one tuple alternate."""


def _variables(
    optimizer: Any, known: Mapping[str, Any], order: _Order, at: str = "", grouped: bool = False
) -> Iterator[_Variable]:
    """The variables of Keras's optimizer, in their order.

    Args:
        optimizer: One of ours.
        known: The arrays of its state by name.
        order: The paths of the parameters that train, in the order of Keras, and their shapes.
        at: What the names in `known` begin with.
        grouped: Whether no kinds of variables alternate, as in Keras 2 before 2.11.
    """
    config = getattr(optimizer, "config", None) or {"class": type(optimizer).__name__, "config": {}}
    kind, given = config["class"], config["config"]
    if inside := _inside(optimizer, order, at):
        if kind == "loss_scale":
            yield from (_Variable({}), _Variable({}), _Variable({f"{at}steps": 1}), _Variable({f"{at}scale": 1}))
        else:
            yield from (_Variable({f"{at}0.count": 1}), _Variable({}))
        for _, inner, mine, below in inside:
            yield from _variables(inner, known, mine, below, grouped)
        return
    if not isinstance(optimizer, optim.Optimizer) or kind not in (*_SLOTS, "adafactor"):
        raise _Lost(f"Keras has no optimizer like {kind}")
    if f"{at}count" not in known:  # one of several, and without parameters
        yield _Variable({})
        if not callable(optimizer.learning_rate):
            yield _Variable({}, value=float(to_numpy(optimizer.learning_rate)), only="3")
        return
    every, counts = optimizer.gradient_accumulation_steps or 1, {}
    average = sums = None
    if optimizer.use_ema:
        counts[f"{at}count"], average, at = 1, f"{at}average.", f"{at}inner."
    if every > 1:
        counts[f"{at}count"], sums, at = 1, f"{at}sums.", f"{at}inner."
    yield _Variable({**counts, f"{at}count": every})
    if f"{at}learning_rate" in known:
        yield _Variable({f"{at}learning_rate": 1}, only="3")
    for trees in (average, sums):
        yield from (_Variable({trees + path: 1}) for path in order if trees is not None)
    at += "inner."
    if kind == "adafactor":
        yield from _factors(known, order, at)
    if kind == "sgd" and not given["momentum"]:
        yield from (_Variable({}, shape, only="2") for shape in order.values())
    for group in _SLOTS.get(kind, ()):
        each = [(path, field) for path in order for field in group]
        for path, field in sorted(each, key=lambda x: group.index(x[1])) if grouped and kind != "ftrl" else each:
            shape = getattr(known.get(f"{at}{field}.{path}"), "shape", None)
            if shape is not None and (kind != "muon" or field == "momentum" or shape):
                sign = -1 if (kind, field) == ("rmsprop", "momentum") else 1
                yield _Variable({f"{at}{field}.{path}": 1}, sign=sign)
    if kind == "nadam":
        yield _Variable({f"{at}product": 1}, only="3")


def _factors(known: Mapping[str, Any], order: _Order, at: str) -> Iterator[_Variable]:
    """The variables of Adafactor: of each parameter two vectors and the whole, of which one or the other is used."""
    for path in order:
        rows, columns, whole = (f"{at}{field}.{path}" for field in ("rows", "columns", "all"))
        if known[whole].shape or not known[rows].shape:  # a vector, whose means over rows and columns are not used
            yield from (_Variable({}, only="3"), _Variable({}, only="3"), _Variable({whole: 1}))
        else:  # Keras computes the whole anew from the vectors
            shape = (*known[rows].shape, known[columns].shape[-1])
            yield from (_Variable({rows: 1}), _Variable({columns: 1}), _Variable({}, shape))


def _inside(optimizer: Any, order: _Order, at: str) -> list[tuple[str, Any, _Order, str]]:
    """The optimizers in an optimizer, whose variables follow its own: each with its place in Keras's file, the
    parameters that it updates, and the beginning of the names of its state."""
    config = getattr(optimizer, "config", None) or {"class": None}
    if config["class"] == "loss_scale":
        return [("inner_optimizer", optim.get(config["config"]["inner_optimizer"]), order, f"{at}inner.")]
    chosen = config["config"]["optimizer_map"] if config["class"] == "multi_optimizer" else None
    if not isinstance(chosen, optim.OptimizerMap):
        return []
    by_id: dict[int, list[str]] = {}
    paths = {path.replace(".", "/"): shape for path, shape in order.items()}
    for path in sorted(paths, key=lambda p: p.split("/")):  # as `tree.paths` has them, by which the state is numbered
        by_id.setdefault(id(chosen(path)), []).append(path)
    numbers = {name: i for i, name in enumerate(by_id)}
    out: list[tuple[str, Any, _Order, str]] = []
    used = Counter[str]()
    for one in {id(x): x for x in (*(chosen.optimizer_map or {}).values(), chosen.default_optimizer)}.values():
        one = optim.get(one)
        name = registry.snake_case(type(one).__name__)
        number, mine = used[name], {path: x for path, x in paths.items() if path in by_id.get(id(one), ())}
        used[name] += 1
        # An optimizer without parameters has a counter and a learning rate in Keras, and no state here.
        out.append(
            (
                f"optimizers/{name}_{number}" if number else f"optimizers/{name}",
                one,
                mine,
                f"{at}{numbers.get(id(one))}.",
            )
        )
    return out


def _order(model: Model, places: Sequence[Any]) -> _Order:
    """The parameters that train in Keras's order, and their shapes."""
    here = files.flatten(model.train_state.params)  # type: ignore[union-attr]
    paths = dict.fromkeys(".".join(path) for place in places for path in place.paths)
    return {name: tuple(here[name].shape) for name in paths if name in here}


def groups(model: Any, places: Sequence[Any]) -> list[tuple[str, str | None, list[Any]]]:
    """The optimizer's state as groups of a Keras file, `optimizer` and those of the optimizers in it.

    Args:
        model: As for `described`, compiled and with a state.
        places: What `weights.places` found, in the order in which Keras makes the variables of its layers.
    """
    try:
        order, known = _order(model, places), files.flatten(model.train_state.opt_state)
        found = list(_grouped("optimizer", model.optimizer, known, order, ""))
    except _Lost as lost:
        warn(f"The optimizer's state is not in the file: {lost}.")
        return []
    return [(file, None, [_value(v, known) for v in own if v.only != "2"]) for file, own in found]


def _grouped(
    file: str, optimizer: Any, known: Mapping[str, Any], order: _Order, at: str
) -> Iterator[tuple[str, list[_Variable]]]:
    yield file, list(_variables(optimizer, known, order, at))
    for name, inner, mine, below in _inside(optimizer, order, at):
        yield from _grouped(f"{file}/{name}", inner, known, mine, below)


def _value(variable: _Variable, known: Mapping[str, Any]) -> Any:
    import numpy as np

    name = next(iter(variable.leaves), None)
    if name is None:
        return np.full(variable.shape, variable.value, "float32")
    return to_numpy(known[name]) * variable.sign


def restore(model: Model, arrays: Sequence[Any], names: Sequence[str] | None, places: Sequence[Any]) -> None:
    """Set the optimizer's state, and the number of steps, from the arrays of a Keras file.

    If they are not those of the optimizer, it starts afresh, and a warning says so.

    Args:
        model: A model that is compiled and has a state.
        arrays: NumPy's, in the order of the file.
        names: The names that a legacy `.h5` has for them; None if there are none.
        places: As for `groups`.
    """
    ts: Any = model.train_state
    if model.optimizer is None or not arrays:
        return
    if all(x.shape == () for x in arrays) and arrays[0] == 0:
        return  # Keras writes the number of steps and the learning rate of an optimizer that has done nothing yet
    try:
        filled, step = _filled(model, list(arrays), names, places)
    except _Lost as lost:
        warn(f"The optimizer starts afresh, since its state in the file cannot be used: {lost}.")
        return
    target = backend_of(ts.key)
    opt_state = tree.unflatten(tree.structure(ts.opt_state), to_backend(list(filled.values()), target))
    model.train_state = ts._replace(opt_state=opt_state, step=to_backend(step, target))


def _numbers(array: Any) -> Any:
    """The array itself; in bfloat16, if they are pairs of bytes, as which Keras writes it."""
    if array.dtype.str != "|V2":
        return array
    import ml_dtypes

    return array.view(ml_dtypes.bfloat16)


def _filled(model: Model, arrays: list, names: Sequence[str] | None, places: Sequence[Any]) -> tuple[dict, Any]:
    """The leaves of the new state by name, in their order, and the number of steps."""
    import numpy as np

    # The first name of Keras 2 before 2.11 is "Adam/iter:0", and later "iteration:0" and "adam/iteration".
    grouped = names is not None and not names[0].partition(":")[0].endswith("iteration")
    known = files.flatten(model.train_state.opt_state)  # type: ignore[union-attr]
    listed = list(_variables(model.optimizer, known, _order(model, places), grouped=grouped))
    forms = [[v for v in listed if v.only in ("", version)] for version in ("3", "2")]
    if model.optimizer.config["class"] == "loss_scale":  # which `compile` adds for one layer in float16, and Keras only
        forms += [form[4:] for form in forms]  # if the policy of the whole model says so
    found = next((form for form in forms if len(form) == len(arrays)), None)
    if found is None:
        raise _Lost(f"it has {len(arrays)} arrays, and {len(forms[0])} are expected")
    filled = {name: to_numpy(x) for name, x in known.items()}
    step: Any = None
    for i, (variable, array) in enumerate(zip(found, map(_numbers, arrays), strict=True)):
        for name, share in variable.leaves.items():
            like = filled[name]
            if like.shape != array.shape:
                raise _Lost(f"array {i} has shape {array.shape}, and {name} has {like.shape}")
            if not weights.fits(array.dtype.name, like.dtype.name):
                raise _Lost(f"array {i} is {array.dtype.name}, and {name} is {like.dtype.name}")
            value = array // share if share > 1 else array * variable.sign if variable.sign < 0 else array
            filled[name] = np.asarray(value).astype(like.dtype)
        if step is None and any(name.endswith("count") for name in variable.leaves):
            step = int(array)
    if step is None or not 0 <= step < 2**31:
        raise _Lost(f"it has made {step} steps")
    if found is forms[1] and "inner.product" in filled:  # of Nadam, which Keras 2 does not keep
        first = np.prod(1 - 0.5 * 0.96 ** np.arange(1.0, min(step, 1000) + 1))  # all others are 1
        filled["inner.product"] = np.asarray(model.optimizer.beta_1**step * first, filled["inner.product"].dtype)
    return filled, np.asarray(step, "int32")
