"""Recurrent layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from .. import ops
from ..arrays import namespace
from ..errors import ArgumentError, ShapeError
from ..registry import register, resolve
from . import activations, initializers
from .core import positive
from .layer import Layer, layer
from .scope import Scope

__all__ = ["GRU", "LSTM"]


@register("initializer")
@dataclasses.dataclass(frozen=True)
class ForgetGateOnes:
    """The `bias` initializer for an LSTM's (4 * units,), with ones for the forget gate (Jozefowicz et al., 2015)."""

    bias: Any = "zeros"

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        units = shape[0] // 4
        first = resolve("initializer", self.bias)(key, (units,), dtype)
        rest = resolve("initializer", self.bias)(key, (2 * units,), dtype)
        return namespace(key).concat([first, initializers.ones(key, (units,), dtype), rest])


@dataclasses.dataclass(frozen=True, eq=False)
class _Recurrent(Layer):
    """What recurrent layers share.

    Args:
        units: Features of the state and of the output.
        activation: For the candidate and the output.
        recurrent_activation: For the gates.
        return_sequences: Whether to return the output of every step, and not of the last one only.
        return_state: Whether to return the last state(s) too.
        go_backwards: Whether to go from the last step to the first; the outputs come in that order.
        dropout: Probability that training drops an input feature, at all steps of a sequence.
    """

    gates: ClassVar[int]

    units: int
    activation: str | Callable | None = "tanh"
    recurrent_activation: str | Callable | None = "sigmoid"
    use_bias: bool = True
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    dropout: float = 0.0
    kernel_initializer: Any = "glorot_uniform"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"

    def __post_init__(self):
        super().__post_init__()
        positive("units", self.units)
        activations.get(self.activation)
        activations.get(self.recurrent_activation)
        if not 0 <= self.dropout < 1:
            raise ArgumentError(
                "dropout is a probability.", argument="dropout", expected="0 <= dropout < 1", got=self.dropout
            )

    def forward(self, s: Scope, x, initial_state=None):
        """(batch, time, inputs) to (batch, units), or (batch, time, units) with `return_sequences`."""
        if x.ndim != 3:
            raise ShapeError(
                "A recurrent layer reads sequences.",
                argument="x",
                expected="(batch, time, inputs)",
                got=tuple(x.shape),
            )
        kernel = s.param("kernel", (x.shape[-1], self.gates * self.units), self.kernel_initializer)
        recurrent = s.param("recurrent_kernel", (self.units, self.gates * self.units), self.recurrent_initializer)
        bias = s.param("bias", self._bias_shape(), self._bias_initializer()) if self.use_bias else None
        if s.train and self.dropout:
            x = ops.dropout(x, s.key(), self.dropout, (x.shape[0], 1, x.shape[2]))
        first = () if initial_state is None else initial_state
        first = first if isinstance(first, tuple | list) else (first,)
        sequence, *last = self._run_sequence(x, kernel, recurrent, bias, first)
        out = last[0]
        if self.return_sequences:
            out = namespace(sequence).flip(sequence, axis=1) if self.go_backwards else sequence
        return (out, *last) if self.return_state else out

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _bias_initializer(self) -> Any:
        return self.bias_initializer

    def _functions(self) -> dict[str, Any]:
        return {
            "reverse": self.go_backwards,
            "activation": activations.get(self.activation),
            "recurrent_activation": activations.get(self.recurrent_activation),
        }

    def _run_sequence(self, x, kernel, recurrent, bias, first):
        raise NotImplementedError


@layer
class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): (batch, time, inputs) to (batch, units).

    States are h and c, (batch, units) each; gates are in the order input, forget, cell, output.

    Args:
        unit_forget_bias: Whether the forget gate's bias starts at 1.
    """

    gates: ClassVar[int] = 4
    unit_forget_bias: bool = True

    def _bias_initializer(self):
        return ForgetGateOnes(self.bias_initializer) if self.unit_forget_bias else self.bias_initializer

    def _run_sequence(self, x, kernel, recurrent, bias, first):
        return ops.lstm(x, kernel, recurrent, bias, *first, **self._functions())


@layer
class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al., arXiv:1406.1078): (batch, time, inputs) to (batch, units).

    Gates are in the order update, reset, candidate.

    Args:
        reset_after: Whether the reset gate works after the recurrent product (as in cuDNN) or before it.
    """

    gates: ClassVar[int] = 3
    reset_after: bool = True

    def _bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _run_sequence(self, x, kernel, recurrent, bias, first):
        return ops.gru(x, kernel, recurrent, bias, *first, reset_after=self.reset_after, **self._functions())
