"""Functions that make arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from ...backends.standard import DTYPES, named
from ...errors import ArgumentError, shown
from .array import as_spec, make
from .dtypes import SCALARS, dtype_name
from .manipulation import stack
from .shapes import as_shape, natural, need, one_of

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
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]


def _default(value: Any) -> str:
    return {bool: "bool", int: "int64", float: "float32", complex: "complex64"}[type(value)]


def _by_shape(name: str) -> Callable:
    def fun(shape, *, dtype=None, device=None):
        return make(as_shape(name, shape), dtype_name("float32" if dtype is None else dtype))

    return named(name, fun)


def _by_example(name: str) -> Callable:
    def fun(x, /, *, dtype=None, device=None):
        x = as_spec(name, x)
        return make(x.shape, x.dtype if dtype is None else dtype_name(dtype))

    return named(name, fun)


empty: Callable[..., Any]
ones: Callable[..., Any]
zeros: Callable[..., Any]
empty, ones, zeros = map(_by_shape, ("empty", "ones", "zeros"))
empty_like: Callable[..., Any]
ones_like: Callable[..., Any]
zeros_like: Callable[..., Any]
empty_like, ones_like, zeros_like = map(_by_example, ("empty_like", "ones_like", "zeros_like"))


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    default = _default(fill_value) if type(fill_value) in SCALARS else fill_value.dtype
    return make(as_shape("full", shape), dtype_name(default if dtype is None else dtype))


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    x = as_spec("full_like", x)
    return make(x.shape, x.dtype if dtype is None else dtype_name(dtype))


_MISSING: Any = object()


def arange(start: Any, /, stop: Any = _MISSING, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Any:
    start, stop = (0, start) if stop is _MISSING else (start, stop)
    ends = (start, stop, step)
    if step == 0 or any(type(e) not in (int, float, type(None)) for e in ends):
        raise ArgumentError(
            f"arange: there is no range of numbers from {start} to {stop} by {step}.",
            argument="step" if step == 0 else "start, stop, step",
            expected="integers or floats, and a step other than 0",
            got=ends,
            fix="give Python numbers",
        )
    n = None if None in ends else max(math.ceil((stop - start) / step), 0)
    default = "float32" if any(isinstance(e, float) for e in ends) else "int64"
    return make((n,), dtype_name(default if dtype is None else dtype))


def linspace(
    start: Any, stop: Any, /, num: Any, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Any:
    default = "complex64" if any(type(e) is complex for e in (start, stop)) else "float32"
    return make((natural("linspace", "num", num),), dtype_name(default if dtype is None else dtype))


def eye(n_rows: Any, n_cols: Any = None, /, *, k: Any = 0, dtype: Any = None, device: Any = None) -> Any:
    shape = (natural("eye", "n_rows", n_rows), natural("eye", "n_cols", n_rows if n_cols is None else n_cols))
    return make(shape, dtype_name("float32" if dtype is None else dtype))


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Any:
    if type(obj) in SCALARS:
        return make((), _default(obj) if dtype is None else dtype_name(dtype))
    if not hasattr(obj, "shape"):
        if isinstance(obj, str) or not isinstance(obj, Iterable):
            raise ArgumentError(
                f"asarray: an array cannot be made of {shown(obj)}.",
                argument="obj",
                expected="an array, numbers, or nested sequences of numbers",
                got=repr(obj),
                fix="give numbers",
            )
        rows = [asarray(row) for row in obj]
        kinds = {DTYPES[row.dtype][0] for row in rows}
        if len(kinds) > 1:
            # Rows of scalars of several kinds have the highest kind: [1, 2.0] is of floats.
            widest = {"b": "bool", "i": "int64", "f": "float32", "c": "complex64"}[max(kinds, key="biufc".index)]
            rows = [make(row.shape, widest) for row in rows]
        obj = stack(rows) if rows else make((0,), "float32")
    x = as_spec("asarray", obj)
    return x if dtype is None else make(x.shape, dtype_name(dtype))


def from_dlpack(x: Any, /, *, device: Any = None, copy: Any = None) -> Any:
    return as_spec("from_dlpack", x)


def meshgrid(*arrays: Any, indexing: str = "xy") -> Any:
    one_of("meshgrid", "indexing", indexing, ("xy", "ij"))
    arrays = [as_spec("meshgrid", a) for a in arrays]
    sizes = [a.size for a in arrays]
    if indexing == "xy" and len(sizes) > 1:
        sizes[:2] = sizes[1::-1]
    return [make(tuple(sizes), a.dtype) for a in arrays]


def _triangle(name: str) -> Callable:
    def fun(x, /, *, k=0):
        x = as_spec(name, x)
        need(x.ndim >= 2, name, x, expected="two axes or more")
        return x

    return named(name, fun)


tril: Callable[..., Any]
triu: Callable[..., Any]
tril, triu = _triangle("tril"), _triangle("triu")


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return make(as_spec("astype", x).shape, dtype_name(dtype))
