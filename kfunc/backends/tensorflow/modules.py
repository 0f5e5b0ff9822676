"""SavedModels of TensorFlow as functions of the values of their variables."""

from __future__ import annotations

import copy
import functools
from typing import Any

import tensorflow as tf

from ... import tree
from ...errors import ArgumentError, FileError, ShapeError
from ...ops._op import lowering
from ...ops.foreign import foreign
from ...tracing.spec import Spec
from ..foreign import Foreign, Variable, plain
from .backend import backend

__all__ = ["SavedModel"]

_UNNAMED = "cd2c89b7-88b7-44c8-ad83-06c2a9158347"
"""TensorFlow's name for a resource that is not shared, and freed with its last handle."""


@lowering(backend, foreign)
def _foreign(module, values, args, kwargs, key, train):
    if not isinstance(module, SavedModel):
        return NotImplemented
    values, args, kwargs = tree.map(backend.lower, (values, args, kwargs))
    return module.run(values, args, kwargs, key, train)


class SavedModel(Foreign):
    """What `nn.TFSMLayer` runs; the arguments are those of the layer."""

    name, library = "TFSMLayer", "tensorflow"

    def __init__(self, filepath: str, call_endpoint: str, call_training_endpoint: str | None):
        try:
            self._loaded = tf.saved_model.load(filepath)  # it must live as long as its functions
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise FileError(
                f"{filepath} is no SavedModel that TensorFlow can load: {str(error).splitlines()[0]}",
                argument="filepath",
                expected="a folder written by tf.saved_model.save, or by Keras's model.export",
                got=filepath,
            ) from error
        self._call = self._endpoint("call_endpoint", call_endpoint)
        self._training = self._call
        if call_training_endpoint is not None:
            self._training = self._endpoint("call_training_endpoint", call_training_endpoint)
        found = {}
        for fun in (self._call, self._training):
            for one in getattr(fun, "concrete_functions", [fun]):
                found |= {id(v): v for v in one.variables if v.dtype != tf.string}
        self._tensors = list(found.values())
        self._variables = tuple([_variable(v, p) for v, p in zip(self._tensors, _paths(self._tensors), strict=True)])

    def _endpoint(self, argument: str, name: str) -> Any:
        fun = getattr(self._loaded, name, None)
        if fun is None and name in self._loaded.signatures:
            return self._loaded.signatures[name]
        if not hasattr(fun, "get_concrete_function") and not hasattr(fun, "concrete_functions"):
            known = [n for n in dir(self._loaded) if hasattr(getattr(self._loaded, n, None), "concrete_functions")]
            raise ArgumentError(
                f"The SavedModel has no endpoint {name!r}.",
                argument=argument,
                expected=f"one of {', '.join([*known, *self._loaded.signatures])}",
                got=repr(name),
            )
        return fun

    def variables(self, args: Any, kwargs: Any) -> Any:
        return self._variables

    def shapes(self, values: Any, args: Any, kwargs: Any, train: Any) -> Any:
        specs = tree.map(lambda x: tf.TensorSpec(x.shape, x.dtype) if isinstance(x, Spec) else x, (args, kwargs or {}))
        return tree.map(_spec, plain(self._concrete(train, *specs).structured_outputs)), False

    def _concrete(self, train: bool, args: Any, kwargs: Any) -> Any:
        """The graph for these arguments."""
        fun = self._training if train else self._call
        if not hasattr(fun, "concrete_functions"):
            return fun
        try:
            return fun.get_concrete_function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise ShapeError(
                "The SavedModel was saved for other inputs.",
                argument="inputs",
                expected=" or ".join(str(one.structured_input_signature[0]) for one in fun.concrete_functions),
                got=", ".join(f"{x.dtype.name} {tuple(x.shape)}" for x in tree.leaves(args) if hasattr(x, "dtype")),
                fix="give it such inputs; in a network of half precision, give the layer dtype='float32'",
            ) from error

    def run(self, values: Any, args: Any, kwargs: Any, key: Any, train: Any) -> Any:
        concrete = self._concrete(train, args, kwargs or {})
        leaves, structure = tree.flatten((args, kwargs or {}))
        places = [i for i, x in enumerate(leaves) if isinstance(x, tf.Tensor)]
        n, form = len(places), []

        # The variables that the graph reads are made anew from the values, so that calls do not know of each other. The
        # gradient is that of the new variables.
        @tf.custom_gradient
        def run(*given_tensors):
            # Under two tapes, TensorFlow would fail for variables that are read in loops: so the outer one sees this
            # function as one operation.
            tensors = [tf.stop_gradient(x) for x in given_tensors]
            handles = [_maker(tuple(value.shape), value.dtype)(value) for value in tensors[n:]]
            given = list(leaves)
            for i, x in zip(places, tensors, strict=False):
                given[i] = x
            inputs, options = tree.unflatten(structure, given)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([x for x in (*tensors[:n], *handles) if x.dtype.is_floating or x.dtype == tf.resource])
                out = _called(self._over(concrete, handles), inputs, options)
            flat, out_structure = tree.flatten(plain(out))
            form[:] = [out_structure]
            after = [
                tf.raw_ops.ReadVariableOp(resource=handle, dtype=v.dtype)
                for handle, v, variable in zip(handles, self._tensors, self._variables, strict=True)
                if not variable.trainable
            ]

            def gradient(*upstream, variables=None):
                shares = tape.gradient(flat, [*tensors[:n], *handles], list(upstream[: len(flat)]))
                pairs = zip(tensors, shares, strict=True)
                found = [tf.zeros_like(x) if g is None else tf.convert_to_tensor(g) for x, g in pairs]
                found = _once(len(found), *found, *given_tensors, *[x for x in upstream if x is not None])
                return found if variables is None else (found, [None] * len(variables))

            return [*flat, *after], gradient

        out = run(*[leaves[i] for i in places], *values)
        count = len(out) - sum(not v.trainable for v in self._variables)
        return tree.unflatten(form[0], out[:count]), list(out[count:])

    def _over(self, concrete: Any, handles: list[Any]) -> Any:
        """The function, with these variables in place of its own."""
        new = copy.copy(concrete)
        ours = {id(v.handle): handle for v, handle in zip(self._tensors, handles, strict=True)}
        new.set_external_captures([ours.get(id(x), x) for x in concrete.captured_inputs])
        return new


