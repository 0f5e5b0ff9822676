"""The Array API standard, 2024.12, for TensorFlow: functions of Arrays, tensors or variables that return Arrays."""

from __future__ import annotations

import builtins
import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from .. import results
from ..standard import DTYPES, KINDS, STANDARD, named
from . import array as _array
from .array import Array, cast, dims, operands, promote, raw, scalar_type

__array_api_version__ = "2024.12"

e, pi, inf, nan, newaxis = math.e, math.pi, math.inf, math.nan, None

int8, int16, int32, int64 = tf.int8, tf.int16, tf.int32, tf.int64
uint8, uint16, uint32, uint64 = tf.uint8, tf.uint16, tf.uint32, tf.uint64
float16, bfloat16, float32, float64 = tf.float16, tf.bfloat16, tf.float32, tf.float64
complex64, complex128 = tf.complex64, tf.complex128


# -- dtypes ------------------------------------------------------------------------------------------------------------


def _dtype(x: Any) -> tf.DType:
    return x if isinstance(x, tf.DType) else x.dtype


def finfo(type: Any, /) -> results.Finfo:
    """Limits of a floating dtype (of an array, or itself); of its parts for a complex one."""
    dtype = _dtype(type).real_dtype
    if not dtype.is_floating:
        raise TypeError(f"finfo needs a floating-point dtype, not {dtype.name}.")
    if dtype is bfloat16:
        import ml_dtypes

        info = ml_dtypes.finfo(ml_dtypes.bfloat16)
    else:
        info = np.finfo(dtype.as_numpy_dtype)
    limits = (float(n) for n in (info.eps, info.max, info.min, info.smallest_normal))
    return results.Finfo(info.bits, *limits, dtype)


def iinfo(type: Any, /) -> results.Iinfo:
    """Limits of an integer dtype (of an array, or itself)."""
    dtype = _dtype(type)
    if not dtype.is_integer:
        raise TypeError(f"iinfo needs an integer dtype, not {dtype.name}.")
    return results.Iinfo(dtype.size * 8, int(dtype.max), int(dtype.min), dtype)


def isdtype(dtype: tf.DType, kind: Any) -> bool:
    """Whether `dtype` is of `kind`: a dtype, the standard's name of a group of dtypes, or a tuple of such."""
    if isinstance(kind, tuple):
        return builtins.any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in KINDS:
            raise ValueError(f"Unknown kind {kind!r}; expected one of {', '.join(KINDS)}.")
        return DTYPES.get(dtype.name, "?")[0] in KINDS[kind]
    return dtype == kind


def result_type(*arrays_and_dtypes: Any) -> tf.DType:
    """The dtype that arrays, dtypes and Python scalars make together."""
    scalars = [x for x in arrays_and_dtypes if isinstance(x, (bool_, int, float, complex))]
    dtypes = [_dtype(x) for x in arrays_and_dtypes if not isinstance(x, (bool_, int, float, complex))]
    if not dtypes:
        raise ValueError("result_type needs an array or a dtype.")
    out = dtypes[0]
    for dtype in dtypes[1:]:
        out = promote(out, dtype)
    for scalar in scalars:
        out = scalar_type(type(scalar), out)
    return out


def can_cast(from_: Any, to: tf.DType, /) -> bool:
    """Whether the standard's promotion takes the dtype (or array) `from_` to `to`."""
    dtype = _dtype(from_)
    try:
        same_kind = dtype.is_bool == to.is_bool and dtype.is_integer == to.is_integer
        return same_kind and promote(dtype, to) is to
    except TypeError:
        return False


def astype(x: Any, dtype: tf.DType, /, *, copy: bool = True, device: Any = None) -> Array:
    """`x` as `dtype`. Arrays cannot be changed, so that no copy is ever needed."""
    with on(device):
        return Array(cast(raw(x), dtype))


# -- creation ----------------------------------------------------------------------------------------------------------


