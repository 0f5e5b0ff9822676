"""Recurrent layers that compute their gates by convolutions."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import checks, ops
from ..arrays import namespace
from ..ops.recurrent import lstm_gates, per_gate, recurrence
from ..typing import ActivationLike, Array, ConstraintLike, InitializerLike, RegularizerLike, Sizes
from . import activations, cells
from .conv import check_windows
from .layer import Layer, base_layer, layer
from .recurrent import OverTime, Prepared
from .scope import Scope

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"]


@base_layer
class _Arguments(Layer):
    """The arguments, in Keras's order.

    Args:
        filters: The number of channels of each state and of the output.
        kernel_size: The size of the window of both convolutions: an integer, or one for each spatial axis.
        strides, dilation_rate: An integer, or one for each spatial axis, for the convolution of the input. Only one of
            both may be larger than 1. The convolution of the state keeps the sizes.
        padding: "valid" or "same", for the convolution of the input.
        data_format: "channels_last" or "channels_first"; None is "channels_last".
        activation: The function for the candidate and the output, or its name; None for the identity.
        recurrent_activation: The function for the gates, or its name; None for the identity.
        unit_forget_bias: Whether the bias of the forget gate starts at 1.
        dropout: The probability that training drops an element of the input, at all steps of a sequence.
        recurrent_dropout: The probability that training drops an element of the state before it goes into a gate.
    """

    _positions: ClassVar[tuple[Any, ...]] = ("activity_regularizer", "kernel_constraint")

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: Sizes = 1
    activation: ActivationLike = "tanh"
    recurrent_activation: ActivationLike = "sigmoid"
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    recurrent_initializer: InitializerLike = "orthogonal"
    bias_initializer: InitializerLike = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: RegularizerLike = None
    recurrent_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None


class _ConvLSTM(OverTime, _Arguments):
    rank: ClassVar[int]
    gates: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("filters", self.filters)
        check_windows(self, self.rank, both=False)
        checks.one_of("padding", self.padding, ("valid", "same"))
        checks.probability("dropout", self.dropout, one=True)
        checks.probability("recurrent_dropout", self.recurrent_dropout, one=True)

    def check(self, x: Array) -> None:
        checks.rank("x", x, self.rank + 3)

    def prepare(self, s: Scope, x: Array) -> Prepared:
        axis = 1 if self.data_format == "channels_first" else -1
        channels = checks.known("x", x, 2 if axis == 1 else -1)[0]
        window = checks.per_axis("kernel_size", self.kernel_size, self.rank)
        n = self.gates * self.filters
        kernel, recurrent_kernel, bias = cells.parameters(
            self, s, (*window, channels, n), (*window, self.filters, n), (n,)
        )
        xp = namespace(x)
        if s.train and self.dropout:
            x = ops.dropout(x, s.key(), self.dropout, (x.shape[0], 1, *x.shape[2:]))
        # The inputs of all steps are convolved at once, as one batch.
        steps = xp.reshape(x, (-1, *x.shape[2:]))
        z = ops.conv(steps, kernel, self.strides, self.padding, self.data_format, self.dilation_rate, bias)
        z = ops.split_first(z, x)
        gate = z[:, 0, : self.filters, ...] if axis == 1 else z[:, 0, ..., : self.filters]
        zero = xp.zeros_like(gate)
        keep = cells.factors(self, s, zero)
        functions = activations.get(self.activation), activations.get(self.recurrent_activation)

        def convolved(h, w):
            return ops.conv(h, w, 1, "same", self.data_format)

        def step(z, states, kept):
            h, c = states
            h, c = lstm_gates(z + per_gate(convolved, h, recurrent_kernel, keep, axis), c, *functions, axis)
            return h, (h, c), kept

        def run(states, options):
            states = (zero, zero) if states is None else states
            sequence, states, _ = recurrence(step, z, states, first=states[0], **options)
            return sequence, states[0], states

        return run, lambda: (zero, zero)


@layer
class ConvLSTM1D(_ConvLSTM):
    """An LSTM over sequences of lines (Shi et al., arXiv:1506.04214).

    (batch, time, length, channels) to (batch, length', filters); with `data_format="channels_first"`, channels come
    before length. States are h and c, of the shape of the output.
    """

    rank: ClassVar[int] = 1


@layer
class ConvLSTM2D(_ConvLSTM):
    """An LSTM over sequences of images (Shi et al., arXiv:1506.04214).

    (batch, time, height, width, channels) to (batch, height', width', filters); with `data_format="channels_first"`,
    channels come before height. States are h and c, of the shape of the output.
    """

    rank: ClassVar[int] = 2


@layer
class ConvLSTM3D(_ConvLSTM):
    """An LSTM over sequences of volumes (Shi et al., arXiv:1506.04214).

    (batch, time, depth, height, width, channels) to (batch, depth', height', width', filters); with
    `data_format="channels_first"`, channels come before depth. States are h and c, of the shape of the output.
    """

    rank: ClassVar[int] = 3
