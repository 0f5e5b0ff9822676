"""Reverse-mode automatic differentiation over any conforming namespace, for libraries that have none.

`value_and_grad` calls the function with arrays that remember how they were made. Each call has a level, a number that
grows from call to call. An operation belongs to the highest level among its arguments. It computes with the values that
these hold, which may be arrays of lower levels: so gradients of gradients need no global stack. The rules for the
functions of the standard are in `rules`, and those for ops stand beside the ops. All are written in the standard, so
that they can be differentiated themselves.

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
