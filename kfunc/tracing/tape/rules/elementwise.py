"""Rules of the elementwise functions. A rule of a function that is complex differentiable holds for both kinds."""

from __future__ import annotations

import cmath
import math
import operator
from typing import Any

from ....backends.adjoints import is_complex, nonzero

__all__ = ["COMPOSITES", "RULES", "choose", "shared"]


def zeros(xp: Any, g: Any, out: Any, *args: Any, **kwargs: Any) -> Any:
    return xp.zeros_like(g)


def same(xp: Any, g: Any, out: Any, *args: Any, **kwargs: Any) -> Any:
    return g


def minus(xp: Any, g: Any, out: Any, *args: Any, **kwargs: Any) -> Any:
    return -g


def shared(fun: Any) -> Any:
    """A function of `backends.composed` as a composite, which gets the namespace as the first argument."""
    return lambda xp, *args, **kwargs: fun(*args, **kwargs)


def choose(xp: Any, g: Any, mask: Any) -> Any:
    """`g` where `mask` holds, else 0."""
    return xp.where(mask, g, xp.zeros_like(g))


def _abs(xp, g, out, x):
    if not is_complex(xp, x):
        return g * xp.sign(x)
    return xp.conj(x) * (g / nonzero(xp, out))


def _sign(xp, g, out, x):
    """The real sign is constant; the complex one is x / |x|."""
    if not is_complex(xp, x):
        return xp.zeros_like(g)
    return xp.conj(out) * (xp.imag(g * out) / nonzero(xp, xp.abs(x))) * 1j


def _pow_base(xp, g, out, x, y):
    if isinstance(y, (int, float, complex)):
        return xp.zeros_like(g) if y == 0 else g * (x * 2 if y == 2 else y * x ** (y - 1))
    # Where both are 0 the derivative is 0, but x ** -1 is infinite.
    return choose(xp, g * (y * xp.where((x == 0) & (y == 0), xp.ones_like(x), x) ** (y - 1)), (x != 0) | (y != 0))


def _pow_exponent(xp, g, out, x, y):
    if isinstance(x, complex):
        return g * out * cmath.log(x) if x else xp.zeros_like(g)
    if isinstance(x, (int, float)):
        return g * out * math.log(x) if x > 0 else xp.zeros_like(g)
    # Where a power of 0 is defined, it does not depend on the exponent.
    return g * out * xp.log(nonzero(xp, x))


def _extremum(less):
    def rule(xp, g, out, a, b):
        # Equal arguments share the cotangent.
        return choose(xp, g, less(b, a)) + choose(xp, g * 0.5, a == b)

    return rule, lambda xp, g, out, a, b: rule(xp, g, out, b, a)


def _leg(xp, x, out):
    """`x / out` for the hypotenuse `out`, 0 where that is 0; the quotient of infinities would be NaN."""
    apart = xp.isinf(x)
    return xp.where(apart, xp.sign(x), xp.where(apart, xp.zeros_like(x), x) / nonzero(xp, out))


def _share(xp, x, y, out):
    """`exp(x - out)` for `out = logaddexp(x, y)`; the difference of equal infinities would be NaN."""
    gap = xp.where(x == out, xp.zeros_like(out), x) - xp.where(x == out, xp.zeros_like(out), out)
    return xp.where((x == y) & xp.isinf(x), xp.full_like(out, 0.5), xp.exp(gap))


