"""Pooling: the maximum or the mean over windows, over a given number of windows, and over all of space or time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import checks, ops
from ..ops._promotion import cast, dtype_of
from ..typing import Array, Sizes
from .layer import Layer, base_layer, layer
from .scope import Scope

__all__ = [
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]


def _check_input(x: Any, axes: int) -> None:
    checks.rank("x", x, axes + 2, fix="the input needs a batch axis and a channel axis beside those that are pooled")


# -- over windows ------------------------------------------------------------------------------------------------------


@base_layer
class _Pooling(Layer):
    """The arguments of pooling over windows.

    Args:
        pool_size: The size of the window: an integer, or one for each spatial axis.
        strides: The distance between windows: an integer, or one for each spatial axis; `pool_size` by default.
        padding: "valid" or "same". Positions outside the input do not count.
        data_format: "channels_last" or "channels_first"; None is "channels_last".
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    axes: ClassVar[int]
    op: ClassVar[Callable[..., Array]]
    _positions: ClassVar[tuple[Any, ...]] = ("name",)

    pool_size: Sizes
    strides: Sizes | None = None
    padding: str = "valid"
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.per_axis("pool_size", self.pool_size, self.axes)
        checks.per_axis("strides", self.strides, self.axes, none=True)
        checks.one_of("padding", self.padding, ("valid", "same"))

    def forward(self, s: Scope, x: Array) -> Array:
        _check_input(x, self.axes)
        return self.op(x, self.pool_size, self.strides, self.padding, self.data_format)


@layer
class MaxPooling1D(_Pooling):
    """Maxima over windows: (batch, steps, channels) to (batch, steps', channels)."""

    axes: ClassVar[int] = 1
    op: ClassVar[Callable[..., Array]] = ops.max_pool
    pool_size: Sizes = 2


@layer
class MaxPooling2D(_Pooling):
    """Maxima over windows: (batch, height, width, channels) to (batch, height', width', channels)."""

    axes: ClassVar[int] = 2
    op: ClassVar[Callable[..., Array]] = ops.max_pool
    pool_size: Sizes = (2, 2)


@layer
class MaxPooling3D(_Pooling):
    """Maxima over windows: (batch, depth, height, width, channels) to (batch, depth', height', width', channels)."""

    axes: ClassVar[int] = 3
    op: ClassVar[Callable[..., Array]] = ops.max_pool
    pool_size: Sizes = (2, 2, 2)


@layer
class AveragePooling1D(_Pooling):
    """Means over windows: (batch, steps, channels) to (batch, steps', channels)."""

    axes: ClassVar[int] = 1
    op: ClassVar[Callable[..., Array]] = ops.average_pool


@layer
class AveragePooling2D(_Pooling):
    """Means over windows: (batch, height, width, channels) to (batch, height', width', channels)."""

    axes: ClassVar[int] = 2
    op: ClassVar[Callable[..., Array]] = ops.average_pool


@layer
class AveragePooling3D(_Pooling):
    """Means over windows: (batch, depth, height, width, channels) to (batch, depth', height', width', channels)."""

    axes: ClassVar[int] = 3
    op: ClassVar[Callable[..., Array]] = ops.average_pool


# -- over as many windows as asked for ---------------------------------------------------------------------------------


