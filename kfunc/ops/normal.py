"""The normal distribution's quantile function to the last bit of `jax.random.normal`.

The generator's bits are the same everywhere, and normal numbers should be too. Libraries' own logarithms differ in the
last place, so this one is written out in sums, products and roots, which IEEE 754 rounds in one way only: XLA's
polynomials, with its fused multiply-adds as float64 arithmetic rounded to float32.
"""

from __future__ import annotations

import math
from typing import Any

from ..arrays import dtype_name, namespace
from ..typing import Array
from ._op import op
from .special import _ERF_INV_SINGLE, erfinv

__all__ = ["normal_quantile"]

# Numerator and denominator of (log(1 + x) - x + x²/2) / x³, highest power first (Moshier, Cephes, log1p).
_LOG1P = (
    (
        *(
            4.5270000862445199635215e-5,
            4.9854102823193375972212e-1,
            6.5787325942061044846969,
            2.9911919328553073277375e1,
        ),
        *(6.0949667980987787057556e1, 5.7112963590585538103336e1, 2.0039553499201281259648e1),
    ),
    (
        *(1.0, 1.5062909083469192043167e1, 8.3047565967967209469434e1, 2.2176239823732856465394e2),
        *(3.0909872225312059774938e2, 2.1642788614495947685003e2, 6.0118660497603843919306e1),
    ),
)
# (log(1 + x) - x + x²/2) / x³ in three cubics of x³ (Moshier, Cephes, logf), and log 2 in two parts.
_LOG = (
    (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1),
    (-1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1),
    (2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
_LOG_2 = (-2.12194440e-4, 0.693359375)


def _rounded(xp, x):
    return xp.astype(xp.astype(x, xp.float32), xp.float64)


def _horner(xp, x, coefficients):
    """A polynomial of `x`, highest power first, each step and each coefficient rounded to float32."""
    value = xp.full_like(x, _single(coefficients[0]))
    for c in coefficients[1:]:
        value = _rounded(xp, value * x + _single(c))
    return value


def _single(c: float) -> float:
    """The float32 nearest to `c`."""
    step = 2.0 ** (math.frexp(c)[1] - 24)
    return round(c / step) * step


def _log_near_1(xp, x):
    """log(1 + x) for -0.42 < x <= 0."""
    square = _rounded(xp, x * x)
    ratio = _rounded(xp, _horner(xp, x, _LOG1P[0]) / _horner(xp, x, _LOG1P[1]))
    rest = _rounded(xp, _rounded(xp, x * square) * ratio)
    return _rounded(xp, x + _rounded(xp, rest - 0.5 * square))


def _log(xp, x):
    """log(x) for 2**-31 <= x < 1."""
    exponent = xp.zeros_like(x)
    for k in (16, 8, 4, 2, 1):
        low = x < 2.0**-k
        x, exponent = xp.where(low, x * 2.0**k, x), xp.where(low, exponent - k, exponent)
    low = x < _single(math.sqrt(0.5))
    x, exponent = xp.where(low, x + x, x) - 1.0, xp.where(low, exponent - 1, exponent)
    square = _rounded(xp, x * x)
    cube = _rounded(xp, square * x)
    series = None
    for coefficients in _LOG:
        part = _horner(xp, x, coefficients)
        series = part if series is None else _rounded(xp, series * cube + part)
    tail = _rounded(xp, series * cube + _rounded(xp, exponent * _single(_LOG_2[0])))
    return _rounded(xp, _rounded(xp, _rounded(xp, x - 0.5 * square) + tail) + exponent * _LOG_2[1])


# The steps, each on float64 arrays that hold float32 numbers, so that a backend may take them where they apply.

_MIDDLE, _TAIL = (coefficients for *_, coefficients in _ERF_INV_SINGLE)
TAIL = 5.0


def negative_square(xp: Any, u: Array) -> tuple[Array, Array]:
    """`-u²`, and a mask of where it is so near 0 that `near_log` is to be used."""
    x = -_rounded(xp, u * u)
    return x, x > -_single(math.sqrt(2) - 1)


def near_log(xp: Any, x: Array) -> Array:
    """`-log(1 + x)` near 0."""
    return -_log_near_1(xp, x)


def far_log(xp: Any, x: Array) -> Array:
    """`-log(1 + x)` elsewhere in (-1, 0)."""
    return -_log(xp, _rounded(xp, 1.0 + x))


def middle(xp: Any, w: Array) -> Array:
    """`erfinv(u) / u` for `w = -log(1 - u²)` below `TAIL`."""
    return _horner(xp, _rounded(xp, w - 2.5), _MIDDLE)


def tail(xp: Any, w: Array) -> Array:
    """`erfinv(u) / u` for `w` from `TAIL` on."""
    return _horner(xp, _rounded(xp, _rounded(xp, xp.sqrt(w)) - 3.0), _TAIL)


def scaled(xp: Any, p: Array, u: Array) -> Array:
    """`sqrt(2) * p * u` in float32."""
    return xp.astype(_rounded(xp, p * u) * _single(math.sqrt(2)), xp.float32)


@op(elementwise=True)
def normal_quantile(u: Array) -> Array:
    """`sqrt(2) * erfinv(u)`: the number below which a normal number lies with probability `(u + 1) / 2`.

    Args:
        u: Floats (...) in (-1, 1).

    Returns:
        (...) of the dtype of `u`. In float32 the bits that XLA computes on processors with fused multiply-add.
    """
    if dtype_name(u.dtype) != "float32":
        return erfinv(u) * math.sqrt(2)
    xp = namespace(u)
    wide = xp.astype(u, xp.float64)
    x, near = negative_square(xp, wide)
    # Each logarithm sees only numbers from its own interval.
    w = xp.where(
        near,
        near_log(xp, xp.where(near, x, xp.zeros_like(x))),
        far_log(xp, xp.where(near, xp.full_like(x, -0.5), x)),
    )
    return scaled(xp, xp.where(w < TAIL, middle(xp, w), tail(xp, w)), wide)


@normal_quantile.shape_rule
def _normal_quantile_shape(u):
    return u
