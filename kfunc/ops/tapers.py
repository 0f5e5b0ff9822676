"""Windows that a signal is multiplied by before its spectrum is taken."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backends import Backend, kind_of
from ..errors import ArgumentError
from ..typing import Array
from .creation import _create
from .segment import known
from .special import i0

__all__ = ["bartlett", "blackman", "hamming", "hanning", "kaiser"]


def _window(length: Any, formula: Callable, backend: Any, like: Any) -> Any:
    """`formula(xp, t)` of `length` places t from -1 to 1."""
    if kind_of(type(length)) is not None:
        like = length if like is None and backend is None else like
        length = known(length, "x")
    if not isinstance(length, int) or isinstance(length, bool):
        raise ArgumentError.must_be("x", "an integer, the length of the window", length)

    def make(xp, dtype, device):
        if length == 1:
            return xp.ones((1,), dtype=dtype, device=device)
        return formula(xp, xp.arange(max(length, 0), dtype=dtype, device=device) * (2 / max(length - 1, 1)) - 1)

    return _create(make, "float32", backend, like)


def _cosines(x, backend, like, *weights):
    """A window that is a constant plus cosines, with these weights."""

    def formula(xp, t):
        return sum(w * xp.cos(math.pi * n * t) for n, w in enumerate(weights[1:], 1)) + weights[0]

    return _window(x, formula, backend, like)


def hanning(x: int | Array, *, backend: str | Backend | None = None, like: Array | None = None) -> Array:
    """Hann's window: a constant and a cosine, 0 at both ends.

    Args:
        x: The length n: an integer, or an array () of one, whose backend is then that of the window.
        backend, like: As for `zeros`.

    Returns:
        (n,) float32.
    """
    return _cosines(x, backend, like, 0.5, 0.5)


def hamming(x: int | Array, *, backend: str | Backend | None = None, like: Array | None = None) -> Array:
    """Hamming's window: a constant and a cosine, 0.08 at both ends; see `hanning`."""
    return _cosines(x, backend, like, 0.54, 0.46)


def blackman(x: int | Array, *, backend: str | Backend | None = None, like: Array | None = None) -> Array:
    """Blackman's window: a constant and two cosines; see `hanning`."""
    return _cosines(x, backend, like, 0.42, 0.5, 0.08)


def bartlett(x: int | Array, *, backend: str | Backend | None = None, like: Array | None = None) -> Array:
    """Bartlett's window, a triangle whose ends are 0; see `hanning`."""
    return _window(x, lambda xp, t: 1 - xp.abs(t), backend, like)


def kaiser(x: int | Array, beta: float, *, backend: str | Backend | None = None, like: Array | None = None) -> Array:
    """Kaiser's window, near the narrowest for its side lobes (Kaiser and Schafer, 1980); see `hanning`.

    Args:
        beta: The shape: 0 is a rectangle, and larger numbers taper more.
    """

    def formula(xp, t):
        square = 1 - t * t
        root = xp.sqrt(xp.where(square > 0, square, xp.zeros_like(square)))
        return i0(beta * root) / i0(beta * xp.ones_like(t))

    return _window(x, formula, backend, like)
