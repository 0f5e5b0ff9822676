"""A layer is a frozen dataclass with one `forward(scope, x)`; `init` and `apply` are derived from it, and pure."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from .. import random, tree
from ..arrays import Spec, backend_of, enter, kind_of_tree, to_backend
from ..backends import Backend, get
from ..errors import ArgumentError, KfuncError, LayerError
from ..registry import register
from .scope import Call, Scope, name_id

__all__ = ["Layer", "layer", "unique_names"]

L = TypeVar("L", bound=type)


@typing.dataclass_transform(frozen_default=True, eq_default=False)
def layer(cls: L) -> L:
    """Class decorator: make a layer, a frozen dataclass that model files know by its class's name.

    Fields are hyperparameters and children. A field that is a layer is a child of the field's name; layers in a list,
    tuple or dict are children named `field_0`, `field_key`.
    """
    return register("layer")(dataclasses.dataclass(frozen=True, eq=False)(cls))


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """Base of all layers. Subclasses are decorated with `@nn.layer`, and define `forward`.

    Args:
        name: The layer's name in the parameter tree, where its parent numbers its children (`Sequential`, `Graph`).
    """

    name: str | None = dataclasses.field(default=None, kw_only=True)
    _children: dict[int, tuple[str, int]] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"[\w-]+", self.name):
            raise ArgumentError(
                "A layer's name is part of a path.",
                argument="name",
                expected="letters, digits, '_' and '-'",
                got=repr(self.name),
            )
        for field, value in self._arguments():
            if isinstance(value, list):
                object.__setattr__(self, field, tuple(value))
        # By id: Dynamo takes frozen dataclasses with equal fields for equal keys.
        children: dict[int, tuple[str, int]] = {}
        for name, child in self.children():
            children.setdefault(id(child), (name, name_id(name)))
        names = [name for name, _ in children.values()]
        if len(set(names)) != len(names):
            raise LayerError(
                "Two children have one name.",
                argument="name",
                expected="a name of its own for each layer object",
                got=", ".join(sorted({n for n in names if names.count(n) > 1})),
            )
        object.__setattr__(self, "_children", children)

    def children(self) -> Iterable[tuple[str, Layer]]:
        """The name and the object of each child; an object that comes twice shares its weights."""
        for field, value in self._arguments():
            if isinstance(value, Layer):
                yield field, value
            elif isinstance(value, tuple):
                yield from ((f"{field}_{i}", v) for i, v in enumerate(value) if isinstance(v, Layer))
            elif isinstance(value, dict):
                yield from ((f"{field}_{k}", v) for k, v in value.items() if isinstance(v, Layer))

    def _arguments(self) -> Iterable[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self) if field.init]

    def forward(self, s: Scope, *inputs: Any, **options: Any) -> Any:
        """The layer's output. Written in the Array API, of conforming arrays; `s` gives parameters, state and keys."""
        raise TypeError(f"{type(self).__name__} defines no forward(self, s, x).")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`layer(s, x)` inside another layer's `forward`, or `layer(node)` to build a `Graph`."""
        if args and isinstance(args[0], Scope):
            return self._run(args[0].child(self), args[1:], kwargs)
        from .graph import Node

        if any(isinstance(x, Node) for x in tree.leaves((args, kwargs))):
            return Node(self, args, kwargs)
        raise ArgumentError(
            f"{type(self).__name__} was called with neither a scope nor a graph's node.",
            argument="x",
            expected="layer(s, x) inside a forward, or layer(nn.Input(...)) to build a graph",
            got=", ".join(type(a).__name__ for a in args) or "nothing",
            fix="to run it on arrays: params, state = layer.init(0, x); y, state = layer.apply(params, x, state=state)",
        )

    def _run(self, s: Scope, args: tuple, kwargs: dict) -> Any:
        try:
            out = self.forward(s, *args, **kwargs)
        except KfuncError as error:
            if error.path is None:
                error.path = s.path or type(self).__name__
            raise
        except Exception as error:
            # A framework's own error: say once where it came from.
            if not hasattr(error, "__notes__"):
                error.add_note(f"in layer: {s.path or type(self).__name__}")
            raise
        if s.initializing:
            s._call.outputs.append((s.path, self, out))
        return out

    # -- the two pure functions --------------------------------------------------------------------------------------

    def trace(self, *inputs: Any, **options: Any) -> Call:
        """Run `forward` on shapes alone. The call that comes back holds what was declared, and each layer's output."""
        call = Call(declared={})
        self._run(Scope(call, self, (), 0, None, None), *tree.map(_spec, (inputs, options)))
        return call

    def init(
        self, key: Any, *inputs: Any, backend: str | Backend | None = None, device: Any = None, **options: Any
    ) -> Any:
        """The first parameters and state.

        Args:
            key: A seed or a key. A seed draws the values in NumPy, so that they are the same bits on every backend.
            inputs, options: The arguments of `forward`, each array a sample or a `Spec`.
            backend: Where the values go; by default to the backend of the inputs, else of the key, else NumPy.
            device: The device on that backend.

        Returns:
            (params, state): nested dicts of native arrays.

        Raises:
            KfuncError: Shapes do not fit; the layer's path is in the message.
        """
        call = self.trace(*inputs, **options)
        kind = kind_of_tree([x for x in tree.leaves((inputs, options)) if not isinstance(x, Spec)])
        target = get(backend) if backend is not None else backend_of(key) if kind is None else kind.backend
        if isinstance(key, int):
            key = random.key(key)
        trees: dict[str, dict] = {"params": {}, "state": {}}
        for path, declaration in (call.declared or {}).items():
            _put(trees[declaration.kind], path, declaration.draw(key, path))
        values = (trees["params"], trees["state"])
        return values if backend_of(key) is target and device is None else to_backend(values, target, device)

    def apply(
        self, params: Any, *inputs: Any, state: Any = None, key: Any = None, train: bool = False, **options: Any
    ) -> tuple[Any, Any]:
        """The output for `inputs`, and the new state. Pure: nothing that was passed changes.

        Args:
            params: As `init` returned them, of any backend.
            inputs, options: The arguments of `forward`, arrays of the same backend.
            state: As `init` or the last `apply` returned it; needed if the network has state.
            key: A key or seed; needed if a layer draws random numbers, as Dropout does in training.
            train: Whether layers behave as in training.

        Returns:
            (output, state): native arrays; the state has the structure of the one passed.

        Raises:
            ParamError, MissingKeyError, ShapeError: With the layer's path.
            MixedBackendsError: Arrays of two backends were passed.
        """
        if isinstance(key, int):
            key = random.key(key, backend=backend_of(params, inputs))
        return enter(self._apply, (params, inputs, options, state, key), {"train": train})

    def _apply(self, params, inputs, options, state, key, train):
        call = Call(train=train, key=key)
        out = self._run(Scope(call, self, (), 0, params, state), inputs, options)
        return out, _updated(state, call.new_state)


