"""Losses, metrics, optimizers, layers and models as Keras's tests use them: objects that keep what kfunc hands around.

A box holds an object of ours and answers with its attributes. Boxes of metrics, optimizers and layers also hold the
state that kfunc's functions take and return.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import types
from typing import Any

import keras
import numpy as np
from keras.src import backend as keras_backend
from keras.src import dtype_policies as keras_policies

import kfunc as kf
from kfunc import Spec, nn

from . import arrays
from .arrays import BACKEND, Unmapped, Variable, to_backend, value_of


class UnmappedAttribute(Unmapped, AttributeError):
    """An attribute without a counterpart."""


def unboxed(x: Any) -> Any:
    """`x` without boxes, also in lists, tuples and dicts; arrays in the backend under test."""
    if isinstance(x, Box):
        return x.ours
    if isinstance(x, list | tuple) and not hasattr(x, "_fields"):
        return type(x)([unboxed(v) for v in x])
    if isinstance(x, dict):
        return {key: unboxed(v) for key, v in x.items()}
    if isinstance(x, types.FunctionType) and hasattr(x, "ours"):
        return x.ours
    if isinstance(x, keras_policies.DTypePolicy):
        return x.name
    return to_backend(x)


def as_array(x: Any) -> Any:
    """Numbers in lists as an array, as Keras takes them."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "OSU":
        return x
    if isinstance(x, Variable | np.ndarray) or arrays.is_tensor(x):
        return to_backend(x)
    return arrays.tensor(x) if isinstance(x, list | tuple | int | float) and not isinstance(x, bool) else x


class Box:
    """An object of ours, made by the arguments of Keras's class."""

    category = ""
    cls: Any = None

    def __init__(self, *args: Any, **kwargs: Any):
        self.ours = self.cls(*unboxed(args), **unboxed(kwargs))

    @classmethod
    def of(cls, ours: Any) -> Any:
        made = object.__new__(cls)
        made.ours = ours
        made._begin()
        return made

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()

    def _begin(self) -> None:
        """Set up the state."""

    def __getattr__(self, name: str) -> Any:
        if name == "ours" or name.startswith("__"):
            raise AttributeError(name)
        for known in (name, name.lstrip("_")):
            if hasattr(self.ours, known):
                return getattr(self.ours, known)
        raise UnmappedAttribute(f"{type(self).__name__}.{name}")

    def get_config(self) -> Any:
        return kf.registry.to_config(self.category, self.ours)["config"]

    @classmethod
    def from_config(cls, config: Any) -> Any:
        return cls.of(kf.registry.from_config(cls.category, {"class": cls.cls.__name__, "config": config}))

    def again(self) -> Any:
        """The box of what a file would give back."""
        config = kf.registry.to_config(self.category, self.ours)
        ours = kf.registry.from_config(self.category, json.loads(json.dumps(config)))
        assert kf.registry.to_config(self.category, ours) == config
        return type(self).of(ours)


class LossBox(Box):
    category = "loss"

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> Any:
        return self.ours(as_array(y_true), as_array(y_pred), as_array(sample_weight), mask)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.ours.values(as_array(y_true), as_array(y_pred))


class OwnLoss(LossBox):
    """A loss that is written in a test, with a method `call`."""

    def __init__(self, reduction="sum_over_batch_size", name=None, dtype=None):
        kind = type(kf.losses.get(lambda y_true, y_pred: y_pred))
        own = type(self).call.__get__(self)
        self.ours = kf.replace(kind(own), reduction=reduction, dtype=unboxed(dtype), name=name or type(self).__name__)


class MetricBox(Box):
    category = "metric"

    @property
    def variables(self) -> list:
        """As many as Keras has: the rows of the sums, where a metric has several."""
        sums = kf.to_numpy((self.acc or self.ours.init(like=BACKEND))["sums"])
        return [Variable(row) for row in sums] if sums.ndim > 1 or sums.shape == (2,) else [Variable(sums)]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._begin()

    def _begin(self) -> None:
        self.acc = None
        self.made = self.ours

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        args = tuple([as_array(x) for x in args])
        kwargs = {k: as_array(x) for k, x in kwargs.items()}
        if self.acc is None:
            shapes = [getattr(x, "shape", ()) for x in args]
            if len(shapes) > 1 and shapes[1]:
                self.ours = self.ours.sized(shapes[1][-1])
            self.acc = self.ours.init(like=BACKEND)
        if any(isinstance(x, Spec) for x in args):
            self.acc = kf.tree.map(lambda x: Spec(x.shape, x.dtype), self.acc)
        self.acc = self.ours.update(self.acc, *args, **kwargs)

    def result(self) -> Any:
        return self.ours.result(self.ours.init(like=BACKEND) if self.acc is None else self.acc)

    def reset_state(self) -> None:
        self._begin()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()


