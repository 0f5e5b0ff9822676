"""array-api-strict: the standard and nothing else. Code that runs on it runs on every library that conforms."""

from __future__ import annotations

import array_api_strict

from .generic import GenericBackend

__all__ = ["backend"]


class StrictBackend(GenericBackend):
    def __init__(self) -> None:
        super().__init__(array_api_strict._array_object.Array, array_api_strict)
        self.name = "array_api_strict"


backend: StrictBackend = StrictBackend()
