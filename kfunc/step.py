"""The pure functions behind `Model`: one training step, one evaluation step, one prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import ops, random, tree
from .arrays import asarray, device, dtype_name, namespace, native
from .backends import Backend
from .data.batches import Batch
from .errors import ArgumentError
from .metrics import Mean
from .nn.constraints import constrain
from .optim import apply_updates
from .transforms import choose, fori_loop, stop_gradient, value_and_grad

__all__ = [
    "Progress",
    "TrainState",
    "forward",
    "make_custom_evaluation",
    "make_custom_step",
    "make_eval_step",
    "make_gradients",
    "make_predict",
    "make_train_step",
    "make_update",
    "repeated",
    "start",
]


class TrainState(NamedTuple):
    """All that changes in training.

    Attributes:
        params, state: As `net.init` returned them.
        opt_state: The optimizer's.
        key: The root random key, uint32 (2,); a step draws from `fold_in(key, step)`.
        step: Number of steps done, int32 ().
    """

    params: Any
    state: Any
    opt_state: Any
    key: Any
    step: Any


class Progress(NamedTuple):
    """What steps accumulate on the device, and the host reads now and then.

    Attributes:
        loss: Sum over the samples, and their number, float32 () each.
        metrics: Each metric's accumulator.
        fault: int32 (3,): the step that had to be refused, what was at fault, and the index that was. What is at fault
            is the loss (0), the gradient of a leaf (its number, from 1), or the indices that a layer looks up (the
            layers' numbers follow those of the leaves). -1 as long as there is none. After a fault, steps change
            nothing.
    """

    loss: tuple[Any, Any]
    metrics: dict[str, Any]
    fault: Any


def start(metrics: Mapping[str, Any], backend: Backend, on: Any = None) -> Progress:
    """The progress before the first step, on `backend`, on the device `on`."""
    # Two arrays: a compiled step would take one object in two places for a rule.
    zero, count = (asarray(0.0, "float32", backend=backend, device=on) for _ in range(2))
    first = {name: metric.init(zero) for name, metric in metrics.items()}
    return Progress((zero, count), first, asarray([-1, -1, -1], "int32", backend=backend, device=on))


def forward(net: Any, params: Any, x: Any, **options: Any) -> Any:
    """`net.apply` on a batch's inputs: the parts of a list or tuple are arguments of their own."""
    return net.apply(params, *x, **options) if isinstance(x, list | tuple) else net.apply(params, x, **options)


@native
def _samples(batch: Batch) -> Any:
    """Which samples count, if not all do, and how many."""
    samples = batch.samples()
    return samples, batch.size if samples is None else namespace(samples).astype(batch.count, "float32")


@native
def _masked(mask: Any, samples: Any) -> Any:
    """A mask, or a container of one for each output, that leaves out the samples which do not count."""
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
    progress: Progress,
    metrics: Mapping[str, Any],
    loss: Any,
    batch: Batch,
    y_pred: Any,
    mask: Any,
    samples: Any,
    n: Any,
) -> Progress:
    counted = {} if samples is None else {"samples": samples}
    accumulators = {
        name: metric.update(progress.metrics[name], batch.y, y_pred, batch.sample_weight, mask, **counted)
        for name, metric in metrics.items()
    }
    total, count = progress.loss
    return progress._replace(loss=(total + _like(loss, total) * n, count + n), metrics=accumulators)


@native
def _like(value: Any, total: Any) -> Any:
    """`value` in the dtype of what it is added to, which loops keep from step to step."""
    return value if value.dtype == total.dtype else namespace(value).astype(value, total.dtype)


@native
def _total(loss: Any, aux: dict[str, Any]) -> Any:
    """The loss and the auxiliary losses, each in the dtype of the loss."""
    for value in aux.values():
        loss = loss + _like(value, loss)
    return loss