class Callable_(Box):
    """Initializers, regularizers, constraints, schedules: called with arrays."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.ours(*map(as_array, args), **kwargs)


class InitializerBox(Box):
    category = "initializer"

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        seed = getattr(self.ours, "seed", None)
        key = kf.random.key(next(_seeds) if seed is None else seed, backend=BACKEND)
        return self.ours(key, shape, arrays.standardize_dtype(dtype))


_seeds = itertools.count(10_000)


class OptimizerBox(Box):
    category = "optimizer"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._begin()

    def _begin(self) -> None:
        self.state: Any = None
        self.vars: list[Variable] = []
        self.excluded: list[str] = []
        self.iterations = self._iterations = 0

    def _key(self, v: Variable) -> str:
        return f"{[id(x) for x in self.vars].index(id(v)):03d}_{v.name}"

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        self.excluded += list(var_names or [])
        self.excluded_vars = list(var_list or [])

    def build(self, variables: Any) -> None:
        self.vars = list(variables)
        more = [f"^{self._key(v)}$" for v in getattr(self, "excluded_vars", []) if any(v is x for x in self.vars)]
        if self.excluded or more:
            self.ours = kf.replace(self.ours, exclude_from_weight_decay=[*self.excluded, *more])
        self.state = self.ours.init({self._key(v): v.value for v in self.vars})

    def apply_gradients(self, pairs: Any) -> None:
        grads, variables = zip(*list(pairs), strict=True)
        self.apply(grads, variables)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        grads = list(grads)
        if trainable_variables is not None and self.state is None:
            self.build(trainable_variables)
        variables = list(trainable_variables if trainable_variables is not None else self.vars)
        if any(g is None for g in grads):
            raise Unmapped("gradients that are None")
        params = {self._key(v): v.value for v in variables}
        given = {self._key(v): kf.ops.cast(as_array(g), v.dtype) for g, v in zip(grads, variables, strict=True)}
        updates, self.state = self.ours.update(given, self.state, params)
        for name, value in kf.optim.apply_updates(params, updates).items():
            next(v for v in self.vars if self._key(v) == name).value = value
        self.iterations = self._iterations = self.iterations + 1

    def _clip_gradients(self, grads: Any) -> Any:
        o = self.ours
        for limit, clip in (
            (o.clipnorm, kf.optim.clip_by_norm),
            (o.clipvalue, kf.optim.clip_by_value),
            (o.global_clipnorm, kf.optim.clip_by_global_norm),
        ):
            if limit is not None:
                return clip(limit).update([as_array(g) for g in grads], ())[0]
        return grads

    @property
    def learning_rate(self) -> Any:
        if self.state is None:
            return self.ours.learning_rate
        return kf.optim.learning_rate(self.state)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.state = kf.optim.with_learning_rate(self.state, value)


# -- layers ----------------------------------------------------------------------------------------------------------


class Weight(Variable):
    """A leaf of a layer's trees."""

    def __init__(self, trees: dict, path: tuple[str, ...], trainable: bool):
        self.trees, self.where = trees, path
        self.trainable, self.name, self.path = trainable, path[-1], "/".join(path)

    def _node(self) -> dict:
        return functools.reduce(lambda node, part: node[part], self.where[:-1], self.trees)

    @property
    def value(self):
        return self._node()[self.where[-1]]

    @value.setter
    def value(self, new):
        self._node()[self.where[-1]] = new


