"""Arrays that have a shape and a dtype and no values: what `init` runs on, and how shapes are found.

The namespace is a table: a few shape rules, each with the names of the functions that obey it. Dtypes are their names.
A size of None is unknown and passes through; two known sizes that disagree are an error.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from .. import tree
from ..errors import ArgumentError, ShapeError, UnsupportedError
from . import Backend, Kind, add_kind

__all__ = ["Spec", "SpecBackend", "backend"]

Shape = tuple[int | None, ...]

# -- dtypes ----------------------------------------------------------------------------------------------------------

# Kind (bool, signed, unsigned, float, complex) and bits.
_DTYPES = {
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
_STANDARD = [name for name in _DTYPES if name not in ("float8_e4m3fn", "float8_e5m2", "float16", "bfloat16")]
_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}
# Bits, mantissa bits and largest exponent.
_FLOATS = {"float16": (16, 10, 15), "bfloat16": (16, 7, 127), "float32": (32, 23, 127), "float64": (64, 52, 1023)}


def _dtype(dtype: Any) -> str:
    """The name of a dtype object of any backend."""
    name = dtype if type(dtype) is str else getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    name = name or str(dtype).rpartition(".")[2]
    if name not in _DTYPES:
        raise ArgumentError(
            "There is no such dtype.", argument="dtype", expected="one of " + ", ".join(_DTYPES), got=repr(dtype)
        )
    return name


@functools.cache
def _promote(a: str, b: str) -> str | None:
    """The dtype that `a` and `b` promote to by the standard's tables; None if they do not mix."""
    (ka, na), (kb, nb) = _DTYPES[a], _DTYPES[b]
    if a == b:
        return a
    if ka == kb:
        # float16 and bfloat16 each hold what the other does not; both fit into float32.
        return a if na > nb else b if nb > na else "float32"
    if {ka, kb} == {"i", "u"}:
        signed, unsigned = (na, nb) if ka == "i" else (nb, na)
        bits = max(signed, 2 * unsigned)
        return f"int{bits}" if bits <= 64 else None
    if {ka, kb} == {"f", "c"}:
        return "complex128" if max(na * (ka == "f"), nb * (kb == "f")) == 64 or 128 in (na, nb) else "complex64"
    return None


# Which kinds of array a Python scalar goes with.
_SCALARS = {bool: "b", int: "iufc", float: "fc", complex: "fc"}


def _common_dtype(name: str, operands: Sequence[Any]) -> str:
    """The dtype that Specs and Python scalars promote to; scalars take the arrays' dtype where their kind allows it."""
    out: str | None = None
    for x in operands:
        if type(x) is Spec or type(x) is str:
            dtype = x if type(x) is str else x.dtype
            out, before = dtype if out is None else _promote(out, dtype), out
            if out is None:
                raise _mixed(name, before, dtype)
    if out is None:
        raise ArgumentError(f"{name} needs an array.", argument=name, expected="an array", got="Python scalars")
    for x in operands:
        if type(x) in _SCALARS:
            if _DTYPES[out][0] not in _SCALARS[type(x)]:
                raise _mixed(name, out, f"the Python {type(x).__name__} {x}")
            if type(x) is complex and _DTYPES[out][0] == "f":
                out = "complex128" if out == "float64" else "complex64"
    return out


def _mixed(name: str, a: Any, b: Any) -> ArgumentError:
    return ArgumentError(
        f"{name} does not mix {a} and {b}: libraries disagree about the result.",
        argument=name,
        expected="dtypes of one kind",
        got=f"{a} and {b}",
        fix="cast one of them: xp.astype(x, y.dtype)",
    )


def _check_kind(name: str, dtype: str, kinds: str) -> None:
    if _DTYPES[dtype][0] not in kinds:
        words = [word for word, kind in _KINDS.items() if len(kind) == 1 and kind in kinds]
        raise ArgumentError(
            f"{name} is not defined for {dtype}.",
            argument=name,
            expected=" or ".join(words),
            got=dtype,
            fix="cast it first: xp.astype(x, xp.float32)" if "f" in kinds else None,
        )


# -- the array -------------------------------------------------------------------------------------------------------


class Spec:
    """Shape and dtype of an array, without its values; an array of the Array API standard in every other respect.

    Args:
        shape: Sizes; None where unknown, as in `(None, 28, 28, 1)`.
        dtype: Name of the dtype, or a dtype of any backend.

    Raises:
        ArgumentError: A size is neither None nor a natural number, or there is no such dtype.
    """

    __slots__ = ("dtype", "shape")
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy arrays leave mixed operators to us.
    __array_priority__ = 1000

    shape: Shape
    dtype: str

    def __init__(self, shape: Iterable[int | None], dtype: Any = "float32"):
        self.shape = _shape("Spec", shape)
        self.dtype = _dtype(dtype)

    def __repr__(self) -> str:
        return f"Spec({self.shape}, {self.dtype!r})"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int | None:
        return None if None in self.shape else math.prod(self.shape)  # type: ignore[arg-type]

    @property
    def device(self) -> None:
        return None

    @property
    def T(self) -> Spec:
        _need(self.ndim == 2, ".T", self, fix="use xp.matrix_transpose or xp.permute_dims")
        return _make(self.shape[::-1], self.dtype)

    @property
    def mT(self) -> Spec:
        return xp.matrix_transpose(self)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Spec:
        return self

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return xp

    def __getitem__(self, index: Any) -> Spec:
        return _make(_indexed(self.shape, index), self.dtype)

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            raise _unknown_value("The length", "iterate over an axis whose size is known")
        return self.shape[0]

    def __iter__(self) -> Iterator[Spec]:
        return iter([_make(self.shape[1:], self.dtype)] * len(self))

    def _no_value(self, *args: Any, **kwargs: Any) -> Any:
        raise _unknown_value(
            "The value of an array",
            "choose by xp.where(condition, a, b) or kf.cond, or by a Python bool such as s.train; "
            "to give the value to NumPy, do it outside of the network",
        )

    __bool__ = __int__ = __float__ = __complex__ = __index__ = __array__ = __dlpack__ = _no_value


