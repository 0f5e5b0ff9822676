"""MobileNet (Howard et al., arXiv:1704.04861), v2 (Sandler et al., arXiv:1801.04381) and v3 (Howard et al.,
arXiv:1905.02244), as in `keras.applications`: depthwise convolutions, and convolutions of 1 x 1 between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .. import checks, nn
from ..model import Model
from ..nn.nodes import Node
from .vision import InputShape, Maker, Recipe, Top, Weights, correct_pad, documented, made, with_dense
from .vision_files import Pair, Source

__all__ = ["MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small"]

_ALPHA = """
        alpha: By how much the numbers of channels are multiplied."""


def rounded(channels: float) -> int:
    """The nearest multiple of 8, and at least 90 % of `channels`."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found if found >= 0.9 * channels else found + 8


def _depthwise(m: Maker, x: Node, kernel_size: int, strides: int, name: str, pad: str, around: Any = None, **options):
    """A depthwise convolution. Before one that halves the image, zeros go around it."""
    if strides == 2:
        x = m.pad(x, around or correct_pad(m, x, kernel_size), pad)
    padding = "same" if strides == 1 else "valid"
    return m(nn.DepthwiseConv2D, x, kernel_size, strides, padding, use_bias=False, name=name, **options)


def _relu6(m: Maker, x: Node, name: str) -> Node:
    return m(nn.ReLU, x, 6.0, name=name)


def _named(net: str, alpha: float, size: int | None) -> str:
    return f"{net}_{alpha:0.2f}_{size}".replace(".", "_")


def _size(input_shape: Any, input_tensor: Any, include_top: bool, data_format: str) -> int | None:
    """The height of the images, which stands in the name of the model."""
    shape = input_shape if input_tensor is None else getattr(input_tensor, "shape", (None,))[1:]
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        return 224 if include_top else None
    return shape[1 if data_format == "channels_first" else 0]


# -- v1 ----------------------------------------------------------------------------------------------------------------

