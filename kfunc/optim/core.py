"""What all of Keras's optimizers have: learning rate, weight decay, clipping, accumulation, averages, loss scale."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import checks, tree
from ..arrays import namespace
from ..errors import ArgumentError
from .base import (
    GradientTransformation,
    Parts,
    cast,
    in_range,
    needed,
    patterns,
    successor,
    transformation,
    wide_dtype,
    zero_count,
)
from .parts import clip_by_global_norm, clip_by_norm, clip_by_value, rate
from .wrappers import accumulated, averaged, scaled

__all__ = ["Core", "full", "leafwise", "optimizer", "zeros"]


class Core(NamedTuple):
    """What one optimizer is without what all have.

    Attributes:
        init: `params -> state`.
        update: `(grads, state, params, lr, t) -> (updates, state)`: `lr` is an array (), `t` the number of this update,
            from 1: int32 (). It takes `overwrite`, see `GradientTransformation`, if it is elementwise.
        reads: Whether the updates depend on the parameters, which then have decayed already.
        decay: `(weight_decay, path, leaf) -> weight_decay`, where that is not the same for all.
        finalize: See `GradientTransformation`.
        elementwise: Whether the transformation is.
    """

    init: Callable
    update: Callable
    reads: bool = False
    decay: Callable | None = None
    finalize: Callable | None = None
    elementwise: bool = False


class State(NamedTuple):
    """Of an optimizer: the number of updates, int32 (); its learning rate; and what the optimizer itself remembers.

    The learning rate is floating (), in the dtype of the widest parameter and float32 at least; None if the optimizer
    was given a schedule or an array. `learning_rate` and `with_learning_rate` find it in the states of all wrappers.
    """

    count: Any
    learning_rate: Any
    inner: Any


def zeros(p: Any) -> Any:
    """What starts a slot of the state with 0."""
    return namespace(p).zeros_like(p)


def full(value: float) -> Callable:
    """What starts a slot of the state with `value` everywhere."""
    return lambda p: namespace(p).full_like(p, value)


def leafwise(
    step: Callable,
    slots: type | None = None,
    *starts: Callable | None,
    reads: bool = False,
    shared: Callable | None = None,
    elementwise: bool = True,
) -> Core:
    """The core that treats every leaf by itself.

    Args:
        step: `(g, p, lr, *numbers, *slots) -> (update, *slots)`, all in the dtype of the gradient `g`; the parameter
            `p` may be None unless `reads`.
        slots: The named tuple of trees that is the state, if there is any.
        starts: For each field of it, the function from a parameter to the first value; None where it is not needed.
        shared: `t -> numbers`, what is the same for all leaves; `t` is the number of this update, floating ().
        elementwise: Whether `step` is, see `GradientTransformation`.
    """

    def init(params):
        return slots(*(start and tree.map(start, params) for start in starts)) if slots else ()

    def update(grads, state, params, lr, t, **_):
        gs, structure = tree.flatten(grads)
        if not gs:
            return grads, state
        ps = tree.leaves(params) if reads else [None] * len(gs)
        xp = namespace(*gs)
        numbers = shared(xp.astype(t, wide_dtype(xp, gs))) if shared else ()
        columns = [tree.leaves(part) for part, start in zip(state, starts, strict=True) if start]
        out = []
        for g, p, *mine in zip(gs, ps, *columns, strict=True):
            out.append(step(g, p, *(cast(x, g.dtype) for x in (lr, *numbers)), *mine))
        updates, *new = (tree.unflatten(structure, column) for column in zip(*out, strict=True))
        after = iter(new)
        return updates, slots(*(start and next(after) for start in starts)) if slots else ()

    return Core(init, update, reads, elementwise=elementwise)


COMMON = """
        weight_decay: How much of the parameters is taken off at each step, in units of the learning rate.
        clipnorm, clipvalue, global_clipnorm: Largest norm of each gradient, size of each of its numbers, or norm of all
            gradients together; one of them at most.
        use_ema: Whether to average the parameters over the steps (`ema`); `ema_momentum` is how much of the average
            stays at each, and every `ema_overwrite_frequency` steps it takes the parameters' place.
        loss_scale_factor: What the loss was multiplied with.
        gradient_accumulation_steps: Of how many gradients the mean makes one update (`accumulate`).
        name: Means nothing here.
        exclude_from_weight_decay: Regular expressions; where one is found in a parameter's path, it does not decay.
"""


def _settings(
    weight_decay: float | None = None,
    clipnorm: float | None = None,
    clipvalue: float | None = None,
    global_clipnorm: float | None = None,
    use_ema: bool = False,
    ema_momentum: float = 0.99,
    ema_overwrite_frequency: int | None = None,
    loss_scale_factor: float | None = None,
    gradient_accumulation_steps: int | None = None,
    name: str | None = None,
    *,
    exclude_from_weight_decay: str | Sequence[str] | None = None,
):
    """The arguments of all optimizers, in Keras's order and with its defaults."""


_COMMON = inspect.signature(_settings, eval_str=False).parameters


