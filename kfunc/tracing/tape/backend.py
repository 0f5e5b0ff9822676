"""The backend and the namespace of tape arrays, over the arrays of any other backend."""

from __future__ import annotations

import functools
import inspect
import itertools
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...backends import standard
from ...backends.base import Backend, Kind
from ...backends.constants import joined
from ...backends.registry import add_kind, kind_of
from ...backends.standard import is_kind
from ...errors import UnsupportedError
from .array import TapeArray, base, is_tracked, read
from .nodes import GroupNode, IndexNode, Node, PullNode, RuleNode, sweep

__all__ = ["TapeBackend", "tape_of"]

_levels = itertools.count(1)


def new_level() -> int:
    """A level above all others."""
    return next(_levels)


class TapeBackend(Backend):
    """Tape arrays over the arrays of the backend `inner`. To the user it has that backend's name."""

    def __init__(self, inner: Backend) -> None:
        super().__init__()
        self.inner = inner
        self.name = inner.name
        self.cls = cls = type("TapeArray", (TapeArray,), {"__slots__": (), "backend": self})
        self._floating: dict[Any, bool] = {}
        add_kind(cls, Kind(self, rank=1))
        xp = self.xp

        def binary(name, reflected):
            fun = getattr(xp, name)
            if reflected:
                return lambda self, other: fun(joined(other, self), self)
            return lambda self, other: fun(self, joined(other, self))

        standard.add_operators(cls, lambda name: getattr(xp, name), binary)
        cls.__getitem__ = lambda x, key: self.index(x, key)
        cls.__setitem__ = lambda x, key, value: self.set_index(x, key, value)

    @functools.cached_property
    def xp(self) -> Any:
        return TapeNamespace(self, self.inner.xp)

    @property
    def version(self) -> Any:
        return self.inner.version

    def kind(self, cls: Any) -> Any:
        return Kind(self, rank=1) if cls is self.cls else None

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        if x.__class__ is not self.cls:
            return self.cls(self.inner.lift(self.inner.asarray(x, dtype, device)))
        return x if dtype is None else self.xp.astype(x, getattr(self.xp, dtype))

    def lift(self, x: Any) -> Any:
        """`x`, as a constant if it is an array of the inner backend."""
        return self.constant(x)

    def to_numpy(self, x: Any) -> Any:
        return self.inner.to_numpy(read(x))

    def device(self, x: Any) -> Any:
        return self.inner.device(base(x))

    def is_traced(self, x: Any) -> Any:
        return self.inner.is_traced(base(x))

    def stop_gradient(self, x: Any) -> Any:
        return self.cls(base(x)) if isinstance(x, TapeArray) else x

    def zeros_like(self, x: Any) -> Any:
        """Zeros like `x`, a plain array or one of the tape's."""
        return (self.xp if x.__class__ is self.cls else self.inner.xp).zeros_like(x)

    def is_floating(self, dtype: Any) -> bool:
        """Whether arrays of `dtype` can be differentiated for."""
        try:
            return self._floating[dtype]
        except KeyError:
            answer = self._floating[dtype] = is_kind(dtype, "real floating", "complex floating")
            return answer

    def further_dtype(self, name: str) -> Any:
        return self.inner.further_dtype(name)

    def is_real(self, dtype: Any) -> bool:
        """Whether `dtype` is a real floating-point one."""
        return is_kind(dtype, "real floating")

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

    def differentiable(self, fun: Callable[..., Any], rules: Any) -> Callable[..., Any]:
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
                # No argument of this level needs a gradient: the result belongs to the lower level.
                return out if out.__class__ is cls else cls(out)
            return cls(out, level, RuleNode(parents, rules, self, nested, out, values, kwargs))

        return call

    def several(self, fun: Callable[..., Any], rule: Callable[..., Any]) -> Callable[..., Any]:
        """`fun` of one of the backend's arrays, with several results, as a function of a tape array.

        Args:
            fun: The function of a plain array, with further arguments by name.
            rule: `rule(xp, cotangents, outs, x, **kwargs)`, for tuples of all cotangents and results.
        """
        cls = self.cls

        def call(x, /, **kwargs):
            x = x if x.__class__ is cls else cls(x)
            nested = x.value.__class__ is cls
            outs = (call if nested else fun)(x.value, **kwargs)
            if x.node is None:
                return outs if nested else _like(outs, map(cls, outs))

            def pull(gs):
                lower = nested or any(g.__class__ is cls for g in gs)
                lifted = self.constant if lower else _same
                xp = self.xp if lower else self.inner.xp
                return (rule(xp, tuple(map(lifted, gs)), tuple(map(lifted, outs)), lifted(x.value), **kwargs),)

            parts = GroupNode((x.node,), pull, tuple(outs), self).parts()
            return _like(outs, (cls(o, x.level, part) for o, part in zip(outs, parts, strict=True)))

        return call

    def if_tracked(self, fun: Callable[..., Any], otherwise: Callable[..., Any]) -> Callable[..., Any]:
        """`fun` where a gradient flows through an array among the arguments, and `otherwise` elsewhere."""

        def tracked(x):
            return any(map(tracked, x)) if x.__class__ in (tuple, list) else is_tracked(x)

        def call(*args, **kwargs):
            return (fun if tracked(args) or tracked(list(kwargs.values())) else otherwise)(*args, **kwargs)

        return call

    def opaque(self, name: str, fun: Callable[..., Any], known: bool) -> Callable[..., Any]:
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

    def set_index(self, x: Any, key: Any, value: Any) -> None:
        """`x[key] = value`: `x` holds another array from now on, and the one that it held is as it was."""
        key = tuple(map(base, key)) if key.__class__ is tuple else base(key)
        new = self.xp.setitem(x, value, key)
        x.value, x.level, x.node = new.value, new.level, new.node

    def implement(self, op: Any, native: Any) -> Any:
        reference = op.reference
        plain = _or_else(self.inner.implement(op, False), reference)
        if (joint := self.xp._rules.OF_OPS.get(op.name)) is not None:
            return self.several(plain, joint)
        pullback = self.inner.pullbacks.get(op.name)
        parameters = inspect.signature(reference).parameters.values()
        kinds = {p.kind for p in parameters}
        rules = None if op.on_tape is None else (op.on_tape, *[None] * (len(parameters) - 1))
        if (
            pullback is None
            and rules is None
            and kinds & {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
        ):
            # The rules need all arguments by position, and some have none.
            return lambda *args, **kwargs: reference(
                *map(self.constant, args), **{k: self.constant(v) for k, v in kwargs.items()}
            )
        bind = binder(reference)

        def on_tape(*args):
            # All as tape arrays: some libraries do not leave operations of their arrays and tape arrays to these.
            return reference(*map(self.constant, args))

        other = on_tape if rules is None else self.differentiable(plain, rules)
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

            # A pullback computes with plain arrays. If the cotangent is differentiated itself, the reference is used.
            if out.__class__ is not tuple:

                def share(g):
                    return _pull_through(self, reference, values, parents, (g,)) if g.__class__ is cls else pull(g)

                return cls(out, level, PullNode(parents, share))

            def shares(gs):
                lower = any(g.__class__ is cls for g in gs)
                return _pull_through(self, reference, values, parents, gs) if lower else pull(tuple(gs))

            return tuple(map(cls, out, (level,) * len(out), GroupNode(parents, shares, out, self).parts()))

        return run


def _same(x: Any) -> Any:
    return x


def _like(outs: Any, arrays: Iterable[Any]) -> Any:
    """The arrays in a tuple, or in a NamedTuple, as `outs` is one."""
    return tuple(arrays) if type(outs) is tuple else type(outs)(*arrays)


def _or_else(lowering: Callable, reference: Callable) -> Callable:
    """`lowering`, or `reference` where the lowering declines the call by returning NotImplemented."""

    def implementation(*args, **kwargs):
        out = lowering(*args, **kwargs)
        return reference(*args, **kwargs) if out is NotImplemented else out

    return implementation


def _pull_through(backend: TapeBackend, fun: Callable, args: Sequence, parents: Sequence, g: Sequence) -> list[Any]:
    """The cotangents of `args` for the cotangents `g` of the results of `fun(*args)`, computed at a new level."""
    cls, level = backend.cls, new_level()
    args = [
        backend.constant(a) if parent is None else cls(a, level, Node(()))
        for a, parent in zip(args, parents, strict=True)
    ]
    out = fun(*args)
    outs = out if isinstance(out, tuple) else (out,)
    sweep((o.node, part) for o, part in zip(outs, g, strict=True) if o.level == level)
    return [None if parent is None else a.node.grad for a, parent in zip(args, parents, strict=True)]


def binder(reference: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[Any, Any]], tuple[Any, ...]]:
    """A function that returns the arguments of a call of `reference` by position, with the defaults filled in."""
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

    def __init__(self, backend: TapeBackend, xp: Any, root: TapeNamespace | None = None, prefix: str = "") -> None:
        from . import rules

        self._backend, self._xp, self._rules, self._root, self._prefix = backend, xp, rules, root or self, prefix
        self.__name__: str = f"kfunc.tracing.tape over {xp.__name__}"

    def __repr__(self) -> str:
        return f"<kfunc tape over {self._xp!r}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__array_namespace_info__", "__array_api_version__"):
            raise AttributeError(name)
        found = self._find(name)
        if callable(found) and not isinstance(found, type):
            # Its name, documentation and signature are those of the backend's own.
            found = functools.update_wrapper(found, getattr(self._xp, name, found))
        setattr(self, name, found)
        return found

    def _find(self, name: str) -> Any:
        rules, backend, full = self._rules, self._backend, self._prefix + name
        if full in rules.COMPOSITES:
            made = functools.partial(rules.COMPOSITES[full], self._root)
            if full in rules.ALWAYS:
                return made
            return backend.if_tracked(made, backend.opaque(full, self._plain(full), True))
        if full in rules.SEVERAL:
            return backend.several(self._plain(full), rules.SEVERAL[full])
        if full in rules.RULES:
            return backend.differentiable(self._plain(full), rules.RULES[full])
        if self._prefix and (name in rules.COMPOSITES or name in rules.RULES):
            return getattr(self._root, name)  # a function of the main namespace, such as linalg.matmul
        found = self._plain(full)
        if isinstance(found, types.ModuleType):
            return TapeNamespace(backend, found, self, f"{name}.")
        constant = full in rules.CONSTANT
        if not callable(found) or (isinstance(found, type) and not constant):
            return found
        return backend.opaque(full.removeprefix("_constant_"), found, constant)

    def _plain(self, full: str) -> Any:
        special = self._rules.PLAIN.get(full)
        return special(self._xp) if special else getattr(self._xp, full.removeprefix(self._prefix))


@functools.cache
def tape_of(backend: Backend) -> TapeBackend:
    """The tape over `backend`'s arrays; a tape itself comes back as it is."""
    return backend if isinstance(backend, TapeBackend) else TapeBackend(backend)
