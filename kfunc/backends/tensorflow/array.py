"""A TensorFlow tensor that keeps the Array API's rules: promotion, shifts, indexing, `shape` as a tuple."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from .. import standard
from ..constants import joined
from ..standard import add_operators

__all__ = ["Array", "operands", "raw"]

_SCALARS = (bool, int, float, complex)


@dataclasses.dataclass(eq=False, repr=False, slots=True, weakref_slot=True)
class Array:
    """A `tf.Tensor` that conforms to the Array API standard, 2024.12.

    It passes through `tf.function`, gradient tapes and loops as one component. It has no `__array__`: TensorFlow would
    make a constant of it, and its gradient would be lost.

    Args:
        tensor: The tensor, eager or symbolic, of known rank.
    """

    tensor: tf.Tensor

    # -- what TensorFlow asks ------------------------------------------------------------------------------------------

    def __tf_flatten__(self) -> Any:
        return (), (self.tensor,)

    @classmethod
    def __tf_unflatten__(cls, metadata: Any, components: Any) -> Any:
        return cls(*components)

    def __tf_tensor__(self, dtype: Any = None, name: Any = None) -> Any:
        return self.tensor if dtype is None or dtype == self.tensor.dtype else tf.cast(self.tensor, dtype)

    # So that NumPy leaves `ndarray + Array` and `float32(2) * Array` to this class.
    __array_ufunc__ = None

    # -- what the standard asks ----------------------------------------------------------------------------------------

    def __array_namespace__(self, *, api_version: Any = None) -> Any:
        from . import namespace

        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
            raise ValueError(f"Unknown version of the Array API: {api_version!r}")
        return namespace

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Sizes; None where unknown while a `tf.function` is traced."""
        return tuple(self.tensor.shape)

    @property
    def ndim(self) -> int:
        return self.tensor.shape.rank

    @property
    def size(self) -> int | None:
        return self.tensor.shape.num_elements()

    @property
    def dtype(self) -> tf.DType:
        return self.tensor.dtype

    @property
    def device(self) -> str:
        """The name of the device; "" where TensorFlow has not chosen one yet."""
        return self.tensor.device

    @property
    def T(self) -> Array:
        if self.ndim != 2:
            raise ValueError(f"x.T needs two axes, not {self.ndim}; use xp.permute_dims or x.mT.")
        return Array(tf.transpose(self.tensor))

    @property
    def mT(self) -> Array:
        return Array(tf.linalg.matrix_transpose(self.tensor))

    def to_device(self, device: str, /, *, stream: Any = None) -> Array:
        with tf.device(device):
            return Array(tf.identity(self.tensor))

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        return tf.experimental.dlpack.to_dlpack(tf.identity(self.tensor) if copy else self.tensor)

    def __dlpack_device__(self) -> Any:
        kind, index = self.device.rpartition("device:")[2].split(":")
        return (2 if kind == "GPU" else 1), int(index)

    def __repr__(self) -> str:
        value = self.tensor.numpy() if hasattr(self.tensor, "numpy") else f"<shape {self.shape}>"
        return f"Array({value}, dtype={self.dtype.name})"

    def __bool__(self) -> bool:
        return bool(self.tensor)

    def __int__(self) -> int:
        return int(self.tensor)

    def __float__(self) -> float:
        return float(self.tensor)

    def __complex__(self) -> complex:
        return complex(self.tensor.numpy())

    def __index__(self) -> int:
        return operator.index(self.tensor.numpy())

    def __getitem__(self, key: Any) -> Array:
        return Array(index(self.tensor, key))

    def __iter__(self) -> Any:
        if not self.ndim or self.shape[0] is None:
            raise TypeError("Only an array whose first axis has a known size can be iterated over.")
        return map(Array, tf.unstack(self.tensor))

    __hash__: ClassVar[None] = None  # type: ignore[assignment]


# -- operands ----------------------------------------------------------------------------------------------------------


def raw(x: Any) -> tf.Tensor:
    """The tensor of `x`: an Array, a tensor, a variable, or a Python scalar."""
    if type(x) is Array:
        return x.tensor
    if isinstance(x, tf.Tensor):
        return x
    if isinstance(x, (tf.Variable, np.generic, *_SCALARS)):
        return tf.convert_to_tensor(x)
    raise TypeError(f"Expected an array, got {type(x).__name__}.")


