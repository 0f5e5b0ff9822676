"""Optimizers that contain optimizers: accumulation, averaged weights, loss scales, one optimizer for each parameter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .. import checks, ops, transforms, tree
from ..arrays import namespace
from ..dataclasses import dataclass
from ..errors import ArgumentError
from ..registry import register, resolve
from ..typing import Tree
from .base import (
    OptimizerLike,
    Parts,
    apply_updates,
    copies,
    in_range,
    needed,
    parts_of,
    plus,
    scalar,
    successor,
    transformation,
    unscaled,
    zero_count,
    zeros_like,
)

__all__ = [
    "LossScaleOptimizer",
    "MultiOptimizer",
    "OptimizerMap",
    "accumulate",
    "by_part",
    "ema",
    "loss_scale",
    "multi_optimizer",
    "multi_transform",
]


def _passed_on(parts: Parts) -> dict[str, Any]:
    """The functions of `parts` beside `init` and `update`, for a state whose field `inner` is the state of `parts`."""

    def of(fun):
        return fun and (lambda *args: fun(*args[:-1], args[-1].inner))

    own = {name: of(getattr(parts, name)) for name in ("loss_scale", "skipped", "finalize")}
    return own | {"elementwise": parts.elementwise}


# -- accumulation ------------------------------------------------------------------------------------------------------


class Accumulated(NamedTuple):
    """The number of gradients so far, int32 (); their sum since the last update; and the inner state."""

    count: Any
    sums: Any
    inner: Any


@transformation("accumulate")
def accumulate(inner: OptimizerLike, steps: int) -> Parts:
    """`inner`, given the mean of every `steps` gradients. The updates in between are 0.

    Args:
        inner: An optimizer.
        steps: How many gradients are averaged.
    """
    checks.positive("steps", steps)
    return accumulated(parts_of(inner, "inner"), steps)


def accumulated(inner: Parts, steps: int) -> Parts:
    """See `accumulate`."""

    def init(params):
        return Accumulated(zero_count(params), zeros_like(params), inner.init(params))

    def update(grads, state, params=None, **extra):
        count = successor(state.count)
        sums = plus(state.sums, grads)

        def apply():
            updates, after = inner.update(tree.map(lambda x: x / steps, sums), state.inner, params, **extra)
            return updates, zeros_like(sums), after

        def wait():
            return zeros_like(sums), sums, state.inner

        updates, sums, after = transforms.cond(count % steps == 0, apply, wait)
        return updates, Accumulated(count, sums, after)

    return Parts(init, update, **_passed_on(inner))


# -- averaged weights --------------------------------------------------------------------------------------------------


class Averaged(NamedTuple):
    """The number of calls, int32 (); the average of the parameters; and the state of the inner optimizer."""

    count: Any
    average: Any
    inner: Any


@transformation("ema")
def ema(inner: OptimizerLike, momentum: float = 0.99, overwrite_frequency: int | None = None) -> Parts:
    """`inner`, which also keeps the exponential moving average of the parameters. `finalize` returns the average.

    Args:
        inner: An optimizer.
        momentum: The share of the average that stays at each step, in [0, 1]. After the first step the average is equal
            to the parameters.
        overwrite_frequency: The parameters are set to the average every so many steps; never if None.
    """
    in_range("momentum", momentum, 0, 1, "[]")
    checks.positive("overwrite_frequency", overwrite_frequency, none=True)
    return averaged(parts_of(inner, "inner"), momentum, overwrite_frequency)


def averaged(inner: Parts, momentum: float, overwrite: int | None, every: int = 1) -> Parts:
    """See `ema`. Each `every` calls count as one step, as in Keras."""

    def init(params):
        return Averaged(zero_count(params), copies(params), inner.init(params))

    def update(grads, state, params=None, **extra):
        needed(params, "ema")
        updates, after = inner.update(grads, state.inner, params, **extra)
        new = apply_updates(params, updates)
        done = state.count // every
        xp = namespace(state.count)

        def mixed(a, p):
            keep = xp.astype(done > 0, p.dtype) * momentum
            return keep * a + (1 - keep) * p

        average = tree.map(mixed, state.average, new)
        if overwrite is not None:
            now = (done + 1) % overwrite == 0
            updates = tree.map(lambda u, a, p: xp.where(now, a - p, u), updates, average, params)
        return updates, Averaged(successor(state.count), average, after)

    return Parts(init, update, **{**_passed_on(inner), "finalize": lambda params, state: state.average})


# -- loss scales -------------------------------------------------------------------------------------------------------


def scaled(inner: Parts, factor: float) -> Parts:
    """`inner`, given gradients of a loss that was multiplied by `factor`."""
    _no_scale_in(inner)

    def update(grads, state, params=None, **extra):
        return inner.update(unscaled(grads, factor), state, params, **extra)

    return inner._replace(update=update, loss_scale=lambda state: scalar(factor, "float32", state))


def _no_scale_in(inner: Parts) -> None:
    if inner.loss_scale is not None:
        raise ArgumentError(
            "`inner_optimizer` scales the loss, which only the outermost optimizer may do.",
            argument="inner_optimizer",
            expected="an optimizer without a loss scale",
            got="one with a loss scale",
        )


class Scaled(NamedTuple):
    """The factor of the loss, float32 (); the finite steps since it changed; the skipped steps; and the inner state."""

    scale: Any
    steps: Any
    skipped: Any
    inner: Any


@transformation("loss_scale", "LossScaleOptimizer")
def loss_scale(
    inner_optimizer: OptimizerLike,
    initial_scale: float = 2.0**15,
    dynamic_growth_steps: int = 2000,
    name: str | None = None,
) -> Parts:
    """`inner_optimizer` for a loss that is multiplied by a factor, so that gradients in float16 do not become 0.

    If a gradient is not finite, the parameters and the inner state stay as they are, and the factor is halved. After
    `dynamic_growth_steps` finite steps in a row the factor is doubled (Micikevicius et al., arXiv:1710.03740).

    Args:
        inner_optimizer: An optimizer without a loss scale.
        initial_scale: The first factor, a positive number.
        dynamic_growth_steps: After how many finite steps the factor doubles.
        name: Has no effect.
    """
    in_range("initial_scale", initial_scale, ends="()")
    checks.positive("dynamic_growth_steps", dynamic_growth_steps)
    inner = parts_of(inner_optimizer, "inner_optimizer")
    _no_scale_in(inner)

    def init(params):
        scale = scalar(initial_scale, "float32", params)
        return Scaled(scale, zero_count(params), zero_count(params), inner.init(params))

    def update(grads, state, params=None):
        leaves = tree.leaves(grads)
        if not leaves:
            return grads, state
        xp = namespace(*leaves)
        finite = xp.all(ops.all_finite(*leaves))

        def apply():
            updates, after = inner.update(unscaled(grads, state.scale), state.inner, params)
            grown = state.steps + 1 == dynamic_growth_steps
            scale = xp.where(grown, state.scale * 2, state.scale)
            return updates, Scaled(scale, xp.where(grown, state.steps * 0, state.steps + 1), state.skipped, after)

        def skip():
            steps, skipped = xp.asarray(state.steps * 0), successor(state.skipped)
            return zeros_like(grads), Scaled(xp.asarray(state.scale * 0.5), steps, skipped, state.inner)

        return transforms.choose(finite, apply, skip)

    parts = Parts(init, update, **_passed_on(inner) | {"elementwise": None})
    return parts._replace(loss_scale=lambda state: state.scale, skipped=lambda state: state.skipped)


LossScaleOptimizer = loss_scale


# -- one for each parameter --------------------------------------------------------------------------------------------


@register("optimizer", "OptimizerMap")
@dataclass
class OptimizerMap:
    """An optimizer for each path of a parameter, for `multi_optimizer`.

    Args:
        default_optimizer: The optimizer of the parameters that no pattern matches.
        optimizer_map: A dict from regular expressions to optimizers. An expression has to match the whole path of a
            parameter, such as "dense/kernel".
    """

    default_optimizer: OptimizerLike
    optimizer_map: Mapping[str, OptimizerLike] | None = None

    def __post_init__(self) -> None:
        found = {p: resolve("optimizer", value, "optimizer_map") for p, value in (self.optimizer_map or {}).items()}
        object.__setattr__(self, "optimizer_map", found)
        object.__setattr__(self, "default_optimizer", resolve("optimizer", self.default_optimizer, "default_optimizer"))
        for pattern, value in found.items():
            try:
                re.compile(pattern)
            except (TypeError, re.error) as error:
                raise ArgumentError(
                    f"`optimizer_map` has a key that is not a regular expression: {pattern!r}.",
                    argument="optimizer_map",
                    expected="a dict from regular expressions to optimizers",
                    got=repr(pattern),
                ) from error
            parts_of(value, "optimizer_map")
        parts_of(self.default_optimizer, "default_optimizer")

    def __call__(self, path: str) -> OptimizerLike:
        """The optimizer of the parameter with this path."""
        found = self.optimizer_map or {}
        if path in found:
            return found[path]
        matching = [pattern for pattern in found if re.fullmatch(pattern, path)]
        if len(matching) > 1:
            raise ArgumentError(
                f"The parameter {path} matches several patterns of `optimizer_map`: {', '.join(map(repr, matching))}.",
                argument="optimizer_map",
                expected="at most one pattern that matches",
                got=", ".join(matching),
            )
        return found[matching[0]] if matching else self.default_optimizer


@transformation("multi_optimizer", "MultiOptimizer")
def multi_optimizer(
    optimizer_map: Callable[[str], OptimizerLike], loss_scale_factor: float | None = None, name: str | None = None
) -> Parts:
    """One optimizer for each parameter, chosen by its path.

    For example, `OptimizerMap(adam(1e-3), {"encoder/.*": adam(1e-4), "embedding/.*": set_to_zero()})` gives the layers
    different learning rates.

    Args:
        optimizer_map: An `OptimizerMap`, or any function from a path to an optimizer.
        loss_scale_factor: The number that the loss was multiplied with; gradients are divided by it.
        name: Has no effect.
    """
    if not callable(optimizer_map):
        raise ArgumentError.must_be(
            "optimizer_map", "an OptimizerMap or a function from a path to an optimizer", optimizer_map
        )
    in_range("loss_scale_factor", loss_scale_factor, ends="()", none=True)

    def groups(params):
        by_id = {}
        for i, path in enumerate(tree.paths(params)):
            chosen = optimizer_map(path)
            by_id.setdefault(id(chosen), (chosen, []))[1].append(i)
        return {str(i): (parts_of(tx, "optimizer_map"), at) for i, (tx, at) in enumerate(by_id.values())}

    parts = _split(groups)
    return parts if loss_scale_factor is None else scaled(parts, loss_scale_factor)


MultiOptimizer = multi_optimizer


@transformation("multi_transform")
def multi_transform(transforms: Mapping[str, OptimizerLike], param_labels: Tree | Callable[[Tree], Tree]) -> Parts:
    """One transformation for each label of parameters, as in optax.

    Args:
        transforms: A dict from labels to transformations.
        param_labels: A tree of labels like the parameters, or a function of the parameters that returns it. Or a dict
            from regular expressions to labels, such as `{"embedding": "slow", "": "fast"}`: the first expression that
            is found in the path of a parameter decides.
    """
    parts = {label: parts_of(value, "transforms") for label, value in transforms.items()}

    def groups(params):
        labels = param_labels(params) if callable(param_labels) else param_labels
        if isinstance(labels, dict) and tree.structure(labels) != tree.structure(params):
            labels = [next((x for p, x in labels.items() if re.search(p, path)), None) for path in tree.paths(params)]
            labels = ["no label" if label is None else label for label in labels]
        labels = tree.leaves(labels)
        unknown = sorted({repr(label) for label in labels if label not in parts})
        if unknown or len(labels) != len(tree.leaves(params)):
            raise ArgumentError(
                f"`param_labels` has labels without a transformation: {', '.join(unknown)}."
                if unknown
                else f"`param_labels` has {len(labels)} labels for {len(tree.leaves(params))} parameters.",
                argument="param_labels",
                expected=f"one of {', '.join(parts)} for each of {len(tree.leaves(params))} parameters",
                got=", ".join(unknown) or f"{len(labels)} labels",
            )
        chosen = {label: [i for i, at in enumerate(labels) if at == label] for label in parts}
        return {label: (parts[label], at) for label, at in chosen.items() if at}

    return _split(groups)


@transformation("by_part")
def by_part(transforms: Mapping[str, OptimizerLike]) -> Parts:
    """One transformation for each part of the parameters, that is, for each key of their dict: `{"encoder": sgd()}`.

    The state is a dict of the states, so that your own training step can update one part alone: `adam.update(grads,
    opt_state["generator"], params["generator"])`.

    Args:
        transforms: A dict from the keys of the parameters to transformations.
    """
    parts = {name: parts_of(value, f"transforms[{name!r}]") for name, value in transforms.items()}
    for part in parts.values():
        _no_scale_in(part)

    def check(params):
        if not isinstance(params, dict) or params.keys() != parts.keys():
            raise ArgumentError(
                "The keys of `transforms` are not the keys of the parameters.",
                argument="transforms",
                expected=f"one for each of {', '.join(params)}" if isinstance(params, dict) else "a dict of parameters",
                got=", ".join(parts),
            )

    def init(params):
        check(params)
        return {name: part.init(params[name]) for name, part in parts.items()}

    def update(grads, state, params=None):
        check(grads)
        out = {
            name: part.update(grads[name], state[name], None if params is None else params[name])
            for name, part in parts.items()
        }
        return {name: updates for name, (updates, _) in out.items()}, {name: after for name, (_, after) in out.items()}

    def finalize(params, state):
        return {
            name: params[name] if part.finalize is None else part.finalize(params[name], state[name])
            for name, part in parts.items()
        }

    return Parts(init, update, finalize=finalize)


def _split(groups: Callable) -> Parts:
    """One transformation for each group of leaves.

    `groups(params)` is a dict from names of groups to pairs of `Parts` and the positions of the group's leaves. Each
    transformation sees a dict from paths to its parameters. The state is the dict of the states.
    """

    def dealt(tree_, at):
        paths, leaves = tree.paths(tree_), tree.leaves(tree_)
        return {paths[i]: leaves[i] for i in at}

    def init(params):
        return {name: part.init(dealt(params, at)) for name, (part, at) in _checked(groups(params)).items()}

    def each(tree_, fun):
        """Call `fun(name, part, at)` for each group; it returns a dict from paths to leaves, and something else.

        Returns the tree of all leaves, and the dict from the groups' names to the other results.
        """
        paths, structure, gathered, rest = tree.paths(tree_), tree.structure(tree_), {}, {}
        for name, (part, at) in groups(tree_).items():
            out, rest[name] = fun(name, part, at)
            gathered |= out
        return tree.unflatten(structure, [gathered[path] for path in paths]), rest

    def update(grads, state, params=None):
        return each(
            grads,
            lambda name, part, at: part.update(
                dealt(grads, at), state[name], None if params is None else dealt(params, at)
            ),
        )

    def finalize(params, state):
        def one(name, part, at):
            mine = dealt(params, at)
            return (mine if part.finalize is None else part.finalize(mine, state[name])), None

        return each(params, one)[0]

    return Parts(init, update, finalize=finalize)


def _checked(groups: dict) -> dict:
    for part, _ in groups.values():
        _no_scale_in(part)
    return groups
