"""`GraphFace`: what a `Model` shows of its network: layers, inputs and outputs; and which weights it begins with."""

from __future__ import annotations

import itertools
import numbers
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from .. import tree
from ..arrays import asarray, dtype_name
from ..backends import Backend
from ..data.protocol import Source
from ..elsewhere import OVERRIDDEN, tell
from ..errors import ArgumentError, shown
from ..nn.graph import Graph
from ..nn.layer import Layer
from ..nn.nodes import Node
from ..nn.scope import Call, Scope
from ..tracing.spec import Spec

__all__ = ["GraphFace", "inherited", "network", "of_shapes", "taken"]

_clock = itertools.count(1)
_networks = itertools.count(1)


def network(net: Any, outputs: Any, name: str | None, inputs: Any, seed: int) -> tuple[Layer, int, bool]:
    """The network and the seed that the arguments of `Model` mean, and whether the network is made of nodes.

    Raises:
        ArgumentError: They are neither a layer nor nodes.
    """
    if net is not None and inputs is not None:
        raise ArgumentError(
            "`net` and `inputs` are both given.", argument="inputs", expected="one of the two", got="both"
        )
    if isinstance(outputs, numbers.Integral):  # the seed, by position
        outputs, seed = None, int(outputs)
    given = net if inputs is None else inputs
    if isinstance(given, Layer) and outputs is None:
        return given, seed, False
    if outputs is None or not tree.leaves(given) or not all(isinstance(x, Node) for x in tree.leaves(given)):
        problem = f"`net` must be a layer, or `inputs` and `outputs` nodes, got {shown(given)}"
        raise ArgumentError(
            f"{problem} and {shown(outputs)}." if outputs is not None else f"{problem}.",
            argument="net",
            expected="kf.Model(layer), or kf.Model(inputs, outputs) of nn.Input(...) and what layers make of it",
            got=repr(given)[:200],
            fix=None if given is not None else "in a subclass, super().__init__(layer), where the layer is its network",
        )
    return Graph(given, outputs, name=name), seed, True


