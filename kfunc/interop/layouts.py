"""`to_layout`: a trained network in the other data format.

A value of the new network has the elements of the same value of the old one, in another order of the axes. A walk in
the order of computation carries these orders through the network. Each layer has a rule (`_RULES`, or its own method
`to_layout`), which says in which order it takes its inputs, how it must change, and in which order its outputs lie.
Where the order that comes is not the one that is taken, a `Permute` is put between; but an input of the whole network
is moved itself. A layer that is made of layers needs no rule: its `forward` runs on nodes of a graph, which show the
layers that it calls, and what it computes besides.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import checks, nn, tree
from ..arrays import device, dtype_name, namespace, native
from ..dataclasses import replace
from ..errors import ArgumentError, KfuncError, LayerError, ParamError
from ..nn import activations, applications, conv, convlstm, merging, pooling, reshaping
from ..nn.graph import input_node, ordered
from ..nn.layer import Layer, base_layer, spec_of
from ..nn.nodes import Node, Part
from ..nn.operations import Operation
from ..nn.preprocessing.pictures import Picture
from ..nn.scope import Call, Scope
from ..ops._op import OPS, Op
from ..tracing.spec import Spec
from ..typing import Tree
from .keymap import stack_arrays

__all__ = ["Move", "to_layout"]

_LAYOUTS = ("channels_first", "channels_last")
Order = tuple[int, ...]


def to_layout(
    net: Layer, params: Tree, layout: str, *inputs: Any, state: Tree = None, **options: Any
) -> tuple[Any, Tree, Tree]:
    """A trained network in the other data format: "channels_last" becomes "channels_first", or the reverse.

    The new network computes the same from inputs in the new format. An input changes its format if layers with a
    `data_format` read it, before anything else gives its axes a meaning; so sequences and tables stay as they are.
    Outputs that are maps come in the new format, too. Layers that have no format, such as `LSTM` or
    `MultiHeadAttention`, get their inputs as before, through a `Permute`. The rows of a `Dense` after a `Flatten` are
    put in the new order. All other parameters keep their values, and nearly all their paths: so the way back gives the
    old ones, bit for bit. In training, random numbers (Dropout) fall on other elements than before.

    A class of your own that is made of layers, and adds or multiplies what they return, is understood. Any other class
    says how it changes by a method `to_layout(self, move)`; see `Move`.

    Args:
        net: The network.
        params: Its parameters, of any backend.
        layout: "channels_first" or "channels_last".
        inputs, options: The arguments of its `forward` in the old format, samples or `Spec`s with a batch axis. They
            are not needed if the network has `nn.Input`s.
        state: Its state.

    Returns:
        (net, params, state): all new, and nothing of the old ones has changed.

    Raises:
        ArgumentError: `layout` is none of the two, or the shapes of the inputs are not known.
        LayerError: A layer cannot say how it changes. The error has its path.
        ParamError: `params` or `state` does not belong to the network.
    """
    checks.one_of("layout", layout, _LAYOUTS)
    given = inputs or net.input_specs() or ()
    if not given and not options:
        raise ArgumentError(
            "The shapes of the network's inputs are not known.",
            argument="inputs",
            expected="the arguments of its forward, as samples or Specs",
            got="nothing",
            fix='pass them, as in to_layout(net, params, "channels_first", kf.Spec((None, 32, 32, 3)))',
        )
    specs = tree.map(spec_of, (given, options))
    leaves, structure = tree.flatten(specs)
    moved: dict[int, Order] = {}
    plain: set[str] = set()
    while True:
        values = [
            Value(x, moved.get(i, _same(len(x.shape))), frozenset(() if i in moved else (i,)))
            if isinstance(x, Spec)
            else x
            for i, x in enumerate(leaves)
        ]
        args, kwargs = tree.unflatten(structure, values)
        walk = _Walk(layout, plain)
        try:
            done = walk.convert(net, (args, kwargs), "")
            before = walk.before(values, done)
            _whole(_values(done.out))
        except _Again as again:
            # Each round moves another input, or keeps another Flatten as it is.
            moved |= {i: order for i, order in again.inputs.items() if i not in moved}
            plain |= again.plain
            continue
        new, inside, fix = _joined(net, done, before, layout, "")
        trees = [_put(inside, _fixed(part or {}, fix)) for part in (params, state)]
        _check(new, tree.map(_new_spec, (args, kwargs)), trees, state is not None)
        return new, trees[0], trees[1]


@dataclasses.dataclass(frozen=True)
class Value:
    """How a value of the new network lies in comparison with the old one.

    Attributes:
        spec: Shape and dtype in the old network.
        order: For each axis of the new value, the axis of the old one.
        roots: The numbers of the inputs that it would follow if they were moved.
        rows: For each element of its last axis, the number of the old element; None if they are the same.
        by: The path of the `Flatten` that `rows` come from.
    """

    spec: Spec
    order: Order
    roots: frozenset[int] = frozenset()
    rows: tuple[int, ...] | None = None
    by: str = ""

    def moved(self) -> bool:
        return self.order != _same(len(self.order))


class _Turn(NamedTuple):
    """What happens to a parameter: its axes get an order, and the elements along its first axis another one."""

    order: Order | None = None
    rows: tuple[int, ...] | None = None


class _Each(NamedTuple):
    """What happens to the parameters of each layer of a `Stack`."""

    fix: Any


_Fix = dict[str, tuple[tuple[str, ...], Any]]
"""For a name in the trees of a layer: the names where the array or the tree goes, and how it changes."""


@dataclasses.dataclass
class _Done:
    """A layer that was converted.

    Attributes:
        layer: The new one; None if nothing is left to do for it.
        wants: The orders in which it takes the values among its arguments.
        out: The values that come out, in the structure of the output.
        after: Layers that follow it.
        fix: What happens to its parameters.
        args: Its arguments by position and by name; those of functions along an axis change.
    """

    layer: Layer | None
    wants: list[Order]
    out: Any
    after: tuple[Layer, ...] = ()
    fix: _Fix = dataclasses.field(default_factory=dict)
    args: Any = None

    def same(self, other: _Done) -> bool:
        return all(repr(getattr(self, n)) == repr(getattr(other, n)) for n in ("layer", "wants", "after", "fix"))


class _Again(Exception):
    """The walk has to begin again, with other inputs moved, or with a `Flatten` that keeps its order."""

    def __init__(self, inputs: dict[int, Order] | None = None, plain: set[str] | None = None):
        self.inputs: dict[int, Order] = inputs or {}
        self.plain: set[str] = plain or set()


class Move:
    """What a layer is told in its method `to_layout(self, move)`, which returns the layer for the new network.

    If the method says nothing else, the layer takes its inputs in the order of axes in which they come, all in the same
    one, and its output lies as they do:

        @nn.layer
        class Scale(nn.Layer):
            axis: int = -1

            def forward(self, s, x): ...

            def to_layout(self, move):
                return dataclasses.replace(self, axis=move.axis(self.axis))

    Attributes:
        layout: The new data format, "channels_first" or "channels_last".
        shapes: The shapes of the inputs in the old network.
        order: For each axis of the inputs, which axis it is in the old network.
    """

    def __init__(self, walk: _Walk, layer: Layer, args: Any, path: str):
        self.layout: str = walk.layout
        self._walk, self._layer, self._args, self._path = walk, layer, args, path
        self._values = _values(args)
        self.shapes: list[tuple[int | None, ...]] = [tuple(v.spec.shape) for v in self._values]
        self._after: tuple[Layer, ...] = ()
        self._fix: _Fix = {}
        self._new_args: Any = None
        self._keep()

    def _keep(self) -> None:
        most = max((len(v.order) for v in self._values), default=0)
        first = next((v for v in self._values if v.moved()), None)
        self.order: Order = _same(most) if first is None else first.order
        self._wants = [self.order if len(v.order) == most else v.order for v in self._values]
        self._gives, self._keeps = [self.order], True
        if first is not None and any(len(v.order) != most for v in self._values):
            self.take()  # shapes broadcast from the last axis on
        elif len({v.rows for v in self._values}) > 1:
            _whole(self._values)

    def take(self, *orders: Order, gives: list[Order] | None = None) -> None:
        """Take the inputs in these orders of axes, whatever order they come in.

        Args:
            orders: For each axis, which axis it is in the old network. An input takes the order that has as many axes
                as it has; without one, that of the old network.
            gives: The orders of the outputs, chosen likewise; by default `orders`.
        """
        _whole(self._values)
        self._wants = [_fitting(orders, len(v.order)) for v in self._values]
        self._gives, self._keeps = list(orders if gives is None else gives), False
        self.order = self._wants[0] if self._wants else ()

    def axis(self, axis: int) -> int:
        """Where the axis is now that the old network calls `axis`."""
        rank = len(self.order)
        if not isinstance(axis, int) or not -rank <= axis < rank:
            return axis
        now = self.order.index(axis % rank)
        return -1 if axis < 0 and now == rank - 1 else now

    def turn(self, name: str, order: Order) -> None:
        """Give the axes of the parameter or state variable `name` another order."""
        self._fix[name] = ((name,), _Turn(order))

    def refuse(self, why: str) -> LayerError:
        """The error to raise where there is no way. `why` follows the name of the layer: "Scale: it has two axes"."""
        return _refused(self._layer, self._path, self.layout, why)

    @property
    def _moved(self) -> bool:
        return any(v.moved() for v in self._values)

    @property
    def _rows(self) -> tuple[int, ...] | None:
        return self._values[0].rows if self._values else None

    def _done(self, layer: Layer | None) -> _Done:
        specs = tree.map(lambda v: v.spec if isinstance(v, Value) else v, self._args)
        roots = frozenset[int]().union(*(v.roots for v in self._values)) if self._keeps else frozenset[int]()
        rows, by = (self._rows, self._values[0].by) if self._keeps and self._values else (None, "")

        def placed(spec: Any) -> Any:
            if not isinstance(spec, Spec):
                return spec
            rank = len(spec.shape)
            order = _fitting(self._gives, rank)
            flows = rank == len(self.order) and order == _same(rank)
            return Value(spec, order, roots if flows else frozenset(), rows, by)

        return _Done(
            layer,
            self._wants,
            tree.map(placed, self._layer.trace(*specs[0], **specs[1]).outputs[-1][2]),
            self._after,
            self._fix,
            self._args if self._new_args is None else self._new_args,
        )


class _Walk:
    """One walk through the network.

    Args:
        layout: The new data format.
        plain: The paths of the `Flatten`s whose outputs keep their order.
    """

    def __init__(self, layout: str, plain: set[str]):
        self.layout, self.plain = layout, plain
        self._known: dict[int, tuple[Layer, _Done]] = {}

    def convert(self, layer: Layer, given: Any, path: str) -> _Done:
        """`layer` for the new network, called with `given`: trees of `Value`s by position and by name."""
        try:
            done = self._converted(layer, Move(self, layer, given, path))
        except KfuncError as error:
            if error.path is None:
                error.path = path or type(layer).__name__
            raise
        first = self._known.setdefault(id(layer), (layer, done))[1]
        if first is done:
            return done
        if not first.same(done):
            _whole(_values(given))
            raise _refused(layer, path, self.layout, "it is called several times, and would change in different ways")
        return dataclasses.replace(done, layer=first.layer, after=first.after)

    def _converted(self, layer: Layer, move: Move) -> _Done:
        if hasattr(layer, "to_layout"):
            _whole(move._values)
            return move._done(layer.to_layout(move))
        cls = type(layer)
        for base in cls.__mro__:
            if base in _RULES and _inherits(cls, base):
                made = _RULES[base](layer, move)
                return made if isinstance(made, _Done) else move._done(made)
        if cls.__module__.startswith("kfunc.nn.") and cls not in _CONTAINERS:
            return move._done(_taking(layer, move))
        return self._composite(layer, move)

    def before(self, given: Any, done: _Done) -> list[Order | None]:
        """For each value among the arguments, the `dims` of the `Permute` that a layer needs before it, or None.

        Raises:
            _Again: The value comes from inputs that can be moved.
        """
        found: list[Order | None] = []
        for value, want in zip(_values(given), done.wants, strict=True):
            if value.order != want and value.roots:
                raise _Again(dict.fromkeys(value.roots, want))
            found.append(None if value.order == want else tuple([value.order.index(i) for i in want[1:]]))
        return found

    def _composite(self, layer: Layer, move: Move) -> _Done:
        """A layer with children: what its `forward` does with what they return must be right in both formats."""
        try:
            return self._of_children(layer, move)
        except LayerError:
            # Without maps, and without layers that have a format, it is right as it is.
            if move._moved or _formatted_below(layer, self.layout):
                raise
            move.take()
            return move._done(copy.deepcopy(layer))

    def _of_children(self, layer: Layer, move: Move) -> _Done:
        if _has_other_format(layer, self.layout):
            raise move.refuse("its class is not kfunc's, and has a data_format")
        nodes, inputs, out = _nodes(layer, move, move._args)
        places: dict[Any, Any] = dict(zip(inputs, move._values, strict=True))
        children = {id(child): name for name, child in layer.children()}
        new: dict[int, Any] = {}
        moves: dict[int, Any] = {}
        fix: _Fix = {}
        for node in nodes:
            if node.layer is None:  # a parameter
                places.setdefault(node, Value(node.spec, _same(len(node.spec.shape))))
                continue
            given = tree.map(lambda x: _placed(x, places), (node.args, node.kwargs))
            name = children.get(id(node.layer))
            path = move._path if name is None else f"{move._path}/{name}".lstrip("/")
            done = self.convert(node.layer, given, path)
            before = self.before(given, done)
            if moves.setdefault(id(node.layer), before) != before:
                raise _refused(node.layer, path, self.layout, "it is called several times, with maps in other formats")
            if name is not None:
                made, inside, inner = _joined(node.layer, done, before, self.layout, path)
                new.setdefault(id(node.layer), made)
                fix[name] = ((name, *inside), inner)
            elif any(before) or done.after or repr(done.args) != repr(given):
                function = getattr(node.layer, "function", type(node.layer).__name__)
                raise move.refuse(f"its forward calls `{function}`, which would need other arguments")
            places[node] = done.out
        for name, child in layer.children():
            if id(child) not in new and _formatted_below(child, self.layout):
                raise _refused(child, f"{move._path}/{name}".lstrip("/"), self.layout, "its parent does not call it")
        made = _with_children(layer, new)
        if made is None:
            raise move.refuse("its __init__ makes the layers in it")
        wants = iter(move._wants)
        new_args = tree.map(
            lambda x: dataclasses.replace(x, spec=_ordered_spec(x, next(wants))) if isinstance(x, Value) else x,
            move._args,
        )
        program = _program(children, nodes, inputs, out)
        if program != _program({id(child): name for name, child in made.children()}, *_nodes(made, move, new_args)):
            raise move.refuse("its forward computes with sizes of its inputs")
        if program != _program(children, *_nodes(layer, move, move._args, train=True)):
            raise move.refuse("its forward computes something else in training")
        return _Done(made, move._wants, tree.map(lambda x: _placed(x, places), out), (), fix, move._args)


# -- layers that are made of layers ------------------------------------------------------------------------------------


def _sequential(net: Any, move: Move) -> _Done:
    walk, parts = move._walk, list[Layer]()
    fix: _Fix = {}
    names = {id(child): name for name, child in net.children()}
    known: dict[int, str] = {}
    (x, *more), _ = move._args
    for child in net.layers:
        name = names[id(child)]
        path = f"{move._path}/{name}".lstrip("/")
        given: Any = (x, *more), {}
        done = walk.convert(child, given, path)
        before = walk.before(given, done)
        if any(before) and len(before) > 1:
            raise _refused(child, path, move.layout, "it takes several maps, of which one would need a Permute")
        if before and before[0] is not None:
            last = parts.pop() if parts and parts.count(parts[-1]) == 1 else None
            for joint in _permuted(last, before[0], None if last is None else x.spec):
                if last is not None:
                    known[id(joint)] = known.get(id(last), "")
                    last = None
                parts.append(joint)
        if done.layer is not None:
            known[id(done.layer)] = name
            parts.append(done.layer)
        parts += done.after
        fix[name] = ((name,), done.fix)
        x, more = done.out, []
    changes: dict[str, Any] = {"layers": tuple(parts)}
    if net.inputs is not None:
        first = _new_spec(move._args[0][0])
        changes["inputs"] = (first.shape, net.inputs[1], net.inputs[2])
    return _Done(_named(replace(net, **changes), known), _as_they_come(move), x, (), fix, move._args)


def _graph(net: Any, move: Move) -> _Done:
    walk = move._walk
    fix: _Fix = {}
    names = {id(child): name for name, child in net.children()}
    known: dict[int, str] = {}
    args = move._args[0]
    given = args[0] if len(args) == 1 and not (isinstance(net.inputs, list | tuple) and len(net.inputs) == 1) else args
    olds = tree.leaves(net.inputs)
    places: dict[Any, Any] = dict(zip(olds, net._matched(given), strict=True))
    news: dict[Any, Any] = {old: input_node(_new_spec(places[old]), old.name) for old in olds}
    for node in net._order:
        name = names[id(node.layer)]
        path = f"{move._path}/{name}".lstrip("/")
        given = tree.map(lambda x: _placed(x, places), (node.args, node.kwargs))
        done = walk.convert(node.layer, given, path)
        came = [_placed(x, news) for x in tree.leaves((node.args, node.kwargs)) if isinstance(x, Node)]
        for i, dims in enumerate(walk.before(given, done)):
            if dims is not None:
                came[i] = _permuted_node(came[i], dims, known)
        nodes = iter(came)
        args, kwargs = tree.map(lambda x: next(nodes) if isinstance(x, Value) else x, done.args)  # noqa: B023
        out = came[0] if done.layer is None else done.layer(*args, **kwargs)
        for layer in done.after:
            out = layer(out)
        if done.layer is not None:
            known[id(done.layer)] = name
        fix[name] = ((name,), done.fix)
        places[node], news[node] = done.out, out
    made = [tree.map(lambda x: _placed(x, news), ends) for ends in (net.inputs, net.outputs)]
    new = _named(type(net)(*made, **net._common()), known)
    if net._trains is not None:
        new.__setstate__({"trains": tuple(net._trains.items())})
    return _Done(new, _as_they_come(move), tree.map(lambda x: _placed(x, places), net.outputs), (), fix, move._args)


def _as_they_come(move: Move) -> list[Order]:
    """The orders in which the values among the arguments come."""
    return [v.order for v in move._values]


def _named(net: Any, names: dict[int, str]) -> Any:
    """`net` with the names of layers that are given by their ids; others get new ones."""
    found = list(net.children())
    taken, out = {names.get(id(child)) for _, child in found}, []
    for name, child in found:
        own = names.get(id(child))
        if not own or own in out:
            base = _JOINT if type(child) is nn.Permute else name
            free = (f"{base}_{i}" if i else base for i in itertools.count())
            own = next(n for n in free if n not in taken)
            taken.add(own)
        out.append(own)
    if out:
        net._rename(tuple(out))
    return net


_JOINT = "layout"
"""The name of a `Permute` that is put between layers; `_permute` takes it out again on the way back."""


def _permuted(last: Layer | None, dims: Order, spec: Any) -> list[Layer]:
    """The layers in place of `last`, whose output of shape `spec` is then permuted."""
    if type(last) is nn.Permute:
        dims = tuple([last.dims[d - 1] for d in dims])
        return [] if dims == _same(len(dims) + 1)[1:] else [nn.Permute(dims)]
    if type(last) is nn.Reshape and None not in spec.shape[1:]:
        sizes = [spec.shape[d] for d in dims]
        if (kept := [d for d, n in zip(dims, sizes, strict=True) if n != 1]) == sorted(kept):
            return [replace(last, target_shape=tuple(sizes))]
    return [*([] if last is None else [last]), nn.Permute(dims)]


def _permuted_node(node: Any, dims: Order, names: dict[int, str]) -> Any:
    """The value of a graph with its axes in another order."""
    alone = type(node.layer) in (nn.Permute, nn.Reshape) and len(node.args) == 1
    layers = _permuted(node.layer if alone else None, dims, node.spec)
    if alone and layers and layers[0] is node.layer:
        layers, alone = layers[1:], False
    elif alone and layers:
        names[id(layers[0])] = names.get(id(node.layer), "")
    x = node.args[0] if alone else node
    for layer in layers:
        x = layer(x)
    return x


def _through(layer: Any, move: Move) -> _Done:
    """A layer around a layer, which computes what that one does."""
    done = move._walk.convert(layer.layer, move._args, f"{move._path}/layer".lstrip("/"))
    new = replace(layer, layer=nn.Identity() if done.layer is None else done.layer)
    return _Done(new, done.wants, done.out, done.after, {"layer": (("layer",), done.fix)}, move._args)


def _stack(layer: Any, move: Move) -> _Done:
    _whole(move._values)
    done = move._walk.convert(layer.layer, move._args, f"{move._path}/layer".lstrip("/"))
    if done.after or done.layer is None or done.out.order != done.wants[0] or done.out.rows is not None:
        raise move.refuse("the next layer of the stack would get its input in another order")
    fix: _Fix = {"layer": (("layer",), _Each(done.fix))}
    return _Done(replace(layer, layer=done.layer), done.wants, done.out, (), fix, move._args)


def _time_distributed(layer: Any, move: Move) -> _Done:
    _whole(move._values)
    (x, *_), kwargs = move._args
    if x.order[:2] != (0, 1):
        move.take()
        move._args = (Value(x.spec, _same(len(x.order))),), kwargs
    (x, *_), _ = move._args
    inner = Value(Spec((None, *x.spec.shape[2:]), dtype_name(x.spec.dtype)), (0, *(i - 1 for i in x.order[2:])))
    done = move._walk.convert(layer.layer, ((inner,), {}), f"{move._path}/layer".lstrip("/"))
    _whole([done.out])
    if done.after:
        raise move.refuse("its layer would need another one after it")

    def outer(order: Order) -> Order:
        return (0, 1, *(i + 1 for i in order[1:]))

    move.take(outer(done.wants[0]), gives=[outer(done.out.order)])
    move._fix = {"layer": (("layer",), done.fix)}
    return move._done(replace(layer, layer=nn.Identity() if done.layer is None else done.layer))


class _Nodes(Scope):
    """A scope in which parameters are nodes of a graph."""

    __slots__ = ()

    def _below(self, layer: Layer, name: str, number: int) -> Scope:
        scope = _Nodes(self._call, layer, None, None, self, name, number)
        scope._policies = scope.policy = None
        return scope

    def param(self, name: str, shape: Any, *args: Any, **kwargs: Any) -> Any:
        return Node(None, spec=Spec(tuple(shape), "float32"))

    state = param


@base_layer
class _Stub(Layer):
    """A layer that takes the place of another one, and keeps the nodes of its calls."""

    of: Any
    calls: Any

    def children(self) -> Any:
        return ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "of" not in vars(self):
            raise AttributeError(name)
        return getattr(vars(self)["of"], name)

    def forward(self, s: Scope, *args: Any, **kwargs: Any) -> Any:
        given = tree.map(lambda x: x.spec if isinstance(x, Node) else x, (args, kwargs))
        spec = self.of.trace(*given[0], **given[1]).outputs[-1][2]
        node = Node(self.of, args, kwargs, spec)
        self.calls.nodes.append(node)
        if isinstance(spec, Spec):
            return node
        leaves, structure = tree.flatten(spec)
        return tree.unflatten(structure, [Part(node, i, leaf) for i, leaf in enumerate(leaves)])


class _Calls:
    """Nodes of calls, in a list that copies of layers share."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def __deepcopy__(self, memo: Any) -> _Calls:
        return self


