"""What is minimised and what is measured: the loss and the metrics that fit a network's outputs and the targets."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable
from typing import Any

from .. import losses, metrics, tree
from ..arrays import device, dtype_name, namespace, native, to_numpy
from ..dataclasses import dataclass
from ..errors import ArgumentError
from ..registry import is_ours
from ..tracing.spec import Spec

__all__ = [
    "JointLoss",
    "Objective",
    "OutputMetric",
    "all_per_sample",
    "by_output",
    "fitted",
    "joint_loss",
    "leaf_of",
    "monitors",
    "ordered",
    "per_sample",
]


@dataclass
class Objective:
    """What a loop minimises and measures.

    Attributes:
        loss: `(y_true, y_pred, sample_weight, mask) -> scalar`; None where a step of the user's own computes it.
        metrics: Name to metric.
    """

    loss: Any = None
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)

    def fills(self, labels: Any, traced: Any) -> bool:
        """Whether samples that do not count can stand in a batch and change nothing."""
        return (
            traced.separates
            and per_sample(self.loss, labels, traced.output)
            and all_per_sample(self.metrics, labels, traced.output)
        )

    def numbers(self, progress: Any) -> dict[str, Any]:
        """The loss and the metrics from a `Progress` of NumPy arrays; with a step of the user's own, its logs."""
        logs: dict[str, Any] = {}
        if float(progress.loss[1]):
            logs["loss"] = float(progress.loss[0]) / float(progress.loss[1])
        # Compiled functions sort names, so they cannot give the order.
        names = self.metrics or ordered(progress.metrics)
        return logs | {name: _number(self.metrics.get(name, _MEAN).result(progress.metrics[name])) for name in names}


def fitted(
    data: Any, loss: Any, loss_weights: Any, given: Any, weighted: Any, output: Any, names: list[str] | None
) -> tuple[Any, Objective]:
    """The data with targets in the order of the network's outputs, and the loss and the metrics that fit both.

    Args:
        data: A `Source`.
        loss, loss_weights: As for `joint_loss`.
        given, weighted: As for `monitors`.
        output, names: As for `joint_loss`.

    Raises:
        LabelError: Labels lie outside the classes.
        ArgumentError: There is no such loss or metric, or an output has none; or targets are missing.
    """
    data = data.map(functools.partial(by_output, output=output, names=names, loss=loss))
    labels = data.first.y
    found = joint_loss(loss, loss_weights, output, labels, names)
    among = output if isinstance(found, JointLoss) else output.shape[-1]
    data.check(lambda batch: found.check_labels(batch.y, among))
    return data, Objective(found, monitors(given, weighted, found, output, labels, names))


_MEAN = metrics.Mean()


def ordered(names: Iterable[str]) -> list[str]:
    """Names of logs: "loss" first, and then by the alphabet."""
    return sorted(names, key=lambda name: (name != "loss", name))


def _number(x: Any) -> Any:
    """A metric's value: a number, or a list of them."""
    x = to_numpy(x)
    return float(x) if x.ndim == 0 else x.tolist()


@dataclass
class JointLoss:
    """The weighted sum of one loss for each output; 0 where no output has one.

    Attributes:
        parts: For each output with a loss: its name, its number among the outputs, the loss, and its weight.
    """

    parts: tuple[tuple[str, int, losses.Loss, float], ...]

    @native
    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> Any:
        """The total, a scalar; arguments are trees with a leaf for each output, weights and masks maybe one for all."""
        total = None
        for _, i, loss, weight in self.parts:
            given = (leaf_of(x, i) for x in (y_true, y_pred, sample_weight, mask))
            value = loss(*given) * weight
            total = value if total is None else total + value
        if total is None:
            like = tree.leaves(y_pred)[0]
            return namespace(like).zeros((), dtype=namespace(like).float32, device=device(like))
        return total

    def per_sample(self, y_true: Any, output: Any) -> bool:
        """Whether each loss has values for each sample."""
        return all(per_sample(loss, leaf_of(y_true, i), tree.leaves(output)[i]) for _, i, loss, _ in self.parts)

    def check_labels(self, y_true: Any, output: Any) -> None:
        """Raise LabelError if labels lie outside the classes of their output."""
        for _, i, loss, _ in self.parts:
            loss.check_labels(leaf_of(y_true, i), tree.leaves(output)[i].shape[-1])


