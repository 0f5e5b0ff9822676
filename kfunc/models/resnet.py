"""ResNet (He et al., arXiv:1512.03385) and ResNet v2 (He et al., arXiv:1603.05027).

`keras.applications` has version 1, which halves images in the first convolution of a block, of 1 x 1. torchvision and
timm have version 1.5, which halves them in the convolution of 3 x 3, has no biases in its convolutions, and has
another epsilon; ResNeXt (Xie et al., arXiv:1611.05431) and Wide ResNet (Zagoruyko, Komodakis, arXiv:1605.07146) are
such networks, too. Weights of one version are not weights of the other.

v2 halves images in the last block of a stage, as in `keras.applications`. timm does so in the first one, so its weights
do not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from .. import checks, nn
from ..errors import ArgumentError
from ..model import Model
from ..nn.initializers import VarianceScaling
from ..nn.nodes import Node
from .vision import Constructor, InputShape, Maker, Recipe, Weights, documented, made, standard, with_dense
from .vision_files import Pair, Source

__all__ = [
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet50V2",
    "ResNet101",
    "ResNet101V2",
    "ResNet152",
    "ResNet152V2",
]


class Step(NamedTuple):
    """A convolution of a block."""

    filters: int
    kernel_size: int
    strides: int = 1
    groups: int = 1


Steps = Callable[[int, int], list[Step]]
"""The convolutions of a block of v1, for the filters of its stage and the strides by which it makes the image smaller.
"""


def _keras(filters: int, strides: int) -> list[Step]:
    """Version 1."""
    return [Step(filters, 1, strides), Step(filters, 3), Step(4 * filters, 1)]


def _basic(filters: int, strides: int) -> list[Step]:
    """The short blocks of ResNet 18 and 34."""
    return [Step(filters, 3, strides), Step(filters, 3)]


def _bottleneck(groups: int, width_per_group: int) -> Steps:
    """Version 1.5."""

    def steps(filters: int, strides: int) -> list[Step]:
        width = groups * (filters * width_per_group // 64)
        return [Step(width, 1), Step(width, 3, strides, groups), Step(4 * filters, 1)]

    return steps


def _block(m: Maker, x: Node, steps: list[Step], options: Mapping[str, Any], name: str) -> Node:
    """A block of v1: convolutions, to which the input is added. `options` are those of each convolution."""
    shortcut, strides = x, max(step.strides for step in steps)
    if strides > 1 or m.channels(x) != steps[-1].filters:
        shortcut = m.conv(x, steps[-1].filters, 1, strides, "valid", name=f"{name}_0_conv", **options)
        shortcut = m.norm(shortcut, f"{name}_0_bn")
    for i, step in enumerate(steps, 1):
        padding = "same" if step.kernel_size == 3 else "valid"
        if step.kernel_size == 3 and step.strides > 1:  # "same" would put the zeros below and to the right alone
            x, padding = m.pad(x, 1, f"{name}_{i}_pad"), "valid"
        more = {**options, "groups": step.groups}
        x = m.conv(x, step.filters, step.kernel_size, step.strides, padding, name=f"{name}_{i}_conv", **more)
        x = m.norm(x, f"{name}_{i}_bn")
        if i < len(steps):
            x = m.activation(x, name=f"{name}_{i}_relu")
    return m.activation(m.add([shortcut, x], f"{name}_add"), name=f"{name}_out")


def _block_v2(m: Maker, x: Node, filters: int, strides: int, first: bool, name: str) -> Node:
    """A block of v2: it begins with the normalization, and ends with the sum."""
    shortcut, x = x, m.activation(m.norm(x, f"{name}_preact_bn"), name=f"{name}_preact_relu")
    if first:
        shortcut = m.conv(x, 4 * filters, 1, strides, "valid", use_bias=True, name=f"{name}_0_conv")
    elif strides > 1:
        shortcut = m(nn.MaxPooling2D, shortcut, 1, strides=strides)
    x = m.conv(x, filters, 1, name=f"{name}_1_conv", padding="valid")
    x = m.activation(m.norm(x, f"{name}_1_bn"), name=f"{name}_1_relu")
    x = m.conv(m.pad(x, 1, f"{name}_2_pad"), filters, 3, strides, "valid", name=f"{name}_2_conv")
    x = m.activation(m.norm(x, f"{name}_2_bn"), name=f"{name}_2_relu")
    x = m.conv(x, 4 * filters, 1, padding="valid", use_bias=True, name=f"{name}_3_conv")
    return m.add([shortcut, x], f"{name}_out")


def _body(depths: tuple[int, ...], steps: Steps, options: Mapping[str, Any]) -> Callable[[Maker, Node], Node]:
    """From images to features, in v1."""

    def body(m: Maker, x: Node) -> Node:
        x = m.conv(m.pad(x, 3, "conv1_pad"), 64, 7, 2, "valid", name="conv1_conv", **options)
        x = m.activation(m.norm(x, "conv1_bn"), name="conv1_relu")
        x = m(nn.MaxPooling2D, m.pad(x, 1, "pool1_pad"), 3, strides=2, name="pool1_pool")
        for stage, depth in enumerate(depths):
            for i in range(depth):
                strides = 2 if i == 0 and stage > 0 else 1
                x = _block(m, x, steps(64 * 2**stage, strides), options, f"conv{stage + 2}_block{i + 1}")
        return x

    return body


def _body_v2(depths: tuple[int, ...]) -> Callable[[Maker, Node], Node]:
    def body(m: Maker, x: Node) -> Node:
        x = m.conv(m.pad(x, 3, "conv1_pad"), 64, 7, 2, "valid", use_bias=True, name="conv1_conv")
        x = m(nn.MaxPooling2D, m.pad(x, 1, "pool1_pad"), 3, strides=2, name="pool1_pool")
        for stage, depth in enumerate(depths):
            for i in range(depth):
                strides = 2 if i == depth - 1 and stage < 3 else 1
                x = _block_v2(m, x, 64 * 2**stage, strides, i == 0, f"conv{stage + 2}_block{i + 1}")
        return m.activation(m.norm(x, "post_bn"), name="post_relu")

    return body


# -- version 1.5 -------------------------------------------------------------------------------------------------------

_OPTIONS_1_5 = {"kernel_initializer": VarianceScaling(2.0, "fan_out", "untruncated_normal")}
_NORM_1_5 = {"epsilon": 1e-5, "momentum": 0.9}


def _pairs(depths: tuple[int, ...]) -> Callable[[nn.Graph], Iterator[Pair]]:
    def pairs(net: nn.Graph) -> Iterator[Pair]:
        there = {name for name, _ in net.children()}
        yield from [("conv1", "conv1_conv"), ("bn1", "conv1_bn"), ("fc", "predictions")]
        for stage, depth in enumerate(depths, 1):
            for i in range(depth):
                theirs, ours = f"layer{stage}.{i}", f"conv{stage + 1}_block{i + 1}"
                modules = [("downsample.0", "downsample.1"), *((f"conv{n}", f"bn{n}") for n in (1, 2, 3))]
                for n, (conv, norm) in enumerate(modules):
                    if f"{ours}_{n}_conv" in there:
                        yield from [(f"{theirs}.{conv}", f"{ours}_{n}_conv"), (f"{theirs}.{norm}", f"{ours}_{n}_bn")]

    return pairs


def _recipe_1_5(name: str, depths: tuple[int, ...], steps: Steps) -> Recipe:
    source = Source(f"torchvision's and timm's {name}", _pairs(depths))
    return Recipe(_body(depths, steps, _OPTIONS_1_5), with_dense(), norm=_NORM_1_5, sources=(source,))


def _resnet_basic(title: str, depths: tuple[int, ...]) -> Constructor:
    text = f'ResNet of {2 * sum(depths) + 2} layers, for images that `preprocess_input` scaled and centred by "torch".'
    return standard(title, title.lower(), text, _recipe_1_5(title.lower(), depths, _basic))


# -- both versions -----------------------------------------------------------------------------------------------------


class ConstructorResNet(Protocol):
    """A function that makes a ResNet of version 1 or 1.5."""

    __name__: str

    def __call__(
        self,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        input_shape: InputShape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = ...,
        *,
        data_format: str = "channels_last",
        version: str | None = None,
        groups: int = 1,
        width_per_group: int = 64,
    ) -> Model: ...


_MORE = """
        version: "1", that of Keras, or "1.5", that of torchvision and timm. None is the one that the file has, and "1"
            without a file.
        groups: The groups of the convolutions of 3 x 3. Others than 1 need version 1.5: 32, with a width of 4, is
            ResNeXt.
        width_per_group: How many channels each group has in the first stage. Others than 64 need version 1.5: 128 is
            Wide ResNet."""


def _resnet(title: str, depths: tuple[int, ...]) -> ConstructorResNet:
    called = title.lower()
    body, norm = _body(depths, _keras, {"use_bias": True}), {"epsilon": 1.001e-5}
    wider = {"resnet50": "resnext50_32x4d or wide_resnet50_2", "resnet101": "resnext101_64x4d or wide_resnet101_2"}

    def recipe(version: str | None = None, groups: int = 1, width_per_group: int = 64) -> Recipe:
        usual = (groups, width_per_group) == (1, 64)
        found = _recipe_1_5(
            called if usual else wider.get(called, called), depths, _bottleneck(groups, width_per_group)
        )
        if version == "1.5" or not usual:
            return found
        changes = {"body": found.body, "norm": found.norm}
        sources = () if version == "1" else (found.sources[0]._replace(changes=changes),)
        return Recipe(body, with_dense(), norm=norm, sources=sources)

    def construct(
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        input_shape: InputShape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = called,
        *,
        data_format: str = "channels_last",
        version: str | None = None,
        groups: int = 1,
        width_per_group: int = 64,
    ) -> Model:
        checks.one_of("version", version, (None, "1", "1.5"))
        checks.positive("groups", groups)
        checks.positive("width_per_group", width_per_group)
        if version == "1" and (groups, width_per_group) != (1, 64):
            raise ArgumentError(
                f'`groups` and `width_per_group` are {groups} and {width_per_group}, and `version` is "1".',
                argument="version",
                expected='"1.5"',
                got='"1"',
            )
        ends = (input_tensor, input_shape, pooling, classes, classifier_activation, name, data_format)
        return made(recipe(version, groups, width_per_group), include_top, weights, *ends)

    text = (
        f"ResNet of {3 * sum(depths) + 2} layers, for images that `preprocess_input` turned to BGR and\n"
        '    centred; in version 1.5 for those that it scaled with mode="torch".'
    )
    found: ConstructorResNet = documented(construct, title, text, recipe, _MORE)
    return found


def _resnet_v2(title: str, depths: tuple[int, ...]) -> Constructor:
    text = f"ResNet v2 of {3 * sum(depths) + 2} layers, for images that `preprocess_input` scaled to -1 to 1."
    return standard(title, title.lower(), text, Recipe(_body_v2(depths), with_dense(), norm={"epsilon": 1.001e-5}))


ResNet18 = _resnet_basic("ResNet18", (2, 2, 2, 2))
ResNet34 = _resnet_basic("ResNet34", (3, 4, 6, 3))
ResNet50 = _resnet("ResNet50", (3, 4, 6, 3))
ResNet101 = _resnet("ResNet101", (3, 4, 23, 3))
ResNet152 = _resnet("ResNet152", (3, 8, 36, 3))
ResNet50V2 = _resnet_v2("ResNet50V2", (3, 4, 6, 3))
ResNet101V2 = _resnet_v2("ResNet101V2", (3, 4, 23, 3))
ResNet152V2 = _resnet_v2("ResNet152V2", (3, 8, 36, 3))