def _nodes(layer: Layer, move: Move, given: Any, train: bool = False) -> tuple[list[Node], list[Node], Any]:
    """What the `forward` of a layer does with these `Value`s: nodes in order, its inputs, and its output."""
    calls = _Calls()
    stubs = {id(child): _Stub(child, calls) for _, child in layer.children()}
    stubbed = _with_children(layer, stubs)
    if stubbed is None:
        raise move.refuse("its __init__ makes the layers in it")
    inputs: list[Node] = []

    def node(x: Any) -> Any:
        if not isinstance(x, Value):
            return x
        inputs.append(Node(None, spec=x.spec))
        return inputs[-1]

    args, kwargs = tree.map(node, given)
    scope = _Nodes(Call(train, declared={}), stubbed, None, None)
    scope._policies = scope.policy = None
    try:
        out = stubbed.forward(scope, *args, **kwargs)
    except Exception as error:
        raise move.refuse("its forward does more than to call layers and functions of kf.ops") from error
    roots = [*calls.nodes, *(x for x in tree.leaves(out) if isinstance(x, Node))]
    if not tree.leaves(out) or not all(isinstance(x, Node) for x in tree.leaves(out)):
        raise move.refuse("its forward returns something that it was not given")
    found = ordered(roots, set(map(id, inputs)))
    return [x for x in found if not isinstance(x, Part) and id(x) not in set(map(id, inputs))], inputs, out


