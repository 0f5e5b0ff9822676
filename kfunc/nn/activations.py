"""The names of activation functions, as `activation=` takes them. The functions themselves are ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..registry import register, resolve

__all__ = ["get"]


@register("activation", "linear")
def linear(x: Any) -> Any:
    """`x` itself."""
    return x


_ALIASES = {"silu": ("swish",), "hard_silu": ("hard_swish",)}

for _op in (
    *(ops.celu, ops.elu, ops.gelu, ops.glu, ops.hard_shrink, ops.hard_sigmoid, ops.hard_silu, ops.hard_tanh),
    *(ops.leaky_relu, ops.log_sigmoid, ops.log_softmax, ops.relu, ops.relu6, ops.selu, ops.sigmoid, ops.silu),
    *(ops.soft_shrink, ops.softmax, ops.softplus, ops.softsign, ops.sparse_plus, ops.sparse_sigmoid, ops.sparsemax),
    *(ops.squareplus, ops.tanh, ops.tanh_shrink),
):
    register("activation", _op.name, *_ALIASES.get(_op.name, ()))(_op)


def get(activation: str | Callable | None) -> Callable:
    """The function that `activation` stands for: a name, a function, or None for the identity.

    Raises:
        ArgumentError: There is no activation of that name.
    """
    return linear if activation is None else resolve("activation", activation)
