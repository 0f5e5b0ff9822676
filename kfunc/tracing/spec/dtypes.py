"""Dtypes, which are names here: how operands promote, and which dtypes a function takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backends.standard import DTYPES, KINDS, promote
from ...errors import ArgumentError, shown

__all__ = ["FLOATS", "REAL", "SCALARS", "STRING", "check_kind", "common_dtype", "dtype_name", "widened"]

STRING = "string"
"""The dtype of inputs that are strings, which only layers on the host compute with: see `nn.preprocessing`."""

_STRINGS = ("O", "S", "T", "U")  # the kinds of NumPy's dtypes that hold strings

# Bits, mantissa bits and largest exponent.
FLOATS = {"float16": (16, 10, 15), "bfloat16": (16, 7, 127), "float32": (32, 23, 127), "float64": (64, 52, 1023)}
REAL = {"complex64": "float32", "complex128": "float64"}
_EXAMPLES = {"b": "bool", "i": "int32", "u": "int32", "f": "float32", "c": "float32"}
# The kinds of array that a Python scalar can be combined with.
SCALARS = {bool: "b", int: "iufc", float: "fc", complex: "fc"}


def dtype_name(dtype: Any) -> str:
    """The name of a dtype object of any backend."""
    name = dtype if type(dtype) is str else getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    name = STRING if getattr(dtype, "kind", "") in _STRINGS else name or str(dtype).rpartition(".")[2]
    if name not in DTYPES and name != STRING:
        raise ArgumentError(
            f"There is no dtype {shown(dtype)}.",
            argument="dtype",
            expected="one of " + ", ".join(DTYPES),
            got=repr(dtype),
            fix="write its name, such as 'float32', or give a dtype of any backend",
        )
    return name


def common_dtype(name: str, operands: Sequence[Any]) -> str:
    """The common dtype of Specs and Python scalars; scalars get the dtype of the arrays, if their kind allows that."""
    out: str | None = None
    for x in operands:
        if type(x) not in SCALARS:
            dtype = x if type(x) is str else x.dtype
            out, before = dtype if out is None else promote(out, dtype), out
            if out is None:
                raise mixed(name, before, dtype)
    if out is None:
        raise ArgumentError(
            f"{name}: there is no array among the arguments.",
            argument="x1 and x2",
            expected="an array, and scalars beside it",
            got="Python scalars alone",
            fix="make an array of one of them: xp.asarray(x)",
        )
    for x in operands:
        if type(x) in SCALARS:
            if DTYPES[out][0] not in SCALARS[type(x)]:
                raise mixed(name, out, f"the Python {type(x).__name__} {x}")
            if type(x) is complex and DTYPES[out][0] == "f":
                out = "complex128" if out == "float64" else "complex64"
    return out


def mixed(name: str, a: Any, b: Any) -> ArgumentError:
    return ArgumentError(
        f"{name}: {a} and {b} have no common dtype; libraries disagree about it.",
        argument="x1 and x2",
        expected="dtypes of one kind",
        got=f"{a} and {b}",
        fix="cast one of them: xp.astype(x, y.dtype)",
    )


def check_kind(name: str, dtype: str, kinds: str) -> None:
    if DTYPES[dtype][0] not in kinds:
        words = [word for word, kind in KINDS.items() if len(kind) == 1 and kind in kinds]
        raise ArgumentError(
            f"{name}: not defined for {dtype}.",
            argument="x",
            expected=" or ".join(words),
            got=dtype,
            fix=f"cast it first: xp.astype(x, xp.{_EXAMPLES[kinds[-1]]})",
        )


def widened(dtype: str, wanted: Any = None) -> str:
    """The dtype of a sum over `dtype`: `wanted`, or the default integer dtype for integers."""
    kind = DTYPES[dtype][0]
    return dtype_name(wanted) if wanted is not None else "int64" if kind in "bi" else "uint64" if kind == "u" else dtype
