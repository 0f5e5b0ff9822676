"""Functions of elements, or of pairs of elements: mathematics, bits, logic, comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from .. import _complex, composed
from ..standard import named
from .array import BINARY, UNARY, Array, cast, operands, raw, signbit
from .creation import asarray
from .dtypes import result_type


def _of_one(name: str, kernel: Callable) -> Callable:
    def function(x: Any, /) -> Array:
        return Array(kernel(raw(x)))

    return named(name, function)


def _of_two(name: str, kernel: Callable) -> Callable:
    def function(x1: Any, x2: Any, /) -> Array:
        return Array(kernel(*operands(x1, x2)))

    return named(name, function)


def _unless_integer(kernel: Callable) -> Callable:
    return lambda x: kernel(x) if x.dtype.is_floating else x


def _is(kernel: Callable, otherwise: bool, join: Callable) -> Callable:
    """A test of floating numbers. Other dtypes have the same answer for all numbers; complex ones ask both parts."""

    def question(x):
        if x.dtype.is_floating:
            return kernel(x)
        if x.dtype.is_complex:
            return join(kernel(tf.math.real(x)), kernel(tf.math.imag(x)))
        return tf.fill(tf.shape(x), otherwise)

    return question


def _trunc(x):
    return tf.where(x < 0, tf.math.ceil(x), tf.floor(x))


def _sign(x):
    if not x.dtype.is_complex:
        return UNARY["sign"](x)
    size = tf.cast(tf.abs(x), x.dtype)
    return tf.where(x == 0, x, x / tf.where(x == 0, tf.ones_like(size), size))


def _round(x):
    return tf.complex(tf.round(tf.math.real(x)), tf.round(tf.math.imag(x))) if x.dtype.is_complex else tf.round(x)


def _log_by(base: float) -> Callable:
    return lambda x: tf.math.log(x) / tf.constant(math.log(base), x.dtype)


def _shared(kernel):
    """`kernel`, a maximum or minimum, where equal numbers share the cotangent: TensorFlow gives it to the first one."""

    def extremum(x, y):
        return 0.5 * kernel(x, y) + 0.5 * kernel(y, x) if x.dtype.is_floating else kernel(x, y)

    return extremum


_maximum, _minimum = _shared(tf.maximum), _shared(tf.minimum)


def _hypot(x, y):
    return composed.hypot(Array(x), Array(y), lambda a, b: Array(_finite_hypot(a.tensor, b.tensor))).tensor


def _finite_hypot(x, y):
    # A constant keeps the squares from overflowing; by the larger leg itself, second derivatives would be wrong.
    size = tf.stop_gradient(tf.maximum(tf.abs(x), tf.abs(y)))
    return size * tf.sqrt(tf.square(x / size) + tf.square(y / size))


def _logaddexp(x, y):
    first = x >= y
    high, low = tf.where(first, x, y), tf.where(first, y, x)
    same = (x == y) & tf.math.is_inf(x)  # their difference is NaN
    high = tf.where(same, 0.5 * x + 0.5 * y, high)
    return high + tf.math.log1p(tf.exp(tf.where(same, tf.zeros_like(x), low - high)))


def _copysign(x, y):
    return tf.where(signbit(x) == signbit(y), x, -x)


def _with_complex(of_reals: Callable, of_parts: Callable) -> Callable:
    def kernel(x):
        if not x.dtype.is_complex:
            return of_reals(x)
        real = Array(tf.math.real(x))
        parts = of_parts(real.__array_namespace__(), real, Array(tf.math.imag(x)))
        return tf.complex(*(part.tensor for part in parts))

    return kernel


_UNARY = {
    **UNARY,
    "sign": _sign,
    "square": tf.square,
    "sqrt": tf.sqrt,
    "reciprocal": tf.math.reciprocal,
    "exp": tf.exp,
    "expm1": _with_complex(tf.math.expm1, _complex.expm1),
    "log": tf.math.log,
    "log1p": _with_complex(tf.math.log1p, _complex.log1p),
    "log2": _log_by(2),
    "log10": _log_by(10),
    "sin": tf.sin,
    "cos": tf.cos,
    "tan": tf.tan,
    "asin": tf.asin,
    "acos": tf.acos,
    "atan": tf.atan,
    "sinh": tf.sinh,
    "cosh": tf.cosh,
    "tanh": tf.tanh,
    "asinh": tf.asinh,
    "acosh": tf.acosh,
    "atanh": tf.atanh,
    "floor": _unless_integer(tf.floor),
    "ceil": _unless_integer(tf.math.ceil),
    "trunc": _unless_integer(_trunc),
    "round": _round,
    "isnan": _is(tf.math.is_nan, False, tf.logical_or),
    "isinf": _is(tf.math.is_inf, False, tf.logical_or),
    "isfinite": _is(tf.math.is_finite, True, tf.logical_and),
    "signbit": signbit,
    "logical_not": lambda x: tf.logical_not(cast(x, tf.bool)),
    "real": tf.math.real,
    "imag": tf.math.imag,
    "conj": tf.math.conj,
}

_BINARY = {
    **BINARY,
    "maximum": _maximum,
    "minimum": _minimum,
    "atan2": tf.atan2,
    "hypot": _hypot,
    "logaddexp": _logaddexp,
    "copysign": _copysign,
    "nextafter": tf.math.nextafter,
    "logical_and": lambda x, y: tf.logical_and(cast(x, tf.bool), cast(y, tf.bool)),
    "logical_or": lambda x, y: tf.logical_or(cast(x, tf.bool), cast(y, tf.bool)),
    "logical_xor": lambda x, y: tf.not_equal(cast(x, tf.bool), cast(y, tf.bool)),
}

globals().update({name: _of_one(name, kernel) for name, kernel in _UNARY.items()})
globals().update({name: _of_two(name, kernel) for name, kernel in _BINARY.items()})


def clip(x: Any, /, min: Any = None, max: Any = None) -> Array:
    """`x` kept between `min` and `max`, numbers or arrays that broadcast with it."""
    x = raw(x)
    for bound, kernel in ((min, tf.maximum), (max, tf.minimum)):
        if bound is not None:
            a, b = operands(x, bound)
            x = cast(kernel(a, b), x.dtype)
    return Array(x)


def where(condition: Any, x1: Any, x2: Any, /) -> Array:
    """`x1` where `condition` holds, else `x2`; either may be a Python scalar."""
    if isinstance(x1, (int, float, complex)) and isinstance(x2, (int, float, complex)):
        x1 = asarray(x1, dtype=result_type(asarray(x1), asarray(x2)))
    return Array(tf.where(cast(raw(condition), tf.bool), *operands(x1, x2)))


__all__ = ["clip", "where", *_UNARY, *_BINARY]
