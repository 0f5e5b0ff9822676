"""Losses of embeddings: those of one class should lie near each other."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import ops
from ..arrays import namespace, native
from ..typing import Array
from .base import Loss, loss, real

__all__ = ["Circle", "circle"]

NEVER = -1e30
"""The logarithm of 0, where infinities would make the gradient NaN."""


@native
def circle(
    y_true: Array,
    y_pred: Array,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Array:
    """Circle loss of embeddings: like ones are drawn together, the farther the more (Sun et al., arXiv:2002.10857).

    Args:
        y_true: Classes, integers (batch,) or (batch, 1).
        y_pred: Embeddings of length 1, (batch, features).
        ref_labels, ref_embeddings: What they are compared with, (references,) and (references, features): the batch
            itself by default.
        remove_diagonal: Whether the n-th reference is no example for the n-th sample, as it is the same.
        gamma: Scale of the distances.
        margin: How far apart classes should lie.

    Returns:
        (batch,); 0 where a class, or all others, have no example.
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
        # Counted, as the size of the batch may be unknown.
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
    """See `circle`; samples whose value is 0 do not count."""

    gamma: float = 80.0
    margin: float = 0.4
    remove_diagonal: bool = True
    per_sample: ClassVar[bool | None] = False

    def mask(self, y_true: Array, y_pred: Array, values: Array | None = None) -> Array:
        return (self.call(y_true, y_pred) if values is None else values) > 0