def _unknown_value(what: str, fix: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what} is not known while shapes are found: arrays have a shape and a dtype, and no values.",
        argument="x",
        expected="code that does not depend on values",
        got="a Spec",
        fix=fix,
    )


def _make(shape: Shape, dtype: str) -> Spec:
    """A Spec of a shape and dtype that need no check."""
    out = object.__new__(Spec)
    out.shape, out.dtype = shape, dtype
    return out


def _array(name: str, x: Any) -> Spec:
    """`x`, an array of any backend, as a Spec."""
    if type(x) is Spec:
        return x
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return Spec(x.shape, x.dtype)
    raise ArgumentError(f"{name} needs an array.", argument=name, expected="an array", got=repr(x))


def _operand(name: str, x: Any) -> Any:
    """`x`, an array or a Python scalar, as a Spec or a scalar of one of Python's own four types."""
    if type(x) is Spec or type(x) in _SCALARS:
        return x
    if not hasattr(x, "shape"):
        for cls in _SCALARS:
            if isinstance(x, cls):
                return cls(x)
    return _array(name, x)


# -- shape rules -----------------------------------------------------------------------------------------------------


def _shape(name: str, shape: Any) -> Shape:
    """`shape`, an integer or a sequence of sizes, checked."""
    try:
        sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
        sizes = tuple(n if n is None else operator.index(n) for n in sizes)
    except TypeError:
        sizes = (-1,)
    if any(n is not None and n < 0 for n in sizes):
        raise ArgumentError(
            f"{name} was given a shape with a size that is no natural number.",
            argument="shape",
            expected="natural numbers, or None where unknown",
            got=shape,
        )
    return sizes


def _mismatch(name: str, shapes: Iterable[Shape], expected: str | None = None, fix: str | None = None) -> ShapeError:
    return ShapeError(
        f"{name}: shapes do not fit together.",
        argument=name,
        expected=expected,
        got=" and ".join(map(str, shapes)),
        fix=fix or "reshape or transpose one of them",
    )


def _need(condition: bool, name: str, *arrays: Spec, expected: str | None = None, fix: str | None = None) -> None:
    if not condition:
        raise _mismatch(name, [a.shape for a in arrays], expected, fix)


def _broadcast(name: str, *shapes: Shape) -> Shape:
    first = shapes[0]
    if all(s == first for s in shapes):
        return first
    n = max(map(len, shapes))
    return tuple(
        _one_size(name, sizes, shapes, ones=True)
        for sizes in zip(*((1,) * (n - len(s)) + s for s in shapes), strict=True)
    )


def _unify(name: str, *shapes: Shape) -> Shape:
    """The common shape of arrays that must have one."""
    if len({*map(len, shapes)}) > 1:
        raise _mismatch(name, shapes, "arrays with equal numbers of axes")
    return tuple(_one_size(name, sizes, shapes) for sizes in zip(*shapes, strict=True))


def _one_size(name: str, sizes: Iterable[int | None], shapes: Iterable[Shape], ones: bool = False) -> int | None:
    """The size that all known `sizes` agree on; with `ones`, those of 1 stretch."""
    sizes = set(sizes)
    known = sizes - {None, 1} if ones else sizes - {None}
    if len(known) > 1:
        raise _mismatch(name, shapes, "equal sizes, or sizes of 1" if ones else "equal sizes")
    return known.pop() if known else None if None in sizes else 1


def _axis(name: str, axis: Any, ndim: int) -> int:
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise ShapeError(
            f"{name}: there is no axis {axis}.",
            argument="axis",
            expected=f"an integer in [{-ndim}, {ndim})" if ndim else "no axis: the array has none",
            got=axis,
        )
    return axis % ndim