def on(device: Any) -> Any:
    """The context in which arrays are made on `device`; None and "" leave the choice to TensorFlow."""
    return tf.device(device) if device else contextlib.nullcontext()


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Array:
    """An array with the values of `obj`: an array, a tensor, a NumPy array, scalars in nested sequences."""
    with on(device):
        if isinstance(obj, (list, tuple)) and _holds_tensors(obj):
            obj = tf.stack([asarray(x).tensor for x in obj])
        if isinstance(obj, (Array, tf.Tensor, tf.Variable)):
            x = raw(obj)
            return Array(tf.identity(x) if device else x if dtype is None else cast(x, dtype))
        if copy is False:
            raise ValueError("A tensor cannot be made without a copy of the data; leave copy at None.")
        if isinstance(obj, np.ndarray):
            x = tf.convert_to_tensor(obj)
            return Array(x if dtype is None else cast(x, dtype))
        if dtype is None and isinstance(obj, (list, tuple)):
            dtype = {"f": float32, "c": complex64, "i": int32}.get(np.asarray(obj).dtype.kind)
            dtype = int64 if dtype is int32 and not _fits_int32(obj) else dtype
        elif dtype is None and isinstance(obj, int) and not isinstance(obj, bool_) and not _fits_int32(obj):
            dtype = int64
        elif dtype is None and isinstance(obj, complex):
            dtype = complex64
        if dtype is not None and dtype is not bfloat16:
            obj = np.asarray(obj, dtype=dtype.as_numpy_dtype)
        return Array(tf.convert_to_tensor(obj, dtype))


def _fits_int32(obj: Any) -> bool:
    a = np.asarray(obj)
    return not a.size or (int32.min <= a.min() and a.max() <= int32.max)


def _holds_tensors(obj: Any) -> bool:
    if isinstance(obj, (list, tuple)):
        return builtins.any(map(_holds_tensors, obj))
    return isinstance(obj, (Array, tf.Tensor, tf.Variable))


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    """The array of another library, without a copy where that is possible."""
    with on(device):
        return Array(tf.experimental.dlpack.from_dlpack(x.__dlpack__()))


def _shape(shape: int | Sequence[int]) -> tuple:
    return tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)


def full(shape: int | tuple, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        value = asarray(fill_value, dtype=dtype).tensor
        return Array(tf.fill(_shape(shape), value))


def zeros(shape: int | tuple, *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.zeros(_shape(shape), dtype or float32))


def ones(shape: int | tuple, *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.ones(_shape(shape), dtype or float32))


empty = zeros


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    x = raw(x)
    with on(device):
        value = asarray(fill_value, dtype=dtype or x.dtype).tensor
        out = tf.fill(tf.shape(x), value)
        out.set_shape(x.shape)
        return Array(out)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.zeros_like(raw(x), dtype))


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.ones_like(raw(x), dtype))


empty_like = zeros_like


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Array:
    """Numbers from `start` below `stop`; int32 where all three are Python integers."""
    start, stop = (0, start) if stop is None else (start, stop)
    values = [raw(v) if not isinstance(v, (int, float)) else v for v in (start, stop, step)]
    tensors = [v for v in values if isinstance(v, tf.Tensor)]
    if dtype is None:
        dtype = result_type(*tensors, *(v for v in values if v not in tensors)) if tensors else None
        dtype = dtype or (float32 if builtins.any(isinstance(v, float) for v in values) else int32)
    with on(device):
        if not tensors:
            if dtype is int32 and not _fits_int32(values):
                dtype = int64
            # NumPy counts the elements: TensorFlow's own range accumulates rounding, and knows four dtypes.
            return Array(tf.constant(np.arange(*values).astype(dtype.as_numpy_dtype)))
        wide = dtype if dtype in (int32, int64, float32, float64) else int64 if dtype.is_integer else float32
        return Array(cast(tf.range(*(tf.cast(v, wide) for v in values)), dtype))


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Array:
    with on(device):
        values = np.linspace(start, stop, num, endpoint=endpoint)
        dtype = dtype or (complex64 if np.iscomplexobj(values) else float32)
        return Array(tf.constant(values.astype(dtype.as_numpy_dtype)))


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Array:
    with on(device):
        return Array(tf.constant(np.eye(n_rows, n_cols, k, dtype=(dtype or float32).as_numpy_dtype)))


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Array]:
    dtype = result_type(*arrays)
    return [Array(x) for x in tf.meshgrid(*(cast(raw(a), dtype) for a in arrays), indexing=indexing)]


