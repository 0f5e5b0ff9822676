"""What people bring from elsewhere, and take back home: checkpoints of other libraries."""

from .keymap import KeyMap

__all__ = ["KeyMap"]
