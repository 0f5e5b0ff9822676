"""Rules of the `fft` extension. A discrete Fourier transform is its own transpose."""

from __future__ import annotations

from typing import Any

from ....arrays import device

__all__ = ["COMPOSITES", "RULES"]

_OTHER = {"backward": "forward", "ortho": "ortho", "forward": "backward"}
"""The norm with which the inverse transform scales as the transform does."""


def _resized(xp, x, size, axis):
    """The first `size` entries along `axis`, filled up with zeros where there are fewer."""
    axis = axis % x.ndim
    n = x.shape[axis]
    if n > size:
        return x[(slice(None),) * axis + (slice(0, size), ...)]
    if n == size:
        return x
    shape = (*x.shape[:axis], size - n, *x.shape[axis + 1 :])
    return xp.concat([x, xp.zeros(shape, dtype=x.dtype, device=device(x))], axis=axis)


def _fft(xp, g, out, x, *, n=None, axis=-1, norm="backward"):
    return _resized(xp, xp.fft.fft(g, axis=axis, norm=norm), x.shape[axis], axis)


def _ifft(xp, g, out, x, *, n=None, axis=-1, norm="backward"):
    return _resized(xp, xp.fft.ifft(g, axis=axis, norm=norm), x.shape[axis], axis)


def _rfft(xp, g, out, x, *, n=None, axis=-1, norm="backward"):
    n = x.shape[axis] if n is None else n
    return _resized(xp, xp.real(xp.fft.fft(_resized(xp, g, n, axis), axis=axis, norm=norm)), x.shape[axis], axis)


def _irfft(xp, g, out, x, *, n=None, axis=-1, norm="backward"):
    axis, n = axis % x.ndim, out.shape[axis]
    half = xp.conj(xp.fft.rfft(g, axis=axis, norm=_OTHER[norm]))
    # All but the first one, and the last one if n is even, stand for their conjugates too.
    last = half.shape[axis] - 1
    index = xp.arange(last + 1, dtype=g.dtype, device=device(g))
    once = (index == 0) | (index == (last if n % 2 == 0 else 0))
    weight = xp.where(once, xp.ones_like(index), xp.ones_like(index) * 2)
    shape = tuple(-1 if i == axis else 1 for i in range(x.ndim))
    return _resized(xp, half * xp.astype(xp.reshape(weight, shape), half.dtype), x.shape[axis], axis)


RULES: dict[str, Any] = {
    "fft.fft": (_fft,),
    "fft.fftshift": (lambda xp, g, out, x, *, axes=None: xp.fft.ifftshift(g, axes=axes),),
    "fft.ifft": (_ifft,),
    "fft.ifftshift": (lambda xp, g, out, x, *, axes=None: xp.fft.fftshift(g, axes=axes),),
    "fft.irfft": (_irfft,),
    "fft.rfft": (_rfft,),
}


def _steps(x, s, axes):
    """The axes to transform along, each with the size to bring it to, or None."""
    if axes is None:
        axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
    axes = [a % x.ndim for a in axes]
    return list(zip(axes, [None] * len(axes) if s is None else s, strict=True))


def fftn(xp: Any, x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Any:
    for axis, n in _steps(x, s, axes):
        x = xp.fft.fft(x, n=n, axis=axis, norm=norm)
    return x


def ifftn(xp: Any, x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Any:
    for axis, n in _steps(x, s, axes):
        x = xp.fft.ifft(x, n=n, axis=axis, norm=norm)
    return x


def rfftn(xp: Any, x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Any:
    *others, (axis, n) = _steps(x, s, axes)
    x = xp.fft.rfft(x, n=n, axis=axis, norm=norm)
    for axis, n in others:
        x = xp.fft.fft(x, n=n, axis=axis, norm=norm)
    return x


def irfftn(xp: Any, x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Any:
    *others, (axis, n) = _steps(x, s, axes)
    for other, size in others:
        x = xp.fft.ifft(x, n=size, axis=other, norm=norm)
    return xp.fft.irfft(x, n=n, axis=axis, norm=norm)


def hfft(xp: Any, x: Any, /, *, n: Any = None, axis: Any = -1, norm: str = "backward") -> Any:
    return xp.fft.irfft(xp.conj(x), n=n, axis=axis, norm=_OTHER[norm])


def ihfft(xp: Any, x: Any, /, *, n: Any = None, axis: Any = -1, norm: str = "backward") -> Any:
    return xp.conj(xp.fft.rfft(x, n=n, axis=axis, norm=_OTHER[norm]))


COMPOSITES = {f"fft.{f.__name__}": f for f in (fftn, hfft, ifftn, ihfft, irfftn, rfftn)}
