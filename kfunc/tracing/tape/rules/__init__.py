"""The rules of the tape: they give the cotangents of the arguments of a function of the standard.

A rule is `rule(xp, g, out, *args, **kwargs)`: `g` is the cotangent of `out = function(*args, **kwargs)`, `xp` a
namespace that knows all of them. The tape sums what a rule returns to the argument's shape and casts it to its dtype.
Functions of the extensions have their names before theirs: `linalg.inv`.
"""

from __future__ import annotations

import operator
from typing import Any

from . import elementwise, fft, linalg, manipulation, reductions

__all__ = ["COMPOSITES", "CONSTANT", "OF_OPS", "PLAIN", "RULES", "SEVERAL"]

RULES: dict[str, Any] = elementwise.RULES | reductions.RULES | manipulation.RULES | linalg.RULES | fft.RULES
"""Function name to one rule for each positional argument, or to one rule that takes the position too."""

SEVERAL: dict[str, Any] = linalg.SEVERAL
"""Function name, of one array and with several results, to the rule for the tuples of cotangents and results."""

OF_OPS: dict[str, Any] = linalg.OF_OPS
"""As `SEVERAL`, for ops that the standard has no function for, by the names of the ops."""

COMPOSITES: dict[str, Any] = (
    elementwise.COMPOSITES | reductions.COMPOSITES | manipulation.COMPOSITES | linalg.COMPOSITES | fft.COMPOSITES
)
"""Function name to the function made of others: `function(xp, *args, **kwargs)`."""

ALWAYS = frozenset(("asarray", "astype", "clip", "concat", "full_like", "stack"))
"""The composites that are used for constants too. The others use the backend's own function for constants."""

PLAIN = {
    "_astype": lambda xp: xp.astype,
    "_clip": lambda xp: xp.clip,
    "_concat": lambda xp: lambda *arrays, axis: xp.concat(arrays, axis=axis),
    "_constant_asarray": lambda xp: xp.asarray,
    "_constant_astype": lambda xp: xp.astype,
    "_constant_full_like": lambda xp: xp.full_like,
    "linalg._norm": lambda xp: xp.vector_norm,
    "_stack": lambda xp: lambda *arrays, axis: xp.stack(arrays, axis=axis),
    "_to_device": lambda xp: lambda x, place, **kwargs: x.to_device(place, **kwargs),
    "getitem": lambda xp: operator.getitem,
    "setitem": lambda xp: manipulation.plain_setitem,
    "unindex": lambda xp: manipulation.plain_unindex,
    # Operators take Python scalars on either side in every version of the standard, and are the fastest.
    "abs": lambda xp: operator.abs,
    "add": lambda xp: operator.add,
    "divide": lambda xp: operator.truediv,
    "floor_divide": lambda xp: operator.floordiv,
    "matmul": lambda xp: operator.matmul,
    "multiply": lambda xp: operator.mul,
    "negative": lambda xp: operator.neg,
    "positive": lambda xp: operator.pos,
    "pow": lambda xp: operator.pow,
    "remainder": lambda xp: operator.mod,
    "subtract": lambda xp: operator.sub,
    "equal": lambda xp: operator.eq,
    "greater": lambda xp: operator.gt,
    "greater_equal": lambda xp: operator.ge,
    "less": lambda xp: operator.lt,
    "less_equal": lambda xp: operator.le,
    "not_equal": lambda xp: operator.ne,
}
"""The plain functions of other names than the namespace's: functions from the namespace to them."""

CONSTANT = frozenset(
    [
        *("_constant_asarray", "_constant_astype", "_constant_full_like", "__array_namespace_info__", "all", "any"),
        *("arange", "argmax", "argmin", "argsort", "bitwise_and", "bitwise_invert", "bitwise_left_shift"),
        *("bitwise_or", "bitwise_right_shift", "bitwise_xor", "broadcast_shapes", "can_cast", "count_nonzero"),
        *("empty", "empty_like", "equal", "eye", "finfo", "from_dlpack", "full", "greater", "greater_equal"),
        *("iinfo", "isdtype", "isfinite", "isin", "isinf", "isnan", "less", "less_equal", "linspace"),
        *("logical_and", "logical_not", "logical_or", "logical_xor", "nextafter", "nonzero", "not_equal", "ones"),
        *("ones_like", "result_type", "searchsorted", "signbit", "unique_all", "unique_counts", "unique_inverse"),
        *("unique_values", "zeros", "zeros_like", "linalg.matrix_rank", "fft.fftfreq", "fft.rfftfreq"),
    ]
)
"""Functions whose results do not depend smoothly on any argument: their gradient is zero, and they need no rule."""
