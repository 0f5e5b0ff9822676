"""Exchange with other libraries: files, checkpoints and modules in both directions, and other data formats."""

from __future__ import annotations

import importlib
from typing import Any

from . import formats as formats
from .checkpoints import Checkpoint, save_checkpoint
from .keymap import KeyMap
from .layouts import Move, to_layout

__all__ = ["Checkpoint", "KeyMap", "Move", "save_checkpoint", "to_layout"]

_MODULES = ("jax", "keras", "tensorflow", "torch")
"""For one library each: they are imported when they are asked for."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
