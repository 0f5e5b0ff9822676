"""`kf.jit` by recording: programs of kernel calls, which are there at once, where `torch.compile` takes seconds."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ... import tree
from ...tracing.record import RecordedFunction
from ...tracing.record.recording import CannotRecord, Recording
from .levels import watches

__all__ = ["Jitted"]


class Jitted(RecordedFunction):
    """A user's function as recorded programs; where no program would be right, the function itself runs.

    Arrays that the function closes over are read by each call of a program, so that a program sees what an optimizer
    writes to them. A function that computes anything else of them than views is not recorded: the program would have
    the numbers of the day of the recording. The same holds for random numbers of PyTorch, NumPy and Python.
    """

    def __init__(self, backend: Any, fun: Any) -> None:
        super().__init__(backend, fun)
        self._compiled: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return self._fun(*args, **kwargs)
        leaves, structure = tree.flatten((args, kwargs))
        if all([x.is_cpu for x in leaves if isinstance(x, torch.Tensor)]):
            return self.run(leaves, structure, args, kwargs)
        # On other devices, calls of kernels cost more than there is Python between them.
        if self._compiled is None:
            self._compiled = self.backend.jit(self._fun)
        return self._compiled(*args, **kwargs)

    @contextlib.contextmanager
    def watching(self, recording: Recording) -> Iterator[None]:
        watch, draws = _Watch(), _generators()
        recording.inside, recording.merges_constants = watch.paused, False
        watches[threading.get_ident()] = watch
        try:
            with watch:
                yield
        finally:
            del watches[threading.get_ident()]
        if _generators() != draws:
            raise CannotRecord


class _Watch(TorchFunctionMode):
    """Sees the calls of PyTorch's functions in which a recorder has no part."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, torch.Tensor] = {}  # tensors that depend on nothing but the function's text
        self._paused = 0

    def note(self, x: torch.Tensor) -> None:
        """`x` depends on nothing but the function's text."""
        self._made[id(x)] = x

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """A block in which the recorder calls a kernel."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        others = [x for x in tree.leaves((args, kwargs)) if isinstance(x, torch.Tensor) and id(x) not in self._made]
        others = [] if func.__name__ in _OF_FORM else others
        if kwargs.get("generator") is not None or (others and func.__name__ not in _LOOKS):
            raise CannotRecord
        out = func(*args, **kwargs)
        results = [x for x in tree.leaves(out) if isinstance(x, torch.Tensor)]
        if not others:
            for x in results:
                self.note(x)
        elif not {_memory(x) for x in results} <= {_memory(x) for x in others}:
            raise CannotRecord  # a copy
        return out


# Functions of a tensor's form, and functions that return views, at least sometimes. A view shows what is written.
_LOOKS = {"__get__", "__len__", "dim", "size", "numel", "stride", "is_contiguous", "is_floating_point", "is_complex"}
_LOOKS |= {"is_signed", "data_ptr", "untyped_storage", "element_size", "storage_offset", "is_inference", "result_type"}
_LOOKS |= {"view", "expand", "permute", "transpose", "swapaxes", "unsqueeze", "squeeze", "detach", "movedim", "narrow"}
_LOOKS |= {"select", "view_as", "broadcast_to", "expand_as", "t", "adjoint", "reshape", "to", "contiguous", "flatten"}
_LOOKS |= {"__getitem__", "ravel", "asarray", "as_tensor"}


_OF_FORM = {"zeros_like", "ones_like", "empty_like"}
"""Functions whose results depend on the form of a tensor alone."""


def _memory(x: torch.Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _generators() -> tuple[Any, ...]:
    """The states of the generators of random numbers that a program would not draw from."""
    numpy: Any = np.random.get_state()
    return bytes(torch.get_rng_state().numpy()), random.getstate(), numpy[1].tobytes(), numpy[2:]
