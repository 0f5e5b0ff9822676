"""Layers that are made of layers: in a row, side by side, repeated, frozen, checkpointed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from .. import checks, ops, random, tree
from ..arrays import dtype_name, namespace, native
from ..dataclasses import replace
from ..errors import ArgumentError, ShapeError, UnknownAttributeError
from ..tracing.spec import Spec
from ..transforms import checkpoint, scan
from ..typing import Tree
from .graph import Input
from .layer import Layer, as_layer, base_layer, layer
from .masks import hidden
from .names import unique_names
from .nodes import Node
from .scope import Result, Scope, furthest

__all__ = ["Branch", "Frozen", "Parallel", "Remat", "Residual", "Sequential", "Stack", "Wrapper"]


def _layers(given: Any, who: str) -> Any:
    """`given`, a list, tuple or dict of layers, in which a `Model` stands for its network; or an ArgumentError."""
    values = given.values() if isinstance(given, dict) and who != "Sequential" else given
    if not isinstance(given, list | tuple | dict) or not all(isinstance(as_layer(x), Layer) for x in values):
        raise ArgumentError.must_be("layers", "a list of layers", given)
    if all(isinstance(x, Layer) for x in values):
        return given
    if isinstance(given, dict):
        return {name: as_layer(x) for name, x in given.items()}
    return tuple([as_layer(x) for x in given])


class _Refused:
    """A method of Keras's Sequential that changes it."""

    def __init__(self, name: str):
        self.name = name

    def __get__(self, net: Any, owner: type) -> Any:
        raise UnknownAttributeError(
            f"A Sequential has no `{self.name}`: a layer never changes.",
            argument=self.name,
            expected="a list of layers that is complete when the Sequential is made",
            got=self.name,
            fix="net + [layer] is a longer network, nn.Sequential(net.layers[:-1]) a shorter one; or change a Python "
            "list of layers, and make the network of it at last",
        )


