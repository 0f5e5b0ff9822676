"""NASNet-A (Zoph et al., arXiv:1707.07012), as in `keras.applications`: two cells that a search found."""

from __future__ import annotations

from typing import Any, Protocol

from .. import nn
from ..model import Model
from ..nn.nodes import Node
from .vision import InputShape, Maker, Recipe, Weights, correct_pad, documented, made, with_dense

__all__ = ["NASNetLarge", "NASNetMobile"]


def _conv(m: Maker, x: Node, filters: int, name: str) -> Node:
    return m.conv(x, filters, 1, kernel_initializer="he_normal", name=name)


def _separable(m: Maker, x: Node, filters: int, size: int, name: str, strides: int = 1) -> Node:
    """Two separable convolutions, of which the first one may halve the image."""
    for i in (1, 2):
        x = m.activation(x)
        step = strides if i == 1 else 1
        if step == 2:
            x = m.pad(x, correct_pad(m, x, size), f"separable_conv_1_pad_{name}")
        padding, called = "valid" if step == 2 else "same", f"separable_conv_{i}_{name}"
        x = m(nn.SeparableConv2D, x, filters, size, step, padding, use_bias=False, name=called)
        x = m.norm(x, f"separable_conv_{i}_bn_{name}")
    return x


def _mean(m: Maker, x: Node, name: str) -> Node:
    return m(nn.AveragePooling2D, x, 3, strides=1, padding="same", name=name)


def _adjusted(m: Maker, p: Node | None, x: Node, filters: int, name: str) -> Node:
    """What came before `x`, in the size of `x` and with `filters` channels."""
    if p is None:
        return x
    if m.sizes(p) != m.sizes(x):
        p = m.activation(p, name=f"adjust_relu_1_{name}")
        halves = []
        for i in (1, 2):
            half = p
            if i == 2:  # the other pixels
                half = m(nn.Cropping2D, m.pad(p, ((0, 1), (0, 1))), ((1, 0), (1, 0)))
            half = m(nn.AveragePooling2D, half, 1, strides=2, name=f"adjust_avg_pool_{i}_{name}")
            halves.append(_conv(m, half, filters // 2, f"adjust_conv_{i}_{name}"))
        return m.norm(m.concatenate(halves), f"adjust_bn_{name}")
    if m.channels(p) != filters:
        return m.norm(_conv(m, m.activation(p), filters, f"adjust_conv_projection_{name}"), f"adjust_bn_{name}")
    return p


def _normal(m: Maker, x: Node, p: Node | None, filters: int, name: str) -> tuple[Node, Node]:
    """A cell that keeps the size, and `x` for the next one."""
    p = _adjusted(m, p, x, filters, name)
    h = m.norm(_conv(m, m.activation(x), filters, f"normal_conv_1_{name}"), f"normal_bn_1_{name}")
    left, right = (f"normal_{side}{{}}_{name}" for side in ("left", "right"))
    pairs = [
        (_separable(m, h, filters, 5, left.format(1)), _separable(m, p, filters, 3, right.format(1))),
        (_separable(m, p, filters, 5, left.format(2)), _separable(m, p, filters, 3, right.format(2))),
        (_mean(m, h, left.format(3)), p),
        (_mean(m, p, left.format(4)), _mean(m, p, right.format(4))),
        (_separable(m, h, filters, 3, left.format(5)), h),
    ]
    sums = [m.add(pair, f"normal_add_{i}_{name}") for i, pair in enumerate(pairs, 1)]
    return m.concatenate([p, *sums], f"normal_concat_{name}"), x


def _reduction(m: Maker, x: Node, p: Node | None, filters: int, name: str) -> tuple[Node, Node]:
    """A cell that halves the size, and `x` for the next one."""
    p = _adjusted(m, p, x, filters, name)
    h = m.norm(_conv(m, m.activation(x), filters, f"reduction_conv_1_{name}"), f"reduction_bn_1_{name}")
    padded = m.pad(h, correct_pad(m, h, 3), f"reduction_pad_1_{name}")
    left, right = (f"reduction_{side}{{}}_{name}" for side in ("left", "right"))

    def separable(x: Node, size: int, called: str) -> Node:
        return _separable(m, x, filters, size, called, 2)

    def pooled(cls: type[nn.Layer], called: str) -> Node:
        return m(cls, padded, 3, strides=2, name=called)

    first = m.add([separable(h, 5, left.format(1)), separable(p, 7, right.format(1))], f"reduction_add_1_{name}")
    second = [pooled(nn.MaxPooling2D, left.format(2)), separable(p, 7, right.format(2))]
    second_sum = m.add(second, f"reduction_add_2_{name}")
    third = [pooled(nn.AveragePooling2D, left.format(3)), separable(p, 5, right.format(3))]
    third_sum = m.add(third, f"reduction_add3_{name}")
    fourth_sum = m.add([second_sum, _mean(m, first, left.format(4))])
    fifth = [_separable(m, first, filters, 3, left.format(4)), pooled(nn.MaxPooling2D, right.format(5))]
    fifth_sum = m.add(fifth, f"reduction_add4_{name}")
    return m.concatenate([second_sum, third_sum, fourth_sum, fifth_sum], f"reduction_concat_{name}"), x


def _recipe(size: int, penultimate: int, depth: int, stem: int, skips: bool) -> Recipe:
    """The network.

    Args:
        size: The usual height and width.
        penultimate: How many channels the features have.
        depth: How many normal cells stand before, between and after the two reductions.
        stem: The channels of the first convolution.
        skips: Whether the cell behind a reduction gets what the reduction's own predecessor made.
    """

    def body(m: Maker, x: Node) -> Node:
        filters = penultimate // 24
        x = m.conv(x, stem, 3, 2, "valid", kernel_initializer="he_normal", name="stem_conv1")
        x = m.norm(x, "stem_bn1")
        p: Node | None = None
        for i, part in ((1, 4), (2, 2)):
            x, p = _reduction(m, x, p, filters // part, f"stem_{i}")
        for stage in range(3):
            if stage:
                x, before = _reduction(m, x, p, filters * 2**stage, f"reduce_{depth * stage}")
                p = p if skips else before
            for i in range(depth):
                x, p = _normal(m, x, p, filters * 2**stage, str(stage * depth + i + (stage > 0)))
        return m.activation(x)

    norm = {"momentum": 0.9997, "epsilon": 0.001}
    return Recipe(body, with_dense(None), size, static=True, pooled=False, norm=norm)


class ConstructorNASNet(Protocol):
    """A function that makes a NASNet."""

    __name__: str

    def __call__(
        self,
        input_shape: InputShape = None,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = ...,
        *,
        data_format: str = "channels_last",
    ) -> Model: ...


def _nasnet(title: str, called: str, recipe: Recipe) -> ConstructorNASNet:
    def construct(
        input_shape: InputShape = None,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = called,
        *,
        data_format: str = "channels_last",
    ) -> Model:
        ends = (input_tensor, input_shape, pooling, classes, classifier_activation, name, data_format)
        return made(recipe, include_top, weights, *ends)

    text = (
        f"NASNet-A, {title.removeprefix('NASNet').lower()}, for images that `preprocess_input` scaled to -1 to 1. It "
        "needs to know their\n    height and width, also without its top."
    )
    found: ConstructorNASNet = documented(construct, title, text, lambda: recipe)
    return found


NASNetMobile = _nasnet("NASNetMobile", "nasnet_mobile", _recipe(224, 1056, 4, 32, False))
NASNetLarge = _nasnet("NASNetLarge", "nasnet_large", _recipe(331, 4032, 6, 96, True))
