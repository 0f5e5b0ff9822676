"""Convolution layers: four kinds of kernels, over one, two or three spatial axes."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import checks, ops
from ..errors import ArgumentError, ShapeError
from ..typing import ActivationLike, Array, ConstraintLike, InitializerLike, RegularizerLike, Sizes
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


def check_windows(of: Any, rank: int, both: bool = True) -> None:
    """Check `kernel_size`, `strides` and `dilation_rate` of a layer; the last two may be above 1 only with `both`."""
    sizes = {a: checks.per_axis(a, getattr(of, a), rank) for a in ("kernel_size", "strides", "dilation_rate")}
    if not both and max(sizes["strides"]) > 1 and max(sizes["dilation_rate"]) > 1:
        raise ArgumentError(
            f"`strides` and `dilation_rate` cannot both be larger than 1, got {of.strides} and {of.dilation_rate}.",
            argument="dilation_rate",
            expected="strides=1 or dilation_rate=1",
            got=f"strides={of.strides}, dilation_rate={of.dilation_rate}",
        )


@base_layer
class _Convolving(Layer):
    """The checks, the bias and the activation that all convolutions share."""

    rank: ClassVar[int]
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    both: ClassVar[bool] = True
    """Whether strides and dilation may both be above 1, as in Keras."""

    def __post_init__(self) -> None:
        super().__post_init__()
        of = dict(self._arguments())
        for argument in ("filters", "groups", "depth_multiplier"):
            if argument in of:
                checks.positive(argument, of[argument])
        check_windows(self, self.rank, self.both)
        # In lower case, as the documentation of Keras says.
        padding = of["padding"].lower() if isinstance(of["padding"], str) else of["padding"]
        object.__setattr__(self, "padding", checks.one_of("padding", padding, self.paddings))

    def forward(self, s: Scope, x: Array) -> Array:
        of: Any = self
        axis = 1 if of.data_format == "channels_first" else -1
        groups = getattr(self, "groups", 1)
        if x.ndim != self.rank + 2 or not x.shape[axis] or x.shape[axis] % groups:
            channels = f"channels that {groups} groups divide" if groups > 1 else "channels"
            needed = f"{self.rank + 2} axes with {channels} ({of.data_format or 'channels_last'})"
            raise ShapeError(
                f"`x` must have {needed}, got shape {tuple(x.shape)}.",
                argument="x",
                expected=needed,
                got=tuple(x.shape),
                fix="add the missing axis, for example x[..., None] for a single channel; or check data_format",
            )
        window = checks.per_axis("kernel_size", of.kernel_size, self.rank)
        return activations.get(of.activation, s)(self.convolve(s, x, window, x.shape[axis]))

    def convolve(self, s: Scope, x: Any, window: tuple[int, ...], channels: int) -> Any:
        """The convolution of `x`, which has so many channels, with the kernels of this layer, plus the bias."""
        raise NotImplementedError

    def bias(self, s: Scope, filters: int) -> Any:
        return s.weight("bias", (filters,)) if self.use_bias else None  # type: ignore[attr-defined]


# -- convolution -------------------------------------------------------------------------------------------------------


@base_layer
class _Conv(_Convolving):
    """Arguments of a convolution.

    Args:
        filters: The number of output channels.
        kernel_size: The size of the window: an integer, or one for each spatial axis.
        strides, dilation_rate: An integer, or one for each spatial axis. Only one of both may be larger than 1.
        padding: "valid", "same", or, over one axis, "causal": an output depends only on inputs at its own time and
            before.
        data_format: "channels_last" or "channels_first"; None is "channels_last".
        groups: The number of groups of channels. Each group is convolved by itself. It must divide the number of input
            channels and `filters`.
    """

    both: ClassVar[bool] = False
    _positions: ClassVar[tuple[Any, ...]] = ("activity_regularizer", "kernel_constraint")

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: Sizes = 1
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
                f"`groups` must divide filters={self.filters}, got {self.groups}.",
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

    Shapes are (batch, channels, time) with `data_format="channels_first"`. Causal padding: van den Oord et al.,
    arXiv:1609.03499.
    """

    rank: ClassVar[int] = 1
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same", "causal")


