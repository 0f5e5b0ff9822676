"""Layers that are made of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import ArgumentError, ShapeError
from .layer import Layer, layer, unique_names
from .scope import Scope

__all__ = ["Residual", "Sequential"]


@layer
class Sequential(Layer):
    """One layer after the other; the first takes all inputs.

    Args:
        layers: The layers. Each is called by its `name`, or by its class's (`conv2d`, `dense`, `dense_1`).
    """

    layers: tuple[Layer, ...] = ()

    def __post_init__(self):
        if not isinstance(self.layers, list | tuple) or not all(isinstance(x, Layer) for x in self.layers):
            raise ArgumentError(
                "Sequential takes layers.", argument="layers", expected="a list of layers", got=repr(self.layers)
            )
        super().__post_init__()

    def children(self) -> Iterable[tuple[str, Layer]]:
        return unique_names(self.layers)

    def forward(self, s: Scope, x, *more: Any, mask=None):
        for child in self.layers:
            x, mask = child.masked(s, x, *more, mask=mask)
            more = ()
        s.hand_on(mask)
        return x


@layer
class Residual(Layer):
    """`x + body(x)` (He et al., arXiv:1512.03385); `body` keeps the shape."""

    body: Layer

    def forward(self, s: Scope, x):
        y = self.body(s, x)
        if y.ndim != x.ndim or any(a != b for a, b in zip(x.shape, y.shape, strict=True) if None not in (a, b)):
            raise ShapeError(
                "The body of a Residual keeps the shape.",
                argument="body",
                expected=tuple(x.shape),
                got=tuple(y.shape),
                fix="give its last layer the input's width; for convolutions, use padding='same' and strides=1",
            )
        return x + y
