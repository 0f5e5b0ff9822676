"""Callbacks: what is done besides training, at the ends of batches and epochs."""

from .base import Callback, CallbackList

__all__ = ["Callback", "CallbackList"]
