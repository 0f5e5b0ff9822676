"""The part of a network that runs on the host, before the part that is compiled: layers that read strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import tree
from ..data.batches import Batch, is_strings
from ..data.protocol import Source
from ..data.sources import ArraySource, EachSource
from ..dataclasses import replace
from ..errors import ArgumentError
from ..nn.combinators import Sequential
from ..nn.core import Identity
from ..nn.graph import Graph, ordered
from ..nn.layer import Layer
from ..nn.nodes import Part

if TYPE_CHECKING:
    from .traced import Traced

__all__ = ["HostPart", "check_strings", "from_host", "hosted", "split"]


class HostPart(NamedTuple):
    """A network in two parts.

    Attributes:
        run: The first part, a function from the inputs, NumPy arrays or `Spec`s, to those of `core`.
        core: The second part: the network from there on. Its layers have the same names.
    """

    run: Callable[[Any], Any]
    core: Layer


def split(net: Layer) -> HostPart | None:
    """The two parts of a network that begins with layers of the host; None if it does not.

    These are the first layers of a `Sequential`, and the nodes of a `Graph` that are made of inputs by such layers
    alone.
    """
    known = vars(net)
    if "_host_part" not in known:
        # The parts are no networks of the user's: their layers must not be named by them in other networks.
        before = [(child, child._called) for _, child in net.children()]
        object.__setattr__(net, "_host_part", _split(net))
        for child, called in before:
            object.__setattr__(child, "_called", called)
    return known["_host_part"]


def _on_host(layer: Any) -> bool:
    return bool(getattr(layer, "on_host", False))


def _split(net: Layer) -> HostPart | None:
    if isinstance(net, Graph):
        return _of_graph(net)
    if _on_host(net):
        return HostPart(lambda x: net.apply({}, x)[0], Identity())
    if not isinstance(net, Sequential) or not (net.layers and _on_host(net.layers[0])):
        return None
    layers = list(net.layers)
    number = next((i for i, child in enumerate(layers) if not _on_host(child)), len(layers))
    first = layers[:number]

    def run(x: Any) -> Any:
        for child in first:
            x = child.apply({}, x)[0]
        return x

    core = replace(net, layers=layers[number:] or (Identity(),), inputs=None)
    return HostPart(run, _named(core, net))


def _of_graph(net: Graph) -> HostPart | None:
    inputs = tree.leaves(net.inputs)
    on_host = set(map(id, inputs))
    if not any(_on_host(node.layer) for node in net._order):
        return None
    rest: list[Any] = []
    for node in ordered(tree.leaves(net.outputs), set(map(id, inputs))):
        if id(node) in on_host:
            continue
        of_host = isinstance(node, Part) or _on_host(node.layer)
        if of_host and node.parents and all(id(parent) in on_host for parent in node.parents):
            on_host.add(id(node))
        else:
            rest.append(node)
    needed = [parent for node in rest for parent in node.parents] + tree.leaves(net.outputs)
    border = list({id(node): node for node in needed if id(node) in on_host}.values())
    if all(node.layer is None for node in border):
        return None
    first = Graph(net.inputs, border)
    core = type(net)(border, net.outputs, **net._common())
    if net._trains is not None:
        object.__setattr__(core, "_trains", dict(net._trains))

    def run(x: Any) -> Any:
        out = first.apply({}, x)[0]
        return out[0] if len(out) == 1 else out

    return HostPart(run, _named(core, net))


def _named(core: Layer, net: Layer) -> Layer:
    """`core`, whose layers have the names that they have in `net`."""
    names = [net._children[id(child)][0] if id(child) in net._children else name for name, child in core._named()]
    names = list(dict.fromkeys(names))
    if names and isinstance(core, Sequential | Graph):
        core._rename(tuple(names))
    return core


def check_strings(net: Layer, x: Any) -> None:
    """Raise an ArgumentError if there are strings in the inputs of a network that begins with no layer for them."""
    leaves = tree.leaves(x)
    if not any(map(is_strings, leaves)) or split(net) is not None:
        return
    for path, leaf in zip(tree.paths(x), leaves, strict=True):
        if is_strings(leaf):
            raise ArgumentError(
                f"`{f'x/{path}'.rstrip('/')}`: An array has the dtype {leaf.dtype}, and not numbers.",
                argument=f"x/{path}".rstrip("/"),
                expected="numbers or booleans; or a network whose first layers read strings",
                got=f"dtype {leaf.dtype}",
                fix="let nn.TextVectorization or nn.StringLookup be the first of the layers of nn.Sequential, or the "
                "one that an Input of nn.Graph comes to",
            )


def hosted(traced: Traced, batch: Batch) -> Batch:
    """A batch, whose inputs have gone through the part of the network that runs on the host."""
    if traced.host is None:
        return batch
    return batch._replace(x=traced.host.run(batch.x))


def from_host(traced: Traced | None, data: Source) -> Source:
    """Data, whose inputs go through the part of the network on the host, batch by batch, when they are read."""
    if traced is None or traced.host is None:
        return data

    def change(batch: Batch) -> Batch:
        return hosted(traced, batch)

    return EachSource(data, change) if isinstance(data, ArraySource) else data.map(change)