def make_train_step(
    net: Any,
    optimizer: Any,
    loss: Callable,
    metrics: Mapping[str, Any],
    constraints: Mapping[str, Callable] | None = None,
    tables: Mapping[str, int] | None = None,
) -> Callable:
    """The function `(train_state, progress, batch) -> (train_state, progress)` of one training step.

    What is minimised is the loss and the network's auxiliary losses. Where the optimizer can lower the scale of the
    loss, a gradient that overflowed makes it skip the step and do so, and is a fault at the scale 1 only.

    Args:
        net: A layer.
        optimizer: `(init, update)` in optax's protocol.
        loss: `(y_true, y_pred, sample_weight, mask) -> scalar`.
        metrics: Name to metric.
        constraints: Of parameters, by path, as `net.constraints` finds them.
        tables: The sizes of the tables in which layers look up indices, by path, as `net.trace` finds them. Indices
            outside are a fault.
    """
    look, skips = _look(net, optimizer, loss, metrics, tables or {}), hasattr(optimizer, "skipped")

    def step(ts: TrainState, progress: Progress, batch: Batch) -> tuple[TrainState, Progress]:
        seen = look(ts, progress, batch)

        def advance():
            updates, opt_state = optimizer.update(seen.grads, ts.opt_state, ts.params)
            params = constrain(apply_updates(ts.params, updates), constraints or {})
            return params, seen.state, opt_state, ts.step + 1, progress.fault

        def refuse():
            return ts.params, ts.state, ts.opt_state, ts.step, seen.fault()

        def skip():
            _, opt_state = optimizer.update(seen.grads, ts.opt_state, ts.params)
            return ts.params, ts.state, opt_state, ts.step + 1, progress.fault

        def otherwise():
            return choose(seen.may_skip(), skip, refuse) if skips else refuse()

        params, state, opt_state, number, fault = choose(seen.sound, advance, otherwise)
        done = choose(seen.sound, seen.count, lambda: (progress.loss, progress.metrics)) if skips else seen.count()
        return TrainState(params, state, opt_state, ts.key, number), Progress(done[0], done[1], fault)

    return step


def make_gradients(
    net: Any, optimizer: Any, loss: Callable, metrics: Mapping[str, Any], tables: Mapping[str, int] | None = None
) -> Callable:
    """The first half of `make_train_step(...)`, of an optimizer that skips nothing, which leaves out the update.

    Returns:
        The function `(train_state, progress, batch) -> (sound, gradients, (state, step), progress)`: whether the step
        may be taken, bool (); what to update with; and what the rest of the train state is after it, or is still.
    """
    look = _look(net, optimizer, loss, metrics, tables or {})

    def step(ts: TrainState, progress: Progress, batch: Batch) -> tuple[Any, Any, tuple[Any, Any], Progress]:
        seen = look(ts, progress, batch)
        advance, refuse = (seen.state, ts.step + 1, progress.fault), lambda: (ts.state, ts.step, seen.fault())
        state, number, fault = choose(seen.sound, lambda: advance, refuse)
        total, counted = seen.count()
        return seen.sound, seen.grads, (state, number), Progress(total, counted, fault)

    return step


def make_update(optimizer: Any) -> Callable:
    """The second half: `(gradients, opt_state, params) -> (params, opt_state)`."""

    def update(grads: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return apply_updates(params, updates), opt_state

    return update


class _Seen(NamedTuple):
    """What a training step found out before it changes anything.

    Attributes:
        sound: Whether it may be taken.
        grads: The gradients.
        state: The network's state after it.
        count: Without arguments: the sums of losses, and the metrics' accumulators, with this batch.
        may_skip: Whether the step, if it is not sound, may be passed over.
        fault: The `Progress.fault` if it is refused.
    """

    sound: Any
    grads: Any
    state: Any
    count: Callable
    may_skip: Callable
    fault: Callable


def _look(net: Any, optimizer: Any, loss: Callable, metrics: Mapping[str, Any], tables: Mapping[str, int]) -> Callable:
    """The function `(train_state, progress, batch) -> _Seen`; arguments as for `make_train_step`."""
    scale_of = getattr(optimizer, "loss_scale", None)

    def look(ts: TrainState, progress: Progress, batch: Batch) -> _Seen:
        key = random.fold_in(ts.key, ts.step)
        scale = None if scale_of is None else scale_of(ts.opt_state)
        samples, n = _samples(batch)
        options = {"report": bool(tables), "samples": samples} if tables or samples is not None else {}

        def objective(params):
            y_pred, state, aux = forward(net, params, batch.x, state=ts.state, key=key, train=True, aux=True, **options)
            mask = _masked(aux.mask, samples)
            value = _total(loss(batch.y, y_pred, batch.sample_weight, mask), aux.losses)
            # In a list: Dynamo cannot hand a None out of a gradient.
            masks = [] if mask is None else [mask]
            return value if scale is None else value * scale, (value, y_pred, state, masks, aux.indices or {})

        (_, (value, y_pred, state, masks, indices)), grads = value_and_grad(objective, has_aux=True)(ts.params)
        finite = ops.all_finite(value, *tree.leaves(grads))
        good, worst = _looked_up(finite, indices, tables)

        def count():
            done = _accumulate(progress, metrics, value, batch, y_pred, masks[0] if masks else None, samples, n)
            return done.loss, done.metrics

        return _Seen(
            _sound(good, progress.fault),
            grads,
            state,
            count,
            lambda: _may_skip(scale, progress.fault, good, worst),
            lambda: _fault(good, worst, progress.fault, ts.step),
        )

    return look


@native
def _looked_up(finite: Any, indices: Mapping[str, Any], tables: Mapping[str, int]) -> tuple[Any, Any]:
    """`finite` with what is true of indices that were looked up behind it; and these indices, or None."""
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
    """Whether a step that overflowed may be passed over: the scale can still be lowered, and no index is at fault."""
    may = (scale > 1) & (fault[0] < 0)
    return may if worst is None else may & namespace(good).all(good[good.shape[0] - worst.shape[0] :])


@native
def _sound(good, fault):
    """Whether a step may be taken: everything is as it should be, and always was."""
    return namespace(good).all(good) & (fault[0] < 0)


@native
def _fault(good, worst, fault, step):
    """The `Progress.fault` after a step that was not taken. Indices at fault are the cause of what is not finite."""
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
    net: Any, loss: Callable, metrics: Mapping[str, Any], tables: Mapping[str, int] | None = None
) -> Callable:
    """The function `(params, state, progress, batch) -> progress` of one evaluation step; arguments as for training."""
    tables = tables or {}

    def step(params: Any, state: Any, progress: Progress, batch: Batch) -> Progress:
        samples, n = _samples(batch)
        options = {"report": bool(tables), "samples": samples} if tables or samples is not None else {}
        y_pred, _, aux = forward(net, params, batch.x, state=state, aux=True, **options)
        mask = _masked(aux.mask, samples)
        value = _total(loss(batch.y, y_pred, batch.sample_weight, mask), aux.losses)
        done = _accumulate(progress, metrics, value, batch, y_pred, mask, samples, n)
        return done if not tables else done._replace(fault=_outside(aux.indices, tables, progress.fault))

    return step


