"""Which dtype an op computes in: Keras's rules, which are JAX's. They mix kinds of dtype, and the standard does not.

Python numbers adapt to the arrays; nested lists of numbers become arrays. Bool < integer < float < complex: where two
kinds meet the higher one wins, and integers take no part in how wide it is (int64 and float32 give float32).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ..arrays import asarray, backend_of, device, dtype_name, kind_of_tree, namespace, numbers
from ..backends import kind_of
from ..backends.constants import FLOAT, common
from ..backends.standard import DTYPES
from ..errors import ArgumentError

__all__ = [
    *(
        "FLOAT",
        "beside",
        "cast",
        "common",
        "dtype_of",
        "exact",
        "floating",
        "in_single",
        "kind",
        "kind_of_numbers",
        "lift",
        "lowest",
        "numeric",
        "promote",
    ),
    "together",
]

P = ParamSpec("P")
R = TypeVar("R")

_ORDER = "biufc"
_LOW = {"b": "bool", "i": "int32", "u": "uint32", "f": FLOAT, "c": "complex64"}
_SCALARS = {bool: "b", int: "i", float: "f", complex: "c"}
_namers: dict[type, Callable[[Any], str]] = {}


def dtype_of(x: Any) -> str:
    """The standard's name of the dtype of the array `x`."""
    dtype = x.dtype
    cls = type(dtype)
    try:
        name = _namers[cls]
    except KeyError:
        name = _namers[cls] = _namer()
    return name(dtype)


def _namer() -> Callable[[Any], str]:
    """`dtype_name` with a memory, for dtypes of one class.

    One memory for all classes would compare dtypes of two libraries, which warns or fails; and Dynamo cannot hash
    TensorFlow's.
    """
    names: dict[Any, str] = {}

    def name(dtype):
        try:
            return names[dtype]
        except KeyError:
            found = names[dtype] = dtype_name(dtype)
            return found

    return name


def kind(x: Any) -> str:
    """The kind of the dtype of `x`, an array or a Python number: "b", "i", "u", "f" or "c"."""
    scalar = _SCALARS.get(type(x))
    return DTYPES[dtype_of(x)][0] if scalar is None else scalar


def cast(x: Any, dtype: str) -> Any:
    """The array `x` in `dtype`, by name; `x` itself where it has that."""
    if dtype_of(x) == dtype:
        return x
    xp = namespace(x)
    wanted = getattr(xp, dtype, None)
    return xp.astype(x, backend_of(x).further_dtype(dtype) if wanted is None else wanted)


def lift(*xs: Any) -> Any:
    """`xs` with Python numbers and nested lists made arrays: where the arrays among them are, else NumPy's. None stays.

    Returns:
        One array for one argument, else a tuple.
    """
    found = [x for x in xs if kind_of(type(x)) is not None]
    if len(found) == len(xs):
        return xs[0] if len(xs) == 1 else xs
    nested = kind_of_tree([x for x in xs if kind_of(type(x)) is None])
    out = []
    for x in xs:
        if kind_of(type(x)) is not None or (x is None and len(xs) > 1):
            out.append(x)
        elif nested is not None and isinstance(x, list | tuple) and kind_of_tree(x) is not None:
            parts = together(*x)
            out.append(namespace(*parts).stack(list(parts)))
        elif found:
            out.append(_beside(found, x))
        else:
            out.append(_alone(x))
    return out[0] if len(out) == 1 else tuple(out)


def _alone(x: Any) -> Any:
    """The Python number, or nested list of numbers, `x` as a NumPy array; integers become int32, if that holds them."""
    out = asarray(x, backend="numpy")
    return out.astype("int32") if dtype_of(out) == "int64" and _fits(x) else out


def lowest(kind: str, x: Any) -> str:
    """The dtype of the number, or the nested lists of numbers, `x` of this kind, where no array is beside them."""
    return _LOW[kind] if kind != "i" or _fits(x) else "int64"


def _fits(x: Any) -> bool:
    """Whether int32 holds the integers in nested lists."""
    if isinstance(x, list | tuple):
        return all([_fits(part) for part in x])  # a list, since Dynamo does not trace a generator here
    return not isinstance(x, int) or -(2**31) <= x < 2**31


def _beside(arrays: list, x: Any) -> Any:
    """The Python number, or nested list of numbers, `x` as an array where the first of `arrays` lives.

    Floats have 64 bits if one of `arrays` has: the result will have them too, and must not be rounded before. Otherwise
    a number takes the dtype of that array, if it is of its kind, and a list the dtype that it has alone.
    """
    like = arrays[0]
    own = kind_of_numbers(x)
    if own is None:
        values = numbers(x, exact=True)
        own, x = values.dtype.kind, values.tolist()
    if own in "fc" and any([dtype_of(a) in ("float64", "complex128") for a in arrays]):
        dtype = "float64" if own == "f" else "complex128"
    elif not isinstance(x, list | tuple) and (own == kind(like) or (own in "iu" and kind(like) in "iuf")):
        dtype = dtype_of(like)
    else:
        dtype = lowest(own, x)
    xp = namespace(like)
    return xp.asarray(x, dtype=like.dtype if dtype == dtype_of(like) else getattr(xp, dtype), device=device(like))


