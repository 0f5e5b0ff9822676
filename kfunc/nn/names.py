"""Names of the layers in a list or a graph, by which their parameters are found: see `unique_names`."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import LayerError
from .layer import Layer

__all__ = ["unique_names"]


def unique_names(parent: Layer, layers: Iterable[Layer]) -> list[tuple[str, Layer]]:
    """A name for each distinct layer of a list in `parent`, by which its parameters are found.

    It is the layer's `name`; or the name that it has in a network made before, so that a part of a network finds its
    parameters in those of the whole; or that of its class, with a number if it is taken (`dense_1`).

    Raises:
        LayerError: A layer is named as another was called before.
    """
    layers = list(dict.fromkeys(layers))
    known = vars(parent).get("_children")
    if known is not None:
        return [(known[id(child)][0], child) for child in layers]
    names = first = _names(layers, {}, set())
    if any(child._called for child in layers):
        names = _names(layers, *_kept(layers))
        object.__setattr__(parent, "_renamed", None if names == first else names)
    for name, child in zip(names, layers, strict=True):
        if child._given_name is None and not any(
            name == was and {*names} <= {*others} for was, others in child._called
        ):
            called = (*child._called[:1], *child._called[1:][-_REMEMBERED:], (name, names))
            object.__setattr__(child, "_called", called)
    return list(zip(names, layers, strict=True))


_REMEMBERED = 30  # networks that a layer was put into after the first one, so that no loop makes a layer large


def _kept(layers: list[Layer]) -> tuple[dict[Layer, str], set[str]]:
    """The names that layers keep from the networks which they were put into before, and names that no other may get.

    Layers of one network are called as there. Layers of several networks keep names that mean one layer only in all
    of these networks. Otherwise they get new names, which none of the networks has: the parameters of one network are
    then refused by the other, and never taken for those of another layer.
    """
    old = [child for child in layers if child._called]
    shared = set.intersection(*({id(names) for _, names in child._called} for child in old))
    kept = {
        child: next((name for name, names in reversed(child._called) if id(names) in shared), child._called[-1][0])
        for child in old
    }
    taken = {name for child in old for name in child._called[0][1]}
    if not shared:
        networks = {id(names): names for child in old for _, names in child._called}
        for child in old:
            own = {id(names) for name, names in child._called if name == kept[child]}
            if any(kept[child] in names for network, names in networks.items() if network not in own):
                del kept[child]
                taken.update(*networks.values())
    return kept, taken


def _names(layers: list[Layer], kept: dict[Layer, str], taken: set[str]) -> tuple[str, ...]:
    """As `unique_names`; the arguments are those that `_kept` returns."""
    given = {child._given_name for child in layers if child._given_name is not None}
    if twice := sorted(given.intersection(name for child in layers for name, _ in child._called)):
        raise LayerError(
            f"Two layers are called {twice[0]!r}: one by its `name`, the other in a network that was made before.",
            argument="name",
            expected="for each layer a name that no other layer has had",
            got=repr(twice[0]),
            fix="give the layer another name, or give the other one a name when it is made",
        )
    taken, names, numbers = taken | given | {*kept.values()}, [], dict[str, int]()
    for child in layers:
        name = child._given_name or kept.get(child)
        if name is None:
            base = name = child._base_name()
            while name in taken:
                numbers[base] = numbers.get(base, 0) + 1
                name = f"{base}_{numbers[base]}"
            taken.add(name)
        names.append(name)
    return tuple(names)
