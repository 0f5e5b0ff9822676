"""The array that has a shape and a dtype, and no values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from ...backends.constants import common, joined
from ...backends.standard import add_operators, promote
from ...errors import ArgumentError, UnsupportedError, shown
from .dtypes import SCALARS, dtype_name
from .shapes import Shape, as_shape, need

__all__ = ["Spec", "as_operand", "as_spec", "make"]


class Spec:
    """The shape and the dtype of an array, without values. It works as an array of the Array API standard does.

    Args:
        shape: Sizes; None where unknown, as in `(None, 28, 28, 1)`.
        dtype: Name of the dtype, or a dtype of any backend.

    Raises:
        ArgumentError: A size is neither None nor a natural number, or there is no such dtype.
    """

    __slots__ = ("dtype", "shape")
    __hash__: ClassVar[None] = None  # type: ignore[assignment]
    __array_ufunc__ = None  # So that NumPy leaves mixed operators to this class.
    __array_priority__ = 1000

    shape: Shape
    dtype: str

    def __init__(self, shape: Iterable[int | None], dtype: Any = "float32") -> None:
        self.shape = as_shape("Spec", shape)
        self.dtype = dtype_name(dtype)

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
        need(self.ndim == 2, "T", self, expected="two axes", fix="use xp.matrix_transpose or xp.permute_dims")
        return make(self.shape[::-1], self.dtype)

    @property
    def mT(self) -> Spec:
        return self.__array_namespace__().matrix_transpose(self)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Spec:
        return self

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        from . import namespace  # here, since importing kfunc would take longer with it

        return namespace

    def __getitem__(self, index: Any) -> Spec:
        return self.__array_namespace__()._getitem(self, index)

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            raise _unknown_value("The length", "iterate over an axis whose size is known")
        return self.shape[0]

    def __iter__(self) -> Iterator[Spec]:
        return iter([make(self.shape[1:], self.dtype)] * len(self))

    def _no_value(self, *args: Any, **kwargs: Any) -> Any:
        raise _unknown_value(
            "The value of an array",
            "choose by xp.where(condition, a, b) or kf.cond, or by a Python bool such as s.train; "
            "to give the value to NumPy, do it outside of the network",
        )

    __bool__: Callable[..., Any]
    __int__: Callable[..., Any]
    __float__: Callable[..., Any]
    __complex__: Callable[..., Any]
    __index__: Callable[..., Any]
    __array__: Callable[..., Any]
    __dlpack__: Callable[..., Any]
    __dlpack_device__: Callable[..., Any]
    __bool__ = __int__ = __float__ = __complex__ = __index__ = __array__ = __dlpack__ = __dlpack_device__ = _no_value

    def __setitem__(self, key: Any, value: Any) -> None:
        raise UnsupportedError(
            f"The elements {key} of an array were assigned to while shapes are found, which not every backend can do.",
            argument="key",
            expected="code that makes new arrays",
            got=f"an assignment to {key}",
            fix="make a new array with xp.where or xp.concat",
        )


def _unknown_value(what: str, fix: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what} is not known while shapes are found: arrays have a shape and a dtype, and no values.",
        argument="x",
        expected="code that does not depend on values",
        got="a Spec",
        fix=fix,
    )


def make(shape: Shape, dtype: str) -> Spec:
    """A Spec of a shape and dtype that need no check."""
    out = object.__new__(Spec)
    out.shape, out.dtype = shape, dtype
    return out


def as_spec(name: str, x: Any) -> Spec:
    """`x`, an array of any backend, as a Spec."""
    if type(x) is Spec:
        return x
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return Spec(x.shape, x.dtype)
    raise ArgumentError(
        f"{name}: an array is needed, got {shown(x)}.",
        argument="x",
        expected="an array",
        got=repr(x),
        fix="make one: xp.asarray(x)",
    )


def as_operand(name: str, x: Any) -> Any:
    """`x`, an array or a Python scalar, as a Spec or a scalar of one of Python's own four types."""
    if type(x) is Spec or type(x) in SCALARS:
        return x
    if not hasattr(x, "shape"):
        for cls in SCALARS:
            if isinstance(x, cls):
                return cls(x)
    return as_spec(name, x)


def _unary(name: str) -> Callable:
    return lambda self: getattr(self.__array_namespace__(), name)(self)


def _together(x: Spec, constant: Any) -> tuple[Spec, Any]:
    """Operands of one kind of dtype, where one is a constant: libraries do mix kinds there."""
    dtype = getattr(constant, "dtype", None)
    if dtype is None or promote(x.dtype, dtype_name(dtype)) is not None:
        return x, constant
    dtype = common(x.dtype, dtype_name(dtype))
    return make(x.shape, dtype), make(constant.shape, dtype)


def _binary(name: str, reflected: bool) -> Callable:
    def method(self, other):
        if type(other) is not Spec and not (hasattr(other, "shape") or isinstance(other, (int, float, complex))):
            return NotImplemented
        function = getattr(self.__array_namespace__(), name)
        x, other = (self, other) if type(other) is Spec else _together(self, joined(other, self))
        return function(other, x) if reflected else function(x, other)

    return method


add_operators(Spec, _unary, _binary)
