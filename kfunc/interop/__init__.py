"""Exchange with other libraries: their checkpoints are read and written, and networks change their data format."""

from .checkpoints import Checkpoint, save_checkpoint
from .keymap import KeyMap
from .layouts import Move, to_layout

__all__ = ["Checkpoint", "KeyMap", "Move", "save_checkpoint", "to_layout"]
