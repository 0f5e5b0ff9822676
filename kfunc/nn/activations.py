"""Activation functions with Keras's names and arguments, and the layers that apply them.

A layer takes a function or its name, `activation="gelu"`; called directly, it is `nn.activations.gelu(x)`. Most of the
functions are ops. Only those are written here whose arguments or defaults differ from the op of the same name. They are
made of ops, and so they take arrays of any backend.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from operator import index
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
from ..ops import exp as exponential
from ..ops._promotion import beside
from ..registry import configs, register, resolve
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
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "gelu_new",
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
    "quick_gelu",
    "relu",
    "relu6",
    "selu",
    "serialize",
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
    """`x` itself, unchanged."""
    return x


@register("activation")
def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """`x` above `threshold`, but at most `max_value`; below it `negative_slope * (x - threshold)`."""
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
    """`x` times the probability that a standard normal number is below `x` (Hendrycks and Gimpel, arXiv:1606.08415).

    This is not `kf.ops.gelu(x)`, whose default is the approximation: as in Keras, the two differ by up to 5e-4.

    Args:
        x: An array.
        approximate: Whether to use the approximation by `tanh`, which is `gelu_new`.
    """
    return ops.gelu(x, approximate)


@register("activation", "gelu_new", "gelu_pytorch_tanh")
def gelu_new(x: Any) -> Any:
    """`gelu` approximated by `tanh`, as GPT-2 has it: `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))) / 2`.

    The names are those of Hugging Face's configs, which call the exact one "gelu".
    """
    return ops.gelu(x, True)


@register("activation")
def quick_gelu(x: Any) -> Any:
    """`x sigmoid(1.702 x)`, the approximation of `gelu` in CLIP (Hendrycks and Gimpel, arXiv:1606.08415)."""
    return ops.multiply(x, ops.sigmoid(ops.multiply(1.702, x)))


@register("activation")
def mish(x: Any) -> Any:
    """`x * tanh(softplus(x))` (Misra, arXiv:1908.08681)."""
    return ops.multiply(x, ops.tanh(ops.softplus(x)))


swish = silu
hard_swish = hard_silu

_ALIASES = {"exp": ("exponential", "exp"), "silu": ("silu", "swish"), "hard_silu": ("hard_silu", "hard_swish")}

for _op in (
    *(celu, elu, exponential, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, leaky_relu, log_sigmoid),
    *(log_softmax, relu6, selu, sigmoid, silu, soft_shrink, softmax, softplus, softsign, sparse_plus, sparse_sigmoid),
    *(sparsemax, squareplus, tanh, tanh_shrink, threshold),
):
    register("activation", *_ALIASES.get(_op.name, (_op.name,)))(_op)
# A layer may be given the op itself. These two ops need other names, since "relu" and "gelu" are the functions above.
register("activation", "ops.relu")(ops.relu)
register("activation", "ops.gelu")(ops.gelu)


def get(activation: ActivationLike, s: Scope | None = None) -> Callable[..., Array]:
    """The function that `activation` stands for: a name, a function, or None for the identity.

    Args:
        activation: As a layer has it.
        s: The scope of the layer that has it. With it, the activation may be a layer, such as `nn.LeakyReLU(0.1)`.

    Raises:
        ArgumentError: No activation has this name, or it is not a function.
    """
    if isinstance(activation, Layer):
        if s is None:
            raise ArgumentError.must_be(
                "activation", "a name, a function or None in this layer", activation, fix="use a function of kf.ops"
            )
        return functools.partial(activation, s)
    found = linear if activation is None else resolve("activation", activation)
    if not callable(found):
        raise ArgumentError.must_be("activation", "a name, a function or None", found)
    return found


# -- layers ------------------------------------------------------------------------------------------------------------


@layer
class Activation(Layer):
    """`activation(x)`: any shape to the same shape.

    Args:
        activation: A function, or its name.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    supports_masking: ClassVar[bool] = True

    activation: ActivationLike

    def forward(self, s: Scope, x: Array) -> Array:
        return get(self.activation, s)(x)