def _program(children: dict[int, str], nodes: list[Node], inputs: list[Node], out: Any) -> str:
    """What `_nodes` found, as a text that is equal if the same is computed. `children` has names of layers by id."""
    numbers = {id(node): f"<{i}>" for i, node in enumerate([*inputs, *nodes])}

    def named(x: Any) -> Any:
        if isinstance(x, Part):
            return numbers[id(x.whole)], x.index
        return numbers[id(x)] if isinstance(x, Node) else x

    lines = [f"{children.get(id(x.layer)) or x.layer} {tree.map(named, (x.args, x.kwargs))}" for x in nodes]
    return "\n".join([*lines, str(tree.map(named, out))])


def _with_children(layer: Layer, new: dict[int, Any]) -> Any:
    """A copy of a layer with other children, by the ids of the old ones; None if they are not among its arguments."""
    other = copy.deepcopy(layer, dict(new))
    there = {id(child) for _, child in other.children()}
    return other if all(id(child) in there for child in new.values()) else None


def _joined(
    old: Layer, done: _Done, before: list[Order | None], layout: str, path: str
) -> tuple[Layer, tuple[str, ...], _Fix]:
    """A converted layer as one, with what stands around it; the names of where its trees lie; and how they change."""
    layers = [*([] if done.layer is None else [done.layer]), *done.after]
    if any(before):
        if len(before) > 1:
            raise _refused(old, path, layout, "it takes several maps, of which one would need a Permute")
        layers.insert(0, nn.Permute(before[0], name=_JOINT))  # type: ignore[arg-type]
    if len(layers) == 1:
        return layers[0], (), done.fix
    if not layers:
        return nn.Identity(), (), done.fix
    new = nn.Sequential(layers)
    inside = tuple([name for name, child in new.children() if child is done.layer])
    return new, inside, done.fix


