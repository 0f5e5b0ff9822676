"""An objective of the user's own: it takes the place of `compile`'s loss, and `fit` does everything else as always."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import random, tree
from ..arrays import dtype_name
from ..data.batches import Batch, rows
from ..data.protocol import Source
from ..dataclasses import dataclass
from ..errors import ArgumentError
from ..metrics import Mean
from ..tracing.spec import Spec
from .logs import check_alike, must_return, scalars
from .objective import JointLoss, Objective, monitors
from .state import TrainState

if TYPE_CHECKING:
    from .setup import Setup

__all__ = ["OwnObjective", "Seen", "with_objective"]

_RETURNED = "(loss, (state, logs)), loss a scalar and logs a dict of scalars"
_Y_PRED = "y_pred"
"""The entry of the logs that is no scalar: what the metrics of `compile` are measured on."""


class Seen(NamedTuple):
    """The findings on a batch: what a training step minimises and measures.

    Attributes:
        loss: A scalar.
        y_pred: The network's outputs, which metrics are measured on; or None.
        state: The network's state after the batch.
        mask: That of the outputs.
        indices: See `Aux.indices`.
        logs: Scalars by name, which an objective of the user's own wants to be shown.
    """

    loss: Any
    y_pred: Any
    state: Any
    mask: Any
    indices: dict[str, Any]
    logs: Mapping[str, Any] = {}


@dataclass
class OwnObjective:
    """The user's function, with what it returns checked.

    Attributes:
        fun: `(params, state, batch, key, train) -> (loss, (state, logs))`; see `Model`.
    """

    fun: Callable[..., Any]

    def measured(self, params: Any, state: Any, batch: Batch, key: Any, train: bool, samples: Any = None) -> Seen:
        """The function on a batch of which all samples count.

        Raises:
            ArgumentError: It returns something else.
        """
        out = self.fun(params, state, batch, key, train)
        if not (_is_pair(out) and _is_pair(out[1])):
            raise must_return("objective", _RETURNED, out, "return loss, (state, {})")
        loss, (state_after, logs) = out
        if getattr(loss, "shape", None) != ():
            got = f"an array of shape {tuple(loss.shape)}" if hasattr(loss, "shape") else type(loss).__name__
            raise ArgumentError(
                f"The loss that `objective` returns must be a scalar array, got {got}.",
                argument="objective",
                expected=_RETURNED,
                got=got,
                fix="return the mean of the losses of all samples",
            )
        if train:
            check_alike("objective", "state", state, state_after)
        y_pred = logs.get(_Y_PRED) if isinstance(logs, Mapping) else None
        if isinstance(logs, Mapping) and "loss" in logs:
            raise ArgumentError(
                "The objective logs 'loss', which is the name of the loss itself.",
                argument="objective",
                expected="logs of other names: the loss is logged without that",
                got=", ".join(map(str, logs)),
                fix="leave it out, or give it another name",
            )
        if y_pred is not None:
            logs = {name: value for name, value in logs.items() if name != _Y_PRED}
        return Seen(loss, y_pred, state_after, None, {}, scalars("objective", _RETURNED, logs, loss, {}))


def _is_pair(x: Any) -> bool:
    return isinstance(x, tuple | list) and len(x) == 2


def with_objective(
    setup: Setup, own: OwnObjective, data: Source, ts: TrainState, metrics: Any, weighted: Any, train: bool
) -> Setup:
    """`setup` with the user's objective, with a mean for each number that it logs, and with the metrics of `compile`.

    The names of the logs are found by running the function on shapes, once for each function; on a backend that cannot
    do that, by running it on the first batch.

    Args:
        setup: See `Setup`.
        own: The objective.
        data: Where the first batch comes from.
        ts: The train state, on the backend of `setup`.
        metrics, weighted: As for `compile`.
        train: Whether to train or to evaluate: the logs may differ.

    Raises:
        ArgumentError: The function returns something else, or there are metrics and no "y_pred" in its logs.
    """
    key, known = f"objective {own.fun!r} {train}", setup.functions.found
    if key not in known:
        known[key] = _found(setup, own, data, ts, train)
    names, output = known[key]
    given: dict[str, Any] = {}
    if metrics or weighted:
        if output is None:
            raise ArgumentError(
                "`metrics` need the outputs of the network, and the objective does not say what they are.",
                argument="metrics",
                expected=f"an objective whose logs have an entry {_Y_PRED!r}",
                got=", ".join(names) or "no logs",
                fix=f"return loss, (state, {{{_Y_PRED!r}: y_pred, ...}}), or compile without metrics",
            )
        given = monitors(metrics, weighted, JointLoss(()), output, data.first.y)
    if twice := sorted(given.keys() & names):
        raise ArgumentError(
            f"The objective logs {twice[0]!r}, which is a metric of `compile`, too.",
            argument="objective",
            expected="other names than those of the metrics",
            got=twice[0],
        )
    return setup._replace(objective=Objective(own, {name: Mean() for name in names} | given))


def _found(setup: Setup, own: OwnObjective, data: Source, ts: TrainState, train: bool) -> tuple[list[str], Any]:
    """The names of the logs, and the `Spec`s of `y_pred`, or None."""
    backend = setup.backend
    batch = tree.map(lambda x: backend.asarray(x, device=setup.where), rows(data.first, slice(None, data.batch_size)))

    def run(params: Any, state: Any, batch: Batch, key: Any) -> Any:
        seen = own.measured(params, state, batch, key, train)
        return seen.logs, [] if seen.y_pred is None else [seen.y_pred]

    arguments = ts.params, ts.state, batch, random.fold_in(ts.key, ts.step)
    shapes = backend.shapes(run, *arguments)
    if shapes is None:
        with backend.inferring():
            shapes = run(*arguments)
    logs, outputs = shapes
    output = tree.map(lambda x: Spec((None, *tuple(x.shape)[1:]), dtype_name(x.dtype)), outputs)
    return list(logs), output[0] if output else None