def _axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """`axis`, None for all, an integer or a tuple of them, as a tuple of natural numbers."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(_axis(name, a, ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len({*axes}) < len(axes):
        raise ShapeError(f"{name}: an axis is named twice.", argument="axis", expected="distinct axes", got=axis)
    return axes


def _replace(shape: Shape, axis: int, *sizes: int | None) -> Shape:
    return (*shape[:axis], *sizes, *shape[axis + 1 :])


def _known(shape: Shape) -> int:
    return math.prod(n for n in shape if n is not None)


def _reshaped(old: Shape, new: Any) -> Shape:
    """The shape that `reshape` gives: -1 is found, and as many None as `old` has are taken to be the same unknowns."""
    sizes = tuple(n if n is None else operator.index(n) for n in (new if isinstance(new, Iterable) else (new,)))
    hole = [i for i, n in enumerate(sizes) if n == -1]
    unknown_old, unknown_new = old.count(None), sizes.count(None)
    if not hole and unknown_new == 1 and unknown_old == 0:
        hole, unknown_new = [sizes.index(None)], 0
    rest = tuple(n for i, n in enumerate(sizes) if i not in hole)
    a, b = _known(old), _known(rest)
    if len(hole) > 1 or any(n is not None and n < 0 for n in rest):
        fits = False
    elif hole:
        exact = unknown_old == unknown_new
        fits = not exact or (a % b == 0 if b else a == 0)
        size = a // b if exact and b else None if not exact else 0
        sizes = _replace(sizes, hole[0], size)
    elif unknown_new:
        fits = True
    else:
        fits = a == b if unknown_old == 0 else b % a == 0 if a else b == 0
    if not fits:
        raise ShapeError(
            "reshape: the new shape does not hold as many elements as the old one.",
            argument="shape",
            expected=f"as many elements as in {old}" + (", and one -1 at most" if hole else ""),
            got=new,
            fix="write -1 for one size, and let it be found",
        )
    return sizes


def _indexed(shape: Shape, index: Any) -> Shape:
    """The shape of `x[index]`, by NumPy's rules, for `x` of `shape`."""
    index = list(index) if isinstance(index, tuple) else [index]
    for n, i in enumerate(index):
        if isinstance(i, (list, range)):
            index[n] = xp.asarray(i)
        elif hasattr(i, "shape"):
            index[n] = _array("indexing", i)
        elif not (i is None or i is Ellipsis or isinstance(i, slice)):
            try:
                index[n] = operator.index(i) if not isinstance(i, bool) else 1 / 0
            except (TypeError, ZeroDivisionError):
                raise ArgumentError(
                    "An array is not indexed by this.",
                    argument="index",
                    expected="integers, slices, ..., None, and arrays of integers or booleans",
                    got=repr(i),
                ) from None
    taken = [0 if i is None or i is Ellipsis else i.ndim if _is_mask(i) else 1 for i in index]
    dots = [n for n, i in enumerate(index) if i is Ellipsis]
    if sum(taken) > len(shape) or len(dots) > 1:
        raise ShapeError(
            "There are more indices than axes.", argument="index", expected=f"{len(shape)} at most", got=sum(taken)
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
        size = next(sizes)
        if isinstance(i, slice):
            out.append(_sliced(size, i))
        elif type(i) is Spec:
            if _is_mask(i):
                _unify("indexing by a mask", i.shape, (size, *itertools.islice(sizes, i.ndim - 1)))
            else:
                _check_kind("indexing", i.dtype, "iu")
            arrays.append((None,) if _is_mask(i) else i.shape)
            out.append(Ellipsis)
        else:
            if size is not None and not -size <= i < size:
                raise ShapeError("An index is out of range.", argument="index", expected=f"in [{-size}, {size})", got=i)
            out += [Ellipsis] if has_arrays else []
    if not arrays:
        return tuple(out)
    # Where the indexed axes stand side by side, the arrays' own axes take their place; else these come first.
    where = [n for n, size in enumerate(out) if size is Ellipsis]
    at = where[0] if where[-1] - where[0] == len(where) - 1 else 0
    rest = [size for size in out if size is not Ellipsis]
    return (*rest[:at], *_broadcast("indexing", *arrays), *rest[at:])


def _is_mask(i: Any) -> bool:
    return type(i) is Spec and i.dtype == "bool"


def _sliced(size: int | None, s: slice) -> int | None:
    if s.step == 0:
        raise ArgumentError("A slice has a step of 0.", argument="index", expected="a step other than 0", got=s)
    if size is None:
        return None
    return len(range(*s.indices(size)))


# -- the namespace ---------------------------------------------------------------------------------------------------

xp = SimpleNamespace(linalg=SimpleNamespace())
"""The Array API namespace of Specs."""


def _public(fun: Callable, name: str | None = None) -> Callable:
    """Put `fun` into the namespace, under its own name without the leading underscore."""
    name = name or fun.__name__.removeprefix("_")
    fun.__name__ = fun.__qualname__ = name
    setattr(xp, name, fun)
    return fun


for _name in [*_STANDARD, "float16", "bfloat16"]:
    setattr(xp, _name, _name)
xp.e, xp.pi, xp.inf, xp.nan, xp.newaxis = math.e, math.pi, math.inf, math.nan, None
xp.__array_api_version__ = "2024.12"
xp.__name__ = "kfunc.backends.spec.xp"

# Elementwise functions: (names, kinds of dtype, dtype of the result: that of the operands, or the one given).
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
_REAL = {"complex64": "float32", "complex128": "float64"}


def _unary(name: str, kinds: str, out: str | None) -> None:
    def fun(x, /):
        x = _array(name, x)
        _check_kind(name, x.dtype, kinds)
        return _make(x.shape, x.dtype if out is None else _REAL.get(x.dtype, x.dtype) if out == "real" else out)

    _public(fun, name)


def _binary(name: str, kinds: str, out: str | None) -> None:
    def fun(x1, x2, /):
        a, b = _operand(name, x1), _operand(name, x2)
        dtype = _common_dtype(name, (a, b))
        _check_kind(name, dtype, kinds)
        shapes = [x.shape for x in (a, b) if type(x) is Spec]
        return _make(_broadcast(name, *shapes), out or dtype)

    _public(fun, name)


for _names_, _kinds, _out in _UNARY:
    for _name in _names_.split():
        _unary(_name, _kinds, _out)
for _names_, _kinds, _out in _BINARY:
    for _name in _names_.split():
        _binary(_name, _kinds, _out)


@_public
def _clip(x, /, min=None, max=None):
    bounds = [_operand("clip", b) for b in (min, max) if b is not None]
    x = _array("clip", x)
    _check_kind("clip", _common_dtype("clip", (x, *bounds)), "iuf")
    return _make(_broadcast("clip", x.shape, *(b.shape for b in bounds if type(b) is Spec)), x.dtype)


@_public
def _where(condition, x1, x2, /):
    condition, a, b = _array("where", condition), _operand("where", x1), _operand("where", x2)
    _check_kind("where", condition.dtype, "b")
    shapes = [x.shape for x in (condition, a, b) if type(x) is Spec]
    return _make(_broadcast("where", *shapes), _common_dtype("where", (a, b)))


# Reductions: (names, kinds, dtype of the result, the keywords they take besides axis and keepdims).
_REDUCTIONS = [
    ("sum prod", "iufc", "wide", {"dtype"}),
    ("mean", "fc", None, set()),
    ("std var", "f", None, {"correction"}),
    ("max min", "iuf", None, set()),
    ("all any", "biufc", "bool", set()),
    ("argmax argmin", "iuf", "int64", set()),
    ("count_nonzero", "biufc", "int64", set()),
]


def _widened(dtype: str, wanted: Any = None) -> str:
    """The dtype of a sum over `dtype`: integers get the default integer, which holds it."""
    kind = _DTYPES[dtype][0]
    return _dtype(wanted) if wanted is not None else "int64" if kind in "bi" else "uint64" if kind == "u" else dtype


def _reduced(name: str, x: Spec, axis: Any, keepdims: bool) -> Shape:
    axes = _axes(name, axis, x.ndim)
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return tuple(n for i, n in enumerate(x.shape) if i not in axes)


def _reduction(name: str, kinds: str, out: str | None, options: set[str]) -> None:
    def fun(x, /, *, axis=None, keepdims=False, **kwargs):
        if kwargs and not kwargs.keys() <= options:
            raise ArgumentError(
                f"{name} has no such argument.",
                argument=", ".join(kwargs.keys() - options),
                expected=", ".join(sorted({"axis", "keepdims", *options})),
            )
        x = _array(name, x)
        _check_kind(name, x.dtype, kinds)
        dtype = _widened(x.dtype, kwargs.get("dtype")) if out == "wide" else out or x.dtype
        return _make(_reduced(name, x, axis, keepdims), dtype)

    _public(fun, name)


for _names_, _kinds, _out, _options in _REDUCTIONS:
    for _name in _names_.split():
        _reduction(_name, _kinds, _out, _options)


def _cumulative(name: str) -> None:
    def fun(x, /, *, axis=None, dtype=None, include_initial=False):
        x = _array(name, x)
        _check_kind(name, x.dtype, "iufc")
        _need(axis is not None or x.ndim == 1, name, x, expected="one axis, or axis=")
        axis = _axis(name, -1 if axis is None else axis, x.ndim)
        n = x.shape[axis]
        n = n + 1 if include_initial and n is not None else n
        return _make(_replace(x.shape, axis, n), _widened(x.dtype, dtype))

    _public(fun, name)


_cumulative("cumulative_sum")
_cumulative("cumulative_prod")


# Functions that keep the shape along whatever axis they work: (names, dtype of the result).
def _same(name: str, kinds: str, out: str | None) -> None:
    def fun(x, /, *args, axis=None, **kwargs):
        x = _array(name, x)
        _check_kind(name, x.dtype, kinds)
        _axes(name, axis, x.ndim)
        return _make(x.shape, out or x.dtype)

    _public(fun, name)


for _name, _kinds, _out in [
    ("flip", "biufc", None),
    ("roll", "biufc", None),
    ("sort", "iuf", None),
    ("argsort", "iuf", "int64"),
]:
    _same(_name, _kinds, _out)


def _triangle(name: str) -> None:
    def fun(x, /, *, k=0):
        x = _array(name, x)
        _need(x.ndim >= 2, name, x, expected="two axes or more")
        return x

    _public(fun, name)


_triangle("tril")
_triangle("triu")


# -- manipulation ----


@_public
def _reshape(x, /, shape, *, copy=None):
    x = _array("reshape", x)
    return _make(_reshaped(x.shape, shape), x.dtype)


@_public
def _permute_dims(x, /, axes):
    x = _array("permute_dims", x)
    axes = _axes("permute_dims", tuple(axes), x.ndim)
    _need(len(axes) == x.ndim, "permute_dims", x, expected=f"as many axes as in axes={axes}")
    return _make(tuple(x.shape[a] for a in axes), x.dtype)


@_public
def _moveaxis(x, source, destination, /):
    x = _array("moveaxis", x)
    source, destination = _axes("moveaxis", source, x.ndim), _axes("moveaxis", destination, x.ndim)
    order = [a for a in range(x.ndim) if a not in source]
    for to, a in sorted(zip(destination, source, strict=True)):
        order.insert(to, a)
    return _make(tuple(x.shape[a] for a in order), x.dtype)


@_public
def _matrix_transpose(x, /):
    x = _array("matrix_transpose", x)
    _need(x.ndim >= 2, "matrix_transpose", x, expected="two axes or more")
    return _make((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)


@_public
def _expand_dims(x, /, *, axis=0):
    x = _array("expand_dims", x)
    n = x.ndim + (len(axis) if isinstance(axis, tuple) else 1)
    axes = _axes("expand_dims", axis, n)
    sizes = iter(x.shape)
    return _make(tuple(1 if i in axes else next(sizes) for i in range(n)), x.dtype)


@_public
def _squeeze(x, /, axis):
    x = _array("squeeze", x)
    axes = _axes("squeeze", axis, x.ndim)
    _need(all(x.shape[a] in (1, None) for a in axes), "squeeze", x, expected=f"a size of 1 at axis {axis}")
    return _make(tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype)


@_public
def _broadcast_to(x, /, shape):
    x, shape = _array("broadcast_to", x), _shape("broadcast_to", shape)
    out = _broadcast("broadcast_to", x.shape, shape)
    if len(out) != len(shape) or any(n is not None and m not in (n, None) for n, m in zip(shape, out, strict=True)):
        raise _mismatch("broadcast_to", (x.shape, shape), "a shape that x stretches to")
    return _make(out, x.dtype)


@_public
def _broadcast_arrays(*arrays):
    arrays = [_array("broadcast_arrays", a) for a in arrays]
    shape = _broadcast("broadcast_arrays", *(a.shape for a in arrays))
    return [_make(shape, a.dtype) for a in arrays]


def _total(sizes: Iterable[int | None]) -> int | None:
    sizes = list(sizes)
    return None if None in sizes else sum(sizes)


@_public
def _concat(arrays, /, *, axis=0):
    arrays = [_array("concat", a) for a in arrays]
    dtype = _common_dtype("concat", arrays)
    if axis is None:
        return _make((_total(a.size for a in arrays),), dtype)
    axis = _axis("concat", axis, arrays[0].ndim)
    try:
        shape = _unify("concat", *(_replace(a.shape, axis, 1) for a in arrays))
    except ShapeError:
        raise _mismatch("concat", (a.shape for a in arrays), f"equal sizes except along axis {axis}") from None
    return _make(_replace(shape, axis, _total(a.shape[axis] for a in arrays)), dtype)


@_public
def _stack(arrays, /, *, axis=0):
    arrays = [_array("stack", a) for a in arrays]
    dtype = _common_dtype("stack", arrays)
    shape = _unify("stack", *(a.shape for a in arrays))
    axis = _axis("stack", axis, len(shape) + 1)
    return _make((*shape[:axis], len(arrays), *shape[axis:]), dtype)


@_public
def _unstack(x, /, *, axis=0):
    x = _array("unstack", x)
    axis = _axis("unstack", axis, x.ndim)
    if x.shape[axis] is None:
        raise _mismatch("unstack", (x.shape,), f"a known size at axis {axis}", "give that size in the Spec")
    return (_make(_replace(x.shape, axis), x.dtype),) * x.shape[axis]


@_public
def _tile(x, repetitions, /):
    x = _array("tile", x)
    n = max(x.ndim, len(repetitions))
    shape = (1,) * (n - x.ndim) + x.shape
    repetitions = (1,) * (n - len(repetitions)) + tuple(repetitions)
    return _make(tuple(None if m is None else m * r for m, r in zip(shape, repetitions, strict=True)), x.dtype)


@_public
def _repeat(x, repeats, /, *, axis=None):
    x = _array("repeat", x)
    shape = (x.size,) if axis is None else x.shape
    axis = _axis("repeat", 0 if axis is None else axis, len(shape))
    n = shape[axis]
    return _make(_replace(shape, axis, n * repeats if isinstance(repeats, int) and n is not None else None), x.dtype)


@_public
def _diff(x, /, *, axis=-1, n=1, prepend=None, append=None):
    x = _array("diff", x)
    parts = [p for p in (prepend, x, append) if p is not None]
    x = xp.concat(parts, axis=axis) if len(parts) > 1 else x
    axis = _axis("diff", axis, x.ndim)
    size = x.shape[axis]
    return _make(_replace(x.shape, axis, None if size is None else max(size - n, 0)), x.dtype)


# -- indexing, searching, sets ----


@_public
def _take(x, indices, /, *, axis=None):
    x, indices = _array("take", x), _array("take", indices)
    _check_kind("take", indices.dtype, "iu")
    _need(axis is not None or x.ndim == 1, "take", x, expected="one axis, or axis=")
    axis = _axis("take", -1 if axis is None else axis, x.ndim)
    return _make(_replace(x.shape, axis, *indices.shape), x.dtype)


@_public
def _take_along_axis(x, indices, /, *, axis=-1):
    x, indices = _array("take_along_axis", x), _array("take_along_axis", indices)
    _check_kind("take_along_axis", indices.dtype, "iu")
    _need(x.ndim == indices.ndim, "take_along_axis", x, indices, expected="equal numbers of axes")
    axis = _axis("take_along_axis", axis, x.ndim)
    rest = _broadcast("take_along_axis", _replace(x.shape, axis, 1), _replace(indices.shape, axis, 1))
    return _make(_replace(rest, axis, indices.shape[axis]), x.dtype)


@_public
def _nonzero(x, /):
    x = _array("nonzero", x)
    return (_make((None,), "int64"),) * x.ndim


@_public
def _searchsorted(x1, x2, /, *, side="left", sorter=None):
    _need(_array("searchsorted", x1).ndim == 1, "searchsorted", _array("searchsorted", x1), expected="one axis")
    return _make(_array("searchsorted", x2).shape, "int64")


class UniqueAll(NamedTuple):
    values: Spec
    indices: Spec
    inverse_indices: Spec
    counts: Spec


class UniqueCounts(NamedTuple):
    values: Spec
    counts: Spec


class UniqueInverse(NamedTuple):
    values: Spec
    inverse_indices: Spec


def _unique(name: str, cls: type | None) -> None:
    def fun(x, /):
        x = _array(name, x)
        counts = _make((None,), "int64")
        every = UniqueAll(_make((None,), x.dtype), counts, _make(x.shape, "int64"), counts)
        return every.values if cls is None else cls(*(getattr(every, field) for field in cls._fields))

    _public(fun, name)


_unique("unique_all", UniqueAll)
_unique("unique_counts", UniqueCounts)
_unique("unique_inverse", UniqueInverse)
_unique("unique_values", None)


# -- creation ----


def _default(value: Any) -> str:
    return {bool: "bool", int: "int64", float: "float32", complex: "complex64"}[type(value)]


def _filled(name: str, takes_value: bool = False) -> None:
    """`zeros(shape)` and its like, and `zeros_like(x)`."""

    def fun(shape, *value, dtype=None, device=None):
        default = "float32" if not value else _default(value[0]) if type(value[0]) in _SCALARS else value[0].dtype
        return _make(_shape(name, shape), _dtype(default if dtype is None else dtype))

    def like(x, /, *value, dtype=None, device=None):
        x = _array(name + "_like", x)
        return _make(x.shape, x.dtype if dtype is None else _dtype(dtype))

    full = lambda shape, fill_value, *, dtype=None, device=None: fun(shape, fill_value, dtype=dtype)  # noqa: E731
    full_like = lambda x, /, fill_value, *, dtype=None, device=None: like(x, dtype=dtype)  # noqa: E731
    _public(full if takes_value else fun, name)
    _public(full_like if takes_value else like, name + "_like")


for _name in ("empty", "ones", "zeros"):
    _filled(_name)
_filled("full", takes_value=True)

_MISSING: Any = object()


@_public
def _arange(start, /, stop=_MISSING, step=1, *, dtype=None, device=None):
    start, stop = (0, start) if stop is _MISSING else (start, stop)
    ends = (start, stop, step)
    n = None if None in ends else max(math.ceil((stop - start) / step), 0)
    default = "float32" if any(isinstance(e, float) for e in ends) else "int64"
    return _make((n,), _dtype(default if dtype is None else dtype))


@_public
def _linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True):
    return _make(_shape("linspace", num), _dtype("float32" if dtype is None else dtype))


@_public
def _eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None):
    return _make(_shape("eye", (n_rows, n_rows if n_cols is None else n_cols)), _dtype(dtype or "float32"))


