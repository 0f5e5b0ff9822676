"""`Traced`: what a model knows about its network from running it on shapes alone."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import tree
from ..arrays import asarray, dtype_name
from ..backends import Backend
from ..errors import ArgumentError, KfuncError, ShapeError
from ..nn.freezing import layers_by_path
from ..nn.layer import Layer
from ..nn.scope import Call, Declaration
from ..registry import collected, from_config, to_config
from ..tracing.spec import Spec
from .host_part import HostPart, split

__all__ = ["Traced"]


class Traced:
    """All that was found by tracing a network for inputs of one form. Nothing in it ever changes.

    Args:
        net: The network.
        inputs: The arguments of its `forward`: samples, or `Spec`s with a batch axis. A size of the batch that a `Spec`
            names is kept, since stateful layers need one.

    Attributes:
        whole: The network.
        given: The `Spec`s of its inputs.
        host: Its part that runs on the host, and reads strings; None if it has none.
        net: The rest of it, which is compiled: all of the network if `host` is None.
        inputs: The `Spec`s of the inputs of `net`.
        call: What `net.trace(*inputs)` returned: declarations of parameters and state, and each layer's output.
        output: Shape and dtype of the network's output, a `Spec`, or the tree of them.
        tables: The sizes of the tables in which layers look up rows, by the layer's path.
    """

    def __init__(self, net: Layer, inputs: Any):
        self.whole: Layer = net
        self.given: tuple[Any, ...] = tree.map(_of_any_size, inputs)
        self.host: HostPart | None = split(net)
        self.net: Layer = net if self.host is None else self.host.core
        self.inputs: tuple[Any, ...] = self.given if self.host is None else self.hosted(self.given)
        self.call: Call = self.net.trace(*self.inputs)
        self.read_tables: list[Any] = []  # of a file, which is being read
        self.output: Any = self.call.outputs[-1][2]
        self.tables: Mapping[str, int] = self.call.tables

    def hosted(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs of `net`, from those of the whole network: NumPy arrays, or `Spec`s."""
        assert self.host is not None
        out = self.host.run(inputs[0] if len(inputs) == 1 else list(inputs))
        return tuple(out) if isinstance(out, list | tuple) else (out,)

    @functools.cached_property
    def whole_call(self) -> Call:
        """What tracing the whole network returned, with the layers that run on the host."""
        return self.call if self.host is None else self.whole.trace(*self.given)

    @functools.cached_property
    def entry(self) -> tuple[Any, ...] | None:
        """The `Spec`s of the inputs as `nn.Input` says them; None if it says nothing."""
        return self.whole.input_specs()

    @functools.cached_property
    def output_names(self) -> list[str] | None:
        """A name for each of several outputs; None where the output is a dict, whose keys name them, or one array."""
        return None if isinstance(self.output, dict) else self.net.output_names()

    @functools.cached_property
    def constraints(self) -> dict[str, Callable[..., Any]]:
        """The constraint of each parameter that has one, by its path."""
        declared = self.call.declared or {}
        return {"/".join(path): d.constraint for path, d in declared.items() if d.constraint and d.kind == "params"}

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The network's description in JSON's types.

        Raises:
            ArgumentError: A layer is not registered, or the network is larger than `from_config` takes.
        """
        return self._described[0]

    @property
    def word_tables(self) -> list[Any]:
        """The tables of words that `config` refers to by their numbers; the file of a model holds them as arrays."""
        return self._described[1]

    @functools.cached_property
    def _described(self) -> tuple[dict[str, Any], list[Any]]:
        with collected() as tables:
            config: Any = to_config("layer", self.whole)
        with collected():
            from_config("layer", json.loads(json.dumps(config)))  # which is what loading a file will do
        return config, tables.found

    def check_inputs(self, x: Any) -> None:
        """Check that the network takes inputs like `x`; those of other sizes than it was built for are run on shapes.

        Raises:
            ShapeError: It does not. The error says what it was built for.
        """
        given = tuple(x) if isinstance(x, list | tuple) else (x,)
        leaves, structure = tree.flatten(given)
        form = structure, *(tuple(a.shape)[1:] for a in leaves)  # in a third of the time that paths take
        if form in self._fit:
            return
        built, found = _shapes(self.inputs), _shapes(given)
        if len(found) == len(built) and all(map(_within, found, built)):
            self._fit.add(form)
            return
        params, state = self.variables
        specs = tree.map(lambda leaf: Spec(tuple(leaf.shape), dtype_name(leaf.dtype)), given)
        problem, path, fix = "", None, None
        try:
            self.net.apply(params, *specs, state=state, key=Spec((2,), "uint32") if self.draws else None)
        except KfuncError as error:
            if len(found) != len(built):  # it says already which are missing
                raise
            problem, path, fix = error.problem, error.path, error.fix
        except (AttributeError, TypeError) as error:  # of other arguments than `forward` has
            problem = str(error)
        if problem:
            raise ShapeError(
                f"The inputs have shape {_said(found)}, and the model was built for {_said(built)}: "
                f"{problem.removesuffix('.')}.",
                path=path,
                argument="x",
                expected=_said(built),
                got=_said(found),
                fix=fix,
            )
        self._fit.add(form)

    @functools.cached_property
    def _fit(self) -> set[Any]:
        """The structures and shapes of the inputs that the network has been found to take."""
        return set()

    @functools.cached_property
    def separates(self) -> bool:
        """Whether the network's outputs for a sample depend on that sample alone."""
        return self.net.separates_samples()

    @functools.cached_property
    def variables(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The `Spec`s of the parameters and of the state."""
        return self.call.trees(lambda path, declaration: declaration.spec)

    @functools.cached_property
    def open_axes(self) -> tuple[tuple[int, ...], ...]:
        """For each array of the inputs, the axes whose sizes are not known, but for that of the samples.

        They are counted from the last axis, as there may be one for steps in front.
        """
        return tuple([_open(x) for x in tree.leaves(self.inputs)])

    @functools.cached_property
    def closed(self) -> bool:
        """Whether all sizes of the outputs are known, but for the number of samples."""
        return not any(map(_open, tree.leaves(self.output)))

    @functools.cached_property
    def order(self) -> list[str]:
        """The names of parameters and state in the order of `Model.get_weights`, `"params.dense.kernel"`."""
        declared = self.call.declared or {}
        places = {path: i for i, path in enumerate(layers_by_path(self.net))}

        def place(path: tuple[str, ...]) -> tuple[int, bool]:
            layer = next(n for n in range(len(path) - 1, -1, -1) if "/".join(path[:n]) in places)
            return places["/".join(path[:layer])], declared[path].role == "state"

        return [".".join((declared[path].kind, *path)) for path in sorted(declared, key=place)]

    def filled(self, weights: Iterable[Any], backend: Backend, on: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and state from arrays in that order, on a device of a backend, in the dtypes that the network has.

        Raises:
            ShapeError: Their number or a shape is another.
            ArgumentError: An array is complex, and should be real.
        """
        weights = list(weights)
        by_name = dict(zip(self.order, weights, strict=False))
        if len(weights) != len(self.order):
            raise ShapeError(
                f"`weights` must have {len(self.order)} arrays, got {len(weights)}.",
                argument="weights",
                expected=", ".join(self.order),
                got=f"{len(weights)} arrays",
            )

        def leaf(path: tuple[str, ...], declaration: Declaration) -> Any:
            name, spec = ".".join((declaration.kind, *path)), declaration.spec
            value = asarray(by_name[name])
            if tuple(value.shape) != tuple(spec.shape):
                raise ShapeError(
                    f"`weights[{self.order.index(name)}]`, which is {name}, must have shape {tuple(spec.shape)}, got "
                    f"{tuple(value.shape)}.",
                    argument="weights",
                    expected=f"shape {tuple(spec.shape)}",
                    got=f"shape {tuple(value.shape)}",
                )
            if "complex" in dtype_name(value.dtype) and "complex" not in dtype_name(spec.dtype):
                raise ArgumentError(
                    f"`weights[{self.order.index(name)}]`, which is {name}, is complex, and the network's is real.",
                    argument="weights",
                    expected=f"real numbers, {dtype_name(spec.dtype)}",
                    got=dtype_name(value.dtype),
                    fix="give its real part, or its absolute value",
                )
            return asarray(value, dtype_name(spec.dtype), backend=backend, device=on)

        return self.call.trees(leaf)

    @functools.cached_property
    def adds_losses(self) -> bool:
        """Whether the network has losses of its own."""
        params, state = self.variables
        key = Spec((2,), "uint32")
        options: Any = {"state": state, "key": key, "train": True, "aux": True}
        return bool(self.net.apply(params, *self.inputs, **options)[2].losses)

    @functools.cached_property
    def draws(self) -> bool:
        """Whether the network draws random numbers outside training, too."""
        return bool(self.call.draws)


def _open(x: Spec) -> tuple[int, ...]:
    return tuple([k - len(x.shape) for k, size in enumerate(x.shape) if k and size is None])


def _shapes(x: Any) -> tuple[tuple[str, tuple[int | None, ...]], ...]:
    """The path and the shape of each array, without the size of the batch."""
    paths, leaves = tree.paths(x), tree.leaves(x)
    return tuple([(p, (None, *tuple(a.shape)[1:])) for p, a in zip(paths, leaves, strict=True)])


def _within(found: Any, built: Any) -> bool:
    """Whether an array has as many axes as it was built for, and the sizes that were known then."""
    (_, a), (_, b) = found, built
    return len(a) == len(b) and all(m is None or n == m for n, m in zip(a, b, strict=True))


def _said(shapes: Any) -> str:
    return ", ".join(f"{path}: {shape}" if len(shapes) > 1 else f"{shape}" for path, shape in shapes)


def _of_any_size(x: Any) -> Spec:
    """The `Spec` of a batch like `x`, of any number of samples; a `Spec` stays as it is."""
    return x if isinstance(x, Spec) else Spec((None, *x.shape[1:]), x.dtype)
