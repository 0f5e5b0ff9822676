"""`History`, which `fit` returns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ArgumentError, MissingPackageError
from .progress_bar import number

__all__ = ["History"]


class History:
    """The numbers of each epoch of a `fit`.

    Attributes:
        epoch: The numbers of the epochs, from 0.
        history: A list for each quantity, with one number for each epoch that has it: with `validation_freq`, some
            epochs have no validation.
        epochs: For each quantity, the numbers of these epochs.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self.epochs: dict[str, list[int]] = {}

    def __repr__(self) -> str:
        last = [f"{name}: {number(values[-1])}" for name, values in self.history.items()]
        n = len(self.epoch)
        return f"<History of {n} epoch{'' if n == 1 else 's'}{', last ' if last else ''}{' - '.join(last)}>"

    def add(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Append the numbers of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
            self.epochs.setdefault(name, []).append(epoch)

    def rows(self) -> list[dict[str, Any]]:
        """The numbers epoch by epoch: a dict each, with "epoch" and the quantities that it has."""
        found: dict[int, dict[str, Any]] = {epoch: {"epoch": epoch} for epoch in self.epoch}
        for name, values in self.history.items():
            for epoch, value in zip(self.epochs[name], values, strict=True):
                found[epoch][name] = value
        return list(found.values())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table with a header: the epoch, from 0, and a column for each quantity, in full precision.

        A cell is empty where an epoch has no such number. A list of numbers, such as of a metric by classes, has a
        column each: `f1_score_0` ....

        Raises:
            OSError: It could not be written.
        """
        import csv

        table = [
            {column: v for name, value in row.items() for column, v in _parts(name, value).items()}
            for row in self.rows()
        ]
        columns = dict.fromkeys(["epoch", *(column for name in self.history for column in self._columns(name))])
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)

    def _columns(self, name: str) -> list[str]:
        return list(dict.fromkeys(column for value in self.history[name] for column in _parts(name, value)))

    def plot(self, metrics: str | Sequence[str] | None = None, ax: Any = None) -> Any:
        """Draw each quantity over the epochs, counted from 1 as the bar counts them, with matplotlib.

        Args:
            metrics: Names of quantities; all of them by default. A quantity and its "val_" share axes.
            ax: Matplotlib's axes to draw in, one for each quantity; by default a new figure has them.

        Returns:
            The list of axes.

        Raises:
            ArgumentError: There is no such quantity, or not one axes for each.
            MissingPackageError: matplotlib is not installed, and there are no axes given.
        """
        known = list(dict.fromkeys(name.removeprefix("val_") for name in self.history))
        names = known if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
        names = list(dict.fromkeys(name.removeprefix("val_") for name in names))
        if not names or (unknown := [name for name in names if name not in known]):
            raise ArgumentError(
                "There is nothing to plot: `metrics` is empty."
                if not names
                else f"There is no quantity {', '.join(unknown)} to plot.",
                argument="metrics",
                expected=", ".join(known) or "a fit of an epoch at least",
                got=", ".join(unknown) if names else "none",
            )
        if ax is None:
            figure = _pyplot().figure(figsize=(4.8 * len(names), 3.6), layout="constrained")
            axes = [figure.add_subplot(1, len(names), i + 1) for i in range(len(names))]
        else:
            axes = list(ax.flat) if hasattr(ax, "flat") else list(ax) if isinstance(ax, Sequence) else [ax]
        if len(axes) != len(names):
            raise ArgumentError.must_be("ax", f"{len(names)} axes, one for each quantity", axes)
        for name, on in zip(names, axes, strict=True):
            for full in (name, f"val_{name}"):
                for column in self._columns(full) if full in self.history else ():
                    points = [
                        (epoch + 1, _parts(full, value)[column])
                        for epoch, value in zip(self.epochs[full], self.history[full], strict=True)
                        if column in _parts(full, value)
                    ]
                    # A line through one point cannot be seen.
                    on.plot(
                        *map(list, zip(*points, strict=True)), marker="o" if len(points) == 1 else None, label=column
                    )
            on.set_xlabel("epoch")
            on.set_ylabel(name)
            on.legend()
        return axes


def _parts(name: str, value: Any) -> dict[str, Any]:
    """A quantity by columns: its own, or one for each number of a list."""
    if not isinstance(value, list | tuple):
        return {name: value}
    return {column: v for i, part in enumerate(value) for column, v in _parts(f"{name}_{i}", part).items()}


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        raise MissingPackageError("Plots need matplotlib.", fix="pip install matplotlib") from error
    return pyplot