# -- rules -------------------------------------------------------------------------------------------------------------


def _swapped(rank: int, layout: str, lead: int = 1) -> Order:
    """The order of maps in the data format `layout`, which lay in the other one; `lead` axes come before channels."""
    first = (*range(lead), rank - 1, *range(lead, rank - 1))
    return first if layout == "channels_first" else (*range(lead), *range(lead + 1, rank), lead)


def _formatted(layer: Any, move: Move) -> Layer:
    """A layer with a `data_format`."""
    if (layer.data_format or "channels_last") == move.layout:
        move.take()
        return copy.deepcopy(layer)
    rank = len(move.shapes[0])
    lead = 2 if isinstance(layer, convlstm._ConvLSTM) else 1
    order = _swapped(rank, move.layout, lead)
    move.take(order, *([_swapped(rank - 1, move.layout)] if lead > 1 else []))
    changes: dict[str, Any] = {"data_format": move.layout}
    function = activations.get(getattr(layer, "activation", None))
    if lead > 1:
        if not (_is_elementwise(function) and _is_elementwise(activations.get(layer.recurrent_activation))):
            raise move.refuse("its activation computes along an axis")
    elif not _is_elementwise(function):
        changes["activation"] = None
        move._after = (_activation(function, move),)
        if not isinstance(move._after[0], nn.Softmax):
            move._after = (nn.Permute(tuple([order.index(i) for i in range(1, rank)])), *move._after)
            move._gives = []
    return replace(layer, **changes)


