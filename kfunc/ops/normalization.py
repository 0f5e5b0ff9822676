"""Normalisation: moments, and arrays scaled by them."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import namespace
from ..errors import ArgumentError, ShapeError
from ..tracing.spec.inspection import finfo
from ..transforms import stop_gradient
from ..typing import Array
from ._axes import normal_axis
from ._op import op
from ._promotion import cast, dtype_of, floating
from .manipulation import join_last, split_last

__all__ = [
    "batch_normalization",
    "group_normalization",
    "layer_normalization",
    "moments",
    "normalize",
    "normalize_batch",
    "rms_normalization",
]

EPSILON = 1e-7
"""Keras's default."""


def _axes(axis):
    return (axis,) if isinstance(axis, int) else tuple(axis)


def wide(x: Array) -> tuple[Array, str]:
    """`x` in float32 at least, as half precision does not hold sums of squares; and the name of its own dtype."""
    x = floating(x)
    own = dtype_of(x)
    return (cast(x, "float32") if own in ("float16", "bfloat16") else x), own


@op
def moments(x: Array, axes: int | Sequence[int], keepdims: bool = False) -> tuple[Array, Array]:
    """Mean and (biased) variance of `x` over `axes`, an integer or several.

    Half precision is summed in float32, and a finite result that it does not hold becomes its largest number.
    """
    x, own = wide(x)
    xp, axes = namespace(x), _axes(axes)
    mean = xp.mean(x, axis=axes, keepdims=True)
    variance = xp.mean((x - mean) * (x - mean), axis=axes, keepdims=keepdims)
    if dtype_of(x) != own:
        most = finfo(own).max
        variance = xp.where(xp.isfinite(variance), xp.minimum(variance, xp.full_like(variance, most)), variance)
    return cast(mean if keepdims else xp.squeeze(mean, axis=axes), own), cast(variance, own)


