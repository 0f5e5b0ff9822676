"""Functions that make one number of the elements along some axes, and running sums."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import ArgumentError
from ..standard import named
from .array import as_spec, make
from .dtypes import check_kind, widened
from .shapes import need, normal_axis, reduced, replace

__all__ = ["cumulative_prod", "cumulative_sum"]

# (names, kinds, dtype of the result, the keywords they take besides axis and keepdims).
_REDUCTIONS = [
    ("sum prod", "iufc", "wide", {"dtype"}),
    ("mean", "fc", None, set()),
    ("std var", "f", None, {"correction"}),
    ("max min", "iuf", None, set()),
    ("all any", "biufc", "bool", set()),
    ("argmax argmin", "iuf", "int64", set()),
    ("count_nonzero", "biufc", "int64", set()),
]


def _reduction(name: str, kinds: str, out: str | None, options: set[str]) -> Callable:
    def fun(x, /, *, axis=None, keepdims=False, **kwargs):
        if kwargs and not kwargs.keys() <= options:
            raise ArgumentError(
                f"{name} has no such argument.",
                argument=", ".join(kwargs.keys() - options),
                expected=", ".join(sorted({"axis", "keepdims", *options})),
            )
        x = as_spec(name, x)
        check_kind(name, x.dtype, kinds)
        dtype = widened(x.dtype, kwargs.get("dtype")) if out == "wide" else out or x.dtype
        return make(reduced(name, x.shape, axis, keepdims), dtype)

    return named(name, fun)


for _names, _kinds, _out, _options in _REDUCTIONS:
    for _name in _names.split():
        globals()[_name] = _reduction(_name, _kinds, _out, _options)
        __all__.append(_name)


def _cumulative(name: str) -> Callable:
    def fun(x, /, *, axis=None, dtype=None, include_initial=False):
        x = as_spec(name, x)
        check_kind(name, x.dtype, "iufc")
        need(axis is not None or x.ndim == 1, name, x, expected="one axis, or axis=")
        axis = normal_axis(name, -1 if axis is None else axis, x.ndim)
        n = x.shape[axis]
        n = n + 1 if include_initial and n is not None else n
        return make(replace(x.shape, axis, n), widened(x.dtype, dtype))

    return named(name, fun)


cumulative_sum, cumulative_prod = _cumulative("cumulative_sum"), _cumulative("cumulative_prod")