@layer
class Sequential(Layer):
    """One layer after the other: the first takes all inputs, each other one the output of the one before.

    The output has the shape that the last layer gives it.

    Args:
        layers: The layers. Each is called by its `name`, or by its class's (`conv2d`, `dense`, `dense_1`). A layer of a
            network that was made before has the same name here: `Sequential(net.layers[2:])` takes the parameters of
            `net`. `nn.Input(shape)` as the first of them says the shape of the input: it becomes `inputs`, and `layers`
            begins after it.
        inputs: The shape of the input with the batch, its dtype and its name, or None if the data say them.

    `net + [nn.Dense(3)]` is the network with further layers behind; `net` stays as it is.
    """

    layers: Sequence[Layer] = ()
    inputs: Sequence[Any] | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        layers: Any = self.layers
        if isinstance(layers, list | tuple) and layers and isinstance(layers[0], Node) and layers[0].layer is None:
            first = layers[0]
            object.__setattr__(self, "inputs", (first.shape, dtype_name(first.dtype), first.name))
            layers = tuple(layers[1:])
        object.__setattr__(self, "layers", _layers(layers, type(self).__name__))
        if self.inputs is not None:
            self._spec()
        super().__post_init__()

    def _spec(self) -> Spec:
        """The `Spec` of the input."""
        try:
            shape, dtype, _ = self.inputs or ()
            return Spec(tuple(shape), dtype)
        except (TypeError, ValueError) as error:
            raise ArgumentError.must_be("inputs", "a shape, a dtype and a name", self.inputs) from error

    def __add__(self, layers: Any) -> Sequential:
        more = [layers] if isinstance(layers, Layer) else layers
        return replace(self, layers=(*self.layers, *more)) if isinstance(more, list | tuple) else NotImplemented

    add: ClassVar[Any] = _Refused("add")
    pop: ClassVar[Any] = _Refused("pop")

    @property
    def outputs(self) -> list[Any]:
        """The nodes of the output."""
        return tree.leaves(self.output)

    def _ends(self, what: str) -> tuple[Any, Any]:
        # They are made when they are first needed: a network that trains needs none.
        known = vars(self).get("_nodes")
        if known is None:
            if (specs := self.input_specs()) is None:
                raise UnknownAttributeError(
                    f"The `{what}` of {type(self).__name__} is not known, since the shape of its input is not.",
                    argument=what,
                    expected="nn.Input(shape) as the first of the layers",
                    got=f"{len(self.layers)} layers",
                    fix="write nn.Sequential([nn.Input(shape), ...])",
                )
            name = None if self.inputs is None else self.inputs[2]
            x = out = Input(batch_shape=specs[0].shape, dtype=specs[0].dtype, name=name)
            for child in self.layers:
                out = child(*out) if isinstance(out, tuple) else child(out)
            known = x, out
            object.__setattr__(self, "_nodes", known)
        return known

    def input_specs(self) -> tuple[Any, ...] | None:
        if self.inputs is not None:
            return (self._spec(),)
        return self.layers[0].input_specs() if self.layers else None

    def _checked(self, x: Any) -> Any:
        """The `Spec` of the input. A dict holds it by the name of the `nn.Input`.

        Raises:
            ShapeError: It is another than `inputs` says.
        """
        if isinstance(x, Spec):
            wanted = self._spec().shape
            pairs = zip(wanted, x.shape, strict=False)
            if len(wanted) != x.ndim or any(m != n for m, n in pairs if None not in (m, n)):
                raise ShapeError(
                    f"The network takes inputs of shape {wanted}, as its nn.Input says, got {tuple(x.shape)}.",
                    argument="x",
                    expected=wanted,
                    got=tuple(x.shape),
                )
        return x

    def _plain_fields(self) -> Iterable[tuple[str, Any]]:
        return [(name, value) for name, value in super()._plain_fields() if name != "inputs" or value is not None]

    def children(self) -> Iterable[tuple[str, Layer]]:
        return [*unique_names(self, self.layers), *self._assigned_children()]

    def forward(self, s: Scope, x: Tree, *more: Any, mask: Tree = None) -> Tree:
        x = hidden(x, mask)
        if self.inputs is not None and s.initializing:
            x = self._checked(x)
        for child in self.layers:
            x, mask = child.masked(s, x, *more, mask=mask)
            more = ()
        s.hand_on(mask)
        return x


@layer
class Residual(Layer):
    """`x + body(x)`, of any shape (He et al., arXiv:1512.03385).

    Args:
        body: A layer that keeps the shape.
    """

    body: Layer

    def forward(self, s: Scope, x: Tree) -> Tree:
        y = self.body(s, x)
        if y.ndim != x.ndim or any(a != b for a, b in zip(x.shape, y.shape, strict=True) if None not in (a, b)):
            raise ShapeError(
                f"The `body` of a Residual must keep the shape {tuple(x.shape)}, but makes {tuple(y.shape)} of it.",
                argument="body",
                expected=tuple(x.shape),
                got=tuple(y.shape),
                fix="give its last layer the input's width; for convolutions, use padding='same' and strides=1",
            )
        return x + y if x.dtype == y.dtype else ops.add(x, y)


@base_layer
class _Side(Layer):
    """Layers side by side.

    Args:
        layers: A list, tuple or dict of layers. The outputs come in a list, or in a dict with the same keys.
    """

    layers: Sequence[Layer] | Mapping[str, Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _layers(self.layers, type(self).__name__))
        super().__post_init__()

    def children(self) -> Iterable[tuple[str, Layer]]:
        named = self.layers.items() if isinstance(self.layers, Mapping) else unique_names(self, self.layers)
        return [*named, *self._assigned_children()]

    def _run_each(self, s: Scope, inputs: list[Any], masks: list[Any]) -> list[Any] | dict[str, Any]:
        layers = list(self.layers.values()) if isinstance(self.layers, Mapping) else list(self.layers)
        outs = [f.masked(s, x, mask=m) for f, x, m in zip(layers, inputs, masks, strict=True)]
        keys = list(self.layers) if isinstance(self.layers, dict) else None
        values, given = ([part[i] for part in outs] for i in (0, 1))
        s.hand_on(given if keys is None else dict(zip(keys, given, strict=True)))
        return values if keys is None else dict(zip(keys, values, strict=True))


