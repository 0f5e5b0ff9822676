"""The dtypes, and the standard's functions about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .. import results
from ..standard import DTYPES, KINDS
from .array import promote, scalar_type

__all__ = [
    "bfloat16",
    "can_cast",
    "complex128",
    "complex64",
    "finfo",
    "float16",
    "float32",
    "float64",
    "iinfo",
    "int16",
    "int32",
    "int64",
    "int8",
    "isdtype",
    "result_type",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
]


int8: Any
int16: Any
int32: Any
int64: Any
int8, int16, int32, int64 = tf.int8, tf.int16, tf.int32, tf.int64
uint8: Any
uint16: Any
uint32: Any
uint64: Any
uint8, uint16, uint32, uint64 = tf.uint8, tf.uint16, tf.uint32, tf.uint64
float16: Any
bfloat16: Any
float32: Any
float64: Any
float16, bfloat16, float32, float64 = tf.float16, tf.bfloat16, tf.float32, tf.float64
complex64: Any
complex128: Any
complex64, complex128 = tf.complex64, tf.complex128


def _dtype(x: Any) -> tf.DType:
    return x if isinstance(x, tf.DType) else x.dtype


def finfo(type: Any, /) -> results.Finfo:
    """Limits of a floating dtype (of an array, or itself); of its parts for a complex one."""
    dtype = _dtype(type).real_dtype
    if not dtype.is_floating:
        raise TypeError(f"finfo needs a floating-point dtype, not {dtype.name}.")
    if dtype is bfloat16:
        import ml_dtypes

        info = ml_dtypes.finfo(ml_dtypes.bfloat16)
    else:
        info = np.finfo(dtype.as_numpy_dtype)
    limits = (float(n) for n in (info.eps, info.max, info.min, info.smallest_normal))
    return results.Finfo(info.bits, *limits, dtype)


def iinfo(type: Any, /) -> results.Iinfo:
    """Limits of an integer dtype (of an array, or itself)."""
    dtype = _dtype(type)
    if not dtype.is_integer:
        raise TypeError(f"iinfo needs an integer dtype, not {dtype.name}.")
    return results.Iinfo(dtype.size * 8, int(dtype.max), int(dtype.min), dtype)


def isdtype(dtype: tf.DType, kind: Any) -> bool:
    """Whether `dtype` is of `kind`: a dtype, the standard's name of a group of dtypes, or a tuple of such."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in KINDS:
            raise ValueError(f"Unknown kind {kind!r}; expected one of {', '.join(KINDS)}.")
        return DTYPES.get(dtype.name, "?")[0] in KINDS[kind]
    return dtype == kind


def result_type(*arrays_and_dtypes: Any) -> tf.DType:
    """The common dtype of arrays, dtypes and Python scalars."""
    scalars = [x for x in arrays_and_dtypes if isinstance(x, (bool, int, float, complex))]
    dtypes = [_dtype(x) for x in arrays_and_dtypes if not isinstance(x, (bool, int, float, complex))]
    if not dtypes:
        raise ValueError("result_type needs an array or a dtype.")
    out = dtypes[0]
    for dtype in dtypes[1:]:
        out = promote(out, dtype)
    for scalar in scalars:
        out = scalar_type(type(scalar), out)
    return out


def can_cast(from_: Any, to: tf.DType, /) -> bool:
    """Whether the standard's promotion takes the dtype (or array) `from_` to `to`."""
    dtype = _dtype(from_)
    try:
        same_kind = dtype.is_bool == to.is_bool and dtype.is_integer == to.is_integer
        return same_kind and promote(dtype, to) is to
    except TypeError:
        return False