def _activation(function: Any, move: Move) -> Layer:
    if function is activations.softmax:
        return nn.Softmax(move.axis(-1))
    return nn.Activation(function)


def _is_elementwise(function: Any) -> bool:
    if isinstance(function, Op):
        return function.elementwise
    programs = set()
    for shape in ((None, 5, 7, 3), (None, 3, 5, 7)):  # sizes may be in what it computes
        x = Node(None, spec=Spec(shape))
        try:
            out = function(x)
        except Exception:
            return False
        if not isinstance(out, Node) or out.shape != shape:
            return False
        nodes: list[Any] = [n for n in ordered([out], set()) if n is not x]
        names = [getattr(n.layer, "function", "") for n in nodes]
        if not all(name in OPS and OPS[name].elementwise for name in names):
            return False
        programs.add(_program({}, nodes, [x], out))
    return len(programs) == 1


def _keeping(layer: Any, move: Move) -> Layer:
    """A layer that does the same with each element."""
    return copy.deepcopy(layer)


def _taking(layer: Any, move: Move) -> Layer:
    """A layer of kfunc's that gives axes another meaning than a format does: it gets them as before."""
    if _formatted_below(layer, move.layout):
        raise move.refuse("layers in it have a data_format, and it does not")
    move.take()
    return copy.deepcopy(layer)


