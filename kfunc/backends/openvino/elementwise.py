"""Functions of elements, or of pairs of elements.

Comparison, division and maxima of integers are made of exact operations, since the CPU plugin's own compute in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...tracing.spec.dtypes import check_kind
from ..standard import named
from .array import UINT32, Array, build, opset
from .casting import astype, floats, is_small, promote, scalar, view, where
from .creation import full_like, ones_like, zeros_like
from .dtypes import BOOL, int32, is_float

FLOAT32 = np.finfo(np.float32)
__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
]


def _float_function(name: str, op: Callable) -> Callable:
    def fun(x: Array, /) -> Array:
        (x,) = floats(x)
        return build(op, x.dtype, x)

    return named(name, fun)


acos: Callable[..., Any]
acosh: Callable[..., Any]
asin: Callable[..., Any]
asinh: Callable[..., Any]
atan: Callable[..., Any]
atanh: Callable[..., Any]
cos: Callable[..., Any]
cosh: Callable[..., Any]
log: Callable[..., Any]
sin: Callable[..., Any]
sinh: Callable[..., Any]
sqrt: Callable[..., Any]
tan: Callable[..., Any]
tanh: Callable[..., Any]
acos, acosh, asin, asinh, atan, atanh, cos, cosh, log, sin, sinh, sqrt, tan, tanh = (
    _float_function(op.__name__, op)
    for op in (
        *(opset.acos, opset.acosh, opset.asin, opset.asinh, opset.atan, opset.atanh, opset.cos, opset.cosh),
        *(opset.log, opset.sin, opset.sinh, opset.sqrt, opset.tan, opset.tanh),
    )
)


def exp(x: Array, /) -> Array:
    (x,) = floats(x)
    # The plugin's result is the largest finite number where it should be infinite, and for NaN.
    return where(x < 88.72284, build(opset.exp, x.dtype, x), x * math.inf)


def _arithmetic(name: str, op: Callable) -> Callable:
    def fun(x1: Any, x2: Any, /) -> Array:
        a, b = promote(x1, x2)
        return build(op, a.dtype, a, b)

    return named(name, fun)


add: Callable[..., Any]
subtract: Callable[..., Any]
multiply: Callable[..., Any]
add, subtract, multiply = (_arithmetic(name, getattr(opset, name)) for name in ("add", "subtract", "multiply"))


def divide(x1: Any, x2: Any, /) -> Array:
    a, b = floats(x1, x2)
    return build(opset.divide, a.dtype, a, b)


def pow(x1: Any, x2: Any, /) -> Array:
    a, b = promote(x1, x2)
    if is_float(a):
        return build(opset.power, a.dtype, a, b)
    # The plugin computes powers in float32. Exact: squares, multiplied where the exponent has their bit.
    out = ones_like(a)
    if b.is_concrete and b.ndim == 0 and b.numpy() >= 0:
        exponent = int(b.numpy())
        while exponent:
            out = out * a if exponent & 1 else out
            a, exponent = a * a, exponent >> 1
        return out
    for bit in range(31):
        out = where((b >> bit) & 1 == 1, out * a, out)
        a = a * a
    return out


def negative(x: Array, /) -> Array:
    return build(opset.negative, x.dtype, x) if x.dtype.kind in "if" else zeros_like(x) - x


def abs(x: Array, /) -> Array:
    return build(opset.absolute, x.dtype, x) if x.dtype.kind in "if" else x


def positive(x: Array, /) -> Array:
    return x


conj: Callable[..., Any]
real = conj = positive


def imag(x: Array, /) -> Array:
    return zeros_like(x)


def square(x: Array, /) -> Array:
    return x * x


def reciprocal(x: Array, /) -> Array:
    return 1.0 / x


def sign(x: Array, /) -> Array:
    return astype(x != 0, x.dtype) if x.dtype.kind == "u" else build(opset.sign, x.dtype, x)


def _rounding(name: str, op: Callable) -> Callable:
    def fun(x: Array, /) -> Array:
        return build(op, x.dtype, x) if is_float(x) else x

    return named(name, fun)


floor: Callable[..., Any]
ceil: Callable[..., Any]
floor, ceil = _rounding("floor", opset.floor), _rounding("ceil", opset.ceiling)
round: Callable[..., Any] = _rounding("round", lambda node: opset.round(node, "half_to_even"))


def trunc(x: Array, /) -> Array:
    return where(x < 0, ceil(x), floor(x)) if is_float(x) else x


def log2(x: Array, /) -> Array:
    return log(x) * (1 / math.log(2))


def log10(x: Array, /) -> Array:
    return log(x) * (1 / math.log(10))


def log1p(x: Array, /) -> Array:
    (x,) = floats(x)
    # Near 0, log1p(x) = 2 atanh(x / (2 + x)) is exact for small x.
    out = where(abs(x) < 0.5, 2 * atanh(x / (2 + x)), log(1 + x))
    return where(x == 0, x, out)


def expm1(x: Array, /) -> Array:
    (x,) = floats(x)
    # Near 0, expm1(x) = tanh(x / 2) (exp(x) + 1).
    out = where(abs(x) < 1, tanh(x * 0.5) * (exp(x) + 1), exp(x) - 1)
    return where(x == 0, x, out)


def hypot(x1: Any, x2: Any, /) -> Array:
    a, b = (abs(x) for x in floats(x1, x2))
    top, low = maximum(a, b), minimum(a, b)
    ratio = where((top == 0) | (top == math.inf), zeros_like(low), low / top)
    return where(isinf(a) | isinf(b), full_like(top, math.inf), top * sqrt(1 + ratio * ratio))


def logaddexp(x1: Any, x2: Any, /) -> Array:
    a, b = floats(x1, x2)
    top = maximum(a, b)
    return where(a == b, a + math.log(2), top + log1p(exp(-abs(a - b))))


def atan2(x1: Any, x2: Any, /) -> Array:
    y, x = floats(x1, x2)
    first = atan(abs(y) / abs(x))
    first = where(isinf(x) & isinf(y), full_like(first, math.pi / 4), first)
    first = where((x == 0) & (y == 0), zeros_like(first), first)
    return copysign(where(signbit(x), math.pi - first, first), y)


def signbit(x: Array, /) -> Array:
    return (x < 0) | ((x == 0) & (1 / x < 0))


def copysign(x1: Any, x2: Any, /) -> Array:
    a, b = floats(x1, x2)
    return abs(a) * where(signbit(b), full_like(b, -1), ones_like(b))  # not -0.0, which the plugin makes 0.0


def nextafter(x1: Any, x2: Any, /) -> Array:
    """A step between one half and one and a half units in the last place is added, which rounding makes one unit.

    The neighbours of 0 are the smallest normal numbers, since the plugin has no smaller ones.
    S. Rump, P. Zimmermann, S. Boldo and G. Melquiond: Computing predecessor and successor in rounding to nearest.
    """
    a, b = floats(x1, x2)
    scale = where(abs(a) < 2.0**-60, full_like(a, 2.0**90), ones_like(a))  # so that no step becomes 0
    size = abs(a * scale)
    step = size * (2.0**-24 * (1 + 2.0**-23))
    # The step leads away from 0 where both have the same sign and `b` is larger.
    away = (abs(b) > abs(a)) & (signbit(a) == signbit(b))
    out = copysign(where(away, size + step, size - step) / scale, a)
    out = where(isinf(a), copysign(full_like(a, FLOAT32.max), a), out)
    out = where(a == 0, copysign(full_like(a, FLOAT32.smallest_normal), b), out)
    return where(isnan(a) | isnan(b), a + b, where(a == b, b, out))


def floor_divide(x1: Any, x2: Any, /) -> Array:
    a, b = promote(x1, x2)
    if not is_float(a):
        return _integer_divide(a, b)
    # Not by a quotient: the compiler makes it a product with a rounded reciprocal, so that 21 / 7 is less than 3.
    rest = build(opset.floor_mod, a.dtype, a, b)
    out = where(isnan(rest), floor(a / b), round((a - rest) / b))
    zero = where(signbit(a) != signbit(b), full_like(out, -0.0), zeros_like(out))
    return where(out == 0, zero, out)


def remainder(x1: Any, x2: Any, /) -> Array:
    a, b = promote(x1, x2)
    if not is_float(a):
        return a - _integer_divide(a, b) * b
    out = build(opset.floor_mod, a.dtype, a, b)
    out = where((out < 0) & (b > 0) | (out > 0) & (b < 0), out + b, out)  # for a tiny `a`, the plugin's result is `a`
    zero = copysign(zeros_like(out), b)
    out = where(out == 0, zero, out)
    if b.is_concrete and np.isfinite(b.numpy()).all():
        return out
    # The remainder of a division by infinity is `a`; or infinity, if the signs differ.
    left = where(a == 0, zero, where(signbit(a) != signbit(b), b, a))
    return where(isinf(b) & isfinite(a), left, out)


def _integer_divide(a: Array, b: Array) -> Array:
    """The quotient, rounded down. That of signed integers is made of the quotient of their sizes as uint32."""
    if a.dtype != UINT32:
        a, b, dtype = astype(a, int32), astype(b, int32), a.dtype
        top, bottom = view(abs(a), UINT32), view(abs(b), UINT32)
        q = _integer_divide(top, bottom)
        inexact = astype(q * bottom != top, int32)
        q = view(q, int32)
        return astype(where((a < 0) ^ (b < 0), -q - inexact, q), dtype)
    q = zeros_like(a)
    for _ in range(2):
        # Each quotient is made smaller by more than the error of float32, so that the rest never wraps below 0.
        q = q + astype(floor(divide(a - q * b, b) * (1 - 2.0**-21)), UINT32)
    return q + astype(a - q * b >= b, UINT32)


def _bits(name: str, *xs: Any) -> Array:
    arrays = promote(*xs)
    dtype = arrays[0].dtype
    check_kind(f"bitwise_{name}", str(dtype), "biu")
    return build(getattr(opset, f"{'logical' if dtype == BOOL else 'bitwise'}_{name}"), dtype, *arrays)


def _truth(name: str, *xs: Any) -> Array:
    return build(getattr(opset, f"logical_{name}"), BOOL, *(astype(x, BOOL) for x in promote(*xs)))


def _binary(rule: Callable, kind: str, name: str) -> Callable:
    def fun(x1: Any, x2: Any, /) -> Array:
        return rule(name, x1, x2)

    return named(f"{kind}_{name}", fun)


bitwise_and: Callable[..., Any]
bitwise_or: Callable[..., Any]
bitwise_xor: Callable[..., Any]
bitwise_and, bitwise_or, bitwise_xor = (_binary(_bits, "bitwise", name) for name in ("and", "or", "xor"))
logical_and: Callable[..., Any]
logical_or: Callable[..., Any]
logical_xor: Callable[..., Any]
logical_and, logical_or, logical_xor = (_binary(_truth, "logical", name) for name in ("and", "or", "xor"))


def bitwise_invert(x: Array, /) -> Array:
    return _bits("not", x)


def logical_not(x: Array, /) -> Array:
    return _truth("not", x)


def bitwise_left_shift(x1: Any, x2: Any, /) -> Array:
    a, b = promote(x1, x2)
    return build(opset.bitwise_left_shift, a.dtype, a, b)


def bitwise_right_shift(x1: Any, x2: Any, /) -> Array:
    """Signed integers keep their sign; uint32 gets zeros."""
    a, b = promote(x1, x2)
    if a.dtype != UINT32:
        return build(opset.bitwise_right_shift, a.dtype, a, b)
    # Shift by one, with the sign bit cleared; then by the rest, which fills with zeros from then on.
    one = build(opset.bitwise_right_shift, UINT32, a, scalar(1, UINT32)) & 0x7FFFFFFF
    rest = scalar(0, UINT32) if b.is_concrete and not b.numpy().any() else b - 1
    return where(b == 0, a, build(opset.bitwise_right_shift, UINT32, one, where(b == 0, zeros_like(b), rest)))


def ordered(x: Array) -> Array:
    """`x`; for uint32, int32 numbers in the same order. Undone by `unordered`."""
    if x.dtype == UINT32:
        return build(opset.bitwise_xor, int32, x, scalar(-(2**31), int32))
    return x


def unordered(x: Array, dtype: np.dtype) -> Array:
    return bitwise_xor(view(x, UINT32), scalar(2**31, UINT32)) if dtype == UINT32 else x


def _comparison(name: str, op: Callable, exact: Callable) -> Callable:
    def fun(x1: Any, x2: Any, /) -> Array:
        a, b = map(ordered, promote(x1, x2))
        if is_float(a) or a.dtype.itemsize < 4:
            return build(op, BOOL, a, b)
        # The plugin compares in float32, which is exact if one of the integers is small.
        return build(op, BOOL, a, b) if is_small(a) or is_small(b) else exact(a, b)

    return named(name, fun)


def _differ(a: Array, b: Array) -> Array:
    return build(opset.not_equal, BOOL, bitwise_xor(a, b), scalar(0, a.dtype))


def _top(a: Array, b: Array) -> Array:
    return build(opset.maximum, a.dtype, a, b)


equal: Callable[..., Any] = _comparison("equal", opset.equal, lambda a, b: logical_not(_differ(a, b)))
not_equal: Callable[..., Any] = _comparison("not_equal", opset.not_equal, _differ)
less: Callable[..., Any] = _comparison("less", opset.less, lambda a, b: _differ(a, _top(a, b)))
less_equal: Callable[..., Any] = _comparison(
    "less_equal", opset.less_equal, lambda a, b: logical_not(_differ(b, _top(a, b)))
)


def _upward(name: str, downward: Callable) -> Callable:
    def fun(x1: Any, x2: Any, /) -> Array:
        out = downward(x2, x1)
        for x in (x1, x2):  # the plugin says True for NaN where the compiler turns the comparison around
            if isinstance(x, Array) and is_float(x) and not x.is_concrete:
                out = out & (x == x)
        return out

    return named(name, fun)


greater: Callable[..., Any]
greater_equal: Callable[..., Any]
greater, greater_equal = _upward("greater", less), _upward("greater_equal", less_equal)


def _extremum(name: str, op: Callable) -> Callable:
    def fun(x1: Any, x2: Any, /) -> Array:
        a, b = promote(x1, x2)
        out = unordered(build(op, int32 if a.dtype == UINT32 else a.dtype, ordered(a), ordered(b)), a.dtype)
        for x in (a, b):  # the processor's instruction loses NaN
            if is_float(x) and not (x.is_concrete and not np.isnan(x.numpy()).any()):
                out = where(isnan(x), x, out)
        return out

    return named(name, fun)


maximum: Callable[..., Any]
minimum: Callable[..., Any]
maximum, minimum = _extremum("maximum", opset.maximum), _extremum("minimum", opset.minimum)


def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
    dtype = x.dtype
    for bound, pick in ((min, maximum), (max, minimum)):
        if bound is not None:
            x = pick(x, astype(bound, dtype) if isinstance(bound, Array) else scalar(bound, dtype))
    return x


def _float_test(name: str, op: Callable, integers: bool) -> Callable:
    def fun(x: Array, /) -> Array:
        return build(op, BOOL, x) if is_float(x) else full_like(x, integers, dtype=BOOL)

    return named(name, fun)


isnan: Callable[..., Any] = _float_test("isnan", opset.is_nan, False)
isinf: Callable[..., Any] = _float_test("isinf", opset.is_inf, False)
isfinite: Callable[..., Any] = _float_test("isfinite", opset.is_finite, True)
