"""Products of matrices."""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError
from . import reductions
from .array import Array, build, opset
from .casting import promote
from .manipulation import normal_axes

__all__ = ["matmul", "tensordot", "vecdot"]


def matmul(x1: Array, x2: Array, /) -> Array:
    a, b = promote(x1, x2)
    if not a.ndim or not b.ndim:
        raise ShapeError("matmul takes no scalars.", expected="one axis or more", got=(a.shape, b.shape))
    return build(opset.matmul, a.dtype, a, b, transpose_a=False, transpose_b=False)


def _einsum(*nodes: Any, subscripts: str) -> Any:
    return opset.einsum(list(nodes), subscripts)


def tensordot(x1: Array, x2: Array, /, *, axes: Any = 2) -> Array:
    if isinstance(axes, int):
        axes = (range(x1.ndim - axes, x1.ndim), range(axes))
    first, second = normal_axes(x1, tuple(axes[0])), normal_axes(x2, tuple(axes[1]))
    left = [chr(ord("a") + i) for i in range(x1.ndim)]
    right = [chr(ord("A") + i) for i in range(x2.ndim)]
    for i, j in zip(first, second, strict=True):
        right[j] = left[i]
    kept = [c for i, c in enumerate(left) if i not in first] + [c for j, c in enumerate(right) if j not in second]
    a, b = promote(x1, x2)
    subscripts = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
    return build(_einsum, a.dtype, a, b, subscripts=subscripts)


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    return reductions.sum(x1 * x2, axis=axis)
