"""TensorFlow: tensors are lifted to a conforming Array for layer code; lowerings and transforms work on bare ones."""

from __future__ import annotations

import os

# TensorFlow reads it when it is imported, and else fills the console with notices.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from . import algebra, lowerings, random, segments, windows  # they register themselves
from .array import Array
from .backend import TensorflowBackend, backend

__all__ = ["Array", "TensorflowBackend", "algebra", "backend", "lowerings", "random", "segments", "windows"]
