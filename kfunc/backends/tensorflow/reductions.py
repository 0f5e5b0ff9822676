"""Sums, extremes, moments: along axes, as one number or cumulated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from .. import composed
from ..composed import diff, std
from .array import Array, cast, dims, raw
from .axes import normal_axes, normal_axis
from .dtypes import float32, int32, uint32

__all__ = [
    "all",
    "any",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]


def _sum_type(dtype: tf.DType) -> tf.DType:
    """Sums of small integers are in the default integer dtype of the same sign."""
    if dtype.is_bool:
        return int32
    if dtype.is_integer and dtype.size < 4:
        return uint32 if dtype.is_unsigned else int32
    return dtype


def _reduction(kernel: Callable, typed: bool = False) -> Callable:
    def plain(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Array:
        x = raw(x)
        return Array(kernel(x, normal_axes(axis, x.shape.rank), keepdims))

    def with_dtype(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Array:
        x = raw(x)
        return plain(cast(x, dtype or _sum_type(x.dtype)), axis=axis, keepdims=keepdims)

    return with_dtype if typed else plain


sum: Callable[..., Any]
prod: Callable[..., Any]
sum, prod = _reduction(tf.reduce_sum, typed=True), _reduction(tf.reduce_prod, typed=True)
max: Callable[..., Any]
min: Callable[..., Any]


def _of_some(kernel):
    """A reduction of one element or more: of none, TensorFlow gives an infinity, and no error."""

    def reduce(x, axes, keepdims):
        if 0 in [x.shape[a] for a in axes]:
            raise ValueError(f"An array of shape {tuple(x.shape)} has no largest and no smallest element.")
        return kernel(x, axes, keepdims)

    return reduce


max, min = _reduction(_of_some(tf.reduce_max)), _reduction(_of_some(tf.reduce_min))
mean: Callable[..., Any] = _reduction(
    lambda x, axes, keep: tf.reduce_mean(cast(x, float32) if x.dtype.is_integer else x, axes, keep)
)
all: Callable[..., Any] = _reduction(lambda x, axes, keep: tf.reduce_all(cast(x, tf.bool), axes, keep))
any: Callable[..., Any] = _reduction(lambda x, axes, keep: tf.reduce_any(cast(x, tf.bool), axes, keep))


def var(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """The mean squared distance from the mean, with `n - correction` in the denominator."""
    x = raw(x)
    axes = normal_axes(axis, x.shape.rank)
    squares = tf.math.squared_difference(x, tf.reduce_mean(x, axes, keepdims=True))
    if not correction:
        return Array(tf.reduce_mean(squares, axes, keepdims))
    sizes = dims(x)
    n = tf.cast(math.prod(sizes[a] for a in axes), x.dtype)
    return Array(tf.reduce_sum(squares, axes, keepdims) / tf.maximum(n - tf.constant(correction, x.dtype), 0))


def _cumulative(kernel: Callable, start: int) -> Callable:
    def function(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
        x = raw(x)
        if axis is None:
            if x.shape.rank != 1:
                raise ValueError("A cumulative function needs axis= unless the array has one axis.")
            axis = 0
        axis = normal_axis(axis, x.shape.rank)
        x = cast(x, dtype or _sum_type(x.dtype))
        if kernel is tf.math.cumprod and x.dtype.is_floating:  # the gradient of the kernel divides by `x`
            return composed.cumulative_prod(Array(x), axis=axis, include_initial=include_initial)
        out = kernel(x, axis)
        if include_initial:
            sizes = [1 if i == axis else n for i, n in enumerate(dims(x))]
            out = tf.concat([tf.fill(sizes, tf.constant(start, x.dtype)), out], axis)
        return Array(out)

    return function


cumulative_sum: Callable[..., Any]
cumulative_prod: Callable[..., Any]
cumulative_sum, cumulative_prod = _cumulative(tf.cumsum, 0), _cumulative(tf.math.cumprod, 1)
