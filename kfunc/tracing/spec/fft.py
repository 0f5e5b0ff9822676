"""Fourier transforms: the standard's extension `fft`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backends.standard import named
from ...errors import ArgumentError
from .array import as_spec, make
from .dtypes import REAL, check_kind, dtype_name
from .shapes import natural, normal_axes, normal_axis, one_of, replace

__all__ = ["fftfreq", "fftshift", "ifftshift", "rfftfreq"]

_COMPLEX = {real: name for name, real in REAL.items()}
_NORMS = ("backward", "ortho", "forward")


def _signal(name: str, x: Any, kinds: str, real_out: bool, norm: Any):
    """`x` as a Spec, and the dtype of the result."""
    x = as_spec(name, x)
    check_kind(name, x.dtype, kinds)
    one_of(name, "norm", norm, _NORMS)
    return x, REAL.get(x.dtype, x.dtype) if real_out else _COMPLEX.get(x.dtype, x.dtype)


def _half(n: int | None) -> int | None:
    return None if n is None else n // 2 + 1


def _double(n: int | None) -> int | None:
    return None if n is None else 2 * (n - 1)


def _along_one_axis(name: str, kinds: str, real_out: bool, size: Callable, given: Callable) -> Callable:
    """A transform whose result has `given(n)` elements along the axis; `size(length)` elements, if `n` is None."""

    def fun(x, /, *, n=None, axis=-1, norm="backward"):
        x, dtype = _signal(name, x, kinds, real_out, norm)
        axis = normal_axis(name, axis, x.ndim)
        m = size(x.shape[axis]) if n is None else given(natural(name, "n", n, 1))
        return make(replace(x.shape, axis, m), dtype)

    return named(name, fun)


def _along_several(name: str, kinds: str, real_out: bool, size: Callable, given: Callable) -> Callable:
    """The same along several axes: `size` and `given` are for the last one, and the others keep their sizes."""

    def fun(x, /, *, s=None, axes=None, norm="backward"):
        x, dtype = _signal(name, x, kinds, real_out, norm)
        if axes is None:
            axes = range(x.ndim) if s is None else range(-len(s), 0)
        axes = normal_axes(name, tuple(axes), x.ndim)
        if s is not None and len(s) != len(axes):
            raise ArgumentError(
                f"{name}: {len(s)} sizes were given for {len(axes)} axes.",
                argument="s",
                expected=f"{len(axes)} sizes",
                got=s,
                fix="give a size for each axis",
            )
        shape = x.shape
        for i, axis in enumerate(axes):
            last = i == len(axes) - 1
            if s is not None:
                n = natural(name, "s", s[i], 1)
                shape = replace(shape, axis, given(n) if last else n)
            elif last:
                shape = replace(shape, axis, size(shape[axis]))
        return make(shape, dtype)

    return named(name, fun)


def _same(n):
    return n


# Names, kinds of dtype, whether the result is real, and the last size without and with an argument for it.
for _names, _maker in ("fft ifft rfft irfft hfft ihfft", _along_one_axis), ("fftn ifftn rfftn irfftn", _along_several):
    for _name in _names.split():
        if _name[0] == "r" or _name == "ihfft":
            _rule = ("f", False, _half, _half)
        elif _name[0] == "h" or _name[:2] == "ir":
            _rule = ("fc", True, _double, _same)
        else:
            _rule = ("fc", False, _same, _same)
        globals()[_name] = _maker(_name, *_rule)
        __all__.append(_name)


def fftfreq(n: Any, /, *, d: Any = 1.0, dtype: Any = None, device: Any = None) -> Any:
    return _frequencies("fftfreq", natural("fftfreq", "n", n, 1), dtype)


def rfftfreq(n: Any, /, *, d: Any = 1.0, dtype: Any = None, device: Any = None) -> Any:
    return _frequencies("rfftfreq", _half(natural("rfftfreq", "n", n, 1)), dtype)


def _frequencies(name, n, dtype):
    dtype = dtype_name("float32" if dtype is None else dtype)
    check_kind(name, dtype, "f")
    return make((n,), dtype)


def _shift(name: str) -> Callable:
    def fun(x, /, *, axes=None):
        x = as_spec(name, x)
        check_kind(name, x.dtype, "fc")
        normal_axes(name, axes, x.ndim)
        return x

    return named(name, fun)


fftshift: Callable[..., Any]
ifftshift: Callable[..., Any]
fftshift, ifftshift = _shift("fftshift"), _shift("ifftshift")
