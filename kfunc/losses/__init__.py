"""Losses: functions that return a value for each sample, and frozen dataclasses that reduce them; Keras's names.

In all of them `y_true` and `y_pred` are arrays (batch, ..., features) of one shape unless it says otherwise; where one
of them lacks a last axis of size 1, it is added or taken away. `y_true` is cast to the dtype of `y_pred`, and half
precision is computed in float32.
"""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..registry import resolve
from .base import OF_FUNCTION, FunctionLoss, Loss
from .base import class_labels as class_labels
from .base import real as real
from .base import same_rank as same_rank
from .base import snake_case as snake_case
from .base import weighted as weighted
from .margins import CategoricalHinge, Hinge, SquaredHinge, categorical_hinge, hinge, squared_hinge
from .probabilistic import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
)
from .regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from .segmentation import Dice, Tversky, dice, tversky
from .sequence import CTC, ctc
from .similarity import Circle, circle

__all__ = [
    "CTC",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "FunctionLoss",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]


def label_kind(output_shape: tuple, label_shape: tuple) -> str:
    """What labels of `label_shape` say about outputs of `output_shape`, as Keras guesses it.

    Returns:
        "binary", "sparse_categorical" or "categorical".
    """
    if output_shape[-1] == 1 or len(output_shape) == 1:
        return "binary"
    if len(label_shape) < len(output_shape) or label_shape[-1] == 1:
        return "sparse_categorical"
    return "categorical"


def get(loss: Any, output_shape: tuple | None = None, label_shape: tuple | None = None) -> Loss:
    """The loss that `loss` stands for.

    Args:
        loss: A loss, its class, a name, a config, or a function `(y_true, y_pred) -> values`. The names "crossentropy"
            and "ce" are the one that fits the shapes.
        output_shape, label_shape: Shapes of `y_pred` and `y_true`, the batch included.

    Raises:
        ArgumentError: There is no such loss.
    """
    if loss in ("crossentropy", "ce") and output_shape is not None and label_shape is not None:
        loss = f"{label_kind(output_shape, label_shape)}_crossentropy"
    found = resolve("loss", loss)
    if isinstance(found, Loss):
        return found
    if not callable(found):
        raise ArgumentError("This is no loss.", argument="loss", expected="a name, a loss or a function", got=found)
    return OF_FUNCTION[found]() if found in OF_FUNCTION else FunctionLoss(found)
