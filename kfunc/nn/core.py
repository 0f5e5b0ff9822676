"""Layers without a theme of their own: dense, activation, embedding, shapes, dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import ops
from ..arrays import namespace
from ..errors import ArgumentError, ShapeError
from . import activations
from .layer import Layer, layer
from .scope import Scope

__all__ = ["Activation", "Dense", "Dropout", "Embedding", "Flatten", "Reshape", "positive"]


def positive(argument: str, value: Any) -> None:
    """Check that `value` is a positive integer.

    Raises:
        ArgumentError: It is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(
            f"{argument} counts something.", argument=argument, expected="a positive integer", got=repr(value)
        )


@layer
class Dense(Layer):
    """`activation(x @ kernel + bias)`: (..., inputs) to (..., units)."""

    units: int
    activation: str | Callable | None = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"

    def __post_init__(self):
        super().__post_init__()
        positive("units", self.units)
        activations.get(self.activation)

    def forward(self, s: Scope, x):
        kernel = s.param("kernel", (x.shape[-1], self.units), self.kernel_initializer)
        bias = s.param("bias", (self.units,), self.bias_initializer) if self.use_bias else None
        return activations.get(self.activation)(ops.linear(x, kernel, bias))


@layer
class Embedding(Layer):
    """Vectors for integers: (...) in `[0, input_dim)` to (..., output_dim)."""

    input_dim: int
    output_dim: int
    embeddings_initializer: Any = "uniform"

    def __post_init__(self):
        super().__post_init__()
        positive("input_dim", self.input_dim)
        positive("output_dim", self.output_dim)

    def forward(self, s: Scope, x):
        table = s.param("embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer)
        return ops.embedding(x, table)


@layer
class Activation(Layer):
    """`activation(x)`; any shape."""

    activation: str | Callable

    def __post_init__(self):
        super().__post_init__()
        activations.get(self.activation)

    def forward(self, s: Scope, x):
        return activations.get(self.activation)(x)


@layer
class Dropout(Layer):
    """In training, zero each element with probability `rate`, and scale the others by `1 / (1 - rate)`; any shape.

    Srivastava et al., JMLR 15, 2014. Draws a key from the scope in training.

    Args:
        rate: In [0, 1).
        noise_shape: Shape of the mask, which broadcasts to the input's; None in it stands for the input's own size.
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.rate < 1:
            raise ArgumentError("rate is a probability.", argument="rate", expected="0 <= rate < 1", got=self.rate)

    def forward(self, s: Scope, x):
        if not s.train or self.rate == 0:
            return x
        shape = tuple(x.shape)
        if self.noise_shape is not None:
            shape = tuple(n if m is None else m for m, n in zip(self.noise_shape, shape, strict=True))
        return ops.dropout(x, s.key(), self.rate, shape)


@layer
class Flatten(Layer):
    """(batch, ...) to (batch, product of the others)."""

    def forward(self, s: Scope, x):
        if None in x.shape[1:]:
            raise ShapeError(
                "Flatten needs to know all sizes but the batch's.",
                argument="x",
                expected="known sizes",
                got=tuple(x.shape),
                fix="give them in the sample or Spec passed to init",
            )
        return namespace(x).reshape(x, (-1, math.prod(x.shape[1:])))


@layer
class Reshape(Layer):
    """(batch, ...) to (batch, *target_shape); one size may be -1."""

    target_shape: tuple[int, ...]

    def __post_init__(self):
        super().__post_init__()
        if sum(n == -1 for n in self.target_shape) > 1 or any(n < -1 or n == 0 for n in self.target_shape):
            raise ArgumentError(
                "target_shape is no shape.",
                argument="target_shape",
                expected="positive integers, at most one of them -1",
                got=self.target_shape,
            )

    def forward(self, s: Scope, x):
        shape, known = self.target_shape, None if None in x.shape[1:] else math.prod(x.shape[1:])
        if known is not None:
            rest = math.prod(n for n in shape if n != -1)
            if known % rest or (-1 not in shape and known != rest):
                raise ShapeError(
                    "The input does not fill the target shape.",
                    argument="target_shape",
                    expected=f"a shape of {known} elements",
                    got=shape,
                )
            # The batch size may be unknown, and a reshape finds one size only.
            shape = tuple(known // rest if n == -1 else n for n in shape)
        return namespace(x).reshape(x, (-1, *shape))
