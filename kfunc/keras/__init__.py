"""Keras's names for what is here, so that a program written for Keras runs with its imports changed.

`from kfunc import keras` stands in place of `import keras`, and `from kfunc.keras.layers import Dense` in place of
`from keras.layers import Dense`. These are other names for the same objects: `keras.layers` is `kf.nn`,
`keras.optimizers` is `kf.optim`, `keras.Input` is `kf.nn.Input`. Only `Sequential` is a class of its own, since it is a
model in Keras, and a layer in `kf.nn`. The error about a name that is missing says what to write.
"""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from .. import __version__, callbacks, checks, datasets, losses, metrics, nn, ops, random, tree, utils
from .. import nn as layers
from .. import optim as optimizers
from ..dataclasses import replace
from ..elsewhere import looked_up
from ..errors import ArgumentError, shown
from ..losses import Loss
from ..metrics import Metric
from ..model import Model
from ..nn import Graph, Input, Layer, Remat, activations, constraints, dtype_policies, initializers, regularizers
from ..nn.dtype_policies import DTypePolicy
from ..nn.initializers import Initializer
from ..nn.nodes import Node
from ..nn.regularizers import Regularizer
from ..optim import Optimizer
from ..registry import register
from ..tracing.spec import Spec
from ..training.model_file import format_of
from ..typing import Array
from . import applications

T = TypeVar("T")

__getattr__ = looked_up("kfunc")

FloatDTypePolicy = DTypePolicy
Function = Functional = Graph
InputSpec = KerasTensor = Spec
Operation = Layer
remat = Remat
version = __version__


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """The model in a file: Keras's (`.keras`, `.h5`, a folder), or one that `Model.save` wrote (`.safetensors`).

    Args:
        filepath: The file.
        custom_objects: Classes of layers, losses, metrics and optimizers of your own, by their names in the file. They
            stay registered, as with `@kf.register`.
        compile: Whether the model is compiled as the file says.
        safe_mode: True. Code in a file is never run.

    Raises:
        FileError: The file cannot be read, or holds no model.
        ArgumentError: A layer of it is not here, or an argument is none of these.
    """
    if not checks.boolean("safe_mode", safe_mode):
        raise ArgumentError(
            "`safe_mode` must be True: code in a file is never run.",
            argument="safe_mode",
            expected="True",
            got="False",
            fix="write its functions as layers, and register them: @kf.register('layer')",
        )
    checks.boolean("compile", compile)
    for name, value in (custom_objects or {}).items():
        saving.register_keras_serializable(name=name)(value)
    if format_of(filepath) is not None or (isinstance(filepath, str | os.PathLike) and os.path.isdir(filepath)):
        from ..interop import keras

        return keras.load(filepath, compile=compile)
    model = Model.load(filepath)
    if not compile:
        ts: Any = model.train_state
        model, known = Model(model.net, model.seed), model._traced
        model._traced, model.train_state = known, ts._replace(opt_state=None)
    return model


