"""What the namespace says about dtypes, and about itself."""

from __future__ import annotations

import math
from typing import Any

from ...backends import results
from ...backends.standard import DTYPES, KINDS, STANDARD, promote
from ...errors import ArgumentError
from .dtypes import FLOATS, REAL, SCALARS, check_kind, common_dtype, dtype_name

__all__ = ["__array_namespace_info__", "can_cast", "finfo", "iinfo", "isdtype", "result_type"]


def result_type(*arrays_and_dtypes: Any) -> Any:
    return common_dtype("result_type", [x if type(x) in SCALARS else _dtype_of(x) for x in arrays_and_dtypes])


def _dtype_of(x):
    """`x`, or its dtype if `x` is an array. NumPy's classes and dtypes also have some attributes of arrays."""
    is_array = not isinstance(x, type) and hasattr(x, "shape") and hasattr(x, "dtype")
    return dtype_name(x.dtype if is_array else x)


def can_cast(from_: Any, to: Any, /) -> Any:
    source, target = _dtype_of(from_), dtype_name(to)
    return promote(source, target) == target


def isdtype(dtype: Any, kind: Any) -> Any:
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str) and kind in KINDS:
        return DTYPES[dtype_name(dtype)][0] in KINDS[kind]
    return dtype_name(dtype) == dtype_name(kind)


def finfo(type: Any, /) -> Any:
    dtype = _dtype_of(type)
    dtype = REAL.get(dtype, dtype)
    if dtype not in FLOATS:
        raise ArgumentError(
            f"finfo: {dtype} is no floating-point dtype.",
            argument="type",
            expected="one of " + ", ".join(FLOATS),
            got=dtype,
            fix="ask xp.iinfo of integers",
        )
    bits, mantissa, exponent = FLOATS[dtype]
    top = math.ldexp(2 - 2.0**-mantissa, exponent)
    return results.Finfo(bits, 2.0**-mantissa, top, -top, 2.0 ** (1 - exponent), dtype)


def iinfo(type: Any, /) -> Any:
    dtype = _dtype_of(type)
    check_kind("iinfo", dtype, "iu")
    kind, bits = DTYPES[dtype]
    return results.Iinfo(bits, 2 ** (bits - (kind == "i")) - 1, -(2 ** (bits - 1)) if kind == "i" else 0, dtype)


class __array_namespace_info__:
    """What the namespace can do, in the standard's terms."""

    def capabilities(self) -> Any:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": None}

    def default_device(self) -> Any:
        return None

    def default_dtypes(self, *, device: Any = None) -> Any:
        return {
            "real floating": "float32",
            "complex floating": "complex64",
            "integral": "int64",
            "indexing": "int64",
        }

    def devices(self) -> Any:
        return [None]

    def dtypes(self, *, device: Any = None, kind: Any = None) -> Any:
        return {name: name for name in STANDARD if kind is None or isdtype(name, kind)}
