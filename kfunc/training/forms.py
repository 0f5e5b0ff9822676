"""`Forms`: checks that a model takes batches whose inner sizes differ from those of the first batch."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from .. import tree
from ..arrays import dtype_name
from ..backends import get
from ..data.batches import Batch, paths
from ..errors import KfuncError, ShapeError
from ..tracing.spec import Spec
from .objective import Objective, leaf_of
from .state import start
from .step import forward, make_eval_step
from .traced import Traced

__all__ = ["Forms", "check_first"]


class Forms:
    """A check of batches, for `Source.check`. A batch of a new form is run on shapes, once for each form.

    The form of a batch is the shapes of its arrays without the axis of the samples. The reader of the data calls this
    before any step sees the batch, so a batch that does not fit changes nothing.

    Args:
        traced: What is known about the network.
        first: The first batch. Its form is not checked: the first step does that.
        objective: Loss and metrics; None for a prediction.
    """

    def __init__(self, traced: Traced, first: Batch, objective: Objective | None = None):
        self._traced, self._first, self._objective = traced, first, objective
        traced.check_inputs(first.x)
        self._known: set[Any] = {_form(first)}

    def __call__(self, batch: Batch) -> None:
        """Raise ShapeError if the network, the loss or a metric does not take the batch."""
        if (form := _form(batch)) in self._known:
            return
        try:
            output = self._run(batch)
            if self._objective is not None:
                self._check_broadcasts(batch, output)
        except KfuncError as error:
            raise self._refusal(batch, error) from error
        self._known.add(form)

    def _run(self, batch: Batch) -> Any:
        """The `Spec`s of the network's outputs for a batch. Loss and metrics are run, too, if shapes are enough."""
        if self._objective is not None and self._measures:
            self._measure(batch)
        specs, key = tree.map(_spec, batch.x), Spec((2,), "uint32") if self._traced.draws else None
        params, state = self._traced.variables
        return forward(self._traced.net, params, specs, state=state, key=key)[0]

    @functools.cached_property
    def _measures(self) -> bool:
        """Whether loss and metrics can be run on shapes alone, as they can be for the first batch."""
        try:
            self._measure(self._first)
        except Exception:  # a function of the user's own needs numbers; or the first step will raise that again
            return False
        return True

    def _measure(self, batch: Batch) -> None:
        """An evaluation step on shapes."""
        assert self._objective is not None
        loss, metrics = self._objective.loss, self._objective.metrics
        before = tree.map(_spec, start(metrics, get("numpy")))
        step = make_eval_step(self._traced.net, loss, metrics, self._traced.tables)
        key = Spec((2,), "uint32") if self._traced.draws else None
        after = step(*self._traced.variables, before, tree.map(_spec, batch), key)
        for name in metrics:
            old, new = ([tuple(x.shape) for x in tree.leaves(p.metrics[name])] for p in (before, after))
            if old != new:
                raise ShapeError(
                    f"The sums of the metric {name!r} have shape {new}, and had {old}.", argument="metrics"
                )

    @functools.cached_property
    def _output(self) -> Any:
        return self._run(self._first)

    def _check_broadcasts(self, batch: Batch, output: Any) -> None:
        """Raise ShapeError if a target of size 1 would be spread over an output, or the other way round.

        kfunc's losses refuse that by themselves, but a function of the user's own may not. Sizes that differed in the
        first batch already are the user's intention.
        """
        for i, (was, is_) in enumerate(zip(tree.leaves(self._output), tree.leaves(output), strict=True)):
            old, new = leaf_of(self._first.y, i), leaf_of(batch.y, i)
            if not hasattr(new, "shape") or len(new.shape) != len(is_.shape):
                continue
            for before, after in zip(_pairs(old, was), _pairs(new, is_), strict=True):
                if before[0] == before[1] and after[0] != after[1] and 1 in after:
                    raise ShapeError(
                        f"The targets have shape {new.shape}, and the output has {tuple(is_.shape)}.",
                        expected=f"targets of shape {tuple(is_.shape)}",
                        got=f"shape {new.shape}",
                    )

    def _refusal(self, batch: Batch, error: KfuncError) -> ShapeError:
        """The error that names the arrays whose sizes are not those of the first batch, and says what does not fit."""
        each = zip(paths(batch), tree.leaves(self._first), tree.leaves(batch), strict=True)
        other = [(path, a.shape[1:], b.shape) for path, a, b in each if a.shape[1:] != b.shape[1:]]
        return ShapeError(
            f"A batch in which {_listed((path, got) for path, _, got in other)} does not fit the model: "
            f"{error.problem.removesuffix('.')}.",
            path=error.path,
            argument=", ".join(path for path, *_ in other),
            expected=f"{_listed((path, (got[0], *inner)) for path, inner, got in other)}, as in the first batch; or "
            "other sizes that fit the network, the loss and the metrics",
            got=_listed((path, got) for path, _, got in other),
            fix=error.fix,
        )


def check_first(traced: Traced, batch: Batch) -> None:
    """Raise ShapeError if the network does not take a first batch: a program for all sizes does not look at its own."""
    Forms(traced, batch)._run(batch)


def _listed(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> str:
    return ", ".join(f"{path} has shape {shape}" for path, shape in shapes)


def _pairs(target: Any, output: Any) -> list[tuple[Any, Any]]:
    """The inner sizes of a target beside those of the output."""
    return list(zip(target.shape[1:], output.shape[1:], strict=True))


def _form(batch: Batch) -> Any:
    return tuple([a.shape[1:] for a in tree.leaves(batch)])


def _spec(x: Any) -> Spec:
    return Spec(tuple(x.shape), dtype_name(x.dtype))
