"""What optimizers are: pairs of pure functions with optax's protocol, on the arrays of any backend; and chains."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .. import tree
from ..arrays import backend_of, device, dtype_name, namespace, native
from ..errors import ArgumentError
from ..registry import register, resolve

__all__ = ["GradientTransformation", "Parts", "apply_updates", "chain", "global_norm"]


class _Pair(NamedTuple):
    init: Callable
    update: Callable


class Parts(NamedTuple):
    """See `GradientTransformation`; without the door for native arrays, which has to be passed only once."""

    init: Callable
    update: Callable
    loss_scale: Callable | None = None
    skipped: Callable | None = None
    finalize: Callable | None = None
    elementwise: Callable | None = None


class GradientTransformation(_Pair):
    """`init, update = transformation`: an optimizer, or a part of one.

    `init(params) -> opt_state` and `update(grads, opt_state, params=None) -> (updates, opt_state)` are pure; updates
    are added to the parameters (`apply_updates`). States are tuples of trees of arrays. The protocol is optax's: its
    transformations go into `chain`, and these into `optax.chain`.

    Attributes:
        config: The name and the arguments it was made with, for a model's file.
        loss_scale: `opt_state -> float32 ()`: what the loss is to be multiplied with before it is differentiated;
            `update` divides by it. Absent if that is 1.
        skipped: `opt_state -> int32 ()`: how many updates changed nothing because a gradient was not finite. Absent
            if none is skipped.
        finalize: `(params, opt_state) -> params`: those to keep at the end of training. Absent if it is the same ones.
        elementwise: `path -> what of it the update depends on`, if pieces of the leaves can be updated one after the
            other: each number depends on those at its own place, and on arrays (). The state is trees like the
            parameters, and arrays (). Else None. Such an `update` takes `overwrite`: whether what it returns may be in
            the memory of what it was given.
        inner: The same functions on conforming arrays.
    """

    config: dict[str, Any] | None = None
    loss_scale: Callable
    skipped: Callable
    finalize: Callable
    elementwise: Callable | None = None
    inner: Parts


def transformation(*names: str) -> Callable[[Callable], Callable[..., GradientTransformation]]:
    """Decorate a function that returns `Parts`: name it in the registry, and keep the arguments as config."""

    def decorate(fun: Callable) -> Callable[..., GradientTransformation]:
        signature = inspect.signature(fun)

        @functools.wraps(fun)
        def make(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            inner = fun(*args, **kwargs)
            out = GradientTransformation(native(inner.init), native(inner.update))
            out.inner, out.elementwise = inner, inner.elementwise
            for name in ("loss_scale", "skipped", "finalize"):
                if getattr(inner, name) is not None:
                    setattr(out, name, native(getattr(inner, name)))
            out.config = {"category": "optimizer", "class": names[0], "config": dict(bound.arguments)}
            return out

        return register("optimizer", *names, factory=True)(make)

    return decorate


def anywhere(path: str) -> None:
    """The `elementwise` of a transformation that does not look at paths."""


def parts_of(value: Any, argument: str = "transformations") -> Parts:
    """The functions of `value`: one of ours, one of optax's, or a registered name."""
    value = resolve("optimizer", value, argument)
    if isinstance(value, GradientTransformation):
        return value.inner
    if isinstance(value, tuple) and len(value) == 2 and all(map(callable, value)):
        return Parts(*value)
    raise ArgumentError(
        "This is no optimizer.", argument=argument, expected="(init, update), or an optimizer's name", got=repr(value)
    )


# -- checks ------------------------------------------------------------------------------------------------------------


def in_range(
    name: str, value: Any, low: float = 0, high: float = math.inf, ends: str = "[)", none: bool = False
) -> None:
    """Check that `value` is a number between `low` and `high`, and not an end that is open; or None where `none`."""
    if value is None and none:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (
        number
        and (low <= value if ends[0] == "[" else low < value)
        and (value <= high if ends[1] == "]" else value < high)
    ):
        raise ArgumentError(
            f"{name} is out of range.",
            argument=name,
            expected=f"a number in {ends[0]}{low}, {high}{ends[1]}" + (" or None" if none else ""),
            got=repr(value),
        )


def needed(params: Any, who: str) -> None:
    if params is None:
        raise ArgumentError(
            f"{who} needs the parameters.",
            argument="params",
            expected="the tree of parameters",
            got=None,
            fix="call update(grads, opt_state, params)",
        )


def patterns(name: str, value: Any) -> Callable[[str], bool]:
    """Whether one of the regular expressions `value`, one or several or None, is found in a path."""
    found = [value] if isinstance(value, str) else [] if value is None else value
    try:
        compiled = [re.compile(p) for p in found]
    except (TypeError, re.error) as error:
        raise ArgumentError(
            f"{name} chooses parameters by their paths.",
            argument=name,
            expected="a regular expression, or a list of them",
            got=repr(value),
        ) from error
    return lambda path: any(p.search(path) for p in compiled)


# -- arithmetic --------------------------------------------------------------------------------------------------------


