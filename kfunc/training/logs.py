"""What functions of the user's own return, steps and objectives: checked, and their logs added up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import tree
from ..arrays import device, dtype_name, namespace, native
from ..errors import ArgumentError
from ..metrics import Mean
from ..transforms import stop_gradient
from .state import Progress

__all__ = ["check_alike", "counted_logs", "must_return", "scalars"]


_MEAN = Mean()  # not made in a step: Dynamo cannot trace how it is made


def must_return(argument: str, expected: str, got: Any, fix: str) -> ArgumentError:
    """The error about a function of the user's own, given as `argument`, that has returned something else."""
    got = f"({', '.join(type(x).__name__ for x in got)})" if type(got) is tuple else type(got).__name__
    return ArgumentError(
        f"`{argument}` must return {expected}, got {got}.",
        argument=argument,
        expected=expected,
        got=got,
        fix=fix,
    )


@native
def check_alike(argument: str, part: str, old: Any, new: Any) -> None:
    """Raise ArgumentError unless a part of the train state has the structure, the shapes and the dtypes that it had."""
    if tree.structure(old) != tree.structure(new):
        raise ArgumentError(
            f"`{argument}` returned {part} of another structure.",
            argument=argument,
            expected=", ".join(tree.paths(old)) or f"no {part}, as it was given none",
            got=", ".join(tree.paths(new)) or "no arrays",
            fix=f"return all of {'train_state.' * (argument == 'step')}{part}, changed or not"
            if tree.leaves(old)
            else 'call model.compile(optimizer="adam") first, which makes the opt_state'
            if part == "opt_state"
            else f"leave {part} as it is",
        )
    for path, a, b in zip(tree.paths(old), tree.leaves(old), tree.leaves(new), strict=True):
        if getattr(b, "shape", None) != a.shape or b.dtype != a.dtype:
            raise ArgumentError(
                f"`{argument}` returned {part} of another shape or dtype: {path}.",
                path=path,
                argument=argument,
                expected=f"{dtype_name(a.dtype)} {tuple(a.shape)}",
                got=f"{dtype_name(b.dtype)} {tuple(b.shape)}" if hasattr(b, "shape") else type(b).__name__,
            )


def scalars(argument: str, expected: str, logs: Any, like: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """The logs of a function of the user's own, float32 () each, by sorted names.

    Args:
        argument: The function, as the user gave it.
        expected: What it should return, for the error.
        logs: What it returned.
        like: An array beside which numbers become arrays.
        before: Accumulators by the names that it has logged before; empty if it is called for the first time.
    """
    if not isinstance(logs, Mapping) or not all(isinstance(name, str) for name in logs):
        raise must_return(argument, expected, logs, 'return {"loss": loss}, for example')
    if before and logs.keys() != before.keys():
        raise ArgumentError(
            f"`{argument}` logs other quantities than before.",
            argument=argument,
            expected=", ".join(sorted(before)),
            got=", ".join(sorted(logs)) or "none",
        )
    return {name: stop_gradient(_scalar(argument, name, logs[name], like)) for name in sorted(logs)}


@native
def _scalar(argument: str, name: str, value: Any, like: Any) -> Any:
    xp = namespace(like)
    if isinstance(value, bool | int | float):
        return xp.full((), float(value), dtype=xp.float32, device=device(like))
    if getattr(value, "shape", None) != ():
        raise ArgumentError(
            f"`{argument}` must log scalars, and {name!r} is not one.",
            argument=argument,
            expected=f"{name!r} a number, or an array of shape ()",
            got=f"shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__,
            fix="log its mean",
        )
    return xp.astype(value, xp.float32)


def counted_logs(progress: Progress, logs: Mapping[str, Any], n: int) -> dict[str, Any]:
    """The accumulators of the logs' means, with one more batch of `n` samples."""
    return {
        name: _add_value(progress.metrics[name] if name in progress.metrics else _MEAN.init(value), value, n)
        for name, value in logs.items()
    }


@native
def _add_value(acc: Any, value: Any, n: int) -> Any:
    return _MEAN.update(acc, namespace(value).reshape(value, (1,)), namespace(value).full((1,), n, dtype=value.dtype))
