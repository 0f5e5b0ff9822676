"""JAX: the usual cells over time, with derivatives that compute the products with weights outside of the loop.

XLA on CPU does not vectorise arithmetic on parts of a slice in a loop, so the gates are separated before the loop.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ... import ops
from ...ops._masks import hidden
from ...ops._op import lowering
from ...ops.recurrent import choose, per_gate
from .backend import backend

__all__: list[str] = []


# -- cells -------------------------------------------------------------------------------------------------------------


class Cell(NamedTuple):
    """One step of a cell. Its gates get `x`, a part of the product with the inputs, and `p`, of that with the states.

    `step(functions, x, p, states)` is (new states, values), where `functions` are activation and recurrent_activation.
    If these are tanh and sigmoid, `slopes(*values)` are the derivatives, and `tangent(slopes, dx, dp, dstates)` is the
    derivative of the new states. A cell with `adds` uses only `x + p`: then `dp` is that of the sum, and `dx` is None.
    """

    gates: int
    adds: bool
    step: Callable[..., Any]
    slopes: Callable[..., Any]
    tangent: Callable[..., Any]


def _lstm_step(functions, x, p, states):
    activation, gate = functions
    i, f, g, o = (a + b for a, b in zip(x, p, strict=True))
    i, f, g, o = gate(i), gate(f), activation(g), gate(o)
    c = f * states[1] + i * g
    y = activation(c)
    return (o * y, c), (i, f, g, o, y, states[1])


def _lstm_slopes(i, f, g, o, y, c):
    return g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), y * o * (1 - o), f, o * (1 - y * y)


def _lstm_tangent(slopes, _, dp, states):
    i, f, g, o, kept, out = slopes
    c = kept * states[1] + i * dp[0] + f * dp[1] + g * dp[2]
    return o * dp[3] + out * c, c


def _gru_step(functions, x, p, states):
    activation, gate = functions
    (h,) = states
    update, reset = gate(x[0] + p[0]), gate(x[1] + p[1])
    g = activation(x[2] + reset * p[2])
    return (update * h + (1 - update) * g,), (update, reset, g, p[2], h)


def _gru_slopes(update, reset, g, p, h):
    slope = (1 - update) * (1 - g * g)
    return (h - g) * update * (1 - update), slope * p * reset * (1 - reset), slope, slope * reset, update


def _gru_tangent(slopes, dx, dp, states):
    update, reset, g, inner, kept = slopes
    return (kept * states[0] + update * (dx[0] + dp[0]) + reset * (dx[1] + dp[1]) + g * dx[2] + inner * dp[2],)


def _simple_step(functions, x, p, states):
    h = functions[0](x[0] + p[0])
    return (h,), (h,)


def _simple_slopes(h):
    return (1 - h * h,)


def _simple_tangent(slopes, _, dp, states):
    return (slopes[0] * dp[0],)


_LSTM = Cell(4, True, _lstm_step, _lstm_slopes, _lstm_tangent)
_GRU = Cell(3, False, _gru_step, _gru_slopes, _gru_tangent)
_SIMPLE = Cell(1, True, _simple_step, _simple_slopes, _simple_tangent)
_USUAL = jnp.tanh, jax.nn.sigmoid


# -- over time ---------------------------------------------------------------------------------------------------------


def _scan(step, states, xs, mask, reverse):
    """`states, y = step(states, x)`, with the old states where `mask` is False; all first states, and all y."""

    def run(states, given):
        x, counts = given
        new, y = step(states, x)
        new = new if mask is None else tuple(choose(counts, a, b) for a, b in zip(new, states, strict=True))
        return new, (new[0], y)

    return jax.lax.scan(run, states, (xs, mask), reverse=reverse)


def _forward(
    cell,
    reverse,
    x,
    kernel,
    recurrent_kernel,
    bias,
    recurrent_bias,
    states,
    mask,
    functions=_USUAL,
    keep=None,
    slopes=False,
):
    """(outputs (time, batch, units), last states, slopes if wanted) for `x` (time, batch, inputs)."""
    if cell.adds:
        bias, recurrent_bias = None, bias  # this costs nothing in the loop

    def gates(z, bias):
        return jnp.split(z if bias is None else z + bias, cell.gates, axis=-1)

    def before_loop():
        rows = x.reshape(-1, x.shape[-1])
        biases = [0] * cell.gates if bias is None else jnp.split(bias, cell.gates)
        kernels = jnp.split(kernel, cell.gates, axis=-1)
        return [(rows @ k + b).reshape(*x.shape[:2], -1) for k, b in zip(kernels, biases, strict=True)]

    def step(states, z):
        z = z if usual else gates(z @ kernel, bias)
        p = gates(per_gate(jnp.matmul, states[0], recurrent_kernel, keep), recurrent_bias)
        states, values = cell.step(functions, z, p, states)
        return states, cell.slopes(*values) if slopes else ()

    # Where JAX differentiates, many small products are faster than a large one that is cut into parts.
    usual = functions is _USUAL
    states, (ys, slopes) = _scan(step, states, before_loop() if usual else x, mask, reverse)
    return ys, states, slopes


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _usual(cell, reverse, *arrays):
    """`_forward` with the usual functions, and with a derivative that is written here."""
    return _forward(cell, reverse, *arrays)[:2]


@functools.partial(_usual.defjvp, symbolic_zeros=True)
def _(cell, reverse, primals, tangents):
    # JAX's own derivative adds up the gradients of the weights step by step; here each is one product.
    x, kernel, recurrent_kernel, _, _, states, mask = primals
    dx, dkernel, drecurrent, dbias, drecurrent_bias, dstates, _ = jax.tree.map(_unless_zero, tangents)
    ys, last, slopes = _forward(cell, reverse, *primals, slopes=True)
    before = [ys[1:], states[0][None]] if reverse else [states[0][None], ys[:-1]]

    def total(*parts):
        parts = [part for part in parts if part is not None] or [jnp.zeros_like(kernel[0])]
        whole = (x.shape[0] * x.shape[1], kernel.shape[-1])
        return jnp.broadcast_to(functools.reduce(jnp.add, parts), whole).reshape(*x.shape[:2], -1)

    def product(a, b):
        return None if a is None or b is None else a.reshape(-1, a.shape[-1]) @ b

    from_x = product(dx, kernel), product(x, dkernel), dbias
    from_h = product(jnp.concatenate(before), drecurrent), drecurrent_bias
    moves = (None, total(*from_x, *from_h)) if cell.adds else (total(*from_x), total(*from_h))

    def step(dstates, given):
        (dx, dp), slopes = given
        dx, dp = (
            None if d is None else jnp.split(d, cell.gates, axis=-1) for d in (dx, dp + dstates[0] @ recurrent_kernel)
        )
        return cell.tangent(slopes, dx, dp, dstates), ()

    dstates = tuple(jnp.zeros_like(a) if d is None else d for d, a in zip(dstates, states, strict=True))
    dlast, (dys, _) = _scan(step, dstates, (moves, slopes), mask, reverse)
    return (ys, last), (dys, dlast)


def _unless_zero(tangent):
    return None if isinstance(tangent, jax.custom_derivatives.SymbolicZero) else tangent


# Compiled, for calls outside of `jit`.
_compiled = jax.jit(_usual, static_argnums=(0, 1))


def _run(cell, functions, arrays, biases, states, *, reverse, mask, keep, zero_output_for_mask, unroll):
    """The result of the op; NotImplemented where the dtypes are not one floating dtype, and for unrolled loops."""
    x, kernel, recurrent_kernel = arrays = (hidden(arrays[0], mask), *arrays[1:])
    zeros = jnp.zeros((x.shape[0], recurrent_kernel.shape[0]), x.dtype)
    states = tuple(zeros if state is None else state for state in states)
    given = *arrays, *states, *(a for a in (*biases, keep) if a is not None)
    if unroll or not jnp.issubdtype(x.dtype, jnp.floating) or any(a.dtype != x.dtype for a in given):
        return NotImplemented
    states = _varying(states, [a for a in (*given, mask) if a is not None])
    steps = None if mask is None else jnp.moveaxis(mask, 1, 0)
    args = cell, reverse, jnp.moveaxis(x, 1, 0), kernel, recurrent_kernel, *biases, states, steps
    if functions == (ops.tanh, ops.sigmoid) and keep is None:
        ys, last = _compiled(*args)
    else:
        ys, last, _ = _forward(*args, functions, keep)
    ys = jnp.moveaxis(ys, 0, 1)
    return (ys if mask is None or not zero_output_for_mask else choose(mask, ys, jnp.zeros_like(ys))), *last


def _varying(states, arrays):
    """The states, marked to differ between the devices of a `jax.shard_map` where one of the arrays does.

    A scan wants each carry to be marked as the next one is. Outside of traces there is nothing to mark.
    """
    if not any(isinstance(a, jax.core.Tracer) for a in arrays):
        return states
    zero = sum(jnp.zeros_like(a, dtype=arrays[0].dtype).sum() for a in arrays)
    return tuple(state + zero for state in states)


@lowering(backend, ops.lstm)
def _lstm(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    h=None,
    c=None,
    reverse=False,
    activation=ops.tanh,
    recurrent_activation=ops.sigmoid,
    mask=None,
    keep=None,
    zero_output_for_mask=False,
    unroll=False,
):
    functions, arrays = (activation, recurrent_activation), (x, kernel, recurrent_kernel)
    options = {"reverse": reverse, "mask": mask, "keep": keep, "unroll": unroll}
    return _run(_LSTM, functions, arrays, (bias, None), (h, c), zero_output_for_mask=zero_output_for_mask, **options)


@lowering(backend, ops.gru)
def _gru(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    h=None,
    reverse=False,
    reset_after=True,
    activation=ops.tanh,
    recurrent_activation=ops.sigmoid,
    mask=None,
    keep=None,
    zero_output_for_mask=False,
    unroll=False,
):
    if not reset_after:
        return NotImplemented
    biases = (None, None) if bias is None else (bias[0], bias[1])
    functions, arrays = (activation, recurrent_activation), (x, kernel, recurrent_kernel)
    options = {"reverse": reverse, "mask": mask, "keep": keep, "unroll": unroll}
    return _run(_GRU, functions, arrays, biases, (h,), zero_output_for_mask=zero_output_for_mask, **options)


@lowering(backend, ops.simple_rnn)
def _simple_rnn(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    h=None,
    reverse=False,
    activation=ops.tanh,
    mask=None,
    keep=None,
    zero_output_for_mask=False,
    unroll=False,
):
    functions, arrays = (activation, ops.sigmoid), (x, kernel, recurrent_kernel)
    options = {"reverse": reverse, "mask": mask, "keep": keep, "unroll": unroll}
    return _run(_SIMPLE, functions, arrays, (bias, None), (h,), zero_output_for_mask=zero_output_for_mask, **options)
