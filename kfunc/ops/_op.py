"""`@op`: one reference in the Array API, and a lowering wherever a backend has something faster."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from .. import tree
from ..backends import Backend, Kind, common_backend, get, kind_of
from ..backends.base import CONSTANT
from ..backends.constants import is_constant, join
from ..errors import ArgumentError, KfuncError, ShapeError, shown
from ..tracing.spec import Spec
from ._promotion import dtype_of, in_single

__all__ = ["OPS", "Op", "Prepared", "lowering", "op", "pullback"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

OPS: dict[str, Op[..., Any]] = {}
"""All ops by name."""


class Op(Generic[P, R]):
    """A function of arrays that runs a backend's lowering where there is one, and its reference elsewhere.

    The choice is made from the types of the arguments, once for each combination of types. Arrays are arguments of
    their own, unless the op is `nested`: then they may also lie in lists, tuples and dicts. NumPy's arrays join those
    of another backend as constants; see `kfunc.backends.constants`.
    """

    reference: Callable[P, R]
    name: str
    nested: bool
    elementwise: bool
    along_axis: bool
    grows: bool
    on_specs: Callable[..., Any] | None
    on_tape: Callable[..., Any] | None

    def __init__(
        self,
        reference: Callable[P, R],
        nested: bool = False,
        single: bool = False,
        elementwise: bool = False,
        along_axis: bool = False,
        grows: bool = False,
    ):
        functools.update_wrapper(self, reference)
        # The op runs again, since a backend that declines half precision may have a lowering for float32.
        self.reference = in_single(reference, again=self) if single else reference
        self.name = reference.__name__
        self.nested = nested
        self.single = single
        self.elementwise = elementwise
        self.along_axis = along_axis
        self.grows = grows
        self.on_specs: Callable[..., Any] | None = None
        self.on_tape: Callable[..., Any] | None = None
        self._implementations: dict[Any, Callable[..., Any]] = {}
        OPS[self.name] = self

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def shape_rule(self, fun: F) -> F:
        """Make the decorated function what runs on `Spec`s: the reference computes with sizes, which may be unknown.

        It takes the arguments of the reference, refuses what that refuses, and returns `Spec`s; NotImplemented leaves
        the call to the reference.
        """
        self.on_specs = fun
        self._implementations.clear()
        return fun

    def tape_rule(self, fun: F) -> F:
        """Make the decorated function the op's derivative on the tape: that of the reference is slow, or less exact.

        `fun(xp, g, out, *args)` returns the cotangent of the first argument for the cotangent `g` of the result `out`.
        `args` are all arguments, by position; no gradient flows to the others.
        """
        self.on_tape = in_single(fun) if self.single else fun
        self._implementations.clear()
        return fun

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            types: Any
            if self.nested:
                types = _types_inside(args, kwargs)
            elif kwargs:
                types = (*map(type, args), *map(type, kwargs.values()))
            else:
                types = tuple(map(type, args))
            implementation = self._implementations.get(types)
            if implementation is None:
                implementation = self._implementations[types] = _implementation(self, types)
            out = implementation(*args, **kwargs)
            return self.reference(*args, **kwargs) if out is NotImplemented else out
        except Exception as error:
            better = _explained(self, error, args, kwargs)
            if better is error:
                raise
            raise better from error


def _types_inside(args: tuple, kwargs: dict[str, Any]) -> tuple:
    """The types of the arguments. A list or a tuple gives None, and then the types of its entries."""
    types: list = []
    for x in (*args, *kwargs.values()):
        if type(x) is list or type(x) is tuple:
            types.append(None)
            types.extend(map(type, x))
        else:
            types.append(type(x))
    return tuple(types)


def _by_leaves(op: Op, *args: Any, **kwargs: Any) -> Any:
    """`op`, where arrays lie deeper in its arguments than `_types_inside` looks."""
    leaves = tree.leaves((args, tuple(kwargs.values())))
    return _for_kinds(op, [kind_of(t) for t in set(map(type, leaves))])(*args, **kwargs)


def _implementation(op: Op, types: tuple) -> Callable:
    """The function that runs `op` on arguments of these types, unless it returns NotImplemented."""
    if op.nested and any(t in (list, tuple, dict) for t in types):
        return functools.partial(_by_leaves, op)
    return _for_kinds(op, [kind_of(t) for t in types if t is not None])


def _for_kinds(op: Op, kinds: list[Kind | None]) -> Callable:
    """The function that runs `op` on arrays of these kinds, unless it returns NotImplemented; None is not an array."""
    known = [k for k in kinds if k is not None]
    arrays = [k for k in known if not k.backend.joins]
    kind = common_backend(arrays or known)
    if kind is None:
        return op.reference
    run = kind.backend.implement(op, kind.native)
    if kind.rank == CONSTANT:
        return functools.partial(_of_constants, op, run)
    if any(is_constant(k, kind.backend) for k in known):
        return functools.partial(_with_constants, op, run, kind)
    return run


def _of_constants(op: Op, run: Callable, *args: Any, **kwargs: Any) -> Any:
    """`run` on constants alone, whose results are constants again: `ops.one_hot(ops.arange(4), 4)`."""
    out = run(*args, **kwargs)
    return tree.map(get("numpy").constant, op.reference(*args, **kwargs) if out is NotImplemented else out)


def _with_constants(op: Op, run: Callable, kind: Kind, *args: Any, **kwargs: Any) -> Any:
    """`run`, with NumPy's arrays and scalars joined to the arrays of `kind`."""
    given = tree.leaves((args, tuple(kwargs.values()))) if op.nested else (*args, *kwargs.values())
    kinds = [kind_of(type(x)) for x in given]
    arrays = [x for x, k in zip(given, kinds, strict=True) if k is not None and not k.backend.joins]
    like = [x for x, k in zip(given, kinds, strict=True) if k is not None and k.backend is kind.backend][0]  # noqa: RUF015
    dtypes = tuple([dtype_of(x) for x in arrays])

    def joined(x: Any) -> Any:
        own = kind_of(type(x))
        return x if own is None or not own.backend.joins else join(x, kind, like, dtypes)

    if op.nested:
        args, kwargs = tree.map(joined, (args, kwargs))
    else:
        args, kwargs = tuple([joined(x) for x in args]), {name: joined(x) for name, x in kwargs.items()}
    out = run(*args, **kwargs)
    return op.reference(*args, **kwargs) if out is NotImplemented else out