@layer
class Conv2D(_Conv):
    """Convolution of images: (batch, height, width, channels) to (batch, height', width', filters).

    Shapes are (batch, channels, height, width) with `data_format="channels_first"`.

    Args:
        filters: The number of output channels.
        kernel_size: The size of the window: an integer, or one for each spatial axis.
        strides, dilation_rate: An integer, or one for each spatial axis. Only one of both may be larger than 1.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None is "channels_last".
        groups: The number of groups of channels. Each group is convolved by itself. It must divide the number of input
            channels and `filters`.

    Raises:
        ArgumentError: An argument has another value.
        ShapeError: The input has another number of axes, or `groups` does not divide its channels.
    """

    rank: ClassVar[int] = 2
    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


@layer
class Conv3D(_Conv):
    """Convolution of volumes: (batch, depth, height, width, channels) to (batch, depth', height', width', filters).

    Shapes are (batch, channels, depth, height, width) with `data_format="channels_first"`.
    """

    rank: ClassVar[int] = 3
    strides: Sizes = (1, 1, 1)
    dilation_rate: Sizes = (1, 1, 1)


# -- transposed --------------------------------------------------------------------------------------------------------


@base_layer
class _ConvTranspose(_Convolving):
    """Arguments of a transposed convolution: those of `_Conv` without `groups`, and

    Args:
        output_padding: How much larger the output is than the smallest output that a convolution would turn into the
            size of the input; it must be less than `strides`. None: the output has the size of the input times
            `strides` ("same"), or covers all windows ("valid").
    """

    both: ClassVar[bool] = False
    _positions: ClassVar[tuple[Any, ...]] = ("activity_regularizer", "kernel_constraint")

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    output_padding: Sizes | None = None
    data_format: str | None = None
    dilation_rate: Sizes = 1
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
                f"`output_padding` must be less than strides={self.strides}, got {self.output_padding}.",
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

    The sizes of input and output are those of the output and the input of a convolution (Zeiler et al., CVPR 2010).

    Args:
        output_padding: How much larger the output is than the smallest output that a convolution would turn into the
            size of the input; it must be less than `strides`. None: the output has the size of the input times
            `strides` ("same"), or covers all windows ("valid").
    """

    rank: ClassVar[int] = 2
    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


@base_layer
class _FormatFirst(Layer):
    """The first arguments of `Conv3DTranspose` in Keras's order, in which `output_padding` comes last."""

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    data_format: str | None = None


@layer
class Conv3DTranspose(_ConvTranspose, _FormatFirst):
    """Transposed convolution of volumes.

    (batch, depth, height, width, channels) to (batch, depth', height', width', filters). See `Conv2DTranspose`.
    """

    rank: ClassVar[int] = 3
    strides: Sizes = (1, 1, 1)
    dilation_rate: Sizes = (1, 1, 1)


# -- depthwise, and separable ------------------------------------------------------------------------------------------


@base_layer
class _DepthwiseConv(_Convolving):
    """Arguments of a convolution of each channel by itself: those of `_Conv`, and

    Args:
        depth_multiplier: The number of output channels for each input channel.
    """

    _positions: ClassVar[tuple[Any, ...]] = ("activity_regularizer", "depthwise_constraint")

    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    depth_multiplier: int = 1
    data_format: str | None = None
    dilation_rate: Sizes = 1
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

    (batch, height, width, channels) to (batch, height', width', channels * depth_multiplier).
    """

    rank: ClassVar[int] = 2
    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


@base_layer
class _SeparableConv(_Convolving):
    """Arguments of a depthwise convolution and a convolution of size 1 after it: see `_Conv` and `_DepthwiseConv`."""

    _positions: ClassVar[tuple[Any, ...]] = ("activity_regularizer", "depthwise_constraint")

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: Sizes = 1
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
    """Depthwise convolution, then a convolution of size 1: (batch, time, channels) to (batch, time', filters).

    See `SeparableConv2D`.
    """

    rank: ClassVar[int] = 1


@layer
class SeparableConv2D(_SeparableConv):
    """Depthwise convolution, then a convolution of size 1 that mixes the channels (Chollet, arXiv:1610.02357).

    (batch, height, width, channels) to (batch, height', width', filters).
    """

    rank: ClassVar[int] = 2
    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
