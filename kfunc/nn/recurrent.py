"""Recurrent layers: cells that run over time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeAlias

from .. import checks, ops, tree
from ..arrays import namespace
from ..errors import ShapeError
from ..ops.recurrent import recurrence
from ..typing import Array, Tree
from . import activations, cells
from .layer import Layer, base_layer, layer
from .masks import check_steps, hidden
from .scope import Result, Scope, updated

__all__ = ["GRU", "LSTM", "RNN", "SimpleRNN"]


Prepared: TypeAlias = tuple[Callable[[Tree, dict[str, Any]], tuple[Array, Array, Tree]], Callable[[], Tree]]
"""See `OverTime.prepare`."""


@base_layer
class OverTime(Layer):
    """The arguments of all recurrent layers.

    `layer(s, x, initial_state=None, mask=None)`: `x` is (batch, time, ...). The output is that of the last step, or
    (batch, time, ...) with `return_sequences`. `initial_state` is an array or a list of arrays; by default it is zeros.
    Where `mask`, booleans (batch, time), is False, the states do not change, and the output is that of the step before.

    Args:
        return_sequences: Whether to return the outputs of all steps, and not only that of the last step.
        return_state: Whether to return the last states, too: (output, *states).
        go_backwards: Whether to go from the last step to the first. The outputs and their mask have this order.
        stateful: Whether the last states are the first states of the next call. They are a part of the state that
            `apply` takes and returns; to reset them, pass the state that `init` returned. The size of the batch is
            fixed.
        unroll: Whether to write out the steps one by one for the compiler, without a loop.
        zero_output_for_mask: With `return_sequences`, whether the outputs of masked steps are zero.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = dataclasses.field(default=False, kw_only=True)

    def forward(self, s: Scope, x: Array, initial_state: Tree | None = None, mask: Array | None = None) -> Array:
        self.check(x)
        if mask is not None:
            checks.rank("mask", mask, 2)
            check_steps(mask, x)
            x = hidden(x, mask)
        if self.unroll:
            checks.known("x", x, 1)
        run, zeros = self.prepare(s, x)
        states = self._first(s, x, zeros, initial_state)
        options = {"reverse": self.go_backwards, "unroll": self.unroll}
        if mask is not None:
            options |= {"mask": mask, "zero_output_for_mask": self.zero_output_for_mask and self.return_sequences}
        sequence, out, states = run(states, options)
        if self.stateful:
            for i, state in enumerate(tree.leaves(states)):
                s.set(f"rnn_state_{i}", state)
        xp = namespace(out)
        if not self.return_sequences:
            mask = None
        elif self.go_backwards:
            out, mask = xp.flip(sequence, axis=1), None if mask is None else xp.flip(mask, axis=1)
        else:
            out = sequence
        s.hand_on((mask, *(None for _ in states)) if self.return_state else mask)
        return (out, *states) if self.return_state else out

    def _first(self, s: Scope, x: Any, zeros: Callable[[], Any], given: Any) -> Any:
        """The first states; None means zeros."""
        if given is not None:
            return cells.filled("initial_state", zeros(), given)
        if not self.stateful:
            return None
        if x.shape[0] is None:
            raise ShapeError(
                "`x` has an unknown batch size, and a stateful layer needs to know it.",
                argument="x",
                expected="(batch, time, ...), with a known batch",
                got=tuple(x.shape),
                fix="give it in the sample or Spec passed to init, or use stateful=False",
            )
        states = zeros()
        kept = [s.state(f"rnn_state_{i}", a.shape, "zeros") for i, a in enumerate(tree.leaves(states))]
        xp = namespace(x)
        return tree.unflatten(tree.structure(states), [xp.astype(a, x.dtype) for a in kept])

    def check(self, x: Any) -> None:
        """Raise a ShapeError if `x` is not a sequence."""
        checks.rank("x", x, 3)

    def prepare(self, s: Scope, x: Array) -> Prepared:
        """Two functions, `run` and `zeros`.

        `run(states, options)`, with states or None, returns the outputs in the order of `x`, the last output, and the
        last states. `zeros()` are the first states.
        """
        raise NotImplementedError


# -- any cell ----------------------------------------------------------------------------------------------------------


@base_layer
class _OfCell(Layer):
    cell: Layer | Sequence[Layer]


