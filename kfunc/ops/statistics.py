"""Statistics that the standard lacks: quantiles, weighted means, histograms, correlation, differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..arrays import device, namespace
from ..errors import ArgumentError, ShapeError
from ..typing import Array
from . import segment, standard
from ._axes import normal_axes, normal_axis
from ._op import op
from ._promotion import cast, dtype_of, floating, in_single, lift, numeric, together
from .nans import without_nan

__all__ = [
    "average",
    "corrcoef",
    "correlate",
    "diff",
    "histogram",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "percentile",
    "ptp",
    "quantile",
    "trapezoid",
]

# -- quantiles -------------------------------------------------------------------------------------------------------

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _reduced_last(x, axis):
    """`x` with the axes to reduce made one, the last, and the shape of the result with these axes kept."""
    xp = namespace(x)
    if axis is None:
        return xp.reshape(x, (-1,)), (1,) * x.ndim
    axes = sorted(normal_axes(axis, x.ndim))
    kept = [n for n in range(x.ndim) if n not in axes]
    shape = tuple(1 if n in axes else -1 if x.shape[n] is None else x.shape[n] for n in range(x.ndim))
    if len(axes) == 1:
        return xp.moveaxis(x, axes[0], -1), shape
    moved = xp.permute_dims(x, (*kept, *axes))
    return xp.reshape(moved, (*(x.shape[n] for n in kept), math.prod(x.shape[n] for n in axes))), shape


@in_single
def _quantile(x, q, axis, method, keepdims, skip_nan):
    if method not in METHODS:
        raise ArgumentError.must_be("method", f"one of {', '.join(METHODS)}", method)
    x, q = lift(floating(x), q)
    xp = namespace(x, q)
    q = cast(q, dtype_of(x))
    if q.ndim > 1:
        raise ShapeError(
            f"`q` must be a number or a vector, got shape {tuple(q.shape)}.",
            argument="q",
            expected="() or (n,)",
            got=q.shape,
        )
    rows, kept = _reduced_last(x, axis)
    if rows.shape[-1] == 0:  # the quantiles of no elements are NaN
        rows = xp.full((*rows.shape[:-1], 1), math.nan, dtype=x.dtype, device=device(x))
    # NaN last, so that the numbers of a row are its first ones.
    filled, number = without_nan(rows, math.inf)
    ordered = xp.sort(filled, axis=-1)
    count = xp.sum(cast(number, dtype_of(x)), axis=-1, keepdims=True)
    q_ = xp.reshape(q, (-1,))
    possible = (q_ >= 0) & (q_ <= 1)
    position = xp.where(possible, q_, xp.zeros_like(q_)) * (count - 1)  # (..., probabilities)
    position = xp.maximum(position, xp.zeros_like(position))
    low = xp.floor(position)
    part = position - low
    if method == "nearest":
        low = xp.where(part > 0.5, low + 1, low)
    below = xp.take_along_axis(ordered, _index(xp, low), axis=-1)
    above = xp.take_along_axis(ordered, _index(xp, xp.ceil(position)), axis=-1)
    if method in ("lower", "nearest"):
        out = below
    elif method == "higher":
        out = above
    else:
        share = xp.full_like(part, 0.5) if method == "midpoint" else part
        # An infinite neighbour, times its share of 0, would be NaN.
        exact = low == position
        out = below + xp.where(exact, xp.zeros_like(part), share) * xp.where(exact, xp.zeros_like(part), above - below)
    full = xp.any(number, axis=-1, keepdims=True) if skip_nan else xp.all(number, axis=-1, keepdims=True)
    out = xp.where(full & possible, out, math.nan)
    if q.ndim == 0:
        return xp.reshape(out, kept) if keepdims else out[..., 0]
    out = xp.moveaxis(out, -1, 0)
    return xp.reshape(out, (q.shape[0], *kept)) if keepdims else out


def _index(xp, x):
    return xp.astype(x, xp.int32)


@op
def quantile(
    x: Array, q: Array, axis: int | Sequence[int] | None = None, method: str = "linear", keepdims: bool = False
) -> Array:
    """The numbers below which the share `q` of the elements lies; NaN where there is a NaN along `axis`.

    Args:
        x: Real numbers; integers are taken as float32.
        q: Probabilities in [0, 1], () or (n,); others give NaN.
        axis: An integer, several, or all by default.
        method: What is taken for a place between two neighbours: "linear" interpolates, "lower" and "higher" choose
            one, "nearest" the nearer (the lower, at equal distances), "midpoint" takes their mean.
        keepdims: Whether the axes stay, with size 1.

    Returns:
        The shape of `x` without `axis`; (n, ...) for several probabilities.
    """
    return _quantile(x, q, axis, method, keepdims, False)


@op
def nanquantile(
    x: Array, q: Array, axis: int | Sequence[int] | None = None, method: str = "linear", keepdims: bool = False
) -> Array:
    """`quantile` of the elements that are not NaN; NaN where all are NaN."""
    return _quantile(x, q, axis, method, keepdims, True)


@op
def percentile(
    x: Array, q: Array, axis: int | Sequence[int] | None = None, method: str = "linear", keepdims: bool = False
) -> Array:
    """`quantile`, for shares in per cent."""
    return _quantile(x, _hundredth(x, q), axis, method, keepdims, False)


@op
def nanpercentile(
    x: Array, q: Array, axis: int | Sequence[int] | None = None, method: str = "linear", keepdims: bool = False
) -> Array:
    """`nanquantile`, for shares in per cent."""
    return _quantile(x, _hundredth(x, q), axis, method, keepdims, True)


def _hundredth(x, q):
    return floating(lift(lift(x), q)[1]) / 100


@op
def median(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The middle number along `axis`, or the mean of the two in the middle; NaN where there is a NaN."""
    return _quantile(x, 0.5, axis, "linear", keepdims, False)


