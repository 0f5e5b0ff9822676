"""Functions of the Array API standard made of other ones, for namespaces that have no kernel for them.

The tape, TensorFlow and OpenVINO take them from here. They are written in the standard, as ops are; sizes may be None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..arrays import device, namespace
from ..tracing.spec.shapes import natural, need, normal_axis, one_of
from . import results
from .standard import is_kind

__all__ = [
    "cross",
    "cumulative_prod",
    "diagonal",
    "det",
    "diff",
    "hypot",
    "matrix_norm",
    "matrix_power",
    "meshgrid",
    "outer",
    "std",
    "trace",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "vecdot",
    "vector_norm",
]


# -- products --------------------------------------------------------------------------------------------------------


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """`sum(conj(x1) * x2)` along `axis`, the others broadcasting."""
    fits = x1.ndim and x2.ndim and len({x1.shape[axis], x2.shape[axis]} - {None}) <= 1
    need(fits, "vecdot", x1, x2, expected=f"equal sizes along axis {axis}")
    xp = namespace(x1, x2)
    product = (xp.conj(x1) if is_kind(x1.dtype, "complex floating") else x1) * x2
    return xp.sum(product, axis=axis, dtype=product.dtype)


def outer(x1: Any, x2: Any, /) -> Any:
    need(x1.ndim == x2.ndim == 1, "outer", x1, x2, expected="one axis each")
    return namespace(x1, x2).expand_dims(x1, axis=1) * x2


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    need({x1.shape[axis], x2.shape[axis]} <= {3, None}, "cross", x1, x2, expected=f"sizes of 3 along axis {axis}")
    xp = namespace(x1, x2)

    def turned(x, by):
        return xp.roll(x, -by, axis=axis)

    return turned(x1, 1) * turned(x2, 2) - turned(x1, 2) * turned(x2, 1)


def matrix_power(x: Any, n: int, /) -> Any:
    """By repeated squaring."""
    xp = namespace(x)
    if n < 0:
        x, n = xp.linalg.inv(x), -n
    if n == 0:
        return xp.zeros_like(x) + xp.eye(x.shape[-1], dtype=x.dtype, device=device(x))
    out = None
    while n:
        if n % 2:
            out = x if out is None else xp.matmul(out, x)
        n //= 2
        x = xp.matmul(x, x) if n else x
    return out


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Every (columns + 1)-th element of a flat matrix; on OpenVINO 100 times faster than looking each of them up."""
    rows, columns = x.shape[-2:] if x.ndim > 1 else (None, None)
    need(None not in (rows, columns), "diagonal", x, expected="two axes or more, the last two of known sizes")
    count = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    first = offset if offset >= 0 else -offset * columns
    flat = namespace(x).reshape(x, (*[-1 if n is None else n for n in x.shape[:-2]], rows * columns))
    return flat[..., slice(first, first + (count - 1) * (columns + 1) + 1, columns + 1) if count else slice(0, 0)]


def det(x: Any, fixed: Any, singular: Any) -> Any:
    """The determinants of real matrices where `singular` holds, by their singular values, and 1 elsewhere.

    `fixed` is `x`, without a gradient. The derivatives are cofactors, which singular matrices have, too; the usual
    formula has the inverse in it.
    """
    xp = namespace(x)
    n = x.shape[-1]
    apart = xp.astype(xp.eye(n, device=device(x)), x.dtype) * (1 + xp.arange(n, dtype=x.dtype, device=device(x)))
    # Elsewhere, a matrix whose singular values differ.
    x, fixed = (xp.where(singular[..., None, None], a, apart) for a in (x, fixed))
    u, _, vh = xp.linalg.svd(fixed)
    turned = xp.linalg.slogdet(u).sign * xp.linalg.slogdet(vh).sign  # not `det`, which may be what calls this
    return xp.where(singular, turned * xp.prod(xp.linalg.svdvals(x), axis=-1), xp.ones_like(turned))


def zero_of(x: Any, singular: Any) -> Any:
    """0 where `singular` holds, made of the matrices `x`, and 1 elsewhere.

    Its logarithm is minus infinity there, with the derivative 0 / 0: `slogdet` has none at singular matrices.
    """
    xp = namespace(x)
    total = xp.sum(xp.real(x) if is_kind(x.dtype, "complex floating") else x, axis=(-2, -1))
    return xp.where(singular, 0 * total, xp.ones_like(total))


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    xp = namespace(x)
    return xp.sum(xp.linalg.diagonal(x, offset=offset), axis=-1, dtype=dtype)


# -- norms -----------------------------------------------------------------------------------------------------------