_STEPS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""The channels and the strides of the blocks."""


def _body_v1(m: Maker, x: Node, alpha: float, depth_multiplier: int) -> Node:
    x = m.conv(x, int(32 * alpha), 3, 2, name="conv1")
    x = _relu6(m, m.norm(x, "conv1_bn"), "conv1_relu")
    for i, (channels, strides) in enumerate(_STEPS, 1):
        pad, around = f"conv_pad_{i}", ((0, 1), (0, 1))
        x = _depthwise(m, x, 3, strides, f"conv_dw_{i}", pad, around, depth_multiplier=depth_multiplier)
        x = _relu6(m, m.norm(x, f"conv_dw_{i}_bn"), f"conv_dw_{i}_relu")
        x = m.conv(x, int(channels * alpha), 1, name=f"conv_pw_{i}")
        x = _relu6(m, m.norm(x, f"conv_pw_{i}_bn"), f"conv_pw_{i}_relu")
    return x


def _top_v1(dropout: float) -> Top:
    def top(m: Maker, x: Node, classes: int, activation: Any) -> Node:
        x = m(nn.GlobalAveragePooling2D, x, keepdims=True)
        x = m(nn.Dropout, x, dropout, name="dropout")
        x = m.conv(x, classes, 1, use_bias=True, name="conv_preds")
        return m.activation(m(nn.Reshape, x, (classes,), name="reshape_2"), activation, "predictions")

    return top


def _recipe_v1(alpha: float = 1.0, depth_multiplier: int = 1, dropout: float = 0.001) -> Recipe:
    return Recipe(lambda m, x: _body_v1(m, x, alpha, depth_multiplier), _top_v1(dropout), pooled=False)


def MobileNet(
    input_shape: InputShape = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 0.001,
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: Node | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
    *,
    data_format: str = "channels_last",
) -> Model:
    """MobileNet, for images that `preprocess_input` scaled to -1 to 1."""
    checks.number("alpha", alpha, above=0)
    checks.positive("depth_multiplier", depth_multiplier)
    name = name or _named("mobilenet", alpha, _size(input_shape, input_tensor, include_top, data_format))
    recipe = _recipe_v1(alpha, depth_multiplier, dropout)
    ends = (input_tensor, input_shape, pooling, classes, classifier_activation, name, data_format)
    return made(recipe, include_top, weights, *ends)


# -- v2 ----------------------------------------------------------------------------------------------------------------

_BLOCKS = ((16, 1, 1), (24, 2, 2), (32, 2, 3), (64, 2, 4), (96, 1, 3), (160, 2, 3), (320, 1, 1))
"""The channels, the strides of the first block, and how many blocks there are."""


def _body_v2(m: Maker, x: Node, alpha: float) -> Node:
    x = m.conv(x, rounded(32 * alpha), 3, 2, name="Conv1")
    x = _relu6(m, m.norm(x, "bn_Conv1"), "Conv1_relu")
    steps = [(n, strides if i == 0 else 1) for n, strides, depth in _BLOCKS for i in range(depth)]
    for i, (channels, strides) in enumerate(steps):
        before, prefix = x, f"block_{i}" if i else "expanded_conv"
        if i:
            x = m.conv(x, 6 * m.channels(x), 1, name=f"{prefix}_expand")
            x = _relu6(m, m.norm(x, f"{prefix}_expand_BN"), f"{prefix}_expand_relu")
        x = _depthwise(m, x, 3, strides, f"{prefix}_depthwise", f"{prefix}_pad")
        x = _relu6(m, m.norm(x, f"{prefix}_depthwise_BN"), f"{prefix}_depthwise_relu")
        channels = rounded(int(channels * alpha))
        x = m.norm(m.conv(x, channels, 1, name=f"{prefix}_project"), f"{prefix}_project_BN")
        if strides == 1 and m.channels(before) == channels:
            x = m.add([before, x], f"{prefix}_add")
    x = m.conv(x, rounded(1280 * alpha) if alpha > 1 else 1280, 1, padding="valid", name="Conv_1")
    return _relu6(m, m.norm(x, "Conv_1_bn"), "out_relu")


_MOMENTUM = {"momentum": 0.999}


def _recipe_v2(alpha: float = 1.0) -> Recipe:
    return Recipe(lambda m, x: _body_v2(m, x, alpha), with_dense(None), pooled=False, norm=_MOMENTUM)


def MobileNetV2(
    input_shape: InputShape = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: Node | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
    *,
    data_format: str = "channels_last",
) -> Model:
    """MobileNet v2, for images that `preprocess_input` scaled to -1 to 1."""
    checks.number("alpha", alpha, above=0)
    name = name or _named("mobilenetv2", alpha, _size(input_shape, input_tensor, include_top, data_format))
    ends = (input_tensor, input_shape, pooling, classes, classifier_activation, name, data_format)
    return made(_recipe_v2(alpha), include_top, weights, *ends)


# -- v3 ----------------------------------------------------------------------------------------------------------------


def _relu(m: Maker, x: Node) -> Node:
    return m(nn.ReLU, x)


def _hard_swish(m: Maker, x: Node) -> Node:
    return m.activation(x, "hard_swish")


Activate = Callable[[Maker, Node], Node]
Block = tuple[float, int, int, int, bool, bool]
_SMALL: tuple[Block, ...] = (
    (1, 16, 3, 2, True, False),
    (72 / 16, 24, 3, 2, False, False),
    (88 / 24, 24, 3, 1, False, False),
    (4, 40, 5, 2, True, True),
    *[(6, 40, 5, 1, True, True)] * 2,
    *[(3, 48, 5, 1, True, True)] * 2,
    (6, 96, 5, 2, True, True),
    *[(6, 96, 5, 1, True, True)] * 2,
)
_LARGE: tuple[Block, ...] = (
    (1, 16, 3, 1, False, False),
    (4, 24, 3, 2, False, False),
    (3, 24, 3, 1, False, False),
    (3, 40, 5, 2, True, False),
    *[(3, 40, 5, 1, True, False)] * 2,
    (6, 80, 3, 2, False, True),
    (2.5, 80, 3, 1, False, True),
    *[(2.3, 80, 3, 1, False, True)] * 2,
    *[(6, 112, 3, 1, True, True)] * 2,
    (6, 160, 5, 2, True, True),
    *[(6, 160, 5, 1, True, True)] * 2,
)
"""For each block: expansion, channels, kernel size, strides, whether channels are weighted, whether it has hard swish.

