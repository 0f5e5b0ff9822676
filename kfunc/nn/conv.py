"""Convolution layers: one description of a window, four kinds of kernel, any number of spatial axes."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import checks, ops
from ..errors import ArgumentError, ShapeError
from ..typing import ActivationLike, Array, ConstraintLike, InitializerLike, RegularizerLike
from . import activations
from .layer import Layer, base_layer, layer
from .scope import Scope

__all__ = [
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
]

_Sizes = int | tuple[int, ...]


def check_windows(of: Any, rank: int) -> None:
    """Check `kernel_size`, `strides` and `dilation_rate` of a layer."""
    sizes = {a: checks.per_axis(a, getattr(of, a), rank) for a in ("kernel_size", "strides", "dilation_rate")}
    if max(sizes["strides"]) > 1 and max(sizes["dilation_rate"]) > 1:
        raise ArgumentError(
            "Strides and dilation cannot both exceed 1.",
            argument="dilation_rate",
            expected="strides=1 or dilation_rate=1",
            got=f"strides={of.strides}, dilation_rate={of.dilation_rate}",
        )


@base_layer
class _Convolving(Layer):
    """What all convolutions share: their checks, the bias and the activation."""

    rank: ClassVar[int]
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    def __post_init__(self) -> None:
        super().__post_init__()
        of = dict(self._arguments())
        for argument in ("filters", "groups", "depth_multiplier"):
            if argument in of:
                checks.positive(argument, of[argument])
        check_windows(self, self.rank)
        padding = of["padding"].lower() if isinstance(of["padding"], str) else of["padding"]  # as Keras documents
        object.__setattr__(self, "padding", checks.one_of("padding", padding, self.paddings))

    def forward(self, s: Scope, x: Array) -> Array:
        of: Any = self
        axis = 1 if of.data_format == "channels_first" else -1
        groups = getattr(self, "groups", 1)
        if x.ndim != self.rank + 2 or not x.shape[axis] or x.shape[axis] % groups:
            divided = f" that {groups} groups divide" if groups > 1 else ""
            raise ShapeError(
                "The input does not fit the convolution.",
                argument="x",
                expected=f"{self.rank + 2} axes and channels ({of.data_format or 'channels_last'}){divided}",
                got=tuple(x.shape),
                fix="add the missing axis, for example x[..., None] for a single channel; or check data_format",
            )
        window = checks.per_axis("kernel_size", of.kernel_size, self.rank)
        return activations.get(of.activation)(self.convolve(s, x, window, x.shape[axis]))

    def convolve(self, s: Scope, x: Any, window: tuple[int, ...], channels: int) -> Any:
        """The convolution of `x`, whose channels are counted, with this kind's kernels, plus the bias."""
        raise NotImplementedError

    def bias(self, s: Scope, filters: int) -> Any:
        return s.weight("bias", (filters,)) if self.use_bias else None  # type: ignore[attr-defined]


# -- convolution -------------------------------------------------------------------------------------------------------