def save_model(model: Model, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """`model.save(filepath)`."""
    model.save(filepath, overwrite)


class Sequential(Model):
    """Layers one after the other, as a model: `kf.Model(kf.nn.Sequential(layers))`, to which layers can be added.

    Args:
        layers: The layers, or models; the first may be an `Input`.
        trainable: Whether the layers train.
        name: A name for the network.
    """

    def __init__(self, layers: Iterable[Any] | None = None, trainable: bool = True, name: str | None = None):
        super().__init__(nn.Sequential(list(layers or ()), trainable=trainable, name=name))

    def add(self, layer: Any) -> None:
        """Append a layer or a model. What is frozen stays frozen, and the model stays compiled.

        Raises:
            ArgumentError: The model has weights already, which belong to the layers that there were.
        """
        net: Any = self.net
        if isinstance(layer, Node) and net.inputs is not None:
            raise ArgumentError.must_be("layer", "a layer, since the model has an Input already", layer)
        self._replace(net + [layer])

    def pop(self) -> Any:
        """Remove the last layer, and return it. The same error as that of `add`."""
        net: Any = self.net
        if not net.layers:
            raise ArgumentError("`pop` was called on a Sequential without layers.", argument="layers")
        self._replace(replace(net, layers=net.layers[:-1]))
        return net.layers[-1]

    def _replace(self, net: Layer) -> None:
        if self.train_state is not None:
            raise ArgumentError(
                "The layers of a Sequential with weights cannot be changed.",
                argument="layer",
                expected="a model that has not been built or trained",
                got=f"a model with {self.count_params()} weights",
                fix="make a new one of the layers: keras.Sequential([*model.layers, layer])",
            )
        self._traced = None
        self._with_net(net)


class backend:
    """`keras.backend`: constants that programs for Keras read. Nothing sets them, and no backend is chosen here."""

    @staticmethod
    def epsilon() -> float:
        """A small number against divisions by zero."""
        return 1e-7

    @staticmethod
    def floatx() -> str:
        """The dtype of parameters by default."""
        return "float32"

    @staticmethod
    def image_data_format() -> str:
        """The place of the channels in images by default."""
        return "channels_last"


class models:
    """`keras.models`."""

    Model = Model
    Sequential = Sequential
    clone_model = staticmethod(Model.clone)
    load_model = staticmethod(load_model)
    save_model = staticmethod(save_model)


class saving:
    """`keras.saving`."""

    load_model = staticmethod(load_model)
    load_weights = staticmethod(Model.load_weights)
    save_model = staticmethod(save_model)
    save_weights = staticmethod(Model.save_weights)

    @staticmethod
    def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
        """Decorate a class of a layer, loss, metric or optimizer, so that files may name it; as `kf.register` does.

        Args:
            package: Has no effect.
            name: The name in files; that of the class by default.
        """

        def decorate(value: T) -> T:
            category = next(
                (c for c, base in _BASES.items() if isinstance(value, type) and issubclass(value, base)), None
            )
            if category is None:
                raise ArgumentError(
                    f"The kind of {shown(value)} is not known.",
                    argument="custom_objects",
                    expected="classes of layers, losses, metrics and optimizers",
                    got=shown(value),
                    fix='register a function where it is defined: @kf.register("loss"), or "metric" or "activation"',
                )
            return register(category, *([] if name is None else [name]))(value)

        return decorate


_BASES: dict[str, type] = {"layer": Layer, "loss": Loss, "metric": Metric, "optimizer": Optimizer}


class preprocessing:
    """`keras.preprocessing`."""

    image_dataset_from_directory = staticmethod(utils.image_dataset_from_directory)
    text_dataset_from_directory = staticmethod(utils.text_dataset_from_directory)
    timeseries_dataset_from_array = staticmethod(utils.timeseries_dataset_from_array)

    class image:
        """`keras.preprocessing.image`."""

        array_to_img = staticmethod(utils.array_to_img)
        img_to_array = staticmethod(utils.img_to_array)
        load_img = staticmethod(utils.load_img)
        save_img = staticmethod(utils.save_img)

        @staticmethod
        def smart_resize(
            x: Array, size: Sequence[int], interpolation: str = "bilinear", data_format: str = "channels_last"
        ) -> Array:
            """`kf.ops.image.resize(x, size, crop_to_aspect_ratio=True)`: the middle of images, at another size.

            Raises:
                ArgumentError, ShapeError: As `kf.ops.image.resize`.
            """
            return ops.image.resize(x, size, interpolation, crop_to_aspect_ratio=True, data_format=data_format)

    class sequence:
        """`keras.preprocessing.sequence`."""

        pad_sequences = staticmethod(utils.pad_sequences)


__all__ = [
    "DTypePolicy",
    "FloatDTypePolicy",
    "Function",
    "Functional",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Operation",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "activations",
    "applications",
    "backend",
    "callbacks",
    "constraints",
    "datasets",
    "dtype_policies",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "remat",
    "saving",
    "tree",
    "utils",
    "version",
]

# So that Python imports them as modules, too: `from kfunc.keras.layers import Dense`.
_NO_MODULES = ("load_model", "remat", "version")
_MODULES = [name for name in __all__ if name.islower() and name not in _NO_MODULES]
_MODULES += [f"datasets.{name}" for name in datasets.__all__]
_MODULES += ["ops.image", "ops.linalg", "ops.nn", "ops.numpy", "optimizers.schedules"]
_MODULES += ["preprocessing.image", "preprocessing.sequence"]
for _name in _MODULES:
    sys.modules.setdefault(f"{__name__}.{_name}", operator.attrgetter(_name)(sys.modules[__name__]))
