"""Indexing, and the functions that pick elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError, IndexingError, ShapeError
from ...tracing.spec.dtypes import check_kind
from .array import Array, build, ints, opset
from .casting import astype, scalar, where
from .creation import asarray
from .dtypes import BOOL, int32, int64
from .gaps import cannot
from .manipulation import broadcast_arrays, broadcast_like, expand_dims, normal_axes, permute_dims, reshape, stack

__all__ = ["nonzero", "take", "take_along_axis"]


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    check_kind("take", str(indices.dtype), "iu")
    (axis,) = normal_axes(x, axis)
    return build(opset.gather, x.dtype, x, as_index(indices), ints(axis))


def as_index(indices: Array) -> Array:
    return indices if indices.dtype in (int32, int64) else astype(indices, int32)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    check_kind("take_along_axis", str(indices.dtype), "iu")
    (axis,) = normal_axes(x, axis)
    size = build(lambda node: opset.gather(opset.shape_of(node), ints(axis), ints(0)), int64, x)
    indices = as_index(indices)
    if not (indices.is_concrete and (indices.numpy() >= 0).all()):
        indices = where(indices < 0, indices + astype(size, indices.dtype), indices)
    if any(n == 1 and m != 1 for i, (n, m) in enumerate(zip(indices.shape, x.shape, strict=True)) if i != axis):
        like = x[(slice(None),) * axis + (slice(0, 1),)]
        indices = build(broadcast_like, indices.dtype, indices, like)
    return build(opset.gather_elements, x.dtype, x, indices, axis=axis)


def nonzero(x: Array, /) -> tuple[Array, ...]:
    if not x.ndim:
        raise ShapeError("nonzero: the shape does not fit.", argument="x", expected="one axis or more", got=x.shape)
    if 0 in x.shape:
        return (Array.concrete(np.zeros(0, int32)),) * x.ndim
    places = build(lambda node: opset.non_zero(node, output_type="i32"), int32, x != 0)  # NaN counts as not zero
    return tuple(places[i, ...] for i in range(x.ndim))


def getitem(x: Array, key: Any, /) -> Array:
    key = tuple(_as_key(k) for k in (key if isinstance(key, tuple) else (key,)))
    if len(key) == 1 and _is_mask(key[0]) and not key[0].ndim:
        return expand_dims(x, axis=0)[(reshape(key[0], (1,)), ...)]
    key = _without_masks(x, key)
    taken = sum(k is not None and k is not Ellipsis for k in key)
    if taken > x.ndim or sum(k is Ellipsis for k in key) > 1:
        raise IndexingError(
            "indexing: there are more indices than axes.",
            argument="index",
            expected=f"{x.ndim} at most, and ... once",
            got=f"{taken} for an array of shape {x.shape}",
            fix="leave some out, or add axes by None",
        )
    at = next((i for i, k in enumerate(key) if k is Ellipsis), None)
    full_slices = (slice(None),) * (x.ndim - taken)
    key = (*key, *full_slices) if at is None else (*key[:at], *full_slices, *key[at + 1 :])
    has_arrays = any(isinstance(k, Array) for k in key)

    slices, dropped, added, arrays, axis, place = [], [], [], {}, 0, 0
    for k in key:
        if k is None:
            added.append(place)
            place += 1
            continue
        if isinstance(k, slice):
            if k != slice(None):
                slices.append((axis, k))
            place += 1
        elif isinstance(k, Array):
            arrays[axis] = k
        else:
            k = _check_int(k, x.shape[axis])
            if has_arrays:
                arrays[axis] = scalar(k, int32)  # an integer beside arrays broadcasts with them
            else:
                slices.append((axis, slice(k, None if k == -1 else k + 1)))
                dropped.append(axis)
        axis += 1
    if added and arrays:
        raise cannot("indexing by arrays and None at once", "add axes with xp.expand_dims afterwards")
    out = _slice(x, slices)
    if dropped:
        out = build(opset.squeeze, out.dtype, out, ints(*dropped))
    if added:
        out = build(opset.unsqueeze, out.dtype, out, ints(*added))
    return _gather(out, arrays) if arrays else out


def _as_key(k: Any) -> Any:
    """`index`, a list or an array, as an array of integers or booleans."""
    if not isinstance(k, Array | np.ndarray | list):
        return k
    index = asarray(k)
    if index.dtype.kind not in "biu":
        raise ArgumentError(
            "indexing: an array cannot be indexed by this value.",
            argument="index",
            expected="integers, slices, ..., None, and arrays of integers or booleans",
            got=f"an array of {index.dtype}",
            fix="round numbers to integers first",
        )
    return index if index.dtype == BOOL else as_index(index)


def _is_mask(k: Any) -> bool:
    return isinstance(k, Array) and k.dtype == BOOL


def _without_masks(x: Array, key: tuple) -> tuple:
    """`key`, with each mask replaced by the places where it is true."""
    if not any(map(_is_mask, key)):
        return key
    out: list[Any] = []
    axis = 0
    for n, k in enumerate(key):
        if k is Ellipsis:
            axis = x.ndim - sum(m.ndim if _is_mask(m) else m is not None for m in key[n + 1 :])
        elif _is_mask(k):
            sizes = x.shape[axis : axis + k.ndim]
            if (
                len(sizes) < k.ndim
                or not k.ndim
                or any(None not in s and s[0] != s[1] for s in zip(sizes, k.shape, strict=False))
            ):
                raise IndexingError(
                    "indexing: the mask does not fit the axes that it picks from.",
                    argument="index",
                    expected=f"a mask of shape {sizes}",
                    got=k.shape,
                    fix="compute the mask from the array itself",
                )
            axis += k.ndim
            out += nonzero(k)
            continue
        else:
            axis += k is not None
        out.append(k)
    return tuple(out)


def _check_int(k: Any, size: int | None) -> int:
    k = k.__index__()
    if size is not None and not -size <= k < size:
        raise IndexingError(
            "indexing: an index is out of range.",
            argument="index",
            expected=f"an integer in [{-size}, {size})",
            got=k,
            fix="count from 0, or from the end by -1",
        )
    return k


_END = 2**31 - 1


def _slice(x: Array, slices: list[tuple[int, slice]]) -> Array:
    if not slices:
        return x
    starts, stops, steps = [], [], []
    for axis, k in slices:
        step = 1 if k.step is None else k.step.__index__()
        if step == 0:
            raise ArgumentError(
                "indexing: a slice has a step of 0.",
                argument="index",
                expected="a step other than 0",
                got=k,
                fix="leave the step out",
            )
        start = (0 if step > 0 else _END) if k.start is None else k.start.__index__()
        stop = (_END if step > 0 else -_END) if k.stop is None else k.stop.__index__()
        if x.shape[axis] is not None:
            # Known sizes are clamped here, so that the plugin need not.
            start, stop, step = slice(k.start, k.stop, step).indices(x.shape[axis])
            stop = -_END if stop < 0 else stop
        starts.append(start)
        stops.append(stop)
        steps.append(step)
    axes = [axis for axis, _ in slices]
    return build(opset.slice, x.dtype, x, ints(*starts), ints(*stops), ints(*steps), ints(*axes))


def _gather(x: Array, arrays: dict[int, Array]) -> Array:
    """`x` indexed along several axes by integer arrays that broadcast together, as NumPy does it."""
    axes = list(arrays)
    if len(axes) == 1:
        return take(x, arrays[axes[0]], axis=axes[0])
    wrapped = [
        where(i < 0, i + x.shape[a], i) if x.shape[a] is not None and not i.is_concrete else i
        for a, i in arrays.items()
    ]
    for n, (a, i) in enumerate(arrays.items()):
        if i.is_concrete and (i.numpy() < 0).any():
            if x.shape[a] is None:
                raise cannot("indexing by negative integers")
            wrapped[n] = Array.concrete(np.where(i.numpy() < 0, i.numpy() + x.shape[a], i.numpy()).astype(i.dtype))
    index = stack(broadcast_arrays(*wrapped), axis=-1)
    rest = [a for a in range(x.ndim) if a not in arrays]
    out = build(opset.gather_nd, x.dtype, permute_dims(x, (*axes, *rest)), index)
    n = index.ndim - 1
    if axes == list(range(axes[0], axes[-1] + 1)) and axes[0] > 0:
        before = axes[0]
        out = permute_dims(out, (*range(n, n + before), *range(n), *range(n + before, out.ndim)))
    return out
