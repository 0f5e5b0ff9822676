"""Functions that move elements about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...tracing.spec import shapes as spec_shapes
from .array import Array, build, ints, opset
from .casting import astype, result_type

__all__ = [
    "broadcast_arrays",
    "broadcast_to",
    "concat",
    "expand_dims",
    "flip",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "tile",
    "unstack",
]


def normal_axes(x: Array, axis: Any) -> tuple[int, ...]:
    """`axis`, an integer, a tuple of them, or None for all, as a tuple of non-negative integers."""
    return spec_shapes.normal_axes("indexing", axis, x.ndim)


def _shape_of(x: Array) -> Any:
    """The sizes of `x` as a graph node: a constant where they are known."""
    return opset.shape_of(x.node) if None in x.shape else ints(*x.shape)


def broadcast_to(x: Array, /, shape: Sequence[int | None]) -> Array:
    """`x` with this shape; None keeps the size of an axis of `x`, which may be unknown."""
    shape = tuple(shape)
    known = zip(reversed(shape), reversed(x.shape), strict=False)
    if len(shape) < x.ndim or any(n is not None and m not in (None, 1, n) for n, m in known):
        raise ShapeError("These shapes do not broadcast.", argument="shape", expected=f"from {x.shape}", got=shape)
    if shape == x.shape:
        return x  # to broadcast from no axes to no axes crashes the plugin
    return build(
        opset.broadcast, x.dtype, x, ints(*(1 if n is None else n for n in shape)), broadcast_spec="BIDIRECTIONAL"
    )


def broadcast_arrays(*arrays: Array) -> list[Array]:
    if not any(None in x.shape for x in arrays):
        shape = _broadcast_shape(*arrays)
        return [x if x.shape == shape else broadcast_to(x, shape) for x in arrays]
    out = []
    for x in arrays:
        for other in arrays:
            if other is not x:
                x = build(broadcast_like, x.dtype, x, other)
        out.append(x)
    return out


def broadcast_like(x: Any, other: Any) -> Any:
    return opset.broadcast(x, opset.shape_of(other), broadcast_spec="BIDIRECTIONAL")


def _broadcast_shape(*arrays: Array) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(x.shape for x in arrays))  # type: ignore[arg-type]
    except ValueError as error:
        raise ShapeError("These shapes do not broadcast.", got=", ".join(str(x.shape) for x in arrays)) from error


def reshape(x: Array, /, shape: Any, *, copy: bool | None = None) -> Array:
    """`x` with this shape, where one size may be -1, or None, to be found."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if sum(n in (None, -1) for n in shape) > 1:
        raise ShapeError(
            "reshape: more than one of the new sizes is unknown.",
            argument="shape",
            expected="at most one -1 or None",
            got=shape,
        )
    sizes = [-1 if n is None else int(n) for n in shape]
    if x.shape == tuple(sizes):
        return x
    return build(opset.reshape, x.dtype, x, ints(*sizes), special_zero=False)


def reshape_like(x: Array, like: Array) -> Array:
    """`x` with the shape of `like`, whose sizes may be unknown."""
    return build(opset.reshape, x.dtype, x, _shape_of(like), special_zero=False)


def permute_dims(x: Array, /, axes: tuple[int, ...]) -> Array:
    return build(opset.transpose, x.dtype, x, ints(*normal_axes(x, tuple(axes))))


def matrix_transpose(x: Array, /) -> Array:
    return permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def moveaxis(x: Array, source: Any, destination: Any, /) -> Array:
    source, destination = normal_axes(x, source), normal_axes(x, destination)
    order = [i for i in range(x.ndim) if i not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return permute_dims(x, tuple(order))


def expand_dims(x: Array, /, axis: int = 0) -> Array:
    axes = spec_shapes.normal_axes("expand_dims", axis, x.ndim + (len(axis) if isinstance(axis, tuple) else 1))
    return build(opset.unsqueeze, x.dtype, x, ints(*axes))


def squeeze(x: Array, /, axis: Any) -> Array:
    axes = normal_axes(x, axis)
    if any(x.shape[a] not in (1, None) for a in axes):
        raise ShapeError("Only axes of size 1 can go.", argument="axis", expected="axes of size 1", got=(axis, x.shape))
    return build(opset.squeeze, x.dtype, x, ints(*axes)) if axes else x


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    dtype = result_type(*arrays)
    arrays = [astype(x, dtype) for x in arrays]
    if axis is None:
        arrays, axis = [reshape(x, (-1,)) for x in arrays], 0
    (axis,) = normal_axes(arrays[0], axis)
    return build(_concat, dtype, *arrays, axis=axis)


def _concat(*nodes: Any, axis: int) -> Any:
    return opset.concat(list(nodes), axis)


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    return concat([expand_dims(x, axis=axis) for x in arrays], axis=axis % (arrays[0].ndim + 1))


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    return tuple(moveaxis(x, axis, 0))


def flip(x: Array, /, *, axis: Any = None) -> Array:
    axes = normal_axes(x, axis)
    return x[tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))]


def roll(x: Array, /, shift: Any, *, axis: Any = None) -> Array:
    if axis is None:
        return reshape_like(roll(reshape(x, (-1,)), shift, axis=0), x)
    axes = normal_axes(x, axis)
    shifts = (shift,) * len(axes) if isinstance(shift, int) else tuple(shift)
    return build(opset.roll, x.dtype, x, ints(*shifts), ints(*axes))


def tile(x: Array, repetitions: tuple[int, ...], /) -> Array:
    repetitions = tuple(spec_shapes.natural("tile", "repetitions", n) for n in repetitions)
    return build(opset.tile, x.dtype, x, ints(*repetitions))
