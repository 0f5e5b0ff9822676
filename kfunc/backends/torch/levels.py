"""Tells which transforms of PyTorch are under way, since some kernels fail in `vmap`, or in a second derivative."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch._guards import TracingContext

__all__ = ["differentiated_twice", "differentiating", "in_functorch", "in_vmap", "unwrapped", "watches"]

_here = threading.local()
watches: dict[int, Any] = {}
"""By thread, what must know of each tensor that is made, while a function is recorded; see `recorded`."""
_marks: weakref.WeakKeyDictionary[TracingContext, int] = weakref.WeakKeyDictionary()
"""How many functions that are differentiated Dynamo is in, for each program that it traces."""
_Transform = torch._C._functorch.TransformType


@contextlib.contextmanager
def differentiating() -> Iterator[None]:
    """Around a function that `torch.autograd` differentiates; `torch.func` counts its own levels."""
    if torch.compiler.is_compiling():
        _mark(1)
        yield
        _mark(-1)
        return
    _here.depth = getattr(_here, "depth", 0) + 1
    try:
        yield
    finally:
        _here.depth -= 1


# Dynamo calls these two functions when it comes to them, and takes what they return for a constant.


@torch.compiler.assume_constant_result
def _mark(change: int) -> int:
    program = TracingContext.get()
    _marks[program] = _marks.get(program, 0) + change
    return 0


@torch.compiler.assume_constant_result
def _compiled(transform: str) -> int:
    """How many transforms of this name are around what Dynamo traces."""
    marks = _marks.get(TracingContext.get(), 0) if transform == "Grad" else 0
    return marks + _levels().count(getattr(_Transform, transform))


def _levels() -> list[Any]:
    return [level.key() for level in torch._C._functorch.get_interpreter_stack() or ()]


def differentiated_twice() -> bool:
    """Whether somebody takes a second derivative, or one in forward mode: some fused kernels have neither."""
    if torch.compiler.is_compiling():
        return _compiled("Grad") > 1
    forward = torch.autograd.forward_ad._current_level >= 0
    return forward or getattr(_here, "depth", 0) + _levels().count(_Transform.Grad) > 1


def in_functorch() -> bool:
    """Whether a transform of `torch.func` is under way. Dynamo cannot ask."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def in_vmap() -> bool:
    """Whether an array here may stand for a batch of arrays."""
    return _compiled("Vmap") > 0 if torch.compiler.is_compiling() else _Transform.Vmap in _levels()


def unwrapped(x: Any) -> Any:
    """The tensor below all levels, with the axes that `vmap` hides."""
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return x
