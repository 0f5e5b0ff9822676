"""Complex functions made of real ones: the frameworks' own are wrong at infinities and zeros.

Sources: the special cases of the Array API standard, which are those of C99, Annex G.
"""

from __future__ import annotations

from typing import Any

__all__ = ["expm1", "log1p"]


def expm1(xp: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Real and imaginary part of `exp(x + i y) - 1`, exact also where that is small; `x`, `y` real, of one shape."""
    grown, half = xp.expm1(x), xp.sin(y / 2)
    real, imag = grown * xp.cos(y) - 2 * half * half, xp.exp(x) * xp.sin(y)
    real, imag = xp.where(y == 0, grown, real), xp.where(y == 0, y, imag)
    # Where the real part is infinite, the result does not depend on the angle.
    open_angle = xp.isinf(x) & ~xp.isfinite(y)
    real = xp.where(open_angle, grown, real)
    return real, xp.where(open_angle & (x < 0), xp.zeros_like(y), imag)


def log1p(xp: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Real and imaginary part of `log(1 + x + i y)`, exact also near 0; `x`, `y` real, of one shape."""
    near = (xp.abs(x) < 0.5) & (xp.abs(y) < 0.5)
    zero = xp.zeros_like(x)
    # Each formula gets only the numbers that it is meant for: an infinity in the other one would spoil the gradient.
    a, b = xp.where(near, x, zero), xp.where(near, y, zero)
    small = xp.log1p(a * (2 + a) + b * b) / 2
    large = xp.log(xp.hypot(xp.where(near, zero, x) + 1, xp.where(near, zero, y)))
    return xp.where(near, small, large), xp.atan2(y, x + 1)
