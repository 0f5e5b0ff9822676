"""What `fit` returns."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["History"]


class History:
    """What `fit` saw: `history`, a dict of one list a quantity with one number an epoch, and `epoch`, their numbers."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def __repr__(self) -> str:
        return f"<History of {len(self.epoch)} epochs: {', '.join(self.history)}>"

    def add(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Append the numbers of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
