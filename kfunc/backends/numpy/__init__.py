"""NumPy: array_api_compat's namespace, with lowerings and pullbacks for the ops that networks use most."""

from __future__ import annotations

from . import images, lowerings, random, recurrent, segments, windows  # noqa: F401  (they register themselves)
from .backend import NumpyBackend, backend

__all__ = ["NumpyBackend", "backend"]