@base_layer
class _Conv(_Convolving):
    """Arguments of a convolution.

    Args:
        filters: Number of output channels.
        kernel_size: Window, one integer or one a spatial axis.
        strides, dilation_rate: One integer, or one a spatial axis; not both above 1.
        padding: "valid", "same", or (over one axis) "causal": no output sees what comes after it.
        data_format: "channels_last", which None stands for, or "channels_first".
        groups: Channel groups that do not see each other; divides the channels and `filters`.
    """

    filters: int
    kernel_size: _Sizes
    strides: _Sizes = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: _Sizes = 1
    groups: int = 1
    activation: ActivationLike = None
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters % self.groups:
            raise ArgumentError(
                "groups does not divide filters.",
                argument="groups",
                expected=f"a divisor of {self.filters}",
                got=self.groups,
            )

    def convolve(self, s: Scope, x: Any, window: tuple[int, ...], channels: int) -> Any:
        kernel = s.weight("kernel", (*window, channels // self.groups, self.filters))
        bias = self.bias(s, self.filters)
        return ops.conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate, bias)


@layer
class Conv1D(_Conv):
    """Convolution of sequences: (batch, time, channels) to (batch, time', filters).

    Shapes are (batch, channels, time) with `data_format="channels_first"`. Arguments: see `Conv2D`; `padding` may also
    be "causal" (van den Oord et al., arXiv:1609.03499).
    """

    rank: ClassVar[int] = 1
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same", "causal")


@layer
class Conv2D(_Conv):
    """Convolution of images: (batch, height, width, channels) to (batch, height', width', filters).

    Shapes are (batch, channels, height, width) with `data_format="channels_first"`.

    Args:
        filters: Number of output channels.
        kernel_size: Window, one integer or one a spatial axis.
        strides, dilation_rate: One integer, or one a spatial axis; not both above 1.
        padding: "valid" or "same".
        data_format: "channels_last", which None stands for, or "channels_first".
        groups: Channel groups that do not see each other; divides the channels and `filters`.

    Raises:
        ArgumentError: An argument is none of these.
        ShapeError: The input has another rank, or channels that the groups do not divide.
    """

    rank: ClassVar[int] = 2
    strides: _Sizes = (1, 1)
    dilation_rate: _Sizes = (1, 1)


@layer
class Conv3D(_Conv):
    """Convolution of volumes: (batch, depth, height, width, channels) to (batch, depth', height', width', filters).

    Shapes are (batch, channels, depth, height, width) with `data_format="channels_first"`. Arguments: see `Conv2D`.
    """

    rank: ClassVar[int] = 3
    strides: _Sizes = (1, 1, 1)
    dilation_rate: _Sizes = (1, 1, 1)


# -- transposed --------------------------------------------------------------------------------------------------------


@base_layer
class _ConvTranspose(_Convolving):
    """Arguments of a transposed convolution: those of `_Conv` but for `groups`, and

    Args:
        output_padding: How much larger the output is than the smallest that a convolution would map to the input's
            size, less than `strides`; None gives size * strides ("same"), or all that the windows cover ("valid").
    """

    filters: int
    kernel_size: _Sizes
    strides: _Sizes = 1
    padding: str = "valid"
    output_padding: _Sizes | None = None
    data_format: str | None = None
    dilation_rate: _Sizes = 1
    activation: ActivationLike = None
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_padding is None:
            return
        more = checks.per_axis("output_padding", self.output_padding, self.rank, least=0)
        if any(a >= b for a, b in zip(more, checks.per_axis("strides", self.strides, self.rank), strict=True)):
            raise ArgumentError(
                "output_padding makes room for another stride.",
                argument="output_padding",
                expected=f"integers below strides={self.strides}",
                got=self.output_padding,
            )

    def convolve(self, s: Scope, x: Any, window: tuple[int, ...], channels: int) -> Any:
        kernel = s.weight("kernel", (*window, self.filters, channels))
        bias = self.bias(s, self.filters)
        options = self.strides, self.padding, self.output_padding, self.data_format, self.dilation_rate
        return ops.conv_transpose(x, kernel, *options, bias)


@layer
class Conv1DTranspose(_ConvTranspose):
    """Transposed convolution of sequences: (batch, time, channels) to (batch, time', filters).

    See `Conv2DTranspose`.
    """

    rank: ClassVar[int] = 1


@layer
class Conv2DTranspose(_ConvTranspose):
    """Transposed convolution of images: (batch, height, width, channels) to (batch, height', width', filters).

    The way back from the sizes of a convolution's output to those of its input (Zeiler et al., CVPR 2010). Arguments:
    see `Conv2D`, and

    Args:
        output_padding: How much larger the output is than the smallest that a convolution would map to the input's
            size, less than `strides`; None gives size * strides ("same"), or all that the windows cover ("valid").
    """

    rank: ClassVar[int] = 2
    strides: _Sizes = (1, 1)
    dilation_rate: _Sizes = (1, 1)


@base_layer
class _FormatFirst(Layer):
    """Keras's order of the first arguments of `Conv3DTranspose`, whose `output_padding` comes last."""

    filters: int
    kernel_size: _Sizes
    strides: _Sizes = 1
    padding: str = "valid"
    data_format: str | None = None


@layer
class Conv3DTranspose(_ConvTranspose, _FormatFirst):
    """Transposed convolution of volumes: (batch, depth, height, width, channels) to the same axes.

    See `Conv2DTranspose`.
    """

    rank: ClassVar[int] = 3
    strides: _Sizes = (1, 1, 1)
    dilation_rate: _Sizes = (1, 1, 1)


# -- depthwise, and separable ------------------------------------------------------------------------------------------


@base_layer
class _DepthwiseConv(_Convolving):
    """Arguments of a convolution of each channel by itself: those of `_Conv`, and

    Args:
        depth_multiplier: Number of output channels for each input channel.
    """

    kernel_size: _Sizes
    strides: _Sizes = 1
    padding: str = "valid"
    depth_multiplier: int = 1
    data_format: str | None = None
    dilation_rate: _Sizes = 1
    activation: ActivationLike = None
    use_bias: bool = True
    depthwise_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    depthwise_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    depthwise_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def convolve(self, s: Scope, x: Any, window: tuple[int, ...], channels: int) -> Any:
        kernel = s.weight("kernel", (*window, channels, self.depth_multiplier), "depthwise")
        bias = self.bias(s, channels * self.depth_multiplier)
        return ops.depthwise_conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate, bias)


