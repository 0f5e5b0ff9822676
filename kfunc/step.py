"""The pure functions behind `Model`: one training step, one evaluation step, one prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import ops, random, tree
from .arrays import asarray, namespace, native
from .backends import Backend
from .data import Batch
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


def forward(net: Any, params: Any, x: Any, **options: Any) -> tuple[Any, Any]:
    """`net.apply` on a batch's inputs: the parts of a list or tuple are arguments of their own."""
    return net.apply(params, *x, **options) if isinstance(x, list | tuple) else net.apply(params, x, **options)


def _accumulate(progress: Progress, metrics: Mapping[str, Any], loss: Any, y: Any, y_pred: Any, batch: Batch):
    n = batch.size
    accumulators = {
        name: metric.update(progress.metrics[name], y, y_pred, batch.sample_weight) for name, metric in metrics.items()
    }
    return progress._replace(loss=(progress.loss[0] + loss * n, progress.loss[1] + n), metrics=accumulators)


def make_train_step(net: Any, optimizer: Any, loss: Callable, metrics: Mapping[str, Any]) -> Callable:
    """The function `(train_state, progress, batch) -> (train_state, progress)` of one training step.

    Args:
        net: A layer.
        optimizer: `(init, update)` in optax's protocol.
        loss: `(y_true, y_pred, sample_weight) -> scalar`.
        metrics: Name to metric.
    """

    def step(ts: TrainState, progress: Progress, batch: Batch) -> tuple[TrainState, Progress]:
        key = random.fold_in(ts.key, ts.step)

        def objective(params):
            y_pred, state = forward(net, params, batch.x, state=ts.state, key=key, train=True)
            return loss(batch.y, y_pred, batch.sample_weight), (y_pred, state)

        (value, (y_pred, state)), grads = value_and_grad(objective, has_aux=True)(ts.params)
        finite = ops.all_finite(value, *tree.leaves(grads))

        def advance():
            updates, opt_state = optimizer.update(grads, ts.opt_state, ts.params)
            return apply_updates(ts.params, updates), state, opt_state, ts.step + 1, progress.fault

        def refuse():
            return ts.params, ts.state, ts.opt_state, ts.step, _fault(finite, progress.fault, ts.step)

        params, new_state, opt_state, count, fault = choose(_sound(finite, progress.fault), advance, refuse)
        after = _accumulate(progress, metrics, value, batch.y, y_pred, batch)._replace(fault=fault)
        return TrainState(params, new_state, opt_state, ts.key, count), after

    return step


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
    """The function `(params, state, progress, batch) -> progress` of one evaluation step."""

    def step(params: Any, state: Any, progress: Progress, batch: Batch) -> Progress:
        y_pred, _ = forward(net, params, batch.x, state=state)
        value = loss(batch.y, y_pred, batch.sample_weight)
        return _accumulate(progress, metrics, value, batch.y, y_pred, batch)

    return step


def make_predict(net: Any) -> Callable:
    """The function `(params, state, x) -> output` of one prediction."""

    def predict(params: Any, state: Any, x: Any) -> Any:
        return forward(net, params, x, state=state)[0]

    return predict
