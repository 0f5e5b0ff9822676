"""Activation functions as layers; all take arrays of any shape, and give the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from .. import checks, ops
from ..arrays import namespace
from ..errors import ArgumentError, ShapeError
from ..ops._promotion import beside
from ..typing import ActivationLike, ConstraintLike, InitializerLike, RegularizerLike
from . import activations
from .layer import Layer, layer
from .scope import Scope

__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax"]


@layer
class Activation(Layer):
    """`activation(x)`, of a function or its name."""

    supports_masking: ClassVar[bool] = True

    activation: ActivationLike

    def forward(self, s: Scope, x):
        return activations.get(self.activation)(x)


@layer
class ReLU(Layer):
    """`x` above `threshold`, at most `max_value`; below it `negative_slope * (x - threshold)`.

    Args:
        max_value: Not negative; None for no limit.
        negative_slope, threshold: Not negative.
    """

    supports_masking: ClassVar[bool] = True

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        checks.number("max_value", self.max_value, least=0, none=True)
        checks.number("negative_slope", self.negative_slope, least=0)
        checks.number("threshold", self.threshold, least=0)

    def forward(self, s: Scope, x):
        return activations.relu(x, self.negative_slope, self.max_value, self.threshold)


@layer
class LeakyReLU(Layer):
    """`x` where positive, else `negative_slope * x`; the slope is not negative."""

    supports_masking: ClassVar[bool] = True

    negative_slope: float = 0.3

    def __post_init__(self):
        super().__post_init__()
        checks.number("negative_slope", self.negative_slope, least=0)

    def forward(self, s: Scope, x):
        return ops.leaky_relu(x, self.negative_slope)


@layer
class ELU(Layer):
    """`x` where positive, else `alpha * (exp(x) - 1)` (Clevert et al., arXiv:1511.07289)."""

    supports_masking: ClassVar[bool] = True

    alpha: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        checks.number("alpha", self.alpha)

    def forward(self, s: Scope, x):
        return ops.elu(x, self.alpha)


@layer
class PReLU(Layer):
    """`x` where positive, else `alpha * x`, of a learned `alpha` (He et al., arXiv:1502.01852): (batch, ...) to same.

    Args:
        shared_axes: Axes, counted from 1 after the batch's, along which `alpha` is the same: (1, 2) for one a channel
            of images. An integer is one axis.
    """

    supports_masking: ClassVar[bool] = True

    alpha_initializer: InitializerLike = "Zeros"
    alpha_regularizer: RegularizerLike = None
    alpha_constraint: ConstraintLike = None
    shared_axes: int | Sequence[int] | None = None

    def __post_init__(self):
        super().__post_init__()
        for axis in self._shared():
            checks.positive("shared_axes", axis)

    def _shared(self) -> tuple[int, ...]:
        axes = () if self.shared_axes is None else self.shared_axes
        return tuple(axes) if isinstance(axes, tuple | list) else (axes,)  # type: ignore[return-value]

    def forward(self, s: Scope, x):
        shared = self._shared()
        checks.rank("x", x, max(2, 1 + max(shared, default=0)), least=True)
        shape = tuple(1 if i in shared else n for i, n in enumerate(x.shape))[1:]
        alpha = s.weight("alpha", shape)
        x = beside(x, alpha)
        return ops.relu(x) - alpha * ops.relu(-x)


@layer
class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along `axis`, an integer or several; 0 where `mask` is False.

    A `mask` of booleans (or numbers, above 0.5 for True) broadcasts to the input.
    """

    supports_masking: ClassVar[bool] = True

    axis: int | Sequence[int] = -1

    def __post_init__(self):
        super().__post_init__()
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        if not axes:
            raise ArgumentError("Along which axis?", argument="axis", expected="an integer or several", got=())
        for axis in axes:
            checks.integer("axis", axis)

    def forward(self, s: Scope, x, mask=None):
        if mask is None:
            return ops.softmax(x, self.axis)
        xp = namespace(x, mask)
        sizes = zip(mask.shape[::-1], x.shape[::-1], strict=False)
        if mask.ndim > x.ndim or any(m not in (1, None, n) for m, n in sizes if n is not None):
            raise ShapeError(
                "The mask does not fit the input.",
                argument="mask",
                expected=f"a shape that broadcasts to {tuple(x.shape)}",
                got=tuple(mask.shape),
            )
        mask = mask if mask.dtype == xp.bool else mask > 0.5
        # Finite, so that a row without any True is no NaN; float16 ends at 65504.
        low = xp.full_like(x, -3e4 if x.dtype == getattr(xp, "float16", None) else -1e9)
        return xp.where(mask, ops.softmax(xp.where(mask, x, low), self.axis), xp.zeros_like(x))