def _triangle(x: Any, keep: Callable) -> Array:
    x = raw(x)
    rows, columns = dims(x)[-2:]
    mask = keep(tf.range(columns) - tf.expand_dims(tf.range(rows), 1))
    return Array(tf.where(mask, x, tf.zeros([], x.dtype)))


def tril(x: Any, /, *, k: int = 0) -> Array:
    return _triangle(x, lambda offset: offset <= k)


def triu(x: Any, /, *, k: int = 0) -> Array:
    return _triangle(x, lambda offset: offset >= k)


# -- elementwise -------------------------------------------------------------------------------------------------------


def _of_one(name: str, kernel: Callable) -> Callable:
    def function(x: Any, /) -> Array:
        return Array(kernel(raw(x)))

    return named(name, function)


def _of_two(name: str, kernel: Callable) -> Callable:
    def function(x1: Any, x2: Any, /) -> Array:
        return Array(kernel(*operands(x1, x2)))

    return named(name, function)


def _unless_integer(kernel: Callable) -> Callable:
    return lambda x: kernel(x) if x.dtype.is_floating else x


def _is(kernel: Callable, otherwise: bool, join: Callable) -> Callable:
    """A question about floating numbers; all other dtypes have one answer, complex ones that of both parts."""

    def question(x):
        if x.dtype.is_floating:
            return kernel(x)
        if x.dtype.is_complex:
            return join(kernel(tf.math.real(x)), kernel(tf.math.imag(x)))
        return tf.fill(tf.shape(x), otherwise)

    return question


def _signbit(x):
    return tf.bitcast(x, {2: int16, 4: int32, 8: int64}[x.dtype.size]) < 0


def _trunc(x):
    return tf.where(x < 0, tf.math.ceil(x), tf.floor(x))


def _sign(x):
    if not x.dtype.is_complex:
        return _array.UNARY["sign"](x)
    size = tf.cast(tf.abs(x), x.dtype)
    return tf.where(x == 0, x, x / tf.where(x == 0, tf.ones_like(size), size))


def _round(x):
    return tf.complex(tf.round(tf.math.real(x)), tf.round(tf.math.imag(x))) if x.dtype.is_complex else tf.round(x)


def _log_by(base: float) -> Callable:
    return lambda x: tf.math.log(x) / tf.constant(math.log(base), x.dtype)


def _hypot(x, y):
    x, y = tf.abs(x), tf.abs(y)
    big, small = tf.maximum(x, y), tf.minimum(x, y)
    plain = (big > 0) & tf.math.is_finite(big)
    ratio = tf.where(plain, small / tf.where(plain, big, tf.ones_like(big)), tf.zeros_like(big))
    out = big * tf.sqrt(1 + ratio * ratio)
    infinite = tf.math.is_inf(x) | tf.math.is_inf(y)
    return tf.where(infinite, tf.constant(inf, x.dtype), out)


def _logaddexp(x, y):
    top, gap = tf.maximum(x, y), -tf.abs(x - y)
    # Equal infinities have no difference.
    return top + tf.math.log1p(tf.exp(tf.where(x == y, tf.zeros_like(gap), gap)))


def _copysign(x, y):
    return tf.where(_signbit(x) == _signbit(y), x, -x)


