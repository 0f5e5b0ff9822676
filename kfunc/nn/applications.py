"""What only files of Keras need: layers that the networks of `keras.applications` keep to themselves, and what Keras 2
called otherwise. It is registered, so that such networks can be saved here, too, and is no part of `kf.nn`.
"""

from __future__ import annotations

from typing import Any

from .. import checks, ops
from ..errors import ArgumentError
from ..registry import register
from ..typing import Array
from .dropout import mask_shape
from .initializers import Constant
from .layer import Layer, layer
from .scope import Scope

__all__ = ["CustomScaleLayer", "LayerScale", "StochasticDepth", "hard_sigmoid_of_keras_2"]


@layer
class LayerScale(Layer):
    """`x * gamma`, (..., projection_dim) to the same shape (Touvron et al., arXiv:2103.17239). ConvNeXt has it.

    Args:
        init_values: The first value of `gamma`.
        projection_dim: The number of features.
    """

    init_values: float
    projection_dim: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("init_values", self.init_values)
        checks.positive("projection_dim", self.projection_dim)

    def forward(self, s: Scope, x: Array) -> Array:
        return x * s.param("gamma", (self.projection_dim,), Constant(self.init_values))


@layer
class StochasticDepth(Layer):
    """In training, set whole samples to 0 with probability `drop_path_rate`, and scale the others by its rest.

    Any shape to the same shape (Huang et al., arXiv:1603.09382). ConvNeXt has it.

    Args:
        drop_path_rate: A probability in [0, 1).
    """

    drop_path_rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.probability("drop_path_rate", self.drop_path_rate)

    def forward(self, s: Scope, x: Array) -> Array:
        if not s.train or self.drop_path_rate == 0:
            return x
        shape = mask_shape((None, *[1] * (x.ndim - 1)), x)
        return ops.dropout(x, s.key(), self.drop_path_rate, shape)


@layer
class CustomScaleLayer(Layer):
    """`inputs[0] + inputs[1] * scale` for two arrays of one shape. InceptionResNetV2 has it.

    Args:
        scale: A number.
    """

    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("scale", self.scale)

    def forward(self, s: Scope, inputs: Any) -> Array:
        if not isinstance(inputs, list | tuple) or len(inputs) != 2:
            raise ArgumentError.must_be("inputs", "a list of two arrays", inputs)
        return ops.add(inputs[0], inputs[1] * self.scale)


@register("activation")
def hard_sigmoid_of_keras_2(x: Array) -> Array:
    """`0.2 * x + 0.5` between 0 and 1, of any shape. The `hard_sigmoid` of Keras 3 is `x / 6 + 0.5` there."""
    return ops.clip(x * 0.2 + 0.5, 0.0, 1.0)
