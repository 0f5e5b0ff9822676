"""The progress that `fit` shows while it runs: a bar in a terminal or a notebook, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError

__all__ = ["Bar", "number"]

_FORMAT = "{desc} {n_fmt}/{total_fmt} |{bar}| {elapsed}<{remaining}, {rate_fmt}{postfix}"
_BAR = 0.1  # seconds between two looks at the numbers, each of which waits for the device
_QUIET = 1.0
_LINE = 10.0  # seconds between two lines


class Bar:
    """The progress of one epoch: `advance` counts steps and says when new numbers are due, `show` takes them.

    In a terminal or a notebook it is a bar of tqdm's: one line, written over at most ten times a second. Elsewhere
    there are lines without control characters: one at the end, and with `verbose` 1 also one every ten seconds. All of
    it goes to standard output, as in Keras, and is flushed at once: so `python train.py > log.txt` has it, in order
    with what the program prints. Even if no numbers are shown they are due once a second, because reading them finds a
    fault.

    Args:
        steps: How many there will be; None if that is not known.
        description: The text in front.
        verbose: 0 for silence, 1 for a bar, or lines where there can be none, 2 for one line at the end; "auto" for a
            bar or one line at the end.

    Raises:
        ArgumentError: `verbose` is something else.
    """

    def __init__(self, steps: int | None, description: str, verbose: int | str):
        if verbose not in ("auto", 0, 1, 2):
            raise ArgumentError(
                f'`verbose` must be "auto", 0, 1 or 2, got {verbose!r}.',
                argument="verbose",
                expected='"auto", 0, 1 or 2',
                got=verbose,
            )
        self.steps: int | None = steps
        self.done: int = 0
        self._description = description
        self._begun = self._looked = self._written = time.perf_counter()
        self._file = sys.stdout
        self._bar, self._text, self._shown = None, "", 0
        self._lines, self._every = verbose != 0, _QUIET
        self._while_running = verbose == 1
        if verbose in ("auto", 1) and is_interactive(self._file):
            import shutil

            from tqdm.std import tqdm  # `tqdm.auto` warns in notebooks where its widgets are not installed

            # Only `show` refreshes it, each time with new numbers. Some terminals say that their width is 0.
            width = shutil.get_terminal_size().columns - 1 if self._file.isatty() else None
            options = {"file": self._file, "ncols": width, "nrows": 24, "mininterval": 0, "miniters": 1}
            self._bar = tqdm(total=steps, desc=description, unit="step", bar_format=_FORMAT, **options)
            self._lines, self._every = False, _BAR

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._bar is not None:
            full = self._bar.format_meter(**{**self._bar.format_dict, "ncols": None})
            if self._bar.ncols is not None and len(full) > self._bar.ncols:
                self._bar.ncols = None  # the last line may wrap, and is not cut off
            self._bar.close()
        elif self._lines and kind is None:
            self._write()

    def advance(self, n: int = 1) -> bool:
        """Count `n` steps; whether it is time to read and show new numbers."""
        self.done += n
        return time.perf_counter() - self._looked >= self._every

    def show(self, logs: Mapping[str, Any]) -> None:
        """The numbers as they are now, after the steps counted."""
        self._text = " - ".join(f"{name}: {number(value)}" for name, value in logs.items())
        self._looked = time.perf_counter()
        if self._bar is not None:
            self._bar.set_postfix_str(self._text, refresh=False)
            self._bar.update(self.done - self._shown) or self._bar.refresh()
            self._shown = self.done
        elif self._while_running and self._looked - self._written >= _LINE:
            self._write()

    def clear(self) -> None:
        """Make room for others to print; the next `show` draws the bar again."""
        if self._bar is not None:
            self._bar.clear()

    def _write(self) -> None:
        self._written = time.perf_counter()
        seconds = self._written - self._begun
        parts = [
            self._description,
            f"{self.done}/{self.steps or self.done} steps" if self.steps else f"{self.done} steps",
        ]
        parts += [f"{seconds:.1f}s", f"{_duration(seconds / max(self.done, 1))}/step", self._text]
        print(" - ".join(filter(None, parts)), file=self._file, flush=True)


def is_interactive(file: Any) -> bool:
    """Whether what is written to `file` can be overwritten: in a terminal, or in a notebook."""
    try:
        terminal = bool(file.isatty())
    except (AttributeError, ValueError):  # no stream at all, as under pythonw, or a closed one
        return False
    return terminal or hasattr(file, "pub_thread")  # a stream of IPython's kernel


def number(value: Any) -> str:
    """A quantity, a number or a list of them, in a few digits."""
    if isinstance(value, list | tuple):
        shown = [number(v) for v in value]
        return "[" + ", ".join(shown if len(shown) <= 8 else [*shown[:3], "...", shown[-1]]) + "]"
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4e}"


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"
