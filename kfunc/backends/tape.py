"""Reverse-mode automatic differentiation over any conforming namespace, for libraries that bring none.

`value_and_grad` hands the function arrays that remember how they were made. Each call is one level, a number that only
grows; an operation belongs to the highest level among its arguments, and works on what these hold one level down,
which may be arrays of lower levels in turn: that is how gradients of gradients come about, without a global stack.
The rules are in `vjps`; they are written in the standard, on the cotangents, so they can be differentiated themselves.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import tree
from ..errors import ArgumentError, ShapeError, UnsupportedError
from . import Backend, Kind, add_kind, kind_of, standard

__all__ = ["TapeArray", "TapeBackend", "tape_of", "value_and_grad"]

_levels = itertools.count(1)
_ids = itertools.count()


# -- nodes: how arrays were made -------------------------------------------------------------------------------------


class Node:
    """One recorded operation; this class itself is an argument of the differentiated function."""

    __slots__ = ("grad", "id", "owned", "parents")

    def __init__(self, parents: Sequence[Node | None]):
        self.parents = parents
        self.id = next(_ids)
        self.grad: Any = None
        self.owned = False

    def add(self, g: Any) -> None:
        """Add `g` to the cotangent."""
        if self.grad is None:
            self.grad = g
        elif self.owned and not isinstance(g, TapeArray):
            self.grad += g
        else:
            # The first one may be shared with other nodes; their sum is ours, and later ones may go in in place.
            self.grad, self.owned = self.grad + g, True

    def push(self, g: Any) -> None:
        """Give the parents their shares of the cotangent `g`."""

    def release(self) -> None:
        self.parents = ()


class RuleNode(Node):
    """A function with a rule for each argument."""

    __slots__ = ("args", "backend", "kwargs", "nested", "out", "rules")

    def __init__(self, parents, rules, backend, nested, out, args, kwargs):
        self.parents = parents
        self.id = next(_ids)
        self.grad = None
        self.owned = False
        self.rules, self.backend, self.nested = rules, backend, nested
        self.out, self.args, self.kwargs = out, args, kwargs

    def push(self, g):
        backend, out, args, kwargs, rules = self.backend, self.out, self.args, self.kwargs, self.rules
        xp = backend.xp if self.nested or g.__class__ is backend.cls else backend.inner.xp
        for i, parent in enumerate(self.parents):
            if parent is not None:
                x = args[i]
                if rules.__class__ is tuple:
                    share = rules[i](xp, g, out, *args, **kwargs)
                else:
                    share = rules(xp, i, g, out, *args, **kwargs)
                if share.shape != x.shape:
                    share = unbroadcast(xp, share, x.shape)
                if share.dtype != x.dtype:
                    share = xp.astype(share, x.dtype)
                parent.add(share)

    def release(self):
        self.parents = self.args = ()
        self.out = None


class PullNode(Node):
    """An op whose backend brought a pullback: all cotangents at once, or functions that make them."""

    __slots__ = ("again", "backend", "out", "pull")

    def __init__(self, parents, pull, out, backend, again):
        super().__init__(parents)
        self.pull, self.out, self.backend, self.again = pull, out, backend, again
        if out.__class__ is tuple:
            self.grad = [None] * len(out)

    def push(self, g):
        cls = self.backend.cls
        if self.out.__class__ is tuple:
            zeros = self.backend.inner.xp.zeros_like
            # Results that nothing was made of have a cotangent of zero.
            g = tuple(zeros(o) if part is None else part for part, o in zip(g, self.out, strict=True))
            lower = any(part.__class__ is cls for part in g)
        else:
            lower = g.__class__ is cls
        # A pullback computes with plain arrays; a cotangent that is itself differentiated goes through the reference.
        for parent, share in zip(self.parents, self.again(g) if lower else self.pull(g), strict=False):
            if parent is not None and share is not None:
                parent.add(share() if callable(share) else share)

    def release(self):
        self.parents, self.pull, self.again, self.out = (), None, None, None


class PartNode(Node):
    """One of several results of a `PullNode`, whose cotangent is a list."""

    __slots__ = ("index",)

    def __init__(self, parent, index):
        super().__init__((parent,))
        self.index = index

    def push(self, g):
        self.parents[0].grad[self.index] = g


class IndexNode(Node):
    """`x[key]`, where the backend can add into a part of an array: no array of zeros for each of many slices."""

    __slots__ = ("backend", "key", "x")

    def __init__(self, parent, backend, x, key):
        super().__init__((parent,))
        self.backend, self.x, self.key = backend, x, key

    def push(self, g):
        parent, x, backend = self.parents[0], self.x, self.backend
        if g.__class__ is backend.cls or parent.grad.__class__ is backend.cls:
            parent.add(backend.xp.unindex(g, x.shape, self.key))
            return
        if parent.grad is None:
            parent.grad = backend.inner.xp.zeros(x.shape, dtype=x.dtype)
        elif not parent.owned or parent.grad.ndim == 0:
            parent.grad = backend.inner.xp.asarray(parent.grad, copy=True)
        parent.owned = True
        backend.inner.index_add(parent.grad, self.key, g)

    def release(self):
        self.parents, self.x = (), None


def sweep(root: Node, seed: Any) -> None:
    """Carry the cotangent `seed` of `root` back to all nodes that it was made from."""
    seen, stack = {id(root): root}, [root]
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and id(parent) not in seen:
                seen[id(parent)] = parent
                stack.append(parent)
    order = sorted(seen.values(), key=operator.attrgetter("id"))
    del seen, stack
    root.grad = seed
    # An infinite derivative is a result like any other; NumPy, and what is built on it, would warn.
    with np.errstate(all="ignore"):
        while order:
            node = order.pop()
            if node.__class__ is not Node and node.grad is not None:
                node.push(node.grad)
                node.grad = None
                node.release()


def unbroadcast(xp: Any, g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an array of `shape` was broadcast."""
    extra = g.ndim - len(shape)
    axes = tuple(i for i in range(g.ndim) if i < extra or (shape[i - extra] == 1 and g.shape[i] != 1))
    g = xp.sum(g, axis=axes, dtype=g.dtype) if axes else g
    return g if g.shape == shape else xp.reshape(g, shape)


