"""JAX's namespace, `jax.numpy`, with other derivatives where a function has a kink or an argument is infinite.

They are those of the other backends: `jax.numpy.abs` has the slope 1 at 0, so that an L1 penalty moves weights of 0;
norms and standard deviations of 0 have NaN; at a bound, `clip` hands on half of a cotangent.
"""

from __future__ import annotations

import functools as _functools
from typing import Any

import jax as _jax
import jax.numpy as _jnp

from ...errors import ArgumentError as _ArgumentError
from .. import composed as _composed

globals().update({name: getattr(_jnp, name) for name in dir(_jnp) if not name.startswith("__")})

from . import linalg  # noqa: E402, F401  (the standard's extension, in place of JAX's)

__array_api_version__ = _jnp.__array_api_version__
__array_namespace_info__ = _jnp.__array_namespace_info__

std = _composed.std


def refuse_large(low: int, high: int, dtype: Any) -> None:
    """Refuse integers from `low` to `high` that `dtype` does not hold: JAX itself drops their upper bits.

    Raises:
        ArgumentError: As above. Without x64, JAX makes int32 of int64.
    """
    if low >= -(2**31) and high < 2**31:
        return
    held = _jax.dtypes.canonicalize_dtype(dtype)
    if held.kind in "iu" and not _jnp.iinfo(held).min <= low <= high <= _jnp.iinfo(held).max:
        raise _ArgumentError(
            f"JAX does not hold this integer in {held.name}: {low if low < _jnp.iinfo(held).min else high}.",
            expected=f"integers from {_jnp.iinfo(held).min} to {_jnp.iinfo(held).max}",
            got=f"{low} to {high}",
            fix='switch 64 bits on, jax.config.update("jax_enable_x64", True), or use smaller numbers',
        )


def full(shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None) -> Any:
    if type(fill_value) is int:
        refuse_large(fill_value, fill_value, int if dtype is None else dtype)
    return _jnp.full(shape, fill_value, dtype, device=device)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    if type(fill_value) is int:
        refuse_large(fill_value, fill_value, x.dtype if dtype is None else dtype)
    return _jnp.full_like(x, fill_value, dtype=dtype, device=device)


def arange(start: Any, /, stop: Any = None, step: Any = None, *, dtype: Any = None, device: Any = None) -> Any:
    first, end = (0, start) if stop is None else (start, stop)
    if type(first) is type(end) is int and dtype is not None:
        refuse_large(*((first, end) if first <= end else (end, first)), dtype)
    return _jnp.arange(start, stop, 1 if step is None else step, dtype=dtype, device=device)


def abs(x: Any, /) -> Any:
    return _jnp.abs(x) if _jnp.iscomplexobj(x) or not _jnp.issubdtype(_jnp.result_type(x), _jnp.floating) else _size(x)


absolute = abs


# Compiled, so that a call outside of `jit` is one dispatch.
@_functools.partial(_jax.jit, inline=True)
def _size(x):
    return x * _jnp.sign(_jax.lax.stop_gradient(x))


@_functools.partial(_jax.jit, inline=True)
def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """`x` within the bounds; at a bound, `x` gets the cotangent."""
    out = _jnp.clip(_jax.lax.stop_gradient(x), min, max)
    return _jnp.where(x == out, x, out).astype(out.dtype)


def hypot(x1: Any, x2: Any, /) -> Any:
    return _composed.hypot(x1, x2, _hypot)


@_jax.custom_jvp
def _hypot(x1, x2):
    return _jnp.hypot(x1, x2)


@_hypot.defjvp
def _(primals, tangents):
    (a, b), (da, db) = primals, tangents
    out = _hypot(a, b)  # JAX's own second derivative is 0 where both legs are equal
    return out, da * (a / out) + db * (b / out)


def logaddexp(x1: Any, x2: Any, /) -> Any:
    dtype = _jnp.result_type(x1, x2)
    return _logaddexp(*_jnp.broadcast_arrays(_jnp.asarray(x1, dtype), _jnp.asarray(x2, dtype)))


@_jax.custom_jvp
def _logaddexp(x1, x2):
    return _jnp.logaddexp(x1, x2)


@_logaddexp.defjvp
def _(primals, tangents):
    (a, b), (da, db) = primals, tangents
    same = (a == b) & _jnp.isinf(a)  # their difference is NaN
    share = _jax.nn.sigmoid(_jnp.where(same, 0, a - b))
    return _logaddexp(a, b), da * share + db * (1 - share)


def pow(x1: Any, x2: Any, /) -> Any:
    """`x1 ** x2`. JAX's slope of `0 ** 0` is NaN, and not 0, and so is that of the slope of `0 ** 1`."""
    if isinstance(x2, int | float) or not _jnp.issubdtype(_jnp.result_type(x1, x2), _jnp.floating):
        return _jnp.pow(x1, x2)
    zero, first = x1 == 0, x2 == 1
    base = _jnp.where(zero & (first | (x2 == 0)), 1, x1).astype(_jnp.result_type(x1))
    return _jnp.where(zero & first, _jnp.where(zero, x1, 0) * _jnp.where(first, x2, 1), _jnp.pow(base, x2))
