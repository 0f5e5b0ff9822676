"""Transformations to build optimizers from with `chain`. They have optax's names."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .. import ops, tree
from ..arrays import asarray, backend_of, dtype_name, kind_of_tree, namespace, native, to_numpy
from ..errors import ArgumentError
from ..typing import Array, LearningRateLike, Tree
from .base import (
    Parts,
    anywhere,
    global_norm,
    in_range,
    in_single,
    needed,
    successor,
    times,
    transformation,
    wide_scalar,
    zero_count,
    zeros_like,
)

__all__ = [
    "add_decayed_weights",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "identity",
    "learning_rate",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_schedule",
    "set_to_zero",
    "trace",
    "with_learning_rate",
]


class Count(NamedTuple):
    """The number of updates so far: int32 ()."""

    count: Any


class Trace(NamedTuple):
    """The running sum of the gradients: a tree like the parameters."""

    trace: Any


class Moments(NamedTuple):
    """The number of updates, int32 (), and the running means of gradients and of squared gradients."""

    count: Any
    mu: Any
    nu: Any


def stateless(fun: Callable[[Tree], Tree], elementwise: Callable[[str], Any] | None = anywhere) -> Parts:
    """The transformation that has no state, and whose updates are `fun(updates)`."""
    return Parts(
        lambda params: (), lambda updates, state, params=None, **_: (fun(updates), state), elementwise=elementwise
    )


@transformation("identity")
def identity() -> Parts:
    """The updates, unchanged."""
    return stateless(lambda updates: updates)


@transformation("set_to_zero")
def set_to_zero() -> Parts:
    """Updates of 0: the parameters stay as they are."""
    return stateless(zeros_like)


@transformation("scale")
def scale(step_size: float) -> Parts:
    """The updates times the number `step_size`."""
    return stateless(lambda updates: times(updates, step_size))


@transformation("scale_by_schedule")
def scale_by_schedule(step_size_fn: Callable[[Array], Array]) -> Parts:
    """The updates times `step_size_fn(count)`. `count` is the number of updates before this one, an int32 array ()."""

    def update(updates, state, params=None, **_):
        return times(updates, step_size_fn(state.count)), Count(successor(state.count))

    return Parts(lambda params: Count(zero_count(params)), update, elementwise=anywhere)


class Rate(NamedTuple):
    """The learning rate, a floating array (); None if a schedule computes it."""

    learning_rate: Any


def rate(learning_rate: Any) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    """How an optimizer keeps and computes its learning rate, given as a number, an array () or a schedule.

    Returns:
        Two functions. `first(params)` is the part of the state that holds the learning rate: an array () if the
        learning rate is a number, so that it can be changed without a new compilation, and None otherwise.
        `at(kept, step)` is the learning rate at `step`, from 0, where `kept` is what the state holds.
    """
    if callable(learning_rate):
        return lambda params: None, lambda _, count: learning_rate(count)
    if isinstance(learning_rate, numbers.Real) and not isinstance(learning_rate, bool):
        # A number of NumPy becomes a Python number, which does not widen float32 arrays.
        value = float(learning_rate)
        in_range("learning_rate", value)
        return lambda params: wide_scalar(value, params), lambda own, _: own
    if kind_of_tree(learning_rate) is None:
        in_range("learning_rate", learning_rate)
    _check_array(learning_rate)
    return lambda params: None, lambda *_: learning_rate


def _check_array(learning_rate: Any) -> None:
    """Check the number in an array (), unless it is not known yet."""
    if not backend_of(learning_rate).is_traced(learning_rate) and not len(learning_rate.shape):
        in_range("learning_rate", float(to_numpy(learning_rate).reshape(())))


@transformation("scale_by_learning_rate")
def scale_by_learning_rate(learning_rate: LearningRateLike) -> Parts:
    """The updates times `-learning_rate`: the last transformation of an optimizer.

    Args:
        learning_rate: A number, an array () or a schedule.
    """
    first, at = rate(learning_rate)
    if callable(learning_rate):
        return scale_by_schedule(lambda count: -at(None, count)).inner

    def update(updates, state, params=None, **_):
        return times(updates, -at(state.learning_rate, None)), state

    return Parts(lambda params: Rate(first(params)), update, elementwise=anywhere)


def learning_rate(opt_state: Any) -> Any:
    """The learning rate in an optimizer's state, an array (). If the state holds several, it is the first one.

    It is None if the state holds no learning rate, since the optimizer was given a schedule or an array. The states of
    optax's `inject_hyperparams` hold a learning rate, too.
    """
    found = learning_rates(opt_state)
    return found[0] if found else None


def learning_rates(opt_state: Any) -> list[Any]:
    """All learning rates in an optimizer's state."""
    found: list[Any] = []

    def kept(old):
        found.append(old)
        return old

    _with_rates(opt_state, kept)
    return found


