"""Other shapes of the same elements: reshaped, moved, joined, repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from .array import Array, cast, raw
from .array import reshape as reshape_tensor
from .axes import normal_axes, normal_axis
from .creation import shape_tuple
from .dtypes import int32, result_type, uint16

__all__ = [
    "broadcast_arrays",
    "broadcast_to",
    "concat",
    "expand_dims",
    "flip",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "tile",
    "unstack",
]


def _common(arrays: Sequence[Any]) -> list[tf.Tensor]:
    dtype = result_type(*arrays)
    return [cast(raw(a), dtype) for a in arrays]


def reshape(x: Any, /, shape: int | tuple[Any, ...], *, copy: bool | None = None) -> Array:
    """`x` in another shape. One of the sizes may be -1, and sizes may be scalar integer arrays.

    None stands for an unknown size of `x`. Counted from the front, it is that of the same axis, if the sizes before are
    those of `x`; otherwise the same is tried from the end.
    """
    tensor, sizes = raw(x), [n.tensor if type(n) is Array else n for n in shape_tuple(shape)]
    if any(n is None for n in sizes):
        return Array(tf.reshape(tensor, _filled(sizes, tensor, shape)))
    known = [n for n in sizes if isinstance(n, int)]
    if -1 in known and 0 in known:  # TensorFlow takes any number for -1
        raise ValueError(f"reshape: the size -1 of the shape {shape} cannot be known, since another one is 0.")
    return Array(reshape_tensor(tensor, tuple(sizes)))


def _filled(sizes: list, tensor: tf.Tensor, shape: Any) -> list:
    """`sizes` with those of `tensor` in place of None; see `reshape`."""
    own, static, out = tf.shape(tensor), list(tensor.shape), list(sizes)
    plain = [n if n is None or isinstance(n, int) else "?" for n in sizes]
    for i, n in enumerate(plain):
        at = i + len(static) - len(plain)
        if n is None and plain[: i + 1] == static[: i + 1]:
            out[i] = own[i]
        elif n is None and at >= 0 and plain[i:] == static[at:]:
            out[i] = own[at]
        elif n is None and plain.count(None) == 1 and -1 not in plain:
            out[i] = -1
        elif n is None:
            raise ValueError(f"reshape: shape {shape} holds an unknown size; let -1 stand for it.")
    return out


def broadcast_to(x: Any, /, shape: tuple[Any, ...]) -> Array:
    return Array(tf.broadcast_to(raw(x), [n.tensor if type(n) is Array else n for n in shape]))


def broadcast_arrays(*arrays: Any) -> list[Array]:
    tensors = [raw(a) for a in arrays]
    static, shape = tensors[0].shape, tf.shape(tensors[0])
    for t in tensors[1:]:
        static, shape = tf.broadcast_static_shape(static, t.shape), tf.broadcast_dynamic_shape(shape, tf.shape(t))
    out = [tf.broadcast_to(t, shape) for t in tensors]
    return [Array(tf.ensure_shape(t, static)) for t in out]


def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Array:
    tensors = _common(arrays)
    if axis is None:
        tensors, axis = [tf.reshape(t, (-1,)) for t in tensors], 0
    return Array(tf.concat(tensors, axis=axis))


def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Array:
    return Array(tf.stack(_common(arrays), axis=axis))


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Array, ...]:
    return tuple(map(Array, tf.unstack(raw(x), axis=axis)))


def expand_dims(x: Any, /, axis: int) -> Array:
    x = raw(x)
    normal_axis(axis, x.shape.rank + 1)
    return Array(tf.expand_dims(x, axis))


def squeeze(x: Any, /, axis: int | tuple[Any, ...]) -> Array:
    x = raw(x)
    axes = normal_axes(axis, x.shape.rank)
    if any(x.shape[a] not in (1, None) for a in axes):
        raise ValueError(f"squeeze: axis {axis} of shape {tuple(x.shape)} is not of size 1.")
    return Array(tf.squeeze(x, axis=axes) if axes else x)


def flip(x: Any, /, *, axis: int | tuple[Any, ...] | None = None) -> Array:
    x = raw(x)
    return Array(tf.reverse(x, normal_axes(axis, x.shape.rank)))


def permute_dims(x: Any, /, axes: tuple[Any, ...]) -> Array:
    x = raw(x)
    return Array(tf.transpose(x, normal_axes(axes, x.shape.rank)))


def moveaxis(x: Any, source: int | tuple[Any, ...], destination: int | tuple[Any, ...], /) -> Array:
    x = raw(x)
    source, destination = normal_axes(source, x.shape.rank), normal_axes(destination, x.shape.rank)
    order = [a for a in range(x.shape.rank) if a not in source]
    for to, a in sorted(zip(destination, source, strict=True)):
        order.insert(to, a)
    return Array(x if order == sorted(order) else tf.transpose(x, order))


def matrix_transpose(x: Any, /) -> Array:
    return Array(tf.linalg.matrix_transpose(raw(x)))


def roll(x: Any, /, shift: int | tuple[Any, ...], *, axis: int | tuple[Any, ...] | None = None) -> Array:
    x = raw(x)
    if axis is None:
        return Array(tf.reshape(tf.roll(tf.reshape(x, (-1,)), shift, 0), tf.shape(x)))
    axes = normal_axes(axis, x.shape.rank)
    return Array(tf.roll(x, [shift] * len(axes) if isinstance(shift, int) else shift, axes))


def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Array:
    x = raw(x)
    if axis is None:
        x, axis = tf.reshape(x, (-1,)), 0
    return Array(_wide(x, lambda t: tf.repeat(t, repeats if isinstance(repeats, int) else raw(repeats), axis=axis)))


def tile(x: Any, repetitions: tuple[Any, ...], /) -> Array:
    x = raw(x)
    extra = len(repetitions) - x.shape.rank
    for _ in range(extra):
        x = tf.expand_dims(x, 0)
    return Array(_wide(x, lambda t: tf.tile(t, (1,) * -extra + tuple(repetitions))))


def _wide(x: tf.Tensor, fun: Callable) -> tf.Tensor:
    """`fun(x)` where uint16, for which TensorFlow's tile has no kernel, goes through int32."""
    return tf.cast(fun(tf.cast(x, int32)), uint16) if x.dtype is uint16 else fun(x)
