"""Gradient transformations: pairs of pure functions with optax's protocol, on the arrays of any backend."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import ops, tree
from ..arrays import backend_of, device, kind_of_tree, namespace, native
from ..errors import ArgumentError
from ..registry import register

__all__ = [
    "GradientTransformation",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "clip_by_global_norm",
    "clip_by_value",
    "global_norm",
    "identity",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_schedule",
    "sgd",
    "trace",
]


class _Pair(NamedTuple):
    init: Callable
    update: Callable


class GradientTransformation(_Pair):
    """`init, update = transformation`: an optimizer, or a part of one.

    `init(params) -> opt_state` and `update(grads, opt_state, params=None) -> (updates, opt_state)` are pure; updates
    are added to the parameters (`apply_updates`). States are tuples of trees of arrays. The protocol is optax's: its
    transformations go into `chain`, and these into `optax.chain`.

    Attributes:
        config: The name and the arguments it was made with, for a model's file.
        inner: `(init, update)` without the door for native arrays, which has to be passed only once.
    """

    config: dict[str, Any] | None = None
    inner: tuple[Callable, Callable]


class Count(NamedTuple):
    """How many updates there were: int32, ()."""

    count: Any


class Trace(NamedTuple):
    """The running sum of the gradients, a tree like the parameters."""

    trace: Any


class Moments(NamedTuple):
    """Number of updates, int32 (), and the running means of the gradients and of their squares, like the parameters."""

    count: Any
    mu: Any
    nu: Any


def _inner(transformation: Any) -> tuple[Callable, Callable]:
    return getattr(transformation, "inner", transformation)


def _transformation(*names: str) -> Callable[[Callable], Callable[..., GradientTransformation]]:
    """Decorate a function that returns `(init, update)`: name it in the registry, and keep the arguments as config."""

    def decorate(fun: Callable) -> Callable[..., GradientTransformation]:
        signature = inspect.signature(fun)

        @functools.wraps(fun)
        def make(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            init, update = _inner(fun(*args, **kwargs))
            out = GradientTransformation(native(init), native(update))
            out.inner = init, update
            out.config = {"category": "optimizer", "class": names[0], "config": dict(bound.arguments)}
            return out

        return register("optimizer", *names, factory=True)(make)

    return decorate


def _no_state(params):
    return ()


def _zero_count(params):
    like = tree.leaves(params)
    xp = backend_of(like).xp
    return xp.zeros((), dtype=xp.int32, device=device(like[0]) if like else None)


def _next(count):
    # NumPy's arithmetic turns 0-d arrays into scalars; a state keeps its types.
    return namespace(count).asarray(count + 1)


def _cast(x, dtype):
    return x if x.dtype == dtype else namespace(x).astype(x, dtype)


def _times(updates, factor):
    """`updates` times a 0-d array, each in its own dtype."""
    return tree.map(lambda u: u * _cast(factor, u.dtype), updates)


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value < high:
        raise ArgumentError(
            f"{name} is out of range.", argument=name, expected=f"a number in [{low}, {high})", got=value
        )


def _needed(params: Any, who: str) -> None:
    if params is None:
        raise ArgumentError(
            f"{who} needs the parameters.",
            argument="params",
            expected="the tree of parameters",
            got=None,
            fix="call update(grads, opt_state, params)",
        )


@native
def apply_updates(params: Any, updates: Any) -> Any:
    """`params + updates`, leaf by leaf, in the dtypes of `params`."""
    return tree.map(lambda p, u: _cast(p + u, p.dtype), params, updates)


@native
def global_norm(tree_: Any) -> Any:
    """The Euclidean norm of all numbers in the tree: a scalar array, float32 or wider."""
    leaves = tree.leaves(tree_)
    xp = namespace(*leaves)
    wide = _wide(xp, leaves)
    total = None
    for leaf in leaves:
        leaf = _cast(leaf, wide)
        square = xp.sum(leaf * leaf)
        total = square if total is None else total + square
    return xp.sqrt(total)


def _wide(xp, leaves):
    """The dtype for numbers that all leaves share: that of the widest leaf, and float32 at least."""
    double = getattr(xp, "float64", None)
    return double if any(leaf.dtype == double for leaf in leaves) else xp.float32


# -- parts -------------------------------------------------------------------------------------------------------------


@_transformation("identity")
def identity():
    """Updates as they are."""
    return _no_state, lambda updates, state, params=None: (updates, state)


@_transformation("scale")
def scale(step_size: float):
    """Updates times a number."""
    return _no_state, lambda updates, state, params=None: (tree.map(lambda u: u * step_size, updates), state)


@_transformation("scale_by_schedule")
def scale_by_schedule(step_size_fn: Callable):
    """Updates times `step_size_fn(count)`, where `count` is the number of updates before, an int32 array ()."""

    def update(updates, state, params=None):
        return _times(updates, step_size_fn(state.count)), Count(_next(state.count))

    return lambda params: Count(_zero_count(params)), update


@_transformation("scale_by_learning_rate")
def scale_by_learning_rate(learning_rate: float | Callable):
    """Updates times `-learning_rate`, a number, an array () or a schedule: the last part of an optimizer."""
    if callable(learning_rate):
        return scale_by_schedule(lambda count: -learning_rate(count))
    if kind_of_tree(learning_rate) is not None and not isinstance(learning_rate, float):
        return _no_state, lambda updates, state, params=None: (_times(updates, -learning_rate), state)
    if not isinstance(learning_rate, int | float):
        raise ArgumentError(
            "This is no learning rate.", argument="learning_rate", expected="a number or a schedule", got=learning_rate
        )
    # float() makes a Python number of NumPy's float64, which would widen float32 updates.
    return scale(-float(learning_rate))


@_transformation("clip_by_global_norm")
def clip_by_global_norm(max_norm: float):
    """Updates scaled down so that the norm of all of them together is `max_norm` at most (arXiv:1211.5063)."""

    def update(updates, state, params=None):
        norm = global_norm(updates)
        xp = namespace(norm)
        return _times(updates, max_norm / xp.maximum(norm, xp.full_like(norm, max_norm))), state

    return _no_state, update


@_transformation("clip_by_value")
def clip_by_value(clip_value: float):
    """Updates cut off at `-clip_value` and `clip_value`."""
    return _no_state, lambda updates, state, params=None: (
        tree.map(lambda u: namespace(u).clip(u, -clip_value, clip_value), updates),
        state,
    )


@_transformation("add_decayed_weights")
def add_decayed_weights(weight_decay: float = 0.0, mask: Any = None):
    """Updates plus `weight_decay` times the parameters.

    Args:
        weight_decay: A number.
        mask: A tree of booleans like the parameters, or a function of the parameters that returns it: which to decay.
    """

    def update(updates, state, params=None):
        _needed(params, "add_decayed_weights")
        if mask is None:
            return tree.map(lambda u, p: u + weight_decay * p, updates, params), state
        chosen = mask(params) if callable(mask) else mask
        return tree.map(lambda u, p, m: u + weight_decay * p if m else u, updates, params, chosen), state

    return _no_state, update


@_transformation("trace")
def trace(decay: float, nesterov: bool = False):
    """Momentum: a running sum of updates, the older ones decayed (Polyak, 1964; Nesterov, 1983)."""
    _in_range("decay", decay, 0, 1)

    def update(updates, state, params=None):
        sums = tree.map(lambda u, t: u + decay * t, updates, state.trace)
        return tree.map(lambda u, t: u + decay * t, updates, sums) if nesterov else sums, Trace(sums)

    return lambda params: Trace(tree.map(lambda p: namespace(p).zeros_like(p), params)), update


@_transformation("scale_by_adam")
def scale_by_adam(beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7):
    """Running mean of the updates over the root of that of their squares, both without their bias towards 0.

    Algorithm 1 of Kingma and Ba, arXiv:1412.6980, as in optax and PyTorch.
    """
    return _adam(beta_1, beta_2, epsilon, 1.0)


def _adam(beta_1, beta_2, epsilon, step_size):
    """`scale_by_adam` and `scale(step_size)` at once, which saves a pass over the parameters."""
    _in_range("beta_1", beta_1, 0, 1)
    _in_range("beta_2", beta_2, 0, 1)

    def init(params):
        def zeros():
            return tree.map(lambda p: namespace(p).zeros_like(p), params)

        return Moments(_zero_count(params), zeros(), zeros())

    def update(updates, state, params=None):
        leaves, structure = tree.flatten(updates)
        count, n = _next(state.count), len(leaves)
        if not leaves:
            return updates, state
        moments = (*tree.leaves(state.mu), *tree.leaves(state.nu))
        out = ops.adam(count, step_size, beta_1, beta_2, epsilon, *leaves, *moments)
        updates, mu, nu = (tree.unflatten(structure, out[i : i + n]) for i in (0, n, 2 * n))
        return updates, Moments(count, mu, nu)

    return init, update


# -- optimizers --------------------------------------------------------------------------------------------------------


@_transformation("chain")
def chain(*transformations: Any):
    """The `transformations` one after another; the state is the tuple of their states. Optax's may be among them."""

    inits, parts = zip(*map(_inner, transformations), strict=True) if transformations else ((), ())

    def init(params):
        return tuple(part(params) for part in inits)

    def update(updates, state, params=None):
        if len(state) != len(transformations):
            raise ArgumentError(
                "The optimizer state is not one of this chain.",
                argument="opt_state",
                expected=f"a tuple of {len(transformations)} states",
                got=f"{len(state)} states",
                fix="use the state that this chain's init, or its last update, returned",
            )
        states = []
        for part, s in zip(parts, state, strict=True):
            updates, s = part(updates, s, params)
            states.append(s)
        return updates, tuple(states)

    return init, update


