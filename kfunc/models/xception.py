"""Xception (Chollet, arXiv:1610.02357), as in `keras.applications`: separable convolutions with residuals."""

from __future__ import annotations

from .. import nn
from ..nn.nodes import Node
from .vision import Maker, Recipe, standard, with_dense

__all__ = ["Xception"]


def _separable(m: Maker, x: Node, filters: int, name: str) -> Node:
    x = m(nn.SeparableConv2D, x, filters, 3, padding="same", use_bias=False, name=name)
    return m.norm(x, f"{name}_bn")


def _halved(m: Maker, x: Node, block: int, filters: tuple[int, int]) -> Node:
    """A block that halves the image, beside a convolution of 1 x 1 that does so, too."""
    residual = m.norm(m.conv(x, filters[1], 1, 2))
    for i, n in enumerate(filters, 1):
        name = f"block{block}_sepconv{i}"
        if block > 2 or i > 1:
            x = m.activation(x, name=f"{name}_act")
        x = _separable(m, x, n, name)
    x = m(nn.MaxPooling2D, x, 3, strides=2, padding="same", name=f"block{block}_pool")
    return m.add([x, residual])


def _body(m: Maker, x: Node) -> Node:
    for i, (filters, strides) in enumerate([(32, 2), (64, 1)], 1):
        name = f"block1_conv{i}"
        x = m.conv(x, filters, 3, strides, "valid", name=name)
        x = m.activation(m.norm(x, f"{name}_bn"), name=f"{name}_act")
    for block, filters in enumerate((128, 256, 728), 2):
        x = _halved(m, x, block, (filters, filters))
    for block in range(5, 13):
        residual = x
        for i in range(1, 4):
            name = f"block{block}_sepconv{i}"
            x = _separable(m, m.activation(x, name=f"{name}_act"), 728, name)
        x = m.add([x, residual])
    x = _halved(m, x, 13, (728, 1024))
    for i, filters in enumerate((1536, 2048), 1):
        name = f"block14_sepconv{i}"
        x = m.activation(_separable(m, x, filters, name), name=f"{name}_act")
    return x


_TEXT = "Xception, for images that `preprocess_input` scaled to -1 to 1."

Xception = standard("Xception", "xception", _TEXT, Recipe(_body, with_dense(), 299, 71, pooled=False))
