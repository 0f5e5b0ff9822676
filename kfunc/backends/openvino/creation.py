"""Functions that make arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov

from ... import tree
from ...errors import ShapeError
from ..composed import meshgrid
from .array import Array, build, check_device, opset
from .casting import astype, make, scalar, where
from .dtypes import float32
from .manipulation import broadcast_to, stack

__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Array:
    """An array with the values of `obj`: an array, a NumPy array (in the same memory), an `ov.Tensor`, or numbers."""
    check_device(device)
    if isinstance(obj, ov.Tensor):
        obj = obj.data
    if isinstance(obj, np.ndarray | np.generic):
        obj = Array.concrete(np.array(obj) if copy else np.asarray(obj))
    if isinstance(obj, Array):
        return obj if dtype is None else astype(obj, dtype)
    if isinstance(obj, list | tuple) and any(isinstance(x, Array) for x in tree.leaves(obj)):
        return stack([asarray(x, dtype=dtype) for x in obj])
    return make(obj, dtype)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    check_device(device)
    return x if isinstance(x, Array) else asarray(np.from_dlpack(x), copy=copy)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Array:
    start, stop = (0, start) if stop is None else (start, stop)
    return make(np.arange(start, stop, step), dtype, device)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Array:
    return make(np.linspace(start, stop, num, endpoint=endpoint), dtype or float32, device)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Array:
    return make(np.eye(n_rows, n_cols, k=k), dtype or float32, device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if None in shape:
        raise ShapeError(
            f"An array of shape {shape} cannot be made: a size is not known.",
            argument="shape",
            expected="integers",
            got=shape,
            fix="make it from an array of that shape: zeros_like, ones_like, full_like",
        )
    if isinstance(fill_value, Array):
        fill_value = asarray(fill_value, dtype=dtype)
        check_device(device)
        return broadcast_to(fill_value, shape)
    return make(np.full(shape, fill_value), dtype, device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    return full(shape, 0, dtype=dtype or float32, device=device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    return full(shape, 1, dtype=dtype or float32, device=device)


def full_like(x: Array, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    check_device(device)
    dtype = np.dtype(dtype or x.dtype)
    value = astype(fill_value, dtype) if isinstance(fill_value, Array) else scalar(fill_value, dtype)
    if None not in x.shape:
        return broadcast_to(value, x.shape)
    return build(lambda value, x: opset.broadcast(value, opset.shape_of(x)), dtype, value, x)


def zeros_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
    return full_like(x, 0, dtype=dtype, device=device)


def ones_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
    return full_like(x, 1, dtype=dtype, device=device)


empty: Callable[..., Any]
empty_like: Callable[..., Any]
empty, empty_like = zeros, zeros_like


def tril(x: Array, /, *, k: int = 0) -> Array:
    return where(make(np.tri(*_matrix_sizes(x), k)) != 0, x, zeros_like(x))


def triu(x: Array, /, *, k: int = 0) -> Array:
    return where(make(np.tri(*_matrix_sizes(x), k - 1)) != 0, zeros_like(x), x)


def _matrix_sizes(x: Array) -> tuple[int, int]:
    if x.ndim < 2 or None in x.shape[-2:]:
        raise ShapeError("A triangle needs known sizes.", argument="x", expected="(..., rows, columns)", got=x.shape)
    return x.shape[-2:]  # type: ignore[return-value]
