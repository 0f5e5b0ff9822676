"""The errors about numbers: of steps that were refused, made from `Progress.fault`, and about NaN in parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import tree
from ..arrays import to_numpy
from ..errors import IndexingError, NonFiniteError
from ..optim.base import foreign_part
from ..typing import Tree
from .state import Progress, TrainState

__all__ = ["check_arrays", "check_state", "has_nan", "outside", "stopped"]


def has_nan(x: Any) -> bool:
    """Whether a NumPy array holds NaN. It looks once at each number."""
    x = x.astype("float32") if x.dtype.kind == "V" else x  # such as bfloat16, which is not NumPy's
    return x.dtype.kind in "fc" and x.size > 0 and bool((most := x.max()) != most)


def check_arrays(when: str, fix: str, **parts: Tree) -> None:
    """Raise NonFiniteError if one of these arrays holds NaN.

    Args:
        when: The beginning of the error, if it needs one.
        fix: What to do.
        parts: "parameter" and "state", and their trees.
    """
    for kind, part in parts.items():
        for path, x in zip(tree.paths(part), tree.leaves(part), strict=True):
            if has_nan(x := to_numpy(x)):
                count = f"{int((x != x).sum())} of its {x.size} numbers are NaN"
                the = "the" if when else "The"
                raise NonFiniteError(
                    f"{when}{the} {kind} {path} is not finite.",
                    path=path,
                    expected="finite numbers",
                    got=count,
                    fix=fix,
                )


def check_state(ts: TrainState, when: str = "") -> None:
    """Raise NonFiniteError if NaN among results came from the parameters or the state, and not from the data.

    Only results that are NaN are a reason to look: reading all parameters takes longer than a small prediction.
    """
    fix = "take other parameters: these were NaN before, as training in kfunc keeps none that are"
    check_arrays(when, fix, parameter=ts.params, state=ts.state)


def stopped(
    progress: Progress, ts: TrainState, tables: Mapping[str, int] | None, net: Any, optimizer: Any
) -> Exception:
    """The error about a training step that was refused.

    Args:
        progress: A `Progress` of NumPy arrays.
        ts: The train state, which is that before the step.
        tables: The sizes of the tables in which layers look up rows, by path; None for a step of the user's own.
        net: The network.
        optimizer: The optimizer.
    """
    paths = tree.paths(ts.params)
    step, what, value = progress.fault.tolist()
    when = f"Training stopped at step {step}: "
    cure = "look for NaN in the data, lower the learning rate, or clip gradients by their global norm"
    if tables is None:
        logs = sorted(progress.metrics)
        path = None if what < len(logs) else paths[what - len(logs)]
        subject = f"the parameter {path}" if path else f"the number that the step logs as {logs[what]!r}"
        problem = f"{subject} is not finite."
    elif what > len(paths) + len(tables):
        path = paths[what - len(paths) - len(tables) - 1]
        if (part := foreign_part(optimizer)) is not None:
            problem = f"the {part[0]} {_named(part[1])} makes the parameter {path} NaN or infinite, "
            cure = "take another optimizer, such as one of kf.optim, or a policy that keeps the parameters in float32"
            if part[0] == "learning rate":
                cure = "let the function return a finite number for each step"
        else:
            problem = f"the parameter {path} becomes NaN or infinite by its constraint or the learning rate, "
            cure = "look for a division by 0 in the constraint, or lower the learning rate"
        problem += "from gradients that are finite."
    elif what > len(paths):
        return outside(tables, what - len(paths) - 1, value, net, when)
    else:
        check_state(ts, when)
        path = paths[what - 1] if what else None
        problem = f"the gradient of {path} is not finite." if path else "the loss is not finite."
    return NonFiniteError(
        when + problem,
        path=path,
        expected="finite numbers",
        got="NaN or infinity",
        fix=f"{cure}; the parameters are those from before that step",
    )


def _named(part: Any) -> str:
    """A name for an optimizer that may be a pair of functions, or a function: `optax.inject_hyperparams`; or for a
    learning rate."""
    update = part[1] if type(part) is tuple else getattr(part, "update", part)
    name = getattr(update, "__qualname__", type(update).__name__).partition(".")[0]
    return f"{getattr(update, '__module__', None) or '?'}".partition(".")[0] + f".{name}"


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
