"""Products of vectors, matrices and arrays, and distances, beside `matmul`."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import namespace
from ..errors import ShapeError
from ..tracing.spec import Spec
from ..typing import Array
from ._axes import sizes_of
from ._op import op
from ._promotion import kind, together

__all__ = ["cdist", "cross", "dot", "inner", "kron", "outer", "tensordot", "vdot"]


@op
def tensordot(x1: Array, x2: Array, axes: int | Sequence[int | Sequence[int]] = 2) -> Array:
    """Sums of products over the last `axes` axes of `x1` and the first ones of `x2`, or over the axes in two lists."""
    x1, x2 = together(x1, x2, least="i")
    axes = axes if isinstance(axes, int) else tuple((a,) if isinstance(a, int) else tuple(a) for a in axes)
    return namespace(x1, x2).tensordot(x1, x2, axes=axes)


@op
def dot(x1: Array, x2: Array) -> Array:
    """Sums over the last axis of `x1` and the last but one of `x2`, or its only one; a product with a number."""
    x1, x2 = together(x1, x2, least="i")
    xp = namespace(x1, x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return x1 * x2
    if x1.ndim <= 2 and x2.ndim <= 2:
        return xp.matmul(x1, x2)
    return xp.tensordot(x1, x2, axes=((x1.ndim - 1,), (max(x2.ndim - 2, 0),)))


@op
def inner(x1: Array, x2: Array) -> Array:
    """Sums over the last axes: (..., n) and (*other, n) to (..., *other); a product with a number."""
    x1, x2 = together(x1, x2, least="i")
    if x1.ndim == 0 or x2.ndim == 0:
        return x1 * x2
    return namespace(x1, x2).tensordot(x1, x2, axes=((x1.ndim - 1,), (x2.ndim - 1,)))


@op
def outer(x1: Array, x2: Array) -> Array:
    """Each element of `x1` times each of `x2`: (elements of x1, elements of x2)."""
    x1, x2 = together(x1, x2, least="i")
    xp = namespace(x1, x2)
    return xp.reshape(x1, (-1, 1)) * xp.reshape(x2, (1, -1))


@op
def vdot(x1: Array, x2: Array) -> Array:
    """The sum of `conj(x1) * x2` over all elements, in order: ()."""
    x1, x2 = together(x1, x2, least="i")
    xp = namespace(x1, x2)
    x1 = xp.conj(x1) if kind(x1) == "c" else x1
    return xp.matmul(xp.reshape(x1, (-1,)), xp.reshape(x2, (-1,)))


@op
def cross(x1: Array, x2: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Array:
    """The cross product of vectors of three components, or of two, whose third is 0.

    Args:
        axisa, axisb, axisc: The axes of the components in `x1`, `x2` and the result.
        axis: One for all three, in their place.

    Returns:
        (..., 3), where the other axes broadcast; of two vectors of two components, the third component alone, (...).
    """
    x1, x2 = together(x1, x2, least="i")
    xp = namespace(x1, x2)
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2 = xp.moveaxis(x1, axisa, -1), xp.moveaxis(x2, axisb, -1)
    if not {x1.shape[-1], x2.shape[-1]} <= {2, 3}:
        raise ShapeError(
            f"`x1` and `x2` must have 2 or 3 components, got {x1.shape[-1]} and {x2.shape[-1]}.",
            argument="x1" if x1.shape[-1] not in (2, 3) else "x2",
            expected="2 or 3 along the axis",
            got=f"{x1.shape[-1]} and {x2.shape[-1]}",
        )
    (a0, a1, *a2), (b0, b1, *b2) = ([x[..., n] for n in range(x.shape[-1])] for x in (x1, x2))
    third = a0 * b1 - a1 * b0
    if not a2 and not b2:
        return third
    zero = xp.zeros_like(third)
    a2, b2 = (a2[0] if a2 else zero), (b2[0] if b2 else zero)
    return xp.moveaxis(xp.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, third], axis=-1), -1, axisc)


@op
def kron(x1: Array, x2: Array) -> Array:
    """Kronecker's product: blocks of `x2`, each times an element of `x1`; axis by axis the product of their sizes."""
    x1, x2 = together(x1, x2, least="i")
    xp = namespace(x1, x2)
    rank = max(x1.ndim, x2.ndim)
    a, b = ((1,) * (rank - x.ndim) + sizes_of(x, *range(x.ndim)) for x in (x1, x2))
    blocks = xp.reshape(x1, tuple(m for n in a for m in (n, 1))) * xp.reshape(x2, tuple(m for n in b for m in (1, n)))
    return xp.reshape(blocks, tuple(n * m for n, m in zip(a, b, strict=True)))


@kron.shape_rule
def _kron_shape(x1, x2):
    x1, x2 = together(x1, x2, least="i")
    rank = max(x1.ndim, x2.ndim)
    pairs = zip(*((1,) * (rank - x.ndim) + tuple(x.shape) for x in (x1, x2)), strict=True)
    return Spec(tuple(None if None in (n, m) else n * m for n, m in pairs), x1.dtype)


@op(single=True)
def cdist(x: Array, y: Array) -> Array:
    """Euclidean distances, (..., n, features) and (..., m, features) to (..., n, m); the gradient at 0 is 0."""
    x, y = together(x, y, least="f")
    xp = namespace(x, y)
    if min(x.ndim, y.ndim) < 2 or x.shape[-1] != y.shape[-1]:
        raise ShapeError(
            f"`x` and `y` must have rows of one length, got shapes {tuple(x.shape)} and {tuple(y.shape)}.",
            argument="y",
            expected="(..., n, features) and (..., m, features)",
            got=f"{x.shape} and {y.shape}",
        )
    difference = xp.expand_dims(x, axis=-2) - xp.expand_dims(y, axis=-3)
    square = xp.sum(difference * difference, axis=-1)
    apart = square > 0
    distance = xp.sqrt(xp.where(apart, square, xp.ones_like(square)))
    return xp.where(apart, distance, square)