@_public
def _asarray(obj, /, *, dtype=None, device=None, copy=None):
    if type(obj) in _SCALARS:
        return _make((), _default(obj) if dtype is None else _dtype(dtype))
    if not hasattr(obj, "shape"):
        rows = [xp.asarray(row) for row in obj]
        kinds = {_DTYPES[row.dtype][0] for row in rows}
        # Mixed rows of scalars are what their widest kind is: [1, 2.0] is of floats.
        for row in rows if len(kinds) > 1 else ():
            row.dtype = {"b": "bool", "i": "int64", "f": "float32", "c": "complex64"}[max(kinds, key="biufc".index)]
        obj = xp.stack(rows) if rows else _make((0,), "float32")
    x = _array("asarray", obj)
    return x if dtype is None else _make(x.shape, _dtype(dtype))


@_public
def _from_dlpack(x, /, *, device=None, copy=None):
    return _array("from_dlpack", x)


@_public
def _meshgrid(*arrays, indexing="xy"):
    arrays = [_array("meshgrid", a) for a in arrays]
    sizes = [a.size for a in arrays]
    if indexing == "xy" and len(sizes) > 1:
        sizes[:2] = sizes[1::-1]
    return [_make(tuple(sizes), a.dtype) for a in arrays]


# -- dtypes ----


