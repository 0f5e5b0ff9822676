"""What a backend is: the namespace of its arrays, and all that it does better than the defaults."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UnsupportedError

if TYPE_CHECKING:
    from ..ops._op import Op
    from .foreign import Foreign

__all__ = ["Backend", "Kind"]


class Kind(NamedTuple):
    """What the registry knows about one Python type of array.

    Attributes:
        backend: The backend that the type belongs to.
        native: True if values of the type must be lifted to the namespace's array class before layer code sees them.
        rank: Arrays that stand for other ones (spec, record, tape) have a higher rank, and win where kinds meet; what
            joins others (`CONSTANT`, `SCALAR`) has a lower one.
    """

    backend: Backend
    native: bool = False
    rank: float = 0


CONSTANT, SCALAR = -1, -2
"""The ranks of arrays that ops made on their own, such as `ops.arange(3)`, and of NumPy's scalars."""


class Backend:
    """One library of arrays. There is one instance for each backend, and subclasses override what they do better.

    A subclass **must** have `name`, `xp`, `kind`, `asarray` and `to_numpy`. All the rest has defaults that are right
    for every library that conforms to the Array API standard.
    """

    # -- what a backend must write -------------------------------------------------------------------------------------

    name: str
    """What users call it."""

    xp: Any
    """The Array API namespace of the conforming arrays; a property where it takes time to import."""

    def kind(self, cls: type[Any]) -> Kind | None:
        """The kind of the array type `cls`, or None if `cls` is no array of this backend."""
        raise NotImplementedError

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Any:
        """A native array with the values of `x`, a NumPy array or anything NumPy can read."""
        raise NotImplementedError

    def to_numpy(self, x: Any) -> Any:
        """A NumPy array with the values of the native or conforming array `x`; waits for the device."""
        raise NotImplementedError

    # -- what it is like: attributes that `Model` and the transforms ask for -------------------------------------------

    trains: bool = True
    """Whether gradients can be taken."""
    compiles: bool = False
    """Whether `jit` compiles, and `Model` compiles its step unless told otherwise."""
    one_size: bool = True
    """Whether a compiled program is for one size of the batch."""
    leaves_open: bool = False
    """Whether `jit` takes `open_axes`. It has a tuple for each of the first arrays in the third argument: the axes,
    counted from the last one, whose sizes the program leaves open where it can."""
    loops: bool = False
    """Whether a compiled program can hold a loop whose number of steps depends on values."""
    donates: bool = False
    """Whether a compiled program can take the memory of arguments for its results."""
    takes_numpy: bool = False
    """Whether a compiled program takes NumPy arrays; it may read their memory after the call has returned."""
    joins: bool = False
    """Whether its arrays become constants of another backend where they meet in an op; see `constants`."""
    inner: Backend | None = None
    """The backend whose arrays these stand for (tape, record); None if these are the arrays of a library."""
    stages_in_place: bool = False
    """Whether `staged` arrays share memory with the arrays that they were made of."""

    def __init__(self) -> None:
        self.lowerings: dict[str, Callable[..., Any]] = {}
        """The name of an op to what runs instead of its reference; see `kfunc.ops._op.lowering`."""
        self.pullbacks: dict[str, Callable[..., Any]] = {}
        """The name of an op to what the tape runs on plain arrays; see `kfunc.ops._op.pullback`."""
        self.foreign: dict[str, Callable[..., Foreign]] = {}
        """Wrappers of modules of this library, subclasses of `Foreign`, by the name of the layer that uses each."""

    def __repr__(self) -> str:
        return f"<kfunc backend {self.name}>"

    @property
    def version(self) -> str:
        """The version of the library; to be overridden where its distribution has another name than the backend."""
        from importlib import metadata  # here, since it takes a tenth of the time that importing kfunc may take

        return metadata.version(self.name)

    # -- arrays --------------------------------------------------------------------------------------------------------

    def lift(self, x: Any) -> Any:
        """Native array to conforming array; anything else comes back as it is."""
        return x

    def lower(self, x: Any) -> Any:
        """Conforming array to native array; anything else comes back as it is."""
        return x

    def staged(self, x: Any, device: Any = None) -> Any:
        """`x`, a NumPy array of a batch, in the form in which a step takes it fastest."""
        return self.asarray(x, device=device)

    shares: bool = False
    """Whether what `adopted` returns shares memory with any array, be its axes in whatever order."""

    def adopted(self, x: Any) -> Any:
        """`x`, a NumPy array to which nobody else will write, as a native array: without a copy if that is possible,
        as it is for memory of `files.memory`."""
        return self.asarray(x)

    def device(self, x: Any) -> Any:
        """The device of the array `x`, in the form that `device=` of the namespace's creation functions takes."""
        return x.device

    def joined(self, x: Any, dtype: str | None, like: Any) -> Any:
        """The NumPy array `x` as a native array beside `like`, in `dtype` if given; see `constants`."""
        return self.asarray(x, dtype, self.device(like))

    def constant(self, x: Any) -> Any:
        """The native array `x`, which an op has made without being told on which backend; see `constants`."""
        return x

    def generators(self, batches: Any) -> tuple[Any, ...]:
        """The generators of random numbers, with `get_state` and `set_state`, from which a loader of the library draws
        when an iteration begins."""
        return ()

    def is_endless(self, batches: Any) -> bool:
        """Whether `batches` is one of the library's data sets, and is known to have no end."""
        return False

    def is_traced(self, x: Any) -> bool:
        """Whether the value of `x` is not known yet, since a function is being compiled."""
        return False

    def is_symbol(self, size: Any) -> bool:
        """Whether `size` stands for any size of an axis: a program is exported for all of them."""
        return False

    def sizes(self, x: Any) -> tuple[Any, ...]:
        """The sizes of the axes of `x`; where a program does not know one yet, an integer that it computes with."""
        return tuple(x.shape)

    def key_words(self, key: Any) -> Any:
        """The words, uint32 (2,), of a random key of the library's own type; None if `key` is none."""
        return None

    def waits(self, x: Any) -> bool:
        """Whether reading the value of `x` breaks a graph, or waits for a device."""
        return False

    def further_dtype(self, name: str) -> Any:
        """The dtype `name`, which the namespace lacks, where arrays may have it all the same.

        Raises:
            UnsupportedError: There is none.
        """
        raise self.unsupported(f"the dtype {name!r}", "cast the arrays to float32 first")

    def unsupported(self, what: str, fix: str) -> UnsupportedError:
        """The error to raise where the backend cannot do something, such as "differentiation"."""
        return UnsupportedError(
            f"The backend {self.name!r} does not support {what}.", argument="backend", got=self.name, fix=fix
        )

    def explain(self, error: Exception) -> None:
        """Raise an error of ours from `error`, which the library raised inside a transform, if ours says more."""

    def explaining(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        """`fun`, which passes its errors to `explain`."""
        if type(self).explain is Backend.explain:
            return fun

        @functools.wraps(fun)
        def run(*args, **kwargs):
            try:
                return fun(*args, **kwargs)
            except Exception as error:
                self.explain(error)
                raise

        return run

    # -- ops -----------------------------------------------------------------------------------------------------------

    def implement(self, op: Op[..., Any], native: bool) -> Callable[..., Any]:
        """What runs `op` on this backend's arrays (`native` ones, or conforming ones).

        Where it returns NotImplemented, the op's reference runs.
        """
        return self.lowerings.get(op.name, op.reference)

    # -- programs ------------------------------------------------------------------------------------------------------

    def jit(
        self,
        fun: Callable[..., Any],
        *,
        static_argnames: tuple[str, ...] = (),
        constant_argnums: tuple[int, ...] = (),
        donate_argnums: tuple[int, ...] = (),
    ) -> Callable[..., Any]:
        """See `kfunc.jit`. The memory of arguments in `donate_argnums` may be taken for the results."""
        return fun

    def jit_at_once(self, fun: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """`jit` for functions for which nobody wants to wait long."""
        return self.jit(fun, **options)

    def shapes(self, fun: Callable[..., Any], *args: Any) -> Any:
        """What `fun(*args)` returns, as anything with shapes, without computing it; None where that is unknown.

        Only backends that compile need it.
        """
        return None

    def repeats(self, fun: Callable[..., Any], fixed: Any, carry: Any, batch: Any) -> bool:
        """Whether a loop in one program runs `fun(fixed, carry, batch)` several times faster than as many calls do.

        `fun` returns the next carry; or, where the carry is None, results, which are gathered.
        """
        return False

    def inferring(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which nobody asks for gradients of what is computed; functions inside may still take some."""
        return contextlib.nullcontext()

    # -- transforms: they take and return functions of native arrays ---------------------------------------------------
    # Where one returns NotImplemented, `defaults` does it: with the tape, and with Python loops.

    def value_and_grad(
        self,
        fun: Callable[..., Any],
        argnums: int | tuple[int, ...] = 0,
        has_aux: bool = False,
        strict: bool = False,
    ) -> Callable[..., Any]:
        """See `kfunc.value_and_grad`. With `strict`, a value that depends on no argument is an error."""
        return NotImplemented

    def vjp(self, fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
        return NotImplemented

    def jvp(
        self, fun: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...], has_aux: bool = False
    ) -> tuple[Any, ...]:
        return NotImplemented

    def checkpoint(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        return NotImplemented

    def custom_gradient(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        return NotImplemented

    def vmap(self, fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
        return NotImplemented

    def scan(
        self, fun: Callable[..., Any], init: Any, xs: Any, length: int | None = None, reverse: bool = False
    ) -> tuple[Any, ...]:
        return NotImplemented

    def associative_scan(self, fun: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
        return NotImplemented

    def while_loop(self, cond_fun: Callable[..., Any], body_fun: Callable[..., Any], init: Any) -> Any:
        return NotImplemented

    def cond(self, pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
        return NotImplemented

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        return NotImplemented

    def choose(self, pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any]) -> Any:
        """`cond` without operands, where it does no harm to compute both branches."""
        return self.cond(pred, true_fun, false_fun)

    def stop_gradient(self, x: Any) -> Any:
        return x

    # -- for the tape and for recording, where the backend has no autodiff or no compiler ------------------------------

    index_add: Callable[[Any, Any, Any], None] | None = None
    """For the tape: `index_add(x, key, values)` adds `values` into `x[key]` in place, once for each repeated index."""

    stand_in: Any = None
    """For recording: the class of what stands for an array inside kernels that are Python functions themselves: a
    `tracing.record.recording.Named` that writes down the calls that the kernel makes. None: it looks into none."""

    def form(self, leaves: Sequence[Any]) -> Any:
        """What the kernel calls of a function of `leaves` depend on, beside values; None where nobody should record."""
        return tuple(
            [(x.__class__, *((x.shape, x.dtype, self.device(x)) if hasattr(x, "dtype") else (x,))) for x in leaves]
        )

    # -- updates in place, where arrays can be written to --------------------------------------------------------------

    large: int | None = None
    """From how many numbers on `fit` updates a state in place, by `extent`, `part` and `write`; None for never. A
    backend that also compiles takes `any_size` in its `jit`."""
    piece: int = 1 << 18
    """How many numbers are updated at a time."""

    def released(self, x: Any) -> Any:
        """A contiguous copy of the array `x` in memory that nothing else uses; `x` itself, where nothing takes any."""
        return x

    def extent(self, x: Any) -> tuple[int, int]:
        """Where the memory of the array `x` begins and ends; a backend with `large` must write it."""
        raise NotImplementedError

    def part(self, x: Any, which: slice) -> Any:
        """Some of the numbers of a contiguous array, (n,), in the same memory."""
        return x.reshape(-1)[which]

    def write(self, x: Any, which: slice, values: Any) -> None:
        """Write `values` over these numbers, unless they lie there already."""
        piece = self.part(x, which)
        if self.extent(piece) != self.extent(values):
            piece[...] = values
