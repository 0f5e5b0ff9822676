"""JAX: its own namespace and transforms, and its random bits."""

from __future__ import annotations

from . import algebra, flax_modules, modules, networks, random, recurrent, segments  # noqa: F401  (they register themselves)
from .backend import JaxBackend, backend

__all__ = ["JaxBackend", "backend"]
