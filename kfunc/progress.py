"""What `fit` shows while it runs: a bar in a terminal or a notebook, lines where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["Bar"]


class Bar:
    """A progress bar that says when its numbers may be refreshed: at most ten times a second."""

    def __init__(self, steps: int | None, description: str, verbose: int | str):
        self._bar = None
        self._last = time.perf_counter()
        if verbose in (1, "auto"):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=steps, desc=description, unit="step", file=sys.stderr, mininterval=0.1)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, n: int = 1) -> bool:
        """Count `n` steps; whether it is time to show new numbers."""
        if self._bar is not None:
            self._bar.update(n)
        now = time.perf_counter()
        if now - self._last < 0.1:
            return False
        self._last = now
        return True

    def show(self, logs: Mapping[str, float]) -> None:
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4f}" for name, value in logs.items()}, refresh=False)
