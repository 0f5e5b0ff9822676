"""Tables of the Array API standard, for the namespaces that are ours: dtypes, how they promote, operators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = [
    *("ARITHMETIC", "COMPARISONS", "DTYPES", "KINDS", "STANDARD", "UNARY"),
    *("add_operators", "dtype_name", "is_kind", "named", "plain", "promote"),
]

DTYPES = {
    "bool": ("b", 8),
    **{f"int{n}": ("i", n) for n in (8, 16, 32, 64)},
    **{f"uint{n}": ("u", n) for n in (8, 16, 32, 64)},
    "float8_e4m3fn": ("f", 8),
    "float8_e5m2": ("f", 8),
    "float16": ("f", 16),
    "bfloat16": ("f", 16),
    "float32": ("f", 32),
    "float64": ("f", 64),
    "complex64": ("c", 64),
    "complex128": ("c", 128),
}
"""Kind (bool, signed, unsigned, float, complex) and bits of each dtype, by its name."""

STANDARD = [name for name in DTYPES if name not in ("float8_e4m3fn", "float8_e5m2", "float16", "bfloat16")]
"""Names of the dtypes that the standard itself has."""

KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}
"""What `isdtype` calls the kinds."""


def dtype_name(dtype: Any) -> str:
    """The standard's name of a dtype object of any backend: `"float32"`."""
    if isinstance(dtype, str):
        return dtype
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    return name or str(dtype).rpartition(".")[2]


def is_kind(dtype: Any, *kinds: str) -> bool:
    """Whether a dtype object of any backend is of one of these kinds, as `isdtype` calls them.

    NumPy's own `isdtype` fails for dtypes of ml_dtypes, such as bfloat16.
    """
    kind = DTYPES.get(dtype_name(dtype), ("?",))[0]
    return any([kind in KINDS[k] for k in kinds])


def plain(x: Any) -> tuple[Any, ...]:
    """A key for a Python value in a dict. The value alone would not do: 1, 1.0 and True are equal, and 0.0 and -0.0."""
    return x.__class__, repr(x) if isinstance(x, float | complex) else x


@functools.cache
def promote(a: str, b: str) -> str | None:
    """The dtype that `a` and `b` promote to by the standard's tables; None if they do not mix."""
    (ka, na), (kb, nb) = DTYPES[a], DTYPES[b]
    if a == b:
        return a
    if ka == kb:
        # float16 and bfloat16 have numbers that the other one lacks; float32 has them all.
        return a if na > nb else b if nb > na else "float32"
    if {ka, kb} == {"i", "u"}:
        signed, unsigned = (na, nb) if ka == "i" else (nb, na)
        bits = max(signed, 2 * unsigned)
        return f"int{bits}" if bits <= 64 else None
    if {ka, kb} == {"f", "c"}:
        return "complex128" if max(na * (ka == "f"), nb * (kb == "f")) == 64 or 128 in (na, nb) else "complex64"
    return None


# Each operator's method, without its underscores, and the function that it stands for.
ARITHMETIC = {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide"},
    **{"mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or"},
    **{"xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"},
}
COMPARISONS = {
    **{"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
}
UNARY = {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert"}


def add_operators(
    cls: type[Any], unary: Callable[[str], Callable[..., Any]], binary: Callable[[str, bool], Callable[..., Any]]
) -> None:
    """Give the array class `cls` all operators.

    Args:
        unary: Makes the method of one array that runs the function of that name.
        binary: The same for two operands; if its second argument is True, the array is the right one.
    """
    for stem, name in UNARY.items():
        setattr(cls, f"__{stem}__", unary(name))
    for stem, name in {**ARITHMETIC, **COMPARISONS}.items():
        setattr(cls, f"__{stem}__", binary(name, False))
    for stem, name in ARITHMETIC.items():
        setattr(cls, f"__r{stem}__", binary(name, True))


def named(name: str, fun: Callable[..., Any]) -> Callable[..., Any]:
    """`fun`, with the name `name`."""
    fun.__name__ = fun.__qualname__ = name
    return fun
