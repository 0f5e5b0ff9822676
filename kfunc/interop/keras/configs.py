"""The network that Keras's config describes. Nothing of it is executed or imported: classes come from closed tables."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from ... import nn, registry
from ...errors import ArgumentError, KfuncError, shown
from . import graphs
from .layers import CONTAINERS, KerasLayer, array, by_name, clean, python_name

__all__ = ["Built", "built"]


class Built(NamedTuple):
    """A network, and what Keras knows about it that it does not hold itself.

    Attributes:
        net: The network.
        inputs: What `trace` takes; None if the config does not say the shape of the input.
        order: For the id of each `Sequential` and `Graph` in the network: Keras's layers in it in their order, each
            with the name of its Python class in Keras. Operations and inputs are left out, since they have no weights.
        names: For the id of each layer, its name in Keras.
    """

    net: nn.Layer
    inputs: tuple[Any, ...] | None
    order: dict[int, list[tuple[str, nn.Layer]]]
    names: dict[int, str]


def built(config: Any) -> Built:
    """The network that a config of Keras 2 or 3 describes, as `model.to_json()` writes it.

    Args:
        config: The config in JSON's types: "class_name", "config" and so on.

    Raises:
        KfuncError: The config is malformed, or asks for a layer that is not here.
    """
    builder = Builder()
    try:
        net = builder.layer(config)
        if not isinstance(net, nn.Sequential | nn.Graph):
            net = nn.Sequential([net])
            builder.order[id(net)] = [(python_name(config), net.layers[0])]
        return Built(net, net.input_specs(), builder.order, builder.names)
    except KfuncError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"The config of the Keras model is malformed: {type(error).__name__} {str(error)[:999]}.",
            argument="config",
        ) from error


_COMMON = {"name", "trainable", "dtype", "activity_regularizer"}
_SILENT = frozenset(
    "batch_input_shape batch_shape batch_size build_config implementation input_dtype input_length input_shape "
    "key_shape query_shape value_shape quantization_config".split()
)
"""Arguments that say nothing about what a layer computes."""

_MOST_AGAIN, _MOST_EACH = 32_768, 16
"""How many layers a config may have run, beside so many for each that it writes out."""


class Builder:
    """Makes the layers of one config."""

    def __init__(self) -> None:
        self.order: dict[int, list[tuple[str, nn.Layer]]] = {}
        self.names: dict[int, str] = {}
        self.shared: dict[Any, nn.Layer] = {}
        self.kept: list[nn.Layer] = []  # so that no id is given anew
        self.costs: dict[int, int] = {}
        self.written = self.calls = 0

    # -- layers ----------------------------------------------------------------------------------------------------

    def layer(self, obj: Any) -> nn.Layer:
        """The layer that `obj` describes: `{"class_name": ..., "config": ...}`."""
        if not isinstance(obj, dict) or not isinstance(obj.get("class_name"), str):
            raise ArgumentError.must_be("config", "a dict with a class_name and a config", obj)
        shared = obj.get("shared_object_id")
        if shared is not None and shared in self.shared:
            return self.shared[shared]
        self.written += 1
        name, config = obj["class_name"], obj.get("config") or {}
        if name in CONTAINERS and (isinstance(config, list) or "layers" in config):
            if isinstance(config, dict) and "input_layers" in config:
                made = graphs.graph(self, config)
            else:
                made = self.sequential(config)
        elif graphs.is_operation(obj):
            made = graphs.operation(self, obj)
        elif known := self.known(obj):
            made = self.leaf(known, config)
        else:
            made = self.registered(obj)
        if shared is not None:
            self.shared[shared] = made
        called = obj.get("name") or (config.get("name") if isinstance(config, dict) else None)
        if called is not None:
            self.names[id(made)] = called
        self.kept.append(made)
        return made

    def known(self, obj: dict[str, Any]) -> KerasLayer | None:
        module = obj.get("module")
        known = by_name().get(obj["class_name"])
        ours = module is None or str(module).split(".")[0] in ("keras", "tf_keras", "builtins")
        return known if ours else None

    def registered(self, obj: dict[str, Any]) -> nn.Layer:
        """A layer of a class of the user's own."""
        name = obj["class_name"]
        if f"custom:{name}" not in registry.names("layer"):
            self.refuse(obj)
        config = {k: self.value(v, k) for k, v in (obj.get("config") or {}).items()}
        return registry.from_config("layer", {"class": f"custom:{name}", "config": self.common(config)})

    def refuse(self, obj: dict[str, Any]) -> NoReturn:
        name, module = obj["class_name"], obj.get("module")
        if name == "Lambda":
            raise ArgumentError(
                f"The Keras model has a Lambda layer, {shown(_called(obj))}, and the code in it is never executed.",
                argument="config",
                expected="layers without code",
                got="a Lambda",
                fix="in Keras, write the function as a layer, or with keras.ops in a functional model, and save again",
            )
        raise ArgumentError(
            f"The Keras model has a layer of the class {name}, which kfunc does not know.",
            argument="config",
            expected="layers of keras.layers that kfunc has, and registered ones",
            got=f"{module}.{name}" if module else name,
            fix=f'write the layer here, and register it: @kf.register("layer", {name!r})',
        )

    def leaf(self, known: KerasLayer, config: dict[str, Any]) -> nn.Layer:
        """A layer of a class of Keras's own."""
        positional, named = known.cls.__arguments__[:2]  # type: ignore[attr-defined]
        fields = {*positional, *named}
        given: dict[str, Any] = {}
        for key, value in config.items():
            name = known.renamed.get(key, key)
            if name in fields:
                given[name] = self.value(value, name)
            elif key not in _SILENT and key not in known.silent and value not in (None, False):
                raise ArgumentError(
                    f"`{key}` of the Keras layer {shown(config.get('name'))} means nothing to a {known.name}.",
                    argument=key,
                    expected=f"arguments of {known.name}: {', '.join(sorted(fields))}",
                    got=shown(value),
                )
        return known.cls(**known.read(self.common(given)))

    def common(self, config: dict[str, Any]) -> dict[str, Any]:
        """The arguments of every layer as they are here."""
        config = dict(config)
        if config.get("name") is not None:
            config["name"] = clean(config["name"])
        if "dtype" in config:
            config["dtype"] = None if config["dtype"] == "float32" else config["dtype"]
        return config

    def sequential(self, config: Any) -> nn.Layer:
        if isinstance(config, list):  # an early Keras 2
            config = {"layers": config}
        given = list(config["layers"])
        first: list[Any] = []
        if given and given[0]["class_name"] == "InputLayer":
            first = [self.input(given.pop(0))]
        made = [self.layer(obj) for obj in given]
        if not first and made:
            shape = config.get("build_input_shape") or (given[0].get("config") or {}).get("batch_input_shape")
            if shape is not None:
                dtype = self.value((given[0].get("config") or {}).get("dtype"), "dtype") or "float32"
                first = [nn.Input(batch_shape=tuple(shape), dtype=dtype)]
        net = nn.Sequential([*first, *made], **self.container(config))
        self.order[id(net)] = [(python_name(obj), layer) for obj, layer in zip(given, made, strict=True)]
        return net

    def container(self, config: dict[str, Any]) -> dict[str, Any]:
        name = config.get("name")
        return {"name": None if name is None else clean(name), "trainable": config.get("trainable", True) is not False}

    def input(self, obj: dict[str, Any]) -> Any:
        """The node of an `InputLayer`."""
        config = obj["config"]
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        dtype = self.value(config.get("dtype"), "dtype") or "float32"
        for unknown in ("sparse", "ragged"):
            if config.get(unknown):
                raise ArgumentError.must_be(unknown, "False", config[unknown])
        return nn.Input(batch_shape=tuple(shape), dtype=dtype, name=config.get("name"))

    # -- values ----------------------------------------------------------------------------------------------------

    def value(self, x: Any, argument: str) -> Any:
        """An argument of a layer, as it is here."""
        if isinstance(x, list | tuple):
            return tuple(self.value(v, argument) for v in x)
        if not isinstance(x, dict):
            return x
        name = x.get("class_name")
        if name is None or "config" not in x:
            return {k: self.value(v, argument) for k, v in x.items()}
        config = x["config"]
        if name == "__slice__":
            return slice(*(config[k] for k in ("start", "stop", "step")))
        if name == "__ellipsis__":
            return ...
        if name in ("__numpy__", "__tensor__"):
            return array(config["value"], config["dtype"])
        if name == "DTypePolicy":
            return config["name"]
        category = argument.rpartition("_")[2]
        if category == "activation" and name == "function":
            return config
        if category in ("initializer", "regularizer", "constraint") and name in registry.names(category):
            given = {k: self.value(v, k) for k, v in config.items()}
            if not isinstance(given.get("seed"), int):
                given.pop("seed", None)
            return registry.from_config(category, {"class": name, "config": given})
        if argument in ("layer", "backward_layer", "cell", "cells", "activation"):
            return self.layer(x)
        raise ArgumentError(
            f"`{argument}` of a Keras layer is an object of the class {shown(name)}, which kfunc does not know.",
            argument=argument,
            got=f"{x.get('module')}.{name}",
        )


def _called(obj: dict[str, Any]) -> Any:
    config = obj.get("config")
    return obj.get("name") or (config.get("name") if isinstance(config, dict) else None)
