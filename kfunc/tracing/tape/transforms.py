"""The transformations that run functions on tape arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import tree
from ...arrays import backend_of
from ...backends.gradients import cut_off, independent
from ...backends.registry import kind_of
from ...errors import ArgumentError, shown
from .. import loops
from .array import TapeArray, reads
from .backend import TapeBackend, new_level, tape_of
from .nodes import GroupNode, Node, new_id, sweep

__all__ = ["checkpoint", "custom_gradient", "jvp", "value_and_grad", "vjp"]


def value_and_grad(
    fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False, strict: bool = False
) -> Callable[..., Any]:
    """A function that returns the value of `fun`, a scalar array, and its gradient; see `kfunc.value_and_grad`.

    Raises:
        ArgumentError: An argument to differentiate for is missing, or has a leaf that is no floating-point array. Or
            the value depends on none of them, with `strict`.
        UnsupportedError: The value depends on none of them, because their values were read.
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def transformed(*args, **kwargs):
        run = _Run(args, kwargs)
        backend = run.backend
        wanted = _positions(numbers, len(args))
        leaves, structures = [], []
        new_args = []
        for i, arg in enumerate(args):
            if i in wanted:
                values, structure = run.arguments(arg, i)
                leaves.append(values)
                structures.append(structure)
                new_args.append(tree.unflatten(structure, values))
            else:
                new_args.append(tree.map(backend.constant, arg))
        kwargs = tree.map(backend.constant, kwargs)
        # As in the sweep: numbers that are not finite are results, and no other backend warns of them.
        with np.errstate(all="ignore"), run:
            out = fun(*new_args, **kwargs)
            value, aux = out if has_aux else (out, None)
            value = backend.constant(value)
            if run.tracks(value):
                xp = backend.xp if value.value.__class__ is backend.cls else backend.inner.xp
                sweep([(value.node, xp.ones_like(value.value))])
            elif strict:
                raise independent()
            else:
                run.refuse_cut()
        by_position = dict(zip(sorted(set(wanted)), zip(leaves, structures, strict=True), strict=True))
        seen: set[int] = set()
        grads = {
            i: tree.unflatten(structure, [run.finish(_gradient(backend, leaf, seen)) for leaf in values])
            for i, (values, structure) in by_position.items()
        }
        value, aux = run.finish(value), tree.map(run.finish, aux)
        gradient = grads[wanted[0]] if isinstance(argnums, int) else tuple(grads[i] for i in wanted)
        return ((value, aux) if has_aux else value), gradient

    return transformed


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The result of `fun` and the function from its cotangent to those of `primals`; see `kfunc.vjp`.

    Raises:
        ArgumentError: A leaf of the primals is no floating-point array.
    """
    run = _Run(primals, {})
    backend = run.backend
    flat, structure = run.arguments(primals, "primals")
    with run:
        out = fun(*tree.unflatten(structure, flat))
        out, aux = out if has_aux else (out, None)
        outs, out_structure = tree.flatten(out)
        if not any(map(run.tracks, outs)):
            run.refuse_cut()
    shown = tree.unflatten(out_structure, [run.finish(x) for x in outs])

    def pull(cotangent):
        given = [run.cotangent(g) for g in tree.leaves(cotangent)]
        roots = [(x.node, g) for x, g in zip(outs, given, strict=True) if run.tracks(x)]
        sweep(roots, keep=True)
        seen = set(map(id, given))
        inside = run.outer or any(g.__class__ is backend.cls for g in given)
        shares = [run.finish(_gradient(backend, leaf, seen), inside) for leaf in flat]
        for leaf in flat:
            leaf.node.clear()
        return tree.unflatten(structure, shares)

    return (shown, pull, tree.map(run.finish, aux)) if has_aux else (shown, pull)


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """The result of `fun` and its tangent; see `kfunc.jvp`.

    The reverse derivative is linear in the cotangent; its derivative for the cotangent is the forward derivative.
    """
    out, pull, *aux = vjp(fun, *primals, has_aux=has_aux)
    backend = tape_of(backend_of(primals))
    _, push = vjp(pull, tree.map(lambda x: backend.zeros_like(x) if kind_of(type(x)) is not None else x, out))
    (tangent,) = push(tuple(tangents))
    return out, tangent, *aux


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`fun`: the tape keeps only its arguments, and runs it again on the way back."""

    @functools.wraps(fun)
    def run(*args, **kwargs):
        before = new_id()
        outs, structure = tree.flatten(fun(*args, **kwargs))
        at = [i for i, x in enumerate(outs) if isinstance(x, TapeArray) and x.node is not None and x.node.id > before]
        if not at:
            return tree.unflatten(structure, outs)
        level = max(outs[i].level for i in at)
        at = [i for i in at if outs[i].level == level]

        def pull(gs):
            start = new_id()
            again = tree.leaves(fun(*args, **kwargs))
            sweep([(again[i].node, g) for i, g in zip(at, gs, strict=True)], after=start)
            return ()  # the sweep has given the parents their shares already

        inputs = _inputs([outs[i].node for i in at], before)
        group = GroupNode(inputs, pull, [outs[i].value for i in at], outs[at[0]].backend)
        for i, part in zip(at, group.parts(), strict=True):
            outs[i] = type(outs[i])(outs[i].value, level, part)
        return tree.unflatten(structure, outs)

    return run


