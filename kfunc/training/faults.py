"""The errors about steps that were refused, made from `Progress.fault`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import IndexingError, NonFiniteError
from .state import Progress

__all__ = ["outside", "stopped"]


def stopped(progress: Progress, paths: list[str], tables: Mapping[str, int] | None, net: Any) -> Exception:
    """The error about a training step that was refused.

    Args:
        progress: A `Progress` of NumPy arrays.
        paths: The paths of the parameters.
        tables: The sizes of the tables in which layers look up rows, by path; None for a step of the user's own.
        net: The network.
    """
    step, what, value = progress.fault.tolist()
    when = f"Training stopped at step {step}: "
    if tables is None:
        logs = sorted(progress.metrics)
        path = None if what < len(logs) else paths[what - len(logs)]
        cause = f"the parameter {path}" if path else f"what the step logs as {logs[what]!r}"
    elif what > len(paths):
        return outside(tables, what - len(paths) - 1, value, net, when)
    else:
        path = paths[what - 1] if what else None
        cause = f"the gradient of {path}" if path else "the loss"
    return NonFiniteError(
        f"{when}{cause} is not finite.",
        path=path,
        expected="finite numbers",
        got="NaN or infinity",
        fix="look for NaN in the data, lower the learning rate, or clip gradients by their global norm; "
        "the parameters are those from before that step",
    )


def outside(tables: Mapping[str, int], number: int, value: int, net: Any, when: str = "") -> IndexingError:
    """The error about an index, `value`, outside the table of this number."""
    path, size = list(tables.items())[number]
    return IndexingError(
        f"{when}an index lies outside the table.",
        path=path or type(net).__name__,
        argument="x",
        expected=f"integers in [0, {size})",
        got=value,
        fix="check the data, or give the layer a larger input_dim",
    )
