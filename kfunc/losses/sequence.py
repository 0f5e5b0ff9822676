"""Losses of sequences whose labels have no times."""

from __future__ import annotations

from .. import ops
from ..arrays import namespace, native
from ..errors import ShapeError
from ..typing import Array
from .base import Loss, loss, real

__all__ = ["CTC", "ctc"]


@native
def ctc(y_true: Array, y_pred: Array) -> Array:
    """Connectionist temporal classification (Graves et al., 2006); see `ops.ctc_loss`.

    Args:
        y_true: Labels in [1, classes), integers (batch, labels), followed by zeros up to the longest.
        y_pred: Logits, (batch, time, classes); class 0 is the blank. All frames count.

    Returns:
        (batch,); infinite where the labels do not fit into the frames.

    Raises:
        ShapeError: The shapes are others.
    """
    for argument, x, wanted in (("y_true", y_true, "(batch, labels)"), ("y_pred", y_pred, "(batch, time, classes)")):
        if x.ndim != wanted.count(",") + 1:
            raise ShapeError(f"{argument} is of another rank.", argument=argument, expected=wanted, got=tuple(x.shape))
    y_pred = real(y_pred)
    xp = namespace(y_pred)
    labels = xp.sum(xp.astype(y_true != 0, xp.int32), axis=-1, dtype=xp.int32)
    frames = xp.zeros_like(labels) + y_pred.shape[1]
    return ops.ctc_loss(y_true, y_pred, labels, frames, mask_index=0)


@loss(ctc)
class CTC(Loss):
    """See `ctc`."""
