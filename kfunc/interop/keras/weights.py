"""Where Keras's files keep the variables of a network: one list for reading and writing.

A file has a group for each layer, which is called by the attributes that lead to the layer in Keras: "layers/dense_1",
"layers/bidirectional/forward_layer/cell", "encoder/blocks/block_2/norm". In it, the layer's own variables are numbered
in the order of their creation, those that are trained first. Keras goes through attributes by their names, private ones
last, and a layer that several attributes lead to is kept where it is found first.
"""

from __future__ import annotations

from collections import UserList, deque
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ... import nn, registry
from ...arrays import dtype_name, to_numpy
from ...errors import FileError, shown, warn
from ...nn.call import as_layer
from ...nn.freezing import layers_by_path
from ...nn.scope import Call, Declaration
from .hdf5 import Form, Group
from .layers import by_class

__all__ = [
    "Place",
    "Problems",
    "filled",
    "fits",
    "groups",
    "numbered",
    "places",
    "python_name",
    "warn_of_differences",
]

Path = tuple[str, ...]
Order = Mapping[int, list[tuple[str, nn.Layer]]]


class Place(NamedTuple):
    """The variables of one group of a Keras file.

    Attributes:
        file: The path of the layer in the file; "" for the network itself.
        paths: The path in kfunc's trees of each variable in the group, in the order of their numbers there.
        layer: The layer.
    """

    file: str
    paths: list[Path]
    layer: nn.Layer


# What a layer here keeps in a scope or in itself, and Keras in a layer of an attribute of this name.
_INSIDE: dict[type, dict[str, str]] = {
    nn.MultiHeadAttention: {
        "query": "query_dense",
        "key": "key_dense",
        "gate": "_gate_dense",
        "value": "value_dense",
        "attention_output": "output_dense",
    },
    nn.GroupQueryAttention: {
        "query": "_query_dense",
        "key": "_key_dense",
        "gate": "_gate_dense",
        "value": "_value_dense",
        "attention_output": "_output_dense",
    },
    **{cls: {"": "cell"} for cls in (nn.LSTM, nn.GRU, nn.SimpleRNN, nn.ConvLSTM1D, nn.ConvLSTM2D, nn.ConvLSTM3D)},
}
_CONTAINERS = (Mapping, list, tuple, deque, UserList)
_THROUGH = (nn.Frozen, nn.Remat)  # what they wrap stands in their place in Keras


def python_name(layer: nn.Layer) -> str:
    """The name of the Python class that Keras has for the layer, by which files call it."""
    cls = type(_inner(layer))
    known = by_class().get(cls)
    return "Functional" if cls is nn.Graph else cls.__name__ if known is None else known.python


def places(
    net: nn.Layer,
    declared: Mapping[Path, Declaration],
    order: Order | None = None,
    there: Collection[str] | None = None,
) -> list[Place]:
    """The groups of a Keras file for a network, in the order in which Keras makes their variables.

    Args:
        net: The network: one of `Sequential`s and `Graph`s as Keras's, or one whose fields have the names of the
            attributes of Keras's.
        declared: The variables that `trace` found.
        order: The layers of a container in Keras's order, with the names of their classes in Keras, by the container's
            id. Without it, they are found.
        there: The groups that are in the file; None for a new file. It says which layers of the user's own are a
            `keras.Model`, and no `keras.Layer`: a model has its layers in the attribute `layers`, too, and Keras finds
            them there before it comes to the attributes with greater names. Keras 2 goes through the names backwards.
    """
    found = _Walk(declared, order or {}, there).places(net, "", ())
    if there is None or not (missing := _missing(found, there)):
        return found
    backwards = _Walk(declared, order or {}, there, reverse=True).places(net, "", ())
    return backwards if _missing(backwards, there) < missing else found


def _missing(found: list[Place], there: Collection[str]) -> int:
    return sum(_joined(place.file, "vars") not in there for place in found)


def is_saved(layer: nn.Layer, path: Path) -> bool:
    """Whether Keras's files keep a variable: the states of stateful layers and the constants of graphs are not kept."""
    return not (isinstance(layer, nn.Operation) or path[-1].startswith("rnn_state_"))


def unsaved(net: nn.Layer, declared: Mapping[Path, Declaration]) -> set[Path]:
    """The variables that Keras's files do not keep."""
    layers = layers_by_path(net)
    return {path for path in declared if not is_saved(layers.get("/".join(path[:-1]), net), path)}


def warn_of_differences(net: nn.Layer) -> None:
    """Warn of layers that compute something else than Keras's."""
    found = [path for path, layer in layers_by_path(net).items() if isinstance(layer, nn.SpectralNormalization)]
    if found:
        where = ", ".join(shown(path) for path in found if path) or "the network"
        warn(
            f"SpectralNormalization computes something else than in Keras, here in {where}: it divides the kernel in "
            "inference, too, and Keras's only in training. See docs/keras_files.md."
        )


