"""What all optimizers share: learning rate, weight decay, clipping, accumulation, averages and loss scale."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from .. import checks, tree
from ..arrays import namespace
from ..dataclasses import dataclass
from ..errors import ArgumentError
from ..registry import register
from ..typing import Array, LearningRateLike, Tree
from .base import (
    GradientTransformation,
    Parts,
    Update,
    cast,
    in_range,
    in_single,
    needed,
    patterns,
    successor,
    wide_dtype,
    zero_count,
)
from .transformations import clip_by_global_norm, clip_by_norm, clip_by_value, rate
from .wrappers import accumulated, averaged, scaled

__all__ = ["Core", "Optimizer", "full", "leafwise", "optimizer", "zeros"]


class Core(NamedTuple):
    """One optimizer without the things that all optimizers share.

    Attributes:
        init: `params -> state`.
        update: `(grads, state, params, lr, t) -> (updates, state)`. The learning rate `lr` is an array (), and `t`,
            int32 (), is the number of this update, from 1. An elementwise `update` takes `overwrite`, too.
        reads: Whether the updates depend on the parameters. If so, `update` sees the parameters after weight decay.
        decay: `(weight_decay, path, leaf) -> weight_decay`, if the weight decay differs between parameters.
        finalize: See `GradientTransformation`.
        elementwise: Whether the transformation is elementwise; see `GradientTransformation`.
    """

    init: Callable[[Tree], Tree]
    update: Callable[..., tuple[Tree, Tree]]
    reads: bool = False
    decay: Callable[..., float | None] | None = None
    finalize: Callable[[Tree, Tree], Tree] | None = None
    elementwise: bool = False


class State(NamedTuple):
    """The state of an optimizer: the number of updates, int32 (); the learning rate; and the state of its `Core`.

    The state of parameters in half precision is in float32. The learning rate is a floating array () in the dtype
    of the widest parameter, but at least float32. It is None if the optimizer was given a schedule or an array.
    `learning_rate` and `with_learning_rate` find it also in the states of optimizers that contain this one.
    """

    count: Any
    learning_rate: Any
    inner: Any


def zeros(p: Any) -> Any:
    """Zeros like the parameter `p`: the first value of a slot of the state."""
    return namespace(p).zeros_like(p)


def full(value: float) -> Callable[[Array], Array]:
    """A function that makes the first value of a slot of the state: `value` everywhere."""
    return lambda p: namespace(p).full_like(p, value)


def leafwise(
    step: Callable[..., tuple[Array, ...]],
    slots: Callable[..., Tree] | None = None,
    *starts: Callable[[Array], Array] | None,
    reads: bool = False,
    shared: Callable[[Array], tuple[Array, ...]] | None = None,
    elementwise: bool = True,
) -> Core:
    """A core that treats each leaf by itself.

    Args:
        step: `(g, p, lr, *numbers, *slots) -> (update, *slots)` for one leaf, all in the dtype of the gradient `g`. The
            parameter `p` is None unless `reads` is True.
        slots: The class of the state, a named tuple of trees; None if there is no state.
        starts: For each field of the state, the function from a parameter to the first value; None if the field is not
            used.
        reads: See `Core`.
        shared: `t -> numbers`: the numbers that are the same for all leaves. `t` is the number of this update, a
            floating array ().
        elementwise: Whether `step` is elementwise; see `GradientTransformation`.
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


C = TypeVar("C", bound=type)


