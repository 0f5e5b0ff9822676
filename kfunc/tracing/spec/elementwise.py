"""Elementwise functions: a table for functions of one array, and one for those of two, which broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backends.standard import named
from .array import Spec, as_operand, as_spec, make
from .dtypes import REAL, check_kind, common_dtype
from .shapes import broadcast

__all__ = ["clip", "where"]


# (names, kinds of dtype, dtype of the result; None for that of the operands).
_UNARY = [
    ("acos acosh asin asinh atan atanh cos cosh exp expm1 log log1p log2 log10 sin sinh sqrt tan tanh", "fc", None),
    ("reciprocal", "fc", None),
    ("negative positive sign square round conj", "iufc", None),
    ("ceil floor trunc", "iuf", None),
    ("bitwise_invert", "biu", None),
    ("logical_not", "b", "bool"),
    ("isfinite isinf isnan", "iufc", "bool"),
    ("signbit", "f", "bool"),
    ("abs real imag", "iufc", "real"),
]
_BINARY = [
    ("add subtract multiply pow", "iufc", None),
    ("divide", "fc", None),
    ("floor_divide remainder", "iuf", None),
    ("maximum minimum", "iuf", None),
    ("atan2 copysign hypot logaddexp nextafter", "f", None),
    ("bitwise_and bitwise_or bitwise_xor", "biu", None),
    ("bitwise_left_shift bitwise_right_shift", "iu", None),
    ("equal not_equal", "biufc", "bool"),
    ("less less_equal greater greater_equal", "iuf", "bool"),
    ("logical_and logical_or logical_xor", "b", "bool"),
]


def _unary(name: str, kinds: str, out: str | None) -> Callable:
    def fun(x, /):
        x = as_spec(name, x)
        check_kind(name, x.dtype, kinds)
        return make(x.shape, x.dtype if out is None else REAL.get(x.dtype, x.dtype) if out == "real" else out)

    return named(name, fun)


def _binary(name: str, kinds: str, out: str | None) -> Callable:
    def fun(x1, x2, /):
        a, b = as_operand(name, x1), as_operand(name, x2)
        dtype = common_dtype(name, (a, b))
        check_kind(name, dtype, kinds)
        shapes = [x.shape for x in (a, b) if type(x) is Spec]
        return make(broadcast(name, *shapes), out or dtype)

    return named(name, fun)


for _rule, _table in (_unary, _UNARY), (_binary, _BINARY):
    for _names, _kinds, _out in _table:
        for _name in _names.split():
            globals()[_name] = _rule(_name, _kinds, _out)
            __all__.append(_name)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    bounds = [as_operand("clip", b) for b in (min, max) if b is not None]
    x = as_spec("clip", x)
    check_kind("clip", common_dtype("clip", (x, *bounds)), "iuf")
    return make(broadcast("clip", x.shape, *(b.shape for b in bounds if type(b) is Spec)), x.dtype)


def where(condition: Any, x1: Any, x2: Any, /) -> Any:
    condition, a, b = as_spec("where", condition), as_operand("where", x1), as_operand("where", x2)
    check_kind("where", condition.dtype, "b")
    shapes = [x.shape for x in (condition, a, b) if type(x) is Spec]
    return make(broadcast("where", *shapes), common_dtype("where", (a, b)))