@dataclass
class OutputMetric:
    """A metric of one output.

    Attributes:
        metric: The metric.
        index: The number of the output; None if there is one only.
        weighted: Whether it takes sample weights into account.
    """

    metric: Any
    index: int | None = None
    weighted: bool = True

    def init(self, like: Any = None) -> Any:
        """The accumulator of no samples."""
        return self.metric.init(like)

    def update(
        self, acc: Any, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None, samples: Any = None
    ) -> Any:
        """The accumulator with one more batch; `samples`, booleans (batch,), and `mask` say which samples count."""
        weight = leaf_of(sample_weight, self.index) if self.weighted else None
        y_true, y_pred, mask = (leaf_of(x, self.index) for x in (y_true, y_pred, mask))
        counted = {"samples": samples} if isinstance(self.metric, LossValue) else {}
        return self.metric.update(acc, y_true, y_pred, weight, mask, **counted)

    def result(self, acc: Any) -> Any:
        """The metric's value."""
        return self.metric.result(acc)


@dataclass
class LossValue:
    """A loss as a metric: its value for each batch, weights and mask included, and the mean of these by sample."""

    loss: losses.Loss

    def init(self, like: Any = None) -> Any:
        return metrics.Mean().init(like)

    @native
    def update(
        self, acc: Any, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None, samples: Any = None
    ) -> Any:
        value = self.loss(y_true, y_pred, sample_weight, *(() if mask is None else (mask,)))
        xp = namespace(y_pred)
        zeros = xp.zeros_like(y_pred[(slice(None), *[0] * (y_pred.ndim - 1))], dtype=value.dtype)
        return metrics.Mean().update(acc, value + zeros, samples)

    def result(self, acc: Any) -> Any:
        return metrics.Mean().result(acc)


def per_sample(loss: Any, y_true: Any, output: Any) -> bool:
    """Whether a loss has a value for each sample, so that a mask can leave samples out; `output` is a `Spec`."""
    if isinstance(loss, JointLoss):
        return loss.per_sample(y_true, output)
    own = getattr(loss, "per_sample", False)
    if not (is_ours(type(loss)) if own is None else own):
        return False
    try:
        values = loss.values(Spec((None, *y_true.shape[1:]), dtype_name(y_true.dtype)), output)
    except Exception:  # the loss needs values, and shapes are not enough
        return False
    return len(values.shape) > 0 and values.shape[0] is None and loss.reduction not in ("none", None)


def all_per_sample(found: dict[str, OutputMetric], y_true: Any, output: Any) -> bool:
    """Whether a mask can leave samples out of each of these metrics, as of kfunc's own with values by sample."""

    def good(m: OutputMetric) -> bool:
        own = is_ours(type(m.metric))
        fun = getattr(m.metric, "fn", None)
        if not own or fun is None:
            return own
        return per_sample(fun, leaf_of(y_true, m.index), tree.leaves(output)[m.index or 0])

    return all(good(m) for m in found.values())


def leaf_of(x: Any, i: int | None) -> Any:
    """Leaf `i` of a tree, in which None is a leaf, too; one array, or None, is the same for all outputs."""
    return x if i is None or not isinstance(x, list | tuple | dict) else _leaves(x)[i]


def _leaves(x: Any) -> list:
    if isinstance(x, dict):
        return [leaf for name in sorted(x) for leaf in _leaves(x[name])]
    return [leaf for part in x for leaf in _leaves(part)] if isinstance(x, list | tuple) else [x]


def _names(output: Any) -> list[str]:
    """A name for each output: its key, or its number."""
    return [path.replace("/", "_") for path in tree.paths(output)]


