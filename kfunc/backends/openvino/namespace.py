"""The Array API (2024.12) on graphs of OpenVINO operations.

Floating point is computed in 32 bits and integers in 32 bits, whatever their dtype says. Integer comparison, division,
maxima and sums are put together from operations that are exact: the CPU plugin's own go through float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino as ov

from ...errors import ShapeError, UnsupportedError
from .array import TYPES, UINT32, Array, build, check_device, ints, opset

__array_api_version__ = "2024.12"

e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi

_python_bool, _any, _max, _sum = bool, any, max, sum  # the names below take theirs

bool = np.dtype("bool")
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float16, float32, float64 = (np.dtype(f"float{n}") for n in (16, 32, 64))

_SCALARS = (_python_bool, int, float, np.generic)
_OPERANDS = (Array, *_SCALARS)


# -- dtypes ------------------------------------------------------------------------------------------------------------


class _Info:
    """What `__array_namespace_info__` returns."""

    def capabilities(self) -> dict:
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 8}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict:
        return {"real floating": float32, "complex floating": None, "integral": int32, "indexing": int32}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict:
        real = {"bool": bool, "int32": int32, "int64": int64, "float32": float32}
        return {name: d for name, d in real.items() if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> _Info:
    return _Info()


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: Any, kind: Any) -> _python_bool:
    dtype = np.dtype(dtype)
    if isinstance(kind, tuple):
        return _any(isdtype(dtype, k) for k in kind)
    return dtype.kind in _KINDS[kind] if isinstance(kind, str) and kind in _KINDS else dtype == np.dtype(kind)


def finfo(type: Any, /) -> Any:
    return np.finfo(type.dtype if isinstance(type, Array) else type)


def iinfo(type: Any, /) -> Any:
    return np.iinfo(type.dtype if isinstance(type, Array) else type)


def can_cast(from_: Any, to: Any, /) -> _python_bool:
    return np.can_cast(from_.dtype if isinstance(from_, Array) else from_, to)


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that the arguments promote to: by kind (bool, integer, float), then by width.

    Raises:
        TypeError: uint64 meets a signed integer.
    """
    scalars = [x for x in arrays_and_dtypes if isinstance(x, _SCALARS)]
    dtypes = [x.dtype if isinstance(x, Array) else np.dtype(x) for x in arrays_and_dtypes if not _is_scalar(x)]
    if not dtypes:
        return result_type(*(asarray(x).dtype for x in scalars))
    top = _max(map(_rank, dtypes))
    dtype = np.result_type(*(d for d in dtypes if _rank(d) == top))
    if top == 1 and dtype.kind == "f":
        raise TypeError(f"no integer dtype holds all values of {', '.join(map(str, dtypes))}: convert one with astype")
    scalar_rank = _max((_rank(np.asarray(x).dtype) for x in scalars), default=0)
    return dtype if scalar_rank <= top else (bool, int32, float32)[scalar_rank]


def _is_scalar(x: Any) -> _python_bool:
    return isinstance(x, _SCALARS)


def _rank(dtype: np.dtype) -> int:
    return {"b": 0, "i": 1, "u": 1, "f": 2}[dtype.kind]


def _is_float(x: Array) -> _python_bool:
    return x.dtype.kind == "f"


def astype(x: Array, dtype: Any, /, *, copy: _python_bool = True, device: Any = None) -> Array:
    check_device(device)
    dtype = np.dtype(dtype)
    if dtype == x.dtype:
        return x
    if dtype == UINT32 and _is_float(x):
        high = x >= 2.0**31  # beyond int32, where conversion would stop
        low = astype(where(high, x - 2.0**31, x), int32)
        return _view(where(high, bitwise_xor(low, _scalar(-(2**31), int32)), low), UINT32)
    if x.dtype == UINT32 and dtype.kind == "f":
        # Two exact halves, so that the sum is rounded once.
        return astype(_view(x >> 16, int32), dtype) * 65536.0 + astype(_view(x & 0xFFFF, int32), dtype)
    return build(opset.convert, dtype, x, destination_type=TYPES[dtype])


def _view(x: Array, dtype: np.dtype) -> Array:
    """The same 32 bits as int32 or uint32."""
    return build(lambda node: node, dtype, x)


# -- making arrays -----------------------------------------------------------------------------------------------------


def _make(value: Any, dtype: Any = None, device: Any = None) -> Array:
    """A concrete array; without a dtype, NumPy's 64-bit defaults become our 32-bit ones."""
    check_device(device)
    value = np.asarray(value)
    if dtype is None:
        dtype = (bool, int32, float32)[_rank(value.dtype)] if value.dtype.kind in "biuf" else value.dtype
    return Array.concrete(value.astype(dtype, copy=False))


def _scalar(value: Any, dtype: np.dtype) -> Array:
    return Array.concrete(np.asarray(value, dtype))


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: _python_bool | None = None) -> Array:
    """An array with the values of `obj`: an array, a NumPy array (whose buffer is kept), an `ov.Tensor`, numbers."""
    check_device(device)
    if isinstance(obj, ov.Tensor):
        obj = obj.data
    if isinstance(obj, np.ndarray | np.generic):
        obj = Array.concrete(np.array(obj) if copy else np.asarray(obj))
    if isinstance(obj, Array):
        return obj if dtype is None else astype(obj, dtype)
    if isinstance(obj, list | tuple) and _any(isinstance(x, Array) for x in obj):
        return stack([asarray(x, dtype=dtype) for x in obj])
    return _make(obj, dtype)


