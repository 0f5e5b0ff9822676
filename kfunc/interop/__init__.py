"""Exchange with other libraries: their checkpoints are read and written."""

from .checkpoints import Checkpoint, save_checkpoint
from .keymap import KeyMap

__all__ = ["Checkpoint", "KeyMap", "save_checkpoint"]
