"""Cross-entropy of probabilities, of logits, and of class numbers."""

from __future__ import annotations

import math

from ..arrays import namespace
from ..errors import ShapeError
from ..typing import Array
from ._axes import normal_axis
from ._op import op
from ._promotion import cast, floating, kind, lift, together
from .activation import log_softmax, logsumexp

__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "label_crossentropy",
    "psnr",
    "sparse_categorical_crossentropy",
]

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1, as in Keras."""


def _pair(target, output, names=("target", "output")):
    target, output = together(target, output, least="f")
    if len(target.shape) != len(output.shape) or any(
        m != n for m, n in zip(target.shape, output.shape, strict=True) if m is not None and n is not None
    ):
        raise ShapeError(
            f"The shapes differ: {names[0]} has {tuple(target.shape)}, {names[1]} has {tuple(output.shape)}.",
            argument=names[0],
            expected=f"that of {names[1]}, {tuple(output.shape)}",
            got=tuple(target.shape),
        )
    return target, output


def _inside(probabilities):
    return namespace(probabilities).clip(probabilities, EPSILON, 1 - EPSILON)


@op(single=True)
def binary_crossentropy(target: Array, output: Array, from_logits: bool = False) -> Array:
    """`-target * log(output) - (1 - target) * log(1 - output)` of each element.

    Args:
        target: Labels in [0, 1].
        output: Probabilities, kept 1e-7 away from 0 and 1; or logits, of the shape of `target`.
        from_logits: Whether `output` holds logits.

    Raises:
        ShapeError: The shapes differ.
    """
    target, output = _pair(target, output)
    xp = namespace(output)
    if from_logits:
        # log(1 + exp(x)) - x * y. At 0 both choices take the same side, which makes the gradient right there, too.
        low = output <= 0
        positive = xp.where(low, xp.zeros_like(output), output)
        return (positive - output * target) + xp.log1p(xp.exp(xp.where(low, output, -output)))
    output = _inside(output)
    return -(target * xp.log(output) + (1 - target) * xp.log(1 - output))


@op(single=True)
def categorical_crossentropy(target: Array, output: Array, from_logits: bool = False, axis: int = -1) -> Array:
    """`-sum(target * log(output))` along `axis`.

    Args:
        target: Probabilities of the classes, (..., classes).
        output: Probabilities, which are scaled to the sum 1, and kept 1e-7 away from 0 and 1; or logits.
        from_logits: Whether `output` holds logits.
        axis: The axis of the classes.

    Returns:
        An array without `axis`.

    Raises:
        ShapeError: The shapes differ.
    """
    target, output = _pair(target, output)
    xp = namespace(output)
    if from_logits:
        logs = log_softmax(output, axis)
    else:
        logs = xp.log(_inside(output / xp.sum(output, axis=axis, keepdims=True)))
    return -xp.sum(target * logs, axis=axis)


@op(single=True)
def sparse_categorical_crossentropy(target: Array, output: Array, from_logits: bool = False, axis: int = -1) -> Array:
    """`-log(output)` at the classes `target` along `axis`; NaN where a class is out of range.

    Args:
        target: Class numbers, of the shape of `output` without `axis`, or with size 1 at the end.
        output: Probabilities, which are scaled to the sum 1, and kept 1e-7 away from 0 and 1; or logits.
        from_logits: Whether `output` holds logits.
        axis: The axis of the classes.

    Returns:
        An array of the shape of `target`.

    Raises:
        ShapeError: The shapes do not fit together.
    """
    target, output = lift(target, output)
    output = floating(output)
    xp, classes = namespace(target, output), normal_axis(axis, output.ndim)
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = xp.squeeze(target, axis=-1)
    wanted = [n for i, n in enumerate(output.shape) if i != classes]
    if target.ndim != len(wanted) or any(
        m != n for m, n in zip(target.shape, wanted, strict=True) if m is not None and n is not None
    ):
        raise ShapeError(
            f"`target` has shape {tuple(target.shape)}, which does not fit that of the output, {tuple(output.shape)}.",
            argument="target",
            expected=f"{tuple(wanted)}, the shape of output without its axis of classes",
            got=tuple(target.shape),
        )
    if output.shape[classes] == 0:
        raise ShapeError(
            f"`output` has no classes, got shape {tuple(output.shape)}.",
            argument="output",
            expected=f"one class or more along axis {classes}",
            got=tuple(output.shape),
        )
    target = target if kind(target) == "i" else cast(target, "int32")
    if from_logits:
        return label_crossentropy(output, target, axis)
    picked, valid = pick_class(output, target, axis)
    values = -xp.log(_inside(picked / xp.sum(output, axis=axis)))
    return xp.where(valid, values, math.nan)


def pick_class(x: Array, labels: Array, axis: int = -1) -> tuple[Array, Array]:
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


@op(single=True)
def label_crossentropy(logits: Array, labels: Array, axis: int = -1) -> Array:
    """`-log_softmax(logits)` at `labels`; NaN where a label is out of range.

    Args:
        logits: (..., classes, ...), float.
        labels: Signed integers, of the shape of `logits` without `axis`.
        axis: The axis of the classes.

    Returns:
        An array of the shape of `labels`.
    """
    picked, valid = pick_class(logits, labels, axis)
    values = logsumexp(logits, axis=axis) - picked
    return namespace(values).where(valid, values, math.nan)


@op(single=True)
def psnr(x1: Array, x2: Array, max_val: float) -> Array:
    """Peak signal-to-noise ratio, `10 * log10(max_val**2 / mean((x1 - x2)**2))`, a scalar in decibel.

    Args:
        x1, x2: Arrays of one shape.
        max_val: The largest value that an element can have.

    Raises:
        ShapeError: The shapes differ.
    """
    x1, x2 = _pair(x1, x2, ("x1", "x2"))
    xp = namespace(x1, x2)
    (peak,) = together(max_val, x2)[:1]
    difference = x1 - x2
    return 20 * xp.log10(peak) - 10 * xp.log10(xp.mean(difference * difference))
