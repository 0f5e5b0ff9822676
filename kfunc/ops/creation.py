"""New arrays: constants, ranges, and values converted.

These functions have no array that could choose the backend. The backend is the one named by `backend=`, or that of
the array `like=`, on its device; else NumPy. NumPy's arrays join those of another backend as constants, so that layers
may write `x + ops.arange(n)`; see `kfunc.backends.constants`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..arrays import asarray, backend_of, device, dtype_name, kind_of_tree, namespace
from ..arrays import to_numpy as convert_to_numpy
from ..backends import Backend, get, kind_of
from ..backends.constants import origin
from ..backends.standard import DTYPES
from ..errors import ArgumentError, ShapeError, shown
from ..tracing.spec import Spec
from ..typing import Array, DType
from . import _promotion
from ._axes import normal_axis
from ._op import op
from ._promotion import FLOAT, dtype_of, exact, floating, kind, lift, together
from .joining import stack

__all__ = [
    "arange",
    "array",
    "cast",
    "convert_to_numpy",
    "convert_to_tensor",
    "dtype",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "geomspace",
    "identity",
    "is_tensor",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "saturate_cast",
    "tri",
    "zeros",
    "zeros_like",
]

_PYTHON = {"float": FLOAT, "int": "int32"}


def _name(dtype: Any, default: str = FLOAT) -> str:
    """The standard's name of `dtype`, which is a name, a Python type or a dtype of any library.

    Raises:
        ArgumentError: It is something else.
    """
    if dtype is None:
        return default
    name = dtype_name(dtype)
    name = _PYTHON.get(name, name)
    if name not in DTYPES:
        raise ArgumentError.must_be("dtype", "the name of a dtype", dtype, said=f"one of {', '.join(DTYPES)}")
    return name


def _object(xp: Any, name: str, like: Any = None) -> Any:
    """The dtype of the namespace `xp` that has this name; that of the array `like` where it is the same."""
    found = getattr(xp, name, None)
    if found is None and like is not None and dtype_of(like) == name:  # bfloat16, which NumPy's namespace lacks
        found = like.dtype
    if found is None:
        raise ArgumentError(
            f"This backend does not have the `dtype` {name}.",
            argument="dtype",
            got=name,
            fix="use float32, which all have",
        )
    return found


def _create(make: Callable, dtype: Any, backend: Any, like: Any, shape: Any = ()) -> Any:
    """`make(xp, dtype=…, device=…)` on the backend that is asked for.

    A size None in `shape` is that of an array without values, while shapes are found; so is the result.
    """
    _check_one_choice(backend, like)
    if backend is None and like is None and isinstance(shape, list | tuple) and None in shape:
        like = Spec(())
    name = _name(dtype)
    if like is not None:
        xp, kind = namespace(like), kind_of(type(like))
        out = make(xp, dtype=_object(xp, name), device=device(like))
        return kind.backend.lower(out) if kind is not None and kind.native else out
    target = get("numpy" if backend is None else backend)
    out = target.lower(make(target.xp, dtype=_object(target.xp, name), device=None))
    return target.constant(out) if backend is None else out


def _check_one_choice(backend: Any, like: Any) -> None:
    if backend is not None and like is not None:
        raise ArgumentError(
            "`backend` and `like` are both given, and both choose the backend.",
            argument="backend",
            expected="one of the two",
            got="both",
        )


def _sizes(shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    if any(isinstance(n, int) and n < 0 for n in sizes):
        raise ShapeError(
            f"`shape` has a negative size, got {shown(shape)}.", argument="shape", expected="natural numbers", got=shape
        )
    return sizes


# -- constants -------------------------------------------------------------------------------------------------------


@op
def zeros(
    shape: int | Sequence[int],
    dtype: DType | None = None,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Array:
    """Zeros (*shape,); float32 by default."""
    return _create(lambda xp, **options: xp.zeros(_sizes(shape), **options), dtype, backend, like, shape)


@op
def ones(
    shape: int | Sequence[int],
    dtype: DType | None = None,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Array:
    """Ones (*shape,); float32 by default."""
    return _create(lambda xp, **options: xp.ones(_sizes(shape), **options), dtype, backend, like, shape)


@op
def empty(
    shape: int | Sequence[int],
    dtype: DType | None = None,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Array:
    """An array (*shape,) whose elements may be anything; float32 by default."""
    return _create(lambda xp, **options: xp.empty(_sizes(shape), **options), dtype, backend, like, shape)


@op
def full(
    shape: int | Sequence[int],
    fill_value: Array,
    dtype: DType | None = None,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Array:
    """An array (*shape,) of one value, or of an array of values that broadcasts to it; float32 by default."""
    if isinstance(fill_value, list | tuple):
        fill_value = array(fill_value, _name(dtype), backend=backend, like=like)
    if kind_of(type(fill_value)) is not None:
        values = _promotion.cast(fill_value, _name(dtype))
        return namespace(values).broadcast_to(values, _sizes(shape))
    return _create(lambda xp, **options: xp.full(_sizes(shape), fill_value, **options), dtype, backend, like, shape)


@op(elementwise=True)
def zeros_like(x: Array, dtype: DType | None = None) -> Array:
    """Zeros of the shape and, by default, the dtype of `x`."""
    return _like("zeros_like", x, dtype)


@op(elementwise=True)
def ones_like(x: Array, dtype: DType | None = None) -> Array:
    """Ones of the shape and, by default, the dtype of `x`."""
    return _like("ones_like", x, dtype)


@op
def empty_like(x: Array, dtype: DType | None = None) -> Array:
    """An array of the shape and, by default, the dtype of `x`, whose elements may be anything."""
    return _like("empty_like", x, dtype)


@op
def full_like(x: Array, fill_value: Array, dtype: DType | None = None) -> Array:
    """An array of the shape and, by default, the dtype of `x`, with one value, or an array of values, broadcast."""
    if isinstance(fill_value, list | tuple):
        x = lift(x)
        fill_value = array(fill_value, _name(dtype, dtype_of(x)), like=x)
    if kind_of(type(fill_value)) is not None:
        x, fill_value = lift(x, fill_value)
        values = _promotion.cast(fill_value, _name(dtype, dtype_of(x)))
        return namespace(x, values).broadcast_arrays(x, values)[1]  # sizes of x may be unknown
    return _like("full_like", x, dtype, fill_value)


def _like(standard: str, x: Any, dtype: Any, *values: Any) -> Any:
    x = lift(x)
    xp = namespace(x)
    return getattr(xp, standard)(x, *values, dtype=_object(xp, _name(dtype, dtype_of(x)), x))


@op
def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: DType | None = None,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Array:
    """Ones on the diagonal number `k`, zeros elsewhere: (N, M), M being N by default; float32 by default."""
    return _create(lambda xp, **options: xp.eye(N, M, k=k, **options), dtype, backend, like)


@op
def identity(
    n: int, dtype: DType | None = None, *, backend: str | Backend | None = None, like: Array | None = None
) -> Array:
    """The identity matrix (n, n); float32 by default."""
    return eye(n, dtype=dtype, backend=backend, like=like)


@op
def tri(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: DType | None = None,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Array:
    """Ones on and below the diagonal number `k`, zeros above: (N, M), M being N by default; float32 by default."""
    shape = (N, N if M is None else M)
    return _create(lambda xp, **options: xp.tril(xp.ones(shape, **options), k=k), dtype, backend, like)


# -- ranges ----------------------------------------------------------------------------------------------------------


@op
def arange(
    start: Array,
    stop: Array | None = None,
    step: Array | None = None,
    dtype: DType | None = None,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Array:
    """Numbers from `start` up to, but without, `stop`, in steps of `step`: (n,). Without `stop`, from 0 up to `start`.

    Args:
        start, stop, step: Numbers, or 0-dimensional arrays whose values can be read when the call is made.
        dtype: int32 by default, or int64 where it must be; float32 if one of the numbers is a float; or that of arrays
            among them.
    """
    given = [x for x in (start, stop, step) if x is not None]
    arrays = [x for x in given if kind_of(type(x)) is not None]
    if like is None and backend is None and arrays:
        like = arrays[0]
    if dtype is None:
        own = [x for x in given if isinstance(x, int | float)]
        dtype = FLOAT if any(isinstance(x, float) for x in own) else _promotion.lowest("i", own)
        dtype = _promotion.common(dtype, *map(dtype_of, arrays)) if arrays else dtype
    start, stop, step = (x if kind_of(type(x)) is None else _number(x) for x in (start, stop, step))
    step = 1 if step is None else step
    return _create(lambda xp, **options: xp.arange(start, stop, step, **options), dtype, backend, like)


def _number(x: Any) -> float:
    return float(x) if kind(x) == "f" else int(x)


@op
def linspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DType | None = None,
    axis: int = 0,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Any:
    """`num` numbers at equal distances from `start` to `stop`.

    Args:
        start, stop: Numbers, or arrays that broadcast.
        endpoint: Whether `stop` is the last of them, or the one that would follow.
        retstep: Whether to return `(numbers, distance)`.
        dtype: float32 by default, or that of floats among the arrays; integers are rounded down.
        axis: Which axis of the result the numbers lie along, where `start` and `stop` are arrays.
    """
    out = _line(start, stop, num, endpoint, lambda line: _finished(line, dtype, axis), dtype, backend, like)
    if not retstep:
        return out
    steps = num - 1 if endpoint else num
    if not _are_numbers(start, stop):
        start, stop = together(start, stop, least="f")
    return out, (stop - start) / steps if steps else float("nan")


@op
def logspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    base: Array = 10,
    dtype: DType | None = None,
    axis: int = 0,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Array:
    """`base` to the power of each number of `linspace`, which says what the other arguments are."""

    def finish(line):
        return _finished(namespace(line).pow(*together(base, line, least="f")), dtype, axis)

    return _line(start, stop, num, endpoint, finish, dtype, backend, like)


@op
def geomspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    dtype: DType | None = None,
    axis: int = 0,
    *,
    backend: str | Backend | None = None,
    like: Array | None = None,
) -> Array:
    """`num` numbers of equal ratios from `start` to `stop`, of one sign; other arguments as in `linspace`."""
    if _are_numbers(start, stop):
        sign = math.copysign(1, start)
        start, stop = math.log10(abs(start)), math.log10(abs(stop))
    else:
        start, stop = together(start, stop, least="f")
        xp = namespace(start, stop)
        sign, start, stop = xp.sign(start), xp.log10(xp.abs(start)), xp.log10(xp.abs(stop))

    def finish(line):
        return _finished(sign * namespace(line).pow(*together(10, line)), dtype, axis)

    return _line(start, stop, num, endpoint, finish, dtype, backend, like)


def _are_numbers(*xs: Any) -> bool:
    return all(isinstance(x, int | float) for x in xs)


def _line(start: Any, stop: Any, num: int, endpoint: bool, finish: Callable, dtype: Any, backend: Any, like: Any):
    """`finish` of the numbers of `linspace`, which lie along the first axis."""
    if _are_numbers(start, stop):

        def make(xp, **options):
            return finish(xp.linspace(float(start), float(stop), num, endpoint=endpoint, **options))

        name = _name(dtype)
        if DTYPES[name][0] in "iu":  # NumPy computes in float64, since float32 holds integers up to 2**24 only
            return convert_to_tensor(_create(make, "float64", "numpy", None), backend=backend, like=like)
        return _create(make, name if DTYPES[name][0] == "f" else FLOAT, backend, like)
    if dtype is not None and DTYPES[_name(dtype)][0] == "f":
        start, stop = (array(x, dtype) if isinstance(x, list | tuple) else x for x in (start, stop))
    start, stop = together(start, stop, least="f")
    xp = namespace(start, stop)
    start, stop = xp.broadcast_arrays(start, stop)
    t = xp.linspace(0.0, 1.0, num, endpoint=endpoint, dtype=start.dtype, device=device(start))
    t = xp.reshape(t, (-1,) + (1,) * start.ndim)
    return finish(start * (1 - t) + stop * t)  # exact at both ends


def _finished(out: Any, dtype: Any, axis: int) -> Any:
    """`out` in `dtype`, rounded down for integers, with its first axis at the place `axis`."""
    xp = namespace(out)
    name = _name(dtype, dtype_of(out))
    _object(xp, name, out)
    out = _promotion.cast(xp.floor(out) if DTYPES[name][0] in "iu" else out, name)
    return out if axis in (0, -out.ndim) else xp.moveaxis(out, 0, normal_axis(axis, out.ndim))


# -- conversions -----------------------------------------------------------------------------------------------------


def convert_to_tensor(
    x: Array, dtype: DType | None = None, *, backend: str | Backend | None = None, like: Array | None = None
) -> Array:
    """`x` as an array.

    Args:
        x: An array; a number; or nested lists of these.
        dtype: That of `x` by default; Python's floats become float32, its integers int32, or int64 where they must.
        backend: The name of the backend to put it on; by default that of `x`, or NumPy for numbers.
        like: An array, in place of `backend`: `x` is put on its backend and its device.

    Raises:
        ArgumentError: Both `backend` and `like` are given, or the dtype is unknown.
    """
    _check_one_choice(backend, like)
    if kind_of(type(x)) is None:
        x = _from_numbers(x, like, dtype)
    if like is not None:
        x = _placed(x, like)
    elif backend is not None and get(backend) is not backend_of(x):
        x = asarray(x, backend=backend)
    x = x if dtype is None else cast(x, dtype)
    return x if backend is not None or like is not None else backend_of(x).constant(x)


def array(
    x: Array, dtype: DType | None = None, *, backend: str | Backend | None = None, like: Array | None = None
) -> Array:
    """`x` as an array; see `convert_to_tensor`."""
    return convert_to_tensor(x, dtype, backend=backend, like=like)


def _from_numbers(x: Any, like: Any, dtype: Any = None) -> Any:
    """The number, or the nested lists of numbers and arrays, `x` as an array: where `like` is, if only numbers.

    It need not have the `dtype`, but a cast to it then rounds the numbers for the first time.
    """
    if isinstance(x, list | tuple) and kind_of_tree(x) is not None:
        return stack(x if dtype is None else [cast(part, dtype) for part in x])
    kind = None if like is None else kind_of(type(like))
    own = _promotion.kind_of_numbers(x)
    if kind is None or own is None:
        return lift(x) if dtype is None else exact(x)
    # The namespace makes it without a NumPy array on the way, which a compiler might refuse.
    xp = namespace(like)
    first = _promotion.lowest(own, x)
    if dtype is not None and own in "if":
        name = _name(dtype)
        first = name if DTYPES[name][0] in "fc" else first if own == "i" else "float64"
    out = xp.asarray(x, dtype=_object(xp, first), device=device(like))
    return kind.backend.lower(out) if kind.native else out


def _placed(x: Any, like: Any) -> Any:
    """The array `x` on the backend and the device of the array `like`."""
    own, other = kind_of(type(x)), kind_of(type(like))
    if own is None or other is None:
        raise ArgumentError.must_be("like", "an array", like)
    target, there = other.backend, device(like)
    if origin(own.backend) is not origin(target):
        x = target.asarray(own.backend.to_numpy(x), None, there)
        return x if other.native else target.lift(x)
    if not there or own.backend.is_traced(x) or own.backend.device(x) == there:
        return x
    x = own.backend.asarray(x, None, there)
    return x if own.native else own.backend.lift(x)


def is_tensor(x: Any) -> bool:
    """Whether `x` is an array of a backend."""
    return kind_of(type(x)) is not None


@op
def dtype(x: Array) -> str:
    """The standard's name of the dtype of `x`: `"float32"`."""
    return dtype_of(lift(x))