class _Walk:
    def __init__(
        self,
        declared: Mapping[Path, Declaration],
        order: Order,
        there: Collection[str] | None,
        reverse: bool = False,
    ):
        self.declared, self.order, self.there, self.reverse = declared, order, there, reverse
        self.visited: set[int] = set()
        self.below: dict[Path, dict[str, None]] = {}  # all names directly below a path
        for path in declared:
            for n in range(len(path)):
                self.below.setdefault(path[:n], {})[path[n]] = None

    def places(self, layer: nn.Layer, file: str, path: Path) -> list[Place]:
        if id(layer) in self.visited:
            return []
        self.visited.add(id(layer))
        children = {i: name for i, (name, _) in layer._children.items()}
        if isinstance(layer, _THROUGH):
            return [p for child in map(as_layer, [layer.layer]) for p in self.places(child, file, (*path, "layer"))]
        found: dict[int, list[Place]] = {}
        for below, child in self.attributes(layer, file):
            child = as_layer(child)
            if id(child) in children and id(child) not in found:
                found[id(child)] = self.places(child, below, (*path, children[id(child)]))
        own = self.own(layer, file, path, set(children.values()))
        first = [id(child) for _, child in self.listed(layer)]
        return own + [place for i in dict.fromkeys([*first, *children]) for place in found.get(i, [])]

    def own(self, layer: nn.Layer, file: str, path: Path, children: set[str]) -> list[Place]:
        """The groups of the variables of the layer itself, and of those in scopes of it."""
        inside = next((names for cls, names in _INSIDE.items() if isinstance(layer, cls)), {})
        names = self.below.get(path, {})
        paths = [(*path, n) for n in names if (*path, n) in self.declared and is_saved(layer, (*path, n))]
        paths.sort(key=lambda p: self.declared[p].role == "state")
        if isinstance(layer, nn.SpectralNormalization) and paths:
            # Keras numbers the weight of the wrapped layer among the variables of the wrapper, too.
            weights = ((*path, "layer", name) for name in ("kernel", "embeddings"))
            paths = [*(p for p in weights if p in self.declared), *paths]
        at = _joined(file, inside.get("", ""))
        out = [Place(at, paths, layer)] if paths else []
        scopes = [n for n in names if (*path, n) not in self.declared and n not in children]
        for name in sorted(scopes, key=[*inside, *scopes].index):
            out += self.own_scope(layer, self.scope(file, inside.get(name, name)), (*path, name))
        return out

    def scope(self, file: str, name: str) -> str:
        """The path of a part of a layer. An attribute may be private in Keras 2, and public in Keras 3."""
        at = _joined(file, name)
        other = _joined(file, name[1:] if name.startswith("_") else f"_{name}")
        return other if self.there is not None and at not in self.there and other in self.there else at

    def own_scope(self, layer: nn.Layer, file: str, path: Path) -> list[Place]:
        names = self.below[path]
        paths = [(*path, n) for n in names if (*path, n) in self.declared]
        paths.sort(key=lambda p: self.declared[p].role == "state")
        out = [Place(file, paths, layer)] if paths else []
        for name in names:
            if (*path, name) not in self.declared:
                out += self.own_scope(layer, _joined(file, name), (*path, name))
        return out

    def listed(self, layer: nn.Layer) -> list[tuple[str, nn.Layer]]:
        """The layers of a container in Keras's order, with the names of their classes there."""
        if not isinstance(layer, nn.Sequential | nn.Graph):
            return []
        known = self.order.get(id(layer))
        if known is not None:
            return known
        return [(python_name(child), child) for child in dict.fromkeys(map(as_layer, layer.layers))]

    def attributes(self, layer: nn.Layer, file: str) -> Iterator[tuple[str, nn.Layer]]:
        """The path in the file and the layer, for each that an attribute leads to, in the order of Keras's visits."""
        if isinstance(layer, nn.Sequential | nn.Graph):
            yield from numbered(self.listed(layer), _joined(file, "layers"))
            own = layer._assigned()
        elif isinstance(layer, nn.Bidirectional):
            own = list(layer.children())
        else:
            own = [*layer._arguments(), *layer._assigned()]
            if not file or (self.there is not None and f"{file}/layers" in self.there):
                own.append(("layers", list(dict.fromkeys(child for _, child in layer.children()))))
        for name, value in sorted(own, key=self.place_of, reverse=self.reverse):
            yield from self.found(_joined(file, name), value)

    def place_of(self, item: tuple[str, Any]) -> str:
        return f"~{item[0]}" if item[0].startswith("_") and not self.reverse else item[0]

    def found(self, file: str, value: Any) -> Iterator[tuple[str, nn.Layer]]:
        """The layers in the value of an attribute, and their paths in the file."""
        value = as_layer(value)
        if isinstance(value, nn.Layer):
            yield file, value
        elif isinstance(value, _CONTAINERS):
            given = map(as_layer, value.values() if isinstance(value, Mapping) else value)
            named = [
                (python_name(v) if isinstance(v, nn.Layer) else "container", v)
                for v in given
                if isinstance(v, (nn.Layer, *_CONTAINERS))
            ]
            # Keras 2 does not count layers that it has found before.
            for path, inner in numbered(named, file, self.visited if self.reverse else ()):
                yield from self.found(path, inner)


