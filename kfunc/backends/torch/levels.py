"""Which transforms of PyTorch are under way: some kernels have no rule for `vmap`, or no second derivative."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch

__all__ = ["differentiated_twice", "differentiating", "in_vmap", "unwrapped"]

_here = threading.local()
_Transform = torch._C._functorch.TransformType


@contextlib.contextmanager
def differentiating() -> Iterator[None]:
    """Around a function that `torch.autograd` differentiates; `torch.func` counts its own levels."""
    _here.depth = getattr(_here, "depth", 0) + 1
    try:
        yield
    finally:
        _here.depth -= 1


def _levels() -> list[Any]:
    return [level.key() for level in torch._C._functorch.get_interpreter_stack() or ()]


def differentiated_twice() -> bool:
    """Whether somebody takes a second derivative, or one in forward mode: some fused kernels have neither."""
    if torch.compiler.is_compiling():
        return False
    forward = torch.autograd.forward_ad._current_level >= 0
    return forward or getattr(_here, "depth", 0) + _levels().count(_Transform.Grad) > 1


def in_vmap() -> bool:
    """Whether an array here may stand for a batch of arrays."""
    return not torch.compiler.is_compiling() and _Transform.Vmap in _levels()


def unwrapped(x: Any) -> Any:
    """The tensor below all levels, with the axes that `vmap` hides."""
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return x
