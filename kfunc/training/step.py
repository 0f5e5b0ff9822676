"""The pure functions behind `fit`, `evaluate` and `predict`: one training step, one evaluation step, one prediction."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .. import ops, random, tree
from ..arrays import namespace, native
from ..data.batches import Batch
from ..errors import ArgumentError, KfuncError
from ..nn.constraints import constrain
from ..optim import GradientTransformation, apply_updates
from ..optim.base import foreign_part
from ..registry import is_ours
from ..transforms import choose, fori_loop, training_gradient
from .custom_objective import OwnObjective, Seen
from .logs import counted_logs
from .state import Progress, TrainState

__all__ = [
    "evaluations",
    "fault_of",
    "forward",
    "make_eval_step",
    "make_gradients",
    "make_predict",
    "make_train_step",
    "make_update",
    "may_go_on",
    "predictions",
    "repeated",
    "train_steps",
]


def forward(net: Any, params: Any, x: Any, **options: Any) -> Any:
    """`net.apply` on the inputs of a batch; each part of a list or tuple is an argument of its own."""
    return net.apply(params, *x, **options) if isinstance(x, list | tuple) else net.apply(params, x, **options)


@native
def _samples(batch: Batch) -> Any:
    """Which samples count, None if all do, and how many."""
    samples = batch.samples()
    if samples is None:
        return None, batch.size
    xp = namespace(samples)
    return samples, xp.astype(batch.count, xp.float32)


@native
def _masked(mask: Any, samples: Any) -> Any:
    """A mask, or one for each output, that also leaves out the samples that only fill up the batch."""
    if samples is None:
        return mask
    if isinstance(mask, dict):
        return {name: _masked(m, samples) for name, m in mask.items()}
    if isinstance(mask, list | tuple):
        return [_masked(m, samples) for m in mask]
    if mask is None:
        return samples
    return mask & namespace(samples).reshape(samples, (-1, *[1] * (mask.ndim - 1)))


def _accumulate(
    progress: Progress, metrics: Mapping[str, Any], seen: Seen, batch: Batch, samples: Any, n: Any
) -> Progress:
    counted = {} if samples is None else {"samples": samples}
    accumulators = counted_logs(progress, seen.logs, batch.size) | {
        name: metric.update(progress.metrics[name], batch.y, seen.y_pred, batch.sample_weight, seen.mask, **counted)
        for name, metric in metrics.items()
        if name not in seen.logs
    }
    total, count = progress.loss
    return progress._replace(loss=(total + _like(seen.loss, total) * n, count + n), metrics=accumulators)


@native
def _like(value: Any, total: Any) -> Any:
    """`value` in the dtype of `total`, to which it is added: a compiled loop needs one dtype in all steps."""
    return value if value.dtype == total.dtype else namespace(value).astype(value, total.dtype)


@native
def _total(loss: Any, aux: dict[str, Any]) -> Any:
    """The loss and the auxiliary losses, each in the dtype of the loss."""
    for value in aux.values():
        loss = loss + _like(value, loss)
    return loss


def _measuring(net: Any, loss: Any, tables: Mapping[str, int]) -> Callable[..., Seen]:
    """The function `(params, state, batch, key, train, samples) -> Seen`: the network on a batch, and its loss."""
    if isinstance(loss, OwnObjective):
        return loss.measured

    def measured(params: Any, state: Any, batch: Batch, key: Any, train: bool, samples: Any) -> Seen:
        options = {"report": bool(tables), "samples": samples} if tables or samples is not None else {}
        options |= {"train": True} if train else {}
        y_pred, state, aux = forward(net, params, batch.x, state=state, key=key, aux=True, **options)
        mask = _masked(aux.mask, samples)
        value = _total(loss(batch.y, y_pred, batch.sample_weight, mask), aux.losses)
        return Seen(value, y_pred, state, mask, aux.indices or {})

    return measured


def make_train_step(
    net: Any,
    optimizer: Any,
    loss: Callable[..., Any],
    metrics: Mapping[str, Any],
    constraints: Mapping[str, Callable[..., Any]] | None = None,
    tables: Mapping[str, int] | None = None,
) -> Callable[..., Any]:
    """The function `(train_state, progress, batch) -> (train_state, progress)` of one training step.

    It minimises the loss and the network's auxiliary losses. If a gradient overflows, an optimizer that scales the loss
    skips the step and lowers the scale; at the scale 1, or with other optimizers, the overflow is a fault. So are
    parameters that are not finite, if an optimizer or a constraint that is not kfunc's may have made them.

    Args:
        net: A layer.
        optimizer: `(init, update)` in optax's protocol.
        loss: `(y_true, y_pred, sample_weight, mask) -> scalar`; or an `OwnObjective`, which needs no `net`.
        metrics: Name to metric.
        constraints: The constraint of each parameter that has one, by path, as `net.constraints` finds them.
        tables: The sizes of the tables in which layers look up rows, by path, as `net.trace` finds them. An index
            outside its table is a fault.
    """
    look, skips = _look(net, optimizer, loss, metrics, tables or {}), hasattr(optimizer, "skipped")
    asks = _asks(optimizer)
    foreign = foreign_part(optimizer) is not None or not all(map(is_ours, (constraints or {}).values()))

    def step(ts: TrainState, progress: Progress, batch: Batch) -> tuple[TrainState, Progress]:
        seen = look(ts, progress, batch)

        def advance():
            updates, opt_state = _updates(optimizer, asks, seen, ts)
            params = constrain(apply_updates(ts.params, updates), constraints or {})
            after = params, seen.state, opt_state, ts.step + 1, progress.fault
            if not foreign or not tree.leaves(params):
                return after
            good = ops.all_finite(*tree.leaves(params))

            def spoilt():
                fault = _spoilt(good, ts.step, 1 + len(tree.leaves(params)) + len(tables or {}))
                return ts.params, ts.state, ts.opt_state, ts.step, fault

            return choose(_all(good), lambda: after, spoilt)

        def refuse():
            return ts.params, ts.state, ts.opt_state, ts.step, seen.fault()

        def skip():
            _, opt_state = _updates(optimizer, asks, seen, ts)
            return ts.params, ts.state, opt_state, ts.step + 1, progress.fault

        def otherwise():
            return choose(seen.may_skip(), skip, refuse) if skips else refuse()

        params, state, opt_state, number, fault = choose(seen.sound, advance, otherwise)
        done = choose(seen.sound, seen.count, lambda: (progress.loss, progress.metrics)) if skips else seen.count()
        return TrainState(params, state, opt_state, ts.key, number), Progress(done[0], done[1], fault)

    return step


_MORE = ("value", "grad", "value_fn", "grad_fn")
"""What optimizers of optax may ask for beside the gradients: the loss, and functions of the parameters."""


def _asks(optimizer: Any) -> list[str]:
    """What an optimizer that is not kfunc's asks for beside the gradients."""
    if isinstance(optimizer, GradientTransformation):
        return []
    parameters = inspect.signature(optimizer.update).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    # `optax.lbfgs` takes anything, and refuses what its line search does not know.
    return [name for name in _MORE if name in parameters or (anything and name != "grad_fn")]


