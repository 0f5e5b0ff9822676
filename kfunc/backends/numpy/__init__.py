"""NumPy: the namespace is array_api_compat's; what networks use most has lowerings, and pullbacks for the tape."""

from __future__ import annotations

from . import lowerings, random, recurrent, segments, windows  # noqa: F401  (they register themselves)
from .backend import NumpyBackend, backend

__all__ = ["NumpyBackend", "backend"]
