"""The Array API standard's Fourier transforms, made of TensorFlow's one-dimensional ones over the last axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from .array import Array, cast, raw
from .axes import from_last, normal_axes, normal_axis, to_last
from .creation import on
from .dtypes import float32
from .manipulation import roll

__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]


def _complex(x: tf.Tensor) -> tf.Tensor:
    wide = x.dtype in (tf.float64, tf.complex128)
    return cast(x, tf.complex128 if wide else tf.complex64)


def _resized(x: tf.Tensor, n: int) -> tf.Tensor:
    """`x` with `n` elements along the last axis: cut, or followed by zeros."""
    x = x[..., :n]
    missing = n - x.shape[-1]
    return tf.pad(x, [(0, 0)] * (x.shape.rank - 1) + [(0, missing)]) if missing else x


def _scaled(x: tf.Tensor, n: int, norm: str, inverse: bool) -> tf.Tensor:
    """`x`, a transform by TensorFlow, scaled by `norm`. TensorFlow itself scales as "backward": inverses by 1 / n."""
    if norm not in ("backward", "ortho", "forward"):
        raise ValueError(f'norm must be "backward", "ortho" or "forward", not {norm!r}.')
    factor = {"backward": 1.0, "ortho": n**0.5 if inverse else n**-0.5, "forward": n if inverse else 1 / n}[norm]
    return x if norm == "backward" else x * tf.constant(factor, x.dtype)  # `tf.cast` would round to float32 first


def _along(x: Any, axis: int, transform: Callable) -> Array:
    x = raw(x)
    axis = normal_axis(axis, x.shape.rank)
    return Array(from_last(transform(to_last(x, axis)), axis))


def _full(kernel: Callable, inverse: bool) -> Callable:
    def function(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
        def transform(x):
            size = n or x.shape[-1]
            return _scaled(kernel(_resized(_complex(x), size)), size, norm, inverse)

        return _along(x, axis, transform)

    return function


fft: Callable[..., Any]
ifft: Callable[..., Any]
fft, ifft = _full(tf.signal.fft, False), _full(tf.signal.ifft, True)


def rfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    def transform(x):
        size = n or x.shape[-1]
        return _scaled(tf.signal.rfft(_resized(x, size)), size, norm, False)

    return _along(x, axis, transform)


def irfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    def transform(x):
        size = n or 2 * (x.shape[-1] - 1)
        return _scaled(tf.signal.irfft(_resized(_complex(x), size // 2 + 1), [size]), size, norm, True)

    return _along(x, axis, transform)


_OPPOSITE = {"backward": "forward", "forward": "backward"}


def hfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    return irfft(tf.math.conj(_complex(raw(x))), n=n, axis=axis, norm=_OPPOSITE.get(norm, norm))


def ihfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    return Array(tf.math.conj(rfft(x, n=n, axis=axis, norm=_OPPOSITE.get(norm, norm)).tensor))


def _sizes(x: tf.Tensor, s: Sequence[int] | None, axes: Sequence[int] | None) -> list[tuple[int, int | None]]:
    """Pairs of an axis and the size asked for along it."""
    n = x.shape.rank
    axes = list(range(n))[-len(s) :] if axes is None and s is not None else normal_axes(axes, n)
    return list(zip(axes, s or [None] * len(axes), strict=True))


def _over_axes(one: Callable) -> Callable:
    def function(x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Array:
        x = Array(raw(x))
        for axis, n in _sizes(x.tensor, s, axes):
            x = one(x, n=n, axis=axis, norm=norm)
        return x

    return function


fftn: Callable[..., Any]
ifftn: Callable[..., Any]
fftn, ifftn = _over_axes(fft), _over_axes(ifft)


def rfftn(x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Array:
    *others, (axis, n) = _sizes(raw(x), s, axes)
    x = rfft(x, n=n, axis=axis, norm=norm)
    for axis, n in others:
        x = fft(x, n=n, axis=axis, norm=norm)
    return x


def irfftn(x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Array:
    *others, (axis, n) = _sizes(raw(x), s, axes)
    for a, m in others:
        x = ifft(x, n=m, axis=a, norm=norm)
    return irfft(x, n=n, axis=axis, norm=norm)


def _frequencies(function: Callable) -> Callable:
    def frequencies(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Array:
        with on(device):
            return Array(tf.constant(function(n, d).astype((dtype or float32).as_numpy_dtype)))

    return frequencies


fftfreq: Callable[..., Any]
rfftfreq: Callable[..., Any]
fftfreq, rfftfreq = _frequencies(np.fft.fftfreq), _frequencies(np.fft.rfftfreq)


def _shifted(sign: int) -> Callable:
    def function(x: Any, /, *, axes: Any = None) -> Array:
        x = raw(x)
        axes = normal_axes(axes, x.shape.rank)
        # By half of the size, rounded down; back by the other half.
        return roll(x, tuple(sign * (x.shape[a] // 2) for a in axes), axis=tuple(axes))

    return function


fftshift: Callable[..., Any]
ifftshift: Callable[..., Any]
fftshift, ifftshift = _shifted(1), _shifted(-1)
