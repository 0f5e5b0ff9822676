"""Function transformations, each one thin function that asks the backend of the arrays it is called with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, overload

from . import tree
from .arrays import dtype_name, kind_and_constants, kind_of_tree
from .backends import Backend, Kind, get, kind_of
from .backends.constants import beside
from .backends.defaults import perform
from .backends.standard import is_kind
from .errors import ArgumentError, ShapeError
from .typing import Array, Tree

__all__ = [
    "associative_scan",
    "checkpoint",
    "cond",
    "custom_gradient",
    "fori_loop",
    "grad",
    "jit",
    "jvp",
    "map",
    "scan",
    "stop_gradient",
    "switch",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]


P = ParamSpec("P")
R = TypeVar("R")  # what a function returns
A = TypeVar("A")  # the second thing that it returns, with `has_aux`
C = TypeVar("C")  # what a loop carries
T = TypeVar("T")


def _lower(backend: Backend, x: Any) -> Any:
    """`x` with native arrays in place of conforming ones. A function becomes one that takes and returns these."""
    if callable(x):
        return lambda *args, **kwargs: _lower(
            backend, x(*tree.map(backend.lift, args), **tree.map(backend.lift, kwargs))
        )
    if type(x) in (tuple, list):
        return type(x)([_lower(backend, part) for part in x])
    return tree.map(backend.lower, x)


def _lift(backend: Backend, x: Any) -> Any:
    """`x` with conforming arrays in place of native ones. A function becomes one that takes and returns these."""
    if callable(x):
        return lambda *args: _lift(backend, x(*tree.map(backend.lower, args)))
    if type(x) in (tuple, list):
        return type(x)([_lift(backend, part) for part in x])
    return tree.map(backend.lift, x)


def _conforms(kind: Kind | None) -> bool:
    """Whether arrays of `kind` are conforming ones that the framework itself does not know."""
    return kind is not None and not kind.native and type(kind.backend).lower is not Backend.lower


def _backend(kind: Kind | None) -> Backend:
    return get("numpy") if kind is None else kind.backend


def _call(method: str, kind: Kind | None, *args: Any, **kwargs: Any) -> Any:
    """The backend's `method`, which takes functions of native arrays, called from anywhere; options by name."""
    backend = _backend(kind)
    if kind is not None:
        args = beside(kind, args)
    try:
        if not _conforms(kind):
            return perform(backend, method, *args, **kwargs)
        return _lift(backend, perform(backend, method, *_lower(backend, args), **kwargs))
    except Exception as error:
        backend.explain(error)
        raise


def _through(
    method: str, fun: Callable[..., Any], *options: Any, checks: Callable[..., Any] | None = None, **named: Any
) -> Callable[..., Any]:
    """`fun` under the backend's transformation `method`, built once for each kind of array it is called with.

    `checks(backend, out)` looks at what `fun` returns.
    """
    built: dict[Kind | None, Callable] = {}

    @functools.wraps(fun)
    def transformed(*args, **kwargs):
        # The values: Dynamo cannot flatten the dict of `**kwargs`.
        kind, mixed = kind_and_constants((args, tuple(kwargs.values())))
        if kind is not None and mixed:
            args, kwargs = beside(kind, (args, kwargs))
        conforms = _conforms(kind)
        if kind not in built:
            inner = fun if checks is None else _checked(fun, _backend(kind), checks)
            inner = _lower(kind.backend, inner) if conforms else inner
            built[kind] = _backend(kind).explaining(perform(_backend(kind), method, inner, *options, **named))
        if not conforms:
            return built[kind](*args, **kwargs)
        args, kwargs = tree.map(kind.backend.lower, (args, kwargs))
        return tree.map(kind.backend.lift, built[kind](*args, **kwargs))

    return transformed


def _checked(fun: Callable[..., Any], backend: Backend, checks: Callable[[Backend, Any], None]) -> Callable[..., Any]:
    @functools.wraps(fun)
    def checked(*args, **kwargs):
        out = fun(*args, **kwargs)
        checks(backend, out)
        return out

    return checked