for _name, _kernel in {
    **_array.UNARY,
    "sign": _sign,
    "square": tf.square,
    "sqrt": tf.sqrt,
    "reciprocal": tf.math.reciprocal,
    "exp": tf.exp,
    "expm1": tf.math.expm1,
    "log": tf.math.log,
    "log1p": tf.math.log1p,
    "log2": _log_by(2),
    "log10": _log_by(10),
    "sin": tf.sin,
    "cos": tf.cos,
    "tan": tf.tan,
    "asin": tf.asin,
    "acos": tf.acos,
    "atan": tf.atan,
    "sinh": tf.sinh,
    "cosh": tf.cosh,
    "tanh": tf.tanh,
    "asinh": tf.asinh,
    "acosh": tf.acosh,
    "atanh": tf.atanh,
    "floor": _unless_integer(tf.floor),
    "ceil": _unless_integer(tf.math.ceil),
    "trunc": _unless_integer(_trunc),
    "round": _round,
    "isnan": _is(tf.math.is_nan, False, tf.logical_or),
    "isinf": _is(tf.math.is_inf, False, tf.logical_or),
    "isfinite": _is(tf.math.is_finite, True, tf.logical_and),
    "signbit": _signbit,
    "logical_not": lambda x: tf.logical_not(cast(x, tf.bool)),
    "real": tf.math.real,
    "imag": tf.math.imag,
    "conj": tf.math.conj,
}.items():
    globals()[_name] = _of_one(_name, _kernel)

for _name, _kernel in {
    **_array.BINARY,
    "maximum": tf.maximum,
    "minimum": tf.minimum,
    "atan2": tf.atan2,
    "hypot": _hypot,
    "logaddexp": _logaddexp,
    "copysign": _copysign,
    "nextafter": tf.math.nextafter,
    "logical_and": lambda x, y: tf.logical_and(cast(x, tf.bool), cast(y, tf.bool)),
    "logical_or": lambda x, y: tf.logical_or(cast(x, tf.bool), cast(y, tf.bool)),
    "logical_xor": lambda x, y: tf.not_equal(cast(x, tf.bool), cast(y, tf.bool)),
}.items():
    globals()[_name] = _of_two(_name, _kernel)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Array:
    """`x` kept between `min` and `max`, numbers or arrays that broadcast with it."""
    x = raw(x)
    for bound, kernel in ((min, tf.maximum), (max, tf.minimum)):
        if bound is not None:
            a, b = operands(x, bound)
            x = cast(kernel(a, b), x.dtype)
    return Array(x)


def where(condition: Any, x1: Any, x2: Any, /) -> Array:
    """`x1` where `condition` holds, else `x2`; either may be a Python scalar."""
    if isinstance(x1, (int, float, complex)) and isinstance(x2, (int, float, complex)):
        x1 = asarray(x1, dtype=result_type(asarray(x1), asarray(x2)))
    return Array(tf.where(cast(raw(condition), tf.bool), *operands(x1, x2)))


# -- manipulation ------------------------------------------------------------------------------------------------------


def _normal(axis: int, ndim: int) -> int:
    if not -ndim <= axis < builtins.max(ndim, 1):
        raise IndexError(f"Axis {axis} is out of bounds for {ndim} axes.")
    return axis % ndim if ndim else 0


def _axes(axis: int | Sequence[int] | None, ndim: int) -> list[int]:
    if axis is None:
        return list(range(ndim))
    return [_normal(a, ndim) for a in ((axis,) if isinstance(axis, int) else axis)]


def _common(arrays: Sequence[Any]) -> list[tf.Tensor]:
    dtype = result_type(*arrays)
    return [cast(raw(a), dtype) for a in arrays]


def reshape(x: Any, /, shape: int | tuple, *, copy: bool | None = None) -> Array:
    """`x` in another shape, of which one size may be -1. Sizes may be scalar integer arrays."""
    sizes = [n.tensor if type(n) is Array else n for n in _shape(shape)]
    if None in [n for n in sizes if not isinstance(n, tf.Tensor)]:
        raise ValueError(f"reshape: shape {shape} holds an unknown size; let -1 stand for it.")
    return Array(_array.reshape(raw(x), tuple(sizes)))


