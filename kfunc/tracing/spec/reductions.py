"""Reductions along axes, and running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backends.standard import named
from .array import Spec, as_spec, make
from .dtypes import check_kind, widened
from .shapes import need, normal_axes, normal_axis, reduced, replace

__all__ = ["cumulative_prod", "cumulative_sum", "prod", "std", "sum", "var"]


def _reduction(name: str, kinds: str, out: str | None) -> Callable:
    def fun(x, /, *, axis=None, keepdims=False):
        x = as_spec(name, x)
        check_kind(name, x.dtype, kinds)
        if name in ("max", "min"):
            _some(name, x, axis)
        return make(reduced(name, x.shape, axis, keepdims), out or x.dtype)

    return named(name, fun)


def _some(name: str, x: Spec, axis: Any) -> None:
    """Check that there are elements along `axis`, since one of them is the result."""
    sizes = [x.shape[a] for a in normal_axes(name, axis, x.ndim)]
    need(0 not in sizes, name, x, expected="one element or more along the axis", fix="leave empty arrays out")


def _sum(name: str) -> Callable:
    def fun(x, /, *, axis=None, dtype=None, keepdims=False):
        x = as_spec(name, x)
        check_kind(name, x.dtype, "iufc")
        return make(reduced(name, x.shape, axis, keepdims), widened(x.dtype, dtype))

    return named(name, fun)


def _spread(name: str) -> Callable:
    def fun(x, /, *, axis=None, correction=0.0, keepdims=False):
        x = as_spec(name, x)
        check_kind(name, x.dtype, "f")
        return make(reduced(name, x.shape, axis, keepdims), x.dtype)

    return named(name, fun)


def _place(name: str) -> Callable:
    def fun(x, /, *, axis=None, keepdims=False):
        x = as_spec(name, x)
        check_kind(name, x.dtype, "iuf")
        axes = None if axis is None else normal_axis(name, axis, x.ndim)
        _some(name, x, axes)
        return make(reduced(name, x.shape, axes, keepdims), "int64")

    return named(name, fun)


def _cumulative(name: str) -> Callable:
    def fun(x, /, *, axis=None, dtype=None, include_initial=False):
        x = as_spec(name, x)
        check_kind(name, x.dtype, "iufc")
        need(axis is not None or x.ndim == 1, name, x, expected="one axis, or axis=", fix="say which axis: axis=-1")
        axis = normal_axis(name, -1 if axis is None else axis, x.ndim)
        n = x.shape[axis]
        n = n + 1 if include_initial and n is not None else n
        return make(replace(x.shape, axis, n), widened(x.dtype, dtype))

    return named(name, fun)


sum: Callable[..., Any]
prod: Callable[..., Any]
sum, prod = _sum("sum"), _sum("prod")
std: Callable[..., Any]
var: Callable[..., Any]
std, var = _spread("std"), _spread("var")
cumulative_sum: Callable[..., Any]
cumulative_prod: Callable[..., Any]
cumulative_sum, cumulative_prod = _cumulative("cumulative_sum"), _cumulative("cumulative_prod")

# (names, kinds of dtype, dtype of the result; None for that of the array).
for _names, _kinds, _out in [
    ("mean", "fc", None),
    ("max min", "iuf", None),
    ("all any", "biufc", "bool"),
    ("count_nonzero", "biufc", "int64"),
]:
    for _name in _names.split():
        globals()[_name] = _reduction(_name, _kinds, _out)
        __all__.append(_name)
for _name in "argmax", "argmin":
    globals()[_name] = _place(_name)
    __all__.append(_name)
