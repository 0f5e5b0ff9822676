"""OpenVINO's lowerings of Fourier transforms of pairs of arrays, the real and the imaginary part."""

from __future__ import annotations

from ... import ops
from ...ops._op import lowering
from . import namespace
from .array import build, ints, opset
from .backend import backend

__all__: list[str] = []


def _of_pair(operation, x, axes, *size):
    """`operation` of a pair of arrays along `axes`, which are counted from the end."""
    if not isinstance(x, list | tuple) or len(x) != 2 or any(part.dtype != namespace.float32 for part in x):
        return NotImplemented
    z = namespace.stack(list(x), axis=-1)
    axes = ints(*(z.ndim - 1 + axis for axis in axes))
    return build(operation, z.dtype, z, axes, *(ints(n) for n in size if n is not None))


def _pair(z):
    return z if z is NotImplemented else (z[..., 0], z[..., 1])


@lowering(backend, ops.fft)
def _fft(x):
    return _pair(_of_pair(opset.dft, x, (-1,)))


@lowering(backend, ops.fft2)
def _fft2(x):
    return _pair(_of_pair(opset.dft, x, (-2, -1)))


@lowering(backend, ops.ifft2)
def _ifft2(x):
    return _pair(_of_pair(opset.idft, x, (-2, -1)))


@lowering(backend, ops.rfft)
def _rfft(x, fft_length=None):
    if x.dtype != namespace.float32:
        return NotImplemented
    size = () if fft_length is None else (ints(fft_length),)
    x = x if fft_length is None else _at_least(x, fft_length)
    return _pair(build(opset.rdft, x.dtype, x, ints(x.ndim - 1), *size))


@lowering(backend, ops.irfft)
def _irfft(x, fft_length=None):
    if fft_length is not None and isinstance(x, list | tuple):
        x = [_at_least(part, fft_length // 2 + 1) for part in x]
    return _of_pair(opset.irdft, x, (-1,), fft_length)


def _at_least(x, size):
    """`x`, filled up with zeros to `size`: the runtime (2026.4) can cut, but does not fill up correctly."""
    missing = 0 if x.shape[-1] is None else size - x.shape[-1]
    return ops.pad(x, (*((0, 0),) * (x.ndim - 1), (0, missing))) if missing > 0 else x
