"""The pure functions behind `Model`: one training step, one evaluation step, one prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import ops, random, tree
from .arrays import asarray, namespace, native
from .backends import Backend
from .data import Batch
from .nn.constraints import constrain
from .optim import apply_updates
from .transforms import choose, value_and_grad

__all__ = ["Progress", "TrainState", "forward", "make_eval_step", "make_predict", "make_train_step", "start"]


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
        fault: int32 (2,): the step whose loss or gradient was not finite, and the number of the first such leaf (0 is
            the loss); -1 as long as there is none. After a fault, steps change nothing.
    """

    loss: tuple[Any, Any]
    metrics: dict[str, Any]
    fault: Any


def start(metrics: Mapping[str, Any], backend: Backend, on: Any = None) -> Progress:
    """The progress before the first step, on `backend`, on the device `on`."""
    # Two arrays: a compiled step would take one object in two places for a rule.
    zero, count = (asarray(0.0, "float32", backend=backend, device=on) for _ in range(2))
    first = {name: metric.init(zero) for name, metric in metrics.items()}
    return Progress((zero, count), first, asarray([-1, -1], "int32", backend=backend, device=on))


def forward(net: Any, params: Any, x: Any, **options: Any) -> Any:
    """`net.apply` on a batch's inputs: the parts of a list or tuple are arguments of their own."""
    return net.apply(params, *x, **options) if isinstance(x, list | tuple) else net.apply(params, x, **options)


def _accumulate(progress: Progress, metrics: Mapping[str, Any], loss: Any, batch: Batch, y_pred: Any, mask: Any):
    n = batch.size
    accumulators = {
        name: metric.update(progress.metrics[name], batch.y, y_pred, batch.sample_weight, mask)
        for name, metric in metrics.items()
    }
    return progress._replace(loss=(progress.loss[0] + loss * n, progress.loss[1] + n), metrics=accumulators)


@native
def _total(loss: Any, aux: dict[str, Any]) -> Any:
    """The loss and the auxiliary losses, each in the dtype of the loss."""
    for value in aux.values():
        loss = loss + namespace(value).astype(value, loss.dtype)
    return loss


def make_train_step(
    net: Any,
    optimizer: Any,
    loss: Callable,
    metrics: Mapping[str, Any],
    constraints: Mapping[str, Callable] | None = None,
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
    """
    scale_of, skips = getattr(optimizer, "loss_scale", None), hasattr(optimizer, "skipped")

    def step(ts: TrainState, progress: Progress, batch: Batch) -> tuple[TrainState, Progress]:
        key = random.fold_in(ts.key, ts.step)
        scale = None if scale_of is None else scale_of(ts.opt_state)

        def objective(params):
            y_pred, state, aux = forward(net, params, batch.x, state=ts.state, key=key, train=True, aux=True)
            value = _total(loss(batch.y, y_pred, batch.sample_weight, aux.mask), aux.losses)
            # In a list: Dynamo cannot hand a None out of a gradient.
            masks = [] if aux.mask is None else [aux.mask]
            return value if scale is None else value * scale, (value, y_pred, state, masks)

        (_, (value, y_pred, state, masks)), grads = value_and_grad(objective, has_aux=True)(ts.params)
        finite = ops.all_finite(value, *tree.leaves(grads))

        def advance():
            updates, opt_state = optimizer.update(grads, ts.opt_state, ts.params)
            params = constrain(apply_updates(ts.params, updates), constraints or {})
            return params, state, opt_state, ts.step + 1, progress.fault

        def refuse():
            return ts.params, ts.state, ts.opt_state, ts.step, _fault(finite, progress.fault, ts.step)

        def skip():
            _, opt_state = optimizer.update(grads, ts.opt_state, ts.params)
            return ts.params, ts.state, opt_state, ts.step + 1, progress.fault

        def otherwise():
            return choose(_may_skip(scale, progress.fault), skip, refuse) if skips else refuse()

        def count():
            done = _accumulate(progress, metrics, value, batch, y_pred, masks[0] if masks else None)
            return done.loss, done.metrics

        sound = _sound(finite, progress.fault)
        params, new_state, opt_state, number, fault = choose(sound, advance, otherwise)
        loss_, seen = choose(sound, count, lambda: (progress.loss, progress.metrics)) if skips else count()
        return TrainState(params, new_state, opt_state, ts.key, number), Progress(loss_, seen, fault)

    return step


@native
def _may_skip(scale, fault):
    """Whether a step that overflowed may be passed over: the scale can still be lowered."""
    return (scale > 1) & (fault[0] < 0)


@native
def _sound(finite, fault):
    """Whether a step may be taken: everything is finite, and always was."""
    return namespace(finite).all(finite) & (fault[0] < 0)


@native
def _fault(finite, fault, step):
    """The `Progress.fault` after a step that was not taken."""
    xp = namespace(finite)
    here = xp.stack([step, xp.astype(xp.argmin(xp.astype(finite, xp.int32)), xp.int32)])
    return xp.where(fault[0] < 0, here, fault)


def make_eval_step(net: Any, loss: Callable, metrics: Mapping[str, Any]) -> Callable:
    """The function `(params, state, progress, batch) -> progress` of one evaluation step; arguments as for training."""

    def step(params: Any, state: Any, progress: Progress, batch: Batch) -> Progress:
        y_pred, _, aux = forward(net, params, batch.x, state=state, aux=True)
        value = _total(loss(batch.y, y_pred, batch.sample_weight, aux.mask), aux.losses)
        return _accumulate(progress, metrics, value, batch, y_pred, aux.mask)

    return step


def make_predict(net: Any) -> Callable:
    """The function `(params, state, x) -> output` of one prediction."""

    def predict(params: Any, state: Any, x: Any) -> Any:
        return forward(net, params, x, state=state)[0]

    return predict
