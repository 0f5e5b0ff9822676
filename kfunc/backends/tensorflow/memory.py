"""The memory of tensors on the CPU, to write to it. TensorFlow does not know of this; it has variables for it.

With variables there would be two copies of a large state: one in pieces to update, and one to differentiate.
"""

from __future__ import annotations

import ctypes

import numpy as np
import tensorflow as tf

__all__ = ["extent", "part", "shared", "write"]


_SMALL = 1 << 12  # bytes


def extent(x: tf.Tensor) -> tuple[int, int]:
    """See `Backend.extent`."""
    return np.lib.array_utils.byte_bounds(_memory(x))


def part(x: tf.Tensor, which: slice) -> tf.Tensor:
    """See `Backend.part`."""
    piece = tf.experimental.dlpack.from_dlpack(_memory(x)[which].__dlpack__())
    return tf.bitcast(piece, x.dtype) if x.dtype == tf.bfloat16 else piece


def write(x: tf.Tensor, which: slice, values: tf.Tensor) -> None:
    """See `Backend.write`."""
    _memory(x)[which] = _memory(values)


def shared(x: np.ndarray) -> tf.Tensor:
    """The array `x` as a tensor with the same memory, where TensorFlow can use that; a copy otherwise."""
    small = x.nbytes < _SMALL  # a copy takes less time
    if small or not x.flags.c_contiguous or not x.flags.writeable or x.ctypes.data % 64 or x.dtype.kind not in "fiuV":
        return tf.convert_to_tensor(x)
    if not tf.executing_eagerly() or tf.config.list_logical_devices("GPU"):
        return tf.convert_to_tensor(x)
    bits = x.view(np.int16) if x.dtype.name == "bfloat16" else x
    tensor = tf.experimental.dlpack.from_dlpack(bits.__dlpack__())
    return tensor if bits is x else tf.bitcast(tensor, tf.bfloat16)


def _memory(x: tf.Tensor) -> np.ndarray:
    """The memory of a tensor, (elements,), to write to. NumPy has no bfloat16, so that is integers."""
    if x.dtype == tf.bfloat16:
        x = tf.bitcast(x, tf.int16)  # without a copy
    values = np.asarray(memoryview(x))
    room = (ctypes.c_byte * values.nbytes).from_address(values.ctypes.data)
    return np.ndarray(values.size, values.dtype, room)