@base_layer
class _AdaptivePooling(Layer):
    """The arguments of pooling to a given size, over windows of nearly equal size, as in PyTorch.

    Args:
        output_size: The number of windows: an integer, or one for each spatial axis.
        data_format: "channels_last" or "channels_first"; None is "channels_last".
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    axes: ClassVar[int]
    op: ClassVar[Callable[..., Array]]

    output_size: Sizes
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.per_axis("output_size", self.output_size, self.axes)

    def forward(self, s: Scope, x: Array) -> Array:
        _check_input(x, self.axes)
        return self.op(x, self.output_size, self.data_format)


@layer
class AdaptiveMaxPooling1D(_AdaptivePooling):
    """Maxima over a given number of windows: (batch, steps, channels) to (batch, output_size, channels)."""

    axes: ClassVar[int] = 1
    op: ClassVar[Callable[..., Array]] = ops.adaptive_max_pool


@layer
class AdaptiveMaxPooling2D(_AdaptivePooling):
    """Maxima over a given number of windows: (batch, height, width, channels) to (batch, *output_size, channels)."""

    axes: ClassVar[int] = 2
    op: ClassVar[Callable[..., Array]] = ops.adaptive_max_pool


@layer
class AdaptiveMaxPooling3D(_AdaptivePooling):
    """Maxima over windows: (batch, depth, height, width, channels) to (batch, *output_size, channels)."""

    axes: ClassVar[int] = 3
    op: ClassVar[Callable[..., Array]] = ops.adaptive_max_pool


@layer
class AdaptiveAveragePooling1D(_AdaptivePooling):
    """Means over a given number of windows: (batch, steps, channels) to (batch, output_size, channels)."""

    axes: ClassVar[int] = 1
    op: ClassVar[Callable[..., Array]] = ops.adaptive_average_pool


@layer
class AdaptiveAveragePooling2D(_AdaptivePooling):
    """Means over a given number of windows: (batch, height, width, channels) to (batch, *output_size, channels)."""

    axes: ClassVar[int] = 2
    op: ClassVar[Callable[..., Array]] = ops.adaptive_average_pool


@layer
class AdaptiveAveragePooling3D(_AdaptivePooling):
    """Means over windows: (batch, depth, height, width, channels) to (batch, *output_size, channels)."""

    axes: ClassVar[int] = 3
    op: ClassVar[Callable[..., Array]] = ops.adaptive_average_pool


# -- over everything ---------------------------------------------------------------------------------------------------


@base_layer
class _GlobalPooling(Layer):
    """The arguments of pooling over all of space or time.

    Args:
        data_format: "channels_last" or "channels_first"; None is "channels_last".
        keepdims: Whether the pooled axes stay, with size 1.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    axes: ClassVar[int]
    op: ClassVar[Callable[..., Array]]

    data_format: str | None = None
    keepdims: bool = False

    def forward(self, s: Scope, x: Array) -> Array:
        _check_input(x, self.axes)
        first = 2 if self.data_format == "channels_first" else 1
        return self.op(x, axis=tuple(range(first, first + self.axes)), keepdims=self.keepdims)


@layer
class GlobalMaxPooling1D(_GlobalPooling):
    """The maximum over time: (batch, steps, channels) to (batch, channels)."""

    axes: ClassVar[int] = 1
    op: ClassVar[Callable[..., Array]] = ops.max


@layer
class GlobalMaxPooling2D(_GlobalPooling):
    """The maximum over height and width: (batch, height, width, channels) to (batch, channels)."""

    axes: ClassVar[int] = 2
    op: ClassVar[Callable[..., Array]] = ops.max


@layer
class GlobalMaxPooling3D(_GlobalPooling):
    """The maximum over space: (batch, depth, height, width, channels) to (batch, channels)."""

    axes: ClassVar[int] = 3
    op: ClassVar[Callable[..., Array]] = ops.max


@layer
class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over time: (batch, steps, channels) to (batch, channels).

    With a mask (batch, steps), it is the mean over the steps where the mask is True, and NaN if there are none.
    """

    axes: ClassVar[int] = 1
    op: ClassVar[Callable[..., Array]] = ops.mean

    def forward(self, s: Scope, x: Array, mask: Array | None = None) -> Array:
        s.hand_on(None)
        if mask is None:
            return super().forward(s, x)
        _check_input(x, 1)
        steps, features = (2, 1) if self.data_format == "channels_first" else (1, 2)
        kept = ops.expand_dims(ops.cast(mask, "bool"), features)
        x = ops.where(kept, x, ops.zeros_like(x))
        # As a quotient of two means, since sums in half precision overflow.
        part = ops.mean(cast(kept, dtype_of(x)), axis=steps, keepdims=self.keepdims)
        return ops.divide(ops.mean(x, axis=steps, keepdims=self.keepdims), part)


@layer
class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over height and width: (batch, height, width, channels) to (batch, channels)."""

    axes: ClassVar[int] = 2
    op: ClassVar[Callable[..., Array]] = ops.mean


@layer
class GlobalAveragePooling3D(_GlobalPooling):
    """The mean over space: (batch, depth, height, width, channels) to (batch, channels)."""

    axes: ClassVar[int] = 3
    op: ClassVar[Callable[..., Array]] = ops.mean


# -- by Keras's shorter names ------------------------------------------------------------------------------------------

MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
