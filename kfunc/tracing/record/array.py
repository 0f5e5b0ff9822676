"""The array class of recordings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from .recording import CannotRecord, Named

if TYPE_CHECKING:
    from .backend import RecordBackend

__all__ = ["Recorded"]


class Recorded(Named):
    """What layers and ops see as an array while a function is recorded; each backend has a subclass."""

    __slots__ = ()
    __array_ufunc__ = None
    __array_priority__: ClassVar[float] = 1e6
    __hash__: ClassVar[None] = None  # type: ignore[assignment]
    backend: RecordBackend

    def __repr__(self) -> str:
        return f"Recorded({self.value!r}, name={self.name!r})"

    shape: property = property(lambda self: self.value.shape)
    dtype: property = property(lambda self: self.value.dtype)
    ndim: property = property(lambda self: self.value.ndim)
    size: property = property(lambda self: self.value.size)
    device: property = property(lambda self: self.backend.device(self))
    T = property(lambda self: self.backend.xp.permute_dims(self, tuple(range(self.ndim))[::-1]))
    mT: property = property(lambda self: self.backend.xp.matrix_transpose(self))

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return self.backend.xp

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        return self._asked(bool)

    def __int__(self) -> int:
        return self._asked(int)

    def __index__(self) -> int:
        return self._asked(int)

    def __float__(self) -> float:
        return self._asked(float)

    def __complex__(self) -> complex:
        return self._asked(complex)

    def _asked(self, kind: type) -> Any:
        """The value, as the answer to a question that the program will ask again."""
        if self.recording is None:
            return kind(self.value)
        with self.recording.inside():
            answer = kind(self.value)
        self.recording.expect(f"{kind.__name__}({{}})", self.name, answer)
        return answer

    def __getattr__(self, name: str) -> Any:
        # A function may ask whether there is such an attribute, and do otherwise if not.
        if not name.startswith("__") and hasattr(self.value, name):
            raise CannotRecord
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise CannotRecord

    __dlpack_device__: ClassVar[Callable[..., Any]]
    __torch_function__: ClassVar[Callable[..., Any]]
    __dlpack__ = __dlpack_device__ = __torch_function__ = __array__  # type: ignore[assignment]