def operands(x: Any, y: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Two operands, one at most a Python scalar or a NumPy array, as tensors of their common dtype."""
    x, y = _operand(x, y), _operand(y, x)
    if isinstance(x, _SCALARS):
        if isinstance(y, _SCALARS):
            raise TypeError("One operand must be an array.")
        dtype = scalar_type(type(x), y.dtype)
        return constant(x, dtype), cast(y, dtype)
    if isinstance(y, _SCALARS):
        dtype = scalar_type(type(y), x.dtype)
        return cast(x, dtype), constant(y, dtype)
    if x.dtype is y.dtype:
        return x, y
    dtype = promote(x.dtype, y.dtype)
    return cast(x, dtype), cast(y, dtype)


def constant(x: Any, dtype: tf.DType) -> tf.Tensor:
    """The Python scalar `x` as a tensor."""
    if x == 0 and type(x) is float:
        # As a NumPy array: TensorFlow keeps eager constants in a table, in which -0.0 equals 0.0.
        return tf.constant(np.asarray(x, dtype.as_numpy_dtype))
    return tf.constant(x, dtype)


def _operand(x: Any, other: Any) -> Any:
    if type(x) is Array:
        return x.tensor
    if isinstance(x, np.ndarray):
        x = joined(x, other)
    if isinstance(x, np.generic):
        return x.item()  # beside tensors, a NumPy scalar is a number
    return x if isinstance(x, _SCALARS) else raw(x)


def cast(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """`x` as `dtype`; complex to real takes the real part."""
    if x.dtype is dtype:
        return x
    return tf.cast(tf.math.real(x) if x.dtype.is_complex and not dtype.is_complex else x, dtype)


def _kind(dtype: tf.DType) -> int:
    """0 boolean, 1 integer, 2 real floating, 3 complex."""
    return 0 if dtype.is_bool else 1 if dtype.is_integer else 2 if dtype.is_floating else 3


@functools.cache
def promote(a: tf.DType, b: tf.DType) -> tf.DType:
    """The common dtype of `a` and `b`.

    The standard does not define it for dtypes of two kinds. Here it is the one of the higher kind, as in JAX and
    PyTorch: int32 with float32 is float32.
    """
    if a is b:
        return a
    if _kind(a) > _kind(b):
        a, b = b, a
    if _kind(a) < _kind(b):
        wide = _kind(a) == 2 and (a.size > 4 or b.size > 8)
        return tf.complex128 if wide else b
    name = standard.promote(a.name, b.name)
    if name is None:
        raise TypeError(f"{a.name} and {b.name} have no common dtype; convert one with xp.astype.")
    return tf.as_dtype(name)


@functools.cache
def scalar_type(scalar: type[Any], dtype: tf.DType) -> tf.DType:
    """The dtype of a sum of a Python scalar of the type `scalar` and an array of `dtype`."""
    level = 0 if issubclass(scalar, bool) else 1 if issubclass(scalar, int) else 2 if issubclass(scalar, float) else 3
    if level <= _kind(dtype):
        return dtype
    if level == 3 and dtype is tf.float64:
        return tf.complex128
    return (tf.int32, tf.float32, tf.complex64)[level - 1]


# -- kernels that operators and functions share: of tensors, operands already of one dtype -----------------------------


def _bitwise(on_integers: Callable, on_booleans: Callable) -> Callable:
    return lambda x, *rest: (on_booleans if x.dtype.is_bool else on_integers)(x, *rest)


def _divide(x, y):
    if x.dtype.is_integer:
        x, y = tf.cast(x, tf.float32), tf.cast(y, tf.float32)
    return tf.math.divide(x, y)


def _pow(x, y):
    if x.dtype.is_floating and (y.shape.rank != 0 or tf.get_static_value(y) in (None, 0, 1)):
        # TensorFlow's slope of 0 ** 0 is NaN, and not 0, and so is that of the slope of 0 ** 1.
        none, one = tf.zeros((), x.dtype), tf.ones((), x.dtype)
        zero, first = x == 0, y == 1
        product = tf.where(zero, x, none) * tf.where(first, y, one)
        return tf.where(zero & first, product, tf.pow(tf.where(zero & (first | (y == 0)), one, x), y))
    if not x.dtype.is_unsigned:
        return tf.pow(x, y)
    # Powers of integers wrap, and wrapped bits are the same for signed and for unsigned ones.
    return tf.cast(tf.pow(tf.cast(x, tf.int64), tf.cast(y, tf.int64)), x.dtype)


def _remainder(x, y):
    out = tf.math.floormod(x, y)
    if not x.dtype.is_floating:
        return out
    # A zero gets the sign of the divisor. To keep its gradient, a difference that is +0 is subtracted.
    value = tf.stop_gradient(out)
    zero = tf.zeros_like(value)  # no constant, since TensorFlow keeps these in a table, in which -0.0 equals 0.0
    return tf.where(value == 0, tf.where(signbit(y), -zero, zero) - (value - out), out)


def signbit(x: tf.Tensor) -> tf.Tensor:
    """Whether the floating numbers `x` have a minus sign, zeros and NaN included."""
    return tf.bitcast(x, {2: tf.int16, 4: tf.int32, 8: tf.int64}[x.dtype.size]) < 0


def matmul(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    dtype = x.dtype
    if dtype.is_integer and dtype not in (tf.int32, tf.int64):
        x, y = tf.cast(x, tf.int64), tf.cast(y, tf.int64)
    n, m = x.shape.rank, y.shape.rank
    if not n or not m:
        raise ValueError("matmul needs arrays of one axis at least.")
    if m == 1:
        if n == 1 and not x.shape.is_compatible_with(y.shape):  # their product would repeat a vector of size 1
            raise ValueError(f"matmul: shapes {tuple(x.shape)} and {tuple(y.shape)} do not fit together.")
        out = tf.linalg.matvec(x, y) if n > 1 else tf.reduce_sum(x * y)
    elif n == 1:
        out = tf.linalg.matvec(y, x, transpose_a=True)
    elif m == 2 and n > 2:
        # One large product is faster than many small ones that all have the same right side.
        out = tf.matmul(tf.reshape(x, (-1, inner(x, y))), y)
        out = reshape(out, (*dims(x)[:-1], dims(y)[-1]))
    else:
        out = tf.matmul(x, y)
    return cast(out, dtype)


def inner(x: tf.Tensor, y: tf.Tensor) -> Any:
    """The size that the matrix product sums over; both sides must agree where they are known."""
    a, b = x.shape[-1], y.shape[-2]
    if a is not None and b is not None and a != b:
        raise ValueError(f"matmul: shapes {tuple(x.shape)} and {tuple(y.shape)} do not fit together.")
    return dims(x)[-1] if b is None else b


def dense(x: tf.Tensor) -> tf.Tensor:
    """`x`, for `tf.gather`, whose gradient for it would be `tf.IndexedSlices`: that of a reshape is an array."""
    return reshape(x, dims(x)) if x.dtype.is_floating or x.dtype.is_complex else x


def dims(x: tf.Tensor) -> tuple[Any, ...]:
    """The sizes of `x`: integers where known, scalar tensors elsewhere."""
    static = tuple(x.shape)
    if None not in static:
        return static
    dynamic = tf.shape(x)
    return tuple(dynamic[i] if n is None else n for i, n in enumerate(static))


def reshape(x: tf.Tensor, shape: tuple[Any, ...]) -> tf.Tensor:
    """`tf.reshape` to sizes as `dims` gives them. One unknown size becomes -1, so that the others stay known."""
    unknown = [n for n in shape if isinstance(n, tf.Tensor)]
    if len(unknown) == 1:
        shape = tuple(-1 if n is unknown[0] else n for n in shape)
    return tf.reshape(x, shape)


BINARY: dict[str, Callable[..., Any]] = {
    "add": tf.add,
    "subtract": tf.subtract,
    "multiply": tf.multiply,
    "divide": _divide,
    "floor_divide": tf.math.floordiv,
    "remainder": _remainder,
    "pow": _pow,
    "bitwise_and": _bitwise(tf.bitwise.bitwise_and, tf.logical_and),
    "bitwise_or": _bitwise(tf.bitwise.bitwise_or, tf.logical_or),
    "bitwise_xor": _bitwise(tf.bitwise.bitwise_xor, tf.not_equal),
    "matmul": matmul,
    "bitwise_left_shift": tf.bitwise.left_shift,
    "bitwise_right_shift": tf.bitwise.right_shift,
    "equal": tf.equal,
    "not_equal": tf.not_equal,
    "less": tf.less,
    "less_equal": tf.less_equal,
    "greater": tf.greater,
    "greater_equal": tf.greater_equal,
}

UNARY: dict[str, Callable[..., Any]] = {
    "positive": lambda x: x,
    # TensorFlow has no kernel for the negative, absolute value and sign of unsigned integers.
    "negative": lambda x: tf.zeros_like(x) - x if x.dtype.is_unsigned else tf.negative(x),
    "abs": lambda x: x if x.dtype.is_unsigned else tf.abs(x),
    "sign": lambda x: cast(x != 0, x.dtype) if x.dtype.is_unsigned else tf.sign(x),
    "bitwise_invert": _bitwise(tf.bitwise.invert, tf.logical_not),
}


def _operator(kernel: Callable, reflected: bool = False) -> Callable:
    def method(self, other):
        try:
            pair = operands(other, self) if reflected else operands(self, other)
        except TypeError:
            if type(other) is Array or isinstance(other, (tf.Tensor, tf.Variable)):
                raise  # the message says which dtypes do not mix; any other error means that `other` is no array
            return NotImplemented
        return Array(kernel(*pair))

    return method


add_operators(
    Array, lambda name: lambda x: Array(UNARY[name](x.tensor)), lambda name, right: _operator(BINARY[name], right)
)


# -- indexing ----------------------------------------------------------------------------------------------------------


def index(x: tf.Tensor, key: Any) -> tf.Tensor:
    """`x[key]` by the standard's rules, and by NumPy's where integer arrays and slices are mixed."""
    keys = [_plain(k) for k in (key if isinstance(key, tuple) else (key,))]
    masks = [k for k in keys if isinstance(k, tf.Tensor) and k.dtype.is_bool]
    consumed = sum(
        k.shape.rank if isinstance(k, tf.Tensor) and k.dtype.is_bool else k is not None and k is not Ellipsis
        for k in keys
    )
    dots = [i for i, k in enumerate(keys) if k is Ellipsis] or [len(keys)]
    if len(dots) > 1 or consumed > x.shape.rank:
        raise IndexError(f"Too many indices for an array of {x.shape.rank} axes.")
    keys[dots[0] : dots[0] + 1] = [slice(None)] * (x.shape.rank - consumed)
    if masks:
        return _masked(x, keys)
    if not any(isinstance(k, tf.Tensor) and k.shape.rank for k in keys):
        return _basic(x, keys)
    return _gathered(x, keys)


def _plain(key: Any) -> Any:
    """One part of a key, in TensorFlow's own terms."""
    if isinstance(key, slice):
        return slice(*(None if k is None else _plain(k) for k in (key.start, key.stop, key.step)))
    if key is None or key is Ellipsis:
        return key
    if isinstance(key, (bool, np.bool_)):
        return tf.constant(bool(key))
    if isinstance(key, (list, np.ndarray)):
        key = tf.convert_to_tensor(key)
    elif not isinstance(key, (Array, tf.Tensor, tf.Variable)):
        return operator.index(key)
    key = raw(key)
    if not (key.dtype.is_integer or key.dtype.is_bool):
        raise IndexError(f"Indices must be integers or booleans, not {key.dtype.name}.")
    if key.dtype.is_bool or key.dtype in (tf.int32, tf.int64):
        return key
    return tf.cast(key, tf.int64 if key.dtype.size == 8 or key.dtype is tf.uint32 else tf.int32)


def _basic(x: tf.Tensor, keys: list) -> tf.Tensor:
    axis = 0
    for k in keys:
        if isinstance(k, int):
            n = x.shape[axis]
            if n is not None and not -n <= k < n:
                raise IndexError(f"Index {k} is out of bounds for axis {axis} of size {n}.")
        axis += k is not None
    whole = all(isinstance(k, slice) and _is_whole(k) for k in keys)
    return x if whole else x[tuple(keys)]


def _is_whole(key: slice) -> bool:
    return key.start is None and key.stop is None and key.step is None


def _masked(x: tf.Tensor, keys: list) -> tf.Tensor:
    arrays = [i for i, k in enumerate(keys) if isinstance(k, tf.Tensor)]
    if len(arrays) > 1:
        raise IndexError("A boolean mask must be the only array in an index.")
    (i,) = arrays
    mask, rest = keys[i], [slice(None) if j == i else k for j, k in enumerate(keys)]
    if not mask.shape.rank:
        # A boolean without axes keeps all or nothing, along a new axis.
        return tf.boolean_mask(tf.expand_dims(x, 0), tf.expand_dims(mask, 0))
    axis = sum(k is not None for k in keys[:i])
    x = tf.boolean_mask(x, mask, axis=axis)
    return _basic(x, rest)


def _gathered(x: tf.Tensor, keys: list) -> tf.Tensor:
    """Integer arrays among the keys: they and the integers beside them pick positions together."""
    picks = [isinstance(k, (int, tf.Tensor)) for k in keys]
    x = _basic(x, [slice(None) if pick else k for k, pick in zip(keys, picks, strict=True)])
    axes = [i for i, pick in enumerate(picks) if pick]
    sizes = dims(x)
    indices = []
    for axis in axes:
        k = tf.convert_to_tensor(keys[axis])
        indices.append(tf.where(k < 0, k + tf.cast(sizes[axis], k.dtype), k))
    together = axes == list(range(axes[0], axes[-1] + 1))
    if len(axes) == 1:
        return tf.gather(dense(x), indices[0], axis=axes[0])
    dtype = tf.int64 if any(k.dtype is tf.int64 for k in indices) else tf.int32
    shape = functools.reduce(tf.broadcast_dynamic_shape, map(tf.shape, indices))
    where = tf.stack([tf.broadcast_to(tf.cast(k, dtype), shape) for k in indices], axis=-1)
    rest = [i for i in range(len(keys)) if i not in axes]
    out = tf.gather_nd(dense(tf.transpose(x, axes + rest)), where)
    if not together or not axes[0]:
        return out
    n, before = where.shape.rank - 1, axes[0]
    return tf.transpose(out, [*range(n, n + before), *range(n), *range(n + before, out.shape.rank)])
