"""Training steps in place, on the CPU: behind TensorFlow's back, which has no other word for it than variables."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from ...inplace import InPlace

__all__ = ["InMemory", "extent"]


class InMemory(InPlace):
    """See `InPlace`. Variables would hold the state twice: as pieces for the update, and in one for the gradients."""

    def __init__(self, backend: Any, gradients: Any, update: Any, elementwise: Any, ready: Any):
        super().__init__(backend, gradients, update, elementwise, ready)
        # One program for pieces of any size, where `ready` has one for each.
        self._updates = functools.cache(lambda names: tf.function(update, autograph=False, reduce_retracing=True))

    def _piece(self, x: tf.Tensor, begin: int, end: int) -> tf.Tensor:
        piece = tf.experimental.dlpack.from_dlpack(_memory(x)[begin:end].__dlpack__())
        return tf.bitcast(piece, x.dtype) if x.dtype == tf.bfloat16 else piece

    def _write(self, x: tf.Tensor, begin: int, end: int, values: tf.Tensor) -> None:
        _memory(x)[begin:end] = _memory(values)


def extent(x: tf.Tensor) -> tuple[int, int]:
    """See `Backend.extent`."""
    return np.lib.array_utils.byte_bounds(_memory(x))


def _memory(x: tf.Tensor) -> np.ndarray:
    """The memory of a tensor (elements,), to write to; that of bfloat16, which NumPy has not, as integers."""
    if x.dtype == tf.bfloat16:
        x = tf.bitcast(x, tf.int16)  # without a copy
    values = np.asarray(memoryview(x))
    room = (ctypes.c_byte * values.nbytes).from_address(values.ctypes.data)
    return np.ndarray(values.size, values.dtype, room)
