"""The backend and the namespace of recorded arrays, over those of any backend that runs each call at once."""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Callable
from typing import Any

from ... import tree
from ...backends import standard
from ...backends.base import Backend, Kind
from ...backends.registry import add_kind, kind_of
from .array import Recorded
from .recording import Again, CannotRecord, Recording, written

__all__ = ["RecordBackend", "record_of"]

_OPEN_LINES = 128


class RecordBackend(Backend):
    """Recorded arrays over the arrays of the backend `inner`. To the user it has that backend's name."""

    def __init__(self, inner: Backend):
        super().__init__()
        self.inner = inner
        self.name = inner.name
        self.cls = cls = type("Recorded", (Recorded,), {"__slots__": (), "backend": self})
        add_kind(cls, Kind(self, rank=0.5))
        self.pullbacks = _Pullbacks(self)  # type: ignore[assignment]
        self._closed: set[Callable] = set()
        for stem in standard.UNARY:
            setattr(cls, f"__{stem}__", self.kernel(getattr(operator, f"__{stem}__")))
        for stem in (*standard.ARITHMETIC, *standard.COMPARISONS):
            setattr(cls, f"__{stem}__", self.kernel(getattr(operator, f"__{stem}__")))
        for stem in standard.ARITHMETIC:
            setattr(cls, f"__r{stem}__", self._reflected(getattr(operator, f"__{stem}__")))
        cls.__getitem__ = lambda x, key: self.call(operator.getitem, (x, key), {}, shaped=_any_masks(self, key))
        cls.__setitem__ = lambda x, key, value: self._set(x, key, value)
        # What the framework does in its own way, over its own arrays, has no recorded form.
        for name in ("vjp", "jvp", "checkpoint", "custom_gradient", "vmap"):
            if getattr(type(inner), name) is not getattr(Backend, name):
                setattr(self, name, _cannot)

    @functools.cached_property
    def xp(self):
        return RecordNamespace(self, self.inner.xp)

    @property
    def version(self):
        return self.inner.version

    def kind(self, cls):
        return Kind(self, rank=0.5) if cls is self.cls else None

    def asarray(self, x, dtype=None, device=None):
        if x.__class__ is not self.cls:
            return self.cls(self.inner.lift(self.inner.asarray(x, dtype, device)))
        return x if dtype is None else self.xp.astype(x, getattr(self.xp, dtype))

    def lift(self, x):
        """`x`, as a constant if it is an array of the inner backend."""
        kind = kind_of(x.__class__)
        return x if kind is None or kind.backend is not self.inner else self.cls(x)

    def copy(self, x: Any) -> Any:
        """A copy of `x`, one of the inner backend's arrays."""
        return self.inner.xp.asarray(x, copy=True)

    def to_numpy(self, x):
        if x.recording is not None:
            raise CannotRecord
        return self.inner.to_numpy(x.value)

    def device(self, x):
        return self.inner.device(x.value)

    def is_traced(self, x):
        return x.recording is not None

    def implement(self, op, native):
        lowering = self.inner.lowerings.get(op.name)
        if hasattr(lowering, "prepared"):  # an `ops.Prepared`
            return lowering.prepared(lambda form, x: self.call(form, (x,), {}), self.opened(lowering.run))
        return op.reference if lowering is None else self.opened(lowering)

    def stop_gradient(self, x):
        return self.call(self.inner.stop_gradient, (x,), {})

    def waits(self, x):
        return self.inner.waits(x.value)

    def value_and_grad(self, fun, argnums=0, has_aux=False):
        if type(self.inner).value_and_grad is Backend.value_and_grad:
            return NotImplemented
        positions = (argnums,) if isinstance(argnums, int) else argnums

        def run(*args, **kwargs):
            flat, structure = tree.flatten(tuple(args[i] for i in positions))
            inputs = [self.call(self.inner.watched, (x,), {}) for x in flat]
            inner = list(args)
            for i, x in zip(positions, tree.unflatten(structure, inputs), strict=True):
                inner[i] = x
            recording = next((x.recording for x in inputs if x.recording is not None), None)
            if recording is None or recording.differentiates:  # the framework would have to keep more
                raise CannotRecord
            recording.differentiates = True
            out = fun(*inner, **kwargs)
            recording.differentiates = False
            value, aux = out if has_aux else (out, None)
            gradients = self.call(self.inner.gradients, (value, inputs), {})
            value, aux = tree.map(lambda x: self.stop_gradient(x) if x.__class__ is self.cls else x, (value, aux))
            gradient = tree.unflatten(structure, gradients)
            gradient = gradient[0] if isinstance(argnums, int) else gradient
            return ((value, aux) if has_aux else value), gradient

        return run

    # -- kernels -----------------------------------------------------------------------------------------------------

    def kernel(self, fun: Callable) -> Callable:
        """`fun` of the backend's arrays as a function of recorded ones."""
        call = self.call

        def kernel(*args, **kwargs):
            return call(fun, args, kwargs)

        return kernel

    def _reflected(self, fun: Callable) -> Callable:
        return lambda x, other: self.call(fun, (other, x), {})

    def call(self, fun: Callable, args: tuple, kwargs: dict, shaped: bool = False) -> Any:
        """`fun(*args, **kwargs)`, written down if it depends on what changes from run to run.

        Where the shape of the result does, it is `shaped`: this program is for one shape.
        """
        found: list = []
        run = self._value(fun, found)
        values = [self._value(a, found) for a in args]
        options = {k: self._value(v, found) for k, v in kwargs.items()}
        out = run(*values, **options)
        if out is NotImplemented:
            return out
        if not found:
            return self._wrapped(out, None, "")
        recording = found[0]
        out = self._wrapped(out, recording, recording.add(written(fun, args, kwargs, recording)))
        if shaped:
            for x in tree.leaves(out):
                recording.expect("{}.shape", x.name, x.shape)
        return out

    def opened(self, fun: Callable) -> Callable:
        """`fun` as a function of recorded arrays, written down as the calls in it if these can be seen, and are few."""
        if self.inner.stand_in is None:
            return self.kernel(fun)
        return lambda *args, **kwargs: self._open(fun, args, kwargs)

    def _open(self, fun: Callable, args: tuple, kwargs: dict, recording: Any = None, opened: Any = None) -> Any:
        found: list = []
        inside = [self._inside(x, found) for x in args], {k: self._inside(x, found) for k, x in kwargs.items()}
        recording = recording or (found and found[0].recording)
        if not recording or fun in self._closed:
            return self.call(fun, args, kwargs)
        length = recording.length
        try:
            out = self._outside(fun(*inside[0], **inside[1]), recording, opened or fun)
            if recording.length - length > _OPEN_LINES:
                raise CannotRecord
            return out
        except (CannotRecord, Exception):
            recording.cut(length)
        if opened is None:
            return self.call(fun, args, kwargs)
        self._closed.add(opened)  # of which `fun` is a part
        raise Again

    def _inside(self, x: Any, found: list) -> Any:
        """What a kernel is given for `x`."""
        cls = x.__class__
        if cls is self.cls:
            if x.recording is None:
                return x.value
            found.append(x)
            return self.inner.stand_in(x.value, x.recording, x.name)
        if cls is tuple or cls is list:
            return cls([self._inside(part, found) for part in x])
        return {k: self._inside(v, found) for k, v in x.items()} if cls is dict else x

    def _outside(self, x: Any, recording: Recording, opened: Callable) -> Any:
        """What the library is given for what the kernel `opened` returned."""
        if type(x) is self.inner.stand_in:
            return self.cls(x.value, x.recording, x.name)
        if isinstance(x, tuple | list):
            parts = [self._outside(part, recording, opened) for part in x]
            return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
        if x.__class__ is dict:
            raise CannotRecord
        if callable(x):
            return lambda *args, **kwargs: self._open(x, args, kwargs, recording, opened)
        return self.lift(x)

    def _value(self, x: Any, found: list) -> Any:
        cls = x.__class__
        if cls is self.cls:
            if x.recording is not None:
                found.append(x.recording)
            return x.value
        if cls is tuple or cls is list:
            return cls([self._value(part, found) for part in x])
        if cls is dict:
            return {k: self._value(v, found) for k, v in x.items()}
        if cls is slice and self.cls in (x.start.__class__, x.stop.__class__, x.step.__class__):
            raise CannotRecord
        return x

    def _wrapped(self, out: Any, recording: Recording | None, name: str) -> Any:
        """What a kernel returned, called `name`."""
        if isinstance(out, tuple | list):
            parts = [
                self._wrapped(x, recording, name and recording.part(name, i))  # type: ignore[union-attr]
                for i, x in enumerate(out)
            ]
            return type(out)(*parts) if hasattr(out, "_fields") else type(out)(parts)
        if out.__class__ is dict or isinstance(out, self.cls):
            raise CannotRecord
        if callable(out) and recording is not None:
            return self.kernel(self.cls(out, recording, name))
        if recording is not None and isinstance(out, bool | int | float | complex):
            raise CannotRecord
        return self.lift(out) if recording is None or kind_of(out.__class__) is None else self.cls(out, recording, name)

    def _set(self, x: Any, key: Any, value: Any) -> None:
        """`x[key] = value`: `x` is another array from now on, and the one that it was is as it was."""
        new = self.call(_with_item, (self.inner.xp.asarray, x, key, value), {})
        x.value, x.recording, x.name = new.value, new.recording, new.name


