"""ConvNeXt (Liu et al., arXiv:2201.03545), as in `keras.applications`: convolutions in the form of a transformer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .. import checks, nn
from ..model import Model
from ..nn.applications import LayerScale
from ..nn.nodes import Node
from .vision import InputShape, Maker, Recipe, Weights, documented, made
from .vision_files import Pair, Source

__all__ = ["ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge"]

_MEAN = tuple(255 * x for x in (0.485, 0.456, 0.406))
_VARIANCE = tuple((255 * x) ** 2 for x in (0.229, 0.224, 0.225))
_EPSILON = 1e-6


def _block(m: Maker, x: Node, channels: int, name: str) -> Node:
    y = m.conv(x, channels, 7, groups=channels, use_bias=True, name=f"{name}_depthwise_conv")
    y = m(nn.LayerNormalization, y, epsilon=_EPSILON, name=f"{name}_layernorm")
    y = m(nn.Dense, y, 4 * channels, name=f"{name}_pointwise_conv_1")
    y = m.activation(y, "gelu", f"{name}_gelu")
    y = m(nn.Dense, y, channels, name=f"{name}_pointwise_conv_2")
    y = m(LayerScale, y, 1e-6, channels, name=f"{name}_layer_scale")
    return x + m.activation(y, "linear", f"{name}_identity")


def _halved(m: Maker, x: Node, channels: int, size: int, first: bool, named: str) -> Node:
    """A convolution that makes one pixel of a square of them, with a normalization before or behind it."""
    norm = nn.LayerNormalization(epsilon=_EPSILON, name=named.format("_layernorm"))
    conv = nn.Conv2D(channels, size, strides=size, data_format=m.data_format, name=named.format("_conv"))
    return m(nn.Sequential, x, [conv, norm] if first else [norm, conv], name=named.format("" if first else "_block"))


def _body(name: str, depths: tuple[int, ...], widths: tuple[int, ...], rescales: bool) -> Callable[[Maker, Node], Node]:
    def body(m: Maker, x: Node) -> Node:
        if rescales and m.channels(x) == 3:
            x = m(nn.Normalization, x, mean=_MEAN, variance=_VARIANCE, name=f"{name}_prestem_normalization")
        for i, (depth, channels) in enumerate(zip(depths, widths, strict=True)):
            named = f"{name}_downsampling{{}}_{i - 1}" if i else f"{name}_stem{{}}"
            x = _halved(m, x, channels, 2 if i else 4, i == 0, named)
            for j in range(depth):
                x = _block(m, x, channels, f"{name}_stage_{i}_block_{j}")
        return x

    return body


def _recipe(name: str, title: str, depths: tuple[int, ...], widths: tuple[int, ...], rescales: bool) -> Recipe:
    def top(m: Maker, x: Node, classes: int, activation: Any) -> Node:
        x = m(nn.GlobalAveragePooling2D, x, name=f"{name}_head_gap")
        x = m(nn.LayerNormalization, x, epsilon=_EPSILON, name=f"{name}_head_layernorm")
        return m(nn.Dense, x, classes, activation=activation, name=f"{name}_head_dense")

    def after(m: Maker, x: Node) -> Node:
        return m(nn.LayerNormalization, x, epsilon=_EPSILON)

    theirs = f"convnext_{title.removeprefix('ConvNeXt').lower()}"
    sources = [Source(f"timm's {theirs}", _pairs(name, depths, _TIMM))]
    if not title.endswith("XLarge"):
        sources.append(Source(f"torchvision's {theirs}", _pairs(name, depths, _TORCHVISION)))
    body = _body(name, depths, widths, rescales)
    return Recipe(body, top, pooled=False, after=after, sources=tuple(sources))


_TIMM = {
    "stage": "stages.{i}.downsample",
    "block": "stages.{i}.blocks.{j}",
    "modules": ("conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"),
    "ends": ("stem", "head.norm", "head.fc"),
}
_TORCHVISION = {
    "stage": "features.{even}",
    "block": "features.{odd}.{j}",
    "modules": ("block.0", "block.2", "block.3", "block.5", "layer_scale"),
    "ends": ("features.0", "classifier.0", "classifier.2"),
}


def _pairs(name: str, depths: tuple[int, ...], theirs: dict[str, Any]) -> Callable[[nn.Graph], Iterator[Pair]]:
    def pairs(net: nn.Graph) -> Iterator[Pair]:
        stem, norm, dense = theirs["ends"]
        yield f"{stem}.0", f"{name}_stem/{name}_stem_conv"
        yield f"{stem}.1", f"{name}_stem/{name}_stem_layernorm"
        has_top = any(child == f"{name}_head_dense" for child, _ in net.children())
        yield norm, f"{name}_head_layernorm" if has_top else "layer_normalization"
        yield dense, f"{name}_head_dense"
        for i, depth in enumerate(depths):
            if i:
                stage, ours = theirs["stage"].format(i=i, even=2 * i), f"{name}_downsampling_block_{i - 1}"
                yield f"{stage}.0", f"{ours}/{name}_downsampling_layernorm_{i - 1}"
                yield f"{stage}.1", f"{ours}/{name}_downsampling_conv_{i - 1}"
            for j in range(depth):
                block, ours = theirs["block"].format(i=i, j=j, odd=2 * i + 1), f"{name}_stage_{i}_block_{j}"
                parts = ("depthwise_conv", "layernorm", "pointwise_conv_1", "pointwise_conv_2", "layer_scale")
                for module, part in zip(theirs["modules"], parts, strict=True):
                    form = ("c 1 1 -> c",) if module == "layer_scale" else ()
                    yield f"{block}.{module}", f"{ours}_{part}", *form

    return pairs


class ConstructorConvNeXt(Protocol):
    """A function that makes a ConvNeXt."""

    __name__: str

    def __call__(
        self,
        include_top: bool = True,
        include_preprocessing: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        input_shape: InputShape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = ...,
        *,
        data_format: str = "channels_last",
    ) -> Model: ...


def _convnext(title: str, depths: tuple[int, ...], widths: tuple[int, ...]) -> ConstructorConvNeXt:
    size = title.removeprefix("ConvNeXt").lower()

    def construct(
        include_top: bool = True,
        include_preprocessing: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        input_shape: InputShape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = f"convnext_{size}",
        *,
        data_format: str = "channels_last",
    ) -> Model:
        checks.one_of("data_format", data_format, ("channels_last",))
        this = _recipe(name, title, depths, widths, checks.boolean("include_preprocessing", include_preprocessing))
        ends = (input_tensor, input_shape, pooling, classes, classifier_activation, name, data_format)
        return made(this, include_top, weights, *ends)

    text = f"ConvNeXt, {size}, for pixels from 0 to 255. The names of its layers begin with `name`."
    more = """
        include_preprocessing: Whether the network scales and centres the pixels itself, if they have three channels."""

    def recipe(rescales: bool = True) -> Recipe:
        return _recipe(f"convnext_{size}", title, depths, widths, rescales)

    found: ConstructorConvNeXt = documented(construct, title, text, recipe, more)
    return found


ConvNeXtTiny = _convnext("ConvNeXtTiny", (3, 3, 9, 3), (96, 192, 384, 768))
ConvNeXtSmall = _convnext("ConvNeXtSmall", (3, 3, 27, 3), (96, 192, 384, 768))
ConvNeXtBase = _convnext("ConvNeXtBase", (3, 3, 27, 3), (128, 256, 512, 1024))
ConvNeXtLarge = _convnext("ConvNeXtLarge", (3, 3, 27, 3), (192, 384, 768, 1536))
ConvNeXtXLarge = _convnext("ConvNeXtXLarge", (3, 3, 27, 3), (256, 512, 1024, 2048))
