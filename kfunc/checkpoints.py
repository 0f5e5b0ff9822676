"""A directory of training states, each one file, written completely or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from . import files

__all__ = ["Checkpoints", "saving"]


class Checkpoints:
    """Training states in a directory, one file for each step at which one was saved.

    Args:
        directory: Made if there is none.
        every: How many steps lie between two; None for one at the end of each epoch.
        keep_last: How many of the newest stay.
    """

    def __init__(self, directory: str | os.PathLike, every: int | None = None, keep_last: int = 3):
        self.directory, self.every, self.keep_last = os.fspath(directory), every, keep_last

    def save(self, step: int, state: Any) -> None:
        """Write the tree `state` of step `step`."""
        os.makedirs(self.directory, exist_ok=True)
        files.save(state, os.path.join(self.directory, f"step-{step:012d}.safetensors"))

    def restore(self) -> Any:
        """The newest state that is sound, a tree of NumPy arrays; None if there is none."""
        if not os.path.isdir(self.directory):
            return None
        names = sorted(n for n in os.listdir(self.directory) if n.startswith("step-") and n.endswith(".safetensors"))
        return files.load(os.path.join(self.directory, names[-1])) if names else None


class Saver:
    """What `fit` tells when steps are done."""

    def steps_left(self) -> int:
        """How many steps may be taken before the next checkpoint is due."""
        return 2**31

    def steps_done(self) -> None:
        """Save, if it is time."""

    def epoch_done(self) -> None:
        """Save at the end of an epoch."""


@contextlib.contextmanager
def saving(model: Any, run: Any, resume: Any) -> Iterator[Saver]:
    """The `Saver` of a `fit`, which has put `model` and `run` where the newest checkpoint was."""
    yield Saver()
