"""The standard's elementwise functions on float32, complex64, integers and booleans, one row a function."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from standard_table import EPS, HUGE, TINY, Case, booleans, calls, complexes, exact, integers, of, reals

__all__ = ["BOOLEANS", "COMPLEX", "FLOATS", "INTEGERS", "INTEGER_DTYPES", "integer_case"]

ANY = (-HUGE, HUGE)
POSITIVE = (TINY, HUGE)
BELOW = -1 + 2.0**-24  # the number above -1


# -- float32 -----------------------------------------------------------------------------------------------------------


def _round_half_even(x):
    low = np.floor(x)
    rest = x - low
    return np.copysign(low + ((rest > 0.5) | ((rest == 0.5) & (low % 2 == 1))), x)


# name: (where it is defined, float64 oracle, error)
_OF_ONE = {
    "abs": (ANY, lambda x: np.maximum(x, -x), exact),
    "acos": ((-1, 1), np.arccos),
    "acosh": ((1, HUGE), np.arccosh),
    "asin": ((-1, 1), np.arcsin),
    "asinh": (ANY, np.arcsinh),
    "atan": (ANY, np.arctan),
    "atanh": ((BELOW, -BELOW), np.arctanh),
    "ceil": (ANY, np.ceil, exact),
    "conj": (ANY, lambda x: x, exact),
    "cos": (ANY, np.cos),
    "cosh": ((-88, 88), np.cosh),
    "exp": ((-110, 100), np.exp),
    "expm1": ((-110, 100), np.expm1),
    "floor": (ANY, np.floor, exact),
    "isfinite": (ANY, lambda x: x - x == 0),
    "isinf": (ANY, lambda x: np.abs(x) > HUGE),
    "isnan": (ANY, lambda x: x != x),
    "log": (POSITIVE, np.log),
    "log10": (POSITIVE, np.log10),
    "log1p": ((BELOW, HUGE), np.log1p),
    "log2": (POSITIVE, np.log2),
    "negative": (ANY, lambda x: x * -1, exact),
    "positive": (ANY, lambda x: x, exact),
    "real": (ANY, lambda x: x, exact),
    "reciprocal": (ANY, lambda x: 1 / x),
    "round": (ANY, _round_half_even, exact),
    "sign": (ANY, lambda x: (x > 0) * 1.0 - (x < 0), exact),
    "signbit": (ANY, lambda x: np.copysign(1, x) < 0),
    "sin": (ANY, np.sin),
    "sinh": ((-88, 88), np.sinh),
    "sqrt": ((0, HUGE), np.sqrt),
    "square": (ANY, lambda x: x * x),
    "tan": (ANY, np.tan),
    "tanh": (ANY, np.tanh),
    "trunc": (ANY, np.fix, exact),
}


def _quotients(a, b):
    """Exact quotients, where `b` is not 0."""
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    return [Fraction(x) / Fraction(y) for x, y in pairs]


def _floor_divide(a, b):
    return np.array([float(math.floor(q)) for q in _quotients(a, b)]).reshape(a.shape)


def _remainder(a, b):
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    return np.array([float(Fraction(x) % Fraction(y)) for x, y in pairs]).reshape(a.shape)


def _one_step(a, b):
    """1 where the rounded quotient may be another integer than the floor of the exact one: "the result of division"
    that the standard speaks of is a rounded one."""
    q = np.array([abs(q) < TINY or float(abs(q - round(q))) <= 8 * EPS * float(abs(q)) for q in _quotients(a, b)])
    return q.reshape(a.shape).astype(float)


def _nextafter(a, b):
    """The neighbour, by counting in the order of the bits."""
    bits = a.astype(np.float32).view(np.int32).astype(np.int64)
    order = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    order = order + np.sign(b - a).astype(np.int64)
    return np.where(order < 0, np.abs(order) | 2**31, order).astype(np.uint32).view(np.float32).astype(float)


def _pick(condition, a, b):
    return np.array([x if c else y for c, x, y in zip(condition.flat, a.flat, b.flat, strict=True)]).reshape(a.shape)


MODEST = (-1e4, 1e4)

# name: (where each argument lies, oracle, error)
_OF_TWO = {
    "add": (ANY, ANY, lambda a, b: a + b),
    "atan2": (ANY, ANY, np.arctan2),
    "copysign": (ANY, ANY, lambda a, b: np.where(np.signbit(b), -np.abs(a), np.abs(a)), exact),
    "divide": (ANY, POSITIVE, lambda a, b: a / b),
    "equal": ((-3, 3), (-3, 3), lambda a, b: a == b),
    "floor_divide": (
        MODEST,
        (2.0**-3, 1e3),
        _floor_divide,
        lambda e, a, b: 8 * EPS * np.abs(e) + _one_step(a, b),
    ),
    "greater": (ANY, ANY, lambda a, b: a > b),
    "greater_equal": (ANY, ANY, lambda a, b: a >= b),
    "hypot": (ANY, ANY, np.hypot),
    "less": (ANY, ANY, lambda a, b: a < b),
    "less_equal": (ANY, ANY, lambda a, b: a <= b),
    "logaddexp": ((-100, 100), (-100, 100), np.logaddexp, of(lambda a, b: np.abs(np.maximum(a, b)) + 1)),
    "maximum": (ANY, ANY, lambda a, b: np.where(a < b, b, a), exact),
    "minimum": (ANY, ANY, lambda a, b: np.where(a < b, a, b), exact),
    "multiply": (ANY, ANY, lambda a, b: a * b),
    "nextafter": ((-1e6, 1e6), (-1e6, 1e6), _nextafter, exact),
    "not_equal": ((-3, 3), (-3, 3), lambda a, b: a != b),
    "pow": ((2.0**-20, 2.0**20), (-8, 8), lambda a, b: a**b),
    "remainder": (
        MODEST,
        (2.0**-3, 1e3),
        _remainder,
        lambda e, a, b: 8 * EPS * np.abs(e) + _one_step(a, b) * np.abs(b),
    ),
    "subtract": (ANY, ANY, lambda a, b: a - b),
}

FLOATS = [
    *(Case(name, calls(reals(*row[0])), row[1], *row[2:]) for name, row in _OF_ONE.items()),
    *(Case(name, calls(reals(*row[0]), reals(*row[1])), row[2], *row[3:]) for name, row in _OF_TWO.items()),
    # Beyond where exp(x) overflows, which cosh(x), about half of it, does not yet.
    Case("cosh", calls(reals(88.75, 89.375)), np.cosh, label="large"),
    Case("sinh", calls(reals(88.75, 89.375)), np.sinh, label="large"),
    Case(
        "pow",
        calls(reals(-30, 30), integers("int32", -20, 20, (512,)).map(np.float32)),
        lambda a, b: (
            np.where(a == 0, np.where(b > 0, 0.0, np.where(b == 0, 1.0, math.inf)), np.abs(a) ** b)
            * np.where((a < 0) & (b % 2 == 1), -1, 1)
        ),
        call=lambda xp, a, b: xp.pow(xp.where(a == 0, xp.abs(a), a), b),
        label="whole powers",
    ),
    Case(
        "clip",
        calls(reals(), min=st.sampled_from((None, -2.5, 0)), max=st.sampled_from((None, 0.5, 3))),
        lambda x, min, max: np.clip(x, -math.inf if min is None else min, math.inf if max is None else max),
        lambda e, *a, **k: EPS * np.abs(e),
    ),
    Case(
        "clip",
        calls(reals(), reals(-5, 0), reals(0, 5)),
        lambda x, low, high: np.where(x < low, low, np.where(x > high, high, x)),
        exact,
        call=lambda xp, x, low, high: xp.clip(x, low, high),
        label="arrays",
    ),
    Case("where", calls(booleans((512,)), reals(), reals()), _pick, exact),
]


# -- complex64 ---------------------------------------------------------------------------------------------------------

_COMPLEX_OF_ONE = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "conj": lambda z: z.real - 1j * z.imag,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "expm1": np.expm1,
    "imag": lambda z: (z - np.conj(z)).imag / 2,
    "isfinite": lambda z: z == z,
    "isinf": lambda z: z != z,
    "isnan": lambda z: z != z,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "negative": lambda z: 0 - z,
    "positive": lambda z: z,
    "real": lambda z: (z + np.conj(z)).real / 2,
    "reciprocal": lambda z: 1 / z,
    "round": lambda z: np.rint(z.real) + 1j * np.rint(z.imag),
    "sign": lambda z: z / np.abs(z),
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": lambda z: z * z,
    "tan": np.tan,
    "tanh": np.tanh,
}

COMPLEX = [
    *(
        Case(name, calls(complexes()), oracle, label="complex", dtypes=("complex64",))
        for name, oracle in _COMPLEX_OF_ONE.items()
    ),
    *(
        Case(name, calls(complexes(), complexes(3)), oracle, *error, label="complex", dtypes=("complex64",))
        for name, oracle, *error in (
            ("add", lambda a, b: a + b, of(lambda a, b: np.abs(a) + np.abs(b))),
            ("subtract", lambda a, b: a - b, of(lambda a, b: np.abs(a) + np.abs(b))),
            ("multiply", lambda a, b: a * b),
            ("divide", lambda a, b: a / b),
            ("equal", lambda a, b: a == b),
            ("not_equal", lambda a, b: a != b),
            # exp(b log a): the rounding of the exponent is the error's exponent.
            ("pow", lambda a, b: a**b, lambda e, a, b: 8 * EPS * np.abs(e) * (1 + np.abs(b * np.log(a)))),
        )
    ),
]


# -- integers and booleans ---------------------------------------------------------------------------------------------

# name: of Python integers, of which none overflows. Only what fits is compared, as the standard leaves overflow open.
_INTEGER_OF_ONE = {
    "abs": abs,
    "bitwise_invert": None,  # depends on the dtype: below
    "ceil": lambda x: x,
    "conj": lambda x: x,
    "floor": lambda x: x,
    "isfinite": lambda x: True,
    "isinf": lambda x: False,
    "isnan": lambda x: False,
    "negative": lambda x: -x,
    "positive": lambda x: x,
    "real": lambda x: x,
    "round": lambda x: x,
    "sign": lambda x: (x > 0) - (x < 0),
    "square": lambda x: x * x,
    "trunc": lambda x: x,
}
_INTEGER_OF_TWO = {
    "add": lambda a, b: a + b,
    "bitwise_and": lambda a, b: a & b,
    "bitwise_left_shift": lambda a, b: a << b,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_right_shift": lambda a, b: a >> b,
    "bitwise_xor": lambda a, b: a ^ b,
    "equal": lambda a, b: a == b,
    "floor_divide": lambda a, b: a // b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "maximum": max,
    "minimum": min,
    "multiply": lambda a, b: a * b,
    "not_equal": lambda a, b: a != b,
    "pow": lambda a, b: a**b,
    "remainder": lambda a, b: a % b,
    "subtract": lambda a, b: a - b,
}

INTEGERS = [*_INTEGER_OF_ONE, *_INTEGER_OF_TWO]
INTEGER_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def _python(fun, limits):
    """The function of Python integers on arrays, with what does not fit masked as None."""

    def oracle(*arrays):
        rows = zip(*(a.ravel().tolist() for a in arrays), strict=True)
        out = [fun(*row) for row in rows]
        if all(isinstance(v, bool) for v in out):
            return np.array(out)
        return np.array([v if limits.min <= v <= limits.max else None for v in out], object)

    return oracle


def _divisors(pair):
    """No divisor is 0, and the one quotient that overflows, which some processors trap, is left out."""
    a, b = pair
    lowest = a == np.iinfo(a.dtype).min
    return a, np.where((b == 0) | (lowest & (b.astype(float) == -1)), np.ones_like(b), b)


def _neighbours(pair):
    """Each second number is at most 1 away from the first, which float32 would not tell apart."""
    a, b = pair
    inside = (a > np.iinfo(a.dtype).min) & (a < np.iinfo(a.dtype).max)
    return a, np.where(inside, a + (b % 3).astype(a.dtype) - a.dtype.type(1), a).astype(a.dtype)


def _pair(name, dtype):
    first = integers(dtype)
    if name in ("floor_divide", "remainder"):
        return st.tuples(first, first).map(_divisors)
    if name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
        return st.tuples(first, first).map(_neighbours) | st.tuples(first, first)
    if name == "pow":
        return st.tuples(first, integers(dtype, 0, 5))
    if name.endswith("_shift"):
        return st.tuples(first, integers(dtype, 0, np.iinfo(dtype).bits - 1))
    return st.tuples(first, first)


@functools.cache
def integer_case(name: str, dtype: str, within: str | None = None) -> Case:
    """The case of the integer function `name` of `dtype`, with numbers that the dtype `within` holds."""
    limits = np.iinfo(within or dtype)
    fun = {**_INTEGER_OF_ONE, **_INTEGER_OF_TWO}[name]
    if name == "bitwise_invert":
        fun = (lambda x: -x - 1) if limits.min else (lambda x: limits.max - x)
    arrays = st.tuples(integers(limits.dtype.name)) if name in _INTEGER_OF_ONE else _pair(name, limits.dtype.name)
    args = arrays.map(lambda xs: (tuple(x.astype(dtype) for x in xs), {}))
    return Case(name, args, _python(fun, limits), exact, label=dtype)


BOOLEANS = [
    *(
        Case(name, calls(booleans(), booleans()), oracle, exact, label="bool")
        for name, oracle in {
            "bitwise_and": lambda a, b: a * b,
            "bitwise_or": lambda a, b: a + b > 0,
            "bitwise_xor": lambda a, b: a != b,
            "logical_and": lambda a, b: a * b,
            "logical_or": lambda a, b: a + b > 0,
            "logical_xor": lambda a, b: a != b,
            "equal": lambda a, b: ~(a ^ b),
            "not_equal": lambda a, b: a ^ b,
        }.items()
    ),
    *(
        Case(name, calls(booleans()), oracle, exact, label="bool")
        for name, oracle in {
            "bitwise_invert": lambda a: a == 0,
            "logical_not": lambda a: a == 0,
        }.items()
    ),
]
