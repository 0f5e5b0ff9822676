"""What an optimizer is: a pair of pure functions with optax's protocol, on arrays of any backend; and chains."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeAlias

from .. import tree
from ..arrays import backend_of, device, dtype_name, namespace, native
from ..dataclasses import arguments, dataclass
from ..elsewhere import tell
from ..errors import ArgumentError
from ..ops._promotion import dtype_of
from ..registry import is_ours, register, resolve
from ..typing import Array, Tree

__all__ = ["GradientTransformation", "Parts", "apply_updates", "chain", "global_norm"]

P = ParamSpec("P")


class Parts(NamedTuple):
    """The functions of a `GradientTransformation`, on conforming arrays.

    Transformations inside others are called by these, so that native arrays are lifted and lowered only once.
    """

    init: Callable[[Tree], Tree]
    update: Callable[..., tuple[Tree, Tree]]
    loss_scale: Callable[[Tree], Array] | None = None
    skipped: Callable[[Tree], Array] | None = None
    finalize: Callable[[Tree, Tree], Tree] | None = None
    elementwise: Callable[[str], Any] | None = None


class Update(Protocol):
    """`update` of a `GradientTransformation`."""

    def __call__(self, grads: Tree, opt_state: Tree, params: Tree = None) -> tuple[Tree, Tree]: ...


@dataclass(eq=False)
class GradientTransformation:
    """`init, update = transformation`: an optimizer, or a part of one.

    `init(params) -> opt_state` and `update(grads, opt_state, params=None) -> (updates, opt_state)` are pure functions,
    and the updates are added to the parameters (`apply_updates`). The state is a tree of arrays. The protocol is
    optax's: transformations of optax go into `chain`, and these go into `optax.chain`.

    Args:
        init, update: The two functions.

    Attributes:
        config: The name and the arguments that the transformation was made with, for a model's file. None if it was
            made of two functions.
        loss_scale: `opt_state -> float32 ()`: the factor of the loss before the loss is differentiated. `update`
            divides the gradients by it. The attribute does not exist if the factor is 1.
        skipped: `opt_state -> int32 ()`: how many updates changed nothing because a gradient was not finite. The
            attribute does not exist if no update is ever skipped.
        finalize: `(params, opt_state) -> params`: the parameters to keep at the end of training. The attribute does not
            exist if these are the same parameters.
        elementwise: None, or a function `path -> key`, if each number of an update depends only on the numbers at its
            own place and on arrays (): then the leaves can be updated piece by piece, and leaves with equal keys are
            treated alike. The state of such a transformation is made of trees like the parameters, and of arrays ().
            Its `update` takes the argument `overwrite`: whether the results may lie in the memory of the arguments.
        inner: The same functions on conforming arrays.
    """

    init: Callable[[Tree], Tree]
    update: Update
    config: dict[str, Any] | None = dataclasses.field(default=None, init=False, repr=False)
    loss_scale: Callable[[Tree], Array] = dataclasses.field(init=False, repr=False)
    skipped: Callable[[Tree], Array] = dataclasses.field(init=False, repr=False)
    finalize: Callable[[Tree, Tree], Tree] = dataclasses.field(init=False, repr=False)
    elementwise: Callable[[str], Any] | None = dataclasses.field(default=None, init=False, repr=False)
    inner: Parts = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", Parts(self.init, self.update))

    def __iter__(self) -> Iterator[Any]:
        return iter((self.init, self.update))

    def _become(self, inner: Parts) -> None:
        """Take over the functions of `inner`, for native arrays."""
        found = {name: native(fun) for name, fun in inner._asdict().items() if fun is not None}
        for name, value in (found | {"inner": inner, "elementwise": inner.elementwise}).items():
            object.__setattr__(self, name, value)


_RATES = ("learning_rate", "step_size_fn")


def foreign_part(optimizer: Any) -> tuple[str, Any] | None:
    """What may make NaN of finite gradients: the first part of an optimizer that is not kfunc's own; None if there is
    none.

    Returns:
        "optimizer" and a part such as one of optax, or a function that chooses an optimizer for each parameter, since
        its choices are not known; or "learning rate" and a function that computes it.
    """
    config = getattr(optimizer, "config", None)
    if config is None or not is_ours(type(optimizer)):
        return "optimizer", optimizer
    for name, value in config["config"].items():
        # `PolynomialDecay` of a negative power divides by 0 at its end.
        if name in _RATES and callable(value) and (not is_ours(value) or getattr(value, "power", 0) < 0):
            return "learning rate", value
        for part in _parts_in(name, value):
            if (found := foreign_part(part)) is not None:
                return found
    return None


def _parts_in(name: str, value: Any) -> Iterator[Any]:
    """The optimizers in an argument of one of kfunc's optimizers, in each form that `parts_of` takes."""
    if _is_pair(value) or (hasattr(value, "update") and not isinstance(value, type | dict)):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _parts_in(name, inner)
    elif type(value) in (list, tuple):
        for inner in value:
            yield from _parts_in(name, inner)
    elif name == "optimizer_map" and is_ours(type(value)):  # an `OptimizerMap`
        for field, inner in arguments(value).items():
            yield from _parts_in(field, inner)
    elif name == "optimizer_map" and callable(value):
        yield value


