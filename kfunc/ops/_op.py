"""`@op`: one reference in the Array API, and a lowering wherever a backend has something faster."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..backends import Backend, common_backend, kind_of

__all__ = ["OPS", "Op", "lowering", "op", "pullback"]

OPS: dict[str, Op] = {}


class Op:
    """A function of arrays that runs a backend's lowering where there is one, and its reference elsewhere.

    Arrays are passed as arguments of their own (not inside lists). The choice is made from the types of the arguments,
    once for each combination of types.
    """

    def __init__(self, reference: Callable):
        functools.update_wrapper(self, reference)
        self.reference = reference
        self.name = reference.__name__
        self._implementations: dict[tuple, Callable] = {}
        OPS[self.name] = self

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        types = (*map(type, args), *map(type, kwargs.values()))
        try:
            implementation = self._implementations[types]
        except KeyError:
            implementation = self._implementations[types] = _resolve(self.name, types)
        return implementation(*args, **kwargs)


def _resolve(name: str, types: tuple[type, ...]) -> Callable:
    """What runs the op `name` on arguments of these types."""
    reference = OPS[name].reference
    kind = common_backend(k for k in map(kind_of, types) if k is not None)
    return reference if kind is None else kind.backend.implement(name, reference, kind.native)


def op(reference: Callable) -> Op:
    """Make an op of `reference`, a function written in the Array API standard."""
    return Op(reference)


def lowering(backend: Backend, op: Op) -> Callable[[Callable], Callable]:
    """Register the decorated function as `backend`'s implementation of `op`.

    It takes the arguments of the reference, arrays in the framework's own form, and returns NotImplemented to decline.
    """

    def decorate(fun: Callable) -> Callable:
        backend.lowerings[op.name] = fun
        op._implementations.clear()
        return fun

    return decorate


def pullback(backend: Backend, op: Op) -> Callable[[Callable], Callable]:
    """Register the decorated function as what the tape runs for `op` on `backend`'s plain arrays.

    It takes the arguments of the reference and returns `(out, pullback)`, or NotImplemented to decline;
    `pullback(cotangent)` returns one cotangent, or None, for each positional argument.
    """

    def decorate(fun: Callable) -> Callable:
        backend.pullbacks[op.name] = fun
        op._implementations.clear()
        return fun

    return decorate
