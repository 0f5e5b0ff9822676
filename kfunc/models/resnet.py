"""ResNet (He et al., arXiv:1512.03385) and ResNet v2 (He et al., arXiv:1603.05027), as in `keras.applications`.

In a stage of v1 the first block halves the image, in v2 the last one. Both do it otherwise than torchvision and timm,
so weights from there do not fit: those have the stride in the 3 x 3 convolution, not in the first 1 x 1, and in v2 in
the first block of a stage.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import nn
from ..nn.nodes import Node
from .vision import Constructor, Maker, Recipe, standard, with_dense

__all__ = ["ResNet50", "ResNet50V2", "ResNet101", "ResNet101V2", "ResNet152", "ResNet152V2"]


def _block(m: Maker, x: Node, filters: int, strides: int, first: bool, name: str) -> Node:
    """A block of v1: three convolutions, to which the input is added."""
    shortcut = x
    if first:
        shortcut = m.conv(x, 4 * filters, 1, strides, "valid", use_bias=True, name=f"{name}_0_conv")
        shortcut = m.norm(shortcut, f"{name}_0_bn")
    for i, (n, size, step) in enumerate([(filters, 1, strides), (filters, 3, 1), (4 * filters, 1, 1)], 1):
        x = m.conv(x, n, size, step, "same" if size == 3 else "valid", use_bias=True, name=f"{name}_{i}_conv")
        x = m.norm(x, f"{name}_{i}_bn")
        if i < 3:
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


def _body(depths: tuple[int, ...], v2: bool) -> Callable[[Maker, Node], Node]:
    def body(m: Maker, x: Node) -> Node:
        x = m.conv(m.pad(x, 3, "conv1_pad"), 64, 7, 2, "valid", use_bias=True, name="conv1_conv")
        if not v2:
            x = m.activation(m.norm(x, "conv1_bn"), name="conv1_relu")
        x = m(nn.MaxPooling2D, m.pad(x, 1, "pool1_pad"), 3, strides=2, name="pool1_pool")
        for stage, depth in enumerate(depths):
            for i in range(depth):
                halves = (i == depth - 1 and stage < 3) if v2 else (i == 0 and stage > 0)
                name = f"conv{stage + 2}_block{i + 1}"
                x = (_block_v2 if v2 else _block)(m, x, 64 * 2**stage, 2 if halves else 1, i == 0, name)
        return m.activation(m.norm(x, "post_bn"), name="post_relu") if v2 else x

    return body


def _resnet(title: str, depths: tuple[int, ...]) -> Constructor:
    v2 = title.endswith("V2")
    text = f"ResNet{' v2' * v2} of {3 * sum(depths) + 2} layers, for images that `preprocess_input` " + (
        "scaled to -1 to 1." if v2 else "turned to BGR and\n    centred."
    )
    return standard(title, title.lower(), text, Recipe(_body(depths, v2), with_dense(), norm={"epsilon": 1.001e-5}))


ResNet50 = _resnet("ResNet50", (3, 4, 6, 3))
ResNet101 = _resnet("ResNet101", (3, 4, 23, 3))
ResNet152 = _resnet("ResNet152", (3, 8, 36, 3))
ResNet50V2 = _resnet("ResNet50V2", (3, 4, 6, 3))
ResNet101V2 = _resnet("ResNet101V2", (3, 4, 23, 3))
ResNet152V2 = _resnet("ResNet152V2", (3, 8, 36, 3))
