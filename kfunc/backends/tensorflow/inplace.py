"""Training steps in place, on the CPU: behind TensorFlow's back, which has no other word for it than variables."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ...inplace import InPlace, Slots
from ...optim import apply_updates

__all__ = ["InMemory", "extent"]


class InMemory(InPlace):
    """See `InPlace`. Variables would hold the state twice: as pieces for the update, and in one for the gradients."""

    # Copies, and calls of programs, take longer than kernels that write to the state.
    large = 1 << 24
    size = 1 << 20

    def __init__(self, backend: Any, gradients: Callable, optimizer: Any, ready: Callable):
        super().__init__(backend, gradients, optimizer, ready)

        def update(grads, opt_state, params):
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return apply_updates(params, updates), opt_state

        self._compiled = ready(update, any_size=True)

    def _names(self, slots: Slots, group: tuple) -> list[str]:
        names = super()._names(slots, group)
        if len(group) > 1:
            return names
        # One program for all leaves that the optimizer treats alike: by the name of the first one.
        treated = self._optimizer.elementwise
        return [next(name for name in slots.names if treated(name) == treated(*names))]

    def _update(self, grads: dict, opt_state: Any, params: dict) -> tuple[dict, Any]:
        return self._compiled(grads, opt_state, params)

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
