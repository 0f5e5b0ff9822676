"""What people bring from elsewhere, and take back home: checkpoints of other libraries."""

from .checkpoints import Checkpoint, save_checkpoint
from .keymap import KeyMap

__all__ = ["Checkpoint", "KeyMap", "save_checkpoint"]