@layer
class RNN(OverTime, _OfCell):
    """Any cell over time: (batch, time, ...) to (batch, output_size).

    A cell is a layer that is called as `cell(s, x, states)`, with the input of one step and a tuple of states, and
    returns (output, new states). Its `state_size`, an integer or one for each state, says the sizes of its states; or
    its method `initial_states(x)` makes the states. The output has the size of the first state, or `output_size`.
    The random numbers of a cell (dropout) are the same at all steps. Its auxiliary losses are those of the first step.

    Args:
        cell: A cell, or a list of cells, in which each takes the output of the one before.
    """

    _positions: ClassVar[tuple[Any, ...]] = ("zero_output_for_mask",)

    def __post_init__(self) -> None:
        if isinstance(self.cell, list | tuple):
            object.__setattr__(self, "cell", cells.StackedRNNCells(tuple(self.cell)))
        cells.check_cell("cell", self.cell)
        super().__post_init__()

    def check(self, x: Array) -> None:
        checks.rank("x", x, 3, least=True)

    def prepare(self, s: Scope, x: Array) -> Prepared:
        start = x[:, 0, ...]

        def zeros():
            return cells.first_states(self.cell, start)

        def run(states, options):
            states = zeros() if states is None else states
            once, kept, losses = self._step(s, start, states)

            def step(x, states, kept):
                output, new, kept = once(x, states, kept)
                return output, cells.filled("states", states, new), kept

            first = self._first_output(start, states) if "mask" in options else None
            sequence, states, kept = recurrence(step, x, states, first=first, kept=kept, **options)
            s.absorb(Result(None, dict(_by_path(kept, s.child(self.cell)._parts)), losses, None))
            return sequence, sequence[:, 0 if self.go_backwards else -1, ...], states

        return run, zeros

    def _step(self, s: Scope, start: Any, states: Any) -> tuple[Callable, dict, dict]:
        """The cell as `(x, states, kept) -> (output, states, kept)`; its own state, `kept`; and its losses."""
        cell: Any = self.cell
        if s.initializing:
            return lambda x, states, kept: (*cell(s, x, states), kept), {}, {}
        # Inside a loop, the scope can neither be read nor written. All steps have one key, and so the same random
        # numbers.
        fun, params, state = s.pure(cell, report=False)
        key = s.maybe_key()
        depth = len(s.child(cell)._parts)

        def once(x, states, kept):
            result = fun(params, kept, key, x, states)
            changes = {tuple(path.split("/")[depth:]): value for path, value in result.state.items()}
            return *result.output, updated(kept, changes)

        losses = fun(params, state, key, start, states).losses if s.wants_losses else {}
        return once, state or {}, losses

    def _first_output(self, x: Any, states: Any) -> Any:
        """The output before the first step, for masks: the first state of the (last) cell, or zeros.

        It is zeros if the first state does not have the shape of an output. Keras on JAX does so, too.
        """
        state = states
        while isinstance(state, tuple):
            state = state[-1] if isinstance(state[0], tuple) else state[0]
        size = cells.output_size(self.cell)
        return state if state.ndim == 2 and state.shape[-1] == size else cells.zeros_for(x, size)[0]


def _by_path(branch: dict, above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts by their paths. Without optree, since Dynamo cannot trace it."""
    for name, value in branch.items():
        path = (*above, name)
        if isinstance(value, dict):
            yield from _by_path(value, path)
        else:
            yield "/".join(path), value


# -- the usual cells ---------------------------------------------------------------------------------------------------


class _Fused(OverTime, cells.Recurrent):
    """One of the usual cells over time, computed by one op for all steps.

    Args:
        use_cudnn: Has no effect: each backend uses its fastest kernel.
    """

    _positions: ClassVar[tuple[Any, ...]] = ("activity_regularizer", "kernel_constraint")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("use_cudnn", getattr(self, "use_cudnn", "auto"), ("auto", True, False))

    def prepare(self, s: Scope, x: Array) -> Prepared:
        weights = self.weights(s, x.shape[-1])
        keep = self.keep(s, x)
        x = self.dropped(s, x)

        def zeros():
            return cells.zeros_for(x, self.units) * self.states

        def run(states, options):
            sequence, *last = self.over_time(x, *weights, *(states or ()), keep=keep, **options)
            return sequence, last[0], tuple(last)

        return run, zeros

    def over_time(self, x: Array, *args: Any, **options: Any) -> tuple[Array, ...]:
        """The op, called with `x`, weights and states."""
        raise NotImplementedError


@layer
class LSTM(_Fused, cells.LSTMArguments):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): (batch, time, inputs) to (batch, units).

    The states are h and c, (batch, units) each. The gates have the order input, forget, cell, output.
    """

    use_cudnn: str | bool = "auto"

    def over_time(self, x: Array, *args: Any, **options: Any) -> tuple[Array, ...]:
        functions = activations.get(self.activation), activations.get(self.recurrent_activation)
        options |= {"activation": functions[0], "recurrent_activation": functions[1]}
        return ops.lstm(x, *args, **options)


@base_layer
class _Seeded(Layer):
    seed: int | None = None


@layer
class GRU(_Fused, _Seeded, cells.GRUArguments):
    """Gated recurrent unit (Cho et al., arXiv:1406.1078): (batch, time, inputs) to (batch, units).

    The gates have the order update, reset, candidate.
    """

    reset_after: bool = True
    use_cudnn: str | bool = "auto"

    def over_time(self, x: Array, *args: Any, **options: Any) -> tuple[Array, ...]:
        functions = activations.get(self.activation), activations.get(self.recurrent_activation)
        options |= {"activation": functions[0], "recurrent_activation": functions[1], "reset_after": self.reset_after}
        return ops.gru(x, *args, **options)


@layer
class SimpleRNN(_Fused, cells.SimpleRNNArguments):
    """`h = activation(x @ kernel + h @ recurrent_kernel + bias)` over time: (batch, time, inputs) to (batch, units).

    Elman, Finding Structure in Time, 1990.
    """

    seed: int | None = None

    def over_time(self, x: Array, *args: Any, **options: Any) -> tuple[Array, ...]:
        options |= {"activation": activations.get(self.activation)}
        return ops.simple_rnn(x, *args, **options)
