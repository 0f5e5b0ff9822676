"""Function transformations, each one thin function that asks the backend of the arrays it is called with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import tree
from .arrays import kind_of_tree
from .backends import Backend, Kind, get, kind_of
from .errors import ArgumentError

__all__ = ["cond", "grad", "jit", "scan", "stop_gradient", "value_and_grad", "vmap"]


def _native_call(fun: Callable, kind: Any) -> Callable:
    """`fun` of conforming arrays as a function of native ones, for transforms that meet conforming arrays."""
    backend = kind.backend

    def on_native(*args, **kwargs):
        args, kwargs = tree.map(backend.lift, (args, kwargs))
        return tree.map(backend.lower, fun(*args, **kwargs))

    return on_native


def _conforms(kind: Kind | None) -> bool:
    """Whether arrays of `kind` are conforming ones that the framework itself does not know."""
    return kind is not None and not kind.native and type(kind.backend).lower is not Backend.lower


def _backend(kind: Kind | None) -> Backend:
    return get("numpy") if kind is None else kind.backend


def _through(method: str, fun: Callable, *options: Any, **named: Any) -> Callable:
    """`fun` under the backend's transformation `method`, built once for each kind of array it is called with."""
    built: dict[Kind | None, Callable] = {}

    @functools.wraps(fun)
    def transformed(*args, **kwargs):
        # The values: Dynamo cannot flatten the dict of `**kwargs`.
        kind = kind_of_tree(args, tuple(kwargs.values()))
        conforms = _conforms(kind)
        if kind not in built:
            inner = _native_call(fun, kind) if conforms else fun
            built[kind] = getattr(_backend(kind), method)(inner, *options, **named)
        if not conforms:
            return built[kind](*args, **kwargs)
        args, kwargs = tree.map(kind.backend.lower, (args, kwargs))
        return tree.map(kind.backend.lift, built[kind](*args, **kwargs))

    return transformed


def jit(fun: Callable, *, static_argnames: tuple[str, ...] = (), constant_argnums: tuple[int, ...] = ()) -> Callable:
    """Compile `fun`: `jax.jit`, `torch.compile`, `tf.function`, an OpenVINO model; on NumPy, `fun` itself.

    Args:
        fun: A pure function of trees of arrays.
        static_argnames: Names of keyword arguments that are Python values; each new value compiles anew.
        constant_argnums: Positional arguments that seldom change, such as parameters. A backend that builds constants
            into its programs (OpenVINO) does so, and builds anew when other arrays are passed; others pay no heed.
    """
    return _through("jit", fun, static_argnames=tuple(static_argnames), constant_argnums=tuple(constant_argnums))


def value_and_grad(fun: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns `fun`'s value and its gradient with respect to the arguments `argnums`.

    Args:
        fun: Returns a scalar array, or `(scalar, aux)` with `has_aux`.
        argnums: Which positional arguments, trees of floating-point arrays, to differentiate for.
        has_aux: Whether `fun` returns a second value, which is handed on: `((value, aux), gradient)`.

    Raises:
        UnsupportedError: The backend cannot differentiate (OpenVINO).
    """
    if not (isinstance(argnums, int) or (isinstance(argnums, tuple) and all(isinstance(i, int) for i in argnums))):
        raise ArgumentError("argnums is no position.", argument="argnums", expected="int or tuple of int", got=argnums)
    return _through("value_and_grad", fun, argnums, has_aux)


def grad(fun: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of `fun`, or `(gradient, aux)` with `has_aux`; see `value_and_grad`."""
    both = value_and_grad(fun, argnums, has_aux)

    @functools.wraps(fun)
    def gradient(*args, **kwargs):
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def vmap(fun: Callable, in_axes: Any = 0, out_axes: int = 0) -> Callable:
    """`fun` over a batch axis of its arguments.

    Args:
        in_axes: The axis to map over, or a tuple with one axis, or None, for each positional argument.
        out_axes: Where the axis goes in every result.
    """
    return _through("vmap", fun, in_axes, out_axes)


def stop_gradient(tree_: Any) -> Any:
    """The same values, through which no gradient flows."""
    kind = kind_of_tree(tree_)
    if kind is None:
        return tree_
    stop = _backend(kind).stop_gradient
    return tree.map(lambda x: x if kind_of(type(x)) is None else stop(x), tree_)


def scan(fun: Callable, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False) -> tuple[Any, Any]:
    """Run `carry, y = fun(carry, x)` over the first axis of `xs`; return the last carry and the stacked `y`.

    Args:
        fun: `(carry, x) -> (carry, y)`; the carry keeps structure, shapes and dtypes.
        init: The first carry.
        xs: A tree of arrays with one common first axis, or None with `length`.
        length: Number of steps, needed where `xs` has no leaf.
        reverse: Whether to go from the last entry to the first; `y` keeps the order of `xs`.

    Raises:
        ShapeError: The first axes differ, or no length is known.
    """
    kind = kind_of_tree(init, xs)
    backend = _backend(kind)
    if not _conforms(kind):
        return backend.scan(fun, init, xs, length, reverse)
    init, xs = tree.map(backend.lower, (init, xs))
    return tree.map(backend.lift, backend.scan(_native_call(fun, kind), init, xs, length, reverse))


def cond(pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
    """`true_fun(*operands)` if the scalar `pred` holds, else `false_fun(*operands)`; both return the same structure.

    Where `pred` is not known yet (in a compiled function), the choice is made on the device.
    """
    return _branch("cond", pred, true_fun, false_fun, *operands)


def choose(pred: Any, true_fun: Callable, false_fun: Callable) -> Any:
    """`cond(pred, true_fun, false_fun)`, where it does no harm to compute both: some compilers fuse only that."""
    return _branch("choose", pred, true_fun, false_fun)


def _branch(method: str, pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
    kind = kind_of_tree(pred, operands)
    backend = _backend(kind)
    run = getattr(backend, method)
    if not _conforms(kind):
        return run(pred, true_fun, false_fun, *operands)
    pred, operands = tree.map(backend.lower, (pred, operands))
    branches = [_native_call(f, kind) for f in (true_fun, false_fun)]
    return tree.map(backend.lift, run(pred, *branches, *operands))