@op
def batch_normalization(
    x: Array,
    mean: Array,
    variance: Array,
    axis: int,
    offset: Array | None = None,
    scale: Array | None = None,
    epsilon: float = 1e-3,
) -> Array:
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset` along `axis` (Ioffe and Szegedy, arXiv:1502.03167).

    Args:
        x: An array whose size along `axis` is `features`.
        mean, variance: (features,).
        offset, scale: (features,) or None.
    """
    x = floating(x)
    xp = namespace(x, mean)
    factor = 1 / xp.sqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    if normal_axis(axis, x.ndim) != x.ndim - 1:
        shape = (-1,) + (1,) * (x.ndim - 1 - axis % x.ndim)
        mean, factor = xp.reshape(mean, shape), xp.reshape(factor, shape)
        offset = None if offset is None else xp.reshape(offset, shape)
    out = (x - mean) * factor
    return out if offset is None else out + offset


@op
def normalize_batch(
    x: Array, offset: Array | None = None, scale: Array | None = None, axis: int = -1, epsilon: float = 1e-3
) -> tuple[Array, Array, Array]:
    """`batch_normalization` by the moments of `x` itself, as in training.

    Returns:
        (out, mean, variance): as `x`, (features,), (features,); the moments carry no gradient.
    """
    x, own = wide(x)
    axes = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    offset, scale = (None if v is None else cast(v, dtype_of(x)) for v in (offset, scale))
    mean, variance = moments(x, axes)
    out = batch_normalization(x, mean, variance, axis, offset, scale, epsilon)
    return cast(out, own), cast(stop_gradient(mean), own), cast(stop_gradient(variance), own)


def along(x: Array, axes: tuple[int, ...], v: Array | None) -> Array | None:
    """`v`, of the shape of `x` along `axes`, so that it broadcasts to `x`."""
    if v is None or (v.ndim == 1 and axes in ((-1,), (x.ndim - 1,))):
        return v
    kept = {a % x.ndim for a in axes}
    return namespace(v).reshape(v, tuple(n if i in kept else 1 for i, n in enumerate(x.shape)))


@op
def layer_normalization(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> Array:
    """`x` with mean 0 and variance 1 along `axis`, times `gamma`, plus `beta` (Ba et al., arXiv:1607.06450).

    Args:
        x: An array of any shape; half precision is computed in float32.
        gamma, beta: Arrays with the shape of `x` along `axis`, or None.
        axis: An integer, or several.
        epsilon: Added to the variance; 1e-7 by default.
    """
    x, own = wide(x)
    axes = _axes(axis)
    mean, variance = moments(x, axes, keepdims=True)
    out = (x - mean) * (1 / namespace(x).sqrt(variance + (EPSILON if epsilon is None else epsilon)))
    return cast(_scaled(x, axes, out, gamma, beta), own)


def _scaled(x, axes, out, gamma, beta=None):
    gamma, beta = (None if v is None else cast(v, dtype_of(x)) for v in (gamma, beta))
    out = out if gamma is None else out * along(x, axes, gamma)
    return out if beta is None else out + along(x, axes, beta)


@op
def group_normalization(
    x: Array,
    groups: int,
    gamma: Array | None = None,
    beta: Array | None = None,
    axis: int = -1,
    epsilon: float | None = None,
) -> Array:
    """`x` with mean 0 and variance 1 in each of `groups` parts of the features of a sample, times `gamma`, plus `beta`.

    Wu and He, arXiv:1803.08494.

    Args:
        x: An array (batch, ...) with `features` along `axis`; half precision is computed in float32.
        groups: An integer that divides the features.
        gamma, beta: (features,) or None.
        axis: An integer, not the batch's.
        epsilon: Added to the variance; 1e-7 by default.

    Raises:
        ShapeError: The groups do not divide the features, or the number of features is not known.
    """
    x, own = wide(x)
    axis = axis % x.ndim
    features = x.shape[axis]
    if axis == 0 or features is None or groups < 1 or features % groups:
        raise ShapeError(
            f"The features along axis {axis} of shape {tuple(x.shape)} cannot be divided into `groups={groups}`.",
            argument="groups",
            expected=f"a known number of features along an axis after the first, a multiple of {groups}",
            got=f"{tuple(x.shape)}, axis {axis}",
        )
    xp = namespace(x)
    known = None not in x.shape[1:]
    if known:
        place, parts = axis, xp.reshape(x, (-1, *x.shape[1:axis], groups, features // groups, *x.shape[axis + 1 :]))
    else:  # a reshape takes one unknown size only
        place, parts = x.ndim - 1, split_last(xp.moveaxis(x, axis, -1), (groups, features // groups))
    mean, variance = moments(parts, tuple(i for i in range(1, parts.ndim) if i != place), keepdims=True)
    out = (parts - mean) * (1 / xp.sqrt(variance + (EPSILON if epsilon is None else epsilon)))
    out = xp.reshape(out, (-1, *x.shape[1:])) if known else xp.moveaxis(join_last(out), -1, axis)
    return cast(_scaled(x, (axis,), out, gamma, beta), own)


@op
def rms_normalization(
    x: Array, scale: Array | None = None, axis: int | Sequence[int] = -1, epsilon: float | None = None
) -> Array:
    """`x` divided by its root mean square along `axis`, times `scale` (Zhang and Sennrich, arXiv:1910.07467).

    Args:
        x: An array of any shape; half precision is computed in float32.
        scale: An array with the shape of `x` along `axis`, or None.
        axis: An integer, or several.
        epsilon: Added to the mean square; 1e-7 by default.
    """
    x, own = wide(x)
    axes, xp = _axes(axis), namespace(x)
    square = xp.mean(x * x, axis=axes, keepdims=True)
    return cast(_scaled(x, axes, x * (1 / xp.sqrt(square + (EPSILON if epsilon is None else epsilon))), scale), own)


@op(single=True)
def normalize(x: Array, axis: int | Sequence[int] | None = -1, order: int = 2, epsilon: float | None = None) -> Array:
    """`x` divided by its norm of that order along `axis`, or by `epsilon` (1e-7 by default) where that is larger.

    Args:
        x: An array of any shape.
        axis: An integer, several, or None for all.
        order: A positive integer.

    Raises:
        ArgumentError: `order` is no positive integer.
    """
    if not isinstance(order, int) or order < 1:
        raise ArgumentError.must_be("order", "a positive integer", order)
    x = floating(x)
    xp = namespace(x)
    epsilon = EPSILON if epsilon is None else epsilon
    axis = tuple(axis) if isinstance(axis, list) else axis
    x = xp.reshape(x, (1,)) if x.ndim == 0 else x
    terms = x * x if order == 2 else xp.abs(x) if order == 1 else xp.abs(x) ** order
    power = xp.sum(terms, axis=axis, keepdims=True)
    # The gradient of a root is infinite at 0, so no root is taken there.
    small = power <= epsilon**order
    safe = xp.where(small, xp.ones_like(power), power)
    norm = safe if order == 1 else xp.sqrt(safe) if order == 2 else safe ** (1 / order)
    return x / xp.where(small, xp.full_like(power, epsilon), norm)