@_public
def _astype(x, dtype, /, *, copy=True, device=None):
    return _make(_array("astype", x).shape, _dtype(dtype))


@_public
def _result_type(*arrays_and_dtypes):
    operands = [
        x if type(x) in _SCALARS else x.dtype if type(x) is Spec else _dtype(x.dtype if hasattr(x, "shape") else x)
        for x in arrays_and_dtypes
    ]
    return _common_dtype("result_type", operands)


@_public
def _can_cast(from_, to, /):
    source, target = _dtype(getattr(from_, "dtype", from_)), _dtype(to)
    return _promote(source, target) == target


@_public
def _isdtype(dtype, kind):
    if isinstance(kind, tuple):
        return any(xp.isdtype(dtype, k) for k in kind)
    if isinstance(kind, str) and kind in _KINDS:
        return _DTYPES[_dtype(dtype)][0] in _KINDS[kind]
    return _dtype(dtype) == _dtype(kind)


class Finfo(NamedTuple):
    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: str


class Iinfo(NamedTuple):
    bits: int
    max: int
    min: int
    dtype: str


@_public
def _finfo(type, /):
    dtype = _dtype(getattr(type, "dtype", type))
    dtype = _REAL.get(dtype, dtype)
    if dtype not in _FLOATS:
        raise ArgumentError("finfo needs a floating-point dtype.", argument="type", expected=list(_FLOATS), got=dtype)
    bits, mantissa, exponent = _FLOATS[dtype]
    top = math.ldexp(2 - 2.0**-mantissa, exponent)
    return Finfo(bits, 2.0**-mantissa, top, -top, 2.0 ** (1 - exponent), dtype)


