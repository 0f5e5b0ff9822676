"""The programs of a model, functions `(fixed, carry, batch) -> carry`: compiled or recorded, and each made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import transforms, tree
from .backends import Backend
from .data.protocol import Source
from .inplace import InPlace
from .loop import Program
from .nn.layer import Layer
from .step import (
    make_custom_evaluation,
    make_custom_step,
    make_eval_step,
    make_gradients,
    make_predict,
    make_train_step,
    repeated,
)

__all__ = [
    "Programs",
    "custom_evaluations",
    "custom_steps",
    "evaluations",
    "halves",
    "predictions",
    "train_steps",
]


class Programs:
    """Those that one `Model.compile` makes; arguments as there."""

    def __init__(
        self, run_eagerly: bool = False, steps_per_execution: int | str = "auto", jit_compile: bool | str = "auto"
    ):
        self.run_eagerly, self.steps_per_execution, self.jit_compile = run_eagerly, steps_per_execution, jit_compile
        self.functions: dict[str, Callable] = {}
        self._paces: dict[Any, int] = {}

    def program(
        self,
        make: Callable,
        *parts: Any,
        source: Source,
        backend: Backend,
        where: Any,
        host: bool,
        fills: bool,
        carries: bool = False,
        still: bool = False,
        **options: Any,
    ) -> Program:
        """`make(*parts)`, a function `(fixed, carry, batch) -> carry`, as a program for the batches of `source`.

        Args:
            backend, where, host: Where it runs, and whether that is where NumPy's arrays are.
            fills, still: See `Program`.
            carries: Whether it may take the memory of the carry that it is given.
        """
        compiled = self.compiles(backend)
        several = _mapped if make is predictions else _repeated_steps
        singly, together, flat = (make, *parts), (several, make, *parts), carries and compiled and backend.donates
        if flat:
            options |= {"donate_argnums": (1,), "static_argnames": ("structure",)}
            singly, together = (_flat, *singly), (_flat, *together)
        step, many = self._function(*singly, backend=backend, **options), None
        if compiled and make is not halves:
            many = self._function(*together, backend=backend, **(options if flat else {}))
        fills = fills and compiled and backend.one_size and not source.full
        loops, most, paces = host and hasattr(step, "loop"), self.steps_per_execution, self._paces
        return Program(step, many, backend, where, source.batch_size, fills, compiled, most, loops, flat, paces, still)

    def compiles(self, backend: Backend) -> bool:
        """Whether functions are compiled on `backend`."""
        wanted = backend.compiles if self.jit_compile == "auto" else bool(self.jit_compile)
        return wanted and not self.run_eagerly

    def _function(self, make: Callable, *parts: Any, backend: Backend, **options: Any) -> Any:
        """`make(*parts)` as it is to run on `backend`; the same one for the same parts."""
        named = ["the network" if isinstance(part, Layer) else part for part in parts]  # whose own text may be long
        key = f"{backend.name} {make.__name__} {self.compiles(backend)} {self.run_eagerly} {named!r}"
        if key not in self.functions:
            made, ready = make(*parts), lambda fun, **more: self._ready(backend, fun, **options, **more)
            self.functions[key] = InPlace(backend, ready, *made) if make is halves else ready(made)
        return self.functions[key]

    def _ready(self, backend: Backend, fun: Callable, **options: Any) -> Callable:
        if self.compiles(backend):
            return backend.jit(fun, **options)
        from .tracing.record import recorded  # here, so that importing kfunc takes no longer

        return fun if self.run_eagerly else recorded(backend, fun)


def train_steps(*parts: Any) -> Callable:
    """The program of `step.make_train_step(*parts)`; the carry is the train state and the progress."""
    step = make_train_step(*parts)
    return lambda _, carry, batch: step(*carry, batch)


def halves(net: Any, optimizer: Any, *parts: Any) -> tuple[Any, ...]:
    """The two halves of a training step, for `InPlace`."""
    return make_gradients(net, optimizer, *parts), optimizer


def custom_steps(step: Callable) -> Callable:
    """The program of a training step of the user's own."""
    run = make_custom_step(step)
    return lambda _, carry, batch: run(*carry, batch)


def evaluations(*parts: Any) -> Callable:
    """The program of `step.make_eval_step(*parts)`: parameters and state are fixed, the carry is the progress."""
    step = make_eval_step(*parts)
    return lambda fixed, progress, batch: step(*fixed, progress, batch)


def custom_evaluations(step: Callable) -> Callable:
    """The program of an evaluation step of the user's own."""
    return make_custom_evaluation(step)


def predictions(*parts: Any) -> Callable:
    """The program of `step.make_predict(*parts)`, which has results and no carry."""
    predict = make_predict(*parts)
    return lambda fixed, _, batch: predict(*fixed, batch.x)


def _mapped(make: Callable, *parts: Any) -> Callable:
    """The program `make(*parts)`, which has results, for several batches."""
    fun = make(*parts)
    return lambda fixed, carry, batches, _: transforms.map(lambda batch: fun(fixed, carry, batch), batches)


def _repeated_steps(make: Callable, *parts: Any) -> Callable:
    """The program `make(*parts)`, which has a carry, for several batches."""
    return repeated(make(*parts))


def _flat(make: Callable, *parts: Any) -> Callable:
    """The program `make(*parts)` from the leaves of the carry, a tree of this structure, to those of the next one."""
    fun = make(*parts)

    def run(fixed: Any, leaves: list, *args: Any, structure: Any) -> list:
        return tree.leaves(fun(fixed, tree.unflatten(structure, leaves), *args))

    return run
