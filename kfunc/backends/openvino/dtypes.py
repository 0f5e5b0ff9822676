"""The dtypes, which are NumPy's, and what the namespace says about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...tracing.spec import inspection
from ..standard import KINDS
from .array import Array

__all__ = [
    "__array_namespace_info__",
    "can_cast",
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
    "uint16",
    "uint32",
    "uint64",
    "uint8",
]

BOOL = np.dtype("bool")
int8: Any
int16: Any
int32: Any
int64: Any
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8: Any
uint16: Any
uint32: Any
uint64: Any
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float16: Any
float32: Any
float64: Any
float16, float32, float64 = (np.dtype(f"float{n}") for n in (16, 32, 64))


class __array_namespace_info__:
    """What the namespace can do, in the standard's terms."""

    def capabilities(self) -> dict[Any, Any]:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 8}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list[Any]:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[Any, Any]:
        return {"real floating": float32, "complex floating": None, "integral": int32, "indexing": int32}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[Any, Any]:
        real = {"bool": BOOL, "int32": int32, "int64": int64, "float32": float32}
        return {name: d for name, d in real.items() if kind is None or isdtype(d, kind)}


def isdtype(dtype: Any, kind: Any) -> bool:
    dtype = np.dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    return dtype.kind in KINDS[kind] if isinstance(kind, str) and kind in KINDS else dtype == np.dtype(kind)


def _information(find: Callable, type: Any) -> Any:
    out = find(str(np.dtype(type.dtype if isinstance(type, Array) else type)))
    return out._replace(dtype=np.dtype(out.dtype))


def finfo(type: Any, /) -> Any:
    return _information(inspection.finfo, type)


def iinfo(type: Any, /) -> Any:
    return _information(inspection.iinfo, type)


def can_cast(from_: Any, to: Any, /) -> bool:
    return np.can_cast(from_.dtype if isinstance(from_, Array) else from_, to)


def is_float(x: Array) -> bool:
    return x.dtype.kind == "f"


def rank(dtype: np.dtype) -> int:
    return {"b": 0, "i": 1, "u": 1, "f": 2}[dtype.kind]
