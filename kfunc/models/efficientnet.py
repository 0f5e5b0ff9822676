"""EfficientNet (Tan, Le, arXiv:1905.11946) and EfficientNet v2 (Tan, Le, arXiv:2104.00298), as in `keras.applications`.

All take pixels from 0 to 255, and scale them themselves. timm has the same networks with "tf_" before their names. Its
others, and torchvision's, put zeros on all sides of an image; `kf.models.load` reads folders with timm's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from .. import checks, nn
from ..arrays import asarray, to_numpy
from ..model import Model
from ..nn.initializers import VarianceScaling
from ..nn.nodes import Node
from .mobilenet import rounded
from .vision import Constructor, InputShape, Maker, Recipe, Weights, correct_pad, documented, made, standard, with_dense
from .vision_files import Pair, Source

__all__ = [
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
]

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_VARIANCE = tuple(x**2 for x in _DEVIATION)
_KERNEL = VarianceScaling(2.0, "fan_out", "truncated_normal")
_DROPPED = 0.2
"""The rate at which the last block is passed over in training. Those before it have less, in equal steps."""


class Stage(NamedTuple):
    """Blocks of one kind.

    Attributes:
        depth: How many there are.
        channels: What each returns.
        kernel_size: The size of the kernel.
        strides: The strides of the first block.
        expansion: By how much the channels are multiplied inside.
        fused: Whether one convolution stands for the expansion and the depthwise one; such blocks have no weights of
            channels.
    """

    depth: int
    channels: int
    kernel_size: int
    strides: int
    expansion: int
    fused: bool = False


def _conv(m: Maker, x: Node, filters: int, size: int, strides: int = 1, name: str = "", **options: Any) -> Node:
    return m.conv(x, filters, size, strides, kernel_initializer=_KERNEL, name=name, **options)


def _active(m: Maker, x: Node, name: str, activation: str | None = None) -> Node:
    """A normalization and an activation."""
    return m.activation(m.norm(x, f"{name}bn"), "silu", activation or f"{name}activation")


def _weighted(m: Maker, x: Node, filters: int, name: str) -> Node:
    """The image, with each channel multiplied by a weight from 0 to 1 that depends on the means of all channels."""
    channels = m.channels(x)
    y = m(nn.GlobalAveragePooling2D, x, name=f"{name}se_squeeze")
    shape = (channels, 1, 1) if m.channels_first else (1, 1, channels)
    y = m(nn.Reshape, y, shape, name=f"{name}se_reshape")
    y = _conv(m, y, filters, 1, name=f"{name}se_reduce", activation="silu", use_bias=True)
    y = _conv(m, y, channels, 1, name=f"{name}se_expand", activation="sigmoid", use_bias=True)
    return m(nn.Multiply, [x, y], name=f"{name}se_excite")


def _block(m: Maker, x: Node, stage: Stage, strides: int, rate: float, name: str, v2: bool) -> Node:
    before, channels = x, m.channels(x)
    if stage.expansion != 1:
        size, step = (stage.kernel_size, strides) if stage.fused else (1, 1)
        x = _conv(m, x, channels * stage.expansion, size, step, f"{name}expand_conv")
        x = _active(m, x, f"{name}expand_")
    if not stage.fused:
        padding = "same"
        if strides == 2 and (m.symmetric or not v2):
            x, padding = m.pad(x, correct_pad(m, x, stage.kernel_size), f"{name}dwconv_pad"), "valid"
        options: dict[str, Any] = {"use_bias": False, "depthwise_initializer": _KERNEL}
        x = _active(
            m,
            m(nn.DepthwiseConv2D, x, stage.kernel_size, strides, padding, name=f"{name}dwconv{'2' * v2}", **options),
            name,
        )
        x = _weighted(m, x, max(1, channels // 4), name)
    whole = stage.fused and stage.expansion == 1
    size, step = (stage.kernel_size, strides) if whole else (1, 1)
    x = m.norm(_conv(m, x, stage.channels, size, step, f"{name}project_conv"), f"{name}project_bn")
    if whole:
        x = m.activation(x, "silu", f"{name}project_activation")
    if strides == 1 and channels == stage.channels:
        if rate > 0:
            x = m(nn.Dropout, x, rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")
        x = m.add([x, before], f"{name}add")
    return x


def _blocks(m: Maker, x: Node, stages: list[Stage], total: float, v2: bool) -> Node:
    """All blocks.

    Args:
        total: The number of blocks by which the rates of dropouts grow.
    """
    number = 0
    for i, stage in enumerate(stages, 1):
        for j in range(stage.depth):
            name = f"block{i}{chr(ord('a') + j)}_"
            x = _block(m, x, stage, stage.strides if j == 0 else 1, _DROPPED * number / total, name, v2)
            number += 1
    return x


def _pairs(stages: list[Stage], v2: bool) -> Callable[[nn.Graph], Iterator[Pair]]:
    def pairs(net: nn.Graph) -> Iterator[Pair]:
        yield from [("conv_stem", "stem_conv"), ("bn1", "stem_bn"), ("conv_head", "top_conv"), ("bn2", "top_bn")]
        yield "classifier", "predictions"
        for i, stage in enumerate(stages):
            for j in range(stage.depth):
                theirs, ours = f"blocks.{i}.{j}", f"block{i + 1}{chr(ord('a') + j)}_"
                project, depthwise = ("project_conv", "project_bn"), (f"dwconv{'2' * v2}", "bn")
                expands = stage.expansion != 1
                convolutions = [("conv_pwl" if expands else "conv" if stage.fused else "conv_pw", *project)]
                if not stage.fused:
                    convolutions.insert(0, ("conv_dw", *depthwise))
                    yield f"{theirs}.se.conv_reduce", f"{ours}se_reduce"
                    yield f"{theirs}.se.conv_expand", f"{ours}se_expand"
                if expands:
                    convolutions.insert(0, ("conv_exp" if stage.fused else "conv_pw", "expand_conv", "expand_bn"))
                for n, (module, conv, norm) in enumerate(convolutions, 1):
                    yield from [(f"{theirs}.{module}", ours + conv), (f"{theirs}.bn{n}", ours + norm)]

    return pairs


_TOP = VarianceScaling(1 / 3, "fan_out", "uniform")

# -- v1 ----------------------------------------------------------------------------------------------------------------

_STAGES = (
    Stage(1, 16, 3, 1, 1),
    Stage(2, 24, 3, 2, 6),
    Stage(2, 40, 5, 2, 6),
    Stage(3, 80, 3, 2, 6),
    Stage(3, 112, 5, 1, 6),
    Stage(4, 192, 5, 2, 6),
    Stage(1, 320, 3, 1, 6),
)
"""Those of B0. The others multiply the depths and the channels."""


def _body(stages: list[Stage], stem: int, top: int, rescales: bool) -> Callable[[Maker, Node], Node]:
    def body(m: Maker, x: Node) -> Node:
        if rescales:
            x = m(nn.Normalization, m(nn.Rescaling, x, 1 / 255), axis=m.axis)
        x = m.pad(x, correct_pad(m, x, 3), "stem_conv_pad")
        x = _active(m, _conv(m, x, stem, 3, 2, "stem_conv", padding="valid"), "stem_")
        x = _blocks(m, x, stages, sum(stage.depth for stage in stages), False)
        return _active(m, _conv(m, x, top, 1, name="top_conv"), "top_")

    return body


def _squared(state: Any) -> None:
    """Make variances of the standard deviations that stand in their place in Keras's own files.

    For `weights="imagenet"`, Keras adds a layer that divides by the roots of these numbers once more. Without that, the
    images would be scaled wrongly.
    """
    values = state["normalization"]
    if all(math.isclose(x, y, rel_tol=1e-3) for x, y in zip(to_numpy(values["variance"]), _DEVIATION, strict=False)):
        values["variance"] = asarray(_VARIANCE, "float32")


def _efficientnet(number: int, width: float, depth: float, size: int, dropout: float) -> Constructor:
    title = f"EfficientNetB{number}"
    stages = [x._replace(depth=math.ceil(depth * x.depth), channels=rounded(width * x.channels)) for x in _STAGES]
    state = {"normalization/mean": _MEAN, "normalization/variance": _VARIANCE, "normalization/count": 0}

    def recipe(rescales: bool = True) -> Recipe:
        source = Source(f"timm's tf_efficientnet_b{number}", _pairs(stages, False), state=state if rescales else {})
        return Recipe(
            _body(stages, rounded(width * 32), rounded(width * 1280), rescales),
            with_dense(dropout=dropout, kernel_initializer=_TOP),
            size,
            sources=(source,),
            mended=_squared,
        )

    found = standard(title, title.lower(), f"EfficientNet B{number}, for pixels from 0 to 255.", recipe())
    found.recipe = recipe  # type: ignore[attr-defined]
    return found


EfficientNetB0 = _efficientnet(0, 1.0, 1.0, 224, 0.2)
EfficientNetB1 = _efficientnet(1, 1.0, 1.1, 240, 0.2)
EfficientNetB2 = _efficientnet(2, 1.1, 1.2, 260, 0.3)
EfficientNetB3 = _efficientnet(3, 1.2, 1.4, 300, 0.3)
EfficientNetB4 = _efficientnet(4, 1.4, 1.8, 380, 0.4)
EfficientNetB5 = _efficientnet(5, 1.6, 2.2, 456, 0.4)
EfficientNetB6 = _efficientnet(6, 1.8, 2.6, 528, 0.5)
EfficientNetB7 = _efficientnet(7, 2.0, 3.1, 600, 0.5)

# -- v2 ----------------------------------------------------------------------------------------------------------------

_STAGES_V2 = {
    "B": (
        Stage(1, 16, 3, 1, 1, True),
        Stage(2, 32, 3, 2, 4, True),
        Stage(2, 48, 3, 2, 4, True),
        Stage(3, 96, 3, 2, 4),
        Stage(5, 112, 3, 1, 6),
        Stage(8, 192, 3, 2, 6),
    ),
    "S": (
        Stage(2, 24, 3, 1, 1, True),
        Stage(4, 48, 3, 2, 4, True),
        Stage(4, 64, 3, 2, 4, True),
        Stage(6, 128, 3, 2, 4),
        Stage(9, 160, 3, 1, 6),
        Stage(15, 256, 3, 2, 6),
    ),
    "M": (
        Stage(3, 24, 3, 1, 1, True),
        Stage(5, 48, 3, 2, 4, True),
        Stage(5, 80, 3, 2, 4, True),
        Stage(7, 160, 3, 2, 4),
        Stage(14, 176, 3, 1, 6),
        Stage(18, 304, 3, 2, 6),
        Stage(5, 512, 3, 1, 6),
    ),
    "L": (
        Stage(4, 32, 3, 1, 1, True),
        Stage(7, 64, 3, 2, 4, True),
        Stage(7, 96, 3, 2, 4, True),
        Stage(10, 192, 3, 2, 4),
        Stage(19, 224, 3, 1, 6),
        Stage(25, 384, 3, 2, 6),
        Stage(7, 640, 3, 1, 6),
    ),
}
"""Those of S, M and L, and of B0, whose depths and channels the others with a B multiply."""


def _rounded_v2(channels: float) -> int:
    """The nearest multiple of 8."""
    return max(8, int(channels + 4) // 8 * 8)


class ConstructorV2(Protocol):
    """A function that makes an EfficientNet v2."""

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
        include_preprocessing: bool = True,
        name: str = ...,
        *,
        data_format: str = "channels_last",
    ) -> Model: ...


def _efficientnet_v2(title: str, size: int, stem: int, width: float = 1.0, depth: float = 1.0) -> ConstructorV2:
    kind = title.removeprefix("EfficientNetV2")
    rows = _STAGES_V2[kind[0]]
    stages = [x._replace(depth=math.ceil(depth * x.depth), channels=_rounded_v2(width * x.channels)) for x in rows]
    total = sum(x.depth for x in rows)

    def recipe(rescales: bool = True) -> Recipe:
        def body(m: Maker, x: Node) -> Node:
            if rescales and kind[0] == "B" and m.channels(x) == 3:
                x = m(nn.Rescaling, x, 1 / 255)
                x = m(nn.Normalization, x, axis=m.axis, mean=_MEAN, variance=_VARIANCE)
            elif rescales:
                x = m(nn.Rescaling, x, 1 / 128, -1.0)
            x = _active(m, _conv(m, x, _rounded_v2(width * stem), 3, 2, "stem_conv"), "stem_")
            x = _blocks(m, x, stages, total, True)
            return _active(m, _conv(m, x, _rounded_v2(width * 1280), 1, name="top_conv"), "top_")

        source = Source(f"timm's tf_efficientnetv2_{kind.lower()}", _pairs(stages, True))
        return Recipe(
            body, with_dense(dropout=0.2, kernel_initializer=_TOP), size, norm={"momentum": 0.9}, sources=(source,)
        )

    def construct(
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        input_shape: InputShape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str = f"efficientnetv2-{kind.lower()}",
        *,
        data_format: str = "channels_last",
    ) -> Model:
        this = recipe(checks.boolean("include_preprocessing", include_preprocessing))
        ends = (input_tensor, input_shape, pooling, classes, classifier_activation, name, data_format)
        return made(this, include_top, weights, *ends)

    more = """
        include_preprocessing: Whether the network scales the pixels itself, as Keras's weights need it."""
    text = f"EfficientNet v2 {kind}, for pixels from 0 to 255."
    found: ConstructorV2 = documented(construct, title, text, recipe, more)
    return found


EfficientNetV2B0 = _efficientnet_v2("EfficientNetV2B0", 224, 32)
EfficientNetV2B1 = _efficientnet_v2("EfficientNetV2B1", 240, 32, 1.0, 1.1)
EfficientNetV2B2 = _efficientnet_v2("EfficientNetV2B2", 260, 32, 1.1, 1.2)
EfficientNetV2B3 = _efficientnet_v2("EfficientNetV2B3", 300, 32, 1.2, 1.4)
EfficientNetV2S = _efficientnet_v2("EfficientNetV2S", 384, 24)
EfficientNetV2M = _efficientnet_v2("EfficientNetV2M", 480, 24)
EfficientNetV2L = _efficientnet_v2("EfficientNetV2L", 480, 32)