@op
def nanmedian(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """`median` of the elements that are not NaN; NaN where all are NaN."""
    return _quantile(x, 0.5, axis, "linear", keepdims, True)


# -- sums ------------------------------------------------------------------------------------------------------------


@op(single=True)
def average(x: Array, axis: int | Sequence[int] | None = None, weights: Array | None = None) -> Array:
    """The mean along `axis`, an integer, several, or all by default, weighted by `weights` if given.

    Args:
        x: Numbers; integers are taken as float32.
        weights: As many as `x` has elements, of its shape, or a vector along the one `axis`.
    """
    if weights is None:
        return standard.mean(x, axis=axis)
    x, weights = together(x, weights, least="f")
    xp = namespace(x, weights)
    if weights.ndim != x.ndim:
        if weights.ndim != 1 or not isinstance(axis, int):
            raise ShapeError(
                f"`weights` has shape {tuple(weights.shape)}, which does not fit that of x, {tuple(x.shape)}.",
                argument="weights",
                expected=f"{x.shape}, or a vector and the axis that it goes along",
                got=f"{weights.shape} and axis {axis}",
            )
        weights = xp.reshape(weights, tuple(-1 if n == normal_axis(axis, x.ndim) else 1 for n in range(x.ndim)))
    weights = xp.broadcast_to(weights, x.shape) if weights.shape != x.shape else weights
    return standard.sum(x * weights, axis=axis) / standard.sum(weights, axis=axis)


@op
def ptp(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The largest minus the least element along `axis`, an integer, several, or all by default."""
    x = numeric(x)
    return standard.max(x, axis=axis, keepdims=keepdims) - standard.min(x, axis=axis, keepdims=keepdims)


@op(grows=True)
def diff(a: Array, n: int = 1, axis: int = -1) -> Array:
    """The standard's `diff`: differences of neighbours along `axis`, taken `n` times."""
    a = lift(a)
    return namespace(a).diff(a, n=n, axis=axis)


@op(single=True)
def trapezoid(y: Array, x: Array | None = None, dx: float = 1.0, axis: int = -1) -> Array:
    """The integral of `y` along `axis` by the trapezoidal rule.

    Args:
        x: The places of the samples, of the shape of `y` or a vector along `axis`; by default `dx` apart.
    """
    if x is None:
        y = floating(y)
        xp = namespace(y)
        y = xp.moveaxis(y, axis, -1)
        return xp.sum(y[..., 1:] + y[..., :-1], axis=-1) * (dx / 2)
    y, x = together(y, x, least="f")
    xp = namespace(y, x)
    x = x if x.ndim == 1 else xp.moveaxis(x, axis, -1)
    y = xp.moveaxis(y, axis, -1)
    return xp.sum((x[..., 1:] - x[..., :-1]) * (y[..., 1:] + y[..., :-1]), axis=-1) / 2


@op(single=True)
def corrcoef(x: Array) -> Array:
    """Pearson's correlation of each two rows: (variables, observations) to (variables, variables); 1 for a vector."""
    x = floating(x)
    xp = namespace(x)
    rows = xp.reshape(x, (1, -1)) if x.ndim < 2 else x
    centred = rows - xp.mean(rows, axis=1, keepdims=True)
    products = xp.matmul(centred, xp.matrix_transpose(xp.conj(centred) if _is_complex(x) else centred))
    size = xp.sqrt(xp.sum(xp.real(centred * xp.conj(centred)) if _is_complex(x) else xp.square(centred), axis=1))
    size = cast(size, dtype_of(x))
    out = products / size / xp.expand_dims(size, axis=1)
    out = out if _is_complex(x) else xp.clip(out, -1.0, 1.0)
    return out[0, 0] if x.ndim < 2 else out


def _is_complex(x):
    return dtype_of(x).startswith("complex")


@op(single=True)
def correlate(x1: Array, x2: Array, mode: str = "valid") -> Array:
    """The sums `x1[i + n] * conj(x2[i])` over i, for each shift n: (n,) and (m,) to one number a shift.

    Args:
        mode: "valid" takes the shifts where the shorter lies within the longer, "full" all where they overlap, "same"
            the middle ones of these, as many as the longer has elements.

    Returns:
        (shifts,), floats or complex numbers.
    """
    x1, x2 = together(x1, x2, least="f")
    if mode not in ("valid", "same", "full"):
        raise ArgumentError.must_be("mode", "'valid', 'same' or 'full'", mode)
    if x1.ndim != 1 or x2.ndim != 1 or 0 in (x1.shape[0], x2.shape[0]):
        raise ShapeError(
            f"`x1` and `x2` must be vectors with elements, got shapes {tuple(x1.shape)} and {tuple(x2.shape)}.",
            argument="x1" if x1.ndim != 1 else "x2",
            expected="(n,) and (m,)",
            got=f"{x1.shape} and {x2.shape}",
        )
    xp = namespace(x1, x2)
    if _is_complex(x2):
        x2 = xp.conj(x2)
    n, m = x1.shape[0], x2.shape[0]
    short, long, reverse = (x2, x1, False) if n >= m else (x1, x2, True)
    k = min(n, m)
    before, after = {"valid": (0, 0), "same": (k // 2, k - 1 - k // 2), "full": (k - 1, k - 1)}[mode]
    ends = [xp.zeros((width,), dtype=x1.dtype, device=device(x1)) for width in (before, after)]
    padded = xp.concat([ends[0], long, ends[1]])
    shifts = max(n, m) + before + after - k + 1
    where = {"device": device(x1)}
    index = xp.expand_dims(xp.arange(shifts, **where), axis=1) + xp.arange(k, **where)
    windows = xp.reshape(xp.take(padded, xp.reshape(index, (-1,))), (shifts, k))
    out = xp.matmul(windows, short)
    return xp.flip(out) if reverse else out


@op
def histogram(x: Array, bins: int = 10, range: tuple[float, float] | None = None) -> tuple[Array, Array]:
    """How many elements of a vector lie in each of `bins` intervals of one width, and the intervals' borders.

    Args:
        range: (least, largest) border; by default the least and the largest element. Elements outside are not counted.

    Returns:
        (counts, borders): (bins,) integers and (bins + 1,) floats. The last interval holds its right border too.
    """
    x = floating(x)
    xp = namespace(x)
    if not isinstance(bins, int) or bins < 0:
        raise ArgumentError.must_be("bins", "an integer from 0", bins)
    if x.ndim != 1:
        raise ShapeError(
            f"`x` must be a vector, got shape {tuple(x.shape)}.", argument="x", expected="(n,)", got=x.shape
        )
    if range is not None and (len(range) != 2 or not range[0] <= range[1]):
        raise ArgumentError.must_be("range", "(least, largest)", range)
    if range is None and x.shape[0] != 0:
        low, high = xp.min(x), xp.max(x)
    else:
        low, high = (xp.full((), float(v), dtype=x.dtype, device=device(x)) for v in range or (0, 1))
    flat = low == high
    low, high = xp.where(flat, low - 0.5, low), xp.where(flat, high + 0.5, high)
    step = xp.arange(bins + 1, dtype=x.dtype, device=device(x)) / max(bins, 1)
    borders = low * (1 - step) + high * step
    bin_ = xp.searchsorted(borders, x, side="right") - 1
    bin_ = xp.where(x == high, xp.full_like(bin_, bins - 1), bin_)
    bin_ = xp.where(xp.isnan(x) | (x > high), xp.full_like(bin_, -1), bin_)
    return segment.segment_sum(xp.ones_like(bin_), bin_, bins), borders
