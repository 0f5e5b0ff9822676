"""Folders of timm: `kf.models.load` reads the networks of these that are here, by the `architecture` in a config."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import files, tree
from ..arrays import asarray
from ..backends import Backend
from ..dataclasses import replace
from ..errors import FileError
from ..interop.checkpoints import ONE, Checkpoint
from ..interop.keymap import KeyMap
from ..nn import Graph
from ..typing import Tree
from . import mobilenet
from .blocks import dense_rules, norm_rules
from .family import Config
from .vision import Recipe, made
from .vision_files import Pair, Source
from .vit import DeiT, ViT

__all__ = ["is_config", "load"]

_NORM = {"epsilon": 1e-5, "momentum": 0.9}
"""Arguments of `BatchNormalization` in networks that do not come from TensorFlow."""
_INSIDE = {"rescales": False}
"""timm's networks take images that are scaled already."""


def _mobilenet_v2_pairs(net: Graph) -> Iterator[Pair]:
    yield from [("conv_stem", "Conv1"), ("bn1", "bn_Conv1"), ("conv_head", "Conv_1"), ("bn2", "Conv_1_bn")]
    yield "classifier", "predictions"
    depths = [depth for _, _, depth in mobilenet._BLOCKS]
    for number, (stage, i) in enumerate((stage, i) for stage, depth in enumerate(depths) for i in range(depth)):
        theirs, ours = f"blocks.{stage}.{i}", f"block_{number}" if number else "expanded_conv"
        convolutions = [("conv_pw", "expand"), ("conv_dw", "depthwise"), ("conv_pwl", "project")]
        if number == 0:
            convolutions = [("conv_dw", "depthwise"), ("conv_pw", "project")]
        for n, (name, our) in enumerate(convolutions, 1):
            yield from [(f"{theirs}.{name}", f"{ours}_{our}"), (f"{theirs}.bn{n}", f"{ours}_{our}_BN")]


def _mobilenet_v2(alpha: float) -> Callable[[], Recipe]:
    return lambda: dataclasses.replace(mobilenet._recipe_v2(alpha), sources=(Source("", _mobilenet_v2_pairs),))


def _of(title: str, **options: Any) -> Callable[[], Recipe]:
    """The recipe of a network of `kf.models`, whose module is imported when the recipe is made."""

    def recipe() -> Recipe:
        module = next(name for begin, name in _MODULES.items() if title.startswith(begin))
        constructor = getattr(importlib.import_module(f".{module}", __package__), title)
        return constructor.recipe(**options)  # type: ignore[no-any-return]

    return recipe


_MODULES = {
    "ConvNeXt": "convnext",
    "DenseNet": "densenet",
    "EfficientNet": "efficientnet",
    "MobileNet": "mobilenet",
    "ResNet": "resnet",
    "VGG": "vgg",
}
"""How names of networks begin, and their modules."""


