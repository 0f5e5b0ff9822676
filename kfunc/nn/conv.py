"""Convolution layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from .. import ops
from ..errors import ArgumentError, ShapeError
from ..ops._windows import per_axis
from . import activations
from .core import positive
from .layer import Layer, layer
from .scope import Scope

__all__ = ["Conv2D"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Conv(Layer):
    """What convolutions over any number of spatial axes share.

    Args:
        filters: Number of output channels.
        kernel_size: Window, one integer or one a spatial axis.
        strides, dilation_rate: One integer, or one a spatial axis; not both above 1.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first".
        groups: Channel groups that do not see each other.
    """

    rank: ClassVar[int]

    filters: int
    kernel_size: int | tuple[int, ...]
    strides: int | tuple[int, ...] = 1
    padding: str = "valid"
    data_format: str = "channels_last"
    dilation_rate: int | tuple[int, ...] = 1
    groups: int = 1
    activation: str | Callable | None = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"

    def __post_init__(self):
        super().__post_init__()
        positive("filters", self.filters)
        positive("groups", self.groups)
        for argument in ("kernel_size", "strides", "dilation_rate"):
            per_axis(getattr(self, argument), self.rank, argument)
        if self.filters % self.groups:
            raise ArgumentError(
                "groups does not divide filters.",
                argument="groups",
                expected=f"a divisor of {self.filters}",
                got=self.groups,
            )
        activations.get(self.activation)

    def forward(self, s: Scope, x):
        axis = -1 if self.data_format == "channels_last" else 1
        if x.ndim != self.rank + 2 or x.shape[axis] is None or x.shape[axis] % self.groups:
            raise ShapeError(
                "The input does not fit the convolution.",
                argument="x",
                expected=f"{self.rank + 2} axes and channels ({self.data_format}) that {self.groups} groups divide",
                got=tuple(x.shape),
                fix="add the missing axis, for example x[..., None] for a single channel; or check data_format",
            )
        window = per_axis(self.kernel_size, self.rank, "kernel_size")
        kernel = s.param("kernel", (*window, x.shape[axis] // self.groups, self.filters), self.kernel_initializer)
        bias = s.param("bias", (self.filters,), self.bias_initializer) if self.use_bias else None
        y = ops.conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate, bias)
        return activations.get(self.activation)(y)


@layer
class Conv2D(_Conv):
    """Convolution of images: (batch, height, width, channels) to (batch, height', width', filters).

    Shapes are (batch, channels, height, width) with `data_format="channels_first"`.
    """

    rank: ClassVar[int] = 2
