"""VGG (Simonyan, Zisserman, arXiv:1409.1556), as in `keras.applications`: convolutions of 3 x 3 in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import nn
from ..nn.nodes import Node
from .vision import Constructor, Maker, Recipe, standard
from .vision_files import Pair, Source

__all__ = ["VGG16", "VGG19"]

_FILTERS = (64, 128, 256, 512, 512)


def _top(m: Maker, x: Node, classes: int, activation: Any) -> Node:
    x = m(nn.Flatten, x, name="flatten")
    for name in ("fc1", "fc2"):
        x = m(nn.Dense, x, 4096, activation="relu", name=name)
    return m(nn.Dense, x, classes, activation=activation, name="predictions")


def _body(depths: tuple[int, ...]) -> Callable[[Maker, Node], Node]:
    def body(m: Maker, x: Node) -> Node:
        for i, (depth, filters) in enumerate(zip(depths, _FILTERS, strict=True), 1):
            for j in range(depth):
                x = m.conv(x, filters, 3, activation="relu", use_bias=True, name=f"block{i}_conv{j + 1}")
            x = m(nn.MaxPooling2D, x, 2, strides=2, name=f"block{i}_pool")
        return x

    return body


def _sources(name: str, depths: tuple[int, ...]) -> tuple[Source, ...]:
    def pairs(tops: tuple[Pair, ...]) -> Callable[[nn.Graph], Iterator[Pair]]:
        def found(net: nn.Graph) -> Iterator[Pair]:
            number = 0
            for i, depth in enumerate(depths, 1):
                for j in range(depth):
                    yield f"features.{number}", f"block{i}_conv{j + 1}"
                    number += 2  # an activation follows each convolution
                number += 1  # and a pooling each block
            yield from tops

        return found

    flat = "o (c y x) -> (y x c) o"
    torchvision = ("classifier.0", "fc1", flat), ("classifier.3", "fc2"), ("classifier.6", "predictions")
    timm = (
        ("pre_logits.fc1", "fc1", "o c h w -> (h w c) o"),
        ("pre_logits.fc2", "fc2", "o i 1 1 -> i o"),
        ("head.fc", "predictions"),
    )
    return (
        Source(f"torchvision's {name}", pairs(torchvision), sizes={"c": 512, "y": 7}),
        Source(f"timm's {name}", pairs(timm)),
    )


def _vgg(title: str, depths: tuple[int, ...]) -> Constructor:
    text = f"VGG of {sum(depths) + 3} layers, for images that `preprocess_input` turned to BGR and centred."
    recipe = Recipe(_body(depths), _top, pooled=False, sources=_sources(title.lower(), depths))
    return standard(title, title.lower(), text, recipe)


VGG16 = _vgg("VGG16", (2, 2, 3, 3, 3))
VGG19 = _vgg("VGG19", (2, 2, 4, 4, 4))