def with_learning_rate(opt_state: Any, value: Any) -> Any:
    """The optimizer's state with another learning rate, in the dtype of the old one.

    Args:
        opt_state: A state that holds a learning rate. If it holds several, all of them change.
        value: A number, an array (), or a function of the old learning rate, an array (), that returns one of these.

    Raises:
        ArgumentError: The state holds no learning rate, or the new one is negative or not finite.
    """
    found = []

    def changed(old):
        new = value(old) if callable(value) else value
        if isinstance(new, numbers.Real):
            in_range("learning_rate", float(new))
            found.append(_filled(old, float(new)))
        else:
            _check_array(new)
            backend = backend_of(old)
            found.append(asarray(new, dtype_name(old.dtype), backend=backend, device=backend.device(backend.lift(old))))
        return found[-1]

    out = _with_rates(opt_state, changed)
    if not found:
        raise ArgumentError(
            "`opt_state` holds no learning rate, so that it cannot be changed.",
            argument="opt_state",
            expected="the state of an optimizer that was made with a number, such as optim.adam(1e-3)",
            got="one whose learning rate is a schedule or an array, or that has none",
            fix="give the optimizer a number, or keep the schedule and leave its changes to it",
        )
    return out


@native
def _filled(old: Any, value: float) -> Any:
    return namespace(old).full_like(old, value)


def _with_rates(state: Any, change: Callable[[Any], Any]) -> Any:
    """`state` with `change(it)` in the place of each learning rate."""
    if type(state) in (dict, list, tuple):
        if isinstance(state, dict):
            return {k: _with_rates(v, change) for k, v in state.items()}
        return type(state)(_with_rates(v, change) for v in state)
    if not hasattr(state, "_fields"):
        return state
    parts = {name: _with_rates(value, change) for name, value in state._asdict().items() if name != "learning_rate"}
    if getattr(state, "learning_rate", None) is not None:
        parts["learning_rate"] = change(state.learning_rate)
    given = getattr(state, "hyperparams", None)
    # A learning rate from a schedule is not changed: optax computes it anew at each update.
    if isinstance(given, Mapping) and "learning_rate" in given.keys() - getattr(state, "hyperparams_states", {}).keys():
        parts["hyperparams"] = {**given, "learning_rate": change(given["learning_rate"])}
    return state._replace(**parts)


@transformation("clip_by_global_norm")
def clip_by_global_norm(max_norm: float) -> Parts:
    """Updates scaled down so that the norm of all of them together is at most `max_norm` (arXiv:1211.5063)."""
    in_range("max_norm", max_norm, ends="()")
    return stateless(lambda updates: _clipped(updates, max_norm), elementwise=None)


@transformation("clip_by_norm")
def clip_by_norm(max_norm: float) -> Parts:
    """Each leaf of the updates scaled down so that its norm is at most `max_norm`."""
    in_range("max_norm", max_norm, ends="()")
    return stateless(lambda updates: tree.map(lambda u: _clipped(u, max_norm), updates), elementwise=None)


