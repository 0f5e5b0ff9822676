"""The functions `(fixed, carry, batch) -> carry` of a model's loops: compiled or recorded, and each made once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import transforms, tree
from ..arrays import namespace, native
from ..backends import Backend, get
from ..nn.layer import Layer
from .in_place import InPlace
from .state import Progress, start
from .step import make_gradients, repeated

__all__ = ["Functions", "flat", "halves", "mapped", "repeated_steps"]


class Functions:
    """All that one `Model.compile` has made so far; arguments as there.

    Attributes:
        paces: How many steps a dispatch of each should take; see `program`.
        logs: The names that steps of the user's own log, by step.
        found: What objectives of the user's own log and put out; see `custom_objective.with_objective`.
        fills: Whether batches can be filled up, by the network as traced and the form of the targets.
        forms: The forms of first batches that the network takes, where programs are for all sizes.
        sizes: How many numbers parameters and optimizer hold, by the network as traced and the structure of the carry.
    """

    def __init__(
        self, run_eagerly: bool = False, steps_per_execution: int | str = "auto", jit_compile: bool | str = "auto"
    ):
        self.run_eagerly: bool = run_eagerly
        self.steps_per_execution: int | str = steps_per_execution
        self.jit_compile: bool | str = jit_compile
        self.paces: dict[Any, int] = {}
        self.logs: dict[str, list[str]] = {}
        self.found: dict[str, tuple[list[str], Any]] = {}
        self.fills: dict[Any, bool] = {}
        self.forms: set[Any] = set()
        self.sizes: dict[Any, int] = {}
        self._fresh: dict[str, Progress] = {}
        self._made: dict[str, Any] = {}

    def replace(self, name: str, value: Any) -> Functions:
        """The same with another value of an argument, for calls that begin now: those under way keep theirs."""
        other = copy.copy(self)
        setattr(other, name, value)
        return other

    def renewed(self) -> Functions:
        """The same settings with nothing made, for another network."""
        return Functions(self.run_eagerly, self.steps_per_execution, self.jit_compile)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._made.values())

    def compiles(self, backend: Backend) -> bool:
        """Whether functions are compiled on `backend`."""
        wanted = backend.compiles if self.jit_compile == "auto" else bool(self.jit_compile)
        return wanted and not self.run_eagerly

    def fresh(self, backend: Backend, where: Any, metrics: Mapping[str, Any]) -> Progress:
        """The progress before the first step, on the device `where` of `backend`; see `start`.

        A step that runs alone, as that of `train_on_batch` does, waits for these few numbers at each call. So they are
        as cheap as can be: NumPy's where compiled programs take that, which saves JAX 0.09 ms of 0.24; and the same
        ones at each call where such programs leave the memory of their arguments alone, which saves TensorFlow 0.1 ms.
        """
        if not self.compiles(backend):
            return start(metrics, backend, where)
        if backend.takes_numpy and where is None:
            return start(metrics, get("numpy"))
        if backend.donates:
            return start(metrics, backend, where)
        key = f"{backend.name} {where} {metrics!r}"
        if key not in self._fresh:
            self._fresh[key] = start(metrics, backend, where)
        return self._fresh[key]

    def get(self, backend: Backend, make: Callable[..., Any], *parts: Any, **options: Any) -> Any:
        """`make(*parts)` in the form in which `backend` runs it fastest; the same object for the same parts.

        Args:
            options: For `Backend.jit`.
        """
        # The text of a network may be long, and a model has but one.
        named = ["the network" if isinstance(part, Layer) else part for part in parts]
        form = self.compiles(backend), self.run_eagerly, options.get("open_axes")
        key = f"{backend.name} {make.__name__} {form} {named!r}"
        if key not in self._made:
            from ..tracing.record import recorded  # here, so that importing kfunc takes no longer

            def ready(fun: Callable[..., Any], **more: Any) -> Callable[..., Any]:
                if self.compiles(backend):
                    return backend.jit(fun, **options, **more)
                return fun if self.run_eagerly else recorded(backend, fun)

            made = make(*parts)
            made = InPlace(backend, ready, *made) if make is halves else ready(made)
            return self._made.setdefault(key, made)  # another thread may have made it meanwhile
        return self._made[key]


def halves(net: Any, optimizer: Any, *parts: Any) -> tuple[Any, ...]:
    """The two halves of a training step, for `InPlace`."""
    return make_gradients(net, optimizer, *parts), optimizer


def mapped(backend: Backend, make: Callable[..., Any], *parts: Any) -> Callable[..., Any]:
    """The function `make(*parts)`, which has results and no carry, for several batches: (samples of all, ...).

    It runs the first `n` batches alone: the results of the others are zeros.
    """
    fun = make(*parts)

    @native
    def joined(x: Any) -> Any:
        return x if x.ndim < 2 else namespace(x).reshape(x, (-1, *x.shape[2:]))

    @native
    def numbers(n: Any, batches: Any) -> Any:
        return namespace(n).arange(batches.shape[0], dtype=n.dtype)

    @native
    def zeros(n: Any, like: Any) -> Any:
        return namespace(n).zeros(like.shape, dtype=like.dtype)

    def run(fixed: Any, carry: Any, batches: Any, n: Any) -> Any:
        def results(batch: Any) -> Any:
            return fun(fixed, carry, batch)

        forms = backend.shapes(results, tree.map(lambda a: a[0], batches))

        def one(numbered: Any) -> Any:
            i, batch = numbered
            return transforms.cond(i < n, results, lambda _: tree.map(lambda x: zeros(n, x), forms), batch)

        places = numbers(n, tree.leaves(batches)[0])
        return tree.map(joined, transforms.map(one, (places, batches)))

    return run


def repeated_steps(make: Callable[..., Any], *parts: Any) -> Callable[..., Any]:
    """The function `make(*parts)`, which has a carry, for several batches."""
    return repeated(make(*parts))


def flat(make: Callable[..., Any], *parts: Any) -> Callable[..., Any]:
    """The function `make(*parts)` from the leaves of the carry, a tree of a `structure`, to those of the next one."""
    fun = make(*parts)

    def run(fixed: Any, leaves: list, *args: Any, structure: Any) -> list:
        return tree.leaves(fun(fixed, tree.unflatten(structure, leaves), *args))

    return run
