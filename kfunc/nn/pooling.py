"""Pooling layers."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from .. import ops
from ..arrays import namespace
from ..ops import Op
from ..ops._windows import per_axis, spatial_rank
from .layer import Layer, layer
from .scope import Scope

__all__ = ["AveragePooling2D", "GlobalAveragePooling2D", "MaxPooling2D"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Pooling(Layer):
    """What poolings over windows share.

    Args:
        pool_size: Window, one integer or one a spatial axis.
        strides: The same; `pool_size` by default.
        padding: "valid" or "same" (what is outside does not count).
        data_format: "channels_last" or "channels_first".
    """

    rank: ClassVar[int]
    op: ClassVar[Op]

    pool_size: int | tuple[int, ...] = 2
    strides: int | tuple[int, ...] | None = None
    padding: str = "valid"
    data_format: str = "channels_last"

    def __post_init__(self):
        super().__post_init__()
        per_axis(self.pool_size, self.rank, "pool_size")
        if self.strides is not None:
            per_axis(self.strides, self.rank, "strides")

    def forward(self, s: Scope, x):
        spatial_rank(x, self.data_format, self.padding, self.rank)
        return self.op(x, self.pool_size, self.strides, self.padding, self.data_format)


@layer
class MaxPooling2D(_Pooling):
    """Maxima over windows: (batch, height, width, channels) to (batch, height', width', channels)."""

    rank: ClassVar[int] = 2
    op: ClassVar[Op] = ops.max_pool


@layer
class AveragePooling2D(_Pooling):
    """Means over windows: (batch, height, width, channels) to (batch, height', width', channels)."""

    rank: ClassVar[int] = 2
    op: ClassVar[Op] = ops.average_pool


@layer
class GlobalAveragePooling2D(Layer):
    """The mean over height and width: (batch, height, width, channels) to (batch, channels).

    Args:
        data_format: "channels_last" or "channels_first".
        keepdims: Whether height and width stay, with size 1.
    """

    data_format: str = "channels_last"
    keepdims: bool = False

    def forward(self, s: Scope, x):
        spatial_rank(x, self.data_format, "valid", 2)
        axes = (1, 2) if self.data_format == "channels_last" else (2, 3)
        return namespace(x).mean(x, axis=axes, keepdims=self.keepdims)
