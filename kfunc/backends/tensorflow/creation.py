"""Making arrays: of values, of a shape, of another array."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from .array import Array, cast, dims, raw
from .dtypes import bfloat16, complex64, float32, float64, int32, int64, result_type

__all__ = [
    "arange",
    "asarray",
    "astype",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "on",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]


def on(device: Any) -> Any:
    """The context in which arrays are made on `device`; None and "" leave the choice to TensorFlow."""
    return tf.device(device) if device else contextlib.nullcontext()


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Array:
    """An array with the values of `obj`: an array, a tensor, a NumPy array, scalars in nested sequences."""
    with on(device):
        if isinstance(obj, (list, tuple)) and _holds_tensors(obj):
            obj = tf.stack([asarray(x).tensor for x in obj])
        if isinstance(obj, (Array, tf.Tensor, tf.Variable)):
            x = raw(obj) if dtype is None else cast(raw(obj), dtype)
            return Array(tf.identity(x) if device else x)
        if copy is False:
            raise ValueError("A tensor cannot be made without a copy of the data; leave copy at None.")
        if isinstance(obj, np.ndarray):
            x = tf.convert_to_tensor(obj)
            return Array(x if dtype is None else cast(x, dtype))
        if dtype is None and isinstance(obj, (list, tuple)):
            dtype = {"f": float32, "c": complex64, "i": int32}.get(np.asarray(obj).dtype.kind)
            dtype = int64 if dtype is int32 and not _fits_int32(obj) else dtype
        elif dtype is None and isinstance(obj, int) and not isinstance(obj, bool) and not _fits_int32(obj):
            dtype = int64
        elif dtype is None and isinstance(obj, (float, complex)):
            dtype = float32 if isinstance(obj, float) else complex64
        if dtype is not None and dtype is not bfloat16:
            obj = np.asarray(obj, dtype=dtype.as_numpy_dtype)
        return Array(tf.convert_to_tensor(obj, dtype))


def _fits_int32(obj: Any) -> bool:
    a = np.asarray(obj)
    return not a.size or (int32.min <= a.min() and a.max() <= int32.max)


def _holds_tensors(obj: Any) -> bool:
    if isinstance(obj, (list, tuple)):
        return any(map(_holds_tensors, obj))
    return isinstance(obj, (Array, tf.Tensor, tf.Variable))


def astype(x: Any, dtype: tf.DType, /, *, copy: bool = True, device: Any = None) -> Array:
    """`x` as `dtype`. Arrays cannot be changed, so that no copy is ever needed."""
    with on(device):
        x = cast(raw(x), dtype)
        return Array(tf.identity(x) if device else x)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    """The array of another library, without a copy where that is possible."""
    with on(device):
        return Array(tf.experimental.dlpack.from_dlpack(x.__dlpack__()))


def shape_tuple(shape: int | Sequence[int]) -> tuple[Any, ...]:
    """`shape` as a tuple; a number stands for one axis."""
    return tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)


def full(shape: int | tuple[Any, ...], fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        value = asarray(fill_value, dtype=dtype).tensor
        return Array(tf.fill(shape_tuple(shape), value))


def zeros(shape: int | tuple[Any, ...], *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.zeros(shape_tuple(shape), dtype or float32))


def ones(shape: int | tuple[Any, ...], *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.ones(shape_tuple(shape), dtype or float32))


empty = zeros


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    x = raw(x)
    with on(device):
        value = asarray(fill_value, dtype=dtype or x.dtype).tensor
        out = tf.fill(tf.shape(x), value)
        out.set_shape(x.shape)
        return Array(out)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.zeros_like(raw(x), dtype))


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.ones_like(raw(x), dtype))


empty_like = zeros_like


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Array:
    """Numbers from `start` below `stop`; int32 where all three are Python integers."""
    start, stop = (0, start) if stop is None else (start, stop)
    values = [raw(v) if not isinstance(v, (int, float)) else v for v in (start, stop, step)]
    tensors = [v for v in values if isinstance(v, tf.Tensor)]
    if dtype is None:
        dtype = result_type(*tensors, *(v for v in values if v not in tensors)) if tensors else None
        dtype = dtype or (float32 if any(isinstance(v, float) for v in values) else int32)
    with on(device):
        if not tensors:
            if dtype is int32 and not _fits_int32(values):
                dtype = int64
            # NumPy finds the number of elements: tf.range adds up rounding errors, and has only four dtypes.
            return Array(tf.constant(np.arange(*values).astype(dtype.as_numpy_dtype)))
        wide = dtype if dtype in (int32, int64, float32, float64) else int64 if dtype.is_integer else float32
        return Array(cast(tf.range(*(tf.cast(v, wide) for v in values)), dtype))


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Array:
    with on(device):
        values = np.linspace(start, stop, num, endpoint=endpoint)
        dtype = dtype or (complex64 if np.iscomplexobj(values) else float32)
        return Array(tf.constant(values.astype(dtype.as_numpy_dtype)))


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.constant(np.eye(n_rows, n_cols, k, dtype=(dtype or float32).as_numpy_dtype)))


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Array]:
    dtype = result_type(*arrays)
    return [Array(x) for x in tf.meshgrid(*(cast(raw(a), dtype) for a in arrays), indexing=indexing)]


def _triangle(x: Any, keep: Callable) -> Array:
    x = raw(x)
    rows, columns = dims(x)[-2:]
    mask = keep(tf.range(columns) - tf.expand_dims(tf.range(rows), 1))
    return Array(tf.where(mask, x, tf.zeros([], x.dtype)))


def tril(x: Any, /, *, k: int = 0) -> Array:
    return _triangle(x, lambda offset: offset <= k)


def triu(x: Any, /, *, k: int = 0) -> Array:
    return _triangle(x, lambda offset: offset >= k)
