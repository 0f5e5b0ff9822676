"""One package for each framework, what a backend is (`base`), and which backends there are (`registry`)."""

from __future__ import annotations

from .base import Backend, Kind
from .registry import available, common_backend, get, install_command, kind_of, known, loaded, register

__all__ = [
    "Backend",
    "Kind",
    "available",
    "common_backend",
    "get",
    "install_command",
    "kind_of",
    "known",
    "loaded",
    "register",
]
