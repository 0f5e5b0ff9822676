"""Cross-entropy of class numbers."""

from __future__ import annotations

from ..arrays import namespace
from ._op import op
from .activation import logsumexp

__all__ = ["label_crossentropy", "pick_class"]


def pick_class(x, labels, axis=-1):
    """The elements of `x` at `labels` along `axis`, and which labels lie in range; the others pick the first element.

    Args:
        x: (..., classes, ...).
        labels: signed integers, of the shape of `x` without `axis`.

    Returns:
        (picked, valid): of the shape of `labels`.
    """
    xp = namespace(x, labels)
    valid = (labels >= 0) & (labels < x.shape[axis])
    index = xp.expand_dims(xp.where(valid, labels, xp.zeros_like(labels)), axis=axis)
    return xp.squeeze(xp.take_along_axis(x, index, axis=axis), axis=axis), valid


@op
def label_crossentropy(logits, labels, axis=-1):
    """`-log_softmax(logits)` at `labels`, as for `pick_class`; NaN where a label is out of range.

    Returns:
        An array of the shape of `labels`.
    """
    picked, valid = pick_class(logits, labels, axis)
    values = logsumexp(logits, axis=axis) - picked
    return namespace(values).where(valid, values, namespace(values).full_like(values, float("nan")))