def scalar(value: float, dtype: str, beside: Any) -> Any:
    """An array () where the arrays of the tree `beside` are."""
    like = tree.leaves(beside)
    xp = backend_of(like).xp
    return xp.full((), value, dtype=getattr(xp, dtype), device=device(like[0]) if like else None)


def wide_scalar(value: float, params: Any) -> Any:
    """An array () beside the parameters, in the dtype of the widest, and float32 at least."""
    leaves = tree.leaves(params)
    return scalar(value, dtype_name(wide_dtype(backend_of(leaves).xp, leaves)), leaves)


def zero_count(params: Any) -> Any:
    """The count of updates before the first."""
    return scalar(0, "int32", params)


def successor(count: Any) -> Any:
    # NumPy's arithmetic turns 0-d arrays into scalars; a state keeps its types.
    return namespace(count).asarray(count + 1)


def cast(x: Any, dtype: Any) -> Any:
    return x if isinstance(x, int | float) or x.dtype == dtype else namespace(x).astype(x, dtype)


def times(updates: Any, factor: Any) -> Any:
    """`updates` times a number or an array (), each in its own dtype."""
    return tree.map(lambda u: u * cast(factor, u.dtype), updates)


def unscaled(grads: Any, factor: Any) -> Any:
    """`grads` by a number or an array (), which may be out of the range of their dtypes."""

    def quotient(g):
        wide = wide_dtype(namespace(g), [g])
        return cast(cast(g, wide) / cast(factor, wide), g.dtype)

    return tree.map(quotient, grads)


def plus(a: Any, b: Any) -> Any:
    return tree.map(lambda x, y: x + y, a, b)


def zeros_like(params: Any) -> Any:
    return tree.map(lambda p: namespace(p).zeros_like(p), params)


def zeros_of(p: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of another shape beside the array `p`, in its dtype."""
    return namespace(p).zeros(shape, dtype=p.dtype, device=device(p))


def copies(params: Any) -> Any:
    """The same numbers in arrays of their own: a compiled step takes one array in two places for a rule."""
    return tree.map(lambda p: namespace(p).asarray(p, copy=True), params)


def wide_dtype(xp: Any, leaves: Iterable[Any]) -> Any:
    """The dtype for numbers that all leaves share: that of the widest leaf, and float32 at least."""
    double = getattr(xp, "float64", None)
    return double if any(leaf.dtype == double for leaf in leaves) else xp.float32


@native
def apply_updates(params: Any, updates: Any) -> Any:
    """`params + updates`, leaf by leaf, in the dtypes of `params`."""
    return tree.map(lambda p, u: cast(p + u, p.dtype), params, updates)


@native
def global_norm(tree_: Any) -> Any:
    """The Euclidean norm of all numbers in the tree: a scalar array, float32 or wider."""
    leaves = tree.leaves(tree_)
    xp = namespace(*leaves)
    wide = wide_dtype(xp, leaves)
    total = None
    for leaf in leaves:
        leaf = cast(leaf, wide)
        square = xp.sum(leaf * leaf)
        total = square if total is None else total + square
    return xp.sqrt(total)


# -- chains ------------------------------------------------------------------------------------------------------------


@transformation("chain")
def chain(*transformations: Any):
    """The `transformations` one after another; the state is the tuple of their states. Optax's may be among them."""
    parts = [parts_of(t) for t in transformations]

    def update(updates, state, params=None, **extra):
        if len(state) != len(parts):
            raise ArgumentError(
                "The optimizer state is not one of this chain.",
                argument="opt_state",
                expected=f"a tuple of {len(parts)} states",
                got=f"{len(state)} states",
                fix="use the state that this chain's init, or its last update, returned",
            )
        states = []
        for part, s in zip(parts, state, strict=True):
            updates, s = part.update(updates, s, params, **extra)
            states.append(s)
        return updates, tuple(states)

    each = [part.elementwise for part in parts if part.elementwise is not None]
    init = lambda params: tuple(part.init(params) for part in parts)  # noqa: E731
    elementwise = (lambda path: tuple(f(path) for f in each)) if len(each) == len(parts) else None
    return Parts(init, update, **_together(parts), elementwise=elementwise)


chain.from_config = lambda config: chain(*config["transformations"])  # type: ignore[attr-defined]


def _together(parts: list[Parts]) -> dict[str, Callable]:
    """What several transformations, with a tuple of states, have beyond init and update."""

    def folded(name, combine):
        having = [(i, getattr(part, name)) for i, part in enumerate(parts) if getattr(part, name) is not None]
        if having:
            yield name, lambda state: functools.reduce(combine, [f(state[i]) for i, f in having])

    def finalize(params, state):
        for part, s in zip(parts, state, strict=True):
            params = part.finalize(params, s) if part.finalize is not None else params
        return params

    last = [("finalize", finalize)] if any(part.finalize is not None for part in parts) else []
    product = folded("loss_scale", lambda a, b: a * b)
    return dict([*product, *folded("skipped", lambda a, b: a + b), *last])