def _explained(op: Op, error: Exception, args: tuple, kwargs: dict[str, Any]) -> Exception:
    """The error to raise in place of `error`: if shapes and dtypes alone lead to an error, that one. A framework's own
    error about the numbers in matrices becomes an `ArgumentError`.

    It is the same on every backend. It names the outermost op, which is the one that the caller wrote.
    """
    specs = [x for x in tree.leaves((args, tuple(kwargs.values()))) if type(x) is Spec]
    if isinstance(error, TypeError) and "NoneType" in str(error) and any(None in x.shape for x in specs):
        # The reference computed with a size, and the size is None.
        shapes = ", ".join(str(x.shape) for x in specs)
        error = ShapeError(
            f"A size is not known that is needed here, got shapes {shapes}.",
            expected="known sizes",
            got=shapes,
            fix="give the sizes in the input's Spec",
        )
    if not specs:
        try:
            op.reference(*tree.map(_as_spec, args), **tree.map(_as_spec, kwargs))
        except (ShapeError, ArgumentError) as better:
            error = better
        except Exception:
            pass  # shapes and dtypes alone do not show the fault
    if type(error).__name__.lstrip("_") == "LinAlgError" or "not invertible" in str(error):
        error = ArgumentError(
            "The matrices are singular, not positive definite, or not finite.", got=shown(str(error).splitlines()[0])
        )
    if isinstance(error, KfuncError):
        error.op = op.name
    return error


def _as_spec(x: Any) -> Any:
    return x if kind_of(type(x)) is None else Spec(x.shape, x.dtype)


@overload
def op(reference: Callable[P, R]) -> Op[P, R]: ...
@overload
def op(
    *,
    nested: bool = False,
    single: bool = False,
    elementwise: bool = False,
    along_axis: bool = False,
    grows: bool = False,
) -> Callable[[Callable[P, R]], Op[P, R]]: ...
def op(reference: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make an op of `reference`, a function written in the Array API standard, with its signature.

    Args:
        reference: The function.
        nested: Whether some arguments are lists, tuples or dicts of arrays.
        single: Whether the reference computes half precision in float32, as a sum of many numbers must. A lowering
            declines half precision, unless its kernel does so itself.
        elementwise: Whether a result's element depends on nothing but the elements at its own place. A graph of such
            ops computes each sample by itself, so a batch may be filled up.
        along_axis: Whether the same holds for all axes but those of the argument `axis`.
        grows: Whether integers among the arguments say how much there is to compute. The config in a file could ask
            for any number, so a graph is held to a limit.
    """
    return functools.partial(Op, **options) if reference is None else Op(reference, **options)


class Prepared:
    """A lowering that takes some arguments in a form of its own.

    Attributes:
        run: The lowering, which takes these arguments in that form.
        forms: For the name of each of these arguments, the function that brings it into its form. A recording writes
            this call on a line of its own, so that a loop in which the argument stays the same makes it once.
    """

    def __init__(self, run: Callable, forms: dict[str, Callable]):
        functools.update_wrapper(self, run)
        self.run, self.forms = run, forms
        names = list(inspect.signature(run).parameters)
        self._at = {names.index(name): form for name, form in forms.items()}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.prepared(lambda form, x: form(x), self.run)(*args, **kwargs)

    def prepared(self, call: Callable, run: Callable) -> Callable:
        """`run` as a function of the reference's arguments; `call(form, x)` brings an argument into its form."""

        def prepared(*args: Any, **kwargs: Any) -> Any:
            args = tuple([call(self._at[i], x) if i in self._at else x for i, x in enumerate(args)])
            return run(*args, **{k: call(self.forms[k], x) if k in self.forms else x for k, x in kwargs.items()})

        return prepared


def lowering(backend: Backend, op: Op[..., Any], **forms: Callable[[Any], Any]) -> Callable[[F], F]:
    """Register the decorated function as `backend`'s implementation of `op`.

    It takes the arguments of the reference, arrays in the framework's own form, and returns NotImplemented to decline.
    With `kernel=turned`, it is given `turned(kernel)` in place of `kernel`; see `Prepared`.
    """

    def decorate(fun: F) -> F:
        backend.lowerings[op.name] = Prepared(fun, forms) if forms else fun
        op._implementations.clear()
        return fun

    return decorate


def pullback(backend: Backend, op: Op[..., Any]) -> Callable[[F], F]:
    """Register the decorated function as what the tape runs for `op` on `backend`'s plain arrays.

    It takes the arguments of the reference and returns `(out, pullback)`, or NotImplemented to decline;
    `pullback(cotangent)` returns one cotangent, or None, for each positional argument.
    """

    def decorate(fun: F) -> F:
        backend.pullbacks[op.name] = fun
        op._implementations.clear()
        return fun

    return decorate