def _updates(optimizer: Any, asks: Iterable[str], seen: _Findings, ts: TrainState) -> tuple[Any, Any]:
    """`optimizer.update`, with all that it asks for.

    Raises:
        ArgumentError: It fails. It asks for more, and is a part of another optimizer, which does not hand that on; or
            it wants the parameters in a form of its own.
    """
    more = {
        "value": seen.loss,
        "grad": seen.grads,
        "value_fn": seen.loss_of,
        "grad_fn": lambda params, *_: training_gradient(lambda p: (seen.loss_of(p), ()))(params)[1],
    }
    try:
        return optimizer.update(seen.grads, ts.opt_state, ts.params, **{name: more[name] for name in asks})
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(error, KfuncError):
            raise
        raise ArgumentError(
            f"The optimizer cannot take a step: {error}",
            argument="optimizer",
            expected="an optimizer of a tree of gradients, `update(grads, opt_state, params)`",
            got=repr(optimizer)[:99],
            fix="if it asks for the loss (value, value_fn, grad_fn), give it to `compile` itself and not inside one of "
            "kf.optim's, in mixed precision with auto_scale_loss=False; if it keeps the parameters in a form of its "
            "own, as optax.lookahead does, write a step of your own: kf.Model(net, step=...)",
        ) from error


def make_gradients(
    net: Any,
    optimizer: Any,
    loss: Callable[..., Any],
    metrics: Mapping[str, Any],
    tables: Mapping[str, int] | None = None,
) -> Callable[..., Any]:
    """The first half of `make_train_step(...)`, without the update, for optimizers that skip no steps.

    Returns:
        The function `(train_state, progress, batch) -> (sound, gradients, (state, step), progress)`: whether the step
        may be taken, bool (); the gradients; and the rest of the train state after the step, or as it was if the step
        is refused.
    """
    look = _look(net, optimizer, loss, metrics, tables or {})

    def step(ts: TrainState, progress: Progress, batch: Batch) -> tuple[Any, Any, tuple[Any, Any], Progress]:
        seen = look(ts, progress, batch)
        advance, refuse = (seen.state, ts.step + 1, progress.fault), lambda: (ts.state, ts.step, seen.fault())
        state, number, fault = choose(seen.sound, lambda: advance, refuse)
        total, counted = seen.count()
        return seen.sound, seen.grads, (state, number), Progress(total, counted, fault)

    return step


