"""A model of Keras that is in memory, as a model here: the same config as in a file, and the variables beside it."""

from __future__ import annotations

import json
from typing import Any

from ... import checks
from ...arrays import to_numpy
from ...backends import Backend, get
from ...errors import ArgumentError, shown
from ...model import Model
from ...training.state import begun
from ...training.traced import Traced
from . import compiled, weights
from .configs import built
from .hdf5 import Form

__all__ = ["convert"]


def convert(model: Any, *inputs: Any, backend: str | Backend = "numpy", compile: bool = True) -> Model:
    """The model that is equal to one of Keras's, 3 or 2, which stays as it is. It is compiled as Keras's is.

    Args:
        model: A Sequential or functional model that has its weights. Layers come from a closed table, and from the
            classes that you have registered.
        inputs: Samples of the inputs or their `Spec`s. They are needed only if the model does not know the shapes.
        backend: The backend of the arrays, which need not be that of Keras.
        compile: Whether the optimizer with its state, losses and metrics are taken over, too. What cannot be taken over
            is told in a warning.

    Raises:
        ArgumentError: A layer of it is not here; the error names the class. Or the model has no weights yet.
        FileError: Its variables are not those of its layers: it was changed after it was made.
        BackendNotInstalledError, UnknownBackendError: There is no such backend here.
    """
    target = get(backend)
    if not hasattr(model, "to_json"):
        raise ArgumentError.must_be("model", "a model of Keras", model)
    _check_repeats(model)
    network = built(json.loads(model.to_json()))
    specs = inputs or network.inputs
    if specs is None:
        raise ArgumentError(
            "The Keras model does not know the shape of its inputs.",
            argument="inputs",
            expected="a model that was built or called, or samples of its inputs",
            got="a model without shapes",
            fix="call convert(model, kf.Spec((None, 28, 28, 1)))",
        )
    if not model.built:
        raise ArgumentError(
            "The Keras model has no weights yet.", argument="model", fix="call it, or its `build`, first"
        )
    traced = Traced(network.net, specs)
    declared = traced.call.declared or {}
    problems = weights.Problems("the Keras model")
    arrays: dict[tuple[str, ...], Any] = {}
    layers, taken = _Layers(model), dict[int, tuple[str, ...]]()
    found_at = weights.places(network.net, declared, network.order)
    for place in found_at:
        found = _variables(layers.at(place.file))
        if len(found) != len(place.paths):
            problems.add(f"{place.file} has {len(found)} variables, and the layer here has {len(place.paths)}")
        for path, variable in zip(place.paths, found, strict=False):
            array = _array(variable)
            weights.checked(place.file, path, Form(shape=array.shape, dtype=array.dtype.name), declared[path], problems)
            arrays[path] = array
            if taken.setdefault(id(variable), path) != path:
                first, second = ("/".join(p[:-1]) for p in (taken[id(variable)], path))
                raise ArgumentError(
                    f"The Keras model shares a layer between two models in it, as {first} and {second}.",
                    argument="model",
                    expected="layers that belong to one model each; here, both would train a copy of their own",
                    got=f"{first} and {second}, which have the same variables",
                    fix="make one functional model of all layers in Keras, without models in it",
                )
    for path in sorted(declared.keys() - arrays.keys() - weights.unsaved(network.net, declared)):
        problems.add(f"the Keras model has no variable for {'/'.join(path)}")
    for variable in model.weights:
        if id(variable) not in taken:
            name = getattr(variable, "path", variable.name)
            problems.add(f"the network has no variable for {name} of the Keras model, of shape {tuple(variable.shape)}")
    problems.check()
    params, state = weights.filled(traced.call, arrays)
    weights.warn_of_differences(network.net)
    made = Model(network.net)
    made._traced = traced
    made.train_state = begun(params, state, made.seed)
    optimizer = getattr(model, "optimizer", None)
    if checks.boolean("compile", compile) and optimizer is not None:
        compiled.compile_from(made, model.get_compile_config())
        values = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
        compiled.restore(made, [_array(v) for v in values], None, found_at)
    return made if target is get("numpy") else made.to(target)


def _check_repeats(model: Any) -> None:
    """Raise an ArgumentError if a Sequential has a layer twice, since its config has it once."""
    for layer in model._flatten_layers():
        inner = layer.layers if type(layer).__name__ == "Sequential" else []
        twice = next((x for i, x in enumerate(inner) if any(x is y for y in inner[:i])), None)
        if twice is not None:
            raise ArgumentError(
                f"The Sequential {shown(layer.name)} has the layer {shown(twice.name)} twice, and Keras's config of "
                "it has the layer once.",
                argument="model",
                expected="different layers in a Sequential; Keras loses the others, too, when it saves the model",
                got=shown([x.name for x in inner]),
                fix="call the layer twice in a functional model: keras.Model(x, layer(layer(x)))",
            )


class _Layers:
    """The layers of a Keras model by the paths that its files have: attributes, and names of classes with numbers."""

    def __init__(self, model: Any):
        self.known: dict[str, Any] = {"": model}

    def at(self, file: str) -> Any:
        """The layer at a path; or the layers of a list by the names of their classes, "dense", "dense_1" and so on.

        None if the model has nothing there.
        """
        if file not in self.known:
            above, _, part = file.rpartition("/")
            found = self.at(above)
            if isinstance(found, dict):
                found = found.get(part)
            else:  # Keras 2 has some attributes with an underscore in front
                found = getattr(found, part, None) or getattr(found, f"_{part}", None)
            if isinstance(found, list | tuple):
                found = dict(weights.numbered([(type(layer).__name__, layer) for layer in found], ""))
            self.known[file] = found
        return self.known[file]


def _array(variable: Any) -> Any:
    """The value of a variable of Keras as an array of NumPy: a copy, since Keras may train in that memory."""
    return to_numpy(variable.value() if callable(variable.value) else variable.value).copy()


def _variables(layer: Any) -> list[Any]:
    """The variables of the layer itself, in the order in which files have them; none if there is no layer."""
    if layer is None:
        return []
    for kind in ("variables", "weights"):  # Keras 3, Keras 2
        if hasattr(layer, f"_trainable_{kind}"):
            return [*getattr(layer, f"_trainable_{kind}"), *getattr(layer, f"_non_trainable_{kind}")]
    raise ArgumentError.must_be("model", "made of layers of Keras", shown(layer))