def root(x: Any) -> Any:
    """The square root; its derivative at 0 is taken to be 0."""
    xp = namespace(x)
    nothing = x == 0
    return xp.where(nothing, x, xp.sqrt(xp.where(nothing, xp.ones_like(x), x)))


def hypot(x1: Any, x2: Any, kernel: Any) -> Any:
    """`kernel(x1, x2)`, the root of the sum of squares, with derivatives at 0, taken to be 0, and at infinity."""
    xp = namespace(x1, x2)
    infinite = xp.isinf(x1)
    apart = infinite | xp.isinf(x2) | ((x1 == 0) & (x2 == 0))
    plain = kernel(*(xp.where(apart, xp.ones_like(x), x) for x in (x1, x2)))
    return xp.where(apart, xp.where(infinite, xp.abs(x1), xp.abs(x2)), plain)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:
    xp = namespace(x)
    options = {"axis": axis, "keepdims": keepdims}
    size = xp.abs(x)
    if ord == math.inf:
        return xp.max(size, **options)
    if ord == -math.inf:
        return xp.min(size, **options)
    if ord == 0:
        return xp.sum(xp.astype(size != 0, size.dtype), **options)
    if ord == 1:
        return xp.sum(size, **options)
    if ord == 2:
        return root(xp.sum(size * size, **options))
    total = xp.sum(size**ord, **options)
    # The derivative of this root is infinite at 0; that of the norm is taken to be 0.
    nothing = total == 0
    return xp.where(
        nothing, total if ord > 0 else total ** (1 / ord), xp.where(nothing, xp.ones_like(total), total) ** (1 / ord)
    )


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    one_of("matrix_norm", "ord", ord, ("fro", "nuc", 1, 2, math.inf, -1, -2, -math.inf))
    xp = namespace(x)
    if ord == "fro":
        return xp.linalg.vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        sums = xp.sum(xp.abs(x), axis=-2 if ord in (1, -1) else -1, keepdims=True)
        return (xp.max if ord > 0 else xp.min)(sums, axis=(-2, -1), keepdims=keepdims)
    fold = {2: xp.max, -2: xp.min, "nuc": xp.sum}[ord]
    out = fold(xp.linalg.svdvals(x), axis=-1)
    return out[..., None, None] if keepdims else out


# -- sums, differences, sets -----------------------------------------------------------------------------------------


def std(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    xp = namespace(x)
    return root(xp.var(x, axis=axis, correction=correction, keepdims=keepdims))


def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """Running products, by a scan that doubles its distance, so that derivatives are right where `x` is 0, too."""
    xp = namespace(x)
    x = x if dtype is None else xp.astype(x, dtype)
    axis = 0 if axis is None else axis
    y = xp.moveaxis(x, axis, 0)
    if include_initial:
        y = xp.concat([xp.ones((1, *y.shape[1:]), dtype=x.dtype, device=device(x)), y], axis=0)
    distance = 1
    while distance < y.shape[0]:
        y = xp.concat([y[:distance, ...], y[distance:, ...] * y[:-distance, ...]], axis=0)
        distance *= 2
    return xp.moveaxis(y, 0, axis)


def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    parts = [p for p in (prepend, x, append) if p is not None]
    xp = namespace(*parts)
    x = xp.concat(parts, axis=axis) if len(parts) > 1 else x
    before, subtract = (slice(None),) * normal_axis("diff", axis, x.ndim), not is_kind(x.dtype, "bool")
    for _ in range(natural("diff", "n", n)):
        later, earlier = x[(*before, slice(1, None), ...)], x[(*before, slice(None, -1), ...)]
        x = later - earlier if subtract else later != earlier
    return x


def unique_counts(x: Any, /) -> results.UniqueCounts:
    out = namespace(x).unique_all(x)
    return results.UniqueCounts(out.values, out.counts)


def unique_inverse(x: Any, /) -> results.UniqueInverse:
    out = namespace(x).unique_all(x)
    return results.UniqueInverse(out.values, out.inverse_indices)


def unique_values(x: Any, /) -> Any:
    return namespace(x).unique_all(x).values


# -- others ----------------------------------------------------------------------------------------------------------


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Any]:
    one_of("meshgrid", "indexing", indexing, ("xy", "ij"))
    xp, n = namespace(*arrays), len(arrays)
    places: Sequence[int] = (1, 0, *range(2, n)) if indexing == "xy" and n > 1 else range(n)
    spread = [xp.reshape(a, (1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, a in zip(places, arrays, strict=True)]
    return list(xp.broadcast_arrays(*spread))
