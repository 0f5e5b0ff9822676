"""TensorFlow: layer code gets conforming Arrays, which hold tensors; lowerings and transforms get the tensors."""

from __future__ import annotations

import os

# TensorFlow reads this when it is imported; without it, it fills the console with notices.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from . import algebra, lowerings, modules, random, segments, windows  # they register themselves
from .array import Array
from .backend import TensorflowBackend, backend

__all__ = ["Array", "TensorflowBackend", "algebra", "backend", "lowerings", "modules", "random", "segments", "windows"]
