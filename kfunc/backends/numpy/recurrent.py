"""NumPy's lowerings and pullbacks of recurrent cells: loops over time without a tape, products of all steps at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ...ops._op import lowering, pullback
from .backend import backend
from .lowerings import linear, sigmoid, uniform

__all__ = ["gru", "lstm"]


_BLOCK = 1 << 14
"""So many elements of a state, times steps, are worked on at a time."""


def _usual(activation, recurrent_activation, mask, keep) -> bool:
    return activation is ops.tanh and recurrent_activation is ops.sigmoid and mask is None and keep is None


def _steps(x, kernel, bias, reverse):
    """The inputs of all gates, (time, batch, gates), in the order of the loop."""
    x = np.moveaxis(x[:, ::-1] if reverse else x, 1, 0)
    return np.ascontiguousarray(linear(np.ascontiguousarray(x), kernel, bias))


def _outputs(hs, reverse):
    """States (time, batch, units) as outputs (batch, time, units)."""
    return np.ascontiguousarray(np.moveaxis(hs[::-1] if reverse else hs, 0, 1))


def _input_cotangents(x, kernel, dz, reverse):
    """Functions from `dz` (time, batch, gates), the cotangents of the gates' inputs, to those of x, kernel and bias."""
    dz = np.ascontiguousarray(_outputs(dz, reverse)).reshape(-1, dz.shape[-1])
    return (
        lambda: (dz @ kernel.T).reshape(x.shape),
        lambda: x.reshape(-1, x.shape[-1]).T @ dz,
        lambda: dz.sum(axis=0),
    )


# -- LSTM ------------------------------------------------------------------------------------------------------------


def _lstm(x, kernel, recurrent_kernel, bias, h, c, reverse):
    """The gates (time, batch, 4 units) after their activations, cells and states (time + 1, batch, units)."""
    units = recurrent_kernel.shape[0]
    z = _steps(x, kernel, bias, reverse)
    time, batch = z.shape[:2]
    hs, cs = np.empty((2, time + 1, batch, units), z.dtype)
    hs[0], cs[0] = 0 if h is None else h, 0 if c is None else c
    for t in range(time):
        gates = z[t]
        gates += hs[t] @ recurrent_kernel
        i, f, g, o = (gates[:, n * units : (n + 1) * units] for n in range(4))
        for part in (gates[:, : 2 * units], o):
            part[...] = sigmoid(part)
        np.tanh(g, out=g)
        np.multiply(f, cs[t], out=cs[t + 1])
        cs[t + 1] += i * g
        np.tanh(cs[t + 1], out=hs[t + 1])
        hs[t + 1] *= o
    return z, hs, cs


@lowering(backend, ops.lstm)
def lstm(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any = None,
    h: Any = None,
    c: Any = None,
    reverse: bool = False,
    activation: Any = ops.tanh,
    recurrent_activation: Any = ops.sigmoid,
    mask: Any = None,
    keep: Any = None,
    zero_output_for_mask: bool = False,
    unroll: bool = False,
) -> Any:
    if not _usual(activation, recurrent_activation, mask, keep) or not uniform(x, kernel, recurrent_kernel, bias, h, c):
        return NotImplemented
    _, hs, cs = _lstm(x, kernel, recurrent_kernel, bias, h, c, reverse)
    return _outputs(hs[1:], reverse), hs[-1], cs[-1]


