"""The registry of backends, and what a backend is: a namespace plus its deviations.

No framework is imported here. A backend's module is imported when its name or the type of one of its arrays turns up.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .. import tree
from ..errors import BackendNotInstalledError, MixedBackendsError, UnknownBackendError, UnsupportedError

__all__ = ["Backend", "Kind", "available", "common_backend", "get", "kind_of", "known", "register"]


class Entry(NamedTuple):
    """Where a backend lives: our module, its distribution, the modules that define its arrays, how to install it."""

    module: str
    distribution: str
    roots: tuple[str, ...]
    install: str


_ENTRIES = {
    "numpy": Entry("kfunc.backends.numpy", "numpy", ("numpy",), "pip install numpy"),
    "jax": Entry("kfunc.backends.jax", "jax", ("jax", "jaxlib"), 'pip install "kfunc[jax]"'),
    "torch": Entry("kfunc.backends.torch", "torch", ("torch",), 'pip install "kfunc[torch]"'),
    "tensorflow": Entry("kfunc.backends.tensorflow", "tensorflow", ("tensorflow",), 'pip install "kfunc[tensorflow]"'),
    "openvino": Entry("kfunc.backends.openvino", "openvino", ("openvino",), 'pip install "kfunc[openvino]"'),
    "array_api_strict": Entry(
        "kfunc.backends.strict", "array-api-strict", ("array_api_strict",), "pip install array-api-strict"
    ),
}
_loaded: dict[str, Backend] = {}


class Kind(NamedTuple):
    """What the registry knows about one Python type of array.

    Attributes:
        backend: The backend the type belongs to.
        native: True if values of the type must be lifted to the namespace's array class before layer code sees them.
        rank: Backends that wrap another one's arrays (spec, record, tape) have a higher rank, and win when kinds meet.
    """

    backend: Backend
    native: bool = False
    rank: float = 0


class Backend:
    """A namespace plus its deviations. Subclasses override what they can do better; one instance per backend.

    The transforms given here need nothing but a conforming namespace: differentiation goes through the tape, `jit` is
    the identity, `vmap` and `scan` are loops. They are what NumPy, array-api-strict and unknown libraries use.
    """

    name: str
    trains: bool = True
    """Whether gradients can be taken."""
    compiles: bool = False
    """Whether `Model` compiles its step unless told otherwise."""
    donates: bool = False
    """Whether a compiled program can take the memory of arguments for its results."""
    takes_numpy: bool = False
    """Whether one takes NumPy arrays themselves; it may read them after the call, where they lie."""
    stages_in_place: bool = False
    """Whether `staged` arrays are in the memory of those that it was given."""
    one_size: bool = True
    """Whether a compiled program is for one size of the batch."""
    index_add: Callable[[Any, Any, Any], None] | None = None
    """For the tape: `index_add(x, key, values)` adds `values` into `x[key]` in place, once for each repeated index."""
    stand_in: Any = None
    """For recording: what stands for an array inside kernels, a `record.array.Named` that writes down what they do."""

    large: int | None = None
    """From how many numbers on `fit` updates a state in place, by `extent`, `part` and `write`; None for never. A
    backend that also compiles takes `any_size` in its `jit`."""
    piece: int = 1 << 18
    """How many numbers it updates at a time."""

    def __init__(self) -> None:
        self.lowerings: dict[str, Callable] = {}
        self.pullbacks: dict[str, Callable] = {}
        """For the tape: op name to a function of the op's arguments that returns `(out, pullback)`, where
        `pullback(cotangent)` returns one cotangent, or None, for each positional argument of the call."""

    def __repr__(self) -> str:
        return f"<kfunc backend {self.name}>"

    # -- arrays ------------------------------------------------------------------------------------------------------

    @property
    def xp(self) -> Any:
        """The Array API namespace of the conforming arrays."""
        raise NotImplementedError

    @property
    def version(self) -> str:
        from importlib import metadata  # here, since it takes a tenth of the time that importing kfunc may take

        return metadata.version(_ENTRIES[self.name].distribution)

    def kind(self, cls: type) -> Kind | None:
        """The kind of the array type `cls`, or None if `cls` is no array of this backend."""
        raise NotImplementedError

    def lift(self, x: Any) -> Any:
        """Native array to conforming array; anything else comes back as it is."""
        return x

    def lower(self, x: Any) -> Any:
        """Conforming array to native array; anything else comes back as it is."""
        return x

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Any:
        """A native array with the values of `x`, a NumPy array or anything NumPy can read."""
        raise NotImplementedError

    def staged(self, x: Any, device: Any = None) -> Any:
        """`x`, a NumPy array of a batch, in the form in which a step takes it fastest."""
        return self.asarray(x, device=device)

    def to_numpy(self, x: Any) -> Any:
        """A NumPy array with the values of the native or conforming array `x`; waits for the device."""
        raise NotImplementedError

    def device(self, x: Any) -> Any:
        """The device of the array `x`, in the form that `device=` of the namespace's creation functions takes."""
        return x.device

    def is_traced(self, x: Any) -> bool:
        """Whether `x` stands for a value not known yet (inside a compiled function)."""
        return False

    # -- ops ---------------------------------------------------------------------------------------------------------

    def implement(self, name: str, reference: Callable, native: bool) -> Callable:
        """The callable that runs the op `name` on this backend's arrays (`native` ones, or conforming ones).

        Where it returns NotImplemented, the reference runs.
        """
        return self.lowerings.get(name, reference)

    # -- transforms: each takes and returns functions of native arrays -------------------------------------------------

    def jit(
        self,
        fun: Callable,
        *,
        static_argnames: tuple[str, ...] = (),
        constant_argnums: tuple[int, ...] = (),
        donate_argnums: tuple[int, ...] = (),
    ) -> Callable:
        """See `kfunc.jit`. The memory of arguments in `donate_argnums` may be that of the results."""
        return fun

    def inferring(self) -> contextlib.AbstractContextManager:
        """Where nobody will ask for the gradients of what is computed; those of functions inside can still be taken."""
        return contextlib.nullcontext()

    def released(self, x: Any) -> Any:
        """A copy of the array `x`, contiguous, whose memory nobody else has; or `x`, where nothing ever takes any."""
        return x

    def extent(self, x: Any) -> tuple[int, int]:
        """Where the memory of the array `x` begins and ends; every backend with `large` has its own."""
        raise NotImplementedError

    def part(self, x: Any, which: slice) -> Any:
        """Some of the numbers of a contiguous array, (n,), in the same memory."""
        return x.reshape(-1)[which]

    def write(self, x: Any, which: slice, values: Any) -> None:
        """Put other numbers there, unless they are there already."""
        piece = self.part(x, which)
        if self.extent(piece) != self.extent(values):
            piece[...] = values

    def record(self, fun: Callable) -> Callable:
        """`fun`, a pure function, as a backend without a compiler runs it fastest: as its kernel calls alone."""
        if self.compiles:
            return fun
        from ..tracing.record import RecordedFunction

        return RecordedFunction(self, fun)

    def form(self, leaves: Sequence) -> Any:
        """What the kernel calls of a function of `leaves` depend on, beside values; None where nobody should record."""
        return tuple(
            [(x.__class__, *((x.shape, x.dtype, self.device(x)) if hasattr(x, "dtype") else (x,))) for x in leaves]
        )

    def waits(self, x: Any) -> bool:
        """Whether reading the value of `x` breaks a graph, or waits for a device."""
        return False

    def repeats(self, fun: Callable, fixed: Any, carry: Any, batch: Any) -> bool:
        """Whether a loop in one program runs `fun(fixed, carry, batch)` several times faster than as many calls do.

        It returns the next carry; or, if that is None, results, which are gathered.
        """
        return False

    def shapes(self, fun: Callable, *args: Any) -> Any:
        """What `fun(*args)` returns, a tree of anything with shapes, without computing it; None where that is unknown.

        Only backends that compile need to know.
        """
        return None

    def value_and_grad(self, fun: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
        from ..tracing import tape

        return tape.value_and_grad(fun, argnums, has_aux)

    def vjp(self, fun: Callable, *primals: Any, has_aux: bool = False) -> tuple:
        from ..tracing import tape

        return tape.vjp(fun, *primals, has_aux=has_aux)

    def jvp(self, fun: Callable, primals: tuple, tangents: tuple, has_aux: bool = False) -> tuple:
        from ..tracing import tape

        return tape.jvp(fun, primals, tangents, has_aux)

    def checkpoint(self, fun: Callable) -> Callable:
        from ..tracing import tape

        return tape.checkpoint(fun)

    def custom_gradient(self, fun: Callable) -> Callable:
        from ..tracing import tape

        return tape.custom_gradient(fun)

    def stop_gradient(self, x: Any) -> Any:
        return x

    def vmap(self, fun: Callable, in_axes: Any = 0, out_axes: Any = 0) -> Callable:
        from ..tracing import loops

        return loops.vmap(fun, in_axes, out_axes)

    def scan(self, fun: Callable, init: Any, xs: Any, length: int | None = None, reverse: bool = False):
        from ..tracing import loops

        return loops.scan(fun, init, xs, length, reverse)

    def associative_scan(self, fun: Callable, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
        from ..tracing import loops

        return loops.associative_scan(self, fun, elems, reverse, axis)

    def while_loop(self, cond_fun: Callable, body_fun: Callable, init: Any) -> Any:
        carry = init
        while bool(cond_fun(carry)):
            carry = body_fun(carry)
        return carry

    def cond(self, pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
        if not self.waits(pred):
            return true_fun(*operands) if bool(pred) else false_fun(*operands)

        def pick(a, b):
            return a if kind_of(type(a)) is None else self.xp.where(pred, a, b)

        return tree.map(pick, true_fun(*operands), false_fun(*operands))

    def switch(self, index: Any, branches: Sequence[Callable], *operands: Any) -> Any:
        """A `cond` for each branch but the last."""
        if len(branches) == 1:
            return branches[0](*operands)
        return self.cond(index <= 0, branches[0], lambda *xs: self.switch(index - 1, branches[1:], *xs), *operands)

    def choose(self, pred: Any, true_fun: Callable, false_fun: Callable) -> Any:
        return self.cond(pred, true_fun, false_fun)

    def unsupported(self, what: str, fix: str) -> UnsupportedError:
        return UnsupportedError(f"{self.name} cannot do {what}.", argument="backend", got=self.name, fix=fix)


def or_else(lowering: Callable, reference: Callable) -> Callable:
    """`lowering`, or `reference` where the lowering declines the call by returning NotImplemented."""

    def implementation(*args, **kwargs):
        out = lowering(*args, **kwargs)
        return reference(*args, **kwargs) if out is NotImplemented else out

    return implementation


# -- the registry ----------------------------------------------------------------------------------------------------


def register(name: str, module: str, distribution: str, roots: Iterable[str], install: str) -> None:
    """Make a backend known: `module` is imported when `name`, or a type defined below one of `roots`, turns up.

    The module must have a variable `backend`, an instance of `Backend`.
    """
    _ENTRIES[name] = Entry(module, distribution, tuple(roots), install)


def known() -> tuple[str, ...]:
    """Names of all backends that `get` accepts, installed or not."""
    return tuple(_ENTRIES)


def install_command(name: str) -> str:
    """The command that installs the framework of the backend `name`."""
    return _entry(name).install


def available() -> tuple[str, ...]:
    """Names of the backends whose framework is installed. Imports none of them."""
    return tuple(name for name in _ENTRIES if _is_installed(name))


def _is_installed(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(_ENTRIES[name].distribution)
    except metadata.PackageNotFoundError:
        # Distributions under another name, such as tensorflow-cpu, still have the module.
        return any(root in sys.modules or importlib.util.find_spec(root) for root in _ENTRIES[name].roots[:1])
    return True


def _entry(name: str) -> Entry:
    try:
        return _ENTRIES[name]
    except (KeyError, TypeError):
        raise UnknownBackendError(
            f"There is no backend {name!r}.",
            argument="backend",
            expected=f"one of {', '.join(_ENTRIES)}",
            got=repr(name),
            fix="use one of these names, or kf.backends.register to add your own",
        ) from None


def get(name: str | Backend) -> Backend:
    """The backend called `name`; imports its framework.

    Raises:
        UnknownBackendError: No backend has that name.
        BackendNotInstalledError: Its framework is not installed.
    """
    if isinstance(name, Backend):
        return name
    entry = _entry(name)
    if name not in _loaded:
        if not _is_installed(name):
            raise BackendNotInstalledError(
                f"The backend {name!r} needs {entry.distribution}, which is not installed.",
                argument="backend",
                got=repr(name),
                fix=entry.install,
            )
        _loaded[name] = importlib.import_module(entry.module).backend
    return _loaded[name]


# Known beforehand: Dynamo cannot look into a builtin class.
_kinds: dict[type, Kind | None] = dict.fromkeys(
    (bool, int, float, complex, str, bytes, tuple, list, dict, type(None), type)
)


def add_kind(cls: type, kind: Kind) -> None:
    """Say what kind of array the type `cls` is (for array classes that kfunc itself defines)."""
    _kinds[cls] = kind


def kind_of(cls: type) -> Kind | None:
    """What the registry knows about the array type `cls`; None if it is no array. Memoised."""
    try:
        return _kinds[cls]
    except KeyError:
        kind = _kinds[cls] = _find_kind(cls)
        return kind


_NO_ARRAYS = frozenset({"builtins", "kfunc", "types", "typing", "collections", "optree", "functools"})


def _find_kind(cls: type) -> Kind | None:
    for base in cls.__mro__[:-1]:
        root = base.__module__.partition(".")[0]
        if root in _NO_ARRAYS:
            continue
        for name, entry in _ENTRIES.items():
            if root in entry.roots:
                kind = get(name).kind(cls)
                if kind is not None:
                    return kind
    if hasattr(cls, "__array_namespace__"):
        from .generic import GenericBackend

        return Kind(GenericBackend(cls))
    return None


def common_backend(kinds: Iterable[Kind]) -> Kind | None:
    """The kind that wins where arrays of `kinds` meet, or None if there is none.

    Raises:
        MixedBackendsError: Two backends of equal rank meet.
    """
    winner: Kind | None = None
    for kind in kinds:
        if winner is None or kind.rank > winner.rank:
            winner = kind
        elif kind.rank == winner.rank and kind.backend is not winner.backend:
            raise MixedBackendsError(
                "One call was given arrays of two backends.",
                expected="arrays of one backend",
                got=f"{winner.backend.name} and {kind.backend.name}",
                fix=f'move one of them: kf.asarray(x, backend="{winner.backend.name}")',
            )
        elif kind.backend is winner.backend and winner.native and not kind.native:
            winner = kind  # a conforming array among native ones: layer code is running, and the result must conform
    return winner