def optimizer(*names: str) -> Callable[[Callable[..., Core]], Callable[..., GradientTransformation]]:
    """Decorate a function that returns a `Core`, and whose first argument is the learning rate: the optimizer.

    It takes the function's arguments and those of all optimizers, which follow the positional ones; those of the
    function's own that have a common one's name stay where they stand.
    """

    def decorate(fun: Callable[..., Core]) -> Callable[..., GradientTransformation]:
        own = inspect.signature(fun).parameters
        common = [p for n, p in _COMMON.items() if n not in own]
        # Python sorts by kind alone: keyword arguments last.
        parameters = sorted([*own.values(), *common], key=lambda p: p.kind)

        @functools.wraps(fun)
        def make(*args, **kwargs):
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            arguments = given.arguments
            core = fun(**{n: arguments[n] for n in own})
            return _composed(core, arguments["learning_rate"], *(arguments[n] for n in _COMMON))

        signature = inspect.Signature(parameters)
        make.__signature__ = signature  # type: ignore[attr-defined]
        make.__doc__ = (fun.__doc__ or "").rstrip() + COMMON
        return transformation(*names)(make)

    return decorate


def _composed(
    core: Core, learning_rate, decay, clipnorm, clipvalue, global_clipnorm, use_ema, momentum, overwrite, factor, every,
    name, exclude,
) -> Parts:  # fmt: skip
    """`core` inside what all optimizers share, in Keras's order: unscale, accumulate, clip, decay, update, average."""
    in_range("weight_decay", decay, none=True)
    clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
    chosen = [argument for argument, value in clips.items() if value is not None]
    for argument in chosen:
        in_range(argument, clips[argument], ends="()")
    if len(chosen) > 1:
        raise ArgumentError(
            "Gradients are clipped in one way at most.",
            argument=chosen[1],
            expected="one of clipnorm, clipvalue and global_clipnorm",
            got=", ".join(f"{n}={clips[n]}" for n in chosen),
        )
    checks.boolean("use_ema", use_ema)
    checks.integer("gradient_accumulation_steps", every, least=2, none=True)
    if not isinstance(name, str | None):
        raise ArgumentError("This is no name.", argument="name", expected="a string or None", got=repr(name))

    parts = _descent(core, learning_rate, decay, patterns("exclude_from_weight_decay", exclude), every or 1)
    if chosen:
        parts = _clipped(parts, *((_CLIPS[n], clips[n]) for n in chosen))
    if every is not None:
        parts = accumulated(parts, every)
    in_range("ema_momentum", momentum, 0, 1, "[]")
    checks.positive("ema_overwrite_frequency", overwrite, none=True)
    if use_ema:
        parts = averaged(parts, momentum, overwrite, every or 1)
    in_range("loss_scale_factor", factor, ends="()", none=True)
    return parts if factor is None else scaled(parts, factor)


_CLIPS = {"clipnorm": clip_by_norm, "clipvalue": clip_by_value, "global_clipnorm": clip_by_global_norm}


def _clipped(parts: Parts, clip: tuple[Callable, float]) -> Parts:
    make, limit = clip
    clipping = make(limit).inner

    def update(grads, state, params=None, **extra):
        return parts.update(clipping.update(grads, (), params)[0], state, params, **extra)

    return parts._replace(update=update, elementwise=parts.elementwise if clipping.elementwise else None)


def _descent(core: Core, learning_rate: Any, decay: float | None, excluded: Callable[[str], bool], every: int) -> Parts:
    """`core` with its learning rate and weight decay. Schedules count all calls, of which one in `every` updates."""

    def factor(path, leaf):
        """The weight decay of one parameter."""
        own = decay if core.decay is None else core.decay(decay, path, leaf)
        return 0.0 if own is None or excluded(path) else own

    decays = bool(decay) or core.decay is not None
    first, lr_at = rate(learning_rate)

    def init(params):
        return State(zero_count(params), first(params), core.init(params))

    def update(grads, state, params=None, **extra):
        if not isinstance(state, State):
            raise ArgumentError(
                "The optimizer state is not one of this optimizer.",
                argument="opt_state",
                expected="what this optimizer's init, or its last update, returned",
                got=type(state).__name__,
            )
        lr = lr_at(state.learning_rate, state.count if every == 1 else state.count * every + (every - 1))
        t = successor(state.count)
        if core.reads or decays:
            needed(params, "This optimizer")
        off = None
        if decays:
            leaves, structure = tree.flatten(params)
            factors = list(map(factor, tree.paths(params), leaves))
            shares = {f: lr * -f for f in factors if f}  # most often one for all
            off = [p * cast(shares[f], p.dtype) if f else None for p, f in zip(leaves, factors, strict=True)]
            if core.reads:
                params = tree.unflatten(
                    structure, [p if d is None else p + d for p, d in zip(leaves, off, strict=True)]
                )
        updates, inner = core.update(grads, state.inner, params, lr, t, **extra)
        if off is not None:
            leaves, structure = tree.flatten(updates)
            updates = tree.unflatten(structure, [u if d is None else u + d for u, d in zip(leaves, off, strict=True)])
        return updates, State(t, state.learning_rate, inner)

    last = core.finalize
    finalize = last and (lambda params, state: last(params, state.inner))
    elementwise = (lambda path: factor(path, None)) if core.elementwise and core.decay is None else None
    return Parts(init, update, finalize=finalize, elementwise=elementwise)