@_public
def _iinfo(type, /):
    dtype = _dtype(getattr(type, "dtype", type))
    _check_kind("iinfo", dtype, "iu")
    kind, bits = _DTYPES[dtype]
    return Iinfo(bits, 2 ** (bits - (kind == "i")) - 1, -(2 ** (bits - 1)) if kind == "i" else 0, dtype)


class _Info:
    def capabilities(self):
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": None}

    def default_device(self):
        return None

    def default_dtypes(self, *, device=None):
        return {
            "real floating": "float32",
            "complex floating": "complex64",
            "integral": "int64",
            "indexing": "int64",
        }

    def devices(self):
        return [None]

    def dtypes(self, *, device=None, kind=None):
        return {name: name for name in _STANDARD if kind is None or xp.isdtype(name, kind)}


xp.__array_namespace_info__ = _Info


# -- linear algebra ----


@_public
def _matmul(x1, x2, /):
    a, b = _array("matmul", x1), _array("matmul", x2)
    dtype = a.dtype if a.dtype == b.dtype else _common_dtype("matmul", (a, b))
    _check_kind("matmul", dtype, "iufc")
    left = a.shape if a.ndim != 1 else (1, *a.shape)
    right = b.shape if b.ndim != 1 else (*b.shape, 1)
    # A known size against an unknown one is no disagreement.
    if a.ndim < 1 or b.ndim < 1 or (left[-1] != right[-2] and None not in (left[-1], right[-2])):
        raise _mismatch(
            "matmul",
            (a.shape, b.shape),
            "a last axis on the left as long as the last but one on the right",
            "check the width that the weights were made for",
        )
    batch = _broadcast("matmul", left[:-2], right[:-2])
    rows = () if a.ndim == 1 else (left[-2],)
    columns = () if b.ndim == 1 else (right[-1],)
    return _make((*batch, *rows, *columns), dtype)


