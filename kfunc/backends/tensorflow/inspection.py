"""What the namespace says about itself."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ..standard import STANDARD
from .creation import zeros
from .dtypes import complex64, float32, int32, int64, isdtype

__all__ = [
    "__array_namespace_info__",
]


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
