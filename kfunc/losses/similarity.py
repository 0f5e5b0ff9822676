"""Losses of embeddings: embeddings of one class should lie near each other."""

from __future__ import annotations

from typing import ClassVar

from .. import ops
from ..arrays import namespace, native
from ..typing import Array
from .base import Loss, loss, real

__all__ = ["Circle", "circle"]

NEVER = -1e30
"""It stands for the logarithm of 0. With minus infinity the gradient would be NaN."""


@native
def circle(
    y_true: Array,
    y_pred: Array,
    ref_labels: Array | None = None,
    ref_embeddings: Array | None = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Array:
    """Circle loss: embeddings of one class are pulled together, the others apart (Sun et al., arXiv:2002.10857).

    Args:
        y_true: Classes, integers (batch,) or (batch, 1).
        y_pred: Embeddings of length 1, (batch, features).
        ref_labels, ref_embeddings: The classes and embeddings to compare with, (references,) and (references,
            features); by default the batch itself.
        remove_diagonal: Whether the n-th sample is not compared with the n-th reference, since they are the same.
        gamma: The scale of the distances.
        margin: The distance that classes should have.

    Returns:
        (batch,). It is 0 for a sample without a reference of its class, or without one of another class.
    """
    y_pred = real(y_pred)
    xp = namespace(y_pred)
    references = y_pred if ref_embeddings is None else xp.astype(ref_embeddings, y_pred.dtype)
    labels = xp.reshape(xp.astype(y_true, xp.int32), (-1, 1))
    others = labels if ref_labels is None else xp.astype(ref_labels, xp.int32)
    others = xp.reshape(others, (1, -1))
    alike = labels == others
    unlike = ~alike
    if remove_diagonal:
        # Row numbers by counting, since the size of the batch may be unknown.
        row = xp.cumulative_sum(xp.ones_like(labels), axis=0)
        alike = alike & (row != xp.cumulative_sum(xp.ones_like(others), axis=1))

    distance = _positive(1 - xp.matmul(y_pred, xp.matrix_transpose(references)))
    near = gamma * _positive(margin + distance) * (distance - margin)
    far = gamma * _positive(1 + margin - distance) * (1 - margin - distance)
    never = xp.full_like(distance, NEVER)
    drawn = ops.logsumexp(xp.where(alike, near, never), axis=1)
    pushed = ops.logsumexp(xp.where(unlike, far, never), axis=1)
    return ops.softplus(drawn + pushed)


def _positive(x):
    xp = namespace(x)
    return xp.where(x > 0, x, xp.zeros_like(x))


@loss(circle)
class Circle(Loss):
    """`circle` as a loss. Samples whose value is 0 do not count."""

    gamma: float = 80.0
    margin: float = 0.4
    remove_diagonal: bool = True
    per_sample: ClassVar[bool | None] = False

    def mask(self, y_true: Array, y_pred: Array, values: Array | None = None) -> Array:
        return (self.call(y_true, y_pred) if values is None else values) > 0