# -- arrays ----------------------------------------------------------------------------------------------------------


class TapeArray:
    """An array that remembers how it was made; each backend has a subclass of its own, which has the operators.

    Attributes:
        value: What it holds: an array of the backend, or a tape array of a lower level.
        level: The level that it belongs to; 0 if it is a constant for all levels.
        node: The operation that made it; None if it is a constant.
    """

    __slots__ = ("level", "node", "value")
    __array_ufunc__ = None
    __array_priority__ = 1e6
    __hash__ = None  # type: ignore[assignment]
    backend: TapeBackend

    def __init__(self, value: Any, level: int = 0, node: Node | None = None):
        self.value, self.level, self.node = value, level, node

    def __repr__(self) -> str:
        return f"TapeArray({self.value!r}, level={self.level})"

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    device = property(lambda self: self.backend.device(self))
    T = property(lambda self: self.backend.xp.permute_dims(self, tuple(range(self.ndim))[::-1]))
    mT = property(lambda self: self.backend.xp.matrix_transpose(self))

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return self.backend.xp

    def to_device(self, device: Any, /, **kwargs: Any) -> Any:
        return self if device == self.device else self.backend.xp.to_device(self, device, **kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if is_tracked(self):
            raise UnsupportedError(
                "NumPy was handed an array that is being differentiated, and would lose its gradient.",
                argument="x",
                fix="use the functions of kf.namespace(x), or kf.to_numpy(x) if no gradient is wanted",
            )
        x = self.backend.to_numpy(self)
        return x if dtype is None else x.astype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __complex__(self) -> complex:
        return complex(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)


def base(x: Any) -> Any:
    """What a tape array holds below all levels; anything else comes back as it is."""
    while isinstance(x, TapeArray):
        x = x.value
    return x


def is_tracked(x: Any) -> bool:
    """Whether a gradient flows through `x`, at any level."""
    return isinstance(x, TapeArray) and x.level > 0


# -- the backend -----------------------------------------------------------------------------------------------------


class TapeBackend(Backend):
    """Tape arrays over the arrays of the backend `inner`. To the user it has that backend's name."""

    def __init__(self, inner: Backend):
        super().__init__()
        self.inner = inner
        self.name = inner.name
        self.cls = cls = type("TapeArray", (TapeArray,), {"__slots__": (), "backend": self})
        self._floating: dict[Any, bool] = {}
        add_kind(cls, Kind(self, rank=1))
        xp = self.xp

        def binary(name, reflected):
            fun = getattr(xp, name)
            return (lambda self, other: fun(other, self)) if reflected else fun

        standard.add_operators(cls, lambda name: getattr(xp, name), binary)
        cls.__getitem__ = lambda x, key: self.index(x, key)

    @functools.cached_property
    def xp(self):
        return TapeNamespace(self, self.inner.xp)

    @property
    def version(self):
        return self.inner.version

    def kind(self, cls):
        return Kind(self, rank=1) if cls is self.cls else None

    def asarray(self, x, dtype=None, device=None):
        if x.__class__ is not self.cls:
            return self.cls(self.inner.lift(self.inner.asarray(x, dtype, device)))
        return x if dtype is None else self.xp.astype(x, getattr(self.xp, dtype))

    def to_numpy(self, x):
        return self.inner.to_numpy(base(x))

    def device(self, x):
        return self.inner.device(base(x))

    def is_traced(self, x):
        return self.inner.is_traced(base(x))

    def stop_gradient(self, x):
        return self.cls(base(x)) if isinstance(x, TapeArray) else x

    def is_floating(self, dtype: Any) -> bool:
        """Whether arrays of `dtype` can be differentiated for."""
        try:
            return self._floating[dtype]
        except KeyError:
            answer = self._floating[dtype] = bool(self.inner.xp.isdtype(dtype, "real floating"))
            return answer

    def constant(self, x: Any) -> Any:
        """Arrays as constants; anything else comes back as it is."""
        cls = x.__class__
        if cls is self.cls:
            return x
        if cls is tuple or cls is list:
            return cls(map(self.constant, x))
        if isinstance(x, tuple):
            return type(x)(*map(self.constant, x))
        kind = kind_of(cls)
        return x if kind is None or kind.backend is not self.inner else self.cls(x)

    # -- functions of tape arrays --------------------------------------------------------------------------------------

    def differentiable(self, fun: Callable, rules: Any) -> Callable:
        """`fun` of the backend's arrays as a function of tape arrays that are passed by position.

        Args:
            fun: The function of plain arrays.
            rules: For each position a function `rule(xp, cotangent, out, *args, **kwargs)` or None; or one function
                for all, `rule(xp, position, cotangent, out, *args, **kwargs)`.
        """
        cls = self.cls
        shared = not isinstance(rules, tuple)

        def call(*args, **kwargs):
            level = 0
            for a in args:
                if a.__class__ is cls and a.level > level:
                    level = a.level
            values, parents, tracked, nested = [], [], False, False
            for i, a in enumerate(args):
                node = None
                if a.__class__ is cls:
                    if a.level == level:
                        node, a = a.node, a.value
                        if node is not None:
                            if shared or rules[i] is not None:
                                tracked = True
                            else:
                                node = None
                    elif a.level == 0:
                        a = a.value
                    if a.__class__ is cls:
                        nested = True
                values.append(a)
                parents.append(node)
            out = (call if nested else fun)(*values, **kwargs)
            if not tracked:
                # Where only lower levels are tracked, the result belongs to them.
                return out if out.__class__ is cls else cls(out)
            return cls(out, level, RuleNode(parents, rules, self, nested, out, values, kwargs))

        return call

    def opaque(self, name: str, fun: Callable, known: bool) -> Callable:
        """`fun` of the backend's arrays as a function of tape arrays through which no gradient flows."""

        def strip(x):
            if isinstance(x, TapeArray):
                if not known and is_tracked(x):
                    raise UnsupportedError(
                        f"The tape has no gradient rule for {name}.",
                        argument=name,
                        fix="write it in functions that have one, or kf.stop_gradient its arguments",
                    )
                return base(x)
            return type(x)(map(strip, x)) if x.__class__ in (tuple, list) else x

        def call(*args, **kwargs):
            args = [strip(a) for a in args]
            if kwargs:
                kwargs = {k: strip(v) for k, v in kwargs.items()}
            return self.constant(fun(*args, **kwargs))

        return call

    def index(self, x: Any, key: Any) -> Any:
        """`x[key]`, where `key` may hold tape arrays."""
        cls = self.cls
        if key.__class__ is tuple:
            key = tuple(map(base, key))
        elif key.__class__ is cls:
            key = base(key)
        value = x.value
        if x.node is None or value.__class__ is cls or self.inner.index_add is None:
            return self.xp.getitem(x, key)
        return cls(value[key], x.level, IndexNode(x.node, self, value, key))

    def implement(self, name, reference, native):
        plain = self.inner.implement(name, reference, False)
        rules = self.xp.op_rules(name)
        pullback = self.inner.pullbacks.get(name)
        bind = binder(reference)
        other = reference if rules is None else self.differentiable(plain, rules)
        if pullback is None and rules is not None:
            return lambda *args, **kwargs: other(*bind(args, kwargs))
        cls = self.cls

        def run(*args, **kwargs):
            args = bind(args, kwargs)
            level = 0
            for a in args:
                if a.__class__ is cls and a.level > level:
                    level = a.level
            values, parents, tracked = [], [], False
            for a in args:
                node = None
                if a.__class__ is cls:
                    if a.level == level:
                        node, a = a.node, a.value
                        tracked = tracked or node is not None
                    elif a.level == 0:
                        a = a.value
                    if a.__class__ is cls:
                        return other(*args)
                values.append(a)
                parents.append(node)
            if not tracked:
                return self.constant(plain(*values))
            made = NotImplemented if pullback is None else pullback(*values)
            if made is NotImplemented:
                return other(*args)
            out, pull = made

            def again(g):
                return _pull_through(self, reference, values, parents, g)

            node = PullNode(parents, pull, out, self, again)
            if out.__class__ is not tuple:
                return cls(out, level, node)
            return tuple(cls(o, level, PartNode(node, i)) for i, o in enumerate(out))

        return run


def _pull_through(backend: TapeBackend, fun: Callable, args: Sequence, parents: Sequence, g: Any) -> list[Any]:
    """The cotangents of `args` for the cotangent `g` of `fun(*args)`, by differentiating `fun` at a new level."""
    cls, level = backend.cls, next(_levels)
    args = [a if parent is None else cls(a, level, Node(())) for a, parent in zip(args, parents, strict=True)]
    out = fun(*args)
    pairs = zip(out, g, strict=True) if isinstance(out, tuple) else [(out, g)]
    total = functools.reduce(operator.add, [backend.xp.sum(o * part) for o, part in pairs])
    sweep(total.node, backend.xp.ones_like(total.value))
    return [None if parent is None else a.node.grad for a, parent in zip(args, parents, strict=True)]


def binder(reference: Callable) -> Callable[[tuple, dict], tuple]:
    """A function that puts the arguments of a call of `reference` in their positions, with the defaults."""
    parameters = list(inspect.signature(reference).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return lambda args, kwargs: args
    names = [p.name for p in parameters]
    defaults = [p.default for p in parameters]
    missing = inspect.Parameter.empty

    def bind(args, kwargs):
        n = len(args)
        if not kwargs and n == len(names):
            return args
        rest = [kwargs.get(name, default) for name, default in zip(names[n:], defaults[n:], strict=True)]
        if n > len(names) or any(r is missing for r in rest) or any(k not in names[n:] for k in kwargs):
            reference(*args, **kwargs)  # raises Python's own TypeError
        return (*args, *rest)

    return bind


class TapeNamespace:
    """The Array API namespace of tape arrays: rules where there are some, and the backend's own functions."""

    def __init__(self, backend: TapeBackend, xp: Any, root: TapeNamespace | None = None):
        from . import vjps

        self._backend, self._xp, self._vjps, self._root = backend, xp, vjps, root

    def op_rules(self, name: str) -> Any:
        """The rules for the op `name`, which the standard lacks; None if there are none."""
        return self._vjps.OP_RULES.get(name)

    def __repr__(self) -> str:
        return f"<kfunc tape over {self._xp!r}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__array_namespace_info__":
            raise AttributeError(name)
        vjps, backend = self._vjps, self._backend
        if self._root is not None and (name in vjps.COMPOSITES or name in vjps.RULES):
            found = getattr(self._root, name)
        elif name in vjps.COMPOSITES:
            composite = vjps.COMPOSITES[name]

            def found(*args, **kwargs):
                return composite(self, *args, **kwargs)

        elif name in vjps.RULES:
            found = backend.differentiable(self._plain(name), vjps.RULES[name])
        else:
            found = self._plain(name)
            if isinstance(found, types.ModuleType):
                found = TapeNamespace(backend, found, self)
            elif callable(found) and (not isinstance(found, type) or name in vjps.CONSTANT):
                found = backend.opaque(name.removeprefix("_constant_"), found, name in vjps.CONSTANT)
        setattr(self, name, found)
        return found

    def _plain(self, name: str) -> Any:
        special = self._vjps.PLAIN.get(name)
        return special(self._xp) if special else getattr(self._xp, name)


@functools.cache
def tape_of(backend: Backend) -> TapeBackend:
    """The tape over `backend`'s arrays; a tape is its own."""
    return backend if isinstance(backend, TapeBackend) else TapeBackend(backend)


# -- the transformation ----------------------------------------------------------------------------------------------


def value_and_grad(fun: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns the value of `fun` and its gradient; see `kfunc.value_and_grad`.

    Raises:
        ArgumentError: An argument to differentiate for is missing, or has a leaf that is no floating-point array.
        ShapeError: The result is no scalar array.
    """
    from ..arrays import backend_of

    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def transformed(*args, **kwargs):
        backend = tape_of(backend_of(args, kwargs))
        cls, level = backend.cls, next(_levels)
        wanted = _positions(numbers, len(args))
        outer, leaves, structures = False, [], []
        new_args = []
        for i, arg in enumerate(args):
            values, structure = tree.flatten(arg)
            outer = outer or any(v.__class__ is cls for v in values)
            if i in wanted:
                values = [_argument(backend, v, level, i) for v in values]
                leaves.append(values)
                structures.append(structure)
            else:
                values = [backend.constant(v) for v in values]
            new_args.append(tree.unflatten(structure, values))
        kwargs = tree.map(backend.constant, kwargs)
        out = fun(*new_args, **kwargs)
        value, aux = _pair(out) if has_aux else (out, None)
        if value.__class__ is not cls:
            value = backend.constant(value)
        if value.__class__ is not cls or value.shape != () or not backend.is_floating(value.dtype):
            raise ShapeError(
                "A function to differentiate must return a floating-point scalar array.",
                argument="fun",
                expected="a result of shape ()",
                got=f"{value.dtype} of shape {value.shape}" if isinstance(value, cls) else type(value).__name__,
                fix="reduce it, for example with xp.mean, or pass has_aux=True if it returns (value, aux)",
            )
        if value.level == level and value.node is not None:
            xp = backend.xp if value.value.__class__ is cls else backend.inner.xp
            sweep(value.node, xp.ones_like(value.value))
        finish = functools.partial(_finish, backend, level, outer)
        by_position = dict(zip(sorted(set(wanted)), zip(leaves, structures, strict=True), strict=True))
        seen: set[int] = set()
        grads = {
            i: tree.unflatten(structure, [finish(_gradient(backend, leaf, seen)) for leaf in values])
            for i, (values, structure) in by_position.items()
        }
        value, aux = finish(value), tree.map(finish, aux)
        gradient = grads[wanted[0]] if isinstance(argnums, int) else tuple(grads[i] for i in wanted)
        return ((value, aux) if has_aux else value), gradient

    return transformed


def _positions(numbers: tuple[int, ...], count: int) -> list[int]:
    wanted = [n + count if n < 0 else n for n in numbers]
    if any(not 0 <= n < count for n in wanted):
        raise ArgumentError(
            "There is no such positional argument to differentiate for.",
            argument="argnums",
            expected=f"positions below {count}",
            got=numbers,
            fix="pass these arguments by position",
        )
    return wanted


def _argument(backend: TapeBackend, x: Any, level: int, position: int) -> Any:
    """A leaf of an argument to differentiate for, as an array of a new level."""
    cls = backend.cls
    if x.__class__ is cls and x.level == 0:
        x = x.value
    if backend.constant(x).__class__ is not cls or not backend.is_floating(x.dtype):
        raise ArgumentError(
            "Only floating-point arrays can be differentiated for.",
            argument=f"argument {position}",
            expected="a tree of floating-point arrays",
            got=getattr(x, "dtype", type(x).__name__),
            fix="convert it with kf.asarray(x), or leave its position out of argnums",
        )
    return cls(x, level, Node(()))


def _gradient(backend: TapeBackend, leaf: Any, seen: set[int]) -> Any:
    g = leaf.node.grad
    if g.__class__ is backend.cls:
        return g
    if g is None:
        xp = backend.xp if leaf.value.__class__ is backend.cls else backend.inner.xp
        return xp.zeros_like(leaf.value)
    # Two leaves may have been given one cotangent, or a view of one: callers get memory of their own.
    if id(g) in seen or not getattr(getattr(g, "flags", None), "owndata", True):
        g = backend.inner.xp.asarray(g, copy=True)
    seen.add(id(g))
    return g


def _pair(out: Any) -> Any:
    if not isinstance(out, tuple) or len(out) != 2:
        raise ArgumentError(
            "With has_aux the function must return a pair.",
            argument="fun",
            expected="(value, aux)",
            got=type(out).__name__,
        )
    return out


def _finish(backend: TapeBackend, level: int, outer: bool, x: Any) -> Any:
    """An array as it leaves the level: inside another level it stays a tape array, at the top it is a plain one."""
    cls = backend.cls
    if x.__class__ is cls and x.level == level:
        x = x.value
    if x.__class__ is cls and x.level == 0 and not outer:
        x = x.value
    if x.__class__ is cls:
        return x
    # A reduction of NumPy gives a scalar, which is no array.
    x = backend.inner.xp.asarray(x) if getattr(x, "ndim", 1) == 0 and kind_of(type(x)) is not None else x
    return backend.constant(x) if outer else x
