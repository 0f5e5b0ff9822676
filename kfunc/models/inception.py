"""Inception v3 (Szegedy et al., arXiv:1512.00567) and Inception-ResNet v2 (Szegedy et al., arXiv:1602.07261), as in
`keras.applications`: branches of different convolutions beside each other.

Most layers have no names of their own. Keras numbers them in the order in which they are made, and so does this page.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..nn.applications import CustomScaleLayer
from ..nn.nodes import Node
from .vision import Maker, Recipe, standard, with_dense

__all__ = ["InceptionResNetV2", "InceptionV3"]

Step = tuple[int, Any]
"""The filters and the size of a convolution."""


def _conv(m: Maker, x: Node, filters: int, size: Any, strides: int = 1, padding: str = "same", name=None) -> Node:
    """A convolution, a normalization and an activation."""
    x = m.conv(x, filters, size, strides, padding, name=name)
    x = m.norm(x, name and f"{name}_bn", scale=False)
    return m.activation(x, name=name and f"{name}_ac")


def _branch(m: Maker, x: Node, *steps: Step, halves: bool = False) -> Node:
    """Convolutions one after the other. With `halves`, the last one halves the image."""
    for i, (filters, size) in enumerate(steps, 1):
        last = halves and i == len(steps)
        x = _conv(m, x, filters, size, 2 if last else 1, "valid" if last else "same")
    return x


def _mean(m: Maker, x: Node) -> Node:
    return m(nn.AveragePooling2D, x, 3, strides=1, padding="same")


def _max(m: Maker, x: Node) -> Node:
    return m(nn.MaxPooling2D, x, 3, strides=2)


def _stem(m: Maker, x: Node) -> Node:
    x = _conv(m, x, 32, 3, 2, "valid")
    x = _conv(m, x, 32, 3, padding="valid")
    x = _max(m, _conv(m, x, 64, 3))
    x = _conv(m, x, 80, 1, padding="valid")
    return _max(m, _conv(m, x, 192, 3, padding="valid"))


# -- Inception v3 ------------------------------------------------------------------------------------------------------


def _body_v3(m: Maker, x: Node) -> Node:
    x = _stem(m, x)
    for i, filters in enumerate((32, 64, 64)):
        branches = [
            _branch(m, x, (64, 1)),
            _branch(m, x, (48, 1), (64, 5)),
            _branch(m, x, (64, 1), (96, 3), (96, 3)),
            _branch(m, _mean(m, x), (filters, 1)),
        ]
        x = m.concatenate(branches, f"mixed{i}")
    branches = [_branch(m, x, (384, 3), halves=True), _branch(m, x, (64, 1), (96, 3), (96, 3), halves=True), _max(m, x)]
    x = m.concatenate(branches, "mixed3")
    wide, high = (1, 7), (7, 1)
    for i, n in enumerate((128, 160, 160, 192), 4):
        branches = [
            _branch(m, x, (192, 1)),
            _branch(m, x, (n, 1), (n, wide), (192, high)),
            _branch(m, x, (n, 1), (n, high), (n, wide), (n, high), (192, wide)),
            _branch(m, _mean(m, x), (192, 1)),
        ]
        x = m.concatenate(branches, f"mixed{i}")
    branches = [
        _branch(m, x, (192, 1), (320, 3), halves=True),
        _branch(m, x, (192, 1), (192, wide), (192, high), (192, 3), halves=True),
        _max(m, x),
    ]
    x = m.concatenate(branches, "mixed8")
    for i in range(2):
        first = _branch(m, x, (320, 1))
        second = _branch(m, x, (384, 1))
        second = m.concatenate([_branch(m, second, (384, (1, 3))), _branch(m, second, (384, (3, 1)))], f"mixed9_{i}")
        third = _branch(m, x, (448, 1), (384, 3))
        third = m.concatenate([_branch(m, third, (384, (1, 3))), _branch(m, third, (384, (3, 1)))])
        x = m.concatenate([first, second, third, _branch(m, _mean(m, x), (192, 1))], f"mixed{9 + i}")
    return x


# -- Inception-ResNet v2 -----------------------------------------------------------------------------------------------

_BLOCKS: dict[str, tuple[tuple[Step, ...], ...]] = {
    "block35": (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
    "block17": (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
    "block8": (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
}
"""The branches of each kind of block."""


def _residual(m: Maker, x: Node, kind: str, number: int, scale: float, activates: bool = True) -> Node:
    name = f"{kind}_{number}"
    y = m.concatenate([_branch(m, x, *steps) for steps in _BLOCKS[kind]], f"{name}_mixed")
    y = m.conv(y, m.channels(x), 1, use_bias=True, name=f"{name}_conv")
    x = m(CustomScaleLayer, [x, y], scale)
    return m.activation(x, name=f"{name}_ac") if activates else x


def _body_resnet(m: Maker, x: Node) -> Node:
    x = _stem(m, x)
    branches = [
        _branch(m, x, (96, 1)),
        _branch(m, x, (48, 1), (64, 5)),
        _branch(m, x, (64, 1), (96, 3), (96, 3)),
        _branch(m, _mean(m, x), (64, 1)),
    ]
    x = m.concatenate(branches, "mixed_5b")
    for i in range(1, 11):
        x = _residual(m, x, "block35", i, 0.17)
    branches = [_branch(m, x, (384, 3), halves=True), _branch(m, x, (256, 1), (256, 3), (384, 3), halves=True)]
    x = m.concatenate([*branches, _max(m, x)], "mixed_6a")
    for i in range(1, 21):
        x = _residual(m, x, "block17", i, 0.1)
    branches = [
        _branch(m, x, (256, 1), (384, 3), halves=True),
        _branch(m, x, (256, 1), (288, 3), halves=True),
        _branch(m, x, (256, 1), (288, 3), (320, 3), halves=True),
    ]
    x = m.concatenate([*branches, _max(m, x)], "mixed_7a")
    for i in range(1, 11):
        x = _residual(m, x, "block8", i, 0.2 if i < 10 else 1.0, i < 10)
    return _conv(m, x, 1536, 1, name="conv_7b")


_TEXT = "{}, for images that `preprocess_input` scaled to -1 to 1."

InceptionV3 = standard(
    "InceptionV3", "inception_v3", _TEXT.format("Inception v3"), Recipe(_body_v3, with_dense(), 299, 75, pooled=False)
)
InceptionResNetV2 = standard(
    "InceptionResNetV2",
    "inception_resnet_v2",
    _TEXT.format("Inception-ResNet v2"),
    Recipe(_body_resnet, with_dense(), 299, 75, pooled=False),
)
