"""The functional API: call layers on `Input`s, and make a `Graph` of what comes out."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from .. import tree
from ..arrays import dtype_name
from ..errors import ArgumentError, LayerError, shown
from ..tracing.spec import Spec
from ..typing import Tree
from .layer import Layer, layer
from .masks import hidden
from .names import unique_names
from .nodes import Node, Part, alone, remember, taken
from .operations import ConstantArray, Operation, check_sizes, separates
from .scope import Scope

__all__ = ["Graph", "Input", "InputLayer", "input_node", "ordered"]


def Input(
    shape: tuple[int | None, ...] | None = None,
    batch_size: int | None = None,
    dtype: str | None = "float32",
    name: str | None = None,
    *,
    batch_shape: tuple[int | None, ...] | None = None,
) -> Node:
    """An input of a graph.

    Args:
        shape: Sizes without the batch; None where unknown.
        batch_size: The size of the batch, if it is fixed.
        dtype: Name of the dtype; None is "float32".
        name: By this name a dict of arrays has the input: `model.fit({"title": x}, y)` for an `Input` alone or in a
            list. Without a name it is "input_layer", "input_layer_1" and so on; in a dict of inputs, the key counts.
        batch_shape: Sizes with the batch, in place of `shape` and `batch_size`.

    Raises:
        ArgumentError: Not just one of `shape` and `batch_shape` is given.
    """
    if (shape is None) == (batch_shape is None) or (batch_shape is not None and batch_size is not None):
        raise ArgumentError(
            "Input needs either `shape`, or `batch_shape` alone.",
            argument="shape",
            expected="the sizes without the batch in shape, or with it in batch_shape",
            got=f"shape={shape}, batch_size={batch_size}, batch_shape={batch_shape}",
        )
    sizes = (batch_size, *shape) if shape is not None else tuple(batch_shape or ())
    return input_node(Spec(sizes, dtype or "float32"), name)


def input_node(spec: Spec, name: Any) -> Node:
    """The node of an input of this form, called `name` unless that is None."""
    if name is not None and not isinstance(name, str):
        raise ArgumentError.must_be("name", "a string or None", name)
    node = Node(None, spec=spec)
    node.name = name
    return node


@layer
class InputLayer(Layer):
    """What stands for an `Input` in the list of a graph's layers: x itself, of any shape.

    Args:
        batch_shape: The shape with the batch; None where it is not known.
        kept_in: The dtype.
    """

    batch_shape: tuple[int | None, ...]
    kept_in: str = "float32"

    supports_masking: ClassVar[bool] = True

    def forward(self, s: Scope, x: Any) -> Any:
        return x


@layer
class Graph(Layer):
    """A layer made of a graph of layers. A layer that is called more than once shares its weights.

    Inputs have the shapes of the `Input`s, and outputs those of the layers that they come from.

    Each layer is called by its `name`; or as in the network that it is a part of already; or by its class, in the order
    in which the outputs need them (`dense`, `dense_1`). So make the whole graph first: a graph of a part of it, such as
    features, a decoder or one of two towers, finds its parameters in those of the whole. Where two graphs were made
    apart, a graph of both may need other names; then they refuse its parameters, and graphs made after it take them.

    Args:
        inputs: An `Input`, or a list, tuple or dict of them. `apply` takes arrays in the same structure; for a list or
            tuple, they may also be separate arguments, or lie in a dict by the names of the inputs. Any other node is
            taken, too: then the graph begins in the middle of a network.
        outputs: A node, or a tree of nodes. `apply` returns arrays in the same structure.
    """

    inputs: Tree
    outputs: Tree

    def _ends(self, what: str) -> tuple[Any, Any]:
        return self.inputs, self.outputs

    def _findable(self) -> dict[str, Layer]:
        inputs = {
            name: _input_layer(x, name) for x, name in zip(tree.leaves(self.inputs), self.input_names(), strict=True)
        }
        return inputs | super()._findable()

    @property
    def layers(self) -> list[Layer]:
        """All layers, in Keras's order: from the inputs to the outputs, with an `InputLayer` for each input."""
        inputs = tree.leaves(self.inputs)
        depths: dict[int, int] = {}
        for node in reversed(ordered(tree.leaves(self.outputs), set(map(id, inputs)))):
            depth = depths.setdefault(id(node), 0)
            for parent in node.parents:
                depths[id(parent)] = max(depths.get(id(parent), 0), depth + (not isinstance(node, Part)))
        named = zip(inputs, self.input_names(), strict=True)
        found = [(depths.get(id(x), 0), _input_layer(x, name)) for x, name in named]
        found += [(depths[id(node)], node.layer) for node in self._order if node.layer is not None]
        return list(dict.fromkeys(child for _, child in sorted(found, key=lambda each: -each[0])))

    _order: list[Node] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        inputs = tree.leaves(self.inputs)
        known = set(map(id, inputs))
        order = ordered(tree.leaves(self.outputs), known)
        if not inputs:
            raise ArgumentError.must_be("inputs", "made of nn.Input(...)", self.inputs)
        for x in inputs:
            if not isinstance(x, Node):
                raise ArgumentError.must_be("inputs", "made of nn.Input(...)", x)
        for x in order:
            if not isinstance(x, Node):
                raise ArgumentError.must_be("outputs", "made of nodes, which layers return for nn.Input(...)", x)
        stray = [x for x in order if x.layer is None and id(x) not in known]
        if stray:
            raise LayerError(
                f"The outputs depend on {shown(stray[0])}, which is not among the inputs.",
                argument="inputs",
                expected="every Input that the outputs depend on",
                got=repr(stray[0]),
                fix="add it to inputs",
            )
        for field in ("inputs", "outputs"):  # copies, since the caller may change lists later
            object.__setattr__(self, field, tree.map(lambda node: node, getattr(self, field)))
        inner = [x for x in order if x.layer is not None and not isinstance(x, Part) and id(x) not in known]
        object.__setattr__(self, "_order", inner)
        super().__post_init__()

    def _plain_fields(self) -> Iterable[tuple[str, Any]]:
        return ()  # lists stay lists, since the outputs come in the structure of the nodes

    def children(self) -> Iterable[tuple[str, Layer]]:
        named = unique_names(self, (node.layer for node in self._order if node.layer is not None))
        return [*named, *self._assigned_children()]

    def input_names(self) -> list[str]:
        """The name of each input: its own or its key in a dict, else "input_layer", "input_layer_1" and so on."""
        if isinstance(self.inputs, dict):
            return tree.paths(self.inputs)
        nodes = tree.leaves(self.inputs)
        free = (n for n in map(_numbered_name, itertools.count()) if n not in {node.name for node in nodes})
        return [node.name or next(free) for node in nodes]

    def input_specs(self) -> tuple[Any, ...]:
        specs = tree.map(lambda node: node.spec, self.inputs)
        return tuple(specs) if isinstance(specs, list | tuple) and len(specs) > 1 else (specs,)

    def separates_samples(self) -> bool:
        own = type(self) is Graph if self.per_sample is None else self.per_sample
        if not own or self.activity_regularizer is not None:
            return False
        if not all(c.separates_samples() for _, c in self.children() if not isinstance(c, Operation)):
            return False
        if any(n.kwargs.get("training") or n.kwargs.get("train") for n in self._order):  # statistics, while it predicts
            return False
        made = [n for n in self._order if isinstance(n.layer, Operation)]
        if any(getattr(x, "shape", ())[:1] != (None,) for n in made for x in tree.leaves(n.spec)):  # on another axis
            return False
        calls = [(n.layer, n.args, n.kwargs) for n in made]
        specs = tree.map(lambda x: x.spec if isinstance(x, Node) else x, calls)
        return all(separates(layer.function, args, kwargs) for layer, args, kwargs in specs)

    def output_names(self) -> list[str] | None:
        """The names of the layers that make the outputs, as in Keras; None if one layer makes two of them."""
        names = {id(child): name for name, child in self.children()}
        found = [names.get(id(node.layer), "") for node in tree.leaves(self.outputs)]
        return found if len(set(found)) == len(found) and all(found) else None

    def forward(self, s: Scope, *xs: Any, mask: Tree = None) -> Tree:
        given = xs[0] if len(xs) == 1 and not (isinstance(self.inputs, list | tuple) and len(self.inputs) == 1) else xs
        inputs = tree.leaves(self.inputs)
        masks: dict[Any, Any] = dict(zip(inputs, _flat_masks(mask, len(inputs)), strict=True))
        values: dict[Any, Any] = {
            node: hidden(x, masks[node]) for node, x in zip(inputs, self._matched(given), strict=True)
        }

        def value(x: Any) -> Any:
            if isinstance(x, Part) and x not in values:
                return tree.leaves(values[x.whole])[x.index]
            return values[x] if isinstance(x, Node) else x

        def mask_of(x: Any) -> Any:
            if isinstance(x, Part) and x not in masks:
                return _spread(masks.get(x.whole), x.whole.spec)[x.index]
            return masks.get(x) if isinstance(x, Node) else None

        some = mask is not None  # most graphs have no masks
        for node in self._order:
            layer: Any = node.layer
            # An array that no node is beside takes the backend of the first input.
            own_args = node.args if node.args or node.kwargs else tuple(inputs[:1])
            args, kwargs = (tree.map(value, part) for part in (own_args, node.kwargs))
            own: dict = {}
            if some:
                own = dict(zip(itertools.chain(layer._inputs, itertools.count()), node.args, strict=False))
                own = tree.map(mask_of, own | node.kwargs)
            values[node], masks[node] = layer._masked(s, args, kwargs, own)
            some = some or masks[node] is not None
        s.hand_on(tree.map(mask_of, self.outputs))
        return tree.map(value, self.outputs)

    def _matched(self, given: Any) -> list:
        """The arrays in `given`, in the order of the inputs; dicts are matched by key."""
        expected = tree.structure(self.inputs)
        if isinstance(given, dict) and not isinstance(self.inputs, dict):
            names = self.input_names()
            if set(names) == set(given):
                return [given[name] for name in names]
            raise ArgumentError(
                f"`x` is a dict with the keys {', '.join(map(str, given))}, and the inputs are {', '.join(names)}.",
                argument="x",
                expected=f"a dict with the keys {', '.join(names)}; or arrays in the structure of the inputs",
                got=", ".join(map(str, given)),
                fix='name each input: nn.Input(shape, name="title")',
            )
        leaves = tree.leaves(given)
        same = isinstance(given, dict) == isinstance(self.inputs, dict) and (
            not isinstance(given, dict) or tree.structure(given) == expected
        )
        if len(leaves) != expected.num_leaves or not same:
            raise ArgumentError(
                "`x` does not have the structure of the graph's inputs.",
                argument="x",
                expected=tree.map(lambda node: node.spec, self.inputs),
                got=tree.map(lambda x: tuple(x.shape), given),
            )
        return leaves

    # -- for files and copies: nodes by their numbers, each after those it depends on ----------------------------------

    def _numbered(self, encode: Callable[[Any], Any]) -> list[list]:
        """The layer, the arguments and the keyword arguments of each node that is no input."""
        return [[n.layer, encode(list(n.args)), encode(n.kwargs)] for n in self._order]

    def _numbers(self) -> dict[Node, int]:
        return {node: i for i, node in enumerate([*tree.leaves(self.inputs), *self._order])}

    def _common(self) -> dict[str, Any]:
        """The fields that any layer has."""
        return {name: value for name, value in self._arguments() if name not in ("inputs", "outputs")}

    def get_config(self) -> dict[str, Any]:
        """The graph in JSON's types and layers, for files."""
        numbers = self._numbers()

        def encode(x: Any) -> Any:
            if isinstance(x, Part) and x not in numbers:
                return {"node": numbers[x.whole], "part": x.index}
            if isinstance(x, Node):
                return {"node": numbers[x]}
            if isinstance(x, dict):
                return {k: encode(v) for k, v in x.items()}
            if isinstance(x, slice):
                return {"node": None, "slice": [x.start, x.stop, x.step]}
            if x is Ellipsis:
                return {"node": None, "slice": None}
            if not isinstance(x, list | tuple):
                return x
            parts = [encode(v) for v in x]
            return parts if isinstance(x, list) else {"node": None, "tuple": parts}

        inputs = tree.map(_described, self.inputs)
        if isinstance(inputs, tuple):
            inputs = {"node": None, "tuple": list(inputs)}
        return {**self._common(), "inputs": inputs, "nodes": self._numbered(encode), "outputs": encode(self.outputs)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Graph:
        """The graph that `get_config` described."""
        inputs = _map_config(config["inputs"], _is_spec, lambda x: input_node(Spec(x[0], x[1]), [*x, None][2]))
        nodes = list(tree.leaves(inputs))

        def decoded(x: Any) -> Any:
            return _map_config(x, _is_reference, lambda r: tree.leaves(nodes[r["node"]])[r.get("part", 0)])

        for child, args, kwargs in config["nodes"]:
            args, kwargs = decoded(args), decoded(kwargs)
            given = [x.shape for x in tree.leaves((args, kwargs)) if isinstance(x, Node)]
            check_sizes(child, args, kwargs, given)
            is_alone = isinstance(child, ConstantArray) and not (args or kwargs)
            nodes.append(alone(child) if is_alone else child(*args, **kwargs))
        options = {name: value for name, value in config.items() if name not in ("inputs", "nodes", "outputs")}
        return cls(inputs, decoded(config["outputs"]), **options)

    def __copy__(self) -> Graph:
        # With the same nodes, since the layers that it shares with the copy know these.
        other = type(self)(self.inputs, self.outputs, **self._common())
        other.__setstate__(self._beside)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        # The nodes are described, and not copied: each holds those it depends on, so that copying a deep graph node by
        # node would reach the limit of recursion.
        numbers = self._numbers()

        def encode(x: Any) -> Any:
            return tree.map(_reference, x)

        def _reference(x: Any) -> Any:
            if isinstance(x, Part) and x not in numbers:
                return _Reference(numbers[x.whole], x.index)
            return _Reference(numbers[x]) if isinstance(x, Node) else x

        inputs = tree.map(lambda node: _Described(node.spec, node.name), self.inputs)
        nodes = [[*node, x.spec] for node, x in zip(self._numbered(encode), self._order, strict=True)]
        made = _assembled, (type(self), inputs, nodes, encode(self.outputs), self._common())
        return (*made, self._beside) if self._beside else made


@dataclasses.dataclass(frozen=True)
class _Reference:
    """The node of a number, or one of the several values of its layer."""

    number: int
    part: int | None = None


@dataclasses.dataclass(frozen=True)
class _Described:
    """An input."""

    spec: Spec
    name: str | None


def _assembled(cls: type[Graph], inputs: Any, nodes: list[list], outputs: Any, options: dict[str, Any]) -> Graph:
    """The graph that `Graph.__reduce__` described."""
    made = [input_node(x.spec, x.name) for x in tree.leaves(inputs)]
    inputs = tree.unflatten(tree.structure(inputs), made)

    parts: dict[tuple[int, int], Part] = {}

    def part(number: int, index: int) -> Part:
        whole = made[number]
        return parts.setdefault((number, index), Part(whole, index, tree.leaves(whole.spec)[index]))

    def node(x: Any) -> Any:
        if not isinstance(x, _Reference):
            return x
        return made[x.number] if x.part is None else part(x.number, x.part)

    for child, args, kwargs, spec in nodes:
        whole = Node(child, tuple(tree.map(node, args)), tree.map(node, kwargs), spec)
        made.append(whole)
        if not isinstance(spec, Spec):
            leaves = [part(len(made) - 1, i) for i in range(len(tree.leaves(spec)))]
            remember(child, taken(whole.args, whole.kwargs), tree.unflatten(tree.structure(spec), leaves))
        else:
            remember(child, taken(whole.args, whole.kwargs), whole)
    return cls(inputs, tree.map(node, outputs), **options)


def _input_layer(node: Node, name: str) -> Layer:
    if node.entry is None:
        fits = re.fullmatch(r"[\w-]+", name)
        node.entry = InputLayer(node.spec.shape, dtype_name(node.spec.dtype), name=name if fits else None)
        remember(node.entry, node, node)
    return node.entry


def _flat_masks(mask: Any, n: int) -> list:
    """One mask for each input. A single mask is that of the first input."""
    given = list(mask) if isinstance(mask, list | tuple) else [mask]
    return [*given, *[None] * (n - len(given))]


def _spread(mask: Any, spec: Any) -> list:
    """A mask for each value that a layer returns: there is one for each, or one only, which is that of the first."""
    if isinstance(mask, dict) and isinstance(spec, dict) and mask.keys() == spec.keys():
        mask, spec = ([x[name] for name in sorted(spec)] for x in (mask, spec))
    if isinstance(mask, list | tuple) and isinstance(spec, list | tuple) and len(mask) == len(spec):
        return [each for part in zip(mask, spec, strict=True) for each in _spread(*part)]
    return [mask, *[None] * (len(tree.leaves(spec)) - 1)]


def _described(node: Node) -> list:
    """An input in JSON's types."""
    return [list(node.spec.shape), dtype_name(node.spec.dtype), *([] if node.name is None else [node.name])]


def _is_spec(x: Any) -> bool:
    return isinstance(x, list | tuple) and len(x) in (2, 3) and isinstance(x[1], str)


def _numbered_name(n: int) -> str:
    return f"input_layer_{n}" if n else "input_layer"


def _is_reference(x: Any) -> bool:
    return isinstance(x, dict) and "node" in x and set(x) <= {"node", "part"} and isinstance(x["node"], int)


def _map_config(x: Any, is_leaf: Any, fun: Any) -> Any:
    if is_leaf(x):
        return fun(x)
    if isinstance(x, dict) and x.keys() == {"node", "tuple"}:
        return tuple(_map_config(v, is_leaf, fun) for v in x["tuple"])
    if isinstance(x, dict) and x.keys() == {"node", "slice"}:
        return ... if x["slice"] is None else slice(*x["slice"])
    if isinstance(x, list | tuple):
        return [_map_config(v, is_leaf, fun) for v in x]
    return {k: _map_config(v, is_leaf, fun) for k, v in x.items()} if isinstance(x, dict) else x


def ordered(nodes: list[Node], inputs: set[int]) -> list[Node]:
    """`nodes` and all nodes that they depend on, each after those it depends on; nothing before the ids `inputs`."""
    order: dict[Node, None] = {}
    stack = [(node, False) for node in reversed(nodes)]
    while stack:
        node, ready = stack.pop()
        if node in order:
            continue
        if ready or not isinstance(node, Node) or id(node) in inputs:
            order[node] = None
        else:
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(node.parents))
    return list(order)