def jit(
    fun: Callable[P, R],
    *,
    static_argnames: tuple[str, ...] = (),
    constant_argnums: tuple[int, ...] = (),
    compile: bool = False,
) -> Callable[P, R]:
    """Compile `fun`: `jax.jit`, `tf.function`, an OpenVINO model; on NumPy and PyTorch, a list of kernel calls.

    As under `jax.jit`, the Python code of `fun` runs at the first calls with arrays of these shapes and dtypes, and
    these other values, and not again: what it prints, appends to a list, or reads from a variable is of those calls.
    So pass arrays that change, such as parameters, as arguments.

    On PyTorch, the list runs on the CPU. The function itself runs where no list would be right: in functions of PyTorch
    (`torch.relu(x)`), where an argument requires a gradient, inside `kf.grad`, `vmap`, `jvp` and `vjp`, where `fun`
    draws PyTorch's own random numbers, or computes something from tensors that are no arguments. An argument is no
    `torch.Tensor` while it is recorded, so do not ask with `isinstance`. On other devices, and with `compile=True`, it
    is `torch.compile`: faster programs, which take seconds to a minute to make. Put that one outermost: it runs
    uncompiled inside `vmap`, `jvp`, `vjp` and second derivatives.

    Args:
        fun: A pure function of trees of arrays.
        static_argnames: Names of keyword arguments that are Python values; each new value compiles anew.
        constant_argnums: Positional arguments that seldom change, such as parameters. A backend that builds constants
            into its programs (OpenVINO) does so, and builds anew when other arrays are passed; others ignore it.
        compile: On PyTorch, use `torch.compile`. Other backends do what they always do.
    """
    options: dict[str, Any] = {"static_argnames": tuple(static_argnames), "constant_argnums": tuple(constant_argnums)}
    return _through("jit" if compile else "jit_at_once", fun, **options)


