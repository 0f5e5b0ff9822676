"""Recurrence: any step over a sequence with a mask, and the usual cells over whole sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import tree
from ..arrays import namespace
from ..tracing import loops
from ..tracing.spec import Spec
from ..transforms import scan
from ..typing import Array
from ._masks import hidden
from ._op import op
from .activation import sigmoid, tanh
from .joining import split
from .linear import linear

__all__ = ["gru", "lstm", "simple_rnn"]


# -- any cell --------------------------------------------------------------------------------------------------------


def recurrence(
    step: Callable,
    xs: Any,
    states: Any,
    mask: Any = None,
    *,
    first: Any = None,
    kept: Any = (),
    reverse: bool = False,
    zero_output_for_mask: bool = False,
    unroll: bool = False,
) -> tuple[Any, Any, Any]:
    """Run `output, states, kept = step(x, states, kept)` over time.

    Args:
        xs: (batch, time, ...).
        states: The first states, a tree of (batch, ...).
        mask: (batch, time) booleans, or None. Where it is False, the states stay, and the output is the last one again.
        first: What stands for the last output before the first step; needed with a mask.
        kept: Other values that go from step to step, also where the mask is False.
        reverse: Whether to go from the last step to the first; outputs keep the order of `xs`.
        zero_output_for_mask: Whether the output is zero where the mask is False.
        unroll: Whether compilers see one step after the other, and no loop.

    Returns:
        (outputs, states, kept): (batch, time, ...), and the last of the others.
    """
    xp = namespace(xs)
    # One step on Specs tells all shapes, also of a loop that is to be unrolled.
    run = loops.scan if unroll and not isinstance(xs, Spec) else scan
    xs = xp.moveaxis(xs, 1, 0)
    if mask is None:

        def plain(carry, x):
            output, *carry = step(x, *carry)
            return tuple(carry), output

        (states, kept), ys = run(plain, (states, kept), xs, reverse=reverse)
    else:
        last = xp.zeros_like(first) if zero_output_for_mask else first

        def masked(carry, given):
            (states, kept, last), (x, counts) = carry, given
            output, new, kept = step(x, states, kept)
            new = tree.map(lambda a, b: choose(counts, a, b), new, states)
            output = choose(counts, output, last)
            return (new, kept, last if zero_output_for_mask else output), output

        (states, kept, _), ys = run(masked, (states, kept, last), (xs, xp.moveaxis(mask, 1, 0)), reverse=reverse)
    return xp.moveaxis(ys, 0, 1), states, kept


def choose(mask: Any, a: Any, b: Any) -> Any:
    """`a` where `mask` holds, else `b`: (n, ...) each, the mask (n,)."""
    xp = namespace(mask, a, b)
    for _ in range(a.ndim - mask.ndim):
        mask = xp.expand_dims(mask, axis=-1)
    return xp.where(mask, a, b)


def per_gate(product: Callable, h: Any, weights: Any, keep: Any, axis: int = -1) -> Any:
    """`product(h, weights)`, with `h` times `keep[i, ...]` for the i-th gate if there is `keep` (recurrent dropout).

    The gates lie one after the other in the last axis of `weights`, and in `axis` of the product.
    """
    if keep is None:
        return product(h, weights)
    parts = split(weights, keep.shape[0], axis=-1)
    xp = namespace(h)
    return xp.concat([product(h * keep[i, ...], part) for i, part in enumerate(parts)], axis=axis)


def matmul(x: Any, w: Any) -> Any:
    return namespace(x, w).matmul(x, w)


# -- one step of the usual cells ---------------------------------------------------------------------------------------


def lstm_gates(z: Any, c: Any, activation: Callable, recurrent_activation: Callable, axis: int = -1) -> tuple[Any, Any]:
    """The new (h, c) for the inputs `z` of the four gates, which lie side by side in `axis`."""
    i, f, g, o = split(z, 4, axis=axis)
    c = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
    return recurrent_activation(o) * activation(c), c


def lstm_step(
    z: Array,
    states: tuple[Array, Array],
    recurrent_kernel: Array,
    activation: Callable[[Array], Array],
    recurrent_activation: Callable[[Array], Array],
    keep: Array | None = None,
) -> tuple[Array, Array]:
    """The new states of an LSTM for the inputs `z` (batch, 4 * units) of its gates; see `lstm`."""
    h, c = states
    return lstm_gates(z + per_gate(matmul, h, recurrent_kernel, keep), c, activation, recurrent_activation)


def gru_step(
    z: Array,
    states: tuple[Array],
    recurrent_kernel: Array,
    bias: Array | None,
    reset_after: bool,
    activation: Callable[[Array], Array],
    recurrent_activation: Callable[[Array], Array],
    keep: Array | None = None,
) -> tuple[Array]:
    """The new states of a GRU for the inputs `z` (batch, 3 * units) of its gates; see `gru`."""
    (h,) = states
    xp, units = namespace(z), recurrent_kernel.shape[0]
    x_z, x_r, x_h = split(z, 3, axis=-1)
    if reset_after:
        inner = per_gate(matmul, h, recurrent_kernel, keep)
        h_z, h_r, h_h = split(inner if bias is None else inner + bias, 3, axis=-1)
        update, reset = recurrent_activation(x_z + h_z), recurrent_activation(x_r + h_r)
        candidate = activation(x_h + reset * h_h)
    else:
        both = None if keep is None else keep[:2, ...]
        h_z, h_r = split(per_gate(matmul, h, recurrent_kernel[:, : 2 * units], both), 2, axis=-1)
        update, reset = recurrent_activation(x_z + h_z), recurrent_activation(x_r + h_r)
        inner = reset * h if keep is None else reset * h * keep[2, ...]
        candidate = activation(x_h + xp.matmul(inner, recurrent_kernel[:, 2 * units :]))
    return (update * h + (1 - update) * candidate,)


def simple_step(
    z: Array,
    states: tuple[Array],
    recurrent_kernel: Array,
    activation: Callable[[Array], Array],
    keep: Array | None = None,
) -> tuple[Array]:
    """The new state of a simple recurrence for its inputs `z` (batch, units); see `simple_rnn`."""
    (h,) = states
    return (activation(z + per_gate(matmul, h, recurrent_kernel, keep)),)


# -- the usual cells over time -----------------------------------------------------------------------------------------


def _over_time(step, z, states, mask, units, **options):
    """`recurrence` of cells whose output is their first state; zeros stand for states that are None."""
    zeros = namespace(z).zeros_like(z[:, 0, :units])
    states = tuple(zeros if state is None else state for state in states)

    def run(z, states, kept):
        new = step(z, states)
        return new[0], new, kept

    ys, states, _ = recurrence(run, z, states, mask, first=states[0], **options)
    return ys, *states


@op
def lstm(
    x: Array,
    kernel: Array,
    recurrent_kernel: Array,
    bias: Array | None = None,
    h: Array | None = None,
    c: Array | None = None,
    reverse: bool = False,
    activation: Callable[[Array], Array] = tanh,
    recurrent_activation: Callable[[Array], Array] = sigmoid,
    mask: Array | None = None,
    keep: Array | None = None,
    zero_output_for_mask: bool = False,
    unroll: bool = False,
) -> tuple[Array, Array, Array]:
    """Long short-term memory (Hochreiter and Schmidhuber, 1997) with gates in the order input, forget, cell, output.

    Args:
        x: (batch, time, inputs).
        kernel: (inputs, 4 * units).
        recurrent_kernel: (units, 4 * units).
        bias: (4 * units,) or None.
        h, c: The first hidden and cell states, (batch, units); zeros by default.
        reverse: Whether to go from the last step to the first; outputs keep the order of `x`.
        activation, recurrent_activation: Functions for cell and output, and for the gates.
        mask: (batch, time) booleans: where False, the states stay, and the output is the last one again, or at first h.
        keep: (4, batch, units): factors of h for each gate, at all steps (recurrent dropout).
        zero_output_for_mask: Whether outputs are zero where the mask is False.
        unroll: Whether a compiler sees one step after the other, and no loop.

    Returns:
        (outputs, h, c): (batch, time, units), and the last states, (batch, units) each.
    """

    def step(z, states):
        return lstm_step(z, states, recurrent_kernel, activation, recurrent_activation, keep)

    options = {"reverse": reverse, "zero_output_for_mask": zero_output_for_mask, "unroll": unroll}
    return _over_time(step, linear(hidden(x, mask), kernel, bias), (h, c), mask, recurrent_kernel.shape[0], **options)


@op
def gru(
    x: Array,
    kernel: Array,
    recurrent_kernel: Array,
    bias: Array | None = None,
    h: Array | None = None,
    reverse: bool = False,
    reset_after: bool = True,
    activation: Callable[[Array], Array] = tanh,
    recurrent_activation: Callable[[Array], Array] = sigmoid,
    mask: Array | None = None,
    keep: Array | None = None,
    zero_output_for_mask: bool = False,
    unroll: bool = False,
) -> tuple[Array, Array]:
    """Gated recurrent unit (Cho et al., arXiv:1406.1078) with gates in the order update, reset, candidate.

    Args:
        x: (batch, time, inputs).
        kernel: (inputs, 3 * units).
        recurrent_kernel: (units, 3 * units).
        bias: (2, 3 * units), for the input and for the recurrence, with `reset_after`; else (3 * units,); or None.
        h: The first state, (batch, units); zeros by default.
        reset_after: Whether the reset gate works after the recurrent product (as in cuDNN) or before it.
        activation, recurrent_activation: Functions for the candidate, and for the gates.
        keep: (3, batch, units): factors of h for each gate, at all steps.
        reverse, mask, zero_output_for_mask, unroll: As for `lstm`.

    Returns:
        (outputs, h): (batch, time, units), and the last state, (batch, units).
    """
    own, recurrent = (bias[0, :], bias[1, :]) if reset_after and bias is not None else (bias, None)

    def step(z, states):
        functions = (activation, recurrent_activation)
        return gru_step(z, states, recurrent_kernel, recurrent, reset_after, *functions, keep)

    options = {"reverse": reverse, "zero_output_for_mask": zero_output_for_mask, "unroll": unroll}
    return _over_time(step, linear(hidden(x, mask), kernel, own), (h,), mask, recurrent_kernel.shape[0], **options)


@op
def simple_rnn(
    x: Array,
    kernel: Array,
    recurrent_kernel: Array,
    bias: Array | None = None,
    h: Array | None = None,
    reverse: bool = False,
    activation: Callable[[Array], Array] = tanh,
    mask: Array | None = None,
    keep: Array | None = None,
    zero_output_for_mask: bool = False,
    unroll: bool = False,
) -> tuple[Array, Array]:
    """`h = activation(x @ kernel + h @ recurrent_kernel + bias)` over time (Elman, 1990).

    Args:
        x: (batch, time, inputs).
        kernel: (inputs, units).
        recurrent_kernel: (units, units).
        bias: (units,) or None.
        h: The first state, (batch, units); zeros by default.
        keep: (1, batch, units): factors of h, at all steps.
        reverse, mask, zero_output_for_mask, unroll: As for `lstm`.

    Returns:
        (outputs, h): (batch, time, units), and the last state, (batch, units).
    """

    def step(z, states):
        return simple_step(z, states, recurrent_kernel, activation, keep)

    options = {"reverse": reverse, "zero_output_for_mask": zero_output_for_mask, "unroll": unroll}
    return _over_time(step, linear(hidden(x, mask), kernel, bias), (h,), mask, recurrent_kernel.shape[0], **options)
