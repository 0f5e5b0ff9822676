"""DenseNet (Huang et al., arXiv:1608.06993), as in `keras.applications`: a layer sees the outputs of all before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .. import nn
from ..nn.nodes import Node
from .vision import Constructor, Maker, Recipe, standard, with_dense
from .vision_files import Pair, Source

__all__ = ["DenseNet121", "DenseNet169", "DenseNet201"]

_GROWTH = 32
"""How many channels each layer adds."""


def _body(depths: tuple[int, ...]) -> Callable[[Maker, Node], Node]:
    def body(m: Maker, x: Node) -> Node:
        x = m.conv(m.pad(x, 3), 64, 7, 2, "valid", name="conv1_conv")
        x = m.activation(m.norm(x, "conv1_bn"), name="conv1_relu")
        x = m(nn.MaxPooling2D, m.pad(x, 1), 3, strides=2, name="pool1")
        for stage, depth in enumerate(depths, 2):
            if stage > 2:
                name = f"pool{stage - 1}"
                x = m.activation(m.norm(x, f"{name}_bn"), name=f"{name}_relu")
                x = m.conv(x, m.channels(x) // 2, 1, padding="valid", name=f"{name}_conv")
                x = m(nn.AveragePooling2D, x, 2, strides=2, name=f"{name}_pool")
            for i in range(depth):
                name = f"conv{stage}_block{i + 1}"
                y = m.activation(m.norm(x, f"{name}_0_bn"), name=f"{name}_0_relu")
                y = m.conv(y, 4 * _GROWTH, 1, padding="valid", name=f"{name}_1_conv")
                y = m.activation(m.norm(y, f"{name}_1_bn"), name=f"{name}_1_relu")
                y = m.conv(y, _GROWTH, 3, name=f"{name}_2_conv")
                x = m.concatenate([x, y], f"{name}_concat")
        return m.activation(m.norm(x, "bn"), name="relu")

    return body


def _pairs(depths: tuple[int, ...]) -> Callable[[nn.Graph], Iterator[Pair]]:
    def pairs(net: nn.Graph) -> Iterator[Pair]:
        yield from [("features.conv0", "conv1_conv"), ("features.norm0", "conv1_bn"), ("features.norm5", "bn")]
        yield "classifier", "predictions"
        for n, depth in enumerate(depths, 1):
            for i in range(1, depth + 1):
                theirs, ours = f"features.denseblock{n}.denselayer{i}", f"conv{n + 1}_block{i}"
                yield from [(f"{theirs}.norm1", f"{ours}_0_bn"), (f"{theirs}.conv1", f"{ours}_1_conv")]
                yield from [(f"{theirs}.norm2", f"{ours}_1_bn"), (f"{theirs}.conv2", f"{ours}_2_conv")]
            if n < len(depths):
                yield f"features.transition{n}.norm", f"pool{n + 1}_bn"
                yield f"features.transition{n}.conv", f"pool{n + 1}_conv"

    return pairs


def _densenet(title: str, depths: tuple[int, ...]) -> Constructor:
    text = (
        f"DenseNet of {title.removeprefix('DenseNet')} layers, for images that `preprocess_input` scaled and centred."
    )
    source = Source(f"torchvision's and timm's {title.lower()}", _pairs(depths), {"norm": {"epsilon": 1e-5}})
    recipe = Recipe(_body(depths), with_dense(), norm={"epsilon": 1.001e-5}, sources=(source,))
    return standard(title, title.lower(), text, recipe)


DenseNet121 = _densenet("DenseNet121", (6, 12, 24, 16))
DenseNet169 = _densenet("DenseNet169", (6, 12, 32, 32))
DenseNet201 = _densenet("DenseNet201", (6, 12, 48, 32))
