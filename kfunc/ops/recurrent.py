"""Recurrent cells over whole sequences."""

from __future__ import annotations

from ..arrays import namespace
from ..transforms import scan
from ._op import op
from .activation import sigmoid, tanh
from .joining import split
from .linear import linear

__all__ = ["gru", "lstm"]


def _over_time(step, z, carry, reverse):
    """Scan `step` over axis 1 of `z` (batch, time, ...); return the last carry and the outputs (batch, time, ...)."""
    xp = namespace(z)
    carry, ys = scan(step, carry, xp.moveaxis(z, 1, 0), reverse=reverse)
    return carry, xp.moveaxis(ys, 0, 1)


@op
def lstm(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    h=None,
    c=None,
    reverse=False,
    activation=tanh,
    recurrent_activation=sigmoid,
):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997) with gates in the order input, forget, cell, output.

    Args:
        x: (batch, time, inputs).
        kernel: (inputs, 4 * units).
        recurrent_kernel: (units, 4 * units).
        bias: (4 * units,) or None.
        h, c: The first hidden and cell states, (batch, units); zeros by default.
        reverse: Whether to go from the last step to the first; outputs keep the order of `x`.
        activation, recurrent_activation: Functions for cell and output, and for the gates.

    Returns:
        (outputs, h, c): (batch, time, units), and the last states, (batch, units) each.
    """
    units = recurrent_kernel.shape[0]
    z = linear(x, kernel, bias)
    xp = namespace(z)
    start = xp.zeros_like(z[:, 0, :units])

    def step(carry, z):
        h, c = carry
        z = z + xp.matmul(h, recurrent_kernel)
        i, f, g, o = split(z, 4, axis=-1)
        c = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
        h = recurrent_activation(o) * activation(c)
        return (h, c), h

    (h, c), ys = _over_time(step, z, (start if h is None else h, start if c is None else c), reverse)
    return ys, h, c


@op
def gru(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    h=None,
    reverse=False,
    reset_after=True,
    activation=tanh,
    recurrent_activation=sigmoid,
):
    """Gated recurrent unit (Cho et al., arXiv:1406.1078) with gates in the order update, reset, candidate.

    Args:
        x: (batch, time, inputs).
        kernel: (inputs, 3 * units).
        recurrent_kernel: (units, 3 * units).
        bias: (2, 3 * units), for the input and for the recurrence, with `reset_after`; else (3 * units,); or None.
        h: The first state, (batch, units); zeros by default.
        reverse: Whether to go from the last step to the first; outputs keep the order of `x`.
        reset_after: Whether the reset gate works after the recurrent product (as in cuDNN) or before it.
        activation, recurrent_activation: Functions for the candidate, and for the gates.

    Returns:
        (outputs, h): (batch, time, units), and the last state, (batch, units).
    """
    units = recurrent_kernel.shape[0]
    own, recurrent = (bias[0, :], bias[1, :]) if reset_after and bias is not None else (bias, None)
    zs = linear(x, kernel, own)
    xp = namespace(zs)

    def step(h, z):
        x_z, x_r, x_h = split(z, 3, axis=-1)
        if reset_after:
            inner = linear(h, recurrent_kernel, recurrent)
            h_z, h_r, h_h = split(inner, 3, axis=-1)
            gate, reset = recurrent_activation(x_z + h_z), recurrent_activation(x_r + h_r)
            candidate = activation(x_h + reset * h_h)
        else:
            inner = xp.matmul(h, recurrent_kernel[:, : 2 * units])
            gate = recurrent_activation(x_z + inner[:, :units])
            reset = recurrent_activation(x_r + inner[:, units:])
            candidate = activation(x_h + xp.matmul(reset * h, recurrent_kernel[:, 2 * units :]))
        h = gate * h + (1 - gate) * candidate
        return h, h

    h, ys = _over_time(step, zs, xp.zeros_like(zs[:, 0, :units]) if h is None else h, reverse)
    return ys, h