@native
def _outside(indices: Mapping[str, Any], tables: Mapping[str, int], fault: Any) -> Any:
    """The `Progress.fault` of an evaluation, whose faults are counted from 1."""
    xp = namespace(fault)
    good, worst = _looked_up(xp.ones_like(fault[:1], dtype=xp.bool), indices, tables)
    return xp.where(xp.all(good), fault, _fault(good, worst, fault, xp.zeros_like(fault[0])))


def make_predict(net: Any, tables: Mapping[str, int] | None = None) -> Callable:
    """The function `(params, state, x) -> output` of one prediction.

    With `tables`, as for training, it returns `(output, indices)`, see `Aux.indices`.
    """

    def predict(params: Any, state: Any, x: Any) -> Any:
        if not tables:
            return forward(net, params, x, state=state)[0]
        y_pred, _, aux = forward(net, params, x, state=state, aux=True, report=True)
        return y_pred, aux.indices

    return predict


def make_custom_step(step: Callable) -> Callable:
    """The function `(train_state, progress, batch) -> (train_state, progress)` around a step of the user's own.

    Args:
        step: A pure `(train_state, batch) -> (train_state, logs)`, with `logs` a dict of scalars. What of it is not
            finite, a log or a parameter, is a fault, and the step is refused. Progress holds the logs' means over the
            samples, by their sorted names; `train_state.step` is counted for it.

    Raises:
        ArgumentError: The step returns something else, or a train state that is not built like the one it was given.
    """

    def run(ts: TrainState, progress: Progress, batch: Batch) -> tuple[TrainState, Progress]:
        out = step(ts, batch)
        if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[0], TrainState)):
            raise _no_step("step", "(train_state, logs)", out, "return train_state._replace(params=params), logs")
        new = stop_gradient(out[0]._replace(key=ts.key, step=ts.step + 1))
        for part in ("params", "state", "opt_state"):
            _check_alike(part, getattr(ts, part), getattr(new, part))
        logs = _scalars("step", out[1], ts.step, progress)
        good = ops.all_finite(*logs.values(), *tree.leaves(new.params))

        def refuse():
            return ts, _fault(good, None, progress.fault, ts.step)

        done, fault = choose(_sound(good, progress.fault), lambda: (new, progress.fault), refuse)
        counted = _counted(progress, {name: _or_zero(value) for name, value in logs.items()}, batch.size)
        return done, Progress(progress.loss, counted, fault)

    return run


