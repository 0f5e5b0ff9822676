"""Normalisation: moments, and what the layers do with them."""

from __future__ import annotations

from ..arrays import namespace
from ..transforms import stop_gradient
from ._op import op

__all__ = ["batch_normalization", "layer_normalization", "moments", "normalize_batch"]


@op
def moments(x, axes, keepdims=False):
    """Mean and (biased) variance of `x` over `axes`, a tuple of integers."""
    xp = namespace(x)
    mean = xp.mean(x, axis=axes, keepdims=True)
    variance = xp.mean((x - mean) * (x - mean), axis=axes, keepdims=keepdims)
    return (mean if keepdims else xp.squeeze(mean, axis=axes)), variance


@op
def batch_normalization(x, mean, variance, offset=None, scale=None, axis=-1, epsilon=1e-3):
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset` along `axis` (Ioffe and Szegedy, arXiv:1502.03167).

    Args:
        x: An array whose size along `axis` is `features`.
        mean, variance: (features,).
        offset, scale: (features,) or None.
    """
    xp = namespace(x, mean)
    factor = 1 / xp.sqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    if axis % x.ndim != x.ndim - 1:
        shape = (-1,) + (1,) * (x.ndim - 1 - axis % x.ndim)
        mean, factor = xp.reshape(mean, shape), xp.reshape(factor, shape)
        offset = None if offset is None else xp.reshape(offset, shape)
    out = (x - mean) * factor
    return out if offset is None else out + offset


@op
def normalize_batch(x, offset=None, scale=None, axis=-1, epsilon=1e-3):
    """`batch_normalization` by the moments of `x` itself, as in training.

    Returns:
        (out, mean, variance): as `x`, (features,), (features,); the moments carry no gradient.
    """
    axes = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    mean, variance = moments(x, axes)
    out = batch_normalization(x, mean, variance, offset, scale, axis, epsilon)
    return out, stop_gradient(mean), stop_gradient(variance)


@op
def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=1e-3):
    """`x` with mean 0 and variance 1 along `axis`, times `gamma`, plus `beta` (Ba et al., arXiv:1607.06450).

    Args:
        x: An array of any shape.
        gamma, beta: Arrays with the shape of `x` along `axis`, or None.
        axis: An integer, or a tuple of the last axes.
    """
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    xp = namespace(x)
    mean, variance = moments(x, axes, keepdims=True)
    out = (x - mean) / xp.sqrt(variance + epsilon)
    if gamma is not None or beta is not None:
        kept = {a % x.ndim for a in axes}
        shape = tuple(n if i in kept else 1 for i, n in enumerate(x.shape))
        out = out if gamma is None else out * xp.reshape(gamma, shape)
        out = out if beta is None else out + xp.reshape(beta, shape)
    return out
