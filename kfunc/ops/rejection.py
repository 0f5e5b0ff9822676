"""Gamma and binomial numbers from uniform and normal ones, by rejection with a fixed number of proposals.

All proposals are made at once, along a first axis, and the first accepted one is taken: straight code that every
compiler takes, whose cost is known. Each function says how often no proposal is accepted. Whether one is accepted
depends on logarithms, which libraries round differently: where a number lies within some 10 eps of the boundary,
backends may take different proposals.
"""

from __future__ import annotations

from ..arrays import device, namespace
from ..typing import Array
from ._op import op

__all__ = ["BINOMIAL_PROPOSALS", "GAMMA_PROPOSALS", "binomial_variates", "gamma_variates"]

GAMMA_PROPOSALS = 6
BINOMIAL_PROPOSALS = 16
INVERTED_BELOW = 10.0
"""The mean below which binomial numbers are found by inversion."""
INVERSION_STEPS = 36
"""A binomial number with a mean below 10 exceeds this once in 10**9 draws: too seldom for a uniform float32 to show."""


def _first_accepted(xp, accepted, values, otherwise):
    """For each element the first of the values (n, ...) that is accepted."""
    numbers = xp.arange(values.shape[0], dtype=xp.int32, device=device(values))
    numbers = xp.reshape(numbers, (-1,) + (1,) * (values.ndim - 1))
    first = xp.argmax(xp.astype(accepted, xp.int32), axis=0, keepdims=True)
    chosen = accepted & (numbers == xp.astype(first, xp.int32))
    picked = xp.sum(xp.where(chosen, values, xp.zeros_like(values)), axis=0, dtype=values.dtype)
    return xp.where(xp.any(accepted, axis=0), picked, otherwise)


def _log1p_beyond_cubic(xp, s):
    """`log(1 + s) - s + s**2 / 2 - s**3 / 3` for s > -1."""
    small = xp.abs(s) < 0.125
    t = xp.where(small, s, xp.zeros_like(s))
    series = xp.zeros_like(s)
    for n in range(12, 3, -1):
        series = series * t + (-1) ** (n + 1) / n
    t4 = t * t
    s = xp.where(small, xp.ones_like(s), s)
    return xp.where(small, series * t4 * t4, xp.log1p(s) - s * (1 - s * (0.5 - s / 3)))


@op
def gamma_variates(alpha: Array, x: Array, u: Array, w: Array) -> tuple[Array, Array]:
    """Gamma distributed numbers (Marsaglia and Tsang, ACM TOMS 26, 2000).

    A proposal is accepted with probability 0.95 at least, so that once in 10**7 none of six is; the number then comes
    from the middle of the distribution.

    Args:
        alpha: The shapes of the distributions, positive.
        x: Normal numbers (n, ...), n proposals for each number.
        u: Uniform numbers (n, ...) in (0, 1).
        w: Uniform numbers (...) in (0, 1), which take numbers from alpha + 1 to alpha where it is less than 1.

    Returns:
        (...), with alpha + 1 in place of an alpha below 1, and (...): the logarithm of the factor that leads back.
    """
    xp = namespace(x)
    d = xp.where(alpha < 1, alpha + 1, alpha) - 1 / 3
    s = x / xp.sqrt(9 * d)
    inside = s > -1
    s = xp.where(inside, s, xp.zeros_like(s))
    # 0.5 x² + d - d v + d log v for v = (1 + s)³, without its cancellations.
    accepted = inside & (xp.log(u) < 3 * d * _log1p_beyond_cubic(xp, s))
    s = _first_accepted(xp, accepted, s, xp.zeros_like(w))
    boost = xp.log(w) / xp.where(alpha < 1, alpha, xp.ones_like(alpha))
    return d * (1 + s) ** 3, xp.where(alpha < 1, boost, xp.zeros_like(boost))


def _stirling_rest(k):
    """`log(k!)` less `(k + 1/2) log(k + 1) - (k + 1) + log(2 pi) / 2`; off by 3e-4 at k = 0, by 1e-7 at 1."""
    z = 1 / ((k + 1) * (k + 1))
    return (1 / 12 - (1 / 360 - (1 / 1260 - z / 1680) * z) * z) / (k + 1)


@op
def binomial_variates(counts: Array, probabilities: Array, u: Array, v: Array) -> Array:
    """Binomial numbers, by inversion where the mean is small and by transformed rejection elsewhere.

    Hörmann, "The generation of binomial random variates", J. Stat. Comput. Simul. 46, 1993, algorithm BTRS without the
    squeezes. A proposal is accepted with probability 0.7 at least, so that once in 10**8 none of sixteen is; the
    number then is the mode.

    Args:
        counts, probabilities: Floats that broadcast to (...): natural numbers, and numbers in [0, 1].
        u, v: Uniform numbers (n, ...) in (0, 1), n proposals for each number.

    Returns:
        (...), float; exact counts up to 2**24 in float32.
    """
    xp = namespace(u)
    n, flipped = counts + xp.zeros_like(u[0, ...]), probabilities > 0.5
    p = xp.where(flipped, 1 - probabilities, probabilities) + xp.zeros_like(n)
    few = n * p < INVERTED_BELOW
    # Each algorithm is given only numbers that it is meant for.
    k = xp.where(
        few,
        _inverted(xp, n, xp.where(few, p, xp.zeros_like(p)), u[0, ...]),
        _transformed(xp, xp.where(few, xp.full_like(n, 40.0), n), xp.where(few, xp.full_like(p, 0.5), p), u, v),
    )
    return xp.where(flipped, n - k, k)


def _inverted(xp, n, p, u):
    """How many of the distribution function's values lie below `u`."""
    term = xp.exp(n * xp.log1p(-p))
    odds, below, total = p / (1 - p), term, xp.zeros_like(u)
    for k in range(INVERSION_STEPS):
        total = total + xp.astype(u > below, u.dtype)
        term = term * (xp.clip(n - k, 0.0, None) / (k + 1)) * odds
        below = below + term
    return xp.minimum(total, n)


def _transformed(xp, n, p, u, v):
    deviation = xp.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    u = u - 0.5
    distance = 0.5 - xp.abs(u)
    k = xp.floor((2 * a / distance + b) * u + (n * p + 0.5))
    inside = (k >= 0) & (k <= n)
    mode = xp.floor((n + 1) * p)
    k = xp.where(inside, k, mode + xp.zeros_like(k))
    # log f(k) / f(mode), in terms that are small where k is near the mode.
    step, below, above = k - mode, mode + 1, n - mode + 1
    slope = xp.log1p((p / (1 - p) * above - below) / below)
    ratio = step * slope - (k + 0.5) * xp.log1p(step / below) - (n - k + 0.5) * xp.log1p(-step / above)
    ratio = ratio + (_stirling_rest(mode) + _stirling_rest(n - mode) - _stirling_rest(k) - _stirling_rest(n - k))
    height = (2.83 + 5.1 / b) * deviation / (a / (distance * distance) + b)
    return _first_accepted(xp, inside & (xp.log(v * height) <= ratio), k, mode)
