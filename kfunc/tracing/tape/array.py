"""The array class of the tape."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import UnsupportedError

if TYPE_CHECKING:
    from .backend import TapeBackend
    from .nodes import Node

__all__ = ["TapeArray", "base", "is_tracked", "read", "reads"]

reads: set[int] = set()
"""The levels of which somebody has read values. Each run of a function has a level of its own, and forgets it."""


class TapeArray:
    """An array that remembers how it was made; each backend has a subclass of its own, which has the operators.

    Attributes:
        value: What it holds: an array of the backend, or a tape array of a lower level.
        level: The level that it belongs to; 0 if it is a constant for all levels.
        node: The operation that made it; None if it is a constant.
    """

    __slots__ = ("level", "node", "value")
    __array_ufunc__ = None
    __array_priority__: ClassVar[float] = 1e6
    __hash__: ClassVar[None] = None  # type: ignore[assignment]
    backend: TapeBackend

    def __init__(self, value: Any, level: int = 0, node: Node | None = None) -> None:
        self.value: Any = value
        self.level: int = level
        self.node: Node | None = node

    def __repr__(self) -> str:
        return f"TapeArray({self.value!r}, level={self.level})"

    shape: property = property(lambda self: self.value.shape)
    dtype: property = property(lambda self: self.value.dtype)
    ndim: property = property(lambda self: self.value.ndim)
    size: property = property(lambda self: self.value.size)
    device: property = property(lambda self: self.backend.device(self))
    T = property(lambda self: self.backend.xp.permute_dims(self, tuple(range(self.ndim))[::-1]))
    mT: property = property(lambda self: self.backend.xp.matrix_transpose(self))

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return self.backend.xp

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        options = {} if stream is None else {"stream": stream}
        return self if device == self.device else self.backend.xp._to_device(self, device, **options)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self._must_not_be_tracked("NumPy")
        x = self.backend.to_numpy(self)
        return x if dtype is None else x.astype(dtype)

    def _must_not_be_tracked(self, whom: str) -> None:
        if is_tracked(self):
            raise UnsupportedError(
                f"An array that is being differentiated was handed to {whom}, and would lose its gradient.",
                argument="x",
                fix="use the functions of kf.namespace(x), or kf.to_numpy(x) if no gradient is wanted",
            )

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        self._must_not_be_tracked("another library")
        options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        return base(self).__dlpack__(**{k: v for k, v in options.items() if v is not None})

    def __dlpack_device__(self) -> Any:
        return base(self).__dlpack_device__()

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.value)

    def __int__(self) -> int:
        return int(read(self))

    def __float__(self) -> float:
        return float(read(self))

    def __complex__(self) -> complex:
        return complex(read(self))

    def __index__(self) -> int:
        return operator.index(read(self))


def read(x: Any) -> Any:
    """The plain array below `x`, whose values leave the tape."""
    while isinstance(x, TapeArray):
        if x.level > 0:
            reads.add(x.level)
        x = x.value
    return x


def base(x: Any) -> Any:
    """The plain array that a tape array holds, below all levels; anything else comes back as it is."""
    while isinstance(x, TapeArray):
        x = x.value
    return x


def is_tracked(x: Any) -> bool:
    """Whether a gradient flows through `x`, at any level."""
    return isinstance(x, TapeArray) and x.level > 0