def _is_pair(value: Any) -> bool:
    """Whether `value` is a pair (init, update) without a class of its own."""
    return type(value) is tuple and len(value) == 2 and all(callable(f) and not isinstance(f, type) for f in value)


tell(GradientTransformation, "Optimizer")

OptimizerLike: TypeAlias = (
    GradientTransformation | tuple[Callable[..., Any], Callable[..., Any]] | str | Mapping[str, Any] | type
)
"""An optimizer: one of ours, a pair of functions as optax has it, a name, a config, or a class."""


@dataclass(eq=False)
class _Made(GradientTransformation):
    """What a function that is decorated with `transformation` returns."""

    make: Callable[[], Any]
    init: Callable[[Tree], Tree] = dataclasses.field(init=False, repr=False)
    update: Update = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        pass

    def __repr__(self) -> str:
        made: Any = self.make
        arguments = [*map(repr, made.args), *(f"{name}={value!r}" for name, value in made.keywords.items())]
        return f"{made.func.__name__}({', '.join(arguments)})"

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        # The functions are closures, which cannot be pickled: a copy is made anew from the arguments.
        return self.make, ()


def transformation(*names: str) -> Callable[[Callable[P, Parts]], Callable[P, GradientTransformation]]:
    """Decorate a function that returns `Parts`: it gets `names` in the registry, and its arguments are the config."""

    def decorate(fun: Callable[P, Parts]) -> Callable[P, GradientTransformation]:
        signature = inspect.signature(fun)

        @functools.wraps(fun)
        def make(*args: P.args, **kwargs: P.kwargs) -> GradientTransformation:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            out = _Made(functools.partial(make, *args, **kwargs))
            out._become(fun(*args, **kwargs))
            config = {"category": "optimizer", "class": names[0], "config": dict(bound.arguments)}
            object.__setattr__(out, "config", config)
            return out

        make.__annotations__ = {**fun.__annotations__, "return": "GradientTransformation"}
        return register("optimizer", *names, factory=True)(make)

    return decorate


def anywhere(path: str) -> None:
    """The `elementwise` of a transformation that treats all parameters alike, whatever their paths are."""


def parts_of(value: OptimizerLike, argument: str = "transformations") -> Parts:
    """The functions of `value`: a transformation of ours or of optax, or a registered name.

    Raises:
        ArgumentError: `value`, which the user passed as `argument`, is not a transformation.
    """
    value = resolve("optimizer", value, argument)
    if isinstance(value, GradientTransformation):
        return value.inner
    if isinstance(value, tuple) and len(value) == 2 and all(map(callable, value)):
        return Parts(*value)
    init, update = (getattr(value, name, None) for name in ("init", "update"))
    if callable(init) and callable(update) and not isinstance(value, type | dict):  # such as optax.MultiSteps
        return Parts(init, update)
    raise ArgumentError.must_be(argument, "an optimizer, its name, or a pair (init, update)", value)


# -- checks ------------------------------------------------------------------------------------------------------------


def in_range(
    name: str, value: Any, low: float = 0, high: float = math.inf, ends: str = "[)", none: bool = False
) -> None:
    """Check that `value` is a number between `low` and `high`. With `none`, None is allowed, too.

    `ends` says which ends are in the range, as in mathematics: "[)" is the range with `low` and without `high`.
    """
    if value is None and none:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (
        number
        and (low <= value if ends[0] == "[" else low < value)
        and (value <= high if ends[1] == "]" else value < high)
    ):
        above = "greater than" if ends[0] == "(" else "at least"
        below = "less than" if ends[1] == ")" else "at most"
        bounds = [f"{above} {low}"] * (low > -math.inf) + [f"{below} {high}"] * (high < math.inf)
        expected = f"{' '.join(['a number', ' and '.join(bounds)]).strip()}{', or None' if none else ''}"
        raise ArgumentError(
            f"`{name}` must be {expected}, got {value!r}.", argument=name, expected=expected, got=repr(value)
        )


