"""What kfunc asks of NumPy."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from ..base import CONSTANT, SCALAR, Backend, Kind
from ..standard import plain
from .constant import Constant, constant

__all__ = ["NumpyBackend", "backend"]


_ARRAYS = np.ndarray, np.generic


class NumpyBackend(Backend):
    name = "numpy"
    joins = True
    large: int | None = 1 << 23

    @functools.cached_property
    def xp(self) -> Any:
        import array_api_compat.numpy

        return array_api_compat.numpy

    @property
    def version(self) -> Any:
        return np.__version__

    def kind(self, cls: Any) -> Any:
        if issubclass(cls, np.ndarray):
            return Kind(self, rank=CONSTANT if issubclass(cls, Constant) else 0)
        # A NumPy scalar is what NumPy's own reductions return; beside another backend's arrays it is just a number.
        return Kind(self, rank=SCALAR) if issubclass(cls, np.generic) else None

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        return np.asarray(x, dtype=dtype)

    def further_dtype(self, name: str) -> Any:
        # Arrays of these dtypes come from ml_dtypes: a file, or another framework, has imported it.
        found = getattr(sys.modules.get("ml_dtypes"), name, None)
        return super().further_dtype(name) if found is None else np.dtype(found)

    shares = True

    def to_numpy(self, x: Any) -> Any:
        return np.asarray(x)

    def device(self, x: Any) -> Any:
        return "cpu"

    def constant(self, x: Any) -> Any:
        return constant(x)

    def jit(self, fun: Any, *, static_argnames: Any = (), constant_argnums: Any = (), donate_argnums: Any = ()) -> Any:
        from ...tracing.record import RecordedFunction

        return RecordedFunction(self, fun)

    def extent(self, x: Any) -> Any:
        return np.lib.array_utils.byte_bounds(x)

    def released(self, x: Any) -> Any:
        return np.array(x, order="C") if isinstance(x, np.ndarray) else x

    @functools.cached_property
    def stand_in(self) -> Any:
        from .inside import StandIn

        return StandIn

    def form(self, leaves: Any) -> Any:
        return tuple([(x.__class__, x.shape, x.dtype) if isinstance(x, _ARRAYS) else plain(x) for x in leaves])

    def index_add(self, x: Any, key: Any, values: Any) -> None:
        keys = key if isinstance(key, tuple) else (key,)
        # Only lists and arrays of integers can name an element twice.
        if any(isinstance(k, list) or (isinstance(k, np.ndarray) and k.dtype.kind != "b") for k in keys):
            np.add.at(x, key, values)
        else:
            x[key] += values


backend: NumpyBackend = NumpyBackend()