def _symmetric(recipe: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """The same network as PyTorch's users make it: zeros on all sides of an image, and another epsilon."""

    def changed() -> Recipe:
        found = recipe()
        sources = tuple(source._replace(name=source.name.replace("tf_", "")) for source in found.sources)
        return dataclasses.replace(found, symmetric=True, norm=_NORM, sources=sources)

    return changed


def _images() -> dict[str, Callable[[], Recipe]]:
    """For each architecture of convolutions, its recipe."""
    rows = {
        **{f"vgg{n}": _of(f"VGG{n}") for n in (16, 19)},
        **{f"resnet{n}": _of(f"ResNet{n}") for n in (18, 34)},
        **{f"resnet{n}": _of(f"ResNet{n}", version="1.5") for n in (50, 101, 152)},
        "resnext50_32x4d": _of("ResNet50", groups=32, width_per_group=4),
        "resnext101_32x4d": _of("ResNet101", groups=32, width_per_group=4),
        "resnext101_32x8d": _of("ResNet101", groups=32, width_per_group=8),
        "resnext101_64x4d": _of("ResNet101", groups=64, width_per_group=4),
        "wide_resnet50_2": _of("ResNet50", width_per_group=128),
        "wide_resnet101_2": _of("ResNet101", width_per_group=128),
        **{
            f"convnext_{size}": _of(f"ConvNeXt{name}", **_INSIDE)
            for size, name in [(n.lower(), n) for n in ("Tiny", "Small", "Base", "Large")] + [("xlarge", "XLarge")]
        },
        **{f"mobilenetv2_{round(100 * a):03}": _symmetric(_mobilenet_v2(a)) for a in (0.5, 1.0, 1.4)},
    }
    rows.update({f"densenet{n}": _symmetric(_of(f"DenseNet{n}")) for n in (121, 169, 201)})
    of_tensorflow = {f"efficientnet_b{n}": _of(f"EfficientNetB{n}", **_INSIDE) for n in range(8)}
    for kind in ("B0", "B1", "B2", "B3", "S", "M", "L"):
        of_tensorflow[f"efficientnetv2_{kind.lower()}"] = _of(f"EfficientNetV2{kind}", **_INSIDE)
    for size in ("Large", "Small"):
        title, name = f"MobileNetV3{size}", f"mobilenetv3_{size.lower()}"
        of_tensorflow[f"{name}_100"] = _of(title, **_INSIDE)
        of_tensorflow[f"{name}_075"] = _of(title, alpha=0.75, **_INSIDE)
        of_tensorflow[f"{name}_minimal_100"] = _of(title, minimal=True, **_INSIDE)
    for name, recipe in of_tensorflow.items():
        rows[f"tf_{name}"] = recipe
        if not name.startswith("efficientnetv2_b") and "minimal" not in name:
            rows[name] = _symmetric(recipe)
    return rows


_VIT = re.compile(r"(vit|deit)_(tiny|small|base|large|huge)(_distilled)?_patch(8|14|16|32)_(\d{3})")
_SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
_SIZES["huge"] = (1280, 32, 16)
"""For each size of a ViT: features, blocks and heads."""

_ARGUMENTS = ("num_classes", "in_chans", "global_pool", "img_size")
"""Keys of `model_args` that are known. All others may change the network."""


def is_config(values: Any) -> bool:
    """Whether the values of a `config.json` are timm's."""
    return isinstance(values, dict) and "architecture" in values and "model_type" not in values


def load(
    folder: str, values: Mapping[str, Any], backend: str | Backend = "numpy", dtype: str | None = None
) -> tuple[Any, Tree, Tree]:
    """The network in a folder of timm; see `kf.models.load`, which gives the values of the config.

    Raises:
        FileError: The architecture is not one of those that are here, or the config has arguments that are not known.
        ParamError: The tensors are not those of the network.
    """
    config = Config(values)
    with files.blaming(os.path.join(folder, "config.json")):
        name, arguments = config["architecture"], config.part("model_args")
        pretrained = config.part("pretrained_cfg")
        for key, value in arguments.items():
            if key not in _ARGUMENTS and value not in (None, False, 0):
                arguments.refuse(key, f"no arguments but {', '.join(_ARGUMENTS)}")
        name = name.partition(".")[0] if isinstance(name, str) else name
        vit, images = _VIT.fullmatch(str(name)), _images()
        if vit is None and name not in images:
            config.refuse("architecture", f"one of {', '.join(sorted(images))}, or vit_base_patch16_224 and its kin")
        classes = _count(config, "num_classes", arguments, pretrained, 1000)
        pool = config.get("global_pool", arguments.get("global_pool"))
        if pool not in (None, "token" if vit else "avg", ""):
            config.refuse("global_pool", '"token"' if vit else '"avg"')
        sizes = arguments.get("img_size") or (pretrained.get("input_size") or [3, 224, 224])[1:]
        sizes = [sizes, sizes] if isinstance(sizes, int) else sizes
        channels = arguments.get("in_chans") or (pretrained.get("input_size") or [3])[0]
        shape = (*sizes, channels) if isinstance(sizes, list | tuple) else ()
        if len(shape) != 3 or not all(isinstance(n, int) and 0 < n < 10_000 for n in shape):
            config.refuse("pretrained_cfg", "an input_size such as [3, 224, 224]")
        dtype = None if dtype == "auto" else dtype
        if vit is not None:
            net: Any = replace(_vit(vit, classes, shape), dtype=dtype)
    if vit is not None:
        params, state = _vit_map(net).load(Checkpoint(folder, backend), net, *net.input_specs(), backend=backend)
        return net, params, state
    recipe = images[name]()
    # Where zeros go around images depends on whether their sizes are even in some networks of TensorFlow.
    if not name.startswith(("vgg", "tf_efficientnet_", "tf_mobilenetv3_")):
        recipe, shape = dataclasses.replace(recipe, static=False), (None, None, channels)
    weights = os.path.join(folder, ONE)
    pooling = None if classes else "avg"
    model = made(recipe, classes > 0, weights, None, shape, pooling, classes or 1, None, name, "channels_last")
    net = model.net if dtype is None else replace(model.net, dtype=dtype)
    ts: Any = model.train_state
    if dtype is None:
        params, state = (tree.map(lambda x: asarray(x, backend=backend), x) for x in (ts.params, ts.state))
    else:
        declared = net.trace(*net.input_specs()).declared
        params, state = (_cast(x, declared, backend) for x in (ts.params, ts.state))
    return net, params, state


def _count(config: Config, key: str, arguments: Config, pretrained: Config, default: int) -> int:
    """A number that stands in the config, or in a part of it."""
    found = [part[key] for part in (config, arguments, pretrained) if part.get(key) is not None]
    number = found[0] if found else default
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1_000_000:
        config.refuse(key, "the number of classes")
    return number


def _cast(values: Tree, declared: Any, backend: str | Backend, path: tuple[str, ...] = ()) -> Tree:
    """The arrays in the dtypes that the network declares, on a backend."""
    if isinstance(values, dict):
        return {key: _cast(value, declared, backend, (*path, key)) for key, value in values.items()}
    return asarray(values, str(declared[path].spec.dtype), backend=backend)


# -- ViT ---------------------------------------------------------------------------------------------------------------


def _vit(found: re.Match[str], classes: int, shape: tuple[Any, ...]) -> ViT:
    """The network of a name."""
    kind, size, distilled, patch, _ = found.groups()
    if distilled and kind == "vit":
        raise FileError("The config names an architecture that timm does not have.", got=found[0])
    features, blocks, heads = _SIZES[size]
    head = "with_teacher" if distilled else "image_classification"
    return (DeiT if distilled else ViT)(
        hidden_size=features,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        intermediate_size=4 * features,
        layer_norm_eps=1e-6,
        image_size=shape[:2],
        patch_size=int(patch),
        num_channels=shape[2],
        head=head if classes else None,
        num_labels=classes or 1,
        pooler=False,
    )


def _vit_map(net: ViT) -> KeyMap:
    """Which tensor of timm's is which array of `net`."""
    theirs, ours = "blocks.{i}", "blocks_{i}"
    three = [f"{ours}/attention/{name}" for name in ("query", "key", "value")]
    tokens = zip(("cls_token", "dist_token"), net.tokens, strict=False)
    return KeyMap(
        [
            *((name, f"patches/{own}", "1 1 d -> d") for name, own in tokens),
            ("pos_embed", "patches/places", "1 n d -> n d"),
            *dense_rules("patch_embed.proj", "patches/project", "o i h w -> h w i o"),
            (f"{theirs}.attn.qkv.weight", [f"{name}/kernel" for name in three], "(s h d) i -> s i h d"),
            (f"{theirs}.attn.qkv.bias", [f"{name}/bias" for name in three], "(s h d) -> s h d"),
            (f"{theirs}.attn.proj.weight", f"{ours}/attention/attention_output/kernel", "o (h d) -> h d o"),
            (f"{theirs}.attn.proj.bias", f"{ours}/attention/attention_output/bias"),
            *dense_rules(f"{theirs}.mlp.fc1", f"{ours}/mlp/up"),
            *dense_rules(f"{theirs}.mlp.fc2", f"{ours}/mlp/down"),
            *norm_rules(f"{theirs}.norm1", f"{ours}/norm1"),
            *norm_rules(f"{theirs}.norm2", f"{ours}/norm2"),
            *norm_rules("norm", "norm"),
            *dense_rules("head", "classifiers_0"),
            *dense_rules("head_dist", "classifiers_1"),
        ]
    )
