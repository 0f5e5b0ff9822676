"""Layers that act in training only: dropout and noise. With one key they draw the same on every backend."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from .. import checks, ops, random
from ..arrays import backend_of, dtype_name, namespace
from ..errors import ShapeError
from ..ops.bits import random_mask
from ..typing import Array
from .layer import Layer, base_layer, layer
from .scope import Scope

__all__ = [
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


def mask_shape(shape: tuple[int | None, ...] | None, x: Any) -> tuple[int, ...]:
    """`shape`, in which None is replaced by the size of `x`."""
    own = backend_of(x).sizes(x)
    if shape is None:
        return own
    if len(shape) != x.ndim or any(m not in (None, 1, n) for m, n in zip(shape, x.shape, strict=True)):
        raise ShapeError(
            f"`noise_shape` {tuple(shape)} does not broadcast to the input {tuple(x.shape)}.",
            argument="noise_shape",
            expected=f"for each axis None, 1 or its size, of {tuple(x.shape)}",
            got=shape,
        )
    return tuple(n if m is None else m for m, n in zip(shape, own, strict=True))


@base_layer
class _Noise(Layer):
    """The base of layers that do nothing except in training."""

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    supports_masking: ClassVar[bool] = True

    all_may_drop: ClassVar[bool] = True
    """Whether `rate` may be 1; not where the noise would be infinite then."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if hasattr(self, "rate"):
            checks.probability("rate", self.rate, one=self.all_may_drop)
        noise_shape = getattr(self, "noise_shape", None)
        if noise_shape is not None:
            checks.sizes("noise_shape", noise_shape)


@layer
class Dropout(_Noise):
    """In training, set each element to 0 with probability `rate`, and multiply the others by `1 / (1 - rate)`.

    Any shape to the same shape (Srivastava et al., JMLR 15, 2014).

    Args:
        rate: A probability in [0, 1]. With 1, all elements become 0.
        noise_shape: The shape of the mask, which broadcasts to the input. None in it stands for the size of the input.
            By default it is the shape of the input.
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None

    def forward(self, s: Scope, x: Array) -> Array:
        if not s.train or self.rate == 0:
            return x
        return ops.dropout(x, s.key(), self.rate, mask_shape(self.noise_shape, x))


@base_layer
class _SpatialDropout(_Noise):
    """In training, set whole channels to 0 with probability `rate`, and scale the others (Tompson et al., 2014).

    Args:
        rate: A probability in [0, 1]. With 1, all elements become 0.
    """

    rank: ClassVar[int]
    _positions: ClassVar[tuple[Any, ...]] = ("name", "dtype")

    rate: float

    def forward(self, s: Scope, x: Array) -> Array:
        checks.rank("x", x, self.rank + 2)
        if not s.train or self.rate == 0:
            return x
        ones = (1,) * self.rank
        shape = (None, None, *ones) if getattr(self, "data_format", None) == "channels_first" else (None, *ones, None)
        return ops.dropout(x, s.key(), self.rate, mask_shape(shape, x))


@layer
class SpatialDropout1D(_SpatialDropout):
    """In training, set whole channels to 0 with probability `rate`: (batch, steps, channels) to the same.

    The other channels are multiplied by `1 / (1 - rate)` (Tompson et al., arXiv:1411.4280).
    """

    rank: ClassVar[int] = 1

    seed: int | None = None


@layer
class SpatialDropout2D(_SpatialDropout):
    """In training, set whole channels to 0 with probability `rate`: (batch, height, width, channels) to the same.

    Shapes are (batch, channels, height, width) with `data_format="channels_first"`. See `SpatialDropout1D`.
    """

    rank: ClassVar[int] = 2

    data_format: str | None = None
    seed: int | None = None


@layer
class SpatialDropout3D(_SpatialDropout):
    """In training, set whole channels to 0: (batch, depth, height, width, channels) to the same.

    Shapes are (batch, channels, depth, height, width) with `data_format="channels_first"`. See `SpatialDropout1D`.
    """

    rank: ClassVar[int] = 3

    data_format: str | None = None
    seed: int | None = None


@layer
class AlphaDropout(_Noise):
    """Dropout for networks with `selu`, which keeps mean 0 and variance 1 (Klambauer et al., arXiv:1706.02515).

    In training, each element is set to the smallest value of `selu` with probability `rate`. Then all are scaled and
    shifted. Any shape to the same shape.

    Args:
        rate: A probability in [0, 1).
        noise_shape: As for `Dropout`.
    """

    all_may_drop: ClassVar[bool] = False

    rate: float
    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None

    def forward(self, s: Scope, x: Array) -> Array:
        if not s.train or self.rate == 0:
            return x
        least = -1.0507009873554805 * 1.6732632423543772
        keep = random_mask(s.key(), mask_shape(self.noise_shape, x), 1 - self.rate)
        scale = ((1 - self.rate) * (1 + self.rate * least**2)) ** -0.5
        xp = namespace(x)
        return (xp.where(keep, x, xp.full_like(x, least)) - least * self.rate) * scale


@layer
class GaussianDropout(_Noise):
    """In training, `x` times normal noise of mean 1 and variance `rate / (1 - rate)` (Srivastava et al., 2014).

    Any shape to the same shape.

    Args:
        rate: A probability in [0, 1).
    """

    all_may_drop: ClassVar[bool] = False

    rate: float
    seed: int | None = None

    def forward(self, s: Scope, x: Array) -> Array:
        if not s.train or self.rate == 0:
            return x
        return x * random.normal(
            s.key(), mask_shape(None, x), dtype_name(x.dtype), 1.0, math.sqrt(self.rate / (1 - self.rate))
        )


@layer
class GaussianNoise(_Noise):
    """In training, `x` plus normal noise of mean 0. Any shape to the same shape.

    Args:
        stddev: The standard deviation of the noise, in [0, 1].
    """

    stddev: float
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("stddev", self.stddev, least=0, most=1)

    def forward(self, s: Scope, x: Array) -> Array:
        if not s.train or self.stddev == 0:
            return x
        return x + random.normal(s.key(), mask_shape(None, x), dtype_name(x.dtype), 0.0, self.stddev)
