"""The weights of a network for images, from files of Keras's, of kfunc's, and of torchvision and timm."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .. import files, nn
from ..arrays import asarray
from ..errors import ArgumentError, FileError
from ..interop import Checkpoint, KeyMap
from ..model import Model
from ..nn.applications import LayerScale
from ..nn.freezing import layers_by_path
from ..training import model_file
from ..training.traced import Traced

__all__ = ["Pair", "Source", "loaded", "path_of", "told"]

Pair = tuple[str, str] | tuple[str, str, str]


class Source(NamedTuple):
    """Checkpoints of another library whose network is the same.

    Attributes:
        name: What the library calls the network: "timm's tf_efficientnet_b0".
        pairs: For the network here, the pairs of a module there and a layer here. How the axes lie follows from the
            class of the layer, unless a form as of a `KeyMap` is the third.
        changes: Fields of the `Recipe` that are others in that library.
        state: Values of state variables that the checkpoint lacks, by their paths.
        sizes: Sizes of axes in forms.
    """

    name: str
    pairs: Callable[[nn.Graph], Iterable[Pair]]
    changes: Mapping[str, Any] = {}
    state: Mapping[str, Any] = {}
    sizes: Mapping[str, int] = {}


def told(sources: Iterable[Source]) -> str:
    """The sources in a sentence of a docstring or an error."""
    names = [source.name for source in sources]
    return f", or a `.safetensors` or `.pth` file of {' or '.join(names)}" if names else ""


def path_of(weights: Any) -> str | None:
    """The path that `weights` is; None for weights that are drawn."""
    if weights is None:
        return None
    if weights == "imagenet":
        raise ArgumentError(
            '`weights` is "imagenet", and nothing is downloaded here.',
            argument="weights",
            expected="None, or the path of a file with weights",
            got="'imagenet'",
            fix="where Keras is installed, keras.applications downloads them: save them by "
            'model.save_weights("imagenet.weights.h5"), and give weights="imagenet.weights.h5"; Keras keeps its own '
            "files in ~/.keras/models, and they can be given, too",
        )
    if not isinstance(weights, str | os.PathLike):
        raise ArgumentError.must_be("weights", "None or the path of a file with weights", weights)
    return os.fsdecode(weights)


def loaded(
    net_of: Callable[..., nn.Graph],
    path: str,
    sources: tuple[Source, ...],
    include_top: bool,
    mended: Callable[[Any], None] | None = None,
) -> Model:
    """The model with the weights in a file. Nothing is drawn.

    Args:
        net_of: Makes the network; it takes fields of the `Recipe` that are others than Keras's.
        path: The file.
        sources: The checkpoints of other libraries that fit.
        include_top: Whether the network has its top. If not, that of a checkpoint is passed over.
        mended: Changes the state that a file of Keras's has, where it would be wrong here.
    """
    if (keras := model_file.format_of(path)) is not None:
        model = Model(net_of())
        keras.load_weights(model, path)
        if mended is not None and model.train_state is not None:
            mended(model.train_state.state)
        return model
    tensors = Checkpoint(path)
    if any(name.startswith("params.") for name in tensors):  # as Model.save and save_weights write it
        net = net_of()
        traced = Traced(net, net.input_specs())
        params, state = model_file.trees(traced, model_file.read_weights(path, traced, False)[0])
        return Model(net, params=params, state=state)
    best = 0
    for candidate in sources:
        made = net_of(**candidate.changes)
        found, heads = _rules(candidate, made, include_top)
        names = {rule[0] for rule in found}
        known = sum(name in names or any(re.fullmatch(head, name) for head in heads) for name in tensors)
        if known > best:
            best, source, net, rules = known, candidate, made, found
            ignored = [*heads, r".*\.num_batches_tracked"]
    if best:
        _check_beside(path, source)
    else:
        raise FileError(
            f"The tensors in {path} are not those of a network that is known to be the same.",
            argument="weights",
            expected=f"a file of Keras's (.weights.h5, .h5, .keras){told(sources)}",
            got=", ".join(list(tensors)[:5]) or "no tensors",
            fix="kf.interop.KeyMap says for other files which tensor is which array",
        )
    axes = {axis for rule in rules for axis in re.findall(r"\w+", "".join(rule[2:]))}
    sizes = {axis: size for axis, size in source.sizes.items() if axis in axes}
    params, state = KeyMap(rules, ignored, **sizes).load(tensors, net, *net.input_specs())
    for path, value in source.state.items():
        *above, name = path.split("/")
        functools.reduce(dict.__getitem__, above, state)[name] = asarray(
            value, "int32" if isinstance(value, int) else "float32"
        )
    return Model(net, params=params, state=state)


def _check_beside(path: str, source: Source) -> None:
    """Raise an error if the config beside a file names timm's network with other zeros around images.

    Its tensors have the same names and shapes, so nothing else tells.
    """
    theirs = source.name.removeprefix("timm's tf_")
    beside = os.path.join(os.path.dirname(path), "config.json")
    if theirs == source.name or not os.path.isfile(beside):
        return
    with files.blaming(beside), files.open_file(beside) as file:
        text = file.read(_CONFIG_BYTES).decode(errors="replace")
    if (named := re.search(r'"architecture"\s*:\s*"(\w+)', text)) and not named[1].startswith("tf_"):
        raise FileError(
            f"The config beside {path} says that the weights are those of {named[1]}, and not of tf_{theirs}.",
            argument="weights",
            expected=source.name,
            got=named[1],
            fix="kf.models.load(folder) makes timm's network, which puts zeros on all sides of an image",
        )


_CONFIG_BYTES = 10_000_000


def _rules(source: Source, net: nn.Graph, include_top: bool) -> tuple[list[tuple[Any, ...]], list[str]]:
    """The rules of a `KeyMap`, and patterns for the names of tensors that belong to the top, where there is none."""
    layers = layers_by_path(net)
    rules: list[tuple[Any, ...]] = [(None, path) for path in source.state]
    heads = []
    for theirs, ours, *form in source.pairs(net):
        layer = layers.get(ours)
        if layer is None and not include_top:
            heads.append(rf"{re.escape(theirs)}\.\w+")
        elif isinstance(layer, LayerScale):
            rules.append((theirs, f"{ours}/gamma", *form))
        else:
            for name, array, usual in _ARRAYS[type(layer)]:
                if array != "bias" or layer.use_bias:  # type: ignore[union-attr]
                    rules.append((f"{theirs}.{name}", f"{ours}/{array}", *((form or [usual]) if usual else [])))
    return rules, heads


_AFFINE: tuple[tuple[str, str, str | None], ...] = (("weight", "gamma", None), ("bias", "beta", None))
_BIAS: tuple[str, str, str | None] = ("bias", "bias", None)
_ARRAYS: dict[type | None, tuple[tuple[str, str, str | None], ...]] = {
    nn.BatchNormalization: (
        *_AFFINE,
        ("running_mean", "moving_mean", None),
        ("running_var", "moving_variance", None),
    ),
    nn.Conv2D: (("weight", "kernel", "o i h w -> h w i o"), _BIAS),
    nn.Dense: (("weight", "kernel", "o i -> i o"), _BIAS),
    nn.DepthwiseConv2D: (("weight", "kernel", "(i m) 1 h w -> h w i m"), _BIAS),
    nn.LayerNormalization: _AFFINE,
}
"""For each class of layers: PyTorch's name of an array, the name here, and how the axes become others."""