def value_and_grad(
    fun: Callable[P, R], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[P, tuple[R, Tree]]:
    """A function that returns `fun`'s value and its gradient with respect to the arguments `argnums`.

    Args:
        fun: Returns a scalar array, or `(scalar, aux)` with `has_aux`.
        argnums: Which positional arguments, trees of floating-point arrays, to differentiate for.
        has_aux: Whether `fun` returns a second value, which is handed on: `((value, aux), gradient)`.

    The gradient is zero where the value does not depend on an argument, or only through `kf.stop_gradient`.

    Raises:
        ShapeError: The value is not a real floating-point array of shape ().
        UnsupportedError: The backend cannot differentiate (OpenVINO). Or the gradient would be zero only because all
            that `fun` computes from the arguments was cut off: under `torch.inference_mode` or `torch.no_grad`, by
            `detach`, or because `fun` read values into NumPy or Python.
    """
    return _value_and_grad(fun, argnums, has_aux)


def training_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`value_and_grad(fun, has_aux=True)`, which refuses a value that depends on none of the parameters.

    Raises:
        ArgumentError: It depends on none.
    """
    return _value_and_grad(fun, 0, True, strict=True)


def _value_and_grad(fun: Callable[..., Any], argnums: Any, has_aux: bool, strict: bool = False) -> Callable[..., Any]:
    if not (isinstance(argnums, int) or (isinstance(argnums, tuple) and all(isinstance(i, int) for i in argnums))):
        raise ArgumentError.must_be("argnums", "a position, or a tuple of positions", argnums)
    return _through(
        "value_and_grad", fun, argnums, has_aux, strict=strict, checks=_pair_of_scalar if has_aux else _scalar
    )


def _scalar(backend: Backend, value: Any) -> None:
    if _floating(backend, value, "real floating") and value.shape == ():
        return
    said = f"{_said(backend, value)} of shape {tuple(value.shape)}" if hasattr(value, "dtype") else type(value).__name__
    raise ShapeError(
        f"The function to differentiate returns {said}, not a floating-point scalar array.",
        argument="fun",
        expected=f"an array of the backend {backend.name!r}, of shape ()",
        got=said,
        fix="reduce it, for example with xp.mean, or pass has_aux=True if it returns (value, aux)",
    )


def _said(backend: Backend, x: Any) -> str:
    """The dtype of an array, with the name of its backend if that is another one; the type of anything else."""
    kind = kind_of(type(x))
    if kind is None:
        return type(x).__name__
    return dtype_name(x.dtype) + ("" if kind.backend.name == backend.name else f" of {kind.backend.name}")


def _pair_of_scalar(backend: Backend, out: Any) -> None:
    _pair(out)
    _scalar(backend, out[0])


def _pair(out: Any) -> None:
    if not isinstance(out, tuple) or len(out) != 2:
        raise ArgumentError(
            f"With has_aux the function must return a pair (value, aux), got {type(out).__name__}.",
            argument="fun",
            expected="(value, aux)",
            got=type(out).__name__,
        )


def _floating(backend: Backend, x: Any, *kinds: str) -> bool:
    """Whether `x` is an array of `backend`, of a dtype of these kinds."""
    kind = kind_of(type(x))
    return kind is not None and kind.backend.name == backend.name and is_kind(x.dtype, *kinds)


@overload
def grad(
    fun: Callable[P, Any], argnums: int | tuple[int, ...] = 0, has_aux: Literal[False] = False
) -> Callable[P, Tree]: ...
@overload
def grad(
    fun: Callable[P, tuple[Any, A]], argnums: int | tuple[int, ...] = 0, *, has_aux: Literal[True]
) -> Callable[P, tuple[Tree, A]]: ...
@overload
def grad(
    fun: Callable[P, tuple[Any, A]], argnums: int | tuple[int, ...], has_aux: Literal[True]
) -> Callable[P, tuple[Tree, A]]: ...
def grad(fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `fun`, or `(gradient, aux)` with `has_aux`; see `value_and_grad`."""
    both = value_and_grad(fun, argnums, has_aux)

    @functools.wraps(fun)
    def gradient(*args, **kwargs):
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


@overload
def vjp(
    fun: Callable[..., R], *primals: Tree, has_aux: Literal[False] = False
) -> tuple[R, Callable[[Tree], tuple[Tree, ...]]]: ...
@overload
def vjp(
    fun: Callable[..., tuple[R, A]], *primals: Tree, has_aux: Literal[True]
) -> tuple[R, Callable[[Tree], tuple[Tree, ...]], A]: ...
def vjp(fun: Callable[..., Any], *primals: Tree, has_aux: bool = False) -> tuple[Any, ...]:
    """`(out, pull)`: the result of `fun(*primals)`, and the function from its cotangent to those of the primals.

    `pull(cotangent)` returns a tuple with one tree for each primal, and may be called again.

    Args:
        fun: Returns a tree of floating-point arrays, or `(tree, aux)` with `has_aux`; then aux comes third.
        primals: Trees of floating-point arrays.

    Raises:
        ArgumentError: A leaf of the primals is not a floating-point array.
        ShapeError: The cotangent does not have the structure and the shapes of the result.
        UnsupportedError: The backend cannot differentiate (OpenVINO).
    """
    kind = kind_of_tree(primals)
    _check_floating(kind, primals, "primals")
    fun = _checked(fun, _backend(kind), _pair_of_floats if has_aux else _floats)
    out, pull, *aux = _call("vjp", kind, fun, *primals, has_aux=has_aux)

    def checked(cotangent):
        _check_like(out, cotangent, "the result", "cotangent")
        return pull(cotangent)

    return out, checked, *aux


@overload
def jvp(
    fun: Callable[..., R], primals: Sequence[Tree], tangents: Sequence[Tree], has_aux: Literal[False] = False
) -> tuple[R, Tree]: ...
@overload
def jvp(
    fun: Callable[..., tuple[R, A]], primals: Sequence[Tree], tangents: Sequence[Tree], has_aux: Literal[True]
) -> tuple[R, Tree, A]: ...
def jvp(
    fun: Callable[..., Any], primals: Sequence[Tree], tangents: Sequence[Tree], has_aux: bool = False
) -> tuple[Any, ...]:
    """`(out, tangent)`: the result of `fun(*primals)` and its derivative in the direction of `tangents`.

    Args:
        fun: Returns a tree of floating-point arrays, or `(tree, aux)` with `has_aux`; then aux comes third.
        primals: The arguments, trees of floating-point arrays.
        tangents: The same structure, shapes and dtypes.

    Raises:
        ArgumentError: A leaf of the primals is not a floating-point array.
        ShapeError: The tangents do not have the structure and the shapes of the primals.
        UnsupportedError: The backend cannot differentiate (OpenVINO).
    """
    primals, tangents = tuple(primals), tuple(tangents)
    kind = kind_of_tree(primals)
    _check_floating(kind, primals, "primals")
    _check_like(primals, tangents, "the primals", "tangents")
    fun = _checked(fun, _backend(kind), _pair_of_floats if has_aux else _floats)
    return _call("jvp", kind, fun, primals, tangents, has_aux=has_aux)


def _floats(backend: Backend, out: Any) -> None:
    for x in tree.leaves(out) or [None]:
        if not _floating(backend, x, "real floating", "complex floating"):
            raise ArgumentError(
                f"The function to differentiate returns {_said(backend, x)}, which has no derivative.",
                argument="fun",
                expected=f"a tree of floating-point arrays of the backend {backend.name!r}",
                got=_said(backend, x),
                fix="return it as aux, with has_aux=True",
            )


def _pair_of_floats(backend: Backend, out: Any) -> None:
    _pair(out)
    _floats(backend, out[0])


def _check_floating(kind: Kind | None, values: Any, argument: str) -> None:
    _backend(kind)
    for x in tree.leaves(values):
        if kind_of(type(x)) is None or not is_kind(x.dtype, "real floating", "complex floating"):
            raise ArgumentError(
                f"`{argument}` must hold floating-point arrays only, got {getattr(x, 'dtype', type(x).__name__)}.",
                argument=argument,
                expected="a tree of floating-point arrays",
                got=getattr(x, "dtype", type(x).__name__),
                fix="convert it with kf.asarray(x), or let the function close over it",
            )


def _check_like(expected: Any, given: Any, what: str, argument: str) -> None:
    def check(x, y):
        if tuple(x.shape) != tuple(getattr(y, "shape", ("no array",))):
            raise ShapeError(
                f"An array of `{argument}` does not have the shape of its counterpart in {what}.",
                argument=argument,
                expected=f"shape {tuple(x.shape)}",
                got=f"shape {tuple(y.shape)}" if hasattr(y, "shape") else type(y).__name__,
            )

    try:
        tree.map(check, expected, given)
    except ShapeError:
        raise
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"`{argument}` does not have the structure of {what}.",
            argument=argument,
            expected=tree.structure(expected),
            got=tree.structure(given),
        ) from error