def _activating(layer: Any, move: Move) -> Layer:
    function = activations.get(layer.activation)
    if _is_elementwise(function):
        return copy.deepcopy(layer)
    _whole(move._values)
    if not move._moved:
        return copy.deepcopy(layer)
    if function is activations.softmax:
        return replace(_activation(function, move), name=layer._given_name)
    return _taking(layer, move)


def _dropping(layer: Any, move: Move) -> Layer:
    if layer.noise_shape is None:
        return copy.deepcopy(layer)
    _whole(move._values)
    return replace(layer, noise_shape=tuple([layer.noise_shape[i] for i in move.order]))


def _lambda(layer: Any, move: Move) -> Layer:
    if _is_elementwise(lambda x: layer.function(x, **(layer.arguments or {}))):
        return copy.deepcopy(layer)
    _whole(move._values)
    if not move._moved:
        return copy.deepcopy(layer)
    raise move.refuse("its function may give the axes a meaning")


def _along_axis(layer: Any, move: Move) -> Layer:
    """A layer whose `axis` is an axis, or several, and whose parameters have the sizes of these axes."""
    given = layer.axis if isinstance(layer.axis, list | tuple) else (layer.axis,)
    rank = len(move.order)
    old = sorted(axis % rank for axis in given if -rank <= axis < rank)
    new = sorted(move.order.index(axis) for axis in old)
    names = [path[0] for path in layer.trace(move._values[0].spec).declared or {}] if not _is_merge(layer) else []
    if move._rows is not None:
        if isinstance(layer, nn.GroupNormalization) or _is_merge(layer):
            _whole(move._values)
        if old == [rank - 1]:
            move._fix = {name: ((name,), _Turn(None, move._rows)) for name in names}
    turned = tuple([old.index(move.order[axis]) for axis in new])
    if turned != _same(len(turned)):
        for name in names:
            move.turn(name, turned)
    if isinstance(layer.axis, list | tuple):
        return replace(layer, axis=tuple(new) if move._moved else layer.axis)
    return replace(layer, axis=move.axis(layer.axis))


def _normalization(layer: Any, move: Move) -> Layer:
    _whole(move._values)
    rank, axes = len(move.order), layer._axes()
    if not move._moved or not all(-rank <= axis < rank for axis in axes):
        return copy.deepcopy(layer)
    old = sorted(axis % rank for axis in axes)
    new = sorted(move.order.index(axis) for axis in old)
    turned = tuple([old.index(move.order[axis]) for axis in new])
    changes: dict[str, Any] = {"axis": None if layer.axis is None else tuple(new) if len(new) > 1 else new[0]}
    if turned != _same(len(turned)):
        for name in ("mean", "variance"):
            move.turn(name, turned)
            if (value := getattr(layer, name)) is not None:
                changes[name] = _broadcast(value, turned)
    return replace(layer, **changes)


def _rescaling(layer: Any, move: Move) -> Layer:
    arrays = {n: v for n in ("scale", "offset") if isinstance(v := getattr(layer, n), tuple)}
    if not arrays:
        return copy.deepcopy(layer)
    _whole(move._values)
    return replace(layer, **{n: _broadcast(v, move.order) for n, v in arrays.items()} if move._moved else {})


