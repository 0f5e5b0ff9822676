"""Control flow and function transformations under Keras's names and arguments; see `kfunc.transforms`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

from .. import transforms
from ..errors import ArgumentError, ShapeError
from ..transforms import jvp, switch
from ..typing import Array, Tree
from ._promotion import FLOAT, lift
from .creation import convert_to_tensor, is_tensor
from .manipulation import broadcast_to, reshape
from .standard import less, logical_and

__all__ = [
    "associative_scan",
    "cond",
    "custom_gradient",
    "fori_loop",
    "jvp",
    "map",
    "scan",
    "stop_gradient",
    "switch",
    "vectorize",
    "vectorized_map",
    "while_loop",
]


P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
T = TypeVar("T")


def cond(pred: Array, true_fn: Callable[[], R], false_fn: Callable[[], R]) -> R:
    """`true_fn()` if the scalar `pred` holds, else `false_fn()`; see `transforms.cond`."""
    return transforms.cond(pred, true_fn, false_fn)


def scan(
    f: Callable[[C, Any], tuple[C, Any]], init: C, xs: Tree = None, length: int | None = None, reverse: bool = False
) -> tuple[C, Tree]:
    """Run `carry, y = f(carry, x)` over the first axis of `xs`; see `transforms.scan`."""
    return transforms.scan(f, init, xs, length, reverse)


def map(f: Callable[[Any], Any], xs: Tree) -> Tree:
    """`f` of each entry of the first axis of `xs`, one after the other, and the results stacked."""
    return transforms.map(f, xs)


def associative_scan(f: Callable[[T, T], T], elems: T, reverse: bool = False, axis: int = 0) -> T:
    """All partial results of the associative `f` along `axis`; see `transforms.associative_scan`."""
    return transforms.associative_scan(f, elems, reverse, axis)


def fori_loop(lower: int | Array, upper: int | Array, body_fun: Callable[[Array, C], C], init_val: C) -> C:
    """Run `carry = body_fun(i, carry)` for `i` from `lower` to `upper - 1`; see `transforms.fori_loop`."""
    return transforms.fori_loop(lower, upper, body_fun, init_val)


def while_loop(
    cond: Callable[..., Array], body: Callable[..., Any], loop_vars: T, maximum_iterations: int | None = None
) -> T:
    """Run `loop_vars = body(*loop_vars)` while `cond(*loop_vars)` holds; see `transforms.while_loop`.

    Args:
        cond, body: Functions of the entries of `loop_vars`, or of `loop_vars` itself where it is not a tuple or a list.
        loop_vars: A tree of arrays; numbers become arrays.
        maximum_iterations: After so many it stops, even if `cond` still holds.
    """
    given: Any = loop_vars
    several = isinstance(given, list | tuple)
    carry = _arrays(tuple(given) if several else given)
    test, step = cond, body
    if several:
        test, step = (lambda values: cond(*values)), (lambda values: _as_tuple(body(*values)))
    if maximum_iterations is not None:
        test, step = _at_most(maximum_iterations, test, step)
        carry = _arrays((0, carry))
    out: Any = transforms.while_loop(test, step, carry)
    out = out if maximum_iterations is None else out[1]
    if isinstance(given, list):
        out = list(out)
    return out


def _arrays(values: Any) -> Any:
    """The tree `values` with its numbers as arrays, beside the arrays among them."""
    like = next((x for x in transforms.tree.leaves(values) if is_tensor(x)), None)
    return transforms.tree.map(lambda x: convert_to_tensor(x, _DTYPES.get(type(x)), like=like), values)


_DTYPES = {bool: "bool", int: "int32", float: FLOAT}


def _as_tuple(new: Any) -> tuple:
    return tuple(new) if isinstance(new, list | tuple) else (new,)


def _at_most(n: int, test: Callable, step: Callable) -> tuple[Callable, Callable]:
    """`test` and `step` with a count beside their values."""
    return (
        lambda counted: logical_and(less(counted[0], n), test(counted[1])),
        lambda counted: (counted[0] + 1, step(counted[1])),
    )


def vectorized_map(function: Callable[[Any], R], elements: Tree) -> R:
    """`function` of all entries of the first axis of `elements`, a tree of arrays, at once; see `transforms.vmap`."""
    return transforms.vmap(function)(elements)


def stop_gradient(variable: T) -> T:
    """The same values, through which no gradient flows."""
    return transforms.stop_gradient(variable)


def custom_gradient(f: Callable[P, tuple[R, Callable[..., Any]]]) -> Callable[P, R]:
    """A function with a gradient of its own; see `transforms.custom_gradient`."""
    return transforms.custom_gradient(f)


# -- vectorize -------------------------------------------------------------------------------------------------------


def vectorize(
    pyfunc: Callable[P, R], *, excluded: Iterable[int | str] | None = None, signature: str | None = None
) -> Callable[P, R]:
    """`pyfunc` of scalars, or of small arrays, as a function of arrays that broadcast; as `numpy.vectorize`, by `vmap`.

    Args:
        pyfunc: Takes and returns arrays.
        excluded: Positions and names of arguments that are passed on as they are.
        signature: Which of the last axes each call sees, such as `"(m,n),(n)->(m)"`; none by default.

    Raises:
        ArgumentError: The signature cannot be read, or is for another number of arguments than the call has.
        ShapeError: An argument has fewer axes than the signature says.
    """
    excluded = set(excluded or ())
    cores = None if signature is None else _core_ranks(signature)

    def vectorized(*args: Any, **kwargs: Any) -> Any:
        at = [i for i in range(len(args)) if i not in excluded]
        names = [name for name in kwargs if name not in excluded]
        arrays = lift(*[args[i] for i in at], *[kwargs[name] for name in names])
        arrays = arrays if isinstance(arrays, tuple) else (arrays,)
        ranks = [0] * len(arrays) if cores is None else cores
        if len(ranks) != len(arrays):
            raise ArgumentError(
                f"`signature` is for {len(ranks)} arguments, and the call has {len(arrays)}.",
                argument="signature",
                expected=signature,
                got=len(arrays),
            )
        loop = _loop_shape([_loop_part(x, n) for x, n in zip(arrays, ranks, strict=True)])
        # One axis to map over, whatever the loop's shape.
        flat = [_flattened(x, n, loop) for x, n in zip(arrays, ranks, strict=True)]

        def run(*entries: Any) -> Any:
            filled, named = list(args), dict(kwargs)
            for i, x in zip(at, entries, strict=False):
                filled[i] = x
            named.update(zip(names, entries[len(at) :], strict=True))
            return pyfunc(*filled, **named)

        if not loop:
            return run(*arrays)
        out = transforms.vmap(run)(*flat)
        return transforms.tree.map(lambda x: reshape(x, (*loop, *x.shape[1:])), out)

    return vectorized


def _core_ranks(signature: str) -> list[int]:
    """How many axes of each argument one call sees."""
    inputs, arrow, _ = signature.replace(" ", "").partition("->")
    parts = inputs.removeprefix("(").removesuffix(")").split("),(")
    if not arrow or not inputs.startswith("(") or not inputs.endswith(")"):
        raise ArgumentError.must_be("signature", 'like "(m,n),(n)->(m)"', signature)
    return [len([name for name in part.split(",") if name]) for part in parts]


def _loop_part(x: Any, rank: int) -> tuple[int, ...]:
    if x.ndim < rank:
        raise ShapeError(
            f"An argument has fewer axes than `signature` says: it has shape {tuple(x.shape)}.",
            argument="signature",
            expected=f"{rank} axes at least",
            got=tuple(x.shape),
        )
    return tuple(x.shape[: x.ndim - rank])


def _loop_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    import numpy as np

    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"The arguments do not broadcast: the shapes to loop over are {', '.join([str(s) for s in shapes])}.",
            expected="sizes that are equal, or 1",
        ) from None


def _flattened(x: Any, rank: int, loop: tuple[int, ...]) -> Any:
    core = tuple(x.shape[x.ndim - rank :])
    return reshape(broadcast_to(x, (*loop, *core)), (math.prod(loop), *core))