def checkpoint(fun: Callable[P, R]) -> Callable[P, R]:
    """`fun`, computed again on the way back instead of keeping its intermediate results: less memory, more time.

    Where nothing is differentiated it is `fun` itself, and so it is inside `kf.jit` of PyTorch, whose compiler decides
    for itself what to keep.
    """
    return _through("checkpoint", fun)


def custom_gradient(fun: Callable[P, tuple[R, Callable[..., Any]]]) -> Callable[P, R]:
    """A function with a gradient of its own, as `keras.ops.custom_gradient`.

    Args:
        fun: `fun(*args)` returns `(out, grad_fn)`. `grad_fn(*upstream)`, with one cotangent for each array of `out`,
            returns the gradient of the argument, or a tuple with one, or None, for each argument. Arrays that `fun`
            closes over are constants.

    Derivatives of the gradient are those of what `grad_fn` computes, and `out` has this gradient in
    them, too. There is no forward-mode derivative of it.
    """
    return _through("custom_gradient", fun)


def vmap(fun: Callable[P, R], in_axes: int | Sequence[int | None] | None = 0, out_axes: int = 0) -> Callable[P, R]:
    """`fun` over a batch axis of its arguments.

    Args:
        in_axes: The axis to map over, or a tuple with one axis, or None, for each positional argument.
        out_axes: Where the axis goes in every result.
    """
    return _through("vmap", fun, in_axes, out_axes)


def stop_gradient(tree_: T) -> T:
    """The same values, through which no gradient flows."""
    kind = kind_of_tree(tree_)
    if kind is None:
        return tree_
    stop = _backend(kind).stop_gradient
    return tree.map(lambda x: x if kind_of(type(x)) is None else stop(x), tree_)


def scan(
    fun: Callable[[C, Any], tuple[C, Any]], init: C, xs: Tree = None, length: int | None = None, reverse: bool = False
) -> tuple[C, Tree]:
    """Run `carry, y = fun(carry, x)` over the first axis of `xs`; return the last carry and the stacked `y`.

    If the length is 0, the carry is `init`, and the arrays of `y` have no entry; `fun` is called once all the same, to
    tell their form.

    Args:
        fun: `(carry, x) -> (carry, y)`; the carry keeps structure, shapes and dtypes.
        init: The first carry.
        xs: A tree of arrays with one common first axis, or None with `length`.
        length: Number of steps, needed where `xs` has no leaf.
        reverse: Whether to go from the last entry to the first; `y` keeps the order of `xs`.

    Raises:
        ShapeError: The first axes differ, or no length is known.
    """
    return _call("scan", kind_of_tree(init, xs), fun, init, xs, length, reverse)