chain.from_config = lambda config: chain(*config["transformations"])  # type: ignore[attr-defined]


@_transformation("sgd", "SGD")
def sgd(learning_rate: float | Callable = 0.01, momentum: float = 0.0, nesterov: bool = False):
    """Gradient descent, with momentum where that is not 0.

    Args:
        learning_rate: A number, or a schedule.
        momentum: How much of the sum of the gradients before is kept, in [0, 1).
        nesterov: Whether to look ahead along the momentum.
    """
    descent = scale_by_learning_rate(learning_rate)
    return chain(trace(momentum, nesterov), descent) if momentum else chain(descent)


@_transformation("adam", "Adam")
def adam(learning_rate: float | Callable = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7):
    """Adam (Kingma and Ba, arXiv:1412.6980, algorithm 1).

    Args:
        learning_rate: A number, or a schedule.
        beta_1, beta_2: How much the running means of gradients and of squared gradients keep at each step, in [0, 1).
        epsilon: Added to the root of the mean square.
    """
    descent = scale_by_learning_rate(learning_rate)
    if isinstance(learning_rate, int | float):
        return chain(_adam(beta_1, beta_2, epsilon, -float(learning_rate)), identity())
    return chain(scale_by_adam(beta_1, beta_2, epsilon), descent)


@_transformation("adamw", "AdamW")
def adamw(
    learning_rate: float | Callable = 0.001,
    weight_decay: float = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    mask: Any = None,
):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101).

    Args:
        learning_rate: A number, or a schedule; it scales the decay, too.
        weight_decay: How much of the parameters is taken off, in units of the learning rate.
        beta_1, beta_2, epsilon: As for `adam`.
        mask: Which parameters to decay, see `add_decayed_weights`; all by default.
    """
    return chain(
        scale_by_adam(beta_1, beta_2, epsilon),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