@_public
def _tensordot(x1, x2, /, *, axes=2):
    a, b = _array("tensordot", x1), _array("tensordot", x2)
    dtype = _common_dtype("tensordot", (a, b))
    _check_kind("tensordot", dtype, "iufc")
    if isinstance(axes, int):
        _need(axes <= min(a.ndim, b.ndim), "tensordot", a, b, expected=f"{axes} axes or more each")
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    left, right = (_axes("tensordot", tuple(s), x.ndim) for s, x in zip(axes, (a, b), strict=True))
    if len(left) != len(right) or any(
        m != n and None not in (m, n) for m, n in ((a.shape[i], b.shape[j]) for i, j in zip(left, right, strict=True))
    ):
        raise _mismatch("tensordot", (a.shape, b.shape), f"equal sizes along axes {left} and {right}")
    rest = [n for i, n in enumerate(a.shape) if i not in left] + [n for i, n in enumerate(b.shape) if i not in right]
    return _make(tuple(rest), dtype)


@_public
def _vecdot(x1, x2, /, *, axis=-1):
    a, b = _array("vecdot", x1), _array("vecdot", x2)
    dtype = _common_dtype("vecdot", (a, b))
    _check_kind("vecdot", dtype, "iufc")
    _axis("vecdot", axis, min(a.ndim, b.ndim))
    if a.shape[axis] != b.shape[axis] and None not in (a.shape[axis], b.shape[axis]):
        raise _mismatch("vecdot", (a.shape, b.shape), f"equal sizes along axis {axis}")
    shape = _broadcast("vecdot", a.shape, b.shape)
    return _make(_replace(shape, _axis("vecdot", axis, len(shape))), dtype)


class QR(NamedTuple):
    Q: Spec
    R: Spec


class SVD(NamedTuple):
    U: Spec
    S: Spec
    Vh: Spec


class Eigh(NamedTuple):
    eigenvalues: Spec
    eigenvectors: Spec


class Slogdet(NamedTuple):
    sign: Spec
    logabsdet: Spec


def _least(m: int | None, n: int | None) -> int | None:
    return None if m is None or n is None else min(m, n)


# Decompositions: name, whether the matrices must be square, and the result for (..., m, n).
_LINALG: list[tuple[str, bool, Callable]] = [
    ("qr", False, lambda x, b, m, n, k, mode="reduced": _qr(x, b, m, n, k if mode == "reduced" else m)),
    ("svd", False, lambda x, b, m, n, k, full_matrices=True: _svd(x, b, m, n, k, full_matrices)),
    ("svdvals", False, lambda x, b, m, n, k: _make((*b, k), _REAL.get(x.dtype, x.dtype))),
    ("pinv", False, lambda x, b, m, n, k, rtol=None: _make((*b, n, m), x.dtype)),
    ("matrix_rank", False, lambda x, b, m, n, k, rtol=None: _make(b, "int64")),
    ("matrix_norm", False, lambda x, b, m, n, k, keepdims=False, ord="fro": _norm(x, b, (1, 1) if keepdims else ())),
    ("diagonal", False, lambda x, b, m, n, k, offset=0: _make((*b, k if offset == 0 else None), x.dtype)),
    ("trace", False, lambda x, b, m, n, k, offset=0, dtype=None: _make(b, _widened(x.dtype, dtype))),
    ("cholesky", True, lambda x, b, m, n, k, upper=False: x),
    ("inv", True, lambda x, b, m, n, k: x),
    ("matrix_power", True, lambda x, b, m, n, k, power: x),
    ("det", True, lambda x, b, m, n, k: _make(b, x.dtype)),
    ("slogdet", True, lambda x, b, m, n, k: Slogdet(_make(b, x.dtype), _norm(x, b, ()))),
    ("eigh", True, lambda x, b, m, n, k: Eigh(_norm(x, b, (n,)), x)),
    ("eigvalsh", True, lambda x, b, m, n, k: _norm(x, b, (n,))),
]


def _qr(x, batch, m, n, k):
    return QR(_make((*batch, m, k), x.dtype), _make((*batch, k, n), x.dtype))


def _svd(x, batch, m, n, k, full):
    u, vh = (m, n) if full else (k, k)
    return SVD(_make((*batch, m, u), x.dtype), _norm(x, batch, (k,)), _make((*batch, vh, n), x.dtype))


def _norm(x, batch, sizes):
    return _make((*batch, *sizes), _REAL.get(x.dtype, x.dtype))


def _matrix_function(name: str, square: bool, rule: Callable) -> None:
    def fun(x, /, *args, **kwargs):
        x = _array(name, x)
        _need(x.ndim >= 2, name, x, expected="matrices: two axes or more")
        *batch, m, n = x.shape
        _need(not square or m == n or None in (m, n), name, x, expected="square matrices")
        return rule(x, tuple(batch), m, n, _least(m, n), *args, **kwargs)

    fun.__name__ = name
    setattr(xp.linalg, name, fun)


for _row in _LINALG:
    _matrix_function(*_row)


def _solve(x1, x2, /):
    a, b = _array("solve", x1), _array("solve", x2)
    _need(a.ndim >= 2 and b.ndim >= 1, "solve", a, b, expected="square matrices, and a vector or matrices")
    return xp.matmul(a, b)


def _vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    x = _array("vector_norm", x)
    return _make(_reduced("vector_norm", x, axis, keepdims), _REAL.get(x.dtype, x.dtype))


def _outer(x1, x2, /):
    a, b = _array("outer", x1), _array("outer", x2)
    _need(a.ndim == b.ndim == 1, "outer", a, b, expected="one axis each")
    return _make((*a.shape, *b.shape), _common_dtype("outer", (a, b)))


def _cross(x1, x2, /, *, axis=-1):
    a, b = _array("cross", x1), _array("cross", x2)
    _need(a.shape[axis] in (3, None) and b.shape[axis] in (3, None), "cross", a, b, expected=f"3 along axis {axis}")
    return _make(_broadcast("cross", a.shape, b.shape), _common_dtype("cross", (a, b)))