def map(fun: Callable[[Any], Any], xs: Tree) -> Tree:
    """`fun` of each entry of the first axis of `xs`, one after the other, and the results stacked; see `scan`.

    Raises:
        ShapeError: The first axes differ, or there is no array.
    """
    return scan(lambda carry, x: (carry, fun(x)), (), xs)[1]


def associative_scan(fun: Callable[[T, T], T], elems: T, reverse: bool = False, axis: int = 0) -> T:
    """All partial results of the associative `fun` along `axis`, in logarithmically many steps.

    Args:
        fun: `fun(a, b)`, for trees like `elems` whose `axis` has any size, combines them entry by entry.
        elems: A tree of arrays of one size along `axis`.
        reverse: Whether to go from the last entry to the first.

    Raises:
        ShapeError: The sizes differ, or there is no array.

    Blelloch, Prefix Sums and Their Applications, 1990.
    """
    return _call("associative_scan", kind_of_tree(elems), fun, elems, reverse, axis)


def while_loop(cond_fun: Callable[[C], Array], body_fun: Callable[[C], C], init: C) -> C:
    """Run `carry = body_fun(carry)`, from `init` on, while `cond_fun(carry)` holds; the last carry.

    Args:
        cond_fun: From the carry to a scalar bool array.
        body_fun: From the carry to the next one, of the same structure, shapes and dtypes.
        init: The first carry, a tree of arrays.

    JAX cannot differentiate it backwards, but can differentiate `scan`, and `fori_loop` of a known length.

    Raises:
        UnsupportedError: OpenVINO, where the carry is traced.
    """
    return _call("while_loop", kind_of_tree(init), cond_fun, body_fun, init)


def fori_loop(lower: int | Array, upper: int | Array, body: Callable[[Array, C], C], init: C) -> C:
    """Run `carry = body(i, carry)` for `i` from `lower` to `upper - 1`, int32 arrays of shape (); the last carry.

    With ints for bounds it is a `scan`, and has a gradient everywhere; else a `while_loop`.
    """
    kind = kind_of_tree(lower, upper, init)
    backend = _backend(kind)
    xp = backend.xp
    device = next((backend.device(x) for x in tree.leaves((init, lower, upper)) if kind_of(type(x)) is not None), None)

    def native(x):
        return backend.lower(x) if kind is not None and kind.native else x

    if isinstance(lower, int) and isinstance(upper, int):
        steps = native(xp.arange(lower, max(lower, upper), dtype=xp.int32, device=device))
        return scan(lambda carry, i: (body(i, carry), None), init, steps)[0]
    first, last = (
        native(xp.asarray(x, dtype=xp.int32, device=device)) if isinstance(x, int) else x for x in (lower, upper)
    )
    one = native(xp.asarray(1, dtype=first.dtype, device=device))
    return while_loop(lambda c: c[0] < last, lambda c: (c[0] + one, body(c[0], c[1])), (first, init))[1]


def cond(pred: Array, true_fun: Callable[..., R], false_fun: Callable[..., R], *operands: Tree) -> R:
    """`true_fun(*operands)` if the scalar `pred` holds, else `false_fun(*operands)`; both return the same structure.

    Where `pred` is not known yet (in a compiled function), the choice is made on the device.
    """
    if getattr(pred, "shape", ()) != ():
        raise ShapeError(
            f"`pred` must be one value, got shape {tuple(pred.shape)}.",
            argument="pred",
            expected="()",
            got=tuple(pred.shape),
        )
    return _call("cond", kind_of_tree(pred, operands), pred, true_fun, false_fun, *operands)


def choose(pred: Array, true_fun: Callable[[], R], false_fun: Callable[[], R]) -> R:
    """`cond(pred, true_fun, false_fun)` of branches that may both be computed, which lets some compilers fuse them."""
    return _call("choose", kind_of_tree(pred), pred, true_fun, false_fun)


def switch(index: int | Array, branches: Sequence[Callable[..., R]], *operands: Tree) -> R:
    """`branches[index](*operands)`, with the integer `index` clamped to the branches there are; see `cond`."""
    if not branches:
        raise ArgumentError("`branches` is empty.", argument="branches", expected="at least one function", got="none")
    if isinstance(index, int):
        return branches[max(0, min(index, len(branches) - 1))](*operands)
    return _call("switch", kind_of_tree(index, operands), index, list(branches), *operands)