def _with_item(asarray: Callable, x: Any, key: Any, value: Any) -> Any:
    x = asarray(x, copy=True)
    x[key] = value
    return x


def _cannot(*args: Any, **kwargs: Any) -> Any:
    raise CannotRecord


class _Pullbacks:
    """The inner backend's pullbacks, recorded; with what they return, in turn."""

    def __init__(self, backend: RecordBackend):
        self._backend = backend

    def get(self, name: str) -> Callable | None:
        pullback = self._backend.inner.pullbacks.get(name)
        return None if pullback is None else self._backend.opened(pullback)


# What these make depends on no value.
_FORMS = frozenset(("zeros_like", "ones_like", "empty_like"))

# The arguments on whose values the shape of what these make depends; without any, that is all of them.
_SHAPES: dict[str, tuple] = {
    **dict.fromkeys(("nonzero", "arange", "linspace", "eye", "repeat"), ()),
    **dict.fromkeys(("unique_all", "unique_counts", "unique_inverse", "unique_values"), ()),
    **dict.fromkeys(("empty", "zeros", "ones", "full"), (0, "shape")),
    **dict.fromkeys(("reshape", "broadcast_to", "expand_dims"), (1, "shape", "axis")),
    "tile": (1, "repetitions"),
}


def _any_masks(backend: RecordBackend, key: Any) -> bool:
    """Whether an index holds a mask that changes from run to run."""
    parts = key if isinstance(key, tuple) else (key,)
    return any(x.__class__ is backend.cls and x.recording and x.dtype == backend.inner.xp.bool for x in parts)


