"""Normalization layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..errors import ShapeError
from .layer import Layer, layer
from .scope import Scope

__all__ = ["BatchNormalization", "LayerNormalization"]


def _size(x, axis: int) -> int:
    if not -x.ndim <= axis < x.ndim or x.shape[axis] is None:
        raise ShapeError(
            "The axis to normalise has no known size.",
            argument="axis",
            expected=f"an axis of the input, of known size; the input has shape {tuple(x.shape)}",
            got=axis,
        )
    return x.shape[axis]


@layer
class BatchNormalization(Layer):
    """Mean 0 and variance 1 along `axis`, over all other axes, then `* gamma + beta`; any shape.

    Training uses the batch's own moments, and moves `moving_mean` and `moving_variance`, which inference uses
    (Ioffe and Szegedy, arXiv:1502.03167).

    Args:
        axis: The axis of the features.
        momentum: How much of the moving moments a step keeps.
        epsilon: Added to the variance.
        center, scale: Whether there are `beta` and `gamma`.
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"
    moving_mean_initializer: Any = "zeros"
    moving_variance_initializer: Any = "ones"

    def forward(self, s: Scope, x):
        shape = (_size(x, self.axis),)
        beta = s.param("beta", shape, self.beta_initializer) if self.center else None
        gamma = s.param("gamma", shape, self.gamma_initializer) if self.scale else None
        mean = s.state("moving_mean", shape, self.moving_mean_initializer)
        variance = s.state("moving_variance", shape, self.moving_variance_initializer)
        if s.train:
            out, batch_mean, batch_variance = ops.normalize_batch(x, beta, gamma, self.axis, self.epsilon)
            s.set("moving_mean", _moved(mean, batch_mean, self.momentum))
            s.set("moving_variance", _moved(variance, batch_variance, self.momentum))
            return out
        return ops.batch_normalization(x, mean, variance, self.axis, beta, gamma, self.epsilon)


def _moved(old, new, momentum):
    # The traced one goes first: some libraries' operators refuse a foreign right side and never ask it.
    return new * (1 - momentum) + old * momentum


@layer
class LayerNormalization(Layer):
    """Mean 0 and variance 1 along `axis`, then `* gamma + beta`; any shape (Ba et al., arXiv:1607.06450).

    Args:
        axis: An integer, or a tuple of them.
        epsilon: Added to the variance.
        center, scale: Whether there are `beta` and `gamma`, of the input's sizes along `axis`.
    """

    axis: int | tuple[int, ...] = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"

    def forward(self, s: Scope, x):
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        shape = tuple(_size(x, axis) for axis in axes)
        gamma = s.param("gamma", shape, self.gamma_initializer) if self.scale else None
        beta = s.param("beta", shape, self.beta_initializer) if self.center else None
        return ops.layer_normalization(x, gamma, beta, self.axis, self.epsilon)
