"""Activation functions by Keras's names and with its arguments: `activation="gelu"`, or `nn.activations.gelu(x)`.

Most are ops as they are; here stand those whose arguments or defaults differ from the op of the same name. They are
made of ops, and so take any framework's arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..errors import ArgumentError
from ..registry import register, resolve

__all__ = [
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


celu, elu, glu, hard_shrink, hard_sigmoid = ops.celu, ops.elu, ops.glu, ops.hard_shrink, ops.hard_sigmoid
hard_silu, hard_tanh, leaky_relu, log_sigmoid = ops.hard_silu, ops.hard_tanh, ops.leaky_relu, ops.log_sigmoid
log_softmax, relu6, selu, sigmoid, silu = ops.log_softmax, ops.relu6, ops.selu, ops.sigmoid, ops.silu
soft_shrink, softmax, softplus, softsign = ops.soft_shrink, ops.softmax, ops.softplus, ops.softsign
sparse_plus, sparse_sigmoid, sparsemax = ops.sparse_plus, ops.sparse_sigmoid, ops.sparsemax
squareplus, tanh, tanh_shrink, threshold = ops.squareplus, ops.tanh, ops.tanh_shrink, ops.threshold
exponential, swish, hard_swish = ops.exp, silu, hard_silu

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


def get(activation: str | Callable | None) -> Callable:
    """The function that `activation` stands for: a name, a function, or None for the identity.

    Raises:
        ArgumentError: There is no activation of that name, or it is no function.
    """
    found = linear if activation is None else resolve("activation", activation)
    if not callable(found):
        raise ArgumentError.must_be("activation", "a name, a function or None", found)
    return found