class RecordNamespace(types.ModuleType):
    """The Array API namespace of recorded arrays: the backend's own functions, written down."""

    def __init__(self, backend: RecordBackend, xp: Any):
        super().__init__(f"kfunc.tracing.record over {xp.__name__}")
        self._backend, self._xp = backend, xp

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__array_namespace_info__", "__array_api_version__"):
            raise AttributeError(name)
        found = getattr(self._xp, name)
        if isinstance(found, types.ModuleType):
            found = RecordNamespace(self._backend, found)
        elif callable(found) and not isinstance(found, type) and not name.startswith("__"):
            found = functools.update_wrapper(_recorded(self._backend, name, found), found)
        setattr(self, name, found)
        return found


def _recorded(backend: RecordBackend, name: str, fun: Callable) -> Callable:
    """`fun`, which the namespace calls `name`."""
    cls, call = backend.cls, backend.call

    def form(x, **options):
        return call(fun, (cls(x.value) if x.__class__ is cls else x,), options)

    def asarray(x, **options):
        return call(fun if options else backend.inner.asarray, (x,), options)

    def shaped(*args, **options):
        given = dict(enumerate(args)) | options
        parts = [given[k] for k in _SHAPES[name] if k in given] if _SHAPES[name] else [args, options]
        return call(fun, args, options, shaped=any(x.__class__ is cls for x in tree.leaves(parts)))

    if name in _FORMS:
        return form
    if name == "asarray":
        return asarray
    return shaped if name in _SHAPES else backend.opened(fun)


@functools.cache
def record_of(backend: Backend) -> RecordBackend:
    """The recorder over `backend`'s arrays; a recorder is its own."""
    return backend if isinstance(backend, RecordBackend) else RecordBackend(backend)