def _paths(node: Any, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(node, dict):
        return [prefix]
    return [path for key, value in node.items() for path in _paths(value, (*prefix, key))]


class LayerBox(Box):
    category = "layer"
    has_layout = False

    def __init__(self, *args: Any, **kwargs: Any):
        for name in ("batch_input_shape", "input_shape", "implementation", "use_cudnn"):
            kwargs.pop(name, None)
        layout = keras_backend.image_data_format()
        if layout != "channels_last" and self.has_layout:
            kwargs["data_format"] = kwargs.get("data_format") or layout
        super().__init__(*args, **kwargs)
        self._begin()

    def _begin(self) -> None:
        self.trees: dict[str, Any] | None = None
        self.losses: list = []
        self.calls = itertools.count()
        self.mask_out = None

    @property
    def built(self) -> bool:
        return self.trees is not None

    def _bound(self, args: tuple, kwargs: dict) -> tuple[tuple, dict, bool]:
        """Arguments by position where `forward` has them so: `apply` has a `key` of its own."""
        train = bool(kwargs.pop("training", False))
        names = [
            p.name
            for p in inspect.signature(type(self.ours).forward).parameters.values()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ][2:]
        renamed = {**kwargs}
        if not args and renamed and next(iter(renamed)) not in names:  # Keras has a name of its own for the inputs
            args = (renamed.pop(next(iter(renamed))),)
        if "mask" in renamed and "mask" not in names:
            renamed.pop("mask")
        if "key" in renamed:
            args = (*args, *[renamed.pop(n, None) for n in names[len(args) : names.index("key") + 1]])
        return unboxed(args), unboxed(renamed), train

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs, train = self._bound(args, kwargs)
        leaves = kf.tree.leaves((args, tuple(kwargs.values())))
        if any(isinstance(x, nn.nodes.Node) for x in leaves):
            return self.ours(*args, **kwargs)
        if any(isinstance(x, Spec) for x in leaves):
            call = self.ours.trace(*args, **kwargs)
            self._declare(call)
            return call.outputs[-1][2]
        first = args[:1]
        if first and isinstance(first[0], list) and all(isinstance(x, int | float) for x in kf.tree.leaves(first[0])):
            args = (arrays.tensor(first[0]), *args[1:])
        if self.trees is None:
            params, state = self.ours.init(1337, *args, backend=BACKEND, **kwargs)
            self.trees = {"params": params, "state": state}
        key = kf.random.key(next(self.calls), backend=BACKEND)
        out, self.trees["state"], aux = self.ours.apply(
            self.trees["params"], *args, state=self.trees["state"], key=key, train=train, aux=True, **kwargs
        )
        self.losses = kf.tree.leaves(aux.losses)
        self.mask_out = aux.mask
        return out

    def _declare(self, call: Any) -> None:
        if self.trees is None:
            key = kf.random.key(1337)
            params, state = call.trees(
                lambda path, d: kf.asarray(d.draw(key, path), arrays.dtype_name(d.spec.dtype), backend=BACKEND)
            )
            self.trees = {"params": params, "state": state}

    def build(self, *shapes: Any, **named: Any) -> None:
        named = {k.removesuffix("_shape"): v for k, v in named.items()}
        if not shapes and named and next(iter(named)) not in inspect.signature(type(self.ours).forward).parameters:
            shapes = (named.pop(next(iter(named))),)
        if not shapes and not named:
            shapes = ((None, 1),)
        specs = [_specs(s) for s in shapes if s is not None]
        if isinstance(self.ours, nn.Embedding):
            specs = [Spec(s.shape, "int32") for s in specs]
        self._declare(self.ours.trace(*specs, **{k: _specs(s) for k, s in named.items()}))

    def compute_output_shape(self, *shapes: Any, **named: Any) -> Any:
        shapes = (*shapes, *named.values())
        call = self.ours.trace(*[_specs(s) for s in shapes if s is not None])
        return kf.tree.map(lambda x: tuple(x.shape), call.outputs[-1][2])

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs, _ = self._bound(args, kwargs)
        return self.ours.trace(*args, **kwargs).outputs[-1][2]

    def _weights(self, kind: str) -> list[Weight]:
        if self.trees is None:
            return []
        return [Weight(self.trees[kind], path, kind == "params") for path in _paths(self.trees[kind]) if path]

    trainable_weights = property(lambda self: self._weights("params"))
    trainable_variables = trainable_weights
    non_trainable_weights = property(lambda self: self._weights("state"))
    non_trainable_variables = non_trainable_weights
    weights = property(lambda self: [*self._weights("params"), *self._weights("state")])
    variables = weights

    def get_weights(self) -> list:
        return [w.numpy() for w in self.weights]

    def set_weights(self, values: Any) -> None:
        mine = self.weights
        if len(mine) != len(values) or any(tuple(np.shape(v)) != w.shape for w, v in zip(mine, values, strict=True)):
            raise ValueError("the weights do not fit")
        for w, v in zip(mine, values, strict=True):
            w.assign(v)

    def count_params(self) -> int:
        return sum(int(np.prod(w.shape)) for w in self.weights)

    def __getattr__(self, name: str) -> Any:
        trees = self.__dict__.get("trees")
        if trees is not None and name != "ours":
            found = [w for w in self.weights if w.where == (name,)]
            if found:
                return found[0]
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("trees", "losses", "calls", "mask_out", "ours"):
            self.__dict__[name] = value
        elif name in {f for f in getattr(type(self.ours), "__dataclass_fields__", ())}:
            self.__dict__["ours"] = kf.replace(self.ours, **{name: unboxed(value)})
        else:
            raise UnmappedAttribute(f"{type(self).__name__}.{name} = …")


def _specs(shape: Any) -> Any:
    if arrays.is_shape(shape):
        return Spec(shape)
    if isinstance(shape, dict):
        return {k: _specs(v) for k, v in shape.items()}
    return [_specs(s) for s in shape]


# -- models ----------------------------------------------------------------------------------------------------------


def Input(shape=None, batch_size=None, dtype=None, sparse=None, batch_shape=None, name=None, tensor=None, **kwargs):
    if sparse or tensor is not None or kwargs:
        raise Unmapped("sparse inputs, inputs of tensors")
    if batch_shape is not None:
        batch_size, shape = batch_shape[0], batch_shape[1:]
    return nn.Input(shape, dtype=arrays.standardize_dtype(dtype), batch_size=batch_size, name=name)


class ModelBox(Box):
    """`keras.Model` and `keras.Sequential`."""

    def __init__(self, *args: Any, **kwargs: Any):
        inputs = kwargs.pop("inputs", args[0] if args else None)
        outputs = kwargs.pop("outputs", args[1] if len(args) > 1 else None)
        kwargs.pop("name", None)
        if inputs is None or outputs is None or kwargs:
            raise Unmapped("models that are subclasses, with a method call")
        self.ours = kf.Model(nn.Graph(unboxed(inputs), unboxed(outputs)))
        self.spec = None

    def __call__(self, x: Any, training: bool = False, **kwargs: Any) -> Any:
        x = to_backend(x)
        return arrays.tensor(self.ours.predict(x, batch_size=max(1, len(kf.tree.leaves(x)[0])), verbose=0))

    @property
    def optimizer(self) -> Any:
        rate = kf.optim.learning_rate(self.ours.train_state.opt_state)
        return types.SimpleNamespace(learning_rate=Variable(rate))

    def get_weights(self) -> list:
        return [kf.to_numpy(x) for x in kf.tree.leaves((self.ours.train_state.params, self.ours.train_state.state))]

    def count_params(self) -> int:
        return sum(int(np.prod(x.shape)) for x in self.get_weights())

    def compile(self, optimizer="rmsprop", loss=None, metrics=None, **kwargs: Any) -> None:
        for name in ("jit_compile", "run_eagerly", "auto_scale_loss"):
            kwargs.pop(name, None)
        if metrics is not None:
            kwargs["metrics"] = unboxed(metrics)
        self.ours.compile(optimizer=unboxed(optimizer), loss=unboxed(loss), **unboxed(kwargs))

    def _run(self, name: str, *args: Any, **kwargs: Any) -> Any:
        kwargs = {k: v if k == "callbacks" else unboxed(v) for k, v in kwargs.items()}
        return getattr(self.ours, name)(*unboxed(args), **kwargs)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        return self._run("fit", *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        return self._run("evaluate", *args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        return self._run("predict", *args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        return self._run("train_on_batch", *args, **kwargs)


class SequentialBox(ModelBox):
    def __init__(self, layers: Any = None, **kwargs: Any):
        self.layers = list(layers or [])
        self.built = None

    @property
    def ours(self) -> Any:
        if self.built is None:
            inputs = [x for x in self.layers if isinstance(x, nn.nodes.Node)]
            layers = [unboxed(x) for x in self.layers if not isinstance(x, nn.nodes.Node)]
            net = nn.Sequential(layers)
            self.built = kf.Model(nn.Graph(inputs[0], net(inputs[0]))) if inputs else kf.Model(net)
        return self.built

    def add(self, layer: Any) -> None:
        self.layers.append(layer)


# -- names -----------------------------------------------------------------------------------------------------------


class Missing:
    """A class or function that has no counterpart; using it says so."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise Unmapped(f"{cls.__name__} has no counterpart")


def missing(name: str) -> Any:
    return type(name, (Missing,), {})


OWN_STYLE = missing("classes written against Keras's base classes")

# Area of Keras's source: where our names are, and the box around what is a class there.
AREAS: dict[str, tuple[Any, Any]] = {
    "layers": (nn, LayerBox),
    "losses": (kf.losses, LossBox),
    "metrics": (kf.metrics, MetricBox),
    "optimizers": (kf.optim, OptimizerBox),
    "initializers": (nn.initializers, InitializerBox),
    "regularizers": (nn.regularizers, type("RegularizerBox", (Callable_,), {"category": "regularizer"})),
    "constraints": (nn.constraints, type("ConstraintBox", (Callable_,), {"category": "constraint"})),
    "callbacks": (kf.callbacks, None),
    "activations": (nn.activations, None),
}
SCHEDULES = type("ScheduleBox", (Callable_,), {"category": "schedule"})
BASES = {"Layer": OWN_STYLE, "Metric": OWN_STYLE, "Optimizer": OWN_STYLE, "Loss": OwnLoss, "Callback": None}
MODELS = {"Model": ModelBox, "Functional": ModelBox, "Sequential": SequentialBox, "Input": Input}
NAMES = {"Zeros": "Zeros", "STFT": "STFTInitializer"}


@functools.cache
def _box(area: str, name: str) -> Any:
    where, base = AREAS[area]
    ours = getattr(where, name)
    if ours in (nn.Sequential,):
        return SequentialBox
    if area == "optimizers" and (name.endswith("Decay") or name.endswith("Restarts")):
        base = SCHEDULES
    has_layout = area == "layers" and "data_format" in inspect.signature(getattr(keras.layers, name, ours)).parameters
    return type(name, (base,), {"cls": ours, "has_layout": has_layout})


def mapped(area: str, name: str, theirs: Any) -> Any:
    """Our counterpart of `keras.<area>.name`."""
    if name in MODELS and area in ("layers", "models", ""):
        return MODELS[name]
    if name in BASES and BASES[name] is not None:
        return BASES[name]
    if area not in AREAS or name.startswith("_"):
        return theirs
    where, base = AREAS[area]
    ours = getattr(where, name, None)
    if inspect.isclass(theirs):
        if not inspect.isclass(ours):
            return missing(name)
        return ours if base is None else _box(area, name)
    if not callable(theirs):
        return theirs
    if name == "get":
        return functools.partial(_get, area)
    if not callable(ours) or name in ("serialize", "deserialize"):
        return missing(name)
    return _function(ours)


@functools.cache
def _function(ours: Any) -> Any:
    @functools.wraps(ours)
    def call(*args: Any, **kwargs: Any) -> Any:
        return ours(*map(as_array, args), **to_backend(kwargs))

    call.ours = ours
    return call


def _get(area: str, identifier: Any) -> Any:
    where, base = AREAS[area]
    if isinstance(identifier, dict):
        raise Unmapped("configs of Keras's")
    found = where.get(unboxed(identifier)) if hasattr(where, "get") else kf.registry.resolve(base.category, identifier)
    name = type(found).__name__
    if base is None or not hasattr(where, name) or isinstance(identifier, Box):
        return identifier if isinstance(identifier, Box) else found
    return _box(area, name).of(found)


# -- random ----------------------------------------------------------------------------------------------------------


class SeedGenerator:
    """A seed, and how often it was drawn from."""

    def __init__(self, seed: Any = None, name: Any = None, **kwargs: Any):
        self._initial_seed = seed
        self.key = kf.random.key(1337 if seed is None else int(seed), backend=BACKEND)

    def next(self, ordered: bool = True) -> Any:
        self.key, out = kf.random.split(self.key)
        return out


def random_function(name: str) -> Any:
    """`keras.random.name`, whose key comes from its seed."""
    ours = getattr(kf.random, name, None)
    if ours is None:
        return missing(f"random.{name}")
    signature = inspect.signature(getattr(keras.random, name))

    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        seed = given.pop("seed", None)
        key = seed.next() if isinstance(seed, SeedGenerator) else kf.random.key(seed or next(_seeds), backend=BACKEND)
        names = {"inputs": "x"} if name == "dropout" else {}
        given = {names.get(k, k): to_backend(v) for k, v in given.items()}
        if given.get("dtype") is None:
            given.pop("dtype", None)
        else:
            given["dtype"] = arrays.standardize_dtype(given["dtype"])
        return ours(key, **given)

    return call


__all__ = ["Box", "LayerBox", "SeedGenerator", "mapped", "random_function", "value_of"]
