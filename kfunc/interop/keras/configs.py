"""The network that a config of Keras describes. Nothing in it is executed: classes come from closed tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from ... import nn, registry
from ...errors import ArgumentError, KfuncError, shown
from . import graphs
from .layers import CONTAINERS, KerasLayer, array, by_name, clean, python_name

__all__ = ["Built", "Builder", "built"]


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


def built(config: Any, version: str | None = None) -> Built:
    """The network that a config of Keras 2 or 3 describes, as `model.to_json()` writes it.

    Args:
        config: The config in JSON's types: "class_name", "config" and so on.
        version: The version of Keras that wrote it, where the file says it beside the config.

    Raises:
        KfuncError: The config is malformed, asks for a layer that is not here, or for something too large.
    """
    try:
        builder = Builder(config, version)
        net = builder.layer(config)
        if not isinstance(net, nn.Sequential | nn.Graph):
            net, layer = nn.Sequential([net]), net
            builder.order[id(net)] = [(python_name(config), layer)]
        return Built(net, net.input_specs(), builder.order, builder.names)
    except KfuncError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"The config of the Keras model is malformed: {type(error).__name__} {str(error)[:999]}.",
            argument="config",
        ) from error


_SILENT = frozenset(
    "batch_input_shape batch_shape batch_size build_config implementation input_dtype input_length input_shape "
    "key_shape query_shape value_shape".split()
)
"""Arguments in configs that say nothing about what a layer computes."""


class Builder:
    """Makes the layers of one config."""

    def __init__(self, config: Any, version: str | None = None) -> None:
        self.order: dict[int, list[tuple[str, nn.Layer]]] = {}
        self.names: dict[int, str] = {}
        self.shared: dict[Any, nn.Layer] = {}
        self.limits = registry.Limits()
        self.kept: dict[int, tuple[nn.Layer, int]] = {}
        """The layers, so that no id is given anew, and of how many each consists."""
        self.of_keras_2 = str(version or config.get("keras_version")).partition(".")[0] in ("1", "2")
        self.mixed = set(_policies(config)) - {"float32"}
        """The policies of layers, if they are not all "float32". Where they are, no layer needs to cast its inputs."""

    # -- layers --------------------------------------------------------------------------------------------------------

    def layer(self, obj: Any, name: str | None = None) -> nn.Layer:
        """The layer that `{"class_name": ..., "config": ...}` describes.

        Args:
            obj: The description.
            name: The name of the layer here. By default it follows from that in Keras.
        """
        if not isinstance(obj, dict) or not isinstance(obj.get("class_name"), str):
            raise ArgumentError.must_be("config", "a dict with a class_name and a config", obj)
        shared = obj.get("shared_object_id")
        if shared is not None and shared in self.shared:
            return self.shared[shared]
        before = self.limits.objects
        self.limits.objects, self.limits.written = before + 1, self.limits.written + 1
        cls, config = obj["class_name"], obj.get("config") or {}
        theirs = _name(obj)
        name = name or (clean(theirs) if theirs else None)
        made: nn.Layer
        if cls in CONTAINERS and (isinstance(config, list) or "layers" in config):
            if isinstance(config, dict) and "input_layers" in config:
                made = graphs.graph(self, config, name)
            else:
                made = self.sequential(config, name)
        elif graphs.is_operation(obj):
            made = graphs.operation(self, obj, name)
        elif (known := self.known(obj)) is not None:
            made = self.leaf(known, config, name)
        else:
            made = self.registered(obj, name)
        if shared is not None:
            self.shared[shared] = made
        if theirs is not None:
            self.names[id(made)] = theirs
        self.kept[id(made)] = made, self.limits.objects - before
        return made

    def runs(self, layer: nn.Layer) -> None:
        """Count a call of a layer."""
        self.limits.again(self.kept[id(layer)][1])

    def several(self, objs: Iterable[dict[str, Any]]) -> list[nn.Layer]:
        """The layers of a network, each with a name of its own, also where two of Keras's names become equal here."""
        made, used = [], set()
        for obj in objs:
            name = clean(_name(obj) or "") or None
            while name in used and name is not None:
                name += "_"
            used.add(name)
            made.append(self.layer(obj, name))
        return made

    def known(self, obj: dict[str, Any]) -> KerasLayer | None:
        """The row of a layer that is Keras's own."""
        row, module, registered = by_name().get(obj["class_name"]), obj.get("module"), obj.get("registered_name")
        if row is None or (isinstance(registered, str) and ">" in registered):
            return None
        return row if module is None or str(module).split(".")[0] in ("keras", "tf_keras") else None

    def registered(self, obj: dict[str, Any], name: str | None) -> nn.Layer:
        """A layer of a class of the user's own."""
        cls = obj["class_name"]
        if f"custom:{cls}" not in registry.names("layer"):
            self.refuse(obj)
        given = {k: self.value(v, k) for k, v in (obj.get("config") or {}).items()}
        if given.get("autocast") is True:  # as it always is here
            del given["autocast"]
        return registry.made("layer", f"custom:{cls}", self.common(given, name))

    def refuse(self, obj: dict[str, Any]) -> NoReturn:
        """Raise the error about a layer that is not here."""
        cls, module, name = obj["class_name"], obj.get("module"), _name(obj)
        if cls == "Lambda":
            raise ArgumentError(
                f"The layer {shown(name)} of the Keras model is a Lambda: it holds code, and that is never executed.",
                argument="config",
                expected="layers that are described by their arguments",
                got="a Lambda",
                fix="write what it does in Keras as a class, or by keras.ops in a functional model, and save it again; "
                'for a class, write the layer here, too, and register it: @kf.register("layer", "ItsName")',
            )
        subject = "The Keras model" if name is None else f"The layer {shown(name)} of the Keras model"
        raise ArgumentError(
            f"{subject} is of the class {shown(cls)}, which kfunc does not know.",
            argument="config",
            expected="layers of keras.layers that kfunc has, functions of keras.ops, and registered layers",
            got=f"{module}.{cls}" if module else cls,
            fix=f'write it here with the arguments of its config, and register it: @kf.register("layer", "{cls}")',
        )

    def leaf(self, row: KerasLayer, config: dict[str, Any], name: str | None) -> nn.Layer:
        """A layer of a class of Keras's own."""
        fields = set(row.cls.__arguments__[1])  # type: ignore[attr-defined]
        given: dict[str, Any] = {}
        for key, value in config.items():
            ours = row.renamed.get(key, key)
            if ours in fields:
                given[ours] = self.value(value, ours)
            elif not (key in _SILENT or key in row.silent or value is None or value is False):
                raise ArgumentError(
                    f"`{shown(key)[1:-1]}` of the layer {shown(config.get('name'))} of the Keras model is not known "
                    f"here: {row.name} lacks this argument.",
                    argument=shown(key)[1:-1],
                    expected=f"arguments of {row.name}: {', '.join(sorted(fields))}",
                    got=shown(value),
                )
        self.limits.repeats(given)
        try:
            return row.cls(**row.read(self.common(given, name)))
        except KfuncError as error:
            error.path = error.path or name
            raise

    def common(self, given: dict[str, Any], name: str | None) -> dict[str, Any]:
        """The arguments that all layers have, as they are here."""
        given = {**given, "name": name}
        if not self.mixed:
            given.pop("dtype", None)
        if given.get("trainable") is None:
            given.pop("trainable", None)
        return given

    def sequential(self, config: Any, name: str | None) -> nn.Layer:
        if isinstance(config, list):  # of an early Keras
            config = {"layers": config}
        given = list(config["layers"])
        first: list[Any] = []
        if given and given[0]["class_name"] == "InputLayer":
            first = [self.input(given.pop(0))]
        elif given:
            inner = given[0].get("config") or {}
            shape = inner.get("batch_input_shape") if isinstance(inner, dict) else None
            shape = shape or config.get("build_input_shape")
            if shape is not None:
                dtype = inner.get("dtype") if given[0]["class_name"] == "Embedding" else None
                first = [nn.Input(batch_shape=self.shape(shape), dtype=self.value(dtype, "dtype") or "float32")]
        made = self.several(given)
        net = nn.Sequential([*first, *made], name=name, trainable=config.get("trainable") is not False)
        self.order[id(net)] = [(python_name(obj), layer) for obj, layer in zip(given, made, strict=True)]
        seen = set()
        for layer in made:
            if id(layer) in seen:
                self.runs(layer)
            seen.add(id(layer))
        return net

    def input(self, obj: dict[str, Any]) -> Any:
        """The node of an `InputLayer`."""
        config = obj["config"]
        for argument in ("sparse", "ragged", "optional"):
            if config.get(argument):
                raise ArgumentError.must_be(argument, "False for an input of a Keras model", config[argument])
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        dtype = self.value(config.get("dtype"), "dtype") or "float32"
        return nn.Input(batch_shape=self.shape(shape), dtype=dtype, name=config.get("name"))

    def shape(self, shape: Any) -> tuple[int | None, ...]:
        if not isinstance(shape, list | tuple) or not all(n is None or (type(n) is int and n >= 0) for n in shape):
            raise ArgumentError.must_be("batch_shape", "a list of sizes, which may be None", shape)
        return tuple([self.limits.plain(n) for n in shape])

    # -- values --------------------------------------------------------------------------------------------------------

    def value(self, x: Any, argument: str) -> Any:
        """An argument of a layer, as it is here."""
        if isinstance(x, list | tuple):
            return tuple([self.value(v, argument) for v in x])
        category = argument.rpartition("_")[2]
        if not isinstance(x, dict):
            x = self.limits.plain(x)
            return self.function(x) if category == "activation" and isinstance(x, str) else x
        cls = x.get("class_name")
        config: Any = x.get("config")
        if not isinstance(cls, str) or "config" not in x:
            return {k: self.value(v, argument) for k, v in x.items()}
        if cls == "__slice__":
            return slice(*[self.limits.plain(config[k]) for k in ("start", "stop", "step")])
        if cls == "__ellipsis__":
            return ...
        if cls in ("__numpy__", "__tensor__"):
            return array(config["value"], config["dtype"])
        if cls in ("DTypePolicy", "Policy", "FloatDTypePolicy"):
            return self.limits.plain(config["name"])
        if cls == "function" and category == "activation":
            return self.function(config if isinstance(config, str) else x.get("registered_name"))
        if cls == "__lambda__":
            raise ArgumentError(
                f"`{argument}` of a layer of the Keras model is a lambda: it is code, and that is never executed.",
                argument=argument,
                expected="the name of a function, or an object that is described by its arguments",
                got="a lambda",
                fix="give the function a name in Keras and save the model again; then register a function of this "
                f'name here: @kf.register("{category}")',
            )
        if category in ("initializer", "regularizer", "constraint"):
            return self.thing(category, x)
        if cls == "SeedGenerator":
            return None
        if argument == "dtype":
            raise ArgumentError.must_be("dtype", "a policy that kfunc has, such as 'mixed_bfloat16'", cls)
        return self.layer(x)

    def function(self, name: Any) -> Any:
        """An activation: one of the user's own goes by its name with "custom:" in front."""
        if name == "hard_sigmoid" and self.of_keras_2:
            return "hard_sigmoid_of_keras_2"
        names = registry.names("activation")
        return f"custom:{name}" if name not in names and f"custom:{name}" in names else name

    def thing(self, category: str, x: dict[str, Any]) -> Any:
        """An initializer, a regularizer or a constraint."""
        cls, config = x["class_name"], x["config"] or {}
        own = isinstance(x.get("registered_name"), str) and ">" in x["registered_name"]
        name = f"custom:{cls}" if own or cls not in registry.names(category) else cls
        self.limits.objects, self.limits.written = self.limits.objects + 1, self.limits.written + 1
        if not isinstance(config, dict):  # a function: its name
            return self.limits.plain(config)
        given = {k: self.value(v, k) for k, v in config.items() if k != "dtype"}
        return registry.made(category, name, given)


def _name(obj: dict[str, Any]) -> Any:
    """The name of a layer in Keras, if it has one."""
    config = obj.get("config")
    return obj.get("name") or (config.get("name") if isinstance(config, dict) else None)


def _policies(config: Any) -> Iterable[str]:
    """The policies of all layers in a config."""
    todo = [config]
    while todo:
        x = todo.pop()
        if isinstance(x, list):
            todo += x
        elif isinstance(x, dict):
            dtype = x.get("dtype") if "trainable" in x else None
            if isinstance(dtype, dict) and isinstance(dtype.get("config"), dict):
                dtype = dtype["config"].get("name")
            if isinstance(dtype, str):
                yield dtype
            todo += x.values()