@layer
class Branch(_Side):
    """Each of `layers` on the same input, of any shape: x to [layers[0](x), layers[1](x), …]."""

    def forward(self, s: Scope, x: Tree, mask: Tree = None) -> Tree:
        n = len(self.layers)
        return self._run_each(s, [x] * n, [mask] * n)


@layer
class Parallel(_Side):
    """Each of `layers` on an input of its own: [x, y] to [layers[0](x), layers[1](y)]; or dicts of them, by key.

    The inputs have the shapes that the layers take.
    """

    def forward(self, s: Scope, inputs: Tree, mask: Tree = None) -> Tree:
        keys = self.layers.keys() if isinstance(self.layers, dict) else range(len(self.layers))
        given = inputs.keys() if isinstance(inputs, dict) else range(len(inputs))
        if set(keys) != set(given):
            named = ", ".join(map(str, keys))
            expected = (
                f"inputs with the keys {named}" if isinstance(self.layers, dict) else f"{len(self.layers)} inputs"
            )
            got = ", ".join(map(str, given)) if isinstance(inputs, dict) else len(inputs)
            problem = f"Parallel needs {expected}, one for each layer, got {got}."
            raise ShapeError(problem, argument="inputs", expected=expected, got=got)
        masks = [None if mask is None else mask[k] for k in keys]
        return self._run_each(s, [inputs[k] for k in keys], masks)


@layer
class Wrapper(Layer):
    """The base of layers around a layer, which change what it does. By itself it does what `layer` does.

    The shapes of input and output are those of `layer`.
    """

    layer: Layer

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", as_layer(self.layer))
        if not isinstance(self.layer, Layer):
            raise ArgumentError.must_be("layer", "a layer", self.layer)
        super().__post_init__()

    def forward(self, s: Scope, *inputs: Any, mask: Tree = None, **options: Any) -> Tree:
        out, mask = self.layer.masked(s, *inputs, mask=mask, **options)
        s.hand_on(mask)
        return out


@layer
class Frozen(Wrapper):
    """`layer` with parameters that do not train: they are a part of the state, and `layer` behaves as in inference.

    The shapes of input and output are those of `layer`. No gradient is computed for the parameters, and no optimizer
    holds moments of them or decays them. To use trained values, put them into the state:
    `state["frozen"]["layer"] = …`. This is the same as `trainable=False` on the layer itself.
    """

    trainable: bool = dataclasses.field(default=False, kw_only=True)


@layer
class Remat(Wrapper):
    """`layer`, whose inner values are not kept for gradients, but computed again (Chen et al., arXiv:1604.06174).

    This takes less memory and more time. The shapes and the numbers are those of `layer`.
    """

    def forward(self, s: Scope, *inputs: Any, mask: Tree = None, **options: Any) -> Tree:
        if mask is not None:
            options["mask"] = mask
        if s.initializing:
            return super().forward(s, *inputs, **options)
        fun, params, state = s.pure(self.layer)
        # The values of the options go by position, since Dynamo cannot flatten the dict of `**options`.
        leaves, structure = tree.flatten((inputs, tuple(options.values())))
        traced = [i for i, x in enumerate(leaves) if hasattr(x, "dtype")]

        def run(params: Any, state: Any, key: Any, *arrays: Any):
            now = dict(zip(traced, arrays, strict=True))
            inputs, values = tree.unflatten(structure, [now.get(i, x) for i, x in enumerate(leaves)])
            return fun(params, state, key, *inputs, **dict(zip(options, values, strict=True)))

        return s.absorb(checkpoint(run)(params, state, s.maybe_key(), *(leaves[i] for i in traced)))


