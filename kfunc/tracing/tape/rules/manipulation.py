"""Rules of the functions that move, join and pick elements."""

from __future__ import annotations

import itertools
import math
from typing import Any

from ....arrays import device, namespace
from ....backends import composed
from ....backends.registry import kind_of
from ....ops.segment import segment_sum
from .elementwise import same, shared

__all__ = ["COMPOSITES", "RULES", "plain_setitem", "plain_unindex"]


def _reshaped(xp, g, out, x, *args, **kwargs):
    return xp.reshape(g, x.shape)


def _unpermute(xp, g, out, x, axes):
    inverse = sorted(range(len(axes)), key=lambda i: axes[i] % len(axes))
    return xp.permute_dims(g, tuple(inverse))


def _unroll(xp, g, out, x, shift, *, axis=None):
    back = -shift if isinstance(shift, int) else tuple(-s for s in shift)
    return xp.roll(g, back, axis=axis)


def _concat(xp, i, g, out, *arrays, axis):
    axis = axis % g.ndim
    start = sum(a.shape[axis] for a in arrays[:i])
    return g[(slice(None),) * axis + (slice(start, start + arrays[i].shape[axis]), ...)]


def _unstack(xp, i, g, out, *arrays, axis):
    return g[(slice(None),) * (axis % g.ndim) + (i, ...)]


def _untile(xp, g, out, x, repetitions):
    n = max(x.ndim, len(repetitions))
    repetitions = (1,) * (n - len(repetitions)) + tuple(repetitions)
    shape = (1,) * (n - x.ndim) + tuple(x.shape)
    g = xp.reshape(g, tuple(itertools.chain(*zip(repetitions, shape, strict=True))))
    return xp.reshape(xp.sum(g, axis=tuple(range(0, 2 * n, 2))), x.shape)


def _unrepeat(xp, g, out, x, repeats, *, axis=None):
    flat = x if axis is not None else xp.reshape(x, (-1,))
    axis = 0 if axis is None else axis % x.ndim
    size = flat.shape[axis]
    index = xp.repeat(xp.arange(size, device=device(x)), repeats)
    return xp.reshape(_untake_axis(xp, g, index, axis, size), x.shape)


def _untake_axis(xp, g, index, axis, size):
    """Add the slices of `g` along `axis` into zeros, at `index`."""
    return xp.moveaxis(segment_sum(xp.moveaxis(g, axis, 0), index, size), 0, axis)


def _untake(xp, g, out, x, indices, *, axis=None):
    axis = 0 if axis is None else axis % x.ndim
    size = x.shape[axis]
    return _untake_axis(xp, g, xp.where(indices < 0, indices + size, indices), axis, size)


def _positions(xp, x):
    """The position of each element of `x` in memory order, in the shape of `x`."""
    return xp.reshape(xp.arange(x.size, device=device(x)), x.shape)


def _untake_along_axis(xp, g, out, x, indices, *, axis=-1):
    shape = tuple(n if i == axis % x.ndim else x.shape[i] for i, n in enumerate(indices.shape))
    where = xp.take_along_axis(_positions(xp, x), xp.broadcast_to(indices, shape), axis=axis)
    flat = segment_sum(xp.reshape(xp.broadcast_to(g, shape), (-1,)), xp.reshape(where, (-1,)), x.size)
    return xp.reshape(flat, x.shape)


def plain_unindex(g: Any, shape: Any, key: Any) -> Any:
    """Zeros of `shape` with `g` added at `key`."""
    xp = namespace(g)
    backend = kind_of(type(g)).backend
    if backend.index_add is not None:
        out = xp.zeros(shape, dtype=g.dtype)
        backend.index_add(out, key, g)
        return out
    size = math.prod(shape)
    where = xp.reshape(xp.arange(size, device=device(g)), shape)[key]
    return xp.reshape(segment_sum(xp.reshape(g, (-1,)), xp.reshape(where, (-1,)), size), shape)


def _spread(xp, g, x, key):
    return getattr(xp, "unindex", plain_unindex)(g, tuple(x.shape), key)


def plain_setitem(x: Any, value: Any, key: Any) -> Any:
    """A copy of `x` with `value` at `key`."""
    out = namespace(x).asarray(x, copy=True)
    out[key] = value
    return out


RULES: dict[str, Any] = {
    "broadcast_to": (same,),
    "expand_dims": (_reshaped,),
    "flip": (lambda xp, g, out, x, **kwargs: xp.flip(g, **kwargs),),
    "getitem": (lambda xp, g, out, x, key: _spread(xp, g, x, key), None),
    "moveaxis": (lambda xp, g, out, x, source, destination: xp.moveaxis(g, destination, source),),
    "permute_dims": (_unpermute,),
    "repeat": (_unrepeat, None),
    "reshape": (_reshaped,),
    "roll": (_unroll,),
    "setitem": (
        lambda xp, g, out, x, value, key: g - _spread(xp, g[key], x, key),
        lambda xp, g, out, x, value, key: g[key],
        None,
    ),
    "squeeze": (_reshaped,),
    "take": (_untake, None),
    "take_along_axis": (_untake_along_axis, None),
    "tile": (_untile,),
    "tril": (lambda xp, g, out, x, **kwargs: xp.tril(g, **kwargs),),
    "triu": (lambda xp, g, out, x, **kwargs: xp.triu(g, **kwargs),),
    "unindex": (lambda xp, g, out, x, shape, key: g[key], None, None),
    "_concat": _concat,
    "_to_device": (lambda xp, g, out, x, place, **kwargs: g.to_device(device(x)), None),
    "_stack": _unstack,
}


def concat(xp: Any, arrays: Any, /, *, axis: Any = 0) -> Any:
    if axis is None:
        arrays, axis = [xp.reshape(a, (-1,)) for a in arrays], 0
    return xp._concat(*arrays, axis=axis)


def stack(xp: Any, arrays: Any, /, *, axis: Any = 0) -> Any:
    return xp._stack(*arrays, axis=axis)


def unstack(xp: Any, x: Any, /, *, axis: Any = 0) -> Any:
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, i, ...)] for i in range(x.shape[axis]))


def asarray(xp: Any, x: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Any:
    if not isinstance(x, xp._backend.cls):
        return xp._constant_asarray(x, dtype=dtype, device=device, copy=copy)
    if copy:
        x = type(x)(x.value, x.level, x.node)  # another object, since `x[key] = value` changes the object
    return x if dtype is None or dtype == x.dtype else xp.astype(x, dtype)


def full_like(xp: Any, x: Any, /, fill_value: Any, **kwargs: Any) -> Any:
    if isinstance(fill_value, xp._backend.cls):
        return xp.zeros_like(x, **kwargs) + fill_value
    return xp._constant_full_like(x, fill_value, **kwargs)


def broadcast_arrays(xp: Any, *arrays: Any) -> Any:
    shape = xp._xp.broadcast_shapes(*(a.shape for a in arrays)) if hasattr(xp._xp, "broadcast_shapes") else None
    if shape is None:
        shape = xp.add(*arrays).shape if len(arrays) == 2 else sum(arrays[1:], arrays[0]).shape
    return [xp.broadcast_to(a, shape) for a in arrays]


def sort(xp: Any, x: Any, /, *, axis: Any = -1, **kwargs: Any) -> Any:
    return xp.take_along_axis(x, xp.argsort(x, axis=axis, **kwargs), axis=axis)


COMPOSITES = {
    **{f.__name__: f for f in (asarray, broadcast_arrays, concat, full_like, sort, stack, unstack)},
    "meshgrid": shared(composed.meshgrid),
}
