"""Reverse-mode automatic differentiation over any conforming namespace, for libraries that bring none.

`value_and_grad` hands the function arrays that remember how they were made. Each call is one level, a number that only
grows; an operation belongs to the highest level among its arguments, and works on what these hold one level down,
which may be arrays of lower levels in turn: that is how gradients of gradients come about, without a global stack.
The rules are in `rules`; they are written in the standard, on the cotangents, so they can be differentiated themselves.

Complex arrays follow JAX's convention: the gradient of a real `f(x + iy)` is `df/dx - i df/dy`, and a vector-Jacobian
product is the transpose of the derivative, not its conjugate transpose.
"""

from __future__ import annotations

from .array import TapeArray, base
from .backend import TapeBackend, tape_of
from .transforms import checkpoint, custom_gradient, jvp, value_and_grad, vjp

__all__ = [
    "TapeArray",
    "TapeBackend",
    "base",
    "checkpoint",
    "custom_gradient",
    "jvp",
    "tape_of",
    "value_and_grad",
    "vjp",
]