def _clipped(updates: Any, max_norm: float) -> Any:
    if not tree.leaves(updates):
        return updates
    norm = global_norm(updates)
    xp = namespace(norm)
    return times(updates, max_norm / xp.maximum(norm, xp.full_like(norm, max_norm)))


@transformation("clip_by_value")
def clip_by_value(clip_value: float) -> Parts:
    """The updates with numbers below `-clip_value` or above `clip_value` replaced by these bounds."""
    in_range("clip_value", clip_value, ends="()")
    return stateless(lambda updates: tree.map(lambda u: namespace(u).clip(u, -clip_value, clip_value), updates))


@transformation("add_decayed_weights")
def add_decayed_weights(weight_decay: float = 0.0, mask: Any = None) -> Parts:
    """The updates plus `weight_decay` times the parameters.

    Args:
        weight_decay: A number.
        mask: A tree of booleans like the parameters, or a function of the parameters that returns it. Parameters decay
            where it is True; all parameters decay if it is None.
    """
    in_range("weight_decay", weight_decay)

    def update(updates, state, params=None, **_):
        needed(params, "add_decayed_weights")
        if mask is None:
            return tree.map(lambda u, p: u + weight_decay * p, updates, params), state
        chosen = mask(params) if callable(mask) else mask
        return tree.map(lambda u, p, m: u + weight_decay * p if m else u, updates, params, chosen), state

    return Parts(lambda params: (), update, elementwise=anywhere if mask is None else None)


@transformation("trace")
def trace(decay: float, nesterov: bool = False) -> Parts:
    """Momentum: a running sum of the updates in which older updates count less (Polyak, 1964; Nesterov, 1983).

    Args:
        decay: The share of the sum that stays at each step, in [0, 1).
        nesterov: Whether to look ahead along the momentum.
    """
    in_range("decay", decay, 0, 1)

    def update(updates, state, params=None, **_):
        sums = tree.map(lambda u, t: u + decay * t, updates, state.trace)
        return tree.map(lambda u, t: u + decay * t, updates, sums) if nesterov else sums, Trace(sums)

    return Parts(lambda params: Trace(zeros_like(params)), update, elementwise=anywhere)


@transformation("scale_by_adam")
def scale_by_adam(beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7) -> Parts:
    """The running mean of the updates, divided by the root of the running mean of their squares.

    Both means are corrected for their bias towards 0. This is algorithm 1 of Kingma and Ba, arXiv:1412.6980, as in
    optax and PyTorch; `adam` adds its epsilon at another place, as Keras does.

    Args:
        beta_1, beta_2: The share of the running means of updates and of squares that stays at each step, in [0, 1).
        epsilon: A number that is added to the root.
    """
    in_range("beta_1", beta_1, 0, 1)
    in_range("beta_2", beta_2, 0, 1)
    in_range("epsilon", epsilon)

    def init(params):
        return Moments(zero_count(params), zeros_like(params), zeros_like(params))

    def update(updates, state, params=None, overwrite=False):
        count = successor(state.count)
        means = updates, state.mu, state.nu
        updates, mu, nu = adam_step(count, 1.0, beta_1, beta_2, epsilon, *means, overwrite=overwrite)
        return updates, Moments(count, mu, nu)

    return in_single(Parts(init, update, elementwise=anywhere))


def adam_step(
    count: Array,
    step_size: float | Array,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    updates: Tree,
    mu: Tree,
    nu: Tree,
    **options: bool,
) -> tuple[Tree, Tree, Tree]:
    """`ops.adam` on trees. Returns the updates and the two new running means."""
    leaves, structure = tree.flatten(updates)
    n = len(leaves)
    if not n:
        return updates, mu, nu
    moments = (*tree.leaves(mu), *tree.leaves(nu))
    out = ops.adam(count, step_size, beta_1, beta_2, epsilon, *leaves, *moments, **options)
    return tuple(tree.unflatten(structure, out[i : i + n]) for i in (0, n, 2 * n))
