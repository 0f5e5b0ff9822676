"""Losses: functions that return one value for each sample, and classes that reduce the values to one number.

They have Keras's names. `y_true` and `y_pred` are arrays (batch, ..., features) of one shape unless a loss says
otherwise. If only one of them has a last axis of size 1, this axis is added to the other or taken away. `y_true` is
cast to the dtype of `y_pred`, and half precision is computed in float32.
"""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..registry import configs as _configs
from ..registry import resolve
from ..typing import Shape
from .base import *
from .base import OF_FUNCTION, FunctionLoss, Loss
from .margins import *
from .probabilistic import *
from .regression import *
from .segmentation import *
from .sequence import *
from .similarity import *


def label_kind(output_shape: Shape, label_shape: Shape) -> str:
    """The kind of labels, guessed from the shapes of outputs and labels as Keras does.

    Returns:
        "binary", "sparse_categorical" or "categorical".
    """
    if output_shape[-1] == 1 or len(output_shape) == 1:
        return "binary"
    if len(label_shape) < len(output_shape) or label_shape[-1] == 1:
        return "sparse_categorical"
    return "categorical"


def get(loss: Any, output_shape: Shape | None = None, label_shape: Shape | None = None, argument: str = "loss") -> Loss:
    """The loss that `loss` stands for.

    Args:
        loss: A loss, its class, a name, a config, or a function `(y_true, y_pred) -> values`. The names "crossentropy"
            and "ce" stand for the cross-entropy that fits the shapes.
        output_shape, label_shape: Shapes of `y_pred` and `y_true`, with the batch.
        argument: The argument that holds `loss`, for the error.

    Raises:
        ArgumentError: No loss has that name, or it is not a loss.
    """
    if loss in ("crossentropy", "ce") and output_shape is not None and label_shape is not None:
        loss = f"{label_kind(output_shape, label_shape)}_crossentropy"
    found = resolve("loss", loss, argument)
    if isinstance(found, Loss):
        return found
    if not callable(found):
        raise ArgumentError.must_be(argument, "a name, a loss or a function", found)
    return OF_FUNCTION[found]() if found in OF_FUNCTION else FunctionLoss(found)


serialize, deserialize = _configs("loss")
