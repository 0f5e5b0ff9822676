"""The backend of any other library whose arrays conform to the Array API standard."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Backend, Kind

__all__ = ["GenericBackend"]


class _Namespace:
    """A library's namespace, whose `take` gets the dtype of indices that the library prefers.

    The standard allows any integers there, but not all libraries do: ndonnx takes int64 alone.
    """

    def __init__(self, xp: Any):
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def __dir__(self) -> list[str]:
        return dir(self._xp)

    def take(self, x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
        dtype = self._xp.__array_namespace_info__().default_dtypes()["indexing"]
        return self._xp.take(x, self._xp.astype(indices, dtype, copy=False), axis=axis)


class GenericBackend(Backend):
    """The backend of an array class with `__array_namespace__`.

    Args:
        cls: The class.
        xp: The namespace, where it is known before the first array.
    """

    def __init__(self, cls: type[Any], xp: Any = None) -> None:
        super().__init__()
        self.cls = cls
        self._xp = xp
        self.name = cls.__module__.partition(".")[0]

    @property
    def xp(self) -> Any:
        if self._xp is None:
            # The standard wants an array here, but the answer does not depend on it.
            self._xp = _Namespace(self.cls.__array_namespace__(None))  # type: ignore[attr-defined]
        return self._xp

    def jit(self, fun: Any, *, static_argnames: Any = (), constant_argnums: Any = (), donate_argnums: Any = ()) -> Any:
        from ..tracing.record import RecordedFunction

        return RecordedFunction(self, fun)

    def kind(self, cls: Any) -> Any:
        return Kind(self) if issubclass(cls, self.cls) else None

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        dtype = None if dtype is None else getattr(self.xp, dtype)
        return self.xp.asarray(x, dtype=dtype, device=device)

    def to_numpy(self, x: Any) -> Any:
        # The standard's way is DLPack. Some libraries only have NumPy's protocol.
        try:
            return np.from_dlpack(x)
        except (AttributeError, TypeError, BufferError, RuntimeError):
            return np.asarray(x)
