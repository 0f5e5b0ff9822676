"""The standard's extension `fft`: frequencies and shifts; the transforms need complex numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...tracing.spec import fft as spec
from ...tracing.spec.dtypes import check_kind
from .array import Array
from .casting import make
from .dtypes import float32
from .gaps import missing
from .manipulation import normal_axes, roll

fftn: Callable[..., Any]
ifftn: Callable[..., Any]
rfftn: Callable[..., Any]
irfftn: Callable[..., Any]
fftn, ifftn, rfftn, irfftn = map(missing, (spec.fftn, spec.ifftn, spec.rfftn, spec.irfftn))
ifft: Callable[..., Any]
rfft: Callable[..., Any]
irfft: Callable[..., Any]
hfft: Callable[..., Any]
ihfft: Callable[..., Any]
ifft, rfft, irfft, hfft, ihfft = map(missing, (spec.ifft, spec.rfft, spec.irfft, spec.hfft, spec.ihfft))
fft: Callable[..., Any] = missing(spec.fft)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Array:
    return make(np.fft.fftfreq(n, d), dtype or float32, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Array:
    return make(np.fft.rfftfreq(n, d), dtype or float32, device)


def fftshift(x: Array, /, *, axes: Any = None) -> Array:
    return _shifted("fftshift", x, axes, 1)


def ifftshift(x: Array, /, *, axes: Any = None) -> Array:
    return _shifted("ifftshift", x, axes, -1)


def _shifted(name: str, x: Array, axes: Any, sign: int) -> Array:
    check_kind(name, str(x.dtype), "f")
    axes = normal_axes(x, axes)
    if None in [x.shape[a] for a in axes]:
        raise ShapeError(f"{name} needs known sizes.", argument="axes", expected="axes of known size", got=x.shape)
    return roll(x, tuple(sign * (x.shape[a] // 2) for a in axes), axis=axes)