A minimalistic network has a kernel size of 3, no weights of channels, and no hard swish.
"""


def _weighted(m: Maker, x: Node, prefix: str) -> Node:
    """The image, with each channel multiplied by a weight from 0 to 1 that depends on the means of all channels."""
    name, channels = f"{prefix}squeeze_excite", m.channels(x)
    y = m(nn.GlobalAveragePooling2D, x, keepdims=True, name=f"{name}_avg_pool")
    y = m.conv(y, rounded(channels * 0.25), 1, use_bias=True, name=f"{name}_conv")
    y = m(nn.ReLU, y, name=f"{name}_relu")
    y = m.conv(y, channels, 1, use_bias=True, name=f"{name}_conv_1")
    y = m(nn.ReLU, y + 3.0, 6.0) * (1.0 / 6.0)
    return m(nn.Multiply, [x, y], name=f"{name}_mul")


def _body_v3(m: Maker, x: Node, blocks: tuple[Block, ...], alpha: float, minimal: bool, rescales: bool) -> Node:
    last = _relu if minimal else _hard_swish
    if rescales:
        x = m(nn.Rescaling, x, 1 / 127.5, -1.0)
    x = last(m, m.norm(m.conv(x, 16, 3, 2, name="conv"), "conv_bn"))
    for i, (expansion, channels, size, strides, weighted, swish) in enumerate(blocks):
        activate = last if swish else _relu
        before, prefix = x, f"expanded_conv_{i}_" if i else "expanded_conv_"
        size = 3 if minimal else size
        if i:
            x = m.conv(x, rounded(m.channels(x) * expansion), 1, name=f"{prefix}expand")
            x = activate(m, m.norm(x, f"{prefix}expand_bn"))
        x = _depthwise(m, x, size, strides, f"{prefix}depthwise", f"{prefix}depthwise_pad")
        x = activate(m, m.norm(x, f"{prefix}depthwise_bn"))
        if weighted and not minimal:
            x = _weighted(m, x, prefix)
        channels = rounded(channels * alpha)
        x = m.norm(m.conv(x, channels, 1, name=f"{prefix}project"), f"{prefix}project_bn")
        if strides == 1 and m.channels(before) == channels:
            x = m.add([before, x], f"{prefix}add")
    return last(m, m.norm(m.conv(x, rounded(6 * m.channels(x)), 1, name="conv_1"), "conv_1_bn"))


def _top_v3(channels: int, activate: Activate, dropout: float) -> Top:
    def top(m: Maker, x: Node, classes: int, activation: Any) -> Node:
        x = m(nn.GlobalAveragePooling2D, x, keepdims=True)
        x = activate(m, m.conv(x, channels, 1, use_bias=True, name="conv_2"))
        if dropout > 0:
            x = m(nn.Dropout, x, dropout)
        x = m.conv(x, classes, 1, use_bias=True, name="logits")
        return m.activation(m(nn.Flatten, x), activation, "predictions")

    return top


def _pairs_v3(blocks: tuple[Block, ...], minimal: bool) -> Callable[[nn.Graph], Iterator[Pair]]:
    def pairs(net: nn.Graph) -> Iterator[Pair]:
        yield from [("conv_stem", "conv"), ("bn1", "conv_bn"), ("conv_head", "conv_2")]
        yield "classifier", "logits", "o i -> 1 1 i o"
        stage, number = -1, 0
        for i, (_, channels, _, strides, weighted, _) in enumerate(blocks):
            new = i == 0 or strides == 2 or channels != blocks[i - 1][1]
            stage, number = (stage + 1, 0) if new else (stage, number + 1)
            theirs, ours = f"blocks.{stage}.{number}", f"expanded_conv_{i}_" if i else "expanded_conv_"
            convolutions = [("conv_pw", "expand"), ("conv_dw", "depthwise"), ("conv_pwl", "project")]
            if i == 0:
                convolutions = [("conv_dw", "depthwise"), ("conv_pw", "project")]
            for n, (name, our) in enumerate(convolutions, 1):
                yield from [(f"{theirs}.{name}", f"{ours}{our}"), (f"{theirs}.bn{n}", f"{ours}{our}_bn")]
            if weighted and not minimal:
                yield f"{theirs}.se.conv_reduce", f"{ours}squeeze_excite_conv"
                yield f"{theirs}.se.conv_expand", f"{ours}squeeze_excite_conv_1"
        yield from [(f"blocks.{stage + 1}.0.conv", "conv_1"), (f"blocks.{stage + 1}.0.bn1", "conv_1_bn")]

    return pairs


class ConstructorV3(Protocol):
    """A function that makes a MobileNet v3."""

    __name__: str

    def __call__(
        self,
        input_shape: InputShape = None,
        alpha: float = 1.0,
        minimalistic: bool = False,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        classes: int = 1000,
        pooling: str | None = None,
        dropout_rate: float = 0.2,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str = ...,
        *,
        data_format: str = "channels_last",
    ) -> Model: ...


def _v3(title: str, blocks: tuple[Block, ...], channels: int) -> ConstructorV3:
    def recipe(alpha: float = 1.0, minimal: bool = False, dropout: float = 0.2, rescales: bool = True) -> Recipe:
        last = rounded(channels * alpha) if alpha > 1 else channels
        size = title.removeprefix("MobileNetV3").lower()
        theirs = f"timm's tf_mobilenetv3_{size}{'_minimal' * minimal}_{round(100 * alpha):03}"
        return Recipe(
            lambda m, x: _body_v3(m, x, blocks, alpha, minimal, rescales),
            _top_v3(last, _relu if minimal else _hard_swish, dropout),
            static=False,
            norm=_MOMENTUM,
            sources=(Source(theirs, _pairs_v3(blocks, minimal)),),
        )

    def construct(
        input_shape: InputShape = None,
        alpha: float = 1.0,
        minimalistic: bool = False,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        classes: int = 1000,
        pooling: str | None = None,
        dropout_rate: float = 0.2,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str = title,
        *,
        data_format: str = "channels_last",
    ) -> Model:
        checks.number("alpha", alpha, above=0)
        checks.boolean("minimalistic", minimalistic)
        checks.boolean("include_preprocessing", include_preprocessing)
        this = recipe(alpha, minimalistic, checks.probability("dropout_rate", dropout_rate), include_preprocessing)
        ends = (input_tensor, input_shape, pooling, classes, classifier_activation, name, data_format)
        return made(this, include_top, weights, *ends)

    text = f"MobileNet v3, {title.removeprefix('MobileNetV3').lower()}, for pixels from 0 to 255."
    more = f"""{_ALPHA}
        minimalistic: Whether the network has only what any device does fast: no weights of channels, no hard swish, and
            no kernels of 5 x 5.
        dropout_rate: The rate of the dropout before the classes.
        include_preprocessing: Whether the network scales the pixels to -1 to 1 itself."""
    found: ConstructorV3 = documented(construct, title, text, recipe, more)
    return found


MobileNetV3Small = _v3("MobileNetV3Small", _SMALL, 1024)
MobileNetV3Large = _v3("MobileNetV3Large", _LARGE, 1280)

_MULTIPLIER = """
        depth_multiplier: How many channels a depthwise convolution makes of one.
        dropout: The rate of the dropout before the classes."""
documented(MobileNet, "MobileNet", str(MobileNet.__doc__), _recipe_v1, _ALPHA + _MULTIPLIER)
documented(MobileNetV2, "MobileNetV2", str(MobileNetV2.__doc__), _recipe_v2, _ALPHA)