def _inputs(roots: list[Node], before: int) -> list[Node]:
    """The nodes made until `before` that `roots` were made from: arguments of a function, and what it closes over."""
    seen, stack, found = {id(r) for r in roots}, list(roots), []
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and id(parent) not in seen:
                seen.add(id(parent))
                (stack if parent.id > before else found).append(parent)
    return found


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a gradient of its own; see `kfunc.custom_gradient`."""

    @functools.wraps(fun)
    def run(*args):
        flat, structure = tree.flatten(args)
        level = max((x.level for x in flat if isinstance(x, TapeArray)), default=0)
        mine = [isinstance(x, TapeArray) and x.level == level and x.node is not None for x in flat]
        if not any(mine):
            return fun(*args)[0]
        backend = next(x for x, tracked in zip(flat, mine, strict=True) if tracked).backend
        # One level down: the gradient may use what the function computes there, and be differentiated for it.
        values = [backend.constant(x.value) if tracked else x for x, tracked in zip(flat, mine, strict=True)]
        out, gradient = fun(*tree.unflatten(structure, values))
        if any(isinstance(x, TapeArray) and x.node is not None for x in values):
            out = run(*tree.unflatten(structure, values))  # the function has this gradient on all levels
        outs, out_structure = tree.flatten(out)
        outs = [x.value if x.__class__ is backend.cls and x.level in (0, level) else x for x in outs]

        def pull(gs):
            shares = loops.gradient_leaves(gradient, [backend.constant(g) for g in gs], args)
            return [x.value if x.__class__ is backend.cls and x.level == 0 else x for x in shares]

        parents = [x.node if tracked else None for x, tracked in zip(flat, mine, strict=True)]
        parts = GroupNode(parents, pull, outs, backend).parts()
        return tree.unflatten(out_structure, [backend.cls(x, level, p) for x, p in zip(outs, parts, strict=True)])

    return run


# -- what these have in common ---------------------------------------------------------------------------------------


class _Run:
    """One run of a function at a level of its own."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> None:
        self.backend: TapeBackend = tape_of(backend_of(args, kwargs))
        self.level = new_level()
        cls = self.backend.cls
        self.outer = any(x.__class__ is cls for x in tree.leaves((args, kwargs)))
        """Whether the run is itself part of a function that runs on tape arrays."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        reads.discard(self.level)

    def refuse_cut(self) -> None:
        """Raise an error if values were read of what was computed from the arguments: no result depends on them."""
        if self.level in reads:
            raise cut_off("the values of an array that is being differentiated were read (float, int, kf.to_numpy)")

    def arguments(self, arg: Any, name: int | str) -> tuple[list[Any], Any]:
        """The leaves of an argument to differentiate for as arrays of this level, and its structure."""
        leaves, structure = tree.flatten(arg)
        return [self._argument(x, name) for x in leaves], structure

    def _argument(self, x: Any, name: int | str) -> Any:
        cls = self.backend.cls
        if x.__class__ is cls and x.level == 0:
            x = x.value
        if self.backend.constant(x).__class__ is not cls or not self.backend.is_floating(x.dtype):
            name = name if isinstance(name, str) else f"argument {name}"
            raise ArgumentError(
                f"A gradient was asked for {name}, which is not a tree of floating-point arrays.",
                argument=name,
                expected="a tree of floating-point arrays",
                got=getattr(x, "dtype", type(x).__name__),
                fix="convert it with kf.asarray(x), or leave its position out of argnums",
            )
        return cls(x, self.level, Node(()))

    def tracks(self, x: Any) -> bool:
        return x.__class__ is self.backend.cls and x.level == self.level and x.node is not None

    def cotangent(self, g: Any) -> Any:
        return g.value if g.__class__ is self.backend.cls and g.level == 0 else g

    def finish(self, x: Any, outer: bool | None = None) -> Any:
        """An array as it leaves the level: inside another level it stays a tape array, at the top it is a plain one."""
        cls, outer = self.backend.cls, self.outer if outer is None else outer
        if x.__class__ is cls and x.level == self.level:
            x = x.value
        if x.__class__ is cls and x.level == 0 and not outer:
            x = x.value
        if x.__class__ is cls:
            return x
        # NumPy's reductions return scalars, which are no arrays.
        if getattr(x, "ndim", 1) == 0 and kind_of(type(x)) is not None:
            x = self.backend.inner.xp.asarray(x)
        return self.backend.constant(x) if outer else x


def _positions(numbers: tuple[int, ...], count: int) -> list[int]:
    wanted = [n + count if n < 0 else n for n in numbers]
    if any(not 0 <= n < count for n in wanted):
        raise ArgumentError(
            f"`argnums` is {shown(numbers)}, but the call has {count} positional arguments.",
            argument="argnums",
            expected=f"positions below {count}",
            got=numbers,
            fix="pass these arguments by position",
        )
    return wanted


def _gradient(backend: TapeBackend, leaf: Any, seen: set[int]) -> Any:
    g = leaf.node.grad
    if g.__class__ is backend.cls:
        return g
    if g is None:
        return backend.zeros_like(leaf.value)
    # Two leaves may share one cotangent, or a view of one. Each caller gets memory of its own.
    if id(g) in seen or (hasattr(type(g), "flags") and not g.flags.owndata):
        g = backend.inner.xp.asarray(g, copy=True)
    seen.add(id(g))
    return g