@pullback(backend, ops.lstm)
def lstm_pullback(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    h: Any,
    c: Any,
    reverse: Any,
    activation: Any,
    recurrent_activation: Any,
    mask: Any,
    keep: Any,
    *_: Any,
) -> Any:
    if not _usual(activation, recurrent_activation, mask, keep) or not uniform(x, kernel, recurrent_kernel, bias, h, c):
        return NotImplemented
    gates, hs, cs = _lstm(x, kernel, recurrent_kernel, bias, h, c, reverse)
    units = recurrent_kernel.shape[0]

    def pull(cotangents):
        d_outputs, dh, dc = cotangents
        d_outputs = _outputs(d_outputs, False)  # (time, batch, units)
        if reverse:
            d_outputs = d_outputs[::-1]
        time, batch = gates.shape[:2]
        parts = gates.reshape(time, batch, 4, units)
        dz = np.empty_like(parts)
        transposed = np.ascontiguousarray(recurrent_kernel.T)
        # The factors that do not depend on the cotangents, for as many steps at once as stay in the cache.
        block = max(1, _BLOCK // max(1, batch * units))
        for stop in range(time, 0, -block):
            some = slice(max(0, stop - block), stop)
            i, f, g, o = (parts[some, :, n] for n in range(4))
            tanh_c = np.tanh(cs[1:][some])
            into_c = o * (1 - tanh_c * tanh_c)
            into_z = dz[some]
            into_z[:, :, 0] = g * i * (1 - i)
            into_z[:, :, 1] = cs[some] * f * (1 - f)
            into_z[:, :, 2] = i * (1 - g * g)
            into_z[:, :, 3] = tanh_c * o * (1 - o)
            for t in reversed(range(stop - some.start)):
                dh = dh + d_outputs[some.start + t]
                dc = dc + dh * into_c[t]
                into_z[t, :, :3] *= dc[:, None]
                into_z[t, :, 3] *= dh
                dh = into_z[t].reshape(batch, 4 * units) @ transposed
                dc *= f[t]
        dz = dz.reshape(gates.shape)
        of_x, of_kernel, of_bias = _input_cotangents(x, kernel, dz, reverse)
        return (
            of_x,
            of_kernel,
            lambda: hs[:-1].reshape(-1, units).T @ dz.reshape(-1, 4 * units),
            of_bias,
            dh,
            dc,
        )

    # Copies: callers may write to what they get, and the pullback still needs these arrays.
    return (_outputs(hs[1:], reverse), hs[-1].copy(), cs[-1].copy()), pull


# -- GRU -------------------------------------------------------------------------------------------------------------


def _gru(x, kernel, recurrent_kernel, bias, h, reverse, reset_after):
    """Gates after their activations (time, batch, 3 units), the candidate's recurrent part, states (time + 1, …)."""
    units = recurrent_kernel.shape[0]
    own, recurrent = (bias[0], bias[1]) if reset_after and bias is not None else (bias, None)
    z = _steps(x, kernel, own, reverse)
    time, batch = z.shape[:2]
    hs = np.empty((time + 1, batch, units), z.dtype)
    hs[0] = 0 if h is None else h
    inner_h = np.empty((time, batch, units), z.dtype)
    for t in range(time):
        gates, state = z[t], hs[t]
        candidate = gates[:, 2 * units :]
        both = gates[:, : 2 * units]
        if reset_after:
            inner = linear(state, recurrent_kernel, recurrent)
            both += inner[:, : 2 * units]
            both[...] = sigmoid(both)
            inner_h[t] = inner[:, 2 * units :]
            candidate += both[:, units:] * inner_h[t]
        else:
            both += state @ recurrent_kernel[:, : 2 * units]
            both[...] = sigmoid(both)
            # Here the part is the state after the reset gate, before the product.
            np.multiply(both[:, units:], state, out=inner_h[t])
            candidate += inner_h[t] @ recurrent_kernel[:, 2 * units :]
        np.tanh(candidate, out=candidate)
        update = both[:, :units]
        hs[t + 1] = update * state + (1 - update) * candidate
    return z, inner_h, hs


@lowering(backend, ops.gru)
def gru(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any = None,
    h: Any = None,
    reverse: bool = False,
    reset_after: bool = True,
    activation: Any = ops.tanh,
    recurrent_activation: Any = ops.sigmoid,
    mask: Any = None,
    keep: Any = None,
    zero_output_for_mask: bool = False,
    unroll: bool = False,
) -> Any:
    if not _usual(activation, recurrent_activation, mask, keep) or not uniform(x, kernel, recurrent_kernel, bias, h):
        return NotImplemented
    _, _, hs = _gru(x, kernel, recurrent_kernel, bias, h, reverse, reset_after)
    return _outputs(hs[1:], reverse), hs[-1]


@pullback(backend, ops.gru)
def gru_pullback(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    h: Any,
    reverse: Any,
    reset_after: Any,
    activation: Any,
    recurrent_activation: Any,
    mask: Any,
    keep: Any,
    *_: Any,
) -> Any:
    if not _usual(activation, recurrent_activation, mask, keep) or not uniform(x, kernel, recurrent_kernel, bias, h):
        return NotImplemented
    gates, inner_h, hs = _gru(x, kernel, recurrent_kernel, bias, h, reverse, reset_after)
    units = recurrent_kernel.shape[0]

    def pull(cotangents):
        d_outputs, dh = cotangents
        d_outputs = _outputs(d_outputs, False)
        if reverse:
            d_outputs = d_outputs[::-1]
        dz = np.empty_like(gates)
        d_inner = np.empty_like(gates) if reset_after else dz
        for t in reversed(range(gates.shape[0])):
            update, reset, candidate = (gates[t, :, n * units : (n + 1) * units] for n in range(3))
            dh = dh + d_outputs[t]
            d_candidate = dh * (1 - update) * (1 - candidate * candidate)
            d_update = dh * (hs[t] - candidate) * update * (1 - update)
            dz[t, :, :units] = d_update
            dz[t, :, 2 * units :] = d_candidate
            if reset_after:
                dz[t, :, units : 2 * units] = d_candidate * inner_h[t] * reset * (1 - reset)
                d_inner[t] = dz[t]
                d_inner[t, :, 2 * units :] *= reset
                dh = dh * update + d_inner[t] @ recurrent_kernel.T
            else:
                d_reset_state = d_candidate @ recurrent_kernel[:, 2 * units :].T
                dz[t, :, units : 2 * units] = d_reset_state * hs[t] * reset * (1 - reset)
                dh = dh * update + d_reset_state * reset
                dh += dz[t, :, : 2 * units] @ recurrent_kernel[:, : 2 * units].T
        of_x, of_kernel, of_bias = _input_cotangents(x, kernel, dz, reverse)

        def of_recurrent_kernel():
            states, flat = hs[:-1].reshape(-1, units), d_inner.reshape(-1, 3 * units)
            if reset_after:
                return states.T @ flat
            resets = inner_h.reshape(-1, units)
            return np.concatenate([states.T @ flat[:, : 2 * units], resets.T @ flat[:, 2 * units :]], axis=1)

        def of_both_biases():
            return np.stack([of_bias(), d_inner.sum(axis=(0, 1))])

        return of_x, of_kernel, of_recurrent_kernel, of_both_biases if reset_after else of_bias, dh

    return (_outputs(hs[1:], reverse), hs[-1].copy()), pull
