"""Functional models of Keras as graphs: which node a config means, and operations between the layers."""

from __future__ import annotations

from typing import Any

from ... import nn, tree
from ...errors import ArgumentError
from ...nn.nodes import Node
from ...nn.operations import Operation
from ...ops._op import OPS
from .layers import clean, python_name, to_snake_case

__all__ = ["graph", "is_operation", "operation"]

_NAMES = {"AllClose": "allclose", "IsIn": "isin", "SearchSorted": "searchsorted", "CDist": "cdist"}
"""Operations of Keras whose functions are called otherwise than their classes."""

_TENSORFLOW = {
    "truediv": "true_divide",
    "sub": "subtract",
    "mul": "multiply",
    "neg": "negative",
    "pow": "power",
    "reduce_mean": "mean",
    "reduce_sum": "sum",
    "reduce_max": "max",
    "reduce_min": "min",
    "concat": "concatenate",
}
"""Functions of TensorFlow, which stand in the graphs of Keras 2, and what they are called here."""


def is_operation(obj: dict[str, Any]) -> bool:
    """Whether `obj` describes an operation, such as `x + y`. The layer `Add` and the operation `Add` have one name."""
    if obj["class_name"] in ("TFOpLambda", "SlicingOpLambda"):
        return True
    module = obj.get("module")
    return str(module).startswith(("keras.src.ops.", "keras.ops"))


def operation(builder: Any, obj: dict[str, Any]) -> nn.Layer:
    """The layer of an operation."""
    name = obj["class_name"]
    config = obj.get("config") or {}
    if name in ("TFOpLambda", "SlicingOpLambda"):
        last = str(config["function"]).split(".")[-1]
        function = _TENSORFLOW.get(last, last)
    else:
        function = _NAMES.get(name, to_snake_case(name))
    if function not in OPS and function != "stop_gradient":
        builder.refuse(obj)
    called = obj.get("name") or config.get("name")
    return Operation(function, name=None if called is None else clean(called))


def graph(builder: Any, config: dict[str, Any]) -> nn.Layer:
    """The graph of a functional model."""
    return _Graph(builder, config).made()


class _Graph:
    def __init__(self, builder: Any, config: dict[str, Any]) -> None:
        self.builder, self.config = builder, config
        self.nodes: dict[str, list[list[Any]]] = {}
        self.layers: dict[str, nn.Layer] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.inner: set[str] = set()
        """Functional models, whose nodes Keras counts from 1 in places."""

    def made(self) -> nn.Layer:
        todo: dict[str, list[Any]] = {}
        order = []
        for obj in self.config["layers"]:
            name = obj.get("name") or obj["config"]["name"]
            if obj["class_name"] == "InputLayer":
                self.nodes[name] = [[self.builder.input(obj)]]
                continue
            layer = self.layers[name] = self.builder.layer(obj)
            self.nodes[name], todo[name] = [], list(obj["inbound_nodes"])
            if obj["class_name"] in ("Functional", "Model"):
                self.inner.add(name)
            if isinstance(layer, Operation):
                given = {
                    k: v for k, v in (obj.get("config") or {}).items() if k not in ("name", "trainable", "function")
                }
                if obj["class_name"] in ("TFOpLambda", "SlicingOpLambda"):
                    given = {}
                self.options[name] = {k: self.builder.value(v, k) for k, v in given.items()}
            else:
                order.append((python_name(obj), layer))
        while todo:
            before = sum(map(len, todo.values()))
            for name in list(todo):
                while todo[name] and self.call(name, todo[name][0]):
                    todo[name].pop(0)
                if not todo[name]:
                    del todo[name]
            if todo and sum(map(len, todo.values())) == before:
                raise ArgumentError(
                    f"The graph of the Keras model is not connected: {next(iter(todo))} is called with nodes that no "
                    "layer makes.",
                    argument="config",
                )
        inputs, outputs = self.ends(self.config["input_layers"]), self.ends(self.config["output_layers"])
        net = nn.Graph(_alone(inputs), _alone(outputs), **self.builder.container(self.config))
        self.builder.order[id(net)] = order
        return net

    def tensor(self, history: Any, legacy: bool = False) -> Any:
        """The node that a config means by a name and two numbers; None if it is not there yet."""
        name, node, index = history[:3]
        found = self.nodes[name]
        node -= legacy and name in self.inner
        return found[node][index] if 0 <= node < len(found) else None

    def ends(self, x: Any) -> Any:
        """The inputs or outputs of the graph."""
        if isinstance(x, list | tuple) and len(x) == 3 and isinstance(x[0], str):
            return self.tensor(x, legacy=True)
        return {k: self.ends(v) for k, v in x.items()} if isinstance(x, dict) else [self.ends(v) for v in x]

    def decoded(self, x: Any, missing: list[Any]) -> Any:
        """An argument of a call, as Keras 3 writes it."""
        if isinstance(x, dict) and x.get("class_name") == "__keras_tensor__":
            found = self.tensor(x["config"]["keras_history"])
            if found is None:
                missing.append(x)
            return found
        if isinstance(x, dict) and "class_name" not in x:
            return {k: self.decoded(v, missing) for k, v in x.items()}
        if isinstance(x, list | tuple):
            return [self.decoded(v, missing) for v in x]
        return self.builder.value(x, "args")

    def legacy(self, data: list[Any], name: str, missing: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call, as Keras 2 writes them."""
        data = data if isinstance(data[0], list) else [data]
        given = [self.tensor(d, legacy=True) for d in data]
        kwargs = dict(data[0][3]) if len(data[0]) > 3 else {}
        for k, v in kwargs.items():
            if isinstance(v, list) and len(v) == 3 and isinstance(v[0], str) and v[0] in self.nodes:
                kwargs[k] = self.tensor(v, legacy=True)
                given += [None] if kwargs[k] is None else []
        missing += [None for x in given if x is None]
        kwargs.pop("name", None)
        if isinstance(self.layers[name], Operation):
            return [*given, *([kwargs.pop("y")] if "y" in kwargs else [])], kwargs
        return [given[0] if len(given) == 1 else given], kwargs

    def call(self, name: str, data: Any) -> bool:
        """Call a layer as the config says. False if nodes are missing still."""
        missing: list[Any] = []
        if isinstance(data, list):
            args, kwargs = self.legacy(data, name, missing)
        else:
            args, kwargs = self.decoded(data["args"], missing), self.decoded(data["kwargs"], missing)
        if missing:
            return False
        kwargs = {k: v for k, v in kwargs.items() if v is not None} | self.options.get(name, {})
        out = self.layers[name](*args, **kwargs)
        self.nodes[name].append([out] if isinstance(out, Node) else tree.leaves(out))
        return True


def _alone(x: Any) -> Any:
    """What stands alone in a list: Keras's functional models unpack it."""
    return x[0] if isinstance(x, list) and len(x) == 1 else x