def exact(x: Any) -> Any:
    """The array `x`; numbers, and nested lists of them, as NumPy's arrays of 64 bits, which a cast rounds only once."""
    return x if kind_of(type(x)) is not None else numbers(x, exact=True)


def kind_of_numbers(x: Any) -> str | None:
    """The kind of a Python number, or the highest one in nested lists of them; None if there is anything else."""
    if not isinstance(x, list | tuple):
        return _SCALARS.get(type(x))
    kinds = [kind_of_numbers(part) for part in x]
    known = [k for k in kinds if k is not None]  # a list, since Dynamo does not trace a generator here
    return max(known, key=_ORDER.index, default="f") if len(known) == len(kinds) else None


def promote(*xs: Any, least: str = "b") -> tuple:
    """`xs` in their common dtype, of the kind `least` at least.

    Args:
        xs: Arrays, Python numbers (which stay so, as the standard's functions take them) and nested lists.
        least: "b", "i" or "f"; "f" makes float32 of integers.
    """
    first, *rest = xs
    if kind_of(type(first)) is None or any(kind_of(type(x)) is None for x in rest):
        xs = _without_lists(xs)
    arrays = [x for x in xs if type(x) not in _SCALARS]
    dtype = dtype_of(arrays[0])
    for x in arrays[1:]:
        other = dtype_of(x)
        dtype = dtype if other == dtype else common(dtype, other)
    rank = _ORDER.index(DTYPES[dtype][0])
    if len(arrays) < len(xs):
        wanted = max(_ORDER.index(_SCALARS[type(x)]) for x in xs if type(x) in _SCALARS)
        if wanted > rank and not (rank == 2 and wanted == 1):
            dtype = ("bool", "int32", "int32", FLOAT, "complex64" if dtype != "float64" else "complex128")[wanted]
            rank = wanted
    if rank < _ORDER.index(least):
        dtype = FLOAT if least == "f" else "int32"
    own = bool if dtype == "bool" else int
    return tuple((own(x) if type(x) is bool else x) if type(x) in _SCALARS else cast(x, dtype) for x in xs)


def _without_lists(xs: tuple) -> tuple:
    """`xs` with lists made arrays, and with one array at least."""
    if any(x is None for x in xs):
        raise ArgumentError(
            "An operand is missing, where an array or a number is needed.", expected="arrays or numbers", got="None"
        )
    if all(type(x) in _SCALARS for x in xs):
        return (lift(xs[0]), *xs[1:])
    as_they_are = tuple(x for x in xs if type(x) not in _SCALARS)
    lifted = iter(lift(*as_they_are) if len(as_they_are) > 1 else (lift(*as_they_are),))
    return tuple(x if type(x) in _SCALARS else next(lifted) for x in xs)


def together(*xs: Any, least: str = "b") -> tuple:
    """`promote`, with Python numbers made arrays too."""
    xs = promote(*xs, least=least)
    like = next(x for x in xs if type(x) not in _SCALARS)
    xp = namespace(like)
    return tuple(xp.asarray(x, dtype=like.dtype, device=device(like)) if type(x) in _SCALARS else x for x in xs)


def floating(x: Any) -> Any:
    """`x` as an array of floats, or of complex numbers where it is that; integers become float32."""
    x = lift(x)
    return x if kind(x) in "fc" else cast(x, FLOAT)


def beside(x: Any, floats: Any) -> Any:
    """The array `x`; in the dtype of the array `floats`, if it holds integers or booleans."""
    return x if x.dtype == floats.dtype or kind(x) in "fc" else cast(x, dtype_of(floats))


def in_single(fun: Callable[P, R], again: Callable[..., Any] | None = None) -> Callable[P, R]:
    """`fun`, with floats of 16 bits computed in float32, since sums soon exceed what 16 bits hold.

    Args:
        fun: A function of arrays, to one or several arrays. These come back in the dtype that the arguments have in
            common.
        again: What runs in place of `fun` on the arrays that became float32.
    """

    @functools.wraps(fun)
    def wide(*args: Any, **kwargs: Any) -> Any:
        given = [dtype_of(x) for x in (*args, *kwargs.values()) if kind_of(type(x)) is not None]
        if "float16" not in given and "bfloat16" not in given:
            return fun(*args, **kwargs)
        out = (again or fun)(*[_single(x) for x in args], **{name: _single(x) for name, x in kwargs.items()})
        own = common(*[dtype for dtype in given if DTYPES[dtype][0] in "fc"])
        return tuple([_rounded(x, own) for x in out]) if isinstance(out, tuple) else _rounded(out, own)

    return wide  # type: ignore[return-value]


def _single(x: Any) -> Any:
    return cast(x, FLOAT) if kind_of(type(x)) is not None and dtype_of(x) in ("float16", "bfloat16") else x


def _rounded(x: Any, dtype: str) -> Any:
    return cast(x, dtype) if dtype_of(x) == FLOAT else x


def numeric(x: Any) -> Any:
    """`x` as an array of numbers; booleans become int32."""
    x = lift(x)
    return cast(x, "int32") if kind(x) == "b" else x