def broadcast_to(x: Any, /, shape: tuple) -> Array:
    return Array(tf.broadcast_to(raw(x), [n.tensor if type(n) is Array else n for n in shape]))


def broadcast_arrays(*arrays: Any) -> list[Array]:
    tensors = [raw(a) for a in arrays]
    static, shape = tensors[0].shape, tf.shape(tensors[0])
    for t in tensors[1:]:
        static, shape = tf.broadcast_static_shape(static, t.shape), tf.broadcast_dynamic_shape(shape, tf.shape(t))
    out = [tf.broadcast_to(t, shape) for t in tensors]
    return [Array(tf.ensure_shape(t, static)) for t in out]


def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Array:
    tensors = _common(arrays)
    if axis is None:
        tensors, axis = [tf.reshape(t, (-1,)) for t in tensors], 0
    return Array(tf.concat(tensors, axis=axis))


def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Array:
    return Array(tf.stack(_common(arrays), axis=axis))


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Array, ...]:
    return tuple(map(Array, tf.unstack(raw(x), axis=axis)))


def expand_dims(x: Any, /, axis: int) -> Array:
    x = raw(x)
    _normal(axis, x.shape.rank + 1)
    return Array(tf.expand_dims(x, axis))


def squeeze(x: Any, /, axis: int | tuple) -> Array:
    x = raw(x)
    axes = _axes(axis, x.shape.rank)
    if builtins.any(x.shape[a] not in (1, None) for a in axes):
        raise ValueError(f"squeeze: axis {axis} of shape {tuple(x.shape)} is not of size 1.")
    return Array(tf.squeeze(x, axis=axes) if axes else x)


def flip(x: Any, /, *, axis: int | tuple | None = None) -> Array:
    x = raw(x)
    return Array(tf.reverse(x, _axes(axis, x.shape.rank)))


def permute_dims(x: Any, /, axes: tuple) -> Array:
    x = raw(x)
    return Array(tf.transpose(x, _axes(axes, x.shape.rank)))


def moveaxis(x: Any, source: int | tuple, destination: int | tuple, /) -> Array:
    x = raw(x)
    source, destination = _axes(source, x.shape.rank), _axes(destination, x.shape.rank)
    order = [a for a in range(x.shape.rank) if a not in source]
    for to, a in sorted(zip(destination, source, strict=True)):
        order.insert(to, a)
    return Array(x if order == sorted(order) else tf.transpose(x, order))


def matrix_transpose(x: Any, /) -> Array:
    return Array(tf.linalg.matrix_transpose(raw(x)))


def roll(x: Any, /, shift: int | tuple, *, axis: int | tuple | None = None) -> Array:
    x = raw(x)
    if axis is None:
        return Array(tf.reshape(tf.roll(tf.reshape(x, (-1,)), shift, 0), tf.shape(x)))
    axes = _axes(axis, x.shape.rank)
    return Array(tf.roll(x, [shift] * len(axes) if isinstance(shift, int) else shift, axes))


def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Array:
    x = raw(x)
    if axis is None:
        x, axis = tf.reshape(x, (-1,)), 0
    return Array(_wide(x, lambda t: tf.repeat(t, repeats if isinstance(repeats, int) else raw(repeats), axis=axis)))


def tile(x: Any, repetitions: tuple, /) -> Array:
    x = raw(x)
    extra = len(repetitions) - x.shape.rank
    for _ in range(extra):
        x = tf.expand_dims(x, 0)
    return Array(_wide(x, lambda t: tf.tile(t, (1,) * -extra + tuple(repetitions))))


def _wide(x: tf.Tensor, fun: Callable) -> tf.Tensor:
    """`fun(x)` where uint16, for which TensorFlow's tile has no kernel, goes through int32."""
    return tf.cast(fun(tf.cast(x, int32)), uint16) if x.dtype is uint16 else fun(x)