RULES: dict[str, Any] = {
    "abs": (_abs,),
    "acos": (lambda xp, g, out, x: -g / xp.sqrt((1 - x) * (1 + x)),),
    "acosh": (lambda xp, g, out, x: g / (xp.sqrt(x - 1) * xp.sqrt(x + 1)),),
    "add": (same, same),
    "asin": (lambda xp, g, out, x: g / xp.sqrt((1 - x) * (1 + x)),),
    "asinh": (lambda xp, g, out, x: g / xp.sqrt(x * x + 1),),
    "atan": (lambda xp, g, out, x: g / (x * x + 1),),
    "atan2": (
        lambda xp, g, out, y, x: g * x / (x * x + y * y),
        lambda xp, g, out, y, x: -g * y / (x * x + y * y),
    ),
    "atanh": (lambda xp, g, out, x: g / ((1 - x) * (1 + x)),),
    "ceil": (zeros,),
    "conj": (lambda xp, g, out, x: xp.conj(g) if is_complex(xp, g) else g,),
    "copysign": (lambda xp, g, out, x, y: xp.where(xp.signbit(x) == xp.signbit(out), g, -g), zeros),
    "cos": (lambda xp, g, out, x: -g * xp.sin(x),),
    "cosh": (lambda xp, g, out, x: g * xp.sinh(x),),
    "divide": (lambda xp, g, out, x, y: g / y, lambda xp, g, out, x, y: -g * out / y),
    "exp": (lambda xp, g, out, x: g * out,),
    "expm1": (lambda xp, g, out, x: g * (out + 1),),
    "floor": (zeros,),
    "floor_divide": (zeros, zeros),
    "hypot": (
        lambda xp, g, out, x, y: g * _leg(xp, x, out),
        lambda xp, g, out, x, y: g * _leg(xp, y, out),
    ),
    "imag": (lambda xp, g, out, x: xp.astype(g, x.dtype) * -1j,),
    "log": (lambda xp, g, out, x: g / x,),
    "log10": (lambda xp, g, out, x: g / (x * math.log(10)),),
    "log1p": (lambda xp, g, out, x: g / (x + 1),),
    "log2": (lambda xp, g, out, x: g / (x * math.log(2)),),
    "logaddexp": (
        lambda xp, g, out, x, y: g * _share(xp, x, y, out),
        lambda xp, g, out, x, y: g * _share(xp, y, x, out),
    ),
    "maximum": _extremum(operator.lt),
    "minimum": _extremum(operator.gt),
    "multiply": (lambda xp, g, out, x, y: g * y, lambda xp, g, out, x, y: g * x),
    "negative": (minus,),
    "positive": (same,),
    "pow": (_pow_base, _pow_exponent),
    "real": (same,),
    "reciprocal": (lambda xp, g, out, x: -g * out * out,),
    "remainder": (same, lambda xp, g, out, x, y: -g * xp.floor(x / y)),
    "round": (zeros,),
    "sign": (_sign,),
    "sin": (lambda xp, g, out, x: g * xp.cos(x),),
    "sinh": (lambda xp, g, out, x: g * xp.cosh(x),),
    "sqrt": (lambda xp, g, out, x: g / (out * 2),),
    "square": (lambda xp, g, out, x: g * (x * 2),),
    "subtract": (same, minus),
    "tan": (lambda xp, g, out, x: g * (out * out + 1),),
    "tanh": (lambda xp, g, out, x: g * (1 - out * out),),
    "trunc": (zeros,),
    "where": (
        None,
        lambda xp, g, out, mask, x, y: xp.where(mask, g, xp.zeros_like(g)),
        lambda xp, g, out, mask, x, y: xp.where(mask, xp.zeros_like(g), g),
    ),
    # At a bound the argument gets the cotangent, as in PyTorch and TensorFlow.
    "_clip": (
        lambda xp, g, out, x, low, high: choose(xp, g, x == out),
        lambda xp, g, out, x, low, high: choose(xp, g, (x < low) & (low == out)),
        lambda xp, g, out, x, low, high: choose(xp, g, (x > high) & (high == out)),
    ),
    "_astype": (same,),
}


def clip(xp: Any, x: Any, /, min: Any = None, max: Any = None) -> Any:
    return xp._clip(x, min, max)


def astype(xp: Any, x: Any, dtype: Any, /, **kwargs: Any) -> Any:
    if xp._backend.is_floating(dtype):
        return xp._astype(x, dtype, **kwargs)
    return xp._constant_astype(x, dtype, **kwargs)


COMPOSITES = {"astype": astype, "clip": clip}