backend.foreign["TFSMLayer"] = SavedModel


@functools.cache
def _maker(shape: tuple[int, ...], dtype: Any) -> Any:
    """A function from a value to the handle of a new variable that has it."""

    # In a function, since TensorFlow would look for the Python object of a variable that it sees in a gradient.
    @tf.function(autograph=False)
    def make(value):
        handle = tf.raw_ops.VarHandleOp(dtype=dtype, shape=shape, shared_name=_UNNAMED)
        tf.raw_ops.AssignVariableOp(resource=handle, value=value)
        return handle

    return make.get_concrete_function(tf.TensorSpec(shape, dtype))


def _once(n: int, *tensors: Any) -> list[Any]:
    """The first `n` of `tensors`, which are a gradient with respect to the others: it has no derivative itself."""

    @tf.custom_gradient
    def once(*tensors):
        def refuse(*_, variables=None):
            raise backend.unsupported(
                "the derivative of a TFSMLayer's derivative",
                "take first derivatives only, or write the network in kfunc",
            )

        return [tf.identity(x) for x in tensors[:n]], refuse

    return once(*tensors)


def _called(fun: Any, inputs: tuple, options: dict) -> Any:
    """`fun`, whose inputs have only names if it is a signature."""
    args, kwargs = fun.structured_input_signature
    if args or len(inputs) != 1:
        return fun(*inputs, **options)
    given = inputs[0] if isinstance(inputs[0], dict) else dict(zip(kwargs, inputs, strict=False))
    return fun(**given, **options)


def _variable(v: Any, path: tuple[str, ...]) -> Variable:
    trainable = v.trainable and (v.dtype.is_floating or v.dtype.is_complex)
    return Variable(path, tuple(v.shape), v.dtype.name, trainable, lambda key: v.numpy())


def _paths(variables: list[Any]) -> list[tuple[str, ...]]:
    """A path for each variable: its name, with a number if another one has it."""
    paths: list[tuple[str, ...]] = []
    taken: set[tuple[str, ...]] = set()
    for v in variables:
        *above, last = [part for part in v.name.partition(":")[0].split("/") if part]
        names = (last if i == 0 else f"{last}_{i}" for i in range(len(variables) + 1))
        path = next(p for n in names if (p := (*above, n)) not in taken and not any(q == p[: len(q)] for q in paths))
        paths.append(path)
        taken |= {path[:i] for i in range(1, len(path) + 1)}
    return paths


def _spec(x: Any) -> Spec:
    if x.shape.rank is None:
        raise ShapeError("The SavedModel does not know how many axes its output has.", got=str(x))
    return Spec(tuple(x.shape), x.dtype.name)