@layer
class ReLU(Layer):
    """`x` above `threshold`, but at most `max_value`; below it `negative_slope * (x - threshold)`. Any shape.

    Args:
        max_value: The largest output, not negative; None for no limit.
        negative_slope: The slope below the threshold, not negative.
        threshold: A number that is not negative.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

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
    """`x` where it is positive, else `negative_slope * x`. Any shape.

    Args:
        negative_slope: A number that is not negative.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    supports_masking: ClassVar[bool] = True

    negative_slope: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("negative_slope", self.negative_slope, least=0)

    def forward(self, s: Scope, x: Array) -> Array:
        return ops.leaky_relu(x, self.negative_slope)


@layer
class ELU(Layer):
    """`x` where it is positive, else `alpha * (exp(x) - 1)` (Clevert et al., arXiv:1511.07289). Any shape.

    Args:
        alpha: The factor for negative numbers.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    supports_masking: ClassVar[bool] = True

    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("alpha", self.alpha)

    def forward(self, s: Scope, x: Array) -> Array:
        return ops.elu(x, self.alpha)


@layer
class PReLU(Layer):
    """`x` where it is positive, else `alpha * x` with a learned `alpha` (He et al., arXiv:1502.01852).

    (batch, ...) to the same shape.

    Args:
        shared_axes: The axes along which `alpha` is the same, an integer or several; axis 1 is the first one after the
            batch. For images, (1, 2) gives one `alpha` for each channel.
    """

    supports_masking: ClassVar[bool] = True

    alpha_initializer: InitializerLike = "Zeros"
    alpha_regularizer: RegularizerLike = None
    alpha_constraint: ConstraintLike = None
    shared_axes: int | Sequence[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        axes = self.shared_axes
        for axis in axes if isinstance(axes, tuple | list) else () if axes is None else (axes,):
            checks.positive("shared_axes", axis)

    def _shared(self) -> tuple[int, ...]:
        axes = () if self.shared_axes is None else self.shared_axes
        # `index`: under torch.compile(dynamic=True) the numbers of a layer are symbols, and `in` does not find them.
        return tuple([index(a) for a in axes]) if isinstance(axes, tuple | list) else (index(axes),)  # type: ignore[arg-type]

    def forward(self, s: Scope, x: Array) -> Array:
        shared = self._shared()
        checks.rank("x", x, max(2, 1 + max(shared, default=0)), least=True)
        shape = tuple(1 if i in shared else n for i, n in enumerate(x.shape))[1:]
        alpha = s.weight("alpha", shape)
        x = beside(x, alpha)
        return ops.relu(x) - alpha * ops.relu(-x)


@layer
class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along `axis`. Any shape.

    `layer(s, x, mask=None)`: the output is 0 where `mask` is False. The mask holds booleans, or numbers, of which those
    above 0.5 mean True, and broadcasts to the input.

    Args:
        axis: An integer, or several.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)
    rounds_late: ClassVar[bool] = True

    supports_masking: ClassVar[bool] = True

    axis: int | Sequence[int] = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        if not axes:
            raise ArgumentError.must_be("axis", "an integer or several, at least one", self.axis)
        for axis in axes:
            checks.integer("axis", axis)

    def forward(self, s: Scope, x: Array, mask: Array | None = None) -> Array:
        if mask is None:
            return ops.softmax(x, self.axis)
        xp = namespace(x, mask)
        sizes = zip(mask.shape[::-1], x.shape[::-1], strict=False)
        if mask.ndim > x.ndim or any(m not in (1, None, n) for m, n in sizes if n is not None):
            raise ShapeError(
                f"`mask` has shape {tuple(mask.shape)}, which does not broadcast to the input {tuple(x.shape)}.",
                argument="mask",
                expected=f"a shape that broadcasts to {tuple(x.shape)}",
                got=tuple(mask.shape),
            )
        mask = mask if mask.dtype == xp.bool else mask > 0.5
        # A finite number, so that a row without any True does not become NaN. The largest float16 is 65504.
        low = xp.full_like(x, -3e4 if x.dtype == getattr(xp, "float16", None) else -1e9)
        return xp.where(mask, ops.softmax(xp.where(mask, x, low), self.axis), xp.zeros_like(x))


serialize, deserialize = configs("activation")
