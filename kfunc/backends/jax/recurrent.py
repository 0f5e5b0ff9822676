"""JAX: the usual cells over time, with derivatives that take the products with weights out of the loop.

XLA on CPU does not vectorise a loop's arithmetic on parts of a slice, so the gates are taken apart before it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

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


def _forward(cell, reverse, x, kernel, recurrent_kernel, bias, recurrent_bias, states, mask):
    """(outputs, last states, slopes)."""
    z = _rows(x) @ kernel
    z = jnp.split(z if bias is None else z + bias, cell.gates, axis=-1)
    z = [part.reshape(*x.shape[:2], -1) for part in z]

    def step(states, z):
        p = states[0] @ recurrent_kernel
        return cell.step(z, jnp.split(p if recurrent_bias is None else p + recurrent_bias, cell.gates, axis=-1), states)

    states, (ys, slopes) = _scan(step, states, z, mask, reverse)
    return ys, states, slopes


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _over_time(cell, reverse, x, kernel, recurrent_kernel, bias, recurrent_bias, states, mask):
    """(outputs (time, batch, units), last states) for `x` (time, batch, inputs)."""
    return _forward(cell, reverse, x, kernel, recurrent_kernel, bias, recurrent_bias, states, mask)[:2]


@functools.partial(_over_time.defjvp, symbolic_zeros=True)
def _(cell, reverse, primals, tangents):
    # JAX would add up the gradients of the weights step by step; so they are one product each.
    x, kernel, recurrent_kernel, _, _, states, mask = primals
    dx, dkernel, drecurrent, dbias, drecurrent_bias, dstates, _ = jax.tree.map(_known, tangents)
    ys, last, slopes = _forward(cell, reverse, *primals)
    before = [ys[1:], states[0][None]] if reverse else [states[0][None], ys[:-1]]
    zeros = jnp.zeros((*x.shape[:2], kernel.shape[-1]), x.dtype)

    def moved(*parts):
        return sum((part.reshape(zeros.shape) for part in parts if part is not None), zeros)

    def product(a, b):
        return None if a is None or b is None else _rows(a) @ b

    from_x = product(dx, kernel), product(x, dkernel)
    from_h = product(jnp.concatenate(before), drecurrent)

    def step(dstates, given):
        dz, dp, slopes = given
        ...

    return (ys, last), None