def _matched(what: str, given: Any, names: list[str]) -> list:
    """The entry of `given`, a dict by output name or a list, for each output; None for an output without one.

    Where outputs lie in containers in containers, `given` may lie in such containers, too.
    """
    if not (isinstance(given, list | tuple) and len(given) == len(names)):
        given = _by_name(given, names, "")
    if isinstance(given, dict):
        if unknown := [k for k in given if k not in names]:
            raise ArgumentError(
                f"`{what}` names the output {unknown[0]!r}, which the network does not have.",
                argument=what,
                expected=", ".join(names),
                got=unknown[0],
            )
        return [given.get(name) for name in names]
    if isinstance(given, list | tuple) and len(given) == len(names):
        return list(given)
    raise ArgumentError(
        f"`{what}` must have an entry for each of the {len(names)} outputs.",
        argument=what,
        expected=f"a list of {len(names)}, or a dict with {', '.join(names)}",
        got=_brief(given),
    )


def _by_name(given: Any, names: list[str], prefix: str) -> Any:
    """Nested containers as one dict by output name, `{"p": {"a": x}}` as `{"p_a": x}`; anything else as it is."""
    parts = dict(enumerate(given)) if isinstance(given, list | tuple) else given
    if not isinstance(parts, dict) or (prefix and f"{prefix}_{next(iter(parts), '')}" not in _beginnings(names)):
        return given
    found: dict[str, Any] = {}
    for key, value in parts.items():
        name = f"{prefix}_{key}" if prefix else str(key)
        inner = _by_name(value, names, name) if name not in names else value
        found |= inner if inner is not value and isinstance(inner, dict) else {name: value}
    return found if any(name in names for name in found) or isinstance(given, dict) else given


def _beginnings(names: list[str]) -> set[str]:
    return {"_".join(parts[:n]) for name in names for parts in [name.split("_")] for n in range(1, len(parts) + 1)}


def _for_each(loss: Any, names: list[str]) -> list:
    """The loss of each output: its own, or the one for all; None for an output without one."""
    return _matched("loss", loss, names) if isinstance(loss, list | tuple | dict) else [loss] * len(names)


def _brief(given: Any) -> Any:
    """A container with shapes in place of arrays, for error messages."""
    return tree.map(lambda x: tuple(x.shape) if hasattr(x, "shape") else x, given)


def by_output(batch: Any, output: Any, names: list[str] | None = None, loss: Any = None) -> Any:
    """The batch with its targets and weights in the order of the outputs: dicts become lists, by key.

    A single array is for all outputs.

    Args:
        batch: With `y` and `sample_weight`.
        output, names: As for `joint_loss`.
        loss: As for `joint_loss`; an output without one needs no targets.

    Raises:
        ArgumentError: Targets name an output that the network does not have, or are missing for one with a loss.
    """
    if batch.y is None and loss is not None:
        raise ArgumentError(
            "`y` is missing: the loss needs targets.",
            argument="y",
            expected="targets, which the loss needs",
            got=None,
        )
    several = not isinstance(output, Spec)
    names = names or (_names(output) if several else [])
    y, weight = (_ordered(what, getattr(batch, what), output, names) for what in ("y", "sample_weight"))
    if several and isinstance(y, list):
        wanted = _for_each(loss, names)
        for name, one, target in zip(names, wanted, y, strict=True):
            if one is not None and target is None:
                raise ArgumentError(
                    f"The output {name!r} has a loss, and `y` has no targets for it.",
                    argument="y",
                    expected=", ".join(n for n, one in zip(names, wanted, strict=True) if one is not None),
                    got=", ".join(n for n, target in zip(names, y, strict=True) if target is not None),
                    fix=f"add y[{name!r}], or give compile a dict of losses without it",
                )
    return batch._replace(y=y, sample_weight=weight)