def make_custom_evaluation(step: Callable) -> Callable:
    """The function `(train_state, progress, batch) -> progress` around an evaluation step of the user's own.

    Args:
        step: A pure `(train_state, batch) -> logs`.

    Raises:
        ArgumentError: The step returns something else.
    """

    def run(ts: TrainState, progress: Progress, batch: Batch) -> Progress:
        logs = _scalars("eval_step", step(ts, batch), ts.step, progress)
        return progress._replace(metrics=_counted(progress, logs, batch.size))

    return run


def _no_step(argument: str, expected: str, got: Any, fix: str) -> ArgumentError:
    got = f"({', '.join(type(x).__name__ for x in got)})" if type(got) is tuple else type(got).__name__
    return ArgumentError(
        f"The {argument} returned something else.", argument=argument, expected=expected, got=got, fix=fix
    )


@native
def _check_alike(part: str, old: Any, new: Any) -> None:
    """Raise ArgumentError unless a part of the train state has the structure, the shapes and the dtypes that it had."""
    if tree.structure(old) != tree.structure(new):
        raise ArgumentError(
            f"The step returned {part} of another structure.",
            argument="step",
            expected=", ".join(tree.paths(old)) or f"no {part}, as it was given none",
            got=", ".join(tree.paths(new)) or "no arrays",
            fix=f"return all of train_state.{part}, changed or not"
            if tree.leaves(old)
            else 'call model.compile(optimizer="adam") first, which makes the opt_state'
            if part == "opt_state"
            else f"leave {part} as it is",
        )
    for path, a, b in zip(tree.paths(old), tree.leaves(old), tree.leaves(new), strict=True):
        if getattr(b, "shape", None) != a.shape or b.dtype != a.dtype:
            raise ArgumentError(
                f"The step changed the form of {part}.",
                path=path,
                argument="step",
                expected=f"{dtype_name(a.dtype)} {tuple(a.shape)}",
                got=f"{dtype_name(b.dtype)} {tuple(b.shape)}" if hasattr(b, "shape") else type(b).__name__,
            )


def _scalars(argument: str, logs: Any, step: Any, progress: Progress) -> dict[str, Any]:
    """What a step of the user's own logs, float32 () each, by sorted names."""
    if not isinstance(logs, Mapping) or not all(isinstance(name, str) for name in logs):
        expected = "a dict of scalars" if argument == "eval_step" else "(train_state, logs), logs a dict of scalars"
        raise _no_step(argument, expected, logs, 'return {"loss": loss}, for example')
    if progress.metrics and logs.keys() != progress.metrics.keys():
        raise ArgumentError(
            f"The {argument} logs other quantities than before.",
            argument=argument,
            expected=", ".join(sorted(progress.metrics)),
            got=", ".join(sorted(logs)) or "none",
        )
    return {name: stop_gradient(_scalar(argument, name, logs[name], step)) for name in sorted(logs)}


@native
def _scalar(argument: str, name: str, value: Any, step: Any) -> Any:
    xp = namespace(step)
    if isinstance(value, bool | int | float):
        return xp.full((), float(value), dtype=xp.float32, device=device(step))
    if getattr(value, "shape", None) != ():
        raise ArgumentError(
            f"The {argument} logs something that is no scalar.",
            argument=argument,
            expected=f"{name!r} a number, or an array of shape ()",
            got=f"shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__,
            fix="log its mean",
        )
    return xp.astype(value, xp.float32)


@native
def _or_zero(value: Any) -> Any:
    """What is not finite is a fault, and would only make NumPy warn."""
    xp = namespace(value)
    return xp.where(xp.isfinite(value), value, xp.zeros_like(value))


def _counted(progress: Progress, logs: dict[str, Any], n: int) -> dict[str, Any]:
    mean = Mean()
    return {
        name: _add_value(progress.metrics[name] if name in progress.metrics else mean.init(value), value, n)
        for name, value in logs.items()
    }


@native
def _add_value(acc: Any, value: Any, n: int) -> Any:
    return Mean().update(acc, namespace(value).reshape(value, (1,)), namespace(value).full((1,), n, dtype=value.dtype))


def repeated(step: Callable) -> Callable:
    """The function `(fixed, carry, batches, n) -> carry` of `n` steps, int32 (), where `step` is one on one batch.

    The leaves of `batches` have a first axis for the steps; it may be longer than `n`, which is the same program then.
    """

    def run(fixed: Any, carry: Any, batches: Batch, n: Any) -> Any:
        return fori_loop(0, n, lambda i, c: step(fixed, c, tree.map(lambda a: a[i], batches)), carry)

    return run
