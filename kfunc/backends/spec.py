"""Arrays that have a shape and a dtype and no values: what `init` runs on, and how shapes are found."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Spec"]


class Spec:
    """Shape and dtype of an array.

    Args:
        shape: Sizes; None where unknown, as in `(None, 28, 28, 1)`.
        dtype: Name of the dtype, or a dtype of any backend.
    """

    def __init__(self, shape: tuple[int | None, ...], dtype: Any = "float32"):
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)

    def __repr__(self) -> str:
        return f"Spec({self.shape}, {self.dtype.name!r})"