def _ordered(what: str, given: Any, output: Any, names: list[str]) -> Any:
    """The entry of `given` for each output, None for one without; for a single output, the only array in it."""
    if not isinstance(given, list | tuple | dict):
        return given
    if isinstance(output, Spec):
        if len(given) != 1:  # losses of the user's own may take containers
            return given
        return _matched(what, given, names or list(given))[0] if isinstance(given, dict) else given[0]
    if tree.structure(given) == tree.structure(output):
        return tree.leaves(given)
    return _matched(what, given, names)


def joint_loss(loss: Any, weights: Any, output: Any, labels: Any, names: list[str] | None = None) -> Any:
    """The loss of a network.

    Args:
        loss: As `losses.get` takes it; for several outputs a list or dict of these, None for an output without one; or
            one for all of them. None if there is none at all.
        weights: A number for each output; 1 by default.
        output, labels: Trees of `Spec`s or arrays: what the network returns, and the targets.
        names: A name for each output; by default its key, or its number.

    Raises:
        ArgumentError: There is no such loss, or there is not one for each output.
    """
    if loss is None:
        return JointLoss(())
    if isinstance(output, Spec):
        found = losses.get(_ordered("loss", loss, output, names or []), output.shape, tree.leaves(labels)[0].shape)
        return found if weights is None else JointLoss((("", 0, found, float(leaf_of(weights, 0))),))
    outs, names = tree.leaves(output), names or _names(output)
    given = _for_each(loss, names)
    factors = [1.0] * len(outs) if weights is None else _matched("loss_weights", weights, names)
    parts = [
        (name, i, losses.get(one, out.shape, leaf_of(labels, i).shape), 1.0 if w is None else float(w))
        for i, (name, out, one, w) in enumerate(zip(names, outs, given, factors, strict=True))
        if one is not None
    ]
    if not parts:
        raise ArgumentError("No output has a loss.", argument="loss", expected=f"one for {', '.join(names)}", got=loss)
    return JointLoss(tuple(parts))


def monitors(
    given: Any, weighted: Any, loss: Any, output: Any, labels: Any, names: list[str] | None = None
) -> dict[str, OutputMetric]:
    """The metrics of a network by the names that logs have.

    Args:
        given: Metrics that ignore sample weights, as `metrics.resolve` takes them: a list; for several outputs a list
            of lists, or a dict of lists.
        weighted: The same, for metrics that take sample weights into account.
        loss: What `joint_loss` returned.
        output, labels, names: As for `joint_loss`.
    """
    found: dict[str, OutputMetric] = {}
    several = not isinstance(output, Spec)
    if several and len(loss.parts) > 1:
        for name, i, part, _ in loss.parts:
            found[f"{name}_loss"] = OutputMetric(LossValue(part), i)
    names, outs = (names or _names(output)) if several else [""], tree.leaves(output)
    own = {i: part for _, i, part, _ in loss.parts} if isinstance(loss, JointLoss) else {0: loss}
    for group, heeds in ((given, False), (weighted, True)):
        each = _matched("metrics", group, names) if several and group else [group]
        for i, wanted in enumerate(each):
            for metric in _flat(wanted):
                if (target := leaf_of(labels, i)) is None:
                    raise ArgumentError(
                        f"`y` has no targets for the metric {metric}.", argument="y", expected=f"those of {metric}"
                    )
                argument = "weighted_metrics" if heeds else "metrics"
                made = metrics.resolve(metric, own.get(i), outs[i].shape, target.shape, argument)
                name = metric if isinstance(metric, str) else str(made.name)
                prefix = f"{names[i]}_" if len(outs) > 1 else ""
                full = f"{prefix}weighted_{name}" if heeds and prefix + name in found else prefix + name
                numbered = itertools.chain([full], (f"{full}_{n}" for n in itertools.count(1)))
                found[next(n for n in numbered if n not in found)] = OutputMetric(made, i if several else None, heeds)
    return found


def _flat(given: Any) -> list:
    """The metrics in nested lists and dicts; the config of a metric, a dict too, is one metric."""
    if isinstance(given, dict) and "class" not in given:
        given = list(given.values())
    if isinstance(given, list | tuple):
        return [metric for part in given for metric in _flat(part)]
    return [] if given is None else [given]