@op(elementwise=True)
def cast(x: Array, dtype: DType) -> Array:
    """`x` in `dtype`; of complex numbers only the real part, where `dtype` is real."""
    if isinstance(x, list | tuple) and kind_of_tree(x) is not None:
        return stack([cast(part, dtype) for part in x])
    return _cast(exact(x), dtype)


def _cast(x: Any, dtype: Any) -> Any:
    name = _name(dtype)
    if dtype_of(x) == name:
        return x
    xp = namespace(x)
    if kind(x) == "c" and DTYPES[name][0] not in "bc":
        x = xp.real(x)
    return xp.astype(x, _object(xp, name))


@op
def saturate_cast(x: Array, dtype: DType) -> Array:
    """`x` in `dtype`; numbers beyond its range become its largest or least number. NaN as an integer is 0.

    As booleans, the result is whether `x` is greater than 0.
    """
    x, name = exact(x), _name(dtype)
    source, (target, _) = dtype_of(x), DTYPES[name]
    if source == name or target == "c" or kind(x) == "b":
        return _cast(x, name)
    x = namespace(x).real(x) if kind(x) == "c" else x
    if target == "b":
        return x > 0
    xp = namespace(x)
    if target == "f":
        if kind(x) in "iu":
            x = floating(x)
        top = xp.finfo(_object(xp, name)).max
        return _cast(x if top >= xp.finfo(x.dtype).max else xp.clip(x, -top, top), name)
    low, high = (getattr(xp.iinfo(_object(xp, name)), end) for end in ("min", "max"))
    if kind(x) in "iu":
        own = xp.iinfo(x.dtype)
        return _cast(xp.clip(x, max(low, own.min), min(high, own.max)), name)
    # The float nearest to the largest integer may lie beyond it, so numbers that reach it are treated apart.
    over, under = x >= float(high), x <= float(low)
    inside = xp.where(over | under | xp.isnan(x), xp.zeros_like(x), x)
    out = _cast(inside, name)
    return xp.where(over, xp.full_like(out, high), xp.where(under, xp.full_like(out, low), out))
