"""`freeze` and `unfreeze`: a copy of a network in which other layers train."""

from __future__ import annotations

import copy
import difflib
import fnmatch
from collections.abc import Iterator
from typing import TypeVar

from ..errors import ArgumentError, shown
from .layer import Layer

__all__ = ["freeze", "layers_by_path", "unfreeze"]

N = TypeVar("N", bound=Layer)


def freeze(net: N, *which: str | Layer) -> N:
    """A copy of `net` in which some layers do not train, as with `trainable=False`. `net` stays as it is.

    A frozen layer behaves as in inference, and so do the layers in it. Their parameters are a part of the state, where
    no optimizer sees them: so the copy takes other trees than `net`. `Model.freeze` moves the arrays; in a loop of your
    own, move them from `params` to `state`, or call `init` of the copy.

    Args:
        net: A network.
        which: Layers of `net`, or patterns of their paths: `"encoder"`, `"block_*"`, `"*/conv2d"`. A `*` stands for any
            characters, `?` for one, `[12]` for one of these. All layers if there is none.

    Raises:
        ArgumentError: A layer is not in `net`, or no path fits a pattern.
    """
    return _changed(net, which, False)


def unfreeze(net: N, *which: str | Layer) -> N:
    """The opposite of `freeze`: these layers, and those in them, train, even if they were made with `trainable=False`.

    A layer around them stays frozen with the parameters of its own.
    """
    return _changed(net, which, True)


def layers_by_path(net: Layer) -> dict[str, Layer]:
    """All layers of a network by their paths, from the outside to the inside; the path of the network is ""."""
    return dict(_walk(net, ""))


def _walk(net: Layer, path: str) -> Iterator[tuple[str, Layer]]:
    yield path, net
    for child in {id(child): child for _, child in net.children()}.values():
        yield from _walk(child, f"{path}/{net._children[id(child)][0]}".lstrip("/"))


def _changed(net: N, which: tuple[str | Layer, ...], trains: bool) -> N:
    layers = layers_by_path(net)
    found = dict(net._trains or {})
    for one in which or ("",):
        if not isinstance(one, str | Layer):
            raise ArgumentError.must_be("which", "layers, or patterns of their paths, one by one", one)
        matching = [path for path, layer in layers.items() if _is(one, path, layer)]
        if not matching:
            raise _unknown(one, layers)
        for path in matching:
            inside = {p for p in layers if p == path or not path or p.startswith(f"{path}/")}
            found = {p: value for p, value in found.items() if p not in inside} | {path: trains}
            found |= {p: True for p in inside if trains and not layers[p].trainable}
    other = copy.copy(net)
    object.__setattr__(other, "_trains", found)
    return other


def _is(one: str | Layer, path: str, layer: Layer) -> bool:
    return one is layer if isinstance(one, Layer) else one == path or (path != "" and fnmatch.fnmatchcase(path, one))


def _unknown(one: str | Layer, layers: dict[str, Layer]) -> ArgumentError:
    paths = [path for path in layers if path]
    close = difflib.get_close_matches(str(one), paths, n=1) if isinstance(one, str) else []
    inner = [path for path in paths if isinstance(one, str) and fnmatch.fnmatchcase(path, f"*/{one}")]
    fix = f"did you mean {(inner or close)[0]!r}?" if inner or close else None
    if isinstance(one, Layer):
        fix = "take it from model.net, a new object after each freeze; without arguments, the whole network is meant"
    return ArgumentError(
        f"There is no layer {shown(one)} in the network.",
        argument="which",
        expected=f"a pattern that fits one of {', '.join(paths)}" if paths else "no argument: the network is one layer",
        got=shown(one),
        fix=fix,
    )