def needed(params: Any, who: str) -> None:
    if params is None:
        raise ArgumentError(
            f"`params` must be given to `update`: {who} needs the parameters.",
            argument="params",
            expected="the tree of parameters",
            got=None,
            fix="call update(grads, opt_state, params)",
        )


def patterns(name: str, value: Any) -> Callable[[str], bool]:
    """A function that says whether a path contains a match of a regular expression.

    Args:
        name: The argument that `value` was passed as, for the error.
        value: One regular expression, a list of them, or None for none.
    """
    found = [value] if isinstance(value, str) else [] if value is None else value
    try:
        compiled = [re.compile(p) for p in found]
    except (TypeError, re.error) as error:
        raise ArgumentError.must_be(name, "a regular expression or a list of them", value) from error
    return lambda path: any(p.search(path) for p in compiled)


# -- arithmetic --------------------------------------------------------------------------------------------------------


def scalar(value: float, dtype: str, beside: Any) -> Any:
    """An array () on the backend and device of the arrays in the tree `beside`."""
    like = tree.leaves(beside)
    xp = backend_of(like).xp
    return xp.full((), value, dtype=getattr(xp, dtype), device=device(like[0]) if like else None)


def wide_scalar(value: float, params: Any) -> Any:
    """An array () beside the parameters, in the dtype of the widest parameter, but at least float32."""
    leaves = tree.leaves(params)
    return scalar(value, dtype_name(wide_dtype(backend_of(leaves).xp, leaves)), leaves)


def zero_count(params: Any) -> Any:
    """The number of updates before the first update: 0."""
    return scalar(0, "int32", params)


def successor(count: Any) -> Any:
    # NumPy turns arrays () into scalars when it computes with them; `asarray` turns them back, so that the types of a
    # state never change.
    return namespace(count).asarray(count + 1)


def cast(x: Any, dtype: Any) -> Any:
    return x if isinstance(x, int | float) or x.dtype == dtype else namespace(x).astype(x, dtype)


def times(updates: Any, factor: Any) -> Any:
    """`updates` times a number or an array (). Each leaf keeps its dtype."""
    return tree.map(lambda u: u * cast(factor, u.dtype), updates)


def unscaled(grads: Any, factor: Any) -> Any:
    """`grads` divided by a number or an array (), which may be too large for the dtypes of `grads`."""

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
    """The same numbers in new arrays.

    If one array stood at two places of the state, a compiled step would expect that it always does.
    """
    return tree.map(lambda p: namespace(p).asarray(p, copy=True), params)


def wide_dtype(xp: Any, leaves: Iterable[Any]) -> Any:
    """The dtype for numbers that are used with all leaves: the dtype of the widest leaf, but at least float32."""
    double = getattr(xp, "float64", None)
    return double if any(leaf.dtype == double for leaf in leaves) else xp.float32


def in_single(parts: Parts) -> Parts:
    """`parts`, with half precision computed, and its state kept, in float32; updates keep the dtypes of gradients.

    The squares of small gradients are 0 in float16, and running means do not move in bfloat16.
    """

    def wide(tree_):
        return tree.map(lambda x: cast(x, namespace(x).float32) if _is_half(x) else x, tree_)

    def alike(new, old):
        return tree.map(lambda x, like: cast(x, like.dtype), new, old)

    def update(grads, state, params=None, **extra):
        if not any([_is_half(g) for g in tree.leaves(grads)]):
            return parts.update(grads, state, params, **extra)
        updates, state = parts.update(wide(grads), state, None if params is None else wide(params), **extra)
        return alike(updates, grads), state

    last = parts.finalize
    finalize = last and (lambda params, state: alike(last(wide(params), state), params))
    return parts._replace(init=lambda params: parts.init(wide(params)), update=update, finalize=finalize)


def _is_half(x: Any) -> bool:
    return hasattr(x, "dtype") and dtype_of(x) in ("float16", "bfloat16")


@native
def apply_updates(params: Any, updates: Any) -> Any:
    """`params + updates`, leaf by leaf, in the dtypes of `params`."""
    return tree.map(lambda p, u: cast(p + u, p.dtype), params, updates)


@native
def global_norm(tree_: Any) -> Any:
    """The Euclidean norm of all numbers in the tree: an array (), float32 or wider."""
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
def chain(*transformations: OptimizerLike) -> Parts:
    """Apply the `transformations` one after another.

    The state is the tuple of their states. Transformations of optax may be among them.
    """
    parts = [parts_of(t) for t in transformations]

    def update(updates, state, params=None, **extra):
        if len(state) != len(parts):
            raise ArgumentError(
                f"`opt_state` has {len(state)} parts, and this chain has {len(parts)} transformations.",
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
    """The functions of a chain beside `init` and `update`; its state is the tuple of the states of its `parts`."""

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