def _broadcast(value: Any, order: Order) -> Any:
    """Numbers that broadcast to an array, for the same array with its axes in another order."""
    import numpy as np

    x = np.asarray(value)
    return np.transpose(x.reshape((1,) * (len(order) - x.ndim) + x.shape), order)


def _is_merge(layer: Any) -> bool:
    return isinstance(layer, merging._Merge)


def _prelu(layer: Any, move: Move) -> Layer:
    shared = layer._shared()
    if move._rows is not None and 1 not in shared:
        move._fix["alpha"] = (("alpha",), _Turn(None, move._rows))
    if not move._moved:
        return copy.deepcopy(layer)
    move.turn("alpha", tuple([i - 1 for i in move.order[1:]]))
    return replace(layer, shared_axes=tuple(sorted(move.order.index(axis) for axis in shared)) or None)


def _dense(layer: Any, move: Move) -> Layer:
    if move._rows is None:
        return _taking(layer, move)
    move._fix["kernel"] = (("kernel",), _Turn(None, move._rows))
    move._keeps = False
    return copy.deepcopy(layer)


def _flatten(layer: Any, move: Move) -> Layer:
    rank, sizes, order = len(move.order), move.shapes[0][1:], move.order
    if rank < 3:
        return copy.deepcopy(layer)
    _whole(move._values)
    move._keeps = False
    # The axes, as the old network calls them, in the order in which they are flattened: there, and here in both ways.
    first = layer.data_format == "channels_first"
    wanted = [*range(2, rank), 1] if first else [*range(1, rank)]
    here = {None: [*order[1:]], "channels_first": [*order[2:], order[1]]}
    for data_format, axes in here.items():
        if axes == wanted and (data_format is None or move._path in move._walk.plain or not move._moved):
            return replace(layer, data_format=data_format)
    if None in sizes or move._path in move._walk.plain:
        move.take((0, *wanted))
        return replace(layer, data_format=None)
    import numpy as np

    known = [n for n in sizes if n is not None]
    numbers = np.arange(math.prod(known)).reshape((1, *known))
    old, new = (np.transpose(numbers, (0, *axes)).ravel() for axes in (wanted, here[None]))
    rows = tuple(np.argsort(old)[new].tolist())
    done = move._done(replace(layer, data_format=None))
    done.out = Value(done.out.spec, (0, 1), frozenset(), rows if rows != _same(len(rows)) else None, move._path)
    return done  # type: ignore[return-value]


def _permute(layer: Any, move: Move) -> Layer | None:
    """The result lies as in the old network, so that one that only changed the format vanishes."""
    _whole(move._values)
    if not move._moved:
        return _taking(layer, move)
    move._gives, move._keeps = [], False
    dims = tuple([move.order.index(d) for d in layer.dims])
    joint = re.fullmatch(rf"{_JOINT}(_\d+)?", move._path.rpartition("/")[2])
    return None if joint and dims == _same(len(dims) + 1)[1:] else replace(layer, dims=dims)


_ALONG = ("max", "min", "mean", "prod", "std", "sum", "var", "logsumexp", "softmax", "log_softmax", "concatenate")


def _operation(layer: Any, move: Move) -> Layer:
    op = OPS.get(layer.function)
    if op is not None and op.elementwise:
        return copy.deepcopy(layer)
    if layer.function in _ALONG and op is not None:
        args, kwargs = move._args
        bound = inspect.signature(op.reference).bind(*args, **kwargs)
        bound.apply_defaults()
        axes: Any = bound.arguments.get("axis")
        rank = len(move.order)
        listed = axes if isinstance(axes, list | tuple) else [axes]
        if all(type(a) is int and -rank <= a < rank for a in listed):
            _whole(move._values)
            if not move._moved:
                return copy.deepcopy(layer)
            new = tuple([move.axis(a) for a in listed]) if isinstance(axes, list | tuple) else move.axis(axes)
            i = list(bound.signature.parameters).index("axis")
            given = (*args[:i], new, *args[i + 1 :]) if len(args) > i else args
            move._new_args = given, (kwargs if len(args) > i else {**kwargs, "axis": new})
            gone = {a % rank for a in listed}
            left = [a for a in move.order if a not in gone]
            move._gives.append(tuple(sorted(left).index(a) for a in left))
            return copy.deepcopy(layer)
    move.take()
    return copy.deepcopy(layer)


_RULES: dict[type, Callable[[Any, Move], Any]] = {
    nn.Sequential: _sequential,
    nn.Graph: _graph,
    **dict.fromkeys((nn.Wrapper, nn.Frozen, nn.Remat, nn.SpectralNormalization), _through),
    nn.Stack: _stack,
    nn.TimeDistributed: _time_distributed,
    **dict.fromkeys((conv._Convolving, convlstm._ConvLSTM, pooling._Pooling, pooling._AdaptivePooling), _formatted),
    **dict.fromkeys((pooling._GlobalPooling, reshaping._Cropping, reshaping._ZeroPadding), _formatted),
    **dict.fromkeys((reshaping._UpSampling, nn.SpatialDropout2D, nn.SpatialDropout3D, Picture), _formatted),
    **dict.fromkeys((nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Identity, nn.ActivityRegularization), _keeping),
    **dict.fromkeys((nn.GaussianNoise, nn.GaussianDropout, merging._Merge), _keeping),
    **dict.fromkeys((applications.StochasticDepth, applications.CustomScaleLayer), _keeping),
    nn.Dot: _taking,
    nn.Activation: _activating,
    **dict.fromkeys((nn.Dropout, nn.AlphaDropout), _dropping),
    nn.Lambda: _lambda,
    **dict.fromkeys((nn.BatchNormalization, nn.LayerNormalization, nn.GroupNormalization), _along_axis),
    **dict.fromkeys((nn.RMSNormalization, nn.UnitNormalization, nn.Softmax, nn.Concatenate), _along_axis),
    nn.Normalization: _normalization,
    nn.Rescaling: _rescaling,
    nn.PReLU: _prelu,
    nn.Dense: _dense,
    nn.Flatten: _flatten,
    nn.Permute: _permute,
    Operation: _operation,
}
"""What a class and those that inherit from it need. Other layers of kfunc's get their inputs as before."""