def make_update(optimizer: Any) -> Callable[..., Any]:
    """The second half: `(gradients, opt_state, params) -> (params, opt_state)`."""

    def update(grads: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return apply_updates(params, updates), opt_state

    return update


class _Findings(NamedTuple):
    """The findings of a training step before it changes anything.

    Attributes:
        sound: Whether the step may be taken, bool ().
        grads: The gradients.
        loss: The loss.
        loss_of: The loss on the same batch as a function of the parameters.
        state: The network's state after it.
        count: Without arguments: the sums of losses, and the metrics' accumulators, with this batch.
        may_skip: Without arguments: whether a step that is not sound may be skipped, and training goes on.
        fault: Without arguments: the `Progress.fault` if the step is refused.
    """

    sound: Any
    grads: Any
    loss: Any
    loss_of: Callable[..., Any]
    state: Any
    count: Callable[..., Any]
    may_skip: Callable[..., Any]
    fault: Callable[..., Any]


def _look(
    net: Any, optimizer: Any, loss: Callable[..., Any], metrics: Mapping[str, Any], tables: Mapping[str, int]
) -> Callable[..., Any]:
    """The function `(train_state, progress, batch) -> _Findings`; arguments as for `make_train_step`."""
    scale_of, measured = getattr(optimizer, "loss_scale", None), _measuring(net, loss, tables)

    def look(ts: TrainState, progress: Progress, batch: Batch) -> _Findings:
        key = random.fold_in(ts.key, ts.step)
        scale = None if scale_of is None else scale_of(ts.opt_state)
        samples, n = _samples(batch)

        def objective(params):
            seen = measured(params, ts.state, batch, key, True, samples)
            # In lists, because Dynamo cannot return None from a function that is differentiated.
            y_pred, mask = ([] if x is None else [x] for x in (seen.y_pred, seen.mask))
            return seen.loss if scale is None else seen.loss * scale, seen._replace(y_pred=y_pred, mask=mask)

        if tree.leaves(ts.params):
            (_, seen), grads = training_gradient(objective)(ts.params)
        else:  # only the arrays of parameters would say to which backend the gradient belongs
            (_, seen), grads = objective(ts.params), ts.params
        y_pred, mask = (x[0] if x else None for x in (seen.y_pred, seen.mask))
        seen = seen._replace(y_pred=y_pred, mask=mask)
        finite = ops.all_finite(seen.loss, *tree.leaves(grads))
        good, worst = _looked_up(finite, seen.indices, tables)

        def count():
            done = _accumulate(progress, metrics, seen, batch, samples, n)
            return done.loss, done.metrics

        return _Findings(
            may_go_on(good, progress.fault),
            grads,
            seen.loss,
            lambda params: measured(params, ts.state, batch, key, True, samples).loss,
            seen.state,
            count,
            lambda: _may_skip(scale, progress.fault, good, worst),
            lambda: fault_of(good, worst, progress.fault, ts.step),
        )

    return look


@native
def _looked_up(finite: Any, indices: Mapping[str, Any], tables: Mapping[str, int]) -> tuple[Any, Any]:
    """`finite`, followed by a bool for each table: whether its index lies inside; and these indices, or None."""
    if not indices:
        return finite, None
    xp = namespace(finite)
    worst = xp.stack(
        [indices[path] if path in indices else xp.zeros_like(finite[0], dtype=xp.int32) for path in tables]
    )
    sizes = xp.stack([xp.full_like(worst[0], size) for size in tables.values()])
    return xp.concat([finite, (worst >= 0) & (worst < sizes)]), worst


@native
def _may_skip(scale, fault, good, worst):
    """Whether a step that overflowed may be skipped: the scale can still be lowered, and all indices are good."""
    may = (scale > 1) & (fault[0] < 0)
    return may if worst is None else may & namespace(good).all(good[good.shape[0] - worst.shape[0] :])


@native
def _all(good: Any) -> Any:
    return namespace(good).all(good)


@native
def _spoilt(good: Any, step: Any, first: int) -> Any:
    """The `Progress.fault` of a step in which an optimizer has made parameters that are not finite."""
    xp = namespace(good)
    what = xp.argmin(xp.astype(good, xp.int32)) + first
    return xp.stack([step, xp.astype(what, xp.int32), xp.zeros_like(step)])


@native
def may_go_on(good: Any, fault: Any) -> Any:
    """Whether a step may be taken: all in `good` is True, and no step before it was refused."""
    return namespace(good).all(good) & (fault[0] < 0)


@native
def fault_of(good: Any, worst: Any, fault: Any, step: Any) -> Any:
    """The `Progress.fault` after a step that was refused. A wrong index comes first: it may be why others are NaN."""
    xp = namespace(good)
    if worst is None:
        what, value = xp.argmin(xp.astype(good, xp.int32)), xp.zeros_like(step)
    else:
        first = good.shape[0] - worst.shape[0]
        lookups = xp.astype(good[first:], xp.int32)
        wrong = xp.argmin(lookups)
        by_index = xp.min(lookups) == 0
        what = xp.where(by_index, first + wrong, xp.argmin(xp.astype(good, xp.int32)))
        value = xp.take(worst, xp.reshape(wrong, (1,)))[0]
    here = xp.stack([step, xp.astype(what, xp.int32), value])
    return xp.where(fault[0] < 0, here, fault)


def make_eval_step(
    net: Any, loss: Callable[..., Any], metrics: Mapping[str, Any], tables: Mapping[str, int] | None = None
) -> Callable[..., Any]:
    """The function `(params, state, progress, batch, key=None) -> progress` of one evaluation step.

    Arguments are as for training. A network that draws random numbers outside training needs a key; the draws for a
    batch follow from the key and from how many samples came before the batch.
    """
    tables = tables or {}
    measured = _measuring(net, loss, tables)

    def step(params: Any, state: Any, progress: Progress, batch: Batch, key: Any = None) -> Progress:
        samples, n = _samples(batch)
        key = None if key is None else random.fold_in(key, _whole(progress.loss[1]))
        seen = measured(params, state, batch, key, False, samples)
        done = _accumulate(progress, metrics, seen, batch, samples, n)
        return done if not tables else done._replace(fault=_outside(seen.indices, tables, progress.fault))

    return step


@native
def _whole(count: Any) -> Any:
    return namespace(count).astype(count, namespace(count).int32)


@native
def _outside(indices: Mapping[str, Any], tables: Mapping[str, int], fault: Any) -> Any:
    """The `Progress.fault` of an evaluation, where the tables are numbered from 1."""
    xp = namespace(fault)
    good, worst = _looked_up(xp.ones_like(fault[:1], dtype=xp.bool), indices, tables)
    return xp.where(xp.all(good), fault, fault_of(good, worst, fault, xp.zeros_like(fault[0])))


def make_predict(net: Any, tables: Mapping[str, int] | None = None) -> Callable[..., Any]:
    """The function `(params, state, x, key=None) -> output` of one prediction.

    With `tables`, as for training, it returns `(output, indices)`, see `Aux.indices`.
    """

    def predict(params: Any, state: Any, x: Any, key: Any = None) -> Any:
        if not tables:
            return forward(net, params, x, state=state, key=key)[0]
        y_pred, _, aux = forward(net, params, x, state=state, key=key, aux=True, report=True)
        return y_pred, aux.indices

    return predict


def train_steps(*parts: Any) -> Callable[..., Any]:
    """`make_train_step(*parts)` as `(fixed, carry, batch) -> carry`: the carry is the train state and the progress."""
    step = make_train_step(*parts)
    return lambda _, carry, batch: step(*carry, batch)


def evaluations(*parts: Any) -> Callable[..., Any]:
    """`make_eval_step(*parts)` in that form: parameters and state are fixed, the carry is the progress."""
    step = make_eval_step(*parts)
    return lambda fixed, progress, batch: step(*fixed[:2], progress, batch, *fixed[2:])


def predictions(*parts: Any) -> Callable[..., Any]:
    """`make_predict(*parts)` in that form: in place of a carry it takes a key, or None, and returns results."""
    predict = make_predict(*parts)
    return lambda fixed, key, batch: predict(*fixed, batch.x, key)


def repeated(step: Callable[..., Any]) -> Callable[..., Any]:
    """The function `(fixed, carry, batches, n) -> carry` of `n` steps, int32 (), where `step` is one on one batch.

    The leaves of `batches` have a first axis for the steps. It may be longer than `n`, so that one program will do for
    any number of steps.
    """

    def run(fixed: Any, carry: Any, batches: Batch, n: Any) -> Any:
        return fori_loop(0, n, lambda i, c: step(fixed, c, tree.map(lambda a: a[i], batches)), carry)

    return run
