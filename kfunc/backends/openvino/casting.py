"""Conversion of dtypes, promotion to a common dtype, and `where`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from .array import TYPES, UINT32, Array, build, check_device, opset
from .dtypes import BOOL, float32, int32, is_float, rank

__all__ = ["astype", "result_type", "where"]

SCALARS = (bool, int, float, np.generic)
OPERANDS = (Array, *SCALARS)


def make(value: Any, dtype: Any = None, device: Any = None) -> Array:
    """A concrete array; without a dtype, NumPy's 64-bit defaults become our 32-bit ones."""
    check_device(device)
    value = np.asarray(value)
    if dtype is None:
        dtype = (BOOL, int32, float32)[rank(value.dtype)] if value.dtype.kind in "biuf" else value.dtype
    return Array.concrete(value.astype(dtype, copy=False))


def scalar(value: Any, dtype: np.dtype) -> Array:
    return Array.concrete(np.asarray(value, dtype))


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that the arguments promote to: by kind (bool, integer, float), then by width.

    Raises:
        ArgumentError: uint64 meets a signed integer.
    """
    scalars = [x for x in arrays_and_dtypes if isinstance(x, SCALARS)]
    dtypes = [x.dtype if isinstance(x, Array) else np.dtype(x) for x in arrays_and_dtypes if not _is_scalar(x)]
    if not dtypes:
        return result_type(*(x.dtype if isinstance(x, np.generic) else make(x).dtype for x in scalars))
    top = max(map(rank, dtypes))
    dtype = np.result_type(*(d for d in dtypes if rank(d) == top))
    if top == 1 and dtype.kind == "f":
        raise ArgumentError(
            "result_type: no integer dtype holds all values of both.",
            argument="arrays_and_dtypes",
            expected="dtypes that promote",
            got=", ".join(map(str, dtypes)),
            fix="cast one of them: xp.astype(x, y.dtype)",
        )
    scalar_rank = max((rank(np.asarray(x).dtype) for x in scalars), default=0)
    return dtype if scalar_rank <= top else (BOOL, int32, float32)[scalar_rank]


def _is_scalar(x: Any) -> bool:
    return isinstance(x, SCALARS)


def promote(*xs: Any) -> list[Array]:
    """The arguments as arrays of their common dtype; Python numbers get the dtype of the arrays."""
    for x in xs:
        if not isinstance(x, OPERANDS):
            raise TypeError(f"expected openvino arrays or numbers, got {type(x).__name__}: convert it with kf.asarray")
    dtype = result_type(*xs)
    return [astype(x, dtype) if isinstance(x, Array) else scalar(x, dtype) for x in xs]


def floats(*xs: Any) -> list[Array]:
    return [x if is_float(x) else astype(x, float32) for x in promote(*xs)]


def astype(x: Array, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Array:
    check_device(device)
    dtype = np.dtype(dtype)
    if dtype == x.dtype:
        return x
    if dtype == BOOL:
        # Not the plugin's conversion: it makes NaN and the smallest integer False.
        return build(opset.not_equal, dtype, x, scalar(0, x.dtype))
    if dtype == UINT32 and is_float(x):
        high = x >= 2.0**31  # beyond int32, at whose end the plugin's conversion stops
        low = astype(where(high, x - 2.0**31, x), int32)
        return view(where(high, low ^ scalar(-(2**31), int32), low), UINT32)
    if x.dtype == UINT32 and dtype.kind == "f":
        # The upper and the lower half of the bits are exact, so only their sum is rounded.
        return astype(view(x >> 16, int32), dtype) * 65536.0 + astype(view(x & 0xFFFF, int32), dtype)
    return build(opset.convert, dtype, x, destination_type=TYPES[dtype])


def view(x: Array, dtype: np.dtype) -> Array:
    """The same 32 bits as int32 or uint32."""
    return build(lambda node: node, dtype, x)


def where(condition: Array, x1: Any, x2: Any, /) -> Array:
    condition = astype(condition, BOOL)
    a, b = promote(x1, x2)
    if is_float(a) or a.dtype.itemsize < 4 or (is_small(a) and is_small(b)):
        return build(opset.select, a.dtype, condition, a, b)
    # Not the plugin's select: fused with a comparison of floats, it converts the integers to floats.
    chosen = -astype(astype(condition, int32), a.dtype)
    return b ^ ((a ^ b) & chosen)


def is_small(x: Array) -> bool:
    """Whether all values are known, and are integers that float32 can hold."""
    return x.dtype.kind == "b" or x.dtype.itemsize < 4 or (x.is_concrete and np.all(np.abs(x.numpy()) < 2.0**24))
