"""Activation functions by Keras's names and with its arguments: `activation="gelu"`, or `nn.activations.gelu(x)`.

Most are ops as they are; here stand those whose arguments or defaults differ from the op of the same name. They are
made of ops, and so take any framework's arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .. import checks, ops
from ..arrays import namespace
from ..errors import ArgumentError, ShapeError
from ..ops import (
    celu,
    elu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,
)
from ..ops._promotion import beside
from ..registry import register, resolve
from ..typing import ActivationLike, Array, ConstraintLike, InitializerLike, RegularizerLike
from .layer import Layer, layer
from .scope import Scope

__all__ = [
    "ELU",
    "Activation",
    "LeakyReLU",
    "PReLU",
    "ReLU",
    "Softmax",
    "celu",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]


@register("activation")
def linear(x: Any) -> Any:
    """`x` itself."""
    return x


@register("activation")
def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """`x` above `threshold`, at most `max_value`; below it `negative_slope * (x - threshold)`."""
    if threshold == 0 and max_value is None:
        return ops.leaky_relu(x, negative_slope) if negative_slope else ops.relu(x)
    out = ops.threshold(x, threshold, 0)
    if max_value is not None:
        out = ops.minimum(out, max_value)
    if negative_slope:
        out = ops.subtract(out, ops.multiply(negative_slope, ops.relu(ops.subtract(threshold, x))))
    return out


@register("activation")
def gelu(x: Any, approximate: bool = False) -> Any:
    """`x` times the share of the standard normal distribution below it (Hendrycks and Gimpel, arXiv:1606.08415)."""
    return ops.gelu(x, approximate)


@register("activation")
def mish(x: Any) -> Any:
    """`x * tanh(softplus(x))` (Misra, arXiv:1908.08681)."""
    return ops.multiply(x, ops.tanh(ops.softplus(x)))


exponential = ops.exp
swish = silu
hard_swish = hard_silu

_ALIASES = {"exp": ("exponential", "exp"), "silu": ("silu", "swish"), "hard_silu": ("hard_silu", "hard_swish")}

for _op in (
    *(celu, elu, exponential, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, leaky_relu, log_sigmoid),
    *(log_softmax, relu6, selu, sigmoid, silu, soft_shrink, softmax, softplus, softsign, sparse_plus, sparse_sigmoid),
    *(sparsemax, squareplus, tanh, tanh_shrink, threshold),
):
    register("activation", *_ALIASES.get(_op.name, (_op.name,)))(_op)
# For those who give a layer the op itself, where another function has its name.
register("activation", "ops.relu")(ops.relu)
register("activation", "ops.gelu")(ops.gelu)


def get(activation: ActivationLike) -> Callable[..., Array]:
    """The function that `activation` stands for: a name, a function, or None for the identity.

    Raises:
        ArgumentError: There is no activation of that name, or it is no function.
    """
    found = linear if activation is None else resolve("activation", activation)
    if not callable(found):
        raise ArgumentError.must_be("activation", "a name, a function or None", found)
    return found


# -- layers ------------------------------------------------------------------------------------------------------------


@layer
class Activation(Layer):
    """`activation(x)`, of any shape."""

    float_inputs = ("x",)

    supports_masking: ClassVar[bool] = True

    activation: ActivationLike

    def forward(self, s: Scope, x: Array) -> Array:
        return get(self.activation)(x)


@layer
class ReLU(Layer):
    """`x` above `threshold`, at most `max_value`; below it `negative_slope * (x - threshold)`; any shape.

    Args:
        max_value: Not negative; None for no limit.
        negative_slope, threshold: Not negative.
    """

    float_inputs = ("x",)

    supports_masking: ClassVar[bool] = True

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("max_value", self.max_value, least=0, none=True)
        checks.number("negative_slope", self.negative_slope, least=0)
        checks.number("threshold", self.threshold, least=0)

    def forward(self, s: Scope, x: Array) -> Array:
        return relu(x, self.negative_slope, self.max_value, self.threshold)


@layer
class LeakyReLU(Layer):
    """`x` where positive, else `negative_slope * x`; any shape.

    Args:
        negative_slope: Not negative.
    """

    float_inputs = ("x",)

    supports_masking: ClassVar[bool] = True

    negative_slope: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("negative_slope", self.negative_slope, least=0)

    def forward(self, s: Scope, x: Array) -> Array:
        return ops.leaky_relu(x, self.negative_slope)


@layer
class ELU(Layer):
    """`x` where positive, else `alpha * (exp(x) - 1)`; any shape (Clevert et al., arXiv:1511.07289).

    Args:
        alpha: The output of a very negative `x` is `-alpha`.
    """

    float_inputs = ("x",)

    supports_masking: ClassVar[bool] = True

    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("alpha", self.alpha)

    def forward(self, s: Scope, x: Array) -> Array:
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

    def __post_init__(self) -> None:
        super().__post_init__()
        for axis in self._shared():
            checks.positive("shared_axes", axis)

    def _shared(self) -> tuple[int, ...]:
        axes = () if self.shared_axes is None else self.shared_axes
        return tuple(axes) if isinstance(axes, tuple | list) else (axes,)  # type: ignore[return-value]

    def forward(self, s: Scope, x: Array) -> Array:
        shared = self._shared()
        checks.rank("x", x, max(2, 1 + max(shared, default=0)), least=True)
        shape = tuple(1 if i in shared else n for i, n in enumerate(x.shape))[1:]
        alpha = s.weight("alpha", shape)
        x = beside(x, alpha)
        return ops.relu(x) - alpha * ops.relu(-x)


@layer
class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along `axis`; 0 where `mask` is False; any shape.

    A `mask` of booleans (or numbers, above 0.5 for True) broadcasts to the input.

    Args:
        axis: The axis whose numbers sum to 1, or several axes.
    """

    float_inputs = ("x",)

    supports_masking: ClassVar[bool] = True

    axis: int | Sequence[int] = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        if not axes:
            raise ArgumentError("Along which axis?", argument="axis", expected="an integer or several", got=())
        for axis in axes:
            checks.integer("axis", axis)

    def forward(self, s: Scope, x: Array, mask: Array | None = None) -> Array:
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