def numbered(named: Iterable[tuple[str, Any]], file: str, known: Container[int] = ()) -> Iterator[tuple[str, Any]]:
    """The paths of things in a container by the names of their classes: "dense", "dense_1", ...; not those of `known`
    ids."""
    used: dict[str, int] = {}
    for name, value in named:
        if id(value) in known:
            continue
        base = registry.snake_case(name)
        used[base] = used.get(base, -1) + 1
        yield _joined(file, f"{base}_{used[base]}" if used[base] else base), value


def _joined(file: str, name: str) -> str:
    return f"{file}/{name}" if file and name else file or name


def _inner(layer: nn.Layer) -> nn.Layer:
    while isinstance(layer, _THROUGH):
        layer = as_layer(layer.layer)
    return layer


# -- values ------------------------------------------------------------------------------------------------------------


class Problems:
    """All that is wrong with the arrays of a file, or of something else that has the weights."""

    _MOST = 100

    def __init__(self, source: str = "the file") -> None:
        self.source = source
        self.found: list[str] = []

    def add(self, what: str) -> None:
        self.found.append(what)

    def check(self) -> None:
        """Raise a FileError that lists all, if there are any."""
        if not self.found:
            return
        more = len(self.found) - 1
        others = f". {more} more {'array does' if more == 1 else 'arrays do'} not fit, either" if more else ""
        raise FileError(
            f"The arrays in {self.source} are not those of the network: {self.found[0]}{others}.",
            expected="for each variable of the network one array of its shape, and no other arrays",
            got="".join(f"\n    {each}" for each in self.found[: self._MOST]) if more else self.found[0],
            fix="load it into the network that it was saved from; for arrays of other objects, such as metrics in "
            "attributes of a model, load_weights has `ignore`",
        )


def checked(place: str, path: Path, form: Form, declaration: Declaration, problems: Problems) -> None:
    """Hold the form of an array in a file against a variable of the network."""
    spec = declaration.spec
    name, wanted = "/".join(path), (tuple(spec.shape), dtype_name(spec.dtype))
    if form.shape != wanted[0]:
        problems.add(f"{name} has shape {wanted[0]}, and {place} in {problems.source} {form.shape}")
    elif not fits(form.dtype, wanted[1]):
        problems.add(f"{name} is {wanted[1]}, and {place} in {problems.source} {form.dtype}")


def fits(dtype: str, wanted: str) -> bool:
    """Whether numbers of one dtype may become those of another: those of a kind; and opaque ones, if they are bfloat16.

    HDF5 has no bfloat16: Keras writes two bytes that have no meaning to it.
    """
    if dtype == "V2":
        return wanted == "bfloat16"
    kinds = ("float", "uint", "int", "bool", "complex")
    kind = [next((k for k in kinds if x.replace("bfloat", "float").startswith(k)), x) for x in (dtype, wanted)]
    return kind[0] == kind[1] or {*kind} == {"int", "uint"}


def filled(call: Call, arrays: Mapping[Path, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the state, as NumPy's arrays of the dtypes that the network has.

    Args:
        call: What `trace` returned.
        arrays: NumPy's arrays by their paths. Variables that Keras does not save have their first values.
    """
    import numpy as np

    def leaf(path: Path, declaration: Declaration) -> Any:
        if path not in arrays:
            return to_numpy(declaration.draw(_zero_key(), path))
        array, wanted = arrays[path], dtype_name(declaration.spec.dtype)
        if array.dtype.name == wanted:
            return array
        if wanted == "bfloat16":
            import ml_dtypes

            return array.view(ml_dtypes.bfloat16) if array.dtype.kind == "V" else array.astype(ml_dtypes.bfloat16)
        with np.errstate(over="ignore"):
            cast = array.astype(np.dtype(wanted))
        alike = (
            np.array_equal(cast, array) if array.dtype.kind in "iu" else (np.isfinite(cast) >= np.isfinite(array)).all()
        )
        if not alike:
            raise FileError(f"{'/'.join(path)} is {wanted}, and the file has numbers that are too large for it.")
        return cast

    return call.trees(leaf)


def _zero_key() -> Any:
    from ... import random

    return random.key(0)


def groups(
    found: Iterable[Place], declared: Mapping[Path, Declaration], params: Any, state: Any, names: Mapping[int, str]
) -> list[Group]:
    """What `hdf5.write` takes: for each group its path, the name of the layer, and its arrays as NumPy's."""
    trees = {"params": params, "state": state}

    def value(path: Path) -> Any:
        leaf = trees[declared[path].kind]
        for part in path:
            leaf = leaf[part]
        return to_numpy(leaf)

    return [(place.file, names.get(id(place.layer)), [value(p) for p in place.paths]) for place in found]
