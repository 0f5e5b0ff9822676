"""The names of `keras.utils` that are here; the error about another one says where it is, or why it is not."""

from __future__ import annotations

from .data import Dataset as PyDataset
from .elsewhere import looked_up

__all__ = ["PyDataset"]

__getattr__ = looked_up(__name__)