def of_shapes(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of `Model.build`, with `Spec`s in place of shapes."""

    def spec(x: Any) -> Any:
        if isinstance(x, dict):
            return {name: spec(value) for name, value in x.items()}
        if not isinstance(x, list | tuple) or not x:
            return x
        if all(n is None or isinstance(n, int) for n in x):
            return Spec(tuple(x), "float32")
        return type(x)(map(spec, x)) if type(x) in (list, tuple) else x

    specs = tuple(map(spec, inputs))
    several = len(specs) == 1 and isinstance(specs[0], list | tuple) and specs[0] is not inputs[0]
    return tuple(specs[0]) if several else specs


class GraphFace:
    """The part of `Model` that is about its network."""

    _carry: Any
    _net: Layer
    _shared: Share
    _shapes: Any
    _traced: Any

    @property
    def net(self) -> Layer:
        """The network."""
        return self._net

    @property
    def name(self) -> str:
        """The name of the network, or else that of its class, `"sequential"`."""
        return self.net.name or self.net._base_name()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in OVERRIDDEN.keys() & vars(cls).keys():
            raise ArgumentError(
                f"{cls.__name__} defines `{name}`, which a Model of kfunc never calls, unlike Keras's.",
                argument=name,
                fix=f"{OVERRIDDEN[name]}; docs/from_keras.md shows it",
            )

    @property
    def layers(self) -> list[Layer]:
        """The layers of the network, in Keras's order. A graph has an `InputLayer` for each input."""
        found: Any = getattr(self.net, "layers", None)
        return [child for _, child in self.net.children()] if found is None else list(found)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer that has a name, as `summary` shows it, or a place in `layers`; see `nn.Layer.get_layer`."""
        return self.net.get_layer(name, index)

    @property
    def input(self) -> Any:
        """The node of the input, or the tree of nodes: `kf.Model(model.input, model.get_layer("features").output)`."""
        return self.net.input

    @property
    def output(self) -> Any:
        """The node of the output, or the tree of nodes."""
        return self.net.output

    @property
    def inputs(self) -> list[Any]:
        """The nodes of all inputs."""
        return tree.leaves(self.input)

    @property
    def outputs(self) -> list[Any]:
        """The nodes of all outputs."""
        return tree.leaves(self.output)

    @property
    def input_shape(self) -> Any:
        """The shape of the input, with None for the batch, or the tree of shapes."""
        return _sizes(self._shapes().inputs)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, with None for the batch, or the tree of shapes."""
        return _sizes((self._shapes().output,))

    @property
    def built(self) -> bool:
        """Whether the model has weights."""
        return self._carry.train_state is not None

    def _ranks(self, x: Any) -> Callable[[Any], Any] | None:
        """A function that gives inputs like `x` the number of axes that the network takes, or None if they have it.

        As in Keras, a last axis of size 1 is added or removed where an `nn.Input` says so: columns (samples,) are
        taken for `nn.Input((1,))`.
        """
        specs: Any = self.net.input_specs() if self._traced is None else self._traced.entry
        if specs is None or (len(specs) == 1 and len(getattr(x, "shape", ())) == len(getattr(specs[0], "shape", "?"))):
            return None
        named = getattr(self.net, "input_names", None)
        if isinstance(x, dict) and named is not None and not isinstance(specs[0], dict):
            by_name = dict(zip(named(), tree.leaves(specs), strict=True))
            wanted = [by_name.get(name) for name in tree.paths(x)]
        else:
            wanted = tree.leaves(specs)
        given = tree.leaves(x)
        if len(wanted) != len(given):
            return None  # the network says what is missing
        more = [_more(spec, leaf) for spec, leaf in zip(wanted, given, strict=True)]
        if not any(more):
            return None

        def fitted(x: Any) -> Any:
            leaves, structure = tree.flatten(x)
            changed = [a[..., None] if n > 0 else a[..., 0] if n else a for n, a in zip(more, leaves, strict=True)]
            return tree.unflatten(structure, changed)

        return fitted

    def _ranked(self, data: Source) -> Source:
        """The data, with the inputs as `_ranks` changes them."""
        change = self._ranks(data.first.x)
        return data if change is None else data.map(lambda batch: batch._replace(x=change(batch.x)))

    def _as_layer(self) -> Layer:
        """The network, as a part of another."""
        if not self._shared.brings:
            self._shared.brings = True
            self._adopt()
        if not any(net() is self.net for net in self._shared.lent):
            self._shared.lent.append(weakref.ref(self.net))
        return self.net

    def _in_graph(self, inputs: tuple, options: dict[str, Any]) -> Any:
        """The result of a call on nodes or inside a layer's `forward`; None if it is a call on arrays."""
        if any(isinstance(x, Node | Scope) for x in tree.leaves((inputs, options))):
            return self._as_layer()(*inputs, **options)
        return None

    def _share(self, brings: bool) -> None:
        """Let the layers of the network know the model's weights; see `Share`."""
        self._shared = Share(self._carry, brings)
        self._adopt()
        if brings:
            self._stay_frozen()

    def _adopt(self) -> None:
        mine = self._shared
        mine.owner = weakref.ref(self)  # first, since other threads may read what layers hold
        held: Any = mine if mine.brings else weakref.ref(mine)
        begun = self._carry.train_state is not None
        for path, child in _all(self.net):
            others = _needed([(other, below) for other, below in child._held if _read(other) not in (None, mine)])
            object.__setattr__(child, "_held", (*others, (held, path)))
            if mine.brings and not begun:
                mine.sources += [found for other, _ in others if (found := _read(other)) is not None]
        _latest[0] = next(_networks)
        mine.trains, mine.said = getattr(self.net, "_trains", None), next(_clock)

    def _stay_frozen(self) -> None:
        """Freeze the layers of a network of nodes that are frozen in the model that they come from."""
        found = dict(getattr(self.net, "_trains", None) or {})
        for path, child in _all(self.net):
            shares = [(_read(held), below) for held, below in child._held]
            others = [(share, below) for share, below in shares if share not in (None, self._shared)]
            share, below = max(others, key=lambda each: each[0].said, default=(None, ""))
            if not path or share is None or not share.trains:
                continue
            above = below.split("/")
            # A layer that stands alone here has left the layers behind that it was frozen with.
            places = range(len(above), -1 if "/" not in path else len(above) - 1, -1)
            said = [share.trains["/".join(above[:i])] for i in places if "/".join(above[:i]) in share.trains]
            if said:
                found.setdefault(path, said[0])
        if found:
            object.__setattr__(self.net, "_trains", found)
            self._shared.trains = found

    def _begins(self) -> None:
        """Note that the model has weights now, so that those of models that are gone are not needed any more."""
        mine = self._shared
        mine.changed, mine.outdated, mine.sources = next(_clock), None, []
        for _, child in _all(self.net):
            needed = [(other, path) for other, path in child._held if (found := _read(other)) and found.owner()]
            object.__setattr__(child, "_held", tuple(needed))

    def _trains(self) -> None:
        """Note that the weights change, or were set, and let other models know that they have some from before."""
        mine = self._shared
        mine.changed, mine.outdated = next(_clock), None
        if mine.sharing[0] != _latest[0]:
            mine.sharing = _latest[0], list(self._others())
        for other in map(_read, mine.sharing[1]):
            if other is not None and other.carry.train_state is not None:
                other.outdated = f"{type(self.net).__name__} {self.net._given_name or ''}".rstrip()

    def _others(self) -> Iterator[Any]:
        """What other models share of the layers that train in this one."""
        paths, mine = tree.paths(self._carry.train_state.params), self._shared
        for path, child in _all(self.net):
            if path and any(p.startswith(f"{path}/") for p in paths):
                for other in filter(None, map(_read, (held for held, _ in child._held))):
                    if other is not mine and (other.brings or mine.brings):
                        yield weakref.ref(other)

    def _elsewhere(self) -> list[tuple[Any, list[str]]]:
        """The other models that have this network or its layers, and the paths of these there."""
        whole: dict[int, tuple[Any, list[str]]] = {}
        parts: dict[int, tuple[Any, list[str]]] = {}
        lent = [net for ref in self._shared.lent if (net := ref()) is not None]
        for found, layers in ((whole, lent), (parts, [child for _, child in self.net.children()])):
            for layer in layers:
                for held, path in layer._held:
                    share = _read(held)
                    model = None if share in (None, self._shared) or not path else share.owner()
                    if model is not None:
                        found.setdefault(id(model), (model, []))[1].append(path)
        return list({**parts, **whole}.values())

    def _check_newest(self) -> None:
        """Warn, once, if layers of the model were trained in another since it copied their weights."""
        other, self._shared.outdated = self._shared.outdated, None
        if other is not None:
            warnings.warn(
                f"Layers of this model have been trained in another model, {other}, or were given other weights there, "
                "since this model copied their weights: here they are as before. model.build() takes the newest ones.",
                stacklevel=4,
            )


tell(GraphFace, "Model")

_latest = [0]
"""The number of the network that a model was made of last."""


class Share:
    """The weights of a model, as its layers know them: a network that is made of these layers may begin with them.

    As in Keras, weights live as long as the layers of a model that is made of nodes. Layers hold the share and not the
    model: the model holds its layers, and such a circle would keep the arrays after the last user of the model is gone.
    If a model was given a network, its layers hold the share by a weak reference: many models may have one network.

    Attributes:
        carry: Has the train state.
        brings: Whether the model was made of nodes, or lent to another as a layer: layers bring their weights along.
        changed: When the weights last changed, to tell which model has the newest ones.
        outdated: The model that has newer weights of some layers, if there is one and nobody was told.
        sources: What others share of the same layers, held until the model has weights of its own.
        owner: The model, as a weak reference.
        trains: Which layers of its network are frozen; see `nn.freeze`.
        said: When that was said.
        sharing: Which network was the latest, and what others shared of the same layers then.
        lent: The networks that the model was, when it was called upon nodes or given to another one as a layer. By weak
            references, since their layers hold the share.
    """

    def __init__(self, carry: Any, brings: bool):
        self.carry, self.brings, self.changed = carry, brings, next(_clock)
        self.outdated: str | None = None
        self.sources: list[Share] = []
        self.owner: Any = None
        self.trains: dict[str, bool] | None = None
        self.said: int = 0
        self.sharing: tuple[int, list[Any]] = 0, []
        self.lent: list[weakref.ref[Layer]] = []


def _more(spec: Any, x: Any) -> int:
    """How many axes of size 1 the array `x` must get at its end, 1, 0 or -1, to be as `spec` says."""
    wanted, shape = tuple(getattr(spec, "shape", ())), tuple(getattr(x, "shape", ()))
    if len(wanted) == len(shape) + 1 > 1 and wanted[-1] == 1:
        return 1
    return -1 if wanted and len(wanted) == len(shape) - 1 and shape[-1] == 1 else 0


def _sizes(of: tuple[Any, ...]) -> Any:
    shapes = tree.map(lambda x: tuple(x.shape), of)
    return shapes[0] if len(shapes) == 1 else list(shapes)


def _read(held: Any) -> Any:
    return held() if isinstance(held, weakref.ref) else held


def _needed(held: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """`held` without what models shared that are gone, but for the newest weights, and the newest word on what trains.

    Otherwise each copy of a model would leave its arrays in the layers.
    """
    gone = [share for other, _ in held if (share := _read(other)) is not None and share.owner() is None]
    with_weights = [share for share in gone if share.carry.train_state is not None]
    newest = [max(with_weights, key=lambda s: s.changed, default=None), max(gone, key=lambda s: s.said, default=None)]
    return [pair for pair in held if (share := _read(pair[0])) not in gone or share in newest]


def _all(layer: Layer, path: str = "") -> Iterator[tuple[str, Layer]]:
    """The layer and all layers in it, with their paths."""
    yield path, layer
    for name, child in layer._named():
        yield from _all(child, f"{path}/{name}" if path else name)


def _source(layer: Layer, mine: Share) -> tuple[Share, str] | None:
    """The share from which `layer` brings its weights, and its path there: the one that changed last."""
    found = [(_read(held), path) for held, path in layer._held]
    fit = [(s, path) for s, path in found if s is not None and s is not mine and s.carry.train_state is not None]
    if not mine.brings:  # only a network does that came as a Model
        fit = [(s, path) for s, path in fit if s.brings and not path]
    return max(fit, key=lambda each: each[0].changed, default=None)


def _sources(layer: Layer, path: str, mine: Share) -> Iterator[tuple[str, tuple[Share, str]]]:
    """The path of each layer in `layer` that brings its weights along, and where they come from."""
    for name, child in layer._named():
        below = f"{path}/{name}" if path else name
        source = _source(child, mine)
        if source is None:
            yield from _sources(child, below, mine)
        else:
            yield below, source


def inherited(model: Any, call: Call) -> dict[str, Any]:
    """The arrays, by path, that the layers of a new model bring along from models that have them already.

    Of a model that was made of nodes, any layer does; else a network does that came into this one as a `Model`.
    """
    sources = dict(_sources(model.net, "", model._shared))
    arrays: dict[int, dict[str, Any]] = {}
    for share, _ in sources.values():
        if id(share) not in arrays:
            ts = share.carry.show()
            arrays[id(share)] = dict(zip(tree.paths(ts.params), tree.leaves(ts.params), strict=True))
            arrays[id(share)] |= dict(zip(tree.paths(ts.state), tree.leaves(ts.state), strict=True))
    found: dict[str, Any] = {}
    for parts, declaration in (call.declared or {}).items():
        for i in range(len(parts) - 1, 0, -1):
            if "/".join(parts[:i]) in sources:
                share, path = sources["/".join(parts[:i])]
                value = arrays[id(share)].get("/".join([*filter(None, [path]), *parts[i:]]))
                if value is not None and tuple(value.shape) == tuple(declaration.spec.shape):
                    found["/".join(parts)] = value
                break
    return found


def taken(known: dict[str, Any], params: Any, state: Any, target: Backend) -> tuple[Any, Any]:
    """The first parameters and state, with the arrays `known` at their paths."""

    def value(path: str, x: Any) -> Any:
        return asarray(known[path], dtype_name(x.dtype), backend=target) if path in known else x

    def filled(part: Any) -> Any:
        leaves = [value(path, x) for path, x in zip(tree.paths(part), tree.leaves(part), strict=True)]
        return tree.unflatten(tree.structure(part), leaves)

    return filled(params), filled(state)