# -- indexing and searching --------------------------------------------------------------------------------------------


def _inside(indices: tf.Tensor, size: Any) -> tf.Tensor:
    """`indices` of a dtype that TensorFlow gathers by, with negative ones counted from the end."""
    indices = tf.cast(indices, int64 if indices.dtype.size == 8 or indices.dtype is uint32 else int32)
    return tf.where(indices < 0, indices + tf.cast(size, indices.dtype), indices)


def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Array:
    """Elements of `x` at the one-dimensional `indices` along `axis`."""
    x = raw(x)
    if axis is None:
        if x.shape.rank != 1:
            raise ValueError("take needs axis= unless the array has one axis.")
        axis = 0
    axis = _normal(axis, x.shape.rank)
    return Array(tf.gather(x, _inside(raw(asarray(indices)), dims(x)[axis]), axis=axis))


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Array:
    """For each position of `indices` (the shape of `x` but for `axis`), the element of `x` that it points at."""
    x, indices = raw(x), raw(indices)
    axis = _normal(axis, x.shape.rank)
    indices = _inside(indices, dims(x)[axis])
    ours, theirs = list(dims(x)), list(dims(indices))
    # The axes other than `axis` may broadcast.
    for i in range(x.shape.rank):
        if i != axis and x.shape[i] != indices.shape[i]:
            n = tf.broadcast_dynamic_shape(tf.expand_dims(ours[i], 0), tf.expand_dims(theirs[i], 0))[0]
            ours[i] = theirs[i] = n
    x = x if ours == list(x.shape) else tf.broadcast_to(x, ours)
    indices = indices if theirs == list(indices.shape) else tf.broadcast_to(indices, theirs)
    last = x.shape.rank - 1
    x, indices = _last(x, axis), _last(indices, axis)
    return Array(_last_back(tf.gather(x, indices, batch_dims=last, axis=last), axis))


def _last(x: tf.Tensor, axis: int) -> tf.Tensor:
    n = x.shape.rank
    return x if axis == n - 1 else tf.transpose(x, [*(i for i in range(n) if i != axis), axis])


def _last_back(x: tf.Tensor, axis: int) -> tf.Tensor:
    n = x.shape.rank
    return x if axis == n - 1 else tf.transpose(x, [*range(axis), n - 1, *range(axis, n - 1)])


