"""Elementwise functions that the standard lacks."""

from __future__ import annotations

import math

from ..arrays import backend_of, namespace
from ..errors import ArgumentError, ShapeError
from ..tracing.spec.inspection import finfo
from ..transforms import stop_gradient
from ..typing import Array
from . import standard
from ._op import op
from ._promotion import cast, dtype_of, floating, kind, lift, numeric, promote, together

__all__ = [
    "allclose",
    "angle",
    "cbrt",
    "clip",
    "deg2rad",
    "divide_no_nan",
    "exp2",
    "fmax",
    "fmin",
    "fmod",
    "gcd",
    "heaviside",
    "isclose",
    "isneginf",
    "isposinf",
    "isreal",
    "lcm",
    "ldexp",
    "logaddexp2",
    "nan_to_num",
    "polar",
    "rad2deg",
    "round",
    "rsqrt",
    "sinc",
    "view_as_complex",
    "view_as_real",
]

_COMPLEX = {"float32": "complex64", "float64": "complex128"}


def join_complex(real: Array, imaginary: Array) -> Array:
    """The complex numbers of two real arrays of one dtype; complex64 for dtypes of less than 32 bits."""
    dtype = _COMPLEX.get(dtype_of(real), "complex64")
    if not hasattr(namespace(real), dtype):
        raise backend_of(real).unsupported("complex numbers", "keep the real and the imaginary part apart")
    return cast(real, dtype) + 1j * cast(imaginary, dtype)


# -- of one array ----------------------------------------------------------------------------------------------------


@op(elementwise=True)
def angle(x: Array) -> Array:
    """The angle of each number with the positive real axis, in radians, in (-π, π]: 0 or π where `x` is real."""
    x = floating(x)
    xp = namespace(x)
    if kind(x) == "c":
        return xp.atan2(xp.imag(x), xp.real(x))
    half_turn = xp.where(xp.signbit(x), xp.full_like(x, math.pi), xp.zeros_like(x))
    return xp.where(xp.isnan(x), x, half_turn)


@op(elementwise=True)
def cbrt(x: Array) -> Array:
    """The real cube root; integers are taken as float32."""
    x = floating(x)
    xp = namespace(x)
    ordinary = xp.isfinite(x) & (x != 0)
    size = xp.where(ordinary, xp.abs(x), xp.ones_like(x))
    root = size ** (1 / 3)
    root = (
        root - (root - size / (root * root)) / 3
    )  # 1/3 is not exact in floats: one step of Newton's method corrects that
    return xp.where(ordinary, xp.where(x < 0, -root, root), x)


@op(elementwise=True)
def deg2rad(x: Array) -> Array:
    """Degrees as radians."""
    return floating(x) * (math.pi / 180)


@op(elementwise=True)
def rad2deg(x: Array) -> Array:
    """Radians as degrees."""
    return floating(x) * (180 / math.pi)


@op(elementwise=True)
def exp2(x: Array) -> Array:
    """`2 ** x`; integers are taken as float32."""
    return standard.power(2.0, floating(x))


@op(elementwise=True)
def rsqrt(x: Array) -> Array:
    """`1 / sqrt(x)`; integers are taken as float32."""
    x = floating(x)
    return 1 / namespace(x).sqrt(x)


@op(elementwise=True)
def sinc(x: Array) -> Array:
    """`sin(πx) / (πx)`, and 1 at 0; to a few rounding errors near its zeros too. Integers are taken as float32."""
    x = floating(x)
    xp = namespace(x)
    near = xp.abs(x) < 0.5
    # Near 0 the series: the derivative of the quotient is a difference of two large numbers there.
    square, total = -(xp.where(near, math.pi * x, xp.zeros_like(x)) ** 2), 0.0
    for k in range(11, -1, -1):
        total = total * square + 1 / math.factorial(2 * k + 1)
    far = xp.where(near, xp.ones_like(x), x)
    # The sine of the distance from the nearest integer: πx itself is rounded too much.
    whole = stop_gradient(xp.round(far))
    turn = math.pi * (far - whole)
    sine = xp.sin(turn) * (1 - 2 * xp.remainder(whole, xp.full_like(x, 2)))
    return xp.where(near, total, sine / (turn + math.pi * whole))


@op(elementwise=True)
def isneginf(x: Array) -> Array:
    """Whether each number is -∞."""
    return floating(x) == -math.inf


@op(elementwise=True)
def isposinf(x: Array) -> Array:
    """Whether each number is ∞."""
    return floating(x) == math.inf


@op(elementwise=True)
def isreal(x: Array) -> Array:
    """Whether each number has no imaginary part."""
    x = lift(x)
    xp = namespace(x)
    return xp.imag(x) == 0 if kind(x) == "c" else xp.ones_like(x, dtype=xp.bool)