for _fun in (_solve, _vector_norm, _outer, _cross):
    setattr(xp.linalg, _fun.__name__[1:], _fun)
for _name in ("matmul", "matrix_transpose", "tensordot", "vecdot"):
    setattr(xp.linalg, _name, getattr(xp, _name))


# -- operators -------------------------------------------------------------------------------------------------------

_OPERATORS = {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide"},
    **{"mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or"},
    **{"xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"},
}
_COMPARISONS = {
    **{"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
}
_UNARY_OPERATORS = {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert"}


def _operator(function: Callable, reflected: bool = False) -> Callable:
    def method(self, other):
        if type(other) is not Spec and not (hasattr(other, "shape") or isinstance(other, (int, float, complex))):
            return NotImplemented
        return function(other, self) if reflected else function(self, other)

    return method


for _name, _function in {**_OPERATORS, **_COMPARISONS}.items():
    setattr(Spec, f"__{_name}__", _operator(getattr(xp, _function)))
for _name, _function in _OPERATORS.items():
    setattr(Spec, f"__r{_name}__", _operator(getattr(xp, _function), reflected=True))
for _name, _function in _UNARY_OPERATORS.items():
    setattr(Spec, f"__{_name}__", (lambda function: lambda self: function(self))(getattr(xp, _function)))


# -- the backend -----------------------------------------------------------------------------------------------------


class SpecBackend(Backend):
    """Runs functions on shapes. Transforms run the function once, and say what shapes would come out."""

    name = "spec"
    trains = False
    eager = False
    xp = xp  # type: ignore[assignment]

    @property
    def version(self) -> str:
        return xp.__array_api_version__

    def kind(self, cls):
        return Kind(self, rank=1) if issubclass(cls, Spec) else None

    def asarray(self, x, dtype=None, device=None):
        return xp.asarray(x, dtype=dtype)

    def to_numpy(self, x):
        return x._no_value()

    def device(self, x):
        return None

    def is_traced(self, x):
        return True

    def implement(self, name, reference, native):
        from . import spec_lowerings  # noqa: F401  (it registers; it imports the ops, so it cannot come earlier)

        return super().implement(name, reference, native)

    def value_and_grad(self, fun, argnums=0, has_aux=False):
        """A gradient has the shapes of what it is taken for."""

        def both(*args, **kwargs):
            value = fun(*args, **kwargs)
            grads = args[argnums] if isinstance(argnums, int) else tuple(args[i] for i in argnums)
            return value, grads

        return both

    def vmap(self, fun, in_axes=0, out_axes=0):
        def mapped(*args):
            axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
            if len(axes) != len(args):
                raise ArgumentError(
                    "vmap's in_axes does not fit the call.",
                    argument="in_axes",
                    expected=f"{len(axes)} arguments",
                    got=f"{len(args)} arguments",
                    fix="give one axis, or None, for each positional argument",
                )
            mapped_args = [(a, axis) for a, axis in zip(args, axes, strict=True) if axis is not None]
            shapes = [(x.shape, axis) for a, axis in mapped_args for x in tree.leaves(a)]
            n = _one_size("vmap", {s[axis] for s, axis in shapes}, [s for s, _ in shapes])
            rows = [
                a if axis is None else tree.map(lambda x, axis=axis: _without(x, axis), a)
                for a, axis in zip(args, axes, strict=True)
            ]
            return tree.map(lambda y: _with(y, n, out_axes), fun(*rows))

        return mapped

    def scan(self, fun, init, xs, length=None, reverse=False):
        leaves = tree.leaves(xs)
        sizes = {x.shape[0] for x in leaves} | ({length} if length is not None else set())
        if not sizes:
            raise ShapeError(
                "scan needs a length.",
                argument="xs",
                expected="leaves with a first axis, or length=",
                got="no leaves and no length",
            )
        n = _one_size("scan", sizes, [*(x.shape for x in leaves), *([(length,)] if length is not None else [])])
        carry, y = fun(init, tree.map(lambda x: _without(x, 0), xs))
        _same_tree("scan", "the carry that goes in", init, "the one that comes out", carry)
        return carry, tree.map(lambda y: _with(y, n, 0), y)

    def cond(self, pred, true_fun, false_fun, *operands):
        a, b = true_fun(*operands), false_fun(*operands)
        _same_tree("cond", "what the first branch returns", a, "what the second one does", b)
        return a


def _without(x: Any, axis: int) -> Spec:
    x = _array("vmap", x)
    return _make(_replace(x.shape, _axis("vmap", axis, x.ndim)), x.dtype)


def _with(y: Any, n: int | None, axis: int) -> Spec:
    y = y if type(y) is Spec else xp.asarray(y)
    axis = _axis("vmap", axis, y.ndim + 1)
    return _make((*y.shape[:axis], n, *y.shape[axis:]), y.dtype)


def _same_tree(name: str, what_a: str, a: Any, what_b: str, b: Any) -> None:
    """Check that two trees have one structure, and leaves of one shape and dtype."""
    fits = tree.structure(a) == tree.structure(b)
    for p, q in zip(tree.leaves(a), tree.leaves(b), strict=True) if fits else ():
        p, q = (xp.asarray(x) for x in (p, q))
        sizes = zip(p.shape, q.shape, strict=True) if p.ndim == q.ndim else [(0, 1)]
        fits = fits and p.dtype == q.dtype and all(m == n or None in (m, n) for m, n in sizes)
    if not fits:
        raise ShapeError(
            f"{name}: {what_a} and {what_b} differ.",
            argument=name,
            expected="one structure, and the same shapes and dtypes",
            got=f"{a} and {b}",
            fix="make the function return what it was given",
        )


backend = SpecBackend()
add_kind(Spec, Kind(backend, rank=1))