_CONTAINERS = (nn.Residual, nn.Branch, nn.Parallel, nn.Pipeline)


def _inherits(cls: type, base: type) -> bool:
    """Whether `cls` computes what `base` does: a class of the user's that has methods of its own may not."""
    for c in cls.__mro__[: cls.__mro__.index(base)]:
        own = [n for n, f in vars(c).items() if inspect.isfunction(f) and not n.startswith("__") and hasattr(base, n)]
        if own and not c.__module__.startswith("kfunc.nn."):
            return False
    return True


def _formatted_below(layer: Layer, layout: str) -> bool:
    """Whether the layer, or one in it, has the other data format."""
    return _has_other_format(layer, layout) or any(_formatted_below(child, layout) for _, child in layer.children())


def _has_other_format(layer: Layer, layout: str) -> bool:
    own = getattr(layer, "data_format", layout) or "channels_last"
    return own != layout and not isinstance(layer, nn.Flatten)


# -- trees -------------------------------------------------------------------------------------------------------------


def _fixed(part: Any, fix: _Fix) -> Any:
    if not isinstance(part, dict):
        return part
    out: dict[str, Any] = {}
    for name, x in part.items():
        where, how = fix.get(name, ((name,), None))
        below = out
        for step in where[:-1]:
            below = below.setdefault(step, {})
        below[where[-1]] = _changed(x, how)
    return out


def _changed(x: Any, how: Any) -> Any:
    if how is None or isinstance(how, dict):
        return _fixed(x, how or {})
    if isinstance(how, _Each):
        each = [_fixed(tree.map(lambda leaf, i=i: leaf[i, ...], x), how.fix) for i in range(_length(x))]
        return tree.map(lambda *xs: stack_arrays(list(xs)), *each) if each else x
    try:
        return _turned(x, how.order, how.rows)
    except (ValueError, IndexError, RuntimeError) as error:
        raise ParamError(f"A parameter of shape {tuple(x.shape)} does not belong to the network.") from error


def _length(x: Any) -> int:
    return next((leaf.shape[0] for leaf in tree.leaves(x)), 0)


@native
def _turned(x: Any, order: Order | None, rows: tuple[int, ...] | None) -> Any:
    xp = namespace(x)
    if rows is not None:
        x = xp.take(x, xp.asarray(rows, dtype=xp.int32, device=device(x)), axis=0)
    return x if order is None else xp.permute_dims(x, order)


def _put(inside: tuple[str, ...], part: Any) -> Any:
    for name in reversed(inside):
        part = {name: part}
    return part


def _check(net: Layer, specs: Any, trees: list[Any], has_state: bool) -> None:
    """Raise an error if the trees are not those of the new network, on inputs of the new format."""
    declared = net.trace(*specs[0], **specs[1]).declared or {}
    for path, declaration in declared.items():
        if declaration.kind == "state" and not has_state:
            continue
        x: Any = trees[declaration.kind == "state"]
        for name in path:
            x = x.get(name) if isinstance(x, dict) else None
        want = tuple(declaration.spec.shape)
        if x is None or tuple(x.shape) != want:
            got = "nothing" if x is None else f"shape {tuple(x.shape)}"
            raise ParamError(
                f"`{'state' if declaration.kind == 'state' else 'params'}` does not belong to the network: "
                f"{'/'.join(path)} needs shape {want}, got {got}.",
                path="/".join(path[:-1]),
                argument=declaration.kind,
                expected=f"shape {want}",
                got=got,
            )


# -- values ------------------------------------------------------------------------------------------------------------


def _values(x: Any) -> list[Value]:
    return [v for v in tree.leaves(x) if isinstance(v, Value)]


def _whole(values: list[Value]) -> None:
    """Raise `_Again` if the elements of a value lie in another order along its last axis."""
    plain = {v.by for v in values if v.rows is not None}
    if plain:
        raise _Again(plain=plain)


def _placed(x: Any, places: dict[Any, Any]) -> Any:
    """What `places` has for a node; anything else is itself."""
    if isinstance(x, Part) and x not in places:
        return tree.leaves(places[x.whole])[x.index]
    return places[x] if isinstance(x, Node) else x


def _new_spec(x: Any) -> Any:
    return _ordered_spec(x, x.order) if isinstance(x, Value) else x


def _ordered_spec(x: Value, order: Order) -> Spec:
    return Spec(tuple([x.spec.shape[i] for i in order]), dtype_name(x.spec.dtype))


def _same(rank: int) -> Order:
    return tuple(range(rank))


def _fitting(orders: Any, rank: int) -> Order:
    return next((tuple(order) for order in orders if len(order) == rank), _same(rank))


def _refused(layer: Layer, path: str, layout: str, why: str) -> LayerError:
    name = type(layer).__name__
    return LayerError(
        f"{name} cannot be turned into {layout}: {why}.",
        path=path or name,
        expected="layers that say how they change",
        got=repr(layer)[:200],
        fix=f"give {name} a method to_layout(self, move), which returns the new layer; see kf.interop.Move",
    )