@layer
class DepthwiseConv1D(_DepthwiseConv):
    """Convolution of each channel by itself: (batch, time, channels) to (batch, time', channels * depth_multiplier).

    See `DepthwiseConv2D`.
    """

    rank: ClassVar[int] = 1


@layer
class DepthwiseConv2D(_DepthwiseConv):
    """Convolution of each channel by itself.

    (batch, height, width, channels) to (batch, height', width', channels * depth_multiplier). Arguments: see `Conv2D`,
    and

    Args:
        depth_multiplier: Number of output channels for each input channel.
    """

    rank: ClassVar[int] = 2
    strides: _Sizes = (1, 1)
    dilation_rate: _Sizes = (1, 1)


@base_layer
class _SeparableConv(_Convolving):
    """Arguments of a depthwise convolution with a mixing of channels after it: those of `_Conv`, `_DepthwiseConv`."""

    filters: int
    kernel_size: _Sizes
    strides: _Sizes = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: _Sizes = 1
    depth_multiplier: int = 1
    activation: ActivationLike = None
    use_bias: bool = True
    depthwise_initializer: InitializerLike = "glorot_uniform"
    pointwise_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    depthwise_regularizer: RegularizerLike = None
    pointwise_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    depthwise_constraint: ConstraintLike = None
    pointwise_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def convolve(self, s: Scope, x: Any, window: tuple[int, ...], channels: int) -> Any:
        depthwise = s.weight("depthwise_kernel", (*window, channels, self.depth_multiplier), "depthwise")
        pointwise = s.weight(
            "pointwise_kernel", (*(1 for _ in window), channels * self.depth_multiplier, self.filters), "pointwise"
        )
        bias = self.bias(s, self.filters)
        options = self.strides, self.padding, self.data_format, self.dilation_rate
        return ops.separable_conv(x, depthwise, pointwise, *options, bias)


@layer
class SeparableConv1D(_SeparableConv):
    """Depthwise convolution and mixing of channels: (batch, time, channels) to (batch, time', filters).

    See `SeparableConv2D`.
    """

    rank: ClassVar[int] = 1


@layer
class SeparableConv2D(_SeparableConv):
    """Depthwise convolution, then a mixing of channels (Chollet, arXiv:1610.02357).

    (batch, height, width, channels) to (batch, height', width', filters). Arguments: see `Conv2D` and
    `DepthwiseConv2D`.
    """

    rank: ClassVar[int] = 2
    strides: _Sizes = (1, 1)
    dilation_rate: _Sizes = (1, 1)


Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
