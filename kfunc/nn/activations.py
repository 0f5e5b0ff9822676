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


for _op in (
    ops.elu,
    ops.gelu,
    ops.leaky_relu,
    ops.log_softmax,
    ops.relu,
    ops.sigmoid,
    ops.silu,
    ops.softmax,
    ops.softplus,
    ops.tanh,
):
    register("activation", *((_op.name, "swish") if _op is ops.silu else (_op.name,)))(_op)


def get(activation: str | Callable | None) -> Callable:
    """The function that `activation` stands for: a name, a function, or None for the identity.

    Raises:
        ArgumentError: There is no activation of that name.
    """
    return linear if activation is None else resolve("activation", activation)
