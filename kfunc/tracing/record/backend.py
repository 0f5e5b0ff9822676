"""The recorder: the backend and the namespace of recorded arrays, over a backend that runs each call at once."""

from __future__ import annotations

import contextlib
import functools
import operator
import types
from collections.abc import Callable
from typing import Any

from ... import tree
from ...backends import standard
from ...backends.base import Backend, Kind
from ...backends.constants import joined
from ...backends.registry import add_kind, kind_of
from .array import Recorded
from .recording import Again, CannotRecord, Recording, written

__all__ = ["RecordBackend", "record_of"]

_MOST_OPENED_LINES = 128


class RecordBackend(Backend):
    """Recorded arrays over the arrays of the backend `inner`. To the user it has that backend's name."""

    def __init__(self, inner: Backend) -> None:
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
            setattr(cls, f"__{stem}__", self._operator(getattr(operator, f"__{stem}__")))
        for stem in standard.ARITHMETIC:
            setattr(cls, f"__r{stem}__", self._reflected(getattr(operator, f"__{stem}__")))
        for stem in standard.ARITHMETIC:
            setattr(cls, f"__i{stem}__", self._in_place(getattr(operator, f"__{stem}__")))
        cls.__getitem__ = lambda x, key: self.call(operator.getitem, (x, key), {}, shaped=_any_masks(self, key))
        cls.__setitem__ = lambda x, key, value: self._set(x, key, value)
        # The framework's own transforms work on its own arrays alone.
        for name in ("vjp", "jvp", "checkpoint", "custom_gradient", "vmap"):
            if getattr(type(inner), name) is not getattr(Backend, name):
                setattr(self, name, _cannot)

    @functools.cached_property
    def xp(self) -> Any:
        return RecordNamespace(self, self.inner.xp)

    @property
    def version(self) -> Any:
        return self.inner.version

    def kind(self, cls: Any) -> Any:
        return Kind(self, rank=0.5) if cls is self.cls else None

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        if x.__class__ is not self.cls:
            return self.cls(self.inner.lift(self.inner.asarray(x, dtype, device)))
        return x if dtype is None else self.xp.astype(x, getattr(self.xp, dtype))

    def further_dtype(self, name: str) -> Any:
        return self.inner.further_dtype(name)

    def lift(self, x: Any) -> Any:
        """`x`, as a constant if it is an array of the inner backend."""
        kind = kind_of(x.__class__)
        return x if kind is None or kind.backend is not self.inner else self.cls(x)

    def copy(self, x: Any) -> Any:
        """A copy of `x`, one of the inner backend's arrays."""
        return self.inner.xp.asarray(x, copy=True)

    def to_numpy(self, x: Any) -> Any:
        if x.recording is not None:
            raise CannotRecord
        return self.inner.to_numpy(x.value)

    def device(self, x: Any) -> Any:
        return self.inner.device(x.value)

    def is_traced(self, x: Any) -> Any:
        return x.recording is not None

    def implement(self, op: Any, native: Any) -> Any:
        lowering = self.inner.lowerings.get(op.name)
        if hasattr(lowering, "prepared"):  # an `ops.Prepared`
            return lowering.prepared(lambda form, x: self.call(form, (x,), {}), self.opened(lowering.run))
        return op.reference if lowering is None else self.opened(lowering)

    def stop_gradient(self, x: Any) -> Any:
        return self.call(self.inner.stop_gradient, (x,), {})

    def waits(self, x: Any) -> Any:
        return self.inner.waits(x.value)

    def value_and_grad(self, fun: Any, argnums: Any = 0, has_aux: bool = False, strict: bool = False) -> Any:
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
            if recording is None or recording.differentiates:  # the framework keeps too little for a second gradient
                raise CannotRecord
            recording.differentiates, recording.merges = True, False
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

    def kernel(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        """`fun` of the backend's arrays as a function of recorded ones; a call of it is one line."""
        call = self.call

        def kernel(*args, **kwargs):
            return call(fun, args, kwargs)

        return kernel

    def opened(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        """`fun` as a function of recorded arrays; a call of it is the calls that it makes, if they are seen and few."""
        if self.inner.stand_in is None:
            return self.kernel(fun)
        return lambda *args, **kwargs: self._open(fun, args, kwargs)

    def _operator(self, fun: Callable) -> Callable:
        return lambda x, other: self.call(fun, (x, joined(other, x)), {})

    def _reflected(self, fun: Callable) -> Callable:
        return lambda x, other: self.call(fun, (joined(other, x), x), {})

    def _in_place(self, fun: Callable) -> Callable:
        def run(x, other):
            new = self.call(fun, (x, joined(other, x)), {})
            if new is not NotImplemented:
                if (new.shape, new.dtype) != (x.shape, x.dtype):
                    raise CannotRecord
                self._become(x, new)
            return x if new is not NotImplemented else new

        return run

    def call(self, fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[Any, Any], shaped: bool = False) -> Any:
        """`fun(*args, **kwargs)`; a line, if an argument is no constant.

        Where the shape of the result depends on values, it is `shaped`: the program asks for that shape.
        """
        given: list[Any] = []

        def value(x):
            if x.recording is not None:
                given.append(x)
            return x.value

        run, values, options = (self._handed(x, value) for x in (fun, args, kwargs))
        with given[0].recording.inside() if given else contextlib.nullcontext():
            out = run(*values, **options)
        if out is NotImplemented:
            return out
        if not given:
            return self._named(out, None, "")
        recording = given[0].recording
        # A kernel may say which other one does the same in the memory of its first argument.
        twin = getattr(fun, "in_place", None)
        if twin is not None and args[0].__class__ is self.cls and args[0].recording is not None:
            twin = written(twin, args, kwargs, recording)[0]
        else:
            twin = None
        out = self._named(out, recording, recording.add(written(fun, args, kwargs, recording), twin))
        for x in tree.leaves(out):
            if x.__class__ is self.cls and x.recording is not None:
                for other in given:
                    if self._share(x.value, other.value):
                        recording.shares(x.name, other.name)
        if shaped:
            for x in tree.leaves(out):
                recording.expect("{}.shape", x.name, x.shape)
        return out

    def _share(self, x: Any, y: Any) -> bool:
        """Whether two arrays may lie in the same memory; False where the backend cannot tell."""
        if type(self.inner).extent is Backend.extent or not (getattr(x, "shape", ()) and getattr(y, "shape", ())):
            return False
        (begin, end), (first, last) = self.inner.extent(x), self.inner.extent(y)
        return begin < last and first < end

    def _open(self, fun: Callable, args: tuple, kwargs: dict, recording: Any = None, opened: Any = None) -> Any:
        """`fun(*args, **kwargs)` on stand-ins. `fun` is a kernel, or a function that the kernel `opened` returned."""
        found: list[Recording] = []

        def stand_in(x):
            if x.recording is None:
                return x.value
            found.append(x.recording)
            return self.inner.stand_in(x.value, x.recording, x.name)

        inside, options = self._handed(args, stand_in), self._handed(kwargs, stand_in)
        recording = recording or (found and found[0])
        if not recording or fun in self._closed:
            return self.call(fun, args, kwargs)
        length = recording.length
        try:
            out = self._taken_out(fun(*inside, **options), recording, opened or fun)
            if recording.length - length > _MOST_OPENED_LINES:
                raise CannotRecord
            return out
        except (CannotRecord, Exception):
            recording.cut(length)
        if opened is None:
            return self.call(fun, args, kwargs)
        # The lines of the kernel that returned `fun` are written already, and do not fit to a closed call.
        self._closed.add(opened)
        raise Again

    def _handed(self, x: Any, hand: Callable) -> Any:
        """`x` as a kernel gets it: with `hand(array)` for each recorded array in it."""
        cls = x.__class__
        if cls is self.cls:
            return hand(x)
        if cls is tuple or cls is list:
            return cls([self._handed(part, hand) for part in x])
        if cls is dict:
            return {k: self._handed(v, hand) for k, v in x.items()}
        if cls is slice and self.cls in (x.start.__class__, x.stop.__class__, x.step.__class__):
            raise CannotRecord
        return x

    def _named(self, out: Any, recording: Recording | None, name: str) -> Any:
        """What the library gets for the result of a closed kernel, which the variable `name` holds."""
        if isinstance(out, tuple | list):
            parts = [
                self._named(x, recording, name and recording.part(name, i))  # type: ignore[union-attr]
                for i, x in enumerate(out)
            ]
            return _like(out, parts)
        if out.__class__ is dict or isinstance(out, self.cls):
            raise CannotRecord
        if callable(out) and recording is not None:
            return self.kernel(self.cls(out, recording, name))
        if recording is not None and isinstance(out, bool | int | float | complex):
            raise CannotRecord
        return self.lift(out) if recording is None or kind_of(out.__class__) is None else self.cls(out, recording, name)

    def _taken_out(self, x: Any, recording: Recording, opened: Callable) -> Any:
        """What the library gets for what the kernel `opened` returned: recorded arrays for stand-ins."""
        if type(x) is self.inner.stand_in:
            return self.cls(x.value, x.recording, x.name)
        if isinstance(x, tuple | list):
            return _like(x, [self._taken_out(part, recording, opened) for part in x])
        if x.__class__ is dict:
            raise CannotRecord
        if callable(x):
            return lambda *args, **kwargs: self._open(x, args, kwargs, recording, opened)
        return self.lift(x)

    def _set(self, x: Any, key: Any, value: Any) -> None:
        """`x[key] = value`: `x` is another array from now on, and the one that it was is as it was."""
        self._become(x, self.call(_with_item, (self.inner.xp.asarray, x, key, value), {}))

    def _become(self, x: Any, new: Any) -> None:
        """`x` is written to: it is `new` from now on."""
        if x.recording is not None and x.recording.seen_elsewhere(x.name):
            raise CannotRecord
        x.value, x.recording, x.name = new.value, new.recording, new.name


def _like(x: Any, parts: list) -> Any:
    """A tuple, named or not, or a list, like `x`."""
    return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)


def _with_item(asarray: Callable, x: Any, key: Any, value: Any) -> Any:
    x = asarray(x, copy=True)
    x[key] = value
    return x


def _cannot(*args: Any, **kwargs: Any) -> Any:
    raise CannotRecord


class _Pullbacks:
    """The inner backend's pullbacks, which are opened, and so are the functions that they return."""

    def __init__(self, backend: RecordBackend) -> None:
        self._backend = backend

    def get(self, name: str) -> Callable[..., Any] | None:
        pullback = self._backend.inner.pullbacks.get(name)
        return None if pullback is None else self._backend.opened(pullback)


# The result of these depends on the shape and the dtype of the argument alone.
_NO_VALUES = frozenset(("zeros_like", "ones_like", "empty_like"))

# The arguments whose values decide the shape of the result, by position and by name; () stands for all arguments.
_SHAPED_BY: dict[str, tuple[Any, ...]] = {
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

    def __init__(self, backend: RecordBackend, xp: Any) -> None:
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
    """`fun`, the function `name` of the namespace, of recorded arrays."""
    cls, call = backend.cls, backend.call

    def without_value(x, **options):
        return call(fun, (cls(x.value) if x.__class__ is cls else x,), options)

    def asarray(x, **options):
        return call(fun if options else backend.inner.asarray, (x,), options)

    def shaped(*args, **options):
        given = dict(enumerate(args)) | options
        parts = [given[k] for k in _SHAPED_BY[name] if k in given] if _SHAPED_BY[name] else [args, options]
        return call(fun, args, options, shaped=any(x.__class__ is cls for x in tree.leaves(parts)))

    if name in _NO_VALUES:
        return without_value
    if name == "asarray":
        return asarray
    return shaped if name in _SHAPED_BY else backend.opened(fun)


@functools.cache
def record_of(backend: Backend) -> RecordBackend:
    """The recorder over `backend`'s arrays; a recorder is its own."""
    return backend if isinstance(backend, RecordBackend) else RecordBackend(backend)
