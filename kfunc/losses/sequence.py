"""Losses of sequences for which it is not known at what time each label stands."""

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
        y_true: Integers in [1, classes), (batch, labels). Shorter rows end with zeros.
        y_pred: Logits, (batch, time, classes). Class 0 is the blank. All frames count.

    Returns:
        (batch,). It is infinite where there are too few frames for the labels.

    Raises:
        ShapeError: An array has another number of axes.
    """
    for argument, x, wanted in (("y_true", y_true, "(batch, labels)"), ("y_pred", y_pred, "(batch, time, classes)")):
        if x.ndim != wanted.count(",") + 1:
            raise ShapeError(
                f"`{argument}` must be {wanted}, got shape {tuple(x.shape)}.",
                argument=argument,
                expected=wanted,
                got=tuple(x.shape),
            )
    y_pred = real(y_pred)
    xp = namespace(y_pred)
    labels = xp.sum(xp.astype(y_true != 0, xp.int32), axis=-1, dtype=xp.int32)
    frames = xp.zeros_like(labels) + y_pred.shape[1]
    return ops.ctc_loss(y_true, y_pred, labels, frames, mask_index=0)


@loss(ctc)
class CTC(Loss):
    """`ctc` as a loss."""