@op(elementwise=True)
def nan_to_num(x: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    """`x` with numbers in place of NaN, ∞ and -∞; by default 0, and the largest and least of the dtype."""
    x = lift(x)
    if kind(x) not in "fc":
        return x
    xp = namespace(x)
    if kind(x) == "c":
        return join_complex(*(nan_to_num(part, nan, posinf, neginf) for part in (xp.real(x), xp.imag(x))))
    most = finfo(dtype_of(x)).max
    for found, value in (
        (xp.isnan(x), nan),
        (x == math.inf, most if posinf is None else posinf),
        (x == -math.inf, -most if neginf is None else neginf),
    ):
        x = xp.where(found, xp.full_like(x, value), x)
    return x


@op(elementwise=True)
def round(x: Array, decimals: int = 0) -> Array:
    """`x` to `decimals` places, halves to the even neighbour; to tens and hundreds where `decimals` is negative."""
    x = numeric(x)
    xp = namespace(x)
    if decimals == 0:
        return xp.round(x)
    if kind(x) in "iu":
        return x if decimals > 0 else cast(round(floating(x), decimals), dtype_of(x))
    unit = 10.0 ** (decimals if decimals > 0 else -decimals)
    return xp.round(x * unit) / unit if decimals > 0 else xp.round(x / unit) * unit


@op
def view_as_complex(x: Array) -> Array:
    """Real and imaginary parts (..., 2) as complex numbers (...)."""
    x = floating(x)
    if x.ndim == 0 or x.shape[-1] != 2:
        raise ShapeError(
            f"The last axis of `x` must have size 2, the real and the imaginary part, got shape {tuple(x.shape)}.",
            argument="x",
            expected="(..., 2)",
            got=x.shape,
        )
    return join_complex(x[..., 0], x[..., 1])


@op
def view_as_real(x: Array) -> Array:
    """Complex numbers (...) as real and imaginary parts (..., 2)."""
    x = numeric(x)
    xp = namespace(x)
    parts = (xp.real(x), xp.imag(x)) if kind(x) == "c" else (x, xp.zeros_like(x))
    return xp.stack(parts, axis=-1)


# -- of several ------------------------------------------------------------------------------------------------------


@op(single=True, elementwise=True)  # NumPy's function takes no numbers as bounds of bfloat16
def clip(x: Array, x_min: Array | None, x_max: Array | None) -> Array:
    """`x`, at least `x_min` and at most `x_max`: arrays that broadcast, or numbers; None sets no bound."""
    x = numeric(x)
    bounds = [b for b in (x_min, x_max) if b is not None]
    x, *bounds = promote(x, *bounds, least="i")
    if x_min is None:
        bounds.insert(0, None)
    return namespace(x, *bounds).clip(x, *bounds)


@op(elementwise=True)
def divide_no_nan(x1: Array, x2: Array) -> Array:
    """`x1 / x2`, and 0 where `x2` is 0."""
    x1, x2 = together(x1, x2, least="f")
    xp = namespace(x1, x2)
    zero = x2 == 0
    quotient = x1 / xp.where(zero, xp.ones_like(x2), x2)
    return xp.where(zero, xp.zeros_like(quotient), quotient)


def _past_nan(x1, x2, pick):
    """`pick` of two arrays, where a number takes the place of a NaN beside it."""
    x1, x2 = together(x1, x2, least="i")
    if kind(x1) != "f":
        return pick(x1, x2)
    xp = namespace(x1, x2)
    a, b = xp.where(xp.isnan(x1), x2, x1), xp.where(xp.isnan(x2), x1, x2)
    return pick(a, b)


@op(elementwise=True)
def fmax(x1: Array, x2: Array) -> Array:
    """`maximum`, but a number wins over NaN; NaN where both are NaN."""
    return _past_nan(x1, x2, standard.maximum)


@op(elementwise=True)
def fmin(x1: Array, x2: Array) -> Array:
    """`minimum`, but a number wins over NaN; NaN where both are NaN."""
    return _past_nan(x1, x2, standard.minimum)


@op(elementwise=True)
def fmod(x1: Array, x2: Array) -> Array:
    """The remainder of division with the sign of `x1`, as C's fmod; see `mod` for the sign of `x2`."""
    x1, x2 = together(x1, x2, least="i")
    xp = namespace(x1, x2)
    if kind(x1) == "u":
        return xp.remainder(x1, x2)
    # Between positive numbers both kinds of remainder agree, and the standard's is exact.
    rest = xp.remainder(xp.where(x1 < 0, -x1, x1), xp.where(x2 < 0, -x2, x2))
    return xp.where(x1 < 0, -rest, rest)


@op(elementwise=True)
def heaviside(x1: Array, x2: Array) -> Array:
    """0 where `x1` is negative, 1 where it is positive, `x2` where it is 0, and NaN where it is NaN."""
    x1, x2 = together(x1, x2, least="f")
    xp = namespace(x1, x2)
    step = xp.where(xp.isnan(x1), x1, cast(x1 > 0, dtype_of(x1)))
    return xp.where(x1 == 0, x2, step)


@op(elementwise=True)
def isclose(x1: Array, x2: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Whether `abs(x1 - x2) <= atol + rtol * abs(x2)`; infinities are close to themselves."""
    x1, x2 = together(x1, x2, least="f")
    xp = namespace(x1, x2)
    finite = xp.isfinite(x1) & xp.isfinite(x2)
    a, b = xp.where(finite, x1, xp.zeros_like(x1)), xp.where(finite, x2, xp.zeros_like(x2))
    close = xp.where(finite, xp.abs(a - b) <= atol + rtol * xp.abs(b), x1 == x2)
    return close | (xp.isnan(x1) & xp.isnan(x2)) if equal_nan else close


@op
def allclose(x1: Array, x2: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Whether all numbers are close, as for `isclose`: a boolean array ()."""
    return standard.all(isclose(x1, x2, rtol, atol, equal_nan))


@op(elementwise=True)
def ldexp(x1: Array, x2: Array) -> Array:
    """`x1 * 2 ** x2`, for integers `x2`.

    Raises:
        ArgumentError: `x2` holds other numbers than integers.
    """
    number = type(x2) is int
    x1, x2 = lift(x1, x2)
    x2 = cast(x2, "int32") if number else x2
    if kind(x2) not in "iu":
        raise ArgumentError(
            f"`x2`, the exponent, must hold integers, got {dtype_of(x2)}.",
            argument="x2",
            expected="integers",
            got=dtype_of(x2),
        )
    x1 = floating(x1)
    xp = namespace(x1, x2)
    half = xp.floor_divide(x2, xp.full_like(x2, 2))
    rest = xp.subtract(x2, half)
    # In two steps, so that neither overflows where the result does not.
    return x1 * exp2(cast(half, dtype_of(x1))) * exp2(cast(rest, dtype_of(x1)))


@op(elementwise=True)
def logaddexp2(x1: Array, x2: Array) -> Array:
    """`log2(2 ** x1 + 2 ** x2)`, without overflow."""
    x1, x2 = together(x1, x2, least="f")
    ln2 = math.log(2)
    return namespace(x1, x2).logaddexp(x1 * ln2, x2 * ln2) / ln2


@op(elementwise=True)
def polar(abs_: Array, angle: Array) -> Array:
    """Complex numbers of absolute value `abs_` at `angle`, in radians."""
    size, angle = together(abs_, angle, least="f")
    xp = namespace(size, angle)
    return join_complex(size * xp.cos(angle), size * xp.sin(angle))


# -- of integers -----------------------------------------------------------------------------------------------------

# How many steps of Euclid's algorithm integers of so many bits take at most: Fibonacci numbers take the most.
_EUCLID = {8: 12, 16: 23, 32: 46, 64: 92}


@op(elementwise=True)
def gcd(x1: Array, x2: Array) -> Array:
    """The greatest common divisor of integers; that of 0 and 0 is 0."""
    x1, x2 = _integers(x1, x2)
    xp = namespace(x1, x2)
    a, b = (x1, x2) if kind(x1) == "u" else (xp.abs(x1), xp.abs(x2))
    for _ in range(_EUCLID[xp.iinfo(a.dtype).bits]):
        done = b == 0
        a, b = xp.where(done, a, b), xp.where(done, b, xp.remainder(a, xp.where(done, xp.ones_like(b), b)))
    return a


@op(elementwise=True)
def lcm(x1: Array, x2: Array) -> Array:
    """The least common multiple of integers; 0 where one is 0."""
    x1, x2 = _integers(x1, x2)
    xp = namespace(x1, x2)
    divisor = gcd(x1, x2)
    product = xp.floor_divide(x1, xp.where(divisor == 0, xp.ones_like(divisor), divisor)) * x2
    return product if kind(product) == "u" else xp.abs(product)


def _integers(*xs):
    xs = together(*xs, least="i")
    if kind(xs[0]) not in "iu":
        raise ArgumentError(
            f"`x1` and `x2` must hold integers, got {dtype_of(xs[0])}.",
            argument="x1",
            expected="integers",
            got=dtype_of(xs[0]),
        )
    return xs
