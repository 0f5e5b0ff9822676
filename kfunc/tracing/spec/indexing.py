"""Indexing, searching, sorting and sets: functions that pick elements."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

from ...backends import results
from ...backends.standard import named
from ...errors import ArgumentError, IndexingError, ShapeError
from .array import Spec, as_spec, make
from .creation import asarray
from .dtypes import check_kind, common_dtype
from .shapes import Shape, broadcast, need, normal_axis, one_of, replace, unify

__all__ = [
    "argsort",
    "nonzero",
    "searchsorted",
    "sort",
    "take",
    "take_along_axis",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


def _getitem(x: Spec, index: Any) -> Spec:
    """`x[index]`, by NumPy's rules."""
    return make(_indexed(x.shape, index), x.dtype)


def _indexed(shape: Shape, index: Any) -> Shape:
    index = list(index) if isinstance(index, tuple) else [index]
    for n, i in enumerate(index):
        if isinstance(i, (list, range)):
            index[n] = asarray(i)
        elif hasattr(i, "shape"):
            index[n] = as_spec("indexing", i)
        elif not (i is None or i is Ellipsis or isinstance(i, slice)):
            try:
                index[n] = operator.index(i) if not isinstance(i, bool) else 1 / 0
            except (TypeError, ZeroDivisionError):
                raise ArgumentError(
                    "indexing: an array cannot be indexed by this value.",
                    argument="index",
                    expected="integers, slices, ..., None, and arrays of integers or booleans",
                    got=repr(i),
                    fix="round numbers to integers first",
                ) from None
    taken = [0 if i is None or i is Ellipsis else i.ndim if _is_mask(i) else 1 for i in index]
    dots = [n for n, i in enumerate(index) if i is Ellipsis]
    if sum(taken) > len(shape) or len(dots) > 1:
        raise IndexingError(
            "indexing: there are more indices than axes.",
            argument="index",
            expected=f"{len(shape)} at most, and ... once",
            got=f"{sum(taken)} for an array of shape {shape}",
            fix="leave some out, or add axes by None",
        )
    at = dots[0] if dots else len(index)
    index[at : at + len(dots)] = [slice(None)] * (len(shape) - sum(taken))
    has_arrays = any(type(i) is Spec for i in index)
    out: list[Any] = []
    arrays: list[Shape] = []
    sizes = iter(shape)
    for i in index:
        if i is None:
            out.append(1)
            continue
        size = None if _is_mask(i) and not i.ndim else next(sizes)
        if isinstance(i, slice):
            out.append(_sliced(size, i))
        elif type(i) is Spec:
            if _is_mask(i):
                _check_mask(i.shape, (size, *itertools.islice(sizes, i.ndim - 1)) if i.ndim else ())
            else:
                check_kind("indexing", i.dtype, "iu")
            arrays.append((None,) if _is_mask(i) else i.shape)
            out.append(Ellipsis)
        else:
            if size is not None and not -size <= i < size:
                raise IndexingError(
                    "indexing: an index is out of range.",
                    argument="index",
                    expected=f"an integer in [{-size}, {size})",
                    got=f"{i} for an array of shape {shape}",
                    fix="count from 0, or from the end by -1",
                )
            out += [Ellipsis] if has_arrays else []
    if not arrays:
        return tuple(out)
    # Where the indexed axes stand side by side, the arrays' own axes take their place; else these come first.
    where = [n for n, size in enumerate(out) if size is Ellipsis]
    at = where[0] if where[-1] - where[0] == len(where) - 1 else 0
    rest = [size for size in out if size is not Ellipsis]
    return (*rest[:at], *broadcast("indexing", *arrays), *rest[at:])


def _check_mask(mask: Shape, shape: Shape) -> None:
    try:
        unify("indexing", mask, shape)
    except ShapeError:
        raise IndexingError(
            "indexing: the mask does not fit the axes that it picks from.",
            argument="index",
            expected=f"a mask of shape {shape}",
            got=mask,
            fix="compute the mask from the array itself",
        ) from None


def _is_mask(i: Any) -> bool:
    return type(i) is Spec and i.dtype == "bool"


def _sliced(size: int | None, s: slice) -> int | None:
    if s.step == 0:
        raise ArgumentError(
            "indexing: a slice has a step of 0.",
            argument="index",
            expected="a step other than 0",
            got=s,
            fix="leave the step out",
        )
    if size is None:
        return None
    return len(range(*s.indices(size)))


def take(x: Any, indices: Any, /, *, axis: Any = None) -> Any:
    x, indices = as_spec("take", x), as_spec("take", indices)
    check_kind("take", indices.dtype, "iu")
    need(axis is not None or x.ndim == 1, "take", x, expected="one axis, or axis=", fix="say which axis: axis=-1")
    axis = normal_axis("take", -1 if axis is None else axis, x.ndim)
    return make(replace(x.shape, axis, *indices.shape), x.dtype)


def take_along_axis(x: Any, indices: Any, /, *, axis: Any = -1) -> Any:
    x, indices = as_spec("take_along_axis", x), as_spec("take_along_axis", indices)
    check_kind("take_along_axis", indices.dtype, "iu")
    need(x.ndim == indices.ndim, "take_along_axis", x, indices, expected="equal numbers of axes")
    axis = normal_axis("take_along_axis", axis, x.ndim)
    rest = broadcast("take_along_axis", replace(x.shape, axis, 1), replace(indices.shape, axis, 1))
    return make(replace(rest, axis, indices.shape[axis]), x.dtype)


def nonzero(x: Any, /) -> Any:
    x = as_spec("nonzero", x)
    need(x.ndim >= 1, "nonzero", x, expected="one axis or more")
    return (make((None,), "int64"),) * x.ndim


def sort(x: Any, /, *, axis: Any = -1, descending: bool = False, stable: bool = True) -> Any:
    x = as_spec("sort", x)
    check_kind("sort", x.dtype, "iuf")
    normal_axis("sort", axis, x.ndim)
    return x


def argsort(x: Any, /, *, axis: Any = -1, descending: bool = False, stable: bool = True) -> Any:
    x = as_spec("argsort", x)
    check_kind("argsort", x.dtype, "iuf")
    normal_axis("argsort", axis, x.ndim)
    return make(x.shape, "int64")


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
    a, b = as_spec("searchsorted", x1), as_spec("searchsorted", x2)
    check_kind("searchsorted", common_dtype("searchsorted", (a, b)), "iuf")
    need(a.ndim == 1, "searchsorted", a, expected="one axis")
    one_of("searchsorted", "side", side, ("left", "right"))
    if sorter is not None:
        check_kind("searchsorted", as_spec("searchsorted", sorter).dtype, "iu")
        unify("searchsorted", a.shape, sorter.shape)
    return make(b.shape, "int64")


def _unique(name: str, cls: Any) -> Callable:
    def fun(x, /):
        x = as_spec(name, x)
        counts = make((None,), "int64")
        every = results.UniqueAll(make((None,), x.dtype), counts, make(x.shape, "int64"), counts)
        return every.values if cls is None else cls(*(getattr(every, field) for field in cls._fields))

    return named(name, fun)


unique_all: Callable[..., Any] = _unique("unique_all", results.UniqueAll)
unique_counts: Callable[..., Any] = _unique("unique_counts", results.UniqueCounts)
unique_inverse: Callable[..., Any] = _unique("unique_inverse", results.UniqueInverse)
unique_values: Callable[..., Any] = _unique("unique_values", None)
