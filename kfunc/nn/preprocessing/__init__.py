"""Layers that make of data what networks are made for: numbers in their range."""

from .numbers import Normalization as Normalization
from .numbers import Rescaling as Rescaling

__all__ = ["Normalization", "Rescaling"]
