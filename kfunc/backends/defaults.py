"""The transforms of backends that bring none: they need nothing but a conforming namespace.

Gradients go through the tape; `vmap` and scans are Python loops; a choice by a value that is not known computes both
branches. As with ops, a backend's own transform comes first, and may return NotImplemented to decline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import tree
from ..tracing import loops
from .base import Backend
from .registry import kind_of

__all__ = ["perform"]


def perform(backend: Backend, transform: str, *args: Any, **kwargs: Any) -> Any:
    """The `transform` of that name, as the backend does it; as it is done here, where the backend declines."""
    out = getattr(backend, transform)(*args, **kwargs)
    return _DEFAULTS[transform](backend, *args, **kwargs) if out is NotImplemented else out


# The tape is imported when somebody asks for a gradient: importing kfunc would take longer with it.


def value_and_grad(
    backend: Backend, fun: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, strict: bool = False
) -> Callable[..., Any]:
    from ..tracing import tape

    return tape.value_and_grad(fun, argnums, has_aux, strict)


def vjp(backend: Backend, fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    from ..tracing import tape

    return tape.vjp(fun, *primals, has_aux=has_aux)


def jvp(
    backend: Backend,
    fun: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    has_aux: bool = False,
) -> tuple[Any, ...]:
    from ..tracing import tape

    return tape.jvp(fun, primals, tangents, has_aux)


def checkpoint(backend: Backend, fun: Callable[..., Any]) -> Callable[..., Any]:
    from ..tracing import tape

    return tape.checkpoint(fun)


def custom_gradient(backend: Backend, fun: Callable[..., Any]) -> Callable[..., Any]:
    from ..tracing import tape

    return tape.custom_gradient(fun)


def vmap(backend: Backend, fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    return loops.vmap(fun, in_axes, out_axes)


def scan(
    backend: Backend, fun: Callable[..., Any], init: Any, xs: Any, length: int | None = None, reverse: bool = False
) -> Any:
    return loops.scan(fun, init, xs, length, reverse)


def while_loop(backend: Backend, cond_fun: Callable[..., Any], body_fun: Callable[..., Any], init: Any) -> Any:
    carry = init
    while bool(cond_fun(carry)):
        carry = body_fun(carry)
    return carry


def cond(
    backend: Backend, pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    if not backend.waits(pred):
        return true_fun(*operands) if bool(pred) else false_fun(*operands)

    def pick(a, b):
        return a if kind_of(type(a)) is None else backend.xp.where(pred, a, b)

    return tree.map(pick, true_fun(*operands), false_fun(*operands))


def switch(backend: Backend, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """A `cond` for each branch but the last."""
    first, *others = branches
    if not others:
        return first(*operands)

    def rest(*xs):
        return switch(backend, index - 1, others, *xs)

    return perform(backend, "cond", index <= 0, first, rest, *operands)


_DEFAULTS: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (value_and_grad, vjp, jvp, checkpoint, custom_gradient, vmap, scan, while_loop)},
    **{"associative_scan": loops.associative_scan, "cond": cond, "choose": cond, "switch": switch},
}