def from_dlpack(x: Any, /, *, device: Any = None, copy: _python_bool | None = None) -> Array:
    check_device(device)
    return x if isinstance(x, Array) else asarray(np.from_dlpack(x), copy=copy)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Array:
    start, stop = (0, start) if stop is None else (start, stop)
    return _make(np.arange(start, stop, step), dtype, device)


def linspace(start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint=True) -> Array:
    return _make(np.linspace(start, stop, num, endpoint=endpoint), dtype or float32, device)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Array:
    return _make(np.eye(n_rows, n_cols, k=k), dtype or float32, device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if None in shape:
        raise ShapeError(
            "An array is to be made with a size that is unknown.",
            argument="shape",
            expected="integers",
            got=shape,
            fix="make it from an array of that shape: zeros_like, ones_like, full_like",
        )
    if isinstance(fill_value, Array):
        fill_value = asarray(fill_value, dtype=dtype)
        check_device(device)
        return broadcast_to(fill_value, shape)
    return _make(np.full(shape, fill_value), dtype, device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    return full(shape, 0, dtype=dtype or float32, device=device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    return full(shape, 1, dtype=dtype or float32, device=device)


def full_like(x: Array, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    check_device(device)
    dtype = np.dtype(dtype or x.dtype)
    value = astype(fill_value, dtype) if isinstance(fill_value, Array) else _scalar(fill_value, dtype)
    if None not in x.shape:
        return build(opset.broadcast, dtype, value, ints(*x.shape))
    return build(lambda value, x: opset.broadcast(value, opset.shape_of(x)), dtype, value, x)


def zeros_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
    return full_like(x, 0, dtype=dtype, device=device)


def ones_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
    return full_like(x, 1, dtype=dtype, device=device)


empty, empty_like = zeros, zeros_like


def tril(x: Array, /, *, k: int = 0) -> Array:
    return where(_make(np.tri(*_matrix_sizes(x), k)) != 0, x, zeros_like(x))


def triu(x: Array, /, *, k: int = 0) -> Array:
    return where(_make(np.tri(*_matrix_sizes(x), k - 1)) != 0, zeros_like(x), x)


def _matrix_sizes(x: Array) -> tuple[int, int]:
    if x.ndim < 2 or None in x.shape[-2:]:
        raise ShapeError("A triangle needs known sizes.", argument="x", expected="(..., rows, columns)", got=x.shape)
    return x.shape[-2:]  # type: ignore[return-value]


def meshgrid(*arrays: Array, indexing: str = "xy") -> list[Array]:
    n = len(arrays)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = [1, 0]
    spread = [reshape(x, (1,) * order[i] + (-1,) + (1,) * (n - 1 - order[i])) for i, x in enumerate(arrays)]
    return broadcast_arrays(*spread)


# -- shapes ------------------------------------------------------------------------------------------------------------


def _shape_of(x: Array) -> Any:
    """The sizes of `x` as a graph node: a constant where they are known."""
    return opset.shape_of(x.node) if None in x.shape else ints(*x.shape)


def _axes(x: Array, axis: Any) -> tuple[int, ...]:
    """`axis`, an integer, a tuple of them, or None for all, as a tuple of non-negative integers."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int | np.integer) else axis
    if _any(not -x.ndim <= a < x.ndim for a in axes):
        raise ShapeError("There is no such axis.", argument="axis", expected=f"axes of {x.shape}", got=axis)
    return tuple(int(a) % x.ndim for a in axes)


def broadcast_to(x: Array, /, shape: Sequence[int | None]) -> Array:
    """`x` with this shape; None keeps the size of an axis of `x`, which may be unknown."""
    shape = tuple(shape)
    known = zip(reversed(shape), reversed(x.shape), strict=False)
    if len(shape) < x.ndim or _any(n is not None and m not in (None, 1, n) for n, m in known):
        raise ShapeError("These shapes do not broadcast.", argument="shape", expected=f"from {x.shape}", got=shape)
    return build(
        opset.broadcast, x.dtype, x, ints(*(1 if n is None else n for n in shape)), broadcast_spec="BIDIRECTIONAL"
    )


def broadcast_arrays(*arrays: Array) -> list[Array]:
    if not _any(None in x.shape for x in arrays):
        shape = _broadcast_shape(*arrays)
        return [x if x.shape == shape else broadcast_to(x, shape) for x in arrays]
    out = []
    for x in arrays:
        for other in arrays:
            if other is not x:
                x = build(_broadcast_like, x.dtype, x, other)
        out.append(x)
    return out


def _broadcast_like(x: Any, other: Any) -> Any:
    return opset.broadcast(x, opset.shape_of(other), broadcast_spec="BIDIRECTIONAL")


def _broadcast_shape(*arrays: Array) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(x.shape for x in arrays))  # type: ignore[arg-type]
    except ValueError as error:
        raise ShapeError("These shapes do not broadcast.", got=", ".join(str(x.shape) for x in arrays)) from error


def reshape(x: Array, /, shape: Any, *, copy: _python_bool | None = None) -> Array:
    """`x` with this shape, where one size may be -1, or None, to be found."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if _sum(n in (None, -1) for n in shape) > 1:
        raise ShapeError(
            "reshape can find one unknown size, not more.",
            argument="shape",
            expected="at most one -1 or None",
            got=shape,
        )
    sizes = [-1 if n is None else int(n) for n in shape]
    if x.shape == tuple(sizes):
        return x
    return build(opset.reshape, x.dtype, x, ints(*sizes), special_zero=False)


def permute_dims(x: Array, /, axes: tuple[int, ...]) -> Array:
    return build(opset.transpose, x.dtype, x, ints(*_axes(x, tuple(axes))))


def matrix_transpose(x: Array, /) -> Array:
    return permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def moveaxis(x: Array, source: Any, destination: Any, /) -> Array:
    source, destination = _axes(x, source), _axes(x, destination)
    order = [i for i in range(x.ndim) if i not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return permute_dims(x, tuple(order))


def expand_dims(x: Array, /, *, axis: int = 0) -> Array:
    if not -x.ndim - 1 <= axis <= x.ndim:
        raise ShapeError("There is no such axis.", argument="axis", expected=f"a place in {x.shape}", got=axis)
    return build(opset.unsqueeze, x.dtype, x, ints(axis % (x.ndim + 1)))


def squeeze(x: Array, /, axis: Any) -> Array:
    axes = _axes(x, axis)
    if _any(x.shape[a] not in (1, None) for a in axes):
        raise ShapeError("Only axes of size 1 can go.", argument="axis", expected="axes of size 1", got=(axis, x.shape))
    return build(opset.squeeze, x.dtype, x, ints(*axes)) if axes else x


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    dtype = result_type(*arrays)
    arrays = [astype(x, dtype) for x in arrays]
    if axis is None:
        arrays, axis = [reshape(x, (-1,)) for x in arrays], 0
    (axis,) = _axes(arrays[0], axis)
    return build(_concat, dtype, *arrays, axis=axis)


def _concat(*nodes: Any, axis: int) -> Any:
    return opset.concat(list(nodes), axis)


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    return concat([expand_dims(x, axis=axis) for x in arrays], axis=axis % (arrays[0].ndim + 1))


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    return tuple(moveaxis(x, axis, 0))


def flip(x: Array, /, *, axis: Any = None) -> Array:
    axes = _axes(x, axis)
    return x[tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))]


def roll(x: Array, /, shift: Any, *, axis: Any = None) -> Array:
    if axis is None:
        return build(opset.reshape, x.dtype, roll(reshape(x, (-1,)), shift, axis=0), _shape_of(x), special_zero=False)
    axes = _axes(x, axis)
    shifts = (shift,) * len(axes) if isinstance(shift, int) else tuple(shift)
    return build(opset.roll, x.dtype, x, ints(*shifts), ints(*axes))


def repeat(x: Array, repeats: Any, /, *, axis: int | None = None) -> Array:
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    (axis,) = _axes(x, axis)
    if x.shape[axis] is None:
        raise ShapeError(
            "repeat needs a known size.",
            argument="axis",
            expected="an axis whose size is known",
            got=x.shape,
            fix="use tile, or expand_dims and broadcast_to",
        )
    repeats = repeats.numpy() if isinstance(repeats, Array) else repeats
    return take(x, _make(np.repeat(np.arange(x.shape[axis]), repeats)), axis=axis)


def tile(x: Array, repetitions: tuple[int, ...], /) -> Array:
    return build(opset.tile, x.dtype, x, ints(*repetitions))


# -- looking things up -------------------------------------------------------------------------------------------------


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    (axis,) = _axes(x, axis)
    return build(opset.gather, x.dtype, x, _index(indices), ints(axis))


def _index(indices: Array) -> Array:
    return indices if indices.dtype in (int32, int64) else astype(indices, int32)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    (axis,) = _axes(x, axis)
    size = build(lambda node: opset.gather(opset.shape_of(node), ints(axis), ints(0)), int64, x)
    indices = _index(indices)
    if not (indices.is_concrete and (indices.numpy() >= 0).all()):
        indices = where(indices < 0, indices + astype(size, indices.dtype), indices)
    if _any(n == 1 and m != 1 for i, (n, m) in enumerate(zip(indices.shape, x.shape, strict=True)) if i != axis):
        like = x[(slice(None),) * axis + (slice(0, 1),)]
        indices = build(_broadcast_like, indices.dtype, indices, like)
    return build(opset.gather_elements, x.dtype, x, indices, axis=axis)


def where(condition: Array, x1: Any, x2: Any, /) -> Array:
    condition = astype(condition, bool)
    a, b = _promote(x1, x2)
    if _is_float(a) or a.dtype.itemsize < 4 or (_is_small(a) and _is_small(b)):
        return build(opset.select, a.dtype, condition, a, b)
    # Fused with a comparison of floats, the plugin's own would make floats of the integers.
    chosen = -astype(astype(condition, int32), a.dtype)
    return b ^ ((a ^ b) & chosen)


def searchsorted(x1: Array, x2: Array, /, *, side: str = "left", sorter: Array | None = None) -> Array:
    x1, x2 = _promote(take(x1, sorter) if sorter is not None else x1, x2)
    if not _is_float(x1):
        raise _cannot("searchsorted", "integers are compared as float32")
    return build(opset.search_sorted, int32, x1, x2, right_mode=side == "right")


def _getitem(x: Array, key: Any) -> Array:
    key = key if isinstance(key, tuple) else (key,)
    taken = _sum(k is not None and k is not Ellipsis for k in key)
    if taken > x.ndim or _sum(k is Ellipsis for k in key) > 1:
        raise IndexError(f"too many indices for an array of shape {x.shape}: {key}")
    at = next((i for i, k in enumerate(key) if k is Ellipsis), None)
    full_slices = (slice(None),) * (x.ndim - taken)
    key = (*key, *full_slices) if at is None else (*key[:at], *full_slices, *key[at + 1 :])
    has_arrays = _any(isinstance(k, Array | np.ndarray | list) for k in key)

    slices, dropped, added, arrays, axis, place = [], [], [], {}, 0, 0
    for k in key:
        if k is None:
            added.append(place)
            place += 1
            continue
        if isinstance(k, slice):
            if k != slice(None):
                slices.append((axis, k))
            place += 1
        elif isinstance(k, Array | np.ndarray | list):
            arrays[axis] = _check_index(asarray(k))
        else:
            k = _check_int(k, x.shape[axis])
            if has_arrays:
                arrays[axis] = _scalar(k, int32)  # an integer among arrays broadcasts with them
            else:
                slices.append((axis, slice(k, None if k == -1 else k + 1)))
                dropped.append(axis)
        axis += 1
    if added and arrays:
        raise _cannot("indexing by arrays and None at once", "the places of the new axes would be a riddle")
    out = _slice(x, slices)
    if dropped:
        out = build(opset.squeeze, out.dtype, out, ints(*dropped))
    if added:
        out = build(opset.unsqueeze, out.dtype, out, ints(*added))
    return _gather(out, arrays) if arrays else out


def _check_int(k: Any, size: int | None) -> int:
    k = k.__index__()
    if size is not None and not -size <= k < size:
        raise IndexError(f"index {k} is out of bounds for an axis of size {size}")
    return k


def _check_index(index: Array) -> Array:
    if index.dtype == bool:
        raise _cannot("indexing by booleans", "the shape would depend on values; use where")
    if index.dtype.kind not in "iu":
        raise IndexError(f"arrays used as indices must hold integers, not {index.dtype}")
    return _index(index)


_END = 2**31 - 1


def _slice(x: Array, slices: list[tuple[int, slice]]) -> Array:
    if not slices:
        return x
    starts, stops, steps = [], [], []
    for axis, k in slices:
        step = 1 if k.step is None else k.step.__index__()
        if step == 0:
            raise ValueError("slice step cannot be zero")
        start = (0 if step > 0 else _END) if k.start is None else k.start.__index__()
        stop = (_END if step > 0 else -_END) if k.stop is None else k.stop.__index__()
        if x.shape[axis] is not None:
            # The plugin need not clamp what we can.
            start, stop, step = slice(k.start, k.stop, step).indices(x.shape[axis])
            stop = -_END if stop < 0 else stop
        starts.append(start)
        stops.append(stop)
        steps.append(step)
    axes = [axis for axis, _ in slices]
    return build(opset.slice, x.dtype, x, ints(*starts), ints(*stops), ints(*steps), ints(*axes))


def _gather(x: Array, arrays: dict[int, Array]) -> Array:
    """`x` indexed along several axes by integer arrays that broadcast together, as NumPy does it."""
    axes = list(arrays)
    if len(axes) == 1:
        return take(x, arrays[axes[0]], axis=axes[0])
    wrapped = [
        where(i < 0, i + x.shape[a], i) if x.shape[a] is not None and not i.is_concrete else i
        for a, i in arrays.items()
    ]
    for n, (a, i) in enumerate(arrays.items()):
        if i.is_concrete and (i.numpy() < 0).any():
            if x.shape[a] is None:
                raise _cannot("negative indices", "the size they count from is unknown")
            wrapped[n] = Array.concrete(np.where(i.numpy() < 0, i.numpy() + x.shape[a], i.numpy()).astype(i.dtype))
    index = stack(broadcast_arrays(*wrapped), axis=-1)
    rest = [a for a in range(x.ndim) if a not in arrays]
    out = build(opset.gather_nd, x.dtype, permute_dims(x, (*axes, *rest)), index)
    n = index.ndim - 1
    if axes == list(range(axes[0], axes[-1] + 1)) and axes[0] > 0:
        before = axes[0]
        out = permute_dims(out, (*range(n, n + before), *range(n), *range(n + before, out.ndim)))
    return out


# -- elementwise -------------------------------------------------------------------------------------------------------


def _promote(*xs: Any) -> list[Array]:
    """The arguments as arrays of their common dtype; Python numbers take on the arrays'."""
    for x in xs:
        if not isinstance(x, _OPERANDS):
            raise TypeError(f"expected openvino arrays or numbers, got {type(x).__name__}: convert it with kf.asarray")
    dtype = result_type(*xs)
    return [astype(x, dtype) if isinstance(x, Array) else _scalar(x, dtype) for x in xs]


def _floats(*xs: Any) -> list[Array]:
    return [x if _is_float(x) else astype(x, float32) for x in _promote(*xs)]


def _named(name: str, fun: Callable) -> Callable:
    fun.__name__ = fun.__qualname__ = name
    return fun


def _float_function(name: str, op: Callable) -> Callable:
    def fun(x: Array, /) -> Array:
        (x,) = _floats(x)
        return build(op, x.dtype, x)

    return _named(name, fun)


acos, acosh, asin, asinh, atan, atanh, cos, cosh, log, sin, sinh, sqrt, tan, tanh = (
    _float_function(op.__name__, op)
    for op in (
        *(opset.acos, opset.acosh, opset.asin, opset.asinh, opset.atan, opset.atanh, opset.cos, opset.cosh),
        *(opset.log, opset.sin, opset.sinh, opset.sqrt, opset.tan, opset.tanh),
    )
)


def exp(x: Array, /) -> Array:
    (x,) = _floats(x)
    # The plugin's own stops at the largest finite number, and does so for NaN.
    return where(x < 88.72284, build(opset.exp, x.dtype, x), x * inf)


def _arithmetic(name: str, op: Callable) -> Callable:
    def fun(x1: Any, x2: Any, /) -> Array:
        a, b = _promote(x1, x2)
        return build(op, a.dtype, a, b)

    return _named(name, fun)


add, subtract, multiply = (_arithmetic(name, getattr(opset, name)) for name in ("add", "subtract", "multiply"))


def divide(x1: Any, x2: Any, /) -> Array:
    a, b = _floats(x1, x2)
    return build(opset.divide, a.dtype, a, b)


def pow(x1: Any, x2: Any, /) -> Array:
    a, b = _promote(x1, x2)
    if _is_float(a):
        return build(opset.power, a.dtype, a, b)
    if not (b.is_concrete and b.ndim == 0 and b.numpy() >= 0):
        raise _cannot("pow of integers", "it goes through float32, unless the exponent is a number")
    exponent, out = int(b.numpy()), ones_like(a)
    while exponent:
        out = out * a if exponent & 1 else out
        a, exponent = a * a, exponent >> 1
    return out


def negative(x: Array, /) -> Array:
    return build(opset.negative, x.dtype, x) if x.dtype.kind in "if" else zeros_like(x) - x


def abs(x: Array, /) -> Array:
    return build(opset.absolute, x.dtype, x) if x.dtype.kind in "if" else x


def positive(x: Array, /) -> Array:
    return x


real = conj = positive


def imag(x: Array, /) -> Array:
    return zeros_like(x)


def square(x: Array, /) -> Array:
    return x * x


def reciprocal(x: Array, /) -> Array:
    return 1.0 / x


def sign(x: Array, /) -> Array:
    return astype(x != 0, x.dtype) if x.dtype.kind == "u" else build(opset.sign, x.dtype, x)


def _rounding(name: str, op: Callable) -> Callable:
    def fun(x: Array, /) -> Array:
        return build(op, x.dtype, x) if _is_float(x) else x

    return _named(name, fun)


floor, ceil = _rounding("floor", opset.floor), _rounding("ceil", opset.ceiling)
round = _rounding("round", lambda node: opset.round(node, "half_to_even"))


def trunc(x: Array, /) -> Array:
    return where(x < 0, ceil(x), floor(x)) if _is_float(x) else x


def log2(x: Array, /) -> Array:
    return log(x) * (1 / math.log(2))


def log10(x: Array, /) -> Array:
    return log(x) * (1 / math.log(10))


def log1p(x: Array, /) -> Array:
    (x,) = _floats(x)
    # Near 0 by log1p(x) = 2 atanh(x / (2 + x)), which loses no digit of a small x.
    return where(abs(x) < 0.5, 2 * atanh(x / (2 + x)), log(1 + x))


def expm1(x: Array, /) -> Array:
    (x,) = _floats(x)
    # Near 0 by expm1(x) = tanh(x / 2) (exp(x) + 1).
    return where(abs(x) < 1, tanh(x * 0.5) * (exp(x) + 1), exp(x) - 1)


def hypot(x1: Any, x2: Any, /) -> Array:
    a, b = (abs(x) for x in _floats(x1, x2))
    top, low = maximum(a, b), minimum(a, b)
    ratio = where((top == 0) | (top == inf), zeros_like(low), low / top)
    return where(isinf(a) | isinf(b), full_like(top, inf), top * sqrt(1 + ratio * ratio))


def logaddexp(x1: Any, x2: Any, /) -> Array:
    a, b = _floats(x1, x2)
    top = maximum(a, b)
    return where(a == b, a + math.log(2), top + log1p(exp(-abs(a - b))))


def atan2(x1: Any, x2: Any, /) -> Array:
    y, x = _floats(x1, x2)
    first = atan(abs(y) / abs(x))
    first = where(isinf(x) & isinf(y), full_like(first, pi / 4), first)
    first = where((x == 0) & (y == 0), zeros_like(first), first)
    return copysign(where(signbit(x), pi - first, first), y)


def signbit(x: Array, /) -> Array:
    return (x < 0) | ((x == 0) & (1 / x < 0))


def copysign(x1: Any, x2: Any, /) -> Array:
    a, b = _floats(x1, x2)
    return where(signbit(b), -abs(a), abs(a))


def floor_divide(x1: Any, x2: Any, /) -> Array:
    a, b = _promote(x1, x2)
    if not _is_float(a):
        return _integer_divide(a, b)
    # The compiler makes of a quotient a product with a rounded reciprocal, by which 21 / 7 is less than 3.
    rest = remainder(a, b)
    return where(isnan(rest), floor(a / b), round((a - rest) / b))


def remainder(x1: Any, x2: Any, /) -> Array:
    a, b = _promote(x1, x2)
    return build(opset.floor_mod, a.dtype, a, b) if _is_float(a) else a - _integer_divide(a, b) * b


def _integer_divide(a: Array, b: Array) -> Array:
    """The quotient rounded down, from quotients of absolute values as uint32."""
    if a.dtype != UINT32:
        a, b, dtype = astype(a, int32), astype(b, int32), a.dtype
        top, bottom = _view(abs(a), UINT32), _view(abs(b), UINT32)
        q = _integer_divide(top, bottom)
        inexact = astype(q * bottom != top, int32)
        q = _view(q, int32)
        return astype(where((a < 0) ^ (b < 0), -q - inexact, q), dtype)
    q = zeros_like(a)
    for _ in range(2):
        # Rounded down by more than float32 is off, so that what is left never wraps below 0.
        q = q + astype(floor(divide(a - q * b, b) * (1 - 2.0**-21)), UINT32)
    return q + astype(a - q * b >= b, UINT32)


def _bitwise(name: str) -> Callable:
    logical, bits = getattr(opset, f"logical_{name}"), getattr(opset, f"bitwise_{name}")

    def fun(*xs: Any) -> Array:
        arrays = _promote(*xs)
        dtype = arrays[0].dtype
        if dtype.kind == "f":
            raise TypeError(f"bitwise_{name} takes integers or booleans, not {dtype}")
        return build(logical if dtype == bool else bits, dtype, *arrays)

    return _named(f"bitwise_{name}", fun)


bitwise_and, bitwise_or, bitwise_xor = _bitwise("and"), _bitwise("or"), _bitwise("xor")
bitwise_invert = _named("bitwise_invert", _bitwise("not"))


def bitwise_left_shift(x1: Any, x2: Any, /) -> Array:
    a, b = _promote(x1, x2)
    return build(opset.bitwise_left_shift, a.dtype, a, b)


def bitwise_right_shift(x1: Any, x2: Any, /) -> Array:
    """Signed integers keep their sign; uint32 is filled with zeros."""
    a, b = _promote(x1, x2)
    if a.dtype != UINT32:
        return build(opset.bitwise_right_shift, a.dtype, a, b)
    # One masked step clears the sign, and the rest cannot bring it back.
    one = build(opset.bitwise_right_shift, UINT32, a, _scalar(1, UINT32)) & 0x7FFFFFFF
    rest = _scalar(0, UINT32) if b.is_concrete and not b.numpy().any() else b - 1
    return where(b == 0, a, build(opset.bitwise_right_shift, UINT32, one, where(b == 0, zeros_like(b), rest)))


def _logical(name: str) -> Callable:
    op = getattr(opset, f"logical_{name}")
    return _named(f"logical_{name}", lambda *xs: build(op, bool, *(astype(x, bool) for x in _promote(*xs))))


logical_and, logical_not, logical_or, logical_xor = (_logical(name) for name in ("and", "not", "or", "xor"))


def _ordered(x: Array) -> Array:
    """`x`, or for uint32 int32 numbers in the same order; undone by itself."""
    if x.dtype == UINT32:
        return build(opset.bitwise_xor, int32, x, _scalar(-(2**31), int32))
    return x


def _unordered(x: Array, dtype: np.dtype) -> Array:
    return bitwise_xor(_view(x, UINT32), _scalar(2**31, UINT32)) if dtype == UINT32 else x


def _is_small(x: Array) -> _python_bool:
    """Whether all values are known to be integers that float32 holds."""
    return x.dtype.kind == "b" or x.dtype.itemsize < 4 or (x.is_concrete and np.all(np.abs(x.numpy()) < 2.0**24))


def _comparison(name: str, op: Callable, exact: Callable) -> Callable:
    def fun(x1: Any, x2: Any, /) -> Array:
        a, b = map(_ordered, _promote(x1, x2))
        if _is_float(a) or a.dtype.itemsize < 4:
            return build(op, bool, a, b)
        # float32, in which the plugin compares, tells any integer from a small one.
        return build(op, bool, a, b) if _is_small(a) or _is_small(b) else exact(a, b)

    return _named(name, fun)


def _differ(a: Array, b: Array) -> Array:
    return build(opset.not_equal, bool, bitwise_xor(a, b), _scalar(0, a.dtype))


def _top(a: Array, b: Array) -> Array:
    return build(opset.maximum, a.dtype, a, b)


equal = _comparison("equal", opset.equal, lambda a, b: logical_not(_differ(a, b)))
not_equal = _comparison("not_equal", opset.not_equal, _differ)
less = _comparison("less", opset.less, lambda a, b: _differ(a, _top(a, b)))
less_equal = _comparison("less_equal", opset.less_equal, lambda a, b: logical_not(_differ(b, _top(a, b))))


def _upward(name: str, downward: Callable) -> Callable:
    def fun(x1: Any, x2: Any, /) -> Array:
        out = downward(x2, x1)
        for x in (x1, x2):  # the plugin's own is true of NaN, and the compiler puts constants on the right
            if isinstance(x, Array) and _is_float(x) and not x.is_concrete:
                out = out & (x == x)
        return out

    return _named(name, fun)


greater, greater_equal = _upward("greater", less), _upward("greater_equal", less_equal)


def _extremum(name: str, op: Callable) -> Callable:
    def fun(x1: Any, x2: Any, /) -> Array:
        a, b = _promote(x1, x2)
        out = _unordered(build(op, int32 if a.dtype == UINT32 else a.dtype, _ordered(a), _ordered(b)), a.dtype)
        for x in (a, b):  # the processor's instruction drops a NaN
            if _is_float(x) and not (x.is_concrete and not np.isnan(x.numpy()).any()):
                out = where(isnan(x), x, out)
        return out

    return _named(name, fun)


maximum, minimum = _extremum("maximum", opset.maximum), _extremum("minimum", opset.minimum)


def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
    dtype = x.dtype
    for bound, pick in ((min, maximum), (max, minimum)):
        if bound is not None:
            x = pick(x, astype(bound, dtype) if isinstance(bound, Array) else _scalar(bound, dtype))
    return x


def _float_test(name: str, op: Callable, integers: _python_bool) -> Callable:
    def fun(x: Array, /) -> Array:
        return build(op, bool, x) if _is_float(x) else full_like(x, integers, dtype=bool)

    return _named(name, fun)


isnan = _float_test("isnan", opset.is_nan, False)
isinf = _float_test("isinf", opset.is_inf, False)
isfinite = _float_test("isfinite", opset.is_finite, True)


# -- linear algebra ----------------------------------------------------------------------------------------------------


def matmul(x1: Array, x2: Array, /) -> Array:
    a, b = _promote(x1, x2)
    if not a.ndim or not b.ndim:
        raise ShapeError("matmul takes no scalars.", expected="one axis or more", got=(a.shape, b.shape))
    return build(opset.matmul, a.dtype, a, b, transpose_a=False, transpose_b=False)


def _einsum(*nodes: Any, subscripts: str) -> Any:
    return opset.einsum(list(nodes), subscripts)


def tensordot(x1: Array, x2: Array, /, *, axes: Any = 2) -> Array:
    if isinstance(axes, int):
        axes = (range(x1.ndim - axes, x1.ndim), range(axes))
    first, second = _axes(x1, tuple(axes[0])), _axes(x2, tuple(axes[1]))
    left = [chr(ord("a") + i) for i in range(x1.ndim)]
    right = [chr(ord("A") + i) for i in range(x2.ndim)]
    for i, j in zip(first, second, strict=True):
        right[j] = left[i]
    kept = [c for i, c in enumerate(left) if i not in first] + [c for j, c in enumerate(right) if j not in second]
    a, b = _promote(x1, x2)
    subscripts = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
    return build(_einsum, a.dtype, a, b, subscripts=subscripts)


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    return sum(x1 * x2, axis=axis)


# -- reductions --------------------------------------------------------------------------------------------------------


def _reduce(op: Callable, x: Array, axis: Any, keepdims: _python_bool, dtype: np.dtype | None = None) -> Array:
    axes = _axes(x, axis)
    return build(op, dtype or x.dtype, x, ints(*axes), keep_dims=keepdims) if axes else x


def _one_axis_at_a_time(fun: Callable, x: Array, axis: Any, keepdims: _python_bool) -> Array:
    axes = _axes(x, axis)
    for a in axes:
        x = fun(x, a)
    return x if keepdims else squeeze(x, axes)


def sum(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: _python_bool = False) -> Array:
    if dtype is None:
        dtype = x.dtype if _is_float(x) or x.dtype.itemsize >= 4 else uint32 if x.dtype.kind == "u" else int32
    x = astype(x, dtype)
    if _is_float(x) or 0 in x.shape:
        return _reduce(opset.reduce_sum, x, axis, keepdims)
    # The plugin adds integers up as float32; its running sum is exact.
    return _one_axis_at_a_time(lambda x, a: _last(cumulative_sum(x, axis=a), a), x, axis, keepdims)


def _last(x: Array, axis: int) -> Array:
    return x[(slice(None),) * axis + (slice(-1, None),)]


def prod(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: _python_bool = False) -> Array:
    if dtype is None:
        dtype = x.dtype if _is_float(x) or x.dtype.itemsize >= 4 else uint32 if x.dtype.kind == "u" else int32
    return _reduce(opset.reduce_prod, astype(x, dtype), axis, keepdims)


def mean(x: Array, /, *, axis: Any = None, keepdims: _python_bool = False) -> Array:
    (x,) = _floats(x)
    return _reduce(opset.reduce_mean, x, axis, keepdims)


def var(x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: _python_bool = False) -> Array:
    (x,) = _floats(x)
    centred = x - mean(x, axis=axis, keepdims=True)
    total = sum(centred * centred, axis=axis, keepdims=keepdims)
    sizes = [x.shape[a] for a in _axes(x, axis)]
    if None not in sizes:
        return total / _max(math.prod(sizes) - correction, 0.0)
    return total / maximum(sum(ones_like(x), axis=axis, keepdims=keepdims) - correction, 0.0)


def std(x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: _python_bool = False) -> Array:
    return sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def _extreme(name: str, op: Callable, mode: str, end: float) -> Callable:
    def fun(x: Array, /, *, axis: Any = None, keepdims: _python_bool = False) -> Array:
        if not _is_float(x):
            return _one_axis_at_a_time(lambda x, a: _top_k(x, 1, a, mode)[0], x, axis, keepdims)
        # The plugin's own overlooks NaN, and starts from the last finite number, not from infinity.
        rank = where(isnan(x), 2.0, where(x == end, 0.0, ones_like(x)))
        rank = _reduce(opset.reduce_max, rank, axis, keepdims)
        out = _reduce(op, x, axis, keepdims)
        return where(rank == 2, full_like(out, nan), where(rank == 0, full_like(out, end), out))

    return _named(name, fun)


max, min = _extreme("max", opset.reduce_max, "max", -inf), _extreme("min", opset.reduce_min, "min", inf)


def _bool_reduction(name: str, op: Callable) -> Callable:
    def fun(x: Array, /, *, axis: Any = None, keepdims: _python_bool = False) -> Array:
        return _reduce(op, astype(x, bool), axis, keepdims)

    return _named(name, fun)


all = _bool_reduction("all", opset.reduce_logical_and)
any = _bool_reduction("any", opset.reduce_logical_or)


def count_nonzero(x: Array, /, *, axis: Any = None, keepdims: _python_bool = False) -> Array:
    return sum(astype(x != 0, int32), axis=axis, keepdims=keepdims)


def cumulative_sum(
    x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: _python_bool = False
) -> Array:
    (axis,) = _axes(x, axis)
    if dtype is None:
        dtype = x.dtype if _is_float(x) or x.dtype.itemsize >= 4 else uint32 if x.dtype.kind == "u" else int32
    x = astype(x, dtype)
    out = build(lambda node: opset.cum_sum(node, opset.constant(np.int64(axis))), x.dtype, x)
    if not include_initial:
        return out
    return concat([zeros_like(x[(slice(None),) * axis + (slice(0, 1),)]), out], axis=axis)


def diff(
    x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None
) -> Array:
    (axis,) = _axes(x, axis)
    x = concat([p for p in (prepend, x, append) if p is not None], axis=axis)
    before = (slice(None),) * axis
    for _ in range(n):
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x


# -- order -------------------------------------------------------------------------------------------------------------


def _top_k(x: Array, k: int | None, axis: int, mode: str) -> tuple[Array, Array]:
    """The `k` largest or smallest along `axis` (all with None), in order, and their places; equals keep theirs."""
    (axis,) = _axes(x, axis)
    a = astype(x, int32) if x.dtype.itemsize < 4 else _ordered(x)
    size = build(lambda n: opset.gather(opset.shape_of(n), opset.constant(np.int64(axis)), ints(0)), int64, x)
    count = size.node if k is None else opset.constant(np.int64(k))
    node = opset.topk(a.node, count, axis, mode, "value", stable=True)
    values = Array.of_node(node.output(0), a.dtype, x.traced)
    values = _unordered(values, x.dtype) if x.dtype == UINT32 else astype(values, x.dtype)
    return values, Array.of_node(node.output(1), int32, x.traced)


def sort(x: Array, /, *, axis: int = -1, descending: _python_bool = False, stable: _python_bool = True) -> Array:
    return _top_k(x, None, axis, "max" if descending else "min")[0]


def argsort(x: Array, /, *, axis: int = -1, descending: _python_bool = False, stable: _python_bool = True) -> Array:
    return _top_k(x, None, axis, "max" if descending else "min")[1]


def _arg(name: str, mode: str) -> Callable:
    def fun(x: Array, /, *, axis: int | None = None, keepdims: _python_bool = False) -> Array:
        if axis is None:
            out = _top_k(reshape(x, (-1,)), 1, 0, mode)[1]
            return reshape(out, (1,) * x.ndim if keepdims else ())
        out = _top_k(x, 1, axis, mode)[1]
        return out if keepdims else squeeze(out, axis)

    return _named(name, fun)


argmax, argmin = _arg("argmax", "max"), _arg("argmin", "min")


# -- what there is not -------------------------------------------------------------------------------------------------


def _cannot(what: str, reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"openvino cannot do {what}: {reason}.",
        argument="backend",
        got="openvino",
        fix='compute it on another backend: kf.asarray(x, backend="numpy")',
    )


def _missing(name: str, reason: str) -> Callable:
    def fun(*args: Any, **kwargs: Any) -> Any:
        raise _cannot(name, reason)

    return _named(name, fun)


_DATA_DEPENDENT = "the shape of its result depends on values"
nonzero, unique_all, unique_counts, unique_inverse, unique_values = (
    _missing(name, _DATA_DEPENDENT)
    for name in ("nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values")
)
cumulative_prod = _missing("cumulative_prod", "no operation of its opset expresses it")
nextafter = _missing("nextafter", "no operation of its opset sees the bits of a float")


# -- operators ---------------------------------------------------------------------------------------------------------


def _operator(fun: Callable, swapped: _python_bool = False) -> Callable:
    def operator(self: Array, other: Any) -> Any:
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        return fun(other, self) if swapped else fun(self, other)

    return operator


for _name, _fun in {
    "add": add,
    "sub": subtract,
    "mul": multiply,
    "truediv": divide,
    "floordiv": floor_divide,
    "mod": remainder,
    "pow": pow,
    "matmul": matmul,
    "and": bitwise_and,
    "or": bitwise_or,
    "xor": bitwise_xor,
    "lshift": bitwise_left_shift,
    "rshift": bitwise_right_shift,
}.items():
    setattr(Array, f"__{_name}__", _operator(_fun))
    setattr(Array, f"__r{_name}__", _operator(_fun, swapped=True))
for _name, _fun in {
    "eq": equal,
    "ne": not_equal,
    "lt": less,
    "le": less_equal,
    "gt": greater,
    "ge": greater_equal,
}.items():
    setattr(Array, f"__{_name}__", _operator(_fun))
for _name, _fun in {
    "neg": negative,
    "pos": positive,
    "abs": abs,
    "invert": bitwise_invert,
    "getitem": _getitem,
}.items():
    setattr(Array, f"__{_name}__", _fun)