def _spec(x: Any) -> Any:
    kind = kind_of_tree(x)
    if kind is None or isinstance(x, Spec):
        return x
    x = kind.backend.lift(x)
    return Spec(x.shape, x.dtype)


def _put(branch: dict, path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        branch = branch.setdefault(part, {})
    branch[path[-1]] = value


def _updated(state: Any, values: dict[tuple[str, ...], Any]) -> Any:
    """`state` with `values` at their paths; what does not change is shared, and nothing is written to."""
    if not values:
        return {} if state is None else state
    new = dict(state)
    below: dict[str, dict] = {}
    for path, value in values.items():
        if len(path) == 1:
            new[path[0]] = value
        else:
            below.setdefault(path[0], {})[path[1:]] = value
    for name, inner in below.items():
        new[name] = _updated(new[name], inner)
    return new


def snake_case(name: str) -> str:
    """`MaxPooling2D` as `max_pooling2d`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name.lstrip("_")).lower()


def unique_names(layers: Iterable[Layer]) -> Iterable[tuple[str, Layer]]:
    """A name for each distinct layer: its own, or its class's, numbered where that is taken (`dense`, `dense_1`)."""
    layers = list(dict.fromkeys(layers))
    taken = {child.name for child in layers if child.name is not None}
    for child in layers:
        name = child.name
        if name is None:
            base = name = snake_case(type(child).__name__)
            number = 0
            while name in taken:
                number += 1
                name = f"{base}_{number}"
            taken.add(name)
        yield name, child