def _arg(kernel: Callable) -> Callable:
    def function(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
        x = raw(x)
        n = x.shape.rank
        if axis is None:
            out = kernel(tf.reshape(x, (-1,)), axis=0, output_type=int64)
            return Array(tf.reshape(out, (1,) * n) if keepdims else out)
        out = kernel(x, axis=_normal(axis, n), output_type=int64)
        return Array(tf.expand_dims(out, _normal(axis, n)) if keepdims else out)

    return function


argmax, argmin = _arg(tf.argmax), _arg(tf.argmin)


def nonzero(x: Any, /) -> tuple[Array, ...]:
    """Positions of the elements that are not zero, an array for each axis."""
    x = raw(x)
    if not x.shape.rank:
        raise ValueError("nonzero needs an array of one axis at least.")
    return tuple(map(Array, tf.unstack(tf.where(x != tf.zeros([], x.dtype)), num=x.shape.rank, axis=1)))


def count_nonzero(x: Any, /, *, axis: int | tuple | None = None, keepdims: bool = False) -> Array:
    x = raw(x)
    hits = tf.cast(x != tf.zeros([], x.dtype), int64)
    return Array(tf.reduce_sum(hits, _axes(axis, x.shape.rank), keepdims))


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Array:
    """Where in the sorted (n,) array `x1` the elements of `x2` would go."""
    x1, x2 = operands(x1, x2)
    if sorter is not None:
        x1 = tf.gather(x1, raw(sorter))
    found = tf.searchsorted(x1, tf.reshape(x2, (-1,)), side=side, out_type=int64)
    return Array(_array.reshape(found, dims(x2)))


def _sort_key(x: tf.Tensor) -> tf.Tensor:
    """Integers in the order of the floating numbers `x`, zeros equal and NaN last; TensorFlow leaves NaN anywhere."""
    if not x.dtype.is_floating:
        return cast(x, int32) if x.dtype.is_bool else x
    x = tf.where(tf.math.is_nan(x), tf.constant(nan, x.dtype), tf.where(x == 0, tf.zeros_like(x), x))
    bits = tf.bitcast(x, {2: int16, 4: int32, 8: int64}[x.dtype.size])
    return tf.where(bits < 0, tf.bitwise.bitwise_xor(bits, tf.constant(bits.dtype.max, bits.dtype)), bits)


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The indices that sort `x` along `axis`; equal elements keep their order, NaN counts as the largest number."""
    key = _sort_key(raw(x))
    direction = "DESCENDING" if descending else "ASCENDING"
    return Array(tf.cast(tf.argsort(key, axis=_normal(axis, key.shape.rank), direction=direction, stable=True), int64))


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """`x` in order along `axis`, NaN counting as the largest number."""
    return take_along_axis(x, argsort(x, axis=axis, descending=descending), axis=axis)


# -- sets --------------------------------------------------------------------------------------------------------------


def unique_all(x: Any, /) -> results.UniqueAll:
    """The distinct elements in order, where each is first, which of them each element is, and how many of each."""
    x = raw(x)
    flat = tf.reshape(x, (-1,))
    order = argsort(Array(flat)).tensor
    ordered = tf.gather(flat, order)
    # Each NaN is an element of its own, as no two are equal.
    new = tf.concat([tf.ones_like(ordered[:1], tf.bool), ordered[1:] != ordered[:-1]], 0)
    starts = tf.where(new)[:, 0]
    group = tf.cumsum(tf.cast(new, int64)) - 1
    inverse = tf.tensor_scatter_nd_update(tf.zeros_like(order), order[:, None], group)
    ends = tf.concat([starts[1:], tf.shape(flat, out_type=int64)], 0)
    counts = (ends - starts)[: tf.shape(starts)[0]]
    values = tf.gather(ordered, starts), tf.gather(order, starts), tf.reshape(inverse, tf.shape(x)), counts
    return results.UniqueAll(*map(Array, values))


def unique_counts(x: Any, /) -> results.UniqueCounts:
    out = unique_all(x)
    return results.UniqueCounts(out.values, out.counts)


def unique_inverse(x: Any, /) -> results.UniqueInverse:
    out = unique_all(x)
    return results.UniqueInverse(out.values, out.inverse_indices)


def unique_values(x: Any, /) -> Array:
    return unique_all(x).values


# -- reductions --------------------------------------------------------------------------------------------------------


def _sum_type(dtype: tf.DType) -> tf.DType:
    """Sums of small integers are in the default integer dtype of the same sign."""
    if dtype.is_bool:
        return int32
    if dtype.is_integer and dtype.size < 4:
        return uint32 if dtype.is_unsigned else int32
    return dtype


def _reduction(kernel: Callable, typed: bool = False) -> Callable:
    def plain(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Array:
        x = raw(x)
        return Array(kernel(x, _axes(axis, x.shape.rank), keepdims))

    def with_dtype(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Array:
        x = raw(x)
        return plain(cast(x, dtype or _sum_type(x.dtype)), axis=axis, keepdims=keepdims)

    return with_dtype if typed else plain


sum, prod = _reduction(tf.reduce_sum, typed=True), _reduction(tf.reduce_prod, typed=True)
max, min = _reduction(tf.reduce_max), _reduction(tf.reduce_min)
mean = _reduction(lambda x, axes, keep: tf.reduce_mean(cast(x, float32) if x.dtype.is_integer else x, axes, keep))
all = _reduction(lambda x, axes, keep: tf.reduce_all(cast(x, tf.bool), axes, keep))
any = _reduction(lambda x, axes, keep: tf.reduce_any(cast(x, tf.bool), axes, keep))


def var(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """The mean squared distance from the mean, with `n - correction` in the denominator."""
    x = raw(x)
    axes = _axes(axis, x.shape.rank)
    squares = tf.math.squared_difference(x, tf.reduce_mean(x, axes, keepdims=True))
    if not correction:
        return Array(tf.reduce_mean(squares, axes, keepdims))
    sizes = dims(x)
    n = tf.cast(math.prod(sizes[a] for a in axes), x.dtype)
    return Array(tf.reduce_sum(squares, axes, keepdims) / tf.maximum(n - tf.cast(correction, x.dtype), 0))


def std(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    return Array(tf.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims).tensor))


def _cumulative(kernel: Callable, start: int) -> Callable:
    def function(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
        x = raw(x)
        if axis is None:
            if x.shape.rank != 1:
                raise ValueError("A cumulative function needs axis= unless the array has one axis.")
            axis = 0
        axis = _normal(axis, x.shape.rank)
        x = cast(x, dtype or _sum_type(x.dtype))
        out = kernel(x, axis)
        if include_initial:
            sizes = [1 if i == axis else n for i, n in enumerate(dims(x))]
            out = tf.concat([tf.fill(sizes, tf.constant(start, x.dtype)), out], axis)
        return Array(out)

    return function


cumulative_sum, cumulative_prod = _cumulative(tf.cumsum, 0), _cumulative(tf.math.cumprod, 1)


def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Array:
    x = raw(x)
    axis = _normal(axis, x.shape.rank)
    parts = [p for p in (prepend, x, append) if p is not None]
    x = concat(parts, axis=axis)
    before = (slice(None),) * axis
    for _ in range(n):
        later, earlier = x[(*before, slice(1, None))], x[(*before, slice(None, -1))]
        x = later != earlier if x.dtype.is_bool else later - earlier
    return x


# -- linear algebra ----------------------------------------------------------------------------------------------------


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Array:
    x, y = operands(x1, x2)
    wide = cast(x, int64), cast(y, int64)
    small = x.dtype.is_integer and x.dtype not in (int32, int64)
    return Array(cast(tf.tensordot(*(wide if small else (x, y)), axes), x.dtype))


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """`sum(conj(x1) * x2)` along `axis`, the others broadcasting."""
    x, y = operands(x1, x2)
    if axis >= 0:
        x, y = _last(x, _normal(axis, x.shape.rank)), _last(y, _normal(axis, y.shape.rank))
        axis = -1
    if x.shape[axis] != y.shape[axis] and None not in (x.shape[axis], y.shape[axis]):
        raise ValueError(f"vecdot: shapes {tuple(x.shape)} and {tuple(y.shape)} differ along axis {axis}.")
    return Array(tf.reduce_sum((tf.math.conj(x) if x.dtype.is_complex else x) * y, axis))


def __getattr__(name: str) -> Any:
    """The standard's extensions, which are imported when they are asked for."""
    if name not in ("fft", "linalg"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return globals().setdefault(name, importlib.import_module(f".{name}", __package__))


# -- inspection --------------------------------------------------------------------------------------------------------


class __array_namespace_info__:
    """What this namespace can do, in the standard's terms."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 8}

    def default_device(self) -> str:
        return tf.zeros(()).device

    def default_dtypes(self, *, device: Any = None) -> dict[str, tf.DType]:
        return {"real floating": float32, "complex floating": complex64, "integral": int32, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, tf.DType]:
        return {d.name: d for d in map(tf.as_dtype, STANDARD) if not kind or isdtype(d, kind)}

    def devices(self) -> list[str]:
        return [zeros((), device=d.name).device for d in tf.config.list_logical_devices()]


bool_ = bool
bool = tf.bool
