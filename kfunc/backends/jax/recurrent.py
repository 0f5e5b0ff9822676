"""JAX: the usual cells over time, with derivatives that take the products with weights out of the loop.

XLA on CPU does not vectorise a loop's arithmetic on parts of a slice, so the gates are taken apart before it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ... import ops
from ...ops._op import lowering
from ...ops.recurrent import choose
from . import backend

__all__: list[str] = []


# -- cells -------------------------------------------------------------------------------------------------------------


class Cell(NamedTuple):
    """One step, elementwise, of what enters the gates from the input, `x`, and from the recurrent product, `p`.

    `step(x, p, states)` is (new states, slopes), and `tangent(slopes, dx, dp, states')` how the new states move. In
    `dp` of a cell that only `adds` both there is the sum, and nothing in `dx`.
    """

    gates: int
    adds: bool
    step: Callable
    tangent: Callable


def _lstm_step(x, p, states):
    i, f, g, o = (a + b for a, b in zip(x, p, strict=True))
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    new = f * states[1] + i * g
    y = jnp.tanh(new)
    slopes = g * i * (1 - i), states[1] * f * (1 - f), i * (1 - g * g), y * o * (1 - o), f, o * (1 - y * y)
    return (o * y, new), slopes


def _lstm_tangent(slopes, _, dp, states):
    i, f, g, o, kept, out = slopes
    new = kept * states[1] + i * dp[0] + f * dp[1] + g * dp[2]
    return o * dp[3] + out * new, new


def _gru_step(x, p, states):
    (h,) = states
    update, reset = jax.nn.sigmoid(x[0] + p[0]), jax.nn.sigmoid(x[1] + p[1])
    g = jnp.tanh(x[2] + reset * p[2])
    slope = (1 - update) * (1 - g * g)
    slopes = (h - g) * update * (1 - update), slope * p[2] * reset * (1 - reset), slope, slope * reset, update
    return (update * h + (1 - update) * g,), slopes


def _gru_tangent(slopes, dx, dp, states):
    update, reset, g, inner, kept = slopes
    return (kept * states[0] + update * (dx[0] + dp[0]) + reset * (dx[1] + dp[1]) + g * dx[2] + inner * dp[2],)


def _simple_step(x, p, states):
    h = jnp.tanh(x[0] + p[0])
    return (h,), (1 - h * h,)


def _simple_tangent(slopes, _, dp, states):
    return (slopes[0] * dp[0],)


_LSTM, _GRU = Cell(4, True, _lstm_step, _lstm_tangent), Cell(3, False, _gru_step, _gru_tangent)
_SIMPLE = Cell(1, True, _simple_step, _simple_tangent)


# -- over time ---------------------------------------------------------------------------------------------------------


def _rows(x):
    """(time, batch, features) as one matrix, whose products are twice as fast as those of a stack."""
    return x.reshape(-1, x.shape[-1])


def _scan(step, states, xs, mask, reverse):
    """`states, y = step(states, x)`, with the old states where `mask` is False; all states' first, and all y."""

    def run(states, given):
        x, counts = given
        new, y = step(states, x)
        new = new if mask is None else tuple(choose(counts, a, b) for a, b in zip(new, states, strict=True))
        return new, (new[0], y)

    return jax.lax.scan(run, states, (xs, mask), reverse=reverse)


def _plus(x, bias):
    return x if bias is None else x + bias


def _forward(cell, reverse, x, kernel, recurrent_kernel, bias, recurrent_bias, states, mask):
    """(outputs, last states, slopes)."""
    if cell.adds:
        bias, recurrent_bias = None, bias  # which is free in the loop
    rows, none = _rows(x), [None] * cell.gates
    biases = none if bias is None else jnp.split(bias, cell.gates)
    z = [_plus(rows @ k, b).reshape(*x.shape[:2], -1) for k, b in zip(jnp.split(kernel, cell.gates, 1), biases)]

    def step(states, z):
        p = _plus(states[0] @ recurrent_kernel, recurrent_bias)
        return cell.step(z, jnp.split(p, cell.gates, axis=-1), states)

    states, (ys, slopes) = _scan(step, states, z, mask, reverse)
    return ys, states, slopes


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _over_time(cell, reverse, x, kernel, recurrent_kernel, bias, recurrent_bias, states, mask):
    """(outputs (time, batch, units), last states) for `x` (time, batch, inputs)."""
    return _forward(cell, reverse, x, kernel, recurrent_kernel, bias, recurrent_bias, states, mask)[:2]


@functools.partial(_over_time.defjvp, symbolic_zeros=True)
def _(cell, reverse, primals, tangents):
    # JAX's own derivative adds up the gradients of the weights step by step; here each is one product.
    x, kernel, recurrent_kernel, _, _, states, mask = primals
    dx, dkernel, drecurrent, dbias, drecurrent_bias, dstates, _ = jax.tree.map(_unless_zero, tangents)
    ys, last, slopes = _forward(cell, reverse, *primals)
    before = [ys[1:], states[0][None]] if reverse else [states[0][None], ys[:-1]]

    def total(*parts):
        parts = [part for part in parts if part is not None]
        if not parts:
            return jnp.zeros((*x.shape[:2], kernel.shape[-1]), x.dtype)
        return functools.reduce(jnp.add, parts).reshape(*x.shape[:2], -1)

    def product(a, b):
        return None if a is None or b is None else _rows(a) @ b

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


_compiled = jax.jit(_over_time, static_argnums=(0, 1))


def _run(cell, x, kernel, recurrent_kernel, bias, recurrent_bias, states, reverse, mask, zero_output_for_mask):
    """What the ops return; NotImplemented for dtypes that are not one floating one."""
    zeros = jnp.zeros((x.shape[0], recurrent_kernel.shape[0]), x.dtype)
    states = tuple(zeros if state is None else state for state in states)
    arrays = x, kernel, recurrent_kernel, *states, *(b for b in (bias, recurrent_bias) if b is not None)
    if not jnp.issubdtype(x.dtype, jnp.floating) or any(a.dtype != x.dtype for a in arrays):
        return NotImplemented
    steps = None if mask is None else jnp.moveaxis(mask, 1, 0)
    args = jnp.moveaxis(x, 1, 0), kernel, recurrent_kernel, bias, recurrent_bias, states, steps
    ys, last = _compiled(cell, reverse, *args)
    ys = jnp.moveaxis(ys, 0, 1)
    return (ys if mask is None or not zero_output_for_mask else choose(mask, ys, jnp.zeros_like(ys))), *last


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
    if activation is not ops.tanh or recurrent_activation is not ops.sigmoid or keep is not None or unroll:
        return NotImplemented
    return _run(_LSTM, x, kernel, recurrent_kernel, bias, None, (h, c), reverse, mask, zero_output_for_mask)


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
    usual = activation is ops.tanh and recurrent_activation is ops.sigmoid and reset_after
    if not usual or keep is not None or unroll:
        return NotImplemented
    biases = (None, None) if bias is None else (bias[0], bias[1])
    return _run(_GRU, x, kernel, recurrent_kernel, *biases, (h,), reverse, mask, zero_output_for_mask)


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
    if activation is not ops.tanh or keep is not None or unroll:
        return NotImplemented
    return _run(_SIMPLE, x, kernel, recurrent_kernel, bias, None, (h,), reverse, mask, zero_output_for_mask)