@dataclass(eq=False)
class Optimizer(GradientTransformation):
    """The base of the optimizers: frozen dataclasses whose fields are their arguments, and which define `core`.

    Args:
        learning_rate: A number, an array (), or a schedule.
        weight_decay: The share of the parameters that is taken off at each step, in units of the learning rate.
        clipnorm, clipvalue, global_clipnorm: The largest norm of each gradient, the largest size of each number of a
            gradient, or the largest norm of all gradients together. Only one of them may be given.
        use_ema: Whether to average the parameters over the steps (`ema`).
        ema_momentum: The share of the average that stays at each step, in [0, 1].
        ema_overwrite_frequency: The average takes the place of the parameters every so many steps; never if None.
        loss_scale_factor: The number that the loss was multiplied with; gradients are divided by it.
        gradient_accumulation_steps: How many gradients are averaged for one update (`accumulate`): 2 or more.
        name: Has no effect.
        exclude_from_weight_decay: Regular expressions. A parameter does not decay if one of them is found in its path.
    """

    init: Callable[[Tree], Tree] = dataclasses.field(init=False, repr=False)
    update: Update = dataclasses.field(init=False, repr=False)
    learning_rate: LearningRateLike = 0.001
    weight_decay: float | None = dataclasses.field(default=None, kw_only=True)
    clipnorm: float | None = dataclasses.field(default=None, kw_only=True)
    clipvalue: float | None = dataclasses.field(default=None, kw_only=True)
    global_clipnorm: float | None = dataclasses.field(default=None, kw_only=True)
    use_ema: bool = dataclasses.field(default=False, kw_only=True)
    ema_momentum: float = dataclasses.field(default=0.99, kw_only=True)
    ema_overwrite_frequency: int | None = dataclasses.field(default=None, kw_only=True)
    loss_scale_factor: float | None = dataclasses.field(default=None, kw_only=True)
    gradient_accumulation_steps: int | None = dataclasses.field(default=None, kw_only=True)
    name: str | None = dataclasses.field(default=None, kw_only=True)
    exclude_from_weight_decay: str | Sequence[str] | None = dataclasses.field(default=None, kw_only=True)

    _positions: ClassVar[tuple[Any, ...]] = (...,)

    _name: ClassVar[str]
    """The name in the registry."""

    def core(self) -> Core:
        """The optimizer without the things that all optimizers share; subclasses define it."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        arguments = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
        object.__setattr__(self, "config", {"category": "optimizer", "class": self._name, "config": arguments})
        self._become(self._composed())

    def _composed(self) -> Parts:
        """The core, and around it the things that all optimizers share, in Keras's order.

        Gradients are divided by the loss scale, accumulated and clipped. Then the parameters decay, are updated, and
        are averaged.
        """
        core = self.core()
        in_range("weight_decay", self.weight_decay, none=True)
        clips = {name: getattr(self, name) for name in _CLIPS if getattr(self, name) is not None}
        for argument, limit in clips.items():
            in_range(argument, limit, ends="()")
        if len(clips) > 1:
            raise ArgumentError(
                f"Gradients can be clipped in one way only, got {' and '.join(clips)}.",
                argument=[*clips][1],
                expected="one of clipnorm, clipvalue and global_clipnorm",
                got=", ".join(f"{n}={limit}" for n, limit in clips.items()),
            )
        checks.boolean("use_ema", self.use_ema)
        every = checks.integer("gradient_accumulation_steps", self.gradient_accumulation_steps, least=2, none=True)
        if not isinstance(self.name, str | None):
            raise ArgumentError.must_be("name", "a string or None", self.name)

        excluded = patterns("exclude_from_weight_decay", self.exclude_from_weight_decay)
        parts = _descent(core, self.learning_rate, self.weight_decay, excluded, every or 1)
        for argument, limit in clips.items():
            parts = _clipped(parts, _CLIPS[argument](limit).inner)
        if every is not None:
            parts = accumulated(parts, every)
        in_range("ema_momentum", self.ema_momentum, 0, 1, "[]")
        checks.positive("ema_overwrite_frequency", self.ema_overwrite_frequency, none=True)
        if self.use_ema:
            parts = averaged(parts, self.ema_momentum, self.ema_overwrite_frequency, every or 1)
        factor = self.loss_scale_factor
        in_range("loss_scale_factor", factor, ends="()", none=True)
        return in_single(parts if factor is None else scaled(parts, factor))


@typing.dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
def optimizer(*names: str) -> Callable[[C], C]:
    """Decorate a subclass of `Optimizer`: its fields become its arguments, and `names` its names in the registry."""

    def decorate(cls: C) -> C:
        made: Any = dataclass(cls, eq=False)
        made._name = names[0]
        return register("optimizer", *names)(made)

    return decorate


_CLIPS = {"clipnorm": clip_by_norm, "clipvalue": clip_by_value, "global_clipnorm": clip_by_global_norm}


def _clipped(parts: Parts, clipping: Parts) -> Parts:
    """`parts`, given the gradients that `clipping` has clipped."""

    def update(grads, state, params=None, **extra):
        return parts.update(clipping.update(grads, (), params)[0], state, params, **extra)

    return parts._replace(update=update, elementwise=parts.elementwise if clipping.elementwise else None)


def _descent(core: Core, learning_rate: Any, decay: float | None, excluded: Callable[[str], bool], every: int) -> Parts:
    """`core` with learning rate and weight decay.

    Only one in `every` calls updates the parameters (gradient accumulation). Schedules count all calls.
    """

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
                f"`opt_state` does not belong to this optimizer: it is of the type {type(state).__name__}.",
                argument="opt_state",
                expected="what this optimizer's init, or its last update, returned",
                got=type(state).__name__,
            )
        lr = lr_at(state.learning_rate, state.count if every == 1 else state.count * every + (every - 1))
        t = successor(state.count)
        if core.reads or decays:
            needed(params, "this optimizer")
        off = None
        if decays:
            leaves, structure = tree.flatten(params)
            factors = list(map(factor, tree.paths(params), leaves))
            shares = {f: lr * -f for f in factors if f}  # in most cases one number for all
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