@layer
class Stack(Wrapper):
    """`layer` `length` times, one after another, each time with its own parameters: (batch, ...) to the same.

    The parameters are stacked along a first axis, and one scan runs over them, so that a deep network compiles as fast
    as one layer. State variables are stacked, too.

    `stack(s, x, *more, each=None, **options)`: `more` and `options` are the same each time. `each` is a dict of further
    options whose arrays are others each time: those of the first time are the first entries, `array[0]`, and so on. If
    `layer` returns several values, the first one goes into the next time, and the others are returned with a first axis
    of `length`. So a stack of blocks decodes with a cache for each:

        caches = stack.init_cache(batch, length)
        x, caches = stack(s, x, each={"cache": caches})

    Args:
        layer: A layer that keeps the shape and the dtype of its first input.
        length: How many times.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    length: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("length", self.length)

    def init_cache(self, *args: Any, **options: Any) -> Any:
        """The caches of all layers, each array with a first axis of `length`; arguments as of `layer.init_cache`."""
        # Any layer may have an `init_cache`, such as a block around an attention.
        layer: Any = self.layer
        return native(_repeated)(layer.init_cache(*args, **options), self.length)

    def forward(  # type: ignore[override]
        self,
        s: Scope,
        x: Tree,
        *more: Any,
        each: Mapping[str, Any] | None = None,
        mask: Tree = None,
        **options: Any,
    ) -> Tree:
        if mask is not None:
            options["mask"] = mask
        each = dict(each or {})
        for a in tree.leaves(each):
            if not a.ndim or a.shape[0] not in (self.length, None):
                raise ShapeError(
                    f"The arrays in `each` must have a first axis of {self.length}, got shape {tuple(a.shape)}.",
                    argument="each",
                    expected=f"({self.length}, ...): one entry for each time",
                    got=tuple(a.shape),
                )
        if s.initializing:
            first = tree.map(lambda a: a[0, ...], each)
            out, mask = s.declare(self.layer, self.length, x, *more, **options, **first)
            y, *others = out if isinstance(out, list | tuple) else (out,)
            if tuple(x.shape) != tuple(y.shape) or x.dtype != y.dtype:
                raise ShapeError(
                    f"The `layer` of a Stack must keep shape and dtype, but makes {tuple(y.shape)} {y.dtype} of "
                    f"{tuple(x.shape)} {x.dtype}.",
                    argument="layer",
                    expected=f"{tuple(x.shape)} {x.dtype}",
                    got=f"{tuple(y.shape)} {y.dtype}",
                    fix="give its last layer the input's width",
                )
            s.hand_on(mask)
            return (y, *tree.map(lambda a: Spec((self.length, *a.shape), a.dtype), others)) if others else y
        fun, params, state = s.pure(self.layer)
        key = s.maybe_key()
        masks = []

        def step(x: Any, now: Any):
            result = fun(now["params"], now["state"], now["key"], x, *more, **options, **now["each"])
            masks.append(result.mask)
            out, *others = result.output if isinstance(result.output, list | tuple) else (result.output,)
            return out, (others, result.state, result.losses, result.indices or {})

        keys = None if key is None else random.split(key, self.length)
        over = {"params": params, "state": state, "key": keys, "each": each}
        x, (others, changes, losses, indices) = scan(step, x, over, self.length)
        total = {name: namespace(values).sum(values) for name, values in losses.items()}
        mask = options.get("mask") if masks[-1] is not None else None
        out = (x, *others) if others else x
        return s.absorb(Result(out, changes, total, mask, {path: furthest(i) for path, i in indices.items()}))


def _repeated(arrays: Tree, times: int) -> Tree:
    return tree.map(lambda x: namespace(x).stack([x] * times), arrays)
