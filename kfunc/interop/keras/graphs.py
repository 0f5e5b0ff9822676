"""Functional models of Keras as graphs: which node a config means, and the operations between the layers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ... import nn, registry, tree
from ...errors import ArgumentError, shown
from ...nn.nodes import Node
from ...nn.operations import Operation, check_sizes
from ...ops._op import OPS
from .layers import by_name, python_name

if TYPE_CHECKING:
    from .configs import Builder

__all__ = ["function_of", "graph", "is_operation", "operation"]

# -- operations --------------------------------------------------------------------------------------------------------

RENAMED = {"AllClose": "allclose", "CDist": "cdist", "IsIn": "isin", "SearchSorted": "searchsorted"}
"""Functions that are called otherwise than Keras's classes for them."""

_GIVEN = {"average": ("x", "weights"), "pad": ("x", "constant_values")}
"""Where the arguments that a node may give by position are not the first ones of the function."""

_TENSORFLOW: dict[str, tuple[str, dict[str, str]]] = {
    "add_v2": ("add", {}),
    "clip_by_value": ("clip", {"clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "concat": ("concatenate", {"values": "xs"}),
    "expand_dims": ("expand_dims", {}),
    "getitem": ("get_item", {}),
    "mul": ("multiply", {}),
    "neg": ("negative", {}),
    "pow": ("power", {}),
    "reduce_max": ("max", {}),
    "reduce_mean": ("mean", {}),
    "reduce_min": ("min", {}),
    "reduce_prod": ("prod", {}),
    "reduce_sum": ("sum", {}),
    "reshape": ("reshape", {"shape": "newshape"}),
    "sub": ("subtract", {}),
    "swish": ("silu", {}),
    "tile": ("tile", {"multiples": "repeats"}),
    "transpose": ("transpose", {"perm": "axes"}),
    "truediv": ("true_divide", {}),
}
"""Functions of TensorFlow, which stand in graphs of Keras 2: what they and their arguments are called here."""

_ON_ITS_OWN: dict[str, dict[str, Any]] = {
    **{name: {"axis": 0} for name in ("argmax", "argmin", "cumprod", "cumsum")},
    "gelu": {"approximate": False},
}
"""What functions of TensorFlow take where no argument is given, and the functions here of this name do not."""

_UNLIKE = frozenset("diag dropout eig identity normalize rot90 svd trace unique".split())
"""Functions of TensorFlow that compute something else than the functions here of this name."""

_LEGACY = ("TFOpLambda", "SlicingOpLambda")


def is_operation(obj: dict[str, Any]) -> bool:
    """Whether a config describes a function such as `x + y`, and not a layer: `Add` is the name of both."""
    module = obj.get("module")
    if obj["class_name"] in _LEGACY:
        return True
    if module is None:  # a legacy file of Keras 3; layers say whether they train
        config = obj.get("config")
        return isinstance(config, dict) and "trainable" not in config and "inbound_nodes" in obj
    return str(module).startswith(("keras.src.ops.", "keras.ops"))


def function_of(obj: dict[str, Any]) -> str | None:
    """The name in `kf.ops` of the function that a config describes; None if it is not here."""
    name = obj["class_name"]
    if name in _LEGACY:
        name = str(obj["config"]["function"]).rpartition(".")[2]
        name = "" if name in _UNLIKE else _TENSORFLOW.get(name, (name, {}))[0]
    else:
        name = RENAMED.get(name) or registry.snake_case(name)
    return name if name in OPS or name == "stop_gradient" else None


def operation(builder: Builder, obj: dict[str, Any], name: str | None) -> nn.Layer:
    """The layer of a function."""
    function = function_of(obj)
    if function is None:
        if obj.get("module") is None and obj["class_name"] in by_name():
            return builder.leaf(by_name()[obj["class_name"]], obj.get("config") or {}, name)
        if obj["class_name"] in _LEGACY:
            theirs = f"{shown(obj['config']['function'])} of TensorFlow"
            raise ArgumentError(
                f"The layer {shown(name)} of the Keras model is the function {theirs}, which kfunc does not know.",
                argument="config",
                expected="functions that kf.ops has",
                got=theirs,
                fix="use layers or operators in its place in Keras, and save the model again",
            )
        builder.refuse(obj)
    return Operation(function, name=name)


def _takes(function: str) -> dict[str, Any]:
    return dict(inspect.signature(OPS[function].reference).parameters) if function in OPS else {}


# -- graphs ------------------------------------------------------------------------------------------------------------


def graph(builder: Builder, config: dict[str, Any], name: str | None) -> nn.Layer:
    """The graph of a functional model."""
    return _Graph(builder, config).made(name)


class _Graph:
    """One functional model.

    A config means a node by the name of its layer, the number of the call, and the number of the value that the call
    returns. Calls are counted from 0; but those of an inner functional model, which has a node of its own, from 1: in
    Keras 3 only where the config lists inputs and outputs, in Keras 2 everywhere, and there for a Sequential, too.
    """

    def __init__(self, builder: Builder, config: dict[str, Any]) -> None:
        self.builder, self.config = builder, config
        self.objs: dict[str, dict[str, Any]] = {}
        self.layers: dict[str, nn.Layer] = {}
        self.nodes: dict[str, list[list[Any]]] = {}
        """For each layer the values that each of its calls returned."""

    def made(self, name: str | None) -> nn.Layer:
        given = [(obj.get("name") or obj["config"]["name"], obj) for obj in self.config["layers"]]
        self.nodes = {key: [[self.builder.input(obj)]] for key, obj in given if obj["class_name"] == "InputLayer"}
        self.objs = {key: obj for key, obj in given if key not in self.nodes}
        if len(self.objs) + len(self.nodes) < len(given):
            raise ArgumentError("Two layers of a functional model of Keras have one name.", argument="config")
        self.layers = dict(zip(self.objs, self.builder.several(self.objs.values()), strict=True))
        calls = {key: list(obj.get("inbound_nodes") or ()) for key, obj in self.objs.items()}
        legacy = any(isinstance(call, list) for each in calls.values() for call in each)
        self.from_one = ("Functional", "Model", "Sequential")[: 3 if legacy else 2]
        self.nodes |= {key: [] for key in self.objs}
        todo = {key: each for key, each in calls.items() if each}
        while todo:
            done = False
            for key in list(todo):
                while todo[key] and self.call(key, todo[key][0]):
                    done = True
                    del todo[key][0]
                if not todo[key]:
                    del todo[key]
            if not done:
                raise ArgumentError(
                    f"The graph of the Keras model is not connected: {shown(next(iter(todo)))} is called with nodes "
                    "that no layer makes.",
                    argument="config",
                )
        inputs, outputs = self.ends(self.config["input_layers"]), self.ends(self.config["output_layers"])
        trainable = self.config.get("trainable") is not False
        net = nn.Graph(_alone(inputs), _alone(outputs), name=name, trainable=trainable)
        self.builder.order[id(net)] = [
            (python_name(self.objs[key]), layer)
            for key, layer in self.layers.items()
            if not isinstance(layer, Operation)
        ]
        return net

    def node(self, history: Any, from_one: bool) -> Any:
        """The node that a config means; None if it is not there yet."""
        name, call, value = history[:3]
        found = self.nodes[name]
        call -= from_one and name in self.objs and self.objs[name]["class_name"] in self.from_one
        return found[call][value] if 0 <= call < len(found) else None

    def ends(self, x: Any) -> Any:
        """The inputs or outputs of the graph."""
        if isinstance(x, list | tuple) and len(x) == 3 and isinstance(x[0], str):
            found = self.node(x, True)
            if found is None:
                raise ArgumentError(f"A functional model of Keras ends at a node that is not in it: {shown(x)}.")
            return found
        return {k: self.ends(v) for k, v in x.items()} if isinstance(x, dict) else [self.ends(v) for v in x]

    def call(self, name: str, data: Any) -> bool:
        """Call a layer as the config says. False if it needs nodes that are not there yet."""
        missing: list[Any] = []
        layer = self.layers[name]
        if isinstance(data, dict):
            args = self.decoded(data["args"], missing)
            kwargs = self.decoded(data["kwargs"], missing)
        else:
            args, kwargs = self.legacy(name, data, missing)
        if missing:
            return False
        kwargs = {k: v for k, v in kwargs.items() if v is not None}
        if isinstance(data, dict) and kwargs.get("training") is False and not isinstance(layer, _KEEPS_TRAINING):
            del kwargs["training"]
        if isinstance(layer, Operation):
            args, kwargs = self.arguments(name, layer.function, args, kwargs)
            given = tree.leaves((args, kwargs))
            check_sizes(layer, args, kwargs, [x.shape for x in given if isinstance(x, Node)])
        self.builder.runs(layer)
        out = layer(*args, **kwargs)
        self.nodes[name].append([out] if isinstance(out, Node) else tree.leaves(out))
        return True

    def arguments(self, name: str, function: str, args: Any, kwargs: dict[str, Any]) -> tuple[list, dict]:
        """The arguments of a function: those of its node, and those of its config, which Keras 3 writes there."""
        obj, takes = self.objs[name], _takes(function)
        if obj["class_name"] not in _LEGACY:
            config = {k: v for k, v in (obj.get("config") or {}).items() if k not in ("name", "trainable")}
            kwargs = {**kwargs, **{k: self.builder.value(v, k) for k, v in config.items() if v is not None}}
        if function == "get_item":
            key = args[1] if len(args) > 1 else kwargs["key"]
            return [args[0], tuple(key) if isinstance(key, list) else key], {}
        if function == "einsum":
            return [kwargs["subscripts"], *args], {}
        if function in _GIVEN:
            args, kwargs = [], {**dict(zip(_GIVEN[function], args, strict=False)), **kwargs}
        unknown = [k for k, v in kwargs.items() if k not in takes and v is not False]
        if takes and unknown:
            raise ArgumentError(
                f"`{shown(unknown[0])[1:-1]}` of {shown(name)} in the Keras model is not known here: kf.ops.{function} "
                "lacks this argument.",
                argument=shown(unknown[0])[1:-1],
                expected=", ".join(takes),
                got=shown(kwargs[unknown[0]]),
            )
        return args, {k: v for k, v in kwargs.items() if k in takes or not takes}

    # -- calls as Keras 3 writes them ----------------------------------------------------------------------------------

    def decoded(self, x: Any, missing: list[Any]) -> Any:
        """An argument of a call, in which nodes are looked up."""
        if isinstance(x, list | tuple):
            return [self.decoded(v, missing) for v in x]
        if not isinstance(x, dict):
            return self.builder.limits.plain(x)
        if x.get("class_name") == "__keras_tensor__":
            found = self.node(x["config"]["keras_history"], False)
            if found is None:
                missing.append(x)
            return found
        if "class_name" not in x:
            return {k: self.decoded(v, missing) for k, v in x.items()}
        return self.builder.value(x, "")

    # -- calls as Keras 2 writes them ----------------------------------------------------------------------------------

    def legacy(self, name: str, data: Any, missing: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call: a node is [layer, call, value, other arguments of the call]."""
        others: dict[str, Any] = {}

        def found(x: Any) -> Any:
            if isinstance(x, dict):
                return {k: found(v) for k, v in x.items()}
            if not isinstance(x[0], str):
                return [found(v) for v in x]
            if len(x) > 3:
                others.update(x[3])
            return x[2] if x[0] == "_CONSTANT_VALUE" else looked_up(x)

        def looked_up(x: Any) -> Any:
            node = self.node(x, True)
            if node is None:
                missing.append(x)
            return node

        def option(x: Any) -> Any:
            if isinstance(x, list) and len(x) == 3 and isinstance(x[0], str) and x[0] in self.nodes:
                return looked_up(x)
            if isinstance(x, list):
                return [option(v) for v in x]
            if isinstance(x, dict) and x.keys() == {"start", "stop", "step"}:
                return slice(option(x["start"]), option(x["stop"]), option(x["step"]))
            return self.builder.value(x, "")

        first = found(data)
        kwargs = {k: option(v) for k, v in others.items() if k != "name"}
        obj = self.objs[name]
        if obj["class_name"] in _LEGACY:
            theirs = str(obj["config"]["function"]).rpartition(".")[2]
            renamed = _TENSORFLOW.get(theirs, (theirs, {}))[1]
            kwargs = {renamed.get(k, k): v for k, v in kwargs.items() if v is not None}
            kwargs = {**_ON_ITS_OWN.get(theirs, {}), **kwargs}
            if "slice_spec" in kwargs:
                return [first, kwargs["slice_spec"]], {}
            return [first, *([kwargs.pop("y")] if "y" in kwargs else [])], kwargs
        if isinstance(first, list) and len(first) == 1:
            first = first[0]
        if isinstance(first, list) and _recurs(self.layers[name]):
            return [first[0]], {**kwargs, "initial_state": first[1:]}
        return [first], kwargs


_KEEPS_TRAINING = (nn.BatchNormalization, nn.Graph, nn.Sequential)
"""Layers for which `training=False` in a file of Keras 3 says what a user wrote.

For others, such as Dropout, Keras writes the default of their `call`, and runs them as in training all the same.
"""


def _recurs(layer: Any) -> bool:
    """Whether a layer takes the states that it begins with; Keras 2 writes them beside its input."""
    return isinstance(layer, nn.Bidirectional) or "initial_state" in layer._options


def _alone(x: Any) -> Any:
    """What stands alone in a list; Keras unpacks it, too."""
    return x[0] if isinstance(x, list) and len(x) == 1 else x
